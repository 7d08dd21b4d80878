//! PUBACK, PUBREC, PUBREL and PUBCOMP, the four steps that acknowledge a message (sections 3.4 to 3.7). They share one
//! layout and differ in their reason codes. Sessions exchange them by the thousand, so the plain success of four bytes
//! has a writer of its own. Which step is due is never decided here.

use super::reader::Reader;
use super::writer::{put_frame, put_reason, put_u16};
use super::{PacketId, PacketKind, Properties, ReasonCode, Version, WireError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    pub packet_id: PacketId,
    /// Always success before MQTT 5.
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

/// Which of the four steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

/// Appends the four bytes that acknowledge with success, in every version.
#[inline]
pub fn put_ack(out: &mut Vec<u8>, kind: AckKind, packet_id: PacketId) {
    let [high, low] = packet_id.get().to_be_bytes();
    out.extend_from_slice(&[kind.packet().first_byte(), 2, high, low]);
}

/// Appends a PUBREL that was sent before: with DUP in MQTT 3.1 (its section 2.1), whose bit is reserved later
/// [MQTT-3.6.1-1].
#[inline]
pub fn put_pubrel_again(out: &mut Vec<u8>, version: Version, packet_id: PacketId) {
    let dup = if version == Version::V3 { 0b1000 } else { 0 };
    let [high, low] = packet_id.get().to_be_bytes();
    out.extend_from_slice(&[PacketKind::PubRel.first_byte() | dup, 2, high, low]);
}

impl AckKind {
    fn packet(self) -> PacketKind {
        match self {
            AckKind::PubAck => PacketKind::PubAck,
            AckKind::PubRec => PacketKind::PubRec,
            AckKind::PubRel => PacketKind::PubRel,
            AckKind::PubComp => PacketKind::PubComp,
        }
    }
}

impl<'a> Ack<'a> {
    pub(super) fn decode(version: Version, kind: AckKind, body: &'a [u8]) -> Result<Self, WireError> {
        let packet = kind.packet();
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut ack = Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY };
        // The short forms of MQTT 5: no reason code means success, no property length means no properties.
        if version == Version::V5 && !reader.is_empty() {
            let code = reader.u8("reason code")?;
            ack.reason = ReasonCode::from_u8(code)
                .filter(|reason| reason.belongs_in(packet))
                .ok_or(WireError::UnknownReasonCode { packet, code })?;
            if !reader.is_empty() {
                ack.properties = reader.properties(version, packet)?;
            }
        }
        reader.finish(packet)?;
        Ok(ack)
    }

    pub(super) fn encode(&self, version: Version, kind: AckKind, out: &mut Vec<u8>) -> Result<(), WireError> {
        let packet = kind.packet();
        if !self.reason.belongs_in(packet) {
            let code = self.reason as u8;
            return Err(WireError::UnknownReasonCode { packet, code });
        }
        if version < Version::V5 && self.reason.is_error() {
            // Without its reason code this would say that all is well.
            return Err(WireError::NotInThisVersion { packet, version });
        }
        put_frame(out, packet, |out| {
            put_u16(out, self.packet_id.get());
            put_reason(out, version, packet, self.reason, self.properties)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Packet;

    const KINDS: [AckKind; 4] = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp];

    fn ack(reason: ReasonCode) -> Ack<'static> {
        Ack { packet_id: PacketId::new(0x1234).unwrap(), reason, properties: Properties::EMPTY }
    }

    #[test]
    fn success_is_four_bytes_in_every_version() {
        for (kind, first) in KINDS.into_iter().zip([0x40, 0x50, 0x62, 0x70]) {
            for version in [Version::V3, Version::V4, Version::V5] {
                let mut out = Vec::new();
                ack(ReasonCode::Success).encode(version, kind, &mut out).unwrap();
                assert_eq!(out, [first, 0x02, 0x12, 0x34]);
                put_ack(&mut out, kind, ack(ReasonCode::Success).packet_id);
                assert_eq!(out[..4], out[4..]);
                assert_eq!(Ack::decode(version, kind, &out[2..4]), Ok(ack(ReasonCode::Success)));
            }
        }
    }

    #[test]
    fn a_pubrel_that_is_sent_again_is_marked_in_mqtt_3_1_only() {
        for (version, first) in [(Version::V3, 0x6A), (Version::V4, 0x62), (Version::V5, 0x62)] {
            let mut out = Vec::new();
            put_pubrel_again(&mut out, version, ack(ReasonCode::Success).packet_id);
            assert_eq!(out, [first, 0x02, 0x12, 0x34]);
            assert_eq!(Packet::decode(version, first, &out[2..]), Ok(Packet::PubRel(ack(ReasonCode::Success))));
        }
    }

    #[test]
    fn mqtt_5_leaves_out_the_properties_that_are_not_there() {
        let refused = ack(ReasonCode::QuotaExceeded);
        let mut out = Vec::new();
        refused.encode(Version::V5, AckKind::PubAck, &mut out).unwrap();
        assert_eq!(out, [0x40, 0x03, 0x12, 0x34, 0x97]);
        let bodies: [&[u8]; 2] = [b"\x12\x34\x97", b"\x12\x34\x97\x00"];
        for body in bodies {
            assert_eq!(Ack::decode(Version::V5, AckKind::PubAck, body), Ok(refused));
        }
    }

    #[test]
    fn a_reason_string_is_read_and_written() {
        let body = b"\x12\x34\x92\x06\x1F\x00\x03why";
        let ack = Ack::decode(Version::V5, AckKind::PubRel, body).unwrap();
        assert_eq!(ack.reason, ReasonCode::PacketIdentifierNotFound);
        assert_eq!(ack.properties.reason_string(), Some("why"));
        let mut out = Vec::new();
        ack.encode(Version::V5, AckKind::PubRel, &mut out).unwrap();
        assert_eq!(out[2..], body[..]);
    }

    #[test]
    fn a_reason_code_of_another_packet_is_refused() {
        for (kind, code) in [
            (AckKind::PubAck, 0x92),
            (AckKind::PubRec, 0x01),
            (AckKind::PubRel, 0x97),
            (AckKind::PubComp, 0x10),
            (AckKind::PubComp, 0xFF),
        ] {
            let error = WireError::UnknownReasonCode { packet: kind.packet(), code };
            assert_eq!(Ack::decode(Version::V5, kind, &[0x12, 0x34, code]), Err(error));
            if let Some(reason) = ReasonCode::from_u8(code) {
                assert_eq!(ack(reason).encode(Version::V5, kind, &mut Vec::new()), Err(error));
            }
        }
    }

    #[test]
    fn an_ack_has_a_packet_identifier_and_nothing_after_its_end() {
        for kind in KINDS {
            assert_eq!(Ack::decode(Version::V5, kind, &[0, 0]), Err(WireError::PacketIdZero));
            assert_eq!(Ack::decode(Version::V5, kind, &[1]), Err(WireError::Truncated("packet identifier")));
            let trailing = WireError::TrailingBytes { packet: kind.packet(), extra: 1 };
            assert_eq!(Ack::decode(Version::V4, kind, &[0, 1, 0]), Err(trailing));
            assert_eq!(Ack::decode(Version::V5, kind, &[0, 1, 0, 0, 9]), Err(trailing));
        }
    }

    #[test]
    fn a_refusal_cannot_be_written_where_it_would_read_as_success() {
        let refused = Packet::PubAck(ack(ReasonCode::QuotaExceeded));
        let mut out = Vec::new();
        assert_eq!(
            refused.encode(Version::V4, &mut out),
            Err(WireError::NotInThisVersion { packet: PacketKind::PubAck, version: Version::V4 })
        );
        assert!(out.is_empty());
        let unmatched = Packet::PubAck(ack(ReasonCode::NoMatchingSubscribers));
        unmatched.encode(Version::V4, &mut out).unwrap();
        assert_eq!(out, [0x40, 0x02, 0x12, 0x34]);
    }
}
