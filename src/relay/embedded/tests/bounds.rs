//! What the router can never forget is bounded, and who asks for more is told so.

use super::kit::*;
use crate::relay::embedded::Bounds;
use crate::wire::*;

const FEW: Bounds = Bounds { max_topics: 2, max_filters: 2, max_sessions: 4 };

#[tokio::test]
async fn a_publish_to_one_topic_too_many_is_refused() {
    let broker = Broker::bounded(FEW);
    let mut client = broker.client(Version::V5, "c").await;
    client.say("a", "").await;
    client.say("b", "").await;
    for (qos, rec) in [(QoS::AtLeastOnce, false), (QoS::ExactlyOnce, true)] {
        client.send(Packet::Publish(message("c", "", qos))).await;
        let answer = client.next().await;
        let (Packet::PubAck(ack) | Packet::PubRec(ack)) = answer.packet() else { panic!("{answer:?}") };
        assert_eq!(matches!(answer.packet(), Packet::PubRec(_)), rec);
        assert_eq!(ack.reason, ReasonCode::QuotaExceeded);
        assert_eq!(ack.properties.reason_string(), Some("max_topics of the embedded broker is reached"));
    }
    client.publish(message("c", "", QoS::AtMostOnce)).await;
    // Those that are known are welcome.
    client.publish(message("b", "", QoS::ExactlyOnce)).await;
    assert_eq!(broker.figures().dropped_refused, 3);
    for version in [Version::V3, Version::V4] {
        let mut client = broker.client(version, "old").await;
        client.publish(message("c", "", QoS::AtMostOnce)).await;
        client.say("a", "").await;
        client.send(Packet::Publish(message("c", "", QoS::AtLeastOnce))).await;
        client.closed().await;
    }
}

#[tokio::test]
async fn a_subscription_to_one_filter_too_many_is_refused() {
    let broker = Broker::bounded(FEW);
    let good = options(QoS::AtLeastOnce);
    let filters = [("a", good), ("$share/g/b", good), ("c", good), ("$share/g/d", good), ("$share/h/a", good)];
    let mut client = broker.client(Version::V5, "c").await;
    let granted = client.subscribe_all(&filters, 0).await;
    // The shared ones come first, as they have to be there before any is answered.
    assert_eq!(granted, [0x97, 1, 0x97, 1, 0x97]);
    let mut client = broker.client(Version::V4, "d").await;
    assert_eq!(client.subscribe_all(&[("b", good), ("c", good)], 0).await, [1, 0x80]);
}

#[tokio::test]
async fn one_session_too_many_is_refused() {
    let broker = Broker::bounded(FEW);
    let mut clients = Vec::new();
    for client_id in ["a", "b", "c", "d"] {
        clients.push(broker.stays(Version::V5, client_id).await.0);
    }
    assert_eq!(broker.refused(Version::V5, "e").await, 0x97);
    assert_eq!(broker.refused(Version::V4, "e").await, 3);
    // Those that are known are welcome, and there is room again when one has gone.
    assert!(broker.stays(Version::V5, "d").await.1);
    drop(clients);
    broker.embedded.end_session("a");
    broker.client(Version::V5, "e").await.say("t", "1").await;
}

#[tokio::test]
async fn clients_that_come_and_go_leave_nothing_behind() {
    let broker = Broker::bounded(FEW);
    for number in 0..200 {
        let mut client = broker.client(VERSIONS[number % 3], &format!("client-{number}")).await;
        client.subscribe("a", QoS::AtLeastOnce).await;
        client.subscribe("$share/g/a", QoS::AtLeastOnce).await;
        client.publish(message("a", "1", QoS::AtMostOnce)).await;
        client.hears("a", "1").await;
        client.hears("a", "1").await;
        client.leave().await;
    }
    assert_eq!(broker.embedded.seats.lock().len(), 0);
}
