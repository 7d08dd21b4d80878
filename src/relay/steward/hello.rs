//! CONNECT and CONNACK of the steward's connection: as whom Weir connects, what the other broker takes, and what to do where it
//! refuses. Called once for each connection; nothing is tried again here.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::wire::{
    ConnAck, Connect, ConnectReturnCode, FrameHeader, Packet, PacketKind, Properties, Property, PropertyBuf, QoS,
    ReasonCode, Version, WireError, frame_header,
};

/// The keep-alive that is asked for, in seconds.
const KEEP_ALIVE: u16 = 15;

/// The largest packet that is read: the steward subscribes to nothing, so that only acknowledgements come.
pub(super) const MAX_PACKET: u32 = 64 * 1024;

/// Messages of QoS 1 and 2 that are in flight at most, whatever the other broker allows: older ones do not say what they do.
const IN_FLIGHT: usize = 1_024;

/// As whom the steward connects.
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) username: Option<Arc<str>>,
    pub(super) password: Option<Arc<[u8]>>,
}

/// What the other broker takes on this connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) version: Version,
    /// Messages of QoS 1 and 2 in flight at most.
    pub(super) receive_maximum: usize,
    pub(super) max_packet_size: usize,
    pub(super) max_qos: QoS,
    /// Whether it takes retained messages.
    pub(super) retain: bool,
    /// The keep-alive in force, in seconds; 0 for none.
    pub(super) keep_alive: u16,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection on CONNECT")]
    Closed,
    #[error("it takes neither MQTT 5 nor MQTT 3.1.1")]
    Version,
    #[error("it refused: {0}")]
    Refused(String),
    #[error("what it sent is not MQTT: {0}")]
    Wire(#[from] WireError),
    #[error("it answered CONNECT with {0}")]
    NotConnAck(&'static str),
    #[error("it kept a session that was never asked for")]
    Session,
}

/// Says CONNECT and reads the answer; what came after it is in `input`.
pub(super) async fn hello<S>(
    stream: &mut S,
    version: Version,
    credentials: &Credentials,
    input: &mut Vec<u8>,
) -> Result<Peer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connect = connect_packet(version, credentials)?;
    let said = async {
        stream.write_all(&connect).await?;
        stream.flush().await
    };
    said.await.map_err(closed)?;
    let header = loop {
        if let Some(header) = frame_header(input, MAX_PACKET as usize)?
            && input.len() >= header.total_len()
        {
            break header;
        }
        if stream.read_buf(input).await.map_err(closed)? == 0 {
            return Err(Failure::Closed);
        }
    };
    let body = &input[header.header_len..header.total_len()];
    let peer = read_answer(version, header, body, credentials)?;
    input.drain(..header.total_len());
    Ok(peer)
}

/// A broker that is older than the version may close the connection rather than answer.
fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Failure::Closed,
        _ => Failure::Io(error),
    }
}

/// The session begins and ends with the connection.
fn connect_packet(version: Version, credentials: &Credentials) -> Result<Vec<u8>, WireError> {
    let mut properties = PropertyBuf::new();
    if version == Version::V5 {
        // Session Expiry Interval is 0 where it is left out (section 3.1.2.11.2).
        properties.push(Property::MaximumPacketSize(MAX_PACKET));
    }
    let connect = Connect {
        version,
        clean_start: true,
        keep_alive: KEEP_ALIVE,
        properties: properties.as_properties(),
        client_id: &credentials.client_id,
        will: None,
        user_name: credentials.username.as_deref(),
        password: credentials.password.as_deref(),
    };
    let mut out = Vec::new();
    Packet::Connect(connect).encode(version, &mut out)?;
    Ok(out)
}

fn read_answer(version: Version, header: FrameHeader, body: &[u8], credentials: &Credentials) -> Result<Peer, Failure> {
    if version == Version::V5 && header.kind() == PacketKind::ConnAck as u8 && body.len() == 2 {
        // The CONNACK of a broker that knows no MQTT 5: it may even accept what it took for a CONNECT of its own version.
        return match body[1] {
            0 | 1 => Err(Failure::Version),
            code => Err(Failure::Refused(refusal_before_5(code, credentials))),
        };
    }
    let connack = match Packet::decode(version, header.first, body)? {
        Packet::ConnAck(connack) => connack,
        other => return Err(Failure::NotConnAck(other.kind_name())),
    };
    match (connack.code, version) {
        (0, _) => {}
        (1, Version::V3 | Version::V4) => return Err(Failure::Version),
        (code, Version::V3 | Version::V4) => return Err(Failure::Refused(refusal_before_5(code, credentials))),
        (_, Version::V5) => return Err(refusal(&connack, credentials)),
    }
    if connack.session_present {
        // [MQTT-3.2.2-4]
        return Err(Failure::Session);
    }
    Ok(Peer::of(version, connack.properties))
}

fn refusal(connack: &ConnAck<'_>, credentials: &Credentials) -> Failure {
    let reason = ReasonCode::from_u8(connack.code).unwrap_or(ReasonCode::UnspecifiedError);
    if reason == ReasonCode::UnsupportedProtocolVersion {
        return Failure::Version;
    }
    let mut text = reason.to_string();
    if let Some(more) = connack.properties.reason_string() {
        text += &format!(", {more:?}");
    }
    if let Some(other) = connack.properties.server_reference() {
        text += &format!("; it names another broker, {other:?}, which `backend` could name");
    }
    Failure::Refused(text + &hint(ConnectReturnCode::for_reason(reason), credentials))
}

fn refusal_before_5(code: u8, credentials: &Credentials) -> String {
    use ConnectReturnCode::*;
    let (name, code) = match code {
        2 => ("Identifier rejected", Some(IdentifierRejected)),
        3 => ("Server unavailable", Some(ServerUnavailable)),
        4 => ("Bad user name or password", Some(BadUserNameOrPassword)),
        5 => ("Not authorized", Some(NotAuthorized)),
        _ => ("a return code that does not exist", None),
    };
    name.to_owned() + &hint(code, credentials)
}

/// What to do about a refusal.
fn hint(code: Option<ConnectReturnCode>, credentials: &Credentials) -> String {
    match code {
        Some(ConnectReturnCode::BadUserNameOrPassword | ConnectReturnCode::NotAuthorized) => match credentials.username
        {
            Some(_) => "; check the username and password of `backend`, and what the other broker allows them",
            None => "; give `backend` a username and password that the other broker knows",
        }
        .to_owned(),
        Some(ConnectReturnCode::IdentifierRejected) => {
            format!("; the other broker must allow the client identifier {:?}", credentials.client_id)
        }
        _ => String::new(),
    }
}

impl Peer {
    fn of(version: Version, properties: Properties<'_>) -> Self {
        let max_qos = properties.maximum_qos().and_then(QoS::from_bits);
        Peer {
            version,
            receive_maximum: properties.receive_maximum().map_or(IN_FLIGHT, |most| IN_FLIGHT.min(most.into())),
            max_packet_size: properties.maximum_packet_size().map_or(usize::MAX, |size| size as usize),
            max_qos: max_qos.unwrap_or(QoS::ExactlyOnce),
            retain: properties.retain_available().unwrap_or(true),
            // [MQTT-3.2.2-21]
            keep_alive: properties.server_keep_alive().unwrap_or(KEEP_ALIVE),
        }
    }
}
