//! Shared subscriptions. Each has one link to the router, whoever its members are, and a task that deals the messages out to
//! those who are connected and have room; while there is none, the router keeps its place. rumqttd's own groups are not used:
//! they go by their name alone, a member that does not acknowledge stops them and keeps the router's thread spinning, the
//! last message is not dealt where a member leaves that had its turn, and unsubscribing any filter leaves every group.
//! Sessions join and leave here; no packet is read or written.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::envelope::{self, Opened};
use super::supervisor::Supervisor;
use super::uplink::{Asked, Event, Place, Uplink};
use crate::router::{Delivery, Group, Mailbox, Message, Subscription, split_share};
use crate::stats::Stats;
use crate::wire::QoS;

/// The number of the only subscription of a share's link.
const NUMBER: u32 = 1;

#[derive(Default)]
pub(super) struct Shares {
    /// By the filter with its share name.
    running: Mutex<HashMap<Box<str>, Running>>,
}

struct Running {
    share: Arc<Share>,
    task: AbortHandle,
}

/// One shared subscription.
pub(super) struct Share {
    group: Arc<Group>,
    /// A member has come, or has room again.
    changed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The router knows the subscription.
    up: bool,
    /// Who is to be woken when it does.
    waiting: Vec<Arc<Mailbox>>,
    /// What members had and did not finish.
    returned: VecDeque<Message>,
    /// Since when a member has been connected all the time, in milliseconds of the monotonic clock.
    here_since: u64,
}

impl Shares {
    /// Makes a session a member, or changes its options; a new one has yet to [arrive](Share::arrived). `None`: there is no room for another shared subscription.
    pub(super) fn join(
        &self,
        filter: &str,
        member: Subscription,
        supervisor: &Arc<Supervisor>,
        stats: &Arc<Stats>,
    ) -> Option<Arc<Share>> {
        let mut running = self.running.lock();
        let share = match running.get(filter) {
            Some(Running { share, .. }) => Arc::clone(share),
            None => {
                let (_, topic_filter) = split_share(filter);
                let station = supervisor.station()?;
                if !supervisor.admits_filter(topic_filter) {
                    return None;
                }
                let share = Arc::new(Share { group: Arc::default(), changed: Notify::new(), state: Mutex::default() });
                let mut uplink = Uplink::new(supervisor, station);
                uplink.subscribe(topic_filter, NUMBER);
                uplink.ask(Asked { publish: None, again: true, meaning: () });
                let task = Arc::clone(&share).run(uplink, Arc::clone(stats));
                let task = tokio::spawn(task).abort_handle();
                running.insert(filter.into(), Running { share: Arc::clone(&share), task });
                share
            }
        };
        share.group.insert(member);
        Some(share)
    }

    /// Ends a membership, and the shared subscription with its last; tells whether there are other members.
    pub(super) fn leave(&self, filter: &str, mailbox: u64, stats: &Stats) -> bool {
        let mut running = self.running.lock();
        let Some(Running { share, task }) = running.get(filter) else { return false };
        if !share.group.remove(mailbox) {
            return true;
        }
        task.abort();
        stats.dropped_session_ended.add(share.state.lock().returned.len() as u64);
        running.remove(filter);
        false
    }
}

impl Share {
    /// Whether the router knows the subscription; if not, the mailbox is woken once it does.
    pub(super) fn is_up(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut state = self.state.lock();
        if !state.up && !state.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, mailbox)) {
            state.waiting.push(Arc::clone(mailbox));
        }
        state.up
    }

    /// A member is connected now.
    pub(super) fn arrived(&self, mailbox: &Mailbox, now: u64) {
        if !self.group.has_other(mailbox.id()) {
            self.state.lock().here_since = now;
        }
        self.changed.notify_one();
    }

    /// A member has room again.
    pub(super) fn has_room(&self) {
        self.changed.notify_one();
    }

    /// Whether a message came by this subscription.
    pub(super) fn brought(&self, delivery: &Delivery) -> bool {
        delivery.group.as_ref().is_some_and(|group| Arc::ptr_eq(group, &self.group))
    }

    /// Whether a member other than this one is connected.
    pub(super) fn has_other(&self, mailbox: u64) -> bool {
        self.group.has_other(mailbox)
    }

    /// Has a message dealt out again that a member did not finish.
    pub(super) fn give_back(&self, message: Message) {
        self.state.lock().returned.push_back(message);
        self.changed.notify_one();
    }

    async fn run(self: Arc<Self>, mut uplink: Uplink<()>, stats: Arc<Stats>) {
        let mut place = Place::default();
        loop {
            let event = poll_fn(|cx| {
                let event = uplink.poll_event(cx);
                if event.is_pending() {
                    // Everything that came was dealt out.
                    uplink.acknowledge();
                    uplink.flush();
                }
                event
            });
            let event = tokio::select! {
                event = event => event,
                () = self.deal_returned(&stats) => continue,
            };
            match event {
                Event::Up => place = Place::default(),
                Event::Expelled => {
                    tracing::error!("the embedded router has ended a link that it should not have; it was made again");
                    place = Place::default();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Event::Done(()) => {
                    let mut state = self.state.lock();
                    state.up = true;
                    std::mem::take(&mut state.waiting).iter().for_each(|mailbox| mailbox.wake());
                }
                Event::Message(forward) => {
                    stats.dropped_queue_full.add(place.passed_over(&forward));
                    if let Some(opened) = envelope::open(&forward.publish) {
                        self.deal(opened, &stats).await;
                    }
                }
                Event::Lost(_) => {
                    self.state.lock().up = false;
                    uplink.ask(Asked { publish: None, again: true, meaning: () });
                }
            }
        }
    }

    /// Waits for a message that is given back, and deals it out. Where it is not waited for to the end, the message stays.
    async fn deal_returned(&self, stats: &Stats) {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(message) = state.returned.front()
                    && self.group.deal(message, stats)
                {
                    state.returned.pop_front();
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Gives a message to a member, when there is one to have it. What is of QoS 0 does not wait for anyone to come.
    async fn deal(&self, Opened { message, received }: Opened, stats: &Stats) {
        loop {
            let too_early = received < self.state.lock().here_since || !self.group.has_other(NOBODY);
            if message.qos() == QoS::AtMostOnce && too_early {
                stats.dropped_offline.add(1);
                return;
            }
            // Whether it has expired meanwhile is found by whoever gets it, and counted there.
            if self.group.deal(&message, stats) {
                return;
            }
            self.changed.notified().await;
        }
    }
}

/// The number of no mailbox.
const NOBODY: u64 = 0;
