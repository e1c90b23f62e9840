//! How long a server asks to be left alone: the `Retry-After` of RFC 9110, section 10.2.3.
//!
//! Owns: [`pause`]. Does not: read a clock; the server's own `Date` says what time it is for it, and where there is none the
//! caller's does. Of the three forms of an HTTP date it reads the one that a sender may write (section 5.6.7).

use crate::units::Nanos;

/// No server means longer than a month; its number would not fit otherwise.
const PAUSE_SECONDS_MAX: u64 = 31 * 86_400;
/// From 1 March of year 0 to the Unix epoch.
const EPOCH_DAYS: u64 = 719_468;

/// What `Retry-After` asks for: seconds, or a date, against the answer's `Date`, or `now_unix_s` without one. `None` when it
/// is neither.
pub(super) fn pause(retry_after: &str, date: Option<&str>, now_unix_s: u64) -> Option<Nanos> {
    let text = retry_after.trim();
    let seconds = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Without a digit, or beyond its range, it is no number.
        text.parse().ok()?
    } else {
        let at = unix_seconds(text)?;
        let now = date.and_then(unix_seconds).unwrap_or(now_unix_s);
        at.saturating_sub(now)
    };
    Some(Nanos::from_secs(seconds.min(PAUSE_SECONDS_MAX)))
}

/// Unix seconds of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn unix_seconds(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let mut part = || parts.next();
    let day: u64 = part()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = part()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = part()?
        .parse()
        .ok()
        .filter(|year| (1970..10_000).contains(year))?;
    let mut clock = part()?.split(':');
    if part() != Some("GMT") || part().is_some() {
        return None;
    }
    let mut number = |max: u64| -> Option<u64> {
        clock
            .next()?
            .parse()
            .ok()
            .filter(|number: &u64| *number <= max)
    };
    // A leap second is the 60th.
    let (hours, minutes, seconds) = (number(23)?, number(59)?, number(60)?);
    // Days since 1 March of year 0, which puts the leap day at a year's end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - EPOCH_DAYS) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(unix_seconds(date), Some(784_111_777));
        assert_eq!(
            unix_seconds("Thu, 29 Feb 2024 00:00:00 GMT"),
            Some(1_709_164_800)
        );
        assert_eq!(unix_seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        let cases = [
            ("120", None, Some(120)),
            (" 45 ", Some(date), Some(45)),
            ("0", None, Some(0)),
            ("99999999999", None, Some(PAUSE_SECONDS_MAX)),
            // Against the server's clock, and ours where it does not say.
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(date), Some(120)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", None, Some(20)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(date), Some(0)),
            ("", None, None),
            ("soon", None, None),
            ("-5", None, None),
            ("1.5", None, None),
            ("Sun, 06 Nov 1994 08:51:37", None, None),
            ("Sun, 06 Foo 1994 08:51:37 GMT", None, None),
            ("Sun, 32 Nov 1994 08:51:37 GMT", None, None),
            ("Sun, 06 Nov 1994 24:51:37 GMT", None, None),
            ("Sun, 06 Nov 0 08:51:37 GMT", None, None),
        ];
        for (text, date, seconds) in cases {
            let told = pause(text, date, 784_111_877);
            assert_eq!(told, seconds.map(Nanos::from_secs), "{text:?}");
        }
    }
}
