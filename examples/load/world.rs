//! What all clients of a run share: the options, the books, the phase of the run and the gate that paces connecting. Made
//! once by `main`. It must never be locked across an await.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::ledger::{Ledger, until_next_minute};
use crate::options::Options;

/// A little past the minute, for a broker whose clock is a little behind ours.
const PAST_THE_MINUTE: Duration = Duration::from_millis(250);

/// Where the run is. Each phase follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    /// Publishing, since then.
    Publishing(Instant),
    /// No more publishes; what is open is answered, what is owed is delivered.
    Draining,
    Leaving,
}

/// See the module's head.
pub struct World {
    pub options: Options,
    /// The broker's address, as rumqttc takes it.
    pub address: String,
    pub run: u64,
    /// The zero of all stamps.
    pub start: Instant,
    pub phase: watch::Sender<Phase>,
    ledger: Mutex<Ledger>,
    next_connect: Mutex<Instant>,
}

impl World {
    pub fn new(options: Options, address: String, run: u64) -> Arc<World> {
        let start = Instant::now();
        let ledger = Ledger::new(run, options.clients, options.subscribers);
        Arc::new(World {
            options,
            address,
            run,
            start,
            phase: watch::Sender::new(Phase::Connecting),
            ledger: Mutex::new(ledger),
            next_connect: Mutex::new(start),
        })
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// The run's name in topics and client identifiers.
    pub fn run_name(&self) -> String {
        format!("{:08x}", self.run as u32)
    }

    /// Nanoseconds since the start of the run.
    pub fn nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// When a client that was denied may try again: after `told`, or in the next minute where it was not told.
    pub fn next_window(&self, told: Option<Duration>) -> Instant {
        let wait = told.unwrap_or_else(|| until_next_minute(SystemTime::now()));
        Instant::now() + wait + PAST_THE_MINUTE
    }

    /// Waits for this client's turn to connect.
    pub async fn pass_gate(&self) {
        let turn = {
            let mut next = self.next_connect.lock();
            let turn = (*next).max(Instant::now());
            *next = turn + Duration::from_secs_f64(1.0 / self.options.connect_rate);
            turn
        };
        sleep_until(turn).await;
    }
}
