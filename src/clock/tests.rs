//! A clock that is moved by hand, and who is woken by it.

use super::*;

const NOON: UnixMillis = UnixMillis(1_773_144_000_000);

#[test]
fn a_manual_clock_stands_still_until_it_is_moved() {
    let manual = ManualClock::at(NOON);
    let clock = Clock::Manual(Arc::clone(&manual));
    assert_eq!(clock.now(), Now { wall: NOON, mono: 0 });
    assert_eq!(clock.now(), clock.now());
    manual.advance(Duration::from_millis(1_500));
    assert_eq!(clock.now(), Now { wall: UnixMillis(NOON.0 + 1_500), mono: 1_500 });
}

#[test]
fn a_clock_set_forwards_takes_the_monotonic_one_along_and_set_backwards_moves_alone() {
    let manual = ManualClock::at(NOON);
    let clock = Clock::Manual(Arc::clone(&manual));
    let rows = [(60_000, 60_000), (-3_600_000, 60_000), (-3_599_000, 61_000), (-3_599_000, 61_000)];
    for (from_noon, mono) in rows {
        let wall = UnixMillis(NOON.0.checked_add_signed(from_noon).unwrap());
        manual.set(wall);
        assert_eq!(clock.now(), Now { wall, mono });
    }
}

#[tokio::test]
async fn whoever_sleeps_on_a_manual_clock_wakes_when_it_has_reached_the_moment_and_not_before() {
    let manual = ManualClock::at(NOON);
    let clock = Clock::Manual(Arc::clone(&manual));
    let sleeper = |until: u64| {
        let clock = clock.clone();
        async move {
            clock.sleep_until(until).await;
            clock.now().mono
        }
    };
    let mover = async {
        for _ in 0..10 {
            manual.advance(Duration::from_millis(100));
            // Everyone has a turn before the clock moves on.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
    };
    let (now, first, between, same, last, ()) =
        tokio::join!(sleeper(0), sleeper(100), sleeper(250), sleeper(300), sleeper(1_000), mover);
    assert_eq!((now, first, between, same, last), (0, 100, 300, 300, 1_000));
}

#[tokio::test]
async fn a_clock_that_is_set_back_wakes_no_one_and_delays_no_one() {
    let manual = ManualClock::at(NOON);
    let clock = Clock::Manual(Arc::clone(&manual));
    let mover = async {
        manual.set(UnixMillis(NOON.0 - 3_600_000));
        tokio::task::yield_now().await;
        manual.advance(Duration::from_millis(500));
    };
    let sleeper = async {
        clock.sleep_until(500).await;
        clock.now()
    };
    let (now, ()) = tokio::join!(sleeper, mover);
    assert_eq!(now, Now { wall: UnixMillis(NOON.0 - 3_600_000 + 500), mono: 500 });
}

#[tokio::test]
async fn whoever_sleeps_on_the_systems_clock_wakes_with_the_moment_reached() {
    let clock = Clock::system();
    let until = clock.now().mono + 2;
    clock.sleep_until(until).await;
    assert!(clock.now().mono >= until);
    clock.sleep_until(0).await;
}

#[tokio::test]
async fn a_sleep_takes_no_more_room_than_the_runtimes_own_timer() {
    assert!(size_of_val(&Clock::system().sleep_until(0)) <= size_of::<tokio::time::Sleep>());
}
