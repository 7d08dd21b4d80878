//! What time it is. Everything below the edge is given `now`; the edge and the broker ask this clock, once for each batch of
//! packets. A manual clock stands still until it is moved, so that a test can be in any second of any minute it likes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::Either;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::limits::UnixMillis;

/// A moment on both clocks that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock (UTC): decides windows. It may jump.
    pub wall: UnixMillis,
    /// Milliseconds since the clock was made; never goes backwards: decides keep-alive and expiry.
    pub mono: u64,
}

/// The source of [`Now`]: the system's, or one that is moved by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's own clocks.
    System {
        /// Where the monotonic milliseconds count from.
        start: Instant,
    },
    /// A clock that stands still until it is moved.
    Manual(Arc<ManualClock>),
}

impl Clock {
    /// The machine's own clocks.
    pub fn system() -> Self {
        Clock::System { start: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Now {
        match self {
            Clock::System { start } => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Now { wall: UnixMillis(wall.as_millis() as u64), mono: start.elapsed().as_millis() as u64 }
            }
            Clock::Manual(manual) => *manual.now.borrow(),
        }
    }

    /// Whether it is the machine's own.
    pub(crate) fn is_the_systems(&self) -> bool {
        matches!(self, Clock::System { .. })
    }

    /// Waits until the monotonic clock has reached `mono` milliseconds. To be called on a runtime. What it returns is as small as
    /// the runtime's own timer: a connection keeps one for as long as its client is idle.
    pub fn sleep_until(&self, mono: u64) -> impl Future<Output = ()> + Send + use<> {
        match self {
            Clock::System { start } => {
                // Rounded up: the clock's milliseconds are whole ones, and must have reached `mono` on waking.
                let at = *start + Duration::from_millis(mono);
                Either::Left(tokio::time::sleep_until(at.into()))
            }
            Clock::Manual(manual) => {
                let manual = Arc::clone(manual);
                Either::Right(Box::pin(async move {
                    let mut moved = manual.now.subscribe();
                    // The sender lives in `manual`, which we hold: waiting cannot fail.
                    let _ = moved.wait_for(|now| now.mono >= mono).await;
                }))
            }
        }
    }
}

/// A clock for tests and rehearsals, moved by hand.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Now>,
}

impl ManualClock {
    /// A clock that stands at this wall time.
    pub fn at(wall: UnixMillis) -> Arc<Self> {
        Arc::new(ManualClock { now: watch::Sender::new(Now { wall, mono: 0 }) })
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        let by = by.as_millis() as u64;
        self.now.send_modify(|now| {
            now.wall.0 += by;
            now.mono += by;
        });
    }

    /// Sets the wall clock. Forwards it takes the monotonic clock along; backwards it moves alone, as a corrected clock does.
    pub fn set(&self, wall: UnixMillis) {
        self.now.send_modify(|now| {
            now.mono += wall.0.saturating_sub(now.wall.0);
            now.wall = wall;
        });
    }
}

/// A moment of the wall clock as people and programs read it, in UTC (RFC 3339).
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    let at = i64::try_from(at.0).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests;
