//! The subscriptions of one session. Most have a few: those lie side by side, and only many are found by hash.

use hashbrown::HashMap;

use super::Subscribed;

/// Beyond so many, subscriptions are found by hash.
const FEW: usize = 16;

/// What holds for each filter.
pub(super) enum Subscriptions {
    Few(Vec<(Box<str>, Subscribed)>),
    Many(Box<HashMap<Box<str>, Subscribed>>),
}

impl Default for Subscriptions {
    fn default() -> Self {
        Subscriptions::Few(Vec::new())
    }
}

impl Subscriptions {
    /// Adds a filter, or puts other options in force for it; tells whether it is new.
    pub(super) fn insert(&mut self, filter: &str, subscribed: Subscribed) -> bool {
        match self {
            Subscriptions::Few(few) => {
                if let Some((_, known)) = few.iter_mut().find(|(known, _)| **known == *filter) {
                    *known = subscribed;
                    return false;
                }
                if few.len() < FEW {
                    few.reserve_exact(1);
                    few.push((filter.into(), subscribed));
                    return true;
                }
                let all = few.drain(..).chain([(filter.into(), subscribed)]);
                *self = Subscriptions::Many(Box::new(all.collect()));
                true
            }
            Subscriptions::Many(many) => match many.get_mut(filter) {
                Some(known) => {
                    *known = subscribed;
                    false
                }
                None => {
                    many.insert(filter.into(), subscribed);
                    true
                }
            },
        }
    }

    /// Takes a filter out; tells whether it was there.
    pub(super) fn remove(&mut self, filter: &str) -> bool {
        match self {
            Subscriptions::Few(few) => match few.iter().position(|(known, _)| **known == *filter) {
                Some(at) => {
                    few.swap_remove(at);
                    true
                }
                None => false,
            },
            Subscriptions::Many(many) => {
                let known = many.remove(filter).is_some();
                if many.len() < FEW / 2 {
                    *self = Subscriptions::Few(many.drain().collect());
                }
                known
            }
        }
    }

    pub(super) fn contains(&self, filter: &str) -> bool {
        match self {
            Subscriptions::Few(few) => few.iter().any(|(known, _)| **known == *filter),
            Subscriptions::Many(many) => many.contains_key(filter),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Subscriptions::Few(few) => few.len(),
            Subscriptions::Many(many) => many.len(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Subscribed)> {
        let (few, many) = match self {
            Subscriptions::Few(few) => (few.as_slice(), None),
            Subscriptions::Many(many) => (&[][..], Some(many.iter())),
        };
        let few = few.iter().map(|(filter, subscribed)| (filter.as_ref(), *subscribed));
        few.chain(many.into_iter().flatten().map(|(filter, subscribed)| (filter.as_ref(), *subscribed)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::{QoS, RetainHandling, SubscriptionOptions};

    fn subscribed(id: u32) -> Subscribed {
        let options = SubscriptionOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        Subscribed { options, id: Some(id) }
    }

    #[test]
    fn many_and_few_say_the_same_as_a_map() {
        let mut map = BTreeMap::new();
        let mut subscriptions = Subscriptions::default();
        // Up to many, down to few, and up again.
        let steps = (0..50).chain(0..50).chain(100..120);
        for (step, number) in steps.enumerate() {
            let filter = format!("filter/{number}");
            if (50..100).contains(&step) {
                assert_eq!(subscriptions.remove(&filter), map.remove(&filter).is_some());
                assert!(!subscriptions.remove(&filter));
            } else {
                assert!(subscriptions.insert(&filter, subscribed(0)));
                assert!(!subscriptions.insert(&filter, subscribed(number)));
                map.insert(filter.clone(), subscribed(number));
            }
            assert_eq!(subscriptions.len(), map.len());
            assert_eq!(subscriptions.contains(&filter), map.contains_key(&filter));
            let mut all: Vec<_> = subscriptions.iter().map(|(filter, known)| (filter.to_owned(), known.id)).collect();
            all.sort();
            assert_eq!(all, map.iter().map(|(filter, known)| (filter.clone(), known.id)).collect::<Vec<_>>());
        }
    }
}
