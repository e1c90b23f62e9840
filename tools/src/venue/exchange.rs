//! The exchange behind the simulated venue: accounts, orders, matching.
//!
//! Owns: balances and locks, open and done orders, ids, and the matching of orders against each
//! other and against the public flow. Does not: parse requests, render answers, count requests.
//! Sans-IO: time is an argument, numbers are integers of 1e-8.

mod config;
mod event;
mod order;
mod refusal;
mod rules;

use veloz_core::units::E8;

use super::source::{Level, Published, Snapshot, SymbolIndex, SymbolSpec, VenueMicros};

pub use config::{AccountConfig, ExchangeConfig};
pub(crate) use event::{Balance, Event, Execution, Prevented, Report};
pub(crate) use order::{
    AccountIndex, AccountTrade, Amended, CancelReplace, CancelRestriction, ExpiryReason, Fill,
    Half, NewOrder, Order, OrderRef, OrderSide, OrderStatus, OrderType, Placed, PreventedMatch,
    Quantity, ReplaceMode, Replaced, StpMode, Strategy, TimeInForce, TradeFilter,
};
pub(crate) use refusal::Refusal;
pub(crate) use rules::{
    LotFilter, Notional, PercentPriceBySide, PriceFilter, SymbolRules, SymbolStatus,
};

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

/// The exchange.
pub(crate) struct Exchange {
    config: ExchangeConfig,
    rules: Vec<SymbolRules>,
}

impl Exchange {
    /// An exchange for these symbols, in the order of their [`SymbolIndex`].
    pub(crate) fn new(config: &ExchangeConfig, specs: &[SymbolSpec]) -> Self {
        Self {
            rules: specs
                .iter()
                .map(|spec| SymbolRules::new(spec, config.allow_stp_none))
                .collect(),
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
        &self.rules[symbol.0]
    }

    /// Opens or closes a symbol.
    pub(crate) fn set_status(&mut self, symbol: SymbolIndex, status: SymbolStatus) {
        self.rules[symbol.0].status = status;
    }

    /// What prices are measured by: the last trade's price, before the first one the middle of
    /// the public book.
    pub(crate) fn reference_price(&self, symbol: SymbolIndex, book: &dyn Liquidity) -> Option<E8> {
        book.reference_price(symbol)
    }

    /// Places an order.
    pub(crate) fn place(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        order: NewOrder,
        book: &dyn Liquidity,
    ) -> Result<Placed, Refusal> {
        Err(Refusal::MarketClosed)
    }

    /// Checks an order as [`place`](Self::place) does, and does nothing.
    pub(crate) fn test(
        &self,
        account: AccountIndex,
        order: &NewOrder,
        book: &dyn Liquidity,
    ) -> Result<(), Refusal> {
        Err(Refusal::MarketClosed)
    }

    /// Cancels an open order.
    pub(crate) fn cancel(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
        which: &OrderRef,
        cancel_id: &str,
        restriction: Option<CancelRestriction>,
    ) -> Result<Order, Refusal> {
        Err(Refusal::MarketClosed)
    }

    /// Cancels all open orders of the account on the symbol; refused when there is none.
    pub(crate) fn cancel_all(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
        cancel_id: &str,
    ) -> Result<Vec<Order>, Refusal> {
        Err(Refusal::MarketClosed)
    }

    /// Cancels an order and places another; refused as a whole when the new order fails a
    /// filter, which is looked at first.
    pub(crate) fn cancel_replace(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        request: CancelReplace,
        book: &dyn Liquidity,
    ) -> Result<Replaced, Refusal> {
        Err(Refusal::MarketClosed)
    }

    /// Reduces an open order to `new_qty`; it keeps its place.
    pub(crate) fn amend(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
        which: &OrderRef,
        new_qty: E8,
        new_client_id: String,
    ) -> Result<Amended, Refusal> {
        Err(Refusal::MarketClosed)
    }

    /// An order that is open or not yet forgotten.
    pub(crate) fn order(
        &self,
        account: AccountIndex,
        symbol: SymbolIndex,
        which: &OrderRef,
    ) -> Result<&Order, Refusal> {
        Err(Refusal::OrderDoesNotExist)
    }

    /// Open orders, of one symbol or of all, by symbol and id.
    pub(crate) fn open_orders(
        &self,
        account: AccountIndex,
        symbol: Option<SymbolIndex>,
    ) -> impl Iterator<Item = &Order> {
        std::iter::empty()
    }

    /// Trades of the account on the symbol that are not yet forgotten, oldest first.
    pub(crate) fn trades(
        &self,
        account: AccountIndex,
        symbol: SymbolIndex,
        filter: &TradeFilter,
    ) -> impl Iterator<Item = &AccountTrade> {
        std::iter::empty()
    }

    /// All assets of the venue and what the account has of them, by name.
    pub(crate) fn balances(&self, account: AccountIndex) -> impl Iterator<Item = Balance> {
        std::iter::empty()
    }

    /// The exchange expires all open orders of an account on a symbol, unasked.
    pub(crate) fn expire_all(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        symbol: SymbolIndex,
    ) {
    }

    /// Takes in an event of the public flow; resting orders may trade.
    pub(crate) fn public(&mut self, now: VenueMicros, published: &Published, book: &dyn Liquidity) {
    }

    /// Moves the events since the last call to the end of `into`.
    pub(crate) fn take_events(&mut self, into: &mut Vec<Event>) {}
}
