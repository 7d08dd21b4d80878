//! The URL of another broker, `mqtt://user:password@host:1883`, taken apart.
//!
//! Called by the reader of `backend`. No name is looked up here, and no message repeats what may hold a password.

use std::net::Ipv6Addr;

use super::scalars::{quoted, whole};

/// The parts of a URL, its defaults filled in.
pub(super) struct Url {
    /// Whether it is `mqtts`.
    pub tls: bool,
    pub username: Option<String>,
    pub password: Option<Vec<u8>>,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

/// Takes a URL apart.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        // Without a scheme it may be the rest of a URL, password and all.
        let found = if text.contains('@') { "a text without it".into() } else { quoted(text) };
        return Err(format!("a URL such as mqtt://host:1883 or mqtts://host:8883 is expected, not {found}"));
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "mqtt" => false,
        "mqtts" => true,
        _ => return Err(format!("the URL of a backend begins with mqtt:// or mqtts://, not with {}", quoted(scheme))),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("the URL of a backend ends with its port, without a path, query or fragment; in a user name or \
                    password, / is written %2F, ? is %3F and # is %23"
            .into());
    }
    let (userinfo, address) = match rest.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo), address),
        None => (None, rest),
    };
    let (username, password) = userinfo.map(user_and_password).transpose()?.unwrap_or_default();
    let (host, port) = host_and_port(address)?;
    let port = match port {
        Some(port) => whole(1..=u16::MAX)(port).map_err(|error| format!("after the `:` of the port, {error}"))?,
        None if tls => 8883,
        None => 1883,
    };
    Ok(Url { tls, username, password, host, port })
}

/// Whether a text can be the name of a host.
pub(super) fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed)
}

type Credentials = (Option<String>, Option<Vec<u8>>);

fn user_and_password(userinfo: &str) -> Result<Credentials, String> {
    let (username, password) = match userinfo.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (userinfo, None),
    };
    if username.is_empty() {
        return Err("before the `@` of the URL a user name is expected".into());
    }
    let username = String::from_utf8(percent_decoded(username)?)
        .map_err(|_| "the user name of the URL is not UTF-8 once its %XX are decoded".to_owned())?;
    Ok((Some(username), password.map(percent_decoded).transpose()?))
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        // One digit by one, as `from_str_radix` would take a sign.
        let digit = |at: usize| part.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("after a % in the user name or password of the URL two hexadecimal digits are expected; \
                        % itself is written %25"
                .into());
        };
        // Two digits of four bits.
        decoded.push((high << 4 | low) as u8);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    Ok(decoded)
}

fn host_and_port(address: &str) -> Result<(String, Option<&str>), String> {
    if let Some(bracketed) = address.strip_prefix('[') {
        let parts = bracketed.split_once(']').and_then(|(host, rest)| {
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            host.parse::<Ipv6Addr>().ok().map(|host| (host.to_string(), port))
        });
        return parts.ok_or_else(|| {
            format!("an IPv6 address is expected between [ and ], such as [::1]:1883, not {}", quoted(address))
        });
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    if port.is_some_and(|port| port.contains(':')) {
        return Err(format!("an IPv6 address is written in brackets, such as [::1]:1883, not {}", quoted(address)));
    }
    match host {
        "" => Err("a host is expected after the // of the URL, such as mqtt://broker.example:1883".into()),
        host if is_host_name(host) => Ok((host.to_owned(), port)),
        host => Err(format!("a host name or address is expected in the URL, not {}", quoted(host))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_port_defaults_to_that_of_its_scheme() {
        let rows = [
            ("mqtt://broker.example", (false, "broker.example", 1883)),
            ("mqtts://broker.example", (true, "broker.example", 8883)),
            ("MQTTS://10.0.0.1:18883/", (true, "10.0.0.1", 18883)),
            ("mqtt://[::1]", (false, "::1", 1883)),
            ("mqtts://[2001:db8::1]:1", (true, "2001:db8::1", 1)),
            ("mqtt://my_broker-1:65535", (false, "my_broker-1", 65535)),
        ];
        for (text, parts) in rows {
            let url = url(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.tls, url.host.as_str(), url.port), parts, "{text}");
            assert_eq!((url.username, url.password), (None, None), "{text}");
        }
    }

    #[test]
    fn user_name_and_password_are_percent_decoded() {
        let rows: [(&str, &str, Option<&[u8]>); 5] = [
            ("mqtt://weir@h", "weir", None),
            ("mqtt://weir:@h", "weir", Some(b"")),
            ("mqtt://we%3Air:p%40%2f%25@h", "we:ir", Some(b"p@/%")),
            ("mqtt://a:b:c@d@h", "a", Some(b"b:c@d")),
            ("mqtt://%C3%A9:%ff@h", "é", Some(b"\xFF")),
        ];
        for (text, username, password) in rows {
            let url = url(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.username.as_deref(), url.password.as_deref()), (Some(username), password), "{text}");
            assert_eq!(url.host, "h");
        }
    }

    #[test]
    fn no_error_repeats_a_password() {
        for text in [
            "u:s3cret@h:1883",
            "tcp://u:s3cret@h",
            "mqtt://u:s3cret@",
            "mqtt://u:s3cret%@h",
            "mqtt://u:s3cret/@h",
            "mqtt://u:s3cret@h:x",
            "mqtt://u:s3cret@::1",
            "mqtt://:s3cret@h",
        ] {
            let error = url(text).map(|_| ()).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
