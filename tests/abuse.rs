//! Clients that keep to the letter of MQTT and still are a burden: connections that say nothing, floods, readers that do not
//! read, crowds at the door. What they cost is bounded, and everyone else is served meanwhile.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use common::{Client, PATIENCE, SILENCE, Weir, connect, password_hash};
use weir::wire::{Connect, QoS, Version};

const OPEN: &str = "plans: { open: {} }\nprofiles: { acme: { plan: open, devices: { pump: { token: t } } } }\n";
const MORNING: &str = "2026-11-21T12:45:09Z";

/// A client that subscribes to what it publishes: served, if its messages come back.
struct Bystander(Client);

impl Bystander {
    fn of(weir: &Weir) -> Self {
        let mut client = weir.client(Version::V4, "t", "bystander");
        client.subscribe("talk", QoS::AtMostOnce);
        Bystander(client)
    }

    #[track_caller]
    fn is_served(&mut self) {
        self.0.publish("talk", b"still there?", QoS::AtMostOnce, 0);
        assert_eq!(self.0.expect_publish().text(), "still there?");
    }
}

// Connections that say nothing.

/// Whether the broker has closed this connection, without waiting for it. Nothing was said on it.
fn is_closed(connection: &mut TcpStream) -> bool {
    match connection.read(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("something was said to a client that has not connected"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(_) => true,
    }
}

/// Opens a thousand connections that send only this; tells the memory while they are open and when they are gone.
fn a_thousand_that_begin_with(beginning: &[u8], weir: &mut Weir, bystander: &mut Bystander) -> (u64, u64) {
    let open = |_| {
        let mut stream = weir.raw().stream();
        stream.write_all(beginning).expect("the broker accepts");
        stream.set_nonblocking(true).expect("a socket option");
        stream
    };
    let mut connections: Vec<TcpStream> = (0..1_000).map(open).collect();
    // Whoever comes after them is served.
    weir.client(Version::V5, "t", "late").disconnect();
    bystander.is_served();
    weir.clock("+9999ms");
    bystander.is_served();
    assert!(!connections.iter_mut().any(is_closed), "handshake_timeout has not passed");
    let open = weir.memory_kib();
    // The last of them may have been heard only now.
    let patience = Instant::now() + PATIENCE;
    while !connections.is_empty() {
        assert!(Instant::now() < patience, "{} connections are open after handshake_timeout", connections.len());
        weir.clock("+1s");
        connections.retain_mut(|connection| !is_closed(connection));
    }
    bystander.is_served();
    (open, weir.memory_kib())
}

#[test]
fn connections_that_do_not_get_to_their_connect_are_dropped_and_cost_little() {
    rlimit::increase_nofile_limit(4_096).expect("two thousand files may be open");
    let beginnings: [(&str, &[u8]); 3] =
        [("nothing", b""), ("one byte", b"\x10"), ("a CONNECT of 1 MiB, announced", b"\x10\xFB\xFF\x3F\x00\x04MQTT")];
    let mut weir = Weir::at(MORNING, OPEN);
    let mut bystander = Bystander::of(&weir);
    let empty = weir.memory_kib();
    let (_, at_first) = a_thousand_that_begin_with(b"", &mut weir, &mut bystander);
    // Twice: what the allocator keeps of the first rounds it uses for the later ones, and a leak would go on growing.
    for (name, beginning) in [beginnings, beginnings].concat() {
        let (open, gone) = a_thousand_that_begin_with(beginning, &mut weir, &mut bystander);
        assert!(open < empty + 16 * 1_024, "{name}: {empty} KiB have become {open} KiB");
        assert!(gone < at_first + 4_096, "{name}: {at_first} KiB were left by the first, {gone} KiB by these");
    }
}

// Floods.

/// Sends the same packet, but for what `packet` makes of its number, and reads as many answers of this length.
fn flood(client: &mut Client, times: u32, answer_len: usize, packet: impl Fn(u32) -> Vec<u8> + Send + 'static) {
    let mut writer = client.stream();
    let writing = std::thread::spawn(move || {
        for number in 0..times {
            writer.write_all(&packet(number)).expect("the broker reads");
        }
    });
    let mut answers = vec![0; times as usize * answer_len];
    client.stream().read_exact(&mut answers).expect("every packet is answered");
    writing.join().expect("every packet was sent");
}

/// A text with its length, of which the last four characters are the number.
fn numbered(number: u32) -> Vec<u8> {
    format!("\0\x08topi{:04}", number % 10_000).into_bytes()
}

#[test]
fn floods_are_answered_and_leave_no_memory_behind() {
    let weir = Weir::at(MORNING, OPEN);
    let mut bystander = Bystander::of(&weir);
    type Packet = fn(u32) -> Vec<u8>;
    let floods: [(&str, u32, usize, Packet); 6] = [
        ("PINGREQ", 20_000, 2, |_| vec![0xC0, 0]),
        ("SUBSCRIBE to one filter", 5_000, 5, |_| b"\x82\x06\0\x01\0\x01a\0".to_vec()),
        ("SUBSCRIBE to ever new filters", 5_000, 5, |n| [b"\x82\x0D\0\x01", &numbered(n)[..], &[0]].concat()),
        ("UNSUBSCRIBE", 5_000, 4, |n| [b"\xA2\x0C\0\x01", &numbered(n)[..]].concat()),
        ("PUBLISH to ever new topics", 5_000, 4, |n| [b"\x32\x0C", &numbered(n)[..], b"\0\x01"].concat()),
        ("PUBLISH of QoS 2 that is never released", 65_535, 4, |n| {
            [b"\x34\x05\0\x01a", &(n as u16 + 1).to_be_bytes()[..]].concat()
        }),
    ];
    for (name, times, answer_len, packet) in floods {
        let run = || {
            let mut client = weir.client(Version::V4, "t", "flood");
            flood(&mut client, times, answer_len, packet);
            let open = weir.memory_kib();
            client.disconnect();
            open
        };
        let first = run();
        bystander.is_served();
        let second = run();
        bystander.is_served();
        assert!(second < first + 2_048, "{name}: {first} KiB at the first, {second} KiB at the second");
        assert!(second < 64 * 1_024, "{name}: {second} KiB");
    }
}

#[test]
fn qos_2_messages_that_are_never_released_are_taken_up_to_the_receive_maximum() {
    let weir = Weir::at(MORNING, &format!("{OPEN}mqtt: {{ receive_maximum: 8 }}"));
    let mut client = weir.client(Version::V5, "t", "client");
    client.subscribe("a", QoS::AtMostOnce);
    for id in 1..=8 {
        client.publish("a", b"", QoS::ExactlyOnce, id);
        let mut answers = [client.frame(), client.frame()];
        answers.sort();
        assert_eq!(answers, [&[0x30, 4, 0, 1, b'a', 0][..], &[0x50, 2, 0, id as u8]]);
    }
    // One that is sent again is no other.
    client.send_bytes(&[0x3C, 6, 0, 1, b'a', 0, 1, 0]);
    client.expect(&[0x50, 2, 0, 1]);
    // And one that is released makes room for one more.
    client.send_bytes(&[0x62, 2, 0, 8]);
    client.expect(&[0x70, 2, 0, 8]);
    for id in 9..=10 {
        client.publish("b", b"", QoS::ExactlyOnce, id);
    }
    client.expect(&[0x50, 3, 0, 9, 0x10]);
    let disconnect = client.frame();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x93), "Receive Maximum exceeded");
    client.expect_closed();
}

#[test]
fn a_client_that_asks_and_does_not_read_the_answers_is_not_read_any_more() {
    let weir = Weir::at(MORNING, OPEN);
    let mut bystander = Bystander::of(&weir);
    bystander.is_served();
    let before = weir.memory_kib();
    let mut deaf = weir.client(Version::V5, "t", "deaf").stream();
    deaf.set_write_timeout(Some(SILENCE)).expect("a socket option");
    let pings = [0xC0, 0].repeat(32 * 1_024);
    let sent = (0..1_024).take_while(|_| deaf.write_all(&pings).is_ok()).count();
    assert!(sent < 1_024, "64 MiB of PINGREQ were read");
    bystander.is_served();
    let after = weir.memory_kib();
    assert!(after < before + 4 * 1_024, "{before} KiB have become {after} KiB");
}

// Readers that do not read.

#[test]
fn a_subscriber_that_does_not_read_costs_its_queue_and_nobody_elses_time() {
    let plan = "plans: { open: { max_queued_messages: 50, max_queued_bytes: 1MiB } }\n\
                profiles: { acme: { plan: open, devices: { pump: { token: t } } } }\n";
    let payload = vec![b'x'; 32 * 1_024];
    for (version, qos) in
        [(Version::V4, QoS::AtMostOnce), (Version::V4, QoS::AtLeastOnce), (Version::V5, QoS::AtLeastOnce)]
    {
        let weir = Weir::at(MORNING, plan);
        let mut publisher = weir.client(Version::V4, "t", "publisher");
        let mut reader = weir.client(version, "t", "reader");
        reader.subscribe("big", QoS::AtMostOnce);
        let mut publish = |times: usize| {
            for _ in 0..times {
                publisher.publish("big", &payload, QoS::AtLeastOnce, 1);
                publisher.expect(&[0x40, 2, 0, 1]);
                assert_eq!(reader.expect_publish().payload.len(), payload.len());
            }
        };
        publish(20);
        let before = weir.memory_kib();
        let mut slow = weir.client(version, "t", "slow");
        slow.subscribe("big", qos);
        // 32 MiB: more than its queue and all buffers of the system on the way.
        publish(1_024);
        let after = weir.memory_kib();
        assert!(after < before + 8 * 1_024, "{before} KiB have become {after} KiB");
        // It is still there, and reads what was kept for it.
        for _ in 0..50 {
            let message = slow.expect_publish();
            assert_eq!(message.payload.len(), payload.len());
            if qos == QoS::AtLeastOnce {
                let [high, low] = message.packet_id.to_be_bytes();
                slow.send_bytes(&[0x40, 2, high, low]);
            }
        }
    }
}

// Crowds at the door.

/// A client with bad credentials; the code of its CONNACK.
fn fail(weir: &Weir, version: Version) -> u8 {
    weir.try_connect(&connect(version, "wrong", "thief")).1[3]
}

#[test]
fn an_address_that_fails_too_often_is_banned_until_the_minute_ends() {
    for (version, bad, banned) in [(Version::V4, 4, 5), (Version::V5, 0x86, 0x8A)] {
        let mut weir = Weir::at(MORNING, &format!("{OPEN}admission: {{ failed_connects_per_ip: 3/min }}"));
        // Those that succeed do not count.
        (0..5).for_each(|_| weir.client(version, "t", "client").disconnect());
        let codes = [(); 5].map(|()| fail(&weir, version));
        assert_eq!(codes, [bad, bad, bad, banned, banned]);
        assert_eq!(weir.try_connect(&connect(version, "t", "client")).1[3], banned, "good credentials do not help now");
        weir.clock("2026-11-21T12:45:59.999Z");
        assert_eq!(fail(&weir, version), banned);
        weir.clock("2026-11-21T12:46:00Z");
        weir.client(version, "t", "client").disconnect();
        assert_eq!(fail(&weir, version), bad);
    }
}

#[test]
fn passwords_that_are_guessed_all_at_once_are_no_more_guesses() {
    let config = "plans: { open: {} }\n\
        profiles: { acme: { plan: open, devices: { panel: { username: panel, password_hash: \"HASH\" } } } }\n\
        admission: { failed_connects_per_ip: 3/min }";
    let weir = Weir::at(MORNING, &config.replace("HASH", &password_hash("secret")));
    let guess = Connect { user_name: Some("panel"), ..connect(Version::V5, "guess", "thief") };
    let mut thieves: Vec<Client> = (0..50)
        .map(|_| {
            let mut thief = weir.raw();
            thief.send(&weir::wire::Packet::Connect(guess));
            thief
        })
        .collect();
    let codes: Vec<u8> = thieves.iter_mut().map(|thief| thief.frame()[3]).collect();
    let guesses = codes.iter().filter(|code| **code == 0x86).count();
    assert_eq!(guesses + codes.iter().filter(|code| **code == 0x8A).count(), 50, "{codes:02x?}");
    // Those that were being checked when the third one failed could not know of it.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    assert!((3..3 + at_once).contains(&guesses), "{guesses} guesses of 50 were checked");
}

#[test]
fn an_address_that_connects_too_often_is_turned_away_until_the_minute_ends() {
    let mut weir = Weir::at(MORNING, &format!("{OPEN}admission: {{ connects_per_ip: 3/min }}"));
    let clients = ["a", "b", "c"].map(|id| weir.client(Version::V5, "t", id));
    weir.raw().expect_closed();
    weir.clock("2026-11-21T12:46:00Z");
    weir.client(Version::V5, "t", "d");
    // Who is in stays in.
    for mut client in clients {
        client.expect_nothing();
    }
}

#[test]
fn the_broker_takes_as_many_clients_as_max_connections_says() {
    for (version, busy) in [(Version::V4, 3), (Version::V5, 0x89)] {
        let weir = Weir::at(MORNING, &format!("{OPEN}admission: {{ max_connections: 2 }}"));
        // Neither connections that say nothing nor those that are refused take a client's place.
        let silent = [(); 3].map(|()| weir.raw());
        let first = weir.client(version, "t", "first");
        let mut second = weir.client(version, "t", "second");
        let mut refused: Vec<Client> = Vec::new();
        for _ in 0..3 {
            let (client, connack) = weir.try_connect(&connect(version, "t", "third"));
            assert_eq!(connack[3], busy);
            refused.push(client);
        }
        // Who comes back takes its own place.
        let again = weir.client(version, "t", "first");
        drop(first);
        second.expect_nothing();
        again.disconnect();
        weir.client(version, "t", "third");
        drop((silent, refused));
    }
}
