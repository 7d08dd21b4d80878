//! QoS 0, 1 and 2 in both directions on one connection (section 4.3), and what is said to packet identifiers that mean
//! nothing. What a loss of the connection does is in `resume`.

use weir::wire::{Packet, Publish, QoS, Version};

use crate::common::{Client, Weir, publish};
use crate::kit::{PUBACK, PUBCOMP, PUBREC, PUBREL, Q0, Q1, Q2, QOS, VERSIONS, acme, client};

/// A broker, a publisher and a subscriber to `t`, both of `version`.
fn pair(version: Version, qos: QoS) -> (Weir, Client, Client) {
    let weir = acme("");
    let publisher = client(&weir, version, "publisher");
    let mut subscriber = client(&weir, version, "subscriber");
    subscriber.subscribe("t", qos);
    (weir, publisher, subscriber)
}

#[test]
fn a_message_is_delivered_at_the_lower_qos_of_publish_and_subscription_in_any_version() {
    let weir = acme("");
    for from in VERSIONS {
        let mut publisher = client(&weir, from, "publisher");
        for to in VERSIONS {
            let mut subscriber = client(&weir, to, "subscriber");
            for published in QOS {
                for subscribed in QOS {
                    subscriber.subscribe("t", subscribed);
                    publisher.publish_fully(publish("t", b"m", published, 5));
                    let received = subscriber.take("m");
                    let flags = (received.topic.as_str(), received.qos, received.dup, received.retain);
                    assert_eq!(flags, ("t", published.min(subscribed), false, false), "MQTT {from} to {to}");
                }
            }
            subscriber.nothing();
        }
    }
}

#[test]
fn each_step_of_each_qos_is_these_bytes() {
    for version in VERSIONS {
        let (_weir, mut publisher, mut subscriber) = pair(version, Q2);
        // MQTT 5 has a length of properties, 0, behind the packet identifier.
        let rest = |m: &'static [u8]| if version == Version::V5 { [&[0], m].concat() } else { m.to_vec() };
        let frame = |first: u8, id: &[u8], m| {
            let body = [&[0, 1, b't'], id, &rest(m)].concat();
            [&[first, body.len() as u8], &body[..]].concat()
        };
        publisher.send_bytes(&frame(0x30, &[], b"0"));
        subscriber.expect(&frame(0x30, &[], b"0"));

        publisher.send_bytes(&frame(0x32, &[0, 9], b"1"));
        publisher.expect(&[0x40, 2, 0, 9]);
        subscriber.expect(&frame(0x32, &[0, 1], b"1"));
        subscriber.send_bytes(&[0x40, 2, 0, 1]);

        publisher.send_bytes(&frame(0x34, &[1, 0], b"2"));
        publisher.expect(&[0x50, 2, 1, 0]);
        subscriber.expect(&frame(0x34, &[0, 2], b"2"));
        subscriber.send_bytes(&[0x50, 2, 0, 2]);
        subscriber.expect(&[0x62, 2, 0, 2]);
        subscriber.send_bytes(&[0x70, 2, 0, 2]);
        publisher.send_bytes(&[0x62, 2, 1, 0]);
        publisher.expect(&[0x70, 2, 1, 0]);
        subscriber.nothing();
    }
}

#[test]
fn a_qos_1_publish_with_a_packet_id_seen_before_is_a_new_message() {
    for version in VERSIONS {
        let (_weir, mut publisher, mut subscriber) = pair(version, Q1);
        publisher.publish_fully(publish("t", b"once", Q1, 3));
        publisher.publish_fully(Publish { dup: true, ..publish("t", b"again", Q1, 3) });
        subscriber.take("once");
        assert!(!subscriber.take("again").dup, "DUP is not passed on [MQTT-3.3.1-3]");
    }
}

#[test]
fn a_qos_2_packet_id_is_one_message_until_it_is_released_and_another_afterwards() {
    for version in VERSIONS {
        let (_weir, mut publisher, mut subscriber) = pair(version, Q2);
        for dup in [false, true, false] {
            publisher.send(&Packet::Publish(Publish { dup, ..publish("t", b"first", Q2, 3) }));
            publisher.hear(PUBREC, 3);
        }
        // Even with another payload: until PUBREL it is the same message [MQTT-4.3.3-10].
        publisher.publish("t", b"in between", Q2, 3);
        publisher.hear(PUBREC, 3);
        publisher.say(PUBREL, 3);
        publisher.hear(PUBCOMP, 3);
        publisher.publish_fully(publish("t", b"second", Q2, 3));
        subscriber.take("first");
        subscriber.take("second");
        subscriber.nothing();
    }
}

#[test]
fn a_packet_id_that_means_nothing_is_answered_and_in_mqtt_5_called_unknown() {
    for version in VERSIONS {
        let (_weir, _publisher, mut client) = pair(version, Q2);
        for (asks, answers) in [(PUBREL, PUBCOMP), (PUBREC, PUBREL)] {
            client.say(asks, 77);
            match version {
                Version::V5 => client.hear_with(answers, 77, 0x92),
                Version::V3 | Version::V4 => client.hear(answers, 77),
            }
        }
        for done in [PUBACK, PUBCOMP] {
            client.say(done, 77);
            client.nothing();
        }
    }
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_does_not_end_a_message() {
    let (_weir, mut publisher, mut subscriber) = pair(Version::V5, Q2);
    publisher.tell("t", "one");
    let one = subscriber.expect_publish();
    publisher.publish_fully(publish("t", b"two", Q2, 2));
    let two = subscriber.expect_publish();
    subscriber.say(PUBREC, one.packet_id);
    subscriber.hear_with(PUBREL, one.packet_id, 0x92);
    subscriber.say(PUBACK, two.packet_id);
    subscriber.say(PUBCOMP, two.packet_id);
    subscriber.say(PUBREC, two.packet_id);
    subscriber.hear(PUBREL, two.packet_id);
}

#[test]
fn a_pubrec_may_come_twice_and_is_answered_twice() {
    let (_weir, mut publisher, mut subscriber) = pair(Version::V4, Q2);
    publisher.publish_fully(publish("t", b"m", Q2, 2));
    let received = subscriber.expect_publish();
    for _ in 0..2 {
        subscriber.say(PUBREC, received.packet_id);
        subscriber.hear(PUBREL, received.packet_id);
    }
    subscriber.say(PUBCOMP, received.packet_id);
    subscriber.nothing();
}

#[test]
fn a_message_that_nobody_subscribes_is_accepted_and_mqtt_5_is_told_so() {
    let weir = acme("");
    for version in VERSIONS {
        let mut publisher = client(&weir, version, "publisher");
        publisher.publish("t", b"0", Q0, 0);
        publisher.publish("t", b"1", Q1, 1);
        publisher.publish("t", b"2", Q2, 2);
        if version == Version::V5 {
            publisher.hear_with(PUBACK, 1, 0x10);
            publisher.hear_with(PUBREC, 2, 0x10);
        } else {
            publisher.hear(PUBACK, 1);
            publisher.hear(PUBREC, 2);
        }
        publisher.say(PUBREL, 2);
        publisher.hear(PUBCOMP, 2);
    }
}

#[test]
fn a_packet_identifier_of_a_qos_2_message_that_is_not_released_is_not_another_packets() {
    let weir = acme("");
    let mut client = client(&weir, Version::V5, "client");
    client.publish("t", b"m", Q2, 9);
    client.hear_reason(PUBREC, 9);
    client.publish("t", b"another", Q1, 9);
    assert_eq!(client.hear_reason(PUBACK, 9), 0x91);
    assert_eq!(client.try_subscribe(9, "t", Q0).last(), Some(&0x91));
    client.send_bytes(&[0xA2, 6, 0, 9, 0, 0, 1, b't']);
    assert_eq!(client.frame(), [0xB0, 4, 0, 9, 0, 0x91]);
    client.say(PUBREL, 9);
    client.hear(PUBCOMP, 9);
    client.publish("t", b"another", Q1, 9);
    assert_eq!(client.hear_reason(PUBACK, 9), 0x10);
}
