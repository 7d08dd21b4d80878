//! What a gate has counted and nobody has fetched yet: by the minute it was counted in, and the rates that were nearly or wholly
//! used up. Kept by the gate under its lock, fetched by [`Gate::drain`](super::Gate::drain). It must lose no count, however late
//! it is fetched, and stay small if it never is.

use crate::limits::{Rate, Resource, UnixMillis, Window};

/// What was counted of one resource in one minute since the last drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What was counted.
    pub resource: Resource,
    /// When the minute began.
    pub at: UnixMillis,
    /// How much was admitted: requests, or bytes of a resource that counts bytes.
    pub used: u64,
    /// How many requests were denied (with `enforce: false`: would have been).
    pub denied: u64,
}

/// That so many percent of a rate were used in a window; told once a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// What the rate counts.
    pub resource: Resource,
    /// The rate.
    pub rate: Rate,
    /// How much of it was used when this was noticed.
    pub used: u64,
    /// When the window ends, or ended.
    pub window_ends: UnixMillis,
    /// 80 or 100.
    pub percent: u8,
}

/// What gates hand over when they are drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// What was counted.
    pub tallies: Vec<Tally>,
    /// What was nearly or wholly used up.
    pub crossed: Vec<Crossed>,
}

/// The shares of a rate that are told, in percent.
const MARKS: [u8; 2] = [80, 100];
/// The most that waits to be fetched. Of more minutes than that, the oldest are added up.
const MAX_TALLIES: usize = 256;
const MAX_CROSSED: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    waiting: Drained,
    /// The latest minute that was seen. It never goes back, as windows do not.
    minute: u64,
}

impl Ledger {
    /// The minute that is counted in now.
    pub(super) fn advance(&mut self, now: UnixMillis) -> u64 {
        self.minute = self.minute_at(now);
        self.minute
    }

    /// The minute that this moment would be counted in.
    pub(super) fn minute_at(&self, now: UnixMillis) -> u64 {
        self.minute.max(Window::Minute.index(now))
    }

    /// The minute of what a word has counted in its window. A second or a minute knows its own. In a longer window it was between
    /// the last time that anyone looked and now, which is a second in a broker that collects: the minute of that look.
    pub(super) fn minute_of(&self, kind: Window, window: u64) -> u64 {
        match kind {
            Window::Second | Window::Minute => Window::Minute.index(kind.start(window)),
            Window::Hour | Window::Day | Window::Month => self.minute,
        }
    }

    pub(super) fn add(&mut self, resource: &Resource, minute: u64, used: u64, denied: u64) {
        if (used, denied) == (0, 0) {
            return;
        }
        let at = Window::Minute.start(minute);
        let tallies = &mut self.waiting.tallies;
        if let Some(tally) = tallies.iter_mut().rev().find(|tally| tally.at == at && tally.resource == *resource) {
            tally.used = tally.used.saturating_add(used);
            tally.denied = tally.denied.saturating_add(denied);
            return;
        }
        tallies.push(Tally { resource: resource.clone(), at, used, denied });
        if tallies.len() > MAX_TALLIES {
            let oldest = tallies.remove(0);
            if let Some(next) = tallies.iter_mut().find(|tally| tally.resource == oldest.resource) {
                next.used = next.used.saturating_add(oldest.used);
                next.denied = next.denied.saturating_add(oldest.denied);
            }
        }
    }

    /// Notes the marks between what was `told` of a rate in its window and what is used now; the highest mark told since.
    pub(super) fn note(&mut self, resource: &Resource, rate: &Rate, told: u8, used: u64, window: u64) -> u8 {
        let reached = highest_mark(rate, used);
        for percent in MARKS.into_iter().filter(|mark| (told + 1..=reached).contains(mark)) {
            let (resource, rate, window_ends) = (resource.clone(), rate.clone(), rate.window.end(window));
            self.waiting.crossed.push(Crossed { resource, rate, used, window_ends, percent });
        }
        if self.waiting.crossed.len() > MAX_CROSSED {
            self.waiting.crossed.remove(0);
        }
        told.max(reached)
    }

    /// Hands over what waits.
    pub(super) fn fetch(&mut self, into: &mut Drained) {
        into.tallies.append(&mut self.waiting.tallies);
        into.crossed.append(&mut self.waiting.crossed);
    }
}

/// The highest mark that so much use of a rate has reached; 0 is none. A rate that admits nothing is never used up.
pub(super) fn highest_mark(rate: &Rate, used: u64) -> u8 {
    let reached = |mark: &u8| u128::from(used) * 100 >= u128::from(rate.count) * u128::from(*mark);
    MARKS.into_iter().rev().find(|mark| rate.count > 0 && reached(mark)).unwrap_or(0)
}
