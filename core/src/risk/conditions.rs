//! What risk is told of the moment in which an intent comes.
//!
//! Owns: [`Conditions`] and its parts, plain values. Does not: gather them; the engine fills them from
//! books, orders, account and links, and nothing here remembers the last ones.
//!
//! Invariant of whoever fills them: an order counts from `Admitted` to `Done`, unresolved ones in full.

use crate::units::{E8, Lots, Nanos, Ticks};

/// The best prices of a live book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Highest bid, if there is a bid.
    pub bid: Option<Ticks>,
    /// Lowest ask, if there is an ask.
    pub ask: Option<Ticks>,
    /// When the book's last update was received.
    pub updated_at: Nanos,
}

/// Open orders of one instrument and side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOrders {
    /// What they may still fill, all together; not negative.
    pub remaining: Lots,
    /// How many they are.
    pub count: u32,
    /// The best price among those that rest or may rest: highest to buy, lowest to sell. `None` when
    /// there are none; market orders do not count here.
    pub best_price: Option<Ticks>,
}

/// What one unit of the quote asset is worth in the account currency: `account = quote * numerator /
/// denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: i64,
    denominator: i64,
}

/// Largest term of a [`Ratio`]: with it, no product of [`super::Risk::admit`] leaves 128 bits.
const RATIO_TERM_MAX: i64 = 1 << 36;

impl Ratio {
    /// The quote asset is the account currency.
    pub const ONE: Self = Self {
        numerator: 1,
        denominator: 1,
    };

    /// A ratio of two numbers of `[1, i64::MAX]`, for example of a price in 1e-8 units and
    /// [`crate::units::E8_ONE`]; `None` outside. Terms above 2^36 are both halved until they fit,
    /// upwards for the numerator and downwards for the denominator, so that nothing is valued below its
    /// worth.
    pub const fn new(numerator: i64, denominator: i64) -> Option<Self> {
        if numerator <= 0 || denominator <= 0 {
            return None;
        }
        let (mut numerator, mut denominator) = (numerator, denominator);
        while numerator > RATIO_TERM_MAX || denominator > RATIO_TERM_MAX {
            numerator = numerator / 2 + numerator % 2;
            denominator /= 2;
            if denominator == 0 {
                return None;
            }
        }
        Some(Self {
            numerator,
            denominator,
        })
    }

    /// An amount of quote, not negative and below 2^91, in the account currency in the same unit,
    /// rounded up. Divides only where the two currencies differ.
    #[inline]
    pub(super) const fn convert_up(self, amount: i128) -> i128 {
        if self.numerator == self.denominator {
            return amount;
        }
        let product = amount * self.numerator as i128;
        let quotient = product / self.denominator as i128;
        quotient + (quotient * (self.denominator as i128) < product) as i128
    }
}

/// Everything that decides about an intent and is neither in it nor a limit. Amounts of the account are
/// in 1e-8 units of the account currency where no other asset is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of one moment, each with a rule of its own"
)]
pub struct Conditions {
    /// Whether the engine has reconciled with the venue and is not stopping.
    pub ready: bool,
    /// Whether the records ring is above its high-water mark.
    pub backlog: bool,
    /// Whether the order link is missing, has unsent bytes, or has as many unanswered requests as it
    /// may.
    pub link_backpressure: bool,
    /// Whether an order with the intent's client id exists already.
    pub duplicate_client_id: bool,
    /// Whether the venue's request and order budgets have room for one more order.
    pub venue_budget_ready: bool,
    /// Venue's clock minus ours in nanoseconds; `None` before it was measured.
    pub clock_offset_ns: Option<i64>,
    /// The instrument's best prices; `None` while its book is not live.
    pub touch: Option<Touch>,
    /// Position in the base asset: balance minus baseline.
    pub position: E8,
    /// Orders that may still buy.
    pub open_buys: OpenOrders,
    /// Orders that may still sell.
    pub open_sells: OpenOrders,
    /// Whether an order of the instrument and its replacement may both be among the open ones, of which only one can
    /// fill: what is open may be more than what can come.
    pub counts_twice: bool,
    /// Open orders of all instruments.
    pub open_orders_total: u32,
    /// What may be sold: free base asset, less what admitted orders need that the venue has not locked
    /// yet.
    pub available_base: E8,
    /// What may be spent: free quote asset, less what admitted orders need that the venue has not locked
    /// yet.
    pub available_quote: E8,
    /// Equity.
    pub equity: E8,
    /// Sum of all instruments' exposures, each rounded up; see [`worst_position`]. `None` while one of them has no mark: an
    /// order is refused by a limit that it might pass.
    pub gross_exposure: Option<E8>,
    /// This instrument's part of it, zero while it has none.
    pub instrument_exposure: E8,
    /// What the quote asset is worth.
    pub quote_to_account: Ratio,
    /// Equity minus equity at the venue's midnight (UTC), deposits and withdrawals taken out; `None` while it is not known.
    pub day_change: Option<E8>,
    /// Fall of equity from its peak, in basis points of the peak; `None` while it is not known.
    pub drawdown_bps: Option<u32>,
}

/// The largest position, either way and without its sign, that an instrument can come to when any of its
/// open orders fill: the larger of `|position + buys|` and `|position - sells|`. [`i64::MAX`] stands for
/// it and for everything above.
///
/// Times the mark this is the exposure of an instrument, for [`Conditions::gross_exposure`] and for
/// every limit on it.
#[inline]
pub const fn worst_position(position: E8, open_buys: E8, open_sells: E8) -> E8 {
    let long = position.0.saturating_add(open_buys.0).saturating_abs();
    let short = position.0.saturating_sub(open_sells.0).saturating_abs();
    E8(if long > short { long } else { short })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_never_values_anything_below_its_worth() {
        assert_eq!(Ratio::new(0, 1), None);
        assert_eq!(Ratio::new(1, 0), None);
        assert_eq!(Ratio::new(-1, 1), None);
        assert_eq!(Ratio::new(i64::MAX, 1), None);
        let third = Ratio::new(1, 3).expect("positive");
        assert_eq!(third.convert_up(3), 1);
        assert_eq!(third.convert_up(4), 2);
        assert_eq!(Ratio::ONE.convert_up(7), 7);
        let odd = Ratio::new((1 << 40) + 1, (1 << 40) - 1).expect("positive");
        assert!(odd.numerator <= RATIO_TERM_MAX);
        assert!(odd.convert_up(1 << 60) > 1 << 60);
    }

    #[test]
    fn the_worst_position_is_the_farther_end() {
        let worst = |position, buys, sells| worst_position(E8(position), E8(buys), E8(sells)).0;
        assert_eq!(worst(10, 5, 3), 15);
        assert_eq!(worst(-10, 5, 3), 13);
        assert_eq!(worst(2, 0, 7), 5);
        assert_eq!(worst(i64::MAX, i64::MAX, 0), i64::MAX);
        assert_eq!(worst(i64::MIN, 0, 0), i64::MAX);
    }
}
