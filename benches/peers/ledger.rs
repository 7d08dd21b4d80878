//! What was sent and what arrived, message by message: each carries who sent it, the how-manieth it is, and when it was
//! sent. Called by `load`; nothing here estimates, so that one message lost among millions shows.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::packets::{self, Publish};

/// Bytes at the beginning of a payload that say which message it is; the rest is [`FILL`].
const STAMP: usize = 16;
const FILL: u8 = b'w';

/// A PUBLISH that is sent over and over, with another sequence number and time.
pub struct Template {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    payload_at: usize,
    sequence: u32,
}

impl Template {
    /// `payload` is its length, in bytes.
    pub fn new(publisher: u32, topic: &str, qos: u8, payload: usize) -> Self {
        let mut content = vec![FILL; payload.max(STAMP)];
        content[..4].copy_from_slice(&publisher.to_be_bytes());
        let mut bytes = vec![];
        let (id_at, payload_at) = packets::publish(&mut bytes, topic, (qos > 0).then_some(1), &content);
        Self { bytes, id_at, payload_at, sequence: 0 }
    }

    /// The next message, sent at `now`, in nanoseconds of the [`Board`]'s clock.
    pub fn next(&mut self, now: u64) -> &[u8] {
        if let Some(at) = self.id_at {
            // From 1 to 65,535: far more than are ever unacknowledged.
            let id = (self.sequence % 65_535) as u16 + 1;
            self.bytes[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        let stamp = &mut self.bytes[self.payload_at..self.payload_at + STAMP];
        stamp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        stamp[8..].copy_from_slice(&now.to_be_bytes());
        self.sequence += 1;
        &self.bytes
    }

    /// How many messages were made.
    pub fn made(&self) -> u32 {
        self.sequence
    }
}

/// What all clients of a run add up to, and its clock.
pub struct Board {
    epoch: Instant,
    /// Messages that arrived, duplicates not counted.
    pub received: Cell<u64>,
    /// PUBACKs that publishers were sent.
    pub acknowledged: Cell<u64>,
    /// When the last message or PUBACK arrived.
    pub last: Cell<Instant>,
    latencies: RefCell<Histogram<u64>>,
    /// Why a client's connection ended before the run did.
    pub failure: RefCell<Option<String>>,
}

impl Board {
    pub fn new() -> Self {
        let epoch = Instant::now();
        Self {
            epoch,
            received: Cell::new(0),
            acknowledged: Cell::new(0),
            last: Cell::new(epoch),
            latencies: RefCell::new(new_histogram()),
            failure: RefCell::new(None),
        }
    }

    /// The zero of the clock.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The latencies since this was asked for the last time, in nanoseconds.
    pub fn take_latencies(&self) -> Histogram<u64> {
        self.latencies.replace(new_histogram())
    }
}

/// Between the write of the publisher and the read of the subscriber.
#[derive(Clone, Copy)]
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
}

impl Latency {
    /// Of all that was recorded, in nanoseconds.
    pub fn of(latencies: &Histogram<u64>) -> Self {
        let at = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

/// From 1 µs to 100 s, to a thousandth.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 100_000_000_000, 3).expect("the bounds are in order")
}

/// Nanoseconds of a [`Board`]'s clock.
pub fn nanoseconds(since_epoch: Duration) -> u64 {
    // 584 years fit.
    since_epoch.as_nanos() as u64
}

/// What one subscriber, or one group that shares a subscription, was sent.
pub struct Ledger {
    publishers: Range<u32>,
    rows: Vec<Row>,
    /// Whether order can be told: not among those who share a subscription.
    ordered: bool,
    payload: usize,
    duplicated: u64,
    reordered: u64,
    foreign: u64,
}

/// What arrived of one publisher.
#[derive(Default)]
struct Row {
    /// A bit for each sequence number.
    seen: Vec<u64>,
    /// One more than the highest sequence number.
    next: u32,
    received: u32,
}

impl Ledger {
    /// For messages of `publishers`, with payloads of so many bytes.
    pub fn new(publishers: Range<u32>, ordered: bool, payload: usize) -> Self {
        let rows = publishers.clone().map(|_| Row::default()).collect();
        Self { publishers, rows, ordered, payload, duplicated: 0, reordered: 0, foreign: 0 }
    }

    /// Notes a message that was read at `now`.
    pub fn note(&mut self, message: &Publish<'_>, now: u64, board: &Board) {
        let Some((row, sequence, sent)) = self.place(message) else {
            self.foreign += 1;
            return;
        };
        let row = &mut self.rows[row];
        let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
        if row.seen.len() <= word {
            row.seen.resize(word + 1, 0);
        }
        if row.seen[word] & bit != 0 {
            self.duplicated += 1;
            return;
        }
        row.seen[word] |= bit;
        row.received += 1;
        if sequence < row.next {
            self.reordered += u64::from(self.ordered);
        } else {
            row.next = sequence + 1;
        }
        board.received.set(board.received.get() + 1);
        board.latencies.borrow_mut().saturating_record(now.saturating_sub(sent));
    }

    /// Which row, which message of it, and when it was sent; `None` for one that nobody here should be sent.
    fn place(&self, message: &Publish<'_>) -> Option<(usize, u32, u64)> {
        let (publisher, rest) = message.payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent, fill) = rest.split_first_chunk()?;
        let publisher = u32::from_be_bytes(*publisher);
        let whole = message.payload.len() == self.payload && fill.iter().all(|&byte| byte == FILL);
        let row = (whole && self.publishers.contains(&publisher)).then(|| publisher - self.publishers.start)?;
        Some((row as usize, u32::from_be_bytes(*sequence), u64::from_be_bytes(*sent)))
    }

    /// What went wrong, given how many messages each publisher of the run sent.
    pub fn faults(&self, sent: &[u32]) -> Faults {
        let mut faults = Faults {
            duplicated: self.duplicated,
            reordered: self.reordered,
            foreign: self.foreign,
            ..Faults::default()
        };
        for (publisher, row) in self.publishers.clone().zip(&self.rows) {
            let sent = sent[publisher as usize];
            faults.lost += u64::from(sent.saturating_sub(row.received));
            // A number that was never sent.
            faults.foreign += u64::from(row.next > sent);
        }
        faults
    }
}

/// What must not be.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Arrived where it should not have, or with another payload.
    pub foreign: u64,
    /// Publishes at QoS 1 without a PUBACK.
    pub unacknowledged: u64,
    /// How far the broker's own meters are off, where it has such.
    pub uncounted: Option<u64>,
}

impl Faults {
    pub fn add(&mut self, other: Faults) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
        self.unacknowledged += other.unacknowledged;
        self.uncounted = match (self.uncounted, other.uncounted) {
            (Some(one), Some(another)) => Some(one + another),
            (one, another) => one.or(another),
        };
    }

    /// Whether all is as it should be.
    pub fn none(&self) -> bool {
        let Self { lost, duplicated, reordered, foreign, unacknowledged, uncounted } = *self;
        lost + duplicated + reordered + foreign + unacknowledged + uncounted.unwrap_or(0) == 0
    }
}
