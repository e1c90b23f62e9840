//! The newest id of a stream whose events are each complete, so that holes do not matter.
//!
//! Owns: [`Newest`]. Does not: know what the ids count. With two connections up every event comes
//! twice; what is old on the connection that brought the newest is a fault of the venue, what is old
//! on another is merely late.

use crate::limits::OLD_IN_A_ROW_MAX;
use crate::venue::binance::resync::Source;

/// What an id is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// The newest yet.
    New,
    /// Seen before, on another connection.
    Late,
    /// Seen before, or below one seen before, on the same connection.
    WentBack {
        /// The newest id.
        newest: u64,
    },
}

/// The newest id, and where it came from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    id: u64,
    source: Option<Source>,
    old_in_a_row: u8,
}

impl Newest {
    /// Judges an id. After [`OLD_IN_A_ROW_MAX`] old ones the venue counts from anew, and so do we.
    #[inline]
    pub(super) fn judge(&mut self, id: u64, source: Source) -> Age {
        if id > self.id || self.old_in_a_row == OLD_IN_A_ROW_MAX {
            *self = Self {
                id,
                source: Some(source),
                old_in_a_row: 0,
            };
            return Age::New;
        }
        self.old_in_a_row += 1;
        if self.source == Some(source) {
            Age::WentBack { newest: self.id }
        } else {
            Age::Late
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_connection_can_go_back() {
        let (a, b) = (Source::new(0), Source::new(1));
        let mut newest = Newest::default();
        assert_eq!(newest.judge(5, a), Age::New);
        assert_eq!(newest.judge(5, b), Age::Late);
        assert_eq!(newest.judge(5, a), Age::WentBack { newest: 5 });
        assert_eq!(newest.judge(6, b), Age::New);
        assert_eq!(newest.judge(6, a), Age::Late);
        assert_eq!(newest.judge(4, b), Age::WentBack { newest: 6 });
    }

    #[test]
    fn a_venue_that_counts_from_anew_is_followed() {
        let a = Source::new(0);
        let mut newest = Newest::default();
        assert_eq!(newest.judge(1_000, a), Age::New);
        for id in 1..=u64::from(OLD_IN_A_ROW_MAX) {
            assert_eq!(newest.judge(id, a), Age::WentBack { newest: 1_000 });
        }
        assert_eq!(newest.judge(60, a), Age::New);
        assert_eq!(newest.judge(61, a), Age::New);
    }
}
