use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::outbox::{GIVEN_UP, Job, MOST, Next, Outbox};
use super::*;
use crate::clock::ManualClock;
use crate::config::hmac;
use crate::wire::{Connect, FiltersBuf, Packet, PacketId, Properties, QoS, RetainHandling, Subscribe};
use crate::wire::{SubscriptionOptions, Version, frame_header};
use crate::{Broker, Config};

const PATIENCE: Duration = Duration::from_secs(20);
/// 2026-11-21T12:45:09Z
const NOW: UnixMillis = UnixMillis(1_795_265_109_000);
const SECRET: &[u8] = b"0123456789abcdef-secret";

fn crossing(used: u64) -> Crossing {
    Crossing {
        profile: "acme".into(),
        device: None,
        resource: Resource::Publish,
        rate: "250/min".parse().unwrap(),
        used,
        window_ends: UnixMillis(NOW.0 + 51_000),
        percent: 80,
        at: NOW,
    }
}

// What is said.

#[test]
fn clients_and_the_webhook_are_told_what_how_much_and_until_when() {
    let named = Crossing { resource: Resource::Named("POST /\"x\"".into()), ..crossing(200) };
    assert_eq!(
        named.told(),
        r#"{"resource":"POST /\"x\"","limit":"250/min","used":200,"percent":80,"resets_at":"2026-11-21T12:46:00Z"}"#
    );
    let of_device = Crossing { device: Some("pump".into()), percent: 100, ..crossing(250) };
    assert_eq!(
        of_device.body("7f"),
        r#"{"id":"7f","type":"limit","at":"2026-11-21T12:45:09Z","profile":"acme","device":"pump","resource":"publish","limit":"250/min","used":250,"percent":100,"resets_at":"2026-11-21T12:46:00Z"}"#
    );
    assert_eq!(serde_json::from_str::<Value>(&crossing(1).body("7f")).unwrap()["device"], Value::Null);
}

#[test]
fn the_last_crossings_are_kept_and_those_before_are_known_to_be_missed() {
    let recent = Recent::default();
    recent.push(crossing(1));
    let heard = recent.count();
    assert!(recent.since(heard).crossings.is_empty());
    recent.push(crossing(2));
    let news = recent.since(heard);
    assert_eq!((news.count, news.missed, news.crossings[0].used), (2, 0, 2));
    (0..100).for_each(|used| recent.push(crossing(used)));
    let news = recent.since(heard);
    assert_eq!((news.count, news.missed, news.crossings.len()), (102, 37, KEPT));
    assert_eq!((news.crossings[0].used, news.crossings[KEPT - 1].used), (36, 99));
}

// Retries, on a made-up clock.

fn job(number: usize, entered: u64) -> Job {
    Job { id: number.to_string(), body: String::new(), entered, failures: 0 }
}

#[test]
fn an_event_is_tried_again_with_growing_pauses_for_about_ten_minutes() {
    for chance in [0.0, 1.0] {
        let mut outbox = Outbox::default();
        outbox.enter(job(1, 0));
        let (mut now, mut pauses) = (0, Vec::new());
        let given_up = loop {
            let Next::Send(job) = outbox.next(now) else { panic!("it is its turn") };
            let (old, dropped) = outbox.failed(job, now, chance);
            assert!(!dropped);
            if !old.is_empty() {
                break old;
            }
            let Next::Wait(until) = outbox.next(now) else { panic!("it waits") };
            assert_eq!(outbox.next(until - 1), Next::Wait(until));
            pauses.push(until - now);
            now = until;
        };
        let doubled = [1, 2, 4, 8, 16, 32, 64].into_iter().chain(std::iter::repeat(120));
        let part = if chance == 0.0 { 500 } else { 1_000 };
        let expected: Vec<u64> = doubled.map(|seconds| seconds * part).take(pauses.len()).collect();
        assert_eq!(pauses, expected);
        assert!((GIVEN_UP - 120_000..=GIVEN_UP).contains(&now), "given up after {now} ms");
        assert_eq!((given_up.len(), given_up[0].failures as usize), (1, pauses.len() + 1));
        assert_eq!(outbox.next(u64::MAX), Next::Nothing);
    }
}

#[test]
fn nothing_passes_what_was_not_taken_and_an_answer_ends_the_pauses() {
    let mut outbox = Outbox::default();
    (1..=3).for_each(|number| _ = outbox.enter(job(number, 0)));
    let Next::Send(first) = outbox.next(0) else { panic!("there is one") };
    outbox.failed(first, 0, 1.0);
    assert_eq!(outbox.next(999), Next::Wait(1_000));
    let mut order = Vec::new();
    while let Next::Send(job) = outbox.next(1_000) {
        outbox.answered();
        order.push(job.id);
    }
    assert_eq!(order, ["1", "2", "3"]);
}

#[test]
fn of_too_many_events_the_oldest_are_dropped() {
    let mut outbox = Outbox::default();
    let dropped = (0..MOST + 2).filter(|number| outbox.enter(job(*number, 0))).count();
    assert_eq!(dropped, 2);
    let Next::Send(oldest) = outbox.next(0) else { panic!("there is one") };
    assert_eq!(oldest.id, "2");
    // While it is on its way another takes its place: it is the oldest, and goes when it comes back.
    assert!(!outbox.enter(job(MOST + 2, 0)));
    let (old, dropped) = outbox.failed(oldest, 0, 0.0);
    assert!(old.is_empty() && dropped);
    assert_eq!(outbox.drain().len(), MOST);
}

#[test]
fn events_that_have_waited_as_long_are_given_up_together() {
    let mut outbox = Outbox::default();
    for (number, entered) in [(1, 0), (2, 1_000), (3, GIVEN_UP)] {
        outbox.enter(job(number, entered));
    }
    let Next::Send(first) = outbox.next(GIVEN_UP + 2_000) else { panic!("there is one") };
    let (old, _) = outbox.failed(first, GIVEN_UP + 2_000, 0.0);
    assert_eq!(old.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

// The webhook, over a socket.

/// A request as the receiver saw it.
struct Seen {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

/// A receiver that answers with these statuses, one request after the other.
fn receiver(answers: &'static [&'static str]) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/weir?k=1", listener.local_addr().unwrap());
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let request = read_request(&stream);
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&stream).write_all(answer.as_bytes()).unwrap();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (url, seen)
}

fn read_request(stream: &TcpStream) -> Seen {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        lines.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    lines.read_exact(&mut body).unwrap();
    Seen { line: line.trim().to_owned(), headers, body: String::from_utf8(body).unwrap() }
}

fn events(url: &str) -> (Events, Arc<Stats>) {
    let stats = Arc::<Stats>::default();
    let webhook = config::Webhook { url: url.to_owned(), secret: SECRET.into(), timeout: Duration::from_secs(5) };
    let config = config::Events { log: true, webhook: Some(webhook) };
    let clock = Clock::Manual(ManualClock::at(NOW));
    (Events::new(&config, Arc::clone(&stats), clock), stats)
}

/// Waits for a figure that another thread is about to raise.
fn wait_for(figure: impl Fn() -> u64, expected: u64) {
    let begun = Instant::now();
    while figure() != expected && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(figure(), expected);
}

#[test]
fn an_event_that_is_not_taken_is_sent_again_under_the_same_identifier_and_signed() {
    let (url, seen) = receiver(&["500 Oops", "503 Later", "200 OK"]);
    let (events, stats) = events(&url);
    events.crossed(&crossing(200));
    let attempts: Vec<Seen> = (0..3).map(|_| seen.recv_timeout(PATIENCE).expect("it comes again")).collect();
    wait_for(|| stats.webhooks_sent.get(), 1);
    assert_eq!(stats.webhooks_failed.get(), 0);
    for Seen { line, headers, body } in &attempts {
        assert_eq!(line, "POST /weir?k=1 HTTP/1.1");
        assert_eq!(headers["content-type"], "application/json");
        let id = &headers["weir-event-id"];
        assert_eq!((id.len(), id), (32, &attempts[0].headers["weir-event-id"]));
        let expected = json!({
            "id": id, "type": "limit", "at": "2026-11-21T12:45:09Z", "profile": "acme", "device": null,
            "resource": "publish", "limit": "250/min", "used": 200, "percent": 80, "resets_at": "2026-11-21T12:46:00Z",
        });
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
        let signed = hmac(SECRET, format!("{}.{body}", NOW.0 / 1000).as_bytes());
        let hex: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(headers["weir-signature"], format!("t={},v1={hex}", NOW.0 / 1000));
    }
}

#[test]
fn an_event_that_is_refused_or_redirected_is_not_sent_again_and_does_not_hold_up_the_next() {
    let (url, seen) = receiver(&["400 Bad Request", "302 Found\r\nLocation: http://127.0.0.1:9/", "200 OK"]);
    let (events, stats) = events(&url);
    (1..=3).for_each(|used| events.crossed(&crossing(used)));
    let used = |seen: Seen| serde_json::from_str::<Value>(&seen.body).unwrap()["used"].as_u64();
    let all: Vec<_> = (0..3).map(|_| used(seen.recv_timeout(PATIENCE).expect("the next comes"))).collect();
    assert_eq!(all, [Some(1), Some(2), Some(3)], "in their order");
    wait_for(|| stats.webhooks_sent.get(), 1);
    assert_eq!(stats.webhooks_failed.get(), 2);
}

#[test]
fn what_waits_is_sent_before_the_end_where_that_takes_no_longer_than_a_second() {
    let (url, seen) = receiver(&["500 Oops", "200 OK"]);
    let (events, stats) = events(&url);
    events.crossed(&crossing(1));
    seen.recv_timeout(PATIENCE).expect("it comes");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(events.finish());
    assert_eq!((stats.webhooks_sent.get(), stats.webhooks_failed.get()), (1, 0));

    // One that does not answer is not waited for.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (events, stats) = self::events(&format!("http://{}", silent.local_addr().unwrap()));
    (1..=3).for_each(|used| events.crossed(&crossing(used)));
    let (_asked, _) = silent.accept().unwrap();
    let begun = Instant::now();
    runtime.block_on(events.finish());
    assert!((1..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(stats.webhooks_failed.get(), 2, "and the third is still on its way");
}

#[test]
fn where_the_webhook_is_taken_out_what_waits_is_dropped_and_counted() {
    let (url, seen) = receiver(&["500 Oops"]);
    let (events, stats) = events(&url);
    events.crossed(&crossing(1));
    seen.recv_timeout(PATIENCE).expect("it comes");
    events.crossed(&crossing(2));
    events.configure(&config::Events::default());
    wait_for(|| stats.webhooks_dropped.get(), 2);
    events.crossed(&crossing(3));
    assert_eq!(stats.webhooks_dropped.get(), 2, "nothing is entered any more");
}

// The messages to clients.

const CONFIG: &str = "listeners: [{ address: \"127.0.0.1:0\" }]
plans: { p: { publish: 250/min } }
profiles:
  acme: { plan: p, devices: { pump: { token: pump, limits: { publish: 9/min } }, valve: { token: valve } } }
  other: { plan: p, devices: { lamp: { token: lamp } } }
";

struct Listener {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Listener {
    /// A client with this token that has subscribed `$limits/+` and `$limits/device/event`, and has read what it is told at once.
    fn new(address: std::net::SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut listener = Listener { stream, buffer: Vec::new() };
        listener.send(&Packet::Connect(Connect {
            version: Version::V4,
            clean_start: true,
            keep_alive: 0,
            properties: Properties::EMPTY,
            client_id: token,
            will: None,
            user_name: Some("Token"),
            password: Some(token.as_bytes()),
        }));
        let mut filters = FiltersBuf::default();
        let options = SubscriptionOptions {
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        for filter in ["$limits/event", "$limits/device/event"] {
            filters.push(filter, options).unwrap();
        }
        let packet_id = PacketId::new(1).unwrap();
        let filters = filters.as_filters();
        listener.send(&Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, filters }));
        assert_eq!((listener.frame()[0], listener.frame()[0]), (0x20, 0x90));
        listener.expect_nothing();
        listener
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(Version::V4, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    fn frame(&mut self) -> Vec<u8> {
        loop {
            if let Ok(Some(header)) = frame_header(&self.buffer, usize::MAX)
                && self.buffer.len() >= header.total_len()
            {
                return self.buffer.drain(..header.total_len()).collect();
            }
            let mut chunk = [0; 1024];
            let read = self.stream.read(&mut chunk).unwrap();
            assert!(read > 0, "the connection was closed");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// The topic and the payload of the next PUBLISH.
    fn expect_publish(&mut self) -> (String, Value) {
        let frame = self.frame();
        assert_eq!(frame[0], 0x30, "{frame:02x?}");
        let header = frame_header(&frame, usize::MAX).unwrap().unwrap().header_len;
        let topic = usize::from(frame[header]) << 8 | usize::from(frame[header + 1]);
        let (topic, payload) = frame[header + 2..].split_at(topic);
        (String::from_utf8(topic.to_vec()).unwrap(), serde_json::from_slice(payload).unwrap())
    }

    fn expect_nothing(&mut self) {
        for _ in 0..2 {
            self.send(&Packet::PingReq);
            assert_eq!(self.frame(), [0xD0, 0]);
        }
    }
}

#[test]
fn the_clients_that_listen_are_told_of_their_profile_and_of_their_own_device() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = Config::parse(CONFIG, "broker.yaml").unwrap();
    let clock = Clock::Manual(ManualClock::at(NOW));
    let broker = runtime.block_on(Broker::builder(config).clock(clock).start()).unwrap();
    let crate::BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("a TCP listener") };
    let mut pump = Listener::new(address, "pump");
    let mut valve = Listener::new(address, "valve");
    let mut lamp = Listener::new(address, "lamp");

    broker.hub().crossed(&crossing(200));
    let expected = json!({
        "resource": "publish", "limit": "250/min", "used": 200, "percent": 80, "resets_at": "2026-11-21T12:46:00Z",
    });
    for client in [&mut pump, &mut valve] {
        assert_eq!(client.expect_publish(), ("$limits/event".to_owned(), expected.clone()));
    }
    let of_device = Crossing { device: Some("pump".into()), rate: "9/min".parse().unwrap(), ..crossing(8) };
    broker.hub().crossed(&of_device);
    let (topic, told) = pump.expect_publish();
    assert_eq!((topic.as_str(), &told["limit"]), ("$limits/device/event", &json!("9/min")));
    // Each of two is told, in their order.
    broker.hub().crossed(&crossing(201));
    broker.hub().crossed(&Crossing { percent: 100, ..crossing(250) });
    assert_eq!(
        (pump.expect_publish().1["percent"].as_u64(), pump.expect_publish().1["percent"].as_u64()),
        (Some(80), Some(100))
    );
    assert_eq!(
        (valve.expect_publish().1["used"].as_u64(), valve.expect_publish().1["used"].as_u64()),
        (Some(201), Some(250))
    );
    for client in [&mut pump, &mut valve, &mut lamp] {
        client.expect_nothing();
    }
    // A profile that is not there any more is nobody's.
    broker.hub().crossed(&Crossing { profile: "gone".into(), ..crossing(1) });
    runtime.block_on(broker.shutdown());
}
