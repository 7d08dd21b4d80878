//! Every route of the admin address, and what holds for all of them. Called by the server when it starts.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use super::auth::{Overseer, Viewer, login, logout};
use super::problem::{Failure, no_such_method, no_such_path};
use super::{Admin, check, clients, data, devices, events, joins, openapi, profiles, system, usage};

/// All routes.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/data", post(data::post))
        .route("/api/v1/openapi.json", get(description))
        .route("/api/v1/profiles", get(profiles::list))
        .route("/api/v1/profiles/{profile}/limits", get(profiles::limits))
        .route("/api/v1/profiles/{profile}/usage", get(usage::get))
        .route("/api/v1/profiles/{profile}/devices", post(devices::post))
        .route("/api/v1/profiles/{profile}/devices/{device}", delete(devices::delete))
        .route("/api/v1/clients", get(clients::list))
        .route("/api/v1/clients/{profile}/{client_id}", delete(clients::delete))
        .route("/api/v1/check", get(check::get).post(check::post))
        .route("/api/v1/system", get(system::get))
        .route("/api/v1/system/history", get(system::history))
        .route("/api/v1/events", get(events::get))
        .merge(joins::pages(&admin))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        // Each body has its own bound, where it is read.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(fresh))
        .with_state(admin)
}

/// What is answered holds now: no one between is to keep it.
async fn fresh(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// That the broker runs.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isAlive",
    tag = "health",
    responses((status = 200, description = "It runs.", body = String, content_type = "text/plain"))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// That the broker takes clients.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "health",
    responses(
        (status = 200, description = "It takes clients.", body = String, content_type = "text/plain"),
        (status = 503, description = "It is shutting down, or the backend is away."),
    )
)]
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Result<&'static str, Failure> {
    if *admin.hub.shutdown.borrow() {
        return Err(Failure::unavailable("the broker is shutting down"));
    }
    match &admin.hub.relay {
        Some(relay) if !relay.is_available() => Err(Failure::unavailable("the broker behind this one is away")),
        _ => Ok("ready\n"),
    }
}

/// The content type of the metrics.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The broker's figures, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "system",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn metrics(State(admin): State<Arc<Admin>>, _: Overseer) -> Result<Response, Failure> {
    let text = admin.off_thread(|admin| Ok(super::metrics::render(&admin.hub))).await?;
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "getDescription",
    tag = "system",
    responses((status = 200, description = "The API, as OpenAPI 3.1.", body = Object, content_type = "application/json")),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn description(_: Viewer) -> Response {
    ([(CONTENT_TYPE, "application/json")], Bytes::from_static(openapi::DESCRIPTION.as_bytes())).into_response()
}
