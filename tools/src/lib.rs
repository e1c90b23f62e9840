//! The `veloz` command as a library: the simulated venue, captures, configuration, and the wiring
//! of the engine's threads. The binary only parses arguments and calls into it.

pub mod alert_sink;
pub mod audit;
pub mod cancel_all;
pub mod canceller;
pub mod capture;
pub mod cli;
pub mod config;
pub mod dead_man;
pub mod keys;
pub mod logging;
pub mod machine_check;
pub mod paper;
pub mod placement;
pub mod record;
pub mod replay;
pub mod run;
pub mod simulation;
pub mod state;
pub mod status;
pub mod user;
pub mod venue;
