//! Reads the keys of a mapping one by one, so that a section says what it knows by asking for it.
//!
//! Every section reader of `config` takes its keys from a [`Fields`] and ends with [`Fields::finish`], which reports
//! the keys that nobody asked for. Nothing here knows any key by name.

use super::error::Report;
use super::scalars;
use super::tree::{At, Key, Node, Value};

/// The keys of one mapping that have not been asked for yet.
pub(super) struct Fields<'n> {
    /// What the mapping is, as in "`x` is no key of …".
    what: &'static str,
    left: Vec<&'n (Key, Node)>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The keys of `node`; none where it is left empty, or is no mapping and is reported.
    pub(super) fn of(node: &'n Node, what: &'static str, report: &mut Report<'_>) -> Self {
        Self { what, left: entries(node, what, report).iter().collect(), known: Vec::new() }
    }

    /// The value of `key`, unless it is not there or left empty.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        let index = self.left.iter().position(|(found, _)| found.text == key)?;
        let (_, node) = self.left.remove(index);
        (node.value != Value::Null).then_some(node)
    }

    /// Where `key` stands, unless it is not there or was taken.
    pub(super) fn place(&self, key: &str) -> Option<At> {
        let (key, _) = self.left.iter().find(|(found, _)| found.text == key)?;
        Some(key.at)
    }

    /// Takes every key that `wanted` says yes to; `hint` stands for them in the list of known keys.
    pub(super) fn take_all(&mut self, hint: &'static str, wanted: impl Fn(&str) -> bool) -> Vec<&'n (Key, Node)> {
        self.known.push(hint);
        let (taken, left) = self.left.drain(..).partition(|(key, _)| wanted(&key.text));
        self.left = left;
        taken
    }

    /// Reads the value of `key` with `parse`; a value that is not there or is reported gives nothing.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.take(key)?;
        parsed(node, report, parse)
    }

    /// Reads the value of `key` into `target`, which stays as it is where there is none or it is reported.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        target: &mut T,
        report: &mut Report<'_>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) {
        if let Some(value) = self.read(key, report, parse) {
            *target = value;
        }
    }

    /// Reports the keys that were not asked for.
    pub(super) fn finish(self, report: &mut Report<'_>) {
        for (key, _) in &self.left {
            let suggestion = match nearest(&key.text, &self.known) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => ".".into(),
            };
            let message = format!(
                "{} is no key of {}{suggestion} Its keys are {}",
                scalars::quoted(&key.text),
                self.what,
                scalars::listed(&self.known, "and"),
            );
            report.error(key.at, message);
        }
    }
}

/// The entries of a mapping whose keys are names that the operator gives; none where it is left empty, or is no
/// mapping and is reported.
pub(super) fn entries<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> &'n [(Key, Node)] {
    match &node.value {
        Value::Null => &[],
        Value::Mapping(entries) => entries,
        other => {
            let message = format!("keys and values are expected in {what}, not {}", kind(other));
            report.error(node.at, message);
            &[]
        }
    }
}

/// The items of a list; none where it is left empty, or is no list and is reported.
pub(super) fn items<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> &'n [Node] {
    match &node.value {
        Value::Null => &[],
        Value::Sequence(items) => items,
        other => {
            let message = format!("a list is expected for {what}, not {}", kind(other));
            report.error(node.at, message);
            &[]
        }
    }
}

/// The text of a scalar; anything else is reported.
pub(super) fn text<'n>(node: &'n Node, report: &mut Report<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        other => {
            report.error(node.at, format!("one value is expected, not {}", kind(other)));
            None
        }
    }
}

/// What `parse` makes of a scalar; what it refuses is reported.
pub(super) fn parsed<T>(
    node: &Node,
    report: &mut Report<'_>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    parse(text(node, report)?).map_err(|message| report.error(node.at, message)).ok()
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Scalar(text) => format!("the text {}", scalars::quoted(text)),
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "keys and values".into(),
    }
}

/// The known key that `text` was probably meant to be.
fn nearest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = (text.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|&key| (edits(text, key), key))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, key)| key)
}

/// How many characters must be put in, left out, replaced or swapped with their neighbour to make `from` into `to`.
fn edits(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(64).collect();
    let to: Vec<char> = to.chars().collect();
    let mut costs = vec![vec![0; to.len() + 1]; from.len() + 1];
    for row in 0..=from.len() {
        for column in 0..=to.len() {
            if row == 0 || column == 0 {
                costs[row][column] = row + column;
                continue;
            }
            let differs = usize::from(from[row - 1] != to[column - 1]);
            let mut cost =
                (costs[row - 1][column - 1] + differs).min(costs[row - 1][column] + 1).min(costs[row][column - 1] + 1);
            let swapped = row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1];
            if swapped {
                cost = cost.min(costs[row - 2][column - 2] + 1);
            }
            costs[row][column] = cost;
        }
    }
    costs[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_taken_for_the_nearest_known_one() {
        let known = ["connect", "publish", "publish_bytes", "limits", "sys"];
        let meant = |text| nearest(text, &known);
        assert_eq!(meant("publsh"), Some("publish"));
        assert_eq!(meant("pulbish"), Some("publish"));
        assert_eq!(meant("conect"), Some("connect"));
        assert_eq!(meant("publish-bytes"), Some("publish_bytes"));
        assert_eq!(meant("syss"), Some("sys"));
        assert_eq!(meant("tokens"), None);
        assert_eq!(meant(&"x".repeat(10_000)), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", "acb"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
