//! The price of history: what all profiles have counted in a second taken into the journal, a minute written (and synced to the
//! disk), and a day of one profile read back by the minute. On the disk that the system's temporary directory is on.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use weir::measuring::History;

const PROFILES: usize = 10_000;
/// So many have a whole day of history: filling it in is not measured, and should not take minutes.
const PROFILES_OF_A_DAY: usize = 1_000;
const MINUTES: u64 = 1_440;

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("usage");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, millis) in [("a second", 1_000), ("a minute", 60_000)] {
        group.bench_function(format!("{name} of {PROFILES} profiles with 3 resources each"), |b| {
            b.iter_custom(|times| {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let mut history = History::open(directory.path(), PROFILES).expect("a store");
                // The first finds every name new.
                history.pass(0).expect("it is written");
                let start = Instant::now();
                (0..times).for_each(|_| history.pass(millis).expect("it is written"));
                start.elapsed()
            });
        });
    }
    group.bench_function(format!("a day's query of one of {PROFILES_OF_A_DAY} profiles"), |b| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut history = History::open(directory.path(), PROFILES_OF_A_DAY).expect("a store");
        (0..MINUTES).for_each(|_| history.pass(60_000).expect("it is written"));
        let mut profile = 0;
        b.iter(|| {
            profile = (profile + 7) % PROFILES_OF_A_DAY;
            assert!(history.day(black_box(profile)).expect("it is read") >= (MINUTES - 1) * 250);
        });
    });
    group.finish();
}
