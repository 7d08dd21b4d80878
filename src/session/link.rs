//! What a session needs to know of the connection it is sent over: the protocol version, what the client takes, and the topic
//! aliases in force. It begins with the connection and ends with it: aliases are never carried forward [MQTT-3.3.2-7].

use hashbrown::HashMap;

use crate::router::Delivery;
use crate::wire::{PacketId, Property, QoS, Version, put_publish};

pub(crate) struct Link {
    version: Version,
    quota: u16,
    max_packet_size: u32,
    /// The most topic aliases that may be assigned; 0 for none [MQTT-3.1.2-27].
    alias_maximum: u16,
    /// The topics that have aliases.
    aliases: Option<Box<HashMap<Box<[u8]>, u16>>>,
}

impl Link {
    /// `quota`: QoS 1 and 2 messages in flight at most; `max_packet_size`: in bytes; `alias_maximum`: as the client said.
    pub(crate) fn new(version: Version, quota: u16, max_packet_size: usize, alias_maximum: u16) -> Self {
        // No packet is larger than a u32 can say.
        let max_packet_size = max_packet_size.try_into().unwrap_or(u32::MAX);
        Link { version, quota, max_packet_size, alias_maximum, aliases: None }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn quota(&self) -> usize {
        self.quota.into()
    }

    pub(crate) fn max_packet_size(&self) -> usize {
        self.max_packet_size as usize
    }

    /// Writes the PUBLISH of a delivery.
    pub(super) fn publish(
        &mut self,
        delivery: &Delivery,
        id: Option<PacketId>,
        dup: bool,
        expiry: Option<u32>,
        out: &mut Vec<u8>,
    ) {
        let message = &delivery.message;
        let first = 0x30 | u8::from(dup) << 3 | (delivery.qos as u8) << 1 | u8::from(delivery.retain);
        debug_assert_eq!(id.is_some(), delivery.qos != QoS::AtMostOnce);
        let topic = message.topic_bytes();
        if self.version != Version::V5 {
            put_publish(out, self.version, first, topic, id, &[], message.payload());
            return;
        }
        let passed_on = message.properties();
        if expiry.is_none() && delivery.ids.as_slice().is_empty() && self.alias_maximum == 0 {
            put_publish(out, self.version, first, topic, id, &[passed_on], message.payload());
            return;
        }
        let mut own = Vec::new();
        if let Some(left) = expiry {
            Property::MessageExpiryInterval(left).encode(&mut own);
        }
        for id in delivery.ids.as_slice() {
            Property::SubscriptionIdentifier(*id).encode(&mut own);
        }
        // A new alias comes beside the topic, and may make a length longer by a byte: it must still fit.
        let (version, most) = (self.version, self.max_packet_size());
        let room = || delivery.packet_len(version, expiry) + NEW_ALIAS <= most;
        let topic = match self.alias(topic, room) {
            Alias::None => topic,
            Alias::New(alias) => {
                Property::TopicAlias(alias).encode(&mut own);
                topic
            }
            Alias::Known(alias) => {
                Property::TopicAlias(alias).encode(&mut own);
                &[0, 0]
            }
        };
        put_publish(out, self.version, first, topic, id, &[&own, passed_on], message.payload());
    }

    /// The alias of a topic; it is given a new one where there is `room` for that in the packet.
    fn alias(&mut self, topic: &[u8], room: impl FnOnce() -> bool) -> Alias {
        if self.alias_maximum == 0 {
            return Alias::None;
        }
        let aliases = self.aliases.get_or_insert_default();
        if let Some(alias) = aliases.get(topic) {
            return Alias::Known(*alias);
        }
        // A short topic costs less than the property that would stand for it.
        if aliases.len() >= usize::from(self.alias_maximum) || topic.len() <= 2 + 3 || !room() {
            return Alias::None;
        }
        let alias = aliases.len() as u16 + 1;
        aliases.insert(topic.into(), alias);
        Alias::New(alias)
    }
}

/// The most bytes that a new alias adds to a packet: the property, and one each where the lengths of the properties and of
/// the packet grow.
const NEW_ALIAS: usize = 3 + 2;

enum Alias {
    None,
    New(u16),
    Known(u16),
}
