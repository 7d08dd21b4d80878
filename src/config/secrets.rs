//! Secrets that are not in `broker.yaml` itself: in a file that it names. Called by the sections that need one. No message
//! repeats what a file holds.

use std::fs::File;
use std::io::{self, Read};

use super::scalars::quoted;

/// The most that is read of a file.
const MOST: u64 = u16::MAX as u64 + 3;

/// What a file holds, without the end of its last line; `what` it is expected to be.
pub(super) fn in_file(path: &str, what: &str) -> Result<Vec<u8>, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut secret = read().map_err(|error| format!("{} cannot be read: {error}", quoted(path)))?;
    if secret.ends_with(b"\n") {
        secret.pop();
        secret.pop_if(|last| *last == b'\r');
    }
    match secret.is_empty() {
        true => Err(format!("{} is empty; it is expected to hold the {what}", quoted(path))),
        false => Ok(secret),
    }
}
