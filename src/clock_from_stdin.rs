//! A clock that stands still and is moved by lines of standard input: for tests of the real binary that choose the minute.
//! Each line that was carried out is answered on standard output, so that whoever moves the clock knows when it has moved.

use std::io::BufRead;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use weir::limits::UnixMillis;
use weir::{Clock, ManualClock};

/// The time at which the clock stands first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(UnixMillis);

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        time(text).map(Start)
    }
}

enum Move {
    To(UnixMillis),
    By(Duration),
}

/// A clock that follows standard input from now on.
pub(crate) fn spawn(start: Start) -> Clock {
    let manual = ManualClock::at(start.0);
    let clock = Clock::Manual(manual.clone());
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match parse(line.trim()) {
                Ok(Move::To(time)) => manual.set(time),
                Ok(Move::By(duration)) => manual.advance(duration),
                Err(error) => {
                    println!("error: {error}");
                    continue;
                }
            }
            println!("ok");
        }
    });
    clock
}

fn parse(line: &str) -> Result<Move, String> {
    match line.strip_prefix('+') {
        Some(by) => {
            let by: SignedDuration = by.parse().map_err(|error| format!("{by:?} is no duration: {error}"))?;
            by.try_into().map(Move::By).map_err(|error| format!("{error}"))
        }
        None => time(line).map(Move::To),
    }
}

fn time(text: &str) -> Result<UnixMillis, String> {
    let time: Timestamp = text.parse().map_err(|error| format!("{text:?} is no time: {error}"))?;
    u64::try_from(time.as_millisecond()).map(UnixMillis).map_err(|_| format!("{text:?} is before 1970"))
}
