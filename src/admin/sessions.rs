//! Who has signed in with a browser: the cookie holds a random identifier, and here is its SHA-256 with whom it stands for. Kept
//! in memory, so that a restart signs everyone out; bounded, and each ends after twelve hours.

use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::token::random_hex;

/// How long a session lasts, in seconds.
pub(super) const LIFETIME: u64 = 12 * 3600;
/// More than so many there are not: the oldest goes.
const MAX_SESSIONS: usize = 1_000;

#[derive(Default)]
pub(super) struct Sessions {
    by_digest: Mutex<HashMap<[u8; 32], Session>>,
}

#[derive(Clone, Copy)]
struct Session {
    /// The SHA-256 of the token that was shown: the session ends when that is no longer good.
    token: [u8; 32],
    /// Monotonic milliseconds.
    ends: u64,
}

impl Sessions {
    /// Begins a session for who has shown a token with this SHA-256; its identifier. Nothing where the system gives no random
    /// bytes.
    pub(super) fn begin(&self, token: [u8; 32], now: u64) -> Option<String> {
        let id = random_hex::<32>()?;
        let mut sessions = self.by_digest.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, session| session.ends > now);
        }
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.ends).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(Sha256::digest(&id).into(), Session { token, ends: now + LIFETIME * 1000 });
        Some(id)
    }

    /// The SHA-256 of the token that this session was begun with.
    pub(super) fn token(&self, id: &str, now: u64) -> Option<[u8; 32]> {
        // By its hash: the time this takes tells nothing of the sessions that exist.
        let digest: [u8; 32] = Sha256::digest(id).into();
        let session = self.by_digest.lock().get(&digest).copied()?;
        (session.ends > now).then_some(session.token)
    }

    pub(super) fn end(&self, id: &str) {
        let digest: [u8; 32] = Sha256::digest(id).into();
        self.by_digest.lock().remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_twelve_hours_or_until_it_is_ended() {
        let sessions = Sessions::default();
        let (one, two) = (sessions.begin([1; 32], 0).unwrap(), sessions.begin([2; 32], 0).unwrap());
        assert_ne!(one, two);
        assert_eq!(sessions.token(&one, LIFETIME * 1000 - 1), Some([1; 32]));
        assert_eq!(sessions.token(&one, LIFETIME * 1000), None);
        sessions.end(&two);
        assert_eq!(sessions.token(&two, 0), None);
        assert_eq!(sessions.token("guessed", 0), None);
    }

    #[test]
    fn the_oldest_session_makes_room_for_another() {
        let sessions = Sessions::default();
        let first = sessions.begin([1; 32], 0).unwrap();
        let last = (1..=MAX_SESSIONS as u64).map(|now| sessions.begin([1; 32], now).unwrap()).last().unwrap();
        assert_eq!(sessions.by_digest.lock().len(), MAX_SESSIONS);
        assert_eq!(sessions.token(&first, 0), None);
        assert!(sessions.token(&last, 0).is_some());
    }
}
