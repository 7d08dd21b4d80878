//! A client that subscribes to the whole fleet's topics and books what comes. Driven by `drive`. It must never subscribe
//! again while the broker still holds its subscription: that would count against a limit and send retained messages anew.

use std::sync::Arc;

use tokio::time::Instant;

use crate::drive::Part;
use crate::link::{Happening, Outlet};
use crate::world::World;

/// See the module's head.
pub struct Subscriber {
    world: Arc<World>,
    outlet: Outlet,
    number: u32,
    filter: String,
    subscribed: bool,
    /// When to ask again, after a denial.
    again: Option<Instant>,
}

impl Subscriber {
    pub fn new(world: Arc<World>, outlet: Outlet, number: u32) -> Subscriber {
        let filter = format!("{}/{}/+", world.options.topic, world.run_name());
        Subscriber { world, outlet, number, filter, subscribed: false, again: None }
    }

    fn subscribe(&mut self) {
        self.again = None;
        if !self.outlet.subscribe(&self.filter, self.world.options.qos) {
            self.again = Some(self.world.next_window(None));
        }
    }

    fn set_subscribed(&mut self, subscribed: bool) {
        let was = std::mem::replace(&mut self.subscribed, subscribed);
        let totals = &mut self.world.ledger().totals;
        totals.subscribed = totals.subscribed + u64::from(subscribed) - u64::from(was);
    }
}

impl Part for Subscriber {
    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Connected { resumed, .. } if !(resumed && self.subscribed) => {
                self.set_subscribed(false);
                self.subscribe();
            }
            Happening::Subscribed => self.set_subscribed(true),
            Happening::SubscribeDenied { denial, retry_after } => {
                self.world.ledger().refused(denial);
                self.again = Some(self.world.next_window(retry_after));
            }
            Happening::Delivered(stamp) => {
                let now = self.world.nanos();
                self.world.ledger().delivered(self.number, stamp, now);
            }
            _ => {}
        }
    }

    fn on_end(&mut self) {
        self.again = None;
    }

    fn due(&self) -> Option<Instant> {
        self.again
    }

    fn on_due(&mut self) {
        self.subscribe();
    }

    fn leave(&mut self) {
        self.outlet.disconnect();
    }
}
