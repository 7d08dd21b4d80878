//! `cargo bench --bench peers`: Weir beside the brokers that a user would pick instead, each started fresh for each run and in
//! turn, under a load of raw packets. Here is the command line and the order of the runs; it must leave no broker running,
//! whatever ends it.

mod broker;
mod cases;
mod connection;
mod fairness;
mod fleet;
mod growth;
mod ledger;
mod load;
mod noise;
mod packets;
mod report;
mod tables;

use std::path::Path;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use tokio::signal::unix::{SignalKind, signal};

use crate::broker::{Broker, Peer, Setup};
use crate::cases::{CASES, Case, Effort, Sample};
use crate::connection::Result;
use crate::load::on_reactor;
use crate::report::{Progress, Table, faults_told, micros, rate};
use crate::tables::{Results, told};

/// Cases with a table of their own, which are run only when asked for.
const APART: [&str; 3] = ["fleet", "growth", "fairness"];
/// Connections of the generator, and of each broker, at most.
const OPEN_FILES: u64 = 20_000;

/// Measures Weir beside its peers.
///
/// Mosquitto is looked for on the PATH, rumqttd there or where RUMQTTD says; one that is not installed is left out.
#[derive(Parser)]
struct Cli {
    /// How often each broker is measured in each case
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// One short round, to see that everything works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Only this case; may be repeated. fleet, growth and fairness are run only when named
    #[arg(long = "case", value_name = "NAME", value_parser = PossibleValuesParser::new(case_names()))]
    cases: Vec<String>,
    /// Only this broker; may be repeated
    #[arg(long = "peer", value_name = "NAME")]
    peers: Vec<Peer>,
    /// Weir's `backend`: native, rumqttd or mqtt://host:port
    #[arg(long, value_name = "BACKEND", default_value = "native")]
    backend: String,
    /// Write the tables into BENCHMARKS.md
    #[arg(long, conflicts_with_all = ["quick", "peers"])]
    write: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn case_names() -> Vec<&'static str> {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).chain(APART).collect();
    names.dedup();
    names
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !cli.bench {
        println!("this measures for many minutes: `cargo bench --bench peers`");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = run(&cli) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(cli: &Cli) -> Result<()> {
    let apart = |name: &str| APART.contains(&name);
    if cli.write && cli.cases.iter().any(|name| !apart(name)) {
        return Err("--write with single cases would leave the others out of the table: leave --case out".into());
    }
    end_on_signal()?;
    rlimit::increase_nofile_limit(OPEN_FILES)?;
    let peers = installed(if cli.peers.is_empty() { &Peer::ALL } else { &cli.peers });
    let brokers: Vec<Peer> = if cli.peers.is_empty() {
        peers.iter().copied().filter(|peer| Peer::BROKERS.contains(peer)).collect()
    } else {
        peers.clone()
    };
    let effort = Effort { quick: cli.quick };
    let rounds = if cli.quick { 1 } else { cli.rounds.into() };
    let progress = Progress::new();
    let mut tables = vec![];
    let wanted = |name: &str| cli.cases.iter().any(|wanted| wanted == name);
    if cli.cases.is_empty() || cli.cases.iter().any(|name| !apart(name)) {
        let cases: Vec<_> =
            CASES.iter().enumerate().filter(|(_, case)| cli.cases.is_empty() || wanted(case.name)).collect();
        tables.extend(compare(&cases, &peers, &cli.backend, rounds, effort, &progress).tables());
    }
    if wanted("fleet") {
        tables.extend(fleet::measure(&brokers, &cli.backend, effort, &progress));
    }
    if wanted("growth") {
        tables.extend(growth::measure(&brokers, &cli.backend, effort, &progress));
    }
    if wanted("fairness") {
        tables.extend(fairness::measure(&brokers, &cli.backend, rounds, effort, &progress));
    }
    drop(progress);
    tables.iter().for_each(Table::print);
    let measured = report::measured(&peers);
    println!("\n{measured}");
    if cli.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("BENCHMARKS.md");
        report::write(&path, &tables, &measured)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

/// Those of `peers` that are here.
fn installed(peers: &[Peer]) -> Vec<Peer> {
    let is_here = |&peer: &Peer| {
        let here = peer.version().is_some();
        if !here {
            println!("{} is not installed, and left out", peer.title());
        }
        here
    };
    peers.iter().copied().filter(is_here).collect()
}

/// Runs the cases one by one, the brokers in turn.
fn compare(
    cases: &[(usize, &Case)],
    peers: &[Peer],
    backend: &str,
    rounds: usize,
    effort: Effort,
    progress: &Progress,
) -> Results {
    let mut results = Results::default();
    for &(at, case) in cases {
        let takes_part = |&peer: &Peer| Peer::BROKERS.contains(&peer) || case.compares_limits();
        for round in 1..=rounds {
            // Each round begins with another, as it may matter who comes after whom.
            for peer in peers.iter().copied().cycle().skip(round - 1).take(peers.len()).filter(takes_part) {
                if results.failed(at, peer) {
                    continue;
                }
                let step = format!("{} · round {round} of {rounds} · {}", case.title, peer.title());
                progress.step(&step);
                let setup = Setup { backend, devices: case.devices(), core: None };
                let sample = Broker::start(peer, setup).and_then(|broker| on_reactor(case.run(&broker, effort)));
                match &sample {
                    Ok(sample) => progress.line(&format!("{step} · {}", sample_told(case, sample))),
                    Err(failure) => progress.line(&format!("{step} · failed: {failure}")),
                }
                results.add(at, peer, sample.ok());
            }
        }
    }
    results
}

fn sample_told(case: &Case, sample: &Sample) -> String {
    let mut parts = vec![told(case.unit, sample.figure)];
    parts.extend(sample.per_second.map(rate));
    parts.extend(sample.latency.map(|latency| format!("p50 {}, p99 {}", micros(latency.p50), micros(latency.p99))));
    parts.push(format!("faults: {}", faults_told(&sample.faults)));
    parts.join(" · ")
}

/// Ends the brokers, and then this process, on the signals that would leave them running.
fn end_on_signal() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = runtime.block_on(async {
        std::io::Result::Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ))
    });
    let (mut interrupt, mut terminate, mut hangup) = signals?;
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        broker::end_all();
        std::process::exit(130);
    });
    Ok(())
}
