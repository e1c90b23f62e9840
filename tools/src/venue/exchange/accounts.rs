//! One account's orders and trades: open ones, and those not yet forgotten.
//!
//! Owns: finding orders, and the bounds of history. Does not: know balances. Invariant: an order
//! is open in the index exactly when its status is; only done orders are forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::order::{AccountTrade, Order, OrderRef, TradeFilter};
use super::refusal::Refusal;
use crate::venue::source::SymbolIndex;

/// Done orders an account keeps for queries. The order limit of an hour, 36,000, would fit a
/// client that fills none of them twice over; a reconciliation asks about the last minutes. When
/// full, the order that was done first is forgotten and a query for it is answered as for one
/// that never was.
pub(super) const DONE_ORDERS_MAX: usize = 65_536;
/// Trades an account keeps; as above, the oldest is forgotten.
pub(super) const TRADES_MAX: usize = 65_536;

type OrderKey = (SymbolIndex, u64);

/// What an account has done and is doing.
#[derive(Debug, Default)]
pub(super) struct Account {
    orders: BTreeMap<OrderKey, Order>,
    open: BTreeSet<OrderKey>,
    /// In the order in which they ended.
    done: VecDeque<OrderKey>,
    trades: VecDeque<AccountTrade>,
}

impl Account {
    /// Adds an open order.
    pub(super) fn insert(&mut self, order: Order) {
        assert!(order.status.is_open(), "a new order is open");
        let key = (order.symbol, order.id);
        self.open.insert(key);
        let before = self.orders.insert(key, order);
        assert!(before.is_none(), "order ids are used once");
    }

    /// An order that is open.
    ///
    /// # Panics
    /// When there is none: the book and the account agree.
    pub(super) fn open_order(&self, symbol: SymbolIndex, order_id: u64) -> &Order {
        let key = (symbol, order_id);
        assert!(self.open.contains(&key), "the order is open");
        &self.orders[&key]
    }

    /// Changes an open order; one that is done afterwards moves to the history.
    ///
    /// # Panics
    /// When there is none: the book and the account agree.
    pub(super) fn change(
        &mut self,
        symbol: SymbolIndex,
        order_id: u64,
        change: impl FnOnce(&mut Order),
    ) -> &Order {
        let key = (symbol, order_id);
        assert!(self.open.contains(&key), "only an open order changes");
        let order = self.orders.get_mut(&key).expect("open orders are kept");
        change(order);
        assert!(order.remaining().0 >= 0, "no more trades than was ordered");
        if !order.status.is_open() {
            self.open.remove(&key);
            self.done.push_back(key);
            if self.done.len() > DONE_ORDERS_MAX
                && let Some(oldest) = self.done.pop_front()
            {
                self.orders.remove(&oldest);
            }
        }
        // Not forgotten: it is the newest of them.
        &self.orders[&key]
    }

    pub(super) fn traded(&mut self, trade: AccountTrade) {
        if self.trades.len() >= TRADES_MAX {
            self.trades.pop_front();
        }
        self.trades.push_back(trade);
    }

    /// Open orders, of one symbol or of all, by symbol and id.
    pub(super) fn open_orders(&self, symbol: Option<SymbolIndex>) -> impl Iterator<Item = &Order> {
        let keys = self.open.iter();
        let of_symbol = keys.filter(move |(of, _)| symbol.is_none_or(|symbol| *of == symbol));
        of_symbol.map(|key| &self.orders[key])
    }

    /// The open order with this client order id.
    pub(super) fn open_with(&self, symbol: SymbolIndex, client_id: &str) -> Option<&Order> {
        self.open_orders(Some(symbol))
            .find(|order| order.client_order_id == client_id)
    }

    /// The open order that a cancel or an amendment means.
    pub(super) fn find_open(
        &self,
        symbol: SymbolIndex,
        which: &OrderRef,
    ) -> Result<&Order, Refusal> {
        let by_id = |id: u64| {
            let key = (symbol, id);
            let open = self.open.contains(&key).then(|| &self.orders[&key]);
            open.ok_or(Refusal::UnknownOrder)
        };
        match which {
            OrderRef::Id(id) => by_id(*id),
            OrderRef::ClientId(client_id) => self
                .open_with(symbol, client_id)
                .ok_or(Refusal::UnknownOrder),
            OrderRef::Both { id, client_id } => of_client(by_id(*id)?, client_id),
        }
    }

    /// The order that a query means. A client order id may have been used again: it means the
    /// open order that has it, else the newest.
    pub(super) fn find(&self, symbol: SymbolIndex, which: &OrderRef) -> Result<&Order, Refusal> {
        let by_id = |id: u64| {
            let order = self.orders.get(&(symbol, id));
            order.ok_or(Refusal::OrderDoesNotExist)
        };
        match which {
            OrderRef::Id(id) => by_id(*id),
            OrderRef::ClientId(client_id) => {
                let newest = || {
                    let of_symbol = self.orders.range((symbol, 0)..=(symbol, u64::MAX)).rev();
                    let mut orders = of_symbol.map(|(_, order)| order);
                    orders.find(|order| order.client_order_id == *client_id)
                };
                self.open_with(symbol, client_id)
                    .or_else(newest)
                    .ok_or(Refusal::OrderDoesNotExist)
            }
            OrderRef::Both { id, client_id } => of_client(by_id(*id)?, client_id),
        }
    }

    /// Trades of a symbol, oldest first.
    pub(super) fn trades(
        &self,
        symbol: SymbolIndex,
        filter: &TradeFilter,
    ) -> impl Iterator<Item = &AccountTrade> {
        let TradeFilter {
            order_id,
            from_id,
            start,
            end,
            limit,
        } = *filter;
        let wanted = move |trade: &&AccountTrade| {
            trade.symbol == symbol
                && order_id.is_none_or(|id| trade.fill.order_id == id)
                && from_id.is_none_or(|id| trade.fill.trade_id >= id)
                && start.is_none_or(|start| trade.at >= start)
                && end.is_none_or(|end| trade.at <= end)
        };
        let from_the_front = from_id.is_some() || start.is_some();
        let skip = if from_the_front {
            0
        } else {
            let all = self.trades.iter().filter(wanted).count();
            all.saturating_sub(limit)
        };
        self.trades.iter().filter(wanted).skip(skip).take(limit)
    }
}

fn of_client<'a>(order: &'a Order, client_id: &str) -> Result<&'a Order, Refusal> {
    if order.client_order_id == client_id {
        Ok(order)
    } else {
        Err(Refusal::ClientIdMismatch)
    }
}
