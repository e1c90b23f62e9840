//! What the portfolio reports in the account currency.
//!
//! Owns: [`Figures`], [`Exposure`]. Does not: keep them.

use super::exact::Exact;
use super::position::Position;
use crate::units::E8;

/// Results in the account currency, of one instrument or of all. Amounts are rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Gains minus losses of what was closed, before fees, each valued when it was made.
    pub realized: E8,
    /// The gains alone; never falls.
    pub realized_profit: E8,
    /// The losses alone, as a positive amount; never falls.
    pub realized_loss: E8,
    /// Fees, each valued when it was paid; never falls.
    pub fees: E8,
    /// What closing at the mark would realize; what nothing values yet is missing.
    pub unrealized: E8,
    /// Fills that reduced a position with a gain before fees.
    pub won: u64,
    /// Fills that reduced a position with a loss before fees.
    pub lost: u64,
    /// Fills that reduced a position with neither.
    pub even: u64,
}

/// Position values at the mark, in the account currency, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Long positions.
    pub long: E8,
    /// Short positions, as a positive amount.
    pub short: E8,
    /// Positions that are in neither sum because nothing values them yet.
    pub unmarked: u32,
}

impl Exposure {
    /// Long plus short.
    #[inline]
    pub fn gross(&self) -> E8 {
        E8(self.long.0.saturating_add(self.short.0))
    }

    /// Long minus short.
    #[inline]
    pub fn net(&self) -> E8 {
        E8(self.long.0.saturating_sub(self.short.0))
    }
}

/// Results without rounding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Results {
    pub(super) profit: Exact,
    pub(super) loss: Exact,
    pub(super) fees: Exact,
}

impl Figures {
    pub(super) fn of(results: &Results, unrealized: Exact) -> Self {
        Self {
            realized: (results.profit - results.loss).to_e8(),
            realized_profit: results.profit.to_e8(),
            realized_loss: results.loss.to_e8(),
            fees: results.fees.to_e8(),
            unrealized: unrealized.to_e8(),
            ..Self::default()
        }
    }

    pub(super) fn count(&mut self, position: &Position) {
        self.won += position.won();
        self.lost += position.lost();
        self.even += position.even();
    }
}
