//! One user's link to the router, as a stream of events: what is asked of the router, in order, until it has answered; and
//! the messages it sends. A link that is lost is asked for again and whatever was not answered is handed to the next router.
//! Each session has one, and each shared subscription; they decide what to subscribe and what becomes of the messages.
//!
//! Everything is subscribed at rumqttd's QoS 1 and acknowledged in the order in which it came: rumqttd takes acknowledgements
//! in no other order, and sends no more than a hundred messages ahead of them. Everything is published at its QoS 2, and each
//! PUBREL follows its PUBLISH: only so does an answer come when those hundred are under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt;
use rumqttd::protocol::{Packet, PubAck, PubAckReason, PubRel, PubRelReason, Publish, Unsubscribe};
use rumqttd::{Forward, Notification};
use tokio::sync::oneshot;

use super::envelope::{barrier, routed};
use super::supervisor::{Station, Supervisor, Wire};

/// How many things may be asked of the router and not be answered. Each is answered twice, and the buffer they come in must
/// never be full of them: then the router would pause.
const WINDOW: usize = 40;
/// rumqttd's packet identifiers go round from 1 to this.
const LAST_ID: u16 = 100;

pub(super) struct Uplink<A> {
    supervisor: Arc<Supervisor>,
    // Before the station, so that the link ends before another can have its name.
    state: State,
    station: Arc<Station>,
    asked: VecDeque<Asked<A>>,
    unsent: Vec<Packet>,
    /// How many messages are not acknowledged to the router.
    owed: usize,
    /// The packet identifier of the oldest of them.
    oldest: u16,
    /// The router that the last link led to.
    generation: u64,
}

enum State {
    Waiting(oneshot::Receiver<Wire>),
    Up(Wire),
}

/// How far a subscription has been read in the router's log, which forgets what is too old without a word.
#[derive(Default)]
pub(super) struct Place(Option<u64>);

impl Place {
    /// Tells how many messages are missing before this one.
    pub(super) fn passed_over(&mut self, forward: &Forward) -> u64 {
        let Some((_, at)) = forward.cursor else { return 0 };
        let expected = self.0.replace(at + 1).unwrap_or(at);
        at.saturating_sub(expected)
    }
}

/// What is to be done, and what its answer means.
pub(super) struct Asked<A> {
    /// The message that is published; nothing where only the answer matters.
    pub(super) publish: Option<Publish>,
    /// Whether it may be published twice rather than be lost with a router.
    pub(super) again: bool,
    pub(super) meaning: A,
}

#[expect(clippy::large_enum_variant, reason = "it is looked at once, where it is made, and never kept")]
pub(super) enum Event<A> {
    /// There is a link, to a router that knows of the subscriptions and is asked again for what the last has not answered.
    Up,
    /// Everything up to this was done.
    Done(A),
    Message(Forward),
    /// The router is gone, and so many messages with it that may not be published twice.
    Lost(u64),
    /// The router has ended the link and lives on: there is a fault, and asking again could bring it on again.
    Expelled,
}

impl<A> Uplink<A> {
    pub(super) fn new(supervisor: &Arc<Supervisor>, station: Arc<Station>) -> Self {
        let state = State::Waiting(supervisor.ask(&station));
        let supervisor = Arc::clone(supervisor);
        Uplink {
            supervisor,
            state,
            station,
            asked: VecDeque::new(),
            unsent: Vec::new(),
            owed: 0,
            oldest: 1,
            generation: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether one more thing may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.is_up() && self.asked.len() < WINDOW
    }

    /// Whether everything that was asked is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.is_up() && self.asked.is_empty()
    }

    /// What was asked and is not answered, in order.
    pub(super) fn meanings(&mut self) -> impl Iterator<Item = &mut A> {
        self.asked.iter_mut().map(|asked| &mut asked.meaning)
    }

    /// Publishes, or has the router say when it has come so far.
    pub(super) fn ask(&mut self, asked: Asked<A>) {
        if self.is_up() {
            self.put(asked.publish.clone());
        }
        self.asked.push_back(asked);
    }

    /// The number of a filter that is subscribed.
    pub(super) fn number_of(&self, filter: &str) -> Option<u32> {
        self.station.number_of(filter)
    }

    /// Subscribes; messages will carry the number of the subscription, which is not 0.
    pub(super) fn subscribe(&mut self, filter: &str, number: u32) {
        let packet = self.station.subscribe(filter, number);
        if self.is_up() {
            self.unsent.push(packet);
        }
    }

    /// Unsubscribes; tells the number of the filter if it was subscribed. To be called only while [idle](Self::is_idle):
    /// behind a message that the subscription matches, in one batch, rumqttd would forget the subscription and go on
    /// serving it.
    pub(super) fn unsubscribe(&mut self, filter: &str) -> Option<u32> {
        let number = self.station.unsubscribe(filter)?;
        self.unsent.push(Packet::Unsubscribe(Unsubscribe { pkid: 1, filters: vec![routed(filter)] }, None));
        Some(number)
    }

    /// Acknowledges every message that came: the router may send as many more.
    pub(super) fn acknowledge(&mut self) {
        for _ in 0..std::mem::take(&mut self.owed) {
            let ack = PubAck { pkid: self.oldest, reason: PubAckReason::Success };
            self.unsent.push(Packet::PubAck(ack, None));
            self.oldest = self.oldest % LAST_ID + 1;
        }
    }

    /// Hands over what has been put together.
    pub(super) fn flush(&mut self) {
        let State::Up(wire) = &mut self.state else { return };
        wire.send(&mut self.unsent);
        if self.unsent.capacity() > WINDOW {
            self.unsent = Vec::new();
        }
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<A>> {
        loop {
            match &mut self.state {
                State::Waiting(answer) => match ready!(std::pin::Pin::new(answer).poll(cx)) {
                    Ok(wire) => {
                        let known = std::mem::replace(&mut self.generation, wire.generation);
                        self.state = State::Up(wire);
                        self.begin();
                        return Poll::Ready(if known == self.generation { Event::Expelled } else { Event::Up });
                    }
                    Err(_) => self.state = State::Waiting(self.supervisor.ask(&self.station)),
                },
                State::Up(Wire { left, .. }) if !left.is_empty() => {
                    if let Some(forward) = left.pop_front() {
                        return Poll::Ready(Event::Message(forward));
                    }
                }
                State::Up(wire) => match ready!(wire.notifications.poll_next_unpin(cx)) {
                    Some(Notification::Forward(forward)) => {
                        self.owed += 1;
                        return Poll::Ready(Event::Message(forward));
                    }
                    // An answer has a public type only as a packet.
                    Some(Notification::DeviceAck(ack)) => {
                        if let Packet::PubComp(..) = ack.into()
                            && let Some(done) = self.asked.pop_front()
                        {
                            if self.asked.is_empty() && self.asked.capacity() > 8 {
                                self.asked = VecDeque::new();
                            }
                            return Poll::Ready(Event::Done(done.meaning));
                        }
                    }
                    Some(_) => {}
                    None => return Poll::Ready(self.lost()),
                },
            }
        }
    }

    /// The messages that came before are still good; the rest is for the next router.
    fn lost(&mut self) -> Event<A> {
        self.unsent = Vec::new();
        (self.owed, self.oldest) = (0, 1);
        let mut lost = 0;
        for asked in self.asked.iter_mut().filter(|asked| !asked.again) {
            lost += u64::from(asked.publish.take().is_some());
        }
        self.state = State::Waiting(self.supervisor.ask(&self.station));
        Event::Lost(lost)
    }

    /// Brings a router to where the last one was.
    fn begin(&mut self) {
        self.unsent = self.station.subscriptions();
        for publish in self.asked.iter().map(|asked| asked.publish.clone()).collect::<Vec<_>>() {
            self.put(publish);
        }
    }

    fn put(&mut self, publish: Option<Publish>) {
        self.unsent.push(Packet::Publish(publish.unwrap_or_else(barrier), None));
        self.unsent.push(Packet::PubRel(PubRel { pkid: 1, reason: PubRelReason::Success }, None));
    }
}
