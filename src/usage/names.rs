//! Numbers for names: of accounts (a profile, or a device of it) and of resources. A name has its number for ever, also when it is
//! not in the configuration any more. Kept by `usage` under its lock; new names are written with the counts that need them.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::rows;
use crate::store::{Batch, Keyspace, StoreError};

#[derive(Default)]
pub(super) struct Names {
    profiles: HashMap<Arc<str>, Profile>,
    accounts: u32,
    resources: Vec<Arc<str>>,
    /// Rows that are not in the store yet.
    unwritten: Vec<(rows::Key, Vec<u8>)>,
}

#[derive(Default)]
struct Profile {
    own: Option<u32>,
    devices: BTreeMap<Arc<str>, u32>,
}

impl Names {
    /// All names that the store knows.
    pub(super) fn load(history: &Keyspace) -> Result<Self, StoreError> {
        let mut names = Names::default();
        let (first, end) = (rows::account_key(0), rows::account_key(u32::MAX));
        history.range(&first, &end, |key, value| {
            let id = rows::index_of(key);
            if let Some((profile, device)) = rows::account(value) {
                names.enter(&profile, device.as_ref(), id);
            }
            names.accounts = names.accounts.max(id + 1);
            ControlFlow::Continue(())
        })?;
        let (first, end) = (rows::resource_key(0), rows::resource_key(u32::MAX));
        history.range(&first, &end, |key, value| {
            // One that was damaged keeps its number, and its counts a name that no resource has.
            names.resources.resize(rows::index_of(key) as usize, "".into());
            names.resources.push(String::from_utf8_lossy(value).into());
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    fn enter(&mut self, profile: &Arc<str>, device: Option<&Arc<str>>, id: u32) {
        let entry = self.profiles.entry(Arc::clone(profile)).or_default();
        match device {
            None => entry.own = Some(id),
            Some(device) => drop(entry.devices.insert(Arc::clone(device), id)),
        }
    }

    /// The number of an account, given to it now if it has none.
    pub(super) fn account_or_new(&mut self, profile: &Arc<str>, device: Option<&Arc<str>>) -> u32 {
        if let Some(id) = self.account(profile, device.map(Arc::as_ref)) {
            return id;
        }
        let id = self.accounts;
        self.accounts += 1;
        self.enter(profile, device, id);
        let row = rows::put_account(profile, device.map(Arc::as_ref));
        self.unwritten.push((rows::account_key(id), row));
        id
    }

    /// The number of a resource, given to it now if it has none.
    pub(super) fn resource_or_new(&mut self, resource: &str) -> u32 {
        if let Some(id) = self.resource(resource) {
            return id;
        }
        let id = rows::clamp(self.resources.len() as u64);
        self.resources.push(resource.into());
        self.unwritten.push((rows::resource_key(id), resource.into()));
        id
    }

    pub(super) fn account(&self, profile: &str, device: Option<&str>) -> Option<u32> {
        let profile = self.profiles.get(profile)?;
        match device {
            None => profile.own,
            Some(device) => profile.devices.get(device).copied(),
        }
    }

    /// Of few, so that looking at each is quick.
    pub(super) fn resource(&self, resource: &str) -> Option<u32> {
        self.resources.iter().position(|known| **known == *resource).map(|id| rows::clamp(id as u64))
    }

    pub(super) fn resource_name(&self, id: u32) -> Option<Arc<str>> {
        self.resources.get(id as usize).cloned()
    }

    /// The devices of a profile, by name.
    pub(super) fn devices(&self, profile: &str) -> Vec<String> {
        let devices = self.profiles.get(profile).map(|profile| profile.devices.keys());
        devices.into_iter().flatten().map(|device| device.to_string()).collect()
    }

    /// How many accounts there are; their numbers are below that.
    pub(super) fn accounts(&self) -> u32 {
        self.accounts
    }

    /// Has new names written. They stay unwritten until [`Names::written`].
    pub(super) fn write(&self, history: &Keyspace, batch: &mut Batch) {
        self.unwritten.iter().for_each(|(key, row)| batch.put(history, key, row));
    }

    pub(super) fn written(&mut self) {
        self.unwritten.clear();
    }
}
