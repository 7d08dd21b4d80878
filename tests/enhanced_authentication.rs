//! Enhanced authentication (MQTT 5, section 4.12) with the built-in SCRAM-SHA-256, on the wire.

mod common;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use common::{Client, Weir, connect};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use weir::config::ScramKeys;
use weir::wire::{Auth, Connect, Packet, Property, PropertyBuf, ReasonCode, Version, frame_header};

const METHOD: &str = "SCRAM-SHA-256";
const FIRST: &str = "n,,n=panel,r=client-nonce";

fn weir() -> Weir {
    let keys = ScramKeys::derive(b"pencil", b"some salt", 4096);
    Weir::at(
        "2026-11-21T12:45:09Z",
        &format!(
            "plans: {{ p: {{}} }}\nprofiles: {{ a: {{ plan: p, devices: {{\n  \
             panel: {{ username: panel, scram: \"{keys}\" }}, pump: {{ token: pump }} }} }} }}\n"
        ),
    )
}

fn properties(method: &str, data: &str) -> PropertyBuf {
    let mut properties = PropertyBuf::new();
    properties.push(Property::AuthenticationMethod(method));
    properties.push(Property::AuthenticationData(data.as_bytes()));
    properties
}

fn begin(weir: &Weir, method: &str, data: &str) -> Client {
    let properties = properties(method, data);
    let mut client = weir.raw();
    client.send(&Packet::Connect(Connect {
        user_name: None,
        password: None,
        properties: properties.as_properties(),
        ..connect(Version::V5, "", "panel")
    }));
    client
}

fn send_auth(client: &mut Client, reason: ReasonCode, method: &str, data: &str) {
    let properties = properties(method, data);
    client.send(&Packet::Auth(Auth { reason, properties: properties.as_properties() }));
}

/// The next frame is an AUTH with this reason; its data.
#[track_caller]
fn expect_auth(client: &mut Client, reason: ReasonCode) -> String {
    let frame = client.frame();
    let header = frame_header(&frame, usize::MAX).expect("a frame").expect("whole");
    let packet = Packet::decode(Version::V5, header.first, &frame[header.header_len..]).expect("a packet");
    let Packet::Auth(auth) = packet else { panic!("an AUTH: {packet:?}") };
    assert_eq!(auth.reason, reason);
    assert_eq!(auth.properties.authentication_method(), Some(METHOD));
    String::from_utf8(auth.properties.authentication_data().unwrap_or_default().to_vec()).expect("text")
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The client's last message, and what the broker must answer to it.
fn prove(challenge: &str, password: &str) -> (String, String) {
    let field = |name: &str| challenge.split(',').find_map(|f| f.strip_prefix(name)).expect("a field");
    let (salt, iterations) = (BASE64.decode(field("s=")).expect("base64"), field("i=").parse().expect("a number"));
    let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, iterations);
    let client_key = hmac(&salted, "Client Key");
    let without_proof = format!("c=biws,r={}", field("r="));
    let signed = format!("n=panel,r=client-nonce,{challenge},{without_proof}");
    let mut proof = hmac(&Sha256::digest(client_key), &signed);
    proof.iter_mut().zip(client_key).for_each(|(p, k)| *p ^= k);
    let server = BASE64.encode(hmac(&hmac(&salted, "Server Key"), &signed));
    (format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={server}"))
}

/// A client that has proved its password.
fn authenticated(weir: &Weir) -> Client {
    let mut client = begin(weir, METHOD, FIRST);
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    let (last, server) = prove(&challenge, "pencil");
    send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
    let connack = client.frame();
    let header = frame_header(&connack, usize::MAX).expect("a frame").expect("whole");
    let packet = Packet::decode(Version::V5, header.first, &connack[header.header_len..]).expect("a packet");
    let Packet::ConnAck(connack) = packet else { panic!("a CONNACK: {packet:?}") };
    assert_eq!(connack.code, 0);
    assert_eq!(connack.properties.authentication_method(), Some(METHOD));
    assert_eq!(connack.properties.authentication_data(), Some(server.as_bytes()), "the broker proves itself too");
    client
}

#[test]
fn a_client_proves_its_password_without_sending_it_and_is_connected() {
    let weir = weir();
    authenticated(&weir).expect_nothing();
}

#[test]
fn a_wrong_proof_is_refused_as_bad_user_name_or_password() {
    let weir = weir();
    for (first, password) in [(FIRST, "pen"), ("n,,n=nobody,r=client-nonce", "pencil")] {
        let mut client = begin(&weir, METHOD, first);
        let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
        let (last, _) = prove(&challenge, password);
        send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
        let connack = client.frame();
        assert_eq!((connack[0], connack[3]), (0x20, ReasonCode::BadUserNameOrPassword as u8), "{first}");
        client.expect_closed();
    }
}

#[test]
fn a_method_that_is_not_offered_is_refused() {
    let weir = weir();
    let mut client = begin(&weir, "GSSAPI", "x");
    assert_eq!(client.frame()[3], ReasonCode::BadAuthenticationMethod as u8);
    client.expect_closed();
}

#[test]
fn a_client_that_sends_something_else_during_the_exchange_is_closed() {
    let weir = weir();
    let mut client = begin(&weir, METHOD, FIRST);
    expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    client.send_bytes(&[0xC0, 0]);
    client.expect_closed();
}

#[test]
fn an_exchange_that_stops_half_way_is_closed_after_the_handshake_timeout() {
    let mut weir = weir();
    let mut client = begin(&weir, METHOD, FIRST);
    expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    weir.clock("+10s");
    client.expect_closed();
}

#[test]
fn a_connected_client_authenticates_once_more_and_is_disconnected_if_it_fails() {
    let weir = weir();
    let mut client = authenticated(&weir);
    send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    // Other packets go on meanwhile.
    client.expect_nothing();
    let (last, server) = prove(&challenge, "pencil");
    send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
    assert_eq!(expect_auth(&mut client, ReasonCode::Success), server);

    send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    let (last, _) = prove(&challenge, "pen");
    send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
    let disconnect = client.frame();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, ReasonCode::NotAuthorized as u8));
    client.expect_closed();
}

#[test]
fn auth_with_another_method_or_out_of_turn_or_without_one_in_connect_is_a_protocol_error() {
    let weir = weir();
    let wrong = [(ReasonCode::ReAuthenticate, "OTHER"), (ReasonCode::ContinueAuthentication, METHOD)];
    for (reason, method) in wrong {
        let mut client = authenticated(&weir);
        send_auth(&mut client, reason, method, "x");
        let disconnect = client.frame();
        assert_eq!((disconnect[0], disconnect[2]), (0xE0, ReasonCode::ProtocolError as u8));
        client.expect_closed();
    }
    let mut client = weir.client(Version::V5, "pump", "pump");
    send_auth(&mut client, ReasonCode::ReAuthenticate, METHOD, FIRST);
    assert_eq!(client.frame()[2], ReasonCode::ProtocolError as u8);
    client.expect_closed();
}
