use super::*;
use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::hub::Hub;
use crate::stats::Stats;

const MINUTE: u64 = 60_000;

fn denial() -> Denial {
    Denial {
        resource: Resource::Publish,
        limit: "250/min".parse().unwrap(),
        resets_at: UnixMillis(MINUTE),
        retry_after: 51,
        never_fits: false,
        first: true,
    }
}

fn denied<'a>(denial: &'a Denial, told: Told, version: Option<Version>) -> Denied<'a> {
    Denied { client_id: "c", device: None, denial, told, version }
}

#[test]
fn a_devices_minute_begins_anew_and_its_sums_go_on() {
    let device = Device::default();
    device.enter();
    device.add(2, 1, UnixMillis(MINUTE - 1));
    device.denied(UnixMillis(MINUTE - 1));
    let counts = device.counts(UnixMillis(MINUTE - 1));
    let first = Sums { published: 2, received: 1, denied: 1 };
    assert_eq!((counts.connections, counts.minute, counts.all), (1, first, first));
    let counts = device.counts(UnixMillis(MINUTE));
    assert_eq!((counts.minute, counts.all), (Sums::default(), first));
    device.add(0, 3, UnixMillis(MINUTE));
    device.leave();
    let counts = device.counts(UnixMillis(MINUTE));
    let second = Sums { published: 0, received: 3, denied: 0 };
    assert_eq!((counts.connections, counts.minute.received, counts.all.received), (0, second.received, 4));
}

#[test]
fn a_minute_does_not_come_back_when_the_wall_clock_does() {
    let device = Device::default();
    device.add(1, 0, UnixMillis(5 * MINUTE));
    device.add(1, 0, UnixMillis(4 * MINUTE));
    assert_eq!(device.counts(UnixMillis(5 * MINUTE)).minute.published, 2);
}

#[test]
fn a_device_is_forgotten_an_hour_after_its_last_client() {
    let activity = Activity::default();
    let pump = Arc::<str>::from("pump");
    let held = activity.device(Some(&pump), UnixMillis(0));
    held.add(1, 0, UnixMillis(0));
    drop(activity.device(None, UnixMillis(0)));
    let names = |at: u64| {
        let mut names: Vec<_> = activity.devices(UnixMillis(at * MINUTE)).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    };
    assert_eq!(names(59), [ANONYMOUS.into(), Arc::clone(&pump)]);
    assert_eq!(names(60), [Arc::clone(&pump)], "its client is there");
    drop(held);
    assert_eq!(names(61), [Arc::clone(&pump)]);
    // It comes back, and is the same.
    assert_eq!(activity.device(Some(&pump), UnixMillis(62 * MINUTE)).counts(UnixMillis(62 * MINUTE)).all.published, 1);
    assert_eq!(names(121).len(), 1);
    assert!(names(122).is_empty());
}

#[test]
fn every_denial_is_counted_and_twenty_a_second_are_written_down() {
    let activity = Activity::default();
    let denial = denial();
    for number in 0..100_000u64 {
        let denied = Denied { client_id: &number.to_string(), ..denied(&denial, Told::PubAck, Some(Version::V5)) };
        activity.denied(&denied, UnixMillis(number / 25_000 * 1_000));
    }
    assert_eq!(activity.denied_totals(), [(Resource::Publish, 100_000)]);
    let last = activity.last_denials();
    assert_eq!(last.len(), KEPT);
    // The newest first: the first twenty of the last second, then those of the second before.
    let ids: Vec<&str> = last.iter().map(|written| &*written.client_id).collect();
    assert_eq!((ids[0], ids[19], ids[20], ids[49]), ("75019", "75000", "50019", "25010"));
}

#[test]
fn a_denial_is_written_down_as_its_client_saw_it() {
    let v5 = Some(Version::V5);
    let (v31, v311) = (Some(Version::V3), Some(Version::V4));
    let rows = [
        (Told::ConnAck, v5, "CONNACK 0x9F Connection rate exceeded", "5"),
        (Told::ConnAck, v311, "CONNACK 3 Server unavailable", "3.1.1"),
        (Told::PubAck, v5, "PUBACK 0x97 Quota exceeded", "5"),
        (Told::PubRec, v5, "PUBREC 0x97 Quota exceeded", "5"),
        (Told::SubAck, v5, "SUBACK 0x97 Quota exceeded", "5"),
        (Told::SubAck, v31, "SUBACK 0x80 Failure", "3.1"),
        (Told::Disconnected, v5, "DISCONNECT 0x97 Quota exceeded", "5"),
        (Told::Disconnected, v31, "connection closed", "3.1"),
        (Told::Dropped, v311, "dropped", "3.1.1"),
        (Told::Waits, v5, "waits for the next window", "5"),
        (Told::Paused, v311, "not read until the next window", "3.1.1"),
        (Told::Http, None, "429 Too Many Requests", "HTTP"),
    ];
    let activity = Activity::default();
    let denial = denial();
    for (told, version, answer, protocol) in rows {
        activity.denied(&denied(&denial, told, version), UnixMillis(0));
        let written = &activity.last_denials()[0];
        assert_eq!((written.answer(), written.protocol().as_str()), (answer, protocol));
        assert_eq!(written.text(), denial.to_string());
    }
}

#[test]
fn a_denial_over_http_is_counted_and_told_like_any_other() {
    let config = Config::parse("plans: { free: {} }\nprofiles: { acme: { plan: free } }", "broker.yaml").unwrap();
    let clock = Clock::Manual(ManualClock::at(UnixMillis(9_000)));
    let hub = Hub::new(config, clock, Vec::new(), Arc::<Stats>::default(), None, Arc::default());
    let account = hub.account("acme").unwrap();
    hub.denied_over_http(&account, "10.0.0.7", Some(&"pump".into()), &denial());
    hub.denied_over_http(&account, "10.0.0.7", None, &denial());
    let denials = account.denials();
    let first = &denials[1];
    assert_eq!((first.answer.as_str(), first.protocol.as_str()), ("429 Too Many Requests", "HTTP"));
    assert_eq!((first.device.as_deref(), first.client_id.as_str()), (Some("pump"), "10.0.0.7"));
    assert_eq!((first.at.as_str(), denials[0].device.as_deref()), ("1970-01-01T00:00:09Z", None));
    let devices = account.activity(UnixMillis(9_000));
    assert_eq!((devices.len(), devices[0].device.as_str(), devices[0].denied), (1, "pump", 1));
    assert_eq!(hub.stats.denials.all(), [("free".into(), Resource::Publish, 2)]);
    assert_eq!((hub.stats.snapshot().denied, account.first_denials()), (2, 2));
}
