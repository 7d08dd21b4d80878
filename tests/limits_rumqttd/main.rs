//! The limits of `tests/limits`, word for word, with an embedded rumqttd behind Weir.

#[path = "../limits/main.rs"]
mod limits;
