//! What the steward has to send and what is not acknowledged yet: a state machine without sockets or clock. The steward's
//! connection drives it; messages and acknowledgements go in, bytes come out.

use std::collections::VecDeque;

use super::hello::Peer;
use crate::router::Message;
use crate::stats::Stats;
use crate::wire::{AckKind, PacketId, Property, QoS, ReasonCode, Version, publish_len, put_ack, put_publish};

/// The most messages that are held, and the most bytes of them.
pub(super) const MAX_MESSAGES: usize = 10_000;
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Bytes that are encoded before they are written.
const ENOUGH: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    /// Not sent on this connection, in their order.
    waiting: VecDeque<Waiting>,
    /// Sent at QoS 1 or 2 on this connection and not done, in the order of sending.
    in_flight: VecDeque<InFlight>,
    /// The bytes of both.
    bytes: usize,
    last_id: u16,
}

struct Waiting {
    message: Message,
    /// Whether it was sent on an earlier connection, and not acknowledged.
    again: bool,
}

struct InFlight {
    id: PacketId,
    message: Message,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// QoS 1: PUBACK is awaited.
    Ack,
    /// QoS 2: PUBREC is awaited.
    Rec,
    /// QoS 2: PUBREL was sent and PUBCOMP is awaited.
    Comp,
}

impl Outbox {
    /// Takes a message; tells whether there was room for it.
    pub(super) fn push(&mut self, message: Message) -> bool {
        let count = self.waiting.len() + self.in_flight.len();
        if count >= MAX_MESSAGES || self.bytes + message.size() > MAX_BYTES {
            return false;
        }
        self.bytes += message.size();
        self.waiting.push_back(Waiting { message, again: false });
        true
    }

    /// Begins another connection, which is another session too: what was not acknowledged is published again, in its order and
    /// before anything newer, as the duplicate that it may be. A QoS 2 message of which PUBREC has come is the other broker's,
    /// and is done: PUBREL went out with it, and the session in which it could be sent again is over.
    pub(super) fn begin(&mut self) {
        while let Some(InFlight { message, step, .. }) = self.in_flight.pop_back() {
            if step == Step::Comp {
                self.bytes -= message.size();
            } else {
                self.waiting.push_front(Waiting { message, again: true });
            }
        }
    }

    /// Appends as much as may be sent now; a part of it where that is much.
    pub(super) fn write(&mut self, peer: &Peer, now: u64, stats: &Stats, out: &mut Vec<u8>) {
        while out.len() < ENOUGH
            && let Some(next) = self.waiting.front()
        {
            // [MQTT-3.2.2-11]
            let qos = next.message.qos().min(peer.max_qos);
            if qos != QoS::AtMostOnce && !self.has_quota(peer) {
                return;
            }
            let Some(Waiting { message, again }) = self.waiting.pop_front() else { return };
            let expiry = match message.expiry_left(now) {
                Ok(left) => left,
                // Once sent, a message does not expire any more [MQTT-4.3.3-7].
                Err(_) if again => Some(0),
                Err(_) => {
                    self.bytes -= message.size();
                    stats.dropped_expired.add(1);
                    continue;
                }
            };
            // [MQTT-3.2.2-15]
            if packet_len(&message, qos, expiry, peer.version) > peer.max_packet_size {
                self.bytes -= message.size();
                stats.dropped_backend_lost.add(1);
                continue;
            }
            let id = match qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce | QoS::ExactlyOnce => Some(self.following_id()),
            };
            put(&message, qos, id, again, expiry, peer, out);
            match id {
                None => self.bytes -= message.size(),
                Some(id) => {
                    self.last_id = id.get();
                    let step = if qos == QoS::AtLeastOnce { Step::Ack } else { Step::Rec };
                    self.in_flight.push_back(InFlight { id, message, step });
                }
            }
        }
    }

    /// PUBACK: the message is done. Tells whether it was refused.
    pub(super) fn puback(&mut self, id: PacketId, reason: ReasonCode) -> bool {
        self.done(id, Step::Ack) && reason.is_error()
    }

    /// PUBREC: the message is the other broker's, or refused, which is told. One that is not known is not answered.
    pub(super) fn pubrec(&mut self, id: PacketId, reason: ReasonCode, out: &mut Vec<u8>) -> bool {
        if reason.is_error() {
            return self.done(id, Step::Rec);
        }
        if let Some(at) = self.position(id).filter(|at| self.in_flight[*at].step != Step::Ack) {
            self.in_flight[at].step = Step::Comp;
            put_ack(out, AckKind::PubRel, id);
        }
        false
    }

    /// PUBCOMP: the message is done, whatever the reason code.
    pub(super) fn pubcomp(&mut self, id: PacketId) {
        self.done(id, Step::Comp);
    }

    /// Whether a message of QoS 1 or 2 may be sent: the peer's Receive Maximum allows it [MQTT-3.3.4-7], and the next packet
    /// identifier is not in use [MQTT-2.2.1-3]. They are given in order, so of those in use only the oldest can be met.
    fn has_quota(&self, peer: &Peer) -> bool {
        self.in_flight.len() < peer.receive_maximum
            && self.in_flight.front().is_none_or(|oldest| oldest.id != self.following_id())
    }

    fn following_id(&self) -> PacketId {
        PacketId::new(self.last_id.wrapping_add(1)).unwrap_or(PacketId::MIN)
    }

    fn position(&self, id: PacketId) -> Option<usize> {
        // Acknowledgements come in the order of sending, or nearly so.
        self.in_flight.iter().position(|in_flight| in_flight.id == id)
    }

    fn done(&mut self, id: PacketId, step: Step) -> bool {
        let found = self.position(id).filter(|at| self.in_flight[*at].step == step);
        let Some(done) = found.and_then(|at| self.in_flight.remove(at)) else { return false };
        self.bytes -= done.message.size();
        true
    }
}

/// The bytes that Message Expiry Interval takes.
const EXPIRY: usize = 5;

fn packet_len(message: &Message, qos: QoS, expiry: Option<u32>, version: Version) -> usize {
    let properties = message.properties().len() + if expiry.is_some() { EXPIRY } else { 0 };
    let has_id = qos != QoS::AtMostOnce;
    publish_len(version, message.topic_bytes().len(), has_id, properties, message.payload().len())
}

fn put(
    message: &Message,
    qos: QoS,
    id: Option<PacketId>,
    again: bool,
    expiry: Option<u32>,
    peer: &Peer,
    out: &mut Vec<u8>,
) {
    // A message of QoS 0 is never a duplicate [MQTT-3.3.1-2]; one that is sent again is [MQTT-3.3.1-1].
    let dup = again && id.is_some();
    // [MQTT-3.2.2-14]
    let retain = message.retain() && peer.retain;
    let first = 0x30 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain);
    let mut own = Vec::new();
    if let Some(left) = expiry {
        Property::MessageExpiryInterval(left).encode(&mut own);
    }
    let properties: &[&[u8]] = &[&own, message.properties()];
    put_publish(out, peer.version, first, message.topic_bytes(), id, properties, message.payload());
}
