//! The caps on what waits in a session, which Weir holds where the session is its own: with another backend what waits is there.

use weir::wire::{Connect, Version};

use super::common::{Client, Weir, connect};
use super::kit::{Q0, Q1, acme_on};

/// A client of a session that outlives its connections.
fn durable(client_id: &str) -> Connect<'_> {
    Connect { clean_start: false, ..connect(Version::V4, "t", client_id) }
}

/// A subscriber of `t` at QoS 1.
fn subscriber(weir: &Weir) -> Client {
    let mut client = weir.client(Version::V4, "t", "subscriber");
    client.subscribe("t", Q1);
    client
}

/// Publishes at QoS 1 and is acknowledged.
#[track_caller]
fn publish_is_served(client: &mut Client, topic: &str, payload: &[u8]) {
    client.publish(topic, payload, Q1, 1);
    client.expect(&[0x40, 2, 0, 1]);
}

/// The payloads of what is on its way to the client.
fn payloads(client: &mut Client) -> Vec<String> {
    client.deliveries().iter().map(|received| received.text().to_owned()).collect()
}

/// Leaves a durable session with a subscription to `t` behind.
fn absent_subscriber(weir: &mut Weir) {
    let mut subscriber = weir.connect(&durable("subscriber"));
    subscriber.subscribe("t", Q1);
    subscriber.disconnect();
}

#[test]
fn the_queue_of_an_absent_session_refuses_the_newest_past_its_caps() {
    // A message counts with its topic: some 15 bytes beside its payload, at most.
    for (cap, kept) in [("max_queued_messages: 3", 3), ("max_queued_bytes: 2300", 2), ("max_queued_messages: 0", 0)] {
        let mut weir = acme_on(&format!("{{ {cap} }}"), "");
        absent_subscriber(&mut weir);
        let mut publisher = weir.client(Version::V4, "t", "publisher");
        for number in 1..=5 {
            publish_is_served(&mut publisher, "t", format!("{number:01000}").as_bytes());
        }
        let mut subscriber = weir.connect(&durable("subscriber"));
        let numbers: Vec<u32> = payloads(&mut subscriber).iter().map(|text| text.parse().expect("digits")).collect();
        assert_eq!(numbers, (1..=kept).collect::<Vec<u32>>(), "with {cap}");
        // There is room again.
        if kept > 0 {
            publish_is_served(&mut publisher, "t", b"6");
            assert_eq!(payloads(&mut subscriber), ["6"]);
        }
    }
}

#[test]
fn the_queue_of_a_session_held_back_by_receive_refuses_the_newest_past_its_caps() {
    for cap in ["max_queued_messages: 2", "max_queued_bytes: 2300"] {
        let mut weir = acme_on(&format!("{{ receive: 1/min, {cap} }}"), "");
        let mut subscriber = subscriber(&weir);
        let mut publisher = weir.client(Version::V4, "t", "publisher");
        let mut received = Vec::new();
        for number in 1..=6 {
            publish_is_served(&mut publisher, "t", format!("{number:01000}").as_bytes());
            received.extend(payloads(&mut subscriber));
        }
        for minute in 46..50 {
            weir.clock(&format!("2026-11-21T12:{minute}:00Z"));
            received.extend(payloads(&mut subscriber));
        }
        let numbers: Vec<u32> = received.iter().map(|text| text.parse().expect("digits")).collect();
        assert_eq!(numbers, [1, 2, 3], "with {cap}");
    }
}

#[test]
fn a_full_queue_drops_its_newest_qos_0_messages_for_one_of_qos_1() {
    let weir = acme_on("{ max_queued_messages: 20 }", "");
    let mut subscriber = subscriber(&weir);
    let mut publisher = weir.client(Version::V4, "t", "publisher");
    // The subscriber does not read: some messages fill its socket, twenty its queue, and the rest find no room.
    socket2::SockRef::from(&subscriber.stream()).set_recv_buffer_size(64 * 1024).expect("a socket option");
    let message = |number: usize| format!("{number:04}").repeat(65_536);
    for number in 1..=100 {
        publisher.publish("t", message(number).as_bytes(), Q0, 0);
        publisher.expect_nothing();
    }
    for payload in ["first", "second", "third"] {
        publish_is_served(&mut publisher, "t", payload.as_bytes());
    }
    let mut received = Vec::new();
    while received.last().is_none_or(|last| last != "third") {
        received.push(subscriber.expect_publish().text().to_owned());
    }
    let at_qos_0 = received.len() - 3;
    assert_eq!(received[at_qos_0..], ["first", "second", "third"]);
    assert!((17..100).contains(&at_qos_0), "{at_qos_0} messages of QoS 0 arrived");
    for (at, text) in received[..at_qos_0].iter().enumerate() {
        assert_eq!(*text, message(at + 1), "only the newest were dropped");
    }
}
