//! History against a plain sum, at made-up times, with the broker's end and its loss at any moment.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::retention::MEMORY_ROWS;
use super::*;

const MINUTE: u64 = 60_000;
const DAY: u64 = 86_400_000;

fn utc(text: &str) -> UnixMillis {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    UnixMillis(timestamp.as_millisecond().try_into().unwrap())
}

/// What a meter says at this time.
fn counted(profile: &str, device: Option<&str>, resource: &str, at: UnixMillis, used: u64, denied: u64) -> Counted {
    let at = Window::Minute.start(Window::Minute.index(at));
    let tally = Tally { resource: resource.parse().unwrap(), at, used, denied };
    Counted { profile: profile.into(), device: device.map(Into::into), tally }
}

/// Takes in what was counted by this time. The wall clock alone is of meaning.
fn collect(usage: &Usage, at: UnixMillis, counts: &[Counted]) {
    usage.collect(Now { wall: at, mono: at.0 }, counts, Load::default()).unwrap();
}

/// The points that are not zero.
fn told(
    usage: &Usage,
    of: (&str, Option<&str>, &str),
    from: &str,
    to: &str,
    step: Step,
) -> Vec<(UnixMillis, u64, u64)> {
    let points = usage.series(of.0, of.1, of.2, utc(from), utc(to), step).unwrap();
    points.iter().filter(|p| p.used + p.denied > 0).map(|p| (p.at, p.used, p.denied)).collect()
}

const ACME: (&str, Option<&str>, &str) = ("acme", None, "publish");

#[test]
fn a_series_has_a_point_for_each_step_of_the_calendar_with_what_is_not_yet_written() {
    let usage = Usage::default();
    for (time, used, denied) in
        [("2026-01-31T23:59:10Z", 1, 10), ("2026-01-31T23:59:50Z", 2, 20), ("2026-02-01T00:00:10Z", 4, 40)]
    {
        let at = utc(time);
        collect(&usage, at, &[counted("acme", None, "publish", at, used, denied)]);
    }
    let points = |from: &str, to: &str, step| {
        let points = usage.series("acme", None, "publish", utc(from), utc(to), step).unwrap();
        points.iter().map(|p| (p.at, p.used, p.denied)).collect::<Vec<_>>()
    };
    let (from, to) = ("2026-01-31T23:58:30Z", "2026-02-01T00:01:30Z");
    let minutes: [(&str, u64, u64); 4] = [
        ("2026-01-31T23:58:00Z", 0, 0),
        ("2026-01-31T23:59:00Z", 3, 30),
        ("2026-02-01T00:00:00Z", 4, 40),
        ("2026-02-01T00:01:00Z", 0, 0),
    ];
    assert_eq!(points(from, to, Step::Minute), minutes.map(|(at, used, denied)| (utc(at), used, denied)));
    for (step, first, second) in [
        (Step::Hour, "2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z"),
        (Step::Day, "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        (Step::Month, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
    ] {
        assert_eq!(points(from, to, step), [(utc(first), 3, 30), (utc(second), 4, 40)], "{step:?}");
        assert_eq!(points(from, "2026-02-01T00:00:00Z", step), [(utc(first), 3, 30)], "{step:?}: the end is not in it");
    }
    assert!(points(to, from, Step::Minute).is_empty());
    assert!(
        usage.series("nobody", None, "publish", utc(from), utc(to), Step::Hour).unwrap().iter().all(|p| p.used == 0)
    );
    let error = usage.series("acme", None, "publish", UnixMillis(0), utc(to), Step::Minute).unwrap_err().to_string();
    assert!(
        error.ends_with("points are more than the 50000 that are told at once: choose a longer step or a shorter time")
    );
}

#[test]
fn what_was_counted_is_there_after_the_end_with_its_names_and_devices() {
    let directory = tempfile::tempdir().unwrap();
    let at = utc("2026-03-10T12:45:30Z");
    let usage = Usage::open(Some(directory.path())).unwrap();
    let counts = [
        counted("acme", None, "publish", at, 1, 0),
        counted("acme", Some("pump-1"), "publish", at, 2, 0),
        counted("acme", Some("pump-2"), "POST /data", at, 3, 1),
        counted("other", None, "connect", at, 4, 0),
    ];
    usage.finish(Now { wall: at, mono: 0 }, &counts, Load::default()).unwrap();
    drop(usage);
    let usage = Usage::open(Some(directory.path())).unwrap();
    assert_eq!(usage.devices("acme"), ["pump-1", "pump-2"]);
    assert!(usage.devices("other").is_empty() && usage.devices("nobody").is_empty());
    assert_eq!(usage.resources("acme", Some("pump-2")).unwrap(), ["POST /data"]);
    assert_eq!(usage.resources("acme", None).unwrap(), ["publish"]);
    assert!(usage.resources("nobody", None).unwrap().is_empty());
    for (profile, device, resource, used, denied) in [
        ("acme", None, "publish", 1, 0),
        ("acme", Some("pump-2"), "POST /data", 3, 1),
        ("other", None, "connect", 4, 0),
    ] {
        for step in [Step::Minute, Step::Hour, Step::Day, Step::Month] {
            let told = told(&usage, (profile, device, resource), "2026-03-10T00:00:00Z", "2026-03-11T00:00:00Z", step);
            assert_eq!(told.iter().map(|(_, used, denied)| (*used, *denied)).collect::<Vec<_>>(), [(used, denied)]);
        }
        let resource: Resource = resource.parse().unwrap();
        let current = |window, now: &str| usage.current(profile, device, &resource, window, utc(now)).unwrap();
        for (window, now, later) in [
            (Window::Minute, "2026-03-10T12:45:59Z", "2026-03-10T12:46:00Z"),
            (Window::Hour, "2026-03-10T12:59:59Z", "2026-03-10T13:00:00Z"),
            (Window::Day, "2026-03-10T23:59:59Z", "2026-03-11T00:00:00Z"),
            (Window::Month, "2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z"),
        ] {
            assert_eq!((current(window, now), current(window, later)), ((used, denied), (0, 0)), "{window}");
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// The clock moves, and each of these is counted.
    Second {
        millis: i64,
        counts: Vec<(bool, u64, u64)>,
    },
    /// The process is lost, or ended.
    Lost,
    Ended,
}

fn event() -> impl Strategy<Value = Event> {
    let millis = prop_oneof![8 => 1_000..1_001i64, 4 => 1_000..100_000i64, 1 => -200_000..0i64, 1 => Just(3_600_000)];
    let counts = vec((any::<bool>(), 0..300u64, 0..3u64), 0..4);
    let second = (millis, counts).prop_map(|(millis, counts)| Event::Second { millis, counts });
    prop_oneof![12 => second, 1 => Just(Event::Lost), 1 => Just(Event::Ended)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn minutes_add_up_to_what_was_counted_through_ends_and_losses_and_clocks_set_back(events in vec(event(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let open = || Usage::open(Some(directory.path())).unwrap();
        let (mut usage, mut now, mut mono) = (open(), utc("2026-01-31T23:50:00Z"), 0);
        let mut expected: BTreeMap<(bool, u64), (u64, u64)> = BTreeMap::new();
        for event in events {
            match event {
                Event::Second { millis, counts } => {
                    now = UnixMillis(now.0.saturating_add_signed(millis));
                    mono += millis.unsigned_abs();
                    let mut tallies = Vec::new();
                    for (device, used, denied) in counts {
                        let sum = expected.entry((device, now.0 / MINUTE)).or_default();
                        (sum.0, sum.1) = (sum.0 + used, sum.1 + denied);
                        tallies.push(counted("acme", device.then_some("pump"), "publish", now, used, denied));
                    }
                    usage.collect(Now { wall: now, mono }, &tallies, Load::default()).unwrap();
                }
                Event::Lost => {
                    drop(usage);
                    usage = open();
                }
                Event::Ended => {
                    usage.finish(Now { wall: now, mono }, &[], Load::default()).unwrap();
                    drop(usage);
                    usage = open();
                }
            }
        }
        expected.retain(|_, counts| *counts != (0, 0));
        let (from, to) = (UnixMillis(utc("2026-01-31T00:00:00Z").0), UnixMillis(now.0 + DAY));
        for (step, window) in [(Step::Minute, Window::Minute), (Step::Hour, Window::Hour), (Step::Day, Window::Day),
            (Step::Month, Window::Month)] {
            for device in [false, true] {
                let mut sums: BTreeMap<UnixMillis, (u64, u64)> = BTreeMap::new();
                for ((_, minute), (used, denied)) in expected.iter().filter(|((of, _), _)| *of == device) {
                    let at = window.start(window.index(UnixMillis(minute * MINUTE)));
                    let sum = sums.entry(at).or_default();
                    (sum.0, sum.1) = (sum.0 + used, sum.1 + denied);
                }
                let points = usage.series("acme", device.then_some("pump"), "publish", from, to, step).unwrap();
                let told: BTreeMap<_, _> = points.iter().filter(|p| p.used + p.denied > 0)
                    .map(|p| (p.at, (p.used, p.denied))).collect();
                prop_assert_eq!(told, sums, "{:?}", step);
            }
        }
    }
}

#[test]
fn minutes_are_kept_31_days_hours_13_months_and_months_always() {
    let directory = tempfile::tempdir().unwrap();
    for usage in [Usage::default(), Usage::open(Some(directory.path())).unwrap()] {
        let at = utc("2026-01-10T12:45:30Z");
        collect(&usage, at, &[counted("acme", None, "publish", at, 5, 0)]);
        let kept = |now: UnixMillis| {
            // Everyone has had a turn after a few.
            (0..4).for_each(|second| collect(&usage, UnixMillis(now.0 + second * 1_000), &[]));
            [Step::Minute, Step::Hour, Step::Month]
                .map(|step| !told(&usage, ACME, "2026-01-10T12:45:00Z", "2026-01-10T12:46:00Z", step).is_empty())
        };
        assert_eq!(kept(UnixMillis(at.0 + 31 * DAY - MINUTE)), [true, true, true]);
        assert_eq!(kept(UnixMillis(at.0 + 31 * DAY + MINUTE)), [false, true, true]);
        assert_eq!(kept(utc("2027-02-20T00:00:00Z")), [false, true, true]);
        assert_eq!(kept(utc("2027-03-01T00:00:00Z")), [false, false, true]);
        assert_eq!(kept(utc("2036-03-01T00:00:00Z")), [false, false, true]);
    }
}

#[test]
fn without_a_directory_what_is_kept_is_halved_while_it_is_too_much() {
    let usage = Usage::default();
    let start = utc("2026-03-10T00:00:00Z");
    let count = |minutes: Range<u64>| {
        for at in minutes.map(|minute| UnixMillis(start.0 + minute * MINUTE)) {
            collect(&usage, at, &[counted("acme", None, "publish", at, 1, 0)]);
        }
        usage.history.rows_in_memory().unwrap()
    };
    let told = |step| told(&usage, ACME, "2026-03-10T00:00:00Z", "2026-03-11T00:00:00Z", step);
    // Of each minute there is a row of the profile and one of the system.
    assert!(count(0..180) < MEMORY_ROWS);
    assert_eq!(told(Step::Minute).len(), 180, "as many are kept");
    let mut most = 0;
    for minute in 180..1_000 {
        most = most.max(count(minute..minute + 1));
    }
    assert!(most < MEMORY_ROWS * 11 / 10, "{most} rows");
    let minutes = told(Step::Minute);
    let first = UnixMillis(start.0 + (1_000 - minutes.len() as u64) * MINUTE);
    assert!((60..180).contains(&minutes.len()), "{} minutes", minutes.len());
    assert_eq!(minutes[0].0, first, "it is the oldest that go");
    let used = |step| told(step).iter().map(|(_, used, _)| used).sum::<u64>();
    assert_eq!((used(Step::Hour), used(Step::Month)), (1_000, 1_000), "what is longer stays for longer");
}

#[test]
fn the_system_has_a_point_for_every_ten_seconds_that_anything_is_known_of() {
    let directory = tempfile::tempdir().unwrap();
    let usage = Usage::open(Some(directory.path())).unwrap();
    let start = utc("2026-03-10T12:45:00Z");
    for second in 0..=40u64 {
        let now = Now { wall: UnixMillis(start.0 + second * 1_000), mono: second * 1_000 };
        // A peak in second 15; ten messages in and twenty out each second.
        let connections = if second == 15 { 100 } else { 7 };
        let (cpu_micros, memory) = (second * 250_000, 1_000 + second);
        let load = Load { cpu_micros, memory, connections, messages_in: second * 10, messages_out: second * 20 };
        usage.collect(now, &[], load).unwrap();
    }
    let points = |step| usage.system(start, UnixMillis(start.0 + MINUTE), step).unwrap();
    let of = |point: &SystemPoint| {
        ((point.at.0 - start.0) / 1_000, point.connections, point.messages_in, point.messages_out)
    };
    let tens = points(10);
    let expected = [(0, 7, 10.0, 20.0), (10, 100, 10.0, 20.0), (20, 7, 10.0, 20.0), (30, 7, 10.0, 20.0)];
    assert_eq!(tens.iter().map(of).collect::<Vec<_>>(), expected);
    assert_eq!(
        tens.iter().map(|point| (point.cpu, point.memory)).collect::<Vec<_>>(),
        [10, 20, 30, 40].map(|s| (0.25, 1_000 + s))
    );
    let (at, load) = usage.ten_seconds_ago().unwrap();
    assert_eq!((at, load.messages_in), (30_000, 300));
    assert_eq!(points(1).len(), 4, "there are none shorter");
    assert_eq!(points(20).iter().map(of).collect::<Vec<_>>(), [(0, 100, 10.0, 20.0), (20, 7, 10.0, 20.0)]);
    assert_eq!(points(3_600).iter().map(|point| point.connections).collect::<Vec<_>>(), [100]);
    assert!(usage.system(UnixMillis(0), start, 10).is_err());
    // 31 days later they are gone.
    let later = Now { wall: UnixMillis(start.0 + 32 * DAY), mono: 32 * DAY };
    (0..4).for_each(|_| usage.collect(later, &[], Load::default()).unwrap());
    assert!(points(10).is_empty());
}

#[test]
fn a_journal_that_was_damaged_is_read_as_far_as_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let at = utc("2026-03-10T12:45:30Z");
    let usage = Usage::open(Some(directory.path())).unwrap();
    collect(&usage, at, &[counted("acme", None, "publish", at, 5, 0)]);
    let mut batch = usage.store.batch();
    batch.put(usage.journal.as_ref().unwrap(), &7u64.to_be_bytes(), &[0x80, 0x80, 1, 99, 0, 0, 200]);
    batch.commit().unwrap();
    drop(usage);
    let usage = Usage::open(Some(directory.path())).unwrap();
    let minute = told(&usage, ACME, "2026-03-10T12:45:00Z", "2026-03-10T12:46:00Z", Step::Minute);
    assert_eq!(minute, [(utc("2026-03-10T12:45:00Z"), 5, 0)]);
}
