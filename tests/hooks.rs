//! Hooks of one's own, in a broker inside this program: every moment is asked, each may refuse, and what the limits have denied
//! no hook is asked about.

mod common;

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use common::{Client as Raw, connect};
use weir::limits::Resource;
use weir::wire::{Packet, QoS, ReasonCode, SubscriptionOptions, Version};
use weir::{
    AuthStep, Authenticator, BoundAddress, Broker, Client, Config, DeliverEvent, Hook, Now, PublishEvent, Verdict,
};

const CONFIG: &str = "listeners: [{ address: \"127.0.0.1:0\" }]
plans: { p: { publish: 2/min } }
profiles: { acme: { plan: p, devices: { pump: { token: t } } } }
";

/// Says what it was asked, and refuses whatever is called `forbidden`.
struct Witness(Mutex<Sender<String>>);

impl Witness {
    fn asked(&self, what: String, name: &str) -> Verdict {
        // The test may be over.
        let _ = self.0.lock().expect("no test panics here").send(what);
        if name.contains("forbidden") {
            Verdict::refuse(ReasonCode::ImplementationSpecificError, "the witness says no")
        } else {
            Verdict::Allow
        }
    }
}

impl Hook for Witness {
    fn connect(&self, client: &Client, _now: Now) -> Verdict {
        let who = (client.profile(), client.device().unwrap_or("-"), client.client_id());
        self.asked(format!("connect {who:?} {}", client.version()), client.client_id())
    }

    fn publish(&self, _client: &Client, publish: &PublishEvent<'_>, _now: Now) -> Verdict {
        let will = if publish.will { " will" } else { "" };
        self.asked(format!("publish {} {}{will}", publish.topic, publish.payload.len()), publish.topic)
    }

    fn subscribe(&self, _client: &Client, _now: Now) -> Verdict {
        self.asked("subscribe".to_owned(), "")
    }

    fn filter(&self, _client: &Client, filter: &str, _options: SubscriptionOptions, _now: Now) -> Verdict {
        self.asked(format!("filter {filter}"), filter)
    }

    fn deliver(&self, client: &Client, deliver: &DeliverEvent<'_>, _now: Now) -> Verdict {
        let refuses = if deliver.payload() == b"forbidden" { "forbidden" } else { "" };
        self.asked(format!("deliver {} to {}", deliver.topic(), client.client_id()), refuses)
    }

    fn authenticator(&self, method: &str) -> Option<Box<dyn Authenticator>> {
        (method == "PASSPHRASE").then(|| Box::new(Passphrase) as _)
    }

    fn disconnect(&self, client: &Client, reason: ReasonCode, _now: Now) {
        self.asked(format!("disconnect {} {:#04x}", client.client_id(), reason as u8), "");
    }
}

/// Asks once more, and lets in who says `sesame`.
struct Passphrase;

impl Authenticator for Passphrase {
    fn step(&mut self, data: &[u8]) -> AuthStep {
        match data {
            b"" => AuthStep::Continue(b"and?".to_vec()),
            b"sesame" => {
                AuthStep::Succeed { profile: "acme".into(), device: "stranger".into(), data: b"welcome".to_vec() }
            }
            _ => AuthStep::Fail,
        }
    }
}

struct Running {
    broker: Broker,
    address: SocketAddr,
    asked: Receiver<String>,
    _runtime: tokio::runtime::Runtime,
}

fn start() -> Running {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (sender, asked) = channel();
    let config = Config::parse(CONFIG, "broker.yaml").expect("a configuration");
    let hook = Witness(Mutex::new(sender));
    let broker = runtime.block_on(Broker::builder(config).hook(hook).start()).expect("it starts");
    let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("a TCP listener") };
    Running { broker, address, asked, _runtime: runtime }
}

impl Running {
    fn connect(&self, client_id: &str) -> (Raw, Vec<u8>) {
        let mut client = Raw::to(self.address);
        client.send(&Packet::Connect(connect(Version::V5, "t", client_id)));
        let connack = client.frame();
        (client, connack)
    }

    #[track_caller]
    fn was_asked(&self, what: &str) {
        assert_eq!(self.asked.recv_timeout(common::PATIENCE).as_deref(), Ok(what));
    }
}

#[test]
fn every_moment_is_asked_in_its_turn() {
    let running = start();
    let (mut client, _) = running.connect("c");
    running.was_asked("connect (\"acme\", \"pump\", \"c\") 5");
    client.subscribe("t", QoS::AtMostOnce);
    running.was_asked("subscribe");
    running.was_asked("filter t");
    client.publish("t", b"hello", QoS::AtLeastOnce, 1);
    running.was_asked("publish t 5");
    running.was_asked("deliver t to c");
    client.send_bytes(&[0xE0, 0]);
    running.was_asked("disconnect c 0x00");
}

#[test]
fn each_moment_can_refuse_and_the_client_is_told_why() {
    let running = start();
    let (_, connack) = running.connect("forbidden-client");
    assert_eq!(connack[3], 0x83);
    assert!(String::from_utf8_lossy(&connack).contains("the witness says no"));

    let (mut client, _) = running.connect("c");
    let suback = client.try_subscribe(1, "forbidden/#", QoS::AtMostOnce);
    assert_eq!(suback.last(), Some(&0x83));
    client.publish("forbidden/t", b"m", QoS::AtLeastOnce, 7);
    let puback = client.frame();
    assert_eq!((puback[0], &puback[2..5]), (0x40, &[0, 7, 0x83][..]));

    // A delivery that is refused is dropped, and counted.
    client.subscribe("t", QoS::AtMostOnce);
    client.publish("t", b"forbidden", QoS::AtMostOnce, 0);
    client.expect_nothing();
    client.expect_nothing();
    assert!(running.broker.figures().dropped_refused >= 1);
}

#[test]
fn what_a_limit_denies_no_hook_is_asked_about() {
    let running = start();
    let (mut client, _) = running.connect("c");
    for id in 1..=3 {
        client.publish("t", b"m", QoS::AtLeastOnce, id);
        client.frame();
    }
    running.was_asked("connect (\"acme\", \"pump\", \"c\") 5");
    running.was_asked("publish t 1");
    running.was_asked("publish t 1");
    client.send_bytes(&[0xE0, 0]);
    running.was_asked("disconnect c 0x00");
    // And the meter says so.
    let readings = running.broker.readings("acme").expect("the profile is there");
    let publish = readings.iter().find(|reading| reading.resource == Resource::Publish).expect("it is counted");
    assert_eq!((publish.used, publish.denied), (2, 1));
    assert!(running.broker.readings("nobody").is_none());
}

#[test]
fn a_will_is_asked_about_when_it_is_published() {
    let running = start();
    let mut client = Raw::to(running.address);
    let will = weir::wire::Will {
        qos: QoS::AtMostOnce,
        retain: false,
        properties: weir::wire::Properties::EMPTY,
        topic: "last",
        payload: b"words",
    };
    let connect = weir::wire::Connect { will: Some(will), ..connect(Version::V5, "t", "c") };
    client.send(&Packet::Connect(connect));
    client.frame();
    running.was_asked("connect (\"acme\", \"pump\", \"c\") 5");
    client.vanish();
    running.was_asked("disconnect c 0x80");
    running.was_asked("publish last 5 will");
}

#[test]
fn a_hook_can_offer_an_authentication_method_for_devices_of_its_own() {
    use weir::wire::{Auth, Property, PropertyBuf};
    let running = start();
    let mut client = Raw::to(running.address);
    let mut method = PropertyBuf::new();
    method.push(Property::AuthenticationMethod("PASSPHRASE"));
    let connect = weir::wire::Connect {
        user_name: None,
        password: None,
        properties: method.as_properties(),
        ..connect(Version::V5, "", "c")
    };
    client.send(&Packet::Connect(connect));
    let challenge = client.frame();
    assert_eq!((challenge[0], challenge.ends_with(b"and?")), (0xF0, true));
    method.push(Property::AuthenticationData(b"sesame"));
    client.send(&Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties: method.as_properties() }));
    let connack = client.frame();
    assert_eq!((connack[0], connack[3]), (0x20, 0));
    running.was_asked("connect (\"acme\", \"stranger\", \"c\") 5");
    client.expect_nothing();
}

#[test]
fn several_hooks_are_asked_in_their_order_until_one_says_no() {
    struct No;
    impl Hook for No {
        fn publish(&self, _: &Client, _: &PublishEvent<'_>, _: Now) -> Verdict {
            Verdict::refuse(ReasonCode::NotAuthorized, "no")
        }
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (sender, asked) = channel();
    let config = Config::parse(CONFIG, "broker.yaml").expect("a configuration");
    let builder = Broker::builder(config).hook(No).hook(Witness(Mutex::new(sender)));
    let broker = Arc::new(runtime.block_on(builder.start()).expect("it starts"));
    let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("a TCP listener") };
    let mut client = Raw::to(address);
    client.send(&Packet::Connect(connect(Version::V5, "t", "c")));
    client.frame();
    client.publish("t", b"m", QoS::AtLeastOnce, 1);
    assert_eq!(client.frame()[4], 0x87);
    client.send_bytes(&[0xE0, 0]);
    let all: Vec<String> = (0..2).map(|_| asked.recv_timeout(common::PATIENCE).expect("asked")).collect();
    assert_eq!(all, ["connect (\"acme\", \"pump\", \"c\") 5", "disconnect c 0x00"], "never of the publish");
}
