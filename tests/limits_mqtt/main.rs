//! The limits of `tests/limits`, word for word, with another broker behind Weir: Debian's mosquitto.

#[path = "../limits/main.rs"]
mod limits;
