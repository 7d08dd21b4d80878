//! Rates and the windows they are counted in: `250/min`, and when that minute began and ends.
//!
//! `config` reads rates from text, the meters ask a [`Window`] which one of its spans an instant falls in, and denials
//! print the rate as the operator wrote it. Nothing here reads a clock: the time always comes in as [`UnixMillis`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00 UTC, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

/// A calendar-aligned span of time, UTC: the minute 12:45 ends at 12:46:00, whenever it was that a client started.
///
/// The spans of one kind are numbered from the one that began 1970, so that two instants are in the same span exactly
/// when their [`index`](Self::index) is the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Window {
    /// Written `s`.
    Second,
    /// Written `min`.
    Minute,
    /// Written `h`.
    Hour,
    /// Written `day`: from midnight to midnight UTC.
    Day,
    /// Written `month`: the calendar month, of 28 to 31 days.
    Month,
}

const DAY_MILLIS: u64 = 86_400_000;

impl Window {
    /// Every window, from the shortest to the longest.
    pub const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The number of the span that `now` falls in: 0 is the one that began 1970.
    pub fn index(self, now: UnixMillis) -> u64 {
        match self.fixed_millis() {
            Some(millis) => now.0 / millis,
            None => month_of_day(now.0 / DAY_MILLIS),
        }
    }

    /// The first instant of span number `index`.
    pub fn start(self, index: u64) -> UnixMillis {
        UnixMillis(match self.fixed_millis() {
            Some(millis) => index.saturating_mul(millis),
            None => first_day_of_month(index).saturating_mul(DAY_MILLIS),
        })
    }

    /// The first instant after span number `index`, which is the start of the next one.
    pub fn end(self, index: u64) -> UnixMillis {
        self.start(index.saturating_add(1))
    }

    /// As written behind the `/` of a rate.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The length of every span, where all are equally long.
    fn fixed_millis(self) -> Option<u64> {
        match self {
            Self::Second => Some(1_000),
            Self::Minute => Some(60_000),
            Self::Hour => Some(3_600_000),
            Self::Day => Some(DAY_MILLIS),
            Self::Month => None,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The Gregorian calendar repeats after 400 years, which are so many days.
const CYCLE_DAYS: u64 = 146_097;
const CYCLE_MONTHS: u64 = 4_800;

/// The month, counted from January 1970, that holds the day counted from 1970-01-01.
fn month_of_day(day: u64) -> u64 {
    // The average month is never more than a few days off, so the guess is right or next to right. A day fits in
    // 38 bits here, and so its product in 51.
    let mut month = day * CYCLE_MONTHS / CYCLE_DAYS;
    while first_day_of_month(month) > day {
        month -= 1;
    }
    while first_day_of_month(month + 1) <= day {
        month += 1;
    }
    month
}

/// The day, counted from 1970-01-01, on which the month counted from January 1970 begins. Saturates.
fn first_day_of_month(month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    /// Leap years from year 1 up to and with 1969.
    const LEAPS_BEFORE_1970: u64 = 1969 / 4 - 1969 / 100 + 1969 / 400;

    let years = month / 12;
    let in_year = (month % 12) as usize;
    let last_year = 1969 + years;
    let leaps = last_year / 4 - last_year / 100 + last_year / 400 - LEAPS_BEFORE_1970;
    let year = last_year + 1;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_day = u64::from(is_leap && in_year >= 2);
    years.saturating_mul(365).saturating_add(leaps).saturating_add(BEFORE[in_year] + leap_day)
}

/// So many per window, such as `5_000/min`. It is shown exactly as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many are admitted in one window; 0 admits none.
    pub count: u64,
    /// The span of time that `count` is for.
    pub window: Window,
    written: Arc<str>,
}

impl Rate {
    /// A rate that did not come from text; it is written as plain digits, such as `5000/min`.
    pub fn new(count: u64, window: Window) -> Self {
        Self { count, window, written: format!("{count}/{window}").into() }
    }

    /// Reads `N/WINDOW`. With `bytes`, N may also end in `KiB`, `MiB` or `GiB`.
    pub fn parse(text: &str, bytes: bool) -> Result<Self, RateError> {
        let (number, window) = text.split_once('/').ok_or_else(|| RateError::Shape(text.into()))?;
        let window = Window::ALL
            .into_iter()
            .find(|known| known.as_str() == window)
            .ok_or_else(|| RateError::Window(window.into()))?;
        Ok(Self { count: Self::parse_number(number, bytes)?, window, written: text.into() })
    }

    /// Reads the number of a rate or a size: digits with `_` between them, and one suffix `k` or `M`, or with `bytes`
    /// also `KiB`, `MiB` or `GiB`.
    pub(crate) fn parse_number(text: &str, bytes: bool) -> Result<u64, RateError> {
        const SUFFIXES: [(&str, u64); 2] = [("k", 1_000), ("M", 1_000_000)];
        const BYTE_SUFFIXES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

        let byte_suffixes = if bytes { &BYTE_SUFFIXES[..] } else { &[] };
        let (digits, factor) = SUFFIXES
            .iter()
            .chain(byte_suffixes)
            .find_map(|&(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)))
            .unwrap_or((text, 1));

        let groups_are_digits =
            digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
        if !groups_are_digits {
            return Err(RateError::Number { text: text.into(), bytes });
        }
        digits
            .bytes()
            .filter(u8::is_ascii_digit)
            .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
            .and_then(|number| number.checked_mul(factor))
            .ok_or_else(|| RateError::TooLarge(text.into()))
    }

    /// Exactly as configured, such as `5_000/min`.
    pub fn written(&self) -> &str {
        &self.written
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        Self::parse(text, false)
    }
}

/// Why a text is no rate, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// There is no `/` in it.
    #[error("a rate is a number and a window, such as 250/min; {0:?} has no window: add /s, /min, /h, /day or /month")]
    Shape(String),
    /// What stands before the `/` is no whole number.
    #[error(
        "a rate is a number and a window, such as {}; {text:?} is no number: use digits, `_` between them, and {}",
        example(.bytes),
        suffixes(.bytes)
    )]
    Number {
        /// What was found.
        text: String,
        /// Whether bytes are counted, which may be written in KiB, MiB and GiB.
        bytes: bool,
    },
    /// The number is past what can be counted.
    #[error("{0:?} is too large: a rate counts up to {max}", max = u64::MAX)]
    TooLarge(String),
    /// What stands after the `/` is no window.
    #[error("a rate is a number and a window, such as 250/min; {0:?} is no window: use s, min, h, day or month")]
    Window(String),
}

fn example(bytes: &bool) -> &'static str {
    if *bytes { "10MiB/min" } else { "250/min" }
}

fn suffixes(bytes: &bool) -> &'static str {
    if *bytes { "k, M, KiB, MiB or GiB" } else { "k or M" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The instant of a civil date and time, by way of jiff as a second opinion on the calendar.
    fn utc(text: &str) -> UnixMillis {
        let timestamp: jiff::Timestamp = text.parse().unwrap();
        UnixMillis(timestamp.as_millisecond().try_into().unwrap())
    }

    fn month(text: &str) -> (UnixMillis, UnixMillis) {
        let index = Window::Month.index(utc(text));
        (Window::Month.start(index), Window::Month.end(index))
    }

    #[test]
    fn the_minute_12_45_ends_at_12_46_whenever_a_client_started() {
        for now in ["2026-03-10T12:45:00Z", "2026-03-10T12:45:17.250Z", "2026-03-10T12:45:59.999Z"] {
            let index = Window::Minute.index(utc(now));
            assert_eq!(Window::Minute.start(index), utc("2026-03-10T12:45:00Z"));
            assert_eq!(Window::Minute.end(index), utc("2026-03-10T12:46:00Z"));
        }
    }

    #[test]
    fn each_window_begins_and_ends_with_the_calendar() {
        let now = utc("2026-12-31T23:59:58.001Z");
        let expected = [
            (Window::Second, "2026-12-31T23:59:58Z", "2026-12-31T23:59:59Z"),
            (Window::Minute, "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"),
            (Window::Hour, "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z"),
            (Window::Day, "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Window::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ];
        for (window, start, end) in expected {
            let index = window.index(now);
            assert_eq!(window.start(index), utc(start), "start of {window}");
            assert_eq!(window.end(index), utc(end), "end of {window}");
        }
    }

    #[test]
    fn months_have_their_calendar_length() {
        let days = |text: &str| {
            let (start, end) = month(text);
            (end.0 - start.0) / DAY_MILLIS
        };
        assert_eq!(days("2026-01-31T12:00:00Z"), 31);
        assert_eq!(days("2026-02-28T12:00:00Z"), 28);
        assert_eq!(days("2026-04-01T00:00:00Z"), 30);
        assert_eq!(days("2024-02-29T23:59:59Z"), 29, "every fourth year is a leap year");
        assert_eq!(days("2100-02-01T00:00:00Z"), 28, "but a century is none");
        assert_eq!(days("2000-02-01T00:00:00Z"), 29, "unless it divides by 400");
    }

    #[test]
    fn the_first_windows_begin_1970() {
        for window in Window::ALL {
            assert_eq!(window.index(UnixMillis(0)), 0);
            assert_eq!(window.start(0), UnixMillis(0));
        }
    }

    #[test]
    fn windows_at_the_end_of_time_saturate_instead_of_overflowing() {
        for window in Window::ALL {
            let last = window.index(UnixMillis(u64::MAX));
            assert!(window.start(last) <= UnixMillis(u64::MAX));
            assert_eq!(window.end(last), UnixMillis(u64::MAX));
            assert_eq!(window.end(u64::MAX), UnixMillis(u64::MAX));
        }
    }

    proptest! {
        #[test]
        fn index_start_and_end_agree_at_any_time(now in 0..u64::MAX / 2) {
            for window in Window::ALL {
                let index = window.index(UnixMillis(now));
                let (start, end) = (window.start(index), window.end(index));
                prop_assert!(start.0 <= now && now < end.0);
                prop_assert_eq!(window.index(start), index);
                prop_assert_eq!(window.index(UnixMillis(end.0 - 1)), index);
                prop_assert_eq!(window.index(end), index + 1);
            }
        }

        #[test]
        fn months_agree_with_a_calendar_library(now in 0..250_000_000_000_000u64) {
            let stamp = jiff::Timestamp::from_millisecond(now as i64).unwrap();
            let date = jiff::tz::Offset::UTC.to_datetime(stamp).date();
            let expected = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1;
            prop_assert_eq!(Window::Month.index(UnixMillis(now)), expected as u64);
        }

        #[test]
        fn a_number_reads_the_same_however_its_digits_are_grouped(count: u64) {
            let grouped = count.to_string().chars().map(String::from).collect::<Vec<_>>().join("_");
            prop_assert_eq!(Rate::parse_number(&grouped, false), Ok(count));
        }
    }

    #[test]
    fn a_rate_is_read_with_separators_and_suffixes() {
        let table = [
            ("250/min", false, 250, Window::Minute),
            ("5_000/min", false, 5_000, Window::Minute),
            ("0/min", false, 0, Window::Minute),
            ("1k/s", false, 1_000, Window::Second),
            ("2M/month", false, 2_000_000, Window::Month),
            ("1_0k/h", false, 10_000, Window::Hour),
            ("64KiB/day", true, 65_536, Window::Day),
            ("10MiB/s", true, 10_485_760, Window::Second),
            ("1GiB/month", true, 1_073_741_824, Window::Month),
            ("2M/month", true, 2_000_000, Window::Month),
            ("18446744073709551615/s", false, u64::MAX, Window::Second),
        ];
        for (text, bytes, count, window) in table {
            let rate = Rate::parse(text, bytes).unwrap();
            assert_eq!((rate.count, rate.window), (count, window), "{text}");
            assert_eq!(rate.written(), text);
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!(Rate::new(5_000, Window::Minute).written(), "5000/min");
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_was_expected() {
        let window = r#"a rate is a number and a window, such as 250/min; "fortnight" is no window: use s, min, h, day or month"#;
        assert_eq!("250/fortnight".parse::<Rate>().unwrap_err().to_string(), window);
        let number = r#"a rate is a number and a window, such as 250/min; "2.5" is no number: use digits, `_` between them, and k or M"#;
        assert_eq!("2.5/min".parse::<Rate>().unwrap_err().to_string(), number);
        let bytes = r#"a rate is a number and a window, such as 10MiB/min; "1TiB" is no number: use digits, `_` between them, and k, M, KiB, MiB or GiB"#;
        assert_eq!(Rate::parse("1TiB/s", true).unwrap_err().to_string(), bytes);
        let shape = r#"a rate is a number and a window, such as 250/min; "250" has no window: add /s, /min, /h, /day or /month"#;
        assert_eq!("250".parse::<Rate>().unwrap_err().to_string(), shape);
        let large = r#""99999999999999999999" is too large: a rate counts up to 18446744073709551615"#;
        assert_eq!("99999999999999999999/s".parse::<Rate>().unwrap_err().to_string(), large);

        for text in [
            "",
            "/",
            "/min",
            "250/",
            "250/MIN",
            "250/minute",
            "250 /min",
            "250/ min",
            " 250/min",
            "-1/min",
            "+1/min",
            "_1/min",
            "1_/min",
            "1__0/min",
            "k/min",
            "1kk/min",
            "1K/min",
            "1KiB/min",
            "0x10/min",
            "1e3/min",
            "1/s/s",
            "١/min",
            "18446744073709551616/s",
            "18446744073709551615k/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} was read as a rate");
        }
    }
}
