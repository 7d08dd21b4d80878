//! Weir in front of another broker: what passes, under which names, what is refused where, and that nothing that was
//! acknowledged is lost when that broker goes away. Behind Weir is Debian's mosquitto, started by each test on a free port; the
//! tests are left out, with a message, where it is not installed.

use weir::wire::{Property, PropertyBuf, QoS, Version};

#[path = "../common/mod.rs"]
mod common;
#[path = "../broker/kit.rs"]
#[allow(dead_code, reason = "each test folder uses its own part of this")]
mod kit;

mod away;
mod isolation;
mod names;
mod secured;
mod sessions;
mod told;
mod wills;

use common::backend::Mosquitto;
use common::{Client, Weir, connect};

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];
const START: &str = "2026-11-21T12:45:09Z";
const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

/// Weir before a mosquitto, with the profiles acme (device `a`) and other (device `o`), each on this plan.
struct Pair {
    // Ended first.
    weir: Weir,
    mosquitto: Mosquitto,
}

impl Pair {
    fn on_plan(plan: &str) -> Pair {
        Self::with(plan, "", "")
    }

    /// `more` is of Weir's configuration, `lines` of mosquitto's.
    fn with(plan: &str, more: &str, lines: &str) -> Pair {
        let mosquitto = Mosquitto::with(lines);
        let config = format!(
            "backend: \"mqtt://{}\"\nplans: {{ p: {{ {plan} }} }}\nprofiles:\n  \
             acme: {{ plan: p, devices: {{ a: {{ token: a }} }} }}\n  \
             other: {{ plan: p, devices: {{ o: {{ token: o }} }} }}\n{more}",
            mosquitto.address()
        );
        let mut weir = Weir::at(START, &config);
        if !weir.has_logged("the backend is there") {
            weir.wait_for_log("the backend is there");
        }
        Pair { weir, mosquitto }
    }

    /// A client of mosquitto itself, past Weir.
    fn behind(&self, client_id: &str) -> Client {
        let mut client = Client::to(self.mosquitto.address());
        client.version = Version::V5;
        client.send(&weir::wire::Packet::Connect(connect(Version::V5, "t", client_id)));
        let connack = client.frame();
        assert_eq!(connack[3], 0, "mosquitto accepts: {connack:02x?}");
        client
    }
}

fn properties(wanted: &[Property<'_>]) -> PropertyBuf {
    let mut properties = PropertyBuf::new();
    wanted.iter().for_each(|property| properties.push(*property));
    properties
}
