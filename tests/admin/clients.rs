//! Who is connected, and the disconnecting of one.

use weir::wire::{QoS, Version};

use super::common::http::{admin, get};
use super::weir;

#[test]
fn connected_clients_are_listed_by_profile_and_client_identifier_page_by_page() {
    let weir = weir();
    let mut clients: Vec<_> = [("t-lamp", "z"), ("t-pump", "b"), ("t-pump", "a/1"), ("t-small", "c")]
        .map(|(token, id)| weir.client(Version::V4, token, id))
        .into();
    clients[1].subscribe("x/#", QoS::AtLeastOnce);
    let mut listed = Vec::new();
    let mut path = "/api/v1/clients?limit=3".to_owned();
    loop {
        let page = get(&weir, &path);
        assert_eq!(page["total"], 4);
        listed.extend(page["clients"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/clients?limit=3&cursor={next}"),
            None => break,
        }
    }
    let names: Vec<_> =
        listed.iter().map(|c| (c["profile"].as_str().unwrap(), c["client_id"].as_str().unwrap())).collect();
    assert_eq!(names, [("acme", "a/1"), ("acme", "b"), ("acme", "c"), ("beta", "z")]);
    assert_eq!((&listed[1]["device"], &listed[1]["protocol"]), (&"pump".into(), &"3.1.1".into()));
    assert_eq!((&listed[1]["subscriptions"], &listed[1]["queued"]), (&1.into(), &0.into()));
    assert!(listed[1]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let of_one = get(&weir, "/api/v1/clients?profile=beta");
    assert_eq!((&of_one["total"], &of_one["clients"][0]["client_id"]), (&1.into(), &"z".into()));
}

#[test]
fn a_client_that_is_disconnected_hears_that_an_operator_did_it() {
    let weir = weir();
    let mut five = weir.client(Version::V5, "t-pump", "a/1");
    let mut four = weir.client(Version::V4, "t-pump", "b");
    let answer = admin(&weir, "DELETE", "/api/v1/clients/acme/a%2F1", "");
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let disconnect = five.frame();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x98), "DISCONNECT, Administrative action: {disconnect:02x?}");
    five.expect_closed();
    assert_eq!(admin(&weir, "DELETE", "/api/v1/clients/acme/b", "").status, 204);
    four.expect_closed();
}

#[test]
fn who_is_not_connected_cannot_be_disconnected() {
    let weir = weir();
    let detail = admin(&weir, "DELETE", "/api/v1/clients/acme/nobody", "").problem(404);
    assert_eq!(detail, "no client \"nobody\" of profile acme is connected");
    assert_eq!(admin(&weir, "DELETE", "/api/v1/clients/nope/x", "").problem(404), "there is no profile \"nope\"");
    assert_eq!(admin(&weir, "GET", "/api/v1/clients?profile=nope", "").problem(404), "there is no profile \"nope\"");
    let wrong = admin(&weir, "GET", "/api/v1/clients?cursor=%2B", "").problem(400);
    assert_eq!(wrong, "`cursor`: the `next` of the page before is expected");
}
