//! The HTTP side: the dashboard, the API and the metrics, on an address of its own. Asks the hub and the history, and carries out
//! what an operator decides. It must never make a client of the broker wait.

pub(crate) mod metrics;
pub mod model;
pub mod pages;
