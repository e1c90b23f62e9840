//! The lines of orders, fills, positions, the account and the states of trading.
//!
//! Does not: limit how many lines are written; `RecordLog` asks first. Invariant: numbers are printed
//! exactly, as the venue prints them; an order's line carries its id, symbol and, where the record has
//! one, its side, and its message begins with `Order`, by which queries find it.

use tracing::{info, warn};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::order::OrderState;
use veloz_core::telemetry::records::{CommandResult, RecordBody, TradesKnown};
use veloz_core::units::{Lots, Ticks};

use super::{Kind, RecordLog};

impl RecordLog {
    /// Writes one record of trading; the other kinds are written elsewhere.
    pub(super) fn trading(&mut self, body: &RecordBody) {
        if !self.may_write(kind_of(body)) {
            return;
        }
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
                token: _,
            } => {
                let (price, qty) = self.amounts(instrument, price, qty);
                info!(
                    component = "engine",
                    event_type = "order_admitted",
                    order_id = %order,
                    symbol = self.symbol(instrument),
                    side = side.label(),
                    order_type = kind.label(),
                    time_in_force = time_in_force.label(),
                    origin = origin.label(),
                    price,
                    qty,
                    "Order admitted"
                );
            }
            RecordBody::OrderAlias { order, client_id } => info!(
                component = "engine",
                event_type = "order_alias",
                order_id = %order,
                client_order_id = client_id.as_str(),
                "Order has a client's id"
            ),
            RecordBody::OrderAdopted {
                order,
                instrument,
                side,
                price,
            } => {
                let (price, _) = self.amounts(instrument, price, Lots(0));
                info!(
                    component = "engine",
                    event_type = "order_adopted",
                    order_id = %order,
                    symbol = self.symbol(instrument),
                    side = side.label(),
                    price,
                    "Order of an earlier run taken over"
                );
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
                let (_, executed) = self.amounts(instrument, Ticks(0), executed);
                let (_, qty) = self.amounts(instrument, Ticks(0), qty);
                let (from, label) = (from.label(), to.label());
                if to == OrderState::Unresolved {
                    warn!(
                        component = "engine",
                        event_type = "order_state",
                        order_id = %order,
                        symbol = self.symbol(instrument),
                        from,
                        to = label,
                        venue_order_id,
                        executed,
                        qty,
                        "Order's outcome is unknown: the venue is asked"
                    );
                } else {
                    info!(
                        component = "engine",
                        event_type = "order_state",
                        order_id = %order,
                        symbol = self.symbol(instrument),
                        from,
                        to = label,
                        venue_order_id,
                        executed,
                        qty,
                        "Order changed"
                    );
                }
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
                let (price, qty) = self.amounts(instrument, price, qty);
                info!(
                    component = "engine",
                    event_type = "fill",
                    order_id = %order,
                    symbol = self.symbol(instrument),
                    side = side.label(),
                    trade_id,
                    price,
                    qty,
                    fee = fee.to_string(),
                    fee_asset = self.asset(fee_asset),
                    maker = is_maker,
                    "Order filled"
                );
            }
            RecordBody::OrderRejected {
                instrument,
                reason,
                side,
                origin,
                price,
                qty,
                token: _,
            } => {
                let (price, qty) = self.amounts(instrument, price, qty);
                warn!(
                    component = "risk",
                    event_type = "order_rejected",
                    symbol = self.symbol(instrument),
                    side = side.label(),
                    reason = reason.label(),
                    origin = origin.label(),
                    price,
                    qty,
                    "Order refused by risk"
                );
            }
            RecordBody::VenueRefused {
                order,
                instrument,
                request,
                code,
                kind,
                cause,
            } => warn!(
                component = "engine",
                event_type = "order_refused",
                exchange = self.exchange,
                order_id = %order,
                symbol = self.symbol(instrument),
                request = request.label(),
                code,
                kind = kind.label(),
                reason = cause.label(),
                "Order: the venue refused a request about it"
            ),
            RecordBody::OrderFault {
                order,
                instrument,
                fault,
            } => warn!(
                component = "engine",
                event_type = "order_fault",
                exchange = self.exchange,
                order_id = %order,
                symbol = self.symbol(instrument),
                fault = fault.label(),
                "Order: what was told of it does not fit"
            ),
            RecordBody::CommandDone {
                token,
                result,
                reason,
                order,
            } => {
                let order_id = order.map(|order| order.to_string());
                let reason = reason.map(veloz_core::risk::Rejection::label);
                let label = result.label();
                if result == CommandResult::Done {
                    info!(
                        component = "engine",
                        event_type = "command",
                        token = token.0,
                        result = label,
                        order_id,
                        "command carried out"
                    );
                } else {
                    warn!(
                        component = "engine",
                        event_type = "command",
                        token = token.0,
                        result = label,
                        reason,
                        order_id,
                        "command refused"
                    );
                }
            }
            RecordBody::Position {
                instrument,
                qty,
                entry,
                realized,
            } => info!(
                component = "engine",
                event_type = "position",
                symbol = self.symbol(instrument),
                qty = qty.to_string(),
                entry = entry.to_string(),
                realized = realized.to_string(),
                "position changed"
            ),
            RecordBody::Balance {
                asset,
                free,
                locked,
                at: _,
            } => info!(
                component = "engine",
                event_type = "account",
                asset = self.asset(asset),
                free = free.to_string(),
                locked = locked.to_string(),
                "balance"
            ),
            RecordBody::Baseline { asset, amount } => info!(
                component = "engine",
                event_type = "baseline",
                asset = self.asset(asset),
                amount = amount.to_string(),
                "what is held beside trading"
            ),
            RecordBody::TradesKnown {
                instrument,
                how,
                through,
            } => match how {
                TradesKnown::FirstRun | TradesKnown::CaughtUp | TradesKnown::Settled => info!(
                    component = "engine",
                    event_type = "trades_known",
                    symbol = self.symbol(instrument),
                    how = how.label(),
                    through,
                    "no trade up to this one is missing"
                ),
                TradesKnown::CutShort => warn!(
                    component = "engine",
                    event_type = "trades_known",
                    symbol = self.symbol(instrument),
                    how = how.label(),
                    through,
                    "more was traded while nothing ran than a start asks for; what follows this trade is in the balances alone"
                ),
            },
            RecordBody::TradingPhase {
                from,
                to,
                open_orders,
                unresolved,
            } => info!(
                component = "engine",
                event_type = "trading_phase",
                from = from.label(),
                to = to.label(),
                open_orders,
                unresolved,
                "trading phase changed"
            ),
            RecordBody::TradingState { from, to, cause } => warn!(
                component = "risk",
                event_type = "trading_state",
                from = from.label(),
                to = to.label(),
                cause = cause.label(),
                "trading state changed"
            ),
            RecordBody::KillSwitch { latched, cause } => warn!(
                component = "risk",
                event_type = "kill_switch",
                latched,
                cause = cause.label(),
                "kill switch changed"
            ),
            RecordBody::Limits { instrument } => info!(
                component = "risk",
                event_type = "limits",
                symbol = instrument.map(|index| self.symbol(index)),
                "limits changed"
            ),
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. } => unreachable!("written by the caller"),
        }
    }

    /// Price and quantity as the venue prints them.
    fn amounts(&self, instrument: InstrumentIndex, price: Ticks, qty: Lots) -> (String, String) {
        let instrument = self.instruments.get(instrument);
        (
            instrument.price(price).to_string(),
            instrument.qty(qty).to_string(),
        )
    }
}

/// What a record of trading is limited with.
fn kind_of(body: &RecordBody) -> Kind {
    match body {
        RecordBody::OrderAdmitted { .. }
        | RecordBody::OrderAlias { .. }
        | RecordBody::OrderAdopted { .. }
        | RecordBody::OrderState { .. }
        | RecordBody::Fill { .. }
        | RecordBody::VenueRefused { .. }
        | RecordBody::OrderFault { .. } => Kind::Order,
        RecordBody::OrderRejected { .. } => Kind::Rejection,
        RecordBody::Position { .. }
        | RecordBody::Balance { .. }
        | RecordBody::Baseline { .. }
        | RecordBody::TradesKnown { .. } => Kind::Account,
        RecordBody::CommandDone { .. }
        | RecordBody::TradingPhase { .. }
        | RecordBody::TradingState { .. }
        | RecordBody::KillSwitch { .. }
        | RecordBody::Limits { .. }
        | RecordBody::LinkUp { .. }
        | RecordBody::LinkDown { .. }
        | RecordBody::BookState { .. }
        | RecordBody::Resync { .. }
        | RecordBody::Fault { .. }
        | RecordBody::RequestRefused { .. }
        | RecordBody::EngineState { .. }
        | RecordBody::Shutdown { .. } => Kind::Trading,
    }
}
