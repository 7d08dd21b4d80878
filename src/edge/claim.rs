//! The second half of the handshake: the session of a client identifier is claimed from whoever has it, begun or resumed, and
//! what is agreed with the client is put into its CONNACK. Called once the client is known and no one objects to it.

use std::sync::Arc;

use super::authenticate::Proved;
use super::connection::{Authentication, Settings};
use super::handshake::{Asked, Refused};
use crate::account::Account;
use crate::clock::Now;
use crate::config::Config;
use crate::hooks::Client;
use crate::hub::Hub;
use crate::identity::{Access, Identity};
use crate::limits::Caps;
use crate::router::{Mailbox, Message};
use crate::session::{Claim, Link, Released, Session};
use crate::wire::{ConnAck, Packet, Property, PropertyBuf, QoS, ReasonCode, Version};

/// A client identifier that this connection owns, and the session there was.
pub(super) struct Claimed {
    asked: Asked,
    account: Arc<Account>,
    owner: u64,
    session: Session,
    session_present: bool,
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
        let due = parked.as_ref().map(|parked| parked.session.mailbox().id());
        if let Released::Parked(Some(at)) = account.registry().release(&asked.client_id, owner, parked)
            && let Some(session) = due
        {
            hub.janitor.enter(account, &asked.client_id, session, at);
        }
        return Err(asked.refuse(code, text));
    }
    let resumed = match parked {
        // The janitor may not have come by yet.
        Some(parked) if parked.expires.is_some_and(|at| at <= now.mono) => {
            hub.end_session(account, *parked, now);
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
    Ok(Claimed { asked, account: Arc::clone(account), owner, session, session_present })
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
    /// Settles what holds for this connection, and writes the CONNACK that says so.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the connection that is made here and nowhere else"
    )]
    pub(super) fn settle(
        self,
        config: &Arc<Config>,
        identity: Identity,
        client: Arc<Client>,
        access: Access,
        will: Option<(Message, u32)>,
        input: Vec<u8>,
        assigned: bool,
        generation: u64,
        authentication: Option<Proved>,
    ) -> Settings {
        let Claimed { asked, account, owner, session, session_present } = self;
        let plan = account.plan();
        let terms = Terms::new(&asked, config, &plan.caps);
        let link = Link::new(
            asked.version,
            asked.receive_maximum.min(plan.caps.max_inflight.unwrap_or(config.mqtt.max_inflight)),
            asked.max_packet_size,
            asked.topic_alias_maximum.min(config.mqtt.topic_alias_maximum),
        );
        let mut connack = Vec::new();
        terms.connack(&asked, config, session_present, assigned, authentication.as_ref(), &mut connack);
        tracing::info!(
            profile = %account.name(),
            device = client.device().unwrap_or("-"),
            client = %asked.client_id,
            version = %asked.version,
            peer = ?client.peer(),
            resumed = session_present,
            "connected"
        );
        Settings {
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
            authentication: authentication.map(|(method, _)| Authentication { method, exchange: None }),
            connack,
            input,
        }
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

    /// The CONNACK, with what MQTT 5 clients are told of the terms where they differ from what is understood.
    fn connack(
        &self,
        asked: &Asked,
        config: &Config,
        session_present: bool,
        assigned: bool,
        authentication: Option<&Proved>,
        out: &mut Vec<u8>,
    ) {
        let mut properties = PropertyBuf::new();
        if asked.version == Version::V5 {
            let mqtt = &config.mqtt;
            if self.session_expiry != asked.session_expiry {
                properties.push(Property::SessionExpiryInterval(self.session_expiry));
            }
            if mqtt.receive_maximum != u16::MAX {
                properties.push(Property::ReceiveMaximum(mqtt.receive_maximum));
            }
            if mqtt.max_qos < QoS::ExactlyOnce as u8 {
                properties.push(Property::MaximumQoS(mqtt.max_qos));
            }
            if !mqtt.retain {
                properties.push(Property::RetainAvailable(false));
            }
            properties.push(Property::MaximumPacketSize(self.max_packet_size));
            if assigned {
                properties.push(Property::AssignedClientIdentifier(&asked.client_id));
            }
            if mqtt.topic_alias_maximum > 0 {
                properties.push(Property::TopicAliasMaximum(mqtt.topic_alias_maximum));
            }
            if !mqtt.wildcard_subscriptions {
                properties.push(Property::WildcardSubscriptionAvailable(false));
            }
            if !mqtt.shared_subscriptions {
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
        }
        // 3.1 has no Session Present: the bit is reserved there.
        let session_present = session_present && asked.version != Version::V3;
        let connack = ConnAck { session_present, code: 0, properties: properties.as_properties() };
        // Nothing here can be too long for its place.
        let encoded = Packet::ConnAck(connack).encode(asked.version, out);
        debug_assert!(encoded.is_ok());
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
    terms.connack(asked, config, false, assigned, authentication, &mut connack);
    if connack.len() > asked.max_packet_size {
        return Err(asked.refuse(ReasonCode::PacketTooLarge, "CONNACK is larger than the client's Maximum Packet Size"));
    }
    Ok(())
}
