//! The 27 properties of MQTT 5: what each is called, how its value is written, and which packets may carry it. The views
//! in `properties` and the codec of every packet are built on this; whether a value suits a session is decided
//! elsewhere.

use super::reader::Reader;
use super::{PacketKind, WireError, put_varint, topic};

/// One property with its value (section 2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// 1: the payload is UTF-8 text. 0: it is unspecified bytes.
    PayloadFormatIndicator(u8),
    /// Seconds.
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    /// 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// Seconds; `u32::MAX` means that the session does not expire.
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    /// Seconds.
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    /// Seconds.
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    /// 0 or 1: a server that supports QoS 2 leaves the property out.
    MaximumQoS(u8),
    RetainAvailable(bool),
    UserProperty(&'a str, &'a str),
    /// Bytes of a whole packet, its fixed header included.
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifiersAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// What carries properties: a packet, or the will inside a CONNECT.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    name: &'static str,
    bit: u16,
}

impl Holder {
    pub(super) const WILL: Holder = Holder { name: "the will", bit: 1 };
}

impl From<PacketKind> for Holder {
    fn from(packet: PacketKind) -> Holder {
        Holder { name: packet.name(), bit: bit(packet) }
    }
}

const fn bit(packet: PacketKind) -> u16 {
    1 << packet as u8
}

/// How the value of a property is written.
#[derive(Clone, Copy)]
enum Shape {
    Byte,
    TwoBytes,
    FourBytes,
    VarInt,
    Text,
    Binary,
    TextPair,
}

/// One row of table 2-4: the name, the shape and the holders of a property.
struct Row {
    name: &'static str,
    shape: Shape,
    holders: u16,
}

fn row(id: u8) -> Option<Row> {
    use Shape::*;
    const WILL: u16 = Holder::WILL.bit;
    const CONNECT: u16 = bit(PacketKind::Connect);
    const CONNACK: u16 = bit(PacketKind::ConnAck);
    const PUBLISH: u16 = bit(PacketKind::Publish);
    const ACKS: u16 =
        bit(PacketKind::PubAck) | bit(PacketKind::PubRec) | bit(PacketKind::PubRel) | bit(PacketKind::PubComp);
    const SUBSCRIBE: u16 = bit(PacketKind::Subscribe);
    const SUBACKS: u16 = bit(PacketKind::SubAck) | bit(PacketKind::UnsubAck);
    const UNSUBSCRIBE: u16 = bit(PacketKind::Unsubscribe);
    const DISCONNECT: u16 = bit(PacketKind::Disconnect);
    const AUTH: u16 = bit(PacketKind::Auth);
    const REASONS: u16 = CONNACK | ACKS | SUBACKS | DISCONNECT | AUTH;
    let (name, shape, holders) = match id {
        0x01 => ("Payload Format Indicator", Byte, PUBLISH | WILL),
        0x02 => ("Message Expiry Interval", FourBytes, PUBLISH | WILL),
        0x03 => ("Content Type", Text, PUBLISH | WILL),
        0x08 => ("Response Topic", Text, PUBLISH | WILL),
        0x09 => ("Correlation Data", Binary, PUBLISH | WILL),
        0x0B => ("Subscription Identifier", VarInt, PUBLISH | SUBSCRIBE),
        0x11 => ("Session Expiry Interval", FourBytes, CONNECT | CONNACK | DISCONNECT),
        0x12 => ("Assigned Client Identifier", Text, CONNACK),
        0x13 => ("Server Keep Alive", TwoBytes, CONNACK),
        0x15 => ("Authentication Method", Text, CONNECT | CONNACK | AUTH),
        0x16 => ("Authentication Data", Binary, CONNECT | CONNACK | AUTH),
        0x17 => ("Request Problem Information", Byte, CONNECT),
        0x18 => ("Will Delay Interval", FourBytes, WILL),
        0x19 => ("Request Response Information", Byte, CONNECT),
        0x1A => ("Response Information", Text, CONNACK),
        0x1C => ("Server Reference", Text, CONNACK | DISCONNECT),
        0x1F => ("Reason String", Text, REASONS),
        0x21 => ("Receive Maximum", TwoBytes, CONNECT | CONNACK),
        0x22 => ("Topic Alias Maximum", TwoBytes, CONNECT | CONNACK),
        0x23 => ("Topic Alias", TwoBytes, PUBLISH),
        0x24 => ("Maximum QoS", Byte, CONNACK),
        0x25 => ("Retain Available", Byte, CONNACK),
        0x26 => ("User Property", TextPair, REASONS | CONNECT | WILL | PUBLISH | SUBSCRIBE | UNSUBSCRIBE),
        0x27 => ("Maximum Packet Size", FourBytes, CONNECT | CONNACK),
        0x28 => ("Wildcard Subscription Available", Byte, CONNACK),
        0x29 => ("Subscription Identifiers Available", Byte, CONNACK),
        0x2A => ("Shared Subscription Available", Byte, CONNACK),
        _ => return None,
    };
    Some(Row { name, shape, holders })
}

/// Checks the properties of `holder`: known, allowed there, given once where once is all there may be, each with a
/// value it can have, and together complete.
pub(super) fn validate(bytes: &[u8], holder: Holder) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    // The identifiers end at 0x2A.
    let mut seen = 0u64;
    while !reader.is_empty() {
        let id = reader.clone().u8("property identifier")?;
        let row = row(id).ok_or(WireError::UnknownProperty(id))?;
        if row.holders & holder.bit == 0 {
            return Err(WireError::PropertyNotAllowed { property: row.name, holder: holder.name });
        }
        // A message carries the identifiers of all subscriptions it matches (section 3.3.2.3.8).
        let repeats = id == 0x26 || (id == 0x0B && holder.bit == bit(PacketKind::Publish));
        if seen & 1 << id != 0 && !repeats {
            return Err(WireError::DuplicateProperty(row.name));
        }
        seen |= 1 << id;
        Property::read(&mut reader)?;
    }
    if seen & (1 << 0x16) != 0 && seen & (1 << 0x15) == 0 {
        return Err(WireError::NoAuthenticationMethod);
    }
    Ok(())
}

impl<'a> Property<'a> {
    /// The identifier byte.
    pub fn id(&self) -> u8 {
        match self {
            Property::PayloadFormatIndicator(_) => 0x01,
            Property::MessageExpiryInterval(_) => 0x02,
            Property::ContentType(_) => 0x03,
            Property::ResponseTopic(_) => 0x08,
            Property::CorrelationData(_) => 0x09,
            Property::SubscriptionIdentifier(_) => 0x0B,
            Property::SessionExpiryInterval(_) => 0x11,
            Property::AssignedClientIdentifier(_) => 0x12,
            Property::ServerKeepAlive(_) => 0x13,
            Property::AuthenticationMethod(_) => 0x15,
            Property::AuthenticationData(_) => 0x16,
            Property::RequestProblemInformation(_) => 0x17,
            Property::WillDelayInterval(_) => 0x18,
            Property::RequestResponseInformation(_) => 0x19,
            Property::ResponseInformation(_) => 0x1A,
            Property::ServerReference(_) => 0x1C,
            Property::ReasonString(_) => 0x1F,
            Property::ReceiveMaximum(_) => 0x21,
            Property::TopicAliasMaximum(_) => 0x22,
            Property::TopicAlias(_) => 0x23,
            Property::MaximumQoS(_) => 0x24,
            Property::RetainAvailable(_) => 0x25,
            Property::UserProperty(..) => 0x26,
            Property::MaximumPacketSize(_) => 0x27,
            Property::WildcardSubscriptionAvailable(_) => 0x28,
            Property::SubscriptionIdentifiersAvailable(_) => 0x29,
            Property::SharedSubscriptionAvailable(_) => 0x2A,
        }
    }

    /// Appends the property: its identifier and its value. Text and binary data past the 65,535 bytes that a property can
    /// hold are cut off, text between two characters.
    pub fn encode(&self, out: &mut Vec<u8>) {
        use Property::*;
        out.push(self.id());
        match *self {
            PayloadFormatIndicator(value) | MaximumQoS(value) => out.push(value),
            RequestProblemInformation(value)
            | RequestResponseInformation(value)
            | RetainAvailable(value)
            | WildcardSubscriptionAvailable(value)
            | SubscriptionIdentifiersAvailable(value)
            | SharedSubscriptionAvailable(value) => out.push(u8::from(value)),
            ServerKeepAlive(value) | ReceiveMaximum(value) | TopicAliasMaximum(value) | TopicAlias(value) => {
                out.extend(value.to_be_bytes());
            }
            MessageExpiryInterval(value)
            | SessionExpiryInterval(value)
            | WillDelayInterval(value)
            | MaximumPacketSize(value) => out.extend(value.to_be_bytes()),
            SubscriptionIdentifier(value) => put_varint(out, value),
            ContentType(text)
            | ResponseTopic(text)
            | AssignedClientIdentifier(text)
            | AuthenticationMethod(text)
            | ResponseInformation(text)
            | ServerReference(text)
            | ReasonString(text) => put_cut_text(out, text),
            CorrelationData(bytes) | AuthenticationData(bytes) => put_cut(out, bytes),
            UserProperty(name, value) => {
                put_cut_text(out, name);
                put_cut_text(out, value);
            }
        }
    }

    /// The next property of `reader`, with a value it can have.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Property<'a>, WireError> {
        use Property::*;
        let id = reader.u8("property identifier")?;
        let name = row(id).ok_or(WireError::UnknownProperty(id))?.name;
        let flag = |reader: &mut Reader<'a>| match reader.u8(name)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::PropertyOutOfRange(name)),
        };
        let property = match id {
            0x01 => PayloadFormatIndicator(reader.u8(name)?),
            0x02 => MessageExpiryInterval(reader.u32(name)?),
            0x03 => ContentType(reader.text(name)?),
            0x08 => ResponseTopic(reader.text(name)?),
            0x09 => CorrelationData(reader.binary(name)?),
            0x0B => SubscriptionIdentifier(reader.varint(name)?),
            0x11 => SessionExpiryInterval(reader.u32(name)?),
            0x12 => AssignedClientIdentifier(reader.text(name)?),
            0x13 => ServerKeepAlive(reader.u16(name)?),
            0x15 => AuthenticationMethod(reader.text(name)?),
            0x16 => AuthenticationData(reader.binary(name)?),
            0x17 => RequestProblemInformation(flag(reader)?),
            0x18 => WillDelayInterval(reader.u32(name)?),
            0x19 => RequestResponseInformation(flag(reader)?),
            0x1A => ResponseInformation(reader.text(name)?),
            0x1C => ServerReference(reader.text(name)?),
            0x1F => ReasonString(reader.text(name)?),
            0x21 => ReceiveMaximum(reader.u16(name)?),
            0x22 => TopicAliasMaximum(reader.u16(name)?),
            0x23 => TopicAlias(reader.u16(name)?),
            0x24 => MaximumQoS(reader.u8(name)?),
            0x25 => RetainAvailable(flag(reader)?),
            0x26 => UserProperty(reader.text("User Property name")?, reader.text("User Property value")?),
            0x27 => MaximumPacketSize(reader.u32(name)?),
            0x28 => WildcardSubscriptionAvailable(flag(reader)?),
            0x29 => SubscriptionIdentifiersAvailable(flag(reader)?),
            0x2A => SharedSubscriptionAvailable(flag(reader)?),
            _ => return Err(WireError::UnknownProperty(id)),
        };
        property.check_range(name)?;
        Ok(property)
    }

    fn check_range(&self, name: &'static str) -> Result<(), WireError> {
        match *self {
            Property::PayloadFormatIndicator(value) if value > 1 => Err(WireError::PayloadFormatIndicator(value)),
            // [MQTT-3.3.2-14]
            Property::ResponseTopic(text) => match topic::fault_in_name(text) {
                Some(fault) => Err(WireError::InvalidResponseTopic(fault)),
                None => Ok(()),
            },
            // [MQTT-3.3.2-8]
            Property::TopicAlias(0) => Err(WireError::TopicAliasZero),
            Property::SubscriptionIdentifier(0)
            | Property::ReceiveMaximum(0)
            | Property::MaximumPacketSize(0)
            | Property::MaximumQoS(2..) => Err(WireError::PropertyOutOfRange(name)),
            _ => Ok(()),
        }
    }

    /// Moves `reader` past its next property without looking at the value.
    pub(super) fn skip(reader: &mut Reader<'a>) -> Result<(), WireError> {
        let id = reader.u8("property identifier")?;
        let row = row(id).ok_or(WireError::UnknownProperty(id))?;
        match row.shape {
            Shape::Byte => reader.take(1, row.name)?,
            Shape::TwoBytes => reader.take(2, row.name)?,
            Shape::FourBytes => reader.take(4, row.name)?,
            Shape::VarInt => return reader.varint(row.name).map(drop),
            Shape::Text | Shape::Binary => reader.binary(row.name)?,
            Shape::TextPair => {
                reader.binary(row.name)?;
                reader.binary(row.name)?
            }
        };
        Ok(())
    }
}

/// Appends Binary Data, cut to what its length can tell.
fn put_cut(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(len.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(len)]);
}

fn put_cut_text(out: &mut Vec<u8>, text: &str) {
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    put_cut(out, &text.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(holder: impl Into<Holder>, bytes: &[u8]) -> Result<(), WireError> {
        validate(bytes, holder.into())
    }

    #[test]
    fn each_holder_may_carry_the_properties_of_its_column_in_table_2_4() {
        let cases: [(Holder, &[u8]); 16] = [
            (PacketKind::Connect.into(), &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]),
            (Holder::WILL, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]),
            (
                PacketKind::ConnAck.into(),
                &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A],
            ),
            (PacketKind::Publish.into(), &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26]),
            (PacketKind::PubAck.into(), &[0x1F, 0x26]),
            (PacketKind::PubRec.into(), &[0x1F, 0x26]),
            (PacketKind::PubRel.into(), &[0x1F, 0x26]),
            (PacketKind::PubComp.into(), &[0x1F, 0x26]),
            (PacketKind::Subscribe.into(), &[0x0B, 0x26]),
            (PacketKind::SubAck.into(), &[0x1F, 0x26]),
            (PacketKind::Unsubscribe.into(), &[0x26]),
            (PacketKind::UnsubAck.into(), &[0x1F, 0x26]),
            (PacketKind::PingReq.into(), &[]),
            (PacketKind::PingResp.into(), &[]),
            (PacketKind::Disconnect.into(), &[0x11, 0x1C, 0x1F, 0x26]),
            (PacketKind::Auth.into(), &[0x15, 0x16, 0x1F, 0x26]),
        ];
        for (holder, allowed) in cases {
            for id in 0..=255 {
                let refused = match validate(&[id], holder) {
                    Err(WireError::UnknownProperty(_)) => {
                        assert!(row(id).is_none());
                        true
                    }
                    Err(WireError::PropertyNotAllowed { .. }) => true,
                    _ => false,
                };
                assert_eq!(refused, !allowed.contains(&id), "{id:#x} in {}", holder.name);
            }
        }
    }

    #[test]
    fn only_user_properties_and_the_subscription_identifiers_of_a_message_repeat() {
        let user = b"\x26\x00\x01a\x00\x01b\x26\x00\x01a\x00\x01b";
        let identifiers = b"\x0B\x01\x0B\x01";
        assert_eq!(validated(PacketKind::PubAck, user), Ok(()));
        assert_eq!(validated(PacketKind::Publish, identifiers), Ok(()));
        assert_eq!(
            validated(PacketKind::Subscribe, identifiers),
            Err(WireError::DuplicateProperty("Subscription Identifier"))
        );
        assert_eq!(
            validated(PacketKind::Publish, b"\x01\x00\x01\x00"),
            Err(WireError::DuplicateProperty("Payload Format Indicator"))
        );
    }

    #[test]
    fn a_value_that_a_property_cannot_have_is_refused_with_the_reason_the_specification_gives() {
        use crate::wire::ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid};
        let cases: [(PacketKind, &[u8], _); 14] = [
            (PacketKind::Connect, b"\x21\x00\x00", ProtocolError),
            (PacketKind::Connect, b"\x27\x00\x00\x00\x00", ProtocolError),
            (PacketKind::Connect, b"\x17\x02", ProtocolError),
            (PacketKind::Connect, b"\x19\x02", ProtocolError),
            (PacketKind::Connect, b"\x16\x00\x01a", ProtocolError),
            (PacketKind::ConnAck, b"\x24\x02", ProtocolError),
            (PacketKind::ConnAck, b"\x25\x02", ProtocolError),
            (PacketKind::ConnAck, b"\x28\xFF", ProtocolError),
            (PacketKind::Subscribe, b"\x0B\x00", ProtocolError),
            (PacketKind::Publish, b"\x0B\x80\x00", MalformedPacket),
            (PacketKind::Publish, b"\x01\x02", MalformedPacket),
            (PacketKind::Publish, b"\x23\x00\x00", TopicAliasInvalid),
            (PacketKind::Publish, b"\x08\x00\x03a/#", MalformedPacket),
            (PacketKind::Publish, b"\x08\x00\x00", MalformedPacket),
        ];
        for (packet, bytes, reason) in cases {
            let refused = validated(packet, bytes).map_err(|error| error.reason());
            assert_eq!(refused, Err(reason), "{packet} {bytes:02x?}");
        }
    }

    #[test]
    fn authentication_data_needs_a_method_in_whatever_order() {
        let cases: [&[u8]; 2] = [b"\x15\x00\x01m\x16\x00\x01d", b"\x16\x00\x01d\x15\x00\x01m"];
        for bytes in cases {
            assert_eq!(validated(PacketKind::Connect, bytes), Ok(()));
        }
    }

    #[test]
    fn text_too_long_for_a_property_is_cut_between_two_characters() {
        let mut out = Vec::new();
        let long = format!("x{}", "é".repeat(40_000));
        Property::ReasonString(&long).encode(&mut out);
        assert_eq!(validated(PacketKind::PubAck, &out), Ok(()));
        assert_eq!(out.len(), 3 + 65_535);
        assert_eq!(out[1..3], [0xFF, 0xFF]);

        out.clear();
        Property::ReasonString(&long[1..]).encode(&mut out);
        assert_eq!(validated(PacketKind::PubAck, &out), Ok(()));
        assert_eq!(out.len(), 3 + 65_534);
    }

    #[test]
    fn skipping_a_property_moves_as_far_as_reading_it() {
        let all: [Property; 8] = [
            Property::PayloadFormatIndicator(1),
            Property::RetainAvailable(true),
            Property::TopicAlias(7),
            Property::MessageExpiryInterval(9),
            Property::SubscriptionIdentifier(300),
            Property::ContentType("text"),
            Property::CorrelationData(b"data"),
            Property::UserProperty("name", "value"),
        ];
        for property in all {
            let mut bytes = Vec::new();
            property.encode(&mut bytes);
            bytes.push(0xEE);
            let (mut read, mut skipped) = (Reader::new(&bytes), Reader::new(&bytes));
            assert_eq!(Property::read(&mut read), Ok(property));
            Property::skip(&mut skipped).unwrap();
            assert_eq!((read.rest(), skipped.rest()), (&[0xEE][..], &[0xEE][..]), "{property:?}");
        }
    }
}
