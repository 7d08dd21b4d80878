//! Random well-formed packets of every kind and version. A strategy has to produce values that own what they show, and a
//! packet borrows: what it borrows is leaked here, a few kilobytes in a run.

use proptest::{collection::vec, option, prelude::*, sample::select, strategy::Union};
use weir::wire::{
    Ack, Auth, ConnAck, Connect, Disconnect, FiltersBuf, Packet, PacketId, Properties, Property, PropertyBuf, Publish,
    QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions, TopicsBuf, UnsubAck, Unsubscribe, Version,
    Will,
};

pub const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

/// A packet and the version it is of.
pub fn packet() -> impl Strategy<Value = (Version, Packet<'static>)> {
    select(&VERSIONS[..]).prop_flat_map(|version| packet_of(version).prop_map(move |packet| (version, packet)))
}

pub fn packet_of(version: Version) -> BoxedStrategy<Packet<'static>> {
    let mut kinds = vec![
        connect(version).prop_map(Packet::Connect).boxed(),
        connack(version).prop_map(Packet::ConnAck).boxed(),
        publish(version).prop_map(Packet::Publish).boxed(),
        ack(version, PUBLISHED).prop_map(Packet::PubAck).boxed(),
        ack(version, PUBLISHED).prop_map(Packet::PubRec).boxed(),
        ack(version, RELEASED).prop_map(Packet::PubRel).boxed(),
        ack(version, RELEASED).prop_map(Packet::PubComp).boxed(),
        subscribe(version).prop_map(Packet::Subscribe).boxed(),
        suback(version).prop_map(Packet::SubAck).boxed(),
        unsubscribe(version).prop_map(Packet::Unsubscribe).boxed(),
        unsuback(version).prop_map(Packet::UnsubAck).boxed(),
        Just(Packet::PingReq).boxed(),
        Just(Packet::PingResp).boxed(),
        disconnect(version).prop_map(Packet::Disconnect).boxed(),
    ];
    if version == Version::V5 {
        kinds.push(auth().prop_map(Packet::Auth).boxed());
    }
    Union::new(kinds).boxed()
}

pub fn leak<T: ?Sized>(value: impl Into<Box<T>>) -> &'static T {
    Box::leak(value.into())
}

pub fn leaked_properties<'a>(properties: impl IntoIterator<Item = Property<'a>>) -> Properties<'static> {
    let mut buf = PropertyBuf::new();
    for property in properties {
        buf.push(property);
    }
    Box::leak(Box::new(buf)).as_properties()
}

const PUBLISHED: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASED: &[u8] = &[0x00, 0x92];
const REASON_AND_USER: &[u8] = &[0x1F, 0x26];

fn connect(version: Version) -> impl Strategy<Value = Connect<'static>> {
    (
        (any::<bool>(), any::<u16>(), text(), option::of(will(version))),
        option::of(text()),
        option::of(binary()),
        properties(version, &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]),
    )
        .prop_map(move |((clean_start, keep_alive, client_id, will), user_name, password, properties)| Connect {
            version,
            clean_start,
            keep_alive,
            properties,
            client_id,
            will,
            user_name,
            password: password.filter(|_| version == Version::V5 || user_name.is_some()),
        })
}

fn will(version: Version) -> impl Strategy<Value = Will<'static>> {
    let properties = properties(version, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]);
    (qos(), any::<bool>(), properties, topic(), binary()).prop_map(|(qos, retain, properties, topic, payload)| Will {
        qos,
        retain,
        properties,
        topic,
        payload,
    })
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck<'static>> {
    let codes: &[u8] = match version {
        Version::V3 | Version::V4 => &[0, 0, 1, 2, 3, 4, 5],
        Version::V5 => &[
            0x00, 0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
            0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    };
    let allowed =
        &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A];
    (any::<bool>(), select(codes), properties(version, allowed)).prop_map(move |(session_present, code, properties)| {
        ConnAck { session_present: session_present && code == 0 && version != Version::V3, code, properties }
    })
}

fn publish(version: Version) -> impl Strategy<Value = Publish<'static>> {
    (
        (any::<bool>(), qos(), any::<bool>(), any::<bool>()),
        topic(),
        packet_id(),
        properties(version, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x0B, 0x0B, 0x23, 0x26]),
        binary(),
    )
        .prop_map(|((dup, qos, retain, by_alias), topic, packet_id, properties, payload)| Publish {
            dup: dup && qos > QoS::AtMostOnce,
            qos,
            retain,
            topic: if by_alias && properties.topic_alias().is_some() { "" } else { topic },
            packet_id: Some(packet_id).filter(|_| qos > QoS::AtMostOnce),
            properties,
            payload,
        })
}

fn ack(version: Version, codes: &'static [u8]) -> impl Strategy<Value = Ack<'static>> {
    (packet_id(), reason(version, codes), properties(version, REASON_AND_USER))
        .prop_map(|(packet_id, reason, properties)| Ack { packet_id, reason, properties })
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe<'static>> {
    let filters = vec((filter(), options(version)), 1..5);
    (packet_id(), properties(version, &[0x0B, 0x26]), filters).prop_map(|(packet_id, properties, filters)| {
        let mut buf = FiltersBuf::new();
        for (filter, options) in filters {
            buf.push(filter, options).unwrap();
        }
        Subscribe { packet_id, properties, filters: Box::leak(Box::new(buf)).as_filters() }
    })
}

fn options(version: Version) -> BoxedStrategy<SubscriptionOptions> {
    let handling = select(&[RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let all = (qos(), any::<bool>(), any::<bool>(), handling);
    all.prop_map(move |(qos, no_local, retain_as_published, retain_handling)| match version {
        Version::V5 => SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
        Version::V3 | Version::V4 => SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        },
    })
    .boxed()
}

fn suback(version: Version) -> impl Strategy<Value = SubAck<'static>> {
    let known: &[u8] = match version {
        Version::V3 | Version::V4 => &[0x00, 0x01, 0x02, 0x80],
        Version::V5 => &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
    };
    let codes = vec(select(known), 1..200);
    (packet_id(), properties(version, REASON_AND_USER), codes).prop_map(|(packet_id, properties, codes)| SubAck {
        packet_id,
        properties,
        codes: leak(codes),
    })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe<'static>> {
    (packet_id(), properties(version, &[0x26]), vec(filter(), 1..5)).prop_map(|(packet_id, properties, filters)| {
        let mut buf = TopicsBuf::new();
        for filter in filters {
            buf.push(filter).unwrap();
        }
        Unsubscribe { packet_id, properties, filters: Box::leak(Box::new(buf)).as_topics() }
    })
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck<'static>> {
    let codes = vec(select(&[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91][..]), 1..5);
    (packet_id(), properties(version, REASON_AND_USER), codes).prop_map(move |(packet_id, properties, codes)| {
        let codes = leak(codes);
        UnsubAck { packet_id, properties, codes: if version == Version::V5 { codes } else { &[] } }
    })
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect<'static>> {
    let codes = &[
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
        0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    (reason(version, codes), properties(version, &[0x11, 0x1C, 0x1F, 0x26]))
        .prop_map(|(reason, properties)| Disconnect { reason, properties })
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    let with_method = (reason(Version::V5, &[0x00, 0x18, 0x19]), properties(Version::V5, &[0x16, 0x1F, 0x26]), text())
        .prop_map(|(reason, properties, method)| Auth {
            reason,
            properties: leaked_properties(properties.iter().chain([Property::AuthenticationMethod(method)])),
        });
    let bare = Just(Auth { reason: ReasonCode::Success, properties: Properties::EMPTY });
    prop_oneof![1 => bare, 4 => with_method]
}

/// Up to eight of the properties with the identifiers `allowed`, in any order.
fn properties(version: Version, allowed: &[u8]) -> BoxedStrategy<Properties<'static>> {
    if version < Version::V5 {
        return Just(Properties::EMPTY).boxed();
    }
    let identifiers_repeat = allowed.iter().filter(|&&id| id == 0x0B).count() > 1;
    let method_is_elsewhere = !allowed.contains(&0x15);
    vec(Union::new(allowed.iter().map(|&id| property(id))), 0..8)
        .prop_map(move |properties| {
            let mut kept: Vec<Property<'static>> = Vec::new();
            for property in properties {
                let repeats = match property {
                    Property::UserProperty(..) => true,
                    Property::SubscriptionIdentifier(_) => identifiers_repeat,
                    _ => false,
                };
                if repeats || kept.iter().all(|other| other.id() != property.id()) {
                    kept.push(property);
                }
            }
            if !method_is_elsewhere && kept.iter().all(|property| property.id() != 0x15) {
                kept.retain(|property| property.id() != 0x16);
            }
            leaked_properties(kept)
        })
        .boxed()
}

fn property(id: u8) -> BoxedStrategy<Property<'static>> {
    use Property::*;
    match id {
        0x01 => (0..2u8).prop_map(PayloadFormatIndicator).boxed(),
        0x02 => any::<u32>().prop_map(MessageExpiryInterval).boxed(),
        0x03 => text().prop_map(ContentType).boxed(),
        0x08 => topic().prop_map(ResponseTopic).boxed(),
        0x09 => binary().prop_map(CorrelationData).boxed(),
        0x0B => prop_oneof![1..200u32, 1..=268_435_455u32].prop_map(SubscriptionIdentifier).boxed(),
        0x11 => any::<u32>().prop_map(SessionExpiryInterval).boxed(),
        0x12 => text().prop_map(AssignedClientIdentifier).boxed(),
        0x13 => any::<u16>().prop_map(ServerKeepAlive).boxed(),
        0x15 => text().prop_map(AuthenticationMethod).boxed(),
        0x16 => binary().prop_map(AuthenticationData).boxed(),
        0x17 => any::<bool>().prop_map(RequestProblemInformation).boxed(),
        0x18 => any::<u32>().prop_map(WillDelayInterval).boxed(),
        0x19 => any::<bool>().prop_map(RequestResponseInformation).boxed(),
        0x1A => text().prop_map(ResponseInformation).boxed(),
        0x1C => text().prop_map(ServerReference).boxed(),
        0x1F => text().prop_map(ReasonString).boxed(),
        0x21 => (1..=u16::MAX).prop_map(ReceiveMaximum).boxed(),
        0x22 => any::<u16>().prop_map(TopicAliasMaximum).boxed(),
        0x23 => (1..=u16::MAX).prop_map(TopicAlias).boxed(),
        0x24 => (0..2u8).prop_map(MaximumQoS).boxed(),
        0x25 => any::<bool>().prop_map(RetainAvailable).boxed(),
        0x26 => (text(), text()).prop_map(|(name, value)| UserProperty(name, value)).boxed(),
        0x27 => (1..=u32::MAX).prop_map(MaximumPacketSize).boxed(),
        0x28 => any::<bool>().prop_map(WildcardSubscriptionAvailable).boxed(),
        0x29 => any::<bool>().prop_map(SubscriptionIdentifiersAvailable).boxed(),
        0x2A => any::<bool>().prop_map(SharedSubscriptionAvailable).boxed(),
        _ => unreachable!("there is no property {id:#x}"),
    }
}

fn reason(version: Version, codes: &'static [u8]) -> BoxedStrategy<ReasonCode> {
    match version {
        Version::V3 | Version::V4 => Just(ReasonCode::Success).boxed(),
        Version::V5 => select(codes).prop_map(|code| ReasonCode::from_u8(code).unwrap()).boxed(),
    }
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

/// Any text without U+0000: mostly short, now and then so long that a length takes two bytes.
fn text() -> impl Strategy<Value = &'static str> {
    let character = prop_oneof![4 => any::<char>(), 1 => Just('\u{FEFF}'), 1 => Just('/')];
    prop_oneof![9 => vec(character, 0..12), 1 => vec(any::<char>(), 100..200)]
        .prop_map(|characters| leak(characters.into_iter().filter(|&c| c != '\0').collect::<String>()))
}

fn binary() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![9 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 100..300)].prop_map(leak)
}

fn topic() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| match text.replace(['+', '#'], "_") {
        empty if empty.is_empty() => "/",
        topic => leak(topic),
    })
}

fn filter() -> impl Strategy<Value = &'static str> {
    let level = prop_oneof![topic().prop_map(String::from), Just(String::from("+"))];
    (vec(level, 1..4), any::<bool>()).prop_map(|(mut levels, hash)| {
        if hash {
            levels.push(String::from("#"));
        }
        leak(levels.join("/"))
    })
}
