//! The `listeners` section: where clients connect, and how.
//!
//! Called by the reader of the whole file; nothing is opened here, and no host name is looked up.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::error::{Place, Report};
use super::fields::{Fields, items, parsed};
use super::scalars::{choice, quoted};
use super::tree::{At, Node, Value};

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: ListenAddress,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where in the file it was written.
    pub place: Place,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// What is spoken on a listener; MQTT 3.1, 3.1.1 and 5 on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
    /// MQTT over a Unix socket.
    Unix,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PROTOCOLS.iter().find(|(_, protocol)| protocol == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

const PROTOCOLS: [(&str, Protocol); 5] = [
    ("mqtt", Protocol::Mqtt),
    ("mqtts", Protocol::Mqtts),
    ("ws", Protocol::Ws),
    ("wss", Protocol::Wss),
    ("unix", Protocol::Unix),
];

/// The listener of a file that names none: MQTT's own port on every IPv4 interface.
pub(super) fn default_listeners(report: &Report<'_>) -> Vec<Listener> {
    vec![Listener {
        address: ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 1883))),
        protocol: Protocol::Mqtt,
        place: report.place(At::START),
    }]
}

pub(super) fn read_listeners(node: &Node, report: &mut Report<'_>) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    if matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
        report.error(node.at, "at least one listener is expected; leave the key out for 0.0.0.0:1883");
    }
    for node in items(node, "listeners", report) {
        let Some((listener, at)) = read_listener(node, report) else {
            continue;
        };
        let any_port = matches!(&listener.address, ListenAddress::Tcp(address) if address.port() == 0);
        let same = |other: &&Listener| other.address == listener.address;
        if let Some(other) = listeners.iter().find(same).filter(|_| !any_port) {
            let message = format!("{} is already listened on at {}", other.address, other.place);
            report.error(at, message);
        }
        listeners.push(listener);
    }
    listeners
}

/// A listener, and where its address stands.
fn read_listener(node: &Node, report: &mut Report<'_>) -> Option<(Listener, At)> {
    let mut fields = Fields::of(node, "a listener", report);
    let address = fields.take("address");
    let protocol = match fields.take("protocol") {
        Some(node) => read_protocol(node, report),
        None => Some(Protocol::Mqtt),
    };
    fields.finish(report);
    let Some(address) = address else {
        if node.is_mapping() {
            report.error(node.at, "a listener needs an address, such as `address: \"0.0.0.0:1883\"`");
        }
        return None;
    };
    let protocol = protocol?;
    let read_address = match protocol {
        Protocol::Unix => socket_path,
        _ => socket_address_to_listen_on,
    };
    let listener = Listener { address: parsed(address, report, read_address)?, protocol, place: report.place(node.at) };
    Some((listener, address.at))
}

fn read_protocol(node: &Node, report: &mut Report<'_>) -> Option<Protocol> {
    let protocol = parsed(node, report, choice(&PROTOCOLS))?;
    let served = matches!(protocol, Protocol::Mqtt | Protocol::Ws | Protocol::Unix);
    if !served && let Value::Scalar(text) = &node.value {
        let message = format!("`{text}` is not available in this version of Weir; use mqtt, ws or unix");
        report.error(node.at, message);
    }
    Some(protocol)
}

fn socket_address_to_listen_on(text: &str) -> Result<ListenAddress, String> {
    socket_address(text).map(ListenAddress::Tcp)
}

/// An IP address and a port. `localhost` is taken for 127.0.0.1.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST));
    local.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!(
            "an IP address and a port are expected, such as 0.0.0.0:1883, 127.0.0.1:1883 or [::]:1883, not {}",
            quoted(text)
        )
    })
}

/// The path of a Unix socket. The system's own field for it has 108 bytes, one of them a closing zero.
fn socket_path(text: &str) -> Result<ListenAddress, String> {
    if text.contains('/') && !text.ends_with('/') && text.len() <= 107 && !text.contains('\0') {
        Ok(ListenAddress::Unix(text.into()))
    } else {
        let found = quoted(text);
        Err(format!("the path of a socket is expected, such as /run/weir.sock, of up to 107 bytes, not {found}"))
    }
}
