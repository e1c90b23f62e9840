//! Wall time on the sidecar, and its text.
//!
//! Owns: [`UnixMs`]. Does not: steer anything of the engine, which knows its own clock only.
//! Invariant: everything but [`UnixMs::now`] is a function of its arguments.

use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use veloz_core::units::E8;

/// The last millisecond that four digits of a year can say.
const LAST: UnixMs = UnixMs(253_402_300_799_999);

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The machine's clock; zero when it stands before 1970.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_millis() as u64))
    }

    /// `self` plus a duration in milliseconds; the end of time when that is beyond it.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// `2026-02-23T10:00:00.123Z`; what is beyond the year 9999 is its end.
    pub fn rfc3339(self) -> String {
        let at = self.date_time();
        format!(
            "{}T{:02}:{:02}:{:02}.{:03}Z",
            self.date(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }

    /// The day in UTC: `2026-02-23`.
    pub fn date(self) -> String {
        let at = self.date_time();
        format!(
            "{:04}-{:02}-{:02}",
            at.year(),
            u8::from(at.month()),
            at.day()
        )
    }

    /// Reads Unix seconds, with or without places, or RFC 3339; finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let seconds = E8::parse(text.as_bytes()).ok();
        if let Some(seconds) = seconds {
            return u64::try_from(seconds.0 / 100_000).ok().map(Self);
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(ms).ok().map(Self)
    }

    fn date_time(self) -> OffsetDateTime {
        let nanos = i128::from(self.min(LAST).0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("between 1970 and 9999")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_written_and_read_as_the_contract_has_them() {
        let at = UnixMs(1_771_840_800_123);
        assert_eq!(at.rfc3339(), "2026-02-23T10:00:00.123Z");
        assert_eq!(at.date(), "2026-02-23");
        assert_eq!(UnixMs(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMs(u64::MAX).rfc3339(), "9999-12-31T23:59:59.999Z");
        for (text, expected) in [
            ("1771840800.123", Some(at)),
            ("1771840800.12345", Some(at)),
            ("1771840800", Some(UnixMs(1_771_840_800_000))),
            ("2026-02-23T10:00:00.123Z", Some(at)),
            ("2026-02-23T11:00:00.123+01:00", Some(at)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-02-23", None),
            ("-1", None),
            ("1e9", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(UnixMs::parse(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_time_reads_back(ms in 0..=LAST.0) {
            prop_assert_eq!(UnixMs::parse(&UnixMs(ms).rfc3339()), Some(UnixMs(ms)));
        }
    }
}
