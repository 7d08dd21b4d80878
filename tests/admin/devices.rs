//! Devices that are added and removed while the broker runs.

use weir::wire::{QoS, Version};
use weir::{Broker, Config};

use super::common::http::{admin, request};
use super::common::{Client, connect};
use super::{CONFIG, weir};

const DEVICES: &str = "/api/v1/profiles/acme/devices";

#[test]
fn a_device_that_is_added_connects_and_when_it_is_removed_its_clients_are_disconnected() {
    let mut weir = weir();
    let added = admin(&weir, "POST", DEVICES, r#"{"name":"new","limits":{"publish":["1/min"]}}"#);
    assert_eq!(added.header("location"), Some("/api/v1/profiles/acme/devices/new"));
    let added = added.json(201);
    assert_eq!((&added["profile"], &added["name"]), (&"acme".into(), &"new".into()));
    let token = added["token"].as_str().unwrap();
    let mut client = weir.client(Version::V5, token, "c");
    for id in [1, 2] {
        client.publish("a", b"x", QoS::AtLeastOnce, id);
    }
    assert_eq!(client.frame()[3], 1);
    assert_eq!(client.frame()[4], 0x97, "its own limit holds");

    weir.reload(CONFIG);
    client.expect_nothing();
    assert_eq!(admin(&weir, "DELETE", &format!("{DEVICES}/new"), "").status, 204);
    let disconnect = client.frame();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x98), "{disconnect:02x?}");
    client.expect_closed();
    let (_, connack) = weir.try_connect(&connect(Version::V5, token, "c"));
    assert_eq!(connack[3], 0x86, "its token is no longer good: {connack:02x?}");
}

#[test]
fn devices_that_were_added_survive_a_restart_and_those_that_were_removed_stay_away() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("admin.token"), "admin\n").unwrap();
    let text = format!("data_dir: {}\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\n{CONFIG}", data.display());
    let config = Config::parse(&text, "broker.yaml").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = || runtime.block_on(Broker::builder(config.clone()).start()).unwrap();
    let headers = [("Authorization", "Bearer admin"), ("Content-Type", "application/json")];
    let code = |broker: &Broker, token: &str| {
        let mut client = Client::to(broker.addresses()[0].to_string().parse().unwrap());
        client.send(&weir::wire::Packet::Connect(connect(Version::V5, token, "c")));
        client.frame()[3]
    };

    let broker = start();
    let address = broker.admin_address().unwrap();
    let [kept, removed] = ["kept", "removed"].map(|name| {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let added = request(address, "POST", DEVICES, &headers, body.as_bytes()).json(201);
        added["token"].as_str().unwrap().to_owned()
    });
    assert_eq!(request(address, "DELETE", &format!("{DEVICES}/removed"), &headers, b"").status, 204);
    let file = std::fs::read_to_string(data.join("devices.json")).unwrap();
    assert!(file.contains("\"kept\"") && !file.contains(&kept) && !file.contains("removed"), "{file}");
    runtime.block_on(broker.shutdown());

    let broker = start();
    assert_eq!(code(&broker, &kept), 0);
    assert_eq!(code(&broker, &removed), 0x86);
    runtime.block_on(broker.shutdown());

    std::fs::write(data.join("devices.json"), "{").unwrap();
    let error = runtime.block_on(Broker::builder(config.clone()).start()).err().unwrap().to_string();
    assert!(error.contains("devices.json: EOF while parsing"), "{error}");
}

#[test]
fn what_cannot_be_added_or_removed_is_told_with_what_was_expected() {
    let weir = weir();
    let add = |body: &str| admin(&weir, "POST", DEVICES, body);
    let wrong = [
        (
            r#"{"name":"a b"}"#,
            "`name`: a name is 1 to 64 of the letters a-z and A-Z, digits, `-`, `_` and `.`, not \"a b\"",
        ),
        (r#"{"name":"a","limits":{"publish":[]}}"#, "`limits`: publish: at least one rate is expected, such as 60/min"),
        (
            r#"{"name":"a","limits":{"publish":["1/min","2/min"]}}"#,
            "`limits`: publish: 2/min and 1/min are for the same window; keep the smaller one",
        ),
        (
            r#"{"name":"a","limits":{"publish":["60"]}}"#,
            "`limits`: publish: a rate is a number and a window, such as 250/min; \"60\" has no window: add /s, /min, /h, \
             /day or /month",
        ),
        (
            "[]",
            "the body is not the JSON that is expected: invalid length 0, expected struct NewDevice with 2 elements at line 1 column 2",
        ),
    ];
    for (body, expected) in wrong {
        assert_eq!(add(body).problem(400), expected);
    }
    assert!(add(r#"{"name":"a","limits":{"publsh":["1/s"]}}"#).problem(400).contains("is no resource: use connect"));
    assert_eq!(add(r#"{"name":"pump"}"#).problem(409), "the profile acme has a device pump already");
    let nowhere = admin(&weir, "POST", "/api/v1/profiles/nope/devices", r#"{"name":"a"}"#);
    assert_eq!(nowhere.problem(404), "there is no profile \"nope\"");
    let of_file = admin(&weir, "DELETE", &format!("{DEVICES}/pump"), "").problem(409);
    assert_eq!(of_file, "the device pump is in the configuration file: take it out there, and reload");
    let missing = admin(&weir, "DELETE", &format!("{DEVICES}/nope"), "").problem(404);
    assert_eq!(missing, "the profile acme has no device \"nope\"");
}
