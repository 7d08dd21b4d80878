//! The dashboard: pages of HTML that work without a script and are live with one, with charts in them. Asked by browsers
//! through `admin`'s server, which says who is looking; everything shown comes from a [`Source`]. Pages must never show a
//! profile's viewer anything of another profile, let what a user named become markup, or load anything from elsewhere.

mod assets;
mod charts;
mod clients;
mod format;
mod frame;
mod limits;
mod profiles;
mod system;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use assets::{Asset, find as asset};
pub use frame::{not_found, sign_in};

use crate::admin::model::{Clients, ProfileLimits, Profiles, System, SystemHistory, UsageSeries};
use crate::limits::UnixMillis;
use crate::usage::Step;

/// What the pages show. Every call may take its time: pages call on threads that may block.
pub trait Source: Send + Sync + 'static {
    /// The time at the broker.
    fn now(&self) -> UnixMillis;

    /// A page of the profiles, the fullest first; of those whose name has `search` in it. A cursor that means nothing is
    /// the first page.
    fn profiles(&self, cursor: Option<&str>, limit: usize, search: Option<&str>) -> Profiles;

    /// All about a profile's limits; nothing where there is no such profile.
    fn limits(&self, profile: &str) -> Option<ProfileLimits>;

    /// What a profile used of a resource, a point for each step from `from` up to and without `to`, zeros included; nothing
    /// where there is no such profile or resource.
    fn usage(&self, profile: &str, resource: &str, from: UnixMillis, to: UnixMillis, step: Step)
    -> Option<UsageSeries>;

    /// A page of the connected clients, of one profile or of all. A cursor that means nothing is the first page.
    fn clients(&self, profile: Option<&str>, cursor: Option<&str>, limit: usize) -> Clients;

    /// Disconnects a client; whether it was there.
    fn disconnect(&self, profile: &str, client_id: &str) -> bool;

    /// The broker now.
    fn system(&self) -> System;

    /// The broker from `from` up to and without `to`, in steps of so many seconds.
    fn system_history(&self, from: UnixMillis, to: UnixMillis, step_seconds: u64) -> SystemHistory;
}

/// Who looks at a page. The server puts it among a request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Whoever holds the admin token: sees and does everything.
    Admin,
    /// Whoever holds a profile's read-only token: sees that profile alone.
    Profile(Arc<str>),
}

impl Viewer {
    /// Whether it may see this profile.
    fn sees(&self, profile: &str) -> bool {
        match self {
            Viewer::Admin => true,
            Viewer::Profile(own) => &**own == profile,
        }
    }
}

/// The pages for who has signed in. Each request must carry a [`Viewer`]; one that does not is sent to `/login`.
pub fn routes<S: Clone + Send + Sync + 'static>(source: Arc<dyn Source>) -> Router<S> {
    Router::new()
        .route("/", get(profiles::page))
        .route("/profiles/{profile}", get(limits::page))
        .route("/profiles/{profile}/chart.svg", get(limits::chart))
        .route("/clients", get(clients::page))
        .route("/clients/disconnect", get(clients::confirm).post(clients::disconnect))
        .route("/system", get(system::page))
        .layer(Extension(source))
}

/// What is served without signing in: the page to sign in on, and what it is dressed in. `POST /login` and `/logout` are the
/// server's; it answers a wrong token with [`sign_in`].
pub fn public_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/login", get(|| async { sign_in(None) })).route("/assets/{name}", get(assets::serve))
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Viewer>().cloned().ok_or_else(|| axum::response::Redirect::to("/login").into_response())
    }
}

/// What only an administrator sees.
struct Admin;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Viewer::from_request_parts(parts, state).await? {
            Viewer::Admin => Ok(Admin),
            viewer => Err(frame::failure(
                &viewer,
                StatusCode::FORBIDDEN,
                "This page is for administrators",
                "You signed in with a profile's read-only token, which shows the limits of that profile.",
            )),
        }
    }
}

/// Carries out what may block where it may.
async fn blocking(viewer: Viewer, work: impl FnOnce() -> Response + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            frame::failure(
                &viewer,
                StatusCode::INTERNAL_SERVER_ERROR,
                "This page could not be made",
                "The broker's log says why. The broker itself goes on.",
            )
        }
    }
}
