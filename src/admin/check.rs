//! The check API: any service asks whether a request of its own fits a profile's limits, and has it counted. `POST` takes JSON;
//! `GET` takes a query, for nginx's `auth_request`, and means the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::auth::{Operator, Viewer};
use super::body::Sent;
use super::model::{Check, Checked, Problem, TooMany};
use super::params::{NoParams, Params, shown};
use super::problem::Failure;
use super::profiles::limit;
use super::{Admin, rate_limit};
use crate::account::Account;
use crate::limits::{Denial, Reading, Resource, UnixMillis};

/// The most that one request can cost.
const MAX_COST: u64 = 1_000_000_000;

/// Counts a request, if it fits.
#[utoipa::path(
    post,
    path = "/api/v1/check",
    operation_id = "check",
    tag = "check",
    request_body = Check,
    responses(
        (status = 200, description = "It fits, and is counted.", body = Checked, headers(
            ("RateLimit-Policy" = String, description = "The rates that hold, as in draft-ietf-httpapi-ratelimit-headers-10."),
            ("RateLimit" = String, description = "What is left of them."),
        )),
        (status = 400, description = "The body is not what is expected."),
        (status = 404, description = "There is no such profile, device or resource."),
        (status = 429, description = "It does not fit, and is not counted. (Or there were too many wrong tokens from this address: then with a problem body.)", content((TooMany = "application/json"), (Problem = "application/problem+json")), headers(
            ("Retry-After" = String, description = "Seconds until the window ends."),
            ("RateLimit-Policy" = String, description = "The rates that hold."),
            ("RateLimit" = String, description = "What is left of them."),
        )),
    ),
    security(("token" = []))
)]
pub(super) async fn post(
    State(admin): State<Arc<Admin>>,
    _: Operator,
    _: NoParams,
    Sent(check): Sent<Check>,
) -> Result<Response, Failure> {
    count(&admin, &check)
}

/// Counts a request, if it fits: the same as a query.
#[utoipa::path(
    get,
    path = "/api/v1/check",
    operation_id = "checkByQuery",
    tag = "check",
    params(
        ("profile" = String, Query, description = "The profile whose limit is asked for."),
        ("device" = Option<String>, Query, description = "The device, whose own rates must fit too."),
        ("resource" = String, Query, description = "The resource: one of the plan's, such as `POST /data`."),
        ("cost" = Option<u64>, Query, description = "How much it costs; 0 asks whether one more fits, without counting.", minimum = 0, maximum = 1_000_000_000),
    ),
    responses(
        (status = 200, description = "It fits, and is counted.", body = Checked, headers(
            ("RateLimit-Policy" = String, description = "The rates that hold."),
            ("RateLimit" = String, description = "What is left of them."),
        )),
        (status = 400, description = "A parameter is not what is expected."),
        (status = 404, description = "There is no such profile, device or resource."),
        (status = 429, description = "It does not fit, and is not counted.", content((TooMany = "application/json"), (Problem = "application/problem+json")), headers(
            ("Retry-After" = String, description = "Seconds until the window ends."),
            ("RateLimit-Policy" = String, description = "The rates that hold."),
            ("RateLimit" = String, description = "What is left of them."),
        )),
    ),
    security(("token" = []))
)]
pub(super) async fn get(State(admin): State<Arc<Admin>>, _: Operator, uri: Uri) -> Result<Response, Failure> {
    let params = Params::of(&uri, &["profile", "device", "resource", "cost"])?;
    let needed = |name| {
        let missing = || Failure::bad_request(format!("`{name}` is expected in the query"));
        params.get(name).map(str::to_owned).ok_or_else(missing)
    };
    let check = Check {
        profile: needed("profile")?,
        device: params.get("device").map(str::to_owned),
        resource: needed("resource")?,
        cost: params.whole("cost", 0, MAX_COST)?.unwrap_or(1),
    };
    count(&admin, &check)
}

fn count(admin: &Admin, check: &Check) -> Result<Response, Failure> {
    let Check { profile, device, resource, cost } = check;
    if *cost > MAX_COST {
        return Err(Failure::bad_request(format!(
            "`cost`: a whole number from 0 to {MAX_COST} is expected, not {cost}"
        )));
    }
    let account = Viewer::Admin.account(admin, profile)?;
    let device = match device {
        Some(device) => Some(known_device(admin, profile, device)?),
        None => None,
    };
    let resource: Resource = resource.parse().map_err(|error| Failure::bad_request(format!("`resource`: {error}")))?;
    if !account.meters().has(&resource) {
        let plan = &account.plan().name;
        let detail = format!(
            "the profile {profile} is on the plan {plan}, and neither has a rate for {}",
            shown(resource.as_str())
        );
        return Err(Failure::not_found(detail));
    }
    let now = admin.hub.clock.now().wall;
    match ask(admin, &account, device.as_ref(), &resource, *cost, now) {
        Answer { denial: None, headers, readings } => {
            let left = |reading: &&Reading| reading.limit.as_ref().map(|rate| rate.count.saturating_sub(reading.used));
            let least = readings.iter().filter(|reading| reading.limit.is_some()).min_by_key(left);
            let checked = Checked { status: true, limit: least.map(|reading| limit(reading, now)) };
            Ok((StatusCode::OK, headers, Json(checked)).into_response())
        }
        Answer { denial: Some(denial), headers, .. } => Err(Failure::denied(&denial).with_all(headers)),
    }
}

fn known_device(admin: &Admin, profile: &str, device: &str) -> Result<Arc<str>, Failure> {
    let config = admin.hub.config.load();
    let known = config.profiles.get(profile).and_then(|profile| profile.devices.get_key_value(device));
    let missing = || Failure::not_found(format!("the profile {profile} has no device {}", shown(device)));
    known.map(|(name, _)| Arc::clone(name)).ok_or_else(missing)
}

/// What came of asking for a resource.
pub(super) struct Answer {
    pub(super) denial: Option<Denial>,
    /// The fields of the IETF draft.
    pub(super) headers: HeaderMap,
    /// What is used of the resource now, of the profile and of the device.
    readings: Vec<Reading>,
}

/// Counts `cost` of a resource, if it fits; a denial is told to whoever watches.
pub(super) fn ask(
    admin: &Admin,
    account: &Arc<Account>,
    device: Option<&Arc<str>>,
    resource: &Resource,
    cost: u64,
    now: UnixMillis,
) -> Answer {
    let meters = account.device_meters(device);
    let admitted = account.meters().admit_resource(meters.as_deref(), resource, cost, now);
    if cost > 0
        && let Err(denial) = &admitted
    {
        admin.hub.denied_over_http(account, "check", device, denial);
    }
    let mut readings = account.meters().readings(now);
    readings.retain(|reading| reading.resource == *resource);
    let mut of_device = meters.map_or_else(Vec::new, |meters| meters.readings(now));
    of_device.retain(|reading| reading.resource == *resource && reading.limit.is_some());
    let headers = rate_limit::headers(&readings, &of_device, now);
    readings.append(&mut of_device);
    Answer { denial: admitted.err(), headers, readings }
}
