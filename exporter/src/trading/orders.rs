//! All orders, their events and their fills, bounded.
//!
//! Owns: [`Orders`], [`Told`]. Does not: lock, count for metrics, know commands. Invariants: an order is found by our
//! number, and by the client's id if it has one; finished orders leave oldest first, open ones only when more are
//! kept than the core can have open, which takes lost records.

use super::commands::Asked;
use super::order::{FillLine, OrderEvent, OrderLine, Reason, Refusal};
use std::collections::{BTreeMap, HashMap, VecDeque};
use veloz_core::event::Token;
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::limits::ORDERS_OPEN_MAX;
use veloz_core::order::{ClientId, DoneReason, OrderId, OrderKind, OrderState};
use veloz_core::telemetry::records::RecordBody;
use veloz_core::units::{E8, Ticks};

/// Finished orders that are kept: what a person scrolls through, in 1.5 MB. The oldest goes first; what outlives it
/// is the log.
pub const FINISHED_MAX: usize = 4_096;

/// Orders that are kept in all. The core has at most [`ORDERS_OPEN_MAX`] open, so more open ones than that are
/// orders whose end was lost; then the oldest goes.
pub const ORDERS_MAX: usize = FINISHED_MAX + ORDERS_OPEN_MAX;

/// Events that are kept: as many as existing clients get from `/api/orders`. The oldest goes first.
pub const EVENTS_MAX: usize = 200;

/// Fills that are kept, in 0.5 MB. The oldest goes first.
pub const FILLS_MAX: usize = 4_096;

/// What a record said that clients may want to hear.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The order that it changed, as it is now.
    pub order: Option<OrderLine>,
    /// What happened to an order: its status changed, or more of it traded.
    pub event: Option<OrderEvent>,
    /// A fill.
    pub fill: Option<FillLine>,
    /// Who asked for the command that the record is about.
    pub asked: Option<Asked>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Orders {
    lines: BTreeMap<OrderId, OrderLine>,
    by_client: HashMap<ClientId, OrderId>,
    /// Clients' ids of orders of earlier runs.
    earlier: HashMap<OrderId, ClientId>,
    /// Finished orders with their place, oldest first. One that came back to life has another place, or none.
    finished: VecDeque<(u64, OrderId)>,
    next_place: u64,
    events: VecDeque<OrderEvent>,
    fills: VecDeque<FillLine>,
}

impl Orders {
    pub(super) fn get(&self, id: OrderId) -> Option<&OrderLine> {
        self.lines.get(&id)
    }

    /// By the client's id, else by our number as text.
    pub(super) fn find(&self, name: &str) -> Option<&OrderLine> {
        let of_client = ClientId::new(name).and_then(|client_id| self.by_client.get(&client_id));
        let id = of_client.copied().or_else(|| parse_id(name))?;
        self.lines.get(&id)
    }

    /// Takes note of clients' ids of orders of earlier runs, whose records do not tell them.
    pub(super) fn know_earlier(&mut self, known: &[(OrderId, ClientId)]) {
        self.earlier.extend(known.iter().copied());
    }

    /// Gives an order of an earlier run its client's id, when that is known.
    fn name_earlier(&mut self, id: OrderId) {
        if let Some(client_id) = self.earlier.get(&id)
            && let Some(line) = self.lines.get_mut(&id)
            && line.client_id.is_none()
        {
            line.client_id = Some(*client_id);
            self.by_client.insert(*client_id, id);
        }
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &OrderLine> {
        self.lines.values().rev()
    }

    /// Oldest first.
    pub(super) fn events(&self) -> impl Iterator<Item = &OrderEvent> {
        self.events.iter()
    }

    pub(super) fn fills_newest_first(&self) -> impl Iterator<Item = &FillLine> {
        self.fills.iter().rev()
    }

    /// Applies what is about orders. `client_of` is the client's id that a command named.
    pub(super) fn record(
        &mut self,
        body: &RecordBody,
        ts_ns: i64,
        instruments: &Instruments,
        client_of: impl Fn(Token) -> Option<ClientId>,
    ) -> Told {
        match *body {
            RecordBody::OrderAdmitted {
                order,
                instrument,
                side,
                kind,
                time_in_force,
                origin,
                price,
                qty,
                token,
            } => {
                let mut line = unknown(order, instrument, instruments, ts_ns);
                line.side = Some(side);
                line.kind = Some(kind);
                line.time_in_force = Some(time_in_force);
                line.origin = Some(origin);
                line.token = token;
                line.price = priced(kind, price, instrument, instruments);
                line.qty = instruments.get(instrument).qty(qty);
                line.state = OrderState::Admitted;
                self.lines.insert(order, line);
                // Its alias follows in the next record, and then its first state: events name it from there on.
                Told {
                    order: Some(line),
                    ..Told::default()
                }
            }
            RecordBody::OrderAlias { order, client_id } => {
                self.by_client.insert(client_id, order);
                self.change(order, ts_ns, |line| line.client_id = Some(client_id))
            }
            RecordBody::OrderAdopted {
                order,
                instrument,
                side,
                price,
            } => {
                let line = self
                    .lines
                    .entry(order)
                    .or_insert_with(|| unknown(order, instrument, instruments, ts_ns));
                line.side = Some(side);
                line.price =
                    Some(instruments.get(instrument).price(price)).filter(|price| price.0 > 0);
                self.name_earlier(order);
                // Its state follows, and is its first event.
                Told {
                    order: self.lines.get(&order).copied(),
                    ..Told::default()
                }
            }
            RecordBody::OrderState {
                order,
                instrument,
                from,
                to,
                venue_order_id,
                executed,
                qty,
            } => {
                let of = instruments.get(instrument);
                let (executed, qty) = (of.qty(executed), of.qty(qty));
                // Only an order whose admission was lost, or that was forgotten here, is not there yet.
                self.lines
                    .entry(order)
                    .or_insert_with(|| unknown(order, instrument, instruments, ts_ns));
                self.name_earlier(order);
                self.state(order, from, to, venue_order_id, (executed, qty), ts_ns)
            }
            RecordBody::Fill {
                order,
                instrument,
                side,
                is_maker,
                fee_asset,
                trade_id,
                price,
                qty,
                fee,
            } => {
                let of = instruments.get(instrument);
                let mut fill = FillLine {
                    ts_ns,
                    order,
                    client_id: None,
                    instrument,
                    symbol: of.symbol,
                    side,
                    price: of.price(price),
                    qty: of.qty(qty),
                    fee,
                    fee_asset,
                    trade_id,
                    is_maker,
                };
                let told = self.filled(&fill, ts_ns);
                fill.client_id = told
                    .order
                    .and_then(|line| line.client_id)
                    .or_else(|| self.earlier.get(&order).copied());
                push(&mut self.fills, fill, FILLS_MAX);
                Told {
                    fill: Some(fill),
                    ..told
                }
            }
            RecordBody::OrderRejected {
                instrument,
                reason,
                side,
                origin: _,
                price,
                qty,
                token,
            } => {
                let of = instruments.get(instrument);
                let event = OrderEvent {
                    ts_ns,
                    order: None,
                    client_id: client_of(token),
                    venue_order_id: None,
                    symbol: of.symbol,
                    side: Some(side),
                    // The record does not say whether it was a market order; those have no price.
                    price: Some(of.price(price)).filter(|price| price.0 > 0),
                    qty: of.qty(qty),
                    executed: E8(0),
                    status: super::OrderStatus::Rejected,
                    reason: Some(Reason::Risk(reason)),
                };
                push(&mut self.events, event, EVENTS_MAX);
                Told {
                    event: Some(event),
                    ..Told::default()
                }
            }
            RecordBody::VenueRefused {
                order,
                instrument: _,
                request,
                code,
                kind,
                cause,
            } => self.change(order, ts_ns, |line| {
                line.refusal = Some(Refusal {
                    request,
                    code,
                    kind,
                    cause,
                });
                line.refusals += 1;
            }),
            RecordBody::OrderFault { order, fault, .. } => {
                self.change(order, ts_ns, |line| line.fault = Some(fault))
            }
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => Told::default(),
        }
    }

    /// Lets go of what is too much; whether anything went.
    pub(super) fn evict(&mut self) -> bool {
        let before = self.lines.len();
        while self.finished.len() > FINISHED_MAX {
            let Some((place, id)) = self.finished.pop_front() else {
                break;
            };
            // One that came back to life since is not finished, or finished at a later place.
            if self.lines.get(&id).and_then(|line| line.finished) == Some(place) {
                self.forget(id);
            }
        }
        while self.lines.len() > ORDERS_MAX {
            let Some(&oldest) = self.lines.keys().next() else {
                break;
            };
            self.forget(oldest);
        }
        self.lines.len() < before
    }

    fn forget(&mut self, id: OrderId) {
        let Some(line) = self.lines.remove(&id) else {
            return;
        };
        if let Some(client_id) = line.client_id
            && self.by_client.get(&client_id) == Some(&id)
        {
            self.by_client.remove(&client_id);
        }
    }

    /// Something about an order that is no event of its own.
    fn change(&mut self, id: OrderId, ts_ns: i64, change: impl FnOnce(&mut OrderLine)) -> Told {
        let Some(line) = self.lines.get_mut(&id) else {
            return Told::default();
        };
        change(line);
        line.last_ts_ns = ts_ns;
        Told {
            order: Some(*line),
            ..Told::default()
        }
    }

    fn state(
        &mut self,
        id: OrderId,
        from: OrderState,
        to: OrderState,
        venue_order_id: u64,
        (executed, qty): (E8, E8),
        ts_ns: i64,
    ) -> Told {
        let Some(line) = self.lines.get_mut(&id) else {
            return Told::default();
        };
        line.state = to;
        line.qty = qty;
        line.executed = line.executed.max(executed);
        line.last_ts_ns = ts_ns;
        if venue_order_id != 0 {
            line.venue_order_id = Some(venue_order_id);
        }
        if to == OrderState::Done(DoneReason::Rejected) && from == OrderState::Admitted {
            line.unsent = true;
        }
        line.finished = to.is_done().then_some(self.next_place);
        let line = *line;
        if to.is_done() {
            self.finished.push_back((self.next_place, id));
            self.next_place += 1;
        }
        // A cancel on its way, for one, is no event.
        let is_news = line.told != Some((line.status(), line.executed, line.reason()));
        let event = is_news.then(|| self.tell(&line));
        Told {
            order: self.lines.get(&id).copied(),
            event,
            ..Told::default()
        }
    }

    fn filled(&mut self, fill: &FillLine, ts_ns: i64) -> Told {
        let Some(line) = self.lines.get_mut(&fill.order) else {
            return Told::default();
        };
        line.side = Some(fill.side);
        line.filled_e8 = line.filled_e8.saturating_add(fill.qty.0);
        let notional = i128::from(fill.price.0) * i128::from(fill.qty.0);
        line.filled_notional_e16 = line.filled_notional_e16.saturating_add(notional);
        line.executed = line.executed.max(E8(line.filled_e8));
        line.last_ts_ns = ts_ns;
        let line = *line;
        // A fill that changes the state is told by the record that follows; one that does not is told here.
        let changes_no_state = match line.state {
            OrderState::PartiallyFilled | OrderState::CancelSent | OrderState::ReplaceSent => {
                line.executed < line.qty
            }
            OrderState::Admitted
            | OrderState::Sent
            | OrderState::Live
            | OrderState::Unresolved
            | OrderState::Done(_) => false,
        };
        let event = changes_no_state.then(|| self.tell(&line));
        Told {
            order: self.lines.get(&fill.order).copied(),
            event,
            ..Told::default()
        }
    }

    fn tell(&mut self, line: &OrderLine) -> OrderEvent {
        let event = OrderEvent::of(line);
        if let Some(line) = self.lines.get_mut(&line.id) {
            line.told = Some((event.status, event.executed, event.reason));
        }
        push(&mut self.events, event, EVENTS_MAX);
        event
    }
}

/// An order of which only the number and the instrument are known.
fn unknown(
    id: OrderId,
    instrument: InstrumentIndex,
    instruments: &Instruments,
    ts_ns: i64,
) -> OrderLine {
    OrderLine {
        id,
        client_id: None,
        venue_order_id: None,
        instrument,
        symbol: instruments.get(instrument).symbol,
        side: None,
        kind: None,
        time_in_force: None,
        origin: None,
        token: Token::default(),
        price: None,
        qty: E8(0),
        executed: E8(0),
        state: OrderState::Unresolved,
        refusal: None,
        refusals: 0,
        fault: None,
        created_ns: ts_ns,
        last_ts_ns: ts_ns,
        unsent: false,
        filled_e8: 0,
        filled_notional_e16: 0,
        told: None,
        finished: None,
    }
}

fn priced(
    kind: OrderKind,
    price: Ticks,
    instrument: InstrumentIndex,
    instruments: &Instruments,
) -> Option<E8> {
    match kind {
        OrderKind::Limit | OrderKind::LimitMaker => Some(instruments.get(instrument).price(price)),
        OrderKind::Market => None,
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(item);
}

/// What [`OrderId`] prints.
pub(crate) fn parse_id(text: &str) -> Option<OrderId> {
    let (run, sequence) = text.split_once('-')?;
    let number = |text: &str| -> Option<u32> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    Some(OrderId {
        run: number(run)?,
        sequence: number(sequence)?,
    })
}
