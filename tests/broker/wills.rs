//! The will: published when a connection ends in any way but a normal goodbye, after its delay, unless the client is back
//! before that (section 3.1.2.5).

use weir::wire::{Connect, Packet, Property, PropertyBuf, Publish, QoS, Version, Will};

use crate::common::{Client, Weir, connect, publish};
use crate::kit::{Q0, Q1, Q2, VERSIONS, acme, acme_on, client, gone, lose, properties, with_properties};

/// A will on `will` that says `gone`, with these properties.
fn will(properties: &PropertyBuf) -> Will<'_> {
    Will { qos: Q1, retain: false, properties: properties.as_properties(), topic: "will", payload: b"gone" }
}

/// Someone who hears every will.
fn witness(weir: &Weir) -> Client {
    let mut witness = client(weir, Version::V5, "witness");
    witness.subscribe("#", Q2);
    witness
}

/// A client `c` with a clean session and a plain will.
fn mortal(weir: &Weir, version: Version) -> Client {
    let none = PropertyBuf::new();
    weir.connect(&Connect { will: Some(will(&none)), ..connect(version, "t", "c") })
}

/// A client `c` of MQTT 5 whose session lasts `expiry` seconds and whose will waits `delay`.
fn delayed(weir: &Weir, delay: u32, expiry: u32) -> Client {
    let delay = properties(&[Property::WillDelayInterval(delay)]);
    let expiry = properties(&[Property::SessionExpiryInterval(expiry)]);
    let properties = expiry.as_properties();
    weir.connect(&Connect { will: Some(will(&delay)), properties, ..connect(Version::V5, "t", "c") })
}

/// Connects `c` again, without a will.
fn again(weir: &Weir, clean_start: bool) -> Client {
    let expiry = properties(&[Property::SessionExpiryInterval(3600)]);
    let properties = expiry.as_properties();
    weir.connect(&Connect { clean_start, properties, ..connect(Version::V5, "t", "c") })
}

#[test]
fn it_is_published_when_the_connection_is_lost() {
    for version in VERSIONS {
        let weir = acme("");
        let mut witness = witness(&weir);
        mortal(&weir, version).vanish();
        let received = witness.take("gone");
        assert_eq!((received.topic.as_str(), received.qos, received.retain), ("will", Q1, false));
        witness.nothing();
    }
}

#[test]
fn it_is_published_when_the_keep_alive_runs_out() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut witness = witness(&weir);
        let none = PropertyBuf::new();
        let connect = Connect { will: Some(will(&none)), keep_alive: 10, ..connect(version, "t", "c") };
        let _client = weir.connect(&connect);
        weir.clock("+15s");
        witness.take("gone");
    }
}

#[test]
fn it_is_published_when_the_client_breaks_the_protocol() {
    for version in VERSIONS {
        let weir = acme("");
        let mut witness = witness(&weir);
        let mut client = mortal(&weir, version);
        // A second CONNECT [MQTT-3.1.0-2].
        client.send(&Packet::Connect(connect(version, "t", "c")));
        client.expect_end(0x82);
        witness.take("gone");
    }
}

#[test]
fn it_is_published_when_another_connection_takes_the_client_id() {
    for version in VERSIONS {
        let weir = acme("");
        let mut witness = witness(&weir);
        let mut first = mortal(&weir, version);
        let _second = client(&weir, version, "c");
        first.expect_end(0x8E);
        witness.take("gone");
    }
}

#[test]
fn it_is_not_published_after_a_normal_goodbye() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut witness = witness(&weir);
        mortal(&weir, version).disconnect();
        gone(&mut weir, "c");
        witness.nothing();
    }
}

#[test]
fn a_goodbye_with_0x04_or_an_error_publishes_it() {
    for reason in [0x04, 0x80, 0x93] {
        let weir = acme("");
        let mut witness = witness(&weir);
        let mut client = mortal(&weir, Version::V5);
        client.send_bytes(&[0xE0, 1, reason]);
        client.expect_closed();
        witness.take("gone");
    }
}

#[test]
fn it_is_published_at_its_qos_and_with_its_properties_in_their_order() {
    let weir = acme("");
    let mut witness = witness(&weir);
    let carried = [
        Property::PayloadFormatIndicator(1),
        Property::UserProperty("b", "1"),
        Property::ContentType("text/plain"),
        Property::UserProperty("a", "2"),
        Property::ResponseTopic("answers"),
        Property::CorrelationData(b"\x00\xFF"),
        Property::UserProperty("b", "3"),
    ];
    let mut all = carried.to_vec();
    all.insert(1, Property::WillDelayInterval(0));
    let all = properties(&all);
    for qos in [Q0, Q1, Q2] {
        let will = Will { qos, ..will(&all) };
        weir.connect(&Connect { will: Some(will), ..connect(Version::V5, "t", "c") }).vanish();
        let received = witness.expect_publish();
        assert_eq!(received.qos, qos);
        assert_eq!(received.properties, properties(&carried).as_properties().as_bytes());
        witness.acknowledge(&received);
    }
}

#[test]
fn its_expiry_counts_from_when_it_is_published() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let all = properties(&[Property::MessageExpiryInterval(30), Property::WillDelayInterval(0)]);
    let client = weir.connect(&Connect { will: Some(will(&all)), ..connect(Version::V5, "t", "c") });
    weir.clock("+10min");
    client.vanish();
    let frame = witness.frame();
    with_properties(&frame, |all| assert_eq!(all, [Property::MessageExpiryInterval(30)]));
}

#[test]
fn a_retained_will_is_kept_and_an_empty_one_removes_what_was_kept() {
    let mut weir = acme("");
    let mut publisher = client(&weir, Version::V4, "publisher");
    publisher.publish_fully(Publish { retain: true, ..publish("will", b"alive", Q1, 1) });
    let none = PropertyBuf::new();
    for (payload, left) in [(&b"gone"[..], Some("gone")), (b"", None)] {
        let will = Will { retain: true, payload, ..will(&none) };
        let client = weir.connect(&Connect { will: Some(will), ..connect(Version::V4, "t", "c") });
        lose(&mut weir, client, "c");
        let mut witness = witness(&weir);
        if let Some(text) = left {
            assert!(witness.take(text).retain);
        }
        witness.nothing();
    }
}

#[test]
fn a_delayed_will_is_published_when_its_delay_has_passed_and_not_a_second_sooner() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let client = delayed(&weir, 30, 3600);
    lose(&mut weir, client, "c");
    weir.clock("+29s");
    witness.nothing();
    weir.clock("+1s");
    witness.take("gone");
    weir.clock("+2h");
    witness.nothing();
}

#[test]
fn a_client_that_is_back_before_the_delay_has_passed_takes_its_will_back() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let client = delayed(&weir, 30, 3600);
    lose(&mut weir, client, "c");
    weir.clock("+29s");
    let _client = again(&weir, false);
    weir.clock("+10min");
    witness.nothing();
}

#[test]
fn a_takeover_within_the_session_takes_a_delayed_will_back_too() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let mut first = delayed(&weir, 30, 3600);
    let _second = again(&weir, false);
    first.expect_disconnect(0x8E);
    weir.clock("+10min");
    witness.nothing();
}

#[test]
fn the_end_of_the_session_publishes_a_will_that_still_waits() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let client = delayed(&weir, 600, 20);
    lose(&mut weir, client, "c");
    weir.clock("+19s");
    witness.nothing();
    weir.clock("+1s");
    witness.take("gone");
}

#[test]
fn without_a_session_to_wait_in_a_delayed_will_is_published_at_once() {
    let weir = acme("");
    let mut witness = witness(&weir);
    delayed(&weir, 600, 0).vanish();
    witness.take("gone");
}

#[test]
fn a_clean_start_ends_the_session_and_so_publishes_the_will_that_waits() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let client = delayed(&weir, 600, 3600);
    lose(&mut weir, client, "c");
    witness.nothing();
    let _client = again(&weir, true);
    witness.take("gone");
    witness.nothing();
}

#[test]
fn a_will_whose_delay_has_passed_is_published_even_if_the_client_returns_at_that_moment() {
    // The broker may meet the returning client before its own timer.
    for _ in 0..10 {
        let mut weir = acme("");
        let mut witness = witness(&weir);
        let client = delayed(&weir, 30, 3600);
        lose(&mut weir, client, "c");
        weir.clock("+30s");
        let _client = again(&weir, false);
        witness.take("gone");
        witness.nothing();
    }
}

#[test]
fn a_will_is_one_of_the_connection_and_the_next_connection_may_have_another_or_none() {
    let mut weir = acme("");
    let mut witness = witness(&weir);
    let first = delayed(&weir, 0, 3600);
    lose(&mut weir, first, "c");
    witness.take("gone");
    let second = again(&weir, false);
    lose(&mut weir, second, "c");
    witness.nothing();
}

#[test]
fn a_will_that_the_broker_cannot_keep_its_promise_on_is_refused_with_the_connect() {
    let none = PropertyBuf::new();
    let cases: [(&str, Will<'_>, u8, Option<u8>); 3] = [
        ("mqtt: { max_qos: 1 }\n", Will { qos: QoS::ExactlyOnce, ..will(&none) }, 0x9B, None),
        ("mqtt: { retain: false }\n", Will { retain: true, ..will(&none) }, 0x9A, None),
        ("", Will { topic: "$SYS/x", ..will(&none) }, 0x87, Some(5)),
    ];
    for (config, will, reason, return_code) in cases {
        let weir = acme(config);
        let (mut client, connack) = weir.try_connect(&Connect { will: Some(will), ..connect(Version::V5, "t", "c") });
        assert_eq!(connack[2..4], [0, reason]);
        client.expect_closed();
        let mut client = weir.raw();
        client.version = Version::V4;
        client.send(&Packet::Connect(Connect { will: Some(will), ..connect(Version::V4, "t", "c") }));
        if let Some(code) = return_code {
            client.expect(&[0x20, 2, 0, code]);
        }
        client.expect_closed();
    }
}

#[test]
fn a_will_whose_time_has_come_waits_for_the_limit_and_not_for_the_client_to_stay_away() {
    for delay in [0, 5] {
        let mut weir = acme_on("{ publish: 1/min }", "");
        let mut witness = witness(&weir);
        witness.tell("over", "the limit is used up");
        witness.take("the limit is used up");
        let client = delayed(&weir, delay, 3600);
        lose(&mut weir, client, "c");
        weir.clock("+5s");
        let _client = again(&weir, false);
        weir.clock("2026-11-21T12:46:00Z");
        witness.take("gone");
        witness.nothing();
    }
}
