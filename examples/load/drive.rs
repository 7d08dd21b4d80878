//! The life of one client, publisher or subscriber: connect, poll, act when due, reconnect when that is allowed again,
//! leave. Spawned once a client by `main`. It must never drop a poll halfway, and never spend a connect that is sure to be
//! denied.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::select;
use tokio::time::{Instant, sleep_until};

use crate::ledger::minute_of;
use crate::link::{Failure, Happening, Inlet};
use crate::options::Protocol;
use crate::world::{Phase, World};

/// Between attempts, where no limit is the cause.
const RETRY: Duration = Duration::from_secs(1);
/// How long leaving may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What tells a publisher from a subscriber.
pub trait Part {
    /// Something happened on the connection.
    fn on(&mut self, happening: Happening);
    /// The connection ended.
    fn on_end(&mut self) {}
    /// The run went on to another phase.
    fn on_phase(&mut self, _phase: Phase) {}
    /// When [`Part::on_due`] is to be called next.
    fn due(&self) -> Option<Instant>;
    fn on_due(&mut self);
    /// Whether leaked places are to be given back now; answered with true once for each need.
    fn wants_reclaim(&mut self) -> bool {
        false
    }
    /// Hands over DISCONNECT.
    fn leave(&mut self);
}

/// Lives one client's life, until the run ends or the broker rejects it for good.
pub async fn drive(world: &World, mut part: impl Part, mut inlet: Inlet) {
    let mut phases = world.phase.subscribe();
    part.on_phase(*phases.borrow_and_update());
    let mut retry_at = Instant::now();
    let mut leave_by = None;
    let mut last_end = None;
    loop {
        if !inlet.connected() {
            let mut turn = pin!(async {
                sleep_until(retry_at).await;
                world.pass_gate().await;
            });
            loop {
                select! {
                    () = &mut turn => break,
                    () = at(part.due()) => part.on_due(),
                    changed = phases.changed() => {
                        let phase = *phases.borrow_and_update();
                        part.on_phase(phase);
                        if changed.is_err() || phase == Phase::Leaving {
                            return;
                        }
                    }
                }
            }
        }
        let outcome = {
            let mut polling = pin!(inlet.poll());
            loop {
                select! {
                    outcome = &mut polling => break outcome,
                    () = at(part.due()) => part.on_due(),
                    () = at(leave_by) => return,
                    changed = phases.changed() => {
                        let phase = *phases.borrow_and_update();
                        part.on_phase(phase);
                        if changed.is_err() || phase == Phase::Leaving {
                            part.leave();
                            leave_by = Some(Instant::now() + FAREWELL);
                        }
                    }
                }
            }
        };
        match outcome {
            Ok(Happening::Left) => {
                world.ledger().totals.connected -= 1;
                return;
            }
            Ok(happening) => {
                if let Happening::Connected { .. } = happening {
                    let totals = &mut world.ledger().totals;
                    totals.connects += 1;
                    totals.connected += 1;
                }
                part.on(happening);
                if part.wants_reclaim() {
                    inlet.reclaim();
                }
            }
            Err(failure) => {
                part.on_end();
                let now = Some(minute_of(SystemTime::now()));
                let repeated = std::mem::replace(&mut last_end, now) == now;
                match settle(world, failure, repeated) {
                    Some(again) if leave_by.is_none() => retry_at = again,
                    _ => return,
                }
            }
        }
    }
}

/// Counts why there is no connection; gives when to try again, `None` for never.
///
/// An end without a reason may still be a limit's doing: MQTT 3.1.1 has no reasons, and rumqttc does not read the MQTT 5
/// one if its own write fails first. So the second in a minute (`repeated`) is taken for one, not to use up the connects.
fn settle(world: &World, failure: Failure, repeated: bool) -> Option<Instant> {
    let mut ledger = world.ledger();
    match failure {
        Failure::Denied(denial) => {
            ledger.refused(denial);
            Some(world.next_window(None))
        }
        Failure::Rejected(text) => {
            ledger.totals.gave_up += 1;
            ledger.trouble = Some(text);
            None
        }
        Failure::Ended { denial, retry_after, text } => {
            ledger.totals.connected -= 1;
            ledger.closed();
            let limited = denial.is_some() || repeated || world.options.protocol == Protocol::V311;
            if let Some(denial) = denial {
                ledger.refused(denial);
            } else if !limited {
                ledger.trouble = Some(text);
            }
            Some(if limited { world.next_window(retry_after) } else { Instant::now() + RETRY })
        }
        Failure::Unreachable(text) => {
            ledger.trouble = Some(text);
            Some(Instant::now() + RETRY)
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
