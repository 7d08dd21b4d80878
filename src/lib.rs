//! Weir is an MQTT broker with hard limits built in.

pub mod config;
pub mod limits;
pub mod wire;
