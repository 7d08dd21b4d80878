//! The embedded broker as the edge meets it: clients that write frames to a link and read frames from it.

mod bounds;
mod kit;
mod messages;
mod retained;
mod router_death;
mod sessions;
mod shared;
mod subscriptions;
