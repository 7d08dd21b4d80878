//! MQTT 3.1.1, sections 3.1.0 to 3.1.2: CONNECT's place, its protocol, its flags, the session and the will they ask for, the
//! keep-alive. The payload and the answer are in their own module.

use weir::wire::{Connect, Packet, QoS, Version};

use crate::common::connect;
use crate::v311::*;

#[test]
fn v311_3_1_0_1_what_comes_before_connect_closes_the_connection_and_does_nothing() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "#", QoS::AtMostOnce);
    for bytes in [publish_frame(b"t"), subscribe_frame(b"t"), vec![0xC0, 0], vec![0xE0, 0], vec![0x40, 2, 0, 1]] {
        is_refused_in_silence(&weir, &bytes);
    }
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_1_0_2_a_second_connect_closes_the_connection() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    client.send(&Packet::Connect(connect(Version::V4, "t", "client")));
    client.expect_closed();
}

#[test]
fn v311_3_1_2_1_another_protocols_name_is_not_served() {
    let weir = weir();
    for name in [&b"MQTt"[..], b"mqtt", b"HTTP", b"MQT", b"MQTTT", b""] {
        is_refused_in_silence(&weir, &frame(0x10, &[&text(name), &[4, CLEAN, 0, 0], &text(b"c")]));
    }
}

#[test]
fn v311_3_1_2_2_a_level_that_is_not_spoken_gets_return_code_1_and_is_closed() {
    let weir = weir();
    for level in [0, 1, 2, 3, 0x84] {
        is_answered(&weir, &frame(0x10, &[b"\x00\x04MQTT", &[level, CLEAN, 0, 0], &text(b"c")]), 1);
    }
}

#[test]
fn v311_3_1_2_3_the_reserved_connect_flag_closes_the_connection() {
    let weir = weir();
    is_refused_in_silence(&weir, &connect_frame(0x01, &[&text(b"c")]));
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x01, &[&text(b"c")]));
}

#[test]
fn v311_3_1_2_4_a_session_that_is_not_clean_is_made_kept_and_resumed() {
    let weir = weir();
    let (mut client, connack) = weir.try_connect(&durable("client"));
    assert_eq!(connack, [0x20, 2, 0, 0], "a new one");
    client.subscribe("t", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "t", "unacknowledged", QoS::AtLeastOnce);
    client.expect_publish();
    client.disconnect();
    let (mut client, connack) = weir.try_connect(&durable("client"));
    assert_eq!(connack, [0x20, 2, 1, 0], "the same one");
    assert_eq!(client.expect_publish().text(), "unacknowledged");
    put(&mut clean(&weir, "sender"), "t", "still subscribed", QoS::AtLeastOnce);
    assert_eq!(client.expect_publish().text(), "still subscribed");
}

#[test]
fn v311_3_1_2_5_messages_of_qos_1_and_2_are_kept_while_the_client_is_away() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::ExactlyOnce);
    lose(client);
    let mut sender = clean(&weir, "sender");
    put(&mut sender, "t", "1", QoS::AtLeastOnce);
    put(&mut sender, "t", "2", QoS::ExactlyOnce);
    let received = weir.connect(&durable("client")).deliveries();
    let received: Vec<_> = received.iter().map(|received| (received.text(), received.qos)).collect();
    assert_eq!(received, [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce)]);
}

#[test]
fn v311_3_1_2_6_a_clean_session_begins_with_nothing_and_leaves_nothing() {
    let weir = weir();
    let mut client = weir.connect(&durable("client"));
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    put(&mut clean(&weir, "sender"), "t", "queued", QoS::AtLeastOnce);
    let mut client = clean(&weir, "client");
    assert!(client.deliveries().is_empty(), "the earlier session is discarded");
    client.subscribe("u", QoS::AtLeastOnce);
    client.disconnect();
    let (mut client, connack) = weir.try_connect(&durable("client"));
    assert_eq!(connack, [0x20, 2, 0, 0]);
    put(&mut clean(&weir, "sender"), "t", "x", QoS::AtLeastOnce);
    put(&mut clean(&weir, "sender"), "u", "x", QoS::AtLeastOnce);
    assert!(client.deliveries().is_empty(), "the clean session is not reused");
}

#[test]
fn v311_3_1_2_7_retained_messages_outlive_the_session_that_published_them() {
    let weir = weir();
    let mut client = clean(&weir, "client");
    retain(&mut client, "t", "kept", QoS::AtLeastOnce);
    client.disconnect();
    clean(&weir, "client").disconnect();
    assert_eq!(payloads(&mut subscriber(&weir, "t", QoS::AtLeastOnce)), ["kept"]);
}

/// The CONNECT of a client with this will.
fn with_will<'a>(will: weir::wire::Will<'a>) -> Connect<'a> {
    Connect { will: Some(will), ..connect(Version::V4, "t", "mortal") }
}

#[test]
fn v311_3_1_2_8_the_will_is_published_when_the_connection_ends_without_disconnect() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "will", QoS::AtMostOnce);
    let will = will("will", b"dead", QoS::AtMostOnce, false);
    // The network is lost.
    weir.connect(&with_will(will)).vanish();
    subscriber.expect(b"\x30\x0A\x00\x04willdead");
    // The client breaks a rule.
    weir.connect(&with_will(will)).send_bytes(&[0x00, 0]);
    subscriber.expect(b"\x30\x0A\x00\x04willdead");
    // Another takes its place.
    let mut first = weir.connect(&with_will(will));
    let second = weir.connect(&with_will(will));
    first.expect_closed();
    subscriber.expect(b"\x30\x0A\x00\x04willdead");
    // It says goodbye.
    second.disconnect();
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_1_2_9_the_will_has_the_qos_and_retain_of_its_flags_and_its_topic_and_message_are_there() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "will", QoS::ExactlyOnce);
    let fields = [text(b"c"), text(b"will"), text(b"dead")].concat();
    for qos in 0..3u8 {
        drop(is_answered(&weir, &connect_frame(CLEAN | 0x04 | 0x20 | qos << 3, &[&fields]), 0));
        let received = subscriber.expect_publish();
        assert_eq!((received.qos as u8, received.text()), (qos, "dead"));
        let mut late = clean(&weir, "late");
        late.subscribe("will", QoS::ExactlyOnce);
        let retained = late.deliveries();
        assert_eq!((retained[0].qos as u8, retained[0].retain), (qos, true));
    }
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04, &[&text(b"c")]));
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04, &[&text(b"c"), &text(b"will")]));
}

#[test]
fn v311_3_1_2_10_a_will_that_was_published_or_discarded_is_gone_from_the_session() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "will", QoS::AtMostOnce);
    let will = will("will", b"dead", QoS::AtMostOnce, false);
    let with_will = Connect { will: Some(will), ..durable("mortal") };
    weir.connect(&with_will).vanish();
    subscriber.expect_publish();
    let client = weir.connect(&durable("mortal"));
    lose(client);
    assert!(subscriber.deliveries().is_empty(), "it was published once");
    weir.connect(&with_will).disconnect();
    let client = weir.connect(&durable("mortal"));
    lose(client);
    assert!(subscriber.deliveries().is_empty(), "DISCONNECT has discarded it");
}

#[test]
fn v311_3_1_2_11_without_a_will_its_flags_are_zero_and_its_fields_are_not_there() {
    let weir = weir();
    for flags in [0x08, 0x10, 0x20, 0x28] {
        is_refused_in_silence(&weir, &connect_frame(CLEAN | flags, &[&text(b"c")]));
    }
    is_refused_in_silence(&weir, &connect_frame(CLEAN, &[&text(b"c"), &text(b"will"), &text(b"dead")]));
}

#[test]
fn v311_3_1_2_12_without_a_will_nothing_is_published_when_the_connection_ends() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "#", QoS::AtMostOnce);
    let client = clean(&weir, "client");
    lose(client);
    assert!(subscriber.deliveries().is_empty());
}

#[test]
fn v311_3_1_2_13_without_a_will_a_will_qos_closes_the_connection() {
    let weir = weir();
    for qos in 1..=3 {
        is_refused_in_silence(&weir, &connect_frame(CLEAN | qos << 3, &[&text(b"c")]));
    }
}

#[test]
fn v311_3_1_2_14_a_will_of_qos_0_1_or_2_is_taken_and_of_qos_3_is_not() {
    let weir = weir();
    let fields = [text(b"c"), text(b"will"), text(b"dead")].concat();
    for qos in 0..3 {
        is_answered(&weir, &connect_frame(CLEAN | 0x04 | qos << 3, &[&fields]), 0);
    }
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x04 | 3 << 3, &[&fields]));
}

#[test]
fn v311_3_1_2_15_without_a_will_will_retain_closes_the_connection() {
    is_refused_in_silence(&weir(), &connect_frame(CLEAN | 0x20, &[&text(b"c")]));
}

#[test]
fn v311_3_1_2_16_a_will_without_will_retain_is_not_retained() {
    let weir = weir();
    let mut listener = subscriber(&weir, "will", QoS::AtLeastOnce);
    let client = weir.connect(&with_will(will("will", b"dead", QoS::AtLeastOnce, false)));
    lose(client);
    assert!(!listener.expect_publish().retain);
    assert!(subscriber(&weir, "will", QoS::AtLeastOnce).deliveries().is_empty());
}

#[test]
fn v311_3_1_2_17_a_will_with_will_retain_is_retained() {
    let weir = weir();
    let client = weir.connect(&with_will(will("will", b"dead", QoS::AtLeastOnce, true)));
    lose(client);
    let received = subscriber(&weir, "will", QoS::AtLeastOnce).deliveries();
    assert_eq!((received[0].text(), received[0].retain), ("dead", true));
}

#[test]
fn v311_3_1_2_18_a_user_name_that_the_flags_do_not_announce_closes_the_connection() {
    is_refused_in_silence(&weir(), &connect_frame(CLEAN, &[&text(b"c"), &text(b"user")]));
}

#[test]
fn v311_3_1_2_19_a_user_name_that_the_flags_announce_must_be_there() {
    let weir = weir();
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0x80, &[&text(b"c")]));
    is_answered(&weir, &connect_frame(CLEAN | 0x80, &[&text(b"c"), &text(b"t")]), 0);
}

#[test]
fn v311_3_1_2_20_a_password_that_the_flags_do_not_announce_closes_the_connection() {
    let fields = [text(b"c"), text(b"Token"), text(b"t")].concat();
    is_refused_in_silence(&weir(), &connect_frame(CLEAN | 0x80, &[&fields]));
}

#[test]
fn v311_3_1_2_21_a_password_that_the_flags_announce_must_be_there() {
    let weir = weir();
    is_refused_in_silence(&weir, &connect_frame(CLEAN | 0xC0, &[&text(b"c"), &text(b"Token")]));
    is_answered(&weir, &connect_frame(CLEAN | 0xC0, &[&text(b"c"), &text(b"Token"), &text(b"t")]), 0);
}

#[test]
fn v311_3_1_2_22_a_password_without_a_user_name_closes_the_connection() {
    is_refused_in_silence(&weir(), &connect_frame(CLEAN | 0x40, &[&text(b"c"), &text(b"t")]));
}

#[test]
fn v311_3_1_2_24_silence_for_one_and_a_half_keep_alives_counts_as_a_lost_network() {
    let mut weir = weir();
    let mut subscriber = subscriber(&weir, "will", QoS::AtMostOnce);
    let will = will("will", b"dead", QoS::AtMostOnce, false);
    let mut client = weir.connect(&Connect { keep_alive: 10, ..with_will(will) });
    weir.clock("+14999ms");
    client.expect_nothing();
    weir.clock("+14999ms");
    assert!(subscriber.deliveries().is_empty());
    weir.clock("+1ms");
    client.expect_closed();
    assert_eq!(subscriber.expect_publish().text(), "dead");
}
