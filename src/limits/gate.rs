//! A gate holds every rate that one kind of request must fit, and admits a request in all of them or in none. Held by the
//! meters of a profile or device and asked once a packet, so the usual case, one rate, is a single compare-and-swap on one
//! word; several rates share a short lock. It must never admit one request more than a rate allows in a window, nor deny
//! one that fits, whatever the number of threads and wherever the clock jumps.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Denial, Rate, Resource, UnixMillis, Window};

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

/// The rules, and the counters of those that do not fit the word.
#[derive(Debug)]
struct Slow {
    /// The resource that is counted where no rate limits it.
    resource: Resource,
    enforce: bool,
    rules: Vec<Counter>,
    /// What was counted without rules: window, used and denied.
    free: Counts,
    /// Denials in the window of the word, while the word is in force.
    denied: (u64, u64),
}

/// A window, and the used and the denied in it.
type Counts = (u64, u64, u64);

#[derive(Debug)]
struct Counter {
    rule: Rule,
    window: u64,
    used: u64,
    denied: u64,
}

const SHUT: u64 = u64::MAX;
const COUNT_BITS: u32 = 31;
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

/// The counts of a window in which nothing was counted: one long past. Each kind of window has its own, so that no word of
/// one kind is ever equal to one of another, and a CAS notices that the kind was changed meanwhile.
fn unused(kind: Window) -> Counts {
    (kind as u64, 0, 0)
}

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
        let free = unused(Window::Minute);
        let gate = Gate {
            word: AtomicU64::new(SHUT),
            terms: AtomicU64::new(0),
            slow: Mutex::new(Slow { resource, enforce: true, rules: Vec::new(), free, denied: (0, 0) }),
        };
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
        let word = self.word.swap(SHUT, Ordering::AcqRel);
        if word != SHUT {
            slow.take_back(word);
        }
        slow.replace(rules, enforce);
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
        self.ask(bytes, now, true)
    }

    /// Tells whether a request fits every rule, and counts it if `counts` is set; a denial is counted in any case.
    #[inline]
    fn ask(&self, bytes: u64, now: UnixMillis, counts: bool) -> Result<(), Denial> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word == SHUT {
                let mut slow = self.slow.lock();
                // The word may have come into force while we waited for the lock.
                word = self.word.load(Ordering::Acquire);
                if word == SHUT {
                    slow.fits(bytes, now)?;
                    if counts {
                        slow.count(bytes);
                    }
                    return Ok(());
                }
            }
            let terms = Terms::unpack(self.terms.load(Ordering::Acquire));
            let (stored, count) = unpack(word);
            // The window never goes backwards, whatever the wall clock does.
            let window = terms.window.index(now).max(stored);
            let count = if window == stored { count } else { 0 };
            if count >= terms.limit && terms.limit != MAX_COUNT {
                match self.deny(terms, window, now) {
                    Some(denial) => return Err(denial),
                    None => {
                        word = self.word.load(Ordering::Acquire);
                        continue;
                    }
                }
            }
            let next = pack(window, count + u64::from(counts));
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(seen) => word = seen,
            }
        }
    }

    /// Admits a request here and in `other` or in neither: what a device's gate asks of its profile's.
    ///
    /// # Errors
    /// As [`Gate::admit`]; of two denials the one that lasts longer.
    pub fn admit_with(&self, other: &Gate, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        if self.is_open() {
            return other.admit(bytes, now);
        }
        let mut slow = self.slow.lock();
        if slow.rules.is_empty() {
            // They were lifted while we waited for the lock.
            return other.admit(bytes, now);
        }
        // Under the device's lock its counters stand still, so the profile's gate alone decides.
        let word = self.word.swap(SHUT, Ordering::AcqRel);
        if word != SHUT {
            slow.take_back(word);
        }
        if let Err(denial) = slow.fits(bytes, now) {
            return Err(match other.ask(bytes, now, false) {
                Err(theirs) if theirs.outlasts(&denial) => theirs,
                _ => denial,
            });
        }
        other.admit(bytes, now)?;
        slow.count(bytes);
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

    /// The denial of the word's only rule, counted; nothing if the rules were changed meanwhile, or the window was.
    #[cold]
    fn deny(&self, terms: Terms, window: u64, now: UnixMillis) -> Option<Denial> {
        let mut slow = self.slow.lock();
        let word = self.word.load(Ordering::Acquire);
        if word == SHUT || unpack(word).0 != window || self.terms.load(Ordering::Acquire) != terms.pack() {
            return None;
        }
        let (resource, rate) = slow.rules.first().map(|c| (c.rule.resource.clone(), c.rule.rate.clone()))?;
        slow.denied = (window, if slow.denied.0 == window { slow.denied.1 + 1 } else { 1 });
        let first = slow.denied.1 == 1;
        Some(Denial { first, ..Denial::new(resource, rate, terms.window.end(window), now, 1) })
    }
}

impl Slow {
    /// Puts other rules in the place of these, with the counts that stay.
    fn replace(&mut self, rules: Vec<Rule>, enforce: bool) {
        let counter = |rule: Rule| {
            let (window, used, denied) = self.kept(&rule.resource, rule.rate.window);
            Counter { rule, window, used, denied }
        };
        let rules = rules.into_iter().map(counter).collect();
        self.free = self.kept(&self.resource, Window::Minute);
        self.rules = rules;
        self.enforce = enforce;
    }

    /// What was counted of a resource in the current window of this kind, so far as it was counted at all.
    fn kept(&self, resource: &Resource, window: Window) -> Counts {
        if self.rules.is_empty() && *resource == self.resource && window == Window::Minute {
            return self.free;
        }
        let same = self.rules.iter().find(|c| c.rule.resource == *resource && c.rule.rate.window == window);
        same.map_or(unused(window), |c| (c.window, c.used, c.denied))
    }

    /// The word that can stand for these rules, if they are simple enough: at most one, that costs one a request, admits
    /// any at all and is enforced, or none. It takes over their counts.
    fn open(&mut self) -> Option<(Terms, u64)> {
        let (terms, (window, used, denied)) = match self.rules.as_slice() {
            [] => (Terms { window: Window::Minute, limit: MAX_COUNT }, self.free),
            [only]
                if self.enforce && !only.rule.resource.is_bytes() && (1..MAX_COUNT).contains(&only.rule.rate.count) =>
            {
                let terms = Terms { window: only.rule.rate.window, limit: only.rule.rate.count };
                (terms, (only.window, only.used, only.denied))
            }
            _ => return None,
        };
        self.denied = (window, denied);
        Some((terms, pack(window, used)))
    }

    /// Takes the counts of a word that is no longer in force.
    fn take_back(&mut self, word: u64) {
        let (window, used) = unpack(word);
        let denied = if self.denied.0 == window { self.denied.1 } else { 0 };
        match self.rules.as_mut_slice() {
            [only] => (only.window, only.used, only.denied) = (window, used, denied),
            _ => self.free = (window, used, denied),
        }
    }

    /// Rolls every counter to the window of `now` and tells whether the request fits all.
    fn fits(&mut self, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        let mut worst: Option<Denial> = None;
        for c in &mut self.rules {
            let window = c.rule.rate.window.index(now).max(c.window);
            if window != c.window {
                (c.window, c.used, c.denied) = (window, 0, 0);
            }
            let cost = c.cost(bytes);
            if c.used.checked_add(cost).is_none_or(|used| used > c.rule.rate.count) {
                c.denied += 1;
                let end = c.rule.rate.window.end(window);
                let first = c.denied == 1;
                let denial =
                    Denial { first, ..Denial::new(c.rule.resource.clone(), c.rule.rate.clone(), end, now, cost) };
                if worst.as_ref().is_none_or(|worst| denial.outlasts(worst)) {
                    worst = Some(denial);
                }
            }
        }
        match worst {
            Some(denial) if self.enforce => Err(denial),
            _ => Ok(()),
        }
    }

    /// Counts what [`Slow::fits`] has just let in.
    fn count(&mut self, bytes: u64) {
        for c in &mut self.rules {
            c.used = c.used.saturating_add(c.cost(bytes));
        }
    }
}

impl Counter {
    fn cost(&self, bytes: u64) -> u64 {
        if self.rule.resource.is_bytes() { bytes } else { 1 }
    }
}

#[cfg(test)]
mod tests;
