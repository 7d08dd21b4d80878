//! The meters of a profile and of a device: a gate for each kind of request. Resolved once, at CONNECT, and held by the
//! connection, so that a limit costs no look-up on the way of a packet.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Denial, Gate, Limits, Plan, Rate, Resource, Rule, UnixMillis};

/// The requests that the broker itself counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A CONNECT with good credentials.
    Connect,
    /// A PUBLISH from a client, or a will.
    Publish,
    /// A PUBLISH to a client.
    Receive,
    /// A SUBSCRIBE packet.
    Subscribe,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Connect, Kind::Publish, Kind::Receive, Kind::Subscribe];

    fn resource(self) -> Resource {
        match self {
            Kind::Connect => Resource::Connect,
            Kind::Publish => Resource::Publish,
            Kind::Receive => Resource::Receive,
            Kind::Subscribe => Resource::Subscribe,
        }
    }

    /// The rates that a request of this kind must fit: its own, and those of its payload bytes.
    fn rules(self, limits: &Limits) -> Vec<Rule> {
        let bytes = match self {
            Kind::Publish => Some(Resource::PublishBytes),
            Kind::Receive => Some(Resource::ReceiveBytes),
            Kind::Connect | Kind::Subscribe => None,
        };
        std::iter::once(self.resource())
            .chain(bytes)
            .flat_map(|resource| {
                let rates = limits.rates(&resource).to_vec();
                rates.into_iter().map(move |rate| Rule { resource: resource.clone(), rate })
            })
            .collect()
    }
}

/// One line of what was used: a resource, its rate if it has one, and the current window's counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is counted.
    pub resource: Resource,
    /// The limit; nothing where the resource is unlimited.
    pub limit: Option<Rate>,
    /// How much of it was used in the current window.
    pub used: u64,
    /// How many requests were denied in it (with `enforce: false`: would have been).
    pub denied: u64,
    /// When the window ends.
    pub resets_at: UnixMillis,
}

/// The meters of one device that has rates of its own.
#[derive(Debug)]
pub struct DeviceMeters {
    gates: [Gate; 4],
}

impl DeviceMeters {
    /// Meters for these limits, or nothing where the device has none.
    pub fn new(limits: &Limits, enforce: bool) -> Option<Self> {
        let meters = DeviceMeters { gates: gates(limits, enforce) };
        meters.gates.iter().any(|gate| !gate.is_unlimited()).then_some(meters)
    }

    /// Puts other limits in force; the counts of the current windows are kept.
    pub fn set_limits(&self, limits: &Limits, enforce: bool) {
        set_rules(&self.gates, limits, enforce);
    }

    /// What this device has used.
    pub fn readings(&self, now: UnixMillis) -> Vec<Reading> {
        self.gates.iter().flat_map(|gate| gate.readings(now)).map(reading).collect()
    }
}

/// The meters of one profile.
#[derive(Debug)]
pub struct Meters {
    gates: [Gate; 4],
    named: RwLock<BTreeMap<Resource, Arc<Gate>>>,
}

impl Meters {
    /// Meters that hold requests to `plan`.
    pub fn new(plan: &Plan) -> Self {
        let meters = Meters { gates: gates(&plan.limits, plan.enforce), named: RwLock::new(BTreeMap::new()) };
        meters.set_named(plan);
        meters
    }

    /// Puts another plan's limits in force; the counts of the current windows are kept.
    pub fn set_plan(&self, plan: &Plan) {
        set_rules(&self.gates, &plan.limits, plan.enforce);
        self.set_named(plan);
    }

    /// Counts one request of `bytes` payload bytes against the profile, and against the device where it has meters of its
    /// own: in both or in neither.
    ///
    /// # Errors
    /// The denial that the client is told.
    #[inline]
    pub fn admit(&self, device: Option<&DeviceMeters>, kind: Kind, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        let gate = &self.gates[kind as usize];
        match device {
            None => gate.admit(bytes, now),
            Some(device) => device.gates[kind as usize].admit_with(gate, bytes, now),
        }
    }

    /// What the profile has used: the resources that MQTT counts, then those with names of their own.
    pub fn readings(&self, now: UnixMillis) -> Vec<Reading> {
        let named: Vec<Arc<Gate>> = self.named.read().values().cloned().collect();
        self.gates
            .iter()
            .chain(named.iter().map(Arc::as_ref))
            .flat_map(|gate| gate.readings(now))
            .map(reading)
            .collect()
    }

    fn set_named(&self, plan: &Plan) {
        let mut named = self.named.write();
        named.retain(|resource, _| plan.limits.0.contains_key(resource));
        for (resource, rates) in &plan.limits.0 {
            if !matches!(resource, Resource::Named(_)) {
                continue;
            }
            let rules = rates.iter().map(|rate| Rule { resource: resource.clone(), rate: rate.clone() }).collect();
            match named.get(resource) {
                Some(gate) => gate.set_rules(rules, plan.enforce),
                None => {
                    named.insert(resource.clone(), Arc::new(Gate::new(resource.clone(), rules, plan.enforce)));
                }
            }
        }
    }
}

fn gates(limits: &Limits, enforce: bool) -> [Gate; 4] {
    Kind::ALL.map(|kind| Gate::new(kind.resource(), kind.rules(limits), enforce))
}

fn set_rules(gates: &[Gate; 4], limits: &Limits, enforce: bool) {
    for (kind, gate) in Kind::ALL.into_iter().zip(gates) {
        gate.set_rules(kind.rules(limits), enforce);
    }
}

fn reading((resource, limit, used, denied, resets_at): (Resource, Option<Rate>, u64, u64, UnixMillis)) -> Reading {
    Reading { resource, limit, used, denied, resets_at }
}
