//! Credentials: the ways in which a token, or a user name and a password, are shown, and what is answered to wrong ones or
//! none.

use argon2::{Algorithm, Argon2, Params, PasswordHasher};
use weir::wire::{Connect, Packet, Version};

use crate::common::{Weir, connect, publish};
use crate::kit::{Q0, Q1, TIME, VERSIONS};

const PASSWORD: &[u8] = b"open sesame";

/// Devices with each kind of credential; `more` may let in clients that have none.
fn broker(more: &str) -> Weir {
    // As weak as it can be, to be quick.
    let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    let hash = argon2.hash_password_with_salt(PASSWORD, b"salt of the test").unwrap().to_string();
    // The SHA-256 of `tok-sha`.
    let sha256 = "815a25fe4603cc7614a0bafdf19d3ceba99e1c1e06e8e7f3309dd679ef665309";
    Weir::at(
        TIME,
        &format!(
            "plans: {{ free: {{}} }}\n\
             profiles:\n  \
               acme:\n    plan: free\n    devices:\n      \
                 plain: {{ token: tok-plain }}\n      \
                 hashed: {{ token_sha256: {sha256} }}\n      \
                 panel: {{ username: panel, password_hash: \"{hash}\" }}\n  \
               guests: {{ plan: free }}\n{more}"
        ),
    )
}

/// The CONNACK's code for these credentials; a refused connection must be closed.
fn answer(weir: &Weir, version: Version, user_name: Option<&str>, password: Option<&[u8]>) -> u8 {
    let (mut client, connack) = weir.try_connect(&Connect { user_name, password, ..connect(version, "", "c") });
    if connack[3] == 0 {
        client.nothing();
    } else {
        assert_eq!(connack[2], 0, "[MQTT-3.2.2-6]");
        client.expect_closed();
    }
    connack[3]
}

#[test]
fn a_token_is_the_password_of_the_user_name_token_in_any_case_or_the_user_name_alone() {
    let mut weir = broker("");
    for version in VERSIONS {
        for (token, device) in [("tok-plain", "plain"), ("tok-sha", "hashed")] {
            for name in ["Token", "token", "TOKEN", "tOkEn"] {
                assert_eq!(answer(&weir, version, Some(name), Some(token.as_bytes())), 0, "{name}");
                weir.wait_for_log(&format!("connected profile=acme device=\"{device}\""));
            }
            assert_eq!(answer(&weir, version, Some(token), None), 0);
            weir.wait_for_log(&format!("connected profile=acme device=\"{device}\""));
        }
    }
}

#[test]
fn mqtt_5_can_show_a_token_as_password_alone() {
    let mut weir = broker("");
    assert_eq!(answer(&weir, Version::V5, None, Some(b"tok-sha")), 0);
    weir.wait_for_log("connected profile=acme device=\"hashed\"");
    assert_eq!(answer(&weir, Version::V5, Some(""), Some(b"tok-plain")), 0);
    weir.wait_for_log("connected profile=acme device=\"plain\"");
}

#[test]
fn the_log_tells_a_connection_in_one_line_whatever_the_client_is_called() {
    let mut weir = broker("");
    let client = weir.client(Version::V5, "tok-plain", "pump\nconnected profile=guests");
    let peer = client.stream().local_addr().expect("a socket");
    let line = weir.wait_for_log("connected profile=acme");
    let told = format!("client=\"pump\\nconnected profile=guests\" version=5 peer={peer} resumed=false");
    assert!(line.ends_with(&told), "{line}");
}

#[test]
fn a_user_name_and_its_password_are_checked_against_the_hash() {
    let mut weir = broker("");
    for version in VERSIONS {
        assert_eq!(answer(&weir, version, Some("panel"), Some(PASSWORD)), 0);
        weir.wait_for_log("connected profile=acme device=\"panel\"");
    }
}

#[test]
fn wrong_credentials_are_refused_as_such_in_every_version() {
    let cases: [(Option<&str>, Option<&[u8]>); 11] = [
        (Some("Token"), Some(b"tok-other")),
        (Some("Token"), Some(b"")),
        (Some("Token"), Some(b"tok-plain ")),
        (Some("Token"), None),
        (Some("tok-other"), None),
        (Some("tok-plain"), Some(b"tok-plain")),
        (Some("panel"), Some(b"open sesam")),
        (Some("panel"), Some(b"")),
        (Some("panel"), None),
        (Some("nobody"), Some(PASSWORD)),
        // The hash is no password.
        (Some("Token"), Some(b"815a25fe4603cc7614a0bafdf19d3ceba99e1c1e06e8e7f3309dd679ef665309")),
    ];
    for anonymous in ["", "anonymous: guests\n"] {
        let weir = broker(&format!("{anonymous}admission: {{ failed_connects_per_ip: 1000/min }}\n"));
        for version in VERSIONS {
            let refused = if version == Version::V5 { 0x86 } else { 4 };
            for (name, password) in cases {
                assert_eq!(answer(&weir, version, name, password), refused, "{name:?} and {password:?}");
            }
        }
    }
}

#[test]
fn none_are_refused_where_some_are_needed_and_otherwise_mean_the_anonymous_profile() {
    let weir = broker("");
    for version in VERSIONS {
        let needed = if version == Version::V5 { 0x87 } else { 5 };
        assert_eq!(answer(&weir, version, None, None), needed);
    }
    let mut weir = broker("anonymous: guests\n");
    for version in VERSIONS {
        assert_eq!(answer(&weir, version, None, None), 0);
        weir.wait_for_log("connected profile=guests device=\"-\"");
        assert_eq!(answer(&weir, version, Some("panel"), Some(PASSWORD)), 0);
        weir.wait_for_log("connected profile=acme device=\"panel\"");
    }
}

#[test]
fn a_refused_client_disturbs_no_session_of_its_client_id() {
    let weir = broker("");
    let mut client = weir.client(Version::V5, "tok-plain", "c");
    assert_eq!(answer(&weir, Version::V5, Some("Token"), Some(b"wrong")), 0x86);
    client.nothing();
}

#[test]
fn what_is_sent_behind_a_refused_connect_is_not_handled() {
    let weir = broker("");
    let mut witness = weir.client(Version::V4, "tok-plain", "witness");
    witness.subscribe("#", Q1);
    let mut bytes = Vec::new();
    Packet::Connect(connect(Version::V4, "wrong", "c")).encode(Version::V4, &mut bytes).unwrap();
    Packet::Publish(publish("t", b"m", Q0, 0)).encode(Version::V4, &mut bytes).unwrap();
    let mut client = weir.raw();
    client.send_bytes(&bytes);
    client.expect(&[0x20, 2, 0, 4]);
    client.expect_closed();
    witness.nothing();
}
