//! Market data into books: diffs, snapshots, best prices, trades.
//!
//! Does not: ask for anything; what a book wants next is served after the update is handled.
//! Invariant: work is proportional to the levels of the message (and, for a snapshot, of its window).

use crate::book::{Book, BookFull, Side};
use crate::event::LinkId;
use crate::instrument::InstrumentIndex;
use crate::outbox::Outbox;
use crate::telemetry::gauges::BookGauges;
use crate::telemetry::records::ResyncCause;
use crate::telemetry::samples::Sample;
use crate::units::{Level, Lots, Nanos, Ticks, VenueMillis};
use crate::venue::binance::codec::{AggTrade, BookTicker, DepthDiff, PartialDepth, Trade};
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::venue::binance::resync::{DiffStep, SnapshotStep, Source, SyncState, Wish};

use super::brain::{Brain, LastTicker};
use super::newest::Age;
use crate::strategy::Strategy;

/// Where a message came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) link: LinkId,
    pub(super) source: Source,
}

impl<T: Strategy> Brain<T> {
    /// A diff; returns whether it changed a live book.
    #[inline]
    pub(super) fn depth(
        &mut self,
        now: Nanos,
        origin: Origin,
        diff: &DepthDiff<'_>,
        out: &mut Outbox,
    ) -> bool {
        let index = diff.instrument;
        let market = &mut self.markets[index.as_usize()];
        match market
            .sync
            .diff(now, origin.source, diff.first_id, diff.last_id)
        {
            DiffStep::Apply => self.apply(now, origin.link, diff, out),
            DiffStep::Bridge => {
                self.publish_state(now, index);
                self.apply(now, origin.link, diff, out)
            }
            DiffStep::Store { first } => {
                let window = market.window.expect("a collecting book has a window");
                if self
                    .windows
                    .push(window, diff.last_id, diff.bids, diff.asks)
                    .is_err()
                {
                    self.fault(
                        now,
                        origin.link,
                        Fault::new(VenueFault::WindowFull).of(index),
                        out,
                    );
                } else if first {
                    self.arm(index);
                }
                false
            }
            DiffStep::NotWanted | DiffStep::Ahead => false,
            DiffStep::Late => false,
            DiffStep::Repeated { newest } => {
                self.went_back(now, origin.link, index, newest, diff.last_id, out);
                false
            }
            DiffStep::WentBack { expected, got } => {
                let fault = Fault::ids(VenueFault::IdWentBack, expected, got).of(index);
                self.count_fault(now, origin.link, fault);
                // One step back is dropped; a whole run of them means that the venue counts anew.
                self.resync(now, index, ResyncCause::IdsWentBack, expected, got);
                false
            }
            DiffStep::Gap { expected, got } => {
                let fault = Fault::ids(VenueFault::SequenceGap, expected, got).of(index);
                self.fault(now, origin.link, fault, out);
                false
            }
        }
    }

    /// Applies a diff that continues a live book.
    #[inline]
    fn apply(&mut self, now: Nanos, link: LinkId, diff: &DepthDiff<'_>, out: &mut Outbox) -> bool {
        let index = diff.instrument;
        let market = &mut self.markets[index.as_usize()];
        if set_levels(&mut market.book, diff.bids, diff.asks).is_err() {
            self.resync(now, index, ResyncCause::Capacity, 0, 0);
            return false;
        }
        self.check(now, link, index, Some(diff.event_ms), out)
    }

    /// A snapshot that its book waits for.
    pub(super) fn snapshot(
        &mut self,
        now: Nanos,
        link: LinkId,
        depth: &PartialDepth<'_>,
        out: &mut Outbox,
    ) {
        let index = depth.instrument;
        let market = &mut self.markets[index.as_usize()];
        let step = market
            .sync
            .snapshot(now, depth.last_id, &self.config.books, &mut self.jitter);
        match step {
            SnapshotStep::TooOld { first } => {
                // The window stays, and the book asks again: nothing to resync, but to be counted.
                let fault = Fault::ids(VenueFault::SnapshotTooOld, first, depth.last_id).of(index);
                self.count_fault(now, link, fault);
                self.arm(index);
            }
            SnapshotStep::GiveUp { first } => {
                let fault = Fault::ids(VenueFault::SnapshotTooOld, first, depth.last_id).of(index);
                self.fault(now, link, fault, out);
            }
            SnapshotStep::Install => {
                let window = market.window.expect("a collecting book has a window");
                market.book.clear();
                let mut fits = set_levels(&mut market.book, depth.bids, depth.asks);
                for diff in self.windows.diffs(window) {
                    if fits.is_ok() && diff.last_id > depth.last_id {
                        fits = set_levels(&mut market.book, diff.bids, diff.asks);
                    }
                }
                self.free_window(now, index);
                if fits.is_err() {
                    self.resync(now, index, ResyncCause::Capacity, 0, 0);
                    return;
                }
                self.publish_state(now, index);
                self.arm(index);
                if self.check(now, link, index, None, out) {
                    self.publish_book(now, index);
                    // Orders may come before the next diff does.
                    if let Some(trading) = &mut self.trading {
                        trading.mark(index, self.markets[index.as_usize()].touch);
                    }
                }
            }
        }
    }

    /// Judges a book after an update; whether it is live and sound, and is to be published.
    #[inline]
    fn check(
        &mut self,
        now: Nanos,
        link: LinkId,
        index: InstrumentIndex,
        event: Option<VenueMillis>,
        out: &mut Outbox,
    ) -> bool {
        let market = &mut self.markets[index.as_usize()];
        if market.book.is_crossed() {
            let fault = Fault::new(VenueFault::CrossedBook).of(index);
            self.fault(now, link, fault, out);
            return false;
        }
        if market.sync.state() != SyncState::Live {
            return false;
        }
        let id = market.sync.last_id();
        let touch = market.best();
        if market.ticker.update_id == id && !agrees(&market.ticker, touch) {
            let fault = Fault::new(VenueFault::TouchMismatch).of(index);
            self.fault(now, link, fault, out);
            return false;
        }
        market.touch = touch;
        market.updated_at = now;
        market.event_ms = event;
        true
    }

    /// Publishes a live book whose update was checked, and its touch if that is another than the one last told.
    pub(super) fn publish_book(&mut self, now: Nanos, index: InstrumentIndex) {
        let market = &mut self.markets[index.as_usize()];
        let (touch, id, event) = (market.touch, market.sync.last_id(), market.event_ms);
        let touch_changed = std::mem::replace(&mut market.touch_told, touch) != touch;
        let gauges = BookGauges::live(touch, id, now).levels(
            market.book.level_count(Side::Bid) as u32,
            market.book.level_count(Side::Ask) as u32,
        );
        let lag_ns = event.and_then(|event| self.lag_ns(now, event));
        let gauges = lag_ns.map_or(gauges, |lag_ns| gauges.lag(lag_ns));
        self.telemetry.gauges.book(index, gauges);
        if touch_changed {
            self.telemetry.samples.push(Sample::TopOfBook {
                instrument: index,
                at: now,
                bid: touch.bid,
                ask: touch.ask,
            });
        }
    }

    /// A best price: it proves or refutes the book, and shows whether the diffs keep up.
    #[inline]
    pub(super) fn book_ticker(
        &mut self,
        now: Nanos,
        origin: Origin,
        ticker: &BookTicker,
        out: &mut Outbox,
    ) {
        let index = ticker.instrument;
        let market = &mut self.markets[index.as_usize()];
        match market.tickers.judge(ticker.update_id, origin.source) {
            Age::New => {}
            Age::Late => return,
            Age::WentBack { newest } => {
                self.went_back(now, origin.link, index, newest, ticker.update_id, out);
                return;
            }
        }
        market.ticker = LastTicker {
            update_id: ticker.update_id,
            bid: ticker.bid,
            ask: ticker.ask,
        };
        if market.sync.state() != SyncState::Live {
            return;
        }
        if ticker.update_id == market.sync.last_id() && !agrees(&market.ticker, market.touch) {
            let fault = Fault::new(VenueFault::TouchMismatch).of(index);
            self.fault(now, origin.link, fault, out);
            return;
        }
        if let Wish::Behind { expected, got } =
            market
                .sync
                .venue_is_at(now, ticker.update_id, &self.config.books)
        {
            let fault = Fault::ids(VenueFault::StreamBehind, expected, got).of(index);
            self.fault(now, origin.link, fault, out);
        }
    }

    /// A trade between others; returns whether it is new.
    #[inline]
    pub(super) fn trade(
        &mut self,
        now: Nanos,
        origin: Origin,
        trade: &Trade,
        out: &mut Outbox,
    ) -> bool {
        let index = trade.instrument;
        let market = &mut self.markets[index.as_usize()];
        match market.trades.judge(trade.trade_id, origin.source) {
            Age::New => {}
            Age::Late => return false,
            Age::WentBack { newest } => {
                self.went_back(now, origin.link, index, newest, trade.trade_id, out);
                return false;
            }
        }
        self.telemetry.samples.push(Sample::Trade {
            instrument: index,
            at: now,
            venue_time: trade.trade_ms,
            trade_id: trade.trade_id,
            price: trade.price,
            qty: trade.qty,
            buyer_is_maker: trade.buyer_is_maker,
        });
        true
    }

    /// Fills of one taker order.
    #[inline]
    pub(super) fn agg_trade(
        &mut self,
        now: Nanos,
        origin: Origin,
        trade: &AggTrade,
        out: &mut Outbox,
    ) {
        let index = trade.instrument;
        let market = &mut self.markets[index.as_usize()];
        if let Age::WentBack { newest } = market.agg_trades.judge(trade.agg_id, origin.source) {
            self.went_back(now, origin.link, index, newest, trade.agg_id, out);
        }
    }

    /// One connection sent an id that it had sent before, or one below it.
    #[cold]
    fn went_back(
        &mut self,
        now: Nanos,
        link: LinkId,
        index: InstrumentIndex,
        newest: u64,
        got: u64,
        out: &mut Outbox,
    ) {
        let fault = Fault::ids(VenueFault::IdWentBack, newest, got).of(index);
        self.fault(now, link, fault, out);
    }
}

/// Sets absolute quantities on both sides.
#[inline]
fn set_levels(book: &mut Book, bids: &[Level], asks: &[Level]) -> Result<(), BookFull> {
    for level in bids {
        book.set(Side::Bid, level.price, level.qty)?;
    }
    for level in asks {
        book.set(Side::Ask, level.price, level.qty)?;
    }
    Ok(())
}

/// Whether a best price is that of a book; the venue writes zeros for a side without orders.
#[inline]
fn agrees(ticker: &LastTicker, touch: crate::telemetry::gauges::Touch) -> bool {
    let side = |level: Level, best: Option<(Ticks, Lots)>| {
        best.unwrap_or_default() == (level.price, level.qty)
    };
    side(ticker.bid, touch.bid) && side(ticker.ask, touch.ask)
}
