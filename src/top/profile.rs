//! The screen of one profile: its limits with bars, the devices that do most, and its last denials as the clients saw them. Pure.

use ratatui::text::{Line, Span};
use weir::admin::model::{Denial, DeviceActivity, Limit, ProfileLimits};

use super::app::{App, fullness};
use super::draw::{Theme, bar, clock_time};
use super::grid::{self, Column};
use crate::numbers::{amount, compact, plain, span};

/// All lines of it, for a terminal as wide as that of the state.
pub(super) fn lines(limits: &ProfileLimits, app: &App) -> Vec<Line<'static>> {
    let (width, theme) = (usize::from(app.size.0), Theme::of(app));
    let mut lines = limit_lines(&limits.profile.limits, width, theme);
    lines.push(Line::default());
    if limits.busiest.is_empty() {
        lines.push(Line::styled("No device has done anything this minute.", theme.faint()));
    } else {
        lines.extend(device_lines(&limits.busiest, width, theme));
    }
    lines.push(Line::default());
    if limits.denials.is_empty() {
        lines.push(Line::styled("Nothing was denied lately.", theme.faint()));
    } else {
        lines.push(Line::styled("LAST DENIALS, AS THE CLIENTS SAW THEM", theme.strong()));
        lines.extend(limits.denials.iter().flat_map(|denial| denial_lines(denial, width, theme)));
    }
    lines
}

fn limit_lines(limits: &[Limit], width: usize, theme: Theme) -> Vec<Line<'static>> {
    let columns = [
        Column::names("RESOURCE"),
        Column::words("FULL"),
        Column::numbers("USED"),
        Column::numbers("LIMIT"),
        Column::numbers("DENIED"),
        Column::numbers("RESET").if_room(1),
    ];
    let row = |limit: &Limit| {
        let full = limit.max.map(|_| bar(fullness(limit), width, theme));
        vec![
            Line::raw(plain(&limit.resource)),
            full.unwrap_or_else(|| Line::styled("no limit", theme.faint())),
            Line::raw(amount(&limit.resource, limit.used)),
            Line::raw(limit.limit.as_deref().map_or_else(|| "-".into(), plain)),
            theme.denied(limit.denied),
            Line::raw(span(limit.reset_seconds)),
        ]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    let (title, rows) = grid::lay(&columns, &rows, width);
    std::iter::once(title).chain(rows).collect()
}

fn device_lines(devices: &[DeviceActivity], width: usize, theme: Theme) -> Vec<Line<'static>> {
    let columns = [
        Column::names("DEVICE THIS MINUTE"),
        Column::numbers("PUBLISHED"),
        Column::numbers("RECEIVED"),
        Column::numbers("DENIED"),
        Column::numbers("CONNS").if_room(1),
        Column::words("ITS OWN LIMITS").if_room(2),
    ];
    let row = |device: &DeviceActivity| {
        let own = device.limits.iter().filter(|limit| limit.limit.is_some()).map(|limit| {
            let used = amount(&limit.resource, limit.used);
            format!("{} {used} of {}", plain(&limit.resource), plain(limit.limit.as_deref().unwrap_or_default()))
        });
        vec![
            Line::raw(plain(&device.device)),
            Line::raw(compact(device.published)),
            Line::raw(compact(device.received)),
            theme.denied(device.denied),
            Line::raw(compact(device.connections)),
            Line::raw(own.collect::<Vec<_>>().join(", ")),
        ]
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    let (title, rows) = grid::lay(&columns, &rows, width);
    std::iter::once(title).chain(rows).collect()
}

/// Who was denied what, and the answer; that on a line or, where it is narrow, on two.
fn denial_lines(denial: &Denial, width: usize, theme: Theme) -> Vec<Line<'static>> {
    const INDENT: &str = "          ";
    let protocol = match denial.protocol.as_str() {
        "HTTP" => "HTTP".to_owned(),
        version => format!("MQTT {}", plain(version)),
    };
    let who = match &denial.device {
        Some(device) => format!("{} ({}, {protocol})", plain(&denial.client_id), plain(device)),
        None => format!("{} ({protocol})", plain(&denial.client_id)),
    };
    let what = format!("{} over {}", plain(&denial.resource), plain(&denial.limit));
    let room = width.saturating_sub(INDENT.len() + 2 + Span::raw(&what).width());
    let first = Line::from(vec![
        Span::styled(format!("{}  ", clock_time(&denial.at)), theme.faint()),
        Span::raw(format!("{}  ", grid::cut(&who, room))),
        Span::raw(what),
    ]);
    let (answer, text) = (plain(&denial.answer), plain(&denial.text));
    let seen = format!("{INDENT}{answer}: {text}");
    let told = if Span::raw(&seen).width() <= width {
        vec![Line::styled(seen, theme.alarm())]
    } else {
        vec![
            Line::styled(format!("{INDENT}{answer}:"), theme.alarm()),
            Line::styled(format!("{INDENT}{text}"), theme.alarm()),
        ]
    };
    std::iter::once(first).chain(told).collect()
}
