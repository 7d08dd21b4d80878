//! The broker itself: what it takes of the machine and how much passes through it, now and over time. The rates are over the last
//! ten seconds, of samples that are taken each second.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::Admin;
use super::auth::Overseer;
use super::model::{System, SystemHistory, SystemPoint};
use super::params::{NoParams, Params};
use super::problem::Failure;
use super::times::{backwards, rfc3339, time};
use crate::limits::UnixMillis;

/// The steps of a history at most.
const MAX_POINTS: u64 = 20_000;
/// History has a point each ten seconds.
const LEAST_STEP: u64 = 10;
const LONGEST_STEP: u64 = 86_400;

/// The broker now.
#[utoipa::path(
    get,
    path = "/api/v1/system",
    operation_id = "getSystem",
    tag = "system",
    responses(
        (status = 200, description = "The broker now.", body = System),
        (status = 400, description = "A parameter where there is none."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn get(State(admin): State<Arc<Admin>>, _: Overseer, _: NoParams) -> Result<Json<System>, Failure> {
    admin.off_thread(|admin| Ok(now(admin))).await.map(Json)
}

/// The broker over time.
#[utoipa::path(
    get,
    path = "/api/v1/system/history",
    operation_id = "getSystemHistory",
    tag = "system",
    params(
        ("from" = Option<String>, Query, description = "The beginning, as in RFC 3339 or in seconds since 1970; left out: an hour before `to`."),
        ("to" = Option<String>, Query, description = "The end; left out: now."),
        ("step" = Option<u64>, Query, description = "Seconds of a step.", minimum = 10, maximum = 86400),
    ),
    responses(
        (status = 200, description = "A point for each step that anything is known of.", body = SystemHistory),
        (status = 400, description = "A parameter is not what is expected."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn history(
    State(admin): State<Arc<Admin>>,
    _: Overseer,
    uri: Uri,
) -> Result<Json<SystemHistory>, Failure> {
    let params = Params::of(&uri, &["from", "to", "step"])?;
    let step = params.whole("step", LEAST_STEP, LONGEST_STEP)?.unwrap_or(LEAST_STEP);
    let to = params.read("to", time)?.unwrap_or(admin.hub.clock.now().wall);
    let from = params.read("from", time)?.unwrap_or(UnixMillis(to.0.saturating_sub(3_600_000)));
    admin.off_thread(move |admin| over_time(admin, from, to, step)).await.map(Json)
}

/// The broker now.
pub(crate) fn now(admin: &Admin) -> System {
    let hub = &admin.hub;
    let now = hub.clock.now();
    let last = hub.load();
    let (begun, first) = hub.usage.ten_seconds_ago().unwrap_or((now.mono, last));
    let seconds = now.mono.saturating_sub(begun) as f64 / 1000.0;
    let rate = |now: u64, then: u64| if seconds > 0.0 { now.saturating_sub(then) as f64 / seconds } else { 0.0 };
    System {
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_seconds: now.mono.saturating_sub(admin.started) / 1000,
        now: rfc3339(now.wall),
        cpu: rate(last.cpu_micros, first.cpu_micros) / 1e6,
        memory: last.memory,
        connections: last.connections,
        messages_in_rate: rate(last.messages_in, first.messages_in),
        messages_out_rate: rate(last.messages_out, first.messages_out),
        figures: hub.stats.named().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// The broker over time.
pub(crate) fn over_time(
    admin: &Admin,
    from: UnixMillis,
    to: UnixMillis,
    step_seconds: u64,
) -> Result<SystemHistory, Failure> {
    if from >= to {
        return Err(backwards());
    }
    if (to.0 - from.0) / (step_seconds * 1000) > MAX_POINTS {
        let detail = format!("more than {MAX_POINTS} steps: a shorter time or a longer step is expected");
        return Err(Failure::bad_request(detail));
    }
    let points = admin.hub.usage.system(from, to, step_seconds)?;
    let point = |point: crate::usage::SystemPoint| SystemPoint {
        at: rfc3339(point.at),
        cpu: point.cpu,
        memory: point.memory,
        connections: point.connections,
        messages_in: point.messages_in,
        messages_out: point.messages_out,
    };
    Ok(SystemHistory { step_seconds, points: points.into_iter().map(point).collect() })
}
