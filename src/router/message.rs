//! An application message as the broker holds it: one allocation, shared by everyone it is for. It is copied once out of the
//! buffer it was read into and once into the buffer it is written from; in between only its reference count changes.

use std::sync::Arc;

use triomphe::ThinArc;

use super::Group;
use crate::wire::{Properties, Property, PropertyBuf, Publish, QoS, Version, Will};

/// A shared application message. Cloning it costs a reference count.
#[derive(Clone)]
pub(crate) struct Message(ThinArc<Head, u8>);

/// Everything about a message but its bytes, which follow in the same allocation: the length-prefixed topic, perhaps a
/// packet identifier that is of no more use, the properties that are passed on, and the payload.
struct Head {
    /// The number of the client identifier that published it, for No Local.
    publisher: u64,
    /// When the broker took it, in milliseconds of the monotonic clock.
    received: u64,
    /// Message Expiry Interval in seconds, as it was received.
    expiry: Option<u32>,
    topic_end: u32,
    properties: (u32, u32),
    payload: u32,
    qos: QoS,
    retain: bool,
}

impl Message {
    /// The message of a PUBLISH whose frame's body is `body`. `alias` is the topic where the packet names it by alias only.
    pub(crate) fn from_publish(
        body: &[u8],
        publish: &Publish<'_>,
        alias: Option<&str>,
        publisher: u64,
        received: u64,
    ) -> Message {
        let expiry = publish.properties.message_expiry_interval();
        let as_it_came = alias.is_none() && expiry.is_none() && publish.properties.topic_alias().is_none();
        if as_it_came {
            let payload = body.len() - publish.payload.len();
            let head = Head {
                publisher,
                received,
                expiry,
                topic_end: 2 + publish.topic.len() as u32,
                properties: ((payload - publish.properties.len()) as u32, payload as u32),
                payload: payload as u32,
                qos: publish.qos,
                retain: publish.retain,
            };
            return Message(ThinArc::from_header_and_slice(head, body));
        }
        // The alias is the publisher's own, and the expiry is counted down: neither is passed on as it came.
        let mut kept = PropertyBuf::new();
        for property in publish.properties.iter() {
            if !matches!(property, Property::TopicAlias(_) | Property::MessageExpiryInterval(_)) {
                kept.push(property);
            }
        }
        let topic = alias.unwrap_or(publish.topic);
        let parts = Parts { topic, properties: kept.as_properties().as_bytes(), payload: publish.payload };
        Message::assemble(parts, publish.qos, publish.retain, expiry, publisher, received)
    }

    /// A message of the broker's own, at QoS 0.
    pub(crate) fn own(topic: &str, payload: &str, received: u64) -> Message {
        let parts = Parts { topic, properties: &[], payload: payload.as_bytes() };
        Message::assemble(parts, QoS::AtMostOnce, false, None, 0, received)
    }

    /// A message that did not come in a PUBLISH, of nobody's client identifier.
    pub(crate) fn of_bytes(topic: &str, payload: &[u8], qos: QoS, retain: bool, received: u64) -> Message {
        Message::assemble(Parts { topic, properties: &[], payload }, qos, retain, None, 0, received)
    }

    /// The message that a will becomes when it is [published](Self::published).
    pub(crate) fn from_will(will: &Will<'_>) -> Message {
        let mut kept = PropertyBuf::new();
        for property in will.properties.iter() {
            if !matches!(property, Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_)) {
                kept.push(property);
            }
        }
        let expiry = will.properties.message_expiry_interval();
        let parts = Parts { topic: will.topic, properties: kept.as_properties().as_bytes(), payload: will.payload };
        Message::assemble(parts, will.qos, will.retain, expiry, 0, 0)
    }

    /// A will's message as it is published: by this client, at this moment, and not when it was announced.
    pub(crate) fn published(&self, publisher: u64, received: u64) -> Message {
        let parts = Parts { topic: self.topic(), properties: self.properties(), payload: self.payload() };
        Message::assemble(parts, self.qos(), self.retain(), self.head().expiry, publisher, received)
    }

    /// The same message under another topic and with other properties, which must be good for a PUBLISH.
    pub(crate) fn renamed(&self, topic: &str, properties: Properties<'_>) -> Message {
        let parts = Parts { topic, properties: properties.as_bytes(), payload: self.payload() };
        let head = self.head();
        Message::assemble(parts, head.qos, head.retain, head.expiry, head.publisher, head.received)
    }

    fn assemble(
        parts: Parts<'_>,
        qos: QoS,
        retain: bool,
        expiry: Option<u32>,
        publisher: u64,
        received: u64,
    ) -> Message {
        let mut bytes = Vec::with_capacity(2 + parts.topic.len() + parts.properties.len() + parts.payload.len());
        bytes.extend_from_slice(&(parts.topic.len() as u16).to_be_bytes());
        bytes.extend_from_slice(parts.topic.as_bytes());
        let topic_end = bytes.len() as u32;
        bytes.extend_from_slice(parts.properties);
        let payload = bytes.len() as u32;
        bytes.extend_from_slice(parts.payload);
        let properties = (topic_end, payload);
        let head = Head { publisher, received, expiry, topic_end, properties, payload, qos, retain };
        Message(ThinArc::from_header_and_slice(head, &bytes))
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    /// The QoS it was published with.
    pub(crate) fn qos(&self) -> QoS {
        self.head().qos
    }

    /// The RETAIN flag it was published with.
    pub(crate) fn retain(&self) -> bool {
        self.head().retain
    }

    /// The number of the client identifier that published it.
    pub(crate) fn publisher(&self) -> u64 {
        self.head().publisher
    }

    /// The topic with its two bytes of length, as it stands in a PUBLISH.
    pub(crate) fn topic_bytes(&self) -> &[u8] {
        &self.0.slice[..self.head().topic_end as usize]
    }

    /// The topic name.
    pub(crate) fn topic(&self) -> &str {
        // It was checked when its packet was decoded.
        std::str::from_utf8(&self.topic_bytes()[2..]).unwrap_or_default()
    }

    /// The properties that are passed on, without their length.
    pub(crate) fn properties(&self) -> &[u8] {
        let (start, end) = self.head().properties;
        &self.0.slice[start as usize..end as usize]
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.slice[self.head().payload as usize..]
    }

    /// What it counts for against caps on bytes: topic, properties and payload.
    pub(crate) fn size(&self) -> usize {
        self.0.slice.len()
    }

    /// The seconds of its Message Expiry Interval that are left at `now` (monotonic milliseconds): nothing if it never
    /// expires, an error if it has [MQTT-3.3.2-5], [MQTT-3.3.2-6].
    pub(crate) fn expiry_left(&self, now: u64) -> Result<Option<u32>, Expired> {
        let Some(interval) = self.head().expiry else { return Ok(None) };
        let waited = now.saturating_sub(self.head().received);
        if waited >= u64::from(interval) * 1000 {
            return Err(Expired);
        }
        Ok(Some(interval - (waited / 1000) as u32))
    }
}

struct Parts<'a> {
    topic: &'a str,
    properties: &'a [u8],
    payload: &'a [u8],
}

/// The message's time has passed.
pub(crate) struct Expired;

/// The Subscription Identifiers that a delivery carries [MQTT-3.3.4-3].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIds {
    #[default]
    None,
    One(u32),
    // A thin pointer, so that the usual cases are small, and shared, as a fan-out copies it.
    Many(ThinArc<(), u32>),
}

impl SubscriptionIds {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            SubscriptionIds::None => &[],
            SubscriptionIds::One(id) => std::slice::from_ref(id),
            SubscriptionIds::Many(ids) => &ids.slice,
        }
    }

    /// Adds the identifier of one more subscription that matched: where two have the same, it is there twice
    /// [MQTT-3.3.4-4].
    pub(crate) fn add(&mut self, id: Option<u32>) {
        let Some(id) = id else { return };
        // Subscriptions with the same identifier are told one by one all the same (section 3.3.2.3.8).
        *self = match self.as_slice() {
            [] => SubscriptionIds::One(id),
            ids => SubscriptionIds::Many(ThinArc::from_header_and_slice((), &[ids, &[id]].concat())),
        };
    }
}

/// A message on its way to one session.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    /// The lower of the message's and the subscription's.
    pub(crate) qos: QoS,
    /// The RETAIN flag it is sent with.
    pub(crate) retain: bool,
    /// A retained message sent for a new subscription: it is bounded by the cap on retained messages, not by the queue's.
    pub(crate) replay: bool,
    pub(crate) ids: SubscriptionIds,
    /// The shared subscription it comes by, whose other members can have it if this one leaves.
    pub(crate) group: Option<Arc<Group>>,
}

impl Delivery {
    /// The length of the PUBLISH it becomes, where no topic alias is in it.
    pub(crate) fn packet_len(&self, version: Version, expiry: Option<u32>) -> usize {
        let ids: usize = self.ids.as_slice().iter().map(|id| 1 + crate::wire::varint_len(*id as usize)).sum();
        let properties = self.message.properties().len() + ids + if expiry.is_some() { 5 } else { 0 };
        crate::wire::publish_len(
            version,
            self.message.topic_bytes().len(),
            self.qos != QoS::AtMostOnce,
            properties,
            self.message.payload().len(),
        )
    }
}
