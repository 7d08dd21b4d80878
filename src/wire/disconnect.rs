//! DISCONNECT, the last packet of a connection (section 3.14): from a client in every version, from a server in MQTT 5.
//! The connection loop reads and writes it; what becomes of session and will is decided elsewhere.

use super::reader::Reader;
use super::writer::{put_frame, put_reason};
use super::{PacketKind, Properties, ReasonCode, Version, WireError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Always [`ReasonCode::NormalDisconnection`] before MQTT 5.
    pub reason: ReasonCode,
    /// A Session Expiry Interval among them is legal to read, but only a client may send it [MQTT-3.14.2-2].
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let packet = PacketKind::Disconnect;
        let mut reader = Reader::new(body);
        let mut disconnect = Disconnect { reason: ReasonCode::NormalDisconnection, properties: Properties::EMPTY };
        // The short forms of MQTT 5: no reason code means a normal end, no property length means no properties.
        if version == Version::V5 && !reader.is_empty() {
            let code = reader.u8("reason code")?;
            disconnect.reason = ReasonCode::from_u8(code)
                .filter(|reason| reason.belongs_in(packet))
                .ok_or(WireError::UnknownReasonCode { packet, code })?;
            if !reader.is_empty() {
                disconnect.properties = reader.properties(version, packet)?;
            }
        }
        reader.finish(packet)?;
        Ok(disconnect)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        let packet = PacketKind::Disconnect;
        if !self.reason.belongs_in(packet) {
            let code = self.reason as u8;
            return Err(WireError::UnknownReasonCode { packet, code });
        }
        if version < Version::V5 && self.reason != ReasonCode::NormalDisconnection {
            // Without its reason code this would be a normal end, and discard the will.
            return Err(WireError::NotInThisVersion { packet, version });
        }
        put_frame(out, packet, |out| put_reason(out, version, packet, self.reason, self.properties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disconnect(reason: ReasonCode) -> Disconnect<'static> {
        Disconnect { reason, properties: Properties::EMPTY }
    }

    #[test]
    fn a_normal_end_is_two_bytes_in_every_version() {
        let normal = disconnect(ReasonCode::NormalDisconnection);
        for version in [Version::V3, Version::V4, Version::V5] {
            let mut out = Vec::new();
            normal.encode(version, &mut out).unwrap();
            assert_eq!(out, [0xE0, 0x00]);
            assert_eq!(Disconnect::decode(version, &[]), Ok(normal));
        }
    }

    #[test]
    fn mqtt_5_gives_a_reason_and_may_leave_out_the_properties() {
        let quota = disconnect(ReasonCode::QuotaExceeded);
        let mut out = Vec::new();
        quota.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, [0xE0, 0x01, 0x97]);
        let bodies: [&[u8]; 2] = [b"\x97", b"\x97\x00"];
        for body in bodies {
            assert_eq!(Disconnect::decode(Version::V5, body), Ok(quota));
        }
        let expiry = Disconnect::decode(Version::V5, b"\x00\x05\x11\x00\x00\x00\x09").unwrap();
        assert_eq!(expiry.properties.session_expiry_interval(), Some(9));
        out.clear();
        expiry.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, b"\xE0\x07\x00\x05\x11\x00\x00\x00\x09");
    }

    #[test]
    fn what_no_disconnect_can_say_is_refused() {
        let unknown = WireError::UnknownReasonCode { packet: PacketKind::Disconnect, code: 0x91 };
        assert_eq!(Disconnect::decode(Version::V5, &[0x91]), Err(unknown));
        assert_eq!(disconnect(ReasonCode::PacketIdentifierInUse).encode(Version::V5, &mut Vec::new()), Err(unknown));
        assert_eq!(
            Disconnect::decode(Version::V4, &[0]),
            Err(WireError::TrailingBytes { packet: PacketKind::Disconnect, extra: 1 })
        );
        assert_eq!(
            Disconnect::decode(Version::V5, &[0, 0, 0]),
            Err(WireError::TrailingBytes { packet: PacketKind::Disconnect, extra: 1 })
        );
        assert_eq!(
            disconnect(ReasonCode::DisconnectWithWill).encode(Version::V4, &mut Vec::new()),
            Err(WireError::NotInThisVersion { packet: PacketKind::Disconnect, version: Version::V4 })
        );
    }
}
