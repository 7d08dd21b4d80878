//! What clients are told: by the backend through Weir, and by Weir of the backend.

use weir::wire::{Connect, Packet};

use super::*;

#[test]
fn the_backends_refusal_of_the_credentials_reaches_the_client() {
    // Weir's own connection gets in, clients do not: mosquitto takes one beginning of client identifiers only.
    let pair = Pair::with("", "", "clientid_prefixes weir\n");
    for (version, code) in [(Version::V4, 5), (Version::V5, 0x87)] {
        let (mut client, connack) = pair.weir.try_connect(&connect(version, "a", "pump"));
        assert_eq!(connack[3], code, "{connack:02x?}");
        client.expect_closed();
    }
}

#[test]
fn the_backends_bounds_are_told_in_connack() {
    let pair = Pair::with("", "", "max_packet_size 5000\nmax_keepalive 77\nretain_available false\n");
    let connect = Connect { keep_alive: 600, ..connect(Version::V5, "a", "pump") };
    let (_client, connack) = pair.weir.try_connect(&connect);
    let connack = match Packet::decode(Version::V5, connack[0], &connack[2..]) {
        Ok(Packet::ConnAck(connack)) => connack,
        other => panic!("a CONNACK: {other:?}"),
    };
    let said = connack.properties;
    // Which Weir keeps itself.
    assert_eq!(said.server_keep_alive(), None, "{said:?}");
    assert_eq!(said.retain_available(), Some(false), "{said:?}");
    // Less what a packet grows by on its way.
    assert!(said.maximum_packet_size().is_some_and(|size| (4_900..5_000).contains(&size)), "{said:?}");
}

#[test]
fn the_profiles_own_topics_are_weirs_and_not_the_backends() {
    let pair = Pair::on_plan("publish: 5/min");
    let mut client = pair.weir.client(Version::V4, "a", "pump");
    client.subscribe("$limits/#", Q0);
    let told = client.drain();
    assert!(told.iter().any(|received| received.topic.starts_with("$limits/")), "{told:?}");
    let mut behind = pair.behind("watcher");
    behind.subscribe("#", Q0);
    client.publish("$limits/publish", b"0", Q0, 0);
    client.publish("t", b"x", Q0, 0);
    assert_eq!(behind.expect_publish().topic, "acme/t");
}

#[test]
fn a_filter_that_a_rule_forbids_is_refused_beside_those_that_the_backend_grants() {
    let pair = Pair::with("", "acl: [{ deny: subscribe, topic: \"secret/#\" }]\n", "");
    let mut client = pair.weir.client(Version::V5, "a", "pump");
    let suback = client.subscribe_with(&[("a", kit::at(Q1)), ("secret/x", kit::at(Q1)), ("b", kit::at(Q2))], &[]);
    assert_eq!(suback[suback.len() - 3..], [1, 0x87, 2], "{suback:02x?}");
    assert_eq!(client.unsubscribe(&["a", "nothing"])[5..], [0, 0x11][..]);
}
