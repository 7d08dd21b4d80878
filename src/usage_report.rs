//! `weir usage`: what a profile has used and was denied over a span of time, for people, for billing and for programs.
//!
//! Called by the command line. All numbers are the broker's, every digit of them; here is only their form.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use weir::admin::model::{Usage, UsagePoint, UsageSeries};

use crate::api_client;
use crate::numbers::{count, plain};
use crate::{UNUSABLE, failed, written};

/// How long the answer may take: the minutes of a month of every resource are some megabytes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Columns of a terminal that a table should fit in; of more resources there are more tables.
const COLUMNS: usize = 120;

/// What `weir usage` is asked for.
#[derive(Args)]
pub(crate) struct UsageArguments {
    #[command(flatten)]
    api: api_client::ApiArguments,
    /// The profile
    #[arg(long, short, value_name = "NAME")]
    profile: String,
    /// Only what this device, which has rates of its own, has used
    #[arg(long, short, value_name = "NAME")]
    device: Option<String>,
    /// Only this resource, such as publish or "POST /data"; may be given several times
    #[arg(long, short, value_name = "NAME")]
    resource: Vec<String>,
    /// A month (UTC) such as 2026-11; by default the current one up to now
    #[arg(long, short, value_name = "YYYY-MM", value_parser = parse_month, conflicts_with_all = ["from", "to"])]
    month: Option<Date>,
    /// From this time on, such as 2026-11-01 or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Up to this time, without it; by default now
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from")]
    to: Option<Timestamp>,
    /// How long each line's span is
    #[arg(long, short, default_value = "1d")]
    step: Step,
    /// How it is written
    #[arg(long, short, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// A calendar month
    #[value(name = "1mo")]
    Month,
    /// A day
    #[value(name = "1d")]
    Day,
    /// An hour
    #[value(name = "1h")]
    Hour,
    /// A minute
    #[value(name = "1m")]
    Minute,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For spreadsheets (RFC 4180): one row for each step and resource
    Csv,
    /// For programs: what the API says
    Json,
}

impl Step {
    /// As the API calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Month => "1mo",
            Self::Day => "1d",
            Self::Hour => "1h",
            Self::Minute => "1m",
        }
    }
}

/// Asks the broker, and writes what it says. An error is told, and is the code that the process ends with.
pub(crate) fn run(arguments: &UsageArguments, config: &Path) -> Result<ExitCode, ExitCode> {
    let times = arguments.times(Timestamp::now());
    let (from, to) = times.map_err(|why| failed(UNUSABLE, format_args!("error: {why}")))?;
    let api = arguments.api.api(config, TIMEOUT).map_err(|error| failed(UNUSABLE, error))?;
    let mut query = vec![("from", from.as_str()), ("to", &to), ("step", arguments.step.name())];
    query.extend(arguments.device.as_deref().map(|device| ("device", device)));
    // The API takes one resource, or gives all.
    if let [resource] = arguments.resource.as_slice() {
        query.push(("resource", resource));
    }
    let usage = api.usage(&arguments.profile, &query).map_err(|error| failed(ExitCode::FAILURE, error))?;
    let usage =
        chosen(usage, &arguments.resource).map_err(|why| failed(ExitCode::FAILURE, format_args!("error: {why}")))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let result = match arguments.format {
        Format::Table => out.write_all(table(&usage, arguments.step, !arguments.resource.is_empty()).as_bytes()),
        Format::Csv => csv(&usage, &mut out),
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &usage).map_err(io::Error::from).and_then(|()| writeln!(out))
        }
    };
    Ok(written(result.and_then(|()| out.flush())))
}

impl UsageArguments {
    /// From when to when, as the API takes it.
    fn times(&self, now: Timestamp) -> Result<(String, String), String> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let (from, to) = match (self.month, self.from) {
            (None, Some(from)) => (from, self.to.unwrap_or(now)),
            (month, _) => {
                let first = month.unwrap_or_else(|| today.first_of_month());
                if first > today {
                    return Err(format!("{} has not begun yet", first.strftime("%Y-%m")));
                }
                let end = first.saturating_add(1.month());
                // Days that are to come have no usage; a month is a month.
                let end = if self.step == Step::Month { end } else { end.min(today.saturating_add(1.day())) };
                (midnight(first)?, midnight(end)?)
            }
        };
        match from < to {
            true => Ok((from.to_string(), to.to_string())),
            false => Err(format!("--from {from} is not before --to {to}")),
        }
    }
}

/// The series of these resources, in this order; all where none is named.
fn chosen(mut usage: Usage, resources: &[String]) -> Result<Usage, String> {
    if resources.is_empty() {
        return Ok(usage);
    }
    let mut series: Vec<UsageSeries> = Vec::new();
    for resource in resources {
        if series.iter().any(|series| series.resource == *resource) {
            continue;
        }
        match usage.series.iter().position(|series| series.resource == *resource) {
            Some(position) => series.push(usage.series.remove(position)),
            None => {
                let known = series.iter().chain(&usage.series).map(|series| plain(&series.resource));
                let known = known.collect::<Vec<_>>().join(", ");
                let (resource, profile) = (plain(resource), plain(&usage.profile));
                return Err(format!("nothing is known of the resource {resource} of {profile}; known are: {known}"));
            }
        }
    }
    usage.series = series;
    Ok(usage)
}

/// Tables for people: a row for each step and a total; of resources that do not fit beside each other, one below the other.
fn table(usage: &Usage, step: Step, all: bool) -> String {
    let device = usage.device.as_deref().map(|device| format!(", device {}", plain(device))).unwrap_or_default();
    let (from, to) = (shown(&usage.from), shown(&usage.to));
    let mut text = format!("{}{device}: {from} to {to} (UTC)\n", plain(&usage.profile));
    let idle = |series: &&UsageSeries| !all && series.points.iter().all(|point| point.used == 0 && point.denied == 0);
    let (idle, used): (Vec<_>, Vec<_>) = usage.series.iter().partition(idle);
    let mut rest = used.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(how_many_fit(rest));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", one_table(now, step));
        rest = later;
    }
    if !idle.is_empty() {
        let names: Vec<String> = idle.iter().map(|series| plain(&series.resource)).collect();
        let _ = writeln!(text, "Nothing used or denied: {}", names.join(", "));
    }
    if usage.series.is_empty() {
        text += "Nothing is known of it.\n";
    }
    text
}

/// Of the first of these, so many that their columns fit; one at least.
fn how_many_fit(series: &[&UsageSeries]) -> usize {
    const FIRST_COLUMN: usize = 20;
    let widths = series.iter().scan(FIRST_COLUMN, |width, series| {
        let (used, denied) = totals(series);
        let cells =
            [plain(&series.resource).chars().count().max(count(used).len()), count(denied).len().max("denied".len())];
        *width += cells.iter().map(|cell| cell + 3).sum::<usize>();
        Some(*width)
    });
    widths.take_while(|width| *width <= COLUMNS).count().max(1)
}

fn one_table(series: &[&UsageSeries], step: Step) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let first = match step {
        Step::Month => "month",
        Step::Day => "day",
        Step::Hour => "hour",
        Step::Minute => "minute",
    };
    let names = series.iter().flat_map(|series| [plain(&series.resource), "denied".into()]);
    table.set_header(std::iter::once(first.to_owned()).chain(names));
    let steps = series.iter().map(|series| series.points.len()).max().unwrap_or(0);
    for index in 0..steps {
        let at = series.iter().find_map(|series| series.points.get(index)).map(|point| step_name(&point.at, step));
        let numbers = series.iter().flat_map(|series| {
            let point = series.points.get(index);
            [point.map(|point| point.used), point.map(|point| point.denied)]
        });
        let numbers = numbers.map(|number| number.map(count).unwrap_or_default());
        table.add_row(at.into_iter().chain(numbers));
    }
    let totals = series.iter().flat_map(|series| <[u64; 2]>::from(totals(series))).map(count);
    table.add_row(std::iter::once("total".to_owned()).chain(totals));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What is used and denied over all steps.
fn totals(series: &UsageSeries) -> (u64, u64) {
    let sum = |of: fn(&UsagePoint) -> u64| series.points.iter().map(of).fold(0, u64::saturating_add);
    (sum(|point| point.used), sum(|point| point.denied))
}

/// One row for each step and resource, the times as the API gives them.
fn csv(usage: &Usage, out: &mut impl Write) -> io::Result<()> {
    write!(out, "profile,device,resource,from,to,used,denied\r\n")?;
    let (profile, device) = (field(&usage.profile), field(usage.device.as_deref().unwrap_or_default()));
    for series in &usage.series {
        let resource = field(&series.resource);
        let ends = series.points.iter().skip(1).map(|point| &point.at).chain([&usage.to]);
        for (UsagePoint { at, used, denied }, to) in series.points.iter().zip(ends) {
            let (from, to) = (field(at), field(to));
            write!(out, "{profile},{device},{resource},{from},{to},{used},{denied}\r\n")?;
        }
    }
    Ok(())
}

/// A field of RFC 4180, in quotes where it needs them.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// A step by its beginning: `2026-11`, `2026-11-03`, `2026-11-03 14:05`.
fn step_name(at: &str, step: Step) -> String {
    let length = match step {
        Step::Month => 7,
        Step::Day => 10,
        Step::Hour | Step::Minute => 16,
    };
    plain(&at.get(..length).unwrap_or(at).replace('T', " "))
}

/// A time without the zeros at its end: `2026-11-21`, `2026-11-21 12:45`, `2026-11-21 12:45:09`.
fn shown(at: &str) -> String {
    let shown = at.strip_suffix("T00:00:00Z").or_else(|| at.strip_suffix(":00Z")).or_else(|| at.strip_suffix('Z'));
    plain(&shown.unwrap_or(at).replace('T', " "))
}

fn midnight(day: Date) -> Result<Timestamp, String> {
    day.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|error| error.to_string())
}

fn parse_month(text: &str) -> Result<Date, String> {
    let expected = || "a month such as 2026-11 is expected".to_owned();
    let (year, month) = text.split_once('-').ok_or_else(expected)?;
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits(year, 4) && digits(month, 2) {
        true => format!("{text}-01").parse().map_err(|_| expected()),
        false => Err(expected()),
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let expected = || "a day such as 2026-11-01 or a time such as 2026-11-01T12:00:00Z is expected (UTC)".to_owned();
    match text.len() {
        10 => text.parse().map_err(|_| expected()).and_then(midnight),
        _ => text.parse().map_err(|_| expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T12:45:09Z";

    fn times(
        month: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
        step: Step,
    ) -> Result<(String, String), String> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: UsageArguments,
        }
        let mut words =
            vec!["usage".to_owned(), "--profile".into(), "acme".into(), "--step".into(), step.name().into()];
        for (name, value) in [("--month", month), ("--from", from), ("--to", to)] {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value.to_owned()]));
        }
        let line = <Line as clap::Parser>::try_parse_from(words).map_err(|error| error.to_string())?;
        line.arguments.times(NOW.parse().expect("it is a time"))
    }

    fn span(from: &str, to: &str) -> Result<(String, String), String> {
        Ok((from.into(), to.into()))
    }

    #[test]
    fn the_current_month_ends_with_today_and_a_past_one_with_its_last_day() {
        assert_eq!(times(None, None, None, Step::Day), span("2026-11-01T00:00:00Z", "2026-11-22T00:00:00Z"));
        assert_eq!(times(Some("2026-11"), None, None, Step::Day), times(None, None, None, Step::Day));
        assert_eq!(
            times(Some("2026-02"), None, None, Step::Hour),
            span("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
        );
        assert_eq!(
            times(Some("2026-11"), None, None, Step::Month),
            span("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
        );
        assert_eq!(times(Some("2026-12"), None, None, Step::Day), Err("2026-12 has not begun yet".into()));
    }

    #[test]
    fn a_span_of_ones_own_is_from_a_day_or_a_time_to_another_or_to_now() {
        assert_eq!(times(None, Some("2026-11-20"), None, Step::Day), span("2026-11-20T00:00:00Z", NOW));
        let offset = times(None, Some("2026-11-20T12:00:00+02:00"), Some("2026-11-21"), Step::Minute);
        assert_eq!(offset, span("2026-11-20T10:00:00Z", "2026-11-21T00:00:00Z"));
        let backwards = times(None, Some("2026-11-20"), Some("2026-11-20"), Step::Day);
        assert_eq!(backwards, Err("--from 2026-11-20T00:00:00Z is not before --to 2026-11-20T00:00:00Z".into()));
    }

    #[test]
    fn a_month_and_a_time_are_checked_and_what_is_expected_is_said() {
        for wrong in ["2026-13", "2026-00", "2026", "11-2026", "2026-1", "2026-11-01", "november", "+026-11", ""] {
            assert_eq!(parse_month(wrong), Err("a month such as 2026-11 is expected".into()), "{wrong:?}");
        }
        for wrong in ["2026-11-31", "yesterday", "2026-11-01T12:00", "12:00", "", "1700000000"] {
            let why = parse_time(wrong).expect_err(wrong);
            assert!(why.starts_with("a day such as 2026-11-01 or a time such as"), "{wrong:?}: {why}");
        }
        assert_eq!(
            times(Some("2026-11"), Some("2026-11-01"), None, Step::Day)
                .map_err(|why| why.contains("cannot be used with")),
            Err(true)
        );
    }

    #[test]
    fn a_field_with_commas_quotes_or_lines_in_it_is_quoted() {
        assert_eq!(
            ["plain", "", "a,b", "say \"no\"", "a\nb"].map(field),
            ["plain", "", "\"a,b\"", "\"say \"\"no\"\"\"", "\"a\nb\""]
        );
    }

    #[test]
    fn a_step_is_named_by_what_tells_it_from_the_next() {
        let names =
            [Step::Month, Step::Day, Step::Hour, Step::Minute].map(|step| step_name("2026-11-03T14:05:00Z", step));
        assert_eq!(names, ["2026-11", "2026-11-03", "2026-11-03 14:05", "2026-11-03 14:05"]);
        assert_eq!(
            ["2026-11-01T00:00:00Z", NOW, "2026-11-01T10:00:00Z"].map(shown),
            ["2026-11-01", "2026-11-21 12:45:09", "2026-11-01 10:00"]
        );
    }
}
