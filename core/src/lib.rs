//! The VeloZ trading engine: pure state machines, and one [`edge`] module that touches the operating system.
//!
//! The road of a tick: socket → [`edge`] → bytes → [`venue`] codec → update → [`book`].
//! See ARCHITECTURE.md at the root of the repository.

#[macro_use]
mod labelled;

pub mod book;
pub mod config;
pub mod deadlines;
pub mod edge;
pub mod engine;
pub mod event;
pub mod instrument;
pub mod jitter;
pub mod limits;
pub mod order;
pub mod outbox;
pub mod risk;
pub mod strategy;
pub mod telemetry;
pub mod units;
pub mod venue;
pub mod wire;
