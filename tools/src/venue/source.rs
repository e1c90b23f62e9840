//! Where the venue's public market data comes from: the synthetic market or a recorded capture.
//!
//! Owns: [`MarketSource`] and the events that it publishes. Sans-IO: time is an argument, the
//! server decides when to advance it and who receives what.

use bytes::Bytes;
use veloz_core::units::E8;

/// Microseconds since the Unix epoch on the venue's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VenueMicros(pub u64);

/// Position of a symbol in [`MarketSource::symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolIndex(pub usize);

/// One price level: absolute quantity, zero when it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price.
    pub price: E8,
    /// Quantity at that price.
    pub qty: E8,
}

/// How often a diff or partial-depth stream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepthSpeed {
    /// `@depth@100ms`.
    Ms100,
    /// `@depth`.
    Ms1000,
}

/// A trade as the public stream shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Counts up by one a symbol.
    pub id: u64,
    /// Price.
    pub price: E8,
    /// Quantity.
    pub qty: E8,
    /// The buyer rested: the aggressor sold.
    pub buyer_is_maker: bool,
}

/// What a market publishes; the server renders it for each subscriber's stream and time unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketEvent {
    /// Net changes since the last diff of this speed.
    Depth {
        /// Which of the two diff streams.
        speed: DepthSpeed,
        /// First update id covered: the stream's previous last id + 1.
        first_id: u64,
        /// Last update id covered.
        last_id: u64,
        /// Changed bids, best first.
        bids: Vec<Level>,
        /// Changed asks, best first.
        asks: Vec<Level>,
    },
    /// The timer of partial-depth streams of this speed fired; levels are read from the snapshot.
    PartialDepth {
        /// Which speed.
        speed: DepthSpeed,
    },
    /// A best price or quantity changed.
    BookTicker {
        /// Update id of the change.
        update_id: u64,
        /// Best bid.
        bid: Level,
        /// Best ask.
        ask: Level,
    },
    /// One trade.
    Trade(Trade),
    /// Fills of one taker order at one price.
    AggTrade {
        /// Counts up by one a symbol.
        id: u64,
        /// Id of the first fill.
        first_trade_id: u64,
        /// Id of the last fill.
        last_trade_id: u64,
        /// Price of all of them.
        price: E8,
        /// Sum of their quantities.
        qty: E8,
        /// The buyer rested.
        buyer_is_maker: bool,
    },
    /// A recorded frame, resent unchanged.
    Recorded {
        /// The stream's name, as recorded: `btcusdt@depth@100ms`.
        stream: String,
        /// The frame as recorded, wrapper and all.
        frame: Bytes,
    },
}

/// A market event with its time and symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Event time: the `E` of payloads that carry one.
    pub at: VenueMicros,
    /// Which symbol.
    pub symbol: SymbolIndex,
    /// What happened.
    pub event: MarketEvent,
}

/// The book of one symbol at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Update id that it includes.
    pub last_update_id: u64,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
}

/// What is fixed about a symbol: the rows of `exchangeInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolSpec {
    /// `BTCUSDT`.
    pub symbol: String,
    /// `BTC`.
    pub base: String,
    /// `USDT`.
    pub quote: String,
    /// Price grid.
    pub tick: E8,
    /// Quantity grid.
    pub lot: E8,
}

/// A market that moves when told the time.
pub trait MarketSource: Send {
    /// The symbols, in the order of their [`SymbolIndex`].
    fn symbols(&self) -> &[SymbolSpec];

    /// When something will next be published; `None` when nothing ever will.
    fn next_at(&self) -> Option<VenueMicros>;

    /// Publishes everything due at or before `now`, in order, into `out`.
    ///
    /// A diff covers every change up to its time: after a call that published one as its newest
    /// event of the symbol's book, [`snapshot`](Self::snapshot) has the diff's last id. The venue
    /// calls this with `now` equal to [`next_at`](Self::next_at), so that this holds each time.
    fn advance(&mut self, now: VenueMicros, out: &mut Vec<Published>);

    /// The book now, at most `limit` levels a side.
    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot;
}
