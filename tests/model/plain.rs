//! What a broker has to do, as plainly as it can be said: sessions are lists, matching is the specification's own, and a
//! publish is put on the list of everyone who subscribes. It knows nothing of packets, quotas or queues.

use std::collections::BTreeMap;

use weir::wire::{QoS, matches};

use crate::device::{Device, Heard};

#[derive(Default)]
pub struct Plain {
    /// Seconds since the schedule began.
    now: u64,
    sessions: BTreeMap<usize, Session>,
    /// What every device is owed, over all its sessions, in order.
    owed: BTreeMap<usize, Vec<Owed>>,
}

struct Session {
    subscriptions: BTreeMap<&'static str, QoS>,
    connected: bool,
    /// Seconds that it lasts after its connection.
    expiry: u64,
    left_at: u64,
}

/// A message that a device must, or may, have received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    pub payload: u32,
    pub qos: QoS,
    /// Its session ended before it was heard to have come: it may be missing.
    pub may_be_missing: bool,
}

impl Plain {
    pub fn advance(&mut self, seconds: u64) {
        self.now += seconds;
        let now = self.now;
        let expired: Vec<usize> = self
            .sessions
            .iter()
            .filter(|(_, s)| !s.connected && s.left_at + s.expiry <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in expired {
            self.end(number);
        }
    }

    fn end(&mut self, number: usize) {
        self.sessions.remove(&number);
        for owed in self.owed.entry(number).or_default() {
            owed.may_be_missing = true;
        }
    }

    /// A device connects; tells whether its session was there.
    pub fn connect(&mut self, number: usize, clean: bool, expiry: u64) -> bool {
        if clean {
            self.end(number);
        }
        let present = self.sessions.contains_key(&number);
        let session = self.sessions.entry(number).or_insert(Session {
            subscriptions: BTreeMap::new(),
            connected: true,
            expiry,
            left_at: 0,
        });
        session.connected = true;
        session.expiry = expiry;
        present
    }

    pub fn leave(&mut self, number: usize) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(&number) {
            session.connected = false;
            session.left_at = now;
        }
        self.advance(0);
    }

    pub fn subscribe(&mut self, number: usize, filter: &'static str, qos: QoS) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.subscriptions.insert(filter, qos);
        }
    }

    pub fn unsubscribe(&mut self, number: usize, filter: &str) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.subscriptions.remove(filter);
        }
    }

    /// A message is taken: everyone whose filters match is owed it, at the lower QoS; at QoS 0 only who is there.
    pub fn publish(&mut self, topic: &str, payload: u32, qos: QoS) {
        for (number, session) in &self.sessions {
            let granted =
                session.subscriptions.iter().filter(|(filter, _)| matches(filter, topic)).map(|(_, q)| *q).max();
            let Some(granted) = granted else { continue };
            let qos = granted.min(qos);
            if qos == QoS::AtMostOnce && !session.connected {
                continue;
            }
            self.owed.entry(*number).or_default().push(Owed { payload, qos, may_be_missing: false });
        }
    }

    /// The network is lost: QoS 0 messages that were not received until now were on their way, and never will be.
    pub fn may_miss_qos_0(&mut self, number: usize, received: &[Heard]) {
        for owed in self.owed.entry(number).or_default().iter_mut().filter(|owed| owed.qos == QoS::AtMostOnce) {
            owed.may_be_missing |= !received.iter().any(|heard| heard.payload == owed.payload);
        }
    }

    /// Holds what a device has received against what it is owed.
    pub fn check(&self, device: &Device) {
        let owed = self.owed.get(&device.number).cloned().unwrap_or_default();
        let whole = format!("device {}: owed {owed:?}, received {:?}", device.number, device.received);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut received: Vec<u32> = device.received.iter().filter(|r| r.qos == qos).map(|r| r.payload).collect();
            if qos == QoS::AtLeastOnce {
                // Once more is allowed, and is said to be (DUP).
                let mut seen = Vec::new();
                for again in device.received.iter().filter(|r| r.qos == qos) {
                    assert!(again.dup || !seen.contains(&again.payload), "twice without DUP: {whole}");
                    seen.push(again.payload);
                }
                let mut first = Vec::new();
                received.retain(|payload| {
                    !first.contains(payload) && {
                        first.push(*payload);
                        true
                    }
                });
            }
            let mut rest = received.iter().peekable();
            for owed in owed.iter().filter(|owed| owed.qos == qos) {
                if rest.peek() == Some(&&owed.payload) {
                    rest.next();
                } else {
                    assert!(owed.may_be_missing, "{} at {qos:?} is missing, or out of order: {whole}", owed.payload);
                }
            }
            assert!(rest.peek().is_none(), "{:?} at {qos:?} is not owed: {whole}", rest.peek());
        }
    }
}
