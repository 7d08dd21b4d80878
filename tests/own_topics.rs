//! The broker's own topics: `$limits/…` for every client, `$SYS/…` for the profiles that may see it.

mod common;

use common::{Client, Received, Weir, connect};
use serde_json::{Value, json};
use weir::wire::{QoS, Version};

const CONFIG: &str = "plans:
  p: { connect: 100/min, publish: [3/min, 100/day], receive: 2/min, per_device: {} }
profiles:
  acme:
    plan: p
    devices: { pump: { token: pump }, valve: { token: valve, limits: { publish: 2/min } } }
  ops: { plan: p, sys: true, devices: { eye: { token: eye } } }
";

fn weir() -> Weir {
    Weir::at("2026-11-21T12:45:09Z", CONFIG)
}

fn watcher(weir: &Weir, token: &str, filter: &str) -> (Client, Vec<Received>) {
    let mut client = weir.client(Version::V5, token, "watcher");
    client.subscribe(filter, QoS::AtLeastOnce);
    let first = client.deliveries();
    (client, first)
}

fn value(message: &Received) -> Value {
    serde_json::from_slice(&message.payload).expect("JSON")
}

fn topics(messages: &[Received]) -> Vec<&str> {
    messages.iter().map(|message| message.topic.as_str()).collect()
}

fn publish(weir: &Weir, token: &str, times: u8) -> Client {
    let mut client = weir.client(Version::V5, token, "publisher");
    for _ in 0..times {
        client.publish("t", b"m", QoS::AtMostOnce, 0);
    }
    client.expect_nothing();
    client
}

#[test]
fn a_client_that_subscribes_is_told_each_resource_as_if_it_were_retained() {
    let weir = weir();
    publish(&weir, "pump", 1);
    let (_client, first) = watcher(&weir, "pump", "$limits/#");
    assert_eq!(topics(&first), ["$limits/connect", "$limits/publish", "$limits/receive", "$limits/subscribe"]);
    assert!(first.iter().all(|message| message.retain && message.qos == QoS::AtMostOnce));
    let minute = "2026-11-21T12:46:00Z";
    assert_eq!(value(&first[0]), json!({ "limit": "100/min", "used": 2, "denied": 0, "resets_at": minute }));
    assert_eq!(value(&first[3]), json!({ "limit": null, "used": 1, "denied": 0, "resets_at": minute }));
    // Of several rates the one with the least left comes first, and all are there.
    let publish = value(&first[1]);
    assert_eq!((&publish["limit"], &publish["used"]), (&json!("3/min"), &json!(1)));
    assert_eq!(
        publish["rates"][1],
        json!({ "limit": "100/day", "used": 1, "denied": 0, "resets_at": "2026-11-22T00:00:00Z" })
    );
}

#[test]
fn a_device_with_rates_of_its_own_is_told_of_those_too() {
    let weir = weir();
    let (_client, first) = watcher(&weir, "valve", "$limits/device/+");
    assert_eq!(topics(&first), ["$limits/device/publish"]);
    assert_eq!(value(&first[0])["limit"], "2/min");
    let (_client, first) = watcher(&weir, "pump", "$limits/device/+");
    assert!(first.is_empty());
}

#[test]
fn changes_are_told_once_a_second_at_most_and_only_what_has_changed() {
    let mut weir = weir();
    let (mut client, _) = watcher(&weir, "pump", "$limits/publish");
    let mut publisher = publish(&weir, "pump", 1);
    assert!(client.deliveries().is_empty(), "the second has not passed");
    publisher.publish("t", b"m", QoS::AtMostOnce, 0);
    publisher.expect_nothing();
    weir.clock("+1s");
    let told = client.expect_publish();
    assert_eq!((told.retain, value(&told)["used"].as_u64()), (false, Some(2)));
    weir.clock("+1s");
    assert!(client.deliveries().is_empty(), "nothing has changed");
    weir.clock("2026-11-21T12:46:00Z");
    assert_eq!(value(&client.expect_publish())["used"], 0, "a new minute");
}

#[test]
fn the_first_denial_in_a_window_is_told_at_once() {
    let weir = weir();
    let (mut client, _) = watcher(&weir, "pump", "$limits/publish");
    publish(&weir, "pump", 5);
    let told = client.expect_publish();
    let publish = value(&told);
    assert_eq!((&publish["used"], publish["denied"].as_u64() >= Some(1)), (&json!(3), true));
    assert!(client.deliveries().is_empty(), "of the second denial it hears within a second");
}

#[test]
fn what_the_broker_says_of_itself_does_not_count_as_receive() {
    let mut weir = weir();
    let (mut client, _) = watcher(&weir, "pump", "$limits/#");
    for _ in 0..5 {
        publish(&weir, "pump", 1);
        weir.clock("+1s");
        assert!(!client.deliveries().is_empty());
    }
    let (_another, first) = watcher(&weir, "pump", "$limits/receive");
    assert_eq!((value(&first[0])["used"].as_u64(), value(&first[0])["limit"].as_str()), (Some(0), Some("2/min")));
}

#[test]
fn a_session_that_is_resumed_goes_on_hearing_of_its_limits() {
    let mut weir = weir();
    let durable = weir::wire::Connect { clean_start: false, ..connect(Version::V4, "pump", "watcher") };
    let mut client = weir.connect(&durable);
    client.subscribe("$limits/publish", QoS::AtMostOnce);
    client.expect_publish();
    client.disconnect();
    publish(&weir, "pump", 1);
    let (mut client, _) = weir.try_connect(&durable);
    assert_eq!(value(&client.expect_publish())["used"], 1);
    // And no longer once it has unsubscribed.
    client.send_bytes(&[0xA2, 19, 0, 1, 0, 15]);
    client.send_bytes(b"$limits/publish");
    assert_eq!(client.frame()[0], 0xB0);
    publish(&weir, "pump", 1);
    weir.clock("+1s");
    assert!(client.deliveries().is_empty());
}

#[test]
fn sys_is_for_the_profiles_that_may_see_it_and_is_told_every_ten_seconds() {
    let mut weir = weir();
    let suback = weir.client(Version::V5, "pump", "curious").try_subscribe(1, "$SYS/#", QoS::AtMostOnce);
    assert_eq!(suback.last(), Some(&0x87));
    let (mut client, first) = watcher(&weir, "eye", "$SYS/broker/messages_in");
    assert_eq!((topics(&first), first[0].text()), (vec!["$SYS/broker/messages_in"], "0"));
    publish(&weir, "pump", 2);
    weir.clock("+9s");
    assert!(client.deliveries().is_empty());
    weir.clock("+1s");
    assert_eq!(client.expect_publish().text(), "2");
}

#[test]
fn the_brokers_own_topics_are_not_for_clients_to_publish_to_or_to_share() {
    let weir = weir();
    let mut client = weir.client(Version::V5, "eye", "c");
    for topic in ["$SYS/broker/version", "$limits/publish", "$limits"] {
        client.publish(topic, b"m", QoS::AtLeastOnce, 1);
        assert_eq!(client.frame()[4], 0x87, "{topic}");
    }
    assert_eq!(client.try_subscribe(1, "$share/g/$limits/#", QoS::AtMostOnce).last(), Some(&0x8F));
    // A leading wildcard does not match them.
    client.subscribe("#", QoS::AtMostOnce);
    assert!(client.deliveries().is_empty());
}
