//! What all connections share: the clock, the configuration in force, the profiles at work, the hooks, the figures. Made by
//! the broker, held by every connection; nothing in it is locked on the way of a packet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use crate::account::Account;
use crate::activity::{Denied, Told};
use crate::admission::Admission;
use crate::clock::{Clock, Now};
use crate::collector::Collector;
use crate::config::{Config, Isolation};
use crate::events::{Crossing, Events};
use crate::hooks::{Authenticator, Client, Hook, Hooks, PublishEvent, Verdict};
use crate::identity::{Directory, Identity, SCRAM_SHA_256, Scram};
use crate::janitor::Janitor;
use crate::limits::{Caps, Denial, Drained, UnixMillis};
use crate::process;
use crate::relay::Relay;
use crate::router::{Message, Publisher, RetainOutcome, Signal, Space, pass_on, split_share};
use crate::session::{Parked, PendingWill, Released};
use crate::stats::Stats;
use crate::usage::{Load, Usage};
use crate::wire::QoS;

pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) config: ArcSwap<Config>,
    pub(crate) directory: ArcSwap<Directory>,
    accounts: RwLock<BTreeMap<Arc<str>, Arc<Account>>>,
    /// Profiles that a reload has taken away: their connections may count on until they have heard of it.
    gone: Mutex<Vec<Arc<Account>>>,
    pub(crate) hooks: Hooks,
    pub(crate) stats: Arc<Stats>,
    pub(crate) events: Events,
    pub(crate) janitor: Janitor,
    /// What was used over time, and who takes it there.
    pub(crate) usage: Arc<Usage>,
    pub(crate) collector: Collector,
    pub(crate) admission: Admission,
    /// Slow password checks: as many at a time as there are processors, so that they cannot crowd out memory.
    pub(crate) password_checks: Semaphore,
    /// Grows with each change of the configuration; connections compare it with the one they know.
    generation: AtomicU64,
    /// What the broker was started with: a reload does not move the profiles that are at work.
    isolation: Isolation,
    /// One space for all profiles, with `isolation: none`.
    common: Arc<Space>,
    /// Where messages are routed by someone else.
    pub(crate) relay: Option<Arc<Relay>>,
    next_connection: AtomicU64,
    pub(crate) shutdown: watch::Sender<bool>,
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        clock: Clock,
        hooks: Vec<Arc<dyn Hook>>,
        stats: Arc<Stats>,
        relay: Option<Arc<Relay>>,
        usage: Arc<Usage>,
    ) -> Arc<Self> {
        let parallel = std::thread::available_parallelism().map_or(1, usize::from);
        let events = Events::new(&config.events, Arc::clone(&stats), clock.clone());
        let hub = Hub {
            clock,
            events,
            directory: ArcSwap::from_pointee(Directory::new(&config)),
            accounts: RwLock::new(BTreeMap::new()),
            gone: Mutex::new(Vec::new()),
            hooks: Hooks::new(hooks),
            stats,
            janitor: Janitor::default(),
            usage,
            collector: Collector::default(),
            admission: Admission::default(),
            password_checks: Semaphore::new(parallel),
            generation: AtomicU64::new(0),
            isolation: config.isolation,
            common: Arc::default(),
            relay,
            next_connection: AtomicU64::new(1),
            shutdown: watch::Sender::new(false),
            config: ArcSwap::from_pointee(config),
        };
        hub.set_accounts(&hub.config.load());
        Arc::new(hub)
    }

    /// Puts another configuration in force: plans and limits at once, with the counts of the current windows kept; clients
    /// whose profile or device is no longer there are disconnected.
    pub(crate) fn reload(&self, config: Config) {
        let gone: Vec<Arc<Account>> = {
            let accounts = self.accounts.read();
            accounts.values().filter(|a| !config.profiles.contains_key(a.name())).cloned().collect()
        };
        self.directory.store(Arc::new(Directory::new(&config)));
        self.set_accounts(&config);
        self.events.configure(&config.events);
        self.config.store(Arc::new(config));
        self.generation.fetch_add(1, Ordering::Release);
        // Everyone looks at the new configuration now, and those who are not in it any more find out.
        self.wake_everyone();
        for account in gone {
            account.registry().connected().iter().for_each(|mailbox| mailbox.signal(Signal::Administrative));
        }
    }

    /// Has every connection look around.
    pub(crate) fn wake_everyone(&self) {
        for account in self.accounts() {
            account.registry().connected().iter().for_each(|mailbox| mailbox.wake());
        }
    }

    fn set_accounts(&self, config: &Config) {
        let mut accounts = self.accounts.write();
        let gone = accounts.extract_if(.., |name, _| !config.profiles.contains_key(name));
        self.gone.lock().extend(gone.map(|(_, account)| account));
        for (name, profile) in &config.profiles {
            match accounts.get(name) {
                Some(account) => account.update(profile),
                None => {
                    let space = match self.isolation {
                        Isolation::Profile => Arc::default(),
                        Isolation::None => Arc::clone(&self.common),
                    };
                    accounts.insert(Arc::clone(name), Arc::new(Account::new(profile, space)));
                }
            }
        }
    }

    pub(crate) fn account(&self, profile: &str) -> Option<Arc<Account>> {
        self.accounts.read().get(profile).cloned()
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.read().values().cloned().collect()
    }

    /// Hands over what every profile, and every device with rates of its own, has counted since the last time.
    pub(crate) fn drain(&self, now: UnixMillis, take: &mut impl FnMut(&Arc<str>, Option<&Arc<str>>, &mut Drained)) {
        let mut of =
            |account: &Account| account.drain(now, &mut |device, drained| take(account.name(), device, drained));
        self.accounts().iter().for_each(|account| of(account));
        self.gone.lock().retain(|account| {
            // Asked before: whoever let go of it in between has counted before that.
            let held = Arc::strong_count(account) > 1;
            of(account);
            held
        });
    }

    /// What the broker takes and has to do now.
    pub(crate) fn load(&self) -> Load {
        Load {
            cpu_micros: process::cpu_time().as_micros() as u64,
            memory: process::resident_memory().unwrap_or(0),
            connections: self.stats.connections.get(),
            messages_in: self.stats.messages_in(),
            messages_out: self.stats.messages_out(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Begins an exchange by an authentication method: a hook's, or the one that is built in.
    pub(crate) fn authenticator(&self, method: &str) -> Option<Box<dyn Authenticator>> {
        let built_in = || -> Option<Box<dyn Authenticator>> {
            (method == SCRAM_SHA_256).then(|| Box::new(Scram::new(self.directory.load_full())) as _)
        };
        self.hooks.authenticator(method).or_else(built_in)
    }

    /// The identity that an authentication method has found, whether its device is in the configuration or a hook's own.
    pub(crate) fn vouched(&self, profile: Arc<str>, device: Arc<str>) -> Identity {
        let config = self.config.load();
        let known = config.profiles.get(&profile).is_some_and(|profile| profile.devices.contains_key(&device));
        Identity { profile, device: Some(device), vouched: !known }
    }

    /// A number for a connection that no other has.
    pub(crate) fn connection_id(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a client that connected as `identity` may stay.
    pub(crate) fn still_holds(&self, identity: &Identity) -> bool {
        self.directory.load().holds(&self.config.load(), identity)
    }

    /// Counts a denial of a client's request, writes down what it was told, and tells who watches the profile's limits of the
    /// first in a window.
    pub(crate) fn denied(&self, client: &Client, denial: &Denial, told: Told) {
        let denied = of_client(client, denial, told);
        self.count_denial(&client.account, &denied, |now| client.activity.denied(now));
    }

    /// The same for a request over HTTP, such as the check API's: `who` is shown where a client identifier is for others.
    pub(crate) fn denied_over_http(&self, account: &Account, who: &str, device: Option<&Arc<str>>, denial: &Denial) {
        let denied = Denied { client_id: who, device, denial, told: Told::Http, version: None };
        self.count_denial(account, &denied, |now| {
            if device.is_some() {
                account.device_activity(device, now).denied(now);
            }
        });
    }

    fn count_denial(&self, account: &Account, denied: &Denied<'_>, of_device: impl FnOnce(UnixMillis)) {
        let now = self.clock.now().wall;
        self.stats.denied.add(1);
        self.stats.denials.count(&account.plan().name, &denied.denial.resource);
        of_device(now);
        account.record_denial(denied, now);
        if denied.denial.first {
            account.first_denial();
        }
    }

    /// A client that was denied too often in a window is disconnected: writes that down, as the denial itself was counted.
    pub(crate) fn disconnected_for(&self, client: &Client, denial: &Denial) {
        client.account.record_told(&of_client(client, denial, Told::Disconnected), self.clock.now().wall);
    }

    /// A limit is nearly or quite full: tells the log, who watches, and the webhook.
    pub(crate) fn crossed(&self, crossing: &Crossing) {
        self.events.crossed(crossing);
        if let Some(account) = self.account(&crossing.profile) {
            account.crossed(crossing);
        }
    }

    /// Keeps a message as its topic's retained one, as far as the plan's caps allow.
    pub(crate) fn retain(&self, account: &Account, caps: &Caps, message: &Message, now: Now) -> RetainOutcome {
        let outcome = account.space().retain(message, caps.max_retained_messages, caps.max_retained_bytes, now.mono);
        if outcome != RetainOutcome::Done {
            self.stats.dropped_retained_full.add(1);
        }
        outcome
    }

    /// Asks whether a will may be published, as any publish of its client, and counts it.
    pub(crate) fn ask_for_will(&self, will: &PendingWill, now: Now) -> WillMay {
        let PendingWill { client, message, .. } = will;
        let event = PublishEvent {
            topic: message.topic(),
            payload: message.payload(),
            qos: message.qos(),
            retain: message.retain(),
            will: true,
        };
        match self.hooks.publish(client, &event, now, || Verdict::Allow) {
            Verdict::Allow => {
                self.stats.add_received(message.qos(), 1, message.payload().len() as u64);
                client.activity.add(1, 0, now.wall);
                WillMay::BePublished
            }
            Verdict::Refuse(_) => {
                self.stats.dropped_refused.add(1);
                WillMay::Never
            }
            Verdict::Deny(denial) => {
                let waits = message.qos() != QoS::AtMostOnce && !denial.never_fits;
                self.denied(client, &denial, if waits { Told::Waits } else { Told::Dropped });
                if waits {
                    return WillMay::Later(now.mono + denial.resets_at.0.saturating_sub(now.wall.0).max(1));
                }
                self.stats.dropped_publish_limit.add(1);
                WillMay::Never
            }
        }
    }

    /// Publishes a will that may be.
    fn publish_will(&self, will: &PendingWill, now: Now) {
        let account = &will.client.account;
        let message = will.message.published(will.publisher, now.mono);
        if message.retain() {
            self.retain(account, &account.plan().caps, &message, now);
        }
        self.publish_once(account, &message);
    }

    /// Publishes a message that no connection does: to the profile's sessions, or by way of the backend.
    pub(crate) fn publish_once(&self, account: &Account, message: &Message) {
        match &self.relay {
            Some(relay) => relay.publish(account.name(), message),
            None => _ = Publisher::publish_once(account.space(), message, &self.stats),
        }
    }

    /// A connection lets its session go: to its heir, else it is kept (`Some`) until the janitor attends to it, or over (`None`).
    pub(crate) fn let_go(&self, account: &Arc<Account>, client_id: &str, owner: u64, parked: Option<Box<Parked>>) {
        let session = parked.as_ref().map(|parked| parked.session.mailbox().id());
        let released = account.registry().release(client_id, owner, parked);
        if let (Released::Parked(Some(due)), Some(session)) = (released, session) {
            self.janitor.enter(account, client_id, session, due);
        }
    }

    /// Has the backend forget a session whose time is over, and gives its client identifier back, which is `owner`'s meanwhile.
    pub(crate) fn forget_session(self: &Arc<Self>, account: &Arc<Account>, client_id: &str, owner: u64) {
        let Some(relay) = self.relay.clone() else { return };
        let (hub, account, client_id) = (Arc::clone(self), Arc::clone(account), Box::<str>::from(client_id));
        tokio::spawn(async move {
            relay.end_session(account.name(), &client_id, &hub.clock).await;
            account.registry().release(&client_id, owner, None);
        });
    }

    /// Ends a session for good: its subscriptions are removed, what it was owed is dropped, and a will that still waits is
    /// published.
    pub(crate) fn end_session(&self, account: &Account, mut parked: Parked, now: Now) {
        if let Some(will) = parked.will.take() {
            self.publish_due_will(will, now);
        }
        let session = parked.session;
        let mailbox = session.mailbox().id();
        for filter in session.filters() {
            let (share, filter) = split_share(filter);
            account.space().unsubscribe(filter, share, mailbox);
        }
        // What came by a shared subscription goes to another member, but for a QoS 2 message that was sent: that is lost with
        // its client [MQTT-4.8.2-5].
        let (shared, lost): (Vec<_>, Vec<_>) = session.end().into_iter().partition(|unfinished| {
            unfinished.delivery.group.is_some() && !(unfinished.sent && unfinished.delivery.qos == QoS::ExactlyOnce)
        });
        let shared = shared.into_iter().map(|unfinished| unfinished.delivery).collect();
        let left = pass_on(shared, mailbox, &self.stats);
        let lost = lost.into_iter().map(|unfinished| unfinished.delivery).chain(left);
        self.stats.dropped_session_ended.add(lost.count() as u64);
        self.stats.sessions.sub(1);
    }

    /// Publishes a will whose time has come; one that is over the limit waits with the janitor, and no longer with its session:
    /// that its client comes back does not undo it any more.
    pub(crate) fn publish_due_will(&self, will: PendingWill, now: Now) {
        match self.ask_for_will(&will, now) {
            WillMay::BePublished => self.publish_will(&will, now),
            WillMay::Later(due) => self.janitor.enter_will(PendingWill { due, ..will }, &self.stats),
            WillMay::Never => {}
        }
    }
}

fn of_client<'a>(client: &'a Client, denial: &'a Denial, told: Told) -> Denied<'a> {
    let version = Some(client.version);
    Denied { client_id: &client.client_id, device: client.device.as_ref(), denial, told, version }
}

/// What may become of a will.
pub(crate) enum WillMay {
    BePublished,
    /// It is over the limit until then (monotonic milliseconds). It is of QoS 1 or 2: it was accepted with its CONNECT, and is
    /// not dropped.
    Later(u64),
    /// It is refused, or over the limit and of QoS 0; that is counted.
    Never,
}
