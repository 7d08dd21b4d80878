//! Who asks: the admin, by the admin token; or a profile's reader, by the read token of that profile. Shown as `Authorization:
//! Bearer`, or once at `/login` and then by a cookie. Every handler but those of health takes one of the extractors here. A
//! reader sees its own profile and changes nothing; a cookie changes something only where the request comes from our own pages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, extract::FromRequest, extract::Request};
use sha2::{Digest, Sha256};

use super::problem::Failure;
use super::sessions::LIFETIME;
use super::{Admin, body, pages};
use crate::account::Account;

/// Where a request comes from: put in by the server.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who asks, and may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Viewer {
    /// Sees everything, and may change it.
    Admin,
    /// Sees this profile, and changes nothing.
    Profile(Arc<str>),
}

/// The admin, who may change things: by a token, or by a cookie from our own pages.
pub(crate) struct Operator;

/// The admin, who may see everything.
pub(crate) struct Overseer;

/// Who asks, of a page: whoever has not signed in is sent to the page for that.
pub(crate) struct SignedIn(pub(crate) Viewer);

/// The cookie of a session.
const COOKIE_NAME: &str = "weir_session";
const BEARER: &str = "Bearer realm=\"weir\"";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The most that the form of a sign-in may have, in bytes.
const MAX_FORM: usize = 4_096;

/// How a viewer has shown who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Token,
    Cookie,
}

impl Viewer {
    /// The account of a profile, if the viewer may see it: one that it may not see is not there for it.
    pub(super) fn account(&self, admin: &Admin, profile: &str) -> Result<Arc<Account>, Failure> {
        let seen = match self {
            Viewer::Admin => true,
            Viewer::Profile(own) => **own == *profile,
        };
        let account = seen.then(|| admin.hub.account(profile)).flatten();
        account.ok_or_else(|| Failure::not_found(format!("there is no profile {}", super::params::shown(profile))))
    }
}

impl FromRequestParts<Arc<Admin>> for Viewer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Failure> {
        identify(admin, parts).await.map(|(viewer, _)| viewer)
    }
}

impl FromRequestParts<Arc<Admin>> for Overseer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Failure> {
        match identify(admin, parts).await? {
            (Viewer::Admin, _) => Ok(Overseer),
            _ => Err(Failure::forbidden("the read token of a profile shows that profile alone")),
        }
    }
}

impl FromRequestParts<Arc<Admin>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Failure> {
        let (viewer, by) = identify(admin, parts).await?;
        if viewer != Viewer::Admin {
            return Err(Failure::forbidden("the read token of a profile changes nothing; the admin token does"));
        }
        if by == By::Cookie && same_origin(&parts.headers) != Some(true) {
            return Err(Failure::forbidden(
                "a request by cookie that changes something must come from Weir's own pages",
            ));
        }
        Ok(Operator)
    }
}

impl FromRequestParts<Arc<Admin>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Response> {
        match identify(admin, parts).await {
            Ok((viewer, _)) => Ok(SignedIn(viewer)),
            Err(failure) if failure.status() == StatusCode::UNAUTHORIZED => Err(Redirect::to("/login").into_response()),
            Err(failure) => Err(failure.into_response()),
        }
    }
}

async fn identify(admin: &Admin, parts: &Parts) -> Result<(Viewer, By), Failure> {
    if let Some(shown) = parts.headers.get(AUTHORIZATION) {
        let token = shown.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let expected = || Failure::unauthorized("`Authorization: Bearer TOKEN` is expected", BEARER);
        let token = token.filter(|token| !token.is_empty()).ok_or_else(expected)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = slowed(admin, peer(parts), || admin.viewer(&digest)).await?;
        return known.map(|viewer| (viewer, By::Token)).ok_or_else(wrong_token);
    }
    let session = cookie(&parts.headers).and_then(|id| admin.sessions.token(id, admin.hub.clock.now().mono));
    let missing = || Failure::unauthorized("a token is expected: `Authorization: Bearer TOKEN`", BEARER);
    session.and_then(|digest| admin.viewer(&digest)).map(|viewer| (viewer, By::Cookie)).ok_or_else(missing)
}

fn wrong_token() -> Failure {
    Failure::unauthorized("the token is neither the admin token nor a profile's read token", BEARER)
}

/// Where a request comes from.
pub(super) fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0)
}

/// Looks a token up; where it is wrong, that is told later the more often that address was wrong.
pub(super) async fn slowed<T>(
    admin: &Admin,
    peer: IpAddr,
    look_up: impl FnOnce() -> Option<T>,
) -> Result<Option<T>, Failure> {
    if !admin.guard.may_try(peer) {
        let detail = "too many wrong tokens from this address; wait some seconds before the next";
        let failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, detail);
        return Err(failure.with(RETRY_AFTER, HeaderValue::from_static("5")));
    }
    let found = look_up();
    if found.is_none() {
        let waiting = admin.guard.wrong(peer, admin.hub.clock.now().mono);
        admin.hub.clock.sleep_until(waiting.until).await;
    }
    Ok(found)
}

impl Admin {
    /// Who a token with this SHA-256 is for.
    fn viewer(&self, sha256: &[u8; 32]) -> Option<Viewer> {
        if self.token.is(sha256) {
            return Some(Viewer::Admin);
        }
        self.hub.directory.load().reader(sha256).map(|profile| Viewer::Profile(Arc::clone(profile)))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Whether a request comes from a page of our own; nothing where the browser does not say.
fn same_origin(headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = headers.get(FETCH_SITE) {
        return Some(site == "same-origin");
    }
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    let (_, origin) = origin.split_once("://").unwrap_or_default();
    Some(headers.get(HOST).and_then(|host| host.to_str().ok()) == Some(origin))
}

#[derive(serde::Deserialize)]
struct Login {
    token: String,
}

/// Signs in: `token` in a form, for a cookie.
pub(super) async fn login(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response, Failure> {
    let (parts, whole) = request.into_parts();
    if same_origin(&parts.headers) == Some(false) {
        return Err(Failure::forbidden("to sign in from a page that is not Weir's own is not possible"));
    }
    let form = body::all(&parts.headers, whole, MAX_FORM, &admin.hub.clock).await?;
    let address = peer(&parts);
    let html = parts.headers.get(ACCEPT).and_then(|kinds| kinds.to_str().ok()).is_some_and(|k| k.contains("text/html"));
    let secure = parts.headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
    let expected = |_| {
        let detail = "a form with the field `token` is expected, as application/x-www-form-urlencoded";
        Failure::bad_request(detail)
    };
    let whole = Request::from_parts(parts, Body::from(form));
    let Form(Login { token }) = Form::from_request(whole, &()).await.map_err(expected)?;
    let digest: [u8; 32] = Sha256::digest(token.trim()).into();
    if slowed(&admin, address, || admin.viewer(&digest)).await?.is_none() {
        return match html {
            true => Ok(pages::sign_in(Some("That token is not one of this broker."))),
            false => Err(wrong_token()),
        };
    }
    let begun = admin.sessions.begin(digest, admin.hub.clock.now().mono);
    let id = begun.ok_or_else(|| Failure::unavailable("the system gives no random bytes for a session"))?;
    Ok(to_with_cookie("/", &id, LIFETIME, secure))
}

/// Signs out: the session ends.
pub(super) async fn logout(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Failure> {
    if same_origin(&headers) == Some(false) {
        return Err(Failure::forbidden("to sign out from a page that is not Weir's own is not possible"));
    }
    if let Some(id) = cookie(&headers) {
        admin.sessions.end(id);
    }
    Ok(to_with_cookie("/login", "", 0, headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https")))
}

/// Sends the browser to a page, with a cookie for so many seconds.
fn to_with_cookie(page: &'static str, id: &str, seconds: u64, secure: bool) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    (StatusCode::SEE_OTHER, [(LOCATION, page.to_owned()), (SET_COOKIE, cookie)]).into_response()
}
