//! A snapshot of the running engine for people: the terminal view shows it.
//!
//! Owns: [`Status`] and its lines. Does not: draw. Invariant: a book that is not live has no price here
//! either, because its state and its prices come from one read.

mod trading;

pub use trading::{PositionLine, TradingLine, positions, trading};

use crate::latency::Quantiles;
use veloz_core::event::LinkRole;
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::risk::Limit;
use veloz_core::telemetry::counters::{CounterReader, InstrumentCounter};
use veloz_core::telemetry::gauges::GaugeReader;
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::{BookState, EngineState};
use veloz_core::units::{E8, Nanos};

/// Everything worth a look, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// When it was taken, on the engine's clock; also the time since the process started.
    pub at: Nanos,
    /// Where the engine said that it stands; `None` before its first word.
    pub engine: Option<EngineState>,
    /// Whether the core's heartbeat is younger than its bound.
    pub running: bool,
    /// Connections up, by role.
    pub links_up: [usize; LinkRole::ALL.len()],
    /// One line an instrument.
    pub books: Vec<BookLine>,
    /// The account; `None` when this engine has none.
    pub trading: Option<TradingLine>,
    /// Its positions, one line an instrument; empty without an account.
    pub positions: Vec<PositionLine>,
    /// Rates over the last second.
    pub rates: Rates,
    /// Latency by stage, for the stages that have observations.
    pub latencies: Vec<LatencyLine>,
    /// The message of the last second that took longest to the book, if its stamps were not dropped.
    pub slowest: Option<Slowest>,
    /// The rings from the core.
    pub rings: Vec<RingLine>,
    /// Faults of the venue since the start.
    pub faults: u64,
    /// Connections replaced since the start.
    pub reconnects: u64,
}

/// One book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookLine {
    /// The venue's name of the instrument.
    pub symbol: String,
    /// Its state; `None` when the core stands still in the middle of publishing it.
    pub state: Option<BookState>,
    /// The age of a live book whose last update is longer ago than risk takes orders on it.
    pub stale_for: Option<Nanos>,
    /// Best bid's price and quantity, while the book is live and has one.
    pub bid: Option<(E8, E8)>,
    /// Best ask's price and quantity, while the book is live and has one.
    pub ask: Option<(E8, E8)>,
    /// The venue's id of the last update, while the book is live.
    pub last_update_id: Option<u64>,
    /// Receive time minus venue event time in nanoseconds, while the book is live.
    pub lag_ns: Option<i64>,
    /// Levels held on the bid and the ask side.
    pub levels: (u32, u32),
    /// Messages since the start.
    pub messages: u64,
    /// Messages in the last second.
    pub messages_per_second: u64,
    /// Times that it was rebuilt since the start.
    pub resyncs: u64,
    /// Price and quantity of the last trade seen.
    pub last_trade: Option<(E8, E8)>,
}

impl BookLine {
    /// A book of which only the state is known.
    pub fn without_price(symbol: &str, state: Option<BookState>) -> Self {
        Self {
            symbol: symbol.to_owned(),
            state,
            stale_for: None,
            bid: None,
            ask: None,
            last_update_id: None,
            lag_ns: None,
            levels: (0, 0),
            messages: 0,
            messages_per_second: 0,
            resyncs: 0,
            last_trade: None,
        }
    }
}

/// All books as the core publishes them now; what only the drain knows is left empty.
pub fn books(
    instruments: &Instruments,
    counters: &CounterReader,
    gauges: &GaugeReader,
    now: Nanos,
) -> Vec<BookLine> {
    instruments
        .iter()
        .map(|(index, instrument)| {
            let book = gauges.book(index);
            let mut line =
                BookLine::without_price(instrument.symbol.as_str(), book.map(|book| book.state()));
            line.messages = counters.instrument(index, InstrumentCounter::Messages);
            line.resyncs = counters.instrument(index, InstrumentCounter::Resyncs);
            if let Some(book) = book {
                let limits = gauges.limits(index);
                let age_max = limits.and_then(|limits| limits.of(Limit::MarketDataAge).1);
                line.stale_for = age_max
                    .and_then(|max| u64::try_from(max).ok())
                    .map(|max| (now.since(book.updated_at()), Nanos(max)))
                    .filter(|(age, max)| book.state() == BookState::Live && age > max)
                    .map(|(age, _)| age);
                line.levels = book.level_counts();
                line.last_update_id = book.last_update_id();
                line.lag_ns = book.lag_ns();
                if let Some(touch) = book.touch() {
                    let in_text = |(price, qty)| (instrument.price(price), instrument.qty(qty));
                    line.bid = touch.bid.map(in_text);
                    line.ask = touch.ask.map(in_text);
                }
            }
            line
        })
        .collect()
}

/// What happened in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages of all kinds.
    pub messages: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Trades seen, single and aggregated.
    pub trades: u64,
    /// Changes of a best bid or ask, as far as samples were not dropped.
    pub touches: u64,
    /// Turns of the core's loop.
    pub turns: u64,
}

/// Where one message spent its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowest {
    /// Which book it belonged to.
    pub instrument: InstrumentIndex,
    /// Bytes in user space to decoded update.
    pub decode_ns: u64,
    /// Decoded update to updated book.
    pub book_ns: u64,
}

impl Slowest {
    /// Bytes in user space to updated book.
    pub fn total_ns(&self) -> u64 {
        self.decode_ns + self.book_ns
    }
}

/// One stage's latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyLine {
    /// Which stage.
    pub stage: Stage,
    /// Of the last second.
    pub last_second: Quantiles,
    /// Since the start.
    pub since_start: Quantiles,
}

/// One ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLine {
    /// Its stable name.
    pub name: &'static str,
    /// Elements waiting.
    pub used: u64,
    /// The most that were ever found waiting.
    pub used_max: u64,
    /// Elements that fit.
    pub capacity: u64,
    /// Elements taken out since the start.
    pub taken: u64,
    /// Elements that it had no room for since the start.
    pub lost: u64,
}
