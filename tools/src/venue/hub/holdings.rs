//! What an account holds, for those who compare a client's books with the venue's.
//!
//! Owns: [`Holdings`] and [`Traded`]. Does not: change anything. Invariant: it is what the exchange itself settles
//! with, not what it told its clients.

use veloz_core::units::E8;

use super::super::exchange::{OrderSide, TradeFilter};
use super::super::source::SymbolIndex;
use super::Hub;

/// An account as the exchange has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Every asset with its free and its locked amount.
    pub balances: Vec<(String, E8, E8)>,
    /// Trades of all symbols that are not yet forgotten, by symbol, oldest first.
    pub trades: Vec<Traded>,
    /// Orders that are open.
    pub open_orders: usize,
}

/// One trade of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traded {
    /// The symbol's place among the venue's symbols.
    pub symbol: usize,
    /// The venue's trade id, unique within the symbol.
    pub id: u64,
    /// Whether the account bought.
    pub buys: bool,
    /// Price in the quote asset.
    pub price: E8,
    /// Quantity in the base asset.
    pub qty: E8,
}

impl Hub {
    /// What an account holds; `None` when there is no such account.
    pub(crate) fn holdings(&self, account: &str) -> Option<Holdings> {
        let exchange = &self.trading.exchange;
        let account = exchange.account(account)?;
        let everything = TradeFilter {
            from_id: Some(0),
            limit: usize::MAX,
            ..TradeFilter::default()
        };
        let symbols = 0..self.market.symbols().len();
        let trades = symbols.flat_map(|symbol| {
            exchange
                .trades(account, SymbolIndex(symbol), &everything)
                .map(move |trade| Traded {
                    symbol,
                    id: trade.fill.trade_id,
                    buys: trade.side == OrderSide::Buy,
                    price: trade.fill.price,
                    qty: trade.fill.qty,
                })
        });
        Some(Holdings {
            trades: trades.collect(),
            balances: exchange
                .balances(account)
                .map(|balance| (balance.asset, balance.free, balance.locked))
                .collect(),
            open_orders: exchange.open_orders(account, None).count(),
        })
    }
}
