//! Messages, deliveries and mailboxes for the tests of the router and of the session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Delivery, Mailbox, Message, QueueCaps, SubscriptionIds};
use crate::wire::{Property, PropertyBuf, QoS, Will};

/// Caps that no test meets unless it means to.
pub(crate) const ROOMY: QueueCaps = QueueCaps { messages: 100_000, bytes: 1 << 30, replay: 100_000 };

/// What a test says of a message; the rest is plain.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) retain: bool,
    pub(crate) publisher: u64,
    /// Message Expiry Interval in seconds.
    pub(crate) expiry: Option<u32>,
    /// When it was taken, in monotonic milliseconds.
    pub(crate) received: u64,
}

impl Sample<'_> {
    pub(crate) fn message(&self, topic: &str, qos: QoS) -> Message {
        let mut properties = PropertyBuf::new();
        if let Some(expiry) = self.expiry {
            properties.push(Property::MessageExpiryInterval(expiry));
        }
        let Sample { payload, retain, .. } = *self;
        let will = Will { qos, retain, properties: properties.as_properties(), topic, payload };
        Message::from_will(&will).published(self.publisher, self.received)
    }
}

pub(crate) fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

/// A delivery as it comes from an ordinary subscription.
pub(crate) fn delivery(message: Message) -> Delivery {
    Delivery { qos: message.qos(), message, retain: false, replay: false, ids: SubscriptionIds::None, group: None }
}

pub(crate) fn mailbox() -> Arc<Mailbox> {
    static CLIENTS: AtomicU64 = AtomicU64::new(1);
    Arc::new(Mailbox::new(ROOMY, CLIENTS.fetch_add(1, Ordering::Relaxed)))
}

/// Everything that is in a mailbox.
pub(crate) fn take_all(mailbox: &Mailbox) -> Vec<Delivery> {
    let mut taken = VecDeque::new();
    mailbox.take(&mut taken, u64::MAX, usize::MAX, super::Held::default());
    taken.into()
}

/// The levels of topics that are few enough to meet: some empty, some with a `$`.
fn level() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "ab", "", "$a"])
}

/// A topic name of up to five levels.
pub(crate) fn topic() -> impl Strategy<Value = String> {
    vec(level(), 1..=5).prop_map(|levels| levels.join("/")).prop_filter("a topic is not empty", |t| !t.is_empty())
}

/// A topic filter of up to five levels, with wildcards wherever they may be.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (vec(level, 0..=5), any::<bool>())
        .prop_map(|(mut levels, all_below)| {
            levels.extend(all_below.then_some("#"));
            levels.join("/")
        })
        .prop_filter("a filter is not empty", |filter| !filter.is_empty())
}

/// The nodes that a tree by level needs for these: each beginning of each of them is one.
pub(crate) fn nodes_needed<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    let mut beginnings = std::collections::BTreeSet::new();
    for text in texts {
        let mut levels: Vec<&str> = text.split('/').collect();
        if levels.last() == Some(&"#") {
            levels.pop();
        }
        beginnings.extend((1..=levels.len()).map(|end| levels[..end].to_vec()));
    }
    beginnings.len()
}
