//! The public flow as resting orders meet it.
//!
//! Owns: fills by the public, and everything that follows published events. Does not: number or
//! change what is published.
//!
//! The quantity of the flow is what it was, our orders or not, so nothing fills by more:
//! - A print at an order's price eats the queue ahead of it first, then the order ([`queue`]).
//! - A print at a worse price means that the aggressor went through: orders at better prices get
//!   the print's quantity first, in price-time order, at their own prices.
//! - Public orders that the book shows at or through an order's price would have met it: they
//!   fill it at its own price, each quantity once ([`taken`]).
//!
//! While a symbol does not trade, nothing fills; its levels are followed.
//!
//! [`queue`]: super::queue
//! [`taken`]: super::taken

use veloz_core::units::E8;

use super::frames::{Seen, Touch, seen};
use super::order::OrderSide;
use super::resting::reaches;
use super::settlement::{OpenOrder, Part};
use super::symbol::Shown;
use super::{Exchange, Liquidity, SymbolStatus};
use crate::venue::source::{Level, MarketEvent, SymbolIndex};

impl Exchange {
    pub(super) fn take_in(
        &mut self,
        symbol: SymbolIndex,
        event: &MarketEvent,
        book: &dyn Liquidity,
    ) {
        match seen(event) {
            None => {}
            Some(Seen::Trade {
                price,
                qty,
                buyer_is_maker,
            }) => {
                self.markets[symbol.0].last_price = Some(price);
                let side = if buyer_is_maker {
                    OrderSide::Buy
                } else {
                    OrderSide::Sell
                };
                self.print(symbol, side, Level { price, qty });
            }
            Some(Seen::Touch(touch)) => self.touched(symbol, touch),
            Some(Seen::Diff {
                last_id,
                bids,
                asks,
            }) => {
                let market = &mut self.markets[symbol.0];
                // The slow stream repeats the fast one.
                if last_id <= market.last_diff_id {
                    return;
                }
                market.last_diff_id = last_id;
                market.levels_changed(OrderSide::Buy, &bids);
                market.levels_changed(OrderSide::Sell, &asks);
                self.cross_book(symbol, book);
            }
        }
        self.finish();
    }

    /// A public trade against orders of `side`.
    fn print(&mut self, symbol: SymbolIndex, side: OrderSide, print: Level) {
        if self.rules(symbol).status != SymbolStatus::Trading {
            return;
        }
        let market = &mut self.markets[symbol.0];
        let mut left = print.qty.0;
        let mut passed = 0;
        let mut fills = Vec::new();
        for resting in market.resting.iter_mut(side) {
            let reached = reaches(side.opposite(), Some(print.price), resting.price);
            if !reached {
                break;
            }
            if resting.price == print.price {
                resting.queue.printed(print.qty);
                let ahead = resting.queue.ahead().0;
                let first = (ahead - passed).clamp(0, left);
                passed += first;
                left -= first;
                resting.queue.advance(E8(passed));
            } else {
                resting.queue.reach_front();
            }
            let which = OpenOrder {
                account: resting.account,
                symbol,
                order_id: resting.order_id,
            };
            let orders = &self.accounts[which.account.0];
            let remaining = orders.open_order(symbol, which.order_id).remaining().0;
            let qty = remaining.min(left);
            if qty > 0 {
                left -= qty;
                fills.push((which, resting.price, E8(qty)));
            }
        }
        for (which, price, qty) in fills {
            self.fill_by_public(which, price, qty);
        }
    }

    /// The best of both sides was published.
    fn touched(&mut self, symbol: SymbolIndex, touch: Touch) {
        let market = &mut self.markets[symbol.0];
        let newest = market.touch.map_or(0, |touch| touch.update_id);
        if touch.update_id < newest.max(market.last_diff_id) {
            return;
        }
        market.touch = Some(touch);
        for (side, best) in [(OrderSide::Buy, touch.bid), (OrderSide::Sell, touch.ask)] {
            // A side without orders reads zero.
            if best.qty.0 > 0 {
                market.taken_mut(side).published_best(best.price);
                market.taken_mut(side).published(best);
            }
        }
        self.cross(symbol, OrderSide::Buy, &[touch.ask]);
        self.cross(symbol, OrderSide::Sell, &[touch.bid]);
    }

    /// A diff was published: orders may stand in the way of what the book shows now.
    fn cross_book(&mut self, symbol: SymbolIndex, book: &dyn Liquidity) {
        let market = &self.markets[symbol.0];
        if [OrderSide::Buy, OrderSide::Sell]
            .into_iter()
            .all(|side| market.resting.best(side).is_none())
        {
            return;
        }
        let shown = market.shown(symbol, book, Shown::NEAR);
        let (bids, asks) = (shown.levels(OrderSide::Buy), shown.levels(OrderSide::Sell));
        self.cross(symbol, OrderSide::Buy, asks);
        self.cross(symbol, OrderSide::Sell, bids);
    }

    /// Orders of `side` against public levels of the other, best first.
    fn cross(&mut self, symbol: SymbolIndex, side: OrderSide, public: &[Level]) {
        if self.rules(symbol).status != SymbolStatus::Trading {
            return;
        }
        for &level in public {
            loop {
                let market = &mut self.markets[symbol.0];
                let Some(resting) = market.resting.iter(side).next().copied() else {
                    return;
                };
                if !reaches(side, Some(resting.price), level.price) {
                    return;
                }
                let taken = market.taken_mut(side.opposite());
                let available = taken.available(level);
                if available.0 == 0 {
                    break;
                }
                let which = OpenOrder {
                    account: resting.account,
                    symbol,
                    order_id: resting.order_id,
                };
                let orders = &self.accounts[which.account.0];
                let remaining = orders.open_order(symbol, which.order_id).remaining();
                let qty = remaining.min(available);
                taken.take(level, qty);
                self.fill_by_public(which, resting.price, qty);
            }
        }
    }

    fn fill_by_public(&mut self, which: OpenOrder, price: E8, qty: E8) {
        let trade_id = self.next_trade(which.symbol, price);
        // The counterparty was the aggressor: its number comes first.
        self.skip_counterparty();
        self.fill(
            which,
            Part {
                trade_id,
                price,
                qty,
                maker: true,
            },
        );
    }
}
