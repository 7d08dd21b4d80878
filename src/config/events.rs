//! The `events` and `metrics` sections: who is told when a limit is nearly full, and what is said to Prometheus.
//!
//! Called by the reader of the whole file. The webhook's secret may also come from a file or from the environment, and is read
//! here. No message and no debugging output shows it, or the path of the webhook's URL, which may be as good as a secret.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::Report;
use super::fields::{Fields, parsed};
use super::scalars::{boolean, duration, quoted};
use super::secrets;
use super::tree::Node;

/// Who is told when 80 % and 100 % of a rate are used. Clients that subscribe `$limits/#` always are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// Whether the log is.
    pub log: bool,
    /// Where it is posted; `None` is nowhere.
    pub webhook: Option<Webhook>,
}

impl Default for Events {
    fn default() -> Self {
        Self { log: true, webhook: None }
    }
}

/// Where events are posted.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Begins with `http://` or `https://`.
    pub url: String,
    /// What the requests are signed with.
    pub secret: Arc<[u8]>,
    /// The longest that one request may take.
    pub timeout: Duration,
}

impl Webhook {
    /// The URL without its path and query: for the log.
    pub(crate) fn origin(&self) -> &str {
        let host = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url[host..].find(['/', '?']).map_or(self.url.len(), |at| host + at);
        &self.url[..end]
    }
}

/// Without the secret and the path.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("to", &self.origin()).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What is said to Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Whether each profile has series of its own.
    pub per_profile: bool,
}

/// The environment variable that the secret is taken from where none is written.
const SECRET_VARIABLE: &str = "WEIR_WEBHOOK_SECRET";
/// A secret of fewer bytes can be guessed.
const GUESSED: usize = 16;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(60);

pub(super) fn read_metrics(node: &Node, report: &mut Report<'_>) -> Metrics {
    let mut metrics = Metrics::default();
    let mut fields = Fields::of(node, "metrics", report);
    fields.set("per_profile", &mut metrics.per_profile, report, boolean);
    fields.finish(report);
    metrics
}

pub(super) fn read_events(node: &Node, report: &mut Report<'_>) -> Events {
    let from_environment =
        || std::env::var_os(SECRET_VARIABLE).map(|value| value.into_encoded_bytes()).filter(|value| !value.is_empty());
    read_with(node, from_environment, report)
}

fn read_with(node: &Node, from_environment: impl FnOnce() -> Option<Vec<u8>>, report: &mut Report<'_>) -> Events {
    let mut events = Events::default();
    let mut fields = Fields::of(node, "events", report);
    fields.set("log", &mut events.log, report, boolean);
    events.webhook = fields.take("webhook").and_then(|node| read_webhook(node, from_environment, report));
    fields.finish(report);
    events
}

fn read_webhook(
    node: &Node,
    from_environment: impl FnOnce() -> Option<Vec<u8>>,
    report: &mut Report<'_>,
) -> Option<Webhook> {
    let mut fields = Fields::of(node, "webhook", report);
    let url = fields.take("url");
    let (itself, in_file) = (fields.take("secret"), fields.take("secret_file"));
    let timeout = fields.read("timeout", report, timeout).unwrap_or(TIMEOUT);
    fields.finish(report);
    if !node.is_mapping() {
        return None;
    }
    if url.is_none() {
        report.error(node.at, "webhook needs a url, such as `url: \"https://ops.example/weir\"`");
    }
    let secret = match (itself, in_file) {
        (Some(_), Some(second)) => {
            report.error(second.at, "there is a secret already; give one of secret and secret_file");
            None
        }
        (Some(itself), None) => parsed(itself, report, secret).map(|secret| (secret, itself.at)),
        (None, Some(file)) => {
            parsed(file, report, |path| secrets::in_file(path, "secret")).map(|secret| (secret, file.at))
        }
        (None, None) => {
            let secret = from_environment();
            if secret.is_none() {
                let message = format!(
                    "webhook needs a secret, which its requests are signed with: give secret or secret_file here, or \
                     {SECRET_VARIABLE} in the environment"
                );
                report.error(node.at, message);
            }
            secret.map(|secret| (secret, node.at))
        }
    };
    if let Some((secret, at)) = &secret
        && secret.len() < GUESSED
    {
        report
            .warn(*at, format!("the webhook's secret is short enough to be guessed: give it {GUESSED} bytes or more"));
    }
    Some(Webhook { url: parsed(url?, report, http_url)?, secret: secret?.0.into(), timeout })
}

fn secret(text: &str) -> Result<Vec<u8>, String> {
    match text {
        "" => Err("a secret is expected, such as `openssl rand -hex 32` makes".into()),
        secret => Ok(secret.as_bytes().to_vec()),
    }
}

/// A URL of HTTP; what it holds is not repeated but for its beginning.
fn http_url(text: &str) -> Result<String, String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("http" | "https")) {
        let found = scheme.map_or_else(|| "a text without it".to_owned(), |scheme| quoted(&format!("{scheme}://")));
        return Err(format!("a URL that begins with https:// or http:// is expected, not {found}"));
    }
    let uri: ureq::http::Uri = text.parse().map_err(|error| format!("this is no URL: {error}"))?;
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("a URL without user name and password is expected: requests are signed with the secret".into())
        }
        Some(authority) if !authority.host().is_empty() => Ok(text.to_owned()),
        _ => Err("a host is expected after the // of the URL, such as https://ops.example/weir".into()),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    match timeout {
        Duration::ZERO => Err("with a timeout of 0 nothing would be sent; give it at least 1ms".into()),
        timeout if timeout > MOST => Err(format!("a timeout of up to 60s is expected, not {}", quoted(text))),
        timeout => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;

    const OUTSIDE: &str = "0123456789abcdef from outside";

    /// The events, and the warnings or else the errors, where the environment has this secret.
    fn read(text: &str, in_environment: Option<&str>) -> (Events, Vec<String>) {
        let mut report = Report::new("e.yaml", text);
        let node = tree::read(text, &mut report).unwrap();
        let events = read_with(&node, || in_environment.map(|value| value.as_bytes().to_vec()), &mut report);
        let told = match report.finish() {
            Ok(warnings) => warnings.iter().map(ToString::to_string).collect(),
            Err(error) => error.problems.iter().map(ToString::to_string).collect(),
        };
        (events, told)
    }

    #[test]
    fn the_log_is_told_and_nobody_else_unless_asked_for() {
        assert_eq!(read("{}", None), (Events { log: true, webhook: None }, vec![]));
        assert_eq!(read("{ log: false }", Some(OUTSIDE)), (Events { log: false, webhook: None }, vec![]));
    }

    #[test]
    fn a_secret_is_taken_from_the_one_place_where_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef in a file\r\n").unwrap();
        let in_file = format!("{{ webhook: {{ url: \"http://h\", secret_file: {} }} }}", file.path().display());
        let rows = [
            ("{ webhook: { url: \"http://h\" } }", OUTSIDE),
            ("{ webhook: { url: \"http://h\", secret: 0123456789abcdef_ } }", "0123456789abcdef_"),
            (&in_file, "0123456789abcdef in a file"),
        ];
        for (text, expected) in rows {
            let (events, told) = read(text, Some(OUTSIDE));
            let webhook = events.webhook.unwrap_or_else(|| panic!("{told:?}"));
            assert_eq!((&*webhook.secret, webhook.timeout), (expected.as_bytes(), TIMEOUT), "{text}");
            assert!(told.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_is_expected() {
        let rows = [
            (
                "webhook: { secret: 0123456789abcdef }",
                "1:10: error: webhook needs a url, such as `url: \"https://ops.example/weir\"`",
            ),
            (
                "webhook: { url: \"http://h\" }",
                "1:10: error: webhook needs a secret, which its requests are signed with: give secret or secret_file here, \
                 or WEIR_WEBHOOK_SECRET in the environment",
            ),
            (
                "webhook: { url: \"http://h\", secret: '' }",
                "1:37: error: a secret is expected, such as `openssl rand -hex 32` makes",
            ),
            (
                "webhook: { url: \"http://h\", secret: a, secret_file: b }",
                "1:53: error: there is a secret already; give one of secret and secret_file",
            ),
            (
                "webhook: { url: \"http://h\", secret_file: /nowhere/at/all }",
                "1:42: error: \"/nowhere/at/all\" cannot be read: No such file or directory (os error 2)",
            ),
            (
                "webhook: { url: \"ftp://h\", secret: 0123456789abcdef }",
                "1:17: error: a URL that begins with https:// or http:// is expected, not \"ftp://\"",
            ),
            (
                "webhook: { url: \"http://u:p@h\", secret: 0123456789abcdef }",
                "1:17: error: a URL without user name and password is expected: requests are signed with the secret",
            ),
            (
                "webhook: { url: \"http://h\", secret: 0123456789abcdef, timeout: 2min }",
                "1:64: error: a timeout of up to 60s is expected, not \"2min\"",
            ),
            (
                "webhook: { url: \"http://h\", secret: 0123456789abcdef, timeout: 0s }",
                "1:64: error: with a timeout of 0 nothing would be sent; give it at least 1ms",
            ),
            (
                "webhook: { url: \"http://h\", secret: 0123456789abcdef, tiemout: 2s }",
                "1:55: error: \"tiemout\" is no key of webhook; did you mean `timeout`? Its keys are url, secret, \
                 secret_file and timeout",
            ),
            ("log: maybe", "1:6: error: true or false is expected, not \"maybe\""),
            (
                "webhook: \"http://h\"",
                "1:10: error: keys and values are expected in webhook, not the text \"http://h\"",
            ),
            (
                "webhook: { url: \"http://h\", secret: short }",
                "1:37: warning: the webhook's secret is short enough to be guessed: give it 16 bytes or more",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text, None).1, [format!("e.yaml:{expected}")], "{text}");
        }
    }

    #[test]
    fn neither_the_secret_nor_the_path_is_ever_shown() {
        let text = "webhook: { url: \"https://hooks.example:8443/T0/s3cret?k=s3cret\", secret: s3cret-s3cret-s3cret }";
        let (events, told) = read(text, None);
        assert!(told.is_empty(), "{told:?}");
        let shown = format!("{events:?}");
        assert!(shown.contains("https://hooks.example:8443") && !shown.contains("s3cret"), "{shown}");
    }
}
