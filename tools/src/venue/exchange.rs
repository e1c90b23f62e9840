//! The exchange behind the simulated venue: accounts, orders, matching.
//!
//! Owns: balances and locks, open and done orders, ids, and the matching of orders against each
//! other and against the public flow. Does not: parse requests, render answers, count requests.
//! Sans-IO: time is an argument, numbers are integers of 1e-8, and the same calls give the same
//! results.
//!
//! The model. The public flow is the rest of the market: it is served as it comes and does not
//! react to our accounts, neither its book nor its trades show them. An order that comes in meets
//! what the public book shows and is not taken yet (`taken`), and other accounts' resting orders,
//! in price-time order (`plan`). An order that rests stands in a queue behind the public quantity
//! at its price (`queue`), and the flow's later trades and levels fill it (`flow`). The market
//! outside has no end of money; what it gives and takes is booked, so that sums are kept.
//!
//! Invariants: the sum of every asset over the accounts, the market and the fees is what it was at
//! the start; what is locked is what the open orders hold; no balance is negative; for each order
//! executed + prevented + remaining = original quantity. A refused request changes nothing.

mod accounts;
mod arithmetic;
mod config;
mod deposit;
mod entry;
mod event;
mod flow;
mod frames;
mod ledger;
mod listed;
mod order;
mod plan;
mod queue;
mod refusal;
mod resting;
mod rules;
mod settlement;
mod symbol;
mod taken;
#[cfg(test)]
mod tests;

use veloz_core::units::E8;

use super::market::Market;
use super::source::{Level, Published, Snapshot, SymbolIndex, SymbolSpec, VenueMicros};
use accounts::Account;
use ledger::Ledger;
use settlement::{Ending, OpenOrder};
use symbol::TradedSymbol;

pub use config::{AccountConfig, ExchangeConfig};
pub(crate) use event::{Balance, Event, Execution, Prevented, Report};
pub use listed::{ListedRules, ListedRulesError};
pub(crate) use order::{
    AccountIndex, AccountTrade, Amended, CancelReplace, CancelRestriction, ExpiryReason, Fill,
    Half, NewOrder, Order, OrderRef, OrderSide, OrderStatus, OrderType, Placed, PreventedMatch,
    Quantity, ReplaceMode, Replaced, StpMode, Strategy, TimeInForce, TradeFilter,
};
pub(crate) use refusal::Refusal;
pub(crate) use rules::{NotionalForm, PercentForm, SymbolRules, SymbolStatus};

/// Execution ids start where a venue's are after years: clients must hold more than 32 bits.
const FIRST_EXECUTION_ID: u64 = 90_000_000_000;

/// What the exchange sees of the public market.
pub(crate) trait Liquidity {
    /// The public book now, at most `limit` levels a side.
    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot;

    /// What prices are measured by before anything traded: the middle of the public book.
    fn reference_price(&self, symbol: SymbolIndex) -> Option<E8> {
        let book = self.snapshot(symbol, 1);
        let price = |levels: &[Level]| levels.first().map(|level| level.price.0);
        let (bid, ask) = (price(&book.bids)?, price(&book.asks)?);
        Some(E8(bid + (ask - bid) / 2))
    }
}

impl Liquidity for Market {
    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        Market::snapshot(self, symbol, limit)
    }
}

/// The exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    config: ExchangeConfig,
    /// By [`SymbolIndex`].
    markets: Vec<TradedSymbol>,
    /// By [`AccountIndex`].
    accounts: Vec<Account>,
    ledger: Ledger,
    next_execution_id: u64,
    /// Time of the running transaction.
    now: VenueMicros,
    /// What happened since they were taken last.
    events: Vec<Event>,
}

impl Exchange {
    /// An exchange for these symbols, in the order of their [`SymbolIndex`].
    ///
    /// # Panics
    /// When a configured balance is negative.
    pub(crate) fn new(config: &ExchangeConfig, specs: &[SymbolSpec]) -> Self {
        let ledger = Ledger::new(config, specs);
        let asset = |name: &str| ledger.asset(name).expect("of a symbol");
        let markets = specs.iter().map(|spec| {
            let mut rules = SymbolRules::new(spec, config.allow_stp_none);
            let listed = config.listed.iter();
            if let Some(listed) = listed.rev().find(|listed| listed.symbol() == spec.symbol) {
                listed.put_over(&mut rules);
            }
            TradedSymbol::new(rules, asset(&spec.base), asset(&spec.quote))
        });
        Self {
            markets: markets.collect(),
            accounts: config.accounts.iter().map(|_| Account::default()).collect(),
            ledger,
            next_execution_id: FIRST_EXECUTION_ID,
            now: VenueMicros(0),
            events: Vec::new(),
            config: config.clone(),
        }
    }

    /// The account of this name.
    pub(crate) fn account(&self, name: &str) -> Option<AccountIndex> {
        let mut accounts = self.config.accounts.iter();
        accounts
            .position(|account| account.name == name)
            .map(AccountIndex)
    }

    /// What the account was configured as: its name, fees, and how it pays them.
    pub(crate) fn account_config(&self, account: AccountIndex) -> &AccountConfig {
        &self.config.accounts[account.0]
    }

    /// A symbol's filters and status.
    pub(crate) fn rules(&self, symbol: SymbolIndex) -> &SymbolRules {
        &self.markets[symbol.0].rules
    }

    /// Opens or closes a symbol. Orders stay where they are; after a halt their queues are
    /// compared with the next diff as after an unseen loss.
    pub(crate) fn set_status(&mut self, symbol: SymbolIndex, status: SymbolStatus) {
        self.markets[symbol.0].rules.status = status;
    }

    /// What prices are measured by: the last trade's price, public or ours, before the first one
    /// the middle of the public book.
    pub(crate) fn reference_price(&self, symbol: SymbolIndex, book: &dyn Liquidity) -> Option<E8> {
        let last = self.markets[symbol.0].last_price;
        last.or_else(|| book.reference_price(symbol))
    }

    /// Places an order.
    ///
    /// # Errors
    /// In this order: mode of self-trade prevention, filters, the symbol's status, a client order
    /// id that is taken, a maker order that would take, the balance.
    pub(crate) fn place(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        order: NewOrder,
        book: &dyn Liquidity,
    ) -> Result<Placed, Refusal> {
        self.now = now;
        self.check(account, &order, book)?;
        let entry = self.admit(account, order, book)?;
        Ok(self.enter(entry))
    }

    /// Checks what [`place`](Self::place) checks before the matching engine, and does nothing.
    ///
    /// # Errors
    /// Mode of self-trade prevention and filters.
    pub(crate) fn test(
        &self,
        account: AccountIndex,
        order: &NewOrder,
        book: &dyn Liquidity,
    ) -> Result<(), Refusal> {
        self.check(account, order, book)
    }

    /// Cancels an open order. It keeps its client order id; the cancel's is in the event.
    ///
    /// # Errors
    /// The symbol is halted; the order is not open or another; a restriction does not hold.
    pub(crate) fn cancel(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
        which: &OrderRef,
        cancel_id: &str,
        restriction: Option<CancelRestriction>,
    ) -> Result<Order, Refusal> {
        self.now = now;
        self.cancels_work(symbol)?;
        let order = self.accounts[account.0].find_open(symbol, which)?;
        let allowed = match restriction {
            None => true,
            Some(CancelRestriction::OnlyNew) => order.status == OrderStatus::New,
            Some(CancelRestriction::OnlyPartiallyFilled) => {
                order.status == OrderStatus::PartiallyFilled
            }
        };
        if !allowed {
            return Err(Refusal::CancelRestrictions);
        }
        let which = OpenOrder::of(order);
        let order = self.end(which, Ending::Canceled(cancel_id));
        self.finish();
        Ok(order)
    }

    /// Cancels all open orders of the account on the symbol, in the order of their ids, in one
    /// transaction.
    ///
    /// # Errors
    /// The symbol is halted, or there is no open order.
    pub(crate) fn cancel_all(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
        cancel_id: &str,
    ) -> Result<Vec<Order>, Refusal> {
        self.now = now;
        self.cancels_work(symbol)?;
        let orders = self.end_all(account, symbol, Ending::Canceled(cancel_id));
        if orders.is_empty() {
            return Err(Refusal::UnknownOrder);
        }
        Ok(orders)
    }

    /// Cancels an order and then places another, in two transactions.
    ///
    /// # Errors
    /// The new order's mode of self-trade prevention or a filter, which are looked at first; then
    /// nothing is done. MAX_NUM_ORDERS counts the order that is to be cancelled.
    pub(crate) fn cancel_replace(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        request: CancelReplace,
        book: &dyn Liquidity,
    ) -> Result<Replaced, Refusal> {
        self.now = now;
        let CancelReplace {
            mode,
            cancel,
            cancel_id,
            restriction,
            new,
        } = request;
        self.check(account, &new, book)?;
        let canceled = self.cancel(now, account, new.symbol, &cancel, &cancel_id, restriction);
        let is_canceled = canceled.is_ok();
        let cancel = canceled.map_or_else(Half::Failed, Half::Done);
        if !is_canceled && mode == ReplaceMode::StopOnFailure {
            return Ok(Replaced {
                cancel,
                new: Half::NotAttempted,
            });
        }
        let new = match self.admit(account, new.clone(), book) {
            Ok(entry) => Half::Done(self.enter(entry)),
            Err(refusal) => {
                if is_canceled {
                    self.reject(account, new, refusal);
                }
                Half::Failed(refusal)
            }
        };
        Ok(Replaced { cancel, new })
    }

    /// Reduces an open order to `new_qty`; it keeps its place and takes the new client order id.
    /// An order that has already traded so much expires.
    ///
    /// # Errors
    /// The symbol does not trade; the order is not open; it is not reduced, or reduced to
    /// nothing; it was amended too often; the client order id is another open order's; LOT_SIZE
    /// or NOTIONAL.
    pub(crate) fn amend(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
        which: &OrderRef,
        new_qty: E8,
        new_client_id: String,
    ) -> Result<Amended, Refusal> {
        self.now = now;
        let rules = self.rules(symbol);
        if rules.status != SymbolStatus::Trading {
            return Err(Refusal::MarketClosed);
        }
        let orders = &self.accounts[account.0];
        let order = orders.find_open(symbol, which)?;
        if new_qty.0 <= 0 || new_qty >= order.orig_qty {
            return Err(Refusal::AmendNotReducing);
        }
        if order.amends >= rules.amends_max {
            return Err(Refusal::TooManyAmends);
        }
        let other = orders.open_with(symbol, &new_client_id);
        if other.is_some_and(|other| other.id != order.id) {
            return Err(Refusal::Duplicate);
        }
        rules.check_amended(order.price, new_qty)?;
        let which = OpenOrder::of(order);
        let previous_client_id = order.client_order_id.clone();
        let done = E8(order.executed_qty.0 + order.prevented_qty.0);
        let order = self.change(which, |order| {
            order.client_order_id = new_client_id;
            order.orig_qty = new_qty.max(done);
            order.amends += 1;
            if new_qty <= done {
                order.status = OrderStatus::Expired;
            }
        });
        let execution = if order.status.is_open() {
            Execution::Replaced
        } else {
            Execution::Expired
        };
        let execution_id = self.report(order.clone(), execution, |report| {
            report.previous_client_id = Some(previous_client_id.clone());
        });
        self.finish();
        Ok(Amended {
            order,
            previous_client_id,
            execution_id,
            at: now,
        })
    }

    /// An order that is open or not yet forgotten.
    ///
    /// # Errors
    /// There is none, or its id and client order id belong to different orders.
    pub(crate) fn order(
        &self,
        account: AccountIndex,
        symbol: SymbolIndex,
        which: &OrderRef,
    ) -> Result<&Order, Refusal> {
        self.accounts[account.0].find(symbol, which)
    }

    /// Open orders, of one symbol or of all, by symbol and id.
    pub(crate) fn open_orders(
        &self,
        account: AccountIndex,
        symbol: Option<SymbolIndex>,
    ) -> impl Iterator<Item = &Order> {
        self.accounts[account.0].open_orders(symbol)
    }

    /// Trades of the account on the symbol that are not yet forgotten, oldest first.
    pub(crate) fn trades(
        &self,
        account: AccountIndex,
        symbol: SymbolIndex,
        filter: &TradeFilter,
    ) -> impl Iterator<Item = &AccountTrade> {
        self.accounts[account.0].trades(symbol, filter)
    }

    /// All assets of the venue and what the account has of them, by name.
    pub(crate) fn balances(&self, account: AccountIndex) -> impl Iterator<Item = Balance> {
        self.ledger.balances(account)
    }

    /// The exchange expires all open orders of an account on a symbol, unasked, in one
    /// transaction and whatever the symbol's status.
    pub(crate) fn expire_all(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
    ) {
        self.now = now;
        let reason = Some(ExpiryReason::ExchangeCanceled);
        self.end_all(account, symbol, Ending::Expired(reason));
    }

    /// Takes in an event of the public flow, in the order of its publication; resting orders may
    /// trade. `book` is the public book as it is when the event is published.
    pub(crate) fn public(&mut self, now: VenueMicros, published: &Published, book: &dyn Liquidity) {
        self.now = now;
        self.take_in(published.symbol, &published.event, book);
    }

    /// The public book is not known any more: neither is what was published about its best prices, and the ids of
    /// what follows may begin anew. No order meets a level until something new is published.
    pub(crate) fn public_lost(&mut self, symbol: SymbolIndex) {
        let market = &mut self.markets[symbol.0];
        market.touch = None;
        market.last_diff_id = 0;
    }

    /// Moves the events since the last call to the end of `into`. To be called after every other
    /// call: what one leaves is bounded by the orders that it touches.
    pub(crate) fn take_events(&mut self, into: &mut Vec<Event>) {
        into.append(&mut self.events);
    }

    fn cancels_work(&self, symbol: SymbolIndex) -> Result<(), Refusal> {
        match self.rules(symbol).status {
            SymbolStatus::Trading | SymbolStatus::CancelOnly => Ok(()),
            SymbolStatus::Halt => Err(Refusal::MarketClosed),
        }
    }

    fn end_all(
        &mut self,
        account: AccountIndex,
        symbol: SymbolIndex,
        ending: Ending<'_>,
    ) -> Vec<Order> {
        let open: Vec<_> = self.accounts[account.0]
            .open_orders(Some(symbol))
            .map(OpenOrder::of)
            .collect();
        let ended = open.into_iter().map(|which| self.end(which, ending));
        let ended = ended.collect();
        self.finish();
        ended
    }

    /// The number of a new trade at this price.
    fn next_trade(&mut self, symbol: SymbolIndex, price: E8) -> u64 {
        let market = &mut self.markets[symbol.0];
        market.last_price = Some(price);
        let id = market.next_trade_id;
        market.next_trade_id += 1;
        id
    }

    /// The public's part of a trade is an execution, too.
    fn skip_counterparty(&mut self) {
        self.next_execution_id += 1;
    }
}
