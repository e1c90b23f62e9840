//! What is published of one position.
//!
//! Owns: [`PositionGauges`] and its words. Does not: compute anything; the portfolio does.
//! Invariant: all numbers of a position belong to one moment: they are one seqlock snapshot.

use crate::units::E8;

/// Words of one published position.
pub(super) const POSITION_WORDS: usize = 8;

/// Bit of the flag word: the position has a mark, so unrealised profit and notional mean something.
const MARKED: u64 = 1;

/// One instrument's position. Its quantity is in the base asset, its entry in quote per whole base, money in the
/// account currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PositionGauges {
    /// How much; negative when short.
    pub qty: E8,
    /// Average entry price; zero when flat.
    pub entry: E8,
    /// Realised profit and loss.
    pub realized: E8,
    /// Sum of the realised profits alone; never falls.
    pub realized_profit: E8,
    /// Sum of the realised losses alone, not negative; never falls.
    pub realized_loss: E8,
    /// Unrealised profit and loss at the mark, and the position's value there; `None` before the first mark.
    pub marked: Option<Marked>,
}

/// A position at its mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Profit and loss if it were closed at the mark.
    pub unrealized: E8,
    /// Quantity x mark, with the quantity's sign.
    pub notional: E8,
}

impl PositionGauges {
    pub(super) fn to_words(self) -> [u64; POSITION_WORDS] {
        let marked = self.marked.unwrap_or_default();
        [
            if self.marked.is_some() { MARKED } else { 0 },
            self.qty.0 as u64,
            self.entry.0 as u64,
            self.realized.0 as u64,
            self.realized_profit.0 as u64,
            self.realized_loss.0 as u64,
            marked.unrealized.0 as u64,
            marked.notional.0 as u64,
        ]
    }

    pub(super) fn from_words(words: &[u64; POSITION_WORDS]) -> Self {
        let amount = |word: u64| E8(word as i64);
        Self {
            qty: amount(words[1]),
            entry: amount(words[2]),
            realized: amount(words[3]),
            realized_profit: amount(words[4]),
            realized_loss: amount(words[5]),
            marked: (words[0] & MARKED != 0).then(|| Marked {
                unrealized: amount(words[6]),
                notional: amount(words[7]),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_words() {
        let flat = PositionGauges::default();
        assert_eq!(PositionGauges::from_words(&flat.to_words()), flat);
        let short = PositionGauges {
            qty: E8(-5),
            entry: E8(7),
            realized: E8(-9),
            realized_profit: E8(1),
            realized_loss: E8(10),
            marked: Some(Marked {
                unrealized: E8(-3),
                notional: E8(-40),
            }),
        };
        assert_eq!(PositionGauges::from_words(&short.to_words()), short);
    }
}
