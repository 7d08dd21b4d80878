//! How a client's stream to the backend is opened: dialled, the client's CONNECT sent as it is there, and the answer read. Asked
//! by the handshake once the client is known and within its limits; what Weir asks of the backend for itself (no topic aliases,
//! a little more room for longer topics) is written here.

use std::borrow::Cow;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::steward::Dial;
use super::{Kind, Names, Relay, Stream};
use crate::clock::Clock;
use crate::wire::{
    ConnAck, Connect, Packet, Properties, Property, PropertyBuf, ReasonCode, Version, Will, WireError, frame_header,
};

/// Bytes read at a time until there is a CONNACK.
const READ: usize = 512;
/// Milliseconds that the backend has to answer where no client waits for it.
const PATIENCE: u64 = 10_000;
/// A larger CONNACK is none.
const MAX_CONNACK: usize = 64 * 1024;

/// What a client's CONNECT becomes at the backend.
pub(crate) struct Asking<'a> {
    /// The CONNECT as the client sent it.
    pub(crate) connect: &'a Connect<'a>,
    /// The client identifier, assigned if it gave none.
    pub(crate) client_id: &'a str,
    pub(crate) keep_alive: u16,
    /// Seconds; for MQTT 5.
    pub(crate) session_expiry: u32,
    /// Unacknowledged deliveries that may be under way.
    pub(crate) receive_maximum: u16,
    /// The largest packet that the client and Weir both take.
    pub(crate) max_packet_size: u32,
}

/// A stream on which the backend has accepted the client.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) answer: Answer,
    /// What the backend has sent after its CONNACK.
    pub(crate) rest: Vec<u8>,
}

/// The backend's CONNACK, which accepts.
pub(crate) struct Answer {
    version: Version,
    body: Box<[u8]>,
}

/// Why there is no stream for a client.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The backend does not answer.
    Away(Cow<'static, str>),
    /// It does, and will not have this client.
    Refused(ReasonCode, String),
}

impl Answer {
    pub(crate) fn connack(&self) -> ConnAck<'_> {
        match Packet::decode(self.version, 0x20, &self.body) {
            Ok(Packet::ConnAck(connack)) => connack,
            // It was decoded when it came.
            _ => ConnAck { session_present: false, code: 0, properties: Properties::EMPTY },
        }
    }
}

impl Relay {
    /// Opens a client's stream. `deadline` is in milliseconds of the monotonic clock.
    pub(crate) async fn open(
        &self,
        names: &Names,
        asking: &Asking<'_>,
        clock: &Clock,
        deadline: u64,
    ) -> Result<Opened, NotOpened> {
        if self.is_remote() && !self.steward.is_available() {
            return Err(NotOpened::Away("the broker behind this one is away".into()));
        }
        let version = asking.connect.version;
        let connect = self
            .connect_frame(names, asking)
            .map_err(|error| NotOpened::Refused(ReasonCode::TopicNameInvalid, error.to_string()))?;
        let opened = async {
            let mut stream = self.dial(clock, deadline).await?;
            stream.write_all(&connect).await?;
            stream.flush().await?;
            let mut bytes = Vec::new();
            loop {
                let header = frame_header(&bytes, MAX_CONNACK).map_err(nonsense)?;
                if let Some(header) = header
                    && bytes.len() >= header.total_len()
                {
                    let rest = bytes.split_off(header.total_len());
                    bytes.drain(..header.header_len);
                    let Packet::ConnAck(connack) = Packet::decode(version, header.first, &bytes).map_err(nonsense)?
                    else {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "no CONNACK came"));
                    };
                    if connack.code != 0 {
                        return Ok(Err(refused(version, &connack)));
                    }
                    let answer = Answer { version, body: bytes.into() };
                    return Ok(Ok(Opened { stream, answer, rest }));
                }
                let mut some = [0; READ];
                match stream.read(&mut some).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => bytes.extend_from_slice(&some[..n]),
                }
            }
        };
        let opened = tokio::select! {
            opened = opened => opened,
            () = clock.sleep_until(deadline) => Err(io::ErrorKind::TimedOut.into()),
        };
        opened.unwrap_or_else(|error| {
            self.steward.check();
            Err(NotOpened::Away(format!("the broker behind this one is away ({error})").into()))
        })
    }

    /// Ends a session at another broker, in the way that every version has: it begins anew, and ends at once.
    pub(super) async fn end_by_clean_start(&self, names: &Names, client_id: &str, clock: &Clock) {
        let connect = Connect {
            version: Version::V4,
            clean_start: true,
            keep_alive: 0,
            properties: Properties::EMPTY,
            client_id: "",
            will: None,
            user_name: None,
            password: None,
        };
        let asking = Asking {
            connect: &connect,
            client_id,
            keep_alive: 0,
            session_expiry: 0,
            receive_maximum: 1,
            max_packet_size: MAX_CONNACK as u32,
        };
        let deadline = clock.now().mono + PATIENCE;
        match self.open(names, &asking, clock, deadline).await {
            // It is over with the connection, whether or not the goodbye arrives.
            Ok(mut opened) => _ = opened.stream.write_all(&[0xE0, 0]).await,
            Err(error) => tracing::debug!(client_id, ?error, "a session that has expired stays at the backend"),
        }
    }

    async fn dial(&self, clock: &Clock, deadline: u64) -> io::Result<Stream> {
        let timeout = deadline.saturating_sub(clock.now().mono);
        match &self.backend {
            Kind::Upstream(dialer) => dialer.dial(clock, timeout).await,
            Kind::Embedded(embedded) => embedded.dial(clock, timeout).await,
        }
    }

    /// The client's CONNECT as it is sent to the backend.
    fn connect_frame(&self, names: &Names, asking: &Asking<'_>) -> Result<Vec<u8>, WireError> {
        let connect = asking.connect;
        let mut properties = PropertyBuf::new();
        if connect.version == Version::V5 {
            if asking.session_expiry > 0 {
                properties.push(Property::SessionExpiryInterval(asking.session_expiry));
            }
            properties.push(Property::ReceiveMaximum(asking.receive_maximum));
            // What grows on the way there shrinks on the way back.
            let room = asking.max_packet_size.saturating_add(names.overhead() as u32);
            properties.push(Property::MaximumPacketSize(room));
            if connect.properties.request_problem_information() == Some(false) {
                properties.push(Property::RequestProblemInformation(false));
            }
            for (name, value) in connect.properties.user_properties() {
                properties.push(Property::UserProperty(name, value));
            }
        }
        let mut will_properties = PropertyBuf::new();
        let topic = connect.will.map(|will| names.topic(will.topic));
        let will = connect.will.as_ref().zip(topic.as_deref()).filter(|_| self.keeps_wills()).map(|(will, topic)| {
            Will { topic, properties: names.properties(will.properties, &mut will_properties), ..*will }
        });
        let (user_name, password) = match &self.backend {
            Kind::Upstream(dialer) => (dialer.username().map(AsRef::as_ref), dialer.password().map(AsRef::as_ref)),
            Kind::Embedded(_) => (None, None),
        };
        let client_id = names.client_id(asking.client_id);
        let connect = Connect {
            keep_alive: asking.keep_alive,
            properties: properties.as_properties(),
            client_id: &client_id,
            will,
            user_name,
            password,
            ..*connect
        };
        let mut frame = Vec::new();
        Packet::Connect(connect).encode(connect.version, &mut frame)?;
        Ok(frame)
    }
}

fn nonsense(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// A refusal of the backend's, in the reason codes of MQTT 5.
fn refused(version: Version, connack: &ConnAck<'_>) -> NotOpened {
    let reason = match (version, connack.code) {
        (Version::V5, code) => ReasonCode::from_u8(code).unwrap_or(ReasonCode::UnspecifiedError),
        (_, 1) => ReasonCode::UnsupportedProtocolVersion,
        (_, 2) => ReasonCode::ClientIdentifierNotValid,
        (_, 3) => ReasonCode::ServerUnavailable,
        (_, 4) => ReasonCode::BadUserNameOrPassword,
        (_, _) => ReasonCode::NotAuthorized,
    };
    let text = connack.properties.reason_string();
    NotOpened::Refused(reason, text.unwrap_or("the broker behind this one refuses the client").to_owned())
}
