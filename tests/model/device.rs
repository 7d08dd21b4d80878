//! A client that keeps the client's part of the protocol, over a network that loses what it is told to lose. What is lost is
//! a packet that was sent and not heard: the connection is gone with it.

use std::collections::BTreeSet;

use weir::wire::{
    AckKind, Connect, FiltersBuf, Packet, Property, PropertyBuf, QoS, TopicsBuf, Unsubscribe, Version, frame_header,
    put_ack,
};

use crate::common::{Client, Received, Weir, connect, id, publish};
use crate::plain::Plain;

/// The half of a handshake that is lost, and the connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// PUBLISH does not arrive.
    Publish,
    /// PUBACK or PUBREC does not arrive.
    Acknowledgement,
    /// Of QoS 2: PUBREL arrives, PUBCOMP does not.
    Complete,
}

pub struct Device {
    pub number: usize,
    name: String,
    version: Version,
    receive_maximum: u16,
    client: Option<Client>,
    /// A QoS 1 or 2 message that it has sent and that is not done.
    outgoing: Option<Outgoing>,
    /// QoS 2 packet identifiers that it has received and not seen released.
    incoming: BTreeSet<u16>,
    /// What is lost of what it is sent next.
    pub loses: Option<Loss>,
    pub received: Vec<Heard>,
    /// Packets that were not asked for.
    heard: u64,
}

struct Outgoing {
    topic: &'static str,
    payload: u32,
    qos: QoS,
    /// The broker has taken it.
    taken: bool,
    /// PUBREC was heard.
    released: bool,
}

/// A message that was received, once for each time that its receiver counts.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub payload: u32,
    pub qos: QoS,
    pub dup: bool,
}

/// The packet identifier of everything that devices send.
const ID: u16 = 7;

/// Added to the number of a message each time that it is sent as a new one.
const AGAIN: u32 = 100_000;

impl Device {
    pub fn new(number: usize, version: Version, receive_maximum: u16) -> Self {
        Device {
            number,
            name: format!("device-{number}"),
            version,
            receive_maximum,
            client: None,
            outgoing: None,
            incoming: BTreeSet::new(),
            loses: None,
            received: Vec::new(),
            heard: 0,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// Connects, and sends again what is not done if its session was there.
    pub fn connect(&mut self, weir: &Weir, plain: &mut Plain, clean: bool, expiry: u64) {
        // 3.1.1 has no expiry: a session that is not clean lasts as long as the broker lets it, here seven days.
        let expiry = match (self.version, clean) {
            (Version::V5, _) => expiry,
            (_, true) => 0,
            (_, false) => 7 * 86_400,
        };
        let mut properties = PropertyBuf::new();
        if self.version == Version::V5 {
            properties.push(Property::SessionExpiryInterval(expiry as u32));
            properties.push(Property::ReceiveMaximum(self.receive_maximum));
        }
        let connect = Connect {
            clean_start: clean,
            properties: properties.as_properties(),
            ..connect(self.version, "t", &self.name)
        };
        let (client, connack) = weir.try_connect(&connect);
        let present = plain.connect(self.number, clean, expiry);
        assert_eq!(connack[2..4], [u8::from(present), 0], "session present of {}", self.name);
        self.client = Some(client);
        if !present {
            self.incoming.clear();
            // Its own half of the session is void too.
            if let Some(outgoing) = self.outgoing.take().filter(|outgoing| !outgoing.released) {
                self.publish(plain, outgoing.topic, outgoing.payload + AGAIN, outgoing.qos, None);
            }
            return;
        }
        if let Some(Outgoing { topic, payload, qos, taken, released }) = self.outgoing.take() {
            if !released {
                // To the broker a QoS 1 message is a new one, and the model tells it from the first.
                let payload = if qos == QoS::AtLeastOnce { payload + AGAIN } else { payload };
                let payload_bytes = payload.to_be_bytes();
                let packet = weir::wire::Publish { dup: true, ..publish(topic, &payload_bytes, qos, ID) };
                self.send(&Packet::Publish(packet));
                if qos == QoS::AtLeastOnce || !taken {
                    plain.publish(topic, payload, qos);
                }
                if qos == QoS::AtLeastOnce {
                    self.await_ack(AckKind::PubAck, plain);
                    return;
                }
                self.await_ack(AckKind::PubRec, plain);
            }
            self.ack(AckKind::PubRel, ID);
            self.await_ack(AckKind::PubComp, plain);
        }
    }

    pub fn subscribe(&mut self, plain: &mut Plain, filter: &'static str, qos: QoS) {
        let mut filters = FiltersBuf::default();
        let options = weir::wire::SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: weir::wire::RetainHandling::SendAtSubscribe,
        };
        filters.push(filter, options).expect("a filter");
        self.client().send_subscribe(1, filters.as_filters());
        let suback = self.await_packet(9, plain);
        assert_eq!(*suback.last().expect("a SUBACK"), qos as u8, "the subscription is granted");
        plain.subscribe(self.number, filter, qos);
    }

    pub fn unsubscribe(&mut self, plain: &mut Plain, filter: &'static str) {
        let mut filters = TopicsBuf::default();
        filters.push(filter).expect("a filter");
        let properties = PropertyBuf::new();
        let unsubscribe =
            Unsubscribe { packet_id: id(2), properties: properties.as_properties(), filters: filters.as_topics() };
        self.send(&Packet::Unsubscribe(unsubscribe));
        self.await_packet(11, plain);
        plain.unsubscribe(self.number, filter);
    }

    /// Publishes, and loses its network in the half of the handshake that is to be lost.
    pub fn publish(&mut self, plain: &mut Plain, topic: &'static str, payload: u32, qos: QoS, loss: Option<Loss>) {
        if qos != QoS::AtMostOnce {
            self.outgoing = Some(Outgoing { topic, payload, qos, taken: false, released: false });
        }
        if loss == Some(Loss::Publish) {
            return self.vanish(plain);
        }
        let payload_bytes = payload.to_be_bytes();
        self.send(&Packet::Publish(publish(topic, &payload_bytes, qos, ID)));
        plain.publish(topic, payload, qos);
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.taken = true;
        }
        match qos {
            QoS::AtMostOnce => {
                // Nothing says that it was taken, but that what was sent after it was.
                self.send(&Packet::PingReq);
                self.await_packet(13, plain);
            }
            QoS::AtLeastOnce => {
                self.await_packet(4, plain);
                if loss.is_some() {
                    return self.vanish(plain);
                }
                self.outgoing = None;
            }
            QoS::ExactlyOnce => {
                self.await_packet(5, plain);
                if loss == Some(Loss::Acknowledgement) {
                    return self.vanish(plain);
                }
                if let Some(outgoing) = &mut self.outgoing {
                    outgoing.released = true;
                }
                self.ack(AckKind::PubRel, ID);
                self.await_packet(7, plain);
                if loss == Some(Loss::Complete) {
                    return self.vanish(plain);
                }
                self.outgoing = None;
            }
        }
    }

    /// Says goodbye.
    pub fn disconnect(&mut self, plain: &mut Plain) {
        if let Some(client) = self.client.take() {
            client.disconnect();
            plain.leave(self.number);
        }
    }

    /// Loses its network: the broker is waited for, so that both have seen it.
    pub fn vanish(&mut self, plain: &mut Plain) {
        if let Some(mut client) = self.client.take() {
            client.shut_down_and_wait();
            plain.may_miss_qos_0(self.number, &self.received);
            plain.leave(self.number);
        }
    }

    /// Comes back for the last time, and loses nothing any more.
    pub fn settle(&mut self, weir: &Weir, plain: &mut Plain) {
        self.loses = None;
        if !self.is_connected() {
            self.connect(weir, plain, false, 3600);
        }
    }

    /// Takes everything that is there for it: until it has heard nothing for two PINGREQs in a row, as a delivery may follow
    /// a PINGRESP that was already on its way.
    pub fn receive(&mut self, plain: &mut Plain) {
        let mut quiet = 0;
        while quiet < 2 && self.client.is_some() {
            let heard = self.heard;
            self.send(&Packet::PingReq);
            self.await_or_lose(13, plain);
            quiet = if self.heard == heard { quiet + 1 } else { 0 };
        }
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("connected")
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.client().send(packet);
    }

    fn ack(&mut self, kind: AckKind, packet_id: u16) {
        let mut bytes = Vec::new();
        put_ack(&mut bytes, kind, id(packet_id));
        self.client().send_bytes(&bytes);
    }

    fn await_ack(&mut self, kind: AckKind, plain: &mut Plain) {
        let number = match kind {
            AckKind::PubAck => 4,
            AckKind::PubRec => 5,
            AckKind::PubRel => 6,
            AckKind::PubComp => 7,
        };
        self.await_packet(number, plain);
    }

    /// Handles what comes until a packet of this kind does; loses nothing meanwhile.
    fn await_packet(&mut self, kind: u8, plain: &mut Plain) -> Vec<u8> {
        let loses = self.loses.take();
        let frame = self.await_or_lose(kind, plain).expect("nothing is lost here");
        self.loses = loses;
        frame
    }

    fn await_or_lose(&mut self, kind: u8, plain: &mut Plain) -> Option<Vec<u8>> {
        loop {
            let frame = self.client().frame();
            self.heard += u64::from(frame[0] >> 4 != kind);
            match frame[0] >> 4 {
                found if found == kind => return Some(frame),
                3 => self.hear(&frame, plain),
                // PUBREL: the QoS 2 message is done.
                6 => {
                    let header = frame_header(&frame, usize::MAX).expect("a frame").expect("whole");
                    let packet_id = u16::from_be_bytes([frame[header.header_len], frame[header.header_len + 1]]);
                    self.incoming.remove(&packet_id);
                    if self.loses == Some(Loss::Complete) {
                        self.lose(plain);
                    } else {
                        self.ack(AckKind::PubComp, packet_id);
                    }
                }
                other => panic!("packet {other} was not asked for: {frame:02x?}"),
            }
            self.client.as_ref()?;
        }
    }

    /// A PUBLISH has come, unless it is one that is lost.
    fn hear(&mut self, frame: &[u8], plain: &mut Plain) {
        let received = Received::parse(self.version, frame);
        let payload = u32::from_be_bytes(received.payload.as_slice().try_into().expect("a number"));
        let heard = Heard { payload, qos: received.qos, dup: received.dup };
        if self.loses == Some(Loss::Publish) {
            return self.lose(plain);
        }
        match received.qos {
            QoS::AtMostOnce => self.received.push(heard),
            QoS::AtLeastOnce => {
                self.received.push(heard);
                if self.loses == Some(Loss::Acknowledgement) {
                    return self.lose(plain);
                }
                self.ack(AckKind::PubAck, received.packet_id);
            }
            QoS::ExactlyOnce => {
                if self.incoming.insert(received.packet_id) {
                    self.received.push(heard);
                }
                if self.loses == Some(Loss::Acknowledgement) {
                    return self.lose(plain);
                }
                self.ack(AckKind::PubRec, received.packet_id);
            }
        }
    }

    /// The network is lost, with all that is still on its way.
    fn lose(&mut self, plain: &mut Plain) {
        self.loses = None;
        self.vanish(plain);
    }
}
