//! Why the store cannot be used, in words that say what to do.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store under `data_dir` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system does not let us, or cannot.
    #[error("cannot use {path}: {source}{hint}", path = .path.display(), hint = hint(.source))]
    Io {
        /// Where the store is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("another broker uses {path}: stop it, or give this one a `data_dir` of its own", path = .path.display())]
    Locked {
        /// Where the store is.
        path: PathBuf,
    },
    /// What is there cannot be read: it was damaged, or is of another version.
    #[error(
        "{path} cannot be read ({message}): it is damaged or of another version of Weir; restore it from a backup, or move it \
         away to begin with an empty one",
        path = .path.display()
    )]
    Broken {
        /// Where the store is.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; `data_dir` must be a directory that the broker may write to",
        io::ErrorKind::ReadOnlyFilesystem => "; `data_dir` must be on a file system that can be written to",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there, and start the broker again",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; `data_dir` must be a directory, not a file",
        _ => "",
    }
}

impl StoreError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        StoreError::Io { path: path.into(), source }
    }

    pub(super) fn new(path: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => StoreError::Locked { path: path.into() },
            fjall::Error::Io(source) => Self::io(path, source),
            fjall::Error::Storage(fjall::LsmError::Io(source)) => Self::io(path, source),
            // It refuses writes after one has failed; that one was told.
            fjall::Error::Poisoned => Self::io(path, io::Error::other("an earlier write has failed")),
            error => {
                let message = error.source().map_or_else(|| error.to_string(), |source| source.to_string());
                StoreError::Broken { path: path.into(), message }
            }
        }
    }
}
