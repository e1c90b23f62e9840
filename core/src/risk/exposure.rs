//! What an order does to the position and to exposure.
//!
//! Owns: the sums over what is open. Everything is exact; see [`worst_position`] for the measure of
//! exposure.

use super::conditions::{Conditions, OpenOrders, worst_position};
use super::pricing::{Market, NOTIONAL_E16_MAX, Priced};
use crate::instrument::Instrument;
use crate::order::Side;

/// What orders of one side may still fill, in 1e-8 of the base asset.
#[inline]
pub(super) fn remaining_e8(orders: &OpenOrders, instrument: &Instrument) -> i128 {
    i128::from(orders.remaining.0) * i128::from(instrument.lot.unit().0)
}

/// The position in the order's direction once it and everything open on its side has filled, in 1e-8 of
/// base: positive when it is long after a buy or short after a sell.
#[inline]
pub(super) fn position_after(
    side: Side,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
) -> i128 {
    let (open, position) = match side {
        Side::Buy => (&conditions.open_buys, i128::from(conditions.position.0)),
        Side::Sell => (&conditions.open_sells, -i128::from(conditions.position.0)),
    };
    position + remaining_e8(open, instrument) + i128::from(priced.qty_e8)
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

/// How much larger the order makes the instrument's exposure, in 1e-16 of the account currency: the
/// growth of the worst position, valued at the mark or the order's highest price, whichever is more.
/// `None` when that leaves the range of amounts.
#[inline]
pub(super) fn added_exposure(
    side: Side,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
    market: Market,
) -> Option<i128> {
    let buys = remaining_e8(&conditions.open_buys, instrument);
    let sells = remaining_e8(&conditions.open_sells, instrument);
    let before = worst_position(conditions.position, buys, sells);
    let qty = i128::from(priced.qty_e8);
    let after = match side {
        Side::Buy => worst_position(conditions.position, buys + qty, sells),
        Side::Sell => worst_position(conditions.position, buys, sells + qty),
    };
    let twice_price =
        (2 * i128::from(priced.price.max(priced.reach).0)).max(i128::from(market.twice_mark));
    let twice_price_e8 = twice_price * i128::from(instrument.tick.unit().0);
    // Growth is at most the quantity, below 2^63, and prices below 2^64 in E8.
    if twice_price_e8 >= 1 << 64 {
        return None;
    }
    let value_e16 = ((after - before) * twice_price_e8 + 1) / 2;
    if value_e16 > NOTIONAL_E16_MAX {
        return None;
    }
    let value_e16 = conditions.quote_to_account.convert_up(value_e16);
    (value_e16 <= NOTIONAL_E16_MAX).then_some(value_e16)
}
