//! Topic names and topic filters (section 4.7) and shared subscriptions (section 4.8): what is well-formed, and what
//! matches what. The codec checks with it, access rules match with it, and tests of the router take its matcher as the
//! truth. It works on text alone and never normalises it [MQTT-4.7.3-4].

use super::{TopicFault, WireError};

/// The most bytes that the two-byte length of a UTF-8 Encoded String can tell.
const MAX_LEN: usize = u16::MAX as usize;

/// Checks what a message may be published to: 1 to 65,535 bytes, no U+0000 and no wildcard [MQTT-4.7.0-1],
/// [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-4.7.3-3].
pub fn validate_topic_name(topic: &str) -> Result<(), WireError> {
    match fault_in_name(topic) {
        Some(fault) => Err(WireError::InvalidTopicName(fault)),
        None => Ok(()),
    }
}

pub(super) fn fault_in_name(topic: &str) -> Option<TopicFault> {
    fault_in_length(topic).or_else(|| fault_in_characters(topic.as_bytes()))
}

/// What no topic name may contain. One pass without a branch for each byte: this meets every message.
#[inline]
pub(super) fn fault_in_characters(topic: &[u8]) -> Option<TopicFault> {
    let bad = topic.iter().fold(false, |bad, &byte| bad | (byte == 0) | (byte == b'#') | (byte == b'+'));
    match bad {
        false => None,
        true if topic.contains(&0) => Some(TopicFault::NullCharacter),
        true => Some(TopicFault::Wildcard),
    }
}

fn fault_in_length(text: &str) -> Option<TopicFault> {
    match text.len() {
        0 => Some(TopicFault::Empty),
        1..=MAX_LEN => None,
        _ => Some(TopicFault::TooLong),
    }
}

/// Checks what can be subscribed to: as a topic name, but with `#` as the whole last level [MQTT-4.7.1-1] and `+` as any
/// whole level [MQTT-4.7.1-2]. What follows `$share/` is not looked at more closely; [`SharedFilter::parse`] does.
pub fn validate_topic_filter(filter: &str) -> Result<(), WireError> {
    match fault_in_filter(filter) {
        Some(fault) => Err(WireError::InvalidTopicFilter(fault)),
        None => Ok(()),
    }
}

fn fault_in_filter(filter: &str) -> Option<TopicFault> {
    if let Some(fault) = fault_in_length(filter) {
        return Some(fault);
    }
    let mut levels = levels(filter).peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        if level.contains('\0') {
            return Some(TopicFault::NullCharacter);
        }
        if level.contains('#') && !(level == "#" && last) {
            return Some(TopicFault::MisplacedHash);
        }
        if level.contains('+') && level != "+" {
            return Some(TopicFault::MisplacedPlus);
        }
    }
    None
}

/// The levels of a topic name or filter: what is between the `/`, empty levels included.
pub fn levels(topic: &str) -> impl Iterator<Item = &str> {
    topic.split('/')
}

/// A shared subscription: the messages that match `filter` are dealt out among those who share `share_name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedFilter<'a> {
    pub share_name: &'a str,
    pub filter: &'a str,
}

impl<'a> SharedFilter<'a> {
    /// `None`: an ordinary filter, which is also what `$share` without a `/` is. Otherwise the share name must have at
    /// least one character and no wildcard, and a filter must follow it [MQTT-4.8.2-1], [MQTT-4.8.2-2].
    pub fn parse(filter: &'a str) -> Result<Option<SharedFilter<'a>>, WireError> {
        let Some(shared) = filter.strip_prefix("$share/") else {
            return Ok(None);
        };
        let (share_name, filter) = match shared.split_once('/') {
            Some((name, filter)) => (name, Some(filter).filter(|filter| !filter.is_empty())),
            None => (shared, None),
        };
        if share_name.is_empty() || share_name.contains(['+', '#']) {
            return Err(WireError::InvalidTopicFilter(TopicFault::BadShareName));
        }
        let filter = filter.ok_or(WireError::InvalidTopicFilter(TopicFault::NoSharedFilter))?;
        validate_topic_filter(filter)?;
        Ok(Some(SharedFilter { share_name, filter }))
    }
}

/// Whether a message published to `topic` is for a subscription to `filter`, both well-formed (section 4.7). A filter
/// that starts with a wildcard does not match a topic that starts with `$` [MQTT-4.7.2-1]. Shared subscriptions are
/// matched by their inner filter.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic_levels = levels(topic);
    for level in levels(filter) {
        if level == "#" {
            // Also the parent level: `sport/#` matches `sport`.
            return true;
        }
        match topic_levels.next() {
            Some(topic_level) if level == "+" || level == topic_level => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_has_1_to_65535_bytes_and_no_wildcard_or_null() {
        let longest = "é".repeat(32_767) + "x";
        for good in ["a", "/", "//", "a/b", "$SYS/x", " ", "a b/é\u{FEFF}\u{1}", &longest] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(65_536);
        let cases = [
            ("", TopicFault::Empty),
            (too_long.as_str(), TopicFault::TooLong),
            ("a\0b", TopicFault::NullCharacter),
            ("a/+", TopicFault::Wildcard),
            ("a#", TopicFault::Wildcard),
        ];
        for (bad, fault) in cases {
            assert_eq!(validate_topic_name(bad), Err(WireError::InvalidTopicName(fault)));
        }
    }

    #[test]
    fn a_wildcard_in_a_filter_is_a_whole_level_and_hash_is_the_last() {
        for good in ["#", "+", "/", "a/#", "a/+/b", "+/+/#", "/+", "$share", "$SYS/#", "a//b"] {
            assert_eq!(validate_topic_filter(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(65_536);
        let cases = [
            ("", TopicFault::Empty),
            (too_long.as_str(), TopicFault::TooLong),
            ("a/\0", TopicFault::NullCharacter),
            ("a#", TopicFault::MisplacedHash),
            ("#/a", TopicFault::MisplacedHash),
            ("a/#/b", TopicFault::MisplacedHash),
            ("a/##", TopicFault::MisplacedHash),
            ("a+", TopicFault::MisplacedPlus),
            ("a/+b/c", TopicFault::MisplacedPlus),
            ("++", TopicFault::MisplacedPlus),
        ];
        for (bad, fault) in cases {
            assert_eq!(validate_topic_filter(bad), Err(WireError::InvalidTopicFilter(fault)));
        }
    }

    #[test]
    fn a_shared_filter_has_a_share_name_and_a_filter() {
        let shared = |share_name, filter| Ok(Some(SharedFilter { share_name, filter }));
        assert_eq!(SharedFilter::parse("$share/group/a/+/#"), shared("group", "a/+/#"));
        assert_eq!(SharedFilter::parse("$share/group//a"), shared("group", "/a"));
        for ordinary in ["$share", "$shared/group/a", "a/$share/group", "share/group/a"] {
            assert_eq!(SharedFilter::parse(ordinary), Ok(None), "{ordinary}");
        }
        let cases = [
            ("$share/", TopicFault::BadShareName),
            ("$share//a", TopicFault::BadShareName),
            ("$share/#", TopicFault::BadShareName),
            ("$share/gr+up/a", TopicFault::BadShareName),
            ("$share/group", TopicFault::NoSharedFilter),
            ("$share/group/", TopicFault::NoSharedFilter),
            ("$share/group/a#", TopicFault::MisplacedHash),
        ];
        for (bad, fault) in cases {
            assert_eq!(SharedFilter::parse(bad), Err(WireError::InvalidTopicFilter(fault)), "{bad}");
        }
    }

    #[test]
    fn filters_match_as_the_examples_of_the_specification_say() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/#", "sports", false),
            ("#", "anything/at/all", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor/Clients", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/monitor/Clients", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/+", "a/$b", true),
            ("ACCOUNTS", "Accounts", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/", false),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(matches(filter, topic), expected, "{filter} and {topic}");
        }
    }
}
