//! What `on_exceed`, `disconnect_after` and `enforce` choose in place of the usual answer.

use weir::wire::{Connect, QoS, Version};

use super::common::backend::Backend;
use super::common::{Client, Weir, connect};
use super::expected;
use super::*;

/// The frame of a PUBLISH at QoS 1 in 3.1.1.
fn publish_frame(topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let topic_length = (topic.len() as u16).to_be_bytes();
    expected::frame(0x32, &[&topic_length, topic.as_bytes(), &packet_id.to_be_bytes(), payload])
}

/// Sends publishes in one piece: when the first is answered, all of them were read.
fn send_together(client: &mut Client, topic: &str, packet_ids: &[u16]) {
    let frames: Vec<u8> = packet_ids.iter().flat_map(|id| publish_frame(topic, *id, &id.to_be_bytes())).collect();
    client.send_bytes(&frames);
}

#[test]
fn under_pause_nothing_is_lost_and_nothing_is_sent_twice() {
    let mut weir = Weir::at(START, &on_plan("publish: 2/min, on_exceed: { publish: pause }"));
    let mut subscriber = subscriber(&weir, Version::V4, "a", "t", QoS::AtMostOnce);
    let mut publisher = weir.client(Version::V4, "b", "publisher");
    send_together(&mut publisher, "t", &[1, 2, 3, 4, 5]);
    publisher.expect(&[0x40, 2, 0, 1]);
    publisher.expect(&[0x40, 2, 0, 2]);
    weir.clock(LAST_MILLISECOND);
    assert_eq!(subscriber.deliveries().len(), 2, "others are served meanwhile");
    for (minute, two) in [(NEXT_MINUTE, &[3u8, 4][..]), ("2026-11-21T12:47:00Z", &[5])] {
        weir.clock(minute);
        for id in two {
            publisher.expect(&[0x40, 2, 0, *id]);
            assert_eq!(subscriber.expect_publish().payload, [0, *id]);
        }
        assert!(subscriber.deliveries().is_empty());
    }
    publisher.expect_nothing();
}

#[test]
fn keep_alive_is_suspended_by_a_pause_and_counts_again_after_it() {
    for version in [Version::V4, Version::V5] {
        // Only device `a` has a limit, so that others can write to it while it is paused.
        let devices = "a: { token: a, limits: { publish: 1/min } }, b: { token: b }";
        let mut weir = Weir::at(START, &with_devices("on_exceed: { publish: pause }", devices));
        let mut other = weir.client(version, "b", "other");
        let mut paused = weir.connect(&Connect { keep_alive: 10, ..connect(version, "a", "paused") });
        paused.subscribe("to/paused", QoS::AtMostOnce);
        match version {
            Version::V5 => paused.send_bytes(&[0x32, 6, 0, 1, b't', 0, 1, 0, 0x32, 6, 0, 1, b't', 0, 2, 0]),
            _ => send_together(&mut paused, "t", &[1, 2]),
        }
        let puback = paused.frame();
        assert!(puback == [0x40, 2, 0, 1] || puback == [0x40, 3, 0, 1, 0x10], "{puback:02x?}");

        // Silent for longer than 15 s, and at work all the same.
        weir.clock("2026-11-21T12:45:40Z");
        for _ in 0..2 {
            publish_and_wait(&mut other, "to/paused", b"");
            paused.expect_publish();
        }
        weir.clock(NEXT_MINUTE);
        assert_eq!(paused.frame()[2..4], [0, 2], "the second publish is acknowledged now");
        weir.clock("2026-11-21T12:46:14Z");
        paused.expect_nothing();
        weir.clock("2026-11-21T12:46:29Z");
        if version == Version::V5 {
            let why = expected::reason("nothing was heard for 1.5 times the keep-alive");
            paused.expect(&expected::frame(0xE0, &[&[0x8D], &why]));
        }
        paused.expect_closed();
        other.expect_nothing();
    }
}

#[test]
fn policy_drop_drops_deliveries_of_every_qos() {
    let mut weir = Weir::at(START, &on_plan("receive: 1/min, on_exceed: { receive: drop }"));
    let mut subscriber = subscriber(&weir, Version::V5, "a", "t", QoS::ExactlyOnce);
    let mut publisher = weir.client(Version::V5, "b", "publisher");
    publish_is_served(&mut publisher, "t", b"fits");
    publish_is_served(&mut publisher, "t", b"over at QoS 1");
    publish_and_wait(&mut publisher, "t", b"over at QoS 0");
    assert_eq!(payloads(&mut subscriber), ["fits"]);
    weir.clock(NEXT_MINUTE);
    assert!(payloads(&mut subscriber).is_empty());
    publish_is_served(&mut publisher, "t", b"next");
    assert_eq!(payloads(&mut subscriber), ["next"]);
}

#[test]
fn policy_disconnect_on_receive_keeps_what_is_owed_to_the_session() {
    for version in [Version::V4, Version::V5] {
        let mut weir = Weir::at(START, &on_plan("receive: 2/min, on_exceed: { receive: disconnect }"));
        let expiry = properties(&[weir::wire::Property::SessionExpiryInterval(600)]);
        let session = match version {
            Version::V5 => Connect {
                clean_start: false,
                properties: expiry.as_properties(),
                ..connect(version, "a", "subscriber")
            },
            _ => durable("a", "subscriber"),
        };
        let mut subscriber = weir.connect(&session);
        subscriber.subscribe("t", QoS::AtLeastOnce);
        let mut publisher = weir.client(version, "b", "publisher");
        for payload in [b"1", b"2", b"3", b"4"] {
            publish_is_served(&mut publisher, "t", payload);
        }
        for payload in ["1", "2"] {
            let received = subscriber.expect_publish();
            assert_eq!(received.text(), payload);
        }
        if version == Version::V5 {
            subscriber.expect(&expected::disconnect((51, "receive", "2/min")));
        }
        subscriber.expect_closed();

        weir.clock(NEXT_MINUTE);
        let mut subscriber = weir.connect(&session);
        // Sent again first, which is not counted again; then what was owed, in order.
        for (payload, sent_before) in [("1", true), ("2", true), ("3", false), ("4", false)] {
            let received = subscriber.expect_publish();
            assert_eq!(received.text(), payload);
            // A backend has sent all of them once, as far as it knows.
            assert!(received.dup == sent_before || (received.dup && Backend::of_this_test() != Backend::Native));
        }
        subscriber.expect_nothing();
    }
}

#[test]
fn denials_are_counted_towards_disconnect_after_in_each_window_anew() {
    let mut weir = Weir::at(START, &on_plan("publish: 0/min, disconnect_after: 3"));
    let mut client = weir.client(Version::V5, "a", "client");
    for (minute, seconds) in [(START, 51), (NEXT_MINUTE, 60), ("2026-11-21T12:47:00Z", 60)] {
        weir.clock(minute);
        for _ in 0..2 {
            publish_is_denied(&mut client, "t", b"", (seconds, "publish", "0/min"));
        }
    }
    publish_is_denied(&mut client, "t", b"", (60, "publish", "0/min"));
    client.expect(&expected::disconnect((60, "publish", "0/min")));
    client.expect_closed();
}

#[test]
fn a_plan_that_is_not_enforced_denies_nothing_and_counts_all() {
    let plan = "connect: 1/min, publish: 1/min, receive: 1/min, subscribe: 1/min, per_device: { publish: 1/min }";
    let mut weir = Weir::at(START, &on_plan(&format!("{plan}, enforce: false, disconnect_after: 1")));
    let mut subscriber = subscriber(&weir, Version::V5, "a", "t", QoS::AtLeastOnce);
    subscriber.subscribe("u", QoS::AtLeastOnce);
    let mut publisher = weir.client(Version::V5, "b", "publisher");
    for payload in ["1", "2", "3"] {
        publish_is_served(&mut publisher, "t", payload.as_bytes());
        assert_eq!(payloads(&mut subscriber), [payload]);
    }
    // Once it is enforced, what was counted in this minute holds.
    weir.reload(&on_plan(plan));
    publish_is_denied(&mut publisher, "t", b"", (51, "publish", "1/min"));
    let (_, connack) = weir.try_connect(&connect(Version::V5, "c", "another"));
    assert_eq!(connack, expected::connack((51, "connect", "1/min")));
    let suback = subscriber.try_subscribe(7, "v", QoS::AtMostOnce);
    assert_eq!(suback, expected::suback(7, &expected::reasons((51, "subscribe", "1/min")), &[0x97]));
}
