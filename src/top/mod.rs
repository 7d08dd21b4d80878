//! `weir top`: the meters live in a terminal, over the API of a broker here or elsewhere.
//!
//! Called by the command line. One thread waits for keys, one for the broker, one for signals; this one alone draws, and puts the
//! terminal back as it was however it ends. It changes nothing at the broker.

mod app;
mod draw;
mod grid;
mod poll;
mod profile;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyEvent, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};
use weir::admin::model::Profile;

use self::app::App;
use self::poll::{Data, Wanted};
use crate::api_client::{self, Api};
use crate::numbers::{bytes, compact, count, plain};
use crate::{UNUSABLE, failed, print};

/// How long one answer of the broker may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What `weir top` is asked for.
#[derive(Args)]
pub(crate) struct TopArguments {
    #[command(flatten)]
    api: api_client::ApiArguments,
    /// Print one table and end: for scripts, and where there is no terminal
    #[arg(long)]
    once: bool,
}

/// What the screen changes for.
enum Event {
    Key(KeyEvent),
    Resize(u16, u16),
    Data(Box<Data>),
    /// The broker does not answer; this is why.
    Away(String),
    /// A signal says that it is enough.
    Stop,
    /// A thread has ended, which it should not: no key or no answer would ever come.
    Ended,
}

/// Shows the meters until a key or a signal ends it, or once. An error is told, and is the code that the process ends with.
pub(crate) fn run(arguments: &TopArguments, config: &Path) -> Result<ExitCode, ExitCode> {
    if !arguments.once && !io::stdout().is_terminal() {
        let why = "error: standard output is no terminal; `weir top --once` prints one table instead";
        return Err(failed(UNUSABLE, why));
    }
    let api = arguments.api.api(config, TIMEOUT).map_err(|error| failed(UNUSABLE, error))?;
    // Asked before the terminal is taken: what is wrong can then be read in peace.
    let wanted = Wanted { all_profiles: arguments.once, ..Wanted::default() };
    let data = poll::once(&api, &wanted).map_err(|error| failed(ExitCode::FAILURE, error))?;
    if arguments.once {
        return Ok(print(format_args!("{}", table(data))));
    }
    watch(api, data).map(|()| ExitCode::SUCCESS).map_err(|error| {
        let hint = "`weir top --once` prints one table instead";
        failed(ExitCode::FAILURE, format_args!("error: the terminal cannot be used: {error}; {hint}"))
    })
}

/// The profiles as one plain table, the fullest first.
fn table(data: Data) -> String {
    let colours = false;
    let app = App::new("", colours, (0, 0), data);
    let profiles = app.profiles();
    let resources = draw::resources(&profiles);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let titles = ["PROFILE", "PLAN", "FULLEST"].map(str::to_owned);
    let titles = titles.into_iter().chain(resources.iter().map(|resource| draw::title_of(resource)));
    table.set_header(titles.chain(["DENIED", "CONNECTIONS"].map(str::to_owned)));
    for profile in &profiles {
        table.add_row(row(profile, &resources));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let alignment = if index < 2 { CellAlignment::Left } else { CellAlignment::Right };
        column.set_padding((0, 2)).set_cell_alignment(alignment);
    }
    let body = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    match &app.data.system {
        None => body,
        Some(system) => format!(
            "weir {}  {}  CPU {:.0}%  memory {}  connections {}\n\n{body}",
            plain(&system.version),
            plain(&system.now),
            system.cpu * 100.0,
            bytes(system.memory),
            count(system.connections)
        ),
    }
}

fn row(profile: &Profile, resources: &[String]) -> Vec<String> {
    let fullest = match &profile.fullest_resource {
        Some(resource) => format!("{:.0}% {}", (profile.fullest * 100.0 + 1e-9).floor(), plain(resource)),
        None => "-".into(),
    };
    let plan = plain(&profile.plan);
    let plan = if profile.enforce { plan } else { format!("{plan} (counted only)") };
    let used = resources.iter().map(|resource| draw::used_of(profile, resource));
    let cells = [plain(&profile.name), plan, fullest].into_iter().chain(used);
    cells.chain([compact(profile.denied), compact(profile.connections)]).collect()
}

/// Takes the terminal, and gives it back whatever happens: a panic gives it back too, before it is shown.
fn watch(api: Api, data: Data) -> io::Result<()> {
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let url = api.url().to_owned();
    let (events, inbox) = mpsc::channel();
    let (wants, changes) = mpsc::channel();
    spawn(&events, wait_for_signals)?;
    let mut terminal = Taken::take()?;
    spawn(&events, read_keys)?;
    spawn(&events, move |events| poll::run(&api, &changes, events))?;
    let size = terminal.0.size()?;
    show(&mut terminal.0, App::new(&url, colours, (size.width, size.height), data), &inbox, &wants)
}

/// The terminal while it is ours.
struct Taken(DefaultTerminal);

impl Taken {
    fn take() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| {
            // It may have got half-way.
            let _ = ratatui::try_restore();
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // A panic has given it back already; to do so again would put the cursor over what was said of it.
        if !std::thread::panicking() {
            // Where the terminal is gone, there is nobody to tell.
            let _ = ratatui::try_restore();
        }
    }
}

/// Draws, and waits for the next thing that changes what is drawn.
fn show(
    terminal: &mut DefaultTerminal,
    mut app: App,
    inbox: &Receiver<Event>,
    wants: &Sender<Wanted>,
) -> io::Result<()> {
    let mut wanted = app.wanted();
    loop {
        terminal.draw(|frame| draw::draw(&app, frame))?;
        let Ok(first) = inbox.recv() else { return Ok(()) };
        for event in std::iter::once(first).chain(inbox.try_iter()) {
            app = match event {
                Event::Key(key) => app.on_key(key),
                Event::Resize(columns, rows) => app.on_resize((columns, rows)),
                Event::Data(data) => app.on_data(*data),
                Event::Away(why) => app.on_away(why),
                Event::Stop => return Ok(()),
                Event::Ended => return Err(io::Error::other("no keys or answers can be read any more")),
            };
            if app.quit {
                return Ok(());
            }
        }
        if app.wanted() != wanted {
            wanted = app.wanted();
            // A poller that has ended says so itself.
            let _ = wants.send(wanted.clone());
        }
    }
}

/// Starts a thread whose end is an event, be it by a panic.
fn spawn(events: &Sender<Event>, work: impl FnOnce(&Sender<Event>) + Send + 'static) -> io::Result<()> {
    struct Farewell(Sender<Event>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            let _ = self.0.send(Event::Ended);
        }
    }
    let farewell = Farewell(events.clone());
    std::thread::Builder::new().spawn(move || work(&farewell.0)).map(drop)
}

fn read_keys(events: &Sender<Event>) {
    while let Ok(event) = event::read() {
        let event = match event {
            event::Event::Key(key) if key.kind != KeyEventKind::Release => Event::Key(key),
            event::Event::Resize(columns, rows) => Event::Resize(columns, rows),
            _ => continue,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// In a terminal that is ours Ctrl-C is a key; these come from elsewhere.
fn wait_for_signals(events: &Sender<Event>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    runtime.block_on(async {
        let signals = (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = signals else { return };
        tokio::select! {
            _ = hangup.recv() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = events.send(Event::Stop);
    });
}
