//! The brokers under measurement: each started fresh from a configuration made for it, on a free port, in a directory of its
//! own, and ended with its handle, whatever ends the run. Called by `cases`; it speaks no MQTT.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::connection::Result;

/// How long a start may take.
const START: Duration = Duration::from_secs(15);
/// Clients that the brokers are told to expect.
const CLIENTS: usize = 20_000;

/// Which broker, and how it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Peer {
    /// Weir, with limits that are on and never reached
    Weir,
    /// Weir, with the same limits and `enforce: false`
    WeirUnenforced,
    /// Weir, on a plan without limits
    WeirUnlimited,
    Mosquitto,
    Rumqttd,
}

impl Peer {
    pub const BROKERS: [Peer; 3] = [Peer::Weir, Peer::Mosquitto, Peer::Rumqttd];
    pub const ALL: [Peer; 5] = [Peer::Weir, Peer::WeirUnenforced, Peer::WeirUnlimited, Peer::Mosquitto, Peer::Rumqttd];

    /// As tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Peer::Weir => "Weir",
            Peer::WeirUnenforced => "Weir, enforce: false",
            Peer::WeirUnlimited => "Weir, no limits",
            Peer::Mosquitto => "Mosquitto",
            Peer::Rumqttd => "rumqttd",
        }
    }

    pub fn is_weir(self) -> bool {
        !matches!(self, Peer::Mosquitto | Peer::Rumqttd)
    }

    fn binary(self) -> OsString {
        match self {
            Peer::Mosquitto => "mosquitto".into(),
            Peer::Rumqttd => std::env::var_os("RUMQTTD").unwrap_or_else(|| "rumqttd".into()),
            _ => env!("CARGO_BIN_EXE_weir").into(),
        }
    }

    /// What it calls its version; `None` if it is not installed.
    pub fn version(self) -> Option<String> {
        // Mosquitto has no --version.
        let flag = if self == Peer::Mosquitto { "-h" } else { "--version" };
        let output = Command::new(self.binary()).arg(flag).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    }
}

/// How a broker is to be started.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Weir's `backend`.
    pub backend: &'a str,
    /// So many devices with credentials of their own; 0 for clients without.
    pub devices: usize,
    /// The core it may run on, if only one.
    pub core: Option<usize>,
}

/// A broker that runs, until this is dropped.
pub struct Broker {
    pub peer: Peer,
    pub address: SocketAddr,
    pid: u32,
}

/// The processes that run, each with its directory, so that a signal can end them.
static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

struct Running {
    child: Child,
    _directory: TempDir,
}

/// Ends every broker that was started here.
pub fn end_all() {
    RUNNING.lock().drain(..).for_each(end);
}

fn end(mut running: Running) {
    // It may have ended by itself.
    let _ = running.child.kill();
    let _ = running.child.wait();
}

impl Broker {
    pub fn start(peer: Peer, setup: Setup<'_>) -> Result<Self> {
        let directory = TempDir::with_prefix("weir-peers-")?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let path = directory.path();
        let args: Vec<OsString> = match peer {
            Peer::Mosquitto => vec!["-c".into(), mosquitto_config(path, port, setup.devices)?.into()],
            Peer::Rumqttd => vec!["-q".into(), "-c".into(), rumqttd_config(path, port, setup.devices)?.into()],
            weir => {
                let config = path.join("broker.yaml");
                fs::write(&config, weir_config(weir, port, setup))?;
                vec!["--log-level".into(), "warn".into(), "--config".into(), config.into()]
            }
        };
        let mut command = match setup.core {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", &core.to_string()]).arg(peer.binary());
                pinned
            }
            None => Command::new(peer.binary()),
        };
        let log = path.join("log");
        let file = fs::File::create(&log)?;
        // Held until the process is on the list, so that a signal cannot come in between.
        let mut running = RUNNING.lock();
        let child = command
            .args(args)
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", peer.title()))?;
        let pid = child.id();
        running.push(Running { child, _directory: directory });
        drop(running);
        let broker = Self { peer, address: (Ipv4Addr::LOCALHOST, port).into(), pid };
        broker.wait_until_up(&log)?;
        Ok(broker)
    }

    fn wait_until_up(&self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            if self.has_ended() || Instant::now() > deadline {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{} did not start; it said:\n{}", self.peer.title(), log.trim()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        // What it still does for its start is not to be measured.
        thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    fn has_ended(&self) -> bool {
        let mut running = RUNNING.lock();
        let broker = running.iter_mut().find(|running| running.child.id() == self.pid);
        broker.is_none_or(|broker| !matches!(broker.child.try_wait(), Ok(None)))
    }

    /// Processor time that it has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.pid.to_string())
    }

    /// Bytes of memory that it has resident.
    pub fn resident(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no resident size is told")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib << 10)
    }

    /// What the device of this number shows when it connects.
    pub fn credentials(&self, device: usize) -> (String, String) {
        match self.peer.is_weir() {
            true => ("Token".into(), token(device)),
            false => (device_name(device), token(device)),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let ended = {
            let mut running = RUNNING.lock();
            running.iter().position(|running| running.child.id() == self.pid).map(|at| running.swap_remove(at))
        };
        ended.into_iter().for_each(end);
    }
}

/// Processor time of a process, `self` for this one: the scheduler's nanoseconds of each thread, or the clock ticks of all
/// threads that ever were, where those are more because threads have ended.
pub fn cpu_of(pid: &str) -> Result<Duration> {
    /// Of /proc: 100 a second on every Linux there is.
    const TICK: Duration = Duration::from_millis(10);

    let mut threads = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end at any time.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let on_cpu = text.split(' ').next().unwrap_or_default().parse()?;
        threads += Duration::from_nanos(on_cpu);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program comes second, in parentheses, and may hold anything; utime and stime are 14th and 15th.
    let (_, fields) = stat.rsplit_once(") ").ok_or("a line of /proc that is not understood")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<std::result::Result<u32, _>>()?;
    Ok(threads.max(TICK * ticks))
}

fn device_name(device: usize) -> String {
    format!("device-{device}")
}

fn token(device: usize) -> String {
    format!("q7Rk2ZpVx0-{device:08}-mT4wLb9sYd")
}

/// The `broker.yaml` of one profile. Caps are the same whatever the limits, and so large that none is reached.
fn weir_config(peer: Peer, port: u16, setup: Setup<'_>) -> String {
    let limits = match peer {
        Peer::WeirUnlimited => "",
        _ => "connect: 1_000M/min, publish: 1_000M/min, receive: 1_000M/min, subscribe: 1_000M/min, ",
    };
    let enforce = peer != Peer::WeirUnenforced;
    let mut config = format!(
        "listeners: [{{ address: \"127.0.0.1:{port}\", protocol: mqtt }}]\n\
         backend: {}\n\
         plans:\n  generous: {{ {limits}enforce: {enforce}, max_subscriptions: 2_000_000, \
         max_queued_messages: 100_000_000, max_queued_bytes: 64GiB }}\n\
         anonymous: fleet\n\
         profiles:\n  fleet:\n    plan: generous\n    devices:\n      spare: {{ token: {} }}\n",
        setup.backend,
        token(CLIENTS),
    );
    for device in 0..setup.devices {
        let (name, token) = (device_name(device), token(device));
        // Writing to a string does not fail.
        let _ = writeln!(config, "      {name}: {{ token: {token} }}");
    }
    config
}

fn mosquitto_config(directory: &Path, port: u16, devices: usize) -> Result<PathBuf> {
    let mut config = format!(
        "listener {port} 127.0.0.1\n\
         persistence false\n\
         log_dest none\n\
         max_connections -1\n\
         max_queued_messages 0\n\
         max_inflight_messages 1000\n\
         set_tcp_nodelay true\n"
    );
    if devices > 0 {
        let passwords = directory.join("passwords");
        let lines: String = (0..devices).map(|n| format!("{}:{}\n", device_name(n), token(n))).collect();
        fs::write(&passwords, lines)?;
        let hashed = Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status()?;
        if !hashed.success() {
            return Err("mosquitto_passwd did not hash the passwords".into());
        }
        // Started by root it becomes another user, who cannot read the directory.
        config += &format!("allow_anonymous false\npassword_file {}\nuser root\n", passwords.display());
    } else {
        config += "allow_anonymous true\n";
    }
    let path = directory.join("mosquitto.conf");
    fs::write(&path, config)?;
    Ok(path)
}

fn rumqttd_config(directory: &Path, port: u16, devices: usize) -> Result<PathBuf> {
    let mut config = format!(
        "id = 0\n\
         [router]\n\
         id = 0\n\
         max_connections = {CLIENTS}\n\
         max_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\n\
         max_segment_count = 10\n\
         [v4.1]\n\
         name = \"v4-1\"\n\
         listen = \"127.0.0.1:{port}\"\n\
         next_connection_delay_ms = 0\n\
         [v4.1.connections]\n\
         connection_timeout_ms = 60000\n\
         max_payload_size = 1048576\n\
         max_inflight_count = 1000\n\
         dynamic_filters = true\n"
    );
    if devices > 0 {
        config += "[v4.1.connections.auth]\n";
        config.extend((0..devices).map(|n| format!("{} = \"{}\"\n", device_name(n), token(n))));
    }
    let path = directory.join("rumqttd.toml");
    fs::write(&path, config)?;
    Ok(path)
}
