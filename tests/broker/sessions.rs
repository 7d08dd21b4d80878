//! Sessions: who has one, what is in it, how long it lasts, and by which name it is known (sections 3.1.2.11.2, 3.1.3.1 and
//! 4.1). What happens when two connections want the same one is in `takeover`.

use weir::wire::{ConnAck, Connect, Packet, Property, Version, frame_header};

use crate::common::{Client, Weir, connect, publish};
use crate::kit::{Q0, Q1, Q2, VERSIONS, acme, acme_on, at, client, gone, lose, properties, resume};

/// An MQTT 5 CONNECT of `c` that asks for this session expiry; the client, session present, and the expiry it was told.
fn ask(weir: &Weir, clean_start: bool, expiry: u32) -> (Client, bool, Option<u32>) {
    let expiry = properties(&[Property::SessionExpiryInterval(expiry)]);
    let properties = expiry.as_properties();
    let (client, connack) = weir.try_connect(&Connect { clean_start, properties, ..connect(Version::V5, "t", "c") });
    let told = with_connack(&connack, |connack| connack.properties.session_expiry_interval());
    (client, connack[2] == 1, told)
}

fn with_connack<R>(frame: &[u8], look: impl FnOnce(ConnAck<'_>) -> R) -> R {
    let header = frame_header(frame, usize::MAX).unwrap().unwrap();
    match Packet::decode(Version::V5, header.first, &frame[header.header_len..]) {
        Ok(Packet::ConnAck(connack)) => look(connack),
        other => panic!("a CONNACK: {other:?}"),
    }
}

#[test]
fn a_clean_session_ends_with_its_connection() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut publisher = client(&weir, version, "publisher");
        let mut first = client(&weir, version, "c");
        first.subscribe("t", Q1);
        lose(&mut weir, first, "c");
        publisher.tell("t", "for nobody");
        let (mut second, present) = resume(&weir, version, "c");
        assert!(!present);
        publisher.tell("t", "no subscription has survived");
        second.nothing();
    }
}

#[test]
fn a_lasting_session_keeps_its_subscriptions_and_queues_qos_1_and_2_in_order() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut publisher = client(&weir, version, "publisher");
        let (mut first, present) = resume(&weir, version, "c");
        assert!(!present);
        first.subscribe("t/#", Q2);
        lose(&mut weir, first, "c");
        for n in 0..30 {
            publisher.publish_fully(publish("t/a", n.to_string().as_bytes(), [Q0, Q1, Q2][n % 3], 1));
        }
        let (mut second, present) = resume(&weir, version, "c");
        // 3.1 has no Session Present.
        assert_eq!(present, version != Version::V3);
        for n in (0..30).filter(|n| n % 3 != 0) {
            let received = second.take(&n.to_string());
            assert_eq!((received.qos, received.dup), ([Q0, Q1, Q2][n % 3], false));
        }
        second.nothing();
        publisher.tell("t/b", "live");
        second.take("live");
    }
}

#[test]
fn a_session_survives_a_goodbye_as_well_as_a_loss() {
    for version in VERSIONS {
        let mut weir = acme("");
        let (mut first, _) = resume(&weir, version, "c");
        first.subscribe("t", Q1);
        first.disconnect();
        gone(&mut weir, "c");
        client(&weir, version, "publisher").tell("t", "m");
        resume(&weir, version, "c").0.take("m");
    }
}

#[test]
fn a_clean_start_leaves_nothing_of_the_session_before() {
    for version in VERSIONS {
        let mut weir = acme("");
        let mut publisher = client(&weir, version, "publisher");
        let (mut first, _) = resume(&weir, version, "c");
        first.subscribe("t", Q1);
        publisher.tell("t", "unacknowledged");
        first.expect_publish();
        lose(&mut weir, first, "c");
        publisher.tell("t", "queued");
        let (mut second, connack) = weir.try_connect(&connect(version, "t", "c"));
        assert_eq!(connack[2..4], [0, 0], "[MQTT-3.2.2-2]");
        publisher.tell("t", "not subscribed");
        second.nothing();
        second.subscribe("t", Q1);
        publisher.tell("t", "new");
        second.take("new");
        lose(&mut weir, second, "c");
        assert!(!resume(&weir, version, "c").1, "the clean session has ended");
    }
}

#[test]
fn a_clean_start_of_mqtt_5_can_begin_a_session_that_lasts() {
    let mut weir = acme("");
    let (mut first, present, told) = ask(&weir, true, 100);
    assert_eq!((present, told), (false, None), "what is granted as asked for is not told");
    first.subscribe("t", Q1);
    lose(&mut weir, first, "c");
    assert!(ask(&weir, false, 100).1);
}

#[test]
fn a_session_ends_at_the_second_of_its_expiry_counted_from_the_end_of_the_connection() {
    for (passes, present) in [("+99s", true), ("+100s", false)] {
        let mut weir = acme("");
        let (mut client, ..) = ask(&weir, true, 100);
        client.subscribe("t", Q1);
        // It does not expire while the client is there.
        weir.clock("+1000s");
        client.nothing();
        lose(&mut weir, client, "c");
        weir.clock(passes);
        assert_eq!(ask(&weir, false, 100).1, present, "after {passes}");
    }
}

#[test]
fn an_expired_session_is_subscribed_to_nothing() {
    let mut weir = acme("");
    let (mut subscriber, ..) = ask(&weir, true, 100);
    subscriber.subscribe("t", Q1);
    lose(&mut weir, subscriber, "c");
    weir.clock("+100s");
    weir.wait_for_log("session expired");
    let mut publisher = client(&weir, Version::V5, "publisher");
    publisher.publish("t", b"m", Q1, 1);
    publisher.hear_with(0x40, 1, 0x10);
}

#[test]
fn a_disconnect_can_change_the_expiry_but_not_begin_one() {
    let with_expiry = |expiry: u32| [&[0xE0, 7, 0, 5, 0x11][..], &expiry.to_be_bytes()].concat();
    for (expiry, passes, present) in [(10, "+10s", false), (500, "+499s", true), (0, "+0s", false)] {
        let mut weir = acme("");
        let (mut client, ..) = ask(&weir, true, 100);
        client.send_bytes(&with_expiry(expiry));
        client.expect_closed();
        gone(&mut weir, "c");
        weir.clock(passes);
        assert_eq!(ask(&weir, false, 100).1, present, "{expiry} s, after {passes}");
    }
    let weir = acme("");
    let (mut client, ..) = ask(&weir, true, 0);
    client.send_bytes(&with_expiry(10));
    client.expect_disconnect(0x82);
}

#[test]
fn the_expiry_is_bounded_by_the_plan_or_else_the_broker_and_the_client_is_told() {
    let cases = [
        ("{}", "", 7 * 86_400),
        ("{}", "mqtt: { max_session_expiry: 50s }", 50),
        ("{ max_session_expiry: 30s }", "mqtt: { max_session_expiry: 50s }", 30),
        ("{ max_session_expiry: 80s }", "mqtt: { max_session_expiry: 50s }", 80),
    ];
    for (plan, mqtt, bound) in cases {
        let mut weir = acme_on(plan, mqtt);
        for (asked, told) in [(bound, None), (bound + 1, Some(bound))] {
            let (client, _, answer) = ask(&weir, true, asked);
            assert_eq!(answer, told);
            lose(&mut weir, client, "c");
        }
        let (client, _, told) = ask(&weir, true, u32::MAX);
        assert_eq!(told, Some(bound));
        lose(&mut weir, client, "c");
        weir.clock(&format!("+{}s", bound - 1));
        let (mut client, present, _) = ask(&weir, false, bound);
        assert!(present);
        // A DISCONNECT cannot get past it either.
        client.send_bytes(&[0xE0, 7, 0, 5, 0x11, 0xFF, 0xFF, 0xFF, 0xFF]);
        client.expect_closed();
        gone(&mut weir, "c");
        weir.clock(&format!("+{bound}s"));
        assert!(!ask(&weir, false, bound).1);
    }
}

#[test]
fn before_mqtt_5_a_lasting_session_is_bounded_by_the_broker() {
    for (passes, present) in [("+49s", true), ("+50s", false)] {
        let mut weir = acme("mqtt: { max_session_expiry: 50s }\n");
        let (client, _) = resume(&weir, Version::V4, "c");
        lose(&mut weir, client, "c");
        weir.clock(passes);
        assert_eq!(resume(&weir, Version::V4, "c").1, present);
    }
}

#[test]
fn a_session_can_be_resumed_in_another_version() {
    let mut weir = acme("");
    let mut publisher = client(&weir, Version::V5, "publisher");
    let (mut five, ..) = ask(&weir, true, 100);
    five.subscribe_with(&[("t", at(Q1))], &[Property::SubscriptionIdentifier(5)]);
    publisher.tell("t", "unacknowledged");
    five.expect_publish();
    lose(&mut weir, five, "c");
    publisher.tell("t", "queued");
    let (mut four, present) = resume(&weir, Version::V4, "c");
    assert!(present);
    assert!(four.take("unacknowledged").dup);
    four.take("queued");
    four.nothing();
}

#[test]
fn mqtt_5_and_3_1_1_clients_without_an_identifier_get_one_of_their_own() {
    let weir = acme("");
    let mut assigned = Vec::new();
    for _ in 0..3 {
        let (mut client, connack) = weir.try_connect(&connect(Version::V5, "t", ""));
        let id = with_connack(&connack, |connack| connack.properties.assigned_client_identifier().map(str::to_owned));
        let id = id.expect("[MQTT-3.1.3-7]");
        client.nothing();
        assigned.push((id, client));
    }
    assert!(!assigned[0].0.is_empty() && assigned[0].0 != assigned[1].0 && assigned[1].0 != assigned[2].0);
    assigned.iter_mut().for_each(|(_, client)| client.nothing());
    let mut four: Vec<_> = (0..2).map(|_| client(&weir, Version::V4, "")).collect();
    four.iter_mut().for_each(|client| client.nothing());
}

#[test]
fn an_assigned_identifier_can_be_used_to_come_back() {
    let mut weir = acme("");
    let expiry = properties(&[Property::SessionExpiryInterval(100)]);
    let asking = Connect { clean_start: false, properties: expiry.as_properties(), ..connect(Version::V5, "t", "") };
    let (client, connack) = weir.try_connect(&asking);
    let id = with_connack(&connack, |connack| connack.properties.assigned_client_identifier().unwrap().to_owned());
    lose(&mut weir, client, &id);
    let (_, connack) = weir.try_connect(&Connect { client_id: &id, ..asking });
    assert_eq!(connack[2..4], [1, 0]);
    with_connack(&connack, |connack| assert_eq!(connack.properties.assigned_client_identifier(), None));
}

#[test]
fn each_version_has_its_own_rules_for_client_identifiers() {
    let (long, umlauts) = ("x".repeat(24), "ü".repeat(23));
    let cases = [
        (Version::V3, "", true, false),
        (Version::V3, "a", true, true),
        (Version::V3, &umlauts, true, true),
        (Version::V3, &long, true, false),
        (Version::V4, "", true, true),
        (Version::V4, "", false, false),
        (Version::V4, &long, false, true),
        (Version::V5, "", false, true),
        (Version::V5, &long, true, true),
    ];
    let weir = acme("");
    for (version, client_id, clean_start, accepted) in cases {
        let connect = Connect { clean_start, ..connect(version, "t", client_id) };
        let (mut client, connack) = weir.try_connect(&connect);
        if accepted {
            assert_eq!(connack[3], 0, "MQTT {version}, {client_id:?}");
        } else {
            assert_eq!(connack, [0x20, 2, 0, 2], "MQTT {version}, {client_id:?}");
            client.expect_closed();
        }
    }
}

#[test]
fn a_session_is_known_by_its_whole_client_identifier() {
    let mut weir = acme("");
    for id in ["a", "A", "a ", "ä", "a\u{308}"] {
        let (client, present) = resume(&weir, Version::V4, id);
        assert!(!present, "{id:?} is nobody else");
        lose(&mut weir, client, id);
    }
    assert!(resume(&weir, Version::V4, "a").1);
}

#[test]
fn packets_sent_right_behind_connect_are_handled_in_order() {
    let weir = acme("");
    let mut bytes = Vec::new();
    Packet::Connect(connect(Version::V4, "t", "c")).encode(Version::V4, &mut bytes).unwrap();
    bytes.extend_from_slice(&[0x82, 6, 0, 1, 0, 1, b't', 1]);
    Packet::Publish(publish("t", b"m", Q1, 2)).encode(Version::V4, &mut bytes).unwrap();
    let mut client = weir.raw();
    client.version = Version::V4;
    client.send_bytes(&bytes);
    client.expect(&[0x20, 2, 0, 0]);
    client.expect(&[0x90, 3, 0, 1, 1]);
    client.expect(&[0x40, 2, 0, 2]);
    client.take("m");
}

#[test]
fn connack_tells_what_differs_from_what_is_understood_and_nothing_else() {
    let cases: [(&str, &[Property<'_>]); 3] = [
        ("", &[Property::ReceiveMaximum(1024), Property::MaximumPacketSize(1 << 20), Property::TopicAliasMaximum(64)]),
        (
            "mqtt: { max_qos: 1, retain: false, max_packet_size: 2000, topic_alias_maximum: 0, receive_maximum: 9,\n\
             \x20       wildcard_subscriptions: false, shared_subscriptions: false }\n",
            &[
                Property::ReceiveMaximum(9),
                Property::MaximumQoS(1),
                Property::RetainAvailable(false),
                Property::MaximumPacketSize(2000),
                Property::WildcardSubscriptionAvailable(false),
                Property::SharedSubscriptionAvailable(false),
            ],
        ),
        ("mqtt: { receive_maximum: 65535, topic_alias_maximum: 0 }\n", &[Property::MaximumPacketSize(1 << 20)]),
    ];
    for (config, expected) in cases {
        let weir = acme(config);
        let (_, connack) = weir.try_connect(&connect(Version::V5, "t", "c"));
        with_connack(&connack, |connack| {
            let mut told: Vec<String> = connack.properties.iter().map(|property| format!("{property:?}")).collect();
            let mut expected: Vec<String> = expected.iter().map(|property| format!("{property:?}")).collect();
            told.sort_unstable();
            expected.sort_unstable();
            assert_eq!(told, expected);
        });
        for version in [Version::V3, Version::V4] {
            let (_, connack) = weir.try_connect(&connect(version, "t", "c"));
            assert_eq!(connack, [0x20, 2, 0, 0]);
        }
    }
}

#[test]
fn an_authentication_method_is_refused_as_none_is_offered() {
    let weir = acme("");
    let method = properties(&[Property::AuthenticationMethod("SCRAM-SHA-1")]);
    let (mut client, connack) =
        weir.try_connect(&Connect { properties: method.as_properties(), ..connect(Version::V5, "t", "c") });
    assert_eq!(connack[2..4], [0, 0x8C]);
    client.expect_closed();
}
