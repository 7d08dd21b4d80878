//! The word of a gate at the ends of what it can hold.

use super::*;

const MINUTE: u64 = 29_386_125;
const NOW: UnixMillis = UnixMillis(MINUTE * 60_000);

fn gate(rate: &str) -> Gate {
    Gate::new(Resource::Publish, vec![Rule { resource: Resource::Publish, rate: rate.parse().unwrap() }], true)
}

/// A gate that has admitted so many in this minute.
fn having_admitted(rate: &str, used: u64) -> Gate {
    let gate = gate(rate);
    if gate.word.load(Ordering::Acquire) == SHUT {
        let mut slow = gate.slow.lock();
        (slow.rules[0].window, slow.rules[0].used) = (MINUTE, used);
    } else {
        gate.word.store(pack(MINUTE, used), Ordering::Release);
    }
    gate
}

#[test]
fn limits_about_the_most_that_the_word_counts_are_exact() {
    let rows = [("2147483645/min", 2_147_483_643), ("2147483646/min", 2_147_483_644)];
    let past_the_word = [("2147483647/min", 2_147_483_645), ("2147483648/min", 2_147_483_646)];
    let far_past_it = [("18446744073709551615/min", u64::MAX - 2)];
    for (rate, used) in rows.into_iter().chain(past_the_word).chain(far_past_it) {
        let gate = having_admitted(rate, used);
        assert_eq!(gate.admit(0, NOW), Ok(()), "{rate}");
        assert_eq!(gate.admit(0, NOW), Ok(()), "{rate}");
        assert!(gate.admit(0, NOW).is_err(), "{rate}");
        assert_eq!(gate.readings(NOW)[0].2, used + 2, "{rate}");
        assert_eq!(gate.admit(0, UnixMillis(NOW.0 + 60_000)), Ok(()), "{rate}");
    }
}

#[test]
fn a_count_without_a_limit_stops_at_the_most_that_the_word_holds_and_admits_on() {
    let gate = Gate::new(Resource::Publish, Vec::new(), true);
    gate.word.store(pack(MINUTE, MAX_COUNT - 1), Ordering::Release);
    for _ in 0..5 {
        assert_eq!(gate.admit(0, NOW), Ok(()));
    }
    assert_eq!(gate.readings(NOW)[0].2, MAX_COUNT);
    let next = UnixMillis(NOW.0 + 60_000);
    assert_eq!(gate.admit(0, next), Ok(()));
    assert_eq!(gate.readings(next)[0].2, 1);
}

#[test]
fn a_count_past_what_the_word_holds_is_still_over_a_small_limit() {
    let gate = having_admitted("18446744073709551615/min", u64::MAX - 2);
    gate.set_rules(vec![Rule { resource: Resource::Publish, rate: Rate::new(5, Window::Minute) }], true);
    assert!(gate.admit(0, NOW).is_err());
}

#[test]
fn a_word_without_counts_tells_its_kind_of_window() {
    let words = Window::ALL.map(|window| gate(&format!("5/{window}")).word.load(Ordering::Acquire));
    for (at, word) in words.iter().enumerate() {
        assert!(!words[..at].contains(word), "a swap of the window's kind must be noticed");
    }
}

#[test]
fn a_denial_of_a_window_that_has_just_ended_is_asked_again_in_the_next() {
    let gate = having_admitted("5/min", 5);
    let terms = Terms::unpack(gate.terms.load(Ordering::Acquire));
    assert_eq!(gate.deny(terms, MINUTE - 1, NOW, 1), None);
    assert_eq!(gate.deny(Terms { limit: 6, ..terms }, MINUTE, NOW, 1), None, "nor are terms that hold no more");
    assert_eq!(gate.readings(NOW)[0].3, 0);
    assert!(gate.deny(terms, MINUTE, NOW, 1).is_some());
    assert_eq!(gate.readings(NOW)[0].3, 1);
}

#[test]
fn a_rate_that_is_not_enforced_needs_the_lock_only_once_it_is_used_up() {
    let rules = vec![Rule { resource: Resource::Publish, rate: Rate::new(3, Window::Minute) }];
    let gate = Gate::new(Resource::Publish, rules.clone(), false);
    let locked = || gate.word.load(Ordering::Acquire) == SHUT;
    let counted = |now| (gate.readings(now)[0].2, gate.readings(now)[0].3);
    for used in 1..=3 {
        assert_eq!(gate.admit(0, NOW), Ok(()));
        assert_eq!((locked(), counted(NOW)), (false, (used, 0)));
    }
    for over in 1..=3 {
        assert_eq!(gate.admit(0, NOW), Ok(()));
        assert_eq!((locked(), counted(NOW)), (true, (3 + over, over)));
    }
    let next = UnixMillis(NOW.0 + 60_000);
    assert_eq!(gate.admit(0, next), Ok(()));
    assert_eq!((locked(), counted(next)), (false, (1, 0)), "a minute later it begins anew");

    gate.set_rules(rules, true);
    assert_eq!([0, 0, 0].map(|bytes| gate.admit(bytes, next).is_ok()), [true, true, false]);
}
