//! MQTT 5, sections 4.1 to 4.3: how long a session lives, what it travels over, and the three QoS, with the broker as the
//! receiver of messages and as their sender.

use weir::wire::{Property, QoS, Version};

use crate::common::{Client, Received, Weir};
use crate::v5_6;
use crate::v5_setup::*;

// 4.1 and 4.2: session state, network connections

#[test]
fn v5_4_1_0_1_a_session_is_not_discarded_while_its_connection_is_open() {
    let mut weir = weir();
    let (mut brief, _) = connect_with(&weir, "brief", true, &[Property::SessionExpiryInterval(1)]);
    let mut none = client(&weir, "none");
    for client in [&mut brief, &mut none] {
        client.subscribe("t", QoS::ExactlyOnce);
    }
    weir.clock("+720h");
    send(&mut client(&weir, "publisher"), "t", b"still there", QoS::ExactlyOnce);
    assert_eq!(payloads(&mut brief), ["still there"]);
    assert_eq!(payloads(&mut none), ["still there"]);
}

#[test]
fn v5_4_1_0_2_a_session_is_discarded_when_its_expiry_interval_has_passed() {
    let mut weir = weir();
    let minute = [Property::SessionExpiryInterval(60)];
    let (mut client, _) = connect_with(&weir, "client", true, &minute);
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    weir.clock("+59s");
    let (client, present) = connect_with(&weir, "client", false, &minute);
    assert!(present);
    client.disconnect();
    weir.clock("+60s");
    let (mut client, present) = connect_with(&weir, "client", false, &minute);
    assert!(!present);
    send(&mut self::client(&weir, "publisher"), "t", b"for nobody", QoS::AtLeastOnce);
    assert_eq!(payloads(&mut client), [""; 0]);
}

#[test]
fn v5_4_2_1_tcp_and_websocket_carry_every_byte_in_its_order() {
    let weir = Weir::with_websocket(&config("", ""));
    let mut over_tcp = subscriber(&weir, "tcp", "t", QoS::AtMostOnce);
    let mut over_websocket = v5_6::connected(&weir, "websocket");
    over_websocket.send(&subscribe(1, &[(b"t", 0)]));
    assert_eq!(over_websocket.receive(6), answer(0x90, 1, &[0]));
    let payload: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let mut publisher = client(&weir, "publisher");
    publisher.publish("t", &payload, QoS::AtMostOnce, 0);
    let frame = over_tcp.frame();
    assert_eq!(Received::parse(Version::V5, &frame).payload, payload);
    assert_eq!(over_websocket.receive(frame.len()), frame);
}

// 4.3.1 and 4.3.2: QoS 0 and 1

/// A message of each QoS that comes to a subscriber whose publisher has set DUP where it may.
#[track_caller]
fn first_bytes_of_new_messages(granted: QoS) -> Vec<u8> {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "t", granted);
    let mut publisher = client(&weir, "publisher");
    for (first, id) in [(0x30, 0), (0x32, 1), (0x3A, 2), (0x34, 3), (0x3C, 4)] {
        publisher.send_bytes(&publish(first, b"t", id, b""));
        if id > 0 {
            assert_eq!(publisher.frame().len(), 4);
        }
    }
    publisher.expect_nothing();
    rest(&mut subscriber).iter().map(|frame| frame[0]).collect()
}

#[test]
fn v5_4_3_1_1_a_qos_0_message_is_sent_with_dup_0() {
    assert_eq!(first_bytes_of_new_messages(QoS::AtMostOnce), [0x30; 5]);
}

/// Sends `count` messages of this QoS, none of which is acknowledged; what comes of them.
fn unacknowledged(subscriber: &mut Client, publisher: &mut Client, qos: QoS, count: usize) -> Vec<Received> {
    (0..count).for_each(|_| send(publisher, "t", b"", qos));
    let received = deliveries(subscriber);
    assert_eq!(received.len(), count);
    received
}

/// New messages of this QoS get packet identifiers that no message in flight has, of either QoS.
fn new_messages_get_unused_packet_identifiers(qos: QoS) {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::ExactlyOnce);
    let mut publisher = client(&weir, "publisher");
    let mut in_flight: Vec<u16> = Vec::new();
    for round in 0..4 {
        for qos in [qos, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let received = unacknowledged(&mut subscriber, &mut publisher, qos, 8);
            in_flight.extend(received.iter().map(|received| received.packet_id));
        }
        let mut distinct = in_flight.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), in_flight.len(), "{in_flight:?}");
        assert!(distinct[0] > 0);
        // Every other round the oldest are acknowledged: what acknowledges one QoS means nothing to the other.
        if round % 2 == 1 {
            for id in in_flight.drain(..20) {
                subscriber.send_bytes(&ack(0x40, id));
                subscriber.send_bytes(&ack_with(0x50, id, 0x80));
            }
        }
    }
}

#[test]
fn v5_4_3_2_1_a_new_qos_1_message_gets_an_unused_packet_identifier() {
    new_messages_get_unused_packet_identifiers(QoS::AtLeastOnce);
}

#[test]
fn v5_4_3_2_2_a_new_qos_1_message_is_sent_with_qos_1_and_dup_0() {
    assert_eq!(first_bytes_of_new_messages(QoS::AtLeastOnce), [0x30, 0x32, 0x32, 0x32, 0x32]);
}

#[test]
fn v5_4_3_2_3_a_qos_1_message_is_unacknowledged_until_its_puback() {
    let weir = weir();
    let mut subscriber = durable_subscriber(&weir, "subscriber", "t", QoS::AtLeastOnce);
    let mut publisher = client(&weir, "publisher");
    let ids: Vec<u16> = unacknowledged(&mut subscriber, &mut publisher, QoS::AtLeastOnce, 2)
        .iter()
        .map(|received| received.packet_id)
        .collect();
    // Neither what belongs to QoS 2 nor another identifier acknowledges it.
    subscriber.send_bytes(&[ack(0x40, ids[1]), ack(0x50, ids[0]), ack(0x70, ids[0]), ack(0x40, 999)].concat());
    subscriber.expect(&ack_with(0x62, ids[0], 0x92));
    subscriber.expect_nothing();
    subscriber.disconnect();
    let mut subscriber = durable(&weir, "subscriber");
    assert_eq!(rest(&mut subscriber), [publish(0x3A, b"t", ids[0], b"")]);
    subscriber.send_bytes(&ack(0x40, ids[0]));
    subscriber.disconnect();
    assert_eq!(rest(&mut durable(&weir, "subscriber")).len(), 0);
}

/// A QoS 1 or 2 message is answered by this packet, with its packet identifier; the broker owns it then.
fn a_message_is_owned_once_it_is_acknowledged(first: u8, answer: u8) {
    let weir = weir();
    durable_subscriber(&weir, "subscriber", "t", QoS::AtLeastOnce).disconnect();
    let mut publisher = client(&weir, "publisher");
    for id in [1, 0x1234, 0xFFFF] {
        publisher.send_bytes(&publish(first, b"t", id, b"owned"));
        publisher.expect(&ack(answer, id));
    }
    // Whatever becomes of its publisher.
    publisher.vanish();
    assert_eq!(payloads(&mut durable(&weir, "subscriber")), ["owned"; 3]);
}

#[test]
fn v5_4_3_2_4_a_qos_1_message_is_answered_by_a_puback_once_the_server_owns_it() {
    a_message_is_owned_once_it_is_acknowledged(0x32, 0x40);
}

#[test]
fn v5_4_3_2_5_after_its_puback_the_same_packet_identifier_is_a_new_message_even_with_dup() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    for (first, payload) in [(0x32, b"1"), (0x3A, b"2"), (0x3A, b"2"), (0x32, b"3")] {
        publisher.send_bytes(&publish(first, b"t", 7, payload));
        publisher.expect(&ack(0x40, 7));
    }
    assert_eq!(payloads(&mut subscriber), ["1", "2", "2", "3"]);
}

// 4.3.3: QoS 2, the broker as the sender

/// A durable subscriber to whom a QoS 2 message with the payload `m` was sent, and its packet identifier.
fn sent_at_qos_2(weir: &Weir) -> (Client, u16) {
    let mut subscriber = durable_subscriber(weir, "subscriber", "t", QoS::ExactlyOnce);
    send(&mut client(weir, "publisher"), "t", b"m", QoS::ExactlyOnce);
    let id = subscriber.expect_publish().packet_id;
    (subscriber, id)
}

/// The subscriber is gone and comes back; everything that it is sent.
#[track_caller]
fn after_reconnect(weir: &Weir, subscriber: Client) -> (Client, Vec<Vec<u8>>) {
    subscriber.disconnect();
    let mut subscriber = durable(weir, "subscriber");
    let frames = rest(&mut subscriber);
    (subscriber, frames)
}

#[test]
fn v5_4_3_3_1_a_new_qos_2_message_gets_an_unused_packet_identifier() {
    new_messages_get_unused_packet_identifiers(QoS::ExactlyOnce);
}

#[test]
fn v5_4_3_3_2_a_new_qos_2_message_is_sent_with_qos_2_and_dup_0() {
    assert_eq!(first_bytes_of_new_messages(QoS::ExactlyOnce), [0x30, 0x32, 0x32, 0x34, 0x34]);
}

#[test]
fn v5_4_3_3_3_a_qos_2_message_is_unacknowledged_until_its_pubrec() {
    let weir = weir();
    let (mut subscriber, id) = sent_at_qos_2(&weir);
    subscriber.send_bytes(&[ack(0x40, id), ack(0x70, id)].concat());
    let (mut subscriber, frames) = after_reconnect(&weir, subscriber);
    assert_eq!(frames, [publish(0x3C, b"t", id, b"m")]);
    subscriber.send_bytes(&ack(0x50, id));
    subscriber.expect(&ack(0x62, id));
    let (_, frames) = after_reconnect(&weir, subscriber);
    assert_eq!(frames, [ack(0x62, id)]);
}

#[test]
fn v5_4_3_3_4_a_pubrec_below_0x80_is_answered_by_a_pubrel_with_its_packet_identifier() {
    let weir = weir();
    for (pubrec, pubrel) in [(vec![], true), (vec![0x00], true), (vec![0x10, 0], true), (vec![0x80], false)] {
        let (mut subscriber, id) = sent_at_qos_2(&weir);
        subscriber.send_bytes(&frame(0x50, &[&id.to_be_bytes(), &pubrec]));
        if pubrel {
            subscriber.expect(&ack(0x62, id));
        }
        subscriber.expect_nothing();
        subscriber.send_bytes(&ack(0x70, id));
        subscriber.disconnect();
    }
}

#[test]
fn v5_4_3_3_5_a_pubrel_is_unacknowledged_until_its_pubcomp() {
    let weir = weir();
    let (mut subscriber, id) = sent_at_qos_2(&weir);
    subscriber.send_bytes(&ack(0x50, id));
    subscriber.expect(&ack(0x62, id));
    for _ in 0..2 {
        let frames;
        (subscriber, frames) = after_reconnect(&weir, subscriber);
        assert_eq!(frames, [ack(0x62, id)]);
    }
    subscriber.send_bytes(&ack(0x70, id));
    let (_, frames) = after_reconnect(&weir, subscriber);
    assert_eq!(frames.len(), 0);
}

#[test]
fn v5_4_3_3_6_once_its_pubrel_was_sent_a_message_is_not_sent_again() {
    let weir = weir();
    let (mut subscriber, id) = sent_at_qos_2(&weir);
    subscriber.send_bytes(&ack(0x50, id));
    subscriber.expect(&ack(0x62, id));
    for _ in 0..3 {
        let frames;
        (subscriber, frames) = after_reconnect(&weir, subscriber);
        assert!(frames.iter().all(|frame| frame[0] >> 4 != 3), "{frames:02x?}");
        // Nor where PUBREC comes once more.
        subscriber.send_bytes(&ack(0x50, id));
        subscriber.expect(&ack(0x62, id));
        subscriber.expect_nothing();
    }
}

#[test]
fn v5_4_3_3_7_a_message_that_was_sent_does_not_expire() {
    let mut weir = weir();
    let mut subscriber = durable_subscriber(&weir, "subscriber", "t", QoS::ExactlyOnce);
    let mut publisher = client(&weir, "publisher");
    publisher.send_bytes(&frame(0x34, &[&text(b"t"), &[0, 1], &[5, 0x02, 0, 0, 0, 9], b"m"]));
    publisher.expect(&ack(0x50, 1));
    let id = subscriber.expect_publish().packet_id;
    subscriber.disconnect();
    weir.clock("+10s");
    // Its packet identifier is owed an answer; that nothing of its time is left is told.
    let mut subscriber = durable(&weir, "subscriber");
    subscriber.expect(&frame(0x3C, &[&text(b"t"), &id.to_be_bytes(), &[5, 0x02, 0, 0, 0, 0], b"m"]));
    subscriber.send_bytes(&ack(0x50, id));
    subscriber.expect(&ack(0x62, id));
}

// 4.3.3: QoS 2, the broker as the receiver

#[test]
fn v5_4_3_3_8_a_qos_2_message_is_answered_by_a_pubrec_once_the_server_owns_it() {
    a_message_is_owned_once_it_is_acknowledged(0x34, 0x50);
}

#[test]
fn v5_4_3_3_9_after_a_pubrec_of_0x80_or_more_the_packet_identifier_is_a_new_message() {
    let mut weir = weir_with("publish: 1/min", "");
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    send(&mut publisher, "t", b"first", QoS::AtMostOnce);
    publisher.send_bytes(&publish(0x34, b"t", 7, b"denied"));
    let pubrec = publisher.frame();
    assert_eq!((pubrec[0], &pubrec[2..5]), (0x50, &[0, 7, 0x97][..]));
    weir.clock("+51s");
    publisher.send_bytes(&publish(0x34, b"t", 7, b"new"));
    publisher.expect(&ack(0x50, 7));
    assert_eq!(payloads(&mut subscriber), ["first", "new"]);
}

#[test]
fn v5_4_3_3_10_until_its_pubrel_a_message_that_comes_again_is_acknowledged_and_not_delivered_again() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::ExactlyOnce);
    let mut publisher = durable(&weir, "publisher");
    for first in [0x34, 0x3C, 0x34] {
        publisher.send_bytes(&publish(first, b"t", 7, b"m"));
        publisher.expect(&ack(0x50, 7));
    }
    publisher.disconnect();
    let mut publisher = durable(&weir, "publisher");
    publisher.send_bytes(&publish(0x3C, b"t", 7, b"m"));
    publisher.expect(&ack(0x50, 7));
    assert_eq!(payloads(&mut subscriber), ["m"]);
}

#[test]
fn v5_4_3_3_11_a_pubrel_is_answered_by_a_pubcomp_with_its_packet_identifier() {
    let weir = weir();
    let _subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    let ids = [1, 0x1234, 0xFFFF];
    for id in ids {
        publisher.send_bytes(&publish(0x34, b"t", id, b""));
        publisher.expect(&ack(0x50, id));
    }
    for id in ids {
        publisher.send_bytes(&ack(0x62, id));
        publisher.expect(&ack(0x70, id));
    }
}

#[test]
fn v5_4_3_3_12_after_its_pubcomp_the_same_packet_identifier_is_a_new_message() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    for (first, payload) in [(0x34, b"1"), (0x3C, b"1"), (0x34, b"2")] {
        publisher.send_bytes(&publish(first, b"t", 7, payload));
        publisher.expect(&ack(0x50, 7));
        publisher.send_bytes(&ack(0x62, 7));
        publisher.expect(&ack(0x70, 7));
    }
    assert_eq!(payloads(&mut subscriber), ["1", "1", "2"]);
}

#[test]
fn v5_4_3_3_13_the_acknowledgements_go_on_for_a_message_that_has_expired() {
    let mut weir = weir();
    durable_subscriber(&weir, "subscriber", "t", QoS::ExactlyOnce).disconnect();
    let mut publisher = client(&weir, "publisher");
    let message = |first: u8| frame(first, &[&text(b"t"), &[0, 7], &[5, 0x02, 0, 0, 0, 1], b"m"]);
    publisher.send_bytes(&message(0x34));
    publisher.expect(&ack(0x50, 7));
    weir.clock("+5s");
    assert_eq!(payloads(&mut durable(&weir, "subscriber")), [""; 0], "it has expired");
    publisher.send_bytes(&message(0x3C));
    publisher.expect(&ack(0x50, 7));
    publisher.send_bytes(&ack(0x62, 7));
    publisher.expect(&ack(0x70, 7));
}
