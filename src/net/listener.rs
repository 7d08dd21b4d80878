//! A place where clients knock: bound before anything else is started, so that a port in use is an error of the start and not
//! of a task somewhere.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Accepted, ByteStream};
use crate::config::{ListenAddress, Protocol};

pub(crate) enum Listener {
    Tcp { listener: TcpListener, websocket: bool },
    Unix(UnixListener, PathBuf),
}

/// Where a listener listens, the port that the system chose filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundAddress::Tcp(address) => address.fmt(f),
            BoundAddress::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Connections that may wait to be accepted: a fleet that comes back at once does not meet a closed door.
const BACKLOG: i32 = 4096;

/// How long a connection may be silent before the system asks whether the other side is there, and how often it asks then.
const SILENCE: Duration = Duration::from_secs(600);
const PROBES: Duration = Duration::from_secs(60);

impl Listener {
    /// Binds an address. Must be called within the runtime.
    ///
    /// # Errors
    /// The system's: address in use, not allowed, not there.
    pub(crate) fn bind(address: &ListenAddress, protocol: Protocol) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(socket2::Protocol::TCP))?;
                socket.set_reuse_address(true)?;
                socket.set_nonblocking(true)?;
                // Both are handed on to every connection that is accepted. A packet is written whole: waiting for more would only
                // delay it. And a client without keep-alive whose machine is gone must be found out some time.
                socket.set_tcp_nodelay(true)?;
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(PROBES))?;
                socket.bind(&(*address).into())?;
                socket.listen(BACKLOG)?;
                let listener = TcpListener::from_std(socket.into())?;
                Ok(Listener::Tcp { listener, websocket: protocol == Protocol::Ws })
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                Ok(Listener::Unix(UnixListener::bind(path)?, path.clone()))
            }
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn address(&self) -> io::Result<BoundAddress> {
        match self {
            Listener::Tcp { listener, .. } => listener.local_addr().map(BoundAddress::Tcp),
            Listener::Unix(_, path) => Ok(BoundAddress::Unix(path.clone())),
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The system's: most pass by themselves (out of file descriptors, a connection that was gone before it was accepted).
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp { listener, websocket } => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::new(ByteStream::Tcp(stream), *websocket))
            }
            Listener::Unix(listener, _) => Ok(Accepted::new(ByteStream::Unix(listener.accept().await?.0), false)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            // It is of no use to anyone any more; if it is gone already, so much the better.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket that an earlier run left behind: one that nobody answers. A file that is no socket stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket has this name")),
        // Nothing is there, or the system says why it cannot be had when the socket is bound.
        Err(_) => Ok(()),
    }
}
