//! The broker as a program sees it: built from a configuration, started on its listeners, reloaded and shut down. It owns the
//! listeners and the tasks; what connections share is in the hub.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::admin::{Added, AddedError, Admin, AdminToken, Server, TokenError, metrics, model};
use crate::clock::Clock;
use crate::collector::{self, Collector};
use crate::config::{Config, Place};
use crate::edge;
use crate::hooks::Hook;
use crate::hub::Hub;
use crate::janitor::Janitor;
use crate::limits::Reading;
use crate::net::{BoundAddress, Listener};
use crate::relay::Relay;
use crate::router::Signal;
use crate::stats::{Figures, Stats};
use crate::store::StoreError;
use crate::usage::Usage;

/// How long connections may take to say goodbye when the broker shuts down.
const GOODBYE: Duration = Duration::from_secs(8);
/// How long the disk may take then.
const LAST_WRITE: Duration = Duration::from_millis(1_500);
/// How long a listener rests after the system would not accept (out of file descriptors, say).
const REST: Duration = Duration::from_millis(50);

/// A broker that is being put together.
pub struct Builder {
    config: Config,
    clock: Clock,
    hooks: Vec<Arc<dyn Hook>>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error("{place}: error: cannot listen on {address}: {source}{}", hint(.source))]
    Listen {
        /// Where the configuration names it.
        place: Place,
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no admin token: the one in `data_dir` cannot be read, or none can be made.
    #[error("error: {0}")]
    AdminToken(#[from] TokenError),
    /// The devices that were added over HTTP cannot be read.
    #[error("error: {0}")]
    AddedDevices(#[from] AddedError),
    /// The backend cannot be used as it is configured: a file of its TLS, say.
    #[error("error: cannot use the backend {backend}: {source}")]
    Backend {
        /// Its URL without credentials, or its name.
        backend: String,
        /// What is wrong and what to do.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What survives a restart cannot be kept where the configuration wants it.
    #[error("error: `data_dir: {}`: {source}", .data_dir.display())]
    Store {
        /// The directory.
        data_dir: PathBuf,
        /// What is wrong and what to do.
        source: StoreError,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose a higher one",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: 0.0.0.0 stands for all it has",
        _ => "",
    }
}

impl Builder {
    /// Adds a hook; hooks are asked in the order in which they were added, after the limits.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Uses another clock than the system's: tests choose the minute with it.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Binds every listener and begins to serve. Must be called within a Tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// A listener that cannot be bound, a `data_dir` that cannot be used; then nothing was started.
    pub async fn start(mut self) -> Result<Broker, StartError> {
        let data_dir = self.config.data_dir.clone();
        let unusable = |source| StartError::Store { data_dir: data_dir.clone().unwrap_or_default(), source };
        let directory = data_dir.clone();
        let usage = wait_for_disk(move || Usage::open(directory.as_deref())).await.map_err(unusable)?;
        let added = Arc::new(Added::open(self.config.data_dir.as_deref())?);
        added.lay_into(&mut self.config);
        let mut listeners = Vec::new();
        for wanted in &self.config.listeners {
            let error = |source| StartError::Listen {
                place: wanted.place.clone(),
                address: wanted.address.to_string(),
                source,
            };
            let listener = Listener::bind(&wanted.address, wanted.protocol).map_err(error)?;
            let address = listener.address().map_err(error)?;
            listeners.push((listener, address));
        }
        let admin = match &self.config.admin {
            None => None,
            Some(admin) => {
                let bound = Server::bind(admin.address).map_err(|source| StartError::Listen {
                    place: admin.place.clone(),
                    address: admin.address.to_string(),
                    source,
                })?;
                Some((bound, AdminToken::obtain(self.config.data_dir.as_deref())?))
            }
        };
        let stats = Arc::<Stats>::default();
        let relay = Relay::new(&self.config, &stats, &self.clock).map_err(|source| StartError::Backend {
            backend: self.config.backend.to_string(),
            source: source.into(),
        })?;
        let relay = relay.map(Arc::new);
        let hub = Hub::new(self.config, self.clock, self.hooks, stats, relay.clone(), Arc::new(usage));
        let (restored, begun) = (Arc::clone(&hub), hub.clock.now().mono);
        wait_for_disk(move || collector::begin(&restored)).await.map_err(unusable)?;
        let addresses = listeners.iter().map(|(_, address)| address.clone()).collect();
        let mut tasks = JoinSet::new();
        for (listener, _) in listeners {
            tasks.spawn(accept(Arc::clone(&hub), listener));
        }
        tasks.spawn(Janitor::run(Arc::clone(&hub)));
        tasks.spawn(Collector::run(Arc::clone(&hub), begun));
        if let Some(relay) = relay {
            let clients = Arc::clone(&hub);
            tasks.spawn(async move { relay.attend(move || clients.wake_everyone()).await });
        }
        let admin =
            admin.map(|(bound, token)| Server::start(bound, &Admin::new(Arc::clone(&hub), Arc::clone(&added), token)));
        Ok(Broker { hub, addresses, tasks, added, admin })
    }
}

/// Does what waits for a disk, on a thread that may.
async fn wait_for_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A broker that serves. Dropping it stops its listeners at once; [`Broker::shutdown`] says goodbye first.
pub struct Broker {
    hub: Arc<Hub>,
    addresses: Vec<BoundAddress>,
    tasks: JoinSet<()>,
    added: Arc<Added>,
    admin: Option<Server>,
}

impl Broker {
    /// Begins to put together a broker with this configuration.
    pub fn builder(config: Config) -> Builder {
        Builder { config, clock: Clock::system(), hooks: Vec::new() }
    }

    /// For the crate's own tests of what the hub does to clients.
    #[cfg(test)]
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// Where the dashboard, API and metrics are; nothing where the configuration has no `admin`.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Server::address)
    }

    /// Puts another configuration in force while clients are connected: plans, profiles, devices and rules at once, with the
    /// counts of the current windows kept. Some settings need a restart: tells the keys of those that differ.
    pub fn reload(&self, config: Config) -> Vec<&'static str> {
        let addresses = |config: &Config| config.listeners.iter().map(|l| l.address.clone()).collect::<Vec<_>>();
        let old = self.hub.config.load_full();
        let differ = [
            ("listeners", addresses(&config) != addresses(&old)),
            ("admin", config.admin.as_ref().map(|a| a.address) != old.admin.as_ref().map(|a| a.address)),
            ("data_dir", config.data_dir != old.data_dir),
            ("backend", config.backend != old.backend),
            ("isolation", config.isolation != old.isolation),
        ];
        self.added.reload(&self.hub, config);
        differ.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// What a profile has used in the current windows; nothing if there is no such profile.
    pub fn readings(&self, profile: &str) -> Option<Vec<Reading>> {
        let account = self.hub.account(profile)?;
        Some(account.meters().readings(self.hub.clock.now().wall))
    }

    /// What a device with rates of its own has used; nothing if the profile or the device's rates are not there.
    pub fn device_readings(&self, profile: &str, device: &str) -> Option<Vec<Reading>> {
        let readings = self.hub.account(profile)?.device_readings(device, self.hub.clock.now().wall);
        (!readings.is_empty()).then_some(readings)
    }

    /// What was used and denied over time, and what the broker took for it.
    pub fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.hub.usage)
    }

    /// The broker's own figures: connections, messages, and what was dropped and why.
    pub fn figures(&self) -> Figures {
        self.hub.stats.snapshot()
    }

    /// What each device of a profile did that was there in the last hour, in no order; nothing if there is no such profile.
    pub fn activity(&self, profile: &str) -> Option<Vec<model::DeviceActivity>> {
        Some(self.hub.account(profile)?.activity(self.hub.clock.now().wall))
    }

    /// The last denials of a profile as its clients saw them, the newest first, at most 50; nothing if there is no such profile.
    pub fn denials(&self, profile: &str) -> Option<Vec<model::Denial>> {
        Some(self.hub.account(profile)?.denials())
    }

    /// The broker's metrics in the text format of OpenMetrics, as Prometheus reads them. Looks at every session: not for
    /// a thread that serves clients.
    pub fn metrics(&self) -> String {
        metrics::render(&self.hub)
    }

    /// Stops accepting, tells every client (DISCONNECT 0x8B in MQTT 5), lets what is written be written, and ends within ten
    /// seconds.
    pub async fn shutdown(mut self) {
        self.hub.shutdown.send_replace(true);
        self.tasks.shutdown().await;
        let goodbye = async {
            loop {
                for account in self.hub.accounts() {
                    account.registry().connected().iter().for_each(|mailbox| mailbox.signal(Signal::Shutdown));
                }
                if self.hub.stats.connections.get() == 0 {
                    return;
                }
                // Connections end by themselves; those in their handshake only now become known to the registry.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            tracing::warn!(connections = self.hub.stats.connections.get(), "not every client took its goodbye in time");
        }
        let hub = Arc::clone(&self.hub);
        let last = tokio::time::timeout(LAST_WRITE, wait_for_disk(move || hub.collector.collect(&hub, true)));
        if last.await.is_err() {
            tracing::error!("the disk did not take the last counts in time");
        }
        self.hub.events.finish().await;
        if let Some(admin) = self.admin.take() {
            admin.end().await;
        }
    }
}

/// Accepts connections for as long as the broker runs.
async fn accept(hub: Arc<Hub>, listener: Listener) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let since = hub.clock.now().mono;
                tokio::spawn(edge::serve(Arc::clone(&hub), stream, since));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
