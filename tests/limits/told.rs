//! What the client is told: each row of the design's table, in each version of MQTT, at second 9 of a minute and at its last
//! millisecond, and that it is served when the next minute begins.

use weir::wire::{Connect, Property, QoS, Version};

use super::common::{Client, Weir, connect};
use super::expected::{self, Told};
use super::*;

/// The client was told why, where MQTT 5 can, and the connection is closed.
#[track_caller]
fn expect_disconnected(client: &mut Client, told: Told) {
    if client.version == Version::V5 {
        client.expect(&expected::disconnect(told));
    }
    client.expect_closed();
}

#[test]
fn a_connect_over_the_limit_is_refused_and_closed() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan("connect: 1/min"));
        let _first = weir.client(version, "a", "first");
        for (moment, retry_after) in MOMENTS {
            weir.clock(moment);
            let (mut late, connack) = weir.try_connect(&connect(version, "b", "late"));
            match version {
                Version::V5 => assert_eq!(connack, expected::connack((retry_after, "connect", "1/min"))),
                _ => assert_eq!(connack, [0x20, 2, 0, 3]),
            }
            late.expect_closed();
        }
        weir.clock(NEXT_MINUTE);
        weir.client(version, "b", "late");
    }
}

#[test]
fn a_publish_of_qos_0_over_the_limit_is_dropped() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan("publish: 1/min"));
        let mut subscriber = subscriber(&weir, version, "a", "t", QoS::AtMostOnce);
        let mut client = weir.client(version, "b", "publisher");
        publish_and_wait(&mut client, "t", b"fits");
        for (moment, _) in MOMENTS {
            weir.clock(moment);
            publish_and_wait(&mut client, "t", b"over");
        }
        weir.clock(NEXT_MINUTE);
        publish_and_wait(&mut client, "t", b"next");
        assert_eq!(payloads(&mut subscriber), ["fits", "next"]);
    }
}

#[test]
fn a_publish_of_qos_1_or_2_over_the_limit_is_told_so_or_never_acknowledged() {
    for (qos, ack) in [(QoS::AtLeastOnce, 0x40), (QoS::ExactlyOnce, 0x50)] {
        for version in VERSIONS {
            let mut weir = Weir::at(START, &on_plan("publish: 1/min"));
            let mut subscriber = subscriber(&weir, version, "a", "t", QoS::AtMostOnce);
            let mut client = weir.client(version, "b", "publisher");
            let accepted = |client: &mut Client, id: u8| {
                client.expect(&[ack, 2, 0, id]);
                if qos == QoS::ExactlyOnce {
                    client.send_bytes(&[0x62, 2, 0, id]);
                    client.expect(&[0x70, 2, 0, id]);
                }
            };
            client.publish("t", b"fits", qos, 6);
            accepted(&mut client, 6);
            for (moment, retry_after) in MOMENTS {
                weir.clock(moment);
                client.publish("t", b"over", qos, 7);
                if version == Version::V5 {
                    let reasons = expected::reasons((retry_after, "publish", "1/min"));
                    client.expect(&expected::ack(ack, 7, &reasons));
                } else {
                    client.expect_closed();
                    client = weir.client(version, "b", "publisher");
                }
            }
            weir.clock(NEXT_MINUTE);
            client.publish("t", b"next", qos, 7);
            accepted(&mut client, 7);
            assert_eq!(payloads(&mut subscriber), ["fits", "next"]);
        }
    }
}

#[test]
fn a_subscribe_over_the_limit_fails_for_each_of_its_filters() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan("subscribe: 1/min"));
        let mut client = subscriber(&weir, version, "a", "fits", QoS::AtMostOnce);
        let three = filters(&[("x", QoS::AtMostOnce), ("y", QoS::AtLeastOnce), ("z/#", QoS::ExactlyOnce)]);
        for (moment, retry_after) in MOMENTS {
            weir.clock(moment);
            client.send_subscribe(7, three.as_filters());
            if version == Version::V5 {
                let reasons = expected::reasons((retry_after, "subscribe", "1/min"));
                client.expect(&expected::suback(7, &reasons, &[0x97; 3]));
            } else {
                client.expect(&[0x90, 5, 0, 7, 0x80, 0x80, 0x80]);
            }
            for topic in ["x", "y", "z/1", "fits"] {
                publish_and_wait(&mut client_of(&weir, "b"), topic, b"");
            }
            assert_eq!(client.expect_publish().topic, "fits");
        }
        weir.clock(NEXT_MINUTE);
        client.send_subscribe(7, three.as_filters());
        match version {
            Version::V5 => client.expect(&[0x90, 6, 0, 7, 0, 0, 1, 2]),
            _ => client.expect(&[0x90, 5, 0, 7, 0, 1, 2]),
        }
    }
}

fn client_of(weir: &Weir, token: &str) -> Client {
    weir.client(Version::V4, token, "passer-by")
}

#[test]
fn a_delivery_of_qos_0_over_the_limit_is_dropped() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan("receive: 1/min"));
        let mut subscriber = subscriber(&weir, version, "a", "t", QoS::AtMostOnce);
        let mut publisher = weir.client(version, "b", "publisher");
        publish_and_wait(&mut publisher, "t", b"fits");
        assert_eq!(payloads(&mut subscriber), ["fits"]);
        for (moment, _) in MOMENTS {
            weir.clock(moment);
            publish_and_wait(&mut publisher, "t", b"over");
            assert!(payloads(&mut subscriber).is_empty());
        }
        weir.clock(NEXT_MINUTE);
        publish_and_wait(&mut publisher, "t", b"next");
        assert_eq!(payloads(&mut subscriber), ["next"]);
    }
}

#[test]
fn a_delivery_of_qos_1_or_2_over_the_limit_waits_for_the_next_minute_in_its_order() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan("receive: 2/min"));
        let mut subscriber = subscriber(&weir, version, "a", "t", QoS::ExactlyOnce);
        let mut publisher = weir.client(version, "b", "publisher");
        for (payload, qos) in [("1", 1), ("2", 2), ("3", 1), ("4", 2), ("5", 2), ("6", 1)] {
            let qos = QoS::from_bits(qos).expect("a QoS");
            publisher.publish("t", payload.as_bytes(), qos, 9);
            publisher.expect(&[if qos == QoS::AtLeastOnce { 0x40 } else { 0x50 }, 2, 0, 9]);
            if qos == QoS::ExactlyOnce {
                publisher.send_bytes(&[0x62, 2, 0, 9]);
                publisher.expect(&[0x70, 2, 0, 9]);
            }
        }
        assert_eq!(payloads(&mut subscriber), ["1", "2"]);
        weir.clock(LAST_MILLISECOND);
        assert!(payloads(&mut subscriber).is_empty());
        for (minute, two) in [(NEXT_MINUTE, ["3", "4"]), ("2026-11-21T12:47:00Z", ["5", "6"])] {
            weir.clock(minute);
            for payload in two {
                // Without a word from the client: the minute alone wakes the broker.
                let received = subscriber.expect_publish();
                assert_eq!((received.text(), received.dup), (payload, false));
            }
            assert!(payloads(&mut subscriber).is_empty());
        }
    }
}

#[test]
fn policy_disconnect_ends_the_connection_with_the_reasons() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for version in VERSIONS {
            let mut weir = Weir::at(START, &on_plan("publish: 1/min, on_exceed: { publish: disconnect }"));
            publish_and_wait(&mut weir.client(version, "a", "first"), "t", b"fits");
            for (moment, retry_after) in MOMENTS {
                weir.clock(moment);
                let mut client = weir.client(version, "a", "client");
                client.publish("t", b"over", qos, 7);
                expect_disconnected(&mut client, (retry_after, "publish", "1/min"));
            }
            weir.clock(NEXT_MINUTE);
            publish_and_wait(&mut weir.client(version, "a", "client"), "t", b"next");
        }
    }
}

#[test]
fn too_many_denials_end_the_connection_with_the_reasons() {
    for version in VERSIONS {
        let mut weir = Weir::at(START, &on_plan("publish: 1/min, disconnect_after: 3"));
        publish_and_wait(&mut weir.client(version, "a", "first"), "t", b"fits");
        for (moment, retry_after) in MOMENTS {
            weir.clock(moment);
            let mut client = weir.client(version, "a", "client");
            publish_and_wait(&mut client, "t", b"denied once");
            publish_and_wait(&mut client, "t", b"denied twice");
            client.publish("t", b"denied too often", QoS::AtMostOnce, 0);
            expect_disconnected(&mut client, (retry_after, "publish", "1/min"));
        }
        weir.clock(NEXT_MINUTE);
        publish_and_wait(&mut weir.client(version, "a", "client"), "t", b"next");
    }
}

#[test]
fn without_problem_information_only_connack_and_disconnect_carry_reasons() {
    let plan = on_plan("connect: 3/min, publish: 1/min, subscribe: 0/min, disconnect_after: 4");
    let no_problem_information = properties(&[Property::RequestProblemInformation(false)]);
    let connect = |client_id| Connect {
        properties: no_problem_information.as_properties(),
        ..connect(Version::V5, "a", client_id)
    };
    let weir = Weir::at(START, &plan);
    let mut client = weir.connect(&connect("client"));
    publish_and_wait(&mut client, "t", b"fits");

    client.publish("t", b"over", QoS::AtLeastOnce, 7);
    client.expect(&[0x40, 3, 0, 7, 0x97]);
    client.publish("t", b"over", QoS::ExactlyOnce, 8);
    client.expect(&[0x50, 3, 0, 8, 0x97]);
    client.send_subscribe(9, filters(&[("x", QoS::AtMostOnce), ("y", QoS::AtMostOnce)]).as_filters());
    client.expect(&[0x90, 5, 0, 9, 0, 0x97, 0x97]);

    client.publish("t", b"too often", QoS::AtMostOnce, 0);
    expect_disconnected(&mut client, (51, "publish", "1/min"));
    weir.connect(&connect("second"));
    weir.connect(&connect("third"));
    let (mut refused, connack) = weir.try_connect(&connect("fourth"));
    assert_eq!(connack, expected::connack((51, "connect", "3/min")));
    refused.expect_closed();
}

#[test]
fn reasons_are_left_out_where_the_packet_would_be_larger_than_the_client_takes() {
    let weir = Weir::at(START, &on_plan("publish: 0/min"));
    let small = properties(&[Property::MaximumPacketSize(40)]);
    let mut client =
        weir.connect(&Connect { properties: small.as_properties(), ..connect(Version::V5, "a", "client") });
    client.publish("t", b"over", QoS::AtLeastOnce, 7);
    client.expect(&[0x40, 3, 0, 7, 0x97]);
}

#[test]
fn the_limit_reached_at_second_9_holds_for_every_client_of_the_profile_and_for_no_other_profile() {
    let mut weir = Weir::at(START, &on_plan("publish: 250/min"));
    let mut clients: Vec<Client> =
        ["a", "a", "b", "c"].iter().zip(["1", "2", "3", "4"]).map(|(t, id)| weir.client(Version::V5, t, id)).collect();
    let mut stranger = weir.client(Version::V5, "x", "1");
    let publish_all = |clients: &mut Vec<Client>, stranger: &mut Client| {
        for turn in 0..250 {
            publish_is_served(&mut clients[turn % 4], "t", b"");
        }
        publish_is_served(stranger, "t", b"");
    };
    publish_all(&mut clients, &mut stranger);
    for (moment, retry_after) in MOMENTS {
        weir.clock(moment);
        for client in &mut clients {
            publish_is_denied(client, "t", b"", (retry_after, "publish", "250/min"));
        }
        publish_is_served(&mut stranger, "t", b"");
    }
    weir.clock(NEXT_MINUTE);
    publish_all(&mut clients, &mut stranger);
    for client in &mut clients {
        publish_is_denied(client, "t", b"", (60, "publish", "250/min"));
    }
}
