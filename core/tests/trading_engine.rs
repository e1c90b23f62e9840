//! The trading half of the engine, from its first event to its last: what is sent, what is recorded, where orders and
//! positions stand, and what is refused why. Virtual time, and a venue whose every word a test writes.

#[path = "trading_engine/allocations.rs"]
mod allocations;
#[path = "trading_engine/bad_input.rs"]
mod bad_input;
#[path = "trading_engine/budgets.rs"]
mod budgets;
#[path = "trading_engine/commands.rs"]
mod commands;
#[path = "trading_engine/desk.rs"]
mod desk;
#[path = "support/heap.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod heap;
#[path = "trading_engine/links.rs"]
mod links;
#[path = "trading_engine/mishaps.rs"]
mod mishaps;
#[path = "trading_engine/missed.rs"]
mod missed;
#[path = "trading_engine/risk.rs"]
mod risk;
#[path = "trading_engine/start.rs"]
mod start;
#[path = "trading_engine/stop.rs"]
mod stop;
#[path = "trading_engine/strategies.rs"]
mod strategies;
