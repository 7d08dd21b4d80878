//! MQTT 3.1.1, chapter 4: how long a session lasts, delivery at each QoS, order, topics and filters, and what closes a
//! connection.

use weir::wire::{Packet, Publish, QoS, Version};

use crate::common::{Client, Weir, publish};
use crate::v311::*;

#[test]
fn v311_4_1_0_1_the_state_of_a_session_is_kept_as_long_as_it_lasts() {
    let mut weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "t", "sent", QoS::AtLeastOnce);
    client.expect_publish();
    client.publish("u", b"open", QoS::ExactlyOnce, 5);
    client.expect(&[0x50, 2, 0, 5]);
    lose(client);
    // A session that is away lasts for mqtt.max_session_expiry, seven days.
    weir.clock("+167h");
    put(&mut clean(&weir, "sender"), "t", "queued", QoS::AtLeastOnce);
    let mut listener = subscriber(&weir, "u", QoS::AtMostOnce);
    let mut client = weir.connect(&durable("client"));
    assert_eq!((client.expect_publish().text(), client.expect_publish().text()), ("sent", "queued"));
    client.send(&Packet::Publish(Publish { dup: true, ..publish("u", b"open", QoS::ExactlyOnce, 5) }));
    client.expect(&[0x50, 2, 0, 5]);
    assert!(listener.deliveries().is_empty(), "its identifier is known");
}

#[test]
fn v311_4_1_0_2_a_session_lasts_as_long_as_its_connection() {
    let mut weir = weir();
    let mut clients = [clean(&weir, "clean"), weir.connect(&durable("durable"))];
    clients.iter_mut().for_each(|client| client.subscribe("t", QoS::AtLeastOnce));
    weir.clock("+1000h");
    put(&mut clean(&weir, "sender"), "t", "x", QoS::AtLeastOnce);
    for client in &mut clients {
        client.expect(b"\x32\x06\x00\x01t\x00\x01x");
    }
}

#[test]
fn v311_4_3_1_1_a_delivery_of_qos_0_has_qos_and_dup_0() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    put(&mut clean(&weir, "sender"), "t", "x", QoS::AtMostOnce);
    subscriber.expect(b"\x30\x04\x00\x01tx");
}

#[test]
fn v311_4_3_2_1_a_delivery_of_qos_1_is_unacknowledged_until_its_puback() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "t", "x", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "t", "y", QoS::AtLeastOnce);
    client.expect(b"\x32\x06\x00\x01t\x00\x01x");
    client.expect(b"\x32\x06\x00\x01t\x00\x02y");
    client.send_bytes(&[0x40, 2, 0, 1]);
    client.expect_nothing();
    lose(client);
    let mut client = weir.connect(&durable("client"));
    client.expect(b"\x3A\x06\x00\x01t\x00\x02y");
    client.send_bytes(&[0x40, 2, 0, 2]);
    client.disconnect();
    assert!(weir.connect(&durable("client")).deliveries().is_empty());
}

#[test]
fn v311_4_3_2_2_a_publish_of_qos_1_is_acknowledged_and_its_identifier_is_then_free() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::AtMostOnce);
    let mut sender = clean(&weir, "sender");
    for (dup, payload) in [(false, "1"), (false, "2"), (true, "3")] {
        let publish = publish("t", payload.as_bytes(), QoS::AtLeastOnce, 0x0A0B);
        sender.send(&Packet::Publish(Publish { dup, ..publish }));
        sender.expect(&[0x40, 2, 0x0A, 0x0B]);
    }
    assert_eq!(payloads(&mut subscriber), ["1", "2", "3"]);
}

#[test]
fn v311_4_3_3_1_a_delivery_of_qos_2_is_sent_until_pubrec_and_released_until_pubcomp() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::ExactlyOnce);
    put(&mut clean(&weir, "sender"), "t", "x", QoS::ExactlyOnce);
    put(&mut clean(&weir, "sender"), "t", "y", QoS::ExactlyOnce);
    client.expect(b"\x34\x06\x00\x01t\x00\x01x");
    client.expect(b"\x34\x06\x00\x01t\x00\x02y");
    lose(client);
    let mut client = weir.connect(&durable("client"));
    client.expect(b"\x3C\x06\x00\x01t\x00\x01x");
    client.expect(b"\x3C\x06\x00\x01t\x00\x02y");
    client.send_bytes(&[0x50, 2, 0, 1]);
    client.expect(&[0x62, 2, 0, 1]);
    lose(client);
    let mut client = weir.connect(&durable("client"));
    client.expect(&[0x62, 2, 0, 1]);
    client.expect(b"\x3C\x06\x00\x01t\x00\x02y");
    client.send_bytes(&[0x70, 2, 0, 1, 0x50, 2, 0, 2]);
    client.expect(&[0x62, 2, 0, 2]);
    client.send_bytes(&[0x70, 2, 0, 2]);
    client.disconnect();
    assert!(weir.connect(&durable("client")).deliveries().is_empty());
}

#[test]
fn v311_4_3_3_2_a_publish_of_qos_2_is_taken_once_until_it_is_released() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::AtMostOnce);
    let mut sender = clean(&weir, "sender");
    for (payload, delivered) in [("1", &["1"][..]), ("2", &["2"])] {
        let first = publish("t", payload.as_bytes(), QoS::ExactlyOnce, 0x0A0B);
        for dup in [false, true, false] {
            sender.send(&Packet::Publish(Publish { dup, ..first }));
            sender.expect(&[0x50, 2, 0x0A, 0x0B]);
        }
        assert_eq!(payloads(&mut subscriber), delivered);
        sender.send_bytes(&[0x62, 2, 0x0A, 0x0B]);
        sender.expect(&[0x70, 2, 0x0A, 0x0B]);
    }
    // A PUBREL that comes again is answered again.
    sender.send_bytes(&[0x62, 2, 0x0A, 0x0B]);
    sender.expect(&[0x70, 2, 0x0A, 0x0B]);
}

#[test]
fn v311_4_4_0_1_what_is_unacknowledged_is_sent_again_with_its_identifiers_on_reconnect() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::ExactlyOnce);
    for (payload, qos) in [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce), ("3", QoS::ExactlyOnce)] {
        put(&mut clean(&weir, "sender"), "t", payload, qos);
    }
    (0..3).for_each(|_| drop(client.expect_publish()));
    client.send_bytes(&[0x50, 2, 0, 2]);
    client.expect(&[0x62, 2, 0, 2]);
    lose(client);
    for _ in 0..2 {
        let mut client = weir.connect(&durable("client"));
        client.expect(b"\x3A\x06\x00\x01t\x00\x011");
        client.expect(&[0x62, 2, 0, 2]);
        client.expect(b"\x3C\x06\x00\x01t\x00\x033");
        lose(client);
    }
}

#[test]
fn v311_4_5_0_1_an_accepted_message_is_added_to_every_session_that_matches() {
    let weir = weir();
    let mut away = weir.connect(&durable("away"));
    away.subscribe("a/+", QoS::AtLeastOnce);
    lose(away);
    let mut here = subscriber(&weir, "a/#", QoS::AtLeastOnce);
    let mut sender = clean(&weir, "sender");
    sender.subscribe("+/b", QoS::AtMostOnce);
    sender.publish("a/b", b"x", QoS::AtLeastOnce, 1);
    let mut frames = [sender.frame()[0], sender.frame()[0]];
    frames.sort_unstable();
    assert_eq!(frames, [0x30, 0x40], "the sender too");
    assert_eq!(payloads(&mut here), ["x"]);
    assert_eq!(payloads(&mut weir.connect(&durable("away"))), ["x"]);
}

#[test]
fn v311_4_6_0_1_messages_are_sent_again_in_the_order_in_which_they_were_sent() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("#", QoS::ExactlyOnce);
    let mut sender = clean(&weir, "sender");
    let qos = |at: u32| if at.is_multiple_of(3) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
    for at in 0..50 {
        put(&mut sender, &format!("t/{}", at % 7), &at.to_string(), qos(at));
    }
    let sent: Vec<_> = (0..50).map(|_| client.expect_publish()).collect();
    lose(client);
    let mut client = weir.connect(&durable("client"));
    for first in sent {
        let again = client.expect_publish();
        assert_eq!((again.packet_id, again.text(), again.dup), (first.packet_id, first.text(), true));
    }
}

/// Publishes a hundred messages at this QoS all at once; what the subscriber, connected or away meanwhile, gets.
fn a_hundred(qos: QoS, away: bool) -> Vec<String> {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", qos);
    let mut sender = clean(&weir, "sender");
    let mut bytes = Vec::new();
    for at in 1..=100u16 {
        let payload = at.to_string();
        let packet = Packet::Publish(publish("t", payload.as_bytes(), qos, at));
        packet.encode(sender.version, &mut bytes).expect("it is well-formed");
    }
    if !away {
        hand_over_a_hundred(&mut sender, &bytes);
        return payloads(&mut client);
    }
    lose(client);
    hand_over_a_hundred(&mut sender, &bytes);
    payloads(&mut weir.connect(&durable("client")))
}

fn hand_over_a_hundred(sender: &mut Client, bytes: &[u8]) {
    sender.send_bytes(bytes);
    (0..100).for_each(|_| drop(sender.frame()));
}

fn one_to_a_hundred() -> Vec<String> {
    (1..=100).map(|at: u32| at.to_string()).collect()
}

#[test]
fn v311_4_6_0_5_every_topic_is_an_ordered_topic() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(a_hundred(qos, true), one_to_a_hundred());
    }
}

#[test]
fn v311_4_6_0_6_messages_of_a_topic_and_qos_are_delivered_in_the_order_of_their_publisher() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(a_hundred(qos, false), one_to_a_hundred());
    }
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    let mut sender = clean(&weir, "sender");
    for payload in ["1", "2", "3"] {
        put(&mut sender, "t", payload, QoS::AtMostOnce);
    }
    assert_eq!(payloads(&mut subscriber), ["1", "2", "3"]);
    // Acknowledgements in the order of what they acknowledge.
    for payload in ["1", "2", "3"] {
        put(&mut sender, "t", payload, QoS::ExactlyOnce);
        subscriber.expect_publish();
    }
    subscriber.send_bytes(&[0x50, 2, 0, 1, 0x50, 2, 0, 2, 0x50, 2, 0, 3]);
    for id in [1, 2, 3] {
        subscriber.expect(&[0x62, 2, 0, id]);
    }
}

#[test]
fn v311_4_7_1_1_a_wildcard_in_a_topic_name_closes_the_connection() {
    let weir = weir();
    for topic in [&b"#"[..], b"+", b"a/#", b"+/a", b"a#b", b"a/b+"] {
        is_cut_off(&weir, &publish_frame(topic));
        is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04, &[&text(b"c"), &text(topic), &text(b"dead")]));
    }
}

/// These filters are granted, those close the connection.
fn filters(good: &[&str], bad: &[&str]) {
    let weir = weir();
    let mut client = clean(&weir, "client");
    good.iter().for_each(|filter| client.subscribe(filter, QoS::AtMostOnce));
    for filter in bad {
        is_cut_off(&weir, &subscribe_frame(filter.as_bytes()));
    }
}

#[test]
fn v311_4_7_1_2_the_multi_level_wildcard_is_a_whole_level_and_the_last() {
    filters(&["#", "a/#", "/#", "a/b/#", "+/#"], &["a#", "a/b#", "#/a", "a/#/b", "##", "#a", "a/#b"]);
}

#[test]
fn v311_4_7_1_3_the_single_level_wildcard_is_a_whole_level_at_any_place() {
    filters(&["+", "+/a", "a/+", "a/+/b", "/+", "+/+", "+/"], &["a+", "+a", "a/b+/c", "a/+b", "++", "+#"]);
}

#[test]
fn v311_4_7_2_1_a_leading_wildcard_does_not_match_a_topic_that_begins_with_a_dollar() {
    let weir = weir();
    retain(&mut clean(&weir, "sender"), "$weather/today", "x", QoS::AtLeastOnce);
    for (filter, count) in
        [("#", 0), ("+/today", 0), ("+/+", 0), ("+/#", 0), ("$weather/#", 1), ("$weather/+", 1), ("$weather/today", 1)]
    {
        let mut subscriber = subscriber(&weir, filter, QoS::AtMostOnce);
        assert_eq!(subscriber.deliveries().len(), count, "{filter}, retained");
        put(&mut clean(&weir, "sender"), "$weather/today", "y", QoS::AtLeastOnce);
        assert_eq!(subscriber.deliveries().len(), count, "{filter}");
    }
}

#[test]
fn v311_4_7_3_1_an_empty_topic_or_filter_closes_the_connection() {
    let weir = weir();
    is_cut_off(&weir, &publish_frame(b""));
    is_cut_off(&weir, &subscribe_frame(b""));
    is_cut_off(&weir, &frame(0xA2, &[&[0, 1], &text(b"")]));
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04, &[&text(b"c"), &text(b""), &text(b"dead")]));
}

#[test]
fn v311_4_7_3_2_a_null_character_in_a_topic_or_filter_closes_the_connection() {
    let weir = weir();
    for bytes in [&b"\0"[..], b"a/\0", b"a\0/#"] {
        is_cut_off(&weir, &publish_frame(bytes));
        is_cut_off(&weir, &subscribe_frame(bytes));
        is_cut_off(&weir, &frame(0xA2, &[&[0, 1], &text(bytes)]));
    }
}

#[test]
fn v311_4_7_3_3_the_longest_topic_there_is_arrives_as_long_as_it_was() {
    let weir = weir();
    let topic = "t".repeat(65_535);
    let mut subscriber = subscriber(&weir, &topic, QoS::AtMostOnce);
    put(&mut clean(&weir, "sender"), &topic, "x", QoS::AtLeastOnce);
    // A remaining length of 65,538.
    let expected = [&[0x30, 0x82, 0x80, 0x04, 0xFF, 0xFF], topic.as_bytes(), b"x"].concat();
    assert_eq!(subscriber.frame(), expected);
}

#[test]
fn v311_4_7_3_4_topics_are_compared_as_they_are() {
    let weir = weir();
    // Case, a slash more, a blank more, the same letter as one character and as two, a character nobody has assigned.
    let topics = ["a", "A", "/a", "a/", "a ", " a", "a//b", "a/b", "\u{e9}", "e\u{301}", "\u{378}", "%61", "a/../b"];
    let mut sender = clean(&weir, "sender");
    for filter in topics {
        let mut subscriber = subscriber(&weir, filter, QoS::AtMostOnce);
        topics.iter().for_each(|topic| put(&mut sender, topic, "x", QoS::AtMostOnce));
        let received: Vec<_> = subscriber.deliveries().into_iter().map(|received| received.topic).collect();
        assert_eq!(received, [filter]);
    }
}

#[test]
fn v311_4_8_0_1_a_protocol_violation_closes_the_connection() {
    let weir = weir();
    let mut bystander = clean(&weir, "bystander");
    // Packets that only a broker sends, reserved types, a length of five bytes, bodies where none is, or not the right one.
    let rows: [&[u8]; 10] = [
        &[0x20, 2, 0, 0],
        &[0x90, 3, 0, 1, 0],
        &[0xB0, 2, 0, 1],
        &[0xD0, 0],
        &[0x00, 0],
        &[0xF0, 0],
        &[0x30, 0x80, 0x80, 0x80, 0x80, 1],
        &[0xC0, 1, 0],
        &[0x40, 3, 0, 1, 0],
        &[0x82, 6, 0, 1, 0, 1, b'a', 3],
    ];
    rows.into_iter().for_each(|bytes| is_cut_off(&weir, bytes));
    bystander.expect_nothing();
}

#[test]
fn v311_4_8_0_2_what_cannot_be_taken_just_now_closes_the_connection() {
    let weir = Weir::at(
        MORNING,
        "plans: { p: { publish: 1/min, max_retained_messages: 1 } }\n\
         profiles: { acme: { plan: p, devices: { pump: { token: t } } }, other: { plan: p, devices: { x: { token: x } } } }",
    );
    let mut client = clean(&weir, "client");
    put(&mut client, "t", "fits", QoS::AtLeastOnce);
    client.publish("t", b"over", QoS::AtLeastOnce, 2);
    client.expect_closed();
    let mut other = weir.client(Version::V4, "x", "client");
    put(&mut other, "t", "another profile's", QoS::AtLeastOnce);
}
