//! CONNACK, the server's answer to a CONNECT (section 3.2). The handshake writes it; a relay to another broker reads it.
//! It never chooses the answer.

use super::reader::Reader;
use super::writer::{put_frame, put_properties};
use super::{PacketKind, Properties, ReasonCode, Version, WireError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the client's session goes on. MQTT 3.1 has no bit for it, and reads as `false`.
    pub session_present: bool,
    /// A [`ReasonCode`] in MQTT 5, a [`ConnectReturnCode`](super::ConnectReturnCode) before; 0 accepts.
    pub code: u8,
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let flags = match (reader.u8("connect acknowledge flags")?, version) {
            // MQTT 3.1 does not use this byte.
            (_, Version::V3) => 0,
            (flags @ 0..=1, _) => flags,
            (flags, _) => return Err(WireError::ConnectAcknowledgeFlags(flags)),
        };
        let connack = ConnAck {
            session_present: flags == 1,
            code: reader.u8("connect reason code")?,
            properties: reader.properties(version, PacketKind::ConnAck)?,
        };
        connack.check(version)?;
        reader.finish(PacketKind::ConnAck)?;
        Ok(connack)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.check(version)?;
        put_frame(out, PacketKind::ConnAck, |out| {
            let session_present = self.session_present && version != Version::V3;
            out.extend([u8::from(session_present), self.code]);
            put_properties(out, version, PacketKind::ConnAck, self.properties)
        })
    }

    /// The code is one that the version has [MQTT-3.2.2-8], and a refusal promises no session [MQTT-3.2.2-6].
    fn check(&self, version: Version) -> Result<(), WireError> {
        let known = match version {
            Version::V3 | Version::V4 => self.code <= 5,
            Version::V5 => ReasonCode::from_u8(self.code).is_some_and(|reason| reason.belongs_in(PacketKind::ConnAck)),
        };
        if !known {
            return Err(WireError::UnknownReasonCode { packet: PacketKind::ConnAck, code: self.code });
        }
        if self.session_present && self.code != 0 {
            return Err(WireError::SessionPresentOnRefusal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Property, PropertyBuf};

    fn connack(session_present: bool, code: u8) -> ConnAck<'static> {
        ConnAck { session_present, code, properties: Properties::EMPTY }
    }

    #[test]
    fn the_answer_is_written_byte_for_byte_in_each_version() {
        let cases = [
            (Version::V3, connack(true, 0), &[0x20, 0x02, 0x00, 0x00][..]),
            (Version::V3, connack(false, 3), &[0x20, 0x02, 0x00, 0x03]),
            (Version::V4, connack(true, 0), &[0x20, 0x02, 0x01, 0x00]),
            (Version::V4, connack(false, 5), &[0x20, 0x02, 0x00, 0x05]),
            (Version::V5, connack(true, 0), &[0x20, 0x03, 0x01, 0x00, 0x00]),
            (Version::V5, connack(false, 0x9F), &[0x20, 0x03, 0x00, 0x9F, 0x00]),
        ];
        for (version, connack, bytes) in cases {
            let mut out = Vec::new();
            connack.encode(version, &mut out).unwrap();
            assert_eq!(out, bytes, "MQTT {version}");
        }
    }

    #[test]
    fn properties_are_left_out_before_mqtt_5() {
        let mut properties = PropertyBuf::new();
        properties.push(Property::ReasonString("why"));
        let connack = ConnAck { session_present: false, code: 3, properties: properties.as_properties() };
        let mut out = Vec::new();
        connack.encode(Version::V4, &mut out).unwrap();
        assert_eq!(out, [0x20, 0x02, 0x00, 0x03]);
    }

    #[test]
    fn what_no_connack_can_say_is_refused_in_both_directions() {
        let unknown = |code| WireError::UnknownReasonCode { packet: PacketKind::ConnAck, code };
        let cases = [
            (Version::V4, connack(false, 6), unknown(6)),
            (Version::V4, connack(false, 0x80), unknown(0x80)),
            (Version::V5, connack(false, 5), unknown(5)),
            (Version::V5, connack(false, 0x8B), unknown(0x8B)),
            (Version::V4, connack(true, 1), WireError::SessionPresentOnRefusal),
            (Version::V5, connack(true, 0x80), WireError::SessionPresentOnRefusal),
        ];
        for (version, connack, error) in cases {
            let body = [u8::from(connack.session_present), connack.code, 0];
            let body = if version == Version::V5 { &body[..] } else { &body[..2] };
            assert_eq!(ConnAck::decode(version, body), Err(error));
            let mut out = Vec::new();
            assert_eq!(connack.encode(version, &mut out), Err(error));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn the_reserved_flags_are_zero_from_3_1_1_on() {
        assert_eq!(ConnAck::decode(Version::V4, &[0x02, 0x00]), Err(WireError::ConnectAcknowledgeFlags(0x02)));
        assert_eq!(ConnAck::decode(Version::V3, &[0x02, 0x00]), Ok(connack(false, 0)));
    }
}
