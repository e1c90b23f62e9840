//! What the engine may be told: plain values, checked elsewhere, read once at start.
//!
//! Owns: [`EngineConfig`] and its parts, each with unit, range and default, and [`TradingConfig`] with [`KnownTrades`]. Does not:
//! parse files, environment or flags; know addresses, which belong to the edge.

mod trading;

pub use trading::{KnownTrades, TradingConfig};

use crate::units::Nanos;

/// Levels a side of a partial-depth stream; the venue offers exactly these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialDepth {
    /// `@depth5@100ms`.
    Five,
    /// `@depth10@100ms`.
    Ten,
    /// `@depth20@100ms`.
    Twenty,
}

/// Streams subscribed for each instrument beside the diff depth, which is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// `@bookTicker`: every change of the touch. Also shows when the diff stream lags.
    pub book_ticker: bool,
    /// `@trade`: every trade.
    pub trade: bool,
    /// `@aggTrade`: fills of one taker order at one price as one event.
    pub agg_trade: bool,
    /// Partial depth: a full picture of the best levels, ten times a second.
    pub partial_depth: Option<PartialDepth>,
}

impl Streams {
    /// Streams of one instrument with this selection, diff depth included.
    pub const fn per_instrument(&self) -> usize {
        1 + self.book_ticker as usize
            + self.trade as usize
            + self.agg_trade as usize
            + self.partial_depth.is_some() as usize
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            book_ticker: true,
            trade: true,
            agg_trade: false,
            partial_depth: None,
        }
    }
}

/// Levels a side that a depth snapshot asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotDepth {
    /// The deepest at which all instruments resync within one minute's request weight.
    #[default]
    Auto,
    /// This many, `[1, 5000]`.
    Levels(u16),
}

/// How links are made, watched and replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Age at which a connection is replaced. The venue cuts at 24 h, so at most 23.9 h. Default 23 h.
    pub rotate_after: Nanos,
    /// Rotation comes up to this much earlier, at random, so that many processes do not rotate at
    /// once. Below `rotate_after`. Default 30 min.
    pub rotate_jitter: Nanos,
    /// How long both connections run side by side before the old one goes; it must cover the
    /// interval of the slowest stream plus the difference of two network paths. Default 2 s.
    pub overlap: Nanos,
    /// A market link on which nothing arrived for this long is dead. Raise it when all instruments
    /// are quiet, as on a testnet. Default 10 s.
    pub silence_max: Nanos,
    /// An attempt to connect that is neither up nor down after this long is given up. Default 15 s.
    pub connect_timeout: Nanos,
    /// First wait after a lost connection; doubles with every failure. Default 250 ms.
    pub backoff_base: Nanos,
    /// Longest wait between attempts. Default 30 s.
    pub backoff_max: Nanos,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            rotate_after: Nanos::from_secs(23 * 3_600),
            rotate_jitter: Nanos::from_secs(30 * 60),
            overlap: Nanos::from_secs(2),
            silence_max: Nanos::from_secs(10),
            connect_timeout: Nanos::from_secs(15),
            backoff_base: Nanos::from_ms(250),
            backoff_max: Nanos::from_secs(30),
        }
    }
}

/// How books are synchronised and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookConfig {
    /// Depth of snapshots.
    pub snapshot_depth: SnapshotDepth,
    /// How long a book that has its turn waits for a first diff before it asks for the snapshot.
    /// At least two intervals of the diff stream: a snapshot asked for after the first diff is
    /// hardly ever too old. Default 250 ms.
    pub first_diff_wait: Nanos,
    /// First wait after a failed synchronisation; doubles with every failure. Default 100 ms.
    pub backoff_base: Nanos,
    /// Longest wait between two attempts for one book. Default 20 s.
    pub backoff_max: Nanos,
    /// A book without a diff for this long is compared with the venue's current update id.
    /// Default 60 s.
    pub silence_max: Nanos,
    /// How long a book may stay behind an update id that is known to exist. Default 1 s.
    pub lag_max: Nanos,
}

impl Default for BookConfig {
    fn default() -> Self {
        Self {
            snapshot_depth: SnapshotDepth::Auto,
            first_diff_wait: Nanos::from_ms(250),
            backoff_base: Nanos::from_ms(100),
            backoff_max: Nanos::from_secs(20),
            silence_max: Nanos::from_secs(60),
            lag_max: Nanos::from_secs(1),
        }
    }
}

/// How requests are paced and timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestConfig {
    /// The venue's request weight a minute for one address; a reply that names a smaller one wins.
    /// Default 6,000.
    pub weight_per_minute: u32,
    /// A request or subscription without answer for this long is lost. Default 5 s.
    pub reply_timeout: Nanos,
    /// How often the venue's time is asked for; also proves that the API link answers. Default 15 s.
    pub clock_interval: Nanos,
}

impl Default for RequestConfig {
    fn default() -> Self {
        Self {
            weight_per_minute: 6_000,
            reply_timeout: Nanos::from_secs(5),
            clock_interval: Nanos::from_secs(15),
        }
    }
}

/// Everything that the engine is told at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// Seed of all jitter; a replay needs the recorded one.
    pub seed: u64,
    /// What is subscribed.
    pub streams: Streams,
    /// Connections.
    pub links: LinkConfig,
    /// Books.
    pub books: BookConfig,
    /// Requests.
    pub requests: RequestConfig,
}
