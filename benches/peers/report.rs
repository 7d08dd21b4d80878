//! What is shown: a line for each step while it runs, tables in the end, and `BENCHMARKS.md`. Called by the command line and
//! the cases; it measures nothing, and never touches what people wrote between the tables of that file.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use comfy_table::{ContentArrangement, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::broker::Peer;
use crate::connection::Result;
use crate::ledger::Faults;

/// What a file that is not there yet begins and ends with.
const BEGINNING: &str = "# Benchmarks\n\nEach table was written by the command under it, and is by `--write` again. \
    Processor time and memory are those of the broker's process alone; the load generator runs beside it on the same machine, \
    speaks MQTT 3.1.1 in raw packets, and checks every message by its number.\n";
const NOTES: &str = "<!-- notes -->\n<!-- /notes -->\n";

/// What is going on.
pub struct Progress(ProgressBar);

impl Progress {
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        // A style that cannot be read leaves the usual one.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// What begins now.
    pub fn step(&self, text: &str) {
        self.0.reset_elapsed();
        self.0.set_message(text.to_owned());
    }

    /// What has ended.
    pub fn line(&self, text: &str) {
        self.0.suspend(|| println!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A table and what it is about.
pub struct Table {
    name: &'static str,
    title: String,
    about: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(name: &'static str, title: &str, about: &str, header: &[&str], rows: Vec<Vec<String>>) -> Self {
        let header = header.iter().map(|&cell| cell.to_owned()).collect();
        Self { name, title: title.to_owned(), about: about.to_owned(), header, rows }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn print(&self) {
        let mut table = comfy_table::Table::new();
        table.set_content_arrangement(ContentArrangement::Dynamic).load_style(presets::ASCII_MARKDOWN);
        table.set_header(&self.header).add_rows(&self.rows);
        println!("\n{}\n{}\n{table}", self.title, self.about);
    }

    fn markdown(&self, measured: &str) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = self.header.iter().map(|_| "---".into()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let (title, about, header, rule) = (&self.title, &self.about, line(&self.header), line(&rule));
        format!("## {title}\n\n{about}\n\n{header}{rule}{rows}\n{measured}\n")
    }
}

/// Puts the tables into a file, in place of those of the same name; all else in it stays.
pub fn write(path: &Path, tables: &[Table], measured: &str) -> Result<()> {
    let mut text = fs::read_to_string(path).unwrap_or_else(|_| format!("{BEGINNING}\n{NOTES}"));
    for table in tables {
        let (begin, end) = (format!("<!-- table {} -->\n", table.name), format!("<!-- /table {} -->\n", table.name));
        let section = format!("{begin}{}{end}", table.markdown(measured));
        let old = text.find(&begin).zip(text.find(&end));
        match old {
            Some((from, to)) if from < to => text.replace_range(from..to + end.len(), &section),
            _ => {
                let at = text.find("<!-- notes -->").unwrap_or(text.len());
                text.insert_str(at, &format!("{section}\n"));
            }
        }
    }
    fs::write(path, text)?;
    Ok(())
}

/// When, where, with what and how this was measured.
pub fn measured(peers: &[Peer]) -> String {
    let date = jiff::Timestamp::now().to_string();
    let date = date.split('T').next().unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    let versions: Vec<String> =
        Peer::BROKERS.iter().filter(|peer| peers.contains(peer)).filter_map(|&peer| version(peer)).collect();
    format!(
        "`cargo bench --bench peers{separator}{}`, {date}: {}, on {}.",
        arguments.join(" "),
        versions.join(", "),
        machine()
    )
}

fn version(peer: Peer) -> Option<String> {
    let version = peer.version()?;
    if peer != Peer::Weir {
        return Some(version);
    }
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    Some(match described {
        Ok(output) if output.status.success() => {
            format!("{version} ({})", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => version,
    })
}

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: f64 = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = field(&read("/proc/cpuinfo"), "model name");
    format!("{cores} cores of {model}, {:.0} GB, Linux {}", kib / 1e6, kernel.trim())
}

/// The middle one; `None` of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// A whole number, `17,800`.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn rate(per_second: f64) -> String {
    format!("{}/s", grouped(per_second))
}

/// Three digits that matter.
pub fn figure(value: f64) -> String {
    match value {
        v if v >= 1_000.0 => grouped(v),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

pub fn micros(time: Duration) -> String {
    format!("{} µs", figure(time.as_secs_f64() * 1e6))
}

/// `none`, or what there was; and whether the broker has counted the same.
pub fn faults_told(faults: &Faults) -> String {
    if faults.none() {
        return if faults.uncounted.is_some() { "none, all counted" } else { "none" }.into();
    }
    let all = [
        (faults.lost, "lost"),
        (faults.duplicated, "duplicated"),
        (faults.reordered, "reordered"),
        (faults.foreign, "not theirs"),
        (faults.unacknowledged, "unacknowledged"),
        (faults.uncounted.unwrap_or(0), "uncounted"),
    ];
    let told: Vec<String> = all
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count as f64)))
        .collect();
    told.join(", ")
}
