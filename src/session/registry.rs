//! Who owns the session of a client identifier: a connection, or nobody for now. One registry for each profile, so that client
//! identifiers of different profiles never meet. A connection claims its session here, hands it over when another claims it,
//! and parks it when it goes.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Session;
use crate::hooks::Client;
use crate::keyed::{Keyed, KeyedTable};
use crate::router::{Mailbox, Message, Signal};

#[derive(Default)]
pub(crate) struct Registry(Mutex<Owners>);

#[derive(Default)]
struct Owners {
    entries: KeyedTable<Box<Entry>>,
    /// Who waits for the session of a client identifier that is connected: at most one, and seldom anyone.
    heirs: BTreeMap<Box<str>, Heir>,
}

struct Entry {
    client_id: Box<str>,
    slot: Slot,
}

enum Slot {
    Connected {
        /// Which connection owns the session.
        owner: u64,
        /// Where it can be told that it is taken over; nothing until it has come so far.
        mailbox: Option<Arc<Mailbox>>,
        /// Who it is; nothing until its connection is settled.
        client: Option<Arc<Client>>,
    },
    Parked(Box<Parked>),
}

/// A client that is connected.
pub(crate) struct Connected {
    pub(crate) client: Arc<Client>,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Slot {
    /// A slot whose owner can be told nothing yet.
    fn owned(owner: u64) -> Self {
        Slot::Connected { owner, mailbox: None, client: None }
    }
}

impl Keyed for Box<Entry> {
    fn key(&self) -> &[u8] {
        self.client_id.as_bytes()
    }
}

impl Owners {
    fn slot(&self, client_id: &str) -> Option<&Slot> {
        self.entries.get(client_id.as_bytes()).map(|entry| &entry.slot)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.entries.iter().map(|entry| &entry.slot)
    }

    fn slot_mut(&mut self, client_id: &str) -> Option<&mut Slot> {
        self.entries.get_mut(client_id.as_bytes()).map(|entry| &mut entry.slot)
    }

    /// Removes a client identifier, and gives back the memory of a crowd that has left.
    fn remove(&mut self, client_id: &str) -> Option<Slot> {
        let removed = self.entries.remove(client_id.as_bytes());
        self.entries.shrink(8);
        removed.map(|entry| entry.slot)
    }
}

/// The connection that waits to have a session, and where it is handed over: nothing, if it ended with its connection.
struct Heir {
    owner: u64,
    hand_over: oneshot::Sender<Option<Box<Parked>>>,
}

/// A session that no connection owns.
pub(crate) struct Parked {
    pub(crate) session: Session,
    /// When it ends, in milliseconds of the monotonic clock; nothing: it never does.
    pub(crate) expires: Option<u64>,
    /// The will that is to be published unless the client comes back in time [MQTT-3.1.3-9].
    pub(crate) will: Option<PendingWill>,
}

/// A will that waits for its delay to pass.
pub(crate) struct PendingWill {
    /// Whose it is.
    pub(crate) client: Arc<Client>,
    pub(crate) message: Message,
    /// The number of its client identifier, for No Local.
    pub(crate) publisher: u64,
    /// When it is published, in milliseconds of the monotonic clock.
    pub(crate) due: u64,
}

impl Parked {
    /// When this session next needs attention: its will is due, or it expires.
    pub(crate) fn due(&self) -> Option<u64> {
        let will = self.will.as_ref().map(|will| will.due);
        match (will, self.expires) {
            (Some(will), Some(expires)) => Some(will.min(expires)),
            (one, other) => one.or(other),
        }
    }
}

/// What a claim found.
pub(crate) enum Claim {
    /// There was no session; the claimant owns the identifier now.
    New,
    /// There was one that nobody owned; the claimant owns it now.
    Found(Box<Parked>),
    /// A connection owns it and is told to hand it over: here, or nothing where it ended with its connection. The channel
    /// closes where yet another claimant has come in between.
    Awaited(oneshot::Receiver<Option<Box<Parked>>>),
}

/// What became of a session that its connection let go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Another connection has it.
    HandedOver,
    /// It is kept, and needs attention at this time, if ever.
    Parked(Option<u64>),
    /// Nothing is left of it.
    Gone,
}

/// What a parked session's time has brought.
pub(crate) enum Due {
    /// It has expired: the session is no longer in the registry.
    Expired(Box<Parked>),
    /// Its will is to be published; the session stays, and needs attention again at this time.
    Will(PendingWill, Option<u64>),
    /// Nothing yet, until this time.
    NotYet(Option<u64>),
}

impl Registry {
    /// Claims a client identifier for the connection `owner`.
    pub(crate) fn claim(&self, client_id: &str, owner: u64) -> Claim {
        let owners = &mut *self.0.lock();
        let mine = Slot::owned(owner);
        let Some(slot) = owners.slot_mut(client_id) else {
            owners.entries.insert(Box::new(Entry { client_id: client_id.into(), slot: mine }));
            return Claim::New;
        };
        match slot {
            Slot::Connected { mailbox, .. } => {
                if let Some(mailbox) = mailbox {
                    mailbox.signal(Signal::TakenOver);
                }
                let (hand_over, awaited) = oneshot::channel();
                owners.heirs.insert(client_id.into(), Heir { owner, hand_over });
                Claim::Awaited(awaited)
            }
            Slot::Parked(_) => match std::mem::replace(slot, mine) {
                Slot::Parked(parked) => Claim::Found(parked),
                Slot::Connected { .. } => Claim::New,
            },
        }
    }

    /// The owner can be told things here from now on.
    pub(crate) fn attach(&self, client_id: &str, owner: u64, mailbox: &Arc<Mailbox>) {
        let mut owners = self.0.lock();
        if let Some(Slot::Connected { owner: current, mailbox: place, .. }) = owners.slot_mut(client_id)
            && *current == owner
        {
            *place = Some(Arc::clone(mailbox));
            if owners.heirs.contains_key(client_id) {
                mailbox.signal(Signal::TakenOver);
            }
        }
    }

    /// The owner is known to be this client from now on.
    pub(crate) fn introduce(&self, client_id: &str, owner: u64, client: &Arc<Client>) {
        let mut owners = self.0.lock();
        if let Some(Slot::Connected { owner: current, client: place, .. }) = owners.slot_mut(client_id)
            && *current == owner
        {
            *place = Some(Arc::clone(client));
        }
    }

    /// The owner lets the session go: to its heir, else it is kept (`Some`) or over (`None`).
    pub(crate) fn release(&self, client_id: &str, owner: u64, parked: Option<Box<Parked>>) -> Released {
        let owners = &mut *self.0.lock();
        let heir = match owners.slot(client_id) {
            Some(Slot::Connected { owner: current, .. }) if *current == owner => owners.heirs.remove(client_id),
            _ => return Released::Gone,
        };
        let Some(slot) = owners.slot_mut(client_id) else { return Released::Gone };
        let mut parked = parked;
        if let Some(heir) = heir {
            match heir.hand_over.send(parked) {
                Ok(()) => {
                    *slot = Slot::owned(heir.owner);
                    return Released::HandedOver;
                }
                // The heir is gone: as if it had never come.
                Err(returned) => parked = returned,
            }
        }
        match parked {
            Some(parked) => {
                let due = parked.due();
                *slot = Slot::Parked(parked);
                Released::Parked(due)
            }
            None => {
                owners.remove(client_id);
                Released::Gone
            }
        }
    }

    /// Looks after a parked session whose time may have come. `session` is its mailbox's number. Where it has expired, `owner`
    /// has the client identifier from then on, if one is named.
    pub(crate) fn due(&self, client_id: &str, session: u64, now: u64, owner: Option<u64>) -> Option<Due> {
        let owners = &mut *self.0.lock();
        let slot = owners.slot_mut(client_id)?;
        let Slot::Parked(parked) = slot else { return None };
        if parked.session.mailbox().id() != session {
            return None;
        }
        if parked.expires.is_some_and(|at| at <= now) {
            let ended = match owner {
                Some(owner) => std::mem::replace(slot, Slot::owned(owner)),
                None => owners.remove(client_id)?,
            };
            return match ended {
                Slot::Parked(parked) => Some(Due::Expired(parked)),
                Slot::Connected { .. } => None,
            };
        }
        match parked.will.take_if(|will| will.due <= now) {
            Some(will) => Some(Due::Will(will, parked.due())),
            None => Some(Due::NotYet(parked.due())),
        }
    }

    /// How many messages wait for all sessions, connected or not.
    pub(crate) fn waiting(&self) -> u64 {
        let owners = self.0.lock();
        let waiting = |slot: &Slot| match slot {
            Slot::Connected { mailbox, .. } => mailbox.as_ref().map_or(0, |mailbox| mailbox.waiting()),
            Slot::Parked(parked) => parked.session.mailbox().waiting(),
        };
        owners.slots().map(waiting).sum()
    }

    /// The first `most` clients that are connected, by client identifier, after the one named.
    pub(crate) fn clients(&self, after: Option<&str>, most: usize) -> Vec<Connected> {
        let owners = self.0.lock();
        // The largest on top, so that it goes when a smaller one comes: no more is cloned than is asked for.
        let mut first: BinaryHeap<&str> = BinaryHeap::with_capacity(most + 1);
        for Entry { client_id, slot } in owners.entries.iter().map(Box::as_ref) {
            let Slot::Connected { mailbox: Some(_), client: Some(_), .. } = slot else { continue };
            if after.is_some_and(|after| **client_id <= *after) {
                continue;
            }
            if first.len() < most || first.peek().is_some_and(|largest| **client_id < **largest) {
                first.push(client_id);
                if first.len() > most {
                    first.pop();
                }
            }
        }
        let connected = |client_id: &str| match owners.slot(client_id) {
            Some(Slot::Connected { mailbox: Some(mailbox), client: Some(client), .. }) => {
                Some(Connected { client: Arc::clone(client), mailbox: Arc::clone(mailbox) })
            }
            _ => None,
        };
        first.into_sorted_vec().into_iter().filter_map(connected).collect()
    }

    /// Where a client that is connected can be told something.
    pub(crate) fn mailbox(&self, client_id: &str) -> Option<Arc<Mailbox>> {
        match self.0.lock().slot(client_id) {
            Some(Slot::Connected { mailbox, .. }) => mailbox.clone(),
            _ => None,
        }
    }

    /// Everyone who is connected.
    pub(crate) fn connected(&self) -> Vec<Arc<Mailbox>> {
        let owners = self.0.lock();
        let mailbox = |slot: &Slot| match slot {
            Slot::Connected { mailbox, .. } => mailbox.clone(),
            Slot::Parked(_) => None,
        };
        owners.slots().filter_map(mailbox).collect()
    }
}

#[cfg(test)]
mod tests;
