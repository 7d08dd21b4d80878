//! MQTT 3.1.1, section 3.3: PUBLISH in both directions, its flags, its topic, and what is retained.

use weir::wire::{Packet, Publish, QoS};

use crate::common::publish;
use crate::v311::*;

#[test]
fn v311_3_3_1_1_a_publish_that_is_sent_again_has_dup_set() {
    let weir = weir();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut client = weir.connect(&durable("client"));
        client.subscribe("t", qos);
        put(&mut clean(&weir, "sender"), "t", "x", qos);
        let first = client.expect_publish();
        lose(client);
        let again = weir.connect(&durable("client")).expect_publish();
        assert_eq!((first.dup, again.dup), (false, true));
        assert_eq!((first.packet_id, first.payload), (again.packet_id, again.payload));
        clean(&weir, "client").disconnect();
    }
}

#[test]
fn v311_3_3_1_2_dup_is_never_set_at_qos_0() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::AtMostOnce);
    let mut sender = clean(&weir, "sender");
    sender.send(&Packet::Publish(Publish { dup: true, ..publish("t", b"x", QoS::AtLeastOnce, 1) }));
    subscriber.expect(b"\x30\x04\x00\x01tx");
    is_cut_off(&weir, &frame(0x38, &[&text(b"t"), b"x"]));
}

#[test]
fn v311_3_3_1_3_dup_of_the_publisher_is_not_passed_on() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::ExactlyOnce);
    let mut sender = clean(&weir, "sender");
    for (qos, first) in [(QoS::AtLeastOnce, 0x32), (QoS::ExactlyOnce, 0x34)] {
        sender.send(&Packet::Publish(Publish { dup: true, ..publish("t", b"x", qos, 9) }));
        assert_eq!(subscriber.frame()[0], first);
    }
}

#[test]
fn v311_3_3_1_4_a_publish_of_qos_3_closes_the_connection() {
    let weir = weir();
    for first in [0x36, 0x37, 0x3E, 0x3F] {
        is_cut_off(&weir, &frame(first, &[&text(b"t"), &[0, 1], b"x"]));
    }
}

#[test]
fn v311_3_3_1_5_a_retained_message_is_kept_with_its_qos_for_later_subscribers() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    for (qos, frame) in [
        (QoS::AtMostOnce, &b"\x31\x04\x00\x01tx"[..]),
        (QoS::AtLeastOnce, b"\x33\x06\x00\x01t\x00\x01x"),
        (QoS::ExactlyOnce, b"\x35\x06\x00\x01t\x00\x01x"),
    ] {
        retain(&mut sender, "t", "x", qos);
        subscriber(&weir, "t", QoS::ExactlyOnce).expect(frame);
    }
}

#[test]
fn v311_3_3_1_6_a_new_subscription_brings_the_last_retained_message_of_each_topic() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    for (topic, payload) in [("a/1", "old"), ("a/1", "1"), ("a/2", "2"), ("a", "0"), ("b", "elsewhere")] {
        retain(&mut sender, topic, payload, QoS::AtLeastOnce);
    }
    let mut received = payloads(&mut subscriber(&weir, "a/#", QoS::AtMostOnce));
    received.sort();
    assert_eq!(received, ["0", "1", "2"]);
}

#[test]
fn v311_3_3_1_7_a_retained_message_of_qos_0_takes_the_place_of_the_one_before() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    retain(&mut sender, "t", "before", QoS::ExactlyOnce);
    retain(&mut sender, "t", "after", QoS::AtMostOnce);
    assert_eq!(payloads(&mut subscriber(&weir, "t", QoS::ExactlyOnce)), ["after"]);
}

#[test]
fn v311_3_3_1_8_a_message_sent_for_a_new_subscription_has_retain_set() {
    let weir = weir();
    retain(&mut clean(&weir, "sender"), "t", "x", QoS::AtLeastOnce);
    let mut client = subscriber(&weir, "t", QoS::AtMostOnce);
    client.expect(b"\x31\x04\x00\x01tx");
    client.subscribe("t", QoS::AtLeastOnce);
    client.expect(b"\x33\x06\x00\x01t\x00\x01x");
}

#[test]
fn v311_3_3_1_9_a_message_sent_for_a_subscription_there_was_has_retain_not_set() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "t", QoS::AtLeastOnce);
    let mut sender = clean(&weir, "sender");
    retain(&mut sender, "t", "x", QoS::AtLeastOnce);
    subscriber.expect(b"\x32\x06\x00\x01t\x00\x01x");
    put(&mut sender, "t", "y", QoS::AtMostOnce);
    subscriber.expect(b"\x30\x04\x00\x01ty");
}

#[test]
fn v311_3_3_1_10_an_empty_retained_message_is_delivered_and_removes_the_one_before() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    retain(&mut sender, "t", "x", QoS::AtLeastOnce);
    retain(&mut sender, "u", "stays", QoS::AtLeastOnce);
    let mut listener = subscriber(&weir, "t", QoS::AtMostOnce);
    listener.expect(b"\x31\x04\x00\x01tx");
    retain(&mut sender, "t", "", QoS::AtLeastOnce);
    listener.expect(b"\x30\x03\x00\x01t");
    assert_eq!(payloads(&mut subscriber(&weir, "#", QoS::AtMostOnce)), ["stays"]);
}

#[test]
fn v311_3_3_1_11_an_empty_retained_message_is_not_kept() {
    let weir = weir();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        retain(&mut clean(&weir, "sender"), "t", "", qos);
        assert!(subscriber(&weir, "t", QoS::AtMostOnce).deliveries().is_empty());
    }
}

#[test]
fn v311_3_3_1_12_a_message_without_retain_changes_nothing_that_is_retained() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    put(&mut sender, "t", "not kept", QoS::AtLeastOnce);
    assert!(subscriber(&weir, "t", QoS::AtMostOnce).deliveries().is_empty());
    retain(&mut sender, "t", "kept", QoS::AtLeastOnce);
    put(&mut sender, "t", "not kept", QoS::AtLeastOnce);
    put(&mut sender, "t", "", QoS::AtLeastOnce);
    assert_eq!(payloads(&mut subscriber(&weir, "t", QoS::AtMostOnce)), ["kept"]);
}

#[test]
fn v311_3_3_2_1_the_topic_is_the_first_field_and_text() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "#", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "é/b", "x", QoS::AtLeastOnce);
    subscriber.expect(b"\x32\x09\x00\x04\xC3\xA9/b\x00\x01x");
    is_cut_off(&weir, &[0x30, 0]);
    is_cut_off(&weir, &frame(0x30, &[&[0, 9], b"short"]));
    is_cut_off(&weir, &publish_frame(b"a/\xFF"));
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_3_2_2_a_topic_with_a_wildcard_closes_the_connection() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "#", QoS::AtMostOnce);
    for topic in [&b"#"[..], b"+", b"a/#", b"a/+/b", b"a#", b"a+b"] {
        is_cut_off(&weir, &publish_frame(topic));
    }
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_3_2_3_what_is_delivered_matches_the_filter() {
    let weir = weir();
    let topics = ["a", "a/b", "a/b/c", "a/", "/a", "/", "b/b", "ab"];
    for (filter, matched) in [
        ("a", &["a"][..]),
        ("a/b", &["a/b"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/"]),
        ("a/+", &["a/b", "a/"]),
        ("+/b", &["a/b", "b/b"]),
        ("+", &["a", "ab"]),
        ("+/+", &["a/b", "a/", "/a", "/", "b/b"]),
        ("/+", &["/a", "/"]),
        ("+/b/#", &["a/b", "a/b/c", "b/b"]),
        ("#", &topics),
    ] {
        let mut subscriber = subscriber(&weir, filter, QoS::AtMostOnce);
        let mut sender = clean(&weir, "sender");
        topics.iter().for_each(|topic| put(&mut sender, topic, "x", QoS::AtMostOnce));
        let received: Vec<_> = subscriber.deliveries().into_iter().map(|received| received.topic).collect();
        assert_eq!(received, matched, "{filter}");
    }
}

#[test]
fn v311_3_3_4_1_a_publish_is_answered_as_its_qos_asks() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    client.publish("t", b"x", QoS::AtMostOnce, 0);
    client.expect_nothing();
    client.publish("t", b"x", QoS::AtLeastOnce, 7);
    client.expect(&[0x40, 2, 0, 7]);
    client.publish("t", b"x", QoS::ExactlyOnce, 8);
    client.expect(&[0x50, 2, 0, 8]);
}

#[test]
fn v311_3_3_5_1_overlapping_subscriptions_deliver_at_the_highest_qos_among_them() {
    let weir = weir();
    let filters = [("t/#", QoS::AtMostOnce), ("t/a", QoS::ExactlyOnce), ("t/+", QoS::AtLeastOnce)];
    for turn in 0..3 {
        let mut client = clean(&weir, "client");
        for at in 0..3 {
            let (filter, qos) = filters[(turn + at) % 3];
            client.subscribe(filter, qos);
        }
        put(&mut clean(&weir, "sender"), "t/a", "x", QoS::ExactlyOnce);
        let highest = client.deliveries().iter().map(|received| received.qos).max();
        assert_eq!(highest, Some(QoS::ExactlyOnce));
    }
}

#[test]
fn v311_3_3_5_2_a_publish_that_is_not_authorised_is_acknowledged_or_closes_the_connection() {
    const DENY: &str = "acl: [ { deny: publish, topic: secret } ]\n";
    let weir = weir_with(DENY);
    let mut listener = subscriber(&weir, "secret", QoS::ExactlyOnce);
    is_cut_off(&weir, b"\x32\x0A\x00\x06secret\x00\x01");
    is_cut_off(&weir, b"\x34\x0A\x00\x06secret\x00\x01");
    put(&mut clean(&weir, "sender"), "secret", "x", QoS::AtMostOnce);
    assert!(listener.deliveries().is_empty());

    let weir = weir_with(&format!("{DENY}acl_on_deny: acknowledge"));
    let mut listener = subscriber(&weir, "secret", QoS::ExactlyOnce);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        put(&mut clean(&weir, "sender"), "secret", "x", qos);
    }
    assert!(listener.deliveries().is_empty());
}
