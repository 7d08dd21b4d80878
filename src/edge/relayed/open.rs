//! How a relayed connection begins: the backend is asked to take the client, and answers with what it offers. Called by the
//! handshake when the client's session is claimed.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use super::super::tallies::Unsent;
use super::Relayed;
use crate::hub::Hub;
use crate::relay::{Answer, Asking, Names, NotOpened, Relay};
use crate::wire::Version;

/// The other side of a connection, and what the backend has said to it.
pub(in crate::edge) struct Offered {
    pub(in crate::edge) relayed: Box<Relayed>,
    pub(in crate::edge) answer: Answer,
}

/// Asks the backend to take a client.
pub(in crate::edge) async fn open(
    hub: &Hub,
    relay: &Relay,
    names: Names,
    asking: Asking<'_>,
) -> Result<Offered, NotOpened> {
    let losses = relay.losses();
    let timeout = hub.config.load().admission.handshake_timeout.as_millis() as u64;
    let deadline = hub.clock.now().mono + timeout;
    let opened = relay.open(&names, &asking, &hub.clock, deadline).await?;
    let said = opened.answer.connack().properties;
    let version = asking.connect.version;
    let relayed = Relayed {
        stream: opened.stream,
        version,
        fresh: !opened.rest.is_empty(),
        input: opened.rest,
        skip: 0,
        unsent: Unsent::default(),
        held: VecDeque::new(),
        held_bytes: 0,
        asked: HashMap::new(),
        passed: 0,
        answered: 0,
        unreceived: HashSet::new(),
        later: VecDeque::new(),
        later_bytes: 0,
        pings: 0,
        keep_alive: said.server_keep_alive().unwrap_or(asking.keep_alive),
        said: hub.clock.now().mono,
        losses,
        max_packet_size: said.maximum_packet_size().map_or(usize::MAX, |size| size as usize),
        session_expiry: if version == Version::V5 { asking.session_expiry } else { 0 },
        names,
    };
    Ok(Offered { relayed: Box::new(relayed), answer: opened.answer })
}
