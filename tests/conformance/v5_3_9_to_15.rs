//! MQTT 5, sections 3.9 to 3.15: SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, DISCONNECT and AUTH.

use weir::wire::{Connect, Packet, Property, QoS, ReasonCode, Version, Will};

use crate::common::{Client, Weir, connect};
use crate::v5_setup::*;

// SUBACK

#[test]
fn v5_3_9_2_1_a_suback_leaves_out_a_reason_string_that_does_not_fit() {
    let ask = subscribe(7, &[(b"forbidden", 0)]);
    is_left_out_where_it_does_not_fit(&weir_with("", FORBIDDEN), &ask, &REASON_STRING, &answer(0x90, 7, &[0x87]));
}

#[test]
fn v5_3_9_2_2_a_suback_leaves_out_user_properties_that_do_not_fit() {
    let ask = subscribe(7, &[(b"t", 0)]);
    is_left_out_where_it_does_not_fit(&weir_with("subscribe: 0/min", ""), &ask, RETRY_AFTER, &answer(0x90, 7, &[0x97]));
}

#[test]
fn v5_3_9_3_1_the_reason_codes_of_a_suback_are_in_the_order_of_the_filters() {
    let weir = weir_with("", FORBIDDEN);
    let mut client = client(&weir, "client");
    client.send_bytes(&subscribe(1, &[(b"a", 1), (b"forbidden", 0), (b"b", 2), (b"$share/g", 0), (b"c", 0)]));
    assert_eq!(codes(&client.frame()), [1, 0x87, 2, 0x8F, 0]);
    client.send_bytes(&subscribe(2, &[(b"$share/g", 0), (b"c", 0), (b"b", 2), (b"forbidden", 0), (b"a", 1)]));
    assert_eq!(codes(&client.frame()), [0x8F, 0, 2, 0x87, 1]);
}

#[test]
fn v5_3_9_3_2_each_reason_code_of_a_suback_is_one_of_its_table() {
    let switched_off = "mqtt: { wildcard_subscriptions: false, shared_subscriptions: false }";
    let weir = weir_with("max_subscriptions: 3, max_topic_levels: 3", &format!("{switched_off}\n{FORBIDDEN}"));
    let mut client = client(&weir, "client");
    let wanted: [(&[u8], u8); 9] = [
        (b"0", 0),
        (b"1", 1),
        (b"2", 2),
        (b"one/too/many", 0),
        (b"levels/of/a/topic", 0),
        (b"forbidden", 0),
        (b"$share//t", 0),
        (b"$share/g/t", 0),
        (b"a/+", 0),
    ];
    for (filter, options) in wanted {
        client.send_bytes(&subscribe(1, &[(filter, options)]));
    }
    let got: Vec<u8> = wanted.iter().flat_map(|_| codes(&client.frame()).to_vec()).collect();
    assert_eq!(got, [0, 1, 2, 0x97, 0x97, 0x87, 0x8F, 0x9E, 0xA2]);
}

// UNSUBSCRIBE and UNSUBACK

#[test]
fn v5_3_10_1_1_an_unsubscribe_with_other_flags_than_0010_is_malformed() {
    let body = &unsubscribe(1, &[b"t"])[2..];
    let packets: Vec<_> = (0..16).filter(|flags| *flags != 2).map(|flags| frame(0xA0 | flags, &[body])).collect();
    each_ends_the_connection(&weir(), MALFORMED, &packets);
}

#[test]
fn v5_3_10_3_1_a_topic_filter_to_unsubscribe_that_is_no_utf_8_is_malformed() {
    let no_utf8: [&[u8]; 4] = [b"a/\xFF", b"a/\xC3", b"a/\xED\xA0\x80", b"a/\xC0\xAF"];
    let packets = no_utf8.map(|filter| unsubscribe(1, &[b"fine", filter]));
    each_ends_the_connection(&weir(), MALFORMED, &packets);
}

#[test]
fn v5_3_10_3_2_an_unsubscribe_without_a_filter_is_a_protocol_error() {
    each_ends_the_connection(&weir(), PROTOCOL_ERROR, &[unsubscribe(1, &[])]);
}

#[test]
fn v5_3_10_4_1_a_subscription_is_deleted_by_exactly_its_filter() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "a/+", QoS::AtMostOnce);
    let others: [&[u8]; 7] = [b"a/b", b"A/+", b"a/#", b"a/+/", b"a/+/#", b"#", b"+/+"];
    subscriber.send_bytes(&unsubscribe(1, &others));
    subscriber.expect(&answer(0xB0, 1, &[0x11; 7]));
    let mut publisher = client(&weir, "publisher");
    send(&mut publisher, "a/b", b"still there", QoS::AtMostOnce);
    assert_eq!(payloads(&mut subscriber), ["still there"]);
    subscriber.send_bytes(&unsubscribe(2, &[b"a/+"]));
    subscriber.expect(&answer(0xB0, 2, &[0]));
    send(&mut publisher, "a/b", b"gone", QoS::AtMostOnce);
    assert_eq!(payloads(&mut subscriber), [""; 0]);
}

#[test]
fn v5_3_10_4_2_after_an_unsubscribe_no_new_message_is_added_for_the_client() {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    for qos in QOS {
        let mut subscriber = subscriber(&weir, "subscriber", "t/#", qos);
        send(&mut publisher, "t", b"before", qos);
        assert_eq!(payloads(&mut subscriber), ["before"]);
        subscriber.send_bytes(&unsubscribe(2, &[b"t/#"]));
        subscriber.expect(&answer(0xB0, 2, &[0]));
        send(&mut publisher, "t", b"after", qos);
        assert_eq!(payloads(&mut subscriber), [""; 0]);
    }
}

#[test]
fn v5_3_10_4_3_what_was_begun_before_an_unsubscribe_is_completed_after_it() {
    let weir = weir();
    let mut subscriber = durable_subscriber(&weir, "subscriber", "t", QoS::ExactlyOnce);
    let mut publisher = client(&weir, "publisher");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce] {
        send(&mut publisher, "t", b"begun", qos);
    }
    let ids: Vec<u16> = deliveries(&mut subscriber).iter().map(|received| received.packet_id).collect();
    subscriber.send_bytes(&ack(0x50, ids[1]));
    subscriber.expect(&ack(0x62, ids[1]));
    subscriber.send_bytes(&unsubscribe(2, &[b"t"]));
    subscriber.expect(&answer(0xB0, 2, &[0]));
    subscriber.disconnect();
    let mut subscriber = durable(&weir, "subscriber");
    let again =
        [publish(0x3A, b"t", ids[0], b"begun"), ack(0x62, ids[1]).to_vec(), publish(0x3C, b"t", ids[2], b"begun")];
    assert_eq!(rest(&mut subscriber), again);
    subscriber.send_bytes(&ack(0x50, ids[2]));
    subscriber.expect(&ack(0x62, ids[2]));
}

#[test]
fn v5_3_10_4_4_an_unsubscribe_is_answered_by_an_unsuback() {
    let weir = weir();
    let mut client = subscriber(&weir, "client", "t", QoS::AtMostOnce);
    client.send_bytes(&unsubscribe(2, &[b"t"]));
    client.expect(&answer(0xB0, 2, &[0]));
}

#[test]
fn v5_3_10_4_5_an_unsuback_has_the_packet_identifier_even_where_nothing_was_subscribed() {
    let weir = weir();
    let mut client = client(&weir, "client");
    for id in [1, 0x1234, 0xFFFF] {
        client.send_bytes(&unsubscribe(id, &[b"t"]));
        client.expect(&answer(0xB0, id, &[0x11]));
    }
}

#[test]
fn v5_3_10_4_6_many_filters_in_an_unsubscribe_are_as_many_unsubscribes_with_one_answer() {
    let weir = weir();
    let mut subscriber = client(&weir, "subscriber");
    subscriber.send_bytes(&subscribe(1, &[(b"a", 0), (b"b", 0), (b"c", 0)]));
    subscriber.expect(&answer(0x90, 1, &[0; 3]));
    // The second of two equal ones finds nothing left.
    subscriber.send_bytes(&unsubscribe(2, &[b"a", b"a", b"b", b"none"]));
    subscriber.expect(&answer(0xB0, 2, &[0, 0x11, 0, 0x11]));
    let mut publisher = client(&weir, "publisher");
    for topic in ["a", "b", "c"] {
        send(&mut publisher, topic, topic.as_bytes(), QoS::AtMostOnce);
    }
    assert_eq!(payloads(&mut subscriber), ["c"]);
}

#[test]
fn v5_3_11_2_1_an_unsuback_has_no_reason_string_where_there_is_no_room_for_it() {
    assert_eq!(answer_within(&weir(), SMALL, &unsubscribe(7, &[b"t"])), answer(0xB0, 7, &[0x11]));
}

#[test]
fn v5_3_11_2_2_an_unsuback_has_no_user_properties_where_there_is_no_room_for_them() {
    assert_eq!(answer_within(&weir(), SMALL, &unsubscribe(7, &[b"t", b"u"])), answer(0xB0, 7, &[0x11, 0x11]));
}

#[test]
fn v5_3_11_3_1_the_reason_codes_of_an_unsuback_are_in_the_order_of_the_filters() {
    let weir = weir();
    let mut client = client(&weir, "client");
    for (order, expected) in [([&b"a"[..], b"none", b"b"], [0, 0x11, 0]), ([b"none", b"b", b"a"], [0x11, 0, 0])] {
        client.send_bytes(&subscribe(1, &[(b"a", 0), (b"b", 0)]));
        client.expect(&answer(0x90, 1, &[0, 0]));
        client.send_bytes(&unsubscribe(2, &order));
        client.expect(&answer(0xB0, 2, &expected));
    }
}

#[test]
fn v5_3_11_3_2_a_reason_code_of_unsuback_says_deleted_or_that_there_was_none() {
    let weir = weir();
    let mut client = client(&weir, "client");
    let filters: [&[u8]; 4] = [b"a/+", b"$share/g/a/#", b"$SYS/#", b"$limits/#"];
    client.send_bytes(&unsubscribe(2, &filters));
    client.expect(&answer(0xB0, 2, &[0x11; 4]));
    client.send_bytes(&subscribe(3, &[(filters[0], 0), (filters[1], 0)]));
    client.expect(&answer(0x90, 3, &[0, 0]));
    client.send_bytes(&unsubscribe(4, &[filters[0], filters[1], b"$share/g"]));
    client.expect(&answer(0xB0, 4, &[0, 0, 0x11]));
}

// PINGREQ

#[test]
fn v5_3_12_4_1_a_pingreq_is_answered_by_a_pingresp() {
    let weir = weir();
    let mut client = client(&weir, "client");
    client.send_bytes(&[0xC0, 0, 0xC0, 0]);
    client.expect(&[0xD0, 0]);
    client.expect(&[0xD0, 0]);
    client.expect_nothing();
}

// DISCONNECT

#[test]
fn v5_3_14_0_1_before_a_connack_with_success_the_server_sends_no_disconnect() {
    let weir = weir();
    // What is no CONNECT is not answered at all.
    for first in [&[0xC0, 0][..], &[0xE0, 0], &[0x30, 0], &[0x00, 0], &[0xF0, 0], &[0x10, 0xFF, 0xFF, 0xFF, 0xFF]] {
        let mut stranger = weir.raw();
        stranger.send_bytes(first);
        stranger.expect_closed();
    }
    // A CONNECT that is refused is answered by CONNACK alone: bad credentials, and a reserved flag.
    let (mut refused, connack) = weir.try_connect(&connect(Version::V5, "wrong", "client"));
    assert_eq!(connack[3], 0x86);
    refused.expect_closed();
    let mut refused = weir.raw();
    refused.send_bytes(&frame(0x10, &[&text(b"MQTT"), &[5, 0x03, 0, 0, 0, 0, 0]]));
    let connack = refused.frame();
    assert_eq!((connack[0], connack[3]), (0x20, 0x81));
    refused.expect_closed();
}

#[test]
fn v5_3_14_1_1_a_disconnect_with_reserved_bits_is_answered_by_disconnect_0x81() {
    let packets: Vec<_> = (1..16).map(|flags| vec![0xE0 | flags, 0]).collect();
    each_ends_the_connection(&weir(), MALFORMED, &packets);
}

/// Every way in which this broker ends a connection of a client that is connected with a keep-alive of 10 s: the DISCONNECT.
fn disconnects() -> Vec<(u8, Vec<u8>)> {
    let more = "mqtt: { max_qos: 1, retain: false, max_packet_size: 1000 }";
    let plan = "publish: 1/min, on_exceed: { publish: disconnect }";
    let mut weir = weir_with(plan, more);
    let connected = |weir: &Weir| weir.connect(&Connect { keep_alive: 10, ..connect(Version::V5, "t", "client") });
    let mut all = Vec::new();
    let mut end = |client: &mut Client, reason: u8| {
        all.push((reason, client.frame()));
        client.expect_closed();
    };
    let ways = [
        (0x81, vec![0x00, 0]),
        (0x82, vec![0xD0, 0]),
        (0x8F, subscribe(1, &[(b"a#", 0)])),
        (0x90, publish(0x30, b"#", 0, b"")),
        (0x94, frame(0x30, &[&text(b"t"), &[3, 0x23, 0, 0]])),
        (0x95, vec![0x30, 0xFF, 0x7F]),
        (0x9A, publish(0x31, b"t", 0, b"")),
        (0x9B, publish(0x34, b"t", 1, b"")),
        (0x97, [publish(0x30, b"t", 0, b""), publish(0x30, b"t", 0, b"")].concat()),
    ];
    for (reason, bytes) in ways {
        let mut client = connected(&weir);
        client.send_bytes(&bytes);
        end(&mut client, reason);
    }
    let mut client = connected(&weir);
    let mut other = connected(&weir);
    end(&mut client, 0x8E);
    weir.clock("+15s");
    end(&mut other, 0x8D);
    let mut client = connected(&weir);
    weir.reload(&config(plan, more).replace("d: { token: t }", "e: { token: u }"));
    end(&mut client, 0x98);
    let mut client = weir.client(Version::V5, "u", "client");
    weir.signal("TERM");
    end(&mut client, 0x8B);
    all
}

#[test]
fn v5_3_14_2_1_a_disconnect_has_a_reason_code_of_its_table() {
    for (reason, frame) in disconnects() {
        assert_eq!((frame[0], frame[2]), (0xE0, reason), "{frame:02x?}");
    }
    // And one of another packet's is not taken.
    each_ends_the_connection(&weir(), PROTOCOL_ERROR, &[frame(0xE0, &[&[0x91]]), frame(0xE0, &[&[0x01]])]);
}

#[test]
fn v5_3_14_2_2_a_disconnect_of_the_server_has_no_session_expiry_interval() {
    for (reason, frame) in disconnects() {
        let Packet::Disconnect(disconnect) = scram::decode(&frame) else { panic!("a DISCONNECT: {frame:02x?}") };
        assert_eq!(disconnect.reason as u8, reason);
        assert_eq!(disconnect.properties.session_expiry_interval(), None, "{disconnect:?}");
    }
}

#[test]
fn v5_3_14_2_3_a_disconnect_leaves_out_a_reason_string_that_does_not_fit() {
    is_left_out_where_it_does_not_fit(&weir(), &[0xD0, 0], &REASON_STRING, &[0xE0, 1, PROTOCOL_ERROR]);
}

#[test]
fn v5_3_14_2_4_a_disconnect_leaves_out_user_properties_that_do_not_fit() {
    let weir = weir_with("publish: 0/min, on_exceed: { publish: disconnect }", "");
    is_left_out_where_it_does_not_fit(&weir, &publish(0x30, b"t", 0, b""), RETRY_AFTER, &[0xE0, 1, 0x97]);
}

#[test]
fn v5_3_14_4_1_after_its_disconnect_the_server_sends_nothing_more() {
    let weir = weir();
    let mut client = subscriber(&weir, "client", "t", QoS::AtMostOnce);
    // What stands behind the mistake would be answered, and what stands before it was published to the client itself.
    let after = [&[0xC0, 0][..], &subscribe(2, &[(b"u", 0)]), &publish(0x32, b"t", 3, b"")].concat();
    client.send_bytes(&[&publish(0x30, b"t", 0, b"")[..], &[0xD0, 0], &after].concat());
    while let Some(frame) = client.frame_or_end() {
        if frame[0] == 0xE0 {
            assert_eq!(frame[2], PROTOCOL_ERROR);
            return client.expect_closed();
        }
        assert_eq!(frame[0], 0x30, "{frame:02x?}");
    }
    panic!("there was no DISCONNECT");
}

#[test]
fn v5_3_14_4_2_after_its_disconnect_the_server_closes_the_connection() {
    let weir = weir();
    let mut first = client(&weir, "client");
    let mut second = client(&weir, "client");
    expect_disconnect(&mut first, 0x8E);
    second.send_bytes(&[0x00, 0]);
    expect_disconnect(&mut second, MALFORMED);
}

#[test]
fn v5_3_14_4_3_a_disconnect_with_reason_code_0_discards_the_will() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "will", QoS::AtMostOnce);
    let will = Will {
        qos: QoS::AtMostOnce,
        retain: false,
        properties: Default::default(),
        topic: "will",
        payload: b"it is gone",
    };
    let goodbyes: [(&[u8], usize); 4] =
        [(&[0xE0, 0], 0), (&[0xE0, 1, 0], 0), (&[0xE0, 2, 0, 0], 0), (&[0xE0, 1, 4], 1)];
    for (goodbye, wills) in goodbyes {
        let mut client = weir.connect(&Connect { will: Some(will), ..connect(Version::V5, "t", "client") });
        client.send_bytes(goodbye);
        client.expect_closed();
        assert_eq!(payloads(&mut subscriber), vec!["it is gone"; wills], "after {goodbye:02x?}");
    }
}

// AUTH

#[test]
fn v5_3_15_1_1_an_auth_with_reserved_bits_is_malformed() {
    let weir = scram::weir();
    let auth = frame(0xF0, &[&[0x19, 16, 0x15], &text(scram::METHOD.as_bytes())]);
    for flags in [1, 2, 4, 8, 15] {
        let packet = [&[auth[0] | flags], &auth[1..]].concat();
        let mut client = scram::authenticated(&weir);
        client.send_bytes(&packet);
        expect_disconnect(&mut client, MALFORMED);
        // During the first exchange there is nothing yet that could be said.
        let mut client = scram::begin(&weir, scram::METHOD, scram::FIRST);
        scram::expect_auth(&mut client, ReasonCode::ContinueAuthentication);
        client.send_bytes(&packet);
        client.expect_closed();
    }
}

#[test]
fn v5_3_15_2_1_an_auth_has_a_reason_code_of_its_table() {
    let weir = scram::weir();
    let mut client = scram::authenticated(&weir);
    scram::send_auth(&mut client, ReasonCode::ReAuthenticate, scram::METHOD, scram::FIRST);
    let challenge = scram::expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    let (last, _) = scram::prove(&challenge, scram::PASSWORD);
    scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, scram::METHOD, &last);
    scram::expect_auth(&mut client, ReasonCode::Success);
    // And another is not taken.
    client.send_bytes(&frame(0xF0, &[&[0x17, 16, 0x15], &text(scram::METHOD.as_bytes())]));
    expect_disconnect(&mut client, PROTOCOL_ERROR);
}

/// The AUTH that a client gets which takes packets of exactly its length.
fn challenge_that_just_fits(weir: &Weir) -> Vec<u8> {
    let length = scram::begin(weir, scram::METHOD, scram::FIRST).frame().len();
    let size = [Property::MaximumPacketSize(length as u32)];
    let challenge = scram::begin_with(weir, &size, scram::METHOD, scram::FIRST).frame();
    assert_eq!((challenge[0], challenge.len()), (0xF0, length));
    challenge
}

#[test]
fn v5_3_15_2_2_an_auth_has_no_reason_string_where_there_is_no_room_for_it() {
    let challenge = challenge_that_just_fits(&scram::weir());
    let Packet::Auth(auth) = scram::decode(&challenge) else { panic!("an AUTH: {challenge:02x?}") };
    assert_eq!(auth.properties.reason_string(), None);
}

#[test]
fn v5_3_15_2_3_an_auth_has_no_user_properties_where_there_is_no_room_for_them() {
    let challenge = challenge_that_just_fits(&scram::weir());
    let Packet::Auth(auth) = scram::decode(&challenge) else { panic!("an AUTH: {challenge:02x?}") };
    assert_eq!(auth.properties.user_properties().count(), 0);
}
