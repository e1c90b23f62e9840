//! What must be known of the account after a restart, as words.
//!
//! Owns: [`AccountGauges`]. Invariant: the numbers belong to one moment: they are one seqlock snapshot.

use crate::portfolio::Restored;
use crate::units::E8;

/// Words of the published account.
pub(super) const ACCOUNT_WORDS: usize = 5;

/// What the day's change and the drawdown are measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountGauges {
    /// `None` while equity was never known.
    pub restored: Option<Restored>,
}

impl AccountGauges {
    pub(super) fn to_words(self) -> [u64; ACCOUNT_WORDS] {
        let Some(restored) = self.restored else {
            return [0; ACCOUNT_WORDS];
        };
        [
            1,
            restored.day,
            restored.day_start_equity.0 as u64,
            restored.peak_equity.0 as u64,
            restored.flows.0 as u64,
        ]
    }

    pub(super) fn from_words(words: &[u64; ACCOUNT_WORDS]) -> Self {
        let [known, day, day_start, peak, flows] = *words;
        Self {
            restored: (known != 0).then_some(Restored {
                day,
                day_start_equity: E8(day_start as i64),
                peak_equity: E8(peak as i64),
                flows: E8(flows as i64),
            }),
        }
    }
}
