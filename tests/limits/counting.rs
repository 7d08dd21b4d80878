//! What counts, how often, and for whom: devices beside their profile, bytes beside packets, what is sent again, what is
//! retained, fan-out copies and wills.

use weir::wire::{Connect, QoS, Version};

use super::common::{Client, Weir, connect, publish};
use super::expected;
use super::*;

#[test]
fn what_the_device_denies_is_not_counted_in_the_profile() {
    let devices = "a: { token: a, limits: { publish: 1/min } }, b: { token: b }";
    let weir = Weir::at(START, &with_devices("publish: 3/min", devices));
    let mut limited = weir.client(Version::V5, "a", "limited");
    let mut other = weir.client(Version::V5, "b", "other");
    publish_is_served(&mut limited, "t", b"");
    for _ in 0..5 {
        publish_is_denied(&mut limited, "t", b"", (51, "publish", "1/min"));
    }
    publish_is_served(&mut other, "t", b"");
    publish_is_served(&mut other, "t", b"");
    publish_is_denied(&mut other, "t", b"", (51, "publish", "3/min"));
}

#[test]
fn what_the_profile_denies_is_not_counted_in_the_device() {
    let devices = "a: { token: a, limits: { publish: 2/min } }, b: { token: b }";
    let mut weir = Weir::at(START, &with_devices("publish: 1/s", devices));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t", b"");
    for _ in 0..5 {
        publish_is_denied(&mut client, "t", b"", (1, "publish", "1/s"));
    }
    weir.clock("2026-11-21T12:45:10Z");
    publish_is_served(&mut client, "t", b"");
    weir.clock("2026-11-21T12:45:11Z");
    publish_is_denied(&mut client, "t", b"", (49, "publish", "2/min"));
}

#[test]
fn each_device_has_the_per_device_rate_for_all_its_clients_unless_it_has_its_own() {
    let devices = "a: { token: a }, b: { token: b, limits: { publish: 2/min } }";
    let weir = Weir::at(START, &with_devices("publish: 100/min, per_device: { publish: 1/min }", devices));
    for (token, fits, limit) in [("a", 1, "1/min"), ("b", 2, "2/min"), ("c", 1, "1/min")] {
        for _ in 0..fits {
            publish_is_served(&mut weir.client(Version::V5, token, "one"), "t", b"");
        }
        publish_is_denied(&mut weir.client(Version::V5, token, "two"), "t", b"", (51, "publish", limit));
    }
}

#[test]
fn a_device_can_have_rates_of_every_kind() {
    let limits = "limits: { connect: 2/min, receive: 1/min, subscribe: 1/min, publish_bytes: 3/min }";
    let weir = Weir::at(START, &with_devices("", &format!("a: {{ token: a, {limits} }}, b: {{ token: b }}")));
    let mut client = weir.client(Version::V5, "a", "one");
    client.subscribe("t", QoS::AtMostOnce);
    let suback = client.try_subscribe(7, "u", QoS::AtMostOnce);
    assert_eq!(suback, expected::suback(7, &expected::reasons((51, "subscribe", "1/min")), &[0x97]));
    publish_is_denied(&mut client, "u", b"long", (51, "publish_bytes", "3/min"));
    let mut other = weir.client(Version::V5, "b", "other");
    publish_and_wait(&mut other, "t", b"long");
    publish_and_wait(&mut other, "t", b"over");
    assert_eq!(payloads(&mut client), ["long"]);
    weir.client(Version::V5, "a", "two");
    let (_, connack) = weir.try_connect(&connect(Version::V5, "a", "three"));
    assert_eq!(connack, expected::connack((51, "connect", "2/min")));
}

#[test]
fn publish_bytes_counts_payloads_and_takes_what_still_fits() {
    let mut weir = Weir::at(START, &on_plan("publish: 4/min, publish_bytes: 10/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "a/long/topic/counts/nothing", b"123456");
    publish_is_denied(&mut client, "t", b"12345", (51, "publish_bytes", "10/min"));
    publish_is_served(&mut client, "t", b"1234");
    publish_is_denied(&mut client, "t", b"1", (51, "publish_bytes", "10/min"));
    // Of those over the bytes, none was counted as a publish.
    publish_is_served(&mut client, "t", b"");
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "4/min"));
    weir.clock(NEXT_MINUTE);
    publish_is_served(&mut client, "t", b"1234567890");
    publish_is_denied(&mut client, "t", b"12345678901", (60, "publish_bytes", "10/min"));
}

#[test]
fn receive_bytes_drops_at_qos_0_and_holds_back_at_qos_1() {
    let plan = on_plan("receive_bytes: 10/min");
    for (qos, first, then) in [
        (QoS::AtMostOnce, &["123456", "1234"][..], &[][..]),
        // What comes behind the one that waits must not overtake it.
        (QoS::AtLeastOnce, &["123456"][..], &["12345", "1234"][..]),
    ] {
        let mut weir = Weir::at(START, &plan);
        let mut subscriber = subscriber(&weir, Version::V4, "a", "t", qos);
        let mut publisher = weir.client(Version::V4, "b", "publisher");
        for payload in ["123456", "12345", "1234"] {
            publish_is_served(&mut publisher, "t", payload.as_bytes());
        }
        assert_eq!(payloads(&mut subscriber), first);
        weir.clock(NEXT_MINUTE);
        assert_eq!(payloads(&mut subscriber), then);
    }
}

#[test]
fn a_subscribe_packet_counts_once_whatever_the_number_of_its_filters() {
    let weir = Weir::at(START, &on_plan("subscribe: 2/min"));
    let mut client = weir.client(Version::V4, "a", "client");
    let three = filters(&[("x", QoS::AtMostOnce), ("y", QoS::AtMostOnce), ("z", QoS::AtMostOnce)]);
    for answer in [[0, 0, 0], [0, 0, 0], [0x80, 0x80, 0x80]] {
        client.send_subscribe(7, three.as_filters());
        client.expect(&[&[0x90, 5, 0, 7][..], &answer].concat());
    }
}

#[test]
fn a_connect_with_bad_credentials_is_not_counted() {
    let weir = Weir::at(START, &on_plan("connect: 1/min"));
    for _ in 0..3 {
        let (_, connack) = weir.try_connect(&connect(Version::V4, "wrong", "client"));
        assert_eq!(connack, [0x20, 2, 0, 4]);
    }
    weir.client(Version::V4, "a", "client");
    let (_, connack) = weir.try_connect(&connect(Version::V4, "a", "client"));
    assert_eq!(connack, [0x20, 2, 0, 3]);
}

#[test]
fn a_qos_2_message_sent_again_while_its_packet_id_is_open_is_not_a_second_publish() {
    let weir = Weir::at(START, &on_plan("publish: 2/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    client.publish("t", b"once", QoS::ExactlyOnce, 1);
    // With or without the reason that no one has subscribed.
    let pubrec = client.frame();
    assert!(pubrec == [0x50, 2, 0, 1] || pubrec == [0x50, 3, 0, 1, 0x10], "{pubrec:02x?}");
    for _ in 0..3 {
        let again = publish("t", b"once", QoS::ExactlyOnce, 1);
        client.send(&weir::wire::Packet::Publish(weir::wire::Publish { dup: true, ..again }));
        client.expect(&[0x50, 2, 0, 1]);
    }
    client.send_bytes(&[0x62, 2, 0, 1]);
    client.expect(&[0x70, 2, 0, 1]);
    // Once it is released, the packet id stands for another message.
    client.publish("t", b"twice", QoS::ExactlyOnce, 1);
    let pubrec = client.frame();
    assert!(pubrec == [0x50, 2, 0, 1] || pubrec == [0x50, 3, 0, 1, 0x10], "{pubrec:02x?}");
    client.publish("t", b"over", QoS::ExactlyOnce, 2);
    client.expect(&expected::ack(0x50, 2, &expected::reasons((51, "publish", "2/min"))));
}

#[test]
fn a_redelivery_is_not_a_second_receive() {
    let weir = Weir::at(START, &on_plan("receive: 2/min"));
    let mut subscriber = weir.connect(&durable("a", "subscriber"));
    subscriber.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = weir.client(Version::V4, "b", "publisher");
    publish_is_served(&mut publisher, "t", b"1");
    assert_eq!(subscriber.expect_publish().text(), "1");
    for _ in 0..3 {
        subscriber.vanish();
        subscriber = weir.connect(&durable("a", "subscriber"));
        let again = subscriber.expect_publish();
        assert_eq!((again.text(), again.dup), ("1", true));
    }
    publish_is_served(&mut publisher, "t", b"2");
    publish_is_served(&mut publisher, "t", b"3");
    assert_eq!(payloads(&mut subscriber), ["2"]);
}

#[test]
fn retained_messages_count_as_receive() {
    let mut weir = Weir::at(START, &on_plan("receive: 3/min"));
    let mut publisher = weir.client(Version::V4, "b", "publisher");
    for topic in ["r/1", "r/2", "r/3", "r/4"] {
        let retained = publish(topic, topic.as_bytes(), QoS::AtLeastOnce, 1);
        publisher.send(&weir::wire::Packet::Publish(weir::wire::Publish { retain: true, ..retained }));
        publisher.expect(&[0x40, 2, 0, 1]);
    }
    let mut subscriber = subscriber(&weir, Version::V4, "a", "r/#", QoS::AtLeastOnce);
    assert_eq!(payloads(&mut subscriber), ["r/1", "r/2", "r/3"]);
    weir.clock(NEXT_MINUTE);
    assert_eq!(subscriber.expect_publish().text(), "r/4");
}

#[test]
fn each_copy_of_a_fan_out_counts_as_receive() {
    let weir = Weir::at(START, &on_plan("receive: 3/min"));
    let mut subscribers: Vec<Client> = ["1", "2"].map(|id| weir.client(Version::V4, "a", id)).into();
    subscribers.iter_mut().for_each(|client| client.subscribe("t", QoS::AtMostOnce));
    let mut publisher = weir.client(Version::V4, "b", "publisher");
    publish_and_wait(&mut publisher, "t", b"to both");
    for subscriber in &mut subscribers {
        assert_eq!(payloads(subscriber), ["to both"]);
    }
    publish_and_wait(&mut publisher, "t", b"to one of them");
    let received: usize = subscribers.iter_mut().map(|subscriber| payloads(subscriber).len()).sum();
    assert_eq!(received, 1);
}

/// The client is gone without a DISCONNECT, and when this returns, what became of its will is decided: a connection with
/// the same client identifier waits for that.
fn vanish(weir: &mut Weir, client: Client) {
    client.vanish();
    weir.wait_for_log("disconnected");
    weir.client(Version::V4, "c", "mortal");
}

#[test]
fn a_will_counts_as_a_publish() {
    let mut weir = Weir::at(START, &on_plan("publish: 1/min"));
    let mut subscriber = subscriber(&weir, Version::V4, "a", "will", QoS::AtMostOnce);
    let mortal = Connect { will: Some(will("will", b"fits", QoS::AtMostOnce)), ..connect(Version::V4, "c", "mortal") };
    let client = weir.connect(&mortal);
    vanish(&mut weir, client);
    assert_eq!(payloads(&mut subscriber), ["fits"]);
    let mut publisher = weir.client(Version::V5, "b", "publisher");
    publish_is_denied(&mut publisher, "t", b"", (51, "publish", "1/min"));
}

#[test]
fn a_will_over_the_limit_is_dropped_at_qos_0_and_published_in_the_next_window_at_qos_1_and_2() {
    for (qos, published) in
        [(QoS::AtMostOnce, &[][..]), (QoS::AtLeastOnce, &["late"][..]), (QoS::ExactlyOnce, &["late"][..])]
    {
        let mut weir = Weir::at(START, &on_plan("publish: 1/min"));
        let mut subscriber = subscriber(&weir, Version::V4, "a", "will", QoS::AtMostOnce);
        publish_and_wait(&mut weir.client(Version::V4, "b", "publisher"), "t", b"used up");
        weir.wait_for_log("disconnected");
        let mortal = Connect { will: Some(will("will", b"late", qos)), ..connect(Version::V4, "c", "mortal") };
        let client = weir.connect(&mortal);
        vanish(&mut weir, client);
        weir.clock(LAST_MILLISECOND);
        assert!(payloads(&mut subscriber).is_empty());
        weir.clock(NEXT_MINUTE);
        for payload in published {
            assert_eq!(subscriber.expect_publish().text(), *payload);
        }
        assert!(payloads(&mut subscriber).is_empty());
    }
}

#[test]
fn a_will_that_waits_for_the_next_window_is_published_although_its_client_is_back() {
    let mut weir = Weir::at(START, &on_plan("publish: 1/min"));
    let mut subscriber = subscriber(&weir, Version::V4, "a", "will", QoS::AtMostOnce);
    publish_and_wait(&mut weir.client(Version::V4, "b", "publisher"), "t", b"used up");
    weir.wait_for_log("disconnected");
    let mortal = Connect { will: Some(will("will", b"late", QoS::AtLeastOnce)), ..durable("c", "mortal") };
    weir.connect(&mortal).vanish();
    weir.wait_for_log("disconnected");
    let _back = weir.connect(&durable("c", "mortal"));
    assert!(payloads(&mut subscriber).is_empty());
    weir.clock(NEXT_MINUTE);
    assert_eq!(subscriber.expect_publish().text(), "late");
}
