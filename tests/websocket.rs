//! MQTT over WebSocket (section 6 of both specifications), against the real binary.

mod common;

use std::net::TcpStream;

use common::{Client, PATIENCE, Weir, connect};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use weir::wire::{Packet, QoS, Version};

const PLANS: &str = "plans: { p: {} }\nprofiles: { a: { plan: p, devices: { d: { token: t } } } }\n";

fn open(weir: &Weir, subprotocols: Option<&'static str>) -> Result<(WebSocket<TcpStream>, Response), Error> {
    let address = weir.websocket_address();
    let stream = TcpStream::connect(address).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut request = format!("ws://{address}/mqtt").into_client_request().expect("a request");
    if let Some(offer) = subprotocols {
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(offer));
    }
    client(request, stream).map_err(|error| match error {
        tokio_tungstenite::tungstenite::HandshakeError::Failure(error) => error,
        interrupted => panic!("{interrupted}"),
    })
}

fn connect_bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet::Connect(connect(Version::V4, "t", "browser")).encode(Version::V4, &mut bytes).expect("well-formed");
    bytes
}

fn next_binary(socket: &mut WebSocket<TcpStream>) -> Vec<u8> {
    match socket.read().expect("a message") {
        Message::Binary(bytes) => bytes.to_vec(),
        other => panic!("a binary message: {other:?}"),
    }
}

#[test]
fn the_subprotocol_mqtt_is_chosen_and_packets_travel_in_binary_frames() {
    let weir = Weir::with_websocket(PLANS);
    let (mut socket, response) = open(&weir, Some("other, mqtt")).expect("an upgrade");
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    socket.send(Message::Binary(connect_bytes().into())).expect("sent");
    assert_eq!(next_binary(&mut socket), [0x20, 2, 0, 0]);

    // What is published over TCP arrives over WebSocket.
    socket.send(Message::Binary([0x82, 6, 0, 1, 0, 1, b't', 0].to_vec().into())).expect("sent");
    assert_eq!(next_binary(&mut socket), [0x90, 3, 0, 1, 0]);
    weir.client(Version::V5, "t", "tcp").publish("t", b"hi", QoS::AtMostOnce, 0);
    assert_eq!(next_binary(&mut socket), [0x30, 5, 0, 1, b't', b'h', b'i']);
}

#[test]
fn packets_need_not_line_up_with_frames() {
    let weir = Weir::with_websocket(PLANS);
    let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
    let mut bytes = connect_bytes();
    bytes.extend([0xC0, 0, 0xC0]);
    for part in bytes.chunks(5) {
        socket.send(Message::Binary(part.to_vec().into())).expect("sent");
    }
    socket.send(Message::Binary(vec![0].into())).expect("sent");
    let mut answers = Vec::new();
    while answers.len() < 8 {
        answers.extend(next_binary(&mut socket));
    }
    assert_eq!(answers, [0x20, 2, 0, 0, 0xD0, 0, 0xD0, 0]);
}

#[test]
fn a_text_frame_closes_the_connection() {
    let weir = Weir::with_websocket(PLANS);
    let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
    socket.send(Message::Binary(connect_bytes().into())).expect("sent");
    next_binary(&mut socket);
    socket.send(Message::Text("PINGREQ".into())).expect("sent");
    assert!(matches!(socket.read(), Ok(Message::Close(_)) | Err(_)));
}

#[test]
fn a_client_that_offers_no_mqtt_subprotocol_is_refused() {
    let weir = Weir::with_websocket(PLANS);
    for offer in [None, Some("chat")] {
        match open(&weir, offer) {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn plain_mqtt_on_a_websocket_listener_is_closed_and_so_is_silence_in_time() {
    let mut weir = Weir::with_websocket(PLANS);
    let mut plain = Client::to(weir.websocket_address());
    plain.send_bytes(&connect_bytes());
    plain.send_bytes(b"\r\n\r\n");
    assert!(plain.ends_without_mqtt());
    let mut silent = Client::to(weir.websocket_address());
    // One that was accepted later is served: so the silent one was accepted.
    open(&weir, Some("mqtt")).expect("an upgrade");
    weir.clock("+10s");
    silent.expect_closed();
}
