//! The mailbox of a session: where publishers put messages, and where the session's connection takes them whole. It outlives
//! the connection, so that a session that is away keeps what it is owed. Its lock is held for a push or a swap, never while
//! anything is encoded or written.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::Delivery;
use crate::stats::Stats;
use crate::wire::QoS;

/// How much may wait for one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) messages: u32,
    /// Retained messages that wait to be sent for new subscriptions.
    pub(crate) replay: u32,
    pub(crate) bytes: u64,
}

/// What a connection is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Another connection has taken its client identifier [MQTT-3.1.4-3].
    TakenOver,
    /// The broker is going away.
    Shutdown,
    /// An operator, or a device that is no longer configured, ends it.
    Administrative,
}

pub(crate) struct Mailbox {
    id: u64,
    client: u64,
    /// How many filters the session subscribes, for whoever looks at it from outside.
    subscriptions: AtomicU32,
    inner: Mutex<Inner>,
}

struct Inner {
    queue: VecDeque<Delivery>,
    /// Bytes in `queue`, replays aside: those are shared with the retained messages anyway.
    bytes: u64,
    /// How many in `queue` are replays.
    replays: u32,
    /// What in `queue` could be dropped for a message of a higher QoS.
    droppable: Held,
    /// What the connection has taken and cannot send yet: it counts towards the caps.
    held: Held,
    caps: Caps,
    state: State,
    signal: Option<Signal>,
    waker: Option<Waker>,
    /// What the waker is to be woken for, beside a signal.
    wanted: WakeFor,
    flight: Flight,
    /// What came back of the latest flight.
    back: Option<Box<io::Result<Vec<u8>>>>,
}

/// What a connection that sleeps wants to be woken for, beside a signal and bytes of its own that come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeFor {
    /// Nothing else.
    Signal,
    /// A message, once nothing of the connection's is on its way.
    Message,
    /// The same, but for those of QoS 1 and 2 that need quota.
    Urgent,
    /// The end of what is on its way.
    Landing,
}

/// Where bytes of the connection's are that it has given away to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flight {
    /// There are none.
    None,
    /// They wait, and can be taken back.
    Boarded,
    /// The system is being called.
    Departed,
}

/// What a connection holds back.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Messages, replays aside.
    pub(crate) messages: u32,
    pub(crate) replays: u32,
    /// The bytes of the messages.
    pub(crate) bytes: u64,
}

impl Held {
    pub(crate) fn add(&mut self, delivery: &Delivery) {
        if delivery.replay {
            self.replays += 1;
        } else {
            self.messages += 1;
            self.bytes += delivery.message.size() as u64;
        }
    }

    pub(crate) fn remove(&mut self, delivery: &Delivery) {
        if delivery.replay {
            self.replays -= 1;
        } else {
            self.messages -= 1;
            self.bytes -= delivery.message.size() as u64;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connected,
    Away,
    Ended,
}

/// The most that an idle mailbox keeps allocated, in messages.
const IDLE_CAPACITY: usize = 8;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Mailbox {
    /// `client` is the number of the session's client identifier.
    pub(crate) fn new(caps: Caps, client: u64) -> Self {
        Mailbox {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            client,
            subscriptions: AtomicU32::new(0),
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                bytes: 0,
                replays: 0,
                droppable: Held::default(),
                held: Held::default(),
                caps,
                state: State::Connected,
                signal: None,
                waker: None,
                wanted: WakeFor::Signal,
                flight: Flight::None,
                back: None,
            }),
        }
    }

    /// A number that no other mailbox of this process has: the session's identity within the broker.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The number of its client identifier: the same for every session of that client.
    pub(crate) fn client(&self) -> u64 {
        self.client
    }

    /// The session subscribes so many filters now.
    pub(crate) fn set_subscriptions(&self, count: usize) {
        self.subscriptions.store(count.try_into().unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How many filters the session subscribes.
    pub(crate) fn subscriptions(&self) -> u32 {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// How many messages wait for the session, those that its connection holds back included.
    pub(crate) fn waiting(&self) -> u64 {
        let inner = self.inner.lock();
        inner.queue.len() as u64 + u64::from(inner.held.messages) + u64::from(inner.held.replays)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.inner.lock().state == State::Connected
    }

    /// Puts a message in, if the caps allow: a full queue drops its newest QoS 0 message first, and otherwise refuses this
    /// one. Tells whether the message is now in the queue.
    pub(crate) fn push(&self, delivery: Delivery, stats: &Stats) -> bool {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Connected => {}
            State::Away if delivery.qos != QoS::AtMostOnce => {}
            State::Away => {
                stats.dropped_offline.add(1);
                return false;
            }
            State::Ended => return false,
        }
        if !inner.make_room(&delivery, stats) {
            return false;
        }
        inner.note(&delivery, true);
        inner.queue.push_back(delivery);
        let wanted = match inner.wanted {
            WakeFor::Message => true,
            WakeFor::Urgent => inner.is_urgent(),
            WakeFor::Signal | WakeFor::Landing => false,
        };
        if wanted && inner.flight == Flight::None {
            inner.wake();
        }
        true
    }

    /// Whether its session is connected and has room for one more message: for a sender that can wait for that.
    pub(crate) fn has_room(&self) -> bool {
        let inner = self.inner.lock();
        let messages = inner.queued() + inner.held.messages;
        inner.state == State::Connected
            && messages < inner.caps.messages
            && inner.bytes + inner.held.bytes < inner.caps.bytes
    }

    /// Tells the connection something; an earlier word that it has not heard yet stands.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut inner = self.inner.lock();
        inner.signal.get_or_insert(signal);
        inner.wake();
    }

    /// Has the connection look around.
    pub(crate) fn wake(&self) {
        self.inner.lock().wake();
    }

    pub(crate) fn take_signal(&self) -> Option<Signal> {
        self.inner.lock().signal.take()
    }

    /// Moves up to `max_bytes` of messages (at least one) into `into`, and notes what the connection still holds back from
    /// earlier. It has `room` for so many messages of QoS 1 and 2: where those are all there is, others stay.
    pub(crate) fn take(&self, into: &mut VecDeque<Delivery>, max_bytes: u64, room: usize, held: Held) {
        let mut inner = self.inner.lock();
        inner.held = held;
        let most = if inner.is_urgent() { usize::MAX } else { room };
        if inner.bytes <= max_bytes && inner.replays == 0 && inner.queue.len() <= most {
            into.append(&mut inner.queue);
            (inner.bytes, inner.droppable) = (0, Held::default());
            return;
        }
        let (mut taken, most) = (0, into.len().saturating_add(most));
        while taken < max_bytes
            && into.len() < most
            && let Some(delivery) = inner.queue.pop_front()
        {
            taken += delivery.message.size() as u64;
            inner.note(&delivery, false);
            into.push_back(delivery);
        }
    }

    /// Asks to be woken by a signal and by what is `wanted`. False where that is there already: then nothing was arranged.
    pub(crate) fn arm(&self, waker: &Waker, wanted: WakeFor) -> bool {
        let mut inner = self.inner.lock();
        let there = match (wanted, inner.flight) {
            (WakeFor::Message, Flight::None) => !inner.queue.is_empty(),
            (WakeFor::Urgent, Flight::None) => inner.is_urgent(),
            (WakeFor::Landing, Flight::None) => true,
            _ => false,
        };
        if there || inner.signal.is_some() || inner.back.is_some() {
            return false;
        }
        inner.wanted = wanted;
        if inner.queue.is_empty() && inner.queue.capacity() > IDLE_CAPACITY {
            inner.queue = VecDeque::new();
        }
        inner.wake_with(waker);
        true
    }

    // Bytes of the connection's that others send for it.

    /// The connection has given bytes away to be sent.
    pub(crate) fn board(&self) {
        self.inner.lock().flight = Flight::Boarded;
    }

    /// The bytes are being sent; false where they are not wanted any more.
    pub(crate) fn depart(&self) -> bool {
        let mut inner = self.inner.lock();
        let boarded = inner.flight == Flight::Boarded;
        if boarded {
            inner.flight = Flight::Departed;
        }
        boarded
    }

    /// The bytes were sent, but for `rest`.
    pub(crate) fn land(&self, rest: io::Result<&[u8]>) {
        let mut inner = self.inner.lock();
        inner.flight = Flight::None;
        let back = !matches!(rest, Ok([]));
        if back {
            inner.back = Some(Box::new(rest.map(Vec::from)));
        }
        let wanted = match inner.wanted {
            WakeFor::Signal => false,
            WakeFor::Message => !inner.queue.is_empty(),
            WakeFor::Urgent => inner.is_urgent(),
            WakeFor::Landing => true,
        };
        if back || wanted {
            inner.wake();
        }
    }

    /// What came back of the bytes that were given away: nothing, if all were sent. Pending while they are on their way.
    pub(crate) fn landed(&self) -> Poll<io::Result<Vec<u8>>> {
        self.inner.lock().landed()
    }

    /// The same, and asks to be woken when they are not on their way any more.
    pub(crate) fn poll_landed(&self, waker: &Waker) -> Poll<io::Result<Vec<u8>>> {
        let mut inner = self.inner.lock();
        let landed = inner.landed();
        if landed.is_pending() {
            inner.wanted = WakeFor::Landing;
            inner.wake_with(waker);
        }
        landed
    }

    /// The connection is gone without a word: what it has given away and is not being sent never will be, and what is being sent is
    /// sent when this returns.
    pub(crate) fn abandon(&self) {
        loop {
            let mut inner = self.inner.lock();
            match inner.flight {
                Flight::None => return,
                Flight::Boarded => inner.flight = Flight::None,
                Flight::Departed => {
                    drop(inner);
                    std::thread::yield_now();
                }
            }
        }
    }

    /// The session's connection is there: messages of every QoS are taken, under these caps.
    pub(crate) fn connected(&self, caps: Caps) {
        let mut inner = self.inner.lock();
        inner.state = State::Connected;
        inner.caps = caps;
        inner.signal = None;
    }

    pub(crate) fn set_caps(&self, caps: Caps) {
        self.inner.lock().caps = caps;
    }

    /// The connection is gone, and the session stays: what it held back goes to the front of the queue, QoS 0 is dropped.
    pub(crate) fn away(&self, held_back: VecDeque<Delivery>, stats: &Stats) {
        let mut inner = self.inner.lock();
        inner.state = State::Away;
        inner.waker = None;
        inner.wanted = WakeFor::Signal;
        inner.held = Held::default();
        let newer = std::mem::replace(&mut inner.queue, held_back);
        inner.queue.extend(newer);
        let all = inner.queue.len();
        inner.queue.retain(|delivery| delivery.qos != QoS::AtMostOnce);
        stats.dropped_offline.add((all - inner.queue.len()) as u64);
        inner.queue.shrink_to_fit();
        inner.recount();
    }

    /// Takes out what came by shared subscriptions, for another member to have.
    pub(crate) fn take_shared(&self) -> Vec<Delivery> {
        let mut inner = self.inner.lock();
        if inner.queue.iter().all(|delivery| delivery.group.is_none()) {
            return Vec::new();
        }
        let (shared, own): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut inner.queue).into_iter().partition(|delivery| delivery.group.is_some());
        inner.queue = own;
        inner.recount();
        shared.into()
    }

    /// The session is over: nothing more is taken. What was there is returned.
    pub(crate) fn end(&self) -> VecDeque<Delivery> {
        let mut inner = self.inner.lock();
        inner.state = State::Ended;
        inner.waker = None;
        inner.held = Held::default();
        let queue = std::mem::take(&mut inner.queue);
        inner.recount();
        queue
    }
}

impl Inner {
    fn wake(&mut self) {
        self.wanted = WakeFor::Signal;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn landed(&mut self) -> Poll<io::Result<Vec<u8>>> {
        match self.flight {
            Flight::None => Poll::Ready(self.back.take().map_or(Ok(Vec::new()), |back| *back)),
            Flight::Boarded | Flight::Departed => Poll::Pending,
        }
    }

    /// Remembers whom to wake.
    fn wake_with(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(old) if old.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
    }

    /// Keeps the sums of the queue as a delivery goes in or out.
    fn note(&mut self, delivery: &Delivery, goes_in: bool) {
        let size = delivery.message.size() as u64;
        let count = |messages: &mut u32| if goes_in { *messages += 1 } else { *messages -= 1 };
        let weigh = |bytes: &mut u64| if goes_in { *bytes += size } else { *bytes -= size };
        if delivery.replay {
            return count(&mut self.replays);
        }
        weigh(&mut self.bytes);
        if delivery.qos == QoS::AtMostOnce {
            count(&mut self.droppable.messages);
            weigh(&mut self.droppable.bytes);
        }
    }

    /// Whether the connection cannot leave the queue alone while it has no quota: QoS 0 needs none, and replays are counted by it.
    fn is_urgent(&self) -> bool {
        self.droppable.messages > 0 || self.replays > 0
    }

    /// Messages in the queue, replays aside. There are never more than the caps say.
    fn queued(&self) -> u32 {
        self.queue.len() as u32 - self.replays
    }

    fn recount(&mut self) {
        (self.bytes, self.replays, self.droppable) = (0, 0, Held::default());
        let queue = std::mem::take(&mut self.queue);
        for delivery in &queue {
            self.note(delivery, true);
        }
        self.queue = queue;
    }

    /// Whether the delivery fits, after dropping the newest QoS 0 messages if that makes it fit.
    fn make_room(&mut self, delivery: &Delivery, stats: &Stats) -> bool {
        if delivery.replay {
            let fits = self.replays + self.held.replays < self.caps.replay;
            if !fits {
                stats.dropped_queue_full.add(1);
            }
            return fits;
        }
        let size = delivery.message.size() as u64;
        let fits = |inner: &Inner, dropped: Held| {
            let messages = inner.queued() + inner.held.messages - dropped.messages;
            let bytes = inner.bytes + inner.held.bytes + size - dropped.bytes;
            messages < inner.caps.messages && bytes <= inner.caps.bytes
        };
        // Nothing is dropped for a message that does not fit even so.
        let may_drop = delivery.qos != QoS::AtMostOnce && fits(self, self.droppable);
        loop {
            if fits(self, Held::default()) {
                return true;
            }
            stats.dropped_queue_full.add(1);
            if !may_drop {
                return false;
            }
            let newest = self.queue.iter().rposition(|d| d.qos == QoS::AtMostOnce && !d.replay);
            let Some(dropped) = newest.and_then(|at| self.queue.remove(at)) else { return false };
            self.note(&dropped, false);
        }
    }
}

#[cfg(test)]
mod tests;
