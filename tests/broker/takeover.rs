//! One client identifier, several connections: the newest has it and its session, the others are told and closed
//! [MQTT-3.1.4-3].

use weir::wire::{Connect, Packet, Property, Version};

use crate::common::{Client, connect, publish};
use crate::kit::{Q1, VERSIONS, acme, client, properties, resume};

#[test]
fn the_newcomer_gets_the_session_and_the_one_before_is_told() {
    for version in VERSIONS {
        let weir = acme("");
        let mut publisher = client(&weir, version, "publisher");
        let (mut first, _) = resume(&weir, version, "c");
        first.subscribe("t", Q1);
        publisher.tell("t", "unacknowledged");
        first.expect_publish();
        let (mut second, present) = resume(&weir, version, "c");
        assert_eq!(present, version != Version::V3);
        first.expect_end(0x8E);
        assert!(second.take("unacknowledged").dup);
        publisher.tell("t", "new");
        second.take("new");
        second.nothing();
    }
}

#[test]
fn it_may_be_of_another_version() {
    let weir = acme("");
    let (mut first, _) = resume(&weir, Version::V4, "c");
    first.subscribe("t", Q1);
    let (mut second, present) = resume(&weir, Version::V5, "c");
    assert!(present);
    first.expect_closed();
    let (mut third, present) = resume(&weir, Version::V4, "c");
    assert!(present);
    second.expect_disconnect(0x8E);
    client(&weir, Version::V4, "publisher").tell("t", "m");
    third.take("m");
}

#[test]
fn a_clean_session_is_not_handed_on() {
    for version in VERSIONS {
        let weir = acme("");
        let mut first = client(&weir, version, "c");
        first.subscribe("t", Q1);
        let (mut second, present) = resume(&weir, version, "c");
        assert!(!present);
        first.expect_end(0x8E);
        client(&weir, version, "publisher").tell("t", "m");
        second.nothing();
    }
}

#[test]
fn what_the_first_had_sent_before_is_taken_and_what_it_sends_after_is_not() {
    let weir = acme("");
    let mut witness = client(&weir, Version::V4, "witness");
    witness.subscribe("t", Q1);
    let (mut first, _) = resume(&weir, Version::V4, "c");
    first.publish("t", b"before", Q1, 1);
    first.hear(0x40, 1);
    let (mut second, _) = resume(&weir, Version::V4, "c");
    let mut bytes = Vec::new();
    Packet::Publish(publish("t", b"after", Q1, 2)).encode(Version::V4, &mut bytes).unwrap();
    first.try_send_bytes(&bytes);
    first.expect_closed();
    second.tell("t", "from the second");
    witness.take("before");
    witness.take("from the second");
    witness.nothing();
}

/// Whether this connection is the one that is still served. The others were closed, told or not.
fn survives(client: &mut Client) -> bool {
    client.try_send_bytes(&[0xC0, 0]);
    while let Some(frame) = client.frame_or_end() {
        if frame[0] == 0xD0 {
            return true;
        }
    }
    false
}

#[test]
fn of_many_at_once_exactly_one_survives_with_the_session() {
    for version in VERSIONS {
        let weir = acme("");
        let (mut first, _) = resume(&weir, version, "c");
        first.subscribe("t", Q1);
        let expiry = properties(&[Property::SessionExpiryInterval(3600)]);
        let mut packet = connect(version, "t", "c");
        packet.clean_start = false;
        if version == Version::V5 {
            packet = Connect { properties: expiry.as_properties(), ..packet };
        }
        for _ in 0..10 {
            let mut all: Vec<Client> = (0..3).map(|_| weir.raw()).collect();
            for client in &mut all {
                client.version = version;
                client.send(&Packet::Connect(packet));
            }
            // Each hears a CONNACK, or is closed because another came; the last to come stays.
            let mut alive: Vec<Client> = all.into_iter().filter_map(|mut c| survives(&mut c).then_some(c)).collect();
            while alive.len() > 1 {
                // One that answered may have been taken over since.
                alive = alive.into_iter().filter_map(|mut c| survives(&mut c).then_some(c)).collect();
            }
            let survivor = alive.first_mut().expect("one is left");
            client(&weir, version, "publisher").tell("t", "m");
            survivor.take("m");
            survivor.nothing();
        }
    }
}
