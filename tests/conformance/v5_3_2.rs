//! MQTT 5, section 3.2: CONNACK.

use weir::wire::{Connect, Packet, Property, QoS, Version, Will};

use super::common::{Client, Weir, connect};
use super::v5_support::*;

/// Who is refused, and with which reason code.
struct Refusal {
    name: &'static str,
    connect: Vec<u8>,
    reason: u8,
}

/// A broker without QoS 2 and retained messages, and everything that it refuses in a CONNACK.
fn refusals() -> (Weir, Vec<Refusal>) {
    let weir = open_with(
        "mqtt: { max_qos: 1, retain: false }\nacl: [ { deny: publish, topic: forbidden } ]\n\
         admission: { failed_connects_per_ip: 1/min }",
    );
    let id = text("c");
    let will = |topic: &str| [&[0], text(topic).as_slice(), &text("")].concat();
    let rows = [
        ("a version that is not spoken", frame(0x10, &[b"\x00\x04MQTT\x06\x02\x00\x00\x00", &id]), 0x84),
        ("the reserved flag", connect_frame(0x03, &[], &[&id]), 0x81),
        ("a client identifier that is no text", connect_frame(0x02, &[], &[&text([0xFF])]), 0x81),
        ("a property twice", connect_frame(0x02, &[0x17, 1, 0x17, 1], &[&id]), 0x82),
        ("a property with a value that is wrong", connect_frame(0x02, &[0x21, 0, 0], &[&id]), 0x82),
        ("a topic alias, and that 0", connect_frame(0x02, &[0x23, 0, 0], &[&id]), 0x81),
        ("a method that is not offered", connect_frame(0x02, &[0x15, 0, 1, b'm'], &[&id]), 0x8C),
        ("a will for a wildcard", connect_frame(0x06, &[], &[&id, &will("a/#")]), 0x90),
        ("a will for a topic that is forbidden", connect_frame(0x06, &[], &[&id, &will("forbidden")]), 0x87),
        ("a will of QoS 2", connect_frame(0x16, &[], &[&id, &will("w")]), 0x9B),
        ("a will that is retained", connect_frame(0x26, &[], &[&id, &will("w")]), 0x9A),
        ("a token that is not known", connect_frame(0x82, &[], &[&id, &text("wrong")]), 0x86),
        ("one failure too many", connect_frame(0x82, &[], &[&id, &text("wrong")]), 0x8A),
    ];
    (weir, rows.into_iter().map(|(name, connect, reason)| Refusal { name, connect, reason }).collect())
}

/// The CONNACK that answers this, and the client that got it.
fn answer(weir: &Weir, connect: &[u8]) -> (Client, Vec<u8>) {
    let mut client = weir.raw();
    client.send_bytes(connect);
    let connack = client.frame();
    assert_eq!(connack[0], 0x20, "{connack:02x?}");
    (client, connack)
}

#[test]
fn v5_3_2_0_1_connack_comes_before_any_other_packet() {
    let weir = open();
    let (mut away, _) = join(&weir, "c", false, &[AN_HOUR]);
    away.subscribe("t", QoS::AtLeastOnce);
    away.disconnect();
    hand_in(&mut guest(&weir, "publisher"), 0x32, "t", &[], "queued");
    let mut back = weir.raw();
    // What is asked for together with the CONNECT is answered behind it too.
    back.send_bytes(&connect_frame(0x00, &[], &[&text("c")]));
    back.send_bytes(&[0xC0, 0]);
    let kinds = [back.frame()[0], back.frame()[0], back.frame()[0]];
    assert_eq!(kinds[0], 0x20);
    assert!(kinds.contains(&0xD0) && kinds.contains(&0x32), "{kinds:02x?}");
}

#[test]
fn v5_3_2_0_2_a_connection_gets_one_connack() {
    let weir = open();
    let mut client = weir.raw();
    client.send_bytes(&connect_frame(0x02, &[], &[&text("c")]).repeat(2));
    assert_eq!(client.frame()[0], 0x20);
    expect_disconnect(&mut client, PROTOCOL_ERROR);
}

#[test]
fn v5_3_2_2_1_the_reserved_connect_acknowledge_flags_are_0() {
    let weir = open();
    assert_eq!(join(&weir, "c", false, &[AN_HOUR]).1[2], 0);
    assert_eq!(join(&weir, "c", false, &[AN_HOUR]).1[2], 1, "Session Present alone");
    let (weir, refusals) = refusals();
    for refusal in refusals {
        let (_client, connack) = answer(&weir, &refusal.connect);
        assert_eq!(connack[2], 0, "{}", refusal.name);
    }
}

#[test]
fn v5_3_2_2_2_clean_start_is_answered_with_no_session_present() {
    let weir = open();
    for _ in 0..2 {
        assert_eq!(join(&weir, "c", true, &[AN_HOUR]).1[2..4], [0, 0]);
    }
}

#[test]
fn v5_3_2_2_3_without_clean_start_session_present_tells_whether_there_was_one() {
    let weir = open();
    assert_eq!(join(&weir, "c", false, &[AN_HOUR]).1[2..4], [0, 0]);
    let (last, connack) = join(&weir, "c", false, &[]);
    assert_eq!(connack[2..4], [1, 0]);
    // That connection has let the session end with it.
    last.disconnect();
    assert_eq!(join(&weir, "c", false, &[AN_HOUR]).1[2..4], [0, 0]);
}

#[test]
fn v5_3_2_2_6_a_refusal_says_no_session_present_even_where_there_is_one() {
    let config = OPEN.replace("open: {}", "open: { connect: 1/min }");
    let mut weir = Weir::at(MORNING, &config);
    join(&weir, "c", false, &[AN_HOUR]).0.disconnect();
    let (_client, connack) = join(&weir, "c", false, &[AN_HOUR]);
    assert_eq!(connack[2..4], [0, 0x9F]);
    weir.clock("+1min");
    assert_eq!(join(&weir, "c", false, &[AN_HOUR]).1[2..4], [1, 0], "there is one");
}

#[test]
fn v5_3_2_2_7_after_a_refusal_the_connection_is_closed() {
    let (weir, refusals) = refusals();
    for refusal in refusals {
        let (mut client, connack) = answer(&weir, &refusal.connect);
        assert_eq!(connack[3], refusal.reason, "{}", refusal.name);
        client.expect_closed();
    }
}

#[test]
fn v5_3_2_2_8_every_connack_has_a_connect_reason_code() {
    const CONNECT_REASON_CODES: [u8; 22] = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
        0x9B, 0x9C, 0x9D, 0x9F,
    ];
    let (weir, refusals) = refusals();
    assert_eq!(join(&weir, "c", true, &[]).1[3], 0);
    for refusal in refusals {
        let (_client, connack) = answer(&weir, &refusal.connect);
        assert!(CONNECT_REASON_CODES.contains(&connack[3]), "{}: {:#x}", refusal.name, connack[3]);
    }
}

#[test]
fn v5_3_2_2_9_the_highest_qos_is_told_where_it_is_not_2() {
    for (config, told) in [("mqtt: { max_qos: 0 }", Some(0)), ("mqtt: { max_qos: 1 }", Some(1)), ("", None)] {
        let (_client, frame) = join(&open_with(config), "c", true, &[]);
        assert_eq!(connack(&frame).properties.maximum_qos(), told, "{config}");
    }
}

#[test]
fn v5_3_2_2_10_a_subscription_of_a_higher_qos_than_there_is_is_accepted_all_the_same() {
    for max_qos in [0, 1] {
        let weir = open_with(&format!("mqtt: {{ max_qos: {max_qos} }}"));
        let mut client = guest(&weir, "c");
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            client.send_bytes(&frame(0x82, &[&[0, 2, 0], &text("t"), &[qos as u8]]));
            client.expect(&[0x90, 4, 0, 2, 0, max_qos.min(qos as u8)]);
        }
        client.send_bytes(&publish_frame(0x30, "t", &[], b"hi"));
        client.expect(&publish_frame(0x30, "t", &[], b"hi"));
    }
}

#[test]
fn v5_3_2_2_11_a_publish_above_the_maximum_qos_is_disconnected() {
    let weir = open_with("mqtt: { max_qos: 1 }");
    hand_in(&mut guest(&weir, "c"), 0x32, "t", &[], "as high as it goes");
    is_disconnected(&weir, &publish_frame(0x34, "t", &[], b""), 0x9B);
}

#[test]
fn v5_3_2_2_12_a_will_above_the_maximum_qos_is_refused() {
    let weir = open_with("mqtt: { max_qos: 1 }");
    for (qos, reason) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 0), (QoS::ExactlyOnce, 0x9B)] {
        let (mut client, connack) = join_with_will(&weir, "c", true, &[], Some(Will { qos, ..will("w", "") }));
        assert_eq!(connack[3], reason, "{qos:?}");
        if reason > 0 {
            client.expect_closed();
        }
    }
}

#[test]
fn v5_3_2_2_13_a_retained_will_is_refused_where_retained_messages_are_not_kept() {
    let weir = open_with("mqtt: { retain: false }");
    let (mut client, frame) = join_with_will(&weir, "c", true, &[], Some(Will { retain: true, ..will("w", "") }));
    assert_eq!(frame[3], 0x9A);
    client.expect_closed();
    let (_client, frame) = join_with_will(&weir, "c", true, &[], Some(will("w", "")));
    assert_eq!((frame[3], connack(&frame).properties.retain_available()), (0, Some(false)));
}

#[test]
fn v5_3_2_2_14_a_retained_publish_is_disconnected_where_retained_messages_are_not_kept() {
    let weir = open_with("mqtt: { retain: false }");
    is_disconnected(&weir, &publish_frame(0x31, "t", &[], b""), 0x9A);
}

#[test]
fn v5_3_2_2_15_a_packet_above_the_maximum_packet_size_of_the_broker_is_disconnected() {
    let weir = open_with("mqtt: { max_packet_size: 100 }");
    let (mut fits, frame) = join(&weir, "c", true, &[]);
    assert_eq!(connack(&frame).properties.maximum_packet_size(), Some(100));
    let publish = |size: usize| publish_frame(0x30, "t", &[], &vec![b'x'; size - 6]);
    assert_eq!(publish(100).len(), 100);
    fits.send_bytes(&publish(100));
    fits.expect_nothing();
    is_disconnected(&weir, &publish(101), 0x95);
}

#[test]
fn v5_3_2_2_16_an_assigned_client_identifier_is_no_session_that_exists() {
    let weir = open();
    let mut assigned = std::collections::HashSet::new();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let (client, frame) = join(&weir, "", false, &[AN_HOUR]);
        assert_eq!(frame[2], 0, "a session of its own");
        let client_id = connack(&frame).properties.assigned_client_identifier().expect("it is told");
        assert!(assigned.insert(client_id.to_owned()), "{client_id} is given twice");
        clients.push(client);
    }
    clients.iter_mut().for_each(Client::expect_nothing);
}

#[test]
fn v5_3_2_2_17_a_topic_alias_above_the_maximum_of_the_broker_is_disconnected() {
    let weir = open_with("mqtt: { topic_alias_maximum: 3 }");
    let (mut client, frame) = join(&weir, "c", true, &[]);
    assert_eq!(connack(&frame).properties.topic_alias_maximum(), Some(3));
    hand_in(&mut client, 0x30, "t", &[0x23, 0, 3], "");
    is_disconnected(&weir, &publish_frame(0x30, "t", &[0x23, 0, 4], b""), 0x94);
}

#[test]
fn v5_3_2_2_18_where_no_topic_alias_maximum_is_told_any_topic_alias_is_disconnected() {
    let weir = open_with("mqtt: { topic_alias_maximum: 0 }");
    let (_client, frame) = join(&weir, "c", true, &[]);
    assert_eq!(connack(&frame).properties.topic_alias_maximum(), None);
    is_disconnected(&weir, &publish_frame(0x30, "t", &[0x23, 0, 1], b""), 0x94);
}

/// The CONNACK of a client that is over the `connect` limit and takes packets of this size.
fn denied(maximum_packet_size: u32) -> Vec<u8> {
    let weir = Weir::at(MORNING, &OPEN.replace("open: {}", "open: { connect: 1/min }"));
    let _first = guest(&weir, "first");
    let (mut client, frame) = join(&weir, "late", true, &[Property::MaximumPacketSize(maximum_packet_size)]);
    assert_eq!(frame[3], 0x9F, "Connection rate exceeded");
    client.expect_closed();
    frame
}

#[test]
fn v5_3_2_2_19_no_reason_string_is_sent_that_makes_connack_too_large() {
    let whole = denied(1000);
    assert!(connack(&whole).properties.reason_string().is_some());
    let size = whole.len() as u32;
    assert_eq!(denied(size), whole);
    for size in [size - 1, 20, 5] {
        let smaller = denied(size);
        assert!(smaller.len() as u32 <= size, "{smaller:02x?}");
        assert_eq!(connack(&smaller).properties.reason_string(), None);
    }
}

#[test]
fn v5_3_2_2_20_no_user_properties_are_sent_that_make_connack_too_large() {
    let whole = denied(1000);
    assert_eq!(connack(&whole).properties.user_properties().count(), 3);
    for size in [whole.len() as u32 - 1, 20, 5] {
        let smaller = denied(size);
        assert!(smaller.len() as u32 <= size, "{smaller:02x?}");
        assert_eq!(connack(&smaller).properties.user_properties().count(), 0);
    }
}

/// Connects with this Keep Alive; what the CONNACK says of it.
fn with_keep_alive(weir: &Weir, keep_alive: u16) -> (Client, Option<u16>) {
    let mut client = weir.raw();
    client.send(&Packet::Connect(Connect { keep_alive, ..connect(Version::V5, "t", "c") }));
    let frame = client.frame();
    (client, connack(&frame).properties.server_keep_alive())
}

#[test]
fn v5_3_2_2_21_a_server_keep_alive_takes_the_place_of_the_clients() {
    let mut weir = open_with("mqtt: { max_keep_alive: 10s }");
    for longer in [0, 11, 60_000] {
        let (mut client, told) = with_keep_alive(&weir, longer);
        assert_eq!(told, Some(10), "instead of {longer}");
        weir.clock("+14999ms");
        client.expect_nothing();
        weir.clock("+15s");
        expect_disconnect(&mut client, 0x8D);
    }
}

#[test]
fn v5_3_2_2_22_without_a_server_keep_alive_the_clients_holds() {
    let mut weir = open_with("mqtt: { max_keep_alive: 10s }");
    for own in [10, 4] {
        let (mut client, told) = with_keep_alive(&weir, own);
        assert_eq!(told, None);
        weir.clock(&format!("+{}ms", u32::from(own) * 1500 - 1));
        client.expect_nothing();
        weir.clock(&format!("+{}ms", u32::from(own) * 1500));
        expect_disconnect(&mut client, 0x8D);
    }
}
