//! What the chapters on MQTT 5 share: a broker without limits, frames written byte by byte, and the few exchanges that every
//! chapter needs. Nothing here decides what is right; the tests do.

use std::net::Shutdown;

use weir::wire::{ConnAck, Connect, Packet, Property, PropertyBuf, QoS, Version, Will, frame_header};

use super::common::{Client, Weir, connect};

pub const MORNING: &str = "2026-11-21T12:45:09Z";

/// One profile without limits, whose clients need no credentials; those that have some use the token `t`.
pub const OPEN: &str =
    "plans: { open: {} }\nprofiles: { acme: { plan: open, devices: { pump: { token: t } } } }\nanonymous: acme\n";

pub const MALFORMED: u8 = 0x81;
pub const PROTOCOL_ERROR: u8 = 0x82;

/// The property Session Expiry Interval of an hour.
pub const AN_HOUR: Property<'static> = Property::SessionExpiryInterval(3600);

/// A broker without limits.
pub fn open() -> Weir {
    Weir::at(MORNING, OPEN)
}

/// A broker without limits, whose configuration says this too.
pub fn open_with(more: &str) -> Weir {
    Weir::at(MORNING, &format!("{OPEN}{more}\n"))
}

/// A frame of less than 128 bytes.
pub fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128, "a short frame");
    [&[first, body.len() as u8], body.as_slice()].concat()
}

/// A length in two bytes, and the bytes.
pub fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&[0, u8::try_from(bytes.len()).expect("a short text")], bytes].concat()
}

/// A property length in one byte, and the properties.
pub fn with_length(properties: &[u8]) -> Vec<u8> {
    text(properties).split_off(1)
}

/// A CONNECT of these connect flags and properties, without keep-alive.
pub fn connect_frame(flags: u8, properties: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    frame(0x10, &[b"\x00\x04MQTT\x05", &[flags, 0, 0], &with_length(properties), &payload.concat()])
}

/// A PUBLISH with this first byte; its packet identifier is 1 where its QoS asks for one.
pub fn publish_frame(first: u8, topic: &str, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let id: &[u8] = if first & 0x06 == 0 { &[] } else { &[0, 1] };
    frame(first, &[&text(topic), id, &with_length(properties), payload])
}

pub fn properties(wanted: &[Property<'_>]) -> PropertyBuf {
    let mut properties = PropertyBuf::new();
    wanted.iter().for_each(|property| properties.push(*property));
    properties
}

/// A plain will of QoS 0.
pub fn will<'a>(topic: &'a str, payload: &'a str) -> Will<'a> {
    Will { qos: QoS::AtMostOnce, retain: false, properties: Default::default(), topic, payload: payload.as_bytes() }
}

/// Connects without credentials, with Clean Start as given and these properties; the CONNACK too.
pub fn join(weir: &Weir, client_id: &str, clean_start: bool, wanted: &[Property<'_>]) -> (Client, Vec<u8>) {
    join_with_will(weir, client_id, clean_start, wanted, None)
}

pub fn join_with_will(
    weir: &Weir,
    client_id: &str,
    clean_start: bool,
    wanted: &[Property<'_>],
    will: Option<Will<'_>>,
) -> (Client, Vec<u8>) {
    let properties = properties(wanted);
    weir.try_connect(&Connect {
        clean_start,
        properties: properties.as_properties(),
        will,
        user_name: None,
        password: None,
        ..connect(Version::V5, "", client_id)
    })
}

/// A client of a new session that ends with its connection.
pub fn guest(weir: &Weir, client_id: &str) -> Client {
    join(weir, client_id, true, &[]).0
}

/// The same, with a subscription.
pub fn subscriber(weir: &Weir, filter: &str, qos: QoS) -> Client {
    let mut client = guest(weir, "subscriber");
    client.subscribe(filter, qos);
    client
}

/// What a CONNACK says.
#[track_caller]
pub fn connack(frame: &[u8]) -> ConnAck<'_> {
    let header = frame_header(frame, usize::MAX).expect("a frame").expect("whole");
    match Packet::decode(Version::V5, header.first, &frame[header.header_len..]).expect("a packet") {
        Packet::ConnAck(connack) => connack,
        other => panic!("a CONNACK: {other:?}"),
    }
}

/// Publishes in a PUBLISH with this first byte, and waits until the broker has taken and routed it.
#[track_caller]
pub fn hand_in(client: &mut Client, first: u8, topic: &str, properties: &[u8], payload: &str) {
    client.send_bytes(&publish_frame(first, topic, properties, payload.as_bytes()));
    match first & 0x06 {
        0 => client.expect_nothing(),
        2 => expect_ack(client, 0x40),
        _ => {
            expect_ack(client, 0x50);
            client.send_bytes(&[0x62, 2, 0, 1]);
            expect_ack(client, 0x70);
        }
    }
}

/// The next frame is this acknowledgement of packet identifier 1, and no error.
#[track_caller]
pub fn expect_ack(client: &mut Client, first: u8) {
    let ack = client.frame();
    assert_eq!((ack[0], &ack[2..4]), (first, &[0, 1][..]), "{ack:02x?}");
    assert!(ack.get(4).is_none_or(|reason| *reason < 0x80), "{ack:02x?}");
}

/// Subscribes with these options and properties, and is granted the QoS that was asked for.
#[track_caller]
pub fn subscribe(client: &mut Client, filter: &str, options: u8, properties: &[u8]) {
    client.send_bytes(&frame(0x82, &[&[0, 1], &with_length(properties), &text(filter), &[options]]));
    client.expect(&[0x90, 4, 0, 1, 0, options & 3]);
}

/// Of those the payloads.
#[track_caller]
pub fn payloads(client: &mut Client) -> Vec<String> {
    client.deliveries().iter().map(|received| received.text().to_owned()).collect()
}

/// Loses the network connection of a client to which nothing is on its way: when this returns, the broker has noticed, and has
/// seen to session and will.
#[track_caller]
pub fn lose(mut client: Client) {
    client.stream().shutdown(Shutdown::Write).expect("it is connected");
    client.expect_closed();
}

/// The broker says DISCONNECT with this reason code, and closes.
#[track_caller]
pub fn expect_disconnect(client: &mut Client, reason: u8) {
    let disconnect = client.frame();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, reason), "{disconnect:02x?}");
    client.expect_closed();
}

/// A client that is connected and sends this is disconnected for this reason.
#[track_caller]
pub fn is_disconnected(weir: &Weir, bytes: &[u8], reason: u8) {
    let mut client = guest(weir, "villain");
    client.send_bytes(bytes);
    expect_disconnect(&mut client, reason);
}

/// Who sends this first is refused with this reason code, and the connection is closed.
#[track_caller]
pub fn is_refused(weir: &Weir, bytes: &[u8], reason: u8) {
    let mut client = weir.raw();
    client.send_bytes(bytes);
    let connack = client.frame();
    assert_eq!((connack[0], connack[3]), (0x20, reason), "{connack:02x?}");
    client.expect_closed();
}
