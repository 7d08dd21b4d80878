//! A gate holds every rate that one kind of request must fit, and admits a request in all of them or in none. Held by the
//! meters of a profile or device and asked once a packet, so the usual case, one rate, is a single compare-and-swap on one
//! word; several rates share a short lock. It must never admit one request more than a rate allows in a window, nor deny
//! one that fits, whatever the number of threads and wherever the clock jumps.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use self::slow::Slow;
use super::{Denial, Rate, Resource, UnixMillis, Window};

mod ledger;
mod slow;

pub use self::ledger::{Crossed, Drained, Tally};

/// One rate of one resource, as a gate enforces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is counted: a byte resource costs the request's bytes, any other costs one.
    pub resource: Resource,
    /// How much of it fits in a window.
    pub rate: Rate,
}

/// The counters of one kind of request. See the module's text.
#[derive(Debug)]
pub struct Gate {
    /// Window index (33 bits) and count (31 bits) while one rule or none is in force; [`SHUT`] while `slow` decides.
    word: AtomicU64,
    /// What the word is held to: see [`Terms`]. Always read after `word`, so that a swap of both is noticed by the CAS.
    terms: AtomicU64,
    slow: Mutex<Slow>,
}

/// What a request costs of each resource; rules that count something else do not concern it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Of a resource that counts requests; nothing where bytes alone are asked for.
    pub(super) requests: Option<u64>,
    /// Of a resource that counts bytes; nothing where requests alone are asked for.
    pub(super) bytes: Option<u64>,
}

impl Cost {
    /// One request with a payload.
    fn one(bytes: u64) -> Self {
        Cost { requests: Some(1), bytes: Some(bytes) }
    }

    fn of(self, resource: &Resource) -> Option<u64> {
        if resource.is_bytes() { self.bytes } else { self.requests }
    }
}

const SHUT: u64 = u64::MAX;
const COUNT_BITS: u32 = 31;
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

fn pack(window: u64, count: u64) -> u64 {
    (window << COUNT_BITS) | count.min(MAX_COUNT)
}

fn unpack(word: u64) -> (u64, u64) {
    (word >> COUNT_BITS, word & MAX_COUNT)
}

/// What the fast word must obey, packed in one atomic: the window's kind, and the limit (or that nothing is denied).
#[derive(Clone, Copy)]
struct Terms {
    window: Window,
    /// [`MAX_COUNT`] where nothing is ever denied.
    limit: u64,
}

impl Terms {
    fn pack(self) -> u64 {
        ((self.window as u64) << COUNT_BITS) | self.limit
    }

    fn unpack(word: u64) -> Self {
        let window = match word >> COUNT_BITS {
            0 => Window::Second,
            1 => Window::Minute,
            2 => Window::Hour,
            3 => Window::Day,
            _ => Window::Month,
        };
        Terms { window, limit: word & MAX_COUNT }
    }
}

impl Gate {
    /// A gate for requests that cost one of `resource` each, held to `rules`; without rules all are admitted and counted
    /// by the minute. With `enforce` false everything is counted and nothing denied.
    pub fn new(resource: Resource, rules: Vec<Rule>, enforce: bool) -> Self {
        let (word, terms) = (AtomicU64::new(SHUT), AtomicU64::new(0));
        let gate = Gate { word, terms, slow: Mutex::new(Slow::new(resource)) };
        gate.set_rules(rules, enforce);
        gate
    }

    /// Whether no rate is in force here.
    pub fn is_unlimited(&self) -> bool {
        self.slow.lock().rules.is_empty()
    }

    /// Puts other rules in force. The count of the current window is kept for each resource and window that stays.
    pub fn set_rules(&self, rules: Vec<Rule>, enforce: bool) {
        let mut slow = self.slow.lock();
        self.shut(&mut slow);
        slow.replace(rules, enforce);
        self.reopen(&mut slow);
    }

    /// Puts back what history has counted of a resource in the current window of a kind, used and denied, so that a restart
    /// gives no one a second helping. It is not drained again.
    pub fn restore(&self, now: UnixMillis, mut counted: impl FnMut(&Resource, Window) -> (u64, u64)) {
        let mut slow = self.slow.lock();
        self.shut(&mut slow);
        slow.restore(now, &mut counted);
        self.reopen(&mut slow);
    }

    /// Has the lock decide from now on; the counts are with it.
    fn shut(&self, slow: &mut Slow) {
        let word = self.word.swap(SHUT, Ordering::AcqRel);
        if word != SHUT {
            slow.take_back(word);
        }
    }

    /// Has the word decide again, if the rules are simple enough.
    fn reopen(&self, slow: &mut Slow) {
        if let Some((terms, word)) = slow.open() {
            self.terms.store(terms.pack(), Ordering::Release);
            self.word.store(word, Ordering::Release);
        }
    }

    /// Counts one request of `bytes` payload bytes, if it fits every rule.
    ///
    /// # Errors
    /// The denial of the rule that stays exceeded longest; then nothing was counted but the denial.
    pub fn admit(&self, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        self.ask(Cost::one(bytes), now, true)
    }

    /// Counts a request of any cost, here and in `own` where there is one, or in neither. One that costs nothing asks whether
    /// there is anything left, and is not counted, nor is its denial.
    ///
    /// # Errors
    /// As [`Gate::admit_with`].
    pub(super) fn admit_cost(&self, own: Option<&Gate>, cost: Cost, now: UnixMillis) -> Result<(), Denial> {
        if cost.requests.or(cost.bytes) == Some(0) {
            let theirs = own.map_or(Ok(()), |own| own.peek(cost, now));
            return match (theirs, self.peek(cost, now)) {
                (Err(theirs), Err(ours)) => Err(if ours.outlasts(&theirs) { ours } else { theirs }),
                (theirs, ours) => theirs.and(ours),
            };
        }
        match own {
            Some(own) => own.admit_both(self, cost, now),
            None => self.ask(cost, now, true),
        }
    }

    /// Tells whether anything is left of each rule that a request of such a cost concerns.
    fn peek(&self, cost: Cost, now: UnixMillis) -> Result<(), Denial> {
        if !self.slow.lock().enforce {
            return Ok(());
        }
        let mut worst: Option<Denial> = None;
        for (resource, rate, used, _, ends) in self.readings(now) {
            if let (Some(rate), Some(_)) = (rate, cost.of(&resource))
                && used >= rate.count
            {
                let denial = Denial::new(resource, rate, ends, now, 1);
                if worst.as_ref().is_none_or(|worst| denial.outlasts(worst)) {
                    worst = Some(denial);
                }
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Tells whether a request fits every rule, and counts it if `counts` is set; a denial is counted in any case.
    #[inline(always)]
    fn ask(&self, cost: Cost, now: UnixMillis, counts: bool) -> Result<(), Denial> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word == SHUT {
                let mut slow = self.slow.lock();
                // The word may have come into force while we waited for the lock.
                word = self.word.load(Ordering::Acquire);
                if word == SHUT {
                    slow.fits(cost, now)?;
                    if counts {
                        slow.count(cost, now);
                    }
                    self.reopen(&mut slow);
                    return Ok(());
                }
            }
            let Some(requests) = cost.requests else {
                return self.without_rules(cost, now, counts);
            };
            let terms = Terms::unpack(self.terms.load(Ordering::Acquire));
            let (window, count) = unpack(word);
            // The window never goes backwards, whatever the wall clock does.
            if terms.window.index(now) > window {
                self.roll(now);
                word = self.word.load(Ordering::Acquire);
                continue;
            }
            let wanted = count.saturating_add(requests);
            if wanted > terms.limit && terms.limit != MAX_COUNT {
                match self.deny(terms, window, now, requests) {
                    Some(denial) => return Err(denial),
                    None => {
                        word = self.word.load(Ordering::Acquire);
                        continue;
                    }
                }
            }
            let next = pack(window, if counts { wanted } else { count });
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(seen) => word = seen,
            }
        }
    }

    /// Begins the window of `now` in the word. All that its last window has counted is settled first: whoever swaps the word
    /// holds the lock, so the counts of a window are in exactly one hand.
    #[cold]
    fn roll(&self, now: UnixMillis) {
        let mut slow = self.slow.lock();
        let word = self.word.load(Ordering::Acquire);
        let window = slow.word_kind().index(now);
        if word != SHUT && window > unpack(word).0 {
            // Others count on in the old window until the very swap.
            let over = self.word.swap(pack(window, 0), Ordering::AcqRel);
            slow.roll(over, now);
        }
    }

    /// Counts bytes alone, of which no rate is in force while the word is.
    #[cold]
    fn without_rules(&self, cost: Cost, now: UnixMillis, counts: bool) -> Result<(), Denial> {
        let mut slow = self.slow.lock();
        if self.word.load(Ordering::Acquire) == SHUT {
            slow.fits(cost, now)?;
        }
        if counts {
            slow.count(cost, now);
        }
        Ok(())
    }

    /// Hands over what was counted since the last drain, by resource and minute, and what was nearly or wholly used up. A
    /// count is in the minute of its window where that is a second or a minute, or where several rates hold; in a single longer
    /// window, in the minute of the last drain before it.
    pub fn drain(&self, now: UnixMillis, into: &mut Drained) {
        let mut slow = self.slow.lock();
        match self.word.load(Ordering::Acquire) {
            SHUT => slow.note(),
            word => slow.settle(word),
        }
        slow.ledger.advance(now);
        slow.ledger.fetch(into);
    }

    /// Admits a request here and in `other` or in neither: what a device's gate asks of its profile's.
    ///
    /// # Errors
    /// As [`Gate::admit`]; of two denials the one that lasts longer.
    pub fn admit_with(&self, other: &Gate, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        self.admit_both(other, Cost::one(bytes), now)
    }

    fn admit_both(&self, other: &Gate, cost: Cost, now: UnixMillis) -> Result<(), Denial> {
        if self.is_open() {
            return other.ask(cost, now, true);
        }
        let mut slow = self.slow.lock();
        if slow.rules.is_empty() {
            // They were lifted while we waited for the lock.
            return other.ask(cost, now, true);
        }
        // Under the device's lock its counters stand still, so the profile's gate alone decides.
        self.shut(&mut slow);
        if let Err(denial) = slow.fits(cost, now) {
            return Err(match other.ask(cost, now, false) {
                Err(theirs) if theirs.outlasts(&denial) => theirs,
                _ => denial,
            });
        }
        other.ask(cost, now, true)?;
        slow.count(cost, now);
        Ok(())
    }

    /// Whether no rate is in force, told without the lock.
    fn is_open(&self) -> bool {
        self.word.load(Ordering::Acquire) != SHUT
            && Terms::unpack(self.terms.load(Ordering::Acquire)).limit == MAX_COUNT
    }

    /// What this gate has counted: for each rule (or, without rules, for the resource alone) the rate, the used and the
    /// denied of the current window, and when it ends.
    pub fn readings(&self, now: UnixMillis) -> Vec<(Resource, Option<Rate>, u64, u64, UnixMillis)> {
        let slow = self.slow.lock();
        let word = self.word.load(Ordering::Acquire);
        if word != SHUT {
            let terms = Terms::unpack(self.terms.load(Ordering::Acquire));
            let (stored, count) = unpack(word);
            let window = terms.window.index(now).max(stored);
            let used = if window == stored { count } else { 0 };
            let denied = if slow.denied.0 == window { slow.denied.1 } else { 0 };
            let (resource, rate) = match slow.rules.first() {
                Some(counter) => (counter.rule.resource.clone(), Some(counter.rule.rate.clone())),
                None => (slow.resource.clone(), None),
            };
            return vec![(resource, rate, used, denied, terms.window.end(window))];
        }
        slow.rules
            .iter()
            .map(|c| {
                let window = c.rule.rate.window.index(now).max(c.window);
                let (used, denied) = if window == c.window { (c.used, c.denied) } else { (0, 0) };
                (c.rule.resource.clone(), Some(c.rule.rate.clone()), used, denied, c.rule.rate.window.end(window))
            })
            .collect()
    }

    /// The denial of the word's only rule, counted; nothing if the rules were changed meanwhile, or the window was, or the rule is
    /// not enforced: then the lock decides, and counts on.
    #[cold]
    fn deny(&self, terms: Terms, window: u64, now: UnixMillis, cost: u64) -> Option<Denial> {
        let mut slow = self.slow.lock();
        let word = self.word.load(Ordering::Acquire);
        if word == SHUT || unpack(word).0 != window || self.terms.load(Ordering::Acquire) != terms.pack() {
            return None;
        }
        if !slow.enforce {
            self.shut(&mut slow);
            return None;
        }
        let (resource, rate) = slow.rules.first().map(|c| (c.rule.resource.clone(), c.rule.rate.clone()))?;
        slow.denied = (window, if slow.denied.0 == window { slow.denied.1 + 1 } else { 1 });
        let first = slow.denied.1 == 1;
        let minute = match terms.window {
            Window::Second | Window::Minute => slow.ledger.minute_of(terms.window, window),
            Window::Hour | Window::Day | Window::Month => slow.ledger.minute_at(now),
        };
        slow.ledger.add(&resource, minute, 0, 1);
        Some(Denial { first, ..Denial::new(resource, rate, terms.window.end(window), now, cost) })
    }
}

#[cfg(test)]
mod tests;
