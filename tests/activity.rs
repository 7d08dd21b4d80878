//! What the devices of a profile do and what they were denied, as a program that embeds the broker is told; and the broker's
//! figures by QoS.

mod common;

use common::inside::{Inside, wait_for};
use common::{Client, connect, publish};
use weir::admin::model::{Denial, DeviceActivity};
use weir::wire::{Connect, Packet, Properties, QoS, Version, Will};

const CONFIG: &str = "plans:
  p: { connect: 9/min, publish: 3/min, subscribe: 2/min, receive: 2/min }
  few: { publish: 1/min, disconnect_after: 2 }
  wide: {}
profiles:
  acme: { plan: p, devices: { pump: { token: pump }, valve: { token: valve, limits: { publish: 60/min } } } }
  few: { plan: few, devices: { one: { token: one } } }
  wide: { plan: wide, devices: { eye: { token: eye }, ear: { token: ear } } }
anonymous: wide
";

fn of<'a>(all: &'a [DeviceActivity], device: &str) -> &'a DeviceActivity {
    all.iter().find(|activity| activity.device == device).unwrap_or_else(|| panic!("{device} in {all:?}"))
}

fn answers(denials: &[Denial]) -> Vec<(&str, &str, &str)> {
    denials.iter().map(|denial| (denial.resource.as_str(), denial.answer.as_str(), denial.protocol.as_str())).collect()
}

/// Publishes, and reads the answer, if there is one.
fn publish_one(client: &mut Client, qos: QoS, id: u16) {
    client.publish("t", b"12345", qos, id);
    match qos {
        QoS::AtMostOnce => client.expect_nothing(),
        QoS::AtLeastOnce | QoS::ExactlyOnce => _ = client.frame(),
    }
}

#[test]
fn what_devices_do_is_told_by_device_for_the_minute_and_since_the_start() {
    let weir = Inside::start(CONFIG);
    let mut publisher = weir.client(Version::V5, "eye", "publisher");
    let mut listener = weir.client(Version::V4, "ear", "listener");
    let (mut nobody, _) = weir.connect(&Connect { user_name: None, password: None, ..connect(Version::V5, "", "n") });
    listener.subscribe("t", QoS::AtMostOnce);
    for id in 1..=3 {
        publish_one(&mut publisher, QoS::AtLeastOnce, id);
        listener.expect_publish();
    }
    nobody.expect_nothing();
    let now = weir.broker.activity("wide").expect("the profile is there");
    assert_eq!(now.len(), 3);
    let eye = of(&now, "eye");
    assert_eq!((eye.connections, eye.published, eye.received, eye.published_total), (1, 3, 0, 3));
    let ear = of(&now, "ear");
    assert_eq!((ear.connections, ear.published, ear.received, ear.received_total), (1, 0, 3, 3));
    assert_eq!(of(&now, "(anonymous)").connections, 1);

    // Another minute begins, and one of them leaves.
    weir.clock.advance(std::time::Duration::from_secs(60));
    publish_one(&mut publisher, QoS::ExactlyOnce, 9);
    listener.expect_publish();
    listener.disconnect();
    wait_for(|| of(&weir.broker.activity("wide").expect("there"), "ear").connections, 0);
    let now = weir.broker.activity("wide").expect("the profile is there");
    assert_eq!((of(&now, "eye").published, of(&now, "eye").published_total), (1, 4));
    assert_eq!((of(&now, "ear").received, of(&now, "ear").received_total), (1, 4));
    assert!(weir.broker.activity("nobody").is_none());
}

#[test]
fn a_device_with_rates_of_its_own_is_told_with_what_is_used_of_them() {
    let weir = Inside::start(CONFIG);
    let mut valve = weir.client(Version::V5, "valve", "v");
    (1..=5).for_each(|id| publish_one(&mut valve, QoS::AtLeastOnce, id));
    let now = weir.broker.activity("acme").expect("the profile is there");
    let valve = of(&now, "valve");
    assert_eq!((valve.published, valve.denied, valve.denied_total), (3, 2, 2));
    let [limit] = valve.limits.as_slice() else { panic!("one rate: {:?}", valve.limits) };
    assert_eq!((limit.resource.as_str(), limit.limit.as_deref(), limit.max), ("publish", Some("60/min"), Some(60)));
    assert_eq!((limit.window.as_str(), limit.used, limit.reset_seconds), ("min", 3, 51));
    assert_eq!(limit.resets_at, "2026-11-21T12:46:00Z");
}

#[test]
fn a_denial_is_told_as_the_client_saw_it_the_newest_first() {
    let weir = Inside::start(CONFIG);
    let mut pump = weir.client(Version::V5, "pump", "p5");
    (1..=3).for_each(|id| publish_one(&mut pump, QoS::AtLeastOnce, id));
    assert!(weir.broker.denials("acme").expect("there").is_empty());
    publish_one(&mut pump, QoS::AtLeastOnce, 4);
    publish_one(&mut pump, QoS::ExactlyOnce, 5);
    publish_one(&mut pump, QoS::AtMostOnce, 0);
    (1..=3).for_each(|id| _ = pump.try_subscribe(id, "t", QoS::AtMostOnce));
    let mut old = weir.client(Version::V4, "valve", "p311");
    old.publish("t", b"m", QoS::AtLeastOnce, 1);
    old.expect_closed();
    for number in 3..=9 {
        weir.client(Version::V3, "pump", &format!("c{number}"));
    }
    let (_, connack) = weir.connect(&connect(Version::V5, "pump", "ten"));
    assert_eq!(connack[3], 0x9F);
    let (_, connack) = weir.connect(&connect(Version::V4, "pump", "ten"));
    assert_eq!(connack[3], 3);

    let denials = weir.broker.denials("acme").expect("the profile is there");
    assert_eq!(
        answers(&denials),
        [
            ("connect", "CONNACK 3 Server unavailable", "3.1.1"),
            ("connect", "CONNACK 0x9F Connection rate exceeded", "5"),
            ("publish", "connection closed", "3.1.1"),
            ("subscribe", "SUBACK 0x97 Quota exceeded", "5"),
            ("publish", "dropped", "5"),
            ("publish", "PUBREC 0x97 Quota exceeded", "5"),
            ("publish", "PUBACK 0x97 Quota exceeded", "5"),
        ]
    );
    let first = &denials[6];
    assert_eq!((first.client_id.as_str(), first.device.as_deref()), ("p5", Some("pump")));
    assert_eq!((first.at.as_str(), first.limit.as_str(), first.retry_after), ("2026-11-21T12:45:09Z", "3/min", 51));
    assert_eq!(first.text, "Too many requests (Retry-After: 51)");
    let now = weir.broker.activity("acme").expect("the profile is there");
    assert_eq!((of(&now, "pump").denied, of(&now, "valve").denied), (6, 1));
    assert_eq!(weir.broker.figures().denied, 7);
}

#[test]
fn a_delivery_over_the_limit_is_told_as_dropped_or_as_waiting() {
    let weir = Inside::start(CONFIG);
    let mut pump = weir.client(Version::V5, "pump", "p");
    pump.subscribe("t", QoS::AtLeastOnce);
    for id in 1..=2 {
        pump.publish("t", b"m", QoS::AtLeastOnce, id);
    }
    (0..4).for_each(|_| _ = pump.frame());
    pump.publish("t", b"m", QoS::AtMostOnce, 0);
    pump.expect_nothing();
    pump.expect_nothing();
    assert_eq!(answers(&weir.broker.denials("acme").expect("there")), [("receive", "dropped", "5")]);
    weir.clock.advance(std::time::Duration::from_secs(60));
    (1..=3).for_each(|id| pump.publish("t", b"m", QoS::AtLeastOnce, id));
    (0..5).for_each(|_| _ = pump.frame());
    wait_for(|| weir.broker.denials("acme").expect("there")[0].answer.clone(), "waits for the next window".to_owned());
}

#[test]
fn a_client_that_was_denied_too_often_is_told_as_disconnected() {
    let weir = Inside::start(CONFIG);
    let mut one = weir.client(Version::V5, "one", "o");
    (1..=3).for_each(|id| one.publish("t", b"m", QoS::AtLeastOnce, id));
    (0..4).for_each(|_| _ = one.frame());
    one.expect_closed();
    let denials = weir.broker.denials("few").expect("the profile is there");
    let puback = ("publish", "PUBACK 0x97 Quota exceeded", "5");
    assert_eq!(answers(&denials), [("publish", "DISCONNECT 0x97 Quota exceeded", "5"), puback, puback]);
    assert_eq!(weir.broker.figures().denied, 2, "it is the answer to the second");
}

#[test]
fn whoever_has_an_answer_finds_counted_what_it_answers_by_qos_and_bytes() {
    let weir = Inside::start(CONFIG);
    let mut eye = weir.client(Version::V5, "eye", "e");
    for round in 1..=20u64 {
        for (qos, id) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, round as u16 + 1)] {
            publish_one(&mut eye, qos, id);
        }
        let f = weir.broker.figures();
        assert_eq!((f.messages_in_qos0, f.messages_in_qos1, f.messages_in_qos2), (round, round, round));
        assert_eq!((f.bytes_in_qos0, f.bytes_in_qos1, f.bytes_in_qos2), (5 * round, 5 * round, 5 * round));
        assert_eq!((f.messages_in, f.messages_out), (3 * round, 0));
    }
    eye.subscribe("t", QoS::ExactlyOnce);
    for (id, qos) in (100..).zip([QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]) {
        eye.publish("t", b"1234567", qos, id);
        while eye.frame()[0] >> 4 != 3 {}
        let f = weir.broker.figures();
        let sent = [f.messages_out_qos0, f.messages_out_qos1, f.messages_out_qos2];
        assert_eq!(sent.into_iter().sum::<u64>(), u64::from(id - 99), "{sent:?}");
        assert_eq!(f.bytes_out_qos0 + f.bytes_out_qos1 + f.bytes_out_qos2, 7 * u64::from(id - 99));
        assert_eq!(sent[qos as usize], 1);
    }
}

#[test]
fn every_byte_that_is_read_and_written_is_counted_from_connect_to_disconnect() {
    let weir = Inside::start(CONFIG);
    let (mut client, connack) = weir.connect(&connect(Version::V4, "eye", "e"));
    let mut sent = Vec::new();
    Packet::Connect(connect(Version::V4, "eye", "e")).encode(Version::V4, &mut sent).expect("well-formed");
    let mut received = connack.len();
    for id in 1..=100 {
        let start = sent.len();
        let packet = Packet::Publish(publish("t", &[7; 300], QoS::AtLeastOnce, id));
        packet.encode(Version::V4, &mut sent).expect("well-formed");
        client.send_bytes(&sent[start..]);
    }
    (0..100).for_each(|_| received += client.frame().len());
    client.send_bytes(&[0xE0, 0]);
    client.expect_closed();
    let (bytes_in, bytes_out) = (sent.len() as u64 + 2, received as u64);
    wait_for(|| weir.broker.figures().network_bytes_in, bytes_in);
    wait_for(|| weir.broker.figures().network_bytes_out, bytes_out);
}

#[test]
fn a_will_is_counted_as_a_message_of_its_client() {
    let weir = Inside::start(CONFIG);
    let will =
        Will { qos: QoS::AtLeastOnce, retain: false, properties: Properties::EMPTY, topic: "last", payload: b"words" };
    let (client, _) = weir.connect(&Connect { will: Some(will), ..connect(Version::V5, "eye", "e") });
    client.vanish();
    wait_for(|| of(&weir.broker.activity("wide").expect("there"), "eye").published_total, 1);
    let f = weir.broker.figures();
    assert_eq!((f.messages_in_qos1, f.bytes_in_qos1, f.messages_in), (1, 5, 1));
}

#[test]
fn what_a_backend_routes_is_counted_too() {
    let weir = Inside::start(&format!("{CONFIG}\nbackend: rumqttd\n"));
    let mut eye = weir.client(Version::V4, "eye", "e");
    eye.subscribe("t", QoS::AtMostOnce);
    eye.publish("t", b"12345", QoS::AtLeastOnce, 1);
    (0..2).for_each(|_| _ = eye.frame());
    eye.expect_nothing();
    let f = weir.broker.figures();
    assert_eq!((f.messages_in_qos1, f.bytes_in_qos1, f.messages_out_qos0, f.bytes_out_qos0), (1, 5, 1, 5));
    let now = weir.broker.activity("wide").expect("the profile is there");
    assert_eq!((of(&now, "eye").published, of(&now, "eye").received), (1, 1));
}
