//! `cargo bench --bench micro`: what the parts that every message passes cost by themselves, measured with criterion, so that
//! a change in one of them shows before it drowns in the price of a system call. No network and no clock; a part of the name
//! after `--` chooses among the measurements.

mod limits;
mod router;
mod session;
mod usage;
mod wire;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use weir::wire::{PacketId, Properties, Publish, QoS};

/// What a device says, again and again.
const PAYLOAD: [u8; 64] = [b'x'; 64];

fn publish(topic: &str, qos: QoS) -> Publish<'_> {
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    Publish { dup: false, qos, retain: false, topic, packet_id, properties: Properties::EMPTY, payload: &PAYLOAD }
}

criterion_group! {
    name = parts;
    // There are many: each is given less time than criterion would.
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = wire::measure, limits::measure, session::measure, router::measure, usage::measure
}
criterion_main!(parts);
