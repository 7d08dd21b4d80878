//! The broker's core behaviour as its clients see it: the real binary, raw frames, and a clock that stands still, in MQTT 3.1,
//! 3.1.1 and 5 where they differ. One module for each part of the specification. Limits are tested elsewhere.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod aliases;
mod flow;
mod identity;
mod keep_alive;
mod kit;
mod profiles;
mod properties;
mod qos;
mod queues;
mod resume;
mod retained;
mod sessions;
mod shared;
mod subscriptions;
mod takeover;
mod wills;
