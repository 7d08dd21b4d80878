//! The answer to a request over a limit. It knows which resource, which rate, and when to come back, and says so in the
//! one text that every protocol carries. Made by the gates, shown by whoever talks to the client.

use std::fmt;

use super::{Rate, Resource, UnixMillis};

/// A request that did not fit a limit. Its [`Display`](fmt::Display) is the text the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What the exceeded limit counts.
    pub resource: Resource,
    /// The rate that was exceeded, as configured.
    pub limit: Rate,
    /// When the window ends and requests are served again.
    pub resets_at: UnixMillis,
    /// Whole seconds until then, rounded up, at least 1.
    pub retry_after: u64,
    /// Whether this request can never fit, in this or any other window: its cost alone is more than the rate.
    pub never_fits: bool,
    /// Whether it is the first of this limit in this window.
    pub first: bool,
}

impl Denial {
    pub(super) fn new(resource: Resource, limit: Rate, resets_at: UnixMillis, now: UnixMillis, cost: u64) -> Self {
        let never_fits = cost > limit.count;
        let retry_after = resets_at.0.saturating_sub(now.0).div_ceil(1000).max(1);
        Denial { resource, limit, resets_at, retry_after, never_fits, first: false }
    }

    /// Whether this stands for longer than the other, and so is the one to tell.
    pub(super) fn outlasts(&self, other: &Denial) -> bool {
        (self.never_fits, self.resets_at) > (other.never_fits, other.resets_at)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Too many requests (Retry-After: {})", self.retry_after)
    }
}
