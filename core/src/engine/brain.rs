//! What the engine knows, apart from the decoder whose scratch an update borrows.
//!
//! Owns: [`Brain`]: books and their synchronisation, links, requests, budget, timers, telemetry.
//! Here stand the acts that everything else ends in: a fault is counted and answered, a book leaves
//! its chain, a book's state is published.

use crate::book::{Book, Side};
use crate::config::{EngineConfig, SnapshotDepth};
use crate::deadlines::{Deadlines, Timer};
use crate::event::{LinkDown, LinkId, Token};
use crate::instrument::{InstrumentIndex, Instruments};
use crate::jitter::Jitter;
use crate::limits::{
    BOOK_FAR_LEVELS_MAX, BOOK_WINDOW_TICKS, FAULT_RECORDS_PER_SECOND_MAX, NOTICES_PER_EVENT_MAX,
    SHOW_BOOK_EVERY,
};
use crate::outbox::Outbox;
use crate::strategy::Strategy;
use crate::telemetry::Telemetry;
use crate::telemetry::counters::InstrumentCounter;
use crate::telemetry::gauges::{BookGauges, Gauge, Touch};
use crate::telemetry::records::{BookState, CommandResult, EngineState, RecordBody, ResyncCause};
use crate::telemetry::trace::TraceEvent;
use crate::units::{Level, Nanos, VenueMillis};
use crate::venue::binance::clock::VenueClock;
use crate::venue::binance::fault::{Detail, Fault, OnFault, VenueFault};
use crate::venue::binance::rate::{RequestBudget, snapshot_plan};
use crate::venue::binance::resync::window::{WindowIndex, Windows};
use crate::venue::binance::resync::{BookSync, SyncState};
use crate::venue::binance::session::subscriptions::Subscriptions;
use crate::venue::binance::session::{Notice, Session};

use super::EngineError;
use super::Stopwatch;
use super::newest::Newest;
use super::requests::Requests;
use super::trading::{Account, Clocks, Desk, Trading};

/// Time between two replacements of a market link because some stream on it is silent. A replacement
/// that did not help will not help a second time, and a dead instrument must not cost a link a minute.
pub(super) const SILENT_REPLACE_INTERVAL: Nanos = Nanos::from_secs(300);

/// From here on a wall clock has jumped. Slewed by at most 500 ppm (`adjtime(3)`), it moves by half a millisecond between two
/// measurements a second apart; what jumps by less is far within any bound on its offset.
pub(super) const WALL_CLOCK_JUMP: Nanos = Nanos::from_ms(10);

/// The best price that the venue last published by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastTicker {
    pub(super) update_id: u64,
    pub(super) bid: Level,
    pub(super) ask: Level,
}

/// One instrument.
pub(super) struct Market {
    pub(super) book: Book,
    pub(super) sync: BookSync,
    pub(super) window: Option<WindowIndex>,
    /// Whether the book was live since its stream came up.
    was_live: bool,
    published: BookState,
    pub(super) touch: Touch,
    /// The touch of the last sample.
    pub(super) touch_told: Touch,
    /// When the venue made the last update, if it said so.
    pub(super) event_ms: Option<VenueMillis>,
    /// When the book was last updated.
    pub(super) updated_at: Nanos,
    /// When its levels were last shown.
    shown_at: Option<Nanos>,
    pub(super) ticker: LastTicker,
    pub(super) tickers: Newest,
    pub(super) trades: Newest,
    pub(super) agg_trades: Newest,
}

const NO_TOUCH: Touch = Touch {
    bid: None,
    ask: None,
};

impl Market {
    fn new() -> Self {
        Self {
            book: Book::new(BOOK_WINDOW_TICKS, BOOK_FAR_LEVELS_MAX),
            sync: BookSync::default(),
            window: None,
            was_live: false,
            published: BookState::Waiting,
            touch: NO_TOUCH,
            touch_told: NO_TOUCH,
            event_ms: None,
            updated_at: Nanos::ZERO,
            shown_at: None,
            ticker: LastTicker::default(),
            tickers: Newest::default(),
            trades: Newest::default(),
            agg_trades: Newest::default(),
        }
    }

    fn state(&self) -> BookState {
        match self.sync.state() {
            SyncState::Idle => BookState::Waiting,
            SyncState::Live => BookState::Live,
            SyncState::Waiting
            | SyncState::Buffering
            | SyncState::Requested
            | SyncState::Bridging => {
                if self.was_live {
                    BookState::Resyncing
                } else {
                    BookState::Syncing
                }
            }
        }
    }

    pub(super) fn best(&self) -> Touch {
        let side = |side| {
            self.book
                .best(side)
                .map(|level: Level| (level.price, level.qty))
        };
        Touch {
            bid: side(Side::Bid),
            ask: side(Side::Ask),
        }
    }
}

/// See the module's text.
pub(super) struct Brain<T> {
    pub(super) config: EngineConfig,
    pub(super) instruments: Instruments,
    pub(super) telemetry: Telemetry,
    pub(super) markets: Vec<Market>,
    pub(super) windows: Windows,
    pub(super) session: Session,
    pub(super) notices: Vec<Notice>,
    pub(super) requests: Requests,
    pub(super) budget: RequestBudget,
    pub(super) venue_clock: VenueClock,
    pub(super) deadlines: Deadlines,
    pub(super) jitter: Jitter,
    pub(super) snapshot_levels: u16,
    /// Wall clock of this machine: Unix nanoseconds at the engine's zero.
    pub(super) unix_ns_at_zero: Option<i64>,
    /// Unix nanoseconds at the engine's zero on the venue's clock, or on ours while that is unknown.
    venue_ns_at_zero: Option<i64>,
    pub(super) silent_replace_at: Nanos,
    pub(super) state: EngineState,
    pub(super) live_count: usize,
    pub(super) backlog: bool,
    /// Orders and the account; `None` for market data alone.
    pub(super) trading: Option<Trading<T>>,
    fault_second: u64,
    fault_records: u32,
}

impl<T: Strategy> Brain<T> {
    pub(super) fn new(
        config: EngineConfig,
        instruments: Instruments,
        telemetry: Telemetry,
        account: Option<Account<T>>,
    ) -> Result<Self, EngineError> {
        let subscriptions = Subscriptions::new(&instruments, config.streams)?;
        let count = instruments.count();
        let weight_per_minute = config.requests.weight_per_minute;
        let mut jitter = Jitter::new(config.seed);
        let session = Session::new(
            config.links,
            config.requests.reply_timeout,
            subscriptions,
            account.is_some(),
            jitter.fork(),
        );
        let trading = account
            .map(|account| Trading::new(account, &instruments))
            .transpose()?;
        let mut deadlines = Deadlines::default();
        deadlines.set(Timer::Links, session.due());
        let mut brain = Self {
            snapshot_levels: match config.books.snapshot_depth {
                SnapshotDepth::Auto => snapshot_plan(count, weight_per_minute),
                SnapshotDepth::Levels(levels) => levels,
            },
            config,
            instruments,
            telemetry,
            markets: (0..count).map(|_| Market::new()).collect(),
            windows: Windows::default(),
            session,
            notices: Vec::with_capacity(NOTICES_PER_EVENT_MAX),
            requests: Requests::new(),
            budget: RequestBudget::new(weight_per_minute),
            venue_clock: VenueClock::default(),
            deadlines,
            jitter,
            unix_ns_at_zero: None,
            venue_ns_at_zero: None,
            silent_replace_at: Nanos::ZERO,
            state: EngineState::Starting,
            live_count: 0,
            backlog: false,
            trading,
            fault_second: 0,
            fault_records: 0,
        };
        brain.publish_memory();
        if let Some(trading) = &brain.trading {
            // Whoever stops an engine before its first event has to see that there is something to wait for.
            let phase = trading.phase().index() as i64;
            brain.telemetry.gauges.set(Gauge::TradingPhase, phase);
        }
        Ok(brain)
    }

    /// Trading with everything that it needs of the rest; `None` for market data alone.
    #[inline]
    pub(super) fn desk<'a, S: Stopwatch>(
        &'a mut self,
        now: Nanos,
        watch: &'a S,
        out: &'a mut Outbox,
    ) -> Option<Desk<'a, T, S>> {
        // First, because most events of an engine without an account end here.
        let trading = self.trading.as_mut()?;
        let clocks = Clocks {
            offset_ns: self.venue_clock.offset_ns(self.unix_ns_at_zero),
            unix_ns_at_zero: self.venue_ns_at_zero,
        };
        Some(Desk {
            now,
            trading,
            markets: &self.markets,
            instruments: &self.instruments,
            session: &mut self.session,
            session_notices: &mut self.notices,
            budget: &mut self.budget,
            venue_clock: &mut self.venue_clock,
            telemetry: &mut self.telemetry,
            deadlines: &mut self.deadlines,
            clocks,
            backlog: self.backlog,
            watch,
            out,
        })
    }

    /// Publishes the best levels of a book for somebody who looks at it, at most every [`SHOW_BOOK_EVERY`].
    pub(super) fn show_book(&mut self, now: Nanos, token: Token, instrument: InstrumentIndex) {
        let result = match self.markets.get_mut(instrument.as_usize()) {
            Some(market) => {
                let due = market
                    .shown_at
                    .is_none_or(|shown_at| now.since(shown_at) >= SHOW_BOOK_EVERY);
                if due {
                    market.shown_at = Some(now);
                    let live = market.sync.state() == SyncState::Live;
                    let last_update_id = market.sync.last_id();
                    let book = live.then_some((&market.book, last_update_id));
                    self.telemetry.gauges.depth(instrument, now, book);
                }
                CommandResult::Done
            }
            None => CommandResult::InvalidValue,
        };
        let answer = RecordBody::CommandDone {
            token,
            result,
            reason: None,
            order: None,
        };
        self.telemetry.records.push(now, answer);
    }

    /// Counts a fault and does what the table says about its kind.
    pub(super) fn fault(&mut self, now: Nanos, link: LinkId, fault: Fault, out: &mut Outbox) {
        self.count_fault(now, link, fault);
        match fault.response() {
            OnFault::CountAndDrop => {}
            OnFault::Resync => {
                let instrument = fault.instrument.expect("the answer is laid at its door");
                let (expected, got) = match fault.detail {
                    Detail::Ids { expected, got } => (expected, got),
                    Detail::None | Detail::Field(_) | Detail::Code(_) => (0, 0),
                };
                self.resync(now, instrument, resync_cause(fault.kind), expected, got);
            }
            OnFault::Reconnect => {
                self.session
                    .fail(now, link, LinkDown::Requested, out, &mut self.notices);
            }
            // Only faults of the orders link are answered so, and none of them comes from here.
            OnFault::Reconcile => {}
            OnFault::Halt => {
                let until = self.budget.blocked_until();
                self.session.close_all(now, until, out, &mut self.notices);
            }
        }
    }

    /// Counts a fault whose answer is being given already.
    pub(super) fn count_fault(&mut self, now: Nanos, link: LinkId, fault: Fault) {
        let kind = fault.kind as u8;
        self.telemetry.counters.fault(kind);
        self.telemetry.trace.push(now, TraceEvent::Fault(kind));
        let second = now.0 / Nanos::from_secs(1).0;
        if second != self.fault_second {
            self.fault_second = second;
            self.fault_records = 0;
        }
        if self.fault_records == FAULT_RECORDS_PER_SECOND_MAX {
            return;
        }
        self.fault_records += 1;
        self.telemetry.records.push(
            now,
            RecordBody::Fault {
                link,
                instrument: fault.instrument,
                kind,
                detail: match fault.detail {
                    Detail::None | Detail::Field(_) => 0,
                    Detail::Ids { got, .. } => got,
                    Detail::Code(code) => i64::from(code) as u64,
                },
            },
        );
    }

    /// A book failed: it is not live from now on and starts again.
    pub(super) fn resync(
        &mut self,
        now: Nanos,
        instrument: InstrumentIndex,
        cause: ResyncCause,
        expected: u64,
        got: u64,
    ) {
        let market = &mut self.markets[instrument.as_usize()];
        if market.sync.state() == SyncState::Idle || market.sync.state() == SyncState::Waiting {
            return;
        }
        market.sync.fail(now, &self.config.books, &mut self.jitter);
        self.left_chain(now, instrument, cause, expected, got);
    }

    /// Tells that a book left its chain, and frees what it held.
    pub(super) fn left_chain(
        &mut self,
        now: Nanos,
        instrument: InstrumentIndex,
        cause: ResyncCause,
        expected: u64,
        got: u64,
    ) {
        let market = &mut self.markets[instrument.as_usize()];
        market.ticker = LastTicker::default();
        self.telemetry.counters.resync(instrument, cause);
        if cause == ResyncCause::Gap {
            self.telemetry
                .counters
                .instrument(instrument, InstrumentCounter::Gaps);
        }
        self.telemetry
            .trace
            .push(now, TraceEvent::Resync(instrument, cause));
        self.telemetry.records.push(
            now,
            RecordBody::Resync {
                instrument,
                cause,
                expected,
                got,
            },
        );
        self.free_window(now, instrument);
        self.publish_state(now, instrument);
        self.arm(instrument);
    }

    /// Takes back what a book that collects no more held for collecting.
    pub(super) fn free_window(&mut self, now: Nanos, instrument: InstrumentIndex) {
        if let Some(window) = self.markets[instrument.as_usize()].window.take() {
            self.windows.give_back(window);
            self.requests.abandon_snapshot(instrument);
            self.wake_all(now);
        }
    }

    /// Lets books that wait for a window or for the API link try again.
    pub(super) fn wake_all(&mut self, now: Nanos) {
        for market in &mut self.markets {
            market.sync.wake(now);
        }
        self.deadlines.set_earlier(Timer::Books, now);
    }

    /// Has the timer look at a book when the book wants it.
    pub(super) fn arm(&mut self, instrument: InstrumentIndex) {
        let due = self.markets[instrument.as_usize()].sync.due();
        self.deadlines.set_earlier(Timer::Books, due);
    }

    /// Records and publishes the state of a book, if it changed.
    pub(super) fn publish_state(&mut self, now: Nanos, instrument: InstrumentIndex) {
        let market = &mut self.markets[instrument.as_usize()];
        match market.sync.state() {
            SyncState::Idle => market.was_live = false,
            SyncState::Live => market.was_live = true,
            SyncState::Waiting
            | SyncState::Buffering
            | SyncState::Requested
            | SyncState::Bridging => {}
        }
        let (from, to) = (market.published, market.state());
        if from == to {
            return;
        }
        market.published = to;
        let last_update_id = market.sync.last_id();
        if to == BookState::Live {
            self.live_count += 1;
        } else {
            market.touch = NO_TOUCH;
            market.touch_told = NO_TOUCH;
            self.telemetry
                .gauges
                .book(instrument, BookGauges::not_live(to, now));
        }
        if from == BookState::Live {
            self.live_count -= 1;
            if let Some(trading) = &mut self.trading {
                trading.book_lost(instrument);
                self.deadlines.set_earlier(Timer::Orders, now);
            }
        }
        self.telemetry
            .trace
            .push(now, TraceEvent::BookState(instrument, to));
        self.telemetry.records.push(
            now,
            RecordBody::BookState {
                instrument,
                from,
                to,
                last_update_id,
            },
        );
        let state = self.state_of_books();
        self.publish_engine_state(now, state);
    }

    /// Records the engine's state, if it changed.
    pub(super) fn publish_engine_state(&mut self, now: Nanos, to: EngineState) {
        let from = self.state;
        if from == to {
            return;
        }
        self.state = to;
        self.telemetry.trace.push(now, TraceEvent::EngineState(to));
        self.telemetry
            .records
            .push(now, RecordBody::EngineState { from, to });
    }

    /// The state that follows from the books.
    fn state_of_books(&self) -> EngineState {
        match self.state {
            EngineState::Stopping | EngineState::Stopped => self.state,
            _ if self.live_count == self.markets.len() => EngineState::Ready,
            EngineState::Starting => EngineState::Starting,
            EngineState::Ready | EngineState::Degraded => EngineState::Degraded,
        }
    }

    /// Our wall clock was measured. When it jumped, it or the engine's own stepped, as when the machine slept: what the
    /// venue's clock was measured to be holds no more, and a wall clock that is wrong by as much would look right.
    pub(super) fn wall_clock_measured(&mut self, now: Nanos, unix_ns_at_zero: i64) {
        let before = self.unix_ns_at_zero.replace(unix_ns_at_zero);
        if before.is_some_and(|before| before.abs_diff(unix_ns_at_zero) >= WALL_CLOCK_JUMP.0) {
            self.venue_clock.doubt(now);
            self.deadlines.set_earlier(Timer::VenueClock, now);
        }
        self.clocks_changed();
    }

    /// The best clock that we have: the venue's own answers, or this machine's wall clock.
    pub(super) fn clocks_changed(&mut self) {
        let venue = self.venue_clock.unix_ns_at_zero();
        self.venue_ns_at_zero = venue.or(self.unix_ns_at_zero);
        if let Some(at_zero) = self.venue_ns_at_zero {
            self.budget.set_wall_clock(at_zero);
            if let Some(trading) = &mut self.trading {
                trading.clock_is_fresh = true;
                trading.order_budget.set_wall_clock(at_zero);
                self.deadlines.set_earlier(Timer::Orders, Nanos::ZERO);
            }
        }
        if let (Some(venue), Some(wall)) = (venue, self.unix_ns_at_zero) {
            self.telemetry
                .gauges
                .set(Gauge::VenueClockOffsetNs, venue.saturating_sub(wall));
        }
    }

    /// How long ago the venue made an event, in nanoseconds; `None` while no wall clock is known.
    pub(super) fn lag_ns(&self, now: Nanos, event: VenueMillis) -> Option<i64> {
        let at_zero = self.venue_ns_at_zero?;
        let now_unix = at_zero.saturating_add_unsigned(now.0);
        let event_unix = i64::try_from(event.0)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        Some(now_unix.saturating_sub(event_unix))
    }

    pub(super) fn publish_memory(&mut self) {
        let reserved: usize = self
            .markets
            .iter()
            .map(|market| market.book.bytes_reserved())
            .sum();
        let used: usize = self
            .markets
            .iter()
            .map(|market| market.book.bytes_used())
            .sum();
        let gauges = &mut self.telemetry.gauges;
        gauges.set(
            Gauge::MemoryReservedBytes,
            (reserved + self.windows.bytes_reserved()) as i64,
        );
        gauges.set(Gauge::MemoryUsedBytes, used as i64);
    }
}

/// Why a book starts again when the answer to a fault is to resync it.
const fn resync_cause(kind: VenueFault) -> ResyncCause {
    match kind {
        VenueFault::Malformed
        | VenueFault::DuplicateKey
        | VenueFault::MissingField
        | VenueFault::WrongType
        | VenueFault::NumberSyntax
        | VenueFault::NumberOffGrid
        | VenueFault::NumberRange
        | VenueFault::ZeroPrice
        | VenueFault::EmptyTrade
        | VenueFault::UnknownInstrument
        | VenueFault::StreamMismatch
        | VenueFault::TooManyLevels
        | VenueFault::IdsReversed => ResyncCause::Unreadable,
        VenueFault::SequenceGap => ResyncCause::Gap,
        VenueFault::IdWentBack => ResyncCause::IdsWentBack,
        VenueFault::SnapshotTooOld => ResyncCause::SnapshotTooOld,
        VenueFault::WindowFull => ResyncCause::BufferFull,
        VenueFault::ReplyTimeout
        | VenueFault::SubscribeRefused
        | VenueFault::RequestRefused
        | VenueFault::RateLimited
        | VenueFault::Banned => ResyncCause::SnapshotFailed,
        VenueFault::CrossedBook => ResyncCause::Crossed,
        VenueFault::TouchMismatch => ResyncCause::TouchMismatch,
        VenueFault::StreamBehind | VenueFault::StreamSilent => ResyncCause::Silent,
        // Of the orders link: no book hears of them.
        VenueFault::UnknownWord
        | VenueFault::TooManyItems
        | VenueFault::OrderInconsistent
        | VenueFault::OutcomeUnknown
        | VenueFault::ClockRefused
        | VenueFault::CredentialsRefused
        | VenueFault::SessionRevoked
        | VenueFault::StreamTerminated
        | VenueFault::LinkUnusable
        | VenueFault::PositionDiffers => ResyncCause::Unreadable,
    }
}
