//! The profiles and how full their limits are: all of them, the fullest first, or one with everything about it. Pure functions
//! of the state, called by the handlers, by the event streams and by the pages.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::Admin;
use super::auth::Viewer;
use super::model::{Profile, ProfileLimits, Profiles};
use super::params::{Names, NoParams, Params};
use super::problem::Failure;
use super::ranking::Place;
use crate::account::Account;
pub(super) use crate::account::limit;
use crate::config::Config;
use crate::limits::{Reading, UnixMillis};

/// Lists profiles, the fullest first.
#[utoipa::path(
    get,
    path = "/api/v1/profiles",
    operation_id = "listProfiles",
    tag = "limits",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u64>, Query, description = "Profiles of a page.", minimum = 1, maximum = 1000),
        ("search" = Option<String>, Query, description = "A part of the names that are listed."),
    ),
    responses(
        (status = 200, description = "A page of profiles.", body = Profiles),
        (status = 400, description = "A parameter is not what is expected."),
        (status = 404, description = "The list of the cursor is no longer kept."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>, viewer: Viewer, uri: Uri) -> Result<Json<Profiles>, Failure> {
    let params = Params::of(&uri, &["cursor", "limit", "search"])?;
    let limit = params.page_size()?;
    let work =
        move |admin: &Arc<Admin>| page(admin, &viewer, params.get("cursor"), limit, params.get("search").unwrap_or(""));
    admin.off_thread(work).await.map(Json)
}

/// Tells all about one profile's limits.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/{profile}/limits",
    operation_id = "getLimits",
    tag = "limits",
    params(("profile" = String, Path, description = "The profile.")),
    responses(
        (status = 200, description = "Every resource: limit, used, denied, seconds to reset.", body = ProfileLimits),
        (status = 400, description = "The path or a parameter is not what is expected."),
        (status = 404, description = "There is no such profile."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn limits(
    State(admin): State<Arc<Admin>>,
    viewer: Viewer,
    Names(profile): Names<String>,
    _: NoParams,
) -> Result<Json<ProfileLimits>, Failure> {
    let work = move |admin: &Arc<Admin>| {
        let account = viewer.account(admin, &profile)?;
        Ok(about(admin, &account))
    };
    admin.off_thread(work).await.map(Json)
}

/// A page of the profiles that a viewer sees.
pub(crate) fn page(
    admin: &Admin,
    viewer: &Viewer,
    cursor: Option<&str>,
    limit: usize,
    search: &str,
) -> Result<Profiles, Failure> {
    let now = admin.hub.clock.now();
    let config = admin.hub.config.load();
    if let Viewer::Profile(own) = viewer {
        let account = admin.hub.account(own).filter(|account| account.name().contains(search));
        let profiles: Vec<_> = account.iter().map(|account| one(account, &config, now.wall)).collect();
        return Ok(Profiles { total: profiles.len() as u64, profiles, next: None });
    }
    let place = match cursor {
        Some(cursor) => admin.rankings.at(cursor)?,
        None => admin.rankings.first(search, now.mono, || rank(admin, search, now.wall)),
    };
    let Place { names, at, .. } = &place;
    let names = &names[*at..names.len().min(at + limit)];
    // One that is gone since is left out.
    let there = names.iter().filter_map(|name| admin.hub.account(name));
    let profiles = there.map(|account| one(&account, &config, now.wall)).collect();
    Ok(Profiles { profiles, total: place.names.len() as u64, next: place.next(names.len()) })
}

/// The names of all profiles, the fullest first, and by name where two are as full.
fn rank(admin: &Admin, search: &str, now: UnixMillis) -> Arc<[Arc<str>]> {
    let accounts = admin.hub.accounts();
    let searched = accounts.iter().filter(|account| account.name().contains(search));
    let full = |account: &Arc<Account>| (fullest(&account.meters().readings(now)).0, Arc::clone(account.name()));
    let mut ranked: Vec<_> = searched.map(full).collect();
    ranked.sort_by(|(a, name_a), (b, name_b)| b.total_cmp(a).then_with(|| name_a.cmp(name_b)));
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// How full the fullest limit is, and which that is.
fn fullest(readings: &[Reading]) -> (f64, Option<&Reading>) {
    let full = |reading: &Reading| match reading.limit.as_ref()?.count {
        // Nothing fits: it is full as soon as anyone asks.
        0 => Some(if reading.denied > 0 { 1.0 } else { 0.0 }),
        max => Some(reading.used as f64 / max as f64),
    };
    let limited = readings.iter().filter_map(|reading| Some((full(reading)?, reading)));
    let fullest = limited.fold(None, |best: Option<(f64, &Reading)>, (full, reading)| match best {
        Some((most, _)) if most >= full => best,
        _ => Some((full, reading)),
    });
    fullest.map_or((0.0, None), |(full, reading)| (full, Some(reading)))
}

fn one(account: &Account, config: &Config, now: UnixMillis) -> Profile {
    let readings = account.meters().readings(now);
    let plan = account.plan();
    let (full, resource) = fullest(&readings);
    Profile {
        name: account.name().to_string(),
        plan: plan.name.to_string(),
        enforce: plan.enforce,
        connections: account.connections(),
        devices: config.profiles.get(account.name()).map_or(0, |profile| profile.devices.len() as u64),
        fullest: full,
        fullest_resource: resource.map(|reading| reading.resource.to_string()),
        denied: readings.iter().map(|reading| reading.denied).sum(),
        limits: readings.iter().map(|reading| limit(reading, now)).collect(),
    }
}

/// All about one profile.
pub(crate) fn about(admin: &Admin, account: &Account) -> ProfileLimits {
    let now = admin.hub.clock.now().wall;
    let mut busiest = account.activity(now);
    busiest.sort_by_key(|device| Reverse((device.denied, device.published + device.received)));
    busiest.truncate(50);
    let profile = one(account, &admin.hub.config.load(), now);
    ProfileLimits { profile, busiest, denials: account.denials() }
}
