//! What comes in from the client: frame by frame, each packet kind in one function. A packet either is handled, ends the
//! connection, or, under `publish: pause`, stops the reading before it.

use std::sync::Arc;

use super::answer::{self, Reasons};
use super::connection::{Connection, Settings};
use super::counted;
use super::end::{End, Step};
use super::own_topics::is_own;
use crate::activity::Told;
use crate::clock::Now;
use crate::config::AclOnDeny;
use crate::hooks::{AuthStep, PublishEvent, Refusal, Verdict};
use crate::identity::Action;
use crate::limits::{Denial, OnPublish};
use crate::router::{Message, RetainOutcome};
use crate::wire::{
    Ack, AckKind, Auth, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Version, frame_header, put_ack,
};

/// Whether the reading goes on after a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    /// The packet was not handled: it is read again when the pause is over.
    Pause,
}

/// What a client is told that gives one packet identifier to two packets.
pub(super) const ID_IN_USE: &str = "the packet identifier is that of a QoS 2 message that was not released";

/// What becomes of a publish.
enum Taken {
    /// So many sessions matched; it is acknowledged here.
    Routed(usize),
    /// The backend has it, and acknowledges it.
    Relayed,
}

/// What may come of a publish beside success.
enum No {
    Denied(Box<Denial>),
    Refused(Refusal),
}

impl Connection {
    /// Handles every whole frame in `bytes`; tells how many bytes that were.
    pub(super) fn process(&mut self, bytes: &[u8], now: Now, out: &mut Vec<u8>) -> Step<usize> {
        let mut at = 0;
        while let Some(header) = frame_header(&bytes[at..], self.settings.max_packet_size as usize)? {
            let end = at + header.total_len();
            if end > bytes.len() {
                break;
            }
            let body = &bytes[at + header.header_len..end];
            if self.packet(header.first, body, now, out)? == Flow::Pause {
                break;
            }
            at = end;
        }
        Ok(at)
    }

    fn packet(&mut self, first: u8, body: &[u8], now: Now, out: &mut Vec<u8>) -> Step<Flow> {
        if first >> 4 == 3 {
            return self.publish(first, body, now, out);
        }
        // The acknowledgement that comes by the thousand: success, in every version.
        if let (0x40, &[high, low], None) = (first, body, &self.relayed)
            && let Some(id) = PacketId::new(u16::from_be_bytes([high, low]))
        {
            self.settings.session.puback(id);
            return Ok(Flow::On);
        }
        let packet = Packet::decode(self.version(), first, body)?;
        if self.relayed.is_some() && self.relay(first, body, &packet, out) {
            return Ok(Flow::On);
        }
        match packet {
            Packet::PubAck(ack) => {
                self.settings.session.puback(ack.packet_id);
            }
            Packet::PubRec(ack) => self.pubrec(&ack, out),
            Packet::PubRel(ack) => self.pubrel(&ack, out),
            Packet::PubComp(ack) => {
                self.settings.session.pubcomp(ack.packet_id);
            }
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe, now, out)?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe, out)?,
            Packet::PingReq => out.extend_from_slice(&[0xD0, 0]),
            Packet::Disconnect(disconnect) => return Err(self.disconnect(&disconnect)),
            Packet::Connect(_) => {
                return Err(End::told(ReasonCode::ProtocolError, "a second CONNECT [MQTT-3.1.0-2]"));
            }
            Packet::Auth(auth) => self.authenticate(&auth, out)?,
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp | Packet::Publish(_) => {
                return Err(End::told(ReasonCode::ProtocolError, "a packet that only a broker sends"));
            }
        }
        Ok(Flow::On)
    }

    // PUBLISH

    fn publish(&mut self, first: u8, body: &[u8], now: Now, out: &mut Vec<u8>) -> Step<Flow> {
        let publish = Publish::decode(self.version(), first, body)?;
        let alias = if self.version() == Version::V5 { self.check_properties(&publish)? } else { None };
        let topic = alias.as_deref().unwrap_or(publish.topic);
        let mqtt = &self.settings.config.mqtt;
        if publish.qos as u8 > mqtt.max_qos {
            return Err(End::told(ReasonCode::QoSNotSupported, "the QoS is above the Maximum QoS"));
        }
        if publish.retain && !mqtt.retain {
            return Err(End::told(ReasonCode::RetainNotSupported, "retained messages are switched off"));
        }
        if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
            if self.settings.session.is_open(id) {
                // The same message again: it was taken the first time [MQTT-4.3.3-10].
                match &mut self.relayed {
                    None => put_ack(out, AckKind::PubRec, id),
                    Some(relayed) if self.settings.session.is_open_here(id) => relayed.again(id, out),
                    // The backend knows whether it has it.
                    Some(relayed) => {
                        self.settings.session.open(id);
                        if let Err(refusal) = relayed.publish(&publish, topic) {
                            return self.refuse_publish(&publish, &refusal, out);
                        }
                    }
                }
                return Ok(Flow::On);
            }
            if self.version() == Version::V5 && self.settings.session.open_count() >= usize::from(mqtt.receive_maximum)
            {
                return Err(End::told(ReasonCode::ReceiveMaximumExceeded, "more QoS 2 messages than Receive Maximum"));
            }
        }
        if let (QoS::AtLeastOnce, Some(id)) = (publish.qos, publish.packet_id)
            && self.is_taken(id)
        {
            let reasons = Reasons { text: ID_IN_USE, denial: None };
            answer::ack(out, self.addressee(), AckKind::PubAck, id, ReasonCode::PacketIdentifierInUse, &reasons);
            return Ok(Flow::On);
        }
        match self.take(&publish, body, topic, alias.as_deref(), now) {
            Ok(Taken::Routed(matched)) => {
                self.acknowledge(&publish, matched, out);
                Ok(Flow::On)
            }
            Ok(Taken::Relayed) => {
                if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
                    self.settings.session.open(id);
                }
                Ok(Flow::On)
            }
            Err(no) => {
                let start = out.len();
                let flow = match no {
                    No::Denied(denial) => self.deny_publish(&publish, denial, out)?,
                    No::Refused(refusal) => self.refuse_publish(&publish, &refusal, out)?,
                };
                if let Some(relayed) = &mut self.relayed {
                    relayed.follow(out, start);
                }
                Ok(flow)
            }
        }
    }

    /// Whether a packet identifier is that of a QoS 2 message of the client that is not released: no other packet may have it
    /// [MQTT-2.2.1-3]. Only MQTT 5 has words for that; earlier clients are taken at their word.
    pub(super) fn is_taken(&self, id: PacketId) -> bool {
        self.version() == Version::V5 && self.settings.session.is_open(id)
    }

    /// Asks everyone who may object, and routes the message, or passes it on.
    fn take(
        &mut self,
        publish: &Publish<'_>,
        body: &[u8],
        topic: &str,
        alias: Option<&str>,
        now: Now,
    ) -> Result<Taken, No> {
        let settings = &*self.settings;
        let event =
            PublishEvent { topic, payload: publish.payload, qos: publish.qos, retain: publish.retain, will: false };
        let allowed = || match check_publish(settings, publish, topic) {
            None => Verdict::Allow,
            Some(refusal) => Verdict::Refuse(refusal),
        };
        match self.hub.hooks.publish(&settings.client, &event, now, allowed) {
            Verdict::Allow => {}
            Verdict::Deny(denial) => return Err(No::Denied(denial)),
            Verdict::Refuse(refusal) => return Err(No::Refused(refusal)),
        }
        let publisher = settings.session.mailbox().client();
        let account = &settings.client.account;
        let message = || Message::from_publish(body, publish, alias, publisher, now.mono);
        // What a backend retains is counted here too: the caps are the profile's, whoever keeps its messages.
        let retain = |message: &Message| {
            let reason = match self.hub.retain(account, &settings.plan.caps, message, now) {
                RetainOutcome::Done => return Ok(()),
                RetainOutcome::TooMany => "max_retained_messages is reached",
                RetainOutcome::TooLarge => "max_retained_bytes is reached",
            };
            Err(No::Refused(Refusal { code: ReasonCode::QuotaExceeded, reason: reason.into() }))
        };
        if let Some(relayed) = &mut self.relayed {
            if publish.retain {
                retain(&message())?;
            }
            relayed.publish(publish, topic).map_err(No::Refused)?;
            counted::received(publish.qos, publish.payload.len());
            return Ok(Taken::Relayed);
        }
        let message = message();
        if publish.retain {
            retain(&message)?;
        }
        counted::received(publish.qos, publish.payload.len());
        let stats = &self.hub.stats;
        let (publisher, space) = (&mut self.publisher, account.space());
        let publish = || publisher.route(space, topic.as_bytes()).publish(&message, stats);
        Ok(Taken::Routed(counted::timed(&stats.router_publish, publish)))
    }

    fn acknowledge(&mut self, publish: &Publish<'_>, matched: usize, out: &mut Vec<u8>) {
        let Some(id) = publish.packet_id else { return };
        let kind = match publish.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => AckKind::PubAck,
            QoS::ExactlyOnce => {
                self.settings.session.open(id);
                AckKind::PubRec
            }
        };
        if matched == 0 && self.version() == Version::V5 {
            let reason = ReasonCode::NoMatchingSubscribers;
            answer::ack(out, self.addressee(), kind, id, reason, &Reasons { text: "", denial: None });
        } else {
            put_ack(out, kind, id);
        }
    }

    /// What MQTT 5 adds to a PUBLISH: aliases, and properties that only a broker may send. Tells the topic that an alias
    /// stands for.
    fn check_properties(&mut self, publish: &Publish<'_>) -> Step<Option<Arc<str>>> {
        if publish.properties.is_empty() {
            return Ok(None);
        }
        if publish.properties.subscription_identifiers().next().is_some() {
            // [MQTT-3.3.4-6]
            return Err(End::told(ReasonCode::ProtocolError, "a Subscription Identifier from a client"));
        }
        let Some(alias) = publish.properties.topic_alias() else { return Ok(None) };
        if alias > self.settings.config.mqtt.topic_alias_maximum {
            // [MQTT-3.3.2-9]
            return Err(End::told(ReasonCode::TopicAliasInvalid, "a topic alias above the Topic Alias Maximum"));
        }
        let at = usize::from(alias) - 1;
        if !publish.topic.is_empty() {
            let aliases = &mut self.aliases.get_or_insert_default().0;
            if aliases.len() <= at {
                aliases.resize(at + 1, None);
            }
            aliases[at] = Some(publish.topic.into());
            return Ok(None);
        }
        match self.aliases.as_ref().and_then(|aliases| aliases.0.get(at)) {
            Some(Some(topic)) => Ok(Some(Arc::clone(topic))),
            _ => Err(End::told(ReasonCode::ProtocolError, "a topic alias that was never given a topic")),
        }
    }

    /// A publish over the limit, answered as the plan's `on_exceed` says.
    fn deny_publish(&mut self, publish: &Publish<'_>, denial: Box<Denial>, out: &mut Vec<u8>) -> Step<Flow> {
        let told = self.told_of_denial(publish, &denial);
        self.hub.denied(&self.settings.client, &denial, told);
        match self.settings.plan.on_publish {
            OnPublish::Disconnect => return Err(End::denied(denial)),
            OnPublish::Pause if !denial.never_fits => {
                self.paused = Some(denial.resets_at);
                return Ok(Flow::Pause);
            }
            OnPublish::Pause | OnPublish::Deny => {}
        }
        match (publish.qos, publish.packet_id, self.version()) {
            (QoS::AtMostOnce, ..) | (_, None, _) => self.hub.stats.dropped_publish_limit.add(1),
            (qos, Some(id), Version::V5) => {
                let reasons = Reasons { text: &denial.to_string(), denial: Some(&denial) };
                let kind = if qos == QoS::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
                answer::ack(out, self.addressee(), kind, id, ReasonCode::QuotaExceeded, &reasons);
            }
            // There is no negative acknowledgement: the client keeps it and sends it again.
            (_, Some(_), Version::V3 | Version::V4) => return Err(End::denied(denial)),
        }
        self.count_denial(denial)?;
        Ok(Flow::On)
    }

    /// What the client is told of a publish over the limit.
    fn told_of_denial(&self, publish: &Publish<'_>, denial: &Denial) -> Told {
        match (self.settings.plan.on_publish, publish.qos, self.version()) {
            (OnPublish::Disconnect, ..) => Told::Disconnected,
            (OnPublish::Pause, ..) if !denial.never_fits => Told::Paused,
            (_, QoS::AtMostOnce, _) => Told::Dropped,
            (_, QoS::AtLeastOnce, Version::V5) => Told::PubAck,
            (_, QoS::ExactlyOnce, Version::V5) => Told::PubRec,
            (_, QoS::AtLeastOnce | QoS::ExactlyOnce, Version::V3 | Version::V4) => Told::Disconnected,
        }
    }

    /// Counts what the client was denied in a window, up to `disconnect_after`.
    pub(super) fn count_denial(&mut self, denial: Box<Denial>) -> Step<()> {
        if self.denials.get_or_insert_default().count(denial.limit.window, denial.resets_at)
            >= self.settings.plan.disconnect_after
        {
            self.hub.disconnected_for(&self.settings.client, &denial);
            return Err(End::denied(denial));
        }
        Ok(())
    }

    /// A publish that a rule, a cap or a hook refuses.
    fn refuse_publish(&mut self, publish: &Publish<'_>, refusal: &Refusal, out: &mut Vec<u8>) -> Step<Flow> {
        self.hub.stats.dropped_refused.add(1);
        let reasons = Reasons { text: &refusal.reason, denial: None };
        match (publish.qos, publish.packet_id, self.version()) {
            (QoS::AtMostOnce, ..) | (_, None, _) => {}
            (QoS::AtLeastOnce, Some(id), Version::V5) => {
                answer::ack(out, self.addressee(), AckKind::PubAck, id, refusal.code, &reasons);
            }
            (QoS::ExactlyOnce, Some(id), Version::V5) => {
                answer::ack(out, self.addressee(), AckKind::PubRec, id, refusal.code, &reasons);
            }
            (qos, Some(id), Version::V3 | Version::V4) => {
                // [MQTT-3.3.5-2] of 3.1.1: a positive acknowledgement or a closed connection, there is nothing between. 3.1
                // asks for the acknowledgement (its section 3.3).
                let acknowledge = refusal.code == ReasonCode::NotAuthorized
                    && (self.version() == Version::V3 || self.settings.config.acl_on_deny == AclOnDeny::Acknowledge);
                if !acknowledge {
                    return Err(End::told(refusal.code, refusal.reason.clone()));
                }
                if qos == QoS::ExactlyOnce {
                    self.settings.session.open(id);
                }
                put_ack(out, if qos == QoS::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec }, id);
            }
        }
        Ok(Flow::On)
    }

    // Acknowledgements of QoS 2

    fn pubrel(&mut self, pubrel: &Ack<'_>, out: &mut Vec<u8>) {
        let known = self.settings.session.release(pubrel.packet_id);
        self.answer_ack(AckKind::PubComp, pubrel.packet_id, known, out);
    }

    fn pubrec(&mut self, pubrec: &Ack<'_>, out: &mut Vec<u8>) {
        if !self.settings.session.pubrec(pubrec.packet_id, pubrec.reason, out) && !pubrec.reason.is_error() {
            self.answer_ack(AckKind::PubRel, pubrec.packet_id, false, out);
        }
    }

    /// Answers for a packet identifier, which MQTT 5 may find unknown; earlier versions are answered all the same.
    pub(super) fn answer_ack(&self, kind: AckKind, id: PacketId, known: bool, out: &mut Vec<u8>) {
        if known || self.version() != Version::V5 {
            put_ack(out, kind, id);
        } else {
            let reasons = Reasons { text: "", denial: None };
            answer::ack(out, self.addressee(), kind, id, ReasonCode::PacketIdentifierNotFound, &reasons);
        }
    }

    // AUTH

    /// The client authenticates once more: the same method, the same device [MQTT-4.12.1-1].
    fn authenticate(&mut self, auth: &Auth<'_>, out: &mut Vec<u8>) -> Step<()> {
        let protocol_error = |text: &'static str| End::told(ReasonCode::ProtocolError, text);
        let settings = &mut *self.settings;
        let Some(authentication) = &mut settings.authentication else {
            return Err(protocol_error("AUTH without an authentication method in CONNECT [MQTT-4.12.0-7]"));
        };
        if auth.properties.authentication_method() != Some(&authentication.method) {
            return Err(protocol_error("AUTH with another method than CONNECT's"));
        }
        let mut exchange = match (auth.reason, authentication.exchange.take()) {
            (ReasonCode::ReAuthenticate, None) => self.hub.authenticator(&authentication.method),
            (ReasonCode::ContinueAuthentication, Some(exchange)) => Some(exchange),
            _ => return Err(protocol_error("AUTH out of turn")),
        };
        let data = auth.properties.authentication_data().unwrap_or_default();
        let max_packet_size = settings.link.max_packet_size();
        let answered = match exchange.as_mut().map_or(AuthStep::Fail, |exchange| exchange.step(data)) {
            AuthStep::Continue(challenge) => {
                authentication.exchange = exchange;
                let reason = ReasonCode::ContinueAuthentication;
                answer::auth(out, max_packet_size, reason, &authentication.method, &challenge)
            }
            AuthStep::Succeed { profile, device, data }
                if *profile == *settings.identity.profile && settings.identity.device.as_deref() == Some(&device) =>
            {
                answer::auth(out, max_packet_size, ReasonCode::Success, &authentication.method, &data)
            }
            // [MQTT-4.12.1-2]
            AuthStep::Succeed { .. } | AuthStep::Fail => {
                return Err(End::told(ReasonCode::NotAuthorized, "re-authentication failed"));
            }
        };
        match answered {
            true => Ok(()),
            false => Err(End::told(ReasonCode::PacketTooLarge, answer::AUTH_TOO_LARGE)),
        }
    }

    // DISCONNECT

    fn disconnect(&mut self, disconnect: &Disconnect<'_>) -> Box<End> {
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            if self.settings.session_expiry == 0 && expiry != 0 {
                return End::told(ReasonCode::ProtocolError, "a Session Expiry Interval where CONNECT had none");
            }
            let config = &self.settings.config;
            let caps = &self.settings.plan.caps;
            self.settings.session_expiry =
                expiry.min(caps.max_session_expiry.unwrap_or(config.mqtt.max_session_expiry));
        }
        End::goodbye(self.version() == Version::V5 && disconnect.reason != ReasonCode::Success)
    }
}

/// What the plan's caps and the access rules say to a publish.
fn check_publish(settings: &Settings, publish: &Publish<'_>, topic: &str) -> Option<Refusal> {
    let refusal = |code, reason: &'static str| Some(Refusal { code, reason: reason.into() });
    if topic.starts_with('$') && is_own(topic) {
        return refusal(ReasonCode::NotAuthorized, "only the broker publishes here");
    }
    if !settings.access.allows(Action::Publish, topic) {
        return refusal(ReasonCode::NotAuthorized, "an access rule forbids this topic");
    }
    let plan = &settings.plan;
    if topic.bytes().filter(|b| *b == b'/').count() >= plan.caps.max_topic_levels {
        return refusal(ReasonCode::QuotaExceeded, "max_topic_levels is exceeded");
    }
    if plan.check_payload_format
        && publish.properties.payload_format_indicator() == Some(1)
        && std::str::from_utf8(publish.payload).is_err()
    {
        return refusal(ReasonCode::PayloadFormatInvalid, "the payload is not the UTF-8 that it says it is");
    }
    None
}
