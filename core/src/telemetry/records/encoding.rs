//! Records as bytes: little-endian, versioned, the same size as in the ring.
//!
//! Owns: [`RECORD_VERSION`], the layout of every kind. Does not: know rings. Invariant: what is written is
//! read back equal, and bytes that are no record are refused by name, never guessed.
//!
//! The kinds of market data have fixed places for their fields; those of trading write their fields one
//! after the other from byte 17 on, in the order of their declaration.

use super::body::{
    BookState, CommandResult, EngineState, HaltCause, OrderRequest, RecordBody, ResyncCause,
    TradesKnown, TradingPhase, VenueRequest,
};
use super::{RECORD_BYTES, Record};
use crate::event::{LinkDown, LinkId, LinkRole, Token};
use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::oms::OmsFault;
use crate::order::{
    CLIENT_ID_BYTES_MAX, ClientId, OrderId, OrderKind, OrderState, Origin, Side, TimeInForce,
};
use crate::risk::{Rejection, TradingState};
use crate::units::{E8, Lots, Nanos, Ticks, VenueMillis};
use crate::venue::binance::order_error::{Cause, ErrorKind};

/// Version of the encoding; a journal names it in its header.
pub const RECORD_VERSION: u16 = 4;

/// Offsets of the encoding. All integers are little-endian; bytes not named are zero.
mod field {
    pub(super) const SEQUENCE: usize = 0;
    pub(super) const AT: usize = 8;
    pub(super) const KIND: usize = 16;
    /// Three small numbers: states, causes, roles, flags.
    pub(super) const SMALL: [usize; 3] = [17, 18, 19];
    pub(super) const GENERATION: usize = 20;
    pub(super) const INSTRUMENT: usize = 24;
    pub(super) const LARGE: [usize; 2] = [32, 40];
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The kind byte names no kind of this version.
    #[error("record kind {0} is unknown to version {RECORD_VERSION}")]
    Kind(u8),
    /// A state, cause, role or flag is outside its range.
    #[error("record field at byte {offset} holds {value}, which means nothing there")]
    Field {
        /// Where.
        offset: usize,
        /// What stands there.
        value: u8,
    },
}

impl Record {
    /// The record with its stamp zeroed: what a replay must reproduce bit for bit.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.at = Nanos::ZERO;
        self
    }

    /// The record as bytes of version [`RECORD_VERSION`].
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        put(&mut bytes, field::SEQUENCE, self.sequence.to_le_bytes());
        put(&mut bytes, field::AT, self.at.0.to_le_bytes());
        let [small0, small1, small2] = field::SMALL;
        let [large0, large1] = field::LARGE;
        let link = |bytes: &mut [u8; RECORD_BYTES], link: LinkId| {
            bytes[small0] = link.role as u8;
            put(bytes, field::GENERATION, link.generation.to_le_bytes());
        };
        bytes[field::KIND] = match self.body {
            RecordBody::LinkUp { link: id } => {
                link(&mut bytes, id);
                0
            }
            RecordBody::LinkDown { link: id, cause } => {
                link(&mut bytes, id);
                bytes[small1] = cause as u8;
                1
            }
            RecordBody::BookState {
                instrument,
                from,
                to,
                last_update_id,
            } => {
                bytes[small0] = from as u8;
                bytes[small1] = to as u8;
                put(&mut bytes, field::INSTRUMENT, instrument.0.to_le_bytes());
                put(&mut bytes, large0, last_update_id.to_le_bytes());
                2
            }
            RecordBody::Resync {
                instrument,
                cause,
                expected,
                got,
            } => {
                bytes[small0] = cause as u8;
                put(&mut bytes, field::INSTRUMENT, instrument.0.to_le_bytes());
                put(&mut bytes, large0, expected.to_le_bytes());
                put(&mut bytes, large1, got.to_le_bytes());
                3
            }
            RecordBody::Fault {
                link: id,
                instrument,
                kind,
                detail,
            } => {
                link(&mut bytes, id);
                bytes[small1] = kind;
                if let Some(instrument) = instrument {
                    bytes[small2] = 1;
                    put(&mut bytes, field::INSTRUMENT, instrument.0.to_le_bytes());
                }
                put(&mut bytes, large0, detail.to_le_bytes());
                4
            }
            RecordBody::RequestRefused {
                link: id,
                request,
                request_id,
                code,
                kind,
            } => {
                link(&mut bytes, id);
                bytes[small1] = request as u8;
                bytes[small2] = kind.map_or(0, |kind| 1 + kind as u8);
                put(&mut bytes, large0, request_id.to_le_bytes());
                put(&mut bytes, large1, code.to_le_bytes());
                5
            }
            RecordBody::EngineState { from, to } => {
                bytes[small0] = from as u8;
                bytes[small1] = to as u8;
                6
            }
            RecordBody::Shutdown { links_closed } => {
                put(&mut bytes, large0, u64::from(links_closed).to_le_bytes());
                7
            }
            RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::Fill { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => write_trading(&self.body, &mut bytes),
        };
        bytes
    }

    /// Reads what [`Record::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Result<Self, RecordError> {
        let [small0, small1, small2] = field::SMALL;
        let [large0, large1] = field::LARGE;
        let instrument = || InstrumentIndex(u16::from_le_bytes(take(bytes, field::INSTRUMENT)));
        let large = |offset| u64::from_le_bytes(take(bytes, offset));
        let link = || -> Result<LinkId, RecordError> {
            Ok(LinkId {
                role: one_of(&LinkRole::ALL, bytes, small0)?,
                generation: u32::from_le_bytes(take(bytes, field::GENERATION)),
            })
        };
        let body = match bytes[field::KIND] {
            0 => RecordBody::LinkUp { link: link()? },
            1 => RecordBody::LinkDown {
                link: link()?,
                cause: one_of(&LinkDown::ALL, bytes, small1)?,
            },
            2 => RecordBody::BookState {
                instrument: instrument(),
                from: one_of(&BookState::ALL, bytes, small0)?,
                to: one_of(&BookState::ALL, bytes, small1)?,
                last_update_id: large(large0),
            },
            3 => RecordBody::Resync {
                instrument: instrument(),
                cause: one_of(&ResyncCause::ALL, bytes, small0)?,
                expected: large(large0),
                got: large(large1),
            },
            4 => RecordBody::Fault {
                link: link()?,
                instrument: one_of(&[false, true], bytes, small2)?.then(instrument),
                kind: bytes[small1],
                detail: large(large0),
            },
            5 => RecordBody::RequestRefused {
                link: link()?,
                request: one_of(&VenueRequest::ALL, bytes, small1)?,
                request_id: large(large0),
                code: large(large1) as i64,
                kind: optional(&ErrorKind::ALL, bytes, small2)?,
            },
            6 => RecordBody::EngineState {
                from: one_of(&EngineState::ALL, bytes, small0)?,
                to: one_of(&EngineState::ALL, bytes, small1)?,
            },
            7 => RecordBody::Shutdown {
                links_closed: large(large0) as u32,
            },
            kind => read_trading(kind, bytes)?,
        };
        Ok(Self {
            sequence: u64::from_le_bytes(take(bytes, field::SEQUENCE)),
            at: Nanos(u64::from_le_bytes(take(bytes, field::AT))),
            body,
        })
    }
}

fn put<const N: usize>(bytes: &mut [u8; RECORD_BYTES], offset: usize, value: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&value);
}

fn take<const N: usize>(bytes: &[u8; RECORD_BYTES], offset: usize) -> [u8; N] {
    *bytes[offset..]
        .first_chunk()
        .expect("offsets are constants inside the record")
}

/// The value whose discriminant stands at `offset`.
fn one_of<T: Copy>(all: &[T], bytes: &[u8; RECORD_BYTES], offset: usize) -> Result<T, RecordError> {
    let value = bytes[offset];
    all.get(usize::from(value))
        .copied()
        .ok_or(RecordError::Field { offset, value })
}

/// The value whose discriminant and one stands at `offset`, where zero is none.
fn optional<T: Copy>(
    all: &[T],
    bytes: &[u8; RECORD_BYTES],
    offset: usize,
) -> Result<Option<T>, RecordError> {
    let value = bytes[offset];
    let Some(position) = usize::from(value).checked_sub(1) else {
        return Ok(None);
    };
    all.get(position)
        .copied()
        .map(Some)
        .ok_or(RecordError::Field { offset, value })
}

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
fn write_trading(body: &RecordBody, bytes: &mut [u8; RECORD_BYTES]) -> u8 {
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
fn read_trading(kind: u8, bytes: &[u8; RECORD_BYTES]) -> Result<RecordBody, RecordError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Intent, SelfTradePrevention};
    use proptest::prelude::*;

    /// Kinds of this version, numbered from zero.
    const KINDS: u8 = 25;

    #[test]
    fn the_encoding_is_pinned() {
        let record = Record {
            sequence: 0x0102_0304_0506_0708,
            at: Nanos(0x1112_1314_1516_1718),
            body: RecordBody::Fault {
                link: LinkId {
                    role: LinkRole::Api,
                    generation: 0x2122_2324,
                },
                instrument: Some(InstrumentIndex(0x3132)),
                kind: 9,
                detail: 0x4142_4344_4546_4748,
            },
        };
        let mut expected = [0; RECORD_BYTES];
        expected[..8].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
        expected[8..16].copy_from_slice(&[0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        expected[16..20].copy_from_slice(&[4, 1, 9, 1]);
        expected[20..24].copy_from_slice(&[0x24, 0x23, 0x22, 0x21]);
        expected[24..26].copy_from_slice(&[0x32, 0x31]);
        expected[32..40].copy_from_slice(&[0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41]);
        assert_eq!(record.to_bytes(), expected);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        let mut bytes = [0; RECORD_BYTES];
        bytes[field::KIND] = KINDS;
        assert_eq!(Record::from_bytes(&bytes), Err(RecordError::Kind(KINDS)));
        bytes[field::KIND] = 6;
        bytes[field::SMALL[1]] = 99;
        assert_eq!(
            Record::from_bytes(&bytes),
            Err(RecordError::Field {
                offset: field::SMALL[1],
                value: 99
            })
        );
    }

    fn any_link() -> impl Strategy<Value = LinkId> {
        (proptest::sample::select(&LinkRole::ALL[..]), any::<u32>())
            .prop_map(|(role, generation)| LinkId { role, generation })
    }

    fn any_body() -> impl Strategy<Value = RecordBody> {
        use proptest::sample::select;
        let index = || any::<u16>().prop_map(InstrumentIndex);
        prop_oneof![
            any_link().prop_map(|link| RecordBody::LinkUp { link }),
            (any_link(), select(&LinkDown::ALL[..]))
                .prop_map(|(link, cause)| RecordBody::LinkDown { link, cause }),
            (
                index(),
                select(&BookState::ALL[..]),
                select(&BookState::ALL[..]),
                any::<u64>()
            )
                .prop_map(|(instrument, from, to, last_update_id)| {
                    RecordBody::BookState {
                        instrument,
                        from,
                        to,
                        last_update_id,
                    }
                }),
            (
                index(),
                select(&ResyncCause::ALL[..]),
                any::<u64>(),
                any::<u64>()
            )
                .prop_map(|(instrument, cause, expected, got)| RecordBody::Resync {
                    instrument,
                    cause,
                    expected,
                    got
                }),
            (
                any_link(),
                proptest::option::of(index()),
                any::<u8>(),
                any::<u64>()
            )
                .prop_map(|(link, instrument, kind, detail)| RecordBody::Fault {
                    link,
                    instrument,
                    kind,
                    detail
                }),
            (
                any_link(),
                select(&VenueRequest::ALL[..]),
                any::<u64>(),
                any::<i64>(),
                proptest::option::of(select(&ErrorKind::ALL[..]))
            )
                .prop_map(|(link, request, request_id, code, kind)| {
                    RecordBody::RequestRefused {
                        link,
                        request,
                        request_id,
                        code,
                        kind,
                    }
                }),
            (select(&EngineState::ALL[..]), select(&EngineState::ALL[..]))
                .prop_map(|(from, to)| RecordBody::EngineState { from, to }),
            any::<u32>().prop_map(|links_closed| RecordBody::Shutdown { links_closed }),
            any_order_body(),
            any_account_body(),
        ]
    }

    fn any_order() -> impl Strategy<Value = OrderId> {
        any::<u64>().prop_map(OrderId::from_bits)
    }

    fn any_client_id() -> impl Strategy<Value = ClientId> {
        "[A-Za-z0-9_-]{1,36}".prop_map(|text| ClientId::new(&text).expect("legal"))
    }

    fn any_intent() -> impl Strategy<Value = Intent> {
        use proptest::sample::select;
        (
            any::<u16>(),
            select(&Side::ALL[..]),
            select(&OrderKind::ALL[..]),
            select(&TimeInForce::ALL[..]),
            select(&Origin::ALL[..]),
            any::<i64>(),
            any::<i64>(),
        )
            .prop_map(
                |(instrument, side, kind, time_in_force, origin, price, qty)| Intent {
                    instrument: InstrumentIndex(instrument),
                    side,
                    kind,
                    time_in_force,
                    price: Ticks(price),
                    qty: Lots(qty),
                    self_trade_prevention: SelfTradePrevention::ExpireMaker,
                    origin,
                },
            )
    }

    fn any_order_body() -> impl Strategy<Value = RecordBody> {
        use proptest::sample::select;
        prop_oneof![
            (any_order(), any_intent(), any::<u64>()).prop_map(|(order, intent, token)| {
                RecordBody::admitted(order, &intent, Token(token))
            }),
            (any_order(), any_client_id())
                .prop_map(|(order, client_id)| RecordBody::OrderAlias { order, client_id }),
            (
                any_order(),
                any::<u16>(),
                select(&Side::ALL[..]),
                any::<i64>()
            )
                .prop_map(|(order, instrument, side, price)| {
                    RecordBody::OrderAdopted {
                        order,
                        instrument: InstrumentIndex(instrument),
                        side,
                        price: Ticks(price),
                    }
                }),
            (
                (any_order(), any::<u16>(), any::<u64>()),
                select(&OrderState::ALL[..]),
                select(&OrderState::ALL[..]),
                any::<i64>(),
                any::<i64>()
            )
                .prop_map(
                    |((order, instrument, venue_order_id), from, to, executed, qty)| {
                        RecordBody::OrderState {
                            order,
                            instrument: InstrumentIndex(instrument),
                            from,
                            to,
                            venue_order_id,
                            executed: Lots(executed),
                            qty: Lots(qty),
                        }
                    }
                ),
            (
                (any_order(), any::<u16>(), any::<u16>()),
                select(&Side::ALL[..]),
                any::<bool>(),
                (any::<u64>(), any::<i64>(), any::<i64>(), any::<i64>())
            )
                .prop_map(
                    |((order, instrument, asset), side, is_maker, (trade_id, price, qty, fee))| {
                        RecordBody::Fill {
                            order,
                            instrument: InstrumentIndex(instrument),
                            side,
                            is_maker,
                            fee_asset: AssetIndex(asset),
                            trade_id,
                            price: Ticks(price),
                            qty: Lots(qty),
                            fee: E8(fee),
                        }
                    }
                ),
            (any_intent(), select(&Rejection::ALL[..]), any::<u64>()).prop_map(
                |(intent, reason, token)| RecordBody::rejected(&intent, reason, Token(token))
            ),
            (
                any_order(),
                any::<u16>(),
                select(&OrderRequest::ALL[..]),
                any::<i32>(),
                select(&ErrorKind::ALL[..]),
                select(&Cause::ALL[..])
            )
                .prop_map(|(order, instrument, request, code, kind, cause)| {
                    RecordBody::VenueRefused {
                        order,
                        instrument: InstrumentIndex(instrument),
                        request,
                        code,
                        kind,
                        cause,
                    }
                }),
            (any_order(), any::<u16>(), select(&OmsFault::ALL[..])).prop_map(
                |(order, instrument, fault)| RecordBody::OrderFault {
                    order,
                    instrument: InstrumentIndex(instrument),
                    fault,
                }
            ),
            (
                any::<u64>(),
                select(&CommandResult::ALL[..]),
                proptest::option::of(select(&Rejection::ALL[..])),
                proptest::option::of(any_order())
            )
                .prop_map(|(token, result, reason, order)| {
                    RecordBody::CommandDone {
                        token: Token(token),
                        result,
                        reason,
                        order,
                    }
                }),
        ]
    }

    fn any_account_body() -> impl Strategy<Value = RecordBody> {
        use proptest::sample::select;
        prop_oneof![
            (any::<u16>(), any::<i64>(), any::<i64>(), any::<i64>()).prop_map(
                |(instrument, qty, entry, realized)| RecordBody::Position {
                    instrument: InstrumentIndex(instrument),
                    qty: E8(qty),
                    entry: E8(entry),
                    realized: E8(realized),
                }
            ),
            (any::<u16>(), any::<i64>(), any::<i64>(), any::<u64>()).prop_map(
                |(asset, free, locked, at)| RecordBody::Balance {
                    asset: AssetIndex(asset),
                    free: E8(free),
                    locked: E8(locked),
                    at: VenueMillis(at),
                }
            ),
            (any::<u16>(), any::<i64>()).prop_map(|(asset, amount)| RecordBody::Baseline {
                asset: AssetIndex(asset),
                amount: E8(amount),
            }),
            (any::<u16>(), select(&TradesKnown::ALL[..]), any::<u64>()).prop_map(
                |(instrument, how, through)| RecordBody::TradesKnown {
                    instrument: InstrumentIndex(instrument),
                    how,
                    through,
                }
            ),
            (
                select(&TradingPhase::ALL[..]),
                select(&TradingPhase::ALL[..]),
                any::<u32>(),
                any::<u32>()
            )
                .prop_map(|(from, to, open_orders, unresolved)| {
                    RecordBody::TradingPhase {
                        from,
                        to,
                        open_orders,
                        unresolved,
                    }
                }),
            (
                select(&TradingState::ALL[..]),
                select(&TradingState::ALL[..]),
                select(&HaltCause::ALL[..])
            )
                .prop_map(|(from, to, cause)| RecordBody::TradingState {
                    from,
                    to,
                    cause
                }),
            (any::<bool>(), select(&HaltCause::ALL[..]))
                .prop_map(|(latched, cause)| RecordBody::KillSwitch { latched, cause }),
            proptest::option::of(any::<u16>().prop_map(InstrumentIndex))
                .prop_map(|instrument| RecordBody::Limits { instrument }),
        ]
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_are_inverse(sequence: u64, at: u64, body in any_body()) {
            let record = Record { sequence, at: Nanos(at), body };
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
            prop_assert_eq!(record.masked(), Record { at: Nanos::ZERO, ..record });
        }

        #[test]
        fn decoding_never_panics_and_encodes_back(bytes: [u8; 32]) {
            let mut whole = [0; RECORD_BYTES];
            whole[..32].copy_from_slice(&bytes);
            whole[16] %= KINDS + 1;
            if let Ok(record) = Record::from_bytes(&whole) {
                prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
            }
        }
    }
}
