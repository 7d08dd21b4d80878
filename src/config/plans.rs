//! The `plans` section, and the rates of a plan, profile or device.
//!
//! Called by the reader of the whole file, before profiles, which name plans. What a limit means is in `limits`; here
//! is only how it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Report;
use super::fields::{Fields, entries, parsed};
use super::scalars::{self, boolean, choice, seconds, size, whole};
use super::settings::PACKET_SIZES;
use super::tree::{Node, Value};
use crate::limits::{Caps, Limits, OnPublish, OnReceive, Plan, Rate, Resource};

pub(super) fn read_plans(node: &Node, report: &mut Report<'_>) -> BTreeMap<Arc<str>, Plan> {
    let mut plans = BTreeMap::new();
    for (key, node) in entries(node, "plans", report) {
        if let Err(message) = scalars::name(&key.text) {
            report.error(key.at, message);
        }
        let name: Arc<str> = key.text.as_str().into();
        plans.insert(name.clone(), read_plan(name, node, report));
    }
    plans
}

fn read_plan(name: Arc<str>, node: &Node, report: &mut Report<'_>) -> Plan {
    let mut plan = Plan { name, ..Plan::default() };
    let mut fields = Fields::of(node, "a plan", report);
    plan.limits = take_limits(&mut fields, report);
    if let Some(node) = fields.take("per_device") {
        plan.per_device = read_limits(node, report);
    }
    if let Some(node) = fields.take("on_exceed") {
        read_on_exceed(node, &mut plan, report);
    }
    let denials = whole(1..=u32::MAX);
    fields.set("disconnect_after", &mut plan.disconnect_after, report, denials);
    fields.set("enforce", &mut plan.enforce, report, boolean);
    fields.set("check_payload_format", &mut plan.check_payload_format, report, boolean);
    take_caps(&mut fields, &mut plan.caps, report);
    fields.finish(report);
    plan
}

fn read_on_exceed(node: &Node, plan: &mut Plan, report: &mut Report<'_>) {
    const PUBLISH: [(&str, OnPublish); 3] =
        [("deny", OnPublish::Deny), ("disconnect", OnPublish::Disconnect), ("pause", OnPublish::Pause)];
    const RECEIVE: [(&str, OnReceive); 3] =
        [("defer", OnReceive::Defer), ("drop", OnReceive::Drop), ("disconnect", OnReceive::Disconnect)];
    let mut fields = Fields::of(node, "on_exceed", report);
    fields.set("publish", &mut plan.on_publish, report, choice(&PUBLISH));
    fields.set("receive", &mut plan.on_receive, report, choice(&RECEIVE));
    fields.finish(report);
}

fn take_caps(fields: &mut Fields<'_>, caps: &mut Caps, report: &mut Report<'_>) {
    if let Some(connections) = fields.read("max_connections", report, whole(1..=u64::MAX)) {
        caps.max_connections = Some(connections);
    }
    fields.set("max_subscriptions", &mut caps.max_subscriptions, report, whole(0..=usize::MAX));
    fields.set("max_queued_messages", &mut caps.max_queued_messages, report, whole(0..=usize::MAX));
    fields.set("max_queued_bytes", &mut caps.max_queued_bytes, report, size(0..=u64::MAX));
    fields.set("max_retained_messages", &mut caps.max_retained_messages, report, whole(0..=usize::MAX));
    fields.set("max_retained_bytes", &mut caps.max_retained_bytes, report, size(0..=u64::MAX));
    if let Some(bytes) = fields.read("max_packet_size", report, size(PACKET_SIZES)) {
        caps.max_packet_size = Some(bytes);
    }
    if let Some(messages) = fields.read("max_inflight", report, whole(1..=u16::MAX)) {
        caps.max_inflight = Some(messages);
    }
    fields.set("max_topic_levels", &mut caps.max_topic_levels, report, whole(1..=65_535));
    if let Some(expiry) = fields.read("max_session_expiry", report, seconds(u32::MAX)) {
        caps.max_session_expiry = Some(expiry);
    }
}

/// A mapping of resources to rates and nothing else.
pub(super) fn read_limits(node: &Node, report: &mut Report<'_>) -> Limits {
    let mut fields = Fields::of(node, "limits", report);
    let limits = take_limits(&mut fields, report);
    fields.finish(report);
    limits
}

/// The resources among the keys of a mapping.
fn take_limits(fields: &mut Fields<'_>, report: &mut Report<'_>) -> Limits {
    const NAMED: &str = "a name of your own with a `/` in it, such as `POST /data`";

    let mut limits = BTreeMap::new();
    let built_in = [
        ("connect", Resource::Connect),
        ("publish", Resource::Publish),
        ("receive", Resource::Receive),
        ("subscribe", Resource::Subscribe),
        ("publish_bytes", Resource::PublishBytes),
        ("receive_bytes", Resource::ReceiveBytes),
    ];
    for (key, resource) in built_in {
        if let Some(node) = fields.take(key) {
            let rates = read_rates(node, resource.is_bytes(), report);
            limits.insert(resource, rates);
        }
    }
    for (key, node) in fields.take_all(NAMED, |key| key.contains('/')) {
        match key.text.parse::<Resource>() {
            Ok(resource) if node.value != Value::Null => {
                limits.insert(resource, read_rates(node, false, report));
            }
            Ok(_) => {}
            Err(error) => report.error(key.at, error.to_string()),
        }
    }
    Limits(limits)
}

/// One rate, or a list of rates that hold at once.
fn read_rates(node: &Node, bytes: bool, report: &mut Report<'_>) -> Vec<Rate> {
    let Value::Sequence(items) = &node.value else {
        return read_rate(node, bytes, report).into_iter().collect();
    };
    if items.is_empty() {
        report.error(node.at, "at least one rate is expected; leave the key out for no limit");
    }
    let mut rates: Vec<Rate> = Vec::with_capacity(items.len());
    for item in items {
        let Some(rate) = read_rate(item, bytes, report) else {
            continue;
        };
        if let Some(other) = rates.iter().find(|other| other.window == rate.window) {
            let message = format!("{rate} and {other} are for the same window; keep the smaller one");
            report.error(item.at, message);
            continue;
        }
        rates.push(rate);
    }
    rates
}

/// One rate.
pub(super) fn read_rate(node: &Node, bytes: bool, report: &mut Report<'_>) -> Option<Rate> {
    parsed(node, report, |text| Rate::parse(text, bytes).map_err(|error| error.to_string()))
}
