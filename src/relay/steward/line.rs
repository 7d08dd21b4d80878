//! One connection of the steward, from its CONNACK until it is lost: writes what the outbox has, reads acknowledgements, and
//! asks a silent peer whether it is there. The steward tends one at a time; nothing is dialled here.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Steward;
use super::hello::{MAX_PACKET, Peer};
use crate::wire::{Packet, ReasonCode, WireError, frame_header};

/// How long the peer may be silent before it is asked whether it is there, and how long it may take to answer, in milliseconds.
const SILENCE: u64 = 5_000;
const ANSWER: u64 = 5_000;

/// How often it is asked at most where clients doubt it, in milliseconds.
const DOUBT: u64 = 1_000;

/// How long a last look takes before a peer counts as lost, on the machine's own clock: one that has jumped, as when the machine
/// was stopped for a while, leaves no time for an answer that is on its way.
const GRACE: Duration = Duration::from_millis(250);

struct Line<'p> {
    peer: &'p Peer,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Something was written since the last flush.
    unflushed: bool,
    /// When anything came, or, before that, when the connection began.
    heard: u64,
    /// When PINGREQ was sent last.
    asked: Option<u64>,
    /// Whether nothing has come since then.
    awaits: bool,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("it did not answer for {} s", ANSWER / 1_000)]
    Silent,
    #[error("it said goodbye: {0}")]
    Goodbye(String),
    #[error("what it sent is not MQTT: {0}")]
    Wire(#[from] WireError),
}

enum Event {
    Read(usize),
    Written(usize),
    Flushed,
    Filled,
    Doubted,
    Due,
}

/// Tends a connection until it is lost. `input` is what came after CONNACK.
pub(super) async fn tend<S>(steward: &Steward, stream: S, peer: &Peer, input: Vec<u8>) -> Lost
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let heard = steward.clock.now().mono;
    let mut line = Line { peer, input, out: Vec::new(), unflushed: false, heard, asked: None, awaits: false };
    steward.outbox.lock().begin();
    loop {
        if let Err(lost) = line.handle(steward) {
            return lost;
        }
        let now = steward.clock.now().mono;
        steward.outbox.lock().write(peer, now, &steward.stats, &mut line.out);
        let due = line.due();
        let event = tokio::select! {
            read = reader.read_buf(&mut line.input) => read.map(Event::Read),
            written = write_some(&mut writer, &line.out, line.unflushed) => written,
            () = steward.filled.notified() => Ok(Event::Filled),
            () = steward.doubted.notified() => Ok(Event::Doubted),
            () = steward.clock.sleep_until(due) => Ok(Event::Due),
        };
        let event = match event {
            Ok(Event::Due) if line.awaits => {
                let last = line.ask_last(&mut reader, &mut writer);
                tokio::time::timeout(GRACE, last).await.unwrap_or(Ok(Event::Due))
            }
            event => event,
        };
        match event {
            Ok(event) => {
                if let Err(lost) = line.take(event, steward.clock.now().mono) {
                    return lost;
                }
            }
            Err(error) => return error.into(),
        }
    }
}

/// Writes some of what is there, or flushes what was written; waits for ever where there is neither. Nothing is lost where the
/// caller stops waiting.
async fn write_some(writer: &mut (impl AsyncWrite + Unpin), out: &[u8], unflushed: bool) -> io::Result<Event> {
    if !out.is_empty() {
        return match writer.write(out).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(Event::Written(written)),
        };
    }
    if unflushed {
        writer.flush().await?;
        return Ok(Event::Flushed);
    }
    pending().await
}

impl Line<'_> {
    /// When something is due if nothing comes.
    fn due(&self) -> u64 {
        match self.asked {
            Some(asked) if self.awaits => asked + ANSWER,
            _ => self.heard + self.silence(),
        }
    }

    /// A keep-alive that the peer has chosen may be shorter than ours [MQTT-3.1.2-20], [MQTT-3.2.2-21].
    fn silence(&self) -> u64 {
        match self.peer.keep_alive {
            0 => SILENCE,
            seconds => SILENCE.min(u64::from(seconds) * 500),
        }
    }

    fn take(&mut self, event: Event, now: u64) -> Result<(), Lost> {
        match event {
            Event::Read(0) => return Err(Lost::Closed),
            Event::Read(_) => (self.heard, self.awaits) = (now, false),
            Event::Written(written) => {
                self.out.drain(..written);
                self.unflushed = true;
            }
            Event::Flushed => self.unflushed = false,
            // The outbox is asked each time.
            Event::Filled => {}
            Event::Doubted if !self.awaits && self.asked.is_none_or(|asked| asked + DOUBT <= now) => self.ask(now)?,
            Event::Doubted => {}
            Event::Due if self.awaits => return Err(Lost::Silent),
            Event::Due => self.ask(now)?,
        }
        Ok(())
    }

    /// Writes what is left to be written, and waits for an answer that may be on its way.
    async fn ask_last(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Event> {
        writer.write_all(&self.out).await?;
        self.out.clear();
        writer.flush().await?;
        self.unflushed = false;
        reader.read_buf(&mut self.input).await.map(Event::Read)
    }

    fn ask(&mut self, now: u64) -> Result<(), Lost> {
        Packet::PingReq.encode(self.peer.version, &mut self.out)?;
        (self.asked, self.awaits) = (Some(now), true);
        Ok(())
    }

    /// Handles the packets that have come whole.
    fn handle(&mut self, steward: &Steward) -> Result<(), Lost> {
        let mut at = 0;
        while let Some(header) = frame_header(&self.input[at..], MAX_PACKET as usize)?
            && let Some(frame) = self.input.get(at..at + header.total_len())
        {
            let packet = Packet::decode(self.peer.version, header.first, &frame[header.header_len..])?;
            let refused = match packet {
                Packet::PubAck(ack) => steward.outbox.lock().puback(ack.packet_id, ack.reason).then_some(ack),
                Packet::PubRec(ack) => {
                    steward.outbox.lock().pubrec(ack.packet_id, ack.reason, &mut self.out).then_some(ack)
                }
                Packet::PubComp(ack) => {
                    steward.outbox.lock().pubcomp(ack.packet_id);
                    None
                }
                Packet::Disconnect(disconnect) => {
                    let said = disconnect.properties.reason_string();
                    return Err(Lost::Goodbye(told(disconnect.reason, said)));
                }
                // The answer to PINGREQ has done its part by coming; nothing was subscribed to.
                _ => None,
            };
            if let Some(ack) = refused {
                steward.stats.dropped_refused.add(1);
                let reason = told(ack.reason, ack.properties.reason_string());
                tracing::debug!(reason, "the backend refused a message of Weir's own");
            }
            at += header.total_len();
        }
        self.input.drain(..at);
        Ok(())
    }
}

fn told(reason: ReasonCode, said: Option<&str>) -> String {
    match said {
        Some(said) => format!("{reason}, {said:?}"),
        None => reason.to_string(),
    }
}
