//! Monotonic counts with one writer.
//!
//! Owns: [`Counter`] and the labelled families beside it, [`CounterWriter`], [`CounterReader`].
//! Does not: name metrics (the exporter's catalogue does). Invariant: only the core thread stores, so
//! an addition is a relaxed load and a relaxed store, never a locked instruction; a reader sees each
//! count rise and never fall, but two counts need not belong to the same instant.

use crate::event::LinkDown;
use crate::instrument::InstrumentIndex;
use crate::limits::{FAULT_KINDS_MAX, ORDER_ERROR_KINDS_MAX};
use crate::oms::OmsFault;
use crate::strategy::{FUNNEL_ROWS, Funnel};
use crate::telemetry::records::ResyncCause;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

labelled! {
    /// Counts without labels.
    pub enum Counter {
        /// Bytes read from sockets, after TLS.
        BytesReceived = "bytes_received",
        /// Bytes written to sockets, before TLS.
        BytesSent = "bytes_sent",
        /// Attempts to replace a connection that was up before, planned rotation included.
        Reconnects = "reconnects",
        /// Messages that the fast scanner handed to the tolerant parser.
        TolerantParses = "tolerant_parses",
        /// Messages and keys of types that we do not know or want.
        Ignored = "ignored",
        /// Actions refused because the outbox was full.
        OutboxFull = "outbox_full",
        /// Reports and orders that are not ours: placed by hand, or by another instance.
        ForeignReports = "foreign_reports",
        /// Requests about orders without an answer in time.
        OrderRepliesLost = "order_replies_lost",
        /// Balances that the venue tells otherwise than our fills make them: deposits, withdrawals, trades by hand.
        BalanceFlows = "balance_flows",
        /// User data messages without news: seen before, or of a kind that we do not read.
        StaleUserData = "stale_user_data",
        /// Turns of the core's loop.
        LoopTurns = "loop_turns",
        /// Turns that handled at least one event.
        LoopBusyTurns = "loop_busy_turns",
    }
}

labelled! {
    /// What a message from the venue was, as the codec told it.
    pub enum MessageKind {
        /// Differences of price levels.
        DepthDiff = "depth_diff",
        /// A few best levels, complete.
        DepthPartial = "depth_partial",
        /// A depth snapshot that we asked for.
        DepthSnapshot = "depth_snapshot",
        /// Best bid and ask.
        BookTicker = "book_ticker",
        /// One trade.
        Trade = "trade",
        /// Trades of one taker order at one price.
        AggTrade = "agg_trade",
        /// Answers to our requests, without market data.
        Control = "control",
        /// Answers and user data of the order link.
        Order = "order",
    }
}

labelled! {
    /// Counts kept for each instrument.
    pub enum InstrumentCounter {
        /// Market-data messages.
        Messages = "messages",
        /// Times that the book left `Live` or restarted its synchronisation.
        Resyncs = "resyncs",
        /// Missing update ids found.
        Gaps = "gaps",
    }
}

/// One array for everything without an instrument: its writer is one thread, so padding stands around
/// the block and not around each count.
struct Block {
    plain: [AtomicU64; Counter::ALL.len()],
    messages: [AtomicU64; MessageKind::ALL.len()],
    faults: [AtomicU64; FAULT_KINDS_MAX],
    resyncs: [AtomicU64; ResyncCause::ALL.len()],
    link_downs: [AtomicU64; LinkDown::ALL.len()],
    order_faults: [AtomicU64; OmsFault::ALL.len()],
    order_errors: [AtomicU64; ORDER_ERROR_KINDS_MAX],
    funnel: [AtomicU64; FUNNEL_ROWS],
}

type InstrumentBlock = CachePadded<[AtomicU64; InstrumentCounter::ALL.len()]>;

struct Shared {
    block: CachePadded<Block>,
    instruments: Box<[InstrumentBlock]>,
}

/// The core's end: the only writer.
pub struct CounterWriter {
    shared: Arc<Shared>,
}

/// The sidecar's end.
#[derive(Clone)]
pub struct CounterReader {
    shared: Arc<Shared>,
}

/// Counters for `instrument_count` instruments, all zero.
pub fn counters(instrument_count: usize) -> (CounterWriter, CounterReader) {
    let shared = Arc::new(Shared {
        block: CachePadded::new(Block {
            plain: zeros(),
            messages: zeros(),
            faults: zeros(),
            resyncs: zeros(),
            link_downs: zeros(),
            order_faults: zeros(),
            order_errors: zeros(),
            funnel: zeros(),
        }),
        instruments: (0..instrument_count)
            .map(|_| CachePadded::new(zeros()))
            .collect(),
    });
    let reader = CounterReader {
        shared: Arc::clone(&shared),
    };
    (CounterWriter { shared }, reader)
}

impl CounterWriter {
    /// Adds one.
    #[inline]
    pub fn increment(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds `count`.
    #[inline]
    pub fn add(&mut self, counter: Counter, count: u64) {
        add(&self.shared.block.plain[counter.index()], count);
    }

    /// Counts a decoded message.
    #[inline]
    pub fn message(&mut self, kind: MessageKind) {
        add(&self.shared.block.messages[kind.index()], 1);
    }

    /// Counts a fault by its kind's number; numbers past the table share its last cell.
    #[inline]
    pub fn fault(&mut self, kind: u8) {
        let cell = usize::from(kind).min(FAULT_KINDS_MAX - 1);
        add(&self.shared.block.faults[cell], 1);
    }

    /// Counts the start of a resynchronisation, in all and for its instrument.
    #[inline]
    pub fn resync(&mut self, instrument: InstrumentIndex, cause: ResyncCause) {
        add(&self.shared.block.resyncs[cause.index()], 1);
        self.instrument(instrument, InstrumentCounter::Resyncs);
    }

    /// Counts the end of a connection, or a failed attempt to make one.
    #[inline]
    pub fn link_down(&mut self, cause: LinkDown) {
        add(&self.shared.block.link_downs[cause as usize], 1);
    }

    /// Counts what was told of an order and does not fit.
    #[inline]
    pub fn order_fault(&mut self, fault: OmsFault) {
        add(&self.shared.block.order_faults[fault.index()], 1);
    }

    /// Counts a refusal of a request about orders by its kind's number; numbers past the table share its last cell.
    #[inline]
    pub fn order_error(&mut self, kind: u8) {
        let cell = usize::from(kind).min(ORDER_ERROR_KINDS_MAX - 1);
        add(&self.shared.block.order_errors[cell], 1);
    }

    /// Publishes the counts from signal to fill.
    pub fn funnel(&mut self, funnel: &Funnel) {
        for (cell, (_, _, count)) in self.shared.block.funnel.iter().zip(funnel.rows()) {
            cell.store(count, Relaxed);
        }
    }

    /// Adds one to a count of an instrument.
    #[inline]
    pub fn instrument(&mut self, instrument: InstrumentIndex, counter: InstrumentCounter) {
        add(
            &self.shared.instruments[instrument.as_usize()][counter.index()],
            1,
        );
    }
}

impl CounterReader {
    /// How often what was told of an order did not fit, by fault.
    pub fn order_fault(&self, fault: OmsFault) -> u64 {
        self.shared.block.order_faults[fault.index()].load(Relaxed)
    }

    /// How many requests about orders were refused, by the number of the kind.
    pub fn order_error(&self, kind: u8) -> u64 {
        let cell = usize::from(kind).min(ORDER_ERROR_KINDS_MAX - 1);
        self.shared.block.order_errors[cell].load(Relaxed)
    }

    /// The counts from signal to fill as last published: family, label, count.
    pub fn funnel(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        static LABELS: Funnel = Funnel::new();
        LABELS
            .rows()
            .zip(&self.shared.block.funnel)
            .map(|((family, label, _), cell)| (family, label, cell.load(Relaxed)))
    }

    /// A count without labels.
    pub fn plain(&self, counter: Counter) -> u64 {
        self.shared.block.plain[counter.index()].load(Relaxed)
    }

    /// Messages of one kind.
    pub fn messages(&self, kind: MessageKind) -> u64 {
        self.shared.block.messages[kind.index()].load(Relaxed)
    }

    /// Faults of the kind with this number, `[0, FAULT_KINDS_MAX)`.
    pub fn faults(&self, kind: u8) -> u64 {
        self.shared.block.faults[usize::from(kind)].load(Relaxed)
    }

    /// Resynchronisations with this cause.
    pub fn resyncs(&self, cause: ResyncCause) -> u64 {
        self.shared.block.resyncs[cause.index()].load(Relaxed)
    }

    /// Connections that ended for this cause.
    pub fn link_downs(&self, cause: LinkDown) -> u64 {
        self.shared.block.link_downs[cause as usize].load(Relaxed)
    }

    /// A count of one instrument.
    pub fn instrument(&self, instrument: InstrumentIndex, counter: InstrumentCounter) -> u64 {
        self.shared.instruments[instrument.as_usize()][counter.index()].load(Relaxed)
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

#[inline]
fn add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_own_cell() {
        let (mut writer, reader) = counters(2);
        for counter in Counter::ALL {
            writer.add(counter, 10 + counter.index() as u64);
        }
        for kind in MessageKind::ALL {
            for _ in 0..=kind.index() {
                writer.message(kind);
            }
        }
        for cause in LinkDown::ALL {
            writer.link_down(cause);
        }
        writer.fault(3);
        writer.fault(255);
        writer.resync(InstrumentIndex(1), ResyncCause::Gap);
        writer.instrument(InstrumentIndex(1), InstrumentCounter::Gaps);

        for counter in Counter::ALL {
            assert_eq!(reader.plain(counter), 10 + counter.index() as u64);
        }
        for kind in MessageKind::ALL {
            assert_eq!(reader.messages(kind), 1 + kind.index() as u64);
        }
        assert!(
            LinkDown::ALL
                .iter()
                .all(|&cause| reader.link_downs(cause) == 1)
        );
        assert_eq!(reader.faults(3), 1);
        assert_eq!(reader.faults(FAULT_KINDS_MAX as u8 - 1), 1);
        assert_eq!(reader.resyncs(ResyncCause::Gap), 1);
        let of = |index, counter| reader.instrument(InstrumentIndex(index), counter);
        assert_eq!(of(1, InstrumentCounter::Resyncs), 1);
        assert_eq!(of(1, InstrumentCounter::Gaps), 1);
        assert_eq!(of(0, InstrumentCounter::Resyncs), 0);
    }
}
