//! What is wrong with a configuration, and where: every problem with its file, line, column and what was expected.
//!
//! The reader of each section reports here and goes on, so that one run shows all that is wrong. Nothing here decides
//! what is right; and no message may hold a token or a password.

use std::fmt;
use std::sync::Arc;

use super::tree::At;

/// A place in a file. Lines and columns count from 1, columns in characters; line 0 means the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named to us.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The column in characters, from 1; 0 for the whole file.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong, so that the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What was found and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: error: {}", self.place, self.message)
    }
}

/// One thing that works and should still be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub place: Place,
    /// What was found and what would be better.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: warning: {}", self.place, self.message)
    }
}

/// All that is wrong with a configuration, in the order of the file.
///
/// Its text is one problem after the other, each with its line of the file and a caret under the column.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
    /// The source line of each problem, where it has one that can be shown.
    excerpts: Vec<Option<String>>,
}

impl ConfigError {
    /// One problem of the file as a whole.
    pub(super) fn of_file(file: &str, message: String) -> Self {
        let place = Place { file: file.into(), line: 0, column: 0 };
        Self::at(place, message)
    }

    /// One problem of a file whose text could not be had.
    pub(super) fn at(place: Place, message: String) -> Self {
        Self { problems: vec![Problem { place, message }], excerpts: vec![None] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (problem, excerpt)) in self.problems.iter().zip(&self.excerpts).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
            if let Some(line) = excerpt {
                let number = problem.place.line.to_string();
                let gutter = " ".repeat(number.len());
                let indent = " ".repeat(problem.place.column.saturating_sub(1));
                write!(f, "\n {number} | {line}\n {gutter} | {indent}^")?;
            }
        }
        Ok(())
    }
}

/// Collects the problems and warnings of one file while it is read.
pub(super) struct Report<'s> {
    file: Arc<str>,
    source: &'s str,
    problems: Vec<(At, String)>,
    warnings: Vec<(At, String)>,
}

impl<'s> Report<'s> {
    pub(super) fn new(file: &str, source: &'s str) -> Self {
        Self { file: file.into(), source, problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn error(&mut self, at: At, message: impl Into<String>) {
        self.problems.push((at, message.into()));
    }

    pub(super) fn warn(&mut self, at: At, message: impl Into<String>) {
        self.warnings.push((at, message.into()));
    }

    pub(super) fn place(&self, at: At) -> Place {
        Place { file: self.file.clone(), line: at.line as usize, column: at.column as usize }
    }

    /// The warnings of a file in which nothing is wrong, or else all that is wrong; each in the order of the file.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, ConfigError> {
        if !self.problems.is_empty() {
            return Err(self.into_error());
        }
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort_by_key(|(at, _)| *at);
        let warning = |(at, message)| Warning { place: self.place(at), message };
        Ok(warnings.into_iter().map(warning).collect())
    }

    /// All that is wrong, in the order of the file.
    pub(super) fn into_error(mut self) -> ConfigError {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|(at, _)| *at);
        let problem = |(at, message)| Problem { place: self.place(at), message };
        ConfigError {
            excerpts: excerpts(self.source, &problems),
            problems: problems.into_iter().map(problem).collect(),
        }
    }
}

/// The source line of each problem, found in one walk since they are in the order of the file. A tab is shown as one
/// space, so that the caret is under its column; a line that fills a screen is not shown.
fn excerpts(source: &str, problems: &[(At, String)]) -> Vec<Option<String>> {
    let mut lines = (1u32..).zip(source.lines()).peekable();
    let mut line_of = |wanted: u32| {
        while lines.next_if(|(number, _)| *number < wanted).is_some() {}
        let (number, line) = lines.peek()?;
        (*number == wanted && line.len() <= 400).then(|| line.replace('\t', " "))
    };
    problems.iter().map(|(at, _)| line_of(at.line)).collect()
}
