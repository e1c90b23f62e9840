//! The accounts' resting orders of one symbol, in the order in which they trade.
//!
//! Owns: price-time priority, and each order's place in the public queue. Does not: know
//! quantities; they are the orders' own. Invariant: exactly the open orders of the symbol stand
//! here. Order ids increase, so they are the time in price-time priority; an amendment keeps the
//! id and so the place.

use std::collections::BTreeMap;
use std::ops::Bound;

use veloz_core::units::E8;

use super::order::{AccountIndex, OrderSide};
use super::queue::Queue;

/// A smaller one trades first: the price of an ask or the negated price of a bid, then the id.
type Key = (i64, u64);

/// An order on the book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resting {
    pub(super) account: AccountIndex,
    pub(super) order_id: u64,
    pub(super) price: E8,
    pub(super) queue: Queue,
}

/// Both sides.
#[derive(Debug, Default)]
pub(super) struct RestingBook {
    bids: BTreeMap<Key, Resting>,
    asks: BTreeMap<Key, Resting>,
}

/// Whether an order of `side` with this limit can trade at `price`; no limit takes any.
pub(super) fn reaches(side: OrderSide, limit: Option<E8>, price: E8) -> bool {
    limit.is_none_or(|limit| match side {
        OrderSide::Buy => price <= limit,
        OrderSide::Sell => price >= limit,
    })
}

fn rank(side: OrderSide, price: E8) -> i64 {
    match side {
        OrderSide::Buy => -price.0,
        OrderSide::Sell => price.0,
    }
}

impl RestingBook {
    pub(super) fn insert(&mut self, side: OrderSide, resting: Resting) {
        let key = (rank(side, resting.price), resting.order_id);
        let before = self.side_mut(side).insert(key, resting);
        assert!(before.is_none(), "an order rests once");
    }

    /// Takes an order off the book.
    ///
    /// # Panics
    /// When it is not there.
    pub(super) fn remove(&mut self, side: OrderSide, price: E8, order_id: u64) {
        let key = (rank(side, price), order_id);
        let removed = self.side_mut(side).remove(&key);
        assert!(removed.is_some(), "an open order rests");
    }

    /// A side's best price.
    pub(super) fn best(&self, side: OrderSide) -> Option<E8> {
        let first = self.side(side).first_key_value();
        first.map(|(_, resting)| resting.price)
    }

    /// A side's orders, the first to trade first.
    pub(super) fn iter(&self, side: OrderSide) -> impl Iterator<Item = &Resting> {
        self.side(side).values()
    }

    /// The same, to move them in their queues.
    pub(super) fn iter_mut(&mut self, side: OrderSide) -> impl Iterator<Item = &mut Resting> {
        self.side_mut(side).values_mut()
    }

    /// A side's orders at one price, the first to trade first.
    pub(super) fn at_mut(
        &mut self,
        side: OrderSide,
        price: E8,
    ) -> impl Iterator<Item = &mut Resting> {
        let rank = rank(side, price);
        let range = (
            Bound::Included((rank, 0)),
            Bound::Included((rank, u64::MAX)),
        );
        let orders = self.side_mut(side).range_mut(range);
        orders.map(|(_, resting)| resting)
    }

    fn side(&self, side: OrderSide) -> &BTreeMap<Key, Resting> {
        match side {
            OrderSide::Buy => &self.bids,
            OrderSide::Sell => &self.asks,
        }
    }

    fn side_mut(&mut self, side: OrderSide) -> &mut BTreeMap<Key, Resting> {
        match side {
            OrderSide::Buy => &mut self.bids,
            OrderSide::Sell => &mut self.asks,
        }
    }
}
