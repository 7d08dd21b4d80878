//! The mailbox against a plain model, and who is woken when.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::router::samples::{ROOMY, Sample, delivery, qos, take_all};

/// A delivery that can be told from others by its number.
fn numbered(number: u32, qos: QoS, replay: bool, padding: usize) -> Delivery {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(4 + padding, 0);
    let message = Sample { payload: &payload, ..Sample::default() }.message("t", qos);
    Delivery { replay, ..delivery(message) }
}

fn number(delivery: &Delivery) -> u32 {
    u32::from_be_bytes(delivery.message.payload()[..4].try_into().unwrap())
}

fn numbers<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Vec<u32> {
    deliveries.into_iter().map(number).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Connected,
    Away,
    Ended,
}

/// The mailbox as one would explain it.
struct Model {
    at: At,
    queue: Vec<Delivery>,
    held: Held,
    caps: Caps,
    full: u64,
    offline: u64,
}

impl Model {
    fn fits(&self, delivery: &Delivery, without_qos_0: bool) -> bool {
        let counts = |d: &&Delivery| !(d.replay || without_qos_0 && d.qos == QoS::AtMostOnce);
        let queued: Vec<_> = self.queue.iter().filter(counts).collect();
        let bytes: usize = queued.iter().map(|d| d.message.size()).sum();
        queued.len() as u32 + self.held.messages < self.caps.messages
            && bytes as u64 + self.held.bytes + delivery.message.size() as u64 <= self.caps.bytes
    }

    fn push(&mut self, delivery: Delivery) -> bool {
        match self.at {
            At::Ended => return false,
            At::Away if delivery.qos == QoS::AtMostOnce => {
                self.offline += 1;
                return false;
            }
            At::Away | At::Connected => {}
        }
        if delivery.replay {
            if self.queue.iter().filter(|d| d.replay).count() as u32 >= self.caps.replay {
                self.full += 1;
                return false;
            }
        } else if delivery.qos == QoS::AtMostOnce || !self.fits(&delivery, true) {
            if !self.fits(&delivery, false) {
                self.full += 1;
                return false;
            }
        } else {
            while !self.fits(&delivery, false) {
                let newest = self.queue.iter().rposition(|d| d.qos == QoS::AtMostOnce && !d.replay).unwrap();
                self.queue.remove(newest);
                self.full += 1;
            }
        }
        self.queue.push(delivery);
        true
    }

    fn take(&mut self, max_bytes: u64, room: usize) -> Vec<Delivery> {
        let urgent = self.queue.iter().any(|d| d.replay || d.qos == QoS::AtMostOnce);
        let mut bytes = 0;
        let more = |d: &&Delivery| {
            let before = bytes;
            bytes += d.message.size() as u64;
            before < max_bytes
        };
        let count = self.queue.iter().take(if urgent { usize::MAX } else { room }).take_while(more).count();
        self.queue.drain(..count).collect()
    }

    fn away(&mut self, held_back: Vec<Delivery>) {
        self.at = At::Away;
        self.held = Held::default();
        let newer = std::mem::replace(&mut self.queue, held_back);
        self.queue.extend(newer);
        let all = self.queue.len();
        self.queue.retain(|d| d.qos != QoS::AtMostOnce);
        self.offline += (all - self.queue.len()) as u64;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { qos: QoS, replay: bool, padding: usize },
    Take { max_bytes: u64, room: usize, held: usize },
    Away,
    Connected,
    Caps { messages: u32, bytes: u64, replay: u32 },
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let push = (qos(), prop::bool::weighted(0.2), 0..30usize).prop_map(|(qos, replay, padding)| Step::Push {
        qos,
        replay,
        padding,
    });
    let take =
        (0..150u64, 0..9usize, 0..4usize).prop_map(|(max_bytes, room, held)| Step::Take { max_bytes, room, held });
    let caps =
        (0..10u32, 0..150u64, 0..4u32).prop_map(|(messages, bytes, replay)| Step::Caps { messages, bytes, replay });
    prop_oneof![
        60 => push,
        8 => take,
        4 => Just(Step::Away),
        4 => Just(Step::Connected),
        4 => caps,
        1 => Just(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_use_of_a_mailbox_gives_what_a_plain_model_gives(steps in vec(step(), 1..150)) {
        let stats = Stats::default();
        let caps = Caps { messages: 8, bytes: 150, replay: 3 };
        let mailbox = Mailbox::new(caps, 0);
        let (full, offline) = (0, 0);
        let mut model =
            Model { at: At::Connected, queue: Vec::new(), held: Held::default(), caps, full, offline };
        let mut held_back: Vec<Delivery> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { qos, replay, padding } => {
                    let delivery = numbered(number as u32, qos, replay, padding);
                    prop_assert_eq!(mailbox.push(delivery.clone(), &stats), model.push(delivery));
                }
                Step::Take { max_bytes, room, held } if model.at == At::Connected => {
                    // Of what was taken the connection still holds the latest, at QoS 1 and 2 only.
                    held_back = held_back.split_off(held_back.len().saturating_sub(held));
                    let size = |d: &Delivery| d.message.size() as u64;
                    model.held = Held { messages: held_back.len() as u32, bytes: held_back.iter().map(size).sum(), replays: 0 };
                    let mut taken = VecDeque::new();
                    mailbox.take(&mut taken, max_bytes, room, model.held);
                    prop_assert_eq!(numbers(&taken), numbers(&model.take(max_bytes, room)));
                    held_back.extend(taken.into_iter().filter(|d| d.qos != QoS::AtMostOnce));
                }
                Step::Away if model.at == At::Connected => {
                    model.away(held_back.clone());
                    mailbox.away(std::mem::take(&mut held_back).into(), &stats);
                }
                Step::Connected if model.at == At::Away => {
                    model.at = At::Connected;
                    mailbox.connected(model.caps);
                }
                Step::Caps { messages, bytes, replay } => {
                    model.caps = Caps { messages, bytes, replay };
                    mailbox.set_caps(model.caps);
                }
                Step::End => {
                    model.at = At::Ended;
                    prop_assert_eq!(mailbox.end().len(), std::mem::take(&mut model.queue).len());
                }
                Step::Take { .. } | Step::Away | Step::Connected => {}
            }
            let figures = stats.snapshot();
            prop_assert_eq!(figures.dropped_queue_full, model.full);
            prop_assert_eq!(figures.dropped_offline, model.offline);
            prop_assert_eq!(mailbox.is_connected(), model.at == At::Connected);
        }
        prop_assert_eq!(numbers(&take_all(&mailbox)), numbers(&model.queue));
    }
}

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;

#[test]
fn a_full_queue_drops_its_newest_qos_0_message_first_and_otherwise_refuses_the_newest() {
    let stats = Stats::default();
    let mailbox = Mailbox::new(Caps { messages: 4, ..ROOMY }, 0);
    for (number, qos) in [(1, QOS_0), (2, QOS_1), (3, QOS_0), (4, QOS_1)] {
        assert!(mailbox.push(numbered(number, qos, false, 0), &stats));
    }
    assert!(!mailbox.push(numbered(5, QOS_0, false, 0), &stats));
    assert!(mailbox.push(numbered(6, QOS_1, false, 0), &stats), "in place of 3");
    assert!(mailbox.push(numbered(7, QOS_1, false, 0), &stats), "in place of 1");
    assert!(!mailbox.push(numbered(8, QOS_1, false, 0), &stats));
    assert_eq!(stats.snapshot().dropped_queue_full, 4);
    assert_eq!(numbers(&take_all(&mailbox)), [2, 4, 6, 7]);
}

#[test]
fn a_message_that_could_never_fit_pushes_no_other_out() {
    let stats = Stats::default();
    let mailbox = Mailbox::new(Caps { bytes: 100, ..ROOMY }, 0);
    assert!(mailbox.push(numbered(1, QOS_0, false, 0), &stats));
    assert!(!mailbox.push(numbered(2, QOS_1, false, 100), &stats));
    assert_eq!(numbers(&take_all(&mailbox)), [1]);
    assert_eq!(stats.snapshot().dropped_queue_full, 1);
}

#[test]
fn what_a_connection_holds_back_counts_towards_the_caps() {
    let stats = Stats::default();
    let mailbox = Mailbox::new(Caps { messages: 3, ..ROOMY }, 0);
    mailbox.take(&mut VecDeque::new(), 1, usize::MAX, Held { messages: 2, bytes: 20, replays: 0 });
    assert!(mailbox.push(numbered(1, QOS_1, false, 0), &stats));
    assert!(!mailbox.push(numbered(2, QOS_1, false, 0), &stats));
    assert!(mailbox.push(numbered(3, QOS_1, true, 0), &stats), "a replay has a cap of its own");
}

/// A waker that counts.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counting() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), woken.into())
}

#[test]
fn a_message_wakes_once_whoever_has_asked_for_messages() {
    let (stats, mailbox) = (Stats::default(), Mailbox::new(ROOMY, 0));
    let (woken, waker) = counting();
    let times = || woken.0.load(Ordering::Relaxed);
    mailbox.push(numbered(1, QOS_0, false, 0), &stats);
    assert!(!mailbox.arm(&waker, WakeFor::Message), "there is one already");
    take_all(&mailbox);
    assert!(mailbox.arm(&waker, WakeFor::Message));
    mailbox.push(numbered(2, QOS_0, false, 0), &stats);
    mailbox.push(numbered(3, QOS_0, false, 0), &stats);
    assert_eq!(times(), 1);
    assert!(mailbox.arm(&waker, WakeFor::Signal), "what is there does not matter to whoever asks for signals only");
    mailbox.push(numbered(4, QOS_0, false, 0), &stats);
    assert_eq!(times(), 1);
    mailbox.wake();
    assert_eq!(times(), 2);
}

#[test]
fn who_has_no_quota_is_woken_only_for_what_needs_none() {
    let (stats, mailbox) = (Stats::default(), Mailbox::new(ROOMY, 0));
    let (woken, waker) = counting();
    let times = || woken.0.load(Ordering::Relaxed);
    let taken = || {
        let mut taken = VecDeque::new();
        mailbox.take(&mut taken, u64::MAX, 0, Held::default());
        numbers(&taken)
    };
    mailbox.push(numbered(1, QOS_1, false, 0), &stats);
    assert_eq!(taken(), [0u32; 0]);
    assert!(mailbox.arm(&waker, WakeFor::Urgent));
    mailbox.push(numbered(2, QOS_1, false, 0), &stats);
    assert_eq!(times(), 0);
    mailbox.push(numbered(3, QOS_0, false, 0), &stats);
    assert_eq!(times(), 1);
    assert!(!mailbox.arm(&waker, WakeFor::Urgent));
    assert_eq!(taken(), [1, 2, 3], "what is before it must come first");
    assert!(mailbox.arm(&waker, WakeFor::Urgent));
    mailbox.push(numbered(4, QOS_1, true, 0), &stats);
    assert_eq!(times(), 2, "what is replayed is counted by its connection");
}

#[test]
fn a_signal_wakes_whatever_was_asked_for_and_the_first_one_stands() {
    let mailbox = Mailbox::new(ROOMY, 0);
    let (woken, waker) = counting();
    for wanted in [WakeFor::Message, WakeFor::Signal, WakeFor::Landing] {
        mailbox.board();
        assert!(mailbox.arm(&waker, wanted));
        mailbox.signal(Signal::TakenOver);
        mailbox.signal(Signal::Shutdown);
        assert!(!mailbox.arm(&waker, wanted), "there is a signal already");
        assert_eq!(mailbox.take_signal(), Some(Signal::TakenOver));
        assert_eq!(mailbox.take_signal(), None);
    }
    assert!(woken.0.load(Ordering::Relaxed) >= 2);
}

#[test]
fn the_waker_asked_for_last_is_woken() {
    let (stats, mailbox) = (Stats::default(), Mailbox::new(ROOMY, 0));
    let ((first, first_waker), (second, second_waker)) = (counting(), counting());
    assert!(mailbox.arm(&first_waker, WakeFor::Message));
    assert!(mailbox.arm(&second_waker, WakeFor::Message));
    mailbox.push(numbered(1, QOS_0, false, 0), &stats);
    assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn a_connection_that_is_gone_is_not_woken_and_its_signal_is_not_the_next_ones() {
    let (stats, mailbox) = (Stats::default(), Mailbox::new(ROOMY, 0));
    let (woken, waker) = counting();
    assert!(mailbox.arm(&waker, WakeFor::Message));
    mailbox.away(VecDeque::new(), &stats);
    mailbox.push(numbered(1, QOS_1, false, 0), &stats);
    mailbox.signal(Signal::Administrative);
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    mailbox.connected(ROOMY);
    assert_eq!(mailbox.take_signal(), None);
    assert_eq!(numbers(&take_all(&mailbox)), [1]);
}

#[test]
fn a_message_that_comes_while_bytes_are_on_their_way_wakes_when_they_have_landed() {
    let (stats, mailbox) = (Stats::default(), Mailbox::new(ROOMY, 0));
    let (woken, waker) = counting();
    let times = || woken.0.load(Ordering::Relaxed);
    mailbox.board();
    assert!(mailbox.arm(&waker, WakeFor::Message));
    assert!(mailbox.depart());
    mailbox.land(Ok(&[]));
    assert_eq!(times(), 0, "all was sent, and nothing has come");
    mailbox.push(numbered(1, QOS_0, false, 0), &stats);
    assert_eq!(times(), 1, "it still listens");
    mailbox.board();
    assert!(mailbox.arm(&waker, WakeFor::Message), "nothing can be delivered yet, so nothing is there");
    mailbox.push(numbered(2, QOS_0, false, 0), &stats);
    assert_eq!(times(), 1);
    assert!(mailbox.depart());
    mailbox.land(Ok(&[]));
    assert_eq!(times(), 2);
    assert!(!mailbox.arm(&waker, WakeFor::Message));
    assert_eq!(numbers(&take_all(&mailbox)), [1, 2]);
}

#[test]
fn who_waits_for_a_landing_is_woken_by_it_and_by_bytes_that_come_back_whatever_was_asked_for() {
    let mailbox = Mailbox::new(ROOMY, 0);
    let (woken, waker) = counting();
    mailbox.board();
    assert!(mailbox.arm(&waker, WakeFor::Landing));
    assert!(mailbox.landed().is_pending());
    assert!(mailbox.depart());
    mailbox.land(Ok(&[]));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(!mailbox.arm(&waker, WakeFor::Landing), "it is there already");
    for (times, wanted) in [(2, WakeFor::Signal), (3, WakeFor::Message), (4, WakeFor::Landing)] {
        mailbox.board();
        assert!(mailbox.arm(&waker, wanted));
        mailbox.land(Ok(b"rest"));
        assert_eq!(woken.0.load(Ordering::Relaxed), times);
        assert!(!mailbox.arm(&waker, wanted), "something has come back");
        assert!(matches!(mailbox.landed(), Poll::Ready(Ok(rest)) if rest == b"rest"));
    }
    mailbox.board();
    assert!(mailbox.poll_landed(&waker).is_pending());
    mailbox.land(Err(std::io::ErrorKind::BrokenPipe.into()));
    assert_eq!(woken.0.load(Ordering::Relaxed), 5);
    assert!(matches!(mailbox.poll_landed(&waker), Poll::Ready(Err(_))));
}

#[test]
fn bytes_that_are_abandoned_do_not_depart() {
    let mailbox = Mailbox::new(ROOMY, 0);
    mailbox.board();
    mailbox.abandon();
    assert!(!mailbox.depart());
    assert!(matches!(mailbox.landed(), Poll::Ready(Ok(rest)) if rest.is_empty()));
}
