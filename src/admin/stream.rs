//! The byte stream of an HTTP connection: as the socket, but who does not read what is sent is given up, and before the socket is
//! closed, what still comes is thrown away for a moment, so that the answer to a request that was not read to its end arrives.
//! Used by the server alone.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Clock;

/// How long the other side may take nothing of what it is sent, in milliseconds.
const PATIENCE: u64 = 30_000;
/// How long what still comes is thrown away, in milliseconds, and how many bytes of it.
const LINGER: u64 = 2_000;
const MAX_THROWN_AWAY: u64 = 256 << 20;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Stream<T> {
    inner: T,
    clock: Clock,
    /// Until then it must take something.
    stalled: Option<Sleep>,
    closing: Option<Closing>,
}

struct Closing {
    until: Sleep,
    buffer: Box<[u8]>,
    thrown_away: u64,
}

impl<T> Stream<T> {
    pub(super) fn new(inner: T, clock: Clock) -> Self {
        Stream { inner, clock, stalled: None, closing: None }
    }

    fn patience(&self, millis: u64) -> Sleep {
        Box::pin(self.clock.sleep_until(self.clock.now().mono + millis))
    }

    /// What came of a write: a stall that lasts too long is an error.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        if self.stalled.is_none() {
            self.stalled = Some(self.patience(PATIENCE));
        }
        match self.stalled.as_mut().map(|stalled| stalled.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            let buffer = vec![0; 16 * 1024].into();
            this.closing = Some(Closing { until: this.patience(LINGER), buffer, thrown_away: 0 });
        }
        let Some(closing) = &mut this.closing else { return Poll::Ready(Ok(())) };
        while closing.thrown_away < MAX_THROWN_AWAY && closing.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut closing.buffer);
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            closing.thrown_away += buf.filled().len() as u64;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::clock::ManualClock;
    use crate::limits::UnixMillis;

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_for_so_long_is_let_go_and_who_takes_a_little_is_not() {
        for vectored in [false, true] {
            let clock = ManualClock::at(UnixMillis(0));
            let (ours, mut theirs) = duplex(4);
            let mut stream = Stream::new(ours, Clock::Manual(Arc::clone(&clock)));
            let mut write = || {
                let (stream, cx) = (Pin::new(&mut stream), &mut Context::from_waker(Waker::noop()));
                match vectored {
                    false => stream.poll_write(cx, b"x"),
                    true => stream.poll_write_vectored(cx, &[IoSlice::new(b"x")]),
                }
            };
            let wait = |millis| clock.advance(Duration::from_millis(millis));
            for _ in 0..4 {
                assert!(matches!(write(), Poll::Ready(Ok(1))), "there is room for it");
                wait(PATIENCE);
            }
            for _ in 0..3 {
                assert!(write().is_pending());
                wait(PATIENCE - 1);
                assert!(write().is_pending());
                assert_eq!(theirs.read_u8().await.unwrap(), b'x');
                assert!(matches!(write(), Poll::Ready(Ok(1))));
            }
            assert!(write().is_pending());
            wait(PATIENCE);
            let Poll::Ready(Err(error)) = write() else { panic!("it waits still") };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }
}
