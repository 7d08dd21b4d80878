//! A message on its way through the session and the mailbox: published and acknowledged in each direction, with one message
//! in flight and with many; put into a mailbox and taken out.

use std::hint::black_box;
use std::task::Waker;

use criterion::Criterion;
use weir::measuring::{Counters, Delivery, Inbox, Message, Session};
use weir::wire::{AckKind, Packet, PacketId, Publish, QoS, Version, put_ack};

use crate::publish;

/// How many messages are in flight, or wait in the mailbox, at a time.
const AT_A_TIME: [usize; 2] = [1, 100];

pub fn measure(criterion: &mut Criterion) {
    making(criterion);
    for count in AT_A_TIME {
        to_the_client(criterion, count);
        from_the_client(criterion, count);
        mailbox(criterion, count);
    }
}

/// The body of a PUBLISH.
fn body(qos: QoS) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet::Publish(publish("site/7/pump/12/pressure", qos)).encode(Version::V4, &mut bytes).expect("a packet");
    bytes.split_off(2)
}

fn message(qos: QoS) -> Message {
    let body = body(qos);
    Message::from_publish(&body, &decode(qos, &body))
}

fn decode(qos: QoS, body: &[u8]) -> Publish<'_> {
    Publish::decode(Version::V4, 0x30 | (qos as u8) << 1, body).expect("a PUBLISH")
}

/// The one allocation and the one copy of a publish, and what each of its subscribers costs instead.
fn making(criterion: &mut Criterion) {
    let body = body(QoS::AtMostOnce);
    let publish = decode(QoS::AtMostOnce, &body);
    criterion.bench_function("session/message, made and dropped", |b| {
        b.iter(|| Message::from_publish(black_box(&body), black_box(&publish)));
    });
    let message = message(QoS::AtMostOnce);
    criterion.bench_function("session/delivery, made and dropped", |b| b.iter(|| message.delivery()));
}

/// The packet identifiers that a session gives, in their order.
fn ids() -> impl Iterator<Item = PacketId> {
    (1..=u16::MAX).cycle().filter_map(PacketId::new)
}

/// Deliveries that the client acknowledges.
fn to_the_client(criterion: &mut Criterion, in_flight: usize) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let delivery: Delivery = message(qos).delivery();
        let mut session = Session::new(&Inbox::default(), Version::V4, u16::MAX);
        let (mut ids, mut out) = (ids(), Vec::new());
        let mut sent_and_acknowledged = || {
            for _ in 0..in_flight {
                let delivery = delivery.clone();
                assert!(session.is_ready(&delivery), "there is quota");
                session.send(delivery, &mut out);
            }
            match qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => ids.by_ref().take(in_flight).for_each(|id| assert!(session.puback(id))),
                QoS::ExactlyOnce => {
                    for id in ids.by_ref().take(in_flight) {
                        assert!(session.pubrec(id, &mut out) && session.pubcomp(id), "it was sent");
                    }
                }
            }
            black_box(&mut out).clear();
        };
        let name = format!("session/to the client, QoS {}, {in_flight} at a time", qos as u8);
        criterion.bench_function(&name, |b| b.iter(&mut sent_and_acknowledged));
    }
}

/// Messages of QoS 2 that the client opens and releases. Of the lower ones a session keeps nothing.
fn from_the_client(criterion: &mut Criterion, in_flight: usize) {
    let mut session = Session::new(&Inbox::default(), Version::V4, u16::MAX);
    let mut out = Vec::new();
    let ids: Vec<_> = ids().take(in_flight).collect();
    let mut opened_and_released = || {
        for id in &ids {
            session.open(*id);
            put_ack(&mut out, AckKind::PubRec, *id);
        }
        for id in &ids {
            assert!(session.release(*id), "it is open");
            put_ack(&mut out, AckKind::PubComp, *id);
        }
        black_box(&mut out).clear();
    };
    let name = format!("session/from the client, QoS 2, {in_flight} at a time");
    criterion.bench_function(&name, |b| b.iter(&mut opened_and_released));
}

fn mailbox(criterion: &mut Criterion, waiting: usize) {
    let mut inbox = Inbox::default();
    let (message, stats) = (message(QoS::AtMostOnce), Counters::default());
    let mut pushed_and_taken = |sleeps: bool| {
        if sleeps {
            assert!(inbox.arm(Waker::noop()), "it is empty");
        }
        for _ in 0..waiting {
            assert!(inbox.push(message.delivery(), &stats), "there is room");
        }
        assert_eq!(inbox.take().map(black_box).count(), waiting);
    };
    criterion.bench_function(&format!("mailbox/push and take, {waiting} at a time"), |b| {
        b.iter(|| pushed_and_taken(false));
    });
    criterion.bench_function(&format!("mailbox/arm, push and take, {waiting} at a time"), |b| {
        b.iter(|| pushed_and_taken(true));
    });
}
