//! MQTT 5, section 3.3.2: the topic and the properties of PUBLISH.

use weir::wire::{Property, QoS};

use super::v5_support::*;

/// What is no UTF-8 string.
const NO_STRINGS: [&[u8]; 3] = [b"\xFF", b"a\xED\xA0\x80", b"a\0"];

/// A message with these properties comes to a subscriber with these, byte for byte: at every QoS, by a subscription there was
/// and as a retained message, and to a session that was away.
#[track_caller]
fn is_passed_on(sent: &[u8], received: &[u8]) {
    let weir = open();
    let mut there = subscriber(&weir, "t", QoS::AtMostOnce);
    let (mut away, _) = join(&weir, "away", false, &[AN_HOUR]);
    away.subscribe("t", QoS::AtLeastOnce);
    away.disconnect();
    let mut publisher = guest(&weir, "publisher");
    for first in [0x30, 0x32, 0x34, 0x33] {
        hand_in(&mut publisher, first, "t", sent, "payload");
        there.expect(&publish_frame(0x30, "t", received, b"payload"));
    }
    let mut late = guest(&weir, "late");
    late.subscribe("t", QoS::AtMostOnce);
    late.expect(&publish_frame(0x31, "t", received, b"payload"));
    let (mut away, _) = join(&weir, "away", false, &[AN_HOUR]);
    assert_eq!(away.expect_publish().properties, received);
}

/// A text property.
fn property(id: u8, value: &str) -> Vec<u8> {
    [&[id], text(value).as_slice()].concat()
}

/// The text property is refused where it is no string.
fn must_be_a_string(id: u8) {
    let weir = open();
    for bad in NO_STRINGS {
        is_disconnected(&weir, &publish_frame(0x30, "t", &[&[id], text(bad).as_slice()].concat(), b""), MALFORMED);
    }
}

#[test]
fn v5_3_3_2_1_a_publish_begins_with_a_topic_name_that_is_a_string() {
    let weir = open();
    for bad in NO_STRINGS {
        is_disconnected(&weir, &frame(0x30, &[&text(bad), &[0]]), MALFORMED);
    }
    for no_topic in [&b"\x30\x00"[..], b"\x30\x01\x00", b"\x30\x03\x00\x05t"] {
        is_disconnected(&weir, no_topic, MALFORMED);
    }
    is_disconnected(&weir, b"\x30\x03\x00\x00\x00", PROTOCOL_ERROR);
}

#[test]
fn v5_3_3_2_2_a_topic_name_with_a_wildcard_is_invalid() {
    let weir = open();
    for topic in ["#", "+", "a/#", "a/+/b", "a#", "+a"] {
        is_disconnected(&weir, &publish_frame(0x30, topic, &[], b""), 0x90);
    }
}

#[test]
fn v5_3_3_2_3_a_topic_name_matches_the_filter_it_is_sent_for() {
    let weir = open();
    let mut subscriber = subscriber(&weir, "a/+/c", QoS::AtMostOnce);
    let mut publisher = guest(&weir, "publisher");
    for topic in ["a/b/c", "a/b/d", "a/b", "a/b/c/d", "A/b/c", "a//c", "/a/b/c"] {
        hand_in(&mut publisher, 0x30, topic, &[], "");
    }
    // The publisher's aliases are its own: the subscriber gets the name.
    hand_in(&mut publisher, 0x30, "a/x/c", &[0x23, 0, 1], "");
    hand_in(&mut publisher, 0x30, "", &[0x23, 0, 1], "");
    let topics: Vec<String> = subscriber.deliveries().into_iter().map(|received| received.topic).collect();
    assert_eq!(topics, ["a/b/c", "a//c", "a/x/c", "a/x/c"]);
}

#[test]
fn v5_3_3_2_4_the_payload_format_indicator_is_passed_on() {
    is_passed_on(&[0x01, 0], &[0x01, 0]);
    is_passed_on(&[0x01, 1], &[0x01, 1]);
    is_passed_on(&[], &[]);
}

/// A session that is away, which subscribes `t` at QoS 1.
fn leave_session(weir: &super::common::Weir) {
    let (mut away, _) = join(weir, "away", false, &[AN_HOUR]);
    away.subscribe("t", QoS::AtLeastOnce);
    away.disconnect();
}

#[test]
fn v5_3_3_2_5_a_message_whose_time_is_over_before_it_was_sent_is_deleted() {
    let mut weir = open();
    leave_session(&weir);
    let mut publisher = guest(&weir, "publisher");
    for (payload, expiry) in [("10 s", &[0x02, 0, 0, 0, 10][..]), ("11 s", &[0x02, 0, 0, 0, 11]), ("for ever", &[])] {
        hand_in(&mut publisher, 0x33, "t", expiry, payload);
        hand_in(&mut publisher, 0x33, payload, expiry, payload);
    }
    weir.clock("+10s");
    let (mut back, _) = join(&weir, "away", false, &[AN_HOUR]);
    assert_eq!(payloads(&mut back), ["11 s", "for ever"]);
    let mut retained = payloads(&mut subscriber(&weir, "+", QoS::AtMostOnce));
    retained.sort();
    assert_eq!(retained, ["11 s", "for ever", "for ever"]);
}

#[test]
fn v5_3_3_2_6_a_message_says_what_is_left_of_its_time() {
    let mut weir = open();
    leave_session(&weir);
    let mut there = guest(&weir, "there");
    there.subscribe("t", QoS::AtMostOnce);
    hand_in(&mut guest(&weir, "publisher"), 0x33, "t", &[0x02, 0, 0, 1, 0x2C], "300 s");
    there.expect(&publish_frame(0x30, "t", &[0x02, 0, 0, 1, 0x2C], b"300 s"));
    weir.clock("+100s");
    let (mut back, _) = join(&weir, "away", false, &[AN_HOUR]);
    assert_eq!(back.expect_publish().properties, [0x02, 0, 0, 0, 200]);
    weir.clock("+199s");
    let mut late = subscriber(&weir, "t", QoS::AtMostOnce);
    late.expect(&publish_frame(0x31, "t", &[0x02, 0, 0, 0, 1], b"300 s"));
}

#[test]
fn v5_3_3_2_7_topic_aliases_end_with_their_connection() {
    let weir = open();
    let wanted = [AN_HOUR, Property::TopicAliasMaximum(5)];
    let mut topics = guest(&weir, "publisher");
    let (mut client, _) = join(&weir, "c", true, &wanted);
    client.subscribe("long/topic", QoS::AtMostOnce);
    hand_in(&mut client, 0x30, "mine", &[0x23, 0, 1], "");
    for expected in ["long/topic", ""] {
        hand_in(&mut topics, 0x30, "long/topic", &[], "");
        assert_eq!(client.expect_publish().topic, expected);
    }
    lose(client);
    let (mut client, connack) = join(&weir, "c", false, &wanted);
    assert_eq!(connack[2], 1, "session present");
    hand_in(&mut topics, 0x30, "long/topic", &[], "");
    assert_eq!(client.expect_publish().topic, "long/topic", "the broker begins anew");
    client.send_bytes(&publish_frame(0x30, "", &[0x23, 0, 1], b""));
    expect_disconnect(&mut client, PROTOCOL_ERROR);
}

#[test]
fn v5_3_3_2_8_topic_alias_0_is_invalid_and_never_sent() {
    let weir = open();
    is_disconnected(&weir, &publish_frame(0x30, "t", &[0x23, 0, 0], b""), 0x94);
    let (mut client, _) = join(&weir, "c", true, &[Property::TopicAliasMaximum(1)]);
    client.subscribe("#", QoS::AtMostOnce);
    let mut publisher = guest(&weir, "publisher");
    for topic in ["first/topic", "second/topic"] {
        hand_in(&mut publisher, 0x30, topic, &[], "");
    }
    assert_eq!(client.expect_publish().properties, [0x23, 0, 1]);
    assert_eq!(client.expect_publish().properties, [0; 0], "there is no alias for a second topic");
}

#[test]
fn v5_3_3_2_9_a_topic_alias_above_what_the_broker_takes_is_invalid() {
    let weir = open();
    let (_client, frame) = join(&weir, "c", true, &[]);
    let maximum = connack(&frame).properties.topic_alias_maximum().expect("it is told");
    for alias in [maximum + 1, u16::MAX] {
        let [high, low] = alias.to_be_bytes();
        is_disconnected(&weir, &publish_frame(0x30, "t", &[0x23, high, low], b""), 0x94);
    }
}

#[test]
fn v5_3_3_2_11_every_topic_alias_sent_is_one_that_the_client_takes() {
    let weir = open();
    for maximum in [1, 3] {
        let (mut client, _) = join(&weir, "c", true, &[Property::TopicAliasMaximum(maximum)]);
        client.subscribe("+/topic", QoS::AtMostOnce);
        let mut publisher = guest(&weir, "publisher");
        for topic in 0..20 {
            hand_in(&mut publisher, 0x30, &format!("long-{}/topic", topic % 10), &[], "");
        }
        let mut highest = 0;
        for received in client.deliveries() {
            if let [0x23, high, low] = received.properties[..] {
                highest = highest.max(u16::from_be_bytes([high, low]));
            }
        }
        assert_eq!(highest, maximum, "all that may be used are");
    }
}

#[test]
fn v5_3_3_2_12_every_topic_alias_up_to_the_maximum_of_the_broker_is_taken() {
    let weir = open();
    let mut subscriber = subscriber(&weir, "#", QoS::AtMostOnce);
    let (mut publisher, frame) = join(&weir, "publisher", true, &[]);
    let maximum = connack(&frame).properties.topic_alias_maximum().expect("it is told");
    let alias = |alias: u16| [&[0x23], alias.to_be_bytes().as_slice()].concat();
    for at in 1..=maximum {
        publisher.send_bytes(&publish_frame(0x30, &format!("topic/{at}"), &alias(at), b""));
    }
    for at in (1..=maximum).rev() {
        publisher.send_bytes(&publish_frame(0x30, "", &alias(at), b""));
    }
    for at in (1..=maximum).chain((1..=maximum).rev()) {
        assert_eq!(subscriber.expect_publish().topic, format!("topic/{at}"));
    }
    // One that is given to another topic stands for that.
    for (topic, expected) in [("another", "another"), ("", "another")] {
        publisher.send_bytes(&publish_frame(0x30, topic, &alias(1), b""));
        assert_eq!(subscriber.expect_publish().topic, expected);
    }
}

#[test]
fn v5_3_3_2_13_a_response_topic_that_is_no_string_is_malformed() {
    must_be_a_string(0x08);
}

#[test]
fn v5_3_3_2_14_a_response_topic_with_a_wildcard_is_refused() {
    let weir = open();
    for topic in ["#", "answers/+", "answers/#"] {
        is_disconnected(&weir, &publish_frame(0x30, "t", &property(0x08, topic), b""), MALFORMED);
    }
}

#[test]
fn v5_3_3_2_15_the_response_topic_is_passed_on() {
    let response_topic = property(0x08, "answers/é/ \u{FEFF}$x");
    is_passed_on(&response_topic, &response_topic);
}

#[test]
fn v5_3_3_2_16_the_correlation_data_is_passed_on() {
    for data in [&b""[..], b"\x00\xFF\xC0\x80#+"] {
        let correlation_data = [&[0x09], text(data).as_slice()].concat();
        is_passed_on(&correlation_data, &correlation_data);
    }
}

/// User Properties: names twice, and with and without values.
fn user_properties() -> Vec<u8> {
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "é"), ("a", "0")];
    properties(&pairs.map(|(name, value)| Property::UserProperty(name, value))).as_properties().as_bytes().to_vec()
}

#[test]
fn v5_3_3_2_17_all_user_properties_are_passed_on() {
    is_passed_on(&user_properties(), &user_properties());
}

#[test]
fn v5_3_3_2_18_user_properties_are_passed_on_in_their_order_also_where_others_are_taken_out() {
    let pair = |name: &str| [&[0x26], text(name).as_slice(), &text("v")].concat();
    let (first, second, third) = (pair("z"), pair("a"), pair("m"));
    let alias = [0x23, 0, 1];
    let sent = [&first, alias.as_slice(), &second, &property(0x03, "type"), &third].concat();
    let received = [&first, second.as_slice(), &property(0x03, "type"), &third].concat();
    is_passed_on(&sent, &received);
}

#[test]
fn v5_3_3_2_19_a_content_type_that_is_no_string_is_malformed() {
    must_be_a_string(0x03);
}

#[test]
fn v5_3_3_2_20_the_content_type_is_passed_on() {
    for content_type in ["", "application/json; charset=utf-8", "é\u{FEFF}"] {
        is_passed_on(&property(0x03, content_type), &property(0x03, content_type));
    }
}
