//! Profiles are apart: nothing that clients of one do is seen or felt in another, whatever names they use. With
//! `isolation: none` they share topics, and still not client identifiers.

use weir::wire::{Connect, Packet, PropertyBuf, Publish, Version, Will};

use crate::common::{Client, Weir, connect, publish};
use crate::kit::{Q0, Q1, Q2, TIME, lose};

fn broker(more: &str) -> Weir {
    Weir::at(
        TIME,
        &format!(
            "plans: {{ free: {{}} }}\n\
             profiles:\n  \
               red: {{ plan: free, devices: {{ d: {{ token: red }} }} }}\n  \
               blue: {{ plan: free, devices: {{ d: {{ token: blue }} }} }}\n{more}"
        ),
    )
}

/// A client of a profile with a session that lasts, and whether there was one.
fn lasting(weir: &Weir, profile: &str, client_id: &str) -> (Client, bool) {
    let (client, connack) =
        weir.try_connect(&Connect { clean_start: false, ..connect(Version::V4, profile, client_id) });
    assert_eq!(connack[3], 0);
    (client, connack[2] == 1)
}

fn plain(weir: &Weir, profile: &str, client_id: &str) -> Client {
    weir.client(Version::V4, profile, client_id)
}

#[test]
fn no_filter_of_one_profile_sees_a_topic_of_another() {
    let weir = broker("");
    let mut red = plain(&weir, "red", "watcher");
    for filter in ["#", "t", "+", "t/#", "/#", "$share/g/#", "$share/g/t"] {
        red.subscribe(filter, Q2);
    }
    let mut blue = plain(&weir, "blue", "watcher");
    blue.subscribe("t", Q1);
    blue.tell("t", "blue");
    blue.take("blue");
    red.nothing();
}

#[test]
fn a_client_id_is_one_of_its_profile() {
    let mut weir = broker("");
    let (mut red, _) = lasting(&weir, "red", "c");
    red.subscribe("t", Q1);
    // No takeover, and no session to resume.
    let (mut blue, present) = lasting(&weir, "blue", "c");
    assert!(!present);
    blue.subscribe("t", Q1);
    red.tell("t", "red");
    red.take("red");
    blue.nothing();
    lose(&mut weir, red, "c");
    plain(&weir, "red", "publisher").tell("t", "for red");
    plain(&weir, "blue", "publisher").tell("t", "for blue");
    blue.take("for blue");
    // Nor does a clean start of the same client identifier elsewhere end the session.
    let _clean = plain(&weir, "blue", "c");
    let (mut red, present) = lasting(&weir, "red", "c");
    assert!(present);
    red.take("for red");
    red.nothing();
}

#[test]
fn retained_messages_of_one_are_neither_seen_nor_removed_by_another() {
    let weir = broker("");
    let retain = |profile: &str, text: &str| {
        let message = Publish { retain: true, ..publish("t", text.as_bytes(), Q1, 1) };
        plain(&weir, profile, "publisher").publish_fully(message);
    };
    let seen = |profile: &str, expected: Option<&str>| {
        let mut client = plain(&weir, profile, "late");
        client.subscribe("#", Q0);
        if let Some(text) = expected {
            client.take(text);
        }
        client.nothing();
    };
    retain("red", "red");
    seen("blue", None);
    retain("blue", "blue");
    seen("red", Some("red"));
    retain("blue", "");
    seen("blue", None);
    seen("red", Some("red"));
}

#[test]
fn shared_groups_of_the_same_name_share_nothing_across_profiles() {
    let weir = broker("");
    let mut red = plain(&weir, "red", "member");
    let mut blue = plain(&weir, "blue", "member");
    red.subscribe("$share/g/t", Q1);
    blue.subscribe("$share/g/t", Q1);
    let mut publisher = plain(&weir, "red", "publisher");
    for text in ["1", "2", "3", "4"] {
        publisher.tell("t", text);
        red.take(text);
    }
    blue.nothing();
}

#[test]
fn a_will_stays_in_its_profile() {
    let weir = broker("");
    let mut red = plain(&weir, "red", "watcher");
    let mut blue = plain(&weir, "blue", "watcher");
    red.subscribe("#", Q1);
    blue.subscribe("#", Q1);
    let none = PropertyBuf::new();
    let will = Will { qos: Q1, retain: true, properties: none.as_properties(), topic: "will", payload: b"gone" };
    let mortal = weir.connect(&Connect { will: Some(will), ..connect(Version::V4, "red", "mortal") });
    // Not even a client of the same identifier elsewhere calls it forth.
    let _other = plain(&weir, "blue", "mortal");
    red.nothing();
    mortal.vanish();
    red.take("gone");
    blue.nothing();
    let mut late = plain(&weir, "blue", "late");
    late.subscribe("#", Q1);
    late.nothing();
}

#[test]
fn unsubscribing_in_one_profile_changes_nothing_in_another() {
    let weir = broker("");
    let mut red = weir.client(Version::V5, "red", "c");
    let mut blue = weir.client(Version::V5, "blue", "c");
    red.subscribe("t", Q1);
    assert_eq!(blue.unsubscribe(&["t"])[5..], [0x11]);
    red.tell("t", "m");
    red.take("m");
}

#[test]
fn without_isolation_topics_are_shared_and_client_ids_still_are_not() {
    let weir = broker("isolation: none\n");
    let mut red = plain(&weir, "red", "c");
    let mut blue = plain(&weir, "blue", "c");
    red.subscribe("t/#", Q1);
    blue.subscribe("$share/g/t/#", Q1);
    let kept = Publish { retain: true, ..publish("t/a", b"m", Q1, 1) };
    blue.send(&Packet::Publish(kept));
    // The delivery and the acknowledgement may come in either order.
    let mut kinds = [blue.frame()[0] >> 4, blue.frame()[0] >> 4];
    kinds.sort_unstable();
    assert_eq!(kinds, [3, 4]);
    red.take("m");
    red.nothing();
    let mut late = plain(&weir, "red", "late");
    late.subscribe("t/a", Q0);
    assert!(late.take("m").retain);
}
