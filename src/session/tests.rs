//! The session against a client that keeps book: random deliveries, acknowledgements, losses and resumptions.

mod client;
mod schedules;

use std::collections::HashSet;

use std::num::NonZeroU16;

use super::*;
use crate::router::samples::{Sample, delivery, mailbox};
use crate::wire::Version;

fn id(id: u16) -> PacketId {
    NonZeroU16::new(id).unwrap()
}

/// The packet identifier of the only PUBLISH in `out`, which is MQTT 3.1.1 with the topic `t`.
fn sent(out: &mut Vec<u8>) -> u16 {
    let bytes = std::mem::take(out);
    assert_eq!(bytes[2..5], [0, 1, b't']);
    u16::from_be_bytes([bytes[5], bytes[6]])
}

#[test]
fn a_packet_identifier_whose_message_is_not_acknowledged_is_not_given_again() {
    let mut session = Session::new(mailbox());
    let mut link = Link::new(Version::V4, 10, usize::MAX, 0);
    let message = delivery(Sample::default().message("t", QoS::AtLeastOnce));
    let mut out = Vec::new();
    for lap in 0..3 {
        let mut given = HashSet::new();
        for _ in 0..65_534 {
            assert_eq!(session.ready(&message, &link, 0), Ready::Now);
            session.send(message.clone(), &mut link, 0, &mut out);
            let packet_id = sent(&mut out);
            assert!(given.insert(packet_id), "{packet_id} is in use");
            // The first of each lap stays unacknowledged.
            assert!(given.len() == 1 || session.puback(id(packet_id)));
        }
        session.send(message.clone(), &mut link, 0, &mut out);
        assert!(session.puback(id(sent(&mut out))));
        assert_eq!(session.ready(&message, &link, 0), Ready::NoQuota, "in lap {lap} the next one is in use");
        assert!(session.puback(id(1)));
    }
}

#[test]
fn what_does_not_fit_the_client_or_has_expired_is_not_ready() {
    let session = Session::new(mailbox());
    let link = Link::new(Version::V5, 10, 30, 0);
    let ready = |payload: usize, expiry, now| {
        let message = Sample { payload: &vec![0; payload], expiry, received: 1_000, ..Sample::default() };
        session.ready(&delivery(message.message("t", QoS::AtLeastOnce)), &link, now)
    };
    // First byte, length, topic of 3, packet identifier of 2, length of the properties: 8 before the payload.
    assert_eq!(ready(22, None, 1_000), Ready::Now);
    assert_eq!(ready(23, None, 1_000), Ready::TooLarge);
    assert_eq!(ready(17, Some(2), 2_999), Ready::Now);
    assert_eq!(ready(18, Some(2), 2_999), Ready::TooLarge, "the expiry interval takes 5");
    assert_eq!(ready(17, Some(2), 3_000), Ready::Expired);
}

#[test]
fn a_new_topic_alias_never_makes_a_packet_larger_than_the_client_takes() {
    let topic = "a/long/topic";
    for payload in 0..300 {
        let payload = vec![0; payload];
        let message = delivery(Sample { payload: &payload, ..Sample::default() }.message(topic, QoS::AtLeastOnce));
        for spare in 0..8 {
            let most = message.packet_len(Version::V5, None) + spare;
            let mut session = Session::new(mailbox());
            let mut link = Link::new(Version::V5, 10, most, 10);
            assert_eq!(session.ready(&message, &link, 0), Ready::Now);
            let mut out = Vec::new();
            session.send(message.clone(), &mut link, 0, &mut out);
            assert!(out.len() <= most, "{} of {most} bytes", out.len());
        }
    }
}

#[test]
fn a_qos_2_message_of_the_client_is_open_until_it_releases_it() {
    let mut session = Session::new(mailbox());
    assert!(!session.is_open(id(7)));
    session.open(id(7));
    session.open(id(7));
    assert!(session.is_open(id(7)) && !session.is_open(id(8)));
    assert_eq!(session.open_count(), 1);
    session.resume();
    assert!(session.is_open(id(7)), "a loss of the connection closes nothing");
    assert!(session.release(id(7)));
    assert!(!session.release(id(7)));
    assert_eq!(session.open_count(), 0);
}

#[test]
fn a_message_the_client_refuses_with_pubrec_is_done() {
    let mut session = Session::new(mailbox());
    let mut link = Link::new(Version::V5, 1, usize::MAX, 0);
    let message = delivery(Sample::default().message("t", QoS::ExactlyOnce));
    let mut out = Vec::new();
    session.send(message.clone(), &mut link, 0, &mut out);
    assert_eq!(session.ready(&message, &link, 0), Ready::NoQuota);
    out.clear();
    assert!(session.pubrec(id(1), ReasonCode::QuotaExceeded, &mut out));
    assert!(out.is_empty(), "no PUBREL");
    assert_eq!(session.ready(&message, &link, 0), Ready::Now);
    assert!(!session.pubcomp(id(1)));
}

#[test]
fn nothing_new_is_ready_before_all_that_is_older_was_sent_again() {
    let mut session = Session::new(mailbox());
    let mut link = Link::new(Version::V4, 5, usize::MAX, 0);
    let message = delivery(Sample::default().message("t", QoS::AtLeastOnce));
    let mut out = Vec::new();
    (0..3).for_each(|_| session.send(message.clone(), &mut link, 0, &mut out));
    session.resume();
    assert_eq!(session.ready(&message, &link, 0), Ready::NoQuota);
    let mut narrow = Link::new(Version::V4, 2, usize::MAX, 0);
    session.resend(&mut narrow, 0, &mut out);
    assert_eq!(session.ready(&message, &link, 0), Ready::NoQuota, "the third was not sent yet");
    session.resend(&mut link, 0, &mut out);
    assert_eq!(session.ready(&message, &link, 0), Ready::Now);
}

#[test]
fn what_waited_in_a_session_comes_first_when_its_client_is_back() {
    let stats = Stats::default();
    let mut session = Session::new(mailbox());
    let numbered = |number: u8, qos| delivery(Sample { payload: &[number], ..Sample::default() }.message("t", qos));
    session.wait(numbered(2, QoS::AtLeastOnce));
    session.wait_first(numbered(1, QoS::AtLeastOnce));
    assert_eq!(session.held(), Held { messages: 2, bytes: 8, replays: 0 });
    session.mailbox().push(numbered(3, QoS::AtMostOnce), &stats);
    session.mailbox().push(numbered(4, QoS::AtLeastOnce), &stats);
    session.park(&stats);
    assert_eq!(session.held(), Held::default());
    session.mailbox().push(numbered(5, QoS::ExactlyOnce), &stats);
    let payloads = crate::router::samples::take_all(session.mailbox());
    assert_eq!(payloads.iter().map(|d| d.message.payload()[0]).collect::<Vec<_>>(), [1, 2, 4, 5]);
}
