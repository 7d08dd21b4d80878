//! Weir is an MQTT broker with hard limits built in: every profile gets exactly what its plan allows in a window, never more,
//! and a client that is over the limit is told what was exceeded and when to come back.
//!
//! A program that embeds the broker uses three things: a [`Config`], read from `broker.yaml` or its text; a [`Broker`], built
//! from it and started; and, if it has something to say to what clients do, a [`Hook`].
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = weir::Config::load("broker.yaml".as_ref())?;
//! let broker = weir::Broker::builder(config).start().await?;
//! println!("listening on {}", broker.addresses()[0]);
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! `ARCHITECTURE.md` tells how the parts hang together and which way a packet takes.

mod account;
mod activity;
pub mod admin;
mod admission;
mod broker;
mod clock;
mod collector;
pub mod config;
mod edge;
mod events;
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod hub;
mod identity;
mod janitor;
mod keyed;
pub mod limits;
#[doc(hidden)]
pub mod measuring;
mod net;
mod process;
mod relay;
mod router;
mod runtime;
mod session;
mod stats;
mod store;
pub mod usage;
pub mod wire;

pub use broker::{Broker, Builder, StartError};
pub use clock::{Clock, ManualClock, Now};
pub use config::Config;
pub use hooks::{AuthStep, Authenticator, Client, DeliverEvent, Hook, PublishEvent, Refusal, Verdict};
pub use net::BoundAddress;
pub use runtime::runtime;
pub use stats::Figures;
pub use store::StoreError;
