//! The results, for a reader as tables and for a program as JSON. Called by `main` once, when all is over. It must never
//! say more than was counted: a minute that the run did not cover is marked as such.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ledger::{Ledger, Totals, minute_of};
use crate::link::Denial;
use crate::options::Options;

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// What the results are about.
pub struct Run<'a> {
    pub options: &'a Options,
    pub name: String,
    /// When publishing began.
    pub from: SystemTime,
    /// When publishing ended.
    pub until: SystemTime,
}

impl Run<'_> {
    /// Whether publishing went on for all of `minute`.
    fn covers(&self, minute: u64) -> bool {
        let start = UNIX_EPOCH + Duration::from_secs(minute * 60);
        self.from <= start && self.until >= start + Duration::from_secs(60)
    }
}

/// What, against what: printed before anything is sent.
pub fn header(options: &Options, name: &str) -> String {
    let credentials = match (&options.profile_token, &options.username) {
        (Some(_), _) => "a device token".to_string(),
        (None, Some(user)) => format!("user name {user}"),
        (None, None) => "no credentials".to_string(),
    };
    let listeners = match options.subscribers {
        0 => "nobody subscribes".to_string(),
        1 => format!("1 subscribes to {}/{name}/+", options.topic),
        n => format!("{n} subscribe to {}/{name}/+, each gets every message", options.topic),
    };
    format!(
        "MQTT load, run {name}\n  against  {}:{}, MQTT {}, {credentials}\n  fleet    {} publish at QoS {} on {}/{name}/0 …, \
         {listeners}\n  load     {} messages/s in total, {} bytes each, for {} s",
        options.host,
        options.port,
        options.protocol.name(),
        options.clients,
        options.qos,
        options.topic,
        options.rate,
        options.payload,
        options.run_for.as_secs(),
    )
}

/// From when until when: printed as publishing begins.
pub fn span(options: &Options, from: SystemTime) -> String {
    format!("  time     {} to {} UTC", clock(from), clock(from + options.run_for))
}

/// The tables and what they come to.
pub fn tables(run: &Run, ledger: &Ledger) -> String {
    let mut text = minutes(run, ledger);
    if !ledger.denials.is_empty() {
        text += &format!("\n\n{}", denials(ledger));
    }
    if let Some(table) = latencies(ledger) {
        text += &format!("\n\n{table}");
    }
    text + "\n\n" + &remarks(run.options, ledger)
}

fn minutes(run: &Run, ledger: &Ledger) -> String {
    let accepted = if run.options.qos == 0 { "sent" } else { "accepted" };
    let closed = ledger.totals.closed > 0;
    let mut names = vec!["minute (UTC)", "covered", accepted, "denied"];
    names.extend(closed.then_some("closed"));
    names.push("delivered");
    let mut table = table(&names, 2);
    let mut row = |name: String, covered: &str, counts: [u64; 4]| {
        let [accepted, denied, shut, delivered] = counts.map(grouped);
        let mut cells = vec![name, covered.to_string(), accepted, denied];
        cells.extend(closed.then_some(shut));
        cells.push(delivered);
        table.add_row(cells);
    };
    for (&minute, m) in &ledger.minutes {
        let start = UNIX_EPOCH + Duration::from_secs(minute * 60);
        let covered = match () {
            () if run.covers(minute) => "full",
            () if minute_of(run.from) <= minute && minute <= minute_of(run.until) => "in part",
            () => "drain",
        };
        row(minute_clock(start), covered, [m.accepted, m.denied, m.closed, m.delivered]);
    }
    let t = &ledger.totals;
    row("total".into(), "", [t.accepted, t.denied, t.closed, t.delivered]);
    let hint = if ledger.minutes.keys().any(|&minute| run.covers(minute)) {
        "Compare `full` minutes with the plan. Counted when the answer came in here: a handful may fall on the\n\
         other side of a minute's end than in the broker."
    } else {
        "No minute was covered from end to end, so nothing here can be compared with a plan: give --for 2m or more."
    };
    format!("{table}\n{hint}")
}

fn denials(ledger: &Ledger) -> Table {
    let mut table = table(&["denied by", "code", "resource", "limit", "times"], 4);
    for (denial, times) in &ledger.denials {
        table.add_row([
            denial.packet.to_string(),
            code(denial),
            denial.resource.clone().unwrap_or_else(|| "(not told)".into()),
            denial.limit.clone().unwrap_or_else(|| "(not told)".into()),
            grouped(*times),
        ]);
    }
    table
}

fn latencies(ledger: &Ledger) -> Option<Table> {
    let mut names = vec!["latency"];
    names.extend(QUANTILES.map(|(name, _)| name));
    names.push("messages");
    let mut table = table(&names, 1);
    let rows = [("publish → acknowledge", &ledger.acknowledgement), ("publish → delivery", &ledger.delivery)];
    for (name, histogram) in rows.into_iter().filter(|(_, histogram)| !histogram.is_empty()) {
        let mut cells = vec![name.to_string()];
        cells.extend(QUANTILES.map(|(_, quantile)| micros(at_quantile(histogram, quantile))));
        cells.push(grouped(histogram.len()));
        table.add_row(cells);
    }
    (!table.is_empty()).then_some(table)
}

fn remarks(options: &Options, ledger: &Ledger) -> String {
    let t = &ledger.totals;
    let mut lines = Vec::new();
    let mut remark = |count: u64, text: &str| {
        if count > 0 {
            lines.push(format!("{:>10}  {text}", grouped(count)));
        }
    };
    remark(t.behind, "behind: due, but not sent since all of --max-inflight were open");
    remark(t.offline, "offline: due, but not sent since the client had no connection");
    remark(t.resent, "sent again after a reconnect");
    remark(t.duplicates, "delivered more than once");
    remark(t.reordered, "delivered out of order, within a client");
    remark(t.open, "never answered: neither accepted nor denied");
    remark(t.abandoned, "given up without an answer: the broker no longer had the session");
    remark(t.denied_delivered, "denied, and yet delivered");
    remark(t.foreign, "delivered, but not of this run");
    remark(t.gave_up, "clients gave up");
    if let Some(trouble) = &ledger.trouble {
        lines.push(format!("Last trouble: {trouble}"));
    }
    lines.push(match (options.subscribers, options.qos, lost(options, t)) {
        _ if t.handed == 0 => "Nothing was published.".into(),
        (0, ..) => "Nobody subscribed, so nothing can be said of losses.".into(),
        (_, 0, _) => format!(
            "{} deliveries did not come; at QoS 0 a broker may drop, and does over a limit.",
            grouped(t.missing)
        ),
        (.., 0) => "Nothing that was accepted was lost.".into(),
        (.., lost) => format!(
            "LOST: {} deliveries of accepted messages did not come within {} s. If they wait for a receive limit, give \
             --drain more time.",
            grouped(lost),
            options.drain.as_secs()
        ),
    });
    lines.join("\n")
}

/// Deliveries that were owed and did not come. QoS 0 owes nothing.
pub fn lost(options: &Options, totals: &Totals) -> u64 {
    if options.qos == 0 { 0 } else { totals.missing }
}

/// The same as [`tables`], for programs. Latencies are in microseconds, times in seconds since 1970.
pub fn as_json(run: &Run, ledger: &Ledger) -> Value {
    let (options, t) = (run.options, &ledger.totals);
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let minutes: Vec<Value> = ledger
        .minutes
        .iter()
        .map(|(&minute, m)| {
            json!({
                "start": minute * 60, "full": run.covers(minute), "accepted": m.accepted, "denied": m.denied,
                "closed": m.closed, "delivered": m.delivered,
            })
        })
        .collect();
    let denials: Vec<Value> = ledger
        .denials
        .iter()
        .map(|(denial, times)| {
            json!({
                "packet": denial.packet, "code": denial.code, "resource": denial.resource, "limit": denial.limit,
                "times": times,
            })
        })
        .collect();
    json!({
        "run": run.name,
        "broker": { "host": options.host, "port": options.port, "protocol": options.protocol.name() },
        "load": {
            "clients": options.clients, "subscribers": options.subscribers, "rate": options.rate, "qos": options.qos,
            "payload_bytes": options.payload, "max_inflight": options.max_inflight,
        },
        "from": seconds(run.from),
        "until": seconds(run.until),
        "minutes": minutes,
        "totals": {
            "handed": t.handed, "accepted": t.accepted, "denied": t.denied, "closed": t.closed,
            "delivered": t.delivered, "lost": lost(options, t), "missing": t.missing, "duplicates": t.duplicates,
            "reordered": t.reordered, "denied_delivered": t.denied_delivered, "foreign": t.foreign, "behind": t.behind,
            "offline": t.offline, "resent": t.resent, "unanswered": t.open, "abandoned": t.abandoned,
            "connects": t.connects, "gave_up": t.gave_up,
        },
        "denials": denials,
        "latency_us": {
            "acknowledgement": quantiles(&ledger.acknowledgement), "delivery": quantiles(&ledger.delivery),
        },
    })
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let mut object = json!({ "messages": histogram.len() });
    for (name, quantile) in QUANTILES {
        object[name] = json!((!histogram.is_empty()).then(|| at_quantile(histogram, quantile)));
    }
    object
}

/// A bucket's upper end can be above all that was recorded: never more than the largest.
fn at_quantile(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile).min(histogram.max())
}

fn table(names: &[&str], numbers_from: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
    table.set_header(names.iter().map(|name| Cell::new(*name)));
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `0x97`, or in MQTT 3.1.1, whose CONNACK codes are small numbers, `3`.
pub fn code(denial: &Denial) -> String {
    if denial.code < 0x80 { denial.code.to_string() } else { format!("0x{:02X}", denial.code) }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The time of day, UTC.
pub fn clock(at: SystemTime) -> String {
    formatted(at, "%H:%M:%S")
}

fn minute_clock(at: SystemTime) -> String {
    formatted(at, "%Y-%m-%d %H:%M")
}

fn formatted(at: SystemTime, format: &str) -> String {
    Timestamp::try_from(at).map_or_else(|_| "?".into(), |at| at.strftime(format).to_string())
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{:.2} ms", micros as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}
