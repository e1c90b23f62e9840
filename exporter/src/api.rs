//! The REST API of trading and administration.
//!
//! Owns: [`Api`], what its handlers share beyond the rest of the HTTP server, and the handlers by resource. Does
//! not: decide about trading: what is asked for goes to the core as a command and is answered by a record.
//!
//! | module | what |
//! | --- | --- |
//! | `api/orders.rs` | placing, cancelling, replacing orders; orders, events, fills |
//! | `api/amend.rs` | making an order smaller |
//! | `api/market.rs` | prices, books, latencies |
//! | `api/account.rs` | balances and positions |
//! | `api/engine.rs` | configuration, status, start and stop, halting, the kill switch |
//! | `api/limits.rs` | limits, their use, and changing them with four eyes |
//! | `api/strategies.rs` | what trades by itself |
//! | `api/admin.rs` | the log's level, maintenance, read-only, saving a configuration |
//! | `api/settings.rs` | what a user interface keeps |
//! | `api/exchange_keys.rs` | the venue's key, written and never read back |
//! | `api/openapi.rs` | the description of every route |
//! | `api/administration.rs` | what the process does for the API |
//! | `api/commands.rs` | the way of commands to the core |
//! | `api/client_ids.rs` | which client order ids were ever used |
//! | `api/journal.rs` | files of events that are rewritten once they have doubled |
//! | `api/idempotency.rs` | one effect for any number of equal requests |
//! | `api/number.rs` | numbers of requests |
//! | `api/answer.rs` | what answers are made of |
//!
//! Invariants: numbers are exact both ways; a write is refused, done once, or its outcome is told to be unknown;
//! what loosens anything is recorded before it is done, and what makes things safer is never kept waiting by a record.

pub mod administration;
pub mod client_ids;
pub mod commands;
pub mod idempotency;
pub mod limits;
pub mod openapi;

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod amend;
pub(crate) mod answer;
pub(crate) mod engine;
pub(crate) mod exchange_keys;
mod journal;
pub(crate) mod market;
pub(crate) mod number;
pub(crate) mod orders;
pub(crate) mod settings;
pub(crate) mod strategies;

use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use administration::{Administration, Alone};
use client_ids::ClientIds;
use commands::Commands;
use exchange_keys::ExchangeKeys;
pub use exchange_keys::signer;
use idempotency::Remembered;
use limits::Limits;
use settings::Settings;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use veloz_core::order::SelfTradePrevention;
use veloz_core::risk::{GlobalLimits, InstrumentLimits};

/// Ending of the file of the venue's key: one JSON object with `api_key` and `api_secret`, or `null`.
pub const EXCHANGE_KEYS_ENDING: &str = "exchange-keys.json";

/// What is kept cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause} (state.dir decides where it is)", path.display())]
pub struct UnreadableState {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: String,
}

impl UnreadableState {
    fn new(path: &Path, cause: &impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            cause: cause.to_string(),
        }
    }
}

/// Where what outlives the process is kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// The state directory.
    pub directory: PathBuf,
    /// Whose state it is, among several instances.
    pub instance: String,
}

impl Place {
    /// A file of this instance; its directory is made when it is missing.
    fn file(&self, ending: &str) -> Result<PathBuf, UnreadableState> {
        let made: io::Result<()> = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory);
        made.map_err(|error| UnreadableState::new(&self.directory, &error))?;
        Ok(self.directory.join(format!("{}.{ending}", self.instance)))
    }
}

/// What the API is told at start.
#[derive(Clone)]
pub struct ApiConfig {
    /// What the process is, for who asks.
    pub profile: Profile,
    /// Where what outlives the process is kept; `None` for nowhere.
    pub place: Option<Place>,
    /// The limits that the engine starts with: the global ones, and one entry an instrument.
    pub limits: (GlobalLimits, Vec<InstrumentLimits>),
    /// What the process does for it.
    pub administration: Arc<dyn Administration>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            place: None,
            limits: (GlobalLimits::default(), Vec::new()),
            administration: Arc::new(Alone),
        }
    }
}

impl std::fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiConfig")
            .field("profile", &self.profile)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
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
    /// Whether an operator said that the API takes no orders.
    pub(crate) read_only: AtomicBool,
    /// Whether there is maintenance, which takes none either; neither ends the other.
    pub(crate) maintenance: AtomicBool,
    /// Whose turn it is to ask for a book.
    pub(crate) book_turn: tokio::sync::Mutex<()>,
    /// Limits as they are.
    pub(crate) limits: Limits,
    /// What a user interface keeps.
    pub(crate) settings: Settings,
    /// The venue's key.
    pub(crate) exchange_keys: ExchangeKeys,
    /// What the process does.
    pub(crate) administration: Arc<dyn Administration>,
}

impl Api {
    /// The API of a process.
    ///
    /// # Errors
    /// [`UnreadableState`] when what was kept cannot be read.
    pub fn open(config: ApiConfig) -> Result<Self, UnreadableState> {
        let place = config.place.as_ref();
        let (client_ids, remembered, settings, exchange_keys) = match place {
            Some(place) => (
                ClientIds::open(&place.file("client-order-ids")?)?,
                Remembered::open(place.file("idempotency-keys.ndjson")?)?,
                Settings::open(place.file("settings.json")?)?,
                ExchangeKeys::open(place.file(EXCHANGE_KEYS_ENDING)?)?,
            ),
            None => (
                ClientIds::default(),
                Remembered::default(),
                Settings::default(),
                ExchangeKeys::default(),
            ),
        };
        let (global, instruments) = config.limits;
        Ok(Self {
            profile: config.profile,
            commands: Commands::default(),
            client_ids,
            remembered,
            read_only: AtomicBool::new(false),
            maintenance: AtomicBool::new(false),
            book_turn: tokio::sync::Mutex::new(()),
            limits: Limits::new(global, instruments),
            settings,
            exchange_keys,
            administration: config.administration,
        })
    }

    /// Limits as they are, for who changes them elsewhere.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The way to the core, for who knows it.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }
}

impl HttpState {
    /// Refuses what makes orders while the API is read-only or there is maintenance. Cancels and halts always pass.
    ///
    /// # Errors
    /// `read_only`.
    pub(crate) fn takes_writes(&self) -> Result<(), Problem> {
        let why = if self.api.maintenance.load(Relaxed) {
            "the API takes no orders now: there is maintenance, which POST /api/admin/ready ends"
        } else if self.api.read_only.load(Relaxed) {
            "the API takes no orders now: an operator made it read-only"
        } else {
            return Ok(());
        };
        Err(Problem::new(Code::ReadOnly, why))
    }
}
