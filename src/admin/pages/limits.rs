//! `GET /profiles/{profile}`: a profile's Hard Limits, the devices that use and are denied most, the last denials as clients
//! saw them, and charts of one resource; `GET /profiles/{profile}/chart.svg`: a chart on its own.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::charts::{self, Chart, Palette, Reach};
use super::frame::{Frame, failure, html, not_found, security};
use super::profiles::Bar;
use super::{Source, Viewer, blocking, format};
use crate::admin::model::{Denial, DeviceActivity, Limit, ProfileLimits};
use crate::limits::{UnixMillis, Window};
use crate::usage::Step;

/// Which resource the charts are of.
#[derive(Deserialize)]
pub(super) struct Asked {
    resource: Option<String>,
}

#[derive(Template)]
#[template(path = "limits.html")]
struct Page<'a> {
    frame: Frame,
    name: &'a str,
    plan: &'a str,
    enforce: bool,
    connections: String,
    devices: String,
    limits: Vec<LimitRow>,
    busiest: Vec<DeviceRow>,
    blank_device: [DeviceRow; 1],
    denials: Vec<DenialRow>,
    blank_denial: [DenialRow; 1],
    resources: Vec<&'a str>,
    resource: &'a str,
    charts: Vec<Chart>,
}

struct LimitRow {
    /// Tells the row from the others.
    key: String,
    resource: String,
    rate: String,
    window: String,
    used: String,
    bar: Option<Bar>,
    denied: u64,
    denied_text: String,
    reset_seconds: u64,
    reset: String,
    resets_at: String,
}

impl LimitRow {
    fn new(limit: &Limit) -> Self {
        LimitRow {
            key: format!("{}|{}", limit.resource, limit.limit.as_deref().unwrap_or_default()),
            resource: limit.resource.clone(),
            rate: format::rate(limit),
            window: limit.window.clone(),
            used: format::amount(&limit.resource, limit.used),
            bar: format::share(limit).map(Bar::new),
            denied: limit.denied,
            denied_text: format::number(limit.denied),
            reset_seconds: limit.reset_seconds,
            reset: format::duration(limit.reset_seconds),
            resets_at: limit.resets_at.clone(),
        }
    }
}

struct DeviceRow {
    device: String,
    connections: String,
    /// In the current minute and since the start.
    published: [String; 2],
    received: [String; 2],
    denied: [String; 2],
    is_denied: bool,
    own: String,
}

impl DeviceRow {
    fn new(activity: &DeviceActivity) -> Self {
        let own = activity.limits.iter().filter(|limit| limit.max.is_some()).map(|limit| {
            format!("{} {} / {}", limit.resource, format::amount(&limit.resource, limit.used), format::rate(limit))
        });
        DeviceRow {
            device: activity.device.clone(),
            connections: format::number(activity.connections),
            published: [activity.published, activity.published_total].map(format::number),
            received: [activity.received, activity.received_total].map(format::number),
            denied: [activity.denied, activity.denied_total].map(format::number),
            is_denied: activity.denied > 0,
            own: own.collect::<Vec<_>>().join(", "),
        }
    }

    fn blank() -> Self {
        let nothing = || [String::new(), String::new()];
        DeviceRow {
            device: String::new(),
            connections: String::new(),
            published: nothing(),
            received: nothing(),
            denied: nothing(),
            is_denied: false,
            own: String::new(),
        }
    }
}

struct DenialRow {
    key: String,
    at: String,
    time: String,
    client_id: String,
    device: String,
    resource: String,
    limit: String,
    answer: String,
    text: String,
    /// Whether the text was a part of what the client was sent.
    told: bool,
    protocol: String,
}

impl DenialRow {
    fn new(denial: &Denial) -> Self {
        DenialRow {
            key: format!("{}|{}|{}|{}", denial.at, denial.client_id, denial.resource, denial.answer),
            at: denial.at.clone(),
            time: format::time(&denial.at),
            client_id: denial.client_id.clone(),
            device: denial.device.clone().unwrap_or_else(|| "(anonymous)".into()),
            resource: denial.resource.clone(),
            limit: denial.limit.clone(),
            answer: denial.answer.clone(),
            text: denial.text.clone(),
            told: told(denial),
            protocol: protocol(&denial.protocol),
        }
    }

    fn blank() -> Self {
        let nothing = String::new;
        DenialRow {
            key: nothing(),
            at: nothing(),
            time: nothing(),
            client_id: nothing(),
            device: nothing(),
            resource: nothing(),
            limit: nothing(),
            answer: nothing(),
            text: nothing(),
            told: true,
            protocol: nothing(),
        }
    }
}

/// Before MQTT 5 an answer has no words, and a message that is dropped or waits has no answer.
fn told(denial: &Denial) -> bool {
    match denial.protocol.as_str() {
        "HTTP" => true,
        "5" => denial.answer.contains("0x"),
        _ => false,
    }
}

/// `5` is MQTT 5; `HTTP` is HTTP.
pub(super) fn protocol(version: &str) -> String {
    if version.starts_with(|first: char| first.is_ascii_digit()) { format!("MQTT {version}") } else { version.into() }
}

/// `GET /profiles/{profile}?resource=`
pub(super) async fn page(
    viewer: Viewer,
    Extension(source): Extension<Arc<dyn Source>>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    blocking(viewer.clone(), move || {
        let Some(found) = look_up(&*source, &viewer, &name) else {
            return not_found(&viewer, &format!("There is no profile “{name}”"));
        };
        let resources = resources(&found);
        let resource = match &asked.resource {
            Some(asked) => asked.as_str(),
            None => chosen(&found).unwrap_or_default(),
        };
        if !resource.is_empty() && !resources.contains(&resource) {
            return not_found(&viewer, &format!("The profile “{name}” has no resource “{resource}”"));
        }
        let charts = [Reach::Hour, Reach::Month];
        let charts = charts.into_iter().filter_map(|reach| drawn(&*source, &found, resource, reach, None)).collect();
        let page = Page {
            frame: Frame::new(&viewer, "limits"),
            name: &found.profile.name,
            plan: &found.profile.plan,
            enforce: found.profile.enforce,
            connections: format::number(found.profile.connections),
            devices: format::number(found.profile.devices),
            limits: found.profile.limits.iter().map(LimitRow::new).collect(),
            busiest: found.busiest.iter().map(DeviceRow::new).collect(),
            blank_device: [DeviceRow::blank()],
            denials: found.denials.iter().map(DenialRow::new).collect(),
            blank_denial: [DenialRow::blank()],
            resource,
            resources,
            charts,
        };
        html(StatusCode::OK, &page)
    })
    .await
}

/// Which chart is asked for on its own.
#[derive(Deserialize)]
pub(super) struct AskedChart {
    resource: Option<String>,
    span: Option<String>,
    theme: Option<String>,
}

/// `GET /profiles/{profile}/chart.svg?resource=&span=hour|month&theme=light|dark`
pub(super) async fn chart(
    viewer: Viewer,
    Extension(source): Extension<Arc<dyn Source>>,
    Path(name): Path<String>,
    Query(asked): Query<AskedChart>,
) -> Response {
    blocking(viewer.clone(), move || {
        let refused = |help| failure(&viewer, StatusCode::BAD_REQUEST, "There is no such chart", help);
        let reach = match asked.span.as_deref() {
            None | Some("hour") => Reach::Hour,
            Some("month") => Reach::Month,
            Some(_) => return refused("The span of a chart is hour or month."),
        };
        let palette = match asked.theme.as_deref() {
            None | Some("light") => charts::LIGHT,
            Some("dark") => charts::DARK,
            Some(_) => return refused("The theme of a chart is light or dark."),
        };
        let Some(found) = look_up(&*source, &viewer, &name) else {
            return not_found(&viewer, &format!("There is no profile “{name}”"));
        };
        let resource = asked.resource.as_deref().or_else(|| chosen(&found)).unwrap_or_default();
        match drawn(&*source, &found, resource, reach, Some(&palette)) {
            Some(chart) => (security(), [(CONTENT_TYPE, "image/svg+xml")], chart.svg()).into_response(),
            None => not_found(&viewer, &format!("The profile “{name}” has no resource “{resource}”")),
        }
    })
    .await
}

fn look_up(source: &dyn Source, viewer: &Viewer, name: &str) -> Option<ProfileLimits> {
    // Whoever may not see a profile is not told whether there is one.
    if viewer.sees(name) { source.limits(name) } else { None }
}

/// Each resource once, in the order of the limits.
fn resources(found: &ProfileLimits) -> Vec<&str> {
    let mut resources: Vec<&str> = Vec::new();
    for limit in &found.profile.limits {
        if !resources.contains(&limit.resource.as_str()) {
            resources.push(&limit.resource);
        }
    }
    resources
}

/// The resource whose charts are shown first: the one that is published, where nothing is fuller.
fn chosen(found: &ProfileLimits) -> Option<&str> {
    let fullest = found.profile.fullest_resource.as_deref().filter(|_| found.profile.fullest > 0.0);
    let resources = resources(found);
    let published = resources.iter().find(|resource| **resource == "publish").copied();
    fullest.or(published).or_else(|| resources.first().copied())
}

/// The chart of a resource, on its own where it is given a palette.
fn drawn(
    source: &dyn Source,
    found: &ProfileLimits,
    resource: &str,
    reach: Reach,
    palette: Option<&Palette>,
) -> Option<Chart> {
    let (window, count, step) = match reach {
        Reach::Hour => (Window::Minute, 60, Step::Minute),
        Reach::Month => (Window::Day, 31, Step::Day),
    };
    let now = window.index(source.now());
    // The window that is under way is the last column.
    let (from, to): (UnixMillis, UnixMillis) = (window.start((now + 1).saturating_sub(count)), window.end(now));
    let series = source.usage(&found.profile.name, resource, from, to, step)?;
    let limits: Vec<Limit> = found.profile.limits.iter().filter(|limit| limit.resource == resource).cloned().collect();
    Some(charts::usage(&series, &limits, reach, palette.unwrap_or(&charts::LIGHT), palette.is_some()))
}
