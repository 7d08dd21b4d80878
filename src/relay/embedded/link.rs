//! One client's connection to the embedded broker, as a byte stream with MQTT frames in both directions. The edge writes what
//! the client sends and reads what is for it, as it would with a socket; dropping it without a DISCONNECT is a connection that
//! was lost. It has no task of its own: what there is to do is done by whoever reads, writes or closes it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::Terms;
use super::packets::Open;
use super::{Claimed, Embedded};
use crate::router::WakeFor;
use crate::session;
use crate::wire::{
    ConnAck, Connect, ConnectReturnCode, Disconnect, FrameHeader, MAX_REMAINING_LENGTH, Packet, Properties, Property,
    PropertyBuf, ReasonCode, Version, WireError, frame_header,
};

/// Bytes that may wait in either direction before nothing more is taken.
pub(super) const HIGH_WATER: usize = 64 * 1024;
/// The most messages of QoS 1 and 2 that are in flight to a client, whatever more it takes.
const MAX_IN_FLIGHT: u16 = 1024;
/// The most that is kept allocated while nothing waits.
const IDLE_CAPACITY: usize = 512;

/// A connection to the embedded broker.
pub(crate) struct Link {
    embedded: Arc<Embedded>,
    id: u64,
    stage: Stage,
    /// What was written and is not handled.
    input: Vec<u8>,
    /// What is to be read, from `read` on.
    out: Vec<u8>,
    read: usize,
    tasks: Arc<Tasks>,
    /// Wakes them all: whatever happens may be what any of them waits for.
    waker: Waker,
}

/// Who waits for the link.
#[derive(Default)]
struct Tasks {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

enum Stage {
    /// CONNECT is awaited.
    New,
    Open(Box<Open>),
    Closed,
}

/// How a connection ends.
pub(super) enum End {
    /// The client has said DISCONNECT.
    Left,
    /// By the broker, for a reason that an MQTT 5 client is told.
    Told(ReasonCode, &'static str),
    /// Another connection has its session now.
    TakenOver,
}

impl From<WireError> for End {
    fn from(error: WireError) -> End {
        End::Told(error.reason(), error.rule())
    }
}

impl Link {
    pub(super) fn new(embedded: Arc<Embedded>, id: u64) -> Self {
        let tasks = Arc::<Tasks>::default();
        let waker = Waker::from(Arc::clone(&tasks));
        Link { embedded, id, stage: Stage::New, input: Vec::new(), out: Vec::new(), read: 0, tasks, waker }
    }

    /// Handles what was written, as far as that goes without waiting for anything; tells how much of it that was.
    fn handle(&mut self, bytes: &[u8]) -> usize {
        let Stage::Open(open) = &mut self.stage else { return 0 };
        let seat = Arc::clone(&open.seat);
        let mut taken = seat.taken.lock();
        let (handled, goes_on) = match taken.as_mut().filter(|taken| taken.owner == self.id) {
            Some(taken) => {
                let handled = open.process(bytes, taken, &self.embedded, &mut self.out);
                (handled, taken.session.is_waiting())
            }
            None => (Err(End::TakenOver), false),
        };
        drop(taken);
        if goes_on || self.out.len() > self.read {
            self.stir();
        }
        handled.unwrap_or_else(|end| {
            self.end(&end);
            0
        })
    }

    /// The same for what has been waiting.
    fn handle_input(&mut self) {
        if let Stage::New = self.stage {
            self.begin();
        }
        let mut input = std::mem::take(&mut self.input);
        let handled = self.handle(&input);
        if !matches!(self.stage, Stage::Closed) {
            input.drain(..handled);
            self.input = input;
        }
    }

    /// Handles everything there is in both directions, until there is enough to be read or all of it waits.
    fn drive(&mut self) {
        while self.out.len() - self.read < HIGH_WATER {
            let Stage::Open(open) = &mut self.stage else { return };
            let seat = Arc::clone(&open.seat);
            let mut taken = seat.taken.lock();
            let turn = match taken.as_mut().filter(|taken| taken.owner == self.id) {
                Some(taken) => match open.turn(
                    &mut Context::from_waker(&self.waker),
                    &mut self.input,
                    taken,
                    &self.embedded,
                    &mut self.out,
                ) {
                    Ok(false) if taken.session.mailbox().arm(&self.waker, WakeFor::Message) => return,
                    turn => turn,
                },
                None => Err(End::TakenOver),
            };
            drop(taken);
            if let Err(end) = turn {
                self.end(&end);
            }
        }
    }

    /// The CONNECT, once all of it is there.
    fn begin(&mut self) {
        let input = std::mem::take(&mut self.input);
        match frame_header(&input, usize::MAX) {
            Ok(Some(header)) if header.total_len() <= input.len() => {
                let body = &input[header.header_len..header.total_len()];
                match Packet::decode(Version::V5, header.first, body) {
                    Ok(Packet::Connect(connect)) => self.connect(&connect),
                    Err(WireError::UnsupportedProtocolVersion { answer_in, .. }) => {
                        self.refuse(answer_in, ReasonCode::UnsupportedProtocolVersion, "");
                    }
                    // [MQTT-3.1.0-1], [MQTT-3.1.4-1]
                    Ok(_) | Err(_) => self.close(),
                }
                self.input.extend_from_slice(&input[header.total_len()..]);
                self.stir();
            }
            Ok(_) => self.input = input,
            Err(_) => self.close(),
        }
    }

    fn connect(&mut self, connect: &Connect<'_>) {
        let (version, properties) = (connect.version, connect.properties);
        if properties.authentication_method().is_some() {
            return self.refuse(version, ReasonCode::BadAuthenticationMethod, "");
        }
        // A client identifier of ours can only last as long as its connection before MQTT 5 [MQTT-3.1.3-8].
        let assigned = match (connect.client_id, version) {
            ("", Version::V3 | Version::V4) if !connect.clean_start => {
                return self.refuse(version, ReasonCode::ClientIdentifierNotValid, "");
            }
            ("", _) => match getrandom::u64() {
                Ok(random) => Some(format!("auto-{random:016x}")),
                Err(_) => return self.refuse(version, ReasonCode::ServerUnavailable, ""),
            },
            _ => None,
        };
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);
        let (seat, session_present) = match self.embedded.claim(client_id, connect.clean_start, self.id) {
            Claimed::New(seat) => (seat, false),
            Claimed::Resumed(seat) => (seat, true),
            Claimed::NoRoom => {
                return self.refuse(
                    version,
                    ReasonCode::QuotaExceeded,
                    "max_sessions of the embedded broker is reached",
                );
            }
        };
        let mut agreed = PropertyBuf::new();
        if let Some(assigned) = assigned.as_deref().filter(|_| version == Version::V5) {
            // [MQTT-3.2.2-16]
            agreed.push(Property::AssignedClientIdentifier(assigned));
        }
        let connack = ConnAck { session_present, code: 0, properties: agreed.as_properties() };
        let mut greeting = Vec::new();
        // Nothing in it can be wrong.
        let _ = Packet::ConnAck(connack).encode(version, &mut greeting);
        let quota = properties.receive_maximum().unwrap_or(u16::MAX).min(MAX_IN_FLIGHT);
        let max_packet_size = properties.maximum_packet_size().map_or(MAX_REMAINING_LENGTH + 5, |most| most as usize);
        let aliases = properties.topic_alias_maximum().unwrap_or(0);
        self.stage = Stage::Open(Box::new(Open {
            seat,
            terms: Terms {
                link: session::Link::new(version, quota, max_packet_size, aliases),
                problem_information: properties.request_problem_information().unwrap_or(true),
            },
            // [MQTT-3.1.2-23], and in 3.1.1 [MQTT-3.1.2-6]
            ends: match version {
                Version::V3 | Version::V4 => connect.clean_start,
                Version::V5 => properties.session_expiry_interval().unwrap_or(0) == 0,
            },
            greeting: Some(greeting),
        }));
    }

    /// Refuses the CONNECT, in words that the version has.
    fn refuse(&mut self, version: Version, reason: ReasonCode, text: &str) {
        let mut properties = PropertyBuf::new();
        if !text.is_empty() {
            properties.push(Property::ReasonString(text));
        }
        let code = match version {
            Version::V5 => Some(reason as u8),
            Version::V3 | Version::V4 => ConnectReturnCode::for_reason(reason).map(|code| code as u8),
        };
        if let Some(code) = code {
            let connack = ConnAck { session_present: false, code, properties: properties.as_properties() };
            // A code that the version has not leaves the client with a closed connection.
            let _ = Packet::ConnAck(connack).encode(version, &mut self.out);
        }
        self.close();
    }

    fn end(&mut self, end: &End) {
        let Stage::Open(open) = &self.stage else { return };
        let told = match *end {
            End::Left => None,
            End::Told(reason, text) => Some((reason, text)),
            End::TakenOver => Some((ReasonCode::SessionTakenOver, "")),
        };
        // A server says DISCONNECT in MQTT 5 only, and not before its CONNACK.
        if let Some((reason, text)) = told
            && open.terms.version() == Version::V5
            && open.greeting.is_none()
        {
            let reasons = open.terms.reasons(text);
            let packet = |properties| Packet::Disconnect(Disconnect { reason, properties });
            if !open.terms.put(packet(reasons.as_properties()), &mut self.out) {
                open.terms.put(packet(Properties::EMPTY), &mut self.out);
            }
        }
        self.close();
    }

    fn close(&mut self) {
        if let Stage::Open(open) = std::mem::replace(&mut self.stage, Stage::Closed) {
            self.embedded.leave(&open.seat, self.id, open.ends);
        }
        self.input = Vec::new();
        self.stir();
    }

    /// There is something to be read, or there may be.
    fn stir(&mut self) {
        self.tasks.reader.wake();
    }

    /// Whether nothing more may be written until something of it was handled.
    fn is_full(&self) -> bool {
        self.input.len() >= HIGH_WATER && self.is_whole()
    }

    /// Whether a packet waits to be handled.
    fn is_whole(&self) -> bool {
        let whole = |header: FrameHeader| header.total_len() <= self.input.len();
        !matches!(self.stage, Stage::Closed)
            && frame_header(&self.input, usize::MAX).is_ok_and(|header| header.is_some_and(whole))
    }

    /// What is to be read goes into `buf`; tells whether that was anything.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let waits = &self.out[self.read..];
        let count = waits.len().min(buf.remaining());
        buf.put_slice(&waits[..count]);
        self.read += count;
        if self.read == self.out.len() {
            self.read = 0;
            self.out.clear();
            self.out.shrink_to(IDLE_CAPACITY);
        }
        count > 0
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tasks.reader.register(cx.waker());
        this.drive();
        if !this.is_full() {
            this.tasks.writer.wake();
        }
        if this.give(buf) || buf.remaining() == 0 || matches!(this.stage, Stage::Closed) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_full() {
            this.tasks.writer.register(cx.waker());
            this.drive();
            if this.out.len() > this.read {
                this.stir();
            }
        }
        if let Stage::Closed = this.stage {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.is_full() {
            return Poll::Pending;
        }
        let buf = &buf[..buf.len().min(HIGH_WATER)];
        if this.input.is_empty() && matches!(this.stage, Stage::Open(_)) {
            // What is handled at once is not copied.
            let handled = this.handle(buf);
            this.input.extend_from_slice(&buf[handled..]);
        } else {
            this.input.extend_from_slice(buf);
            this.handle_input();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The client has closed its direction; everything that it wrote is handled first. Without a DISCONNECT among that, its
    /// connection is lost.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tasks.writer.register(cx.waker());
        this.drive();
        while this.out.len() - this.read >= HIGH_WATER {
            // It is no longer read, and must not keep the rest from being handled.
            (this.read, this.out) = (0, Vec::new());
            this.drive();
        }
        if this.is_whole() {
            return Poll::Pending;
        }
        this.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}
