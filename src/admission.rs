//! Who may try to connect: bounds by address, asked before any credential is looked at, and a bound on connections as a whole,
//! asked when a client identifier is claimed. It keeps a small count for each address that connected or failed in the current
//! window, and forgets them all with the window.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::limits::{Rate, UnixMillis, Window};

/// What an address is counted by: an IPv4 address, or the /64 of an IPv6 address, which is one customer's to vary.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[derive(Debug, Default)]
pub(crate) struct Admission {
    connects: Mutex<ByAddress>,
    failures: Mutex<ByAddress>,
    /// Clients that are connected: those that wait for a CONNECT, or hear that they are refused, take nobody's place.
    connections: AtomicUsize,
}

#[derive(Debug, Default)]
struct ByAddress {
    /// The window that is counted: its kind and its number.
    window: Option<(Window, u64)>,
    counts: HashMap<IpAddr, u64>,
}

/// Addresses that are counted in one window; past that, those not seen yet share one count.
const MAX_ADDRESSES: usize = 100_000;

impl ByAddress {
    /// Begins anew in another window, or in one of another kind; a clock that is set back begins none.
    fn roll(&mut self, rate: &Rate, now: UnixMillis) {
        let index = rate.window.index(now);
        if self.window.is_none_or(|(kind, current)| kind != rate.window || current < index) {
            *self = ByAddress { window: Some((rate.window, index)), counts: HashMap::new() };
        }
    }

    /// Where an address is counted.
    fn place(&self, address: IpAddr) -> IpAddr {
        let full = self.counts.len() >= MAX_ADDRESSES && !self.counts.contains_key(&address);
        if full { IpAddr::from([0, 0, 0, 0]) } else { address }
    }

    fn count(&self, address: IpAddr) -> u64 {
        self.counts.get(&self.place(address)).copied().unwrap_or(0)
    }

    fn add(&mut self, address: IpAddr) -> u64 {
        let count = self.counts.entry(self.place(address)).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }
}

impl Admission {
    /// Counts a connection from this address; tells whether it is within the rate.
    pub(crate) fn connect(&self, address: IpAddr, rate: &Rate, now: UnixMillis) -> bool {
        let mut connects = self.connects.lock();
        connects.roll(rate, now);
        connects.add(address) <= rate.count
    }

    /// Whether this address has failed less often than the rate allows.
    pub(crate) fn may_try(&self, address: IpAddr, rate: &Rate, now: UnixMillis) -> bool {
        let mut failures = self.failures.lock();
        failures.roll(rate, now);
        failures.count(address) < rate.count
    }

    /// Counts a CONNECT with bad credentials from this address.
    pub(crate) fn failed(&self, address: IpAddr, rate: &Rate, now: UnixMillis) {
        let mut failures = self.failures.lock();
        failures.roll(rate, now);
        failures.add(address);
    }

    /// Counts one more connected client, unless there are `max` of them (0 is no bound); tells whether it did.
    pub(crate) fn enter(&self, max: usize) -> bool {
        let max = if max == 0 { usize::MAX } else { max };
        let enter = |n: usize| (n < max).then_some(n + 1);
        self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    /// Counts one connected client less.
    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
