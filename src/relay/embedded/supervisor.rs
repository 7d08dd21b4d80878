//! The rumqttd router and the links to it. One thread starts a router, notices its death and starts another; one thread for
//! each router makes the links, as making one blocks until the router has answered. A new router is told of every subscription
//! there is before anyone can publish to it, so that no message of QoS 1 or 2 that is sent again misses a subscriber. What a
//! router can never forget (topics, filters, names of links) is counted here, so that it is bounded. Called by the uplinks; it
//! knows no client and no session.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{Stream, StreamExt, unfold};
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{
    Disconnect, DisconnectReasonCode, Filter, Packet, QoS, RetainForwardRule, Subscribe, SubscribeProperties,
};
use rumqttd::{Forward, Notification, Router, RouterConfig};
use tokio::sync::oneshot;

use super::Bounds;
use super::envelope::routed;
use crate::stats::Stats;

/// How much of a filter's messages the router keeps for those who are behind or away: `SEGMENTS` segments, of which the oldest
/// goes when the newest is full, in bytes of topics and payloads. Once there, it keeps that much though nobody wants it.
const SEGMENT_BYTES: usize = 128 * 1024;
const SEGMENTS: usize = 3;
/// The pauses before a router that died is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most messages of dead routers that wait for one who is away.
const MOST_LEFT: usize = 1_000;
/// The name of the link that only waits for the router's death.
const SENTINEL: &str = "s";

/// Hands out links to the router that is alive.
pub(super) struct Supervisor {
    desk: Mutex<Desk>,
    wanted: Condvar,
    stations: Arc<Stations>,
    seen: Mutex<Seen>,
    hasher: RandomState,
    bounds: Bounds,
    stats: Arc<Stats>,
}

/// The links that are asked for.
#[derive(Default)]
struct Desk {
    /// Grows when a router begins and when it ends.
    generation: u64,
    queue: VecDeque<Request>,
    building: Option<Request>,
}

struct Request {
    station: Arc<Station>,
    reply: oneshot::Sender<Wire>,
}

/// Hashes of the topics and filters that this router has been given, as it keeps something for each until it dies.
#[derive(Default)]
struct Seen {
    topics: HashSet<u64>,
    filters: HashSet<u64>,
}

impl Supervisor {
    /// Starts the router, which runs for as long as the process does: rumqttd's cannot be stopped.
    ///
    /// # Panics
    /// Where the system has no thread to give.
    pub(super) fn start(bounds: Bounds, stats: Arc<Stats>) -> Arc<Self> {
        let supervisor = Arc::new(Supervisor {
            desk: Mutex::default(),
            wanted: Condvar::new(),
            stations: Arc::new(Stations { most: bounds.max_sessions, pool: Mutex::default() }),
            seen: Mutex::default(),
            hasher: RandomState::new(),
            bounds,
            stats,
        });
        let watched = Arc::clone(&supervisor);
        thread::spawn(move || watched.supervise());
        supervisor
    }

    /// A place for one more link; `None` where there are `max_sessions` already.
    pub(super) fn station(&self) -> Option<Arc<Station>> {
        Station::take(&self.stations)
    }

    /// Asks for the station's link, for when there is a router. An error: the router died before it was made.
    pub(super) fn ask(&self, station: &Arc<Station>) -> oneshot::Receiver<Wire> {
        let (reply, answer) = oneshot::channel();
        self.desk.lock().queue.push_back(Request { station: Arc::clone(station), reply });
        self.wanted.notify_all();
        answer
    }

    /// Whether the router may be given this topic: it knows it, or there is room for one more.
    pub(super) fn admits_topic(&self, topic: &str) -> bool {
        let hash = self.hasher.hash_one(topic);
        admit(&mut self.seen.lock().topics, hash, self.bounds.max_topics)
    }

    /// Whether the router may be given this filter.
    pub(super) fn admits_filter(&self, filter: &str) -> bool {
        let hash = self.hasher.hash_one(filter);
        admit(&mut self.seen.lock().filters, hash, self.bounds.max_filters)
    }

    fn supervise(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            self.run_router();
            self.stats.backend_lost.add(1);
            tracing::error!("the embedded rumqttd router has died and is started again; what only it held is lost");
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            // Between half of it and all of it.
            thread::sleep(
                pause.mul_f64(0.5 + f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX) / 2.0),
            );
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Starts a router and returns when it has died.
    fn run_router(self: &Arc<Self>) {
        let connect = start_router(self.bounds.max_sessions + 1);
        let Some((_sending, mut sentinel)) = connect(SENTINEL) else { return };
        *self.seen.lock() = Seen::default();
        let generation = self.turn_over();
        let desk = Arc::clone(self);
        // A thread of its own and not one of the runtime's: should the router die while a link is made, it never returns.
        let builder = thread::Builder::new().name("rumqttd-links".into());
        if builder.spawn(move || desk.make_links(generation, connect)).is_ok() {
            while sentinel.recv().is_ok() {}
        }
        self.turn_over();
    }

    /// Begins the next generation; who waits for a link of the last one has to ask again.
    fn turn_over(&self) -> u64 {
        let mut desk = self.desk.lock();
        desk.generation += 1;
        desk.building = None;
        self.wanted.notify_all();
        desk.generation
    }

    /// Makes the links that are asked for, until the router is gone.
    fn make_links(&self, generation: u64, connect: impl Fn(&str) -> Option<(LinkTx, LinkRx)>) {
        let connect = |station: &Station| {
            let (sending, receiving) = connect(&format!("c{}", station.number))?;
            let notifications = Box::pin(notifications(receiving));
            Some(Wire { sending, left: VecDeque::new(), notifications, generation })
        };
        self.introduce_all(connect);
        while let Some(station) = self.next_wanted(generation) {
            let wire = connect(&station);
            let mut desk = self.desk.lock();
            if desk.generation != generation {
                return;
            }
            let request = desk.building.take();
            drop(desk);
            match (request, wire) {
                // Where nobody waits for it any more, it is closed as it is dropped, before the station is.
                (Some(request), Some(wire)) => drop(request.reply.send(wire)),
                // The router is gone, which will be known in a moment; who has asked asks again.
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Makes a new router know everyone's subscriptions, and only then lets anyone speak to it.
    fn introduce_all(&self, connect: impl Fn(&Station) -> Option<Wire>) {
        let stations: Vec<Arc<Station>> = self.stations.pool.lock().taken.values().filter_map(Weak::upgrade).collect();
        let mut introduced = Vec::with_capacity(stations.len());
        for station in stations {
            // Where the router is gone already, the next one has its turn.
            let Some(mut wire) = connect(&station) else { break };
            let mut seen = self.seen.lock();
            seen.filters.extend(station.filters.lock().keys().map(|filter| self.hasher.hash_one(&**filter)));
            drop(seen);
            wire.send(&mut station.subscriptions());
            introduced.push((station, wire));
        }
        for (station, mut wire) in introduced {
            let mut spare = station.spare.lock();
            if let Some(last) = spare.take() {
                self.stats.dropped_backend_lost.add(wire.inherit(last));
            }
            *spare = Some(wire);
        }
    }

    /// Waits for the next request for a link that is not there yet; tells whose. `None`: another generation has begun.
    fn next_wanted(&self, generation: u64) -> Option<Arc<Station>> {
        let mut desk = self.desk.lock();
        while desk.generation == generation {
            match desk.queue.pop_front() {
                Some(request) if request.reply.is_closed() => {}
                Some(request) => {
                    let station = Arc::clone(&request.station);
                    if let Some(spare) = station.spare.lock().take() {
                        drop(request.reply.send(spare));
                        continue;
                    }
                    desk.building = Some(request);
                    return Some(station);
                }
                None => self.wanted.wait(&mut desk),
            }
        }
        None
    }
}

fn admit(seen: &mut HashSet<u64>, hash: u64, most: usize) -> bool {
    let room = seen.len() < most;
    seen.contains(&hash) || (room && seen.insert(hash))
}

/// Starts a router; the function makes links to it, and gives `None` when it is gone.
fn start_router(max_connections: usize) -> impl Fn(&str) -> Option<(LinkTx, LinkRx)> + Send + 'static {
    let config = RouterConfig {
        max_connections,
        // For what is subscribed at QoS 0, which nothing is.
        max_outgoing_packet_count: 100,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        ..RouterConfig::default()
    };
    let router = Router::new(0, config).spawn();
    move |name| {
        // Clean, always: a router panics over a persistent link that leaves a shared group (see the tests).
        let ends = LinkBuilder::new(name, router.clone()).clean_session(true).build();
        ends.ok().map(|(sending, receiving, _)| (sending, receiving))
    }
}

/// A link to the router. As long as it is not read, the router sends it a hundred messages and keeps its place for the rest.
pub(super) struct Wire {
    sending: LinkTx,
    /// Messages that dead routers have sent and nobody has read: to be read before anything else, and not acknowledged.
    pub(super) left: VecDeque<Forward>,
    /// Ends when the router is gone, or has ended this link.
    pub(super) notifications: Pin<Box<dyn Stream<Item = Notification> + Send>>,
    /// Which router it leads to.
    pub(super) generation: u64,
}

impl Wire {
    /// Hands these packets to the router, and tells it once.
    pub(super) fn send(&mut self, packets: &mut Vec<Packet>) {
        let Some(last) = packets.pop() else { return };
        self.sending.buffer().extend(packets.drain(..));
        // It never waits. An error is the router's death, which the notifications tell.
        let _ = self.sending.send(last).now_or_never();
    }

    /// Takes over what nobody has read of a link to a dead router; tells how many messages were too many.
    fn inherit(&mut self, mut last: Wire) -> u64 {
        self.left = std::mem::take(&mut last.left);
        while let Some(Some(notification)) = last.notifications.next().now_or_never() {
            if let Notification::Forward(forward) = notification {
                // Its place was in a log that is gone.
                self.left.push_back(Forward { cursor: None, ..forward });
            }
        }
        let excess = self.left.len().saturating_sub(MOST_LEFT);
        self.left.drain(..excess);
        excess as u64
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        self.send(&mut vec![Packet::Disconnect(Disconnect { reason_code }, None)]);
    }
}

fn notifications(receiving: LinkRx) -> impl Stream<Item = Notification> + Send {
    unfold(receiving, |mut receiving| async move {
        loop {
            match receiving.next().await.ok()? {
                // The router has filled the buffer and waits to hear that it was taken.
                Some(Notification::Unschedule) => receiving.ready().ok()?,
                Some(notification) => return Some((notification, receiving)),
                None => {}
            }
        }
    })
}

/// Who has a link, whichever router there is: the number in its name, and what it has subscribed. The number is given again
/// when the station is gone, as a router keeps something for each name that it ever saw.
pub(super) struct Station {
    number: usize,
    stations: Arc<Stations>,
    /// The filters that are subscribed and their numbers, which come with the messages.
    filters: Mutex<HashMap<Box<str>, u32>>,
    /// A link to a new router, until it is asked for.
    spare: Mutex<Option<Wire>>,
}

struct Stations {
    most: usize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    taken: HashMap<usize, Weak<Station>>,
    free: Vec<usize>,
}

impl Station {
    fn take(stations: &Arc<Stations>) -> Option<Arc<Station>> {
        let mut pool = stations.pool.lock();
        if pool.taken.len() >= stations.most {
            return None;
        }
        let number = pool.free.pop().unwrap_or(pool.taken.len());
        let station = Arc::new(Station {
            number,
            stations: Arc::clone(stations),
            filters: Mutex::default(),
            spare: Mutex::default(),
        });
        pool.taken.insert(number, Arc::downgrade(&station));
        Some(station)
    }

    /// The number of a filter that is subscribed.
    pub(super) fn number_of(&self, filter: &str) -> Option<u32> {
        self.filters.lock().get(filter).copied()
    }

    /// Notes a subscription; gives the packet for it.
    pub(super) fn subscribe(&self, filter: &str, number: u32) -> Packet {
        self.filters.lock().insert(filter.into(), number);
        subscription(filter, number)
    }

    /// Forgets a subscription; tells its number if there was one.
    pub(super) fn unsubscribe(&self, filter: &str) -> Option<u32> {
        self.filters.lock().remove(filter)
    }

    /// The packets for everything that is subscribed. Where a router knows one already, it makes nothing of it.
    pub(super) fn subscriptions(&self) -> Vec<Packet> {
        self.filters.lock().iter().map(|(filter, number)| subscription(filter, *number)).collect()
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        // Its link ends before another can have its name.
        drop(self.spare.get_mut().take());
        let mut pool = self.stations.pool.lock();
        pool.taken.remove(&self.number);
        pool.free.push(self.number);
    }
}

/// At rumqttd's QoS 1, whatever the client's: so the router sends no more than is acknowledged, and keeps the rest.
fn subscription(filter: &str, number: u32) -> Packet {
    let filter = Filter {
        path: routed(filter),
        qos: QoS::AtLeastOnce,
        nolocal: false,
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::Never,
    };
    let properties = SubscribeProperties { id: Some(number as usize), user_properties: Vec::new() };
    Packet::Subscribe(Subscribe { pkid: 1, filters: vec![filter] }, Some(properties))
}
