//! The cases of the table that Weir is held to: what each one does to a broker that was started for it, and what figure
//! comes out. Called by the command line; what is measured is the broker's process, never the generator.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::broker::Broker;
use crate::connection::{Connection, Result};
use crate::ledger::{Faults, Latency};
use crate::load::{Drive, Plan, Publisher, Stage, Subscriber, open_all};
use crate::packets::{self, Packet};

/// Bytes.
pub const PAYLOAD: usize = 64;
pub const TRICKLE_PAIRS: u32 = 500;
/// Messages a second, of all pairs.
pub const TRICKLE_RATE: u32 = 20_000;
/// Clients that connect at one time.
const CONNECTING: usize = 100;
const IDLE_CLIENTS: usize = 5_000;
/// Filters of one client, and of one SUBSCRIBE, where they are many.
const FILTERS_EACH: usize = 1_000;
const FILTERS_AT_ONCE: usize = 100;
/// Topics that nobody subscribes, so many that it does not help to know the last one; all as deep as the filters.
const NOBODYS: usize = 1_000;
/// How long a broker may take for a million filters.
const SETUP: Duration = Duration::from_secs(120);

/// How much of it.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Only to see that everything works.
    pub quick: bool,
}

impl Effort {
    /// `full`, or a tenth of it.
    pub fn of(self, full: Duration) -> Duration {
        if self.quick { full / 10 } else { full }
    }

    pub fn count(self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}

/// One row of the table.
pub struct Case {
    /// As `--case` calls it.
    pub name: &'static str,
    pub title: &'static str,
    pub unit: Unit,
    pub must: Must,
    pub kind: Kind,
}

/// What the figure of a case is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Processor time of the broker for each message delivered.
    PerMessage,
    /// The same for each message published.
    PerPublish,
    Connects,
    /// Memory for each client.
    Kilobytes,
}

/// What Weir is held to.
#[derive(Clone, Copy)]
pub enum Must {
    /// Mosquitto's figure, so many times, at most.
    RatioUpTo(f64),
    /// The same, at least.
    RatioFrom(f64),
    UpTo(f64),
}

#[derive(Clone, Copy)]
pub enum Kind {
    Pairs { qos: u8 },
    FanOut,
    FanIn,
    Trickle { qos: u8 },
    Connects,
    Idle,
    Nobody { filters: usize },
}

pub const CASES: [Case; 12] = [
    case(
        "pairs-qos0",
        "pairs, QoS 0: 10 publishers each to one subscriber, as fast as it goes",
        Must::RatioUpTo(0.05),
        Kind::Pairs { qos: 0 },
    ),
    case("pairs-qos1", "pairs, QoS 1, window 100", Must::RatioUpTo(0.03), Kind::Pairs { qos: 1 }),
    case("fan-out", "fan-out, QoS 0: 1 publisher to 50 subscribers", Must::RatioUpTo(0.02), Kind::FanOut),
    case("fan-in", "fan-in, QoS 1: 20 publishers to 1 wildcard subscriber", Must::RatioUpTo(0.03), Kind::FanIn),
    case(
        "trickle-qos0",
        "trickle, QoS 0: 500 pairs, 20,000 messages a second in all, each alone in its packet",
        Must::RatioUpTo(0.85),
        Kind::Trickle { qos: 0 },
    ),
    case("trickle-qos1", "trickle, QoS 1", Must::RatioUpTo(0.85), Kind::Trickle { qos: 1 }),
    case(
        "connects",
        "connects with credentials, then disconnects, 100 at a time",
        Must::RatioFrom(1.2),
        Kind::Connects,
    ),
    case("idle", "memory of an idle client with one subscription of its own", Must::UpTo(2.0), Kind::Idle),
    nobody("a publish to topics nobody subscribes, 100 other filters there", 100),
    nobody("the same, 10,000 other filters", 10_000),
    nobody("the same, 30,000 other filters", 30_000),
    nobody("the same, 1,000,000 other filters", 1_000_000),
];

const fn case(name: &'static str, title: &'static str, must: Must, kind: Kind) -> Case {
    let unit = match kind {
        Kind::Connects => Unit::Connects,
        Kind::Idle => Unit::Kilobytes,
        Kind::Nobody { .. } => Unit::PerPublish,
        _ => Unit::PerMessage,
    };
    Case { name, title, unit, must, kind }
}

const fn nobody(title: &'static str, filters: usize) -> Case {
    case("nobody", title, Must::UpTo(1.0), Kind::Nobody { filters })
}

impl Case {
    /// Whether Weir without limits is measured too.
    pub fn compares_limits(&self) -> bool {
        matches!(self.kind, Kind::Pairs { .. } | Kind::Trickle { .. })
    }

    /// How many devices with credentials there must be.
    pub fn devices(&self) -> usize {
        if let Kind::Connects = self.kind { CONNECTING } else { 0 }
    }

    /// Does it, once.
    pub async fn run(&self, broker: &Broker, effort: Effort) -> Result<Sample> {
        const SPAN: Duration = Duration::from_secs(3);

        let flood = |window| (Drive::Flood { window }, effort.of(SPAN));
        let (plan, (drive, duration)) = match self.kind {
            Kind::Pairs { qos } => (pairs(10, qos, PAYLOAD), flood(100)),
            Kind::FanOut => (fan_out(), flood(0)),
            Kind::FanIn => (fan_in(), flood(100)),
            Kind::Trickle { qos } => {
                let drive = Drive::Paced { per_second: TRICKLE_RATE };
                (pairs(TRICKLE_PAIRS, qos, PAYLOAD), (drive, effort.of(Duration::from_secs(5))))
            }
            Kind::Connects => return connects(broker, effort.of(SPAN)).await,
            Kind::Idle => return idle(broker, effort.count(IDLE_CLIENTS)).await,
            Kind::Nobody { filters } => {
                return match timeout(SETUP, subscribe_many(broker, filters)).await {
                    Ok(clients) => publish_to_nobody(broker, clients?, effort.of(SPAN / 2)).await,
                    Err(_) => Err(format!("had not taken {filters} filters after {} s", SETUP.as_secs()).into()),
                };
            }
        };
        traffic(broker, plan, drive, duration).await
    }
}

/// What one run of a case measured.
#[derive(Clone, Copy)]
pub struct Sample {
    /// In the unit of the case.
    pub figure: f64,
    /// Processor time for each, in microseconds.
    pub cpu: Option<f64>,
    /// How many a second there were.
    pub per_second: Option<f64>,
    pub latency: Option<Latency>,
    pub faults: Faults,
}

/// As many publishers as subscribers, each with one of its own.
pub fn pairs(count: u32, qos: u8, payload: usize) -> Plan {
    let topic = |n| format!("pairs/{n}/state");
    Plan {
        publishers: (0..count).map(|n| Publisher { topic: topic(n), own_filter: None }).collect(),
        subscribers: (0..count).map(|n| Subscriber { filter: topic(n), publishers: n..n + 1 }).collect(),
        shared: false,
        qos,
        payload,
    }
}

fn fan_out() -> Plan {
    let topic = "news/all";
    Plan {
        publishers: vec![Publisher { topic: topic.into(), own_filter: None }],
        subscribers: (0..50).map(|_| Subscriber { filter: topic.into(), publishers: 0..1 }).collect(),
        shared: false,
        qos: 0,
        payload: PAYLOAD,
    }
}

fn fan_in() -> Plan {
    Plan {
        publishers: (0..20).map(|n| Publisher { topic: format!("sensors/{n}/state"), own_filter: None }).collect(),
        subscribers: vec![Subscriber { filter: "sensors/+/state".into(), publishers: 0..20 }],
        shared: false,
        qos: 1,
        payload: PAYLOAD,
    }
}

async fn traffic(broker: &Broker, plan: Plan, drive: Drive, duration: Duration) -> Result<Sample> {
    let paced = matches!(drive, Drive::Paced { .. });
    let mut stage = Stage::set(broker.address, plan).await?;
    settle().await;
    let (minute, before) = (minute(), broker.cpu()?);
    let totals = stage.drive(drive, duration).await?;
    let cpu = per(broker.cpu()? - before, totals.delivered);
    let mut faults = totals.faults;
    if broker.peer.is_weir() {
        let counted = counted(broker).await?;
        // With another minute the meters began anew.
        let (published, received) = counted.filter(|_| minute == self::minute()).unzip();
        let off = |counted: u64, happened: u64| counted.abs_diff(happened);
        faults.uncounted =
            published.zip(received).map(|(p, r)| off(p, totals.sent) + off(r, totals.delivered + faults.duplicated));
    }
    Ok(Sample {
        figure: cpu,
        cpu: Some(cpu),
        per_second: Some(totals.delivered as f64 / totals.elapsed.as_secs_f64()),
        latency: paced.then(|| Latency::of(&totals.latencies)),
        faults,
    })
}

/// What Weir's meters say of this minute, publishes and deliveries; `None` where it has none on `$limits`.
async fn counted(broker: &Broker) -> Result<Option<(u64, u64)>> {
    let mut client = Connection::open(broker.address, "auditor", None).await?;
    packets::subscribe(&mut client.out, &["$limits/#".into()], 0);
    let (mut published, mut received) = (None, None);
    let told = client.exchange(|packet| {
        if let Packet::Publish(message) = packet {
            let used = || serde_json::from_slice::<serde_json::Value>(message.payload).ok()?["used"].as_u64();
            match message.topic {
                b"$limits/publish" => published = used(),
                b"$limits/receive" => received = used(),
                _ => {}
            }
        }
        published.zip(received)
    });
    timeout(Duration::from_secs(2), told).await.ok().transpose()
}

fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

async fn connects(broker: &Broker, duration: Duration) -> Result<Sample> {
    let address = broker.address;
    let done = Rc::new(Cell::new(0_u64));
    let (start, before) = (Instant::now(), broker.cpu()?);
    let tasks: Vec<_> = (0..CONNECTING)
        .map(|device| {
            let (done, (user_name, password)) = (done.clone(), broker.credentials(device));
            spawn_local(async move {
                while start.elapsed() < duration {
                    let id = format!("client-{device}");
                    Connection::open(address, &id, Some((&user_name, &password))).await?.leave().await?;
                    done.set(done.get() + 1);
                }
                Result::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let per_second = done.get() as f64 / start.elapsed().as_secs_f64();
    let cpu = per(broker.cpu()? - before, done.get());
    Ok(Sample { cpu: Some(cpu), ..Sample::of(per_second) })
}

async fn idle(broker: &Broker, clients: usize) -> Result<Sample> {
    let address = broker.address;
    let before = broker.resident()?;
    let connected = open_all(clients, |n| async move {
        let mut client = Connection::open(address, &format!("idle-{n}"), None).await?;
        client.subscribe(&[format!("idle/{n}/commands")], 0).await?;
        Ok(client)
    });
    let connected = connected.await?;
    sleep(Duration::from_secs(1)).await;
    let after = broker.resident()?;
    let each = after.saturating_sub(before) as f64 / connected.len() as f64;
    Ok(Sample::of(each / 1_024.0))
}

async fn subscribe_many(broker: &Broker, filters: usize) -> Result<Vec<Connection>> {
    let address = broker.address;
    let clients = open_all(filters.div_ceil(FILTERS_EACH), |n| async move {
        let mut client = Connection::open(address, &format!("other-{n}"), None).await?;
        let filters: Vec<_> = (n * FILTERS_EACH..filters.min((n + 1) * FILTERS_EACH))
            .map(|filter| format!("other/{n}/{filter}/state"))
            .collect();
        for some in filters.chunks(FILTERS_AT_ONCE) {
            client.subscribe(some, 0).await?;
        }
        Ok(client)
    });
    clients.await
}

/// Publishes while `others` stay connected.
async fn publish_to_nobody(broker: &Broker, others: Vec<Connection>, duration: Duration) -> Result<Sample> {
    let mut publisher = Connection::open(broker.address, "publisher", None).await?;
    let mut batch = vec![];
    for n in 0..NOBODYS {
        let topic = format!("other/{}/nobody-{n}/state", n % others.len());
        packets::publish(&mut batch, &topic, None, &[b'w'; PAYLOAD]);
    }
    settle().await;
    let (start, before) = (Instant::now(), broker.cpu()?);
    let mut published = 0;
    while start.elapsed() < duration {
        publisher.out.extend_from_slice(&batch);
        publisher.ping().await?;
        published += NOBODYS as u64;
    }
    let per_second = published as f64 / start.elapsed().as_secs_f64();
    let cpu = per(broker.cpu()? - before, published);
    drop(others);
    Ok(Sample { cpu: Some(cpu), per_second: Some(per_second), ..Sample::of(cpu) })
}

impl Sample {
    fn of(figure: f64) -> Self {
        Self { figure, cpu: None, per_second: None, latency: None, faults: Faults::default() }
    }
}

/// Lets the broker finish what the clients' arrival gave it to do.
pub async fn settle() {
    sleep(Duration::from_millis(300)).await;
}

/// Microseconds for each of `count`.
fn per(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}
