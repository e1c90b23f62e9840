//! What an order does to the position and to exposure.
//!
//! Owns: the sums over what is open, in 1e-8 units of the base asset. A sum that would leave 64 bits
//! stays at their end, which is beyond every limit. See [`worst_position`] for the measure of exposure.

use super::conditions::{Conditions, OpenOrders, worst_position};
use super::pricing::{Market, NOTIONAL_E16_MAX, Priced};
use crate::instrument::Instrument;
use crate::order::Side;
use crate::units::E8;

/// What orders of one side may still fill.
#[inline]
pub(super) fn remaining(orders: &OpenOrders, instrument: &Instrument) -> E8 {
    E8(orders.remaining.0.saturating_mul(instrument.lot.unit().0))
}

/// The position in the order's direction once it and everything open on its side has filled: positive
/// when it is long after a buy or short after a sell.
#[inline]
pub(super) fn position_after(
    side: Side,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
) -> i64 {
    let (open, position) = match side {
        Side::Buy => (&conditions.open_buys, conditions.position.0),
        Side::Sell => (
            &conditions.open_sells,
            conditions.position.0.saturating_neg(),
        ),
    };
    let open = remaining(open, instrument).0.saturating_add(priced.qty_e8);
    position.saturating_add(open)
}

/// Whether the order can only make the position smaller: it goes against it and, with everything open on
/// its side, at most to zero.
#[inline]
pub(super) fn reduces(
    side: Side,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
) -> bool {
    position_after(side, instrument, conditions, priced) <= 0
}

/// How much larger the order makes the instrument's exposure, in 0.5e-16 of the account currency: the
/// growth of the worst position, valued at the mark or the order's highest price, whichever is more.
/// `None` when that is more than an [`E8`] of the account currency holds.
#[inline]
pub(super) fn added_exposure_twice_e16(
    side: Side,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
    market: Market,
) -> Option<i128> {
    let buys = remaining(&conditions.open_buys, instrument);
    let sells = remaining(&conditions.open_sells, instrument);
    let before = worst_position(conditions.position, buys, sells);
    let more = |open: E8| E8(open.0.saturating_add(priced.qty_e8));
    let after = match side {
        Side::Buy => worst_position(conditions.position, more(buys), sells),
        Side::Sell => worst_position(conditions.position, buys, more(sells)),
    };
    if after.0 == i64::MAX {
        return None;
    }
    let growth = after.0 - before.0;
    if growth == 0 {
        return Some(0);
    }
    let twice_price = priced.twice_dearest.max(market.twice_mark);
    let twice_price_e8 = twice_price.checked_mul(instrument.tick.unit().0)?;
    let twice_e16 = i128::from(growth) * i128::from(twice_price_e8);
    if twice_e16 > 2 * NOTIONAL_E16_MAX {
        return None;
    }
    let twice_e16 = conditions.quote_to_account.convert_up(twice_e16);
    (twice_e16 <= 2 * NOTIONAL_E16_MAX).then_some(twice_e16)
}
