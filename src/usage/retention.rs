//! How long history is kept: minutes and the system's ten seconds 31 days, hours 13 months, months always. What is older is removed
//! in small portions, a few accounts each second, so that it is never noticed. Without a `data_dir` all of it is memory, and less is
//! kept where it comes to much.

use std::ops::ControlFlow;

use super::rows::{self, Kind};
use super::state::{State, system_index};
use crate::limits::{UnixMillis, Window};
use crate::store::{Batch, Keyspace, StoreError};

const MINUTES: u32 = 31 * 24 * 60;
const SYSTEM: u32 = 31 * 24 * 360;
const HOURS_IN_MONTHS: u64 = 13;
/// Every account has had its turn after so many seconds.
const TURN: u32 = 600;
/// The most rows of one account, or of the system, that are removed at once.
const PORTION: usize = 1_000;
/// The most rows that are kept in memory as long as those on disk: some 40 MB of them. Tests have them sooner.
pub(super) const MEMORY_ROWS: usize = if cfg!(test) { 400 } else { 400_000 };
/// The least that is kept in any case: an hour by the minute, two days by the hour.
const LEAST_MINUTES: u32 = 60;
const LEAST_HOURS: u32 = 48;

#[derive(Default)]
pub(super) struct Retention {
    /// The account whose turn it is.
    next: u32,
    /// How often what is kept was halved, for want of memory.
    halved: u32,
}

impl Retention {
    /// Has the next few accounts' oldest rows removed.
    pub(super) fn sweep(
        &mut self,
        history: &Keyspace,
        state: &mut State,
        now: UnixMillis,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let accounts = state.names.accounts();
        for _ in 0..=accounts / TURN {
            if self.next >= accounts {
                self.next = 0;
                self.begin_turn(history);
                let before = system_index(now).saturating_sub((SYSTEM >> self.halved).max(LEAST_MINUTES * 6));
                remove(history, &rows::system_key(0), &rows::system_key(before), batch)?;
                return Ok(());
            }
            for (kind, before) in [(Kind::Minute, self.first_minute(now)), (Kind::Hour, self.first_hour(now))] {
                state.forget(self.next, kind, before);
                let key = |index| rows::key(kind, self.next, index);
                remove(history, &key(0), &key(before), batch)?;
            }
            self.next += 1;
        }
        Ok(())
    }

    fn begin_turn(&mut self, history: &Keyspace) {
        if history.rows_in_memory().is_some_and(|rows| rows > MEMORY_ROWS) && MINUTES >> self.halved > LEAST_MINUTES {
            self.halved += 1;
        }
    }

    fn first_minute(&self, now: UnixMillis) -> u32 {
        Kind::Minute.index(now).saturating_sub((MINUTES >> self.halved).max(LEAST_MINUTES))
    }

    fn first_hour(&self, now: UnixMillis) -> u32 {
        let month = Window::Month.index(now).saturating_sub(HOURS_IN_MONTHS);
        let hours = Kind::Hour.index(now) - Kind::Hour.index(Window::Month.start(month));
        Kind::Hour.index(now).saturating_sub((hours >> self.halved).max(LEAST_HOURS))
    }
}

/// Removes a portion of the rows from a key up to another.
fn remove(history: &Keyspace, from: &[u8], to: &[u8], batch: &mut Batch) -> Result<(), StoreError> {
    let mut left = PORTION;
    history.range(from, to, |key, _| {
        batch.remove(history, key);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}
