//! The HTTP API of the real binary: every call, who may make it, and what is answered to what is wrong.

#[path = "../common/mod.rs"]
mod common;

mod auth;
mod bad_input;
mod check;
mod clients;
mod data;
mod devices;
mod events;
mod profiles;
mod system;

use common::Weir;

/// Nine seconds into a minute: 51 are left.
const TIME: &str = "2026-11-21T12:45:09Z";

const CONFIG: &str = r#"
admin: { address: "127.0.0.1:0" }
plans:
  free: { connect: 20/min, publish: 10/min, receive: 250/min, POST /data: 3/min, POST /device: [2/s, 5/min] }
  watched: { GET /x: 1/min, enforce: false }
profiles:
  acme:
    plan: free
    read_token: acme-reads
    devices:
      pump: { token: t-pump }
      small: { token: t-small, limits: { publish: 2/min } }
  beta: { plan: free, devices: { lamp: { token: t-lamp } } }
  curious: { plan: watched }
acl:
  - { deny: publish, topic: "secret/#" }
"#;

/// A broker with the configuration above.
fn weir() -> Weir {
    Weir::at(TIME, CONFIG)
}
