//! MQTT 5, sections 3.1.0 to 3.1.2: CONNECT, its fixed and its variable header.

use weir::config::ScramKeys;
use weir::wire::{Property, QoS, Will};

use super::common::{Client, Weir};
use super::v5_support::*;

/// A subscriber of `w`, to which the wills of these tests go.
fn heir(weir: &Weir) -> Client {
    let mut heir = guest(weir, "heir");
    heir.subscribe("w", QoS::ExactlyOnce);
    heir
}

/// A client with a will, in a session that outlives its connection by an hour.
fn mortal(weir: &Weir, payload: &str, delay: u32) -> Client {
    let delay = properties(&[Property::WillDelayInterval(delay)]);
    let will = Will { properties: delay.as_properties(), ..will("w", payload) };
    join_with_will(weir, payload, false, &[AN_HOUR], Some(will)).0
}

/// Publishes at QoS 1 to `t`, from somewhere else.
fn elsewhere(weir: &Weir, payload: &str) {
    hand_in(&mut guest(weir, "elsewhere"), 0x32, "t", &[], payload);
}

/// Acknowledges at QoS 1 what the client receives next; its payload.
fn receive(client: &mut Client) -> String {
    let received = client.expect_publish();
    client.send_bytes(&[&[0x40, 2], received.packet_id.to_be_bytes().as_slice()].concat());
    received.text().to_owned()
}

#[test]
fn v5_3_1_0_1_a_first_packet_other_than_connect_closes_the_connection_unanswered() {
    let weir = open();
    for bytes in
        [&b"\x30\x06\x00\x01t\x00hi"[..], b"\x82\x07\x00\x01\x00\x00\x01t\x00", b"\xC0\x00", b"\xE0\x00", b"\xF0\x00"]
    {
        let mut client = weir.raw();
        client.send_bytes(bytes);
        client.expect_closed();
    }
}

#[test]
fn v5_3_1_0_2_a_second_connect_is_a_protocol_error() {
    let weir = open();
    is_disconnected(&weir, &connect_frame(0x02, &[], &[&text("again")]), PROTOCOL_ERROR);
}

#[test]
fn v5_3_1_2_1_another_protocol_name_than_mqtt_is_not_accepted() {
    let weir = open();
    for name in ["MQTt", "mqtt", "MQT", "MQTTT", ""] {
        let mut client = weir.raw();
        client.send_bytes(&frame(0x10, &[&text(name), &[5, 2, 0, 0, 0], &text("c")]));
        client.expect_closed();
    }
}

#[test]
fn v5_3_1_2_2_a_protocol_version_that_is_not_spoken_is_refused_as_such() {
    let weir = open();
    for version in [6, 7, 0x7F] {
        is_refused(&weir, &frame(0x10, &[&text("MQTT"), &[version, 2, 0, 0, 0], &text("c")]), 0x84);
    }
}

#[test]
fn v5_3_1_2_3_the_reserved_connect_flag_is_refused() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x03, &[], &[&text("c")]), MALFORMED);
    is_refused(&weir, &connect_frame(0x01, &[], &[&text("c")]), MALFORMED);
}

#[test]
fn v5_3_1_2_4_clean_start_discards_the_session_there_was() {
    let weir = open();
    let (mut client, _) = join(&weir, "c", false, &[AN_HOUR]);
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    elsewhere(&weir, "queued");
    let (mut client, connack) = join(&weir, "c", true, &[AN_HOUR]);
    assert_eq!(connack[2], 0, "no session present");
    elsewhere(&weir, "not subscribed any more");
    assert_eq!(payloads(&mut client), [""; 0]);
}

#[test]
fn v5_3_1_2_5_without_clean_start_the_session_goes_on_where_it_was() {
    let weir = open();
    let (mut client, _) = join(&weir, "c", false, &[AN_HOUR]);
    client.subscribe("t", QoS::AtLeastOnce);
    elsewhere(&weir, "unacknowledged");
    let id = client.expect_publish().packet_id;
    client.disconnect();
    elsewhere(&weir, "queued");
    let (mut client, connack) = join(&weir, "c", false, &[AN_HOUR]);
    assert_eq!(connack[2], 1, "session present");
    let again = client.expect_publish();
    assert_eq!((again.packet_id, again.dup, again.text()), (id, true, "unacknowledged"));
    assert_eq!(client.expect_publish().text(), "queued");
    elsewhere(&weir, "still subscribed");
    assert_eq!(client.expect_publish().text(), "still subscribed");
}

#[test]
fn v5_3_1_2_6_without_clean_start_and_without_a_session_there_is_a_new_one() {
    let weir = open();
    let (client, connack) = join(&weir, "c", false, &[AN_HOUR]);
    assert_eq!(connack[2..4], [0, 0], "no session present, success");
    client.disconnect();
    assert_eq!(join(&weir, "c", false, &[AN_HOUR]).1[2], 1, "now there is one");
}

#[test]
fn v5_3_1_2_7_a_will_is_kept_with_the_session_that_announced_it() {
    let mut weir = open();
    let mut heir = heir(&weir);
    let (first, second) = (mortal(&weir, "first", 10), mortal(&weir, "second", 0));
    lose(second);
    assert_eq!(payloads(&mut heir), ["second"], "each has its own");
    lose(first);
    assert_eq!(payloads(&mut heir), [""; 0]);
    weir.clock("+10s");
    assert_eq!(heir.expect_publish().text(), "first", "kept while the client is away");
}

#[test]
fn v5_3_1_2_8_a_will_is_published_after_the_connection_and_its_delay_or_at_the_end_of_the_session() {
    let mut weir = open();
    let mut heir = heir(&weir);
    lose(mortal(&weir, "at once", 0));
    assert_eq!(payloads(&mut heir), ["at once"]);
    let mut broken = mortal(&weir, "a protocol error", 0);
    broken.send_bytes(&[0xD0, 0]);
    expect_disconnect(&mut broken, PROTOCOL_ERROR);
    assert_eq!(payloads(&mut heir), ["a protocol error"]);

    lose(mortal(&weir, "ten seconds later", 10));
    lose(mortal(&weir, "nine seconds later", 9));
    weir.clock("+9999ms");
    assert_eq!(heir.expect_publish().text(), "nine seconds later");
    assert_eq!(payloads(&mut heir), [""; 0], "not yet");
    weir.clock("+1ms");
    assert_eq!(heir.expect_publish().text(), "ten seconds later");

    // The session ends before the delay: by its expiry, or because another one begins.
    lose(mortal(&weir, "expired", 4000));
    weir.clock("+3600s");
    assert_eq!(heir.expect_publish().text(), "expired");
    lose(mortal(&weir, "started anew", 10));
    join(&weir, "started anew", true, &[]);
    assert_eq!(payloads(&mut heir), ["started anew"]);

    mortal(&weir, "goodbye", 0).disconnect();
    assert_eq!(payloads(&mut heir), [""; 0]);
}

#[test]
fn v5_3_1_2_9_a_will_flag_without_a_whole_will_is_malformed() {
    let weir = open();
    let (id, topic) = (text("c"), text("w"));
    for payload in
        [vec![], vec![0], [&[0], topic.as_slice()].concat(), [&[0], topic.as_slice(), &[0, 3, b'x']].concat()]
    {
        is_refused(&weir, &connect_frame(0x06, &[], &[&id, &payload]), MALFORMED);
    }
}

#[test]
fn v5_3_1_2_10_a_will_is_gone_once_it_was_published_or_the_client_said_goodbye() {
    let mut weir = open();
    let mut heir = heir(&weir);
    lose(mortal(&weir, "once", 10));
    weir.clock("+10s");
    assert_eq!(heir.expect_publish().text(), "once");
    mortal(&weir, "never", 10).disconnect();
    // Their sessions go on without a will, are lost again, and end.
    for client_id in ["once", "never"] {
        let (client, connack) = join(&weir, client_id, false, &[AN_HOUR]);
        assert_eq!(connack[2], 1, "session present");
        lose(client);
    }
    weir.clock("+3600s");
    for client_id in ["once", "never"] {
        assert_eq!(join(&weir, client_id, false, &[]).1[2], 0, "the session has ended");
    }
    assert_eq!(payloads(&mut heir), [""; 0]);
}

#[test]
fn v5_3_1_2_11_will_qos_without_a_will_is_malformed() {
    let weir = open();
    for flags in [0x0A, 0x12, 0x1A] {
        is_refused(&weir, &connect_frame(flags, &[], &[&text("c")]), MALFORMED);
    }
}

#[test]
fn v5_3_1_2_12_a_will_has_qos_0_1_or_2_and_no_other() {
    let weir = open();
    let mut heir = heir(&weir);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        lose(join_with_will(&weir, "c", true, &[], Some(Will { qos, ..will("w", "") })).0);
        assert_eq!(heir.expect_publish().qos, qos);
    }
    is_refused(&weir, &connect_frame(0x1E, &[], &[&text("c"), &[0], &text("w"), &text("")]), MALFORMED);
}

#[test]
fn v5_3_1_2_13_will_retain_without_a_will_is_malformed() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x22, &[], &[&text("c")]), MALFORMED);
}

/// Whether a will of this Will Retain is there for those who subscribe after it was published.
fn is_retained(retain: bool) -> bool {
    let weir = open();
    lose(join_with_will(&weir, "c", true, &[], Some(Will { retain, ..will("w", "will") })).0);
    let late = heir(&weir).deliveries();
    assert!(late.iter().all(|received| received.retain && received.text() == "will"), "{late:?}");
    !late.is_empty()
}

#[test]
fn v5_3_1_2_14_a_will_without_will_retain_is_not_retained() {
    assert!(!is_retained(false));
}

#[test]
fn v5_3_1_2_15_a_will_with_will_retain_is_retained() {
    assert!(is_retained(true));
}

#[test]
fn v5_3_1_2_16_a_user_name_without_its_flag_is_malformed() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x02, &[], &[&text("c"), &text("t")]), MALFORMED);
}

#[test]
fn v5_3_1_2_17_a_user_name_flag_without_a_user_name_is_malformed() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x82, &[], &[&text("c")]), MALFORMED);
}

#[test]
fn v5_3_1_2_18_a_password_without_its_flag_is_malformed() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x82, &[], &[&text("c"), &text("Token"), &text("t")]), MALFORMED);
}

#[test]
fn v5_3_1_2_19_a_password_flag_without_a_password_is_malformed() {
    let weir = open();
    is_refused(&weir, &connect_frame(0x42, &[], &[&text("c")]), MALFORMED);
    is_refused(&weir, &connect_frame(0xC2, &[], &[&text("c"), &text("Token")]), MALFORMED);
}

#[test]
fn v5_3_1_2_21_a_client_is_held_to_the_server_keep_alive_and_not_to_its_own() {
    let mut weir = open_with("mqtt: { max_keep_alive: 10s }");
    let mut client = weir.raw();
    // A Keep Alive of 100 s.
    client.send_bytes(b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x64\x00\x00\x01c");
    assert_eq!(connack(&client.frame()).properties.server_keep_alive(), Some(10));
    weir.clock("+15s");
    expect_disconnect(&mut client, 0x8D);
}

#[test]
fn v5_3_1_2_22_silence_of_one_and_a_half_keep_alives_counts_as_a_lost_network() {
    let mut weir = open();
    let mut heir = heir(&weir);
    let mut client = weir.raw();
    // A Keep Alive of 10 s, and a will.
    client.send_bytes(b"\x10\x14\x00\x04MQTT\x05\x06\x00\x0A\x00\x00\x01c\x00\x00\x01w\x00\x00");
    assert_eq!(client.frame()[3], 0);
    weir.clock("+14s");
    // Any packet begins it anew.
    client.expect_nothing();
    weir.clock("+14999ms");
    assert_eq!(payloads(&mut heir), [""; 0]);
    weir.clock("+1ms");
    expect_disconnect(&mut client, 0x8D);
    assert_eq!(payloads(&mut heir), [""]);
}

#[test]
fn v5_3_1_2_23_a_session_is_kept_for_its_expiry_interval_after_the_connection() {
    let mut weir = open();
    let subscribed = |expiry: &[Property<'_>]| {
        let (mut client, _) = join(&weir, "c", true, expiry);
        client.subscribe("t", QoS::AtLeastOnce);
        lose(client);
    };
    subscribed(&[]);
    assert_eq!(join(&weir, "c", false, &[]).1[2], 0, "nothing is kept without the interval");
    subscribed(&[Property::SessionExpiryInterval(10)]);
    elsewhere(&weir, "queued");
    weir.clock("+9999ms");
    let (mut client, connack) = join(&weir, "c", false, &[Property::SessionExpiryInterval(10)]);
    assert_eq!((connack[2], receive(&mut client).as_str()), (1, "queued"));
    lose(client);
    weir.clock("+10s");
    assert_eq!(join(&weir, "c", false, &[]).1[2], 0, "its time is over");
}

#[test]
fn v5_3_1_2_24_no_packet_is_larger_than_the_maximum_packet_size_of_the_client() {
    let weir = open();
    let (mut client, connack) =
        join(&weir, "c", true, &[Property::MaximumPacketSize(40), Property::TopicAliasMaximum(9)]);
    assert!(connack.len() <= 40);
    client.subscribe("long/topic", QoS::AtMostOnce);
    let mut publisher = guest(&weir, "publisher");
    // With 15 bytes around it a payload of 25 fits exactly, but not together with the definition of an alias.
    for len in (20..=30).rev() {
        publisher.send_bytes(&publish_frame(0x30, "long/topic", &[], &vec![b'x'; len]));
    }
    publisher.expect_nothing();
    let filters = text("f").repeat(40);
    client.send_bytes(&frame(0xA2, &[&[0, 1, 0], &filters]));
    let mut received = 0;
    for _ in 0..2 {
        client.send_bytes(&[0xC0, 0]);
        while let frame = client.frame()
            && frame[0] != 0xD0
        {
            assert!(frame.len() <= 40, "{frame:02x?}");
            received += usize::from(frame[0] == 0x30);
        }
    }
    assert_eq!(received, 6, "what fits is sent");
    // Not even the CONNACK.
    let mut tiny = weir.raw();
    tiny.send_bytes(&connect_frame(0x02, &[0x27, 0, 0, 0, 8], &[&text("tiny")]));
    assert!(tiny.frame_or_end().is_none_or(|connack| connack.len() <= 8 && connack[3] == 0x95));
}

#[test]
fn v5_3_1_2_25_a_message_too_large_for_the_client_counts_as_sent() {
    let weir = open();
    let wanted = [Property::MaximumPacketSize(40), Property::ReceiveMaximum(1)];
    let (mut client, _) = join(&weir, "c", true, &wanted);
    client.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = guest(&weir, "publisher");
    for first in [0x30, 0x32, 0x34] {
        for payload in ["x".repeat(60).as_str(), "small"] {
            hand_in(&mut publisher, first, "t", &[], payload);
        }
        let received = client.expect_publish();
        assert_eq!(received.text(), "small");
        let [high, low] = received.packet_id.to_be_bytes();
        match received.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => client.send_bytes(&[0x40, 2, high, low]),
            QoS::ExactlyOnce => client.send_bytes(&[0x50, 3, high, low, 0x80]),
        }
    }
    client.expect_nothing();
}

/// The Topic Aliases of what a client with this Topic Alias Maximum gets: two rounds of four topics.
fn aliases_sent(alias_maximum: &[Property<'_>]) -> Vec<Option<u16>> {
    let weir = open();
    let (mut client, _) = join(&weir, "c", true, alias_maximum);
    client.subscribe("#", QoS::AtMostOnce);
    let mut publisher = guest(&weir, "publisher");
    for topic in ["first/topic", "second/topic", "third/topic", "fourth/topic"].repeat(2) {
        hand_in(&mut publisher, 0x30, topic, &[], "");
    }
    let alias = |properties: &[u8]| match properties {
        [] => None,
        [0x23, high, low] => Some(u16::from_be_bytes([*high, *low])),
        other => panic!("an alias at most: {other:02x?}"),
    };
    (0..8).map(|_| alias(&client.expect_publish().properties)).collect()
}

#[test]
fn v5_3_1_2_26_no_topic_alias_is_above_the_topic_alias_maximum_of_the_client() {
    let expected = [Some(1), Some(2), None, None, Some(1), Some(2), None, None];
    assert_eq!(aliases_sent(&[Property::TopicAliasMaximum(2)]), expected);
}

#[test]
fn v5_3_1_2_27_without_a_topic_alias_maximum_no_topic_alias_is_sent() {
    assert_eq!(aliases_sent(&[]), [None; 8]);
    assert_eq!(aliases_sent(&[Property::TopicAliasMaximum(0)]), [None; 8]);
}

#[test]
fn v5_3_1_2_28_response_information_is_for_those_who_ask_for_it() {
    let weir = open();
    for (wanted, is_there) in [
        (&[][..], false),
        (&[Property::RequestResponseInformation(false)], false),
        (&[Property::RequestResponseInformation(true)], true),
    ] {
        let (_client, frame) = join(&weir, "c", true, wanted);
        assert_eq!(connack(&frame).properties.response_information().is_some(), is_there, "{wanted:?}");
    }
}

#[test]
fn v5_3_1_2_29_without_problem_information_only_connack_and_disconnect_give_reasons() {
    let weir = open_with("acl: [ { deny: publish, topic: no }, { deny: subscribe, topic: no } ]");
    for wants in [true, false] {
        let (mut client, _) = join(&weir, "c", true, &[Property::RequestProblemInformation(wants)]);
        client.publish("no", b"", QoS::AtLeastOnce, 1);
        client.publish("no", b"", QoS::ExactlyOnce, 2);
        client.send_bytes(b"\x82\x08\x00\x03\x00\x00\x02no\x00");
        let (puback, pubrec, suback) = (client.frame(), client.frame(), client.frame());
        if wants {
            assert!(
                puback.len() > 6 && pubrec.len() > 6 && suback.len() > 6,
                "reasons are given to those who want them"
            );
        } else {
            // A property length of 0 is there or left out, but no properties.
            assert!(matches!(puback[..], [0x40, _, 0, 1, 0x87] | [0x40, _, 0, 1, 0x87, 0]), "{puback:02x?}");
            assert!(matches!(pubrec[..], [0x50, _, 0, 2, 0x87] | [0x50, _, 0, 2, 0x87, 0]), "{pubrec:02x?}");
            assert_eq!(suback, [0x90, 4, 0, 3, 0, 0x87]);
        }
    }
}

/// Begins a SCRAM-SHA-256 exchange, as a client that takes packets of this size.
fn begin_exchange(maximum_packet_size: u8) -> (Weir, Client) {
    let keys = ScramKeys::derive(b"pencil", b"some salt", 4096);
    let devices = format!("panel: {{ username: panel, scram: \"{keys}\" }}");
    let weir = Weir::at(MORNING, &OPEN.replace("pump: { token: t }", &devices));
    let method = [&[0x15], text("SCRAM-SHA-256").as_slice(), &[0x16], &text("n,,n=panel,r=nonce")].concat();
    let wanted = [&[0x27, 0, 0, 0, maximum_packet_size], method.as_slice()].concat();
    let mut client = weir.raw();
    client.send_bytes(&connect_frame(0x02, &wanted, &[&text("c")]));
    (weir, client)
}

#[test]
fn v5_3_1_2_24_a_challenge_too_large_for_the_client_is_not_sent() {
    let (_weir, mut client) = begin_exchange(200);
    let challenge = client.frame();
    assert_eq!(challenge[0], 0xF0);
    let one_less = challenge.len() as u8 - 1;
    let (_weir, mut client) = begin_exchange(one_less);
    let connack = client.frame();
    assert!(connack.len() <= one_less.into());
    assert_eq!((connack[0], connack[3]), (0x20, 0x95), "Packet too large");
    client.expect_closed();
}

#[test]
fn v5_3_1_2_30_during_authentication_nothing_but_auth_is_heard() {
    let (weir, mut early) = begin_exchange(200);
    assert_eq!(early.frame()[0], 0xF0, "a challenge");
    early.send_bytes(&publish_frame(0x31, "t", &[], b"too early"));
    early.expect_closed();
    assert_eq!(payloads(&mut subscriber(&weir, "t", QoS::AtMostOnce)), [""; 0]);
}
