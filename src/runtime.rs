//! The threads that a broker works on. The `weir` binary starts them here; a program that embeds the broker may, or brings a
//! runtime of its own, where each packet is written by itself.

use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};

use crate::edge::outbox;

/// Turns of connections between two looks at the sockets, where so many have something to do.
const TURNS: u32 = 32;

/// A runtime with so many threads, or as many as are best for this machine, that writes the small packets of many connections
/// together where the system offers io_uring.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> { Ok(()) }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// weir::runtime(None)?.block_on(run())
/// # }
/// ```
///
/// # Errors
/// The system's: the threads cannot be started.
pub fn runtime(threads: Option<NonZeroUsize>) -> io::Result<Runtime> {
    let threads = threads.map_or_else(default_threads, NonZeroUsize::get);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).event_interval(TURNS).enable_all();
    builder.on_thread_start(outbox::open).on_thread_park(outbox::flush).build()
}

/// One thread for two processors. A message costs little beside the system calls that bring it and take it away; what they
/// set in motion, interrupts and protocol, wants processors too. With as many threads as processors, threads wake each other
/// in vain: by `cargo bench --bench peers -- --case trickle-qos0` on two processors, 2026-11-22, a message that came alone cost 37 µs
/// with two threads and 21 to 29 µs with one.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}
