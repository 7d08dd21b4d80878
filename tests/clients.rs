//! Real clients against the real binary: rumqttc, which speaks MQTT 3.1.1 and 5 with two APIs. What it shows of a denial is
//! what an application built on it can act on.

mod common;

use std::fmt::Debug;

use common::{PATIENCE, Weir};
use rumqttc::v5::mqttbytes::v5 as five;
use rumqttc::{mqttbytes, v5};

const PLAN: &str = "plans: { open: {} }\nprofiles: { acme: { plan: open, devices: { pump: { token: t } } } }";
const MORNING: &str = "2026-11-21T12:45:09Z";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    V4,
    V5,
}

const BOTH: [Api; 2] = [Api::V4, Api::V5];

/// What a client's event loop shows, in the words of both APIs.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Connected {
        session_present: bool,
    },
    /// Topic, payload, QoS, RETAIN.
    Message(String, String, u8, bool),
    /// The acknowledgement of a publish of QoS 1, or the last one of QoS 2, that went well.
    Published,
    /// One that did not: its reason code by name, its Reason String, its User Properties.
    Denied(String, String, Vec<(String, String)>),
    Subscribed(String),
    /// The connection is over, or never was: the error of the event loop.
    Over(String),
}

/// How a client connects.
#[derive(Clone, Copy)]
struct Wants {
    clean: bool,
    will: bool,
}

const CLEAN: Wants = Wants { clean: true, will: false };

enum Client {
    V4(rumqttc::AsyncClient, Box<rumqttc::EventLoop>),
    V5(v5::AsyncClient, Box<v5::EventLoop>),
}

impl Client {
    /// A client that is yet to connect.
    fn new(weir: &Weir, api: Api, id: &str, wants: Wants) -> Client {
        let (host, port) = (weir.address().ip().to_string(), weir.address().port());
        match api {
            Api::V4 => {
                let mut options = rumqttc::MqttOptions::new(id, host, port);
                options.set_credentials("Token", "t").set_clean_session(wants.clean);
                if wants.will {
                    options.set_last_will(rumqttc::LastWill::new("will", "gone", mqttbytes::QoS::AtLeastOnce, false));
                }
                let (client, events) = rumqttc::AsyncClient::new(options, 16);
                Client::V4(client, events.into())
            }
            Api::V5 => {
                let mut options = v5::MqttOptions::new(id, host, port);
                options.set_credentials("Token", "t").set_clean_start(wants.clean);
                options.set_session_expiry_interval((!wants.clean).then_some(3600));
                options.set_outgoing_inflight_upper_limit(16);
                if wants.will {
                    let qos = v5::mqttbytes::QoS::AtLeastOnce;
                    options.set_last_will(five::LastWill::new("will", "gone", qos, false, None));
                }
                let (client, events) = v5::AsyncClient::new(options, 16);
                Client::V5(client, events.into())
            }
        }
    }

    async fn connected(weir: &Weir, api: Api, id: &str, wants: Wants) -> Client {
        let mut client = Client::new(weir, api, id, wants);
        client.expect(Seen::Connected { session_present: false }).await;
        client
    }

    /// The next thing that an application would take notice of.
    async fn next(&mut self) -> Seen {
        let next = async {
            loop {
                let seen = match self {
                    Client::V4(_, events) => match events.poll().await {
                        Ok(rumqttc::Event::Incoming(packet)) => seen_v4(packet),
                        Ok(rumqttc::Event::Outgoing(_)) => None,
                        Err(error) => Some(Seen::Over(error.to_string())),
                    },
                    Client::V5(_, events) => match events.poll().await {
                        Ok(v5::Event::Incoming(packet)) => seen_v5(packet),
                        Ok(v5::Event::Outgoing(_)) => None,
                        Err(error) => Some(Seen::Over(error.to_string())),
                    },
                };
                if let Some(seen) = seen {
                    return seen;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the broker answers")
    }

    async fn expect(&mut self, expected: Seen) {
        assert_eq!(self.next().await, expected);
    }

    async fn publish(&self, topic: &str, payload: &str, qos: u8, retain: bool) {
        match self {
            Client::V4(client, _) => {
                client.publish(topic, mqttbytes::qos(qos).expect("a QoS"), retain, payload).await.expect("taken");
            }
            Client::V5(client, _) => {
                let qos = v5::mqttbytes::qos(qos).expect("a QoS");
                client.publish(topic, qos, retain, payload.to_owned()).await.expect("taken");
            }
        }
    }

    async fn subscribe(&mut self, filter: &str, qos: u8) {
        match self {
            Client::V4(client, _) => {
                client.subscribe(filter, mqttbytes::qos(qos).expect("a QoS")).await.expect("taken");
            }
            Client::V5(client, _) => {
                client.subscribe(filter, v5::mqttbytes::qos(qos).expect("a QoS")).await.expect("taken");
            }
        }
        match self.next().await {
            Seen::Subscribed(codes) => assert!(codes.contains("Success"), "the subscription is granted: {codes}"),
            other => panic!("a SUBACK is expected, not {other:?}"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the tests send text")
}

fn seen_v4(packet: rumqttc::Packet) -> Option<Seen> {
    Some(match packet {
        rumqttc::Packet::ConnAck(connack) => Seen::Connected { session_present: connack.session_present },
        rumqttc::Packet::Publish(message) => {
            Seen::Message(message.topic, text(&message.payload), message.qos as u8, message.retain)
        }
        rumqttc::Packet::PubAck(_) | rumqttc::Packet::PubComp(_) => Seen::Published,
        rumqttc::Packet::SubAck(suback) => Seen::Subscribed(format!("{:?}", suback.return_codes)),
        _ => return None,
    })
}

fn seen_v5(packet: five::Packet) -> Option<Seen> {
    Some(match packet {
        five::Packet::ConnAck(connack) => Seen::Connected { session_present: connack.session_present },
        five::Packet::Publish(message) => {
            Seen::Message(text(&message.topic), text(&message.payload), message.qos as u8, message.retain)
        }
        five::Packet::PubAck(ack) if ack.reason == five::PubAckReason::QuotaExceeded => {
            let properties = ack.properties.expect("a denial says why");
            denied(ack.reason, properties.reason_string, properties.user_properties)
        }
        five::Packet::PubRec(ack) if ack.reason == five::PubRecReason::QuotaExceeded => {
            let properties = ack.properties.expect("a denial says why");
            denied(ack.reason, properties.reason_string, properties.user_properties)
        }
        five::Packet::PubAck(_) | five::Packet::PubComp(_) => Seen::Published,
        five::Packet::SubAck(suback) => match suback.properties {
            Some(properties) => denied(suback.return_codes, properties.reason_string, properties.user_properties),
            None => Seen::Subscribed(format!("{:?}", suback.return_codes)),
        },
        _ => return None,
    })
}

fn denied(reason: impl Debug, text: Option<String>, user_properties: Vec<(String, String)>) -> Seen {
    Seen::Denied(format!("{reason:?}"), text.unwrap_or_default(), user_properties)
}

/// The denial of a request over a limit of this resource at 12:45:09.
fn denial(reason: &str, resource: &str, limit: &str) -> Seen {
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Seen::Denied(
        reason.to_owned(),
        "Too many requests (Retry-After: 51)".to_owned(),
        vec![property("retry-after", "51"), property("resource", resource), property("limit", limit)],
    )
}

fn message(topic: &str, payload: &str, qos: u8, retain: bool) -> Seen {
    Seen::Message(topic.to_owned(), payload.to_owned(), qos, retain)
}

#[tokio::test]
async fn messages_of_every_qos_pass_between_clients_of_both_versions() {
    let weir = Weir::at(MORNING, PLAN);
    for from in BOTH {
        for to in BOTH {
            let mut receiver = Client::connected(&weir, to, "receiver", CLEAN).await;
            let mut sender = Client::connected(&weir, from, "sender", CLEAN).await;
            receiver.subscribe("plant/+", 2).await;
            for qos in 0..=2 {
                sender.publish("plant/p", "42", qos, false).await;
                if qos > 0 {
                    sender.expect(Seen::Published).await;
                } else {
                    // Nothing comes back: the next acknowledgement shows that it was sent.
                    sender.publish("other", "", 1, false).await;
                    sender.expect(Seen::Published).await;
                }
                receiver.expect(message("plant/p", "42", qos, false)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_retained_message_meets_those_who_subscribe_later() {
    for api in BOTH {
        let weir = Weir::at(MORNING, PLAN);
        let mut sender = Client::connected(&weir, api, "sender", CLEAN).await;
        sender.publish("state", "on", 1, true).await;
        sender.expect(Seen::Published).await;
        let mut receiver = Client::connected(&weir, api, "receiver", CLEAN).await;
        receiver.subscribe("state", 1).await;
        receiver.expect(message("state", "on", 1, true)).await;
    }
}

#[tokio::test]
async fn clients_of_both_versions_share_the_messages_of_a_shared_subscription() {
    let weir = Weir::at(MORNING, PLAN);
    let mut first = Client::connected(&weir, Api::V4, "first", CLEAN).await;
    let mut second = Client::connected(&weir, Api::V5, "second", CLEAN).await;
    let mut sender = Client::connected(&weir, Api::V5, "sender", CLEAN).await;
    first.subscribe("$share/crew/jobs", 1).await;
    second.subscribe("$share/crew/jobs", 1).await;
    for job in ["a", "b", "c", "d"] {
        sender.publish("jobs", job, 1, false).await;
        sender.expect(Seen::Published).await;
    }
    let mut done = Vec::new();
    for member in [&mut first, &mut second] {
        for _ in 0..2 {
            let Seen::Message(_, job, 1, false) = member.next().await else { panic!("a job is expected") };
            done.push(job);
        }
    }
    done.sort_unstable();
    assert_eq!(done, ["a", "b", "c", "d"], "each job is done by one of them, and both have their turn");
}

#[tokio::test]
async fn the_will_of_a_client_that_vanishes_is_published() {
    for api in BOTH {
        let weir = Weir::at(MORNING, PLAN);
        let mut watcher = Client::connected(&weir, api, "watcher", CLEAN).await;
        watcher.subscribe("will", 1).await;
        let mortal = Client::connected(&weir, api, "mortal", Wants { will: true, ..CLEAN }).await;
        drop(mortal);
        watcher.expect(message("will", "gone", 1, false)).await;
    }
}

#[tokio::test]
async fn a_client_whose_identifier_is_taken_over_is_disconnected() {
    for (api, why) in [(Api::V4, "closed by peer"), (Api::V5, "SessionTakenOver")] {
        let weir = Weir::at(MORNING, PLAN);
        let mut old = Client::connected(&weir, api, "same", CLEAN).await;
        let mut new = Client::connected(&weir, api, "same", CLEAN).await;
        match old.next().await {
            Seen::Over(error) => assert!(error.contains(why), "{api:?}: {error}"),
            other => panic!("{api:?}: {other:?}"),
        }
        new.publish("t", "", 1, false).await;
        new.expect(Seen::Published).await;
    }
}

#[tokio::test]
async fn a_persistent_session_keeps_what_was_sent_while_its_client_was_away() {
    for api in BOTH {
        let mut weir = Weir::at(MORNING, PLAN);
        let persistent = Wants { clean: false, will: false };
        let mut sleeper = Client::connected(&weir, api, "sleeper", persistent).await;
        sleeper.subscribe("plant/#", 2).await;
        drop(sleeper);
        weir.wait_for_log("disconnected");
        let mut sender = Client::connected(&weir, api, "sender", CLEAN).await;
        for qos in 1..=2 {
            sender.publish("plant/p", &qos.to_string(), qos, false).await;
            sender.expect(Seen::Published).await;
        }
        let mut sleeper = Client::new(&weir, api, "sleeper", persistent);
        sleeper.expect(Seen::Connected { session_present: true }).await;
        sleeper.expect(message("plant/p", "1", 1, false)).await;
        sleeper.expect(message("plant/p", "2", 2, false)).await;
    }
}

const TIGHT: &str = "plans: { tight: { connect: 2/min, publish: 2/min, subscribe: 1/min } }\n\
    profiles: { acme: { plan: tight, devices: { pump: { token: t } } } }";

#[tokio::test]
async fn an_mqtt_5_client_is_shown_which_limit_it_met_and_when_to_come_back() {
    let mut weir = Weir::at(MORNING, TIGHT);
    let mut client = Client::connected(&weir, Api::V5, "client", CLEAN).await;
    for _ in 0..2 {
        client.publish("t", "", 1, false).await;
        client.expect(Seen::Published).await;
    }
    for qos in 1..=2 {
        client.publish("t", "", qos, false).await;
        client.expect(denial("QuotaExceeded", "publish", "2/min")).await;
    }
    client.subscribe("t", 0).await;
    let Client::V5(api, _) = &client else { unreachable!("made above") };
    api.subscribe("u", v5::mqttbytes::QoS::AtMostOnce).await.expect("taken");
    client.expect(denial("[QuotaExceeded]", "subscribe", "1/min")).await;

    weir.clock("2026-11-21T12:46:00Z");
    client.publish("u", "", 1, false).await;
    client.expect(Seen::Published).await;
}

#[tokio::test]
async fn an_mqtt_3_1_1_client_over_the_publish_limit_finds_its_connection_closed() {
    let mut weir = Weir::at(MORNING, TIGHT);
    let mut client = Client::connected(&weir, Api::V4, "client", CLEAN).await;
    for _ in 0..2 {
        client.publish("t", "", 1, false).await;
        client.expect(Seen::Published).await;
    }
    client.publish("t", "", 1, false).await;
    assert_eq!(client.next().await, Seen::Over("Mqtt state: Connection closed by peer abruptly".to_owned()));
    let line = weir.wait_for_log("disconnected");
    assert!(line.contains("Too many requests (Retry-After: 51)"), "{line}");
}

#[tokio::test]
async fn a_client_over_the_connect_limit_is_refused_until_the_minute_ends() {
    for (api, code) in [(Api::V4, "ServiceUnavailable"), (Api::V5, "ConnectionRateExceeded")] {
        let mut weir = Weir::at(MORNING, TIGHT);
        for _ in 0..2 {
            Client::connected(&weir, api, "client", CLEAN).await;
        }
        let mut client = Client::new(&weir, api, "client", CLEAN);
        client.expect(Seen::Over(format!("Connection refused, return code: `{code}`"))).await;
        weir.clock("2026-11-21T12:46:00Z");
        client.expect(Seen::Connected { session_present: false }).await;
    }
}
