//! `broker.yaml` as its writer meets it: what is accepted, what it comes to, and what `weir check` shows of it.
//! What is not accepted is in `config_errors`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use weir::config::{
    AclAction, AclOnDeny, Backend, Config, Credential, Embedded, Isolation, ListenAddress, Protocol, Upstream,
    UpstreamTls, table,
};
use weir::limits::{OnPublish, OnReceive, Resource};

/// The least that is valid.
const LEAST: &str = "plans: { free: {} }\nprofiles: { acme: { plan: free } }\n";

fn repository_file() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker.yaml");
    Config::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_file_of_the_repository_has_no_problems_and_warns_of_its_demo_tokens() {
    let config = repository_file();
    assert_eq!(config.plans.len(), 3);
    assert_eq!(config.profiles.len(), 3);
    assert_eq!(config.anonymous, None);
    assert_eq!(config.listeners[0].address, ListenAddress::Tcp("0.0.0.0:1883".parse().unwrap()));
    let rates = config.profiles["acme"].plan.limits.rates(&Resource::Publish);
    assert_eq!(rates[0].written(), "5_000/min");
    let warnings: BTreeSet<_> = config.warnings.iter().map(|warning| warning.message.as_str()).collect();
    let demo = "a demo token: anyone who read the README can connect; replace it (weir token new)";
    assert_eq!(warnings, BTreeSet::from([demo]));
    assert_eq!(config.warnings.len(), 3, "pump-1, lamp and gateway");
}

#[test]
fn the_hashes_in_the_file_of_the_repository_are_of_the_demo_credentials_it_names() {
    use argon2::{Argon2, PasswordVerifier, password_hash::phc::PasswordHash};
    use sha2::{Digest, Sha256};

    let config = repository_file();
    let devices = &config.profiles["acme"].devices;
    let Credential::Token { sha256, demo: false } = devices["pump-2"].credential else { panic!() };
    assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest("demo-pump-2")));
    let Credential::Password { username, hash: Some(hash), scram: None } = &devices["panel"].credential else {
        panic!()
    };
    assert_eq!(&**username, "panel");
    let hash = PasswordHash::new(hash).unwrap();
    Argon2::default().verify_password(b"demo-panel", &hash).unwrap();
}

#[test]
fn what_the_file_of_the_repository_shows_commented_out_is_valid_too() {
    let file = include_str!("../broker.yaml");
    // Comments that hold keys: `# key: …`, at any depth, after the prose of the head.
    let key = |line: &str| {
        let Some(rest) = line.trim_start().strip_prefix("# ") else {
            return false;
        };
        let rest = rest.trim_start().trim_start_matches("- ");
        rest.starts_with('{')
            || rest.split_once(':').is_some_and(|(key, after)| {
                let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                // Prose such as `profile: each profile …` is told apart by having a value of several words.
                let value = after.split(" #").next().unwrap_or_default().trim();
                word && (value.is_empty() || !value.contains(' ') || value.starts_with(['{', '[']))
            })
    };
    let active: String =
        file.lines().map(|line| if key(line) { line.replacen("# ", "", 1) } else { line.to_owned() } + "\n").collect();
    let config = Config::parse(&active, "broker.yaml").unwrap_or_else(|error| panic!("{error}\n{active}"));
    assert_eq!(config.anonymous.as_deref(), Some("hobby"));
    assert_eq!(config.acl.len(), 3);
    assert_eq!(config.listeners.len(), 3);
    assert!(config.admin.is_some() && config.data_dir.is_some());
    assert!(config.admission.connects_per_ip.is_some());
    assert!(config.profiles["acme"].sees_sys);
    let custom = &config.plans["custom"];
    assert_eq!(custom.limits.rates(&Resource::Publish).len(), 3);
    assert_eq!(custom.caps.max_session_expiry, Some(86_400));
}

#[test]
fn every_key_is_accepted_and_read() {
    let digest = "0123456789abcdef".repeat(4);
    let text = format!(
        r##"
listeners:
  - {{ address: "0.0.0.0:1883", protocol: mqtt }}
  - {{ address: "[::]:1883" }}
  - {{ address: "localhost:0" }}
  - {{ address: /run/weir.sock, protocol: unix }}
admin: {{ address: "127.0.0.1:8080" }}
data_dir: data
backend: native
plans:
  free:
    connect: 20/min
    publish: [100/s, 5_000/min, 2M/month]
    receive: 0/min
    subscribe: 1/h
    publish_bytes: 10MiB/day
    receive_bytes: 1GiB/month
    POST /data: 5/s
    per_device: {{ publish: 60/min, connect: 5/min }}
    on_exceed: {{ publish: pause, receive: drop }}
    disconnect_after: 1_00
    enforce: false
    check_payload_format: true
    max_connections: 10
    max_subscriptions: 11
    max_queued_messages: 12
    max_queued_bytes: 13KiB
    max_retained_messages: 14
    max_retained_bytes: 15MiB
    max_packet_size: 16KiB
    max_inflight: 17
    max_topic_levels: 18
    max_session_expiry: 19min
profiles:
  acme:
    plan: free
    sys: true
    limits: {{ publish: 7_500/min }}
    devices:
      pump-1: {{ token: 0x10 }}
      pump-2: {{ token_sha256: "{digest}", limits: {{ publish: 6/min }} }}
anonymous: acme
isolation: none
threads: 3
mqtt: {{ max_packet_size: 64KiB, max_keep_alive: 2min, max_session_expiry: 1d, receive_maximum: 1, topic_alias_maximum: 0,
        max_inflight: 2, max_qos: 1, retain: false, shared_subscriptions: false, wildcard_subscriptions: false }}
admission: {{ max_connections: 10k, handshake_timeout: 500ms, failed_connects_per_ip: 6/min, connects_per_ip: 7/s }}
acl:
  - {{ deny: subscribe, topic: "test/nosubscribe" }}
  - {{ allow: publish, topic: "devices/%u/#", profile: acme }}
  - {{ deny: all, topic: "#" }}
acl_on_deny: acknowledge
"##
    );
    let config = Config::parse(&text, "b.yaml").unwrap_or_else(|error| panic!("{error}"));

    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| format!("{:?} {} {}", listener.protocol, listener.address, listener.place))
        .collect();
    let expected = [
        "Mqtt 0.0.0.0:1883 b.yaml:3:5",
        "Mqtt [::]:1883 b.yaml:4:5",
        "Mqtt 127.0.0.1:0 b.yaml:5:5",
        "Unix /run/weir.sock b.yaml:6:5",
    ];
    assert_eq!(listeners, expected);
    assert_eq!(config.admin.unwrap().address.port(), 8080);
    assert_eq!(config.data_dir.as_deref(), Some(Path::new("data")));
    assert_eq!(config.backend, Backend::Native);
    assert_eq!(config.isolation, Isolation::None);
    assert_eq!(config.threads.map(|threads| threads.get()), Some(3));
    assert_eq!(config.anonymous.as_deref(), Some("acme"));

    let plan = &config.plans["free"];
    let written =
        |resource: &Resource| -> Vec<String> { plan.limits.rates(resource).iter().map(ToString::to_string).collect() };
    assert_eq!(written(&Resource::Publish), ["100/s", "5_000/min", "2M/month"]);
    assert_eq!(written(&Resource::PublishBytes), ["10MiB/day"]);
    assert_eq!(written(&Resource::Named("POST /data".into())), ["5/s"]);
    assert_eq!(plan.limits.0.len(), 7);
    assert_eq!((plan.on_publish, plan.on_receive), (OnPublish::Pause, OnReceive::Drop));
    assert_eq!((plan.disconnect_after, plan.enforce, plan.check_payload_format), (100, false, true));
    let caps = &plan.caps;
    assert_eq!((caps.max_connections, caps.max_subscriptions, caps.max_queued_messages), (Some(10), 11, 12));
    assert_eq!((caps.max_queued_bytes, caps.max_retained_messages), (13 << 10, 14));
    assert_eq!((caps.max_retained_bytes, caps.max_packet_size), (15 << 20, Some(16 << 10)));
    assert_eq!((caps.max_inflight, caps.max_topic_levels, caps.max_session_expiry), (Some(17), 18, Some(1_140)));

    let acme = &config.profiles["acme"];
    assert!(acme.sees_sys);
    assert_eq!(acme.plan.limits.rates(&Resource::Publish)[0].written(), "7_500/min");
    assert_eq!(acme.plan.limits.rates(&Resource::Connect)[0].written(), "20/min");
    let rates = |device: &str, resource| acme.devices[device].limits.rates(&resource)[0].count;
    assert_eq!((rates("pump-1", Resource::Publish), rates("pump-1", Resource::Connect)), (60, 5));
    assert_eq!((rates("pump-2", Resource::Publish), rates("pump-2", Resource::Connect)), (6, 5));
    let Credential::Token { sha256, demo: false } = acme.devices["pump-2"].credential else { panic!() };
    assert_eq!(sha256[..3], [0x01, 0x23, 0x45]);

    let mqtt = &config.mqtt;
    assert_eq!((mqtt.max_packet_size, mqtt.max_keep_alive, mqtt.max_session_expiry), (65_536, 120, 86_400));
    assert_eq!((mqtt.receive_maximum, mqtt.topic_alias_maximum, mqtt.max_inflight, mqtt.max_qos), (1, 0, 2, 1));
    assert!(!mqtt.retain && !mqtt.shared_subscriptions && !mqtt.wildcard_subscriptions);
    assert_eq!(config.admission.max_connections, 10_000);
    assert_eq!(config.admission.handshake_timeout, Duration::from_millis(500));
    assert_eq!(config.admission.failed_connects_per_ip.written(), "6/min");
    assert_eq!(config.admission.connects_per_ip.unwrap().written(), "7/s");

    let rules: Vec<_> = config.acl.iter().map(|rule| (rule.allow, rule.action, rule.profile.is_some())).collect();
    let expected =
        [(false, AclAction::Subscribe, false), (true, AclAction::Publish, true), (false, AclAction::All, false)];
    assert_eq!(rules, expected);
    assert_eq!(config.acl_on_deny, AclOnDeny::Acknowledge);

    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    let expected = ["b.yaml:40:24: warning: a token in plain text: anyone who can read this file can connect; \
         write its token_sha256 instead (weir token new)"];
    assert_eq!(warnings, expected);
}

fn backend(text: &str) -> Backend {
    let config = Config::parse(&format!("{LEAST}backend: {text}\n"), "b.yaml");
    config.unwrap_or_else(|error| panic!("{error}")).backend
}

#[test]
fn a_backend_is_a_word_a_url_or_keys() {
    assert_eq!(backend("native"), Backend::Native);
    assert_eq!(backend("{ kind: native }"), Backend::Native);
    let bounds = Embedded { max_topics: 100_000, max_filters: 30_000 };
    assert_eq!(backend("rumqttd"), Backend::Rumqttd(bounds.clone()));
    assert_eq!(backend("{ kind: rumqttd }"), Backend::Rumqttd(bounds));
    let bounds = Embedded { max_topics: 7_000, max_filters: 8 };
    assert_eq!(backend("{ kind: rumqttd, max_topics: 7k, max_filters: 8 }"), Backend::Rumqttd(bounds));

    let plain = Upstream { host: "10.0.0.1".into(), port: 1883, tls: None, username: None, password: None };
    assert_eq!(backend("mqtt://10.0.0.1"), Backend::Mqtt(Box::new(plain.clone())));
    assert_eq!(backend("{ url: 'mqtt://10.0.0.1', kind: mqtt }"), Backend::Mqtt(Box::new(plain.clone())));
    let known = Upstream { username: Some("weir".into()), password: Some(b"p@ss"[..].into()), ..plain };
    assert_eq!(backend("mqtt://weir:p%40ss@10.0.0.1"), Backend::Mqtt(Box::new(known.clone())));
    assert_eq!(backend("{ url: mqtt://10.0.0.1, username: weir, password: p@ss }"), Backend::Mqtt(Box::new(known)));
    let default = Upstream { tls: Some(UpstreamTls::default()), ..upstream("mqtt://broker.example:8883") };
    assert_eq!(upstream("mqtts://broker.example"), default);
}

fn upstream(text: &str) -> Upstream {
    match backend(text) {
        Backend::Mqtt(upstream) => *upstream,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_backend_with_tls_has_its_files_and_its_password_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("up");
    for (content, password) in
        [("s3cret\n", "s3cret"), ("s3cret", "s3cret"), (" s3 \r\n", " s3 "), ("a\nb\n\n", "a\nb\n")]
    {
        std::fs::write(&file, content).unwrap();
        let text = format!("{{ url: 'mqtts://weir@[::1]', password_file: '{}' }}", file.display());
        assert_eq!(upstream(&text).password.as_deref(), Some(password.as_bytes()), "{content:?}");
    }
    let files =
        "{ url: mqtts://h:1, ca_file: ca.pem, cert_file: c.pem, key_file: k.pem, server_name: broker.internal }";
    let tls = UpstreamTls {
        ca_file: Some("ca.pem".into()),
        cert_file: Some("c.pem".into()),
        key_file: Some("k.pem".into()),
        server_name: Some("broker.internal".into()),
    };
    assert_eq!(upstream(files).tls, Some(tls));
}

#[test]
fn neither_debugging_nor_the_table_shows_the_password_of_a_backend() {
    let text = format!("{LEAST}backend: mqtts://user:s3cret@[::1]:7\n");
    let config = Config::parse(&text, "b.yaml").unwrap();
    let shown = table(&config);
    assert!(shown.starts_with("Backend: mqtts://[::1]:7, with credentials\n\n"), "{shown}");
    assert!(!format!("{config:?}{shown}").contains("s3cret"));
    let embedded = Config::parse(&format!("{LEAST}backend: rumqttd\n"), "b.yaml").unwrap();
    assert!(table(&embedded).starts_with("Backend: rumqttd, up to 100000 topics and 30000 filters\n\n"));
    assert!(!table(&Config::parse(LEAST, "b.yaml").unwrap()).contains("Backend"));
}

#[test]
fn what_is_left_out_has_its_default() {
    let config =
        Config::parse(&format!("{LEAST}mqtt:\nacl:\nlisteners: ~\nadmin: null\nanonymous:\n"), "b.yaml").unwrap();
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].protocol, Protocol::Mqtt);
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:1883");
    assert_eq!(config.isolation, Isolation::Profile);
    assert_eq!(config.threads, None);
    assert_eq!(config.mqtt.max_packet_size, 1 << 20);
    assert_eq!(config.mqtt.max_session_expiry, 604_800);
    assert_eq!(config.admission.failed_connects_per_ip.written(), "60/min");
    assert_eq!(config.acl_on_deny, AclOnDeny::Disconnect);
    assert!(config.admin.is_none() && config.data_dir.is_none() && config.warnings.is_empty());
    let caps = &config.plans["free"].caps;
    assert_eq!((caps.max_connections, caps.max_queued_bytes, caps.max_topic_levels), (None, 8 << 20, 32));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    let text = format!("\u{feff}{LEAST}isolation: none\n");
    assert_eq!(Config::parse(&text, "b.yaml").unwrap().isolation, Isolation::None);
}

#[test]
fn a_fleet_of_fifty_thousand_devices_is_read() {
    let device = |n| format!("      d{n}: {{ token: t{n} }}\n");
    let devices: String = (0..12_500).map(device).collect();
    let profile = format!("profiles:\n  acme:\n    plan: free\n    devices:\n{devices}");
    let config = Config::parse(&format!("plans: {{ free: {{}} }}\n{profile}"), "b.yaml").unwrap();
    assert_eq!(config.profiles["acme"].devices.len(), 12_500);
}

#[test]
fn the_table_shows_the_limits_that_result() {
    let table = table(&repository_file());
    println!("{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let row = |start: &str| {
        let line = table.lines().find(|line| line.starts_with(&format!("│ {start} ")));
        line.unwrap_or_else(|| panic!("no row {start} in\n{table}"))
            .split(['│', '┆'])
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(row("publish"), ["publish", "250/min", "15_000/min", "5_000/min"]);
    assert_eq!(row("acme"), ["acme", "starter", "3", "100/min", "5_000/min", "5_000/min"]);
    assert!(table.ends_with("Devices with limits of their own\nacme/pump-2: publish 60/min"), "{table}");
}

#[test]
fn the_table_marks_what_differs_from_the_plan_and_shows_what_is_unlimited() {
    let text = "
plans:
  free: { publish: [10/s, 250/min], per_device: { connect: 1/min }, max_inflight: 7, enforce: false }
profiles:
  a: { plan: free }
  b: { plan: free, limits: { publish: 1/s, POST /data: 5/min } }
anonymous: a
";
    let table = table(&Config::parse(text, "b.yaml").unwrap());
    println!("{table}");
    let has = |part: &str| assert!(table.contains(part), "{part:?} is not in\n{table}");
    has("connect, per device");
    has("free: max_inflight 7, enforce false: its rates are counted and deny nothing");
    has("a (anonymous)");
    has("1/s *");
    has("5/min *");
    has("* not as in the plan");
    has(" - ");
}
