//! AUTH, a step of enhanced authentication (section 3.15), in MQTT 5 only. The connection loop reads and writes it; what
//! the steps prove is decided elsewhere.

use super::reader::Reader;
use super::writer::{put_frame, put_properties};
use super::{PacketKind, Properties, ReasonCode, Version, WireError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue authentication or re-authenticate.
    pub reason: ReasonCode,
    /// With an Authentication Method, unless the packet is a bare success.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Self, WireError> {
        let packet = PacketKind::Auth;
        let mut reader = Reader::new(body);
        let mut auth = Auth { reason: ReasonCode::Success, properties: Properties::EMPTY };
        if !reader.is_empty() {
            let code = reader.u8("reason code")?;
            auth.reason = ReasonCode::from_u8(code).ok_or(WireError::UnknownReasonCode { packet, code })?;
            auth.properties = reader.properties(version, packet)?;
        }
        auth.check(version)?;
        reader.finish(packet)?;
        Ok(auth)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.check(version)?;
        put_frame(out, PacketKind::Auth, |out| {
            if self.is_bare_success() {
                return Ok(());
            }
            out.push(self.reason as u8);
            put_properties(out, version, PacketKind::Auth, self.properties)
        })
    }

    fn check(&self, version: Version) -> Result<(), WireError> {
        let packet = PacketKind::Auth;
        if version < Version::V5 {
            return Err(WireError::NotInThisVersion { packet, version });
        }
        if !self.reason.belongs_in(packet) {
            let code = self.reason as u8;
            return Err(WireError::UnknownReasonCode { packet, code });
        }
        // The method may not be left out (section 3.15.2.2.2), but a success without properties may be all there is
        // (section 3.15.2.1).
        if !self.is_bare_success() && self.properties.authentication_method().is_none() {
            return Err(WireError::NoAuthenticationMethod);
        }
        Ok(())
    }

    fn is_bare_success(&self) -> bool {
        self.reason == ReasonCode::Success && self.properties.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Packet;

    #[test]
    fn a_step_names_its_method() {
        let body = b"\x18\x09\x15\x00\x01m\x16\x00\x02d\x00";
        let auth = Auth::decode(Version::V5, body).unwrap();
        assert_eq!(auth.reason, ReasonCode::ContinueAuthentication);
        assert_eq!(auth.properties.authentication_method(), Some("m"));
        assert_eq!(auth.properties.authentication_data(), Some(&b"d\0"[..]));
        let mut out = Vec::new();
        auth.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out[..2], [0xF0, body.len() as u8]);
        assert_eq!(out[2..], body[..]);
        assert_eq!(Auth::decode(Version::V5, b"\x18\x00"), Err(WireError::NoAuthenticationMethod));
    }

    #[test]
    fn a_bare_success_is_two_bytes() {
        let success = Auth { reason: ReasonCode::Success, properties: Properties::EMPTY };
        let bodies: [&[u8]; 2] = [b"", b"\x00\x00"];
        for body in bodies {
            assert_eq!(Auth::decode(Version::V5, body), Ok(success));
        }
        let mut out = Vec::new();
        success.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, [0xF0, 0x00]);
    }

    #[test]
    fn what_no_auth_can_say_is_refused() {
        for code in [0x01, 0x80, 0xFF] {
            assert_eq!(
                Auth::decode(Version::V5, &[code, 4, 0x15, 0, 1, b'm']),
                Err(WireError::UnknownReasonCode { packet: PacketKind::Auth, code })
            );
        }
        assert_eq!(Auth::decode(Version::V5, &[0x18]), Err(WireError::Truncated("property length")));
    }

    #[test]
    fn there_is_no_auth_before_mqtt_5() {
        assert_eq!(Packet::decode(Version::V4, 0xF0, &[]), Err(WireError::ReservedPacketType(15)));
        let success = Packet::Auth(Auth { reason: ReasonCode::Success, properties: Properties::EMPTY });
        assert_eq!(
            success.encode(Version::V4, &mut Vec::new()),
            Err(WireError::NotInThisVersion { packet: PacketKind::Auth, version: Version::V4 })
        );
    }
}
