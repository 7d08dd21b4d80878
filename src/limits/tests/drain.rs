//! What is fetched from the meters is what they admitted and denied, no more and no less: however late it is fetched, wherever
//! the clock jumps, whoever counts meanwhile, and whatever a reload takes away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{limits, plan, utc};
use crate::limits::{Crossed, DeviceMeters, Drained, Kind, Meters, Plan, Resource, UnixMillis, Window};

fn drained(meters: &Meters, now: UnixMillis) -> Drained {
    let mut drained = Drained::default();
    meters.drain(now, &mut drained);
    drained
}

/// Used and denied of a resource, in all or by the minute.
fn sum(drained: &Drained, resource: &Resource) -> Counts {
    let of = drained.tallies.iter().filter(|tally| tally.resource == *resource);
    of.fold((0, 0), |(used, denied), tally| (used + tally.used, denied + tally.denied))
}

fn by_minute(drained: &Drained, resource: &Resource) -> BTreeMap<UnixMillis, Counts> {
    let mut minutes = BTreeMap::new();
    for tally in drained.tallies.iter().filter(|tally| tally.resource == *resource) {
        let minute: &mut Counts = minutes.entry(tally.at).or_default();
        (minute.0, minute.1) = (minute.0 + tally.used, minute.1 + tally.denied);
    }
    minutes
}

/// Limits as they are written.
type Written = &'static [(&'static str, &'static [&'static str])];

/// Used and denied.
type Counts = (u64, u64);

const RATES: [&[&str]; 9] = [
    &[],
    &["3/s"],
    &["5/min"],
    &["9/h"],
    &["20/day"],
    &["2/s", "5/min"],
    &["5/min", "9/h"],
    &["0/min"],
    &["18446744073709551615/month"],
];

#[derive(Clone, Debug)]
enum Step {
    Ask { millis: i64, bytes: u64 },
    Drain,
    Reload { rates: usize, bytes: bool, enforce: bool },
}

fn steps(monotone: bool) -> impl Strategy<Value = Vec<Step>> {
    let back = if monotone { 1 } else { -1 };
    let jump = select(vec![1_000, 60_000, 3_600_000, 86_400_000, back * 61_000, back * 86_400_000]);
    let millis = prop_oneof![6 => Just(0), 3 => 0..20_000i64, 1 => jump];
    let ask = (millis, 0..8u64).prop_map(|(millis, bytes)| Step::Ask { millis, bytes });
    let reload = (0..RATES.len(), any::<bool>(), prop::bool::weighted(0.8));
    let reload = reload.prop_map(|(rates, bytes, enforce)| Step::Reload { rates, bytes, enforce });
    vec(prop_oneof![20 => ask, 3 => Just(Step::Drain), 1 => reload], 1..200)
}

fn some_plan(rates: usize, bytes: bool, enforce: bool) -> Plan {
    let bytes: &[&str] = if bytes { &["30/min"] } else { &[] };
    let written = [("publish", RATES[rates]), ("publish_bytes", bytes)];
    let written: Vec<_> = written.into_iter().filter(|(_, rates)| !rates.is_empty()).collect();
    Plan { enforce, ..plan(&written) }
}

/// What was fetched after these steps, and what should have been of `publish`, by the minute, and of `publish_bytes` in all.
fn run(first: usize, steps: Vec<Step>) -> (Drained, BTreeMap<UnixMillis, Counts>, u64) {
    let mut now = utc("2026-01-31T23:58:57.500Z");
    let meters = Meters::new(&some_plan(first, false, true));
    let (mut fetched, mut expected, mut bytes_used) = (Drained::default(), BTreeMap::new(), 0);
    let mut counts_bytes = false;
    for step in steps {
        match step {
            Step::Ask { millis, bytes } => {
                now = UnixMillis(now.0.saturating_add_signed(millis));
                let minute = Window::Minute.start(Window::Minute.index(now));
                let entry: &mut Counts = expected.entry(minute).or_default();
                if meters.admit(None, Kind::Publish, bytes, now).is_ok() {
                    entry.0 += 1;
                    bytes_used += if counts_bytes { bytes } else { 0 };
                }
            }
            Step::Drain => meters.drain(now, &mut fetched),
            Step::Reload { rates, bytes, enforce } => {
                counts_bytes = bytes;
                meters.set_plan(&some_plan(rates, bytes, enforce));
            }
        }
    }
    meters.drain(now, &mut fetched);
    assert!(drained(&meters, now).tallies.is_empty(), "nothing is fetched twice");
    (fetched, expected, bytes_used)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_fetched_adds_up_to_what_was_admitted_wherever_the_clock_jumps(
        first in 0..RATES.len(),
        steps in steps(false),
    ) {
        let (fetched, expected, bytes) = run(first, steps);
        let admitted = expected.values().map(|(used, _)| used).sum::<u64>();
        prop_assert_eq!(sum(&fetched, &Resource::Publish).0, admitted);
        prop_assert_eq!(sum(&fetched, &Resource::PublishBytes).0, bytes);
    }

    #[test]
    fn while_the_clock_goes_forward_each_minute_has_its_own_however_late_it_is_fetched(
        // Those in which every count knows its minute: of several rates, of none, or of one by the second or minute.
        first in select(vec![0, 1, 2, 5, 6, 7]),
        steps in steps(true),
    ) {
        let steps = steps.into_iter().filter(|step| !matches!(step, Step::Reload { .. })).collect();
        let (fetched, expected, _) = run(first, steps);
        let used = |minutes: BTreeMap<UnixMillis, Counts>| -> Vec<_> {
            minutes.into_iter().map(|(at, (used, _))| (at, used)).filter(|(_, used)| *used > 0).collect()
        };
        prop_assert_eq!(used(by_minute(&fetched, &Resource::Publish)), used(expected));
    }
}

#[test]
fn threads_that_disagree_on_the_time_lose_no_count_to_one_who_fetches() {
    let rows: [(Written, Written); 4] = [
        (&[], &[]),
        (&[("publish", &["500/s"])], &[]),
        (&[("publish", &["900/s", "50_000/min"])], &[]),
        (&[("publish", &["900/s"])], &[("publish", &["700/s"])]),
    ];
    for (profile, own) in rows {
        let meters = Meters::new(&plan(profile));
        let device = DeviceMeters::new(&limits(own), true);
        let start = utc("2026-03-10T12:45:30Z").0;
        let (time, over) = (AtomicU64::new(start), AtomicBool::new(false));
        let worker = |behind: u64| {
            let (time, meters, device) = (&time, &meters, &device);
            move || {
                let ask = |_: &u64| {
                    let now = UnixMillis(time.fetch_add(1, Ordering::Relaxed) - behind);
                    meters.admit(device.as_ref(), Kind::Publish, 0, now).is_ok()
                };
                (0..20_000).filter(ask).count() as u64
            }
        };
        let (mut of_profile, mut of_device) = (Drained::default(), Drained::default());
        let mut fetch = |now| {
            meters.drain(now, &mut of_profile);
            device.iter().for_each(|device| device.drain(now, &mut of_device));
        };
        let admitted: u64 = thread::scope(|scope| {
            let workers: Vec<_> = [0, 700, 61_000, 3].map(|behind| scope.spawn(worker(behind))).into();
            let ended = scope.spawn(|| {
                let admitted = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
                over.store(true, Ordering::Release);
                admitted
            });
            while !over.load(Ordering::Acquire) {
                fetch(UnixMillis(time.load(Ordering::Relaxed)));
                thread::yield_now();
            }
            ended.join().unwrap()
        });
        fetch(UnixMillis(time.into_inner()));
        assert!(admitted > 1_000, "{profile:?}");
        assert_eq!(sum(&of_profile, &Resource::Publish).0, admitted, "{profile:?}");
        let of_device = sum(&of_device, &Resource::Publish).0;
        assert_eq!(of_device, if device.is_some() { admitted } else { 0 }, "{profile:?}");
    }
}

#[test]
fn denials_are_fetched_once_for_each_resource_that_denied() {
    let now = utc("2026-03-10T12:45:30Z");
    let minute = utc("2026-03-10T12:45:00Z");
    let rows: [(Written, Counts, Counts); 3] = [
        (&[("publish", &["2/min"])], (2, 3), (0, 0)),
        (&[("publish", &["2/s", "2/min", "2/h"])], (2, 3), (0, 0)),
        (&[("publish", &["2/min", "3/h"]), ("publish_bytes", &["8/min"])], (2, 3), (8, 3)),
    ];
    for (written, publish, bytes) in rows {
        let meters = Meters::new(&plan(written));
        for _ in 0..5 {
            let _ = meters.admit(None, Kind::Publish, 4, now);
        }
        let fetched = drained(&meters, UnixMillis(now.0 + 86_400_000));
        assert_eq!(by_minute(&fetched, &Resource::Publish)[&minute], publish, "{written:?}");
        assert_eq!(sum(&fetched, &Resource::PublishBytes), bytes, "{written:?}");
    }
}

#[test]
fn a_count_in_a_long_window_is_in_the_minute_of_the_drain_before_it() {
    let meters = Meters::new(&plan(&[("publish", &["10/h"])]));
    let at = |time: &str| utc(&format!("2026-03-10T{time}Z"));
    let count = |time: &str| meters.admit(None, Kind::Publish, 0, at(time)).unwrap();
    let fetch = |time: &str| by_minute(&drained(&meters, at(time)), &Resource::Publish);
    count("12:45:58");
    assert_eq!(fetch("12:45:59"), [(at("12:45:00"), (1, 0))].into());
    count("12:45:59.500");
    assert_eq!(fetch("12:46:00"), [(at("12:45:00"), (1, 0))].into());
    count("12:59:00");
    assert_eq!(fetch("12:59:01"), [(at("12:46:00"), (1, 0))].into());
    count("12:59:59");
    count("13:00:00");
    assert_eq!(fetch("13:00:01"), [(at("12:59:00"), (1, 0)), (at("13:00:00"), (1, 0))].into());
}

#[test]
fn meters_that_nobody_fetches_from_stay_small_and_lose_nothing() {
    let meters = Meters::new(&plan(&[("publish", &["5/min", "9/h"])]));
    let start = utc("2026-03-10T12:45:30Z").0;
    let minutes = (0..2_000).map(|minute| UnixMillis(start + minute * 60_000));
    let admitted = minutes.filter(|now| meters.admit(None, Kind::Publish, 0, *now).is_ok()).count() as u64;
    let fetched = drained(&meters, UnixMillis(start));
    assert_eq!(sum(&fetched, &Resource::Publish).0, admitted);
    assert!(fetched.tallies.len() <= 300, "{}", fetched.tallies.len());
}

#[test]
fn a_name_that_a_reload_takes_away_is_fetched_still() {
    let data: Resource = "POST /data".parse().unwrap();
    let meters = Meters::new(&plan(&[("POST /data", &["10/h"])]));
    let now = utc("2026-03-10T12:45:30Z");
    assert_eq!(meters.admit_resource(None, &data, 3, now), Ok(()));
    meters.set_plan(&plan(&[]));
    assert_eq!(by_minute(&drained(&meters, now), &data), [(utc("2026-03-10T12:45:00Z"), (3, 0))].into());
}

#[test]
fn what_is_restored_counts_against_the_limit_and_is_not_fetched() {
    let now = utc("2026-03-10T12:45:30Z");
    // In this minute 2, in this hour 5, in this day 7, in this month 9.
    let history = |_: &Resource, window: Window| match window {
        Window::Second => (1_000, 0),
        Window::Minute => (2, 1),
        Window::Hour => (5, 2),
        Window::Day => (7, 3),
        Window::Month => (9, 4),
    };
    let rows: [(&[&str], u64); 7] = [
        (&["3/s"], 3),
        (&["10/min"], 8),
        (&["10/h"], 5),
        (&["10/day"], 3),
        (&["10/month"], 1),
        (&["4/min", "8/h"], 2),
        (&["9/month"], 0),
    ];
    for (rates, left) in rows {
        let meters = Meters::new(&plan(&[("publish", rates)]));
        let device = DeviceMeters::new(&limits(&[("publish", rates)]), true).unwrap();
        meters.restore(now, history);
        device.restore(now, history);
        let fetched = drained(&meters, now);
        assert_eq!(fetched, Drained::default(), "{rates:?}: nor is what was used up before told again");
        let ask = |_: &u64| meters.admit(Some(&device), Kind::Publish, 0, now).is_ok();
        assert_eq!((0..20).filter(ask).count() as u64, left, "{rates:?}");
        assert_eq!(sum(&drained(&meters, now), &Resource::Publish).0, left, "{rates:?}");
    }
    let unlimited = Meters::new(&plan(&[]));
    unlimited.restore(now, history);
    let publish = &unlimited.readings(now)[1];
    assert_eq!((publish.used, publish.denied), (2, 1));
    assert_eq!(drained(&unlimited, now), Drained::default());
}

#[test]
fn a_rate_that_is_nearly_and_then_wholly_used_up_is_told_once_a_window() {
    let told = |crossed: &[Crossed]| -> Vec<_> {
        crossed.iter().map(|c| (c.rate.to_string(), c.percent, c.used, c.window_ends)).collect()
    };
    let ends = utc("2026-03-10T12:46:00Z");
    for others in [&[][..], &["100/h"]] {
        let rates = [&["10/min"][..], others].concat();
        let meters = Meters::new(&plan(&[("publish", &rates)]));
        let now = utc("2026-03-10T12:45:30Z");
        let count = |requests: u64, now| (0..requests).for_each(|_| drop(meters.admit(None, Kind::Publish, 0, now)));
        count(7, now);
        assert!(drained(&meters, now).crossed.is_empty());
        count(1, now);
        assert_eq!(told(&drained(&meters, now).crossed), [("10/min".into(), 80, 8, ends)]);
        count(9, now);
        assert_eq!(told(&drained(&meters, now).crossed), [("10/min".into(), 100, 10, ends)]);
        assert!(drained(&meters, now).crossed.is_empty());
        // A window that is over before anyone looked is told all the same.
        let (next, later) = (utc("2026-03-10T12:46:10Z"), utc("2026-03-10T12:47:20Z"));
        count(10, next);
        count(1, later);
        let ends = utc("2026-03-10T12:47:00Z");
        let expected = [("10/min".into(), 80, 10, ends), ("10/min".into(), 100, 10, ends)];
        assert_eq!(told(&drained(&meters, later).crossed), expected, "{rates:?}");
    }
}
