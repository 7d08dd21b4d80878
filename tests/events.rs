//! Limits that are nearly or quite full, on the real binary: the log, the message to those who subscribe `$limits/#`, and the
//! webhook, once a window.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use common::{Client, PATIENCE, Weir};
use serde_json::{Value, json};
use weir::wire::{QoS, Version};

const CONFIG: &str = "plans: { p: { publish: 10/min } }
profiles:
  acme: { plan: p, devices: { pump: { token: pump, limits: { publish: 5/min } }, valve: { token: valve } } }
  other: { plan: p, devices: { lamp: { token: lamp } } }
";

fn watcher(weir: &Weir, token: &str) -> Client {
    let mut client = weir.client(Version::V5, token, &format!("watcher-{token}"));
    client.subscribe("$limits/event", QoS::AtMostOnce);
    assert_eq!(*client.try_subscribe(2, "$limits/device/event", QoS::AtMostOnce).last().expect("a code"), 0);
    client
}

fn publish(client: &mut Client, times: usize) {
    for _ in 0..times {
        client.publish("t", b"m", QoS::AtMostOnce, 0);
    }
    client.expect_nothing();
}

/// The next event: its topic, how much is used, and how full that is.
fn expect_event(client: &mut Client) -> (String, Value) {
    let received = client.expect_publish();
    (received.topic, serde_json::from_slice(&received.payload).expect("JSON"))
}

#[test]
fn the_clients_of_a_profile_are_told_at_80_and_at_100_percent_once_a_window() {
    let mut weir = Weir::at("2026-11-21T12:45:09Z", CONFIG);
    let (mut valve, mut lamp) = (watcher(&weir, "valve"), watcher(&weir, "lamp"));
    let mut publisher = weir.client(Version::V5, "valve", "publisher");
    publish(&mut publisher, 7);
    weir.clock("+1s");
    assert!(valve.deliveries().is_empty(), "7 of 10");
    publish(&mut publisher, 1);
    weir.clock("+1s");
    let event = |used: u64, percent: u64| {
        json!({
            "resource": "publish", "limit": "10/min", "used": used, "percent": percent,
            "resets_at": "2026-11-21T12:46:00Z",
        })
    };
    assert_eq!(expect_event(&mut valve), ("$limits/event".to_owned(), event(8, 80)));
    weir.wait_for_log("a limit is nearly full");
    publish(&mut publisher, 2);
    weir.clock("+1s");
    assert_eq!(expect_event(&mut valve), ("$limits/event".to_owned(), event(10, 100)));
    weir.wait_for_log("a limit is full");
    publish(&mut publisher, 5);
    weir.clock("+1s");
    assert!(valve.deliveries().is_empty(), "once a window");
    // Another window.
    weir.clock("2026-11-21T12:46:00Z");
    publish(&mut publisher, 8);
    weir.clock("+1s");
    assert_eq!(expect_event(&mut valve).1["resets_at"], "2026-11-21T12:47:00Z");
    assert!(lamp.deliveries().is_empty(), "it is of another profile");
}

#[test]
fn a_device_is_told_of_its_own_rates_and_no_other_is() {
    let mut weir = Weir::at("2026-11-21T12:45:09Z", CONFIG);
    let (mut pump, mut valve) = (watcher(&weir, "pump"), watcher(&weir, "valve"));
    let mut publisher = weir.client(Version::V5, "pump", "publisher");
    publish(&mut publisher, 4);
    weir.clock("+1s");
    let (topic, event) = expect_event(&mut pump);
    assert_eq!((topic.as_str(), &event["limit"], &event["used"]), ("$limits/device/event", &json!("5/min"), &json!(4)));
    assert!(valve.deliveries().is_empty());
}

/// A receiver of one event, which it takes.
fn receiver() -> (String, Receiver<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the broker connects");
        let mut lines = BufReader::new(&stream);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a line");
            if line.trim().is_empty() {
                break;
            }
            headers.push(line.trim().to_ascii_lowercase());
        }
        let length = headers.iter().find_map(|header| header.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        lines.read_exact(&mut body).expect("the body");
        (&stream).write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("the broker reads");
        sender.send((headers, String::from_utf8(body).expect("text")))
    });
    (url, seen)
}

#[test]
fn the_webhook_is_sent_what_has_happened_signed() {
    let (url, seen) = receiver();
    let webhook = format!("events: {{ log: false, webhook: {{ url: \"{url}\", secret: 0123456789abcdef }} }}\n");
    let mut weir = Weir::at("2026-11-21T12:45:09Z", &format!("{CONFIG}{webhook}"));
    let mut publisher = weir.client(Version::V5, "valve", "publisher");
    publish(&mut publisher, 8);
    weir.clock("+1s");
    let (headers, body) = seen.recv_timeout(PATIENCE).expect("it is called");
    let event: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&event["profile"], &event["percent"], &event["used"]), (&json!("acme"), &json!(80), &json!(8)));
    assert!(headers.iter().any(|header| header.starts_with("weir-signature: t=1795265110,v1=")), "{headers:?}");
    weir.signal("TERM");
    weir.wait_for_exit();
    assert!(!weir.whole_log().contains("0123456789abcdef"), "the secret is in no log");
}
