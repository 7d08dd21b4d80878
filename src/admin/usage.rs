//! Used and denied over time, by minute, hour, day or month. A pure function of the state and the history, called by the handler
//! and by the pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::Admin;
use super::auth::Viewer;
use super::model::{Usage, UsagePoint, UsageSeries};
use super::params::{Names, Params, shown};
use super::problem::Failure;
use super::times::{Span, rfc3339};
use crate::limits::Resource;
use crate::usage::Point;

/// The points of all series of an answer together, at most: a month of minutes, or a day of minutes for each resource of a
/// large plan.
const MAX_POINTS: u64 = 100_000;

/// Tells used and denied over time.
#[utoipa::path(
    get,
    path = "/api/v1/profiles/{profile}/usage",
    operation_id = "getUsage",
    tag = "limits",
    params(
        ("profile" = String, Path, description = "The profile."),
        ("resource" = Option<String>, Query, description = "One resource; left out: all that anything is known of."),
        ("device" = Option<String>, Query, description = "One device with rates of its own; left out: the profile."),
        ("from" = Option<String>, Query, description = "The beginning, as in RFC 3339 or in seconds since 1970; widened to whole steps. Left out: 60 minutes, 24 hours, 31 days or 12 months before the end."),
        ("to" = Option<String>, Query, description = "The end; left out: that of the step that runs now."),
        ("step" = Option<String>, Query, description = "How long each point is.", pattern = "^(1m|1h|1d|1mo)?$"),
    ),
    responses(
        (status = 200, description = "A series for each resource, with a point for each step.", body = Usage),
        (status = 400, description = "A parameter is not what is expected."),
        (status = 404, description = "There is no such profile, device or resource."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    viewer: Viewer,
    Names(profile): Names<String>,
    uri: Uri,
) -> Result<Json<Usage>, Failure> {
    let params = Params::of(&uri, &["resource", "device", "from", "to", "step"])?;
    let span = Span::of(&params, admin.hub.clock.now().wall)?;
    let work = move |admin: &Arc<Admin>| {
        over_time(admin, &viewer, &profile, params.get("device"), params.get("resource"), span)
    };
    admin.off_thread(work).await.map(Json)
}

/// Used and denied of one resource, or of all.
pub(crate) fn over_time(
    admin: &Admin,
    viewer: &Viewer,
    profile: &str,
    device: Option<&str>,
    resource: Option<&str>,
    span: Span,
) -> Result<Usage, Failure> {
    let account = viewer.account(admin, profile)?;
    let now = admin.hub.clock.now().wall;
    let mut known: BTreeSet<String> = admin.hub.usage.resources(profile, device)?.into_iter().collect();
    let readings = match device {
        None => account.meters().readings(now),
        Some(device) => {
            let mut readings = account.device_readings(device, now);
            readings.retain(|reading| reading.limit.is_some());
            readings
        }
    };
    known.extend(readings.iter().map(|reading| reading.resource.to_string()));
    if let Some(device) = device
        && known.is_empty()
    {
        let found = shown(device);
        let detail =
            format!("nothing is kept of a device {found}: the profile has none with rates of its own by that name");
        return Err(Failure::not_found(detail));
    }
    let resources: Vec<String> = match resource {
        None => known.into_iter().collect(),
        Some(name) => {
            name.parse::<Resource>().map_err(|error| Failure::bad_request(format!("`resource`: {error}")))?;
            if !known.contains(name) {
                let all: Vec<String> = known.into_iter().collect();
                let detail = format!("nothing is known of {}: there are {}", shown(name), all.join(", "));
                return Err(Failure::not_found(detail));
            }
            vec![name.to_owned()]
        }
    };
    if span.len().saturating_mul(resources.len().max(1) as u64) > MAX_POINTS {
        let detail =
            format!("more than {MAX_POINTS} points: a shorter time, a longer step or one `resource` is expected");
        return Err(Failure::bad_request(detail));
    }
    let series = resources.into_iter().map(|resource| {
        let points = admin.hub.usage.series(profile, device, &resource, span.from(), span.to(), span.step)?;
        let point = |point: Point| UsagePoint { at: rfc3339(point.at), used: point.used, denied: point.denied };
        let points: Vec<UsagePoint> = points.into_iter().map(point).collect();
        let of_it = readings.iter().filter(|reading| reading.resource.as_str() == resource);
        Ok::<_, Failure>(UsageSeries {
            limits: of_it.filter_map(|reading| Some(reading.limit.as_ref()?.written().to_owned())).collect(),
            used: points.iter().map(|point| point.used).sum(),
            denied: points.iter().map(|point| point.denied).sum(),
            resource,
            points,
        })
    });
    Ok(Usage {
        profile: profile.to_owned(),
        device: device.map(str::to_owned),
        from: rfc3339(span.from()),
        to: rfc3339(span.to()),
        step: span.name().to_owned(),
        series: series.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Added, AdminToken};
    use crate::clock::{Clock, ManualClock};
    use crate::config::Config;
    use crate::hub::Hub;
    use crate::limits::{Tally, UnixMillis};
    use crate::usage::{Counted, Load};

    fn ask(profile: &str, query: &str) -> Result<Usage, Failure> {
        let config = "plans: { free: { publish: [10/s, 250/min] } }\n\
                      profiles: { acme: { plan: free, devices: { a: { token: a }, b: { token: b, limits: { publish: 1/s } } } } }";
        let config = Config::parse(config, "b.yaml").unwrap();
        // 2026-11-21T12:45:09Z
        let clock = Clock::Manual(ManualClock::at(UnixMillis(1_795_265_109_000)));
        let now = clock.now();
        let hub = Hub::new(config, clock, Vec::new(), Arc::default(), None, Arc::default());
        // At 12:01 something was used, by a device that is not there any more too.
        let counted = |device: Option<&str>| {
            let at = UnixMillis(now.wall.0 / 3_600_000 * 3_600_000 + 60_000);
            let tally = Tally { resource: Resource::Publish, at, used: 7, denied: 1 };
            Counted { profile: "acme".into(), device: device.map(Into::into), tally }
        };
        hub.usage.collect(now, &[counted(None), counted(Some("gone"))], Load::default()).unwrap();
        let admin = Admin::new(hub, Arc::new(Added::open(None).unwrap()), AdminToken::of("t"));
        let uri = format!("/?{query}").parse().unwrap();
        let params = Params::of(&uri, &["resource", "device", "from", "to", "step"])?;
        let span = Span::of(&params, admin.hub.clock.now().wall)?;
        over_time(&admin, &Viewer::Admin, profile, params.get("device"), params.get("resource"), span)
    }

    #[test]
    fn a_series_has_a_point_for_each_step_zeros_included_and_their_sums() {
        let usage = ask("acme", "resource=publish&from=2026-11-21T12:00:00Z&to=2026-11-21T12:03:00Z").unwrap();
        assert_eq!((usage.from.as_str(), usage.to.as_str()), ("2026-11-21T12:00:00Z", "2026-11-21T12:03:00Z"));
        let [series] = usage.series.as_slice() else { panic!("{usage:?}") };
        assert_eq!(series.limits, ["10/s", "250/min"]);
        let points: Vec<_> = series.points.iter().map(|p| (p.at.as_str(), p.used, p.denied)).collect();
        let expected = [("2026-11-21T12:00:00Z", 0, 0), ("2026-11-21T12:01:00Z", 7, 1), ("2026-11-21T12:02:00Z", 0, 0)];
        assert_eq!(points, expected);
        assert_eq!((series.used, series.denied), (7, 1));
    }

    #[test]
    fn without_a_resource_all_are_told() {
        let resources: Vec<_> = ask("acme", "").unwrap().series.into_iter().map(|series| series.resource).collect();
        assert_eq!(resources, ["connect", "publish", "receive", "subscribe"]);
    }

    #[test]
    fn a_device_is_told_of_while_anything_is_known_of_it() {
        assert_eq!(ask("acme", "device=b").unwrap().series[0].limits, ["1/s"]);
        assert_eq!(ask("acme", "device=gone").unwrap().series[0].resource, "publish");
        assert!(ask("acme", "device=a").unwrap_err().detail().starts_with("nothing is kept of a device"));
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        assert_eq!(ask("nope", "").unwrap_err().detail(), "there is no profile \"nope\"");
        let other = ask("acme", "resource=a/b").unwrap_err();
        assert_eq!(other.detail(), "nothing is known of \"a/b\": there are connect, publish, receive, subscribe");
        assert!(ask("acme", "resource=publsh").unwrap_err().detail().contains("is no resource: use connect, publish"));
        let many = ask("acme", "from=0").unwrap_err();
        assert!(many.detail().starts_with("more than 100000 points"), "{}", many.detail());
    }
}
