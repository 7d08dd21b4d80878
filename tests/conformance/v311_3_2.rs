//! MQTT 3.1.1, section 3.2: CONNACK, byte for byte.

use weir::wire::{Connect, Packet, QoS, Version};

use crate::common::{Weir, connect};
use crate::v311::*;

#[test]
fn v311_3_2_0_1_connack_comes_before_anything_else() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    put(&mut clean(&weir, "sender"), "t", "waits", QoS::AtLeastOnce);
    let mut bytes = Vec::new();
    Packet::Connect(durable("client")).encode(Version::V4, &mut bytes).expect("it is well-formed");
    // A client need not wait for its CONNACK.
    bytes.extend([0xC0, 0]);
    let mut client = weir.raw();
    client.send_bytes(&bytes);
    client.expect(&[0x20, 2, 1, 0]);
}

#[test]
fn v311_3_2_2_1_a_clean_session_is_told_of_none_present() {
    let weir = weir();
    weir.connect(&durable("client")).disconnect();
    assert_eq!(weir.try_connect(&connect(Version::V4, "t", "client")).1, [0x20, 2, 0, 0]);
}

#[test]
fn v311_3_2_2_2_a_session_that_is_kept_is_told_to_be_present() {
    let weir = weir();
    weir.connect(&durable("client")).disconnect();
    assert_eq!(weir.try_connect(&durable("client")).1, [0x20, 2, 1, 0]);
}

#[test]
fn v311_3_2_2_3_a_session_that_is_not_there_is_told_not_to_be() {
    let mut weir = weir();
    assert_eq!(weir.try_connect(&durable("never seen")).1, [0x20, 2, 0, 0]);
    clean(&weir, "client").disconnect();
    let (client, connack) = weir.try_connect(&durable("client"));
    assert_eq!(connack, [0x20, 2, 0, 0], "a clean session was not kept");
    client.disconnect();
    // mqtt.max_session_expiry.
    weir.clock("+168h");
    assert_eq!(weir.try_connect(&durable("client")).1, [0x20, 2, 0, 0], "it has expired");
}

#[test]
fn v311_3_2_2_4_a_refusal_tells_of_no_session() {
    let weir = weir();
    weir.connect(&durable("client")).disconnect();
    let refused = Connect { password: Some(b"wrong"), ..durable("client") };
    assert_eq!(weir.try_connect(&refused).1, [0x20, 2, 0, 4]);
    assert_eq!(weir.try_connect(&durable("client")).1, [0x20, 2, 1, 0], "it was there all the time");
}

#[test]
fn v311_3_2_2_5_each_return_code_but_0_is_followed_by_the_end() {
    let weir = Weir::at(
        MORNING,
        "plans: { p: { connect: 1/min } }\nprofiles: { acme: { plan: p, devices: { pump: { token: t } } } }\n\
         acl: [ { deny: publish, topic: secret } ]",
    );
    is_answered(&weir, &frame(0x10, &[b"\x00\x04MQTT", &[3, CLEAN, 0, 0], &text(b"c")]), 1);
    is_answered(&weir, &connect_frame(0, &[&text(b"")]), 2);
    let password = |password: &[u8]| connect_frame(CLEAN | 0xC0, &[&text(b"c"), &text(b"Token"), &text(password)]);
    is_answered(&weir, &password(b"wrong"), 4);
    is_answered(&weir, &connect_frame(CLEAN, &[&text(b"c")]), 5);
    is_answered(&weir, &password(b"t"), 0);
    is_answered(&weir, &password(b"t"), 3);
}

#[test]
fn v311_3_2_2_6_where_no_return_code_applies_the_connection_is_closed_without_connack() {
    let weir = weir_with("mqtt: { max_qos: 1, retain: false }");
    let fields = [text(b"c"), text(b"will"), text(b"dead")].concat();
    is_answered(&weir, &connect_frame(CLEAN | 0x04 | 1 << 3, &[&fields]), 0);
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04 | 2 << 3, &[&fields]));
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04 | 0x20, &[&fields]));
}
