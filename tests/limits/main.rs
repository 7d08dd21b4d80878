//! The limits as clients meet them: the real binary, its clock moved by hand, every answer byte for byte. What a limit counts,
//! what the client is told, when it is served again, and that nothing that was accepted is lost on the way.

use weir::wire::{Connect, FiltersBuf, PropertyBuf, QoS, RetainHandling, SubscriptionOptions, Version, Will};

#[path = "../common/mod.rs"]
mod common;

mod caps;
mod counting;
mod expected;
mod policies;
mod reload;
mod told;
mod windows;

use common::{Client, Received, Weir, connect};
use expected::Told;

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];
/// The minute of most tests.
const START: &str = "2026-11-21T12:45:09Z";
const LAST_MILLISECOND: &str = "2026-11-21T12:45:59.999Z";
const NEXT_MINUTE: &str = "2026-11-21T12:46:00Z";
/// Two moments of that minute, and the seconds that are left of it.
const MOMENTS: [(&str, u64); 2] = [(START, 51), (LAST_MILLISECOND, 1)];

/// The profile `acme` with the devices `a`, `b` and `c`, and the profile `other` with `x`, each on a plan that says this;
/// a device's token is its name.
fn on_plan(plan: &str) -> String {
    with_devices(plan, "a: { token: a }, b: { token: b }")
}

/// The same, with devices `a` and `b` written out.
fn with_devices(plan: &str, devices: &str) -> String {
    format!(
        "plans: {{ tight: {{ {plan} }} }}\n\
         profiles:\n  \
           acme: {{ plan: tight, devices: {{ {devices}, c: {{ token: c }} }} }}\n  \
           other: {{ plan: tight, devices: {{ x: {{ token: x }} }} }}\n"
    )
}

/// A client of a session that outlives its connections.
fn durable<'a>(token: &'a str, client_id: &'a str) -> Connect<'a> {
    Connect { clean_start: false, ..connect(Version::V4, token, client_id) }
}

fn will<'a>(topic: &'a str, payload: &'a [u8], qos: QoS) -> Will<'a> {
    Will { qos, retain: false, properties: Default::default(), topic, payload }
}

fn filters(wanted: &[(&str, QoS)]) -> FiltersBuf {
    let mut filters = FiltersBuf::new();
    for (filter, qos) in wanted {
        let options = SubscriptionOptions {
            qos: *qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        filters.push(filter, options).expect("a filter");
    }
    filters
}

fn properties(wanted: &[weir::wire::Property<'_>]) -> PropertyBuf {
    let mut properties = PropertyBuf::new();
    wanted.iter().for_each(|property| properties.push(*property));
    properties
}

/// Publishes at QoS 0 and waits until that was handled.
fn publish_and_wait(client: &mut Client, topic: &str, payload: &[u8]) {
    client.publish(topic, payload, QoS::AtMostOnce, 0);
    client.expect_nothing();
}

/// Publishes at QoS 1 and is acknowledged, as an accepted message is.
#[track_caller]
fn publish_is_served(client: &mut Client, topic: &str, payload: &[u8]) {
    client.publish(topic, payload, QoS::AtLeastOnce, 1);
    let puback = client.frame();
    // Success, or in MQTT 5 No matching subscribers.
    let served = puback == [0x40, 2, 0, 1] || puback == [0x40, 3, 0, 1, 0x10];
    assert!(served, "the publish is served: {puback:02x?}");
}

/// Publishes at QoS 1 from an MQTT 5 client and is told this.
#[track_caller]
fn publish_is_denied(client: &mut Client, topic: &str, payload: &[u8], told: Told) {
    client.publish(topic, payload, QoS::AtLeastOnce, 1);
    client.expect(&expected::puback(1, told));
}

/// The payloads of what is on its way to the client.
#[track_caller]
fn payloads(client: &mut Client) -> Vec<String> {
    client.deliveries().iter().map(|received| received.text().to_owned()).collect()
}

/// Subscribes at this QoS, and has the broker acknowledged that.
fn subscriber(weir: &Weir, version: Version, token: &str, filter: &str, qos: QoS) -> Client {
    let mut client = weir.client(version, token, "subscriber");
    client.subscribe(filter, qos);
    client
}
