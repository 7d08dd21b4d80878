//! The subscription tree: topic filters by level, so that matching a topic walks its levels and not the filters. Called by
//! [`Space`](super::Space) under its lock. A node stays only while a filter needs it.

use std::num::NonZeroU32;
use std::sync::Arc;

use hashbrown::HashMap;

use super::children::Children;
use super::shared::Group;
use super::{Delivery, Mailbox, Message, SubscriptionIds};
use crate::keyed::Keyed;
use crate::wire::QoS;

/// One session's subscription to one filter, as the router needs it.
#[derive(Clone)]
pub(crate) struct Subscription {
    pub(crate) mailbox: Arc<Mailbox>,
    /// The QoS that was granted.
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) id: Option<NonZeroU32>,
}

/// A session that a topic matches, by one or several of its filters.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) ids: SubscriptionIds,
}

#[derive(Default)]
pub(super) struct Tree {
    root: Node,
}

/// One level of filters. There are as many as clients and more: what few of them need lies elsewhere.
#[derive(Default)]
pub(super) struct Node {
    /// What the level is called; nothing for the root and for `+`.
    pub(super) level: Box<[u8]>,
    children: Children,
    plus: Option<Box<Node>>,
    ends: Option<Box<Ends>>,
}

/// The filters that end at a node.
#[derive(Default)]
struct Ends {
    /// At its level.
    here: Subscribers,
    /// In `#` below its level; they match this level too.
    below: Subscribers,
}

/// Everyone who subscribes one filter. Most filters have one subscriber.
#[derive(Default)]
enum Subscribers {
    #[default]
    None,
    One(Subscription),
    Many(Box<Many>),
}

/// Several subscribers of one filter, or some in shared groups.
#[derive(Default)]
struct Many {
    list: Vec<Subscription>,
    /// What few filters have.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    /// Where each session is in the list, once that is too long to look through.
    index: Option<HashMap<u64, usize>>,
    groups: Vec<(Box<str>, Arc<Group>)>,
}

/// Beyond this many subscribers of one filter, they are found by index.
const LINEAR: usize = 16;

impl Tree {
    /// Adds a subscription to a filter, in the shared group of that name if there is one. An equal filter's earlier
    /// subscription of the same session is replaced [MQTT-3.8.4-3].
    pub(super) fn insert(&mut self, filter: &str, share: Option<&str>, subscription: Subscription) {
        let mut node = &mut self.root;
        let mut levels = filter.as_bytes().split(|b| *b == b'/');
        let slot = loop {
            match levels.next() {
                None => break Slot::Here,
                Some(b"#") => break Slot::Below,
                Some(b"+") => node = node.plus.get_or_insert_default(),
                Some(level) => node = node.children.get_or_insert(level),
            }
        };
        node.ends.get_or_insert_default().at(slot).insert(share, subscription);
    }

    /// Removes a session's subscription to a filter, and every node that no filter needs any more.
    pub(super) fn remove(&mut self, filter: &str, share: Option<&str>, mailbox: u64) {
        let levels: Vec<&[u8]> = filter.as_bytes().split(|b| *b == b'/').collect();
        remove(&mut self.root, &levels, share, mailbox);
    }

    /// Adds everyone whose filters match the topic: `targets` may hold a session several times, once for each filter.
    pub(super) fn matches(&self, topic: &[u8], targets: &mut Vec<Target>, groups: &mut Vec<Arc<Group>>) {
        // Only where a literal and a `+` both lead on is there a second way to remember.
        let mut others: Vec<(&Node, Option<&[u8]>)> = Vec::new();
        let mut node = &self.root;
        let mut rest = Some(topic);
        let mut first = true;
        loop {
            // A leading wildcard does not match a topic that begins with `$` [MQTT-4.7.2-1].
            let wildcards = !(first && topic.starts_with(b"$"));
            if wildcards && let Some(ends) = &node.ends {
                ends.below.collect(targets, groups);
            }
            let next = match rest {
                None => {
                    if let Some(ends) = &node.ends {
                        ends.here.collect(targets, groups);
                    }
                    None
                }
                Some(remaining) => {
                    let (level, after) = split_level(remaining);
                    let literal = node.children.get(level);
                    let plus = node.plus.as_deref().filter(|_| wildcards);
                    match (literal, plus) {
                        (Some(literal), Some(plus)) => {
                            others.push((plus, after));
                            Some((literal, after))
                        }
                        (one, other) => one.or(other).map(|node| (node, after)),
                    }
                }
            };
            first = false;
            match next.or_else(|| others.pop()) {
                Some(way) => (node, rest) = way,
                None => return,
            }
        }
    }
}

/// The first level of what remains of a topic, and what remains after it.
fn split_level(topic: &[u8]) -> (&[u8], Option<&[u8]>) {
    match topic.iter().position(|b| *b == b'/') {
        Some(at) => (&topic[..at], Some(&topic[at + 1..])),
        None => (topic, None),
    }
}

/// Removes below `node`; tells whether `node` is empty now.
fn remove(root: &mut Node, levels: &[&[u8]], share: Option<&str>, mailbox: u64) {
    // Walk down to the deepest node that must stay whatever happens, so that an emptied chain is cut in one place and no
    // recursion follows the filter's depth.
    let Some((slot_level, path)) = slot_of(levels) else { return };
    if !root.drop_subscriber(path, slot_level, share, mailbox) {
        return;
    }
    root.prune(path);
}

/// Splits a filter into the levels to walk and whether it ends in `#`.
fn slot_of<'a, 'b>(levels: &'b [&'a [u8]]) -> Option<(Slot, &'b [&'a [u8]])> {
    match levels {
        [] => None,
        [path @ .., b"#"] => Some((Slot::Below, path)),
        path => Some((Slot::Here, path)),
    }
}

#[derive(Clone, Copy)]
enum Slot {
    Here,
    Below,
}

impl Keyed for Box<Node> {
    fn key(&self) -> &[u8] {
        &self.level
    }
}

impl Node {
    /// A node of this level, with nothing in it.
    pub(super) fn of(level: &[u8]) -> Self {
        Node { level: level.into(), children: Children::None, plus: None, ends: None }
    }

    fn is_empty(&self) -> bool {
        self.children.len() == 0 && self.plus.is_none() && self.ends.is_none()
    }

    fn child(&self, level: &[u8]) -> Option<&Node> {
        if level == b"+" { self.plus.as_deref() } else { self.children.get(level) }
    }

    fn child_mut(&mut self, level: &[u8]) -> Option<&mut Node> {
        if level == b"+" { self.plus.as_deref_mut() } else { self.children.get_mut(level) }
    }

    fn drop_child(&mut self, level: &[u8]) {
        if level == b"+" {
            self.plus = None;
        } else {
            self.children.remove(level);
        }
    }

    /// Takes a session out of the slot at the end of `path`; tells whether the node there is empty now.
    fn drop_subscriber(&mut self, path: &[&[u8]], slot: Slot, share: Option<&str>, mailbox: u64) -> bool {
        let mut node = self;
        for level in path {
            match node.child_mut(level) {
                Some(child) => node = child,
                None => return false,
            }
        }
        if let Some(ends) = &mut node.ends {
            ends.at(slot).remove(share, mailbox);
        }
        node.ends.take_if(|ends| ends.is_empty());
        node.is_empty()
    }

    /// Cuts the branch that leads along `path` to an empty node, as high up as nothing else hangs on it.
    fn prune(&mut self, path: &[&[u8]]) {
        let mut cut = 0;
        let mut node = &*self;
        for (depth, level) in path.iter().enumerate() {
            let only_this = node.ends.is_none() && node.children.len() + usize::from(node.plus.is_some()) == 1;
            if !only_this {
                cut = depth;
            }
            match node.child(level) {
                Some(child) => node = child,
                None => return,
            }
        }
        let mut node = self;
        for level in &path[..cut.min(path.len())] {
            match node.child_mut(level) {
                Some(child) => node = child,
                None => return,
            }
        }
        if let Some(level) = path.get(cut) {
            node.drop_child(level);
        }
    }
}

impl Drop for Node {
    /// Takes deep chains apart one by one: a filter of thousands of levels must not use up the stack.
    fn drop(&mut self) {
        let mut below = Vec::new();
        self.children.drain(&mut below);
        below.extend(self.plus.take());
        while let Some(mut node) = below.pop() {
            node.children.drain(&mut below);
            below.extend(node.plus.take());
        }
    }
}

impl Ends {
    fn at(&mut self, slot: Slot) -> &mut Subscribers {
        match slot {
            Slot::Here => &mut self.here,
            Slot::Below => &mut self.below,
        }
    }

    fn is_empty(&self) -> bool {
        matches!((&self.here, &self.below), (Subscribers::None, Subscribers::None))
    }
}

impl Subscribers {
    fn insert(&mut self, share: Option<&str>, subscription: Subscription) {
        match (&mut *self, share) {
            (Subscribers::None, None) => *self = Subscribers::One(subscription),
            (Subscribers::One(only), None) if only.mailbox.id() == subscription.mailbox.id() => *only = subscription,
            (Subscribers::None | Subscribers::One(_), _) => {
                let mut many = Box::<Many>::default();
                if let Subscribers::One(only) = std::mem::take(self) {
                    many.insert(None, only);
                }
                many.insert(share, subscription);
                *self = Subscribers::Many(many);
            }
            (Subscribers::Many(many), _) => many.insert(share, subscription),
        }
    }

    /// Removes a session.
    fn remove(&mut self, share: Option<&str>, mailbox: u64) {
        match self {
            Subscribers::One(only) if share.is_none() && only.mailbox.id() == mailbox => *self = Subscribers::None,
            Subscribers::None | Subscribers::One(_) => {}
            Subscribers::Many(many) => {
                many.remove(share, mailbox);
                if many.more.is_none() && many.list.len() <= 1 {
                    *self = many.list.pop().map_or(Subscribers::None, Subscribers::One);
                }
            }
        }
    }

    fn collect(&self, targets: &mut Vec<Target>, groups: &mut Vec<Arc<Group>>) {
        match self {
            Subscribers::None => {}
            Subscribers::One(only) => targets.push(only.clone().into()),
            Subscribers::Many(many) => {
                targets.extend(many.list.iter().cloned().map(Target::from));
                if let Some(more) = &many.more {
                    groups.extend(more.groups.iter().map(|(_, group)| Arc::clone(group)));
                }
            }
        }
    }
}

impl Many {
    fn insert(&mut self, share: Option<&str>, subscription: Subscription) {
        if let Some(name) = share {
            let groups = &mut self.more.get_or_insert_default().groups;
            let group = match groups.iter().position(|(n, _)| n.as_ref() == name) {
                Some(at) => &groups[at].1,
                None => {
                    groups.push((name.into(), Arc::default()));
                    &groups[groups.len() - 1].1
                }
            };
            group.insert(subscription);
            return;
        }
        let id = subscription.mailbox.id();
        if let Some(at) = self.position(id) {
            self.list[at] = subscription;
            return;
        }
        self.list.push(subscription);
        if let Some(index) = self.index_mut() {
            let at = index.len();
            index.insert(id, at);
        } else if self.list.len() > LINEAR {
            let index = self.list.iter().enumerate().map(|(at, s)| (s.mailbox.id(), at)).collect();
            self.more.get_or_insert_default().index = Some(index);
        }
    }

    fn remove(&mut self, share: Option<&str>, mailbox: u64) {
        if let Some(name) = share {
            if let Some(more) = &mut self.more {
                more.groups.retain(|(n, group)| n.as_ref() != name || !group.remove(mailbox));
            }
        } else if let Some(at) = self.position(mailbox) {
            self.list.swap_remove(at);
            let moved = self.list.get(at).map(|moved| moved.mailbox.id());
            if let Some(index) = self.index_mut() {
                index.remove(&mailbox);
                index.extend(moved.map(|moved| (moved, at)));
            }
            if let Some(more) = self.more.as_mut().filter(|_| self.list.len() <= LINEAR / 2) {
                more.index = None;
            }
            if self.list.len() * 4 < self.list.capacity() {
                self.list.shrink_to_fit();
            }
        }
        if self.more.as_ref().is_some_and(|more| more.index.is_none() && more.groups.is_empty()) {
            self.more = None;
        }
    }

    fn index_mut(&mut self) -> Option<&mut HashMap<u64, usize>> {
        self.more.as_mut()?.index.as_mut()
    }

    fn position(&self, mailbox: u64) -> Option<usize> {
        match self.more.as_ref().and_then(|more| more.index.as_ref()) {
            Some(index) => index.get(&mailbox).copied(),
            None => self.list.iter().position(|s| s.mailbox.id() == mailbox),
        }
    }
}

impl Target {
    /// A message on its way to this session, by a shared subscription or by one of its own.
    pub(super) fn delivery(&self, message: &Message, group: Option<Arc<Group>>) -> Delivery {
        Delivery {
            message: message.clone(),
            qos: self.qos.min(message.qos()),
            retain: self.retain_as_published && message.retain(),
            replay: false,
            ids: self.ids.clone(),
            group,
        }
    }
}

impl From<Subscription> for Target {
    fn from(s: Subscription) -> Self {
        let mut ids = SubscriptionIds::None;
        ids.add(s.id.map(NonZeroU32::get));
        Target { mailbox: s.mailbox, qos: s.qos, no_local: s.no_local, retain_as_published: s.retain_as_published, ids }
    }
}

/// Makes one target of a session's several: the highest QoS, all identifiers. `targets` comes back ordered by session.
pub(super) fn merge(targets: &mut Vec<Target>) {
    targets.sort_by_key(|t| t.mailbox.id());
    targets.dedup_by(|later, kept| {
        let same = later.mailbox.id() == kept.mailbox.id();
        if same {
            kept.qos = kept.qos.max(later.qos);
            // The client asked for its own messages, or for the flag, by at least one of its subscriptions.
            kept.no_local &= later.no_local;
            kept.retain_as_published |= later.retain_as_published;
            for id in later.ids.as_slice() {
                kept.ids.add(Some(*id));
            }
        }
        same
    });
}

#[cfg(test)]
mod tests;
