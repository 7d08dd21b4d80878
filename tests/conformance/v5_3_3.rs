//! MQTT 5, sections 3.3.1 and 3.3.4: the flags of PUBLISH, and what is done with one. Its topic and properties: `v5_3_3_2`.

use weir::wire::{Property, QoS};

use super::common::{Client, Weir};
use super::v5_support::*;

/// Acknowledges with this packet and packet identifier.
fn acknowledge(client: &mut Client, first: u8, id: u16) {
    client.send_bytes(&[&[first, 2], id.to_be_bytes().as_slice()].concat());
}

/// Hands in a retained message at QoS 1, from somewhere else.
fn retain(weir: &Weir, topic: &str, payload: &str) {
    hand_in(&mut guest(weir, "retainer"), 0x33, topic, &[], payload);
}

/// What someone gets who subscribes now, and was not there before.
fn retained(weir: &Weir, filter: &str) -> Vec<String> {
    let mut late = subscriber(weir, filter, QoS::AtLeastOnce);
    let received = late.deliveries();
    assert!(received.iter().all(|received| received.retain), "{received:?}");
    let mut payloads: Vec<String> = received.iter().map(|received| received.text().to_owned()).collect();
    payloads.sort();
    late.disconnect();
    payloads
}

#[test]
fn v5_3_3_1_1_a_publish_that_is_sent_again_has_dup() {
    let weir = open();
    for (options, first) in [(QoS::AtLeastOnce, 0x32), (QoS::ExactlyOnce, 0x34)] {
        let (mut client, _) = join(&weir, "c", true, &[AN_HOUR]);
        client.subscribe("t", options);
        hand_in(&mut guest(&weir, "publisher"), first, "t", &[], "hi");
        let sent = client.frame();
        assert_eq!(sent[0], first);
        lose(client);
        let (mut client, _) = join(&weir, "c", false, &[AN_HOUR]);
        client.expect(&[&[first | 0x08], &sent[1..]].concat());
    }
}

#[test]
fn v5_3_3_1_2_a_message_of_qos_0_has_no_dup() {
    let weir = open();
    is_disconnected(&weir, &publish_frame(0x38, "t", &[], b""), MALFORMED);
    let mut subscriber = subscriber(&weir, "t", QoS::AtMostOnce);
    hand_in(&mut guest(&weir, "publisher"), 0x3A, "t", &[], "hi");
    subscriber.expect(&publish_frame(0x30, "t", &[], b"hi"));
}

#[test]
fn v5_3_3_1_3_dup_says_only_whether_this_packet_was_sent_before() {
    let weir = open();
    let (mut client, _) = join(&weir, "c", true, &[AN_HOUR]);
    client.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = guest(&weir, "publisher");
    for first in [0x3A, 0x3C] {
        hand_in(&mut publisher, first, "t", &[], "came with DUP");
        assert!(!client.expect_publish().dup);
    }
    hand_in(&mut publisher, 0x32, "t", &[], "came without");
    assert!(!client.expect_publish().dup);
    lose(client);
    let (mut client, _) = join(&weir, "c", false, &[AN_HOUR]);
    assert!((0..3).all(|_| client.expect_publish().dup));
}

#[test]
fn v5_3_3_1_4_qos_3_is_malformed() {
    let weir = open();
    for first in [0x36, 0x37, 0x3E] {
        is_disconnected(&weir, &publish_frame(first, "t", &[], b""), MALFORMED);
    }
}

#[test]
fn v5_3_3_1_5_a_retained_message_replaces_the_one_there_was() {
    let weir = open();
    for payload in ["first", "second"] {
        retain(&weir, "t", payload);
        assert_eq!(retained(&weir, "t"), [payload]);
    }
    retain(&weir, "t/other", "not this one");
    assert_eq!(retained(&weir, "t"), ["second"]);
}

#[test]
fn v5_3_3_1_6_an_empty_retained_message_is_delivered_and_removes_the_one_there_was() {
    let weir = open();
    let mut subscriber = guest(&weir, "there before");
    subscriber.subscribe("t", QoS::AtLeastOnce);
    retain(&weir, "t", "kept");
    retain(&weir, "t/other", "another");
    retain(&weir, "t", "");
    assert_eq!(payloads(&mut subscriber), ["kept", ""], "processed as any other");
    assert_eq!(retained(&weir, "t/#"), ["another"]);
}

#[test]
fn v5_3_3_1_7_an_empty_message_is_not_retained() {
    let weir = open();
    for first in [0x31, 0x33, 0x35] {
        hand_in(&mut guest(&weir, "retainer"), first, "t", &[], "");
        assert_eq!(retained(&weir, "t"), [""; 0]);
    }
}

#[test]
fn v5_3_3_1_8_a_message_without_retain_neither_is_retained_nor_changes_what_is() {
    let weir = open();
    hand_in(&mut guest(&weir, "publisher"), 0x32, "t", &[], "passes by");
    assert_eq!(retained(&weir, "t"), [""; 0]);
    retain(&weir, "t", "kept");
    for payload in ["passes by", ""] {
        hand_in(&mut guest(&weir, "publisher"), 0x32, "t", &[], payload);
        assert_eq!(retained(&weir, "t"), ["kept"]);
    }
}

/// What comes of subscribing to `t/+` with this Retain Handling: the first time, and once more.
fn with_retain_handling(retain_handling: u8) -> [Vec<String>; 2] {
    let weir = open();
    for topic in ["t/1", "t/2", "other"] {
        retain(&weir, topic, topic);
    }
    let mut client = guest(&weir, "c");
    [(); 2].map(|()| {
        subscribe(&mut client, "t/+", retain_handling << 4, &[]);
        let mut received = payloads(&mut client);
        received.sort();
        received
    })
}

#[test]
fn v5_3_3_1_9_with_retain_handling_0_every_subscribe_brings_the_retained_messages() {
    assert_eq!(with_retain_handling(0), [["t/1", "t/2"], ["t/1", "t/2"]]);
}

#[test]
fn v5_3_3_1_10_with_retain_handling_1_only_a_new_subscription_brings_them() {
    assert_eq!(with_retain_handling(1), [vec!["t/1", "t/2"], vec![]]);
}

#[test]
fn v5_3_3_1_11_with_retain_handling_2_no_subscription_brings_them() {
    assert_eq!(with_retain_handling(2), [[""; 0], [""; 0]]);
}

/// The RETAIN flags with which a client gets one message that was published without and one with it.
fn forwarded_retain(options: u8) -> [bool; 2] {
    let weir = open();
    let mut subscriber = guest(&weir, "c");
    subscribe(&mut subscriber, "t", options, &[]);
    [0x30, 0x31].map(|first| {
        hand_in(&mut guest(&weir, "publisher"), first, "t", &[], "hi");
        subscriber.expect_publish().retain
    })
}

#[test]
fn v5_3_3_1_12_without_retain_as_published_a_message_is_forwarded_without_retain() {
    assert_eq!(forwarded_retain(0x00), [false, false]);
}

#[test]
fn v5_3_3_1_13_with_retain_as_published_the_flag_is_forwarded_as_it_came() {
    assert_eq!(forwarded_retain(0x08), [false, true]);
}

#[test]
fn v5_3_3_4_1_a_publish_is_answered_as_its_qos_says() {
    let weir = open();
    let _subscriber = subscriber(&weir, "t", QoS::AtMostOnce);
    let mut client = guest(&weir, "c");
    client.publish("t", b"", QoS::AtMostOnce, 0);
    client.publish("t", b"", QoS::AtLeastOnce, 7);
    client.publish("t", b"", QoS::ExactlyOnce, 8);
    client.expect(&[0x40, 2, 0, 7]);
    client.expect(&[0x50, 2, 0, 8]);
    client.expect_nothing();
}

#[test]
fn v5_3_3_4_2_overlapping_subscriptions_deliver_at_the_highest_of_their_qos() {
    let weir = open();
    let mut client = guest(&weir, "c");
    for (filter, qos) in [("t/1", 0), ("t/+", 2), ("t/#", 1)] {
        subscribe(&mut client, filter, qos, &[]);
    }
    for (first, qos) in [(0x34, QoS::ExactlyOnce), (0x32, QoS::AtLeastOnce), (0x30, QoS::AtMostOnce)] {
        hand_in(&mut guest(&weir, "publisher"), first, "t/1", &[], "");
        let received = client.deliveries();
        assert!(received.iter().any(|received| received.qos == qos), "{received:?}");
        assert!(received.iter().all(|received| received.qos <= qos), "{received:?}");
    }
}

/// The Subscription Identifiers among these properties, each less than 128, in order.
fn identifiers(properties: &[u8]) -> Vec<u8> {
    let (pairs, rest) = properties.as_chunks::<2>();
    assert!(rest.is_empty() && pairs.iter().all(|[property, _]| *property == 0x0B), "{properties:02x?}");
    let mut identifiers: Vec<u8> = pairs.iter().map(|[_, identifier]| *identifier).collect();
    identifiers.sort();
    identifiers
}

#[test]
fn v5_3_3_4_3_a_message_carries_the_subscription_identifiers_it_came_by() {
    let weir = open();
    let mut client = guest(&weir, "c");
    subscribe(&mut client, "t/1", 0, &[0x0B, 1]);
    subscribe(&mut client, "t/2", 0, &[0x0B, 2]);
    subscribe(&mut client, "t/3", 0, &[]);
    let mut publisher = guest(&weir, "publisher");
    for (topic, expected) in [("t/1", &[0x0B, 1][..]), ("t/2", &[0x0B, 2]), ("t/3", &[])] {
        hand_in(&mut publisher, 0x30, topic, &[], "");
        client.expect(&publish_frame(0x30, topic, expected, b""));
    }
    // A retained message comes by the subscription it is sent for.
    retain(&weir, "kept", "x");
    subscribe(&mut client, "kept", 0, &[0x0B, 5]);
    client.expect(&publish_frame(0x31, "kept", &[0x0B, 5], b"x"));
}

#[test]
fn v5_3_3_4_4_one_copy_carries_the_identifiers_of_all_subscriptions_that_match() {
    let weir = open();
    let mut client = guest(&weir, "c");
    for (filter, identifier) in
        [("t", &[0x0B, 1][..]), ("+", &[0x0B, 2]), ("#", &[]), ("t/#", &[0x0B, 3]), ("x", &[0x0B, 4])]
    {
        subscribe(&mut client, filter, 0, identifier);
    }
    hand_in(&mut guest(&weir, "publisher"), 0x30, "t", &[], "");
    assert_eq!(identifiers(&client.expect_publish().properties), [1, 2, 3]);
    // Two of one identifier are two identifiers.
    subscribe(&mut client, "+", 0, &[0x0B, 3]);
    hand_in(&mut guest(&weir, "publisher"), 0x30, "t", &[], "");
    assert_eq!(identifiers(&client.expect_publish().properties), [1, 3, 3]);
    client.expect_nothing();
}

#[test]
fn v5_3_3_4_5_of_several_copies_each_carries_the_identifier_of_its_subscription() {
    let weir = open();
    let mut client = guest(&weir, "c");
    // A shared subscription has a copy of its own.
    subscribe(&mut client, "t", 0, &[0x0B, 1]);
    subscribe(&mut client, "$share/group/t", 0, &[0x0B, 2]);
    subscribe(&mut client, "$share/other/t", 0, &[]);
    hand_in(&mut guest(&weir, "publisher"), 0x30, "t", &[], "");
    let mut copies: Vec<_> = client.deliveries().iter().map(|received| identifiers(&received.properties)).collect();
    copies.sort();
    assert_eq!(copies, [vec![], vec![1], vec![2]]);
}

#[test]
fn v5_3_3_4_6_a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let weir = open();
    is_disconnected(&weir, &publish_frame(0x30, "t", &[0x0B, 1], b""), PROTOCOL_ERROR);
}

#[test]
fn v5_3_3_4_7_more_publishes_than_the_receive_maximum_of_the_broker_are_disconnected() {
    let weir = open_with("mqtt: { receive_maximum: 2 }");
    let (mut client, frame) = join(&weir, "c", true, &[]);
    assert_eq!(connack(&frame).properties.receive_maximum(), Some(2));
    for id in [1, 2] {
        client.publish("t", b"", QoS::ExactlyOnce, id);
        assert_eq!(client.frame()[0], 0x50);
    }
    // One done, another begun.
    client.send_bytes(&[0x62, 2, 0, 1]);
    assert_eq!(client.frame()[0], 0x70);
    client.publish("t", b"", QoS::ExactlyOnce, 3);
    assert_eq!(client.frame()[0], 0x50);
    client.publish("t", b"", QoS::ExactlyOnce, 4);
    expect_disconnect(&mut client, 0x93);
}

/// A client that takes two messages at a time, and four of QoS 1 and 2 on their way to it.
fn with_receive_maximum_2(weir: &Weir) -> Client {
    let (mut client, _) = join(weir, "c", true, &[Property::ReceiveMaximum(2)]);
    client.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = guest(weir, "publisher");
    for (first, payload) in [(0x32, "1"), (0x34, "2"), (0x34, "3"), (0x32, "4")] {
        hand_in(&mut publisher, first, "t", &[], payload);
    }
    client
}

#[test]
fn v5_3_3_4_9_no_more_is_in_flight_than_the_receive_maximum_of_the_client() {
    let weir = open();
    let mut client = with_receive_maximum_2(&weir);
    let received = client.deliveries();
    assert_eq!(received.iter().map(|received| received.text()).collect::<Vec<_>>(), ["1", "2"]);
    acknowledge(&mut client, 0x40, received[0].packet_id);
    let third = client.expect_publish();
    assert_eq!(third.text(), "3");
    // PUBREC does not make room, PUBCOMP does.
    acknowledge(&mut client, 0x50, received[1].packet_id);
    assert_eq!(client.frame()[0], 0x62);
    assert_eq!(payloads(&mut client), [""; 0]);
    acknowledge(&mut client, 0x70, received[1].packet_id);
    assert_eq!(client.expect_publish().text(), "4");
    // So does a PUBREC that is an error.
    hand_in(&mut guest(&weir, "publisher"), 0x32, "t", &[], "5");
    assert_eq!(payloads(&mut client), [""; 0]);
    client.send_bytes(&[&[0x50, 3], third.packet_id.to_be_bytes().as_slice(), &[0x80]].concat());
    assert_eq!(client.expect_publish().text(), "5");
}

#[test]
fn v5_3_3_4_10_other_packets_do_not_wait_for_the_receive_maximum() {
    let weir = open();
    let mut client = with_receive_maximum_2(&weir);
    assert_eq!(payloads(&mut client), ["1", "2"], "and PINGRESP came");
    subscribe(&mut client, "other", 0, &[]);
    hand_in(&mut client, 0x32, "nobody", &[], "");
    hand_in(&mut client, 0x34, "nobody", &[], "");
    client.send_bytes(b"\xA2\x0A\x00\x01\x00\x00\x05other");
    client.expect(&[0xB0, 4, 0, 1, 0, 0]);
}
