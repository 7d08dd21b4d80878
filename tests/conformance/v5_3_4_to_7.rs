//! MQTT 5, sections 3.4 to 3.7: PUBACK, PUBREC, PUBREL and PUBCOMP as a server sends and takes them.

use weir::wire::QoS;

use crate::common::Weir;
use crate::v5_setup::*;

/// Publishes what may be answered in different ways; each answer, of the kind `first`, is this short where nothing is wrong and
/// has this reason code.
fn each_outcome_has_its_reason_code(first: u8, publish_first: u8) {
    let weir = weir_with("check_payload_format: true, max_topic_levels: 3, publish: 6/min", FORBIDDEN);
    let _subscriber = subscriber(&weir, "subscriber", "t", QoS::AtMostOnce);
    let mut publisher = client(&weir, "publisher");
    let no_utf8 = frame(publish_first, &[&text(b"t"), &[0, 1], &[2, 0x01, 1], b"\xFF"]);
    let outcomes = [
        (publish(publish_first, b"t", 1, b""), 0x00),
        (publish(publish_first, b"nobody", 1, b""), 0x10),
        (publish(publish_first, b"forbidden", 1, b""), 0x87),
        (publish(publish_first, b"$SYS/broker", 1, b""), 0x87),
        (publish(publish_first, b"a/b/c/d", 1, b""), 0x97),
        (no_utf8, 0x99),
        (publish(publish_first, b"t", 1, b"over the limit"), 0x97),
    ];
    for (packet, reason) in outcomes {
        publisher.send_bytes(&packet);
        let answer = publisher.frame();
        let got = answer.get(4).copied().unwrap_or(0);
        assert_eq!((answer[0], &answer[2..4], got), (first, &[0, 1][..], reason), "for {packet:02x?}: {answer:02x?}");
        if first == 0x50 && reason < 0x80 {
            publisher.send_bytes(&ack(0x62, 1));
            publisher.expect(&ack(0x70, 1));
        }
    }
}

/// A broker whose device has used up its one publish of this minute.
fn used_up() -> Weir {
    let weir = weir_with("publish: 1/min", "");
    send(&mut client(&weir, "first"), "t", b"", QoS::AtMostOnce);
    weir
}

#[test]
fn v5_3_4_2_1_a_puback_has_a_reason_code_of_its_table() {
    each_outcome_has_its_reason_code(0x40, 0x32);
}

#[test]
fn v5_3_4_2_2_a_puback_leaves_out_a_reason_string_that_does_not_fit() {
    let weir = weir_with("", FORBIDDEN);
    let ask = publish(0x32, b"forbidden", 7, b"");
    is_left_out_where_it_does_not_fit(&weir, &ask, &REASON_STRING, &ack_with(0x40, 7, 0x87));
}

#[test]
fn v5_3_4_2_3_a_puback_leaves_out_user_properties_that_do_not_fit() {
    let ask = publish(0x32, b"t", 7, b"");
    is_left_out_where_it_does_not_fit(&used_up(), &ask, RETRY_AFTER, &ack_with(0x40, 7, 0x97));
}

#[test]
fn v5_3_5_2_1_a_pubrec_has_a_reason_code_of_its_table() {
    each_outcome_has_its_reason_code(0x50, 0x34);
}

#[test]
fn v5_3_5_2_2_a_pubrec_leaves_out_a_reason_string_that_does_not_fit() {
    let weir = weir_with("", FORBIDDEN);
    let ask = publish(0x34, b"forbidden", 7, b"");
    is_left_out_where_it_does_not_fit(&weir, &ask, &REASON_STRING, &ack_with(0x50, 7, 0x87));
}

#[test]
fn v5_3_5_2_3_a_pubrec_leaves_out_user_properties_that_do_not_fit() {
    let ask = publish(0x34, b"t", 7, b"");
    is_left_out_where_it_does_not_fit(&used_up(), &ask, RETRY_AFTER, &ack_with(0x50, 7, 0x97));
}

#[test]
fn v5_3_6_1_1_a_pubrel_with_other_flags_than_0010_is_malformed() {
    let packets: Vec<_> = (0..16).filter(|flags| *flags != 2).map(|flags| frame(0x60 | flags, &[&[0, 1]])).collect();
    each_ends_the_connection(&weir(), MALFORMED, &packets);
}

#[test]
fn v5_3_6_2_1_a_pubrel_says_success_or_that_the_packet_identifier_is_unknown() {
    let weir = weir();
    let mut subscriber = subscriber(&weir, "subscriber", "t", QoS::ExactlyOnce);
    send(&mut client(&weir, "publisher"), "t", b"", QoS::ExactlyOnce);
    let id = subscriber.expect_publish().packet_id;
    subscriber.send_bytes(&ack(0x50, id));
    subscriber.expect(&ack(0x62, id));
    subscriber.send_bytes(&ack(0x50, 999));
    subscriber.expect(&ack_with(0x62, 999, 0x92));
}

#[test]
fn v5_3_6_2_2_a_pubrel_has_no_reason_string_where_there_is_no_room_for_it() {
    assert_eq!(answer_within(&weir(), SMALL, &ack(0x50, 999)), ack_with(0x62, 999, 0x92));
}

#[test]
fn v5_3_6_2_3_a_pubrel_has_no_user_properties_where_there_is_no_room_for_them() {
    assert_eq!(answer_within(&weir(), SMALL, &ack_with(0x50, 999, 0x10)), ack_with(0x62, 999, 0x92));
}

#[test]
fn v5_3_7_2_1_a_pubcomp_says_success_or_that_the_packet_identifier_is_unknown() {
    let weir = weir();
    let mut publisher = client(&weir, "publisher");
    publisher.send_bytes(&publish(0x34, b"t", 7, b""));
    publisher.expect(&ack_with(0x50, 7, 0x10));
    publisher.send_bytes(&ack(0x62, 7));
    publisher.expect(&ack(0x70, 7));
    publisher.send_bytes(&ack(0x62, 7));
    publisher.expect(&ack_with(0x70, 7, 0x92));
}

#[test]
fn v5_3_7_2_2_a_pubcomp_has_no_reason_string_where_there_is_no_room_for_it() {
    assert_eq!(answer_within(&weir(), SMALL, &ack(0x62, 999)), ack_with(0x70, 999, 0x92));
}

#[test]
fn v5_3_7_2_3_a_pubcomp_has_no_user_properties_where_there_is_no_room_for_them() {
    assert_eq!(answer_within(&weir(), SMALL, &ack_with(0x62, 999, 0x92)), ack_with(0x70, 999, 0x92));
}
