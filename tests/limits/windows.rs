//! Windows of every kind, several at once, at made-up times; and a wall clock that is set back.

use weir::wire::{QoS, Version};

use super::common::Weir;
use super::*;

/// What becomes of a publish at a time of day: nothing denies it, or the seconds and the rate it is told.
type Step = (&'static str, Option<(u64, &'static str)>);

#[test]
fn a_window_ends_with_its_calendar_span_and_of_several_each_holds() {
    let cases: [(&str, &[Step]); 8] = [
        (
            "[2/s, 3/min]",
            &[
                ("2026-11-21T12:45:09Z", None),
                ("2026-11-21T12:45:09.1Z", None),
                // What one rate denies, the other does not count.
                ("2026-11-21T12:45:09.2Z", Some((1, "2/s"))),
                ("2026-11-21T12:45:09.999Z", Some((1, "2/s"))),
                ("2026-11-21T12:45:10Z", None),
                ("2026-11-21T12:45:10Z", Some((50, "3/min"))),
                ("2026-11-21T12:45:59.999Z", Some((1, "3/min"))),
                ("2026-11-21T12:46:00Z", None),
                ("2026-11-21T12:46:00Z", None),
                ("2026-11-21T12:46:00Z", Some((1, "2/s"))),
            ],
        ),
        (
            // Over two rates at once, the client hears of the one that lasts longer.
            "[1/s, 1/h]",
            &[("2026-11-21T12:45:09Z", None), ("2026-11-21T12:45:09Z", Some((891, "1/h")))],
        ),
        (
            "2/h",
            &[
                ("2026-11-21T12:45:09Z", None),
                ("2026-11-21T12:46:00Z", None),
                ("2026-11-21T12:46:00Z", Some((840, "2/h"))),
                ("2026-11-21T12:59:59.999Z", Some((1, "2/h"))),
                ("2026-11-21T13:00:00Z", None),
            ],
        ),
        (
            "1/day",
            &[
                ("2026-11-21T12:00:00Z", None),
                ("2026-11-21T12:00:00Z", Some((43_200, "1/day"))),
                ("2026-11-21T23:59:59.001Z", Some((1, "1/day"))),
                ("2026-11-22T00:00:00Z", None),
            ],
        ),
        (
            "1/month",
            &[
                ("2026-02-10T00:00:00Z", None),
                ("2026-02-10T00:00:00Z", Some((19 * 86_400, "1/month"))),
                ("2026-02-28T23:59:59.999Z", Some((1, "1/month"))),
                ("2026-03-01T00:00:00Z", None),
                ("2026-03-01T00:00:00Z", Some((31 * 86_400, "1/month"))),
            ],
        ),
        (
            "1/month",
            &[
                ("2028-02-28T12:00:00Z", None),
                ("2028-02-29T00:00:00Z", Some((86_400, "1/month"))),
                ("2028-02-29T23:59:59.999Z", Some((1, "1/month"))),
                ("2028-03-01T00:00:00Z", None),
            ],
        ),
        (
            "1/month",
            &[
                ("2026-12-31T23:59:59Z", None),
                ("2026-12-31T23:59:59Z", Some((1, "1/month"))),
                ("2027-01-01T00:00:00Z", None),
            ],
        ),
        (
            // Never.
            "0/min",
            &[("2026-11-21T12:45:09Z", Some((51, "0/min"))), ("2026-11-21T12:46:00Z", Some((60, "0/min")))],
        ),
    ];
    for (rate, steps) in cases {
        let mut weir = Weir::at(steps[0].0, &on_plan(&format!("publish: {rate}")));
        let mut client = weir.client(Version::V5, "a", "client");
        for (time, answer) in steps {
            weir.clock(time);
            match answer {
                None => publish_is_served(&mut client, "t", b""),
                Some((retry_after, limit)) => {
                    publish_is_denied(&mut client, "t", b"", (*retry_after, "publish", limit));
                }
            }
        }
    }
}

#[test]
fn a_clock_set_back_gives_no_one_a_second_helping() {
    // Two fit in the minute: one was used, or both.
    for used in [1, 2] {
        let mut weir = Weir::at(START, &on_plan("publish: 2/min"));
        let mut client = weir.client(Version::V5, "a", "client");
        for _ in 0..used {
            publish_is_served(&mut client, "t", b"");
        }
        weir.clock("2026-11-21T11:45:30Z");
        for _ in used..2 {
            publish_is_served(&mut client, "t", b"");
        }
        // The truth, and no more than the hour and the rest of the minute.
        publish_is_denied(&mut client, "t", b"", (3_630, "publish", "2/min"));
        weir.clock("2026-11-21T11:46:00Z");
        publish_is_denied(&mut client, "t", b"", (3_600, "publish", "2/min"));
        weir.clock(LAST_MILLISECOND);
        publish_is_denied(&mut client, "t", b"", (1, "publish", "2/min"));
        weir.clock(NEXT_MINUTE);
        publish_is_served(&mut client, "t", b"");
        publish_is_served(&mut client, "t", b"");
        publish_is_denied(&mut client, "t", b"", (60, "publish", "2/min"));
    }
}

#[test]
fn a_delivery_that_waits_arrives_with_its_minute_although_the_clock_was_set_back() {
    let mut weir = Weir::at(START, &on_plan("receive: 1/min"));
    let mut subscriber = subscriber(&weir, Version::V5, "a", "t", QoS::AtLeastOnce);
    let mut publisher = weir.client(Version::V5, "b", "publisher");
    publish_is_served(&mut publisher, "t", b"1");
    publish_is_served(&mut publisher, "t", b"2");
    assert_eq!(payloads(&mut subscriber), ["1"]);
    for time in ["2026-11-21T11:45:30Z", "2026-11-21T11:46:00Z", "2026-11-21T11:47:00Z", LAST_MILLISECOND] {
        weir.clock(time);
        assert!(payloads(&mut subscriber).is_empty(), "at {time}");
    }
    weir.clock(NEXT_MINUTE);
    assert_eq!(subscriber.expect_publish().text(), "2");
}
