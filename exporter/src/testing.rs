//! Instruments, and a view of trading in them, for this crate's tests.

use crate::trading::TradingView;
use std::sync::Arc;
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::units::{E8, Grid};
use veloz_core::venue::binance;

/// Number of instruments in [`instruments`].
pub(crate) const INSTRUMENTS: usize = 2;

/// BTCUSDT and ETHUSDT on cents.
pub(crate) fn instruments() -> Instruments {
    let instrument = |base: &str, lot| Instrument {
        symbol: Symbol::new(&format!("{base}USDT")).expect("short"),
        base: Symbol::new(base).expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(lot)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    };
    Instruments::new(vec![instrument("BTC", 1_000), instrument("ETH", 10_000)])
        .expect("two instruments")
}

/// A view of trading that no record reached.
pub(crate) fn trading_view() -> TradingView {
    let instruments = Arc::new(instruments());
    let assets = Arc::new(binance::assets(&instruments));
    TradingView::new(instruments, assets)
}
