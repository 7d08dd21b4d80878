//! The load test: a fleet of MQTT clients that publish at a rate, subscribers that check what arrives, and at the end the
//! sums per calendar minute to hold against a plan. Run by teams against their broker with
//! `cargo run --release --example load`. It must never use the library it tests: it sees the broker as a device does.

mod drive;
mod ledger;
mod link;
mod options;
mod progress;
mod publisher;
mod report;
mod stamp;
mod subscriber;
mod world;

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use indicatif::MultiProgress;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::drive::drive;
use crate::link::Identity;
use crate::options::{Options, Protocol};
use crate::publisher::Publisher;
use crate::report::Run;
use crate::subscriber::Subscriber;
use crate::world::{Phase, World};

/// How often the run's state is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// With no connection at all after this long, and no word of a limit, there is no broker.
const NO_BROKER: Duration = Duration::from_secs(8);
/// Subscribers over a limit get the whole of the next window to come in.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(130);
/// Beyond its share of `--connect-rate`, how long the fleet may take to connect before publishing begins without the rest.
const CONNECT_SLACK: Duration = Duration::from_secs(3);
/// At QoS 0 nothing is owed: the end is when nothing has come for this long.
const QUIET: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let prepared = options.address().and_then(|address| Ok((address, output(&options)?)));
    let (address, output) = match prepared {
        Ok(prepared) => prepared,
        Err(text) => {
            eprintln!("error: {text}");
            return ExitCode::from(2);
        }
    };
    let run = RandomState::new().build_hasher().finish();
    let world = World::new(options, address.to_string(), run);
    say(&report::header(&world.options, &world.run_name()));

    match load(&world).await {
        Ok((from, until)) => conclude(&world, from, until, output),
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the file for the results, so that a wrong name is known before the run and not after.
fn output(options: &Options) -> Result<Option<File>, String> {
    let Some(path) = &options.json else {
        return Ok(None);
    };
    let file = File::create(path).map_err(|error| format!("--json {}: {error}", path.display()))?;
    Ok(Some(file))
}

/// Prints a result. A reader that went away, as `| head` does, must not keep the rest of the run from its end.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints the results; gives the exit code.
fn conclude(world: &World, from: SystemTime, until: SystemTime, output: Option<File>) -> ExitCode {
    let run = Run { options: &world.options, name: world.run_name(), from, until };
    let ledger = world.ledger();
    say(&format!("\n{}", report::tables(&run, &ledger)));
    if let Some(mut file) = output
        && let Err(error) = writeln!(file, "{:#}", report::as_json(&run, &ledger))
    {
        eprintln!("error: --json: {error}");
        return ExitCode::FAILURE;
    }
    if report::lost(&world.options, &ledger.totals) > 0 || ledger.totals.handed == 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The run: connect, publish, drain, leave. Gives when publishing began and ended.
async fn load(world: &Arc<World>) -> Result<(SystemTime, SystemTime), String> {
    let interrupts = Interrupts::listen();
    let lines = MultiProgress::new();
    let progress = (!world.options.quiet).then(|| tokio::spawn(progress::show(world.clone(), lines.clone())));
    let mut clients = JoinSet::new();
    let span = match connect(world, &mut clients, &interrupts).await {
        Ok(()) => {
            let from = SystemTime::now();
            lines.suspend(|| say(&report::span(&world.options, from)));
            publish(world, &clients, &interrupts).await;
            let until = SystemTime::now();
            drain(world, &interrupts).await;
            Ok((from, until))
        }
        Err(text) => Err(text),
    };
    world.phase.send_replace(Phase::Leaving);
    while clients.join_next().await.is_some() {}
    if let Some(progress) = progress
        && let Err(error) = progress.await
    {
        eprintln!("(the progress display failed: {error})");
    }
    discard_sessions(world, &interrupts).await;
    span
}

/// Brings the subscribers up, then the fleet.
async fn connect(world: &Arc<World>, clients: &mut JoinSet<()>, interrupts: &Interrupts) -> Result<(), String> {
    let options = &world.options;
    for number in 0..options.subscribers {
        let (outlet, inlet) = link::open(&identity(world, "s", number));
        let subscriber = Subscriber::new(world.clone(), outlet, number);
        let world = world.clone();
        clients.spawn(async move { drive(&world, subscriber, inlet).await });
    }
    let begin = Instant::now();
    while world.ledger().totals.subscribed < options.subscribers.into() {
        hopeless(world, options.subscribers, begin)?;
        if begin.elapsed() > SUBSCRIBE_WITHIN || interrupts.count() > 0 {
            return Err(because(world, "the subscribers could not all subscribe"));
        }
        sleep(LOOK).await;
    }
    for number in 0..options.clients {
        let (outlet, inlet) = link::open(&identity(world, "c", number));
        let publisher = Publisher::new(world.clone(), outlet, number);
        let world = world.clone();
        clients.spawn(async move { drive(&world, publisher, inlet).await });
    }
    let all = options.clients + options.subscribers;
    let begin = Instant::now();
    let enough = Duration::from_secs_f64(f64::from(options.clients) / options.connect_rate) + CONNECT_SLACK;
    loop {
        hopeless(world, all, begin)?;
        let totals = world.ledger().totals;
        let some = totals.connects > options.subscribers.into();
        if totals.connected == u64::from(all) || (some && begin.elapsed() > enough) {
            return Ok(());
        }
        if interrupts.count() > 0 {
            return Err(because(world, "interrupted before a client was connected"));
        }
        sleep(LOOK).await;
    }
}

fn identity<'a>(world: &'a World, kind: &str, number: u32) -> Identity<'a> {
    Identity {
        options: &world.options,
        address: &world.address,
        client_id: format!("load-{}-{kind}{number}", world.run_name()),
    }
}

/// Whether waiting makes no sense: all were rejected, or nobody answers.
fn hopeless(world: &World, all: u32, since: Instant) -> Result<(), String> {
    let ledger = world.ledger();
    let (totals, denied) = (ledger.totals, !ledger.denials.is_empty());
    drop(ledger);
    if totals.gave_up == u64::from(all) || (totals.connects == 0 && !denied && since.elapsed() > NO_BROKER) {
        return Err(because(world, "no client could connect"));
    }
    Ok(())
}

fn because(world: &World, what: &str) -> String {
    match &world.ledger().trouble {
        Some(trouble) => format!("{what}: {trouble}"),
        None => what.to_string(),
    }
}

/// Publishes until the time is over, all clients are gone, or Ctrl-C.
async fn publish(world: &World, clients: &JoinSet<()>, interrupts: &Interrupts) {
    let begin = Instant::now();
    world.phase.send_replace(Phase::Publishing(begin));
    let end = begin + world.options.run_for;
    let all = u64::from(world.options.clients + world.options.subscribers);
    while Instant::now() < end && interrupts.count() == 0 && !clients.is_empty() {
        if world.ledger().totals.gave_up == all {
            break;
        }
        sleep_until(end.min(Instant::now() + LOOK)).await;
    }
}

/// Waits for answers and deliveries that are owed, at most `--drain`; a second Ctrl-C ends it.
async fn drain(world: &World, interrupts: &Interrupts) {
    world.phase.send_replace(Phase::Draining);
    let end = Instant::now() + world.options.drain;
    let before = interrupts.count();
    let (mut delivered, mut since) = (0, Instant::now());
    while Instant::now() < end && interrupts.count() == before {
        // Looked at after a moment only: a client may publish once more before it knows of the phase.
        sleep(LOOK).await;
        let totals = world.ledger().totals;
        if totals.open == 0 && totals.missing == 0 {
            return;
        }
        if totals.delivered != delivered {
            (delivered, since) = (totals.delivered, Instant::now());
        }
        if world.options.qos == 0 && since.elapsed() > QUIET {
            return;
        }
    }
}

/// In MQTT 3.1.1 a session has no expiry of its own: what this run left behind is taken away, at one connect a client.
async fn discard_sessions(world: &World, interrupts: &Interrupts) {
    let options = &world.options;
    if options.protocol != Protocol::V311 || options.qos == 0 || world.ledger().totals.connects == 0 {
        return;
    }
    let names = (0..options.subscribers).map(|n| ("s", n)).chain((0..options.clients).map(|n| ("c", n)));
    let total = options.subscribers + options.clients;
    let mut discarded = 0;
    let before = interrupts.count();
    for (kind, number) in names {
        world.pass_gate().await;
        if interrupts.count() > before || !link::discard_session(&identity(world, kind, number)).await {
            break;
        }
        discarded += 1;
    }
    if discarded < total {
        let left = total - discarded;
        eprintln!("{left} sessions were not taken away, and stay at the broker until they expire there");
    }
}

/// How often Ctrl-C was pressed.
struct Interrupts(tokio::sync::watch::Receiver<u32>);

impl Interrupts {
    fn listen() -> Interrupts {
        let (sender, receiver) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                sender.send_modify(|count| *count += 1);
            }
        });
        Interrupts(receiver)
    }

    fn count(&self) -> u32 {
        *self.0.borrow()
    }
}
