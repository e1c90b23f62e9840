//! Binance Spot: market-data codec, book synchronisation, sessions, rate budget.
