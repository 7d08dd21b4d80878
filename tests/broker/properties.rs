//! What MQTT 5 properties do on the way from publisher to subscriber: those that are passed on unchanged, the expiry of
//! messages, and the Maximum Packet Size that each side sets.

use weir::wire::{Packet, Property, Publish, Version};

use crate::common::{Client, Weir, publish};
use crate::kit::{
    Q0, Q1, Q2, acme, acme_on, at, client, client_with, lose, properties, publish_with, resume, with_properties,
};

const EXPIRY: [Property<'_>; 1] = [Property::MessageExpiryInterval(60)];

/// A session `c` of MQTT 5 that is subscribed to `t` at QoS 1.
fn subscribed(weir: &Weir) -> Client {
    let (mut client, _) = resume(weir, Version::V5, "c");
    client.subscribe("t", Q1);
    client
}

#[test]
fn what_the_publisher_says_of_a_message_reaches_subscribers_unchanged_and_in_order() {
    let carried = [
        Property::UserProperty("b", "1"),
        Property::ResponseTopic("answers/to/me"),
        Property::UserProperty("a", ""),
        Property::PayloadFormatIndicator(1),
        Property::CorrelationData(b"\x00\x01\xFE\xFF"),
        Property::UserProperty("b", "1"),
        Property::ContentType("text/plain; charset=utf-8"),
        Property::UserProperty("", "ü"),
    ];
    let weir = acme("");
    let all = properties(&carried);
    let mut publisher = client(&weir, Version::V5, "publisher");
    let mut five = client(&weir, Version::V5, "five");
    let mut four = client(&weir, Version::V4, "four");
    five.subscribe("t", Q2);
    four.subscribe("t", Q2);
    for qos in [Q0, Q1, Q2] {
        publisher.publish_fully(publish_with("t", "m", qos, &all));
        assert_eq!(five.take("m").properties, all.as_properties().as_bytes());
        // MQTT 3.1.1 has no place for them.
        four.take("m");
    }
}

#[test]
fn they_survive_being_queued_retained_and_sent_again() {
    let carried = [Property::UserProperty("b", "1"), Property::ContentType("x"), Property::UserProperty("a", "2")];
    let all = properties(&carried);
    let mut weir = acme("");
    let subscriber = subscribed(&weir);
    lose(&mut weir, subscriber, "c");
    let mut publisher = client(&weir, Version::V5, "publisher");
    publisher.publish_fully(Publish { retain: true, ..publish_with("t", "m", Q1, &all) });
    for dup in [false, true] {
        let (mut subscriber, _) = resume(&weir, Version::V5, "c");
        let received = subscriber.expect_publish();
        assert_eq!((received.dup, &received.properties[..]), (dup, all.as_properties().as_bytes()));
        lose(&mut weir, subscriber, "c");
    }
    let mut newcomer = client(&weir, Version::V5, "newcomer");
    newcomer.subscribe("t", Q0);
    assert_eq!(newcomer.take("m").properties, all.as_properties().as_bytes());
}

#[test]
fn a_message_expiry_interval_is_passed_on_less_the_time_that_the_message_waited() {
    for (passes, left) in [("+0s", 60), ("+1s", 59), ("+59s", 1)] {
        let mut weir = acme("");
        let subscriber = subscribed(&weir);
        lose(&mut weir, subscriber, "c");
        let expiry = properties(&EXPIRY);
        client(&weir, Version::V5, "publisher").publish_fully(publish_with("t", "m", Q1, &expiry));
        weir.clock(passes);
        let (mut subscriber, _) = resume(&weir, Version::V5, "c");
        let frame = subscriber.frame();
        with_properties(&frame, |all| assert_eq!(all, [Property::MessageExpiryInterval(left)]));
    }
}

#[test]
fn a_message_whose_time_has_passed_while_it_was_queued_is_not_delivered_and_the_next_is() {
    let mut weir = acme("");
    let subscriber = subscribed(&weir);
    lose(&mut weir, subscriber, "c");
    let expiry = properties(&EXPIRY);
    let mut publisher = client(&weir, Version::V5, "publisher");
    publisher.publish_fully(publish_with("t", "gone", Q1, &expiry));
    publisher.tell("t", "never expires");
    weir.clock("+60s");
    publisher.publish_fully(publish_with("t", "in time", Q1, &expiry));
    let (mut subscriber, _) = resume(&weir, Version::V5, "c");
    subscriber.take("never expires");
    subscriber.take("in time");
    subscriber.nothing();
}

#[test]
fn a_message_expires_while_it_waits_for_quota_too() {
    let mut weir = acme("");
    let mut subscriber = client_with(&weir, "c", &[Property::ReceiveMaximum(1)]);
    subscriber.subscribe("t", Q1);
    let mut publisher = client(&weir, Version::V5, "publisher");
    publisher.tell("t", "first");
    let first = subscriber.expect_publish();
    let expiry = properties(&EXPIRY);
    publisher.publish_fully(publish_with("t", "waits too long", Q1, &expiry));
    publisher.tell("t", "last");
    weir.clock("+60s");
    subscriber.acknowledge(&first);
    subscriber.take("last");
}

#[test]
fn what_was_sent_once_does_not_expire_any_more() {
    for (passes, left) in [("+20s", 40), ("+70s", 0)] {
        let mut weir = acme("");
        let mut subscriber = subscribed(&weir);
        let expiry = properties(&EXPIRY);
        client(&weir, Version::V5, "publisher").publish_fully(publish_with("t", "m", Q1, &expiry));
        subscriber.expect_publish();
        lose(&mut weir, subscriber, "c");
        weir.clock(passes);
        let (mut subscriber, _) = resume(&weir, Version::V5, "c");
        let frame = subscriber.frame();
        with_properties(&frame, |all| assert_eq!(all, [Property::MessageExpiryInterval(left)]));
    }
}

#[test]
fn mqtt_3_1_1_subscribers_are_spared_what_has_expired_too() {
    let mut weir = acme("");
    let (mut subscriber, _) = resume(&weir, Version::V4, "c");
    subscriber.subscribe("t", Q1);
    lose(&mut weir, subscriber, "c");
    let expiry = properties(&EXPIRY);
    client(&weir, Version::V5, "publisher").publish_fully(publish_with("t", "m", Q1, &expiry));
    weir.clock("+60s");
    let (mut subscriber, present) = resume(&weir, Version::V4, "c");
    assert!(present);
    subscriber.nothing();
}

#[test]
fn a_message_larger_than_the_client_takes_is_left_out_and_the_next_is_sent() {
    for qos in [Q0, Q1, Q2] {
        let weir = acme("");
        let mut subscriber = client_with(&weir, "c", &[Property::MaximumPacketSize(100), Property::ReceiveMaximum(1)]);
        subscriber.subscribe("t", Q2);
        let mut publisher = client(&weir, Version::V4, "publisher");
        // 2 of header, 3 of topic, 2 of packet identifier, 1 of properties' length.
        let room = 100 - if qos == Q0 { 6 } else { 8 };
        for payload in ["x".repeat(room), "y".repeat(room + 1), "z".repeat(60_000), "small".to_owned()] {
            publisher.publish_fully(publish("t", payload.as_bytes(), qos, 1));
        }
        let largest = subscriber.expect_publish();
        assert_eq!(largest.payload.len(), room);
        subscriber.acknowledge(&largest);
        subscriber.take("small");
        subscriber.nothing();
    }
}

#[test]
fn what_the_broker_adds_counts_towards_the_size_too() {
    let weir = acme("");
    let mut subscriber = client_with(&weir, "c", &[Property::MaximumPacketSize(40)]);
    subscriber.subscribe_with(&[("t", at(Q0))], &[Property::SubscriptionIdentifier(300)]);
    let mut publisher = client(&weir, Version::V5, "publisher");
    let expiry = properties(&EXPIRY);
    // 2 + 3 + 1 + 3 for the identifier + 5 for the expiry = 14.
    for length in [26, 27] {
        publisher.publish_fully(publish_with("t", &"x".repeat(length), Q1, &expiry));
    }
    assert_eq!(subscriber.frame().len(), 40);
    subscriber.nothing();
}

#[test]
fn an_acknowledgement_leaves_out_its_reason_where_it_would_be_too_large_or_is_not_wanted() {
    let weir = acme("acl: [{ deny: all, topic: secret }]\n");
    let cases = [
        (vec![], false),
        (vec![Property::MaximumPacketSize(20)], true),
        (vec![Property::RequestProblemInformation(false)], true),
    ];
    for (asked, bare) in cases {
        let mut client = client_with(&weir, "c", &asked);
        client.publish("secret", b"m", Q1, 1);
        let puback = client.frame();
        assert_eq!((puback[0], puback[4]), (0x40, 0x87));
        assert_eq!(puback.len() == 5, bare, "{puback:02x?}");
        client.publish("secret", b"m", Q2, 2);
        let pubrec = client.frame();
        assert_eq!((pubrec[0], pubrec[4]), (0x50, 0x87));
        assert_eq!(pubrec.len() == 5, bare, "{pubrec:02x?}");
        let suback = client.try_subscribe(3, "secret", Q0);
        assert_eq!(suback.last(), Some(&0x87));
        assert_eq!(suback.len() == 6, bare, "{suback:02x?}");
    }
}

#[test]
fn a_packet_larger_than_the_broker_takes_ends_the_connection() {
    for (version, room) in [(Version::V4, 200 - 3 - 3), (Version::V5, 200 - 3 - 4)] {
        let weir = acme_on("{ max_packet_size: 200 }", "");
        let mut client = client(&weir, version, "c");
        client.subscribe("t", Q0);
        client.publish("t", &vec![b'x'; room], Q0, 0);
        assert_eq!(client.expect_publish().payload.len(), room);
        client.publish("t", &vec![b'x'; room + 1], Q0, 0);
        client.expect_end(0x95);
    }
}

#[test]
fn a_payload_that_is_not_the_text_it_claims_to_be_is_refused_where_the_plan_checks() {
    let text = properties(&[Property::PayloadFormatIndicator(1)]);
    for (plan, refused) in [("{}", false), ("{ check_payload_format: true }", true)] {
        let weir = acme_on(plan, "");
        let mut client = client(&weir, Version::V5, "c");
        for (payload, reason) in [(&b"text"[..], 0x10), (b"\xFF\xFE", if refused { 0x99 } else { 0x10 })] {
            let properties = text.as_properties();
            client.send(&Packet::Publish(Publish { properties, ..publish("t", payload, Q1, 1) }));
            assert_eq!(client.hear_reason(0x40, 1), reason);
        }
    }
}

#[test]
fn a_client_may_not_send_subscription_identifiers() {
    let weir = acme("");
    let mut client = client(&weir, Version::V5, "c");
    client.send_bytes(&[0x30, 6, 0, 1, b't', 2, 0x0B, 1]);
    client.expect_disconnect(0x82);
}

#[test]
fn a_receive_maximum_or_packet_size_of_0_is_refused_with_the_connect() {
    let weir = acme("");
    for zero in [&[3, 0x21, 0, 0][..], &[5, 0x27, 0, 0, 0, 0]] {
        let body = [b"\x00\x04MQTT\x05\x02\x00\x00", zero, b"\x00\x01c"].concat();
        let mut client = weir.raw();
        client.send_bytes(&[&[0x10, body.len() as u8], &body[..]].concat());
        let connack = client.frame();
        assert_eq!((connack[0], connack[3]), (0x20, 0x82), "{connack:02x?}");
        client.expect_closed();
    }
}
