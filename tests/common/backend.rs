//! Which backend a broker of the tests has: its own router, an embedded rumqttd, or another broker, Debian's mosquitto, that
//! runs for the one test. Said by the name of the test (`limits_mqtt`) or by `WEIR_TEST_BACKEND`.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::PATIENCE;

/// Who routes the messages of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Native,
    Rumqttd,
    Mqtt,
}

impl Backend {
    /// The backend of this test.
    pub fn of_this_test() -> Backend {
        let asked = std::env::var("WEIR_TEST_BACKEND").unwrap_or_default();
        match (asked.as_str(), env!("CARGO_CRATE_NAME")) {
            ("rumqttd", _) => Backend::Rumqttd,
            ("mqtt", _) => Backend::Mqtt,
            (_, name) if name.ends_with("_rumqttd") => Backend::Rumqttd,
            (_, name) if name.ends_with("_mqtt") => Backend::Mqtt,
            _ => Backend::Native,
        }
    }
}

/// A mosquitto that runs for one test, and ends with it.
pub struct Mosquitto {
    child: Option<Child>,
    address: SocketAddr,
    directory: TempDir,
}

impl Mosquitto {
    /// Starts one on a free port. Where it is not installed, the whole test is left out, and says so.
    pub fn start() -> Mosquitto {
        Self::with("")
    }

    /// Starts one with these lines in its configuration too.
    pub fn with(lines: &str) -> Mosquitto {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let directory = TempDir::new().expect("a directory");
        let store = directory.path().display();
        let config = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest none\nmax_inflight_messages 0\n\
             max_queued_messages 0\npersistence_location {store}/\n{lines}\n",
            address.port()
        );
        std::fs::write(directory.path().join("mosquitto.conf"), config).expect("written");
        let mut mosquitto = Mosquitto { child: None, address, directory };
        mosquitto.run();
        mosquitto
    }

    /// Starts the process, after a kill for one.
    pub fn run(&mut self) {
        let path =
            ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].into_iter().find(|path| Path::new(path).exists());
        let command = Command::new(path.unwrap_or("mosquitto"))
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match command {
            Ok(child) => self.child = Some(child),
            Err(_) => {
                // Beside what the test runner catches: this is for whoever ran it.
                let name = env!("CARGO_CRATE_NAME");
                let _ = writeln!(std::io::stderr(), "\n{name}: left out, as mosquitto is not installed\n");
                std::process::exit(0);
            }
        }
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(start.elapsed() < PATIENCE, "mosquitto listens");
            std::thread::yield_now();
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the process a signal (KILL, TERM) and waits for its end.
    pub fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("kill runs");
            assert!(sent.success());
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
