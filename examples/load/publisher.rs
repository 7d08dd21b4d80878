//! A client that publishes at its share of the rate. Driven by `drive`. It must never have more open than its window
//! allows, nor catch up on what it did not send: what is due and cannot go is counted and left out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::drive::Part;
use crate::link::{Happening, Outlet, slots};
use crate::stamp::Stamp;
use crate::world::{Phase, World};

/// See the module's head.
pub struct Publisher {
    world: Arc<World>,
    outlet: Outlet,
    number: u32,
    topic: String,
    /// From one message to the next.
    interval: Duration,
    due: Option<Instant>,
    sequence: u32,
    connected: bool,
    /// Handed over, not written yet.
    queued: VecDeque<Message>,
    /// Written, not answered yet, by packet identifier.
    inflight: HashMap<u16, Message>,
    /// Places in rumqttc's window.
    places: usize,
    /// Places that rumqttc holds for messages that were denied.
    leaked: usize,
}

struct Message {
    sequence: u32,
    handed: Instant,
    accepted: bool,
}

impl Publisher {
    pub fn new(world: Arc<World>, outlet: Outlet, number: u32) -> Publisher {
        let options = &world.options;
        Publisher {
            outlet,
            number,
            topic: format!("{}/{}/{number}", options.topic, world.run_name()),
            interval: Duration::from_secs_f64(f64::from(options.clients) / options.rate),
            due: None,
            sequence: 0,
            connected: false,
            queued: VecDeque::new(),
            inflight: HashMap::new(),
            places: slots(options).into(),
            leaked: 0,
            world,
        }
    }

    fn open(&self) -> usize {
        self.queued.len() + self.inflight.len()
    }

    fn has_room(&self) -> bool {
        let open = self.open();
        open < self.world.options.max_inflight.into() && open + self.leaked < self.places
    }

    fn publish(&mut self) {
        let options = &self.world.options;
        let stamp =
            Stamp { run: self.world.run, client: self.number, sequence: self.sequence, nanos: self.world.nanos() };
        let payload = stamp.payload(options.payload as usize);
        if !self.outlet.publish(&self.topic, options.qos, payload) {
            self.world.ledger().totals.behind += 1;
            return;
        }
        self.queued.push_back(Message { sequence: self.sequence, handed: Instant::now(), accepted: false });
        self.sequence += 1;
        let totals = &mut self.world.ledger().totals;
        totals.handed += 1;
        totals.open += 1;
    }

    fn on_sent(&mut self, id: u16) {
        if self.inflight.contains_key(&id) {
            self.world.ledger().totals.resent += 1;
            return;
        }
        let Some(message) = self.queued.pop_front() else {
            return;
        };
        if id == 0 {
            self.world.ledger().totals.open -= 1;
            self.world.ledger().accepted(self.number, message.sequence, None);
        } else {
            self.inflight.insert(id, message);
        }
    }

    fn on_accepted(&mut self, id: u16, last: bool) {
        let Some(message) = self.inflight.get_mut(&id) else {
            return;
        };
        if !message.accepted {
            message.accepted = true;
            let after = message.handed.elapsed();
            self.world.ledger().accepted(self.number, message.sequence, Some(after));
        }
        if last {
            self.close(id);
        }
    }

    /// Takes a message off the books of what is open.
    fn close(&mut self, id: u16) -> Option<Message> {
        let message = self.inflight.remove(&id)?;
        self.world.ledger().totals.open -= 1;
        Some(message)
    }

    /// The broker has no session for this client: rumqttc forgot what was open, and so must we.
    fn abandon(&mut self) {
        let open = self.open() as u64;
        let totals = &mut self.world.ledger().totals;
        totals.open -= open;
        totals.abandoned += open;
        self.queued.clear();
        self.inflight.clear();
    }
}

impl Part for Publisher {
    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Connected { resumed, receive_maximum } => {
                self.connected = true;
                self.places = slots(&self.world.options).min(receive_maximum).into();
                if !resumed {
                    self.abandon();
                }
            }
            Happening::Sent(id) => self.on_sent(id),
            Happening::Accepted { id, last } => self.on_accepted(id, last),
            Happening::Completed { id, leaked } => {
                self.close(id);
                self.leaked += usize::from(leaked);
            }
            Happening::Denied { id, denial, leaked } => {
                self.leaked += usize::from(leaked);
                if let Some(message) = self.close(id) {
                    self.world.ledger().denied(self.number, message.sequence, denial);
                }
            }
            _ => {}
        }
    }

    fn on_end(&mut self) {
        self.connected = false;
        self.leaked = 0;
    }

    fn on_phase(&mut self, phase: Phase) {
        self.due = match phase {
            Phase::Publishing(begin) => {
                let share = f64::from(self.number) / f64::from(self.world.options.clients);
                Some(begin + self.interval.mul_f64(share))
            }
            _ => None,
        };
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn on_due(&mut self) {
        let now = Instant::now();
        while let Some(due) = self.due.filter(|due| *due <= now) {
            if !self.connected {
                self.world.ledger().totals.offline += 1;
            } else if self.has_room() {
                self.publish();
            } else {
                self.world.ledger().totals.behind += 1;
            }
            self.due = Some(due + self.interval);
        }
    }

    fn wants_reclaim(&mut self) -> bool {
        self.leaked > 0 && self.open() == 0 && std::mem::take(&mut self.leaked) > 0
    }

    fn leave(&mut self) {
        self.outlet.disconnect();
    }
}
