//! A topic space: the subscriptions and retained messages of one profile (or of all, with `isolation: none`). The edge
//! publishes into it and subscribes in it. A publisher keeps the route of its latest topics, valid while the generation of
//! the space's subscriptions has not changed, so that a device on its few topics never walks the tree twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::message::Message;
use super::retained::{RetainOutcome, Retained};
use super::shared::{self, Group};
use super::tree::{self, Subscription, Target, Tree};
use crate::stats::Stats;

#[derive(Default)]
pub(crate) struct Space {
    tree: RwLock<Tree>,
    /// Grows with every change of the subscriptions, before the change is acknowledged.
    generation: AtomicU64,
    retained: RwLock<Retained>,
}

/// Who a topic goes to.
#[derive(Default)]
pub(crate) struct Route {
    targets: Vec<Target>,
    groups: Vec<Arc<Group>>,
}

impl Space {
    /// Adds or replaces a session's subscription; `share` is the name of its shared group, if it is in one.
    pub(crate) fn subscribe(&self, filter: &str, share: Option<&str>, subscription: Subscription) {
        let mut tree = self.tree.write();
        tree.insert(filter, share, subscription);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Removes a session's subscription.
    pub(crate) fn unsubscribe(&self, filter: &str, share: Option<&str>, mailbox: u64) {
        let mut tree = self.tree.write();
        tree.remove(filter, share, mailbox);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Makes `route` that of a topic as of now; tells the generation it is good for.
    fn route(&self, topic: &[u8], route: &mut Route) -> u64 {
        route.clear();
        let tree = self.tree.read();
        let generation = self.generation.load(Ordering::Acquire);
        tree.matches(topic, &mut route.targets, &mut route.groups);
        drop(tree);
        if route.targets.len() > 1 {
            tree::merge(&mut route.targets);
        }
        if route.groups.len() > 1 {
            route.groups.dedup_by(|a, b| shared::same(a, b));
        }
        generation
    }

    /// Keeps a message as its topic's retained one. Where there is no room at `now` (monotonic milliseconds), messages that
    /// have expired make some: they are looked for once a second at most.
    pub(crate) fn retain(&self, message: &Message, max_messages: usize, max_bytes: u64, now: u64) -> RetainOutcome {
        let mut retained = self.retained.write();
        match retained.set(message, max_messages, max_bytes) {
            RetainOutcome::Done => RetainOutcome::Done,
            full if retained.purge(now) == 0 => full,
            _ => retained.set(message, max_messages, max_bytes),
        }
    }

    /// The retained messages that a filter matches and that have not expired at `now`; expired ones are removed.
    pub(crate) fn retained(&self, filter: &str, now: u64) -> Vec<Message> {
        let mut found = self.retained.read().matches(filter);
        let expired: Vec<Message> = found.extract_if(.., |message| message.expiry_left(now).is_err()).collect();
        if !expired.is_empty() {
            let mut retained = self.retained.write();
            for message in expired {
                retained.remove_expired(&message.topic_bytes()[2..], now);
            }
        }
        found
    }
}

impl Route {
    /// Forgets everyone. The memory of a few is kept, for the next topic.
    fn clear(&mut self) {
        if self.targets.capacity() > KEPT || self.groups.capacity() > KEPT {
            *self = Route::default();
        }
        self.targets.clear();
        self.groups.clear();
    }

    /// Puts the message into every mailbox of the route. Tells how many sessions it matched.
    pub(crate) fn publish(&self, message: &Message, stats: &Stats) -> usize {
        let mut matched = 0;
        for target in &self.targets {
            if target.no_local && target.mailbox.client() == message.publisher() {
                continue;
            }
            matched += 1;
            target.mailbox.push(target.delivery(message, None), stats);
        }
        for group in &self.groups {
            if let Some(member) = group.choose() {
                matched += 1;
                let target = Target::from(member);
                target.mailbox.push(target.delivery(message, Some(Arc::clone(group))), stats);
            }
        }
        matched
    }
}

/// A publisher's latest routes, the newest last.
#[derive(Default)]
pub(crate) struct Publisher {
    routes: Vec<Cached>,
}

struct Cached {
    topic: Vec<u8>,
    generation: u64,
    route: Route,
}

/// How many topics a publisher's routes are kept for.
const ROUTES: usize = 4;
/// For how many targets a route keeps memory when it becomes that of another topic; and for how many bytes of topic.
const KEPT: usize = 64;

impl Publisher {
    /// The route of a topic, from memory where it still holds.
    pub(crate) fn route(&mut self, space: &Space, topic: &[u8]) -> &Route {
        let generation = space.generation.load(Ordering::Acquire);
        let known = self.routes.iter().position(|cached| cached.topic == topic);
        let at = match known {
            Some(at) if self.routes[at].generation == generation => return &self.routes[at].route,
            Some(at) => at,
            None if self.routes.len() < ROUTES => {
                // Most clients publish to one topic.
                if self.routes.is_empty() {
                    self.routes.reserve_exact(1);
                }
                self.routes.push(Cached { topic: topic.into(), generation: 0, route: Route::default() });
                self.routes.len() - 1
            }
            None => {
                // The oldest is given up.
                self.routes.rotate_left(1);
                let given_up = &mut self.routes[ROUTES - 1].topic;
                given_up.clear();
                given_up.shrink_to(KEPT);
                given_up.extend_from_slice(topic);
                ROUTES - 1
            }
        };
        let cached = &mut self.routes[at];
        cached.generation = space.route(topic, &mut cached.route);
        &cached.route
    }

    /// Publishes without keeping the route: for a will, once in a session's life.
    pub(crate) fn publish_once(space: &Space, message: &Message, stats: &Stats) -> usize {
        let mut route = Route::default();
        space.route(&message.topic_bytes()[2..], &mut route);
        route.publish(message, stats)
    }
}

#[cfg(test)]
mod tests;
