//! Who is connected, page by page, and the disconnecting of one. The list is in the order of profile and client identifier,
//! which does not change while it is paged through. Called by the handlers and the pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Admin;
use super::auth::{Operator, Viewer};
use super::model::{Client, Clients};
use super::params::{Names, NoParams, Params, shown, wrong_cursor};
use super::problem::Failure;
use crate::account::Account;
use crate::router::Signal;
use crate::session::Connected;

/// Lists clients by profile and client identifier.
#[utoipa::path(
    get,
    path = "/api/v1/clients",
    operation_id = "listClients",
    tag = "clients",
    params(
        ("profile" = Option<String>, Query, description = "The profile whose clients are listed; left out: all."),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u64>, Query, description = "Clients of a page.", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "A page of clients.", body = Clients),
        (status = 400, description = "A parameter is not what is expected."),
        (status = 404, description = "There is no such profile."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>, viewer: Viewer, uri: Uri) -> Result<Json<Clients>, Failure> {
    let params = Params::of(&uri, &["profile", "cursor", "limit"])?;
    let limit = params.page_size()?;
    let work = move |admin: &Arc<Admin>| page(admin, &viewer, params.get("profile"), params.get("cursor"), limit);
    admin.off_thread(work).await.map(Json)
}

/// Disconnects a client: DISCONNECT 0x98 in MQTT 5, a closed connection before that.
#[utoipa::path(
    delete,
    path = "/api/v1/clients/{profile}/{client_id}",
    operation_id = "disconnectClient",
    tag = "clients",
    params(
        ("profile" = String, Path, description = "Its profile."),
        ("client_id" = String, Path, description = "Its client identifier."),
    ),
    responses(
        (status = 204, description = "It is being disconnected."),
        (status = 400, description = "The path or a parameter is not what is expected."),
        (status = 404, description = "No such client is connected."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    _: Operator,
    Names((profile, client_id)): Names<(String, String)>,
    _: NoParams,
) -> Result<StatusCode, Failure> {
    disconnect(&admin, &profile, &client_id).map(|()| StatusCode::NO_CONTENT)
}

/// Disconnects a client.
pub(crate) fn disconnect(admin: &Admin, profile: &str, client_id: &str) -> Result<(), Failure> {
    let account = Viewer::Admin.account(admin, profile)?;
    let missing = || Failure::not_found(format!("no client {} of profile {profile} is connected", shown(client_id)));
    account.registry().mailbox(client_id).ok_or_else(missing)?.signal(Signal::Administrative);
    tracing::info!(profile, client = client_id, "disconnected by the operator");
    Ok(())
}

/// A page of the clients that a viewer sees.
pub(crate) fn page(
    admin: &Admin,
    viewer: &Viewer,
    profile: Option<&str>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Clients, Failure> {
    let own = match viewer {
        Viewer::Admin => None,
        Viewer::Profile(own) => Some(&**own),
    };
    let accounts = match profile.or(own) {
        Some(profile) => vec![viewer.account(admin, profile)?],
        None => admin.hub.accounts(),
    };
    let after = cursor.map(parse_cursor).transpose()?;
    let mut clients: Vec<Client> = Vec::new();
    let mut more = false;
    for account in &accounts {
        let name = account.name().as_ref();
        let after = match &after {
            Some((profile, _)) if name < profile.as_str() => continue,
            Some((profile, client_id)) if name == profile => Some(client_id.as_str()),
            _ => None,
        };
        // One more than fits tells whether there is another page.
        let found = account.registry().clients(after, limit - clients.len() + 1);
        clients.extend(found.into_iter().map(|connected| client(account, &connected)));
        if clients.len() > limit {
            clients.truncate(limit);
            more = true;
            break;
        }
    }
    let last = clients.last().filter(|_| more);
    let next = last.map(|last| URL_SAFE_NO_PAD.encode(format!("{}\0{}", last.profile, last.client_id)));
    Ok(Clients { clients, total: accounts.iter().map(|account| account.connections()).sum(), next })
}

fn parse_cursor(cursor: &str) -> Result<(String, String), Failure> {
    let parse = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (profile, client_id) = text.split_once('\0')?;
        Some((profile.to_owned(), client_id.to_owned()))
    };
    parse().ok_or_else(wrong_cursor)
}

fn client(account: &Account, connected: &Connected) -> Client {
    let Connected { client, mailbox } = connected;
    Client {
        profile: account.name().to_string(),
        client_id: client.client_id().to_owned(),
        device: client.device().map(str::to_owned),
        protocol: client.version().to_string(),
        peer: client.peer().map(|peer| peer.to_string()),
        subscriptions: mailbox.subscriptions().into(),
        queued: mailbox.waiting(),
    }
}
