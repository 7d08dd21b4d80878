//! What `weir top` asks the broker, once a second, on a thread of its own so that the screen never waits for an answer.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use weir::admin::model::{Client, Profile, ProfileLimits, System};

use super::Event;
use crate::api_client::{Api, ApiError};

const EVERY: Duration = Duration::from_secs(1);
/// Waiting takes this many times as long as the answers took, so that who watches ten thousand profiles is not what the broker
/// is busy with.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(10);

/// What is shown, and so what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// All profiles, and not the fullest alone.
    pub(super) all_profiles: bool,
    /// All about this one.
    pub(super) profile: Option<String>,
    /// The clients, of one profile or of all.
    pub(super) clients: Option<Option<String>>,
    /// All of them, and not the first alone.
    pub(super) all_clients: bool,
}

/// What the broker has answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) profiles: Vec<Profile>,
    /// How many profiles there are, beside those that were asked for.
    pub(super) profiles_in_all: u64,
    /// Nothing where the token is not one that may see it.
    pub(super) system: Option<System>,
    /// The profile that was asked for, or why there is nothing of it.
    pub(super) limits: Option<Result<ProfileLimits, String>>,
    /// The clients that were asked for and how many there are, or why there is nothing of them.
    pub(super) clients: Option<Result<(Vec<Client>, u64), String>>,
}

/// Asks again and again, and at once when something else is wanted; until nobody wants anything.
pub(super) fn run(api: &Api, changes: &Receiver<Wanted>, events: &Sender<Event>) {
    let mut wanted = Wanted::default();
    loop {
        let start = Instant::now();
        let event = match once(api, &wanted) {
            Ok(data) => Event::Data(Box::new(data)),
            Err(error) => Event::Away(error.what().to_owned()),
        };
        if events.send(event).is_err() {
            return;
        }
        let took = start.elapsed();
        let rest = EVERY.saturating_sub(took).max((took * REST).min(LONGEST_REST));
        match changes.recv_timeout(rest) {
            // Of several changes, the last counts.
            Ok(change) => wanted = changes.try_iter().last().unwrap_or(change),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Asks once. What the broker refuses is told in its place; what it does not answer is an error.
pub(super) fn once(api: &Api, wanted: &Wanted) -> Result<Data, ApiError> {
    let (profiles, profiles_in_all) = api.profiles(wanted.all_profiles)?;
    Ok(Data {
        profiles,
        profiles_in_all,
        system: answered(api.system())?.ok(),
        limits: wanted.profile.as_deref().map(|name| answered(api.limits(name))).transpose()?,
        clients: wanted
            .clients
            .as_ref()
            .map(|of| answered(api.clients(of.as_deref(), wanted.all_clients)))
            .transpose()?,
    })
}

fn answered<T>(answer: Result<T, ApiError>) -> Result<Result<T, String>, ApiError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if error.is_refusal() => Ok(Err(error.what().to_owned())),
        Err(error) => Err(error),
    }
}
