//! One input applied to one order.
//!
//! Owns: what each [`Input`] means in each state. Does not: know the table or the totals. The facts are changed here,
//! the state follows from them in one place (`Turn::settle`), so that no pair of state and input can be forgotten.

mod told;

use super::OmsConfig;
use super::message::{Applied, Ask, Input, OmsFault};
use super::order::{Doubt, End, Order};
use super::trades::Trades;
use crate::limits::{ASK_DOUBLINGS_MAX, ASKS_MAX};
use crate::order::{DoneReason, OrderState};
use crate::units::{Nanos, VenueMillis};

/// One order while something happens to it.
pub(super) struct Turn<'a> {
    pub(super) config: &'a OmsConfig,
    pub(super) trades: &'a mut Trades,
    pub(super) order: &'a mut Order,
    pub(super) now: Nanos,
    pub(super) applied: Applied,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        config: &'a OmsConfig,
        trades: &'a mut Trades,
        order: &'a mut Order,
        now: Nanos,
    ) -> Self {
        Self {
            config,
            trades,
            order,
            now,
            applied: Applied::default(),
        }
    }

    pub(super) fn apply(mut self, input: Input<'_>) -> Applied {
        match input {
            Input::Sent => self.sent(),
            Input::SentAgain => self.sent_again(),
            Input::NotSent => self.not_sent(),
            Input::Acknowledged { venue_order_id, at } => self.acknowledged(venue_order_id, at),
            Input::Refused { code } => self.refused(code),
            Input::OutcomeUnknown => self.outcome_unknown(),
            Input::Report(report) => self.report(report),
            Input::Status { status, asked_at } => self.status(status, asked_at),
            Input::StatusNotFound { asked_at } => self.not_found(asked_at),
            Input::Trade(trade) => self.trade(trade),
            Input::TradesComplete => self.trades_complete(),
            Input::CancelSent => self.cancel_sent(),
            Input::CancelRefused { unknown_order } => {
                if std::mem::take(&mut self.order.cancel_under_way) && unknown_order {
                    self.doubt_held(Doubt::Cancel, self.config.grace);
                }
            }
            Input::CancelUnknown => {
                if std::mem::take(&mut self.order.cancel_under_way) {
                    self.doubt_held(Doubt::Cancel, Nanos::ZERO);
                }
            }
            Input::ReplaceSent => self.replace_sent(),
            Input::ReplaceSentAgain => self.replace_sent_again(),
            Input::ReplaceRefused { unknown_order } => {
                if std::mem::take(&mut self.order.replace_under_way) && unknown_order {
                    self.doubt_held(Doubt::Replace, self.config.grace);
                }
            }
            Input::ReplaceUnknown => {
                if std::mem::take(&mut self.order.replace_under_way) {
                    self.doubt_held(Doubt::Replace, Nanos::ZERO);
                }
            }
            Input::Amended(status) => {
                self.order.replace_under_way = false;
                if self.order.doubt == Some(Doubt::Replace) {
                    self.order.doubt = None;
                }
                // When it was asked is not known: it settles no other doubt.
                self.status(status, Nanos::ZERO);
            }
        }
        self.settle();
        self.applied
    }

    fn sent(&mut self) {
        let never_left = self.order.end.is_some() && self.order.held_at.is_none();
        if self.order.sent_at.is_some() || never_left {
            return self.fault(OmsFault::Illegal);
        }
        self.order.sent_at = Some(self.now);
    }

    fn sent_again(&mut self) {
        if self.order.state != OrderState::Sent {
            return self.fault(OmsFault::Illegal);
        }
        // It can arrive as long after this as after its first sending, and is answered as late.
        self.order.sent_at = Some(self.now);
        self.order.state_due = self.now.plus(self.config.answer_max);
    }

    fn not_sent(&mut self) {
        let order = &mut *self.order;
        if order.sent_at.is_some() || order.held_at.is_some() || order.end.is_some() {
            return self.fault(OmsFault::Illegal);
        }
        self.end(DoneReason::Rejected, false);
    }

    fn acknowledged(&mut self, venue_order_id: u64, at: VenueMillis) {
        if self
            .order
            .venue_order_id
            .is_some_and(|known| known != venue_order_id)
        {
            return self.fault(OmsFault::Contradicted);
        }
        self.reopen();
        self.shown(venue_order_id, at, self.now);
    }

    fn refused(&mut self, code: i32) {
        match self.order.end {
            None if self.order.held_at.is_some() => {
                self.fault(OmsFault::Contradicted);
                self.doubt(Doubt::Word, Nanos::ZERO);
            }
            None => {
                self.order.refusal = Some(code);
                self.end(DoneReason::Rejected, false);
            }
            Some(end) if end.reason == DoneReason::Rejected => {
                self.order.refusal = Some(code);
            }
            Some(_) => self.fault(OmsFault::Contradicted),
        }
    }

    fn outcome_unknown(&mut self) {
        if self.order.end.is_some() || self.order.held_at.is_some() {
            return;
        }
        // Whatever left, left before now.
        self.order.sent_at.get_or_insert(self.now);
        self.doubt(Doubt::Placement, Nanos::ZERO);
    }

    fn trades_complete(&mut self) {
        if self.order.missing() > 0 {
            self.order.fills_due = self.order.fills_due.max(self.now.plus(self.backoff()));
        }
    }

    fn cancel_sent(&mut self) {
        let order = &mut *self.order;
        if !order.is_cancellable() {
            return self.fault(OmsFault::Illegal);
        }
        order.cancel_under_way = true;
    }

    fn replace_sent(&mut self) {
        match self.order.state {
            OrderState::Live | OrderState::PartiallyFilled => self.order.replace_under_way = true,
            OrderState::Admitted
            | OrderState::Sent
            | OrderState::CancelSent
            | OrderState::ReplaceSent
            | OrderState::Unresolved
            | OrderState::Done(_) => self.fault(OmsFault::Illegal),
        }
    }

    fn replace_sent_again(&mut self) {
        if self.order.state != OrderState::ReplaceSent {
            return self.fault(OmsFault::Illegal);
        }
        // It is answered as late after this as after its first sending.
        self.order.state_due = self.now.plus(self.config.replace_max);
    }

    fn end(&mut self, reason: DoneReason, is_final: bool) {
        self.order.end = Some(End { reason, is_final });
        self.order.cancel_under_way = false;
        self.order.replace_under_way = false;
        self.order.doubt = None;
        self.order.state_due = Nanos::MAX;
    }

    /// A doubt about an order that the venue held; one that it never showed waits for its placement's outcome.
    fn doubt_held(&mut self, doubt: Doubt, grace: Nanos) {
        if self.order.held_at.is_some() && self.order.end.is_none() {
            self.doubt(doubt, grace);
        }
    }

    /// Raises a doubt unless there is one, and asks after `grace`.
    fn doubt(&mut self, doubt: Doubt, grace: Nanos) {
        if self.order.doubt.is_some() {
            return;
        }
        self.order.doubt = Some(doubt);
        self.order.doubt_at = self.now;
        self.order.asks = 0;
        if grace == Nanos::ZERO {
            self.ask_status();
        } else {
            self.order.state_due = self.now.plus(grace);
        }
    }

    fn ask_status(&mut self) {
        self.order.state_due = self.asked();
        self.applied.ask = Some(Ask::Status(self.order.id));
    }

    fn ask_trades(&mut self) {
        self.order.fills_due = self.asked();
        self.applied.ask.get_or_insert(Ask::Trades(self.order.id));
    }

    /// Counts a question; returns when to ask the next.
    fn asked(&mut self) -> Nanos {
        self.order.asks = self.order.asks.saturating_add(1);
        if self.order.asks == ASKS_MAX {
            self.fault(OmsFault::AskedInVain);
        }
        self.now.plus(self.backoff())
    }

    fn backoff(&self) -> Nanos {
        let doublings = self.order.asks.saturating_sub(1).min(ASK_DOUBLINGS_MAX);
        Nanos(
            self.config
                .ask_again
                .0
                .max(1)
                .saturating_mul(1 << doublings),
        )
    }

    /// Notes a fault; one that halts is not covered up by one that does not.
    fn fault(&mut self, fault: OmsFault) {
        match self.applied.fault {
            Some(first) if first.halts() || !fault.halts() => {}
            Some(_) | None => self.applied.fault = Some(fault),
        }
    }

    /// Draws the conclusions of the facts: ends, the state, and what is due when.
    fn settle(&mut self) {
        if self.order.end.is_none() && self.order.executed >= self.order.qty {
            self.order.told = self.order.told.max(self.order.executed);
            self.end(DoneReason::Filled, true);
        }
        let order = &mut *self.order;
        if order.missing() <= 0 {
            order.fills_due = Nanos::MAX;
            order.complete_through = match order.trade_ids {
                Some((_, high)) if order.missing() == 0 => Some(high),
                Some(_) | None => order.complete_through,
            };
        } else if order.fills_due == Nanos::MAX {
            order.fills_due = self.now.plus(self.config.grace);
            if self.config.grace == Nanos::ZERO {
                self.ask_trades();
            }
        }
        let order = &mut *self.order;
        let (before, after) = (order.state, order.settled());
        if before == after {
            return;
        }
        order.state = after;
        order.since = self.now;
        match after {
            OrderState::Admitted | OrderState::Sent => {
                order.state_due = self.now.plus(self.config.answer_max);
            }
            OrderState::CancelSent => order.state_due = self.now.plus(self.config.cancel_max),
            OrderState::ReplaceSent => order.state_due = self.now.plus(self.config.replace_max),
            // A doubt has set its own time; missing fills have theirs.
            OrderState::Unresolved if order.doubt.is_some() => {}
            OrderState::Live
            | OrderState::PartiallyFilled
            | OrderState::Unresolved
            | OrderState::Done(_) => {
                order.state_due = Nanos::MAX;
                order.asks = 0;
            }
        }
        self.applied.transition = Some((before, after));
    }
}

/// The order's time has passed: its transient state becomes a doubt, and the venue is asked.
pub(super) fn overdue(mut turn: Turn<'_>) -> Applied {
    if turn.order.state_due <= turn.now {
        match turn.order.state {
            OrderState::Admitted | OrderState::Sent => {
                turn.doubt(Doubt::Placement, Nanos::ZERO);
            }
            OrderState::CancelSent => {
                turn.order.cancel_under_way = false;
                turn.doubt(Doubt::Cancel, Nanos::ZERO);
            }
            OrderState::ReplaceSent => {
                turn.order.replace_under_way = false;
                turn.doubt(Doubt::Replace, Nanos::ZERO);
            }
            OrderState::Live | OrderState::PartiallyFilled => {
                turn.doubt(Doubt::Word, Nanos::ZERO);
            }
            OrderState::Unresolved => turn.ask_status(),
            OrderState::Done(_) => turn.order.state_due = Nanos::MAX,
        }
    } else if turn.order.fills_due <= turn.now {
        turn.ask_trades();
    }
    turn.settle();
    turn.applied
}
