//! What is wrong in a `broker.yaml` is told with its place and what was expected: the exact words, for each kind.

use proptest::prelude::*;
use weir::config::Config;

const PLANS: &str = "plans: { free: { publish: 250/min } }\n";
const PROFILE: &str = "profiles: { acme: { plan: free } }\n";

/// A valid file but for `text`, which is on line 3.
fn with(text: &str) -> String {
    format!("{PLANS}{PROFILE}{text}")
}

/// A valid file but for the keys of the plan, which begin on line 3, column 5.
fn with_plan(keys: &str) -> String {
    format!("{PROFILE}plans:\n  free:\n    {keys}\n")
}

/// A valid file but for the devices, which begin on line 5, column 7.
fn with_devices(devices: &str) -> String {
    format!("{PLANS}profiles:\n  acme:\n    plan: free\n    devices:\n      {devices}\n")
}

fn problems(text: &str) -> Vec<String> {
    match Config::parse(text, "b.yaml") {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

/// Each file has exactly one problem: this one.
fn assert_problems(table: &[(String, &str)]) {
    for (text, expected) in table {
        let expected = format!("b.yaml:{expected}");
        assert_eq!(problems(text), [expected], "in\n{text}");
    }
}

#[test]
fn an_unknown_key_is_reported_with_the_nearest_known_one_and_all_that_are_known() {
    assert_problems(&[
        (
            with("isolatoin: none"),
            "3:1: error: \"isolatoin\" is no key of broker.yaml; did you mean `isolation`? \
            Its keys are listeners, admin, data_dir, backend, plans, profiles, anonymous, isolation, mqtt, admission, \
            acl, acl_on_deny, threads, metrics and events",
        ),
        (
            with("admin: { address: '1.2.3.4:5', tokn: x }"),
            "3:32: error: \"tokn\" is no key of admin. \
            Its keys are address",
        ),
        (
            with_devices("lamp: { tokn: x, token: y }"),
            "6:15: error: \"tokn\" is no key of a device; did you mean \
            `token`? Its keys are token, token_sha256, username, password_hash, scram and limits",
        ),
        (
            with_devices("lamp: { token: y, limits: { conect: 1/s } }"),
            "6:35: error: \"conect\" is no key of limits; \
            did you mean `connect`? Its keys are connect, publish, receive, subscribe, publish_bytes, receive_bytes \
            and a name of your own with a `/` in it, such as `POST /data`",
        ),
    ]);
    let plan = problems(&with_plan("on_exceeed: { publish: deny }"));
    assert!(
        plan[0].starts_with("b.yaml:4:5: error: \"on_exceeed\" is no key of a plan; did you mean `on_exceed`?"),
        "{plan:?}"
    );
}

#[test]
fn a_bad_rate_is_reported_with_what_a_rate_is() {
    let table: &[(&str, &str)] = &[
        (
            "publish: 250/fortnight",
            "4:14: error: a rate is a number and a window, such as 250/min; \"fortnight\" is no window: \
            use s, min, h, day or month",
        ),
        (
            "publish: [1/s, 250]",
            "4:20: error: a rate is a number and a window, such as 250/min; \"250\" has no window: \
            add /s, /min, /h, /day or /month",
        ),
        (
            "publish: 1KiB/s",
            "4:14: error: a rate is a number and a window, such as 250/min; \"1KiB\" is no number: \
            use digits, `_` between them, and k or M",
        ),
        (
            "publish_bytes: 1TiB/s",
            "4:20: error: a rate is a number and a window, such as 10MiB/min; \"1TiB\" is no number: \
            use digits, `_` between them, and k, M, KiB, MiB or GiB",
        ),
        (
            "publish: 99999999999999M/s",
            "4:14: error: \"99999999999999M\" is too large: a rate counts up to 18446744073709551615",
        ),
        ("publish: []", "4:14: error: at least one rate is expected; leave the key out for no limit"),
        ("publish: [1/s, 2/s]", "4:20: error: 2/s and 1/s are for the same window; keep the smaller one"),
        ("publish: { a: b }", "4:14: error: one value is expected, not keys and values"),
        (
            "per_device: { publish: x }",
            "4:28: error: a rate is a number and a window, such as 250/min; \"x\" has no window: \
            add /s, /min, /h, /day or /month",
        ),
        (
            "\"a/\\tb\": 1/s",
            "4:5: error: \"a/\\tb\" is no resource: use connect, publish, receive, subscribe, publish_bytes, \
            receive_bytes, or a name of your own with a `/` in it, such as `POST /data`, of up to 128 characters",
        ),
    ];
    for (keys, expected) in table {
        assert_problems(&[(with_plan(keys), expected)]);
    }
}

#[test]
fn bad_numbers_sizes_durations_and_choices_are_reported_with_what_is_expected() {
    let table: &[(&str, &str)] = &[
        ("max_connections: 0", "4:22: error: a whole number from 1 to 18446744073709551615 is expected, not \"0\""),
        ("max_inflight: 65536", "4:19: error: a whole number from 1 to 65535 is expected, not \"65536\""),
        (
            "max_queued_bytes: 8MB",
            "4:23: error: a size in bytes such as 65_536, 64KiB, 1MiB or 1GiB is expected, not \"8MB\"",
        ),
        ("max_packet_size: 1GiB", "4:22: error: a size from 64 to 268435460 bytes is expected, not \"1GiB\""),
        ("max_session_expiry: 7", "4:25: error: a duration such as 500ms, 10s, 5min, 2h or 7d is expected, not \"7\""),
        ("enforce: yes", "4:14: error: true or false is expected, not \"yes\""),
        ("on_exceed: { publish: drop }", "4:27: error: deny, disconnect or pause is expected, not \"drop\""),
        ("on_exceed: pause", "4:16: error: keys and values are expected in on_exceed, not the text \"pause\""),
    ];
    for (keys, expected) in table {
        assert_problems(&[(with_plan(keys), expected)]);
    }
    assert_problems(&[
        (with("mqtt: { max_qos: 3 }"), "3:18: error: a whole number from 0 to 2 is expected, not \"3\""),
        (
            with("mqtt: { max_keep_alive: 1500ms }"),
            "3:25: error: whole seconds up to 65535s are expected, not \"1500ms\"",
        ),
        (
            with("admission: { handshake_timeout: 0s }"),
            "3:33: error: a timeout of 0 would let nobody in; give it at least 1ms",
        ),
        (with("admission: { connects_per_ip: [1/s] }"), "3:31: error: one value is expected, not a list"),
        (with("isolation: both"), "3:12: error: profile or none is expected, not \"both\""),
        (with("mqtt: [1]"), "3:7: error: keys and values are expected in mqtt, not a list"),
        (
            with("data_dir: ''"),
            "3:11: error: the path of a directory is expected; leave the key out to keep everything in memory",
        ),
    ]);
}

#[test]
fn a_profile_on_a_plan_that_is_not_there_is_told_which_there_are() {
    let two = "plans: { free: {}, gold: {} }\nprofiles:\n  acme: ";
    assert_problems(&[
        (format!("{two}{{ plan: goold }}"), "3:17: error: there is no plan \"goold\": the plans are free and gold"),
        (
            format!("{two}{{ sys: true }}"),
            "3:3: error: the profile \"acme\" needs a `plan`: the plans are free and gold",
        ),
        (
            format!("{PLANS}profiles: {{ acme: {{ plan: x }} }}"),
            "2:27: error: there is no plan \"x\": the only plan is free",
        ),
        (
            "profiles: { acme: { plan: x } }".into(),
            "1:27: error: there is no plan \"x\": there are no plans yet; write one under `plans`",
        ),
    ]);
}

#[test]
fn a_token_or_user_name_used_twice_is_reported_with_both_places() {
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
    let of_two_profiles = |first: &str, second: &str| {
        format!(
            "{PLANS}profiles:\n  a: {{ plan: free, devices: {{ p: {first} }} }}\n  b: {{ plan: free, devices: {{ q: {second} }} }}\n"
        )
    };
    let sha256 = "fc231ec79fe4b167d69ed81f8802b0a2677b57b85df6ce9c913feb32323e4ada";
    assert_problems(&[
        (
            of_two_profiles("{ token: demo-pump-2 }", "{ token: demo-pump-2 }"),
            "4:43: error: this token is already that of \
            device `p` of profile `a` at b.yaml:3:43; each device needs its own",
        ),
        (
            of_two_profiles("{ token: demo-pump-2 }", &format!("{{ token_sha256: {sha256} }}")),
            "4:50: error: this token is \
            already that of device `p` of profile `a` at b.yaml:3:43; each device needs its own",
        ),
        (
            format!("{PLANS}profiles:\n  a: {{ plan: free, read_token: t, devices: {{ p: {{ token: t }} }} }}\n"),
            "3:58: error: this token is already that of the readers of profile `a` at b.yaml:3:32; each device needs its own",
        ),
        (
            format!("{PLANS}profiles:\n  a: {{ plan: free, read_token: t }}\n  b: {{ plan: free, read_token: t }}\n"),
            "4:32: error: this token is already that of the readers of profile `a` at b.yaml:3:32; readers need one of their own",
        ),
        (
            format!("{PLANS}profiles:\n  a: {{ plan: free, read_token: t, read_token_sha256: {sha256} }}\n"),
            "3:32: error: the profile \"a\" has a `read_token` and a `read_token_sha256`: keep one",
        ),
        (
            format!("{PLANS}profiles:\n  a: {{ plan: free, read_token_sha256: abc }}\n"),
            "3:39: error: the SHA-256 of a token is expected, 64 hexadecimal digits, not 3 characters",
        ),
        (
            of_two_profiles(
                &format!("{{ username: u, password_hash: {hash:?} }}"),
                &format!("{{ username: u, password_hash: {hash:?} }}"),
            ),
            "4:46: error: this user name is already that of device `p` of profile `a` at b.yaml:3:46; each device needs its own",
        ),
    ]);
}

#[test]
fn a_device_has_exactly_one_well_formed_credential() {
    const ONE: &str = "`token`, `token_sha256`, or `username` with `password_hash` or `scram`";
    let none = format!("6:7: error: the device \"lamp\" has no credential: give it one of {ONE}");
    let two = format!("6:7: error: the device \"lamp\" has more than one credential: keep one of {ONE}");
    let digest = |count| {
        format!("6:29: error: the SHA-256 of a token is expected, 64 hexadecimal digits, not {count} characters")
    };
    let hash = "6:43: error: the Argon2id hash of a password is expected, such as $argon2id$v=19$m=19456,t=2,p=1$…$…";
    let z = "z".repeat(64);
    let digest_of_letters = digest(64);
    let digest_of_three = digest(3);
    assert_problems(&[
        (with_devices("lamp:"), &none),
        (with_devices("lamp: { limits: { publish: 1/s } }"), &none),
        (with_devices("lamp: { token: a, username: b }"), &two),
        (with_devices(&format!("lamp: {{ token: a, token_sha256: {z} }}")), &two),
        (with_devices("lamp: { token_sha256: 123 }"), &digest_of_three),
        (with_devices(&format!("lamp: {{ token_sha256: {z} }}")), &digest_of_letters),
        (with_devices("lamp: { token: '' }"), "6:22: error: a token of 1 to 65535 bytes and no U+0000 is expected"),
        (
            with_devices("lamp: { username: a }"),
            "6:7: error: the device \"lamp\" has a `username` and needs a \
            `password_hash` or `scram` as well (weir token password)",
        ),
        (
            with_devices("lamp: { password_hash: a }"),
            "6:7: error: the device \"lamp\" has a `password_hash` and needs a \
            `username` as well",
        ),
        (with_devices("lamp: { username: a, password_hash: demo-panel }"), hash),
        (
            with_devices(
                "lamp: { username: a, password_hash: '$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ' }",
            ),
            hash,
        ),
        (with_devices("lamp: { username: a, password_hash: '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ' }"), hash),
        (
            with_devices(
                "lamp: { username: ToKeN, password_hash: '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ' }",
            ),
            "6:25: error: the user name `Token` says that the password is a token; choose another",
        ),
    ]);
}

#[test]
fn no_message_shows_a_token_or_a_password() {
    let texts = [
        with_devices("a: { token: s3cret }\n      b: { token: s3cret }"),
        with_devices("a: { token_sha256: s3cret }"),
        with_devices("a: { username: u, password_hash: s3cret }"),
        with_devices("a: { token: [s3cret] }"),
    ];
    for text in texts {
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(!problems[0].contains("s3cret"), "{problems:?}");
    }
}

#[test]
fn names_that_no_topic_or_url_could_hold_are_reported() {
    const NAME: &str = "a name is 1 to 64 of the letters a-z and A-Z, digits, `-`, `_` and `.`, not";
    let long = "x".repeat(65);
    let shown = "x".repeat(48);
    assert_problems(&[
        (with_devices("a b: { token: x }"), &format!("6:7: error: {NAME} \"a b\"")),
        (format!("{PLANS}profiles: {{ a/b: {{ plan: free }} }}"), &format!("2:13: error: {NAME} \"a/b\"")),
        (
            format!("plans: {{ {long}: {{}} }}\nprofiles: {{ a: {{ plan: {long} }} }}"),
            &format!("1:10: error: {NAME} \"{shown}\"…"),
        ),
        (format!("{PLANS}profiles: {{ '': {{ plan: free }} }}"), &format!("2:13: error: {NAME} \"\"")),
    ]);
}

#[test]
fn bad_listeners_are_reported() {
    const ADDRESS: &str =
        "an IP address and a port are expected, such as 0.0.0.0:1883, 127.0.0.1:1883 or [::]:1883, not";
    let no_host = format!("3:24: error: {ADDRESS} \":1883\"");
    let no_port = format!("3:24: error: {ADDRESS} \"0.0.0.0\"");
    let host = format!("3:24: error: {ADDRESS} \"example.com:1883\"");
    let not_served =
        |protocol| format!("3:47: error: `{protocol}` is not available in this version of Weir; use mqtt, ws or unix");
    let (mqtts, wss) = (not_served("mqtts"), not_served("wss"));
    let listener = |address: &str, protocol: &str| with(&format!("listeners: [{{ address: {address:?}{protocol} }}]"));
    assert_problems(&[
        (listener(":1883", ""), &no_host),
        (listener("0.0.0.0", ""), &no_port),
        (listener("example.com:1883", ""), &host),
        (listener("1.2.3.4:5", ", protocol: mqtts"), &mqtts),
        (listener("1.2.3.4:5", ", protocol: wss"), &wss),
        (
            listener("1.2.3.4:5", ", protocol: tcp"),
            "3:47: error: mqtt, mqtts, ws, wss or unix is expected, not \"tcp\"",
        ),
        (
            listener("1.2.3.4:5", ", protocol: unix"),
            "3:24: error: the path of a socket is expected, such as \
            /run/weir.sock, of up to 107 bytes, not \"1.2.3.4:5\"",
        ),
        (
            with("listeners: [{ protocol: mqtt }]"),
            "3:13: error: a listener needs an address, such as `address: \"0.0.0.0:1883\"`",
        ),
        (with("listeners: []"), "3:12: error: at least one listener is expected; leave the key out for 0.0.0.0:1883"),
        (
            with("listeners: 0.0.0.0:1883"),
            "3:12: error: a list is expected for listeners, not the text \"0.0.0.0:1883\"",
        ),
        (
            with("listeners: [0.0.0.0:1883]"),
            "3:13: error: keys and values are expected in a listener, not the text \"0.0.0.0:1883\"",
        ),
        (
            with("listeners:\n  - address: 1.2.3.4:5\n  - address: 1.2.3.4:5"),
            "5:14: error: 1.2.3.4:5 is already listened on at b.yaml:4:5",
        ),
        (with("admin: {}"), "3:8: error: admin needs an address, such as `address: \"127.0.0.1:8080\"`"),
        (with("admin: { address: 8080 }"), &format!("3:19: error: {ADDRESS} \"8080\"")),
    ]);
    assert!(problems(&with("listeners:\n  - address: 1.2.3.4:0\n  - address: 1.2.3.4:0")).is_empty(), "port 0 is any");
}

#[test]
fn a_bad_backend_is_reported() {
    const EXPECTED: &str = "3:10: error: native, rumqttd, mqtt://host:port or mqtts://host:port is expected";
    let word = format!("{EXPECTED}, not \"kafka\"");
    assert_problems(&[
        (with("backend: kafka"), &word),
        (with("backend: user:s3cret@host"), EXPECTED),
        (with("backend: [native]"), "3:10: error: one value is expected, not a list"),
        (
            with("backend: tcp://h:1883"),
            "3:10: error: the URL of a backend begins with mqtt:// or mqtts://, not with \"tcp\"",
        ),
        (
            with("backend: {}"),
            "3:10: error: backend needs a url, such as `url: mqtt://broker.example:1883`, or `kind: rumqttd`",
        ),
        (
            with("backend: { kind: mqtt, username: u }"),
            "3:10: error: backend needs a url, such as `url: mqtt://broker.example:1883`, or `kind: rumqttd`",
        ),
        (with("backend: { kind: kafka }"), "3:18: error: native, rumqttd or mqtt is expected, not \"kafka\""),
        (
            with("backend: { url: mqtt://h, usrname: u }"),
            "3:27: error: \"usrname\" is no key of backend; did you mean `username`? Its keys are kind, url, username, \
            password, password_file, ca_file, cert_file, key_file, server_name, max_topics and max_filters",
        ),
        (
            with("backend: { kind: rumqttd, max_topics: 0 }"),
            "3:39: error: a whole number from 1 to 100000000 is expected, not \"0\"",
        ),
        (
            with("backend: { kind: rumqttd, ca_file: ca.pem }"),
            "3:36: error: ca_file is for another broker, and has no meaning with kind: rumqttd",
        ),
        (with("backend: { kind: native, max_topics: 1 }"), "3:38: error: max_topics has no meaning with kind: native"),
        (
            with("backend: { url: mqtt://h, max_filters: 1 }"),
            "3:40: error: max_filters is for the embedded router, and has no meaning with a url",
        ),
    ]);
}

#[test]
fn a_bad_url_of_a_backend_is_reported_without_its_password() {
    const ENDS: &str = "3:10: error: the URL of a backend ends with its port, without a path, query or fragment; in a user \
        name or password, / is written %2F, ? is %3F and # is %23";
    assert_problems(&[
        (with("backend: mqtt://u:s3cret@h/path"), ENDS),
        (with("backend: mqtt://h:1883?keepalive=5"), ENDS),
        (with("backend: mqtt://u:s3/cret@h"), ENDS),
        (
            with("backend: mqtt://"),
            "3:10: error: a host is expected after the // of the URL, such as mqtt://broker.example:1883",
        ),
        (
            with("backend: mqtt://u:s3cret@:1883"),
            "3:10: error: a host is expected after the // of the URL, such as mqtt://broker.example:1883",
        ),
        (with("backend: mqtt://h%20h"), "3:10: error: a host name or address is expected in the URL, not \"h%20h\""),
        (
            with("backend: mqtt://h:0"),
            "3:10: error: after the `:` of the port, a whole number from 1 to 65535 is expected, not \"0\"",
        ),
        (
            with("backend: mqtt://fe80::1:1883"),
            "3:10: error: an IPv6 address is written in brackets, such as [::1]:1883, not \"fe80::1:1883\"",
        ),
        (
            with("backend: mqtt://[::1:1883"),
            "3:10: error: an IPv6 address is expected between [ and ], such as [::1]:1883, not \"[::1:1883\"",
        ),
        (with("backend: mqtt://:s3cret@h"), "3:10: error: before the `@` of the URL a user name is expected"),
        (
            with("backend: mqtt://u:s3cret%2@h"),
            "3:10: error: after a % in the user name or password of the URL two hexadecimal digits are expected; \
            % itself is written %25",
        ),
        (
            with("backend: { url: h:1883 }"),
            "3:17: error: a URL such as mqtt://host:1883 or mqtts://host:8883 is expected, not \"h:1883\"",
        ),
    ]);
}

#[test]
fn bad_credentials_and_files_of_a_backend_are_reported() {
    const TWICE: &str = "error: there is a password already; give one of password, password_file and that in the url";
    let in_url = format!("3:46: {TWICE}");
    let in_key = format!("3:62: {TWICE}");
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let empty = format!("backend: {{ url: mqtt://h, username: u, password_file: '{}' }}", empty.display());
    assert_problems(&[
        (
            with("backend: { url: mqtt://u@h, username: u }"),
            "3:39: error: the url has a user name already; give it there or here",
        ),
        (with("backend: { url: mqtt://u:s3cret@h, password: s3cret }"), &in_url),
        (with("backend: { url: mqtt://u@h, password: s3cret, password_file: /x }"), &in_key),
        (with("backend: { url: mqtt://h, password: s3cret }"), "3:37: error: password needs a username beside it"),
        (
            with("backend: { url: mqtt://h, username: '' }"),
            "3:37: error: a user name of 1 to 65535 bytes without U+0000 is expected",
        ),
        (
            with("backend: { url: mqtt://h, username: u, password_file: /nowhere/up }"),
            "3:55: error: \"/nowhere/up\" cannot be read: No such file or directory (os error 2)",
        ),
        (
            with("backend: { url: mqtt://h, ca_file: ca.pem }"),
            "3:36: error: ca_file is for TLS: the url must begin with mqtts://",
        ),
        (
            with("backend: { url: mqtts://h, cert_file: c.pem }"),
            "3:39: error: cert_file needs a key_file beside it, with the private key of the certificate",
        ),
        (
            with("backend: { url: mqtts://h, key_file: k.pem }"),
            "3:38: error: key_file needs a cert_file beside it, with the certificate",
        ),
        (with("backend: { url: mqtts://h, ca_file: '' }"), "3:37: error: the path of a file is expected"),
        (
            with("backend: { url: mqtts://h, server_name: 'a b' }"),
            "3:41: error: the name in the broker's certificate is expected, not \"a b\"",
        ),
    ]);
    let [problem] = &problems(&with(&empty))[..] else { panic!() };
    assert!(problem.ends_with("is empty; it is expected to hold the password"), "{problem}");
}

#[test]
fn bad_rules_are_reported() {
    const EXAMPLE: &str = "such as `{ allow: publish, topic: \"devices/%u/#\" }`";
    let both = format!("3:7: error: a rule either allows or denies something, {EXAMPLE}");
    let no_topic = format!("3:7: error: a rule needs a topic, {EXAMPLE}");
    assert_problems(&[
        (with("acl: [{ allow: all, deny: all, topic: x }]"), &both),
        (with("acl: [{ topic: x }]"), &both),
        (with("acl: [{ deny: all }]"), &no_topic),
        (
            with("acl: [{ deny: receive, topic: x }]"),
            "3:15: error: publish, subscribe or all is expected, not \"receive\"",
        ),
        (
            with("acl: [{ deny: all, topic: 'a/#/b' }]"),
            "3:27: error: \"a/#/b\" is no topic filter: `#` stands alone on the last level, as in sensors/#",
        ),
        (
            with("acl: [{ deny: all, topic: a+ }]"),
            "3:27: error: \"a+\" is no topic filter: `+` stands alone on a level, as in sensors/+/temperature",
        ),
        (
            with("acl: [{ deny: all, topic: a/%d }]"),
            "3:27: error: \"a/%d\" is no topic filter: the placeholders are %u (device), %c (client id) and %p (profile)",
        ),
        (
            with("acl: [{ deny: all, topic: '' }]"),
            "3:27: error: \"\" is no topic filter: it has 1 to 65535 bytes and no U+0000",
        ),
        (
            with("acl: [{ deny: all, topic: x, profile: acne }]"),
            "3:39: error: there is no profile \"acne\": the only one is acme",
        ),
        (with("acl: [deny]"), "3:7: error: keys and values are expected in a rule of acl, not the text \"deny\""),
        (with("acl_on_deny: ignore"), "3:14: error: disconnect or acknowledge is expected, not \"ignore\""),
        (with("anonymous: acne"), "3:12: error: there is no profile \"acne\": the only one is acme"),
    ]);
}

#[test]
fn a_file_without_profiles_is_told_that_one_is_needed() {
    const NEEDED: &str = "error: at least one profile is needed under `profiles`, or nobody can connect";
    for (text, place) in [
        ("", "1:1"),
        ("# nothing\n", "1:1"),
        (PLANS, "1:1"),
        ("plans:\nprofiles:\n", "2:1"),
        ("isolation: none\nprofiles: {}\n", "2:1"),
    ] {
        assert_problems(&[(text.into(), &format!("{place}: {NEEDED}"))]);
    }
    assert_problems(&[
        ("profiles: acme".into(), "1:11: error: keys and values are expected in profiles, not the text \"acme\""),
        ("[1, 2]".into(), "1:1: error: keys and values are expected in broker.yaml, not a list"),
    ]);
}

#[test]
fn a_key_that_is_there_twice_is_reported_where_it_is_the_second_time() {
    assert_problems(&[
        (
            with("isolation: none\nisolation: none"),
            "4:1: error: the key `isolation` is already on line 3; give it once",
        ),
        (
            with_devices("lamp: { token: a }\n      lamp: { token: b }"),
            "7:7: error: the key `lamp` is already on line 6; give it once",
        ),
    ]);
}

#[test]
fn broken_yaml_is_reported_with_its_place() {
    assert_problems(&[
        (with("mqtt: [1"), "3:7: error: this is not YAML: unclosed bracket '['"),
        (with("mqtt: a: b"), "3:8: error: this is not YAML: mapping values are not allowed in this context"),
        (with("a: *b"), "3:4: error: this is not YAML: reference to unknown value"),
    ]);
}

#[test]
fn all_problems_are_reported_in_the_order_of_the_file() {
    let text = "\
listeners: [{ address: nowhere }]
profiles:
  acme:
    plan: gold
    devices:
      pump 1: { token: a }
      pump-2: {}
plans:
  free: { publish: 250, recieve: 1/s, max_inflight: 0 }
anonymous: nobody
mqtt: { max_qos: 7 }
extra: 1
";
    let places: Vec<_> = Config::parse(text, "b.yaml")
        .unwrap_err()
        .problems
        .iter()
        .map(|problem| (problem.place.line, problem.place.column))
        .collect();
    let expected = [(1, 24), (4, 11), (6, 7), (7, 7), (9, 20), (9, 25), (9, 53), (10, 12), (11, 18), (12, 1)];
    assert_eq!(places, expected);
}

#[test]
fn an_error_is_shown_with_its_line_and_a_caret_under_the_column() {
    let text = with("anonymous:   é\nmqtt: 1");
    let error = Config::parse(&text, "b.yaml").unwrap_err();
    let expected = "\
b.yaml:3:14: error: there is no profile \"é\": the only one is acme
 3 | anonymous:   é
   |              ^
b.yaml:4:7: error: keys and values are expected in mqtt, not the text \"1\"
 4 | mqtt: 1
   |       ^";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_that_cannot_be_read_is_reported_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let report = |name: &str| Config::load(&directory.path().join(name)).unwrap_err().to_string();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();

    assert_eq!(report("none.yaml"), format!("{}: error: there is no such file", path("none.yaml")));
    assert!(report("").contains("it cannot be read: "), "{}", report(""));

    write("latin1.yaml", b"plans: {}\n# \xc3\xa9t\xe9\n");
    let expected = format!("{}:2:5: error: this is not UTF-8; save the file as UTF-8", path("latin1.yaml"));
    assert_eq!(report("latin1.yaml"), expected);

    write("large.yaml", &vec![b'#'; (16 << 20) + 1]);
    let expected = format!("{}: error: it is larger than 16 MiB, the most that is read", path("large.yaml"));
    assert_eq!(report("large.yaml"), expected);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "plans", "profiles", "acme", "devices", "limits", "acl", "mqtt", "token", ":", ": ", "\n", "\n  ", "- ",
                "{", "}", "[", "]", ", ", "&a ", "*a", "<<", "!!int ", "!!binary ", "\"", "'", "|", ">", "#", "? ", "~",
                "0x1", "1e9", ".inf", "é", "\u{feff}", "\t", "---\n", "%", "\r", "\0",
            ]),
            0..40,
        ),
    ) {
        let text = words.concat();
        if let Err(error) = Config::parse(&text, "b.yaml") {
            prop_assert!(!error.problems.is_empty());
            prop_assert!(error.to_string().contains("error: "));
        }
    }
}
