//! MQTT 5, sections 3.1.3 and 3.1.4: the payload of CONNECT, and what the server does about it.

use weir::wire::{Connect, Packet, Property, QoS, Version, Will};

use super::common::{Client, Weir, connect};
use super::v5_support::*;

/// A CONNECT of a plain client, by its raw client identifier.
fn with_client_id(flags: u8, client_id: &[u8]) -> Vec<u8> {
    connect_frame(flags, &[], &[&text(client_id)])
}

/// Connects with a will that has this delay, in a session that outlives its connection.
fn with_will_delay(weir: &Weir, client_id: &str, delay: u32) -> Client {
    let delay = properties(&[Property::WillDelayInterval(delay)]);
    let will = Will { properties: delay.as_properties(), ..will("w", "will") };
    join_with_will(weir, client_id, false, &[AN_HOUR], Some(will)).0
}

/// A subscriber of `w`.
fn heir(weir: &Weir) -> Client {
    let mut heir = guest(weir, "heir");
    heir.subscribe("w", QoS::AtMostOnce);
    heir
}

#[test]
fn v5_3_1_3_1_the_fields_of_the_payload_are_taken_in_their_order() {
    let weir = Weir::at(MORNING, &OPEN.replace("anonymous: acme\n", ""));
    let mut heir = weir.client(Version::V5, "t", "heir");
    heir.subscribe("#", QoS::AtMostOnce);
    let mut client = weir.raw();
    let content_type = with_length(&[&[0x03], text("type").as_slice()].concat());
    let will = [content_type.as_slice(), &text("w"), &text("will")].concat();
    let payload = [&text("c"), will.as_slice(), &text("Token"), &text("t")].concat();
    client.send_bytes(&connect_frame(0xC6, &[0x19, 1], &[&payload]));
    let frame = client.frame();
    assert_eq!(connack(&frame).code, 0, "user name and password were found");
    assert_eq!(connack(&frame).properties.response_information(), Some("responses/c"), "and the client identifier");
    lose(client);
    heir.expect(&publish_frame(0x30, "w", &content_type[1..], b"will"));
    // Another order makes other fields of them.
    let swapped = [&text("c"), text("Token").as_slice(), &text("t"), &will].concat();
    is_refused(&weir, &connect_frame(0xC6, &[], &[&swapped]), MALFORMED);
}

#[test]
fn v5_3_1_3_2_the_client_identifier_is_what_a_session_is_found_by() {
    let weir = open();
    let (mut first, _) = join(&weir, "first", false, &[AN_HOUR]);
    first.subscribe("t", QoS::AtLeastOnce);
    first.disconnect();
    let (mut second, connack) = join(&weir, "second", false, &[AN_HOUR]);
    assert_eq!(connack[2], 0, "another client's session is not its own");
    hand_in(&mut guest(&weir, "publisher"), 0x32, "t", &[], "for the first");
    assert_eq!(payloads(&mut second), [""; 0]);
    let (mut first, connack) = join(&weir, "first", false, &[AN_HOUR]);
    assert_eq!((connack[2], first.expect_publish().text()), (1, "for the first"));
}

#[test]
fn v5_3_1_3_3_a_payload_without_a_client_identifier_is_malformed() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x02, &[], &[]), MALFORMED);
    is_refused(&weir, &connect_frame(0x02, &[], &[&[0, 2, b'c']]), MALFORMED);
}

#[test]
fn v5_3_1_3_4_a_client_identifier_that_is_no_utf_8_string_is_malformed() {
    let weir = open();
    for client_id in [&b"\xFF"[..], b"c\xED\xA0\x80", b"c\0"] {
        is_refused(&weir, &with_client_id(0x02, client_id), MALFORMED);
    }
}

#[test]
fn v5_3_1_3_5_client_identifiers_of_1_to_23_letters_and_digits_are_taken() {
    let weir = open();
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for len in 1..=23 {
        for start in (0..all.len() - len).step_by(len) {
            assert_eq!(join(&weir, &all[start..start + len], true, &[]).1[3], 0, "{len} from {start}");
        }
    }
    for letter in all.chars() {
        assert_eq!(join(&weir, &letter.to_string().repeat(23), true, &[]).1[3], 0, "{letter}");
    }
}

#[test]
fn v5_3_1_3_6_a_client_without_an_identifier_gets_one_that_nobody_else_has() {
    let weir = open();
    let (mut one, one_connack) = join(&weir, "", true, &[]);
    let (mut other, other_connack) = join(&weir, "", false, &[]);
    let assigned = |frame| connack(frame).properties.assigned_client_identifier().map(str::to_owned);
    let (first, second) = (assigned(&one_connack), assigned(&other_connack));
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
    // Neither has taken over the other.
    one.expect_nothing();
    other.expect_nothing();
}

#[test]
fn v5_3_1_3_7_an_assigned_client_identifier_is_told_and_is_good_as_one_of_its_own() {
    let weir = open();
    let (mut first, frame) = join(&weir, "", false, &[AN_HOUR]);
    let assigned = connack(&frame).properties.assigned_client_identifier().expect("it is told").to_owned();
    first.subscribe("t", QoS::AtLeastOnce);
    first.disconnect();
    hand_in(&mut guest(&weir, "publisher"), 0x32, "t", &[], "queued");
    let (mut again, frame) = join(&weir, &assigned, false, &[AN_HOUR]);
    assert_eq!((frame[2], again.expect_publish().text()), (1, "queued"));
    assert_eq!(connack(&frame).properties.assigned_client_identifier(), None, "it came with one this time");
}

#[test]
fn v5_3_1_3_8_a_client_identifier_that_is_rejected_closes_the_connection() {
    let weir = open();
    // The only ones that are: no strings.
    let mut client = weir.raw();
    client.send_bytes(&with_client_id(0x02, b"\0"));
    client.send_bytes(&[0xC0, 0]);
    let connack = client.frame();
    assert_eq!((connack[0], connack[2]), (0x20, 0), "{connack:02x?}");
    assert!(connack[3] >= 0x80, "{connack:02x?}");
    client.expect_closed();
}

#[test]
fn v5_3_1_3_9_a_will_is_not_sent_to_anyone_if_its_client_is_back_before_the_delay_is_over() {
    let mut weir = open();
    let mut heir = heir(&weir);
    lose(with_will_delay(&weir, "c", 10));
    weir.clock("+9s");
    // Back after a lost connection, and back by taking over the one there is.
    let first = with_will_delay(&weir, "c", 10);
    let second = with_will_delay(&weir, "c", 10);
    weir.clock("+3000s");
    assert_eq!(payloads(&mut heir), [""; 0]);
    drop(first);
    lose(second);
    weir.clock("+10s");
    assert_eq!(heir.expect_publish().text(), "will");
    assert_eq!(payloads(&mut heir), [""; 0], "the last one's, and no other");
}

#[test]
fn v5_3_1_3_10_the_user_properties_of_a_will_keep_their_order() {
    let weir = open();
    let mut heir = heir(&weir);
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "0")].map(|(n, v)| Property::UserProperty(n, v));
    let kept = properties(&pairs);
    // The delay in their midst is the broker's alone.
    let (before, after) = pairs.split_at(2);
    let sent = properties(&[before, &[Property::WillDelayInterval(0)], after].concat());
    let will = Will { properties: sent.as_properties(), ..will("w", "") };
    lose(join_with_will(&weir, "c", true, &[], Some(will)).0);
    assert_eq!(heir.expect_publish().properties, kept.as_properties().as_bytes());
}

#[test]
fn v5_3_1_3_11_a_will_topic_that_is_no_utf_8_string_is_malformed() {
    let weir = open();
    for topic in [&b"\xFF"[..], b"w\xED\xA0\x80", b"w\0"] {
        let will = [&[0], text(topic).as_slice(), &text("will")].concat();
        is_refused(&weir, &connect_frame(0x06, &[], &[&text("c"), &will]), MALFORMED);
    }
}

#[test]
fn v5_3_1_3_12_a_user_name_comes_next_and_is_a_utf_8_string() {
    let weir = Weir::at(MORNING, &OPEN.replace("anonymous: acme\n", ""));
    for user_name in [&b"\xFF"[..], b"t\xED\xA0\x80", b"t\0"] {
        is_refused(&weir, &connect_frame(0x82, &[], &[&text("c"), &text(user_name)]), MALFORMED);
    }
    let mut client = weir.raw();
    let will = [&[0], text("w").as_slice(), &text("will")].concat();
    client.send_bytes(&connect_frame(0x86, &[], &[&text("c"), &will, &text("t")]));
    assert_eq!(client.frame()[3], 0, "the token was found behind the will");
}

#[test]
fn v5_3_1_4_1_a_connect_of_another_format_closes_the_connection() {
    let weir = open();
    let id = text("c");
    let malformed = [
        ("trailing bytes", connect_frame(0x02, &[], &[&id, b"x"])),
        ("properties longer than the packet", frame(0x10, &[b"\x00\x04MQTT\x05\x02\x00\x00\x7F", &id])),
        ("a property that does not exist", connect_frame(0x02, &[0x7E, 0], &[&id])),
        ("a property of another packet", connect_frame(0x02, &[0x23, 0, 1], &[&id])),
        ("an end in the middle of the header", frame(0x10, &[b"\x00\x04MQTT\x05\x02\x00"])),
    ];
    for (name, bytes) in malformed {
        let mut client = weir.raw();
        client.send_bytes(&bytes);
        assert_eq!(client.frame()[3], MALFORMED, "{name}");
        client.expect_closed();
    }
    for twice in [&[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1][..], &[0x21, 0, 0], &[0x27, 0, 0, 0, 0], &[0x17, 2], &[0x19, 2]]
    {
        is_refused(&weir, &connect_frame(0x02, twice, &[&id]), PROTOCOL_ERROR);
    }
    // Nobody can be answered whose fixed header is wrong.
    let mut client = weir.raw();
    client.send_bytes(&[0x11, 0]);
    client.expect_closed();
}

#[test]
fn v5_3_1_4_2_a_client_that_fails_a_check_is_closed() {
    let weir = open_with("acl: [ { deny: publish, topic: forbidden } ]");
    let mut client = weir.raw();
    client.send(&Packet::Connect(connect(Version::V5, "wrong", "c")));
    assert_eq!(client.frame()[3], 0x86, "Bad User Name or Password");
    client.expect_closed();
    let (mut client, connack) = join_with_will(&weir, "c", true, &[], Some(will("forbidden", "")));
    assert_eq!(connack[3], 0x87, "Not authorized");
    client.expect_closed();
}

#[test]
fn v5_3_1_4_3_a_second_connection_of_a_client_closes_the_first_which_is_told_so() {
    let weir = open();
    for clean_start in [true, false] {
        let (mut first, _) = join(&weir, "c", true, &[AN_HOUR]);
        let (mut second, connack) = join(&weir, "c", clean_start, &[AN_HOUR]);
        expect_disconnect(&mut first, 0x8E);
        assert_eq!(connack[2..4], [u8::from(!clean_start), 0]);
        second.expect_nothing();
    }
}

#[test]
fn v5_3_1_4_4_clean_start_is_done_also_when_the_session_is_connected() {
    let weir = open();
    for (clean_start, expected) in [(false, &["still subscribed"][..]), (true, &[])] {
        let (mut first, _) = join(&weir, "c", true, &[AN_HOUR]);
        first.subscribe("t", QoS::AtMostOnce);
        let (mut second, _) = join(&weir, "c", clean_start, &[AN_HOUR]);
        hand_in(&mut guest(&weir, "publisher"), 0x30, "t", &[], "still subscribed");
        assert_eq!(payloads(&mut second), expected);
    }
}

#[test]
fn v5_3_1_4_5_a_good_connect_is_acknowledged_with_success() {
    let weir = open();
    let mut client = weir.raw();
    client.send_bytes(&with_client_id(0x02, b"c"));
    let frame = client.frame();
    assert_eq!((frame[0], connack(&frame).code), (0x20, 0));
    client.expect_nothing();
}

#[test]
fn v5_3_1_4_6_what_follows_a_rejected_connect_is_not_processed() {
    let weir = open();
    let mut rejected = Vec::new();
    let wrong = Packet::Connect(Connect { user_name: Some("wrong"), password: None, ..connect(Version::V5, "", "c") });
    wrong.encode(Version::V5, &mut rejected).expect("it is well-formed");
    rejected.extend(publish_frame(0x31, "t", &[], b"retained"));
    rejected.extend([0xC0, 0]);
    is_refused(&weir, &rejected, 0x86);
    assert_eq!(payloads(&mut subscriber(&weir, "t", QoS::AtMostOnce)), [""; 0]);
}
