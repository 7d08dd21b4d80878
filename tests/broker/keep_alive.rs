//! The keep-alive: one and a half times the interval without a packet, and the connection is closed as if it were lost
//! [MQTT-3.1.2-22].

use weir::wire::{ConnAck, Connect, Packet, Version, frame_header};

use crate::common::{Client, Weir, connect};
use crate::kit::{Q0, VERSIONS, acme, client};

fn with_keep_alive(weir: &Weir, version: Version, keep_alive: u16) -> Client {
    weir.connect(&Connect { keep_alive, ..connect(version, "t", "c") })
}

#[test]
fn silence_for_one_and_a_half_times_the_keep_alive_ends_the_connection() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut client = with_keep_alive(&weir, version, 10);
        weir.clock("+14999ms");
        client.nothing();
        weir.clock("+14999ms");
        client.nothing();
        weir.clock("+15s");
        client.expect_end(0x8D);
    }
}

#[test]
fn any_packet_counts_as_a_sign_of_life() {
    let packets: [(&[u8], u8); 5] = [
        (&[0xC0, 0], 0xD0),
        (&[0x30, 4, 0, 1, b't', b'm'], 0x30),
        (&[0x62, 2, 0, 9], 0x70),
        (&[0x82, 6, 0, 1, 0, 1, b't', 0], 0x90),
        (&[0xA2, 5, 0, 1, 0, 1, b't'], 0xB0),
    ];
    let mut weir = acme("");
    let mut client = with_keep_alive(&weir, Version::V4, 10);
    client.subscribe("t", Q0);
    for (bytes, answer) in packets {
        weir.clock("+14s");
        client.send_bytes(bytes);
        assert_eq!(client.frame()[0], answer);
    }
    weir.clock("+15s");
    client.expect_closed();
}

#[test]
fn what_the_broker_sends_is_no_sign_of_life_of_the_client() {
    let mut weir = acme("");
    let mut quiet = with_keep_alive(&weir, Version::V5, 10);
    quiet.subscribe("t", Q0);
    let mut publisher = client(&weir, Version::V4, "publisher");
    weir.clock("+14s");
    publisher.tell("t", "m");
    quiet.take("m");
    weir.clock("+1s");
    quiet.expect_end(0x8D);
}

#[test]
fn a_keep_alive_of_0_means_none() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut client = with_keep_alive(&weir, version, 0);
        weir.clock("+720h");
        client.nothing();
    }
}

#[test]
fn the_longest_keep_alive_holds_too() {
    let mut weir = acme("");
    let mut client = with_keep_alive(&weir, Version::V5, u16::MAX);
    weir.clock("+98302s");
    client.nothing();
    weir.clock("+98303s");
    client.expect_end(0x8D);
}

#[test]
fn max_keep_alive_is_told_as_server_keep_alive_and_holds() {
    for (asked, told) in [(0, Some(20)), (21, Some(20)), (20, None), (5, None)] {
        let mut weir = acme("mqtt: { max_keep_alive: 20s }\n");
        let (mut client, connack) = weir.try_connect(&Connect { keep_alive: asked, ..connect(Version::V5, "t", "c") });
        assert_eq!(server_keep_alive(&connack), told, "asked for {asked}");
        let seconds = u64::from(told.unwrap_or(asked)) * 3 / 2;
        weir.clock(&format!("+{}s", seconds - 1));
        client.nothing();
        weir.clock(&format!("+{}s", seconds + 1));
        client.expect_end(0x8D);
    }
}

#[test]
fn before_mqtt_5_the_client_cannot_be_told_so_its_own_keep_alive_holds() {
    let mut weir = acme("mqtt: { max_keep_alive: 20s }\n");
    let mut client = with_keep_alive(&weir, Version::V4, 100);
    weir.clock("+149s");
    client.nothing();
    weir.clock("+150s");
    client.expect_closed();
}

fn server_keep_alive(frame: &[u8]) -> Option<u16> {
    let header = frame_header(frame, usize::MAX).unwrap().unwrap();
    match Packet::decode(Version::V5, header.first, &frame[header.header_len..]) {
        Ok(Packet::ConnAck(ConnAck { properties, .. })) => properties.server_keep_alive(),
        other => panic!("a CONNACK: {other:?}"),
    }
}
