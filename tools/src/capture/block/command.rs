//! Commands as bytes inside a block.
//!
//! Owns: the layout of every command: a number for its kind, then its fields in the order of their
//! declaration. Does not: allocate while writing, because the core thread does it. Invariant: what is written
//! is read back equal.

use super::Cursor;
use veloz_core::event::{Command, OrderRef, Token};
use veloz_core::instrument::InstrumentIndex;
use veloz_core::order::{
    CLIENT_ID_BYTES_MAX, ClientId, Intent, OrderId, OrderKind, Origin, SelfTradePrevention, Side,
    TimeInForce,
};
use veloz_core::risk::{GlobalLimits, InstrumentLimits, LimitsChange, TradingState};
use veloz_core::units::{E8, Lots, Nanos, Ticks};

const SHUTDOWN: u8 = 0;
const STOP: u8 = 1;
const PLACE: u8 = 2;
const CANCEL: u8 = 3;
const REPLACE: u8 = 4;
const AMEND: u8 = 5;
const CANCEL_ALL: u8 = 6;
const SET_TRADING_STATE: u8 = 7;
const TRIP_KILL_SWITCH: u8 = 8;
const RESET_KILL_SWITCH: u8 = 9;
const SET_LIMITS: u8 = 10;
const RUN_STRATEGY: u8 = 11;
const DEAD_MAN_FIRED: u8 = 12;
const SHOW_BOOK: u8 = 13;
const WEIGHT_SPENT: u8 = 14;

/// Appends a command.
pub(super) fn write(out: &mut Vec<u8>, command: &Command) {
    let mut fields = Fields(out);
    match *command {
        Command::Shutdown => fields.u8(SHUTDOWN),
        Command::Stop => fields.u8(STOP),
        Command::WeightSpent { weight } => {
            fields.u8(WEIGHT_SPENT);
            fields.i64(i64::from(weight));
        }
        Command::Place {
            token,
            client_id,
            intent,
        } => {
            fields.head(PLACE, token);
            fields.client_id(client_id.as_ref());
            fields.intent(&intent);
        }
        Command::Cancel { token, order } => {
            fields.head(CANCEL, token);
            fields.order(&order);
        }
        Command::Replace {
            token,
            order,
            client_id,
            price,
            qty,
        } => {
            fields.head(REPLACE, token);
            fields.order(&order);
            fields.client_id(client_id.as_ref());
            fields.i64(price.0);
            fields.i64(qty.0);
        }
        Command::Amend { token, order, qty } => {
            fields.head(AMEND, token);
            fields.order(&order);
            fields.i64(qty.0);
        }
        Command::CancelAll { token, instrument } => {
            fields.head(CANCEL_ALL, token);
            fields.option(instrument.map(|index| i64::from(index.0)));
        }
        Command::SetTradingState { token, state } => {
            fields.head(SET_TRADING_STATE, token);
            fields.u8(state as u8);
        }
        Command::TripKillSwitch { token } => fields.head(TRIP_KILL_SWITCH, token),
        Command::ResetKillSwitch { token } => fields.head(RESET_KILL_SWITCH, token),
        Command::SetLimits { token, change } => {
            fields.head(SET_LIMITS, token);
            fields.limits(&change);
        }
        Command::DeadManFired { token } => fields.head(DEAD_MAN_FIRED, token),
        Command::RunStrategy { token, running } => {
            fields.head(RUN_STRATEGY, token);
            fields.u8(u8::from(running));
        }
        Command::ShowBook { token, instrument } => {
            fields.head(SHOW_BOOK, token);
            fields.i64(i64::from(instrument.0));
        }
    }
}

/// Reads what [`write`] wrote.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Command, &'static str> {
    let kind = cursor.u8()?;
    if kind == SHUTDOWN {
        return Ok(Command::Shutdown);
    }
    if kind == STOP {
        return Ok(Command::Stop);
    }
    if kind == WEIGHT_SPENT {
        let weight = u32::try_from(cursor.i64()?).map_err(|_| "a weight out of range")?;
        return Ok(Command::WeightSpent { weight });
    }
    let token = Token(cursor.u64()?);
    Ok(match kind {
        PLACE => Command::Place {
            token,
            client_id: cursor.client_id()?,
            intent: cursor.intent()?,
        },
        CANCEL => Command::Cancel {
            token,
            order: cursor.order()?,
        },
        REPLACE => Command::Replace {
            token,
            order: cursor.order()?,
            client_id: cursor.client_id()?,
            price: Ticks(cursor.i64()?),
            qty: Lots(cursor.i64()?),
        },
        AMEND => Command::Amend {
            token,
            order: cursor.order()?,
            qty: Lots(cursor.i64()?),
        },
        CANCEL_ALL => Command::CancelAll {
            token,
            instrument: match cursor.option()? {
                None => None,
                Some(index) => Some(instrument(index)?),
            },
        },
        SET_TRADING_STATE => Command::SetTradingState {
            token,
            state: cursor.one_of(&TradingState::ALL)?,
        },
        TRIP_KILL_SWITCH => Command::TripKillSwitch { token },
        RESET_KILL_SWITCH => Command::ResetKillSwitch { token },
        SET_LIMITS => Command::SetLimits {
            token,
            change: cursor.limits()?,
        },
        DEAD_MAN_FIRED => Command::DeadManFired { token },
        SHOW_BOOK => Command::ShowBook {
            token,
            instrument: instrument(cursor.i64()?)?,
        },
        RUN_STRATEGY => Command::RunStrategy {
            token,
            running: cursor.one_of(&[false, true])?,
        },
        _ => return Err("unknown command"),
    })
}

fn instrument(index: i64) -> Result<InstrumentIndex, &'static str> {
    u16::try_from(index)
        .map(InstrumentIndex)
        .map_err(|_| "an instrument's index out of range")
}

struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn head(&mut self, kind: u8, token: Token) {
        self.u8(kind);
        self.0.extend(token.0.to_le_bytes());
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn i64(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    fn option(&mut self, value: Option<i64>) {
        self.u8(u8::from(value.is_some()));
        self.i64(value.unwrap_or(0));
    }

    fn client_id(&mut self, client_id: Option<&ClientId>) {
        let text = client_id.map_or(&[][..], ClientId::as_bytes);
        self.u8(text.len() as u8);
        self.0.extend_from_slice(text);
    }

    fn order(&mut self, order: &OrderRef) {
        match order {
            OrderRef::Id(id) => {
                self.u8(0);
                self.0.extend(id.to_bits().to_le_bytes());
            }
            OrderRef::Client(client_id) => {
                self.u8(1);
                self.client_id(Some(client_id));
            }
        }
    }

    fn intent(&mut self, intent: &Intent) {
        let Intent {
            instrument,
            side,
            kind,
            time_in_force,
            price,
            qty,
            self_trade_prevention,
            origin,
        } = *intent;
        self.0.extend(instrument.0.to_le_bytes());
        self.u8(side as u8);
        self.u8(kind as u8);
        self.u8(time_in_force as u8);
        self.i64(price.0);
        self.i64(qty.0);
        self.u8(self_trade_prevention as u8);
        self.u8(origin as u8);
    }

    fn limits(&mut self, change: &LimitsChange) {
        let number = |value: Option<u32>| value.map(i64::from);
        let amount = |value: Option<E8>| value.map(|value| value.0);
        match *change {
            LimitsChange::Global(GlobalLimits {
                open_orders_max,
                orders_per_second_max,
                leverage_max_percent,
                concentration_max_percent,
                concentration_from,
                daily_loss_max,
                drawdown_max_bps,
                market_data_age_max,
                clock_offset_max,
            }) => {
                self.u8(0);
                self.option(number(open_orders_max));
                self.option(number(orders_per_second_max));
                self.option(number(leverage_max_percent));
                self.option(number(concentration_max_percent));
                self.i64(concentration_from.0);
                self.option(amount(daily_loss_max));
                self.option(number(drawdown_max_bps));
                self.option(market_data_age_max.map(|age| age.0 as i64));
                self.option(clock_offset_max.map(|offset| offset.0 as i64));
            }
            LimitsChange::Instrument(
                instrument,
                InstrumentLimits {
                    order_qty_max,
                    order_notional_max,
                    position_max,
                    open_orders_max,
                    price_collar_bps,
                },
            ) => {
                self.u8(1);
                self.0.extend(instrument.0.to_le_bytes());
                self.option(order_qty_max.map(|lots| lots.0));
                self.option(amount(order_notional_max));
                self.option(amount(position_max));
                self.option(number(open_orders_max));
                self.option(number(price_collar_bps));
            }
        }
    }
}

impl Cursor<'_> {
    fn i64(&mut self) -> Result<i64, &'static str> {
        self.take().map(i64::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        self.take().map(u16::from_le_bytes)
    }

    fn one_of<V: Copy>(&mut self, all: &[V]) -> Result<V, &'static str> {
        all.get(usize::from(self.u8()?))
            .copied()
            .ok_or("a value outside its range")
    }

    fn option(&mut self) -> Result<Option<i64>, &'static str> {
        match (self.one_of(&[false, true])?, self.i64()?) {
            (false, 0) => Ok(None),
            (true, value) => Ok(Some(value)),
            (false, _) => Err("a value that is there and is not"),
        }
    }

    fn client_id(&mut self) -> Result<Option<ClientId>, &'static str> {
        let len = usize::from(self.u8()?);
        if len == 0 {
            return Ok(None);
        }
        if len > CLIENT_ID_BYTES_MAX {
            return Err("a client's order id that is too long");
        }
        let start = self.at;
        self.skip(len)?;
        std::str::from_utf8(&self.buffer[start..self.at])
            .ok()
            .and_then(ClientId::new)
            .map(Some)
            .ok_or("a client's order id with illegal characters")
    }

    fn order(&mut self) -> Result<OrderRef, &'static str> {
        match self.u8()? {
            0 => Ok(OrderRef::Id(OrderId::from_bits(self.u64()?))),
            1 => self
                .client_id()?
                .map(OrderRef::Client)
                .ok_or("an empty client's order id"),
            _ => Err("an order that is named in an unknown way"),
        }
    }

    fn intent(&mut self) -> Result<Intent, &'static str> {
        Ok(Intent {
            instrument: InstrumentIndex(self.u16()?),
            side: self.one_of(&Side::ALL)?,
            kind: self.one_of(&OrderKind::ALL)?,
            time_in_force: self.one_of(&TimeInForce::ALL)?,
            price: Ticks(self.i64()?),
            qty: Lots(self.i64()?),
            self_trade_prevention: self.one_of(&SelfTradePrevention::ALL)?,
            origin: self.one_of(&Origin::ALL)?,
        })
    }

    fn number(&mut self) -> Result<Option<u32>, &'static str> {
        match self.option()? {
            None => Ok(None),
            Some(value) => u32::try_from(value)
                .map(Some)
                .map_err(|_| "a limit out of range"),
        }
    }

    fn nanos(&mut self) -> Result<Option<Nanos>, &'static str> {
        Ok(self.option()?.map(|value| Nanos(value as u64)))
    }

    fn limits(&mut self) -> Result<LimitsChange, &'static str> {
        match self.u8()? {
            0 => Ok(LimitsChange::Global(GlobalLimits {
                open_orders_max: self.number()?,
                orders_per_second_max: self.number()?,
                leverage_max_percent: self.number()?,
                concentration_max_percent: self.number()?,
                concentration_from: E8(self.i64()?),
                daily_loss_max: self.option()?.map(E8),
                drawdown_max_bps: self.number()?,
                market_data_age_max: self.nanos()?,
                clock_offset_max: self.nanos()?,
            })),
            1 => Ok(LimitsChange::Instrument(
                InstrumentIndex(self.u16()?),
                InstrumentLimits {
                    order_qty_max: self.option()?.map(Lots),
                    order_notional_max: self.option()?.map(E8),
                    position_max: self.option()?.map(E8),
                    open_orders_max: self.number()?,
                    price_collar_bps: self.number()?,
                },
            )),
            _ => Err("limits of an unknown scope"),
        }
    }
}
