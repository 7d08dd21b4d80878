//! Access rules on the wire: what a client may publish and subscribe, and what it is told where it may not.

use weir::wire::{Connect, Packet, Property, PropertyBuf, Publish, Version, Will};

use crate::common::{Client, Weir, connect, publish};
use crate::kit::{PUBACK, PUBCOMP, PUBREC, PUBREL, Q0, Q1, Q2, TIME, VERSIONS, at, properties};

/// Two profiles, of which `acme` has two devices, and these rules.
fn with_rules(rules: &str, more: &str) -> Weir {
    let profiles = "plans: { free: {} }\n\
        profiles:\n  acme: { plan: free, devices: { d: { token: t }, e: { token: e } } }\n  other: { plan: free, devices: { d: { token: o } } }\n\
        anonymous: acme\n";
    Weir::at(TIME, &format!("{profiles}acl: {rules}\n{more}"))
}

/// Whether an MQTT 5 client may publish to the topic.
fn may_publish(client: &mut Client, topic: &str) -> bool {
    client.publish(topic, b"m", Q1, 1);
    match client.hear_reason(PUBACK, 1) {
        0 | 0x10 => true,
        0x87 => false,
        other => panic!("{other:#x}"),
    }
}

fn may_subscribe(client: &mut Client, filter: &str) -> bool {
    match client.subscribe_with(&[(filter, at(Q0))], &[])[..] {
        [0] => true,
        [0x87 | 0x80] => false,
        ref other => panic!("{other:02x?}"),
    }
}

#[test]
fn a_forbidden_publish_goes_nowhere_and_mqtt_5_is_told() {
    let weir = with_rules("[{ deny: publish, topic: \"secret/#\" }]", "");
    let mut witness = weir.client(Version::V5, "e", "witness");
    witness.subscribe("#", Q2);
    let mut client = weir.client(Version::V5, "t", "c");
    client.publish("secret/x", b"m", Q0, 0);
    client.publish("secret/x", b"m", Q1, 1);
    assert_eq!(client.hear_reason(PUBACK, 1), 0x87);
    client.publish("secret", b"m", Q2, 2);
    assert_eq!(client.hear_reason(PUBREC, 2), 0x87);
    // The exchange ended with the error: the packet identifier is free [MQTT-4.3.3-9].
    client.publish_fully(publish("open", b"m", Q2, 2));
    client.send(&Packet::Publish(Publish { retain: true, ..publish("secret/x", b"m", Q1, 1) }));
    assert_eq!(client.hear_reason(PUBACK, 1), 0x87);
    assert_eq!(witness.take("m").topic, "open");
    witness.nothing();
    let mut late = weir.client(Version::V5, "e", "late");
    late.subscribe("#", Q0);
    late.nothing();
}

#[test]
fn before_mqtt_5_a_forbidden_publish_closes_the_connection_or_is_acknowledged_as_acl_on_deny_says() {
    for version in [Version::V3, Version::V4] {
        for (on_deny, acknowledged) in [("", false), ("disconnect", false), ("acknowledge", true)] {
            // 3.1 has nothing but the acknowledgement (its section 3.3).
            let acknowledged = acknowledged || version == Version::V3;
            let more = if on_deny.is_empty() { String::new() } else { format!("acl_on_deny: {on_deny}\n") };
            let weir = with_rules("[{ deny: publish, topic: secret }]", &more);
            let mut witness = weir.client(Version::V4, "e", "witness");
            witness.subscribe("#", Q1);
            for qos in [Q0, Q1, Q2] {
                let mut client = weir.client(version, "t", "c");
                client.publish("secret", b"m", qos, 1);
                match (qos, acknowledged) {
                    (Q0, _) => client.nothing(),
                    (Q1, true) => client.hear(PUBACK, 1),
                    (Q2, true) => {
                        client.hear(PUBREC, 1);
                        client.say(PUBREL, 1);
                        client.hear(PUBCOMP, 1);
                    }
                    (_, false) => client.expect_closed(),
                }
            }
            witness.nothing();
        }
    }
}

#[test]
fn a_forbidden_filter_is_refused_in_the_suback_and_the_others_are_not() {
    let weir = with_rules("[{ deny: subscribe, topic: \"test/nosubscribe\" }]", "");
    let filters = [("a", at(Q1)), ("test/nosubscribe", at(Q1)), ("b", at(Q2))];
    for version in VERSIONS {
        let mut client = weir.client(version, "t", "c");
        // 3.1 has no code for it, and asks for a positive one (its section 3.8).
        let refused = match version {
            Version::V3 => 1,
            Version::V4 => 0x80,
            Version::V5 => 0x87,
        };
        assert_eq!(client.subscribe_with(&filters, &[]), [1, refused, 2]);
        client.tell("test/nosubscribe", "publishing is not forbidden");
        client.nothing();
    }
}

#[test]
fn a_shared_subscription_is_no_way_around_a_rule() {
    let weir = with_rules("[{ deny: subscribe, topic: \"secret/#\" }]", "");
    let mut client = weir.client(Version::V5, "t", "c");
    assert!(!may_subscribe(&mut client, "$share/g/secret/x"));
    assert!(may_subscribe(&mut client, "$share/g/open/x"));
}

#[test]
fn a_wider_filter_is_granted_and_what_is_forbidden_under_it_is_not_delivered() {
    let weir = with_rules("[{ deny: subscribe, topic: \"secret/+\" }]", "");
    let mut publisher = weir.client(Version::V5, "e", "publisher");
    publisher.publish_fully(Publish { retain: true, ..publish("secret/kept", b"retained", Q1, 1) });
    for (client_id, filter) in [("a", "#"), ("b", "+/x"), ("c", "secret/#")] {
        let mut client = weir.client(Version::V5, "t", client_id);
        assert!(may_subscribe(&mut client, filter), "{filter}");
        publisher.tell("secret/x", "forbidden");
        client.nothing();
        let open = if filter == "secret/#" { "secret/deep/x" } else { "open/x" };
        publisher.tell(open, "open");
        client.take("open");
        client.nothing();
    }
}

#[test]
fn the_first_rule_that_matches_decides_and_without_one_all_is_allowed() {
    let weir = with_rules(
        "[{ allow: publish, topic: \"a/b\" }, { deny: all, topic: \"a/#\" }, { allow: all, topic: \"a/c\" }]",
        "",
    );
    let mut client = weir.client(Version::V5, "t", "c");
    for (topic, publish, subscribe) in
        [("a/b", true, false), ("a/c", false, false), ("a", false, false), ("b", true, true), ("b/a", true, true)]
    {
        assert_eq!(may_publish(&mut client, topic), publish, "publish {topic}");
        assert_eq!(may_subscribe(&mut client, topic), subscribe, "subscribe {topic}");
    }
}

#[test]
fn a_rule_stands_for_each_clients_own_device_client_id_and_profile() {
    let rules = "[{ allow: publish, topic: \"devices/%u/#\" }, { allow: publish, topic: \"clients/%c\" },\n\
        \x20  { allow: publish, topic: \"profiles/%p/x\" }, { allow: publish, topic: \"all/%p-%u-%c\" },\n\
        \x20  { deny: publish, topic: \"#\" }]";
    let weir = with_rules(rules, "");
    let mut client = weir.client(Version::V5, "t", "c1");
    for (topic, allowed) in [
        ("devices/d/state", true),
        ("devices/d", true),
        ("devices/e/state", false),
        ("clients/c1", true),
        ("clients/c2", false),
        ("profiles/acme/x", true),
        ("profiles/other/x", false),
        ("all/acme-d-c1", true),
        ("all/acme-d-c2", false),
        ("devices/%u/state", false),
    ] {
        assert_eq!(may_publish(&mut client, topic), allowed, "{topic}");
    }
}

#[test]
fn a_client_id_cannot_widen_a_rule_and_a_client_without_a_device_has_no_device_topics() {
    let rules = "[{ allow: publish, topic: \"clients/%c/x\" }, { allow: publish, topic: \"devices/%u/x\" },\n\
        \x20  { deny: publish, topic: \"#\" }]";
    let weir = with_rules(rules, "");
    for (client_id, topic) in [("+", "clients/other/x"), ("#", "clients/other/x"), ("a/b", "clients/a/b/x")] {
        let mut client = weir.client(Version::V5, "t", client_id);
        assert!(!may_publish(&mut client, topic), "{client_id:?} and {topic}");
    }
    let mut anonymous =
        weir.connect(&Connect { user_name: None, password: None, ..connect(Version::V5, "", "anonymous") });
    assert!(!may_publish(&mut anonymous, "devices//x"));
    assert!(may_publish(&mut anonymous, "clients/anonymous/x"));
}

#[test]
fn a_rule_of_one_profile_does_not_concern_another() {
    let weir = with_rules("[{ deny: all, topic: \"x\", profile: acme }]", "");
    let mut acme = weir.client(Version::V5, "t", "c");
    let mut other = weir.client(Version::V5, "o", "c");
    assert!(!may_publish(&mut acme, "x") && !may_subscribe(&mut acme, "x"));
    assert!(may_publish(&mut other, "x") && may_subscribe(&mut other, "x"));
}

#[test]
fn a_will_on_a_forbidden_topic_is_refused_with_the_connect() {
    let weir = with_rules("[{ deny: publish, topic: secret }]", "");
    let none = PropertyBuf::new();
    let will = Will { qos: Q0, retain: false, properties: none.as_properties(), topic: "secret", payload: b"m" };
    for (version, code) in [(Version::V3, 5), (Version::V4, 5), (Version::V5, 0x87)] {
        let (mut client, connack) = weir.try_connect(&Connect { will: Some(will), ..connect(version, "t", "c") });
        assert_eq!(connack[3], code);
        client.expect_closed();
    }
}

#[test]
fn an_alias_is_no_way_around_a_rule() {
    let weir = with_rules("[{ deny: publish, topic: secret }]", "");
    let mut client = weir.client(Version::V5, "t", "c");
    let alias = properties(&[Property::TopicAlias(1)]);
    for topic in ["secret", ""] {
        let properties = alias.as_properties();
        client.send(&Packet::Publish(Publish { properties, ..publish(topic, b"m", Q1, 1) }));
        assert_eq!(client.hear_reason(PUBACK, 1), 0x87);
    }
}

#[test]
fn rules_that_change_hold_at_once_for_clients_that_are_connected() {
    let mut weir = with_rules("[]", "");
    let mut publisher = weir.client(Version::V5, "e", "publisher");
    let mut client = weir.client(Version::V5, "t", "c");
    assert!(may_subscribe(&mut client, "#") && may_publish(&mut client, "x"));
    client.take("m");
    let config = std::fs::read_to_string(weir.config_path()).unwrap();
    let (_, config) = config.split_once('\n').unwrap();
    weir.reload(&config.replace("acl: []", "acl: [{ deny: all, topic: x, profile: acme }]"));
    assert!(!may_publish(&mut client, "x") && !may_subscribe(&mut client, "x"));
    publisher.tell("y", "open");
    client.take("open");
    client.nothing();
}
