//! What trading does when its time has come: links, time-outs, questions, cancels, the end.
//!
//! Does not: decide about orders. Invariants: cancels go first; one call sends a bounded number of messages, and
//! what is left has its time set.

use crate::deadlines::Timer;
use crate::event::{LinkDown, LinkId};
use crate::limits::{CANCELS_PER_EVENT_MAX, QUESTIONS_PER_EVENT_MAX};
use crate::oms::{Ask, Input, Order};
use crate::order::OrderId;
use crate::outbox::Full;
use crate::strategy::Strategy;
use crate::telemetry::counters::Counter;
use crate::telemetry::records::{HaltCause, TradingPhase};
use crate::units::Nanos;
use crate::venue::binance::order_entry::{OrderTarget, RequestKind, TradesQuery};
use crate::venue::binance::rate::Purpose as BudgetPurpose;
use crate::venue::binance::session::Notice;

use super::account::PUBLISH_EVERY;
use super::orders::target_of;
use super::requests::{OrderRequest, Purpose};
use super::{Desk, Stopwatch, Trading};

/// How long something waits for which there was no room or no budget.
const NO_ROOM_WAIT: Nanos = Nanos::from_ms(100);

// Weights of the questions, looked at before they are written (venue rules).
const STATUS_WEIGHT: u32 = 4;
const TRADES_WEIGHT: u32 = 5;
const ALL_TRADES_WEIGHT: u32 = 20;
const OPEN_ORDERS_WEIGHT: u32 = 80;
const ACCOUNT_WEIGHT: u32 = 20;
const ORDER_COUNTS_WEIGHT: u32 = 40;

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Does everything that is due, and sets the timer for the rest.
    pub(in crate::engine) fn serve(&mut self) {
        self.serve_notices();
        self.watch_records();
        if std::mem::take(&mut self.trading.clock_is_fresh) {
            self.clock_measured();
        }
        self.serve_time_outs();
        self.serve_overdue();
        let cancels_go = self.serve_cancels();
        let steps_go = self.serve_reconcile();
        let questions_go = self.serve_questions();
        self.tell_lost_books();
        self.serve_strategy_timer();
        self.tell_news();
        self.serve_stop();
        if self.now.since(self.trading.published_at) >= PUBLISH_EVERY {
            self.publish_account();
        }
        self.keep_busy_link();
        if !(cancels_go && steps_go && questions_go) {
            let waits_for = if cancels_go {
                BudgetPurpose::Query
            } else {
                BudgetPurpose::Cancel
            };
            let again = self.try_again_at(waits_for);
            self.deadlines.set_earlier(Timer::Orders, again);
        }
        let due = self.due();
        self.deadlines.set_earlier(Timer::Orders, due);
    }

    /// When something that could not go now is tried again: as soon as the pace of messages allows it, and after
    /// [`NO_ROOM_WAIT`] where something else held it up.
    fn try_again_at(&self, purpose: BudgetPurpose) -> Nanos {
        let paced = self.trading.pace.ready_at(purpose);
        if paced > self.now {
            paced
        } else {
            self.now.plus(NO_ROOM_WAIT)
        }
    }

    /// When something comes due by itself.
    fn due(&self) -> Nanos {
        let trading = &*self.trading;
        let time_out = trading
            .requests
            .oldest()
            .map_or(Nanos::MAX, |at| at.plus(self.session.reply_timeout()));
        let strategy = if trading.strategy_acts() {
            trading.strategy.next_timer()
        } else {
            Nanos::MAX
        };
        let reconcile = if self.session.orders().is_some() {
            trading.reconcile.due()
        } else {
            Nanos::MAX
        };
        let cancels = if trading.takes_everything_back() {
            let waits = trading.cancelled_again.iter();
            waits
                .map(|again| again.not_before)
                .filter(|at| *at > self.now)
                .min()
        } else {
            None
        };
        trading
            .published_at
            .plus(PUBLISH_EVERY)
            .min(cancels.unwrap_or(Nanos::MAX))
            .min(time_out)
            .min(trading.oms.due())
            .min(strategy)
            .min(reconcile)
    }

    /// Something was sent: its time-out must be seen.
    pub(super) fn wake_for_answers(&mut self) {
        let due = self.due();
        self.deadlines.set_earlier(Timer::Orders, due);
    }

    /// Follows what the session told of order links.
    fn serve_notices(&mut self) {
        for position in 0..self.trading.notices.len() {
            match self.trading.notices[position] {
                Notice::LogOn { link } => self.log_on(link),
                Notice::Ready { .. } => self.link_ready(),
                Notice::Down { link, cause, .. } => self.link_lost(link, cause),
                Notice::Retired { link, .. } => self.link_lost(link, LinkDown::Requested),
                Notice::Asked { .. }
                | Notice::Up { .. }
                | Notice::SubscribeOverdue { .. }
                | Notice::OutboxFull => {}
            }
        }
        self.trading.notices.clear();
    }

    /// Logs a link on, or subscribes it with a signature where the key cannot log on.
    fn log_on(&mut self, link: LinkId) {
        if self.trading.entry.logs_on() {
            self.introduce(link, Purpose::LogOn);
        } else {
            self.introduce(link, Purpose::Subscribe);
        }
    }

    /// Sends the log-on or the subscription of a link that does not take orders yet. What cannot be sent is not
    /// tried again: the link ends at its time-out, and the next one tries.
    pub(super) fn introduce(&mut self, link: LinkId, purpose: Purpose) {
        let Some(at) = self.clocks.venue(self.now) else {
            return;
        };
        let trading = &mut *self.trading;
        if !trading.requests.has_room() {
            return;
        }
        let request = if purpose == Purpose::LogOn {
            trading.entry.log_on(at).expect("the caller looked")
        } else {
            trading.entry.subscribe(at)
        };
        let (id, mut weight) = (request.id, request.weight);
        if self.out.send(link, &[request.message]) == Err(Full) {
            self.telemetry.counters.increment(Counter::OutboxFull);
            return;
        }
        // A link that cannot be introduced is of no use: this is not refused.
        if !self.spend(id.kind, weight) {
            self.budget.spend_unasked(self.now, weight);
            weight = 0;
        }
        self.trading.requests.push(OrderRequest {
            id,
            link,
            purpose,
            weight,
            sent_at: self.now,
            in_kernel_at: None,
            retried: false,
        });
        self.wake_for_answers();
    }

    /// A link takes orders.
    fn link_ready(&mut self) {
        if self.trading.phase == TradingPhase::Starting {
            self.set_phase(TradingPhase::Reconciling);
        }
        // What happened between two links was told to nobody.
        self.trading.reconcile.begin();
        self.wake();
    }

    /// A link is gone: what was sent on it and not answered is unknown.
    fn link_lost(&mut self, link: LinkId, cause: LinkDown) {
        self.trading.blocked.retain(|blocked| *blocked != link);
        while let Some(request) = self.trading.requests.take_of(link) {
            self.settle(&request, false);
            self.unanswered(&request);
        }
        if self.session.orders().is_none() {
            self.trading.reconcile.abandon();
            match self.trading.phase {
                TradingPhase::Reconciling | TradingPhase::Ready => {
                    self.set_phase(TradingPhase::Starting);
                }
                TradingPhase::Off
                | TradingPhase::Starting
                | TradingPhase::Stopping
                | TradingPhase::Stopped => {}
            }
        } else if cause != LinkDown::Requested {
            self.trading.reconcile.begin();
        }
        self.wake();
    }

    /// A request that nobody will answer.
    pub(super) fn unanswered(&mut self, request: &OrderRequest) {
        match request.purpose {
            Purpose::Place(order) => self.tell(order, Input::OutcomeUnknown),
            Purpose::Cancel(order) => self.tell(order, Input::CancelUnknown),
            Purpose::Amend(order, _) => self.tell(order, Input::ReplaceUnknown),
            Purpose::Replace { old, new } => {
                self.tell(old, Input::ReplaceUnknown);
                self.tell(new, Input::OutcomeUnknown);
            }
            Purpose::Status(order) => self.question(Ask::Status(order)),
            Purpose::Trades(order, _) => self.question(Ask::Trades(order)),
            // Who waits for these asks again.
            Purpose::LogOn
            | Purpose::Subscribe
            | Purpose::Missed(_)
            | Purpose::Owner(..)
            | Purpose::OpenOrders
            | Purpose::Account
            | Purpose::OrderCounts => {}
        }
    }

    /// Gives up on requests that were not answered in time.
    fn serve_time_outs(&mut self) {
        let timeout = self.session.reply_timeout();
        while self.now >= timeout
            && let Some(request) = self
                .trading
                .requests
                .take_sent_before(self.now.since(timeout))
        {
            self.settle(&request, false);
            self.telemetry.counters.increment(Counter::OrderRepliesLost);
            self.unanswered(&request);
            if request.purpose.proves_the_link() {
                self.session.fail(
                    self.now,
                    request.link,
                    LinkDown::Silent,
                    self.out,
                    self.session_notices,
                );
            }
        }
    }

    /// Sends cancels that wait; `false` when some cannot go now.
    fn serve_cancels(&mut self) -> bool {
        if self.trading.takes_everything_back() {
            // Also what turned out to be alive after all, and what a lost cancel did not reach.
            self.cancel_rest();
        }
        for _ in 0..CANCELS_PER_EVENT_MAX {
            let Some(&id) = self.trading.cancels.front() else {
                return true;
            };
            if !self.send_cancel(id) {
                return false;
            }
            // Telling that it was sent may have taken it out already.
            if self.trading.cancels.front() == Some(&id) {
                self.trading.cancels.pop_front();
            }
        }
        self.wake();
        true
    }

    /// Asks questions that wait; `false` when some cannot be asked now.
    fn serve_questions(&mut self) -> bool {
        if self.session.orders().is_none() {
            return true;
        }
        for _ in 0..QUESTIONS_PER_EVENT_MAX {
            let Some(&ask) = self.trading.questions.front() else {
                return true;
            };
            let purpose = match ask {
                Ask::Status(order) => Purpose::Status(order),
                Ask::Trades(order) => {
                    let Some(held) = self.trading.oms.order(order) else {
                        self.trading.questions.pop_front();
                        continue;
                    };
                    Purpose::Trades(order, held.instrument())
                }
            };
            if !self.trading.requests.any(|asked| asked == purpose) && !self.ask(purpose) {
                return false;
            }
            self.trading.questions.pop_front();
        }
        self.wake();
        true
    }

    /// Sends one question; `false` when there is no link, budget or room, or the clock is in doubt: its measurement
    /// has everything that waits looked at.
    pub(super) fn ask(&mut self, purpose: Purpose) -> bool {
        if self.venue_clock.is_in_doubt() {
            return false;
        }
        let (Some(link), Some(at)) = (self.session.orders(), self.clocks.venue(self.now)) else {
            return false;
        };
        let (kind, weight) = match purpose {
            Purpose::Status(_) | Purpose::Owner(..) => (RequestKind::Status, STATUS_WEIGHT),
            Purpose::Trades(..) => (RequestKind::Trades, TRADES_WEIGHT),
            Purpose::Missed(_) => (RequestKind::Trades, ALL_TRADES_WEIGHT),
            Purpose::OpenOrders => (RequestKind::OpenOrders, OPEN_ORDERS_WEIGHT),
            Purpose::Account => (RequestKind::Account, ACCOUNT_WEIGHT),
            Purpose::OrderCounts => (RequestKind::OrderCounts, ORDER_COUNTS_WEIGHT),
            Purpose::LogOn
            | Purpose::Subscribe
            | Purpose::Place(_)
            | Purpose::Cancel(_)
            | Purpose::Replace { .. }
            | Purpose::Amend(..) => unreachable!("these have ways of their own"),
        };
        if !self.trading.requests.has_room() || !self.budget_takes(kind, weight) {
            return false;
        }
        let Trading {
            entry, oms, missed, ..
        } = &mut *self.trading;
        let request = match purpose {
            Purpose::Status(order) => match oms.order(order) {
                Some(order) => entry.status(at, target_of(order)),
                None => return true,
            },
            Purpose::Trades(order, instrument) => {
                match oms.order(order).and_then(Order::venue_order_id) {
                    Some(venue_order_id) => {
                        entry.my_trades(at, instrument, TradesQuery::OfOrder { venue_order_id })
                    }
                    None => return true,
                }
            }
            Purpose::Owner(instrument, venue_order_id) => entry.status(
                at,
                OrderTarget {
                    instrument,
                    // Not written, since the venue's id is known.
                    order: OrderId::from_bits(0),
                    venue_order_id: Some(venue_order_id),
                },
            ),
            Purpose::Missed(instrument) => match missed.query(instrument) {
                Some(query) => entry.my_trades(at, instrument, query),
                None => return true,
            },
            Purpose::OpenOrders => {
                missed.open_orders_asked();
                entry.open_orders(at, None)
            }
            Purpose::OrderCounts => entry.order_counts(at),
            Purpose::LogOn
            | Purpose::Subscribe
            | Purpose::Place(_)
            | Purpose::Cancel(_)
            | Purpose::Replace { .. }
            | Purpose::Amend(..)
            | Purpose::Account => entry.account(at),
        };
        let id = request.id;
        debug_assert_eq!(request.weight, weight, "the table above is the encoder's");
        if self.out.send(link, &[request.message]) == Err(Full) {
            self.telemetry.counters.increment(Counter::OutboxFull);
            return false;
        }
        let spent = self.spend(kind, weight);
        debug_assert!(spent, "looked at above");
        self.trading.requests.push(OrderRequest {
            id,
            link,
            purpose,
            weight,
            sent_at: self.now,
            in_kernel_at: None,
            retried: false,
        });
        self.wake_for_answers();
        true
    }

    /// Lets an old order link retire only when nothing on it is unanswered.
    fn keep_busy_link(&mut self) {
        let kept = self
            .session
            .retiring()
            .is_some_and(|link| !self.trading.requests.is_quiet(link));
        self.session.keep_retiring(kept);
    }

    /// Ends trading when it was asked to and no order is left. What an earlier run left is not known before the venue
    /// has listed it: until then this is not the end, however early it was asked for.
    fn serve_stop(&mut self) {
        if self.trading.phase == TradingPhase::Stopping
            && self.trading.reconcile.has_listed()
            && self.trading.oms.open_count() == 0
        {
            self.set_phase(TradingPhase::Stopped);
        }
    }

    /// Halts when records were lost: the sidecar no longer knows everything.
    fn watch_records(&mut self) {
        if !self.trading.records_lost && self.telemetry.records.loss().is_some() {
            self.trading.records_lost = true;
            self.kill(HaltCause::RecordsLost);
        }
    }
}
