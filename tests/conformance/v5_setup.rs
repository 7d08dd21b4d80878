//! What the tests of MQTT 5 from section 3.4 on share: a broker with one device, its clients, frames put together by hand, and
//! the small exchanges that most tests begin with. Called by those chapters only; it judges nothing that they are there to judge.

use weir::wire::{Connect, Property, PropertyBuf, QoS, Version};

use crate::common::{Client, Received, Weir, connect};

#[path = "../common/scram.rs"]
pub mod scram;

pub const MALFORMED: u8 = 0x81;
pub const PROTOCOL_ERROR: u8 = 0x82;

pub const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// One device with the token `t`.
pub fn weir() -> Weir {
    weir_with("", "")
}

/// The same, on a plan that says `plan`, with `more` in the configuration.
pub fn weir_with(plan: &str, more: &str) -> Weir {
    Weir::at("2026-11-21T12:45:09Z", &config(plan, more))
}

pub fn config(plan: &str, more: &str) -> String {
    format!(
        "plans: {{ p: {{ {plan} }} }}\nprofiles: {{ a: {{ plan: p, devices: {{ d: {{ token: t }} }} }} }}\n{more}\n"
    )
}

/// Nobody may use the topic `forbidden`.
pub const FORBIDDEN: &str = "acl: [ { deny: all, topic: forbidden } ]";

// Clients.

/// A client with a clean session that ends with the connection.
pub fn client(weir: &Weir, client_id: &str) -> Client {
    weir.client(Version::V5, "t", client_id)
}

/// A client that connected with these properties, and whether its session was there.
pub fn connect_with(weir: &Weir, client_id: &str, clean_start: bool, wanted: &[Property<'_>]) -> (Client, bool) {
    let mut properties = PropertyBuf::new();
    wanted.iter().for_each(|property| properties.push(*property));
    let properties = properties.as_properties();
    let connect = Connect { clean_start, properties, ..connect(Version::V5, "t", client_id) };
    let (client, connack) = weir.try_connect(&connect);
    assert_eq!(connack[3], 0, "CONNACK accepts: {connack:02x?}");
    (client, connack[2] == 1)
}

/// A client whose session stays for an hour, whether it is new or was there.
pub fn durable(weir: &Weir, client_id: &str) -> Client {
    connect_with(weir, client_id, false, &[Property::SessionExpiryInterval(3600)]).0
}

/// A client with a clean session that takes at most so many QoS 1 and 2 messages at a time.
pub fn client_with_quota(weir: &Weir, client_id: &str, receive_maximum: u16) -> Client {
    connect_with(weir, client_id, true, &[Property::ReceiveMaximum(receive_maximum)]).0
}

/// A client with a clean session that has subscribed this at this QoS.
pub fn subscriber(weir: &Weir, client_id: &str, filter: &str, qos: QoS) -> Client {
    let mut client = client(weir, client_id);
    client.subscribe(filter, qos);
    client
}

/// A client with a session that stays, and that has subscribed this at this QoS.
pub fn durable_subscriber(weir: &Weir, client_id: &str, filter: &str, qos: QoS) -> Client {
    let mut client = durable(weir, client_id);
    client.subscribe(filter, qos);
    client
}

// Frames.

/// A frame of less than 128 bytes.
pub fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[first, u8::try_from(body.len()).expect("a short frame")], body.as_slice()].concat()
}

/// A length in two bytes, and the text.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("a short text").to_be_bytes(), bytes].concat()
}

/// PUBACK (0x40), PUBREC (0x50), PUBREL (0x62) or PUBCOMP (0x70) with success.
pub fn ack(first: u8, packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [first, 2, high, low]
}

/// The same with a reason code.
pub fn ack_with(first: u8, packet_id: u16, reason: u8) -> [u8; 5] {
    let [high, low] = packet_id.to_be_bytes();
    [first, 3, high, low, reason]
}

/// A PUBLISH without properties. At QoS 0 (`first` is 0x30) it has no packet identifier.
pub fn publish(first: u8, topic: &[u8], packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let packet_id = packet_id.to_be_bytes();
    let packet_id: &[u8] = if first & 0x06 == 0 { &[] } else { &packet_id };
    frame(first, &[&text(topic), packet_id, &[0], payload])
}

/// A SUBSCRIBE of these filters, each with its Subscription Options.
pub fn subscribe(packet_id: u16, filters: &[(&[u8], u8)]) -> Vec<u8> {
    subscribe_with(packet_id, &[], filters)
}

/// The same with these properties.
pub fn subscribe_with(packet_id: u16, properties: &[u8], filters: &[(&[u8], u8)]) -> Vec<u8> {
    let filters: Vec<u8> =
        filters.iter().flat_map(|(filter, options)| [text(filter), vec![*options]].concat()).collect();
    let length = u8::try_from(properties.len()).expect("few");
    frame(0x82, &[&packet_id.to_be_bytes(), &[length], properties, &filters])
}

pub fn unsubscribe(packet_id: u16, filters: &[&[u8]]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|filter| text(filter)).collect();
    frame(0xA2, &[&packet_id.to_be_bytes(), &[0], &filters])
}

/// A SUBACK (0x90) or UNSUBACK (0xB0) without properties.
pub fn answer(first: u8, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    frame(first, &[&packet_id.to_be_bytes(), &[0], codes])
}

/// The codes of a SUBACK, or of an UNSUBACK, whatever its properties (of less than 128 bytes).
pub fn codes(answer: &[u8]) -> &[u8] {
    &answer[5 + usize::from(answer[4])..]
}

// Exchanges.

/// Publishes with packet identifier 1 and waits until the broker has the message, and everyone it is for has it waiting.
#[track_caller]
pub fn send(publisher: &mut Client, topic: &str, payload: &[u8], qos: QoS) {
    publisher.publish(topic, payload, qos, 1);
    let took = |frame: Vec<u8>| assert!(frame.len() == 4 || frame[4] == 0x10, "it is taken: {frame:02x?}");
    match qos {
        QoS::AtMostOnce => publisher.expect_nothing(),
        QoS::AtLeastOnce => took(publisher.frame()),
        QoS::ExactlyOnce => {
            took(publisher.frame());
            publisher.send_bytes(&ack(0x62, 1));
            publisher.expect(&ack(0x70, 1));
        }
    }
}

/// Everything that is on its way to the client, now that whoever sent it knows that it was handled. The first PINGREQ may be
/// answered before what waits for the client is written, the second cannot be.
#[track_caller]
pub fn rest(client: &mut Client) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for _ in 0..2 {
        client.send_bytes(&[0xC0, 0]);
        loop {
            match client.frame() {
                pong if pong == [0xD0, 0] => break,
                frame => frames.push(frame),
            }
        }
    }
    frames
}

/// The messages that are on their way to the client, and nothing else is.
#[track_caller]
pub fn deliveries(client: &mut Client) -> Vec<Received> {
    let received = |frame: Vec<u8>| {
        assert_eq!(frame[0] >> 4, 3, "a PUBLISH: {frame:02x?}");
        Received::parse(Version::V5, &frame)
    };
    rest(client).into_iter().map(received).collect()
}

/// Their payloads.
#[track_caller]
pub fn payloads(client: &mut Client) -> Vec<String> {
    deliveries(client).iter().map(|received| received.text().to_owned()).collect()
}

/// The broker says that it ends the connection, for this reason, and does.
#[track_caller]
pub fn expect_disconnect(client: &mut Client, reason: u8) {
    let frame = client.frame();
    assert_eq!((frame[0], frame[2]), (0xE0, reason), "a DISCONNECT: {frame:02x?}");
    client.expect_closed();
}

/// Each of these, sent by a client of its own, ends its connection for this reason.
#[track_caller]
pub fn each_ends_the_connection(weir: &Weir, reason: u8, packets: &[Vec<u8>]) {
    for packet in packets {
        let mut villain = client(weir, "villain");
        villain.send_bytes(packet);
        let frame = villain.frame();
        assert_eq!((frame[0], frame[2]), (0xE0, reason), "for {packet:02x?}: {frame:02x?}");
        villain.expect_closed();
    }
}

/// The packet that answers `ask`, for a client that takes packets of at most this size.
pub fn answer_within(weir: &Weir, maximum_packet_size: usize, ask: &[u8]) -> Vec<u8> {
    let size = Property::MaximumPacketSize(maximum_packet_size as u32);
    let (mut client, _) = connect_with(weir, "asker", true, &[size]);
    client.send_bytes(ask);
    client.frame()
}

/// `ask` is answered with `what` among the rest where a packet of that length may be sent, and with `bare` where it may be one
/// byte shorter only.
#[track_caller]
pub fn is_left_out_where_it_does_not_fit(weir: &Weir, ask: &[u8], what: &[u8], bare: &[u8]) {
    let whole = answer_within(weir, 1000, ask);
    assert!(whole.windows(what.len()).any(|part| part == what), "{whole:02x?}");
    assert_eq!(answer_within(weir, whole.len(), ask), whole);
    assert_eq!(answer_within(weir, whole.len() - 1, ask), bare);
}

/// What a Reason String begins with: its identifier, and the length of a text of less than 256 bytes.
pub const REASON_STRING: [u8; 2] = [0x1F, 0];
/// A User Property of every denial, to the length of its value.
pub const RETRY_AFTER: &[u8] = b"\x26\x00\x0Bretry-after\x00";
/// A Maximum Packet Size that has room for an acknowledgement, and none for any text.
pub const SMALL: usize = 20;
