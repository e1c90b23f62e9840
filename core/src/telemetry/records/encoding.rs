//! Records as bytes: little-endian, versioned, the same size as in the ring.
//!
//! Owns: [`RECORD_VERSION`], what all records have, the layout of the kinds of market data; that of the kinds of trading
//! is in `encoding/trading.rs`. Does not: know rings. Invariant: what is written is read back equal, and bytes that are
//! no record are refused by name, never guessed.
//!
//! The kinds of market data have fixed places for their fields; those of trading write their fields one
//! after the other.

mod trading;

use super::body::{BookState, EngineState, RecordBody, ResyncCause, VenueRequest};
use super::{RECORD_BYTES, Record};
use crate::event::{LinkDown, LinkId, LinkRole};
use crate::instrument::InstrumentIndex;
use crate::units::Nanos;
use crate::venue::binance::order_error::ErrorKind;
use trading::{read_trading, write_trading};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Token;
    use crate::instrument::AssetIndex;
    use crate::oms::OmsFault;
    use crate::order::{
        ClientId, Intent, OrderId, OrderKind, OrderState, Origin, SelfTradePrevention, Side,
        TimeInForce,
    };
    use crate::risk::{Rejection, TradingState};
    use crate::telemetry::records::{
        CommandResult, HaltCause, OrderRequest, TradesKnown, TradingPhase,
    };
    use crate::units::{E8, Lots, Ticks, VenueMillis};
    use crate::venue::binance::order_error::Cause;
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
