//! The broker's own figures: what came in, what went out, and what was dropped and why. Plain counters that anyone may read
//! at any time; nothing is dropped anywhere in Weir without one of these being raised.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident, $snapshot:ident { $($(#[$doc:meta])* $field:ident),* $(,)? }) => {
        $(#[$outer])*
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$doc])* pub(crate) $field: Counter,)* }

        /// The figures at one moment; each field is described at the counter of the same name.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $snapshot { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// All figures, read one after the other.
            pub fn snapshot(&self) -> $snapshot {
                $snapshot { $($field: self.$field.get(),)* }
            }

            /// All figures with their names.
            pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field.get()),)*]
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
        /// Application messages taken from clients, wills included.
        messages_in,
        /// Application messages written to clients.
        messages_out,
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
    }
}
