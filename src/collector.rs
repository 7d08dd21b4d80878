//! Carries what the meters have counted into history, once a second: one task for the whole broker, whose work is done on a thread
//! that may wait for a disk. At the start it goes the other way, once: the counts of the current windows come back from history.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::events::Crossing;
use crate::hub::Hub;
use crate::limits::{Drained, Resource, UnixMillis, Window};
use crate::store::StoreError;
use crate::usage::{Counted, Usage};

/// Milliseconds from one collection to the next: the most that is lost when the process is killed.
const PERIOD: u64 = 1_000;

/// Held while counts are on their way from the meters to history, so that the last collection finds all there is.
#[derive(Default)]
pub(crate) struct Collector {
    /// Whether the last collection could not be written.
    failing: Mutex<bool>,
}

impl Collector {
    /// Collects for as long as the broker runs, first a second after `begun` (monotonic milliseconds).
    pub(crate) async fn run(hub: Arc<Hub>, begun: u64) {
        let mut due = begun + PERIOD;
        loop {
            hub.clock.sleep_until(due).await;
            due = hub.clock.now().mono + PERIOD;
            let working = Arc::clone(&hub);
            let collected = tokio::task::spawn_blocking(move || working.collector.collect(&working, false)).await;
            if let Err(error) = collected {
                tracing::error!(%error, "the collection of usage has failed");
            }
        }
    }

    /// Takes what was counted since the last time into history; at the `end`, writes everything. May wait for a disk.
    pub(crate) fn collect(&self, hub: &Hub, end: bool) {
        let mut failing = self.failing.lock();
        let now = hub.clock.now();
        let (mut counted, mut crossings) = (Vec::new(), Vec::new());
        hub.drain(now.wall, &mut |profile, device, drained: &mut Drained| {
            let (profile, device) = (|| Arc::clone(profile), || device.cloned());
            let of = |tally| Counted { profile: profile(), device: device(), tally };
            counted.extend(drained.tallies.drain(..).map(of));
            crossings.extend(drained.crossed.drain(..).map(|crossed| Crossing {
                profile: profile(),
                device: device(),
                resource: crossed.resource,
                rate: crossed.rate,
                used: crossed.used,
                window_ends: crossed.window_ends,
                percent: crossed.percent,
                at: now.wall,
            }));
        });
        crossings.iter().for_each(|crossing| hub.crossed(crossing));
        let load = hub.load();
        let begun = Instant::now();
        let outcome = match end {
            false => hub.usage.collect(now, &counted, load),
            true => hub.usage.finish(now, &counted, load),
        };
        hub.stats.store_write.observe(begun.elapsed());
        match &outcome {
            Err(error) if !*failing => tracing::error!(%error, "usage is not written: a restart would lose it"),
            Ok(()) if *failing => tracing::info!("usage is written again"),
            Ok(()) => tracing::trace!(at = now.wall.0, counts = counted.len(), "usage collected"),
            Err(_) => {}
        }
        *failing = outcome.is_err();
    }
}

/// Puts the counts of the current windows back into the meters, and notes where the process stands. May wait for a disk.
pub(crate) fn begin(hub: &Hub) -> Result<(), StoreError> {
    restore(hub)?;
    hub.collector.collect(hub, false);
    Ok(())
}

fn restore(hub: &Hub) -> Result<(), StoreError> {
    let (now, usage) = (hub.clock.now().wall, &hub.usage);
    let mut outcome = Ok(());
    for account in hub.accounts() {
        let profile = account.name();
        account.meters().restore(now, found(usage, profile, None, now, &mut outcome));
        for (device, meters) in account.devices() {
            meters.restore(now, found(usage, profile, Some(&device), now, &mut outcome));
        }
    }
    outcome
}

/// What history has of the current windows of an account, for its meters to ask.
fn found<'a>(
    usage: &'a Usage,
    profile: &'a str,
    device: Option<&'a str>,
    now: UnixMillis,
    outcome: &'a mut Result<(), StoreError>,
) -> impl FnMut(&Resource, Window) -> (u64, u64) + 'a {
    move |resource, window| {
        usage.current(profile, device, resource, window, now).unwrap_or_else(|error| {
            *outcome = Err(error);
            (0, 0)
        })
    }
}
