//! Measurements of the whole engine: replays of recorded sessions, instruction counts, allocations.
//!
//! Comparisons with other libraries live in `peers`, a package of its own.

pub mod gate;
mod numbers;
pub mod replay;
pub mod session;
pub mod synthetic;
pub mod tick_to_order;
