//! Profiles, their limits, and usage over time.

use weir::wire::{QoS, Version};

use super::common::Weir;
use super::common::http::{admin, get};
use super::{CONFIG, TIME, weir};

#[test]
fn the_limits_of_a_profile_say_what_is_used_and_denied_and_when_it_is_reset() {
    let weir = weir();
    let mut client = weir.client(Version::V5, "t-pump", "c1");
    for _ in 0..12 {
        client.publish("a", b"x", QoS::AtMostOnce, 0);
    }
    client.expect_nothing();
    let limits = get(&weir, "/api/v1/profiles/acme/limits");
    let profile = &limits["profile"];
    assert_eq!((&profile["name"], &profile["plan"]), (&"acme".into(), &"free".into()));
    assert_eq!((&profile["connections"], &profile["devices"], &profile["denied"]), (&1.into(), &2.into(), &2.into()));
    assert_eq!((&profile["fullest"], &profile["fullest_resource"]), (&1.0.into(), &"publish".into()));
    let publish = profile["limits"].as_array().unwrap().iter().find(|limit| limit["resource"] == "publish").unwrap();
    let expected = serde_json::json!({
        "resource": "publish", "limit": "10/min", "max": 10, "window": "min", "used": 10, "denied": 2,
        "reset_seconds": 51, "resets_at": "2026-11-21T12:46:00Z",
    });
    assert_eq!(*publish, expected);
}

#[test]
fn profiles_are_listed_the_fullest_first_and_paging_shows_each_once_whatever_changes_meanwhile() {
    let weir = weir();
    let mut lamp = weir.client(Version::V5, "t-lamp", "lamp");
    lamp.publish("a", b"x", QoS::AtMostOnce, 0);
    lamp.expect_nothing();
    let first = get(&weir, "/api/v1/profiles?limit=2");
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["profiles"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first), ["beta", "acme"]);
    assert_eq!(first["total"], 3);
    // Whoever comes last now would be first.
    let check = r#"{"profile":"curious","resource":"GET /x"}"#;
    admin(&weir, "POST", "/api/v1/check", check).json(200);
    let second = get(&weir, &format!("/api/v1/profiles?limit=2&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!(names(&second), ["curious"]);
    assert!(second["next"].is_null());
    assert_eq!(names(&get(&weir, "/api/v1/profiles?search=ac")), ["acme"]);
}

#[test]
fn ten_thousand_profiles_are_paged_through_without_a_client_noticing() {
    let profiles: String = (0..10_000).map(|n| format!("  p{n}: {{ plan: free }}\n")).collect();
    let weir = Weir::at(TIME, &CONFIG.replace("  beta:", &format!("{profiles}  beta:")));
    let mut seen = std::collections::BTreeSet::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let page = get(&weir, &format!("/api/v1/profiles?limit=1000&cursor={cursor}"));
        for profile in page["profiles"].as_array().unwrap() {
            assert!(seen.insert(profile["name"].as_str().unwrap().to_owned()), "{profile} is there once");
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), 10_003);
}

#[test]
fn usage_has_a_point_for_each_minute_of_the_last_hour_unless_something_else_is_asked_for() {
    let weir = weir();
    let usage = get(&weir, "/api/v1/profiles/acme/usage?resource=publish");
    assert_eq!((&usage["from"], &usage["to"]), (&"2026-11-21T11:46:00Z".into(), &"2026-11-21T12:46:00Z".into()));
    assert_eq!(usage["series"][0]["points"].as_array().unwrap().len(), 60);
    assert_eq!(usage["series"][0]["limits"], serde_json::json!(["10/min"]));
    let months = get(&weir, "/api/v1/profiles/acme/usage?resource=POST%20/data&step=1mo&from=1767225600");
    assert_eq!(months["from"], "2026-01-01T00:00:00Z");
    assert_eq!(months["series"][0]["points"].as_array().unwrap().len(), 11);
    let device = get(&weir, "/api/v1/profiles/acme/usage?device=small");
    assert_eq!(device["series"][0]["resource"], "publish");
}

#[test]
fn what_is_wrong_with_a_question_is_told_with_what_was_expected() {
    let weir = weir();
    let cases = [
        ("/api/v1/profiles?limit=0", "`limit`: a whole number from 1 to 1000 is expected, not \"0\""),
        ("/api/v1/profiles?limit=many", "`limit`: a whole number from 1 to 1000 is expected, not \"many\""),
        ("/api/v1/profiles?limit=1&limit=2", "`limit` is given twice; give it once"),
        ("/api/v1/profiles?page=2", "\"page\" is no parameter of this call: cursor, limit, search"),
        ("/api/v1/profiles?cursor=x", "`cursor`: the `next` of the page before is expected"),
        ("/api/v1/profiles/acme/limits?x=1", "\"x\" is no parameter of this call: it takes none"),
        ("/api/v1/profiles/%FF/limits", "the path cannot be read: Invalid URL: Invalid UTF-8 in `profile`"),
        (
            "/api/v1/profiles/acme/usage?from=yesterday",
            "`from`: a time is expected, as in RFC 3339 (2026-11-21T12:45:00Z) or in seconds since 1970 (1795265100), from \
             1970 to 9998, not \"yesterday\"",
        ),
        ("/api/v1/profiles/acme/usage?step=1w", "`step`: a step is expected, one of 1m, 1h, 1d and 1mo, not \"1w\""),
        (
            "/api/v1/profiles/acme/usage?from=200&to=100",
            "`from` must be before `to`, and before now where there is no `to`",
        ),
        (
            "/api/v1/profiles/acme/usage?from=0",
            "more than 100000 points: a shorter time, a longer step or one `resource` is expected",
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(admin(&weir, "GET", path, "").problem(400), expected, "{path}");
    }
    let cases = [
        ("/api/v1/profiles?cursor=7-100", "`cursor`: that list is no longer kept; begin again without a cursor"),
        ("/api/v1/profiles/nope/limits", "there is no profile \"nope\""),
        ("/api/v1/profiles/nope/usage", "there is no profile \"nope\""),
        (
            "/api/v1/profiles/acme/usage?device=pump",
            "nothing is kept of a device \"pump\": the profile has none with rates of its own by that name",
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(admin(&weir, "GET", path, "").problem(404), expected, "{path}");
    }
    let wrong = admin(&weir, "GET", "/api/v1/profiles/acme/usage?resource=publsh", "").problem(400);
    assert!(wrong.starts_with("`resource`: \"publsh\" is no resource: use connect, publish"), "{wrong}");
}
