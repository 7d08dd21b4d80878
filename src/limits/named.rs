//! The gates of resources with names of the operator's own, such as `POST /data`: one for each that the limits name. Part of the
//! meters of a profile or device. Never asked on the way of a packet, so they may be found by name, under a lock.

use std::collections::BTreeMap;

use parking_lot::{Mutex, RwLock};

use super::gate::Cost;
use super::{Denial, Drained, Gate, Limits, Resource, Rule, UnixMillis};

#[derive(Debug)]
pub(super) struct Named {
    gates: RwLock<BTreeMap<Resource, Gate>>,
    /// What was counted under names that are not in the limits any more.
    left: Mutex<Drained>,
}

impl Named {
    pub(super) fn new(limits: &Limits, enforce: bool) -> Self {
        let named = Named { gates: RwLock::default(), left: Mutex::default() };
        named.set(limits, enforce);
        named
    }

    /// Puts other limits in force; the counts of the current windows are kept.
    pub(super) fn set(&self, limits: &Limits, enforce: bool) {
        let mut gates = self.gates.write();
        let mut left = self.left.lock();
        gates.retain(|resource, gate| {
            let stays = limits.0.contains_key(resource);
            if !stays {
                // The minute of the last drain will do: a count in a minute or second knows its own.
                gate.drain(UnixMillis::default(), &mut left);
            }
            stays
        });
        for (resource, rates) in limits.0.iter().filter(|(resource, _)| matches!(resource, Resource::Named(_))) {
            let rules = rates.iter().map(|rate| Rule { resource: resource.clone(), rate: rate.clone() }).collect();
            match gates.get(resource) {
                Some(gate) => gate.set_rules(rules, enforce),
                None => {
                    gates.insert(resource.clone(), Gate::new(resource.clone(), rules, enforce));
                }
            }
        }
    }

    /// Counts a request here and in `own`, wherever the name is known. The lock is held until that is done: a reload that takes
    /// the name away finds the count.
    pub(super) fn admit(
        &self,
        own: Option<&Named>,
        resource: &Resource,
        cost: Cost,
        now: UnixMillis,
    ) -> Result<(), Denial> {
        let own = own.map(|own| own.gates.read());
        let own = own.as_ref().and_then(|gates| gates.get(resource));
        match (self.gates.read().get(resource), own) {
            (Some(gate), own) => gate.admit_cost(own, cost, now),
            (None, Some(own)) => own.admit_cost(None, cost, now),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn has(&self, resource: &Resource) -> bool {
        self.gates.read().contains_key(resource)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gates.read().is_empty()
    }

    pub(super) fn for_each(&self, act: impl FnMut(&Gate)) {
        self.gates.read().values().for_each(act);
    }

    pub(super) fn drain(&self, now: UnixMillis, into: &mut Drained) {
        self.for_each(|gate| gate.drain(now, into));
        let mut left = self.left.lock();
        into.tallies.append(&mut left.tallies);
        into.crossed.append(&mut left.crossed);
    }
}
