//! How bytes leave a connection: what is small by the thread's outbox, together with that of others, what is much by a write of
//! its own; and what becomes of bytes that the socket does not take. Called by the connection's loop, with all that it has to say.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::connection::{Connection, UNSENT_HIGH};
use super::end::{End, Step};
use super::scratch::Scratch;
use super::{counted, outbox};
use crate::clock::Now;
use crate::wire::ReasonCode;

/// The end of a connection whose socket fails.
pub(super) fn lost(error: io::Error) -> Box<End> {
    End::lost(ReasonCode::UnspecifiedError, error.to_string())
}

impl Connection {
    /// What was posted and not sent is still to be written, before all else; tells whether all was sent.
    pub(super) fn take_back(&mut self, landed: io::Result<Vec<u8>>) -> Step<bool> {
        let rest = landed.map_err(lost)?;
        self.hub.stats.network_bytes_out.sub(rest.len() as u64);
        let all = rest.is_empty();
        self.unsent.put_first(rest);
        Ok(all)
    }

    /// Posts what there is, if it is little, and someone empties the outbox; tells whether.
    fn post(&mut self, now: Now, out: &[u8]) -> bool {
        let (true, Some(socket)) = (out.len() <= outbox::SMALL, self.stream.socket()) else { return false };
        self.posted = outbox::post(socket, self.settings.session.mailbox(), out, now.mono);
        if self.posted {
            counted::written(out.len());
        }
        self.posted
    }

    /// Writes what there is; tells whether the socket took any of it, and may take more.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Now, scratch: &mut Scratch) -> Step<bool> {
        if self.posted {
            self.unsent.append(&scratch.out);
            scratch.out.clear();
            return Ok(false);
        }
        if self.unsent.is_empty() {
            if scratch.out.is_empty() {
                return Ok(false);
            }
            if self.post(now, &scratch.out) {
                scratch.out.clear();
                return Ok(false);
            }
            let written = match Pin::new(&mut self.stream).poll_write(cx, &scratch.out) {
                Poll::Ready(written) => written.map_err(lost)?,
                Poll::Pending => 0,
            };
            counted::written(written);
            self.unsent.append(&scratch.out[written..]);
            scratch.out.clear();
            return Ok(written > 0);
        }
        self.unsent.append(&scratch.out);
        scratch.out.clear();
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, self.unsent.bytes()) else {
            return Ok(false);
        };
        let written = written.map_err(lost)?;
        if written > 0 && self.unsent.len() >= UNSENT_HIGH {
            // We do not listen to it just now, but it takes what we say: it is there.
            self.heard = now.mono;
        }
        counted::written(written);
        self.unsent.advance(written);
        Ok(written > 0)
    }

    /// Waits until what was posted is sent or has come back.
    pub(super) async fn land(&mut self) {
        let landed = {
            let mailbox = self.settings.session.mailbox();
            let _unless_landed = outbox::Abandoning(mailbox);
            poll_fn(|cx| mailbox.poll_landed(cx.waker())).await
        };
        self.posted = false;
        // Where the socket is gone, what else there is to say meets that too.
        let _ = self.take_back(landed);
    }
}
