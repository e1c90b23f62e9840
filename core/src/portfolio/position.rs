//! What one instrument's trading holds and made, in its own assets.
//!
//! Owns: [`Position`]. Does not: know the account currency or the mark.
//!
//! **Identity**, to the last unit: after any fills, and at any price, `realized + unrealized - fees` is what the fills
//! changed: quote received minus quote paid and taken as fee, plus base received minus given and taken as fee, valued
//! at that price. Nothing is rounded: when a part of a position closes, its share of the cost is rounded towards zero
//! and the remainder stays in the cost of what is held.

use super::exact::{Exact, Price};
use crate::units::E8;

/// What one instrument's trading holds and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    qty: E8,
    /// What the held quantity cost, signed as the quantity is.
    cost: Exact,
    /// Whether `qty` has no cost yet: it was there at the start, and no price was known since.
    is_unpriced: bool,
    profit: Exact,
    loss: Exact,
    fees: Exact,
    won: u64,
    lost: u64,
    even: u64,
}

impl Position {
    /// How much of the base asset; below zero when less than the baseline is held.
    #[inline]
    pub fn qty(&self) -> E8 {
        self.qty
    }

    /// Average price of what is held, in quote per whole base, rounded down; `None` when nothing is, or when what was
    /// there at the start has no price yet.
    pub fn average_entry(&self) -> Option<E8> {
        if self.qty == E8(0) || self.is_unpriced {
            return None;
        }
        // Exact units over 1e-8 base are half of 1e-8 quote per whole base.
        let doubled = self.cost.0 / i128::from(self.qty.0);
        Some(E8(i64::try_from(doubled / 2).unwrap_or(i64::MAX)))
    }

    /// Gains minus losses of what was closed, before fees, in quote, rounded down.
    pub fn realized(&self) -> E8 {
        (self.profit - self.loss).to_e8()
    }

    /// The gains alone, in quote, rounded down; never falls.
    pub fn realized_profit(&self) -> E8 {
        self.profit.to_e8()
    }

    /// The losses alone, as a positive amount of quote, rounded down; never falls.
    pub fn realized_loss(&self) -> E8 {
        self.loss.to_e8()
    }

    /// Fees taken in base (at the price of their fill) and in quote, in quote, rounded down; never falls.
    pub fn fees(&self) -> E8 {
        self.fees.to_e8()
    }

    /// Fills that reduced the position with a gain before fees. Each ends a round trip of what it closed.
    pub fn won(&self) -> u64 {
        self.won
    }

    /// Fills that reduced the position with a loss before fees.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Fills that reduced the position with neither.
    pub fn even(&self) -> u64 {
        self.even
    }

    /// A position that was there before; it costs what the first price says.
    pub(super) fn held(qty: E8) -> Self {
        Self {
            qty,
            is_unpriced: qty != E8(0),
            ..Self::default()
        }
    }

    /// Gives what was there at the start its cost, if it has none.
    pub(super) fn price(&mut self, price: Price) {
        if std::mem::take(&mut self.is_unpriced) {
            self.cost = Exact::value(self.qty, price);
        }
    }

    /// Takes `change` of the quantity out again, without gain or loss: what was held when nothing else is known
    /// contained it, and it is about to be booked as the fill that it was. What is held keeps its average entry; where
    /// nothing is, or the direction turns, `price` is it.
    pub(super) fn rewind(&mut self, change: E8, price: Price) {
        if self.is_unpriced || self.qty == E8(0) {
            self.qty.0 = self.qty.0.saturating_sub(change.0);
            if !self.is_unpriced {
                self.cost = Exact::value(self.qty, price);
            }
            return;
        }
        let held = self.qty.0.unsigned_abs();
        let is_less = self.qty.0.signum() == change.0.signum();
        let kept = if is_less {
            held.saturating_sub(change.0.unsigned_abs())
        } else {
            held.saturating_add(change.0.unsigned_abs())
        };
        let turned = if is_less {
            change.0.unsigned_abs().saturating_sub(held)
        } else {
            0
        };
        if turned == 0 {
            self.cost = self.cost.share(kept, held);
            self.qty.0 = self.qty.0.signum() * kept as i64;
        } else {
            self.qty.0 = -self.qty.0.signum() * turned as i64;
            self.cost = Exact::value(self.qty, price);
        }
    }

    /// Books a fill of `qty` (above zero for a buy) at `price`, with what of base and quote was taken as its fee.
    pub(super) fn fill(&mut self, qty: E8, price: Price, base_fee: E8, quote_fee: E8) -> Made {
        self.price(price);
        // A fee in base is base given away at the price of the fill: its value is the fee.
        let fee = Exact::value(base_fee, price) + Exact::from_e8(quote_fee);
        self.fees += fee;
        let change = E8(qty.0.saturating_sub(base_fee.0));
        Made {
            realized: self.trade(change, price),
            fee,
        }
    }

    /// What closing at `price` would realize.
    pub(super) fn unrealized(&self, price: Price) -> Exact {
        if self.is_unpriced {
            return Exact::ZERO;
        }
        Exact::value(self.qty, price) - self.cost
    }

    fn trade(&mut self, change: E8, price: Price) -> Exact {
        let is_closing = self.qty.0.signum() * change.0.signum() < 0;
        if !is_closing {
            self.qty.0 = self.qty.0.saturating_add(change.0);
            self.cost += Exact::value(change, price);
            return Exact::ZERO;
        }
        let held = self.qty.0.unsigned_abs();
        let closed = change.0.unsigned_abs().min(held);
        let signed = E8(self.qty.0.signum() * closed as i64);
        let cost = self.cost.share(closed, held);
        let realized = Exact::value(signed, price) - cost;
        self.qty.0 -= signed.0;
        self.cost -= cost;
        match realized.0.signum() {
            1 => {
                self.profit += realized;
                self.won += 1;
            }
            -1 => {
                self.loss -= realized;
                self.lost += 1;
            }
            _ => self.even += 1,
        }
        // What is left of the change opens the other way; there is nothing to close any more.
        let opened = E8(change.0 + signed.0);
        self.qty.0 += opened.0;
        self.cost += Exact::value(opened, price);
        realized
    }
}

/// What a fill made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// Before fees.
    pub(super) realized: Exact,
    /// In base and quote, valued in quote.
    pub(super) fee: Exact,
}

impl Made {
    pub(super) const NOTHING: Self = Self {
        realized: Exact::ZERO,
        fee: Exact::ZERO,
    };
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: E8 = E8(1_000_000);

    fn price(ticks: i64) -> Price {
        Price::new(2 * ticks, TICK)
    }

    /// `(signed qty, price in ticks, base fee, quote fee)`.
    type Trade = (i64, i64, i64, i64);

    fn position(trades: &[Trade]) -> Position {
        let mut position = Position::default();
        for &(qty, ticks, base_fee, quote_fee) in trades {
            let _ = position.fill(E8(qty), price(ticks), E8(base_fee), E8(quote_fee));
        }
        position
    }

    const COIN: i64 = 100_000_000;

    #[test]
    fn reducing_realizes_and_flipping_opens_at_the_price_of_the_fill() {
        // Two at 100.00 and one at 130.00: on average 110.00.
        let mut held = position(&[(2 * COIN, 10_000, 0, 0), (COIN, 13_000, 0, 0)]);
        assert_eq!(held.average_entry(), Some(E8(110 * COIN)));
        assert_eq!(held.unrealized(price(11_500)).to_e8(), E8(15 * COIN));

        // One goes at 120.00.
        let made = held.fill(E8(-COIN), price(12_000), E8(0), E8(COIN / 10));
        assert_eq!(made.realized.to_e8(), E8(10 * COIN));
        assert_eq!(made.fee.to_e8(), E8(COIN / 10));
        assert_eq!(held.average_entry(), Some(E8(110 * COIN)));

        // Five go at 90.00: two close with a loss of 20 each, three are short at 90.00.
        let made = held.fill(E8(-5 * COIN), price(9_000), E8(0), E8(0));
        assert_eq!(made.realized.to_e8(), E8(-40 * COIN));
        assert_eq!(held.qty(), E8(-3 * COIN));
        assert_eq!(held.average_entry(), Some(E8(90 * COIN)));
        assert_eq!(held.realized(), E8(-30 * COIN));
        assert_eq!(held.realized_profit(), E8(10 * COIN));
        assert_eq!(held.realized_loss(), E8(40 * COIN));
        assert_eq!(held.fees(), E8(COIN / 10));
        assert_eq!(held.unrealized(price(8_000)).to_e8(), E8(30 * COIN));

        // The short is bought back without gain.
        let _ = held.fill(E8(3 * COIN), price(9_000), E8(0), E8(0));
        assert_eq!((held.qty(), held.average_entry()), (E8(0), None));
        assert_eq!((held.won(), held.lost(), held.even()), (1, 1, 1));
    }

    #[test]
    fn a_fee_in_base_makes_the_position_smaller_and_is_worth_its_price() {
        let held = position(&[(COIN, 10_000, COIN / 1_000, 0)]);
        assert_eq!(held.qty(), E8(COIN - COIN / 1_000));
        assert_eq!(held.average_entry(), Some(E8(100 * COIN)));
        assert_eq!(held.fees(), E8(COIN / 10));
        // Selling pays it out of the base beside what is sold.
        let held = position(&[(-COIN, 10_000, COIN / 1_000, 0)]);
        assert_eq!(held.qty(), E8(-COIN - COIN / 1_000));
        assert_eq!(held.fees(), E8(COIN / 10));
    }

    #[test]
    fn what_was_there_costs_the_first_price() {
        let mut held = Position::held(E8(5 * COIN));
        assert_eq!(held.average_entry(), None);
        assert_eq!(held.unrealized(price(10_000)), Exact::ZERO);
        held.price(price(10_000));
        held.price(price(20_000));
        assert_eq!(held.average_entry(), Some(E8(100 * COIN)));
        assert_eq!(held.unrealized(price(10_100)).to_e8(), E8(5 * COIN));

        // A fill before any mark is the first price.
        let mut held = Position::held(E8(5 * COIN));
        let _ = held.fill(E8(-COIN), price(10_000), E8(0), E8(0));
        assert_eq!(held.average_entry(), Some(E8(100 * COIN)));
        assert_eq!(held.realized(), E8(0));
    }

    #[test]
    fn what_is_taken_out_leaves_the_average_entry() {
        let cases = [
            // Held, taken out; what is left, and its entry.
            (2 * COIN, COIN, COIN, 100),
            (2 * COIN, -COIN, 3 * COIN, 100),
            (2 * COIN, 3 * COIN, -COIN, 70),
            (-2 * COIN, COIN, -3 * COIN, 100),
            (-2 * COIN, -3 * COIN, COIN, 70),
        ];
        for (before, change, after, entry) in cases {
            let mut held = position(&[(before, 10_000, 0, 0)]);
            held.rewind(E8(change), price(7_000));
            assert_eq!(held.qty(), E8(after));
            assert_eq!(held.average_entry(), Some(E8(entry * COIN)));
            assert_eq!(held.realized(), E8(0));
            let mut gone = position(&[(before, 10_000, 0, 0)]);
            gone.rewind(E8(before), price(7_000));
            assert_eq!((gone.qty(), gone.average_entry()), (E8(0), None));
        }
        // Nothing was held: it enters at the price of the fill that follows.
        let mut held = Position::default();
        held.rewind(E8(COIN), price(7_000));
        let made = held.fill(E8(COIN), price(7_000), E8(0), E8(0));
        assert_eq!((held.qty(), made.realized), (E8(0), Exact::ZERO));
        // What has no price yet gets none.
        let mut held = Position::held(E8(COIN));
        held.rewind(E8(3 * COIN), price(7_000));
        assert_eq!((held.qty(), held.average_entry()), (E8(-2 * COIN), None));
    }

    prop_compose! {
        pub(in crate::portfolio) fn trade()(
            qty in prop_oneof![1i64..=9, 1i64..=1_000_000_000_000],
            is_sell in any::<bool>(),
            ticks in 1i64..=100_000_000,
            base_fee in prop_oneof![Just(0i64), 0i64..=2_000_000],
            quote_fee in prop_oneof![Just(0i64), 0i64..=2_000_000],
        ) -> Trade {
            (if is_sell { -qty } else { qty }, ticks, base_fee, quote_fee)
        }
    }

    proptest! {
        /// The identity of the module's text.
        #[test]
        fn no_money_is_made_or_lost_by_rounding(
            trades in proptest::collection::vec(trade(), 1..60),
            half_ticks in 1i64..=200_000_000,
        ) {
            let mark = Price::new(half_ticks, TICK);
            let (mut held, mut base, mut quote) = (Position::default(), 0i128, 0i128);
            let (mut profit, mut loss) = (E8(0), E8(0));
            for (qty, ticks, base_fee, quote_fee) in trades {
                let made = held.fill(E8(qty), price(ticks), E8(base_fee), E8(quote_fee));
                base += i128::from(qty) - i128::from(base_fee);
                let paid = i128::from(qty) * i128::from(ticks) * 2 * i128::from(TICK.0);
                quote -= paid + i128::from(quote_fee) * 200_000_000;
                prop_assert_eq!(i128::from(held.qty.0), base);
                prop_assert!(held.qty.0.signum() * (held.cost.0.signum() as i64) >= 0);
                prop_assert!(held.qty != E8(0) || held.cost == Exact::ZERO);

                let worth = quote + base * i128::from(half_ticks) * i128::from(TICK.0);
                let made_so_far = held.profit - held.loss + held.unrealized(mark) - held.fees;
                prop_assert_eq!(made_so_far.0, worth);

                prop_assert!(held.realized_profit() >= profit && held.realized_loss() >= loss);
                (profit, loss) = (held.realized_profit(), held.realized_loss());
                prop_assert!(made.fee >= Exact::ZERO);
            }
        }
    }
}
