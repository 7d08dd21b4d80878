//! The packets of mqttbytes in our words, so that the two can be compared.

use mqttbytes::{QoS as TheirQoS, v4, v5};
use weir::wire::{
    Ack, ConnAck, Connect, Disconnect, FiltersBuf, Packet, PacketId, Properties, Property, Publish, QoS, ReasonCode,
    RetainHandling, SubAck, Subscribe, SubscriptionOptions, TopicsBuf, UnsubAck, Unsubscribe, Version, Will,
};

use crate::packets::{leak, leaked_properties};

/// The packet with its properties in the order of their identifiers, since mqttbytes keeps no order but that of user
/// properties among themselves.
pub fn in_order(mut packet: Packet<'_>) -> Packet<'_> {
    let properties = match &mut packet {
        Packet::Connect(packet) => {
            if let Some(will) = &mut packet.will {
                will.properties = sorted(will.properties.iter().collect());
            }
            &mut packet.properties
        }
        Packet::ConnAck(packet) => &mut packet.properties,
        Packet::Publish(packet) => &mut packet.properties,
        Packet::PubAck(packet) | Packet::PubRec(packet) | Packet::PubRel(packet) | Packet::PubComp(packet) => {
            &mut packet.properties
        }
        Packet::Subscribe(packet) => &mut packet.properties,
        Packet::SubAck(packet) => &mut packet.properties,
        Packet::Unsubscribe(packet) => &mut packet.properties,
        Packet::UnsubAck(packet) => &mut packet.properties,
        Packet::Disconnect(packet) => &mut packet.properties,
        Packet::Auth(packet) => &mut packet.properties,
        Packet::PingReq | Packet::PingResp => return packet,
    };
    *properties = sorted(properties.iter().collect());
    packet
}

fn sorted(mut properties: Vec<Property<'_>>) -> Properties<'static> {
    properties.sort_by_key(Property::id);
    leaked_properties(properties)
}

/// Their 3.1.1 packet in our words.
pub fn from_v4(theirs: &v4::Packet) -> Packet<'static> {
    let properties = Properties::EMPTY;
    let ack = |pkid| ack(pkid, 0, properties);
    match theirs {
        v4::Packet::Connect(theirs) => {
            let (user_name, password) = match &theirs.login {
                Some(login) => (text_if_any(&login.username), text_if_any(&login.password)),
                None => (None, None),
            };
            Packet::Connect(Connect {
                version: Version::V4,
                clean_start: theirs.clean_session,
                keep_alive: theirs.keep_alive,
                properties,
                client_id: text(&theirs.client_id),
                will: theirs.last_will.as_ref().map(|will| Will {
                    qos: qos(will.qos),
                    retain: will.retain,
                    properties,
                    topic: text(&will.topic),
                    payload: leak(&will.message[..]),
                }),
                user_name,
                password: password.map(str::as_bytes),
            })
        }
        v4::Packet::ConnAck(theirs) => {
            Packet::ConnAck(ConnAck { session_present: theirs.session_present, code: theirs.code as u8, properties })
        }
        v4::Packet::Publish(theirs) => Packet::Publish(Publish {
            dup: theirs.dup,
            qos: qos(theirs.qos),
            retain: theirs.retain,
            topic: text(&theirs.topic),
            packet_id: PacketId::new(theirs.pkid),
            properties,
            payload: leak(&theirs.payload[..]),
        }),
        v4::Packet::PubAck(theirs) => Packet::PubAck(ack(theirs.pkid)),
        v4::Packet::PubRec(theirs) => Packet::PubRec(ack(theirs.pkid)),
        v4::Packet::PubRel(theirs) => Packet::PubRel(ack(theirs.pkid)),
        v4::Packet::PubComp(theirs) => Packet::PubComp(ack(theirs.pkid)),
        v4::Packet::Subscribe(theirs) => {
            let mut filters = FiltersBuf::new();
            for filter in &theirs.filters {
                let options = SubscriptionOptions {
                    qos: qos(filter.qos),
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: RetainHandling::SendAtSubscribe,
                };
                filters.push(&filter.path, options).unwrap();
            }
            Packet::Subscribe(Subscribe {
                packet_id: packet_id(theirs.pkid),
                properties,
                filters: Box::leak(Box::new(filters)).as_filters(),
            })
        }
        v4::Packet::SubAck(theirs) => {
            let code = |code: &v4::SubscribeReasonCode| match code {
                v4::SubscribeReasonCode::Success(granted) => *granted as u8,
                v4::SubscribeReasonCode::Failure => 0x80,
            };
            Packet::SubAck(SubAck {
                packet_id: packet_id(theirs.pkid),
                properties,
                codes: leak(theirs.return_codes.iter().map(code).collect::<Vec<_>>()),
            })
        }
        v4::Packet::Unsubscribe(theirs) => unsubscribe(theirs.pkid, properties, &theirs.topics),
        v4::Packet::UnsubAck(theirs) => {
            Packet::UnsubAck(UnsubAck { packet_id: packet_id(theirs.pkid), properties, codes: &[] })
        }
        v4::Packet::PingReq => Packet::PingReq,
        v4::Packet::PingResp => Packet::PingResp,
        v4::Packet::Disconnect => {
            Packet::Disconnect(Disconnect { reason: ReasonCode::NormalDisconnection, properties })
        }
    }
}

/// Collects the properties that are there: a property for each field that is set, then user properties.
macro_rules! properties {
    ($theirs:expr, { $($field:ident => $property:expr),* $(,)? }) => {{
        let mut properties: Vec<Property<'_>> = Vec::new();
        if let Some(theirs) = &$theirs {
            $(properties.extend(theirs.$field.as_ref().map($property));)*
            properties.extend(theirs.user_properties.iter().map(|(name, value)| Property::UserProperty(name, value)));
        }
        sorted(properties)
    }};
}

/// Their MQTT 5 packet in our words, its properties in the order of their identifiers.
pub fn from_v5(theirs: &v5::Packet) -> Packet<'static> {
    match theirs {
        v5::Packet::Connect(theirs) => connect_from_v5(theirs),
        v5::Packet::ConnAck(theirs) => connack_from_v5(theirs),
        v5::Packet::Publish(theirs) => publish_from_v5(theirs),
        v5::Packet::PubAck(theirs) => {
            let properties = properties!(theirs.properties, { reason_string => |text| Property::ReasonString(text) });
            Packet::PubAck(ack(theirs.pkid, theirs.reason as u8, properties))
        }
        v5::Packet::PubRec(theirs) => {
            let properties = properties!(theirs.properties, { reason_string => |text| Property::ReasonString(text) });
            Packet::PubRec(ack(theirs.pkid, theirs.reason as u8, properties))
        }
        v5::Packet::PubRel(theirs) => {
            let properties = properties!(theirs.properties, { reason_string => |text| Property::ReasonString(text) });
            Packet::PubRel(ack(theirs.pkid, theirs.reason as u8, properties))
        }
        v5::Packet::PubComp(theirs) => {
            let properties = properties!(theirs.properties, { reason_string => |text| Property::ReasonString(text) });
            Packet::PubComp(ack(theirs.pkid, theirs.reason as u8, properties))
        }
        v5::Packet::Subscribe(theirs) => subscribe_from_v5(theirs),
        v5::Packet::SubAck(theirs) => Packet::SubAck(SubAck {
            packet_id: packet_id(theirs.pkid),
            properties: properties!(theirs.properties, { reason_string => |text| Property::ReasonString(text) }),
            codes: leak(theirs.return_codes.iter().map(|&code| code as u8).collect::<Vec<_>>()),
        }),
        v5::Packet::Unsubscribe(theirs) => {
            unsubscribe(theirs.pkid, properties!(theirs.properties, {}), &theirs.filters)
        }
        v5::Packet::UnsubAck(theirs) => Packet::UnsubAck(UnsubAck {
            packet_id: packet_id(theirs.pkid),
            properties: properties!(theirs.properties, { reason_string => |text| Property::ReasonString(text) }),
            codes: leak(theirs.reasons.iter().map(|&code| code as u8).collect::<Vec<_>>()),
        }),
        v5::Packet::PingReq => Packet::PingReq,
        v5::Packet::PingResp => Packet::PingResp,
        v5::Packet::Disconnect(theirs) => Packet::Disconnect(Disconnect {
            reason: reason(theirs.reason_code as u8),
            properties: properties!(theirs.properties, {
                session_expiry_interval => |&seconds| Property::SessionExpiryInterval(seconds),
                reason_string => |text| Property::ReasonString(text),
                server_reference => |text| Property::ServerReference(text),
            }),
        }),
    }
}

fn connect_from_v5(theirs: &v5::Connect) -> Packet<'static> {
    let (user_name, password) = match &theirs.login {
        Some(login) => (text_if_any(&login.username), text_if_any(&login.password)),
        None => (None, None),
    };
    Packet::Connect(Connect {
        version: Version::V5,
        clean_start: theirs.clean_session,
        keep_alive: theirs.keep_alive,
        properties: properties!(theirs.properties, {
            session_expiry_interval => |&seconds| Property::SessionExpiryInterval(seconds),
            receive_maximum => |&maximum| Property::ReceiveMaximum(maximum),
            max_packet_size => |&bytes| Property::MaximumPacketSize(bytes),
            topic_alias_max => |&maximum| Property::TopicAliasMaximum(maximum),
            request_response_info => |&flag| Property::RequestResponseInformation(flag == 1),
            request_problem_info => |&flag| Property::RequestProblemInformation(flag == 1),
            authentication_method => |text| Property::AuthenticationMethod(text),
            authentication_data => |data| Property::AuthenticationData(data),
        }),
        client_id: text(&theirs.client_id),
        will: theirs.last_will.as_ref().map(|will| Will {
            qos: qos(will.qos),
            retain: will.retain,
            properties: properties!(will.properties, {
                delay_interval => |&seconds| Property::WillDelayInterval(seconds),
                payload_format_indicator => |&indicator| Property::PayloadFormatIndicator(indicator),
                message_expiry_interval => |&seconds| Property::MessageExpiryInterval(seconds),
                content_type => |text| Property::ContentType(text),
                response_topic => |text| Property::ResponseTopic(text),
                correlation_data => |data| Property::CorrelationData(data),
            }),
            topic: text(&will.topic),
            payload: leak(&will.message[..]),
        }),
        user_name,
        password: password.map(str::as_bytes),
    })
}

fn connack_from_v5(theirs: &v5::ConnAck) -> Packet<'static> {
    Packet::ConnAck(ConnAck {
        session_present: theirs.session_present,
        code: theirs.code as u8,
        properties: properties!(theirs.properties, {
            session_expiry_interval => |&seconds| Property::SessionExpiryInterval(seconds),
            receive_max => |&maximum| Property::ReceiveMaximum(maximum),
            max_qos => |&maximum| Property::MaximumQoS(maximum),
            retain_available => |&flag| Property::RetainAvailable(flag == 1),
            max_packet_size => |&bytes| Property::MaximumPacketSize(bytes),
            assigned_client_identifier => |text| Property::AssignedClientIdentifier(text),
            topic_alias_max => |&maximum| Property::TopicAliasMaximum(maximum),
            reason_string => |text| Property::ReasonString(text),
            wildcard_subscription_available => |&flag| Property::WildcardSubscriptionAvailable(flag == 1),
            subscription_identifiers_available => |&flag| Property::SubscriptionIdentifiersAvailable(flag == 1),
            shared_subscription_available => |&flag| Property::SharedSubscriptionAvailable(flag == 1),
            server_keep_alive => |&seconds| Property::ServerKeepAlive(seconds),
            response_information => |text| Property::ResponseInformation(text),
            server_reference => |text| Property::ServerReference(text),
            authentication_method => |text| Property::AuthenticationMethod(text),
            authentication_data => |data| Property::AuthenticationData(data),
        }),
    })
}

fn publish_from_v5(theirs: &v5::Publish) -> Packet<'static> {
    let properties = properties!(theirs.properties, {
        payload_format_indicator => |&indicator| Property::PayloadFormatIndicator(indicator),
        message_expiry_interval => |&seconds| Property::MessageExpiryInterval(seconds),
        topic_alias => |&alias| Property::TopicAlias(alias),
        response_topic => |text| Property::ResponseTopic(text),
        correlation_data => |data| Property::CorrelationData(data),
        content_type => |text| Property::ContentType(text),
    });
    let identifiers = theirs.properties.iter().flat_map(|properties| &properties.subscription_identifiers);
    let identifiers = identifiers.map(|&identifier| Property::SubscriptionIdentifier(identifier as u32));
    Packet::Publish(Publish {
        dup: theirs.dup,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        topic: text(&theirs.topic),
        packet_id: PacketId::new(theirs.pkid),
        properties: sorted(properties.iter().chain(identifiers).collect()),
        payload: leak(&theirs.payload[..]),
    })
}

fn subscribe_from_v5(theirs: &v5::Subscribe) -> Packet<'static> {
    let mut filters = FiltersBuf::new();
    for filter in &theirs.filters {
        let options = SubscriptionOptions {
            qos: qos(filter.qos),
            no_local: filter.nolocal,
            retain_as_published: filter.preserve_retain,
            retain_handling: match filter.retain_forward_rule {
                v5::RetainForwardRule::OnEverySubscribe => RetainHandling::SendAtSubscribe,
                v5::RetainForwardRule::OnNewSubscribe => RetainHandling::SendIfNew,
                v5::RetainForwardRule::Never => RetainHandling::DoNotSend,
            },
        };
        filters.push(&filter.path, options).unwrap();
    }
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(theirs.pkid),
        properties: properties!(theirs.properties, {
            id => |&identifier| Property::SubscriptionIdentifier(identifier as u32),
        }),
        filters: Box::leak(Box::new(filters)).as_filters(),
    })
}

fn unsubscribe(pkid: u16, properties: Properties<'static>, topics: &[String]) -> Packet<'static> {
    let mut filters = TopicsBuf::new();
    for topic in topics {
        filters.push(topic).unwrap();
    }
    Packet::Unsubscribe(Unsubscribe {
        packet_id: packet_id(pkid),
        properties,
        filters: Box::leak(Box::new(filters)).as_topics(),
    })
}

fn ack(pkid: u16, code: u8, properties: Properties<'static>) -> Ack<'static> {
    Ack { packet_id: packet_id(pkid), reason: reason(code), properties }
}

fn packet_id(pkid: u16) -> PacketId {
    PacketId::new(pkid).unwrap()
}

fn reason(code: u8) -> ReasonCode {
    ReasonCode::from_u8(code).unwrap()
}

fn qos(theirs: TheirQoS) -> QoS {
    QoS::from_bits(theirs as u8).unwrap()
}

fn text(text: &str) -> &'static str {
    leak(text)
}

fn text_if_any(text: &str) -> Option<&'static str> {
    (!text.is_empty()).then(|| leak(text))
}
