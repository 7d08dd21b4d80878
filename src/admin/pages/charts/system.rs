//! What the broker took and did over time: areas and lines, with a gap where nothing is known.

use jiff::{SignedDuration, Timestamp};
use plotters::prelude::*;

use super::{Area, Chart, Failure, MARGIN, Palette, drawn, plane};
use crate::admin::model::{SystemHistory, SystemPoint};
use crate::admin::pages::format;

/// How far back the charts of the system go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The last hour, by the minute.
    Hour,
    /// The last day, by the quarter of an hour.
    Day,
    /// The last 31 days, by six hours.
    Month,
}

impl Span {
    /// Its length and that of a step, in seconds.
    pub fn seconds(self) -> (u64, u64) {
        match self {
            Span::Hour => (3_600, 60),
            Span::Day => (86_400, 900),
            Span::Month => (31 * 86_400, 21_600),
        }
    }

    /// The times that are named below a chart which begins at `from`.
    fn marks(self, from: Timestamp) -> Vec<(f64, String)> {
        let (every, name) = match self {
            Span::Hour => (600, "%H:%M"),
            Span::Day => (4 * 3_600, "%H:%M"),
            Span::Month => (5 * 86_400, "%b %-d"),
        };
        let length = self.seconds().0 as i64;
        let first = every - from.as_second().rem_euclid(every);
        let named = (first..length).step_by(every as usize).map(|offset| {
            let at = from.saturating_add(SignedDuration::from_secs(offset)).unwrap_or(from);
            (offset as f64, format::formatted(&at.to_string(), name))
        });
        named.collect()
    }
}

/// One curve of a chart of the system: its colour, its name, and what it shows of a point.
type Curve = (&'static str, &'static str, fn(&SystemPoint) -> f64);

/// The charts of the system: processor, memory, connections, messages.
pub fn system(history: &SystemHistory, from: Timestamp, span: Span, palette: &Palette) -> Vec<Chart> {
    let highest = history.points.iter().map(|point| point.memory).max().unwrap_or(0);
    let unit = format::UNITS[format::unit_of(highest)];
    let memory: fn(&SystemPoint) -> f64 = |point| point.memory as f64;
    [
        (
            "cpu",
            "Processor",
            "%",
            100.0,
            vec![("used", "processor time", (|point| point.cpu) as fn(&SystemPoint) -> f64)],
        ),
        (
            "memory",
            "Memory",
            unit,
            1.0 / 1024f64.powi(format::unit_of(highest) as i32),
            vec![("used", "memory", memory)],
        ),
        ("connections", "Connections", "", 1.0, vec![("used", "connections", |point| point.connections as f64)]),
        (
            "messages",
            "Messages a second",
            "",
            1.0,
            vec![
                ("used", "from clients", |point| point.messages_in),
                ("second", "to clients", |point| point.messages_out),
            ],
        ),
    ]
    .into_iter()
    .map(|(id, title, unit, scale, lines)| {
        over_time(history, from, span, palette, Figure { id, title, unit, scale, lines })
    })
    .collect()
}

/// What one chart of the system shows.
struct Figure {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    /// What a value is multiplied by to be in the unit.
    scale: f64,
    lines: Vec<Curve>,
}

fn over_time(history: &SystemHistory, from: Timestamp, span: Span, palette: &Palette, figure: Figure) -> Chart {
    let Figure { id, title, unit, scale, lines } = figure;
    let say = |value: f64| match (id, unit) {
        ("memory", _) => format::bytes(value as u64),
        ("cpu", _) => format::processor(value),
        ("messages", _) => format::per_second(value),
        _ => format::number(value as u64),
    };
    let of_time = match span {
        Span::Hour => "the last hour",
        Span::Day => "the last 24 hours",
        Span::Month => "the last 31 days",
    };
    let highest: Vec<String> = lines
        .iter()
        .map(|(_, name, value)| format!("{name} at most {}", say(history.points.iter().map(value).fold(0.0, f64::max))))
        .collect();
    let empty = history.points.is_empty();
    let mut columns = vec!["Time"];
    columns.extend(lines.iter().map(|(_, name, _)| *name));
    let curves = Curves { history, from, span, unit, scale, lines: &lines };
    Chart {
        id,
        title: format!("{title}, {of_time}"),
        description: if empty {
            "Nothing is known yet.".into()
        } else {
            format!("In {of_time}: {}.", highest.join(", "))
        },
        caption: match id {
            "cpu" => "100 % is one processor all the time. The mean of each step.",
            "memory" => "Resident memory, the highest of each step.",
            "connections" => "Open at once, the highest of each step.",
            _ => "Application messages a second, the mean of each step.",
        }
        .into(),
        legend: lines.iter().map(|(colour, name, _)| (*colour, *name)).collect(),
        columns,
        rows: history
            .points
            .iter()
            .rev()
            .map(|point| {
                let values = lines.iter().map(|(_, _, value)| say(value(point)));
                std::iter::once(format::minute(&point.at)).chain(values).collect()
            })
            .collect(),
        drawing: drawn(palette, false, |root| curves.draw(root, palette)),
    }
}

struct Curves<'a> {
    history: &'a SystemHistory,
    from: Timestamp,
    span: Span,
    unit: &'static str,
    scale: f64,
    lines: &'a [Curve],
}

impl Curves<'_> {
    fn draw(&self, root: &Area<'_>, palette: &Palette) -> Result<(), Failure> {
        let values = self.lines.iter().flat_map(|(_, _, value)| self.history.points.iter().map(value));
        let height = match values.fold(0.0, f64::max) * self.scale {
            nothing if nothing <= 0.0 => 1.0,
            highest => highest * 1.15,
        };
        let width = self.span.seconds().0 as f64;
        let mut chart = plane(root, palette, (width, height), MARGIN, self.unit, &self.span.marks(self.from))?;
        for (colour, _, value) in self.lines {
            let colour = if *colour == "second" { palette.second } else { palette.used };
            for stretch in self.stretches(*value) {
                if self.lines.len() == 1 {
                    chart.draw_series(AreaSeries::new(stretch.iter().copied(), 0.0, colour.mix(0.18)))?;
                }
                chart.draw_series(LineSeries::new(stretch, colour.stroke_width(2)))?;
            }
        }
        Ok(())
    }

    /// The points of a line, apart where nothing is known between them.
    fn stretches(&self, value: fn(&SystemPoint) -> f64) -> Vec<Vec<(f64, f64)>> {
        let step = self.history.step_seconds as f64;
        let mut stretches: Vec<Vec<(f64, f64)>> = Vec::new();
        for point in &self.history.points {
            let Ok(at) = point.at.parse::<Timestamp>() else { continue };
            let at = (at.as_second() - self.from.as_second()) as f64;
            if !(0.0..=self.span.seconds().0 as f64).contains(&at) {
                continue;
            }
            let next = (at, value(point) * self.scale);
            match stretches.last_mut() {
                Some(stretch) if stretch.last().is_some_and(|last| at - last.0 <= 1.5 * step) => stretch.push(next),
                _ => stretches.push(vec![next]),
            }
        }
        stretches
    }
}
