//! Counts by address: within the window, across a change of the rate, and with more addresses than are counted.

use std::net::Ipv6Addr;

use super::*;

const NOW: UnixMillis = UnixMillis(1_773_146_700_000);

fn address(number: u32) -> IpAddr {
    Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)).into()
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

/// How many of so many connections from an address are within the rate.
fn connects(admission: &Admission, address: IpAddr, rate: &Rate, now: UnixMillis, attempts: u32) -> usize {
    (0..attempts).filter(|_| admission.connect(address, rate, now)).count()
}

#[test]
fn each_address_may_connect_as_often_as_the_rate_allows_in_each_window() {
    let (admission, rate) = (Admission::default(), rate("3/min"));
    for _ in 0..2 {
        assert_eq!(connects(&admission, address(1), &rate, NOW, 1), 1);
    }
    assert_eq!(connects(&admission, address(1), &rate, NOW, 5), 1);
    assert_eq!(connects(&admission, address(2), &rate, NOW, 5), 3);
    assert_eq!(connects(&admission, address(1), &rate, UnixMillis(NOW.0 + 60_000), 5), 3);
    assert_eq!(connects(&admission, address(1), &rate, NOW, 5), 0, "a clock set back begins no window again");
}

#[test]
fn an_address_may_try_until_it_has_failed_as_often_as_the_rate_allows() {
    let (admission, rate) = (Admission::default(), rate("2/min"));
    for _ in 0..2 {
        assert!(admission.may_try(address(1), &rate, NOW));
        admission.failed(address(1), &rate, NOW);
    }
    assert!(!admission.may_try(address(1), &rate, NOW));
    assert!(admission.may_try(address(2), &rate, NOW));
    assert!(admission.may_try(address(1), &rate, UnixMillis(NOW.0 + 60_000)));
}

#[test]
fn a_rate_with_another_window_begins_to_count_anew_and_its_windows_end() {
    let admission = Admission::default();
    for text in ["2/s", "2/month", "2/min", "2/h"] {
        let rate = rate(text);
        let next = rate.window.end(rate.window.index(NOW));
        assert_eq!(connects(&admission, address(1), &rate, NOW, 5), 2, "{text}");
        assert_eq!(connects(&admission, address(1), &rate, next, 5), 2, "{text} in its next window");
    }
}

#[test]
fn no_more_addresses_are_kept_than_the_bound_and_the_rest_share_one_count() {
    let (admission, rate) = (Admission::default(), rate("2/min"));
    let most = MAX_ADDRESSES as u32;
    for number in 0..most {
        assert!(admission.connect(address(number), &rate, NOW));
        admission.failed(address(number), &rate, NOW);
    }
    assert!(admission.connect(address(most), &rate, NOW));
    assert!(admission.connect(address(most + 1), &rate, NOW));
    assert!(!admission.connect(address(most + 2), &rate, NOW), "those not seen yet share one count");
    assert!(admission.connect(address(0), &rate, NOW), "the others have their own");

    assert!(admission.may_try(address(most), &rate, NOW));
    admission.failed(address(most), &rate, NOW);
    admission.failed(address(most + 1), &rate, NOW);
    assert!(!admission.may_try(address(most + 2), &rate, NOW));
    assert!(admission.may_try(address(0), &rate, NOW));

    let kept = [&admission.connects, &admission.failures].map(|by_address| by_address.lock().counts.len());
    assert_eq!(kept, [MAX_ADDRESSES + 1; 2]);
    assert!(admission.connect(address(most), &rate, UnixMillis(NOW.0 + 60_000)));
    assert_eq!(admission.connects.lock().counts.len(), 1, "all are forgotten with their window");
}
