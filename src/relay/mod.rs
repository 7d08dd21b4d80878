//! In place of session and router: an embedded rumqttd, or another broker. Each client gets a byte stream of its own to the
//! backend, on which MQTT is spoken as by a client; who is at the other end, a broker across the network or a router in this
//! process, nobody above this module needs to know. The edge asks for the streams and relays the packets: limits, rules and
//! hooks are its business and not known here.

mod embedded;
mod names;
mod opening;
mod steward;
mod stream;
mod upstream;

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;

pub(crate) use names::Names;
pub(crate) use opening::{Answer, Asking, NotOpened};
pub(crate) use stream::Stream;

use self::embedded::{Bounds, Embedded};
use self::steward::{Dial, Steward};
use self::upstream::{Dialer, DialerError};
use crate::clock::Clock;
use crate::config::{Backend, Config, Isolation};
use crate::router::Message;
use crate::stats::Stats;
use crate::wire::{Properties, PropertyBuf};

/// Sessions of the embedded router, connected or not: it makes room for all of them when it starts.
const MAX_SESSIONS: usize = 20_000;

/// Sessions that are ended at another broker at one time: many may expire together.
const ENDINGS: usize = 8;

/// The way to the backend. See the module's text.
pub(crate) struct Relay {
    backend: Kind,
    steward: Arc<Steward>,
    isolation: Isolation,
    /// Sessions that are ended at another broker at one time.
    endings: Semaphore,
}

enum Kind {
    Upstream(Arc<Dialer>),
    Embedded(Arc<EmbeddedDialer>),
}

/// The embedded router, as something that is dialled.
struct EmbeddedDialer(Arc<Embedded>);

impl Dial for EmbeddedDialer {
    type Stream = Stream;

    fn name(&self) -> &str {
        "rumqttd"
    }

    async fn dial(&self, _clock: &Clock, _timeout_ms: u64) -> io::Result<Stream> {
        Ok(Stream::Embedded(Box::new(self.0.connect())))
    }
}

/// The client identifier of Weir's own connection: two Weirs before one broker do not take each other's.
fn steward_id() -> String {
    let mut random = [0; 4];
    // Without randomness the number of the process tells two of one machine apart.
    if getrandom::fill(&mut random).is_err() {
        random = std::process::id().to_be_bytes();
    }
    format!("weir-{:08x}", u32::from_be_bytes(random))
}

impl Relay {
    /// The way to the backend that is configured; nothing where Weir routes messages itself.
    ///
    /// # Errors
    /// It cannot be used as it is configured.
    pub(crate) fn new(config: &Config, stats: &Arc<Stats>, clock: &Clock) -> Result<Option<Self>, DialerError> {
        let (backend, username, password) = match &config.backend {
            Backend::Native => return Ok(None),
            Backend::Rumqttd(bounds) => {
                let bounds = Bounds {
                    max_topics: bounds.max_topics,
                    max_filters: bounds.max_filters,
                    max_sessions: MAX_SESSIONS,
                };
                (Kind::Embedded(Arc::new(EmbeddedDialer(Embedded::start(bounds, Arc::clone(stats))))), None, None)
            }
            Backend::Mqtt(upstream) => {
                let dialer = Dialer::new(upstream)?;
                let (username, password) = (dialer.username().cloned(), dialer.password().cloned());
                (Kind::Upstream(Arc::new(dialer)), username, password)
            }
        };
        let steward = Steward::new(steward_id(), username, password, Arc::clone(stats), clock.clone());
        Ok(Some(Relay { backend, steward, isolation: config.isolation, endings: Semaphore::new(ENDINGS) }))
    }

    /// Keeps an eye on the backend, for as long as the broker runs. `on_lost` is called each time it is lost.
    pub(crate) async fn attend(&self, on_lost: impl Fn() + Send) {
        let steward = Arc::clone(&self.steward);
        match &self.backend {
            Kind::Upstream(dialer) => steward.run(Arc::clone(dialer), on_lost).await,
            Kind::Embedded(embedded) => steward.run(Arc::clone(embedded), on_lost).await,
        }
    }

    /// The names of a profile's topics and clients at the backend.
    pub(crate) fn names(&self, profile: &str) -> Names {
        Names::new(profile, self.isolation)
    }

    /// Whether the backend is another broker, across a network.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.backend, Kind::Upstream(_))
    }

    /// Whether the backend keeps wills and publishes them when it loses a client; else that is left to Weir.
    pub(crate) fn keeps_wills(&self) -> bool {
        self.is_remote()
    }

    /// Whether the backend answers.
    pub(crate) fn is_available(&self) -> bool {
        self.steward.is_available()
    }

    /// How often the backend was lost: a connection that was made before a loss is not any more.
    pub(crate) fn losses(&self) -> u64 {
        self.steward.losses()
    }

    /// Publishes a message of Weir's own, a will say, for a profile.
    pub(crate) fn publish(&self, profile: &str, message: &Message) {
        let names = self.names(profile);
        let mut own = PropertyBuf::new();
        let properties = names.properties(Properties::from_valid(message.properties()), &mut own);
        self.steward.publish(message.renamed(&names.topic(message.topic()), properties));
    }

    /// A session that was kept is over: the backend forgets it too. Where it is away, it is not asked again.
    pub(crate) async fn end_session(&self, profile: &str, client_id: &str, clock: &Clock) {
        let names = self.names(profile);
        match &self.backend {
            Kind::Embedded(embedded) => embedded.0.end_session(&names.client_id(client_id)),
            Kind::Upstream(_) => {
                // It lasts as long as the broker: it is never closed.
                let _permit = self.endings.acquire().await;
                self.end_by_clean_start(&names, client_id, clock).await;
            }
        }
    }
}
