//! The books of a run: every message from being handed over to being acknowledged, denied, delivered or lost, in totals
//! and per calendar minute. Written by the clients as things happen, read by `progress` and `report`. It must never wait
//! or do I/O: all clients share it behind one lock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use crate::link::Denial;
use crate::stamp::Stamp;

/// Latencies are told apart to three digits between a microsecond and this; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The calendar minute (UTC) of `at`, counted from 1970.
pub fn minute_of(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

/// From `at` to the next full minute (UTC).
pub fn until_next_minute(at: SystemTime) -> Duration {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs((since.as_secs() / 60 + 1) * 60) - since
}

/// What happened in one calendar minute, by when this machine learned of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Minute {
    /// Acknowledged as accepted; at QoS 0: sent.
    pub accepted: u64,
    /// Publishes denied in an acknowledgement.
    pub denied: u64,
    /// Connections that the broker closed.
    pub closed: u64,
    /// First deliveries, over all subscribers.
    pub delivered: u64,
}

/// The sums of the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Publishes handed over for sending.
    pub handed: u64,
    pub accepted: u64,
    pub denied: u64,
    pub closed: u64,
    pub delivered: u64,
    /// Deliveries of a message that the subscriber already had.
    pub duplicates: u64,
    /// First deliveries with a lower number than an earlier one of the same client.
    pub reordered: u64,
    /// Deliveries of a message whose publish was denied: the broker contradicts itself.
    pub denied_delivered: u64,
    /// Deliveries that no client of this run published.
    pub foreign: u64,
    /// Deliveries that are owed: for each accepted message and subscriber, one that has not come.
    pub missing: u64,
    /// Due, but not sent: all places of the client's window were open.
    pub behind: u64,
    /// Due, but not sent: the client had no connection.
    pub offline: u64,
    /// Publishes sent again after a reconnect.
    pub resent: u64,
    /// Handed over and not answered yet.
    pub open: u64,
    /// Handed over, never answered, and given up because the broker no longer had the session.
    pub abandoned: u64,
    /// Connections taken by the broker.
    pub connects: u64,
    /// Clients connected now.
    pub connected: u64,
    /// Subscribers whose subscription was granted.
    pub subscribed: u64,
    /// Clients that will not try again.
    pub gave_up: u64,
}

/// See the module's head.
pub struct Ledger {
    pub totals: Totals,
    pub denials: BTreeMap<Denial, u64>,
    pub minutes: BTreeMap<u64, Minute>,
    /// Handing over to the first acknowledgement, microseconds.
    pub acknowledgement: Histogram<u64>,
    /// Handing over to delivery, microseconds.
    pub delivery: Histogram<u64>,
    /// The last thing that went wrong beside limits, for a reader to see.
    pub trouble: Option<String>,
    run: u64,
    tracks: Vec<Track>,
}

/// What is known of one client's messages, by their number.
#[derive(Clone)]
struct Track {
    accepted: Bits,
    denied: Bits,
    /// One for each subscriber.
    seen: Vec<Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    delivered: Bits,
    highest: Option<u32>,
}

impl Ledger {
    pub fn new(run: u64, clients: u32, subscribers: u32) -> Ledger {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, 3)
                .expect("these bounds are in the documented range")
        };
        let track = Track {
            accepted: Bits::default(),
            denied: Bits::default(),
            seen: vec![Seen::default(); subscribers as usize],
        };
        Ledger {
            totals: Totals::default(),
            denials: BTreeMap::new(),
            minutes: BTreeMap::new(),
            acknowledgement: histogram(),
            delivery: histogram(),
            trouble: None,
            run,
            tracks: vec![track; clients as usize],
        }
    }

    /// A message was acknowledged (`after` being handed over), or at QoS 0, sent (`after` is `None`).
    pub fn accepted(&mut self, client: u32, sequence: u32, after: Option<Duration>) {
        let track = &mut self.tracks[client as usize];
        if track.accepted.set(sequence) {
            return;
        }
        let owed = track.seen.iter().filter(|seen| !seen.delivered.get(sequence)).count();
        self.totals.missing += owed as u64;
        self.totals.accepted += 1;
        self.this_minute().accepted += 1;
        if let Some(after) = after {
            self.acknowledgement.saturating_record(after.as_micros() as u64);
        }
    }

    /// A publish was denied in its acknowledgement.
    pub fn denied(&mut self, client: u32, sequence: u32, denial: Denial) {
        let track = &mut self.tracks[client as usize];
        track.denied.set(sequence);
        let contradicted = track.seen.iter().filter(|seen| seen.delivered.get(sequence)).count();
        self.totals.denied_delivered += contradicted as u64;
        self.totals.denied += 1;
        self.this_minute().denied += 1;
        self.refused(denial);
    }

    /// Anything was refused: counted by packet, code, resource and limit.
    pub fn refused(&mut self, denial: Denial) {
        *self.denials.entry(denial).or_default() += 1;
    }

    /// The broker ended a connection.
    pub fn closed(&mut self) {
        self.totals.closed += 1;
        self.this_minute().closed += 1;
    }

    /// A message came to a subscriber, `now` nanoseconds after the start of the run.
    pub fn delivered(&mut self, subscriber: u32, stamp: Option<Stamp>, now: u64) {
        let ours = stamp.filter(|stamp| stamp.run == self.run && (stamp.client as usize) < self.tracks.len());
        let Some(stamp) = ours else {
            self.totals.foreign += 1;
            return;
        };
        let track = &mut self.tracks[stamp.client as usize];
        let seen = &mut track.seen[subscriber as usize];
        if seen.delivered.set(stamp.sequence) {
            self.totals.duplicates += 1;
            return;
        }
        if seen.highest.is_some_and(|highest| stamp.sequence < highest) {
            self.totals.reordered += 1;
        }
        seen.highest = seen.highest.max(Some(stamp.sequence));
        if track.accepted.get(stamp.sequence) {
            self.totals.missing -= 1;
        }
        if track.denied.get(stamp.sequence) {
            self.totals.denied_delivered += 1;
        }
        self.totals.delivered += 1;
        self.this_minute().delivered += 1;
        self.delivery.saturating_record(now.saturating_sub(stamp.nanos) / 1_000);
    }

    fn this_minute(&mut self) -> &mut Minute {
        self.minutes.entry(minute_of(SystemTime::now())).or_default()
    }
}

/// A set of small numbers, a bit each.
#[derive(Clone, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Puts a number in; true if it was there.
    fn set(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let was = self.0[word] & bit != 0;
        self.0[word] |= bit;
        was
    }

    fn get(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64).copied().unwrap_or(0);
        word & (1 << (number % 64)) != 0
    }
}
