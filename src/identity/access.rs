//! Access rules: who may publish and subscribe what. The rules of the configuration are laid out once for a client, with its
//! names filled in; the first that matches decides, and where none does, it is allowed.

use crate::config::{AclAction, AclRule};
use crate::wire;

/// What a rule is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Publish,
    Subscribe,
}

/// The rules that concern one client.
#[derive(Debug, Default)]
pub(crate) struct Access {
    rules: Box<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    allow: bool,
    publish: bool,
    subscribe: bool,
    filter: Box<str>,
}

/// The names that a rule's `%u`, `%c` and `%p` stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) device: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) profile: &'a str,
}

impl Access {
    /// The rules of the configuration as they hold for a client.
    pub(crate) fn new(rules: &[AclRule], names: Names<'_>) -> Self {
        let mine = rules.iter().filter(|rule| rule.profile.as_deref().is_none_or(|p| p == names.profile));
        let rules = mine.filter_map(|rule| {
            let filter = fill(&rule.topic, names, rule.allow)?;
            Some(Rule {
                allow: rule.allow,
                publish: matches!(rule.action, AclAction::Publish | AclAction::All),
                subscribe: matches!(rule.action, AclAction::Subscribe | AclAction::All),
                filter: filter.into(),
            })
        });
        Access { rules: rules.collect() }
    }

    /// Whether a topic may be published to, or messages on it be delivered.
    pub(crate) fn allows(&self, action: Action, topic: &str) -> bool {
        let decides = |rule: &&Rule| rule.concerns(action) && wire::matches(&rule.filter, topic);
        self.rules.iter().find(decides).is_none_or(|rule| rule.allow)
    }

    /// Whether a filter may be subscribed: the first rule that covers all it could match decides. What a wider filter would
    /// bring in spite of a rule is held back when it is delivered.
    pub(crate) fn allows_filter(&self, filter: &str) -> bool {
        let decides = |rule: &&Rule| rule.subscribe && covers(&rule.filter, filter);
        self.rules.iter().find(decides).is_none_or(|rule| rule.allow)
    }

    /// Whether deliveries need to be asked about at all.
    pub(crate) fn restricts_deliveries(&self) -> bool {
        self.rules.iter().any(|rule| rule.subscribe && !rule.allow)
    }
}

impl Rule {
    fn concerns(&self, action: Action) -> bool {
        match action {
            Action::Publish => self.publish,
            Action::Subscribe => self.subscribe,
        }
    }
}

/// Fills in the names. A name that would add levels or wildcards of its own must not widen what is allowed, nor slip past
/// what is denied: then an allowing rule is left out, and a denying one stands for every name.
fn fill(topic: &str, names: Names<'_>, allow: bool) -> Option<String> {
    let mut filled = topic.to_owned();
    for (mark, name) in [("%u", names.device), ("%c", names.client_id), ("%p", names.profile)] {
        if topic.contains(mark) {
            let plain = !name.is_empty() && !name.contains(['/', '+', '#', '%']);
            match (plain, allow) {
                (true, _) => filled = filled.replace(mark, name),
                (false, true) => return None,
                (false, false) => filled = filled.replace(mark, "+"),
            }
        }
    }
    Some(filled)
}

/// Whether `rule` matches every topic that `filter` matches.
fn covers(rule: &str, filter: &str) -> bool {
    let mut rule = rule.split('/');
    let mut filter = filter.split('/').peekable();
    loop {
        match (rule.next(), filter.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(a), Some(b)) if a == b && a != "+" => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(rules: &[(bool, AclAction, &str)]) -> Access {
        let rules: Vec<AclRule> = rules
            .iter()
            .map(|(allow, action, topic)| AclRule {
                allow: *allow,
                action: *action,
                topic: (*topic).to_owned(),
                profile: None,
            })
            .collect();
        Access::new(&rules, Names { device: "pump-1", client_id: "c1", profile: "acme" })
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_without_one_all_is_allowed() {
        let access = access(&[
            (true, AclAction::Publish, "devices/%u/#"),
            (false, AclAction::Publish, "devices/#"),
            (false, AclAction::Subscribe, "secret/+"),
        ]);
        assert!(access.allows(Action::Publish, "devices/pump-1/state"));
        assert!(!access.allows(Action::Publish, "devices/pump-2/state"));
        assert!(access.allows(Action::Publish, "elsewhere"));
        assert!(!access.allows(Action::Subscribe, "secret/x"));
        assert!(access.allows(Action::Publish, "secret/x"));
    }

    #[test]
    fn a_filter_is_refused_where_a_rule_covers_it_and_left_to_delivery_where_it_reaches_further() {
        let access = access(&[(false, AclAction::Subscribe, "secret/#")]);
        for filter in ["secret/#", "secret", "secret/a/+", "secret/+/b"] {
            assert!(!access.allows_filter(filter), "{filter}");
        }
        for filter in ["#", "+/a", "secrets/#"] {
            assert!(access.allows_filter(filter), "{filter}");
        }
        assert!(access.restricts_deliveries());
    }

    #[test]
    fn a_client_id_with_levels_of_its_own_neither_widens_an_allowance_nor_slips_past_a_denial() {
        let rule = |allow, topic: &str| AclRule { allow, action: AclAction::All, topic: topic.into(), profile: None };
        let rules = [rule(true, "home/%c"), rule(false, "home/%c"), rule(false, "home/+/x")];
        let access = Access::new(&rules, Names { device: "d", client_id: "a/#", profile: "p" });
        assert!(!access.allows(Action::Publish, "home/a"));
        assert!(!access.allows(Action::Publish, "home/a/x"));
    }
}
