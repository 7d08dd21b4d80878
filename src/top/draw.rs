//! A screen from a state, and nothing else: called for every change, tested without a terminal.

use std::collections::BTreeSet;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use weir::admin::model::{Client, Profile, System};

use super::app::{App, Screen, fullest};
use super::grid::{self, Column};
use super::profile;
use crate::numbers::{amount, bytes, compact, count, plain, span};

/// Resources that every profile has, in the order in which they are met.
const COMMON: [&str; 3] = ["connect", "publish", "receive"];
/// Where a bar has its mark: from here on, a limit is nearly reached.
const NEARLY: f64 = 0.8;
/// Terminals from this width on have long bars.
const WIDE: usize = 100;

const HELP: [(&str, &str); 11] = [
    ("↑ ↓  k j", "move; PgUp, PgDn, Home and End too"),
    ("Enter", "open the profile"),
    ("Esc", "back, or end the search"),
    ("/", "search; Enter keeps what is found, Esc ends it"),
    ("s", "sort: fullness, name, denied, publish, connections"),
    ("r", "reverse the order"),
    ("c", "clients: of the profile that is open, or of all"),
    ("?", "this help"),
    ("q", "quit; Ctrl-C too"),
    ("bar", "how full the fullest limit is; ╎ is at 80 %"),
    ("denied", "requests over a limit, in the current windows"),
];

/// How things look, with colours or without.
#[derive(Clone, Copy)]
pub(super) struct Theme {
    colours: bool,
}

impl Theme {
    pub(super) fn of(app: &App) -> Self {
        Self { colours: app.colours }
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What went over a limit.
    pub(super) fn alarm(self) -> Style {
        self.coloured(Color::Red)
    }

    /// A number of denials: seen when it is not zero.
    pub(super) fn denied(self, number: u64) -> Line<'static> {
        let style = if number > 0 { self.alarm().add_modifier(Modifier::BOLD) } else { Style::new() };
        Line::from(Span::styled(compact(number), style))
    }

    fn full(self, fullness: f64) -> Style {
        match fullness {
            1.0.. => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            NEARLY.. => self.coloured(Color::Yellow).add_modifier(Modifier::BOLD),
            _ => self.coloured(Color::Green),
        }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Draws the state on the whole frame.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let (body, title) = body(app);
    let mut lines = header(app);
    lines.push(title);
    lines.extend(body.into_iter().take(app.body_rows()));
    for (line, y) in lines.into_iter().zip(0..area.height.saturating_sub(1)) {
        frame.render_widget(line, Rect { y, height: 1, ..area });
    }
    if let Some(y) = area.height.checked_sub(1) {
        frame.render_widget(footer(app), Rect { y, height: 1, ..area });
    }
}

/// A bar with its percentage: `████████╎▌  83%`.
pub(super) fn bar(fullness: f64, width: usize, theme: Theme) -> Line<'static> {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let cells = if width >= WIDE { 20 } else { 10 };
    let mark = (cells as f64 * NEARLY) as usize;
    let eighths = (fullness.clamp(0.0, 1.0) * cells as f64 * 8.0) as usize;
    let full = "█".repeat(eighths / 8) + PARTS[eighths % 8];
    let taken = eighths.div_ceil(8);
    let rest: String = (taken..cells).map(|cell| if cell == mark { '╎' } else { '·' }).collect();
    // Rounded down: nothing is at 100 % that is not.
    let percent = (fullness * 100.0 + 1e-9).floor().clamp(0.0, 999.0) as u64;
    let style = theme.full(fullness);
    Line::from(vec![
        Span::styled(full, style),
        Span::styled(rest, theme.faint()),
        Span::styled(format!("{percent:>4}%"), style),
    ])
}

/// The time of day in a time such as `2026-11-21T12:45:09Z`.
pub(super) fn clock_time(at: &str) -> String {
    let time = at.split_once('T').map_or(at, |(_, time)| time);
    plain(time.get(..8).unwrap_or(time))
}

fn header(app: &App) -> Vec<Line<'static>> {
    let theme = Theme::of(app);
    let width = usize::from(app.size.0);
    let system = app.data.system.as_ref();
    let mut first = vec![Span::styled("weir", theme.strong())];
    if let Some(system) = system {
        first.push(Span::raw(format!(" {}", plain(&system.version))));
    }
    first.push(Span::raw(format!("  {}", app.url)));
    if let Some(system) = system {
        first.push(Span::raw(format!("  up {}  {} UTC", span(system.uptime_seconds), clock_time(&system.now))));
    }
    let second = match system {
        Some(system) => Line::raw(load(system, width)),
        None => Line::styled("The figures of the broker are not for this token.", theme.faint()),
    };
    vec![Line::from(first), second]
}

/// What the broker takes and does, in full words where there is room.
fn load(system: &System, width: usize) -> String {
    let cpu = (system.cpu * 100.0).round().max(0.0) as u64;
    let (memory, connections) = (bytes(system.memory), compact(system.connections));
    let [messages_in, messages_out] =
        [system.messages_in_rate, system.messages_out_rate].map(|rate| compact(rate.round().max(0.0) as u64));
    let text = format!(
        "CPU {cpu}%  memory {memory}  connections {connections}  messages in {messages_in}/s, out {messages_out}/s"
    );
    if Span::raw(&text).width() <= width {
        return text;
    }
    format!("CPU {cpu}%  {memory}  {connections} conns  in {messages_in}/s, out {messages_out}/s")
}

/// What is below the title, and the title.
fn body(app: &App) -> (Vec<Line<'static>>, Line<'static>) {
    let theme = Theme::of(app);
    if app.help {
        let lines = HELP
            .map(|(key, means)| Line::from(vec![Span::styled(format!("{key:<10}"), theme.strong()), Span::raw(means)]));
        return (lines.to_vec(), bare_title("Help", theme));
    }
    match &app.screen {
        Screen::Profiles => profiles(app, theme),
        Screen::Profile(name) => one_profile(app, name, theme),
        Screen::Clients(of) => clients(app, of.as_deref(), theme),
    }
}

fn bare_title(text: &str, theme: Theme) -> Line<'static> {
    Line::styled(text.to_owned(), theme.strong())
}

/// A title with what is counted and searched.
fn title(name: String, details: &str, search: &str, app: &App) -> Line<'static> {
    let mut spans = vec![Span::styled(name, Theme::of(app).strong()), Span::raw(format!("  {details}"))];
    if app.typing || !search.is_empty() {
        let cursor = if app.typing { "_" } else { "" };
        spans.push(Span::raw(format!("  /{}{cursor}", plain(search))));
    }
    Line::from(spans)
}

/// `3`, or `200 of 10,000` where not all are there.
fn some_of(shown: usize, in_all: u64) -> String {
    match shown as u64 {
        shown if shown == in_all => count(shown),
        shown => format!("{} of {}", count(shown), count(in_all)),
    }
}

fn profiles(app: &App, theme: Theme) -> (Vec<Line<'static>>, Line<'static>) {
    let profiles = app.profiles();
    let counted = some_of(profiles.len(), app.data.profiles_in_all);
    let order = if app.reversed { ", reversed" } else { "" };
    let details = format!("{counted}, by {}{order}", app.sort.name());
    let title = title("Profiles".into(), &details, &app.profile_search, app);
    if profiles.is_empty() {
        let why = if app.profile_search.is_empty() { "There are none." } else { "None has that in its name or plan." };
        return (vec![Line::styled(why, theme.faint())], title);
    }
    let marked = app.marked(&profiles);
    let first = (marked + 1).saturating_sub(app.list_rows());
    let shown: Vec<&Profile> = profiles.iter().skip(first).take(app.list_rows()).copied().collect();
    let (titles, rows) = profile_grid(&shown, usize::from(app.size.0), theme);
    let rows = rows.into_iter().enumerate().map(|(index, row)| {
        if first + index == marked { row.style(Style::new().add_modifier(Modifier::REVERSED)) } else { row }
    });
    (std::iter::once(titles).chain(rows).collect(), title)
}

fn profile_grid(profiles: &[&Profile], width: usize, theme: Theme) -> (Line<'static>, Vec<Line<'static>>) {
    let resources = resources(profiles);
    let mut columns = vec![Column::names("PROFILE"), Column::words("PLAN").if_room(2), Column::words("FULLEST")];
    columns.push(Column::words("OF").if_room(3));
    for (rank, resource) in resources.iter().enumerate() {
        let rank = match resource.as_str() {
            "publish" => 0,
            "receive" => 1,
            "connect" => 4,
            // The others from the right.
            _ => u8::try_from(rank).unwrap_or(u8::MAX).saturating_add(4),
        };
        columns.push(Column::numbers(&title_of(resource)).if_room(rank));
    }
    columns.extend([Column::numbers("DENIED"), Column::numbers("CONNS")]);
    let row = |profile: &&Profile| {
        let plan = plain(&profile.plan);
        let mut cells = vec![
            Line::raw(plain(&profile.name)),
            Line::raw(if profile.enforce { plan } else { format!("{plan} (counted only)") }),
            bar(profile.fullest, width, theme),
            Line::raw(profile.fullest_resource.as_deref().map_or_else(|| "-".into(), plain)),
        ];
        cells.extend(resources.iter().map(|resource| Line::raw(used_of(profile, resource))));
        cells.extend([theme.denied(profile.denied), Line::raw(compact(profile.connections))]);
        cells
    };
    let rows: Vec<_> = profiles.iter().map(row).collect();
    grid::lay(&columns, &rows, width)
}

/// The resources that have a column: the common ones, and what else any of the profiles has a limit for.
pub(super) fn resources(profiles: &[&Profile]) -> Vec<String> {
    let limits = profiles.iter().flat_map(|profile| &profile.limits);
    let limited = limits.filter(|limit| limit.max.is_some()).map(|limit| limit.resource.as_str());
    let others: BTreeSet<&str> = limited.filter(|resource| !COMMON.contains(resource)).collect();
    COMMON.into_iter().chain(others).map(str::to_owned).collect()
}

/// The title of its column: names of the operator's own stay as they are.
pub(super) fn title_of(resource: &str) -> String {
    if resource.contains('/') { plain(resource) } else { plain(resource).to_uppercase() }
}

/// `3,807/5,000`, of the rate with the least left; the first number alone where there is no limit.
pub(super) fn used_of(profile: &Profile, resource: &str) -> String {
    match fullest(&profile.limits, resource) {
        None => "-".into(),
        Some(limit) => {
            let used = amount(resource, limit.used);
            limit.max.map_or_else(|| used.clone(), |max| format!("{used}/{}", amount(resource, max)))
        }
    }
}

fn one_profile(app: &App, name: &str, theme: Theme) -> (Vec<Line<'static>>, Line<'static>) {
    if let Some(limits) = app.limits() {
        let profile = &limits.profile;
        let enforced = if profile.enforce { "" } else { ", counted only" };
        let details = format!(
            "plan {}{enforced}, {} connected, {} devices",
            plain(&profile.plan),
            count(profile.connections),
            count(profile.devices)
        );
        let lines = profile::lines(limits, app);
        let more = lines.len().saturating_sub(app.scroll + app.body_rows());
        let details = if more > 0 { format!("{details}  ↓ {more} more lines") } else { details };
        return (lines.into_iter().skip(app.scroll).collect(), title(plain(name), &details, "", app));
    }
    let why = match &app.data.limits {
        Some(Err(why)) => plain(why),
        _ => "Loading…".into(),
    };
    (vec![Line::styled(why, theme.faint())], bare_title(&plain(name), theme))
}

fn clients(app: &App, of: Option<&str>, theme: Theme) -> (Vec<Line<'static>>, Line<'static>) {
    let name = of.map_or_else(|| "Clients".into(), |of| format!("Clients of {}", plain(of)));
    let in_all = match &app.data.clients {
        Some(Ok((_, in_all))) => *in_all,
        Some(Err(why)) => return (vec![Line::styled(plain(why), theme.faint())], bare_title(&name, theme)),
        None => return (vec![Line::styled("Loading…", theme.faint())], bare_title(&name, theme)),
    };
    let clients = app.clients();
    let title = title(name, &some_of(clients.len(), in_all), &app.client_search, app);
    if clients.is_empty() {
        let why = if app.client_search.is_empty() { "None is connected." } else { "None has that in its names." };
        return (vec![Line::styled(why, theme.faint())], title);
    }
    let columns = [
        Column::words("PROFILE").if_room(2),
        Column::names("CLIENT ID"),
        Column::words("DEVICE"),
        Column::words("MQTT"),
        Column::words("FROM").if_room(3),
        Column::numbers("SUBS").if_room(1),
        Column::numbers("QUEUED"),
    ];
    let row = |client: &&Client| {
        vec![
            Line::raw(plain(&client.profile)),
            Line::raw(plain(&client.client_id)),
            Line::raw(client.device.as_deref().map_or_else(|| "-".into(), plain)),
            Line::raw(plain(&client.protocol)),
            Line::raw(client.peer.as_deref().map_or_else(|| "-".into(), plain)),
            Line::raw(compact(client.subscriptions)),
            Line::raw(compact(client.queued)),
        ]
    };
    let rows: Vec<_> = clients.iter().skip(app.scroll).take(app.list_rows()).map(row).collect();
    let (titles, rows) = grid::lay(&columns, &rows, usize::from(app.size.0));
    (std::iter::once(titles).chain(rows).collect(), title)
}

/// What can be done; or that the broker is away.
fn footer(app: &App) -> Line<'static> {
    let theme = Theme::of(app);
    let width = usize::from(app.size.0);
    if let Some(why) = &app.away {
        let since = app.data.system.as_ref().map(|system| format!(" (shown: {})", clock_time(&system.now)));
        let text = format!("Reconnecting{}: {}", since.unwrap_or_default(), plain(why));
        return Line::styled(grid::cut(&text, width), theme.alarm().add_modifier(Modifier::REVERSED));
    }
    let keys = match app.screen {
        _ if app.typing => "type to search  Enter keep  Esc end",
        _ if app.help => "any key: back",
        Screen::Profiles if width < 70 => "Enter open  / search  s sort  c clients  ? help  q quit",
        Screen::Profiles => "Enter open  / search  s sort  r reverse  c clients  ? help  q quit",
        Screen::Profile(_) => "↑↓ scroll  Esc back  c clients  ? help  q quit",
        Screen::Clients(_) => "↑↓ scroll  / search  Esc back  ? help  q quit",
    };
    Line::styled(keys, theme.faint())
}
