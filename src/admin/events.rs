//! What changes, as it changes: server-sent events for the dashboard and `weir top`. What is shown is made once a second for all
//! who look at the same, and sent to them only if it has changed; who reads slowly gets the newest and nothing in between.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Admin;
use super::auth::Viewer;
use super::model::Limit;
use super::params::{PAGE, Params};
use super::problem::Failure;
use super::profiles::{about, page};

/// How many streams may be open at one time.
pub(super) const MAX_STREAMS: usize = 1_024;
/// Milliseconds between two looks at what has changed.
const EACH: u64 = 1_000;
/// After so many milliseconds without news, a stream shows that it is alive.
const SIGN_OF_LIFE: u64 = 15_000;

/// What someone looks at.
#[derive(Clone, PartialEq, Eq, Hash)]
enum View {
    /// The list of profiles, as this viewer sees it.
    Profiles(Viewer),
    /// One profile.
    Limits(Arc<str>),
}

/// What anyone looks at now.
#[derive(Default)]
pub(super) struct Views {
    open: Mutex<HashMap<View, watch::Sender<Shown>>>,
}

/// What was shown last.
#[derive(Clone, Default)]
struct Shown {
    /// What changes it if it changes: without the seconds that count down.
    essence: Bytes,
    /// The event as it is sent.
    event: Bytes,
}

/// Streams what changes.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "streamEvents",
    tag = "limits",
    params(("profile" = Option<String>, Query, description = "One profile, for its limits; left out: the list of profiles.")),
    responses(
        (status = 200, description = "Server-sent events, each second in which something has changed: `profiles` with the JSON of `/api/v1/profiles`, or `limits` with that of `/api/v1/profiles/{profile}/limits`.", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is not what is expected."),
        (status = 404, description = "There is no such profile."),
        (status = 503, description = "As many streams are open as may be."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn get(State(admin): State<Arc<Admin>>, viewer: Viewer, uri: Uri) -> Result<Response, Failure> {
    let params = Params::of(&uri, &["profile"])?;
    let view = match params.get("profile") {
        Some(profile) => View::Limits(Arc::clone(viewer.account(&admin, profile)?.name())),
        None => View::Profiles(viewer),
    };
    let permit = Arc::clone(&admin.streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failure::unavailable(format!("{MAX_STREAMS} event streams are open, as many as may be; try again later"))
    })?;
    let shown = open(&admin, view).await?;
    let listener = Listener { shutdown: admin.hub.shutdown.subscribe(), admin, shown, _permit: permit };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), listener))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // What is behind nginx reaches the browser at once all the same.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// Joins those who look at this.
async fn open(admin: &Arc<Admin>, view: View) -> Result<watch::Receiver<Shown>, Failure> {
    let known = |admin: &Admin| admin.views.open.lock().get(&view).map(watch::Sender::subscribe);
    let mut shown = match known(admin) {
        Some(shown) => shown,
        None => {
            let first = {
                let view = view.clone();
                admin.off_thread(move |admin| Ok(show(admin, &view))).await?
            };
            let mut open = admin.views.open.lock();
            open.entry(view).or_insert_with(|| watch::Sender::new(first)).subscribe()
        }
    };
    shown.mark_changed();
    Ok(shown)
}

/// One who looks.
struct Listener {
    admin: Arc<Admin>,
    shown: watch::Receiver<Shown>,
    shutdown: watch::Receiver<bool>,
    /// Counts it as open.
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// What is sent next; nothing when the broker goes away, or what was looked at.
    async fn next(&mut self) -> Option<Bytes> {
        let clock = &self.admin.hub.clock;
        let quiet = clock.sleep_until(clock.now().mono + SIGN_OF_LIFE);
        tokio::select! {
            changed = self.shown.changed() => {
                changed.ok()?;
                Some(self.shown.borrow_and_update().event.clone())
            }
            () = quiet => Some(Bytes::from_static(b":\n\n")),
            _ = self.shutdown.wait_for(|down| *down) => None,
        }
    }
}

/// Looks at what has changed, for as long as the broker runs.
pub(super) async fn run(admin: Arc<Admin>) {
    let clock = admin.hub.clock.clone();
    let mut due = clock.now().mono + EACH;
    loop {
        clock.sleep_until(due).await;
        // A look that took longer is followed by another at once, and not by as many as were missed.
        due = (due + EACH).max(clock.now().mono);
        let views: Vec<View> = {
            let mut open = admin.views.open.lock();
            open.retain(|_, shown| shown.receiver_count() > 0);
            open.keys().cloned().collect()
        };
        if views.is_empty() {
            continue;
        }
        // Where that fails, it is tried again in a second.
        let work = move |admin: &Arc<Admin>| {
            views.iter().for_each(|view| refresh(admin, view));
            Ok(())
        };
        let _ = admin.off_thread(work).await;
    }
}

fn refresh(admin: &Admin, view: &View) {
    let shown = show(admin, view);
    let mut open = admin.views.open.lock();
    // What is not there any more is no longer looked at.
    if shown.event.is_empty() {
        open.remove(view);
    } else if let Some(sender) = open.get(view) {
        sender.send_if_modified(|last| {
            let changed = last.essence != shown.essence;
            if changed {
                *last = shown;
            }
            changed
        });
    }
}

/// What is to be seen now; empty where that is not there.
fn show(admin: &Admin, view: &View) -> Shown {
    match view {
        View::Profiles(viewer) => match page(admin, viewer, None, PAGE as usize, "") {
            Ok(profiles) => shown("profiles", profiles, |page| {
                page.next = None;
                page.profiles.iter_mut().for_each(|profile| still(&mut profile.limits));
            }),
            Err(_) => Shown::default(),
        },
        View::Limits(profile) => match admin.hub.account(profile) {
            Some(account) => shown("limits", about(admin, &account), |all| {
                still(&mut all.profile.limits);
                all.busiest.iter_mut().for_each(|device| still(&mut device.limits));
            }),
            None => Shown::default(),
        },
    }
}

/// Takes out what counts down by itself, and when a window ends in which nothing was asked for.
fn still(limits: &mut [Limit]) {
    for limit in limits {
        limit.reset_seconds = 0;
        if limit.used == 0 && limit.denied == 0 {
            limit.resets_at.clear();
        }
    }
}

fn shown<T: Serialize>(name: &str, mut what: T, essential: impl FnOnce(&mut T)) -> Shown {
    // Our own types are maps with names for keys, which always can be written.
    let json = |what: &T| serde_json::to_string(what).unwrap_or_default();
    let event = format!("event: {name}\ndata: {}\n\n", json(&what)).into();
    essential(&mut what);
    Shown { essence: json(&what).into(), event }
}
