//! Enhanced authentication (MQTT 5, section 4.12) with the built-in SCRAM-SHA-256, on the wire.

mod common;
#[path = "common/scram.rs"]
mod scram;

use scram::{FIRST, METHOD, authenticated, begin, expect_auth, prove, send_auth, weir};
use weir::wire::{ReasonCode, Version};

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
