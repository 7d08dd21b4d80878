//! What Weir knows of the deliveries of a session that another broker keeps: which were counted and are not acknowledged, so
//! that one that comes again is not counted again; and which were not passed on, so that Weir finishes them with that broker
//! itself. It lives as long as the session, across connections.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use crate::wire::{PacketId, QoS};

/// How many acknowledged deliveries are remembered: as many as a broker usually has under way.
const FINISHED: usize = 1_024;

/// See the module's text. The packet identifiers are those of the broker that keeps the session.
#[derive(Default)]
pub(crate) struct Relayed {
    /// Sent to the client, and not acknowledged to the end.
    delivered: HashMap<u16, Delivered>,
    /// How many of them were sent on this connection.
    in_flight: usize,
    /// Those that were acknowledged last: that broker may not have heard of it when its connection was lost.
    finished: VecDeque<u16>,
    /// Messages of QoS 2 that the client never sees, whose PUBREL is still to come.
    kept_back: HashSet<u16>,
}

struct Delivered {
    qos: QoS,
    /// Whether it was sent on this connection.
    here: bool,
}

impl Relayed {
    /// The client is sent this delivery.
    pub(crate) fn deliver(&mut self, id: PacketId, qos: QoS) {
        let known = self.delivered.insert(id.get(), Delivered { qos, here: true });
        self.in_flight += usize::from(!known.is_some_and(|known| known.here));
    }

    /// How many the client was sent on this connection and has not acknowledged to the end.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether one that the other broker sends with DUP was sent to the client before, and counted.
    pub(crate) fn was_delivered(&self, id: PacketId) -> bool {
        self.is_delivered(id) || self.finished.contains(&id.get())
    }

    /// Whether the client was sent it, and has not acknowledged it to the end.
    pub(crate) fn is_delivered(&self, id: PacketId) -> bool {
        self.delivered.contains_key(&id.get())
    }

    /// Whether the client was sent it at this QoS, and has not acknowledged it to the end.
    pub(crate) fn is_delivered_at(&self, id: PacketId, qos: QoS) -> bool {
        self.delivered.get(&id.get()).is_some_and(|delivered| delivered.qos == qos)
    }

    /// The client has acknowledged it to the end.
    pub(crate) fn done(&mut self, id: PacketId) {
        let known = self.delivered.remove(&id.get());
        self.in_flight -= usize::from(known.is_some_and(|known| known.here));
        if self.finished.len() == FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(id.get());
        if self.delivered.is_empty() && self.delivered.capacity() > 64 {
            self.delivered = HashMap::new();
        }
    }

    /// Begins another connection.
    pub(super) fn resume(&mut self) {
        self.in_flight = 0;
        self.delivered.values_mut().for_each(|delivered| delivered.here = false);
    }

    /// The client is not sent this message of QoS 2.
    pub(crate) fn keep_back(&mut self, id: PacketId) {
        self.kept_back.insert(id.get());
    }

    /// PUBREL has come; tells whether it is for a message that the client was not sent.
    pub(crate) fn release_kept_back(&mut self, id: PacketId) -> bool {
        self.kept_back.remove(&id.get())
    }
}
