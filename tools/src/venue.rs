//! The simulated venue: a real server on loopback that speaks Binance Spot.

pub mod flow;
pub mod source;
