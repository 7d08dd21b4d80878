//! Whether one client can spoil it for the others: the latency of trickling pairs alone, and beside clients that are a
//! nuisance. Called by the command line with `--case fairness`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::{Broker, Peer, Setup};
use crate::cases::{Effort, PAYLOAD, TRICKLE_PAIRS, TRICKLE_RATE, pairs, settle};
use crate::connection::Result;
use crate::ledger::Faults;
use crate::load::{Drive, Stage, Totals, on_reactor};
use crate::noise::{Kind, Noise};
use crate::report::{Progress, Table, faults_told, grouped, median, micros};

const SITUATIONS: [(&str, Option<Kind>); 4] = [
    ("alone", None),
    ("one client at full speed, to nobody", Some(Kind::ToNobody)),
    ("one client at full speed, to itself", Some(Kind::ToItself)),
    ("one subscriber that stops reading, sent 10 MB a second", Some(Kind::Stalled)),
];

/// Measures each of `peers` in each situation, in turn, so many rounds.
pub fn measure(peers: &[Peer], backend: &str, rounds: usize, effort: Effort, progress: &Progress) -> Vec<Table> {
    let places: Vec<_> =
        SITUATIONS.iter().flat_map(|situation| peers.iter().map(move |&peer| (situation, peer))).collect();
    let mut runs: Vec<Vec<Totals>> = places.iter().map(|_| vec![]).collect();
    for round in 1..=rounds {
        for (&(&(situation, noise), peer), runs) in places.iter().zip(&mut runs) {
            let step = format!("fairness · {situation} · round {round} of {rounds} · {}", peer.title());
            progress.step(&step);
            let totals = Broker::start(peer, Setup { backend, devices: 0, core: None })
                .and_then(|broker| on_reactor(disturbed(&broker, noise, effort)));
            match totals {
                Ok(totals) => {
                    progress.line(&format!("{step} · p99 {}", micros(totals.latency.p99)));
                    runs.push(totals);
                }
                Err(failure) => progress.line(&format!("{step} · failed: {failure}")),
            }
        }
    }
    let mut alone = BTreeMap::new();
    let mut rows = vec![];
    for (&(&(situation, noise), peer), runs) in places.iter().zip(&runs) {
        let of = |value: fn(&Totals) -> Duration| median(runs.iter().map(|run| value(run).as_secs_f64()).collect());
        let (Some(p50), Some(p99)) = (of(|run| run.latency.p50), of(|run| run.latency.p99)) else {
            continue;
        };
        if noise.is_none() {
            alone.insert(peer, p99);
        }
        let ratio = alone.get(&peer).map_or_else(|| "–".into(), |alone| format!("{:.2}", p99 / alone));
        let mut faults = Faults::default();
        runs.iter().for_each(|run| faults.add(run.faults));
        rows.push(vec![
            situation.into(),
            peer.title().into(),
            micros(Duration::from_secs_f64(p50)),
            micros(Duration::from_secs_f64(p99)),
            ratio,
            faults_told(&faults),
        ]);
    }
    vec![Table::new(
        "fairness",
        "Fairness",
        &format!(
            "Latency of {TRICKLE_PAIRS} pairs, {} messages a second in all, QoS 0, while others are a nuisance: to be less than \
             2 times what it is alone. Rounds: {rounds}; medians.",
            grouped(TRICKLE_RATE.into())
        ),
        &["beside", "broker", "p50", "p99", "p99 ÷ alone", "faults"],
        rows,
    )]
}

async fn disturbed(broker: &Broker, noise: Option<Kind>, effort: Effort) -> Result<Totals> {
    let mut stage = Stage::set(broker.address, pairs(TRICKLE_PAIRS, 0, PAYLOAD)).await?;
    let _noise = noise.map(|kind| Noise::start(broker.address, kind)).transpose()?;
    settle().await;
    stage.drive(Drive::Paced { per_second: TRICKLE_RATE }, effort.of(Duration::from_secs(5))).await
}
