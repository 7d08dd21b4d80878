//! MQTT 5 through rumqttc. Called by `link` alone. It must never look at a clock or count: it translates.
//!
//! What rumqttc 0.25 does that matters here: a CONNACK over a limit is an error that carries the code without the
//! properties; a negative PUBACK or PUBREC is an ordinary event; after a negative PUBREC, or a PUBCOMP with an error, the
//! place in the window is not given back; a DISCONNECT is an error, its packet left among the buffered events.

use std::collections::VecDeque;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, ConnectReturnCode, Disconnect, Packet, PubAckReason, PubCompReason, PubRecReason,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing};

use super::{Denial, Failure, Happening, Identity, KEEP_ALIVE, SESSION_EXPIRY, slots};
use crate::stamp::Stamp;

/// rumqttc's event loop and what it left behind when its connection ended.
pub struct Inlet {
    eventloop: EventLoop,
    connected: bool,
    left_over: VecDeque<Event>,
    failure: Option<ConnectionError>,
    farewell: Option<Disconnect>,
}

pub fn open(identity: &Identity) -> (AsyncClient, Inlet) {
    let wanted = identity.options;
    let mut options = MqttOptions::new(&identity.client_id, identity.address, wanted.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_outgoing_inflight_upper_limit(slots(wanted));
    options.set_clean_start(wanted.qos == 0);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(wanted.packet_size());
    properties.session_expiry_interval = (wanted.qos > 0).then_some(SESSION_EXPIRY);
    options.set_connect_properties(properties);
    if let Some((name, password)) = wanted.credentials() {
        options.set_credentials(name, password);
    }
    let (client, eventloop) = AsyncClient::new(options, slots(wanted).into());
    let inlet = Inlet { eventloop, connected: false, left_over: VecDeque::new(), failure: None, farewell: None };
    (client, inlet)
}

impl Inlet {
    pub fn connected(&self) -> bool {
        self.connected
    }

    pub fn reclaim(&mut self) {
        self.eventloop.state.clean();
    }

    pub async fn poll(&mut self) -> Result<Happening, Failure> {
        if self.failure.is_none() {
            match self.eventloop.poll().await {
                Ok(event) => return Ok(self.translate(event)),
                Err(error) => {
                    self.left_over.extend(self.eventloop.state.events.drain(..));
                    self.failure = Some(error);
                }
            }
        }
        match self.left_over.pop_front() {
            Some(event) => Ok(self.translate(event)),
            None => Err(self.end()),
        }
    }

    fn end(&mut self) -> Failure {
        let was_connected = std::mem::replace(&mut self.connected, false);
        let farewell = self.farewell.take();
        match self.failure.take() {
            Some(ConnectionError::ConnectionRefused(code)) => refused(code),
            Some(error) if !was_connected => Failure::Unreachable(error.to_string()),
            error => {
                let text = error.map(|error| error.to_string()).unwrap_or_default();
                let Some(packet) = farewell else {
                    return Failure::Ended { denial: None, retry_after: None, text };
                };
                let properties = packet.properties.map(|p| p.user_properties).unwrap_or_default();
                Failure::Ended {
                    denial: Some(denial("DISCONNECT", packet.reason_code as u8, &properties)),
                    retry_after: retry_after(&properties),
                    text,
                }
            }
        }
    }

    fn translate(&mut self, event: Event) -> Happening {
        match event {
            Event::Outgoing(Outgoing::Publish(id)) => Happening::Sent(id),
            Event::Outgoing(Outgoing::Disconnect) => Happening::Left,
            Event::Outgoing(_) => Happening::Other,
            Event::Incoming(packet) => self.incoming(packet),
        }
    }

    fn incoming(&mut self, packet: Packet) -> Happening {
        match packet {
            Packet::ConnAck(ack) => {
                self.connected = true;
                let receive_maximum = ack.properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX);
                Happening::Connected { resumed: ack.session_present, receive_maximum }
            }
            Packet::PubAck(ack) => match puback_code(ack.reason) {
                0x00..0x80 => Happening::Accepted { id: ack.pkid, last: true },
                code => {
                    let properties = ack.properties.map(|p| p.user_properties).unwrap_or_default();
                    let denial = denial("PUBACK", code, &properties);
                    Happening::Denied { id: ack.pkid, denial, leaked: false }
                }
            },
            Packet::PubRec(ack) => match pubrec_code(ack.reason) {
                0x00..0x80 => Happening::Accepted { id: ack.pkid, last: false },
                code => {
                    let properties = ack.properties.map(|p| p.user_properties).unwrap_or_default();
                    let denial = denial("PUBREC", code, &properties);
                    Happening::Denied { id: ack.pkid, denial, leaked: true }
                }
            },
            Packet::PubComp(ack) => Happening::Completed { id: ack.pkid, leaked: ack.reason != PubCompReason::Success },
            Packet::SubAck(ack) => match ack.return_codes.first().map(suback_code) {
                Some(code @ 0x80..) => {
                    let properties = ack.properties.map(|p| p.user_properties).unwrap_or_default();
                    let denial = denial("SUBACK", code, &properties);
                    Happening::SubscribeDenied { denial, retry_after: retry_after(&properties) }
                }
                _ => Happening::Subscribed,
            },
            Packet::Publish(publish) => Happening::Delivered(Stamp::read(&publish.payload)),
            Packet::Disconnect(disconnect) => {
                self.farewell = Some(disconnect);
                Happening::Other
            }
            _ => Happening::Other,
        }
    }
}

pub fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn denial(packet: &'static str, code: u8, properties: &[(String, String)]) -> Denial {
    Denial {
        packet,
        code,
        resource: property(properties, "resource").map(str::to_owned),
        limit: property(properties, "limit").map(str::to_owned),
    }
}

fn retry_after(properties: &[(String, String)]) -> Option<Duration> {
    let seconds = property(properties, "retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn property<'a>(properties: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = properties.iter().find(|(key, _)| key == name)?;
    Some(&found.1)
}

fn refused(code: ConnectReturnCode) -> Failure {
    let (code, passes) = match code {
        ConnectReturnCode::ServerUnavailable => (0x88, true),
        ConnectReturnCode::ServerBusy => (0x89, true),
        ConnectReturnCode::QuotaExceeded => (0x97, true),
        ConnectReturnCode::ConnectionRateExceeded => (0x9F, true),
        ConnectReturnCode::BadUserNamePassword => (0x86, false),
        ConnectReturnCode::NotAuthorized => (0x87, false),
        other => return Failure::Rejected(format!("the broker refused the connection: {other:?}")),
    };
    if passes {
        let resource = Some("connect".into());
        return Failure::Denied(Denial { packet: "CONNACK", code, resource, limit: None });
    }
    Failure::Rejected(format!("the broker refused the credentials (CONNACK 0x{code:02X})"))
}

fn puback_code(reason: PubAckReason) -> u8 {
    match reason {
        PubAckReason::Success => 0x00,
        PubAckReason::NoMatchingSubscribers => 0x10,
        PubAckReason::UnspecifiedError => 0x80,
        PubAckReason::ImplementationSpecificError => 0x83,
        PubAckReason::NotAuthorized => 0x87,
        PubAckReason::TopicNameInvalid => 0x90,
        PubAckReason::PacketIdentifierInUse => 0x91,
        PubAckReason::QuotaExceeded => 0x97,
        PubAckReason::PayloadFormatInvalid => 0x99,
    }
}

fn pubrec_code(reason: PubRecReason) -> u8 {
    match reason {
        PubRecReason::Success => 0x00,
        PubRecReason::NoMatchingSubscribers => 0x10,
        PubRecReason::UnspecifiedError => 0x80,
        PubRecReason::ImplementationSpecificError => 0x83,
        PubRecReason::NotAuthorized => 0x87,
        PubRecReason::TopicNameInvalid => 0x90,
        PubRecReason::PacketIdentifierInUse => 0x91,
        PubRecReason::QuotaExceeded => 0x97,
        PubRecReason::PayloadFormatInvalid => 0x99,
    }
}

fn suback_code(reason: &SubscribeReasonCode) -> u8 {
    match reason {
        SubscribeReasonCode::Success(_) => 0x00,
        SubscribeReasonCode::Failure | SubscribeReasonCode::Unspecified => 0x80,
        SubscribeReasonCode::ImplementationSpecific => 0x83,
        SubscribeReasonCode::NotAuthorized => 0x87,
        SubscribeReasonCode::TopicFilterInvalid => 0x8F,
        SubscribeReasonCode::PkidInUse => 0x91,
        SubscribeReasonCode::QuotaExceeded => 0x97,
        SubscribeReasonCode::SharedSubscriptionsNotSupported => 0x9E,
        SubscribeReasonCode::SubscriptionIdNotSupported => 0xA1,
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => 0xA2,
    }
}
