//! Counts of what records tell, for metrics.
//!
//! Owns: [`TradingCounts`]. Does not: count what the core counts itself (risk's refusals, the funnel): refusals of
//! risk are not all recorded. Invariant: counts only rise.

use super::order::places;
use super::orders::Orders;
use veloz_core::order::{DoneReason, OrderKind, OrderState, Side};
use veloz_core::telemetry::records::{CommandResult, OrderRequest, RecordBody};
use veloz_core::venue::binance::order_error::{Cause, ErrorKind};

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingCounts {
    orders: [[u64; OrderKind::ALL.len()]; Side::ALL.len()],
    fills: [u64; Side::ALL.len()],
    cancels: u64,
    /// Refusals that mean more than the venue's words say.
    rejected: [u64; ErrorKind::ALL.len()],
    /// Plain rejections, by what the words say.
    rejected_causes: [u64; Cause::ALL.len()],
    refused: [u64; OrderRequest::ALL.len()],
    commands: [u64; CommandResult::ALL.len()],
}

impl Default for TradingCounts {
    fn default() -> Self {
        Self {
            orders: [[0; OrderKind::ALL.len()]; Side::ALL.len()],
            fills: [0; Side::ALL.len()],
            cancels: 0,
            rejected: [0; ErrorKind::ALL.len()],
            rejected_causes: [0; Cause::ALL.len()],
            refused: [0; OrderRequest::ALL.len()],
            commands: [0; CommandResult::ALL.len()],
        }
    }
}

impl TradingCounts {
    /// Orders handed to the venue's connection.
    pub fn orders(&self, side: Side, kind: OrderKind) -> u64 {
        self.orders[side.index()][kind.index()]
    }

    /// Fills booked.
    pub fn fills(&self, side: Side) -> u64 {
        self.fills[side.index()]
    }

    /// Orders that ended because they were taken back.
    pub fn cancels(&self) -> u64 {
        self.cancels
    }

    /// Placements and replacements that the venue refused, by what the refusal means; of plain rejections, which come under
    /// few codes for many reasons, by what the venue's words say. No reason comes twice.
    pub fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let kinds = ErrorKind::ALL.into_iter().filter_map(|kind| match kind {
            ErrorKind::Rejected => None,
            _ => Some((kind.label(), self.rejected[kind.index()])),
        });
        let causes = Cause::ALL.into_iter().filter_map(|cause| match cause {
            // The venue has a code for it, and that is a kind.
            Cause::UnknownOrder => None,
            Cause::Unnamed => {
                let unknown_order = self.rejected_causes[Cause::UnknownOrder.index()];
                let count = self.rejected_causes[cause.index()] + unknown_order;
                Some((ErrorKind::Rejected.label(), count))
            }
            _ => Some((cause.label(), self.rejected_causes[cause.index()])),
        });
        kinds.chain(causes)
    }

    /// Requests about orders that the venue refused, by what was asked.
    pub fn refused(&self, request: OrderRequest) -> u64 {
        self.refused[request.index()]
    }

    /// Commands that the core answered, by what came of them.
    pub fn commands(&self, result: CommandResult) -> u64 {
        self.commands[result.index()]
    }

    /// Counts a record; `orders` as they were before it.
    pub(super) fn record(&mut self, body: &RecordBody, orders: &Orders) {
        match *body {
            RecordBody::OrderState {
                order, from, to, ..
            } => {
                let terms = orders
                    .get(order)
                    .and_then(|line| Some((line.side?, line.kind?)));
                if let (OrderState::Admitted, OrderState::Sent, Some((side, kind))) =
                    (from, to, terms)
                {
                    self.orders[side.index()][kind.index()] += 1;
                }
                if to == OrderState::Done(DoneReason::Cancelled) && !from.is_done() {
                    self.cancels += 1;
                }
            }
            RecordBody::Fill { side, .. } => self.fills[side.index()] += 1,
            RecordBody::VenueRefused {
                request,
                kind,
                cause,
                ..
            } => {
                self.refused[request.index()] += 1;
                if places(request) {
                    match kind {
                        ErrorKind::Rejected => self.rejected_causes[cause.index()] += 1,
                        _ => self.rejected[kind.index()] += 1,
                    }
                }
            }
            RecordBody::CommandDone { result, .. } => self.commands[result.index()] += 1,
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => {}
        }
    }
}
