//! A topic space as publishers and sessions meet it: routes that are remembered, shared groups, retained messages that
//! expire.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::router::Mailbox;
use crate::router::samples::{Sample, filter, mailbox, qos, take_all, topic};
use crate::wire::QoS;

fn to(mailbox: &Arc<Mailbox>, qos: QoS) -> Subscription {
    Subscription { mailbox: Arc::clone(mailbox), qos, no_local: false, retain_as_published: false, id: None }
}

fn message(topic: &str, payload: &[u8]) -> Message {
    Sample { payload, ..Sample::default() }.message(topic, QoS::AtLeastOnce)
}

/// Publishes so many messages to `a`, each with its number.
fn publish(space: &Space, count: u32) {
    let stats = Stats::default();
    let mut publisher = Publisher::default();
    for number in 0..count {
        publisher.route(space, b"a").publish(&message("a", &number.to_be_bytes()), &stats);
    }
}

/// The route of a topic, not from memory.
fn fresh(space: &Space, topic: &[u8]) -> Route {
    let mut route = Route::default();
    space.route(topic, &mut route);
    route
}

/// The payloads that have come to each.
fn received(members: &[Arc<Mailbox>]) -> Vec<Vec<Vec<u8>>> {
    members.iter().map(|m| take_all(m).iter().map(|d| d.message.payload().to_vec()).collect()).collect()
}

fn share_group(count: usize) -> (Space, Vec<Arc<Mailbox>>) {
    let space = Space::default();
    let members: Vec<_> = (0..count).map(|_| mailbox()).collect();
    for member in &members {
        space.subscribe("a", Some("g"), to(member, QoS::AtLeastOnce));
    }
    (space, members)
}

#[test]
fn a_shared_group_deals_each_message_to_one_member_in_turn() {
    let (space, members) = share_group(3);
    publish(&space, 300);
    let received = received(&members);
    assert!(received.iter().all(|payloads| payloads.len() == 100));
    let all: BTreeSet<_> = received.into_iter().flatten().collect();
    assert_eq!(all.len(), 300, "no message twice");
}

#[test]
fn a_shared_group_deals_fairly_though_many_publish_at_once() {
    let (space, members) = share_group(5);
    std::thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(|| publish(&space, 1_000))));
    assert_eq!(received(&members).iter().map(Vec::len).collect::<Vec<_>>(), [800; 5]);
}

#[test]
fn members_who_are_away_get_nothing_while_another_is_there_and_the_others_share_fairly() {
    let stats = Stats::default();
    let (space, members) = share_group(4);
    members[0].away(Default::default(), &stats);
    members[1].away(Default::default(), &stats);
    publish(&space, 300);
    assert_eq!(received(&members).iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 150, 150]);

    members[2].away(Default::default(), &stats);
    members[3].away(Default::default(), &stats);
    publish(&space, 300);
    assert_eq!(
        received(&members).iter().map(Vec::len).collect::<Vec<_>>(),
        [75; 4],
        "all are away: it is kept for each"
    );
}

#[test]
fn each_group_and_each_ordinary_subscription_gets_its_own_copy() {
    let (space, members) = share_group(2);
    let (other_group, other_filter, ordinary) = (mailbox(), mailbox(), mailbox());
    space.subscribe("a", Some("h"), to(&other_group, QoS::AtLeastOnce));
    space.subscribe("+", Some("g"), to(&other_filter, QoS::AtLeastOnce));
    space.subscribe("a", None, to(&ordinary, QoS::AtLeastOnce));
    space.subscribe("a", None, to(&members[0], QoS::AtLeastOnce));
    publish(&space, 10);
    let counts = |boxes: &[Arc<Mailbox>]| received(boxes).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts(&[other_group, other_filter, ordinary]), [10, 10, 10]);
    assert_eq!(counts(&members), [15, 5]);
}

#[test]
fn a_group_ends_with_its_last_member() {
    let (space, members) = share_group(3);
    let mut publisher = Publisher::default();
    for member in &members {
        assert_eq!(publisher.route(&space, b"a").publish(&message("a", b"x"), &Stats::default()), 1);
        space.unsubscribe("a", Some("g"), member.id());
    }
    assert_eq!(publisher.route(&space, b"a").publish(&message("a", b"x"), &Stats::default()), 0);
}

#[test]
fn a_message_has_the_lower_qos_and_its_retain_flag_only_where_it_was_asked_for() {
    let rows = [
        (QoS::AtMostOnce, QoS::ExactlyOnce, QoS::AtMostOnce),
        (QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce),
        (QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtLeastOnce),
        (QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::ExactlyOnce),
    ];
    for (granted, published, expected) in rows {
        for share in [None, Some("g")] {
            for as_published in [true, false] {
                let (space, member) = (Space::default(), mailbox());
                let subscription = Subscription { retain_as_published: as_published, ..to(&member, granted) };
                space.subscribe("a", share, subscription);
                let message = Sample { retain: true, ..Sample::default() }.message("a", published);
                Publisher::publish_once(&space, &message, &Stats::default());
                let [delivery] = take_all(&member).try_into().unwrap_or_else(|_| panic!("one delivery"));
                assert_eq!((delivery.qos, delivery.retain), (expected, as_published));
            }
        }
    }
}

#[test]
fn no_local_keeps_a_message_from_the_one_who_published_it_and_from_no_other() {
    let space = Space::default();
    let (own, other) = (mailbox(), mailbox());
    for member in [&own, &other] {
        space.subscribe("a", None, Subscription { no_local: true, ..to(member, QoS::AtMostOnce) });
    }
    let message = Sample { publisher: own.client(), ..Sample::default() }.message("a", QoS::AtMostOnce);
    assert_eq!(Publisher::publish_once(&space, &message, &Stats::default()), 1);
    assert_eq!((take_all(&own).len(), take_all(&other).len()), (0, 1));
}

#[test]
fn retained_messages_that_have_expired_are_not_found_and_make_room() {
    let space = Space::default();
    let keep = |topic, expiry, now| {
        let sample = Sample { payload: b"x", retain: true, expiry, received: 5_000, ..Sample::default() };
        space.retain(&sample.message(topic, QoS::AtMostOnce), 2, 1 << 20, now)
    };
    let topics = |now| space.retained("#", now).iter().map(|m| m.topic().to_owned()).collect::<Vec<_>>();
    assert_eq!(keep("brief", Some(2), 5_000), RetainOutcome::Done);
    assert_eq!(keep("forever", None, 5_000), RetainOutcome::Done);
    assert_eq!(keep("more", None, 5_999), RetainOutcome::TooMany);
    assert_eq!(topics(6_999), ["brief", "forever"]);
    assert_eq!(topics(7_000), ["forever"]);
    assert_eq!(keep("brief", Some(3), 7_000), RetainOutcome::Done);
    // Where nobody asks for them, the next that wants to be retained finds them out; once a second at most.
    assert_eq!(keep("more", None, 7_500), RetainOutcome::TooMany);
    assert_eq!(keep("more", None, 8_499), RetainOutcome::TooMany);
    assert_eq!(keep("more", None, 8_500), RetainOutcome::Done);
    assert_eq!(topics(6_000), ["forever", "more"], "what has expired is gone");
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(Index, Index, QoS),
    Unsubscribe(Index, Index),
    Publish(Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<Index>(), any::<Index>(), qos())
            .prop_map(|(session, filter, qos)| Step::Subscribe(session, filter, qos)),
        (any::<Index>(), any::<Index>()).prop_map(|(session, filter)| Step::Unsubscribe(session, filter)),
        // One publisher after the other publishes to a topic several times.
        any::<Index>().prop_map(Step::Publish),
        any::<Index>().prop_map(Step::Publish),
    ]
}

fn targets(route: &Route) -> Vec<(u64, QoS)> {
    route.targets.iter().map(|target| (target.mailbox.id(), target.qos)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_remembered_route_is_never_used_once_the_subscriptions_have_changed(
        filters in vec(filter(), 1..8),
        topics in vec(topic(), ROUTES * 2),
        steps in vec(step(), 1..80),
    ) {
        let space = Space::default();
        let sessions: Vec<_> = (0..3).map(|_| mailbox()).collect();
        let mut publisher = Publisher::default();
        for step in steps {
            match step {
                Step::Subscribe(session, filter, qos) => {
                    space.subscribe(filter.get::<String>(&filters), None, to(session.get(&sessions), qos));
                }
                Step::Unsubscribe(session, filter) => {
                    space.unsubscribe(filter.get::<String>(&filters), None, session.get(&sessions).id());
                }
                Step::Publish(topic) => {
                    let topic = topic.get(&topics).as_bytes();
                    prop_assert_eq!(targets(publisher.route(&space, topic)), targets(&fresh(&space, topic)));
                }
            }
            prop_assert!(publisher.routes.len() <= ROUTES);
        }
    }
}

#[test]
fn a_publisher_on_its_few_topics_does_not_walk_the_tree_twice() {
    let space = Space::default();
    let member = mailbox();
    space.subscribe("#", None, to(&member, QoS::AtMostOnce));
    let topics: Vec<String> = (0..ROUTES).map(|n| format!("topic/{n}")).collect();
    let mut publisher = Publisher::default();
    let routes = |publisher: &mut Publisher| -> Vec<*const Target> {
        topics.iter().map(|topic| publisher.route(&space, topic.as_bytes()).targets.as_ptr()).collect()
    };
    let first = routes(&mut publisher);
    assert_eq!(routes(&mut publisher), first, "the very same routes");
    space.unsubscribe("#", None, member.id());
    assert!(topics.iter().all(|topic| publisher.route(&space, topic.as_bytes()).targets.is_empty()));
}
