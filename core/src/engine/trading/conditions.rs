//! What risk is told of the moment.
//!
//! Owns: the gathering of [`Conditions`] from books, orders, account, links and budgets. Does not: judge.
//! Invariants: everything open counts in full; an order that is to be replaced does not count beside its
//! replacement, because the venue takes that only when the old one is gone and nothing of it traded; exposures are those of the last
//! mark, fill and order change.

use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::order::{ClientId, OrderId, Side};
use crate::risk::{Conditions, OpenOrders, Ratio, Touch, worst_position};
use crate::strategy::Strategy;
use crate::telemetry::records::TradingPhase;
use crate::units::{E8, E8_ONE, Lots};
use crate::venue::binance::order_entry::RequestKind;
use crate::venue::binance::resync::SyncState;

use super::{Desk, Stopwatch, Trading};
use crate::engine::brain::Market;

/// Base and quote of an instrument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) base: AssetIndex,
    pub(super) quote: AssetIndex,
    /// 1e-8 units of base in one lot.
    pub(super) lot_e8: i64,
    /// 1e-8 units of quote in one tick for one whole unit of base.
    pub(super) tick_e8: i64,
}

impl Pair {
    /// Base of so many lots.
    fn base_e8(&self, lots: i128) -> i128 {
        lots * i128::from(self.lot_e8)
    }

    /// Quote of so many ticks x lots, rounded up.
    fn quote_e8(&self, ticks_lots: i128) -> i128 {
        per_one_up(ticks_lots * i128::from(self.tick_e8) * i128::from(self.lot_e8))
    }
}

/// A product of two amounts in 1e-8 as one, rounded up.
#[inline]
fn per_one_up(product: i128) -> i128 {
    const ONE: u64 = E8_ONE as u64;
    let (high, low) = ((product >> 64) as u64, product as u64);
    if high >= ONE {
        // Below zero, or more than 64 bits hold.
        return per_one_up_wide(product);
    }
    // Long division by a constant, in halves of a word: a division of 128 bits is a call that knows no constant.
    let step = |rest: u64, half: u64| {
        let part = rest << 32 | half;
        (part / ONE, part % ONE)
    };
    let (upper, rest) = step(high, low >> 32);
    let (lower, rest) = step(rest, low & 0xFFFF_FFFF);
    i128::from(upper << 32 | lower) + i128::from(rest != 0)
}

#[cold]
fn per_one_up_wide(product: i128) -> i128 {
    let one = i128::from(E8_ONE);
    product.div_euclid(one) + i128::from(product.rem_euclid(one) != 0)
}

/// Weight of a new order that fails; one that succeeds is free.
const PLACE_WEIGHT: u32 = 1;

/// As an amount, at the end of its range where it would leave it: more than anybody has.
fn amount(e8: i128) -> E8 {
    E8(i64::try_from(e8).unwrap_or(i64::MAX))
}

impl<T: Strategy> Trading<T> {
    /// Values everything at the touch of a live book.
    #[inline]
    pub(in crate::engine) fn mark(
        &mut self,
        index: InstrumentIndex,
        touch: crate::telemetry::gauges::Touch,
    ) {
        if let (Some((bid, _)), Some((ask, _))) = (touch.bid, touch.ask) {
            // A touch whose middle stays where it was changes no worth.
            if self.portfolio.mark(index, bid, ask) {
                self.refresh_exposure(index);
            }
        }
    }

    /// Follows what one instrument's position and open orders may come to, in the account currency.
    pub(super) fn refresh_exposure(&mut self, index: InstrumentIndex) {
        let pair = self.pairs[index.as_usize()];
        let totals = self.oms.totals(index);
        let worst = worst_position(
            self.portfolio.position(index).qty(),
            amount(pair.base_e8(totals.buy_remaining_lots)),
            amount(pair.base_e8(totals.sell_remaining_lots)),
        );
        let held = self.exposures[index.as_usize()];
        let exposure = if worst == E8(0) {
            if held == Some(E8(0)) {
                return;
            }
            Some(E8(0))
        } else {
            self.portfolio.in_account_currency(pair.base, worst)
        };
        let known = |exposure: Option<E8>| i128::from(exposure.unwrap_or_default().0);
        self.gross_exposure += known(exposure) - known(held);
        self.unknown_exposures += u32::from(exposure.is_none());
        self.unknown_exposures -= u32::from(held.is_none());
        self.exposures[index.as_usize()] = exposure;
    }

    /// What open orders, without those `left_out`, need of an asset.
    fn reserved(&self, asset: AssetIndex, left_out: &[OrderId], markets: &[Market]) -> E8 {
        if self.oms.open_count() == 0 {
            return E8(0);
        }
        let mut sum = 0i128;
        for (position, pair) in self.pairs.iter().enumerate() {
            let totals = self.oms.totals(InstrumentIndex(position as u16));
            if totals.open_count == 0 {
                continue;
            }
            if pair.quote == asset {
                let ask = markets[position].touch.ask.map_or(0, |(price, _)| price.0);
                let unpriced = totals.buy_unpriced_lots * i128::from(ask);
                sum += pair.quote_e8(totals.buy_notional + unpriced);
            }
            if pair.base == asset {
                sum += pair.base_e8(totals.sell_remaining_lots);
            }
        }
        for order in left_out.iter().filter_map(|id| self.oms.order(*id)) {
            let pair = &self.pairs[order.instrument().as_usize()];
            let lots = i128::from(order.remaining().0);
            match order.side() {
                Side::Buy if pair.quote == asset => {
                    sum -= pair.quote_e8(lots * i128::from(order.price().0));
                }
                Side::Sell if pair.base == asset => sum -= pair.base_e8(lots),
                Side::Buy | Side::Sell => {}
            }
        }
        amount(sum.max(0))
    }

    /// The open orders of one side, without those `left_out`.
    fn open_orders(&self, index: InstrumentIndex, side: Side, left_out: &[OrderId]) -> OpenOrders {
        let totals = self.oms.totals(index);
        let (mut remaining, mut count, best_price) = match side {
            Side::Buy => (totals.buy_remaining_lots, totals.buy_count, totals.best_bid),
            Side::Sell => (
                totals.sell_remaining_lots,
                totals.open_count - totals.buy_count,
                totals.best_ask,
            ),
        };
        for order in left_out.iter().filter_map(|id| self.oms.order(*id)) {
            if order.side() == side {
                remaining -= i128::from(order.remaining().0);
                count -= 1;
            }
        }
        OpenOrders {
            remaining: Lots(i64::try_from(remaining).unwrap_or(i64::MAX)),
            count,
            best_price,
        }
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// The conditions for an order of an instrument. What is `left_out` is open, and none of it counts: it is the order
    /// itself, or goes before the order comes.
    pub(super) fn conditions(
        &self,
        index: InstrumentIndex,
        client_id: Option<&ClientId>,
        left_out: &[OrderId],
    ) -> Conditions {
        let trading = &*self.trading;
        let market = &self.markets[index.as_usize()];
        let pair = trading.pairs[index.as_usize()];
        let link = self.session.orders();
        let one_quote = if trading.portfolio.is_account_currency(pair.quote) {
            Some(Ratio::ONE)
        } else {
            let worth = trading
                .portfolio
                .in_account_currency(pair.quote, E8(E8_ONE));
            worth.and_then(|worth| Ratio::new(worth.0, E8_ONE))
        };
        Conditions {
            ready: trading.phase == TradingPhase::Ready && one_quote.is_some(),
            backlog: self.backlog,
            link_backpressure: link.is_none_or(|link| trading.blocked.contains(&link))
                || !trading.requests.has_room(),
            duplicate_client_id: client_id
                .is_some_and(|client_id| trading.oms.find_client(client_id).is_some()),
            venue_budget_ready: self.budget_takes(RequestKind::Place, PLACE_WEIGHT),
            clock_offset_ns: self.clocks.offset_ns,
            touch: (market.sync.state() == SyncState::Live).then(|| Touch {
                bid: market.touch.bid.map(|(price, _)| price),
                ask: market.touch.ask.map(|(price, _)| price),
                updated_at: market.updated_at,
            }),
            position: trading.portfolio.position(index).qty(),
            open_buys: trading.open_orders(index, Side::Buy, left_out),
            open_sells: trading.open_orders(index, Side::Sell, left_out),
            counts_twice: {
                let totals = trading.oms.totals(index);
                totals.replacing_count > 0 || totals.unresolved_count > 0
            },
            open_orders_total: trading.oms.open_count() as u32 - left_out.len() as u32,
            available_base: trading.portfolio.available(
                pair.base,
                trading.reserved(pair.base, left_out, self.markets),
            ),
            available_quote: trading.portfolio.available(
                pair.quote,
                trading.reserved(pair.quote, left_out, self.markets),
            ),
            equity: trading.portfolio.equity().unwrap_or_default(),
            gross_exposure: (trading.unknown_exposures == 0)
                .then(|| amount(trading.gross_exposure)),
            instrument_exposure: trading.exposures[index.as_usize()].unwrap_or_default(),
            quote_to_account: one_quote.unwrap_or(Ratio::ONE),
            // A day that has not begun begins with the equity of now.
            day_change: trading
                .portfolio
                .day_change()
                .or_else(|| trading.portfolio.equity().map(|_| E8(0))),
            drawdown_bps: trading.portfolio.drawdown_bps(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn amounts_are_those_of_a_wide_division(product: i128, shift in 0u32..128) {
            let product = product >> shift;
            prop_assert_eq!(per_one_up(product), per_one_up_wide(product));
        }
    }

    #[test]
    fn amounts_are_rounded_up_at_both_ends_of_a_word() {
        let one = i128::from(E8_ONE);
        for product in [
            0,
            1,
            one - 1,
            one,
            one + 1,
            one << 64,
            (one << 64) - 1,
            (one << 64) + 1,
            -1,
            -one,
        ] {
            assert_eq!(per_one_up(product), per_one_up_wide(product), "{product}");
        }
    }
}
