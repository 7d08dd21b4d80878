//! From a topic to the sessions that subscribe it: the subscription tree, shared groups, retained messages, and the mailboxes
//! that messages are put into. Called by the edge; it knows no socket and no clock, and its cost follows the depth of a
//! topic, never the number of filters, topics or clients.

mod children;
mod mailbox;
mod message;
mod retained;
#[cfg(test)]
pub(crate) mod samples;
mod shared;
mod space;
mod tree;

pub(crate) use mailbox::{Caps as QueueCaps, Held, Mailbox, Signal, WakeFor};
pub(crate) use message::{Delivery, Message, SubscriptionIds};
pub(crate) use retained::RetainOutcome;
pub(crate) use shared::{Group, pass_on};
pub(crate) use space::{Publisher, Space};
pub(crate) use tree::Subscription;

/// The share name and the filter of a subscription whose filter was found valid.
pub(crate) fn split_share(filter: &str) -> (Option<&str>, &str) {
    match crate::wire::SharedFilter::parse(filter) {
        Ok(Some(shared)) => (Some(shared.share_name), shared.filter),
        _ => (None, filter),
    }
}
