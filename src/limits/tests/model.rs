//! The meters against a plain model of windows: it keeps every request it has admitted and adds them up each time.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::utc;
use crate::limits::{Denial, DeviceMeters, Kind, Limits, Meters, Plan, Rate, Reading, Resource, UnixMillis, Window};

/// One rate of the model, or the counting by the minute where there is none.
#[derive(Clone, Debug)]
struct Line {
    resource: Resource,
    limit: Option<Rate>,
    window: Window,
    /// The latest window that any request has come in.
    latest: u64,
    /// Window and cost of each request that was counted.
    counted: Vec<(u64, u64)>,
    /// The window of each that did not fit.
    denied: Vec<u64>,
}

impl Line {
    fn new(resource: Resource, limit: Option<Rate>) -> Self {
        let window = limit.as_ref().map_or(Window::Minute, |rate| rate.window);
        Line { resource, limit, window, latest: 0, counted: Vec::new(), denied: Vec::new() }
    }

    fn window_at(&self, now: UnixMillis) -> u64 {
        self.latest.max(self.window.index(now))
    }

    fn used(&self, window: u64) -> u64 {
        self.counted.iter().filter(|(at, _)| *at == window).map(|(_, cost)| cost).sum()
    }

    fn cost(&self, bytes: u64) -> u64 {
        if self.resource.is_bytes() { bytes } else { 1 }
    }

    fn denial(&self, bytes: u64, now: UnixMillis) -> Option<Denial> {
        let (rate, cost, window) = (self.limit.clone()?, self.cost(bytes), self.window_at(now));
        if self.used(window) + cost <= rate.count {
            return None;
        }
        let resets_at = self.window.end(window);
        let seconds = (resets_at.0 - now.0) as f64 / 1000.0;
        let never_fits = cost > rate.count;
        let resource = self.resource.clone();
        let retry_after = (seconds.ceil() as u64).max(1);
        let first = !self.denied.contains(&window);
        Some(Denial { resource, limit: rate, resets_at, retry_after, never_fits, first })
    }

    fn reading(&self, now: UnixMillis) -> Reading {
        let window = self.window_at(now);
        Reading {
            resource: self.resource.clone(),
            limit: self.limit.clone(),
            used: self.used(window),
            denied: self.denied.iter().filter(|at| **at == window).count() as u64,
            resets_at: self.window.end(window),
        }
    }
}

/// The lines that follow when these limits take the place of others: what stays keeps its counts.
fn replaced(old: &[Line], limits: &Limits) -> Vec<Line> {
    let rates = [Resource::Publish, Resource::PublishBytes]
        .into_iter()
        .flat_map(|resource| limits.rates(&resource).iter().map(move |rate| (resource.clone(), Some(rate.clone()))));
    let mut new: Vec<Line> = rates.map(|(resource, rate)| Line::new(resource, rate)).collect();
    if new.is_empty() {
        new.push(Line::new(Resource::Publish, None));
    }
    for line in &mut new {
        if let Some(kept) = old.iter().find(|kept| (&kept.resource, kept.window) == (&line.resource, line.window)) {
            *line = Line { limit: line.limit.clone(), ..kept.clone() };
        }
    }
    new
}

/// The model's answer to a request that must fit all of `lines`.
fn ask(mut lines: Vec<&mut Line>, bytes: u64, now: UnixMillis, enforce: bool) -> Result<(), Denial> {
    let mut worst: Option<Denial> = None;
    for line in &mut lines {
        line.latest = line.window_at(now);
        if let Some(denial) = line.denial(bytes, now) {
            line.denied.push(line.latest);
            let lasts_longer =
                |than: &Denial| (denial.never_fits, denial.resets_at) > (than.never_fits, than.resets_at);
            if worst.as_ref().is_none_or(lasts_longer) {
                worst = Some(denial);
            }
        }
    }
    match worst {
        Some(denial) if enforce => Err(denial),
        _ => {
            for line in lines {
                line.counted.push((line.latest, line.cost(bytes)));
            }
            Ok(())
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask { millis: i64, bytes: u64, device: bool },
    Reload(Terms),
}

#[derive(Clone, Debug)]
struct Terms {
    profile: Limits,
    device: Limits,
    enforce: bool,
}

impl Terms {
    fn plan(&self) -> Plan {
        Plan { limits: self.profile.clone(), enforce: self.enforce, ..Plan::default() }
    }
}

fn rates(most: usize, largest: u64) -> impl Strategy<Value = Vec<Rate>> {
    let windows = subsequence(Window::ALL.to_vec(), 0..=most).prop_shuffle();
    (windows, vec(0..=largest, most))
        .prop_map(|(windows, counts)| windows.into_iter().zip(counts).map(|(w, n)| Rate::new(n, w)).collect())
}

fn some_limits() -> impl Strategy<Value = Limits> {
    let bytes = prop_oneof![3 => Just(Vec::new()), 1 => rates(2, 20)];
    (rates(3, 6), bytes).prop_map(|(counts, bytes)| {
        let entries = [(Resource::Publish, counts), (Resource::PublishBytes, bytes)];
        Limits(entries.into_iter().filter(|(_, rates)| !rates.is_empty()).collect())
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    (some_limits(), some_limits(), prop::bool::weighted(0.8)).prop_map(|(profile, device, enforce)| Terms {
        profile,
        device,
        enforce,
    })
}

fn step() -> impl Strategy<Value = Step> {
    const DAY: i64 = 86_400_000;
    let jump = select(vec![1_000, -1_000, 60_000, -60_000, 3_600_000, -3_600_000, DAY, -DAY, 31 * DAY, -31 * DAY]);
    let millis = prop_oneof![6 => Just(0), 3 => -300..900i64, 1 => jump];
    let request =
        (millis, 0..8u64, any::<bool>()).prop_map(|(millis, bytes, device)| Step::Ask { millis, bytes, device });
    prop_oneof![15 => request, 1 => terms().prop_map(Step::Reload)]
}

fn of_publish(readings: Vec<Reading>) -> Vec<Reading> {
    let counts = [Resource::Publish, Resource::PublishBytes];
    readings.into_iter().filter(|reading| counts.contains(&reading.resource)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_requests_at_any_times_under_any_plans_are_answered_as_a_plain_model_answers(
        first in terms(),
        steps in vec(step(), 1..120),
    ) {
        let mut now = utc("2026-01-31T23:59:57.500Z");
        let mut enforce = first.enforce;
        let meters = Meters::new(&first.plan());
        let mut device = DeviceMeters::new(&first.device, enforce);
        let mut profile_model = replaced(&[], &first.profile);
        let mut device_model = device.is_some().then(|| replaced(&[], &first.device));
        for step in steps {
            match step {
                Step::Reload(terms) => {
                    enforce = terms.enforce;
                    meters.set_plan(&terms.plan());
                    match &device {
                        Some(device) => device.set_limits(&terms.device, enforce),
                        None => device = DeviceMeters::new(&terms.device, enforce),
                    }
                    profile_model = replaced(&profile_model, &terms.profile);
                    if device.is_some() {
                        device_model = Some(replaced(device_model.as_deref().unwrap_or(&[]), &terms.device));
                    }
                }
                Step::Ask { millis, bytes, device: from_device } => {
                    now = UnixMillis(now.0.checked_add_signed(millis).unwrap());
                    let meters_of_device = device.as_ref().filter(|_| from_device);
                    let answer = meters.admit(meters_of_device, Kind::Publish, bytes, now);
                    // A device without rates of its own is counted with its profile alone.
                    let own = device_model.iter_mut().flatten().filter(|line| from_device && line.limit.is_some());
                    let lines = own.chain(&mut profile_model).collect();
                    prop_assert_eq!(answer, ask(lines, bytes, now, enforce));
                }
            }
            let expected: Vec<Reading> = profile_model.iter().map(|line| line.reading(now)).collect();
            prop_assert_eq!(of_publish(meters.readings(now)), expected);
            let expected: Vec<Reading> = device_model.iter().flatten().map(|line| line.reading(now)).collect();
            let readings = device.as_ref().map(|device| of_publish(device.readings(now))).unwrap_or_default();
            prop_assert_eq!(readings, expected);
        }
    }
}
