//! The router dies. Nobody is disconnected, and what clients were promised is kept.

use std::collections::BTreeSet;

use rumqttd::protocol::{Packet as RoutedPacket, Publish as Routed};

use super::kit::*;
use crate::wire::*;

impl Broker {
    /// Ends the router by one of its own faults: a topic that begins with a character outside ASCII, which no link lets through.
    /// It has to know a filter.
    async fn kill_router(&self) {
        let supervisor = &self.embedded.supervisor;
        let station = supervisor.station().unwrap();
        let mut wire = loop {
            // None is made where the last router is just dying.
            if let Ok(wire) = supervisor.ask(&station).await {
                break wire;
            }
        };
        wire.send(&mut vec![RoutedPacket::Publish(Routed::new("é", "payload", false), None)]);
    }
}

#[tokio::test]
async fn when_the_router_dies_everything_goes_on_with_another() {
    let broker = Broker::start();
    let mut clients = Vec::new();
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let mut client = broker.client(version, &format!("c{number}")).await;
        client.subscribe(&format!("t/{number}"), QoS::ExactlyOnce).await;
        client.subscribe("$share/g/shared", QoS::AtLeastOnce).await;
        clients.push(client);
    }
    clients[0].publish(Publish { retain: true, ..message("kept", "1", QoS::AtLeastOnce) }).await;
    broker.kill_router().await;
    for (number, client) in clients.iter_mut().enumerate() {
        // Sent while there is no router, perhaps.
        let topic = format!("t/{}", (number + 1) % 3);
        client.publish(message(&topic, "after", QoS::ExactlyOnce)).await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.hears(&format!("t/{number}"), "after").await;
    }
    // The shared subscription is there again, too: who subscribes anew waits for it.
    clients[0].subscribe("$share/g/shared", QoS::AtLeastOnce).await;
    clients[0].subscribe("kept", QoS::AtMostOnce).await;
    clients[0].hears("kept", "1").await;
    for payload in ["1", "2", "3"] {
        clients[0].publish(message("shared", payload, QoS::AtMostOnce)).await;
    }
    for client in &mut clients {
        assert_eq!(client.receive().await.publish().topic, "shared");
    }
    assert_eq!(broker.figures().backend_lost, 1);
}

#[tokio::test]
async fn a_session_that_is_away_when_the_router_dies_is_subscribed_at_the_next_one() {
    let broker = Broker::start();
    let (mut away, _) = broker.stays(Version::V5, "away").await;
    away.subscribe("t", QoS::AtLeastOnce).await;
    let mut client = broker.client(Version::V5, "c").await;
    client.say("t", "kept by the session").await;
    let given = away.next().await;
    drop(away);
    client.say("t", "kept by its link").await;
    broker.kill_router().await;
    client.say("t", "kept by the next router").await;
    let (mut away, present) = broker.stays(Version::V5, "away").await;
    assert!(present);
    let again = away.receive().await;
    assert_eq!(again.publish().packet_id, given.publish().packet_id);
    away.hears("t", "kept by its link").await;
    away.hears("t", "kept by the next router").await;
    assert_eq!(away.unsubscribe(&["t"]).await, [0]);
    client.say("t", "nobody's").await;
    away.subscribe("t", QoS::AtLeastOnce).await;
    client.say("t", "new").await;
    away.hears("t", "new").await;
}

#[tokio::test]
async fn a_router_that_dies_again_and_again_is_started_again_and_again() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V4, "c").await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    for round in 1..=3 {
        broker.kill_router().await;
        client.publish(message("t", "x", QoS::ExactlyOnce)).await;
        // What was already on its way may come twice.
        client.hears("t", "x").await;
        assert_eq!(broker.figures().backend_lost, round);
    }
}

#[tokio::test]
async fn a_client_that_comes_while_there_is_no_router_waits_for_it() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "c").await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    broker.kill_router().await;
    broker.client(Version::V5, "d").await.say("t", "1").await;
    client.say("t", "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_where_the_router_dies_under_load() {
    const PUBLISHERS: usize = 4;
    // No reader is ever so far behind that the router keeps something for it: that would be lost.
    const EACH: usize = 20;
    let broker = Broker::start();
    let mut readers = Vec::new();
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let mut reader = broker.client(version, &format!("reader-{number}")).await;
        reader.subscribe("t/+", QoS::AtLeastOnce).await;
        readers.push(tokio::spawn(async move {
            // Each message at least once: those that were under way when the router died may come again.
            let mut heard = BTreeSet::new();
            while heard.len() < PUBLISHERS * EACH {
                heard.insert(reader.receive().await.publish().payload.to_vec());
            }
        }));
    }
    let mut publishers = Vec::new();
    for publisher in 0..PUBLISHERS {
        let mut client = broker.client(VERSIONS[publisher % 3], &format!("publisher-{publisher}")).await;
        publishers.push(tokio::spawn(async move {
            for number in 0..EACH {
                let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
                client.publish(message(&format!("t/{publisher}"), &format!("{publisher}/{number}"), qos)).await;
            }
        }));
    }
    for _ in 0..3 {
        broker.kill_router().await;
    }
    for task in publishers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    assert_eq!(broker.figures().backend_lost, 3);
}
