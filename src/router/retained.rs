//! Retained messages: the last message of each topic that asked to be kept, found again by filter. A tree by topic level, so
//! that a filter walks what it matches and nothing else. Called by [`Space`](super::Space) under its lock.

use std::collections::BTreeMap;

use super::Message;

#[derive(Default)]
pub(super) struct Retained {
    root: Node,
    messages: usize,
    bytes: u64,
    /// When expired messages may be looked for again, in monotonic milliseconds.
    next_purge: u64,
}

#[derive(Default)]
struct Node {
    // Ordered, so that retained messages come in the same order each time.
    children: BTreeMap<Box<[u8]>, Box<Node>>,
    message: Option<Message>,
}

/// What became of a message that asked to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetainOutcome {
    /// It is kept, or an empty one has removed what was kept.
    Done,
    /// The profile holds as many retained messages as `max_retained_messages` allows.
    TooMany,
    /// The profile's retained messages are as large as `max_retained_bytes` allows.
    TooLarge,
}

impl Retained {
    /// Keeps the message as its topic's, in place of the one before; an empty payload removes that [MQTT-3.3.1-6], and is not
    /// itself kept [MQTT-3.3.1-7].
    pub(super) fn set(&mut self, message: &Message, max_messages: usize, max_bytes: u64) -> RetainOutcome {
        let topic = &message.topic_bytes()[2..];
        if message.payload().is_empty() {
            self.remove(topic);
            return RetainOutcome::Done;
        }
        let old = self.get(topic).map(|m| m.size() as u64);
        let bytes = self.bytes - old.unwrap_or(0) + message.size() as u64;
        if old.is_none() && self.messages >= max_messages {
            return RetainOutcome::TooMany;
        }
        if bytes > max_bytes {
            return RetainOutcome::TooLarge;
        }
        let mut node = &mut self.root;
        for level in topic.split(|b| *b == b'/') {
            node = node.children.entry(level.into()).or_default();
        }
        node.message = Some(message.clone());
        self.messages += usize::from(old.is_none());
        self.bytes = bytes;
        RetainOutcome::Done
    }

    /// Removes a topic's message, and the nodes that only it needed.
    pub(super) fn remove(&mut self, topic: &[u8]) {
        let levels: Vec<&[u8]> = topic.split(|b| *b == b'/').collect();
        let Some(message) = self.node_mut(&levels).and_then(|node| node.message.take()) else { return };
        self.messages -= 1;
        self.bytes -= message.size() as u64;
        // Cut at the deepest node on the way that holds something else.
        let mut cut = 0;
        let mut node = &self.root;
        for (depth, level) in levels.iter().enumerate() {
            if node.message.is_some() || node.children.len() != 1 {
                cut = depth;
            }
            let Some(child) = node.children.get(*level) else { return };
            node = child;
        }
        if node.children.is_empty()
            && let Some(parent) = self.node_mut(&levels[..cut])
        {
            parent.children.remove(levels[cut]);
        }
    }

    /// Removes every message whose expiry interval has passed at `now`; tells how many. Looking through all of them is not
    /// for every publish: for a second after that none are looked for.
    pub(super) fn purge(&mut self, now: u64) -> usize {
        if now < self.next_purge {
            return 0;
        }
        self.next_purge = now + 1_000;
        let mut expired = Vec::new();
        let mut ways = vec![&self.root];
        while let Some(node) = ways.pop() {
            expired.extend(node.message.iter().filter(|message| message.expiry_left(now).is_err()).cloned());
            ways.extend(node.children.values().map(Box::as_ref));
        }
        for message in &expired {
            self.remove(&message.topic_bytes()[2..]);
        }
        expired.len()
    }

    /// Removes a topic's message if its expiry interval has passed at `now`.
    pub(super) fn remove_expired(&mut self, topic: &[u8], now: u64) {
        if self.get(topic).is_some_and(|message| message.expiry_left(now).is_err()) {
            self.remove(topic);
        }
    }

    /// Every retained message that a filter matches.
    pub(super) fn matches(&self, filter: &str) -> Vec<Message> {
        let levels: Vec<&[u8]> = filter.as_bytes().split(|b| *b == b'/').collect();
        let mut found = Vec::new();
        let mut ways: Vec<(&Node, usize)> = vec![(&self.root, 0)];
        while let Some((node, depth)) = ways.pop() {
            // A leading wildcard does not match a topic that begins with `$` [MQTT-4.7.2-1].
            let visible = |name: &[u8]| depth > 0 || !name.starts_with(b"$");
            match levels.get(depth).copied() {
                None => found.extend(node.message.clone()),
                Some(b"#") => {
                    // `a/#` matches `a` too. Below it nothing is hidden any more.
                    found.extend(node.message.clone());
                    let mut below: Vec<&Node> = Vec::new();
                    below.extend(node.children.iter().rev().filter(|(name, _)| visible(name)).map(|(_, n)| &**n));
                    while let Some(node) = below.pop() {
                        found.extend(node.message.clone());
                        below.extend(node.children.values().rev().map(|child| &**child));
                    }
                }
                Some(b"+") => {
                    let below = node.children.iter().rev().filter(|(name, _)| visible(name));
                    ways.extend(below.map(|(_, child)| (child.as_ref(), depth + 1)));
                }
                Some(level) => ways.extend(node.children.get(level).map(|child| (child.as_ref(), depth + 1))),
            }
        }
        found
    }

    fn get(&self, topic: &[u8]) -> Option<&Message> {
        let mut node = &self.root;
        for level in topic.split(|b| *b == b'/') {
            node = node.children.get(level)?;
        }
        node.message.as_ref()
    }

    fn node_mut(&mut self, levels: &[&[u8]]) -> Option<&mut Node> {
        let mut node = &mut self.root;
        for level in levels {
            node = node.children.get_mut(*level)?;
        }
        Some(node)
    }
}

impl Drop for Node {
    /// Takes deep chains apart one by one: a topic of thousands of levels must not use up the stack.
    fn drop(&mut self) {
        let mut below: Vec<Box<Node>> = std::mem::take(&mut self.children).into_values().collect();
        while let Some(mut node) = below.pop() {
            below.extend(std::mem::take(&mut node.children).into_values());
        }
    }
}

#[cfg(test)]
mod tests;
