//! A fleet of devices on one core: the broker has one to itself and the generator another, 10,000 clients publish now and
//! then, four consumers share what they say; then the rate rises until the broker is full. Called by the command line with
//! `--case fleet`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::broker::{Broker, Peer, Setup, cpu_of};
use crate::cases::{Effort, settle};
use crate::connection::Result;
use crate::ledger::{Faults, Latency};
use crate::load::{Drive, Plan, Publisher, Stage, Subscriber, on_reactor};
use crate::report::{Progress, Table, faults_told, grouped, micros, rate};

const CLIENTS: usize = 10_000;
const CONSUMERS: usize = 4;
/// Bytes.
const PAYLOAD: usize = 100;
/// Seconds between two publishes of a client.
const PERIOD: u32 = 10;
/// Messages a second after that, until the broker is full.
const RATES: [u32; 18] = [
    2_000, 4_000, 6_000, 8_000, 10_000, 13_000, 16_000, 20_000, 24_000, 28_000, 32_000, 36_000, 40_000, 45_000, 50_000,
    60_000, 70_000, 80_000,
];
/// The broker is full when a hundredth of the messages takes longer, or its core has so little time left.
const FULL_AT: Duration = Duration::from_millis(100);
const FULL_CORE: f64 = 0.95;
const BROKER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// One rate.
struct Step {
    asked: u32,
    delivered: f64,
    /// Shares of a core.
    broker: f64,
    generator: f64,
    /// Bytes.
    resident: u64,
    latency: Latency,
    faults: Faults,
}

impl Step {
    fn end(&self) -> Option<&'static str> {
        if self.latency.p99 > FULL_AT {
            Some("p99")
        } else if self.broker >= FULL_CORE {
            Some("core full")
        } else if self.delivered < 0.95 * f64::from(self.asked) {
            Some("generator full")
        } else {
            None
        }
    }
}

/// Measures each of `peers` once.
pub fn measure(peers: &[Peer], backend: &str, effort: Effort, progress: &Progress) -> Vec<Table> {
    let mut rows = vec![];
    for &peer in peers {
        progress.step(&format!("fleet · {}", peer.title()));
        let steps = Broker::start(peer, Setup { backend, devices: 0, core: Some(BROKER_CORE) })
            .and_then(|broker| on_reactor(raise(&broker, effort, progress)));
        match steps {
            Ok(steps) => rows.extend(steps.iter().map(|step| row(peer, step))),
            Err(failure) => progress.line(&format!("fleet · {} · failed: {failure}", peer.title())),
        }
    }
    let header = [
        "broker",
        "asked",
        "delivered",
        "CPU of its core",
        "memory",
        "p50",
        "p99",
        "faults",
        "generator's core",
        "ends with",
    ];
    vec![Table::new(
        "fleet",
        "A fleet on one core",
        &format!(
            "The broker pinned to one core, the generator to another. {} clients, each with a subscription of its own and a \
             {PAYLOAD}-byte QoS 1 publish every {PERIOD} s, all taken by {CONSUMERS} consumers of one shared subscription; \
             then the same clients publish more often, until p99 passes {} ms or the core has less than 5 % left: the row \
             before is the capacity.",
            grouped(effort.count(CLIENTS) as f64),
            FULL_AT.as_millis()
        ),
        &header,
        rows,
    )]
}

fn row(peer: Peer, step: &Step) -> Vec<String> {
    vec![
        peer.title().into(),
        rate(step.asked.into()),
        rate(step.delivered),
        format!("{:.0} %", step.broker * 100.0),
        format!("{:.1} MB", step.resident as f64 / 1e6),
        micros(step.latency.p50),
        micros(step.latency.p99),
        faults_told(&step.faults),
        format!("{:.0} %", step.generator * 100.0),
        step.end().unwrap_or("–").into(),
    ]
}

async fn raise(broker: &Broker, effort: Effort, progress: &Progress) -> Result<Vec<Step>> {
    let _pinned = Pinned::to(GENERATOR_CORE)?;
    let clients = effort.count(CLIENTS);
    let plan = Plan {
        publishers: (0..clients)
            .map(|n| Publisher { topic: format!("fleet/{n}/up"), own_filter: Some(format!("fleet/{n}/down")) })
            .collect(),
        subscribers: (0..CONSUMERS)
            .map(|_| Subscriber { filter: "$share/g/fleet/+/up".into(), publishers: 0..clients as u32 })
            .collect(),
        shared: true,
        qos: 1,
        payload: PAYLOAD,
    };
    let mut stage = Stage::set(broker.address, plan).await?;
    settle().await;
    let first = (clients as u32 / PERIOD, effort.of(Duration::from_secs(30)));
    let rates = RATES.map(|rate| (rate, effort.of(Duration::from_secs(8))));
    let mut steps = vec![];
    for (asked, duration) in std::iter::once(first).chain(rates) {
        let mut step = drive(broker, &mut stage, asked, duration).await?;
        if step.end().is_some() {
            // Something else may have had the machine for a moment: only what happens again is the broker's.
            settle().await;
            step = drive(broker, &mut stage, asked, duration).await?;
        }
        progress.line(&format!("fleet · {}", row(broker.peer, &step).join(" · ")));
        let end = step.end();
        steps.push(step);
        if end.is_some() {
            break;
        }
    }
    Ok(steps)
}

async fn drive(broker: &Broker, stage: &mut Stage, asked: u32, duration: Duration) -> Result<Step> {
    let (start, cpu, own) = (Instant::now(), broker.cpu()?, cpu_of("self")?);
    let totals = stage.drive(Drive::Paced { per_second: asked }, duration).await?;
    let elapsed = start.elapsed().as_secs_f64();
    Ok(Step {
        asked,
        delivered: totals.delivered as f64 / totals.elapsed.as_secs_f64(),
        broker: (broker.cpu()? - cpu).as_secs_f64() / elapsed,
        generator: (cpu_of("self")? - own).as_secs_f64() / elapsed,
        resident: broker.resident()?,
        latency: Latency::of(&totals.latencies),
        faults: totals.faults,
    })
}

/// This process, on one core until this is dropped.
struct Pinned {
    cores: usize,
}

impl Pinned {
    fn to(core: usize) -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        if cores <= core {
            return Err("the broker and the generator need a core each".into());
        }
        bind(&core.to_string())?;
        Ok(Self { cores })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // What worked with one core works with all.
        let _ = bind(&format!("0-{}", self.cores - 1));
    }
}

/// Binds all threads of this process.
fn bind(cores: &str) -> Result<()> {
    let pid = std::process::id().to_string();
    let bound = Command::new("taskset").args(["-a", "-c", "-p", cores, &pid]).stdout(Stdio::null()).status()?;
    if bound.success() { Ok(()) } else { Err("taskset did not bind the generator to its core".into()) }
}
