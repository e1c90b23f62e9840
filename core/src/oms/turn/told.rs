//! What the venue tells of one order: reports, statuses, trades.
//!
//! Owns: the reading of such a message against what is known. Does not: draw the conclusions (`turn` does).

use super::Turn;
use crate::instrument::InstrumentIndex;
use crate::oms::message::OmsFault;
use crate::oms::order::{Doubt, End};
use crate::oms::trades::Seen;
use crate::order::{
    DoneReason, ExecutionKind, ExecutionReport, Fill, OrderStatus, OwnTrade, Side, VenueStatus,
};
use crate::units::{Lots, Nanos, Ticks, VenueMillis};

/// What a message of the venue says about an order as a whole.
struct Word {
    instrument: InstrumentIndex,
    side: Side,
    price: Ticks,
    venue_order_id: u64,
    qty: Lots,
    executed: Lots,
    status: VenueStatus,
    at: VenueMillis,
    /// For which time of ours it holds.
    holds_at: Nanos,
}

impl Turn<'_> {
    pub(super) fn report(&mut self, report: &ExecutionReport) {
        let word = Word {
            instrument: report.instrument,
            side: report.side,
            price: report.price,
            venue_order_id: report.venue_order_id,
            qty: report.qty,
            executed: report.executed,
            status: report.status,
            at: report.transacted,
            holds_at: self.now,
        };
        if !self.accept(&word) {
            return;
        }
        let last = self.order.last_execution_id;
        let is_old = last.is_some_and(|last| report.execution_id < last);
        let is_repeated = last == Some(report.execution_id);
        self.order.last_execution_id = last.max(Some(report.execution_id));
        self.order.prevented = self.order.prevented.max(report.prevented);
        if report.kind == ExecutionKind::Replaced && !is_old {
            self.order.replace_under_way = false;
            if self.order.doubt == Some(Doubt::Replace) {
                self.order.doubt = None;
            }
        }
        if let Some(fill) = &report.fill {
            self.book(fill);
        }
        let went_back = self.take_in(&word, is_old);
        if (is_old || went_back) && !is_repeated && self.applied.fill.is_none() {
            self.fault(OmsFault::WentBack);
        }
    }

    pub(super) fn status(&mut self, status: &OrderStatus, asked_at: Nanos) {
        let word = Word {
            instrument: status.instrument,
            side: status.side,
            price: status.price,
            venue_order_id: status.venue_order_id,
            qty: status.qty,
            executed: status.executed,
            status: status.status,
            at: status.updated,
            holds_at: asked_at,
        };
        if !self.accept(&word) {
            return;
        }
        if self.take_in(&word, false) {
            return self.fault(OmsFault::WentBack);
        }
        // It answers a question: what arose before that was asked is settled by it.
        if asked_at >= self.order.doubt_at {
            self.order.doubt = None;
        }
    }

    pub(super) fn not_found(&mut self, asked_at: Nanos) {
        if self.order.end.is_some() {
            return;
        }
        if let Some(held_at) = self.order.held_at {
            // Asked before it was shown, or answered from where it was not yet shown.
            if asked_at < held_at.plus(self.config.grace) {
                return;
            }
            self.fault(OmsFault::Vanished);
            self.doubt(Doubt::Word, self.config.ask_again);
            if self.order.venue_order_id.is_some() {
                self.ask_trades();
            }
            return;
        }
        // Before the horizon the placement may still be on its way, and without `Sent` there is no horizon.
        let Some(sent_at) = self.order.sent_at else {
            return;
        };
        let horizon = sent_at.plus(self.config.answer_horizon);
        if asked_at >= horizon {
            self.end(DoneReason::Rejected, false);
        } else if self.order.doubt.is_some() {
            self.order.state_due = self.now.max(horizon);
        }
    }

    pub(super) fn trade(&mut self, trade: &OwnTrade) {
        let is_other = trade.instrument != self.order.instrument
            || trade.side != self.order.side
            || self
                .order
                .venue_order_id
                .is_some_and(|known| known != trade.venue_order_id);
        if is_other {
            return self.fault(OmsFault::Contradicted);
        }
        self.reopen();
        // It says that the venue held the order once, not that it still does: a doubt stays.
        let order = &mut *self.order;
        order.venue_order_id.get_or_insert(trade.venue_order_id);
        order.updated = order.updated.max(trade.fill.at);
        order.held_at.get_or_insert(Nanos::ZERO);
        self.book(&trade.fill);
    }

    /// Something alive is told of an order that was taken for never accepted.
    pub(super) fn reopen(&mut self) {
        if self.order.end.is_some_and(|end| !end.is_final) {
            self.order.end = None;
            self.fault(OmsFault::Reopened);
        }
    }

    /// Whether a message can be about this order; if so, its identity and quantity are taken in.
    fn accept(&mut self, word: &Word) -> bool {
        let order = &mut *self.order;
        let is_other = word.instrument != order.instrument
            || word.side != order.side
            || word.price != order.price
            || order
                .venue_order_id
                .is_some_and(|known| known != word.venue_order_id);
        // A larger quantity is an old one if ours was lowered, else a contradiction.
        if is_other || (word.qty > order.qty && !order.amended) {
            self.fault(OmsFault::Contradicted);
            return false;
        }
        if word.qty < order.qty {
            order.qty = word.qty;
            order.amended = true;
        }
        if word.status.done() != Some(DoneReason::Rejected) {
            self.reopen();
        }
        true
    }

    /// Takes in where an order stands. Returns whether it says less than is known.
    fn take_in(&mut self, word: &Word, is_old: bool) -> bool {
        let order = &mut *self.order;
        let is_less = word.executed < order.told;
        let is_more = word.executed > order.told;
        match (word.status.done(), order.end) {
            (Some(reason), Some(end)) => {
                if end.is_final && (reason != end.reason || is_less || is_more) {
                    self.fault(OmsFault::Contradicted);
                }
                self.order.end = Some(End {
                    is_final: true,
                    ..end
                });
            }
            (Some(reason), None) => {
                // The last word on an order holds all that it traded.
                let is_short = word.executed < order.told.max(order.executed);
                if is_short {
                    self.fault(OmsFault::Contradicted);
                }
                self.end(reason, true);
            }
            (None, Some(end)) => {
                if is_more && end.is_final {
                    self.fault(OmsFault::Contradicted);
                }
            }
            (None, None) => {
                if !is_old && !is_less {
                    self.shown(word.venue_order_id, word.at, word.holds_at);
                }
            }
        }
        let order = &mut *self.order;
        order.venue_order_id.get_or_insert(word.venue_order_id);
        order.told = order.told.max(word.executed);
        order.updated = order.updated.max(word.at);
        is_less
    }

    /// The venue holds the order, or held it at `holds_at`.
    pub(super) fn shown(&mut self, venue_order_id: u64, at: VenueMillis, holds_at: Nanos) {
        let order = &mut *self.order;
        order.venue_order_id.get_or_insert(venue_order_id);
        order.updated = order.updated.max(at);
        order.held_at = order.held_at.max(Some(holds_at));
        if order.doubt == Some(Doubt::Placement) {
            order.doubt = None;
        }
    }

    /// Books a fill that is not booked.
    fn book(&mut self, fill: &Fill) {
        let order = &mut *self.order;
        match self
            .trades
            .look(order.instrument, order.side, fill.trade_id)
        {
            Seen::Booked => return,
            Seen::New => {}
            Seen::Forgotten => {
                let is_within = order
                    .trade_ids
                    .is_some_and(|(low, high)| (low..=high).contains(&fill.trade_id));
                if is_within {
                    let is_complete = order.complete_through.is_some_and(|id| fill.trade_id <= id);
                    let is_edge = order
                        .trade_ids
                        .is_some_and(|(low, high)| fill.trade_id == low || fill.trade_id == high);
                    if !is_complete && !is_edge {
                        self.fault(OmsFault::FillForgotten);
                        self.ask_trades();
                    }
                    return;
                }
            }
        }
        self.trades
            .insert(order.instrument, order.side, fill.trade_id);
        order.executed.0 += fill.qty.0;
        order.executed_notional += i128::from(fill.price.0) * i128::from(fill.qty.0);
        order.trade_ids = Some(match order.trade_ids {
            None => (fill.trade_id, fill.trade_id),
            Some((low, high)) => (low.min(fill.trade_id), high.max(fill.trade_id)),
        });
        order.asks = 0;
        self.applied.fill = Some(*fill);
        let order = &*self.order;
        let is_ended = order.end.is_some_and(|end| end.is_final);
        if order.executed.0 > order.qty.0 - order.prevented.0 {
            self.fault(OmsFault::Overfill);
        } else if is_ended && order.executed > order.told {
            self.fault(OmsFault::Contradicted);
        }
    }
}
