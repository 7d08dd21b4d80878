//! Where `admin` meets the pages and the history: what the pages show, and what an error of history is answered. Called by the
//! routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use super::auth::{Operator, SignedIn, Viewer};
use super::model::{Clients, ProfileLimits, Profiles, System, SystemHistory, UsageSeries};
use super::problem::Failure;
use super::times::Span;
use super::{Admin, clients, pages, profiles, system, usage};
use crate::limits::UnixMillis;
use crate::usage::{Step, UsageError};

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::TooManyPoints { .. } => Failure::bad_request(error.to_string()),
            UsageError::Store(error) => {
                tracing::error!(%error, "history cannot be read");
                Failure::unavailable("the history cannot be read just now; the broker's log says why")
            }
        }
    }
}

/// The pages of the dashboard, for whoever has signed in.
pub(super) fn pages(admin: &Arc<Admin>) -> Router<Arc<Admin>> {
    let source: Arc<dyn pages::Source> = Arc::new(Shown(Arc::clone(admin)));
    let signed_in = middleware::from_fn_with_state(Arc::clone(admin), signed_in);
    pages::routes(source).route_layer(signed_in).merge(pages::public_routes())
}

/// Says who looks at a page, and that only the admin changes something there, from our own pages.
async fn signed_in(
    State(admin): State<Arc<Admin>>,
    SignedIn(viewer): SignedIn,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if !parts.method.is_safe()
        && let Err(failure) = Operator::from_request_parts(&mut parts, &admin).await
    {
        return failure.into_response();
    }
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(match viewer {
        Viewer::Admin => pages::Viewer::Admin,
        Viewer::Profile(profile) => pages::Viewer::Profile(profile),
    });
    next.run(request).await
}

/// What the pages show: the same as the API.
struct Shown(Arc<Admin>);

impl pages::Source for Shown {
    fn now(&self) -> UnixMillis {
        self.0.hub.clock.now().wall
    }

    fn profiles(&self, cursor: Option<&str>, limit: usize, search: Option<&str>) -> Profiles {
        let page = |cursor| profiles::page(&self.0, &Viewer::Admin, cursor, limit, search.unwrap_or(""));
        let none = |_| Profiles { profiles: Vec::new(), total: 0, next: None };
        page(cursor).or_else(|_| page(None)).unwrap_or_else(none)
    }

    fn limits(&self, profile: &str) -> Option<ProfileLimits> {
        self.0.hub.account(profile).map(|account| profiles::about(&self.0, &account))
    }

    fn usage(
        &self,
        profile: &str,
        resource: &str,
        from: UnixMillis,
        to: UnixMillis,
        step: Step,
    ) -> Option<UsageSeries> {
        let span = Span::between(from, to, step);
        let usage = usage::over_time(&self.0, &Viewer::Admin, profile, None, Some(resource), span);
        usage.ok()?.series.pop()
    }

    fn clients(&self, profile: Option<&str>, cursor: Option<&str>, limit: usize) -> Clients {
        let page = |cursor| clients::page(&self.0, &Viewer::Admin, profile, cursor, limit);
        let none = |_| Clients { clients: Vec::new(), total: 0, next: None };
        page(cursor).or_else(|_| page(None)).unwrap_or_else(none)
    }

    fn disconnect(&self, profile: &str, client_id: &str) -> bool {
        clients::disconnect(&self.0, profile, client_id).is_ok()
    }

    fn system(&self) -> System {
        system::now(&self.0)
    }

    fn system_history(&self, from: UnixMillis, to: UnixMillis, step_seconds: u64) -> SystemHistory {
        let none = |_| SystemHistory { step_seconds, points: Vec::new() };
        system::over_time(&self.0, from, to, step_seconds).unwrap_or_else(none)
    }
}
