//! Changing limits while clients are connected: the next request meets the new rate, with the count of the current window kept,
//! and a broken file changes nothing.

use weir::wire::{QoS, Version};

use super::common::{LISTENER, Weir};
use super::expected;
use super::*;

#[test]
fn another_rate_holds_for_the_next_request_with_the_count_of_the_window_kept() {
    let mut weir = Weir::at(START, &on_plan("publish: 2/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t", b"");
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "2/min"));
    // Two are used: with three a minute there is one left, with one a minute none.
    weir.reload(&on_plan("publish: 3/min"));
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "3/min"));
    weir.reload(&on_plan("publish: 1/min"));
    publish_is_denied(&mut client, "t", b"", (51, "publish", "1/min"));
    weir.clock(NEXT_MINUTE);
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (60, "publish", "1/min"));
}

#[test]
fn a_limit_by_the_minute_that_is_taken_away_and_put_back_has_counted_all_along() {
    let mut weir = Weir::at(START, &on_plan("publish: 3/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t", b"");
    weir.reload(&on_plan(""));
    publish_is_served(&mut client, "t", b"");
    weir.reload(&on_plan("publish: 3/min"));
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "3/min"));
}

#[test]
fn a_second_rate_beside_the_first_keeps_its_count() {
    let mut weir = Weir::at(START, &on_plan("publish: 3/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t", b"");
    weir.reload(&on_plan("publish: [1/s, 3/min]"));
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (1, "publish", "1/s"));
    weir.reload(&on_plan("publish: 3/min"));
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "3/min"));
}

#[test]
fn another_plan_holds_for_clients_that_are_connected() {
    let on = |plan: &str| {
        format!(
            "plans: {{ free: {{ publish: 1/min }}, scale: {{ publish: 3/min, max_topic_levels: 1 }} }}\n\
             profiles: {{ acme: {{ plan: {plan}, devices: {{ a: {{ token: a }} }} }} }}\n"
        )
    };
    let mut weir = Weir::at(START, &on("free"));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t/u", b"");
    publish_is_denied(&mut client, "t/u", b"", (51, "publish", "1/min"));
    weir.reload(&on("scale"));
    publish_is_served(&mut client, "t", b"");
    // Its caps hold as well; what they refuse was a publish all the same.
    client.publish("t/u", b"", QoS::AtLeastOnce, 1);
    client.expect(&expected::ack(0x40, 1, &expected::reason("max_topic_levels is exceeded")));
    publish_is_denied(&mut client, "t", b"", (51, "publish", "3/min"));
}

#[test]
fn limits_of_a_device_change_while_it_is_connected() {
    let with =
        |limits: &str| with_devices("publish: 100/min", &format!("a: {{ token: a{limits} }}, b: {{ token: b }}"));
    let mut weir = Weir::at(START, &with(""));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t", b"");
    weir.reload(&with(", limits: { publish: 1/min }"));
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "1/min"));
    weir.reload(&with(", limits: { publish: 2/min }"));
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "2/min"));
    weir.reload(&with(""));
    publish_is_served(&mut client, "t", b"");
}

#[test]
fn a_higher_rate_lets_through_what_waits() {
    let mut weir = Weir::at(START, &on_plan("receive: 1/min"));
    let mut subscriber = subscriber(&weir, Version::V4, "a", "t", QoS::AtLeastOnce);
    let mut publisher = weir.client(Version::V4, "b", "publisher");
    for payload in ["1", "2", "3", "4"] {
        publish_is_served(&mut publisher, "t", payload.as_bytes());
    }
    assert_eq!(payloads(&mut subscriber), ["1"]);
    weir.reload(&on_plan("receive: 3/min"));
    assert_eq!(subscriber.expect_publish().text(), "2");
    assert_eq!(subscriber.expect_publish().text(), "3");
    assert!(payloads(&mut subscriber).is_empty());
    weir.clock(NEXT_MINUTE);
    assert_eq!(subscriber.expect_publish().text(), "4");
}

#[test]
fn a_higher_rate_ends_a_pause() {
    let plan = |rate: &str| on_plan(&format!("publish: {rate}, on_exceed: {{ publish: pause }}"));
    let mut weir = Weir::at(START, &plan("1/min"));
    let mut client = weir.client(Version::V4, "a", "client");
    let two = [[0x32, 5, 0, 1, b't', 0, 1], [0x32, 5, 0, 1, b't', 0, 2]].concat();
    client.send_bytes(&two);
    client.expect(&[0x40, 2, 0, 1]);
    weir.reload(&plan("2/min"));
    client.expect(&[0x40, 2, 0, 2]);
}

#[test]
fn a_broken_file_changes_nothing_and_says_where_it_is_broken() {
    let mut weir = Weir::at(START, &on_plan("publish: 2/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    publish_is_served(&mut client, "t", b"");
    let broken = "plans:\n  tight: { publish: 1000/minute }\nprofiles:\n  acme: { plan: tigth }\n";
    std::fs::write(weir.config_path(), format!("{LISTENER}{broken}")).expect("the configuration is written");
    weir.signal("HUP");
    weir.wait_for_log(":3:21: error: a rate is a number and a window");
    weir.wait_for_log(":5:17: error: there is no plan");
    weir.wait_for_log("not reloaded");
    publish_is_served(&mut client, "t", b"");
    publish_is_denied(&mut client, "t", b"", (51, "publish", "2/min"));
    weir.client(Version::V5, "b", "another");
}

#[test]
fn a_device_taken_out_of_the_file_is_disconnected_and_others_stay() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan(""));
        let mut gone = [weir.client(version, "a", "1"), weir.client(version, "a", "2")];
        let mut stays = weir.client(version, "b", "3");
        let mut stranger = weir.client(version, "x", "1");
        weir.reload(&with_devices("", "b: { token: b }"));
        for client in &mut gone {
            if version == Version::V5 {
                let reason = expected::reason("the device is not configured any more");
                client.expect(&expected::frame(0xE0, &[&[0x98], &reason]));
            }
            client.expect_closed();
        }
        stays.expect_nothing();
        stranger.expect_nothing();
        let (_, connack) = weir.try_connect(&common::connect(version, "a", "1"));
        assert_eq!(connack[3], if version == Version::V5 { 0x86 } else { 4 });
    }
}

#[test]
fn what_needs_a_restart_is_said_and_changes_nothing() {
    let mut weir = Weir::at(START, &on_plan(""));
    weir.reload(&format!("isolation: none\n{}", on_plan("")));
    weir.wait_for_log("`isolation` has changed: that needs a restart");
}
