//! SUBACK, the answer to a SUBSCRIBE (section 3.9): one code for each of its filters. The connection loop writes it and a
//! relay reads it; what is granted is decided elsewhere.

use super::reader::Reader;
use super::writer::{put_frame, put_properties, put_u16};
use super::{PacketId, PacketKind, Properties, ReasonCode, Version, WireError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    /// A [`ReasonCode`] for each filter in MQTT 5; the granted QoS or 0x80 before. In the order of the filters
    /// [MQTT-3.9.3-1].
    pub codes: &'a [u8],
}

impl<'a> SubAck<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let suback = SubAck {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, PacketKind::SubAck)?,
            codes: reader.rest(),
        };
        suback.check(version)?;
        Ok(suback)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.check(version)?;
        put_frame(out, PacketKind::SubAck, |out| {
            put_u16(out, self.packet_id.get());
            put_properties(out, version, PacketKind::SubAck, self.properties)?;
            out.extend_from_slice(self.codes);
            Ok(())
        })
    }

    /// At least one code, and only those that the version has ([MQTT-3.9.3-2], here and in 3.1.1). MQTT 3.1 named no
    /// code for a failure; its servers use 0x80 too.
    fn check(&self, version: Version) -> Result<(), WireError> {
        let packet = PacketKind::SubAck;
        if self.codes.is_empty() {
            return Err(WireError::NoReasonCodes(packet));
        }
        let known = |&code: &u8| match version {
            Version::V3 | Version::V4 => matches!(code, 0..=2 | 0x80),
            Version::V5 => ReasonCode::from_u8(code).is_some_and(|reason| reason.belongs_in(packet)),
        };
        match self.codes.iter().find(|code| !known(code)) {
            Some(&code) => Err(WireError::UnknownReasonCode { packet, code }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_has_its_code() {
        let cases = [
            (Version::V3, &b"\x00\x0A\x00\x01\x02\x80"[..], &b"\x00\x01\x02\x80"[..]),
            (Version::V4, b"\x00\x0A\x00\x01\x02\x80", b"\x00\x01\x02\x80"),
            (Version::V5, b"\x00\x0A\x00\x00\x97\xA2", b"\x00\x97\xA2"),
        ];
        for (version, body, codes) in cases {
            let suback = SubAck::decode(version, body).unwrap();
            assert_eq!((suback.packet_id.get(), suback.codes), (10, codes));
            let mut out = Vec::new();
            suback.encode(version, &mut out).unwrap();
            assert_eq!(out[..2], [0x90, body.len() as u8]);
            assert_eq!(out[2..], body[..]);
        }
    }

    #[test]
    fn a_code_that_the_version_does_not_have_is_refused_in_both_directions() {
        for (version, code) in [(Version::V3, 3), (Version::V4, 0x97), (Version::V5, 3), (Version::V5, 0x92)] {
            let error = WireError::UnknownReasonCode { packet: PacketKind::SubAck, code };
            let suback = SubAck { packet_id: PacketId::MIN, properties: Properties::EMPTY, codes: &[0, code] };
            let mut out = Vec::new();
            assert_eq!(suback.encode(version, &mut out), Err(error));
            assert!(out.is_empty());
            let body: &[u8] = if version == Version::V5 { &[0, 1, 0, 0, code] } else { &[0, 1, 0, code] };
            assert_eq!(SubAck::decode(version, body), Err(error));
        }
    }

    #[test]
    fn a_suback_without_codes_is_refused() {
        let error = WireError::NoReasonCodes(PacketKind::SubAck);
        assert_eq!(SubAck::decode(Version::V4, b"\x00\x0A"), Err(error));
        assert_eq!(SubAck::decode(Version::V5, b"\x00\x0A\x00"), Err(error));
    }
}
