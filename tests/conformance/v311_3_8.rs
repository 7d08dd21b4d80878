//! MQTT 3.1.1, section 3.8: SUBSCRIBE, and what a subscription brings.

use weir::wire::QoS;

use crate::common::Received;
use crate::v311::*;

#[test]
fn v311_3_8_1_1_a_subscribe_whose_flags_are_not_0010_closes_the_connection() {
    let weir = weir();
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        is_cut_off(&weir, &frame(0x80 | flags, &[&[0, 1], &text(b"a"), &[0]]));
    }
}

#[test]
fn v311_3_8_3_1_a_filter_that_is_no_utf8_closes_the_connection() {
    let weir = weir();
    for filter in [&b"\xFF"[..], b"a/\xED\xA0\x80", b"\xC0\x80", b"a\0"] {
        is_cut_off(&weir, &subscribe_frame(filter));
    }
}

#[test]
fn v311_3_8_3_2_where_wildcards_are_switched_off_a_filter_with_one_is_rejected() {
    let weir = weir_with("mqtt: { wildcard_subscriptions: false }");
    let mut client = clean(&weir, "client");
    for filter in ["#", "+", "a/#", "a/+/b"] {
        assert_eq!(client.try_subscribe(7, filter, QoS::AtMostOnce), [0x90, 3, 0, 7, 0x80], "{filter}");
    }
    client.subscribe("a/b", QoS::AtMostOnce);
    put(&mut clean(&weir, "sender"), "a", "x", QoS::AtLeastOnce);
    assert!(client.deliveries().is_empty());
}

#[test]
fn v311_3_8_3_3_a_subscribe_without_a_filter_closes_the_connection() {
    let weir = weir();
    is_cut_off(&weir, &[0x82, 2, 0, 1]);
    is_cut_off(&weir, &frame(0x82, &[&[0, 1], &text(b"no QoS")]));
}

#[test]
fn v311_3_8_4_1_a_subscribe_is_answered_with_a_suback() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    client.send_bytes(&subscribe_frame(b"a"));
    assert_eq!(client.frame()[0], 0x90);
    client.send_bytes(&subscribe_frame(b"a"));
    assert_eq!(client.frame()[0], 0x90, "also the second time");
}

#[test]
fn v311_3_8_4_2_suback_has_the_identifier_of_its_subscribe() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    for [high, low] in [[0, 1], [0x12, 0x34], [0xFF, 0xFF]] {
        client.send_bytes(&frame(0x82, &[&[high, low], &text(b"a"), &[0]]));
        client.expect(&[0x90, 3, high, low, 0]);
    }
}

#[test]
fn v311_3_8_4_3_the_same_filter_again_replaces_the_subscription_and_brings_retained_messages_again() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    retain(&mut sender, "t", "kept", QoS::AtLeastOnce);
    let mut client = clean(&weir, "client");
    for qos in [QoS::ExactlyOnce, QoS::AtMostOnce, QoS::AtLeastOnce] {
        client.subscribe("t", qos);
        let again = client.expect_publish();
        assert_eq!((again.text(), again.retain), ("kept", true));
        put(&mut sender, "t", "new", QoS::ExactlyOnce);
        let new = client.deliveries();
        assert_eq!(new.len(), 1, "one subscription, one copy");
        assert_eq!(new[0].qos, qos);
    }
    // While messages flow: none is missing, none comes twice.
    for at in 1..=100 {
        sender.publish("t", at.to_string().as_bytes(), QoS::AtLeastOnce, at);
        client.send_bytes(&subscribe_frame(b"t"));
    }
    (0..100).for_each(|_| assert_eq!(sender.frame()[0], 0x40));
    let mut flow = Vec::new();
    let mut subacks = 0;
    while subacks < 100 {
        match client.frame() {
            suback if suback == [0x90, 3, 0, 1, 0] => subacks += 1,
            frame => flow.push(Received::parse(client.version, &frame)),
        }
    }
    flow.extend(client.deliveries());
    let flow: Vec<_> = flow.iter().filter(|received| !received.retain).map(Received::text).collect();
    assert_eq!(flow, (1..=100).map(|at: u16| at.to_string()).collect::<Vec<_>>());
}

#[test]
fn v311_3_8_4_4_several_filters_are_handled_as_several_subscribes_with_one_answer() {
    let weir = weir();
    let mut sender = clean(&weir, "sender");
    retain(&mut sender, "a", "a", QoS::AtLeastOnce);
    let mut client = clean(&weir, "client");
    client.send_bytes(&frame(0x82, &[&[0, 9], &text(b"a"), &[2], &text(b"b"), &[1], &text(b"a"), &[0]]));
    client.expect(&[0x90, 5, 0, 9, 2, 1, 0]);
    let mut received = payloads(&mut client);
    received.dedup();
    assert_eq!(received, ["a"]);
    // The last one for a filter holds.
    put(&mut sender, "a", "x", QoS::ExactlyOnce);
    put(&mut sender, "b", "y", QoS::ExactlyOnce);
    let received: Vec<_> = client.deliveries().into_iter().map(|received| (received.topic, received.qos)).collect();
    assert_eq!(received, [("a".to_owned(), QoS::AtMostOnce), ("b".to_owned(), QoS::AtLeastOnce)]);
}

#[test]
fn v311_3_8_4_5_suback_has_a_code_for_each_filter_the_granted_qos_or_failure() {
    let weir = weir_with("mqtt: { max_qos: 1 }\nacl: [ { deny: subscribe, topic: \"secret/#\" } ]");
    let mut client = clean(&weir, "client");
    let filters = [(&b"a"[..], 0), (b"b", 1), (b"c", 2), (b"secret/x", 1)];
    let payload: Vec<u8> = filters.iter().flat_map(|(filter, qos)| [text(filter), vec![*qos]].concat()).collect();
    client.send_bytes(&frame(0x82, &[&[0, 9], &payload]));
    client.expect(&[0x90, 6, 0, 9, 0, 1, 1, 0x80]);
}

#[test]
fn v311_3_8_4_6_a_delivery_has_the_lower_of_the_published_and_the_granted_qos() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    let mut sender = clean(&weir, "sender");
    let all = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    for granted in all {
        client.subscribe("t", granted);
        for published in all {
            put(&mut sender, "t", "x", published);
            let received = client.deliveries();
            assert_eq!(received.len(), 1);
            assert_eq!(received[0].qos, granted.min(published));
        }
    }
}
