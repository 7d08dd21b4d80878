//! What was used over time: it adds up to what the clients counted, through an end and a kill of the broker; and a restart is no way
//! round a limit. The real binary, its clock moved by hand, and the embedded broker where history is asked for while it runs.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{Client, LISTENER, Weir, publish};
use tempfile::TempDir;
use weir::limits::UnixMillis;
use weir::usage::{Step, Usage};
use weir::wire::{Packet, Publish, QoS, Version};
use weir::{BoundAddress, Broker, Clock, Config, ManualClock};

const START: &str = "2026-11-21T12:45:09Z";

fn utc(text: &str) -> UnixMillis {
    let timestamp: jiff::Timestamp = text.parse().expect("a time");
    UnixMillis(timestamp.as_millisecond().try_into().expect("after 1970"))
}

/// The profile `acme` on a plan that says this, with the devices `a` and `b`, of which `b` has a rate of its own.
fn config(data_dir: &Path, plan: &str) -> String {
    format!(
        "data_dir: \"{}\"\nplans: {{ tight: {{ {plan} }} }}\nprofiles:\n  acme: {{ plan: tight, devices: {{ a: {{ token: a }}, \
         b: {{ token: b, limits: {{ publish: 150/min }} }} }} }}\n",
        data_dir.display()
    )
}

/// Publishes at QoS 1; whether that was served.
fn served(client: &mut Client) -> bool {
    client.publish("t", b"12345", QoS::AtLeastOnce, 1);
    let puback = client.frame();
    let served = puback == [0x40, 3, 0, 1, 0x10];
    assert!(served || puback[4] == 0x97, "a PUBACK: {puback:02x?}");
    served
}

/// Publishes so many, served or not.
fn publish_many(client: &mut Client, many: usize) {
    for _ in 0..many {
        served(client);
    }
}

/// How a broker comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Told,
    Killed,
}

/// Starts a broker that says when it has collected what was counted.
fn start(time: &str, config: &str) -> Weir {
    Weir::with_args(&format!("{LISTENER}{config}"), &["--log-level", "trace", "--clock", time])
}

/// Ends a broker whose clients are gone, at this time of its clock; one that is killed, when it has collected once more.
fn end(mut weir: Weir, how: End, now: UnixMillis) {
    match how {
        End::Told => {
            weir.signal("TERM");
            assert_eq!(weir.wait_for_exit(), 0);
        }
        End::Killed => {
            weir.clock("+1s");
            weir.wait_for_log(&format!("usage collected at={}", now.0 + 1_000));
            weir.signal("KILL");
            weir.wait_for_exit();
        }
    }
}

#[test]
fn a_restart_is_no_way_round_a_limit() {
    // The rates, how many were used before, and when the broker is back.
    let rows = [
        ("250/min", 200, "2026-11-21T12:45:30Z", 50),
        ("[1k/s, 250/min]", 200, "2026-11-21T12:45:30Z", 50),
        ("30/h", 20, "2026-11-21T12:59:59Z", 10),
        ("30/day", 20, "2026-11-21T23:59:59Z", 10),
        ("[20/min, 30/month]", 20, "2026-11-30T23:59:59Z", 10),
        ("20/h", 25, "2026-11-21T12:59:59Z", 0),
        // Those windows are over.
        ("20/min", 20, "2026-11-21T12:46:00Z", 20),
        ("20/month", 20, "2026-12-01T00:00:00Z", 20),
    ];
    for how in [End::Told, End::Killed] {
        for (rates, before, back, left) in rows {
            let data_dir = TempDir::new().expect("a directory");
            let config = config(data_dir.path(), &format!("publish: {rates}"));
            let weir = start(START, &config);
            let mut client = weir.client(Version::V5, "a", "client");
            publish_many(&mut client, before);
            drop(client);
            end(weir, how, utc(START));
            let weir = start(back, &config);
            let mut client = weir.client(Version::V5, "a", "client");
            let after = (0..left + 5).filter(|_| served(&mut client)).count();
            assert_eq!(after, left, "{rates}, {how:?}");
        }
    }
}

#[test]
fn a_restart_is_no_way_round_the_rates_of_a_device_or_of_connects() {
    for how in [End::Told, End::Killed] {
        let data_dir = TempDir::new().expect("a directory");
        let config = config(data_dir.path(), "connect: 3/min");
        let weir = start(START, &config);
        let mut client = weir.client(Version::V5, "b", "client");
        assert_eq!((0..140).filter(|_| served(&mut client)).count(), 140);
        drop(client);
        end(weir, how, utc(START));
        let weir = start("2026-11-21T12:45:59Z", &config);
        let mut client = weir.client(Version::V5, "b", "client");
        assert_eq!((0..20).filter(|_| served(&mut client)).count(), 10, "{how:?}");
        let _third = weir.client(Version::V5, "a", "third");
        let (_, connack) = weir.try_connect(&common::connect(Version::V5, "a", "fourth"));
        assert_eq!(connack[3], 0x9F, "{how:?}");
    }
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What the clients have counted, by device and resource and minute: used and denied.
type Counts = BTreeMap<(Option<&'static str>, &'static str, UnixMillis), (u64, u64)>;

#[test]
fn minutes_add_up_to_what_the_clients_counted_through_ends_and_kills() {
    let data_dir = TempDir::new().expect("a directory");
    let config = config(data_dir.path(), "publish: 40/min, publish_bytes: 1GiB/h, connect: 1k/min");
    let mut random = Random(0x5EED);
    let mut expected = Counts::new();
    let mut now = utc(START);
    for ending in [End::Killed, End::Told, End::Killed, End::Killed, End::Told] {
        let time = jiff::Timestamp::from_millisecond(now.0 as i64).expect("a time").to_string();
        let mut weir = start(&time, &config);
        let mut clients = ["a", "b"].map(|token| weir.client(Version::V5, token, token));
        let mut count = |now: UnixMillis, device, resource, used, denied| {
            let minute = UnixMillis(now.0 / 60_000 * 60_000);
            let counts = expected.entry((device, resource, minute)).or_default();
            (counts.0, counts.1) = (counts.0 + used, counts.1 + denied);
        };
        count(now, None, "connect", 2, 0);
        for _ in 0..25 {
            let who = random.below(2) as usize;
            for _ in 0..random.below(12) {
                let (yes, no) = if served(&mut clients[who]) { (1, 0) } else { (0, 1) };
                count(now, None, "publish", yes, no);
                count(now, None, "publish_bytes", yes * 5, 0);
                if who == 1 {
                    count(now, Some("b"), "publish", yes, 0);
                }
            }
            let seconds = random.below(8);
            weir.clock(&format!("+{seconds}s"));
            now.0 += seconds * 1_000;
        }
        // Something is counted in the last second too.
        let mut last = weir.client(Version::V5, "a", "last");
        last.expect_nothing();
        count(now, None, "connect", 1, 0);
        drop((clients, last));
        end(weir, ending, now);
        now.0 += 1_000;
    }
    expected.retain(|_, counts| *counts != (0, 0));
    let usage = Usage::open(Some(data_dir.path())).expect("nobody else has it open");
    let mut told = Counts::new();
    for (device, resource) in [(None, "connect"), (None, "publish"), (None, "publish_bytes"), (Some("b"), "publish")] {
        let to = UnixMillis(now.0 + 1);
        let minutes = usage.series("acme", device, resource, utc(START), to, Step::Minute).expect("it is read");
        for minute in minutes.iter().filter(|minute| minute.used + minute.denied > 0) {
            told.insert((device, resource, minute.at), (minute.used, minute.denied));
        }
    }
    assert_eq!(told, expected);
    assert!(told.values().any(|(_, denied)| *denied > 0), "some were denied");
}

#[test]
fn a_clock_set_back_counts_nothing_twice_and_loses_nothing() {
    let data_dir = TempDir::new().expect("a directory");
    let config = config(data_dir.path(), "publish: [1k/s, 1k/h]");
    let times = ["2026-11-21T12:46:30Z", "2026-11-21T12:30:10Z", "2026-11-21T12:31:00Z"];
    for time in times {
        let mut weir = start(time, &config);
        let mut client = weir.client(Version::V5, "a", "client");
        assert!((0..10).all(|_| served(&mut client)));
        weir.clock("2026-11-21T12:29:00Z");
        assert!((0..10).all(|_| served(&mut client)));
        drop(client);
        end(weir, End::Told, utc(time));
    }
    let usage = Usage::open(Some(data_dir.path())).expect("nobody else has it open");
    let (from, to) = (utc("2026-11-21T12:00:00Z"), utc("2026-11-21T13:00:00Z"));
    for step in [Step::Minute, Step::Hour, Step::Day, Step::Month] {
        let points = usage.series("acme", None, "publish", from, to, step).expect("it is read");
        assert_eq!(points.iter().map(|point| point.used).sum::<u64>(), 60, "{step:?}");
    }
}

#[test]
fn a_rate_that_is_nearly_and_then_wholly_used_up_is_logged_once() {
    let mut weir = Weir::at(START, &on_memory("publish: 10/min"));
    let mut client = weir.client(Version::V5, "a", "client");
    assert!((0..8).all(|_| served(&mut client)));
    weir.clock("+1s");
    let line = weir.wait_for_log("a limit is nearly full");
    for part in [
        "WARN",
        "profile=acme",
        "resource=publish",
        "limit=10/min",
        "used=8",
        "percent=80",
        "resets_at=2026-11-21T12:46:00Z",
    ] {
        assert!(line.contains(part), "{line}");
    }
    publish_many(&mut client, 9);
    weir.clock("2026-11-21T12:46:05Z");
    let line = weir.wait_for_log("a limit is full");
    for part in ["used=10", "percent=100", "resets_at=2026-11-21T12:46:00Z"] {
        assert!(line.contains(part), "{line}");
    }
}

fn on_memory(plan: &str) -> String {
    format!(
        "plans: {{ tight: {{ {plan} }} }}\nprofiles: {{ acme: {{ plan: tight, devices: {{ a: {{ token: a }} }} }} }}\n"
    )
}

/// Runs the broker with this configuration, which it cannot use.
fn run(config: &str) -> Output {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("broker.yaml");
    std::fs::write(&path, format!("{LISTENER}{config}")).expect("the configuration is written");
    Command::new(env!("CARGO_BIN_EXE_weir")).arg("--config").arg(path).output().expect("the binary starts")
}

#[test]
fn a_data_dir_that_cannot_be_used_ends_the_start_with_code_2_and_says_what_to_do() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file is written");
    let output = run(&config(&file, ""));
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!("error: `data_dir: {0}`: cannot use {0}/store: ", file.display());
    assert!(error.contains(&expected) && error.contains("`data_dir` must be a directory, not a file"), "{error}");

    let _weir = Weir::at(START, &config(directory.path(), ""));
    let output = run(&config(directory.path(), ""));
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("another broker uses") && error.contains("give this one a `data_dir` of its own"),
        "{error}"
    );
}

#[test]
fn another_data_dir_needs_a_restart() {
    let directories = [TempDir::new(), TempDir::new()].map(|made| made.expect("a directory"));
    let mut weir = Weir::at(START, &config(directories[0].path(), ""));
    weir.reload(&config(directories[1].path(), ""));
    weir.wait_for_log("`data_dir` has changed: that needs a restart");
}

/// An embedded broker with this configuration, and a client of device `a`.
async fn embedded(config: &str, clock: &std::sync::Arc<ManualClock>) -> (Broker, Client) {
    let config = Config::parse(&format!("{LISTENER}{config}"), "test").expect("a configuration");
    let broker = Broker::builder(config).clock(Clock::Manual(clock.clone())).start().await.expect("it starts");
    let BoundAddress::Tcp(address) = broker.addresses()[0] else { panic!("a TCP listener") };
    let client = tokio::task::spawn_blocking(move || {
        let mut client = Client::to(address);
        client.send(&Packet::Connect(common::connect(Version::V5, "a", "client")));
        assert_eq!(client.frame()[3], 0);
        client
    });
    (broker, client.await.expect("it connects"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_takes_away_keeps_its_history_to_the_last_count() {
    let data_dir = TempDir::new().expect("a directory");
    let clock = ManualClock::at(utc(START));
    let limited = |devices: &str, names: &str| {
        format!(
            "data_dir: \"{}\"\nplans: {{ tight: {{ publish: 100/h{names} }} }}\nprofiles:\n  \
             acme: {{ plan: tight, devices: {{ {devices} }} }}\n  other: {{ plan: tight }}\n",
            data_dir.path().display()
        )
    };
    let with = limited("a: { token: a, limits: { publish: 50/min } }", "");
    let (broker, mut client) = embedded(&with, &clock).await;
    let publishing = tokio::task::spawn_blocking(move || {
        assert!((0..7).all(|_| served(&mut client)));
        client
    });
    let client = publishing.await.expect("it publishes");
    let config = Config::parse(&format!("{LISTENER}{}", limited("c: { token: c }", "")), "test").expect("valid");
    assert!(broker.reload(config).is_empty());
    drop(client);
    broker.shutdown().await;

    let usage = Usage::open(Some(data_dir.path())).expect("nobody else has it open");
    for device in [None, Some("a")] {
        let to = utc("2026-11-21T12:46:00Z");
        let minutes = usage.series("acme", device, "publish", utc(START), to, Step::Minute).expect("it is read");
        assert_eq!(minutes.iter().map(|minute| minute.used).collect::<Vec<_>>(), [7], "{device:?}");
    }
    assert_eq!(usage.devices("acme"), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_broker_tells_its_history_while_it_runs() {
    let clock = ManualClock::at(utc(START));
    let (broker, mut client) = embedded(&on_memory("publish: 5/min"), &clock).await;
    let usage = broker.usage();
    let publishing = tokio::task::spawn_blocking(move || {
        publish_many(&mut client, 8);
        let qos_0 = Publish { ..publish("t", b"", QoS::AtMostOnce, 0) };
        client.send(&Packet::Publish(qos_0));
        client.expect_nothing();
        client
    });
    let client = publishing.await.expect("it publishes");
    clock.advance(Duration::from_secs(11));
    let (from, to) = (utc("2026-11-21T12:45:00Z"), utc("2026-11-21T12:46:00Z"));
    let told = || {
        let of = |resource| usage.series("acme", None, resource, from, to, Step::Minute).expect("in memory")[0];
        [of("publish"), of("connect")].map(|point| (point.used, point.denied))
    };
    // The clock has moved; the collector follows.
    let followed = async {
        while told() == [(0, 0), (0, 0)] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, followed).await.expect("it is collected");
    assert_eq!(told(), [(5, 4), (1, 0)]);
    drop(client);
    broker.shutdown().await;
    let system = usage.system(utc("2026-11-21T12:45:00Z"), to, 10).expect("in memory");
    assert!(system.iter().any(|point| point.memory > 0 && point.messages_in > 0.0), "{system:?}");
}
