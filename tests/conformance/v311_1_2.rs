//! MQTT 3.1.1, chapters 1 and 2: text on the wire, the fixed header, packet identifiers. The broker runs these; nothing here
//! looks at what a packet is for.

use std::collections::HashSet;

use weir::wire::{QoS, Version};

use crate::common::{Client, connect};
use crate::v311::*;

/// Each place where a client sends text, with this text in it: cut off, before CONNACK and after.
fn is_no_text(bytes: &[u8]) {
    let weir = weir();
    is_refused_in_silence(&weir, &connect_frame(CLEAN, &[&text(bytes)]));
    is_cut_off(&weir, &publish_frame(bytes));
    is_cut_off(&weir, &subscribe_frame(bytes));
    is_cut_off(&weir, &frame(0xA2, &[&[0, 1], &text(bytes)]));
}

#[test]
fn v311_1_5_3_1_text_that_is_no_utf8_closes_the_connection() {
    // A byte that never occurs, an overlong form, half a surrogate pair, a character cut short.
    for bytes in [&b"a\xFF"[..], b"\xC1\x81", b"\xED\xA0\x80", b"\xED\xBF\xBF", b"\xE2\x82"] {
        is_no_text(bytes);
    }
}

#[test]
fn v311_1_5_3_2_text_with_the_null_character_closes_the_connection() {
    for bytes in [&b"\0"[..], b"a\0b"] {
        is_no_text(bytes);
    }
}

#[test]
fn v311_1_5_3_3_a_byte_order_mark_is_a_character_like_any_other() {
    let weir = weir();
    let mut marked = subscriber(&weir, "\u{FEFF}a", QoS::AtMostOnce);
    let mut plain = clean(&weir, "plain");
    plain.subscribe("a", QoS::AtMostOnce);
    put(&mut clean(&weir, "sender"), "\u{FEFF}a", "x", QoS::AtLeastOnce);
    marked.expect(b"\x30\x07\x00\x04\xEF\xBB\xBFax");
    assert!(plain.deliveries().is_empty());
}

#[test]
fn v311_2_2_2_1_reserved_flags_are_sent_as_the_table_lists_them() {
    let weir = weir();
    // CONNACK, PINGRESP, SUBACK, PUBACK, PUBREC, PUBCOMP, UNSUBACK.
    let mut client = is_answered(&weir, &connect_frame(CLEAN, &[&text(b"c")]), 0);
    client.expect_nothing();
    client.send_bytes(&frame(0x82, &[&[0, 1], &text(b"t"), &[2]]));
    client.expect(&[0x90, 3, 0, 1, 2]);
    put(&mut clean(&weir, "1"), "elsewhere", "x", QoS::AtLeastOnce);
    put(&mut clean(&weir, "2"), "t", "x", QoS::ExactlyOnce);
    // PUBREL.
    client.expect(b"\x34\x06\x00\x01t\x00\x01x");
    client.send_bytes(&[0x50, 2, 0, 1]);
    client.expect(&[0x62, 2, 0, 1]);
    client.send_bytes(&[0x70, 2, 0, 1]);
    client.send_bytes(&frame(0xA2, &[&[0, 3], &text(b"t")]));
    client.expect(&[0xB0, 2, 0, 3]);
}

#[test]
fn v311_2_2_2_2_invalid_flags_close_the_connection() {
    let weir = weir();
    let packets: [(u8, Vec<u8>); 8] = [
        (0x40, vec![0, 1]),
        (0x50, vec![0, 1]),
        (0x62, vec![0, 1]),
        (0x70, vec![0, 1]),
        (0x82, [&[0, 1], &text(b"a")[..], &[0]].concat()),
        (0xA2, [&[0, 1], &text(b"a")[..]].concat()),
        (0xC0, vec![]),
        (0xE0, vec![]),
    ];
    for (first, body) in packets {
        for flags in (0..16).filter(|flags| *flags != first & 0x0F) {
            is_cut_off(&weir, &frame(first & 0xF0 | flags, &[&body]));
        }
    }
    for flags in 1..16 {
        is_refused_in_silence(&weir, &[&[0x10 | flags], &connect_frame(CLEAN, &[&text(b"c")])[1..]].concat());
    }
}

#[test]
fn v311_2_3_1_1_a_packet_identifier_of_0_closes_the_connection() {
    let weir = weir();
    is_cut_off(&weir, &frame(0x82, &[&[0, 0], &text(b"a"), &[0]]));
    is_cut_off(&weir, &frame(0xA2, &[&[0, 0], &text(b"a")]));
    is_cut_off(&weir, &frame(0x32, &[&text(b"a"), &[0, 0]]));
    is_cut_off(&weir, &frame(0x34, &[&text(b"a"), &[0, 0]]));
}

/// Publishes `count` messages at QoS 1 and delivers them; tells the packet identifiers that the subscriber saw.
fn pass_on(sender: &mut Client, subscriber: &mut Client, count: u16) -> Vec<u16> {
    for id in 1..=count {
        sender.publish("t", b"x", QoS::AtLeastOnce, id);
    }
    (0..count).for_each(|_| assert_eq!(sender.frame()[0], 0x40));
    (0..count).map(|_| subscriber.expect_publish().packet_id).collect()
}

#[test]
fn v311_2_3_1_4_the_broker_gives_no_packet_identifier_that_is_in_use() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::AtLeastOnce);
    let mut sender = clean(&weir, "sender");
    let first = pass_on(&mut sender, &mut subscriber, 1)[0];
    let mut seen = HashSet::from([first]);
    // Everything but the first is acknowledged, until each of the other 65,534 was given once.
    for _ in 0..(65_534 / 537) + 1 {
        let count = 537.min(65_535 - seen.len());
        for id in pass_on(&mut sender, &mut subscriber, u16::try_from(count).expect("a few")) {
            assert!(id != 0 && seen.insert(id), "{id} is given for the first time");
            let [high, low] = id.to_be_bytes();
            subscriber.send_bytes(&[0x40, 2, high, low]);
        }
    }
    assert_eq!(seen.len(), 65_535);
    put(&mut sender, "t", "one more", QoS::AtLeastOnce);
    assert!(subscriber.deliveries().iter().all(|received| received.packet_id != first));
}

#[test]
fn v311_2_3_1_5_a_publish_of_qos_0_has_no_packet_identifier() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    clean(&weir, "sender").send_bytes(b"\x30\x05\x00\x01thi");
    subscriber.expect(b"\x30\x05\x00\x01thi");
}

#[test]
fn v311_2_3_1_6_acknowledgements_carry_the_identifier_of_their_publish() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    client.publish("t", b"x", QoS::AtLeastOnce, 0x1234);
    client.expect(&[0x40, 2, 0x12, 0x34]);
    client.publish("t", b"x", QoS::ExactlyOnce, 0x5678);
    client.expect(&[0x50, 2, 0x56, 0x78]);
    client.send_bytes(&[0x62, 2, 0x56, 0x78]);
    client.expect(&[0x70, 2, 0x56, 0x78]);
    // As the sender: the second message's PUBREL, while the first is open.
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    client.publish("t", b"x", QoS::AtLeastOnce, 1);
    client.publish("t", b"x", QoS::ExactlyOnce, 2);
    subscriber.expect_publish();
    let [high, low] = subscriber.expect_publish().packet_id.to_be_bytes();
    subscriber.send_bytes(&[0x50, 2, high, low]);
    subscriber.expect(&[0x62, 2, high, low]);
}

#[test]
fn v311_2_3_1_7_suback_and_unsuback_carry_the_identifier_of_their_request() {
    let weir = weir();
    let mut client = weir.connect(&connect(Version::V4, "t", "client"));
    client.send_bytes(&frame(0x82, &[&[0x12, 0x34], &text(b"a"), &[0]]));
    client.expect(&[0x90, 3, 0x12, 0x34, 0]);
    client.send_bytes(&frame(0xA2, &[&[0xFF, 0xFF], &text(b"a")]));
    client.expect(&[0xB0, 2, 0xFF, 0xFF]);
}
