//! The admin token: from the environment, else from `data_dir/admin.token`, which is made at the first start, else one for this
//! run. Made by the broker when it starts; what is kept in memory is the token's SHA-256, and the token is shown once, when it
//! was made.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Where the token may be given.
const VARIABLE: &str = "WEIR_ADMIN_TOKEN";

/// The SHA-256 of the admin token.
pub(crate) struct AdminToken([u8; 32]);

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file of the token cannot be read or made.
    #[error("cannot read or make {}: {source}; make its directory writable, or set {VARIABLE}", .path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing in the file of the token.
    #[error("{} is empty: remove it, and another token is made at the next start", .0.display())]
    Empty(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for an admin token; set {VARIABLE}")]
    Random,
}

impl AdminToken {
    /// The token of this broker; one that is made is shown in the log.
    pub(crate) fn obtain(data_dir: Option<&Path>) -> Result<Self, TokenError> {
        match std::env::var(VARIABLE) {
            Ok(token) if !token.is_empty() => return Ok(Self::of(&token)),
            _ => {}
        }
        let Some(directory) = data_dir else {
            let token = random_hex::<32>().ok_or(TokenError::Random)?;
            tracing::warn!("the admin token of this run is {token} (set {VARIABLE} or data_dir to keep one)");
            return Ok(Self::of(&token));
        };
        let path = directory.join("admin.token");
        let error = |source| TokenError::File { path: path.clone(), source };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let others = std::fs::metadata(&path).map_err(error)?.permissions().mode() & 0o077;
                if others != 0 {
                    tracing::warn!("{}: others may read the admin token; chmod 600 it", path.display());
                }
                match text.trim() {
                    "" => Err(TokenError::Empty(path)),
                    token => Ok(Self::of(token)),
                }
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let token = random_hex::<32>().ok_or(TokenError::Random)?;
                make_directory(directory).and_then(|()| write_new(&path, &token)).map_err(error)?;
                tracing::warn!("the admin token is {token} (shown this once; it is kept in {})", path.display());
                Ok(Self::of(&token))
            }
            Err(other) => Err(error(other)),
        }
    }

    pub(super) fn of(token: &str) -> Self {
        AdminToken(Sha256::digest(token).into())
    }

    /// Whether a token with this SHA-256 is the one; how long that takes tells nothing.
    pub(super) fn is(&self, sha256: &[u8; 32]) -> bool {
        self.0.ct_eq(sha256).into()
    }
}

/// The directory that is kept in; others have no business there.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_new(path: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// Random bytes in hexadecimal; nothing where the system gives none.
pub(super) fn random_hex<const N: usize>() -> Option<String> {
    let mut random = [0; N];
    getrandom::fill(&mut random).ok()?;
    Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_owner_alone_and_read_after_that() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("made/by/us");
        let made = AdminToken::obtain(Some(&data_dir)).unwrap();
        let file = data_dir.join("admin.token");
        let token = std::fs::read_to_string(&file).unwrap();
        assert_eq!(token.trim().len(), 64, "256 bits");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = AdminToken::obtain(Some(&data_dir)).unwrap();
        for obtained in [made, read] {
            assert!(obtained.is(&Sha256::digest(token.trim()).into()));
            assert!(!obtained.is(&Sha256::digest("guessed").into()));
        }
    }

    #[test]
    fn an_empty_file_is_not_an_empty_token() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("admin.token"), "\n").unwrap();
        assert!(matches!(AdminToken::obtain(Some(directory.path())), Err(TokenError::Empty(_))));
    }
}
