//! A client for the tests, which says what it must hear next, and a broker for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::relay::embedded::{Bounds, Embedded, Link};
use crate::stats::{Figures, Stats};
use crate::wire::*;

/// How long anything that must happen may take: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];
pub(super) const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

pub(super) struct Broker {
    pub(super) embedded: Arc<Embedded>,
    stats: Arc<Stats>,
}

impl Broker {
    pub(super) fn start() -> Broker {
        Broker::bounded(Bounds { max_topics: 1_000, max_filters: 1_000, max_sessions: 100 })
    }

    pub(super) fn bounded(bounds: Bounds) -> Broker {
        let stats = Arc::new(Stats::default());
        Broker { embedded: Embedded::start(bounds, Arc::clone(&stats)), stats }
    }

    pub(super) fn figures(&self) -> Figures {
        self.stats.snapshot()
    }

    /// A client whose session ends with its connection.
    pub(super) async fn client(&self, version: Version, client_id: &str) -> Client {
        self.connect(version, client_id, true, 0, &[]).await.0
    }

    /// A client whose session stays, and whether there was one.
    pub(super) async fn stays(&self, version: Version, client_id: &str) -> (Client, bool) {
        self.connect(version, client_id, false, u32::MAX, &[]).await
    }

    pub(super) async fn connect(
        &self,
        version: Version,
        client_id: &str,
        clean_start: bool,
        expiry: u32,
        properties: &[Property<'_>],
    ) -> (Client, bool) {
        let mut client = Client { link: self.embedded.connect(), version, input: Vec::new(), aside: VecDeque::new() };
        client.greet(client_id, clean_start, expiry, properties).await;
        let connack = client.next().await;
        let Packet::ConnAck(connack) = connack.packet() else { panic!("{connack:?}") };
        assert_eq!(connack.code, 0);
        assert_eq!(connack.properties.topic_alias_maximum(), None);
        (client, connack.session_present)
    }

    /// A client that is refused, and how.
    pub(super) async fn refused(&self, version: Version, client_id: &str) -> u8 {
        let mut client = Client { link: self.embedded.connect(), version, input: Vec::new(), aside: VecDeque::new() };
        client.greet(client_id, true, 0, &[]).await;
        let connack = client.next().await;
        let Packet::ConnAck(connack) = connack.packet() else { panic!("{connack:?}") };
        client.closed().await;
        connack.code
    }
}

pub(super) struct Client {
    pub(super) link: Link,
    pub(super) version: Version,
    input: Vec<u8>,
    /// Read while an acknowledgement was awaited.
    aside: VecDeque<Frame>,
}

/// A packet that a client has read.
pub(super) struct Frame {
    version: Version,
    bytes: Vec<u8>,
}

impl Frame {
    pub(super) fn packet(&self) -> Packet<'_> {
        let header = frame_header(&self.bytes, usize::MAX).unwrap().unwrap();
        Packet::decode(self.version, header.first, &self.bytes[header.header_len..]).unwrap()
    }

    pub(super) fn publish(&self) -> Publish<'_> {
        match self.packet() {
            Packet::Publish(publish) => publish,
            other => panic!("not a PUBLISH: {other:?}"),
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.packet().fmt(f)
    }
}

pub(super) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(super) fn ack(id: u16) -> Ack<'static> {
    Ack { packet_id: PacketId::new(id).unwrap(), reason: ReasonCode::Success, properties: Properties::EMPTY }
}

/// A PUBLISH with nothing special about it; its packet identifier is 1.
pub(super) fn message<'a>(topic: &'a str, payload: &'a str, qos: QoS) -> Publish<'a> {
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    let properties = Properties::EMPTY;
    Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload: payload.as_bytes() }
}

pub(super) fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

impl Client {
    async fn greet(&mut self, client_id: &str, clean_start: bool, expiry: u32, more: &[Property<'_>]) {
        let mut properties = PropertyBuf::new();
        if self.version == Version::V5 && expiry > 0 {
            properties.push(Property::SessionExpiryInterval(expiry));
        }
        more.iter().for_each(|property| properties.push(*property));
        let connect = Connect {
            version: self.version,
            clean_start,
            keep_alive: 0,
            properties: properties.as_properties(),
            client_id,
            will: None,
            user_name: None,
            password: None,
        };
        self.send(Packet::Connect(connect)).await;
    }

    pub(super) async fn send(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        timeout(PATIENCE, self.link.write_all(&bytes)).await.expect("in time").expect("open");
    }

    /// The next packet.
    pub(super) async fn next(&mut self) -> Frame {
        match self.aside.pop_front() {
            Some(frame) => frame,
            None => self.hear().await.expect("the link is open"),
        }
    }

    /// Waits for a packet; what comes before it is put aside.
    async fn await_packet(&mut self, expected: Packet<'_>) {
        loop {
            let frame = self.hear().await.expect("the link is open");
            if frame.packet() == expected {
                return;
            }
            self.aside.push_back(frame);
        }
    }

    /// The next packet, or nothing where the link was closed.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(header) = frame_header(&self.input, usize::MAX).unwrap()
                && header.total_len() <= self.input.len()
            {
                let bytes = self.input.drain(..header.total_len()).collect();
                return Some(Frame { version: self.version, bytes });
            }
            if timeout(PATIENCE, self.link.read_buf(&mut self.input)).await.expect("in time").unwrap() == 0 {
                return None;
            }
        }
    }

    /// The link is closed without another word.
    pub(super) async fn closed(&mut self) {
        let heard = self.hear().await;
        assert!(heard.is_none(), "{heard:?}");
    }

    /// The link is closed, and an MQTT 5 client is told why.
    pub(super) async fn closed_for(&mut self, reason: ReasonCode) {
        if self.version == Version::V5 {
            let disconnect = self.next().await;
            assert!(matches!(disconnect.packet(), Packet::Disconnect(d) if d.reason == reason), "{disconnect:?}");
        }
        self.closed().await;
    }

    pub(super) async fn expect(&mut self, expected: Packet<'_>) {
        let heard = self.next().await;
        assert_eq!(heard.packet(), expected);
    }

    /// Publishes, and sees the message acknowledged.
    pub(super) async fn publish(&mut self, publish: Publish<'_>) {
        self.send(Packet::Publish(publish)).await;
        let Some(packet_id) = publish.packet_id else { return };
        let ack = Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY };
        if publish.qos == QoS::AtLeastOnce {
            self.await_packet(Packet::PubAck(ack)).await;
        } else {
            self.await_packet(Packet::PubRec(ack)).await;
            self.send(Packet::PubRel(ack)).await;
            self.await_packet(Packet::PubComp(ack)).await;
        }
    }

    /// Publishes `payload` to `topic` at QoS 1.
    pub(super) async fn say(&mut self, topic: &str, payload: &str) {
        self.publish(message(topic, payload, QoS::AtLeastOnce)).await;
    }

    /// Subscribes; gives the codes of the answer.
    pub(super) async fn subscribe_all(&mut self, filters: &[(&str, SubscriptionOptions)], number: u32) -> Vec<u8> {
        let mut buf = FiltersBuf::new();
        filters.iter().for_each(|(filter, options)| buf.push(filter, *options).unwrap());
        let mut properties = PropertyBuf::new();
        if number > 0 {
            properties.push(Property::SubscriptionIdentifier(number));
        }
        let properties = properties.as_properties();
        self.send(Packet::Subscribe(Subscribe { packet_id: id(9), properties, filters: buf.as_filters() })).await;
        let suback = self.next().await;
        let Packet::SubAck(suback) = suback.packet() else { panic!("{suback:?}") };
        assert_eq!(suback.packet_id, id(9));
        suback.codes.to_vec()
    }

    /// Subscribes one filter with success.
    pub(super) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        assert_eq!(self.subscribe_all(&[(filter, options(qos))], 0).await, [qos as u8]);
    }

    /// Unsubscribes; gives the codes of the answer.
    pub(super) async fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let mut buf = TopicsBuf::new();
        filters.iter().for_each(|filter| buf.push(filter).unwrap());
        let properties = Properties::EMPTY;
        self.send(Packet::Unsubscribe(Unsubscribe { packet_id: id(8), properties, filters: buf.as_topics() })).await;
        let unsuback = self.next().await;
        let Packet::UnsubAck(unsuback) = unsuback.packet() else { panic!("{unsuback:?}") };
        assert_eq!(unsuback.packet_id, id(8));
        unsuback.codes.to_vec()
    }

    /// Reads a message, and acknowledges it; gives its frame.
    pub(super) async fn receive(&mut self) -> Frame {
        let frame = self.next().await;
        let publish = frame.publish();
        if let Some(packet_id) = publish.packet_id {
            let ack = Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY };
            if publish.qos == QoS::AtLeastOnce {
                self.send(Packet::PubAck(ack)).await;
            } else {
                self.send(Packet::PubRec(ack)).await;
                self.await_packet(Packet::PubRel(ack)).await;
                self.send(Packet::PubComp(ack)).await;
            }
        }
        frame
    }

    /// Reads a message; it must be this one. Gives it for a closer look.
    pub(super) async fn hears(&mut self, topic: &str, payload: &str) -> Frame {
        let frame = self.receive().await;
        let publish = frame.publish();
        assert_eq!((publish.topic, str::from_utf8(publish.payload).unwrap()), (topic, payload));
        frame
    }

    /// Leaves with a DISCONNECT.
    pub(super) async fn leave(mut self) {
        let (reason, properties) = (ReasonCode::NormalDisconnection, Properties::EMPTY);
        self.send(Packet::Disconnect(Disconnect { reason, properties })).await;
        self.closed().await;
    }
}
