//! SUBSCRIBE, a request for messages (section 3.8): topic filters, each with its options. The connection loop decodes it
//! and a relay writes it. The filters stay in the bytes they came in, checked once and walked as often as needed;
//! nothing here knows which subscriptions there are.

use std::{fmt, iter};

use super::reader::Reader;
use super::writer::{put_frame, put_properties, put_text, put_u16};
use super::{PacketId, PacketKind, Properties, QoS, Version, WireError, validate_topic_filter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    /// At least one [MQTT-3.8.3-2].
    pub filters: Filters<'a>,
}

/// The topic filters of a SUBSCRIBE with their options, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Filters<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// How a client wants the messages of one subscription (section 3.8.3.1). Before MQTT 5 there is only the QoS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS to be sent.
    pub qos: QoS,
    /// Do not send the client its own messages.
    pub no_local: bool,
    /// Send messages with the RETAIN flag they were published with.
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

/// Whether a new subscription brings the retained messages that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    SendAtSubscribe = 0,
    /// Only if the session did not have the subscription yet.
    SendIfNew = 1,
    DoNotSend = 2,
}

impl<'a> Subscribe<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        Ok(Subscribe {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, PacketKind::Subscribe)?,
            filters: Filters::check(version, reader.rest())?,
        })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        // Options of MQTT 5 have no place in a SUBSCRIBE of an earlier version.
        Filters::check(version, self.filters.bytes)?;
        put_frame(out, PacketKind::Subscribe, |out| {
            put_u16(out, self.packet_id.get());
            put_properties(out, version, PacketKind::Subscribe, self.properties)?;
            out.extend_from_slice(self.filters.bytes);
            Ok(())
        })
    }
}

impl<'a> Filters<'a> {
    /// Every filter with its options, in order; the reason codes of the SUBACK follow the same order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, SubscriptionOptions)> + Clone + use<'a> {
        let mut reader = Reader::new(self.bytes);
        // The bytes were checked: the only error left is their end.
        iter::from_fn(move || read_filter(&mut reader, Version::V5).ok())
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn check(version: Version, bytes: &'a [u8]) -> Result<Filters<'a>, WireError> {
        let mut reader = Reader::new(bytes);
        let mut count = 0;
        while !reader.is_empty() {
            let (filter, options) = read_filter(&mut reader, version)?;
            validate_topic_filter(filter)?;
            if options.no_local && filter.starts_with("$share/") {
                return Err(WireError::NoLocalOnSharedSubscription);
            }
            count += 1;
        }
        if count == 0 {
            return Err(WireError::NoTopicFilters(PacketKind::Subscribe));
        }
        Ok(Filters { bytes, count })
    }
}

fn read_filter<'a>(reader: &mut Reader<'a>, version: Version) -> Result<(&'a str, SubscriptionOptions), WireError> {
    let filter = reader.text("topic filter")?;
    let options = SubscriptionOptions::from_byte(version, reader.u8("subscription options")?)?;
    Ok((filter, options))
}

impl SubscriptionOptions {
    fn from_byte(version: Version, byte: u8) -> Result<SubscriptionOptions, WireError> {
        let reserved = if version == Version::V5 { 0xC0 } else { 0xFC };
        if byte & reserved != 0 {
            return Err(WireError::SubscriptionOptionsReserved(byte));
        }
        Ok(SubscriptionOptions {
            qos: QoS::from_bits(byte & 0b11).ok_or(WireError::SubscriptionQoS3)?,
            no_local: byte & 0x04 != 0,
            retain_as_published: byte & 0x08 != 0,
            retain_handling: match byte >> 4 & 0b11 {
                0 => RetainHandling::SendAtSubscribe,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(WireError::RetainHandling3),
            },
        })
    }

    fn to_byte(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Filters to be subscribed to.
#[derive(Clone, Debug, Default)]
pub struct FiltersBuf {
    bytes: Vec<u8>,
    count: usize,
}

impl FiltersBuf {
    pub fn new() -> FiltersBuf {
        FiltersBuf::default()
    }

    /// Adds a filter after the others, unless it is none.
    pub fn push(&mut self, filter: &str, options: SubscriptionOptions) -> Result<(), WireError> {
        validate_topic_filter(filter)?;
        put_text(&mut self.bytes, "topic filter", filter)?;
        self.bytes.push(options.to_byte());
        self.count += 1;
        Ok(())
    }

    pub fn as_filters(&self) -> Filters<'_> {
        Filters { bytes: &self.bytes, count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ReasonCode, TopicFault};

    const PLAIN: SubscriptionOptions = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    };

    #[test]
    fn filters_come_in_their_order_with_their_options() {
        let body = b"\x00\x0A\x02\x0B\x05\x00\x03a/+\x01\x00\x01#\x2E";
        let subscribe = Subscribe::decode(Version::V5, body).unwrap();
        assert_eq!(subscribe.packet_id.get(), 10);
        assert!(subscribe.properties.subscription_identifiers().eq([5]));
        assert_eq!((subscribe.filters.len(), subscribe.filters.is_empty()), (2, false));
        let all = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
        };
        assert!(subscribe.filters.iter().eq([("a/+", PLAIN), ("#", all)]));

        let mut filters = FiltersBuf::new();
        filters.push("a/+", PLAIN).unwrap();
        filters.push("#", all).unwrap();
        assert_eq!(filters.as_filters(), subscribe.filters);
        let mut out = Vec::new();
        subscribe.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out[..2], [0x82, body.len() as u8]);
        assert_eq!(out[2..], body[..]);
    }

    #[test]
    fn every_option_byte_means_what_the_specification_says_or_is_refused() {
        for byte in 0..=255u8 {
            let expected = match byte {
                _ if byte & 0xC0 != 0 => Some(WireError::SubscriptionOptionsReserved(byte)),
                _ if byte & 0x03 == 3 => Some(WireError::SubscriptionQoS3),
                _ if byte & 0x30 == 0x30 => Some(WireError::RetainHandling3),
                _ => None,
            };
            let options = SubscriptionOptions::from_byte(Version::V5, byte);
            assert_eq!(options.err(), expected, "{byte:#x}");
            if let Ok(options) = options {
                assert_eq!(options.to_byte(), byte);
            }
            for version in [Version::V3, Version::V4] {
                assert_eq!(SubscriptionOptions::from_byte(version, byte).is_ok(), byte < 3, "{byte:#x}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_subscription_is_told_apart() {
        use ReasonCode::*;
        let cases: [(&[u8], WireError, ReasonCode); 9] = [
            (b"", WireError::NoTopicFilters(PacketKind::Subscribe), ProtocolError),
            (b"\x00\x01a", WireError::Truncated("subscription options"), MalformedPacket),
            (b"\x00\x02a\x00", WireError::NullCharacter("topic filter"), MalformedPacket),
            (b"\x00\x02a", WireError::Truncated("topic filter"), MalformedPacket),
            (b"\x00\x00\x00", WireError::InvalidTopicFilter(TopicFault::Empty), TopicFilterInvalid),
            (b"\x00\x02a#\x00", WireError::InvalidTopicFilter(TopicFault::MisplacedHash), TopicFilterInvalid),
            (b"\x00\x01a\x03", WireError::SubscriptionQoS3, ProtocolError),
            (b"\x00\x01a\x80", WireError::SubscriptionOptionsReserved(0x80), MalformedPacket),
            (b"\x00\x0A$share/g/a\x04", WireError::NoLocalOnSharedSubscription, ProtocolError),
        ];
        for (payload, error, reason) in cases {
            let body = [b"\x00\x0A\x00", payload].concat();
            assert_eq!(Subscribe::decode(Version::V5, &body), Err(error), "{payload:02x?}");
            assert_eq!(error.reason(), reason, "{error}");
        }
        assert_eq!(Subscribe::decode(Version::V4, b"\x00\x00\x00\x01a\x00"), Err(WireError::PacketIdZero));
    }

    #[test]
    fn options_of_mqtt_5_are_not_written_before_it() {
        let mut filters = FiltersBuf::new();
        filters.push("a", SubscriptionOptions { no_local: true, ..PLAIN }).unwrap();
        let subscribe =
            Subscribe { packet_id: PacketId::MIN, properties: Properties::EMPTY, filters: filters.as_filters() };
        let mut out = Vec::new();
        assert_eq!(subscribe.encode(Version::V4, &mut out), Err(WireError::SubscriptionOptionsReserved(0x05)));
        assert!(out.is_empty());
        assert_eq!(subscribe.encode(Version::V5, &mut out), Ok(()));
    }

    #[test]
    fn a_buffer_takes_only_what_is_a_filter() {
        let mut filters = FiltersBuf::new();
        assert!(filters.push("a/#/b", PLAIN).is_err());
        assert!(filters.push(&"x".repeat(65_536), PLAIN).is_err());
        assert!(filters.as_filters().is_empty());
    }
}
