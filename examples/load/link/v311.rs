//! MQTT 3.1.1 through rumqttc. Called by `link` alone. It must never look at a clock or count: it translates.
//!
//! In this version a broker cannot refuse a publish: it closes the connection, and rumqttc sends what was not
//! acknowledged again once the session is resumed. So a session outlives its connection at QoS 1 and 2, and
//! [`discard_session`] takes it away in the end.

use std::collections::VecDeque;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet,
    QoS, SubscribeReasonCode,
};
use tokio::time::timeout;

use super::{Denial, Failure, Happening, Identity, KEEP_ALIVE, slots};
use crate::stamp::Stamp;

/// How long taking away a session may take.
const DISCARD: Duration = Duration::from_secs(2);

/// rumqttc's event loop and what it left behind when its connection ended.
pub struct Inlet {
    eventloop: EventLoop,
    connected: bool,
    left_over: VecDeque<Event>,
    failure: Option<ConnectionError>,
}

pub fn open(identity: &Identity) -> (AsyncClient, Inlet) {
    connection(identity, identity.options.qos == 0)
}

/// Connects once more with a clean session, which makes the broker forget the one there was. False if the broker
/// refused.
pub async fn discard_session(identity: &Identity<'_>) -> bool {
    let (client, mut inlet) = connection(identity, true);
    let work = async {
        loop {
            match inlet.poll().await {
                Ok(Happening::Connected { .. }) if client.try_disconnect().is_err() => {
                    return false;
                }
                Ok(Happening::Left) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    timeout(DISCARD, work).await.unwrap_or(false)
}

fn connection(identity: &Identity, clean: bool) -> (AsyncClient, Inlet) {
    let wanted = identity.options;
    let mut options = MqttOptions::new(&identity.client_id, identity.address, wanted.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_inflight(slots(wanted));
    options.set_clean_session(clean);
    let packet_size = wanted.packet_size() as usize;
    options.set_max_packet_size(packet_size, packet_size);
    if let Some((name, password)) = wanted.credentials() {
        options.set_credentials(name, password);
    }
    let (client, mut eventloop) = AsyncClient::new(options, slots(wanted).into());
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    eventloop.set_network_options(network);
    let inlet = Inlet { eventloop, connected: false, left_over: VecDeque::new(), failure: None };
    (client, inlet)
}

impl Inlet {
    pub fn connected(&self) -> bool {
        self.connected
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
        match self.failure.take() {
            Some(ConnectionError::ConnectionRefused(code)) => refused(code),
            Some(error) if !was_connected => Failure::Unreachable(error.to_string()),
            error => Failure::Ended {
                denial: None,
                retry_after: None,
                text: error.map(|error| error.to_string()).unwrap_or_default(),
            },
        }
    }

    fn translate(&mut self, event: Event) -> Happening {
        match event {
            Event::Outgoing(Outgoing::Publish(id)) => Happening::Sent(id),
            Event::Outgoing(Outgoing::Disconnect) => Happening::Left,
            Event::Outgoing(_) => Happening::Other,
            Event::Incoming(Packet::ConnAck(ack)) => {
                self.connected = true;
                Happening::Connected { resumed: ack.session_present, receive_maximum: u16::MAX }
            }
            Event::Incoming(Packet::PubAck(ack)) => Happening::Accepted { id: ack.pkid, last: true },
            Event::Incoming(Packet::PubRec(ack)) => Happening::Accepted { id: ack.pkid, last: false },
            Event::Incoming(Packet::PubComp(ack)) => Happening::Completed { id: ack.pkid, leaked: false },
            Event::Incoming(Packet::SubAck(ack)) => match ack.return_codes.first() {
                Some(SubscribeReasonCode::Failure) => {
                    Happening::SubscribeDenied { denial: denial("SUBACK", 0x80, "subscribe"), retry_after: None }
                }
                _ => Happening::Subscribed,
            },
            Event::Incoming(Packet::Publish(publish)) => Happening::Delivered(Stamp::read(&publish.payload)),
            Event::Incoming(_) => Happening::Other,
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

fn denial(packet: &'static str, code: u8, resource: &str) -> Denial {
    Denial { packet, code, resource: Some(resource.into()), limit: None }
}

fn refused(code: ConnectReturnCode) -> Failure {
    match code {
        ConnectReturnCode::ServiceUnavailable => Failure::Denied(denial("CONNACK", 3, "connect")),
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            Failure::Rejected(format!("the broker refused the credentials (CONNACK {})", code as u8))
        }
        other => Failure::Rejected(format!("the broker refused the connection: {other:?}")),
    }
}
