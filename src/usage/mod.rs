//! Meters over time: what each profile, and each device with rates of its own, has used and been denied of each resource, by the
//! minute, hour and month; and what the broker itself takes. Fed once a second off the way of a packet, asked by `admin`. It
//! must never make a packet wait, and never count anything twice or not at all.

use crate::limits::UnixMillis;

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
