//! From credentials to a device and its profile. Called once a connection, with what CONNECT carries; it holds no password
//! and no token, only their hashes, and it must never log either.

mod access;
mod scram;

use std::sync::Arc;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

pub(crate) use access::{Access, Action, Names};
pub(crate) use scram::{METHOD as SCRAM_SHA_256, Scram};

use crate::config::{Config, Credential, ScramKeys, hmac};

/// Whom the credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) profile: Arc<str>,
    /// Nothing for an anonymous client.
    pub(crate) device: Option<Arc<str>>,
    /// A hook has vouched for it: its device need not be in the configuration.
    pub(crate) vouched: bool,
}

/// What the credentials of a CONNECT are found to be.
#[derive(Debug)]
pub(crate) enum Found {
    /// Good.
    Known(Identity),
    /// A password that must be checked against a slow hash, which is not done here: see [`verify`].
    /// Without an identity it is wrong whatever comes of the check, which is made all the same: how long the answer takes
    /// must not tell whether there is such a user.
    Password { hash: Arc<str>, identity: Option<Identity> },
    /// No such token, user name or password.
    Wrong,
    /// None were given, and clients without credentials are refused.
    Missing,
}

/// Someone with a password.
#[derive(Debug)]
struct User {
    hash: Option<Arc<str>>,
    scram: Option<ScramKeys>,
    identity: Identity,
}

/// Everyone who may connect, by what they show.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    tokens: HashMap<[u8; 32], Identity>,
    users: HashMap<Arc<str>, User>,
    /// Makes the salts of users that are not there, which must look like any other.
    secret: [u8; 32],
    anonymous: Option<Identity>,
    /// The profiles that are shown over HTTP to who has this token.
    readers: HashMap<[u8; 32], Arc<str>>,
}

impl Directory {
    pub(crate) fn new(config: &Config) -> Self {
        let mut directory = Directory {
            anonymous: config.anonymous.clone().map(|profile| Identity { profile, device: None, vouched: false }),
            ..Directory::default()
        };
        // Without random bytes the salts of unknown users can be told from others: no more than that.
        let _ = getrandom::fill(&mut directory.secret);
        for (profile, settings) in &config.profiles {
            directory.readers.extend(settings.read_token.as_ref().map(|token| (token.0, Arc::clone(profile))));
            for (device, settings) in &settings.devices {
                let identity =
                    Identity { profile: Arc::clone(profile), device: Some(Arc::clone(device)), vouched: false };
                match &settings.credential {
                    Credential::Token { sha256, .. } => {
                        directory.tokens.insert(*sha256, identity);
                    }
                    Credential::Password { username, hash, scram } => {
                        let user = User { hash: hash.as_deref().map(Arc::from), scram: scram.clone(), identity };
                        directory.users.insert(Arc::clone(username), user);
                    }
                }
            }
        }
        directory
    }

    /// The profile that a token with this SHA-256 shows, and nothing else.
    pub(crate) fn reader(&self, sha256: &[u8; 32]) -> Option<&Arc<str>> {
        self.readers.get(sha256)
    }

    /// The device of a token.
    pub(crate) fn device(&self, token: &str) -> Option<Identity> {
        match self.find(Some("Token"), Some(token.as_bytes())) {
            Found::Known(identity) => Some(identity),
            _ => None,
        }
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
                Some(User { hash: Some(hash), identity, .. }) => {
                    Found::Password { hash: Arc::clone(hash), identity: Some(identity.clone()) }
                }
                _ => match self.users.values().find_map(|user| user.hash.as_ref()) {
                    Some(decoy) => Found::Password { hash: Arc::clone(decoy), identity: None },
                    None => Found::Wrong,
                },
            },
        }
    }

    /// The SCRAM keys of a user; for one that is not there, keys that nobody can prove, the same each time.
    fn scram(&self, name: &str) -> (ScramKeys, Option<Identity>) {
        match self.users.get(name) {
            Some(User { scram: Some(keys), identity, .. }) => (keys.clone(), Some(identity.clone())),
            _ => {
                let salt = &hmac(&self.secret, name.as_bytes())[..16];
                (ScramKeys { iterations: 4096, salt: salt.into(), stored_key: [0; 32], server_key: [0; 32] }, None)
            }
        }
    }

    /// Whether an identity still holds: its profile and device are there.
    pub(crate) fn holds(&self, config: &Config, identity: &Identity) -> bool {
        match &identity.device {
            None => self.anonymous.as_ref() == Some(identity),
            Some(_) if identity.vouched => config.profiles.contains_key(&identity.profile),
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
