//! What the modules of MQTT 3.1 and 3.1.1 share: a broker that lets everyone in, clients of 3.1.1, frames written out by hand.
//! It decides nothing about what is right: that stands in the tests.

use std::net::Shutdown;

use weir::wire::{Connect, Packet, Properties, Publish, QoS, Version, Will};

use crate::common::{Client, Weir, connect, publish};

pub const MORNING: &str = "2026-11-21T12:45:09Z";
/// One profile without limits: for clients with the token `t`, and for those without any.
pub const OPEN: &str =
    "plans: { open: {} }\nprofiles: { acme: { plan: open, devices: { pump: { token: t } } } }\nanonymous: acme\n";
/// CONNECT with no flag but Clean Session, and its client identifier.
pub const CLEAN: u8 = 0x02;

pub fn weir() -> Weir {
    Weir::at(MORNING, OPEN)
}

/// A broker with this beside what `OPEN` says.
pub fn weir_with(more: &str) -> Weir {
    Weir::at(MORNING, &format!("{OPEN}{more}\n"))
}

/// A client of 3.1.1 with a clean session.
pub fn clean(weir: &Weir, client_id: &str) -> Client {
    weir.client(Version::V4, "t", client_id)
}

/// The CONNECT of a session that outlives its connections.
pub fn durable(client_id: &str) -> Connect<'_> {
    Connect { clean_start: false, ..connect(Version::V4, "t", client_id) }
}

/// A client of 3.1.1 with a clean session and this subscription.
pub fn subscriber(weir: &Weir, filter: &str, qos: QoS) -> Client {
    let mut client = clean(weir, "subscriber");
    client.subscribe(filter, qos);
    client
}

pub fn will<'a>(topic: &'a str, payload: &'a [u8], qos: QoS, retain: bool) -> Will<'a> {
    Will { qos, retain, properties: Properties::EMPTY, topic, payload }
}

/// The connection breaks, and the broker has noticed: it closes its side when it is done with all that follows.
pub fn lose(mut client: Client) {
    client.stream().shutdown(Shutdown::Write).expect("a connection");
    while client.frame_or_end().is_some() {}
}

/// A frame of less than 128 bytes.
pub fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[first, u8::try_from(body.len()).expect("a short frame")], body.as_slice()].concat()
}

/// A length in two bytes, and the text.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("a length in two bytes").to_be_bytes(), bytes].concat()
}

/// A CONNECT of 3.1.1 with these flags and this payload, without a keep-alive.
pub fn connect_frame(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    frame(0x10, &[b"\x00\x04MQTT\x04", &[flags, 0, 0], &payload.concat()])
}

/// A SUBSCRIBE of one filter at QoS 0.
pub fn subscribe_frame(filter: &[u8]) -> Vec<u8> {
    frame(0x82, &[&[0, 1], &text(filter), &[0]])
}

/// A PUBLISH at QoS 0.
pub fn publish_frame(topic: &[u8]) -> Vec<u8> {
    frame(0x30, &[&text(topic), b"x"])
}

/// Who sends this first thing is cut off, and nothing is answered.
#[track_caller]
pub fn is_refused_in_silence(weir: &Weir, bytes: &[u8]) {
    let mut client = weir.raw();
    client.send_bytes(bytes);
    assert_eq!(client.frame_or_end(), None, "{bytes:02x?}");
}

/// Who sends this first thing gets this CONNACK return code, and is cut off if it is not 0.
#[track_caller]
pub fn is_answered(weir: &Weir, bytes: &[u8], code: u8) -> Client {
    let mut client = weir.raw();
    client.version = Version::V4;
    client.send_bytes(bytes);
    client.expect(&[0x20, 2, 0, code]);
    if code != 0 {
        client.expect_closed();
    }
    client
}

/// A connected client that sends this is cut off, and nothing is answered.
#[track_caller]
pub fn is_cut_off(weir: &Weir, bytes: &[u8]) {
    let mut client = clean(weir, "villain");
    client.send_bytes(bytes);
    assert_eq!(client.frame_or_end(), None, "{bytes:02x?}");
}

/// Publishes, and the broker has it: up to the last acknowledgement.
#[track_caller]
pub fn put(client: &mut Client, topic: &str, payload: &str, qos: QoS) {
    hand_over(client, &publish(topic, payload.as_bytes(), qos, 1));
}

/// The same with RETAIN.
#[track_caller]
pub fn retain(client: &mut Client, topic: &str, payload: &str, qos: QoS) {
    hand_over(client, &Publish { retain: true, ..publish(topic, payload.as_bytes(), qos, 1) });
}

#[track_caller]
fn hand_over(client: &mut Client, publish: &Publish<'_>) {
    client.send(&Packet::Publish(*publish));
    match publish.qos {
        QoS::AtMostOnce => client.expect_nothing(),
        QoS::AtLeastOnce => client.expect(&[0x40, 2, 0, 1]),
        QoS::ExactlyOnce => {
            client.expect(&[0x50, 2, 0, 1]);
            client.send_bytes(&[0x62, 2, 0, 1]);
            client.expect(&[0x70, 2, 0, 1]);
        }
    }
}

/// The payloads of what is on its way to the client.
#[track_caller]
pub fn payloads(client: &mut Client) -> Vec<String> {
    client.deliveries().iter().map(|received| received.text().to_owned()).collect()
}
