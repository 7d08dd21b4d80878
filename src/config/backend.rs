//! The `backend` key: who routes messages. A word, a URL, or a mapping with what a URL has no place for.
//!
//! Called by the reader of the whole file. A password may also come from a file or from the environment, and is read here;
//! the files of TLS are read when the broker starts. No message and no debugging output shows a password.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::Report;
use super::fields::{Fields, parsed};
use super::scalars::{choice, quoted, whole};
use super::secrets;
use super::tree::{At, Node};
use super::url::{Url, is_host_name, url};

/// Who routes messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Weir's own session and router.
    #[default]
    Native,
    /// An embedded rumqttd.
    Rumqttd(Embedded),
    /// Another broker.
    Mqtt(Box<Upstream>),
}

/// Bounds of the embedded rumqttd, which keeps what it has once seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Topics that messages may be published to.
    pub max_topics: usize,
    /// Topic filters that may be subscribed to.
    pub max_filters: usize,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { max_topics: 100_000, max_filters: 30_000 }
    }
}

/// Another broker: where it is, and as whom Weir connects to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// 1883 and, with TLS, 8883 where the URL has none.
    pub port: u16,
    /// `None`: plain TCP.
    pub tls: Option<UpstreamTls>,
    /// `None`: Weir connects without credentials.
    pub username: Option<Arc<str>>,
    /// Only beside a user name.
    pub password: Option<Arc<[u8]>>,
}

/// How Weir and the other broker prove to each other who they are. The files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The authorities that the broker's certificate may come from; `None`: those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Weir's own certificate and what leads from it to its authority; only beside its key.
    pub cert_file: Option<PathBuf>,
    /// The private key of Weir's certificate.
    pub key_file: Option<PathBuf>,
    /// The name that the broker's certificate is for; `None`: the host.
    pub server_name: Option<String>,
}

/// Without the credentials: some brokers take a secret for a user name.
impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// As a URL, without the credentials.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Native => f.write_str("native"),
            Backend::Rumqttd(_) => f.write_str("rumqttd"),
            Backend::Mqtt(upstream) => upstream.fmt(f),
        }
    }
}

/// The environment variable that a password is taken from where none is written.
const PASSWORD_VARIABLE: &str = "WEIR_BACKEND_PASSWORD";

#[derive(Clone, Copy)]
enum Kind {
    Native,
    Rumqttd,
    Mqtt,
}

const KINDS: [(&str, Kind); 3] = [("native", Kind::Native), ("rumqttd", Kind::Rumqttd), ("mqtt", Kind::Mqtt)];
const EMBEDDED_KEYS: [&str; 2] = ["max_topics", "max_filters"];
const TLS_KEYS: [&str; 4] = ["ca_file", "cert_file", "key_file", "server_name"];
const UPSTREAM_KEYS: [&str; 8] =
    ["url", "username", "password", "password_file", TLS_KEYS[0], TLS_KEYS[1], TLS_KEYS[2], TLS_KEYS[3]];

pub(super) fn read_backend(node: &Node, report: &mut Report<'_>) -> Backend {
    let from_environment = || {
        std::env::var_os(PASSWORD_VARIABLE).map(|value| value.into_encoded_bytes()).filter(|value| !value.is_empty())
    };
    read_with(node, from_environment, report).unwrap_or_default()
}

fn read_with(
    node: &Node,
    from_environment: impl FnOnce() -> Option<Vec<u8>>,
    report: &mut Report<'_>,
) -> Option<Backend> {
    if node.is_mapping() {
        return read_mapping(node, from_environment, report);
    }
    match parsed(node, report, word_or_url)? {
        Short::Word(backend) => Some(backend),
        Short::Url(url) => {
            let no_keys = Keys(Vec::new());
            Some(Backend::Mqtt(Box::new(read_upstream(url, node.at, &no_keys, from_environment, report))))
        }
    }
}

/// A backend that is no mapping.
enum Short {
    Word(Backend),
    Url(Url),
}

fn word_or_url(text: &str) -> Result<Short, String> {
    match text {
        "native" => Ok(Short::Word(Backend::Native)),
        "rumqttd" => Ok(Short::Word(Backend::Rumqttd(Embedded::default()))),
        text if text.contains("://") => url(text).map(Short::Url),
        // It may be a URL without its scheme, password and all.
        text if text.contains('@') => Err("native, rumqttd, mqtt://host:port or mqtts://host:port is expected".into()),
        other => {
            Err(format!("native, rumqttd, mqtt://host:port or mqtts://host:port is expected, not {}", quoted(other)))
        }
    }
}

fn read_mapping(
    node: &Node,
    from_environment: impl FnOnce() -> Option<Vec<u8>>,
    report: &mut Report<'_>,
) -> Option<Backend> {
    let mut fields = Fields::of(node, "backend", report);
    let kind = fields.take("kind");
    let mut take = |key| fields.take(key).map(|node| (key, node));
    let keys = Keys(UPSTREAM_KEYS.into_iter().chain(EMBEDDED_KEYS).filter_map(&mut take).collect());
    fields.finish(report);
    let kind = match kind {
        Some(kind) => Some(parsed(kind, report, choice(&KINDS))?),
        None => None,
    };
    match (kind, keys.get("url")) {
        (Some(Kind::Native), _) => {
            keys.refuse(&UPSTREAM_KEYS, report, |key| format!("{key} has no meaning with kind: native"));
            keys.refuse(&EMBEDDED_KEYS, report, |key| format!("{key} has no meaning with kind: native"));
            Some(Backend::Native)
        }
        (Some(Kind::Rumqttd), _) => {
            let not_here = |key: &str| format!("{key} is for another broker, and has no meaning with kind: rumqttd");
            keys.refuse(&UPSTREAM_KEYS, report, not_here);
            Some(Backend::Rumqttd(read_embedded(&keys, report)))
        }
        (Some(Kind::Mqtt) | None, Some(node)) => {
            let not_here = |key: &str| format!("{key} is for the embedded router, and has no meaning with a url");
            keys.refuse(&EMBEDDED_KEYS, report, not_here);
            let url = parsed(node, report, url)?;
            Some(Backend::Mqtt(Box::new(read_upstream(url, node.at, &keys, from_environment, report))))
        }
        (Some(Kind::Mqtt) | None, None) => {
            let message = "backend needs a url, such as `url: mqtt://broker.example:1883`, or `kind: rumqttd`";
            report.error(node.at, message);
            None
        }
    }
}

/// The keys that were given, with their values.
struct Keys<'n>(Vec<(&'static str, &'n Node)>);

impl<'n> Keys<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.0.iter().find(|(given, _)| *given == key).map(|(_, node)| *node)
    }

    fn read<T>(&self, key: &str, report: &mut Report<'_>, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parsed(self.get(key)?, report, parse)
    }

    /// Reports those of `keys` that were given.
    fn refuse(&self, keys: &[&str], report: &mut Report<'_>, message: impl Fn(&str) -> String) {
        for (key, node) in self.0.iter().filter(|(key, _)| keys.contains(key)) {
            report.error(node.at, message(key));
        }
    }
}

fn read_embedded(keys: &Keys<'_>, report: &mut Report<'_>) -> Embedded {
    let default = Embedded::default();
    let mut bound = |key, default| keys.read(key, report, whole(1..=100_000_000)).unwrap_or(default);
    Embedded {
        max_topics: bound("max_topics", default.max_topics),
        max_filters: bound("max_filters", default.max_filters),
    }
}

fn read_upstream(
    url: Url,
    at: At,
    keys: &Keys<'_>,
    from_environment: impl FnOnce() -> Option<Vec<u8>>,
    report: &mut Report<'_>,
) -> Upstream {
    let tls = if url.tls {
        Some(read_tls(keys, report))
    } else {
        let needs_tls = |key: &str| format!("{key} is for TLS: the url must begin with mqtts://");
        keys.refuse(&TLS_KEYS, report, needs_tls);
        None
    };
    let named = url.username.is_some() || keys.get("username").is_some();
    let username = read_username(url.username, at, keys, report);
    let password = read_password(url.password, at, named, keys, from_environment, report);
    Upstream { host: url.host, port: url.port, tls, username, password }
}

fn read_tls(keys: &Keys<'_>, report: &mut Report<'_>) -> UpstreamTls {
    match (keys.get("cert_file"), keys.get("key_file")) {
        (Some(cert), None) => {
            report.error(cert.at, "cert_file needs a key_file beside it, with the private key of the certificate");
        }
        (None, Some(key)) => report.error(key.at, "key_file needs a cert_file beside it, with the certificate"),
        (None, None) | (Some(_), Some(_)) => {}
    }
    let mut file = |key| keys.read(key, report, file_path);
    let [ca_file, cert_file, key_file] = [file("ca_file"), file("cert_file"), file("key_file")];
    let server_name = keys.read("server_name", report, |text| match is_host_name(text) || text.contains(':') {
        true => Ok(text.to_owned()),
        false => Err(format!("the name in the broker's certificate is expected, not {}", quoted(text))),
    });
    UpstreamTls { ca_file, cert_file, key_file, server_name }
}

/// The user name, from the url or its key.
fn read_username(of_url: Option<String>, at: At, keys: &Keys<'_>, report: &mut Report<'_>) -> Option<Arc<str>> {
    let Some(of_url) = of_url else { return keys.read("username", report, username) };
    if let Some(node) = keys.get("username") {
        report.error(node.at, "the url has a user name already; give it there or here");
    }
    username(&of_url).map_err(|message| report.error(at, message)).ok()
}

/// The password, from the one place where it is written, or else from the environment. `named`: there is a user name.
fn read_password(
    of_url: Option<Vec<u8>>,
    at: At,
    named: bool,
    keys: &Keys<'_>,
    from_environment: impl FnOnce() -> Option<Vec<u8>>,
    report: &mut Report<'_>,
) -> Option<Arc<[u8]>> {
    let mut written = of_url.map(|password| (password, at));
    let mut is_written = written.is_some();
    for (key, parse) in [("password", password_itself as fn(&str) -> _), ("password_file", password_in_file)] {
        let Some(node) = keys.get(key) else { continue };
        if is_written {
            report
                .error(node.at, "there is a password already; give one of password, password_file and that in the url");
            continue;
        }
        is_written = true;
        if !named {
            report.error(node.at, format!("{key} needs a username beside it"));
        }
        written = parsed(node, report, parse).map(|password| (password, node.at));
    }
    if !is_written && let Some(password) = from_environment() {
        if named {
            written = Some((password, at));
        } else {
            report.warn(at, format!("{PASSWORD_VARIABLE} is set, and does nothing without a username here"));
        }
    }
    let (password, at) = written?;
    if password.len() > usize::from(u16::MAX) {
        report.error(at, "a password of up to 65535 bytes is expected, the most that MQTT carries");
    }
    Some(password.into())
}

/// A user name as MQTT carries it.
fn username(text: &str) -> Result<Arc<str>, String> {
    if (1..=usize::from(u16::MAX)).contains(&text.len()) && !text.contains('\0') {
        return Ok(text.into());
    }
    Err("a user name of 1 to 65535 bytes without U+0000 is expected".into())
}

fn file_path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("the path of a file is expected".into()),
        path => Ok(path.into()),
    }
}

fn password_itself(text: &str) -> Result<Vec<u8>, String> {
    Ok(text.as_bytes().to_vec())
}

/// What a file holds, without the end of its last line.
fn password_in_file(text: &str) -> Result<Vec<u8>, String> {
    file_path(text)?;
    secrets::in_file(text, "password")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;

    /// The backend and the warnings where the environment has this password.
    fn read(text: &str, in_environment: Option<&str>) -> (Upstream, Vec<String>) {
        let mut report = Report::new("b.yaml", text);
        let node = tree::read(text, &mut report).unwrap();
        let backend = read_with(&node, || in_environment.map(|value| value.as_bytes().to_vec()), &mut report);
        let warnings = report.finish().unwrap_or_else(|error| panic!("{error}"));
        let Some(Backend::Mqtt(upstream)) = backend else { panic!("{backend:?}") };
        (*upstream, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_password_of_the_environment_is_taken_where_none_is_written() {
        let rows = [
            ("mqtt://weir@h", "from outside"),
            ("{ url: mqtt://h, username: weir }", "from outside"),
            ("mqtt://weir:written@h", "written"),
            ("{ url: mqtt://weir@h, password: written }", "written"),
        ];
        for (text, expected) in rows {
            let (upstream, warnings) = read(text, Some("from outside"));
            assert_eq!(upstream.password.as_deref(), Some(expected.as_bytes()), "{text}");
            assert!(warnings.is_empty(), "{warnings:?}");
        }
        assert_eq!(read("mqtt://weir@h", None).0.password, None);
    }

    #[test]
    fn a_password_of_the_environment_without_a_username_is_warned_of_and_not_used() {
        let (upstream, warnings) = read("mqtt://h", Some("from outside"));
        assert_eq!(upstream.password, None);
        let expected = "b.yaml:1:1: warning: WEIR_BACKEND_PASSWORD is set, and does nothing without a username here";
        assert_eq!(warnings, [expected]);
    }
}
