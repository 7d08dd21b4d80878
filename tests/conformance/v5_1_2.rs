//! MQTT 5, chapters 1 and 2: strings, integers, and what all control packets have in common.

use std::collections::HashSet;

use weir::wire::QoS;

use super::v5_support::*;

/// A packet for each text that a connected client sends, with `bad` in it.
fn texts_of_a_client(bad: &[u8]) -> Vec<Vec<u8>> {
    let text = text(bad);
    let property = |id: u8| publish_frame(0x30, "t", &[&[id], text.as_slice()].concat(), b"");
    vec![
        frame(0x30, &[&text, &[0]]),
        frame(0x82, &[&[0, 1, 0], &text, &[0]]),
        frame(0xA2, &[&[0, 1, 0], &text]),
        property(0x03),
        property(0x08),
        frame(0xE0, &[&[0x04], &with_length(&[&[0x1F], text.as_slice()].concat())]),
    ]
}

/// A CONNECT for each text that it can carry, with `bad` in it.
fn texts_of_a_connect(bad: &[u8]) -> Vec<Vec<u8>> {
    let bad = text(bad);
    vec![
        connect_frame(0x02, &[], &[&bad]),
        connect_frame(0x82, &[], &[&text("c"), &bad]),
        connect_frame(0x06, &[], &[&text("c"), &[0], &bad, &text("payload")]),
        connect_frame(
            0x06,
            &[],
            &[&text("c"), &with_length(&[&[0x03], bad.as_slice()].concat()), &text("w"), &text("")],
        ),
        connect_frame(0x02, &[&[0x15], bad.as_slice()].concat(), &[&text("c")]),
    ]
}

#[test]
fn v5_1_5_4_1_ill_formed_utf_8_is_refused_in_every_text() {
    let weir = open();
    let ill_formed: [&[u8]; 6] =
        [b"\xFF", b"a\xED\xA0\x80", b"\xED\xBF\xBF", b"\xC0\x80", b"\xE2\x82", b"\xF4\x90\x80\x80"];
    for bad in ill_formed {
        texts_of_a_client(bad).iter().for_each(|bytes| is_disconnected(&weir, bytes, MALFORMED));
        texts_of_a_connect(bad).iter().for_each(|bytes| is_refused(&weir, bytes, MALFORMED));
    }
}

#[test]
fn v5_1_5_4_2_the_null_character_is_refused_in_every_text() {
    let weir = open();
    for bad in [&b"\0"[..], b"a\0b"] {
        texts_of_a_client(bad).iter().for_each(|bytes| is_disconnected(&weir, bytes, MALFORMED));
        texts_of_a_connect(bad).iter().for_each(|bytes| is_refused(&weir, bytes, MALFORMED));
    }
}

#[test]
fn v5_1_5_4_3_a_byte_order_mark_is_text_like_any_other() {
    let weir = open();
    let mut with_mark = subscriber(&weir, "\u{FEFF}t", QoS::AtMostOnce);
    let mut without = guest(&weir, "without");
    without.subscribe("t", QoS::AtMostOnce);
    let publish = publish_frame(0x30, "\u{FEFF}t", b"\x26\x00\x04\xEF\xBB\xBFn\x00\x04v\xEF\xBB\xBF", b"hi");
    let mut publisher = guest(&weir, "publisher");
    publisher.send_bytes(&publish);
    publisher.expect_nothing();
    with_mark.expect(&publish);
    assert_eq!(without.deliveries(), []);
}

#[test]
fn v5_1_5_5_1_lengths_are_written_as_short_as_they_can_be_and_refused_if_they_are_not() {
    let weir = open();
    let mut subscriber = subscriber(&weir, "t", QoS::AtMostOnce);
    let mut publisher = guest(&weir, "publisher");
    // Remaining lengths around each border: the topic and the property length take 4 bytes of them.
    for (remaining, length) in
        [(127, &[0x7F][..]), (128, &[0x80, 0x01]), (16_383, &[0xFF, 0x7F]), (16_384, &[0x80, 0x80, 0x01])]
    {
        let publish = [&[0x30], length, b"\x00\x01t\x00", &vec![b'x'; remaining - 4]].concat();
        publisher.send_bytes(&publish);
        subscriber.expect(&publish);
    }
    // Property lengths: a Content Type of 124 and 125 bytes.
    for (text_len, remaining, properties) in
        [(124, &[0x83, 0x01][..], &[0x7F][..]), (125, &[0x85, 0x01], &[0x80, 0x01])]
    {
        let content_type = [&[0x03, 0, text_len], vec![b'x'; text_len.into()].as_slice()].concat();
        let publish = [&[0x30], remaining, b"\x00\x01t", properties, &content_type].concat();
        publisher.send_bytes(&publish);
        subscriber.expect(&publish);
    }
    for not_minimal in [&b"\xC0\x80\x00"[..], b"\x30\x85\x00\x00\x01t\x00", b"\x30\x05\x00\x01t\x80\x00"] {
        is_disconnected(&weir, not_minimal, MALFORMED);
    }
}

#[test]
fn v5_1_5_7_1_both_strings_of_a_pair_must_be_well_formed() {
    let weir = open();
    for (name, value) in [(&b"\xFF"[..], &b"v"[..]), (b"n", b"\xFF"), (b"\0", b"v"), (b"n", b"\0")] {
        let pair = [&[0x26], text(name).as_slice(), &text(value)].concat();
        is_disconnected(&weir, &publish_frame(0x30, "t", &pair, b""), MALFORMED);
        is_refused(&weir, &connect_frame(0x02, &pair, &[&text("c")]), MALFORMED);
    }
}

#[test]
fn v5_2_1_3_1_reserved_flags_must_have_their_value_and_do() {
    let weir = open();
    let subscribe = |first| frame(first, &[&[0, 1, 0], &text("t"), &[0]]);
    let unsubscribe = |first| frame(first, &[&[0, 1, 0], &text("t")]);
    for flags in 1..16 {
        for bytes in [[0x40 | flags, 2, 0, 1], [0x50 | flags, 2, 0, 1], [0x70 | flags, 2, 0, 1]] {
            is_disconnected(&weir, &bytes, MALFORMED);
        }
        for bytes in [[0xC0 | flags, 0], [0xE0 | flags, 0], [0xF0 | flags, 0]] {
            is_disconnected(&weir, &bytes, MALFORMED);
        }
    }
    for flags in (0..16).filter(|flags| *flags != 2) {
        for bytes in [vec![0x60 | flags, 2, 0, 1], subscribe(0x80 | flags), unsubscribe(0xA0 | flags)] {
            is_disconnected(&weir, &bytes, MALFORMED);
        }
    }
    // The broker's own: PUBREL has the flags 2.
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    hand_in(&mut guest(&weir, "publisher"), 0x34, "t", &[], "hi");
    let id = subscriber.expect_publish().packet_id.to_be_bytes();
    subscriber.send_bytes(&[&[0x50, 2], id.as_slice()].concat());
    subscriber.expect(&[&[0x62, 2], id.as_slice()].concat());
}

#[test]
fn v5_2_2_1_2_a_publish_of_qos_0_has_no_packet_identifier() {
    let weir = open();
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    guest(&weir, "publisher").send_bytes(b"\x30\x06\x00\x01t\x00hi");
    subscriber.expect(b"\x30\x06\x00\x01t\x00hi");
}

#[test]
fn v5_2_2_1_3_packet_identifier_0_is_refused() {
    let weir = open();
    for bytes in [
        frame(0x32, &[&text("t"), &[0, 0, 0]]),
        frame(0x34, &[&text("t"), &[0, 0, 0]]),
        frame(0x82, &[&[0, 0, 0], &text("t"), &[0]]),
        frame(0xA2, &[&[0, 0, 0], &text("t")]),
    ] {
        is_disconnected(&weir, &bytes, MALFORMED);
    }
}

#[test]
fn v5_2_2_1_4_a_packet_identifier_in_use_is_not_given_again_when_all_others_were() {
    const BATCH: usize = 255;
    let weir = open();
    let mut subscriber = subscriber(&weir, "t", QoS::AtLeastOnce);
    let mut publisher = guest(&weir, "publisher");
    let publish = publish_frame(0x32, "t", &[], b"");
    let mut given = HashSet::new();
    let mut in_use = 0;
    // 257 batches are 65,535 messages, as many as there are identifiers.
    for batch in 0..257 {
        publisher.send_bytes(&publish.repeat(BATCH));
        (0..BATCH).for_each(|_| publisher.expect(&[0x40, 2, 0, 1]));
        let mut acks = Vec::new();
        for at in 0..BATCH {
            let id = subscriber.expect_publish().packet_id;
            assert!(id != 0 && given.insert(id), "packet identifier {id}");
            if (batch, at) == (0, 0) {
                in_use = id;
            } else {
                acks.extend([&[0x40, 2], id.to_be_bytes().as_slice()].concat());
            }
        }
        subscriber.send_bytes(&acks);
    }
    publisher.send_bytes(&publish);
    publisher.expect(&[0x40, 2, 0, 1]);
    let before = subscriber.deliveries();
    assert!(before.iter().all(|received| received.packet_id != in_use && received.packet_id != 0), "{before:?}");
    subscriber.send_bytes(&[&[0x40, 2], in_use.to_be_bytes().as_slice()].concat());
    assert_eq!(before.len() + subscriber.deliveries().len(), 1);
}

#[test]
fn v5_2_2_1_5_acknowledgements_carry_the_identifier_of_their_publish() {
    let weir = open();
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    let mut publisher = guest(&weir, "publisher");
    publisher.publish("t", b"1", QoS::AtLeastOnce, 0x1234);
    publisher.expect(&[0x40, 2, 0x12, 0x34]);
    publisher.publish("t", b"2", QoS::ExactlyOnce, 0x5678);
    publisher.expect(&[0x50, 2, 0x56, 0x78]);
    publisher.send_bytes(&[0x62, 2, 0x56, 0x78]);
    publisher.expect(&[0x70, 2, 0x56, 0x78]);
    subscriber.expect_publish();
    let [high, low] = subscriber.expect_publish().packet_id.to_be_bytes();
    subscriber.send_bytes(&[0x50, 2, high, low]);
    subscriber.expect(&[0x62, 2, high, low]);
}

#[test]
fn v5_2_2_1_6_suback_and_unsuback_carry_the_identifier_of_what_they_answer() {
    let weir = open();
    let mut client = guest(&weir, "client");
    client.send_bytes(b"\x82\x07\xAB\xCD\x00\x00\x01t\x01");
    client.send_bytes(b"\xA2\x06\xFF\xFF\x00\x00\x01t");
    client.expect(&[0x90, 4, 0xAB, 0xCD, 0, 1]);
    client.expect(&[0xB0, 4, 0xFF, 0xFF, 0, 0]);
}

#[test]
fn v5_2_2_2_1_a_packet_without_properties_says_that_their_length_is_0() {
    let weir = open();
    let mut client = guest(&weir, "client");
    client.send_bytes(b"\x82\x07\x00\x01\x00\x00\x01t\x00");
    client.expect(&[0x90, 4, 0, 1, 0, 0]);
    client.send_bytes(b"\x30\x04\x00\x01t\x00");
    client.expect(b"\x30\x04\x00\x01t\x00");
    client.send_bytes(b"\xA2\x06\x00\x01\x00\x00\x01t");
    client.expect(&[0xB0, 4, 0, 1, 0, 0]);
    for (first, without_length) in [(0x30, &b"\x00\x01t"[..]), (0x82, b"\x00\x01"), (0xA2, b"\x00\x01")] {
        is_disconnected(&weir, &frame(first, &[without_length]), MALFORMED);
    }
}
