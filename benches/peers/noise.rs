//! A client that is a nuisance to the others: one at full speed, or one that stops reading while it is published to. Called
//! by the fairness case; it runs on threads of its own, and must not take processor time from those who measure: it sends
//! the same bytes over and over.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::connection::Result;
use crate::packets;

/// How soon a thread notices that it is to end.
const NOTICE: Duration = Duration::from_millis(100);
/// Bytes that are written and read at once at full speed.
const CHUNK: usize = 64 << 10;

/// What disturbs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Publishes at full speed what nobody subscribes.
    ToNobody,
    /// Publishes at full speed what it subscribes itself.
    ToItself,
    /// Is sent 10 MB a second, and does not read.
    Stalled,
}

/// Disturbs until it is dropped.
pub struct Noise {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Connections that are only held.
    _held: Vec<TcpStream>,
}

impl Noise {
    pub fn start(broker: SocketAddr, kind: Kind) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let topic = "noise/all";
        let mut noise = Self { stop: stop.clone(), threads: vec![], _held: vec![] };
        let mut publisher = connect(broker, "noise-publisher")?;
        let mut message = vec![];
        let (payload, pause) = if kind == Kind::Stalled { (1_024, Some(Duration::from_millis(1))) } else { (64, None) };
        packets::publish(&mut message, topic, None, &vec![b'n'; payload]);
        let messages = if pause.is_some() { 10 } else { CHUNK / message.len() };
        match kind {
            Kind::ToNobody => {}
            Kind::ToItself => {
                subscribe(&mut publisher, topic)?;
                let (mut reader, stop) = (publisher.try_clone()?, stop.clone());
                noise.threads.push(thread::spawn(move || {
                    let mut bytes = vec![0; CHUNK];
                    while !stop.load(Ordering::Relaxed) && goes_on(reader.read(&mut bytes)) {}
                }));
            }
            Kind::Stalled => {
                let mut stalled = connect(broker, "noise-stalled")?;
                subscribe(&mut stalled, topic)?;
                noise._held.push(stalled);
            }
        }
        let chunk = message.repeat(messages);
        noise.threads.push(thread::spawn(move || {
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                let written = publisher.write(&chunk[at..]);
                at = (at + *written.as_ref().unwrap_or(&0)) % chunk.len();
                if !goes_on(written) {
                    break;
                }
                if let Some(pause) = pause {
                    thread::sleep(pause);
                }
            }
        }));
        Ok(noise)
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that has panicked has ended as well.
            let _ = thread.join();
        }
    }
}

/// Whether the connection is still there; a timeout only gives the time to look whether to stop.
fn goes_on(result: std::io::Result<usize>) -> bool {
    match result {
        Ok(length) => length > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn connect(broker: SocketAddr, client_id: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(broker)?;
    stream.set_nodelay(true)?;
    let mut bytes = vec![];
    packets::connect(&mut bytes, client_id, None);
    stream.write_all(&bytes)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer[3] != 0 {
        return Err(format!("{client_id} was refused with return code {}", answer[3]).into());
    }
    stream.set_read_timeout(Some(NOTICE))?;
    stream.set_write_timeout(Some(NOTICE))?;
    Ok(stream)
}

fn subscribe(stream: &mut TcpStream, filter: &str) -> Result<()> {
    let mut bytes = vec![];
    packets::subscribe(&mut bytes, &[filter.into()], 0);
    stream.write_all(&bytes)?;
    stream.set_read_timeout(None)?;
    stream.read_exact(&mut [0; 5])?;
    stream.set_read_timeout(Some(NOTICE))?;
    Ok(())
}
