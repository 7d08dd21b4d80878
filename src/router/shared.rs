//! A shared subscription: one filter and share name, many sessions, each message to one of them. Members that are away get
//! nothing while another is there. Held by the subscription tree, asked at every publish that matches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::tree::{Subscription, Target};
use super::{Delivery, Mailbox, Message};
use crate::stats::Stats;

/// The members of one shared subscription, served in turn.
#[derive(Default)]
pub(crate) struct Group {
    members: RwLock<Vec<Subscription>>,
    next: AtomicUsize,
}

impl Group {
    /// Adds a member, or puts its new options in place of the old.
    pub(crate) fn insert(&self, subscription: Subscription) {
        let mut members = self.members.write();
        match members.iter_mut().find(|m| m.mailbox.id() == subscription.mailbox.id()) {
            Some(member) => *member = subscription,
            None => members.push(subscription),
        }
    }

    /// Removes a member; tells whether the group is now empty.
    pub(crate) fn remove(&self, mailbox: u64) -> bool {
        let mut members = self.members.write();
        members.retain(|m| m.mailbox.id() != mailbox);
        members.is_empty()
    }

    /// Whether a member other than this one is connected.
    pub(crate) fn has_other(&self, mailbox: u64) -> bool {
        self.members.read().iter().any(|m| m.mailbox.id() != mailbox && m.mailbox.is_connected())
    }

    /// The member whose turn it is: the next that is connected, or, where all are away, the next.
    pub(crate) fn choose(&self) -> Option<Subscription> {
        let members = self.members.read();
        let (first, fit) = self.turn(&members, Mailbox::is_connected)?;
        Some(fit.unwrap_or(first).clone())
    }

    /// Gives the message to the next member that is connected and has room for it; false: there is none now.
    pub(crate) fn deal(self: &Arc<Self>, message: &Message, stats: &Stats) -> bool {
        let member = self.turn(&self.members.read(), Mailbox::has_room).and_then(|(_, fit)| fit.cloned());
        let Some(target) = member.map(Target::from) else { return false };
        target.mailbox.push(target.delivery(message, Some(Arc::clone(self))), stats)
    }

    /// The member whose turn it is, and the next from there on that is fit for it.
    fn turn<'m>(
        &self,
        members: &'m [Subscription],
        fit: impl Fn(&Mailbox) -> bool,
    ) -> Option<(&'m Subscription, Option<&'m Subscription>)> {
        let count = members.len();
        if count == 0 {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let member = |turn: usize| &members[first.wrapping_add(turn) % count];
        let passed_over = (0..count).find(|turn| fit(&member(*turn).mailbox));
        if let Some(passed_over @ 1..) = passed_over {
            // Their turns are over too: else whoever comes after those who are away would have them all.
            self.next.fetch_add(passed_over, Ordering::Relaxed);
        }
        Some((member(0), passed_over.map(member)))
    }
}

/// Gives each of these messages, which `leaving` did not finish, to another member of its group that is connected; those for
/// which there is none come back.
pub(crate) fn pass_on(deliveries: Vec<Delivery>, leaving: u64, stats: &Stats) -> Vec<Delivery> {
    let mut kept = Vec::new();
    for delivery in deliveries {
        let member = delivery.group.as_ref().and_then(|group| group.choose());
        match member {
            Some(member) if member.mailbox.id() != leaving && member.mailbox.is_connected() => {
                let target = Target::from(member);
                target.mailbox.push(target.delivery(&delivery.message, delivery.group.clone()), stats);
            }
            _ => kept.push(delivery),
        }
    }
    kept
}

/// Two references to the same group.
pub(super) fn same(a: &Arc<Group>, b: &Arc<Group>) -> bool {
    Arc::ptr_eq(a, b)
}
