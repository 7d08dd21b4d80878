//! Two profiles on one backend, with the same client identifiers and topics.

use weir::wire::{Connect, Packet, Publish, Will};

use super::*;
use crate::common::publish;

#[test]
fn two_profiles_with_the_same_names_never_see_each_others_messages() {
    let pair = Pair::on_plan("");
    for version in VERSIONS {
        let mut acme = pair.weir.client(version, "a", "pump");
        let mut other = pair.weir.client(version, "o", "pump");
        for client in [&mut acme, &mut other] {
            for filter in ["#", "+/+", "t/x", "$share/g/#"] {
                client.subscribe(filter, Q1);
            }
        }
        let mut source = pair.weir.client(version, "a", "source");
        for qos in [Q0, Q1, Q2] {
            source.publish_fully(Publish { retain: true, ..publish("t/x", b"acme's", qos, 1) });
            other.nothing();
        }
        assert!(acme.drain().len() >= 3, "its own profile has them");
        // A retained message is for later subscribers of its own profile.
        let mut late = pair.weir.client(version, "o", "late");
        late.subscribe("t/x", Q1);
        late.nothing();
        let mut late = pair.weir.client(version, "a", "late");
        late.subscribe("t/x", Q1);
        assert_eq!(late.take("acme's").topic, "t/x");
        // That it was there did not disturb the other profile's client of the same identifier.
        other.nothing();
        source.publish_fully(Publish { retain: true, ..publish("t/x", b"", Q1, 1) });
    }
}

#[test]
fn wills_stay_with_their_profile() {
    let pair = Pair::on_plan("");
    for version in VERSIONS {
        let will = Will { qos: Q1, retain: true, properties: Default::default(), topic: "gone", payload: b"acme's" };
        let doomed = Connect { will: Some(will), ..connect(version, "a", "pump") };
        let mut other = pair.weir.client(version, "o", "watcher");
        let mut own = pair.weir.client(version, "a", "watcher");
        other.subscribe("#", Q1);
        own.subscribe("+", Q1);
        own.drain();
        pair.weir.connect(&doomed).vanish();
        assert_eq!(own.expect_publish().text(), "acme's");
        other.nothing();
        let mut late = pair.weir.client(version, "o", "late");
        late.subscribe("gone", Q1);
        late.nothing();
    }
}

#[test]
fn an_unsubscribed_filter_of_the_same_name_is_the_own_profiles() {
    let pair = Pair::on_plan("");
    let mut acme = pair.weir.client(Version::V5, "a", "pump");
    let mut other = pair.weir.client(Version::V5, "o", "pump");
    acme.subscribe("t", Q1);
    other.subscribe("t", Q1);
    other.unsubscribe(&["t"]);
    other.publish("t", b"nobody", Q0, 0);
    other.nothing();
    acme.send(&Packet::Publish(publish("t", b"mine", Q0, 0)));
    assert_eq!(acme.expect_publish().text(), "mine");
}

#[test]
fn without_isolation_topics_are_shared_and_client_identifiers_are_not() {
    let pair = Pair::with("", "isolation: none\n", "");
    let mut acme = pair.weir.client(Version::V4, "a", "pump");
    let mut other = pair.weir.client(Version::V4, "o", "pump");
    other.subscribe("t", Q1);
    acme.publish("t", b"for all", Q0, 0);
    assert_eq!(other.expect_publish().text(), "for all");
    acme.expect_nothing();
}
