//! The command line of the load test: what may be asked for, what each default is, and what is refused before anything
//! is sent. Called once by `main`. It must never open a connection: it resolves the host's name, no more.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::stamp::Stamp;

/// What a packet may hold beside payload and topic prefix: headers, the rest of the topic, properties.
const PACKET_OVERHEAD: u32 = 1024;

const EXAMPLES: &str = "\
Examples:
  Is a plan of 5_000/min kept to the message? 100/s ask for 6,000 a minute; 3 minutes hold two whole ones.
    cargo run --release --example load -- --profile-token demo-pump-1 --rate 100 --for 3m

  An old fleet, MQTT 3.1.1, where the broker can only close the connection of a client over the limit:
    cargo run --release --example load -- --profile-token demo-pump-1 --protocol 3.1.1 --clients 10 --for 3m

  How fast is this machine without anybody listening, figures to a file:
    cargo run --release --example load -- --username panel --password secret --subscribers 0 --rate 20000 \\
        --clients 100 --max-inflight 200 --for 30s --json load.json

Limits are counted per calendar minute (UTC). Only minutes that the run covers from end to end can be compared with a \
plan; they are marked `full`. Every CONNECT counts as one `connect`, subscribers included; every copy of a message that a \
subscriber gets counts as one `receive`, so N subscribers use N times the receive limit.

Exit code: 0 nothing accepted was lost · 1 something was, or no client could connect · 2 wrong usage";

/// Loads an MQTT broker as a fleet would, and counts what was accepted, denied, delivered and lost.
#[derive(Debug, Parser)]
#[command(name = "load", after_help = EXAMPLES, arg_required_else_help = false)]
pub struct Options {
    /// Broker to load; a loopback address, unless --allow-remote
    #[arg(long, default_value = "127.0.0.1", help_heading = "Broker")]
    pub host: String,

    /// Its port
    #[arg(long, default_value_t = 1883, help_heading = "Broker")]
    pub port: u16,

    /// MQTT version. With 3.1.1 at QoS 1 and 2 every client connects once more in the end, to take its session away
    #[arg(long, value_enum, default_value_t = Protocol::V5, help_heading = "Broker")]
    pub protocol: Protocol,

    /// Allow a broker on another machine. Load only machines that are yours
    #[arg(long, help_heading = "Broker")]
    pub allow_remote: bool,

    /// Device token: user name `Token`, password TOKEN
    #[arg(long, value_name = "TOKEN", conflicts_with = "username", help_heading = "Broker")]
    pub profile_token: Option<String>,

    /// User name, with --password; without this and --profile-token: no credentials
    #[arg(long, help_heading = "Broker")]
    pub username: Option<String>,

    /// Password of --username
    #[arg(long, requires = "username", help_heading = "Broker")]
    pub password: Option<String>,

    /// Clients that publish, each on a topic of its own: PREFIX/RUN/NUMBER
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    pub clients: u32,

    /// Clients that subscribe to PREFIX/RUN/+ at --qos; each gets every message, so N of them use N times the receive
    /// limit. 0: nobody listens, and nothing can be found lost
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1_000), help_heading = "Load")]
    pub subscribers: u32,

    /// Messages per second, in total over all clients
    #[arg(long, default_value_t = 100.0, value_parser = positive, value_name = "MESSAGES/S", help_heading = "Load")]
    pub rate: f64,

    /// Quality of service of publishes and subscriptions: 0, 1 or 2. At 0 a client is not told what was denied
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2), help_heading = "Load")]
    pub qos: u8,

    /// Payload size; the first 24 bytes carry run, client, number and time
    #[arg(long, default_value_t = 64, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(Stamp::BYTES as i64..=256_000_000), help_heading = "Load")]
    pub payload: u32,

    /// Topic prefix
    #[arg(long, default_value = "load", value_parser = topic_prefix, value_name = "PREFIX", help_heading = "Load")]
    pub topic: String,

    /// How long to publish, counted from when the fleet is connected: 90s, 5m, 1h, 1h30m.
    /// Two minutes hold one whole calendar minute, whenever they begin
    #[arg(long = "for", default_value = "2m", value_parser = duration, value_name = "DURATION", help_heading = "Load")]
    pub run_for: Duration,

    /// Unacknowledged messages a client may have open. A message that is due while all are open is not sent but counted
    /// as `behind`, so that the queue of the load test is never what is measured
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=16_000), help_heading = "Load")]
    pub max_inflight: u16,

    /// Connects per second while the fleet comes up or back, in total, so that a connect limit is not what is tested
    #[arg(long, default_value_t = 50.0, value_parser = positive, value_name = "CONNECTS/S", help_heading = "Load")]
    pub connect_rate: f64,

    /// How long to wait, after the last publish, for what was accepted and is not delivered yet. At QoS 1 and 2 a
    /// delivery over the limit waits for the next window, so this is a minute and some; it ends at once when all is here
    #[arg(long, default_value = "65s", value_parser = duration, value_name = "DURATION", help_heading = "Load")]
    pub drain: Duration,

    /// Write the results to FILE as JSON too
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,

    /// No live progress, only the results
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,
}

/// The MQTT version that all clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    #[value(name = "5")]
    V5,
    #[value(name = "3.1.1")]
    V311,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::V5 => "5",
            Protocol::V311 => "3.1.1",
        }
    }
}

impl Options {
    /// Resolves `--host` to one address, and refuses one outside this machine unless `--allow-remote` was given.
    pub fn address(&self) -> Result<IpAddr, String> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = (bare, self.port).to_socket_addrs().map_err(|error| format!("--host {}: {error}", self.host))?;
        let mut addresses: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        if let Some(remote) = addresses.iter().find(|address| !address.is_loopback())
            && !self.allow_remote
        {
            return Err(format!(
                "--host {}: {remote} is not this machine. If the broker there is yours to load, say --allow-remote",
                self.host
            ));
        }
        addresses.first().copied().ok_or_else(|| format!("--host {}: no address found", self.host))
    }

    /// User name and password to connect with.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        match (&self.profile_token, &self.username) {
            (Some(token), _) => Some(("Token", token)),
            (None, Some(name)) => Some((name, self.password.as_deref().unwrap_or_default())),
            (None, None) => None,
        }
    }

    /// The largest packet that this run's payload makes.
    pub fn packet_size(&self) -> u32 {
        self.payload + self.topic.len() as u32 + PACKET_OVERHEAD
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number over 0, such as 100 or 0.5".into()),
    }
}

fn topic_prefix(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['+', '#', '\0']) || text.ends_with('/') || text.len() > 1_000 {
        return Err("expected a topic without + and #, not ending in /, such as load or site/1/load".into());
    }
    Ok(text.into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration such as 90s, 5m, 1h or 1h30m".to_string();
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = match rest.as_bytes()[digits] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            _ => return Err(wrong()),
        };
        total = number
            .checked_mul(unit)
            .and_then(|seconds| total.checked_add(seconds))
            .filter(|seconds| *seconds <= 30 * 86_400)
            .ok_or("expected at most 30 days (720h)")?;
        rest = &rest[digits + 1..];
    }
    if text.is_empty() || total == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(total))
}
