//! The backend goes away and comes back: who is told what, and what is lost, which is nothing that was acknowledged.

use std::collections::BTreeSet;

use weir::wire::Packet;

use super::*;
use crate::common::publish;

/// Moves the clock on until the backend is back.
fn wait_until_back(pair: &mut Pair) {
    // Longer than any wait between two tries.
    pair.weir.clock("+11s");
    pair.weir.wait_for_log("the backend is there");
}

#[test]
fn connected_clients_are_told_and_new_ones_refused_until_it_is_back() {
    let mut pair = Pair::on_plan("");
    let mut five = pair.weir.client(Version::V5, "a", "five");
    let mut four = pair.weir.client(Version::V4, "a", "four");
    pair.mosquitto.end("KILL");
    five.expect_end(0x8B);
    four.expect_closed();
    pair.weir.wait_for_log("the backend is lost");
    for (version, code) in [(Version::V3, 3), (Version::V4, 3), (Version::V5, 0x88)] {
        let (mut client, connack) = pair.weir.try_connect(&connect(version, "a", "again"));
        assert_eq!(connack[3], code, "MQTT {version}: {connack:02x?}");
        client.expect_closed();
    }
    pair.mosquitto.run();
    wait_until_back(&mut pair);
    for version in VERSIONS {
        pair.weir.client(version, "a", "again").disconnect();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_backend_is_ended_and_started_again_under_load() {
    // What mosquitto has accepted it writes down on SIGTERM, and reads again.
    const PUBLISHERS: u16 = 4;
    const ROUNDS: u32 = 3;
    let mut pair = Pair::with("publish: 1M/min, receive: 1M/min", "", "persistence true\n");
    let durable = |pair: &Pair, client_id: &str| {
        let connect = weir::wire::Connect { clean_start: false, ..connect(Version::V4, "a", client_id) };
        let (client, connack) = pair.weir.try_connect(&connect);
        assert_eq!(connack[3], 0);
        client
    };
    let mut subscriber = durable(&pair, "subscriber");
    subscriber.subscribe("load/+", Q1);
    let mut received = BTreeSet::<Vec<u8>>::new();
    // Deliveries that were not sent before: those are what `receive` counts.
    let mut first_deliveries = 0_u64;
    let mut take = |received: &mut BTreeSet<Vec<u8>>, message: common::Received| {
        first_deliveries += u64::from(received.insert(message.payload));
    };
    let mut acknowledged = BTreeSet::<Vec<u8>>::new();
    let mut accepted_while_away = 0;
    for round in 0..ROUNDS {
        // Each publisher sends a window at a time and counts what is acknowledged, until its connection ends.
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let mut client = pair.weir.client(Version::V4, "a", &format!("publisher-{number}"));
                std::thread::spawn(move || {
                    let mut acknowledged = Vec::new();
                    for batch in 0_u32.. {
                        let payload = |n: u16| format!("{round}/{number}/{batch}/{n}").into_bytes();
                        let mut frames = Vec::new();
                        for n in 1..=50 {
                            let (topic, payload) = (format!("load/{number}"), payload(n));
                            let packet = Packet::Publish(publish(&topic, &payload, Q1, n));
                            packet.encode(Version::V4, &mut frames).expect("well-formed");
                        }
                        if !client.try_send_bytes(&frames) {
                            return acknowledged;
                        }
                        for n in 1..=50 {
                            match client.frame_or_end() {
                                Some(puback) => {
                                    assert_eq!(puback, [0x40, 2, 0, n as u8], "in order");
                                    acknowledged.push(payload(n));
                                }
                                None => return acknowledged,
                            }
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        // A thousand messages into it, it goes.
        for _ in 0..1_000 {
            let message = subscriber.expect_publish();
            subscriber.acknowledge(&message);
            take(&mut received, message);
        }
        pair.mosquitto.end("TERM");
        for publisher in publishers {
            acknowledged.extend(publisher.join().expect("it ran"));
        }
        pair.weir.wait_for_log("the backend is lost");
        let (_, connack) = pair.weir.try_connect(&connect(Version::V4, "a", "while-away"));
        accepted_while_away += u32::from(connack[3] == 0);
        // What was on its way to the subscriber when its connection was closed.
        while let Some(frame) = subscriber.frame_or_end() {
            take(&mut received, common::Received::parse(Version::V4, &frame));
        }
        pair.mosquitto.run();
        wait_until_back(&mut pair);
        subscriber = durable(&pair, "subscriber");
    }
    while acknowledged.iter().any(|payload| !received.contains(payload)) {
        let message = subscriber.expect_publish();
        subscriber.acknowledge(&message);
        take(&mut received, message);
    }
    for message in subscriber.drain() {
        take(&mut received, message);
    }
    assert_eq!(accepted_while_away, 0);
    assert!(acknowledged.len() > 1_000, "{} were acknowledged", acknowledged.len());
    // The meters say what the clients saw.
    let used = |resource: &str| {
        let mut watcher = pair.weir.client(Version::V4, "a", "watcher");
        watcher.subscribe(&format!("$limits/{resource}"), Q0);
        let told = watcher.expect_publish();
        let (_, rest) = told.text().split_once("\"used\":").expect("a reading");
        rest.split([',', '}']).next().expect("a number").parse::<u64>().expect("a number")
    };
    assert_eq!(used("receive"), first_deliveries);
    let published = used("publish");
    assert!(published >= acknowledged.len() as u64, "{published} of {}", acknowledged.len());
    // Beyond those, no more than what was under way when the connections were closed.
    assert!(published <= acknowledged.len() as u64 + u64::from(PUBLISHERS * 50) * u64::from(ROUNDS));
}
