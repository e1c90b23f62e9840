//! The whole brain behind one signature: [`Engine::handle`].
//!
//! Owns: [`Engine`] and the order in which one event is handled. Does not: read a clock or a random
//! number, touch a socket, or know anything that is not an argument or its own state; so the same
//! events give the same actions and the same records, bit for bit.
//!
//! One event: decode, apply, trade ([`Engine::react`]); then publish, book what was sent, serve what the session told
//! and the books whose time has come ([`Engine::finish`]). Between the two the edge may send what the event caused.
//! Timers of links, requests and the clock are served by a tick alone.
//!
//! | event | what happens |
//! | --- | --- |
//! | message | decoded; a fault is answered by the table of `venue::binance::fault`; a book that changed is shown to the strategy |
//! | link blocked | new orders are refused until the kernel takes more |
//! | command | carried out and answered by a record |
//! | link up, link down | the session moves; books and requests follow its notices |
//! | tick | due timers are served |
//! | backlog | remembered |
//! | wall clock | request windows and lag are measured by it until the venue's clock is known |
//! | shutdown | links close, a last record is written, and nothing is handled any more |
//!
//! Invariants: [`Engine::book`] shows a book only while it is live. Nothing is allocated after
//! [`Engine::new`]. A message costs time in proportion to its levels.

mod books;
mod brain;
mod links;
mod newest;
mod orders;
mod requests;
mod service;
mod trading;

pub use trading::Account;

use crate::book::Book;
use crate::config::EngineConfig;
use crate::deadlines::Timer;
use crate::event::{Command, Event, LinkId, LinkRole, Payload};
use crate::instrument::{Assets, InstrumentIndex, Instruments, Symbol};
use crate::limits::SETTLING_ROUNDS_MAX;
use crate::oms::Oms;
use crate::outbox::Outbox;
use crate::portfolio::{NoConversion, Portfolio};
use crate::risk::{LimitsError, Risk};
use crate::strategy::{Funnel, NoStrategy, Strategy};
use crate::telemetry::Telemetry;
use crate::telemetry::counters::{Counter, InstrumentCounter, MessageKind};
use crate::telemetry::gauges::Gauge;
use crate::telemetry::histograms::Stage;
use crate::telemetry::records::{EngineState, RecordBody, TradingPhase};
use crate::telemetry::samples::Sample;
use crate::telemetry::trace::TraceEvent;
use crate::units::Nanos;
use crate::venue::binance;
use crate::venue::binance::codec::orders::OrderDecoder;
use crate::venue::binance::codec::{ApiOutcome, Decoder, Update};
use crate::venue::binance::order_entry::client_ids::PrefixError;
use crate::venue::binance::order_entry::{ClientOrderIds, OrderEntryError};
use crate::venue::binance::resync::SyncState;
use crate::venue::binance::session::subscriptions::TooManyStreams;
use books::Origin;
use brain::Brain;

/// Takes one stage stamp. The edge supplies the TSC, replay supplies zeros; no decision reads a stamp.
pub trait Stopwatch {
    /// Now, on the engine's clock.
    fn stamp(&self) -> Nanos;
}

/// The stopwatch of replay and tests: every stamp is zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStopwatch;

impl Stopwatch for NoStopwatch {
    #[inline]
    fn stamp(&self) -> Nanos {
        Nanos::ZERO
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// One market connection cannot carry what is configured.
    #[error(transparent)]
    Streams(#[from] TooManyStreams),
    /// An instrument cannot be valued.
    #[error(transparent)]
    Conversion(#[from] NoConversion),
    /// No instrument has to do with the account currency.
    #[error("no instrument is bought, sold or paid in {0}, the account currency")]
    AccountCurrency(Symbol),
    /// A limit outside its range.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// Requests cannot be written.
    #[error(transparent)]
    OrderEntry(#[from] OrderEntryError),
    /// The instance's prefix.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
}

/// The trading engine: books, and where there is an account, orders.
pub struct Engine<S: Stopwatch, T = NoStrategy> {
    decoder: Decoder,
    /// Reads the order link; `None` for market data alone.
    orders: Option<OrderDecoder>,
    brain: Brain<T>,
    stopwatch: S,
    /// Messages that the decoder's tolerant parser had read when last counted.
    tolerant_counted: u64,
    /// What the last reaction left to [`Engine::finish`].
    unfinished: Option<Unfinished>,
}

/// What a reaction left undone.
#[derive(Clone, Copy)]
struct Unfinished {
    now: Nanos,
    /// The stamps of a message that changed a live book, and which.
    stages: Option<Stages>,
}

/// One message's stamps on its way to the book.
#[derive(Clone, Copy)]
struct Stages {
    instrument: InstrumentIndex,
    decoded: Nanos,
    book: Nanos,
}

impl<S: Stopwatch> Engine<S> {
    /// An engine for market data alone; see [`Engine::with_account`].
    ///
    /// # Errors
    /// [`EngineError::Streams`].
    pub fn new(
        config: EngineConfig,
        instruments: Instruments,
        telemetry: Telemetry,
        stopwatch: S,
    ) -> Result<Self, EngineError> {
        Self::with_account(config, instruments, telemetry, stopwatch, None)
    }
}

impl<S: Stopwatch, T: Strategy> Engine<S, T> {
    /// An engine without links, whose first deadline is at once; it trades where there is an account. All memory
    /// is reserved here.
    ///
    /// # Errors
    /// [`EngineError`] says what cannot be.
    pub fn with_account(
        config: EngineConfig,
        instruments: Instruments,
        telemetry: Telemetry,
        stopwatch: S,
        account: Option<Account<T>>,
    ) -> Result<Self, EngineError> {
        let orders = match &account {
            Some(account) => {
                let ids = ClientOrderIds::new(&account.config.prefix)?;
                let assets = binance::assets(&instruments);
                Some(OrderDecoder::new(&instruments, &assets, ids))
            }
            None => None,
        };
        Ok(Self {
            decoder: Decoder::new(&instruments),
            orders,
            brain: Brain::new(config, instruments, telemetry, account)?,
            stopwatch,
            tolerant_counted: 0,
            unfinished: None,
        })
    }

    /// Handles one event at `now` (for a message: when its bytes reached user space).
    ///
    /// `out` is empty at the call, and the edge performs what is in it before the next one; what found
    /// no room is tried again. `now` never goes back.
    #[inline]
    pub fn handle(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox) {
        self.react(now, event, out);
        self.finish(out);
    }

    /// The first half of [`Engine::handle`]: all that decides what is sent for this event. What the outbox holds
    /// afterwards may be performed at once; [`Engine::finish`] follows before anything else is asked of the engine,
    /// and a reaction that finds another unfinished finishes it first.
    #[inline]
    pub fn react(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox) {
        debug_assert!(out.is_empty(), "the last event's actions are performed");
        if self.unfinished.is_some() {
            self.finish(out);
        }
        if self.brain.state == EngineState::Stopped {
            return;
        }
        let mut unfinished = Unfinished { now, stages: None };
        match event {
            Event::Message { link, payload } => {
                unfinished.stages = self.message(now, link, payload, out);
            }
            Event::LinkUp { link } => {
                let brain = &mut self.brain;
                brain.session.link_up(now, link, out, &mut brain.notices);
            }
            Event::LinkDown { link, cause } => {
                let brain = &mut self.brain;
                brain
                    .session
                    .link_down(now, link, cause, &mut brain.notices);
            }
            Event::LinkRefused {
                link,
                status,
                pause,
            } => self.brain.link_refused(now, link, status, pause, out),
            Event::Command(Command::Shutdown) => {
                self.shut_down(now, out);
                return;
            }
            Event::Command(command) => self.command(now, &command, out),
            Event::LinkBlocked { link, blocked } => {
                if let Some(trading) = &mut self.brain.trading {
                    trading.link_blocked(link, blocked);
                }
            }
            Event::Tick => self.tick(now, out),
            Event::Backlog(above) => {
                self.brain.backlog = above;
                self.brain
                    .telemetry
                    .gauges
                    .set(Gauge::TelemetryBacklog, i64::from(above));
                self.brain
                    .telemetry
                    .trace
                    .push(now, TraceEvent::Backlog(above));
            }
            Event::WallClock { unix_ns_at_zero } => {
                self.brain.wall_clock_measured(now, unix_ns_at_zero);
            }
        }
        self.unfinished = Some(unfinished);
    }

    /// The second half of [`Engine::handle`]: books what was sent, publishes, counts latencies, serves what came due.
    /// What it adds to the outbox is performed as well.
    #[inline]
    pub fn finish(&mut self, out: &mut Outbox) {
        let Some(Unfinished { now, stages }) = self.unfinished.take() else {
            return;
        };
        if let Some(stages) = stages {
            self.publish_stages(now, stages);
        }
        if let Some(mut desk) = self.brain.desk(now, &self.stopwatch, out) {
            desk.book_sent();
        }
        if !self.brain.notices.is_empty()
            || self.brain.deadlines.is_due(Timer::Books, now)
            || self.brain.deadlines.is_due(Timer::Orders, now)
        {
            self.settle(now, out);
        }
    }

    /// Publishes a book that a message changed, and the stamps of that.
    fn publish_stages(&mut self, now: Nanos, stages: Stages) {
        let Stages {
            instrument,
            decoded,
            book,
        } = stages;
        self.brain.publish_book(now, instrument);
        let telemetry = &mut self.brain.telemetry;
        let histograms = &mut telemetry.histograms;
        histograms.record(Stage::DecodedToBook, decoded, book);
        histograms.record(Stage::RecvToBook, now, book);
        telemetry.samples.push(Sample::Stages {
            instrument,
            recv: now,
            decoded,
            book,
        });
    }

    /// When to call [`Engine::handle`] with [`Event::Tick`]; `None` while no timer runs.
    #[inline]
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.brain.deadlines.earliest()
    }

    /// The book of an instrument, while it is live.
    pub fn book(&self, instrument: InstrumentIndex) -> Option<&Book> {
        let market = &self.brain.markets[instrument.as_usize()];
        (market.sync.state() == SyncState::Live).then_some(&market.book)
    }

    /// Where the synchronisation of a book stands, and the last update id that it holds.
    pub fn book_state(&self, instrument: InstrumentIndex) -> (SyncState, u64) {
        let sync = &self.brain.markets[instrument.as_usize()].sync;
        (sync.state(), sync.last_id())
    }

    /// Where the engine stands.
    pub fn state(&self) -> EngineState {
        self.brain.state
    }

    /// Whether the records ring is above its mark.
    pub fn backlog(&self) -> bool {
        self.brain.backlog
    }

    /// The instruments, in the order of their indices.
    pub fn instruments(&self) -> &Instruments {
        &self.brain.instruments
    }

    /// Orders and what became of them; `None` for market data alone.
    pub fn oms(&self) -> Option<&Oms> {
        self.brain.trading.as_ref().map(trading::Trading::oms)
    }

    /// The account; `None` for market data alone.
    pub fn portfolio(&self) -> Option<&Portfolio> {
        self.brain.trading.as_ref().map(trading::Trading::portfolio)
    }

    /// Limits and trading state; `None` for market data alone.
    pub fn risk(&self) -> Option<&Risk> {
        self.brain.trading.as_ref().map(trading::Trading::risk)
    }

    /// Counts from signal to fill; `None` for market data alone.
    pub fn funnel(&self) -> Option<&Funnel> {
        self.brain.trading.as_ref().map(trading::Trading::funnel)
    }

    /// The assets of the account; `None` for market data alone.
    pub fn assets(&self) -> Option<&Assets> {
        self.brain.trading.as_ref().map(|trading| &trading.assets)
    }

    /// Whether the venue listed our open orders in this run: orders of earlier runs are among ours from then on.
    pub fn has_listed_orders(&self) -> bool {
        let trading = self.brain.trading.as_ref();
        trading.is_some_and(trading::Trading::has_listed_orders)
    }

    /// How far trading has come.
    pub fn trading_phase(&self) -> TradingPhase {
        self.brain
            .trading
            .as_ref()
            .map_or(TradingPhase::Off, trading::Trading::phase)
    }

    /// The kernel took the orders that the event of `now` caused; `stamp` is the stopwatch's of that. For latencies
    /// alone: nothing is decided by it.
    pub fn orders_in_kernel(&mut self, now: Nanos, stamp: Nanos) {
        if let Some(trading) = &mut self.brain.trading {
            trading.orders_in_kernel(now, stamp);
        }
    }

    /// The core's telemetry, for the edge's own counts and for a panic's dump.
    pub fn telemetry(&mut self) -> &mut Telemetry {
        &mut self.brain.telemetry
    }

    /// One message; returns the stamps of one that changed a live book, which is not published yet.
    #[inline]
    fn message(
        &mut self,
        now: Nanos,
        link: LinkId,
        payload: Payload<'_>,
        out: &mut Outbox,
    ) -> Option<Stages> {
        if link.role == LinkRole::Orders {
            self.order_message(now, link, payload, out);
            return None;
        }
        let Self {
            decoder,
            brain,
            stopwatch,
            tolerant_counted,
            ..
        } = self;
        let Some(source) = brain.session.heard(now, link) else {
            // A link that we gave up; what it still says is nothing to us.
            brain.telemetry.counters.increment(Counter::Ignored);
            return None;
        };
        let bytes = payload.bytes().len() as u32;
        brain
            .telemetry
            .trace
            .push(now, TraceEvent::Message(link, bytes));
        let tolerant = decoder.counts().tolerant;
        if tolerant != *tolerant_counted {
            let counters = &mut brain.telemetry.counters;
            counters.add(Counter::TolerantParses, tolerant - *tolerant_counted);
            *tolerant_counted = tolerant;
        }
        let decoded = decoder.decode(payload);
        let decoded_at = stopwatch.stamp();
        brain
            .telemetry
            .histograms
            .record(Stage::RecvToDecoded, now, decoded_at);
        let update = match decoded {
            Ok(update) => update,
            Err(fault) => {
                brain.fault(now, link, fault, out);
                return None;
            }
        };
        let origin = Origin { link, source };
        let (kind, instrument) = kind_of(&update);
        brain.telemetry.counters.message(kind);
        if let Some(instrument) = instrument {
            brain
                .telemetry
                .counters
                .instrument(instrument, InstrumentCounter::Messages);
        }
        match update {
            Update::Depth(diff) => {
                if brain.depth(now, origin, &diff, out) {
                    let instrument = diff.instrument;
                    let book = stopwatch.stamp();
                    brain.market_moved(now, instrument, book, stopwatch, out);
                    return Some(Stages {
                        instrument,
                        decoded: decoded_at,
                        book,
                    });
                }
            }
            // The diffs are the truth about a book; a partial one is counted, no more.
            Update::PartialDepth(_) => {}
            Update::BookTicker(ticker) => brain.book_ticker(now, origin, &ticker, out),
            Update::Trade(trade) => {
                if brain.trade(now, origin, &trade, out) {
                    brain.traded(now, &trade, stopwatch, out);
                }
            }
            Update::AggTrade(trade) => brain.agg_trade(now, origin, &trade, out),
            Update::SubscribeReply { id, error } => {
                brain.subscribe_reply(now, link, id, error, out);
            }
            Update::ApiReply(reply) => brain.api_reply(now, link, &reply, out),
            Update::ServerShutdown { .. } => brain.venue_closes(now, link),
            Update::Ignored => brain.telemetry.counters.increment(Counter::Ignored),
        }
        None
    }

    /// Serves the timers that are due; books are served after every event.
    fn tick(&mut self, now: Nanos, out: &mut Outbox) {
        let Self { decoder, brain, .. } = self;
        if brain.deadlines.take_due(Timer::Links, now) {
            brain.session.tick(now, out, &mut brain.notices);
            brain.deadlines.set(Timer::Links, brain.session.due());
        }
        if brain.deadlines.take_due(Timer::Requests, now) {
            brain.serve_requests(now, decoder, out);
        }
        if brain.deadlines.take_due(Timer::VenueClock, now) {
            brain.serve_clock(now, decoder, out);
        }
    }

    /// Works off what the event set going.
    #[cold]
    fn settle(&mut self, now: Nanos, out: &mut Outbox) {
        let Self {
            decoder,
            brain,
            stopwatch,
            ..
        } = self;
        for _ in 0..SETTLING_ROUNDS_MAX {
            if !brain.notices.is_empty() {
                brain.serve_notices(now, decoder);
                brain.deadlines.set(Timer::Links, brain.session.due());
            }
            if brain.deadlines.take_due(Timer::Books, now) {
                brain.serve_books(now, decoder, out);
            }
            if brain.deadlines.take_due(Timer::Orders, now)
                && let Some(mut desk) = brain.desk(now, stopwatch, out)
            {
                desk.serve();
            }
            if brain.notices.is_empty()
                && !brain.deadlines.is_due(Timer::Books, now)
                && !brain.deadlines.is_due(Timer::Orders, now)
            {
                break;
            }
        }
    }

    fn shut_down(&mut self, now: Nanos, out: &mut Outbox) {
        let Self { decoder, brain, .. } = self;
        brain.publish_engine_state(now, EngineState::Stopping);
        let links_closed: usize = LinkRole::ALL
            .into_iter()
            .map(|role| brain.session.up_count(role))
            .sum();
        brain.session.stop(now, out, &mut brain.notices);
        brain.serve_notices(now, decoder);
        for timer in Timer::ALL {
            brain.deadlines.set(timer, Nanos::MAX);
        }
        brain.publish_engine_state(now, EngineState::Stopped);
        brain.telemetry.records.push(
            now,
            RecordBody::Shutdown {
                links_closed: links_closed as u32,
            },
        );
    }
}

/// What an update counts as, and of which instrument.
#[inline]
fn kind_of(update: &Update<'_>) -> (MessageKind, Option<InstrumentIndex>) {
    match update {
        Update::Depth(diff) => (MessageKind::DepthDiff, Some(diff.instrument)),
        Update::PartialDepth(depth) => (MessageKind::DepthPartial, Some(depth.instrument)),
        Update::BookTicker(ticker) => (MessageKind::BookTicker, Some(ticker.instrument)),
        Update::Trade(trade) => (MessageKind::Trade, Some(trade.instrument)),
        Update::AggTrade(trade) => (MessageKind::AggTrade, Some(trade.instrument)),
        Update::ApiReply(reply) => match reply.outcome {
            ApiOutcome::Snapshot(depth) => (MessageKind::DepthSnapshot, Some(depth.instrument)),
            ApiOutcome::ServerTime(_) | ApiOutcome::Error { .. } | ApiOutcome::Other => {
                (MessageKind::Control, None)
            }
        },
        Update::SubscribeReply { .. } | Update::ServerShutdown { .. } | Update::Ignored => {
            (MessageKind::Control, None)
        }
    }
}
