//! What an incoming order would do to the book, worked out before anything is done.
//!
//! Owns: the walk in price-time order through the public levels and the accounts' resting orders,
//! and the rules of self-trade prevention. Pure: the same input gives the same plan. Does not:
//! know balances or change anything, so that FOK, LIMIT_MAKER and checks of the balance can ask
//! first.
//!
//! At one price the public quantity ahead of a resting order goes first, then the order, then the
//! public quantity ahead of the next one, and in the end the public quantity behind them all.

use veloz_core::units::E8;

use super::arithmetic::{affordable, worth};
use super::order::{AccountIndex, OrderSide, StpMode};
use super::resting::reaches;
use crate::venue::source::Level;

/// An order that comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    pub(super) account: AccountIndex,
    pub(super) side: OrderSide,
    /// `None` takes any price.
    pub(super) limit: Option<E8>,
    pub(super) want: Want,
    pub(super) stp: StpMode,
}

/// How much it is to trade.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    Base(E8),
    /// Of the quote asset, in whole steps of the base.
    Quote {
        budget: E8,
        step: E8,
    },
}

/// A resting order in its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maker {
    pub(super) account: AccountIndex,
    pub(super) order_id: u64,
    pub(super) price: E8,
    pub(super) remaining: E8,
    /// Public quantity at the price that goes first.
    pub(super) ahead: E8,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A trade with the public.
    Public { price: E8, qty: E8 },
    /// A trade with a resting order.
    Trade { maker: Maker, qty: E8 },
    /// A trade that self-trade prevention keeps from happening.
    Prevent {
        maker: Maker,
        /// What would have traded.
        match_qty: E8,
        maker_qty: E8,
        taker_qty: E8,
    },
}

/// Why the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The order has all that it wanted.
    Filled,
    /// There was nothing more within its limit.
    BookOver,
    /// Self-trade prevention took the rest of the order.
    Prevented,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Sum of the trades.
    pub(super) executed: E8,
    /// Their worth; `None` when it is no number of ours.
    pub(super) quote: Option<E8>,
    /// Of the taker.
    pub(super) prevented: E8,
    pub(super) end: End,
    /// With [`End::BookOver`]: what it would have taken more at the last price.
    pub(super) wanting: E8,
}

impl Plan {
    /// Nobody is there.
    pub(super) fn nothing() -> Self {
        Self {
            steps: Vec::new(),
            executed: E8(0),
            quote: Some(E8(0)),
            prevented: E8(0),
            end: End::BookOver,
            wanting: E8(0),
        }
    }
}

/// What the order still wants.
struct Walk {
    taker: Taker,
    plan: Plan,
}

/// Plans an order against the public levels, best first, with what can be taken of each, and the
/// resting orders of the other side, the first to trade first.
pub(super) fn plan(taker: Taker, public: &[Level], makers: &[Maker]) -> Plan {
    let mut walk = Walk {
        taker,
        plan: Plan::nothing(),
    };
    let mut public = public.iter().peekable();
    let mut makers = makers.iter().peekable();
    loop {
        let nearest = match (public.peek(), makers.peek()) {
            (Some(level), Some(maker)) if reaches(taker.side, Some(level.price), maker.price) => {
                maker.price
            }
            (Some(level), _) => level.price,
            (None, Some(maker)) => maker.price,
            (None, None) => return walk.plan,
        };
        if !reaches(taker.side, taker.limit, nearest) {
            return walk.plan;
        }
        let level = public.next_if(|level| level.price == nearest);
        let mut left = level.map_or(E8(0), |level| level.qty);
        let mut passed = 0;
        while let Some(maker) = makers.next_if(|maker| maker.price == nearest) {
            let first = E8((maker.ahead.0 - passed).clamp(0, left.0));
            passed += first.0;
            left = E8(left.0 - first.0);
            if walk.take_public(nearest, first) || walk.meet(maker) {
                return walk.plan;
            }
        }
        if walk.take_public(nearest, left) {
            return walk.plan;
        }
        walk.plan.wanting = walk.wanted(nearest);
    }
}

impl Walk {
    /// What the order would take at a price if there were enough.
    fn wanted(&self, price: E8) -> E8 {
        match self.taker.want {
            Want::Base(qty) => qty,
            Want::Quote { budget, step } => {
                let representable = E8(i64::MAX - self.plan.executed.0 - self.plan.prevented.0);
                affordable(budget, price, step).min(representable)
            }
        }
    }

    /// Takes public quantity; whether the walk is over.
    fn take_public(&mut self, price: E8, available: E8) -> bool {
        if available.0 == 0 {
            return false;
        }
        let qty = self.wanted(price).min(available);
        if qty.0 > 0 {
            self.plan.steps.push(Step::Public { price, qty });
            self.traded(price, qty);
        }
        self.is_filled(price)
    }

    /// Meets a resting order; whether the walk is over.
    fn meet(&mut self, maker: &Maker) -> bool {
        let wanted = self.wanted(maker.price);
        let match_qty = wanted.min(maker.remaining);
        if match_qty.0 == 0 {
            return self.is_filled(maker.price);
        }
        let own = maker.account == self.taker.account;
        let (maker_qty, taker_qty) = match self.taker.stp {
            StpMode::ExpireTaker if own => (E8(0), wanted),
            StpMode::ExpireMaker if own => (maker.remaining, E8(0)),
            StpMode::ExpireBoth if own => (maker.remaining, wanted),
            StpMode::Decrement | StpMode::Transfer if own => (match_qty, match_qty),
            StpMode::None
            | StpMode::ExpireTaker
            | StpMode::ExpireMaker
            | StpMode::ExpireBoth
            | StpMode::Decrement
            | StpMode::Transfer => {
                let qty = match_qty;
                self.plan.steps.push(Step::Trade { maker: *maker, qty });
                self.traded(maker.price, qty);
                return self.is_filled(maker.price);
            }
        };
        self.plan.steps.push(Step::Prevent {
            maker: *maker,
            match_qty,
            maker_qty,
            taker_qty,
        });
        self.plan.prevented = E8(self.plan.prevented.0 + taker_qty.0);
        self.less(maker.price, taker_qty);
        if self.wanted(maker.price).0 == 0 {
            self.plan.end = End::Prevented;
            return true;
        }
        false
    }

    fn traded(&mut self, price: E8, qty: E8) {
        self.plan.executed = E8(self.plan.executed.0 + qty.0);
        let sum = self.plan.quote.zip(worth(price, qty));
        let sum = sum.and_then(|(sum, more)| sum.0.checked_add(more.0));
        self.plan.quote = sum.map(E8);
        self.less(price, qty);
    }

    /// So much less is wanted.
    fn less(&mut self, price: E8, qty: E8) {
        match &mut self.taker.want {
            Want::Base(left) => *left = E8(left.0 - qty.0),
            Want::Quote { budget, .. } => {
                let cost = worth(price, qty).expect("within the budget");
                *budget = E8(budget.0 - cost.0);
            }
        }
    }

    /// Whether nothing more is wanted at this price, and so at no worse one; for a sale by
    /// quote quantity a worse price is a lower one, where a step costs less, but what is left of
    /// the budget after a step that did not fit is dust.
    fn is_filled(&mut self, price: E8) -> bool {
        let filled = self.wanted(price).0 == 0;
        if filled {
            self.plan.end = End::Filled;
        }
        filled
    }
}
