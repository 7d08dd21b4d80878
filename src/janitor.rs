//! What happens to sessions that nobody is connected to: they expire, and their wills fall due. One task for the whole broker
//! sleeps until the next of these moments. A session has at most one entry here, taken out when its client comes back, so
//! that nothing is kept for sessions that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::account::Account;
use crate::clock::Now;
use crate::hub::Hub;
use crate::session::{Due, PendingWill};
use crate::stats::Stats;

#[derive(Default)]
pub(crate) struct Janitor {
    /// By the moment (monotonic milliseconds) and the session's number.
    entries: Mutex<BTreeMap<(u64, u64), Entry>>,
    /// Something earlier than before was entered.
    sooner: Notify,
    /// How many entries are wills.
    wills: AtomicUsize,
    next_will: AtomicU64,
}

enum Entry {
    /// A parked session.
    Session { account: Arc<Account>, client_id: Box<str> },
    /// A will whose time has come, which waits for its profile's limit whether or not its client returns.
    Will(PendingWill),
}

/// How many wills whose time has come may wait for their profiles' limits.
const MAX_WILLS: usize = 10_000;

impl Janitor {
    /// Enters a parked session that needs attention at `due`.
    pub(crate) fn enter(&self, account: &Arc<Account>, client_id: &str, session: u64, due: u64) {
        let entry = Entry::Session { account: Arc::clone(account), client_id: client_id.into() };
        self.put((due, session), entry);
    }

    /// Enters a will whose time has come, until its profile's limit may let it through.
    pub(crate) fn enter_will(&self, will: PendingWill, stats: &Stats) {
        if self.wills.fetch_add(1, Ordering::Relaxed) >= MAX_WILLS {
            self.wills.fetch_sub(1, Ordering::Relaxed);
            stats.dropped_publish_limit.add(1);
            return;
        }
        // A number no session has, so that it meets no entry of the same moment.
        let number = u64::MAX - self.next_will.fetch_add(1, Ordering::Relaxed);
        self.put((will.due, number), Entry::Will(will));
    }

    fn put(&self, key: (u64, u64), entry: Entry) {
        let mut entries = self.entries.lock();
        entries.insert(key, entry);
        if entries.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.sooner.notify_one();
        }
    }

    /// Takes out the entry of a session that was parked until `due`.
    pub(crate) fn leave(&self, session: u64, due: u64) {
        self.entries.lock().remove(&(due, session));
    }

    /// Looks after sessions for as long as the broker runs.
    pub(crate) async fn run(hub: Arc<Hub>) {
        loop {
            let next = hub.janitor.entries.lock().first_key_value().map(|(key, _)| key.0);
            match next {
                None => hub.janitor.sooner.notified().await,
                Some(due) => {
                    tokio::select! {
                        () = hub.clock.sleep_until(due) => hub.janitor.work(&hub),
                        () = hub.janitor.sooner.notified() => {}
                    }
                }
            }
        }
    }

    /// Does what is due by now.
    fn work(&self, hub: &Arc<Hub>) {
        let now = hub.clock.now();
        loop {
            let (key, entry) = {
                let mut entries = self.entries.lock();
                match entries.first_entry() {
                    Some(first) if first.key().0 <= now.mono => (*first.key(), first.remove()),
                    _ => return,
                }
            };
            match entry {
                Entry::Session { account, client_id } => self.attend(hub, &account, &client_id, key.1, now),
                Entry::Will(will) => {
                    self.wills.fetch_sub(1, Ordering::Relaxed);
                    hub.publish_due_will(will, now);
                }
            }
        }
    }

    /// Attends to one parked session.
    fn attend(&self, hub: &Arc<Hub>, account: &Arc<Account>, client_id: &str, session: u64, now: Now) {
        // A backend has to be told; until then, the identifier is nobody else's.
        let owner = hub.relay.is_some().then(|| hub.connection_id());
        let again = match account.registry().due(client_id, session, now.mono, owner) {
            None => None,
            Some(Due::Expired(parked)) => {
                // A will that still waits is published with its session's end [MQTT-3.1.2-8].
                hub.end_session(account, *parked, now);
                if let Some(owner) = owner {
                    hub.forget_session(account, client_id, owner);
                }
                tracing::debug!(profile = %account.name(), client = client_id, "session expired");
                None
            }
            Some(Due::Will(will, next)) => {
                hub.publish_due_will(will, now);
                next
            }
            Some(Due::NotYet(next)) => next,
        };
        if let Some(due) = again {
            self.enter(account, client_id, session, due);
        }
    }
}
