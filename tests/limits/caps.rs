//! The caps of a plan, beside its rates: what holds over each, what the client is told, and that there is room again.

use weir::wire::{Connect, Packet, Property, Publish, QoS, Version};

use super::common::{Client, Weir, connect, publish};
use super::expected;
use super::*;

/// Publishes a retained message at QoS 1; the PUBACK. Some backends do not say that nobody has subscribed to it.
fn retain(client: &mut Client, topic: &str, payload: &[u8]) -> Vec<u8> {
    client.send(&Packet::Publish(Publish { retain: true, ..publish(topic, payload, QoS::AtLeastOnce, 1) }));
    let puback = client.frame();
    if puback == [0x40, 2, 0, 1] { PUBACK.to_vec() } else { puback }
}

/// PUBACK 0x97 with this cap in its reason.
fn puback_over(reason: &str) -> Vec<u8> {
    expected::ack(0x40, 1, &expected::reason(reason))
}

/// PUBACK for a message that nobody has subscribed to.
const PUBACK: [u8; 5] = [0x40, 3, 0, 1, 0x10];

#[test]
fn max_connections_refuses_one_more_until_one_is_gone() {
    for version in VERSIONS {
        let weir = Weir::at(START, &on_plan("max_connections: 2"));
        let first = weir.client(version, "a", "first");
        let _second = weir.client(version, "a", "second");
        let (mut third, connack) = weir.try_connect(&connect(version, "b", "third"));
        match version {
            Version::V5 => {
                let reason = expected::reason("max_connections is reached (2)");
                assert_eq!(connack, expected::frame(0x20, &[&[0, 0x97], &reason]));
            }
            _ => assert_eq!(connack, [0x20, 2, 0, 3]),
        }
        third.expect_closed();
        // Another profile has its own; and a client may always take its own place.
        weir.client(version, "x", "first");
        let _second = weir.client(version, "a", "second");
        first.disconnect();
        weir.client(version, "b", "third");
    }
}

#[test]
fn max_subscriptions_is_a_cap_of_each_client() {
    for version in VERSIONS {
        let weir = Weir::at(START, &on_plan("max_subscriptions: 2"));
        let mut client = weir.client(version, "a", "client");
        let four = [("x", QoS::AtMostOnce), ("y", QoS::AtLeastOnce), ("z", QoS::AtMostOnce), ("x", QoS::ExactlyOnce)];
        client.send_subscribe(7, filters(&four).as_filters());
        match version {
            Version::V5 => {
                let reason = expected::reason("max_subscriptions is reached");
                client.expect(&expected::suback(7, &reason, &[0, 1, 0x97, 2]));
            }
            _ => client.expect(&[0x90, 6, 0, 7, 0, 1, 0x80, 2]),
        }
        client.send_bytes(match version {
            Version::V5 => &[0xA2, 6, 0, 8, 0, 0, 1, b'x'],
            _ => &[0xA2, 5, 0, 8, 0, 1, b'x'],
        });
        assert_eq!(client.frame()[0], 0xB0);
        client.subscribe("z", QoS::AtMostOnce);
        weir.client(version, "a", "another").subscribe("z", QoS::AtMostOnce);
    }
}

#[test]
fn max_retained_messages_is_a_cap_of_the_profile() {
    let weir = Weir::at(START, &on_plan("max_retained_messages: 2"));
    let mut client = weir.client(Version::V5, "a", "client");
    assert_eq!(retain(&mut client, "1", b"x"), PUBACK);
    assert_eq!(retain(&mut client, "2", b"x"), PUBACK);
    let mut another = weir.client(Version::V5, "b", "another");
    let over = puback_over("max_retained_messages is reached");
    assert_eq!(retain(&mut another, "3", b"x"), over);
    // In place of another, and of none, there is room.
    assert_eq!(retain(&mut another, "2", b"y"), PUBACK);
    assert_eq!(retain(&mut another, "1", b""), PUBACK);
    assert_eq!(retain(&mut another, "3", b"x"), PUBACK);
    assert_eq!(retain(&mut another, "1", b"x"), over);
    let mut reader = subscriber(&weir, Version::V5, "a", "#", QoS::AtMostOnce);
    assert_eq!(payloads(&mut reader), ["y", "x"]);
    assert_eq!(retain(&mut weir.client(Version::V5, "x", "stranger"), "1", b"x"), PUBACK);
}

#[test]
fn max_retained_bytes_is_a_cap_of_the_profile() {
    let weir = Weir::at(START, &on_plan("max_retained_bytes: 250"));
    let mut client = weir.client(Version::V5, "a", "client");
    let over = puback_over("max_retained_bytes is reached");
    assert_eq!(retain(&mut client, "1", &[b'x'; 100]), PUBACK);
    assert_eq!(retain(&mut client, "2", &[b'x'; 100]), PUBACK);
    assert_eq!(retain(&mut client, "3", &[b'x'; 100]), over);
    assert_eq!(retain(&mut client, "2", &[b'y'; 200]), over);
    assert_eq!(retain(&mut client, "1", b""), PUBACK);
    assert_eq!(retain(&mut client, "2", &[b'y'; 200]), PUBACK);
}

#[test]
fn max_packet_size_of_the_plan_is_announced_and_held() {
    let fits = [b'x'; 118];
    for version in VERSIONS {
        let weir = Weir::at(START, &on_plan("max_packet_size: 128"));
        let (mut client, connack) = weir.try_connect(&connect(version, "a", "client"));
        if version == Version::V5 {
            let announced = [0x27, 0, 0, 0, 128];
            assert!(connack.windows(5).any(|bytes| bytes == announced), "{connack:02x?}");
        }
        publish_is_served(&mut client, "t", &fits);
        client.publish("t", &[b'x'; 130], QoS::AtLeastOnce, 1);
        if version == Version::V5 {
            let disconnect = client.frame();
            assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x95), "Packet too large: {disconnect:02x?}");
        }
        client.expect_closed();
    }
}

#[test]
fn max_inflight_bounds_what_is_unacknowledged() {
    for version in VERSIONS {
        let weir = Weir::at(START, &on_plan("max_inflight: 2"));
        let mut subscriber = subscriber(&weir, version, "a", "t", QoS::AtLeastOnce);
        let mut publisher = weir.client(version, "b", "publisher");
        for payload in ["1", "2", "3", "4"] {
            publish_is_served(&mut publisher, "t", payload.as_bytes());
        }
        let first = subscriber.deliveries();
        assert_eq!(first.iter().map(Received::text).collect::<Vec<_>>(), ["1", "2"]);
        for (received, next) in first.iter().zip(["3", "4"]) {
            let [high, low] = received.packet_id.to_be_bytes();
            subscriber.send_bytes(&[0x40, 2, high, low]);
            assert_eq!(payloads(&mut subscriber), [next]);
        }
    }
}

#[test]
fn max_topic_levels_holds_for_topics_and_filters() {
    let weir = Weir::at(START, &on_plan("max_topic_levels: 3"));
    let mut client = weir.client(Version::V5, "a", "client");
    let reason = "max_topic_levels is exceeded";
    publish_is_served(&mut client, "a/b/c", b"");
    client.publish("a/b/c/d", b"", QoS::AtLeastOnce, 1);
    client.expect(&puback_over(reason));
    client.send_subscribe(7, filters(&[("a/+/#", QoS::AtMostOnce), ("a/b/c/#", QoS::AtMostOnce)]).as_filters());
    client.expect(&expected::suback(7, &expected::reason(reason), &[0, 0x97]));
    // 3.1.1 has no word for it.
    let mut old = weir.client(Version::V4, "a", "old");
    old.send_subscribe(7, filters(&[("a/b/c/#", QoS::AtMostOnce)]).as_filters());
    old.expect(&[0x90, 3, 0, 7, 0x80]);
    old.publish("a/b/c/d", b"", QoS::AtLeastOnce, 1);
    old.expect_closed();
}

#[test]
fn max_session_expiry_shortens_the_life_of_an_absent_session() {
    let expiry = properties(&[Property::SessionExpiryInterval(3600)]);
    let v5 = Connect { clean_start: false, properties: expiry.as_properties(), ..connect(Version::V5, "a", "client") };
    for session in [v5, durable("a", "client")] {
        let mut weir = Weir::at(START, &on_plan("max_session_expiry: 60s"));
        let (client, connack) = weir.try_connect(&session);
        if session.version == Version::V5 {
            assert!(connack.windows(5).any(|bytes| bytes == [0x11, 0, 0, 0, 60]), "{connack:02x?}");
        }
        client.disconnect();
        for (away, session_present) in [("+59s", 1), ("+60s", 0)] {
            weir.clock(away);
            let (client, connack) = weir.try_connect(&session);
            assert_eq!(connack[2], session_present, "back after {away}");
            client.disconnect();
        }
    }
}
