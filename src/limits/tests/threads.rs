//! Exactly N, whatever the number of threads.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{limits, plan, utc};
use crate::limits::{DeviceMeters, Drained, Gate, Kind, Meters, Plan, Rate, Resource, Rule, UnixMillis};

const THREADS: u64 = 8;
const LIMIT: u64 = 15_000;

/// How many of so many attempts are admitted; each thread tells `ask` how far it has come, from 0 to 1.
fn admitted(attempts: u64, ask: impl Fn(f64) -> bool + Sync) -> u64 {
    let each = attempts / THREADS;
    let begin = Barrier::new(THREADS as usize);
    let worker = || {
        begin.wait();
        (0..each).filter(|done| ask(*done as f64 / each as f64)).count() as u64
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn noon() -> UnixMillis {
    utc("2026-03-10T12:00:00Z")
}

#[test]
fn a_million_attempts_of_eight_threads_get_exactly_the_limit() {
    let meters = Meters::new(&plan(&[("publish", &["15_000/min"])]));
    let count = admitted(1_000_000, |_| meters.admit(None, Kind::Publish, 9, noon()).is_ok());
    assert_eq!(count, LIMIT);
    let publish = &meters.readings(noon())[1];
    assert_eq!((publish.used, publish.denied), (LIMIT, 1_000_000 - LIMIT));
}

#[test]
fn eight_threads_are_counted_exactly_where_the_limit_is_not_enforced() {
    let meters = Meters::new(&Plan { enforce: false, ..plan(&[("publish", &["15_000/min"])]) });
    let two_minutes = [noon(), UnixMillis(noon().0 + 60_000)];
    for now in two_minutes {
        assert_eq!(admitted(60_000, |_| meters.admit(None, Kind::Publish, 9, now).is_ok()), 60_000);
        let publish = &meters.readings(now)[1];
        assert_eq!((publish.used, publish.denied), (60_000, 60_000 - LIMIT));
    }
    let mut drained = Drained::default();
    meters.drain(two_minutes[1], &mut drained);
    let of_publish = drained.tallies.iter().filter(|tally| tally.resource == Resource::Publish);
    let by_minute: Vec<_> = of_publish.map(|tally| (tally.at, tally.used, tally.denied)).collect();
    assert_eq!(by_minute, two_minutes.map(|now| (now, 60_000, 60_000 - LIMIT)));
}

#[test]
fn threads_get_exactly_the_limit_under_several_rates_and_with_a_devices_own() {
    type Written = &'static [(&'static str, &'static [&'static str])];
    let rows: [(&str, Written, Written); 6] = [
        ("two rates", &[("publish", &["15_000/min", "20_000/h"])], &[]),
        ("the rate of the longer window is the smaller", &[("publish", &["20_000/s", "15_000/day"])], &[]),
        ("bytes", &[("publish_bytes", &["105_000/min"])], &[]),
        ("bytes and a count", &[("publish", &["15_000/min"]), ("publish_bytes", &["1GiB/min"])], &[]),
        ("the device's rate is the smaller", &[("publish", &["20_000/min"])], &[("publish", &["15_000/min"])]),
        ("the profile's rate is the smaller", &[("publish", &["15_000/min"])], &[("publish", &["20_000/min"])]),
    ];
    for (name, profile, device) in rows {
        let meters = Meters::new(&plan(profile));
        let device = DeviceMeters::new(&limits(device), true);
        let count = admitted(60_000, |_| meters.admit(device.as_ref(), Kind::Publish, 7, noon()).is_ok());
        assert_eq!(count, LIMIT, "{name}");
        for reading in device.iter().flat_map(|device| device.readings(noon())).chain(meters.readings(noon())) {
            let used = if reading.resource.is_bytes() { LIMIT * 7 } else { LIMIT };
            let expected = if reading.limit.is_some() { used } else { 0 };
            assert_eq!(reading.used, expected, "{name}: counted in all or in none: {reading:?}");
        }
    }
}

#[test]
fn devices_share_exactly_what_their_profile_has_and_none_gets_more_than_its_own() {
    let meters = Meters::new(&plan(&[("publish", &["15_000/min"])]));
    let devices: Vec<_> = (0..4).map(|_| DeviceMeters::new(&limits(&[("publish", &["5_000/min"])]), true)).collect();
    let next = AtomicU64::new(0);
    let count = admitted(60_000, |_| {
        let device = &devices[next.fetch_add(1, Ordering::Relaxed) as usize % devices.len()];
        meters.admit(device.as_ref(), Kind::Publish, 0, noon()).is_ok()
    });
    assert_eq!(count, LIMIT);
    let used: Vec<u64> = devices.iter().flatten().map(|device| device.readings(noon())[1].used).collect();
    assert!(used.iter().all(|used| *used <= 5_000), "{used:?}");
    assert_eq!(used.iter().sum::<u64>(), LIMIT);
}

#[test]
fn a_clock_that_is_set_back_gives_no_window_a_second_time() {
    let rows: [(&[&str], Option<&[&str]>); 3] =
        [(&["15_000/min"], None), (&["15_000/min", "20_000/h"], None), (&["20_000/min"], Some(&["15_000/min"]))];
    for (profile, device) in rows {
        let meters = Meters::new(&plan(&[("publish", profile)]));
        let device = device.and_then(|rates| DeviceMeters::new(&limits(&[("publish", rates)]), true));
        let an_hour_ago = UnixMillis(noon().0 - 3_600_000);
        let count = admitted(60_000, |done| {
            let now = if done < 0.5 { noon() } else { an_hour_ago };
            meters.admit(device.as_ref(), Kind::Publish, 0, now).is_ok()
        });
        assert_eq!(count, LIMIT, "{profile:?}");
    }
}

#[test]
fn each_of_two_windows_gets_exactly_the_limit_though_threads_disagree_on_the_time() {
    for rates in [&["15_000/min"] as &[&str], &["15_000/min", "40_000/h"]] {
        let meters = Meters::new(&plan(&[("publish", rates)]));
        let count = admitted(240_000, |done| {
            let now = if done < 0.5 { noon() } else { UnixMillis(noon().0 + 60_000) };
            meters.admit(None, Kind::Publish, 0, now).is_ok()
        });
        assert_eq!(count, 2 * LIMIT, "{rates:?}");
    }
}

/// How many are admitted by a gate that goes through these sets of rates, one after the other, while threads ask. There is
/// more demand under each of them than it admits.
fn admitted_across(reloads: &[&[&str]]) -> u64 {
    let set = |rates: &[&str]| rates.iter().map(|rate| rate.parse().unwrap()).map(publish_rule).collect();
    let gate = Gate::new(Resource::Publish, set(reloads[0]), true);
    let (asked, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let worker = || {
        let mut admitted = 0;
        while !over.load(Ordering::Acquire) {
            admitted += u64::from(gate.admit(0, noon()).is_ok());
            asked.fetch_add(1, Ordering::Relaxed);
        }
        // What the last rates have left is asked for too.
        admitted + (0..=LIMIT / THREADS).filter(|_| gate.admit(0, noon()).is_ok()).count() as u64
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        for rates in &reloads[1..] {
            let until = asked.load(Ordering::Relaxed) + 2_000;
            while asked.load(Ordering::Relaxed) < until {
                thread::yield_now();
            }
            gate.set_rules(set(rates), true);
        }
        over.store(true, Ordering::Release);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn publish_rule(rate: Rate) -> Rule {
    Rule { resource: Resource::Publish, rate }
}

#[test]
fn a_reload_in_the_middle_of_a_window_keeps_its_count() {
    const BACK_AND_FORTH: [&[&str]; 8] = [
        &["15_000/min"],
        &["15_000/min", "1M/h"],
        &["15_000/min"],
        &["15_000/min", "1M/s"],
        &["1M/day", "15_000/min"],
        &["15_000/min"],
        &["15_000/min"],
        &["15_000/min", "1M/h"],
    ];
    let rows: [(&[&[&str]], std::ops::RangeInclusive<u64>); 6] = [
        (&[&["15_000/min"], &["15_000/min"]], LIMIT..=LIMIT),
        (&[&["10_000/min"], &["15_000/min"]], LIMIT..=LIMIT),
        (&[&["15_000/min"], &["1_000/min"]], 1_000..=LIMIT),
        (&[&["15_000/min"], &["1_000/min"], &["15_000/min"]], LIMIT..=LIMIT),
        (&[&["7_500/min"], &["7_500/h"]], 7_501..=LIMIT),
        (&BACK_AND_FORTH, LIMIT..=LIMIT),
    ];
    for (reloads, expected) in rows {
        let count = admitted_across(reloads);
        assert!(expected.contains(&count), "{count} under {reloads:?}");
    }
}
