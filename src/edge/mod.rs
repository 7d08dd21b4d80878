//! One client's connection: the handshake, the loop that reads, handles and writes, and the end. The only place where a
//! client's packet meets a hook. Called by the broker with each accepted stream; one task a connection, and nothing that
//! happens in it reaches another but through the router.

mod answer;
mod authenticate;
mod claim;
mod closing;
mod connection;
mod counted;
mod end;
mod handshake;
mod inbound;
mod outbound;
pub(crate) mod outbox;
mod own_topics;
mod relayed;
mod scratch;
mod subscriptions;
mod tallies;
mod writing;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;

pub(crate) use own_topics::is_own;

use self::connection::Serving;
use crate::hub::Hub;
use crate::net::Accepted;

/// Serves a connection, accepted at `since` (monotonic milliseconds), from its first byte to its last.
pub(crate) async fn serve(hub: Arc<Hub>, accepted: Accepted, since: u64) {
    hub.stats.connections.add(1);
    hub.stats.connections_opened.add(1);
    let open = Open(Arc::clone(&hub));
    if let Some(connection) = handshake::handshake(&hub, accepted, since, open).await {
        // A task of its own: that of the handshake, with all it took, is given back.
        tokio::spawn(Serving::new(connection));
    }
}

/// Counts the connection as open for as long as it lives, however it ends.
struct Open(Arc<Hub>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stats.connections.sub(1);
    }
}

/// Ends the turn of a connection that has more to do. What others have posted has waited long enough, and is sent. The task is woken
/// again once the thread has looked at the sockets: if it were only put at the end of the queue, it would have turn after turn while
/// nobody else is there, and who comes meanwhile would wait for all of them.
fn give_way(cx: &mut Context<'_>) {
    outbox::flush();
    // The first poll arranges for the second, which nobody waits for.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
