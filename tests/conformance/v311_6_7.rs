//! MQTT 3.1.1, chapters 6 and 7: MQTT over WebSocket, and what it is to conform.

use std::net::TcpStream;

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use weir::wire::QoS;

use crate::common::{PATIENCE, Weir};
use crate::v311::*;

/// Opens a WebSocket that offers these subprotocols.
fn open(weir: &Weir, offer: Option<&'static str>) -> Result<(WebSocket<TcpStream>, Response), Error> {
    let address = weir.websocket_address();
    let stream = TcpStream::connect(address).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut request = format!("ws://{address}/mqtt").into_client_request().expect("a request");
    if let Some(offer) = offer {
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(offer));
    }
    client(request, stream).map_err(|error| match error {
        HandshakeError::Failure(error) => error,
        interrupted => panic!("{interrupted}"),
    })
}

/// Sends these parts of a stream of packets, each in a frame of its own, and reads as many bytes of answers.
fn exchange(socket: &mut WebSocket<TcpStream>, parts: &[&[u8]], answer: &[u8]) {
    for part in parts {
        socket.send(Message::Binary(part.to_vec().into())).expect("sent");
    }
    let mut answers = Vec::new();
    while answers.len() < answer.len() {
        match socket.read().expect("a frame") {
            Message::Binary(bytes) => answers.extend(bytes),
            other => panic!("a binary frame: {other:?}"),
        }
    }
    assert_eq!(answers, answer);
}

#[test]
fn v311_6_0_0_1_packets_are_sent_in_binary_frames_and_any_other_frame_closes_the_connection() {
    let weir = Weir::with_websocket(OPEN);
    let mut subscriber = subscriber(&weir, "will", QoS::AtMostOnce);
    let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
    let connect = connect_frame(CLEAN | 0x04, &[&text(b"c"), &text(b"will"), &text(b"dead")]);
    exchange(&mut socket, &[&connect], &[0x20, 2, 0, 0]);
    socket.send(Message::Text("0".into())).expect("sent");
    assert!(matches!(socket.read(), Ok(Message::Close(_)) | Err(_)));
    assert_eq!(subscriber.expect_publish().text(), "dead");
}

#[test]
fn v311_6_0_0_2_packets_need_not_be_aligned_with_frames() {
    let weir = Weir::with_websocket(OPEN);
    let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
    let bytes = [connect_frame(CLEAN, &[&text(b"c")]), vec![0xC0, 0], subscribe_frame(b"t"), vec![0xC0, 0]].concat();
    let answer = [0x20, 2, 0, 0, 0xD0, 0, 0x90, 3, 0, 1, 0, 0xD0, 0];
    // All in one, one by one.
    exchange(&mut socket, &[&bytes], &answer);
    let (mut socket, _) = open(&weir, Some("mqtt")).expect("an upgrade");
    exchange(&mut socket, &bytes.chunks(1).collect::<Vec<_>>(), &answer);
}

#[test]
fn v311_6_0_0_3_a_client_that_does_not_offer_the_subprotocol_mqtt_gets_no_websocket() {
    let weir = Weir::with_websocket(OPEN);
    for offer in [None, Some("chat"), Some("mqttv3.1, amqp")] {
        assert!(matches!(open(&weir, offer), Err(Error::Http(_))), "{offer:?}");
    }
}

#[test]
fn v311_6_0_0_4_the_subprotocol_that_is_chosen_is_mqtt() {
    let weir = Weir::with_websocket(OPEN);
    for offer in ["mqtt", "mqttv3.1, mqtt", "mqtt, chat"] {
        let (_, response) = open(&weir, Some(offer)).expect("an upgrade");
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    }
}

#[test]
fn v311_7_0_0_2_a_client_that_knows_no_more_than_the_specification_is_served() {
    let weir = weir();
    let mut client = is_answered(&weir, &connect_frame(CLEAN, &[&text(b"c")]), 0);
    client.send_bytes(&frame(0x82, &[&[0, 1], &text(b"#"), &[2]]));
    client.expect(&[0x90, 3, 0, 1, 2]);
    let mut sender = is_answered(&weir, &connect_frame(0, &[&text(b"d")]), 0);
    for (qos, frame) in [
        (QoS::AtMostOnce, &b"\x30\x06\x00\x03a/bx"[..]),
        (QoS::AtLeastOnce, b"\x32\x08\x00\x03a/b\x00\x01x"),
        (QoS::ExactlyOnce, b"\x34\x08\x00\x03a/b\x00\x02x"),
    ] {
        put(&mut sender, "a/b", "x", qos);
        client.expect(frame);
    }
    sender.disconnect();
    client.disconnect();
}

#[test]
fn v311_7_1_1_1_packets_are_carried_by_a_stream_of_bytes_however_it_is_cut() {
    let weir = weir();
    let mut client = weir.raw();
    let bytes = [connect_frame(CLEAN, &[&text(b"c")]), subscribe_frame(b"t"), publish_frame(b"t")].concat();
    bytes.iter().for_each(|byte| client.send_bytes(&[*byte]));
    client.expect(&[0x20, 2, 0, 0]);
    client.expect(&[0x90, 3, 0, 1, 0]);
    client.expect(b"\x30\x04\x00\x01tx");
}
