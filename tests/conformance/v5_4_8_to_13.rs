//! MQTT 5, sections 4.8 to 4.13: shared subscriptions, flow control, enhanced authentication, and what ends a connection.

use weir::wire::{Connect, Packet, QoS, ReasonCode, Version};

use crate::common::{Client, Weir, connect};
use crate::v5_setup::scram::{self, FIRST, METHOD, PASSWORD};
use crate::v5_setup::*;

// 4.8: shared subscriptions

/// Each of these filters is refused, and is no subscription.
fn each_is_refused(filters: &[&[u8]]) {
    let weir = weir();
    let mut client = client(&weir, "client");
    for filter in filters {
        client.send_bytes(&subscribe(1, &[(filter, 0)]));
        assert_eq!(codes(&client.frame()), [0x8F], "{}", filter.escape_ascii());
        client.send_bytes(&unsubscribe(2, &[filter]));
        client.expect(&answer(0xB0, 2, &[0x11]));
    }
}

/// A member of `$share/group/t` with a durable session.
fn member(weir: &Weir, client_id: &str) -> Client {
    durable_subscriber(weir, client_id, "$share/group/t", QoS::ExactlyOnce)
}

/// Two members of a group, and a message that one of them was sent.
struct Shared {
    chosen: Client,
    name: &'static str,
    packet_id: u16,
    other: Client,
}

/// Publishes a message to the members `a` and `b`.
fn one_has_it(weir: &Weir, qos: QoS) -> Shared {
    let [mut a, mut b] = ["a", "b"].map(|name| member(weir, name));
    send(&mut client(weir, "publisher"), "t", b"m", qos);
    match (&deliveries(&mut a)[..], &deliveries(&mut b)[..]) {
        ([got], []) => Shared { chosen: a, name: "a", packet_id: got.packet_id, other: b },
        ([], [got]) => Shared { chosen: b, name: "b", packet_id: got.packet_id, other: a },
        others => panic!("one of them gets it: {others:?}"),
    }
}

#[test]
fn v5_4_8_2_1_a_shared_subscription_begins_with_share_and_a_name() {
    each_is_refused(&[b"$share//t", b"$share/", b"$share//"]);
    let weir = weir();
    // Anything else is a plain filter, and gets every message.
    let mut others =
        ["$SHARE/g/t", "$shared/g/t", "share/g/t"].map(|filter| subscriber(&weir, filter, filter, QoS::AtMostOnce));
    let mut members = ["a", "b"].map(|name| subscriber(&weir, name, "$share/n/$SHARE/g/t", QoS::AtMostOnce));
    let mut publisher = client(&weir, "publisher");
    for _ in 0..4 {
        send(&mut publisher, "$SHARE/g/t", b"", QoS::AtMostOnce);
    }
    assert_eq!(others.each_mut().map(|client| deliveries(client).len()), [4, 0, 0]);
    assert_eq!(members.each_mut().map(|client| deliveries(client).len()), [2, 2]);
}

#[test]
fn v5_4_8_2_2_a_share_name_has_no_wildcard_and_a_filter_follows_it() {
    each_is_refused(&[b"$share/+/t", b"$share/g", b"$share/g/", b"$share/#"]);
    let weir = weir();
    // These are no filters at all.
    let wrong = [&b"$share/#/t"[..], b"$share/a+b/t", b"$share/a#/t"].map(|filter| subscribe(1, &[(filter, 0)]));
    each_ends_the_connection(&weir, 0x8F, &wrong);
    // The name ends at the first slash, and the rest is the filter.
    let mut member = subscriber(&weir, "member", "$share/g/a/+", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    for topic in ["g/a/b", "a/b", "b"] {
        send(&mut publisher, topic, topic.as_bytes(), QoS::AtMostOnce);
    }
    assert_eq!(payloads(&mut member), ["a/b"]);
}

#[test]
fn v5_4_8_2_3_each_member_gets_messages_at_no_more_than_the_qos_it_was_granted() {
    let weir = weir();
    let mut members = QOS.map(|qos| subscriber(&weir, &format!("{qos:?}"), "$share/group/t", qos));
    let mut publisher = client(&weir, "publisher");
    for published in QOS {
        (0..3).for_each(|_| send(&mut publisher, "t", b"", published));
        for (member, granted) in members.iter_mut().zip(QOS) {
            let got: Vec<QoS> = deliveries(member).iter().map(|received| received.qos).collect();
            assert_eq!(got, [granted.min(published)], "{published:?} to {granted:?}");
        }
    }
}

#[test]
fn v5_4_8_2_4_a_qos_2_message_that_one_member_has_begun_to_receive_is_completed_with_it() {
    let weir = weir();
    let Shared { chosen, name, packet_id, mut other } = one_has_it(&weir, QoS::ExactlyOnce);
    chosen.disconnect();
    assert_eq!(rest(&mut other).len(), 0);
    let mut chosen = durable(&weir, name);
    assert_eq!(rest(&mut chosen), [publish(0x3C, b"t", packet_id, b"m")]);
    chosen.send_bytes(&ack(0x50, packet_id));
    chosen.expect(&ack(0x62, packet_id));
    chosen.disconnect();
    let mut chosen = durable(&weir, name);
    assert_eq!(rest(&mut chosen), [ack(0x62, packet_id)]);
    assert_eq!(rest(&mut other).len(), 0);
}

#[test]
fn v5_4_8_2_5_a_qos_2_message_whose_members_session_has_ended_goes_to_no_other() {
    let weir = weir();
    // Clean Start ends the session.
    let Shared { chosen, name, mut other, .. } = one_has_it(&weir, QoS::ExactlyOnce);
    chosen.disconnect();
    assert_eq!(rest(&mut client(&weir, name)).len(), 0);
    assert_eq!(rest(&mut other).len(), 0);
    // Or it ends with its connection.
    let Shared { mut chosen, mut other, .. } = one_has_it(&weir, QoS::ExactlyOnce);
    chosen.send_bytes(&frame(0xE0, &[&[0, 5, 0x11, 0, 0, 0, 0]]));
    chosen.expect_closed();
    assert_eq!(rest(&mut other).len(), 0);
}

#[test]
fn v5_4_8_2_6_a_message_that_a_member_refuses_is_discarded_and_goes_to_no_other() {
    let weir = weir();
    for (qos, answer) in [(QoS::AtLeastOnce, 0x40), (QoS::ExactlyOnce, 0x50)] {
        let Shared { mut chosen, name, packet_id, mut other } = one_has_it(&weir, qos);
        chosen.send_bytes(&ack_with(answer, packet_id, 0x80));
        assert_eq!(rest(&mut chosen).len(), 0);
        chosen.disconnect();
        assert_eq!(rest(&mut other).len(), 0);
        assert_eq!(rest(&mut durable(&weir, name)).len(), 0);
    }
}

// 4.9: flow control

/// A subscriber of `t` at QoS 2 with this Receive Maximum, for whom ten messages, at QoS 1 and 2 in turn, were published; and what
/// it was sent of them.
fn ten_messages(weir: &Weir, receive_maximum: u16) -> (Client, Vec<u16>) {
    let mut subscriber = client_with_quota(weir, "subscriber", receive_maximum);
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = client(weir, "publisher");
    (0..10).for_each(|n| send(&mut publisher, "t", b"", QOS[1 + n % 2]));
    let ids = deliveries(&mut subscriber).iter().map(|received| received.packet_id).collect();
    (subscriber, ids)
}

#[test]
fn v5_4_9_0_1_the_first_send_quota_is_the_receive_maximum_and_never_nothing() {
    let weir = weir();
    for (receive_maximum, sent) in [(1, 1), (2, 2), (9, 9), (10, 10), (65_535, 10)] {
        assert_eq!(ten_messages(&weir, receive_maximum).1.len(), sent);
    }
}

#[test]
fn v5_4_9_0_2_where_the_send_quota_is_used_up_nothing_more_is_sent_until_an_acknowledgement() {
    let weir = weir();
    let (mut subscriber, ids) = ten_messages(&weir, 4);
    let mut sent_after = |packet: &[u8]| {
        subscriber.send_bytes(packet);
        rest(&mut subscriber).iter().map(|frame| frame[0] >> 4).collect::<Vec<u8>>()
    };
    // The first and the third are of QoS 1, the second and the fourth of QoS 2. 3 is a PUBLISH, 6 a PUBREL.
    assert_eq!(ids.len(), 4);
    assert_eq!(sent_after(&[]), [0; 0]);
    assert_eq!(sent_after(&ack(0x40, ids[0])), [3]);
    assert_eq!(sent_after(&ack(0x40, ids[0])), [0; 0], "it is acknowledged once");
    assert_eq!(sent_after(&ack(0x50, ids[1])), [6], "PUBREC leaves it in flight");
    assert_eq!(sent_after(&ack(0x70, ids[1])), [3]);
    assert_eq!(sent_after(&ack_with(0x40, ids[2], 0x80)), [3]);
    assert_eq!(sent_after(&ack_with(0x50, ids[3], 0x80)), [3]);
}

#[test]
fn v5_4_9_0_3_with_no_send_quota_left_every_other_packet_is_still_handled() {
    let weir = weir();
    let (mut client, ids) = ten_messages(&weir, 1);
    client.send_bytes(&subscribe(2, &[(b"u", 0)]));
    client.expect(&answer(0x90, 2, &[0]));
    for (first, id, answer) in [(0x32, 5, 0x40), (0x34, 6, 0x50)] {
        client.send_bytes(&publish(first, b"nobody", id, b""));
        client.expect(&ack_with(answer, id, 0x10));
    }
    client.send_bytes(&ack(0x62, 6));
    client.expect(&ack(0x70, 6));
    client.send_bytes(&ack(0x50, 999));
    client.expect(&ack_with(0x62, 999, 0x92));
    // A message of QoS 0 needs none.
    send(&mut self::client(&weir, "publisher"), "u", b"", QoS::AtMostOnce);
    assert_eq!(rest(&mut client), [publish(0x30, b"u", 0, b"")]);
    client.send_bytes(&unsubscribe(3, &[b"u"]));
    client.expect(&answer(0xB0, 3, &[0]));
    client.send_bytes(&ack(0x40, ids[0]));
    assert_eq!(rest(&mut client).len(), 1);
}

// 4.12: enhanced authentication

/// A client in the middle of its exchange, and the challenge it was sent.
fn challenged(weir: &Weir) -> (Client, String) {
    let mut client = scram::begin(weir, METHOD, FIRST);
    let challenge = scram::expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    (client, challenge)
}

#[test]
fn v5_4_12_0_1_an_authentication_method_that_is_not_supported_is_refused_and_the_connection_closed() {
    let weir = scram::weir();
    for method in ["GSSAPI", "scram-sha-256", "SCRAM-SHA-1"] {
        let mut client = scram::begin(&weir, method, "x");
        assert_eq!(client.frame()[3], 0x8C);
        client.expect_closed();
    }
}

#[test]
fn v5_4_12_0_2_where_the_server_needs_more_its_auth_says_continue_authentication() {
    let weir = scram::weir();
    let mut client = scram::begin(&weir, METHOD, FIRST);
    let auth = client.frame();
    assert_eq!((auth[0], auth[2]), (0xF0, 0x18));
    // The same in a re-authentication.
    let mut client = scram::authenticated(&weir);
    scram::send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
    let auth = client.frame();
    assert_eq!((auth[0], auth[2]), (0xF0, 0x18));
}

#[test]
fn v5_4_12_0_3_an_auth_that_does_not_continue_ends_the_exchange() {
    let weir = scram::weir();
    for reason in [ReasonCode::Success, ReasonCode::ReAuthenticate] {
        let (mut client, challenge) = challenged(&weir);
        scram::send_auth(&mut client, reason, METHOD, &scram::prove(&challenge, PASSWORD).0);
        let connack = client.frame();
        assert_eq!((connack[0], connack[3]), (0x20, PROTOCOL_ERROR));
        client.expect_closed();
    }
}

#[test]
fn v5_4_12_0_4_an_authentication_that_fails_at_any_point_closes_the_connection() {
    let weir = scram::weir();
    let refused = |mut client: Client| {
        let connack = client.frame();
        assert_eq!((connack[0], connack[3]), (0x20, 0x86));
        client.expect_closed();
    };
    refused(scram::begin(&weir, METHOD, "this is no first message"));
    for last in [scram::prove(&challenged(&weir).1, PASSWORD).0, "c=biws,r=x,p=AAAA".to_owned(), String::new()] {
        // The first is right for another challenge.
        let (mut client, _) = challenged(&weir);
        scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
        refused(client);
    }
}

#[test]
fn v5_4_12_0_5_every_auth_and_the_connack_name_the_authentication_method_of_connect() {
    let weir = scram::weir();
    let named = [&[0x15][..], &text(METHOD.as_bytes())].concat();
    let names_it = |frame: Vec<u8>| assert!(frame.windows(named.len()).any(|part| part == named), "{frame:02x?}");
    names_it(scram::begin(&weir, METHOD, FIRST).frame());
    let (mut client, challenge) = challenged(&weir);
    scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &scram::prove(&challenge, PASSWORD).0);
    names_it(client.frame());
    scram::send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
    let challenge = scram::expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &scram::prove(&challenge, PASSWORD).0);
    names_it(client.frame());
    // A client that names another is not heard further.
    let (mut client, challenge) = challenged(&weir);
    scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, "OTHER", &scram::prove(&challenge, PASSWORD).0);
    assert_eq!(client.frame()[3], PROTOCOL_ERROR);
    client.expect_closed();
}

#[test]
fn v5_4_12_0_6_without_an_authentication_method_there_is_neither_an_auth_nor_one_in_the_connack() {
    let weir = scram::weir();
    let (_, frame) = weir.try_connect(&connect(Version::V5, "pump", "pump"));
    let connack = scram::connack(&frame);
    assert_eq!(connack.code, 0);
    assert_eq!(connack.properties.authentication_method(), None);
    assert_eq!(connack.properties.authentication_data(), None);
    // Nor where the credentials are those of a device that could prove itself, and are wrong.
    let mut client = weir.raw();
    client.send(&Packet::Connect(Connect { user_name: Some("panel"), ..connect(Version::V5, "wrong", "panel") }));
    let frame = client.frame();
    let connack = scram::connack(&frame);
    assert_eq!((connack.code, connack.properties.authentication_method()), (0x86, None));
    client.expect_closed();
}

#[test]
fn v5_4_12_0_7_an_auth_of_a_client_without_an_authentication_method_is_a_protocol_error() {
    let weir = scram::weir();
    for reason in [ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication, ReasonCode::Success] {
        let mut client = weir.client(Version::V5, "pump", "pump");
        scram::send_auth(&mut client, reason, METHOD, FIRST);
        expect_disconnect(&mut client, PROTOCOL_ERROR);
    }
}

#[test]
fn v5_4_12_1_1_a_re_authentication_at_any_time_uses_the_method_of_connect_or_ends_the_connection() {
    let mut weir = scram::weir();
    let mut client = scram::authenticated(&weir);
    for _ in 0..2 {
        weir.clock("+1h");
        scram::send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
        let challenge = scram::expect_auth(&mut client, ReasonCode::ContinueAuthentication);
        let (last, server) = scram::prove(&challenge, PASSWORD);
        client.expect_nothing();
        scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
        assert_eq!(scram::expect_auth(&mut client, ReasonCode::Success), server);
    }
    scram::send_auth(&mut client, ReasonCode::ReAuthenticate, "OTHER", FIRST);
    expect_disconnect(&mut client, PROTOCOL_ERROR);
}

#[test]
fn v5_4_12_1_2_a_re_authentication_that_fails_is_told_by_a_disconnect_and_closes_the_connection() {
    let weir = scram::weir();
    let mut client = scram::authenticated(&weir);
    scram::send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, "this is no first message");
    expect_disconnect(&mut client, 0x87);
    let mut client = scram::authenticated(&weir);
    scram::send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
    let challenge = scram::expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    let (last, _) = scram::prove(&challenge, "another password");
    scram::send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
    expect_disconnect(&mut client, 0x87);
}

// 4.13: errors

#[test]
fn v5_4_13_1_1_a_malformed_packet_or_protocol_error_closes_the_connection() {
    let weir = weir();
    let malformed = [
        vec![0x00, 0],
        vec![0x30, 0x80, 0x80, 0x80, 0x80, 1],
        frame(0x36, &[&text(b"t"), &[0, 1, 0]]),
        frame(0x32, &[&text(b"t"), &[0, 0, 0]]),
        frame(0x30, &[&text(b"t"), &[2, 0x7F, 0]]),
        frame(0x82, &[&[0, 1, 0, 0, 9], b"cut"]),
        frame(0xC0, &[b"more"]),
    ];
    each_ends_the_connection(&weir, MALFORMED, &malformed);
    let protocol_errors = [
        frame(0x20, &[&[0, 0, 0]]),
        frame(0x10, &[&text(b"MQTT"), &[5, 2, 0, 0, 0, 0, 0]]),
        frame(0x30, &[&text(b"t"), &[4, 0x01, 0, 0x01, 0]]),
        frame(0x30, &[&text(b"t"), &[2, 0x0B, 1]]),
        subscribe(1, &[(b"t", 3)]),
        subscribe(1, &[(b"t", 0x30)]),
        subscribe_with(1, &[0x0B, 0], &[(b"t", 0)]),
        frame(0xE0, &[&[0, 5, 0x11, 0, 0, 0, 1]]),
    ];
    each_ends_the_connection(&weir, PROTOCOL_ERROR, &protocol_errors);
    each_ends_the_connection(&weir, 0x94, &[frame(0x30, &[&text(b"t"), &[3, 0x23, 0, 0]])]);
    each_ends_the_connection(&weir, 0x95, &[vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F]]);
}

#[test]
fn v5_4_13_2_1_a_reason_code_of_0x80_or_more_in_connack_or_disconnect_means_that_the_connection_is_closed() {
    let weir = weir_with("", "mqtt: { max_qos: 0 }");
    // A CONNACK: bad credentials, a flag that is reserved, a will that is not supported, a version that is not.
    let refused: [(&[u8], &[u8], u8); 4] = [
        (&[5, 0x02], b"", 0x87),
        (&[5, 0x03], b"", 0x81),
        (&[5, 0x0E], b"\0\0\x01w\0\0", 0x9B),
        (&[6, 0x02], b"", 0x84),
    ];
    for (level_and_flags, will, reason) in refused {
        let mut client = weir.raw();
        client.send_bytes(&frame(0x10, &[&text(b"MQTT"), level_and_flags, &[0, 0, 0], &text(b"c"), will]));
        let connack = client.frame();
        assert_eq!((connack[0], connack[3]), (0x20, reason), "{connack:02x?}");
        client.expect_closed();
    }
    // A DISCONNECT, from either side.
    let mut client = self::client(&weir, "client");
    client.send_bytes(&publish(0x32, b"t", 1, b""));
    expect_disconnect(&mut client, 0x9B);
    for reason in [0x80, 0x81, 0x97] {
        let mut client = self::client(&weir, "client");
        client.send_bytes(&[0xE0, 1, reason]);
        client.expect_closed();
    }
}
