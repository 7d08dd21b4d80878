//! The branches below one level of the subscription tree. Most levels have a single one: that needs no table.

use super::tree::Node;
use crate::keyed::KeyedTable;

#[derive(Default)]
pub(super) enum Children {
    #[default]
    None,
    One(Box<Node>),
    Many(Box<KeyedTable<Box<Node>>>),
}

impl Children {
    pub(super) fn get(&self, level: &[u8]) -> Option<&Node> {
        match self {
            Children::None => None,
            Children::One(only) => (*only.level == *level).then_some(only),
            Children::Many(many) => many.get(level).map(Box::as_ref),
        }
    }

    pub(super) fn get_mut(&mut self, level: &[u8]) -> Option<&mut Node> {
        match self {
            Children::None => None,
            Children::One(only) => (*only.level == *level).then_some(only),
            Children::Many(many) => many.get_mut(level).map(Box::as_mut),
        }
    }

    /// The branch of this level, made if it is not there.
    pub(super) fn get_or_insert(&mut self, level: &[u8]) -> &mut Node {
        if self.get(level).is_none() {
            self.insert(Box::new(Node::of(level)));
        }
        self.get_mut(level).expect("it was there or was put in")
    }

    /// Puts a branch in that is not there.
    fn insert(&mut self, node: Box<Node>) {
        *self = match std::mem::take(self) {
            Children::None => Children::One(node),
            Children::One(only) => {
                let mut many = KeyedTable::default();
                many.insert(only);
                many.insert(node);
                Children::Many(Box::new(many))
            }
            Children::Many(mut many) => {
                many.insert(node);
                Children::Many(many)
            }
        };
    }

    pub(super) fn remove(&mut self, level: &[u8]) {
        match self {
            Children::One(only) if *only.level == *level => *self = Children::None,
            Children::None | Children::One(_) => {}
            Children::Many(many) => {
                many.remove(level);
                if many.len() == 1 {
                    let last = many.drain().next();
                    *self = last.map_or(Children::None, Children::One);
                } else {
                    many.shrink(4);
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Children::None => 0,
            Children::One(_) => 1,
            Children::Many(many) => many.len(),
        }
    }

    /// Moves every branch to `into`.
    pub(super) fn drain(&mut self, into: &mut impl Extend<Box<Node>>) {
        match std::mem::take(self) {
            Children::None => {}
            Children::One(only) => into.extend([only]),
            Children::Many(mut many) => into.extend(many.drain()),
        }
    }
}
