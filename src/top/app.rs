//! What `weir top` shows, as a value: keys and news make the next state of it, `draw` makes a screen of it. No terminal, no
//! network and no clock is known here.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use weir::admin::model::{Client, Limit, Profile, ProfileLimits};

use super::poll::{Data, Wanted};
use super::profile;

/// Lines of a screen that are not its list: two of the header, the title and what is told at the bottom.
const CHROME: usize = 4;

/// All that the screen depends on.
#[derive(Clone, Debug)]
pub(super) struct App {
    /// Where the broker is.
    pub(super) url: String,
    /// Whether colours are shown beside what they stand for.
    pub(super) colours: bool,
    /// Columns and rows of the terminal.
    pub(super) size: (u16, u16),
    pub(super) screen: Screen,
    pub(super) help: bool,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    /// What profiles and clients are searched for.
    pub(super) profile_search: String,
    pub(super) client_search: String,
    /// Whether keys go into the search.
    pub(super) typing: bool,
    /// The profile that is marked; nothing is the first, whichever that is.
    pub(super) selected: Option<String>,
    /// The first line that is shown, of a profile or of the clients.
    pub(super) scroll: usize,
    pub(super) data: Data,
    /// Why the broker does not answer, if it does not: the data is the last there was.
    pub(super) away: Option<String>,
    pub(super) quit: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// All profiles.
    Profiles,
    /// One profile.
    Profile(String),
    /// The clients of one profile or of all.
    Clients(Option<String>),
}

/// What profiles are sorted by; in the order in which `s` goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Fullness,
    Name,
    Denied,
    Publish,
    Connections,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Fullness => Self::Name,
            Self::Name => Self::Denied,
            Self::Denied => Self::Publish,
            Self::Publish => Self::Connections,
            Self::Connections => Self::Fullness,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fullness => "fullness",
            Self::Name => "name",
            Self::Denied => "denied",
            Self::Publish => "publish",
            Self::Connections => "connections",
        }
    }
}

impl App {
    pub(super) fn new(url: &str, colours: bool, size: (u16, u16), data: Data) -> Self {
        Self {
            url: url.to_owned(),
            colours,
            size,
            screen: Screen::Profiles,
            help: false,
            sort: Sort::Fullness,
            reversed: false,
            profile_search: String::new(),
            client_search: String::new(),
            typing: false,
            selected: None,
            scroll: 0,
            data,
            away: None,
            quit: false,
        }
    }

    /// The next state after a key.
    pub(super) fn on_key(mut self, key: KeyEvent) -> Self {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.quit |= key.code == KeyCode::Char('c');
        } else if self.typing {
            self.type_key(key.code);
        } else if self.help {
            // Any key leaves the help; q means the program.
            self.help = false;
            self.quit |= key.code == KeyCode::Char('q');
        } else {
            self.command_key(key.code);
        }
        self
    }

    /// The next state after an answer of the broker.
    pub(super) fn on_data(mut self, data: Data) -> Self {
        self.data = data;
        self.away = None;
        self.scroll = self.scroll.min(self.last_scroll());
        self
    }

    /// The next state where the broker does not answer.
    pub(super) fn on_away(self, why: String) -> Self {
        Self { away: Some(why), ..self }
    }

    /// The next state after the terminal has changed its size.
    pub(super) fn on_resize(mut self, size: (u16, u16)) -> Self {
        self.size = size;
        self.scroll = self.scroll.min(self.last_scroll());
        self
    }

    /// What the broker is asked for, for this screen.
    pub(super) fn wanted(&self) -> Wanted {
        let fullest_first = self.sort == Sort::Fullness && !self.reversed && self.profile_search.is_empty();
        Wanted {
            all_profiles: self.screen == Screen::Profiles && !fullest_first,
            profile: match &self.screen {
                Screen::Profile(name) => Some(name.clone()),
                Screen::Profiles | Screen::Clients(_) => None,
            },
            clients: match &self.screen {
                Screen::Clients(of) => Some(of.clone()),
                Screen::Profiles | Screen::Profile(_) => None,
            },
            all_clients: !self.client_search.is_empty(),
        }
    }

    /// The profiles that match the search, in their order.
    pub(super) fn profiles(&self) -> Vec<&Profile> {
        let found = |profile: &&Profile| contains(&self.profile_search, [&profile.name, &profile.plan]);
        let mut profiles: Vec<&Profile> = self.data.profiles.iter().filter(found).collect();
        profiles.sort_by(|a, b| {
            let order = match self.sort {
                Sort::Fullness => b.fullest.total_cmp(&a.fullest),
                Sort::Name => std::cmp::Ordering::Equal,
                Sort::Denied => b.denied.cmp(&a.denied),
                Sort::Publish => published(b).cmp(&published(a)),
                Sort::Connections => b.connections.cmp(&a.connections),
            };
            let order = order.then_with(|| a.name.cmp(&b.name));
            if self.reversed { order.reverse() } else { order }
        });
        profiles
    }

    /// The clients that match the search.
    pub(super) fn clients(&self) -> Vec<&Client> {
        let Some(Ok((clients, _))) = &self.data.clients else { return Vec::new() };
        let matches = |client: &&Client| {
            let device = client.device.as_deref().unwrap_or("");
            contains(&self.client_search, [&client.profile, &client.client_id, device])
        };
        clients.iter().filter(matches).collect()
    }

    /// Which of the profiles is marked.
    pub(super) fn marked(&self, profiles: &[&Profile]) -> usize {
        let name = self.selected.as_deref();
        name.and_then(|name| profiles.iter().position(|profile| profile.name == name)).unwrap_or(0)
    }

    /// All about the profile of this screen, where that has come.
    pub(super) fn limits(&self) -> Option<&ProfileLimits> {
        let Screen::Profile(name) = &self.screen else { return None };
        let limits = self.data.limits.as_ref()?.as_ref().ok()?;
        (limits.profile.name == *name).then_some(limits)
    }

    /// How many lines there are for what a screen shows under its title.
    pub(super) fn body_rows(&self) -> usize {
        usize::from(self.size.1).saturating_sub(CHROME)
    }

    /// How many entries of a list, below its line of titles, are seen at a time.
    pub(super) fn list_rows(&self) -> usize {
        self.body_rows().saturating_sub(1)
    }

    fn type_key(&mut self, key: KeyCode) {
        let search = match self.screen {
            Screen::Clients(_) => &mut self.client_search,
            Screen::Profiles | Screen::Profile(_) => &mut self.profile_search,
        };
        match key {
            KeyCode::Char(character) => search.push(character),
            KeyCode::Backspace => {
                search.pop();
            }
            KeyCode::Esc => {
                search.clear();
                self.typing = false;
            }
            KeyCode::Enter => self.typing = false,
            _ => {}
        }
        (self.selected, self.scroll) = (None, 0);
    }

    fn command_key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('q') => self.quit = true,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') => self.typing = !matches!(self.screen, Screen::Profile(_)),
            KeyCode::Char('c') => self.open_clients(),
            KeyCode::Esc | KeyCode::Backspace => self.back(),
            KeyCode::Enter if self.screen == Screen::Profiles => self.open_profile(),
            KeyCode::Char('s') if self.screen == Screen::Profiles => {
                (self.sort, self.reversed, self.selected) = (self.sort.next(), false, None);
            }
            KeyCode::Char('r') if self.screen == Screen::Profiles => {
                (self.reversed, self.selected) = (!self.reversed, None);
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(|at, _| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(|at, _| at + 1),
            KeyCode::PageUp => self.go(|at, page| at.saturating_sub(page)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.go(|at, page| at + page),
            KeyCode::Home | KeyCode::Char('g') => self.go(|_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.go(|_, _| usize::MAX),
            _ => {}
        }
    }

    /// Moves the mark, or the lines, to where `to` says from where it is and how long a page is.
    fn go(&mut self, to: impl Fn(usize, usize) -> usize) {
        let page = self.list_rows().max(1);
        if self.screen != Screen::Profiles {
            self.scroll = to(self.scroll, page).min(self.last_scroll());
            return;
        }
        let profiles = self.profiles();
        let at = to(self.marked(&profiles), page).min(profiles.len().saturating_sub(1));
        // The first has no name: whoever comes first next is it.
        let selected = profiles.get(at).filter(|_| at > 0).map(|profile| profile.name.clone());
        self.selected = selected;
    }

    /// The last line that may be the first that is shown.
    fn last_scroll(&self) -> usize {
        match &self.screen {
            Screen::Profiles => 0,
            Screen::Clients(_) => self.clients().len().saturating_sub(self.list_rows()),
            Screen::Profile(_) => {
                let lines = self.limits().map_or(0, |limits| profile::lines(limits, self).len());
                lines.saturating_sub(self.body_rows())
            }
        }
    }

    fn open_profile(&mut self) {
        let profiles = self.profiles();
        if let Some(name) = profiles.get(self.marked(&profiles)).map(|profile| profile.name.clone()) {
            self.selected = Some(name.clone());
            (self.screen, self.scroll) = (Screen::Profile(name), 0);
        }
    }

    fn open_clients(&mut self) {
        let of = match &self.screen {
            Screen::Profile(name) => Some(name.clone()),
            Screen::Profiles => None,
            Screen::Clients(_) => return,
        };
        self.client_search.clear();
        (self.screen, self.scroll) = (Screen::Clients(of), 0);
    }

    /// From a search to all, or from a screen to the one before.
    fn back(&mut self) {
        self.scroll = 0;
        match &mut self.screen {
            Screen::Profiles => self.profile_search.clear(),
            Screen::Clients(_) if !self.client_search.is_empty() => self.client_search.clear(),
            Screen::Clients(Some(of)) => self.screen = Screen::Profile(std::mem::take(of)),
            Screen::Profile(_) | Screen::Clients(None) => self.screen = Screen::Profiles,
        }
    }
}

/// How much was published of the rate that is the fullest.
fn published(profile: &Profile) -> u64 {
    fullest(&profile.limits, "publish").map_or(0, |limit| limit.used)
}

/// Of the rates of a resource, the one with the least left; the only entry of one without.
pub(super) fn fullest<'a>(limits: &'a [Limit], resource: &str) -> Option<&'a Limit> {
    let of_resource = limits.iter().filter(|limit| limit.resource == resource);
    of_resource.max_by(|a, b| fullness(a).total_cmp(&fullness(b)))
}

/// How full a limit is: 1.0 at the limit, 0 where there is none.
pub(super) fn fullness(limit: &Limit) -> f64 {
    match limit.max {
        None => 0.0,
        // What is never allowed is always full.
        Some(0) => 1.0,
        Some(max) => limit.used as f64 / max as f64,
    }
}

/// Whether any of the texts has what is searched for in it, in upper or lower case.
fn contains<const N: usize>(search: &str, texts: [&str; N]) -> bool {
    let search = search.to_lowercase();
    search.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&search))
}
