//! Records of trading as bytes: their fields one after the other from byte 17 on, in the order of their declaration.
//!
//! Owns: the layout of every kind from 8 on. Does not: write what all records have (`encoding` does). Invariant: writing
//! and reading name the fields of a kind in the same order.

use super::{RecordError, field, one_of, optional, put, take};
use crate::event::Token;
use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::oms::OmsFault;
use crate::order::{
    CLIENT_ID_BYTES_MAX, ClientId, OrderId, OrderKind, OrderState, Origin, Side, TimeInForce,
};
use crate::risk::{Rejection, TradingState};
use crate::telemetry::records::{
    CommandResult, HaltCause, OrderRequest, RECORD_BYTES, RecordBody, TradesKnown, TradingPhase,
};
use crate::units::{E8, Lots, Ticks, VenueMillis};
use crate::venue::binance::order_error::{Cause, ErrorKind};

/// Writes fields one after the other.
struct Fields<'a> {
    bytes: &'a mut [u8; RECORD_BYTES],
    at: usize,
}

impl Fields<'_> {
    fn raw<const N: usize>(&mut self, value: [u8; N]) -> &mut Self {
        put(self.bytes, self.at, value);
        self.at += N;
        self
    }

    fn u8(&mut self, value: usize) -> &mut Self {
        self.raw([value as u8])
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(value.to_le_bytes())
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(value.to_le_bytes())
    }
}

/// Where the fields of a trading record begin.
const FIELDS_AT: usize = field::KIND + 1;

/// Writes a record of trading; its kind.
pub(super) fn write_trading(body: &RecordBody, bytes: &mut [u8; RECORD_BYTES]) -> u8 {
    let mut fields = Fields {
        bytes,
        at: FIELDS_AT,
    };
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
            fields.u64(order.to_bits()).u16(instrument.0);
            fields.u8(side.index()).u8(kind.index());
            fields.u8(time_in_force.index()).u8(origin.index());
            fields.i64(price.0).i64(qty.0).u64(token.0);
            8
        }
        RecordBody::OrderAlias { order, client_id } => {
            let text = client_id.as_bytes();
            let mut padded = [0; CLIENT_ID_BYTES_MAX];
            padded[..text.len()].copy_from_slice(text);
            fields.u64(order.to_bits()).u8(text.len()).raw(padded);
            9
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
            fields.u64(order.to_bits()).u16(instrument.0);
            fields.u8(from.index()).u8(to.index());
            fields.u64(venue_order_id).i64(executed.0).i64(qty.0);
            10
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
            fields.u64(order.to_bits()).u16(instrument.0);
            fields.u8(side.index()).u8(usize::from(is_maker));
            fields.u16(fee_asset.0).u64(trade_id);
            fields.i64(price.0).i64(qty.0).i64(fee.0);
            11
        }
        RecordBody::OrderRejected {
            instrument,
            reason,
            side,
            origin,
            price,
            qty,
            token,
        } => {
            fields.u16(instrument.0).u8(reason.index());
            fields.u8(side.index()).u8(origin.index());
            fields.i64(price.0).i64(qty.0).u64(token.0);
            12
        }
        RecordBody::VenueRefused {
            order,
            instrument,
            request,
            code,
            kind,
            cause,
        } => {
            fields.u64(order.to_bits()).u16(instrument.0);
            fields.u8(request.index()).raw(code.to_le_bytes());
            fields.u8(kind.index()).u8(cause.index());
            13
        }
        RecordBody::CommandDone {
            token,
            result,
            reason,
            order,
        } => {
            fields.u64(token.0).u8(result.index());
            fields.u8(reason.map_or(0, |reason| 1 + reason.index()));
            fields.u8(usize::from(order.is_some()));
            fields.u64(order.map_or(0, OrderId::to_bits));
            14
        }
        RecordBody::Position {
            instrument,
            qty,
            entry,
            realized,
        } => {
            fields.u16(instrument.0);
            fields.i64(qty.0).i64(entry.0).i64(realized.0);
            15
        }
        RecordBody::Balance {
            asset,
            free,
            locked,
            at,
        } => {
            fields.u16(asset.0).i64(free.0).i64(locked.0).u64(at.0);
            16
        }
        RecordBody::TradingPhase {
            from,
            to,
            open_orders,
            unresolved,
        } => {
            fields.u8(from.index()).u8(to.index());
            fields.u32(open_orders).u32(unresolved);
            17
        }
        RecordBody::TradingState { from, to, cause } => {
            fields.u8(from.index()).u8(to.index()).u8(cause.index());
            18
        }
        RecordBody::KillSwitch { latched, cause } => {
            fields.u8(usize::from(latched)).u8(cause.index());
            19
        }
        RecordBody::Limits { instrument } => {
            fields.u8(usize::from(instrument.is_some()));
            fields.u16(instrument.map_or(0, |index| index.0));
            20
        }
        RecordBody::OrderFault {
            order,
            instrument,
            fault,
        } => {
            fields.u64(order.to_bits()).u16(instrument.0);
            fields.u8(fault.index());
            21
        }
        RecordBody::Baseline { asset, amount } => {
            fields.u16(asset.0).i64(amount.0);
            22
        }
        RecordBody::TradesKnown {
            instrument,
            how,
            through,
        } => {
            fields.u16(instrument.0).u8(how.index()).u64(through);
            23
        }
        RecordBody::OrderAdopted {
            order,
            instrument,
            side,
            price,
        } => {
            fields.u64(order.to_bits()).u16(instrument.0);
            fields.u8(side.index()).i64(price.0);
            24
        }
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

/// Reads fields one after the other.
struct Reading<'a> {
    bytes: &'a [u8; RECORD_BYTES],
    at: usize,
}

impl Reading<'_> {
    fn raw<const N: usize>(&mut self) -> [u8; N] {
        let value = take(self.bytes, self.at);
        self.at += N;
        value
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, RecordError> {
        let value = one_of(all, self.bytes, self.at)?;
        self.at += 1;
        Ok(value)
    }

    fn flag(&mut self) -> Result<bool, RecordError> {
        self.one_of(&[false, true])
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.raw())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.raw())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.raw())
    }

    fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.raw())
    }

    fn order(&mut self) -> OrderId {
        OrderId::from_bits(self.u64())
    }

    fn instrument(&mut self) -> InstrumentIndex {
        InstrumentIndex(self.u16())
    }

    fn client_id(&mut self) -> Result<ClientId, RecordError> {
        let (offset, value) = (self.at, self.bytes[self.at]);
        let [len] = self.raw();
        let padded: [u8; CLIENT_ID_BYTES_MAX] = self.raw();
        let (text, rest) = padded
            .split_at_checked(usize::from(len))
            .ok_or(RecordError::Field { offset, value })?;
        std::str::from_utf8(text)
            .ok()
            .filter(|_| rest.iter().all(|&byte| byte == 0))
            .and_then(ClientId::new)
            .ok_or(RecordError::Field { offset, value })
    }
}

/// Reads a record of trading.
pub(super) fn read_trading(
    kind: u8,
    bytes: &[u8; RECORD_BYTES],
) -> Result<RecordBody, RecordError> {
    let mut fields = Reading {
        bytes,
        at: FIELDS_AT,
    };
    Ok(match kind {
        8 => RecordBody::OrderAdmitted {
            order: fields.order(),
            instrument: fields.instrument(),
            side: fields.one_of(&Side::ALL)?,
            kind: fields.one_of(&OrderKind::ALL)?,
            time_in_force: fields.one_of(&TimeInForce::ALL)?,
            origin: fields.one_of(&Origin::ALL)?,
            price: Ticks(fields.i64()),
            qty: Lots(fields.i64()),
            token: Token(fields.u64()),
        },
        9 => RecordBody::OrderAlias {
            order: fields.order(),
            client_id: fields.client_id()?,
        },
        10 => RecordBody::OrderState {
            order: fields.order(),
            instrument: fields.instrument(),
            from: fields.one_of(&OrderState::ALL)?,
            to: fields.one_of(&OrderState::ALL)?,
            venue_order_id: fields.u64(),
            executed: Lots(fields.i64()),
            qty: Lots(fields.i64()),
        },
        11 => RecordBody::Fill {
            order: fields.order(),
            instrument: fields.instrument(),
            side: fields.one_of(&Side::ALL)?,
            is_maker: fields.flag()?,
            fee_asset: AssetIndex(fields.u16()),
            trade_id: fields.u64(),
            price: Ticks(fields.i64()),
            qty: Lots(fields.i64()),
            fee: E8(fields.i64()),
        },
        12 => RecordBody::OrderRejected {
            instrument: fields.instrument(),
            reason: fields.one_of(&Rejection::ALL)?,
            side: fields.one_of(&Side::ALL)?,
            origin: fields.one_of(&Origin::ALL)?,
            price: Ticks(fields.i64()),
            qty: Lots(fields.i64()),
            token: Token(fields.u64()),
        },
        13 => RecordBody::VenueRefused {
            order: fields.order(),
            instrument: fields.instrument(),
            request: fields.one_of(&OrderRequest::ALL)?,
            code: i32::from_le_bytes(fields.raw()),
            kind: fields.one_of(&ErrorKind::ALL)?,
            cause: fields.one_of(&Cause::ALL)?,
        },
        14 => {
            let token = Token(fields.u64());
            let result = fields.one_of(&CommandResult::ALL)?;
            let reason = optional(&Rejection::ALL, bytes, fields.at)?;
            fields.at += 1;
            let has_order = fields.flag()?;
            let order = fields.order();
            RecordBody::CommandDone {
                token,
                result,
                reason,
                order: has_order.then_some(order),
            }
        }
        15 => RecordBody::Position {
            instrument: fields.instrument(),
            qty: E8(fields.i64()),
            entry: E8(fields.i64()),
            realized: E8(fields.i64()),
        },
        16 => RecordBody::Balance {
            asset: AssetIndex(fields.u16()),
            free: E8(fields.i64()),
            locked: E8(fields.i64()),
            at: VenueMillis(fields.u64()),
        },
        17 => RecordBody::TradingPhase {
            from: fields.one_of(&TradingPhase::ALL)?,
            to: fields.one_of(&TradingPhase::ALL)?,
            open_orders: fields.u32(),
            unresolved: fields.u32(),
        },
        18 => RecordBody::TradingState {
            from: fields.one_of(&TradingState::ALL)?,
            to: fields.one_of(&TradingState::ALL)?,
            cause: fields.one_of(&HaltCause::ALL)?,
        },
        19 => RecordBody::KillSwitch {
            latched: fields.flag()?,
            cause: fields.one_of(&HaltCause::ALL)?,
        },
        20 => {
            let has_instrument = fields.flag()?;
            let instrument = fields.instrument();
            RecordBody::Limits {
                instrument: has_instrument.then_some(instrument),
            }
        }
        21 => RecordBody::OrderFault {
            order: fields.order(),
            instrument: fields.instrument(),
            fault: fields.one_of(&OmsFault::ALL)?,
        },
        22 => RecordBody::Baseline {
            asset: AssetIndex(fields.u16()),
            amount: E8(fields.i64()),
        },
        23 => RecordBody::TradesKnown {
            instrument: fields.instrument(),
            how: fields.one_of(&TradesKnown::ALL)?,
            through: fields.u64(),
        },
        24 => RecordBody::OrderAdopted {
            order: fields.order(),
            instrument: fields.instrument(),
            side: fields.one_of(&Side::ALL)?,
            price: Ticks(fields.i64()),
        },
        kind => return Err(RecordError::Kind(kind)),
    })
}
