//! The broker itself, its health, its description, and what is at no path.

use super::common::Weir;
use super::common::http::{admin, get, request};
use super::{CONFIG, weir};

#[test]
fn the_system_says_what_the_broker_takes_and_does() {
    let mut weir = weir();
    weir.clock("+90s");
    let system = get(&weir, "/api/v1/system");
    assert_eq!((&system["version"], &system["uptime_seconds"]), (&env!("CARGO_PKG_VERSION").into(), &90.into()));
    assert_eq!(system["now"], "2026-11-21T12:46:39Z");
    assert!(system["memory"].as_u64().unwrap() > 1 << 20);
    assert_eq!(system["figures"]["messages_in"], 0);
    let history = get(&weir, "/api/v1/system/history?step=60");
    assert_eq!(history["step_seconds"], 60);
    let wrong = [
        ("step=5", "`step`: a whole number from 10 to 86400 is expected, not \"5\""),
        ("from=200&to=100", "`from` must be before `to`, and before now where there is no `to`"),
        ("from=0", "more than 20000 steps: a shorter time or a longer step is expected"),
    ];
    for (query, expected) in wrong {
        assert_eq!(admin(&weir, "GET", &format!("/api/v1/system/history?{query}"), "").problem(400), expected);
    }
}

#[test]
fn readiness_is_refused_while_the_backend_is_away() {
    // Nobody listens there.
    let weir = Weir::now(&format!("{CONFIG}backend: \"mqtt://127.0.0.1:1\"\n"));
    let answer = request(weir.admin(), "GET", "/readyz", &[], b"");
    assert_eq!(answer.problem(503), "the broker behind this one is away");
    assert_eq!(request(weir.admin(), "GET", "/healthz", &[], b"").text(), "ok\n");
}

#[test]
fn readiness_is_refused_while_the_broker_says_goodbye() {
    use std::io::{Read, Write};
    let mut weir = weir();
    // A connection in its handshake is waited for; this one says nothing.
    let _silent = weir.client(weir::wire::Version::V4, "t-pump", "c");
    let admin = weir.admin();
    let kept: Vec<_> = (0..50).map(|_| super::common::http::socket(admin)).collect();
    weir.signal("TERM");
    weir.wait_for_log("shutting down");
    for mut socket in kept {
        let asked = socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        // The broker may be gone by then, or only about to begin.
        if asked.is_err() || socket.read_to_string(&mut answer).is_err() || !answer.starts_with("HTTP/1.1 200") {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
            break;
        }
    }
    assert_eq!(weir.wait_for_exit(), 0);
}

#[test]
fn the_description_is_openapi_3_1_and_names_every_call() {
    let weir = weir();
    let description = get(&weir, "/api/v1/openapi.json");
    assert_eq!(description["openapi"], "3.1.0");
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    let mut expected = [
        "/api/v1/check",
        "/api/v1/clients",
        "/api/v1/clients/{profile}/{client_id}",
        "/api/v1/events",
        "/api/v1/openapi.json",
        "/api/v1/profiles",
        "/api/v1/profiles/{profile}/devices",
        "/api/v1/profiles/{profile}/devices/{device}",
        "/api/v1/profiles/{profile}/limits",
        "/api/v1/profiles/{profile}/usage",
        "/api/v1/system",
        "/api/v1/system/history",
        "/data",
        "/healthz",
        "/metrics",
        "/readyz",
    ];
    expected.sort();
    assert_eq!(paths, expected);
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let open = path == "/healthz" || path == "/readyz";
            assert_eq!(operation["security"].is_null(), open, "{method} {path} says who may call it");
            assert_eq!(operation["responses"]["401"].is_null(), open, "{method} {path}");
        }
    }
}

#[test]
fn what_is_at_no_path_or_has_no_such_method_is_a_problem_too() {
    let weir = weir();
    for path in ["/nothing", "/api/v1/nothing", "/api/v1/profiles/a/b/c", "/api"] {
        assert!(admin(&weir, "GET", path, "").problem(404).starts_with("there is nothing at this path"), "{path}");
    }
    let cases = [
        ("DELETE", "/api/v1/profiles", "GET,HEAD"),
        ("PUT", "/api/v1/check", "GET,HEAD,POST"),
        ("GET", "/data", "POST"),
    ];
    for (method, path, allowed) in cases {
        let answer = admin(&weir, method, path, "");
        answer.problem(405);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[test]
fn without_admin_nothing_is_served_and_a_port_that_is_in_use_is_told_with_its_place() {
    use weir::{Broker, Config};
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = "listeners: [{ address: \"127.0.0.1:0\" }]\n";
    let without = CONFIG.replace("admin: { address: \"127.0.0.1:0\" }\n", "");
    let config = Config::parse(&format!("{listener}{without}"), "broker.yaml").unwrap();
    let broker = runtime.block_on(Broker::builder(config).start()).unwrap();
    assert_eq!(broker.admin_address(), None);
    runtime.block_on(broker.shutdown());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = format!("{listener}{}", CONFIG.replace("127.0.0.1:0", &address));
    let config = Config::parse(&text, "broker.yaml").unwrap();
    let error = runtime.block_on(Broker::builder(config).start()).err().unwrap().to_string();
    let expected = format!(
        "broker.yaml:3:19: error: cannot listen on {address}: Address already in use (os error 98); another program listens \
         there: stop it, or choose another port"
    );
    assert_eq!(error, expected);
}
