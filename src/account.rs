//! A profile at work: its plan and meters, its topic space, and the sessions of its clients. One for each profile of the
//! configuration; every connection of the profile holds it. It outlives a reload, so that counts and sessions are kept.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::activity::{Activity, Counts, Denied, Device, Sums, Written};
use crate::admin::model;
use crate::clock::rfc3339;
use crate::config;
use crate::events::{Crossing, Recent};
use crate::limits::{Caps, DeviceMeters, Drained, Meters, Plan, Reading, Resource, UnixMillis, Window};
use crate::router::{Mailbox, QueueCaps, Space};
use crate::session::Registry;

/// A profile at work. See the module's text.
pub(crate) struct Account {
    name: Arc<str>,
    plan: ArcSwap<Plan>,
    sees_sys: AtomicBool,
    meters: Meters,
    /// Of the devices that have rates of their own.
    devices: Mutex<HashMap<Arc<str>, Arc<DeviceMeters>>>,
    /// Of devices that a reload has taken away: their connections may count on until they have heard of it.
    gone: Mutex<Vec<(Arc<str>, Arc<DeviceMeters>)>>,
    space: Arc<Space>,
    registry: Registry,
    connections: AtomicU64,
    /// Connections that want to hear of the first denial in a window, and how many of those there have been.
    watchers: Mutex<Vec<Weak<Mailbox>>>,
    first_denials: AtomicU64,
    /// What those connections are told of how full limits are.
    crossings: Recent,
    activity: Activity,
}

impl Account {
    /// A profile at work in `space`.
    pub(crate) fn new(profile: &config::Profile, space: Arc<Space>) -> Self {
        let account = Account {
            name: Arc::clone(&profile.name),
            plan: ArcSwap::from_pointee(profile.plan.clone()),
            sees_sys: AtomicBool::new(profile.sees_sys),
            meters: Meters::new(&profile.plan),
            devices: Mutex::new(HashMap::new()),
            gone: Mutex::new(Vec::new()),
            space,
            registry: Registry::default(),
            connections: AtomicU64::new(0),
            watchers: Mutex::new(Vec::new()),
            first_denials: AtomicU64::new(0),
            crossings: Recent::default(),
            activity: Activity::default(),
        };
        account.set_devices(profile);
        account
    }

    /// Puts a changed profile in force; the counts of the current windows are kept.
    pub(crate) fn update(&self, profile: &config::Profile) {
        self.plan.store(Arc::new(profile.plan.clone()));
        self.sees_sys.store(profile.sees_sys, Ordering::Release);
        self.meters.set_plan(&profile.plan);
        self.set_devices(profile);
    }

    fn set_devices(&self, profile: &config::Profile) {
        let mut devices = self.devices.lock();
        self.gone.lock().extend(devices.extract_if(|name, _| !profile.devices.contains_key(name)));
        for (name, device) in &profile.devices {
            let enforce = profile.plan.enforce;
            match devices.get(name) {
                Some(meters) => meters.set_limits(&device.limits, enforce),
                None => {
                    if let Some(meters) = DeviceMeters::new(&device.limits, enforce) {
                        devices.insert(Arc::clone(name), Arc::new(meters));
                    }
                }
            }
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    pub(crate) fn sees_sys(&self) -> bool {
        self.sees_sys.load(Ordering::Acquire)
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The meters of a device, if it has rates of its own.
    pub(crate) fn device_meters(&self, device: Option<&Arc<str>>) -> Option<Arc<DeviceMeters>> {
        self.devices.lock().get(device?).cloned()
    }

    /// What a device with rates of its own has used; empty for any other.
    pub(crate) fn device_readings(&self, device: &str, now: UnixMillis) -> Vec<Reading> {
        let meters = self.devices.lock().get(device).cloned();
        meters.map(|meters| meters.readings(now)).unwrap_or_default()
    }

    /// The meters of the devices that have rates of their own, by name.
    pub(crate) fn devices(&self) -> Vec<(Arc<str>, Arc<DeviceMeters>)> {
        self.devices.lock().iter().map(|(name, meters)| (Arc::clone(name), Arc::clone(meters))).collect()
    }

    /// Hands over what was counted since the last time: of the profile, then of each device with rates of its own.
    pub(crate) fn drain(&self, now: UnixMillis, take: &mut dyn FnMut(Option<&Arc<str>>, &mut Drained)) {
        let mut drained = Drained::default();
        self.meters.drain(now, &mut drained);
        take(None, &mut drained);
        let mut of = |device: &Arc<str>, meters: &DeviceMeters| {
            meters.drain(now, &mut drained);
            take(Some(device), &mut drained);
        };
        self.devices().iter().for_each(|(device, meters)| of(device, meters));
        self.gone.lock().retain(|(device, meters)| {
            // Asked before: whoever let go of it in between has counted before that.
            let held = Arc::strong_count(meters) > 1;
            of(device, meters);
            held
        });
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What stands for a client identifier of this profile where messages are compared with it, whichever of its sessions they
    /// are of: No Local looks at the identifier, not at the session [MQTT-3.8.3-3].
    pub(crate) fn client_number(&self, client_id: &str) -> u64 {
        let name = self.name.as_bytes();
        let hash = Sha256::new().chain_update(name.len().to_le_bytes()).chain_update(name).chain_update(client_id);
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// What all clients of a device do together; `None` stands for those without credentials.
    pub(crate) fn device_activity(&self, device: Option<&Arc<str>>, now: UnixMillis) -> Arc<Device> {
        self.activity.device(device, now)
    }

    /// What each device of the last hour did, in no order.
    pub(crate) fn activity(&self, now: UnixMillis) -> Vec<model::DeviceActivity> {
        let device = |(name, counts): (Arc<str>, Counts)| {
            let limits = self.device_readings(&name, now).into_iter().filter(|reading| reading.limit.is_some());
            let Sums { published, received, denied } = counts.minute;
            model::DeviceActivity {
                connections: counts.connections,
                published,
                received,
                denied,
                published_total: counts.all.published,
                received_total: counts.all.received,
                denied_total: counts.all.denied,
                limits: limits.map(|reading| limit(&reading, now)).collect(),
                device: name.as_ref().into(),
            }
        };
        self.activity.devices(now).into_iter().map(device).collect()
    }

    /// The last denials as the clients saw them, the newest first; at most 50.
    pub(crate) fn denials(&self) -> Vec<model::Denial> {
        let denial = |written: Written| model::Denial {
            at: rfc3339(written.at),
            device: written.device.as_deref().map(str::to_owned),
            resource: written.resource.to_string(),
            limit: written.limit.to_string(),
            retry_after: written.retry_after,
            text: written.text(),
            answer: written.answer().to_owned(),
            protocol: written.protocol(),
            client_id: written.client_id.into(),
        };
        self.activity.last_denials().into_iter().map(denial).collect()
    }

    /// How many requests were denied since the start, by resource.
    pub(crate) fn denied_totals(&self) -> Vec<(Resource, u64)> {
        self.activity.denied_totals()
    }

    /// Counts a denial among those of the profile, and writes down what the client was told.
    pub(crate) fn record_denial(&self, denied: &Denied<'_>, now: UnixMillis) {
        self.activity.denied(denied, now);
    }

    /// Writes down what a client was told of a denial that was counted before.
    pub(crate) fn record_told(&self, denied: &Denied<'_>, now: UnixMillis) {
        self.activity.told(denied, now);
    }

    /// Has a connection woken at the first denial in a window.
    pub(crate) fn watch(&self, mailbox: &Arc<Mailbox>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0 && !ptr::eq(watcher.as_ptr(), Arc::as_ptr(mailbox)));
        watchers.push(Arc::downgrade(mailbox));
    }

    /// A limit has denied for the first time in its window.
    pub(crate) fn first_denial(&self) {
        self.first_denials.fetch_add(1, Ordering::Release);
        self.wake_watchers();
    }

    /// Wakes the connections that watch; tells whether there are any.
    fn wake_watchers(&self) -> bool {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.upgrade().inspect(|mailbox| mailbox.wake()).is_some());
        !watchers.is_empty()
    }

    /// Tells who watches that a limit has become full, or nearly.
    pub(crate) fn crossed(&self, crossing: &Crossing) {
        // Kept only where somebody listens.
        if self.watchers.lock().iter().any(|watcher| watcher.strong_count() > 0) {
            self.crossings.push(crossing.clone());
            self.wake_watchers();
        }
    }

    /// What those who watch are told of full limits.
    pub(crate) fn crossings(&self) -> &Recent {
        &self.crossings
    }

    /// How many first denials there have been.
    pub(crate) fn first_denials(&self) -> u64 {
        self.first_denials.load(Ordering::Acquire)
    }

    /// What may wait for one session of this profile.
    pub(crate) fn queue_caps(&self) -> QueueCaps {
        queue_caps(&self.plan.load().caps)
    }

    /// Counts one more connection, if `max_connections` allows it.
    pub(crate) fn enter(&self) -> Result<(), u64> {
        let max = self.plan.load().caps.max_connections.unwrap_or(u64::MAX);
        let entered =
            self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        entered.map(|_| ()).map_err(|_| max)
    }

    /// How many clients are connected.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Counts one connection less.
    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A reading as the API says it.
pub(crate) fn limit(reading: &Reading, now: UnixMillis) -> model::Limit {
    model::Limit {
        resource: reading.resource.to_string(),
        limit: reading.limit.as_ref().map(|rate| rate.written().to_owned()),
        max: reading.limit.as_ref().map(|rate| rate.count),
        window: reading.limit.as_ref().map_or(Window::Minute, |rate| rate.window).to_string(),
        used: reading.used,
        denied: reading.denied,
        reset_seconds: reading.resets_at.0.saturating_sub(now.0).div_ceil(1000),
        resets_at: rfc3339(reading.resets_at),
    }
}

/// The caps of a plan on what may wait for one session.
pub(crate) fn queue_caps(caps: &Caps) -> QueueCaps {
    // More than that is not to be had.
    let count = |cap: usize| cap.try_into().unwrap_or(u32::MAX);
    QueueCaps {
        messages: count(caps.max_queued_messages),
        replay: count(caps.max_retained_messages),
        bytes: caps.max_queued_bytes,
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}
