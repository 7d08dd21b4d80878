//! The `profiles` section: tenants, their plans, their devices and the credentials of those.
//!
//! Called by the reader of the whole file, after plans. A token or password never leaves here in plain text: what is
//! kept is a digest, and no message shows either.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use sha2::{Digest, Sha256};

use super::error::Report;
use super::fields::{Fields, entries, parsed, text};
use super::plans::read_limits;
use super::scalars::{self, boolean, listed, quoted};
use super::scram_keys::ScramKeys;
use super::tree::{At, Key, Node};
use crate::limits::{Limits, Plan};

/// A tenant: the account in which usage is added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its key in `broker.yaml`.
    pub name: Arc<str>,
    /// Its plan, with the limits of its own already laid over it.
    pub plan: Plan,
    /// Its holders of credentials, by name.
    pub devices: BTreeMap<Arc<str>, Device>,
    /// Whether its clients may subscribe to `$SYS`.
    pub sees_sys: bool,
    /// What shows this profile, and nothing else, over HTTP.
    pub read_token: Option<ReadToken>,
}

/// The SHA-256 of a token that shows one profile over HTTP and changes nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadToken(pub [u8; 32]);

/// Without the digest, so that it does not get into a log.
impl fmt::Debug for ReadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadToken").finish_non_exhaustive()
    }
}

/// A holder of credentials inside a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its key in `broker.yaml`.
    pub name: Arc<str>,
    /// What it shows when it connects.
    pub credential: Credential,
    /// The plan's `per_device` with the device's own limits over it.
    pub limits: Limits,
}

/// What a device shows when it connects.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token: the MQTT password with the user name `Token`, or the user name alone.
    Token {
        /// The SHA-256 of the token.
        sha256: [u8; 32],
        /// Whether it stands in the file in plain text and begins with `demo-`.
        demo: bool,
    },
    /// A user name and a password.
    Password {
        /// Unique among all profiles.
        username: Arc<str>,
        /// A PHC string of Argon2id that was found well-formed: for a password in CONNECT.
        hash: Option<String>,
        /// For the authentication method SCRAM-SHA-256.
        scram: Option<ScramKeys>,
    },
}

/// Without the digest or hash, so that none gets into a log.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { demo, .. } => f.debug_struct("Token").field("demo", demo).finish_non_exhaustive(),
            Self::Password { username, .. } => {
                f.debug_struct("Password").field("username", username).finish_non_exhaustive()
            }
        }
    }
}

pub(super) fn read_profiles(
    node: &Node,
    plans: &BTreeMap<Arc<str>, Plan>,
    report: &mut Report<'_>,
) -> BTreeMap<Arc<str>, Profile> {
    let mut reader = Reader { plans, tokens: HashMap::new(), usernames: HashMap::new() };
    let mut profiles = BTreeMap::new();
    for (key, node) in entries(node, "profiles", report) {
        let profile = reader.profile(key, node, report);
        profiles.insert(profile.name.clone(), profile);
    }
    profiles
}

/// Who shows a credential, and where in the file.
struct Holder {
    profile: Arc<str>,
    /// Nothing where the profile itself is shown by it.
    device: Option<Arc<str>>,
    at: At,
}

impl Holder {
    fn told(&self, report: &Report<'_>) -> String {
        let place = report.place(self.at);
        match &self.device {
            Some(device) => format!("device `{device}` of profile `{}` at {place}", self.profile),
            None => format!("the readers of profile `{}` at {place}", self.profile),
        }
    }
}

/// What is seen so far of credentials, which are unique in the whole file.
struct Reader<'p> {
    plans: &'p BTreeMap<Arc<str>, Plan>,
    tokens: HashMap<[u8; 32], Holder>,
    usernames: HashMap<Arc<str>, Holder>,
}

impl Reader<'_> {
    fn profile(&mut self, key: &Key, node: &Node, report: &mut Report<'_>) -> Profile {
        if let Err(message) = scalars::name(&key.text) {
            report.error(key.at, message);
        }
        let name: Arc<str> = key.text.as_str().into();
        let mut fields = Fields::of(node, "a profile", report);
        let mut plan = self.plan(key, fields.take("plan"), report);
        if let Some(node) = fields.take("limits") {
            plan.limits = read_limits(node, report).over(&plan.limits);
        }
        let mut sees_sys = false;
        fields.set("sys", &mut sees_sys, report, boolean);
        let read_token = self.read_token(&name, &mut fields, report);
        let mut devices = BTreeMap::new();
        if let Some(node) = fields.take("devices") {
            for (key, node) in entries(node, "devices", report) {
                let device = self.device(&name, &plan, key, node, report);
                devices.extend(device.map(|device| (device.name.clone(), device)));
            }
        }
        fields.finish(report);
        Profile { name, plan, devices, sees_sys, read_token }
    }

    /// What shows the profile over HTTP, if anything does.
    fn read_token(
        &mut self,
        profile: &Arc<str>,
        fields: &mut Fields<'_>,
        report: &mut Report<'_>,
    ) -> Option<ReadToken> {
        let plain = fields.take("read_token");
        let digest = fields.take("read_token_sha256");
        let sha256 = match (plain, digest) {
            (None, None) => return None,
            (Some(node), Some(_)) => {
                let name = quoted(profile);
                let message = format!("the profile {name} has a `read_token` and a `read_token_sha256`: keep one");
                report.error(node.at, message);
                return None;
            }
            (Some(node), None) => {
                let sha256 = plain_token(node, report)?;
                report.warn(
                    node.at,
                    "a token in plain text: anyone who can read this file can see what the profile uses; \
                     write its read_token_sha256 instead (weir token new)",
                );
                sha256
            }
            (None, Some(node)) => parsed(node, report, sha256_of_hex)?,
        };
        let at = plain.or(digest)?.at;
        let holder = Holder { profile: Arc::clone(profile), device: None, at };
        self.unique(sha256, holder, report).then_some(ReadToken(sha256))
    }

    /// The plan that a profile names, or one without limits where that is reported.
    fn plan(&self, profile: &Key, node: Option<&Node>, report: &mut Report<'_>) -> Plan {
        let names: Vec<_> = self.plans.keys().collect();
        let there_are = match names.as_slice() {
            [] => "there are no plans yet; write one under `plans`".into(),
            [only] => format!("the only plan is {only}"),
            all => format!("the plans are {}", listed(all, "and")),
        };
        let Some(node) = node else {
            let name = quoted(&profile.text);
            report.error(profile.at, format!("the profile {name} needs a `plan`: {there_are}"));
            return Plan::default();
        };
        let find = |text: &str| {
            let plan = self.plans.get(text).cloned();
            plan.ok_or_else(|| format!("there is no plan {}: {there_are}", quoted(text)))
        };
        parsed(node, report, find).unwrap_or_default()
    }

    /// A device, or nothing where its credential is reported.
    fn device(
        &mut self,
        profile: &Arc<str>,
        plan: &Plan,
        key: &Key,
        node: &Node,
        report: &mut Report<'_>,
    ) -> Option<Device> {
        if let Err(message) = scalars::name(&key.text) {
            report.error(key.at, message);
        }
        let name: Arc<str> = key.text.as_str().into();
        let mut fields = Fields::of(node, "a device", report);
        let holder = Holder { profile: profile.clone(), device: Some(name.clone()), at: key.at };
        let credential = self.credential(&mut fields, holder, report);
        let mut limits = plan.per_device.clone();
        if let Some(node) = fields.take("limits") {
            limits = read_limits(node, report).over(&limits);
        }
        fields.finish(report);
        Some(Device { name, credential: credential?, limits })
    }

    fn credential(&mut self, fields: &mut Fields<'_>, holder: Holder, report: &mut Report<'_>) -> Option<Credential> {
        const ONE: &str = "`token`, `token_sha256`, or `username` with `password_hash` or `scram`";

        let token = fields.take("token");
        let digest = fields.take("token_sha256");
        let username = fields.take("username");
        let hash = fields.take("password_hash");
        let scram = fields.take("scram");
        let shown = [token, digest, username.or(hash).or(scram)];
        let name = quoted(holder.device.as_deref().unwrap_or_default());
        let message = match shown.iter().flatten().count() {
            0 => format!("the device {name} has no credential: give it one of {ONE}"),
            1 => match (username, hash.or(scram)) {
                (Some(username), Some(_)) => {
                    return self.password(username, hash, scram, holder, report);
                }
                (Some(_), None) => format!(
                    "the device {name} has a `username` and needs a `password_hash` or `scram` as well (weir token password)"
                ),
                (None, Some(_)) => {
                    let what = if hash.is_some() { "a `password_hash`" } else { "`scram` keys" };
                    format!("the device {name} has {what} and needs a `username` as well")
                }
                (None, None) => {
                    return match token {
                        Some(node) => self.plain_token(node, holder, report),
                        None => self.hashed_token(digest?, holder, report),
                    };
                }
            },
            _ => format!("the device {name} has more than one credential: keep one of {ONE}"),
        };
        report.error(holder.at, message);
        None
    }

    fn plain_token(&mut self, node: &Node, holder: Holder, report: &mut Report<'_>) -> Option<Credential> {
        let sha256 = plain_token(node, report)?;
        let demo = text(node, report)?.starts_with("demo-");
        report.warn(
            node.at,
            if demo {
                "a demo token: anyone who read the README can connect; replace it (weir token new)"
            } else {
                "a token in plain text: anyone who can read this file can connect; \
                 write its token_sha256 instead (weir token new)"
            },
        );
        self.token(sha256, demo, Holder { at: node.at, ..holder }, report)
    }

    fn hashed_token(&mut self, node: &Node, holder: Holder, report: &mut Report<'_>) -> Option<Credential> {
        let sha256 = parsed(node, report, sha256_of_hex)?;
        self.token(sha256, false, Holder { at: node.at, ..holder }, report)
    }

    fn token(&mut self, sha256: [u8; 32], demo: bool, holder: Holder, report: &mut Report<'_>) -> Option<Credential> {
        self.unique(sha256, holder, report).then_some(Credential::Token { sha256, demo })
    }

    /// Notes who shows a token; false where someone else does already, which is reported.
    fn unique(&mut self, sha256: [u8; 32], holder: Holder, report: &mut Report<'_>) -> bool {
        if let Some(other) = self.tokens.get(&sha256) {
            let other = other.told(report);
            let own =
                if holder.device.is_some() { "each device needs its own" } else { "readers need one of their own" };
            report.error(holder.at, format!("this token is already that of {other}; {own}"));
            return false;
        }
        self.tokens.insert(sha256, holder);
        true
    }

    fn password(
        &mut self,
        username: &Node,
        hash: Option<&Node>,
        scram: Option<&Node>,
        holder: Holder,
        report: &mut Report<'_>,
    ) -> Option<Credential> {
        let hash = hash.map(|hash| parsed(hash, report, argon2id_hash));
        let scram = scram.map(|scram| parsed(scram, report, |text| text.parse::<ScramKeys>()));
        let at = username.at;
        let username = parsed(username, report, login_name)?;
        if let Some(other) = self.usernames.get(&username) {
            let other = other.told(report);
            let message = format!("this user name is already that of {other}; each device needs its own");
            report.error(at, message);
            return None;
        }
        self.usernames.insert(username.clone(), Holder { at, ..holder });
        // What is there and was found wrong is reported: then the device has no credential.
        let hash = hash.map_or(Some(None), |hash| hash.map(Some))?;
        let scram = scram.map_or(Some(None), |scram| scram.map(Some))?;
        Some(Credential::Password { username, hash, scram })
    }
}

/// The SHA-256 of a token that stands in plain text.
fn plain_token(node: &Node, report: &mut Report<'_>) -> Option<[u8; 32]> {
    let token = text(node, report)?;
    // It is sent as an MQTT password or user name, which announce their length in two bytes; and a user name is
    // a UTF-8 string [MQTT-3.1.3-12] without U+0000 [MQTT-1.5.4-2].
    if token.is_empty() || token.len() > usize::from(u16::MAX) || token.contains('\0') {
        report.error(node.at, "a token of 1 to 65535 bytes and no U+0000 is expected");
        return None;
    }
    Some(Sha256::digest(token).into())
}

fn sha256_of_hex(text: &str) -> Result<[u8; 32], String> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let digits: Option<Vec<u32>> = text.bytes().map(digit).collect();
    let bytes: Option<Vec<u8>> = digits.map(|digits| {
        let pairs = digits.chunks(2);
        pairs.map(|pair| pair.iter().fold(0, |byte, &digit| byte << 4 | digit as u8)).collect()
    });
    bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        let count = text.chars().count();
        format!("the SHA-256 of a token is expected, 64 hexadecimal digits, not {count} characters")
    })
}

fn login_name(text: &str) -> Result<Arc<str>, String> {
    if text.eq_ignore_ascii_case("token") {
        return Err("the user name `Token` says that the password is a token; choose another".into());
    }
    if text.is_empty() || text.len() > usize::from(u16::MAX) || text.contains('\0') {
        return Err("a user name of 1 to 65535 bytes and no U+0000 is expected".into());
    }
    Ok(text.into())
}

fn argon2id_hash(text: &str) -> Result<String, String> {
    let usable = PasswordHash::new(text).ok().filter(|hash| {
        hash.algorithm.as_str() == argon2::ARGON2ID_IDENT.as_str()
            && hash.salt.is_some()
            && hash.hash.is_some()
            && argon2::Params::try_from(hash).is_ok()
    });
    match usable {
        Some(_) => Ok(text.to_owned()),
        None => Err("the Argon2id hash of a password is expected, such as $argon2id$v=19$m=19456,t=2,p=1$…$…".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_hexadecimal_digits_are_a_digest_in_either_case() {
        let expected: [u8; 32] = Sha256::digest("demo-pump-2").into();
        let lower: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256_of_hex(&lower), Ok(expected));
        assert_eq!(sha256_of_hex(&lower.to_uppercase()), Ok(expected));
        for text in ["", &lower[..63], &(lower.clone() + "0"), &lower.replace(&lower[..1], "g"), &"é".repeat(32)] {
            assert!(sha256_of_hex(text).is_err(), "{text:?} was taken for a digest");
        }
    }

    #[test]
    fn a_credential_is_shown_without_what_proves_it() {
        let token = Credential::Token { sha256: [7; 32], demo: true };
        assert_eq!(format!("{token:?}"), "Token { demo: true, .. }");
        let password = Credential::Password { username: "panel".into(), hash: Some("$argon2id$".into()), scram: None };
        assert_eq!(format!("{password:?}"), "Password { username: \"panel\", .. }");
    }
}
