//! The binary as an operator meets it: what it says of a configuration, good or broken, how it starts, what it logs, and how
//! it ends.

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use common::{Client, PATIENCE, Weir, connect, password_hash};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use weir::wire::{Connect, Packet, Properties, QoS, Version, Will};

const LISTENER: &str = "listeners: [{ address: \"127.0.0.1:0\" }]\n";
const OPEN: &str = "plans: { open: {} }\nprofiles: { acme: { plan: open, devices: { pump: { token: t } } } }\n";
const MORNING: &str = "2026-11-21T12:45:09Z";

/// Runs the binary to its end, in a directory with this broker.yaml.
fn run(config: &str, args: &[&str]) -> Output {
    let directory = TempDir::new().expect("a directory");
    std::fs::write(directory.path().join("broker.yaml"), config).expect("the configuration is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(directory.path()).args(args).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("what is said is text")
}

// weir check

#[test]
fn check_shows_the_limits_that_result_from_a_good_file() {
    let config = "plans: { free: { publish: 250/min }, starter: { publish: 5_000/min, receive: [9/s, 100/min] } }\n\
        profiles:\n  acme: { plan: starter, limits: { publish: 7_500/min } }\n  hobby: { plan: free }\n";
    let output = run(config, &["check"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let table = text(&output.stdout);
    for shown in ["free", "starter", "250/min", "5_000/min", "9/s", "100/min", "acme", "7_500/min", "hobby"] {
        assert!(table.contains(shown), "{shown} is not in\n{table}");
    }
}

#[test]
fn a_broken_file_is_refused_with_every_mistake_in_its_place_by_check_and_by_run() {
    let broken = [
        // A file, and the beginnings of what is said of it.
        (
            "plans: { p: {} }\nprofiles: { acme: { plan: p } }\nisolatoin: none\n",
            &["broker.yaml:3:1: error: \"isolatoin\" is no key of broker.yaml; did you mean `isolation`?"][..],
        ),
        (
            "plans: { free: { publish: 250/fortnight } }\nprofiles: { acme: { plan: gold } }\n",
            &["broker.yaml:1:27: error: a rate is", "broker.yaml:2:27: error: there is no plan \"gold\""],
        ),
        (
            "plans: { p: {} }\nprofiles:\n  a: { plan: p, devices: { x: { token: s }, y: { token: s } } }\n",
            &["broker.yaml:3:57: error: this token is already that of device `x`"],
        ),
        ("plans: {\n", &["broker.yaml:1:8: error: this is not YAML"]),
    ];
    for (config, problems) in broken {
        let outputs = [&["check"][..], &["run"], &[]].map(|args| run(config, args));
        for output in &outputs {
            let said = text(&output.stderr);
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{said}");
            let found: Vec<&str> = said.lines().filter(|line| line.contains(": error: ")).collect();
            assert_eq!(found.len(), problems.len(), "{said}");
            for (found, expected) in found.iter().zip(problems) {
                assert!(found.starts_with(expected), "{said}");
            }
            assert!(said.ends_with('\n'), "what comes next begins on a line of its own");
        }
        // Check shows the lines in question; run, whose words go into a log, does not: they may hold tokens.
        let [check, run, _] = outputs.map(|output| text(&output.stderr).lines().count());
        assert!(check > run, "check shows {check} lines, run {run}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = run("", &["--config", "elsewhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "elsewhere.yaml: error: there is no such file\n");
}

// Starting

#[test]
fn an_address_that_cannot_be_had_is_named_with_its_place_and_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let listeners = format!("listeners:\n  - {{ address: \"127.0.0.1:0\" }}\n  - {{ address: \"{address}\" }}\n");
    let output = run(&format!("{listeners}{OPEN}"), &["--log-level", "off"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with(&format!("broker.yaml:3:5: error: cannot listen on {address}: ")), "{said}");
    assert!(said.ends_with("; another program listens there: stop it, or choose another port\n"), "{said}");
}

#[test]
fn the_help_names_every_command_and_option_and_exit_code() {
    let output = run("", &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    let named = ["run", "check", "token new", "--config", "--log-format", "--log-level", "--version", "broker.yaml"];
    let more = ["WEIR_CONFIG", "WEIR_LOG_FORMAT", "WEIR_LOG_LEVEL", "json", "SIGHUP", "SIGTERM", "Exit codes", "  2  "];
    for word in named.into_iter().chain(more) {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    assert!(text(&run("", &["token", "--help"]).stdout).contains("new"));
    assert_eq!(text(&run("", &["--version"]).stdout), format!("weir {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(run("", &["--no-such-option"]).status.code(), Some(2));
}

#[test]
fn a_new_token_opens_the_broker_whose_file_has_its_hash() {
    let line = |output: &Output, name: &str| {
        let line = text(&output.stdout).lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        line.expect("it is shown").to_owned()
    };
    let output = run("", &["token", "new"]);
    let (token, hash) = (line(&output, "token:"), line(&output, "token_sha256:"));
    let digest: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((hash.len(), &hash), (64, &digest));
    assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert_ne!(token, line(&run("", &["token", "new"]), "token:"), "no two are the same");

    let weir = Weir::at(MORNING, &OPEN.replace("token: t", &format!("token_sha256: {hash}")));
    weir.client(Version::V5, &token, "client");
    assert_eq!(weir.try_connect(&connect(Version::V5, &hash, "client")).1[3], 0x86, "the hash is no token");
}

#[test]
fn the_configuration_that_comes_with_weir_works_with_its_demo_credentials() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker.yaml");
    let shipped = std::fs::read_to_string(shipped).expect("it is in the repository");
    let config = shipped.replace("\"0.0.0.0:1883\"", "\"127.0.0.1:0\"");
    // Nothing is to be written here, and no port is ours.
    let config = config.replace("\"127.0.0.1:8080\"", "\"127.0.0.1:0\"").replace("\ndata_dir: data\n", "\n");
    assert_ne!(config, shipped, "only the ports and what is kept are others");
    let weir = Weir::with_args(&config, &[]);
    let mut panel = weir.connect(&Connect {
        user_name: Some("panel"),
        password: Some(b"demo-panel"),
        ..connect(Version::V4, "", "panel")
    });
    panel.subscribe("plant/#", QoS::AtMostOnce);
    for (token, same_profile) in
        [("demo-pump-1", true), ("demo-pump-2", true), ("demo-lamp", false), ("demo-gateway", false)]
    {
        let mut client = weir.client(Version::V5, token, "client");
        client.publish("plant/pressure", token.as_bytes(), QoS::AtLeastOnce, 1);
        assert_eq!(client.frame()[..1], [0x40]);
        if same_profile {
            assert_eq!(panel.expect_publish().text(), token);
        }
    }
    panel.expect_nothing();
}

// The log

#[test]
fn a_json_log_has_one_object_a_line_with_profile_device_and_client_as_fields() {
    let mut weir = Weir::with_args(&format!("{LISTENER}{OPEN}"), &["--log-format", "json"]);
    weir.client(Version::V5, "t", "client-7").disconnect();
    weir.try_connect(&connect(Version::V5, "wrong", "client-8"));
    weir.signal("TERM");
    assert_eq!(weir.wait_for_exit(), 0);
    let parse = |line: &str| serde_json::from_str::<Value>(line).expect("each line is JSON");
    let log: Vec<Value> = weir.whole_log().lines().map(parse).collect();
    for message in ["connected", "disconnected"] {
        let line = log.iter().find(|line| line["message"] == message).expect("it is logged");
        let fields = ["level", "profile", "device", "client"].map(|field| line[field].as_str().unwrap_or("missing"));
        assert_eq!(fields, ["INFO", "acme", "pump", "client-7"], "{message}");
    }
    let messages: BTreeSet<&str> = log.iter().filter_map(|line| line["message"].as_str()).collect();
    for message in ["connection refused", "weir is up", "shutting down", "goodbye"] {
        assert!(messages.contains(message), "{message:?} is not among {messages:?}");
    }
}

#[test]
fn no_credential_and_no_payload_is_ever_logged() {
    let hash = password_hash("good-password-word");
    let config = format!(
        "{LISTENER}plans: {{ open: {{}} }}\n\
         profiles:\n  acme:\n    plan: open\n    devices:\n      pump: {{ token: good-token-word }}\n      \
         panel: {{ username: panel, password_hash: \"{hash}\" }}\n"
    );
    for format in ["text", "json"] {
        let mut weir = Weir::with_args(&config, &["--log-level", "trace", "--log-format", format]);
        let payload = b"payload-word";
        let will = Will { qos: QoS::AtMostOnce, retain: true, properties: Properties::EMPTY, topic: "will", payload };
        let token = connect(Version::V5, "good-token-word", "c");
        let credentials: [(Option<&str>, Option<&str>, u8); 7] = [
            (Some("Token"), Some("good-token-word"), 0),
            (Some("good-token-word"), None, 0),
            (None, Some("good-token-word"), 0),
            (Some("panel"), Some("good-password-word"), 0),
            (Some("Token"), Some("bad-token-word"), 0x86),
            (Some("bad-token-word"), None, 0x86),
            (Some("panel"), Some("bad-password-word"), 0x86),
        ];
        for (user_name, password, code) in credentials {
            let password = password.map(str::as_bytes);
            let connect = Connect { user_name, password, will: Some(will), ..token };
            let (mut client, connack) = weir.try_connect(&connect);
            assert_eq!(connack[3], code);
            if code == 0 {
                client.publish("t", payload, QoS::AtLeastOnce, 1);
                client.frame();
                // A packet that is wrong is described, and not shown.
                client.send_bytes(b"\x30\x0Epayload-word\xFF\xFF");
                client.frame();
            }
        }
        // A broken file, read again, has its mistakes described and its lines not shown.
        let broken = config.replace("plan: open", "plan: gone").replace("token: good", "tokn: good");
        std::fs::write(weir.config_path(), broken).expect("the configuration is written");
        weir.signal("HUP");
        weir.wait_for_log("not reloaded");
        weir.signal("TERM");
        assert_eq!(weir.wait_for_exit(), 0);
        let log = weir.whole_log();
        assert!(log.contains("disconnected") && log.contains("refused"), "{log}");
        for secret in ["-word", &hash] {
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(lines.is_empty(), "{secret} is in the log:\n{}", lines.join("\n"));
        }
    }
}

// Ending

#[track_caller]
fn expect_goodbye(client: &mut Client) {
    if client.version == Version::V5 {
        let disconnect = client.frame();
        assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x8B), "Server shutting down: {disconnect:02x?}");
    }
    client.expect_closed();
}

#[test]
fn a_signal_ends_the_broker_with_a_goodbye_to_everyone() {
    for signal in ["TERM", "INT"] {
        let mut weir = Weir::at(MORNING, OPEN);
        let mut clients = [Version::V3, Version::V4, Version::V5]
            .map(|version| weir.client(version, "t", &format!("client {version}")));
        weir.signal(signal);
        clients.iter_mut().for_each(expect_goodbye);
        drop(clients);
        assert_eq!(weir.wait_for_exit(), 0, "SIG{signal}");
        let log = weir.whole_log();
        assert!(log.contains("goodbye") && !log.contains("not every client"), "{log}");
    }
}

#[test]
fn what_was_published_before_the_signal_reaches_those_who_are_connected() {
    for version in [Version::V4, Version::V5] {
        let mut weir = Weir::at(MORNING, OPEN);
        let mut reader = weir.client(version, "t", "reader");
        reader.subscribe("t", QoS::AtMostOnce);
        let mut sender = weir.client(Version::V4, "t", "sender");
        let mut burst = Vec::new();
        for id in 1..=200 {
            let packet = Packet::Publish(common::publish("t", &[b'x'; 500], QoS::AtLeastOnce, id));
            packet.encode(Version::V4, &mut burst).expect("it is well-formed");
        }
        sender.send_bytes(&burst);
        (1..=200u8).for_each(|id| sender.expect(&[0x40, 2, 0, id]));
        weir.signal("TERM");
        for _ in 0..200 {
            assert_eq!(reader.expect_publish().payload.len(), 500);
        }
        expect_goodbye(&mut reader);
        drop((reader, sender));
        assert_eq!(weir.wait_for_exit(), 0);
    }
}

#[test]
fn a_client_that_does_not_read_its_goodbye_does_not_keep_the_broker() {
    let mut weir = Weir::at(MORNING, OPEN);
    let mut deaf = weir.client(Version::V5, "t", "deaf");
    deaf.subscribe("big", QoS::AtMostOnce);
    let mut sender = weir.client(Version::V4, "t", "sender");
    // More than all buffers of the system on the way take.
    let payload = vec![b'x'; 512 * 1_024];
    for _ in 0..32 {
        sender.publish("big", &payload, QoS::AtLeastOnce, 1);
        sender.expect(&[0x40, 2, 0, 1]);
    }
    weir.signal("TERM");
    assert_eq!(weir.wait_for_exit_as_time_passes(), 0);
    let log = weir.whole_log();
    assert!(log.contains("goodbye") && !log.contains("not every client"), "{log}");
}

#[test]
fn connections_that_have_not_said_who_they_are_do_not_keep_the_broker() {
    let mut weir = Weir::at(MORNING, OPEN);
    let mut silent = [(); 3].map(|()| weir.raw());
    silent[1].send_bytes(b"\x10\x20\x00\x04MQ");
    // Whoever connects after them shows that they were accepted.
    weir.client(Version::V5, "t", "client").disconnect();
    weir.signal("TERM");
    silent.iter_mut().for_each(Client::expect_closed);
    assert_eq!(weir.wait_for_exit(), 0);
    let log = weir.whole_log();
    assert!(!log.contains("not every client"), "{log}");
}

// Unix sockets

fn with_socket(path: &Path) -> String {
    let path = path.display();
    format!("listeners: [{{ address: \"127.0.0.1:0\" }}, {{ address: {path}, protocol: unix }}]\n{OPEN}")
}

/// Connects over a Unix socket and is accepted.
fn unix_client(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut connect_packet = Vec::new();
    let packet = Packet::Connect(connect(Version::V4, "t", "local"));
    packet.encode(Version::V4, &mut connect_packet).expect("it is well-formed");
    stream.write_all(&connect_packet).expect("the broker reads");
    expect_bytes(&mut stream, &[0x20, 2, 0, 0]);
    stream
}

fn expect_bytes(stream: &mut UnixStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).expect("the broker answers");
    assert_eq!(bytes, expected);
}

#[test]
fn clients_of_a_unix_socket_and_of_tcp_meet_and_the_socket_is_gone_in_the_end() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("weir.sock");
    let mut weir = Weir::with_args(&with_socket(&path), &[]);
    assert!(weir.has_logged(&format!("listening on {} (unix)", path.display())));
    let mut local = unix_client(&path);
    let mut remote = weir.client(Version::V4, "t", "remote");
    local.write_all(b"\x82\x06\0\x01\0\x01a\0").expect("the broker reads");
    expect_bytes(&mut local, &[0x90, 3, 0, 1, 0]);
    remote.publish("a", b"hi", QoS::AtMostOnce, 0);
    expect_bytes(&mut local, b"\x30\x05\0\x01ahi");
    weir.signal("TERM");
    expect_goodbye(&mut remote);
    assert_eq!(local.read(&mut [0]).expect("the broker closes"), 0);
    drop((local, remote));
    assert_eq!(weir.wait_for_exit(), 0);
    assert!(!path.exists());
}

#[test]
fn a_socket_that_nobody_answers_is_replaced_and_any_other_file_is_not_touched() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("weir.sock");
    let config = with_socket(&path);
    // Killed: it could not tidy up.
    drop(Weir::with_args(&config, &[]));
    assert!(path.exists());
    let weir = Weir::with_args(&config, &[]);
    assert!(weir.has_logged("(unix)"));
    unix_client(&path);

    let refused = |why: &str| {
        let output = run(&config, &["--log-level", "off"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("broker.yaml:1:41: error: cannot listen on {}", path.display())), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused("another program listens there");
    unix_client(&path);
    drop(weir);
    std::fs::remove_file(&path).expect("it was left behind");
    std::fs::write(&path, "precious").expect("a file");
    refused("a file that is no socket");
    assert_eq!(std::fs::read_to_string(&path).expect("it is still there"), "precious");
}
