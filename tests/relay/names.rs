//! What is renamed on its way, and that everything else is not touched.

use weir::wire::{Connect, Packet, Property, Publish};

use super::*;
use crate::common::{id, publish};

#[test]
fn topics_and_client_identifiers_are_under_the_profile_at_the_backend() {
    let pair = Pair::on_plan("");
    let mut behind = pair.behind("watcher");
    behind.subscribe("#", Q1);
    for version in VERSIONS {
        let mut client = pair.weir.client(version, "a", "pump");
        client.subscribe("from/there", Q1);
        client.publish("a/b", b"up", Q0, 0);
        let up = behind.expect_publish();
        assert_eq!((up.topic.as_str(), up.text()), ("acme/a/b", "up"));
        behind.publish("acme/from/there", b"down", Q0, 0);
        behind.expect_publish();
        let down = client.expect_publish();
        assert_eq!((down.topic.as_str(), down.text()), ("from/there", "down"));
        client.disconnect();
    }
}

#[test]
fn topics_that_begin_with_a_dollar_stay_out_of_reach_of_wildcards() {
    let pair = Pair::on_plan("");
    let mut client = pair.weir.client(Version::V4, "a", "pump");
    client.subscribe("#", Q0);
    client.publish("$mine/x", b"1", Q0, 0);
    client.publish("x", b"2", Q0, 0);
    assert_eq!(client.expect_publish().topic, "x");
    client.subscribe("$mine/+", Q0);
    client.publish("$mine/x", b"3", Q0, 0);
    assert_eq!(client.expect_publish().topic, "$mine/x");
}

#[test]
fn properties_pass_both_ways_and_only_the_response_topic_is_renamed() {
    let pair = Pair::on_plan("");
    let mut behind = pair.behind("watcher");
    behind.subscribe("#", Q1);
    let mut client = pair.weir.client(Version::V5, "a", "pump");
    client.subscribe("q", Q1);
    let all = properties(&[
        Property::PayloadFormatIndicator(1),
        Property::MessageExpiryInterval(3_600),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answers/7"),
        Property::CorrelationData(b"seven"),
        Property::UserProperty("k", "v"),
        Property::UserProperty("k", "w"),
    ]);
    let asked = Publish { properties: all.as_properties(), ..publish("q", b"?", Q1, 9) };
    client.send(&Packet::Publish(asked));
    let there = behind.expect_publish();
    let renamed = properties(&[Property::ResponseTopic("acme/answers/7")]);
    let holds = |frame: &[u8], part: &[u8]| frame.windows(part.len()).any(|window| window == part);
    assert!(holds(&there.properties, renamed.as_properties().as_bytes()), "{there:?}");
    let frames = [client.frame(), client.frame()];
    let down = frames.iter().find(|frame| frame[0] >> 4 == 3).expect("the message comes back");
    assert!(frames.iter().any(|frame| frame[..4] == [0x40, 2, 0, 9]), "and is acknowledged: {frames:02x?}");
    kit::with_properties(down, |mut back| {
        let key = |property: &Property<'_>| format!("{property:?}");
        let mut sent: Vec<_> = all.as_properties().iter().collect();
        back.sort_by_key(key);
        sent.sort_by_key(key);
        assert_eq!(back, sent);
    });
}

#[test]
fn a_topic_alias_is_resolved_before_the_backend() {
    let pair = Pair::on_plan("");
    let mut behind = pair.behind("watcher");
    behind.subscribe("#", Q1);
    let mut client = pair.weir.client(Version::V5, "a", "pump");
    let alias = properties(&[Property::TopicAlias(3)]);
    for topic in ["t/long", ""] {
        client.send(&Packet::Publish(Publish { properties: alias.as_properties(), ..publish(topic, b"x", Q0, 0) }));
        let there = behind.expect_publish();
        assert_eq!((there.topic.as_str(), there.properties.len()), ("acme/t/long", 0));
    }
}

#[test]
fn a_message_larger_than_the_client_takes_is_finished_with_the_backend_and_the_next_one_comes() {
    let pair = Pair::on_plan("");
    let small = properties(&[Property::MaximumPacketSize(64)]);
    let small = Connect { properties: small.as_properties(), ..connect(Version::V5, "a", "pump") };
    let mut client = pair.weir.connect(&small);
    client.subscribe("t", Q2);
    let mut other = pair.weir.client(Version::V4, "a", "other");
    for (qos, acks) in [(Q0, 0), (Q1, 1), (Q2, 1)] {
        other.publish("t", &[b'x'; 60], qos, 5);
        other.publish("t", b"fits", Q1, 6);
        for _ in 0..acks + 1 {
            other.frame();
        }
        let received = client.expect_publish();
        assert_eq!(received.text(), "fits");
        client.acknowledge(&received);
        if qos == Q2 {
            other.send_bytes(&[0x62, 2, 0, 5]);
            assert_eq!(other.frame(), [0x70, 2, 0, 5]);
        }
    }
    // Nothing is left in the way at the backend.
    client.expect_nothing();
}

#[test]
fn a_packet_beyond_the_largest_that_weir_takes_does_not_stop_those_behind_it() {
    let pair = Pair::with("", "mqtt: { max_packet_size: 1KiB }\n", "");
    let mut client = pair.weir.client(Version::V4, "a", "pump");
    client.subscribe("t", Q1);
    let mut behind = pair.behind("source");
    behind.publish("acme/t", &vec![b'x'; 300_000], Q1, 1);
    behind.frame();
    behind.publish("acme/t", b"fits", Q1, 2);
    behind.frame();
    assert_eq!(client.expect_publish().text(), "fits");
}

#[test]
fn shared_subscriptions_share_at_the_backend() {
    let pair = Pair::on_plan("");
    let mut one = pair.weir.client(Version::V5, "a", "one");
    let mut two = pair.weir.client(Version::V4, "a", "two");
    one.subscribe("$share/g/jobs/+", Q1);
    two.subscribe("$share/g/jobs/+", Q1);
    let mut source = pair.weir.client(Version::V4, "a", "source");
    for n in 1..=10 {
        source.publish("jobs/x", n.to_string().as_bytes(), Q1, n);
        source.expect(&[0x40, 2, 0, n as u8]);
    }
    let (ones, twos) = (one.drain(), two.drain());
    assert_eq!(ones.len() + twos.len(), 10, "each message went to one of them");
    assert!(!ones.is_empty() && !twos.is_empty(), "and both had some");
}

#[test]
fn answers_keep_the_order_of_the_publishes_whoever_gives_them() {
    let pair = Pair::on_plan("publish: 3/min");
    let mut client = pair.weir.client(Version::V5, "a", "pump");
    let mut all = Vec::new();
    for n in 1..=6 {
        Packet::Publish(publish("t", b"x", Q1, n)).encode(Version::V5, &mut all).expect("well-formed");
    }
    client.send_bytes(&all);
    for n in 1..=6 {
        let puback = client.frame();
        assert_eq!((puback[0], puback[3]), (0x40, n), "{puback:02x?}");
        assert_eq!(puback.len() > 5, n > 3, "three are the backend's, three are denied: {puback:02x?}");
    }
    assert_eq!(id(1).get(), 1);
}

#[test]
fn a_3_1_1_client_has_what_was_accepted_acknowledged_before_it_is_closed() {
    let pair = Pair::on_plan("publish: 3/min");
    let mut client = pair.weir.client(Version::V4, "a", "pump");
    let mut all = Vec::new();
    for n in 1..=6 {
        Packet::Publish(publish("t", b"x", Q1, n)).encode(Version::V4, &mut all).expect("well-formed");
    }
    client.send_bytes(&all);
    for n in 1..=3 {
        client.expect(&[0x40, 2, 0, n]);
    }
    client.expect_closed();
}
