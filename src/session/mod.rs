//! The MQTT session as a state machine: packet identifiers, what is in flight in both directions, what waits for quota, and
//! what is sent again on resume. Driven by the edge: packets and deliveries go in with `now`, bytes come out. It does no I/O
//! and reads no clock, so losses and reconnects are tested without a network.

mod link;
mod registry;
mod relayed;
mod subscriptions;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

pub(crate) use link::Link;
pub(crate) use registry::{Claim, Connected, Due, Parked, PendingWill, Registry, Released};
pub(crate) use relayed::Relayed;
use subscriptions::Subscriptions;

use crate::router::{Delivery, Group, Held, Mailbox};
use crate::stats::Stats;
use crate::wire::{AckKind, PacketId, QoS, ReasonCode, SubscriptionOptions, put_ack, put_pubrel_again};

/// What the broker keeps for a client identifier, connected or not [MQTT-3.1.2-23].
pub(crate) struct Session {
    mailbox: Arc<Mailbox>,
    subscriptions: Subscriptions,
    /// Packet identifiers of QoS 2 messages taken from the client and not yet released by it, and whether that was on this
    /// connection.
    inbound: Option<Box<HashMap<u16, bool>>>,
    /// How many of them were taken on this connection.
    open_here: usize,
    /// What was sent at QoS 1 and 2 and is not done, in the order of sending.
    outbound: VecDeque<Outbound>,
    /// Messages of QoS 1 and 2 that may not be sent yet: no quota, or over the `receive` limit.
    waiting: VecDeque<Delivery>,
    /// What is in `waiting`.
    held: Held,
    /// How many in `outbound` count against the client's Receive Maximum on this connection.
    in_flight: usize,
    /// Something in `outbound` is still to be sent again on this connection.
    resending: bool,
    last_id: u16,
    /// What is to be known of the deliveries of a session that another broker keeps.
    relayed: Option<Box<Relayed>>,
}

/// A subscription as the session remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscribed {
    pub(crate) options: SubscriptionOptions,
    pub(crate) id: Option<u32>,
}

struct Outbound {
    id: PacketId,
    step: Step,
    /// Whether it was sent on this connection.
    sent: bool,
}

enum Step {
    /// PUBLISH was sent; PUBACK or PUBREC is awaited.
    Publish(Delivery),
    /// PUBREC has come and PUBREL was sent; PUBCOMP is awaited.
    Release,
}

/// A message that a session ended with.
pub(crate) struct Unfinished {
    pub(crate) delivery: Delivery,
    /// Whether it was sent and not acknowledged.
    pub(crate) sent: bool,
}

/// Whether a delivery can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Now,
    /// There is no quota for it, or something older must be sent again first.
    NoQuota,
    /// Its expiry interval has passed [MQTT-3.3.2-5].
    Expired,
    /// It is larger than the client takes [MQTT-3.1.2-25].
    TooLarge,
}

impl Session {
    /// A new session around its mailbox.
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Session {
            mailbox,
            subscriptions: Subscriptions::default(),
            inbound: None,
            open_here: 0,
            outbound: VecDeque::new(),
            waiting: VecDeque::new(),
            held: Held::default(),
            in_flight: 0,
            resending: false,
            last_id: 0,
            relayed: None,
        }
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Remembers a subscription; tells whether its filter is new [MQTT-3.8.4-3].
    pub(crate) fn subscribe(&mut self, filter: &str, subscribed: Subscribed) -> bool {
        let new = self.subscriptions.insert(filter, subscribed);
        self.mailbox.set_subscriptions(self.subscriptions.len());
        new
    }

    /// Forgets a subscription; tells whether there was one.
    pub(crate) fn unsubscribe(&mut self, filter: &str) -> bool {
        let known = self.subscriptions.remove(filter);
        self.mailbox.set_subscriptions(self.subscriptions.len());
        known
    }

    /// What is to be known of the deliveries of a session that another broker keeps.
    pub(crate) fn relayed(&mut self) -> &mut Relayed {
        self.relayed.get_or_insert_default()
    }

    pub(crate) fn is_subscribed(&self, filter: &str) -> bool {
        self.subscriptions.contains(filter)
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Every filter with what holds for it.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = (&str, Subscribed)> {
        self.subscriptions.iter()
    }

    pub(crate) fn filters(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.iter().map(|(filter, _)| filter)
    }

    // From the client.

    /// Whether a QoS 2 packet identifier is open: a PUBLISH with it is the same message again [MQTT-4.3.3-10].
    pub(crate) fn is_open(&self, id: PacketId) -> bool {
        self.inbound.as_ref().is_some_and(|inbound| inbound.contains_key(&id.get()))
    }

    /// Whether it was opened on this connection.
    pub(crate) fn is_open_here(&self, id: PacketId) -> bool {
        self.inbound.as_ref().is_some_and(|inbound| inbound.get(&id.get()) == Some(&true))
    }

    /// How many QoS 2 messages the client has opened on this connection: they count against the Receive Maximum it was given,
    /// which begins anew with each connection (section 4.9).
    pub(crate) fn open_count(&self) -> usize {
        self.open_here
    }

    /// Opens a QoS 2 packet identifier, when PUBREC is about to be sent.
    pub(crate) fn open(&mut self, id: PacketId) {
        let known = self.inbound.get_or_insert_default().insert(id.get(), true);
        self.open_here += usize::from(known != Some(true));
    }

    /// PUBREL: closes the packet identifier; tells whether it was open.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        let was_open = self.inbound.as_mut().and_then(|inbound| inbound.remove(&id.get()));
        self.open_here -= usize::from(was_open == Some(true));
        self.inbound.take_if(|inbound| inbound.is_empty() && inbound.capacity() > 64);
        was_open.is_some()
    }

    // To the client.

    /// Whether a delivery can be sent at `now`, told before it is counted against a limit.
    pub(crate) fn ready(&self, delivery: &Delivery, link: &Link, now: u64) -> Ready {
        let Ok(expiry) = delivery.message.expiry_left(now) else { return Ready::Expired };
        if delivery.packet_len(link.version(), expiry) > link.max_packet_size() {
            return Ready::TooLarge;
        }
        if delivery.qos == QoS::AtMostOnce || (self.in_flight < link.quota() && self.can_follow()) {
            return Ready::Now;
        }
        Ready::NoQuota
    }

    /// Sends a delivery that is [ready](Self::ready): assigns the packet identifier, counts the quota, writes the PUBLISH.
    pub(crate) fn send(&mut self, delivery: Delivery, link: &mut Link, now: u64, out: &mut Vec<u8>) {
        let expiry = delivery.message.expiry_left(now).unwrap_or(Some(0));
        if delivery.qos == QoS::AtMostOnce {
            link.publish(&delivery, None, false, expiry, out);
            return;
        }
        let id = self.following_id();
        self.last_id = id.get();
        link.publish(&delivery, Some(id), false, expiry, out);
        self.outbound.push_back(Outbound { id, step: Step::Publish(delivery), sent: true });
        self.in_flight += 1;
    }

    /// PUBACK: the QoS 1 message is done, whatever the reason code [MQTT-4.4.0-2]. Tells whether it was known.
    pub(crate) fn puback(&mut self, id: PacketId) -> bool {
        let found = self.position(id).filter(
            |at| matches!(&self.outbound[*at].step, Step::Publish(delivery) if delivery.qos == QoS::AtLeastOnce),
        );
        self.done(found)
    }

    /// PUBREC: the client has the QoS 2 message (or, with an error, refuses it). Tells whether it was known.
    pub(crate) fn pubrec(&mut self, id: PacketId, reason: ReasonCode, out: &mut Vec<u8>) -> bool {
        let found = self.position(id).filter(|at| match &self.outbound[*at].step {
            Step::Publish(delivery) => delivery.qos == QoS::ExactlyOnce,
            Step::Release => true,
        });
        let Some(at) = found else { return false };
        if reason.is_error() {
            return self.done(Some(at));
        }
        // From here on the PUBLISH is never sent again [MQTT-4.3.3-6].
        self.outbound[at].step = Step::Release;
        put_ack(out, AckKind::PubRel, id);
        true
    }

    /// PUBCOMP: the QoS 2 message is done. Tells whether it was known.
    pub(crate) fn pubcomp(&mut self, id: PacketId) -> bool {
        let found = self.position(id).filter(|at| matches!(self.outbound[*at].step, Step::Release));
        self.done(found)
    }

    /// Begins another connection: everything unacknowledged will be sent again, in its order, before anything newer
    /// [MQTT-4.4.0-1].
    pub(crate) fn resume(&mut self) {
        self.open_here = 0;
        if let Some(inbound) = &mut self.inbound {
            inbound.values_mut().for_each(|opened_here| *opened_here = false);
        }
        self.in_flight = 0;
        self.resending = !self.outbound.is_empty();
        for outbound in &mut self.outbound {
            outbound.sent = false;
        }
        if let Some(relayed) = &mut self.relayed {
            relayed.resume();
        }
    }

    /// Sends again what was not acknowledged on an earlier connection, as far as the client's Receive Maximum allows: to be
    /// asked until all of it is sent. Tells how many messages were dropped, being larger than the client takes now.
    pub(crate) fn resend(&mut self, link: &mut Link, now: u64, out: &mut Vec<u8>) -> u64 {
        if !std::mem::take(&mut self.resending) {
            return 0;
        }
        let mut too_large = Vec::new();
        for (at, outbound) in self.outbound.iter_mut().enumerate().filter(|(_, o)| !o.sent) {
            match &outbound.step {
                Step::Publish(delivery) => {
                    // Where one must wait, all that follow must; only PUBREL needs no quota [MQTT-3.3.4-10].
                    if self.in_flight >= link.quota() {
                        self.resending = true;
                        continue;
                    }
                    // Once sent, a message does not expire any more [MQTT-4.3.3-7]; what is left of its time is told.
                    let expiry = delivery.message.expiry_left(now).unwrap_or(Some(0));
                    if delivery.packet_len(link.version(), expiry) > link.max_packet_size() {
                        too_large.push(at);
                        continue;
                    }
                    link.publish(delivery, Some(outbound.id), true, expiry, out);
                }
                Step::Release => put_pubrel_again(out, link.version(), outbound.id),
            }
            outbound.sent = true;
            self.in_flight += 1;
        }
        for at in too_large.iter().rev() {
            self.outbound.remove(*at);
        }
        too_large.len() as u64
    }

    // What waits.

    /// Keeps a QoS 1 or 2 delivery until it may be sent.
    pub(crate) fn wait(&mut self, delivery: Delivery) {
        self.held.add(&delivery);
        self.waiting.push_back(delivery);
    }

    /// The delivery that has waited longest.
    pub(crate) fn next_waiting(&mut self) -> Option<Delivery> {
        let delivery = self.waiting.pop_front()?;
        self.held.remove(&delivery);
        Some(delivery)
    }

    /// Puts the delivery that was taken last back to where it was.
    pub(crate) fn wait_first(&mut self, delivery: Delivery) {
        self.held.add(&delivery);
        self.waiting.push_front(delivery);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many deliveries of QoS 1 and 2 can be taken on: none while others wait, or for quota.
    pub(crate) fn room(&self, link: &Link) -> usize {
        if self.is_waiting() || !self.can_follow() { 0 } else { link.quota().saturating_sub(self.in_flight) }
    }

    /// What the mailbox must count as held.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// The connection is gone and the session stays: its mailbox collects from now on, and keeps what waited.
    pub(crate) fn park(&mut self, stats: &Stats) {
        self.held = Held::default();
        let held_back = std::mem::take(&mut self.waiting);
        self.mailbox.away(held_back, stats);
        self.outbound.shrink_to_fit();
    }

    /// Takes out the unacknowledged messages that came by a shared subscription and may go to another member: those of QoS 1
    /// for whose group `other` says that there is one. A QoS 2 message that was sent stays with this client [MQTT-4.8.2-4].
    pub(crate) fn take_shared(&mut self, other: impl Fn(&Group) -> bool) -> Vec<Delivery> {
        let goes = |outbound: &Outbound| match &outbound.step {
            Step::Publish(delivery) => {
                delivery.qos == QoS::AtLeastOnce && delivery.group.as_deref().is_some_and(&other)
            }
            Step::Release => false,
        };
        if !self.outbound.iter().any(goes) {
            return Vec::new();
        }
        let (gone, stays): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.outbound).into_iter().partition(goes);
        self.outbound = stays;
        let delivery = |outbound: Outbound| match outbound.step {
            Step::Publish(delivery) => Some(delivery),
            Step::Release => None,
        };
        gone.into_iter().filter_map(delivery).collect()
    }

    /// The session is over: what the client was never heard to have received, in order.
    pub(crate) fn end(self) -> Vec<Unfinished> {
        let sent = self.outbound.into_iter().filter_map(|outbound| match outbound.step {
            Step::Publish(delivery) => Some(Unfinished { delivery, sent: true }),
            Step::Release => None,
        });
        let queued = self.waiting.into_iter().chain(self.mailbox.end());
        sent.chain(queued.map(|delivery| Unfinished { delivery, sent: false })).collect()
    }

    fn position(&self, id: PacketId) -> Option<usize> {
        // Acknowledgements come in the order of sending, or nearly so.
        self.outbound.iter().position(|outbound| outbound.id == id)
    }

    fn done(&mut self, found: Option<usize>) -> bool {
        let outbound = found.and_then(|at| match at {
            // Nearly always.
            0 => self.outbound.pop_front(),
            at => self.outbound.remove(at),
        });
        let Some(outbound) = outbound else { return false };
        self.in_flight -= usize::from(outbound.sent);
        if self.outbound.is_empty() && self.outbound.capacity() > 8 {
            self.outbound = VecDeque::new();
        }
        true
    }

    /// The packet identifier after the last one given.
    fn following_id(&self) -> PacketId {
        PacketId::new(self.last_id.wrapping_add(1)).unwrap_or(PacketId::MIN)
    }

    /// Whether a new message may follow what is in flight: everything older was sent, and the next packet identifier is
    /// not in use [MQTT-2.2.1-4]. They are given in order, so of those in use only the oldest can be met.
    fn can_follow(&self) -> bool {
        !self.resending && self.outbound.front().is_none_or(|oldest| oldest.id != self.following_id())
    }
}

#[cfg(test)]
mod tests;
