//! The `acl` section: which topics a client may publish or subscribe to. First match wins; with no rule that matches,
//! allowed.
//!
//! Called by the reader of the whole file, after profiles, which rules may name. Whether a rule matches a client's
//! topic is not decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Report;
use super::fields::{Fields, items, parsed};
use super::profiles::Profile;
use super::scalars::{choice, listed, quoted};
use super::tree::Node;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclRule {
    /// Whether what matches is allowed, or denied.
    pub allow: bool,
    /// What a client does with the topic.
    pub action: AclAction,
    /// A topic filter, in which `%u` stands for the device, `%c` for the client identifier and `%p` for the profile.
    pub topic: String,
    /// The profile that the rule is for; `None` is for all.
    pub profile: Option<Arc<str>>,
}

/// What a client does with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclAction {
    /// It publishes to it, wills included.
    Publish,
    /// It subscribes to it.
    Subscribe,
    /// Both.
    All,
}

/// What a publish of QoS 1 or 2 that an access rule refuses meets in MQTT 3.1.1, which has no negative acknowledgement. MQTT 3.1
/// asks for the acknowledgement, and gets it whatever stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AclOnDeny {
    /// The connection is closed.
    #[default]
    Disconnect,
    /// It is acknowledged and goes nowhere.
    Acknowledge,
}

const ACTIONS: [(&str, AclAction); 3] =
    [("publish", AclAction::Publish), ("subscribe", AclAction::Subscribe), ("all", AclAction::All)];

pub(super) const ON_DENY: [(&str, AclOnDeny); 2] =
    [("disconnect", AclOnDeny::Disconnect), ("acknowledge", AclOnDeny::Acknowledge)];

pub(super) fn read_acl(node: &Node, profiles: &BTreeMap<Arc<str>, Profile>, report: &mut Report<'_>) -> Vec<AclRule> {
    items(node, "acl", report).iter().filter_map(|node| read_rule(node, profiles, report)).collect()
}

fn read_rule(node: &Node, profiles: &BTreeMap<Arc<str>, Profile>, report: &mut Report<'_>) -> Option<AclRule> {
    const EXAMPLE: &str = "such as `{ allow: publish, topic: \"devices/%u/#\" }`";

    let mut fields = Fields::of(node, "a rule of acl", report);
    let allowed = fields.take("allow");
    let denied = fields.take("deny");
    let topic = fields.take("topic");
    let profile = fields.read("profile", report, |text| known_profile(text, profiles));
    fields.finish(report);
    if !node.is_mapping() {
        return None;
    }
    if allowed.is_some() == denied.is_some() {
        report.error(node.at, format!("a rule either allows or denies something, {EXAMPLE}"));
    }
    let action = allowed.or(denied).and_then(|node| parsed(node, report, choice(&ACTIONS)));
    let topic = match topic {
        Some(node) => parsed(node, report, topic_filter),
        None => {
            report.error(node.at, format!("a rule needs a topic, {EXAMPLE}"));
            None
        }
    };
    Some(AclRule { allow: allowed.is_some(), action: action?, topic: topic?, profile })
}

/// A profile that is there, by its name.
pub(super) fn known_profile(text: &str, profiles: &BTreeMap<Arc<str>, Profile>) -> Result<Arc<str>, String> {
    profiles.get_key_value(text).map(|(name, _)| name.clone()).ok_or_else(|| {
        let names: Vec<_> = profiles.keys().collect();
        let there_are = match names.as_slice() {
            [] => "there are none".into(),
            [only] => format!("the only one is {only}"),
            all => format!("they are {}", listed(all, "and")),
        };
        format!("there is no profile {}: {there_are}", quoted(text))
    })
}

/// A topic filter as MQTT has them, with placeholders.
fn topic_filter(text: &str) -> Result<String, String> {
    let bad = |why: &str| Err(format!("{} is no topic filter: {why}", quoted(text)));
    // [MQTT-4.7.3-1], [MQTT-4.7.3-2] and [MQTT-4.7.3-3]
    if text.is_empty() || text.len() > usize::from(u16::MAX) || text.contains('\0') {
        return bad("it has 1 to 65535 bytes and no U+0000");
    }
    let last = text.split('/').count() - 1;
    for (index, level) in text.split('/').enumerate() {
        // [MQTT-4.7.1-1]
        if level.contains('#') && (level != "#" || index != last) {
            return bad("`#` stands alone on the last level, as in sensors/#");
        }
        // [MQTT-4.7.1-2]
        if level.contains('+') && level != "+" {
            return bad("`+` stands alone on a level, as in sensors/+/temperature");
        }
    }
    for (index, _) in text.match_indices('%') {
        let next = text[index + 1..].chars().next();
        if next.is_some_and(|next| next.is_alphabetic() && !"ucp".contains(next)) {
            return bad("the placeholders are %u (device), %c (client id) and %p (profile)");
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_its_wildcards_alone_and_only_known_placeholders() {
        for text in ["#", "+", "a/#", "+/b/#", "devices/%u/#", "dev-%u/%c/%p", "100%/x", "%", "/", "$SYS/#"] {
            assert_eq!(topic_filter(text), Ok(text.to_owned()));
        }
        let long = "a".repeat(65_536);
        for text in ["", "a#", "#/a", "a/#/b", "a+/b", "++", "a/%x", "\0", long.as_str()] {
            assert!(topic_filter(text).is_err(), "{text:?} was taken for a filter");
        }
    }
}
