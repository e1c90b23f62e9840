//! The VeloZ sidecar: drains the rings of the core, serves health and metrics.
//!
//! Everything here runs on low-priority threads; nothing of it can slow the core.

pub mod catalogue;
pub mod drain;
pub mod exposition;
pub mod http;
