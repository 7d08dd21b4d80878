//! Any resource by its name and at any cost, as the check API asks for it.

use super::{limits, plan, utc};
use crate::limits::{DeviceMeters, Kind, Meters, Resource};

#[test]
fn a_resource_of_the_plan_costs_what_the_caller_says() {
    let data: Resource = "POST /data".parse().unwrap();
    let now = utc("2026-03-10T12:45:30Z");
    for resource in [data, Resource::Connect, Resource::Publish, Resource::Receive, Resource::Subscribe] {
        for rates in [&["10/min"][..], &["10/min", "20/h"]] {
            let meters = Meters::new(&plan(&[(resource.as_str(), rates)]));
            let ask = |cost| meters.admit_resource(None, &resource, cost, now);
            assert_eq!(ask(4), Ok(()));
            let denial = ask(7).unwrap_err();
            assert_eq!((denial.limit.written(), denial.retry_after, denial.never_fits), ("10/min", 30, false));
            assert!(ask(11).unwrap_err().never_fits);
            assert!(ask(u64::MAX).is_err());
            assert_eq!(ask(6), Ok(()), "what was denied was not counted: {resource}, {rates:?}");
            assert!(ask(1).is_err());
        }
    }
}

#[test]
fn bytes_are_asked_of_the_rates_of_bytes_alone_and_requests_of_those_of_requests() {
    let meters = Meters::new(&plan(&[("publish", &["1/min"]), ("publish_bytes", &["10/min"])]));
    let now = utc("2026-03-10T12:45:30Z");
    let ask = |resource, cost| meters.admit_resource(None, &resource, cost, now);
    assert_eq!(ask(Resource::PublishBytes, 6), Ok(()));
    assert_eq!(ask(Resource::PublishBytes, 4), Ok(()));
    assert_eq!(ask(Resource::PublishBytes, 1).unwrap_err().resource, Resource::PublishBytes);
    assert_eq!(ask(Resource::Publish, 1), Ok(()));
    assert_eq!(ask(Resource::Publish, 1).unwrap_err().resource, Resource::Publish);
}

#[test]
fn a_cost_of_nothing_asks_and_counts_nothing() {
    let meters = Meters::new(&plan(&[("POST /data", &["1/min"])]));
    let (data, now) = ("POST /data".parse().unwrap(), utc("2026-03-10T12:45:30Z"));
    let ask = |cost| meters.admit_resource(None, &data, cost, now);
    assert_eq!((ask(0), ask(0), ask(1)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(ask(0).unwrap_err().retry_after, 30);
    let reading = meters.readings(now).pop().unwrap();
    assert_eq!((reading.used, reading.denied), (1, 0));
}

#[test]
fn what_has_no_rate_is_counted_and_unlimited_and_what_is_not_in_the_plan_is_neither() {
    let meters = Meters::new(&plan(&[("GET /data", &[])]));
    let now = utc("2026-03-10T12:45:30Z");
    let (known, unknown) = ("GET /data".parse().unwrap(), "GET /info".parse().unwrap());
    for resource in [&known, &unknown, &Resource::Publish, &Resource::PublishBytes] {
        assert_eq!(meters.admit_resource(None, resource, 1_000, now), Ok(()));
    }
    assert!(meters.has(&known) && meters.has(&Resource::Receive) && !meters.has(&unknown));
    let mut drained = Default::default();
    meters.drain(now, &mut drained);
    let counted: Vec<_> = drained.tallies.iter().map(|tally| (tally.resource.as_str(), tally.used)).collect();
    assert_eq!(counted, [("publish_bytes", 1_000), ("publish", 1_000), ("GET /data", 1_000)]);
}

#[test]
fn a_device_has_rates_for_names_too_and_is_counted_in_both_or_in_neither() {
    let meters = Meters::new(&plan(&[("POST /data", &["3/min"])]));
    let device = DeviceMeters::new(&limits(&[("POST /data", &["2/min"]), ("GET /data", &["1/min"])]), true).unwrap();
    let now = utc("2026-03-10T12:45:30Z");
    let ask = |own, resource: &str, cost| meters.admit_resource(own, &resource.parse().unwrap(), cost, now).is_ok();
    assert!(ask(Some(&device), "POST /data", 2));
    assert!(!ask(Some(&device), "POST /data", 1));
    assert!(ask(None, "POST /data", 1));
    assert!(!ask(None, "POST /data", 1));
    assert!(ask(Some(&device), "GET /data", 1));
    assert!(!ask(Some(&device), "GET /data", 0));
    assert!(ask(None, "GET /data", 5), "of which the profile knows nothing");
    assert_eq!(meters.admit(Some(&device), Kind::Publish, 0, now), Ok(()));
}
