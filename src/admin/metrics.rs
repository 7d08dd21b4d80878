//! `/metrics`: the broker's figures in the text format of OpenMetrics, for Prometheus. Called with each scrape, on a thread that
//! may take its time: it looks at every session. The figures of each profile are told only where `metrics.per_profile` asks for
//! them, as their number grows with the profiles'.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::account::Account;
use crate::config::Backend;
use crate::hub::Hub;
use crate::limits::UnixMillis;
use crate::process;

/// The metrics as text. Its Content-Type is `application/openmetrics-text; version=1.0.0; charset=utf-8`.
pub(crate) fn render(hub: &Hub) -> String {
    let stats = &hub.stats;
    let mut registry = Registry::default();
    let build = vec![("version", env!("CARGO_PKG_VERSION")), ("backend", backend(&hub.config.load().backend))];
    registry.register("weir_build", "The version of Weir, and who routes messages", Info::new(build));
    let help = "From a publish that is allowed to the last mailbox that it was put into; one of 1,024 is timed";
    let histogram = stats.router_publish.histogram();
    registry.register_with_unit("weir_router_publish", help, Unit::Seconds, histogram);
    let histogram = stats.store_write.histogram();
    registry.register_with_unit("weir_store_write", "Writes to the store", Unit::Seconds, histogram);
    registry.register_collector(Box::new(Families::of(hub)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

fn backend(backend: &Backend) -> &'static str {
    match backend {
        Backend::Native => "native",
        Backend::Rumqttd(_) => "rumqttd",
        Backend::Mqtt(_) => "mqtt",
    }
}

/// Everything that is read at one moment.
#[derive(Debug, Default)]
struct Families(Vec<Family>);

/// One metric with its series.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: Kind,
    series: Vec<(Labels, Value)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
}

impl Families {
    fn of(hub: &Hub) -> Self {
        let mut families = Families::default();
        let accounts = hub.accounts();
        families.of_broker(hub, &accounts);
        families.of_process(hub);
        if hub.config.load().metrics.per_profile {
            families.of_profiles(&accounts, hub.clock.now().wall);
        }
        families
    }

    fn of_broker(&mut self, hub: &Hub, accounts: &[Arc<Account>]) {
        let stats = &hub.stats;
        let f = stats.snapshot();
        self.gauge("weir_connections", "Connections that are open", f.connections);
        self.counter("weir_connections_opened", "Connections accepted", f.connections_opened);
        self.counter(
            "weir_connections_refused",
            "Connections refused or closed before CONNACK: bad credentials, bad packets, limits, time-outs",
            f.connections_refused,
        );
        self.gauge("weir_sessions", "Sessions, connected or not", f.sessions);
        self.gauge("weir_profiles", "Profiles that are configured", accounts.len() as u64);
        let waiting = accounts.iter().map(|account| account.registry().waiting()).sum();
        self.gauge("weir_queued_messages", "Messages that wait for sessions, connected or not", waiting);
        let received = [f.messages_in_qos0, f.messages_in_qos1, f.messages_in_qos2];
        self.by_qos("weir_messages_received", "Messages taken from clients, wills included", None, received);
        let sent = [f.messages_out_qos0, f.messages_out_qos1, f.messages_out_qos2];
        self.by_qos("weir_messages_sent", "Messages written to clients", None, sent);
        let received = [f.bytes_in_qos0, f.bytes_in_qos1, f.bytes_in_qos2];
        let help = "Payload bytes of messages taken from clients";
        self.by_qos("weir_message_received", help, Some(Unit::Bytes), received);
        let sent = [f.bytes_out_qos0, f.bytes_out_qos1, f.bytes_out_qos2];
        self.by_qos("weir_message_sent", "Payload bytes of messages written to clients", Some(Unit::Bytes), sent);
        let network = [
            ("weir_network_received", "Bytes of MQTT read from clients", f.network_bytes_in),
            ("weir_network_sent", "Bytes of MQTT written to clients", f.network_bytes_out),
        ];
        for (name, help, bytes) in network {
            self.add(name, help, Some(Unit::Bytes), Kind::Counter, vec![(vec![], Value::Whole(bytes))]);
        }
        let denials = stats.denials.all().into_iter().map(|(plan, resource, count)| {
            (vec![("resource", resource.to_string()), ("plan", plan.to_string())], Value::Whole(count))
        });
        let help = "Requests denied by a limit, by its resource and the profile's plan";
        self.add("weir_denials", help, None, Kind::Counter, denials.collect());
        let dropped = stats.named().into_iter().filter_map(|(name, count)| {
            let reason = name.strip_prefix("dropped_")?;
            Some((vec![("reason", reason.to_owned())], Value::Whole(count)))
        });
        self.add("weir_dropped_messages", "Messages dropped, by reason", None, Kind::Counter, dropped.collect());
        self.counter("weir_backend_lost", "Times that the backend was lost and had to be found again", f.backend_lost);
        self.counter("weir_panics", "Connections that were closed as their task panicked", f.panics);
        let webhooks = [("sent", f.webhooks_sent), ("failed", f.webhooks_failed), ("dropped", f.webhooks_dropped)];
        let webhooks = webhooks.map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], Value::Whole(count)));
        let help = "Events for the webhook: sent, failed (refused, or not taken in time), dropped as too many waited";
        self.add("weir_webhook_events", help, None, Kind::Counter, webhooks.into());
    }

    fn of_process(&mut self, hub: &Hub) {
        let uptime = vec![(vec![], Value::Real(hub.clock.now().mono as f64 / 1000.0))];
        self.add("weir_uptime", "Time since the broker started", Some(Unit::Seconds), Kind::Gauge, uptime);
        let cpu = vec![(vec![], Value::Real(process::cpu_time().as_secs_f64()))];
        let help = "Processor time that the process has taken";
        self.add("weir_process_cpu", help, Some(Unit::Seconds), Kind::Counter, cpu);
        let memory = process::resident_memory().map(|bytes| (vec![], Value::Whole(bytes)));
        let memory = memory.into_iter().collect();
        let help = "Memory of the process that is resident";
        self.add("weir_process_resident_memory", help, Some(Unit::Bytes), Kind::Gauge, memory);
    }

    fn of_profiles(&mut self, accounts: &[Arc<Account>], now: UnixMillis) {
        let (mut used, mut limits, mut denied, mut connections) = (vec![], vec![], vec![], vec![]);
        for account in accounts {
            let profile = ("profile", account.name().to_string());
            connections.push((vec![profile.clone()], Value::Whole(account.connections())));
            for reading in account.meters().readings(now) {
                let Some(rate) = &reading.limit else { continue };
                let resource = ("resource", reading.resource.to_string());
                let labels = vec![profile.clone(), resource, ("window", rate.window.to_string())];
                used.push((labels.clone(), Value::Whole(reading.used)));
                limits.push((labels, Value::Whole(rate.count)));
            }
            let totals = account.denied_totals().into_iter().map(|(resource, count)| {
                (vec![profile.clone(), ("resource", resource.to_string())], Value::Whole(count))
            });
            denied.extend(totals);
        }
        self.add("weir_profile_connections", "Connections of the profile", None, Kind::Gauge, connections);
        let help = "How much of a rate of the profile is used in the current window";
        self.add("weir_profile_used", help, None, Kind::Gauge, used);
        self.add("weir_profile_limit", "How much of it fits in a window", None, Kind::Gauge, limits);
        let help = "Requests of the profile that were denied by a limit";
        self.add("weir_profile_denied", help, None, Kind::Counter, denied);
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, None, Kind::Gauge, vec![(vec![], Value::Whole(value))]);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, None, Kind::Counter, vec![(vec![], Value::Whole(value))]);
    }

    fn by_qos(&mut self, name: &'static str, help: &'static str, unit: Option<Unit>, values: [u64; 3]) {
        let series =
            (0..).zip(values).map(|(qos, value): (u8, u64)| (vec![("qos", qos.to_string())], Value::Whole(value)));
        self.add(name, help, unit, Kind::Counter, series.collect());
    }

    /// `name` without the unit and without `_total`, which are appended.
    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: Option<Unit>,
        kind: Kind,
        series: Vec<(Labels, Value)>,
    ) {
        self.0.push(Family { name, help, unit, kind, series });
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            // With a full stop, as the registry ends those that it encodes itself.
            let help = format!("{}.", family.help);
            let mut metric = encoder.encode_descriptor(family.name, &help, family.unit.as_ref(), kind)?;
            for (labels, value) in &family.series {
                match labels.as_slice() {
                    [] => value.encode(&mut metric, family.kind)?,
                    _ => value.encode(&mut metric.encode_family(labels)?, family.kind)?,
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(self, metric: &mut MetricEncoder<'_>, kind: Kind) -> fmt::Result {
        match (kind, self) {
            (Kind::Counter, Value::Whole(value)) => metric.encode_counter::<NoLabelSet, u64, f64>(&value, None),
            (Kind::Counter, Value::Real(value)) => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
            (Kind::Gauge, Value::Whole(value)) => metric.encode_gauge(&value),
            (Kind::Gauge, Value::Real(value)) => metric.encode_gauge(&value),
        }
    }
}
