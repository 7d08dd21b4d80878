//! How a no reaches the client: the packets that carry a denial or a refusal, with its reason and its figures where the
//! client wants to know them, and without them where the packet would be larger than it takes.

use std::borrow::Cow;

use crate::limits::Denial;
use crate::wire::{
    Ack, AckKind, Auth, ConnAck, ConnectReturnCode, Disconnect, Packet, PacketId, Property, PropertyBuf, ReasonCode,
    SubAck, UnsubAck, Version,
};

/// What a no says beside its reason code.
pub(super) struct Reasons<'a> {
    pub(super) text: &'a str,
    pub(super) denial: Option<&'a Denial>,
}

impl Reasons<'_> {
    /// Reason String, and for a denial the User Properties `retry-after`, `resource` and `limit`.
    fn properties(&self) -> PropertyBuf {
        let mut properties = PropertyBuf::new();
        if !self.text.is_empty() {
            properties.push(Property::ReasonString(self.text));
        }
        if let Some(denial) = self.denial {
            properties.push(Property::UserProperty("retry-after", &denial.retry_after.to_string()));
            properties.push(Property::UserProperty("resource", denial.resource.as_str()));
            properties.push(Property::UserProperty("limit", denial.limit.written()));
        }
        properties
    }
}

/// Writes a packet, unless it is larger than the client takes [MQTT-3.1.2-24]; tells whether it did.
fn put_if_it_fits(out: &mut Vec<u8>, version: Version, max_packet_size: usize, packet: Packet<'_>) -> bool {
    let start = out.len();
    let fits = packet.encode(version, out).is_ok() && out.len() - start <= max_packet_size;
    if !fits {
        out.truncate(start);
    }
    fits
}

/// Writes a packet with the reasons, or without them where it would be larger than the client takes [MQTT-3.4.2-2].
fn put<'p>(
    out: &mut Vec<u8>,
    version: Version,
    max_packet_size: usize,
    properties: &'p PropertyBuf,
    packet: impl Fn(&'p PropertyBuf) -> Packet<'p>,
    bare: Packet<'_>,
) {
    if !put_if_it_fits(out, version, max_packet_size, packet(properties)) {
        put_if_it_fits(out, version, max_packet_size, bare);
    }
}

/// A CONNACK that refuses. Nothing is written where 3.1.1 has no return code for the reason [MQTT-3.2.2-6].
pub(super) fn connack(
    out: &mut Vec<u8>,
    version: Version,
    max_packet_size: usize,
    code: ReasonCode,
    reasons: &Reasons<'_>,
) {
    if version != Version::V5 {
        if let Some(code) = ConnectReturnCode::for_reason(code) {
            out.extend_from_slice(&[0x20, 2, 0, code as u8]);
        }
        return;
    }
    let properties = reasons.properties();
    let packet = |p| Packet::ConnAck(ConnAck { session_present: false, code: code as u8, properties: p });
    let bare = packet(Default::default());
    put(out, version, max_packet_size, &properties, |p| packet(p.as_properties()), bare);
}

/// A DISCONNECT from the broker, which only MQTT 5 has.
pub(super) fn disconnect(out: &mut Vec<u8>, max_packet_size: usize, reason: ReasonCode, reasons: &Reasons<'_>) {
    let properties = reasons.properties();
    let packet = |p| Packet::Disconnect(Disconnect { reason, properties: p });
    let bare = packet(Default::default());
    put(out, Version::V5, max_packet_size, &properties, |p| packet(p.as_properties()), bare);
}

/// Why an exchange cannot go on whose AUTH does not fit.
pub(super) const AUTH_TOO_LARGE: &str = "the answer in AUTH is larger than the client's Maximum Packet Size";

/// An AUTH packet. False: it is larger than the client takes, and nothing was written.
pub(super) fn auth(out: &mut Vec<u8>, max_packet_size: usize, reason: ReasonCode, method: &str, data: &[u8]) -> bool {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod(method));
    if !data.is_empty() {
        properties.push(Property::AuthenticationData(data));
    }
    let auth = Auth { reason, properties: properties.as_properties() };
    put_if_it_fits(out, Version::V5, max_packet_size, Packet::Auth(auth))
}

/// Who is answered, and how much it wants to know.
#[derive(Clone, Copy)]
pub(super) struct Addressee {
    pub(super) max_packet_size: usize,
    /// Request Problem Information: without it only CONNACK and DISCONNECT carry reasons [MQTT-3.1.2-29].
    pub(super) wants_reasons: bool,
}

/// A PUBACK or PUBREC with a reason code, for MQTT 5.
pub(super) fn ack(
    out: &mut Vec<u8>,
    to: Addressee,
    kind: AckKind,
    packet_id: PacketId,
    reason: ReasonCode,
    reasons: &Reasons<'_>,
) {
    let properties = if to.wants_reasons { reasons.properties() } else { PropertyBuf::new() };
    let packet = |p| {
        let ack = Ack { packet_id, reason, properties: p };
        match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        }
    };
    let bare = packet(Default::default());
    put(out, Version::V5, to.max_packet_size, &properties, |p| packet(p.as_properties()), bare);
}

/// A SUBACK. `codes` are MQTT 5's; 3.1 and 3.1.1 know one failure only.
pub(super) fn suback(
    out: &mut Vec<u8>,
    version: Version,
    to: Addressee,
    packet_id: PacketId,
    codes: &[u8],
    reasons: &Reasons<'_>,
) {
    let codes: Cow<'_, [u8]> = match version {
        Version::V5 => codes.into(),
        Version::V3 | Version::V4 => codes.iter().map(|code| if *code >= 0x80 { 0x80 } else { *code }).collect(),
    };
    let properties = if to.wants_reasons { reasons.properties() } else { PropertyBuf::new() };
    let packet = |p| Packet::SubAck(SubAck { packet_id, properties: p, codes: &codes });
    let bare = packet(Default::default());
    put(out, version, to.max_packet_size, &properties, |p| packet(p.as_properties()), bare);
}

/// An UNSUBACK. `codes` is empty before MQTT 5, which has none.
pub(super) fn unsuback(out: &mut Vec<u8>, version: Version, max_packet_size: usize, packet_id: PacketId, codes: &[u8]) {
    let unsuback = UnsubAck { packet_id, properties: Default::default(), codes };
    put_if_it_fits(out, version, max_packet_size, Packet::UnsubAck(unsuback));
}
