//! Server-sent events: what changes, as it changes.

use std::io::{BufReader, Write};

use weir::wire::{QoS, Version};

use super::common::http::{Answer, Events, admin, request, socket};
use super::common::{ADMIN_TOKEN, Weir};
use super::{CONFIG, TIME, weir};

#[test]
fn a_stream_begins_with_what_is_and_goes_on_with_what_changes() {
    let mut weir = weir();
    let mut all = Events::open(weir.admin(), "/api/v1/events", ADMIN_TOKEN);
    let mut one = Events::open(weir.admin(), "/api/v1/events?profile=acme", "acme-reads");
    let (name, profiles) = all.next().unwrap();
    assert_eq!((name.as_str(), &profiles["total"]), ("profiles", &3.into()));
    let (name, limits) = one.next().unwrap();
    assert_eq!((name.as_str(), &limits["profile"]["fullest"]), ("limits", &0.0.into()));

    let mut client = weir.client(Version::V5, "t-pump", "c");
    for _ in 0..11 {
        client.publish("a", b"x", QoS::AtMostOnce, 0);
    }
    client.expect_nothing();
    weir.clock("+1s");
    let (_, limits) = one.next().unwrap();
    assert_eq!((&limits["profile"]["fullest"], &limits["profile"]["denied"]), (&1.0.into(), &1.into()));
    assert_eq!(all.next().unwrap().1["profiles"][0]["name"], "acme");
    client.disconnect();
}

#[test]
fn a_second_in_which_nothing_changes_is_silent_though_the_seconds_count_down() {
    let mut weir = weir();
    let mut one = Events::open(weir.admin(), "/api/v1/events?profile=acme", ADMIN_TOKEN);
    one.next().unwrap();
    for _ in 0..5 {
        weir.clock("+1s");
    }
    let path = "/api/v1/check?profile=acme&resource=POST%20/data";
    admin(&weir, "GET", path, "").json(200);
    weir.clock("+1s");
    let (_, limits) = one.next().unwrap();
    let limits = limits["profile"]["limits"].as_array().unwrap().clone();
    let counted = limits.iter().find(|limit| limit["resource"] == "POST /data").unwrap();
    assert_eq!(counted["used"], 1, "the first event after the silence is about this");
}

#[test]
fn a_thousand_open_streams_cost_other_clients_nothing_and_end_with_the_broker() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut weir = Weir::at(TIME, &CONFIG.replace("publish: 10/min", "publish: 10_000/min"));
    let mut streams: Vec<Events> =
        (0..1_000).map(|_| Events::open(weir.admin(), "/api/v1/events?profile=acme", ADMIN_TOKEN)).collect();
    let mut client = weir.client(Version::V5, "t-pump", "c");
    let before = weir.memory_kib();
    for second in 0..10 {
        client.publish("a", b"x", QoS::AtLeastOnce, second + 1);
        assert_eq!(client.frame()[0], 0x40);
        weir.clock("+1s");
    }
    // Nobody has read them so far.
    assert!(weir.memory_kib() < before + 64 * 1024, "{} KiB, {before} before", weir.memory_kib());
    assert_eq!(request(weir.admin(), "GET", "/healthz", &[], b"").status, 200);
    for stream in &mut streams {
        let used = |limits: &serde_json::Value| limits["profile"]["limits"].to_string().contains("\"used\":10,");
        while !used(&stream.next().unwrap().1) {}
    }
    weir.signal("TERM");
    assert_eq!(weir.wait_for_exit(), 0);
    assert!(streams.iter_mut().all(|stream| stream.next().is_none()));
}

#[test]
fn more_streams_than_may_be_are_refused_and_places_are_given_back() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let weir = weir();
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let open = || Events::open(weir.admin(), "/api/v1/events", ADMIN_TOKEN);
    let mut streams: Vec<Events> = (0..1_024).map(|_| open()).collect();
    let ask = || request(weir.admin(), "GET", "/api/v1/events", &[("Authorization", &bearer)], b"");
    assert!(ask().problem(503).starts_with("1024 event streams are open, as many as may be"));
    streams.clear();
    // The server notices that they are gone.
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n");
    let opens = (0..1_000).any(|_| {
        let mut stream = socket(weir.admin());
        stream.write_all(head.as_bytes()).unwrap();
        Answer::head(&mut BufReader::new(stream)).status == 200
    });
    assert!(opens, "the places of streams that are gone are given back");
}
