//! From the client to the backend: what Weir has no objection to is passed on under the backend's names. What it refuses or
//! denies is answered by Weir itself, and the backend never hears of it.

use super::super::connection::Connection;
use super::super::own_topics::Own;
use super::{Asked, PENDING, Relayed};
use crate::hooks::Refusal;
use crate::wire::{
    AckKind, FiltersBuf, Packet, PacketId, PropertyBuf, Publish, QoS, ReasonCode, Subscribe, SubscriptionOptions,
    TopicsBuf, Unsubscribe, WireError, put_ack, put_varint,
};

impl Relayed {
    /// Passes a publish on. Refused is what the backend could not take under its longer name.
    pub(in crate::edge) fn publish(&mut self, publish: &Publish<'_>, topic: &str) -> Result<(), Refusal> {
        let mut own = PropertyBuf::new();
        let topic = self.names.topic(topic);
        let there =
            Publish { topic: &topic, properties: self.names.properties(publish.properties, &mut own), ..*publish };
        let out = self.unsent.buffer();
        let start = out.len();
        let refusal = match Packet::Publish(there).encode(self.version, out) {
            Ok(()) if out.len() - start <= self.max_packet_size => {
                if let Some(id) = publish.packet_id {
                    self.passed += 1;
                    if publish.qos == QoS::ExactlyOnce {
                        self.unreceived.insert(id.get());
                    }
                }
                return Ok(());
            }
            Ok(()) => Refusal {
                code: ReasonCode::QuotaExceeded,
                reason: "the packet is larger than the broker behind this one takes".into(),
            },
            Err(error) => Refusal { code: ReasonCode::TopicNameInvalid, reason: error.to_string().into() },
        };
        out.truncate(start);
        Err(refusal)
    }

    /// A QoS 2 publish that comes again on this connection: the backend is not bothered, as there is an answer, or one is on its
    /// way.
    pub(in crate::edge) fn again(&self, id: PacketId, out: &mut Vec<u8>) {
        if !self.unreceived.contains(&id.get()) {
            put_ack(out, AckKind::PubRec, id);
        }
    }

    /// Asks for subscriptions; the client is answered when the backend has.
    pub(in crate::edge) fn subscribe(
        &mut self,
        subscribe: &Subscribe<'_>,
        question: Question,
    ) -> Result<(), WireError> {
        let mut filters = FiltersBuf::new();
        for (filter, options, _) in &question.filters {
            filters.push(&self.names.filter(filter), *options)?;
        }
        let there = Subscribe { filters: filters.as_filters(), ..*subscribe };
        Packet::Subscribe(there).encode(self.version, self.unsent.buffer())?;
        let Question { codes, filters, reason, own } = question;
        let passed = filters.into_iter().map(|(filter, _, new)| (filter, new)).collect();
        self.asked.insert(subscribe.packet_id.get(), Asked::Subscribe { codes, passed, reason, own });
        Ok(())
    }

    /// Asks for the end of subscriptions. `codes` has [`Question::PENDING`] for each filter that is passed on.
    pub(in crate::edge) fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        filters: &[&str],
        codes: Vec<u8>,
    ) -> Result<(), WireError> {
        let mut topics = TopicsBuf::new();
        for filter in filters {
            topics.push(&self.names.filter(filter))?;
        }
        let there = Unsubscribe { filters: topics.as_topics(), ..*unsubscribe };
        Packet::Unsubscribe(there).encode(self.version, self.unsent.buffer())?;
        self.asked.insert(unsubscribe.packet_id.get(), Asked::Unsubscribe { codes });
        Ok(())
    }
}

/// What is left of a SUBSCRIBE when Weir has answered its part.
pub(in crate::edge) struct Question {
    /// The codes of all its filters, in order, with [`Question::PENDING`] where the backend decides.
    pub(in crate::edge) codes: Vec<u8>,
    /// The filters that the backend decides about, and whether each is new to the session.
    pub(in crate::edge) filters: Vec<(Box<str>, SubscriptionOptions, bool)>,
    /// Why Weir has refused one.
    pub(in crate::edge) reason: Option<Box<str>>,
    /// What the client is sent of the broker's own topics, after the answer.
    pub(in crate::edge) own: Vec<Own>,
}

impl Question {
    pub(in crate::edge) const PENDING: u8 = PENDING;
}

impl Connection {
    /// Passes a packet on that is the backend's to answer; false where it is Weir's.
    pub(in crate::edge) fn relay(&mut self, first: u8, body: &[u8], packet: &Packet<'_>, out: &mut Vec<u8>) -> bool {
        let delivered = self.settings.session.relayed();
        // What the backend does not know of is no concern of its.
        let (known, last) = match packet {
            Packet::PubAck(ack) => (delivered.is_delivered_at(ack.packet_id, QoS::AtLeastOnce), Some(ack.packet_id)),
            Packet::PubComp(ack) => (delivered.is_delivered_at(ack.packet_id, QoS::ExactlyOnce), Some(ack.packet_id)),
            Packet::PubRec(ack) => {
                let known = delivered.is_delivered_at(ack.packet_id, QoS::ExactlyOnce);
                if !known && !ack.reason.is_error() {
                    self.answer_ack(AckKind::PubRel, ack.packet_id, false, out);
                }
                (known, ack.reason.is_error().then_some(ack.packet_id))
            }
            Packet::PubRel(_) | Packet::PingReq => (true, None),
            _ => return false,
        };
        if let (true, Some(id)) = (known, last) {
            self.settings.session.relayed().done(id);
        }
        if let (true, Some(relayed)) = (known, &mut self.relayed) {
            put_raw(relayed.unsent.buffer(), first, body);
        }
        true
    }
}

/// Writes a frame as it came.
pub(super) fn put_raw(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    put_varint(out, body.len() as u32);
    out.extend_from_slice(body);
}
