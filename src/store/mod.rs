//! What survives a restart: ordered rows of bytes in named keyspaces, on disk under `data_dir` (fjall) or, without one, in memory.
//! Called by what keeps something (`usage`), from threads that may wait for a disk and never from those that serve clients. It
//! knows nothing of what the rows mean.

mod error;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use parking_lot::RwLock;

pub use self::error::StoreError;

/// Where the rows are in `data_dir`.
const DIRECTORY: &str = "store";
/// What is held of the rows of a keyspace before they go to a file of their own, and of what was read of all, in bytes: little, as
/// the broker's memory is for clients.
const MEMTABLE: u64 = 8 << 20;
const CACHE: u64 = 8 << 20;
/// The least that can be asked for.
const LOG: u64 = 64 << 20;

/// All keyspaces.
pub(crate) enum Store {
    Disk { database: Database, path: Arc<Path> },
    Memory,
}

/// Rows by their keys, in order.
#[derive(Clone)]
pub(crate) enum Keyspace {
    Disk { rows: fjall::Keyspace, path: Arc<Path> },
    Memory(Rows),
}

pub(crate) type Rows = Arc<RwLock<BTreeMap<Box<[u8]>, Box<[u8]>>>>;

/// A row that is put in the place of a key's last, or removed.
type Change = (Rows, Box<[u8]>, Option<Box<[u8]>>);

/// Changes that are made all together or not at all. (In memory, who reads meanwhile may see some of them.)
pub(crate) enum Batch {
    Disk { changes: OwnedWriteBatch, path: Arc<Path> },
    Memory(Vec<Change>),
}

impl Store {
    /// Opens what is in this `data_dir`, made if it is not there.
    ///
    /// # Errors
    /// The directory cannot be made or used, is another Weir's, or holds what is no store; the text says what to do.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path: Arc<Path> = data_dir.join(DIRECTORY).into();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| StoreError::io(&path, source))?;
        let database = Database::builder(&path).cache_size(CACHE).max_journaling_size(LOG).worker_threads(1).open();
        let database = database.map_err(|error| StoreError::new(&path, error))?;
        Ok(Store::Disk { database, path })
    }

    /// The keyspace of this name, made if it is not there.
    pub(crate) fn keyspace(&self, name: &str) -> Result<Keyspace, StoreError> {
        match self {
            Store::Disk { database, path } => {
                let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
                let rows = database.keyspace(name, options).map_err(|error| StoreError::new(path, error))?;
                Ok(Keyspace::Disk { rows, path: Arc::clone(path) })
            }
            Store::Memory => Ok(Keyspace::default()),
        }
    }

    /// No changes yet.
    pub(crate) fn batch(&self) -> Batch {
        match self {
            Store::Disk { database, path } => {
                let changes = database.batch().durability(Some(PersistMode::Buffer));
                Batch::Disk { changes, path: Arc::clone(path) }
            }
            Store::Memory => Batch::Memory(Vec::new()),
        }
    }

    /// Has the disk keep all that was committed, whatever happens to the machine.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        match self {
            Store::Disk { database, path } => {
                database.persist(PersistMode::SyncAll).map_err(|error| StoreError::new(path, error))
            }
            Store::Memory => Ok(()),
        }
    }
}

impl Keyspace {
    /// The row of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Keyspace::Disk { rows, path } => {
                let value = rows.get(key).map_err(|error| StoreError::new(path, error))?;
                Ok(value.map(|value| value.to_vec()))
            }
            Keyspace::Memory(rows) => Ok(rows.read().get(key).map(|value| value.to_vec())),
        }
    }

    /// Shows the rows from a key up to another, in order, until `visit` has seen enough. It must not change them.
    pub(crate) fn range(
        &self,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        match self {
            Keyspace::Disk { rows, path } => {
                for row in rows.range(from..to) {
                    let (key, value) = row.into_inner().map_err(|error| StoreError::new(path, error))?;
                    if visit(&key, &value).is_break() {
                        break;
                    }
                }
            }
            Keyspace::Memory(rows) => {
                for (key, value) in rows.read().range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
                    if visit(key, value).is_break() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// How many rows are in memory for good; nothing where they are on disk.
    pub(crate) fn rows_in_memory(&self) -> Option<usize> {
        match self {
            Keyspace::Disk { .. } => None,
            Keyspace::Memory(rows) => Some(rows.read().len()),
        }
    }
}

impl Default for Keyspace {
    /// An empty one in memory.
    fn default() -> Self {
        Keyspace::Memory(Rows::default())
    }
}

impl Batch {
    /// Puts a row in the place of the key's last. The keyspace must be of the batch's store.
    pub(crate) fn put(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        match (self, keyspace) {
            (Batch::Disk { changes, .. }, Keyspace::Disk { rows, .. }) => changes.insert(rows, key, value),
            (Batch::Memory(changes), Keyspace::Memory(rows)) => {
                changes.push((Arc::clone(rows), key.into(), Some(value.into())));
            }
            _ => debug_assert!(false, "a keyspace of another store"),
        }
    }

    /// Removes the row of a key.
    pub(crate) fn remove(&mut self, keyspace: &Keyspace, key: &[u8]) {
        match (self, keyspace) {
            (Batch::Disk { changes, .. }, Keyspace::Disk { rows, .. }) => changes.remove(rows, key),
            (Batch::Memory(changes), Keyspace::Memory(rows)) => changes.push((Arc::clone(rows), key.into(), None)),
            _ => debug_assert!(false, "a keyspace of another store"),
        }
    }

    /// Makes the changes. They are the operating system's then: they outlive this process, but not yet a loss of power.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        match self {
            Batch::Disk { changes, path } => changes.commit().map_err(|error| StoreError::new(&path, error)),
            Batch::Memory(changes) => {
                for (rows, key, value) in changes {
                    match value {
                        Some(value) => drop(rows.write().insert(key, value)),
                        None => drop(rows.write().remove(&key)),
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
