//! Binance Spot: market-data codec, book synchronisation, sessions, rate budget.

pub mod clock;
pub mod codec;
pub mod exchange_info;
pub mod fault;
pub mod rate;
pub mod resync;
pub mod session;
