//! What becomes of messages of Weir's own: each QoS, losses, and what the other broker does not take.

use super::*;
use crate::relay::steward::outbox::{MAX_BYTES, MAX_MESSAGES};

#[tokio::test]
async fn a_message_of_each_qos_is_published_and_done_once_acknowledged() {
    let mut kit = Kit::new();
    let mut peer = kit.accept(&[]).await;
    kit.publish("p/0", QoS::AtMostOnce);
    kit.publish("p/1", QoS::AtLeastOnce);
    kit.publish("p/2", QoS::ExactlyOnce);
    assert_eq!(peer.read().await, b"\x30\x0A\x00\x03p/0\x00gone");
    assert_eq!(peer.read().await, b"\x32\x0C\x00\x03p/1\x00\x01\x00gone");
    assert_eq!(peer.read().await, b"\x34\x0C\x00\x03p/2\x00\x02\x00gone");
    peer.ack(AckKind::PubAck, 1).await;
    peer.ack(AckKind::PubRec, 2).await;
    assert_eq!(peer.read().await, b"\x62\x02\x00\x02");
    peer.ack(AckKind::PubComp, 2).await;

    drop(peer);
    settle().await;
    kit.advance(100).await;
    let mut again = kit.accept(&[]).await;
    again.read_nothing().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_published_again_as_a_duplicate_before_anything_newer() {
    let mut kit = Kit::new();
    kit.publish("a", QoS::AtLeastOnce);
    kit.publish("b", QoS::ExactlyOnce);
    kit.publish("c", QoS::AtMostOnce);
    kit.publish("d", QoS::ExactlyOnce);
    let mut peer = kit.accept(&[]).await;
    for (first, topic, packet_id) in
        [(0x32, "a", Some(1)), (0x34, "b", Some(2)), (0x30, "c", None), (0x34, "d", Some(3))]
    {
        assert_eq!(peer.publish().await, (first, topic.into(), packet_id));
    }
    // The other broker has it: publishing it again would make two of it.
    peer.ack(AckKind::PubRec, 3).await;
    drop(peer);
    settle().await;
    kit.publish("e", QoS::AtMostOnce);

    kit.advance(100).await;
    let mut peer = kit.accept(&[]).await;
    for (first, topic) in [(0x3A, "a"), (0x3C, "b"), (0x30, "e")] {
        let (found, name, _) = peer.publish().await;
        assert_eq!((found, name.as_str()), (first, topic));
    }
    peer.read_nothing().await;
}

#[tokio::test]
async fn no_more_messages_are_in_flight_than_the_other_brokers_receive_maximum() {
    let mut kit = Kit::new();
    let mut peer = kit.accept(&[Property::ReceiveMaximum(2)]).await;
    for topic in ["a", "b", "c", "d"] {
        kit.publish(topic, QoS::ExactlyOnce);
    }
    assert_eq!(peer.publish().await.1, "a");
    assert_eq!(peer.publish().await.1, "b");
    peer.read_nothing().await;
    // Received is not yet done; refused is.
    peer.ack(AckKind::PubRec, 1).await;
    assert_eq!(peer.read().await, b"\x62\x02\x00\x01");
    peer.read_nothing().await;
    peer.write(b"\x50\x03\x00\x02\x97").await;
    assert_eq!(peer.publish().await.1, "c");
    assert_eq!(kit.stats.dropped_refused.get(), 1);
    peer.ack(AckKind::PubComp, 1).await;
    assert_eq!(peer.publish().await.1, "d");
}

#[tokio::test]
async fn what_the_other_broker_does_not_take_is_left_out_lowered_or_dropped() {
    let mut kit = Kit::new();
    let takes = [Property::MaximumQoS(1), Property::RetainAvailable(false), Property::MaximumPacketSize(20)];
    let mut peer = kit.accept(&takes).await;
    kit.steward.publish(message("t", QoS::ExactlyOnce, true, b"", &[]));
    assert_eq!(peer.read().await, b"\x32\x06\x00\x01t\x00\x01\x00");
    kit.steward.publish(message("t", QoS::AtMostOnce, false, &[b'x'; 15], &[]));
    peer.read_nothing().await;
    assert_eq!(kit.stats.dropped_backend_lost.get(), 1);
    kit.steward.publish(message("t", QoS::AtMostOnce, false, &[b'x'; 14], &[]));
    assert_eq!(peer.read().await.len(), 20);

    // A broker that takes less than it did: what is in flight is lowered too, and no duplicate any more.
    drop(peer);
    settle().await;
    kit.advance(100).await;
    let mut peer = kit.accept(&[Property::MaximumQoS(0)]).await;
    assert_eq!(peer.publish().await, (0x31, "t".into(), None));
}

#[tokio::test]
async fn properties_and_what_is_left_of_the_expiry_interval_are_passed_on() {
    let mut kit = Kit::new();
    kit.steward.publish(message("t", QoS::AtMostOnce, true, b"", &[Property::ContentType("c")]));
    kit.steward.publish(message("u", QoS::AtMostOnce, false, b"", &[Property::MessageExpiryInterval(10)]));
    kit.steward.publish(message("v", QoS::AtMostOnce, false, b"", &[Property::MessageExpiryInterval(3)]));
    let mut peer = kit.dialled().await;
    kit.advance(3_000).await;
    peer.connect().await;
    peer.connack(0, &[]).await;
    assert_eq!(peer.read().await, b"\x31\x08\x00\x01t\x04\x03\x00\x01c");
    assert_eq!(peer.read().await, b"\x30\x09\x00\x01u\x05\x02\x00\x00\x00\x07");
    peer.read_nothing().await;
    assert_eq!(kit.stats.dropped_expired.get(), 1);
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_is_over_the_bound_is_counted() {
    let mut kit = Kit::new();
    for _ in 0..MAX_MESSAGES + 3 {
        kit.publish("t", QoS::AtMostOnce);
    }
    assert_eq!(kit.stats.dropped_backend_lost.get(), 3);
    let mut peer = kit.accept(&[]).await;
    for _ in 0..MAX_MESSAGES {
        peer.publish().await;
    }
    peer.read_nothing().await;
    kit.publish("t", QoS::AtMostOnce);
    peer.publish().await;
    assert_eq!(kit.stats.dropped_backend_lost.get(), 3);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too() {
    let kit = Kit::with(|network| network.refuses.store(true, Ordering::Relaxed));
    let half = vec![0; MAX_BYTES / 2 - 3];
    for dropped in [0, 0, 1] {
        kit.steward.publish(message("t", QoS::AtMostOnce, false, &half, &[]));
        assert_eq!(kit.stats.dropped_backend_lost.get(), dropped);
    }
}

#[tokio::test]
async fn acknowledgements_that_belong_to_nothing_change_nothing() {
    let mut kit = Kit::new();
    let mut peer = kit.accept(&[]).await;
    kit.publish("a", QoS::AtLeastOnce);
    kit.publish("b", QoS::ExactlyOnce);
    peer.publish().await;
    peer.publish().await;
    // Of the other message's kind, or of none.
    for (kind, packet_id) in
        [(AckKind::PubAck, 2), (AckKind::PubRec, 1), (AckKind::PubComp, 1), (AckKind::PubComp, 2), (AckKind::PubRec, 9)]
    {
        peer.ack(kind, packet_id).await;
    }
    peer.read_nothing().await;
    drop(peer);
    settle().await;
    kit.advance(100).await;
    let mut peer = kit.accept(&[]).await;
    assert_eq!(peer.publish().await.1, "a");
    assert_eq!(peer.publish().await.1, "b");
}
