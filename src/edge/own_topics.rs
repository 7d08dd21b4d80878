//! Topics that the broker itself speaks on: `$limits/…`, what a client's profile and device have used, and `$SYS/…`, the
//! broker's figures, for the profiles that may see them. They are of no space: each connection that subscribes them makes
//! its own messages, when it subscribes, when they change (a second apart), at the first denial in a window, and when a limit
//! is nearly or quite full. They are sent at QoS 0, count as `receive` of nobody, and are never kept for a client that is away.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::clock::{Now, rfc3339};
use crate::hooks::Client;
use crate::hub::Hub;
use crate::limits::Reading;
use crate::router::SubscriptionIds;
use crate::session::{Session, Subscribed};
use crate::wire;

/// Milliseconds between two messages about what changes.
const LIMITS_INTERVAL: u64 = 1_000;
/// Milliseconds between two messages about the broker.
const SYS_INTERVAL: u64 = 10_000;

/// What the broker speaks on.
const OWN: [&str; 2] = ["$limits", "$SYS"];

/// Whether a topic or filter is one of the broker's own.
pub(crate) fn is_own(topic: &str) -> bool {
    OWN.contains(&topic.split('/').next().unwrap_or_default())
}

/// The broker's own topics that one connection subscribes.
#[derive(Default)]
pub(super) struct OwnTopics {
    filters: BTreeMap<Box<str>, Subscribed>,
    /// What was said last, by topic.
    said: BTreeMap<String, String>,
    /// When to look again, in monotonic milliseconds.
    limits_due: Option<u64>,
    sys_due: Option<u64>,
    /// How many first denials of the profile it has heard of.
    first_denials: u64,
    /// How many crossings of its profile it has heard of; those before its first look are not for it.
    crossings: Option<u64>,
}

/// A message about the broker.
pub(super) struct Own {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) ids: SubscriptionIds,
}

impl OwnTopics {
    /// Those that a session has subscribed before, if any.
    pub(super) fn of(session: &Session, now: Now) -> Option<Box<Self>> {
        let mut own = Self::default();
        for (filter, subscribed) in session.subscriptions().filter(|(filter, _)| is_own(filter)) {
            own.subscribe(filter, subscribed, now);
        }
        (!own.filters.is_empty()).then(|| Box::new(own))
    }

    /// Adds a filter; what it matches is due at once.
    pub(super) fn subscribe(&mut self, filter: &str, subscribed: Subscribed, now: Now) {
        self.filters.insert(filter.into(), subscribed);
        self.limits_due = Some(now.mono);
        self.sys_due = self.filters.keys().any(|filter| filter.starts_with("$SYS")).then_some(now.mono);
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) {
        self.filters.remove(filter);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<u64> {
        self.limits_due.into_iter().chain(self.sys_due).min()
    }

    /// What a filter matches as of now, as if it were retained.
    pub(super) fn snapshot(filter: &str, subscribed: Subscribed, hub: &Hub, client: &Client, now: Now) -> Vec<Own> {
        let mut all = limits(client, now);
        if filter.starts_with("$SYS") {
            all.extend(sys(hub, now));
        }
        let mut ids = SubscriptionIds::None;
        ids.add(subscribed.id);
        all.into_iter()
            .filter(|(topic, _)| wire::matches(filter, topic))
            .map(|(topic, payload)| Own { topic, payload, ids: ids.clone() })
            .collect()
    }

    /// Notes what was said of a topic, so that it is not said again.
    pub(super) fn note(&mut self, own: &Own) {
        self.said.insert(own.topic.clone(), own.payload.clone());
    }

    /// What has changed since it was last said, if it is time to look: at once where there was a first denial in a window.
    pub(super) fn changes(&mut self, hub: &Hub, client: &Client, now: Now) -> Vec<Own> {
        let first_denials = client.account.first_denials();
        let denied = std::mem::replace(&mut self.first_denials, first_denials) != first_denials;
        let mut all = Vec::new();
        if denied || self.limits_due.is_some_and(|due| due <= now.mono) {
            self.limits_due = Some(now.mono + LIMITS_INTERVAL);
            all.extend(limits(client, now));
        }
        if self.sys_due.is_some_and(|due| due <= now.mono) {
            self.sys_due = Some(now.mono + SYS_INTERVAL);
            all.extend(sys(hub, now));
        }
        let mut changed = Vec::new();
        for (topic, payload) in all {
            if self.said.get(&topic) == Some(&payload) {
                continue;
            }
            if let Some(ids) = self.matching(&topic) {
                self.said.insert(topic.clone(), payload.clone());
                changed.push(Own { topic, payload, ids });
            }
        }
        changed.extend(self.crossed(hub, client));
        changed
    }

    /// The crossings that it has not heard of: those of the client's profile and of its own device.
    fn crossed(&mut self, hub: &Hub, client: &Client) -> Vec<Own> {
        let recent = client.account.crossings();
        let heard = *self.crossings.get_or_insert_with(|| recent.count());
        if heard == recent.count() {
            return Vec::new();
        }
        let news = recent.since(heard);
        self.crossings = Some(news.count);
        hub.stats.dropped_queue_full.add(news.missed);
        let mut told = Vec::new();
        for crossing in news.crossings {
            let topic = match &crossing.device {
                None => "$limits/event",
                Some(device) if Some(device) == client.device.as_ref() => "$limits/device/event",
                Some(_) => continue,
            };
            if let Some(ids) = self.matching(topic) {
                told.push(Own { topic: topic.to_owned(), payload: crossing.told(), ids });
            }
        }
        told
    }

    /// The subscription identifiers of the filters that match a topic, if any does.
    fn matching(&self, topic: &str) -> Option<SubscriptionIds> {
        let mut matched = None;
        for (filter, subscribed) in &self.filters {
            if wire::matches(filter, topic) {
                matched.get_or_insert(SubscriptionIds::None).add(subscribed.id);
            }
        }
        matched
    }
}

/// What the client's profile, and its device where that has rates of its own, have used.
fn limits(client: &Client, now: Now) -> Vec<(String, String)> {
    let mut messages = by_resource("$limits/", &client.account.meters().readings(now.wall));
    if let Some(device) = &client.meters {
        let readings: Vec<Reading> =
            device.readings(now.wall).into_iter().filter(|reading| reading.limit.is_some()).collect();
        messages.extend(by_resource("$limits/device/", &readings));
    }
    messages
}

/// One message for each resource. Where several rates hold, the one with the least left comes first, and all follow.
fn by_resource(prefix: &str, readings: &[Reading]) -> Vec<(String, String)> {
    let mut resources: Vec<(&str, Vec<&Reading>)> = Vec::new();
    for reading in readings {
        let name = reading.resource.as_str();
        match resources.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(reading),
            None => resources.push((name, vec![reading])),
        }
    }
    let message = |(name, mut all): (&str, Vec<&Reading>)| {
        all.sort_by_key(|r| r.limit.as_ref().map_or(u64::MAX, |limit| limit.count.saturating_sub(r.used)));
        let mut payload = String::from("{");
        fields(&mut payload, all[0]);
        if all.len() > 1 {
            payload.push_str(",\"rates\":[");
            for (at, reading) in all.iter().enumerate() {
                payload.push_str(if at == 0 { "{" } else { ",{" });
                fields(&mut payload, reading);
                payload.push('}');
            }
            payload.push(']');
        }
        payload.push('}');
        // A name of the operator's own may hold what a topic must not.
        (format!("{prefix}{}", name.replace(['+', '#'], "_")), payload)
    };
    resources.into_iter().map(message).collect()
}

fn fields(json: &mut String, reading: &Reading) {
    let limit = reading.limit.as_ref().map_or_else(|| "null".to_owned(), |rate| format!("\"{}\"", rate.written()));
    // Writing to a string does not fail.
    let _ = write!(
        json,
        "\"limit\":{limit},\"used\":{},\"denied\":{},\"resets_at\":\"{}\"",
        reading.used,
        reading.denied,
        rfc3339(reading.resets_at)
    );
}

/// The broker's figures.
fn sys(hub: &Hub, now: Now) -> Vec<(String, String)> {
    let mut messages = vec![
        ("$SYS/broker/version".to_owned(), format!("Weir {}", env!("CARGO_PKG_VERSION"))),
        ("$SYS/broker/uptime".to_owned(), (now.mono / 1000).to_string()),
    ];
    let figures = hub.stats.named();
    messages.extend(figures.into_iter().map(|(name, value)| (format!("$SYS/broker/{name}"), value.to_string())));
    messages
}
