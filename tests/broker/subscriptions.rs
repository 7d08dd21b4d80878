//! Which topics reach which filters (section 4.7), subscriptions that overlap or replace each other, and their end.

use weir::wire::{Property, Publish, QoS, RetainHandling, SubscriptionOptions, Version};

use crate::common::{Client, Weir, publish};
use crate::kit::{Q0, Q1, Q2, VERSIONS, acme, at, client, with_properties};

fn pair(weir: &Weir, version: Version) -> (Client, Client) {
    (client(weir, version, "publisher"), client(weir, version, "subscriber"))
}

/// The subscription identifiers of the next packet, a PUBLISH, in ascending order.
fn next_ids(client: &mut Client) -> Vec<u32> {
    let mut ids = with_properties(&client.frame(), |all| {
        let id = |property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        };
        all.into_iter().filter_map(id).collect::<Vec<u32>>()
    });
    ids.sort_unstable();
    ids
}

#[test]
fn a_topic_reaches_the_filters_that_match_it_and_no_others() {
    let cases: [(&str, &[&str], &[&str]); 16] = [
        ("a/b", &["a/b"], &["a", "a/b/", "/a/b", "a/b/c", "A/b", "a/c"]),
        ("a/+", &["a/b", "a/"], &["a", "a/b/c", "b/a"]),
        ("+/b", &["a/b", "/b"], &["b", "a/b/c"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c", "a//b"], &["b", "ab", "A"]),
        ("#", &["a", "/", "a/b", "/a//"], &["$a", "$a/b"]),
        ("+", &["a"], &["a/b", "/", "/a", "$a"]),
        ("+/+", &["/", "a/b", "/a", "a/"], &["a", "a/b/c", "$a/b"]),
        ("/", &["/"], &["a", "//"]),
        ("//", &["//"], &["/", "///"]),
        ("a//b", &["a//b"], &["a/b", "a/x/b"]),
        ("/+", &["/a", "/"], &["a", "//"]),
        ("+/#", &["a", "/", "a/b/c"], &["$a/b"]),
        ("$a/#", &["$a", "$a/b"], &["a", "a/b"]),
        ("$a/+", &["$a/b"], &["$a", "$b/b"]),
        ("a/$b", &["a/$b"], &["a/b"]),
    ];
    let weir = acme("");
    let (mut publisher, mut subscriber) = pair(&weir, Version::V4);
    for (filter, those, not_those) in cases {
        subscriber.subscribe(filter, Q1);
        for topic in those {
            publisher.tell(topic, filter);
            assert_eq!(subscriber.take(filter).topic, *topic, "by {filter}");
        }
        not_those.iter().for_each(|topic| publisher.tell(topic, filter));
        subscriber.nothing();
        subscriber.unsubscribe(&[filter]);
    }
}

#[test]
fn wildcards_are_no_topics_to_publish_to() {
    let weir = acme("");
    for version in VERSIONS {
        for topic in ["a/+", "#"] {
            let mut client = client(&weir, version, "c");
            let mut bytes = vec![0x30, 0, 0, topic.len() as u8];
            bytes.extend_from_slice(topic.as_bytes());
            bytes.push(0);
            bytes[1] = bytes.len() as u8 - 2;
            client.send_bytes(&bytes);
            client.expect_end(0x90);
        }
    }
}

#[test]
fn only_the_broker_publishes_to_its_own_topics_and_only_who_may_sees_them() {
    let weir = acme("");
    let mut client = client(&weir, Version::V5, "c");
    client.publish("$SYS/x", b"m", Q1, 1);
    assert_eq!(client.hear_reason(0x40, 1), 0x87);
    assert_eq!(*client.try_subscribe(1, "$SYS/#", Q0).last().unwrap(), 0x87);
    // Not theirs: names that only begin alike.
    client.publish("$SYSTEM", b"m", Q1, 1);
    assert_eq!(client.hear_reason(0x40, 1), 0x10);
}

#[test]
fn overlapping_subscriptions_bring_one_copy_at_the_highest_qos() {
    let weir = acme("");
    for version in VERSIONS {
        let (mut publisher, mut subscriber) = pair(&weir, version);
        for (filter, qos) in [("a/+", Q1), ("a/b", Q0), ("#", Q2), ("a/#", Q0)] {
            subscriber.subscribe(filter, qos);
        }
        publisher.publish_fully(publish("a/b", b"m", Q2, 1));
        assert_eq!(subscriber.take("m").qos, Q2);
        subscriber.nothing();
    }
}

#[test]
fn a_delivery_carries_the_identifier_of_every_subscription_that_it_matches() {
    let weir = acme("");
    let (mut publisher, mut subscriber) = pair(&weir, Version::V5);
    let subscriptions = [("a/+", Some(1)), ("a/b", Some(268_435_455)), ("x", Some(3)), ("#", None), ("a/#", Some(1))];
    for (filter, id) in subscriptions {
        let id: Vec<_> = id.map(Property::SubscriptionIdentifier).into_iter().collect();
        assert_eq!(subscriber.subscribe_with(&[(filter, at(Q0))], &id), [0]);
    }
    publisher.tell("a/b", "m");
    // One for each subscription, also where two have the same (section 3.3.2.3.8).
    assert_eq!(next_ids(&mut subscriber), [1, 1, 268_435_455]);
    publisher.tell("elsewhere", "m");
    assert_eq!(next_ids(&mut subscriber), [0; 0]);
    subscriber.nothing();
}

#[test]
fn one_identifier_holds_for_all_filters_of_its_subscribe_packet() {
    let weir = acme("");
    let (mut publisher, mut subscriber) = pair(&weir, Version::V5);
    let codes = subscriber.subscribe_with(&[("a", at(Q0)), ("b", at(Q2))], &[Property::SubscriptionIdentifier(128)]);
    assert_eq!(codes, [0, 2]);
    for topic in ["a", "b"] {
        publisher.tell(topic, "m");
        let frame = subscriber.frame();
        with_properties(&frame, |all| assert_eq!(all, [Property::SubscriptionIdentifier(128)]));
    }
}

#[test]
fn a_subscription_to_the_same_filter_replaces_the_one_before() {
    let weir = acme("");
    for version in VERSIONS {
        let (mut publisher, mut subscriber) = pair(&weir, version);
        for qos in [Q2, Q0, Q1] {
            subscriber.subscribe("a/+", qos);
            publisher.publish_fully(publish("a/b", b"m", Q2, 1));
            assert_eq!(subscriber.take("m").qos, qos);
            subscriber.nothing();
        }
        subscriber.unsubscribe(&["a/+"]);
        publisher.tell("a/b", "m");
        subscriber.nothing();
    }
}

#[test]
fn a_replaced_subscription_has_the_new_identifier_only() {
    let weir = acme("");
    let (mut publisher, mut subscriber) = pair(&weir, Version::V5);
    for ids in [&[1][..], &[2], &[]] {
        let all: Vec<_> = ids.iter().copied().map(Property::SubscriptionIdentifier).collect();
        subscriber.subscribe_with(&[("a", at(Q0))], &all);
        publisher.tell("a", "m");
        assert_eq!(next_ids(&mut subscriber), ids);
    }
}

#[test]
fn a_subscribe_packet_is_answered_code_by_code_in_its_order() {
    let weir = acme("");
    let mut client5 = client(&weir, Version::V5, "five");
    let filters =
        [("a", at(Q2)), ("$share/g", at(Q0)), ("b", at(Q0)), ("$share//x", at(Q0)), ("$SYS/#", at(Q1)), ("c", at(Q1))];
    assert_eq!(client5.subscribe_with(&filters, &[]), [2, 0x8F, 0, 0x8F, 0x87, 1]);
    let mut client4 = client(&weir, Version::V4, "four");
    assert_eq!(client4.subscribe_with(&filters, &[]), [2, 0x80, 0, 0x80, 0x80, 1]);
}

#[test]
fn unsubscribing_what_was_not_subscribed_is_answered_and_mqtt_5_is_told_so() {
    let weir = acme("");
    for version in VERSIONS {
        let (mut publisher, mut subscriber) = pair(&weir, version);
        subscriber.subscribe("a/b", Q1);
        subscriber.subscribe("a/#", Q1);
        // Compared character by character: a filter that matches another is not it [MQTT-3.10.4-1].
        let unsuback = subscriber.unsubscribe(&["a/b", "a/+", "never", "a/b"]);
        let expected: &[u8] = match version {
            Version::V5 => &[0xB0, 7, 0, 8, 0, 0, 0x11, 0x11, 0x11],
            Version::V3 | Version::V4 => &[0xB0, 2, 0, 8],
        };
        assert_eq!(unsuback, expected);
        publisher.tell("a/b", "by the other");
        subscriber.take("by the other");
        subscriber.unsubscribe(&["a/#"]);
        publisher.tell("a/b", "by none");
        subscriber.nothing();
    }
}

#[test]
fn unsubscribing_does_not_take_back_what_is_on_its_way() {
    let weir = acme("mqtt: { max_inflight: 1 }\n");
    let (mut publisher, mut subscriber) = pair(&weir, Version::V4);
    subscriber.subscribe("t", Q1);
    publisher.tell("t", "1");
    publisher.tell("t", "2");
    let first = subscriber.expect_publish();
    subscriber.nothing();
    subscriber.unsubscribe(&["t"]);
    publisher.tell("t", "3");
    subscriber.acknowledge(&first);
    subscriber.take("2");
    subscriber.nothing();
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it_and_nothing_else() {
    let weir = acme("");
    let (mut other, mut client) = pair(&weir, Version::V5);
    let no_local = |qos: QoS| SubscriptionOptions { no_local: true, ..at(qos) };
    client.subscribe_with(&[("own/+", no_local(Q0)), ("both/+", no_local(Q0)), ("both/a", at(Q0))], &[]);
    for topic in ["own/a", "both/b", "both/a"] {
        client.tell(topic, "from itself");
    }
    // By a subscription without the option it may have them.
    assert_eq!(client.take("from itself").topic, "both/a");
    client.nothing();
    other.tell("own/a", "from another");
    client.take("from another");
}

#[test]
fn no_local_holds_for_retained_messages_too() {
    let weir = acme("");
    let (mut other, mut client) = pair(&weir, Version::V5);
    for (publisher, topic) in [(&mut client, "t/own"), (&mut other, "t/other")] {
        publisher.publish_fully(Publish { retain: true, ..publish(topic, b"m", Q1, 1) });
    }
    client.subscribe_with(&[("t/+", SubscriptionOptions { no_local: true, ..at(Q0) })], &[]);
    assert_eq!(client.take("m").topic, "t/other");
    client.nothing();
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let weir = acme("");
    let mut client = client(&weir, Version::V5, "c");
    client.send_bytes(b"\x82\x10\x00\x01\x00\x00\x0A$share/g/x\x04");
    client.expect_end(0x82);
}

#[test]
fn what_the_broker_does_not_offer_is_refused_by_name_and_told_in_connack() {
    let weir = acme("mqtt: { wildcard_subscriptions: false, shared_subscriptions: false, max_qos: 1 }\n");
    let mut client = client(&weir, Version::V5, "c");
    let filters = [("a/+", at(Q0)), ("$share/g/a", at(Q0)), ("a", at(Q2))];
    assert_eq!(client.subscribe_with(&filters, &[]), [0xA2, 0x9E, 1], "granted up to max_qos [MQTT-3.2.2-10]");
    client.publish("a", b"m", Q2, 1);
    client.expect_disconnect(0x9B);
}

#[test]
fn many_subscribers_of_one_filter_each_get_one_copy_and_those_who_leave_get_none() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    let mut crowd: Vec<Client> = (0..40).map(|n| client(&weir, VERSIONS[n % 3], &format!("c{n}"))).collect();
    crowd.iter_mut().for_each(|member| member.subscribe("news", Q1));
    publisher.tell("news", "first");
    for (n, member) in crowd.iter_mut().enumerate() {
        member.take("first");
        if n % 4 != 0 {
            member.unsubscribe(&["news"]);
        }
    }
    publisher.tell("news", "second");
    for (n, member) in crowd.iter_mut().enumerate() {
        if n % 4 == 0 {
            member.take("second");
        }
        member.nothing();
    }
}

#[test]
fn retain_handling_is_an_option_of_mqtt_5_only() {
    let weir = acme("");
    for version in [Version::V3, Version::V4] {
        let mut client = client(&weir, version, "c");
        client.send_bytes(&[0x82, 6, 0, 1, 0, 1, b'a', 0x10 * RetainHandling::SendIfNew as u8]);
        client.expect_closed();
    }
}
