//! Paper trading: the live venue's public market, fed into the embedded venue that matches our orders.
//!
//! Owns: [`PaperFeed`], a thread with connections of its own to the live venue's public addresses: one stream of
//! diffs, tickers and trades, and one-shot questions for whole books. What is asked and forwarded is decided in
//! `paper/follower.rs`, messages are read in `paper/messages.rs`, sockets are in `paper/driver.rs`. Does not: send
//! an order anywhere, or know the engine, whose own connections to the same addresses it shares nothing with.
//!
//! What happens to our resting orders when the live connection is lost, says nothing for [`SILENCE_MAX`], or a diff
//! is missing: the fed book is emptied and its last ticker forgotten. The orders stay as they are; nothing fills
//! them, and one that comes in meets an empty book, until a new snapshot is in. Then the next diff crosses those
//! that the market has passed meanwhile, at their own prices. Trades of the time in between are not made up for.
//! Until a silent connection is given up, incoming orders still meet the last book.
//!
//! Invariants: of a symbol nothing is forwarded without a book that all its diffs since continue; the live venue is
//! asked for a book at most every [`QUESTION_EVERY`].

mod driver;
mod follower;
mod messages;

use crate::venue::VenueHandle;
use driver::Driver;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use veloz_core::edge::connector::{Endpoint, EndpointError};
use veloz_core::edge::cpu;
use veloz_core::edge::tls::{TrustError, client_config};
use veloz_core::units::Nanos;

/// Shortest time between two questions for a book, of whatever symbol: each is a connection attempt, of which the
/// venue allows 300 in five minutes, and costs [`QUESTION_WEIGHT`].
pub const QUESTION_EVERY: Nanos = Nanos::from_secs(2);
/// Request weight of one question: 50 for a book of a thousand levels, 2 for the connection.
pub const QUESTION_WEIGHT: u32 = 52;
/// Request weight that the feed spends in a minute at most.
pub const WEIGHT_PER_MINUTE: u32 = QUESTION_WEIGHT * (60_000 / QUESTION_EVERY.as_ms() as u32);
/// A connection that says nothing for so long, although it was asked something, is given up.
pub const SILENCE_MAX: Nanos = Nanos::from_secs(5);

/// What a feed is told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaperConfig {
    /// The live venue's public streams: `wss://host[:port]/stream`, or `ws://` without TLS.
    pub market_url: String,
    /// Its websocket API, likewise; no key is used there.
    pub api_url: String,
    /// PEM files with CAs that are trusted beside the web's.
    pub ca_files: Vec<PathBuf>,
    /// More such CAs, as PEM text.
    pub ca_pems: Vec<String>,
    /// Upper case; in the order in which the fed venue was given them.
    pub symbols: Vec<String>,
    /// The CPU to stay off.
    pub core_cpu: Option<usize>,
}

/// Why a feed does not start.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// The CAs cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// An address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The system has no thread left.
    #[error("no thread for the paper feed: {0}")]
    Thread(io::Error),
}

/// A running feed; dropping it stops it.
pub struct PaperFeed {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PaperFeed {
    /// Starts the thread that feeds `venue`, whose market has to be a fed one of the same symbols.
    ///
    /// # Errors
    /// [`PaperError`]. A live venue that cannot be reached is none: it is tried again until the end.
    pub fn start(config: PaperConfig, venue: Arc<VenueHandle>) -> Result<Self, PaperError> {
        let tls = client_config(&config.ca_files, &config.ca_pems)?;
        let market = Endpoint::new(&config.market_url, &tls)?;
        let api = Endpoint::new(&config.api_url, &tls)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("veloz-paper".to_owned())
            .spawn(move || {
                if let Some(core_cpu) = config.core_cpu {
                    cpu::leave_core_cpu(core_cpu);
                }
                let mut driver = Driver::new(market, api, config.symbols, venue);
                while !stopped.load(Ordering::Acquire) {
                    driver.turn();
                }
                driver.close();
            })
            .map_err(PaperError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for PaperFeed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(component = "paper", "the paper feed's thread panicked");
        }
    }
}
