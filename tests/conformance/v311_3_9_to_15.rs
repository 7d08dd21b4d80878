//! MQTT 3.1.1, sections 3.9 to 3.14: SUBACK, UNSUBSCRIBE and UNSUBACK, PINGREQ and PINGRESP, DISCONNECT.

use weir::wire::{Connect, QoS, Version};

use crate::common::{Client, Weir, connect};
use crate::v311::*;

fn unsubscribe(client: &mut Client, filters: &[&str]) {
    let payload: Vec<u8> = filters.iter().flat_map(|filter| text(filter.as_bytes())).collect();
    client.send_bytes(&frame(0xA2, &[&[0, 9], &payload]));
    client.expect(&[0xB0, 2, 0, 9]);
}

#[test]
fn v311_3_9_3_1_the_codes_of_suback_are_in_the_order_of_the_filters() {
    let weir = weir_with("acl: [ { deny: subscribe, topic: secret } ]");
    let mut client = clean(&weir, "client");
    let filters = [(&b"z"[..], 2), (b"secret", 1), (b"a", 0), (b"m", 1), (b"secret", 0), (b"b", 2)];
    let payload: Vec<u8> = filters.iter().flat_map(|(filter, qos)| [text(filter), vec![*qos]].concat()).collect();
    client.send_bytes(&frame(0x82, &[&[0, 9], &payload]));
    client.expect(&[0x90, 8, 0, 9, 2, 0x80, 0, 1, 0x80, 2]);
}

#[test]
fn v311_3_9_3_2_every_failure_of_a_subscription_has_the_code_0x80() {
    let weir = Weir::at(
        MORNING,
        "plans: { p: { subscribe: 5/min, max_subscriptions: 1, max_topic_levels: 3 } }\n\
         profiles: { acme: { plan: p, devices: { pump: { token: t } } } }\n\
         acl: [ { deny: subscribe, topic: secret } ]\nmqtt: { wildcard_subscriptions: false }",
    );
    let mut client = clean(&weir, "client");
    client.subscribe("a", QoS::AtMostOnce);
    // Not authorised, over a cap, over another, switched off, and after these over the rate.
    for filter in ["secret", "a/b/c/d", "b", "#", "a"] {
        assert_eq!(client.try_subscribe(7, filter, QoS::AtMostOnce), [0x90, 3, 0, 7, 0x80], "{filter}");
    }
}

#[test]
fn v311_3_10_1_1_an_unsubscribe_whose_flags_are_not_0010_closes_the_connection() {
    let weir = weir();
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        is_cut_off(&weir, &frame(0xA0 | flags, &[&[0, 1], &text(b"a")]));
    }
}

#[test]
fn v311_3_10_3_1_a_filter_to_unsubscribe_that_is_no_utf8_closes_the_connection() {
    let weir = weir();
    for filter in [&b"\xFF"[..], b"a/\xED\xA0\x80", b"\xC0\x80", b"a\0"] {
        is_cut_off(&weir, &frame(0xA2, &[&[0, 1], &text(filter)]));
    }
    // Not packed one behind the other.
    is_cut_off(&weir, &frame(0xA2, &[&[0, 1], &text(b"a"), &[0]]));
}

#[test]
fn v311_3_10_3_2_an_unsubscribe_without_a_filter_closes_the_connection() {
    is_cut_off(&weir(), &[0xA2, 2, 0, 1]);
}

#[test]
fn v311_3_10_4_1_only_the_filter_that_is_the_same_character_by_character_is_unsubscribed() {
    let weir = weir();
    let mut client = subscriber(&weir, "a/+", QoS::AtMostOnce);
    let mut sender = clean(&weir, "sender");
    // They match the same topics, or nearly look the same.
    unsubscribe(&mut client, &["a/b", "a/#", "#", "+/+", "A/+", "a/+/", "/a/+"]);
    put(&mut sender, "a/b", "x", QoS::AtMostOnce);
    assert_eq!(payloads(&mut client), ["x"]);
    unsubscribe(&mut client, &["a/+"]);
    put(&mut sender, "a/b", "y", QoS::AtMostOnce);
    assert!(client.deliveries().is_empty());
}

#[test]
fn v311_3_10_4_2_after_unsuback_nothing_new_is_delivered() {
    let weir = weir();
    let mut client = subscriber(&weir, "t", QoS::AtLeastOnce);
    let mut sender = clean(&weir, "sender");
    // The sender has published here before: nothing it remembers may last.
    put(&mut sender, "t", "before", QoS::AtLeastOnce);
    assert_eq!(payloads(&mut client), ["before"]);
    unsubscribe(&mut client, &["t"]);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        put(&mut sender, "t", "after", qos);
    }
    assert!(client.deliveries().is_empty());
}

#[test]
fn v311_3_10_4_3_what_is_under_way_at_qos_1_or_2_is_completed_after_unsubscribe() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::ExactlyOnce);
    put(&mut clean(&weir, "sender"), "t", "1", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "t", "2", QoS::ExactlyOnce);
    assert_eq!((client.expect_publish().packet_id, client.expect_publish().packet_id), (1, 2));
    unsubscribe(&mut client, &["t"]);
    lose(client);
    let mut client = weir.connect(&durable("client"));
    client.expect(b"\x3A\x06\x00\x01t\x00\x011");
    client.expect(b"\x3C\x06\x00\x01t\x00\x022");
    client.send_bytes(&[0x40, 2, 0, 1, 0x50, 2, 0, 2]);
    client.expect(&[0x62, 2, 0, 2]);
    client.send_bytes(&[0x70, 2, 0, 2]);
    client.disconnect();
    assert!(weir.connect(&durable("client")).deliveries().is_empty());
}

#[test]
fn v311_3_10_4_4_an_unsubscribe_is_answered_with_an_unsuback_of_its_identifier() {
    let weir = weir();
    let mut client = subscriber(&weir, "a", QoS::AtMostOnce);
    client.send_bytes(&frame(0xA2, &[&[0x12, 0x34], &text(b"a")]));
    client.expect(&[0xB0, 2, 0x12, 0x34]);
}

#[test]
fn v311_3_10_4_5_an_unsubscribe_of_nothing_is_answered_too() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    client.send_bytes(&frame(0xA2, &[&[0, 7], &text(b"never/subscribed"), &text(b"#")]));
    client.expect(&[0xB0, 2, 0, 7]);
}

#[test]
fn v311_3_10_4_6_several_filters_are_unsubscribed_with_one_answer() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    for filter in ["a", "b", "c"] {
        client.subscribe(filter, QoS::AtMostOnce);
    }
    unsubscribe(&mut client, &["a", "never subscribed", "c", "a"]);
    for topic in ["a", "b", "c"] {
        put(&mut clean(&weir, "sender"), topic, topic, QoS::AtMostOnce);
    }
    assert_eq!(payloads(&mut client), ["b"]);
}

#[test]
fn v311_3_12_4_1_a_pingreq_is_answered_with_a_pingresp() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    client.send_bytes(&[0xC0, 0, 0xC0, 0]);
    client.expect(&[0xD0, 0]);
    client.expect(&[0xD0, 0]);
}

#[test]
fn v311_3_14_1_1_a_disconnect_with_a_reserved_bit_is_no_goodbye() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "will", QoS::AtMostOnce);
    let will = will("will", b"dead", QoS::AtMostOnce, false);
    for flags in 1..16 {
        let mut client = weir.connect(&Connect { will: Some(will), ..connect(Version::V4, "t", "mortal") });
        client.send_bytes(&[0xE0 | flags, 0]);
        client.expect_closed();
        assert_eq!(subscriber.expect_publish().text(), "dead");
    }
}

#[test]
fn v311_3_14_4_2_what_a_client_sends_after_disconnect_does_nothing() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "#", QoS::AtMostOnce);
    let mut client = clean(&weir, "client");
    client.send_bytes(&[vec![0xE0, 0], publish_frame(b"t"), vec![0xC0, 0]].concat());
    client.expect_closed();
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_14_4_3_disconnect_discards_the_will() {
    let weir = weir();
    let mut listener = subscriber(&weir, "will", QoS::AtMostOnce);
    for clean_start in [true, false] {
        let will = Some(will("will", b"dead", QoS::AtMostOnce, true));
        weir.connect(&Connect { will, clean_start, ..connect(Version::V4, "t", "mortal") }).disconnect();
    }
    assert!(listener.deliveries().is_empty());
    assert!(subscriber(&weir, "will", QoS::AtMostOnce).deliveries().is_empty());
}
