//! A made-up broker behind the real pages: one that the tests of the pages can be in any state of, and that the walk through
//! the dashboard can be tried on. It counts what it is told was published against a limit, as the real one does.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Form, Query, Request};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use jiff::Timestamp;
use weir::admin::model::{
    Client, Clients, Denial, DeviceActivity, Limit, Profile, ProfileLimits, Profiles, System, SystemHistory,
    SystemPoint, UsagePoint, UsageSeries,
};
use weir::admin::pages::{Source, Viewer, public_routes, routes, sign_in};
use weir::limits::{UnixMillis, Window};
use weir::usage::Step;

/// What signs in as the administrator, and as the viewer of `acme`.
pub const TOKEN: &str = "made-up-admin-token";
pub const READ_TOKEN: &str = "made-up-read-token";
/// How much `acme` may publish in a minute.
pub const MAX: u64 = 7_500;
/// The name of a profile whose owner means no good.
pub const HOSTILE: &str = "<script>alert('p')</script>/\"&";
pub const ESCAPED: &str = "&#60;script&#62;alert(&#39;p&#39;)&#60;/script&#62;/&#34;&#38;";

/// The made-up broker.
pub struct Fake {
    state: Mutex<State>,
}

struct State {
    published: u64,
    denied: u64,
    denials: Vec<Denial>,
    clients: Vec<Client>,
    asked: Vec<String>,
    panics: bool,
}

impl Fake {
    pub fn new() -> Arc<Fake> {
        let client =
            |profile: &str, client_id: &str, device: Option<&str>, protocol: &str, peer: Option<&str>| Client {
                profile: profile.into(),
                client_id: client_id.into(),
                device: device.map(Into::into),
                protocol: protocol.into(),
                peer: peer.map(Into::into),
                subscriptions: 3,
                queued: 1_204,
            };
        let clients = vec![
            client("acme", "pump-1", Some("pump-1"), "5", Some("192.0.2.17:50312")),
            client("acme", "pump-2", Some("pump-2"), "3.1.1", Some("[2001:db8::7]:40112")),
            client("acme", "scada-gateway-building-7", None, "5", None),
            client(HOSTILE, "<b>me</b>", Some("<i>it</i>"), "5", Some("192.0.2.99:1")),
        ];
        let (published, denied) = (1_250, 0);
        let state = State { published, denied, denials: vec![], clients, asked: vec![], panics: false };
        Arc::new(Fake { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the state")
    }

    /// The client `pump-1` publishes so many at QoS 1: what is over the limit is denied.
    pub fn publish(&self, count: u64) {
        let now = self.now();
        let mut state = self.state();
        let fits = count.min(MAX - state.published);
        state.published += fits;
        for place in 0..(count - fits).min(4) {
            let (protocol, answer) = match place {
                0 => ("5", "PUBACK 0x97 Quota exceeded"),
                1 => ("3.1.1", "connection closed"),
                2 => ("5", "dropped"),
                _ => ("HTTP", "429 Too Many Requests"),
            };
            let denial = Denial {
                at: stamp(now.0 + place),
                client_id: if place == 2 { "<b>me</b>".into() } else { format!("pump-{}", place + 1) },
                device: (place != 2).then(|| format!("pump-{}", place + 1)),
                resource: if protocol == "HTTP" { "POST /data".into() } else { "publish".into() },
                limit: "7_500/min".into(),
                retry_after: 51,
                text: "Too many requests (Retry-After: 51)".into(),
                answer: answer.into(),
                protocol: protocol.into(),
            };
            state.denials.insert(0, denial);
        }
        state.denied += count - fits;
    }

    /// What the pages asked for.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// From now on, whatever is asked for panics.
    pub fn panic_from_now_on(&self) {
        self.state().panics = true;
    }

    fn note(&self, what: String) {
        let mut state = self.state();
        state.asked.push(what);
        let panics = state.panics;
        drop(state);
        assert!(!panics, "as the test asked");
    }

    fn limit(&self, resource: &str, written: &str, max: Option<u64>, window: Window, used: u64, denied: u64) -> Limit {
        let now = self.now();
        let end = window.end(window.index(now));
        Limit {
            resource: resource.into(),
            limit: max.map(|_| written.into()),
            max,
            window: window.as_str().into(),
            used,
            denied,
            reset_seconds: (end.0 - now.0).div_ceil(1_000),
            resets_at: stamp(end.0),
        }
    }

    fn profile(&self, name: &str) -> Option<Profile> {
        let (published, denied) = {
            let state = self.state();
            (state.published, state.denied)
        };
        let limit = |resource: &str, written: &str, max: Option<u64>, window, used: u64, denied| {
            self.limit(resource, written, max, window, used, denied)
        };
        use Window::{Minute, Month};
        let (plan, enforce, limits) = match name {
            "acme" => (
                "starter",
                true,
                vec![
                    limit("connect", "100/min", Some(100), Minute, 12, 0),
                    limit("publish", "7_500/min", Some(MAX), Minute, published, denied),
                    limit("publish", "50M/month", Some(50_000_000), Month, 22_400_312, 0),
                    limit("receive", "5_000/min", Some(5_000), Minute, 4_180, 0),
                    limit("publish_bytes", "64MiB/min", Some(64 << 20), Minute, 21 << 20, 0),
                    limit("POST /data", "250/min", Some(250), Minute, 31, 0),
                    limit("subscribe", "", None, Minute, 7, 0),
                ],
            ),
            HOSTILE => ("<em>plan</em>", false, vec![limit("<u>own</u>/x", "1/min", Some(1), Minute, 2, 1)]),
            "quiet" => ("free", true, vec![]),
            name if name
                .strip_prefix("tenant-")
                .is_some_and(|n| n.parse::<u64>().is_ok_and(|n| (1..=12).contains(&n))) =>
            {
                (
                    if name.len() > 8 { "scale" } else { "free" },
                    true,
                    vec![
                        limit("connect", "20/min", Some(20), Minute, name.len() as u64, 0),
                        limit(
                            "publish",
                            "250/min",
                            Some(250),
                            Minute,
                            name.bytes().map(u64::from).sum::<u64>() % 250,
                            0,
                        ),
                        limit("receive", "250/min", Some(250), Minute, 120, 0),
                    ],
                )
            }
            _ => return None,
        };
        let share = |limit: &&Limit| limit.max.map_or(0.0, |max| limit.used as f64 / max as f64);
        let fullest = limits.iter().max_by(|one, other| share(one).total_cmp(&share(other)));
        Some(Profile {
            name: name.into(),
            plan: plan.into(),
            enforce,
            connections: self.state().clients.iter().filter(|client| client.profile == name).count() as u64,
            devices: 1_500,
            fullest: fullest.as_ref().map_or(0.0, share),
            fullest_resource: fullest.map(|limit| limit.resource.clone()),
            denied: limits.iter().map(|limit| limit.denied).sum(),
            limits,
        })
    }
}

fn stamp(millis: u64) -> String {
    Timestamp::from_millisecond(millis as i64).expect("a time").to_string()
}

/// Up and down, the same at each call.
fn wave(at: u64, period: u64, high: u64) -> u64 {
    let phase = (at % period) as f64 / period as f64 * std::f64::consts::TAU;
    let wobble = (at / 60_000 * 7_919 % 97) as f64 / 97.0;
    ((0.55 + 0.35 * phase.sin() + 0.2 * wobble) * high as f64) as u64
}

impl Source for Fake {
    fn now(&self) -> UnixMillis {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        UnixMillis(now.as_millis() as u64)
    }

    fn profiles(&self, cursor: Option<&str>, limit: usize, search: Option<&str>) -> Profiles {
        self.note(format!("profiles cursor={cursor:?} limit={limit} search={search:?}"));
        let names = ["acme", HOSTILE, "quiet"].map(String::from).into_iter();
        let names = names.chain((1..=12).map(|n| format!("tenant-{n}")));
        let found = names.filter(|name| search.is_none_or(|search| name.contains(search)));
        let mut profiles: Vec<Profile> = found.filter_map(|name| self.profile(&name)).collect();
        profiles.sort_by(|one, other| other.fullest.total_cmp(&one.fullest));
        let total = profiles.len() as u64;
        Profiles { profiles, total, next: cursor.is_none().then(|| "a&b".into()) }
    }

    fn limits(&self, profile: &str) -> Option<ProfileLimits> {
        self.note(format!("limits {profile}"));
        let found = self.profile(profile)?;
        let state = self.state();
        let device = |name: &str, published: u64, denied: u64, limits| DeviceActivity {
            device: name.into(),
            connections: 1,
            published,
            received: 12,
            denied,
            published_total: 4_503_112 + published,
            received_total: 90_001,
            denied_total: 17 + denied,
            limits,
        };
        let own = self.limit("publish", "60/min", Some(60), Window::Minute, 31, 0);
        let busiest = match profile {
            "acme" => vec![
                device("pump-1", state.published - 400, state.denied, vec![]),
                device("pump-2", 31, 0, vec![own]),
                device("(anonymous)", 369, 0, vec![]),
            ],
            HOSTILE => vec![device("<i>it</i>", 1, 1, vec![])],
            _ => vec![],
        };
        let denials = if profile == "quiet" { vec![] } else { state.denials.clone() };
        Some(ProfileLimits { profile: found, busiest, denials })
    }

    fn usage(
        &self,
        profile: &str,
        resource: &str,
        from: UnixMillis,
        to: UnixMillis,
        step: Step,
    ) -> Option<UsageSeries> {
        self.note(format!("usage {profile} {resource} {} {step:?}", (to.0 - from.0) / 60_000));
        let found = self.profile(profile)?;
        let limits: Vec<&Limit> = found.limits.iter().filter(|limit| limit.resource == resource).collect();
        let max = limits.first()?.max.unwrap_or(100);
        let (length, times) = if step == Step::Minute { (60_000, 1) } else { (86_400_000, 900) };
        let points: Vec<UsagePoint> = (from.0..to.0)
            .step_by(length as usize)
            .map(|at| {
                let wanted = wave(at, 40 * length, max * 11 / 10) * times;
                let used = wanted.min(max * times);
                UsagePoint { at: stamp(at), used, denied: wanted - used }
            })
            .collect();
        Some(UsageSeries {
            resource: resource.into(),
            limits: limits.iter().filter_map(|limit| limit.limit.clone()).collect(),
            used: points.iter().map(|point| point.used).sum(),
            denied: points.iter().map(|point| point.denied).sum(),
            points,
        })
    }

    fn clients(&self, profile: Option<&str>, cursor: Option<&str>, limit: usize) -> Clients {
        self.note(format!("clients profile={profile:?} cursor={cursor:?} limit={limit}"));
        let clients: Vec<Client> = self.state().clients.clone();
        let clients: Vec<Client> =
            clients.into_iter().filter(|client| profile.is_none_or(|profile| client.profile == profile)).collect();
        let total = clients.len() as u64;
        Clients { clients, total, next: cursor.is_none().then(|| "c d".into()) }
    }

    fn disconnect(&self, profile: &str, client_id: &str) -> bool {
        self.note(format!("disconnect {profile} {client_id}"));
        let clients = &mut self.state().clients;
        let before = clients.len();
        clients.retain(|client| client.profile != profile || client.client_id != client_id);
        clients.len() < before
    }

    fn system(&self) -> System {
        self.note("system".into());
        let figures = [
            ("connections", 4),
            ("connections_opened", 18_220),
            ("denied", 1_204),
            ("dropped_expired", 0),
            ("dropped_queue_full", 312),
            ("messages_in", 48_220_113),
            ("messages_out", 91_033_412),
        ];
        System {
            version: "0.1.0".into(),
            uptime_seconds: 1_051_200,
            now: stamp(self.now().0),
            cpu: 0.237,
            memory: 48_234_496,
            connections: 4,
            messages_in_rate: 12_480.4,
            messages_out_rate: 3.25,
            figures: figures.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>(),
        }
    }

    fn system_history(&self, from: UnixMillis, to: UnixMillis, step_seconds: u64) -> SystemHistory {
        self.note(format!("history {} {step_seconds}", (to.0 - from.0) / 1_000));
        let step = step_seconds * 1_000;
        let points = (from.0..to.0).step_by(step as usize).enumerate().filter(|(place, _)| !(20..25).contains(place));
        let points = points.map(|(_, at)| SystemPoint {
            at: stamp(at),
            cpu: wave(at, 40 * step, 400) as f64 / 1_000.0,
            memory: (40 << 20) + wave(at, 90 * step, 20 << 20),
            connections: 9_000 + wave(at, 60 * step, 1_500),
            messages_in: wave(at, 30 * step, 12_000) as f64,
            messages_out: wave(at, 50 * step, 21_000) as f64,
        });
        SystemHistory { step_seconds, points: points.collect() }
    }
}

/// Serves the pages on a free port for as long as the test runs.
pub fn serve(fake: &Arc<Fake>, port: u16) -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket option");
    let address = listener.local_addr().expect("bound");
    let source: Arc<dyn Source> = fake.clone();
    let app = Router::new()
        .merge(routes(source))
        .merge(public_routes())
        .route("/login", post(log_in))
        .route("/logout", post(|| async { ([(SET_COOKIE, "who=; Max-Age=0")], Redirect::to("/login")) }))
        .route("/api/v1/events", get(events))
        .layer(Extension(fake.clone()))
        .layer(from_fn(know));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("served");
        });
    });
    address
}

async fn log_in(Form(form): Form<BTreeMap<String, String>>) -> Response {
    let who = match form.get("token").map(String::as_str) {
        Some(TOKEN) => "admin",
        Some(READ_TOKEN) => "viewer",
        _ => return sign_in(Some("That token is not one of this broker.")),
    };
    ([(SET_COOKIE, format!("who={who}; HttpOnly; SameSite=Strict; Path=/"))], Redirect::to("/")).into_response()
}

async fn know(mut request: Request, next: Next) -> Response {
    let cookies = request.headers().get(COOKIE).and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    let viewer = match cookies {
        cookies if cookies.contains("who=admin") => Some(Viewer::Admin),
        cookies if cookies.contains("who=viewer") => Some(Viewer::Profile("acme".into())),
        _ => None,
    };
    if let Some(viewer) = viewer {
        request.extensions_mut().insert(viewer);
    }
    next.run(request).await
}

async fn events(
    Extension(fake): Extension<Arc<Fake>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let profile = query.get("profile").cloned();
    Sse::new(futures_util::stream::unfold(false, move |waits| {
        let (fake, profile) = (fake.clone(), profile.clone());
        async move {
            if waits {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let event = match profile {
                Some(profile) => Event::default().event("limits").json_data(fake.limits(&profile)?).ok()?,
                None => Event::default().event("profiles").json_data(fake.profiles(None, 100, None)).ok()?,
            };
            Some((Ok::<_, Infallible>(event), true))
        }
    }))
}
