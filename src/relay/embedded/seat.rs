//! What is kept for a client identifier, connected or not: its session, its link to the router, and what it subscribes there.
//! A connection works on it while it owns it; another that comes for the same identifier takes it over where it stands. Called
//! by the links and by [`Embedded`], always under the seat's lock; it knows no stream.

use std::num::NonZeroU32;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rumqttd::Forward;

use super::Embedded;
use super::envelope;
use super::share::Share;
use super::supervisor::Station;
use super::uplink::{Asked, Place, Uplink};
use crate::router::{Delivery, Mailbox, QueueCaps, Subscription, SubscriptionIds};
use crate::session::{Session, Subscribed, Unfinished};
use crate::wire::{AckKind, PacketId, QoS};

pub(super) struct Seat {
    pub(super) client_id: Box<str>,
    /// Nothing once the session has ended.
    pub(super) taken: Mutex<Option<Taken>>,
}

pub(super) struct Taken {
    /// The link that is connected to it; 0: nobody is.
    pub(super) owner: u64,
    pub(super) session: Session,
    pub(super) uplink: Uplink<Meaning>,
    /// By the number of the filter at the router.
    plain: HashMap<u32, Plain>,
    last_number: u32,
    pub(super) shares: HashMap<Box<str>, Arc<Share>>,
    /// When its client came, in milliseconds of the monotonic clock.
    since: u64,
}

/// A subscription that is not shared.
struct Plain {
    subscribed: Subscribed,
    place: Place,
}

/// What is due to the client when the router has come so far.
pub(super) enum Meaning {
    Nothing,
    Ack(AckKind, PacketId),
    SubAck(Box<Subscribing>),
    /// PINGRESP. The router answers before it forwards: it is asked `again`, and has forwarded in between.
    Ping {
        again: bool,
    },
}

/// A SUBSCRIBE that the router has not come to.
pub(super) struct Subscribing {
    /// The answer, as it is to be sent.
    pub(super) suback: Vec<u8>,
    /// The filters whose retained messages follow it.
    pub(super) replays: Vec<Box<str>>,
}

/// What a session may hold for its client in addition to what the router holds: it is filled only by shared subscriptions,
/// which wait for room, and by retained messages.
fn caps(embedded: &Embedded) -> QueueCaps {
    QueueCaps { messages: 200, bytes: 4 << 20, replay: embedded.bounds.max_topics.try_into().unwrap_or(u32::MAX) }
}

impl Taken {
    /// A new session, for a client that is there.
    pub(super) fn new(embedded: &Embedded, client: u64, station: Arc<Station>, owner: u64) -> Self {
        Taken {
            owner,
            session: Session::new(Arc::new(Mailbox::new(caps(embedded), client))),
            uplink: Uplink::new(&embedded.supervisor, station),
            plain: HashMap::new(),
            last_number: 0,
            shares: HashMap::new(),
            since: embedded.now(),
        }
    }

    /// The client is there again.
    pub(super) fn resume(&mut self, embedded: &Embedded, owner: u64) {
        self.owner = owner;
        self.since = embedded.now();
        self.session.resume();
        self.session.mailbox().connected(caps(embedded));
        for share in self.shares.values() {
            share.arrived(self.session.mailbox(), self.since);
        }
    }

    /// The client is gone and its session stays: what it has not had is kept, or given to others who share it.
    pub(super) fn park(&mut self, embedded: &Embedded) {
        self.owner = 0;
        self.session.park(&embedded.stats);
        let number = self.session.mailbox().id();
        let mut shared = self.session.take_shared(|group| group.has_other(number));
        shared.extend(self.session.mailbox().take_shared());
        for delivery in shared {
            match self.shares.values().find(|share| share.brought(&delivery) && share.has_other(number)) {
                Some(share) => share.give_back(delivery.message),
                None => drop(self.session.mailbox().push(delivery, &embedded.stats)),
            }
        }
        self.uplink.meanings().for_each(|meaning| *meaning = Meaning::Nothing);
    }

    /// The session is over.
    pub(super) fn end(self, embedded: &Embedded) {
        let number = self.session.mailbox().id();
        let others: Vec<Arc<Share>> = self
            .shares
            .into_iter()
            .filter(|(filter, _)| embedded.shares.leave(filter, number, &embedded.stats))
            .map(|(_, share)| share)
            .collect();
        for Unfinished { delivery, sent } in self.session.end() {
            // As in the native backend: a QoS 2 message that was sent is lost with its client [MQTT-4.8.2-5].
            let stays = sent && delivery.qos == QoS::ExactlyOnce;
            match others.iter().find(|share| share.brought(&delivery) && !stays) {
                Some(share) => share.give_back(delivery.message),
                None => embedded.stats.dropped_session_ended.add(1),
            }
        }
    }

    /// Subscribes a filter that is not shared, or changes its options; tells whether it is new. `None`: there is no room for
    /// it in the router.
    pub(super) fn subscribe(&mut self, filter: &str, subscribed: Subscribed, embedded: &Embedded) -> Option<bool> {
        if let Some(plain) = self.uplink.number_of(filter).and_then(|number| self.plain.get_mut(&number)) {
            plain.subscribed = subscribed;
        } else {
            if !embedded.supervisor.admits_filter(filter) {
                return None;
            }
            self.last_number += 1;
            self.plain.insert(self.last_number, Plain { subscribed, place: Place::default() });
            self.uplink.subscribe(filter, self.last_number);
        }
        Some(self.session.subscribe(filter, subscribed))
    }

    /// Subscribes a shared filter, or changes its options. `None`: there is no room for it in the router.
    pub(super) fn join(&mut self, filter: &str, subscribed: Subscribed, embedded: &Embedded) -> Option<()> {
        let member = Subscription {
            mailbox: Arc::clone(self.session.mailbox()),
            qos: subscribed.options.qos,
            no_local: false,
            retain_as_published: subscribed.options.retain_as_published,
            id: subscribed.id.and_then(NonZeroU32::new),
        };
        let share = embedded.shares.join(filter, member, &embedded.supervisor, &embedded.stats)?;
        if !self.shares.contains_key(filter) {
            share.arrived(self.session.mailbox(), embedded.now());
            self.shares.insert(filter.into(), share);
        }
        self.session.subscribe(filter, subscribed);
        Some(())
    }

    /// Unsubscribes a filter of either kind; tells whether there was one. To be called while the uplink is idle.
    pub(super) fn unsubscribe(&mut self, filter: &str, embedded: &Embedded) -> bool {
        if let Some(number) = self.uplink.unsubscribe(filter) {
            self.plain.remove(&number);
        }
        if self.shares.remove(filter).is_some() {
            embedded.shares.leave(filter, self.session.mailbox().id(), &embedded.stats);
        }
        self.session.unsubscribe(filter)
    }

    /// Whether the router knows every shared subscription that this session is in; if not, it is woken when it does.
    pub(super) fn shares_are_up(&self) -> bool {
        self.shares.values().all(|share| share.is_up(self.session.mailbox()))
    }

    /// There is another router: its log begins anew.
    pub(super) fn begin_anew(&mut self) {
        self.plain.values_mut().for_each(|plain| plain.place = Place::default());
    }

    /// Has the router say when it has handled everything so far.
    pub(super) fn after_that(&mut self, meaning: Meaning) {
        self.uplink.ask(Asked { publish: None, again: true, meaning });
    }

    /// The delivery that a message of the router is for this session, if it is one.
    pub(super) fn delivery(&mut self, forward: &Forward, embedded: &Embedded) -> Option<Delivery> {
        let stats = &embedded.stats;
        let number = *forward.properties.as_ref()?.subscription_identifiers.last()?;
        // It may have been unsubscribed meanwhile.
        let Plain { subscribed, place } = self.plain.get_mut(&u32::try_from(number).ok()?)?;
        stats.dropped_queue_full.add(place.passed_over(forward));
        let opened = envelope::open(&forward.publish)?;
        let (message, options) = (opened.message, subscribed.options);
        // [MQTT-3.8.3-3]
        if options.no_local && message.publisher() == self.session.mailbox().client() {
            return None;
        }
        // The lower of the two [MQTT-3.8.4-8].
        let qos = options.qos.min(message.qos());
        if qos == QoS::AtMostOnce && opened.received < self.since {
            stats.dropped_offline.add(1);
            return None;
        }
        let mut ids = SubscriptionIds::None;
        ids.add(subscribed.id);
        // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
        let retain = options.retain_as_published && message.retain();
        Some(Delivery { message, qos, retain, replay: false, ids, group: None })
    }

    /// Puts the retained messages of a filter into the mailbox [MQTT-3.3.1-9].
    pub(super) fn replay(&self, filter: &str, embedded: &Embedded) {
        let number = self.uplink.number_of(filter);
        let Some(plain) = number.and_then(|number| self.plain.get(&number)) else { return };
        let Subscribed { options, id } = plain.subscribed;
        let mailbox = self.session.mailbox();
        let mut ids = SubscriptionIds::None;
        ids.add(id);
        for message in embedded.retained.retained(filter, embedded.now()) {
            if !(options.no_local && message.publisher() == mailbox.client()) {
                let qos = options.qos.min(message.qos());
                // [MQTT-3.3.1-8] of 3.1.1
                let delivery = Delivery { message, qos, retain: true, replay: true, ids: ids.clone(), group: None };
                mailbox.push(delivery, &embedded.stats);
            }
        }
    }
}
