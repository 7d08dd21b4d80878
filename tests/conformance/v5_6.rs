//! MQTT 5, section 6: MQTT over WebSocket.

use std::net::TcpStream;

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use weir::wire::{Packet, Version};

use crate::common::{PATIENCE, Weir, connect};
use crate::v5_setup::*;

/// A client's side of a WebSocket.
pub struct Socket {
    inner: WebSocket<TcpStream>,
    /// What came and was not looked at yet.
    received: Vec<u8>,
}

impl Socket {
    /// Sends these bytes in one binary message.
    pub fn send(&mut self, bytes: &[u8]) {
        self.inner.send(Message::Binary(bytes.to_vec().into())).expect("the broker reads");
    }

    /// The next so many bytes, which came in binary messages.
    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            match self.inner.read().expect("a message") {
                Message::Binary(bytes) => self.received.extend_from_slice(&bytes),
                other => panic!("a binary message: {other:?}"),
            }
        }
        self.received.drain(..count).collect()
    }

    /// A PINGREQ goes there and back.
    fn expect_nothing(&mut self) {
        self.send(&[0xC0, 0]);
        assert_eq!(self.receive(2), [0xD0, 0]);
    }

    /// The broker has closed the connection, and no MQTT packet came before that.
    fn expect_closed(&mut self) {
        assert!(self.received.is_empty());
        match self.inner.read() {
            Ok(Message::Close(_)) | Err(_) => {}
            Ok(other) => panic!("a message where the end was expected: {other:?}"),
        }
    }
}

fn weir() -> Weir {
    Weir::with_websocket(&config("", ""))
}

/// Asks for a WebSocket, with this offer of subprotocols.
fn open(weir: &Weir, subprotocols: Option<&'static str>) -> Result<(Socket, Response), Box<Error>> {
    let address = weir.websocket_address();
    let stream = TcpStream::connect(address).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut request = format!("ws://{address}/mqtt").into_client_request().expect("a request");
    if let Some(offer) = subprotocols {
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(offer));
    }
    match client(request, stream) {
        Ok((inner, response)) => Ok((Socket { inner, received: Vec::new() }, response)),
        Err(HandshakeError::Failure(error)) => Err(Box::new(error)),
        Err(HandshakeError::Interrupted(_)) => panic!("nothing came"),
    }
}

fn connect_frame(client_id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet::Connect(connect(Version::V5, "t", client_id)).encode(Version::V5, &mut bytes).expect("well-formed");
    bytes
}

/// A client that is connected over WebSocket.
pub fn connected(weir: &Weir, client_id: &str) -> Socket {
    let (mut socket, _) = open(weir, Some("mqtt")).expect("an upgrade");
    socket.send(&connect_frame(client_id));
    expect_connack(&mut socket);
    socket
}

fn expect_connack(socket: &mut Socket) {
    let header = socket.receive(2);
    let rest = socket.receive(header[1].into());
    assert_eq!((header[0], rest[1]), (0x20, 0));
}

#[test]
fn v5_6_0_0_1_packets_travel_in_binary_frames_and_any_other_data_frame_closes_the_connection() {
    let weir = weir();
    // What is received is checked to be binary, in every test.
    let mut socket = connected(&weir, "client");
    // A PINGREQ, but as text.
    socket.inner.send(Message::Text("\u{40}\0".into())).expect("the broker reads");
    socket.expect_closed();
    let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
    socket.inner.send(Message::Text("MQTT".into())).expect("the broker reads");
    socket.expect_closed();
    // A ping of WebSocket itself is no data frame.
    let mut socket = connected(&weir, "client");
    socket.inner.send(Message::Ping(vec![1].into())).expect("the broker reads");
    assert_eq!(socket.inner.read().expect("a message"), Message::Pong(vec![1].into()));
    socket.expect_nothing();
}

#[test]
fn v5_6_0_0_2_packets_need_not_begin_or_end_with_websocket_frames() {
    let weir = weir();
    let publish = publish(0x32, b"t", 7, b"payload");
    let bytes = [&connect_frame("client")[..], &subscribe(1, &[(b"t", 0)]), &publish, &[0xC0, 0]].concat();
    for size in [1, 2, 3, 7, 20, bytes.len()] {
        let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
        bytes.chunks(size).for_each(|part| socket.send(part));
        expect_connack(&mut socket);
        assert_eq!(socket.receive(6), answer(0x90, 1, &[0]));
        assert_eq!(socket.receive(4), ack(0x40, 7));
        // The message itself comes before the PINGRESP or behind it.
        let mut both = socket.receive(15);
        if both[0] == 0xD0 {
            both.rotate_left(2);
        }
        assert_eq!(both, [&self::publish(0x30, b"t", 0, b"payload")[..], &[0xD0, 0]].concat());
    }
}

#[test]
fn v5_6_0_0_3_a_client_that_does_not_offer_the_subprotocol_mqtt_is_refused() {
    let weir = weir();
    for offer in [None, Some("chat"), Some("mqttv3.1"), Some("MQTT5, chat")] {
        match open(&weir, offer) {
            Err(error) => assert!(matches!(&*error, Error::Http(answer) if answer.status() == 400), "{error:?}"),
            Ok(_) => panic!("an upgrade with {offer:?}"),
        }
    }
}

#[test]
fn v5_6_0_0_4_the_server_selects_the_subprotocol_mqtt() {
    let weir = weir();
    for offer in ["mqtt", "chat, mqtt", "mqtt, mqttv3.1"] {
        let (_, response) = open(&weir, Some(offer)).expect("an upgrade");
        let selected: Vec<_> = response.headers().get_all("Sec-WebSocket-Protocol").iter().collect();
        assert_eq!(selected, ["mqtt"]);
    }
}
