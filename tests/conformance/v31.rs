//! MQTT 3.1, whose specification numbers no statements: one test for each rule in which it differs from 3.1.1. The rest is the
//! same code, shown by the tests of 3.1.1.

use weir::wire::{Connect, QoS, Version};

use crate::common::{Client, Weir, connect};
use crate::v311::*;

/// A CONNECT of 3.1 with these flags and this payload, without a keep-alive.
fn connect_3_1(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    frame(0x10, &[b"\x00\x06MQIsdp\x03", &[flags, 0, 0], &payload.concat()])
}

fn client(weir: &Weir, client_id: &str) -> Client {
    weir.client(Version::V3, "t", client_id)
}

#[test]
fn v31_the_protocol_is_named_mqisdp_at_level_3_and_another_level_gets_return_code_1() {
    let weir = weir();
    is_answered(&weir, &connect_3_1(CLEAN, &[&text(b"c")]), 0).expect_nothing();
    for level in [2, 4, 5, 0x83] {
        is_answered(&weir, &frame(0x10, &[b"\x00\x06MQIsdp", &[level, CLEAN, 0, 0], &text(b"c")]), 1);
    }
}

#[test]
fn v31_a_client_identifier_has_1_to_23_characters_or_gets_return_code_2() {
    let weir = weir();
    for flags in [0, CLEAN] {
        is_answered(&weir, &connect_3_1(flags, &[&text(b"c")]), 0);
        is_answered(&weir, &connect_3_1(flags, &[&text(&[b'c'; 23])]), 0);
        // Characters, not bytes.
        is_answered(&weir, &connect_3_1(flags, &[&text("ü".repeat(23).as_bytes())]), 0);
        is_answered(&weir, &connect_3_1(flags, &[&text(&[b'c'; 24])]), 2);
        is_answered(&weir, &connect_3_1(flags, &[&text(b"")]), 2);
    }
}

#[test]
fn v31_connack_has_no_session_present() {
    let weir = weir();
    let durable = Connect { version: Version::V3, ..durable("client") };
    let (mut client, connack) = weir.try_connect(&durable);
    assert_eq!(connack, [0x20, 2, 0, 0]);
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    put(&mut clean(&weir, "sender"), "t", "x", QoS::AtLeastOnce);
    let (mut client, connack) = weir.try_connect(&durable);
    assert_eq!(connack, [0x20, 2, 0, 0], "the byte is reserved");
    assert_eq!(payloads(&mut client), ["x"], "the session is there all the same");
}

#[test]
fn v31_user_name_and_password_may_be_announced_and_missing() {
    let weir = weir();
    is_answered(&weir, &connect_3_1(CLEAN | 0xC0, &[&text(b"c")]), 0);
    is_answered(&weir, &connect_3_1(CLEAN | 0xC0, &[&text(b"c"), &text(b"t")]), 0);
    is_answered(&weir, &connect_3_1(CLEAN | 0xC0, &[&text(b"c"), &text(b"Token"), &text(b"t")]), 0);
}

#[test]
fn v31_subscribe_unsubscribe_and_pubrel_may_come_with_dup() {
    let weir = weir();
    let mut client = client(&weir, "client");
    for first in [0x82, 0x8A] {
        client.send_bytes(&frame(first, &[&[0, 1], &text(b"a"), &[0]]));
        client.expect(&[0x90, 3, 0, 1, 0]);
    }
    for first in [0xA2, 0xAA] {
        client.send_bytes(&frame(first, &[&[0, 2], &text(b"a")]));
        client.expect(&[0xB0, 2, 0, 2]);
    }
    client.publish("t", b"x", QoS::ExactlyOnce, 3);
    client.expect(&[0x50, 2, 0, 3]);
    for first in [0x62, 0x6A] {
        client.send_bytes(&[first, 2, 0, 3]);
        client.expect(&[0x70, 2, 0, 3]);
    }
}

#[test]
fn v31_a_pubrel_that_the_broker_sends_again_has_dup_set() {
    let weir = weir();
    let durable = Connect { version: Version::V3, ..durable("client") };
    let mut client = weir.connect(&durable);
    client.subscribe("t", QoS::ExactlyOnce);
    put(&mut clean(&weir, "sender"), "t", "x", QoS::ExactlyOnce);
    client.expect(b"\x34\x06\x00\x01t\x00\x01x");
    client.send_bytes(&[0x50, 2, 0, 1]);
    client.expect(&[0x62, 2, 0, 1]);
    lose(client);
    weir.connect(&durable).expect(&[0x6A, 2, 0, 1]);
}

#[test]
fn v31_a_subscription_that_is_not_authorised_is_acknowledged_and_brings_nothing() {
    let weir = weir_with("acl: [ { deny: subscribe, topic: \"secret/#\" } ]\nmqtt: { max_qos: 1 }");
    let mut client = client(&weir, "client");
    let filters = [text(b"secret/a"), vec![1], text(b"open"), vec![0], text(b"secret/b"), vec![2]].concat();
    client.send_bytes(&frame(0x82, &[&[0, 1], &filters]));
    client.expect(&[0x90, 5, 0, 1, 1, 0, 1]);
    let mut sender = clean(&weir, "sender");
    put(&mut sender, "secret/a", "x", QoS::AtLeastOnce);
    put(&mut sender, "open", "y", QoS::AtLeastOnce);
    assert_eq!(payloads(&mut client), ["y"]);
}

#[test]
fn v31_a_publish_that_is_not_authorised_is_acknowledged_and_goes_nowhere() {
    let weir = weir_with("acl: [ { deny: publish, topic: secret } ]");
    let mut listener = subscriber(&weir, "secret", QoS::ExactlyOnce);
    let mut client = client(&weir, "client");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        put(&mut client, "secret", "x", qos);
    }
    assert!(listener.deliveries().is_empty());
}

#[test]
fn v31_what_fails_for_another_reason_has_the_code_that_3_1_1_gave_it() {
    let weir = Weir::at(
        MORNING,
        "plans: { p: { max_subscriptions: 1 } }\nprofiles: { acme: { plan: p, devices: { pump: { token: t } } } }",
    );
    let mut client = weir.connect(&connect(Version::V3, "t", "client"));
    client.subscribe("a", QoS::AtMostOnce);
    assert_eq!(client.try_subscribe(7, "b", QoS::AtMostOnce), [0x90, 3, 0, 7, 0x80]);
}
