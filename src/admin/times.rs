//! Times as the API reads and writes them: RFC 3339 in UTC out; RFC 3339 or seconds since 1970 in. Called by the handlers.

use jiff::Timestamp;

use super::params::{Params, shown};
use super::problem::Failure;
pub(super) use crate::clock::rfc3339;
use crate::limits::{UnixMillis, Window};
use crate::usage::Step;

/// The first moment that is too late to be asked for: the year 9999, where timestamps end.
const TOO_LATE: u64 = 253_370_764_800_000;

/// A time in a query.
pub(super) fn time(text: &str) -> Result<UnixMillis, String> {
    let seconds = || text.parse::<u64>().ok()?.checked_mul(1000);
    // A `+` that was not encoded comes as a space.
    let timestamp = || u64::try_from(text.replace(' ', "+").parse::<Timestamp>().ok()?.as_millisecond()).ok();
    seconds().or_else(timestamp).filter(|millis| *millis < TOO_LATE).map(UnixMillis).ok_or_else(|| {
        let found = shown(text);
        format!(
            "a time is expected, as in RFC 3339 (2026-11-21T12:45:00Z) or in seconds since 1970 (1795265100), from 1970 to \
             9998, not {found}"
        )
    })
}

/// A span that ends before it begins, or as it does.
pub(super) fn backwards() -> Failure {
    Failure::bad_request("`from` must be before `to`, and before now where there is no `to`")
}

/// A step in a query.
pub(super) fn step(text: &str) -> Result<Step, String> {
    let steps = [Step::Minute, Step::Hour, Step::Day, Step::Month];
    steps.into_iter().find(|step| about(*step).0 == text).ok_or_else(|| {
        let found = shown(text);
        format!("a step is expected, one of 1m, 1h, 1d and 1mo, not {found}")
    })
}

/// The name of a step, and how many are shown where nothing else is asked for.
fn about(step: Step) -> (&'static str, u64) {
    match step {
        Step::Minute => ("1m", 60),
        Step::Hour => ("1h", 24),
        Step::Day => ("1d", 31),
        Step::Month => ("1mo", 12),
    }
}

/// The number of the first window that begins at this time or after it.
fn after(window: Window, at: UnixMillis) -> u64 {
    let index = window.index(at);
    index + u64::from(window.start(index) < at)
}

/// A span of time in whole steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) step: Step,
    /// The numbers of the first step, and of the one after the last.
    first: u64,
    end: u64,
}

impl Span {
    /// The span that a query asks for: the last hour by minute where it does not say.
    pub(super) fn of(params: &Params, now: UnixMillis) -> Result<Self, Failure> {
        let step = params.read("step", step)?.unwrap_or(Step::Minute);
        let window = step.window();
        let to = params.read("to", time)?;
        let end = to.map_or(window.index(now) + 1, |to| after(window, to));
        let from = params.read("from", time)?;
        let first = from.map_or(end.saturating_sub(about(step).1), |from| window.index(from));
        if first >= end || from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err(backwards());
        }
        Ok(Span { step, first, end })
    }

    /// The span from the step that `from` is in up to the one that ends at `to` or holds it.
    pub(super) fn between(from: UnixMillis, to: UnixMillis, step: Step) -> Self {
        let first = step.window().index(from);
        Span { step, first, end: after(step.window(), to).max(first) }
    }

    pub(super) fn name(&self) -> &'static str {
        about(self.step).0
    }

    /// How many steps there are.
    pub(super) fn len(&self) -> u64 {
        self.end - self.first
    }

    pub(super) fn from(&self) -> UnixMillis {
        self.step.window().start(self.first)
    }

    pub(super) fn to(&self) -> UnixMillis {
        self.step.window().start(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(query: &str) -> Result<Span, Failure> {
        let uri = format!("/?{query}").parse().unwrap();
        // 2026-11-21T12:45:09Z
        Span::of(&Params::of(&uri, &["from", "to", "step"]).unwrap(), UnixMillis(1_795_265_109_000))
    }

    fn said(span: &Span) -> [String; 2] {
        [rfc3339(span.from()), rfc3339(span.to())]
    }

    #[test]
    fn without_a_word_the_last_hour_is_shown_by_minute_up_to_the_minute_that_runs() {
        let span = span("").unwrap();
        assert_eq!(said(&span), ["2026-11-21T11:46:00Z", "2026-11-21T12:46:00Z"]);
        assert_eq!((span.len(), span.name()), (60, "1m"));
    }

    #[test]
    fn a_span_is_widened_to_whole_steps() {
        let hours = span("step=1h&from=2026-11-21T01:30:00Z&to=2026-11-21T03:00:00Z").unwrap();
        assert_eq!(said(&hours), ["2026-11-21T01:00:00Z", "2026-11-21T03:00:00Z"]);
        let months = span("step=1mo&from=2026-01-15T00:00:00Z&to=2026-02-01T00:00:01Z").unwrap();
        assert_eq!(said(&months), ["2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"]);
    }

    #[test]
    fn a_time_is_rfc_3339_with_any_offset_or_seconds_since_1970() {
        for text in ["2026-11-21T12:45:00Z", "2026-11-21T13:45:00+01:00", "2026-11-21T13:45:00 01:00", "1795265100"] {
            assert_eq!(time(text), Ok(UnixMillis(1_795_265_100_000)), "{text}");
        }
        for text in ["yesterday", "2026-11-21", "1969-12-31T23:59:59Z", "-1", "18446744073709551615", "253370764800"] {
            assert!(time(text).unwrap_err().starts_with("a time is expected"), "{text}");
        }
    }

    #[test]
    fn an_end_before_the_beginning_is_told() {
        for query in ["from=100&to=100", "from=200&to=100", "from=1895265109", "to=0"] {
            assert!(span(query).unwrap_err().detail().starts_with("`from` must be before `to`"), "{query}");
        }
        assert!(span("step=1w").unwrap_err().detail().contains("one of 1m, 1h, 1d and 1mo"));
    }
}
