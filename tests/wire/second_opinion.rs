//! The opinion of mqttbytes 0.6 on the same packets, in both directions. It knows 3.1.1 and 5. Where it is wrong or
//! cannot hold a packet, `can_judge` says how, and the packet is held against bytes written by hand instead.

use mqttbytes::{v4, v5};
use proptest::prelude::*;
use weir::wire::{
    Auth, ConnAck, Connect, Disconnect, Packet, PacketId, Properties, Property, Publish, QoS, ReasonCode, Version,
};

use crate::packets::{leaked_properties, packet_of};
use crate::translation::{from_v4, from_v5, in_order};
use crate::{decoded, encoded};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn mqttbytes_agrees_on_3_1_1(packet in packet_of(Version::V4)) {
        prop_assume!(can_judge(Version::V4, &packet));
        let theirs = read(&encoded(Version::V4, &packet), v4::read).unwrap();
        prop_assert_eq!(from_v4(&theirs), packet);
        let bytes = write_v4(&theirs);
        prop_assert_eq!(decoded(Version::V4, &bytes), Some(packet));
    }

    #[test]
    fn mqttbytes_agrees_on_5(packet in packet_of(Version::V5)) {
        prop_assume!(can_judge(Version::V5, &packet));
        let theirs = read(&encoded(Version::V5, &packet), v5::read).unwrap();
        prop_assert_eq!(from_v5(&theirs), in_order(packet));
        // Its CONNACK without properties lacks the property length that has to be there.
        if !matches!(packet, Packet::ConnAck(connack) if connack.properties.is_empty()) {
            let bytes = write_v5(&theirs);
            prop_assert_eq!(decoded(Version::V5, &bytes).map(in_order), Some(in_order(packet)));
        }
    }
}

#[test]
fn packets_on_which_mqttbytes_is_wrong_are_as_written_by_hand() {
    let id = PacketId::new(10).unwrap();
    let properties = Properties::EMPTY;
    let connect = Connect {
        version: Version::V3,
        clean_start: true,
        keep_alive: 60,
        properties,
        client_id: "c",
        will: None,
        user_name: Some(""),
        password: Some(b"\xFF"),
    };
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "a",
        packet_id: Some(id),
        properties: leaked_properties([1, 2, 300].map(Property::SubscriptionIdentifier)),
        payload: b"hi",
    };
    let reason = ReasonCode::QuotaExceeded;
    let cases: [(Packet, &[u8]); 9] = [
        (Packet::Connect(connect), b"\x10\x14\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01c\x00\x00\x00\x01\xFF"),
        (
            Packet::Connect(Connect { version: Version::V4, ..connect }),
            b"\x10\x12\x00\x04MQTT\x04\xC2\x00\x3C\x00\x01c\x00\x00\x00\x01\xFF",
        ),
        (
            Packet::Connect(Connect { version: Version::V5, user_name: None, ..connect }),
            b"\x10\x11\x00\x04MQTT\x05\x42\x00\x3C\x00\x00\x01c\x00\x01\xFF",
        ),
        (Packet::ConnAck(ConnAck { session_present: true, code: 0, properties }), b"\x20\x03\x01\x00\x00"),
        (Packet::Publish(publish), b"\x32\x0F\x00\x01a\x00\x0A\x07\x0B\x01\x0B\x02\x0B\xAC\x02hi"),
        (Packet::Disconnect(Disconnect { reason: ReasonCode::NormalDisconnection, properties }), b"\xE0\x00"),
        (Packet::Disconnect(Disconnect { reason, properties }), b"\xE0\x01\x97"),
        (Packet::Auth(Auth { reason: ReasonCode::Success, properties }), b"\xF0\x00"),
        (
            Packet::Auth(Auth {
                reason: ReasonCode::ReAuthenticate,
                properties: leaked_properties([Property::AuthenticationMethod("m")]),
            }),
            b"\xF0\x06\x19\x04\x15\x00\x01m",
        ),
    ];
    for (packet, bytes) in cases {
        assert_eq!(encoded(Version::V5, &packet), bytes, "{packet:?}");
        assert_eq!(decoded(Version::V5, bytes), Some(packet));
    }
}

/// Whether mqttbytes can read and hold this packet.
fn can_judge(version: Version, packet: &Packet<'_>) -> bool {
    match packet {
        // It takes an empty user name or password for an absent one, and a password for text.
        Packet::Connect(connect) => {
            connect.user_name != Some("")
                && connect.password.is_none_or(|password| !password.is_empty() && str::from_utf8(password).is_ok())
        }
        // It counts a byte too many for each subscription identifier, and loses its place when there are several.
        Packet::Publish(publish) => publish.properties.subscription_identifiers().count() <= 1,
        // It reads no DISCONNECT of MQTT 5 shorter than reason code and property length.
        Packet::Disconnect(disconnect) => version < Version::V5 || !disconnect.properties.is_empty(),
        // It has no AUTH.
        Packet::Auth(_) => false,
        _ => true,
    }
}

/// mqttbytes reads from and writes to buffers of a crate that is no dependency of this one; their types are inferred.
fn read<B: Default + Extend<u8>, T>(bytes: &[u8], read: impl FnOnce(&mut B, usize) -> T) -> T {
    let mut buffer = B::default();
    buffer.extend(bytes.iter().copied());
    read(&mut buffer, usize::MAX)
}

fn write<B: Default + AsRef<[u8]>>(write: impl FnOnce(&mut B) -> Result<usize, mqttbytes::Error>) -> Vec<u8> {
    let mut buffer = B::default();
    write(&mut buffer).unwrap();
    buffer.as_ref().to_vec()
}

fn write_v4(packet: &v4::Packet) -> Vec<u8> {
    match packet {
        v4::Packet::Connect(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::ConnAck(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::Publish(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::PubAck(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::PubRec(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::PubRel(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::PubComp(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::Subscribe(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::SubAck(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::Unsubscribe(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::UnsubAck(packet) => write(|buffer| packet.write(buffer)),
        v4::Packet::PingReq => write(|buffer| v4::PingReq.write(buffer)),
        v4::Packet::PingResp => write(|buffer| v4::PingResp.write(buffer)),
        v4::Packet::Disconnect => write(|buffer| v4::Disconnect.write(buffer)),
    }
}

fn write_v5(packet: &v5::Packet) -> Vec<u8> {
    match packet {
        v5::Packet::Connect(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::ConnAck(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::Publish(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::PubAck(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::PubRec(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::PubRel(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::PubComp(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::Subscribe(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::SubAck(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::Unsubscribe(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::UnsubAck(packet) => write(|buffer| packet.write(buffer)),
        v5::Packet::PingReq => write(|buffer| v5::PingReq.write(buffer)),
        v5::Packet::PingResp => write(|buffer| v5::PingResp.write(buffer)),
        v5::Packet::Disconnect(packet) => write(|buffer| packet.write(buffer)),
    }
}
