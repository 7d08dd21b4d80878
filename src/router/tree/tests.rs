//! The subscription tree against `wire::matches`, which looks at one filter at a time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::router::samples::{self, filter, mailbox, qos, topic};
use crate::wire;

/// How many nodes there are below the root.
fn nodes(tree: &Tree) -> usize {
    let mut count = 0;
    let mut rest = vec![&tree.root];
    while let Some(node) = rest.pop() {
        rest.extend(match &node.children {
            Children::None => Vec::new(),
            Children::One(only) => vec![&**only],
            Children::Many(many) => many.iter().map(Box::as_ref).collect(),
        });
        rest.extend(node.plus.as_deref());
        count += 1;
    }
    count - 1
}

/// The options of a subscription.
#[derive(Clone, Copy, Debug)]
struct Options {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    id: Option<u32>,
}

impl Options {
    fn of(self, mailbox: &Arc<Mailbox>) -> Subscription {
        let Options { qos, no_local, retain_as_published, id } = self;
        let id = id.and_then(NonZeroU32::new);
        Subscription { mailbox: Arc::clone(mailbox), qos, no_local, retain_as_published, id }
    }
}

const PLAIN: Options = Options { qos: QoS::AtMostOnce, no_local: false, retain_as_published: false, id: None };

#[derive(Clone, Debug)]
enum Change {
    Subscribe(Index, Index, Option<&'static str>, Options),
    Unsubscribe(Index, Index, Option<&'static str>),
}

fn change() -> impl Strategy<Value = Change> {
    let share = || prop_oneof![2 => Just(None), 1 => select(vec![Some("g"), Some("h")])];
    let options = (qos(), any::<bool>(), any::<bool>(), proptest::option::of(1..5u32))
        .prop_map(|(qos, no_local, retain_as_published, id)| Options { qos, no_local, retain_as_published, id });
    let subscribe = (any::<Index>(), any::<Index>(), share(), options)
        .prop_map(|(session, filter, share, options)| Change::Subscribe(session, filter, share, options));
    let unsubscribe = (any::<Index>(), any::<Index>(), share())
        .prop_map(|(session, filter, share)| Change::Unsubscribe(session, filter, share));
    prop_oneof![3 => subscribe, 2 => unsubscribe]
}

/// What a session gets of a topic: QoS, identifiers, No Local and Retain As Published.
type Due = (QoS, BTreeSet<u32>, bool, bool);
type Model = BTreeMap<(String, Option<&'static str>, u64), Options>;

/// What the model says of a topic: the sessions, and the members of each shared group.
fn expected(model: &Model, topic: &str) -> (BTreeMap<u64, Due>, BTreeSet<BTreeSet<u64>>) {
    let mut sessions: BTreeMap<u64, Due> = BTreeMap::new();
    let mut groups: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for ((filter, share, session), options) in model.iter().filter(|((f, ..), _)| wire::matches(f, topic)) {
        if let Some(share) = share {
            groups.entry((filter, share)).or_default().insert(*session);
            continue;
        }
        let due = sessions.entry(*session).or_insert((QoS::AtMostOnce, BTreeSet::new(), true, false));
        due.0 = due.0.max(options.qos);
        due.1.extend(options.id);
        due.2 &= options.no_local;
        due.3 |= options.retain_as_published;
    }
    (sessions, groups.into_values().collect())
}

/// What the tree says of it.
fn found(tree: &Tree, topic: &str) -> (BTreeMap<u64, Due>, BTreeSet<BTreeSet<u64>>, usize) {
    let (mut targets, mut groups) = (Vec::new(), Vec::new());
    tree.matches(topic.as_bytes(), &mut targets, &mut groups);
    merge(&mut targets);
    let count = targets.len();
    let due = |t: &Target| (t.qos, t.ids.as_slice().iter().copied().collect(), t.no_local, t.retain_as_published);
    let sessions: BTreeMap<u64, Due> = targets.iter().map(|target| (target.mailbox.id(), due(target))).collect();
    assert_eq!(sessions.len(), count, "one target a session");
    let group_count = groups.len();
    // Everyone in a group has a turn within so many as it could have members.
    let members = |group: &Arc<Group>| (0..8).filter_map(|_| group.choose()).map(|m| m.mailbox.id()).collect();
    (sessions, groups.iter().map(members).collect(), group_count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_subscriptions_are_found_as_one_filter_after_the_other_is_found(
        filters in vec(filter(), 1..12),
        topics in vec(topic(), 1..8),
        changes in vec(change(), 1..60),
        leaving in any::<u64>(),
    ) {
        let sessions: Vec<_> = (0..4).map(|_| mailbox()).collect();
        let mut tree = Tree::default();
        let mut model = Model::new();
        for change in changes {
            match change {
                Change::Subscribe(session, filter, share, options) => {
                    let (session, filter) = (session.get(&sessions), filter.get(&filters));
                    tree.insert(filter, share, options.of(session));
                    model.insert((filter.clone(), share, session.id()), options);
                }
                Change::Unsubscribe(session, filter, share) => {
                    let (session, filter) = (session.get(&sessions).id(), filter.get(&filters));
                    tree.remove(filter, share, session);
                    model.remove(&(filter.clone(), share, session));
                }
            }
            prop_assert_eq!(nodes(&tree), samples::nodes_needed(model.keys().map(|(filter, ..)| filter.as_str())));
            for topic in &topics {
                let (targets, groups) = expected(&model, topic);
                let (found_targets, found_groups, group_count) = found(&tree, topic);
                prop_assert_eq!(found_targets, targets, "{}", topic);
                prop_assert_eq!(&found_groups, &groups, "{}", topic);
                prop_assert!(group_count >= groups.len());
            }
        }
        let mut rest: Vec<_> = model.into_keys().collect();
        let at = leaving as usize % rest.len().max(1);
        rest.rotate_left(at);
        for (filter, share, session) in rest {
            tree.remove(&filter, share, session);
        }
        prop_assert_eq!(nodes(&tree), 0);
        prop_assert!(tree.root.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_sessions_subscribe_one_filter_and_leave_in_any_order(
        leaving in Just((0..1_000usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let sessions: Vec<_> = (0..1_000).map(|_| mailbox()).collect();
        let mut tree = Tree::default();
        for _ in 0..2 {
            for session in &sessions {
                tree.insert("a/+", None, PLAIN.of(session));
            }
        }
        let mut left: BTreeSet<u64> = sessions.iter().map(|session| session.id()).collect();
        for (count, at) in leaving.into_iter().enumerate() {
            if count % 100 == 0 || left.len() < 20 {
                let found: BTreeSet<u64> = found(&tree, "a/b").0.into_keys().collect();
                prop_assert_eq!(&found, &left);
            }
            tree.remove("a/+", None, sessions[at].id());
            tree.remove("a/+", None, sessions[at].id());
            left.remove(&sessions[at].id());
        }
        prop_assert_eq!(nodes(&tree), 0);
    }
}

#[test]
fn a_filter_of_sixty_thousand_levels_neither_uses_up_the_stack_nor_stays() {
    let work = || {
        let session = mailbox();
        for filter in ["/".repeat(60_000), "+/".repeat(30_000) + "#"] {
            let topic = filter.replace(['+', '#'], "x");
            let mut tree = Tree::default();
            tree.insert("a", None, PLAIN.of(&session));
            tree.insert(&filter, None, PLAIN.of(&session));
            assert_eq!(found(&tree, &topic).0.len(), 1);
            tree.remove(&filter, None, session.id());
            assert_eq!(nodes(&tree), 1);
            assert_eq!(found(&tree, &topic).0.len(), 0);
            tree.insert(&filter, None, PLAIN.of(&session));
            drop(tree);
        }
    };
    std::thread::Builder::new().stack_size(128 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_subscription_that_is_not_there_is_not_removed_from_others() {
    let (here, elsewhere) = (mailbox(), mailbox());
    let mut tree = Tree::default();
    tree.insert("a/b", None, PLAIN.of(&here));
    for (filter, share, session) in [
        ("a/b", None, elsewhere.id()),
        ("a/b", Some("g"), here.id()),
        ("a", None, here.id()),
        ("a/b/c", None, here.id()),
        ("a/b/#", None, here.id()),
        ("a/+", None, here.id()),
        ("#", None, here.id()),
    ] {
        tree.remove(filter, share, session);
    }
    assert_eq!(found(&tree, "a/b").0.into_keys().collect::<Vec<_>>(), [here.id()]);
    assert_eq!(nodes(&tree), 2);
}

#[test]
fn a_level_takes_six_words_beside_its_name_and_the_end_of_a_filter_four() {
    assert!(size_of::<Node>() <= 6 * size_of::<usize>());
    assert!(size_of::<Ends>() <= 4 * size_of::<usize>());
}
