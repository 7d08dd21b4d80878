//! What an operator allows: a [`Plan`] names the rates of each [`Resource`], what to do when one is exceeded, and the
//! caps on what may be held at once.
//!
//! `config` builds plans; identity hands them to connections. A plan is plain data that says what is allowed: it never
//! counts what was used, which is the meters' part.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Rate;

/// What a limit counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Resource {
    /// Each CONNECT whose credentials are good.
    Connect,
    /// Each PUBLISH that a client sends, a will that is published included.
    Publish,
    /// Each PUBLISH that the broker sends to a client; a redelivery is not a second one.
    Receive,
    /// Each SUBSCRIBE packet.
    Subscribe,
    /// The payload bytes of what `Publish` counts.
    PublishBytes,
    /// The payload bytes of what `Receive` counts.
    ReceiveBytes,
    /// A name of the operator's own, holding a `/`, such as `POST /data`: whatever a caller of the check API asks for.
    Named(Arc<str>),
}

impl Resource {
    /// Every resource that MQTT itself uses.
    pub const BUILT_IN: [Self; 6] =
        [Self::Connect, Self::Publish, Self::Receive, Self::Subscribe, Self::PublishBytes, Self::ReceiveBytes];

    /// Whether bytes are counted, so that its rates may be written in KiB, MiB and GiB.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::PublishBytes | Self::ReceiveBytes)
    }

    /// As written in `broker.yaml` and told to clients.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Receive => "receive",
            Self::Subscribe => "subscribe",
            Self::PublishBytes => "publish_bytes",
            Self::ReceiveBytes => "receive_bytes",
            Self::Named(name) => name,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text names no resource, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no resource: use connect, publish, receive, subscribe, publish_bytes, receive_bytes, \
     or a name of your own with a `/` in it, such as `POST /data`, of up to 128 characters"
)]
pub struct ResourceError(String);

impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        if let Some(known) = Self::BUILT_IN.into_iter().find(|known| known.as_str() == text) {
            return Ok(known);
        }
        // A name ends up in user properties, metrics and tables, so it is bounded and printable.
        let well_formed = text.contains('/')
            && text.trim() == text
            && text.chars().count() <= 128
            && !text.chars().any(char::is_control);
        if well_formed { Ok(Self::Named(text.into())) } else { Err(ResourceError(text.into())) }
    }
}

/// The rates of each resource. All rates of a resource hold at once; a resource without an entry is unlimited.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Limits(pub BTreeMap<Resource, Vec<Rate>>);

impl Limits {
    /// The rates that hold for `resource`; empty where it is unlimited.
    pub fn rates(&self, resource: &Resource) -> &[Rate] {
        self.0.get(resource).map_or(&[], Vec::as_slice)
    }

    /// These limits laid over those of a plan: a resource named here has the rates given here and none of the plan's.
    pub fn over(&self, plan: &Limits) -> Limits {
        let mut merged = plan.0.clone();
        merged.extend(self.0.iter().map(|(resource, rates)| (resource.clone(), rates.clone())));
        Limits(merged)
    }
}

/// What a PUBLISH over the limit meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnPublish {
    /// It is answered with the denial, or dropped where MQTT has no answer.
    #[default]
    Deny,
    /// The client is disconnected.
    Disconnect,
    /// The client's socket is not read until the window ends.
    Pause,
}

/// What a delivery over the limit meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnReceive {
    /// QoS 1 and 2 wait for the next window; QoS 0 is dropped.
    #[default]
    Defer,
    /// It is dropped and counted, whatever its QoS.
    Drop,
    /// The client is disconnected.
    Disconnect,
}

/// Bounds on what may be held at once, beside the rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections of the profile at one time; `None` is no bound.
    pub max_connections: Option<u64>,
    /// Subscriptions of one client.
    pub max_subscriptions: usize,
    /// Messages that wait in one session.
    pub max_queued_messages: usize,
    /// Bytes that wait in one session.
    pub max_queued_bytes: u64,
    /// Retained messages of the profile.
    pub max_retained_messages: usize,
    /// Bytes of the profile's retained messages.
    pub max_retained_bytes: u64,
    /// The largest packet in bytes; `None` is the broker's own `mqtt.max_packet_size`.
    pub max_packet_size: Option<u32>,
    /// Unacknowledged deliveries to one client; `None` is the broker's own `mqtt.max_inflight`.
    pub max_inflight: Option<u16>,
    /// Levels of a topic name or filter.
    pub max_topic_levels: usize,
    /// Seconds a session outlives its connection; `None` is the broker's own `mqtt.max_session_expiry`.
    pub max_session_expiry: Option<u32>,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_subscriptions: 1_000,
            max_queued_messages: 10_000,
            max_queued_bytes: 8 << 20,
            max_retained_messages: 10_000,
            max_retained_bytes: 64 << 20,
            max_packet_size: None,
            max_inflight: None,
            max_topic_levels: 32,
            max_session_expiry: None,
        }
    }
}

/// A named set of limits that profiles are put on. The default is a plan named "" that limits nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its key in `broker.yaml`.
    pub name: Arc<str>,
    /// The rates of a profile, added up over all its clients.
    pub limits: Limits,
    /// The rates of each single device, beside those of its profile.
    pub per_device: Limits,
    /// What a PUBLISH over the limit meets.
    pub on_publish: OnPublish,
    /// What a delivery over the limit meets.
    pub on_receive: OnReceive,
    /// So many denials of one client in one window end its connection.
    pub disconnect_after: u32,
    /// `false` counts and reports, and denies nothing.
    pub enforce: bool,
    /// Whether a payload that claims to be UTF-8 is checked to be.
    pub check_payload_format: bool,
    /// What may be held at once.
    pub caps: Caps,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: "".into(),
            limits: Limits::default(),
            per_device: Limits::default(),
            on_publish: OnPublish::default(),
            on_receive: OnReceive::default(),
            disconnect_after: 1_000,
            enforce: true,
            check_payload_format: false,
            caps: Caps::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(entries: &[(&str, &[&str])]) -> Limits {
        Limits(
            entries
                .iter()
                .map(|(resource, rates)| {
                    let rates = rates.iter().map(|rate| rate.parse().unwrap()).collect();
                    (resource.parse().unwrap(), rates)
                })
                .collect(),
        )
    }

    #[test]
    fn limits_over_a_plan_replace_it_resource_by_resource() {
        let plan = limits(&[("connect", &["100/min"]), ("publish", &["100/s", "5_000/min"])]);
        let own = limits(&[("publish", &["7_500/min"]), ("POST /data", &["1/s"])]);
        let merged = limits(&[("connect", &["100/min"]), ("publish", &["7_500/min"]), ("POST /data", &["1/s"])]);
        assert_eq!(own.over(&plan), merged);
        assert_eq!(Limits::default().over(&plan), plan);
    }

    #[test]
    fn a_resource_without_an_entry_is_unlimited() {
        assert!(Limits::default().rates(&Resource::Publish).is_empty());
        let plan = limits(&[("publish", &["100/s", "5_000/min"])]);
        assert_eq!(plan.rates(&Resource::Publish).len(), 2);
    }

    #[test]
    fn a_resource_is_one_of_mqtt_or_a_name_that_holds_a_slash() {
        for known in Resource::BUILT_IN {
            assert_eq!(known.as_str().parse(), Ok(known));
        }
        assert_eq!("POST /data".parse(), Ok(Resource::Named("POST /data".into())));
        let long = format!("/{}", "a".repeat(128));
        for text in ["", "conect", "Publish", " /data", "/data\n", long.as_str()] {
            assert!(text.parse::<Resource>().is_err(), "{text:?} was read as a resource");
        }
    }

    #[test]
    fn only_the_byte_resources_count_bytes() {
        let bytes: Vec<_> = Resource::BUILT_IN.into_iter().filter(Resource::is_bytes).collect();
        assert_eq!(bytes, [Resource::PublishBytes, Resource::ReceiveBytes]);
    }
}
