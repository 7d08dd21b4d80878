//! One kind of byte stream for every kind of listener, so that the edge is written once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::websocket::WebSocket;

/// A connection's two streams of bytes.
pub(crate) enum ByteStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    WebSocket(Box<WebSocket>),
}

impl ByteStream {
    /// The other side's address, where it has one.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            ByteStream::Tcp(stream) => stream.peer_addr().ok(),
            ByteStream::Unix(_) => None,
            ByteStream::WebSocket(socket) => socket.tcp().peer_addr().ok(),
        }
    }
}

impl ByteStream {
    /// The socket, where the bytes of packets are all that is written to it.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            ByteStream::Tcp(stream) => Some(stream.as_fd()),
            ByteStream::Unix(stream) => Some(stream.as_fd()),
            ByteStream::WebSocket(_) => None,
        }
    }
}

/// A connection that was accepted, before its transport's own handshake.
pub(crate) struct Accepted {
    stream: ByteStream,
    websocket: bool,
}

impl Accepted {
    pub(crate) fn new(stream: ByteStream, websocket: bool) -> Self {
        Accepted { stream, websocket }
    }

    /// The other side's address, where it has one.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer()
    }

    /// Carries out the transport's own handshake, if it has one. `max_packet` is the largest MQTT packet that is taken.
    ///
    /// # Errors
    /// The handshake failed: the connection is of no use.
    pub(crate) async fn establish(self, max_packet: usize) -> io::Result<ByteStream> {
        match (self.stream, self.websocket) {
            (ByteStream::Tcp(stream), true) => {
                // A message may hold several packets, or parts of them.
                let max_message = max_packet.saturating_add(64 * 1024);
                Ok(ByteStream::WebSocket(Box::new(WebSocket::accept(stream, max_message).await?)))
            }
            (stream, _) => Ok(stream),
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            ByteStream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            ByteStream::WebSocket(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            ByteStream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            ByteStream::WebSocket(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            ByteStream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            ByteStream::WebSocket(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            ByteStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            ByteStream::WebSocket(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
