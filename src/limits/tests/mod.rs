//! The limits as a profile and its devices meet them: exact under many threads, against a plain model, and the rows of
//! figures that a reader can check by hand.

mod drain;
mod model;
mod resources;
mod rows;
mod threads;

use super::{Limits, Plan, Rate, Resource, UnixMillis};

/// An instant of the civil calendar.
fn utc(text: &str) -> UnixMillis {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    UnixMillis(timestamp.as_millisecond().try_into().unwrap())
}

/// Limits from resources and rates as they are written in `broker.yaml`.
fn limits(written: &[(&str, &[&str])]) -> Limits {
    let rates = |resource: &Resource, rates: &[&str]| {
        rates.iter().map(|rate| Rate::parse(rate, resource.is_bytes()).unwrap()).collect()
    };
    let entry = |(resource, written): &(&str, &[&str])| {
        let resource: Resource = resource.parse().unwrap();
        (resource.clone(), rates(&resource, written))
    };
    Limits(written.iter().map(entry).collect())
}

fn plan(written: &[(&str, &[&str])]) -> Plan {
    Plan { limits: limits(written), ..Plan::default() }
}
