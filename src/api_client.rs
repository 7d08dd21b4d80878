//! The HTTP API as `weir top` and `weir usage` ask it: where it is, the token, and what to do when it does not answer.
//!
//! Blocking, as a command has nothing else to do meanwhile. The token goes to the address that was asked for and nowhere else: no
//! redirect is followed, no proxy is used; and it is in no message.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use weir::Config;
use weir::admin::model::{Client, Clients, Problem, Profile, ProfileLimits, Profiles, System, Usage};

use crate::numbers::plain;

/// Where the API is when nothing says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const TOKEN_VARIABLE: &str = "WEIR_ADMIN_TOKEN";
/// How many profiles or clients are asked for at a time.
const PAGE: &str = "200";
/// The most profiles or clients that are fetched, page by page.
const MOST: usize = 20_000;
/// The largest answer that is read, in bytes: the minutes of a month of every route of a large plan fit.
const MAX_BODY: u64 = 512 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Profiles that are named where one was asked for that is not there.
const NAMED_PROFILES: usize = 12;

/// Which broker is asked, and with what token.
#[derive(Args)]
pub(crate) struct ApiArguments {
    /// Where the API is; by default admin.address of the configuration, or http://127.0.0.1:8080 without one
    #[arg(long, value_name = "URL", env = "WEIR_URL", value_parser = parse_url)]
    url: Option<String>,
    /// A file with the token; by default the token is WEIR_ADMIN_TOKEN, or data_dir/admin.token of the configuration
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// The API of one broker.
pub(crate) struct Api {
    agent: Agent,
    url: String,
    token: Token,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("error: {what}{}", if help.is_empty() { String::new() } else { format!("\n{help}") })]
pub(crate) struct ApiError {
    kind: ErrorKind,
    /// What is wrong, on one line.
    what: String,
    /// What can be done about it, if there is more to say.
    help: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorKind {
    /// There was no answer, or none that Weir would give.
    Away,
    /// 401.
    Unauthorized,
    /// 404.
    NotFound,
    /// Any other refusal.
    Refused,
}

/// The token, and where it is from; or where none was found.
struct Token {
    value: Option<String>,
    source: String,
}

impl ApiArguments {
    /// The API that is meant. An error is one of use.
    pub(crate) fn api(&self, config: &Path, timeout: Duration) -> Result<Api, ApiError> {
        let file = config.display();
        let config = Config::load(config).map_err(|_| format!("{file} is not there or not valid"));
        let url = match &self.url {
            Some(url) => url.clone(),
            None => configured_url(config.as_ref().ok()).ok_or_else(|| {
                wrong_use(format!("admin.address in {file} has port 0, so the port is not known: give it with --url"))
            })?,
        };
        let token = self.token(&file.to_string(), &config)?;
        let mut settings = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(timeout))
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
        if url.starts_with("https:") {
            settings = settings.tls_config(TlsConfig::builder().root_certs(self.roots()?).build());
        }
        Ok(Api { agent: settings.build().new_agent(), url, token })
    }

    fn token(&self, file: &str, config: &Result<Config, String>) -> Result<Token, ApiError> {
        if let Some(path) = &self.token_file {
            let shown = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| wrong_use(format!("the token cannot be read from {shown}: {error}")))?;
            return Token::new(&text, shown.to_string());
        }
        if let Ok(text) = std::env::var(TOKEN_VARIABLE)
            && !text.is_empty()
        {
            return Token::new(&text, TOKEN_VARIABLE.into());
        }
        let none = |source: String| Ok(Token { value: None, source });
        match config {
            Err(problem) => none(problem.clone()),
            Ok(Config { data_dir: None, .. }) => none(format!("{file} has no data_dir")),
            Ok(Config { data_dir: Some(directory), .. }) => {
                let path = directory.join("admin.token");
                match std::fs::read_to_string(&path) {
                    Ok(text) => Token::new(&text, path.display().to_string()),
                    Err(error) => none(format!("{} cannot be read: {error}", path.display())),
                }
            }
        }
    }

    fn roots(&self) -> Result<RootCerts, ApiError> {
        let Some(path) = &self.ca_file else {
            let roots = rustls_native_certs::load_native_certs().certs;
            let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
            return Ok(RootCerts::new_with_certs(&roots));
        };
        let unusable = |why: String| wrong_use(format!("--ca-file {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let mut roots = Vec::new();
        for item in ureq::tls::parse_pem(&pem) {
            if let PemItem::Certificate(root) = item.map_err(|error| unusable(error.to_string()))? {
                roots.push(root);
            }
        }
        match roots.is_empty() {
            true => Err(unusable("no certificate is in it; PEM is expected".into())),
            false => Ok(RootCerts::new_with_certs(&roots)),
        }
    }
}

impl Api {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The fullest profiles, or as many as there are; and how many there are.
    pub(crate) fn profiles(&self, all: bool) -> Result<(Vec<Profile>, u64), ApiError> {
        let mut profiles = Vec::new();
        let mut cursor = None;
        loop {
            let page: Profiles = self.page("/api/v1/profiles", None, cursor.as_deref())?;
            let full = page.profiles.is_empty() || profiles.len() + page.profiles.len() >= MOST;
            profiles.extend(page.profiles);
            cursor = page.next;
            if cursor.is_none() || full || !all {
                // The order can change from page to page: who moved down is met twice.
                let mut known = HashSet::new();
                profiles.retain(|profile: &Profile| known.insert(profile.name.clone()));
                return Ok((profiles, page.total));
            }
        }
    }

    /// The first clients, or as many as there are, of one profile or of all; and how many there are.
    pub(crate) fn clients(&self, profile: Option<&str>, all: bool) -> Result<(Vec<Client>, u64), ApiError> {
        let mut clients = Vec::new();
        let mut cursor = None;
        loop {
            let page: Clients = self.page("/api/v1/clients", profile, cursor.as_deref())?;
            let full = page.clients.is_empty() || clients.len() + page.clients.len() >= MOST;
            clients.extend(page.clients);
            cursor = page.next;
            if cursor.is_none() || full || !all {
                return Ok((clients, page.total));
            }
        }
    }

    /// All about one profile's limits.
    pub(crate) fn limits(&self, profile: &str) -> Result<ProfileLimits, ApiError> {
        self.get(&format!("/api/v1/profiles/{}/limits", encoded(profile)), &[])
    }

    /// The broker itself.
    pub(crate) fn system(&self) -> Result<System, ApiError> {
        self.get("/api/v1/system", &[])
    }

    /// Used and denied over time. Where the profile is not there, the error says which are.
    pub(crate) fn usage(&self, profile: &str, query: &[(&str, &str)]) -> Result<Usage, ApiError> {
        let mut usage = self.get(&format!("/api/v1/profiles/{}/usage", encoded(profile)), query);
        if let Err(error @ ApiError { kind: ErrorKind::NotFound, .. }) = &mut usage
            && let Ok((profiles, _)) = self.profiles(true)
            && !profiles.iter().any(|known| known.name == profile)
        {
            let mut names: Vec<String> = profiles.iter().map(|profile| plain(&profile.name)).collect();
            names.sort_unstable();
            let more = names.len().saturating_sub(NAMED_PROFILES);
            names.truncate(NAMED_PROFILES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            error.help = format!("Profiles at {}: {}{more}", self.url, names.join(", "));
        }
        usage
    }

    fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        profile: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<T, ApiError> {
        let mut query = vec![("limit", PAGE)];
        query.extend(profile.map(|profile| ("profile", profile)));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.get(path, &query)
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ApiError> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(token) = &self.token.value {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut answer = request.call().map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let (content_type, location) = (header(CONTENT_TYPE), header(LOCATION));
        let body = answer.body_mut().with_config().limit(MAX_BODY).read_to_vec();
        let body = body.map_err(|error| self.no_answer(&error))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|error| self.not_weir(&format!("{path} gives no such answer ({error})")));
        }
        if status.is_redirection() {
            let location = plain(&location);
            return Err(self.not_weir(&format!("it sends us elsewhere, to {location}, which is not followed")));
        }
        let problem = content_type.starts_with("application/problem+json").then(|| serde_json::from_slice(&body).ok());
        match problem.flatten() {
            Some(problem) => Err(self.refusal(status, &problem)),
            None => Err(self.not_weir(&format!("{path} gives status {status}"))),
        }
    }

    fn refusal(&self, status: StatusCode, problem: &Problem) -> ApiError {
        let (title, detail) = (plain(&problem.title), plain(&problem.detail));
        let what = format!("{} {title}: {detail}", status.as_u16());
        match status {
            StatusCode::UNAUTHORIZED => ApiError {
                kind: ErrorKind::Unauthorized,
                what: match self.token.value {
                    Some(_) => format!("{} does not take the token of {}: {detail}", self.url, self.token.source),
                    None => format!("{} wants the admin token, and none was found: {}", self.url, self.token.source),
                },
                help: format!(
                    "The token is looked for in --token-file FILE, then in {TOKEN_VARIABLE}, then in data_dir/admin.token of \
                     the configuration,\nwhere the broker keeps the one that it made at its first start."
                ),
            },
            StatusCode::NOT_FOUND => ApiError { kind: ErrorKind::NotFound, what, help: String::new() },
            _ => ApiError { kind: ErrorKind::Refused, what, help: String::new() },
        }
    }

    fn no_answer(&self, error: &ureq::Error) -> ApiError {
        let url = &self.url;
        let (what, help) = match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => (
                format!("nobody listens at {url}"),
                "Is the broker running, and is its HTTP side switched on? In broker.yaml: admin: { address: \
                 \"127.0.0.1:8080\" }\nWhere it is elsewhere, say so with --url or WEIR_URL.",
            ),
            ureq::Error::HostNotFound => (format!("{url}: there is no such host"), ""),
            ureq::Error::Timeout(_) => (format!("{url} gives no answer in time"), ""),
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => tls_trouble(url, error),
            ureq::Error::Io(inner)
                if inner.get_ref().is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>()) =>
            {
                tls_trouble(url, error)
            }
            error => (
                format!("{url} does not answer as an HTTP server does: {error}"),
                "Is it the port of admin.address, and not one for MQTT?",
            ),
        };
        ApiError { kind: ErrorKind::Away, what, help: help.into() }
    }

    fn not_weir(&self, why: &str) -> ApiError {
        ApiError {
            kind: ErrorKind::Away,
            what: format!("what answers at {} is not the API of Weir {}: {why}", self.url, env!("CARGO_PKG_VERSION")),
            help: "Is it the address that admin.address says, of a Weir of this version?".into(),
        }
    }
}

fn tls_trouble(url: &str, error: &ureq::Error) -> (String, &'static str) {
    let help = "The certificate must be for that name and signed by an authority that is trusted; --ca-file FILE names another.";
    (format!("{url}: no TLS connection: {error}"), help)
}

impl ApiError {
    /// What is wrong, on one line.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Whether Weir answered, and does not give this.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound | ErrorKind::Refused)
    }
}

impl Token {
    fn new(text: &str, source: String) -> Result<Self, ApiError> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong_use(format!(
                "a token is expected in {source}: one line, without blanks or other than ASCII"
            )));
        }
        Ok(Self { value: Some(token.to_owned()), source })
    }
}

fn wrong_use(what: String) -> ApiError {
    ApiError { kind: ErrorKind::Refused, what, help: String::new() }
}

/// Where the broker of this configuration is reached from the same machine; nothing where its port is not known.
fn configured_url(config: Option<&Config>) -> Option<String> {
    let Some(admin) = config.and_then(|config| config.admin.as_ref()) else { return Some(DEFAULT_URL.into()) };
    let ip = match admin.address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, admin.address.port());
    (address.port() != 0).then(|| format!("http://{address}"))
}

fn parse_url(text: &str) -> Result<String, String> {
    let expected = || Err("a URL such as http://127.0.0.1:8080 or https://weir.example.com is expected".to_owned());
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else { return expected() };
    let host = rest.split('/').next().unwrap_or("");
    let unfit = |character: char| matches!(character, '?' | '#' | '@') || !character.is_ascii_graphic();
    match host.is_empty() || rest.contains(unfit) || text.parse::<ureq::http::Uri>().is_err() {
        true => expected(),
        false => Ok(text.trim_end_matches('/').to_owned()),
    }
}

/// A name as a segment of a path (RFC 3986, section 2.3).
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => text.push(byte.into()),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_admin(address: &str) -> Config {
        let text =
            format!("admin: {{ address: \"{address}\" }}\nplans: {{ p: {{}} }}\nprofiles: {{ a: {{ plan: p }} }}\n");
        Config::parse(&text, "broker.yaml").expect("it is valid")
    }

    #[test]
    fn the_address_of_the_configuration_is_asked_from_the_same_machine() {
        let url = |address| configured_url(Some(&with_admin(address)));
        assert_eq!(url("127.0.0.1:9090").as_deref(), Some("http://127.0.0.1:9090"));
        assert_eq!(url("0.0.0.0:9090").as_deref(), Some("http://127.0.0.1:9090"));
        assert_eq!(url("[::]:9090").as_deref(), Some("http://[::1]:9090"));
        assert_eq!(url("127.0.0.1:0"), None);
        assert_eq!(configured_url(None).as_deref(), Some("http://127.0.0.1:8080"));
    }

    #[test]
    fn a_url_needs_a_scheme_and_a_host_and_holds_no_credentials() {
        assert_eq!(parse_url("http://127.0.0.1:8080/").as_deref(), Ok("http://127.0.0.1:8080"));
        assert_eq!(parse_url("https://weir.example.com/behind/").as_deref(), Ok("https://weir.example.com/behind"));
        for wrong in [
            "",
            "127.0.0.1:8080",
            "ftp://host",
            "http://",
            "http:///path",
            "http://me:secret@host",
            "http://h?q",
            "http://a b",
        ] {
            assert!(parse_url(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_is_one_segment_of_the_path_whatever_is_in_it() {
        assert_eq!(encoded("acme-1.eu_~"), "acme-1.eu_~");
        assert_eq!(encoded("a/b ü?"), "a%2Fb%20%C3%BC%3F");
    }

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(Token::new("abc\n", "f".into()).ok().and_then(|token| token.value).as_deref(), Some("abc"));
        for wrong in ["", " \n", "a b", "a\nb", "ü"] {
            assert!(Token::new(wrong, "f".into()).is_err(), "{wrong:?}");
        }
    }
}
