//! What Prometheus is told, read as strictly as OpenMetrics 1.0 writes it; and the dashboard and the alert rules in `examples`,
//! which ask for nothing that is not there.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Client;
use common::inside::Inside;
use serde::Deserialize;
use serde_json::Value;
use weir::wire::{QoS, Version};

const CONFIG: &str = r#"plans:
  p: { publish: [2/min, 100/day], "POST /da\"ta\\": 7/min }
  q: {}
profiles:
  acme: { plan: p, devices: { pump: { token: pump } } }
  quiet: { plan: q, devices: { lamp: { token: lamp } } }
"#;

/// Every sample that there always is, as the README lists them.
const ALWAYS: [&str; 30] = [
    "weir_build_info",
    "weir_uptime_seconds",
    "weir_connections",
    "weir_connections_opened_total",
    "weir_connections_refused_total",
    "weir_sessions",
    "weir_profiles",
    "weir_queued_messages",
    "weir_messages_received_total",
    "weir_messages_sent_total",
    "weir_message_received_bytes_total",
    "weir_message_sent_bytes_total",
    "weir_network_received_bytes_total",
    "weir_network_sent_bytes_total",
    "weir_denials_total",
    "weir_dropped_messages_total",
    "weir_backend_lost_total",
    "weir_panics_total",
    "weir_webhook_events_total",
    "weir_router_publish_seconds_bucket",
    "weir_router_publish_seconds_sum",
    "weir_router_publish_seconds_count",
    "weir_store_write_seconds_bucket",
    "weir_store_write_seconds_sum",
    "weir_store_write_seconds_count",
    "weir_process_cpu_seconds_total",
    "weir_process_resident_memory_bytes",
    // The samples below have labels of two and more kinds.
    "weir_dropped_messages_total{reason=\"queue_full\"}",
    "weir_messages_received_total{qos=\"2\"}",
    "weir_webhook_events_total{outcome=\"failed\"}",
];

/// Those that `metrics.per_profile` adds.
const PER_PROFILE: [&str; 4] =
    ["weir_profile_connections", "weir_profile_used", "weir_profile_limit", "weir_profile_denied_total"];

type Labels = BTreeMap<String, String>;

/// All samples by name and labels.
type Samples = BTreeMap<(String, Labels), f64>;

/// Reads an exposition, and accepts nothing that OpenMetrics does not.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut unit) = (String::new(), String::new(), false);
    for line in body.lines() {
        assert!(!line.is_empty() && line.trim() == line, "{line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let [keyword, name, text] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            match keyword {
                "HELP" => {
                    assert!(families.insert(name.to_owned()), "{name} is there twice");
                    assert!(text.ends_with('.') && text.len() > 10, "{line}");
                    (family, kind, unit) = (name.to_owned(), String::new(), false);
                }
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram", "info"].contains(&text), "{line}");
                    assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{line}");
                    kind = text.to_owned();
                }
                "UNIT" => {
                    assert!(["seconds", "bytes"].contains(&text) && name.ends_with(&format!("_{text}")), "{line}");
                    unit = true;
                }
                _ => panic!("{line}"),
            }
            assert!(name == family, "{line}: not in its family");
            continue;
        }
        let (name, labels, value) = parse_sample(line);
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line}: not in {family}"));
        let suffixes: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => panic!("{line}: of no type"),
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let named = family.ends_with("_bytes") || family.ends_with("_seconds");
        assert!(named == unit, "{line}: a unit is told where the name has one");
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(samples.insert((name, labels), value).is_none(), "{line}: there twice");
    }
    check_histograms(&samples);
    samples
}

/// `name{label="value",…} number`
fn parse_sample(line: &str) -> (String, Labels, f64) {
    let name_end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
            let (mut value, mut characters) = (String::new(), after.char_indices());
            let end = loop {
                match characters.next() {
                    Some((at, '"')) => break at + 1,
                    Some((_, '\\')) => match characters.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                        other => panic!("{line}: {other:?} is no escape"),
                    },
                    Some((_, character)) => value.push(character),
                    None => panic!("{line}: no end of a label"),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[end..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    (name.to_owned(), labels, value)
}

/// Buckets add up, and the last is the count.
fn check_histograms(samples: &Samples) {
    for ((name, _), count) in samples.iter().filter(|((name, _), _)| name.ends_with("_seconds_count")) {
        let bucket_name = name.replace("_count", "_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for ((name, labels), value) in samples {
            if *name == bucket_name {
                buckets.push((labels["le"].replace("+Inf", "inf").parse().expect("a bound"), *value));
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.len() > 5 && buckets.is_sorted_by(|a, b| a.1 <= b.1), "{name}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{name}");
    }
}

fn value(samples: &Samples, sample: &str) -> f64 {
    let (name, labels, _) = parse_sample(&format!("{sample} 0"));
    *samples.get(&(name, labels)).unwrap_or_else(|| panic!("{sample} in {samples:#?}"))
}

fn names(samples: &Samples) -> BTreeSet<String> {
    samples.keys().map(|(name, _)| name.clone()).collect()
}

/// A broker that has done something of everything, and the clients that are connected to it.
fn busy(config: &str) -> (Inside, [Client; 2]) {
    let weir = Inside::start(config);
    let mut pump = weir.client(Version::V5, "pump", "p");
    pump.subscribe("t", QoS::AtLeastOnce);
    for id in 1..=4 {
        pump.publish("t", b"12345", QoS::AtLeastOnce, id);
    }
    // Two are taken and come back, two are denied.
    (0..6).for_each(|_| _ = pump.frame());
    pump.publish("t", b"12345", QoS::AtMostOnce, 0);
    pump.expect_nothing();
    // A session that is away, with a message that waits.
    let durable = weir::wire::Connect { clean_start: false, ..common::connect(Version::V4, "lamp", "away") };
    let (mut away, _) = weir.connect(&durable);
    away.subscribe("t", QoS::AtLeastOnce);
    away.disconnect();
    let mut lamp = weir.client(Version::V5, "lamp", "l");
    lamp.publish("t", b"1", QoS::AtLeastOnce, 1);
    lamp.frame();
    (weir, [pump, lamp])
}

#[test]
fn every_metric_of_the_readme_is_there_and_nothing_is_malformed() {
    let (weir, _clients) = busy(CONFIG);
    let samples = parse(&weir.broker.metrics());
    let there = names(&samples);
    for name in ALWAYS {
        match name.contains('{') {
            true => _ = value(&samples, name),
            false => assert!(there.contains(name), "{name}"),
        }
    }
    let listed: BTreeSet<String> =
        ALWAYS.iter().filter(|name| !name.contains('{')).map(|name| (*name).to_owned()).collect();
    assert_eq!(there, listed, "nothing that the README does not list");
    let rows = [
        ("weir_build_info{backend=\"native\",version=\"0.1.0\"}", 1.0),
        ("weir_messages_received_total{qos=\"1\"}", 3.0),
        ("weir_messages_received_total{qos=\"0\"}", 0.0),
        ("weir_messages_sent_total{qos=\"1\"}", 2.0),
        ("weir_message_received_bytes_total{qos=\"1\"}", 11.0),
        ("weir_message_sent_bytes_total{qos=\"1\"}", 10.0),
        ("weir_denials_total{plan=\"p\",resource=\"publish\"}", 3.0),
        ("weir_dropped_messages_total{reason=\"publish_limit\"}", 1.0),
        ("weir_queued_messages", 1.0),
        ("weir_profiles", 2.0),
        ("weir_webhook_events_total{outcome=\"sent\"}", 0.0),
    ];
    for (sample, expected) in rows {
        assert_eq!(value(&samples, sample), expected, "{sample}");
    }
    assert!(value(&samples, "weir_router_publish_seconds_count") >= 1.0, "the first of a thread is timed");
    assert!(value(&samples, "weir_process_resident_memory_bytes") > 1e6);
    assert!(value(&samples, "weir_network_received_bytes_total") > 50.0);
}

#[test]
fn profiles_have_series_of_their_own_where_that_is_asked_for() {
    let (weir, _clients) = busy(&format!("{CONFIG}metrics: {{ per_profile: true }}\n"));
    let samples = parse(&weir.broker.metrics());
    let there = names(&samples);
    assert!(PER_PROFILE.iter().all(|name| there.contains(*name)), "{there:?}");
    let minute = r#"profile="acme",resource="publish",window="min""#;
    assert_eq!(value(&samples, &format!("weir_profile_used{{{minute}}}")), 2.0);
    assert_eq!(value(&samples, &format!("weir_profile_limit{{{minute}}}")), 2.0);
    let day = r#"profile="acme",resource="publish",window="day""#;
    assert_eq!(value(&samples, &format!("weir_profile_limit{{{day}}}")), 100.0);
    assert_eq!(value(&samples, r#"weir_profile_denied_total{profile="acme",resource="publish"}"#), 3.0);
    assert_eq!(value(&samples, r#"weir_profile_connections{profile="quiet"}"#), 1.0);
    // Whatever an operator calls a resource is one label's value.
    assert_eq!(value(&samples, r#"weir_profile_limit{profile="acme",resource="POST /da\"ta\\",window="min"}"#), 7.0);
}

/// The metrics that a query of Prometheus asks for.
fn asked_for(query: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    query.split(|c| !is_name(c)).filter(|word| word.starts_with("weir_")).map(str::to_owned).collect()
}

fn all_names() -> BTreeSet<String> {
    let (weir, _clients) = busy(&format!("{CONFIG}metrics: {{ per_profile: true }}\n"));
    names(&parse(&weir.broker.metrics()))
}

#[test]
fn the_dashboard_of_grafana_asks_for_metrics_that_are_there() {
    let text = std::fs::read_to_string("examples/grafana.json").expect("it is there");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "of Grafana 11");
    let panels = dashboard["panels"].as_array().expect("panels");
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").map(|row| row["title"].as_str()).collect();
    assert_eq!(rows, [Some("Limits"), Some("Traffic"), Some("Drops"), Some("Process")]);
    let there = all_names();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "an identifier twice: {panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let asked = asked_for(query);
            assert!(!asked.is_empty() && asked.is_subset(&there), "{query}: {:?}", asked.difference(&there));
        }
    }
    // The list of profiles to choose from.
    let variables = dashboard["templating"]["list"].to_string();
    assert!(asked_for(&variables).is_subset(&there), "{variables}");
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[test]
fn the_alert_rules_ask_for_metrics_that_are_there() {
    let text = std::fs::read_to_string("examples/alerts.yaml").expect("it is there");
    let rules: Rules = serde_saphyr::from_str(&text).expect("rules");
    let rules: Vec<Rule> = rules.groups.into_iter().flat_map(|group| group.rules).collect();
    let there = all_names();
    for rule in &rules {
        let asked = asked_for(&rule.expr);
        // Prometheus itself says whether it could be scraped.
        assert!(!asked.is_empty() || rule.expr.starts_with("up{"), "{}", rule.alert);
        assert!(asked.is_subset(&there), "{}: {:?}", rule.alert, asked.difference(&there));
        assert!(rule.labels.contains_key("severity") && rule.annotations.contains_key("summary"), "{}", rule.alert);
    }
    let alerts: BTreeSet<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    for wanted in ["WeirDown", "WeirProfileAt80Percent", "WeirProfileAtLimit", "WeirDenials", "WeirDrops", "WeirMemory"]
    {
        assert!(alerts.contains(wanted), "{wanted}");
    }
}
