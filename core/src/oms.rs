//! The order machine: where every order of ours stands, and which of its fills are booked.
//!
//! Owns: the table of orders (open, and a bounded past), its indices by our id, the client's and the venue's, the ids
//! of booked fills, and the time that each order may spend waiting. Does not: talk to a venue, decide what may be
//! traded (risk does), hold positions (the portfolio does), or read a clock.
//!
//! **States follow from facts.** Answers and reports come in any order, twice, late or never, so no message sets a
//! state. Each adds facts (shown by the venue, ended, in doubt, a cancel under way, lots told and lots booked), and the
//! state is a function of them (`order`). What each input adds, by state; `R` is the state of an order that the venue
//! holds (`Live`, `PartiallyFilled`, or `CancelSent`/`ReplaceSent` while such a request is under way), `U` is
//! `Unresolved`, `-` changes nothing, **bold** is a fault:
//!
//! | input | `Admitted` | `Sent` | `R` | `U` | `Done` |
//! | --- | --- | --- | --- | --- | --- |
//! | `Sent` | `Sent` | **Illegal** | notes the time, twice **Illegal** | as in `R` | as in `R`; never shown **Illegal** |
//! | `SentAgain` | **Illegal** | notes the time | **Illegal** | **Illegal** | **Illegal** |
//! | `NotSent` | `Done(Rejected)` | **Illegal** | **Illegal** | `Done(Rejected)`; sent or shown **Illegal** | **Illegal** |
//! | `Acknowledged` | `R` | `R` | - | `R` if the placement was in doubt | -; ¹ |
//! | `Refused` | `Done(Rejected)` | `Done(Rejected)` | `U`, **Contradicted** | `Done(Rejected)`; shown: as in `R` | -; another end **Contradicted** |
//! | `OutcomeUnknown` | `U`, asks | `U`, asks | - | notes that it was sent | - |
//! | `Report`, `Status`: it stands | `R` | `R` | `R` | ² | -; ¹ |
//! | `Report`, `Status`: it ended | ³ | ³ | ³ | ³, another end **Contradicted** | -; another end or quantity **Contradicted**; ¹ |
//! | `StatusNotFound` | - | ⁴ | `U`, **Vanished**, asks ⁶ | ⁴; shown: **Vanished**, asks ⁶ | - |
//! | `Trade` | `R` | `R` | `R` | `U` | books; beyond the end **Contradicted**; ¹ |
//! | `TradesComplete` | - | - | - | - | - |
//! | `CancelSent` | **Illegal** | noted | `CancelSent`, twice **Illegal** | noted, twice or after the end **Illegal** | **Illegal** |
//! | `CancelRefused` | - | note gone | `R`; if not known as open `U` ⁵ | note gone | - |
//! | `CancelUnknown` | - | note gone | `U`, asks | note gone | - |
//! | `ReplaceSent` | **Illegal** | **Illegal** | `ReplaceSent`; a request under way **Illegal** | **Illegal** | **Illegal** |
//! | `ReplaceSentAgain` | **Illegal** | **Illegal** | `ReplaceSent`: notes the time; else **Illegal** | **Illegal** | **Illegal** |
//! | `ReplaceRefused`, `ReplaceUnknown` | - | - | as the cancel's | - | - |
//! | `Amended` | `R` | `R` | `R` | as `Status`; `R` if the amend was in doubt | -; ¹ |
//! | time passes ([`Oms::overdue`]) | `U`, asks | `U`, asks | `U`, asks, if a request was under way or a list did not have it | asks again | |
//!
//! 1. If the end was a refusal, an absence or a placement that never left, it was wrong: **Reopened**, then as in `Sent`.
//! 2. To `R` if the question was asked after the doubt arose; a report alone settles only a doubt about the placement,
//!    or about an amend that it shows.
//! 3. `Done`, or `U` while fills that the venue told are not booked: then their trades are asked for.
//! 4. `Done(Rejected)` if asked later than `answer_horizon` after its last sending; before that it proves nothing. Never before `Sent`
//!    or [`Input::OutcomeUnknown`].
//! 5. Asks after `grace`: most often the order filled and the report is under way.
//! 6. Nothing if asked before the order was shown, or within `grace` of it: queries lag behind matching.
//!
//! **Fills** are handed out exactly once by (instrument, side, trade id), whatever tells of them; `trades` holds the ids
//! and the rule for those that are forgotten. An end with fewer lots booked than told is not `Done`. All of the quantity
//! booked is `Done(Filled)` without further word. Quantity told and not booked is waited for `grace`, then asked for.
//!
//! **Bounds.** `ORDERS_OPEN_MAX` open orders, then [`Full`]; `ORDERS_REMEMBERED_MAX` over ones, then the oldest is
//! forgotten. Memory is reserved by [`Oms::new`]. Every transient state ends by `overdue`; questions back off and turn
//! into [`OmsFault::AskedInVain`] after `ASKS_MAX`.
//!
//! **Reconciliation.** After a start or a reconnect: tell the list of open orders, each of ours by [`Input::Status`] or
//! [`Oms::adopt`], then call [`Oms::end_of_open_orders`] and drain [`Oms::overdue`]. What happened after the list was
//! asked for is not judged by it.

mod index;
mod message;
mod order;
mod table;
mod totals;
mod trades;
mod turn;

pub use message::{Applied, Ask, Input, OmsFault, Overdue};
pub use order::Order;
pub use totals::Totals;

use crate::instrument::InstrumentIndex;
use crate::order::{ClientId, OrderId, OrderKey, OrderState, OrderStatus};
use crate::risk::Admitted;
use crate::units::Nanos;
use table::{Slot, Table};
use totals::Part;
use trades::{Seen, Trades};
use turn::Turn;

/// How long an order may wait for what, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OmsConfig {
    /// Longest wait for a placement to be written, and then for its answer.
    pub answer_max: Nanos,
    /// Longest wait for the outcome of a cancel.
    pub cancel_max: Nanos,
    /// Longest wait for the outcome of an amend or a replacement.
    pub replace_max: Nanos,
    /// How long what is most likely under way (a fill that a cumulative quantity is ahead of, the end of an order that
    /// a cancel did not find) is waited for before the venue is asked. Zero asks at once.
    pub grace: Nanos,
    /// First wait between two questions about one order; doubles with each that did not settle it.
    pub ask_again: Nanos,
    /// How long after its sending a placement can still reach the matching engine: the request's receive window and a
    /// guard. Not to be found proves nothing before.
    pub answer_horizon: Nanos,
}

/// As many orders are open as the table holds, or the run's ids are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many orders are open as the table of orders holds")]
pub struct Full;

/// An order that the table took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a question must be asked"]
pub struct Adopted {
    /// Its id.
    pub id: OrderId,
    /// Where it stands.
    pub state: OrderState,
    /// What to ask the venue now.
    pub ask: Option<Ask>,
}

/// Why an order cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// As many orders are open as the table holds.
    #[error("as many orders are open as the table of orders holds")]
    Full,
    /// It is not ours.
    #[error("the order was not made by this instance")]
    Foreign,
    /// It is in the table already, by its id or the venue's; apply what was told instead.
    #[error("the order is known already")]
    Known,
    /// Its quantity is not above zero.
    #[error("the order is for nothing")]
    Nothing,
}

/// The order machine; see the module's text.
pub struct Oms {
    config: OmsConfig,
    run: u32,
    /// Sequence of the latest id.
    sequence: u32,
    table: Table,
    trades: Trades,
    totals: Box<[Totals]>,
    /// No order is due earlier.
    earliest: Nanos,
}

impl Oms {
    /// An empty table with all its memory reserved. `run` numbers this start of the instance and must be larger than
    /// every earlier one's.
    pub fn new(instrument_count: usize, run: u32, config: OmsConfig) -> Self {
        Self {
            config,
            run,
            sequence: 0,
            table: Table::new(instrument_count),
            trades: Trades::new(instrument_count),
            totals: vec![Totals::default(); instrument_count].into_boxed_slice(),
            earliest: Nanos::MAX,
        }
    }

    /// Takes an admitted order in; its exposure counts from here on.
    ///
    /// # Errors
    /// [`Full`].
    ///
    /// # Panics
    /// When the client id is in the table already: look with [`Oms::find_client`] first.
    pub fn admit(
        &mut self,
        now: Nanos,
        admitted: Admitted,
        client_id: Option<ClientId>,
    ) -> Result<OrderId, Full> {
        assert!(
            client_id.is_none_or(|client_id| self.table.find_client(&client_id).is_none()),
            "a client id is used once"
        );
        let id = OrderId {
            run: self.run,
            sequence: self.sequence.checked_add(1).ok_or(Full)?,
        };
        let due = now.plus(self.config.answer_max);
        let order = Order::admit(id, admitted, client_id, now, due);
        let slot = self.table.insert(order).ok_or(Full)?;
        self.sequence = id.sequence;
        self.count(slot, None);
        Ok(id)
    }

    /// Makes room for the next order while there is time, so that its admission does not have to; one order less is
    /// remembered then, if as many are open as may be.
    #[inline]
    pub fn make_room(&mut self) {
        self.table.make_room();
    }

    /// Takes over an order of ours that the table does not hold: of an earlier run, or long forgotten. No fill of it is
    /// assumed to be booked; those that the status tells are asked for, and the portfolio knows which of them its start
    /// contains. `asked_at` is when the question was sent that the status answers; now, if it was made from a report.
    ///
    /// # Errors
    /// As [`AdoptError`] says; the table is unchanged.
    pub fn adopt(
        &mut self,
        now: Nanos,
        status: &OrderStatus,
        asked_at: Nanos,
    ) -> Result<Adopted, AdoptError> {
        let OrderKey::Ours(id) = status.key else {
            return Err(AdoptError::Foreign);
        };
        let venue = (status.instrument, status.venue_order_id);
        if self.table.find(id).is_some() || self.table.find_venue(venue.0, venue.1).is_some() {
            return Err(AdoptError::Known);
        }
        if status.qty.0 <= 0 {
            return Err(AdoptError::Nothing);
        }
        let order = Order::adopt(id, status, now);
        let slot = self.table.insert(order).ok_or(AdoptError::Full)?;
        self.count(slot, None);
        let applied = self.turn(slot, now, |turn| {
            turn.apply(Input::Status { status, asked_at })
        });
        Ok(Adopted {
            id,
            state: self.table.order(slot).state,
            ask: applied.ask,
        })
    }

    /// Tells what happened to an order.
    pub fn apply(&mut self, now: Nanos, id: OrderId, input: Input<'_>) -> Applied {
        match self.table.find(id) {
            Some(slot) => self.turn(slot, now, |turn| turn.apply(input)),
            None => self.apply_unknown(input),
        }
    }

    /// The list of open orders (of one instrument, or of all) that was asked for at `asked_at` has been told. Those that
    /// the venue held before and that were not in it come due now: call [`Oms::overdue`] until it returns `None`.
    /// Returns how many they are.
    pub fn end_of_open_orders(
        &mut self,
        now: Nanos,
        instrument: Option<InstrumentIndex>,
        asked_at: Nanos,
    ) -> usize {
        let mut missing = 0;
        let mut next = self.table.open().next().map(|(slot, _)| slot);
        while let Some(slot) = next {
            let order = self.table.order_mut(slot);
            let is_meant = instrument.is_none_or(|instrument| order.instrument == instrument);
            let is_older = order.held_at.is_some_and(|held_at| held_at < asked_at);
            if is_meant && is_older && order.state != OrderState::Unresolved {
                order.state_due = now;
                self.earliest = now.min(self.earliest);
                missing += 1;
            }
            next = self.table.open_after(slot);
        }
        missing
    }

    /// When to call [`Oms::overdue`]; [`Nanos::MAX`] while nothing waits. May be early.
    #[inline]
    pub fn due(&self) -> Nanos {
        self.earliest
    }

    /// One order whose time has passed. Call until it returns `None`.
    pub fn overdue(&mut self, now: Nanos) -> Option<Overdue> {
        while self.earliest <= now {
            let mut earliest = Nanos::MAX;
            let mut due = None;
            for (slot, order) in self.table.open() {
                if order.due() <= now {
                    due = Some((slot, order.id));
                    break;
                }
                earliest = earliest.min(order.due());
            }
            let Some((slot, id)) = due else {
                self.earliest = earliest;
                break;
            };
            let applied = self.turn(slot, now, turn::overdue);
            debug_assert_eq!(applied.fill, None, "time brings no fill");
            if let Some(ask) = applied.ask {
                return Some(Overdue {
                    id,
                    transition: applied.transition,
                    ask,
                    fault: applied.fault,
                });
            }
        }
        None
    }

    /// An order, open or remembered.
    #[inline]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.table.find(id).map(|slot| self.table.order(slot))
    }

    /// The order with a client's id, open or remembered.
    pub fn find_client(&self, client_id: &ClientId) -> Option<OrderId> {
        let slot = self.table.find_client(client_id)?;
        Some(self.table.order(slot).id)
    }

    /// The order with a venue's id, open or remembered.
    pub fn find_venue(&self, instrument: InstrumentIndex, venue_order_id: u64) -> Option<OrderId> {
        let slot = self.table.find_venue(instrument, venue_order_id)?;
        Some(self.table.order(slot).id)
    }

    /// The open orders of an instrument, oldest first.
    pub fn open(&self, instrument: InstrumentIndex) -> impl Iterator<Item = &Order> + Clone {
        self.table.open_of(instrument).map(|(_, order)| order)
    }

    /// All open orders, oldest first.
    pub fn open_all(&self) -> impl Iterator<Item = &Order> {
        self.table.open().map(|(_, order)| order)
    }

    /// The open orders (of one instrument, or of all) that a cancel would mean something to, oldest first.
    pub fn cancellable(&self, instrument: Option<InstrumentIndex>) -> impl Iterator<Item = &Order> {
        self.open_all().filter(move |order| {
            order.is_cancellable()
                && instrument.is_none_or(|instrument| order.instrument == instrument)
        })
    }

    /// Number of open orders.
    #[inline]
    pub fn open_count(&self) -> usize {
        self.table.open_count()
    }

    /// What the open orders of an instrument add up to.
    #[inline]
    pub fn totals(&self, instrument: InstrumentIndex) -> &Totals {
        &self.totals[instrument.as_usize()]
    }

    /// Whether nothing is in doubt: no order is unresolved, and every fill that was told of is booked.
    pub fn is_settled(&self) -> bool {
        self.open_all()
            .all(|order| order.state != OrderState::Unresolved && order.missing() <= 0)
    }

    /// The order that is unresolved for longest, and since when.
    pub fn oldest_unresolved(&self) -> Option<(OrderId, Nanos)> {
        self.open_all()
            .filter(|order| order.state == OrderState::Unresolved)
            .map(|order| (order.id, order.since))
            .min_by_key(|&(_, since)| since)
    }

    /// What is told of an order that the table does not hold.
    fn apply_unknown(&self, input: Input<'_>) -> Applied {
        let is_booked = |instrument, side, trade_id| {
            self.trades.look(instrument, side, trade_id) == Seen::Booked
        };
        match input {
            Input::Report(report) => match &report.fill {
                Some(fill) if is_booked(report.instrument, report.side, fill.trade_id) => {
                    Applied::default()
                }
                Some(_) | None => Applied::only(OmsFault::UnknownOrder),
            },
            Input::Trade(trade) if is_booked(trade.instrument, trade.side, trade.fill.trade_id) => {
                Applied::default()
            }
            Input::Acknowledged { .. }
            | Input::Status { .. }
            | Input::Trade(_)
            | Input::Amended(_) => Applied::only(OmsFault::UnknownOrder),
            Input::Sent
            | Input::SentAgain
            | Input::NotSent
            | Input::CancelSent
            | Input::ReplaceSent
            | Input::ReplaceSentAgain => Applied::only(OmsFault::Illegal),
            // They say that nothing came of it.
            Input::Refused { .. }
            | Input::OutcomeUnknown
            | Input::StatusNotFound { .. }
            | Input::TradesComplete
            | Input::CancelRefused { .. }
            | Input::CancelUnknown
            | Input::ReplaceRefused { .. }
            | Input::ReplaceUnknown => Applied::default(),
        }
    }

    /// Lets something happen to an order, then puts lists, indices, totals and times in accord with it.
    fn turn(
        &mut self,
        slot: Slot,
        now: Nanos,
        happen: impl FnOnce(Turn<'_>) -> Applied,
    ) -> Applied {
        let order = self.table.order_mut(slot);
        let before = Part::of(order);
        let was_done = order.state.is_done();
        let had_venue_id = order.venue_order_id.is_some();
        let mut applied = happen(Turn::new(&self.config, &mut self.trades, order, now));
        let is_done = order.state.is_done();
        let has_venue_id = order.venue_order_id.is_some();
        if has_venue_id && !had_venue_id && !self.table.index_venue(slot) {
            applied.fault = Some(OmsFault::Contradicted);
        }
        match (was_done, is_done) {
            (false, true) => self.table.close(slot),
            (true, false) => self.table.reopen(slot),
            (false, false) | (true, true) => {}
        }
        self.count(slot, Some(before));
        applied
    }

    fn count(&mut self, slot: Slot, before: Option<Part>) {
        let order = self.table.order(slot);
        let instrument = order.instrument;
        let after = Part::of(order);
        self.earliest = self.earliest.min(order.due());
        if before == Some(after) {
            return;
        }
        let table = &self.table;
        let totals = &mut self.totals[instrument.as_usize()];
        totals.replace(before, after, |side| {
            table
                .open_of(instrument)
                .filter(move |(_, order)| order.side == side)
                .filter_map(|(_, order)| Part::of(order).standing())
        });
        debug_assert_eq!(
            *totals,
            Totals::recount(table.open_of(instrument).map(|(_, order)| order)),
            "totals are what a recount gives"
        );
    }
}

#[cfg(test)]
mod tests;
