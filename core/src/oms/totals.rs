//! What the open orders of one instrument add up to, kept as they change.
//!
//! Owns: [`Totals`]. Invariant: they equal a recount at every return from the machine (asserted in debug builds).

use super::order::Order;
use crate::order::{OrderState, Side};
use crate::units::{Lots, Ticks};

/// What the open orders of one instrument add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Orders that are not over.
    pub open_count: u32,
    /// Those of them that buy.
    pub buy_count: u32,
    /// Those of them that are [`OrderState::Unresolved`].
    pub unresolved_count: u32,
    /// Those of them that an amend or a replacement of ours is under way for: [`OrderState::ReplaceSent`], and those that
    /// were told to go as well since.
    pub replacing_count: u32,
    /// Lots that buys can still fill. Wider than [`Lots`], because a sum of them can leave their range.
    pub buy_remaining_lots: i128,
    /// Lots that sells can still fill.
    pub sell_remaining_lots: i128,
    /// Sum of limit price x remaining over buys, in ticks x lots: what the quote asset owes them.
    pub buy_notional: i128,
    /// Lots of `buy_remaining_lots` that have no price (market orders) and are not in `buy_notional`.
    pub buy_unpriced_lots: i128,
    /// Highest price of a buy that may stand in the book.
    pub best_bid: Option<Ticks>,
    /// Lowest price of a sell that may stand in the book.
    pub best_ask: Option<Ticks>,
}

/// What one order adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    is_open: bool,
    is_unresolved: bool,
    is_replacing: bool,
    side: Side,
    remaining: Lots,
    price: Ticks,
    standing: Option<Ticks>,
}

impl Part {
    pub(super) fn of(order: &Order) -> Self {
        let is_open = !order.state.is_done();
        let is_limit = order.price > Ticks(0);
        Self {
            is_open,
            is_unresolved: order.state == OrderState::Unresolved,
            is_replacing: is_open && order.replace_under_way,
            side: order.side,
            remaining: if is_open {
                order.remaining()
            } else {
                Lots::ZERO
            },
            price: order.price,
            standing: (is_open && is_limit && order.may_stand()).then_some(order.price),
        }
    }

    /// Its price, if it may stand in the book.
    pub(super) fn standing(&self) -> Option<Ticks> {
        self.standing
    }
}

impl Totals {
    /// Replaces what an order added by what it adds now; `None` before it was in. `standing` yields the prices of
    /// all orders of a side that may stand; it is asked only when the best of them went.
    pub(super) fn replace<I: Iterator<Item = Ticks>>(
        &mut self,
        before: Option<Part>,
        after: Part,
        standing: impl Fn(Side) -> I,
    ) {
        if let Some(before) = before {
            self.count(before, -1);
        }
        self.count(after, 1);
        let gone = before.and_then(|before| before.standing);
        if gone == after.standing {
            return;
        }
        let best = self.best(after.side);
        match after.standing {
            Some(price) if best.is_none_or(|best| is_better(after.side, price, best)) => {
                self.set_best(after.side, Some(price));
            }
            None if gone == best => {
                let left = standing(after.side);
                let best = match after.side {
                    Side::Buy => left.max(),
                    Side::Sell => left.min(),
                };
                self.set_best(after.side, best);
            }
            Some(_) | None => {}
        }
    }

    /// The totals of some orders, counted from nothing.
    pub(super) fn recount<'a>(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut totals = Self::default();
        for order in orders {
            let part = Part::of(order);
            totals.count(part, 1);
            let best = totals.best(part.side);
            if let Some(price) = part.standing
                && best.is_none_or(|best| is_better(part.side, price, best))
            {
                totals.set_best(part.side, Some(price));
            }
        }
        totals
    }

    fn count(&mut self, part: Part, sign: i32) {
        self.open_count = self
            .open_count
            .wrapping_add_signed(sign * i32::from(part.is_open));
        self.buy_count = self
            .buy_count
            .wrapping_add_signed(sign * i32::from(part.is_open && part.side == Side::Buy));
        self.unresolved_count = self
            .unresolved_count
            .wrapping_add_signed(sign * i32::from(part.is_unresolved));
        self.replacing_count = self
            .replacing_count
            .wrapping_add_signed(sign * i32::from(part.is_replacing));
        let lots = i128::from(sign) * i128::from(part.remaining.0);
        match part.side {
            Side::Buy => {
                self.buy_remaining_lots += lots;
                self.buy_notional += lots * i128::from(part.price.0);
                if part.price == Ticks(0) {
                    self.buy_unpriced_lots += lots;
                }
            }
            Side::Sell => self.sell_remaining_lots += lots,
        }
    }

    fn best(&self, side: Side) -> Option<Ticks> {
        match side {
            Side::Buy => self.best_bid,
            Side::Sell => self.best_ask,
        }
    }

    fn set_best(&mut self, side: Side, best: Option<Ticks>) {
        match side {
            Side::Buy => self.best_bid = best,
            Side::Sell => self.best_ask = best,
        }
    }
}

fn is_better(side: Side, price: Ticks, best: Ticks) -> bool {
    match side {
        Side::Buy => price > best,
        Side::Sell => price < best,
    }
}
