//! Shared subscriptions: each message goes to one member of the group, and to one that is there (section 4.8.2).

use weir::wire::{Property, Version};

use crate::common::{Client, Weir, publish};
use crate::kit::{Q0, Q1, Q2, VERSIONS, acme, at, client, lose, resume, with_properties};

/// Takes whatever there is for this client; the texts.
fn drain(client: &mut Client) -> Vec<String> {
    client.drain().iter().map(|received| received.text().to_owned()).collect()
}

fn member(weir: &Weir, client_id: &str, filter: &str) -> Client {
    let (mut client, _) = resume(weir, Version::V5, client_id);
    client.subscribe(filter, Q1);
    client
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n:03}")).collect()
}

fn tell(weir: &Weir, topic: &str, texts: &[String]) {
    let mut publisher = client(weir, Version::V5, "publisher");
    texts.iter().for_each(|text| publisher.tell(topic, text));
}

#[test]
fn each_message_goes_to_one_member_and_all_have_their_turn() {
    let weir = acme("");
    let mut members: Vec<Client> = (0..3).map(|n| client(&weir, VERSIONS[n], &format!("m{n}"))).collect();
    members.iter_mut().for_each(|member| member.subscribe("$share/g/t/+", Q1));
    tell(&weir, "t/a", &numbers(0..99));
    let shares: Vec<Vec<String>> = members.iter_mut().map(drain).collect();
    assert!(shares.iter().all(|share| share.len() == 33), "dealt out in turn");
    assert!(shares.iter().all(|share| share.is_sorted()), "in order for each");
    let mut all: Vec<String> = shares.concat();
    all.sort_unstable();
    assert_eq!(all, numbers(0..99));
}

#[test]
fn members_that_are_away_get_nothing_while_another_is_there() {
    let mut weir = acme("");
    let mut here = member(&weir, "here", "$share/g/t");
    let away = member(&weir, "away", "$share/g/t");
    lose(&mut weir, away, "away");
    tell(&weir, "t", &numbers(0..20));
    assert_eq!(drain(&mut here), numbers(0..20));
    let (mut back, present) = resume(&weir, Version::V5, "away");
    assert!(present);
    back.nothing();
    tell(&weir, "t", &numbers(20..40));
    assert_eq!((drain(&mut here).len(), drain(&mut back).len()), (10, 10));
}

#[test]
fn where_all_are_away_the_messages_wait_for_them_each_for_one() {
    let mut weir = acme("");
    for name in ["one", "two"] {
        let member = member(&weir, name, "$share/g/t");
        lose(&mut weir, member, name);
    }
    tell(&weir, "t", &numbers(0..20));
    let mut all = Vec::new();
    for name in ["one", "two"] {
        let (mut back, _) = resume(&weir, Version::V5, name);
        let share = drain(&mut back);
        assert!(share.is_sorted());
        all.extend(share);
    }
    all.sort_unstable();
    assert_eq!(all, numbers(0..20));
}

#[test]
fn what_one_member_was_sent_waits_for_it_and_goes_to_no_other() {
    let mut weir = acme("");
    let mut first = member(&weir, "first", "$share/g/t");
    tell(&weir, "t", &numbers(0..1));
    first.expect_publish();
    lose(&mut weir, first, "first");
    let mut second = member(&weir, "second", "$share/g/t");
    second.nothing();
    let (mut first, _) = resume(&weir, Version::V5, "first");
    assert!(first.take("000").dup, "[MQTT-4.8.2-4]");
}

#[test]
fn what_a_leaving_member_had_not_acknowledged_goes_to_another_that_is_there() {
    // Whether its session stays, or ends with its connection.
    for stays in [true, false] {
        let mut weir = acme("");
        let mut second = member(&weir, "second", "$share/g/t");
        let mut first = if stays { resume(&weir, Version::V5, "first").0 } else { client(&weir, Version::V5, "first") };
        first.subscribe("$share/g/t", Q1);
        tell(&weir, "t", &numbers(0..4));
        let dealt = drain(&mut second);
        assert_eq!(dealt.len(), 2);
        // What the first has is never acknowledged.
        first.expect_publish();
        lose(&mut weir, first, "first");
        let mut all = [dealt, drain(&mut second)].concat();
        all.sort_unstable();
        assert_eq!(all, numbers(0..4), "the session stays: {stays}");
    }
}

#[test]
fn a_qos_2_message_that_one_member_was_sent_goes_to_no_other_even_when_its_session_ends() {
    let mut weir = acme("");
    let mut first = client(&weir, Version::V5, "first");
    first.subscribe("$share/g/t", Q2);
    client(&weir, Version::V5, "publisher").publish_fully(publish("t", b"once", Q2, 1));
    assert_eq!(first.expect_publish().qos, Q2);
    let mut second = client(&weir, Version::V5, "second");
    second.subscribe("$share/g/t", Q2);
    lose(&mut weir, first, "first");
    // [MQTT-4.8.2-5]
    second.nothing();
}

#[test]
fn a_refusal_by_one_member_offers_the_message_to_no_other() {
    let weir = acme("");
    let mut members = [member(&weir, "one", "$share/g/t"), member(&weir, "two", "$share/g/t")];
    tell(&weir, "t", &numbers(0..2));
    let received = members[0].expect_publish();
    members[0].say_with(0x40, received.packet_id, 0x80);
    members[0].nothing();
    assert_eq!(drain(&mut members[1]).len(), 1, "its own [MQTT-4.8.2-6]");
}

#[test]
fn groups_of_another_name_or_filter_and_ordinary_subscribers_get_copies_of_their_own() {
    let weir = acme("");
    let filters = ["$share/g/t/a", "$share/h/t/a", "$share/g/t/+", "t/a", "#"];
    let mut members: Vec<Client> = filters.iter().map(|filter| member(&weir, filter, filter)).collect();
    tell(&weir, "t/a", &numbers(0..3));
    for member in &mut members {
        assert_eq!(drain(member), numbers(0..3));
    }
}

#[test]
fn a_member_that_leaves_is_dealt_nothing_more() {
    let mut weir = acme("");
    let mut stays = member(&weir, "stays", "$share/g/t");
    let mut unsubscribes = member(&weir, "unsubscribes", "$share/g/t");
    let mut ends = client(&weir, Version::V4, "ends");
    ends.subscribe("$share/g/t", Q1);
    lose(&mut weir, ends, "ends");
    assert_eq!(unsubscribes.unsubscribe(&["$share/g/t", "$share/g/x"])[5..], [0, 0x11]);
    tell(&weir, "t", &numbers(0..10));
    assert_eq!(drain(&mut stays), numbers(0..10));
    unsubscribes.nothing();
    assert_eq!(stays.unsubscribe(&["$share/g/t"])[5..], [0]);
    let mut publisher = client(&weir, Version::V5, "publisher");
    publisher.publish("t", b"for nobody", Q1, 1);
    publisher.hear_with(0x40, 1, 0x10);
}

#[test]
fn each_members_own_qos_and_identifier_hold() {
    let weir = acme("");
    let mut publisher = client(&weir, Version::V5, "publisher");
    let mut members = [client(&weir, Version::V5, "one"), client(&weir, Version::V5, "two")];
    for (member, (qos, id)) in members.iter_mut().zip([(Q0, 1), (Q2, 2)]) {
        member.subscribe_with(&[("$share/g/t", at(qos))], &[Property::SubscriptionIdentifier(id)]);
    }
    (0..2).for_each(|_| publisher.publish_fully(publish("t", b"m", Q2, 1)));
    for (member, (qos, id)) in members.iter_mut().zip([(Q0, 1), (Q2, 2)]) {
        let frame = member.frame();
        with_properties(&frame, |all| assert_eq!(all, [Property::SubscriptionIdentifier(id)]));
        assert_eq!(frame[0] >> 1 & 3, qos as u8, "[MQTT-4.8.2-3]");
    }
}

#[test]
fn subscribing_again_replaces_the_membership() {
    let weir = acme("");
    let mut one = member(&weir, "one", "$share/g/t");
    one.subscribe("$share/g/t", Q0);
    let mut two = member(&weir, "two", "$share/g/t");
    tell(&weir, "t", &numbers(0..10));
    assert_eq!((drain(&mut one).len(), drain(&mut two).len()), (5, 5));
}
