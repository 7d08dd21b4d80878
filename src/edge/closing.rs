//! How a connection is left: its session is parked, handed over or ended, its will is seen to, and its last bytes are given the
//! time to arrive.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::connection::Settings;
use super::end::End;
use super::{give_way, scratch};
use crate::clock::Now;
use crate::hub::{Hub, WillMay};
use crate::net::ByteStream;
use crate::router::pass_on;
use crate::session::{Parked, PendingWill};

/// Milliseconds that a connection that is being closed may take to accept its last bytes.
pub(super) const LINGER: u64 = 2_000;
/// Reads of what is thrown away before other connections are let in.
const READS: usize = 8;

/// Parks the session, hands it over or ends it, and sees to the will.
pub(super) fn leave(hub: &Arc<Hub>, settings: Settings, end: &End, now: Now) {
    let Settings { client, owner, mut session, will, session_expiry, .. } = settings;
    let account = Arc::clone(&client.account);
    let number = session.mailbox().id();
    let publisher = session.mailbox().client();
    let will = will.filter(|_| end.publishes_will()).map(|(message, delay)| {
        let due = now.mono + u64::from(delay) * 1000;
        PendingWill { client: Arc::clone(&client), message, publisher, due }
    });
    account.leave();
    hub.admission.leave();
    client.activity.leave();
    if session_expiry == 0 {
        hub.end_session(&account, Parked { session, expires: None, will }, now);
        account.registry().release(&client.client_id, owner, None);
        return;
    }
    let will = match will {
        Some(will) if will.due <= now.mono => {
            hub.publish_due_will(will, now);
            None
        }
        other => other,
    };
    session.park(&hub.stats);
    // What came by a shared subscription need not wait for this client where another member is there.
    let mut shared = session.take_shared(|group| group.has_other(number));
    shared.extend(session.mailbox().take_shared());
    for delivery in pass_on(shared, number, &hub.stats) {
        session.mailbox().push(delivery, &hub.stats);
    }
    let expires = (session_expiry != u32::MAX).then(|| now.mono + u64::from(session_expiry) * 1000);
    let parked = Box::new(Parked { session, expires, will });
    hub.let_go(&account, &client.client_id, owner, Some(parked));
}

/// Where the backend keeps the client's will: tells whether it must forget it instead of publishing it, because it may not be
/// published or not yet. One that is accepted and over the limit is published by Weir when it may be.
pub(super) fn forget_will(hub: &Hub, settings: &mut Settings, end: &End, now: Now) -> bool {
    if !hub.relay.as_ref().is_some_and(|relay| relay.keeps_wills()) {
        return false;
    }
    let Some((message, _)) = settings.will.take().filter(|_| end.publishes_will()) else { return false };
    let publisher = settings.session.mailbox().client();
    let will = PendingWill { client: Arc::clone(&settings.client), message, publisher, due: now.mono };
    match hub.ask_for_will(&will, now) {
        WillMay::BePublished => {
            if will.message.retain() {
                hub.retain(&settings.client.account, &settings.plan.caps, &will.message, now);
            }
            return false;
        }
        WillMay::Later(due) => hub.janitor.enter_will(PendingWill { due, ..will }, &hub.stats),
        WillMay::Never => {}
    }
    true
}

/// Writes all of it, unless the other side does not take it in time.
pub(super) async fn write_all(hub: &Hub, stream: &mut ByteStream, bytes: &[u8]) {
    let until = hub.clock.sleep_until(hub.clock.now().mono + LINGER);
    tokio::select! {
        // A client that is gone does not hear it; that is all there is to it.
        written = stream.write_all(bytes) => {
            if written.is_ok() {
                hub.stats.network_bytes_out.add(bytes.len() as u64);
            }
        }
        () = until => {}
    }
}

/// Closes our direction and reads what still comes, so that unread bytes do not make the system discard what we have said
/// last; ends when the client has closed too, or in time.
pub(super) async fn linger(hub: &Hub, stream: &mut ByteStream) {
    let until = hub.clock.sleep_until(hub.clock.now().mono + LINGER);
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let ended = poll_fn(|cx| {
            scratch::with(|scratch| {
                for _ in 0..READS {
                    let mut read = ReadBuf::new(&mut scratch.read);
                    if ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)).is_err() || read.filled().is_empty() {
                        return Poll::Ready(());
                    }
                    hub.stats.network_bytes_in.add(read.filled().len() as u64);
                }
                give_way(cx);
                Poll::Pending
            })
        });
        ended.await;
    };
    tokio::select! {
        () = drain => {}
        () = until => {}
    }
}
