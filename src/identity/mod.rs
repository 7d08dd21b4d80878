//! From credentials to a device and its profile. Called once a connection, with what CONNECT carries; it holds no password
//! and no token, only their hashes, and it must never log either.

mod access;

use std::sync::Arc;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

pub(crate) use access::{Access, Action, Names};

use crate::config::{Config, Credential};

/// Whom the credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) profile: Arc<str>,
    /// Nothing for an anonymous client.
    pub(crate) device: Option<Arc<str>>,
}

/// What the credentials of a CONNECT are found to be.
#[derive(Debug)]
pub(crate) enum Found {
    /// Good.
    Known(Identity),
    /// A password that must be checked against a slow hash, which is not done here: see [`verify`].
    Password { hash: Arc<str>, identity: Identity },
    /// No such token, user name or password.
    Wrong,
    /// None were given, and clients without credentials are refused.
    Missing,
}

/// Everyone who may connect, by what they show.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    tokens: HashMap<[u8; 32], Identity>,
    users: HashMap<Arc<str>, (Arc<str>, Identity)>,
    anonymous: Option<Identity>,
}

impl Directory {
    pub(crate) fn new(config: &Config) -> Self {
        let mut directory = Directory {
            anonymous: config.anonymous.clone().map(|profile| Identity { profile, device: None }),
            ..Directory::default()
        };
        for (profile, settings) in &config.profiles {
            for (device, settings) in &settings.devices {
                let identity = Identity { profile: Arc::clone(profile), device: Some(Arc::clone(device)) };
                match &settings.credential {
                    Credential::Token { sha256, .. } => {
                        directory.tokens.insert(*sha256, identity);
                    }
                    Credential::Password { username, hash } => {
                        directory.users.insert(Arc::clone(username), (hash.as_str().into(), identity));
                    }
                }
            }
        }
        directory
    }

    /// Finds whom the credentials belong to. A token is the password of the user name `Token` (any case), or stands alone,
    /// as user name or as password.
    pub(crate) fn find(&self, user_name: Option<&str>, password: Option<&[u8]>) -> Found {
        let token = |bytes: &[u8]| {
            // By its hash: the time this takes tells nothing of the tokens that exist.
            let hash: [u8; 32] = Sha256::digest(bytes).into();
            self.tokens.get(&hash).cloned().map_or(Found::Wrong, Found::Known)
        };
        match (user_name, password) {
            (None | Some(""), None) => self.anonymous.clone().map_or(Found::Missing, Found::Known),
            (Some(name), Some(password)) if name.eq_ignore_ascii_case("token") => token(password),
            (Some(name), None) => token(name.as_bytes()),
            (None | Some(""), Some(password)) => token(password),
            (Some(name), Some(_)) => match self.users.get(name) {
                Some((hash, identity)) => Found::Password { hash: Arc::clone(hash), identity: identity.clone() },
                None => Found::Wrong,
            },
        }
    }

    /// Whether an identity still holds: its profile and device are there.
    pub(crate) fn holds(&self, config: &Config, identity: &Identity) -> bool {
        match &identity.device {
            None => self.anonymous.as_ref() == Some(identity),
            Some(device) => {
                config.profiles.get(&identity.profile).is_some_and(|profile| profile.devices.contains_key(device))
            }
        }
    }
}

/// Checks a password against an argon2id hash. Slow on purpose (tens of milliseconds and megabytes): never on the event
/// loop.
pub(crate) fn verify(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}
