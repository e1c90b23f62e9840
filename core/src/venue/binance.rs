//! Binance Spot: codecs of market data and orders, book synchronisation, sessions, order entry, rate budgets.

use crate::instrument::{Assets, Instruments, Symbol};

pub mod clock;
pub mod codec;
pub mod exchange_info;
pub mod fault;
pub mod order_entry;
pub mod order_error;
pub mod rate;
pub mod resync;
pub mod session;

/// The asset in which the venue takes fees at a discount, whatever is traded.
const FEE_ASSET: &str = "BNB";

/// Every asset that an account which trades these instruments can come to hold.
pub fn assets(instruments: &Instruments) -> Assets {
    let fee_asset = Symbol::new(FEE_ASSET).expect("short");
    Assets::new(instruments, &[fee_asset])
}
