//! The backend `rumqttd`: its router does the routing, in this process, and no socket is in between. The edge opens a [`Link`]
//! for each client and speaks MQTT over it as it would over a connection to any broker; behind it are a session of Weir's own
//! and rumqttd's router, guarded so that what rumqttd 0.20 gets wrong is not seen: neither by clients, nor by an operator
//! whose broker it would take down. It knows no profile, no limit, no will and no keep-alive: those are the edge's.
//!
//! What is rumqttd's here: matching live messages with filters, and the logs that a session which is behind or away reads on
//! from. What is Weir's: packet identifiers, quota and resending (`session`), retained messages and the dealing out of shared
//! subscriptions (`router`), and everything that is said to a client.

mod answer;
mod deliver;
mod envelope;
mod link;
mod packets;
mod seat;
mod share;
mod supervisor;
#[cfg(test)]
mod tests;
mod uplink;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hashbrown::HashMap;
use parking_lot::Mutex;

pub(crate) use link::Link;
use seat::{Seat, Taken};
use share::Shares;
use supervisor::Supervisor;

use crate::router::{Signal, Space};
use crate::stats::Stats;

/// How much may be given to a router that never forgets any of it. More is refused, by the name of the bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Topics that were ever published to; retained messages too.
    pub(crate) max_topics: usize,
    /// Filters that were ever subscribed.
    pub(crate) max_filters: usize,
    /// Sessions, connected or not, and shared subscriptions.
    pub(crate) max_sessions: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { max_topics: 100_000, max_filters: 30_000, max_sessions: 20_000 }
    }
}

/// The embedded broker.
pub(crate) struct Embedded {
    supervisor: Arc<Supervisor>,
    bounds: Bounds,
    stats: Arc<Stats>,
    start: Instant,
    seats: Mutex<HashMap<Box<str>, Arc<Seat>>>,
    shares: Shares,
    /// Only its retained messages are used.
    retained: Space,
    hasher: RandomState,
    next_link: AtomicU64,
}

/// A session for a connection.
enum Claimed {
    New(Arc<Seat>),
    Resumed(Arc<Seat>),
    /// There are `max_sessions` already.
    NoRoom,
}

impl Embedded {
    /// Starts the broker. Its router runs until the process ends.
    pub(crate) fn start(bounds: Bounds, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Embedded {
            supervisor: Supervisor::start(bounds, Arc::clone(&stats)),
            bounds,
            stats,
            start: Instant::now(),
            seats: Mutex::default(),
            shares: Shares::default(),
            retained: Space::default(),
            hasher: RandomState::new(),
            next_link: AtomicU64::new(1),
        })
    }

    /// A connection. The first packet that is written to it must be a CONNECT. It is to be used within a Tokio runtime.
    pub(crate) fn connect(self: &Arc<Self>) -> Link {
        Link::new(Arc::clone(self), self.next_link.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends the session of a client that is not connected: it has expired.
    pub(crate) fn end_session(&self, client_id: &str) {
        let mut seats = self.seats.lock();
        let Some(seat) = seats.get(client_id) else { return };
        let ended = seat.taken.lock().take_if(|taken| taken.owner == 0);
        if let Some(ended) = ended {
            seats.remove(client_id);
            ended.end(self);
        }
    }

    /// Milliseconds of the monotonic clock.
    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Claims the session of a client identifier from whoever has it [MQTT-3.1.4-3], or begins one.
    fn claim(&self, client_id: &str, clean_start: bool, owner: u64) -> Claimed {
        let mut seats = self.seats.lock();
        if let Some(seat) = seats.get(client_id) {
            let seat = Arc::clone(seat);
            let mut taken = seat.taken.lock();
            if let Some(known) = &mut *taken {
                // Who is connected to it looks up and finds that it is no longer its.
                known.session.mailbox().signal(Signal::TakenOver);
                if known.owner != 0 {
                    known.park(self);
                }
                if !clean_start {
                    known.resume(self, owner);
                    drop(taken);
                    return Claimed::Resumed(seat);
                }
            }
            // Clean Start ends the session there was [MQTT-3.1.2-4].
            if let Some(ended) = taken.take() {
                ended.end(self);
            }
            seats.remove(client_id);
        }
        let Some(station) = self.supervisor.station() else { return Claimed::NoRoom };
        // The same for every session of this client.
        let client = self.hasher.hash_one(client_id);
        let taken = Mutex::new(Some(Taken::new(self, client, station, owner)));
        let seat = Arc::new(Seat { client_id: client_id.into(), taken });
        seats.insert(client_id.into(), Arc::clone(&seat));
        Claimed::New(seat)
    }

    /// A connection is gone; its session ends with it, or is parked.
    fn leave(&self, seat: &Seat, owner: u64, ends: bool) {
        let mut seats = self.seats.lock();
        let mut taken = seat.taken.lock();
        let Some(known) = taken.as_mut().filter(|taken| taken.owner == owner) else { return };
        if !ends {
            known.park(self);
            return;
        }
        if let Some(ended) = taken.take() {
            seats.remove(&seat.client_id);
            ended.end(self);
        }
    }
}
