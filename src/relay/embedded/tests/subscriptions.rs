//! Subscribing and unsubscribing, and what is answered.

use super::kit::*;
use crate::wire::*;

#[tokio::test]
async fn unsubscribing_is_answered_once_with_what_became_of_each_filter() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    client.subscribe_all(&[("a", options(QoS::AtLeastOnce)), ("b", options(QoS::AtLeastOnce))], 0).await;
    assert_eq!(client.unsubscribe(&["a", "never", "a"]).await, [0x00, 0x11, 0x11]);
    assert_eq!(client.unsubscribe(&["never"]).await, [0x11]);
    let mut client = broker.client(Version::V4, "c").await;
    assert!(client.unsubscribe(&["never", "too"]).await.is_empty());
}

#[tokio::test]
async fn what_was_unsubscribed_brings_nothing_more_and_the_rest_goes_on() {
    let broker = Broker::start();
    for version in VERSIONS {
        let mut client = broker.client(version, "c").await;
        for filter in ["a", "+", "$share/g/a", "$share/h/a"] {
            client.subscribe(filter, QoS::AtLeastOnce).await;
        }
        client.unsubscribe(&["a", "$share/g/a"]).await;
        client.publish(message("a", "1", QoS::AtMostOnce)).await;
        client.hears("a", "1").await;
        client.hears("a", "1").await;
        client.unsubscribe(&["$share/h/a"]).await;
        client.publish(message("a", "2", QoS::AtMostOnce)).await;
        client.publish(message("a", "3", QoS::AtMostOnce)).await;
        client.hears("a", "2").await;
        client.hears("a", "3").await;
        client.leave().await;
    }
}

#[tokio::test]
async fn unsubscribing_right_behind_a_message_of_ones_own_holds() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V4, "c").await;
    client.subscribe("end", QoS::AtMostOnce).await;
    for round in 0..20 {
        let topic = format!("t/{round}");
        client.subscribe(&topic, QoS::AtMostOnce).await;
        let mut filters = TopicsBuf::new();
        filters.push(&topic).unwrap();
        let mut bytes = Vec::new();
        Packet::Publish(message(&topic, "before", QoS::AtMostOnce)).encode(client.version, &mut bytes).unwrap();
        let properties = Properties::EMPTY;
        let unsubscribe = Unsubscribe { packet_id: id(8), properties, filters: filters.as_topics() };
        Packet::Unsubscribe(unsubscribe).encode(client.version, &mut bytes).unwrap();
        Packet::Publish(message(&topic, "behind", QoS::AtMostOnce)).encode(client.version, &mut bytes).unwrap();
        Packet::Publish(message("end", "", QoS::AtMostOnce)).encode(client.version, &mut bytes).unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client.link, &bytes).await.unwrap();
        let mut heard = Vec::new();
        while heard.last().is_none_or(|payload: &String| !payload.is_empty()) {
            let frame = client.next().await;
            if let Packet::Publish(publish) = frame.packet() {
                heard.push(str::from_utf8(publish.payload).unwrap().to_owned());
            }
        }
        assert!(!heard.contains(&"behind".to_owned()), "{heard:?}");
    }
}

#[tokio::test]
async fn subscribing_again_changes_the_options() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    client.subscribe_all(&[("t", options(QoS::ExactlyOnce))], 1).await;
    client.subscribe_all(&[("t", options(QoS::AtMostOnce))], 2).await;
    client.say("t", "1").await;
    let heard = client.hears("t", "1").await;
    assert_eq!(heard.publish().qos, QoS::AtMostOnce);
    assert!(heard.publish().properties.subscription_identifiers().eq([2]));
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_and_the_others_are_granted() {
    let broker = Broker::start();
    let good = options(QoS::AtLeastOnce);
    let mut client = broker.client(Version::V5, "c").await;
    assert_eq!(client.subscribe_all(&[("$share/g", good), ("a", good)], 0).await, [0x8F, 1]);
    let mut client = broker.client(Version::V4, "c").await;
    assert_eq!(client.subscribe_all(&[("$share//a", good), ("a", good)], 0).await, [0x80, 1]);
}
