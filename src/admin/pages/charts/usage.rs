//! What a profile used and was denied of one resource: columns, with the limits drawn in that they can be held against.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, Chart, FONT, Failure, MARGIN, Palette, drawn, plane};
use crate::admin::model::{Limit, UsageSeries};
use crate::admin::pages::format;

/// To the right of the columns, where the limit's number stands.
const LINE_MARGIN: u32 = 80;

/// How far back a profile's chart goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The last hour, a column for each minute.
    Hour,
    /// The last 31 days, a column for each day.
    Month,
}

/// What was used and denied of one resource, with those limits drawn in that a column can be held against. `on_its_own`
/// gives it a background.
pub fn usage(series: &UsageSeries, limits: &[Limit], reach: Reach, palette: &Palette, on_its_own: bool) -> Chart {
    let resource = series.resource.as_str();
    let bytes = format::counts_bytes(resource);
    let (lines, left_out): (Vec<_>, Vec<_>) =
        limits.iter().filter(|limit| limit.max.is_some()).partition(|limit| line_of(limit, reach).is_some());
    let lines: Vec<Line> = lines.into_iter().filter_map(|limit| line_of(limit, reach)).collect();
    let named: Vec<&str> = lines.iter().map(|line| line.meaning.as_str()).collect();
    let meaning = named.join(" and ");
    let most_used = series.points.iter().map(|point| point.used).max().unwrap_or(0);
    let highest_line = lines.iter().map(|line| line.at as u64).max().unwrap_or(0);
    let unit = if bytes { format::unit_of(most_used.max(highest_line)) } else { 0 };
    let scale = 1024f64.powi(unit as i32);
    let columns = Columns {
        columns: series
            .points
            .iter()
            .map(|point| (point.used as f64 / scale, if bytes { 0.0 } else { point.denied as f64 }))
            .collect(),
        lines: lines.into_iter().map(|line| (line.at / scale, line.name)).collect(),
        marks: marks(series.points.iter().map(|point| point.at.as_str()), reach),
        unit: if bytes { format::UNITS[unit] } else { "" },
    };
    let (each, of_time) = match reach {
        Reach::Hour => ("minute", "the last hour"),
        Reach::Month => ("day", "the last 31 days"),
    };
    let mut caption = format!("Each column is a {each}, UTC.");
    if !meaning.is_empty() {
        caption.push_str(&format!(" The line is the limit, {meaning}."));
    }
    if bytes {
        caption.push_str(" What was denied is counted in requests, so it is in the table and not among the bytes.");
    }
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.into_iter().map(format::rate).collect();
        caption.push_str(&format!(" Not drawn, as its window is not a {each}: {}.", names.join(", ")));
    } else if columns.lines.is_empty() {
        caption.push_str(" No limit holds for it.");
    }
    let busiest = series.points.iter().max_by_key(|point| point.used);
    let description = format!(
        "{} used and {} denied in {of_time}.{}",
        format::amount(resource, series.used),
        format::number(series.denied),
        busiest.filter(|point| point.used > 0).map_or(String::new(), |point| format!(
            " The most was {} in the {each} of {}.",
            format::amount(resource, point.used),
            name_of(&point.at, reach)
        )),
    );
    let mut legend = vec![("used", "used")];
    if !bytes {
        legend.push(("denied", "denied"));
    }
    if !columns.lines.is_empty() {
        legend.push(("ink", "limit"));
    }
    Chart {
        id: if reach == Reach::Hour { "hour" } else { "month" },
        title: format!("{resource}, {of_time}"),
        description,
        caption,
        legend,
        columns: vec![if reach == Reach::Hour { "Minute" } else { "Day" }, "Used", "Denied"],
        rows: series
            .points
            .iter()
            .rev()
            .map(|point| {
                vec![name_of(&point.at, reach), format::amount(resource, point.used), format::number(point.denied)]
            })
            .collect(),
        drawing: drawn(palette, on_its_own, |root| columns.draw(root, palette)),
    }
}

/// The line of a limit.
struct Line {
    at: f64,
    /// What stands at its end.
    name: String,
    /// What the caption says of it.
    meaning: String,
}

/// The most characters for which there is room at the end of a line.
const LINE_NAME: usize = 11;

/// The line of a limit; nothing where its window is no measure for the columns.
fn line_of(limit: &Limit, reach: Reach) -> Option<Line> {
    let max = limit.max?;
    let rate = format::rate(limit);
    let (at, name, meaning) = match (reach, limit.window.as_str()) {
        (Reach::Hour, "min") | (Reach::Month, "day") => (max as f64, rate.clone(), rate),
        // The longest month: who stays below it each day is below the limit in any.
        (Reach::Month, "month") => {
            (max as f64 / 31.0, format::amount(&limit.resource, max / 31), format!("1/31 of {rate}"))
        }
        _ => return None,
    };
    let fits = name.chars().count() <= LINE_NAME || format::counts_bytes(&limit.resource);
    let name = if fits { name } else { format::short(at) };
    Some(Line { at, name, meaning })
}

fn name_of(at: &str, reach: Reach) -> String {
    if reach == Reach::Hour { format::minute(at) } else { format::day(at) }
}

/// The names below the columns: each tenth minute, each fifth day.
fn marks<'a>(times: impl Iterator<Item = &'a str>, reach: Reach) -> Vec<(f64, String)> {
    let (format, every, name) = match reach {
        Reach::Hour => ("%M", 10, "%H:%M"),
        Reach::Month => ("%d", 5, "%b %-d"),
    };
    let numbered = times.enumerate();
    let chosen = numbered.filter(|(_, at)| {
        let number = format::formatted(at, format).parse::<u32>();
        // The 30th and the 1st would stand in each other's way.
        number.is_ok_and(|number| number % every == 0 && (reach == Reach::Hour || number != 30))
    });
    chosen.map(|(column, at)| (column as f64 + 0.5, format::formatted(at, name))).collect()
}

struct Columns {
    /// Used, and denied on top of it.
    columns: Vec<(f64, f64)>,
    lines: Vec<(f64, String)>,
    marks: Vec<(f64, String)>,
    unit: &'static str,
}

impl Columns {
    fn draw(&self, root: &Area<'_>, palette: &Palette) -> Result<(), Failure> {
        let highest =
            self.columns.iter().map(|(used, denied)| used + denied).chain(self.lines.iter().map(|line| line.0));
        let height = match highest.fold(0.0, f64::max) {
            nothing if nothing <= 0.0 => 1.0,
            highest => highest * 1.15,
        };
        let width = self.columns.len().max(1) as f64;
        let margin = if self.lines.is_empty() { MARGIN } else { LINE_MARGIN };
        let mut chart = plane(root, palette, (width, height), margin, self.unit, &self.marks)?;
        let column = |at: usize, from: f64, to: f64, colour: RGBColor| {
            Rectangle::new([(at as f64 + 0.1, to), (at as f64 + 0.9, from)], colour.filled())
        };
        let parts = self.columns.iter().enumerate().flat_map(|(at, &(used, denied))| {
            let below = (used > 0.0).then(|| column(at, 0.0, used, palette.used));
            let above = (denied > 0.0).then(|| column(at, used, used + denied, palette.denied));
            below.into_iter().chain(above)
        });
        chart.draw_series(parts)?;
        let style = TextStyle::from(FONT.into_font()).color(&palette.ink).pos(Pos::new(HPos::Left, VPos::Center));
        for (at, name) in &self.lines {
            chart.draw_series(LineSeries::new([(0.0, *at), (width, *at)], palette.ink.stroke_width(2)))?;
            let (x, y) = chart.backend_coord(&(width, *at));
            root.draw(&Text::new(name.as_str(), (x + 6, y), style.clone()))?;
        }
        Ok(())
    }
}
