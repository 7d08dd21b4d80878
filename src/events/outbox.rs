//! What waits for the webhook, in order, and when to try again: a queue without a thread or a clock, so that ten minutes of
//! retries are tested at once. The one order is kept for everyone, as there is one receiver: while it does not answer nothing
//! passes what it did not take. Driven by the webhook's thread.

use std::collections::VecDeque;

/// Events that may wait.
pub(super) const MOST: usize = 1_000;
/// Milliseconds after which an event that was not taken is given up.
pub(super) const GIVEN_UP: u64 = 600_000;
/// Milliseconds before the first retry, and the most before any.
const FIRST: u64 = 1_000;
const LONGEST: u64 = 120_000;

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// The same at each attempt.
    pub(super) id: String,
    pub(super) body: String,
    /// When it was entered, in milliseconds.
    pub(super) entered: u64,
    /// How often it was sent in vain.
    pub(super) failures: u32,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Send(Job),
    /// Nothing until then, in milliseconds.
    Wait(u64),
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Job>,
    /// Attempts that failed since one succeeded, and when the next may be.
    failures: u32,
    not_before: u64,
}

impl Outbox {
    /// Takes an event; tells whether the oldest was dropped for it.
    pub(super) fn enter(&mut self, job: Job) -> bool {
        let full = self.waiting.len() >= MOST;
        if full {
            self.waiting.pop_front();
        }
        self.waiting.push_back(job);
        full
    }

    /// What is to be done at `now`. An event that is to be sent is the caller's until it says what came of it.
    pub(super) fn next(&mut self, now: u64) -> Next {
        if self.waiting.is_empty() {
            return Next::Nothing;
        }
        if self.not_before > now {
            return Next::Wait(self.not_before);
        }
        self.waiting.pop_front().map_or(Next::Nothing, Next::Send)
    }

    /// The receiver has answered: it is there.
    pub(super) fn answered(&mut self) {
        (self.failures, self.not_before) = (0, 0);
    }

    /// The receiver has not taken an event, and may do so later: twice as late as the last time, with a part by chance
    /// (`chance` from 0 to 1), so that many brokers do not come at once. Tells which events are too old to wait for that; and
    /// whether this one was dropped as newer ones fill the queue.
    pub(super) fn failed(&mut self, mut job: Job, now: u64, chance: f64) -> (Vec<Job>, bool) {
        self.failures += 1;
        job.failures += 1;
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST);
        self.not_before = now + doubled / 2 + (doubled as f64 / 2.0 * chance) as u64;
        let dropped = self.waiting.len() >= MOST;
        if !dropped {
            self.waiting.push_front(job);
        }
        let old = self.waiting.iter().take_while(|job| job.entered + GIVEN_UP < self.not_before).count();
        (self.waiting.drain(..old).collect(), dropped)
    }

    /// Lets what waits be tried at once.
    pub(super) fn hurry(&mut self) {
        self.not_before = 0;
    }

    /// Everything that waits.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.waiting.drain(..).collect()
    }
}
