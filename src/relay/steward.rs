//! Weir's own connection to the backend, for as long as the broker runs: it says whether the backend is there, and publishes what
//! Weir itself has to say, such as the will of a client whose own connection is gone. Relays ask it and hand it messages; it
//! never touches a client's connection, and never dials in a busy loop.

mod hello;
mod line;
mod outbox;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use self::hello::{Credentials, Failure, Peer};
use self::outbox::Outbox;
use crate::clock::Clock;
use crate::router::Message;
use crate::stats::Stats;
use crate::wire::Version;

/// How long a connection may take to be made, and how long CONNACK may take to come, in milliseconds.
const PATIENCE: u64 = 10_000;

/// The pauses between tries, in milliseconds: each is a random part of a span that doubles from the first to the last.
const FIRST_PAUSE: u64 = 100;
const LAST_PAUSE: u64 = 10_000;

/// The least between two tries where clients ask for one, in milliseconds.
const HASTE: u64 = 1_000;

/// What connections to the backend come from: another broker, or the embedded router.
pub(crate) trait Dial: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    /// What is dialled, for logs.
    fn name(&self) -> &str;

    /// Makes one connection, within the time given, in milliseconds of the clock.
    ///
    /// # Errors
    /// The system's, those of TLS, or that the time has passed.
    fn dial(&self, clock: &Clock, timeout_ms: u64) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

pub(crate) struct Steward {
    credentials: Credentials,
    stats: Arc<Stats>,
    clock: Clock,
    outbox: Mutex<Outbox>,
    /// Something was put into the outbox.
    filled: Notify,
    /// A client could not reach the backend.
    doubted: Notify,
    available: AtomicBool,
    losses: AtomicU64,
}

impl Steward {
    /// A steward that connects under this client identifier and with these credentials once it [runs](Self::run).
    pub(crate) fn new(
        client_id: String,
        username: Option<Arc<str>>,
        password: Option<Arc<[u8]>>,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Steward {
            credentials: Credentials { client_id, username, password },
            stats,
            clock,
            outbox: Mutex::default(),
            filled: Notify::new(),
            doubted: Notify::new(),
            available: AtomicBool::new(false),
            losses: AtomicU64::new(0),
        })
    }

    /// Whether the backend answers.
    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    /// How often the backend was lost so far.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Looks at once whether the backend is there, as a client could not reach it. However many say so, and however often, it is
    /// asked or dialled once a second at most.
    pub(crate) fn check(&self) {
        self.doubted.notify_one();
    }

    /// Publishes a message of Weir's own, as soon as the backend is there and until it is acknowledged. Where too much waits
    /// already, it is dropped and counted.
    pub(crate) fn publish(&self, message: Message) {
        if self.outbox.lock().push(message) {
            self.filled.notify_one();
        } else {
            self.stats.dropped_backend_lost.add(1);
        }
    }

    /// Keeps a connection to the backend; never ends. `on_lost` is called each time the backend is lost, after
    /// [`losses`](Self::losses) tells so.
    pub(crate) async fn run<D: Dial>(self: Arc<Self>, dialer: Arc<D>, on_lost: impl Fn() + Send) {
        let backend = dialer.name();
        let mut absence = Absence::default();
        let mut pause = FIRST_PAUSE;
        loop {
            let began = self.clock.now().mono;
            match self.connect(&*dialer).await {
                Ok((stream, peer, input)) => {
                    self.available.store(true, Ordering::Release);
                    absence.end(backend, &peer);
                    let lost = line::tend(&self, stream, &peer, input).await;
                    self.available.store(false, Ordering::Release);
                    self.losses.fetch_add(1, Ordering::AcqRel);
                    self.stats.backend_lost.add(1);
                    tracing::warn!(backend, why = %lost, "the backend is lost");
                    on_lost();
                    if self.clock.now().mono - began > LAST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(failure) => absence.goes_on(backend, &failure),
            }
            self.rest(began, jittered(pause)).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Connects with MQTT 5 or, where that is refused or met by a closed connection, with MQTT 3.1.1.
    async fn connect<D: Dial>(&self, dialer: &D) -> Result<(D::Stream, Peer, Vec<u8>), Failure> {
        match self.connect_with(dialer, Version::V5).await {
            Err(Failure::Version | Failure::Closed) => self.connect_with(dialer, Version::V4).await,
            done => done,
        }
    }

    async fn connect_with<D: Dial>(&self, dialer: &D, version: Version) -> Result<(D::Stream, Peer, Vec<u8>), Failure> {
        let mut stream = dialer.dial(&self.clock, PATIENCE).await?;
        let mut input = Vec::new();
        let deadline = self.clock.now().mono + PATIENCE;
        let peer = tokio::select! {
            peer = hello::hello(&mut stream, version, &self.credentials, &mut input) => peer?,
            () = self.clock.sleep_until(deadline) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer CONNECT in time").into());
            }
        };
        Ok((stream, peer, input))
    }

    /// Waits before the next try; less where clients ask for one, but never so that two begin within a second for that.
    async fn rest(&self, began: u64, pause: u64) {
        let soonest = began + HASTE;
        let mut until = self.clock.now().mono + pause;
        loop {
            tokio::select! {
                () = self.clock.sleep_until(until) => return,
                () = self.doubted.notified(), if until > soonest => until = soonest,
            }
        }
    }
}

/// A time from 1 ms to all of the span, so that many do not come back at once ("full jitter").
fn jittered(span: u64) -> u64 {
    let mut random = [0; 8];
    match getrandom::fill(&mut random) {
        Ok(()) => 1 + u64::from_ne_bytes(random) % span,
        Err(_) => span,
    }
}

/// A time without the backend, and what was logged of it: each reason once.
#[derive(Default)]
struct Absence {
    tries: u64,
    why: String,
}

impl Absence {
    fn goes_on(&mut self, backend: &str, failure: &Failure) {
        self.tries += 1;
        let (why, tries) = (failure.to_string(), self.tries);
        match failure {
            _ if why == self.why => tracing::debug!(backend, why, tries, "the backend is still not to be had"),
            Failure::Version | Failure::Refused(_) => {
                tracing::error!(backend, why, tries, "the backend does not let Weir in; it is tried again");
            }
            _ => tracing::warn!(backend, why, tries, "the backend is not to be had; it is tried again"),
        }
        self.why = why;
    }

    fn end(&mut self, backend: &str, peer: &Peer) {
        tracing::info!(backend, version = %peer.version, tries = self.tries + 1, "the backend is there");
        *self = Absence::default();
    }
}

#[cfg(test)]
mod tests;
