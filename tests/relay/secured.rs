//! A backend that asks for credentials, and one behind TLS.

use std::process::Command;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A password file with the user `weir`.
fn password_file(directory: &TempDir) -> String {
    let path = directory.path().join("passwords");
    std::fs::write(&path, "weir:s3cret\n").expect("written");
    let path = path.display().to_string();
    let hashed = Command::new("mosquitto_passwd").args(["-U", &path]).status().expect("it comes with mosquitto");
    assert!(hashed.success());
    path
}

fn config(backend: &str) -> String {
    format!(
        "backend: {backend}\nplans: {{ p: {{}} }}\n\
         profiles: {{ acme: {{ plan: p, devices: {{ a: {{ token: a }} }} }} }}\n"
    )
}

#[test]
fn the_backend_is_given_the_credentials_of_the_configuration_and_not_the_clients() {
    let directory = TempDir::new().expect("a directory");
    let passwords = password_file(&directory);
    let mosquitto = Mosquitto::with(&format!("allow_anonymous false\npassword_file {passwords}\n"));
    let address = mosquitto.address();

    let mut weir = Weir::at(START, &config(&format!("\"mqtt://weir:s3cret@{address}\"")));
    if !weir.has_logged("the backend is there") {
        weir.wait_for_log("the backend is there");
    }
    for version in VERSIONS {
        let mut client = weir.client(version, "a", "pump");
        client.subscribe("t", Q1);
        client.publish("t", b"x", Q0, 0);
        assert_eq!(client.expect_publish().text(), "x");
    }
    weir.signal("TERM");
    assert!(!weir.whole_log().contains("s3cret"), "no log line has the password");

    // With a wrong one nobody gets in, and the operator is told why.
    let mut weir = Weir::at(START, &config(&format!("\"mqtt://weir:wrong@{address}\"")));
    let line = weir.wait_for_log("does not let Weir in");
    assert!(line.contains("ERROR"), "{line}");
    for (version, code) in [(Version::V4, 3), (Version::V5, 0x88)] {
        let (_, connack) = weir.try_connect(&connect(version, "a", "pump"));
        assert_eq!(connack[3], code, "{connack:02x?}");
    }
}

#[test]
fn a_backend_behind_tls_must_have_a_certificate_of_the_authority_that_is_named() {
    let directory = TempDir::new().expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .expect("a certificate");
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), certificate.pem()).expect("written");
    std::fs::write(path("key.pem"), key.serialize_pem()).expect("written");
    let mosquitto = Mosquitto::with(&format!("certfile {}\nkeyfile {}\n", path("cert.pem"), path("key.pem")));
    let port = mosquitto.address().port();

    let trusting = format!("{{ url: \"mqtts://localhost:{port}\", ca_file: \"{}\" }}", path("cert.pem"));
    let mut weir = Weir::at(START, &config(&trusting));
    if !weir.has_logged("the backend is there") {
        weir.wait_for_log("the backend is there");
    }
    for version in VERSIONS {
        let mut client = weir.client(version, "a", "pump");
        client.subscribe("t", Q2);
        let mut source = weir.client(version, "a", "source");
        source.publish_fully(common::publish("t", b"over TLS", Q2, 7));
        assert_eq!(client.take("over TLS").topic, "t");
    }

    let doubting = format!("{{ url: \"mqtts://127.0.0.1:{port}\", ca_file: \"{}\" }}", path("cert.pem"));
    let mut weir = Weir::at(START, &config(&doubting));
    weir.wait_for_log("the backend is not to be had");
    let (_, connack) = weir.try_connect(&connect(Version::V4, "a", "pump"));
    assert_eq!(connack[3], 3);
}
