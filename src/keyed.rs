//! A hash table of entries that carry their own keys, so that a key is kept once and a place in the table is no larger than an
//! entry. Used where there are as many entries as clients. An entry must not change its key while it is in.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// What lies in a [`KeyedTable`].
pub(crate) trait Keyed {
    fn key(&self) -> &[u8];
}

pub(crate) struct KeyedTable<T> {
    hasher: DefaultHashBuilder,
    entries: HashTable<T>,
}

impl<T> Default for KeyedTable<T> {
    fn default() -> Self {
        KeyedTable { hasher: DefaultHashBuilder::default(), entries: HashTable::new() }
    }
}

impl<T: Keyed> KeyedTable<T> {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        self.entries.find(self.hasher.hash_one(key), |entry| entry.key() == key)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        self.entries.find_mut(self.hasher.hash_one(key), |entry| entry.key() == key)
    }

    /// Puts an entry in whose key is not there.
    pub(crate) fn insert(&mut self, entry: T) -> &mut T {
        let hash = |entry: &T| self.hasher.hash_one(entry.key());
        self.entries.insert_unique(hash(&entry), entry, hash).into_mut()
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<T> {
        let found = self.entries.find_entry(self.hasher.hash_one(key), |entry| entry.key() == key);
        found.ok().map(|found| found.remove().0)
    }

    /// Gives memory back where there is room for `times` as many entries as are left, or more.
    pub(crate) fn shrink(&mut self, times: usize) {
        if self.entries.len() * times < self.entries.capacity() {
            self.entries.shrink_to(0, |entry| self.hasher.hash_one(entry.key()));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.entries.drain()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Keyed for String {
        fn key(&self) -> &[u8] {
            self.as_bytes()
        }
    }

    #[test]
    fn an_entry_is_found_by_its_key_from_when_it_is_put_in_until_it_is_taken_out() {
        let mut table = KeyedTable::default();
        let names: Vec<String> = (0..1_000).map(|n| format!("name-{n}")).collect();
        for name in &names {
            assert!(table.get(name.key()).is_none());
            assert_eq!(table.insert(name.clone()), name);
        }
        assert_eq!(table.iter().collect::<BTreeSet<_>>(), names.iter().collect());
        let (gone, left) = names.split_at(990);
        for name in gone {
            assert_eq!(table.remove(name.key()).as_ref(), Some(name));
            assert!(table.remove(name.key()).is_none());
            table.shrink(4);
        }
        assert_eq!(table.len(), left.len());
        assert!(table.entries.capacity() <= 4 * left.len());
        assert!(gone.iter().all(|name| table.get(name.key()).is_none()));
        assert!(left.iter().all(|name| table.get_mut(name.key()).as_deref() == Some(name)));
        assert_eq!(table.drain().collect::<BTreeSet<_>>(), left.iter().cloned().collect());
        assert_eq!(table.len(), 0);
    }
}
