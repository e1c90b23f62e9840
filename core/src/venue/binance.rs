//! Binance Spot: codecs of market data and orders, book synchronisation, sessions, rate budgets.

pub mod clock;
pub mod codec;
pub mod exchange_info;
pub mod fault;
pub mod order_entry;
pub mod order_error;
pub mod rate;
pub mod resync;
pub mod session;
