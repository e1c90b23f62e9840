//! Current values with one writer, and the published state of every book.
//!
//! Owns: [`Gauge`], [`BookGauges`], [`PositionGauges`], [`GaugeWriter`], [`GaugeReader`]. Does not: name metrics.
//! Invariants: a single value is one relaxed store. What belongs to one book is written as one
//! seqlock snapshot that contains the book's state, so nobody can read a price of a book that is
//! not `Live`: [`BookGauges::touch`] is `None` then.

mod account;
mod depth;
mod position;
mod utilization;

pub use account::AccountGauges;
pub use depth::DepthGauges;
pub use position::{Marked, PositionGauges};
pub use utilization::LimitGauges;

use crate::book::{Book, Side};
use crate::event::LinkRole;
use crate::instrument::InstrumentIndex;
use crate::risk::Utilization;
use crate::telemetry::records::BookState;
use crate::telemetry::seqlock::{SeqlockReader, SeqlockWriter, seqlock};
use crate::units::{Lots, Nanos, Ticks};
use account::ACCOUNT_WORDS;
use crossbeam_utils::CachePadded;
use depth::DEPTH_WORDS;
use position::POSITION_WORDS;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use utilization::LIMIT_WORDS;

labelled! {
    /// Values without labels.
    pub enum Gauge {
        /// When the core last finished a turn, on the engine's clock in nanoseconds.
        HeartbeatNs = "heartbeat_ns",
        /// Commands and unparsed frames waiting at the start of the last turn.
        PendingTasks = "pending_tasks",
        /// Venue clock minus ours in nanoseconds; [`NOT_MEASURED`] until it was measured.
        VenueClockOffsetNs = "venue_clock_offset_ns",
        /// Bytes reserved at start for books and rings.
        MemoryReservedBytes = "memory_reserved_bytes",
        /// Bytes of those that hold something now.
        MemoryUsedBytes = "memory_used_bytes",
        /// How far trading has come: the position of a `TradingPhase` in its list.
        TradingPhase = "trading_phase",
        /// What may be traded: the position of a `TradingState` in its list.
        TradingState = "trading_state",
        /// 1 while the kill switch is latched.
        KillSwitch = "kill_switch",
        /// 1 while the strategy may act.
        StrategyRunning = "strategy_running",
        /// Orders that are not over.
        OpenOrders = "open_orders",
        /// Orders whose outcome is unknown.
        UnresolvedOrders = "unresolved_orders",
        /// Since when the oldest of those is so, on the engine's clock in nanoseconds; [`NOT_MEASURED`] for none.
        OldestUnresolvedNs = "oldest_unresolved_ns",
        /// Highest use of any limit, in hundredths of a percent.
        RiskUtilizationBps = "risk_utilization_bps",
        /// Equity in the account currency, 1e-8 units; [`NOT_MEASURED`] before every asset has a mark.
        Equity = "equity",
        /// Change of equity since the venue's midnight, deposits and withdrawals taken out, 1e-8 units.
        DayChange = "day_change",
        /// Fall of equity from its peak, in hundredths of a percent of the peak.
        DrawdownBps = "drawdown_bps",
        /// Sum of the values of long positions, account currency, 1e-8 units.
        ExposureLong = "exposure_long",
        /// Sum of the values of short positions without their sign, account currency, 1e-8 units.
        ExposureShort = "exposure_short",
        /// Realised profit and loss of all positions, account currency, 1e-8 units.
        RealizedTotal = "realized_total",
        /// Unrealised profit and loss of all positions, account currency, 1e-8 units.
        UnrealizedTotal = "unrealized_total",
        /// 1 while the records ring is above its mark and new orders are refused.
        TelemetryBacklog = "telemetry_backlog",
        /// Request weight that one minute of the venue allows.
        WeightLimit = "weight_limit",
        /// Orders that the venue's shortest window, ten seconds, allows; [`NOT_MEASURED`] without one.
        OrdersLimit = "orders_limit",
        /// Orders that the venue's longest window, a day, allows; [`NOT_MEASURED`] without one.
        OrdersDayLimit = "orders_day_limit",
        /// Request weight that may still be spent in this minute of the venue.
        WeightHeadroom = "weight_headroom",
        /// Orders that may still be placed in these ten seconds of the venue.
        OrdersHeadroom = "orders_headroom",
        /// Orders that may still be placed on this day of the venue.
        OrdersDayHeadroom = "orders_day_headroom",
    }
}

/// The value of a gauge that has none yet and for which zero would be a claim.
pub const NOT_MEASURED: i64 = i64::MIN;

/// Best bid and ask of a live book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Highest bid, if there is a bid.
    pub bid: Option<(Ticks, Lots)>,
    /// Lowest ask, if there is an ask.
    pub ask: Option<(Ticks, Lots)>,
}

impl Touch {
    /// Ask minus bid; `None` while a side is empty.
    pub fn spread(&self) -> Option<Ticks> {
        let (bid, _) = self.bid?;
        let (ask, _) = self.ask?;
        Some(Ticks(ask.0 - bid.0))
    }
}

/// What is published of one book. Build it with [`BookGauges::live`] or [`BookGauges::not_live`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookGauges {
    state: BookState,
    touch: Touch,
    last_update_id: u64,
    lag_ns: Option<i64>,
    updated_at: Nanos,
    bid_levels: u32,
    ask_levels: u32,
}

/// Words of one published book.
const BOOK_WORDS: usize = 9;

/// Bits of the flag word: state in the low byte, then which sides exist.
const HAS_BID: u64 = 1 << 8;
const HAS_ASK: u64 = 1 << 9;
/// The venue's event time was there and a clock to hold it against.
const HAS_LAG: u64 = 1 << 10;

impl BookGauges {
    /// A live book after the update `last_update_id`, handled at `updated_at`.
    pub fn live(touch: Touch, last_update_id: u64, updated_at: Nanos) -> Self {
        Self {
            state: BookState::Live,
            touch,
            last_update_id,
            lag_ns: None,
            updated_at,
            bid_levels: 0,
            ask_levels: 0,
        }
    }

    /// A book that may not be used, since `updated_at`.
    ///
    /// # Panics
    /// When `state` is [`BookState::Live`]: a live book has a touch.
    pub fn not_live(state: BookState, updated_at: Nanos) -> Self {
        assert!(state != BookState::Live, "a live book is built with live()");
        Self {
            state,
            touch: Touch {
                bid: None,
                ask: None,
            },
            last_update_id: 0,
            lag_ns: None,
            updated_at,
            bid_levels: 0,
            ask_levels: 0,
        }
    }

    /// With the number of levels held on each side.
    #[must_use]
    pub fn levels(mut self, bids: u32, asks: u32) -> Self {
        self.bid_levels = bids;
        self.ask_levels = asks;
        self
    }

    /// With the receive time minus the venue's event time, clock offset taken out, in nanoseconds.
    #[must_use]
    pub fn lag(mut self, lag_ns: i64) -> Self {
        self.lag_ns = Some(lag_ns);
        self
    }

    /// The state of the book.
    pub fn state(&self) -> BookState {
        self.state
    }

    /// Best bid and ask; `None` unless the book is `Live`.
    pub fn touch(&self) -> Option<Touch> {
        (self.state == BookState::Live).then_some(self.touch)
    }

    /// The venue's id of the last update applied; `None` unless the book is `Live`.
    pub fn last_update_id(&self) -> Option<u64> {
        (self.state == BookState::Live).then_some(self.last_update_id)
    }

    /// Receive time minus venue event time in nanoseconds; `None` unless the book is `Live` and both
    /// times are known.
    pub fn lag_ns(&self) -> Option<i64> {
        self.lag_ns.filter(|_| self.state == BookState::Live)
    }

    /// When this was published, on the engine's clock.
    pub fn updated_at(&self) -> Nanos {
        self.updated_at
    }

    /// Levels held on the bid and the ask side.
    pub fn level_counts(&self) -> (u32, u32) {
        (self.bid_levels, self.ask_levels)
    }

    fn to_words(self) -> [u64; BOOK_WORDS] {
        let (bid, ask) = (self.touch.bid, self.touch.ask);
        let mut flags = u64::from(self.state as u8);
        if bid.is_some() {
            flags |= HAS_BID;
        }
        if ask.is_some() {
            flags |= HAS_ASK;
        }
        if self.lag_ns.is_some() {
            flags |= HAS_LAG;
        }
        let (bid_ticks, bid_lots) = bid.unwrap_or_default();
        let (ask_ticks, ask_lots) = ask.unwrap_or_default();
        [
            flags,
            bid_ticks.0 as u64,
            bid_lots.0 as u64,
            ask_ticks.0 as u64,
            ask_lots.0 as u64,
            self.last_update_id,
            self.lag_ns.unwrap_or_default() as u64,
            self.updated_at.0,
            u64::from(self.bid_levels) << 32 | u64::from(self.ask_levels),
        ]
    }

    fn from_words(words: &[u64; BOOK_WORDS]) -> Self {
        let flags = words[0];
        let side = |bit: u64, ticks: u64, lots: u64| {
            (flags & bit != 0).then_some((Ticks(ticks as i64), Lots(lots as i64)))
        };
        Self {
            state: BookState::ALL[usize::from(flags as u8)],
            touch: Touch {
                bid: side(HAS_BID, words[1], words[2]),
                ask: side(HAS_ASK, words[3], words[4]),
            },
            last_update_id: words[5],
            lag_ns: (flags & HAS_LAG != 0).then_some(words[6] as i64),
            updated_at: Nanos(words[7]),
            bid_levels: (words[8] >> 32) as u32,
            ask_levels: words[8] as u32,
        }
    }
}

struct Shared {
    plain: CachePadded<[AtomicI64; Gauge::ALL.len()]>,
    links_up: CachePadded<[AtomicI64; LinkRole::ALL.len()]>,
}

/// The core's end: the only writer.
pub struct GaugeWriter {
    shared: Arc<Shared>,
    books: Box<[SeqlockWriter<BOOK_WORDS>]>,
    positions: Box<[SeqlockWriter<POSITION_WORDS>]>,
    limits: Box<[SeqlockWriter<LIMIT_WORDS>]>,
    depths: Box<[SeqlockWriter<DEPTH_WORDS>]>,
    account: SeqlockWriter<ACCOUNT_WORDS>,
}

/// The sidecar's end.
#[derive(Clone)]
pub struct GaugeReader {
    shared: Arc<Shared>,
    books: Arc<[SeqlockReader<BOOK_WORDS>]>,
    positions: Arc<[SeqlockReader<POSITION_WORDS>]>,
    limits: Arc<[SeqlockReader<LIMIT_WORDS>]>,
    depths: Arc<[SeqlockReader<DEPTH_WORDS>]>,
    account: SeqlockReader<ACCOUNT_WORDS>,
}

/// Gauges for `instrument_count` instruments: values zero, books [`BookState::Waiting`].
pub fn gauges(instrument_count: usize) -> (GaugeWriter, GaugeReader) {
    let shared = Arc::new(Shared {
        plain: CachePadded::new(Gauge::ALL.map(|gauge| match gauge {
            Gauge::VenueClockOffsetNs | Gauge::OldestUnresolvedNs | Gauge::Equity => {
                AtomicI64::new(NOT_MEASURED)
            }
            Gauge::HeartbeatNs
            | Gauge::PendingTasks
            | Gauge::MemoryReservedBytes
            | Gauge::MemoryUsedBytes
            | Gauge::TradingPhase
            | Gauge::TradingState
            | Gauge::KillSwitch
            | Gauge::StrategyRunning
            | Gauge::OpenOrders
            | Gauge::UnresolvedOrders
            | Gauge::RiskUtilizationBps
            | Gauge::DayChange
            | Gauge::DrawdownBps
            | Gauge::ExposureLong
            | Gauge::ExposureShort
            | Gauge::RealizedTotal
            | Gauge::UnrealizedTotal
            | Gauge::TelemetryBacklog
            | Gauge::WeightLimit
            | Gauge::OrdersLimit
            | Gauge::OrdersDayLimit
            | Gauge::WeightHeadroom
            | Gauge::OrdersHeadroom
            | Gauge::OrdersDayHeadroom => AtomicI64::new(0),
        })),
        links_up: CachePadded::new(std::array::from_fn(|_| AtomicI64::new(0))),
    });
    let waiting = BookGauges::not_live(BookState::Waiting, Nanos::ZERO).to_words();
    let (writers, readers): (Vec<_>, Vec<_>) =
        (0..instrument_count).map(|_| seqlock(waiting)).unzip();
    let flat = PositionGauges::default().to_words();
    let (position_writers, position_readers): (Vec<_>, Vec<_>) =
        (0..instrument_count).map(|_| seqlock(flat)).unzip();
    let unused = LimitGauges::unknown().to_words();
    let (limit_writers, limit_readers): (Vec<_>, Vec<_>) =
        (0..instrument_count).map(|_| seqlock(unused)).unzip();
    let (depth_writers, depth_readers): (Vec<_>, Vec<_>) =
        (0..instrument_count).map(|_| seqlock(depth::NEVER)).unzip();
    let (account_writer, account_reader) = seqlock(AccountGauges::default().to_words());
    let reader = GaugeReader {
        shared: Arc::clone(&shared),
        account: account_reader,
        books: readers.into(),
        positions: position_readers.into(),
        limits: limit_readers.into(),
        depths: depth_readers.into(),
    };
    let writer = GaugeWriter {
        shared,
        books: writers.into(),
        positions: position_writers.into(),
        limits: limit_writers.into(),
        depths: depth_writers.into(),
        account: account_writer,
    };
    (writer, reader)
}

impl GaugeWriter {
    /// Sets a value.
    #[inline]
    pub fn set(&mut self, gauge: Gauge, value: i64) {
        self.shared.plain[gauge.index()].store(value, Relaxed);
    }

    /// Says that the core finished a turn at `now`.
    #[inline]
    pub fn heartbeat(&mut self, now: Nanos) {
        self.set(Gauge::HeartbeatNs, now.0 as i64);
    }

    /// Sets how many connections of a role are up.
    #[inline]
    pub fn links_up(&mut self, role: LinkRole, count: usize) {
        self.shared.links_up[role as usize].store(count as i64, Relaxed);
    }

    /// Publishes a book.
    #[inline]
    pub fn book(&mut self, instrument: InstrumentIndex, book: BookGauges) {
        self.books[instrument.as_usize()].write(&book.to_words());
    }

    /// Publishes a position.
    #[inline]
    pub fn position(&mut self, instrument: InstrumentIndex, position: PositionGauges) {
        self.positions[instrument.as_usize()].write(&position.to_words());
    }

    /// Shows the best levels of a live book, with the venue's id of its last update; `None` for one that is not live.
    pub fn depth(&mut self, instrument: InstrumentIndex, at: Nanos, book: Option<(&Book, u64)>) {
        let words = match book {
            Some((book, last_update_id)) => depth::to_words(
                at,
                last_update_id,
                book.levels(Side::Bid),
                book.levels(Side::Ask),
            ),
            None => depth::not_live(at),
        };
        self.depths[instrument.as_usize()].write(&words);
    }

    /// Publishes what must be known of the account after a restart.
    pub fn account(&mut self, account: AccountGauges) {
        self.account.write(&account.to_words());
    }

    /// Publishes how much of every limit an instrument uses.
    pub fn limits(&mut self, instrument: InstrumentIndex, utilization: &Utilization) {
        self.limits[instrument.as_usize()].write(&LimitGauges::new(utilization).to_words());
    }
}

impl GaugeReader {
    /// A value.
    pub fn plain(&self, gauge: Gauge) -> i64 {
        self.shared.plain[gauge.index()].load(Relaxed)
    }

    /// When the core last finished a turn; [`Nanos::ZERO`] before its first.
    pub fn heartbeat(&self) -> Nanos {
        Nanos(self.plain(Gauge::HeartbeatNs) as u64)
    }

    /// Venue clock minus ours in nanoseconds, once it was measured.
    pub fn venue_clock_offset_ns(&self) -> Option<i64> {
        Some(self.plain(Gauge::VenueClockOffsetNs)).filter(|ns| *ns != NOT_MEASURED)
    }

    /// Connections of a role that are up.
    pub fn links_up(&self, role: LinkRole) -> usize {
        self.shared.links_up[role as usize].load(Relaxed) as usize
    }

    /// A book as last published; `None` when the core stands still in the middle of publishing it.
    pub fn book(&self, instrument: InstrumentIndex) -> Option<BookGauges> {
        let words = self.books[instrument.as_usize()].read()?;
        Some(BookGauges::from_words(&words))
    }

    /// A position as last published; `None` when the core stands still in the middle of publishing it.
    pub fn position(&self, instrument: InstrumentIndex) -> Option<PositionGauges> {
        let words = self.positions[instrument.as_usize()].read()?;
        Some(PositionGauges::from_words(&words))
    }

    /// The best levels of a book as they were shown last; `None` when the core stands still in the middle of
    /// showing them.
    pub fn depth(&self, instrument: InstrumentIndex) -> Option<DepthGauges> {
        let words = self.depths[instrument.as_usize()].read()?;
        Some(DepthGauges::from_words(&words))
    }

    /// What must be known of the account after a restart; `None` when the core stands still in the middle of
    /// publishing it.
    pub fn account(&self) -> Option<AccountGauges> {
        Some(AccountGauges::from_words(&self.account.read()?))
    }

    /// How much of every limit an instrument uses, as last published; `None` when the core stands still in the
    /// middle of publishing it.
    pub fn limits(&self, instrument: InstrumentIndex) -> Option<LimitGauges> {
        let words = self.limits[instrument.as_usize()].read()?;
        Some(LimitGauges::from_words(&words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_book_that_is_not_live_shows_no_price() {
        let (mut writer, reader) = gauges(2);
        let index = InstrumentIndex(1);
        let touch = Touch {
            bid: Some((Ticks(99), Lots(5))),
            ask: Some((Ticks(101), Lots(7))),
        };
        let live = BookGauges::live(touch, 42, Nanos(7)).levels(3, 4).lag(-5);
        writer.book(index, live);
        let read = reader.book(index).expect("not torn");
        assert_eq!(read, live);
        assert_eq!(
            read.touch().and_then(|touch| touch.spread()),
            Some(Ticks(2))
        );

        for state in BookState::ALL {
            if state == BookState::Live {
                continue;
            }
            writer.book(index, BookGauges::not_live(state, Nanos(8)));
            let read = reader.book(index).expect("not torn");
            assert_eq!(read.state(), state);
            assert_eq!(read.touch(), None);
            assert_eq!(read.last_update_id(), None);
            assert_eq!(read.lag_ns(), None);
        }
        let untouched = reader.book(InstrumentIndex(0)).expect("not torn");
        assert_eq!(untouched.state(), BookState::Waiting);
    }

    #[test]
    fn values_have_their_own_cells() {
        let (mut writer, reader) = gauges(1);
        assert_eq!(reader.venue_clock_offset_ns(), None);
        for gauge in Gauge::ALL {
            writer.set(gauge, -(gauge.index() as i64));
        }
        writer.links_up(LinkRole::Api, 2);
        for gauge in Gauge::ALL {
            assert_eq!(reader.plain(gauge), -(gauge.index() as i64));
        }
        assert_eq!(reader.links_up(LinkRole::Api), 2);
        assert_eq!(reader.links_up(LinkRole::Market), 0);
        writer.heartbeat(Nanos(9));
        assert_eq!(reader.heartbeat(), Nanos(9));
    }

    proptest! {
        #[test]
        fn words_carry_everything(
            bid in proptest::option::of((any::<i64>(), any::<i64>())),
            ask in proptest::option::of((any::<i64>(), any::<i64>())),
            id: u64, lag in proptest::option::of(any::<i64>()), at: u64, bids: u32, asks: u32,
        ) {
            let side = |side: Option<(i64, i64)>| side.map(|(ticks, lots)| (Ticks(ticks), Lots(lots)));
            let book = BookGauges::live(Touch { bid: side(bid), ask: side(ask) }, id, Nanos(at))
                .levels(bids, asks);
            let book = lag.map_or(book, |lag| book.lag(lag));
            prop_assert_eq!(book.lag_ns(), lag);
            prop_assert_eq!(BookGauges::from_words(&book.to_words()), book);
        }
    }
}
