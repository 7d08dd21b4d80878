//! PUBLISH, a message (section 3.3). Every message passes here once on its way in and once for each subscriber on its
//! way out, so reading neither allocates nor copies, and writing makes room once. Topic aliases are resolved, and what a
//! client may publish decided, elsewhere.

use super::property::validate;
use super::reader::Reader;
use super::writer::put_u16;
use super::{
    MAX_REMAINING_LENGTH, PacketId, PacketKind, Properties, QoS, TopicFault, Version, WireError, put_varint, topic,
    validate_topic_name, varint_len,
};

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// Empty where a topic alias stands in for it, in MQTT 5 only.
    pub topic: &'a str,
    /// There with QoS 1 and 2 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// Subscription identifiers among them are legal to read, but only a server may send them [MQTT-3.3.4-6].
    pub properties: Properties<'a>,
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Reads the PUBLISH whose frame starts with the byte `first` and has this `body`.
    pub fn decode(version: Version, first: u8, body: &'a [u8]) -> Result<Self, WireError> {
        let qos = QoS::from_bits((first >> 1) & 0b11).ok_or(WireError::PublishQoS3)?;
        let dup = first & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(WireError::DupWithQoS0);
        }
        let mut reader = Reader::new(body);
        let topic = read_topic(&mut reader)?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id()?),
        };
        let properties = reader.properties(version, PacketKind::Publish)?;
        if topic.is_empty() {
            check_alias(version, properties)?;
        }
        Ok(Publish { dup, qos, retain: first & RETAIN != 0, topic, packet_id, properties, payload: reader.rest() })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.check(version)?;
        let properties = self.properties.as_bytes();
        let lens = Lens {
            topic: 2 + self.topic.len(),
            has_packet_id: self.packet_id.is_some(),
            properties: properties.len(),
            payload: self.payload.len(),
        };
        let body_len = lens.body(version);
        if body_len > MAX_REMAINING_LENGTH {
            return Err(WireError::BodyTooLarge(body_len));
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let first =
            PacketKind::Publish.first_byte() | flag(self.dup, DUP) | (self.qos as u8) << 1 | flag(self.retain, RETAIN);
        // `check` left no topic whose length does not fit into two bytes.
        let topic_len = (self.topic.len() as u16).to_be_bytes();
        put_pieces(
            out,
            version,
            first,
            &[&topic_len, self.topic.as_bytes()],
            self.packet_id,
            &[properties],
            self.payload,
        );
        Ok(())
    }

    fn check(&self, version: Version) -> Result<(), WireError> {
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(WireError::DupWithQoS0);
        }
        if self.packet_id.is_some() != (self.qos > QoS::AtMostOnce) {
            return Err(WireError::PacketIdMismatch);
        }
        if version == Version::V5 {
            validate(self.properties.as_bytes(), PacketKind::Publish.into())?;
        }
        match self.topic.is_empty() {
            true => check_alias(version, self.properties),
            false => validate_topic_name(self.topic),
        }
    }
}

/// The topic name: UTF-8 [MQTT-3.3.2-1] without wildcards [MQTT-3.3.2-2].
#[inline]
fn read_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, WireError> {
    const WHAT: &str = "topic name";
    let bytes = reader.binary(WHAT)?;
    match topic::fault_in_characters(bytes) {
        None => {}
        Some(TopicFault::NullCharacter) => return Err(WireError::NullCharacter(WHAT)),
        Some(fault) => return Err(WireError::InvalidTopicName(fault)),
    }
    str::from_utf8(bytes).map_err(|_| WireError::NotUtf8(WHAT))
}

/// An empty topic name is there for a topic alias to replace it (section 3.3.2.1).
fn check_alias(version: Version, properties: Properties<'_>) -> Result<(), WireError> {
    match version {
        Version::V3 | Version::V4 => Err(WireError::InvalidTopicName(TopicFault::Empty)),
        Version::V5 if properties.topic_alias().is_none() => Err(WireError::NoTopicNameOrAlias),
        Version::V5 => Ok(()),
    }
}

/// Appends a PUBLISH made of pieces that are encoded already: for the copies that go out to subscribers. `first` is the
/// first byte with its flags, `topic` the topic name behind its two-byte length; `properties` are property bytes written
/// one after the other, and left out before MQTT 5.
///
/// Nothing is checked: the pieces come from packets that were. The caller asks [`publish_len`] where the packet could be
/// larger than its receiver accepts, or than [`MAX_REMAINING_LENGTH`] allows.
#[inline]
pub fn put_publish(
    out: &mut Vec<u8>,
    version: Version,
    first: u8,
    topic: &[u8],
    packet_id: Option<PacketId>,
    properties: &[&[u8]],
    payload: &[u8],
) {
    put_pieces(out, version, first, &[topic], packet_id, properties, payload);
}

/// The bytes that [`put_publish`] would append: `topic_len` counts the two bytes of the topic's length too,
/// `properties_len` is the sum of the pieces.
#[inline]
pub fn publish_len(
    version: Version,
    topic_len: usize,
    has_packet_id: bool,
    properties_len: usize,
    payload_len: usize,
) -> usize {
    let lens = Lens { topic: topic_len, has_packet_id, properties: properties_len, payload: payload_len };
    let body_len = lens.body(version);
    1 + varint_len(body_len) + body_len
}

/// The lengths of the parts of a PUBLISH.
struct Lens {
    topic: usize,
    has_packet_id: bool,
    properties: usize,
    payload: usize,
}

impl Lens {
    #[inline]
    fn body(&self, version: Version) -> usize {
        let packet_id = if self.has_packet_id { 2 } else { 0 };
        let properties = match version {
            Version::V3 | Version::V4 => 0,
            Version::V5 => varint_len(self.properties) + self.properties,
        };
        self.topic + packet_id + properties + self.payload
    }
}

#[inline]
fn put_pieces(
    out: &mut Vec<u8>,
    version: Version,
    first: u8,
    topic: &[&[u8]],
    packet_id: Option<PacketId>,
    properties: &[&[u8]],
    payload: &[u8],
) {
    let lens = Lens {
        topic: topic.iter().map(|piece| piece.len()).sum(),
        has_packet_id: packet_id.is_some(),
        properties: properties.iter().map(|piece| piece.len()).sum(),
        payload: payload.len(),
    };
    let body_len = lens.body(version);
    out.reserve(1 + varint_len(body_len) + body_len);
    out.push(first);
    // Both lengths are at most 28 bits: the callers see to it.
    put_varint(out, body_len as u32);
    for piece in topic {
        out.extend_from_slice(piece);
    }
    if let Some(packet_id) = packet_id {
        put_u16(out, packet_id.get());
    }
    if version == Version::V5 {
        put_varint(out, lens.properties as u32);
        for piece in properties {
            out.extend_from_slice(piece);
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Packet, Property, PropertyBuf, ReasonCode, frame_header};

    const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

    fn publish() -> Publish<'static> {
        Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: "a/b",
            packet_id: PacketId::new(10),
            properties: Properties::EMPTY,
            payload: b"hi",
        }
    }

    #[test]
    fn a_message_is_written_byte_for_byte_and_reads_back() {
        let v5 = b"\x33\x0A\x00\x03a/b\x00\x0A\x00hi";
        let before = b"\x33\x09\x00\x03a/b\x00\x0Ahi";
        for version in VERSIONS {
            let expected = if version == Version::V5 { &v5[..] } else { before };
            let mut out = Vec::new();
            publish().encode(version, &mut out).unwrap();
            assert_eq!(out, expected);
            assert_eq!(Publish::decode(version, out[0], &out[2..]), Ok(publish()));
        }
    }

    #[test]
    fn what_is_wrong_with_a_message_is_told_apart() {
        use ReasonCode::*;
        let cases: [(u8, &[u8], WireError, ReasonCode); 9] = [
            (0x36, b"\x00\x01a\x00\x01", WireError::PublishQoS3, MalformedPacket),
            (0x38, b"\x00\x01a", WireError::DupWithQoS0, MalformedPacket),
            (0x32, b"\x00\x01a\x00\x00", WireError::PacketIdZero, MalformedPacket),
            (0x32, b"\x00\x01a\x00", WireError::Truncated("packet identifier"), MalformedPacket),
            (0x30, b"\x00\x02a", WireError::Truncated("topic name"), MalformedPacket),
            (0x30, b"\x00\x03a/+", WireError::InvalidTopicName(TopicFault::Wildcard), TopicNameInvalid),
            (0x30, b"\x00\x01#", WireError::InvalidTopicName(TopicFault::Wildcard), TopicNameInvalid),
            (0x30, b"\x00\x02a\x00", WireError::NullCharacter("topic name"), MalformedPacket),
            (0x30, b"\x00\x02\xC3\x28", WireError::NotUtf8("topic name"), MalformedPacket),
        ];
        for version in VERSIONS {
            for (first, body, error, reason) in cases {
                assert_eq!(Publish::decode(version, first, body), Err(error), "MQTT {version} {body:02x?}");
                assert_eq!(error.reason(), reason, "{error}");
            }
        }
    }

    #[test]
    fn an_empty_topic_needs_an_alias_of_mqtt_5() {
        for version in [Version::V3, Version::V4] {
            assert_eq!(
                Publish::decode(version, 0x30, b"\x00\x00hi"),
                Err(WireError::InvalidTopicName(TopicFault::Empty))
            );
        }
        let missing = Publish::decode(Version::V5, 0x30, b"\x00\x00\x00hi");
        assert_eq!(missing, Err(WireError::NoTopicNameOrAlias));
        assert_eq!(WireError::NoTopicNameOrAlias.reason(), ReasonCode::ProtocolError);

        let zero = Publish::decode(Version::V5, 0x30, b"\x00\x00\x03\x23\x00\x00hi");
        assert_eq!(zero, Err(WireError::TopicAliasZero));
        assert_eq!(WireError::TopicAliasZero.reason(), ReasonCode::TopicAliasInvalid);

        let aliased = Publish::decode(Version::V5, 0x30, b"\x00\x00\x03\x23\x00\x07hi").unwrap();
        assert_eq!((aliased.topic, aliased.properties.topic_alias()), ("", Some(7)));
    }

    #[test]
    fn property_lengths_past_the_end_are_malformed() {
        for body in [&b"\x00\x01a\x04\x23\x00\x07"[..], b"\x00\x01a\x02\x23\x00\x07", b"\x00\x01a", b"\x00\x01a\x80"] {
            let error = Publish::decode(Version::V5, 0x30, body).unwrap_err();
            assert_eq!(error.reason(), ReasonCode::MalformedPacket, "{body:02x?}");
        }
    }

    #[test]
    fn a_message_can_carry_several_subscription_identifiers() {
        let body = b"\x00\x01a\x05\x0B\x01\x0B\x80\x01hi";
        let publish = Publish::decode(Version::V5, 0x30, body).unwrap();
        assert!(publish.properties.subscription_identifiers().eq([1, 128]));
        assert_eq!(publish.payload, b"hi");
        assert!(Publish::decode(Version::V5, 0x30, b"\x00\x01a\x02\x0B\x00").is_err());
    }

    #[test]
    fn a_message_that_breaks_a_rule_is_not_written() {
        let huge = vec![0; MAX_REMAINING_LENGTH];
        let long = "x".repeat(65_536);
        let cases = [
            (Publish { qos: QoS::AtMostOnce, ..publish() }, WireError::PacketIdMismatch),
            (Publish { packet_id: None, ..publish() }, WireError::PacketIdMismatch),
            (Publish { dup: true, qos: QoS::AtMostOnce, packet_id: None, ..publish() }, WireError::DupWithQoS0),
            (Publish { topic: "a/#", ..publish() }, WireError::InvalidTopicName(TopicFault::Wildcard)),
            (Publish { topic: &long, ..publish() }, WireError::InvalidTopicName(TopicFault::TooLong)),
            (Publish { topic: "", ..publish() }, WireError::NoTopicNameOrAlias),
            (Publish { payload: &huge, ..publish() }, WireError::BodyTooLarge(MAX_REMAINING_LENGTH + 8)),
        ];
        for (publish, error) in cases {
            let mut out = vec![7];
            assert_eq!(Packet::Publish(publish).encode(Version::V5, &mut out), Err(error));
            assert_eq!(out, [7]);
        }
    }

    #[test]
    fn pieces_make_the_same_packet_as_the_whole_and_of_the_length_foretold() {
        let mut properties = PropertyBuf::new();
        properties.push(Property::ContentType("text"));
        let first_piece = properties.as_properties().as_bytes().to_vec();
        properties.push(Property::SubscriptionIdentifier(5));
        let pieces = [&first_piece[..], &properties.as_properties().as_bytes()[first_piece.len()..]];
        for version in VERSIONS {
            for payload_len in [0, 100, 127, 128, 20_000] {
                let payload = vec![b'x'; payload_len];
                let whole = Publish { properties: properties.as_properties(), payload: &payload, ..publish() };
                let mut expected = Vec::new();
                whole.encode(version, &mut expected).unwrap();

                let mut out = Vec::new();
                put_publish(&mut out, version, 0x33, b"\x00\x03a/b", whole.packet_id, &pieces, &payload);
                assert!(out == expected);
                let len = publish_len(version, 5, true, properties.len(), payload_len);
                assert_eq!(out.len(), len);
                assert_eq!(frame_header(&out, len).unwrap().unwrap().total_len(), len);
            }
        }
    }
}
