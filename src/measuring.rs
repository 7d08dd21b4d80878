//! Doors for what measures the broker from outside: the router, the session and what history takes in, which no embedding program sees. Called by
//! `benches/micro`; not for programs that embed the broker. A door only opens: it must add nothing to what it leads to but a
//! pointer, so that a figure taken here is the broker's own.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::account::queue_caps;
use crate::clock::Now;
use crate::limits::{Caps, Resource, Tally, UnixMillis, Window};
use crate::router::{self, Held, Mailbox, Subscription, WakeFor};
use crate::session::{self, Link};
use crate::stats::Stats;
use crate::store::StoreError;
use crate::usage::{Counted, Load, Step, Usage, UsageError};
use crate::wire::{PacketId, Publish, QoS, ReasonCode, Version};

/// The subscriptions of one profile: for the price of a match, a subscribe and an unsubscribe among many.
#[derive(Default)]
pub struct Space(router::Space);

impl Space {
    /// Subscribes a filter that is valid and not shared, at QoS 0.
    pub fn subscribe(&self, filter: &str, inbox: &Inbox) {
        let mailbox = Arc::clone(&inbox.mailbox);
        let (qos, id) = (QoS::AtMostOnce, None);
        self.0.subscribe(filter, None, Subscription { mailbox, qos, no_local: false, retain_as_published: false, id });
    }

    /// Takes that subscription back.
    pub fn unsubscribe(&self, filter: &str, inbox: &Inbox) {
        self.0.unsubscribe(filter, None, inbox.mailbox.id());
    }
}

/// What a publishing connection keeps: for the price of a topic's route, walked for the first time or remembered.
#[derive(Default)]
pub struct Publisher(router::Publisher);

impl Publisher {
    /// The route of a topic, which is the broker's own business.
    pub fn route<'a>(&'a mut self, space: &Space, topic: &str) -> impl Sized + use<'a> {
        self.0.route(&space.0, topic.as_bytes())
    }

    /// Routes a message to everyone who subscribes its topic; tells how many those are.
    pub fn publish(&mut self, space: &Space, message: &Message, stats: &Counters) -> usize {
        self.0.route(&space.0, &message.0.topic_bytes()[2..]).publish(&message.0, &stats.0)
    }
}

/// The counters that the broker raises as it goes.
#[derive(Default)]
pub struct Counters(Stats);

/// A shared message: for the price of making one.
pub struct Message(router::Message);

impl Message {
    /// The message of a PUBLISH whose frame's body is `body`.
    pub fn from_publish(body: &[u8], publish: &Publish<'_>) -> Self {
        Message(router::Message::from_publish(body, publish, None, 0, 0))
    }

    /// The message on its way to a session, at the QoS it was published with.
    pub fn delivery(&self) -> Delivery {
        let message = self.0.clone();
        let (ids, group) = (router::SubscriptionIds::None, None);
        Delivery(router::Delivery { qos: message.qos(), message, retain: false, replay: false, ids, group })
    }
}

/// A message on its way to one session.
#[derive(Clone)]
pub struct Delivery(router::Delivery);

/// A session's mailbox, and the buffer of the thread that empties it: for the price of a push, a wake-up and a take.
pub struct Inbox {
    mailbox: Arc<Mailbox>,
    taken: VecDeque<router::Delivery>,
}

impl Default for Inbox {
    /// A mailbox of its own, under the caps of a plan that names none.
    fn default() -> Self {
        static CLIENTS: AtomicU64 = AtomicU64::new(1);
        let caps = queue_caps(&Caps::default());
        let mailbox = Arc::new(Mailbox::new(caps, CLIENTS.fetch_add(1, Ordering::Relaxed)));
        Inbox { mailbox, taken: VecDeque::new() }
    }
}

impl Inbox {
    /// Puts a delivery in; tells whether it is in now.
    pub fn push(&self, delivery: Delivery, stats: &Counters) -> bool {
        self.mailbox.push(delivery.0, &stats.0)
    }

    /// Takes out all there is.
    pub fn take(&mut self) -> impl Iterator<Item = Delivery> {
        self.mailbox.take(&mut self.taken, u64::MAX, usize::MAX, Held::default());
        self.taken.drain(..).map(Delivery)
    }

    /// Goes to sleep until there is a message; false where there is one already.
    pub fn arm(&self, waker: &Waker) -> bool {
        self.mailbox.arm(waker, WakeFor::Message)
    }
}

/// A session and the connection it is sent over: for the price of a publish with its acknowledgements, in both directions.
pub struct Session {
    session: session::Session,
    link: Link,
}

impl Session {
    /// A session around a mailbox, of a client that takes `quota` unacknowledged messages, packets of any size, and no topic
    /// aliases.
    pub fn new(inbox: &Inbox, version: Version, quota: u16) -> Self {
        let session = session::Session::new(Arc::clone(&inbox.mailbox));
        Session { session, link: Link::new(version, quota, usize::MAX, 0) }
    }

    /// Whether a delivery can be sent now.
    pub fn is_ready(&self, delivery: &Delivery) -> bool {
        self.session.ready(&delivery.0, &self.link, 0) == session::Ready::Now
    }

    /// Sends a delivery that is ready. Packet identifiers are given in order, from 1 on.
    pub fn send(&mut self, delivery: Delivery, out: &mut Vec<u8>) {
        self.session.send(delivery.0, &mut self.link, 0, out);
    }

    /// The client's PUBACK; tells whether the packet identifier was known.
    pub fn puback(&mut self, id: PacketId) -> bool {
        self.session.puback(id)
    }

    /// The client's PUBREC, which PUBREL answers; tells whether the packet identifier was known.
    pub fn pubrec(&mut self, id: PacketId, out: &mut Vec<u8>) -> bool {
        self.session.pubrec(id, ReasonCode::Success, out)
    }

    /// The client's PUBCOMP; tells whether the packet identifier was known.
    pub fn pubcomp(&mut self, id: PacketId) -> bool {
        self.session.pubcomp(id)
    }

    /// The client's PUBLISH at QoS 2.
    pub fn open(&mut self, id: PacketId) {
        self.session.open(id);
    }

    /// The client's PUBREL; tells whether the packet identifier was open.
    pub fn release(&mut self, id: PacketId) -> bool {
        self.session.release(id)
    }
}

/// History on disk, of profiles that all use three resources all the time: for the price of a second, a minute and a query.
pub struct History {
    usage: Usage,
    now: Now,
    profiles: Vec<Arc<str>>,
}

impl History {
    /// A new one in this directory.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(data_dir: &Path, profiles: usize) -> Result<Self, StoreError> {
        let now = Now { wall: UnixMillis(1_795_219_200_000), mono: 0 };
        let profiles = (0..profiles).map(|number| format!("profile-{number}").into()).collect();
        Ok(History { usage: Usage::open(Some(data_dir))?, now, profiles })
    }

    /// Some milliseconds later each profile has used each resource once: takes that in, and writes the minute if it is another.
    ///
    /// # Errors
    /// It could not be written.
    pub fn pass(&mut self, millis: u64) -> Result<(), StoreError> {
        self.now = Now { wall: UnixMillis(self.now.wall.0 + millis), mono: self.now.mono + millis };
        let at = Window::Minute.start(Window::Minute.index(self.now.wall));
        let resources = [Resource::Connect, Resource::Publish, Resource::Receive];
        let tally = |resource: &Resource| Tally { resource: resource.clone(), at, used: 250, denied: 3 };
        let of = |profile: &Arc<str>| {
            let profile = Arc::clone(profile);
            resources.each_ref().map(|r| Counted { profile: Arc::clone(&profile), device: None, tally: tally(r) })
        };
        let counted: Vec<Counted> = self.profiles.iter().flat_map(of).collect();
        self.usage.collect(self.now, &counted, Load::default())
    }

    /// What a profile has published in the last day, added up from its minutes.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn day(&self, profile: usize) -> Result<u64, UsageError> {
        let (from, to) = (UnixMillis(self.now.wall.0 - 86_400_000), self.now.wall);
        let minutes = self.usage.series(&self.profiles[profile], None, "publish", from, to, Step::Minute)?;
        Ok(minutes.iter().map(|minute| minute.used).sum())
    }
}
