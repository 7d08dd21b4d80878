//! Finding the other broker, losing it and finding it again: versions, refusals, silence, and how often it is tried.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn the_steward_connects_with_mqtt_5_for_a_session_that_ends_with_the_connection() {
    let mut kit = Kit::new();
    let mut peer = kit.dialled().await;
    assert_eq!(peer.connect().await, "5 clean=true 15s weir-steward expiry=None");
    settle().await;
    assert!(!kit.steward.is_available());
    peer.connack(0, &[]).await;
    assert!(kit.steward.is_available());
    assert_eq!((kit.steward.losses(), kit.dials()), (0, 1));
}

#[tokio::test]
async fn a_broker_without_mqtt_5_is_spoken_to_in_3_1_1_however_it_says_so() {
    // CONNACK of MQTT 5, CONNACK of 3.1.1 with return code 1, one that takes all for its own version, and a closed connection.
    for answer in [&b"\x20\x03\x00\x84\x00"[..], b"\x20\x02\x00\x01", b"\x20\x02\x00\x00", b""] {
        let mut kit = Kit::new();
        let mut peer = kit.dialled().await;
        peer.connect().await;
        peer.write(answer).await;
        drop(peer);
        let mut peer = kit.dialled().await;
        assert_eq!(peer.connect().await, "3.1.1 clean=true 15s weir-steward expiry=None");
        peer.connack(0, &[]).await;
        assert!(kit.steward.is_available(), "{answer:02x?}");
        kit.steward.publish(message("t", QoS::AtLeastOnce, true, b"x", &[Property::ContentType("c")]));
        assert_eq!(peer.read().await, b"\x33\x06\x00\x01t\x00\x01x");
    }
}

#[tokio::test]
async fn a_refusal_is_no_reason_to_try_another_version_and_is_met_with_patience() {
    for (version, answer) in [
        (5, &b"\x20\x03\x00\x86\x00"[..]),
        (5, b"\x20\x02\x00\x04"),
        (3, b"\x20\x02\x00\x01"),
        (3, b"\x20\x02\x00\x05"),
    ] {
        let mut kit = Kit::new();
        let mut peer = kit.dialled().await;
        peer.connect().await;
        if version == 3 {
            drop(peer);
            peer = kit.dialled().await;
            peer.connect().await;
        }
        peer.write(answer).await;
        let dials = kit.dials();
        assert!(!kit.steward.is_available() && kit.connections.is_empty(), "{answer:02x?}");
        kit.advance(100).await;
        assert_eq!(kit.dials(), dials + 1, "{answer:02x?}");
        assert_eq!((kit.steward.losses(), kit.stats.backend_lost.get()), (0, 0), "what was not had is not lost");
    }
}

#[tokio::test]
async fn what_is_no_connack_is_no_connection() {
    let packets: [&[u8]; 4] = [b"\x30\x04\x00\x01t\x00", b"\x20\x03\x01\x00\x00", b"\x00\x00", b"\x20\xFF\xFF\xFF\x7F"];
    for answer in packets {
        let mut kit = Kit::new();
        let mut peer = kit.dialled().await;
        peer.connect().await;
        peer.write(answer).await;
        assert!(!kit.steward.is_available(), "{answer:02x?}");
        kit.advance(100).await;
        assert_eq!(kit.dials(), 2);
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_connect_is_given_up_in_time() {
    let mut kit = Kit::new();
    let mut peer = kit.dialled().await;
    peer.connect().await;
    kit.advance(9_999).await;
    assert_eq!(kit.dials(), 1);
    kit.advance(1).await;
    kit.advance(100).await;
    assert_eq!(kit.dials(), 2);
}

#[tokio::test]
async fn while_the_clock_stands_still_nothing_is_dialled_again_and_the_pauses_grow_to_ten_seconds() {
    let kit = Kit::with(|network| network.refuses.store(true, Ordering::Relaxed));
    settle().await;
    assert_eq!(kit.dials(), 1);
    for span in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        let before = kit.dials();
        settle().await;
        assert_eq!(kit.dials(), before, "not before its time");
        kit.advance(span).await;
        assert_eq!(kit.dials(), before + 1, "after {span} ms");
    }
    // A pause is a random part of its span: these are of ten seconds each.
    let before = kit.dials();
    for _ in 0..100 {
        kit.advance(1_000).await;
    }
    let dials = kit.dials() - before;
    assert!((10..50).contains(&dials), "{dials} dials in 100 s");
}

#[tokio::test]
async fn a_client_that_cannot_reach_the_broker_hastens_the_next_try_but_never_to_more_than_one_a_second() {
    let kit = Kit::with(|network| network.refuses.store(true, Ordering::Relaxed));
    for _ in 0..20 {
        kit.advance(10_000).await;
    }
    let before = kit.dials();
    for _ in 0..10 {
        for _ in 0..10 {
            kit.steward.check();
            kit.advance(100).await;
        }
    }
    let dials = kit.dials() - before;
    assert!((9..=15).contains(&dials), "{dials} dials in 10 s");
}

#[tokio::test]
async fn a_lost_broker_is_told_once_and_found_again() {
    let mut kit = Kit::new();
    let peer = kit.accept(&[]).await;
    drop(peer);
    settle().await;
    assert!(!kit.steward.is_available());
    assert_eq!((kit.steward.losses(), kit.stats.backend_lost.get()), (1, 1));
    assert_eq!(kit.told_of_losses.load(Ordering::Relaxed), 1);
    assert_eq!(kit.dials(), 1, "not at once");
    kit.advance(100).await;
    kit.accept(&[]).await;
    settle().await;
    assert_eq!((kit.steward.losses(), kit.told_of_losses.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test]
async fn a_broker_that_goes_as_soon_as_it_has_come_is_met_with_growing_pauses() {
    let mut kit = Kit::new();
    for span in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000] {
        drop(kit.accept(&[]).await);
        settle().await;
        kit.advance(span).await;
    }
    let peer = kit.accept(&[]).await;
    let dials = kit.dials();
    drop(peer);
    settle().await;
    // Most pauses of up to ten seconds are longer than a few milliseconds; the next try comes within them all.
    kit.advance(1).await;
    kit.advance(9_999).await;
    assert_eq!(kit.dials(), dials + 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_asked_after_five_seconds_and_lost_after_five_more() {
    let mut kit = Kit::new();
    let mut peer = kit.accept(&[]).await;
    kit.advance(4_999).await;
    peer.read_nothing().await;
    kit.advance(1).await;
    assert_eq!(peer.read().await, b"\xC0\x00");
    kit.advance(4_999).await;
    peer.write(b"\xD0\x00").await;
    kit.advance(4_999).await;
    peer.read_nothing().await;
    kit.advance(1).await;
    assert_eq!(peer.read().await, b"\xC0\x00");
    kit.advance(4_999).await;
    assert!(kit.steward.is_available());
    kit.advance(1).await;
    last_look().await;
    assert!(!kit.steward.is_available());
    assert_eq!(kit.steward.losses(), 1);
}

/// The time of the last look, on a clock of the machine that is made up too.
async fn last_look() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_broker_with_a_shorter_keep_alive_is_asked_more_often() {
    let mut kit = Kit::new();
    let mut peer = kit.accept(&[Property::ServerKeepAlive(2)]).await;
    kit.advance(1_000).await;
    assert_eq!(peer.read().await, b"\xC0\x00");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_reach_the_broker_has_it_asked_at_once_but_not_more_than_once_a_second() {
    let mut kit = Kit::new();
    let mut peer = kit.accept(&[]).await;
    for _ in 0..3 {
        kit.steward.check();
        assert_eq!(peer.read().await, b"\xC0\x00");
        kit.steward.check();
        peer.read_nothing().await;
        peer.write(b"\xD0\x00").await;
        kit.steward.check();
        peer.read_nothing().await;
        kit.advance(1_000).await;
    }
    kit.steward.check();
    assert_eq!(peer.read().await, b"\xC0\x00");
    kit.advance(5_000).await;
    last_look().await;
    assert!(!kit.steward.is_available());
}

#[tokio::test]
async fn a_broker_that_says_goodbye_or_sends_what_is_no_mqtt_is_lost() {
    for bytes in [&b"\xE0\x02\x8B\x00"[..], b"\x60\x00", b"\x40\x02\x00\x00", b"\x30\xFF\xFF\x7F"] {
        let mut kit = Kit::new();
        let mut peer = kit.accept(&[]).await;
        peer.write(bytes).await;
        assert!(!kit.steward.is_available(), "{bytes:02x?}");
    }
}
