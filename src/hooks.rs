//! What may be asked of an event: the moments at which a program that embeds Weir can look, and say no. The limits of the
//! plans are the first hook, built in; hooks of one's own are asked after it, in the order in which they were added. Called by
//! the edge on the thread that reads the packet: a hook must answer at once and never wait.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::account::Account;
use crate::activity::Device;
use crate::clock::Now;
use crate::limits::{Denial, DeviceMeters, Kind, Reading};
use crate::router::Message;
use crate::wire::{QoS, ReasonCode, SubscriptionOptions, Version};

/// What a hook may look at, and refuse. Every moment has a default that allows. It is asked on the threads that serve clients: it
/// must not wait, and must not give its thread away (`tokio::task::block_in_place`), as other clients' packets go out from there.
pub trait Hook: Send + Sync + 'static {
    /// A client with good credentials asks to connect.
    fn connect(&self, _client: &Client, _now: Now) -> Verdict {
        Verdict::Allow
    }

    /// A client publishes, or its will is about to be. A QoS 2 message that is sent again is not asked about again.
    fn publish(&self, _client: &Client, _publish: &PublishEvent<'_>, _now: Now) -> Verdict {
        Verdict::Allow
    }

    /// A client sends a SUBSCRIBE packet; the verdict is for all its filters.
    fn subscribe(&self, _client: &Client, _now: Now) -> Verdict {
        Verdict::Allow
    }

    /// One filter of a SUBSCRIBE packet; the verdict is for this filter alone.
    fn filter(&self, _client: &Client, _filter: &str, _options: SubscriptionOptions, _now: Now) -> Verdict {
        Verdict::Allow
    }

    /// A message is about to be sent to a client. Refused it is dropped; denied it is dropped or waits, as the plan says.
    fn deliver(&self, _client: &Client, _deliver: &DeliverEvent<'_>, _now: Now) -> Verdict {
        Verdict::Allow
    }

    /// An MQTT 5 client asks for enhanced authentication by a method (section 4.12): an exchange by that method, or nothing
    /// where this hook does not know it. SCRAM-SHA-256 is built in, for devices with `scram` keys.
    fn authenticator(&self, _method: &str) -> Option<Box<dyn Authenticator>> {
        None
    }

    /// A client that was connected is gone. `reason` is Normal disconnection where it said goodbye.
    fn disconnect(&self, _client: &Client, _reason: ReasonCode, _now: Now) {}
}

/// One exchange of an authentication method.
pub trait Authenticator: Send {
    /// Takes the Authentication Data of a CONNECT or AUTH packet (empty where there was none), and says how it goes on.
    fn step(&mut self, data: &[u8]) -> AuthStep;
}

/// How an exchange goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStep {
    /// The client is sent this data, and must answer.
    Continue(Vec<u8>),
    /// The client is this device of this profile; it is sent this data with the success.
    Succeed {
        /// A profile of the configuration.
        profile: Arc<str>,
        /// A device of the profile, or a name that is known to the hook only.
        device: Arc<str>,
        /// Authentication Data.
        data: Vec<u8>,
    },
    /// It is not who it says it is.
    Fail,
}

/// A hook's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Over a limit: the client is told what was exceeded and when to come back.
    Deny(Box<Denial>),
    /// Not allowed, for a reason that time does not mend.
    Refuse(Refusal),
}

/// Why something is refused, as MQTT 5 clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason code; one that the acknowledgement in question may carry, 0x80 or above.
    pub code: ReasonCode,
    /// The Reason String.
    pub reason: Cow<'static, str>,
}

impl Verdict {
    /// Refuses with this reason code and Reason String.
    pub fn refuse(code: ReasonCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Verdict::Refuse(Refusal { code, reason: reason.into() })
    }

    fn and_then(self, next: impl FnOnce() -> Verdict) -> Verdict {
        match self {
            Verdict::Allow => next(),
            no => no,
        }
    }
}

impl From<Result<(), Denial>> for Verdict {
    #[inline]
    fn from(admitted: Result<(), Denial>) -> Self {
        match admitted {
            Ok(()) => Verdict::Allow,
            Err(denial) => Verdict::Deny(Box::new(denial)),
        }
    }
}

/// Who an event is about.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) account: Arc<Account>,
    pub(crate) device: Option<Arc<str>>,
    pub(crate) meters: Option<Arc<DeviceMeters>>,
    /// What all clients of its device do together.
    pub(crate) activity: Arc<Device>,
    pub(crate) client_id: Box<str>,
    pub(crate) version: Version,
    /// Address and port, which take less room than a socket address.
    pub(crate) peer: Option<(IpAddr, u16)>,
}

impl Client {
    /// The profile whose device it is.
    pub fn profile(&self) -> &str {
        self.account.name()
    }

    /// The device whose credentials it gave; nothing for an anonymous client.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Its client identifier, assigned if it gave none.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The version of MQTT it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where it connects from, without the scope of a link-local address; nothing over a Unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.map(SocketAddr::from)
    }

    /// What its profile has used.
    pub fn readings(&self, now: Now) -> Vec<Reading> {
        self.account.meters().readings(now.wall)
    }
}

/// A message that a client wants published.
#[derive(Clone, Copy, Debug)]
pub struct PublishEvent<'a> {
    /// The topic name, with any alias resolved.
    pub topic: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// The QoS it is published with.
    pub qos: QoS,
    /// Whether it asks to be retained.
    pub retain: bool,
    /// Whether it is a will.
    pub will: bool,
}

/// A message that is about to be sent to a client.
#[derive(Clone, Copy)]
pub struct DeliverEvent<'a> {
    pub(crate) what: Delivered<'a>,
    pub(crate) qos: QoS,
}

/// A message of the router's, or one that is relayed.
#[derive(Clone, Copy)]
pub(crate) enum Delivered<'a> {
    Message(&'a Message),
    Relayed { topic: &'a str, payload: &'a [u8] },
}

impl DeliverEvent<'_> {
    /// The topic name.
    pub fn topic(&self) -> &str {
        match self.what {
            Delivered::Message(message) => message.topic(),
            Delivered::Relayed { topic, .. } => topic,
        }
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        match self.what {
            Delivered::Message(message) => message.payload(),
            Delivered::Relayed { payload, .. } => payload,
        }
    }

    /// The QoS it is delivered with.
    pub fn qos(&self) -> QoS {
        self.qos
    }
}

impl fmt::Debug for DeliverEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliverEvent").field("topic", &self.topic()).field("qos", &self.qos).finish_non_exhaustive()
    }
}

/// The limits of the plans, as a hook.
#[derive(Debug)]
struct PlanLimits;

impl Hook for PlanLimits {
    fn connect(&self, client: &Client, now: Now) -> Verdict {
        admit(client, Kind::Connect, 0, now)
    }

    #[inline]
    fn publish(&self, client: &Client, publish: &PublishEvent<'_>, now: Now) -> Verdict {
        admit(client, Kind::Publish, publish.payload.len(), now)
    }

    fn subscribe(&self, client: &Client, now: Now) -> Verdict {
        admit(client, Kind::Subscribe, 0, now)
    }

    #[inline]
    fn deliver(&self, client: &Client, deliver: &DeliverEvent<'_>, now: Now) -> Verdict {
        admit(client, Kind::Receive, deliver.payload().len(), now)
    }
}

#[inline]
fn admit(client: &Client, kind: Kind, bytes: usize, now: Now) -> Verdict {
    client.account.meters().admit(client.meters.as_deref(), kind, bytes as u64, now.wall).into()
}

/// All hooks, in the order in which they are asked: the limits first. A later hook is asked only about what the earlier ones
/// have allowed.
pub(crate) struct Hooks {
    limits: PlanLimits,
    others: Box<[Arc<dyn Hook>]>,
}

impl Hooks {
    pub(crate) fn new(others: Vec<Arc<dyn Hook>>) -> Self {
        Hooks { limits: PlanLimits, others: others.into_boxed_slice() }
    }

    fn ask(&self, first: Verdict, moment: impl Fn(&dyn Hook) -> Verdict) -> Verdict {
        self.others.iter().fold(first, |verdict, hook| verdict.and_then(|| moment(hook.as_ref())))
    }

    pub(crate) fn authenticator(&self, method: &str) -> Option<Box<dyn Authenticator>> {
        self.others.iter().find_map(|hook| hook.authenticator(method))
    }

    pub(crate) fn connect(&self, client: &Client, now: Now) -> Verdict {
        self.ask(self.limits.connect(client, now), |hook| hook.connect(client, now))
    }

    /// `allowed` is what the access rules say: asked after the limits, as a publish counts that is sent, allowed or not.
    #[inline]
    pub(crate) fn publish(
        &self,
        client: &Client,
        publish: &PublishEvent<'_>,
        now: Now,
        allowed: impl FnOnce() -> Verdict,
    ) -> Verdict {
        let first = self.limits.publish(client, publish, now).and_then(allowed);
        self.ask(first, |hook| hook.publish(client, publish, now))
    }

    /// As [`publish`](Self::publish), for what was not published over MQTT and is counted elsewhere.
    pub(crate) fn publish_uncounted(
        &self,
        client: &Client,
        publish: &PublishEvent<'_>,
        now: Now,
        allowed: impl FnOnce() -> Verdict,
    ) -> Verdict {
        self.ask(allowed(), |hook| hook.publish(client, publish, now))
    }

    pub(crate) fn subscribe(&self, client: &Client, now: Now) -> Verdict {
        self.ask(self.limits.subscribe(client, now), |hook| hook.subscribe(client, now))
    }

    /// `allowed` is what the access rules say.
    pub(crate) fn filter(
        &self,
        client: &Client,
        filter: &str,
        options: SubscriptionOptions,
        now: Now,
        allowed: impl FnOnce() -> Verdict,
    ) -> Verdict {
        self.ask(allowed(), |hook| hook.filter(client, filter, options, now))
    }

    #[inline]
    pub(crate) fn deliver(&self, client: &Client, deliver: &DeliverEvent<'_>, now: Now) -> Verdict {
        self.ask(self.limits.deliver(client, deliver, now), |hook| hook.deliver(client, deliver, now))
    }

    pub(crate) fn disconnect(&self, client: &Client, reason: ReasonCode, now: Now) {
        for hook in &self.others {
            hook.disconnect(client, reason, now);
        }
    }
}
