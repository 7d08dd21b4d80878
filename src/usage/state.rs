//! What of history is in memory: the names, and of each account the rows that are not written yet and the last of each kind, so
//! that a count is added to its row without the store being asked. Behind the lock of `usage`.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::names::Names;
use super::rows::{self, Count, Kind, Taken};
use super::{Counted, Load};
use crate::clock::Now;
use crate::limits::{UnixMillis, Window};
use crate::store::{Batch, Keyspace, StoreError};

/// The span of one of the system's rows.
pub(super) const SYSTEM_MILLIS: u64 = 10_000;
/// How many samples of the last seconds are held: those of ten, and where they begin.
const RECENT: usize = 11;
/// While the store takes nothing, so many minutes are held of each account; hours and months go on.
const UNWRITTEN_MINUTES: u32 = 60;

#[derive(Default)]
pub(super) struct State {
    pub(super) names: Names,
    /// The rows of each account, by its number.
    accounts: Vec<Vec<Row>>,
    /// The latest minute that the store had a row of when it was opened, and that there is one of now.
    newest_at_open: u32,
    newest: u32,
    /// The numbers of the records in the journal.
    pub(super) journal: Range<u64>,
    sample: Option<Sample>,
    /// The last samples, with their times in monotonic milliseconds.
    pub(super) recent: VecDeque<(u64, Load)>,
}

struct Row {
    kind: Kind,
    index: u32,
    counts: Vec<Count>,
    /// Not in the store as it is here.
    changed: bool,
}

/// What the process had taken when the row of ten seconds began, and the highest since.
struct Sample {
    index: u32,
    begun: Now,
    load: Load,
}

impl State {
    /// What the store knows, with what was in the journal counted, though not written.
    pub(super) fn load(history: &Keyspace, journal: Option<&Keyspace>) -> Result<Self, StoreError> {
        let newest = history.get(rows::NEWEST)?.map_or(0, |value| rows::index_of(&value));
        let names = Names::load(history)?;
        let mut state = State { names, newest_at_open: newest, newest, ..State::default() };
        let mut records = Vec::new();
        if let Some(journal) = journal {
            journal.range(&[0; 8], &[u8::MAX; 8], |key, record| {
                let number = key.try_into().map_or(0, u64::from_be_bytes);
                state.journal = if records.is_empty() { number..number + 1 } else { state.journal.start..number + 1 };
                records.push(record.to_vec());
                ControlFlow::Continue(())
            })?;
        }
        for record in records {
            state.replay(history, &record)?;
        }
        Ok(state)
    }

    /// Adds what was counted, and appends it to a journal's record.
    ///
    /// # Errors
    /// A row that is in the store could not be read. What belongs to others was counted.
    pub(super) fn count(
        &mut self,
        history: &Keyspace,
        counted: &[Counted],
        record: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let minute = |counted: &Counted| Kind::Minute.index(counted.tally.at);
        let first = counted.iter().map(minute).min();
        first.into_iter().for_each(|first| rows::put(record, first.into()));
        let mut outcome = Ok(());
        for counted in counted {
            let account = self.names.account_or_new(&counted.profile, counted.device.as_ref());
            let resource = self.names.resource_or_new(counted.tally.resource.as_str());
            let count = Count { resource, used: counted.tally.used, denied: counted.tally.denied };
            rows::put(record, account.into());
            rows::put(record, (minute(counted) - first.unwrap_or(0)).into());
            rows::put_counts(record, &[count]);
            outcome = outcome.and(self.add(history, account, minute(counted), count));
        }
        outcome
    }

    /// Adds what a record of the journal says.
    fn replay(&mut self, history: &Keyspace, record: &[u8]) -> Result<(), StoreError> {
        let mut bytes = record;
        let Some(first) = rows::take(&mut bytes) else { return Ok(()) };
        while let (Some(account), Some(minute)) = (rows::take(&mut bytes), rows::take(&mut bytes)) {
            let Some(count) = rows::take_count(&mut bytes) else { break };
            self.add(history, rows::clamp(account), rows::clamp(first.saturating_add(minute)), count)?;
        }
        Ok(())
    }

    /// Adds a count to the account's minute, hour and month.
    fn add(&mut self, history: &Keyspace, account: u32, minute: u32, count: Count) -> Result<(), StoreError> {
        // A number that no account has is of a damaged record.
        if account >= self.names.accounts() {
            return Ok(());
        }
        let at = Window::Minute.start(minute.into());
        for kind in Kind::ALL {
            let row = self.row(history, account, kind, kind.index(at))?;
            rows::add(&mut row.counts, count);
            row.changed = true;
        }
        self.newest = self.newest.max(minute);
        Ok(())
    }

    /// The row of a span: from memory, from the store if it may have it, or a new one.
    fn row(&mut self, history: &Keyspace, account: u32, kind: Kind, index: u32) -> Result<&mut Row, StoreError> {
        let newest = kind.index(Window::Minute.start(self.newest_at_open.into()));
        let accounts = self.names.accounts() as usize;
        if self.accounts.len() < accounts {
            self.accounts.resize_with(accounts, Vec::new);
        }
        let cached = &mut self.accounts[account as usize];
        if let Some(at) = cached.iter().position(|row| (row.kind, row.index) == (kind, index)) {
            return Ok(&mut cached[at]);
        }
        // The last that was written is in memory, so what is later than that and than this run is not in the store.
        let later = |row: &Row| row.kind == kind && row.index > index;
        let counts = match index <= newest || cached.iter().any(later) {
            true => history.get(&rows::key(kind, account, index))?.map_or(Vec::new(), |value| rows::counts(&value)),
            false => Vec::new(),
        };
        let at = cached.len();
        cached.push(Row { kind, index, counts, changed: false });
        Ok(&mut cached[at])
    }

    /// Has every row that has changed written; tells how many. They stay changed until [`State::written`].
    pub(super) fn write(&self, history: &Keyspace, batch: &mut Batch) -> usize {
        let (mut value, mut written) = (Vec::new(), 0);
        for (account, cached) in (0..).zip(&self.accounts) {
            for row in cached.iter().filter(|row| row.changed) {
                value.clear();
                rows::put_counts(&mut value, &row.counts);
                batch.put(history, &rows::key(row.kind, account, row.index), &value);
                written += 1;
            }
        }
        if written > 0 {
            batch.put(history, rows::NEWEST, &self.newest.to_be_bytes());
        }
        written
    }

    /// All that had changed is in the store. Of each account, the last row of each kind is kept.
    pub(super) fn written(&mut self) {
        for cached in &mut self.accounts {
            let last = Kind::ALL.map(|kind| cached.iter().filter(|row| row.kind == kind).map(|row| row.index).max());
            cached.retain(|row| Some(row.index) == last[row.kind as usize]);
            cached.iter_mut().for_each(|row| row.changed = false);
        }
    }

    /// The store takes nothing: lets the oldest minutes go, so that no memory is lost to what cannot be kept.
    pub(super) fn give_up_oldest(&mut self) {
        let oldest = self.newest.saturating_sub(UNWRITTEN_MINUTES);
        for cached in &mut self.accounts {
            cached.retain(|row| row.kind != Kind::Minute || row.index >= oldest);
        }
    }

    /// The rows of an account in memory, in a span of indices.
    pub(super) fn cached(&self, account: u32, kind: Kind, span: &Range<u32>) -> Vec<(u32, Vec<Count>)> {
        let cached = self.accounts.get(account as usize).into_iter().flatten();
        let wanted = cached.filter(|row| row.kind == kind && span.contains(&row.index));
        wanted.map(|row| (row.index, row.counts.clone())).collect()
    }

    /// Lets go of the rows in memory that are older than what is kept of their kind.
    pub(super) fn forget(&mut self, account: u32, kind: Kind, before: u32) {
        if let Some(cached) = self.accounts.get_mut(account as usize) {
            cached.retain(|row| row.changed || row.kind != kind || row.index >= before);
        }
    }

    /// Notes what the broker takes; has the row of the last ten seconds written when they are over, or when this is the end.
    pub(super) fn sample(
        &mut self,
        history: &Keyspace,
        now: Now,
        load: Load,
        end: bool,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        self.recent.push_back((now.mono, load));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let index = system_index(now.wall);
        let sample = self.sample.get_or_insert(Sample { index, begun: now, load });
        sample.load.memory = sample.load.memory.max(load.memory);
        sample.load.connections = sample.load.connections.max(load.connections);
        let millis = now.mono - sample.begun.mono;
        if (sample.index == index && !end) || millis == 0 {
            return Ok(());
        }
        let key = rows::system_key(sample.index);
        let taken = Taken {
            cpu_micros: load.cpu_micros.saturating_sub(sample.load.cpu_micros),
            millis,
            memory: sample.load.memory,
            connections: sample.load.connections,
            messages_in: load.messages_in.saturating_sub(sample.load.messages_in),
            messages_out: load.messages_out.saturating_sub(sample.load.messages_out),
        };
        // There is one where the clock was set back, or the broker was away for a moment.
        let before = history.get(&key)?.and_then(|value| Taken::decode(&value)).unwrap_or_default();
        batch.put(history, &key, &taken.and(before).encode());
        self.sample = Some(Sample { index, begun: now, load });
        Ok(())
    }

    /// The names of the resources in these rows.
    pub(super) fn resource_names(&self, ids: impl Iterator<Item = u32>) -> Vec<String> {
        let mut names: Vec<Arc<str>> = ids.filter_map(|id| self.names.resource_name(id)).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().map(ToString::to_string).collect()
    }
}

/// The number of the ten seconds that hold a moment.
pub(super) fn system_index(at: UnixMillis) -> u32 {
    rows::clamp(at.0 / SYSTEM_MILLIS)
}
