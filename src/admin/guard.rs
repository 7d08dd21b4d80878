//! Wrong tokens are slowed, by the address they come from: the first few are answered at once, each one after that later than the
//! one before, and no more than a few wait at a time. Asked by everything that takes a token. It must never make anyone of
//! another address wait, and keeps little for each of a bounded number of addresses.

use std::net::{IpAddr, Ipv4Addr};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::admission::network;

/// Wrong tokens that are answered at once.
const FREE: u32 = 5;
/// The first delay and the longest, in milliseconds; each is twice the one before.
const FIRST: u64 = 200;
const LONGEST: u64 = 5_000;
/// How many of an address wait at one time; meanwhile no other token of that address is looked at.
const MAX_WAITING: u32 = 16;
/// An address is forgotten so many milliseconds after its last wrong token.
const FORGOTTEN: u64 = 600_000;
/// Addresses that are counted; past that, those not seen yet share one count.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Default)]
pub(super) struct Guard {
    addresses: Mutex<HashMap<IpAddr, Tries>>,
}

#[derive(Default)]
struct Tries {
    wrong: u32,
    /// Monotonic milliseconds.
    last: u64,
    waiting: u32,
}

/// A wrong token whose answer waits.
pub(super) struct Waiting<'a> {
    guard: &'a Guard,
    address: IpAddr,
    /// When it is answered, in monotonic milliseconds.
    pub(super) until: u64,
}

impl Guard {
    /// Whether a token from this address is looked at now.
    pub(super) fn may_try(&self, address: IpAddr) -> bool {
        let addresses = self.addresses.lock();
        let tries = |address| addresses.get(address).map_or(0, |tries: &Tries| tries.waiting);
        let address = network(address);
        let counted = if addresses.contains_key(&address) { address } else { OTHERS };
        tries(&counted) < MAX_WAITING
    }

    /// Counts a wrong token.
    pub(super) fn wrong(&self, address: IpAddr, now: u64) -> Waiting<'_> {
        let mut addresses = self.addresses.lock();
        let mut address = network(address);
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, tries| tries.waiting > 0 || now < tries.last + FORGOTTEN);
            if addresses.len() >= MAX_ADDRESSES {
                address = OTHERS;
            }
        }
        let tries = addresses.entry(address).or_default();
        if tries.waiting == 0 && now >= tries.last + FORGOTTEN {
            tries.wrong = 0;
        }
        tries.wrong = tries.wrong.saturating_add(1);
        tries.last = now;
        tries.waiting += 1;
        let delay = match tries.wrong.checked_sub(FREE + 1) {
            None => 0,
            Some(doublings) => FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST),
        };
        Waiting { guard: self, address, until: now + delay }
    }
}

/// Where addresses are counted that there is no room for.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(tries) = self.guard.addresses.lock().get_mut(&self.address) {
            tries.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn wrong_tokens_are_answered_later_and_later_and_only_those_of_their_address() {
        let guard = Guard::default();
        let delays: Vec<u64> = (0..12).map(|_| guard.wrong(A, 1_000).until - 1_000).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(guard.wrong(B, 1_000).until, 1_000);
        assert_eq!(guard.wrong(A, 1_000 + FORGOTTEN).until, 1_000 + FORGOTTEN, "it is forgotten after a while");
    }

    #[test]
    fn while_many_wait_no_more_tokens_of_their_address_are_looked_at() {
        let guard = Guard::default();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| guard.wrong(A, 0)).collect();
        assert!(!guard.may_try(A));
        assert!(guard.may_try(B));
        waiting.pop();
        assert!(guard.may_try(A));
    }

    #[test]
    fn no_more_than_so_many_addresses_are_kept() {
        let guard = Guard::default();
        for n in 0..2 * MAX_ADDRESSES as u32 {
            guard.wrong(Ipv4Addr::from_bits(n + 1).into(), 0);
        }
        assert!(guard.addresses.lock().len() <= MAX_ADDRESSES + 1);
        guard.wrong(A, FORGOTTEN);
        assert_eq!(guard.addresses.lock().len(), 1, "they are forgotten where room is needed");
    }
}
