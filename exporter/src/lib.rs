//! The VeloZ sidecar: drains the rings of the core, writes the log, serves health and metrics.
//!
//! Owns: [`start`], the two threads behind it, and [`SidecarHandle`]. Does not: decide anything about
//! trading. Everything here runs on low-priority threads off the core's CPU; the core never waits for it.

pub mod analytics;
pub mod api;
pub mod audit;
pub mod auth;
pub mod catalogue;
pub mod drain;
pub mod exposition;
pub mod faults;
pub mod health;
pub mod http;
pub mod latency;
pub mod log;
pub mod process;
pub mod published;
pub mod random;
pub mod status;
pub mod stream;
pub mod traces;
pub mod trading;
pub mod wall;

mod lines;
mod sidecar;
#[cfg(test)]
mod testing;

pub use sidecar::{ExporterConfig, Outlets, SidecarHandle, StartError, StopError, start};
