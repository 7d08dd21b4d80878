//! Request bodies, read within a bound on their size and time. Called by the handlers that take one; what is too large is refused
//! before it is read, and never held.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::Admin;
use super::problem::Failure;
use crate::clock::Clock;

/// The most that a body of JSON may have, in bytes.
const MAX_JSON: usize = 1 << 20;
/// How long a body may take to come, in milliseconds.
const PATIENCE: u64 = 30_000;

/// What was sent as a body of JSON.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Admin>> for Sent<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, admin: &Arc<Admin>) -> Result<Self, Failure> {
        let (Parts { headers, .. }, body) = request.into_parts();
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "a body of JSON is expected, with the header `Content-Type: application/json`";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = all(&headers, body, MAX_JSON, &admin.hub.clock).await?;
        let wrong = |error| Failure::bad_request(format!("the body is not the JSON that is expected: {error}"));
        serde_json::from_slice(&bytes).map(Sent).map_err(wrong)
    }
}

/// All of a body of up to `most` bytes.
pub(super) async fn all(headers: &HeaderMap, body: Body, most: usize, clock: &Clock) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body of up to {most} bytes is expected; this is larger"))
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut chunks = body.into_data_stream();
        let mut first = Bytes::new();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Failure::bad_request("the body ended before it was whole"))?;
            if first.len() + rest.len() + chunk.len() > most {
                return Err(too_large());
            }
            // Most bodies come in one piece, which need not be copied.
            if first.is_empty() {
                first = chunk;
            } else {
                rest.extend_from_slice(&chunk);
            }
        }
        Ok(if rest.is_empty() { first } else { [&first[..], &rest].concat().into() })
    };
    tokio::select! {
        read = read => read,
        () = clock.sleep_until(clock.now().mono + PATIENCE) => {
            let detail = format!("the body did not come within {} seconds", PATIENCE / 1000);
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}
