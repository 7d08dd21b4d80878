//! What goes out to the client: deliveries from its mailbox, held to the `receive` limit, to its quota and to what it takes.

use super::connection::{Connection, Settings};
use super::counted;
use super::end::{End, Step};
use super::own_topics::Own;
use super::scratch::Scratch;
use crate::activity::Told;
use crate::clock::Now;
use crate::hooks::{DeliverEvent, Delivered, Verdict};
use crate::identity::Action;
use crate::limits::{Denial, OnReceive};
use crate::router::{Delivery, Message};
use crate::session::Ready;
use crate::wire::QoS;

/// Bytes of messages taken from the mailbox at a time.
const TAKE: u64 = 256 * 1024;

/// What became of a delivery.
enum Fate {
    /// It was written, or dropped and counted.
    Done,
    /// It waits, and with it every other of QoS 1 and 2.
    Waits(Delivery),
}

/// What a delivery over the limit comes to.
pub(super) enum Excess {
    /// It is gone, and counted.
    Dropped,
    /// It waits for the next window.
    Waits,
    /// The client is disconnected. A delivery of QoS 1 or 2 is still to be kept.
    Ends(Box<End>),
}

impl Connection {
    /// Writes what is to be sent again, and as many deliveries as may be sent now; tells whether it has taken any.
    pub(super) fn deliver(&mut self, now: Now, scratch: &mut Scratch) -> Step<bool> {
        let Settings { session, link, .. } = &mut *self.settings;
        if let too_large @ 1.. = session.resend(link, now.mono, &mut scratch.out) {
            self.hub.stats.dropped_too_large.add(too_large);
        }
        if self.deferred.is_some_and(|until| until <= now.wall) {
            self.deferred = None;
        }
        let mut progress = false;
        while self.deferred.is_none()
            && let Some(delivery) = self.settings.session.next_waiting()
        {
            match self.send(delivery, now, &mut scratch.out)? {
                Fate::Done => progress = true,
                Fate::Waits(delivery) => {
                    self.settings.session.wait_first(delivery);
                    break;
                }
            }
            if scratch.out.len() as u64 > TAKE {
                return Ok(true);
            }
        }
        let mut taken = std::mem::take(&mut scratch.deliveries);
        let session = &self.settings.session;
        session.mailbox().take(&mut taken, TAKE, self.room(), session.held());
        progress |= !taken.is_empty();
        let mut result = Ok(());
        while let Some(delivery) = taken.pop_front() {
            // What waits is sent before anything newer; a QoS 0 message waits for nothing [MQTT-4.6.0-6].
            let must_wait =
                delivery.qos != QoS::AtMostOnce && (self.deferred.is_some() || self.settings.session.is_waiting());
            let fate = if must_wait { Ok(Fate::Waits(delivery)) } else { self.send(delivery, now, &mut scratch.out) };
            match fate {
                Ok(Fate::Done) => {}
                Ok(Fate::Waits(delivery)) => self.settings.session.wait(delivery),
                Err(end) => {
                    // The session may live on: what was taken for it and is not sent waits in it.
                    for delivery in taken.drain(..) {
                        match delivery.qos {
                            QoS::AtMostOnce => self.hub.stats.dropped_offline.add(1),
                            QoS::AtLeastOnce | QoS::ExactlyOnce => self.settings.session.wait(delivery),
                        }
                    }
                    result = Err(end);
                    break;
                }
            }
        }
        scratch.deliveries = taken;
        result.map(|()| progress)
    }

    /// How many deliveries of QoS 1 and 2 could be sent now, for all that is known before each is looked at.
    pub(super) fn room(&self) -> usize {
        if self.deferred.is_some() { 0 } else { self.settings.session.room(&self.settings.link) }
    }

    /// Sends what the client has subscribed of the broker's own topics, as far as there is news; tells whether there was.
    pub(super) fn deliver_own(&mut self, now: Now, out: &mut Vec<u8>) -> bool {
        let Some(own) = &mut self.own else { return false };
        let news = own.changes(&self.hub, &self.settings.client, now);
        for message in &news {
            self.send_own(message, false, now, out);
        }
        !news.is_empty()
    }

    /// Sends a message of the broker's own.
    pub(super) fn send_own(&mut self, own: &Own, retain: bool, now: Now, out: &mut Vec<u8>) {
        let delivery = Delivery {
            message: Message::own(&own.topic, &own.payload, now.mono),
            qos: QoS::AtMostOnce,
            retain,
            replay: true,
            ids: own.ids.clone(),
            group: None,
        };
        let Settings { session, link, .. } = &mut *self.settings;
        match session.ready(&delivery, link, now.mono) {
            Ready::Now => session.send(delivery, link, now.mono, out),
            Ready::NoQuota | Ready::Expired | Ready::TooLarge => self.hub.stats.dropped_too_large.add(1),
        }
    }

    /// Sends one delivery, if its time, its size, the quota, the access rules and the hooks allow.
    fn send(&mut self, delivery: Delivery, now: Now, out: &mut Vec<u8>) -> Step<Fate> {
        let settings = &mut *self.settings;
        let stats = &self.hub.stats;
        match settings.session.ready(&delivery, &settings.link, now.mono) {
            Ready::Now => {}
            Ready::NoQuota => return Ok(Fate::Waits(delivery)),
            Ready::Expired => {
                stats.dropped_expired.add(1);
                return Ok(Fate::Done);
            }
            Ready::TooLarge => {
                stats.dropped_too_large.add(1);
                return Ok(Fate::Done);
            }
        }
        let event = DeliverEvent { what: Delivered::Message(&delivery.message), qos: delivery.qos };
        if settings.access.restricts_deliveries() && !settings.access.allows(Action::Subscribe, event.topic()) {
            stats.dropped_refused.add(1);
            return Ok(Fate::Done);
        }
        match self.hub.hooks.deliver(&settings.client, &event, now) {
            Verdict::Allow => {
                counted::sent(delivery.qos, delivery.message.payload().len());
                settings.session.send(delivery, &mut settings.link, now.mono, out);
                Ok(Fate::Done)
            }
            Verdict::Refuse(_) => {
                stats.dropped_refused.add(1);
                Ok(Fate::Done)
            }
            Verdict::Deny(denial) => self.over_the_limit(delivery, denial),
        }
    }

    /// A delivery over the `receive` limit: dropped, or it waits for the next window, or the client is disconnected.
    fn over_the_limit(&mut self, delivery: Delivery, denial: Box<Denial>) -> Step<Fate> {
        match self.exceed(delivery.qos, denial) {
            Excess::Dropped => Ok(Fate::Done),
            Excess::Waits => Ok(Fate::Waits(delivery)),
            Excess::Ends(end) => {
                if delivery.qos != QoS::AtMostOnce {
                    self.settings.session.wait_first(delivery);
                }
                Err(end)
            }
        }
    }

    /// What becomes of a delivery over the `receive` limit, as the plan's `on_exceed` says.
    pub(super) fn exceed(&mut self, qos: QoS, denial: Box<Denial>) -> Excess {
        let stats = &self.hub.stats;
        let told = match (self.settings.plan.on_receive, qos) {
            _ if denial.never_fits => Told::Dropped,
            (OnReceive::Disconnect, _) => Told::Disconnected,
            (OnReceive::Drop, _) | (OnReceive::Defer, QoS::AtMostOnce) => Told::Dropped,
            (OnReceive::Defer, _) => Told::Waits,
        };
        self.hub.denied(&self.settings.client, &denial, told);
        match told {
            Told::Waits => {
                self.deferred = Some(denial.resets_at);
                Excess::Waits
            }
            Told::Disconnected => {
                if qos == QoS::AtMostOnce {
                    stats.dropped_receive_limit.add(1);
                }
                Excess::Ends(End::denied(denial))
            }
            _ if denial.never_fits => {
                stats.dropped_never_fits.add(1);
                Excess::Dropped
            }
            _ => {
                stats.dropped_receive_limit.add(1);
                Excess::Dropped
            }
        }
    }
}
