//! Wills are kept by the backend, which publishes them when Weir is gone too; whether one may be published is Weir's to say.

use weir::wire::{Connect, Will};

use super::*;

fn doomed<'a>(version: Version, qos: QoS) -> Connect<'a> {
    let will = Will { qos, retain: false, properties: Default::default(), topic: "gone", payload: b"will" };
    Connect { will: Some(will), ..connect(version, "a", "doomed") }
}

#[test]
fn a_will_is_published_when_the_client_vanishes_and_not_when_it_says_goodbye() {
    let pair = Pair::on_plan("");
    for version in VERSIONS {
        let mut watcher = pair.weir.client(version, "a", "watcher");
        watcher.subscribe("gone", Q1);
        pair.weir.connect(&doomed(version, Q1)).disconnect();
        watcher.nothing();
        pair.weir.connect(&doomed(version, Q1)).vanish();
        assert_eq!(watcher.expect_publish().text(), "will");
    }
}

#[test]
fn a_will_over_the_limit_is_published_in_the_next_minute() {
    let mut pair = Pair::on_plan("publish: 1/min");
    let mut watcher = pair.weir.client(Version::V4, "a", "watcher");
    watcher.subscribe("gone", Q1);
    let mut client = pair.weir.connect(&doomed(Version::V4, Q1));
    client.publish("t", b"the one", Q1, 1);
    client.expect(&[0x40, 2, 0, 1]);
    kit::lose(&mut pair.weir, client, "doomed");
    watcher.nothing();
    pair.weir.clock("2026-11-21T12:46:00Z");
    assert_eq!(watcher.expect_publish().text(), "will");
}

#[test]
fn a_will_at_qos_0_over_the_limit_is_dropped() {
    let mut pair = Pair::on_plan("publish: 1/min");
    let mut watcher = pair.weir.client(Version::V4, "a", "watcher");
    watcher.subscribe("gone", Q1);
    let mut client = pair.weir.connect(&doomed(Version::V4, Q0));
    client.publish("t", b"the one", Q1, 1);
    client.expect(&[0x40, 2, 0, 1]);
    kit::lose(&mut pair.weir, client, "doomed");
    pair.weir.clock("2026-11-21T12:46:00Z");
    watcher.nothing();
}

#[test]
fn the_backend_publishes_wills_when_weir_itself_is_killed() {
    let pair = Pair::on_plan("");
    let mut behind = pair.behind("watcher");
    behind.subscribe("acme/gone", Q1);
    let _client = pair.weir.connect(&doomed(Version::V5, Q1));
    pair.weir.signal("KILL");
    assert_eq!(behind.expect_publish().text(), "will");
}
