//! What every page has: the header with the way to the others, the headers of the response, and the pages that stand for
//! all: to sign in, and to say that something is not there. Called by the other pages and by `admin`'s server.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};

use super::Viewer;

/// Scripts, styles and images come from here and from nowhere else, none of them from within a page, and no other site may
/// put a page into one of its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The header and footer of a page.
pub(super) struct Frame {
    /// Whether the pages of administrators can be reached.
    pub admin: bool,
    /// The only profile that can be.
    pub profile: Option<String>,
    /// Which of the pages in the header it is.
    pub here: &'static str,
    pub version: &'static str,
}

impl Frame {
    pub fn new(viewer: &Viewer, here: &'static str) -> Self {
        let profile = match viewer {
            Viewer::Admin => None,
            Viewer::Profile(name) => Some(name.to_string()),
        };
        Frame { admin: profile.is_none(), profile, here, version: env!("CARGO_PKG_VERSION") }
    }
}

/// A page as a response.
pub(super) fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, security(), [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The headers that keep a page to itself.
pub(super) fn security() -> impl axum::response::IntoResponseParts {
    [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ]
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    error: Option<&'a str>,
    version: &'static str,
}

/// The page to sign in on; with what was wrong, it is the answer to a wrong token (401).
pub fn sign_in(error: Option<&str>) -> Response {
    let status = if error.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    html(status, &SignIn { error, version: env!("CARGO_PKG_VERSION") })
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Failure<'a> {
    frame: Frame,
    title: &'a str,
    help: &'a str,
}

/// A page that says what is wrong and where to go from there.
pub(super) fn failure(viewer: &Viewer, status: StatusCode, title: &str, help: &str) -> Response {
    html(status, &Failure { frame: Frame::new(viewer, ""), title, help })
}

/// The page for what is not there (404). `what` is a sentence without its full stop, such as `There is no profile “acme”`.
pub fn not_found(viewer: &Viewer, what: &str) -> Response {
    let help = match viewer {
        Viewer::Admin => {
            "It may have been renamed or removed from broker.yaml. Names are exact, upper and lower case included."
        }
        Viewer::Profile(_) => "You signed in with a profile's read-only token, which shows that profile alone.",
    };
    failure(viewer, StatusCode::NOT_FOUND, what, help)
}
