//! MQTT 5, sections 4.4 to 4.7: what is sent again, who gets a message, in which order, and what topics and filters match.

use weir::wire::QoS;

use crate::common::{Client, Weir};
use crate::v5_setup::*;

const TOPIC_FILTER_INVALID: u8 = 0x8F;
const TOPIC_NAME_INVALID: u8 = 0x90;

/// The packet identifiers and payloads of what is on its way to the client.
#[track_caller]
fn identified(client: &mut Client) -> Vec<(u16, String)> {
    deliveries(client).into_iter().map(|received| (received.packet_id, received.text().to_owned())).collect()
}

/// A durable subscriber of `t` that got these messages and has acknowledged none; their packet identifiers.
fn owes(weir: &Weir, messages: &[(&str, QoS)]) -> (Client, Vec<u16>) {
    let mut subscriber = durable_subscriber(weir, "subscriber", "t", QoS::ExactlyOnce);
    let mut publisher = client(weir, "publisher");
    for (payload, qos) in messages {
        send(&mut publisher, "t", payload.as_bytes(), *qos);
    }
    let (ids, payloads): (Vec<u16>, Vec<String>) = identified(&mut subscriber).into_iter().unzip();
    assert_eq!(payloads, messages.iter().map(|(payload, _)| *payload).collect::<Vec<_>>());
    (subscriber, ids)
}

// 4.4 and 4.5: what is sent again, and taking ownership

#[test]
fn v5_4_4_0_1_what_is_unacknowledged_is_sent_again_on_reconnect_with_its_packet_identifier_and_at_no_other_time() {
    let mut weir = weir();
    let sent = [("a", QoS::AtLeastOnce), ("b", QoS::ExactlyOnce), ("c", QoS::ExactlyOnce), ("d", QoS::AtLeastOnce)];
    let (mut subscriber, ids) = owes(&weir, &sent);
    subscriber.send_bytes(&ack(0x50, ids[1]));
    subscriber.expect(&ack(0x62, ids[1]));
    weir.clock("+24h");
    assert_eq!(rest(&mut subscriber).len(), 0, "time alone sends nothing again");
    subscriber.disconnect();
    let mut subscriber = durable(&weir, "subscriber");
    let again = [
        publish(0x3A, b"t", ids[0], b"a"),
        ack(0x62, ids[1]).to_vec(),
        publish(0x3C, b"t", ids[2], b"c"),
        publish(0x3A, b"t", ids[3], b"d"),
    ];
    assert_eq!(rest(&mut subscriber), again);
    weir.clock("+24h");
    assert_eq!(rest(&mut subscriber).len(), 0);
    // With Clean Start there is no session, and nothing of it.
    subscriber.disconnect();
    assert_eq!(rest(&mut client(&weir, "subscriber")).len(), 0);
}

#[test]
fn v5_4_4_0_2_what_was_answered_with_0x80_or_more_is_not_sent_again() {
    let weir = weir();
    let sent = [("a", QoS::AtLeastOnce), ("b", QoS::ExactlyOnce), ("c", QoS::AtLeastOnce)];
    let (mut subscriber, ids) = owes(&weir, &sent);
    subscriber.send_bytes(&[ack_with(0x40, ids[0], 0x83), ack_with(0x50, ids[1], 0x97)].concat());
    subscriber.expect_nothing();
    subscriber.disconnect();
    assert_eq!(rest(&mut durable(&weir, "subscriber")), [publish(0x3A, b"t", ids[2], b"c")]);
}

#[test]
fn v5_4_5_0_1_a_message_is_added_to_every_session_that_subscribes_it_connected_or_not() {
    let weir = weir();
    let mut here = durable_subscriber(&weir, "here", "t/#", QoS::AtLeastOnce);
    durable_subscriber(&weir, "away", "t/+", QoS::ExactlyOnce).disconnect();
    let mut elsewhere = durable_subscriber(&weir, "elsewhere", "u", QoS::ExactlyOnce);
    let mut publisher = client(&weir, "publisher");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        send(&mut publisher, "t/x", b"owned", qos);
    }
    assert_eq!(payloads(&mut here), ["owned"; 2]);
    assert_eq!(payloads(&mut durable(&weir, "away")), ["owned"; 2]);
    assert_eq!(payloads(&mut elsewhere), [""; 0]);
    // Also that of a session which is there and has not acknowledged it yet.
    here.disconnect();
    assert_eq!(payloads(&mut durable(&weir, "here")), ["owned"; 2]);
}

// 4.6: order

#[test]
fn v5_4_6_0_1_messages_that_are_sent_again_come_in_their_first_order() {
    let weir = weir();
    let names: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let sent: Vec<(&str, QoS)> = names.iter().enumerate().map(|(n, name)| (name.as_str(), QOS[1 + n % 2])).collect();
    let (subscriber, ids) = owes(&weir, &sent);
    subscriber.disconnect();
    let again: Vec<(u16, String)> = ids.into_iter().zip(names).collect();
    for _ in 0..2 {
        let mut subscriber = durable(&weir, "subscriber");
        assert_eq!(identified(&mut subscriber), again);
        subscriber.disconnect();
    }
}

/// Messages with these identifiers, in one write, are acknowledged in their order.
fn acknowledgements_keep_the_order(first: u8, answer: u8) {
    let weir = weir();
    let _subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    let ids = [9, 3, 0xFFFF, 1, 200, 4];
    publisher.send_bytes(&ids.map(|id| publish(first, b"t", id, b"")).concat());
    ids.iter().for_each(|id| publisher.expect(&ack(answer, *id)));
}

#[test]
fn v5_4_6_0_2_pubacks_come_in_the_order_of_their_messages() {
    acknowledgements_keep_the_order(0x32, 0x40);
}

#[test]
fn v5_4_6_0_3_pubrecs_come_in_the_order_of_their_messages() {
    acknowledgements_keep_the_order(0x34, 0x50);
}

#[test]
fn v5_4_6_0_4_pubrels_come_in_the_order_of_the_pubrecs() {
    let weir = weir();
    let (mut subscriber, ids) = owes(&weir, &[("m", QoS::ExactlyOnce); 5]);
    let order = [3, 0, 4, 1, 2].map(|at: usize| ids[at]);
    subscriber.send_bytes(&order.map(|id| ack(0x50, id)).concat());
    order.iter().for_each(|id| subscriber.expect(&ack(0x62, *id)));
}

#[test]
fn v5_4_6_0_5_the_messages_of_a_client_to_a_topic_arrive_in_the_order_in_which_it_sent_them() {
    let weir = weir();
    for qos in QOS {
        let mut consumers = ["one", "two"].map(|name| subscriber(&weir, name, "t/+", qos));
        let mut publisher = client(&weir, "publisher");
        let messages: Vec<(&str, String)> = (0..200).map(|n| (["t/a", "t/b"][n % 2], n.to_string())).collect();
        for (n, (topic, payload)) in messages.iter().enumerate() {
            publisher.publish(topic, payload.as_bytes(), qos, n as u16 + 1);
        }
        for consumer in &mut consumers {
            for (topic, payload) in &messages {
                let received = consumer.expect_publish();
                assert_eq!((received.topic.as_str(), received.text()), (*topic, payload.as_str()));
            }
        }
    }
}

#[test]
fn v5_4_6_0_6_every_topic_is_ordered_also_where_messages_wait_for_the_client() {
    let weir = weir();
    let mut subscriber = client_with_quota(&weir, "subscriber", 3);
    for (filter, options) in [(&b"#"[..], 2), (b"t", 1)] {
        subscriber.send_bytes(&subscribe(1, &[(filter, options)]));
        subscriber.expect(&answer(0x90, 1, &[options]));
    }
    let mut publisher = client(&weir, "publisher");
    for number in 1..=40 {
        send(&mut publisher, "t", number.to_string().as_bytes(), QoS::AtLeastOnce);
    }
    for number in 1..=40 {
        let received = subscriber.expect_publish();
        assert_eq!(received.text(), number.to_string());
        subscriber.send_bytes(&ack(0x40, received.packet_id));
    }
}

// 4.7: topic names and topic filters

/// For each filter the topics, of all those named in any row, that reach a subscriber of it.
fn each_filter_matches_just(rows: &[(&str, &[&str])]) {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    let mut topics: Vec<&str> = rows.iter().flat_map(|(_, topics)| topics.iter().copied()).collect();
    topics.sort_unstable();
    topics.dedup();
    for (filter, expected) in rows {
        let mut subscriber = subscriber(&weir, "subscriber", filter, QoS::AtMostOnce);
        topics.iter().for_each(|topic| publisher.publish(topic, b"", QoS::AtMostOnce, 0));
        publisher.expect_nothing();
        let got: Vec<String> = deliveries(&mut subscriber).into_iter().map(|received| received.topic).collect();
        let expected: Vec<&&str> = topics.iter().filter(|topic| expected.contains(topic)).collect();
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{filter}");
    }
}

/// A SUBSCRIBE and an UNSUBSCRIBE of each of these.
fn filters(filters: &[&[u8]]) -> Vec<Vec<u8>> {
    filters.iter().flat_map(|filter| [subscribe(1, &[(filter, 0)]), unsubscribe(1, &[filter])]).collect()
}

#[test]
fn v5_4_7_0_1_a_wildcard_is_refused_in_a_topic_name_and_taken_in_a_filter() {
    let names: [&[u8]; 5] = [b"#", b"+", b"a/#", b"a/+/b", b"a+b"];
    let packets: Vec<_> =
        names.iter().flat_map(|name| [0x30, 0x32, 0x34].map(|qos| publish(qos, name, 1, b""))).collect();
    each_ends_the_connection(&weir(), TOPIC_NAME_INVALID, &packets);
    client(&weir(), "client").subscribe("a/+/#", QoS::AtMostOnce);
}

#[test]
fn v5_4_7_1_1_a_multi_level_wildcard_is_the_last_level_of_a_filter_and_matches_all_below() {
    let wrong: [&[u8]; 6] = [b"a#", b"#/a", b"a/#/b", b"a/#b", b"##", b"a/##"];
    each_ends_the_connection(&weir(), TOPIC_FILTER_INVALID, &filters(&wrong));
    each_filter_matches_just(&[
        ("#", &["a", "a/", "a/b", "a/b/c", "/", "/a", "b", "ab"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c"]),
        ("a/b/#", &["a/b", "a/b/c"]),
        ("/#", &["/", "/a"]),
    ]);
}

#[test]
fn v5_4_7_1_2_a_single_level_wildcard_is_a_whole_level_of_a_filter_and_matches_any_one() {
    let wrong: [&[u8]; 6] = [b"a+", b"+a", b"a/b+/c", b"a/+b", b"++", b"a/++/b"];
    each_ends_the_connection(&weir(), TOPIC_FILTER_INVALID, &filters(&wrong));
    each_filter_matches_just(&[
        ("+", &["a", "b"]),
        ("+/+", &["a/", "a/b", "b/b", "/", "/a"]),
        ("/+", &["/", "/a"]),
        ("a/+", &["a/", "a/b"]),
        ("a/+/c", &["a/b/c", "a//c"]),
        ("+/b/#", &["a/b", "a/b/c", "b/b"]),
        ("+/+/+", &["a/b/c", "a//c"]),
    ]);
}

#[test]
fn v5_4_7_2_1_a_leading_wildcard_does_not_match_a_topic_that_begins_with_a_dollar_sign() {
    each_filter_matches_just(&[
        ("#", &["a", "a/$b"]),
        ("+", &["a"]),
        ("+/$b", &["a/$b"]),
        ("+/b", &[]),
        ("$a", &["$a"]),
        ("$a/#", &["$a", "$a/b", "$a/$b"]),
        ("$a/+", &["$a/b", "$a/$b"]),
        ("$share/group/#", &["a", "a/$b"]),
        ("$share/group/+/b", &[]),
        ("$share/group/$a/+", &["$a/b", "$a/$b"]),
    ]);
    // Nor do retained ones come, nor what the broker says of itself.
    let weir = weir();
    let mut client = client(&weir, "client");
    client.send_bytes(&publish(0x31, b"$a/b", 0, b"retained"));
    client.send_bytes(&subscribe(1, &[(b"#", 0), (b"+/b", 0), (b"+/#", 0), (b"+/publish", 0)]));
    client.expect(&answer(0x90, 1, &[0; 4]));
    assert_eq!(rest(&mut client).len(), 0);
}

#[test]
fn v5_4_7_3_1_a_topic_name_or_filter_has_one_character_at_least() {
    let weir = weir();
    // A topic name may be left out for an alias: without one, that is what is wrong.
    each_ends_the_connection(&weir, PROTOCOL_ERROR, &[publish(0x30, b"", 0, b""), publish(0x32, b"", 1, b"")]);
    each_ends_the_connection(&weir, TOPIC_FILTER_INVALID, &filters(&[b""]));
    each_filter_matches_just(&[("/", &["/"]), ("a", &["a"]), (" ", &[" "])]);
}

#[test]
fn v5_4_7_3_2_a_topic_name_or_filter_has_no_null_character() {
    let weir = weir();
    let mut packets = filters(&[b"\0", b"a/\0/b", b"a\0"]);
    packets.extend([b"\0".to_vec(), b"a/\0".to_vec()].map(|name| publish(0x30, &name, 0, b"")));
    each_ends_the_connection(&weir, MALFORMED, &packets);
}

#[test]
fn v5_4_7_3_4_topics_are_compared_byte_by_byte_as_they_are() {
    // Each pair looks the same or means the same, to somebody.
    let topics = [
        "\u{e9}",
        "e\u{301}",
        "a",
        "A",
        "a/",
        "/a",
        "//a",
        "a ",
        "\u{feff}a",
        "%61",
        "a/./b",
        "a/b",
        "a//b",
        "\u{fb01}",
        "fi",
        "\u{212b}",
        "\u{c5}",
        "\u{2028}",
        "\u{fffd}",
        "\u{fdd0}",
    ];
    let rows: Vec<(&str, &[&str])> = topics.iter().map(|topic| (*topic, std::slice::from_ref(topic))).collect();
    each_filter_matches_just(&rows);
}
