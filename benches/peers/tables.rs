//! The runs of all cases, and the tables that come of them: the one that Weir is held to, each broker in detail, and what
//! limits cost. Called by the command line; ratios are those of runs of one round, made one after the other.

use std::collections::BTreeMap;

use crate::broker::Peer;
use crate::cases::{CASES, Case, Kind, Must, Sample, Unit};
use crate::ledger::Faults;
use crate::report::{Table, faults_told, figure, grouped, median, micros, rate};

/// By case (its place in [`CASES`]) and broker, a sample for each round, unless that failed.
#[derive(Default)]
pub struct Results(BTreeMap<(usize, Peer), Vec<Option<Sample>>>);

impl Results {
    pub fn add(&mut self, case: usize, peer: Peer, sample: Option<Sample>) {
        self.0.entry((case, peer)).or_default().push(sample);
    }

    /// Whether it has failed before: then it is not tried again.
    pub fn failed(&self, case: usize, peer: Peer) -> bool {
        self.rounds(case, peer).iter().any(Option::is_none)
    }

    fn rounds(&self, case: usize, peer: Peer) -> &[Option<Sample>] {
        self.0.get(&(case, peer)).map_or(&[], Vec::as_slice)
    }

    fn samples(&self, case: usize, peer: Peer) -> impl Iterator<Item = &Sample> {
        self.rounds(case, peer).iter().flatten()
    }

    fn median(&self, case: usize, peer: Peer) -> Option<f64> {
        median(self.samples(case, peer).map(|sample| sample.figure).collect())
    }

    /// The median of the ratios of the rounds.
    fn ratio(&self, case: usize, peer: Peer, to: Peer) -> Option<f64> {
        let rounds = self.rounds(case, peer).iter().zip(self.rounds(case, to));
        median(rounds.filter_map(|(one, other)| Some(one.as_ref()?.figure / other.as_ref()?.figure)).collect())
    }

    fn measured(&self) -> impl Iterator<Item = (usize, &'static Case)> {
        CASES.iter().enumerate().filter(|(at, _)| Peer::ALL.iter().any(|&peer| !self.rounds(*at, peer).is_empty()))
    }

    pub fn tables(&self) -> Vec<Table> {
        let all = [self.summary(), self.flatness(), self.limits(), self.details()];
        all.into_iter().filter(|table| !table.is_empty()).collect()
    }

    fn summary(&self) -> Table {
        let cell = |case: usize, peer| {
            self.median(case, peer).map_or_else(|| "–".into(), |value| told(CASES[case].unit, value))
        };
        let rows = self.measured().map(|(at, case)| {
            let ratio = self.ratio(at, Peer::Weir, Peer::Mosquitto);
            let (must, reached) = match case.must {
                Must::RatioUpTo(most) => (format!("≤ {most} ×"), ratio.map(|ratio| ratio <= most)),
                Must::RatioFrom(least) => (format!("≥ {least} ×"), ratio.map(|ratio| ratio >= least)),
                Must::UpTo(most) => {
                    (format!("≤ {}", told(case.unit, most)), self.median(at, Peer::Weir).map(|value| value <= most))
                }
            };
            vec![
                case.title.into(),
                cell(at, Peer::Mosquitto),
                cell(at, Peer::Rumqttd),
                cell(at, Peer::Weir),
                ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.3} ×")),
                must,
                reached.map_or("–", |reached| if reached { "yes" } else { "no" }).into(),
            ]
        });
        Table::new(
            "peers",
            "Weir and its peers",
            "Processor time of the broker for each message delivered, limits on; for connects, how many a second; for idle \
             clients, memory. Each broker fresh for each run, in turn; medians, and of the ratios too.",
            &["case", "Mosquitto", "rumqttd", "Weir", "Weir ÷ Mosquitto", "to be", "reached"],
            rows.collect(),
        )
    }

    /// What a publish that nobody is sent costs, by the number of filters.
    fn flatness(&self) -> Table {
        let filters = |case: &Case| match case.kind {
            Kind::Nobody { filters } => Some(filters),
            _ => None,
        };
        let mut rows = vec![];
        for peer in Peer::BROKERS {
            let mut row = vec![peer.title().to_owned()];
            let of = |at| self.median(at, peer);
            let costs: Vec<_> =
                self.measured().filter(|(_, case)| filters(case).is_some()).map(|(at, _)| of(at)).collect();
            if costs.iter().all(Option::is_none) {
                continue;
            }
            row.extend(costs.iter().map(|cost| cost.map_or_else(|| "–".into(), |cost| told(Unit::PerPublish, cost))));
            let growth = costs.last().copied().flatten().zip(costs[0]).map(|(last, first)| last / first);
            row.push(growth.map_or_else(|| "–".into(), |growth| format!("{growth:.2}")));
            rows.push(row);
        }
        let mut header = vec!["other filters".to_owned()];
        let counts = self.measured().filter_map(|(_, case)| filters(case));
        header.extend(counts.map(|filters| grouped(filters as f64)));
        header.push("most ÷ fewest".into());
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        Table::new(
            "nobody",
            "A publish that nobody is sent",
            "Processor time of the broker for each, on 1,000 topics in turn, by how many filters others have subscribed there.",
            &header,
            rows,
        )
    }

    /// What limits cost.
    fn limits(&self) -> Table {
        let rows = self.measured().filter(|(_, case)| case.compares_limits()).filter_map(|(at, case)| {
            let variants = [Peer::Weir, Peer::WeirUnenforced, Peer::WeirUnlimited];
            let mut row = vec![case.name.to_owned()];
            for peer in variants {
                row.push(told(case.unit, self.median(at, peer)?));
            }
            for peer in &variants[1..] {
                row.push(format!("{:.3} ×", self.ratio(at, Peer::Weir, *peer)?));
            }
            Some(row)
        });
        Table::new(
            "limits",
            "What limits cost",
            "Weir with limits that are on and never reached, with `enforce: false`, and on a plan without any: at most 1.02 ×.",
            &["case", "limits on", "enforce: false", "no limits", "on ÷ enforce: false", "on ÷ no limits"],
            rows.collect(),
        )
    }

    fn details(&self) -> Table {
        let mut rows = vec![];
        for (at, case) in self.measured() {
            for peer in Peer::ALL.into_iter().filter(|&peer| self.median(at, peer).is_some()) {
                rows.push(self.detail(at, case, peer));
            }
        }
        Table::new(
            "details",
            "Each broker in detail",
            "The median of the rounds, with the least and the most; faults of all rounds together: messages lost, duplicated, \
             reordered, not theirs, unacknowledged, or (Weir, from its own meters) uncounted.",
            &["case", "broker", "figure", "least … most", "CPU each", "a second", "p50", "p99", "faults"],
            rows,
        )
    }

    fn detail(&self, at: usize, case: &Case, peer: Peer) -> Vec<String> {
        let middle = |value: fn(&Sample) -> Option<f64>, show: fn(f64) -> String| {
            median(self.samples(at, peer).filter_map(value).collect()).map_or_else(|| "–".into(), show)
        };
        let figures = || self.samples(at, peer).map(|sample| sample.figure);
        let (least, most) = (figures().fold(f64::INFINITY, f64::min), figures().fold(0.0, f64::max));
        let mut faults = Faults::default();
        self.samples(at, peer).for_each(|sample| faults.add(sample.faults));
        let latency = |seconds: f64| micros(std::time::Duration::from_secs_f64(seconds));
        let name = match case.kind {
            Kind::Nobody { filters } => format!("{}, {} filters", case.name, grouped(filters as f64)),
            _ => case.name.into(),
        };
        vec![
            name,
            peer.title().into(),
            middle(|sample| Some(sample.figure), figure) + suffix(case.unit),
            format!("{} … {}", figure(least), figure(most)),
            middle(|sample| sample.cpu, |cpu| format!("{} µs", figure(cpu))),
            middle(|sample| sample.per_second, rate),
            middle(|sample| Some(sample.latency?.p50.as_secs_f64()), latency),
            middle(|sample| Some(sample.latency?.p99.as_secs_f64()), latency),
            faults_told(&faults),
        ]
    }
}

/// One figure with its unit.
pub fn told(unit: Unit, value: f64) -> String {
    figure(value) + suffix(unit)
}

fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::PerMessage | Unit::PerPublish => " µs",
        Unit::Connects => "/s",
        Unit::Kilobytes => " KB",
    }
}
