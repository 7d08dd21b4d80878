//! The buffers that a thread lends to whichever connection it is working on: read into, encoded into, taken into. So a
//! connection that has nothing to do holds none of its own.

use std::cell::Cell;
use std::collections::VecDeque;

use crate::router::Delivery;

/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// A written buffer that has grown beyond this is given back.
const KEEP: usize = 1024 * 1024;

pub(super) struct Scratch {
    pub(super) read: Box<[u8]>,
    pub(super) out: Vec<u8>,
    pub(super) deliveries: VecDeque<Delivery>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends the thread's buffers; `out` and `deliveries` are empty.
pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take().unwrap_or_else(|| {
        Box::new(Scratch { read: vec![0; READ].into(), out: Vec::new(), deliveries: VecDeque::new() })
    });
    let result = work(&mut scratch);
    scratch.out.clear();
    scratch.out.shrink_to(KEEP);
    scratch.deliveries.clear();
    // Where the work has panicked the buffers are simply not there any more, and the next to ask makes new ones.
    SCRATCH.set(Some(scratch));
    result
}
