//! The HTTP side: the dashboard, the API and the metrics, on an address of its own. Asks the hub and its history, and carries out
//! what an operator decides. It must never make a client of the broker wait.

mod added;
mod auth;
mod body;
mod check;
mod clients;
mod data;
mod devices;
mod events;
mod guard;
mod joins;
pub(crate) mod metrics;
pub mod model;
mod openapi;
pub mod pages;
mod params;
mod problem;
mod profiles;
mod ranking;
mod rate_limit;
mod routes;
mod server;
mod sessions;
mod stream;
mod system;
mod times;
mod token;
mod usage;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub(crate) use added::Added;
pub use added::AddedError;
pub(crate) use server::Server;
pub(crate) use token::AdminToken;
pub use token::TokenError;

use self::events::Views;
use self::guard::Guard;
use self::problem::Failure;
use self::ranking::Rankings;
use self::sessions::Sessions;
use crate::hub::Hub;

/// How many requests that walk many profiles or clients, or read history, are worked on at one time: others of them wait, so
/// that processors are left for clients.
const HEAVY: usize = 2;

/// What every request has at hand.
pub(crate) struct Admin {
    hub: Arc<Hub>,
    /// When it began, in monotonic milliseconds.
    started: u64,
    added: Arc<Added>,
    token: AdminToken,
    guard: Guard,
    sessions: Sessions,
    rankings: Rankings,
    views: Views,
    heavy: Semaphore,
    streams: Arc<Semaphore>,
}

impl Admin {
    pub(crate) fn new(hub: Arc<Hub>, added: Arc<Added>, token: AdminToken) -> Arc<Self> {
        Arc::new(Admin {
            started: hub.clock.now().mono,
            hub,
            added,
            token,
            guard: Guard::default(),
            sessions: Sessions::default(),
            rankings: Rankings::default(),
            views: Views::default(),
            heavy: Semaphore::new(HEAVY),
            streams: Arc::new(Semaphore::new(events::MAX_STREAMS)),
        })
    }

    /// Does what takes long away from the threads that serve clients.
    async fn off_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Admin>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        // It lasts as long as we do: it is never closed.
        let _permit = self.heavy.acquire().await;
        let admin = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&admin)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::unavailable("the broker failed on this request, or is going away")),
        }
    }
}
