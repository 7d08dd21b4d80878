//! Devices that were added over HTTP: kept in `data_dir/devices.json`, with the SHA-256 of their tokens and nothing that gives a
//! token away, and laid into every configuration before it comes into force. What `broker.yaml` says goes first. All changes of
//! the configuration pass through here, one after the other, so that none undoes another.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::model::NewDevice;
use super::params::shown;
use super::problem::Failure;
use super::token::{make_directory, random_hex};
use crate::config::{Config, Credential, Device, check_name};
use crate::hub::Hub;
use crate::limits::{Limits, Rate, Resource};

/// Devices by profile and name.
type Devices = BTreeMap<String, BTreeMap<String, Kept>>;

/// The devices that were added. See the module's text.
pub(crate) struct Added {
    /// Nothing where everything is kept in memory.
    path: Option<PathBuf>,
    devices: Mutex<Devices>,
}

/// What is kept of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(with = "hex")]
    token_sha256: [u8; 32],
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, Vec<String>>,
}

/// Why the devices that were added are not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {why}; mend it, or move it away to begin without added devices", .path.display())]
pub struct AddedError {
    path: PathBuf,
    why: String,
}

impl Added {
    /// Reads what was kept; without a directory, nothing is kept.
    pub(crate) fn open(data_dir: Option<&Path>) -> Result<Self, AddedError> {
        let path = data_dir.map(|directory| directory.join("devices.json"));
        let devices = match &path {
            Some(path) => read(path).map_err(|why| AddedError { path: path.clone(), why })?,
            None => Devices::new(),
        };
        Ok(Added { path, devices: Mutex::new(devices) })
    }

    /// Lays the devices into a configuration; those that have no place in it are told in the log.
    pub(crate) fn lay_into(&self, config: &mut Config) {
        self.lay(&self.devices.lock(), config);
    }

    /// Puts another configuration in force, with the devices.
    pub(crate) fn reload(&self, hub: &Hub, mut config: Config) {
        let devices = self.devices.lock();
        self.lay(&devices, &mut config);
        hub.reload(config);
    }

    fn lay(&self, devices: &Devices, config: &mut Config) {
        for warning in lay(devices, config) {
            let file = self.path.as_deref().map_or("added devices".into(), |path| path.display().to_string());
            tracing::warn!("{file}: {warning}");
        }
    }

    /// Adds a device; its token.
    pub(super) fn add(&self, hub: &Hub, profile: &str, new: &NewDevice) -> Result<String, Failure> {
        check_name(&new.name).map_err(|message| Failure::bad_request(format!("`name`: {message}")))?;
        limits(&new.limits).map_err(|message| Failure::bad_request(format!("`limits`: {message}")))?;
        let mut devices = self.devices.lock();
        let mut config = Config::clone(&hub.config.load());
        let known = config.profiles.get(profile);
        let known = known.ok_or_else(|| Failure::not_found(format!("there is no profile {}", shown(profile))))?;
        if known.devices.contains_key(new.name.as_str()) {
            return Err(Failure::conflict(format!("the profile {profile} has a device {} already", new.name)));
        }
        let no_token = || Failure::unavailable("the system gives no random bytes for a token");
        let token = random_hex::<24>().ok_or_else(no_token)?;
        let kept = Kept { token_sha256: Sha256::digest(&token).into(), limits: new.limits.clone() };
        let mut changed = devices.clone();
        changed.entry(profile.to_owned()).or_default().insert(new.name.clone(), kept);
        self.keep(&changed)?;
        *devices = changed;
        self.lay(&devices, &mut config);
        hub.reload(config);
        Ok(token)
    }

    /// Removes a device that was added.
    pub(super) fn remove(&self, hub: &Hub, profile: &str, device: &str) -> Result<(), Failure> {
        let mut devices = self.devices.lock();
        let mut config = Config::clone(&hub.config.load());
        let known = config.profiles.get_mut(profile);
        let known = known.ok_or_else(|| Failure::not_found(format!("there is no profile {}", shown(profile))))?;
        let found = known.devices.get(device);
        let missing = || Failure::not_found(format!("the profile {profile} has no device {}", shown(device)));
        let found = found.ok_or_else(missing)?;
        let kept = devices.get(profile).and_then(|devices| devices.get(device));
        if !kept.is_some_and(|kept| kept.is(found)) {
            let detail = format!("the device {device} is in the configuration file: take it out there, and reload");
            return Err(Failure::conflict(detail));
        }
        known.devices.remove(device);
        let mut changed = devices.clone();
        if let Some(of_profile) = changed.get_mut(profile) {
            of_profile.remove(device);
        }
        changed.retain(|_, devices| !devices.is_empty());
        self.keep(&changed)?;
        *devices = changed;
        hub.reload(config);
        Ok(())
    }

    /// Writes all of it: at any moment, what is at the path is whole.
    fn keep(&self, devices: &Devices) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        write(path, devices).map_err(|error| {
            tracing::error!(%error, "cannot write {}", path.display());
            Failure::unavailable(format!("the change cannot be kept, and is not made: {error}"))
        })
    }
}

impl Kept {
    /// Whether this is what the configuration in force has.
    fn is(&self, device: &Device) -> bool {
        matches!(&device.credential, Credential::Token { sha256, .. } if *sha256 == self.token_sha256)
    }
}

/// Lays devices into a configuration; what has no place there is told.
fn lay(devices: &Devices, config: &mut Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if devices.is_empty() {
        return warnings;
    }
    let of_file = config.profiles.values().flat_map(|profile| profile.devices.values());
    let mut tokens: HashSet<[u8; 32]> = of_file
        .filter_map(|device| match &device.credential {
            Credential::Token { sha256, .. } => Some(*sha256),
            Credential::Password { .. } => None,
        })
        .collect();
    for (profile, devices) in devices {
        let Some(known) = config.profiles.get_mut(profile.as_str()) else {
            warnings.push(format!("there is no profile {profile} any more: its added devices are left out"));
            continue;
        };
        for (name, kept) in devices {
            match known.devices.get(name.as_str()) {
                Some(device) if kept.is(device) => continue,
                Some(_) => {
                    warnings.push(format!(
                        "the device {name} of profile {profile} is in the configuration file too, which goes first"
                    ));
                    continue;
                }
                None => {}
            }
            let limits = match limits(&kept.limits) {
                Ok(limits) => limits,
                Err(why) => {
                    warnings.push(format!("the device {name} of profile {profile} is left out: {why}"));
                    continue;
                }
            };
            if !tokens.insert(kept.token_sha256) {
                warnings.push(format!("the device {name} of profile {profile} is left out: its token is another's"));
                continue;
            }
            let name: Arc<str> = name.as_str().into();
            let credential = Credential::Token { sha256: kept.token_sha256, demo: false };
            let limits = limits.over(&known.plan.per_device);
            known.devices.insert(Arc::clone(&name), Device { name, credential, limits });
        }
    }
    warnings
}

/// Rates of a device's own, as they would stand in `broker.yaml`.
fn limits(written: &BTreeMap<String, Vec<String>>) -> Result<Limits, String> {
    let mut limits = BTreeMap::new();
    for (name, written) in written {
        let resource: Resource = name.parse().map_err(|error| format!("{error}"))?;
        if written.is_empty() {
            return Err(format!("{name}: at least one rate is expected, such as 60/min"));
        }
        let mut rates: Vec<Rate> = Vec::new();
        for text in written {
            let rate = Rate::parse(text, resource.is_bytes()).map_err(|error| format!("{name}: {error}"))?;
            if let Some(other) = rates.iter().find(|other| other.window == rate.window) {
                return Err(format!("{name}: {rate} and {other} are for the same window; keep the smaller one"));
            }
            rates.push(rate);
        }
        limits.insert(resource, rates);
    }
    Ok(Limits(limits))
}

fn read(path: &Path) -> Result<Devices, String> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Devices::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn write(path: &Path, devices: &Devices) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_directory(directory)?;
    let whole = serde_json::to_vec_pretty(devices)?;
    let new = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&whole)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The name is kept only when its directory is.
    File::open(directory)?.sync_all()
}

/// A digest in hexadecimal.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| D::Error::custom("64 hexadecimal digits are expected, the SHA-256 of a token"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CONFIG: &str = "plans: { free: { per_device: { publish: 9/min } } }\n\
                          profiles: { acme: { plan: free, devices: { pump: { token: t } } } }";

    fn kept(token: &str, publish: &str) -> Kept {
        let limits = BTreeMap::from([("publish".to_owned(), vec![publish.to_owned()])]);
        Kept { token_sha256: Sha256::digest(token).into(), limits }
    }

    fn devices(all: &[(&str, &str, Kept)]) -> Devices {
        let mut devices = Devices::new();
        for (profile, name, kept) in all {
            devices.entry((*profile).to_owned()).or_default().insert((*name).to_owned(), kept.clone());
        }
        devices
    }

    #[test]
    fn a_device_that_was_added_is_laid_into_the_configuration_with_its_limits() {
        let mut config = Config::parse(CONFIG, "b.yaml").unwrap();
        let devices = devices(&[("acme", "lamp", kept("l", "5/min"))]);
        assert_eq!(lay(&devices, &mut config), [""; 0]);
        assert_eq!(lay(&devices, &mut config), [""; 0], "it may be there already");
        let lamp = &config.profiles["acme"].devices["lamp"];
        assert_eq!(lamp.limits.rates(&Resource::Publish)[0].written(), "5/min");
    }

    #[test]
    fn what_the_configuration_file_says_goes_first() {
        let mut config = Config::parse(CONFIG, "b.yaml").unwrap();
        let devices = devices(&[
            ("acme", "pump", kept("other", "5/min")),
            ("acme", "same-token", kept("t", "5/min")),
            ("acme", "spoilt", kept("s", "often")),
            ("gone", "lamp", kept("l", "5/min")),
        ]);
        let warnings = lay(&devices, &mut config);
        let expected = [
            "the device pump of profile acme is in the configuration file too, which goes first",
            "the device same-token of profile acme is left out: its token is another's",
            "the device spoilt of profile acme is left out: publish: a rate is a number and a window",
            "there is no profile gone any more: its added devices are left out",
        ];
        assert_eq!(warnings.len(), expected.len());
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.starts_with(expected), "{warning}");
        }
        assert_eq!(config.profiles["acme"].devices.len(), 1);
    }

    #[test]
    fn what_is_written_is_read_again_and_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/devices.json");
        assert_eq!(read(&path), Ok(Devices::new()));
        for all in [devices(&[("acme", "lamp", kept("l", "5/min"))]), Devices::new()] {
            write(&path, &all).unwrap();
            assert_eq!(read(&path), Ok(all));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{\"acme\":{\"lamp\":{\"token_sha256\":\"12\"}}}").unwrap();
        assert!(read(&path).unwrap_err().starts_with("64 hexadecimal digits are expected"));
    }
}
