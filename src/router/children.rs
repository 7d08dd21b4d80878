//! The branches below one level of the subscription tree. Most levels have a single one: that needs no table.

use hashbrown::HashMap;

use super::tree::Node;

#[derive(Default)]
pub(super) enum Children {
    #[default]
    None,
    One(Box<[u8]>, Box<Node>),
    Many(Box<HashMap<Box<[u8]>, Box<Node>>>),
}

impl Children {
    pub(super) fn get(&self, level: &[u8]) -> Option<&Node> {
        match self {
            Children::None => None,
            Children::One(only, node) => (**only == *level).then_some(node),
            Children::Many(many) => many.get(level).map(Box::as_ref),
        }
    }

    pub(super) fn get_mut(&mut self, level: &[u8]) -> Option<&mut Node> {
        match self {
            Children::None => None,
            Children::One(only, node) => (**only == *level).then_some(node),
            Children::Many(many) => many.get_mut(level).map(Box::as_mut),
        }
    }

    /// The branch of this level, made if it is not there.
    pub(super) fn get_or_insert(&mut self, level: &[u8]) -> &mut Node {
        let there = match self {
            Children::None => false,
            Children::One(only, _) => **only == *level,
            Children::Many(many) => many.contains_key(level),
        };
        if !there {
            *self = match std::mem::take(self) {
                Children::None => Children::One(level.into(), Box::default()),
                Children::One(only, node) => {
                    let two = [(only, node), (level.into(), Box::default())];
                    Children::Many(Box::new(HashMap::from_iter(two)))
                }
                Children::Many(mut many) => {
                    many.insert(level.into(), Box::default());
                    Children::Many(many)
                }
            };
        }
        match self {
            Children::One(_, node) => node,
            Children::Many(many) => many.get_mut(level).expect("it was there or was put in"),
            Children::None => unreachable!("one was there or was put in"),
        }
    }

    pub(super) fn remove(&mut self, level: &[u8]) {
        match self {
            Children::None => {}
            Children::One(only, _) if **only == *level => *self = Children::None,
            Children::One(..) => {}
            Children::Many(many) => {
                many.remove(level);
                if many.len() == 1 {
                    let last = many.drain().next();
                    *self = last.map_or(Children::None, |(only, node)| Children::One(only, node));
                } else if many.len() * 4 < many.capacity() {
                    many.shrink_to_fit();
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Children::None => 0,
            Children::One(..) => 1,
            Children::Many(many) => many.len(),
        }
    }

    /// Moves every branch to `into`.
    pub(super) fn drain(&mut self, into: &mut impl Extend<Box<Node>>) {
        match std::mem::take(self) {
            Children::None => {}
            Children::One(_, node) => into.extend([node]),
            Children::Many(mut many) => into.extend(many.drain().map(|(_, node)| node)),
        }
    }
}
