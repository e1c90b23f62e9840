//! Measurements of the whole engine: replays of recorded sessions, instruction counts, allocations, market message
//! in to order out beside the idiomatic stack, and whether the sidecar disturbs the core.
//!
//! Comparisons with other libraries live in `peers`, a package of its own, but for that stack: it is made of what the
//! workspace has anyway.

pub mod gate;
pub mod interference;
mod numbers;
pub mod replay;
pub mod session;
pub mod synthetic;
pub mod tick_to_order;
