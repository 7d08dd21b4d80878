//! Meters over time: what each profile, and each device with rates of its own, has used and been denied of each resource, by the
//! minute, hour and month; and what the broker itself takes. Fed once a second off the way of a packet, asked by `admin`. It
//! must never make a packet wait, and never count anything twice or not at all.
//!
//! Each second's counts go to a journal, which a kill of the process survives; once a minute the rows of that minute, its hour
//! and its month are written in one batch that clears the journal as well. A row is a sum that is only added to, whatever the
//! clock does.

mod names;
mod retention;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use self::retention::Retention;
use self::rows::{Count, Kind, Taken};
use self::state::{SYSTEM_MILLIS, State, system_index};
use crate::clock::Now;
use crate::limits::{Resource, Tally, UnixMillis, Window};
use crate::store::{Keyspace, Store, StoreError};

/// How long each point of a series is. All are aligned to the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `1m`
    Minute,
    /// `1h`
    Hour,
    /// `1d`
    Day,
    /// `1mo`
    Month,
}

impl Step {
    /// The window that is as long.
    pub(crate) fn window(self) -> Window {
        match self {
            Step::Minute => Window::Minute,
            Step::Hour => Window::Hour,
            Step::Day => Window::Day,
            Step::Month => Window::Month,
        }
    }
}

/// What was used and denied in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// When the step begins.
    pub at: UnixMillis,
    /// How much was admitted: requests, or bytes of a resource that counts bytes.
    pub used: u64,
    /// How many requests were denied (with `enforce: false`: would have been).
    pub denied: u64,
}

/// What the broker's process took and did in one step of ten seconds or more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SystemPoint {
    /// When the step begins.
    pub at: UnixMillis,
    /// Processor time per wall time: 1.0 is one processor all the time. The mean of the step.
    pub cpu: f64,
    /// Resident memory in bytes: the highest of the step.
    pub memory: u64,
    /// Open connections: the highest of the step.
    pub connections: u64,
    /// Application messages from clients, a second: the mean of the step.
    pub messages_in: f64,
    /// Application messages to clients, a second: the mean of the step.
    pub messages_out: f64,
}

/// What was counted of a profile, or of a device with rates of its own.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) profile: Arc<str>,
    pub(crate) device: Option<Arc<str>>,
    pub(crate) tally: Tally,
}

/// What the broker takes and has to do, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Processor time since the process began.
    pub(crate) cpu_micros: u64,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    /// Open connections.
    pub(crate) connections: u64,
    /// Application messages from clients since the start.
    pub(crate) messages_in: u64,
    /// Application messages to clients since the start.
    pub(crate) messages_out: u64,
}

/// Why history cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The times are too far apart for the step.
    #[error(
        "{points} points are more than the {MAX_POINTS} that are told at once: choose a longer step or a shorter time"
    )]
    TooManyPoints {
        /// How many there would be.
        points: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The most points that a series has.
pub const MAX_POINTS: u64 = 50_000;

/// History: see the module's text. Whatever asks it reads the store, and may wait for a disk: ask from a thread that may wait
/// (`spawn_blocking`), not from one that serves clients.
pub struct Usage {
    store: Store,
    /// Counts, names and the system's rows.
    history: Keyspace,
    /// What was counted since the last minute was written; nothing where all is in memory.
    journal: Option<Keyspace>,
    state: Mutex<State>,
    /// Held by the one who writes, so that what is read can be had meanwhile.
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    retention: Retention,
    /// The minute of the last write.
    minute: Option<u32>,
}

impl Default for Usage {
    /// History in memory.
    fn default() -> Self {
        Usage {
            store: Store::Memory,
            history: Keyspace::default(),
            journal: None,
            state: Mutex::default(),
            writer: Mutex::default(),
        }
    }
}

impl Usage {
    /// Opens the history in this directory, with all that was counted up to the last second of its last run; or a new one in
    /// memory.
    ///
    /// # Errors
    /// The directory cannot be used; the text says what to do.
    pub fn open(data_dir: Option<&Path>) -> Result<Self, StoreError> {
        let Some(data_dir) = data_dir else { return Ok(Self::default()) };
        let store = Store::open(data_dir)?;
        let (history, journal) = (store.keyspace("usage")?, store.keyspace("usage_journal")?);
        let state = Mutex::new(State::load(&history, Some(&journal))?);
        let usage = Usage { store, history, journal: Some(journal), state, writer: Mutex::default() };
        usage.write()?;
        Ok(usage)
    }

    /// What was used and denied of a resource, by a profile or by a device with rates of its own, from the step that `from` is in
    /// to the one that ends at `to` or holds it: a point for each, zeros included. What was counted in the last second may be
    /// missing.
    ///
    /// # Errors
    /// There are more than [`MAX_POINTS`], or the store could not be read.
    pub fn series(
        &self,
        profile: &str,
        device: Option<&str>,
        resource: &str,
        from: UnixMillis,
        to: UnixMillis,
        step: Step,
    ) -> Result<Vec<Point>, UsageError> {
        let window = step.window();
        let steps = steps(window, from, to);
        let points = steps.end - steps.start;
        if points > MAX_POINTS {
            return Err(UsageError::TooManyPoints { points });
        }
        Ok(self.points(profile, device, resource, window, steps)?)
    }

    /// What was used and denied in each of these windows of one kind, which is nothing in a second: seconds are not kept.
    fn points(
        &self,
        profile: &str,
        device: Option<&str>,
        resource: &str,
        window: Window,
        steps: Range<u64>,
    ) -> Result<Vec<Point>, StoreError> {
        let empty = |index| Point { at: window.start(index), ..Point::default() };
        let mut points: Vec<Point> = steps.clone().map(empty).collect();
        let (kind, rows_in_step) = match window {
            Window::Second => return Ok(points),
            Window::Minute => (Kind::Minute, 1),
            Window::Hour => (Kind::Hour, 1),
            // Days are added up from their hours.
            Window::Day => (Kind::Hour, 24),
            Window::Month => (Kind::Month, 1),
        };
        let known = {
            let state = self.state.lock();
            state.names.account(profile, device).zip(state.names.resource(resource))
        };
        let Some((account, resource)) = known else { return Ok(points) };
        let span = rows::clamp(steps.start * rows_in_step)..rows::clamp(steps.end * rows_in_step);
        self.each_row(account, kind, span, |index, counts| {
            let (used, denied) = rows::of(counts, resource);
            let at = u64::from(index) / rows_in_step - steps.start;
            if let Some(point) = points.get_mut(at as usize) {
                point.used = point.used.saturating_add(used);
                point.denied = point.denied.saturating_add(denied);
            }
        })?;
        Ok(points)
    }

    /// What the process took and did, a point for each step of so many seconds (ten at least) of which anything is known.
    ///
    /// # Errors
    /// There may be more than [`MAX_POINTS`], or the store could not be read.
    pub fn system(&self, from: UnixMillis, to: UnixMillis, step_seconds: u64) -> Result<Vec<SystemPoint>, UsageError> {
        let step = step_seconds.saturating_mul(1_000).max(SYSTEM_MILLIS);
        let (first, end) = (from.0 / step, to.0.div_ceil(step));
        if end.saturating_sub(first) > MAX_POINTS {
            return Err(UsageError::TooManyPoints { points: end - first });
        }
        let mut steps: Vec<(u64, Taken)> = Vec::new();
        let key = |step_index: u64| rows::system_key(system_index(UnixMillis(step_index.saturating_mul(step))));
        self.history.range(&key(first), &key(end), |key, value| {
            let index = u64::from(rows::index_of(key)) * SYSTEM_MILLIS / step;
            if let Some(taken) = Taken::decode(value) {
                match steps.last_mut() {
                    Some((last, sum)) if *last == index => *sum = sum.and(taken),
                    _ => steps.push((index, taken)),
                }
            }
            ControlFlow::Continue(())
        })?;
        let point = |(index, taken): (u64, Taken)| {
            let seconds = taken.millis.max(1) as f64 / 1_000.0;
            SystemPoint {
                at: UnixMillis(index * step),
                cpu: taken.cpu_micros as f64 / 1e6 / seconds,
                memory: taken.memory,
                connections: taken.connections,
                messages_in: taken.messages_in as f64 / seconds,
                messages_out: taken.messages_out as f64 / seconds,
            }
        };
        Ok(steps.into_iter().map(point).collect())
    }

    /// The resources of which anything was ever counted for a profile or device, by name.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn resources(&self, profile: &str, device: Option<&str>) -> Result<Vec<String>, UsageError> {
        let Some(account) = self.state.lock().names.account(profile, device) else { return Ok(Vec::new()) };
        let mut ids = Vec::new();
        self.each_row(account, Kind::Month, 0..u32::MAX, |_, counts| ids.extend(counts.iter().map(|c| c.resource)))?;
        Ok(self.state.lock().resource_names(ids.into_iter()))
    }

    /// The devices of a profile of which anything was ever counted: those that have or had rates of their own, by name.
    pub fn devices(&self, profile: &str) -> Vec<String> {
        self.state.lock().names.devices(profile)
    }

    /// What was used and denied of a resource in the window of this kind that `now` is in; a second is not told.
    pub(crate) fn current(
        &self,
        profile: &str,
        device: Option<&str>,
        resource: &Resource,
        window: Window,
        now: UnixMillis,
    ) -> Result<(u64, u64), StoreError> {
        let index = window.index(now);
        let points = self.points(profile, device, resource.as_str(), window, index..index + 1)?;
        Ok(points.first().map_or((0, 0), |point| (point.used, point.denied)))
    }

    /// What the broker had taken and done when the last ten seconds began, and when that was (monotonic milliseconds); nothing
    /// before the first collection.
    pub(crate) fn ten_seconds_ago(&self) -> Option<(u64, Load)> {
        self.state.lock().recent.front().copied()
    }

    /// Shows the rows of an account in a span, each once, in any order.
    fn each_row(
        &self,
        account: u32,
        kind: Kind,
        span: Range<u32>,
        mut visit: impl FnMut(u32, &[Count]),
    ) -> Result<(), StoreError> {
        // What is in memory is newer than what is in the store. It is taken first: once it is written, it may be let go.
        let cached = self.state.lock().cached(account, kind, &span);
        let (first, end) = (rows::key(kind, account, span.start), rows::key(kind, account, span.end));
        self.history.range(&first, &end, |key, value| {
            let index = rows::index_of(key);
            if cached.iter().all(|(known, _)| *known != index) {
                visit(index, &rows::counts(value));
            }
            ControlFlow::Continue(())
        })?;
        cached.iter().for_each(|(index, counts)| visit(*index, counts));
        Ok(())
    }

    /// Takes in what was counted since the last call, about a second ago. When this returns without an error, it outlives the
    /// process. Called by the collector alone, on a thread that may wait for a disk.
    ///
    /// # Errors
    /// It could not be written. It is kept in memory and written with what comes next.
    pub(crate) fn collect(&self, now: Now, counted: &[Counted], load: Load) -> Result<(), StoreError> {
        let minute = Kind::Minute.index(now.wall);
        let mut writer = self.writer.lock();
        let outcome = self.take_in(&mut writer, now, counted, load, false).and_then(|()| {
            if *writer.minute.get_or_insert(minute) == minute {
                return Ok(());
            }
            self.write()?;
            self.store.sync()
        });
        match outcome {
            Ok(()) => writer.minute = Some(minute),
            Err(_) => self.state.lock().give_up_oldest(),
        }
        outcome
    }

    /// Takes in the last of it, and writes everything.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn finish(&self, now: Now, counted: &[Counted], load: Load) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        self.take_in(&mut writer, now, counted, load, true)?;
        self.write()?;
        self.store.sync()
    }

    fn take_in(
        &self,
        writer: &mut Writer,
        now: Now,
        counted: &[Counted],
        load: Load,
        end: bool,
    ) -> Result<(), StoreError> {
        let (mut batch, mut record) = (self.store.batch(), Vec::new());
        let outcome = {
            let state = &mut *self.state.lock();
            let outcome = state.count(&self.history, counted, &mut record);
            if let Some(journal) = self.journal.as_ref().filter(|_| !record.is_empty()) {
                batch.put(journal, &state.journal.end.to_be_bytes(), &record);
            }
            state.names.write(&self.history, &mut batch);
            let sampled = state.sample(&self.history, now, load, end, &mut batch);
            outcome.and(sampled).and(writer.retention.sweep(&self.history, state, now.wall, &mut batch))
        };
        batch.commit()?;
        let mut state = self.state.lock();
        state.names.written();
        if !record.is_empty() {
            state.journal.end += 1;
        }
        outcome
    }

    /// Writes every row that has changed, and clears the journal with it.
    fn write(&self) -> Result<(), StoreError> {
        let mut batch = self.store.batch();
        let journal = {
            let state = self.state.lock();
            if state.write(&self.history, &mut batch) == 0 && state.journal.is_empty() {
                return Ok(());
            }
            for number in state.journal.clone() {
                self.journal.iter().for_each(|journal| batch.remove(journal, &number.to_be_bytes()));
            }
            state.journal.clone()
        };
        batch.commit()?;
        let mut state = self.state.lock();
        state.written();
        state.journal.start = journal.end;
        Ok(())
    }
}

/// The steps from the one that holds `from` to the one that ends at `to` or holds it.
fn steps(window: Window, from: UnixMillis, to: UnixMillis) -> Range<u64> {
    let first = window.index(from);
    match to > from {
        true => first..window.index(UnixMillis(to.0 - 1)) + 1,
        false => first..first,
    }
}
