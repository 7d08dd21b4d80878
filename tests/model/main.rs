//! The broker against a plain model: random schedules of a few clients that subscribe, publish at each QoS, leave, lose their
//! network in any half of any handshake, come back, and outstay their sessions. What the broker delivers must be what the
//! model says. Every schedule follows from its seed, which a failure names:
//!
//! ```text
//! WEIR_MODEL_SEED=42 cargo test --test model
//! WEIR_MODEL_SCHEDULES=10000 cargo test --release --test model
//! ```

#[path = "../common/mod.rs"]
mod common;
mod device;
mod plain;
mod random;

use common::Weir;
use device::{Device, Loss};
use plain::Plain;
use random::Random;
use weir::wire::{QoS, Version};

/// One profile without limits; sessions may last for as long as they ask.
const CONFIG: &str = "plans: { p: {} }\nprofiles: { a: { plan: p, devices: { d: { token: t } } } }\n";

const FILTERS: [&str; 8] = ["a", "a/b", "a/+", "+/b", "#", "a/#", "+", "c/d/e"];
const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "b/b", "c/d/e", "c"];
const STEPS: usize = 60;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn what_the_broker_delivers_is_what_a_plain_model_says() {
    let schedules = from_environment("WEIR_MODEL_SCHEDULES").unwrap_or(40);
    let seeds = match from_environment("WEIR_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + schedules,
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("the schedule of seed {seed} failed: WEIR_MODEL_SEED={seed} cargo test --test model");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Plays the schedule of a seed.
fn run(seed: u64) {
    let mut random = Random::new(seed);
    let mut weir = Weir::at("2026-11-21T12:45:09Z", CONFIG);
    let mut plain = Plain::default();
    let mut devices: Vec<Device> = (0..random.below(4) + 2)
        .map(|number| Device::new(number, random.pick(&[Version::V4, Version::V5]), random.pick(&[1, 2, 5, 100])))
        .collect();
    let mut next_payload = 0;
    for _ in 0..STEPS {
        let number = random.below(devices.len());
        step(&mut random, &mut weir, &mut plain, &mut devices, number, &mut next_payload);
        for device in &mut devices {
            device.receive(&mut plain);
        }
    }
    // In the end everyone comes back, and nothing is lost any more.
    for device in &mut devices {
        device.settle(&weir, &mut plain);
    }
    for device in &mut devices {
        device.receive(&mut plain);
    }
    for device in &devices {
        plain.check(device);
    }
}

fn step(
    random: &mut Random,
    weir: &mut Weir,
    plain: &mut Plain,
    devices: &mut [Device],
    number: usize,
    next_payload: &mut u32,
) {
    let device = &mut devices[number];
    if !device.is_connected() {
        match random.below(4) {
            0 => {
                let seconds = random.below(20) as u64 + 1;
                weir.clock(&format!("+{seconds}s"));
                plain.advance(seconds);
            }
            1 => device.connect(weir, plain, true, random.pick(&[0, 15])),
            _ => device.connect(weir, plain, false, random.pick(&[0, 15, 3600])),
        }
        return;
    }
    match random.below(12) {
        0 | 1 => {
            let qos = random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
            device.subscribe(plain, random.pick(&FILTERS), qos);
        }
        2 => device.unsubscribe(plain, random.pick(&FILTERS)),
        3 => device.disconnect(plain),
        4 => device.vanish(plain),
        5 => {
            // What it is sent next is lost on the way there, or on the way back.
            device.loses = Some(random.pick(&[Loss::Publish, Loss::Acknowledgement, Loss::Complete]));
        }
        what => {
            let qos = random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
            let loss = (what == 6).then(|| random.pick(&[Loss::Publish, Loss::Acknowledgement, Loss::Complete]));
            *next_payload += 1;
            device.publish(plain, random.pick(&TOPICS), *next_payload, qos, loss);
        }
    }
}
