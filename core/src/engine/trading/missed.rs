//! Trades that happened while nothing ran: asked for at the start, told to the orders that they belong to, and booked.
//!
//! Owns: [`MissedTrades`]: which trades earlier runs booked, how far this start has asked, and the fills that wait for
//! the portfolio to start. Does not: judge an order (the machine does) or a position (the portfolio does).
//!
//! Of each instrument the venue is asked for the trades after the last that no run misses, a list at a time. A trade
//! of an order that the table does not hold has its order asked for first; an order of ours is taken over, one of
//! others left alone with its trades, which the balances contain. Where no earlier run said anything, the venue is
//! asked for its newest trade alone, so that the next run knows where to begin, and nothing is booked.
//!
//! Invariants: lists are asked for after the balances, so every fill that these contain is in them; a fill is new if
//! no earlier run booked it, and every new fill is recorded once, by whichever word of the venue it came first; what
//! is asked for is bounded ([`MISSED_PAGES_MAX`], [`MISSED_TRIES_MAX`]).

use crate::config::KnownTrades;
use crate::deadlines::Timer;
use crate::instrument::{InstrumentIndex, Instruments};
use crate::limits::{
    MISSED_FILLS_MAX, MISSED_PAGES_MAX, MISSED_TRADES_PER_EVENT_MAX, MISSED_TRIES_MAX,
    OWN_TRADES_MAX,
};
use crate::oms::{Input, OmsFault};
use crate::order::{Fill, OrderId, OrderKey, OrderStatus, OwnTrade, Side};
use crate::portfolio::Missed;
use crate::strategy::Strategy;
use crate::telemetry::counters::Counter;
use crate::telemetry::records::{HaltCause, RecordBody, TradesKnown};
use crate::units::{Nanos, VenueMillis};
use crate::venue::binance::order_entry::TradesQuery;

use super::requests::Purpose;
use super::{Desk, Stopwatch};

/// How long after a refusal the same is asked again.
const AGAIN_AFTER: Nanos = Nanos::from_secs(1);

/// What is known of the trades of one instrument.
#[derive(Clone, Debug, Default)]
struct Known {
    /// No trade up to this one was missing when the last run ended; `None` where no run said so.
    through: Option<u64>,
    /// Above it, those that the last run had booked.
    since: Vec<u64>,
    /// Whether no earlier run said anything.
    is_first: bool,
    /// No trade up to this one is missing now.
    covered: Option<u64>,
    /// The highest id that was heard of in this run.
    newest: Option<u64>,
    /// The same, when the venue was last asked for all open orders.
    newest_asked: Option<u64>,
    /// What was recorded last.
    told: Option<u64>,
}

/// Of an instrument of which no earlier run said anything.
const FIRST: Known = Known {
    through: None,
    since: Vec::new(),
    is_first: true,
    covered: None,
    newest: None,
    newest_asked: None,
    told: None,
};

/// What is to be asked next about the instrument whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Whatever its first question is.
    First,
    /// Another list, from this id on.
    From(u64),
    /// Nothing: its last list is being told.
    Nothing,
}

/// A fill that waits for the portfolio to start.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    order: OrderId,
    missed: Missed,
}

/// See the module's text.
pub(super) struct MissedTrades {
    known: Box<[Known]>,
    waiting: Vec<Waiting>,
    /// The same fills as the portfolio takes them; kept so that its start allocates nothing.
    fills: Vec<Missed>,
    /// When the balances were listed; `None` before that.
    listed: Option<VenueMillis>,
    /// The list that is being told, and how far.
    page: Vec<OwnTrade>,
    next: usize,
    /// The instrument whose turn it is.
    turn: usize,
    want: Want,
    pages_left: u32,
    tries: u8,
    /// Everything is told, and the portfolio has started.
    is_over: bool,
    /// Nothing is asked before this.
    not_before: Nanos,
    /// Instruments of which more was traded than a start asks for.
    cut_short: Vec<InstrumentIndex>,
}

impl MissedTrades {
    /// What earlier runs knew of these instruments; all memory is reserved here.
    pub(super) fn new(instruments: &Instruments, known: &[KnownTrades]) -> Self {
        let known_of = |symbol| {
            let known = known.iter().find(|known| known.symbol == symbol);
            known.map_or(FIRST, |known| Known {
                through: Some(known.through),
                since: known.since.clone(),
                covered: Some(known.through),
                newest: known.since.iter().copied().max().max(Some(known.through)),
                told: Some(known.through),
                ..Known::default()
            })
        };
        Self {
            known: instruments
                .iter()
                .map(|(_, instrument)| known_of(instrument.symbol))
                .collect(),
            waiting: Vec::with_capacity(MISSED_FILLS_MAX),
            fills: Vec::with_capacity(MISSED_FILLS_MAX),
            listed: None,
            page: Vec::with_capacity(OWN_TRADES_MAX),
            next: 0,
            turn: 0,
            want: Want::First,
            pages_left: MISSED_PAGES_MAX,
            tries: 0,
            is_over: false,
            not_before: Nanos::ZERO,
            cut_short: Vec::with_capacity(instruments.count()),
        }
    }

    /// Whether everything that was missed is told.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// A trade was heard of.
    #[inline]
    pub(super) fn note(&mut self, instrument: InstrumentIndex, trade_id: u64) {
        let newest = &mut self.known[instrument.as_usize()].newest;
        *newest = (*newest).max(Some(trade_id));
    }

    /// Whether no earlier run booked a trade.
    pub(super) fn is_new(&self, instrument: InstrumentIndex, trade_id: u64) -> bool {
        let known = &self.known[instrument.as_usize()];
        known.through.is_some_and(|through| trade_id > through) && !known.since.contains(&trade_id)
    }

    /// All open orders are asked for: what is heard of later, the answer need not contain.
    pub(super) fn open_orders_asked(&mut self) {
        for known in &mut self.known {
            known.newest_asked = known.newest;
        }
    }

    /// What is to be asked about the instrument whose turn it is.
    fn question(&self, index: InstrumentIndex) -> Option<TradesQuery> {
        match (self.want, self.known[index.as_usize()].through) {
            (Want::First, None) => Some(TradesQuery::Newest),
            (Want::First, Some(through)) => Some(TradesQuery::From {
                trade_id: through.saturating_add(1),
                limit: OWN_TRADES_MAX as u16,
            }),
            (Want::From(trade_id), _) => Some(TradesQuery::From {
                trade_id,
                limit: OWN_TRADES_MAX as u16,
            }),
            (Want::Nothing, _) => None,
        }
    }

    /// The question about missed trades of an instrument, as it is sent.
    pub(super) fn query(&self, index: InstrumentIndex) -> Option<TradesQuery> {
        (self.turn == index.as_usize())
            .then(|| self.question(index))
            .flatten()
    }

    /// The venue did not answer the question; whether it may be asked again.
    fn failed(&mut self, now: Nanos) -> bool {
        self.tries += 1;
        self.not_before = now.plus(AGAIN_AFTER);
        self.tries < MISSED_TRIES_MAX
    }

    /// The trades of one order are none of ours, or cannot be told: the balances contain them.
    fn leave_out(&mut self, venue_order_id: u64) {
        let next = self.next;
        let mut position = 0;
        self.page.retain(|trade| {
            position += 1;
            position <= next || trade.venue_order_id != venue_order_id
        });
        self.tries = 0;
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Asks for what was missed and tells it, a bounded part at a time; `false` when something cannot be asked now.
    /// When all is told the portfolio starts.
    pub(super) fn serve_missed(&mut self) -> bool {
        for _ in 0..MISSED_TRADES_PER_EVENT_MAX {
            let missed = &mut self.trading.missed;
            if let Some(trade) = missed.page.get(missed.next).copied() {
                let (instrument, venue_id) = (trade.instrument, trade.venue_order_id);
                let Some(order) = self.trading.oms.find_venue(instrument, venue_id) else {
                    return self.ask_missed(Purpose::Owner(instrument, venue_id));
                };
                missed.next += 1;
                self.tell(order, Input::Trade(&trade));
                continue;
            }
            if missed.turn == missed.known.len() {
                missed.is_over = true;
                self.start_portfolio();
                self.tell_caught_up();
                return true;
            }
            let index = InstrumentIndex(missed.turn as u16);
            if missed.question(index).is_some() {
                return self.ask_missed(Purpose::Missed(index));
            }
            missed.turn += 1;
            missed.want = Want::First;
        }
        self.wake();
        true
    }

    /// Asks a question unless it is under way or must wait; `false` when it cannot be asked now.
    fn ask_missed(&mut self, purpose: Purpose) -> bool {
        if self.trading.requests.any(|asked| asked == purpose) {
            return true;
        }
        let not_before = self.trading.missed.not_before;
        if not_before > self.now {
            self.deadlines.set_earlier(Timer::Orders, not_before);
            return true;
        }
        self.ask(purpose)
    }

    /// A list of trades that was asked for because they may be missed.
    pub(super) fn missed_told(&mut self, index: InstrumentIndex, trades: &[OwnTrade]) {
        let missed = &mut self.trading.missed;
        if missed.query(index).is_none() || missed.next < missed.page.len() {
            return;
        }
        let known = &mut missed.known[index.as_usize()];
        let last = trades.iter().map(|trade| trade.fill.trade_id).max();
        known.newest = known.newest.max(last);
        known.covered = known.covered.max(last);
        missed.tries = 0;
        missed.page.clear();
        missed.next = 0;
        missed.want = Want::Nothing;
        if known.through.is_none() {
            // Whatever it was, it was before this instance traded.
            known.through = Some(last.unwrap_or_default());
            known.covered = known.through;
        } else {
            let new = trades
                .iter()
                .filter(|trade| !known.since.contains(&trade.fill.trade_id));
            missed.page.extend(new.copied());
            if trades.len() == OWN_TRADES_MAX
                && let Some(last) = last
            {
                if missed.pages_left == 0 {
                    missed.cut_short.push(index);
                } else {
                    missed.pages_left -= 1;
                    missed.want = Want::From(last.saturating_add(1));
                }
            }
        }
        self.wake();
    }

    /// Whose the order of a missed trade is.
    pub(super) fn owner_told(
        &mut self,
        venue_order_id: u64,
        status: &OrderStatus,
        asked_at: Nanos,
    ) {
        match status.key {
            OrderKey::Ours(id) if self.trading.oms.order(id).is_some() => {
                self.tell(id, Input::Status { status, asked_at });
            }
            OrderKey::Ours(_) => {
                self.adopt(status, asked_at);
            }
            OrderKey::Foreign => self.telemetry.counters.increment(Counter::ForeignReports),
        }
        let found = self
            .trading
            .oms
            .find_venue(status.instrument, venue_order_id);
        if found.is_none() {
            self.trading.missed.leave_out(venue_order_id);
        }
        self.trading.missed.tries = 0;
        self.wake();
    }

    /// The venue does not say whose the order of a missed trade is. It is asked again, unless it `never` will say.
    pub(super) fn owner_refused(&mut self, venue_order_id: u64, never: bool) {
        let missed = &mut self.trading.missed;
        if never || !missed.failed(self.now) {
            missed.leave_out(venue_order_id);
        }
        self.wake();
    }

    /// The venue refuses to list missed trades. It is asked again, and in the end not.
    pub(super) fn missed_refused(&mut self, index: InstrumentIndex) {
        let missed = &mut self.trading.missed;
        if !missed.failed(self.now) && missed.query(index).is_some() {
            missed.tries = 0;
            missed.want = Want::Nothing;
            if missed.known[index.as_usize()].through.is_some() {
                missed.cut_short.push(index);
            }
        }
        self.wake();
    }

    /// Balances are listed: from here on fills move them.
    pub(super) fn balances_listed(&mut self, as_of: VenueMillis) {
        let trading = &mut *self.trading;
        if trading.missed.listed.is_some() {
            return;
        }
        trading.missed.listed = Some(as_of);
        trading.portfolio.listed(as_of);
        for Waiting { missed, .. } in &trading.missed.waiting {
            let (side, fill) = (missed.side, &missed.fill);
            trading.portfolio.moved_by(missed.instrument, side, fill);
        }
    }

    /// A fill that was told before the portfolio started.
    #[cold]
    pub(super) fn early_fill(
        &mut self,
        order: OrderId,
        instrument: InstrumentIndex,
        side: Side,
        fill: &Fill,
    ) {
        if !self.trading.missed.is_new(instrument, fill.trade_id) {
            // Booked by an earlier run, or before the first; the balances contain it.
            return;
        }
        let is_listed = self.trading.missed.listed.is_some();
        if self.trading.missed.waiting.len() == MISSED_FILLS_MAX {
            if !is_listed {
                // So many fills of the seconds before the balances: they cannot be told apart from what these contain.
                self.order_fault(order, instrument, OmsFault::FillForgotten);
                self.kill(HaltCause::Books);
                return;
            }
            self.start_portfolio();
            self.book_fill(order, instrument, fill);
            return;
        }
        if is_listed {
            self.trading.portfolio.moved_by(instrument, side, fill);
        }
        self.trading.missed.waiting.push(Waiting {
            order,
            missed: Missed {
                instrument,
                side,
                fill: *fill,
            },
        });
    }

    /// Starts the portfolio with the fills that waited for it, and tells them.
    fn start_portfolio(&mut self) {
        if self.trading.portfolio.is_started() {
            return;
        }
        let trading = &mut *self.trading;
        let missed = &mut trading.missed;
        missed.waiting.sort_unstable_by_key(|waiting| {
            (waiting.missed.instrument, waiting.missed.fill.trade_id)
        });
        missed.fills.clear();
        missed
            .fills
            .extend(missed.waiting.iter().map(|waiting| waiting.missed));
        trading.portfolio.start(&missed.fills);
        self.tell_baselines();
        for position in 0..self.trading.missed.waiting.len() {
            let Waiting { order, missed } = self.trading.missed.waiting[position];
            self.tell_fill(order, missed.instrument, missed.side, &missed.fill);
            let next = self.trading.missed.waiting.get(position + 1);
            if next.is_none_or(|next| next.missed.instrument != missed.instrument) {
                self.publish_position(missed.instrument);
            }
        }
        // Books may be live already, and what was held before is a position only now.
        for (instrument, _) in self.instruments.iter() {
            self.trading.refresh_exposure(instrument);
        }
        self.trading.missed.waiting.clear();
    }

    /// All that was missed is booked: tells the next run from where to ask.
    fn tell_caught_up(&mut self) {
        for position in 0..self.trading.missed.known.len() {
            let instrument = InstrumentIndex(position as u16);
            let how = if self.trading.missed.cut_short.contains(&instrument) {
                TradesKnown::CutShort
            } else if self.trading.missed.known[position].is_first {
                TradesKnown::FirstRun
            } else {
                TradesKnown::CaughtUp
            };
            self.tell_known(instrument, how);
        }
    }

    /// Nothing is in doubt: no trade is missing that happened before all open orders were asked for.
    pub(super) fn tell_settled(&mut self) {
        if !self.trading.portfolio.is_started() || !self.trading.oms.is_settled() {
            return;
        }
        for position in 0..self.trading.missed.known.len() {
            let instrument = InstrumentIndex(position as u16);
            // What a start did not get to know, the next one asks for again.
            if !self.trading.missed.cut_short.contains(&instrument) {
                self.tell_known(instrument, TradesKnown::Settled);
            }
        }
    }

    fn tell_known(&mut self, instrument: InstrumentIndex, how: TradesKnown) {
        let known = &mut self.trading.missed.known[instrument.as_usize()];
        let through = match how {
            TradesKnown::Settled => known.newest_asked,
            TradesKnown::FirstRun | TradesKnown::CaughtUp | TradesKnown::CutShort => known.covered,
        };
        let Some(through) = through else {
            return;
        };
        if known.told < Some(through) {
            known.told = Some(through);
            self.telemetry.records.push(
                self.now,
                RecordBody::TradesKnown {
                    instrument,
                    how,
                    through,
                },
            );
        }
    }
}
