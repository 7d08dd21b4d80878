//! Each hot packet, from bytes and to bytes, in MQTT 3.1.1 and 5.

use std::hint::black_box;

use criterion::Criterion;
use weir::wire::{
    Ack, AckKind, Connect, FiltersBuf, Packet, PacketId, Properties, Publish, QoS, ReasonCode, RetainHandling,
    Subscribe, SubscriptionOptions, Version, frame_header, put_ack, put_publish,
};

use crate::{PAYLOAD, publish};

const TOPIC: &str = "site/7/pump/12/pressure";

pub fn measure(criterion: &mut Criterion) {
    for version in [Version::V4, Version::V5] {
        let mut filters = FiltersBuf::new();
        let options = SubscriptionOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        filters.push("site/7/pump/+/pressure", options).expect("a filter");
        let subscribe =
            Subscribe { packet_id: PacketId::MIN, properties: Properties::EMPTY, filters: filters.as_filters() };
        let ack = Ack { packet_id: PacketId::MIN, reason: ReasonCode::Success, properties: Properties::EMPTY };
        let packets = [
            ("PUBLISH QoS 0", Packet::Publish(publish(TOPIC, QoS::AtMostOnce))),
            ("PUBLISH QoS 1", Packet::Publish(publish(TOPIC, QoS::AtLeastOnce))),
            ("PUBLISH QoS 2", Packet::Publish(publish(TOPIC, QoS::ExactlyOnce))),
            ("PUBACK", Packet::PubAck(ack)),
            ("PUBREC", Packet::PubRec(ack)),
            ("PUBREL", Packet::PubRel(ack)),
            ("PUBCOMP", Packet::PubComp(ack)),
            ("PINGREQ", Packet::PingReq),
            ("SUBSCRIBE", Packet::Subscribe(subscribe)),
            ("CONNECT", Packet::Connect(connect(version))),
        ];
        for (name, packet) in &packets {
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes).expect("a packet");
            let name = |what| format!("wire/{what}/{name}, MQTT {version}");
            criterion.bench_function(&name("decode"), |b| b.iter(|| decode(version, black_box(&bytes))));
            criterion.bench_function(&name("encode"), |b| {
                b.iter(|| {
                    bytes.clear();
                    black_box(packet).encode(version, &mut bytes)
                });
            });
        }
    }
    fast_ways(criterion);
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        properties: Properties::EMPTY,
        client_id: "pump-00012",
        will: None,
        user_name: Some("Token"),
        password: Some(b"demo-pump-00012-demo"),
    }
}

/// A frame and the packet in it, as the connection loop reads them.
fn decode(version: Version, bytes: &[u8]) -> Packet<'_> {
    let header = frame_header(bytes, usize::MAX).expect("a frame").expect("all of it");
    Packet::decode(version, header.first, &bytes[header.header_len..]).expect("a packet")
}

/// The ways past [`Packet`] that a delivery and an acknowledgement take, and that a PUBLISH comes in by.
fn fast_ways(criterion: &mut Criterion) {
    let mut out = Vec::new();
    let mut topic = (TOPIC.len() as u16).to_be_bytes().to_vec();
    topic.extend(TOPIC.as_bytes());
    for version in [Version::V4, Version::V5] {
        criterion.bench_function(&format!("wire/put_publish/QoS 0, MQTT {version}"), |b| {
            b.iter(|| {
                out.clear();
                put_publish(&mut out, version, 0x30, black_box(&topic), None, &[&[]], black_box(&PAYLOAD));
            });
        });
        let mut bytes = Vec::new();
        Packet::Publish(publish(TOPIC, QoS::AtMostOnce)).encode(version, &mut bytes).expect("a packet");
        criterion.bench_function(&format!("wire/Publish::decode/QoS 0, MQTT {version}"), |b| {
            b.iter(|| Publish::decode(version, 0x30, black_box(&bytes[2..])).is_ok());
        });
    }
    criterion.bench_function("wire/put_ack", |b| {
        b.iter(|| {
            out.clear();
            put_ack(&mut out, AckKind::PubAck, black_box(PacketId::MIN));
        });
    });
}
