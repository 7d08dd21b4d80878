//! Topic aliases of MQTT 5, those of the client and those of the broker: two sets that know nothing of each other and end with
//! the connection (section 3.3.2.3.4).

use weir::wire::{Packet, Property, Publish, Version};

use crate::common::{Client, Received, publish};
use crate::kit::{Q0, Q1, acme, at, client, client_with, lose, properties, resume_with, with_properties};

/// Publishes `text` to `topic` (empty: by the alias alone) with an alias, at QoS 1.
fn publish_by(client: &mut Client, topic: &str, alias: u16, text: &str) {
    let alias = properties(&[Property::TopicAlias(alias)]);
    client.send(&Packet::Publish(Publish {
        properties: alias.as_properties(),
        ..publish(topic, text.as_bytes(), Q1, 1)
    }));
}

/// The topic and alias of the next packet, a PUBLISH at QoS 0 or 1, which is acknowledged.
fn next(client: &mut Client) -> (String, Option<u16>) {
    let frame = client.frame();
    let received = Received::parse(Version::V5, &frame);
    client.acknowledge(&received);
    let alias = with_properties(&frame, |all| {
        all.into_iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias),
            _ => None,
        })
    });
    (received.topic, alias)
}

#[test]
fn a_clients_alias_stands_for_the_topic_it_was_last_given_with() {
    let weir = acme("");
    let mut subscriber = client(&weir, Version::V4, "subscriber");
    subscriber.subscribe("#", Q0);
    let mut publisher = client(&weir, Version::V5, "publisher");
    let steps = [
        ("a/long/topic", 1, "a/long/topic"),
        ("", 1, "a/long/topic"),
        ("another", 64, "another"),
        ("", 1, "a/long/topic"),
        ("", 64, "another"),
        ("redefined", 1, "redefined"),
        ("", 1, "redefined"),
        ("", 64, "another"),
    ];
    for (topic, alias, expected) in steps {
        publish_by(&mut publisher, topic, alias, "m");
        publisher.hear(0x40, 1);
        assert_eq!(subscriber.take("m").topic, expected);
    }
}

#[test]
fn a_clients_alias_is_not_passed_on_and_the_other_properties_are() {
    let weir = acme("");
    let mut subscriber = client(&weir, Version::V5, "subscriber");
    subscriber.subscribe("t", Q0);
    let mut publisher = client(&weir, Version::V5, "publisher");
    let all = properties(&[Property::ContentType("x"), Property::TopicAlias(3), Property::UserProperty("a", "b")]);
    for topic in ["t", ""] {
        let message = Publish { properties: all.as_properties(), ..publish(topic, b"m", Q1, 1) };
        publisher.publish_fully(message);
        let received = subscriber.take("m");
        assert_eq!(received.topic, "t");
        let passed_on = properties(&[Property::ContentType("x"), Property::UserProperty("a", "b")]);
        assert_eq!(received.properties, passed_on.as_properties().as_bytes());
    }
}

#[test]
fn an_alias_that_cannot_be_ends_the_connection() {
    for (config, alias, reason) in [
        ("", 7, 0x82),
        ("", 65, 0x94),
        ("mqtt: { topic_alias_maximum: 2 }\n", 3, 0x94),
        ("mqtt: { topic_alias_maximum: 0 }\n", 1, 0x94),
    ] {
        let weir = acme(config);
        let mut client = client(&weir, Version::V5, "c");
        publish_by(&mut client, "", alias, "m");
        client.expect_disconnect(reason);
    }
    let weir = acme("");
    let mut client = client(&weir, Version::V5, "c");
    client.send_bytes(&[0x30, 7, 0, 1, b't', 3, 0x23, 0, 0]);
    client.expect_disconnect(0x94);
}

#[test]
fn a_clients_alias_ends_with_the_connection_although_the_session_goes_on() {
    let mut weir = acme("");
    let (mut publisher, _) = resume_with(&weir, Version::V5, "c", &[]);
    publish_by(&mut publisher, "t", 1, "m");
    publisher.hear_with(0x40, 1, 0x10);
    lose(&mut weir, publisher, "c");
    let (mut publisher, present) = resume_with(&weir, Version::V5, "c", &[]);
    assert!(present);
    publish_by(&mut publisher, "", 1, "m");
    publisher.expect_disconnect(0x82);
}

#[test]
fn the_broker_gives_aliases_to_as_many_topics_as_the_client_allows() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    let mut subscriber = client_with(&weir, "subscriber", &[Property::TopicAliasMaximum(2)]);
    subscriber.subscribe("#", Q0);
    let (one, two, three) = ("topic/number/1", "topic/number/2", "topic/number/3");
    let steps = [
        (one, one, Some(1)),
        (one, "", Some(1)),
        (two, two, Some(2)),
        (one, "", Some(1)),
        (two, "", Some(2)),
        (three, three, None),
        (three, three, None),
        (two, "", Some(2)),
        (one, "", Some(1)),
    ];
    for (published, topic, alias) in steps {
        publisher.tell(published, "m");
        assert_eq!(next(&mut subscriber), (topic.to_owned(), alias));
    }
}

#[test]
fn the_broker_gives_no_more_aliases_than_mqtt_topic_alias_maximum_and_none_unasked() {
    let weir = acme("mqtt: { topic_alias_maximum: 1 }\n");
    let mut publisher = client(&weir, Version::V4, "publisher");
    let mut asking = client_with(&weir, "asking", &[Property::TopicAliasMaximum(10)]);
    let mut silent = client(&weir, Version::V5, "silent");
    asking.subscribe("#", Q0);
    silent.subscribe("#", Q0);
    for (topic, alias) in [("topic/number/1", Some(1)), ("topic/number/2", None)] {
        publisher.tell(topic, "m");
        assert_eq!(next(&mut asking), (topic.to_owned(), alias));
        assert_eq!(next(&mut silent), (topic.to_owned(), None));
    }
}

#[test]
fn the_brokers_aliases_begin_anew_with_each_connection_also_for_what_is_sent_again() {
    let mut weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    let aliases = [Property::TopicAliasMaximum(5)];
    let (mut subscriber, _) = resume_with(&weir, Version::V5, "c", &aliases);
    subscriber.subscribe_with(&[("#", at(Q1))], &[]);
    let (one, two) = ("topic/number/1", "topic/number/2");
    publisher.tell(one, "m");
    assert_eq!(next(&mut subscriber), (one.to_owned(), Some(1)));
    subscriber.nothing();
    for topic in [two, one] {
        publisher.tell(topic, "m");
        subscriber.expect_publish();
    }
    lose(&mut weir, subscriber, "c");
    let (mut subscriber, _) = resume_with(&weir, Version::V5, "c", &aliases);
    assert_eq!(next(&mut subscriber), (two.to_owned(), Some(1)));
    assert_eq!(next(&mut subscriber), (one.to_owned(), Some(2)));
    publisher.tell(one, "m");
    assert_eq!(next(&mut subscriber), (String::new(), Some(2)));
}

#[test]
fn an_alias_does_not_make_a_packet_larger_than_the_client_takes() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    let limits = [Property::TopicAliasMaximum(5), Property::MaximumPacketSize(40)];
    let mut subscriber = client_with(&weir, "subscriber", &limits);
    subscriber.subscribe("#", Q0);
    // Without an alias a packet has 19 bytes beside its payload: 2 of header, 16 of topic, 1 of properties' length.
    for (payload, alias, size) in [(21, None, 40), (16, Some(1), 38), (21, Some(1), 29)] {
        publisher.tell("topic/number/1", &"x".repeat(payload));
        let frame = subscriber.frame();
        assert_eq!(frame.len(), size);
        with_properties(&frame, |all| assert_eq!(all.first().copied(), alias.map(Property::TopicAlias)));
    }
    subscriber.nothing();
}
