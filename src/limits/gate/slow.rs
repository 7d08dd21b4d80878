//! What a gate keeps under its lock: the rules, the counters of those that do not fit the gate's word, and what waits to be
//! fetched. Used by the gate alone, which holds the lock.

use super::ledger::{Ledger, highest_mark};
use super::{Cost, MAX_COUNT, Rule, Terms, pack, unpack};
use crate::limits::{Denial, Resource, UnixMillis, Window};

/// The rules, and the counters of those that do not fit the word.
#[derive(Debug)]
pub(super) struct Slow {
    /// The resource that is counted where no rate limits it.
    pub(super) resource: Resource,
    pub(super) enforce: bool,
    pub(super) rules: Vec<Counter>,
    /// What was counted without rules: window, used and denied.
    free: Counts,
    /// Denials in the window of the word, while the word is in force.
    pub(super) denied: (u64, u64),
    /// So much of the word's count is in the ledger, or came from elsewhere.
    settled: u64,
    pub(super) ledger: Ledger,
}

/// A window, and the used and the denied in it.
type Counts = (u64, u64, u64);

#[derive(Debug)]
pub(super) struct Counter {
    pub(super) rule: Rule,
    pub(super) window: u64,
    pub(super) used: u64,
    pub(super) denied: u64,
    /// The highest mark of this window that was told, in percent.
    told: u8,
}

/// The counts of a window in which nothing was counted: one long past. Each kind of window has its own, so that no word of
/// one kind is ever equal to one of another, and a CAS notices that the kind was changed meanwhile.
fn unused(kind: Window) -> Counts {
    (kind as u64, 0, 0)
}

impl Slow {
    pub(super) fn new(resource: Resource) -> Self {
        let (rules, free) = (Vec::new(), unused(Window::Minute));
        Slow { resource, enforce: true, rules, free, denied: (0, 0), settled: 0, ledger: Ledger::default() }
    }

    /// Puts other rules in the place of these, with the counts that stay.
    pub(super) fn replace(&mut self, rules: Vec<Rule>, enforce: bool) {
        let counter = |rule: Rule| {
            let (window, used, denied) = self.kept(&rule.resource, rule.rate.window);
            let same = |c: &&Counter| c.rule.resource == rule.resource && c.rule.rate == rule.rate;
            let told = self.rules.iter().find(same).map_or(0, |c| c.told);
            Counter { rule, window, used, denied, told }
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
    /// any at all and is enforced or not used up, or none. It takes over their counts.
    pub(super) fn open(&mut self) -> Option<(Terms, u64)> {
        let (terms, (window, used, denied)) = match self.rules.as_slice() {
            [] => (Terms { window: Window::Minute, limit: MAX_COUNT }, self.free),
            [only]
                if (self.enforce || only.used < only.rule.rate.count)
                    && !only.rule.resource.is_bytes()
                    && (1..MAX_COUNT).contains(&only.rule.rate.count) =>
            {
                let terms = Terms { window: only.rule.rate.window, limit: only.rule.rate.count };
                (terms, (only.window, only.used, only.denied))
            }
            _ => return None,
        };
        let word = pack(window, used);
        self.denied = (window, denied);
        self.settled = unpack(word).1;
        Some((terms, word))
    }

    /// Takes the counts of a word that is no longer in force.
    pub(super) fn take_back(&mut self, word: u64) {
        self.settle(word);
        let (window, used) = unpack(word);
        let denied = if self.denied.0 == window { self.denied.1 } else { 0 };
        match self.rules.as_mut_slice() {
            [only] => (only.window, only.used, only.denied) = (window, used, denied),
            _ => self.free = (window, used, denied),
        }
    }

    /// The kind of window that a word in force counts in.
    pub(super) fn word_kind(&self) -> Window {
        self.rules.first().map_or(Window::Minute, |c| c.rule.rate.window)
    }

    /// Puts into the ledger what a word has counted since this was done last.
    pub(super) fn settle(&mut self, word: u64) {
        let (window, used) = unpack(word);
        let minute = self.ledger.minute_of(self.word_kind(), window);
        self.ledger.add(&self.resource, minute, used.saturating_sub(self.settled), 0);
        self.settled = used;
        if let [only] = self.rules.as_mut_slice() {
            only.told = self.ledger.note(&only.rule.resource, &only.rule.rate, only.told, used, window);
        }
    }

    /// Settles a word whose window is over, now that one without counts is in its place.
    pub(super) fn roll(&mut self, word: u64, now: UnixMillis) {
        self.settle(word);
        self.settled = 0;
        self.rules.iter_mut().for_each(|only| only.told = 0);
        self.ledger.advance(now);
    }

    /// Notes what of the rates is used up, while the word is not in force.
    pub(super) fn note(&mut self) {
        for c in &mut self.rules {
            c.told = self.ledger.note(&c.rule.resource, &c.rule.rate, c.told, c.used, c.window);
        }
    }

    /// Puts back what was counted in the current windows before a restart; the ledger has had it already.
    pub(super) fn restore(&mut self, now: UnixMillis, counted: &mut dyn FnMut(&Resource, Window) -> (u64, u64)) {
        self.ledger.advance(now);
        let mut restored = |resource: &Resource, kind: Window, (window, used, denied): Counts| {
            let current = kind.index(now);
            let before = if window == current { (used, denied) } else { (0, 0) };
            // A second is over before a restart is.
            if window > current || kind == Window::Second {
                return (window, used, denied);
            }
            let (used, denied) = counted(resource, kind);
            (current, before.0.saturating_add(used), before.1.saturating_add(denied))
        };
        for c in &mut self.rules {
            let (resource, rate) = (&c.rule.resource, &c.rule.rate);
            (c.window, c.used, c.denied) = restored(resource, rate.window, (c.window, c.used, c.denied));
            c.told = highest_mark(rate, c.used);
        }
        if self.rules.is_empty() {
            self.free = restored(&self.resource, Window::Minute, self.free);
        }
    }

    /// Rolls every counter to the window of `now` and tells whether the request fits all.
    pub(super) fn fits(&mut self, cost: Cost, now: UnixMillis) -> Result<(), Denial> {
        let minute = self.ledger.advance(now);
        let mut worst: Option<Denial> = None;
        // Of each resource a request is denied once, whatever the number of its rates.
        let mut denied: [Option<&Resource>; 2] = [None; 2];
        for c in &mut self.rules {
            let rate = &c.rule.rate;
            let window = rate.window.index(now).max(c.window);
            if window != c.window {
                self.ledger.note(&c.rule.resource, rate, c.told, c.used, c.window);
                (c.window, c.used, c.denied, c.told) = (window, 0, 0, 0);
            }
            let Some(cost) = cost.of(&c.rule.resource) else { continue };
            if c.used.checked_add(cost).is_none_or(|used| used > rate.count) {
                c.denied += 1;
                denied[usize::from(c.rule.resource.is_bytes())] = Some(&c.rule.resource);
                let first = c.denied == 1;
                let (resource, end) = (c.rule.resource.clone(), rate.window.end(window));
                let denial = Denial { first, ..Denial::new(resource, rate.clone(), end, now, cost) };
                if worst.as_ref().is_none_or(|worst| denial.outlasts(worst)) {
                    worst = Some(denial);
                }
            }
        }
        for resource in denied.into_iter().flatten() {
            self.ledger.add(resource, minute, 0, 1);
        }
        match worst {
            Some(denial) if self.enforce => Err(denial),
            _ => Ok(()),
        }
    }

    /// Counts what [`Slow::fits`] has just let in.
    pub(super) fn count(&mut self, cost: Cost, now: UnixMillis) {
        for c in &mut self.rules {
            c.used = c.used.saturating_add(cost.of(&c.rule.resource).unwrap_or(0));
        }
        let minute = self.ledger.minute_at(now);
        if let Some(requests) = cost.requests {
            self.ledger.add(&self.resource, minute, requests, 0);
        }
        // Bytes are counted where a rate counts them, or where someone asks for bytes alone.
        let limited = self.rules.iter().any(|c| c.rule.resource.is_bytes());
        if let (Some(bytes), Some(resource)) = (cost.bytes, bytes_of(&self.resource))
            && (limited || cost.requests.is_none())
        {
            self.ledger.add(&resource, minute, bytes, 0);
        }
    }
}

/// The resource that counts the payload bytes of requests that this one counts.
fn bytes_of(resource: &Resource) -> Option<Resource> {
    match resource {
        Resource::Publish => Some(Resource::PublishBytes),
        Resource::Receive => Some(Resource::ReceiveBytes),
        _ => None,
    }
}
