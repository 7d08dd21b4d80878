//! Who has the session of a client identifier, as connections claim it, hand it over and leave it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::account::Account;
use crate::config::Config;
use crate::router::samples::{Sample, mailbox};
use crate::wire::{QoS, Version};

const ID: &str = "pump-1";

fn parked(mailbox: &Arc<Mailbox>, expires: Option<u64>) -> Option<Box<Parked>> {
    Some(Box::new(Parked { session: Session::new(Arc::clone(mailbox)), expires, will: None }))
}

fn will(due: u64) -> PendingWill {
    let config = Config::parse("plans: { free: {} }\nprofiles: { acme: { plan: free } }", "broker.yaml").unwrap();
    let account = Arc::new(Account::new(&config.profiles["acme"], Arc::default()));
    let client = Client {
        account,
        device: None,
        meters: None,
        activity: Arc::default(),
        client_id: ID.into(),
        version: Version::V5,
        peer: None,
    };
    let message = Sample { payload: b"gone", ..Sample::default() }.message("will", QoS::AtLeastOnce);
    PendingWill { client: Arc::new(client), message, publisher: 0, due }
}

/// A registry whose identifier is owned by connection 1, with this mailbox.
fn owned() -> (Registry, Arc<Mailbox>) {
    let (registry, mailbox) = (Registry::default(), mailbox());
    assert!(matches!(registry.claim(ID, 1), Claim::New));
    registry.attach(ID, 1, &mailbox);
    (registry, mailbox)
}

fn is_empty(registry: &Registry) -> bool {
    let owners = registry.0.lock();
    owners.entries.len() == 0 && owners.heirs.is_empty()
}

fn awaited(claim: Claim) -> oneshot::Receiver<Option<Box<Parked>>> {
    match claim {
        Claim::Awaited(receiver) => receiver,
        Claim::New | Claim::Found(_) => panic!("someone owns it"),
    }
}

/// The mailbox of the session that was handed over here.
fn handed_over(receiver: &mut oneshot::Receiver<Option<Box<Parked>>>) -> Option<u64> {
    receiver.try_recv().unwrap().map(|parked| parked.session.mailbox().id())
}

#[test]
fn a_session_that_is_kept_is_found_by_the_next_who_claims_it() {
    let (registry, mailbox) = owned();
    assert_eq!(registry.release(ID, 1, parked(&mailbox, Some(5_000))), Released::Parked(Some(5_000)));
    let Claim::Found(found) = registry.claim(ID, 2) else { panic!("it was kept") };
    assert_eq!(found.session.mailbox().id(), mailbox.id());
    assert!(matches!(registry.claim(ID, 3), Claim::Awaited(_)), "it has an owner again");
}

#[test]
fn a_session_that_is_over_leaves_nothing_behind() {
    let (registry, mailbox) = owned();
    assert_eq!(registry.connected().len(), 1);
    assert_eq!(registry.release(ID, 1, None), Released::Gone);
    assert!(registry.connected().is_empty());
    assert!(is_empty(&registry));
    assert_eq!(Arc::strong_count(&mailbox), 1);
    assert!(matches!(registry.claim(ID, 2), Claim::New));
}

#[test]
fn whoever_claims_an_owned_session_is_handed_it_once_the_owner_lets_go() {
    for kept in [true, false] {
        let (registry, mailbox) = owned();
        let mut second = awaited(registry.claim(ID, 2));
        assert_eq!(mailbox.take_signal(), Some(Signal::TakenOver));
        assert_eq!(second.try_recv().err(), Some(TryRecvError::Empty));
        let session = kept.then(|| parked(&mailbox, None)).flatten();
        assert_eq!(registry.release(ID, 1, session), Released::HandedOver);
        assert_eq!(handed_over(&mut second), kept.then_some(mailbox.id()));
        assert_eq!(registry.release(ID, 1, None), Released::Gone, "the first has nothing to let go any more");
        assert!(matches!(registry.claim(ID, 3), Claim::Awaited(_)), "the second owns it");
    }
}

#[test]
fn of_two_who_wait_the_later_one_is_handed_the_session_and_the_other_hears_it() {
    let (registry, mailbox) = owned();
    let mut second = awaited(registry.claim(ID, 2));
    let mut third = awaited(registry.claim(ID, 3));
    assert_eq!(second.try_recv().err(), Some(TryRecvError::Closed));
    assert_eq!(third.try_recv().err(), Some(TryRecvError::Empty));
    assert_eq!(registry.release(ID, 1, parked(&mailbox, None)), Released::HandedOver);
    assert_eq!(handed_over(&mut third), Some(mailbox.id()));
    assert_eq!(registry.release(ID, 2, None), Released::Gone, "the second never had it");
    assert_eq!(registry.release(ID, 3, parked(&mailbox, None)), Released::Parked(None));
}

#[test]
fn those_who_wait_for_different_sessions_are_handed_their_own() {
    let registry = Registry::default();
    let ids: Vec<String> = (0..50).map(|n| format!("pump-{n}")).collect();
    let mailboxes: Vec<_> = ids.iter().map(|_| mailbox()).collect();
    let mut waiting: Vec<_> = ids
        .iter()
        .map(|id| {
            assert!(matches!(registry.claim(id, 1), Claim::New));
            awaited(registry.claim(id, 2))
        })
        .collect();
    for (id, mailbox) in ids.iter().zip(&mailboxes) {
        assert_eq!(registry.release(id, 1, parked(mailbox, None)), Released::HandedOver);
    }
    for ((id, mailbox), receiver) in ids.iter().zip(&mailboxes).zip(&mut waiting) {
        assert_eq!(handed_over(receiver), Some(mailbox.id()));
        assert_eq!(registry.release(id, 2, None), Released::Gone);
    }
    assert!(is_empty(&registry));
}

#[test]
fn a_client_identifier_takes_six_words_beside_its_text() {
    assert!(size_of::<Entry>() <= 6 * size_of::<usize>());
}

#[test]
fn three_in_a_row_have_the_session_one_after_the_other() {
    let (registry, mailbox) = owned();
    for (owner, heir) in [(1, 2), (2, 3), (3, 4)] {
        let mut receiver = awaited(registry.claim(ID, heir));
        assert_eq!(mailbox.take_signal(), Some(Signal::TakenOver));
        assert_eq!(registry.release(ID, owner, parked(&mailbox, None)), Released::HandedOver);
        assert_eq!(handed_over(&mut receiver), Some(mailbox.id()));
        registry.attach(ID, owner, &mailbox);
        assert!(registry.connected().is_empty(), "{owner} is not its owner any more");
        registry.attach(ID, heir, &mailbox);
        assert_eq!(mailbox.take_signal(), None);
    }
}

#[test]
fn an_owner_that_is_claimed_before_it_can_be_told_is_told_as_soon_as_it_can() {
    let (registry, mailbox) = (Registry::default(), mailbox());
    assert!(matches!(registry.claim(ID, 1), Claim::New));
    let mut second = awaited(registry.claim(ID, 2));
    registry.attach(ID, 1, &mailbox);
    assert_eq!(mailbox.take_signal(), Some(Signal::TakenOver));
    assert_eq!(registry.release(ID, 1, None), Released::HandedOver);
    assert_eq!(handed_over(&mut second), None);
}

#[test]
fn a_session_whose_heir_has_vanished_is_kept_as_if_it_had_never_come() {
    let (registry, mailbox) = owned();
    drop(awaited(registry.claim(ID, 2)));
    assert_eq!(registry.release(ID, 1, parked(&mailbox, Some(7))), Released::Parked(Some(7)));
    assert!(matches!(registry.claim(ID, 3), Claim::Found(_)));

    let (registry, _mailbox) = owned();
    drop(awaited(registry.claim(ID, 2)));
    assert_eq!(registry.release(ID, 1, None), Released::Gone);
    assert!(is_empty(&registry));
    assert!(matches!(registry.claim(ID, 3), Claim::New));
}

#[test]
fn many_who_claim_at_once_have_the_session_one_at_a_time() {
    let (registry, mailbox) = owned();
    let (owners, served) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let claim = |owner: u64| {
        let parked = match registry.claim(ID, owner) {
            Claim::New => panic!("the session is kept all the time"),
            Claim::Found(parked) => Some(parked),
            // The channel closes where another claimant was quicker.
            Claim::Awaited(receiver) => receiver.blocking_recv().ok().flatten(),
        };
        if let Some(parked) = parked {
            assert_eq!(owners.fetch_add(1, Ordering::AcqRel), 0);
            served.fetch_add(1, Ordering::AcqRel);
            owners.fetch_sub(1, Ordering::AcqRel);
            registry.release(ID, owner, Some(parked));
        }
    };
    std::thread::scope(|scope| {
        (2..10).for_each(|owner| _ = scope.spawn(move || claim(owner)));
        while mailbox.take_signal().is_none() {
            std::thread::yield_now();
        }
        owners.fetch_sub(1, Ordering::AcqRel);
        registry.release(ID, 1, parked(&mailbox, None));
    });
    assert!(served.into_inner() >= 1);
    let Claim::Found(parked) = registry.claim(ID, 99) else { panic!("all have let go") };
    assert_eq!(parked.session.mailbox().id(), mailbox.id());
}

/// What a look after the session at this time brings: its name, and when to look again.
fn look(registry: &Registry, session: u64, now: u64) -> Option<(&'static str, Option<u64>)> {
    registry.due(ID, session, now, None).map(|due| match due {
        Due::Expired(_) => ("expired", None),
        Due::Will(_, next) => ("will", next),
        Due::NotYet(next) => ("not yet", next),
    })
}

/// A registry in which connection 1 has left a session with these moments.
fn left(expires: Option<u64>, will_due: Option<u64>) -> (Registry, u64) {
    let (registry, mailbox) = owned();
    let session = Session::new(Arc::clone(&mailbox));
    let due = [expires, will_due].into_iter().flatten().min();
    let parked = Parked { session, expires, will: will_due.map(will) };
    assert_eq!(registry.release(ID, 1, Some(Box::new(parked))), Released::Parked(due));
    (registry, mailbox.id())
}

#[test]
fn a_session_expires_at_its_moment_and_its_will_is_due_at_its_own() {
    let (registry, session) = left(Some(5_000), Some(2_000));
    assert_eq!(look(&registry, session, 1_999), Some(("not yet", Some(2_000))));
    assert_eq!(look(&registry, session, 2_000), Some(("will", Some(5_000))));
    assert_eq!(look(&registry, session, 4_999), Some(("not yet", Some(5_000))));
    assert_eq!(look(&registry, session, 5_000), Some(("expired", None)));
    assert_eq!(look(&registry, session, 5_000), None);
    assert!(is_empty(&registry));
}

#[test]
fn a_will_that_waits_longer_than_its_session_goes_with_it() {
    let (registry, session) = left(Some(5_000), Some(9_000));
    assert_eq!(look(&registry, session, 4_999), Some(("not yet", Some(5_000))));
    let Some(Due::Expired(parked)) = registry.due(ID, session, 9_000, None) else { panic!("it has expired") };
    assert_eq!(parked.will.unwrap().message.payload(), b"gone");
}

#[test]
fn a_session_without_an_end_is_kept_when_its_will_was_published() {
    let (registry, session) = left(None, Some(2_000));
    assert_eq!(look(&registry, session, u64::MAX), Some(("will", None)));
    assert_eq!(look(&registry, session, u64::MAX), Some(("not yet", None)));
    assert!(matches!(registry.claim(ID, 2), Claim::Found(_)));
}

#[test]
fn a_session_whose_client_is_back_or_that_is_another_is_not_touched() {
    let (registry, session) = left(Some(5_000), Some(2_000));
    assert_eq!(look(&registry, session + 1, 9_000), None, "of another session by that name");
    assert!(matches!(registry.claim(ID, 2), Claim::Found(_)));
    assert_eq!(look(&registry, session, 9_000), None, "the client is back");
}
