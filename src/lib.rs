//! Weir is an MQTT broker with hard limits built in.

pub mod wire;
