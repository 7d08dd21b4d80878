//! A client's side of SCRAM-SHA-256, for the tests of enhanced authentication (MQTT 5, section 4.12): a broker with a device
//! that has such keys, and each step that its client takes. It proves; what the broker makes of it is the tests' business.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use weir::config::ScramKeys;
use weir::wire::{Auth, ConnAck, Connect, Packet, Property, PropertyBuf, ReasonCode, Version, frame_header};

use crate::common::{Client, Weir, connect};

pub const METHOD: &str = "SCRAM-SHA-256";
/// The client's first message.
pub const FIRST: &str = "n,,n=panel,r=client-nonce";
/// The password that is right.
pub const PASSWORD: &str = "pencil";

/// A broker with the device `panel`, which proves a password, and `pump`, which has a token.
pub fn weir() -> Weir {
    let keys = ScramKeys::derive(PASSWORD.as_bytes(), b"some salt", 4096);
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

/// A client that has sent a CONNECT with this method and data.
pub fn begin(weir: &Weir, method: &str, data: &str) -> Client {
    begin_with(weir, &[], method, data)
}

/// The same, with these properties in the CONNECT too.
pub fn begin_with(weir: &Weir, more: &[Property<'_>], method: &str, data: &str) -> Client {
    let mut properties = properties(method, data);
    more.iter().for_each(|property| properties.push(*property));
    let mut client = weir.raw();
    client.send(&Packet::Connect(Connect {
        user_name: None,
        password: None,
        properties: properties.as_properties(),
        ..connect(Version::V5, "", "panel")
    }));
    client
}

pub fn send_auth(client: &mut Client, reason: ReasonCode, method: &str, data: &str) {
    let properties = properties(method, data);
    client.send(&Packet::Auth(Auth { reason, properties: properties.as_properties() }));
}

/// What a frame holds.
pub fn decode(frame: &[u8]) -> Packet<'_> {
    let header = frame_header(frame, usize::MAX).expect("a frame").expect("whole");
    Packet::decode(Version::V5, header.first, &frame[header.header_len..]).expect("a packet")
}

/// The next frame is an AUTH with this reason; its data.
#[track_caller]
pub fn expect_auth(client: &mut Client, reason: ReasonCode) -> String {
    let frame = client.frame();
    let packet = decode(&frame);
    let Packet::Auth(auth) = packet else { panic!("an AUTH: {packet:?}") };
    assert_eq!(auth.reason, reason);
    assert_eq!(auth.properties.authentication_method(), Some(METHOD));
    String::from_utf8(auth.properties.authentication_data().unwrap_or_default().to_vec()).expect("text")
}

/// What a CONNACK frame holds.
#[track_caller]
pub fn connack(frame: &[u8]) -> ConnAck<'_> {
    let packet = decode(frame);
    let Packet::ConnAck(connack) = packet else { panic!("a CONNACK: {packet:?}") };
    connack
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The client's last message, and what the broker must answer to it.
pub fn prove(challenge: &str, password: &str) -> (String, String) {
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
pub fn authenticated(weir: &Weir) -> Client {
    let mut client = begin(weir, METHOD, FIRST);
    let challenge = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    let (last, server) = prove(&challenge, PASSWORD);
    send_auth(&mut client, ReasonCode::ContinueAuthentication, METHOD, &last);
    let frame = client.frame();
    let connack = connack(&frame);
    assert_eq!(connack.code, 0);
    assert_eq!(connack.properties.authentication_method(), Some(METHOD));
    assert_eq!(connack.properties.authentication_data(), Some(server.as_bytes()), "the broker proves itself too");
    client
}
