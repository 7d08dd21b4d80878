//! The second half of the handshake: the session of a client identifier is claimed from whoever has it, begun or resumed, and
//! what is agreed with the client is put into its CONNACK. Called once the client is known and no one objects to it.

use std::sync::Arc;

use super::authenticate::Proved;
use super::connection::{Authentication, Beginning, Settings};
use super::handshake::{Asked, Refused};
use super::relayed::{Offered, open};
use crate::account::Account;
use crate::clock::Now;
use crate::config::Config;
use crate::hooks::Client;
use crate::hub::Hub;
use crate::identity::{Access, Identity};
use crate::limits::Caps;
use crate::relay::{Asking, NotOpened};
use crate::router::{Mailbox, Message};
use crate::session::{Claim, Link, Parked, Session};
use crate::wire::{ConnAck, Connect, Packet, Properties, Property, PropertyBuf, QoS, ReasonCode, Version};

/// A client identifier that this connection owns, and the session there was.
pub(super) struct Claimed {
    asked: Asked,
    account: Arc<Account>,
    owner: u64,
    session: Session,
    session_present: bool,
    /// There was one, whose time was over: a backend may still have it.
    expired: bool,
    /// Where the client is relayed: the other side.
    offered: Option<Offered>,
}

/// Claims the session of the client identifier, from whoever has it [MQTT-3.1.4-3], and begins or resumes it.
pub(super) async fn claim(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    asked: Asked,
    config: &Config,
    now: Now,
) -> Result<Claimed, Refused> {
    let owner = hub.connection_id();
    let parked = match account.registry().claim(&asked.client_id, owner) {
        Claim::New => None,
        Claim::Found(parked) => {
            if let Some(due) = parked.due() {
                hub.janitor.leave(parked.session.mailbox().id(), due);
            }
            Some(parked)
        }
        Claim::Awaited(handed_over) => match handed_over.await {
            Ok(parked) => parked,
            Err(_) => return Err(Refused::Silently("another connection has taken the client identifier".into())),
        },
    };
    if let Err((code, text)) = enter(hub, account, config) {
        hub.let_go(account, &asked.client_id, owner, parked);
        return Err(asked.refuse(code, text));
    }
    let mut expired = false;
    let resumed = match parked {
        // The janitor may not have come by yet.
        Some(parked) if parked.expires.is_some_and(|at| at <= now.mono) => {
            hub.end_session(account, *parked, now);
            expired = true;
            None
        }
        // Clean Start ends the session there was [MQTT-3.1.2-4].
        Some(parked) if asked.clean_start => {
            hub.end_session(account, *parked, now);
            None
        }
        Some(mut parked) => {
            // The client is back: its will is published only if the time for that had come before [MQTT-3.1.3-9].
            if let Some(will) = parked.will.take_if(|will| will.due <= now.mono) {
                hub.publish_due_will(will, now);
            }
            Some(parked.session)
        }
        None => None,
    };
    let session_present = resumed.is_some();
    let session = match resumed {
        Some(mut session) => {
            session.mailbox().connected(account.queue_caps());
            session.resume();
            session
        }
        None => {
            hub.stats.sessions.add(1);
            Session::new(Arc::new(Mailbox::new(account.queue_caps(), account.client_number(&asked.client_id))))
        }
    };
    account.registry().attach(&asked.client_id, owner, session.mailbox());
    Ok(Claimed { asked, account: Arc::clone(account), owner, session, session_present, expired, offered: None })
}

/// Counts the client among those of its profile and of the broker, if both may have one more.
fn enter(hub: &Hub, account: &Account, config: &Config) -> Result<(), (ReasonCode, String)> {
    account.enter().map_err(|max| (ReasonCode::QuotaExceeded, format!("max_connections is reached ({max})")))?;
    if !hub.admission.enter(config.admission.max_connections) {
        account.leave();
        return Err((ReasonCode::ServerBusy, "admission.max_connections is reached".into()));
    }
    Ok(())
}

impl Claimed {
    /// Has the backend take the client, if there is one. Where it does not, the session is as it was before the claim.
    pub(super) async fn relay(
        mut self,
        hub: &Arc<Hub>,
        connect: &Connect<'_>,
        config: &Config,
    ) -> Result<Self, Refused> {
        let Some(relay) = &hub.relay else { return Ok(self) };
        let caps = &self.account.plan().caps;
        let terms = Terms::new(&self.asked, config, caps);
        let asking = Asking {
            connect: &Connect { clean_start: connect.clean_start || self.expired, ..*connect },
            client_id: &self.asked.client_id,
            keep_alive: if relay.is_remote() { terms.keep_alive } else { 0 },
            session_expiry: terms.session_expiry,
            receive_maximum: self.asked.receive_maximum.min(caps.max_inflight.unwrap_or(config.mqtt.max_inflight)),
            max_packet_size: config.mqtt.max_packet_size.min(self.asked.max_packet_size.try_into().unwrap_or(u32::MAX)),
        };
        match open(hub, relay, relay.names(self.account.name()), asking).await {
            Ok(offered) => {
                self.agree(hub, offered.answer.connack().session_present);
                self.offered = Some(offered);
                Ok(self)
            }
            Err(not_opened) => {
                let (code, text) = match not_opened {
                    NotOpened::Away(text) => (ReasonCode::ServerUnavailable, text),
                    NotOpened::Refused(code, text) => (code, text.into()),
                };
                let refused = self.asked.refuse(code, text);
                self.abandon(hub, terms.session_expiry);
                Err(refused)
            }
        }
    }

    /// The backend keeps the session: whether there was one is its word. MQTT 3.1 has none for that.
    fn agree(&mut self, hub: &Hub, session_present: bool) {
        if self.session_present && !session_present && self.asked.version != Version::V3 {
            let client = self.session.mailbox().client();
            let begun = Session::new(Arc::new(Mailbox::new(self.account.queue_caps(), client)));
            let ended = std::mem::replace(&mut self.session, begun);
            hub.end_session(&self.account, Parked { session: ended, expires: None, will: None }, hub.clock.now());
            hub.stats.sessions.add(1);
            self.account.registry().attach(&self.asked.client_id, self.owner, self.session.mailbox());
        }
        self.session_present = session_present;
    }

    /// Lets go of the claim.
    fn abandon(self, hub: &Arc<Hub>, session_expiry: u32) {
        let Claimed { asked, account, owner, mut session, session_present, .. } = self;
        account.leave();
        hub.admission.leave();
        let now = hub.clock.now();
        if !session_present {
            hub.end_session(&account, Parked { session, expires: None, will: None }, now);
            account.registry().release(&asked.client_id, owner, None);
            return;
        }
        session.park(&hub.stats);
        let expires = (session_expiry != u32::MAX).then(|| now.mono + u64::from(session_expiry) * 1000);
        let parked = Box::new(Parked { session, expires, will: None });
        hub.let_go(&account, &asked.client_id, owner, Some(parked));
    }

    /// Settles what holds for this connection, and writes the CONNACK that says so.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the connection that is made here and nowhere else"
    )]
    pub(super) fn settle(
        self,
        hub: &Hub,
        config: &Arc<Config>,
        identity: Identity,
        client: Arc<Client>,
        access: Access,
        will: Option<(Message, u32)>,
        input: Vec<u8>,
        assigned: bool,
        generation: u64,
        authentication: Option<Proved>,
    ) -> (Box<Settings>, Beginning) {
        let Claimed { asked, account, owner, session, session_present, offered, .. } = self;
        client.activity.enter();
        account.registry().introduce(&asked.client_id, owner, &client);
        let plan = account.plan();
        let mut terms = Terms::new(&asked, config, &plan.caps);
        let said = offered.as_ref().map(|offered| offered.answer.connack().properties);
        if let (Some(said), Some(relay)) = (said, &hub.relay) {
            terms.narrow(said, relay.names(account.name()).overhead());
        }
        let link = Link::new(
            asked.version,
            asked.receive_maximum.min(plan.caps.max_inflight.unwrap_or(config.mqtt.max_inflight)),
            asked.max_packet_size,
            // Only Weir's own messages go out by this where the client is relayed.
            if offered.is_some() { 0 } else { asked.topic_alias_maximum.min(config.mqtt.topic_alias_maximum) },
        );
        let mut connack = Vec::new();
        let mut offer = Offer::new(config, said.unwrap_or_default());
        terms.connack(&asked, &offer, session_present, assigned, authentication.as_ref(), &mut connack);
        if connack.len() > asked.max_packet_size {
            // What the backend adds for people to read may be left out [MQTT-3.2.2-20].
            offer.user_properties.clear();
            connack.clear();
            terms.connack(&asked, &offer, session_present, assigned, authentication.as_ref(), &mut connack);
        }
        tracing::info!(
            profile = %account.name(),
            device = client.device().unwrap_or("-"),
            // As a string, so that no client identifier can pretend to be a line of the log.
            client = &*asked.client_id,
            version = %asked.version,
            peer = client.peer().map(display),
            resumed = session_present,
            "connected"
        );
        let settings = Settings {
            generation,
            config: Arc::clone(config),
            plan,
            identity,
            client,
            owner,
            session,
            link,
            access,
            will,
            keep_alive: terms.keep_alive,
            session_expiry: terms.session_expiry,
            max_packet_size: terms.max_packet_size,
            wants_reasons: asked.wants_reasons,
            authentication: authentication.map(|(method, _)| Box::new(Authentication { method, exchange: None })),
        };
        (Box::new(settings), Beginning { connack, input, relayed: offered.map(|offered| offered.relayed) })
    }
}

/// What is agreed for a connection: the client's wishes, within the broker's bounds.
struct Terms {
    keep_alive: u16,
    session_expiry: u32,
    max_packet_size: u32,
}

impl Terms {
    fn new(asked: &Asked, config: &Config, caps: &Caps) -> Self {
        let max_keep_alive = config.mqtt.max_keep_alive;
        let unbounded = max_keep_alive == 0 || asked.version != Version::V5;
        let keep_alive = match asked.keep_alive {
            asked if unbounded => asked,
            0 => max_keep_alive,
            asked => asked.min(max_keep_alive),
        };
        let max_expiry = caps.max_session_expiry.unwrap_or(config.mqtt.max_session_expiry);
        let max_packet =
            caps.max_packet_size.map_or(config.mqtt.max_packet_size, |c| c.min(config.mqtt.max_packet_size));
        Terms { keep_alive, session_expiry: asked.session_expiry.min(max_expiry), max_packet_size: max_packet }
    }

    /// Takes what the backend has agreed to, where that is less. A keep-alive that the backend asks for is Weir's to keep, and
    /// not the client's. `overhead`: what a packet may grow by on its way there.
    fn narrow(&mut self, said: Properties<'_>, overhead: usize) {
        self.session_expiry = said.session_expiry_interval().unwrap_or(self.session_expiry);
        if let Some(size) = said.maximum_packet_size() {
            self.max_packet_size = self.max_packet_size.min(size.saturating_sub(overhead as u32).max(1));
        }
    }

    /// The CONNACK, with what MQTT 5 clients are told of the terms where they differ from what is understood.
    fn connack(
        &self,
        asked: &Asked,
        offer: &Offer<'_>,
        session_present: bool,
        assigned: bool,
        authentication: Option<&Proved>,
        out: &mut Vec<u8>,
    ) {
        let mut properties = PropertyBuf::new();
        if asked.version == Version::V5 {
            if self.session_expiry != asked.session_expiry {
                properties.push(Property::SessionExpiryInterval(self.session_expiry));
            }
            if offer.receive_maximum != u16::MAX {
                properties.push(Property::ReceiveMaximum(offer.receive_maximum));
            }
            if offer.max_qos < QoS::ExactlyOnce as u8 {
                properties.push(Property::MaximumQoS(offer.max_qos));
            }
            if !offer.retain {
                properties.push(Property::RetainAvailable(false));
            }
            properties.push(Property::MaximumPacketSize(self.max_packet_size));
            if assigned {
                properties.push(Property::AssignedClientIdentifier(&asked.client_id));
            }
            if offer.topic_alias_maximum > 0 {
                properties.push(Property::TopicAliasMaximum(offer.topic_alias_maximum));
            }
            if !offer.wildcards {
                properties.push(Property::WildcardSubscriptionAvailable(false));
            }
            if !offer.subscription_ids {
                properties.push(Property::SubscriptionIdentifiersAvailable(false));
            }
            if !offer.shared {
                properties.push(Property::SharedSubscriptionAvailable(false));
            }
            if self.keep_alive != asked.keep_alive {
                properties.push(Property::ServerKeepAlive(self.keep_alive));
            }
            if let Some((method, data)) = authentication {
                // [MQTT-4.12.0-5]
                properties.push(Property::AuthenticationMethod(method));
                if !data.is_empty() {
                    properties.push(Property::AuthenticationData(data));
                }
            }
            let response_information = format!("responses/{}", asked.client_id);
            if asked.wants_response_information {
                properties.push(Property::ResponseInformation(&response_information));
            }
            for (name, value) in &offer.user_properties {
                properties.push(Property::UserProperty(name, value));
            }
        }
        // 3.1 has no Session Present: the bit is reserved there.
        let session_present = session_present && asked.version != Version::V3;
        let connack = ConnAck { session_present, code: 0, properties: properties.as_properties() };
        // Nothing here can be too long for its place.
        let encoded = Packet::ConnAck(connack).encode(asked.version, out);
        debug_assert!(encoded.is_ok());
    }
}

/// What of MQTT a client is offered: what Weir offers, and no more of it than the backend does.
struct Offer<'a> {
    receive_maximum: u16,
    max_qos: u8,
    retain: bool,
    topic_alias_maximum: u16,
    wildcards: bool,
    subscription_ids: bool,
    shared: bool,
    user_properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Offer<'a> {
    /// `said`: the backend's CONNACK; empty where there is no other broker.
    fn new(config: &Config, said: Properties<'a>) -> Self {
        let mqtt = &config.mqtt;
        Offer {
            receive_maximum: said.receive_maximum().map_or(mqtt.receive_maximum, |max| max.min(mqtt.receive_maximum)),
            max_qos: said.maximum_qos().map_or(mqtt.max_qos, |max| max.min(mqtt.max_qos)),
            retain: mqtt.retain && said.retain_available() != Some(false),
            topic_alias_maximum: mqtt.topic_alias_maximum,
            wildcards: mqtt.wildcard_subscriptions && said.wildcard_subscription_available() != Some(false),
            subscription_ids: said.subscription_identifiers_available() != Some(false),
            shared: mqtt.shared_subscriptions && said.shared_subscription_available() != Some(false),
            user_properties: said.user_properties().collect(),
        }
    }
}

/// The CONNACK must be one that the client takes [MQTT-3.1.2-24]; what it must say cannot be left out.
pub(super) fn check_connack(
    asked: &Asked,
    config: &Config,
    account: &Account,
    assigned: bool,
    authentication: Option<&Proved>,
) -> Result<(), Refused> {
    let terms = Terms::new(asked, config, &account.plan().caps);
    let mut connack = Vec::new();
    terms.connack(asked, &Offer::new(config, Properties::EMPTY), false, assigned, authentication, &mut connack);
    if connack.len() > asked.max_packet_size {
        return Err(asked.refuse(ReasonCode::PacketTooLarge, "CONNACK is larger than the client's Maximum Packet Size"));
    }
    Ok(())
}
