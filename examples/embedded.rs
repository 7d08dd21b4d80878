//! A broker inside a program of one's own: it starts Weir on a port of its choosing, adds a hook that refuses one topic, lets
//! a client publish, and reads the profile's meter.
//!
//! ```text
//! cargo run --release --example embedded
//! ```

use std::error::Error;
use std::net::SocketAddr;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAck};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use weir::wire::ReasonCode;
use weir::{BoundAddress, Broker, Client, Config, Hook, Now, PublishEvent, Verdict};

const CONFIG: &str = r#"
listeners: [{ address: "127.0.0.1:0" }]         # port 0: the system chooses one that is free
plans: { small: { publish: 3/min } }
profiles: { acme: { plan: small, devices: { pump: { token: demo-pump } } } }
"#;

/// Nobody publishes below `internal/`.
struct NoInternalTopics;

impl Hook for NoInternalTopics {
    fn publish(&self, client: &Client, publish: &PublishEvent<'_>, _now: Now) -> Verdict {
        if publish.topic.starts_with("internal/") {
            println!("hook: refused {} of device {}", publish.topic, client.device().unwrap_or("-"));
            return Verdict::refuse(ReasonCode::NotAuthorized, "internal topics are not for devices");
        }
        Verdict::Allow
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    weir::runtime(None)?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let config = Config::parse(CONFIG, "embedded.yaml")?;
    let broker = Broker::builder(config).hook(NoInternalTopics).start().await?;
    let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { return Err("a TCP listener".into()) };
    println!("listening on {address}");

    let mut pump = Pump::connect(address).await?;
    for topic in ["plant/pressure", "internal/secret", "plant/pressure", "plant/pressure", "plant/pressure"] {
        let ack = pump.publish(topic).await?;
        let text = ack.properties.and_then(|properties| properties.reason_string).unwrap_or_default();
        println!("publish {topic:16} {:?} {text}", ack.reason);
    }

    for reading in broker.readings("acme").into_iter().flatten() {
        let limit = reading.limit.map_or_else(|| "no limit".to_owned(), |rate| rate.to_string());
        println!("meter {:8} used {} of {limit}, denied {}", reading.resource, reading.used, reading.denied);
    }
    broker.shutdown().await;
    Ok(())
}

/// A device that publishes one message at a time.
struct Pump {
    client: AsyncClient,
    events: EventLoop,
}

impl Pump {
    async fn connect(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut options = MqttOptions::new("pump", address.ip().to_string(), address.port());
        options.set_credentials("Token", "demo-pump");
        let (client, mut events) = AsyncClient::new(options, 10);
        while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(Pump { client, events })
    }

    /// Publishes at QoS 1 and waits for what the broker says to it.
    async fn publish(&mut self, topic: &str) -> Result<PubAck, Box<dyn Error>> {
        self.client.publish(topic, QoS::AtLeastOnce, false, "42").await?;
        loop {
            if let Event::Incoming(Packet::PubAck(ack)) = self.events.poll().await? {
                return Ok(ack);
            }
        }
    }
}
