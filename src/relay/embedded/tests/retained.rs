//! Retained messages: when they are sent, with which flag, and what removes them.

use super::kit::*;
use crate::wire::*;

fn retained<'a>(topic: &'a str, payload: &'a str, qos: QoS) -> Publish<'a> {
    Publish { retain: true, ..message(topic, payload, qos) }
}

#[tokio::test]
async fn a_retained_message_is_sent_for_each_subscription_with_the_flag_set() {
    let broker = Broker::start();
    for version in VERSIONS {
        let mut client = broker.client(version, "c").await;
        client.publish(retained("a/b", "kept", QoS::ExactlyOnce)).await;
        for qos in QOS {
            client.subscribe("a/+", qos).await;
            let heard = client.hears("a/b", "kept").await;
            assert_eq!((heard.publish().retain, heard.publish().qos), (true, qos));
        }
    }
}

#[tokio::test]
async fn a_message_to_those_who_have_subscribed_has_the_flag_only_where_they_asked_for_it() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    for retain_as_published in [false, true] {
        let options = SubscriptionOptions { retain_as_published, ..options(QoS::AtLeastOnce) };
        client.subscribe_all(&[(if retain_as_published { "b" } else { "a" }, options)], 0).await;
    }
    client.publish(retained("a", "1", QoS::AtMostOnce)).await;
    assert!(!client.hears("a", "1").await.publish().retain);
    client.publish(retained("b", "1", QoS::AtMostOnce)).await;
    assert!(client.hears("b", "1").await.publish().retain);
    client.publish(message("b", "2", QoS::AtMostOnce)).await;
    assert!(!client.hears("b", "2").await.publish().retain);
}

#[tokio::test]
async fn retain_handling_is_the_subscribers_choice() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    client.publish(retained("t", "kept", QoS::AtLeastOnce)).await;
    let with = |retain_handling| [("t", SubscriptionOptions { retain_handling, ..options(QoS::AtMostOnce) })];
    client.subscribe_all(&with(RetainHandling::DoNotSend), 0).await;
    client.say("t", "1").await;
    client.hears("t", "1").await;
    client.unsubscribe(&["t"]).await;
    client.subscribe_all(&with(RetainHandling::SendIfNew), 0).await;
    client.hears("t", "kept").await;
    client.subscribe_all(&with(RetainHandling::SendIfNew), 0).await;
    client.say("t", "2").await;
    client.hears("t", "2").await;
    client.subscribe_all(&with(RetainHandling::SendAtSubscribe), 0).await;
    client.hears("t", "kept").await;
}

#[tokio::test]
async fn an_empty_message_removes_the_retained_one_only_where_it_is_to_be_retained() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V4, "c").await;
    client.publish(retained("t", "kept", QoS::AtLeastOnce)).await;
    client.publish(message("t", "", QoS::AtLeastOnce)).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.hears("t", "kept").await;
    client.publish(retained("t", "", QoS::AtLeastOnce)).await;
    // Those who have subscribed are told.
    client.hears("t", "").await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.say("t", "next").await;
    client.hears("t", "next").await;
}

#[tokio::test]
async fn all_retained_messages_come_however_many_there_are() {
    const COUNT: usize = 250;
    let broker = Broker::start();
    let mut publisher = broker.client(Version::V4, "p").await;
    for number in 0..COUNT {
        publisher.publish(retained(&format!("t/{number}"), "kept", QoS::AtLeastOnce)).await;
    }
    let (mut subscriber, _) = broker.connect(Version::V5, "s", true, 0, &[Property::ReceiveMaximum(7)]).await;
    subscriber.subscribe("t/+", QoS::AtLeastOnce).await;
    for _ in 0..COUNT {
        assert!(subscriber.receive().await.publish().retain);
    }
}

#[tokio::test]
async fn a_client_that_wants_none_of_its_own_messages_gets_none_of_them_retained_either() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "own").await;
    let mut other = broker.client(Version::V5, "other").await;
    client.publish(retained("t/own", "1", QoS::AtLeastOnce)).await;
    other.publish(retained("t/other", "2", QoS::AtLeastOnce)).await;
    let options = SubscriptionOptions { no_local: true, ..options(QoS::AtLeastOnce) };
    client.subscribe_all(&[("t/+", options)], 0).await;
    client.hears("t/other", "2").await;
    client.say("t/own", "3").await;
    other.say("t/other", "4").await;
    client.hears("t/other", "4").await;
}
