//! UNSUBACK, the answer to an UNSUBSCRIBE (section 3.11). The connection loop writes it and a relay reads it; which
//! subscriptions ended is decided elsewhere.

use super::reader::Reader;
use super::writer::{put_frame, put_properties, put_u16};
use super::{PacketId, PacketKind, Properties, ReasonCode, Version, WireError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    /// A [`ReasonCode`] for each filter, in their order [MQTT-3.11.3-1]. Before MQTT 5 there are none: they read as empty
    /// and are not written.
    pub codes: &'a [u8],
}

impl<'a> UnsubAck<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = reader.properties(version, PacketKind::UnsubAck)?;
        if version < Version::V5 {
            reader.finish(PacketKind::UnsubAck)?;
            return Ok(UnsubAck { packet_id, properties, codes: &[] });
        }
        let codes = reader.rest();
        check(codes)?;
        Ok(UnsubAck { packet_id, properties, codes })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        put_frame(out, PacketKind::UnsubAck, |out| {
            put_u16(out, self.packet_id.get());
            if version < Version::V5 {
                return Ok(());
            }
            check(self.codes)?;
            put_properties(out, version, PacketKind::UnsubAck, self.properties)?;
            out.extend_from_slice(self.codes);
            Ok(())
        })
    }
}

/// At least one code, and only those of UNSUBACK [MQTT-3.11.3-2].
fn check(codes: &[u8]) -> Result<(), WireError> {
    let packet = PacketKind::UnsubAck;
    if codes.is_empty() {
        return Err(WireError::NoReasonCodes(packet));
    }
    let known = |&code: &u8| ReasonCode::from_u8(code).is_some_and(|reason| reason.belongs_in(packet));
    match codes.iter().find(|code| !known(code)) {
        Some(&code) => Err(WireError::UnknownReasonCode { packet, code }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_5_has_a_code_for_each_filter_and_earlier_versions_none() {
        let unsuback =
            UnsubAck { packet_id: PacketId::new(10).unwrap(), properties: Properties::EMPTY, codes: &[0x00, 0x11] };
        let mut out = Vec::new();
        unsuback.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, b"\xB0\x05\x00\x0A\x00\x00\x11");
        assert_eq!(UnsubAck::decode(Version::V5, &out[2..]), Ok(unsuback));

        for version in [Version::V3, Version::V4] {
            out.clear();
            unsuback.encode(version, &mut out).unwrap();
            assert_eq!(out, b"\xB0\x02\x00\x0A");
            assert_eq!(UnsubAck::decode(version, &out[2..]), Ok(UnsubAck { codes: &[], ..unsuback }));
        }
    }

    #[test]
    fn what_no_unsuback_can_say_is_refused() {
        let unknown = WireError::UnknownReasonCode { packet: PacketKind::UnsubAck, code: 0x97 };
        assert_eq!(UnsubAck::decode(Version::V5, b"\x00\x0A\x00\x97"), Err(unknown));
        assert_eq!(UnsubAck::decode(Version::V5, b"\x00\x0A\x00"), Err(WireError::NoReasonCodes(PacketKind::UnsubAck)));
        assert_eq!(
            UnsubAck::decode(Version::V4, b"\x00\x0A\x00"),
            Err(WireError::TrailingBytes { packet: PacketKind::UnsubAck, extra: 1 })
        );
    }
}
