//! The meters of a profile and of a device: a gate for each kind of request. Resolved once, at CONNECT, and held by the
//! connection, so that a limit costs no look-up on the way of a packet.

use super::gate::Cost;
use super::named::Named;
use super::{Denial, Drained, Gate, Limits, Plan, Rate, Resource, Rule, UnixMillis, Window};

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
pub struct DeviceMeters(Gates);

impl DeviceMeters {
    /// Meters for these limits, or nothing where the device has none.
    pub fn new(limits: &Limits, enforce: bool) -> Option<Self> {
        let gates = Gates::new(limits, enforce);
        let limited = gates.kinds.iter().any(|gate| !gate.is_unlimited()) || !gates.named.is_empty();
        limited.then_some(DeviceMeters(gates))
    }

    /// Puts other limits in force; the counts of the current windows are kept.
    pub fn set_limits(&self, limits: &Limits, enforce: bool) {
        self.0.set(limits, enforce);
    }

    /// What this device has used.
    pub fn readings(&self, now: UnixMillis) -> Vec<Reading> {
        self.0.readings(now)
    }

    /// Hands over what was counted since the last drain, by resource and minute, and which rates were nearly or wholly used up.
    pub fn drain(&self, now: UnixMillis, into: &mut Drained) {
        self.0.drain(now, into);
    }

    /// Puts back what was counted in the current windows before a restart: as [`Meters::restore`].
    pub fn restore(&self, now: UnixMillis, counted: impl FnMut(&Resource, Window) -> (u64, u64)) {
        self.0.restore(now, counted);
    }
}

/// The meters of one profile.
#[derive(Debug)]
pub struct Meters(Gates);

impl Meters {
    /// Meters that hold requests to `plan`.
    pub fn new(plan: &Plan) -> Self {
        Meters(Gates::new(&plan.limits, plan.enforce))
    }

    /// Puts another plan's limits in force; the counts of the current windows are kept.
    pub fn set_plan(&self, plan: &Plan) {
        self.0.set(&plan.limits, plan.enforce);
    }

    /// Counts one request of `bytes` payload bytes against the profile, and against the device where it has meters of its
    /// own: in both or in neither.
    ///
    /// # Errors
    /// The denial that the client is told.
    #[inline]
    pub fn admit(&self, device: Option<&DeviceMeters>, kind: Kind, bytes: u64, now: UnixMillis) -> Result<(), Denial> {
        let gate = &self.0.kinds[kind as usize];
        match device {
            None => gate.admit(bytes, now),
            Some(device) => device.0.kinds[kind as usize].admit_with(gate, bytes, now),
        }
    }

    /// Counts `cost` of any resource, against the profile and against the device where it has meters of its own: in both or
    /// in neither. Of bytes, only the rates of bytes are asked; of requests, only those of requests. A cost of 0 asks whether
    /// anything is left, and counts nothing. A resource without a rate is counted and unlimited; but of one with a name of its own
    /// that is not in the plan nothing is known: it is admitted, and not counted ([`Meters::has`] tells).
    ///
    /// # Errors
    /// The denial that the caller is told; then nothing was counted but the denial.
    pub fn admit_resource(
        &self,
        device: Option<&DeviceMeters>,
        resource: &Resource,
        cost: u64,
        now: UnixMillis,
    ) -> Result<(), Denial> {
        let requests = Cost { requests: Some(cost), bytes: None };
        let bytes = Cost { requests: None, bytes: Some(cost) };
        let (kind, cost) = match resource {
            Resource::Connect => (Kind::Connect, requests),
            Resource::Publish => (Kind::Publish, requests),
            Resource::Receive => (Kind::Receive, requests),
            Resource::Subscribe => (Kind::Subscribe, requests),
            Resource::PublishBytes => (Kind::Publish, bytes),
            Resource::ReceiveBytes => (Kind::Receive, bytes),
            Resource::Named(_) => {
                return self.0.named.admit(device.map(|device| &device.0.named), resource, requests, now);
            }
        };
        let own = device.map(|device| &device.0.kinds[kind as usize]);
        self.0.kinds[kind as usize].admit_cost(own, cost, now)
    }

    /// Whether anything is counted under this resource: all that MQTT uses, and the names of the plan.
    pub fn has(&self, resource: &Resource) -> bool {
        !matches!(resource, Resource::Named(_)) || self.0.named.has(resource)
    }

    /// What the profile has used: the resources that MQTT counts, then those with names of their own.
    pub fn readings(&self, now: UnixMillis) -> Vec<Reading> {
        self.0.readings(now)
    }

    /// Hands over what was counted since the last drain, by resource and minute, and which rates were nearly or wholly used up.
    /// What a reload has taken away is handed over too.
    pub fn drain(&self, now: UnixMillis, into: &mut Drained) {
        self.0.drain(now, into);
    }

    /// Puts back what was counted in the current windows before a restart: `counted` tells the used and the denied of a
    /// resource in the window of this kind that `now` is in. It is not drained again.
    pub fn restore(&self, now: UnixMillis, counted: impl FnMut(&Resource, Window) -> (u64, u64)) {
        self.0.restore(now, counted);
    }
}

/// What is counted of one profile or device: a gate for each kind of request, and those of names of the operator's own.
#[derive(Debug)]
struct Gates {
    kinds: [Gate; 4],
    named: Named,
}

impl Gates {
    fn new(limits: &Limits, enforce: bool) -> Self {
        let kinds = Kind::ALL.map(|kind| Gate::new(kind.resource(), kind.rules(limits), enforce));
        Gates { kinds, named: Named::new(limits, enforce) }
    }

    fn set(&self, limits: &Limits, enforce: bool) {
        for (kind, gate) in Kind::ALL.into_iter().zip(&self.kinds) {
            gate.set_rules(kind.rules(limits), enforce);
        }
        self.named.set(limits, enforce);
    }

    fn readings(&self, now: UnixMillis) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut read = |gate: &Gate| {
            for (resource, limit, used, denied, resets_at) in gate.readings(now) {
                readings.push(Reading { resource, limit, used, denied, resets_at });
            }
        };
        self.kinds.iter().for_each(&mut read);
        self.named.for_each(read);
        readings
    }

    fn drain(&self, now: UnixMillis, into: &mut Drained) {
        self.kinds.iter().for_each(|gate| gate.drain(now, into));
        self.named.drain(now, into);
    }

    fn restore(&self, now: UnixMillis, mut counted: impl FnMut(&Resource, Window) -> (u64, u64)) {
        self.kinds.iter().for_each(|gate| gate.restore(now, &mut counted));
        self.named.for_each(|gate| gate.restore(now, &mut counted));
    }
}
