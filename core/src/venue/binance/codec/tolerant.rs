//! What a message means, in any key order: the reference that the scanner must agree with.
//!
//! Owns: the dispatch on keys and every fault of decoding. Does not: hurry. Rules:
//! * dispatch is on the object's keys; a combined frame (`stream`, `data`) is unwrapped first, and
//!   where the stream's name carries a symbol it must be the payload's;
//! * an event type or object that is not ours is [`Message::Ignored`], whatever else it holds;
//! * unknown keys are skipped, keys are compared by case, a known key twice is a fault.

use super::{AggTrade, BookTicker, Context, Grids, Levels, Message, Outcome, RequestWeight, Trade};
use crate::instrument::InstrumentIndex;
use crate::units::{Grid, Level, Lots, Ticks, VenueMillis};
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::wire::json::tolerant::{
    JsonFault, Members, boolean, each_element, signed, unsigned, with_text,
};
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Every key that we read, in any object.
const KEYS: [&str; 33] = [
    "stream",
    "data",
    "e",
    "E",
    "s",
    "U",
    "u",
    "b",
    "B",
    "a",
    "A",
    "t",
    "p",
    "q",
    "T",
    "m",
    "f",
    "l",
    "lastUpdateId",
    "bids",
    "asks",
    "result",
    "error",
    "code",
    "id",
    "status",
    "rateLimits",
    "event",
    "serverTime",
    "retryAfter",
    "rateLimitType",
    "limit",
    "count",
];

type Object<'a> = Members<'a, { KEYS.len() }>;

/// The place of a key in [`KEYS`], found when the program is built.
const fn place(key: &str) -> usize {
    let key = key.as_bytes();
    let mut place = 0;
    while place < KEYS.len() {
        let candidate = KEYS[place].as_bytes();
        let mut same = candidate.len() == key.len();
        let mut at = 0;
        while same && at < key.len() {
            same = candidate[at] == key[at];
            at += 1;
        }
        if same {
            return place;
        }
        place += 1;
    }
    panic!("no such key")
}

/// A key with its place, so that a fault can name it.
#[derive(Clone, Copy)]
struct Key(usize);

macro_rules! keys {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(const $name: Key = Key(place($text));)*
    };
}

keys! {
    STREAM = "stream", DATA = "data", EVENT_TYPE = "e", EVENT_MS = "E", SYMBOL = "s",
    FIRST_ID = "U", LAST_ID = "u", SMALL_B = "b", BIG_B = "B", SMALL_A = "a", BIG_A = "A",
    TRADE_ID = "t", PRICE = "p", QTY = "q", TRADE_MS = "T", BUYER_IS_MAKER = "m",
    FIRST_TRADE_ID = "f", LAST_TRADE_ID = "l", LAST_UPDATE_ID = "lastUpdateId", BIDS = "bids",
    ASKS = "asks", RESULT = "result", ERROR = "error", CODE = "code", REQUEST_ID = "id",
    STATUS = "status", RATE_LIMITS = "rateLimits", EVENT = "event", SERVER_TIME = "serverTime",
    RETRY_AFTER = "retryAfter", LIMIT_TYPE = "rateLimitType", LIMIT = "limit", COUNT = "count",
}

impl Key {
    const fn name(self) -> &'static str {
        KEYS[self.0]
    }
}

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
    levels.bid_count = read_levels(event, SMALL_B, grids, &mut levels.bids)?;
    levels.ask_count = read_levels(event, SMALL_A, grids, &mut levels.asks)?;
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
    levels.bid_count = read_levels(book, BIDS, grids, &mut levels.bids)?;
    levels.ask_count = read_levels(book, ASKS, grids, &mut levels.asks)?;
    Ok(last_id)
}

/// `{"result":..,"id":1}`, `{"error":{"code":2,..},"id":1}` or the bare `{"code":2,"msg":..}`.
fn subscribe_reply(top: &Object<'_>) -> Result<Message, Fault> {
    let error = if top.has(ERROR) {
        let Some(error) = object(top.raw(ERROR)?.get())? else {
            return Err(Fault::field(VenueFault::WrongType, ERROR.name()));
        };
        Some(error.code()?)
    } else if top.has(CODE) {
        Some(top.code()?)
    } else {
        None
    };
    Ok(Message::SubscribeReply {
        id: top.request_id(),
        error,
    })
}

fn api_reply(
    top: &Object<'_>,
    context: &mut Context,
    levels: &mut Levels,
) -> Result<Message, Fault> {
    let id = top.request_id();
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
    let status = u16::try_from(top.unsigned(STATUS)?)
        .map_err(|_| Fault::field(VenueFault::NumberRange, STATUS.name()))?;
    let weight = match top.get(RATE_LIMITS.0) {
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
    let retry_after = match error.get(DATA.0) {
        Some(data) => match object(data.get())? {
            Some(data) if data.has(RETRY_AFTER) => Some(data.millis(RETRY_AFTER)?),
            _ => None,
        },
        None => None,
    };
    Ok(Outcome::Error {
        code: error.code()?,
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
pub(super) fn request_weight(limits: &RawValue) -> Result<Option<RequestWeight>, Fault> {
    let mut weight = None;
    let narrow = |limit: &Object<'_>, key: Key| {
        u32::try_from(limit.unsigned(key)?)
            .map_err(|_| Fault::field(VenueFault::NumberRange, key.name()))
    };
    each_element(limits, |limit| {
        let Some(limit) = object(limit.get())? else {
            return Err(Fault::field(VenueFault::WrongType, RATE_LIMITS.name()));
        };
        let is_weight = with_text(limit.raw(LIMIT_TYPE)?, |name| name == "REQUEST_WEIGHT")
            .map_err(|fault| json(fault, LIMIT_TYPE))?;
        if is_weight {
            weight = Some(RequestWeight {
                used: narrow(&limit, COUNT)?,
                limit: narrow(&limit, LIMIT)?,
            });
        }
        Ok(())
    })?;
    Ok(weight)
}

/// The keys of an object; `None` when the text is valid JSON of another type.
fn object(text: &str) -> Result<Option<Object<'_>>, Fault> {
    match Members::read(text, &KEYS) {
        Ok(members) => Ok(Some(members)),
        Err(JsonFault::WrongType) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

fn json(fault: JsonFault, key: Key) -> Fault {
    match fault {
        JsonFault::Syntax => Fault::field(VenueFault::Malformed, key.name()),
        JsonFault::WrongType => Fault::field(VenueFault::WrongType, key.name()),
        JsonFault::DuplicateKey(name) => Fault::field(VenueFault::DuplicateKey, name),
        JsonFault::Range => Fault::field(VenueFault::NumberRange, key.name()),
    }
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Syntax => Self::new(VenueFault::Malformed),
            JsonFault::WrongType => Self::new(VenueFault::WrongType),
            JsonFault::DuplicateKey(name) => Self::field(VenueFault::DuplicateKey, name),
            JsonFault::Range => Self::new(VenueFault::NumberRange),
        }
    }
}

impl<'a> Object<'a> {
    fn has(&self, key: Key) -> bool {
        self.get(key.0).is_some()
    }

    fn raw(&self, key: Key) -> Result<&'a RawValue, Fault> {
        self.get(key.0)
            .ok_or(Fault::field(VenueFault::MissingField, key.name()))
    }

    fn unsigned(&self, key: Key) -> Result<u64, Fault> {
        unsigned(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    fn millis(&self, key: Key) -> Result<VenueMillis, Fault> {
        self.unsigned(key).map(VenueMillis)
    }

    fn boolean(&self, key: Key) -> Result<bool, Fault> {
        boolean(self.raw(key)?).map_err(|fault| json(fault, key))
    }

    fn decimal(&self, key: Key, grid: Grid) -> Result<i64, Fault> {
        with_text(self.raw(key)?, |text| grid.parse(text.as_bytes()))
            .map_err(|fault| json(fault, key))?
            .map_err(|error| Fault::field(error.into(), key.name()))
    }

    fn code(&self) -> Result<i32, Fault> {
        let code = signed(self.raw(CODE)?).map_err(|fault| json(fault, CODE))?;
        i32::try_from(code).map_err(|_| Fault::field(VenueFault::NumberRange, CODE.name()))
    }

    /// The request's id where it is an integer, as all of ours are.
    fn request_id(&self) -> Option<i64> {
        signed(self.get(REQUEST_ID.0)?).ok()
    }
}

/// Reads one side of a book into the front of `side`; returns how many levels it had.
fn read_levels(
    book: &Object<'_>,
    key: Key,
    grids: Grids,
    side: &mut [Level],
) -> Result<usize, Fault> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_str(book.raw(key)?.get());
    let read = json.deserialize_seq(SideVisitor {
        grids,
        side,
        fault: &mut fault,
    });
    match (read, fault) {
        (_, Some(kind)) => Err(Fault::field(kind, key.name())),
        (Ok(count), None) => Ok(count),
        (Err(error), None) if error.is_data() => {
            Err(Fault::field(VenueFault::WrongType, key.name()))
        }
        (Err(_), None) => Err(Fault::field(VenueFault::Malformed, key.name())),
    }
}

struct SideVisitor<'l> {
    grids: Grids,
    side: &'l mut [Level],
    fault: &'l mut Option<VenueFault>,
}

impl<'de> Visitor<'de> for SideVisitor<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of levels")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(level) = seq.next_element_seed(LevelSeed {
            grids: self.grids,
            fault: self.fault,
        })? {
            let kind = match self.side.get_mut(count) {
                Some(place) if level.price != Ticks(0) => {
                    *place = level;
                    count += 1;
                    continue;
                }
                Some(_) => VenueFault::ZeroPrice,
                None => VenueFault::TooManyLevels,
            };
            *self.fault = Some(kind);
            return Err(A::Error::custom("level"));
        }
        Ok(count)
    }
}

struct LevelSeed<'l> {
    grids: Grids,
    fault: &'l mut Option<VenueFault>,
}

impl<'de> DeserializeSeed<'de> for LevelSeed<'_> {
    type Value = Level;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Level, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LevelSeed<'_> {
    type Value = Level;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("price and quantity")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Level, A::Error> {
        let mut next = |grid: Grid| {
            let fault = &mut *self.fault;
            let number = seq.next_element_seed(DecimalSeed { grid, fault })?;
            number.ok_or_else(|| A::Error::invalid_length(1, &"price and quantity"))
        };
        let level = Level {
            price: Ticks(next(self.grids.tick)?),
            qty: Lots(next(self.grids.lot)?),
        };
        // The venue used to send an empty array as a third element.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(level)
    }
}

struct DecimalSeed<'l> {
    grid: Grid,
    fault: &'l mut Option<VenueFault>,
}

impl<'de> DeserializeSeed<'de> for DecimalSeed<'_> {
    type Value = i64;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<i64, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for DecimalSeed<'_> {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal in a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        self.grid.parse(text.as_bytes()).map_err(|error| {
            *self.fault = Some(error.into());
            E::custom("decimal")
        })
    }
}
