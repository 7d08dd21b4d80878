//! The broker's own figures: what came in, what went out, and what was dropped and why. Plain counters that anyone may read
//! at any time; nothing is dropped anywhere in Weir without one of these being raised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::limits::Resource;
use crate::wire::QoS;

macro_rules! counters {
    (
        $(#[$outer:meta])* $name:ident, $snapshot:ident { $($(#[$doc:meta])* $field:ident),* $(,)? }
        sums { $($(#[$sum_doc:meta])* $sum:ident: $($part:ident)+;)* }
        beside { $($(#[$other_doc:meta])* $other:ident: $kind:ty,)* }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$doc])* pub(crate) $field: Counter,)*
            $($(#[$other_doc])* pub(crate) $other: $kind,)*
        }

        /// The figures at one moment; each field is described at the counter of the same name.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $snapshot { $($(#[$sum_doc])* pub $sum: u64,)* $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            $($(#[$sum_doc])* pub(crate) fn $sum(&self) -> u64 {
                0 $(+ self.$part.get())+
            })*

            /// All figures, read one after the other.
            pub fn snapshot(&self) -> $snapshot {
                $snapshot { $($sum: self.$sum(),)* $($field: self.$field.get(),)* }
            }

            /// All figures with their names.
            pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($sum), self.$sum()),)* $((stringify!($field), self.$field.get()),)*]
            }
        }
    };
}

/// A number that only grows, or, for gauges, one that is moved up and down.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// What the whole broker has seen since it started.
    Stats, Figures {
        /// Connections that are open now, accepted by CONNACK or not yet.
        connections,
        /// Network connections accepted since the start.
        connections_opened,
        /// Connections refused or closed before CONNACK: bad credentials, bad packets, limits, time-outs.
        connections_refused,
        /// Sessions that exist now, connected or not.
        sessions,
        /// Application messages of QoS 0 taken from clients, wills included.
        messages_in_qos0,
        /// Application messages of QoS 1 taken from clients, wills included.
        messages_in_qos1,
        /// Application messages of QoS 2 taken from clients, wills included.
        messages_in_qos2,
        /// The bytes of their payloads, at QoS 0.
        bytes_in_qos0,
        /// The bytes of their payloads, at QoS 1.
        bytes_in_qos1,
        /// The bytes of their payloads, at QoS 2.
        bytes_in_qos2,
        /// Application messages of QoS 0 written to clients.
        messages_out_qos0,
        /// Application messages of QoS 1 written to clients.
        messages_out_qos1,
        /// Application messages of QoS 2 written to clients.
        messages_out_qos2,
        /// The bytes of their payloads, at QoS 0.
        bytes_out_qos0,
        /// The bytes of their payloads, at QoS 1.
        bytes_out_qos1,
        /// The bytes of their payloads, at QoS 2.
        bytes_out_qos2,
        /// Bytes of MQTT read from clients, without what TCP and WebSocket add.
        network_bytes_in,
        /// Bytes of MQTT written to clients.
        network_bytes_out,
        /// Requests denied by a limit.
        denied,
        /// Dropped: a QoS 0 delivery, or one under `receive: drop`, over the `receive` limit.
        dropped_receive_limit,
        /// Dropped: a QoS 0 publish over the `publish` limit.
        dropped_publish_limit,
        /// Dropped: the session's queue was at `max_queued_messages` or `max_queued_bytes`.
        dropped_queue_full,
        /// Dropped: a QoS 0 message for a session that is not connected.
        dropped_offline,
        /// Dropped: the message's expiry interval had passed.
        dropped_expired,
        /// Dropped: larger than the client's Maximum Packet Size.
        dropped_too_large,
        /// Dropped: it could never fit the limit, its cost alone being more than the rate.
        dropped_never_fits,
        /// Dropped: an access rule forbids the delivery, or a hook refused it; or the backend refused a message of Weir's own.
        dropped_refused,
        /// Dropped: the profile's retained messages were at their cap.
        dropped_retained_full,
        /// Dropped: the session ended with messages still queued or unacknowledged.
        dropped_session_ended,
        /// Dropped: the backend was away and what waited for it was over the bound, or too large for it.
        dropped_backend_lost,
        /// Times the backend was lost and had to be found again: the other broker went away, or the embedded router died.
        backend_lost,
        /// A connection's task panicked; that connection was closed.
        panics,
        /// Events that the webhook has taken.
        webhooks_sent,
        /// Events that it has refused, or not taken in time.
        webhooks_failed,
        /// Events that were dropped as too many waited for it.
        webhooks_dropped,
    }
    sums {
        /// Application messages taken from clients, wills included.
        messages_in: messages_in_qos0 messages_in_qos1 messages_in_qos2;
        /// Application messages written to clients.
        messages_out: messages_out_qos0 messages_out_qos1 messages_out_qos2;
    }
    beside {
        /// Denials by the plan and the resource whose limit was exceeded.
        denials: DenialsByPlan,
        /// From a publish that is allowed to the last mailbox that it was put into; one of many is timed.
        router_publish: Timing,
        /// Writes to the store.
        store_write: Timing,
    }
}

impl Stats {
    /// Counts messages taken from clients, and the bytes of their payloads.
    pub(crate) fn add_received(&self, qos: QoS, messages: u64, bytes: u64) {
        let (count, size) = match qos {
            QoS::AtMostOnce => (&self.messages_in_qos0, &self.bytes_in_qos0),
            QoS::AtLeastOnce => (&self.messages_in_qos1, &self.bytes_in_qos1),
            QoS::ExactlyOnce => (&self.messages_in_qos2, &self.bytes_in_qos2),
        };
        count.add(messages);
        size.add(bytes);
    }

    /// Counts messages written to clients, and the bytes of their payloads.
    pub(crate) fn add_sent(&self, qos: QoS, messages: u64, bytes: u64) {
        let (count, size) = match qos {
            QoS::AtMostOnce => (&self.messages_out_qos0, &self.bytes_out_qos0),
            QoS::AtLeastOnce => (&self.messages_out_qos1, &self.bytes_out_qos1),
            QoS::ExactlyOnce => (&self.messages_out_qos2, &self.bytes_out_qos2),
        };
        count.add(messages);
        size.add(bytes);
    }
}

/// Denials since the start, by plan and resource. What was counted stays, whatever becomes of the plan.
#[derive(Debug, Default)]
pub(crate) struct DenialsByPlan(Mutex<BTreeMap<Arc<str>, BTreeMap<Resource, u64>>>);

impl DenialsByPlan {
    pub(crate) fn count(&self, plan: &Arc<str>, resource: &Resource) {
        let mut plans = self.0.lock();
        match plans.get_mut(plan).and_then(|plan| plan.get_mut(resource)) {
            Some(count) => *count += 1,
            None => *plans.entry(Arc::clone(plan)).or_default().entry(resource.clone()).or_default() += 1,
        }
    }

    /// The counts with their plans and resources.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, Resource, u64)> {
        let plans = self.0.lock();
        let rows = plans.iter().flat_map(|(plan, counts)| {
            counts.iter().map(|(resource, count)| (Arc::clone(plan), resource.clone(), *count))
        });
        rows.collect()
    }
}

/// How long something takes: a histogram in seconds, from 250 ns to about a second in steps of four.
#[derive(Debug)]
pub(crate) struct Timing(Histogram);

impl Default for Timing {
    fn default() -> Self {
        Timing(Histogram::new(exponential_buckets(250e-9, 4.0, 12)))
    }
}

impl Timing {
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }

    /// The histogram itself, which goes on with this.
    pub(crate) fn histogram(&self) -> Histogram {
        self.0.clone()
    }
}
