//! Small things that a connection keeps: how often its client was denied, its topic aliases, and what its socket would not
//! take yet.

use std::sync::Arc;

use crate::limits::{UnixMillis, Window};

/// How often a client was denied, for each kind of window in the window that is current.
#[derive(Default)]
pub(super) struct Denials(Vec<(Window, UnixMillis, u32)>);

impl Denials {
    /// Counts one more; tells how many there are now in its window.
    pub(super) fn count(&mut self, window: Window, resets_at: UnixMillis) -> u32 {
        let known = self.0.iter_mut().find(|(kind, ..)| *kind == window);
        match known {
            Some((_, ends, count)) if *ends == resets_at => {
                *count += 1;
                *count
            }
            Some(other) => {
                *other = (window, resets_at, 1);
                1
            }
            None => {
                self.0.push((window, resets_at, 1));
                1
            }
        }
    }
}

/// Topics that a client has given aliases, by alias less one.
#[derive(Default)]
pub(super) struct Aliases(pub(super) Vec<Option<Arc<str>>>);

/// Bytes that the socket would not take, and how many of them it has taken since.
#[derive(Default)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// These come before all that is there.
    pub(super) fn put_first(&mut self, mut bytes: Vec<u8>) {
        if !bytes.is_empty() {
            bytes.extend_from_slice(self.bytes());
            *self = Unsent::from(bytes);
        }
    }

    /// Gives all of it away.
    pub(super) fn move_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes());
        *self = Unsent::default();
    }

    /// Where more can be appended.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// So many more were taken. When all were, the memory is given back.
    pub(super) fn advance(&mut self, taken: usize) {
        self.sent += taken;
        if self.is_empty() {
            *self = Unsent::default();
        }
    }
}

impl From<Vec<u8>> for Unsent {
    fn from(bytes: Vec<u8>) -> Self {
        Unsent { bytes, sent: 0 }
    }
}
