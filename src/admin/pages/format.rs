//! Numbers, times and shares as people read them. Called by every page; the script in `assets/weir.js` says the same of what
//! changes while a page is open, in the same words. It must never round a share up: 100 % means that the limit is reached.

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::admin::model::Limit;

/// Digits in groups of three: `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The binary units, from the smallest.
pub(super) const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Bytes in the unit that suits them, with at most one decimal: `512 B`, `1.5 KiB`, `3 GiB`.
pub fn bytes(n: u64) -> String {
    let unit = unit_of(n);
    let value = n as f64 / 1024f64.powi(unit as i32);
    let text = format!("{value:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

/// The largest of [`UNITS`] of which there is at least one.
pub(super) fn unit_of(n: u64) -> usize {
    let mut unit = 0;
    while unit + 1 < UNITS.len() && n >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    unit
}

/// Whether a resource counts bytes rather than requests.
pub fn counts_bytes(resource: &str) -> bool {
    matches!(resource, "publish_bytes" | "receive_bytes")
}

/// So much of a resource: a number, or bytes where it counts those.
pub fn amount(resource: &str, n: u64) -> String {
    if counts_bytes(resource) { bytes(n) } else { number(n) }
}

/// A limit with its window, such as `5,000/min`; `none` where the resource is unlimited.
pub fn rate(limit: &Limit) -> String {
    match limit.max {
        Some(max) => format!("{}/{}", amount(&limit.resource, max), limit.window),
        None => "none".into(),
    }
}

/// How full a limit is: 1.0 at the limit. A limit of nothing is full from the start; without one there is nothing to fill.
pub fn share(limit: &Limit) -> Option<f64> {
    match limit.max? {
        0 => Some(1.0),
        max => Some(limit.used as f64 / max as f64),
    }
}

/// A share in whole percent, rounded down: `83 %`.
pub fn percent(share: f64) -> String {
    // A share such as 0.29 is a hair below 29 % in binary.
    format!("{} %", number((share * 100.0 + 1e-9).floor().max(0.0) as u64))
}

/// How the bar of a share looks: `ok`, `warn` from 80 %, `full` from 100 %.
pub fn level(share: f64) -> &'static str {
    match share {
        full if full >= 1.0 => "full",
        warn if warn >= 0.8 => "warn",
        _ => "ok",
    }
}

/// A span of time in its two largest units: `51 s`, `3 min 20 s`, `2 h 5 min`, `12 d 4 h`.
pub fn duration(seconds: u64) -> String {
    let (large, large_unit, small, small_unit) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3_600 => (seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// So many a second: with one decimal below ten.
pub fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 { format!("{rate:.1}") } else { number(rate.round() as u64) }
}

/// Processor time per wall time: `12.3 %` of one processor.
pub fn processor(cpu: f64) -> String {
    format!("{:.1} %", cpu * 100.0)
}

/// A number at the side of a chart: `250`, `7.5k`, `2M`.
pub fn short(value: f64) -> String {
    let (value, suffix) = match value.abs() {
        millions if millions >= 1e6 => (value / 1e6, "M"),
        thousands if thousands >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The time of day of an RFC 3339 time, UTC: `12:45:09`. What is no such time stays as it is.
pub fn time(at: &str) -> String {
    formatted(at, "%H:%M:%S")
}

/// An RFC 3339 time to the minute, UTC: `2026-11-21 12:45`. What is no such time stays as it is.
pub fn minute(at: &str) -> String {
    formatted(at, "%Y-%m-%d %H:%M")
}

/// The day of an RFC 3339 time, UTC: `2026-11-21`. What is no such time stays as it is.
pub fn day(at: &str) -> String {
    formatted(at, "%Y-%m-%d")
}

pub(super) fn formatted(at: &str, format: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(timestamp) => Offset::UTC.to_datetime(timestamp).strftime(format).to_string(),
        Err(_) => at.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(resource: &str, max: Option<u64>, used: u64) -> Limit {
        Limit {
            resource: resource.into(),
            limit: max.map(|max| format!("{max}/min")),
            max,
            window: "min".into(),
            used,
            denied: 0,
            reset_seconds: 51,
            resets_at: "2026-11-21T12:46:00Z".into(),
        }
    }

    #[test]
    fn digits_come_in_groups_of_three() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (15_000, "15,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn bytes_come_in_binary_units_and_requests_do_not() {
        for (n, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (5 << 20, "5 MiB"),
            (3 << 30, "3 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(amount("publish_bytes", 2_048), "2 KiB");
        assert_eq!(amount("publish", 2_048), "2,048");
        assert_eq!(rate(&limit("receive_bytes", Some(10 << 20), 0)), "10 MiB/min");
        assert_eq!(rate(&limit("POST /data", Some(5_000), 0)), "5,000/min");
        assert_eq!(rate(&limit("subscribe", None, 0)), "none");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_the_limit() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.29), "29 %");
        assert_eq!(percent(0.999), "99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(13.5), "1,350 %");
        assert_eq!(
            [level(0.799), level(0.8), level(0.999), level(1.0), level(2.0)],
            ["ok", "warn", "warn", "full", "full"]
        );
    }

    #[test]
    fn a_limit_of_nothing_is_full_and_no_limit_has_no_share() {
        assert_eq!(share(&limit("connect", Some(0), 0)), Some(1.0));
        assert_eq!(share(&limit("connect", Some(20), 5)), Some(0.25));
        assert_eq!(share(&limit("connect", None, 5)), None);
    }

    #[test]
    fn time_comes_in_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (51, "51 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (7_500, "2 h 5 min"),
            (86_400, "1 d"),
            (1_051_200, "12 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(time("2026-11-21T12:45:09.5Z"), "12:45:09");
        assert_eq!(minute("2026-11-21T13:45:09+01:00"), "2026-11-21 12:45");
        assert_eq!(day("2026-11-21T00:00:00Z"), "2026-11-21");
        assert_eq!(time("<soon>"), "<soon>");
    }

    #[test]
    fn what_stands_beside_a_chart_is_short() {
        for (value, text) in
            [(0.0, "0"), (0.25, "0.25"), (250.0, "250"), (7_500.0, "7.5k"), (2e6, "2M"), (1.25e6, "1.25M")]
        {
            assert_eq!(short(value), text);
        }
        assert_eq!(
            [per_second(0.0), per_second(0.42), per_second(9.96), per_second(1_234.4)],
            ["0", "0.4", "10", "1,234"]
        );
        assert_eq!(processor(0.123), "12.3 %");
    }
}
