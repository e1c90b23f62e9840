//! What a message means, in any key order: the reference that the scanner must agree with.
//!
//! Owns: the dispatch on keys and every fault of decoding. Does not: hurry. Rules:
//! * dispatch is on the object's keys; a combined frame (`stream`, `data`) is unwrapped first, and
//!   where the stream's name carries a symbol it must be the payload's;
//! * an event type or object that is not ours is [`Message::Ignored`], whatever else it holds;
//! * unknown keys are skipped, keys are compared by case, a known key twice is a fault.

mod keys;
mod levels;

use super::object::json;
use super::{AggTrade, BookTicker, Context, Grids, Levels, Message, Outcome, RequestWeight, Trade};
use crate::instrument::InstrumentIndex;
use crate::units::{Level, Lots, Ticks};
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::wire::json::raw::Raw;
use crate::wire::json::tolerant::{each_element, with_text};
use keys::{
    ASKS, BIDS, BIG_A, BIG_B, BUYER_IS_MAKER, CODE, COUNT, DATA, ERROR, EVENT, EVENT_MS,
    EVENT_TYPE, FIRST_ID, FIRST_TRADE_ID, Key, LAST_ID, LAST_TRADE_ID, LAST_UPDATE_ID, LIMIT,
    LIMIT_TYPE, Object, PRICE, QTY, RATE_LIMITS, REQUEST_ID, RESULT, RETRY_AFTER, SERVER_TIME,
    SMALL_A, SMALL_B, STATUS, STREAM, SYMBOL, TRADE_ID, TRADE_MS, object,
};

/// Decodes one message; levels go to `levels`.
pub(super) fn decode(
    bytes: &[u8],
    context: &mut Context,
    levels: &mut Levels,
) -> Result<Message, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new(VenueFault::Malformed))?;
    let Some(top) = object(text)? else {
        return Ok(Message::Ignored);
    };
    if top.has(STREAM) && top.has(DATA) {
        let data = top.raw(DATA)?;
        let Some(event) = object(data.get())? else {
            return Ok(Message::Ignored);
        };
        let decoded = with_text(top.raw(STREAM)?, |stream| {
            decode_event(&event, Some(stream), context, levels)
        });
        return decoded.map_err(|fault| json(fault, STREAM))?;
    }
    if top.has(EVENT) {
        return match object(top.raw(EVENT)?.get())? {
            Some(event) if event_type(&event)? == EventType::ServerShutdown => {
                server_shutdown(&event)
            }
            _ => Ok(Message::Ignored),
        };
    }
    if top.has(STATUS) {
        return api_reply(&top, context, levels);
    }
    if !top.has(EVENT_TYPE) && (top.has(RESULT) || top.has(ERROR) || top.has(CODE)) {
        return subscribe_reply(&top);
    }
    decode_event(&top, None, context, levels)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EventType {
    DepthUpdate,
    BookTicker,
    Trade,
    AggTrade,
    ServerShutdown,
    /// The object carries no event type.
    Absent,
    Unknown,
}

fn event_type(event: &Object<'_>) -> Result<EventType, Fault> {
    if !event.has(EVENT_TYPE) {
        return Ok(EventType::Absent);
    }
    with_text(event.raw(EVENT_TYPE)?, |name| match name {
        "depthUpdate" => EventType::DepthUpdate,
        "bookTicker" => EventType::BookTicker,
        "trade" => EventType::Trade,
        "aggTrade" => EventType::AggTrade,
        "serverShutdown" => EventType::ServerShutdown,
        _ => EventType::Unknown,
    })
    .map_err(|fault| json(fault, EVENT_TYPE))
}

/// An event: the payload of a stream, raw or unwrapped.
fn decode_event(
    event: &Object<'_>,
    stream: Option<&str>,
    context: &Context,
    levels: &mut Levels,
) -> Result<Message, Fault> {
    match event_type(event)? {
        EventType::DepthUpdate => {
            let instrument = instrument(event, stream, context)?;
            depth(event, instrument, context.grids(instrument), levels)
                .map_err(|fault| fault.of(instrument))
        }
        EventType::Trade => {
            let instrument = instrument(event, stream, context)?;
            trade(event, instrument, context.grids(instrument))
                .map_err(|fault| fault.of(instrument))
        }
        EventType::AggTrade => {
            let instrument = instrument(event, stream, context)?;
            agg_trade(event, instrument, context.grids(instrument))
                .map_err(|fault| fault.of(instrument))
        }
        EventType::ServerShutdown => server_shutdown(event),
        EventType::Unknown => Ok(Message::Ignored),
        EventType::Absent if event.has(LAST_UPDATE_ID) => {
            let symbol = stream.and_then(stream_symbol).unwrap_or("");
            let instrument = context
                .symbols
                .by_stream(symbol.as_bytes())
                .ok_or(Fault::field(VenueFault::UnknownInstrument, STREAM.name()))?;
            full_levels(event, context.grids(instrument), levels)
                .map(|last_id| Message::PartialDepth {
                    instrument,
                    last_id,
                })
                .map_err(|fault| fault.of(instrument))
        }
        EventType::BookTicker => book_ticker_of(event, stream, context),
        EventType::Absent if event.has(LAST_ID) && (event.has(BIG_B) || event.has(BIG_A)) => {
            book_ticker_of(event, stream, context)
        }
        EventType::Absent => Ok(Message::Ignored),
    }
}

/// The symbol in a stream's name; `None` for streams of all symbols (`!ticker@arr`).
fn stream_symbol(stream: &str) -> Option<&str> {
    let (symbol, _) = stream.split_once('@')?;
    (!symbol.starts_with('!')).then_some(symbol)
}

fn instrument(
    event: &Object<'_>,
    stream: Option<&str>,
    context: &Context,
) -> Result<InstrumentIndex, Fault> {
    let found = with_text(event.raw(SYMBOL)?, |symbol| {
        context.symbols.by_payload(symbol.as_bytes())
    })
    .map_err(|fault| json(fault, SYMBOL))?
    .ok_or(Fault::field(VenueFault::UnknownInstrument, SYMBOL.name()))?;
    match stream.and_then(stream_symbol) {
        Some(symbol) if context.symbols.by_stream(symbol.as_bytes()) != Some(found) => {
            Err(Fault::field(VenueFault::StreamMismatch, STREAM.name()).of(found))
        }
        _ => Ok(found),
    }
}

fn depth(
    event: &Object<'_>,
    instrument: InstrumentIndex,
    grids: Grids,
    levels: &mut Levels,
) -> Result<Message, Fault> {
    let event_ms = event.millis(EVENT_MS)?;
    let (first_id, last_id) = id_range(event, FIRST_ID, LAST_ID)?;
    levels.bid_count = side(event, SMALL_B, grids, &mut levels.bids)?;
    levels.ask_count = side(event, SMALL_A, grids, &mut levels.asks)?;
    Ok(Message::Depth {
        instrument,
        first_id,
        last_id,
        event_ms,
    })
}

fn book_ticker_of(
    event: &Object<'_>,
    stream: Option<&str>,
    context: &Context,
) -> Result<Message, Fault> {
    let instrument = instrument(event, stream, context)?;
    book_ticker(event, instrument, context.grids(instrument)).map_err(|fault| fault.of(instrument))
}

fn book_ticker(
    event: &Object<'_>,
    instrument: InstrumentIndex,
    grids: Grids,
) -> Result<Message, Fault> {
    Ok(Message::BookTicker(BookTicker {
        instrument,
        update_id: event.unsigned(LAST_ID)?,
        bid: Level {
            price: Ticks(event.decimal(SMALL_B, grids.tick)?),
            qty: Lots(event.decimal(BIG_B, grids.lot)?),
        },
        ask: Level {
            price: Ticks(event.decimal(SMALL_A, grids.tick)?),
            qty: Lots(event.decimal(BIG_A, grids.lot)?),
        },
    }))
}

fn trade(event: &Object<'_>, instrument: InstrumentIndex, grids: Grids) -> Result<Message, Fault> {
    let (price, qty) = traded(event, grids)?;
    Ok(Message::Trade(Trade {
        instrument,
        trade_id: event.unsigned(TRADE_ID)?,
        price,
        qty,
        event_ms: event.millis(EVENT_MS)?,
        trade_ms: event.millis(TRADE_MS)?,
        buyer_is_maker: event.boolean(BUYER_IS_MAKER)?,
    }))
}

fn agg_trade(
    event: &Object<'_>,
    instrument: InstrumentIndex,
    grids: Grids,
) -> Result<Message, Fault> {
    let (price, qty) = traded(event, grids)?;
    let (first_trade_id, last_trade_id) = id_range(event, FIRST_TRADE_ID, LAST_TRADE_ID)?;
    Ok(Message::AggTrade(AggTrade {
        instrument,
        agg_id: event.unsigned(SMALL_A)?,
        first_trade_id,
        last_trade_id,
        price,
        qty,
        event_ms: event.millis(EVENT_MS)?,
        trade_ms: event.millis(TRADE_MS)?,
        buyer_is_maker: event.boolean(BUYER_IS_MAKER)?,
    }))
}

/// Price and quantity of a trade, both positive.
fn traded(event: &Object<'_>, grids: Grids) -> Result<(Ticks, Lots), Fault> {
    let price = event.decimal(PRICE, grids.tick)?;
    let qty = event.decimal(QTY, grids.lot)?;
    if price == 0 {
        return Err(Fault::field(VenueFault::EmptyTrade, PRICE.name()));
    }
    if qty == 0 {
        return Err(Fault::field(VenueFault::EmptyTrade, QTY.name()));
    }
    Ok((Ticks(price), Lots(qty)))
}

fn id_range(event: &Object<'_>, first: Key, last: Key) -> Result<(u64, u64), Fault> {
    let first_id = event.unsigned(first)?;
    let last_id = event.unsigned(last)?;
    if first_id > last_id {
        return Err(Fault::ids(VenueFault::IdsReversed, first_id, last_id));
    }
    Ok((first_id, last_id))
}

fn server_shutdown(event: &Object<'_>) -> Result<Message, Fault> {
    Ok(Message::ServerShutdown {
        event_ms: event.millis(EVENT_MS)?,
    })
}

/// `lastUpdateId`, `bids` and `asks` of a snapshot or a partial depth.
fn full_levels(book: &Object<'_>, grids: Grids, levels: &mut Levels) -> Result<u64, Fault> {
    let last_id = book.unsigned(LAST_UPDATE_ID)?;
    levels.bid_count = side(book, BIDS, grids, &mut levels.bids)?;
    levels.ask_count = side(book, ASKS, grids, &mut levels.asks)?;
    Ok(last_id)
}

/// One side of a book, into the front of `side`; returns how many levels it had.
fn side(book: &Object<'_>, key: Key, grids: Grids, side: &mut [Level]) -> Result<usize, Fault> {
    levels::read(book.raw(key)?, grids, side).map_err(|kind| Fault::field(kind, key.name()))
}

/// `{"result":..,"id":1}`, `{"error":{"code":2,..},"id":1}` or the bare `{"code":2,"msg":..}`.
fn subscribe_reply(top: &Object<'_>) -> Result<Message, Fault> {
    let error = if top.has(ERROR) {
        let Some(error) = object(top.raw(ERROR)?.get())? else {
            return Err(Fault::field(VenueFault::WrongType, ERROR.name()));
        };
        Some(error.code(CODE)?)
    } else if top.has(CODE) {
        Some(top.code(CODE)?)
    } else {
        None
    };
    Ok(Message::SubscribeReply {
        id: top.request_id(REQUEST_ID),
        error,
    })
}

fn api_reply(
    top: &Object<'_>,
    context: &mut Context,
    levels: &mut Levels,
) -> Result<Message, Fault> {
    let id = top.request_id(REQUEST_ID);
    let expected = id.and_then(|id| context.take_pending(id));
    let grids = expected.map(|instrument| (instrument, context.grids(instrument)));
    envelope(top, id, grids, levels).map_err(|fault| Fault {
        instrument: expected,
        ..fault
    })
}

fn envelope(
    top: &Object<'_>,
    id: Option<i64>,
    expected: Option<(InstrumentIndex, Grids)>,
    levels: &mut Levels,
) -> Result<Message, Fault> {
    let status = top.status(STATUS)?;
    let weight = match top.optional(RATE_LIMITS) {
        Some(limits) => request_weight(limits)?,
        None => None,
    };
    let outcome = if top.has(ERROR) {
        refusal(top)?
    } else {
        result(top, expected, levels)?
    };
    Ok(Message::ApiReply {
        id,
        status,
        weight,
        outcome,
    })
}

fn refusal(top: &Object<'_>) -> Result<Outcome, Fault> {
    let Some(error) = object(top.raw(ERROR)?.get())? else {
        return Err(Fault::field(VenueFault::WrongType, ERROR.name()));
    };
    let retry_after = match error.optional(DATA) {
        Some(data) => match object(data.get())? {
            Some(data) if data.has(RETRY_AFTER) => Some(data.millis(RETRY_AFTER)?),
            _ => None,
        },
        None => None,
    };
    Ok(Outcome::Error {
        code: error.code(CODE)?,
        retry_after,
    })
}

fn result(
    top: &Object<'_>,
    expected: Option<(InstrumentIndex, Grids)>,
    levels: &mut Levels,
) -> Result<Outcome, Fault> {
    let result = object(top.raw(RESULT)?.get())?;
    match (expected, result) {
        (Some((instrument, grids)), Some(result)) => Ok(Outcome::Snapshot {
            instrument,
            last_id: full_levels(&result, grids, levels)?,
        }),
        (Some(_), None) => Err(Fault::field(VenueFault::WrongType, RESULT.name())),
        (None, Some(result)) if result.has(SERVER_TIME) && !result.has(RATE_LIMITS) => {
            Ok(Outcome::ServerTime(result.millis(SERVER_TIME)?))
        }
        (None, _) => Ok(Outcome::Other),
    }
}

/// The request weight in a list of rate limits.
pub(super) fn request_weight(limits: Raw<'_>) -> Result<Option<RequestWeight>, Fault> {
    let mut weight = None;
    each_element(limits, |limit| {
        let Some(limit) = object(limit.get())? else {
            return Err(Fault::field(VenueFault::WrongType, RATE_LIMITS.name()));
        };
        let is_weight = with_text(limit.raw(LIMIT_TYPE)?, |name| name == "REQUEST_WEIGHT")
            .map_err(|fault| json(fault, LIMIT_TYPE))?;
        if is_weight {
            weight = Some(RequestWeight {
                used: limit.unsigned_32(COUNT)?,
                limit: limit.unsigned_32(LIMIT)?,
            });
        }
        Ok(())
    })?;
    Ok(weight)
}
