//! One client's connection: the handshake, the loop that reads, handles and writes, and the end. The only place where a
//! client's packet meets a hook. Called by the broker with each accepted stream; one task a connection, and nothing that
//! happens in it reaches another but through the router.

mod answer;
mod authenticate;
mod claim;
mod closing;
mod connection;
mod end;
mod handshake;
mod inbound;
mod outbound;
mod own_topics;
mod relayed;
mod scratch;
mod subscriptions;
mod tallies;

use std::sync::Arc;

use crate::hub::Hub;
use crate::net::Accepted;

/// Serves a connection, accepted at `since` (monotonic milliseconds), from its first byte to its last.
pub(crate) async fn serve(hub: Arc<Hub>, accepted: Accepted, since: u64) {
    hub.stats.connections.add(1);
    hub.stats.connections_opened.add(1);
    let open = Open(&hub);
    // The handshake's state is boxed, and given back before the connection settles down to work.
    let connection = Box::pin(handshake::handshake(&hub, accepted, since)).await;
    if let Some(connection) = connection {
        connection.run().await;
    }
    drop(open);
}

/// Counts the connection as open for as long as it lives, however it ends.
struct Open<'a>(&'a Hub);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.stats.connections.sub(1);
    }
}
