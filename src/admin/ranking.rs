//! The order of a list that changes while it is paged through: it is settled with the first page and kept a while for those that
//! follow, so that no profile is there twice and none is left out. Asked by the list of profiles.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::params::wrong_cursor;
use super::problem::Failure;

/// How many orders are kept; the oldest goes.
const KEPT: usize = 64;
/// An order serves the first pages of so many milliseconds.
const FRESH: u64 = 1_000;

#[derive(Default)]
pub(super) struct Rankings {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    rankings: VecDeque<Ranking>,
}

struct Ranking {
    id: u64,
    /// Monotonic milliseconds.
    made: u64,
    /// What was searched for.
    search: Box<str>,
    names: Arc<[Arc<str>]>,
}

/// Where a page begins: in which order, and after how many.
pub(super) struct Place {
    id: u64,
    pub(super) names: Arc<[Arc<str>]>,
    pub(super) at: usize,
}

impl Place {
    /// The cursor of the page after this one, of `len` entries; nothing after the last.
    pub(super) fn next(&self, len: usize) -> Option<String> {
        let at = self.at + len;
        (at < self.names.len()).then(|| format!("{}-{at}", self.id))
    }
}

impl Rankings {
    /// Where a list begins: in a fresh order, or one that `rank` makes.
    pub(super) fn first(&self, search: &str, now: u64, rank: impl FnOnce() -> Arc<[Arc<str>]>) -> Place {
        let fresh = |ranking: &&Ranking| now < ranking.made + FRESH && *ranking.search == *search;
        if let Some(ranking) = self.kept.lock().rankings.iter().rev().find(fresh) {
            return Place { id: ranking.id, names: Arc::clone(&ranking.names), at: 0 };
        }
        // Not under the lock: it takes long.
        let names = rank();
        let mut kept = self.kept.lock();
        let id = kept.next;
        kept.next += 1;
        if kept.rankings.len() >= KEPT {
            kept.rankings.pop_front();
        }
        kept.rankings.push_back(Ranking { id, made: now, search: search.into(), names: Arc::clone(&names) });
        Place { id, names, at: 0 }
    }

    /// Where the page of a cursor begins.
    pub(super) fn at(&self, cursor: &str) -> Result<Place, Failure> {
        let parse = || {
            let (id, at) = cursor.split_once('-')?;
            Some((id.parse::<u64>().ok()?, at.parse::<usize>().ok()?))
        };
        let (id, at) = parse().ok_or_else(wrong_cursor)?;
        let names = {
            let kept = self.kept.lock();
            kept.rankings.iter().find(|ranking| ranking.id == id).map(|ranking| Arc::clone(&ranking.names))
        };
        let gone = || Failure::not_found("`cursor`: that list is no longer kept; begin again without a cursor");
        let names = names.filter(|names| at <= names.len()).ok_or_else(gone)?;
        Ok(Place { id, names, at })
    }
}
