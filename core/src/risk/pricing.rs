//! One order by itself: what it is worth, and what the venue's rules and our limits on single orders
//! say.
//!
//! Owns: [`Market`], [`Priced`], and the checks that need nothing of the account. Invariant: an order
//! that [`check_order`] let through is worth at most what an [`E8`] holds.

use super::Rejection;
use super::admission::PerInstrument;
use super::conditions::Touch;
use crate::instrument::{Bounds, Instrument};
use crate::order::{Intent, OrderKind};
use crate::units::{E8, E8_ONE, Grid, Lots, Ticks};

/// Basis points of one.
const BPS_ONE: i64 = 10_000;

/// Largest notional that is looked at, in 1e-16 units: what an [`E8`] holds.
pub(super) const NOTIONAL_E16_MAX: i128 = i64::MAX as i128 * E8_ONE as i128;

/// A step of quantities, prepared for division.
#[derive(Clone, Copy)]
pub(super) struct Step {
    size: i64,
    grid: Grid,
}

impl Step {
    pub(super) fn new(size: i64) -> Self {
        Self {
            size,
            grid: Grid::new(E8(size)).expect("an instrument's steps are at least 1"),
        }
    }

    /// Whether a positive quantity is a multiple of `size`. Prepares itself when the instrument's step
    /// changed.
    #[inline]
    fn divides(&mut self, size: Lots, qty: Lots) -> bool {
        if self.size != size.0 {
            *self = Self::new(size.0);
        }
        self.grid.divide_exact(E8(qty.0)).is_some()
    }
}

/// What the live book says to an intent.
#[derive(Clone, Copy)]
pub(super) struct Market {
    /// The limit price, or the touch that a market order meets.
    pub(super) price: Ticks,
    /// Twice the mark, positive.
    pub(super) twice_mark: i64,
}

/// An intent in money and base units.
#[derive(Clone, Copy)]
pub(super) struct Priced {
    /// The limit price, or the touch that a market order meets; below [`PRICE_END`].
    pub(super) price: Ticks,
    /// The farthest price that it is thought to reach: the same, for market orders a collar beyond the
    /// touch.
    pub(super) reach: Ticks,
    /// Twice the higher of both, in ticks.
    pub(super) twice_dearest: i64,
    /// Quantity in the base asset, positive.
    pub(super) qty_e8: i64,
    /// The higher of both prices x quantity, 1e-16 of quote.
    pub(super) notional_e16: i128,
}

/// The first price, in ticks, whose double leaves 64 bits; no venue's bounds come near it.
const PRICE_END: i64 = 1 << 62;

/// Twice the mark in ticks, positive: the sum of both best prices, or twice the only one.
#[inline]
pub(super) fn twice_mark(touch: Touch) -> Option<i64> {
    let (bid, ask) = match (touch.bid, touch.ask) {
        (Some(bid), Some(ask)) => (bid, ask),
        (Some(only), None) | (None, Some(only)) => (only, only),
        (None, None) => return None,
    };
    bid.0.checked_add(ask.0).filter(|sum| *sum > 0)
}

#[inline]
fn is_within<T: PartialOrd>(bounds: &Bounds<T>, value: &T) -> bool {
    bounds.min.as_ref().is_none_or(|min| value >= min)
        && bounds.max.as_ref().is_none_or(|max| value <= max)
}

/// The quantity in 1e-8 of the base asset, when the venue takes it.
#[inline]
pub(super) fn check_qty(
    own: &mut PerInstrument,
    intent: &Intent,
    instrument: &Instrument,
) -> Result<E8, Rejection> {
    let rules = &instrument.order_rules;
    let is_market = match intent.kind {
        OrderKind::Market => true,
        OrderKind::Limit | OrderKind::LimitMaker => false,
    };
    let legal = intent.qty > Lots::ZERO
        && own.step.divides(rules.qty_step, intent.qty)
        && is_within(&instrument.qty_bounds, &intent.qty)
        && (!is_market
            || (own.market_step.divides(rules.market_qty_step, intent.qty)
                && is_within(&rules.market_qty_bounds, &intent.qty)));
    legal
        .then(|| instrument.lot.value(intent.qty.0))
        .flatten()
        .ok_or(Rejection::BadQuantity)
}

/// Prices an intent: limit orders at their price, market orders at the touch that they meet.
#[inline]
pub(super) fn price(
    own: &PerInstrument,
    intent: &Intent,
    instrument: &Instrument,
    market: Market,
    qty: E8,
) -> Result<Priced, Rejection> {
    let price = market.price;
    let reach = match intent.kind {
        OrderKind::Limit | OrderKind::LimitMaker => {
            if price <= Ticks(0) || !is_within(&instrument.price_bounds, &price) {
                return Err(Rejection::BadPrice);
            }
            price
        }
        OrderKind::Market => {
            if intent.price != Ticks(0) {
                return Err(Rejection::BadPrice);
            }
            let collar = collar(price, own.limits.price_collar_bps.unwrap_or(0));
            Ticks(price.0.saturating_add(intent.side.sign() * collar))
        }
    };
    let dearest = price.max(reach);
    if dearest.0 >= PRICE_END {
        return Err(Rejection::BadPrice);
    }
    let dearest_e8 = instrument
        .tick
        .value(dearest.0)
        .ok_or(Rejection::BadPrice)?;
    Ok(Priced {
        price,
        reach,
        twice_dearest: 2 * dearest.0,
        qty_e8: qty.0,
        notional_e16: i128::from(dearest_e8.0) * i128::from(qty.0),
    })
}

/// So many basis points of a price in ticks, rounded up.
#[inline]
fn collar(price: Ticks, collar_bps: u32) -> i64 {
    let product = price.0.saturating_mul(collar_bps.into());
    product.saturating_add(BPS_ONE - 1) / BPS_ONE
}

/// The bounds of one order by itself: the venue's and ours.
#[inline]
pub(super) fn check_order(
    own: &PerInstrument,
    intent: &Intent,
    instrument: &Instrument,
    priced: &Priced,
) -> Result<(), Rejection> {
    let rules = &instrument.order_rules;
    let (min_binds, max_binds, least_e16) = match intent.kind {
        OrderKind::Limit | OrderKind::LimitMaker => (true, true, priced.notional_e16),
        OrderKind::Market => {
            // Without the collar: that is an allowance, not what the order is worth. A price whose
            // higher one fits 64 bits fits too.
            let price_e8 = priced.price.0 * instrument.tick.unit().0;
            let least_e16 = i128::from(price_e8) * i128::from(priced.qty_e8);
            (
                rules.notional_min_market,
                rules.notional_max_market,
                least_e16,
            )
        }
    };
    if min_binds
        && instrument
            .notional_min
            .is_some_and(|min| least_e16 < e16(min))
    {
        return Err(Rejection::MinNotional);
    }
    if intent.qty.0 > own.bounds.order_qty {
        return Err(Rejection::MaxOrderQty);
    }
    if priced.notional_e16 > own.bounds.order_notional_e16
        || (max_binds
            && instrument
                .notional_max
                .is_some_and(|max| priced.notional_e16 > e16(max)))
    {
        return Err(Rejection::MaxOrderNotional);
    }
    Ok(())
}

/// Whether a price is within the collar around the mark.
#[inline]
pub(super) fn is_within_collar(own: &PerInstrument, priced: &Priced, market: Market) -> bool {
    let off = (2 * priced.price.0).abs_diff(market.twice_mark);
    u128::from(off) * u128::from(BPS_ONE.unsigned_abs())
        <= u128::from(market.twice_mark.unsigned_abs()) * u128::from(own.bounds.collar_bps)
}

/// An amount in 1e-16 units.
#[inline]
pub(super) fn e16(amount: E8) -> i128 {
    i128::from(amount.0) * i128::from(E8_ONE)
}
