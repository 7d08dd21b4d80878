//! The header fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, which are structured fields
//! (RFC 9651): what holds for a resource, and what is left of it. Made from readings, for the answers of the check API and of
//! `POST /data`.

use std::fmt::Write;

use axum::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::{Reading, UnixMillis, Window};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The fields for what was read of one resource, of a profile and of a device; none where nothing is limited.
pub(super) fn headers(profile: &[Reading], device: &[Reading], now: UnixMillis) -> HeaderMap {
    let mut policies = String::new();
    let mut limits = String::new();
    for (readings, whose) in [(profile, ""), (device, " of the device")] {
        let several = readings.len() > 1;
        for reading in readings {
            let Some(rate) = &reading.limit else { continue };
            let per = if several { format!(" per {}", rate.window) } else { String::new() };
            let name = string(&format!("{}{per}{whose}", reading.resource));
            let unit = if reading.resource.is_bytes() { ";qu=\"content-bytes\"" } else { "" };
            let left = rate.count.saturating_sub(reading.used);
            let reset = reading.resets_at.0.saturating_sub(now.0).div_ceil(1000);
            for fields in [&mut policies, &mut limits] {
                if !fields.is_empty() {
                    fields.push_str(", ");
                }
            }
            // Writing to a string cannot fail. An integer of a structured field has 15 digits.
            let most = 999_999_999_999_999;
            let _ = write!(policies, "{name};q={}{unit};w={}", rate.count.min(most), seconds(rate.window, now));
            let _ = write!(limits, "{name};r={};t={reset}", left.min(most));
        }
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [(POLICY, policies), (LIMIT, limits)] {
        // It is printable ASCII by its making.
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

/// How long the window is that `now` is in.
fn seconds(window: Window, now: UnixMillis) -> u64 {
    let index = window.index(now);
    (window.end(index).0 - window.start(index).0) / 1000
}

/// A string of a structured field, which is of ASCII: what is not is percent-encoded.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => _ = write!(quoted, "%{byte:02X}"),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Rate, Resource};

    /// 2026-11-21T12:45:09.001Z
    const NOW: UnixMillis = UnixMillis(1_795_265_109_001);

    fn reading(resource: &str, rate: &str, used: u64) -> Reading {
        let resource: Resource = resource.parse().unwrap();
        let rate = Rate::parse(rate, resource.is_bytes()).unwrap();
        let resets_at = rate.window.end(rate.window.index(NOW));
        Reading { resource, limit: Some(rate), used, denied: 0, resets_at }
    }

    fn fields(profile: &[Reading], device: &[Reading]) -> [String; 2] {
        let headers = headers(profile, device, NOW);
        [POLICY, LIMIT].map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn one_rate_is_named_by_its_resource() {
        let [policy, limit] = fields(&[reading("POST /data", "250/min", 200)], &[]);
        assert_eq!(policy, r#""POST /data";q=250;w=60"#);
        assert_eq!(limit, r#""POST /data";r=50;t=51"#);
    }

    #[test]
    fn several_rates_and_those_of_a_device_are_told_apart() {
        let profile = [reading("publish_bytes", "1KiB/s", 2_000), reading("publish_bytes", "10MiB/month", 0)];
        let [policy, limit] = fields(&profile, &[reading("a/\"ü", "5/day", 1)]);
        assert!(policy.starts_with(r#""publish_bytes per s";q=1024;qu="content-bytes";w=1, "#), "{policy}");
        assert!(policy.contains(r#""publish_bytes per month";q=10485760;qu="content-bytes";w=2592000"#), "{policy}");
        assert!(policy.ends_with(r#""a/\"%C3%BC of the device";q=5;w=86400"#), "{policy}");
        assert!(limit.starts_with(r#""publish_bytes per s";r=0;t=1, "#), "{limit}");
    }

    #[test]
    fn without_a_rate_there_is_nothing_to_tell() {
        let unlimited = Reading { limit: None, ..reading("publish", "1/s", 0) };
        assert!(headers(&[unlimited], &[], NOW).is_empty());
    }
}
