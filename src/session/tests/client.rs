//! A session, the connection that drives it as the edge does, and a client that keeps book of every packet: each rule of
//! section 4 that it can see broken is a panic.

use std::collections::{BTreeMap, VecDeque};

use super::super::*;
use super::{Sample, delivery, id, mailbox};
use crate::wire::{Packet, Publish, Version, frame_header};

/// What a client takes on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) version: Version,
    pub(super) quota: u16,
    pub(super) max_packet_size: usize,
    pub(super) alias_maximum: u16,
}

/// A message as it is put in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) qos: QoS,
    pub(super) topic: &'static str,
    pub(super) padding: usize,
    /// Message Expiry Interval in seconds.
    pub(super) expiry: Option<u32>,
}

/// How far a message has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Not sent yet.
    New,
    /// Sent as PUBLISH; with PUBREC its next step.
    Published,
    /// QoS 2: PUBREC was sent by the client.
    Received,
    /// Acknowledged, refused, or dropped for its time or its size.
    Done,
}

struct Entry {
    given: Given,
    received: u64,
    stage: Stage,
    id: u16,
    /// PUBLISH was sent on this connection.
    published_here: bool,
    /// PUBLISH or PUBREL was.
    sent_here: bool,
}

impl Entry {
    fn is_in_use(&self) -> bool {
        matches!(self.stage, Stage::Published | Stage::Received)
    }

    fn has_expired(&self, now: u64) -> bool {
        self.given.expiry.is_some_and(|expiry| now - self.received >= u64::from(expiry) * 1_000)
    }

    /// The length of its PUBLISH without an alias. No body here is so long that its length takes two bytes.
    fn packet_size(&self, version: Version) -> usize {
        let properties = if self.given.expiry.is_some() { 1 + 5 } else { 1 };
        let properties = if version == Version::V5 { properties } else { 0 };
        let packet_id = if self.given.qos == QoS::AtMostOnce { 0 } else { 2 };
        2 + 2 + self.given.topic.len() + packet_id + properties + 4 + self.given.padding
    }
}

/// See the module's text.
pub(super) struct Client {
    session: Session,
    link: Option<(Link, Terms)>,
    stats: Stats,
    now: u64,
    /// By number, which is their order.
    messages: Vec<Entry>,
    /// The topics of this connection's aliases.
    aliases: BTreeMap<u16, String>,
    /// The latest message of QoS 1 or 2 that came on this connection.
    latest: Option<usize>,
    out: Vec<u8>,
}

impl Client {
    pub(super) fn connected(terms: Terms) -> Self {
        let mut client = Client {
            session: Session::new(mailbox()),
            link: None,
            stats: Stats::default(),
            now: 10_000,
            messages: Vec::new(),
            aliases: BTreeMap::new(),
            latest: None,
            out: Vec::new(),
        };
        client.link(terms);
        client
    }

    fn link(&mut self, terms: Terms) {
        let link = Link::new(terms.version, terms.quota, terms.max_packet_size, terms.alias_maximum);
        self.link = Some((link, terms));
        self.aliases.clear();
        self.latest = None;
        self.messages.iter_mut().for_each(|message| (message.published_here, message.sent_here) = (false, false));
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now += seconds * 1_000;
    }

    /// A publisher has something for the client.
    pub(super) fn give(&mut self, given: Given) {
        let number = self.messages.len() as u32;
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(4 + given.padding, 0);
        let sample = Sample { payload: &payload, expiry: given.expiry, received: self.now, ..Sample::default() };
        let taken = self.session.mailbox().push(delivery(sample.message(given.topic, given.qos)), &self.stats);
        assert_eq!(taken, self.is_connected() || given.qos != QoS::AtMostOnce);
        let stage = if taken { Stage::New } else { Stage::Done };
        let (published_here, sent_here) = (false, false);
        self.messages.push(Entry { given, received: self.now, stage, id: 0, published_here, sent_here });
        self.pump();
    }

    pub(super) fn lose(&mut self) {
        if self.link.take().is_some() {
            self.session.park(&self.stats);
            let qos_0 = |m: &&mut Entry| m.given.qos == QoS::AtMostOnce;
            self.messages.iter_mut().filter(qos_0).for_each(|message| message.stage = Stage::Done);
        }
    }

    pub(super) fn come_back(&mut self, terms: Terms) {
        self.lose();
        self.session.mailbox().connected(crate::router::samples::ROOMY);
        self.session.resume();
        self.link(terms);
        self.pump();
    }

    /// Sends all that may be sent now, as the edge does, and reads it.
    fn pump(&mut self) {
        let Some((link, terms)) = &mut self.link else { return };
        let ids = |session: &Session| session.outbound.iter().map(|outbound| outbound.id.get()).collect::<Vec<_>>();
        let mut gone = ids(&self.session);
        let dropped = self.session.resend(link, self.now, &mut self.out);
        gone.retain(|id| !ids(&self.session).contains(id));
        assert_eq!(dropped, gone.len() as u64);
        for id in gone {
            let message = self.messages.iter_mut().find(|m| m.is_in_use() && m.id == id).unwrap();
            assert!(message.packet_size(terms.version) > terms.max_packet_size);
            message.stage = Stage::Done;
        }
        let mut taken = VecDeque::new();
        while let Some(delivery) = self.session.next_waiting() {
            taken.push_back(delivery);
        }
        self.session.mailbox().take(&mut taken, u64::MAX, usize::MAX, Held::default());
        for delivery in taken {
            if delivery.qos != QoS::AtMostOnce && self.session.is_waiting() {
                self.session.wait(delivery);
                continue;
            }
            let message = &mut self.messages[number(delivery.message.payload())];
            match self.session.ready(&delivery, link, self.now) {
                Ready::Now => self.session.send(delivery, link, self.now, &mut self.out),
                Ready::NoQuota => self.session.wait(delivery),
                Ready::Expired => {
                    assert!(message.has_expired(self.now));
                    message.stage = Stage::Done;
                }
                Ready::TooLarge => {
                    assert!(message.packet_size(terms.version) > terms.max_packet_size);
                    message.stage = Stage::Done;
                }
            }
        }
        self.read();
    }

    fn read(&mut self) {
        let out = std::mem::take(&mut self.out);
        let terms = self.link.as_ref().unwrap().1;
        let mut rest = &out[..];
        while !rest.is_empty() {
            let header = frame_header(rest, terms.max_packet_size).unwrap().unwrap();
            let (packet, after) = rest.split_at(header.total_len());
            match Packet::decode(terms.version, header.first, &packet[header.header_len..]).unwrap() {
                Packet::Publish(publish) => self.publish(&publish, terms),
                Packet::PubRel(pubrel) => self.pubrel(pubrel.packet_id),
                other => panic!("a session sends no {other:?}"),
            }
            rest = after;
        }
    }

    fn publish(&mut self, publish: &Publish<'_>, terms: Terms) {
        let number = number(publish.payload);
        self.check_topic(publish, self.messages[number].given.topic, terms);
        let message = &self.messages[number];
        assert_eq!(publish.qos, message.given.qos);
        assert!(!message.published_here, "{number} was sent twice on one connection");
        assert!(publish.dup || !message.has_expired(self.now), "{number} had expired");
        if terms.version == Version::V5 {
            let waited = ((self.now - message.received) / 1_000) as u32;
            let left = message.given.expiry.map(|expiry| expiry.saturating_sub(waited));
            assert_eq!(publish.properties.message_expiry_interval(), left, "of {number}");
        }
        let Some(packet_id) = publish.packet_id else {
            self.messages[number].stage = Stage::Done;
            return;
        };
        // DUP: on what is sent again, and only there [MQTT-3.3.1-1], [MQTT-3.3.1-2]. After PUBREC comes no PUBLISH.
        assert_eq!(message.stage, if publish.dup { Stage::Published } else { Stage::New });
        if publish.dup {
            assert_eq!(packet_id.get(), message.id, "sent again as what it was");
        } else {
            let with_that_id = self.messages.iter().position(|m| m.is_in_use() && m.id == packet_id.get());
            assert_eq!(with_that_id, None, "{packet_id} is in use");
            let late = self.messages.iter().position(|m| m.is_in_use() && !m.sent_here);
            assert_eq!(late, None, "older than {number}, and not sent again yet");
        }
        // Messages come in their order, on each connection anew [MQTT-4.6.0-1].
        assert!(self.latest < Some(number), "{number} after {:?}", self.latest);
        self.latest = Some(number);
        let message = &mut self.messages[number];
        (message.stage, message.id) = (Stage::Published, packet_id.get());
        (message.published_here, message.sent_here) = (true, true);
        let in_flight = self.messages.iter().filter(|m| m.is_in_use() && m.published_here).count();
        assert!(in_flight <= terms.quota.into(), "{in_flight} in flight");
    }

    fn check_topic(&mut self, publish: &Publish<'_>, topic: &str, terms: Terms) {
        let Some(alias) = publish.properties.topic_alias() else {
            assert_eq!(publish.topic, topic);
            return;
        };
        assert!(alias <= terms.alias_maximum);
        if !publish.topic.is_empty() {
            self.aliases.insert(alias, publish.topic.to_owned());
        }
        assert_eq!(self.aliases[&alias], topic);
    }

    fn pubrel(&mut self, packet_id: PacketId) {
        let is_it = |m: &&mut Entry| m.id == packet_id.get() && m.stage == Stage::Received;
        let message = self.messages.iter_mut().find(is_it).expect("PUBREL answers PUBREC");
        message.sent_here = true;
    }

    // What the client says.

    /// The numbers of the messages that the client has and could acknowledge; it may be so early on a new connection as
    /// not to have them again yet.
    pub(super) fn acknowledgeable(&self) -> Vec<usize> {
        (0..self.messages.len()).filter(|at| self.is_connected() && self.messages[*at].is_in_use()).collect()
    }

    /// The next acknowledgement of a message; one of QoS 2 may be refused with its PUBREC.
    pub(super) fn acknowledge(&mut self, number: usize, refuse: bool) {
        let Entry { given, stage, id: packet_id, .. } = self.messages[number];
        let packet_id = id(packet_id);
        let done = match (given.qos, stage) {
            (QoS::AtLeastOnce, _) => {
                assert!(self.session.puback(packet_id));
                true
            }
            (_, Stage::Published) => {
                let reason = if refuse { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
                if !refuse {
                    self.messages[number].stage = Stage::Received;
                }
                assert!(self.session.pubrec(packet_id, reason, &mut self.out));
                refuse
            }
            _ => {
                assert!(self.session.pubcomp(packet_id));
                true
            }
        };
        if done {
            self.messages[number].stage = Stage::Done;
        }
        self.pump();
    }

    /// An acknowledgement of the wrong kind for its message: it is not known, and changes nothing.
    pub(super) fn acknowledge_wrongly(&mut self, number: usize) {
        let Entry { given, stage, id: packet_id, .. } = self.messages[number];
        let packet_id = id(packet_id);
        if given.qos == QoS::AtLeastOnce {
            assert!(!self.session.pubrec(packet_id, ReasonCode::Success, &mut self.out));
            assert!(!self.session.pubcomp(packet_id));
        } else {
            assert!(!self.session.puback(packet_id));
            assert!(stage == Stage::Received || !self.session.pubcomp(packet_id));
        }
        assert!(self.out.is_empty());
        self.pump();
    }

    /// Acknowledgements with an identifier that no message has.
    pub(super) fn acknowledge_nothing(&mut self, packet_id: u16) {
        if self.messages.iter().any(|m| m.id == packet_id && m.stage != Stage::Done) {
            return;
        }
        assert!(!self.session.puback(id(packet_id)));
        assert!(!self.session.pubrec(id(packet_id), ReasonCode::Success, &mut self.out));
        assert!(!self.session.pubcomp(id(packet_id)));
        assert!(self.out.is_empty());
        self.pump();
    }

    /// Acknowledges what has come until nothing more comes: then nothing may be left.
    pub(super) fn finish(&mut self) {
        while let Some(number) = self.messages.iter().position(|m| m.is_in_use() && m.sent_here) {
            self.acknowledge(number, false);
        }
        let left: Vec<usize> = (0..self.messages.len()).filter(|at| self.messages[*at].stage != Stage::Done).collect();
        assert!(left.is_empty(), "{left:?} never came");
        assert!(!self.session.is_waiting() && self.session.outbound.is_empty());
        assert_eq!(self.session.in_flight, 0);
    }
}

/// The number of a message, which is the beginning of its payload.
fn number(payload: &[u8]) -> usize {
    u32::from_be_bytes(payload[..4].try_into().unwrap()) as usize
}
