//! One connection of the load generator to a broker: packets out of bytes and bytes out of packets, with as little work
//! for each message as there can be. Called by the clients of `load`; it counts nothing and knows no case.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::packets::{self, Packet};

/// What ends a run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Failure>;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one read takes at most, in bytes.
const READ: usize = 256 << 10;
/// Addresses to connect from, as one has less than 30,000 ports and those rest for a minute after use.
const SOURCES: u32 = 16;

thread_local! {
    /// What is read into, by all connections: an idle one holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection, past its CONNACK.
pub struct Connection {
    read: OwnedReadHalf,
    /// `None` once another thread writes.
    write: Option<OwnedWriteHalf>,
    /// What was read of a packet that is not all there yet.
    left: Vec<u8>,
    /// What is to be written.
    pub out: Vec<u8>,
}

impl Connection {
    /// Connects, and waits until the broker has accepted.
    pub async fn open(broker: SocketAddr, client_id: &str, credentials: Option<(&str, &str)>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let source = NEXT.fetch_add(1, Ordering::Relaxed) % SOURCES;
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + source), 0).into())?;
        let stream = timeout(PATIENCE, socket.connect(broker)).await??;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut connection = Self { read, write: Some(write), left: vec![], out: vec![] };
        packets::connect(&mut connection.out, client_id, credentials);
        let accepted = |packet: Packet<'_>| match packet {
            Packet::ConnAck(code) => Some(code),
            _ => None,
        };
        match connection.exchange(accepted).await? {
            0 => Ok(connection),
            code => Err(format!("{client_id} was refused with return code {code}").into()),
        }
    }

    /// Subscribes all filters in one packet, and waits until the broker has granted them.
    pub async fn subscribe(&mut self, filters: &[String], qos: u8) -> Result<()> {
        packets::subscribe(&mut self.out, filters, qos);
        let granted = |packet: Packet<'_>| match packet {
            Packet::SubAck(codes) => Some(codes.iter().all(|&code| code == qos)),
            _ => None,
        };
        match self.exchange(granted).await? {
            true => Ok(()),
            false => Err(format!("not all of {} filters were granted", filters.len()).into()),
        }
    }

    /// Waits until the broker has handled all that was sent to it, as it answers in order.
    pub async fn ping(&mut self) -> Result<()> {
        self.out.extend(packets::PINGREQ);
        self.exchange(|packet| matches!(packet, Packet::PingResp).then_some(())).await
    }

    /// Says goodbye, and waits until the broker has closed.
    pub async fn leave(mut self) -> Result<()> {
        self.out.extend(packets::DISCONNECT);
        let closed = poll_fn(|cx| {
            if self.poll_flush(cx)?.is_pending() {
                return Poll::Pending;
            }
            self.poll_packets(cx, |_, _| ())
        });
        // Some brokers reset a connection that said goodbye: closed is closed.
        let _ = timeout(PATIENCE, closed).await?;
        Ok(())
    }

    /// Writes what is to be written, and reads until `wanted` gives something, which every packet until then meets.
    pub async fn exchange<T>(&mut self, mut wanted: impl FnMut(Packet<'_>) -> Option<T>) -> Result<T> {
        let mut found = None;
        let answered = poll_fn(|cx| {
            let flushed = self.poll_flush(cx)?;
            let each = |packet: Packet<'_>, _: &mut Vec<u8>| {
                if let Some(answer) = wanted(packet) {
                    found.get_or_insert(answer);
                }
            };
            let closed = self.poll_packets(cx, each)?;
            match (found.is_some() && flushed.is_ready(), closed) {
                (true, _) => Poll::Ready(Result::Ok(())),
                (false, Poll::Ready(())) => Poll::Ready(Err("the broker closed the connection".into())),
                (false, Poll::Pending) => Poll::Pending,
            }
        });
        timeout(PATIENCE, answered).await.map_err(|_| "the broker did not answer in time")??;
        found.ok_or_else(|| "the broker did not answer".into())
    }

    /// Hands each packet that has arrived to `each`, which may answer it, until there is none left; ready when the broker
    /// has closed.
    pub fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Packet<'_>, &mut Vec<u8>),
    ) -> Poll<Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let held = self.left.len();
                let Some(room) = scratch.get_mut(held..).filter(|room| !room.is_empty()) else {
                    return Poll::Ready(Err("a packet is larger than expected".into()));
                };
                let mut buffer = ReadBuf::new(room);
                ready!(Pin::new(&mut self.read).poll_read(cx, &mut buffer))?;
                let length = buffer.filled().len();
                if length == 0 {
                    return Poll::Ready(Ok(()));
                }
                scratch[..held].copy_from_slice(&self.left);
                let mut bytes = &scratch[..held + length];
                while let Some((packet, length)) = packets::decode(bytes)? {
                    each(packet, &mut self.out);
                    bytes = &bytes[length..];
                }
                self.left.clear();
                self.left.extend_from_slice(bytes);
            }
        })
    }

    /// Writes what is to be written; ready when nothing is left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(write) = &mut self.write else {
            return Poll::Ready(Ok(()));
        };
        let mut written = 0;
        let mut flushed = Poll::Ready(Ok(()));
        while written < self.out.len() {
            match Pin::new(&mut *write).poll_write(cx, &self.out[written..]) {
                Poll::Ready(Ok(length)) => written += length,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    flushed = Poll::Pending;
                    break;
                }
            }
        }
        self.out.drain(..written);
        flushed
    }

    /// Gives the writing side away, to a thread of its own; only reading is left here.
    pub fn take_writer(&mut self) -> Option<OwnedWriteHalf> {
        self.write.take()
    }
}
