//! What a request says in its path and query, read one by one so that each mistake is told with what was expected. Called by the
//! handlers.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Failure;

/// Entries of a page where nothing else is asked for, and at most.
pub(super) const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1_000;

/// The parameters of a query. One that is left empty counts as not given.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query that may have these parameters, each once.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Failure> {
        let Query(mut all) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Failure::bad_request(format!("the query cannot be read: {error}")))?;
        for (at, (name, _)) in all.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "it takes none".into() } else { known.join(", ") };
                return Err(Failure::bad_request(format!("{} is no parameter of this call: {known}", shown(name))));
            }
            if all[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Failure::bad_request(format!("`{name}` is given twice; give it once")));
            }
        }
        all.retain(|(_, value)| !value.is_empty());
        Ok(Params(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What `parse` makes of a parameter; it says what is expected.
    pub(super) fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let wrong = |message| Failure::bad_request(format!("`{name}`: {message}"));
        self.get(name).map(parse).transpose().map_err(wrong)
    }

    /// A whole number in a range.
    pub(super) fn whole(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Failure> {
        self.read(name, |text| {
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("a whole number from {least} to {most} is expected, not {}", shown(text)))
        })
    }

    /// How many entries a page may have.
    pub(super) fn page_size(&self) -> Result<usize, Failure> {
        Ok(self.whole("limit", 1, LARGEST_PAGE)?.unwrap_or(PAGE) as usize)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.read(name, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(format!("true or false is expected, not {}", shown(other))),
        })
    }
}

/// A `cursor` that no page has given as its `next`.
pub(super) fn wrong_cursor() -> Failure {
    Failure::bad_request("`cursor`: the `next` of the page before is expected")
}

/// That the query has no parameters: of a call that takes none.
pub(super) struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Params::of(&parts.uri, &[]).map(|_| NoParams)
    }
}

/// What was found, for a message: one line of bounded length.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 48;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The names in a path.
pub(super) struct Names<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Names<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let wrong =
            |error: PathRejection| Failure::bad_request(format!("the path cannot be read: {}", error.body_text()));
        Path::from_request_parts(parts, state).await.map(|Path(names)| Names(names)).map_err(wrong)
    }
}
