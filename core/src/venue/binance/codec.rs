//! Binance Spot JSON market data and websocket-API replies: bytes to [`Update`]; answers to orders and user
//! data events are in [`orders`].
//!
//! Owns: the wire vocabulary, the symbol table, the scratch that levels are decoded into, and the
//! snapshot requests whose answers name no symbol. Does not: order, buffer or judge updates beyond
//! one message; book synchronisation does.
//!
//! Invariants: a message becomes an update or a typed [`Fault`], never a panic; nothing is
//! defaulted; nothing is allocated for a message that is not at fault.
//! `tolerant` defines what a message means; `fast` reads the usual forms of it and must agree.

#![expect(
    clippy::inline_always,
    reason = "reading a message and telling it are one straight run of code"
)]

mod fast;
mod object;
pub mod orders;
mod symbols;
mod tolerant;

use crate::event::Payload;
use crate::instrument::{InstrumentIndex, Instruments};
use crate::limits::{LEVELS_PER_SIDE_MAX, SNAPSHOTS_PENDING_MAX};
use crate::units::{Grid, Level, Lots, Ticks, VenueMillis};
use crate::venue::binance::fault::Fault;
use crate::wire::json::Scanner;
use crate::wire::json::cursor::Digits;
use crate::wire::json::pairs::{Lengths, PairReader};
use symbols::SymbolTable;

/// One message of the venue, decoded; levels live in the decoder until its next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update<'a> {
    /// Changes of one book: `<symbol>@depth`, `@depth@100ms`.
    Depth(DepthDiff<'a>),
    /// The best levels of one book, replacing what stood there: `<symbol>@depth5|10|20`.
    PartialDepth(PartialDepth<'a>),
    /// Best bid and ask: `<symbol>@bookTicker`.
    BookTicker(BookTicker),
    /// One trade: `<symbol>@trade`.
    Trade(Trade),
    /// All fills of one taker order at one price: `<symbol>@aggTrade`.
    AggTrade(AggTrade),
    /// The answer to a control message on a stream connection.
    SubscribeReply {
        /// The request's id; `None` when the venue names none or it is no integer.
        id: Option<i64>,
        /// The venue's error code; `None` for success.
        error: Option<i32>,
    },
    /// An answer of the websocket API.
    ApiReply(ApiReply<'a>),
    /// The venue will close this connection soon.
    ServerShutdown {
        /// The venue's time of the event.
        event_ms: VenueMillis,
    },
    /// Valid JSON of a kind that we do not read; counted.
    Ignored,
}

/// Changes of one book between two update ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthDiff<'a> {
    /// Whose book.
    pub instrument: InstrumentIndex,
    /// First update id in the event, `U`.
    pub first_id: u64,
    /// Last update id in the event, `u`; not below `first_id`.
    pub last_id: u64,
    /// The venue's time of the event, `E`, as sent.
    pub event_ms: VenueMillis,
    /// Changed bids, in the venue's order; zero quantity removes.
    pub bids: &'a [Level],
    /// Changed asks, in the venue's order; zero quantity removes.
    pub asks: &'a [Level],
}

/// The best levels of one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialDepth<'a> {
    /// Whose book; known from the stream's name alone.
    pub instrument: InstrumentIndex,
    /// Update id that the levels belong to.
    pub last_id: u64,
    /// Bids, best first.
    pub bids: &'a [Level],
    /// Asks, best first.
    pub asks: &'a [Level],
}

/// Best bid and ask. A side without orders has price and quantity zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookTicker {
    /// Whose book.
    pub instrument: InstrumentIndex,
    /// Update id, of the same counter as the diffs' ids.
    pub update_id: u64,
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
}

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// What was traded.
    pub instrument: InstrumentIndex,
    /// The venue's id, counted per symbol.
    pub trade_id: u64,
    /// At what price; positive.
    pub price: Ticks,
    /// How much; positive.
    pub qty: Lots,
    /// The venue's time of the event, `E`, as sent.
    pub event_ms: VenueMillis,
    /// The venue's time of the trade, `T`, as sent.
    pub trade_ms: VenueMillis,
    /// Whether the buyer's order was resting, which means that a seller was the aggressor.
    pub buyer_is_maker: bool,
}

/// All fills of one taker order at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggTrade {
    /// What was traded.
    pub instrument: InstrumentIndex,
    /// The venue's id, counted per symbol.
    pub agg_id: u64,
    /// Id of the first trade in it.
    pub first_trade_id: u64,
    /// Id of the last trade in it; not below the first.
    pub last_trade_id: u64,
    /// At what price; positive.
    pub price: Ticks,
    /// How much; positive.
    pub qty: Lots,
    /// The venue's time of the event, `E`, as sent.
    pub event_ms: VenueMillis,
    /// The venue's time of the trade, `T`, as sent.
    pub trade_ms: VenueMillis,
    /// Whether the buyer's order was resting, which means that a seller was the aggressor.
    pub buyer_is_maker: bool,
}

/// The envelope of a websocket-API answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiReply<'a> {
    /// The request's id; `None` when the venue names none or it is no integer.
    pub id: Option<i64>,
    /// The venue's status, with the meaning of HTTP's.
    pub status: u16,
    /// Request weight used in the running minute, when the answer says it.
    pub weight: Option<RequestWeight>,
    /// What the answer is.
    pub outcome: ApiOutcome<'a>,
}

/// Request weight of the running minute, as the venue counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestWeight {
    /// Used so far.
    pub used: u32,
    /// Allowed.
    pub limit: u32,
}

/// What a websocket-API answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiOutcome<'a> {
    /// A depth snapshot that [`Decoder::expect_snapshot`] announced.
    Snapshot(PartialDepth<'a>),
    /// The answer to `time`.
    ServerTime(VenueMillis),
    /// The request was refused.
    Error {
        /// The venue's error code.
        code: i32,
        /// When to ask again, on the venue's clock, when it says so.
        retry_after: Option<VenueMillis>,
    },
    /// Success, with a result that this decoder does not read, or a depth snapshot that nobody expects.
    Other,
}

/// No room for one more pending snapshot: [`SNAPSHOTS_PENDING_MAX`] are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SNAPSHOTS_PENDING_MAX} snapshot requests are unanswered")]
pub struct PendingFull;

/// How many messages took which way since the decoder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounts {
    /// Read by the scanner.
    pub fast: u64,
    /// Read by the tolerant parser, [`Update::Ignored`] and faults included.
    pub tolerant: u64,
    /// Valid messages of a kind that we do not read.
    pub ignored: u64,
}

/// The price and quantity grids of one instrument.
#[derive(Clone, Copy, Debug)]
struct Grids {
    tick: Grid,
    lot: Grid,
}

/// How long the numbers of an instrument's last messages were, for the scanner to guess from.
#[derive(Clone, Copy, Debug, Default)]
struct Habits {
    levels: Lengths,
    update_id: Digits,
    trade_id: Digits,
}

/// What decoding needs to know about instruments and requests; the scratch is apart from it, so
/// that a parser can fill one while it reads the other.
#[derive(Clone, Debug)]
struct Context {
    symbols: SymbolTable,
    grids: Vec<Grids>,
    habits: Vec<Habits>,
    pending: Vec<(i64, InstrumentIndex)>,
}

/// Levels of the message that was decoded last: the first so many of each side.
#[derive(Clone, Debug)]
struct Levels {
    bids: Box<[Level]>,
    asks: Box<[Level]>,
    bid_count: usize,
    ask_count: usize,
}

/// An [`Update`] whose levels still lie in the scratch.
#[derive(Clone, Copy, Debug)]
enum Message {
    Depth {
        instrument: InstrumentIndex,
        first_id: u64,
        last_id: u64,
        event_ms: VenueMillis,
    },
    PartialDepth {
        instrument: InstrumentIndex,
        last_id: u64,
    },
    BookTicker(BookTicker),
    Trade(Trade),
    AggTrade(AggTrade),
    SubscribeReply {
        id: Option<i64>,
        error: Option<i32>,
    },
    ApiReply {
        id: Option<i64>,
        status: u16,
        weight: Option<RequestWeight>,
        outcome: Outcome,
    },
    ServerShutdown {
        event_ms: VenueMillis,
    },
    Ignored,
}

/// An [`ApiOutcome`] whose levels still lie in the scratch.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Snapshot {
        instrument: InstrumentIndex,
        last_id: u64,
    },
    ServerTime(VenueMillis),
    Error {
        code: i32,
        retry_after: Option<VenueMillis>,
    },
    Other,
}

/// Decodes the messages of all links of one engine.
#[derive(Clone, Debug)]
pub struct Decoder {
    context: Context,
    /// The scanner's half; `None` leaves everything to the tolerant parser.
    pairs: Option<PairReader>,
    levels: Levels,
    counts: DecoderCounts,
}

impl Decoder {
    /// A decoder for these instruments with the fastest scanner of this CPU, all its memory reserved.
    pub fn new(instruments: &Instruments) -> Self {
        Self::with_scanner(instruments, Scanner::detect())
    }

    /// A decoder with a scanner of choice, for tests and benches.
    ///
    /// # Panics
    /// When this CPU does not have what the scanner needs.
    pub fn with_scanner(instruments: &Instruments, scanner: Scanner) -> Self {
        Self {
            context: Context {
                symbols: SymbolTable::new(instruments),
                grids: instruments
                    .iter()
                    .map(|(_, instrument)| Grids {
                        tick: instrument.tick,
                        lot: instrument.lot,
                    })
                    .collect(),
                habits: vec![Habits::default(); instruments.count()],
                pending: Vec::with_capacity(SNAPSHOTS_PENDING_MAX),
            },
            pairs: (scanner != Scanner::Tolerant).then(|| PairReader::new(scanner)),
            levels: Levels {
                bids: vec![Level::default(); LEVELS_PER_SIDE_MAX].into(),
                asks: vec![Level::default(); LEVELS_PER_SIDE_MAX].into(),
                bid_count: 0,
                ask_count: 0,
            },
            counts: DecoderCounts::default(),
        }
    }

    /// Decodes one message.
    ///
    /// An answer to an announced snapshot request, good or at fault, ends the announcement.
    ///
    /// # Errors
    /// A [`Fault`] that names the instrument wherever the message got far enough to tell.
    #[inline]
    pub fn decode(&mut self, payload: Payload<'_>) -> Result<Update<'_>, Fault> {
        // Counted beforehand, so that nothing stands between where a message is read and where it is told: the
        // compiler then joins the two for each kind.
        self.counts.fast += 1;
        let usual = match self.pairs {
            Some(pairs) => fast::decode(&payload, &mut self.context, pairs, &mut self.levels),
            None => None,
        };
        match usual {
            Some(message) => Ok(self.update(message)),
            None => self.decode_tolerantly(payload),
        }
    }

    #[cold]
    #[inline(never)]
    fn decode_tolerantly(&mut self, payload: Payload<'_>) -> Result<Update<'_>, Fault> {
        self.counts.fast -= 1;
        self.counts.tolerant += 1;
        let message = tolerant::decode(payload.bytes(), &mut self.context, &mut self.levels)?;
        if matches!(message, Message::Ignored) {
            self.counts.ignored += 1;
        }
        Ok(self.update(message))
    }

    /// Announces that the answer with this id will be a depth snapshot of this instrument: the
    /// answer itself names no symbol.
    ///
    /// # Errors
    /// [`PendingFull`] when [`SNAPSHOTS_PENDING_MAX`] are announced.
    pub fn expect_snapshot(
        &mut self,
        request_id: i64,
        instrument: InstrumentIndex,
    ) -> Result<(), PendingFull> {
        self.forget_snapshot(request_id);
        if self.context.pending.len() == SNAPSHOTS_PENDING_MAX {
            return Err(PendingFull);
        }
        self.context.pending.push((request_id, instrument));
        Ok(())
    }

    /// Forgets one announcement, for a request that timed out.
    pub fn forget_snapshot(&mut self, request_id: i64) {
        self.context.take_pending(request_id);
    }

    /// Forgets all announcements: for one decoder that serves many sessions, as in a fuzzer. The engine
    /// forgets each request by its own number.
    pub fn forget_all_snapshots(&mut self) {
        self.context.pending.clear();
    }

    /// How many messages took which way.
    pub const fn counts(&self) -> DecoderCounts {
        self.counts
    }

    #[inline(always)]
    fn update(&self, message: Message) -> Update<'_> {
        let bids = || &self.levels.bids[..self.levels.bid_count];
        let asks = || &self.levels.asks[..self.levels.ask_count];
        match message {
            Message::Depth {
                instrument,
                first_id,
                last_id,
                event_ms,
            } => Update::Depth(DepthDiff {
                instrument,
                first_id,
                last_id,
                event_ms,
                bids: bids(),
                asks: asks(),
            }),
            Message::PartialDepth {
                instrument,
                last_id,
            } => Update::PartialDepth(PartialDepth {
                instrument,
                last_id,
                bids: bids(),
                asks: asks(),
            }),
            Message::BookTicker(ticker) => Update::BookTicker(ticker),
            Message::Trade(trade) => Update::Trade(trade),
            Message::AggTrade(trade) => Update::AggTrade(trade),
            Message::SubscribeReply { id, error } => Update::SubscribeReply { id, error },
            Message::ApiReply {
                id,
                status,
                weight,
                outcome,
            } => Update::ApiReply(ApiReply {
                id,
                status,
                weight,
                outcome: match outcome {
                    Outcome::Snapshot {
                        instrument,
                        last_id,
                    } => ApiOutcome::Snapshot(PartialDepth {
                        instrument,
                        last_id,
                        bids: bids(),
                        asks: asks(),
                    }),
                    Outcome::ServerTime(at) => ApiOutcome::ServerTime(at),
                    Outcome::Error { code, retry_after } => ApiOutcome::Error { code, retry_after },
                    Outcome::Other => ApiOutcome::Other,
                },
            }),
            Message::ServerShutdown { event_ms } => Update::ServerShutdown { event_ms },
            Message::Ignored => Update::Ignored,
        }
    }
}

impl Context {
    fn grids(&self, instrument: InstrumentIndex) -> Grids {
        self.grids[instrument.as_usize()]
    }

    /// The instrument of an announced snapshot.
    fn pending(&self, request_id: i64) -> Option<InstrumentIndex> {
        self.pending
            .iter()
            .find(|(id, _)| *id == request_id)
            .map(|(_, instrument)| *instrument)
    }

    /// The instrument of an announced snapshot, which is announced no longer.
    fn take_pending(&mut self, request_id: i64) -> Option<InstrumentIndex> {
        let position = self.pending.iter().position(|(id, _)| *id == request_id)?;
        Some(self.pending.swap_remove(position).1)
    }
}

#[cfg(test)]
mod tests;
