//! That no statement is missing: `v5.tsv` and `v311.tsv` have a row for each, a row that says `test` has its tests in this
//! folder, a test with a number has its row, and `CONFORMANCE.md` is what these come to. It reads the sources as text, so that a
//! test that is not there cannot be counted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A version of MQTT whose statements are numbered.
struct Edition {
    name: &'static str,
    /// The rows of its table, and what the names of its tests begin with.
    file: &'static str,
    prefix: &'static str,
    statements: usize,
}

const EDITIONS: [Edition; 2] = [
    Edition { name: "MQTT 5", file: "v5.tsv", prefix: "v5", statements: 251 },
    Edition { name: "MQTT 3.1.1", file: "v311.tsv", prefix: "v311", statements: 140 },
];

/// The parts of a statement's number: four, and three in `MQTT-4.2-1`.
type Number = Vec<u32>;

/// What stands in a row: a statement's number, what it says in our words, and what shows it.
struct Row {
    number: Number,
    words: String,
    shown: Shown,
}

enum Shown {
    ByTests,
    /// Why no test of a server can show it: it binds the client.
    BindsTheClient(String),
    /// Why no test can show it.
    CannotBe(String),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The number in `MQTT-3.1.2-4`.
fn number(text: &str) -> Option<Number> {
    let parts = text.strip_prefix("MQTT-")?.split(['.', '-']).map(|part| part.parse().ok());
    parts.collect::<Option<Number>>().filter(|parts| matches!(parts.len(), 3 | 4))
}

/// The number as the specification writes it.
fn written(number: &[u32]) -> String {
    let parts: Vec<String> = number.iter().map(u32::to_string).collect();
    let (statement, section) = parts.split_last().expect("a number has parts");
    format!("MQTT-{}-{statement}", section.join("."))
}

fn rows(edition: &Edition) -> Vec<Row> {
    let row = |line: &str| {
        let [name, words, shown] = *line.split('\t').collect::<Vec<_>>() else { return None };
        let shown = match shown.strip_prefix("none: ") {
            None if shown == "test" => Shown::ByTests,
            None => return None,
            Some(reason) if reason.to_lowercase().starts_with("binds the client") => {
                Shown::BindsTheClient(reason.to_owned())
            }
            Some(reason) => Shown::CannotBe(reason.to_owned()),
        };
        (!words.is_empty()).then_some(Row { number: number(name)?, words: words.to_owned(), shown })
    };
    let file = edition.file;
    let text = read(&folder().join(file));
    let read =
        |line| row(line).unwrap_or_else(|| panic!("{file}: NUMBER, words, and `test` or `none: reason`: {line}"));
    text.lines().map(read).collect()
}

/// The modules of this folder, by file name.
fn sources() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder()).expect("the folder of this file").flatten();
    let sources = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"));
    sources.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))).collect()
}

/// The names of all tests of this folder that begin like this, in the order of their files.
fn tests(prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (file, source) in sources() {
        let mut before = "";
        for line in source.lines() {
            if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('('))
                && name.starts_with(prefix)
            {
                assert_eq!(before, "#[test]", "{name} in {file} is run as a test");
                names.push(name.to_owned());
            }
            before = line;
        }
    }
    names
}

/// The number in the name of a test of this edition.
fn number_of_test(edition: &Edition, name: &str) -> Number {
    let parts = name.split('_').skip(1).map_while(|part| part.parse().ok());
    let number: Number = parts.take(4).collect();
    assert!(number.len() >= 3, "{name} has the number of its statement behind {}", edition.prefix);
    number
}

/// The tests of an edition by the number of their statement.
fn tests_by_number(edition: &Edition) -> BTreeMap<Number, Vec<String>> {
    let mut by_number: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for name in tests(&format!("{}_", edition.prefix)) {
        by_number.entry(number_of_test(edition, &name)).or_default().push(name);
    }
    by_number
}

#[test]
fn each_edition_has_a_row_for_each_of_its_statements_in_order() {
    for edition in &EDITIONS {
        let rows = rows(edition);
        assert_eq!(rows.len(), edition.statements, "rows of {}", edition.file);
        for pair in rows.windows(2) {
            let [first, second] = [&pair[0], &pair[1]].map(|row| &row.number);
            assert!(first < second, "{}: {} before {}", edition.file, written(first), written(second));
        }
    }
}

#[test]
fn each_row_that_says_test_has_one_and_each_test_with_a_number_has_its_row() {
    for edition in &EDITIONS {
        let mut tests = tests_by_number(edition);
        for row in rows(edition) {
            let found = tests.remove(&row.number).unwrap_or_default();
            let (number, file) = (written(&row.number), edition.file);
            match row.shown {
                Shown::ByTests => assert!(!found.is_empty(), "{file} says that a test shows {number}; there is none"),
                Shown::BindsTheClient(_) | Shown::CannotBe(_) => {
                    assert!(found.is_empty(), "{file} says that nothing shows {number}, but these do: {found:?}");
                }
            }
        }
        assert!(tests.is_empty(), "{} has no row for {:?}", edition.file, tests.values());
    }
}

#[test]
fn each_file_of_this_folder_is_a_module_of_it() {
    let sources = sources();
    for file in sources.keys().filter(|file| *file != "main.rs") {
        let module = format!("\nmod {};\n", file.trim_end_matches(".rs"));
        assert!(sources["main.rs"].contains(&module), "main.rs leaves out {file}: its tests are not run");
    }
}

#[test]
fn the_page_for_readers_is_what_the_tables_and_the_tests_come_to() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md");
    let page = page().expect("writing to a string does not fail");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, page).expect("CONFORMANCE.md is written");
        return;
    }
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(is == page, "CONFORMANCE.md is out of date: WEIR_BLESS=1 cargo test --test conformance writes it anew");
}

fn page() -> Result<String, std::fmt::Error> {
    let mut page = String::from(
        "# Conformance\n\n\
         Every normative statement of MQTT 5 and MQTT 3.1.1 by its number, in our own words, with the tests that show that the\n\
         broker keeps it, or the reason why none can. The tests are in `tests/conformance`, on raw frames against the real\n\
         binary. This page is generated from them and checked by `cargo test`;\n\
         `WEIR_BLESS=1 cargo test --test conformance` writes it anew.\n\n\
         | | statements | shown by tests | bind the client | cannot be shown |\n| --- | --- | --- | --- | --- |\n",
    );
    for edition in &EDITIONS {
        let rows = rows(edition);
        let count = |is: fn(&Shown) -> bool| rows.iter().filter(|row| is(&row.shown)).count();
        let shown = count(|shown| matches!(shown, Shown::ByTests));
        let client = count(|shown| matches!(shown, Shown::BindsTheClient(_)));
        let cannot = count(|shown| matches!(shown, Shown::CannotBe(_)));
        writeln!(page, "| {} | {} | {shown} | {client} | {cannot} |", edition.name, rows.len())?;
    }
    page.push_str("\nMQTT 3.1 numbers no statements; the rules in which it differs from 3.1.1 are at the end.\n");
    for edition in &EDITIONS {
        writeln!(page, "\n## {}\n\n| statement | what it asks | shown by |\n| --- | --- | --- |", edition.name)?;
        let tests = tests_by_number(edition);
        for row in rows(edition) {
            let shown = match &row.shown {
                Shown::ByTests => {
                    let names = tests.get(&row.number).into_iter().flatten();
                    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join("<br>")
                }
                Shown::BindsTheClient(reason) | Shown::CannotBe(reason) => format!("none: {}", cell(reason)),
            };
            writeln!(page, "| {} | {} | {shown} |", written(&row.number), cell(&row.words))?;
        }
    }
    page.push_str("\n## MQTT 3.1\n\n");
    for name in tests("v31_") {
        writeln!(page, "- `{name}`")?;
    }
    Ok(page)
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
