//! Retained messages: what is kept, what a new subscription brings, and for how long (sections 3.3.1.3 and 3.8.3.1).

use weir::wire::{Packet, Property, Publish, QoS, RetainHandling, SubscriptionOptions, Version};

use crate::common::{Client, publish};
use crate::kit::{Q0, Q1, Q2, VERSIONS, acme, acme_on, at, client, lose, properties, resume, with_properties};

fn retain(client: &mut Client, topic: &str, text: &str, qos: QoS) {
    client.publish_fully(Publish { retain: true, ..publish(topic, text.as_bytes(), qos, 1) });
}

#[test]
fn the_last_retained_message_of_a_topic_is_sent_to_new_subscribers_with_the_retain_flag() {
    for version in VERSIONS {
        let weir = acme("");
        let mut publisher = client(&weir, version, "publisher");
        retain(&mut publisher, "t", "old", Q1);
        retain(&mut publisher, "t", "new", Q1);
        publisher.tell("t", "not retained: it replaces nothing [MQTT-3.3.1-8]");
        let mut subscriber = client(&weir, version, "subscriber");
        subscriber.subscribe("t", Q1);
        let received = subscriber.take("new");
        assert_eq!((received.retain, received.dup, received.topic.as_str()), (true, false, "t"));
        subscriber.nothing();
    }
}

#[test]
fn a_retained_message_outlives_its_publisher() {
    let mut weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    retain(&mut publisher, "t", "m", Q1);
    lose(&mut weir, publisher, "publisher");
    let mut subscriber = client(&weir, Version::V4, "subscriber");
    subscriber.subscribe("t", Q1);
    subscriber.take("m");
}

#[test]
fn those_who_subscribe_already_get_it_as_any_message_without_the_flag() {
    for version in VERSIONS {
        let weir = acme("");
        let mut subscriber = client(&weir, version, "subscriber");
        subscriber.subscribe("t", Q1);
        retain(&mut client(&weir, version, "publisher"), "t", "m", Q1);
        assert!(!subscriber.take("m").retain, "[MQTT-3.3.1-12]");
    }
}

#[test]
fn an_empty_payload_removes_the_retained_message_and_is_itself_delivered_but_not_kept() {
    for version in VERSIONS {
        let weir = acme("");
        let mut publisher = client(&weir, version, "publisher");
        let mut before = client(&weir, version, "before");
        retain(&mut publisher, "t", "m", Q1);
        before.subscribe("t", Q1);
        before.take("m");
        retain(&mut publisher, "t", "", Q0);
        before.take("");
        let mut after = client(&weir, version, "after");
        after.subscribe("t", Q1);
        after.nothing();
        retain(&mut publisher, "t", "back again", Q1);
        after.take("back again");
    }
}

#[test]
fn it_comes_at_the_lower_qos_of_message_and_subscription() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    for (topic, qos) in [("t/0", Q0), ("t/1", Q1), ("t/2", Q2)] {
        retain(&mut publisher, topic, "m", qos);
    }
    for granted in [Q0, Q1, Q2] {
        let mut subscriber = client(&weir, Version::V4, "subscriber");
        subscriber.subscribe("t/+", granted);
        let mut came: Vec<(String, QoS)> = (0..3).map(|_| subscriber.take("m")).map(|r| (r.topic, r.qos)).collect();
        came.sort();
        let expected = [("t/0", Q0), ("t/1", Q1), ("t/2", Q2)].map(|(t, qos)| (t.to_owned(), qos.min(granted)));
        assert_eq!(came, expected);
    }
}

#[test]
fn a_filter_with_wildcards_brings_all_that_it_matches_and_no_more() {
    let topics = ["a", "a/b", "a/b/c", "a/c", "a//c", "b", "b/b", "/", "/a", "$x", "$x/b"];
    let cases: [(&str, &[&str]); 10] = [
        ("#", &["a", "a/b", "a/b/c", "a/c", "a//c", "b", "b/b", "/", "/a"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/c", "a//c"]),
        ("+", &["a", "b"]),
        ("+/b", &["a/b", "b/b"]),
        ("+/+", &["a/b", "a/c", "b/b", "/", "/a"]),
        ("a/+/c", &["a/b/c", "a//c"]),
        ("/#", &["/", "/a"]),
        ("$x/#", &["$x", "$x/b"]),
        ("a/b", &["a/b"]),
        ("a/b/+/d", &[]),
    ];
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    topics.iter().for_each(|topic| retain(&mut publisher, topic, "m", Q1));
    for (filter, expected) in cases {
        let mut subscriber = client(&weir, Version::V4, "subscriber");
        subscriber.subscribe(filter, Q0);
        let mut came: Vec<String> = expected.iter().map(|_| subscriber.take("m").topic).collect();
        subscriber.nothing();
        came.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(came, expected, "by {filter}");
    }
}

#[test]
fn retain_handling_says_whether_a_subscription_brings_them() {
    use RetainHandling::{DoNotSend, SendAtSubscribe, SendIfNew};
    let weir = acme("");
    retain(&mut client(&weir, Version::V5, "publisher"), "t", "m", Q1);
    let mut subscriber = client(&weir, Version::V5, "subscriber");
    let steps = [(SendIfNew, true), (SendIfNew, false), (SendAtSubscribe, true), (DoNotSend, false)];
    for (retain_handling, comes) in steps {
        subscriber.subscribe_with(&[("t", SubscriptionOptions { retain_handling, ..at(Q0) })], &[]);
        if comes {
            assert!(subscriber.take("m").retain);
        }
        subscriber.nothing();
    }
    subscriber.unsubscribe(&["t"]);
    for retain_handling in [DoNotSend, SendIfNew] {
        subscriber.subscribe_with(&[("t", SubscriptionOptions { retain_handling, ..at(Q0) })], &[]);
        subscriber.nothing();
    }
    subscriber.unsubscribe(&["t"]);
    subscriber.subscribe_with(&[("t", SubscriptionOptions { retain_handling: SendIfNew, ..at(Q0) })], &[]);
    subscriber.take("m");
}

#[test]
fn a_resumed_session_still_has_the_subscription_so_that_it_is_not_new() {
    let mut weir = acme("");
    retain(&mut client(&weir, Version::V5, "publisher"), "t", "m", Q1);
    let if_new = SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, ..at(Q0) };
    let (mut subscriber, _) = resume(&weir, Version::V5, "subscriber");
    subscriber.subscribe_with(&[("t", if_new)], &[]);
    subscriber.take("m");
    lose(&mut weir, subscriber, "subscriber");
    let (mut subscriber, _) = resume(&weir, Version::V5, "subscriber");
    subscriber.subscribe_with(&[("t", if_new)], &[]);
    subscriber.nothing();
}

#[test]
fn retain_as_published_passes_the_flag_on_as_it_came() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V5, "publisher");
    let mut subscriber = client(&weir, Version::V5, "subscriber");
    subscriber.subscribe_with(&[("t", SubscriptionOptions { retain_as_published: true, ..at(Q0) })], &[]);
    retain(&mut publisher, "t", "with", Q1);
    assert!(subscriber.take("with").retain);
    publisher.tell("t", "without");
    assert!(!subscriber.take("without").retain);
}

#[test]
fn shared_subscriptions_bring_none() {
    let weir = acme("");
    retain(&mut client(&weir, Version::V5, "publisher"), "t", "m", Q1);
    let mut subscriber = client(&weir, Version::V5, "subscriber");
    subscriber.subscribe("$share/g/t", Q1);
    subscriber.nothing();
    subscriber.subscribe("t", Q1);
    subscriber.take("m");
}

#[test]
fn they_carry_the_identifier_of_the_subscription_that_brings_them() {
    let weir = acme("");
    retain(&mut client(&weir, Version::V5, "publisher"), "t", "m", Q1);
    let mut subscriber = client(&weir, Version::V5, "subscriber");
    subscriber.subscribe_with(&[("#", at(Q0))], &[Property::SubscriptionIdentifier(1)]);
    let frame = subscriber.frame();
    with_properties(&frame, |all| assert_eq!(all, [Property::SubscriptionIdentifier(1)]));
    subscriber.subscribe_with(&[("t", at(Q0))], &[Property::SubscriptionIdentifier(2)]);
    let frame = subscriber.frame();
    with_properties(&frame, |all| assert_eq!(all, [Property::SubscriptionIdentifier(2)]));
    subscriber.nothing();
}

#[test]
fn the_expiry_of_a_retained_message_is_counted_down_and_then_it_is_gone() {
    let mut weir = acme("");
    let expiry = properties(&[Property::MessageExpiryInterval(60)]);
    let mut publisher = client(&weir, Version::V5, "publisher");
    let message = publish("t", b"m", Q1, 1);
    publisher.publish_fully(Publish { retain: true, properties: expiry.as_properties(), ..message });
    for (passes, left) in [("+0s", Some(60)), ("+10s", Some(50)), ("+49s", Some(1)), ("+1s", None)] {
        weir.clock(passes);
        let mut subscriber = client(&weir, Version::V5, "subscriber");
        subscriber.subscribe("t", Q1);
        if let Some(left) = left {
            let frame = subscriber.frame();
            with_properties(&frame, |all| assert_eq!(all, [Property::MessageExpiryInterval(left)]));
        }
        subscriber.nothing();
    }
}

#[test]
fn what_is_retained_elsewhere_on_the_way_stays_when_one_is_removed() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    for topic in ["a", "a/b/c", "a/b/d", "x/y/z"] {
        retain(&mut publisher, topic, "m", Q1);
    }
    let left = [("a/b/c", &["a", "a/b/d", "x/y/z"][..]), ("x/y/z", &["a", "a/b/d"]), ("a", &["a/b/d"]), ("a/b/d", &[])];
    for (removed, left) in left {
        retain(&mut publisher, removed, "", Q1);
        let mut subscriber = client(&weir, Version::V4, "subscriber");
        subscriber.subscribe("#", Q0);
        let came: Vec<String> = left.iter().map(|_| subscriber.take("m").topic).collect();
        assert_eq!(came, left);
        subscriber.nothing();
    }
}

#[test]
fn where_they_are_switched_off_connack_says_so_and_a_retained_publish_ends_the_connection() {
    let weir = acme("mqtt: { retain: false }\n");
    for version in VERSIONS {
        let mut client = client(&weir, version, "c");
        client.send(&Packet::Publish(Publish { retain: true, ..publish("t", b"m", Q0, 0) }));
        client.expect_end(0x9A);
    }
}

#[test]
fn many_that_wait_for_a_slow_subscriber_do_not_take_the_place_of_its_messages() {
    let weir = acme_on("{ max_queued_messages: 5, max_inflight: 1 }", "");
    let mut publisher = client(&weir, Version::V4, "publisher");
    (0..20).for_each(|n| retain(&mut publisher, &format!("kept/{n:02}"), "kept", Q1));
    let mut subscriber = client(&weir, Version::V4, "subscriber");
    subscriber.subscribe("#", Q1);
    let first = subscriber.expect_publish();
    subscriber.nothing();
    publisher.tell("live", "live");
    subscriber.acknowledge(&first);
    let rest = subscriber.take_many(20, 1);
    assert_eq!(rest.last().map(|received| received.text()), Some("live"));
}

#[test]
fn a_client_that_subscribes_over_and_over_does_not_pile_them_up() {
    let weir = acme_on("{ max_retained_messages: 10, max_inflight: 1 }", "");
    let mut publisher = client(&weir, Version::V4, "publisher");
    (0..10).for_each(|n| retain(&mut publisher, &format!("kept/{n}"), "kept", Q1));
    let mut subscriber = client(&weir, Version::V4, "subscriber");
    subscriber.subscribe("#", Q1);
    let first = subscriber.expect_publish();
    for _ in 0..50 {
        subscriber.subscribe("#", Q1);
        subscriber.nothing();
    }
    subscriber.acknowledge(&first);
    let more = subscriber.drain().len();
    assert!((9..20).contains(&more), "{more} more retained messages than the one");
}
