//! SUBSCRIBE and UNSUBSCRIBE: each filter is asked about, subscribed in the profile's space or among the broker's own topics, and
//! answered with a code of its own.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::answer::{self, Reasons};
use super::connection::{Connection, Settings};
use super::end::{End, Step};
use super::inbound::ID_IN_USE;
use super::own_topics::{Own, OwnTopics, is_own};
use super::relayed::Question;
use crate::activity::Told;
use crate::clock::Now;
use crate::hooks::{Refusal, Verdict};
use crate::router::{Delivery, Message, Subscription, SubscriptionIds, split_share};
use crate::session::Subscribed;
use crate::wire::{
    QoS, ReasonCode, RetainHandling, SharedFilter, Subscribe, SubscriptionOptions, Unsubscribe, Version,
};

impl Connection {
    pub(super) fn subscribe(&mut self, subscribe: &Subscribe<'_>, now: Now, out: &mut Vec<u8>) -> Step<()> {
        if self.is_taken(subscribe.packet_id) {
            let codes = vec![ReasonCode::PacketIdentifierInUse as u8; subscribe.filters.len()];
            let reasons = Reasons { text: ID_IN_USE, denial: None };
            answer::suback(out, self.version(), self.addressee(), subscribe.packet_id, &codes, &reasons);
            return Ok(());
        }
        let verdict = self.hub.hooks.subscribe(&self.settings.client, now);
        let all = match verdict {
            Verdict::Allow => None,
            Verdict::Refuse(refusal) => Some((refusal, None)),
            Verdict::Deny(denial) => {
                self.hub.denied(&self.settings.client, &denial, Told::SubAck);
                let reason = denial.to_string().into();
                Some((Refusal { code: ReasonCode::QuotaExceeded, reason }, Some(denial)))
            }
        };
        if let Some((refusal, denial)) = all {
            let code = |(_, options): (_, SubscriptionOptions)| self.refused_code(&refusal, options);
            let codes: Vec<u8> = subscribe.filters.iter().map(code).collect();
            let reasons = Reasons { text: &refusal.reason, denial: denial.as_deref() };
            answer::suback(out, self.version(), self.addressee(), subscribe.packet_id, &codes, &reasons);
            return denial.map_or(Ok(()), |denial| self.count_denial(denial));
        }
        let id = subscribe.properties.subscription_identifiers().next();
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut own: Vec<Own> = Vec::new();
        let mut first_refusal = None;
        let mut passed = Vec::new();
        for (filter, options) in subscribe.filters.iter() {
            let subscribed = Subscribed { options, id };
            match self.allow_filter(filter, options, now) {
                Err(refusal) => {
                    codes.push(self.refused_code(&refusal, options));
                    first_refusal.get_or_insert(refusal.reason);
                }
                Ok(()) => {
                    let new = self.settings.session.subscribe(filter, subscribed);
                    if is_own(filter) {
                        codes.push(self.granted(options) as u8);
                        own.extend(self.subscribe_own(filter, subscribed, now));
                    } else if self.relayed.is_some() {
                        codes.push(Question::PENDING);
                        let options = SubscriptionOptions { qos: self.granted(options), ..options };
                        passed.push((filter.into(), options, new));
                    } else {
                        codes.push(self.subscribe_in_space(filter, subscribed, new, now) as u8);
                    }
                }
            }
        }
        if let (false, Some(relayed)) = (passed.is_empty(), &mut self.relayed) {
            let reason = first_refusal.map(|reason| reason.as_ref().into());
            let question = Question { codes, filters: passed, reason, own };
            // A filter that is too long under the backend's names.
            return relayed.subscribe(subscribe, question).map_err(Box::<End>::from);
        }
        let reasons = Reasons { text: first_refusal.as_deref().unwrap_or(""), denial: None };
        answer::suback(out, self.version(), self.addressee(), subscribe.packet_id, &codes, &reasons);
        for message in own {
            self.send_own(&message, true, now, out);
        }
        Ok(())
    }

    /// The code for a filter that is refused. MQTT 3.1 knows none for one that is not authorised, and asks for a positive
    /// answer (its section 3.8); for everything else its clients get the 0x80 of 3.1.1.
    fn refused_code(&self, refusal: &Refusal, options: SubscriptionOptions) -> u8 {
        match (self.version(), refusal.code) {
            (Version::V3, ReasonCode::NotAuthorized) => self.granted(options) as u8,
            (_, code) => code as u8,
        }
    }

    /// The QoS that is granted to a subscription.
    fn granted(&self, options: SubscriptionOptions) -> QoS {
        QoS::from_bits(self.settings.config.mqtt.max_qos).map_or(QoS::AtMostOnce, |max| options.qos.min(max))
    }

    /// Subscribes one of the broker's own topics; what it matches now.
    fn subscribe_own(&mut self, filter: &str, subscribed: Subscribed, now: Now) -> Vec<Own> {
        let client = &self.settings.client;
        let own = self.own.get_or_insert_default();
        own.subscribe(filter, subscribed, now);
        client.account.watch(self.settings.session.mailbox());
        let messages = OwnTopics::snapshot(filter, subscribed, &self.hub, client, now);
        messages.iter().for_each(|message| own.note(message));
        messages
    }

    /// Asks everyone who may object to a filter.
    fn allow_filter(&mut self, filter: &str, options: SubscriptionOptions, now: Now) -> Result<(), Refusal> {
        let settings = &*self.settings;
        let (share, topic_filter) = split_share(filter);
        let allowed = || match check_filter(settings, filter, topic_filter, share.is_some()) {
            None => Verdict::Allow,
            Some(refusal) => Verdict::Refuse(refusal),
        };
        match self.hub.hooks.filter(&settings.client, filter, options, now, allowed) {
            Verdict::Allow => Ok(()),
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Deny(denial) => {
                Err(Refusal { code: ReasonCode::QuotaExceeded, reason: denial.to_string().into() })
            }
        }
    }

    /// Subscribes one filter in the profile's space; tells the QoS that is granted.
    fn subscribe_in_space(&mut self, filter: &str, subscribed: Subscribed, new: bool, now: Now) -> QoS {
        let Subscribed { options, id } = subscribed;
        let granted = self.granted(options);
        let settings = &*self.settings;
        let (share, topic_filter) = split_share(filter);
        let space = settings.client.account.space();
        let mailbox = Arc::clone(settings.session.mailbox());
        let subscription = Subscription {
            mailbox: Arc::clone(&mailbox),
            qos: granted,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id: id.and_then(NonZeroU32::new),
        };
        space.subscribe(topic_filter, share, subscription);
        let send_retained = share.is_none()
            && match options.retain_handling {
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendIfNew => new,
                RetainHandling::DoNotSend => false,
            };
        if send_retained {
            let mut ids = SubscriptionIds::None;
            ids.add(id);
            // A client's own messages are not for its subscriptions with No Local, retained or not [MQTT-3.8.3-3].
            let own = |message: &Message| options.no_local && message.publisher() == mailbox.client();
            for message in space.retained(topic_filter, now.mono).into_iter().filter(|message| !own(message)) {
                let qos = granted.min(message.qos());
                let delivery = Delivery { message, qos, retain: true, replay: true, ids: ids.clone(), group: None };
                mailbox.push(delivery, &self.hub.stats);
            }
        }
        granted
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>, out: &mut Vec<u8>) -> Step<()> {
        let mailbox = self.settings.session.mailbox().id();
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        let taken = self.is_taken(unsubscribe.packet_id);
        let settings = &mut *self.settings;
        let mut passed = Vec::new();
        for filter in unsubscribe.filters.iter() {
            if taken {
                codes.push(ReasonCode::PacketIdentifierInUse as u8);
                continue;
            }
            // Compared character by character [MQTT-3.10.4-1].
            let known = settings.session.unsubscribe(filter);
            if self.relayed.is_some() && !is_own(filter) {
                codes.push(Question::PENDING);
                passed.push(filter);
            } else if known {
                let (share, topic_filter) = split_share(filter);
                settings.client.account.space().unsubscribe(topic_filter, share, mailbox);
                if let Some(own) = &mut self.own {
                    own.unsubscribe(filter);
                }
                codes.push(ReasonCode::Success as u8);
            } else {
                codes.push(ReasonCode::NoSubscriptionExisted as u8);
            }
        }
        self.own.take_if(|own| own.is_empty());
        if let (false, Some(relayed)) = (passed.is_empty(), &mut self.relayed) {
            return relayed.unsubscribe(unsubscribe, &passed, codes).map_err(Box::<End>::from);
        }
        if self.version() != Version::V5 {
            codes.clear();
        }
        let max_packet_size = self.settings.link.max_packet_size();
        answer::unsuback(out, self.version(), max_packet_size, unsubscribe.packet_id, &codes);
        Ok(())
    }
}

/// What the configuration, the plan's caps and the access rules say to a filter.
fn check_filter(settings: &Settings, filter: &str, topic_filter: &str, shared: bool) -> Option<Refusal> {
    let refusal = |code, reason: &'static str| Some(Refusal { code, reason: reason.into() });
    if SharedFilter::parse(filter).is_err() {
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        return refusal(ReasonCode::TopicFilterInvalid, "a shared subscription is $share/NAME/FILTER");
    }
    let mqtt = &settings.config.mqtt;
    if shared && !mqtt.shared_subscriptions {
        return refusal(ReasonCode::SharedSubscriptionsNotSupported, "shared subscriptions are switched off");
    }
    if !mqtt.wildcard_subscriptions && topic_filter.contains(['+', '#']) {
        return refusal(ReasonCode::WildcardSubscriptionsNotSupported, "wildcards are switched off");
    }
    let account = &settings.client.account;
    if shared && is_own(topic_filter) {
        return refusal(ReasonCode::TopicFilterInvalid, "the broker's own topics cannot be shared");
    }
    if topic_filter.split('/').next() == Some("$SYS") && !account.sees_sys() {
        return refusal(ReasonCode::NotAuthorized, "this profile may not see $SYS");
    }
    if !settings.access.allows_filter(topic_filter) {
        return refusal(ReasonCode::NotAuthorized, "an access rule forbids this filter");
    }
    let plan = &settings.plan;
    if topic_filter.bytes().filter(|b| *b == b'/').count() >= plan.caps.max_topic_levels {
        return refusal(ReasonCode::QuotaExceeded, "max_topic_levels is exceeded");
    }
    let session = &settings.session;
    if session.subscription_count() >= plan.caps.max_subscriptions && !session.is_subscribed(filter) {
        return refusal(ReasonCode::QuotaExceeded, "max_subscriptions is reached");
    }
    None
}
