//! One kind of byte stream for every kind of backend.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::embedded::Link;
use super::upstream;

/// A client's stream of bytes to the backend and back.
pub(crate) enum Stream {
    Upstream(upstream::Stream),
    Embedded(Box<Link>),
}

impl From<upstream::Stream> for Stream {
    fn from(stream: upstream::Stream) -> Self {
        Stream::Upstream(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Upstream(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Embedded(link) => Pin::new(link).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Upstream(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Embedded(link) => Pin::new(link).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Upstream(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Embedded(link) => Pin::new(link).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Upstream(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Embedded(link) => Pin::new(link).poll_shutdown(cx),
        }
    }
}
