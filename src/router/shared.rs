//! A shared subscription: one filter and share name, many sessions, each message to one of them. Members that are away get
//! nothing while another is there. Held by the subscription tree, asked at every publish that matches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::tree::Subscription;

/// The members of one shared subscription, served in turn.
#[derive(Default)]
pub(crate) struct Group {
    members: RwLock<Vec<Subscription>>,
    next: AtomicUsize,
}

impl Group {
    /// Adds a member, or puts its new options in place of the old.
    pub(super) fn insert(&self, subscription: Subscription) {
        let mut members = self.members.write();
        match members.iter_mut().find(|m| m.mailbox.id() == subscription.mailbox.id()) {
            Some(member) => *member = subscription,
            None => members.push(subscription),
        }
    }

    /// Removes a member; tells whether the group is now empty.
    pub(super) fn remove(&self, mailbox: u64) -> bool {
        let mut members = self.members.write();
        members.retain(|m| m.mailbox.id() != mailbox);
        members.is_empty()
    }

    /// The member whose turn it is: the next that is connected, or, where all are away, the next.
    pub(crate) fn choose(&self) -> Option<Subscription> {
        let members = self.members.read();
        let count = members.len();
        if count == 0 {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turns = (0..count).map(|turn| &members[(first.wrapping_add(turn)) % count]);
        let mut turns = turns.clone().filter(|m| m.mailbox.is_connected()).chain(turns);
        turns.next().cloned()
    }
}

/// Two references to the same group.
pub(super) fn same(a: &Arc<Group>, b: &Arc<Group>) -> bool {
    Arc::ptr_eq(a, b)
}
