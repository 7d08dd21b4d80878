//! Charts of what was used, as SVG with words beside it: a title, a description, a caption that says what is drawn, and the
//! figures themselves as a table. Called by the pages of a profile and of the system. A chart in a page wears the page's
//! theme, as the stylesheet dresses its colours; one on its own wears that of its [`Palette`]. Never does anything that a
//! user named enter the drawing: names are in the texts, which the templates escape.

mod system;
mod usage;

use askama::Template;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use system::{Span, system};
pub use usage::{Reach, usage};

use super::format;

/// The colours of a chart, which are those of the stylesheet.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub(super) back: RGBColor,
    pub(super) ink: RGBColor,
    pub(super) muted: RGBColor,
    pub(super) grid: RGBColor,
    pub(super) used: RGBColor,
    pub(super) denied: RGBColor,
    pub(super) second: RGBColor,
}

/// By day.
pub const LIGHT: Palette = Palette {
    back: RGBColor(0xFF, 0xFF, 0xFF),
    ink: RGBColor(0x18, 0x21, 0x2E),
    muted: RGBColor(0x55, 0x60, 0x72),
    grid: RGBColor(0xE3, 0xE8, 0xEE),
    used: RGBColor(0x15, 0x78, 0x8C),
    denied: RGBColor(0xC4, 0x28, 0x1C),
    second: RGBColor(0x7A, 0x52, 0xB3),
};

/// By night.
pub const DARK: Palette = Palette {
    back: RGBColor(0x17, 0x1D, 0x25),
    ink: RGBColor(0xE5, 0xEA, 0xF1),
    muted: RGBColor(0x9B, 0xA8, 0xB8),
    grid: RGBColor(0x29, 0x32, 0x3D),
    used: RGBColor(0x3F, 0xA9, 0xBD),
    denied: RGBColor(0xFF, 0x7A, 0x6E),
    second: RGBColor(0xB4, 0x8C, 0xF2),
};

/// A chart and all that is said beside it.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Tells it from the others of its page.
    pub id: &'static str,
    /// What it shows.
    pub title: String,
    /// What it shows for who does not see it: the sums and the highest.
    pub description: String,
    /// What is drawn and what is not.
    pub caption: String,
    /// The colours with what they mean: a class of the stylesheet and a name.
    pub legend: Vec<(&'static str, &'static str)>,
    /// The columns of its table.
    pub columns: Vec<&'static str>,
    /// The rows of its table.
    pub rows: Vec<Vec<String>>,
    /// The drawing, without the `svg` element around it.
    drawing: String,
}

#[derive(Template)]
#[template(path = "chart.svg")]
struct Svg<'a> {
    chart: &'a Chart,
    width: u32,
    height: u32,
}

const WIDTH: u32 = 560;
const HEIGHT: u32 = 220;
const FONT: (&str, u32) = ("sans-serif", 15);
/// To the right of a drawing.
const MARGIN: u32 = 12;

impl Chart {
    /// The whole of it as an SVG document.
    pub fn svg(&self) -> String {
        // Only a formatter that fails could make this fail, and a string's does not.
        Svg { chart: self, width: WIDTH, height: HEIGHT }.render().unwrap_or_default()
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failure = DrawingAreaErrorKind<std::io::Error>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What `draw` draws, without the element around it.
fn drawn(palette: &Palette, on_its_own: bool, draw: impl FnOnce(&Area<'_>) -> Result<(), Failure>) -> String {
    let mut svg = String::new();
    let outcome = {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let back = if on_its_own { root.fill(&palette.back) } else { Ok(()) };
        back.and_then(|()| draw(&root)).and_then(|()| root.present())
    };
    if let Err(error) = outcome {
        // The table beside it still tells the figures.
        tracing::warn!(%error, "a chart could not be drawn");
        return String::new();
    }
    // Between the opening tag of the element around it and its closing one.
    let inner = svg.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>")).map(|(inner, _)| inner);
    inner.unwrap_or_default().trim().to_owned()
}

/// Axes for `0..width` by `0..height`, with lines at round numbers and the names of `marks` below.
fn plane<'a, 'b>(
    root: &'a Area<'b>,
    palette: &Palette,
    (width, height): (f64, f64),
    margin_right: u32,
    unit: &str,
    marks: &[(f64, String)],
) -> Result<Plane<'a, 'b>, Failure> {
    let mut chart = ChartBuilder::on(root)
        .margin_top(14)
        .margin_right(margin_right)
        .x_label_area_size(26)
        .y_label_area_size(if unit.is_empty() { 46 } else { 68 })
        .build_cartesian_2d(0.0..width, 0.0..height)?;
    let name = |value: &f64| match unit {
        "" => format::short(*value),
        "%" => format!("{} %", format::short(*value)),
        unit => format!("{} {unit}", format::short(*value)),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(5)
        .y_label_formatter(&name)
        .label_style(FONT.into_font().color(&palette.muted))
        .bold_line_style(palette.grid)
        .light_line_style(TRANSPARENT)
        .axis_style(palette.grid)
        .draw()?;
    let style = TextStyle::from(FONT.into_font()).color(&palette.muted).pos(Pos::new(HPos::Center, VPos::Top));
    for (at, name) in marks {
        let (x, y) = chart.backend_coord(&(*at, 0.0));
        root.draw(&Text::new(name.as_str(), (x, y + 8), style.clone()))?;
    }
    Ok(chart)
}

#[cfg(test)]
mod tests;
