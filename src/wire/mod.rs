//! MQTT on the wire: bytes to packets and packets to bytes, for MQTT 3.1, 3.1.1 and 5.
//!
//! The connection loop finds a frame with [`frame_header`], turns its body into a [`Packet`] that borrows from it, and
//! writes its answers with [`Packet::encode`] or, where every byte counts, [`put_publish`] and [`put_ack`]. What decodes
//! is valid: every rule that a single packet can break is checked here, and a [`WireError`] names the rule. Nothing in
//! this module does I/O, reads a clock, keeps state between packets or allocates while it decodes.

use std::{fmt, num::NonZeroU16};

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod error;
mod frame;
mod kind;
mod packet;
mod properties;
mod property;
mod publish;
mod reader;
mod reason;
mod suback;
mod subscribe;
mod topic;
mod unsuback;
mod unsubscribe;
mod writer;

pub use ack::{Ack, AckKind, put_ack, put_pubrel_again};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use error::{TopicFault, WireError};
pub use frame::{FrameHeader, frame_header};
pub use kind::PacketKind;
pub use packet::Packet;
pub use properties::{Properties, PropertyBuf, PropertyIter};
pub use property::Property;
pub use publish::{Publish, publish_len, put_publish};
pub use reason::{ConnectReturnCode, ReasonCode};
pub use suback::SubAck;
pub use subscribe::{Filters, FiltersBuf, RetainHandling, Subscribe, SubscriptionOptions};
pub use topic::{SharedFilter, levels, matches, validate_topic_filter, validate_topic_name};
pub use unsuback::UnsubAck;
pub use unsubscribe::{Topics, TopicsBuf, Unsubscribe};
pub use writer::{put_varint, varint_len};

/// The most bytes that can follow the fixed header: what four bytes of seven bits can say (section 2.1.4).
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// What ties an acknowledgement to its packet; never 0 (section 2.2.1).
pub type PacketId = NonZeroU16;

/// The protocol version of a connection, from the protocol name and level in its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1: `MQIsdp`, level 3.
    V3,
    /// MQTT 3.1.1: `MQTT`, level 4.
    V4,
    /// MQTT 5: `MQTT`, level 5.
    V5,
}

impl Version {
    /// The protocol level byte of CONNECT.
    pub fn level(self) -> u8 {
        match self {
            Version::V3 => 3,
            Version::V4 => 4,
            Version::V5 => 5,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V3 => "3.1",
            Version::V4 => "3.1.1",
            Version::V5 => "5",
        })
    }
}

/// How hard sender and receiver try to deliver a message (section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: sent once, not acknowledged.
    AtMostOnce = 0,
    /// QoS 1: sent until acknowledged.
    AtLeastOnce = 1,
    /// QoS 2: a two-step acknowledgement rules out duplicates.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS that these bits stand for; `None` for 3, which stands for none, and above.
    pub fn from_bits(bits: u8) -> Option<QoS> {
        match bits {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}
