//! The `mqtt` and `admission` sections: what holds for every client of the broker, whatever its profile.
//!
//! Called by the reader of the whole file. Every key has a default that suits 10,000 devices on 1 vCPU and 2 GB.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::Report;
use super::fields::Fields;
use super::plans::read_rate;
use super::scalars::{boolean, duration, seconds, size, whole};
use super::tree::Node;
use crate::limits::{Rate, Window};

/// What the largest packet may measure in bytes: from what a small CONNECT fits in, to the most that MQTT's length
/// field can announce, with its header (section 2.1.4 of MQTT 5).
pub(super) const PACKET_SIZES: RangeInclusive<u32> = 64..=268_435_460;

/// What of MQTT is offered, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// The largest packet that is read or written, in bytes.
    pub max_packet_size: u32,
    /// The longest keep-alive, in seconds; 0 is no bound.
    pub max_keep_alive: u16,
    /// The longest a session outlives its connection, in seconds.
    pub max_session_expiry: u32,
    /// Unacknowledged publishes that one client may have open with the broker.
    pub receive_maximum: u16,
    /// Topic aliases that one client may use; 0 is none.
    pub topic_alias_maximum: u16,
    /// Unacknowledged deliveries that the broker has open with one client.
    pub max_inflight: u16,
    /// The highest QoS: 0, 1 or 2.
    pub max_qos: u8,
    /// Whether retained messages are kept.
    pub retain: bool,
    /// Whether `$share/…` subscriptions are accepted.
    pub shared_subscriptions: bool,
    /// Whether `+` and `#` in subscriptions are accepted.
    pub wildcard_subscriptions: bool,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            max_packet_size: 1 << 20,
            max_keep_alive: 0,
            max_session_expiry: 7 * 86_400,
            receive_maximum: 1_024,
            topic_alias_maximum: 64,
            max_inflight: 1_024,
            max_qos: 2,
            retain: true,
            shared_subscriptions: true,
            wildcard_subscriptions: true,
        }
    }
}

/// Who gets as far as a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Connections of all profiles at one time; 0 is no bound.
    pub max_connections: usize,
    /// The longest from the first byte to a complete CONNECT.
    pub handshake_timeout: Duration,
    /// CONNECTs with bad credentials from one address.
    pub failed_connects_per_ip: Rate,
    /// Connections from one address; `None` is no limit.
    pub connects_per_ip: Option<Rate>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            max_connections: 0,
            handshake_timeout: Duration::from_secs(10),
            failed_connects_per_ip: Rate::new(60, Window::Minute),
            connects_per_ip: None,
        }
    }
}

pub(super) fn read_mqtt(node: &Node, report: &mut Report<'_>) -> Mqtt {
    let mut mqtt = Mqtt::default();
    let mut fields = Fields::of(node, "mqtt", report);
    fields.set("max_packet_size", &mut mqtt.max_packet_size, report, size(PACKET_SIZES));
    fields.set("max_keep_alive", &mut mqtt.max_keep_alive, report, seconds(u16::MAX));
    fields.set("max_session_expiry", &mut mqtt.max_session_expiry, report, seconds(u32::MAX));
    fields.set("receive_maximum", &mut mqtt.receive_maximum, report, whole(1..=u16::MAX));
    fields.set("topic_alias_maximum", &mut mqtt.topic_alias_maximum, report, whole(0..=u16::MAX));
    fields.set("max_inflight", &mut mqtt.max_inflight, report, whole(1..=u16::MAX));
    fields.set("max_qos", &mut mqtt.max_qos, report, whole(0..=2));
    fields.set("retain", &mut mqtt.retain, report, boolean);
    fields.set("shared_subscriptions", &mut mqtt.shared_subscriptions, report, boolean);
    fields.set("wildcard_subscriptions", &mut mqtt.wildcard_subscriptions, report, boolean);
    fields.finish(report);
    mqtt
}

pub(super) fn read_admission(node: &Node, report: &mut Report<'_>) -> Admission {
    let mut admission = Admission::default();
    let mut fields = Fields::of(node, "admission", report);
    let connections = whole(0..=usize::MAX);
    fields.set("max_connections", &mut admission.max_connections, report, connections);
    fields.set("handshake_timeout", &mut admission.handshake_timeout, report, timeout);
    if let Some(node) = fields.take("failed_connects_per_ip")
        && let Some(rate) = read_rate(node, false, report)
    {
        admission.failed_connects_per_ip = rate;
    }
    if let Some(node) = fields.take("connects_per_ip") {
        admission.connects_per_ip = read_rate(node, false, report);
    }
    fields.finish(report);
    admission
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a timeout of 0 would let nobody in; give it at least 1ms".into()),
        timeout => Ok(timeout),
    }
}
