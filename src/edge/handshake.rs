//! From the first byte to CONNACK: the CONNECT is read within its time, its credentials become a device and a profile, the
//! limits are asked, and the session of its client identifier is claimed. What does not get that far leaves nothing behind.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, ReadBuf};

use super::Open;
use super::answer::{self, Reasons};
use super::authenticate::authenticate;
use super::claim::{check_connack, claim};
use super::closing::{linger, write_all};
use super::connection::{Beginning, Connection, Settings};
use super::own_topics::is_own;
use super::scratch;
use crate::activity::Told;
use crate::admission::network;
use crate::config::Config;
use crate::hooks::{Client, Verdict};
use crate::hub::Hub;
use crate::identity::{Access, Action, Names};
use crate::limits::{Denial, Plan};
use crate::net::{Accepted, ByteStream};
use crate::router::Message;
use crate::wire::{Connect, ReasonCode, Version, Will, WireError, frame_header};

/// Why there is no CONNACK with success.
pub(super) enum Refused {
    /// Nothing is said: the network is gone, or the rules ask for silence.
    Silently(Cow<'static, str>),
    /// A CONNACK says so.
    Answered {
        version: Version,
        max_packet_size: usize,
        code: ReasonCode,
        text: Cow<'static, str>,
        denial: Option<Box<Denial>>,
    },
}

/// Brings a new connection to its CONNACK, or to its end.
pub(super) async fn handshake(hub: &Arc<Hub>, accepted: Accepted, since: u64, open: Open) -> Option<Box<Connection>> {
    let peer = accepted.peer();
    let mut stream = match establish(hub, accepted, since).await {
        Ok(stream) => stream,
        Err(why) => {
            hub.stats.connections_refused.add(1);
            tracing::debug!(peer = peer.map(display), %why, "connection refused");
            return None;
        }
    };
    match negotiate(hub, &mut stream, peer, since).await {
        Ok((settings, beginning)) => {
            Some(Box::new(Connection::new(Arc::clone(hub), stream, settings, beginning, open)))
        }
        Err(refused) => {
            hub.stats.connections_refused.add(1);
            match refused {
                Refused::Silently(why) => tracing::debug!(peer = peer.map(display), %why, "connection refused"),
                Refused::Answered { version, max_packet_size, code, text, denial } => {
                    tracing::info!(peer = peer.map(display), %code, why = %text, "connection refused");
                    let mut out = Vec::new();
                    let reasons = Reasons { text: &text, denial: denial.as_deref() };
                    answer::connack(&mut out, version, max_packet_size, code, &reasons);
                    if !out.is_empty() {
                        write_all(hub, &mut stream, &out).await;
                        linger(hub, &mut stream).await;
                    }
                }
            }
            None
        }
    }
}

/// Carries out the transport's own handshake, in the time that there is for one.
async fn establish(hub: &Hub, accepted: Accepted, since: u64) -> io::Result<ByteStream> {
    let config = hub.config.load_full();
    let timeout = config.admission.handshake_timeout.as_millis() as u64;
    tokio::select! {
        established = accepted.establish(config.mqtt.max_packet_size as usize) => established,
        () = hub.clock.sleep_until(since + timeout) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What a CONNECT asks for, taken out of the buffer it was read into.
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) clean_start: bool,
    pub(super) keep_alive: u16,
    pub(super) client_id: Box<str>,
    pub(super) session_expiry: u32,
    pub(super) receive_maximum: u16,
    pub(super) max_packet_size: usize,
    pub(super) topic_alias_maximum: u16,
    pub(super) wants_reasons: bool,
    pub(super) wants_response_information: bool,
}

impl Asked {
    fn new(connect: &Connect<'_>) -> Self {
        let properties = &connect.properties;
        Asked {
            version: connect.version,
            clean_start: connect.clean_start,
            keep_alive: connect.keep_alive,
            client_id: connect.client_id.into(),
            session_expiry: match connect.version {
                Version::V5 => properties.session_expiry_interval().unwrap_or(0),
                // A session that is not clean lasts as long as the broker lets it.
                Version::V3 | Version::V4 => {
                    if connect.clean_start {
                        0
                    } else {
                        u32::MAX
                    }
                }
            },
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            max_packet_size: properties.maximum_packet_size().map_or(usize::MAX, |size| size as usize),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            wants_reasons: properties.request_problem_information().unwrap_or(true),
            wants_response_information: properties.request_response_information().unwrap_or(false),
        }
    }

    pub(super) fn refuse(&self, code: ReasonCode, text: impl Into<Cow<'static, str>>) -> Refused {
        Refused::Answered {
            version: self.version,
            max_packet_size: self.max_packet_size,
            code,
            text: text.into(),
            denial: None,
        }
    }

    fn refuse_verdict(&self, verdict: Verdict) -> Result<(), Refused> {
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Refuse(refusal) => Err(self.refuse(refusal.code, refusal.reason)),
            Verdict::Deny(denial) => Err(Refused::Answered {
                version: self.version,
                max_packet_size: self.max_packet_size,
                code: ReasonCode::ConnectionRateExceeded,
                text: denial.to_string().into(),
                denial: Some(denial),
            }),
        }
    }
}

async fn negotiate(
    hub: &Arc<Hub>,
    stream: &mut ByteStream,
    peer: Option<SocketAddr>,
    since: u64,
) -> Result<(Box<Settings>, Beginning), Refused> {
    // Before the configuration itself: a change in between is then noticed.
    let generation = hub.generation();
    let config = hub.config.load_full();
    let address = peer.map(|peer| network(peer.ip()));
    if let (Some(address), Some(rate)) = (address, &config.admission.connects_per_ip)
        && !hub.admission.connect(address, rate, hub.clock.now().wall)
    {
        return Err(Refused::Silently("this address connects more often than admission.connects_per_ip allows".into()));
    }
    let mut buffer = Vec::new();
    let (start, end) = read_packet(hub, stream, &config, &mut buffer, 0x10, since).await?;
    let connect =
        Connect::decode(&buffer[start..end]).map_err(|error| refuse_malformed(&buffer[start..end], &error))?;
    let mut asked = Asked::new(&connect);
    check_offer(&connect, &asked, &config)?;

    let mut input = buffer[end..].to_vec();
    let (identity, authentication) = authenticate(hub, stream, &config, address, &asked, &connect, &mut input).await?;
    let Some(account) = hub.account(&identity.profile) else {
        return Err(asked.refuse(ReasonCode::NotAuthorized, "the profile is not there any more"));
    };

    let assigned = asked.client_id.is_empty();
    if assigned {
        asked.client_id = assign_client_id();
    }
    let now = hub.clock.now();
    let client = Arc::new(Client {
        meters: account.device_meters(identity.device.as_ref()),
        activity: account.device_activity(identity.device.as_ref(), now.wall),
        account: Arc::clone(&account),
        device: identity.device.clone(),
        client_id: asked.client_id.clone(),
        version: asked.version,
        peer: peer.map(|peer| (peer.ip(), peer.port())),
    });
    // The limits come first: `connect` counts each CONNECT whose credentials are good.
    let verdict = hub.hooks.connect(&client, now);
    if let Verdict::Deny(denial) = &verdict {
        hub.denied(&client, denial, Told::ConnAck);
    }
    asked.refuse_verdict(verdict)?;

    let names = Names {
        device: identity.device.as_deref().unwrap_or(""),
        client_id: &asked.client_id,
        profile: &identity.profile,
    };
    let access = Access::new(&config.acl, names);
    if let Some(will) = &connect.will {
        check_will(will, &access, &account.plan()).map_err(|(code, text)| asked.refuse(code, text))?;
    }
    let will = connect.will.as_ref().map(|will| {
        let delay = will.properties.will_delay_interval().unwrap_or(0);
        (Message::from_will(will), delay)
    });

    check_connack(&asked, &config, &account, assigned, authentication.as_ref())?;
    let claimed = claim(hub, &account, asked, &config, now).await?.relay(hub, &connect, &config).await?;
    Ok(claimed.settle(hub, &config, identity, client, access, will, input, assigned, generation, authentication))
}

/// Reads until there is a whole packet that begins with `first`; tells where its body begins and ends. The time for it counts
/// from `since` (monotonic milliseconds).
pub(super) async fn read_packet(
    hub: &Hub,
    stream: &mut ByteStream,
    config: &Config,
    buffer: &mut Vec<u8>,
    first: u8,
    since: u64,
) -> Result<(usize, usize), Refused> {
    let timeout = config.admission.handshake_timeout.as_millis() as u64;
    let deadline = hub.clock.sleep_until(since + timeout);
    tokio::pin!(deadline);
    let mut shutdown = hub.shutdown.subscribe();
    loop {
        match frame_header(buffer, config.mqtt.max_packet_size as usize) {
            // The first packet must be a CONNECT [MQTT-3.1.0-1]; until then nothing may be answered [MQTT-3.14.0-1].
            Ok(Some(header)) if header.first != first => {
                return Err(Refused::Silently("another packet than CONNECT, or AUTH where that is due".into()));
            }
            Ok(Some(header)) if buffer.len() >= header.total_len() => {
                return Ok((header.header_len, header.total_len()));
            }
            Ok(_) => {}
            Err(error) => return Err(Refused::Silently(error.to_string().into())),
        }
        let read = tokio::select! {
            read = read_some(hub, stream, buffer) => read,
            () = &mut deadline => {
                return Err(Refused::Silently("no CONNECT within admission.handshake_timeout".into()));
            }
            // The sender lives in the hub, which we hold: waiting cannot fail.
            _ = shutdown.wait_for(|down| *down) => {
                return Err(Refused::Silently("the broker is shutting down".into()));
            }
        };
        match read {
            Ok(0) => return Err(Refused::Silently("closed before CONNECT".into())),
            Ok(_) => {}
            Err(error) => return Err(Refused::Silently(error.to_string().into())),
        }
    }
}

/// Reads once, through the thread's buffer, and appends what came.
async fn read_some(hub: &Hub, stream: &mut ByteStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        scratch::with(|scratch| {
            let mut read = ReadBuf::new(&mut scratch.read);
            std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            hub.stats.network_bytes_in.add(read.filled().len() as u64);
            buffer.reserve_exact(read.filled().len());
            buffer.extend_from_slice(read.filled());
            Ok(read.filled().len()).into()
        })
    })
    .await
}

/// A CONNECT that breaks the rules: MQTT 5 clients are told which; 3.1.1 asks for silence, but for a version that is not
/// spoken here [MQTT-3.1.4-1], [MQTT-3.1.2-2].
fn refuse_malformed(body: &[u8], error: &WireError) -> Refused {
    let answer_in = match (error, Connect::version_of(body)) {
        (WireError::UnsupportedProtocolVersion { answer_in, .. }, _) => Some(*answer_in),
        (_, Ok(Version::V5)) => Some(Version::V5),
        _ => None,
    };
    match answer_in {
        Some(version) => Refused::Answered {
            version,
            max_packet_size: usize::MAX,
            code: error.reason(),
            text: error.to_string().into(),
            denial: None,
        },
        None => Refused::Silently(error.to_string().into()),
    }
}

/// What the CONNECT asks for must be something the broker offers.
fn check_offer(connect: &Connect<'_>, asked: &Asked, config: &Config) -> Result<(), Refused> {
    match connect.version {
        // 3.1 knows identifiers of 1 to 23 characters only.
        Version::V3 if connect.client_id.is_empty() || connect.client_id.chars().count() > 23 => {
            return Err(asked.refuse(ReasonCode::ClientIdentifierNotValid, "client identifier of 1 to 23 characters"));
        }
        // [MQTT-3.1.3-8] of 3.1.1: a session that is kept needs a name.
        Version::V4 if connect.client_id.is_empty() && !connect.clean_start => {
            return Err(asked.refuse(ReasonCode::ClientIdentifierNotValid, "a session needs a client identifier"));
        }
        Version::V3 | Version::V4 | Version::V5 => {}
    }
    if let Some(will) = &connect.will {
        if will.qos as u8 > config.mqtt.max_qos {
            return Err(asked.refuse(ReasonCode::QoSNotSupported, "the will's QoS is above mqtt.max_qos"));
        }
        if will.retain && !config.mqtt.retain {
            return Err(asked.refuse(ReasonCode::RetainNotSupported, "retained messages are switched off"));
        }
    }
    Ok(())
}

/// A will is held to what a publish is held to, as far as that is known when it is announced.
fn check_will(will: &Will<'_>, access: &Access, plan: &Plan) -> Result<(), (ReasonCode, &'static str)> {
    if !access.allows(Action::Publish, will.topic) || is_own(will.topic) {
        return Err((ReasonCode::NotAuthorized, "the will's topic is not allowed"));
    }
    if will.topic.bytes().filter(|byte| *byte == b'/').count() >= plan.caps.max_topic_levels {
        return Err((ReasonCode::QuotaExceeded, "max_topic_levels is exceeded by the will's topic"));
    }
    let says_text = plan.check_payload_format && will.properties.payload_format_indicator() == Some(1);
    if says_text && std::str::from_utf8(will.payload).is_err() {
        return Err((ReasonCode::PayloadFormatInvalid, "the will's payload is not the UTF-8 that it says it is"));
    }
    Ok(())
}

/// An identifier that no other session has: 96 random bits.
fn assign_client_id() -> Box<str> {
    let mut random = [0; 12];
    // The system's source of randomness does not fail on a system that runs.
    if getrandom::fill(&mut random).is_err() {
        random[..8].copy_from_slice(&std::process::id().to_be_bytes().repeat(2));
    }
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("weir-{hex}").into()
}
