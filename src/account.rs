//! A profile at work: its plan and meters, its topic space, and the sessions of its clients. One for each profile of the
//! configuration; every connection of the profile holds it. It outlives a reload, so that counts and sessions are kept.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::config;
use crate::limits::{Caps, DeviceMeters, Meters, Plan, Reading, UnixMillis};
use crate::router::{Mailbox, QueueCaps, Space};
use crate::session::Registry;

/// A profile at work. See the module's text.
pub(crate) struct Account {
    name: Arc<str>,
    plan: ArcSwap<Plan>,
    sees_sys: AtomicBool,
    meters: Meters,
    /// Of the devices that have rates of their own.
    devices: Mutex<HashMap<Arc<str>, Arc<DeviceMeters>>>,
    space: Arc<Space>,
    registry: Registry,
    connections: AtomicU64,
    /// Connections that want to hear of the first denial in a window, and how many of those there have been.
    watchers: Mutex<Vec<Weak<Mailbox>>>,
    first_denials: AtomicU64,
}

impl Account {
    /// A profile at work in `space`.
    pub(crate) fn new(profile: &config::Profile, space: Arc<Space>) -> Self {
        let account = Account {
            name: Arc::clone(&profile.name),
            plan: ArcSwap::from_pointee(profile.plan.clone()),
            sees_sys: AtomicBool::new(profile.sees_sys),
            meters: Meters::new(&profile.plan),
            devices: Mutex::new(HashMap::new()),
            space,
            registry: Registry::default(),
            connections: AtomicU64::new(0),
            watchers: Mutex::new(Vec::new()),
            first_denials: AtomicU64::new(0),
        };
        account.set_devices(profile);
        account
    }

    /// Puts a changed profile in force; the counts of the current windows are kept.
    pub(crate) fn update(&self, profile: &config::Profile) {
        self.plan.store(Arc::new(profile.plan.clone()));
        self.sees_sys.store(profile.sees_sys, Ordering::Release);
        self.meters.set_plan(&profile.plan);
        self.set_devices(profile);
    }

    fn set_devices(&self, profile: &config::Profile) {
        let mut devices = self.devices.lock();
        devices.retain(|name, _| profile.devices.contains_key(name));
        for (name, device) in &profile.devices {
            let enforce = profile.plan.enforce;
            match devices.get(name) {
                Some(meters) => meters.set_limits(&device.limits, enforce),
                None => {
                    if let Some(meters) = DeviceMeters::new(&device.limits, enforce) {
                        devices.insert(Arc::clone(name), Arc::new(meters));
                    }
                }
            }
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    pub(crate) fn sees_sys(&self) -> bool {
        self.sees_sys.load(Ordering::Acquire)
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The meters of a device, if it has rates of its own.
    pub(crate) fn device_meters(&self, device: Option<&Arc<str>>) -> Option<Arc<DeviceMeters>> {
        self.devices.lock().get(device?).cloned()
    }

    /// What a device with rates of its own has used; empty for any other.
    pub(crate) fn device_readings(&self, device: &str, now: UnixMillis) -> Vec<Reading> {
        let meters = self.devices.lock().get(device).cloned();
        meters.map(|meters| meters.readings(now)).unwrap_or_default()
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What stands for a client identifier of this profile where messages are compared with it, whichever of its sessions they
    /// are of: No Local looks at the identifier, not at the session [MQTT-3.8.3-3].
    pub(crate) fn client_number(&self, client_id: &str) -> u64 {
        let name = self.name.as_bytes();
        let hash = Sha256::new().chain_update(name.len().to_le_bytes()).chain_update(name).chain_update(client_id);
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Has a connection woken at the first denial in a window.
    pub(crate) fn watch(&self, mailbox: &Arc<Mailbox>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0 && !ptr::eq(watcher.as_ptr(), Arc::as_ptr(mailbox)));
        watchers.push(Arc::downgrade(mailbox));
    }

    /// A limit has denied for the first time in its window.
    pub(crate) fn first_denial(&self) {
        self.first_denials.fetch_add(1, Ordering::Release);
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.upgrade().inspect(|mailbox| mailbox.wake()).is_some());
    }

    /// How many first denials there have been.
    pub(crate) fn first_denials(&self) -> u64 {
        self.first_denials.load(Ordering::Acquire)
    }

    /// What may wait for one session of this profile.
    pub(crate) fn queue_caps(&self) -> QueueCaps {
        queue_caps(&self.plan.load().caps)
    }

    /// Counts one more connection, if `max_connections` allows it.
    pub(crate) fn enter(&self) -> Result<(), u64> {
        let max = self.plan.load().caps.max_connections.unwrap_or(u64::MAX);
        let entered =
            self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        entered.map(|_| ()).map_err(|_| max)
    }

    /// Counts one connection less.
    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The caps of a plan on what may wait for one session.
pub(crate) fn queue_caps(caps: &Caps) -> QueueCaps {
    // More than that is not to be had.
    let count = |cap: usize| cap.try_into().unwrap_or(u32::MAX);
    QueueCaps {
        messages: count(caps.max_queued_messages),
        replay: count(caps.max_retained_messages),
        bytes: caps.max_queued_bytes,
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}
