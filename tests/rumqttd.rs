//! Weir on an embedded rumqttd: every version on one listener, profiles that do not see each other, and the clients that would
//! stop rumqttd's router for everyone, and here do not.

use weir::wire::{Connect, Packet, Property, PropertyBuf, Publish, QoS, Version, Will};

mod common;
#[path = "broker/kit.rs"]
#[allow(dead_code, reason = "each test folder uses its own part of this")]
mod kit;

use common::{Weir, connect, publish};

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];
const START: &str = "2026-11-21T12:45:09Z";
const CONFIG: &str = "backend: rumqttd\nplans: { p: {} }\nprofiles:\n  \
    acme: { plan: p, devices: { a: { token: a } } }\n  other: { plan: p, devices: { o: { token: o } } }\n";

fn weir() -> Weir {
    Weir::at(START, CONFIG)
}

/// A subscriber of a shared group whose session outlives its connection.
fn durable_member(weir: &Weir, version: Version) -> (common::Client, bool) {
    let mut expiry = PropertyBuf::new();
    if version == Version::V5 {
        expiry.push(Property::SessionExpiryInterval(3_600));
    }
    let properties = expiry.as_properties();
    let (client, connack) =
        weir.try_connect(&Connect { clean_start: false, properties, ..connect(version, "a", "member") });
    assert_eq!(connack[3], 0, "{connack:02x?}");
    (client, connack[2] == 1)
}

#[test]
fn every_version_speaks_to_every_other_at_every_qos() {
    let weir = weir();
    for from in VERSIONS {
        for to in VERSIONS {
            for qos in kit::QOS {
                let mut subscriber = weir.client(to, "a", "subscriber");
                subscriber.subscribe("a/+", qos);
                let mut publisher = weir.client(from, "a", "publisher");
                publisher.publish_fully(publish("a/b", b"x", qos, 7));
                let received = subscriber.take("x");
                assert_eq!((received.topic.as_str(), received.qos), ("a/b", qos), "{from} to {to}");
                subscriber.nothing();
            }
        }
    }
}

#[test]
fn the_only_member_of_a_group_leaves_with_a_message_unacknowledged_and_nobody_else_notices() {
    for version in [Version::V4, Version::V5] {
        let mut weir = weir();
        let mut bystander = weir.client(version, "o", "bystander");
        bystander.subscribe("t", QoS::AtLeastOnce);
        let (mut member, _) = durable_member(&weir, version);
        member.subscribe("$share/g/jobs", QoS::AtLeastOnce);
        let mut source = weir.client(version, "a", "source");
        source.publish_fully(publish("jobs", b"1", QoS::AtLeastOnce, 1));
        assert_eq!(member.expect_publish().text(), "1");
        // This is what stops the router of rumqttd 0.20.
        kit::lose(&mut weir, member, "member");
        source.publish_fully(publish("jobs", b"2", QoS::AtLeastOnce, 1));
        bystander.publish("t", b"still here", QoS::AtMostOnce, 0);
        assert_eq!(bystander.expect_publish().text(), "still here");
        // And the member misses nothing.
        let (mut member, present) = durable_member(&weir, version);
        assert!(present);
        let texts: Vec<String> = member.drain().iter().map(|received| received.text().to_owned()).collect();
        assert_eq!(texts, ["1", "2"], "MQTT {version}");
        assert!(!weir.has_logged("ERROR"));
    }
}

#[test]
fn topics_that_would_stop_the_router_are_topics_like_any_other() {
    let weir = weir();
    let mut client = weir.client(Version::V5, "a", "client");
    client.subscribe("#", QoS::AtMostOnce);
    for topic in ["é", "日本", "$mine", "/", "a//b"] {
        client.publish(topic, b"", QoS::AtMostOnce, 0);
    }
    let mut topics: Vec<String> = client.drain().into_iter().map(|received| received.topic).collect();
    topics.sort();
    assert_eq!(topics, ["/", "a//b", "é", "日本"]);
}

#[test]
fn acknowledgements_out_of_order_end_no_connection() {
    let weir = weir();
    let mut client = weir.client(Version::V4, "a", "client");
    client.subscribe("t", QoS::AtLeastOnce);
    let mut source = weir.client(Version::V4, "a", "source");
    for round in 0..3 {
        for n in 1..=40 {
            source.publish_fully(publish("t", b"x", QoS::AtLeastOnce, n));
        }
        let received: Vec<_> = (0..40).map(|_| client.expect_publish()).collect();
        received.iter().rev().for_each(|received| client.acknowledge(received));
        client.nothing();
        assert!(round < 3);
    }
}

#[test]
fn two_profiles_with_the_same_names_never_see_each_others_messages() {
    let weir = weir();
    for version in VERSIONS {
        let will =
            Will { qos: QoS::AtLeastOnce, retain: true, properties: Default::default(), topic: "w", payload: b"w" };
        let doomed = Connect { will: Some(will), ..connect(version, "a", "pump") };
        let acme = weir.connect(&doomed);
        let mut other = weir.client(version, "o", "pump");
        let mut own = weir.client(version, "a", "watcher");
        for client in [&mut own, &mut other] {
            for filter in ["#", "t/x", "$share/g/#"] {
                client.subscribe(filter, QoS::AtLeastOnce);
            }
        }
        own.drain();
        let mut source = weir.client(version, "a", "source");
        source.publish_fully(Publish { retain: true, ..publish("t/x", b"acme's", QoS::AtLeastOnce, 1) });
        assert!(!own.drain().is_empty());
        acme.vanish();
        assert_eq!(own.take("w").topic, "w");
        other.nothing();
        let mut late = weir.client(version, "o", "late");
        late.subscribe("#", QoS::AtLeastOnce);
        late.nothing();
        for topic in ["t/x", "w"] {
            source.publish_fully(Publish { retain: true, ..publish(topic, b"", QoS::AtLeastOnce, 1) });
        }
    }
}

#[test]
fn the_bounds_of_what_the_router_never_forgets_are_told() {
    let config = CONFIG.replace("backend: rumqttd", "backend: { kind: rumqttd, max_topics: 3, max_filters: 2 }");
    let weir = Weir::at(START, &config);
    let mut client = weir.client(Version::V5, "a", "client");
    client.subscribe("a", QoS::AtLeastOnce);
    client.subscribe("b", QoS::AtLeastOnce);
    assert_eq!(*client.try_subscribe(2, "c", QoS::AtLeastOnce).last().expect("a code"), 0x97);
    let mut refused = 0;
    for n in 1..=5 {
        let topic = format!("t/{n}");
        client.send(&Packet::Publish(publish(&topic, b"x", QoS::AtLeastOnce, n)));
        let puback = client.frame();
        refused += usize::from(puback.get(4) == Some(&0x97));
    }
    assert_eq!(refused, 2);
}
