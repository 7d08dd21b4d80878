//! Many messages through a small Receive Maximum: none is lost, none comes twice, the order of each topic is kept, and never
//! are more open than the client allows (section 4.9). And what the broker itself allows a client to have open.

use std::collections::HashMap;

use weir::wire::{Packet, Property, Publish, Version};

use crate::common::{Received, publish};
use crate::kit::{PUBACK, PUBCOMP, PUBREC, PUBREL, Q0, Q1, Q2, QOS, acme, acme_on, client, client_with, lose, resume};

const MANY: usize = 5_000;

#[test]
fn a_burst_of_mixed_qos_through_a_receive_maximum_of_10_loses_nothing_and_keeps_each_topics_order() {
    let weir = acme("");
    let mut subscriber = client_with(&weir, "subscriber", &[Property::ReceiveMaximum(10)]);
    subscriber.subscribe("burst/+", Q2);
    let mut publisher = client(&weir, Version::V4, "publisher");
    let burst = std::thread::spawn(move || {
        for n in 0..MANY {
            let topic = format!("burst/{}", n % 4);
            publisher.publish(&topic, n.to_string().as_bytes(), QOS[n % 3], n as u16 + 1);
        }
        for n in (0..MANY).filter(|n| n % 3 > 0) {
            publisher.hear(if n % 3 == 1 { PUBACK } else { PUBREC }, n as u16 + 1);
        }
    });
    let all = subscriber.take_many(MANY, 10);
    burst.join().unwrap();
    subscriber.nothing();

    assert_eq!(all.len(), MANY);
    let mut latest: HashMap<(String, u8), usize> = HashMap::new();
    let mut seen = vec![false; MANY];
    for received in &all {
        let n: usize = received.text().parse().unwrap();
        assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
        assert_eq!((received.qos, received.dup), (QOS[n % 3], false));
        let before = latest.insert((received.topic.clone(), received.qos as u8), n);
        assert!(before.is_none_or(|before| before < n), "{n} came after {before:?} on {}", received.topic);
    }
}

#[test]
fn thousands_of_retained_messages_all_arrive_at_a_subscriber_with_a_receive_maximum_of_20() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    for n in 0..MANY {
        let topic = format!("kept/{}/{n}", n % 7);
        publisher.send(&Packet::Publish(Publish { retain: true, ..publish(&topic, b"m", Q1, n as u16 + 1) }));
    }
    (0..MANY).for_each(|n| publisher.hear(PUBACK, n as u16 + 1));
    let mut subscriber = client_with(&weir, "subscriber", &[Property::ReceiveMaximum(20)]);
    subscriber.subscribe("#", Q1);
    let all = subscriber.take_many(MANY, 20);
    subscriber.nothing();
    let mut topics: Vec<&str> = all.iter().map(|received| received.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!((all.len(), topics.len()), (MANY, MANY));
    assert!(all.iter().all(|received| received.retain));
}

#[test]
fn no_more_than_the_clients_receive_maximum_is_open_and_each_end_of_an_exchange_lets_one_more_through() {
    let weir = acme("");
    let mut subscriber = client_with(&weir, "subscriber", &[Property::ReceiveMaximum(2)]);
    subscriber.subscribe("t", Q2);
    let mut publisher = client(&weir, Version::V5, "publisher");
    for (n, qos) in [Q1, Q2, Q1, Q2, Q1].into_iter().enumerate() {
        publisher.publish_fully(publish("t", n.to_string().as_bytes(), qos, 1));
    }
    let open: [Received; 2] = [subscriber.expect_publish(), subscriber.expect_publish()];
    subscriber.nothing();
    // QoS 0 needs no quota.
    publisher.publish("t", b"at once", Q0, 0);
    assert_eq!(subscriber.expect_publish().text(), "at once");
    subscriber.say(PUBACK, open[0].packet_id);
    assert_eq!(subscriber.take("2").qos, Q1);
    assert_eq!(subscriber.expect_publish().text(), "3");
    // PUBREC is not the end; PUBCOMP is.
    subscriber.say(PUBREC, open[1].packet_id);
    subscriber.hear(PUBREL, open[1].packet_id);
    subscriber.nothing();
    subscriber.say(PUBCOMP, open[1].packet_id);
    subscriber.take("4");
}

#[test]
fn max_inflight_bounds_every_version_and_the_plans_comes_before_the_brokers() {
    let cases = [
        ("{}", "mqtt: { max_inflight: 2 }", Version::V3),
        ("{}", "mqtt: { max_inflight: 2 }", Version::V4),
        ("{ max_inflight: 2 }", "mqtt: { max_inflight: 5 }", Version::V5),
    ];
    for (plan, mqtt, version) in cases {
        let weir = acme_on(plan, mqtt);
        let mut subscriber = client(&weir, version, "subscriber");
        subscriber.subscribe("t", Q1);
        let mut publisher = client(&weir, version, "publisher");
        ["1", "2", "3"].iter().for_each(|text| publisher.tell("t", text));
        let first = subscriber.expect_publish();
        assert_eq!(subscriber.expect_publish().text(), "2");
        subscriber.nothing();
        subscriber.acknowledge(&first);
        subscriber.take("3");
    }
}

#[test]
fn a_client_with_more_qos_2_messages_open_than_receive_maximum_is_disconnected() {
    let weir = acme("mqtt: { receive_maximum: 3 }\n");
    let mut publisher = client(&weir, Version::V5, "publisher");
    for id in 1..=3 {
        publisher.publish("t", b"m", Q2, id);
        publisher.hear_reason(PUBREC, id);
    }
    // Sending one of them again opens nothing; releasing one makes room.
    publisher.publish("t", b"m", Q2, 3);
    publisher.hear(PUBREC, 3);
    publisher.say(PUBREL, 1);
    publisher.hear(PUBCOMP, 1);
    publisher.publish("t", b"m", Q2, 4);
    publisher.hear_reason(PUBREC, 4);
    publisher.publish("t", b"m", Q2, 5);
    publisher.expect_disconnect(0x93);
}

#[test]
fn what_was_left_open_on_an_earlier_connection_does_not_count_against_the_receive_maximum_of_this_one() {
    let mut weir = acme("mqtt: { receive_maximum: 2 }\n");
    let (mut publisher, _) = resume(&weir, Version::V5, "publisher");
    for id in 1..=2 {
        publisher.publish("t", b"m", Q2, id);
        publisher.hear_reason(PUBREC, id);
    }
    lose(&mut weir, publisher, "publisher");
    let (mut publisher, _) = resume(&weir, Version::V5, "publisher");
    for id in 3..=4 {
        publisher.publish("t", b"m", Q2, id);
        publisher.hear_reason(PUBREC, id);
    }
    publisher.say(PUBREL, 1);
    publisher.hear(PUBCOMP, 1);
    publisher.publish("t", b"m", Q2, 5);
    publisher.expect_disconnect(0x93);
}
