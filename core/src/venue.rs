//! Venue adapters: bytes in, market updates out; one folder a venue.

pub mod binance;
