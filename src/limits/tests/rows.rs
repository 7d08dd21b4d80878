//! Figures that a reader can check by hand.

use super::{limits, plan, utc};
use crate::limits::{Denial, DeviceMeters, Kind, Meters, Plan, Resource, UnixMillis};

/// What the client is told, and when it may come back.
fn told(denial: &Denial) -> (String, String, UnixMillis, bool) {
    (denial.to_string(), denial.limit.to_string(), denial.resets_at, denial.never_fits)
}

#[test]
fn a_denial_tells_the_rate_and_the_whole_seconds_until_the_window_ends() {
    let rows = [
        ("1/s", "2026-03-10T12:45:17.000Z", 1, "2026-03-10T12:45:18Z"),
        ("1/s", "2026-03-10T12:45:17.999Z", 1, "2026-03-10T12:45:18Z"),
        ("1/min", "2026-03-10T12:45:00.000Z", 60, "2026-03-10T12:46:00Z"),
        ("1/min", "2026-03-10T12:45:00.001Z", 60, "2026-03-10T12:46:00Z"),
        ("1/min", "2026-03-10T12:45:01.000Z", 59, "2026-03-10T12:46:00Z"),
        ("1/min", "2026-03-10T12:45:59.999Z", 1, "2026-03-10T12:46:00Z"),
        ("1/h", "2026-03-10T12:45:00Z", 900, "2026-03-10T13:00:00Z"),
        ("1/day", "2026-03-10T23:00:00Z", 3_600, "2026-03-11T00:00:00Z"),
        ("1/month", "2028-02-28T00:00:00Z", 172_800, "2028-03-01T00:00:00Z"),
        ("1/month", "2026-12-31T23:59:58.500Z", 2, "2027-01-01T00:00:00Z"),
    ];
    for (rate, now, seconds, end) in rows {
        let meters = Meters::new(&plan(&[("publish", &[rate])]));
        let now = utc(now);
        assert_eq!(meters.admit(None, Kind::Publish, 0, now), Ok(()), "{rate}");
        let denial = meters.admit(None, Kind::Publish, 0, now).unwrap_err();
        let text = format!("Too many requests (Retry-After: {seconds})");
        assert_eq!(told(&denial), (text, rate.into(), utc(end), false), "{rate}");
        assert_eq!(meters.admit(None, Kind::Publish, 0, utc(end)), Ok(()), "{rate} in its next window");
    }
}

#[test]
fn while_time_stands_still_one_a_second_is_one() {
    let meters = Meters::new(&plan(&[("connect", &["1/s"])]));
    let now = utc("2026-03-10T12:45:17.500Z");
    let admitted = (0..10_000).filter(|_| meters.admit(None, Kind::Connect, 0, now).is_ok()).count();
    assert_eq!(admitted, 1);
    let connect = &meters.readings(now)[0];
    assert_eq!((connect.used, connect.denied), (1, 9_999));
}

#[test]
fn zero_a_minute_means_never_and_the_reading_does_not_go_back_with_the_clock() {
    let meters = Meters::new(&plan(&[("publish", &["0/min"])]));
    let now = utc("2026-03-10T12:45:30Z");
    let denial = meters.admit(None, Kind::Publish, 0, now).unwrap_err();
    assert_eq!((denial.retry_after, denial.never_fits), (30, true));
    let denial = meters.admit(None, Kind::Publish, 0, UnixMillis(now.0 - 3_600_000)).unwrap_err();
    assert_eq!((denial.retry_after, denial.never_fits), (3_630, true));
    assert_eq!(meters.readings(now)[1].denied, 2);
}

#[test]
fn of_several_rates_the_one_that_is_exceeded_longest_is_told() {
    let meters = Meters::new(&plan(&[("publish", &["1/s", "1/h", "1/min"])]));
    let now = utc("2026-03-10T12:45:30Z");
    assert_eq!(meters.admit(None, Kind::Publish, 0, now), Ok(()));
    let denial = meters.admit(None, Kind::Publish, 0, now).unwrap_err();
    assert_eq!((denial.limit.written(), denial.retry_after), ("1/h", 870));
}

#[test]
fn of_a_device_and_its_profile_the_one_that_is_exceeded_longer_is_told() {
    let now = utc("2026-03-10T12:45:30Z");
    for (profile, own, longer) in [("1/min", "1/s", "1/min"), ("1/s", "1/h", "1/h"), ("1/h", "1/min", "1/h")] {
        let meters = Meters::new(&plan(&[("publish", &[profile])]));
        let device = DeviceMeters::new(&limits(&[("publish", &[own])]), true);
        assert_eq!(meters.admit(device.as_ref(), Kind::Publish, 0, now), Ok(()));
        let denial = meters.admit(device.as_ref(), Kind::Publish, 0, now).unwrap_err();
        assert_eq!(denial.limit.written(), longer, "of {profile} and {own}");
    }
}

#[test]
fn a_request_larger_than_its_rate_never_fits_and_is_told_so() {
    let meters = Meters::new(&plan(&[("publish", &["1/h"]), ("publish_bytes", &["1KiB/min"])]));
    let now = utc("2026-03-10T12:45:30Z");
    let denial = meters.admit(None, Kind::Publish, 1_025, now).unwrap_err();
    assert_eq!((denial.resource, denial.never_fits), (Resource::PublishBytes, true));
    assert_eq!(meters.admit(None, Kind::Publish, 1_024, now), Ok(()), "what was denied was not counted");
    let denial = meters.admit(None, Kind::Publish, 1_025, now).unwrap_err();
    assert_eq!(denial.resource, Resource::PublishBytes, "though the hour lasts longer, time does not mend this one");
}

#[test]
fn byte_rates_hold_up_to_the_largest_number() {
    let meters = Meters::new(&plan(&[("receive_bytes", &["18446744073709551615/month"])]));
    let now = utc("2026-03-10T12:45:30Z");
    assert_eq!(meters.admit(None, Kind::Receive, u64::MAX - 1, now), Ok(()));
    assert_eq!(meters.admit(None, Kind::Receive, 1, now), Ok(()));
    assert_eq!(meters.admit(None, Kind::Receive, 0, now), Ok(()));
    let denial = meters.admit(None, Kind::Receive, 1, now).unwrap_err();
    assert_eq!((denial.retry_after, denial.never_fits), (1_854_870, false));
}

#[test]
fn a_plan_that_is_not_enforced_counts_everything_and_denies_nothing() {
    let written: &[(&str, &[&str])] = &[("publish", &["2/min"]), ("publish_bytes", &["10/min"])];
    let unenforced = Plan { enforce: false, ..plan(written) };
    let meters = Meters::new(&unenforced);
    let device = DeviceMeters::new(&limits(&[("publish", &["1/min"])]), false);
    let now = utc("2026-03-10T12:45:30Z");
    for _ in 0..5 {
        assert_eq!(meters.admit(device.as_ref(), Kind::Publish, 4, now), Ok(()));
    }
    let counted = |readings: Vec<crate::limits::Reading>| -> Vec<_> {
        readings.into_iter().filter(|r| r.limit.is_some()).map(|r| (r.resource, r.used, r.denied)).collect()
    };
    assert_eq!(counted(meters.readings(now)), [(Resource::Publish, 5, 3), (Resource::PublishBytes, 20, 3)]);
    assert_eq!(counted(device.unwrap().readings(now)), [(Resource::Publish, 5, 4)]);

    meters.set_plan(&plan(written));
    let denial = meters.admit(None, Kind::Publish, 0, now).unwrap_err();
    assert_eq!(denial.retry_after, 30, "enforced from now on, with the count kept");
}

#[test]
fn a_limit_that_is_lifted_and_put_back_within_a_minute_admits_no_second_time() {
    let limited = plan(&[("publish", &["5/min"])]);
    let meters = Meters::new(&limited);
    let now = utc("2026-03-10T12:45:30Z");
    for _ in 0..5 {
        assert_eq!(meters.admit(None, Kind::Publish, 0, now), Ok(()));
    }
    meters.set_plan(&plan(&[]));
    assert_eq!(meters.admit(None, Kind::Publish, 0, now), Ok(()));
    assert_eq!(meters.readings(now)[1].used, 6);
    meters.set_plan(&limited);
    assert!(meters.admit(None, Kind::Publish, 0, now).is_err());
    assert_eq!(meters.readings(now)[1].used, 6);
}

#[test]
fn each_kind_of_request_has_its_own_count() {
    let meters = Meters::new(&plan(&[("connect", &["1/min"]), ("publish", &["1/min"]), ("receive", &["1/min"])]));
    let now = utc("2026-03-10T12:45:30Z");
    for kind in [Kind::Connect, Kind::Publish, Kind::Receive] {
        assert_eq!(meters.admit(None, kind, 0, now), Ok(()));
        assert!(meters.admit(None, kind, 0, now).is_err());
        assert_eq!(meters.admit(None, Kind::Subscribe, 0, now), Ok(()), "what has no rate is unlimited");
    }
}
