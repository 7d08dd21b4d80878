//! The check API: any service holds its own routes to the same plans.

use std::io::{Read, Write};

use super::common::ADMIN_TOKEN;
use super::common::http::{admin, get, socket};
use super::weir;

const DEVICE: &str = r#"{"profile":"acme","resource":"POST /device"}"#;

#[test]
fn a_request_that_fits_is_counted_and_one_that_does_not_is_answered_429_byte_for_byte() {
    let mut weir = weir();
    let first = admin(&weir, "POST", "/api/v1/check", DEVICE);
    assert_eq!(
        first.header("ratelimit-policy"),
        Some(r#""POST /device per s";q=2;w=1, "POST /device per min";q=5;w=60"#)
    );
    assert_eq!(first.header("ratelimit"), Some(r#""POST /device per s";r=1;t=1, "POST /device per min";r=4;t=51"#));
    let limit = &first.json(200)["limit"];
    assert_eq!((&limit["limit"], &limit["used"]), (&"2/s".into(), &1.into()), "the one with the least left");
    assert_eq!(admin(&weir, "POST", "/api/v1/check", DEVICE).status, 200);
    weir.clock("+1s");
    for _ in 0..2 {
        assert_eq!(admin(&weir, "POST", "/api/v1/check", DEVICE).status, 200);
    }
    weir.clock("+1s");
    assert_eq!(admin(&weir, "POST", "/api/v1/check", DEVICE).status, 200);

    let mut stream = socket(weir.admin());
    let request = format!(
        "POST /api/v1/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{DEVICE}",
        DEVICE.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut whole = String::new();
    stream.read_to_string(&mut whole).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"status":false,"message":"Too many requests (Retry-After: 49)"}"#);
    let mut lines: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
    lines[1..].sort();
    let expected = [
        "HTTP/1.1 429 Too Many Requests",
        "cache-control: no-store",
        "connection: close",
        "content-length: 64",
        "content-type: application/json",
        r#"ratelimit-policy: "POST /device per s";q=2;w=1, "POST /device per min";q=5;w=60"#,
        r#"ratelimit: "POST /device per s";r=1;t=1, "POST /device per min";r=0;t=49"#,
        "retry-after: 49",
    ];
    assert_eq!(lines, expected);

    let limits = get(&weir, "/api/v1/profiles/acme/limits");
    let minute =
        limits["profile"]["limits"].as_array().unwrap().iter().find(|limit| limit["limit"] == "5/min").unwrap();
    assert_eq!((&minute["used"], &minute["denied"]), (&5.into(), &1.into()));
    weir.clock("2026-11-21T12:46:00Z");
    assert_eq!(admin(&weir, "POST", "/api/v1/check", DEVICE).status, 200, "another minute");
}

#[test]
fn a_query_means_the_same_as_a_body() {
    let weir = weir();
    let path = "/api/v1/check?profile=acme&resource=POST%20/data&device=pump";
    assert_eq!(get(&weir, &format!("{path}&cost=2"))["limit"]["used"], 2);
    assert_eq!(get(&weir, path)["limit"]["used"], 3);
    let denied = admin(&weir, "GET", path, "");
    assert_eq!(denied.json(429)["message"], "Too many requests (Retry-After: 51)");
    assert_eq!(denied.header("retry-after"), Some("51"));
    assert_eq!(admin(&weir, "GET", &format!("{path}&cost=0"), "").status, 429, "asked whether one more fits");
    let limits = get(&weir, "/api/v1/profiles/acme/limits");
    let asked = limits["profile"]["limits"].as_array().unwrap().iter().find(|limit| limit["resource"] == "POST /data");
    assert_eq!(asked.unwrap()["used"], 3, "without counting");
}

#[test]
fn a_plan_that_is_not_enforced_counts_and_denies_nothing() {
    let weir = weir();
    let path = "/api/v1/check?profile=curious&resource=GET%20/x";
    assert_eq!(get(&weir, path)["limit"]["used"], 1);
    assert_eq!(get(&weir, path)["limit"]["used"], 2);
    let limits = get(&weir, "/api/v1/profiles/curious/limits");
    assert_eq!(limits["profile"]["enforce"], false);
    assert_eq!(limits["profile"]["denied"], 1, "it would have been");
}

#[test]
fn what_is_not_there_is_404_and_what_cannot_be_read_is_400() {
    let weir = weir();
    let check = |body: &str| admin(&weir, "POST", "/api/v1/check", body);
    let unknown = [
        (r#"{"profile":"nope","resource":"publish"}"#, "there is no profile \"nope\""),
        (r#"{"profile":"acme","device":"nope","resource":"publish"}"#, "the profile acme has no device \"nope\""),
        (
            r#"{"profile":"acme","resource":"GET /y"}"#,
            "the profile acme is on the plan free, and neither has a rate for \"GET /y\"",
        ),
    ];
    for (body, expected) in unknown {
        assert_eq!(check(body).problem(404), expected);
    }
    let unreadable = [
        ("{", "the body is not the JSON that is expected: EOF while parsing an object at line 1 column 1"),
        (
            r#"{"profile":"acme"}"#,
            "the body is not the JSON that is expected: missing field `resource` at line 1 column 18",
        ),
        (
            r#"{"profile":"acme","resource":"publish","price":1}"#,
            "the body is not the JSON that is expected: unknown field `price`, expected one of `profile`, `device`, \
             `resource`, `cost` at line 1 column 46",
        ),
        (
            r#"{"profile":"acme","resource":"publish","cost":-1}"#,
            "the body is not the JSON that is expected: invalid value: integer `-1`, expected u64 at line 1 column 48",
        ),
        (
            r#"{"profile":"acme","resource":"publish","cost":1000000001}"#,
            "`cost`: a whole number from 0 to 1000000000 is expected, not 1000000001",
        ),
    ];
    for (body, expected) in unreadable {
        assert_eq!(check(body).problem(400), expected);
    }
    assert!(check(r#"{"profile":"acme","resource":"x"}"#).problem(400).starts_with("`resource`: \"x\" is no resource"));
    let missing = admin(&weir, "GET", "/api/v1/check?profile=acme", "").problem(400);
    assert_eq!(missing, "`resource` is expected in the query");
}
