//! What must be known of the account after a restart, as words.
//!
//! Owns: [`AccountGauges`]. Invariant: the numbers belong to one moment: they are one seqlock snapshot.

use crate::portfolio::Restored;
use crate::units::E8;

/// Words of the published account.
pub(super) const ACCOUNT_WORDS: usize = 7;

/// What the day's change and the drawdown are measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountGauges {
    /// `None` while equity was never known.
    pub restored: Option<Restored>,
    /// Equity in the account currency in that moment; `None` before every asset has a mark.
    pub equity: Option<E8>,
}

impl AccountGauges {
    pub(super) fn to_words(self) -> [u64; ACCOUNT_WORDS] {
        let mut words = [0; ACCOUNT_WORDS];
        if let Some(equity) = self.equity {
            words[5] = 1;
            words[6] = equity.0 as u64;
        }
        if let Some(restored) = self.restored {
            words[0] = 1;
            words[1] = restored.day;
            words[2] = restored.day_start_equity.0 as u64;
            words[3] = restored.peak_equity.0 as u64;
            words[4] = restored.flows.0 as u64;
        }
        words
    }

    pub(super) fn from_words(words: &[u64; ACCOUNT_WORDS]) -> Self {
        let [known, day, day_start, peak, flows, equity_known, equity] = *words;
        Self {
            equity: (equity_known != 0).then_some(E8(equity as i64)),
            restored: (known != 0).then_some(Restored {
                day,
                day_start_equity: E8(day_start as i64),
                peak_equity: E8(peak as i64),
                flows: E8(flows as i64),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_its_words() {
        let restored = Restored {
            day: 20_000,
            day_start_equity: E8(5),
            peak_equity: E8(9),
            flows: E8(-3),
        };
        for restored in [None, Some(restored)] {
            for equity in [None, Some(E8(0)), Some(E8(-7))] {
                let account = AccountGauges { restored, equity };
                assert_eq!(AccountGauges::from_words(&account.to_words()), account);
            }
        }
    }
}
