//! Listeners, and the byte streams that come out of them. Called by the broker, which hands each stream to the edge. It knows
//! nothing of MQTT but the name of its WebSocket subprotocol.

mod listener;
mod stream;
mod websocket;

pub use listener::BoundAddress;
pub(crate) use listener::Listener;
pub(crate) use stream::{Accepted, ByteStream};
