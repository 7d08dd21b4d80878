//! What becomes of a limit that is nearly or quite full: a line in the log, a message to the clients of the profile that
//! subscribe `$limits/#`, and a call of the operator's webhook. Called, through the hub, by whoever watches the meters, once a
//! window for each percentage. It must never wait: what takes time is done by a thread of its own.

mod outbox;
mod webhook;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use self::webhook::Webhook;
use crate::clock::{Clock, rfc3339};
use crate::config;
use crate::limits::{Rate, Resource, UnixMillis};
use crate::stats::Stats;

/// A rate of which so much was used, for the first time in its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) profile: Arc<str>,
    /// Where it is a rate of the device's own.
    pub(crate) device: Option<Arc<str>>,
    pub(crate) resource: Resource,
    pub(crate) rate: Rate,
    /// How much was used when it was seen.
    pub(crate) used: u64,
    pub(crate) window_ends: UnixMillis,
    /// 80 or 100.
    pub(crate) percent: u8,
    /// When it was seen.
    pub(crate) at: UnixMillis,
}

/// What clients are told of it.
#[derive(Serialize)]
struct Told<'a> {
    resource: &'a str,
    limit: &'a str,
    used: u64,
    percent: u8,
    resets_at: String,
}

/// What the webhook is sent of it.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    at: String,
    profile: &'a str,
    /// Null where the rate is the profile's.
    device: Option<&'a str>,
    #[serde(flatten)]
    told: Told<'a>,
}

impl Crossing {
    fn fields(&self) -> Told<'_> {
        Told {
            resource: self.resource.as_str(),
            limit: self.rate.written(),
            used: self.used,
            percent: self.percent,
            resets_at: rfc3339(self.window_ends),
        }
    }

    /// The message on `$limits/event` and `$limits/device/event`.
    pub(crate) fn told(&self) -> String {
        json(&self.fields())
    }

    /// The body of the webhook's request.
    fn body(&self, id: &str) -> String {
        json(&Body {
            id,
            kind: "limit",
            at: rfc3339(self.at),
            profile: &self.profile,
            device: self.device.as_deref(),
            told: self.fields(),
        })
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain fields with names that are texts always have a JSON form")
}

/// Where crossings are told. See the module's text.
pub(crate) struct Events {
    log: AtomicBool,
    webhook: Webhook,
}

impl Events {
    pub(crate) fn new(config: &config::Events, stats: Arc<Stats>, clock: Clock) -> Self {
        let events = Events { log: AtomicBool::new(config.log), webhook: Webhook::new(stats, clock) };
        events.configure(config);
        events
    }

    /// Puts another configuration in force: what waits for the webhook is sent as that says.
    pub(crate) fn configure(&self, config: &config::Events) {
        self.log.store(config.log, Ordering::Relaxed);
        self.webhook.configure(config.webhook.as_ref());
    }

    /// Tells the log and the webhook.
    pub(crate) fn crossed(&self, crossing: &Crossing) {
        if self.log.load(Ordering::Relaxed) {
            tracing::warn!(
                profile = %crossing.profile,
                device = crossing.device.as_deref().unwrap_or("-"),
                resource = %crossing.resource,
                limit = %crossing.rate,
                used = crossing.used,
                percent = crossing.percent,
                resets_at = %rfc3339(crossing.window_ends),
                "{}",
                if crossing.percent < 100 { "a limit is nearly full" } else { "a limit is full" }
            );
        }
        self.webhook.enter(crossing);
    }

    /// Gives the webhook a second for what waits.
    pub(crate) async fn finish(&self) {
        self.webhook.finish().await;
    }
}

/// Crossings that are kept for connections to see.
const KEPT: usize = 64;

/// The last crossings of one profile, for its connections that listen.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    count: AtomicU64,
    last: Mutex<VecDeque<Arc<Crossing>>>,
}

/// What a connection has not heard of.
pub(crate) struct News {
    /// How many crossings there have been.
    pub(crate) count: u64,
    /// Those that are not kept any more.
    pub(crate) missed: u64,
    pub(crate) crossings: Vec<Arc<Crossing>>,
}

impl Recent {
    pub(crate) fn push(&self, crossing: Crossing) {
        let mut last = self.last.lock();
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(Arc::new(crossing));
        self.count.fetch_add(1, Ordering::Release);
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Those after the first `heard`.
    pub(crate) fn since(&self, heard: u64) -> News {
        let last = self.last.lock();
        let count = self.count();
        let new = count.saturating_sub(heard);
        let there = usize::try_from(new).unwrap_or(usize::MAX).min(last.len());
        let crossings = last.range(last.len() - there..).cloned().collect();
        News { count, missed: new - there as u64, crossings }
    }
}

#[cfg(test)]
mod tests;
