//! What the broker keeps of a password for SCRAM-SHA-256: keys that prove it, and that it cannot be found from (RFC 5802,
//! section 3; RFC 7677). Written as PostgreSQL writes it: `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const NAME: &str = "SCRAM-SHA-256";

/// The fewest iterations that are taken (RFC 7677, section 4), and the most: a client does them for every login.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// The keys of one password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub(crate) iterations: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

impl ScramKeys {
    /// The keys of a password, with a salt and a number of iterations of one's choosing. The password is taken as it is:
    /// text beyond ASCII must come in the form in which clients send it.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations);
        let client_key = hmac(&salted, b"Client Key");
        ScramKeys {
            iterations,
            salt: salt.into(),
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, b"Server Key"),
        }
    }
}

/// HMAC-SHA-256.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl FromStr for ScramKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (iterations, rest) = text.strip_prefix(NAME)?.strip_prefix('$')?.split_once(':')?;
            let (salt, keys) = rest.split_once('$')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            let key = |text: &str| <[u8; 32]>::try_from(BASE64.decode(text).ok()?).ok();
            Some(ScramKeys {
                iterations: iterations.parse().ok().filter(|i| ITERATIONS.contains(i))?,
                salt: BASE64.decode(salt).ok().filter(|salt| salt.len() >= 8)?.into(),
                stored_key: key(stored_key)?,
                server_key: key(server_key)?,
            })
        };
        parts().ok_or_else(|| {
            "the SCRAM keys of a password are expected, SCRAM-SHA-256$4096:…$…:… (weir token password)".to_owned()
        })
    }
}

impl fmt::Display for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] = [&*self.salt, &self.stored_key, &self.server_key].map(|b| BASE64.encode(b));
        write!(f, "{NAME}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// Without the keys, so that none gets into a log.
impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
