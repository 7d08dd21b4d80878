//! What the integration tests share: the real binary on a free port with a clock that stands still, and a client that sends
//! and expects raw bytes. No test waits for time to pass: it moves the broker's clock and waits for what must follow.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;
use weir::wire::{
    Connect, Filters, FiltersBuf, Packet, PacketId, Properties, Publish, QoS, RetainHandling, Subscribe,
    SubscriptionOptions, Version, frame_header,
};

pub mod backend;
pub mod http;
pub mod inside;

use backend::{Backend, Mosquitto};

/// How long anything that must happen may take: far longer than it does, so that a slow machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must happen for it to count as not happening; kept for the few tests that need it.
pub const SILENCE: Duration = Duration::from_millis(150);

/// A broker that runs for one test: the real binary, ended with the test.
pub struct Weir {
    child: Child,
    addresses: Vec<SocketAddr>,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    log: Receiver<String>,
    seen: Vec<String>,
    directory: TempDir,
    /// Where that is the test's backend.
    mosquitto: Option<Mosquitto>,
}

/// The admin token of brokers that tests start.
pub const ADMIN_TOKEN: &str = "the-admin-token-of-tests";

/// The listener that tests use: a port that the system chooses.
pub const LISTENER: &str = "listeners: [{ address: \"127.0.0.1:0\" }]\n";

impl Weir {
    /// Starts a broker with this configuration (the listener is added) whose clock stands at `time`, such as
    /// `2026-11-21T12:45:09Z`.
    pub fn at(time: &str, config: &str) -> Weir {
        Self::start(Some(time), config)
    }

    /// Starts a broker with this configuration (the listener is added) on the system's clock.
    pub fn now(config: &str) -> Weir {
        Self::start(None, config)
    }

    fn start(clock: Option<&str>, config: &str) -> Weir {
        Self::start_with(LISTENER, clock, config)
    }

    fn start_with(listeners: &str, clock: Option<&str>, config: &str) -> Weir {
        let args = clock.map_or(vec![], |time| vec!["--clock", time]);
        Self::start_with_args(&format!("{listeners}{config}"), &[&["--log-level", "debug"], args.as_slice()].concat())
    }

    fn start_with_args(config: &str, args: &[&str]) -> Weir {
        let asked = if config.contains("backend:") { Backend::Native } else { Backend::of_this_test() };
        let mosquitto = (asked == Backend::Mqtt).then(Mosquitto::start);
        let config = match (asked, &mosquitto) {
            (Backend::Rumqttd, _) => format!("{config}\nbackend: rumqttd\n"),
            (_, Some(mosquitto)) => format!("{config}\nbackend: \"mqtt://{}\"\n", mosquitto.address()),
            (_, None) => config.to_owned(),
        };
        let directory = TempDir::new().expect("a directory for the configuration");
        let path = directory.path().join("broker.yaml");
        std::fs::write(&path, config).expect("the configuration is written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("--config")
            .arg(&path)
            .args(args)
            .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (lines, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut weir =
            Weir { child, addresses: Vec::new(), stdin, stdout, log, seen: Vec::new(), directory, mosquitto };
        weir.wait_for_log("weir is up");
        if asked != Backend::Native && !weir.has_logged("the backend is there") {
            weir.wait_for_log("the backend is there");
        }
        // Those over TCP.
        for line in weir.seen.iter().filter(|line| line.contains("(mqtt)") || line.contains("(ws)")) {
            let (_, address) = line.split_once("listening on ").expect("the line of a listener");
            let address = address.split(' ').next().expect("an address").parse().expect("an address");
            weir.addresses.push(address);
        }
        weir
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where its dashboard, API and metrics are.
    pub fn admin(&self) -> SocketAddr {
        let address = self.seen.iter().find_map(|line| line.split_once("metrics on http://"));
        let (_, address) = address.expect("the log says where");
        address.trim_end_matches('/').parse().expect("an address")
    }

    /// The broker behind this one, where the test's backend is one.
    pub fn mosquitto(&mut self) -> &mut Mosquitto {
        self.mosquitto.as_mut().expect("a test with another broker behind")
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("broker.yaml")
    }

    /// Moves the clock: to a time such as `2026-11-21T12:46:00Z`, or on, by such as `+51s`. When this returns, it has moved.
    pub fn clock(&mut self, to: &str) {
        let stdin = self.stdin.as_mut().expect("not closed");
        writeln!(stdin, "{to}").expect("the broker reads its standard input");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("the broker answers");
        assert_eq!(answer.trim(), "ok", "the clock moves to {to}");
    }

    /// Waits for a log line that holds `text`, among those not seen yet, and returns it.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no log line holds {text:?}; seen:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Writes another configuration, has the broker read it, and waits until it has said what came of it.
    pub fn reload(&mut self, config: &str) -> String {
        let backend = match (&self.mosquitto, Backend::of_this_test()) {
            (Some(mosquitto), _) => format!("\nbackend: \"mqtt://{}\"\n", mosquitto.address()),
            (None, Backend::Rumqttd) => "\nbackend: rumqttd\n".into(),
            (None, _) => String::new(),
        };
        let config = format!("{LISTENER}{config}{backend}");
        std::fs::write(self.config_path(), config).expect("the configuration is written");
        self.signal("HUP");
        self.wait_for_log("reloaded")
    }

    /// Sends the broker a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "SIG{name} is sent");
    }

    /// Waits for the broker to end; its exit code.
    pub fn wait_for_exit(&mut self) -> i32 {
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }

    /// The resident memory of the broker's process, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a running process has memory");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    /// A TCP connection on which nothing was said yet.
    pub fn raw(&self) -> Client {
        Client::to(self.address())
    }

    /// A client that sent this CONNECT and was accepted; the CONNACK was read.
    pub fn connect(&self, connect: &Connect<'_>) -> Client {
        let (client, connack) = self.try_connect(connect);
        assert_eq!(connack[3], 0, "CONNACK accepts: {connack:02x?}");
        client
    }

    /// A client that sent this CONNECT, and the whole CONNACK frame that it got.
    pub fn try_connect(&self, connect: &Connect<'_>) -> (Client, Vec<u8>) {
        let mut client = self.raw();
        client.version = connect.version;
        client.send(&Packet::Connect(*connect));
        let connack = client.frame();
        assert_eq!(connack[0], 0x20, "a CONNACK: {connack:02x?}");
        (client, connack)
    }

    /// A client of `version` with a clean session, connected with a token.
    pub fn client(&self, version: Version, token: &str, client_id: &str) -> Client {
        self.connect(&connect(version, token, client_id))
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.seen.extend(self.log.try_iter());
            eprintln!("--- the broker's log\n{}\n---", self.seen.join("\n"));
        }
    }
}

/// A CONNECT with a token, a clean session and no keep-alive.
pub fn connect<'a>(version: Version, token: &'a str, client_id: &'a str) -> Connect<'a> {
    Connect {
        version,
        clean_start: true,
        keep_alive: 0,
        properties: Properties::EMPTY,
        client_id,
        will: None,
        user_name: Some("Token"),
        password: Some(token.as_bytes()),
    }
}

/// A client that sends and expects bytes.
pub struct Client {
    stream: TcpStream,
    pub version: Version,
    /// What was read and not yet looked at.
    buffer: Vec<u8>,
}

impl Client {
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("the test's packet is well-formed");
        self.send_bytes(&bytes);
    }

    /// Sends, and does not mind that the broker may have closed the connection.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A clone of the socket.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket")
    }

    /// The next whole frame.
    pub fn frame(&mut self) -> Vec<u8> {
        match self.frame_or_end() {
            Some(frame) => frame,
            None => panic!("the connection was closed where a packet was expected"),
        }
    }

    /// The next whole frame, or nothing where the broker has closed the connection.
    pub fn frame_or_end(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Ok(Some(header)) = frame_header(&self.buffer, usize::MAX)
                && self.buffer.len() >= header.total_len()
            {
                return Some(self.buffer.drain(..header.total_len()).collect());
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.buffer.is_empty(), "half a packet before the end: {:02x?}", self.buffer);
                    return None;
                }
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The next frame is exactly this.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        let frame = self.frame();
        assert_eq!(frame, bytes, "\n  got      {frame:02x?}\n  expected {bytes:02x?}");
    }

    /// The next frame is this packet, byte for byte.
    #[track_caller]
    pub fn expect_packet(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("the test's packet is well-formed");
        self.expect(&bytes);
    }

    /// The broker has closed the connection, and says nothing more.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        if let Some(frame) = self.frame_or_end() {
            panic!("a packet where the end was expected: {frame:02x?}");
        }
    }

    /// Everything that was sent so far was handled, and nothing but `PINGRESP` is on its way: a PINGREQ goes there and back.
    /// The broker answers in order, so what it had to say before has been said.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.send_bytes(&[0xC0, 0]);
        self.expect(&[0xD0, 0]);
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        let granted = self.try_subscribe(1, filter, qos);
        assert_eq!(*granted.last().expect("a SUBACK"), qos as u8, "the subscription is granted: {granted:02x?}");
    }

    /// Subscribes one filter; the SUBACK frame.
    pub fn try_subscribe(&mut self, packet_id: u16, filter: &str, qos: QoS) -> Vec<u8> {
        let mut filters = FiltersBuf::default();
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        filters.push(filter, options).expect("a filter");
        self.send_subscribe(packet_id, filters.as_filters());
        let suback = self.frame();
        assert_eq!(suback[0], 0x90, "a SUBACK: {suback:02x?}");
        suback
    }

    pub fn send_subscribe(&mut self, packet_id: u16, filters: Filters<'_>) {
        let packet_id = id(packet_id);
        self.send(&Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, filters }));
    }

    /// Sends a PUBLISH; nothing is awaited.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, packet_id: u16) {
        self.send(&Packet::Publish(publish(topic, payload, qos, packet_id)));
    }

    /// The next frame is a PUBLISH; its topic and payload, and its packet identifier.
    #[track_caller]
    pub fn expect_publish(&mut self) -> Received {
        let frame = self.frame();
        assert_eq!(frame[0] >> 4, 3, "a PUBLISH: {frame:02x?}");
        Received::parse(self.version, &frame)
    }

    /// Closes the connection without a DISCONNECT.
    pub fn vanish(self) {}

    /// Says goodbye and waits for the broker to close.
    pub fn disconnect(mut self) {
        self.send_bytes(&[0xE0, 0]);
        self.expect_closed();
    }
}

/// A PUBLISH that a test received.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub dup: bool,
    pub retain: bool,
    pub packet_id: u16,
    /// The raw properties.
    pub properties: Vec<u8>,
}

impl Received {
    pub fn parse(version: Version, frame: &[u8]) -> Received {
        let header = frame_header(frame, usize::MAX).expect("a frame").expect("whole");
        let publish = Publish::decode(version, header.first, &frame[header.header_len..]).expect("a PUBLISH");
        Received {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            packet_id: publish.packet_id.map_or(0, PacketId::get),
            properties: publish.properties.as_bytes().to_vec(),
        }
    }

    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("the tests send text")
    }
}

pub fn id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).expect("a packet identifier is not 0")
}

/// A plain PUBLISH; `packet_id` is of no meaning at QoS 0.
pub fn publish<'a>(topic: &'a str, payload: &'a [u8], qos: QoS, packet_id: u16) -> Publish<'a> {
    let packet_id = (qos != QoS::AtMostOnce).then(|| id(packet_id));
    Publish { dup: false, qos, retain: false, topic, packet_id, properties: Properties::EMPTY, payload }
}

// WebSocket listeners.

impl Weir {
    /// Starts a broker with a second listener, for WebSocket, whose clock stands still.
    pub fn with_websocket(config: &str) -> Weir {
        let listeners =
            "listeners:\n  - { address: \"127.0.0.1:0\" }\n  - { address: \"127.0.0.1:0\", protocol: ws }\n";
        Self::start_with(listeners, Some("2026-11-21T12:45:09Z"), config)
    }

    /// Where the WebSocket listener is.
    pub fn websocket_address(&self) -> SocketAddr {
        self.addresses[1]
    }
}

impl Client {
    /// Reads to the end; whether no MQTT packet came.
    pub fn ends_without_mqtt(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.stream.read_to_end(&mut rest);
        rest.first().is_none_or(|first| *first != 0x20)
    }
}

// For tests of the command line.

impl Weir {
    /// Starts a broker with this whole configuration, whose first listener is on TCP, and these arguments beside `--config`.
    pub fn with_args(config: &str, args: &[&str]) -> Weir {
        Self::start_with_args(config, args)
    }

    /// Whether a line that was seen so far holds `text`: at first, the lines up to "weir is up".
    pub fn has_logged(&self, text: &str) -> bool {
        self.seen.iter().any(|line| line.contains(text))
    }

    /// Everything that the broker has logged, once it has ended.
    pub fn whole_log(&mut self) -> String {
        self.seen.extend(self.log.iter());
        self.seen.join("\n")
    }

    /// Waits for the broker to end while its clock goes on, second by second; its exit code.
    pub fn wait_for_exit_as_time_passes(&mut self) -> i32 {
        let stdin = self.stdin.as_mut().expect("not closed");
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked for") {
                return status.code().unwrap_or(-1);
            }
            // It may end while it is told the time.
            let _ = writeln!(stdin, "+1s");
            let _ = self.stdout.read_line(&mut String::new());
        }
    }
}

/// The Argon2id hash of a password, at costs that suit a test.
pub fn password_hash(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(64, 1, 1, None).expect("small, and allowed");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), b"salt for tests").expect("a hash").to_string()
}

impl Client {
    /// Puts frames back in front of what is read next: for a test that had to look past them.
    pub fn put_back(&mut self, frames: &[u8]) {
        self.buffer.splice(0..0, frames.iter().copied());
    }
}

impl Client {
    /// Loses the network, and waits until the broker has seen it.
    pub fn shut_down_and_wait(&mut self) {
        // It may have gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let _ = self.stream.read_to_end(&mut Vec::new());
    }
}

impl Client {
    /// A TCP connection to a listener, on which nothing was said yet; MQTT 5 is spoken on it.
    pub fn to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the broker accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Client { stream, version: Version::V5, buffer: Vec::new() }
    }
}

impl Client {
    /// Every PUBLISH that is on its way to the client, now that whoever sent it has heard that it was handled. The first PINGREQ
    /// may be answered before what waits in the mailbox is written, the second cannot be. Nothing is acknowledged.
    #[track_caller]
    pub fn deliveries(&mut self) -> Vec<Received> {
        let mut received = Vec::new();
        for _ in 0..2 {
            self.send_bytes(&[0xC0, 0]);
            loop {
                match self.frame() {
                    pong if pong == [0xD0, 0] => break,
                    frame => {
                        assert_eq!(frame[0] >> 4, 3, "a PUBLISH: {frame:02x?}");
                        received.push(Received::parse(self.version, &frame));
                    }
                }
            }
        }
        received
    }
}
