//! One MQTT connection, as the load test sees it: rumqttc's two clients (MQTT 5 and 3.1.1) behind one face, with their
//! events turned into what is counted. Called by `drive` and the parts it drives. It must never hide a refusal: what the
//! broker said is passed on, and so is what rumqttc did of itself.

mod v311;
mod v5;

use std::time::Duration;

use crate::options::{Options, Protocol};
use crate::stamp::Stamp;

/// Long enough that a broker may pause reading until the minute ends without rumqttc missing a ping response.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// How long a broker keeps the session of a client that is gone (MQTT 5); the wait for a window is shorter.
const SESSION_EXPIRY: u32 = 300;

/// What the broker refused, and what it said of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Denial {
    /// The packet that said so, such as `PUBACK`.
    pub packet: &'static str,
    pub code: u8,
    /// The `resource` property; what the packet implies where the broker or rumqttc did not give it.
    pub resource: Option<String>,
    /// The `limit` property, the rate as configured.
    pub limit: Option<String>,
}

/// What came of polling a connection.
#[derive(Debug)]
pub enum Happening {
    /// The broker took the connection; `resumed` if it still has the session.
    Connected {
        resumed: bool,
        receive_maximum: u16,
    },
    /// rumqttc wrote a PUBLISH; packet identifier 0 at QoS 0.
    Sent(u16),
    /// The first acknowledgement, PUBACK or PUBREC; `last` if no other follows.
    Accepted {
        id: u16,
        last: bool,
    },
    /// PUBCOMP.
    Completed {
        id: u16,
        leaked: bool,
    },
    /// A negative PUBACK or PUBREC. `leaked`: rumqttc does not give the place in its window back by itself.
    Denied {
        id: u16,
        denial: Denial,
        leaked: bool,
    },
    Subscribed,
    SubscribeDenied {
        denial: Denial,
        retry_after: Option<Duration>,
    },
    /// A message arrived; `None` if it carries no stamp.
    Delivered(Option<Stamp>),
    /// Our DISCONNECT was written.
    Left,
    Other,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Failure {
    /// CONNACK with a code that passes: a limit or a cap.
    Denied(Denial),
    /// CONNACK with a code that will not change.
    Rejected(String),
    /// A connection that was good ended; the denial if the broker sent one in DISCONNECT.
    Ended { denial: Option<Denial>, retry_after: Option<Duration>, text: String },
    /// There was no connection, or no CONNACK.
    Unreachable(String),
}

/// What opens a link.
pub struct Identity<'a> {
    pub options: &'a Options,
    pub address: &'a str,
    pub client_id: String,
}

/// Opens a link; the connection itself is made by the first [`Inlet::poll`].
pub fn open(identity: &Identity) -> (Outlet, Inlet) {
    match identity.options.protocol {
        Protocol::V5 => {
            let (outlet, inlet) = v5::open(identity);
            (Outlet::V5(outlet), Inlet::V5(Box::new(inlet)))
        }
        Protocol::V311 => {
            let (outlet, inlet) = v311::open(identity);
            (Outlet::V311(outlet), Inlet::V311(Box::new(inlet)))
        }
    }
}

pub use v311::discard_session;

/// Places in rumqttc's own window and queue: twice what is used of them, so that a packet identifier comes round again
/// only long after its message was answered (rumqttc stalls on an identifier in use).
pub fn slots(options: &Options) -> u16 {
    (options.max_inflight * 2).max(64)
}

/// The sending side: hands packets to rumqttc without waiting.
pub enum Outlet {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

impl Outlet {
    /// Hands over one message; false if rumqttc's queue is full.
    pub fn publish(&self, topic: &str, qos: u8, payload: Vec<u8>) -> bool {
        match self {
            Outlet::V5(client) => client.try_publish(topic, v5::qos(qos), false, payload).is_ok(),
            Outlet::V311(client) => client.try_publish(topic, v311::qos(qos), false, payload).is_ok(),
        }
    }

    /// Hands over one SUBSCRIBE; false if rumqttc's queue is full.
    pub fn subscribe(&self, filter: &str, qos: u8) -> bool {
        match self {
            Outlet::V5(client) => client.try_subscribe(filter, v5::qos(qos)).is_ok(),
            Outlet::V311(client) => client.try_subscribe(filter, v311::qos(qos)).is_ok(),
        }
    }

    /// Hands over DISCONNECT; [`Happening::Left`] follows. False if rumqttc's queue is full.
    pub fn disconnect(&self) -> bool {
        match self {
            Outlet::V5(client) => client.try_disconnect().is_ok(),
            Outlet::V311(client) => client.try_disconnect().is_ok(),
        }
    }
}

/// The receiving side, which also does the work of the sending one.
pub enum Inlet {
    V5(Box<v5::Inlet>),
    V311(Box<v311::Inlet>),
}

impl Inlet {
    /// Connects if there is no connection, then waits for what happens next. Dropping the future halfway loses what
    /// rumqttc had in hand: it must be kept until it ends.
    pub async fn poll(&mut self) -> Result<Happening, Failure> {
        match self {
            Inlet::V5(inlet) => inlet.poll().await,
            Inlet::V311(inlet) => inlet.poll().await,
        }
    }

    /// Whether a connection was taken and has not ended.
    pub fn connected(&self) -> bool {
        match self {
            Inlet::V5(inlet) => inlet.connected(),
            Inlet::V311(inlet) => inlet.connected(),
        }
    }

    /// Gives leaked places of the window back. Call it only while nothing is open.
    pub fn reclaim(&mut self) {
        match self {
            Inlet::V5(inlet) => inlet.reclaim(),
            Inlet::V311(_) => {}
        }
    }
}
