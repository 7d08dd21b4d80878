//! What is said to a client of a link: packets with a reason where the client takes one, and without where it does not. Called
//! while packets are handled; it decides nothing.

use crate::session;
use crate::wire::{Ack, AckKind, Packet, PacketId, Properties, Property, PropertyBuf, ReasonCode, Version, put_ack};

/// What the client said of itself in its CONNECT, for as long as the connection lasts.
pub(super) struct Terms {
    pub(super) link: session::Link,
    /// It wants to know reasons in every packet that can carry one [MQTT-3.1.2-29].
    pub(super) problem_information: bool,
}

impl Terms {
    pub(super) fn version(&self) -> Version {
        self.link.version()
    }

    /// A Reason String, where the version has it and the client wants it.
    pub(super) fn reasons(&self, text: &str) -> PropertyBuf {
        let mut properties = PropertyBuf::new();
        if !text.is_empty() && self.version() == Version::V5 && self.problem_information {
            properties.push(Property::ReasonString(text));
        }
        properties
    }

    /// An acknowledgement with a reason code other than success; the reason is left out where it makes the packet larger than
    /// the client takes [MQTT-3.4.2-2].
    pub(super) fn ack(&self, kind: AckKind, packet_id: PacketId, reason: ReasonCode, text: &str, out: &mut Vec<u8>) {
        if self.version() < Version::V5 {
            put_ack(out, kind, packet_id);
            return;
        }
        let reasons = self.reasons(text);
        let packet = |properties| {
            let ack = Ack { packet_id, reason, properties };
            match kind {
                AckKind::PubAck => Packet::PubAck(ack),
                AckKind::PubRec => Packet::PubRec(ack),
                AckKind::PubRel => Packet::PubRel(ack),
                AckKind::PubComp => Packet::PubComp(ack),
            }
        };
        if !self.put(packet(reasons.as_properties()), out) {
            self.put(packet(Properties::EMPTY), out);
        }
    }

    /// Writes a packet, unless it is larger than the client takes [MQTT-3.1.2-24]; tells whether it did.
    pub(super) fn put(&self, packet: Packet<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let fits = packet.encode(self.version(), out).is_ok() && out.len() - start <= self.link.max_packet_size();
        if !fits {
            out.truncate(start);
        }
        fits
    }
}
