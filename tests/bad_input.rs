//! What a client gets that breaks the rules of MQTT: for each way to break them the exact reason code in MQTT 5, silence and a
//! closed connection before it. Nobody else notices, but those who wait for its will; and nothing is left of it.

mod common;

use common::{Client, Weir, connect};
use weir::wire::{Connect, Packet, Properties, QoS, Version, Will};

const OPEN: &str = "plans: { open: {} }\nprofiles: { acme: { plan: open, devices: { pump: { token: t } } } }";
const MORNING: &str = "2026-11-21T12:45:09Z";
const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

/// A frame of less than 128 bytes.
fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[first, u8::try_from(body.len()).expect("a short frame")], body.as_slice()].concat()
}

/// A length in two bytes, and the text.
fn text(bytes: &[u8]) -> Vec<u8> {
    [&[0, u8::try_from(bytes.len()).expect("a short text")], bytes].concat()
}

/// One way to break the rules once connected: what is sent, and the reason code that MQTT 5 is told.
struct Bad {
    name: &'static str,
    bytes: Vec<u8>,
    reason: u8,
}

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const TOPIC_FILTER_INVALID: u8 = 0x8F;
const TOPIC_NAME_INVALID: u8 = 0x90;
const TOPIC_ALIAS_INVALID: u8 = 0x94;
const PACKET_TOO_LARGE: u8 = 0x95;

/// What is wrong in every version.
fn bad_packets(version: Version) -> Vec<Bad> {
    // No properties: a length of 0 in MQTT 5.
    let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let publish = |topic: &[u8]| frame(0x30, &[&text(topic), none, b"payload"]);
    let subscribe = |filter: &[u8], options: u8| frame(0x82, &[&[0, 1], none, &text(filter), &[options]]);
    let unsubscribe = |filter: &[u8]| frame(0xA2, &[&[0, 1], none, &text(filter)]);
    let mut second_connect = Vec::new();
    Packet::Connect(connect(version, "t", "again")).encode(version, &mut second_connect).expect("it is well-formed");
    let rows = [
        // Frames.
        ("packet type 0", vec![0x00, 0], MALFORMED),
        ("a length of five bytes", vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01], MALFORMED),
        ("a length with a byte to spare", vec![0xC0, 0x80, 0x00], MALFORMED),
        ("a packet too large, of which only the header is sent", vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], PACKET_TOO_LARGE),
        ("a packet too large by one byte", vec![0x30, 0xFD, 0xFF, 0x3F], PACKET_TOO_LARGE),
        // Reserved flags [MQTT-2.1.3-1].
        ("flags on PUBACK", frame(0x41, &[&[0, 1]]), MALFORMED),
        ("no flag on PUBREL", frame(0x60, &[&[0, 1]]), MALFORMED),
        ("no flag on SUBSCRIBE", frame(0x80, &[&[0, 1], none, &text(b"a"), &[0]]), MALFORMED),
        ("no flag on UNSUBSCRIBE", frame(0xA0, &[&[0, 1], none, &text(b"a")]), MALFORMED),
        ("flags on PINGREQ", vec![0xC1, 0], MALFORMED),
        ("flags on DISCONNECT", vec![0xE1, 0], MALFORMED),
        // What may not come from a client, or not now.
        ("a second CONNECT", second_connect, PROTOCOL_ERROR),
        ("CONNACK", frame(0x20, &[&[0, 0], none]), PROTOCOL_ERROR),
        ("SUBACK", frame(0x90, &[&[0, 1], none, &[0]]), PROTOCOL_ERROR),
        ("UNSUBACK", frame(0xB0, &[&[0, 1], none, if none.is_empty() { &[] } else { &[0] }]), PROTOCOL_ERROR),
        ("PINGRESP", vec![0xD0, 0], PROTOCOL_ERROR),
        ("AUTH", vec![0xF0, 0], PROTOCOL_ERROR),
        // Packet identifiers [MQTT-2.2.1-3].
        ("PUBLISH of QoS 1 with identifier 0", frame(0x32, &[&text(b"a"), &[0, 0], none]), MALFORMED),
        ("PUBLISH of QoS 2 with identifier 0", frame(0x34, &[&text(b"a"), &[0, 0], none]), MALFORMED),
        ("SUBSCRIBE with identifier 0", frame(0x82, &[&[0, 0], none, &text(b"a"), &[0]]), MALFORMED),
        ("UNSUBSCRIBE with identifier 0", frame(0xA2, &[&[0, 0], none, &text(b"a")]), MALFORMED),
        ("PUBACK with identifier 0", frame(0x40, &[&[0, 0]]), MALFORMED),
        ("PUBREC with identifier 0", frame(0x50, &[&[0, 0]]), MALFORMED),
        ("PUBREL with identifier 0", frame(0x62, &[&[0, 0]]), MALFORMED),
        ("PUBCOMP with identifier 0", frame(0x70, &[&[0, 0]]), MALFORMED),
        // PUBLISH.
        ("QoS 3", frame(0x36, &[&text(b"a"), &[0, 1], none]), MALFORMED),
        ("DUP at QoS 0", frame(0x38, &[&text(b"a"), none]), MALFORMED),
        ("a topic that is no UTF-8", publish(b"a\xFFb"), MALFORMED),
        ("a topic with half a surrogate pair", publish(b"a\xED\xA0\x80"), MALFORMED),
        ("a topic with an overlong character", publish(b"a\xC0\x80"), MALFORMED),
        ("a topic with U+0000", publish(b"a\0b"), MALFORMED),
        ("a topic with #", publish(b"a/#"), TOPIC_NAME_INVALID),
        ("a topic with +", publish(b"+/a"), TOPIC_NAME_INVALID),
        ("an empty topic without an alias", publish(b""), PROTOCOL_ERROR),
        // SUBSCRIBE and UNSUBSCRIBE.
        ("SUBSCRIBE without filters", frame(0x82, &[&[0, 1], none]), PROTOCOL_ERROR),
        ("UNSUBSCRIBE without filters", frame(0xA2, &[&[0, 1], none]), PROTOCOL_ERROR),
        ("a filter that is no UTF-8", subscribe(b"a/\xFE", 0), MALFORMED),
        ("a filter with U+0000", subscribe(b"a\0", 0), MALFORMED),
        ("a filter to unsubscribe that is no UTF-8", unsubscribe(b"\xFE"), MALFORMED),
        ("a filter with # in the middle", subscribe(b"a/#/b", 0), TOPIC_FILTER_INVALID),
        ("a filter with # behind text", subscribe(b"a#", 0), TOPIC_FILTER_INVALID),
        ("a filter with + behind text", subscribe(b"a+", 0), TOPIC_FILTER_INVALID),
        ("an empty filter", subscribe(b"", 0), TOPIC_FILTER_INVALID),
        ("an empty filter to unsubscribe", unsubscribe(b""), TOPIC_FILTER_INVALID),
        ("a subscription at QoS 3", subscribe(b"a", 3), PROTOCOL_ERROR),
        ("a reserved bit in the options", subscribe(b"a", 0x80), MALFORMED),
        // Packets cut short, or with too much in them.
        ("PUBLISH that ends in its topic", frame(0x30, &[&[0, 9], b"a"]), MALFORMED),
        ("PUBLISH without its identifier", frame(0x32, &[&text(b"a")]), MALFORMED),
        ("PUBLISH without anything", vec![0x30, 0], MALFORMED),
        ("SUBSCRIBE without anything", vec![0x82, 0], MALFORMED),
        ("SUBSCRIBE that ends in its filter", frame(0x82, &[&[0, 1], none, &[0, 9], b"a"]), MALFORMED),
        ("SUBSCRIBE without options", frame(0x82, &[&[0, 1], none, &text(b"a")]), MALFORMED),
        ("UNSUBSCRIBE that ends in its filter", frame(0xA2, &[&[0, 1], none, &[0, 9], b"a"]), MALFORMED),
        ("PUBACK of one byte", frame(0x40, &[&[0]]), MALFORMED),
        ("PUBREL without anything", vec![0x62, 0], MALFORMED),
        ("PINGREQ with a body", frame(0xC0, &[b"x"]), MALFORMED),
    ];
    rows.into_iter().map(|(name, bytes, reason)| Bad { name, bytes, reason }).collect()
}

/// What only MQTT 5 has, and can be wrong.
fn bad_mqtt_5_packets() -> Vec<Bad> {
    let publish = |topic: &[u8], properties: &[u8]| frame(0x30, &[&text(topic), &text(properties)[1..]]);
    let subscribe = |properties: &[u8], filter: &[u8], options: u8| {
        frame(0x82, &[&[0, 1], &text(properties)[1..], &text(filter), &[options]])
    };
    let rows = [
        ("topic alias 0", publish(b"a", &[0x23, 0, 0]), TOPIC_ALIAS_INVALID),
        ("a topic alias above the maximum", publish(b"a", &[0x23, 0, 65]), TOPIC_ALIAS_INVALID),
        ("a topic alias that was never defined", publish(b"", &[0x23, 0, 64]), PROTOCOL_ERROR),
        ("a Subscription Identifier from a client", publish(b"a", &[0x0B, 1]), PROTOCOL_ERROR),
        ("a Receive Maximum in PUBLISH", publish(b"a", &[0x21, 0, 1]), MALFORMED),
        ("a Will Delay Interval in PUBLISH", publish(b"a", &[0x18, 0, 0, 0, 1]), MALFORMED),
        ("a Topic Alias in SUBSCRIBE", subscribe(&[0x23, 0, 1], b"a", 0), MALFORMED),
        ("a property that does not exist", publish(b"a", &[0x7F, 0]), MALFORMED),
        ("a property twice", publish(b"a", &[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1]), PROTOCOL_ERROR),
        ("a Payload Format Indicator of 2", publish(b"a", &[0x01, 2]), MALFORMED),
        ("a Response Topic with a wildcard", publish(b"a", &[0x08, 0, 1, b'#']), MALFORMED),
        ("a Content Type that is no UTF-8", publish(b"a", &[0x03, 0, 1, 0xFF]), MALFORMED),
        ("a User Property whose name is no UTF-8", publish(b"a", &[0x26, 0, 1, 0xFF, 0, 1, b'v']), MALFORMED),
        ("a User Property whose value is no UTF-8", publish(b"a", &[0x26, 0, 1, b'n', 0, 1, 0xFF]), MALFORMED),
        ("a property that ends in its value", publish(b"a", &[0x02, 0, 0]), MALFORMED),
        ("properties longer than their packet", frame(0x30, &[&text(b"a"), &[9, 0x01, 0]]), MALFORMED),
        ("a property length of five bytes", frame(0x30, &[&text(b"a"), &[0x80, 0x80, 0x80, 0x80, 1]]), MALFORMED),
        ("PUBLISH without its property length", frame(0x30, &[&text(b"a")]), MALFORMED),
        ("Subscription Identifier 0", subscribe(&[0x0B, 0], b"a", 0), PROTOCOL_ERROR),
        ("two Subscription Identifiers", subscribe(&[0x0B, 1, 0x0B, 2], b"a", 0), PROTOCOL_ERROR),
        ("No Local on a shared subscription", subscribe(&[], b"$share/g/a", 0x04), PROTOCOL_ERROR),
        ("Retain Handling 3", subscribe(&[], b"a", 0x30), PROTOCOL_ERROR),
        ("PUBACK with a reason that it cannot have", frame(0x40, &[&[0, 1, 0x42, 0]]), PROTOCOL_ERROR),
        ("PUBREL with a reason that it cannot have", frame(0x62, &[&[0, 1, 0x10, 0]]), PROTOCOL_ERROR),
        ("DISCONNECT with a reason that it cannot have", frame(0xE0, &[&[0x01, 0]]), PROTOCOL_ERROR),
        (
            "a Session Expiry Interval in DISCONNECT where CONNECT had none",
            frame(0xE0, &[&[0, 5, 0x11, 0, 0, 0, 9]]),
            PROTOCOL_ERROR,
        ),
        ("AUTH that goes on with nothing", frame(0xF0, &[&[0x18, 0]]), PROTOCOL_ERROR),
    ];
    rows.into_iter().map(|(name, bytes, reason)| Bad { name, bytes, reason }).collect()
}

/// What is wrong before MQTT 5 only.
fn bad_mqtt_3_packets() -> Vec<Bad> {
    let rows = [
        ("DISCONNECT with a body", frame(0xE0, &[&[0]])),
        ("PUBACK with a reason", frame(0x40, &[&[0, 1, 0]])),
        ("No Local", frame(0x82, &[&[0, 1], &text(b"a"), &[0x04]])),
    ];
    rows.into_iter().map(|(name, bytes)| Bad { name, bytes, reason: 0 }).collect()
}

/// All that can be wrong once connected.
fn all_bad_packets(version: Version) -> Vec<Bad> {
    let mut all = bad_packets(version);
    all.extend(if version == Version::V5 { bad_mqtt_5_packets() } else { bad_mqtt_3_packets() });
    all
}

/// Two clients that have nothing to do with the one that misbehaves: one that publishes, one that subscribes, also to wills.
struct Bystanders {
    sender: Client,
    receiver: Client,
}

impl Bystanders {
    fn of(weir: &Weir) -> Self {
        let mut receiver = weir.client(Version::V5, "t", "receiver");
        receiver.subscribe("talk", QoS::AtLeastOnce);
        receiver.subscribe("will", QoS::AtLeastOnce);
        Bystanders { sender: weir.client(Version::V4, "t", "sender"), receiver }
    }

    /// A message goes from one to the other, and it is the next thing that happens to both.
    #[track_caller]
    fn exchange(&mut self, what: &str) {
        self.sender.publish("talk", what.as_bytes(), QoS::AtLeastOnce, 1);
        self.sender.expect(&[0x40, 2, 0, 1]);
        self.receive("talk", what);
    }

    #[track_caller]
    fn receive(&mut self, topic: &str, text: &str) {
        let received = self.receiver.expect_publish();
        assert_eq!((received.topic.as_str(), received.text()), (topic, text));
        let [high, low] = received.packet_id.to_be_bytes();
        self.receiver.send_bytes(&[0x40, 2, high, low]);
    }
}

/// A client with a will that has connected and now sends this; it has been answered.
fn misbehave(weir: &Weir, version: Version, bad: &Bad) {
    let will = Will {
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::EMPTY,
        topic: "will",
        payload: bad.name.as_bytes(),
    };
    let mut client = weir.connect(&Connect { will: Some(will), ..connect(version, "t", "villain") });
    client.send_bytes(&bad.bytes);
    if version == Version::V5 {
        let answer = client.frame();
        assert_eq!((answer[0], answer[2]), (0xE0, bad.reason), "{}: {answer:02x?}", bad.name);
    }
    assert_eq!(client.frame_or_end(), None, "{} in MQTT {version}", bad.name);
}

#[test]
fn a_packet_that_breaks_the_rules_ends_its_connection_and_disturbs_nobody_else() {
    let weir = Weir::at(MORNING, OPEN);
    let mut bystanders = Bystanders::of(&weir);
    for version in VERSIONS {
        for bad in all_bad_packets(version) {
            misbehave(&weir, version, &bad);
            bystanders.receive("will", bad.name);
            bystanders.exchange("all is well");
        }
    }
}

#[test]
fn two_thousand_clients_that_break_the_rules_leave_no_memory_behind() {
    let weir = Weir::at(MORNING, OPEN);
    let misbehave_as_often_as = |times: usize| {
        let ways = VERSIONS.map(|version| all_bad_packets(version).into_iter().map(move |bad| (version, bad)));
        let ways: Vec<_> = ways.into_iter().flatten().collect();
        ways.iter().cycle().take(times).for_each(|(version, bad)| misbehave(&weir, *version, bad));
    };
    misbehave_as_often_as(500);
    let before = weir.memory_kib();
    misbehave_as_often_as(2_000);
    let after = weir.memory_kib();
    assert!(after < before + 2_048, "{before} KiB have become {after} KiB");
}

#[test]
fn what_was_asked_before_the_mistake_is_answered() {
    let weir = Weir::at(MORNING, OPEN);
    for version in [Version::V4, Version::V5] {
        let mut client = weir.client(version, "t", "client");
        client.send_bytes(&[0xC0, 0, 0xC0, 0, 0x00, 0]);
        client.expect(&[0xD0, 0]);
        client.expect(&[0xD0, 0]);
        if version == Version::V5 {
            assert_eq!(client.frame()[2], MALFORMED);
        }
        client.expect_closed();
    }
}

#[test]
fn a_shared_subscription_without_a_name_or_a_filter_is_refused_alone() {
    let weir = Weir::at(MORNING, OPEN);
    for (version, code) in [(Version::V3, 0x80), (Version::V4, 0x80), (Version::V5, TOPIC_FILTER_INVALID)] {
        let mut client = weir.client(version, "t", "client");
        for filter in ["$share//x", "$share/g", "$share/g/", "$share/+/x", "$share/"] {
            let suback = client.try_subscribe(1, filter, QoS::AtMostOnce);
            assert_eq!(suback.last(), Some(&code), "{filter} in MQTT {version}");
        }
        client.expect_nothing();
    }
}

#[test]
fn half_a_packet_and_then_silence_ends_after_one_and_a_half_keep_alives() {
    let mut weir = Weir::at(MORNING, OPEN);
    for version in VERSIONS {
        let mut client = weir.connect(&Connect { keep_alive: 10, ..connect(version, "t", "client") });
        // The PINGRESP shows that the beginning of what follows it was read too, or that its rest is all there is to come.
        client.send_bytes(&[0xC0, 0, 0x30, 100, 0, 3, b'a']);
        client.expect(&[0xD0, 0]);
        weir.clock("+14999ms");
        client.stream().set_nonblocking(true).expect("a socket option");
        assert!(client.stream().peek(&mut [0]).is_err(), "nothing is said before the time");
        client.stream().set_nonblocking(false).expect("a socket option");
        weir.clock("+1ms");
        if version == Version::V5 {
            assert_eq!(client.frame()[2], 0x8D, "Keep Alive timeout");
        }
        client.expect_closed();
    }
}

/// A CONNECT of these connect flags and this payload, which begins with the properties in MQTT 5.
fn connect_frame(version: Version, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    let protocol: &[u8] = match version {
        Version::V3 => b"\x00\x06MQIsdp\x03",
        Version::V4 => b"\x00\x04MQTT\x04",
        Version::V5 => b"\x00\x04MQTT\x05",
    };
    frame(0x10, &[protocol, &[flags, 0, 10], &payload.concat()])
}

/// Sends this first thing and expects these answers, and the end.
#[track_caller]
fn first_thing(weir: &Weir, name: &str, bytes: &[u8], answer: Option<&[u8]>) {
    let mut client = weir.raw();
    client.send_bytes(bytes);
    if let Some(beginning) = answer {
        let frame = client.frame();
        // In MQTT 5 the reason code is what is certain; behind it stands the reason in words.
        let (first, rest) = (frame[0], &frame[2..]);
        assert!(first == 0x20 && rest.starts_with(beginning), "{name}: {frame:02x?}");
    }
    assert_eq!(client.frame_or_end(), None, "{name}");
}

#[test]
fn what_is_no_connect_is_not_answered() {
    let weir = Weir::at(MORNING, OPEN);
    let mut bystanders = Bystanders::of(&weir);
    let rows: [(&str, &[u8]); 14] = [
        ("PUBLISH", b"\x30\x08\x00\x04talkhi"),
        ("SUBSCRIBE", b"\x82\x06\x00\x01\x00\x01#\x00"),
        ("PINGREQ", b"\xC0\x00"),
        ("DISCONNECT", b"\xE0\x00"),
        ("CONNACK", b"\x20\x02\x00\x00"),
        ("AUTH", b"\xF0\x00"),
        ("CONNECT with a reserved flag", b"\x11\x00"),
        ("packet type 0", b"\x00\x00"),
        ("a length of five bytes", b"\x10\x80\x80\x80\x80\x01"),
        ("a CONNECT too large, of which only the header is sent", b"\x10\xFF\xFF\xFF\x7F"),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
        ("another protocol's name", b"\x10\x0D\x00\x04HTTP\x04\x02\x00\x0A\x00\x01c"),
        ("an empty CONNECT", b"\x10\x00"),
    ];
    for (name, bytes) in rows {
        first_thing(&weir, name, bytes, None);
        bystanders.exchange("all is well");
    }
}

#[test]
fn a_level_of_mqtt_that_is_not_spoken_is_answered_in_words_that_its_client_knows() {
    let weir = Weir::at(MORNING, OPEN);
    for (name, bytes, answer) in [
        ("MQTT, level 6", &b"\x10\x0E\x00\x04MQTT\x06\x02\x00\x0A\x00\x00\x01c"[..], &[0, 0x84][..]),
        ("MQTT, level 3", b"\x10\x0D\x00\x04MQTT\x03\x02\x00\x0A\x00\x01c", &[0, 1]),
        ("MQIsdp, level 4", b"\x10\x0F\x00\x06MQIsdp\x04\x02\x00\x0A\x00\x01c", &[0, 1]),
    ] {
        first_thing(&weir, name, bytes, Some(answer));
    }
}

#[test]
fn a_connect_that_breaks_the_rules_is_answered_with_the_reason_in_mqtt_5_and_silence_before() {
    let weir = Weir::at(MORNING, OPEN);
    let mut bystanders = Bystanders::of(&weir);
    let id = text(b"c");
    let will = |topic: &[u8]| [text(topic), text(b"dead")].concat();
    let with_properties = [
        ("a User Property that is no UTF-8", &[0x26, 0, 1, 0xFF, 0, 0][..], MALFORMED),
        ("a Receive Maximum of 0", &[0x21, 0, 0], PROTOCOL_ERROR),
        ("a Maximum Packet Size of 0", &[0x27, 0, 0, 0, 0], PROTOCOL_ERROR),
        ("a Receive Maximum twice", &[0x21, 0, 9, 0x21, 0, 9], PROTOCOL_ERROR),
        ("a Request Problem Information of 2", &[0x17, 2], PROTOCOL_ERROR),
        ("Authentication Data without a method", &[0x16, 0, 1, 7], PROTOCOL_ERROR),
        ("an Authentication Method", &[0x15, 0, 1, b'm'], 0x8C),
        ("a Topic Alias in CONNECT", &[0x23, 0, 1], MALFORMED),
        ("a property that does not exist", &[0x7F, 0], MALFORMED),
    ];
    for (name, properties, reason) in with_properties {
        let bytes = connect_frame(Version::V5, 2, &[&text(properties)[1..], &id]);
        first_thing(&weir, name, &bytes, Some(&[0, reason]));
    }
    for version in VERSIONS {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        for (name, flags, payload, reason) in [
            ("the reserved connect flag", 0x03, id.clone(), MALFORMED),
            ("a will of QoS 3", 0x1E, [id.clone(), none.to_vec(), will(b"will")].concat(), MALFORMED),
            ("Will QoS without a will", 0x0A, id.clone(), MALFORMED),
            ("Will Retain without a will", 0x22, id.clone(), MALFORMED),
            ("a will for a wildcard", 0x06, [id.clone(), none.to_vec(), will(b"will/#")].concat(), TOPIC_NAME_INVALID),
            ("a client identifier that is no UTF-8", 0x02, text(b"\xFF"), MALFORMED),
            ("a client identifier with U+0000", 0x02, text(b"\0"), MALFORMED),
            ("a user name that is no UTF-8", 0x82, [id.clone(), text(b"\xFF")].concat(), MALFORMED),
            ("a CONNECT that ends in its client identifier", 0x02, vec![0, 9, b'c'], MALFORMED),
            ("a CONNECT that ends in its user name", 0x82, [&id[..], &[0, 9]].concat(), MALFORMED),
            ("a CONNECT with more after its end", 0x02, [&id[..], b"x"].concat(), MALFORMED),
        ] {
            let bytes = connect_frame(version, flags, &[none, &payload]);
            let answer = [0, reason];
            first_thing(&weir, name, &bytes, (version == Version::V5).then_some(&answer));
        }
    }
    for version in [Version::V3, Version::V4] {
        let bytes = connect_frame(version, 0x42, &[&id, &text(b"t")]);
        first_thing(&weir, "a password without a user name", &bytes, None);
    }
    // None of these wills was ever anyone's.
    bystanders.exchange("all is well");
    bystanders.receiver.expect_nothing();
}

#[test]
fn a_will_on_a_topic_of_too_many_levels_is_refused_with_its_connect() {
    let weir = Weir::at(
        MORNING,
        "plans: { flat: { max_topic_levels: 2 } }\nprofiles: { acme: { plan: flat, devices: { pump: { token: t } } } }",
    );
    for (topic, refused) in [("a/b", false), ("a/b/c", true)] {
        for (version, code) in [(Version::V4, 3), (Version::V5, 0x97)] {
            let will =
                Will { qos: QoS::AtMostOnce, retain: false, properties: Properties::EMPTY, topic, payload: b"dead" };
            let (_, connack) = weir.try_connect(&Connect { will: Some(will), ..connect(version, "t", "client") });
            assert_eq!(connack[3], if refused { code } else { 0 }, "{topic} in MQTT {version}");
        }
    }
}
