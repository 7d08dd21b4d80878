//! `GET /clients`: who is connected, for administrators, and a way to disconnect a client that asks once before it does.

use std::sync::Arc;

use askama::Template;
use askama::filters::urlencode_strict;
use axum::Form;
use axum::extract::{Extension, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::{Frame, html, not_found};
use super::{Admin, Source, Viewer, blocking, format, limits};
use crate::admin::model::Client;

const PAGE: usize = 100;

/// What the list is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    profile: Option<String>,
    cursor: Option<String>,
    /// The client that was just disconnected.
    disconnected: Option<String>,
}

#[derive(Template)]
#[template(path = "clients.html")]
struct Page {
    frame: Frame,
    profile: String,
    disconnected: Option<String>,
    rows: Vec<Row>,
    total: String,
    next: Option<String>,
}

struct Row {
    profile: String,
    client_id: String,
    device: String,
    protocol: String,
    peer: String,
    subscriptions: String,
    queued: String,
}

impl Row {
    fn new(client: Client) -> Self {
        Row {
            protocol: limits::protocol(&client.protocol),
            profile: client.profile,
            client_id: client.client_id,
            device: client.device.unwrap_or_else(|| "(anonymous)".into()),
            peer: client.peer.unwrap_or_else(|| "Unix socket".into()),
            subscriptions: format::number(client.subscriptions),
            queued: format::number(client.queued),
        }
    }
}

/// `GET /clients?profile=&cursor=`
pub(super) async fn page(
    _: Admin,
    Extension(source): Extension<Arc<dyn Source>>,
    Query(asked): Query<Asked>,
) -> Response {
    blocking(Viewer::Admin, move || {
        let profile = asked.profile.as_deref().map(str::trim).unwrap_or_default();
        let filter = Some(profile).filter(|profile| !profile.is_empty());
        let found = source.clients(filter, asked.cursor.as_deref(), PAGE);
        let page = Page {
            frame: Frame::new(&Viewer::Admin, "clients"),
            profile: profile.to_owned(),
            disconnected: asked.disconnected,
            rows: found.clients.into_iter().map(Row::new).collect(),
            total: format::number(found.total),
            next: found.next,
        };
        html(StatusCode::OK, &page)
    })
    .await
}

/// Which client is meant.
#[derive(Deserialize)]
pub(super) struct Named {
    profile: String,
    client_id: String,
}

#[derive(Template)]
#[template(path = "disconnect.html")]
struct Confirm {
    frame: Frame,
    named: Named,
}

/// `GET /clients/disconnect?profile=&client_id=`: asks whether it is meant.
pub(super) async fn confirm(_: Admin, Query(named): Query<Named>) -> Response {
    html(StatusCode::OK, &Confirm { frame: Frame::new(&Viewer::Admin, "clients"), named })
}

/// `POST /clients/disconnect`, form fields `profile` and `client_id`: does it.
pub(super) async fn disconnect(
    _: Admin,
    Extension(source): Extension<Arc<dyn Source>>,
    Form(named): Form<Named>,
) -> Response {
    blocking(Viewer::Admin, move || {
        let Named { profile, client_id } = named;
        if !source.disconnect(&profile, &client_id) {
            let what = format!("No client “{client_id}” of the profile “{profile}” is connected");
            return not_found(&Viewer::Admin, &what);
        }
        // Encoding a string cannot fail; its error type has no values.
        let (Ok(profile), Ok(client_id)) = (urlencode_strict(&profile), urlencode_strict(&client_id));
        Redirect::to(&format!("/clients?profile={profile}&disconnected={client_id}")).into_response()
    })
    .await
}
