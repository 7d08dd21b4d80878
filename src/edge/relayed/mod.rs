//! The other side of a connection that is relayed: the client's stream to the backend, what waits to be written there, and
//! what came from there and may not go to the client yet. Packets pass as they are but for the names in them; the limits, rules
//! and hooks are asked on the way, exactly as where Weir routes messages itself. What comes from the client is in
//! `to_backend`, what comes from there in `from_backend`.

mod from_backend;
mod open;
mod to_backend;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hashbrown::{HashMap, HashSet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

pub(super) use open::{Offered, open};
pub(super) use to_backend::Question;

use super::closing::LINGER;
use super::connection::{Connection, UNSENT_HIGH};
use super::end::{End, How, Step};
use super::own_topics::Own;
use super::scratch::Scratch;
use super::tallies::Unsent;
use crate::clock::Now;
use crate::hub::Hub;
use crate::relay::{Names, Stream};
use crate::wire::{AckKind, Disconnect, Packet, PacketId, Property, PropertyBuf, ReasonCode, Version, frame_header};

/// What clients are told whose backend is gone.
pub(super) const AWAY: &str = "the broker behind this one is away";

/// The other side of a relayed connection. See the module's text.
pub(super) struct Relayed {
    stream: Stream,
    names: Names,
    version: Version,
    /// The beginning of a frame from the backend whose rest has not come.
    input: Vec<u8>,
    /// `input` came with the backend's CONNACK and was not looked at.
    fresh: bool,
    /// So many bytes that are still to come are of a frame that is too large, and are thrown away.
    skip: usize,
    /// What the backend is to be sent.
    unsent: Unsent,
    /// Deliveries of QoS 1 and 2 over the `receive` limit, whole frames as they came, in order.
    held: VecDeque<Box<[u8]>>,
    held_bytes: usize,
    /// SUBSCRIBE and UNSUBSCRIBE packets that the backend has not answered, by packet identifier.
    asked: HashMap<u16, Asked>,
    /// Publishes of QoS 1 and 2 that were passed on, and those of them that the backend has answered.
    passed: u64,
    answered: u64,
    /// Publishes of QoS 2 whose PUBREC has not come.
    unreceived: HashSet<u16>,
    /// Weir's own answers to publishes, each after so many answers of the backend: answers keep the order of what they answer
    /// [MQTT-4.6.0-2].
    later: VecDeque<(u64, Vec<u8>)>,
    later_bytes: usize,
    /// PINGREQ packets of Weir's own that are not answered.
    pings: u32,
    /// Seconds after which the backend must be sent something; 0 for never.
    keep_alive: u16,
    /// When it was sent something last, in monotonic milliseconds.
    said: u64,
    /// How often the backend had been lost when this stream was opened.
    losses: u64,
    /// The largest packet that the backend takes.
    max_packet_size: usize,
    /// Seconds that the session is to outlive the connection, as the backend was told.
    session_expiry: u32,
}

/// A question to the backend whose answer is only a part of the client's.
enum Asked {
    /// The filters that were passed on, and whether each was new.
    Subscribe {
        codes: Vec<u8>,
        passed: Vec<(Box<str>, bool)>,
        reason: Option<Box<str>>,
        own: Vec<Own>,
    },
    Unsubscribe {
        codes: Vec<u8>,
    },
}

/// In the place of a code that the backend is still to give.
const PENDING: u8 = 0xFF;

impl Connection {
    /// Moves packets between the backend and the client; tells whether any has moved.
    pub(super) fn exchange(&mut self, cx: &mut Context<'_>, now: Now, scratch: &mut Scratch) -> Step<bool> {
        let Some(mut relayed) = self.relayed.take() else { return Ok(false) };
        let moved = self.exchange_with(&mut relayed, cx, now, scratch);
        self.relayed = Some(relayed);
        moved
    }

    fn exchange_with(
        &mut self,
        relayed: &mut Relayed,
        cx: &mut Context<'_>,
        now: Now,
        scratch: &mut Scratch,
    ) -> Step<bool> {
        if self.hub.relay.as_ref().is_some_and(|relay| relay.losses() != relayed.losses) {
            return Err(End::told(ReasonCode::ServerShuttingDown, AWAY));
        }
        let mut progress = self.deliver_held(relayed, now, &mut scratch.out)?;
        if std::mem::take(&mut relayed.fresh) {
            self.take_input(relayed, &[], now, &mut scratch.out)?;
            progress = true;
        }
        let caps = &self.settings.plan.caps;
        let holds = relayed.held.len() < caps.max_queued_messages.max(1)
            && (relayed.held_bytes as u64) < caps.max_queued_bytes.max(1);
        if holds && self.unsent.len() + scratch.out.len() < UNSENT_HIGH {
            progress |= self.read_backend(relayed, cx, now, scratch)?;
        }
        if relayed.ping_due().is_some_and(|due| due <= now.mono) {
            relayed.pings += 1;
            relayed.unsent.append(&[0xC0, 0]);
        }
        progress |= relayed.write(cx, now)?;
        Ok(progress)
    }

    /// Reads once from the backend and handles what has come; tells whether anything has.
    fn read_backend(
        &mut self,
        relayed: &mut Relayed,
        cx: &mut Context<'_>,
        now: Now,
        scratch: &mut Scratch,
    ) -> Step<bool> {
        let mut buffer = std::mem::take(&mut scratch.read);
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut relayed.stream).poll_read(cx, &mut read);
        let result = match polled {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(lost(&error)),
            Poll::Ready(Ok(())) if read.filled().is_empty() => Err(lost(&io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(())) => self.take_input(relayed, read.filled(), now, &mut scratch.out).map(|()| true),
        };
        scratch.read = buffer;
        result
    }

    /// Handles what the backend has sent, after what is left from before.
    fn take_input(&mut self, relayed: &mut Relayed, bytes: &[u8], now: Now, out: &mut Vec<u8>) -> Step<()> {
        if relayed.input.is_empty() {
            let handled = self.handle_backend(relayed, bytes, now, out)?;
            relayed.input.extend_from_slice(&bytes[handled..]);
        } else {
            let mut input = std::mem::take(&mut relayed.input);
            input.extend_from_slice(bytes);
            let handled = self.handle_backend(relayed, &input, now, out)?;
            input.drain(..handled);
            if !input.is_empty() {
                relayed.input = input;
            }
        }
        Ok(())
    }
}

impl Relayed {
    /// When the backend must hear something, in monotonic milliseconds.
    pub(super) fn ping_due(&self) -> Option<u64> {
        (self.keep_alive > 0).then(|| self.said + u64::from(self.keep_alive) * 1000)
    }

    /// Whether the backend takes what it is sent, and answers it; if not, nothing more is read from the client.
    pub(super) fn takes_more(&self) -> bool {
        self.unsent.len() < UNSENT_HIGH && self.later_bytes < UNSENT_HIGH
    }

    /// Takes Weir's own answer to a publish out of `out`, where it begins at `start`, if the backend still owes answers to
    /// earlier ones: it follows them.
    pub(super) fn follow(&mut self, out: &mut Vec<u8>, start: usize) {
        if self.answered < self.passed && out.len() > start {
            self.later_bytes += out.len() - start;
            self.later.push_back((self.passed, out.split_off(start)));
        }
    }

    /// The backend has answered one more publish; what was to follow that goes out.
    fn answered(&mut self, out: &mut Vec<u8>) {
        self.answered += 1;
        while let Some((_, answer)) = self.later.pop_front_if(|(after, _)| *after <= self.answered) {
            self.later_bytes -= answer.len();
            out.extend_from_slice(&answer);
        }
    }

    /// Waits for the answers that the backend owes, for a short while: what it has taken is acknowledged before the client's
    /// connection is closed, or the client would send it again. They are appended to `out`.
    pub(super) async fn drain(&mut self, hub: &Hub, out: &mut Vec<u8>) {
        let until = hub.clock.now().mono + LINGER;
        let answers = async {
            if self.stream.write_all(self.unsent.bytes()).await.is_err() || self.stream.flush().await.is_err() {
                return;
            }
            self.unsent = Unsent::default();
            while self.answered < self.passed {
                let mut some = [0; 1024];
                match self.stream.read(&mut some).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => self.input.extend_from_slice(&some[..n]),
                }
                while let Ok(Some(header)) = frame_header(&self.input, usize::MAX)
                    && self.input.len() >= header.total_len()
                {
                    let frame: Vec<u8> = self.input.drain(..header.total_len()).collect();
                    if matches!(header.kind(), 4 | 5) {
                        out.extend_from_slice(&frame);
                        self.answered(out);
                    }
                }
            }
        };
        tokio::select! {
            () = answers => {}
            () = hub.clock.sleep_until(until) => {}
        }
    }

    /// Writes what there is to the backend; tells whether it took any of it.
    fn write(&mut self, cx: &mut Context<'_>, now: Now) -> Step<bool> {
        if self.unsent.is_empty() {
            return Ok(false);
        }
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, self.unsent.bytes()) else {
            return Ok(false);
        };
        let written = written.map_err(|error| lost(&error))?;
        self.unsent.advance(written);
        self.said = now.mono;
        // A stream that collects what it is given before it sends it is asked to do so.
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
            return Err(lost(&error));
        }
        Ok(written > 0)
    }

    /// Sends an acknowledgement of Weir's own to the backend.
    fn acknowledge(&mut self, kind: AckKind, id: PacketId) {
        crate::wire::put_ack(self.unsent.buffer(), kind, id);
    }

    /// Ends the stream as the client has ended its own. `forget_will`: the backend is not to publish the will that it has.
    /// `session_expiry`: where the client has said goodbye, the seconds that its session is to live on.
    pub(super) async fn close(mut self, hub: &Hub, end: &End, forget_will: bool, session_expiry: u32) {
        let goodbye = matches!(end.how, How::Goodbye { .. });
        let reason = match (end.how, forget_will) {
            (How::Goodbye { will: true }, false) => Some(ReasonCode::DisconnectWithWill),
            (How::Goodbye { .. }, _) | (_, true) => Some(ReasonCode::NormalDisconnection),
            // As the client's connection has broken, so does this one, and the will is published.
            (How::Lost | How::Told, false) => None,
        };
        if let Some(reason) = reason {
            let mut properties = PropertyBuf::new();
            if goodbye && self.version == Version::V5 && session_expiry != self.session_expiry {
                properties.push(Property::SessionExpiryInterval(session_expiry));
            }
            let disconnect = Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() });
            // Only MQTT 5 clients end with their will.
            let encoded = disconnect.encode(self.version, self.unsent.buffer());
            debug_assert!(encoded.is_ok());
        }
        let last = async {
            if self.stream.write_all(self.unsent.bytes()).await.is_ok() {
                // A backend that is gone does not hear it; that is all there is to it.
                let _ = self.stream.shutdown().await;
            }
        };
        tokio::select! {
            () = last => {}
            () = hub.clock.sleep_until(hub.clock.now().mono + LINGER) => {}
        }
    }
}

fn lost(error: &io::Error) -> Box<End> {
    End::told(ReasonCode::ServerShuttingDown, format!("{AWAY} ({error})"))
}
