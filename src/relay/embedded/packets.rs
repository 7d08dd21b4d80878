//! The way in of a link: the packets of a client that is connected, each kind in one function, and what is asked of the router
//! for them. A packet is handled whole, or it waits, and all that follow it, until the router has answered earlier ones.

use std::sync::Arc;
use std::task::Context;

use super::Embedded;
use super::answer::Terms;
use super::envelope::{Sealed, seal};
use super::link::End;
use super::seat::{Meaning, Seat, Subscribing, Taken};
use super::uplink::Asked;
use crate::router::{Message, RetainOutcome};
use crate::session::Subscribed;
use crate::wire::{
    Ack, AckKind, Disconnect, Packet, Properties, Publish, QoS, ReasonCode, RetainHandling, SharedFilter, SubAck,
    Subscribe, SubscriptionOptions, UnsubAck, Unsubscribe, Version, frame_header, put_ack,
};

/// The most bytes of retained messages.
const RETAINED_BYTES: u64 = 256 << 20;

/// A connection whose CONNECT was accepted.
pub(super) struct Open {
    pub(super) seat: Arc<Seat>,
    pub(super) terms: Terms,
    /// The session ends with the connection.
    pub(super) ends: bool,
    /// The CONNACK, until there is a link to the router.
    pub(super) greeting: Option<Vec<u8>>,
}

/// Whether the reading goes on after a packet.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    /// The packet was not handled: it is read again when the router has answered.
    Wait,
}

impl Open {
    /// What can be done now, in both directions; tells whether there was anything.
    pub(super) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
        taken: &mut Taken,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Result<bool, End> {
        if self.greeting.is_some() && !taken.come_up(cx)? {
            return Ok(false);
        }
        if let Some(greeting) = self.greeting.take() {
            // Before any other packet [MQTT-3.2.0-1].
            out.extend_from_slice(&greeting);
        }
        let delivered = taken.deliver(cx, &mut self.terms, embedded, out)?;
        let handled = self.process(input, taken, embedded, out)?;
        match input.len() {
            all if all == handled => *input = Vec::new(),
            _ => drop(input.drain(..handled)),
        }
        Ok(delivered || handled > 0)
    }

    /// Handles every whole packet in `input`, as far as the router is ready for them; tells how many bytes that were.
    pub(super) fn process(
        &mut self,
        input: &[u8],
        taken: &mut Taken,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Result<usize, End> {
        if self.greeting.is_some() {
            return Ok(0);
        }
        let handled = self.packets(input, taken, embedded, out);
        taken.uplink.flush();
        handled
    }

    fn packets(
        &mut self,
        input: &[u8],
        taken: &mut Taken,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Result<usize, End> {
        let mut at = 0;
        while let Some(header) = frame_header(&input[at..], usize::MAX)? {
            let end = at + header.total_len();
            if end > input.len() {
                break;
            }
            let body = &input[at + header.header_len..end];
            if self.packet(header.first, body, taken, embedded, out)? == Flow::Wait {
                break;
            }
            at = end;
        }
        Ok(at)
    }

    fn packet(
        &mut self,
        first: u8,
        body: &[u8],
        taken: &mut Taken,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Result<Flow, End> {
        match Packet::decode(self.terms.version(), first, body)? {
            Packet::Publish(publish) => return self.publish(&publish, first, body, taken, embedded, out),
            Packet::Subscribe(subscribe) => return self.subscribe(&subscribe, taken, embedded),
            Packet::Unsubscribe(unsubscribe) => return Ok(self.unsubscribe(&unsubscribe, taken, embedded, out)),
            Packet::PubAck(ack) => {
                taken.session.puback(ack.packet_id);
            }
            Packet::PubRec(ack) => {
                if !taken.session.pubrec(ack.packet_id, ack.reason, out) && !ack.reason.is_error() {
                    self.unknown(AckKind::PubRel, &ack, out);
                }
            }
            Packet::PubRel(ack) if taken.session.release(ack.packet_id) => {
                put_ack(out, AckKind::PubComp, ack.packet_id)
            }
            Packet::PubRel(ack) => self.unknown(AckKind::PubComp, &ack, out),
            Packet::PubComp(ack) => {
                taken.session.pubcomp(ack.packet_id);
            }
            Packet::PingReq if !taken.uplink.has_room() => return Ok(Flow::Wait),
            // Answered when the router has come so far: it is there, and what it had before has been sent.
            Packet::PingReq => taken.after_that(Meaning::Ping { again: true }),
            Packet::Disconnect(disconnect) => return Err(self.disconnect(&disconnect)),
            Packet::Connect(_) => return Err(End::Told(ReasonCode::ProtocolError, "a second CONNECT [MQTT-3.1.0-2]")),
            Packet::Auth(_) => {
                return Err(End::Told(ReasonCode::ProtocolError, "AUTH without an authentication method in CONNECT"));
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(End::Told(ReasonCode::ProtocolError, "a packet that only a broker sends"));
            }
        }
        Ok(Flow::On)
    }

    // PUBLISH

    fn publish(
        &mut self,
        publish: &Publish<'_>,
        first: u8,
        body: &[u8],
        taken: &mut Taken,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Result<Flow, End> {
        if publish.properties.subscription_identifiers().next().is_some() {
            // [MQTT-3.3.4-6]
            return Err(End::Told(ReasonCode::ProtocolError, "a Subscription Identifier from a client"));
        }
        if publish.properties.topic_alias().is_some() {
            // [MQTT-3.3.2-9]: the CONNACK has promised none.
            return Err(End::Told(ReasonCode::TopicAliasInvalid, "a topic alias above the Topic Alias Maximum"));
        }
        if let Some(id) = publish.packet_id.filter(|id| taken.session.is_open(*id)) {
            match (publish.qos, self.terms.version()) {
                // The same message again: it was taken the first time [MQTT-4.3.3-10].
                (QoS::ExactlyOnce, _) => {
                    put_ack(out, AckKind::PubRec, id);
                    return Ok(Flow::On);
                }
                (_, Version::V5) => {
                    self.terms.ack(AckKind::PubAck, id, ReasonCode::PacketIdentifierInUse, "", out);
                    return Ok(Flow::On);
                }
                // Earlier versions have no words for it: the client is taken at its word.
                _ => {}
            }
        }
        if !taken.uplink.has_room() {
            return Ok(Flow::Wait);
        }
        let (publisher, received) = (taken.session.mailbox().client(), embedded.now());
        if let Some(bound) = refusal(publish, body, publisher, received, embedded) {
            embedded.stats.dropped_refused.add(1);
            return self.refuse(publish, bound, out);
        }
        let meaning = match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => Meaning::Ack(AckKind::PubAck, id),
            (QoS::ExactlyOnce, Some(id)) => {
                taken.session.open(id);
                Meaning::Ack(AckKind::PubRec, id)
            }
            _ => Meaning::Nothing,
        };
        let sealed = Sealed { version: self.terms.version(), first, body, topic: publish.topic, publisher, received };
        let again = publish.qos != QoS::AtMostOnce;
        taken.uplink.ask(Asked { publish: Some(seal(&sealed)), again, meaning });
        Ok(Flow::On)
    }

    /// A publish over a bound. There is no negative acknowledgement before MQTT 5: the connection is closed, and the client
    /// keeps its message.
    fn refuse(&self, publish: &Publish<'_>, bound: &'static str, out: &mut Vec<u8>) -> Result<Flow, End> {
        let Some(id) = publish.packet_id else { return Ok(Flow::On) };
        if self.terms.version() < Version::V5 {
            return Err(End::Told(ReasonCode::QuotaExceeded, bound));
        }
        let kind = if publish.qos == QoS::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
        self.terms.ack(kind, id, ReasonCode::QuotaExceeded, bound, out);
        Ok(Flow::On)
    }

    /// Answers for a packet identifier that is not known.
    fn unknown(&self, kind: AckKind, ack: &Ack<'_>, out: &mut Vec<u8>) {
        self.terms.ack(kind, ack.packet_id, ReasonCode::PacketIdentifierNotFound, "", out);
    }

    // SUBSCRIBE and UNSUBSCRIBE

    fn subscribe(&mut self, subscribe: &Subscribe<'_>, taken: &mut Taken, embedded: &Embedded) -> Result<Flow, End> {
        if !taken.uplink.has_room() {
            return Ok(Flow::Wait);
        }
        let id = subscribe.properties.subscription_identifiers().next();
        let filters = || subscribe.filters.iter().map(|(filter, options)| (filter, Subscribed { options, id }));
        // Shared subscriptions have links of their own: they must be there before they are promised.
        for (filter, subscribed) in filters() {
            if let Ok(Some(_)) = SharedFilter::parse(filter) {
                // Where there is no room, the answer will say so.
                let _ = taken.join(filter, subscribed, embedded);
            }
        }
        if !taken.shares_are_up() {
            return Ok(Flow::Wait);
        }
        const BOUND: &str = "max_filters or max_sessions of the embedded broker is reached";
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut replays = Vec::new();
        let mut full = false;
        for (filter, subscribed) in filters() {
            let SubscriptionOptions { qos, retain_handling, .. } = subscribed.options;
            let granted = match SharedFilter::parse(filter) {
                // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
                Err(_) => Err(ReasonCode::TopicFilterInvalid),
                // Retained messages are not for shared subscriptions (section 3.8.4).
                Ok(Some(_)) if taken.shares.contains_key(filter) => Ok(false),
                Ok(Some(_)) => Err(ReasonCode::QuotaExceeded),
                Ok(None) => taken.subscribe(filter, subscribed, embedded).ok_or(ReasonCode::QuotaExceeded).map(|new| {
                    // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
                    match retain_handling {
                        RetainHandling::SendAtSubscribe => true,
                        RetainHandling::SendIfNew => new,
                        RetainHandling::DoNotSend => false,
                    }
                }),
            };
            if granted == Ok(true) {
                replays.push(filter.into());
            }
            full |= granted == Err(ReasonCode::QuotaExceeded);
            codes.push(match granted {
                Ok(_) => qos as u8,
                Err(reason) if self.terms.version() == Version::V5 => reason as u8,
                Err(_) => 0x80,
            });
        }
        embedded.stats.dropped_refused.add(u64::from(full));
        let reasons = self.terms.reasons(if full { BOUND } else { "" });
        let answer = |properties| Packet::SubAck(SubAck { packet_id: subscribe.packet_id, properties, codes: &codes });
        let mut suback = Vec::new();
        if !self.terms.put(answer(reasons.as_properties()), &mut suback) {
            self.terms.put(answer(Properties::EMPTY), &mut suback);
        }
        taken.after_that(Meaning::SubAck(Box::new(Subscribing { suback, replays })));
        Ok(Flow::On)
    }

    fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        taken: &mut Taken,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Flow {
        if !taken.uplink.is_idle() {
            return Flow::Wait;
        }
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in unsubscribe.filters.iter() {
            // Compared character by character [MQTT-3.10.4-1].
            let code = match taken.unsubscribe(filter, embedded) {
                true => ReasonCode::Success,
                false => ReasonCode::NoSubscriptionExisted,
            };
            codes.push(code as u8);
        }
        if self.terms.version() < Version::V5 {
            codes.clear();
        }
        // What the router still sends for them is not delivered [MQTT-3.10.4-2]: the answer need not wait for it.
        let answer = UnsubAck { packet_id: unsubscribe.packet_id, properties: Properties::EMPTY, codes: &codes };
        self.terms.put(Packet::UnsubAck(answer), out);
        Flow::On
    }

    // DISCONNECT

    fn disconnect(&mut self, disconnect: &Disconnect<'_>) -> End {
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            if self.ends && expiry != 0 {
                return End::Told(ReasonCode::ProtocolError, "a Session Expiry Interval that CONNECT had not");
            }
            self.ends = expiry == 0;
        }
        End::Left
    }
}

/// Keeps a message that is to be retained, and tells which bound stands against publishing it, if one does.
fn refusal(
    publish: &Publish<'_>,
    body: &[u8],
    publisher: u64,
    received: u64,
    embedded: &Embedded,
) -> Option<&'static str> {
    const TOPICS: &str = "max_topics of the embedded broker is reached";
    if !embedded.supervisor.admits_topic(publish.topic) {
        return Some(TOPICS);
    }
    if !publish.retain {
        return None;
    }
    let message = Message::from_publish(body, publish, None, publisher, received);
    match embedded.retained.retain(&message, embedded.bounds.max_topics, RETAINED_BYTES, received) {
        RetainOutcome::Done => None,
        RetainOutcome::TooMany => Some(TOPICS),
        RetainOutcome::TooLarge => Some("the embedded broker holds no more retained messages"),
    }
}
