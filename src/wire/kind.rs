//! The fifteen packet types: their numbers, their names and the flag bits each must carry. Frames, packets and errors
//! name a packet by this. It knows nothing of what is inside one.

use std::fmt;

use super::{Version, WireError};

/// A packet type (table 2-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketKind {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    /// MQTT 5 only.
    Auth = 15,
}

impl PacketKind {
    /// The packet type in the high four bits of a frame's first byte, if this version has it and its flag bits are as
    /// they must be.
    pub(super) fn of_first_byte(version: Version, first: u8) -> Result<PacketKind, WireError> {
        let kind = match first >> 4 {
            1 => PacketKind::Connect,
            2 => PacketKind::ConnAck,
            3 => PacketKind::Publish,
            4 => PacketKind::PubAck,
            5 => PacketKind::PubRec,
            6 => PacketKind::PubRel,
            7 => PacketKind::PubComp,
            8 => PacketKind::Subscribe,
            9 => PacketKind::SubAck,
            10 => PacketKind::Unsubscribe,
            11 => PacketKind::UnsubAck,
            12 => PacketKind::PingReq,
            13 => PacketKind::PingResp,
            14 => PacketKind::Disconnect,
            15 if version == Version::V5 => PacketKind::Auth,
            reserved => return Err(WireError::ReservedPacketType(reserved)),
        };
        kind.check_flags(version, first)?;
        Ok(kind)
    }

    /// The low four bits of the first byte, each at the value the specification lists for it [MQTT-2.1.3-1]. Those of
    /// PUBLISH carry meaning and are read with it.
    fn check_flags(self, version: Version, first: u8) -> Result<(), WireError> {
        if self == PacketKind::Publish {
            return Ok(());
        }
        // MQTT 3.1 resends these three with the DUP bit set (its section 2.1).
        let may_be_duplicate = matches!(self, PacketKind::PubRel | PacketKind::Subscribe | PacketKind::Unsubscribe);
        let ignored = if version == Version::V3 && may_be_duplicate { 0b1000 } else { 0 };
        let flags = first & 0x0F;
        if flags & !ignored != self.first_byte() & 0x0F {
            return Err(WireError::ReservedFlags { packet: self, flags });
        }
        Ok(())
    }

    /// The first byte of a frame of this type: the type and its reserved flags [MQTT-3.6.1-1], [MQTT-3.8.1-1],
    /// [MQTT-3.10.1-1]. PUBLISH adds its own flags.
    pub(super) fn first_byte(self) -> u8 {
        let flags = match self {
            PacketKind::PubRel | PacketKind::Subscribe | PacketKind::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }

    /// The name as the specification writes it, `CONNECT`.
    pub fn name(self) -> &'static str {
        match self {
            PacketKind::Connect => "CONNECT",
            PacketKind::ConnAck => "CONNACK",
            PacketKind::Publish => "PUBLISH",
            PacketKind::PubAck => "PUBACK",
            PacketKind::PubRec => "PUBREC",
            PacketKind::PubRel => "PUBREL",
            PacketKind::PubComp => "PUBCOMP",
            PacketKind::Subscribe => "SUBSCRIBE",
            PacketKind::SubAck => "SUBACK",
            PacketKind::Unsubscribe => "UNSUBSCRIBE",
            PacketKind::UnsubAck => "UNSUBACK",
            PacketKind::PingReq => "PINGREQ",
            PacketKind::PingResp => "PINGRESP",
            PacketKind::Disconnect => "DISCONNECT",
            PacketKind::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_type_has_exactly_one_legal_set_of_flags_but_publish() {
        for version in [Version::V4, Version::V5] {
            for number in 1..=14u8 {
                let legal =
                    (0..16).filter(|flags| PacketKind::of_first_byte(version, number << 4 | flags).is_ok()).count();
                assert_eq!(legal, if number == 3 { 16 } else { 1 }, "type {number} in MQTT {version}");
            }
        }
    }

    #[test]
    fn mqtt_3_1_may_set_the_dup_bit_of_what_it_resends() {
        for first in [0x6A, 0x8A, 0xAA] {
            assert!(PacketKind::of_first_byte(Version::V3, first).is_ok(), "{first:#x}");
            assert_eq!(
                PacketKind::of_first_byte(Version::V4, first).map_err(|error| error.rule()),
                Err("MQTT-2.1.3-1"),
                "{first:#x}"
            );
        }
        assert!(PacketKind::of_first_byte(Version::V3, 0x6B).is_err());
        assert!(PacketKind::of_first_byte(Version::V3, 0x48).is_err());
    }

    #[test]
    fn type_0_is_reserved_and_type_15_is_reserved_before_mqtt_5() {
        assert_eq!(PacketKind::of_first_byte(Version::V5, 0x00), Err(WireError::ReservedPacketType(0)));
        assert_eq!(PacketKind::of_first_byte(Version::V4, 0xF0), Err(WireError::ReservedPacketType(15)));
        assert_eq!(PacketKind::of_first_byte(Version::V5, 0xF0), Ok(PacketKind::Auth));
    }
}
