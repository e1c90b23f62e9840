//! The REST API of trading and administration.
//!
//! Owns: [`Api`], what its handlers share beyond the rest of the HTTP server, and the handlers by resource. Does
//! not: decide about trading: what is asked for goes to the core as a command and is answered by a record.
//!
//! | module | what |
//! | --- | --- |
//! | `api/orders.rs` | placing, cancelling, replacing orders; orders, events, fills |
//! | `api/market.rs` | prices, books, latencies |
//! | `api/account.rs` | balances and positions |
//! | `api/engine.rs` | configuration, status, start and stop, halting, the kill switch |
//! | `api/commands.rs` | the way of commands to the core |
//! | `api/client_ids.rs` | which client order ids were ever used |
//! | `api/idempotency.rs` | one effect for any number of equal requests |
//! | `api/number.rs` | numbers of requests |
//! | `api/answer.rs` | what answers are made of |
//!
//! Invariants: numbers are exact both ways; a write is refused, done once, or its outcome is told to be unknown;
//! what loosens anything is recorded before it is done, and what makes things safer is never kept waiting by a record.

pub mod client_ids;
pub mod commands;
pub mod idempotency;

pub(crate) mod account;
pub(crate) mod answer;
pub(crate) mod engine;
pub(crate) mod market;
pub(crate) mod number;
pub(crate) mod orders;

use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use client_ids::{ClientIds, UnreadableIds};
use commands::Commands;
use idempotency::Remembered;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use veloz_core::order::SelfTradePrevention;

/// File of used client order ids in the state directory.
const CLIENT_IDS_FILE: &str = "client-order-ids";

/// What the API is told at start.
#[derive(Clone, Debug, Default)]
pub struct ApiConfig {
    /// What the process is, for who asks.
    pub profile: Profile,
    /// Where what outlives the process is kept; `None` for nowhere.
    pub state_directory: Option<PathBuf>,
}

/// What the process is, in the words of existing clients.
#[derive(Clone, Debug)]
pub struct Profile {
    /// `sim` or `binance_rest`; the latter is the venue's market data, whatever carries it.
    pub market_source: &'static str,
    /// `sim_engine`, `binance_testnet_spot` or `binance_spot`.
    pub execution_mode: &'static str,
    /// Where market data comes from; `None` when it is simulated here.
    pub market_url: Option<String>,
    /// Where orders go; `None` when they are simulated here.
    pub trade_url: Option<String>,
    /// What operators' orders ask for when they would meet another of ours; `None` for what the venue does by itself.
    pub self_trade_prevention: Option<SelfTradePrevention>,
    /// The strategy, if there is one.
    pub strategy: Option<&'static str>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            market_source: "sim",
            execution_mode: "sim_engine",
            market_url: None,
            trade_url: None,
            self_trade_prevention: None,
            strategy: None,
        }
    }
}

/// What the handlers of the API share.
pub struct Api {
    /// What the process is.
    pub(crate) profile: Profile,
    /// The way to the core.
    pub(crate) commands: Commands,
    /// Client order ids that were used.
    pub(crate) client_ids: ClientIds,
    /// Answers by `Idempotency-Key`.
    pub(crate) remembered: Remembered,
    /// Whether the API takes no orders.
    pub(crate) read_only: AtomicBool,
}

impl Api {
    /// The API of a process.
    ///
    /// # Errors
    /// [`UnreadableIds`] when what was kept cannot be read.
    pub fn open(config: ApiConfig) -> Result<Self, UnreadableIds> {
        let client_ids = match &config.state_directory {
            Some(directory) => ClientIds::open(&directory.join(CLIENT_IDS_FILE))?,
            None => ClientIds::default(),
        };
        Ok(Self {
            profile: config.profile,
            commands: Commands::default(),
            client_ids,
            remembered: Remembered::default(),
            read_only: AtomicBool::new(false),
        })
    }

    /// The way to the core, for who knows it.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }
}

impl HttpState {
    /// Refuses what makes orders while the API is read-only. Cancels and halts always pass.
    ///
    /// # Errors
    /// `read_only`.
    pub(crate) fn takes_writes(&self) -> Result<(), Problem> {
        if self.api.read_only.load(Relaxed) {
            return Err(Problem::new(
                Code::ReadOnly,
                "the API takes no orders now: an operator made it read-only",
            ));
        }
        Ok(())
    }
}
