//! The operator's webhook: events are posted there as JSON, signed, one after the other, by a thread that is started with the
//! first of them. An event that is not taken is sent again, under the same identifier, with growing pauses. No redirect is
//! followed, and neither the secret nor the path of the URL is ever logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Crossing;
use super::outbox::{Job, Next, Outbox};
use crate::clock::Clock;
use crate::config::{self, hmac};
use crate::limits::UnixMillis;
use crate::stats::Stats;

/// How long the end of the broker waits for what is still to be sent.
const FINISH: Duration = Duration::from_secs(1);

pub(super) struct Webhook(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to send, or the end has come; and the thread is done.
    changed: Condvar,
    stats: Arc<Stats>,
    clock: Clock,
    /// Where milliseconds count from: retries keep the machine's time, whatever the broker's clock does.
    start: Instant,
}

#[derive(Default)]
struct State {
    to: Option<Arc<config::Webhook>>,
    outbox: Outbox,
    running: bool,
    closing: bool,
}

/// What came of an attempt.
enum Attempt {
    Taken,
    /// It will not be taken later either.
    Refused(String),
    Failed(String),
}

impl Webhook {
    pub(super) fn new(stats: Arc<Stats>, clock: Clock) -> Self {
        Webhook(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            stats,
            clock,
            start: Instant::now(),
        }))
    }

    /// Sends to another place from now on; to none, and what waits is dropped.
    pub(super) fn configure(&self, to: Option<&config::Webhook>) {
        let mut state = self.0.state.lock();
        if state.to.as_deref() == to {
            return;
        }
        state.to = to.cloned().map(Arc::new);
        match state.to {
            // It may answer where the other did not.
            Some(_) => state.outbox.hurry(),
            None => self.0.stats.webhooks_dropped.add(state.outbox.drain().len() as u64),
        }
        self.0.changed.notify_all();
    }

    /// Has an event sent, if there is where to.
    pub(super) fn enter(&self, crossing: &Crossing) {
        let shared = &self.0;
        let mut state = shared.state.lock();
        if state.to.is_none() || state.closing {
            return;
        }
        let id = new_id();
        let job = Job { body: crossing.body(&id), id, entered: shared.now(), failures: 0 };
        if state.outbox.enter(job) {
            shared.stats.webhooks_dropped.add(1);
        }
        if !state.running {
            let thread = Arc::clone(shared);
            let spawned = std::thread::Builder::new().name("weir-webhook".into()).spawn(move || thread.run());
            match spawned {
                Ok(_) => state.running = true,
                Err(error) => tracing::error!(%error, "the thread of the webhook cannot be started"),
            }
        }
        shared.changed.notify_all();
    }

    /// Sends what waits, once and without pauses, for a second at most.
    pub(super) async fn finish(&self) {
        let shared = Arc::clone(&self.0);
        let finished = tokio::task::spawn_blocking(move || {
            let until = Instant::now() + FINISH;
            let mut state = shared.state.lock();
            state.close();
            shared.changed.notify_all();
            while state.running && !shared.changed.wait_until(&mut state, until).timed_out() {}
            let left = state.outbox.drain().len() as u64;
            shared.stats.webhooks_failed.add(left);
            if left > 0 {
                tracing::warn!(events = left, "the broker ends before the webhook has taken them");
            }
        });
        // It ends by itself, and does not panic.
        let _ = finished.await;
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.0.state.lock().close();
        self.0.changed.notify_all();
    }
}

impl State {
    fn close(&mut self) {
        self.closing = true;
        self.outbox.hurry();
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// The thread: sends for as long as the broker runs.
    fn run(&self) {
        let mut agent: Option<(Arc<config::Webhook>, Agent)> = None;
        let mut state = self.state.lock();
        loop {
            let Some(to) = state.to.clone() else {
                // One may have come back from a place that is not asked any more.
                self.stats.webhooks_dropped.add(state.outbox.drain().len() as u64);
                if state.closing {
                    break;
                }
                self.changed.wait(&mut state);
                continue;
            };
            match state.outbox.next(self.now()) {
                Next::Nothing if state.closing => break,
                Next::Nothing => self.changed.wait(&mut state),
                Next::Wait(until) => {
                    let wait = Duration::from_millis(until.saturating_sub(self.now()));
                    self.changed.wait_for(&mut state, wait);
                }
                Next::Send(job) => {
                    drop(state);
                    let agent = match &agent {
                        Some((known, agent)) if Arc::ptr_eq(known, &to) => agent,
                        _ => &agent.insert((Arc::clone(&to), new_agent(&to))).1,
                    };
                    let attempt = post(agent, &to, &job, self.clock.now().wall);
                    state = self.state.lock();
                    self.settle(&mut state, job, &to, attempt);
                }
            }
        }
        state.running = false;
        self.changed.notify_all();
    }

    /// Sees to what came of an attempt; each event's end is logged once.
    fn settle(&self, state: &mut State, job: Job, to: &config::Webhook, attempt: Attempt) {
        let given_up = |job: &Job, why: &str| {
            self.stats.webhooks_failed.add(1);
            tracing::warn!(event = %job.id, to = %to.origin(), attempts = job.failures, why, "the webhook has not taken an event");
        };
        match attempt {
            Attempt::Taken => {
                self.stats.webhooks_sent.add(1);
                state.outbox.answered();
                tracing::debug!(event = %job.id, to = %to.origin(), attempts = job.failures + 1, "the webhook has taken an event");
            }
            Attempt::Refused(why) => {
                state.outbox.answered();
                given_up(&Job { failures: job.failures + 1, ..job }, &why);
            }
            Attempt::Failed(why) if state.closing => given_up(&Job { failures: job.failures + 1, ..job }, &why),
            Attempt::Failed(why) => {
                let (old, dropped) = state.outbox.failed(job, self.now(), chance());
                old.iter().for_each(|job| given_up(job, &why));
                self.stats.webhooks_dropped.add(dropped.into());
            }
        }
    }
}

fn new_agent(to: &config::Webhook) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(to.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
    if to.url.starts_with("https") {
        // The authorities that the machine trusts; where it names none, those of the web.
        let certificates = rustls_native_certs::load_native_certs().certs;
        if !certificates.is_empty() {
            let roots = certificates.iter().map(|der| Certificate::from_der(der).to_owned());
            config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::from(roots)).build());
        }
    }
    config.build().new_agent()
}

/// Posts an event once.
fn post(agent: &Agent, to: &config::Webhook, job: &Job, now: UnixMillis) -> Attempt {
    let response = agent
        .post(&to.url)
        .header("Content-Type", "application/json")
        .header("Weir-Event-Id", &job.id)
        .header("Weir-Signature", signature(&to.secret, now.0 / 1000, &job.body))
        .send(job.body.as_bytes());
    let status = match response {
        Ok(response) => response.status(),
        Err(error) => return Attempt::Failed(error.to_string()),
    };
    match status.as_u16() {
        200..=299 => Attempt::Taken,
        // It asks for patience.
        408 | 425 | 429 | 500..=599 => Attempt::Failed(format!("it answers {status}")),
        300..=399 => Attempt::Refused(format!("it answers {status}, and no redirect is followed")),
        _ => Attempt::Refused(format!("it answers {status}")),
    }
}

/// `t=SECONDS,v1=HEX`: when it was signed, and the HMAC-SHA-256 of `SECONDS.BODY`.
fn signature(secret: &[u8], seconds: u64, body: &str) -> String {
    let signed = hmac(secret, format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex(&signed))
}

/// An identifier that no other event has: 128 random bits.
fn new_id() -> String {
    hex(&random::<16>())
}

/// A number from 0 to 1.
fn chance() -> f64 {
    f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's source of randomness does not fail on a system that runs");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
