//! What the devices of a profile do, and what they were denied: for the dashboard, live. A device's counts are shared by its
//! clients, which found them at CONNECT and add to them once a batch; the last denials of a profile are kept as its clients saw
//! them. Asked by `admin`. However fast denials come, all are counted and few are written down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::limits::{Denial, Rate, Resource, UnixMillis, Window};
use crate::wire::Version;

/// The name that clients without credentials go by.
pub(crate) const ANONYMOUS: &str = "(anonymous)";

/// Denials of a profile that are kept.
const KEPT: usize = 50;
/// Denials of a profile that are written down in a second, at most.
const WRITTEN: u32 = 20;
/// Minutes after which a device that has no clients is forgotten.
const FORGOTTEN: u64 = 60;

/// What one device did, all its clients together.
#[derive(Debug, Default)]
pub(crate) struct Device(Mutex<Counts>);

/// A device's counts as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Clients that are connected.
    pub(crate) connections: u64,
    /// Since the device was first seen.
    pub(crate) all: Sums,
    /// In the current minute.
    pub(crate) minute: Sums,
    /// Which minute that is.
    index: u64,
}

/// Messages and denials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) denied: u64,
}

impl Sums {
    fn add(&mut self, more: Sums) {
        self.published += more.published;
        self.received += more.received;
        self.denied += more.denied;
    }
}

impl Device {
    /// One of its clients has connected.
    pub(crate) fn enter(&self) {
        self.0.lock().connections += 1;
    }

    /// One of its clients is gone.
    pub(crate) fn leave(&self) {
        let mut counts = self.0.lock();
        counts.connections = counts.connections.saturating_sub(1);
    }

    /// Counts messages that its clients have published and were sent.
    pub(crate) fn add(&self, published: u64, received: u64, now: UnixMillis) {
        self.count(Sums { published, received, denied: 0 }, now);
    }

    /// Counts a request that was denied.
    pub(crate) fn denied(&self, now: UnixMillis) {
        self.count(Sums { denied: 1, ..Sums::default() }, now);
    }

    fn count(&self, sums: Sums, now: UnixMillis) {
        let mut counts = self.0.lock();
        counts.roll(now);
        counts.minute.add(sums);
        counts.all.add(sums);
    }

    /// What it did.
    pub(crate) fn counts(&self, now: UnixMillis) -> Counts {
        let mut counts = self.0.lock();
        counts.roll(now);
        *counts
    }
}

impl Counts {
    /// Begins another minute, if it is one; never an earlier one, whatever the wall clock does.
    fn roll(&mut self, now: UnixMillis) {
        let index = Window::Minute.index(now);
        if index > self.index {
            (self.index, self.minute) = (index, Sums::default());
        }
    }
}

/// The devices of one profile that are there, or were in the last hour, and the last denials. A profile whose clients never
/// came has neither.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    devices: Mutex<Devices>,
    denials: Mutex<Option<Box<Denials>>>,
}

#[derive(Debug, Default)]
struct Devices {
    by_name: HashMap<Arc<str>, Seen>,
    /// The minute in which those were looked for that can be forgotten.
    looked: u64,
}

#[derive(Debug)]
struct Seen {
    device: Arc<Device>,
    /// The last minute in which it was seen to have clients.
    last: u64,
}

impl Devices {
    /// Forgets devices that have had no clients for an hour; looked for once a minute at most.
    fn forget(&mut self, now: UnixMillis) {
        let minute = Window::Minute.index(now);
        if minute <= self.looked {
            return;
        }
        self.looked = minute;
        self.by_name.retain(|_, seen| {
            // A client that connects just now has the device, though it is not entered yet.
            if Arc::strong_count(&seen.device) > 1 {
                seen.last = minute;
            }
            minute.saturating_sub(seen.last) < FORGOTTEN
        });
        if self.by_name.len() * 8 < self.by_name.capacity() {
            self.by_name.shrink_to_fit();
        }
    }
}

impl Activity {
    /// The counts of a device, shared by its clients; `None` stands for those without credentials.
    pub(crate) fn device(&self, name: Option<&Arc<str>>, now: UnixMillis) -> Arc<Device> {
        let mut devices = self.devices.lock();
        devices.forget(now);
        let last = Window::Minute.index(now);
        if let Some(seen) = devices.by_name.get_mut(name.map_or(ANONYMOUS, Arc::as_ref)) {
            seen.last = seen.last.max(last);
            return Arc::clone(&seen.device);
        }
        let device = Arc::<Device>::default();
        let name = name.cloned().unwrap_or_else(|| ANONYMOUS.into());
        devices.by_name.insert(name, Seen { device: Arc::clone(&device), last });
        device
    }

    /// What each device did.
    pub(crate) fn devices(&self, now: UnixMillis) -> Vec<(Arc<str>, Counts)> {
        let mut devices = self.devices.lock();
        devices.forget(now);
        devices.by_name.iter().map(|(name, seen)| (Arc::clone(name), seen.device.counts(now))).collect()
    }

    /// Counts a denial, and writes down what the client was told.
    pub(crate) fn denied(&self, denied: &Denied<'_>, now: UnixMillis) {
        let mut denials = self.denials.lock();
        let denials = denials.get_or_insert_default();
        match denials.totals.get_mut(&denied.denial.resource) {
            Some(total) => *total += 1,
            None => _ = denials.totals.insert(denied.denial.resource.clone(), 1),
        }
        denials.write_down(denied, now);
    }

    /// Writes down what a client was told of a denial that was counted before.
    pub(crate) fn told(&self, denied: &Denied<'_>, now: UnixMillis) {
        self.denials.lock().get_or_insert_default().write_down(denied, now);
    }

    /// The last denials, the newest first.
    pub(crate) fn last_denials(&self) -> Vec<Written> {
        self.denials.lock().iter().flat_map(|denials| denials.last.iter().rev().cloned()).collect()
    }

    /// How many requests were denied since the start, by resource.
    pub(crate) fn denied_totals(&self) -> Vec<(Resource, u64)> {
        let denials = self.denials.lock();
        denials.iter().flat_map(|denials| &denials.totals).map(|(resource, total)| (resource.clone(), *total)).collect()
    }
}

/// The denials of one profile.
#[derive(Debug, Default)]
struct Denials {
    totals: BTreeMap<Resource, u64>,
    last: VecDeque<Written>,
    /// The second in which denials were written down last, and how many.
    second: u64,
    written: u32,
}

impl Denials {
    fn write_down(&mut self, denied: &Denied<'_>, now: UnixMillis) {
        let second = Window::Second.index(now);
        if second != self.second {
            (self.second, self.written) = (second, 0);
        }
        if self.written == WRITTEN {
            return;
        }
        self.written += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Written {
            at: now,
            client_id: denied.client_id.into(),
            device: denied.device.cloned(),
            resource: denied.denial.resource.clone(),
            limit: denied.denial.limit.clone(),
            retry_after: denied.denial.retry_after,
            told: denied.told,
            version: denied.version,
        });
    }
}

/// Who was denied what, and how they were told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denied<'a> {
    pub(crate) client_id: &'a str,
    /// Nothing for clients without credentials.
    pub(crate) device: Option<&'a Arc<str>>,
    pub(crate) denial: &'a Denial,
    pub(crate) told: Told,
    /// Nothing over HTTP.
    pub(crate) version: Option<Version>,
}

/// A denial that was written down.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) at: UnixMillis,
    pub(crate) client_id: Box<str>,
    pub(crate) device: Option<Arc<str>>,
    pub(crate) resource: Resource,
    pub(crate) limit: Rate,
    pub(crate) retry_after: u64,
    told: Told,
    version: Option<Version>,
}

impl Written {
    /// The text of the answer, as [`Denial`] shows itself.
    pub(crate) fn text(&self) -> String {
        format!("Too many requests (Retry-After: {})", self.retry_after)
    }

    /// What the client was sent, or what happened where MQTT has no answer.
    pub(crate) fn answer(&self) -> &'static str {
        self.told.as_str(self.version)
    }

    /// What the client speaks.
    pub(crate) fn protocol(&self) -> String {
        self.version.map_or_else(|| "HTTP".to_owned(), |version| version.to_string())
    }
}

/// What became of a request that was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    ConnAck,
    PubAck,
    PubRec,
    SubAck,
    /// DISCONNECT where the version has one, and the end of the connection.
    Disconnected,
    Dropped,
    Waits,
    /// Its socket is not read.
    Paused,
    /// Over HTTP.
    Http,
}

impl Told {
    /// For people, in the words of the version's specification.
    fn as_str(self, version: Option<Version>) -> &'static str {
        match (self, version) {
            (Told::ConnAck, Some(Version::V5)) => "CONNACK 0x9F Connection rate exceeded",
            (Told::ConnAck, _) => "CONNACK 3 Server unavailable",
            (Told::PubAck, _) => "PUBACK 0x97 Quota exceeded",
            (Told::PubRec, _) => "PUBREC 0x97 Quota exceeded",
            (Told::SubAck, Some(Version::V5)) => "SUBACK 0x97 Quota exceeded",
            (Told::SubAck, _) => "SUBACK 0x80 Failure",
            (Told::Disconnected, Some(Version::V5)) => "DISCONNECT 0x97 Quota exceeded",
            (Told::Disconnected, _) => "connection closed",
            (Told::Dropped, _) => "dropped",
            (Told::Waits, _) => "waits for the next window",
            (Told::Paused, _) => "not read until the next window",
            (Told::Http, _) => "429 Too Many Requests",
        }
    }
}

#[cfg(test)]
mod tests;
