//! Whether one client can spoil it for the others, told by the order in which the broker does things, not by how long they
//! take.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use common::{Client as Raw, LISTENER, PATIENCE, connect, publish};
use weir::wire::{Packet, QoS, Version};
use weir::{BoundAddress, Broker, Client, Config, Hook, Now, PublishEvent, Verdict};

const CONFIG: &str = "plans: { p: {} }
profiles: { acme: { plan: p, devices: { d: { token: t } } } }
";
const PINGREQ: [u8; 2] = [0xC0, 0x00];
const PINGRESP: [u8; 2] = [0xD0, 0x00];

/// Has a bystander send PINGREQ while another client's messages are handled, over and over, and counts how many of those are until
/// the answer is there.
struct Onlooker {
    /// Gone when it has seen enough.
    bystander: Arc<Mutex<Option<Bystander>>>,
    told: Mutex<Sender<io::Result<u64>>>,
}

struct Bystander {
    stream: TcpStream,
    /// Messages of the other client until the next PINGREQ.
    before: u64,
    /// PINGREQs to send.
    left: u64,
    /// Messages that were handled since the last PINGREQ.
    since: u64,
    /// The most that one PINGREQ has waited for.
    worst: u64,
}

impl Bystander {
    /// Notes a message of the other client; tells the worst when there was enough.
    fn look_on(&mut self) -> Option<io::Result<u64>> {
        if self.before > 0 {
            self.before -= 1;
            return None;
        }
        let mut answer = [0; 2];
        if self.since > 0 {
            match self.stream.read(&mut answer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.since += 1,
                Err(error) => return Some(Err(error)),
                Ok(_) if answer == PINGRESP => {
                    self.worst = self.worst.max(self.since);
                    self.since = 0;
                }
                Ok(_) => return Some(Err(ErrorKind::InvalidData.into())),
            }
            return None;
        }
        if self.left == 0 {
            return Some(Ok(self.worst));
        }
        self.left -= 1;
        self.since = 1;
        self.stream.write_all(&PINGREQ).err().map(Err)
    }
}

impl Hook for Onlooker {
    fn publish(&self, _client: &Client, _publish: &PublishEvent<'_>, _now: Now) -> Verdict {
        let mut bystander = self.bystander.lock().expect("no test panics here");
        if let Some(told) = bystander.as_mut().and_then(Bystander::look_on) {
            *bystander = None;
            // The test may be over.
            let _ = self.told.lock().expect("no test panics here").send(told);
        }
        Verdict::Allow
    }
}

#[test]
fn a_client_at_full_speed_lets_others_in_after_each_turn() {
    const PAYLOAD: usize = 1024;
    /// Messages that the broker takes of one client at most before it is another's turn: it goes on until it has 64 KiB, and reads
    /// as much at once.
    const TURN: u64 = 2 * 64 * 1024 / PAYLOAD as u64;
    /// By which TCP learns that it is worth having many of them ready.
    const BEFORE: u64 = 4_000;
    const MESSAGES: usize = 40_000;

    let runtime = weir::runtime(NonZeroUsize::new(1)).expect("a runtime with one thread");
    let config = Config::parse(&format!("{LISTENER}{CONFIG}"), "broker.yaml").expect("a configuration");
    let (told, answered) = channel();
    let bystander = Arc::new(Mutex::new(None));
    let onlooker = Onlooker { bystander: Arc::clone(&bystander), told: Mutex::new(told) };
    let broker = runtime.block_on(Broker::builder(config).hook(onlooker).start()).expect("it starts");
    let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("a TCP listener") };
    let client = |client_id| {
        let mut client = Raw::to(address);
        client.send(&Packet::Connect(connect(Version::V5, "t", client_id)));
        assert_eq!(client.frame()[3], 0, "it is let in");
        client
    };
    let stream = client("bystander").stream();
    stream.set_nonblocking(true).expect("a socket");
    *bystander.lock().expect("no test panics here") =
        Some(Bystander { stream, before: BEFORE, left: 20, since: 0, worst: 0 });

    let mut message = Vec::new();
    let publish = Packet::Publish(publish("noise", &[b'w'; PAYLOAD], QoS::AtMostOnce, 0));
    publish.encode(Version::V5, &mut message).expect("the test's packet is well-formed");
    client("flood").send_bytes(&message.repeat(MESSAGES));

    // Its own turn, the bystander's, and one more of its own, before which the answer is sent.
    let worst = answered.recv_timeout(PATIENCE).expect("enough messages").expect("a PINGRESP");
    assert!(worst <= 3 * TURN, "the bystander waited for {worst} messages");
}
