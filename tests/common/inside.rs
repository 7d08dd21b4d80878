//! A broker inside the test's own program, for what only its library tells, on a clock that stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use weir::limits::UnixMillis;
use weir::wire::{Connect, Packet, Version};
use weir::{BoundAddress, Broker, Clock, Config, ManualClock};

use super::{Client, LISTENER, PATIENCE, connect};

/// 2026-11-21T12:45:09Z
pub const NOW: UnixMillis = UnixMillis(1_795_265_109_000);

pub struct Inside {
    pub broker: Broker,
    pub clock: Arc<ManualClock>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Inside {
    /// A broker with this configuration; the listener is added.
    pub fn start(config: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = Config::parse(&format!("{LISTENER}{config}"), "broker.yaml").expect("a configuration");
        let clock = ManualClock::at(NOW);
        let builder = Broker::builder(config).clock(Clock::Manual(Arc::clone(&clock)));
        let broker = runtime.block_on(builder.start()).expect("it starts");
        let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("a TCP listener") };
        Inside { broker, clock, address, _runtime: runtime }
    }

    /// A client that sent this CONNECT, and the CONNACK that it got.
    pub fn connect(&self, connect: &Connect<'_>) -> (Client, Vec<u8>) {
        let mut client = Client::to(self.address);
        client.version = connect.version;
        client.send(&Packet::Connect(*connect));
        let connack = client.frame();
        (client, connack)
    }

    /// A client of `version` with a clean session, connected with a token.
    pub fn client(&self, version: Version, token: &str, client_id: &str) -> Client {
        let (client, connack) = self.connect(&connect(version, token, client_id));
        assert_eq!(connack[3], 0, "CONNACK accepts: {connack:02x?}");
        client
    }
}

/// Waits for what another thread is about to do.
#[track_caller]
pub fn wait_for<T: PartialEq + std::fmt::Debug>(what: impl Fn() -> T, expected: T) {
    let begun = Instant::now();
    while what() != expected && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(what(), expected);
}
