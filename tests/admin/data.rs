//! `POST /data`: publishing without MQTT.

use weir::wire::{QoS, Version};

use super::common::Weir;
use super::common::http::{Answer, get, request};
use super::{CONFIG, TIME, weir};

fn post(weir: &Weir, query: &str, token: &str, body: &[u8]) -> Answer {
    request(weir.admin(), "POST", &format!("/data?{query}"), &[("Device-Token", token)], body)
}

#[test]
fn a_message_reaches_the_subscribers_of_its_profile_and_no_others() {
    let weir = weir();
    let mut own = weir.client(Version::V5, "t-pump", "own");
    let mut other = weir.client(Version::V5, "t-lamp", "other");
    own.subscribe("a/#", QoS::ExactlyOnce);
    other.subscribe("#", QoS::ExactlyOnce);
    let answer = post(&weir, "topic=a/b&qos=1", "t-small", b"42");
    assert_eq!(answer.text(), r#"{"status":true,"result":"1 message accepted"}"#);
    assert_eq!(answer.header("ratelimit"), Some(r#""POST /data";r=2;t=51"#));
    let received = own.expect_publish();
    assert_eq!((received.topic.as_str(), received.payload.as_slice()), ("a/b", &b"42"[..]));
    assert_eq!(received.qos, QoS::AtLeastOnce);
    other.expect_nothing();
}

#[test]
fn a_message_counts_as_post_data_and_not_as_publish_and_over_the_limit_it_is_denied() {
    let mut weir = weir();
    for _ in 0..3 {
        assert_eq!(post(&weir, "topic=a", "t-pump", b"").status, 200);
    }
    let denied = post(&weir, "topic=a", "t-pump", b"");
    assert_eq!(denied.status, 429);
    assert_eq!(denied.text(), r#"{"status":false,"message":"Too many requests (Retry-After: 51)"}"#);
    assert_eq!(denied.header("retry-after"), Some("51"));
    assert_eq!(denied.header("ratelimit-policy"), Some(r#""POST /data";q=3;w=60"#));
    assert_eq!(denied.header("ratelimit"), Some(r#""POST /data";r=0;t=51"#));
    let limits = get(&weir, "/api/v1/profiles/acme/limits");
    let used = |name: &str| {
        let limits = limits["profile"]["limits"].as_array().unwrap();
        limits.iter().find(|limit| limit["resource"] == name).unwrap()["used"].clone()
    };
    assert_eq!((used("POST /data"), used("publish")), (3.into(), 0.into()));
    weir.clock("2026-11-21T12:46:00Z");
    assert_eq!(post(&weir, "topic=a", "t-pump", b"").status, 200);
}

#[test]
fn a_retained_message_waits_for_who_subscribes_later() {
    let weir = weir();
    assert_eq!(post(&weir, "topic=a&retain=true", "t-pump", b"kept").status, 200);
    let mut client = weir.client(Version::V5, "t-pump", "c");
    client.subscribe("a", QoS::AtMostOnce);
    let received = client.expect_publish();
    assert_eq!((received.payload.as_slice(), received.retain), (&b"kept"[..], true));
}

#[test]
fn what_may_not_be_published_is_told() {
    let weir = weir();
    assert_eq!(post(&weir, "topic=a", "guessed", b"").problem(401), "this is no device's token");
    let missing = request(weir.admin(), "POST", "/data?topic=a", &[], b"");
    assert_eq!(missing.problem(401), "the header `Device-Token` with a device's token is expected");
    assert_eq!(missing.header("www-authenticate"), Some("Device-Token"));
    let cases = [
        ("", "`topic` is expected in the query"),
        ("topic=a&qos=3", "`qos`: a whole number from 0 to 2 is expected, not \"3\""),
        ("topic=a&retain=maybe", "`retain`: true or false is expected, not \"maybe\""),
        ("topik=a", "\"topik\" is no parameter of this call: topic, qos, retain"),
    ];
    for (query, expected) in cases {
        assert_eq!(post(&weir, query, "t-pump", b"").problem(400), expected);
    }
    let wrong = post(&weir, "topic=a/%23", "t-pump", b"").problem(400);
    assert!(wrong.starts_with("`topic`: a topic name is expected, not \"a/#\": "), "{wrong}");
    assert_eq!(post(&weir, "topic=secret/a", "t-pump", b"").problem(403), "an access rule forbids this topic");
    assert_eq!(post(&weir, "topic=%24SYS/a", "t-pump", b"").problem(403), "only the broker publishes here");
    let deep = format!("topic={}", ["a"; 40].join("/"));
    assert_eq!(post(&weir, &deep, "t-lamp", b"").problem(403), "max_topic_levels is exceeded");
}

#[test]
fn a_message_passes_by_another_backend_too() {
    let weir = Weir::at(TIME, &format!("{CONFIG}backend: rumqttd\n"));
    let mut client = weir.client(Version::V5, "t-pump", "c");
    client.subscribe("a", QoS::AtLeastOnce);
    assert_eq!(post(&weir, "topic=a&qos=1", "t-pump", b"42").status, 200);
    assert_eq!(client.expect_publish().payload, b"42");
}
