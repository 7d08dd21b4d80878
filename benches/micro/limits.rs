//! The price of a limit: one request admitted by the meters of a profile, by one thread, and by two that contend for them.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use weir::limits::{DeviceMeters, Kind, Limits, Meters, Plan, Rate, Resource, UnixMillis, Window};

/// The middle of a minute.
const NOW: UnixMillis = UnixMillis(1_795_265_130_000);
/// More in a window than is asked for here, and not so many that it counts as no limit at all.
const PLENTY: u64 = 2_000_000_000;
const BYTES: u64 = 64;

pub fn measure(criterion: &mut Criterion) {
    let minute = || Rate::new(PLENTY, Window::Minute);
    let hour = || Rate::new(PLENTY, Window::Hour);
    let cases = [
        ("no rate", vec![], None),
        ("one rate", vec![minute()], None),
        ("two rates", vec![minute(), hour()], None),
        ("device and profile", vec![minute()], Some(vec![minute()])),
    ];
    for (name, profile, device) in cases {
        for threads in [1, 2] {
            criterion.bench_function(&format!("limits/admit/{name}, threads: {threads}"), |b| {
                b.iter_custom(|requests| {
                    // New ones each time: so the count is never used up.
                    let meters = Meters::new(&Plan { limits: publish(&profile), ..Plan::default() });
                    let device = device.as_ref().and_then(|rates| DeviceMeters::new(&publish(rates), true));
                    let admit = || meters.admit(device.as_ref(), Kind::Publish, black_box(BYTES), NOW).is_ok();
                    contend(threads, requests, admit)
                });
            });
        }
    }
    let meters = Meters::new(&Plan { limits: publish(&[Rate::new(0, Window::Minute)]), ..Plan::default() });
    criterion.bench_function("limits/deny", |b| {
        b.iter(|| meters.admit(None, Kind::Publish, black_box(BYTES), NOW).is_err());
    });
}

fn publish(rates: &[Rate]) -> Limits {
    Limits([(Resource::Publish, rates.to_vec())].into())
}

/// How long the slowest of so many threads takes to have so many requests of its own admitted.
fn contend(threads: usize, requests: u64, admit: impl Fn() -> bool + Sync) -> Duration {
    let ready = Barrier::new(threads);
    let work = || {
        ready.wait();
        let start = Instant::now();
        let admitted = (0..requests).filter(|_| admit()).count() as u64;
        assert_eq!(admitted, requests, "the limit was met");
        start.elapsed()
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mine = work();
        others.into_iter().map(|other| other.join().expect("it only counts")).fold(mine, Duration::max)
    })
}
