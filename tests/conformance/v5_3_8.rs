//! MQTT 5, section 3.8: SUBSCRIBE, what it may hold, and what comes of it.

use weir::wire::QoS;

use crate::v5_setup::*;

/// Subscription Options beside the QoS.
const NO_LOCAL: u8 = 0x04;
const RETAIN_HANDLING_2: u8 = 0x20;

/// What no UTF-8 is: a byte of none, one that nothing follows, half a surrogate pair, a character that is too long.
const NO_UTF8: [&[u8]; 4] = [b"a/\xFF", b"a/\xC3", b"a/\xED\xA0\x80", b"a/\xC0\xAF"];

#[test]
fn v5_3_8_1_1_a_subscribe_with_other_flags_than_0010_is_malformed() {
    let body = &subscribe(1, &[(b"t", 0)])[2..];
    let packets: Vec<_> = (0..16).filter(|flags| *flags != 2).map(|flags| frame(0x80 | flags, &[body])).collect();
    each_ends_the_connection(&weir(), MALFORMED, &packets);
}

#[test]
fn v5_3_8_3_1_a_topic_filter_that_is_no_utf_8_is_malformed() {
    let packets = NO_UTF8.map(|filter| subscribe(1, &[(b"fine", 0), (filter, 0)]));
    each_ends_the_connection(&weir(), MALFORMED, &packets);
    assert_eq!(client(&weir(), "client").try_subscribe(1, "Grüße/世界/🦀", QoS::AtMostOnce), [0x90, 4, 0, 1, 0, 0]);
}

#[test]
fn v5_3_8_3_2_a_subscribe_without_a_filter_is_a_protocol_error() {
    each_ends_the_connection(&weir(), PROTOCOL_ERROR, &[subscribe(1, &[])]);
}

#[test]
fn v5_3_8_3_3_with_no_local_a_client_gets_every_message_but_its_own() {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    publisher.send_bytes(&subscribe(1, &[(b"t", NO_LOCAL | 2)]));
    publisher.expect(&answer(0x90, 1, &[2]));
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    for qos in QOS {
        send(&mut publisher, "t", b"own", qos);
    }
    assert_eq!(payloads(&mut publisher), [""; 0]);
    assert_eq!(payloads(&mut subscriber), ["own"; 3]);
    send(&mut client(&weir, "another"), "t", b"another's", QoS::AtMostOnce);
    assert_eq!(payloads(&mut publisher), ["another's"]);
}

#[test]
fn v5_3_8_3_3_with_no_local_a_client_does_not_get_what_it_retained_nor_what_it_retained_in_an_earlier_session() {
    let weir = weir();
    let retain = |client_id: &str, topic: &[u8]| {
        let mut client = client(&weir, client_id);
        client.send_bytes(&publish(0x33, topic, 1, client_id.as_bytes()));
        assert_eq!(client.frame()[0], 0x40);
        client
    };
    retain("client", b"t/1").disconnect();
    retain("another", b"t/2").disconnect();
    let mut client = retain("client", b"t/3");
    client.send_bytes(&subscribe(1, &[(b"t/#", NO_LOCAL)]));
    client.expect(&answer(0x90, 1, &[0]));
    assert_eq!(payloads(&mut client), ["another"]);
    client.subscribe("t/#", QoS::AtMostOnce);
    assert_eq!(payloads(&mut client).len(), 3, "without No Local they come");
}

#[test]
fn v5_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    each_ends_the_connection(&weir(), PROTOCOL_ERROR, &[subscribe(1, &[(b"$share/group/t", NO_LOCAL)])]);
}

#[test]
fn v5_3_8_3_5_a_reserved_bit_in_the_subscription_options_is_malformed() {
    let packets = [0x40, 0x80, 0xC0].map(|reserved| subscribe(1, &[(b"fine", 0), (b"t", reserved)]));
    each_ends_the_connection(&weir(), MALFORMED, &packets);
}

#[test]
fn v5_3_8_4_1_a_subscribe_is_answered_by_a_suback_whatever_comes_of_it() {
    let weir = weir_with("subscribe: 2/min", FORBIDDEN);
    let mut client = client(&weir, "client");
    for (filter, code) in [(&b"t"[..], 0), (b"forbidden", 0x87), (b"over/the/limit", 0x97)] {
        client.send_bytes(&subscribe(1, &[(filter, 0)]));
        let suback = client.frame();
        assert_eq!((suback[0], codes(&suback)), (0x90, &[code][..]));
    }
    client.expect_nothing();
}

#[test]
fn v5_3_8_4_2_a_suback_has_the_packet_identifier_of_its_subscribe() {
    let weir = weir();
    let mut client = client(&weir, "client");
    let ids = [1, 0x1234, 0x8000, 0xFFFF];
    ids.iter().for_each(|id| client.send_bytes(&subscribe(*id, &[(b"t", 0)])));
    ids.iter().for_each(|id| client.expect(&answer(0x90, *id, &[0])));
}

#[test]
fn v5_3_8_4_3_a_subscription_to_the_same_filter_takes_the_place_of_the_earlier_one() {
    let weir = weir();
    let (mut subscriber, mut publisher) = (client(&weir, "subscriber"), client(&weir, "publisher"));
    subscriber.send_bytes(&subscribe_with(1, &[0x0B, 7], &[(b"t/+", 2)]));
    subscriber.expect(&answer(0x90, 1, &[2]));
    subscriber.send_bytes(&subscribe_with(2, &[0x0B, 8], &[(b"t/+", 0)]));
    subscriber.expect(&answer(0x90, 2, &[0]));
    send(&mut publisher, "t/x", b"once", QoS::ExactlyOnce);
    assert_eq!(rest(&mut subscriber), [frame(0x30, &[&text(b"t/x"), &[2, 0x0B, 8], b"once"])]);
    // There was one, and there is one: not another below it.
    subscriber.send_bytes(&unsubscribe(3, &[b"t/+"]));
    subscriber.expect(&answer(0xB0, 3, &[0]));
    send(&mut publisher, "t/x", b"gone", QoS::ExactlyOnce);
    subscriber.expect_nothing();
}

#[test]
fn v5_3_8_4_4_replacing_a_subscription_sends_retained_messages_again_and_loses_none() {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    publisher.send_bytes(&publish(0x31, b"t", 0, b"retained"));
    publisher.expect_nothing();
    let mut subscriber = client_with_quota(&weir, "subscriber", 1);
    subscriber.send_bytes(&subscribe(1, &[(b"t", RETAIN_HANDLING_2 | 1)]));
    subscriber.expect(&answer(0x90, 1, &[1]));
    for payload in ["1", "2", "3"] {
        send(&mut publisher, "t", payload.as_bytes(), QoS::AtLeastOnce);
    }
    let first = subscriber.expect_publish();
    assert_eq!(first.text(), "1");
    // Two more wait for the client's quota while the subscription is replaced.
    subscriber.subscribe("t", QoS::AtLeastOnce);
    let again = subscriber.expect_publish();
    assert_eq!((again.text(), again.retain, again.qos), ("retained", true, QoS::AtMostOnce));
    subscriber.send_bytes(&ack(0x40, first.packet_id));
    for payload in ["2", "3"] {
        let next = subscriber.expect_publish();
        assert_eq!(next.text(), payload);
        subscriber.send_bytes(&ack(0x40, next.packet_id));
    }
    subscriber.expect_nothing();
}

#[test]
fn v5_3_8_4_5_many_filters_in_a_subscribe_are_as_many_subscribes_with_one_answer() {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    publisher.send_bytes(&publish(0x31, b"a", 0, b"retained"));
    publisher.expect_nothing();
    let mut subscriber = client(&weir, "subscriber");
    // The retained message comes for each that asks for it, and the last of equal filters stands.
    subscriber.send_bytes(&subscribe(1, &[(b"a", 2), (b"b", 1), (b"+", 0), (b"a", RETAIN_HANDLING_2), (b"b", 0)]));
    subscriber.expect(&answer(0x90, 1, &[2, 1, 0, 0, 0]));
    assert_eq!(payloads(&mut subscriber), ["retained"; 2]);
    for topic in ["a", "b"] {
        send(&mut publisher, topic, topic.as_bytes(), QoS::ExactlyOnce);
        let received = deliveries(&mut subscriber);
        assert_eq!(received.iter().map(|r| (r.text(), r.qos)).collect::<Vec<_>>(), [(topic, QoS::AtMostOnce)]);
    }
}

#[test]
fn v5_3_8_4_6_a_suback_has_a_reason_code_for_each_filter() {
    let weir = weir_with("", FORBIDDEN);
    let mut client = client(&weir, "client");
    for count in [1, 2, 7, 12] {
        let filters: Vec<(&[u8], u8)> = [(&b"t"[..], 0), (b"forbidden", 0)].into_iter().cycle().take(count).collect();
        client.send_bytes(&subscribe(1, &filters));
        assert_eq!(codes(&client.frame()).len(), count);
    }
}

#[test]
fn v5_3_8_4_7_a_reason_code_of_suback_is_the_qos_that_is_granted_or_a_failure() {
    let weir = weir_with("", &format!("mqtt: {{ max_qos: 1 }}\n{FORBIDDEN}"));
    let (mut subscriber, mut publisher) = (client(&weir, "subscriber"), client(&weir, "publisher"));
    subscriber.send_bytes(&subscribe(1, &[(b"0", 0), (b"1", 1), (b"2", 2), (b"forbidden", 2), (b"$share/x", 2)]));
    assert_eq!(codes(&subscriber.frame()), [0, 1, 1, 0x87, 0x8F]);
    for (topic, qos) in [("0", QoS::AtMostOnce), ("1", QoS::AtLeastOnce), ("2", QoS::AtLeastOnce)] {
        send(&mut publisher, topic, b"", QoS::AtLeastOnce);
        let received = deliveries(&mut subscriber);
        assert_eq!(received.iter().map(|r| (r.topic.as_str(), r.qos)).collect::<Vec<_>>(), [(topic, qos)]);
    }
    // What failed is no subscription.
    subscriber.send_bytes(&unsubscribe(2, &[b"forbidden", b"$share/x"]));
    subscriber.expect(&answer(0xB0, 2, &[0x11, 0x11]));
}

#[test]
fn v5_3_8_4_8_a_message_comes_at_the_lower_qos_of_its_own_and_the_one_granted() {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    for granted in QOS {
        let mut subscriber = subscriber(&weir, "subscriber", "t", granted);
        for published in QOS {
            send(&mut publisher, "t", b"", published);
            assert_eq!(subscriber.expect_publish().qos, granted.min(published), "{published:?} to {granted:?}");
        }
    }
}
