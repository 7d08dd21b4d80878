//! `GET /`: the profiles, the fullest first, with search and paging. Who sees one profile alone is sent to it.

use std::sync::Arc;

use askama::Template;
use askama::filters::urlencode_strict;
use axum::extract::{Extension, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::{Frame, html};
use super::{Source, Viewer, blocking, format};
use crate::admin::model::{Limit, Profile};

const PAGE: usize = 100;
/// The resources with a column of their own.
const COLUMNS: [(&str, &str); 3] = [("connect", "Connects"), ("publish", "Published"), ("receive", "Received")];

/// What the list is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "profiles.html")]
struct Page {
    frame: Frame,
    search: String,
    /// Whether the page follows the events of the first page; others ask again.
    live: bool,
    rows: Vec<Row>,
    blank: [Row; 1],
    columns: [(&'static str, &'static str); 3],
    total: String,
    next: Option<String>,
}

struct Row {
    name: String,
    plan: String,
    enforce: bool,
    fullest: Option<Bar>,
    /// What the fullest limit is of, and the limit.
    fullest_of: String,
    cells: Vec<Cell>,
    connections: String,
    denied: u64,
    denied_text: String,
}

/// How full a limit is.
pub(super) struct Bar {
    /// From 0 to 100, for the drawing.
    pub width: String,
    pub level: &'static str,
    pub percent: String,
}

impl Bar {
    pub fn new(share: f64) -> Self {
        Bar {
            width: format!("{:.1}", (share * 100.0).clamp(0.0, 100.0)),
            level: format::level(share),
            percent: format::percent(share),
        }
    }
}

struct Cell {
    resource: &'static str,
    label: &'static str,
    used: String,
    of: String,
}

impl Row {
    fn new(profile: &Profile) -> Self {
        let fullest = fullest(&profile.limits, profile.fullest_resource.as_deref());
        Row {
            name: profile.name.clone(),
            plan: profile.plan.clone(),
            enforce: profile.enforce,
            fullest: fullest.map(|_| Bar::new(profile.fullest)),
            fullest_of: fullest
                .map_or("no limits".into(), |limit| format!("{} {}", limit.resource, format::rate(limit))),
            cells: COLUMNS.iter().map(|&(resource, label)| Cell::new(resource, label, &profile.limits)).collect(),
            connections: format::number(profile.connections),
            denied: profile.denied,
            denied_text: format::number(profile.denied),
        }
    }

    /// The row from which the script makes new ones.
    fn blank() -> Self {
        let mut row = Row::new(&Profile {
            name: String::new(),
            plan: String::new(),
            enforce: true,
            connections: 0,
            devices: 0,
            fullest: 0.0,
            fullest_resource: None,
            denied: 0,
            limits: vec![],
        });
        row.fullest = Some(Bar::new(0.0));
        row
    }
}

impl Cell {
    fn new(resource: &'static str, label: &'static str, limits: &[Limit]) -> Self {
        let limit = fullest(limits, Some(resource)).or_else(|| limits.iter().find(|limit| limit.resource == resource));
        Cell {
            resource,
            label,
            used: limit.map_or("–".into(), |limit| format::amount(resource, limit.used)),
            of: limit
                .filter(|limit| limit.max.is_some())
                .map_or(String::new(), |limit| format!(" / {}", format::rate(limit))),
        }
    }
}

/// The fullest limit of a resource.
fn fullest<'a>(limits: &'a [Limit], resource: Option<&str>) -> Option<&'a Limit> {
    let resource = resource?;
    let of_it = limits.iter().filter(|limit| limit.resource == resource && limit.max.is_some());
    of_it.max_by(|one, other| format::share(one).unwrap_or(0.0).total_cmp(&format::share(other).unwrap_or(0.0)))
}

/// `GET /?q=&cursor=`
pub(super) async fn page(
    viewer: Viewer,
    Extension(source): Extension<Arc<dyn Source>>,
    Query(asked): Query<Asked>,
) -> Response {
    if let Viewer::Profile(name) = &viewer {
        // Encoding a string cannot fail; its error type has no values.
        let Ok(name) = urlencode_strict(&**name);
        return Redirect::to(&format!("/profiles/{name}")).into_response();
    }
    blocking(viewer.clone(), move || {
        let search = asked.q.as_deref().map(str::trim).unwrap_or_default();
        let found = source.profiles(asked.cursor.as_deref(), PAGE, Some(search).filter(|search| !search.is_empty()));
        html(
            StatusCode::OK,
            &Page {
                frame: Frame::new(&viewer, "profiles"),
                live: search.is_empty() && asked.cursor.is_none(),
                search: search.to_owned(),
                rows: found.profiles.iter().map(Row::new).collect(),
                blank: [Row::blank()],
                columns: COLUMNS,
                total: format::number(found.total),
                next: found.next,
            },
        )
    })
    .await
}
