//! How history looks in the store: a row for each account (a profile, or a device with rates of its own) and each minute, hour and
//! month in which anything was counted, with all of its resources; the names behind the numbers; and the system's own rows. Keys
//! are ordered so that an account's time is one range. Used by the rest of `usage`; it does no I/O.

use std::sync::Arc;

use crate::limits::{UnixMillis, Window};

/// What a row of counts is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Minute,
    Hour,
    Month,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Minute, Kind::Hour, Kind::Month];

    pub(super) fn window(self) -> Window {
        match self {
            Kind::Minute => Window::Minute,
            Kind::Hour => Window::Hour,
            Kind::Month => Window::Month,
        }
    }

    /// The number of the span that holds a moment. Times past any calendar are all in the last.
    pub(super) fn index(self, at: UnixMillis) -> u32 {
        clamp(self.window().index(at))
    }

    fn letter(self) -> u8 {
        match self {
            Kind::Minute => b'm',
            Kind::Hour => b'h',
            Kind::Month => b'M',
        }
    }
}

pub(super) fn clamp(index: u64) -> u32 {
    index.try_into().unwrap_or(u32::MAX)
}

pub(super) type Key = [u8; 9];

/// The key of an account's counts in a span.
pub(super) fn key(kind: Kind, account: u32, index: u32) -> Key {
    joined(kind.letter(), account, index)
}

/// The key of the system's row of ten seconds.
pub(super) fn system_key(index: u32) -> Key {
    joined(b's', 0, index)
}

/// The key of a name: of an account, or of a resource.
pub(super) fn account_key(id: u32) -> Key {
    joined(b'a', 0, id)
}

pub(super) fn resource_key(id: u32) -> Key {
    joined(b'r', 0, id)
}

/// The key of the latest minute that any row is of.
pub(super) const NEWEST: &[u8] = b"newest";

fn joined(letter: u8, first: u32, second: u32) -> Key {
    let mut key = [letter; 9];
    key[1..5].copy_from_slice(&first.to_be_bytes());
    key[5..].copy_from_slice(&second.to_be_bytes());
    key
}

/// The number at the end of a key.
pub(super) fn index_of(key: &[u8]) -> u32 {
    key.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// What was counted of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) resource: u32,
    pub(super) used: u64,
    pub(super) denied: u64,
}

/// Adds to what was counted of a resource.
pub(super) fn add(counts: &mut Vec<Count>, more: Count) {
    match counts.iter_mut().find(|count| count.resource == more.resource) {
        Some(count) => {
            count.used = count.used.saturating_add(more.used);
            count.denied = count.denied.saturating_add(more.denied);
        }
        None => counts.push(more),
    }
}

/// What was counted of a resource: used and denied.
pub(super) fn of(counts: &[Count], resource: u32) -> (u64, u64) {
    counts.iter().find(|count| count.resource == resource).map_or((0, 0), |count| (count.used, count.denied))
}

pub(super) fn put_counts(out: &mut Vec<u8>, counts: &[Count]) {
    for count in counts {
        [count.resource.into(), count.used, count.denied].into_iter().for_each(|number| put(out, number));
    }
}

/// The counts of a row. A damaged end is left out.
pub(super) fn counts(mut bytes: &[u8]) -> Vec<Count> {
    std::iter::from_fn(|| take_count(&mut bytes)).collect()
}

pub(super) fn take_count(bytes: &mut &[u8]) -> Option<Count> {
    Some(Count { resource: clamp(take(bytes)?), used: take(bytes)?, denied: take(bytes)? })
}

/// Appends a number: seven bits a byte, the lowest first, the eighth set where more follow.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The name of an account as a row: the length of the profile's name, that name, and the device's behind a zero.
pub(super) fn put_account(profile: &str, device: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, profile.len() as u64);
    out.extend(profile.as_bytes());
    if let Some(device) = device {
        out.push(0);
        out.extend(device.as_bytes());
    }
    out
}

/// The profile and device of an account's row.
pub(super) fn account(mut bytes: &[u8]) -> Option<(Arc<str>, Option<Arc<str>>)> {
    let length = usize::try_from(take(&mut bytes)?).ok()?;
    let (profile, rest) = bytes.split_at_checked(length)?;
    let device = match rest.split_first() {
        None => None,
        Some((_, device)) => Some(std::str::from_utf8(device).ok()?.into()),
    };
    Some((std::str::from_utf8(profile).ok()?.into(), device))
}

/// What the process took and did in a span of time, before it is divided by that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) cpu_micros: u64,
    pub(super) millis: u64,
    pub(super) memory: u64,
    pub(super) connections: u64,
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
}

impl Taken {
    /// Both spans together.
    pub(super) fn and(self, other: Taken) -> Taken {
        Taken {
            cpu_micros: self.cpu_micros.saturating_add(other.cpu_micros),
            millis: self.millis.saturating_add(other.millis),
            memory: self.memory.max(other.memory),
            connections: self.connections.max(other.connections),
            messages_in: self.messages_in.saturating_add(other.messages_in),
            messages_out: self.messages_out.saturating_add(other.messages_out),
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let Taken { cpu_micros, millis, memory, connections, messages_in, messages_out } = self;
        let mut out = Vec::new();
        let numbers = [cpu_micros, millis, memory, connections, messages_in, messages_out];
        numbers.into_iter().for_each(|number| put(&mut out, number));
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Taken> {
        let bytes = &mut bytes;
        Some(Taken {
            cpu_micros: take(bytes)?,
            millis: take(bytes)?,
            memory: take(bytes)?,
            connections: take(bytes)?,
            messages_in: take(bytes)?,
            messages_out: take(bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_read_back_as_they_were_written(numbers: Vec<(u32, u64, u64)>) {
            let written: Vec<Count> =
                numbers.into_iter().map(|(resource, used, denied)| Count { resource, used, denied }).collect();
            let mut bytes = Vec::new();
            put_counts(&mut bytes, &written);
            prop_assert_eq!(counts(&bytes), written);
        }

        #[test]
        fn names_read_back_as_they_were_written(profile: String, device: Option<String>) {
            let (read, of) = account(&put_account(&profile, device.as_deref())).unwrap();
            prop_assert_eq!((&*read, of.as_deref()), (profile.as_str(), device.as_deref()));
        }

        #[test]
        fn damaged_rows_are_read_as_far_as_they_go(bytes: Vec<u8>) {
            counts(&bytes);
            account(&bytes);
            Taken::decode(&bytes);
        }
    }

    #[test]
    fn keys_of_an_account_are_in_the_order_of_time() {
        let keys =
            [key(Kind::Hour, 1, 2), key(Kind::Minute, 1, 255), key(Kind::Minute, 1, 256), key(Kind::Minute, 2, 0)];
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| index_of(&key)), [2, 255, 256, 0]);
    }
}
