//! The trading half of the engine: strategy, risk, orders, account, and the order link.
//!
//! Owns: [`Trading`], everything that is known about orders and the account; [`Desk`], that together with what
//! one event lends it (books, links, telemetry, outbox). Does not: decode, or know sockets; `oms`, `risk`,
//! `portfolio` and the strategy each decide for themselves, and only meet here.
//!
//! How far it has come ([`TradingPhase`]):
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | `Starting` | `Reconciling` | an order link is logged on and hears user data |
//! | `Reconciling` | `Ready` | open orders, balances and missed trades were told, and no order is unresolved |
//! | `Reconciling`, `Ready` | `Starting` | the last order link is gone |
//! | any | `Stopping` | [`Command::Stop`](crate::event::Command::Stop) |
//! | `Stopping` | `Stopped` | open orders were told once in this run, and none of ours is open |
//!
//! Invariants: an order is in the table before its bytes are in the outbox; what a book's change sent is booked as sent
//! after the event's actions may have been performed, and before anything else happens here; what was sent and not answered when
//! its link goes is unresolved; cancels go before everything else that waits; a strategy is called only while
//! trading is `Ready`, and what it wants is done or refused before it is called again.

mod account;
mod answers;
mod changes;
mod commands;
mod conditions;
mod looks;
mod missed;
mod orders;
mod reconcile;
mod reports;
mod requests;
mod retries;
mod service;

use std::collections::VecDeque;

use crate::config::TradingConfig;
use crate::deadlines::{Deadlines, Timer};
use crate::event::LinkId;
use crate::instrument::{Assets, InstrumentIndex, Instruments, Symbol};
use crate::limits::{LINKS_MAX, ORDER_MESSAGES_WINDOW, ORDER_NEWS_MAX, ORDERS_OPEN_MAX};
use crate::oms::{Ask, Oms};
use crate::order::{OrderId, Origin};
use crate::outbox::Outbox;
use crate::portfolio::{Portfolio, PortfolioConfig};
use crate::risk::Risk;
use crate::strategy::{Actions, Funnel, OrderUpdate, Strategy};
use crate::telemetry::Telemetry;
use crate::telemetry::records::{HaltCause, RecordBody, TradingPhase};
use crate::units::{E8, Nanos, VenueMillis};
use crate::venue::binance;
use crate::venue::binance::clock::VenueClock;
use crate::venue::binance::order_entry::{ClientOrderIds, Credentials, OrderEntry, RequestKind};
use crate::venue::binance::rate::{MessagePace, OrderBudget, Purpose, RequestBudget};
use crate::venue::binance::session::{Notice, Session};

use super::brain::Market;
use super::{EngineError, Stopwatch};
pub(super) use looks::Look;

use conditions::Pair;
use missed::MissedTrades;
use reconcile::Reconcile;
use requests::OrderRequests;
use retries::{AwaitsClock, CancelAgain};

/// An account to trade with, and what trades.
pub struct Account<T> {
    /// What trading is told.
    pub config: TradingConfig,
    /// How requests are made ours.
    pub credentials: Credentials,
    /// What wants orders.
    pub strategy: T,
}

/// News of an order that the strategy has not heard.
#[derive(Clone, Copy)]
struct News {
    instrument: InstrumentIndex,
    update: OrderUpdate,
}

/// See the module's text.
pub(super) struct Trading<T> {
    config: TradingConfig,
    phase: TradingPhase,
    oms: Oms,
    portfolio: Portfolio,
    risk: Risk,
    strategy: T,
    /// Whether the strategy may act.
    running: bool,
    entry: OrderEntry,
    requests: OrderRequests,
    /// New orders that the venue still takes.
    pub(super) order_budget: OrderBudget,
    /// Messages that we sent on order links, whichever: the venue counts an address.
    pace: Box<MessagePace>,
    reconcile: Reconcile,
    missed: MissedTrades,
    /// What the session told of order links.
    pub(super) notices: Vec<Notice>,
    /// Questions to the venue, oldest first; an order stands in it once.
    questions: VecDeque<Ask>,
    /// Orders that are to go and for which no cancel was sent yet.
    cancels: VecDeque<OrderId>,
    /// What is to be sent again when the clock is right; at most [`ORDERS_OPEN_MAX`], then a refusal is one.
    awaiting_clock: Vec<AwaitsClock>,
    /// Orders whose cancel the venue refused; an order stands in it once, until it is over.
    cancelled_again: Vec<CancelAgain>,
    /// The venue's clock was measured since those were last looked at.
    pub(super) clock_is_fresh: bool,
    /// Order links whose unsent bytes would delay a new order.
    blocked: Vec<LinkId>,
    news: VecDeque<News>,
    /// Books that stopped being live and of which the strategy has not heard.
    lost_books: Vec<InstrumentIndex>,
    actions: Actions,
    /// A new order in the outbox that is not booked as sent yet.
    sent: Option<orders::SentOrder>,
    funnel: Funnel,
    /// When the account was last published, and the instrument whose turn it is then.
    published_at: Nanos,
    publish_next: InstrumentIndex,
    /// The highest use of any limit as each instrument sees it, in hundredths of a percent.
    utilizations: Vec<u32>,
    rejection_second: u64,
    rejection_records: u32,
    records_lost: bool,
    pub(super) assets: Assets,
    /// Base, quote and grids of each instrument.
    pairs: Vec<Pair>,
    /// What each instrument's position may come to, in the account currency; `None` while there is one without a mark.
    exposures: Vec<Option<E8>>,
    /// The sum of those that are known.
    gross_exposure: i128,
    /// How many are not.
    unknown_exposures: u32,
}

impl<T: Strategy> Trading<T> {
    /// Trading without links; all its memory is reserved here.
    pub(super) fn new(account: Account<T>, instruments: &Instruments) -> Result<Self, EngineError> {
        let Account {
            config,
            credentials,
            strategy,
        } = account;
        let assets = binance::assets(instruments);
        let account_currency = assets
            .find(config.account_currency.as_bytes())
            .ok_or(EngineError::AccountCurrency(config.account_currency))?;
        let baselines = config
            .baselines
            .iter()
            .filter_map(|(asset, amount)| Some((assets.find(asset.as_bytes())?, *amount)))
            .collect();
        let mut portfolio = Portfolio::new(
            instruments,
            &assets,
            PortfolioConfig {
                account_currency,
                baselines,
            },
        )?;
        if let Some(restored) = config.restored {
            portfolio.restore(restored);
        }
        let mut risk = Risk::new(config.global_limits, config.instrument_limits.clone())?;
        if config.kill_switch {
            risk.kill();
        }
        let ids = ClientOrderIds::new(&config.prefix)?;
        let entry = OrderEntry::new(instruments, ids, credentials, config.recv_window_ms)?;
        Ok(Self {
            phase: TradingPhase::Starting,
            oms: Oms::new(instruments.count(), config.run, config.orders),
            portfolio,
            risk,
            strategy,
            running: config.strategy_runs,
            entry,
            requests: OrderRequests::new(),
            order_budget: OrderBudget::new(&config.order_limits),
            pace: Box::new(MessagePace::new(ORDER_MESSAGES_WINDOW)),
            reconcile: Reconcile::default(),
            missed: MissedTrades::new(instruments, &config.trades_known),
            notices: Vec::with_capacity(4 * LINKS_MAX),
            questions: VecDeque::with_capacity(2 * ORDERS_OPEN_MAX),
            cancels: VecDeque::with_capacity(ORDERS_OPEN_MAX),
            awaiting_clock: Vec::with_capacity(ORDERS_OPEN_MAX),
            cancelled_again: Vec::with_capacity(ORDERS_OPEN_MAX),
            clock_is_fresh: false,
            blocked: Vec::with_capacity(LINKS_MAX),
            news: VecDeque::with_capacity(ORDER_NEWS_MAX),
            lost_books: Vec::with_capacity(instruments.count()),
            actions: Actions::new(),
            sent: None,
            funnel: Funnel::new(),
            published_at: Nanos::ZERO,
            publish_next: InstrumentIndex(0),
            utilizations: vec![0; instruments.count()],
            rejection_second: 0,
            rejection_records: 0,
            records_lost: false,
            pairs: instruments
                .iter()
                .map(|(_, instrument)| {
                    let known = |asset: &Symbol| {
                        assets
                            .find(asset.as_bytes())
                            .expect("made of these instruments")
                    };
                    Pair {
                        base: known(&instrument.base),
                        quote: known(&instrument.quote),
                        lot_e8: instrument.lot.unit().0,
                        tick_e8: instrument.tick.unit().0,
                    }
                })
                .collect(),
            exposures: vec![Some(E8(0)); instruments.count()],
            gross_exposure: 0,
            unknown_exposures: 0,
            assets,
            config,
        })
    }

    /// An order link has bytes that the kernel did not take, or has them no longer.
    pub(super) fn link_blocked(&mut self, link: LinkId, blocked: bool) {
        self.blocked.retain(|known| *known != link);
        if blocked && self.blocked.len() < LINKS_MAX {
            self.blocked.push(link);
        }
    }

    /// A book is not live any more: what the strategy rests on it stands on nothing, and goes.
    pub(super) fn book_lost(&mut self, index: InstrumentIndex) {
        for order in self.oms.cancellable(Some(index)) {
            if order.origin() == Origin::Strategy && !self.cancels.contains(&order.id()) {
                self.cancels.push_back(order.id());
            }
        }
        if !self.lost_books.contains(&index) {
            self.lost_books.push(index);
        }
    }

    /// The orders.
    pub(super) fn oms(&self) -> &Oms {
        &self.oms
    }

    /// The account.
    pub(super) fn portfolio(&self) -> &Portfolio {
        &self.portfolio
    }

    /// The limits and the trading state.
    pub(super) fn risk(&self) -> &Risk {
        &self.risk
    }

    /// The counts from signal to fill.
    pub(super) fn funnel(&self) -> &Funnel {
        &self.funnel
    }

    /// Whether the venue listed our open orders in this run.
    pub(super) fn has_listed_orders(&self) -> bool {
        self.reconcile.has_listed()
    }

    /// How far trading has come.
    /// [`super::Engine::orders_in_kernel`].
    pub(super) fn orders_in_kernel(&mut self, now: Nanos, stamp: Nanos) {
        self.requests.in_kernel(now, stamp);
    }

    pub(super) fn phase(&self) -> TradingPhase {
        self.phase
    }

    /// Whether no order of ours may stay.
    fn takes_everything_back(&self) -> bool {
        self.phase == TradingPhase::Stopping || self.risk.is_killed()
    }

    /// Whether the strategy is called.
    #[inline]
    pub(super) fn strategy_acts(&self) -> bool {
        self.running && self.phase == TradingPhase::Ready
    }
}

/// What is known of the clocks.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    /// Venue's clock minus this machine's, in nanoseconds, when both are known.
    pub(super) offset_ns: Option<i64>,
    /// Unix nanoseconds at the engine's zero on the best clock that there is.
    pub(super) unix_ns_at_zero: Option<i64>,
}

impl Clocks {
    /// Unix milliseconds at `now` on the venue's clock.
    fn unix_ms(&self, now: Nanos) -> Option<u64> {
        let at_zero = self.unix_ns_at_zero?;
        u64::try_from(at_zero.saturating_add_unsigned(now.0) / 1_000_000).ok()
    }

    /// The same, as requests carry it.
    fn venue(&self, now: Nanos) -> Option<VenueMillis> {
        self.unix_ms(now).map(VenueMillis)
    }
}

/// Trading, and what one event lends it.
pub(super) struct Desk<'a, T, S> {
    pub(super) now: Nanos,
    pub(super) trading: &'a mut Trading<T>,
    pub(super) markets: &'a [Market],
    pub(super) instruments: &'a Instruments,
    pub(super) session: &'a mut Session,
    pub(super) session_notices: &'a mut Vec<Notice>,
    pub(super) budget: &'a mut RequestBudget,
    pub(super) venue_clock: &'a mut VenueClock,
    pub(super) telemetry: &'a mut Telemetry,
    pub(super) deadlines: &'a mut Deadlines,
    pub(super) clocks: Clocks,
    pub(super) backlog: bool,
    pub(super) watch: &'a S,
    pub(super) out: &'a mut Outbox,
}

/// How much of the limits a request may use.
const fn budget_purpose(kind: RequestKind) -> Purpose {
    match kind {
        RequestKind::Cancel | RequestKind::CancelAll => Purpose::Cancel,
        RequestKind::Place | RequestKind::CancelReplace | RequestKind::Amend => Purpose::Order,
        RequestKind::LogOn
        | RequestKind::Subscribe
        | RequestKind::OpenOrders
        | RequestKind::Status
        | RequestKind::Account
        | RequestKind::Trades
        | RequestKind::OrderCounts
        | RequestKind::Time
        | RequestKind::Ping => Purpose::Query,
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Whether the venue's budgets hold one more request.
    #[inline]
    pub(super) fn budget_takes(&self, kind: RequestKind, weight: u32) -> bool {
        let purpose = budget_purpose(kind);
        self.budget.ready_at_for(self.now, purpose, weight) <= self.now
            && self.trading.pace.ready_at(purpose) <= self.now
            && (!kind.counts_as_order() || self.trading.order_budget.is_ready(self.now))
    }

    /// Takes what a request costs out of the budgets; whether they held it. It is one more message in any case.
    #[must_use = "a refused request must not be sent"]
    pub(super) fn spend(&mut self, kind: RequestKind, weight: u32) -> bool {
        let purpose = budget_purpose(kind);
        self.trading.pace.note(self.now);
        self.budget.try_spend_for(self.now, purpose, weight)
            && (!kind.counts_as_order() || self.trading.order_budget.try_spend(self.now))
    }

    /// A request was answered, or nobody waits for it any more.
    pub(super) fn settle(&mut self, request: &requests::OrderRequest, succeeded: bool) {
        if succeeded && request.id.kind.is_free_on_success() {
            self.budget.settle_free(request.sent_at, request.weight);
        } else {
            self.budget.settle(request.weight);
        }
        if request.id.kind.counts_as_order() {
            self.trading.order_budget.settle();
        }
    }

    /// Values everything at the new touch of a live book.
    #[inline]
    pub(super) fn mark(&mut self, index: InstrumentIndex) {
        self.trading
            .mark(index, self.markets[index.as_usize()].touch);
    }

    /// Has the timer look at trading at once.
    pub(super) fn wake(&mut self) {
        self.deadlines.set_earlier(Timer::Orders, self.now);
    }

    /// Records and publishes how far trading has come, if that changed.
    pub(super) fn set_phase(&mut self, to: TradingPhase) {
        let from = self.trading.phase;
        if from == to {
            return;
        }
        self.trading.phase = to;
        let open_orders = self.trading.oms.open_count() as u32;
        let unresolved = self.unresolved_count();
        self.telemetry.records.push(
            self.now,
            RecordBody::TradingPhase {
                from,
                to,
                open_orders,
                unresolved,
            },
        );
        self.publish_account();
        self.wake();
    }

    /// Orders whose outcome is unknown.
    fn unresolved_count(&self) -> u32 {
        self.instruments
            .iter()
            .map(|(index, _)| self.trading.oms.totals(index).unresolved_count)
            .sum()
    }

    /// Halts, latches the kill switch and takes every order of ours back.
    #[cold]
    pub(super) fn kill(&mut self, cause: HaltCause) {
        let from = self.trading.risk.state();
        let was_latched = self.trading.risk.is_killed();
        self.trading.risk.kill();
        if !was_latched {
            self.telemetry.records.push(
                self.now,
                RecordBody::KillSwitch {
                    latched: true,
                    cause,
                },
            );
        }
        self.tell_trading_state(from, cause);
        self.cancel_all(None);
        self.publish_account();
    }

    /// Records the trading state, if it is another than `from`.
    fn tell_trading_state(&mut self, from: crate::risk::TradingState, cause: HaltCause) {
        let to = self.trading.risk.state();
        if from != to {
            self.telemetry
                .records
                .push(self.now, RecordBody::TradingState { from, to, cause });
        }
    }
}
