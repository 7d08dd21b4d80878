//! Whole screens, as they are seen, and what keys make of them.

use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use weir::admin::model::{Client, Denial, DeviceActivity, Limit, Profile, ProfileLimits, System};

use super::app::{App, Screen, Sort};
use super::poll::{Data, Wanted};
use super::{draw, table};

fn limit(resource: &str, used: u64, max: Option<u64>, denied: u64) -> Limit {
    Limit {
        resource: resource.into(),
        limit: max.map(|max| format!("{max}/min")),
        max,
        window: "min".into(),
        used,
        denied,
        reset_seconds: 51,
        resets_at: "2026-11-21T12:46:00Z".into(),
    }
}

fn profile(name: &str, plan: &str, publish: (u64, u64), denied: u64, connections: u64) -> Profile {
    Profile {
        name: name.into(),
        plan: plan.into(),
        enforce: true,
        connections,
        devices: 3,
        fullest: publish.0 as f64 / publish.1 as f64,
        fullest_resource: Some("publish".into()),
        denied,
        limits: vec![
            limit("connect", 50, Some(100), 0),
            limit("publish", publish.0, Some(publish.1), denied),
            limit("receive", 2_000, None, 0),
        ],
    }
}

fn data() -> Data {
    let mut fleet = profile("fleet", "scale", (3_000, 15_000), 0, 1_234);
    fleet.enforce = false;
    fleet.limits.push(limit("publish_bytes", 9_961_472, Some(10 << 20), 0));
    Data {
        profiles: vec![
            profile("acme", "starter", (5_000, 5_000), 7_002, 50),
            fleet,
            profile("hobby", "free", (210, 250), 0, 1),
        ],
        profiles_in_all: 3,
        system: Some(System {
            version: "0.1.0".into(),
            uptime_seconds: 273_600,
            now: "2026-11-21T12:45:09Z".into(),
            cpu: 0.124,
            memory: 36_175_872,
            connections: 1_285,
            messages_in_rate: 5_000.4,
            messages_out_rate: 123_456.0,
            figures: BTreeMap::new(),
        }),
        limits: None,
        clients: None,
    }
}

fn limits() -> ProfileLimits {
    let device = |name: &str, published, denied, limits| DeviceActivity {
        device: name.into(),
        connections: 1,
        published,
        received: 9,
        denied,
        published_total: published,
        received_total: 9,
        denied_total: denied,
        limits,
    };
    let denial = |client_id: &str, device: Option<&str>, protocol: &str, answer: &str| Denial {
        at: "2026-11-21T12:45:09Z".into(),
        client_id: client_id.into(),
        device: device.map(Into::into),
        resource: "publish".into(),
        limit: "5_000/min".into(),
        retry_after: 51,
        text: "Too many requests (Retry-After: 51)".into(),
        answer: answer.into(),
        protocol: protocol.into(),
    };
    let mut profile = profile("acme", "starter", (5_000, 5_000), 7_002, 50);
    profile.limits.push(limit("POST /data", 81, Some(100), 0));
    ProfileLimits {
        profile,
        busiest: vec![
            device("pump-1", 4_940, 7_002, vec![]),
            device("pump-2", 60, 0, vec![limit("publish", 60, Some(60), 0)]),
        ],
        denials: vec![
            denial("pump-1-a", Some("pump-1"), "5", "PUBACK 0x97 Quota exceeded"),
            denial("\u{1b}[2Jevil", None, "3.1.1", "connection closed"),
        ],
    }
}

fn clients() -> (Vec<Client>, u64) {
    let client = |profile: &str, client_id: &str, device: Option<&str>, peer: Option<&str>| Client {
        profile: profile.into(),
        client_id: client_id.into(),
        device: device.map(Into::into),
        protocol: "3.1.1".into(),
        peer: peer.map(Into::into),
        subscriptions: 2,
        queued: 1_500,
    };
    let clients = vec![
        client("acme", "pump-1-a", Some("pump-1"), Some("192.0.2.7:50123")),
        client("acme", "pump-1-b", Some("pump-1"), Some("[2001:db8::7]:50124")),
        client("hobby", "lamp", None, None),
    ];
    (clients, 3)
}

fn app(size: (u16, u16)) -> App {
    App::new("http://127.0.0.1:8080", true, size, data())
}

fn press(app: App, keys: &str) -> App {
    keys.chars().fold(app, |app, key| {
        app.on_key(match key {
            '⏎' => KeyCode::Enter.into(),
            '⎋' => KeyCode::Esc.into(),
            '⌫' => KeyCode::Backspace.into(),
            '↓' => KeyCode::Down.into(),
            '↑' => KeyCode::Up.into(),
            '⇟' => KeyCode::PageDown.into(),
            '⇞' => KeyCode::PageUp.into(),
            '⇥' => KeyCode::End.into(),
            '⇤' => KeyCode::Home.into(),
            key => KeyCode::Char(key).into(),
        })
    })
}

/// The profile acme, open and with its data there.
fn opened(size: (u16, u16)) -> App {
    let app = press(app(size), "⏎");
    let limits = Some(Ok(limits()));
    app.on_data(Data { limits, ..data() })
}

fn at_the_clients(app: App) -> App {
    press(app, "c").on_data(Data { clients: Some(Ok(clients())), ..data() })
}

fn drawn(app: &App) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).expect("it is in memory");
    terminal.draw(|frame| draw::draw(app, frame)).expect("it is in memory");
    terminal
}

/// What is seen, line by line, without the blanks at the ends.
fn screen(app: &App) -> String {
    let terminal = drawn(app);
    let cells = terminal.backend().buffer().content();
    let lines = cells.chunks(app.size.0.into()).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn shown_profiles(app: &App) -> Vec<&str> {
    app.profiles().iter().map(|profile| profile.name.as_str()).collect()
}

fn assert_screen(app: &App, expected: &[&str]) {
    assert_eq!(screen(app), expected.join("\n"), "\n{}", screen(app));
}

// Screens

#[test]
fn the_first_screen_shows_every_profile_the_fullest_first() {
    assert_screen(
        &app((120, 8)),
        &[
            "weir 0.1.0  http://127.0.0.1:8080  up 3d 4h  12:45:09 UTC",
            "CPU 12%  memory 34.5MiB  connections 1,285  messages in 5,000/s, out 123k/s",
            "Profiles  3, by fullness",
            "PROFILE  PLAN                  FULLEST                    OF       CONNECT       PUBLISH  RECEIVE  DENIED  CONNS",
            "acme     starter               ████████████████████ 100%  publish   50/100   5,000/5,000    2,000   7,002     50",
            "hobby    free                  ████████████████▊···  84%  publish   50/100       210/250    2,000       0      1",
            "fleet    scale (counted only)  ████············╎···  20%  publish   50/100  3,000/15,000    2,000       0  1,234",
            "Enter open  / search  s sort  r reverse  c clients  ? help  q quit",
        ],
    );
    assert!(screen(&app((140, 8))).contains("  PUBLISH_BYTES  "), "a wider one has room for all resources");
}

#[test]
fn a_small_terminal_keeps_what_matters_most() {
    assert_screen(
        &app((60, 8)),
        &[
            "weir 0.1.0  http://127.0.0.1:8080  up 3d 4h  12:45:09 UTC",
            "CPU 12%  34.5MiB  1,285 conns  in 5,000/s, out 123k/s",
            "Profiles  3, by fullness",
            "PROFILE  FULLEST               PUBLISH  DENIED  CONNS",
            "acme     ██████████ 100%   5,000/5,000   7,002     50",
            "hobby    ████████▍·  84%       210/250       0      1",
            "fleet    ██······╎·  20%  3,000/15,000       0  1,234",
            "Enter open  / search  s sort  c clients  ? help  q quit",
        ],
    );
}

#[test]
fn a_profile_shows_its_limits_its_devices_and_its_denials_as_the_clients_saw_them() {
    assert_screen(
        &opened((80, 20)),
        &[
            "weir 0.1.0  http://127.0.0.1:8080  up 3d 4h  12:45:09 UTC",
            "CPU 12%  memory 34.5MiB  connections 1,285  messages in 5,000/s, out 123k/s",
            "acme  plan starter, 50 connected, 3 devices",
            "RESOURCE    FULL              USED     LIMIT  DENIED  RESET",
            "connect     █████···╎·  50%     50   100/min       0    51s",
            "publish     ██████████ 100%  5,000  5000/min   7,002    51s",
            "receive     no limit         2,000         -       0    51s",
            "POST /data  ████████╎·  81%     81   100/min       0    51s",
            "",
            "DEVICE THIS MINUTE  PUBLISHED  RECEIVED  DENIED  CONNS  ITS OWN LIMITS",
            "pump-1                  4,940         9   7,002      1",
            "pump-2                     60         9       0      1  publish 60 of 60/min",
            "",
            "LAST DENIALS, AS THE CLIENTS SAW THEM",
            "12:45:09  pump-1-a (pump-1, MQTT 5)  publish over 5_000/min",
            "          PUBACK 0x97 Quota exceeded: Too many requests (Retry-After: 51)",
            "12:45:09  \\u{1b}[2Jevil (MQTT 3.1.1)  publish over 5_000/min",
            "          connection closed: Too many requests (Retry-After: 51)",
            "",
            "↑↓ scroll  Esc back  c clients  ? help  q quit",
        ],
    );
}

#[test]
fn what_does_not_fit_below_is_announced_and_scrolled_to_and_no_further() {
    let top = opened((60, 15));
    assert!(
        screen(&top).contains("\nacme  plan starter, 50 connected, 3 devices  ↓ 6 more lines\n"),
        "{}",
        screen(&top)
    );
    let end = press(top, "↓↓↓↓↓↓↓↓↓↓");
    assert_eq!(end.scroll, 6);
    assert_screen(
        &end,
        &[
            "weir 0.1.0  http://127.0.0.1:8080  up 3d 4h  12:45:09 UTC",
            "CPU 12%  34.5MiB  1,285 conns  in 5,000/s, out 123k/s",
            "acme  plan starter, 50 connected, 3 devices",
            "DEVICE THIS MINUTE  PUBLISHED  RECEIVED  DENIED  CONNS",
            "pump-1                  4,940         9   7,002      1",
            "pump-2                     60         9       0      1",
            "",
            "LAST DENIALS, AS THE CLIENTS SAW THEM",
            "12:45:09  pump-1-a (pump-1, MQTT 5)  publish over 5_000/min",
            "          PUBACK 0x97 Quota exceeded:",
            "          Too many requests (Retry-After: 51)",
            "12:45:09  \\u{1b}[2Jevil (MQTT 3.1.1)  publish over 5_000/min",
            "          connection closed:",
            "          Too many requests (Retry-After: 51)",
            "↑↓ scroll  Esc back  c clients  ? help  q quit",
        ],
    );
    assert_eq!(press(end.clone(), "↑").scroll, 5, "the first key up moves at once");
    assert_eq!(end.on_resize((120, 40)).scroll, 0, "where all fits, all is shown");
}

#[test]
fn the_clients_are_shown_with_where_they_come_from_where_there_is_room() {
    assert_screen(
        &at_the_clients(app((80, 8))),
        &[
            "weir 0.1.0  http://127.0.0.1:8080  up 3d 4h  12:45:09 UTC",
            "CPU 12%  memory 34.5MiB  connections 1,285  messages in 5,000/s, out 123k/s",
            "Clients  3",
            "PROFILE  CLIENT ID  DEVICE  MQTT   FROM                 SUBS  QUEUED",
            "acme     pump-1-a   pump-1  3.1.1  192.0.2.7:50123         2   1,500",
            "acme     pump-1-b   pump-1  3.1.1  [2001:db8::7]:50124     2   1,500",
            "hobby    lamp       -       3.1.1  -                       2   1,500",
            "↑↓ scroll  / search  Esc back  ? help  q quit",
        ],
    );
    assert!(!screen(&at_the_clients(app((60, 8)))).contains("FROM"));
}

#[test]
fn while_the_broker_is_away_its_last_data_stays_with_the_reason() {
    let away = app((80, 8)).on_away("nobody listens at http://127.0.0.1:8080".into());
    let seen = screen(&away);
    assert!(seen.contains("\nacme "), "{seen}");
    assert!(seen.ends_with("\nReconnecting (shown: 12:45:09): nobody listens at http://127.0.0.1:8080"), "{seen}");
    assert!(!screen(&away.on_data(data())).contains("Reconnecting"), "until it is back");
}

#[test]
fn what_has_not_come_or_is_refused_is_said_in_its_place() {
    let loading = press(app((80, 8)), "⏎");
    assert!(screen(&loading).contains("\nacme\nLoading…\n"));
    let gone = loading.on_data(Data { limits: Some(Err("404 Not Found: gone".into())), ..data() });
    assert!(screen(&gone).contains("\nacme\n404 Not Found: gone\n"));
    let refused = press(app((80, 8)), "c").on_data(Data { clients: Some(Err("403".into())), system: None, ..data() });
    let seen = screen(&refused);
    assert!(
        seen.starts_with("weir  http://127.0.0.1:8080\nThe figures of the broker are not for this token.\n"),
        "{seen}"
    );
    assert!(seen.contains("\nClients\n403\n"), "{seen}");
    let none = app((80, 8)).on_data(Data::default());
    assert!(screen(&none).contains("\nProfiles  0, by fullness\nThere are none.\n"));
}

#[test]
fn no_size_of_the_terminal_is_too_small() {
    for size in [(0, 0), (1, 1), (5, 2), (20, 4), (59, 14), (300, 100)] {
        for app in [app(size), opened(size), at_the_clients(app(size)), press(app(size), "?"), press(app(size), "/x")] {
            drawn(&press(app, "⇥⇟↓"));
        }
    }
}

#[test]
fn colours_come_with_what_they_mean_and_can_be_left_out() {
    let fullness = |app: &App, y| drawn(app).backend().buffer()[(9, y)].style();
    let bars = app((60, 8));
    assert_eq!([4, 5, 6].map(|y| fullness(&bars, y).fg), [Color::Red, Color::Yellow, Color::Green].map(Some));
    let plain = App { colours: false, ..bars };
    assert_eq!([4, 5, 6].map(|y| fullness(&plain, y).fg), [Some(Color::Reset); 3]);
    let bold = [4, 5, 6].map(|y| fullness(&plain, y).add_modifier.contains(Modifier::BOLD));
    assert_eq!(bold, [true, true, false], "what is nearly full is seen without colours too");
}

#[test]
fn the_plain_table_has_every_profile_and_every_resource() {
    let expected = [
        "weir 0.1.0  2026-11-21T12:45:09Z  CPU 12%  memory 34.5MiB  connections 1,285",
        "",
        "PROFILE  PLAN                       FULLEST  CONNECT       PUBLISH  RECEIVE  PUBLISH_BYTES  DENIED  CONNECTIONS",
        "acme     starter               100% publish   50/100   5,000/5,000    2,000              -   7,002           50",
        "hobby    free                   84% publish   50/100       210/250    2,000              -       0            1",
        "fleet    scale (counted only)   20% publish   50/100  3,000/15,000    2,000   9.5MiB/10MiB       0        1,234",
    ];
    assert_eq!(table(data()), expected.join("\n"));
}

// Keys

#[test]
fn s_goes_through_the_orders_and_r_turns_them() {
    let mut app = app((80, 20));
    let orders = [
        (Sort::Name, ["acme", "fleet", "hobby"]),
        (Sort::Denied, ["acme", "fleet", "hobby"]),
        (Sort::Publish, ["acme", "fleet", "hobby"]),
        (Sort::Connections, ["fleet", "acme", "hobby"]),
        (Sort::Fullness, ["acme", "hobby", "fleet"]),
    ];
    for (sort, mut order) in orders {
        app = press(app, "s");
        assert_eq!((app.sort, shown_profiles(&app)), (sort, order.to_vec()));
        order.reverse();
        let reversed = press(app.clone(), "r");
        assert_eq!(shown_profiles(&reversed), order, "{sort:?}");
        assert!(screen(&reversed).contains(&format!("by {}, reversed", sort.name())));
    }
}

#[test]
fn a_search_narrows_the_list_as_it_is_typed_and_q_is_a_letter_of_it() {
    let typing = press(app((80, 20)), "/Aq⌫C");
    assert_eq!((shown_profiles(&typing), typing.quit), (vec!["acme"], false));
    assert!(screen(&typing).contains("Profiles  1 of 3, by fullness  /AC_\n"));
    let kept = press(typing.clone(), "⏎");
    assert_eq!((shown_profiles(&kept), kept.typing, &kept.screen), (vec!["acme"], false, &Screen::Profiles));
    assert_eq!(shown_profiles(&press(kept, "⎋")).len(), 3, "Esc ends it");
    assert_eq!(shown_profiles(&press(typing, "⎋")).len(), 3, "and ends it while it is typed");
    let by_plan = press(app((80, 20)), "/free");
    assert_eq!(shown_profiles(&by_plan), ["hobby"], "a plan is found too");
    let none = press(app((80, 20)), "/zebra");
    assert!(screen(&none).contains("None has that in its name or plan."));
    let clients = press(at_the_clients(app((80, 20))), "/LAMP");
    assert_eq!(clients.clients().len(), 1);
}

#[test]
fn the_mark_stays_on_its_profile_when_the_order_changes() {
    let marked = press(app((80, 20)), "↓");
    assert_eq!(marked.selected.as_deref(), Some("hobby"));
    let mut changed = data();
    changed.profiles[1].fullest = 2.0;
    let changed = marked.on_data(changed);
    assert_eq!(shown_profiles(&changed), ["fleet", "acme", "hobby"]);
    let lines = drawn(&changed);
    let reversed = |y| lines.backend().buffer()[(0, y)].style().add_modifier.contains(Modifier::REVERSED);
    assert_eq!([4, 5, 6].map(reversed), [false, false, true]);
    assert_eq!(press(changed.clone(), "⏎").screen, Screen::Profile("hobby".into()));
    assert_eq!(press(changed, "⇤⏎").screen, Screen::Profile("fleet".into()));
}

#[test]
fn a_list_longer_than_the_screen_moves_with_the_mark() {
    let many = (0..100).map(|n| profile(&format!("p{n:02}"), "free", (100 - n, 250), 0, 1)).collect();
    let app = app((80, 10)).on_data(Data { profiles: many, profiles_in_all: 10_000, ..data() });
    assert!(screen(&app).contains("Profiles  100 of 10,000, by fullness\n"));
    let end = press(app, "⇥");
    let seen = screen(&end);
    assert!(seen.contains("\np95 ") && seen.contains("\np99 ") && !seen.contains("\np94 "), "{seen}");
    assert_eq!(press(end, "⇞").selected.as_deref(), Some("p94"));
}

#[test]
fn enter_opens_c_shows_clients_and_esc_goes_back_the_same_way() {
    let app = opened((80, 20));
    let of_one = press(app.clone(), "c");
    assert_eq!(of_one.screen, Screen::Clients(Some("acme".into())));
    let back = press(of_one, "⎋");
    assert_eq!(back.screen, Screen::Profile("acme".into()));
    let first = press(back, "⎋");
    assert_eq!(first.screen, Screen::Profiles);
    assert_eq!(press(first.clone(), "c").screen, Screen::Clients(None));
    assert_eq!(press(first, "c⎋").screen, Screen::Profiles);
    assert_eq!(press(app, "/").screen, Screen::Profile("acme".into()), "where nothing is searched, nothing is typed");
}

#[test]
fn what_is_asked_of_the_broker_is_what_the_screen_shows() {
    let app = app((80, 20));
    assert_eq!(app.wanted(), Wanted::default(), "the fullest alone");
    assert!(press(app.clone(), "s").wanted().all_profiles, "another order needs all");
    assert!(press(app.clone(), "/a").wanted().all_profiles, "and so does a search");
    assert_eq!(press(app.clone(), "⏎").wanted(), Wanted { profile: Some("acme".into()), ..Wanted::default() });
    assert_eq!(press(app.clone(), "c").wanted(), Wanted { clients: Some(None), ..Wanted::default() });
    let of_one = Wanted { clients: Some(Some("acme".into())), all_clients: true, ..Wanted::default() };
    assert_eq!(press(app, "⏎c/x").wanted(), of_one);
}

#[test]
fn q_and_ctrl_c_end_it_and_the_help_goes_with_any_key() {
    let app = app((80, 20));
    assert!(press(app.clone(), "q").quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(press(app.clone(), "/").on_key(control_c).quit, "while a search is typed too");
    let help = press(app, "?");
    assert!(screen(&help).contains("\nHelp\n") && screen(&help).contains("quit; Ctrl-C too"));
    let back = press(help.clone(), "x");
    assert!(!back.help && !back.quit);
    assert!(press(help, "q").quit);
}
