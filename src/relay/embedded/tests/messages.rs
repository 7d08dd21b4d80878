//! Messages from one client to another: at each QoS, with all that belongs to them, acknowledged in any order.

use super::kit::*;
use crate::wire::*;

#[tokio::test]
async fn a_message_is_delivered_at_the_lower_qos_from_each_version_to_each() {
    let broker = Broker::start();
    for from in VERSIONS {
        for to in VERSIONS {
            let mut publisher = broker.client(from, "publisher").await;
            let mut subscriber = broker.client(to, "subscriber").await;
            for subscribed in QOS {
                subscriber.subscribe("a/+", subscribed).await;
                for published in QOS {
                    publisher.publish(message("a/b", "payload", published)).await;
                    let heard = subscriber.hears("a/b", "payload").await;
                    let publish = heard.publish();
                    assert_eq!((publish.qos, publish.dup, publish.retain), (published.min(subscribed), false, false));
                }
            }
        }
    }
}

#[tokio::test]
async fn all_properties_of_a_message_are_passed_on() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    assert_eq!(client.subscribe_all(&[("t", options(QoS::AtLeastOnce))], 77).await, [1]);
    let properties = [
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answers"),
        Property::CorrelationData(b"\x00\xFF"),
        Property::UserProperty("name", "value"),
        Property::UserProperty("name", ""),
    ];
    let mut buf = PropertyBuf::new();
    properties.iter().for_each(|property| buf.push(*property));
    buf.push(Property::MessageExpiryInterval(1_000));
    let publish = Publish { properties: buf.as_properties(), ..message("t", "x", QoS::AtMostOnce) };
    client.publish(publish).await;
    let heard = client.hears("t", "x").await;
    let heard = heard.publish().properties;
    assert!(heard.message_expiry_interval().is_some_and(|left| (900..=1_000).contains(&left)));
    assert!(heard.subscription_identifiers().eq([77]));
    for property in properties {
        assert!(heard.iter().any(|other| other == property), "{property:?}");
    }
    assert_eq!(heard.iter().count(), properties.len() + 2);
}

#[tokio::test]
async fn a_message_whose_time_has_passed_is_not_delivered() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    let mut properties = PropertyBuf::new();
    properties.push(Property::MessageExpiryInterval(0));
    client.publish(Publish { properties: properties.as_properties(), ..message("t", "1", QoS::AtMostOnce) }).await;
    client.publish(message("t", "2", QoS::AtMostOnce)).await;
    client.hears("t", "2").await;
    assert_eq!(broker.figures().dropped_expired, 1);
}

#[tokio::test]
async fn a_message_larger_than_the_client_takes_is_not_delivered() {
    let broker = Broker::start();
    let terms = [Property::MaximumPacketSize(30)];
    let (mut subscriber, _) = broker.connect(Version::V5, "s", true, 0, &terms).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = broker.client(Version::V4, "p").await;
    publisher.say("t", &"x".repeat(40)).await;
    publisher.say("t", "short").await;
    subscriber.hears("t", "short").await;
    assert_eq!(broker.figures().dropped_too_large, 1);
}

#[tokio::test]
async fn topics_outside_ascii_and_those_that_begin_with_a_dollar_are_topics_like_others() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    client.subscribe("#", QoS::AtMostOnce).await;
    client.subscribe("é/+", QoS::AtMostOnce).await;
    client.subscribe("$own/+", QoS::AtMostOnce).await;
    client.publish(message("$own/x", "1", QoS::AtMostOnce)).await;
    client.hears("$own/x", "1").await;
    client.publish(message("é/x", "2", QoS::AtMostOnce)).await;
    // One by each subscription that matches [MQTT-3.3.4-2].
    client.hears("é/x", "2").await;
    client.hears("é/x", "2").await;
    assert_eq!(broker.figures().backend_lost, 0);
}

#[tokio::test]
async fn acknowledgements_may_come_in_any_order() {
    let broker = Broker::start();
    for version in VERSIONS {
        let mut subscriber = broker.client(version, "s").await;
        subscriber.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = broker.client(version, "p").await;
        for round in 0..3 {
            let mut open = Vec::new();
            for number in 0..60 {
                let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
                publisher.publish(message("t", &format!("{round}/{number}"), qos)).await;
                let heard = subscriber.next().await;
                let publish = heard.publish();
                assert_eq!(publish.payload, format!("{round}/{number}").as_bytes());
                open.push((publish.packet_id.unwrap().get(), qos));
            }
            for (packet_id, qos) in open.into_iter().rev() {
                match qos {
                    QoS::ExactlyOnce => {
                        subscriber.send(Packet::PubRec(ack(packet_id))).await;
                        subscriber.expect(Packet::PubRel(ack(packet_id))).await;
                        subscriber.send(Packet::PubComp(ack(packet_id))).await;
                    }
                    _ => subscriber.send(Packet::PubAck(ack(packet_id))).await,
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_is_sent_no_more_than_it_takes_at_a_time_and_loses_nothing() {
    let broker = Broker::start();
    let terms = [Property::ReceiveMaximum(2)];
    let (mut subscriber, _) = broker.connect(Version::V5, "s", true, 0, &terms).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = broker.client(Version::V5, "p").await;
    for number in 0..500 {
        publisher.say("t", &number.to_string()).await;
    }
    let first = subscriber.next().await.publish().packet_id.unwrap().get();
    let second = subscriber.next().await.publish().packet_id.unwrap().get();
    // The third is not sent before the first is acknowledged: the answer to a ping comes instead.
    subscriber.send(Packet::PingReq).await;
    subscriber.expect(Packet::PingResp).await;
    subscriber.send(Packet::PubAck(ack(second))).await;
    subscriber.send(Packet::PubAck(ack(first))).await;
    for number in 2..500 {
        subscriber.hears("t", &number.to_string()).await;
    }
}

#[tokio::test]
async fn a_client_that_acknowledges_nothing_can_still_publish_and_subscribe() {
    let broker = Broker::start();
    let (mut lazy, _) = broker.connect(Version::V5, "lazy", true, 0, &[Property::ReceiveMaximum(1)]).await;
    lazy.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = broker.client(Version::V5, "p").await;
    for number in 0..300 {
        publisher.say("t", &number.to_string()).await;
    }
    assert_eq!(lazy.next().await.publish().payload, b"0");
    lazy.say("u", "still").await;
    lazy.subscribe("v", QoS::AtMostOnce).await;
    assert_eq!(lazy.unsubscribe(&["v"]).await, [0]);
    lazy.say("u", "here").await;
}

#[tokio::test]
async fn a_qos_2_message_that_is_sent_twice_is_published_once() {
    let broker = Broker::start();
    for version in VERSIONS {
        let mut subscriber = broker.client(version, "s").await;
        subscriber.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = broker.client(version, "p").await;
        let first = message("t", "1", QoS::ExactlyOnce);
        publisher.send(Packet::Publish(first)).await;
        publisher.expect(Packet::PubRec(ack(1))).await;
        publisher.send(Packet::Publish(Publish { dup: true, ..first })).await;
        publisher.expect(Packet::PubRec(ack(1))).await;
        publisher.send(Packet::PubRel(ack(1))).await;
        publisher.expect(Packet::PubComp(ack(1))).await;
        // The identifier is free again, and the next message with it another one.
        publisher.publish(message("t", "2", QoS::ExactlyOnce)).await;
        subscriber.hears("t", "1").await;
        subscriber.hears("t", "2").await;
    }
}

#[tokio::test]
async fn mqtt_5_is_told_of_packet_identifiers_that_are_not_known() {
    let broker = Broker::start();
    let unknown = Ack { reason: ReasonCode::PacketIdentifierNotFound, ..ack(4) };
    let mut client = broker.client(Version::V5, "c").await;
    client.send(Packet::PubRel(ack(4))).await;
    client.expect(Packet::PubComp(unknown)).await;
    client.send(Packet::PubRec(ack(4))).await;
    client.expect(Packet::PubRel(unknown)).await;
    let mut client = broker.client(Version::V4, "c").await;
    client.send(Packet::PubRel(ack(4))).await;
    client.expect(Packet::PubComp(ack(4))).await;
}

#[tokio::test]
async fn what_a_client_may_not_send_ends_the_connection() {
    let broker = Broker::start();
    for version in VERSIONS {
        let mut client = broker.client(version, "c").await;
        client.send(Packet::PingResp).await;
        client.closed_for(ReasonCode::ProtocolError).await;
    }
    let cases = [
        (Property::SubscriptionIdentifier(1), ReasonCode::ProtocolError),
        (Property::TopicAlias(1), ReasonCode::TopicAliasInvalid),
    ];
    for (property, reason) in cases {
        let mut client = broker.client(Version::V5, "c").await;
        let mut properties = PropertyBuf::new();
        properties.push(property);
        let publish = Publish { properties: properties.as_properties(), ..message("t", "", QoS::AtMostOnce) };
        client.send(Packet::Publish(publish)).await;
        client.closed_for(reason).await;
    }
}

#[tokio::test]
async fn many_messages_in_one_write_all_arrive_in_order() {
    // As many as the router keeps for one that reads more slowly.
    const COUNT: u32 = 3_000;
    let broker = Broker::start();
    let mut subscriber = broker.client(Version::V4, "s").await;
    subscriber.subscribe("t/#", QoS::AtMostOnce).await;
    let mut publisher = broker.client(Version::V4, "p").await;
    let sending = async {
        for number in 0..COUNT {
            publisher.send(Packet::Publish(message("t/x", &number.to_string(), QoS::AtMostOnce))).await;
        }
        // A client that reads nothing and closes has still said it all.
        tokio::io::AsyncWriteExt::shutdown(&mut publisher.link).await.unwrap();
    };
    let reading = async {
        for number in 0..COUNT {
            subscriber.hears("t/x", &number.to_string()).await;
        }
    };
    tokio::join!(sending, reading);
}

#[tokio::test]
async fn what_the_router_no_longer_had_for_one_who_was_too_far_behind_is_counted() {
    const COUNT: u64 = 6_000;
    let broker = Broker::start();
    let mut subscriber = broker.client(Version::V4, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = broker.client(Version::V4, "p").await;
    publisher.say("t", "first").await;
    subscriber.hears("t", "first").await;
    let padding = "x".repeat(100);
    for number in 0..COUNT {
        publisher.say("t", &format!("{number} {padding}")).await;
    }
    publisher.say("t", "last").await;
    let mut heard = 0;
    while subscriber.receive().await.publish().payload != b"last" {
        heard += 1;
    }
    assert!((100..COUNT).contains(&heard), "{heard}");
    assert_eq!(heard + broker.figures().dropped_queue_full, COUNT);
}
