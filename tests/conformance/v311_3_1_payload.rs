//! MQTT 3.1.1, sections 3.1.3 and 3.1.4: the fields of CONNECT's payload, above all the client identifier, and what the broker
//! does with a CONNECT as a whole.

use std::collections::HashSet;

use weir::wire::{Connect, Packet, QoS, Version};

use crate::common::{Client, connect};
use crate::v311::*;

#[test]
fn v311_3_1_3_1_the_fields_are_read_in_their_order() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "topic", QoS::AtMostOnce);
    let fields = [&b"id"[..], b"topic", b"message", b"Token", b"t"].map(text);
    drop(is_answered(&weir, &connect_frame(0xC6, &[&fields.concat()]), 0));
    assert_eq!(subscriber.expect_publish().text(), "message");
    // The password where the user name is due.
    let swapped = [&b"id"[..], b"topic", b"message", b"t", b"Token"].map(text);
    is_answered(&weir, &connect_frame(0xC6, &[&swapped.concat()]), 4);
}

#[test]
fn v311_3_1_3_2_the_client_identifier_tells_the_sessions_apart() {
    let weir = weir();
    for id in ["one", "two"] {
        let mut client = weir.connect(&durable(id));
        client.subscribe(id, QoS::AtLeastOnce);
        client.disconnect();
    }
    put(&mut clean(&weir, "sender"), "one", "for one", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "two", "for two", QoS::AtLeastOnce);
    for (id, message) in [("two", "for two"), ("one", "for one")] {
        let (mut client, connack) = weir.try_connect(&durable(id));
        assert_eq!(connack, [0x20, 2, 1, 0]);
        assert_eq!(payloads(&mut client), [message]);
    }
    assert_eq!(weir.try_connect(&durable("ONE")).1, [0x20, 2, 0, 0], "another identifier");
}

#[test]
fn v311_3_1_3_3_a_connect_without_a_client_identifier_closes_the_connection() {
    let weir = weir();
    is_refused_in_silence(&weir, &connect_frame(CLEAN, &[]));
    is_refused_in_silence(&weir, &connect_frame(CLEAN, &[&[0]]));
    is_refused_in_silence(&weir, &connect_frame(CLEAN, &[&[0, 9], b"short"]));
}

#[test]
fn v311_3_1_3_4_a_client_identifier_that_is_no_utf8_closes_the_connection() {
    let weir = weir();
    for id in [&b"\xFF"[..], b"\xED\xA0\x80", b"\xC0\x80", b"a\0"] {
        is_refused_in_silence(&weir, &connect_frame(CLEAN, &[&text(id)]));
    }
    is_answered(&weir, &connect_frame(CLEAN, &[&text("grüße".as_bytes())]), 0);
}

#[test]
fn v311_3_1_3_5_identifiers_of_1_to_23_letters_and_digits_are_taken() {
    let weir = weir();
    let alphabet = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let of_each_length = (1..=23).map(|len| &alphabet[..len]);
    let of_each_character = alphabet.chunks(23);
    for id in of_each_length.chain(of_each_character) {
        is_answered(&weir, &connect_frame(CLEAN, &[&text(id)]), 0);
        is_answered(&weir, &connect_frame(0, &[&text(id)]), 0);
    }
}

#[test]
fn v311_3_1_3_6_clients_that_name_no_identifier_get_one_each() {
    let mut weir = weir();
    let mut clients: Vec<Client> =
        (0..3).map(|_| is_answered(&weir, &connect_frame(CLEAN, &[&text(b"")]), 0)).collect();
    // Nobody has taken over anybody.
    clients.iter_mut().for_each(Client::expect_nothing);
    let mut assigned = HashSet::new();
    for client in clients {
        client.vanish();
        let line = weir.wait_for_log("disconnected");
        let field = line.split_whitespace().find(|word| word.contains("weir-")).expect("an identifier of the broker's");
        assert!(assigned.insert(field.to_owned()), "{field} is given once");
    }
}

#[test]
fn v311_3_1_3_8_no_identifier_and_a_session_to_be_kept_gets_return_code_2_and_is_closed() {
    is_answered(&weir(), &connect_frame(0, &[&text(b"")]), 2);
}

#[test]
fn v311_3_1_3_9_an_identifier_that_is_rejected_gets_return_code_2_and_is_closed() {
    let weir = weir();
    // The one kind that is rejected, with other fields around it.
    let (_, connack) = weir.try_connect(&durable(""));
    assert_eq!(connack, [0x20, 2, 0, 2]);
    let with_will = Connect { will: Some(will("will", b"dead", QoS::AtMostOnce, false)), ..durable("") };
    let mut subscriber = subscriber(&weir, "will", QoS::AtMostOnce);
    let (mut client, connack) = weir.try_connect(&with_will);
    assert_eq!(connack, [0x20, 2, 0, 2]);
    client.expect_closed();
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_1_3_10_a_will_topic_that_is_no_utf8_closes_the_connection() {
    let weir = weir();
    for topic in [&b"\xFF"[..], b"\xED\xA0\x80", b"a\0"] {
        is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04, &[&text(b"c"), &text(topic), &text(b"dead")]));
    }
}

#[test]
fn v311_3_1_3_11_a_user_name_that_is_no_utf8_closes_the_connection() {
    let weir = weir();
    for user in [&b"\xFF"[..], b"\xED\xA0\x80", b"a\0"] {
        is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x80, &[&text(b"c"), &text(user)]));
    }
}

#[test]
fn v311_3_1_4_1_a_connect_that_does_not_conform_is_closed_without_connack() {
    let weir = weir();
    let whole = connect_frame(CLEAN, &[&text(b"c")]);
    is_answered(&weir, &whole, 0);
    // Cut short at every byte of its body, its length saying so.
    for len in 0..whole.len() - 2 {
        is_refused_in_silence(&weir, &frame(0x10, &[&whole[2..2 + len]]));
    }
    is_refused_in_silence(&weir, &frame(0x10, &[&whole[2..], b"more"]));
    let wildcard = [text(b"c"), text(b"will/#"), text(b"dead")].concat();
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04, &[&wildcard]));
}

#[test]
fn v311_3_1_4_2_a_second_client_of_the_same_identifier_ends_the_first() {
    let weir = weir();
    let mut first = clean(&weir, "same");
    let mut bystander = clean(&weir, "other");
    let mut second = clean(&weir, "same");
    first.expect_closed();
    second.expect_nothing();
    bystander.expect_nothing();
}

#[test]
fn v311_3_1_4_3_clean_session_is_honoured_when_a_connected_client_is_replaced_too() {
    let weir = weir();
    let mut first = weir.connect(&durable("same"));
    first.subscribe("t", QoS::AtLeastOnce);
    let (mut second, connack) = weir.try_connect(&durable("same"));
    assert_eq!(connack, [0x20, 2, 1, 0]);
    put(&mut clean(&weir, "sender"), "t", "x", QoS::AtLeastOnce);
    assert_eq!(second.expect_publish().text(), "x");
    let (mut third, connack) = weir.try_connect(&connect(Version::V4, "t", "same"));
    assert_eq!(connack, [0x20, 2, 0, 0]);
    put(&mut clean(&weir, "sender"), "t", "y", QoS::AtLeastOnce);
    assert!(third.deliveries().is_empty());
}

#[test]
fn v311_3_1_4_4_a_connect_that_is_in_order_gets_return_code_0() {
    let weir = weir();
    for flags in [0, CLEAN] {
        is_answered(&weir, &connect_frame(flags, &[&text(b"c")]), 0).expect_nothing();
    }
}

#[test]
fn v311_3_1_4_5_what_follows_a_connect_that_is_rejected_does_nothing() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "#", QoS::AtMostOnce);
    let mut bytes = Vec::new();
    Packet::Connect(connect(Version::V4, "wrong", "c")).encode(Version::V4, &mut bytes).expect("it is well-formed");
    bytes.extend([publish_frame(b"t"), frame(0x31, &[&text(b"kept"), b"x"])].concat());
    is_answered(&weir, &bytes, 4);
    is_answered(&weir, &[connect_frame(0, &[&text(b"")]), publish_frame(b"t")].concat(), 2);
    assert!(subscriber.deliveries().is_empty());
    let mut late = clean(&weir, "late");
    late.subscribe("#", QoS::AtMostOnce);
    assert!(late.deliveries().is_empty(), "nothing is retained");
}
