//! UNSUBSCRIBE, the end of subscriptions (section 3.10): a list of topic filters. The connection loop decodes it and a
//! relay writes it; which of them are subscriptions of the client is not known here.

use std::{fmt, iter};

use super::reader::Reader;
use super::writer::{put_frame, put_properties, put_text, put_u16};
use super::{PacketId, PacketKind, Properties, Version, WireError, validate_topic_filter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    /// At least one [MQTT-3.10.3-2].
    pub filters: Topics<'a>,
}

/// The topic filters of an UNSUBSCRIBE, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Topics<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        Ok(Unsubscribe {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, PacketKind::Unsubscribe)?,
            filters: Topics::check(reader.rest())?,
        })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        if self.filters.is_empty() {
            return Err(WireError::NoTopicFilters(PacketKind::Unsubscribe));
        }
        put_frame(out, PacketKind::Unsubscribe, |out| {
            put_u16(out, self.packet_id.get());
            put_properties(out, version, PacketKind::Unsubscribe, self.properties)?;
            out.extend_from_slice(self.filters.bytes);
            Ok(())
        })
    }
}

impl<'a> Topics<'a> {
    /// Every filter, in order; the reason codes of the UNSUBACK follow the same order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let mut reader = Reader::new(self.bytes);
        // The bytes were checked: the only error left is their end.
        iter::from_fn(move || reader.text("topic filter").ok())
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn check(bytes: &'a [u8]) -> Result<Topics<'a>, WireError> {
        let mut reader = Reader::new(bytes);
        let mut count = 0;
        while !reader.is_empty() {
            validate_topic_filter(reader.text("topic filter")?)?;
            count += 1;
        }
        if count == 0 {
            return Err(WireError::NoTopicFilters(PacketKind::Unsubscribe));
        }
        Ok(Topics { bytes, count })
    }
}

impl fmt::Debug for Topics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Filters to be unsubscribed from.
#[derive(Clone, Debug, Default)]
pub struct TopicsBuf {
    bytes: Vec<u8>,
    count: usize,
}

impl TopicsBuf {
    pub fn new() -> TopicsBuf {
        TopicsBuf::default()
    }

    /// Adds a filter after the others, unless it is none.
    pub fn push(&mut self, filter: &str) -> Result<(), WireError> {
        validate_topic_filter(filter)?;
        put_text(&mut self.bytes, "topic filter", filter)?;
        self.count += 1;
        Ok(())
    }

    pub fn as_topics(&self) -> Topics<'_> {
        Topics { bytes: &self.bytes, count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TopicFault;

    #[test]
    fn filters_come_in_their_order() {
        let body = b"\x00\x0A\x00\x03a/+\x00\x01#";
        let unsubscribe = Unsubscribe::decode(Version::V4, body).unwrap();
        assert_eq!((unsubscribe.packet_id.get(), unsubscribe.filters.len()), (10, 2));
        assert!(unsubscribe.filters.iter().eq(["a/+", "#"]));

        let mut filters = TopicsBuf::new();
        filters.push("a/+").unwrap();
        filters.push("#").unwrap();
        assert_eq!(filters.as_topics(), unsubscribe.filters);
        let mut out = Vec::new();
        unsubscribe.encode(Version::V4, &mut out).unwrap();
        assert_eq!(out[..2], [0xA2, body.len() as u8]);
        assert_eq!(out[2..], body[..]);
    }

    #[test]
    fn what_is_wrong_with_an_unsubscribe_is_told_apart() {
        let cases: [(&[u8], WireError); 5] = [
            (b"\x00\x0A", WireError::NoTopicFilters(PacketKind::Unsubscribe)),
            (b"\x00\x00\x00\x01a", WireError::PacketIdZero),
            (b"\x00\x0A\x00\x02a", WireError::Truncated("topic filter")),
            (b"\x00\x0A\x00\x00", WireError::InvalidTopicFilter(TopicFault::Empty)),
            (b"\x00\x0A\x00\x02a+", WireError::InvalidTopicFilter(TopicFault::MisplacedPlus)),
        ];
        for (body, error) in cases {
            assert_eq!(Unsubscribe::decode(Version::V4, body), Err(error), "{body:02x?}");
        }
    }

    #[test]
    fn an_empty_list_is_not_written() {
        let none = TopicsBuf::new();
        let unsubscribe =
            Unsubscribe { packet_id: PacketId::MIN, properties: Properties::EMPTY, filters: none.as_topics() };
        let mut out = Vec::new();
        assert_eq!(unsubscribe.encode(Version::V5, &mut out), Err(WireError::NoTopicFilters(PacketKind::Unsubscribe)));
        assert!(out.is_empty());
    }
}
