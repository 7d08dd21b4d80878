//! What is left when a connection is lost at any step of QoS 1 and 2, on either side: exactly once stays exactly once, and
//! what was not acknowledged is sent again, in order, before anything newer (section 4.4).

use weir::wire::{Packet, Property, Publish, QoS, Version};

use crate::common::{Client, Weir, publish};
use crate::kit::{PUBACK, PUBCOMP, PUBREC, PUBREL, Q0, Q2, VERSIONS, acme, client, lose, resume, resume_with};

const PUBLISHER: &str = "publisher";
const SUBSCRIBER: &str = "subscriber";

fn again(weir: &Weir, version: Version, client_id: &str) -> Client {
    let (client, present) = resume(weir, version, client_id);
    assert_eq!(present, version != Version::V3, "the session is there, where CONNACK can say so [MQTT-3.1.2-5]");
    client
}

/// A publisher whose session lasts and a subscriber at `qos` whose does not.
fn publishing(version: Version, qos: QoS) -> (Weir, Client, Client) {
    let weir = acme("");
    let (publisher, _) = resume(&weir, version, PUBLISHER);
    let mut subscriber = client(&weir, version, SUBSCRIBER);
    subscriber.subscribe("t", qos);
    (weir, publisher, subscriber)
}

/// A subscriber at QoS 2 whose session lasts and a publisher whose does not.
fn subscribing(version: Version) -> (Weir, Client, Client) {
    let weir = acme("");
    let publisher = client(&weir, version, PUBLISHER);
    let (mut subscriber, _) = resume(&weir, version, SUBSCRIBER);
    subscriber.subscribe("t", Q2);
    (weir, publisher, subscriber)
}

fn resent(text: &[u8], packet_id: u16) -> Packet<'_> {
    Packet::Publish(Publish { dup: true, ..publish("t", text, Q2, packet_id) })
}

#[test]
fn a_publish_that_was_lost_on_its_way_to_the_broker_is_taken_when_it_comes_again() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = publishing(version, Q2);
        let mut bytes = Vec::new();
        Packet::Publish(publish("t", b"m", Q2, 1)).encode(version, &mut bytes).unwrap();
        publisher.send_bytes(&bytes[..bytes.len() - 1]);
        lose(&mut weir, publisher, PUBLISHER);
        subscriber.nothing();
        let mut publisher = again(&weir, version, PUBLISHER);
        publisher.send(&resent(b"m", 1));
        publisher.hear(PUBREC, 1);
        subscriber.take("m");
        subscriber.nothing();
    }
}

#[test]
fn a_publish_whose_pubrec_was_lost_is_not_delivered_twice() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = publishing(version, Q2);
        publisher.publish("t", b"m", Q2, 1);
        subscriber.take("m");
        for _ in 0..3 {
            lose(&mut weir, publisher, PUBLISHER);
            publisher = again(&weir, version, PUBLISHER);
            publisher.send(&resent(b"m", 1));
            publisher.hear(PUBREC, 1);
        }
        publisher.say(PUBREL, 1);
        publisher.hear(PUBCOMP, 1);
        subscriber.nothing();
    }
}

#[test]
fn a_pubrel_that_was_lost_on_its_way_to_the_broker_releases_when_it_comes_again() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = publishing(version, Q2);
        publisher.publish("t", b"m", Q2, 1);
        publisher.hear(PUBREC, 1);
        publisher.send_bytes(&[0x62, 2, 0]);
        lose(&mut weir, publisher, PUBLISHER);
        let mut publisher = again(&weir, version, PUBLISHER);
        publisher.say(PUBREL, 1);
        publisher.hear(PUBCOMP, 1);
        publisher.publish_fully(publish("t", b"next", Q2, 1));
        subscriber.take("m");
        subscriber.take("next");
        subscriber.nothing();
    }
}

#[test]
fn a_pubrel_whose_pubcomp_was_lost_is_completed_again() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = publishing(version, Q2);
        publisher.publish_fully(publish("t", b"m", Q2, 1));
        lose(&mut weir, publisher, PUBLISHER);
        let mut publisher = again(&weir, version, PUBLISHER);
        publisher.say(PUBREL, 1);
        let reason = publisher.hear_reason(PUBCOMP, 1);
        assert_eq!(reason, if version == Version::V5 { 0x92 } else { 0 });
        publisher.publish_fully(publish("t", b"next", Q2, 1));
        subscriber.take("m");
        subscriber.take("next");
        subscriber.nothing();
    }
}

#[test]
fn a_new_session_knows_nothing_of_open_packet_ids() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = publishing(version, Q2);
        publisher.publish("t", b"old", Q2, 1);
        publisher.hear(PUBREC, 1);
        lose(&mut weir, publisher, PUBLISHER);
        let mut publisher = client(&weir, version, PUBLISHER);
        publisher.send(&resent(b"new", 1));
        publisher.hear(PUBREC, 1);
        subscriber.take("old");
        subscriber.take("new");
    }
}

#[test]
fn a_delivery_that_was_lost_or_whose_pubrec_was_is_sent_again_with_dup_and_its_packet_id() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = subscribing(version);
        publisher.publish_fully(publish("t", b"m", Q2, 1));
        let first = subscriber.expect_publish();
        assert!(!first.dup);
        for _ in 0..2 {
            lose(&mut weir, subscriber, SUBSCRIBER);
            subscriber = again(&weir, version, SUBSCRIBER);
            let second = subscriber.expect_publish();
            assert_eq!((second.dup, second.packet_id, second.text()), (true, first.packet_id, "m"));
        }
        subscriber.say(PUBREC, first.packet_id);
        subscriber.hear(PUBREL, first.packet_id);
        subscriber.say(PUBCOMP, first.packet_id);
        subscriber.nothing();
    }
}

#[test]
fn after_pubrec_only_pubrel_is_sent_again_until_pubcomp_has_come() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = subscribing(version);
        publisher.publish_fully(publish("t", b"m", Q2, 1));
        let id = subscriber.expect_publish().packet_id;
        subscriber.say(PUBREC, id);
        subscriber.hear(PUBREL, id);
        for _ in 0..2 {
            lose(&mut weir, subscriber, SUBSCRIBER);
            subscriber = again(&weir, version, SUBSCRIBER);
            // 3.1 marks what is sent again.
            subscriber.hear(if version == Version::V3 { PUBREL | 0x08 } else { PUBREL }, id);
            subscriber.nothing();
        }
        subscriber.say(PUBCOMP, id);
        subscriber.nothing();
        lose(&mut weir, subscriber, SUBSCRIBER);
        again(&weir, version, SUBSCRIBER).nothing();
    }
}

#[test]
fn what_was_not_acknowledged_comes_again_in_order_before_what_is_newer() {
    for version in VERSIONS {
        let (mut weir, mut publisher, mut subscriber) = subscribing(version);
        for text in ["1", "2", "3", "4"] {
            publisher.tell("t", text);
        }
        let ids: Vec<u16> = (0..4).map(|_| subscriber.expect_publish().packet_id).collect();
        subscriber.say(PUBACK, ids[1]);
        subscriber.nothing();
        lose(&mut weir, subscriber, SUBSCRIBER);
        publisher.tell("t", "5");
        publisher.publish("t", b"QoS 0 is not kept", Q0, 0);
        publisher.publish_fully(publish("t", b"6", Q2, 1));
        let mut subscriber = again(&weir, version, SUBSCRIBER);
        let expected = [("1", true), ("3", true), ("4", true), ("5", false), ("6", false)];
        for (text, dup) in expected {
            let received = subscriber.expect_publish();
            assert_eq!((received.text(), received.dup), (text, dup));
            if let Some(at) = ["1", "2", "3", "4"].iter().position(|old| *old == text) {
                assert_eq!(received.packet_id, ids[at], "the original packet identifier [MQTT-4.4.0-1]");
            }
        }
        subscriber.nothing();
    }
}

#[test]
fn a_smaller_receive_maximum_on_resume_spreads_what_is_sent_again() {
    let (mut weir, mut publisher, mut subscriber) = subscribing(Version::V5);
    for text in ["1", "2", "3", "4", "5"] {
        publisher.tell("t", text);
        subscriber.expect_publish();
    }
    lose(&mut weir, subscriber, SUBSCRIBER);
    publisher.tell("t", "6");
    let (mut subscriber, _) = resume_with(&weir, Version::V5, SUBSCRIBER, &[Property::ReceiveMaximum(2)]);
    let all = subscriber.take_many(6, 2);
    let came: Vec<(&str, bool)> = all.iter().map(|received| (received.text(), received.dup)).collect();
    assert_eq!(came, [("1", true), ("2", true), ("3", true), ("4", true), ("5", true), ("6", false)]);
    subscriber.nothing();
}

#[test]
fn pubrel_is_sent_again_whatever_the_receive_maximum() {
    let (mut weir, mut publisher, mut subscriber) = subscribing(Version::V5);
    publisher.tell("t", "1");
    publisher.tell("t", "2");
    publisher.publish_fully(publish("t", b"3", Q2, 1));
    let ids: Vec<u16> = (0..3).map(|_| subscriber.expect_publish().packet_id).collect();
    subscriber.say(PUBREC, ids[2]);
    subscriber.hear(PUBREL, ids[2]);
    lose(&mut weir, subscriber, SUBSCRIBER);
    let (mut subscriber, _) = resume_with(&weir, Version::V5, SUBSCRIBER, &[Property::ReceiveMaximum(1)]);
    assert_eq!(subscriber.expect_publish().text(), "1");
    // Only PUBLISH waits for quota [MQTT-3.3.4-10].
    subscriber.hear(PUBREL, ids[2]);
    subscriber.nothing();
    subscriber.say(PUBCOMP, ids[2]);
    subscriber.say(PUBACK, ids[0]);
    assert_eq!(subscriber.expect_publish().text(), "2");
}

#[test]
fn a_negative_pubrec_or_puback_ends_the_message_for_good() {
    let (mut weir, mut publisher, mut subscriber) = subscribing(Version::V5);
    publisher.tell("t", "1");
    publisher.publish_fully(publish("t", b"2", Q2, 1));
    let (one, two) = (subscriber.expect_publish(), subscriber.expect_publish());
    subscriber.say_with(PUBACK, one.packet_id, 0x80);
    subscriber.say_with(PUBREC, two.packet_id, 0x97);
    subscriber.nothing();
    lose(&mut weir, subscriber, SUBSCRIBER);
    again(&weir, Version::V5, SUBSCRIBER).nothing();
}

#[test]
fn a_resent_message_that_is_too_large_for_the_new_connection_is_left_out() {
    let (mut weir, mut publisher, mut subscriber) = subscribing(Version::V5);
    for text in ["small", "a message of more bytes than the next connection takes", "small too"] {
        publisher.tell("t", text);
        subscriber.expect_publish();
    }
    lose(&mut weir, subscriber, SUBSCRIBER);
    let (mut subscriber, _) = resume_with(&weir, Version::V5, SUBSCRIBER, &[Property::MaximumPacketSize(40)]);
    subscriber.take("small");
    subscriber.take("small too");
    subscriber.nothing();
}
