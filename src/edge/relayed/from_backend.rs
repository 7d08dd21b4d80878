//! From the backend to the client: answers pass as they are; deliveries are asked about first, as those of Weir's own router
//! are. What the client may not have is finished with the backend by Weir, so that it does not come again; what must wait is
//! kept, in order, and the backend goes on waiting for its acknowledgement.

use super::super::answer::{self, Reasons};
use super::super::connection::Connection;
use super::super::counted;
use super::super::end::{End, Step};
use super::super::outbound::Excess;
use super::to_backend::put_raw;
use super::{Asked, PENDING, Relayed};
use crate::clock::Now;
use crate::hooks::{DeliverEvent, Delivered, Verdict};
use crate::identity::Action;
use crate::wire::{
    Ack, AckKind, Packet, PacketId, PropertyBuf, Publish, QoS, ReasonCode, SubAck, UnsubAck, Version, WireError,
    frame_header,
};

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was written, or dropped and counted.
    Done,
    /// It waits, and with it every other of QoS 1 and 2.
    Waits,
}

impl Connection {
    /// Handles every whole frame in `bytes`; tells how many bytes that were.
    pub(super) fn handle_backend(
        &mut self,
        relayed: &mut Relayed,
        bytes: &[u8],
        now: Now,
        out: &mut Vec<u8>,
    ) -> Step<usize> {
        let limit = self.settings.config.mqtt.max_packet_size as usize + relayed.names.overhead();
        let mut at = relayed.skip.min(bytes.len());
        relayed.skip -= at;
        while let Some(header) = frame_header(&bytes[at..], usize::MAX).map_err(nonsense)? {
            let end = at + header.total_len();
            if header.total_len() > limit {
                let there = &bytes[at + header.header_len..];
                if !self.skip_delivery(relayed, header.first, there)? {
                    break;
                }
                relayed.skip = end.saturating_sub(bytes.len());
                at = end.min(bytes.len());
                continue;
            }
            if end > bytes.len() {
                break;
            }
            self.packet_of_backend(relayed, header.first, &bytes[at + header.header_len..end], now, out)?;
            at = end;
        }
        Ok(at)
    }

    /// A packet that is larger than Weir takes: a delivery is finished with the backend, and the rest of it thrown away. False:
    /// not enough of it has come to tell what it is.
    fn skip_delivery(&mut self, relayed: &mut Relayed, first: u8, there: &[u8]) -> Step<bool> {
        let qos = QoS::from_bits(first >> 1 & 0b11).filter(|_| first >> 4 == 3);
        let Some(qos) = qos else {
            return Err(End::told(ReasonCode::ImplementationSpecificError, "the broker behind this one sent too much"));
        };
        let topic_len = there.first_chunk().map_or(usize::MAX - 4, |len| usize::from(u16::from_be_bytes(*len)));
        let needed = 2 + topic_len + if qos == QoS::AtMostOnce { 0 } else { 2 };
        if there.len() < needed {
            return Ok(false);
        }
        let id = there[2 + topic_len..].first_chunk().and_then(|id| PacketId::new(u16::from_be_bytes(*id)));
        self.hub.stats.dropped_too_large.add(1);
        self.keep_back(relayed, qos, id);
        Ok(true)
    }

    fn packet_of_backend(
        &mut self,
        relayed: &mut Relayed,
        first: u8,
        body: &[u8],
        now: Now,
        out: &mut Vec<u8>,
    ) -> Step<()> {
        let version = self.version();
        if first >> 4 == 3 {
            let publish = Publish::decode(version, first, body).map_err(nonsense)?;
            let waits = publish.qos > QoS::AtMostOnce && (!relayed.held.is_empty() || self.must_wait());
            let again =
                publish.dup && publish.packet_id.is_some_and(|id| self.settings.session.relayed().was_delivered(id));
            if (waits && !again) || self.deliver_relayed(relayed, &publish, again, now, out)? == Fate::Waits {
                relayed.hold(first, body);
            }
            return Ok(());
        }
        match Packet::decode(version, first, body).map_err(nonsense)? {
            Packet::PubAck(ack) => {
                self.pass_ack(AckKind::PubAck, first, body, &ack, out);
                relayed.answered(out);
            }
            Packet::PubRec(ack) => {
                relayed.unreceived.remove(&ack.packet_id.get());
                if ack.reason.is_error() {
                    self.settings.session.release(ack.packet_id);
                }
                self.pass_ack(AckKind::PubRec, first, body, &ack, out);
                relayed.answered(out);
            }
            Packet::PubComp(ack) => {
                self.settings.session.release(ack.packet_id);
                self.pass_ack(AckKind::PubComp, first, body, &ack, out);
            }
            Packet::PubRel(ack) => {
                let session = self.settings.session.relayed();
                if session.release_kept_back(ack.packet_id) {
                    relayed.acknowledge(AckKind::PubComp, ack.packet_id);
                } else {
                    session.deliver(ack.packet_id, QoS::ExactlyOnce);
                    self.pass_ack(AckKind::PubRel, first, body, &ack, out);
                }
            }
            Packet::SubAck(suback) => self.answer_subscribe(relayed, body, &suback, now, out),
            Packet::UnsubAck(unsuback) => self.answer_unsubscribe(relayed, body, &unsuback, out),
            Packet::PingResp if relayed.pings > 0 => relayed.pings -= 1,
            Packet::PingResp => put_raw(out, first, body),
            Packet::Disconnect(disconnect) => {
                let text = disconnect.properties.reason_string().unwrap_or("the broker behind this one disconnects");
                return Err(End::told(disconnect.reason, text.to_owned()));
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Auth(_) => return Err(nonsense(WireError::ReservedPacketType(first >> 4))),
        }
        Ok(())
    }

    /// Whether deliveries of QoS 1 and 2 may not be sent now: for the `receive` limit, or because as many are unacknowledged as
    /// may be.
    fn must_wait(&mut self) -> bool {
        let quota = self.settings.link.quota();
        self.deferred.is_some() || self.settings.session.relayed().in_flight() >= quota
    }

    /// Sends what has waited, as far as it may go now; tells whether any went.
    pub(super) fn deliver_held(&mut self, relayed: &mut Relayed, now: Now, out: &mut Vec<u8>) -> Step<bool> {
        let mut progress = false;
        while !relayed.held.is_empty()
            && !self.must_wait()
            && self.unsent.len() + out.len() < super::UNSENT_HIGH
            && let Some(frame) = relayed.take_held()
        {
            let (first, body) = (frame[0], &frame[1..]);
            let publish = Publish::decode(self.version(), first, body).map_err(nonsense)?;
            let again = publish.packet_id.is_some_and(|id| self.settings.session.relayed().is_delivered(id));
            if self.deliver_relayed(relayed, &publish, again, now, out)? == Fate::Waits {
                relayed.put_back(frame);
                break;
            }
            progress = true;
        }
        Ok(progress)
    }

    /// Sends a delivery to the client under its own names, if rules, size, limits and hooks allow. `again`: it was counted when
    /// it was sent before.
    fn deliver_relayed(
        &mut self,
        relayed: &mut Relayed,
        publish: &Publish<'_>,
        again: bool,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Step<Fate> {
        let stats = &self.hub.stats;
        let (qos, id) = (publish.qos, publish.packet_id);
        let settings = &*self.settings;
        let topic = relayed.names.own(publish.topic);
        let allowed =
            |topic: &&str| !settings.access.restricts_deliveries() || settings.access.allows(Action::Subscribe, topic);
        let Some(topic) = topic.filter(allowed) else {
            stats.dropped_refused.add(1);
            self.keep_back(relayed, qos, id);
            return Ok(Fate::Done);
        };
        let mut own = PropertyBuf::new();
        let properties = relayed.names.own_properties(publish.properties, &mut own);
        let start = out.len();
        let encoded = Packet::Publish(Publish { topic, properties, ..*publish }).encode(self.version(), out);
        if encoded.is_err() || out.len() - start > settings.link.max_packet_size() {
            out.truncate(start);
            stats.dropped_too_large.add(1);
            self.keep_back(relayed, qos, id);
            return Ok(Fate::Done);
        }
        let event = DeliverEvent { what: Delivered::Relayed { topic, payload: publish.payload }, qos };
        let verdict = if again { Verdict::Allow } else { self.hub.hooks.deliver(&settings.client, &event, now) };
        if verdict == Verdict::Allow {
            counted::sent(qos, publish.payload.len());
            if let Some(id) = id {
                self.settings.session.relayed().deliver(id, qos);
            }
            return Ok(Fate::Done);
        }
        out.truncate(start);
        match verdict {
            Verdict::Deny(denial) => match self.exceed(qos, denial) {
                Excess::Dropped => self.keep_back(relayed, qos, id),
                Excess::Waits => return Ok(Fate::Waits),
                // The backend was not told that the client has it, and keeps it.
                Excess::Ends(end) => return Err(end),
            },
            Verdict::Refuse(_) | Verdict::Allow => {
                stats.dropped_refused.add(1);
                self.keep_back(relayed, qos, id);
            }
        }
        Ok(Fate::Done)
    }

    /// Finishes a delivery with the backend that the client is not sent.
    fn keep_back(&mut self, relayed: &mut Relayed, qos: QoS, id: Option<PacketId>) {
        match (qos, id) {
            (QoS::AtMostOnce, _) | (_, None) => {}
            (QoS::AtLeastOnce, Some(id)) => relayed.acknowledge(AckKind::PubAck, id),
            (QoS::ExactlyOnce, Some(id)) => {
                self.settings.session.relayed().keep_back(id);
                relayed.acknowledge(AckKind::PubRec, id);
            }
        }
    }

    /// Passes an acknowledgement on, without its reasons where it would be larger than the client takes [MQTT-3.4.2-2].
    fn pass_ack(&self, kind: AckKind, first: u8, body: &[u8], ack: &Ack<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        put_raw(out, first, body);
        if out.len() - start > self.addressee().max_packet_size {
            out.truncate(start);
            answer::ack(out, self.addressee(), kind, ack.packet_id, ack.reason, &Reasons { text: "", denial: None });
        }
    }

    /// The client's whole answer: the backend's codes in the places that were left for them.
    fn answer_subscribe(
        &mut self,
        relayed: &mut Relayed,
        body: &[u8],
        suback: &SubAck<'_>,
        now: Now,
        out: &mut Vec<u8>,
    ) {
        let asked = relayed.asked.remove(&suback.packet_id.get());
        let Some(Asked::Subscribe { mut codes, passed, reason, own }) = asked else {
            return put_raw(out, 0x90, body);
        };
        for ((filter, new), code) in passed.iter().zip(suback.codes) {
            if *code >= 0x80 && *new {
                self.settings.session.unsubscribe(filter);
            }
        }
        let all = codes.len() == passed.len();
        fill(&mut codes, suback.codes, ReasonCode::UnspecifiedError);
        let start = out.len();
        if all && own.is_empty() {
            put_raw(out, 0x90, body);
        }
        if !all || out.len() - start > self.addressee().max_packet_size {
            out.truncate(start);
            let text = reason.as_deref().or(suback.properties.reason_string()).unwrap_or("");
            let reasons = Reasons { text, denial: None };
            answer::suback(out, self.version(), self.addressee(), suback.packet_id, &codes, &reasons);
        }
        for message in own {
            self.send_own(&message, true, now, out);
        }
    }

    fn answer_unsubscribe(&mut self, relayed: &mut Relayed, body: &[u8], unsuback: &UnsubAck<'_>, out: &mut Vec<u8>) {
        let Some(Asked::Unsubscribe { mut codes }) = relayed.asked.remove(&unsuback.packet_id.get()) else {
            return put_raw(out, 0xB0, body);
        };
        fill(&mut codes, unsuback.codes, ReasonCode::Success);
        if self.version() != Version::V5 {
            codes.clear();
        }
        answer::unsuback(out, self.version(), self.addressee().max_packet_size, unsuback.packet_id, &codes);
    }
}

impl Relayed {
    /// Keeps a delivery until it may go: its frame without the length, which its size says.
    fn hold(&mut self, first: u8, body: &[u8]) {
        let frame = [&[first], body].concat();
        self.held_bytes += frame.len();
        self.held.push_back(frame.into());
    }

    fn take_held(&mut self) -> Option<Box<[u8]>> {
        let frame = self.held.pop_front()?;
        self.held_bytes -= frame.len();
        if self.held.is_empty() {
            self.held = Default::default();
        }
        Some(frame)
    }

    fn put_back(&mut self, frame: Box<[u8]>) {
        self.held_bytes += frame.len();
        self.held.push_front(frame);
    }
}

/// Puts the backend's codes in the places that were left for them; `missing` where it has given too few.
fn fill(codes: &mut [u8], given: &[u8], missing: ReasonCode) {
    let mut given = given.iter().copied();
    for code in codes.iter_mut().filter(|code| **code == PENDING) {
        *code = given.next().unwrap_or(missing as u8);
    }
}

fn nonsense(error: WireError) -> Box<End> {
    End::told(ReasonCode::ImplementationSpecificError, format!("the broker behind this one sent nonsense: {error}"))
}
