//! Sessions that outlive their connection, are taken over, or end.

use tokio::io::AsyncWriteExt;

use super::kit::*;
use crate::wire::*;

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_when_the_client_comes_back() {
    let broker = Broker::start();
    for version in VERSIONS {
        let (mut client, _) = broker.stays(version, "c").await;
        client.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = broker.client(Version::V5, "p").await;
        for (payload, qos) in [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce), ("3", QoS::AtLeastOnce)] {
            publisher.publish(message("t", payload, qos)).await;
        }
        let mut given = Vec::new();
        for _ in 0..3 {
            given.push(client.next().await.publish().packet_id.unwrap().get());
        }
        client.send(Packet::PubRec(ack(given[1]))).await;
        client.expect(Packet::PubRel(ack(given[1]))).await;
        drop(client);
        let (mut client, present) = broker.stays(version, "c").await;
        // MQTT 3.1 has no bit for it.
        assert_eq!(present, version != Version::V3);
        let again = client.next().await;
        assert_eq!((again.publish().payload, again.publish().dup), (&b"1"[..], true));
        client.expect(Packet::PubRel(ack(given[1]))).await;
        client.send(Packet::PubComp(ack(given[1]))).await;
        let again = client.next().await;
        assert_eq!((again.publish().payload, again.publish().dup), (&b"3"[..], true));
        for packet_id in [given[2], given[0]] {
            client.send(Packet::PubAck(ack(packet_id))).await;
        }
        publisher.say("t", "4").await;
        assert!(!client.hears("t", "4").await.publish().dup);
        client.leave().await;
        drop(broker.client(version, "c").await);
    }
}

#[tokio::test]
async fn a_session_that_is_away_keeps_what_is_of_qos_1_and_2_and_nothing_of_qos_0() {
    const COUNT: usize = 300;
    let broker = Broker::start();
    let (mut client, _) = broker.stays(Version::V5, "c").await;
    client.subscribe("t", QoS::ExactlyOnce).await;
    client.leave().await;
    let mut publisher = broker.client(Version::V5, "p").await;
    for number in 0..COUNT {
        publisher.publish(message("t", &number.to_string(), QOS[number % 3])).await;
    }
    publisher.send(Packet::PingReq).await;
    publisher.expect(Packet::PingResp).await;
    // All of it was published before the client is back, by the broker's own clock.
    let after = broker.embedded.now();
    while broker.embedded.now() == after {
        tokio::task::yield_now().await;
    }
    let (mut client, present) = broker.stays(Version::V5, "c").await;
    assert!(present);
    for number in (0..COUNT).filter(|number| number % 3 > 0) {
        client.hears("t", &number.to_string()).await;
    }
    assert_eq!(broker.figures().dropped_offline, 100);
}

#[tokio::test]
async fn a_qos_2_message_whose_connection_was_lost_is_not_published_again() {
    let broker = Broker::start();
    let mut subscriber = broker.client(Version::V5, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let (mut client, _) = broker.stays(Version::V5, "c").await;
    let publish = message("t", "1", QoS::ExactlyOnce);
    client.send(Packet::Publish(publish)).await;
    drop(client);
    let (mut client, _) = broker.stays(Version::V5, "c").await;
    client.send(Packet::Publish(Publish { dup: true, ..publish })).await;
    client.expect(Packet::PubRec(ack(1))).await;
    client.send(Packet::PubRel(ack(1))).await;
    client.expect(Packet::PubComp(ack(1))).await;
    client.say("t", "2").await;
    subscriber.hears("t", "1").await;
    subscriber.hears("t", "2").await;
}

#[tokio::test]
async fn a_client_identifier_belongs_to_the_connection_that_came_last() {
    let broker = Broker::start();
    for version in VERSIONS {
        for clean_start in [true, false] {
            let (mut first, _) = broker.stays(version, "c").await;
            first.subscribe("t", QoS::AtLeastOnce).await;
            let connecting = broker.connect(version, "c", clean_start, u32::MAX, &[]);
            // The one that is told waits for something to read.
            let ((mut second, present), ()) = tokio::join!(connecting, first.closed_for(ReasonCode::SessionTakenOver));
            assert_eq!(present, !clean_start && version != Version::V3);
            assert!(first.link.write_all(b"\xC0\0").await.is_err());
            drop(first);
            if clean_start {
                second.subscribe("t", QoS::AtLeastOnce).await;
            }
            second.say("t", "1").await;
            second.hears("t", "1").await;
            second.leave().await;
            drop(broker.client(version, "c").await);
        }
    }
}

#[tokio::test]
async fn a_session_ends_with_its_connection_or_at_a_clean_start_or_when_it_expires() {
    let broker = Broker::start();
    let (mut client, _) = broker.stays(Version::V5, "c").await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    // Not while its client is there.
    broker.embedded.end_session("c");
    client.say("t", "1").await;
    client.hears("t", "1").await;
    client.leave().await;
    broker.embedded.end_session("c");
    let (client, present) = broker.stays(Version::V5, "c").await;
    assert!(!present);
    client.leave().await;
    drop(broker.connect(Version::V5, "c", false, 0, &[]).await);
    assert!(!broker.stays(Version::V5, "c").await.1);
    assert!(broker.stays(Version::V5, "c").await.1);
    assert!(!broker.connect(Version::V5, "c", true, 1, &[]).await.1);
    assert_eq!(broker.embedded.seats.lock().len(), 1);
    broker.embedded.end_session("c");
    assert_eq!(broker.embedded.seats.lock().len(), 0);
}

#[tokio::test]
async fn a_disconnect_may_change_when_the_session_expires() {
    let broker = Broker::start();
    let (mut client, _) = broker.stays(Version::V5, "c").await;
    let mut properties = PropertyBuf::new();
    properties.push(Property::SessionExpiryInterval(0));
    let reason = ReasonCode::NormalDisconnection;
    client.send(Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() })).await;
    client.closed().await;
    assert!(!broker.stays(Version::V5, "c").await.1);
}

#[tokio::test]
async fn a_client_without_an_identifier_is_given_one() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "").await;
    client.subscribe("t", QoS::AtMostOnce).await;
    client.say("t", "1").await;
    client.hears("t", "1").await;
    broker.client(Version::V4, "").await.say("t", "2").await;
    client.hears("t", "2").await;
}

#[tokio::test]
async fn a_connection_that_does_not_begin_with_connect_is_closed() {
    use tokio::io::AsyncReadExt;
    let broker = Broker::start();
    for bytes in [&b"\xC0\0"[..], b"\x10\x04\0\x04HT", b"\x00\0", b"\x82\x06\0\x01\0\x01a\0"] {
        let mut link = broker.embedded.connect();
        link.write_all(bytes).await.unwrap();
        assert_eq!(link.read(&mut [0; 8]).await.unwrap(), 0, "{bytes:02x?}");
    }
    let mut link = broker.embedded.connect();
    link.write_all(b"\x10\x0D\0\x04MQTT\x06\0\0\0\0\0\x01c").await.unwrap();
    let mut answer = Vec::new();
    link.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"\x20\x03\0\x84\0");
}
