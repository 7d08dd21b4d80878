//! Columns of text that fit a width: what can be left out is left out before anything is cut. Called by the screens; pure.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// What a column that shrinks keeps as long as another can be left out.
const NARROWEST: usize = 16;
const GAP: usize = 2;

/// One column of a grid.
pub(super) struct Column {
    title: String,
    right: bool,
    when_narrow: WhenNarrow,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WhenNarrow {
    Stays,
    Shrinks,
    /// Left out: the highest rank first.
    LeftOut(u8),
}

impl Column {
    /// Names: to the left, cut where they do not fit. One of these in a grid.
    pub(super) fn names(title: &str) -> Self {
        Self { title: title.into(), right: false, when_narrow: WhenNarrow::Shrinks }
    }

    /// Words, to the left.
    pub(super) fn words(title: &str) -> Self {
        Self { title: title.into(), right: false, when_narrow: WhenNarrow::Stays }
    }

    /// Numbers, to the right.
    pub(super) fn numbers(title: &str) -> Self {
        Self { title: title.into(), right: true, when_narrow: WhenNarrow::Stays }
    }

    /// Left out where there is no room; the highest rank goes first.
    pub(super) fn if_room(self, rank: u8) -> Self {
        Self { when_narrow: WhenNarrow::LeftOut(rank), ..self }
    }
}

/// The titles and the rows, each as one line. A row has a cell for each column.
pub(super) fn lay(
    columns: &[Column],
    rows: &[Vec<Line<'static>>],
    width: usize,
) -> (Line<'static>, Vec<Line<'static>>) {
    let mut widths: Vec<usize> = columns.iter().map(|column| Span::raw(&column.title).width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let shown = choose(columns, &mut widths, width);
    let titles = columns.iter().map(|column| Line::raw(column.title.clone())).collect::<Vec<_>>();
    let line = |cells: &[Line<'static>]| {
        let mut spans = Vec::new();
        for &index in &shown {
            if !spans.is_empty() {
                spans.push(Span::raw(" ".repeat(GAP)));
            }
            spans.extend(cell(&cells[index], widths[index], columns[index].right));
        }
        Line::from(spans)
    };
    (line(&titles).style(Style::new().add_modifier(Modifier::BOLD)), rows.iter().map(|row| line(row)).collect())
}

/// Which columns are shown; those that shrink get the width that is left for them.
fn choose(columns: &[Column], widths: &mut [usize], width: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    loop {
        let gaps = GAP * shown.len().saturating_sub(1);
        let shrinks = shown.iter().copied().find(|&index| columns[index].when_narrow == WhenNarrow::Shrinks);
        let others: usize = shown.iter().filter(|&&index| Some(index) != shrinks).map(|&index| widths[index]).sum();
        let left = width.saturating_sub(others + gaps);
        let wanted = shrinks.map_or(0, |index| widths[index]);
        let fits = others + gaps + wanted.min(NARROWEST) <= width;
        let least_wanted = shown
            .iter()
            .enumerate()
            .filter(|(_, index)| matches!(columns[**index].when_narrow, WhenNarrow::LeftOut(_)))
            .max_by_key(|(_, index)| columns[**index].when_narrow)
            .map(|(position, _)| position);
        match least_wanted {
            Some(position) if !fits => {
                shown.remove(position);
            }
            _ => {
                if let Some(index) = shrinks {
                    widths[index] = wanted.min(left);
                }
                return shown;
            }
        }
    }
}

fn cell(content: &Line<'static>, width: usize, right: bool) -> Vec<Span<'static>> {
    let taken = content.width();
    if taken > width {
        let text: String = content.spans.iter().map(|span| span.content.as_ref()).collect();
        let style = content.spans.first().map(|span| span.style).unwrap_or_default();
        return vec![Span::styled(cut(&text, width), style)];
    }
    let padding = Span::raw(" ".repeat(width - taken));
    let mut spans = content.spans.clone();
    if right {
        spans.insert(0, padding);
    } else {
        spans.push(padding);
    }
    spans
}

/// As much of a text as fits, with an ellipsis where there is more.
pub(super) fn cut(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 0;
    for character in text.chars() {
        let wide = Span::raw(character.to_string()).width();
        if taken + wide + 1 > width {
            break;
        }
        taken += wide;
        kept.push(character);
    }
    if width > 0 {
        kept.push('…');
        kept += &" ".repeat(width - taken - 1);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(width: usize) -> Vec<String> {
        let columns = [
            Column::names("NAME"),
            Column::words("PLAN").if_room(1),
            Column::numbers("USED"),
            Column::numbers("EXTRA").if_room(2),
        ];
        let row = |cells: [&str; 4]| cells.iter().map(|cell| Line::raw((*cell).to_owned())).collect();
        let rows = [row(["a-rather-long-name", "free", "1,234", "7"]), row(["短い", "starter", "9", "100"])];
        let (title, lines) = lay(&columns, &rows, width);
        std::iter::once(title).chain(lines).map(|line| line.to_string()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_where_there_is_room() {
        assert_eq!(
            laid(60),
            [
                "NAME                PLAN      USED  EXTRA",
                "a-rather-long-name  free     1,234      7",
                "短い                starter      9    100",
            ]
        );
    }

    #[test]
    fn names_give_a_little_then_columns_are_left_out_the_least_wanted_first_then_names_give_all() {
        assert_eq!(laid(39)[1], "a-rather-long-n…  free     1,234      7");
        assert_eq!(laid(38)[..2], ["NAME                PLAN      USED", "a-rather-long-name  free     1,234"]);
        assert_eq!(laid(30)[1], "a-rather-long-name  1,234");
        assert_eq!(laid(15)[1], "a-rathe…  1,234");
    }

    #[test]
    fn a_wide_character_is_never_halved() {
        assert_eq!(["短い名前", "短い名前", "短い"].map(|text| cut(text, 4)), ["短… ", "短… ", "短い"]);
        assert_eq!(cut("name", 0), "");
    }
}
