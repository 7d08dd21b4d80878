//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as an MQTT 5 authentication method: the client proves that it knows a password without
//! sending it, and the broker proves that it knows the keys. One exchange is one [`Scram`]; the edge carries its messages.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::{Directory, Identity};
use crate::config::{ScramKeys, hmac};
use crate::hooks::{AuthStep, Authenticator};

/// The name of the method in CONNECT.
pub(crate) const METHOD: &str = "SCRAM-SHA-256";

/// One exchange.
pub(crate) struct Scram {
    directory: Arc<Directory>,
    state: State,
}

enum State {
    /// The client's first message is awaited.
    Begun,
    /// Ours was sent; the client's proof is awaited.
    Challenged {
        /// All of the exchange that the proof is over, up to the client's last message.
        transcript: String,
        /// What the client's last message must begin with.
        expected: String,
        keys: ScramKeys,
        /// Nothing for a user that is not there: it is led through the same steps, and fails at the end.
        identity: Option<Identity>,
    },
    Over,
}

impl Scram {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Scram { directory, state: State::Begun }
    }

    /// `client-first-message`: an optional header about channel binding, which is not offered, the user name, a nonce.
    fn challenge(&mut self, message: &str) -> Option<String> {
        let (binding, rest) = message.split_once(',')?;
        let (authorization, bare) = rest.split_once(',')?;
        // "y": the client could bind to the channel and sees that we do not offer it. Acting for another is not offered.
        if !matches!(binding, "n" | "y") || !authorization.is_empty() {
            return None;
        }
        let mut fields = bare.split(',');
        let name = unescape(fields.next()?.strip_prefix("n=")?)?;
        let nonce = fields.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
        let mut random = [0; 18];
        getrandom::fill(&mut random).ok()?;
        let nonce = format!("{nonce}{}", BASE64.encode(random));
        let (keys, identity) = self.directory.scram(&name);
        let answer = format!("r={nonce},s={},i={}", BASE64.encode(&keys.salt), keys.iterations);
        self.state = State::Challenged {
            transcript: format!("{bare},{answer}"),
            expected: format!("c={},r={nonce}", BASE64.encode(format!("{binding},,"))),
            keys,
            identity,
        };
        Some(answer)
    }
}

impl Authenticator for Scram {
    fn step(&mut self, data: &[u8]) -> AuthStep {
        let Ok(message) = std::str::from_utf8(data) else { return AuthStep::Fail };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begun => match self.challenge(message) {
                Some(answer) => AuthStep::Continue(answer.into_bytes()),
                None => AuthStep::Fail,
            },
            State::Challenged { transcript, expected, keys, identity } => {
                let proof = message.rsplit_once(",p=").filter(|(said, _)| *said == expected);
                let Some((said, proof)) = proof else { return AuthStep::Fail };
                let signed = format!("{transcript},{said}");
                match identity.filter(|_| proves(&keys, proof, signed.as_bytes())) {
                    Some(Identity { profile, device: Some(device), .. }) => {
                        let signature = BASE64.encode(hmac(&keys.server_key, signed.as_bytes()));
                        AuthStep::Succeed { profile, device, data: format!("v={signature}").into_bytes() }
                    }
                    _ => AuthStep::Fail,
                }
            }
            State::Over => AuthStep::Fail,
        }
    }
}

/// Whether the proof shows that its maker knows the client's key.
fn proves(keys: &ScramKeys, proof: &str, signed: &[u8]) -> bool {
    let Some(proof) = BASE64.decode(proof).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
        return false;
    };
    let mut client_key = hmac(&keys.stored_key, signed);
    client_key.iter_mut().zip(proof).for_each(|(key, proof)| *key ^= proof);
    let stored: [u8; 32] = Sha256::digest(client_key).into();
    // All bytes are compared, wherever the first difference is.
    stored.iter().zip(keys.stored_key).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// A name in which `,` and `=` are written `=2C` and `=3D`.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        match part.split_at_checked(2)? {
            ("2C", rest) => plain.extend([",", rest]),
            ("3D", rest) => plain.extend(["=", rest]),
            _ => return None,
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// A client's side of the exchange, from RFC 5802 section 3.
    fn prove(first_bare: &str, challenge: &str, password: &str) -> (String, String) {
        let field = |name: &str| challenge.split(',').find_map(|f| f.strip_prefix(name)).expect("a field").to_owned();
        let (nonce, salt, iterations) = (field("r="), field("s="), field("i="));
        let salt = BASE64.decode(salt).expect("base64");
        let salted: [u8; 32] =
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, iterations.parse().expect("a number"));
        let client_key = hmac(&salted, b"Client Key");
        let stored: [u8; 32] = Sha256::digest(client_key).into();
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{first_bare},{challenge},{without_proof}");
        let mut proof = hmac(&stored, signed.as_bytes());
        proof.iter_mut().zip(client_key).for_each(|(p, k)| *p ^= k);
        let server = BASE64.encode(hmac(&hmac(&salted, b"Server Key"), signed.as_bytes()));
        (format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={server}"))
    }

    fn directory() -> Arc<Directory> {
        let keys = ScramKeys::derive(b"pencil", b"some salt", 4096);
        let yaml = format!(
            "plans: {{ p: {{}} }}\nprofiles: {{ a: {{ plan: p, devices: {{ d: {{ username: \"us,er\", scram: \"{keys}\" }} }} }} }}"
        );
        Arc::new(Directory::new(&Config::parse(&yaml, "test.yaml").expect("a configuration")))
    }

    fn exchange(first: &str, bare: &str, password: &str) -> Result<AuthStep, AuthStep> {
        let mut scram = Scram::new(directory());
        let AuthStep::Continue(challenge) = scram.step(first.as_bytes()) else { return Err(AuthStep::Fail) };
        let challenge = String::from_utf8(challenge).expect("text");
        let (last, _) = prove(bare, &challenge, password);
        Ok(scram.step(last.as_bytes()))
    }

    #[test]
    fn the_right_password_is_proved_and_the_broker_proves_itself() {
        let mut scram = Scram::new(directory());
        let AuthStep::Continue(challenge) = scram.step(b"n,,n=us=2Cer,r=abc") else { panic!("a challenge") };
        let challenge = String::from_utf8(challenge).expect("text");
        assert!(challenge.starts_with("r=abc") && challenge.len() > "r=abc".len() + 20);
        let (last, server) = prove("n=us=2Cer,r=abc", &challenge, "pencil");
        match scram.step(last.as_bytes()) {
            AuthStep::Succeed { profile, device, data } => {
                assert_eq!((&*profile, &*device, data), ("a", "d", server.into_bytes()));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(scram.step(last.as_bytes()), AuthStep::Fail), "an exchange is good once");
    }

    #[test]
    fn a_wrong_password_and_an_unknown_user_are_told_apart_by_nothing() {
        assert!(matches!(exchange("n,,n=us=2Cer,r=abc", "n=us=2Cer,r=abc", "pen"), Ok(AuthStep::Fail)));
        assert!(matches!(exchange("n,,n=nobody,r=abc", "n=nobody,r=abc", "pencil"), Ok(AuthStep::Fail)));
        let directory = directory();
        let salts: Vec<_> = (0..2).map(|_| directory.scram("nobody").0.salt).collect();
        assert_eq!(salts[0], salts[1], "an unknown user has the same salt each time");
    }

    #[test]
    fn messages_that_are_no_scram_fail() {
        for first in
            ["", "n,,", "p=tls-unique,,n=us=2Cer,r=abc", "n,a=other,n=us=2Cer,r=abc", "n,,n=us=2Xer,r=a", "n,,n=x,r="]
        {
            assert!(exchange(first, "", "pencil").is_err(), "{first:?}");
        }
        let mut scram = Scram::new(directory());
        assert!(matches!(scram.step(&[0xff]), AuthStep::Fail));
    }

    #[test]
    fn keys_are_written_and_read_back() {
        let keys = ScramKeys::derive(b"pencil", b"some salt", 4096);
        assert_eq!(keys.to_string().parse(), Ok(keys));
        for bad in ["", "SCRAM-SHA-256$1:c29tZSBzYWx0$a:b", "SCRAM-SHA-1$4096:c29tZSBzYWx0$a:b"] {
            assert!(bad.parse::<ScramKeys>().is_err(), "{bad}");
        }
    }
}
