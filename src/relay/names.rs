//! What a profile's names are called at the backend. All profiles share one backend, so each has a part of its topics and of
//! its client identifiers to itself: the profile's name and a `/` go before them. Called for every packet that is relayed; it
//! changes topics, filters, response topics and client identifiers, and nothing else.

use std::borrow::Cow;

use crate::config::Isolation;
use crate::router::split_share;
use crate::wire::{Properties, Property, PropertyBuf};

/// The names of one profile. See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// `PROFILE/`. A profile's name has neither `/` nor `$` in it: no two profiles' names meet.
    client: Box<str>,
    /// Whether topics are put under the profile too.
    topics: bool,
}

impl Names {
    pub(crate) fn new(profile: &str, isolation: Isolation) -> Names {
        Names { client: format!("{profile}/").into(), topics: isolation == Isolation::Profile }
    }

    /// A client identifier at the backend. Those of two profiles never meet, whatever the isolation of topics.
    pub(crate) fn client_id(&self, client_id: &str) -> String {
        format!("{}{client_id}", self.client)
    }

    /// The most bytes that a packet grows by on its way to the backend, and shrinks by on its way back.
    pub(crate) fn overhead(&self) -> usize {
        // Topic and response topic, each with the `$` that may be in it, and a longer Remaining Length.
        if self.topics { 2 * (self.client.len() + 1) + 3 } else { 0 }
    }

    /// A topic name at the backend.
    pub(crate) fn topic<'t>(&self, topic: &'t str) -> Cow<'t, str> {
        if self.topics { self.prefixed(topic).into() } else { topic.into() }
    }

    /// A topic filter at the backend, that of a shared subscription included.
    pub(crate) fn filter<'t>(&self, filter: &'t str) -> Cow<'t, str> {
        if !self.topics {
            return filter.into();
        }
        match split_share(filter) {
            (Some(group), filter) => format!("$share/{group}/{}", self.prefixed(filter)).into(),
            (None, filter) => self.prefixed(filter).into(),
        }
    }

    /// The profile's own name of a topic at the backend; nothing if it is not the profile's.
    pub(crate) fn own<'t>(&self, topic: &'t str) -> Option<&'t str> {
        if !self.topics {
            return Some(topic);
        }
        let (profile, _) = self.client.split_at(self.client.len() - 1);
        let rest = topic.strip_prefix(profile)?;
        match rest.strip_prefix("$/") {
            Some(own) => Some(own).filter(|own| own.starts_with('$')),
            None => rest.strip_prefix('/').filter(|own| !own.is_empty()),
        }
    }

    /// The properties of a publish, or of a will, on the way to the backend: the topic alias is the connection's own and goes,
    /// the response topic becomes the backend's.
    pub(crate) fn properties<'p>(&self, properties: Properties<'p>, own: &'p mut PropertyBuf) -> Properties<'p> {
        let changes = |property: &Property<'_>| match property {
            Property::TopicAlias(_) => true,
            Property::ResponseTopic(_) => self.topics,
            _ => false,
        };
        if properties.is_empty() || !properties.iter().any(|property| changes(&property)) {
            return properties;
        }
        for property in properties.iter() {
            match property {
                Property::TopicAlias(_) => {}
                Property::ResponseTopic(topic) => own.push(Property::ResponseTopic(&self.topic(topic))),
                other => own.push(other),
            }
        }
        own.as_properties()
    }

    /// The properties of a publish on the way from the backend.
    pub(crate) fn own_properties<'p>(&self, properties: Properties<'p>, own: &'p mut PropertyBuf) -> Properties<'p> {
        let Some(response) = properties.response_topic().filter(|_| self.topics) else { return properties };
        // One that is not the profile's was put there by a publisher at the backend itself.
        let Some(response) = self.own(response) else { return properties };
        for property in properties.iter() {
            match property {
                Property::ResponseTopic(_) => own.push(Property::ResponseTopic(response)),
                other => own.push(other),
            }
        }
        own.as_properties()
    }

    /// Wildcards at the beginning of a filter do not match topics that begin with `$` [MQTT-4.7.2-1]: those are put where
    /// `PROFILE/#` does not reach.
    fn prefixed(&self, topic: &str) -> String {
        if topic.starts_with('$') {
            let (profile, _) = self.client.split_at(self.client.len() - 1);
            format!("{profile}$/{topic}")
        } else {
            format!("{}{topic}", self.client)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::matches;

    fn acme() -> Names {
        Names::new("acme", Isolation::Profile)
    }

    #[test]
    fn a_topic_is_put_under_its_profile_and_back() {
        for topic in ["a", "/", "a/b", "/a", "acme/a", "$x", "$x/y", "a/$", "é"] {
            let there = acme().topic(topic).into_owned();
            assert_eq!(acme().own(&there), Some(topic));
            assert_eq!(Names::new("acme.2", Isolation::Profile).own(&there), None);
            assert_eq!(Names::new("acm", Isolation::Profile).own(&there), None);
        }
        for topic in ["acme", "acme/", "acme$", "acme$/x", "other/a", ""] {
            assert_eq!(acme().own(topic), None, "{topic:?}");
        }
    }

    #[test]
    fn a_filter_matches_there_what_it_matches_here() {
        let filters = ["#", "+", "a/#", "a/+", "+/b", "a", "$x/#", "$x/+", "+/#", "/+"];
        let topics = ["a", "a/b", "/b", "$x/y", "$x", "b/b/c", "a/$x"];
        for filter in filters {
            for topic in topics {
                let there = matches(&acme().filter(filter), &acme().topic(topic));
                assert_eq!(there, matches(filter, topic), "{filter} and {topic}");
                assert!(!matches(&Names::new("b", Isolation::Profile).filter(filter), &acme().topic(topic)));
            }
        }
    }

    #[test]
    fn a_shared_subscription_keeps_its_group() {
        assert_eq!(acme().filter("$share/g/a/+"), "$share/g/acme/a/+");
        assert_eq!(acme().filter("$share/g/$x/y"), "$share/g/acme$/$x/y");
    }

    #[test]
    fn without_isolation_only_client_identifiers_are_the_profiles_own() {
        let names = Names::new("acme", Isolation::None);
        assert_eq!(names.topic("a/b"), "a/b");
        assert_eq!(names.filter("$share/g/#"), "$share/g/#");
        assert_eq!(names.own("a/b"), Some("a/b"));
        assert_eq!(names.client_id("c"), "acme/c");
    }

    #[test]
    fn of_the_properties_only_alias_and_response_topic_change() {
        let mut properties = PropertyBuf::new();
        properties.push(Property::UserProperty("k", "v"));
        properties.push(Property::ResponseTopic("answers/1"));
        properties.push(Property::TopicAlias(3));
        properties.push(Property::CorrelationData(b"7"));
        let mut there = PropertyBuf::new();
        let there = acme().properties(properties.as_properties(), &mut there);
        let expected = [
            Property::UserProperty("k", "v"),
            Property::ResponseTopic("acme/answers/1"),
            Property::CorrelationData(b"7"),
        ];
        assert_eq!(there.iter().collect::<Vec<_>>(), expected);
        let mut back = PropertyBuf::new();
        let back = acme().own_properties(there, &mut back);
        assert_eq!(back.response_topic(), Some("answers/1"));
        assert_eq!(back.user_properties().next(), Some(("k", "v")));
        let mut foreign = PropertyBuf::new();
        foreign.push(Property::ResponseTopic("elsewhere/1"));
        let mut unused = PropertyBuf::new();
        assert_eq!(acme().own_properties(foreign.as_properties(), &mut unused).response_topic(), Some("elsewhere/1"));
    }
}
