//! Says which checks `cargo test` leaves out: those with clients of other languages, which need more than Rust. `.ci/clients`
//! installs what they need and runs them; `.ci/run` does both. rumqttc needs nothing more: it is in `tests/clients.rs`.

use std::path::Path;

fn main() {
    // Asked for a list of tests, as some runners do, there is none to name.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/clients.d");
    let mut names: Vec<String> = std::fs::read_dir(&checks)
        .unwrap_or_else(|error| panic!("{}: {error}", checks.display()))
        .map(|entry| entry.expect("the folder can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["mosquitto", "mqttjs", "paho"], "the clients that the README and the gate name");
    println!("\nleft out, as they need more than Rust: checks with {}; .ci/clients runs them\n", names.join(", "));
}
