//! What the tests of this folder share: one profile's configuration, the steps of QoS 1 and 2 by name, clients with a session
//! that outlives them. No test is here.

use weir::wire::{
    Connect, FiltersBuf, Packet, Properties, Property, PropertyBuf, Publish, QoS, RetainHandling, Subscribe,
    SubscriptionOptions, TopicsBuf, Unsubscribe, Version, frame_header,
};

use crate::common::{Client, Received, Weir, connect, id, publish};

/// Where the clock stands.
pub const TIME: &str = "2026-11-21T12:45:09Z";
pub const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];
pub const QOS: [QoS; 3] = [Q0, Q1, Q2];
pub const Q0: QoS = QoS::AtMostOnce;
pub const Q1: QoS = QoS::AtLeastOnce;
pub const Q2: QoS = QoS::ExactlyOnce;

/// The first bytes of the acknowledgements.
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;

/// A broker with one profile, acme, without limits, whose device has the token `t`; and whatever else.
pub fn acme(more: &str) -> Weir {
    acme_on("{}", more)
}

/// As [`acme`], on this plan.
pub fn acme_on(plan: &str, more: &str) -> Weir {
    let profiles = "profiles: { acme: { plan: p, devices: { d: { token: t } } } }";
    Weir::at(TIME, &format!("plans: {{ p: {plan} }}\n{profiles}\n{more}"))
}

/// A client of profile acme with a clean session.
pub fn client(weir: &Weir, version: Version, client_id: &str) -> Client {
    weir.client(version, "t", client_id)
}

pub fn properties(all: &[Property<'_>]) -> PropertyBuf {
    let mut properties = PropertyBuf::new();
    all.iter().for_each(|property| properties.push(*property));
    properties
}

/// An MQTT 5 client with a clean start and these properties in its CONNECT.
pub fn client_with(weir: &Weir, client_id: &str, all: &[Property<'_>]) -> Client {
    let properties = properties(all);
    weir.connect(&Connect { properties: properties.as_properties(), ..connect(Version::V5, "t", client_id) })
}

/// A client with a session that outlives the connection (in MQTT 5 for an hour), and whether there was one.
pub fn resume(weir: &Weir, version: Version, client_id: &str) -> (Client, bool) {
    resume_with(weir, version, client_id, &[])
}

/// As [`resume`], with more properties in an MQTT 5 CONNECT.
pub fn resume_with(weir: &Weir, version: Version, client_id: &str, more: &[Property<'_>]) -> (Client, bool) {
    let mut all = vec![Property::SessionExpiryInterval(3600)];
    all.extend(more);
    let expiry = properties(&all);
    let properties = if version == Version::V5 { expiry.as_properties() } else { Properties::EMPTY };
    let (client, connack) =
        weir.try_connect(&Connect { clean_start: false, properties, ..connect(version, "t", client_id) });
    assert_eq!(connack[3], 0, "CONNACK accepts: {connack:02x?}");
    (client, connack[2] == 1)
}

/// The client loses its connection, and the broker has noticed: its session waits, or is over.
pub fn lose(weir: &mut Weir, client: Client, client_id: &str) {
    client.vanish();
    gone(weir, client_id);
}

/// Waits until the broker has put in order what a client that is gone has left.
pub fn gone(weir: &mut Weir, client_id: &str) {
    weir.wait_for_log(&format!("client={client_id:?} reason="));
}

impl Client {
    /// Sends an acknowledgement that says all is well.
    pub fn say(&mut self, kind: u8, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.send_bytes(&[kind, 2, high, low]);
    }

    /// Sends an MQTT 5 acknowledgement with a reason code.
    pub fn say_with(&mut self, kind: u8, packet_id: u16, reason: u8) {
        let [high, low] = packet_id.to_be_bytes();
        self.send_bytes(&[kind, 3, high, low, reason]);
    }

    /// The next packet is this acknowledgement, and says that all is well.
    #[track_caller]
    pub fn hear(&mut self, kind: u8, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.expect(&[kind, 2, high, low]);
    }

    /// The next packet is this acknowledgement with this reason code and no properties.
    #[track_caller]
    pub fn hear_with(&mut self, kind: u8, packet_id: u16, reason: u8) {
        let [high, low] = packet_id.to_be_bytes();
        self.expect(&[kind, 3, high, low, reason]);
    }

    /// The next packet is this acknowledgement; its reason code, 0 where it has none.
    #[track_caller]
    pub fn hear_reason(&mut self, kind: u8, packet_id: u16) -> u8 {
        let frame = self.frame();
        let [high, low] = packet_id.to_be_bytes();
        assert_eq!((frame[0], &frame[2..4]), (kind, &[high, low][..]), "{frame:02x?}");
        frame.get(4).copied().unwrap_or(0)
    }

    /// Everything that was put into the session's mailbox so far has come. The answer to a first ping may overtake it; that
    /// to a second, sent then, may not.
    #[track_caller]
    pub fn nothing(&mut self) {
        self.expect_nothing();
        self.expect_nothing();
    }

    /// Takes whatever there is for this client now, and what its acknowledgements let through.
    pub fn drain(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        let mut quiet = 0;
        while quiet < 2 {
            self.send_bytes(&[0xC0, 0]);
            quiet += 1;
            loop {
                let frame = self.frame();
                if frame[0] == 0xD0 {
                    break;
                }
                let received = Received::parse(self.version, &frame);
                self.acknowledge(&received);
                all.push(received);
                quiet = 0;
            }
        }
        all
    }

    /// Publishes, with all the acknowledgements that the QoS asks for, and whether or not anyone subscribes.
    #[track_caller]
    pub fn publish_fully(&mut self, packet: Publish<'_>) {
        self.send(&Packet::Publish(packet));
        let packet_id = packet.packet_id.map_or(0, |id| id.get());
        match packet.qos {
            Q0 => self.expect_nothing(),
            Q1 => assert!(self.hear_reason(PUBACK, packet_id) < 0x80),
            Q2 => {
                assert!(self.hear_reason(PUBREC, packet_id) < 0x80);
                self.say(PUBREL, packet_id);
                self.hear(PUBCOMP, packet_id);
            }
        }
    }

    /// Publishes text at QoS 1 and waits until it was taken: it is now in the mailbox of everyone who gets it.
    #[track_caller]
    pub fn tell(&mut self, topic: &str, text: &str) {
        self.publish_fully(publish(topic, text.as_bytes(), Q1, 1));
    }

    /// The next packet is a PUBLISH with this text; it is acknowledged to its end.
    #[track_caller]
    pub fn take(&mut self, text: &str) -> Received {
        let received = self.expect_publish();
        assert_eq!(received.text(), text, "{received:?}");
        self.acknowledge(&received);
        received
    }

    /// Takes a message to the end of its exchange.
    #[track_caller]
    pub fn acknowledge(&mut self, received: &Received) {
        match received.qos {
            Q0 => {}
            Q1 => self.say(PUBACK, received.packet_id),
            Q2 => {
                self.say(PUBREC, received.packet_id);
                // Other messages may be on their way already.
                let mut others = Vec::new();
                let pubrel = loop {
                    match self.frame() {
                        publish if publish[0] >> 4 == 3 => others.extend(publish),
                        other => break other,
                    }
                };
                assert_eq!(pubrel[2..], received.packet_id.to_be_bytes(), "{pubrel:02x?}");
                assert_eq!(pubrel[0], PUBREL, "{pubrel:02x?}");
                self.put_back(&others);
                self.say(PUBCOMP, received.packet_id);
            }
        }
    }

    /// Subscribes with these options and properties; the SUBACK's codes.
    #[track_caller]
    pub fn subscribe_with(&mut self, filters: &[(&str, SubscriptionOptions)], all: &[Property<'_>]) -> Vec<u8> {
        let mut buf = FiltersBuf::new();
        for (filter, options) in filters {
            buf.push(filter, *options).expect("a filter");
        }
        let properties = properties(all);
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: id(7),
            properties: properties.as_properties(),
            filters: buf.as_filters(),
        }));
        let suback = self.frame();
        assert_eq!(suback[0], 0x90, "a SUBACK: {suback:02x?}");
        suback[suback.len() - filters.len()..].to_vec()
    }

    /// Unsubscribes; the whole UNSUBACK.
    #[track_caller]
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let mut buf = TopicsBuf::default();
        filters.iter().for_each(|filter| buf.push(filter).expect("a filter"));
        let (packet_id, filters) = (id(8), buf.as_topics());
        self.send(&Packet::Unsubscribe(Unsubscribe { packet_id, properties: Properties::EMPTY, filters }));
        let unsuback = self.frame();
        assert_eq!(unsuback[0], 0xB0, "an UNSUBACK: {unsuback:02x?}");
        unsuback
    }

    /// The next packet is a DISCONNECT with this reason code, and then the connection is closed.
    #[track_caller]
    pub fn expect_disconnect(&mut self, reason: u8) {
        let frame = self.frame();
        assert_eq!((frame[0], frame.get(2).copied()), (0xE0, Some(reason)), "a DISCONNECT: {frame:02x?}");
        self.expect_closed();
    }

    /// The broker ends the connection: MQTT 5 clients are told the reason.
    #[track_caller]
    pub fn expect_end(&mut self, reason: u8) {
        match self.version {
            Version::V5 => self.expect_disconnect(reason),
            Version::V3 | Version::V4 => self.expect_closed(),
        }
    }

    /// Takes `count` messages in the order in which they come. Those of QoS 1 and 2 are acknowledged only once `window` of
    /// them are open, and more than that never are.
    pub fn take_many(&mut self, count: usize, window: usize) -> Vec<Received> {
        let mut all = Vec::new();
        let mut open: Vec<(QoS, u16)> = Vec::new();
        let mut pings = 0;
        let mut unreleased = 0;
        while all.len() < count || !open.is_empty() {
            if (open.len() == window || all.len() == count) && pings == 0 && unreleased == 0 {
                // Before the answer to the second ping, whatever the broker would send has come.
                self.send_bytes(&[0xC0, 0]);
                pings = 2;
            }
            let frame = self.frame();
            match frame[0] {
                0xD0 if pings == 1 => {
                    pings = 0;
                    let (releases, done): (Vec<_>, Vec<_>) = open.into_iter().partition(|(qos, _)| *qos == Q2);
                    done.iter().for_each(|(_, id)| self.say(PUBACK, *id));
                    releases.iter().for_each(|(_, id)| self.say(PUBREC, *id));
                    unreleased = releases.len();
                    open = releases;
                }
                0xD0 => {
                    pings = 1;
                    self.send_bytes(&[0xC0, 0]);
                }
                PUBREL => {
                    let released = u16::from_be_bytes([frame[2], frame[3]]);
                    self.say(PUBCOMP, released);
                    open.retain(|(_, id)| *id != released);
                    unreleased -= 1;
                }
                _ => {
                    let received = Received::parse(self.version, &frame);
                    if received.qos != Q0 {
                        assert!(open.len() < window, "beyond the Receive Maximum: {received:?}");
                        open.push((received.qos, received.packet_id));
                    }
                    all.push(received);
                }
            }
        }
        all
    }
}

/// Subscription options: a QoS and nothing else.
pub fn at(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

/// A PUBLISH of MQTT 5 with properties.
pub fn publish_with<'a>(topic: &'a str, text: &'a str, qos: QoS, properties: &'a PropertyBuf) -> Publish<'a> {
    Publish { properties: properties.as_properties(), ..publish(topic, text.as_bytes(), qos, 1) }
}

/// The properties of a PUBLISH that was received, in order.
#[track_caller]
pub fn with_properties<R>(frame: &[u8], look: impl FnOnce(Vec<Property<'_>>) -> R) -> R {
    let header = frame_header(frame, usize::MAX).expect("a frame").expect("whole");
    let publish = Publish::decode(Version::V5, header.first, &frame[header.header_len..]).expect("a PUBLISH");
    look(publish.properties.iter().collect())
}
