//! Hard limits: what is allowed (a [`Rate`] over a calendar [`Window`]), what was used (a [`Gate`] of counters), and the
//! answer when the two meet (a [`Denial`]). Called by the built-in limit hook and by whoever holds requests to a plan.
//! It imports nothing else of the crate, does no I/O and reads no clock: `now` is always given.

mod denial;
mod gate;
mod meters;
mod named;
mod plan;
mod rate;
#[cfg(test)]
mod tests;

pub use denial::Denial;
pub use gate::{Crossed, Drained, Gate, Rule, Tally};
pub use meters::{DeviceMeters, Kind, Meters, Reading};
pub use plan::{Caps, Limits, OnPublish, OnReceive, Plan, Resource, ResourceError};
pub use rate::{Rate, RateError, UnixMillis, Window};
