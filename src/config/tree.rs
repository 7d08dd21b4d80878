//! `broker.yaml` as a tree in which every scalar has its written text and everything its place.
//!
//! The rest of `config` reads this tree and never the YAML itself. YAML's guesses (`1_000` a number, `no` a boolean)
//! are undone here, because what a text means is for the key to say: a token may be `0x10`, a device may be called
//! `yes`. The parser's budgets against alias bombs, deep nesting and endless documents stay on.

use std::collections::HashMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::error::Report;

/// Where something stands in the file: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub line: u32,
    pub column: u32,
}

impl At {
    /// The beginning of the file, for what is missing from it.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Line and column of a location, or the beginning of the file where the parser gives none. The input is far
    /// smaller than 4 GiB, so that both fit.
    fn of(location: Location) -> Self {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
        Self { line: number(location.line()), column: number(location.column()) }
    }
}

/// A value and where it stands; for an alias (`*name`) that is the alias.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub at: At,
    pub value: Value,
}

impl Node {
    /// Whether it is keys and values, none included.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Mapping(_) | Value::Null)
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Value {
    /// Left empty, `~` or `null`.
    Null,
    /// The text of a scalar, quoted or not.
    Scalar(String),
    Sequence(Vec<Node>),
    /// In the order of the file, each key once.
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug, PartialEq)]
pub(super) struct Key {
    pub at: At,
    pub text: String,
}

/// How deep mappings and lists may nest: twice what any key needs.
const MAX_DEPTH: usize = 16;

/// How many parts of the document may come from aliases, so that a small file cannot stand for an endless one.
const MAX_FROM_ALIASES: usize = 200_000;

/// Reads `source` into a tree. A syntax error is reported and ends it; a key that is there twice is reported, and its
/// first value stays.
pub(super) fn read(source: &str, report: &mut Report<'_>) -> Option<Node> {
    // The default budget is sized for small documents that may nest deeply. Ours nests to 7 levels, and holds a fleet
    // of devices, each an entry of its own, within the 16 MiB that a file may have. Many aliases of one anchor are
    // what anchors are for; what they multiply into is bounded by itself.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: 2_000_000,
            max_events: 4_000_000,
            max_depth: MAX_DEPTH,
            enforce_alias_anchor_ratio: false,
            max_recorded_anchor_events: MAX_FROM_ALIASES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_FROM_ALIASES,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(source, options) {
        Ok(root) => Some(resolve(root, source, report)),
        Err(error) => {
            report.error(error.location().map_or(At::START, At::of), message(&error));
            None
        }
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => message(error),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            format!("this is nested deeper than the {MAX_DEPTH} levels that are read")
        }
        Error::Budget { .. } => {
            "this is more than is read: too many values, or aliases (`*name`) that multiply into too many".into()
        }
        other => format!("this is not YAML: {}", UserMessageFormatter.format_message(other)),
    }
}

/// A value as serde shows it: with no place, and where YAML made a guess, with no text.
enum Raw {
    Null,
    Text(String),
    /// A plain scalar that YAML took for a number or a boolean. Its text is in the source.
    Guessed,
    Sequence(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Guessed)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}

/// Gives guessed scalars their text back, and takes out keys that are there twice.
fn resolve(raw: Spanned<Raw>, source: &str, report: &mut Report<'_>) -> Node {
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Scalar(text),
        Raw::Guessed => Value::Scalar(written(raw.defined, source).to_owned()),
        Raw::Sequence(items) => Value::Sequence(items.into_iter().map(|item| resolve(item, source, report)).collect()),
        Raw::Mapping(entries) => Value::Mapping(resolve_mapping(entries, source, report)),
    };
    Node { at: At::of(raw.referenced), value }
}

fn resolve_mapping(
    entries: Vec<(Spanned<String>, Spanned<Raw>)>,
    source: &str,
    report: &mut Report<'_>,
) -> Vec<(Key, Node)> {
    let mut first: HashMap<String, At> = HashMap::with_capacity(entries.len());
    let mut kept = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let at = At::of(key.referenced);
        let text = key.value;
        if let Some(earlier) = first.get(&text) {
            let line = earlier.line;
            report.error(at, format!("the key `{text}` is already on line {line}; give it once"));
            continue;
        }
        first.insert(text.clone(), at);
        kept.push((Key { at, text }, resolve(value, source, report)));
    }
    kept
}

/// The text of a plain scalar as it stands in the file.
fn written(location: Location, source: &str) -> &str {
    let span = location.span();
    let bounds = |start: u64, length: u64| {
        let start = usize::try_from(start).ok()?;
        source.get(start..start + usize::try_from(length).ok()?)
    };
    span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| bounds(start, length)).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(source: &str) -> Node {
        let mut report = Report::new("t.yaml", source);
        let node = read(source, &mut report);
        report.finish().unwrap();
        node.unwrap()
    }

    fn problem(source: &str) -> String {
        let mut report = Report::new("t.yaml", source);
        read(source, &mut report);
        let error = report.finish().unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        error.problems[0].to_string()
    }

    fn entries(node: &Node) -> &[(Key, Node)] {
        let Value::Mapping(entries) = &node.value else {
            panic!("a mapping is expected: {node:?}");
        };
        entries
    }

    #[test]
    fn a_scalar_keeps_its_written_text_whatever_yaml_takes_it_for() {
        for text in [
            "250/min",
            "5_000/min",
            "5_000",
            "0x10",
            "0o17",
            "007",
            "1e3",
            "1e999",
            ".inf",
            ".nan",
            "-1",
            "yes",
            "no",
            "on",
            "True",
            "1.50",
            "12:45",
            "2026-01-01",
            "18446744073709551616",
            "=",
            "é",
        ] {
            for source in [format!("key: {text}"), format!("key: \"{text}\""), format!("é: {text}   # why")] {
                let root = tree(&source);
                assert_eq!(entries(&root)[0].1.value, Value::Scalar(text.into()), "{source}");
            }
            let in_flow = tree(&format!("[{text} , {text}]"));
            let Value::Sequence(items) = in_flow.value else { panic!() };
            assert!(items.iter().all(|item| item.value == Value::Scalar(text.into())), "{text}: {items:?}");
        }
    }

    #[test]
    fn a_key_keeps_its_written_text_too() {
        for text in ["yes", "0x10", "1e3", "5_000", "POST /data", "7"] {
            let root = tree(&format!("{{ {text}: x }}"));
            assert_eq!(entries(&root)[0].0.text, text);
        }
    }

    #[test]
    fn nothing_tilde_and_null_are_null_unless_quoted() {
        for text in ["", "~", "null"] {
            assert_eq!(entries(&tree(&format!("key: {text}")))[0].1.value, Value::Null);
        }
        let quoted = tree("key: 'null'");
        assert_eq!(entries(&quoted)[0].1.value, Value::Scalar("null".into()));
        assert_eq!(tree("").value, Value::Null);
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let root = tree("a: 1\nbé:\n  - { c: ü, d: 2 }\n");
        let at = |line, column| At { line, column };
        let (key, value) = &entries(&root)[1];
        assert_eq!(key.at, at(2, 1));
        let Value::Sequence(items) = &value.value else { panic!() };
        assert_eq!(items[0].at, at(3, 5));
        let (key, value) = &entries(&items[0])[1];
        assert_eq!((key.at, value.at), (at(3, 13), at(3, 16)));
    }

    #[test]
    fn an_alias_stands_where_it_is_used_and_has_the_text_of_its_anchor() {
        let root = tree("a: &rate 5_000\nb: *rate\nc: &map { d: 0x10 }\ne: { <<: *map, f: 1 }\n");
        let (_, b) = &entries(&root)[1];
        assert_eq!(b.value, Value::Scalar("5_000".into()));
        assert_eq!(b.at, At { line: 2, column: 4 });
        let merged: Vec<_> =
            entries(&entries(&root)[3].1).iter().map(|(key, value)| (key.text.as_str(), &value.value)).collect();
        assert!(merged.contains(&("d", &Value::Scalar("0x10".into()))), "{merged:?}");
        assert!(merged.contains(&("f", &Value::Scalar("1".into()))), "{merged:?}");
    }

    #[test]
    fn one_anchor_serves_many_aliases() {
        let source = format!("a: &a [x]\nb: [{}]", ["*a"; 1_000].join(", "));
        let root = tree(&source);
        let Value::Sequence(items) = &entries(&root)[1].1.value else { panic!() };
        assert_eq!(items.len(), 1_000);
    }

    #[test]
    fn a_key_that_is_there_twice_is_reported_where_it_is_the_second_time() {
        let expected = "t.yaml:3:1: error: the key `a` is already on line 1; give it once";
        assert_eq!(problem("a: 1\nb: 2\na: 3\n"), expected);
    }

    #[test]
    fn broken_yaml_is_reported_with_its_place() {
        for source in [
            "a: [1, 2",
            "a: b: c",
            "\"a",
            "a: 1\n b: 2",
            "a: *nowhere",
            "? [a]\n: b",
            "a: 1\n---\nb: 2",
            "a: \t- b\n\tc",
        ] {
            let problem = problem(source);
            assert!(problem.contains("this is not YAML: "), "{problem}");
        }
    }

    #[test]
    fn alias_bombs_and_deep_nesting_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
        }
        let many = "this is more than is read: too many values, or aliases (`*name`) that multiply into too many";
        assert!(problem(&bomb).ends_with(many), "{}", problem(&bomb));

        let deep = "this is nested deeper than the 16 levels that are read";
        let block: String = (0..2_000).map(|depth| " ".repeat(depth) + "a:\n").collect();
        let lists = "- ".repeat(2_000);
        let flow = "[".repeat(17) + &"]".repeat(17);
        for source in [block, lists, flow] {
            assert!(problem(&source).ends_with(deep), "{}", problem(&source));
        }
    }
}
