//! One MQTT packet of any kind. The connection loop decodes each frame into this and encodes its answers from it; every
//! kind has a file of its own, which knows its layout and its rules.

use super::reader::Reader;
use super::writer::put_frame;
use super::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, PacketKind, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe,
    Version, WireError,
};

/// A packet, borrowing its text and payload from the body that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Reads the packet whose frame starts with the byte `first` and has this `body`. `version` is that of the
    /// connection; a CONNECT brings its own.
    pub fn decode(version: Version, first: u8, body: &'a [u8]) -> Result<Packet<'a>, WireError> {
        let kind = PacketKind::of_first_byte(version, first)?;
        Ok(match kind {
            PacketKind::Connect => Packet::Connect(Connect::decode(body)?),
            PacketKind::ConnAck => Packet::ConnAck(ConnAck::decode(version, body)?),
            PacketKind::Publish => Packet::Publish(Publish::decode(version, first, body)?),
            PacketKind::PubAck => Packet::PubAck(Ack::decode(version, AckKind::PubAck, body)?),
            PacketKind::PubRec => Packet::PubRec(Ack::decode(version, AckKind::PubRec, body)?),
            PacketKind::PubRel => Packet::PubRel(Ack::decode(version, AckKind::PubRel, body)?),
            PacketKind::PubComp => Packet::PubComp(Ack::decode(version, AckKind::PubComp, body)?),
            PacketKind::Subscribe => Packet::Subscribe(Subscribe::decode(version, body)?),
            PacketKind::SubAck => Packet::SubAck(SubAck::decode(version, body)?),
            PacketKind::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, body)?),
            PacketKind::UnsubAck => Packet::UnsubAck(UnsubAck::decode(version, body)?),
            PacketKind::PingReq => Reader::new(body).finish(kind).map(|()| Packet::PingReq)?,
            PacketKind::PingResp => Reader::new(body).finish(kind).map(|()| Packet::PingResp)?,
            PacketKind::Disconnect => Packet::Disconnect(Disconnect::decode(version, body)?),
            PacketKind::Auth => Packet::Auth(Auth::decode(version, body)?),
        })
    }

    /// Appends the packet to `out` as a frame of this version; a CONNECT is of its own version. What a version has no
    /// place for is left out (properties before MQTT 5, session present in MQTT 3.1) unless the packet would then say
    /// something else, which is an error. On an error `out` is as it was. What is written is what `decode` accepts.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), WireError> {
        match self {
            Packet::Connect(connect) => connect.encode(out),
            Packet::ConnAck(connack) => connack.encode(version, out),
            Packet::Publish(publish) => publish.encode(version, out),
            Packet::PubAck(ack) => ack.encode(version, AckKind::PubAck, out),
            Packet::PubRec(ack) => ack.encode(version, AckKind::PubRec, out),
            Packet::PubRel(ack) => ack.encode(version, AckKind::PubRel, out),
            Packet::PubComp(ack) => ack.encode(version, AckKind::PubComp, out),
            Packet::Subscribe(subscribe) => subscribe.encode(version, out),
            Packet::SubAck(suback) => suback.encode(version, out),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Packet::UnsubAck(unsuback) => unsuback.encode(version, out),
            Packet::PingReq => put_frame(out, PacketKind::PingReq, |_| Ok(())),
            Packet::PingResp => put_frame(out, PacketKind::PingResp, |_| Ok(())),
            Packet::Disconnect(disconnect) => disconnect.encode(version, out),
            Packet::Auth(auth) => auth.encode(version, out),
        }
    }

    /// The name as the specification writes it, `CONNECT`.
    pub fn kind_name(&self) -> &'static str {
        self.kind().name()
    }

    fn kind(&self) -> PacketKind {
        match self {
            Packet::Connect(_) => PacketKind::Connect,
            Packet::ConnAck(_) => PacketKind::ConnAck,
            Packet::Publish(_) => PacketKind::Publish,
            Packet::PubAck(_) => PacketKind::PubAck,
            Packet::PubRec(_) => PacketKind::PubRec,
            Packet::PubRel(_) => PacketKind::PubRel,
            Packet::PubComp(_) => PacketKind::PubComp,
            Packet::Subscribe(_) => PacketKind::Subscribe,
            Packet::SubAck(_) => PacketKind::SubAck,
            Packet::Unsubscribe(_) => PacketKind::Unsubscribe,
            Packet::UnsubAck(_) => PacketKind::UnsubAck,
            Packet::PingReq => PacketKind::PingReq,
            Packet::PingResp => PacketKind::PingResp,
            Packet::Disconnect(_) => PacketKind::Disconnect,
            Packet::Auth(_) => PacketKind::Auth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_two_bytes_and_have_no_body() {
        for (packet, bytes) in [(Packet::PingReq, [0xC0, 0x00]), (Packet::PingResp, [0xD0, 0x00])] {
            for version in [Version::V3, Version::V4, Version::V5] {
                let mut out = Vec::new();
                packet.encode(version, &mut out).unwrap();
                assert_eq!(out, bytes);
                assert_eq!(Packet::decode(version, bytes[0], &[]), Ok(packet));
                assert!(matches!(
                    Packet::decode(version, bytes[0], &[0]),
                    Err(WireError::TrailingBytes { extra: 1, .. })
                ));
            }
        }
    }

    #[test]
    fn a_packet_knows_its_name() {
        assert_eq!(Packet::PingReq.kind_name(), "PINGREQ");
    }
}
