//! The steward against another broker that is played by the test, over connections in memory and at made-up times.

mod coming_back;
mod messages;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;

use super::*;
use crate::clock::ManualClock;
use crate::limits::UnixMillis;
use crate::wire::{
    AckKind, ConnAck, Connect, Packet, PacketId, Property, PropertyBuf, QoS, Will, frame_header, put_ack,
};

/// Where the steward dials: each connection comes out at the other end, or is refused.
struct Network {
    dials: AtomicUsize,
    refuses: AtomicBool,
    connections: UnboundedSender<DuplexStream>,
}

impl Dial for Network {
    type Stream = DuplexStream;

    fn name(&self) -> &str {
        "backend.test:1883"
    }

    async fn dial(&self, _: &Clock, _: u64) -> io::Result<DuplexStream> {
        self.dials.fetch_add(1, Ordering::Relaxed);
        if self.refuses.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        self.connections.send(theirs).map_err(io::Error::other)?;
        Ok(ours)
    }
}

/// A steward that runs, and the world around it.
struct Kit {
    steward: Arc<Steward>,
    stats: Arc<Stats>,
    clock: Arc<ManualClock>,
    network: Arc<Network>,
    connections: UnboundedReceiver<DuplexStream>,
    told_of_losses: Arc<AtomicUsize>,
}

impl Kit {
    fn new() -> Kit {
        Kit::with(|_| {})
    }

    /// Starts after `prepare`.
    fn with(prepare: impl FnOnce(&Network)) -> Kit {
        let clock = ManualClock::at(UnixMillis(1_773_144_000_000));
        let stats = Arc::new(Stats::default());
        let steward = Steward::new(
            "weir-steward".into(),
            Some("weir".into()),
            Some(b"s3cret"[..].into()),
            Arc::clone(&stats),
            Clock::Manual(Arc::clone(&clock)),
        );
        let (sender, connections) = unbounded_channel();
        let network = Arc::new(Network { dials: 0.into(), refuses: false.into(), connections: sender });
        prepare(&network);
        let told_of_losses = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&told_of_losses);
        let on_lost = move || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        tokio::spawn(Arc::clone(&steward).run(Arc::clone(&network), on_lost));
        Kit { steward, stats, clock, network, connections, told_of_losses }
    }

    fn dials(&self) -> usize {
        self.network.dials.load(Ordering::Relaxed)
    }

    async fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        settle().await;
    }

    /// The steward's next connection, once it has come.
    async fn dialled(&mut self) -> Peer {
        Peer { stream: self.connections.recv().await.unwrap(), input: Vec::new(), version: Version::V5 }
    }

    /// The next connection, CONNECT read and accepted with these properties.
    async fn accept(&mut self, properties: &[Property<'_>]) -> Peer {
        let mut peer = self.dialled().await;
        peer.connect().await;
        peer.connack(0, properties).await;
        settle().await;
        assert!(self.steward.is_available());
        peer
    }

    fn publish(&self, topic: &str, qos: QoS) {
        self.steward.publish(message(topic, qos, false, b"gone", &[]));
    }
}

/// Everyone has had all the turns that could be of use.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn message(topic: &str, qos: QoS, retain: bool, payload: &[u8], properties: &[Property<'_>]) -> Message {
    let properties = buffer(properties);
    let will = Will { qos, retain, properties: properties.as_properties(), topic, payload };
    Message::from_will(&will).published(7, 0)
}

fn buffer(properties: &[Property<'_>]) -> PropertyBuf {
    let mut buffer = PropertyBuf::new();
    properties.iter().for_each(|property| buffer.push(*property));
    buffer
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// The other broker's end of one connection.
struct Peer {
    stream: DuplexStream,
    input: Vec<u8>,
    version: Version,
}

impl Peer {
    /// The bytes of the next packet.
    async fn read(&mut self) -> Vec<u8> {
        loop {
            if let Some(header) = frame_header(&self.input, usize::MAX).unwrap()
                && self.input.len() >= header.total_len()
            {
                return self.input.drain(..header.total_len()).collect();
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "the steward closed the connection");
        }
    }

    /// What has come of the next packets so far.
    async fn read_nothing(&mut self) {
        settle().await;
        let more = tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => read.unwrap(),
            () = std::future::ready(()) => 0,
        };
        assert_eq!((more, self.input.as_slice()), (0, &[][..]));
    }

    /// Reads a PUBLISH and tells its first byte, topic and packet identifier.
    async fn publish(&mut self) -> (u8, String, Option<u16>) {
        let frame = self.read().await;
        let header = frame_header(&frame, usize::MAX).unwrap().unwrap();
        match Packet::decode(self.version, header.first, &frame[header.header_len..]).unwrap() {
            Packet::Publish(publish) => (header.first, publish.topic.to_owned(), publish.packet_id.map(PacketId::get)),
            other => panic!("{other:?}"),
        }
    }

    /// Reads CONNECT; tells what a reader of it sees.
    async fn connect(&mut self) -> String {
        let frame = self.read().await;
        let connect = Connect::decode(&frame[2..]).unwrap();
        self.version = connect.version;
        assert_eq!((connect.user_name, connect.password), (Some("weir"), Some(&b"s3cret"[..])));
        let Connect { version, clean_start, keep_alive, client_id, .. } = connect;
        let expiry = connect.properties.session_expiry_interval();
        format!("{version} clean={clean_start} {keep_alive}s {client_id} expiry={expiry:?}")
    }

    async fn connack(&mut self, code: u8, properties: &[Property<'_>]) {
        let properties = buffer(properties);
        let connack = ConnAck { session_present: false, code, properties: properties.as_properties() };
        let mut out = Vec::new();
        Packet::ConnAck(connack).encode(self.version, &mut out).unwrap();
        self.write(&out).await;
    }

    async fn ack(&mut self, kind: AckKind, packet_id: u16) {
        let mut out = Vec::new();
        put_ack(&mut out, kind, id(packet_id));
        self.write(&out).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        settle().await;
    }
}
