//! Retained messages against a plain map and `wire::matches`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::router::samples::{Sample, filter, nodes_needed, topic};
use crate::wire::{self, QoS};

/// How many nodes there are below the root.
fn nodes(retained: &Retained) -> usize {
    let mut count = 0;
    let mut rest = vec![&retained.root];
    while let Some(node) = rest.pop() {
        rest.extend(node.children.values().map(Box::as_ref));
        count += 1;
    }
    count - 1
}

fn message(topic: &str, payload: &[u8]) -> Message {
    Sample { payload, retain: true, ..Sample::default() }.message(topic, QoS::AtMostOnce)
}

fn found(retained: &Retained, filter: &str) -> BTreeMap<String, Vec<u8>> {
    let messages = retained.matches(filter);
    let count = messages.len();
    let map: BTreeMap<_, _> = messages.into_iter().map(|m| (m.topic().to_owned(), m.payload().to_vec())).collect();
    assert_eq!(map.len(), count, "each message once");
    map
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn retained_messages_are_kept_replaced_removed_and_found_as_in_a_plain_map(
        topics in vec(topic(), 1..12),
        filters in vec(filter(), 1..8),
        published in vec((any::<Index>(), 0..20usize), 1..60),
        max_messages in 1..12usize,
        max_bytes in 20..200u64,
    ) {
        let mut retained = Retained::default();
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let size = |topic: &str, payload: &[u8]| 2 + topic.len() as u64 + payload.len() as u64;
        for (number, (topic, len)) in published.into_iter().enumerate() {
            let topic = topic.get(&topics);
            let payload = vec![number as u8; len];
            let others: u64 = model.iter().filter(|(t, _)| *t != topic).map(|(t, p)| size(t, p)).sum();
            let expected = if payload.is_empty() {
                model.remove(topic);
                RetainOutcome::Done
            } else if !model.contains_key(topic) && model.len() >= max_messages {
                RetainOutcome::TooMany
            } else if others + size(topic, &payload) > max_bytes {
                RetainOutcome::TooLarge
            } else {
                model.insert(topic.clone(), payload.clone());
                RetainOutcome::Done
            };
            prop_assert_eq!(retained.set(&message(topic, &payload), max_messages, max_bytes), expected);
            prop_assert_eq!(nodes(&retained), nodes_needed(model.keys().map(String::as_str)));
            for filter in &filters {
                let mut expected = model.clone();
                expected.retain(|topic, _| wire::matches(filter, topic));
                prop_assert_eq!(found(&retained, filter), expected, "{}", filter);
            }
        }
        for topic in model.into_keys() {
            retained.remove(topic.as_bytes());
        }
        prop_assert_eq!((nodes(&retained), retained.messages, retained.bytes), (0, 0, 0));
    }
}

#[test]
fn a_topic_of_sixty_thousand_levels_neither_uses_up_the_stack_nor_stays() {
    let work = || {
        let topic = "a/".repeat(30_000);
        let mut retained = Retained::default();
        retained.set(&message(&topic, b"x"), 10, 1 << 20);
        assert_eq!(found(&retained, "a/#").len(), 1);
        assert_eq!(found(&retained, &"+/".repeat(30_000)).len(), 1);
        retained.set(&message(&topic, b""), 10, 1 << 20);
        assert_eq!(nodes(&retained), 0);
        retained.set(&message(&topic, b"x"), 10, 1 << 20);
    };
    std::thread::Builder::new().stack_size(128 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn retained_messages_come_in_the_order_of_their_topics() {
    let mut retained = Retained::default();
    for topic in ["b/1", "a", "c", "b", "a/2", "a/1"] {
        retained.set(&message(topic, b"x"), 10, 1 << 20);
    }
    let topics: Vec<_> = retained.matches("#").iter().map(|message| message.topic().to_owned()).collect();
    assert_eq!(topics, ["a", "a/1", "a/2", "b", "b/1", "c"]);
}
