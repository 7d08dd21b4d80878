//! How a message travels through rumqttd: its topic below a level of ours, and for a payload the client's PUBLISH as it came,
//! behind a few bytes about it. So everything that rumqttd would lose or change on the way is still there at its end: the QoS
//! it was published with, RETAIN, who published it and when, every property. Called where messages enter and leave the
//! router; nothing else may read or write what is in the router.
//!
//! The level before the topic is `t`, or `s` for topics that begin with `$`: rumqttd refuses filters that begin with `$`,
//! matches no topic that does, and dies of a topic whose first character takes more than one byte.

use bytes::{Buf, Bytes};
use rumqttd::protocol::Publish as Routed;

use crate::router::Message;
use crate::wire::{Publish, Version};

/// Before the client's PUBLISH: version, first byte, publisher, and when it was taken.
const HEAD: usize = 1 + 1 + 8 + 8;

/// A client's PUBLISH on its way into the router.
pub(super) struct Sealed<'a> {
    pub(super) version: Version,
    /// The first byte of its frame, and what follows the frame's header.
    pub(super) first: u8,
    pub(super) body: &'a [u8],
    pub(super) topic: &'a str,
    /// The number of the client identifier.
    pub(super) publisher: u64,
    /// Milliseconds of the monotonic clock.
    pub(super) received: u64,
}

/// A message as it comes out of the router.
pub(super) struct Opened {
    pub(super) message: Message,
    /// When it was taken from its publisher, in milliseconds of the monotonic clock.
    pub(super) received: u64,
}

/// The filter or topic as the router is to know it.
pub(super) fn routed(topic: &str) -> String {
    let level = if topic.starts_with('$') { "s/" } else { "t/" };
    [level, topic].concat()
}

/// The message for the router, in one allocation that all of its copies share. RETAIN is never set: retained messages are not
/// the router's.
pub(super) fn seal(sealed: &Sealed<'_>) -> Routed {
    let topic_len = 2 + sealed.topic.len();
    let mut bytes = Vec::with_capacity(topic_len + HEAD + sealed.body.len());
    bytes.extend_from_slice(if sealed.topic.starts_with('$') { b"s/" } else { b"t/" });
    bytes.extend_from_slice(sealed.topic.as_bytes());
    bytes.extend([sealed.version.level(), sealed.first]);
    bytes.extend(sealed.publisher.to_be_bytes());
    bytes.extend(sealed.received.to_be_bytes());
    bytes.extend_from_slice(sealed.body);
    let mut payload = Bytes::from(bytes);
    let topic = payload.split_to(topic_len);
    let mut routed = nothing();
    (routed.topic, routed.payload) = (topic, payload);
    routed
}

/// A message that reaches nobody. The answer to it says that the router has handled everything before it.
pub(super) fn barrier() -> Routed {
    let mut routed = nothing();
    // No filter matches a topic that begins with `$`.
    routed.topic = Bytes::from_static(b"$");
    routed
}

/// An empty message of QoS 2, which can only be had by having rumqttd read one.
fn nothing() -> Routed {
    // The first byte of a PUBLISH, a packet identifier, and the length of no topic.
    Routed::deserialize(Bytes::from_static(&[0x34, 0, 1, 0, 0]))
}

/// The message that was [sealed](seal); `None` where it was not.
pub(super) fn open(routed: &Routed) -> Option<Opened> {
    let mut rest: &[u8] = &routed.payload;
    if rest.len() < HEAD {
        return None;
    }
    let version = match rest.get_u8() {
        3 => Version::V3,
        4 => Version::V4,
        _ => Version::V5,
    };
    let first = rest.get_u8();
    let (publisher, received) = (rest.get_u64(), rest.get_u64());
    let publish = Publish::decode(version, first, rest).ok()?;
    Some(Opened { message: Message::from_publish(rest, &publish, None, publisher, received), received })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Packet, PacketId, Property, PropertyBuf, QoS, frame_header};

    /// What comes out at the other end for a PUBLISH.
    fn through(version: Version, publish: Publish<'_>) -> (Routed, Opened) {
        let mut frame = Vec::new();
        Packet::Publish(publish).encode(version, &mut frame).unwrap();
        let header = frame_header(&frame, usize::MAX).unwrap().unwrap();
        let body = &frame[header.header_len..];
        let sealed = Sealed { version, first: header.first, body, topic: publish.topic, publisher: 7, received: 1_000 };
        let routed = seal(&sealed);
        let opened = open(&routed).unwrap();
        (routed, opened)
    }

    #[test]
    fn all_of_a_message_comes_out_as_it_went_in() {
        let mut properties = PropertyBuf::new();
        properties.push(Property::ContentType("text"));
        properties.push(Property::MessageExpiryInterval(9));
        properties.push(Property::UserProperty("a", "b"));
        let publish = Publish {
            dup: true,
            qos: QoS::ExactlyOnce,
            retain: true,
            topic: "é/x",
            packet_id: PacketId::new(5),
            properties: properties.as_properties(),
            payload: b"payload",
        };
        for version in [Version::V3, Version::V4, Version::V5] {
            let (routed, Opened { message, received }) = through(version, publish);
            assert_eq!(&routed.topic[..], "t/é/x".as_bytes());
            assert!(!routed.retain);
            assert_eq!((message.topic(), message.payload(), message.qos()), ("é/x", &b"payload"[..], QoS::ExactlyOnce));
            assert_eq!((message.retain(), message.publisher(), received), (true, 7, 1_000));
            let kept = if version == Version::V5 { "text".len() + 3 + 1 + 6 } else { 0 };
            assert_eq!(message.properties().len(), kept);
            let left = message.expiry_left(3_000).ok().flatten();
            assert_eq!(left, (version == Version::V5).then_some(7));
        }
    }

    #[test]
    fn topics_of_the_broker_are_kept_apart_from_all_others() {
        assert_eq!((routed("$SYS/#"), routed("#"), routed("/")), ("s/$SYS/#".into(), "t/#".into(), "t//".into()));
        assert!(!rumqttd::protocol::matches(&routed("$SYS/a"), &routed("#")));
        assert!(!rumqttd::protocol::matches(&routed("$SYS/a"), &routed("+/a")));
        assert!(rumqttd::protocol::matches(&routed("$SYS/a"), &routed("$SYS/+")));
    }

    #[test]
    fn what_was_not_sealed_is_not_opened() {
        assert!(open(&barrier()).is_none());
        assert!(open(&Routed::new("t/a", "a payload from elsewhere", false)).is_none());
    }
}
