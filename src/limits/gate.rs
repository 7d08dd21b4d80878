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
    /// Denials in the window of the word, while the word is in force.
    denied: (u64, u64),
}

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
        let gate = Gate {
            word: AtomicU64::new(SHUT),
            terms: AtomicU64::new(0),
            slow: Mutex::new(Slow { resource, enforce: true, rules: Vec::new(), denied: (0, 0) }),
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
        let old_terms = Terms::unpack(self.terms.load(Ordering::Acquire));
        if word != SHUT {
            slow.take_back(word);
        }
        let unlimited_count = (word != SHUT && slow.rules.is_empty()).then(|| unpack(word));
        let old = std::mem::take(&mut slow.rules);
        slow.rules = rules
            .into_iter()
            .map(|rule| {
                let kept = old
                    .iter()
                    .find(|c| c.rule.resource == rule.resource && c.rule.rate.window == rule.rate.window)
                    .map(|c| (c.window, c.used, c.denied));
                let unlimited = unlimited_count
                    .filter(|_| rule.rate.window == old_terms.window && rule.resource == slow.resource)
                    .map(|(window, used)| (window, used, 0));
                let (window, used, denied) = kept.or(unlimited).unwrap_or((0, 0, 0));
                Counter { rule, window, used, denied }
            })
            .collect();
        slow.enforce = enforce;
        // Without a rule the count of the minute goes on, for a rule that may come.
        let counted = unlimited_count.or_else(|| {
            let by_minute = |c: &&Counter| c.rule.resource == slow.resource && c.rule.rate.window == Window::Minute;
            old.iter().find(by_minute).map(|c| (c.window, c.used))
        });
        if let Some((terms, word)) = slow.as_word(counted) {
            self.terms.store(terms.pack(), Ordering::Release);
            self.word.store(word, Ordering::Release);
        }
    }

    /// Counts one request of `bytes` payload bytes, if it fits every rule.
    ///
    /// # Errors
    /// The denial of the rule that stays exceeded longest; then nothing was counted but the denial.
    pub fn admit(&self, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word == SHUT {
                let mut slow = self.slow.lock();
                // The word may have come into force while we waited for the lock.
                word = self.word.load(Ordering::Acquire);
                if word == SHUT {
                    return slow.admit(bytes, now);
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
            match self.word.compare_exchange_weak(word, pack(window, count + 1), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    return Ok(());
                }
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
        // Under the device's lock its counters stand still, so the profile's gate alone decides.
        let word = self.word.swap(SHUT, Ordering::AcqRel);
        if word != SHUT {
            slow.take_back(word);
        }
        slow.fits(bytes, now)?;
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

    /// The denial of the word's only rule, counted; nothing if the rules were changed meanwhile.
    #[cold]
    fn deny(&self, terms: Terms, window: u64, now: UnixMillis) -> Option<Denial> {
        let mut slow = self.slow.lock();
        if self.word.load(Ordering::Acquire) == SHUT || self.terms.load(Ordering::Acquire) != terms.pack() {
            return None;
        }
        let (resource, rate) = slow.rules.first().map(|c| (c.rule.resource.clone(), c.rule.rate.clone()))?;
        slow.denied = (window, if slow.denied.0 == window { slow.denied.1 + 1 } else { 1 });
        let first = slow.denied.1 == 1;
        Some(Denial { first, ..Denial::new(resource, rate, terms.window.end(window), now, 1) })
    }
}

impl Slow {
    /// The word that can stand for these rules, if they are simple enough: at most one, that costs one a request and is
    /// enforced, or none.
    fn as_word(&self, unlimited: Option<(u64, u64)>) -> Option<(Terms, u64)> {
        match self.rules.as_slice() {
            [] => {
                let (window, count) = unlimited.unwrap_or((0, 0));
                Some((Terms { window: Window::Minute, limit: MAX_COUNT }, pack(window, count)))
            }
            [only] if self.enforce && !only.rule.resource.is_bytes() && only.rule.rate.count < MAX_COUNT => {
                let terms = Terms { window: only.rule.rate.window, limit: only.rule.rate.count };
                Some((terms, pack(only.window, only.used)))
            }
            _ => None,
        }
    }

    /// Takes the counts of a word that is no longer in force.
    fn take_back(&mut self, word: u64) {
        let (window, used) = unpack(word);
        let denied = self.denied;
        if let [only] = self.rules.as_mut_slice() {
            only.window = window;
            only.used = used;
            only.denied = if denied.0 == window { denied.1 } else { 0 };
        }
    }

    fn admit(&mut self, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        self.fits(bytes, now)?;
        self.count(bytes);
        Ok(())
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
            if c.used.saturating_add(cost) > c.rule.rate.count {
                c.denied += 1;
                let end = c.rule.rate.window.end(window);
                let first = c.denied == 1;
                let denial =
                    Denial { first, ..Denial::new(c.rule.resource.clone(), c.rule.rate.clone(), end, now, cost) };
                if worst.as_ref().is_none_or(|w| (w.never_fits, w.resets_at) < (denial.never_fits, denial.resets_at)) {
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
