//! What a message costs in allocations, counted by this program's own allocator on the threads of a broker that runs inside
//! it: the whole way from socket to socket, and nothing of what the clients allocate. Beside it, the list of what the broker
//! keeps allocated for an idle client. Nothing here may depend on time: each message is awaited, and the clock stands still.
//!
//! With `TRACE_ALLOCATIONS=1` each allocation that is counted is shown with its backtrace; for the idle clients, those of
//! one client's life up to its first rest.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use common::{Client, connect};
use tokio::runtime::Runtime;
use weir::limits::UnixMillis;
use weir::wire::{Packet, QoS, Version};
use weir::{BoundAddress, Broker, Clock, Config, ManualClock};

// The counting

/// What the threads of one broker have allocated.
struct Tally {
    /// Allocations and reallocations.
    allocations: AtomicU64,
    /// Blocks that were not given back, by size in bytes; all that are larger are in the last.
    live: [AtomicI64; LARGEST + 1],
    /// Bytes in those of the last class.
    large: AtomicI64,
    tracing: AtomicBool,
}

/// The largest size that has a class of its own.
const LARGEST: usize = 64 * 1024;

thread_local! {
    /// Where this thread's allocations are counted; nowhere for threads that are no broker's.
    static TALLY: Cell<Option<&'static Tally>> = const { Cell::new(None) };
}

/// The system's allocator, with a tally of the broker's part.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: each method passes its arguments on to the system's allocator as they came and returns what that returns; what is
// done beside it does not touch the memory in question.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(|tally| tally.add(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(|tally| tally.change(layout.size(), -1));
        // SAFETY: as above, and every block of ours is one of the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(|tally| {
            tally.change(layout.size(), -1);
            tally.add(size);
        });
        // SAFETY: as above, and every block of ours is one of the system's.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Lets the thread's tally count, and nothing that is allocated on the way.
fn note(counts: impl FnOnce(&Tally)) {
    if let Some(tally) = TALLY.take() {
        counts(tally);
        TALLY.set(Some(tally));
    }
}

impl Tally {
    const fn new() -> Self {
        let live = [const { AtomicI64::new(0) }; LARGEST + 1];
        Tally { allocations: AtomicU64::new(0), live, large: AtomicI64::new(0), tracing: AtomicBool::new(false) }
    }

    fn add(&self, size: usize) {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        self.change(size, 1);
        if self.tracing.load(Ordering::Relaxed) {
            eprintln!("--- {size} bytes\n{}", Backtrace::force_capture());
        }
    }

    fn change(&self, size: usize, by: i64) {
        self.live[size.min(LARGEST)].fetch_add(by, Ordering::Relaxed);
        if size >= LARGEST {
            self.large.fetch_add(by * size as i64, Ordering::Relaxed);
        }
    }

    /// Has every allocation shown from now on, or not any more, if that is asked for.
    fn trace(&self, on: bool) {
        self.tracing.store(on && std::env::var_os("TRACE_ALLOCATIONS").is_some(), Ordering::Relaxed);
    }

    /// Blocks that are allocated now, by size.
    fn blocks(&self) -> Vec<i64> {
        self.live.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

// The broker

const CONFIG: &str = r#"
listeners: [{ address: "127.0.0.1:0" }]
plans: { roomy: { publish: 1M/min, receive: 1M/min }, tight: { publish: 10/min } }
profiles:
  acme: { plan: roomy, devices: { pump: { token: roomy } } }
  emca: { plan: tight, devices: { pump: { token: tight } } }
"#;
const FORBIDDEN: &str = "acl: [{ deny: publish, topic: forbidden }]";

/// A broker inside this program, on a thread of its own.
struct Weir {
    tally: &'static Tally,
    address: SocketAddr,
    // In the order in which they must be dropped.
    _broker: Broker,
    _runtime: Runtime,
}

impl Weir {
    fn start(tally: &'static Tally) -> Weir {
        Self::start_with(tally, "")
    }

    /// `rules` are added to the configuration. One thread works, so that no lock is ever waited for: a thread's first wait
    /// allocates.
    fn start_with(tally: &'static Tally, rules: &str) -> Weir {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(|| TALLY.set(Some(tally)))
            .on_thread_stop(|| TALLY.set(None))
            .build()
            .expect("a runtime");
        let config = Config::parse(&format!("{CONFIG}{rules}"), "broker.yaml").expect("a configuration");
        let clock = Clock::Manual(ManualClock::at(UnixMillis(1_795_265_130_000)));
        let broker = runtime.block_on(Broker::builder(config).clock(clock).start()).expect("it starts");
        let BoundAddress::Tcp(address) = broker.addresses()[0].clone() else { panic!("a TCP listener") };
        Weir { tally, address, _broker: broker, _runtime: runtime }
    }

    fn client(&self, version: Version, token: &str, client_id: &str) -> Client {
        let mut client = Client::to(self.address);
        client.version = version;
        client.send(&Packet::Connect(connect(version, token, client_id)));
        let connack = client.frame();
        assert_eq!(connack[..2], [0x20, connack.len() as u8 - 2], "a CONNACK: {connack:02x?}");
        assert_eq!(connack[3], 0, "CONNACK accepts: {connack:02x?}");
        client
    }

    /// Allocations of `MESSAGES` rounds, after as many that may fill what is kept.
    fn allocations(&self, mut round: impl FnMut()) -> u64 {
        (0..MESSAGES).for_each(|_| round());
        let before = self.tally.allocations.load(Ordering::Relaxed);
        self.tally.trace(true);
        (0..MESSAGES).for_each(|_| round());
        self.tally.trace(false);
        self.tally.allocations.load(Ordering::Relaxed) - before
    }
}

/// Rounds that are counted: so many that one allocation in a hundred shows.
const MESSAGES: u64 = 200;
const VERSIONS: [Version; 2] = [Version::V4, Version::V5];
const PAYLOAD: [u8; 64] = [b'x'; 64];

/// A tally of a test's own: it lives as long as the program.
macro_rules! tally {
    () => {{
        static TALLY: Tally = Tally::new();
        &TALLY
    }};
}

/// Allocations for `MESSAGES` publishes by one client to `fan_out` others, each awaited by all and acknowledged by all.
fn allocations_of_publishes(weir: &Weir, version: Version, qos: QoS, fan_out: usize) -> u64 {
    let mut publisher = weir.client(version, "roomy", "publisher");
    let mut subscribers: Vec<Client> =
        (0..fan_out).map(|n| weir.client(version, "roomy", &format!("subscriber-{n}"))).collect();
    subscribers.iter_mut().for_each(|subscriber| subscriber.subscribe("site/7/pressure", qos));
    weir.allocations(|| {
        publisher.publish("site/7/pressure", &PAYLOAD, qos, 1);
        if qos == QoS::AtLeastOnce {
            publisher.expect(&[0x40, 2, 0, 1]);
        }
        for subscriber in &mut subscribers {
            let received = subscriber.expect_publish();
            assert_eq!((received.payload.as_slice(), received.qos), (PAYLOAD.as_slice(), qos));
            if qos == QoS::AtLeastOnce {
                let [high, low] = received.packet_id.to_be_bytes();
                subscriber.send_bytes(&[0x40, 2, high, low]);
            }
        }
    })
}

#[test]
fn a_publish_at_qos_0_allocates_once_whatever_its_fan_out() {
    let weir = Weir::start(tally!());
    for version in VERSIONS {
        for fan_out in [1, 10, 50] {
            let allocations = allocations_of_publishes(&weir, version, QoS::AtMostOnce, fan_out);
            assert_eq!(allocations, MESSAGES, "for {MESSAGES} messages of MQTT {version} to {fan_out} subscribers");
        }
    }
}

#[test]
fn a_publish_at_qos_1_allocates_once_with_all_its_acknowledgements() {
    let weir = Weir::start(tally!());
    for version in VERSIONS {
        for fan_out in [1, 10, 50] {
            let allocations = allocations_of_publishes(&weir, version, QoS::AtLeastOnce, fan_out);
            assert_eq!(allocations, MESSAGES, "for {MESSAGES} messages of MQTT {version} to {fan_out} subscribers");
        }
    }
}

#[test]
fn a_ping_allocates_nothing() {
    let weir = Weir::start(tally!());
    for version in VERSIONS {
        let mut client = weir.client(version, "roomy", "c");
        let allocations = weir.allocations(|| client.expect_nothing());
        assert_eq!(allocations, 0, "for {MESSAGES} pings of MQTT {version}");
    }
}

/// Allocations for `MESSAGES` publishes at QoS 0 that are dropped, each followed by a ping, which allocates nothing.
fn allocations_of_drops(weir: &Weir, version: Version, token: &str, topic: &str) -> u64 {
    let mut client = weir.client(version, token, "c");
    weir.allocations(|| {
        client.publish(topic, &PAYLOAD, QoS::AtMostOnce, 0);
        client.expect_nothing();
    })
}

#[test]
fn a_publish_at_qos_0_over_the_limit_allocates_its_denial_and_no_more() {
    let weir = Weir::start(tally!());
    for version in VERSIONS {
        let allocations = allocations_of_drops(&weir, version, "tight", "t");
        assert_eq!(allocations, MESSAGES, "for {MESSAGES} publishes of MQTT {version} over the limit");
    }
}

#[test]
fn a_publish_at_qos_0_that_an_access_rule_forbids_allocates_nothing() {
    let weir = Weir::start_with(tally!(), FORBIDDEN);
    for version in VERSIONS {
        let allocations = allocations_of_drops(&weir, version, "roomy", "forbidden");
        assert_eq!(allocations, 0, "for {MESSAGES} publishes of MQTT {version} to a forbidden topic");
    }
}

// Idle clients

/// Clients that are measured.
const CLIENTS: usize = 1_000;
/// Clients that are there before, so that what all share has been made.
const EARLIER: usize = 24;
/// Bytes for each, generously.
const BOUND: f64 = 8_192.0;

#[test]
fn an_idle_client_with_one_subscription_keeps_a_few_kilobytes_allocated() {
    rlimit::increase_nofile_limit(4 * CLIENTS as u64).expect("two sockets a client");
    let weir = Weir::start(tally!());
    let mut idle = |n: usize| {
        let mut client = weir.client(Version::V4, "roomy", &format!("device-{n:05}"));
        client.subscribe(&format!("devices/device-{n:05}/commands"), QoS::AtLeastOnce);
        client.expect_nothing();
        client
    };
    let mut clients: Vec<Client> = (0..EARLIER).map(&mut idle).collect();
    let large = || weir.tally.large.load(Ordering::Relaxed);
    let (blocks_before, large_before) = (weir.tally.blocks(), large());
    clients.extend((EARLIER..CLIENTS / 2).map(&mut idle));
    weir.tally.trace(true);
    clients.push(idle(CLIENTS / 2));
    weir.tally.trace(false);
    clients.extend((CLIENTS / 2 + 1..EARLIER + CLIENTS).map(&mut idle));

    let per_client = |count: i64| count as f64 / CLIENTS as f64;
    let mut sum = per_client(large() - large_before);
    println!("  size   count per client   bytes per client");
    for (size, (after, before)) in weir.tally.blocks().into_iter().zip(blocks_before).enumerate() {
        if size == LARGEST || after == before {
            continue;
        }
        let count = per_client(after - before);
        println!("{size:>6} {count:>18.3} {:>18.1}", count * size as f64);
        sum += count * size as f64;
    }
    println!("larger {:>37.1}", per_client(large() - large_before));
    println!("   all {sum:>37.1}");
    assert!(sum < BOUND, "{sum} bytes for each idle client");
}
