//! What is counted on the way of a packet: plain numbers of the thread, raised message by message while a connection is worked
//! on and settled once a batch, so that a message costs no atomic operation for them. Settled before anything is written:
//! whoever has an answer finds counted what it answers.

use std::cell::Cell;
use std::time::Instant;

use crate::hooks::Client;
use crate::limits::UnixMillis;
use crate::stats::{Stats, Timing};
use crate::wire::QoS;

/// One publish of so many is timed.
const TIMED: u32 = 1024;

/// Messages of one QoS, and the bytes of their payloads.
struct Flow {
    messages: Cell<u64>,
    bytes: Cell<u64>,
}

impl Flow {
    const fn new() -> Self {
        Flow { messages: Cell::new(0), bytes: Cell::new(0) }
    }
}

struct Counted {
    received: [Flow; 3],
    sent: [Flow; 3],
    read: Cell<u64>,
    written: Cell<u64>,
    /// Whether there is anything to settle.
    any: Cell<bool>,
    publishes: Cell<u32>,
}

const EACH: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

thread_local! {
    static COUNTED: Counted = const {
        Counted {
            received: [const { Flow::new() }; 3],
            sent: [const { Flow::new() }; 3],
            read: Cell::new(0),
            written: Cell::new(0),
            any: Cell::new(false),
            publishes: Cell::new(0),
        }
    };
}

/// A message was taken from the client.
#[inline]
pub(super) fn received(qos: QoS, bytes: usize) {
    COUNTED.with(|counted| counted.flow(&counted.received[qos as usize], bytes));
}

/// A message was written for the client.
#[inline]
pub(super) fn sent(qos: QoS, bytes: usize) {
    COUNTED.with(|counted| counted.flow(&counted.sent[qos as usize], bytes));
}

/// So many bytes were read from the client.
#[inline]
pub(super) fn read(bytes: usize) {
    COUNTED.with(|counted| counted.bytes(&counted.read, bytes));
}

/// So many bytes were written to the client.
#[inline]
pub(super) fn written(bytes: usize) {
    COUNTED.with(|counted| counted.bytes(&counted.written, bytes));
}

/// Does the work of one publish, and times it if its turn has come.
#[inline]
pub(super) fn timed<R>(timing: &Timing, work: impl FnOnce() -> R) -> R {
    let turn = COUNTED.with(|counted| counted.publishes.replace(counted.publishes.get().wrapping_add(1)));
    if !turn.is_multiple_of(TIMED) {
        return work();
    }
    let begun = Instant::now();
    let result = work();
    timing.observe(begun.elapsed());
    result
}

/// Adds what was counted since the last time to the broker's figures and to those of the client's device, at `now`.
pub(super) fn settle(stats: &Stats, client: &Client, now: UnixMillis) {
    COUNTED.with(|counted| {
        if !counted.any.replace(false) {
            return;
        }
        let settle = |flows: &[Flow; 3], add: fn(&Stats, QoS, u64, u64)| {
            let mut all = 0;
            for (qos, flow) in EACH.into_iter().zip(flows) {
                let messages = flow.messages.take();
                if messages > 0 {
                    add(stats, qos, messages, flow.bytes.take());
                    all += messages;
                }
            }
            all
        };
        let received = settle(&counted.received, Stats::add_received);
        let sent = settle(&counted.sent, Stats::add_sent);
        if received + sent > 0 {
            client.activity.add(received, sent, now);
        }
        for (bytes, figure) in [(&counted.read, &stats.network_bytes_in), (&counted.written, &stats.network_bytes_out)]
        {
            match bytes.take() {
                0 => {}
                bytes => figure.add(bytes),
            }
        }
    });
}

impl Counted {
    #[inline]
    fn flow(&self, flow: &Flow, bytes: usize) {
        flow.messages.set(flow.messages.get() + 1);
        self.bytes(&flow.bytes, bytes);
    }

    #[inline]
    fn bytes(&self, cell: &Cell<u64>, bytes: usize) {
        cell.set(cell.get() + bytes as u64);
        self.any.set(true);
    }
}
