//! Numbers, times and names as `weir top` and `weir usage` write them for people. Pure text, made by no locale.

const DECIMAL: [(u64, &str); 4] = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
const BINARY: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Every digit, by thousands: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Every digit up to 99,999, then three of them, rounded down so that nothing looks full before it is: `1.23M`.
pub(crate) fn compact(number: u64) -> String {
    match number {
        0..100_000 => count(number),
        _ => scaled(number, &DECIMAL).unwrap_or_else(|| count(number)),
    }
}

/// Bytes, rounded down: `9.5MiB`.
pub(crate) fn bytes(number: u64) -> String {
    scaled(number, &BINARY).unwrap_or_else(|| format!("{number}B"))
}

/// How much of a resource: a number of requests, or bytes where the resource counts bytes.
pub(crate) fn amount(resource: &str, number: u64) -> String {
    match resource {
        "publish_bytes" | "receive_bytes" => bytes(number),
        _ => compact(number),
    }
}

/// The two largest units of a span: `51s`, `1h 12m`, `3d 4h`.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A name as it may stand on a terminal: what would move its cursor or change its colours is written out.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_direction(character) {
            plain.extend(character.escape_unicode());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Characters without a shape that turn the direction of what stands around them.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn scaled(number: u64, units: &[(u64, &str)]) -> Option<String> {
    let (unit, name) = units.iter().find(|(unit, _)| number >= *unit)?;
    let whole = number / unit;
    let hundredths = u128::from(number % unit) * 100 / u128::from(*unit);
    let text = match whole {
        0..10 => format!("{whole}.{hundredths:02}"),
        10..100 => format!("{whole}.{}", hundredths / 10),
        _ => return Some(format!("{whole}{name}")),
    };
    Some(format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let shown = [0, 7, 999, 1_000, 123_456, 1_234_567, u64::MAX].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "123,456", "1,234,567", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn large_numbers_are_rounded_down_so_that_a_limit_never_looks_reached_before_it_is() {
        let shown = [99_999, 100_000, 999_999, 1_000_000, 1_239_999, 12_390_000, 2_000_000].map(compact);
        assert_eq!(shown, ["99,999", "100k", "999k", "1M", "1.23M", "12.3M", "2M"]);
    }

    #[test]
    fn bytes_are_shown_as_such_for_the_resources_that_count_them() {
        assert_eq!([0, 1_023, 1_024, 9_961_472, 10 << 20].map(bytes), ["0B", "1023B", "1KiB", "9.5MiB", "10MiB"]);
        assert_eq!(amount("publish_bytes", 2_048), "2KiB");
        assert_eq!(amount("publish", 2_048), "2,048");
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        assert_eq!(
            [0, 59, 60, 3_599, 3_600, 86_399, 90_000].map(span),
            ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 1h"]
        );
    }

    #[test]
    fn what_would_steer_the_terminal_is_written_out() {
        assert_eq!(plain("pump-1 ü"), "pump-1 ü");
        assert_eq!(plain("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c");
    }
}
