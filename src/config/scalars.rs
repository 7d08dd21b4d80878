//! What the text of one value means: numbers, sizes, durations, choices and names.
//!
//! The section readers of `config` name one of these for each key. Each gives the value, or a sentence that says what
//! is expected; none knows the key or the place.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::{Rate, RateError};

/// A whole number in `range`, with `_` between digits and the suffixes `k` and `M`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, String>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |text| {
        Rate::parse_number(text, false)
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("a whole number from {least} to {most} is expected, not {}", quoted(text))
            })
    }
}

/// A size in bytes in `range`, such as `64KiB`.
pub(super) fn size<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, String>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |text| {
        let number = Rate::parse_number(text, true).map_err(|_: RateError| {
            let found = quoted(text);
            format!("a size in bytes such as 65_536, 64KiB, 1MiB or 1GiB is expected, not {found}")
        })?;
        T::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("a size from {least} to {most} bytes is expected, not {}", quoted(text))
        })
    }
}

/// A duration such as `10s` or `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [
        // `ms` first: it ends in the `s` of seconds.
        ("ms", 1),
        ("s", 1_000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    UNITS
        .iter()
        .find_map(|(unit, millis)| Some((text.strip_suffix(unit)?, millis)))
        .and_then(|(number, millis)| {
            let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
            let number = plain.then(|| Rate::parse_number(number, false).ok())??;
            number.checked_mul(*millis)
        })
        .map(Duration::from_millis)
        .ok_or_else(|| {
            let found = quoted(text);
            format!("a duration such as 500ms, 10s, 5min, 2h or 7d is expected, not {found}")
        })
}

/// A duration of whole seconds that fits in `T`, since MQTT carries it so.
pub(super) fn seconds<T>(most: T) -> impl FnOnce(&str) -> Result<T, String>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |text| {
        let duration = duration(text)?;
        T::try_from(duration.as_secs())
            .ok()
            .filter(|seconds| *seconds <= most && duration.subsec_nanos() == 0)
            .ok_or_else(|| format!("whole seconds up to {most}s are expected, not {}", quoted(text)))
    }
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    choice(&[("true", true), ("false", false)])(text)
}

/// One of some words.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        choices.iter().find_map(|(word, value)| (*word == text).then_some(*value)).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("{} is expected, not {}", listed(&words, "or"), quoted(text))
        })
    }
}

/// A name that an operator gives to a plan, profile or device: it goes into topics, metrics and URLs as it is.
pub(super) fn name(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(())
    } else {
        let found = quoted(text);
        Err(format!("a name is 1 to 64 of the letters a-z and A-Z, digits, `-`, `_` and `.`, not {found}"))
    }
}

/// What was found, for a message: one line of bounded length. Never for a token or a password.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 48;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// `a, b or c`
pub(super) fn listed(words: &[impl AsRef<str>], last: &str) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_within_their_range() {
        for (text, value) in [("0", 0u16), ("1_000", 1_000), ("65k", 65_000), ("65535", 65_535)] {
            assert_eq!(whole(0..=u16::MAX)(text), Ok(value));
        }
        let expected = |found: &str| Err(format!("a whole number from 1 to 65535 is expected, not {found:?}"));
        for text in ["0", "65536", "-1", "1.5", "", "ten", "99999999999999999999", "1KiB"] {
            assert_eq!(whole(1..=u16::MAX)(text), expected(text));
        }
    }

    #[test]
    fn sizes_are_read_in_bytes_and_binary_units() {
        for (text, value) in
            [("1MiB", 1 << 20), ("64KiB", 1 << 16), ("1GiB", 1 << 30), ("65_536", 1 << 16), ("5k", 5_000)]
        {
            assert_eq!(size(0..=u32::MAX)(text), Ok(value));
        }
        let no_size = "a size in bytes such as 65_536, 64KiB, 1MiB or 1GiB is expected, not \"1MB\"";
        assert_eq!(size(0..=u32::MAX)("1MB"), Err(no_size.into()));
        let too_large = "a size from 0 to 4294967295 bytes is expected, not \"4GiB\"";
        assert_eq!(size(0..=u32::MAX)("4GiB"), Err(too_large.into()));
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        let table = [
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("5min", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1_000s", 1_000_000),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "1.5s", "-1s", "1ks", "5m", "10 s", "1w", "999999999999999999d"] {
            let expected = format!("a duration such as 500ms, 10s, 5min, 2h or 7d is expected, not {text:?}");
            assert_eq!(duration(text), Err(expected));
        }
    }

    #[test]
    fn seconds_are_whole_and_within_what_mqtt_carries() {
        assert_eq!(seconds(u16::MAX)("2min"), Ok(120));
        let expected = |found: &str| Err(format!("whole seconds up to 65535s are expected, not {found:?}"));
        assert_eq!(seconds(u16::MAX)("1500ms"), expected("1500ms"));
        assert_eq!(seconds(u16::MAX)("1d"), expected("1d"));
    }

    #[test]
    fn a_choice_is_one_of_its_words() {
        assert_eq!(boolean("true"), Ok(true));
        assert_eq!(boolean("yes"), Err("true or false is expected, not \"yes\"".into()));
        let choices = [("deny", 1), ("disconnect", 2), ("pause", 3)];
        assert_eq!(choice(&choices)("pause"), Ok(3));
        assert_eq!(choice(&choices)("drop"), Err("deny, disconnect or pause is expected, not \"drop\"".into()));
    }

    #[test]
    fn a_name_is_short_and_of_plain_characters() {
        let longest = "x".repeat(64);
        for text in ["acme", "pump-1", "a_b.c", "7", longest.as_str()] {
            assert_eq!(name(text), Ok(()));
        }
        let too_long = "x".repeat(65);
        for text in ["", "a b", "a/b", "a+", "é", too_long.as_str()] {
            assert!(name(text).is_err(), "{text:?} was taken for a name");
        }
    }

    #[test]
    fn what_was_found_is_shown_on_one_line_of_bounded_length() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert_eq!(quoted(&"é".repeat(100)), format!("\"{}\"…", "é".repeat(48)));
    }
}
