//! Small packets for many clients, handed to the system together. A call that sends wakes the client it sends to, and on a machine
//! that has work for all its processors the client then takes ours, reads one packet, and sleeps again, once for each call. So what
//! connections have to say in a few bytes is gathered on the thread that works on them, and goes out in one call of io_uring
//! before the thread rests, or looks after so many others. A connection posts here and sleeps; its mailbox, which its other
//! wakers know too, tells what has become of it. Only threads of [`crate::runtime()`] have an outbox: elsewhere nobody would empty it.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::router::Mailbox;

/// The most bytes of one connection: more is worth a call of its own.
pub(super) const SMALL: usize = 4096;
/// Connections that are written to in one call, and turns of connections that any of them waits for it.
const MOST: u32 = 64;
/// A buffer that has grown beyond this is given back.
const KEEP: usize = 64 * 1024;

thread_local! {
    static OUTBOX: RefCell<Option<Outbox>> = const { RefCell::new(None) };
}

/// What one thread has gathered.
#[derive(Default)]
struct Outbox {
    letters: Vec<Letter>,
    /// What is written in the letters, one after the other.
    bytes: Vec<u8>,
    /// Turns of connections since the first letter, and when that was posted, in monotonic milliseconds.
    turns: u32,
    since: u64,
    ring: Ring,
}

/// What one connection has to say.
struct Letter {
    sender: Arc<Mailbox>,
    socket: RawFd,
    bytes: Range<usize>,
    /// How many bytes the system took, or a negative error number; nothing while it was not asked.
    outcome: Option<i32>,
}

#[derive(Default)]
enum Ring {
    #[default]
    Untried,
    /// The system has none for us: an old one, or a container that forbids it.
    Unavailable,
    Open(Box<IoUring>),
}

/// Gives this thread an outbox. It must call [`flush`] before it rests.
pub(crate) fn open() {
    OUTBOX.set(Some(Outbox::default()));
}

/// Takes `bytes` for a socket at `now` (monotonic milliseconds); false where this thread has no outbox, and nothing was done. The
/// socket must stay open until the sender's mailbox has [what came of it](Mailbox::landed).
pub(super) fn post(socket: BorrowedFd<'_>, sender: &Arc<Mailbox>, bytes: &[u8], now: u64) -> bool {
    OUTBOX.with_borrow_mut(|outbox| {
        let Some(outbox) = outbox else { return false };
        if outbox.letters.is_empty() {
            (outbox.turns, outbox.since) = (0, now);
        }
        let start = outbox.bytes.len();
        outbox.bytes.extend_from_slice(bytes);
        sender.board();
        let bytes = start..outbox.bytes.len();
        outbox.letters.push(Letter { sender: Arc::clone(sender), socket: socket.as_raw_fd(), bytes, outcome: None });
        true
    })
}

/// Takes back what a connection has posted, where it is dropped before that has landed: its socket is closed with it, and nobody may
/// write to the socket's number afterwards.
pub(super) struct Abandoning<'a>(pub(super) &'a Mailbox);

impl Drop for Abandoning<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A connection has had its turn at `now` (monotonic milliseconds): what was gathered is sent if others have waited long enough.
pub(super) fn turn(now: u64) {
    OUTBOX.with_borrow_mut(|outbox| {
        if let Some(outbox) = outbox
            && !outbox.letters.is_empty()
        {
            outbox.turns += 1;
            if outbox.turns >= MOST || now > outbox.since {
                outbox.flush();
            }
        }
    });
}

/// Sends what was gathered.
pub(crate) fn flush() {
    OUTBOX.with_borrow_mut(|outbox| {
        if let Some(outbox) = outbox
            && !outbox.letters.is_empty()
        {
            outbox.flush();
        }
    });
}

impl Outbox {
    fn flush(&mut self) {
        // Who is gone meanwhile has taken its letter back.
        self.letters.retain(|letter| letter.sender.depart());
        if self.letters.len() > 1 {
            self.send_together();
        }
        // The rest, and all of it where the system has no ring.
        for letter in self.letters.iter_mut().filter(|letter| letter.outcome.is_none()) {
            // SAFETY: the connection keeps its socket open until its letter has landed, which is below.
            let socket = unsafe { BorrowedFd::borrow_raw(letter.socket) };
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            letter.outcome = Some(match rustix::net::send(socket, &self.bytes[letter.bytes.clone()], flags) {
                Ok(sent) => sent as i32,
                Err(error) => -error.raw_os_error(),
            });
        }
        for letter in self.letters.drain(..) {
            let bytes = &self.bytes[letter.bytes];
            letter.sender.land(match letter.outcome {
                Some(sent @ 0..) => Ok(&bytes[sent as usize..]),
                Some(error) if -error == Errno::AGAIN.raw_os_error() => Ok(bytes),
                Some(error) => Err(io::Error::from_raw_os_error(-error)),
                None => Ok(bytes),
            });
        }
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
    }

    /// Sends all letters with as few calls as it takes. Where a call fails, those that have no outcome were not sent.
    fn send_together(&mut self) {
        if let Ring::Untried = self.ring {
            self.ring = IoUring::new(MOST).map_or(Ring::Unavailable, |ring| Ring::Open(Box::new(ring)));
        }
        let Ring::Open(ring) = &mut self.ring else { return };
        for letters in self.letters.chunks_mut(MOST as usize) {
            if send_in_one_call(ring, letters, &self.bytes).is_err() {
                // What it still holds it forgets with its end.
                self.ring = Ring::Unavailable;
                return;
            }
        }
    }
}

/// Has the ring, which is empty and has room, send the letters, and waits for all of them: none blocks.
fn send_in_one_call(ring: &mut IoUring, letters: &mut [Letter], bytes: &[u8]) -> io::Result<()> {
    for (number, letter) in letters.iter().enumerate() {
        let bytes = &bytes[letter.bytes.clone()];
        let send = opcode::Send::new(Fd(letter.socket), bytes.as_ptr(), bytes.len() as u32)
            .flags((SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits() as i32)
            .build()
            .user_data(number as u64);
        // SAFETY: `bytes` is borrowed until this function returns, and it returns when every entry that was handed over has
        // completed. As none may block, they complete in the call that hands them over.
        unsafe { ring.submission().push(&send) }.map_err(|_| io::ErrorKind::StorageFull)?;
    }
    let mut landed = 0;
    while landed < letters.len() {
        let called = ring.submit_and_wait(letters.len() - landed);
        for completion in ring.completion() {
            landed += 1;
            if let Some(letter) = letters.get_mut(completion.user_data() as usize) {
                letter.outcome = Some(completion.result());
            }
        }
        match called {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
