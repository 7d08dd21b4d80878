//! `broker.yaml` to a [`Config`]: what is in it is valid, and all that is not is told with its place.
//!
//! Called at the start, by `weir check`, and on SIGHUP. It reads one file, and the secrets that are elsewhere from where that says,
//! and does nothing else: no socket is opened, no name is looked up, no limit is counted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod acl;
mod backend;
mod error;
mod events;
mod fields;
mod listeners;
mod plans;
mod profiles;
mod scalars;
mod scram_keys;
mod secrets;
mod settings;
mod table;
mod tree;
mod url;

pub use acl::{AclAction, AclOnDeny, AclRule};
pub use backend::{Backend, Embedded, Upstream, UpstreamTls};
pub use error::{ConfigError, Place, Problem, Warning};
pub use events::{Events, Metrics, Webhook};
pub use listeners::{ListenAddress, Listener, Protocol};
pub use profiles::{Credential, Device, Profile, ReadToken};
pub use scram_keys::ScramKeys;
pub(crate) use scram_keys::hmac;
pub use settings::{Admission, Mqtt};
pub use table::table;

use self::error::Report;
use self::fields::{Fields, parsed};
use self::tree::{At, Node};
use crate::limits::Plan;

/// The most that a file may have, in bytes: room for a hundred thousand devices.
const MAX_FILE_BYTES: usize = 16 << 20;

/// The most threads that can be asked for.
const MAX_THREADS: usize = 1_024;

/// All that `broker.yaml` says, with defaults where it is silent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// Where the dashboard, API and metrics are; `None` is nowhere.
    pub admin: Option<Admin>,
    /// Where what survives a restart is kept; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Who routes messages.
    pub backend: Backend,
    /// Threads that serve clients; `None` leaves the number to the broker.
    pub threads: Option<NonZeroUsize>,
    /// By name.
    pub plans: BTreeMap<Arc<str>, Plan>,
    /// By name; at least one.
    pub profiles: BTreeMap<Arc<str>, Profile>,
    /// The profile of clients without credentials; `None` refuses them.
    pub anonymous: Option<Arc<str>>,
    /// How topics of profiles are kept apart.
    pub isolation: Isolation,
    /// What of MQTT is offered.
    pub mqtt: Mqtt,
    /// Who gets as far as a CONNECT.
    pub admission: Admission,
    /// Which topics may be used; first match wins.
    pub acl: Vec<AclRule>,
    /// What a publish that `acl` refuses meets where MQTT has no answer for it.
    pub acl_on_deny: AclOnDeny,
    /// What is said to Prometheus.
    pub metrics: Metrics,
    /// Who is told when a limit is nearly full.
    pub events: Events,
    /// What works and should still be looked at, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// The HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the configuration names it.
    pub place: Place,
}

/// How topics of profiles are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Each profile has a topic space of its own.
    #[default]
    Profile,
    /// All profiles share one.
    None,
}

impl Config {
    /// Reads a file. Warnings are in the result; an error names all that is wrong, so that the file can be mended in
    /// one go.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let bytes = read_file(path).map_err(|error| {
            let message = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".into(),
                _ => format!("it cannot be read: {error}"),
            };
            ConfigError::of_file(&file, message)
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(&error.as_bytes()[..valid]);
                let line = text.split('\n').count();
                let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
                let place = Place { file: file.into(), line, column };
                Err(ConfigError::at(place, "this is not UTF-8; save the file as UTF-8".into()))
            }
        }
    }

    /// Reads the text of a file that errors call `file`.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_FILE_BYTES {
            let message = format!("it is larger than {} MiB, the most that is read", MAX_FILE_BYTES >> 20);
            return Err(ConfigError::of_file(file, message));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut report = Report::new(file, text);
        let Some(root) = tree::read(text, &mut report) else {
            return Err(report.into_error());
        };
        let config = read_config(&root, &mut report);
        let warnings = report.finish()?;
        Ok(Self { warnings, ..config })
    }
}

/// Whether a profile, plan or device can have this name; if not, what is expected.
pub(crate) fn check_name(text: &str) -> Result<(), String> {
    scalars::name(text)
}

/// All of a file, or as much of one that is too large as shows it.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_FILE_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_config(root: &Node, report: &mut Report<'_>) -> Config {
    let mut fields = Fields::of(root, "broker.yaml", report);
    let listeners = match fields.take("listeners") {
        Some(node) => listeners::read_listeners(node, report),
        None => listeners::default_listeners(report),
    };
    let admin = fields.take("admin").and_then(|node| read_admin(node, report));
    let data_dir = fields.take("data_dir").and_then(|node| read_data_dir(node, report));
    let backend = match fields.take("backend") {
        Some(node) => backend::read_backend(node, report),
        None => Backend::Native,
    };
    let plans = match fields.take("plans") {
        Some(node) => plans::read_plans(node, report),
        None => BTreeMap::new(),
    };
    let profiles_at = fields.place("profiles").unwrap_or(At::START);
    let profiles_node = fields.take("profiles");
    let profiles = match profiles_node {
        Some(node) => profiles::read_profiles(node, &plans, report),
        None => BTreeMap::new(),
    };
    let readable = profiles_node.unwrap_or(root).is_mapping();
    if profiles.is_empty() && readable {
        report.error(profiles_at, "at least one profile is needed under `profiles`, or nobody can connect");
    }
    let known_profile = |text: &str| acl::known_profile(text, &profiles);
    let anonymous = fields.read("anonymous", report, known_profile);
    let isolation = [("profile", Isolation::Profile), ("none", Isolation::None)];
    let isolation = fields.read("isolation", report, scalars::choice(&isolation));
    let mqtt = fields.take("mqtt").map(|node| settings::read_mqtt(node, report));
    let admission = fields.take("admission").map(|node| settings::read_admission(node, report));
    let acl = fields.take("acl").map(|node| acl::read_acl(node, &profiles, report));
    let acl_on_deny = fields.read("acl_on_deny", report, scalars::choice(&acl::ON_DENY));
    let threads = fields.read("threads", report, scalars::whole(1..=MAX_THREADS)).and_then(NonZeroUsize::new);
    let metrics = fields.take("metrics").map(|node| events::read_metrics(node, report));
    let events = fields.take("events").map(|node| events::read_events(node, report));
    fields.finish(report);
    Config {
        listeners,
        admin,
        data_dir,
        backend,
        threads,
        plans,
        profiles,
        anonymous,
        isolation: isolation.unwrap_or_default(),
        mqtt: mqtt.unwrap_or_default(),
        admission: admission.unwrap_or_default(),
        acl: acl.unwrap_or_default(),
        acl_on_deny: acl_on_deny.unwrap_or_default(),
        metrics: metrics.unwrap_or_default(),
        events: events.unwrap_or_default(),
        warnings: Vec::new(),
    }
}

fn read_admin(node: &Node, report: &mut Report<'_>) -> Option<Admin> {
    let mut fields = Fields::of(node, "admin", report);
    let address = fields.take("address");
    fields.finish(report);
    if address.is_none() && node.is_mapping() {
        let message = "admin needs an address, such as `address: \"127.0.0.1:8080\"`";
        report.error(node.at, message);
    }
    let address = address?;
    let place = report.place(address.at);
    let address = parsed(address, report, listeners::socket_address)?;
    Some(Admin { address, place })
}

fn read_data_dir(node: &Node, report: &mut Report<'_>) -> Option<PathBuf> {
    parsed(node, report, |text| match text {
        "" => Err("the path of a directory is expected; leave the key out to keep everything in memory".into()),
        path => Ok(PathBuf::from(path)),
    })
}
