//! The limits that result from a configuration, as tables for `weir check`.
//!
//! It is for people at a terminal of 100 columns; nothing reads it back.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{Backend, Config, Profile};
use crate::limits::{Caps, Limits, OnPublish, OnReceive, Plan, Rate, Resource};

const COLUMNS: u16 = 100;
/// Plans side by side; more than these do not fit and go into a table of their own.
const PLANS_ABREAST: usize = 5;
/// Devices that are named one by one.
const DEVICES_SHOWN: usize = 10;

/// The plans by resource, then the profiles with the rates they end up with. `-` is unlimited. A backend other than Weir's own
/// comes first.
pub fn table(config: &Config) -> String {
    let plans: Vec<&Plan> = config.plans.values().collect();
    let mut parts = vec![backend_line(&config.backend)];
    parts.extend(plans.chunks(PLANS_ABREAST).map(plan_table));
    let settings: String = plans.iter().map(|plan| other_than_default(plan)).collect();
    parts.push(settings.trim_end().to_owned());
    parts.push(profile_table(config));
    parts.push(devices_with_own_limits(config));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn backend_line(backend: &Backend) -> String {
    match backend {
        Backend::Native => String::new(),
        Backend::Rumqttd(embedded) => {
            format!("Backend: {backend}, up to {} topics and {} filters", embedded.max_topics, embedded.max_filters)
        }
        Backend::Mqtt(upstream) => {
            let who = if upstream.username.is_some() { "with credentials" } else { "without credentials" };
            format!("Backend: {backend}, {who}")
        }
    }
}

fn plan_table(plans: &[&Plan]) -> String {
    let mut table = new_table();
    let names = plans.iter().map(|plan| plan.name.to_string());
    table.set_header(std::iter::once("Plan".to_owned()).chain(names));
    let mut add_rows = |limits: fn(&Plan) -> &Limits, resources: BTreeSet<Resource>, what: &str| {
        for resource in resources {
            let rates = plans.iter().map(|plan| cell(limits(plan).rates(&resource)));
            let title = format!("{resource}{what}");
            table.add_row(std::iter::once(title).chain(rates));
        }
    };
    let of_profile = used(plans.iter().map(|plan| &plan.limits), true);
    add_rows(|plan| &plan.limits, of_profile, "");
    let of_device = used(plans.iter().map(|plan| &plan.per_device), false);
    add_rows(|plan| &plan.per_device, of_device, ", per device");
    align_rates(&mut table, 1);
    table.trim_fmt()
}

fn profile_table(config: &Config) -> String {
    let limits = config.profiles.values().map(|profile| &profile.plan.limits);
    let resources = used(limits, true);
    let mut table = new_table();
    let titles = resources.iter().map(Resource::to_string);
    let first = ["Profile", "plan", "devices"].map(str::to_owned);
    table.set_header(first.into_iter().chain(titles));
    let mut differs = false;
    for profile in config.profiles.values() {
        let name = match &config.anonymous {
            Some(anonymous) if *anonymous == profile.name => format!("{anonymous} (anonymous)"),
            _ => profile.name.to_string(),
        };
        let first = [name, profile.plan.name.to_string(), profile.devices.len().to_string()];
        let rates = resources.iter().map(|resource| {
            let rates = cell(profile.plan.limits.rates(resource));
            if is_as_planned(config, profile, resource) {
                return rates;
            }
            differs = true;
            format!("{rates} *")
        });
        let row: Vec<String> = first.into_iter().chain(rates).collect();
        table.add_row(row);
    }
    align_rates(&mut table, 2);
    let note = if differs { "\n* not as in the plan" } else { "" };
    table.trim_fmt() + note
}

fn is_as_planned(config: &Config, profile: &Profile, resource: &Resource) -> bool {
    config
        .plans
        .get(&profile.plan.name)
        .is_none_or(|plan| plan.limits.rates(resource) == profile.plan.limits.rates(resource))
}

/// The resources that have a rate in any of `limits`; with `usual`, also those that every plan is expected to have.
fn used<'l>(limits: impl Iterator<Item = &'l Limits>, usual: bool) -> BTreeSet<Resource> {
    let usual = [Resource::Connect, Resource::Publish, Resource::Receive].into_iter().filter(|_| usual);
    let named = limits.flat_map(|limits| limits.0.keys().cloned());
    usual.chain(named).collect()
}

fn cell(rates: &[Rate]) -> String {
    match rates {
        [] => "-".into(),
        rates => rates.iter().map(Rate::written).collect::<Vec<_>>().join("\n"),
    }
}

/// The caps and policies of a plan where they are not the default, as a line; nothing where all are.
fn other_than_default(plan: &Plan) -> String {
    let mut settings = caps_other_than_default(&plan.caps);
    match plan.on_publish {
        OnPublish::Deny => {}
        OnPublish::Disconnect => settings.push("on_exceed.publish disconnect".into()),
        OnPublish::Pause => settings.push("on_exceed.publish pause".into()),
    }
    match plan.on_receive {
        OnReceive::Defer => {}
        OnReceive::Drop => settings.push("on_exceed.receive drop".into()),
        OnReceive::Disconnect => settings.push("on_exceed.receive disconnect".into()),
    }
    let default = Plan::default();
    if plan.disconnect_after != default.disconnect_after {
        settings.push(format!("disconnect_after {}", plan.disconnect_after));
    }
    if plan.check_payload_format {
        settings.push("check_payload_format true".into());
    }
    if !plan.enforce {
        settings.push("enforce false: its rates are counted and deny nothing".into());
    }
    if settings.is_empty() {
        return String::new();
    }
    wrapped(&plan.name, &settings)
}

fn caps_other_than_default(caps: &Caps) -> Vec<String> {
    let default = Caps::default();
    let shown = |name: &str, value: Option<u64>, default: Option<u64>| {
        value.filter(|_| value != default).map(|value| format!("{name} {value}"))
    };
    let count = |value: usize| Some(value as u64);
    let seconds = |value: Option<u32>| value.map(u64::from);
    [
        shown("max_connections", caps.max_connections, default.max_connections),
        shown("max_subscriptions", count(caps.max_subscriptions), count(default.max_subscriptions)),
        shown("max_queued_messages", count(caps.max_queued_messages), count(default.max_queued_messages)),
        shown("max_queued_bytes", Some(caps.max_queued_bytes), Some(default.max_queued_bytes)),
        shown("max_retained_messages", count(caps.max_retained_messages), count(default.max_retained_messages)),
        shown("max_retained_bytes", Some(caps.max_retained_bytes), Some(default.max_retained_bytes)),
        shown("max_packet_size", caps.max_packet_size.map(u64::from), None),
        shown("max_inflight", caps.max_inflight.map(u64::from), None),
        shown("max_topic_levels", count(caps.max_topic_levels), count(default.max_topic_levels)),
        shown("max_session_expiry", seconds(caps.max_session_expiry), None).map(|text| text + "s"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `name: a, b, c` on lines that fit.
fn wrapped(name: &str, settings: &[String]) -> String {
    let mut text = format!("{name}:");
    let mut width = text.len();
    for (index, setting) in settings.iter().enumerate() {
        if index > 0 {
            text.push(',');
            width += 1;
        }
        if width + 2 + setting.len() > usize::from(COLUMNS) {
            text.push_str("\n   ");
            width = 3;
        }
        text.push(' ');
        text.push_str(setting);
        width += 1 + setting.len();
    }
    text.push('\n');
    text
}

/// The devices whose own limits are not what their plan gives each device.
fn devices_with_own_limits(config: &Config) -> String {
    let own: Vec<_> = config
        .profiles
        .values()
        .flat_map(|profile| profile.devices.values().map(move |device| (profile, device)))
        .filter(|(profile, device)| device.limits != profile.plan.per_device)
        .collect();
    let mut text = String::new();
    for (profile, device) in own.iter().take(DEVICES_SHOWN) {
        let limits: Vec<String> = device
            .limits
            .0
            .iter()
            .map(|(resource, rates)| format!("{resource} {}", cell(rates).replace('\n', " and ")))
            .collect();
        text += &wrapped(&format!("{}/{}", profile.name, device.name), &limits);
    }
    if let Some(more) = own.len().checked_sub(DEVICES_SHOWN).filter(|more| *more > 0) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "and {more} more devices with limits of their own");
    }
    if text.is_empty() {
        return text;
    }
    format!("Devices with limits of their own\n{}", text.trim_end())
}

fn new_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(COLUMNS);
    table
}

fn align_rates(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
