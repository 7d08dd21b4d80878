//! Whether one client can spoil it for the others: the latency of trickling pairs alone, and beside clients that are a
//! nuisance. Called by the command line with `--case fairness`.
//!
//! A machine has good seconds and bad ones, and a p99 of one run tells which it had. So the nuisance comes and goes beside
//! the same pairs, on the same broker, and each second counts for itself: the figure is the p99 of the middle one of many.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::broker::{Broker, Peer, Setup};
use crate::cases::{Effort, PAYLOAD, TRICKLE_PAIRS, TRICKLE_RATE, pairs, settle};
use crate::connection::Result;
use crate::ledger::{Faults, Latency, new_histogram};
use crate::load::{Drive, Stage, on_reactor};
use crate::noise::{Kind, Noise};
use crate::report::{Progress, Table, faults_told, grouped, median, micros};

/// The pairs are alone before each of the others.
const SITUATIONS: [(&str, Option<Kind>); 4] = [
    ("alone", None),
    ("one client at full speed, to nobody", Some(Kind::ToNobody)),
    ("one client at full speed, to itself", Some(Kind::ToItself)),
    ("one subscriber that stops reading, sent 10 MB a second", Some(Kind::Stalled)),
];
/// Of one situation at a time.
const SECONDS: usize = 4;

/// All seconds of one broker in one situation.
struct Seconds {
    /// In nanoseconds, of all messages.
    latencies: Histogram<u64>,
    /// Of each second, in seconds.
    p99s: Vec<f64>,
}

impl Seconds {
    fn new() -> Self {
        Self { latencies: new_histogram(), p99s: vec![] }
    }

    fn add(&mut self, latencies: &Histogram<u64>) -> Result<()> {
        self.latencies.add(latencies)?;
        self.p99s.push(Latency::of(latencies).p99.as_secs_f64());
        Ok(())
    }

    /// The p99 of all messages, and that of the middle second; `None` before the first.
    fn p99s(&self) -> Option<[f64; 2]> {
        Some([Latency::of(&self.latencies).p99.as_secs_f64(), median(self.p99s.clone())?])
    }
}

/// What one broker came to, by situation.
struct Findings {
    peer: Peer,
    seconds: [Seconds; SITUATIONS.len()],
    faults: Faults,
}

/// Measures each of `peers` in each situation, in turn, so many rounds.
pub fn measure(peers: &[Peer], backend: &str, rounds: usize, effort: Effort, progress: &Progress) -> Vec<Table> {
    let begun =
        |&peer: &Peer| Findings { peer, seconds: SITUATIONS.map(|_| Seconds::new()), faults: Faults::default() };
    let mut all: Vec<Findings> = peers.iter().map(begun).collect();
    for round in 1..=rounds {
        for findings in &mut all {
            let step = format!("fairness · round {round} of {rounds} · {}", findings.peer.title());
            progress.step(&step);
            let disturbed = Broker::start(findings.peer, Setup { backend, devices: 0, core: None })
                .and_then(|broker| on_reactor(findings.disturb(&broker, effort)));
            match disturbed {
                Ok(()) => progress.line(&format!("{step} · p99 so far {}", findings.p99s_told())),
                Err(failure) => progress.line(&format!("{step} · failed: {failure}")),
            }
        }
    }
    let mut rows = vec![];
    for situation in 0..SITUATIONS.len() {
        rows.extend(all.iter().filter_map(|findings| findings.row(situation)));
    }
    vec![Table::new(
        "fairness",
        "Fairness",
        &format!(
            "Latency of {TRICKLE_PAIRS} pairs, {} messages a second in all, QoS 0, while others are a nuisance: to be less than \
             2 times what it is alone. The pairs stay, the nuisances come and go beside them, {SECONDS} s each. Rounds: \
             {rounds}, of a fresh broker each; the middle second is the one with the median p99; faults are of all situations together.",
            grouped(TRICKLE_RATE.into())
        ),
        &["beside", "broker", "p50", "p99", "÷ alone", "p99 of the middle second", "÷ alone", "faults"],
        rows,
    )]
}

impl Findings {
    /// One round.
    async fn disturb(&mut self, broker: &Broker, effort: Effort) -> Result<()> {
        let mut stage = Stage::set(broker.address, pairs(TRICKLE_PAIRS, 0, PAYLOAD)).await?;
        let mut faults = Faults::default();
        for noisy in 1..SITUATIONS.len() {
            for situation in [0, noisy] {
                let _noise = SITUATIONS[situation].1.map(|kind| Noise::start(broker.address, kind)).transpose()?;
                settle().await;
                for _ in 0..SECONDS {
                    let second = effort.of(Duration::from_secs(1));
                    let totals = stage.drive(Drive::Paced { per_second: TRICKLE_RATE }, second).await?;
                    self.seconds[situation].add(&totals.latencies)?;
                    faults = totals.faults;
                }
            }
        }
        self.faults.add(faults);
        Ok(())
    }

    fn p99s_told(&self) -> String {
        let told = |seconds: &Seconds| {
            seconds.p99s().map_or_else(|| "–".into(), |[_, middle]| micros(Duration::from_secs_f64(middle)))
        };
        self.seconds.each_ref().map(told).join(", ")
    }

    fn row(&self, situation: usize) -> Option<Vec<String>> {
        let (alone, seconds) = (self.seconds[0].p99s()?, &self.seconds[situation]);
        let [all, middle] = seconds.p99s()?;
        let told = |seconds| micros(Duration::from_secs_f64(seconds));
        Some(vec![
            SITUATIONS[situation].0.into(),
            self.peer.title().into(),
            micros(Latency::of(&seconds.latencies).p50),
            told(all),
            format!("{:.2}", all / alone[0]),
            told(middle),
            format!("{:.2}", middle / alone[1]),
            faults_told(&self.faults),
        ])
    }
}
