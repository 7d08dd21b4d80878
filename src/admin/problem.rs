//! What a request is answered that cannot be carried out: a status and, as `application/problem+json` (RFC 9457), what is wrong
//! and what was expected. Made by everything in `admin`; it must never show a token.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::model::{Problem, TooMany};
use crate::limits::Denial;

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) struct Failure(Box<Why>);

#[derive(Debug)]
struct Why {
    status: StatusCode,
    headers: HeaderMap,
    says: Says,
}

#[derive(Debug)]
enum Says {
    Problem(String),
    /// DESIGN has a body of its own for what a limit denies.
    TooMany(String),
}

impl Failure {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Failure(Box::new(Why { status, headers: HeaderMap::new(), says: Says::Problem(detail.into()) }))
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Who asks is not known. `scheme` is how to say who one is.
    pub(super) fn unauthorized(detail: impl Into<String>, scheme: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, HeaderValue::from_static(scheme))
    }

    /// A limit denies it.
    pub(super) fn denied(denial: &Denial) -> Self {
        let says = Says::TooMany(denial.to_string());
        let why = Why { status: StatusCode::TOO_MANY_REQUESTS, headers: HeaderMap::new(), says };
        Failure(Box::new(why)).with(RETRY_AFTER, denial.retry_after.into())
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    pub(super) fn with_all(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What is wrong, and what was expected.
    #[cfg(test)]
    pub(super) fn detail(&self) -> &str {
        match &self.0.says {
            Says::Problem(text) | Says::TooMany(text) => text,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Why { status, headers, says } = *self.0;
        match says {
            Says::TooMany(message) => (status, headers, Json(TooMany { status: false, message })).into_response(),
            Says::Problem(detail) => {
                let problem = Problem {
                    kind: "about:blank".into(),
                    title: status.canonical_reason().unwrap_or_default().into(),
                    status: status.as_u16(),
                    detail,
                };
                let kind = [(CONTENT_TYPE, "application/problem+json")];
                (status, headers, kind, Json(problem)).into_response()
            }
        }
    }
}

/// Nothing is at this path.
pub(super) async fn no_such_path() -> Failure {
    Failure::not_found("there is nothing at this path; the calls are listed at /api/v1/openapi.json")
}

/// Something is at this path, and not for this method. The header `Allow`, which the router adds, names those there are.
pub(super) async fn no_such_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method; the header Allow names those it has")
}
