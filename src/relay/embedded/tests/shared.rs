//! Shared subscriptions, and why rumqttd's own are not used.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{self as routed, RetainForwardRule};
use rumqttd::{Notification, Router, RouterConfig};

use super::kit::*;
use crate::wire::*;

#[tokio::test]
async fn each_message_goes_to_one_member_in_turn() {
    let broker = Broker::start();
    let mut members = [broker.client(Version::V5, "a").await, broker.client(Version::V4, "b").await];
    for member in &mut members {
        member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    }
    let mut publisher = broker.client(Version::V5, "p").await;
    for number in 0..100 {
        publisher.say("t", &number.to_string()).await;
    }
    let mut all = BTreeMap::new();
    for member in &mut members {
        for _ in 0..50 {
            let heard = member.receive().await;
            let number: u32 = str::from_utf8(heard.publish().payload).unwrap().parse().unwrap();
            *all.entry(number).or_insert(0) += 1;
        }
    }
    assert!(all.into_iter().eq((0..100).map(|number| (number, 1))));
}

#[tokio::test]
async fn groups_of_one_name_with_different_filters_have_nothing_to_do_with_each_other() {
    let broker = Broker::start();
    let mut a = broker.client(Version::V5, "a").await;
    let mut b = broker.client(Version::V5, "b").await;
    a.subscribe("$share/g/a", QoS::AtLeastOnce).await;
    b.subscribe("$share/g/+", QoS::AtLeastOnce).await;
    for number in 0..50 {
        let payload = number.to_string();
        a.publish(message("a", &payload, QoS::AtMostOnce)).await;
        a.publish(message("b", &payload, QoS::AtMostOnce)).await;
    }
    for number in 0..50 {
        a.hears("a", &number.to_string()).await;
        b.hears("a", &number.to_string()).await;
        b.hears("b", &number.to_string()).await;
    }
}

#[tokio::test]
async fn a_member_that_is_away_or_acknowledges_nothing_does_not_stop_the_others() {
    const COUNT: usize = 2_000;
    let broker = Broker::start();
    let (mut away, _) = broker.stays(Version::V5, "away").await;
    away.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let (mut lazy, _) = broker.connect(Version::V5, "lazy", true, 0, &[Property::ReceiveMaximum(1)]).await;
    lazy.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut eager = broker.client(Version::V4, "eager").await;
    eager.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    away.leave().await;
    let mut publisher = broker.client(Version::V5, "p").await;
    for number in 0..COUNT {
        publisher.say("t", &number.to_string()).await;
        // It reads what it is sent, and that is all it does.
        lazy.send(Packet::PingReq).await;
        while !matches!(lazy.next().await.packet(), Packet::PingResp) {}
    }
    // All but what the lazy one has.
    let mut heard = Vec::new();
    while heard.len() < COUNT - 201 {
        let frame = eager.receive().await;
        heard.push(str::from_utf8(frame.publish().payload).unwrap().parse::<usize>().unwrap());
    }
    assert!(heard.is_sorted());
    // And that too, once it is gone.
    drop(lazy);
    while heard.len() < COUNT {
        let frame = eager.receive().await;
        heard.push(str::from_utf8(frame.publish().payload).unwrap().parse().unwrap());
    }
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..COUNT));
}

#[tokio::test]
async fn the_only_member_finds_what_came_while_it_was_away() {
    let broker = Broker::start();
    let (mut member, _) = broker.stays(Version::V5, "c").await;
    member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut publisher = broker.client(Version::V5, "p").await;
    publisher.say("t", "0").await;
    let unacknowledged = member.next().await.publish().packet_id.unwrap();
    drop(member);
    for number in 1..300 {
        publisher.say("t", &number.to_string()).await;
    }
    let (mut member, _) = broker.stays(Version::V5, "c").await;
    let again = member.receive().await;
    assert_eq!((again.publish().packet_id, again.publish().dup), (Some(unacknowledged), true));
    for number in 1..300 {
        member.hears("t", &number.to_string()).await;
    }
}

#[tokio::test]
async fn a_group_that_everyone_has_left_is_forgotten() {
    let broker = Broker::start();
    let mut a = broker.client(Version::V5, "a").await;
    let mut b = broker.client(Version::V5, "b").await;
    a.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    b.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    assert_eq!(a.unsubscribe(&["$share/g/t"]).await, [0]);
    b.say("t", "1").await;
    b.hears("t", "1").await;
    b.leave().await;
    assert_eq!(a.unsubscribe(&["$share/g/t"]).await, [0x11]);
    // A new one begins with what comes after it.
    a.say("t", "2").await;
    a.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    a.publish(message("t", "3", QoS::AtMostOnce)).await;
    a.hears("t", "3").await;
}

/// Hands a packet to a bare router.
fn send(link: &mut LinkTx, packet: routed::Packet) {
    link.send(packet).now_or_never().expect("it never waits").expect("a router");
}

/// Waits for a message of a bare router; tells whether it came: if not, the router is dead.
fn hears_a_message(link: &mut LinkRx) -> bool {
    loop {
        match link.recv() {
            Ok(Some(Notification::Forward(_))) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn rumqttd_itself_dies_of_a_persistent_member_that_leaves_its_group_with_a_message_unacknowledged() {
    let config = RouterConfig {
        max_connections: 10,
        max_outgoing_packet_count: 10,
        max_segment_size: 1024,
        max_segment_count: 2,
        ..RouterConfig::default()
    };
    let router = Router::new(0, config).spawn();
    let (mut member, mut heard, _) = LinkBuilder::new("a", router.clone()).clean_session(false).build().unwrap();
    let filter = routed::Filter {
        path: "$share/g/t".into(),
        qos: routed::QoS::AtLeastOnce,
        nolocal: false,
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::Never,
    };
    send(&mut member, routed::Packet::Subscribe(routed::Subscribe { pkid: 1, filters: vec![filter] }, None));
    let (mut other, mut watching, _) = LinkBuilder::new("b", router).build().unwrap();
    other.publish("t", "payload").unwrap();
    assert!(hears_a_message(&mut heard));
    let reason_code = routed::DisconnectReasonCode::NormalDisconnection;
    send(&mut member, routed::Packet::Disconnect(routed::Disconnect { reason_code }, None));
    // The router has panicked, and everyone's links are dead.
    assert!(!hears_a_message(&mut watching));
}

#[tokio::test]
async fn the_same_behind_a_link_does_the_router_no_harm() {
    let broker = Broker::start();
    let (mut member, _) = broker.stays(Version::V5, "c").await;
    member.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut other = broker.client(Version::V5, "p").await;
    other.say("t", "1").await;
    member.next().await;
    drop(member);
    broker.embedded.end_session("c");
    other.subscribe("t", QoS::AtMostOnce).await;
    other.publish(message("t", "2", QoS::AtMostOnce)).await;
    other.hears("t", "2").await;
    assert_eq!(broker.figures().backend_lost, 0);
}
