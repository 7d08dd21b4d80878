//! Random schedules of deliveries, acknowledgements, losses and resumptions.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::client::{Client, Given, Terms};
use crate::router::samples::qos;
use crate::wire::Version;

#[derive(Clone, Debug)]
enum Step {
    Give(Given),
    Acknowledge { which: Index, refuse: bool },
    AcknowledgeWrongly(Index),
    AcknowledgeNothing(u16),
    Advance(u64),
    Lose,
    ComeBack(Terms),
}

fn terms() -> impl Strategy<Value = Terms> {
    let version = select(vec![Version::V3, Version::V4, Version::V5, Version::V5, Version::V5]);
    let max_packet_size = prop_oneof![4 => Just(usize::MAX), 1 => 25..60usize];
    (version, 1..6u16, max_packet_size, 0..3u16).prop_map(|(version, quota, max_packet_size, alias_maximum)| Terms {
        version,
        quota,
        max_packet_size,
        alias_maximum,
    })
}

fn given() -> impl Strategy<Value = Given> {
    let topic = select(vec!["t", "a/long/topic", "another/long/topic"]);
    let padding = prop_oneof![4 => 0..4usize, 1 => 0..60usize];
    let expiry = prop_oneof![3 => Just(None), 1 => (0..4u32).prop_map(Some)];
    (qos(), topic, padding, expiry).prop_map(|(qos, topic, padding, expiry)| Given { qos, topic, padding, expiry })
}

fn step() -> impl Strategy<Value = Step> {
    let acknowledge =
        (any::<Index>(), prop::bool::weighted(0.1)).prop_map(|(which, refuse)| Step::Acknowledge { which, refuse });
    prop_oneof![
        8 => given().prop_map(Step::Give),
        8 => acknowledge,
        1 => any::<Index>().prop_map(Step::AcknowledgeWrongly),
        1 => prop_oneof![1..10u16, Just(u16::MAX)].prop_map(Step::AcknowledgeNothing),
        1 => (0..3u64).prop_map(Step::Advance),
        1 => Just(Step::Lose),
        2 => terms().prop_map(Step::ComeBack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_message_is_sent_until_it_is_done_in_order_within_the_quota_and_qos_2_once(
        first in terms(),
        steps in vec(step(), 1..120),
        last in terms(),
    ) {
        let mut client = Client::connected(first);
        for step in steps {
            match step {
                Step::Give(given) => client.give(given),
                Step::Acknowledge { which, refuse } => {
                    if let Some(number) = pick(&client, which) {
                        client.acknowledge(number, refuse);
                    }
                }
                Step::AcknowledgeWrongly(which) => {
                    if let Some(number) = pick(&client, which) {
                        client.acknowledge_wrongly(number);
                    }
                }
                Step::AcknowledgeNothing(id) if client.is_connected() => client.acknowledge_nothing(id),
                Step::AcknowledgeNothing(_) => {}
                Step::Advance(seconds) => client.advance(seconds),
                Step::Lose => client.lose(),
                Step::ComeBack(terms) => client.come_back(terms),
            }
        }
        client.come_back(last);
        client.finish();
    }
}

/// One of the messages that the client could acknowledge, if there is any.
fn pick(client: &Client, which: Index) -> Option<usize> {
    let numbers = client.acknowledgeable();
    (!numbers.is_empty()).then(|| *which.get(&numbers))
}
