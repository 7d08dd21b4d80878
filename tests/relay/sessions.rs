//! Sessions that outlive connections are the backend's; what Weir counts of them is counted once.

use weir::wire::Property;

use super::*;

const HOUR: Property<'static> = Property::SessionExpiryInterval(3_600);

fn durable(pair: &Pair, version: Version) -> (Client, bool) {
    let expiry = properties(if version == Version::V5 { &[HOUR] } else { &[] });
    let connect =
        weir::wire::Connect { clean_start: false, properties: expiry.as_properties(), ..connect(version, "a", "pump") };
    let (client, connack) = pair.weir.try_connect(&connect);
    assert_eq!(connack[3], 0, "{connack:02x?}");
    (client, connack[2] == 1)
}

#[test]
fn a_session_goes_on_with_what_came_meanwhile() {
    for version in [Version::V4, Version::V5] {
        let mut pair = Pair::on_plan("");
        let (mut client, present) = durable(&pair, version);
        assert!(!present);
        client.subscribe("t", Q1);
        kit::lose(&mut pair.weir, client, "pump");
        let mut source = pair.weir.client(version, "a", "source");
        source.publish("t", b"meanwhile", Q1, 1);
        source.frame();
        let (mut client, present) = durable(&pair, version);
        assert!(present, "MQTT {version}");
        assert_eq!(client.expect_publish().text(), "meanwhile");
    }
}

#[test]
fn a_redelivery_is_not_counted_again() {
    let mut pair = Pair::on_plan("receive: 2/min");
    let (mut client, _) = durable(&pair, Version::V4);
    client.subscribe("t", Q1);
    let mut source = pair.weir.client(Version::V4, "a", "source");
    for n in 1..=3 {
        source.publish("t", n.to_string().as_bytes(), Q1, n);
        source.frame();
    }
    assert_eq!([client.expect_publish().payload, client.expect_publish().payload], [b"1", b"2"]);
    kit::lose(&mut pair.weir, client, "pump");
    // Both come again, and there is no room for a third.
    let (mut client, _) = durable(&pair, Version::V4);
    let again = [client.expect_publish(), client.expect_publish()];
    assert!(again.iter().all(|received| received.dup), "{again:?}");
    client.nothing();
    again.iter().for_each(|received| client.acknowledge(received));
    pair.weir.clock("2026-11-21T12:46:00Z");
    assert_eq!(client.expect_publish().text(), "3");
}

#[test]
fn a_qos_2_publish_that_comes_again_is_counted_once() {
    let mut pair = Pair::on_plan("publish: 1/min");
    let (mut client, _) = durable(&pair, Version::V4);
    let message = common::publish("t", b"once", Q2, 7);
    client.send(&weir::wire::Packet::Publish(message));
    assert_eq!(client.frame(), [0x50, 2, 0, 7]);
    kit::lose(&mut pair.weir, client, "pump");
    let (mut client, present) = durable(&pair, Version::V4);
    assert!(present);
    client.send(&weir::wire::Packet::Publish(weir::wire::Publish { dup: true, ..message }));
    assert_eq!(client.frame(), [0x50, 2, 0, 7]);
    client.send_bytes(&[0x62, 2, 0, 7]);
    assert_eq!(client.frame(), [0x70, 2, 0, 7]);
}

#[test]
fn a_takeover_is_told_by_weir_and_goes_on_at_the_backend() {
    let pair = Pair::on_plan("");
    let (mut first, _) = durable(&pair, Version::V5);
    first.subscribe("t", Q1);
    let (mut second, present) = durable(&pair, Version::V5);
    assert!(present);
    first.expect_end(0x8E);
    second.publish("t", b"still there", Q0, 0);
    assert_eq!(second.expect_publish().text(), "still there");
}

#[test]
fn a_clean_start_ends_the_session_at_the_backend() {
    let mut pair = Pair::on_plan("");
    let (mut client, _) = durable(&pair, Version::V4);
    client.subscribe("t", Q1);
    kit::lose(&mut pair.weir, client, "pump");
    let client = pair.weir.client(Version::V4, "a", "pump");
    kit::lose(&mut pair.weir, client, "pump");
    assert!(!durable(&pair, Version::V4).1);
}
