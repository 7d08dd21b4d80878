//! The outbox over real sockets, with a ring and without, and a connection that has posted something.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::limits::UnixMillis;
use crate::router::samples::mailbox;
use crate::{BoundAddress, Broker, Clock, Config, ManualClock};

/// How long anything may take that comes at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection: our end, which does not block, and the client's.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, client)
}

fn came(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

/// What came back; nothing of it is on its way.
fn back(mailbox: &Mailbox) -> io::Result<Vec<u8>> {
    match mailbox.landed() {
        Poll::Ready(back) => back,
        Poll::Pending => panic!("it is on its way"),
    }
}

/// The same with a ring, where the system has one, and without.
fn each_way(test: impl Fn()) {
    open();
    test();
    OUTBOX.set(Some(Outbox { ring: Ring::Unavailable, ..Outbox::default() }));
    test();
    OUTBOX.set(None);
}

#[test]
fn a_thread_without_an_outbox_takes_nothing() {
    let (ours, _client) = connection();
    let mailbox = mailbox();
    assert!(!post(ours.as_fd(), &mailbox, b"hello", 0));
    assert_eq!(back(&mailbox).unwrap(), b"", "nothing is on its way");
}

#[test]
fn what_many_connections_post_goes_out_together_and_to_each_its_own() {
    each_way(|| {
        let mut connections: Vec<_> = (0..200).map(|_| (connection(), mailbox())).collect();
        for (number, ((ours, _), mailbox)) in connections.iter().enumerate() {
            assert!(post(ours.as_fd(), mailbox, format!("packet {number:3}").as_bytes(), 0));
            assert!(mailbox.landed().is_pending());
        }
        flush();
        for (number, ((_, client), mailbox)) in connections.iter_mut().enumerate() {
            assert_eq!(back(mailbox).unwrap(), b"", "all was sent");
            assert_eq!(came(client, 10), format!("packet {number:3}").as_bytes());
        }
    });
}

#[test]
fn what_was_posted_goes_out_after_so_many_turns_of_connections_or_a_millisecond() {
    each_way(|| {
        let ((ours, mut client), mailbox) = (connection(), mailbox());
        post(ours.as_fd(), &mailbox, b"one", 7);
        (1..MOST).for_each(|_| turn(7));
        assert!(mailbox.landed().is_pending());
        turn(7);
        assert_eq!(back(&mailbox).unwrap(), b"");
        post(ours.as_fd(), &mailbox, b"two", 7);
        turn(7);
        assert!(mailbox.landed().is_pending());
        turn(8);
        assert_eq!(back(&mailbox).unwrap(), b"");
        assert_eq!(came(&mut client, 6), b"onetwo");
    });
}

#[test]
fn what_the_socket_does_not_take_comes_back_and_only_that() {
    each_way(|| {
        let ((ours, mut client), full, (other, mut reader), roomy) = (connection(), mailbox(), connection(), mailbox());
        let bytes: Vec<u8> = (0..SMALL).map(|n| (n % 251) as u8).collect();
        let mut taken = 0;
        let rest = loop {
            post(ours.as_fd(), &full, &bytes, 0);
            post(other.as_fd(), &roomy, b"x", 0);
            flush();
            assert_eq!(back(&roomy).unwrap(), b"", "nobody waits for a client that does not read");
            assert_eq!(came(&mut reader, 1), b"x");
            let rest = back(&full).unwrap();
            taken += bytes.len() - rest.len();
            if !rest.is_empty() {
                break rest;
            }
        };
        assert!(bytes.ends_with(&rest));
        drop(ours);
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), taken);
        assert!(all.iter().zip(bytes.iter().cycle()).all(|(came, sent)| came == sent));
    });
}

#[test]
fn a_connection_learns_that_its_client_is_gone() {
    each_way(|| {
        let ((ours, client), gone, (other, mut reader), here) = (connection(), mailbox(), connection(), mailbox());
        drop(client);
        let error = loop {
            post(ours.as_fd(), &gone, b"are you there?", 0);
            post(other.as_fd(), &here, b"x", 0);
            flush();
            assert_eq!(back(&here).unwrap(), b"");
            assert_eq!(came(&mut reader, 1), b"x");
            if let Err(error) = back(&gone) {
                break error;
            }
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    });
}

#[test]
fn what_a_connection_has_abandoned_is_not_sent() {
    each_way(|| {
        let ((ours, mut client), mailbox) = (connection(), mailbox());
        post(ours.as_fd(), &mailbox, b"never", 0);
        mailbox.abandon();
        drop(ours);
        flush();
        assert_eq!(back(&mailbox).unwrap(), b"");
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"");
    });
}

/// A client of a broker whose clock stands still, on the thread of the test: what the broker posts goes out when the test says so.
struct Client(tokio::net::TcpStream);

impl Client {
    async fn connect(address: std::net::SocketAddr, name: &str) -> Self {
        let mut client = Client(tokio::net::TcpStream::connect(address).await.unwrap());
        client.0.set_nodelay(true).unwrap();
        // MQTT 5 with a Receive Maximum of 1.
        let mut connect = vec![0x10, (10 + 4 + 2 + name.len()) as u8, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0];
        connect.extend([3, 0x21, 0, 1, 0, name.len() as u8]);
        connect.extend(name.as_bytes());
        client.say(&connect).await;
        assert_eq!(client.hear().await[0], 0x20, "CONNACK");
        client
    }

    /// Says this, and gives the broker the time to hear it.
    async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        attend().await;
    }

    /// The next packet.
    async fn hear(&mut self) -> Vec<u8> {
        let packet = async {
            let mut packet = vec![0; 2];
            self.0.read_exact(&mut packet).await?;
            packet.resize(2 + usize::from(packet[1]), 0);
            self.0.read_exact(&mut packet[2..]).await.map(|_| packet)
        };
        tokio::time::timeout(PATIENCE, packet).await.expect("a packet").unwrap()
    }

    /// Whether nothing has come.
    fn hears_nothing(&mut self) -> bool {
        matches!(self.0.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// Lets every task that has something to do do it.
async fn attend() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_delivery_that_could_not_be_made_while_something_was_posted_is_made_when_that_is_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = "listeners: [{ address: '127.0.0.1:0' }]\nanonymous: all\n\
                      plans: { all: {} }\nprofiles: { all: { plan: all } }";
        let config = Config::parse(config, "test.yaml").unwrap();
        let clock = ManualClock::at(UnixMillis(1_800_000_000_000));
        let broker = Broker::builder(config).clock(Clock::Manual(clock)).start().await.unwrap();
        let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("TCP") };
        let mut publisher = Client::connect(address, "p").await;
        let mut subscriber = Client::connect(address, "s").await;
        open();
        // SUBSCRIBE to `t` at QoS 1.
        subscriber.say(&[0x82, 7, 0, 1, 0, 0, 1, b't', 1]).await;
        assert!(subscriber.hears_nothing(), "the SUBACK is posted");
        flush();
        assert_eq!(subscriber.hear().await[0], 0x90);
        for id in [1, 2] {
            publisher.say(&[0x32, 7, 0, 1, b't', 0, id, 0, b'0' + id]).await;
            flush();
            assert_eq!(publisher.hear().await[0], 0x40, "PUBACK");
        }
        let first = subscriber.hear().await;
        assert_eq!((first[0], first.last()), (0x32, Some(&b'1')));
        // One of QoS 0 does not wait: whoever takes it takes the second too, and holds that back.
        publisher.say(&[0x30, 5, 0, 1, b't', 0, b'0']).await;
        flush();
        assert_eq!(subscriber.hear().await.last(), Some(&b'0'));
        subscriber.say(&[0xC0, 0]).await;
        assert!(subscriber.hears_nothing(), "the PINGRESP is posted");
        // Now the second may follow, but for what is posted.
        subscriber.say(&[0x40, 2, first[5], first[6]]).await;
        assert!(subscriber.hears_nothing());
        flush();
        assert_eq!(subscriber.hear().await, [0xD0, 0]);
        attend().await;
        flush();
        let second = subscriber.hear().await;
        assert_eq!((second[0], second.last()), (0x32, Some(&b'2')));
        OUTBOX.set(None);
    });
}

#[test]
fn a_connection_that_is_dropped_while_it_waits_for_its_landing_abandons_what_it_has_posted() {
    let mailbox = mailbox();
    mailbox.board();
    drop(Abandoning(&mailbox));
    assert!(!mailbox.depart());
}
