//! The messages as Binance sends them today: exact key order, no white space, compared in words.
//!
//! Owns: the fixed texts around the values. Does not: judge. Whatever is not as expected, also
//! a value at fault, is `None`, and [`super::tolerant`] then says what the message is.
//! Invariant: what is read here, the tolerant parser reads as the same message.

#![expect(
    clippy::inline_always,
    reason = "one message is one straight run of code; a call for every token costs a third of it"
)]

use super::symbols::Key;
use super::tolerant::request_weight;
use super::{AggTrade, BookTicker, Context, Grids, Habits, Levels, Message, Outcome, Trade};
use crate::event::Payload;
use crate::instrument::InstrumentIndex;
use crate::units::{Level, Lots, Ticks, VenueMillis};
use crate::wire::json::cursor::{Cursor, Digits};
use crate::wire::json::pairs::{Lengths, PairReader};
use crate::wire::json::raw::Raw;

/// Decodes one message if it is exactly of the usual form; levels go to `levels`.
#[inline(always)]
pub(super) fn decode(
    payload: &Payload<'_>,
    context: &mut Context,
    pairs: PairReader,
    levels: &mut Levels,
) -> Option<Message> {
    let mut cursor = Cursor::new(payload);
    if cursor.take(b"{\"stream\":\"") {
        let reader = Reader {
            cursor,
            context,
            pairs,
            levels,
        };
        return reader.combined();
    }
    if cursor.take(b"{\"id\":") {
        return api_snapshot(cursor, context, pairs, levels);
    }
    let reader = Reader {
        cursor,
        context,
        pairs,
        levels,
    };
    reader.raw()
}

struct Reader<'r, 'm> {
    cursor: Cursor<'m>,
    context: &'r mut Context,
    pairs: PairReader,
    levels: &'r mut Levels,
}

impl<'m> Reader<'_, 'm> {
    /// After `{"stream":"`.
    #[inline(always)]
    fn combined(mut self) -> Option<Message> {
        let key = symbol(&mut self.cursor, b'@')?;
        let instrument = self.context.symbols.by_lower(&key)?;
        let expected = Some(instrument);
        let message = match self.cursor.peek(1) {
            b'd' => {
                if self
                    .cursor
                    .take(b"@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":")
                    || self
                        .cursor
                        .take(b"@depth\",\"data\":{\"e\":\"depthUpdate\",\"E\":")
                {
                    self.depth(expected)?
                } else {
                    self.partial_depth(instrument)?
                }
            }
            b'b' => {
                self.cursor.expect(b"@bookTicker\",\"data\":{\"u\":")?;
                self.book_ticker(expected)?
            }
            b't' => {
                self.cursor
                    .expect(b"@trade\",\"data\":{\"e\":\"trade\",\"E\":")?;
                self.trade(expected)?
            }
            b'a' => {
                self.cursor
                    .expect(b"@aggTrade\",\"data\":{\"e\":\"aggTrade\",\"E\":")?;
                self.agg_trade(expected)?
            }
            _ => return None,
        };
        self.cursor.expect(b"}")?;
        self.cursor.expect_end()?;
        Some(message)
    }

    /// A payload without its stream's name: what a connection to one stream alone gets.
    #[inline(never)]
    fn raw(mut self) -> Option<Message> {
        let message = if self.cursor.take(b"{\"e\":\"depthUpdate\",\"E\":") {
            self.depth(None)?
        } else if self.cursor.take(b"{\"u\":") {
            self.book_ticker(None)?
        } else if self.cursor.take(b"{\"e\":\"trade\",\"E\":") {
            self.trade(None)?
        } else if self.cursor.take(b"{\"e\":\"aggTrade\",\"E\":") {
            self.agg_trade(None)?
        } else {
            return None;
        };
        self.cursor.expect_end()?;
        Some(message)
    }

    /// The symbol up to its closing quote: that of the stream, where there is one.
    #[inline(always)]
    fn instrument(&mut self, expected: Option<InstrumentIndex>) -> Option<InstrumentIndex> {
        let symbols = &self.context.symbols;
        let Some(instrument) = expected else {
            return symbols.by_upper(&symbol(&mut self.cursor, b'"')?);
        };
        let name = &symbols.names(instrument).upper;
        self.cursor.expect_key(&name.words, name.bytes)?;
        Some(instrument)
    }

    /// A time in milliseconds: thirteen digits until the year 2286.
    #[inline(always)]
    fn millis(&mut self) -> Option<VenueMillis> {
        let value = self.cursor.unsigned_like(&mut Digits::default())?;
        Some(VenueMillis(value))
    }

    #[inline(always)]
    fn habits(&mut self, instrument: InstrumentIndex) -> (&mut Cursor<'m>, &mut Habits) {
        let habits = &mut self.context.habits[instrument.as_usize()];
        (&mut self.cursor, habits)
    }

    /// After `"E":`.
    #[inline(always)]
    fn depth(&mut self, expected: Option<InstrumentIndex>) -> Option<Message> {
        let event_ms = self.millis()?;
        self.cursor.expect(b",\"s\":\"")?;
        let instrument = self.instrument(expected)?;
        let (cursor, habits) = self.habits(instrument);
        cursor.expect(b"\",\"U\":")?;
        let first_id = cursor.unsigned_like(&mut habits.update_id)?;
        cursor.expect(b",\"u\":")?;
        let last_id = cursor.unsigned_like(&mut habits.update_id)?;
        if first_id > last_id {
            return None;
        }
        self.cursor.expect(b",\"b\":")?;
        self.sides(instrument, b",\"a\":")?;
        Some(Message::Depth {
            instrument,
            first_id,
            last_id,
            event_ms,
        })
    }

    /// After the symbol of a stream that is no diff depth.
    fn partial_depth(&mut self, instrument: InstrumentIndex) -> Option<Message> {
        self.cursor.expect(b"@depth")?;
        if !(self.cursor.take(b"20") || self.cursor.take(b"10")) {
            self.cursor.expect(b"5")?;
        }
        self.cursor.take(b"@100ms");
        self.cursor.expect(b"\",\"data\":{\"lastUpdateId\":")?;
        let last_id = self.cursor.unsigned()?;
        self.cursor.expect(b",\"bids\":")?;
        self.sides(instrument, b",\"asks\":")?;
        Some(Message::PartialDepth {
            instrument,
            last_id,
        })
    }

    /// Both arrays of levels and the object's closing brace.
    #[inline(always)]
    fn sides<const N: usize>(
        &mut self,
        instrument: InstrumentIndex,
        between: &[u8; N],
    ) -> Option<()> {
        let cursor = &mut self.cursor;
        sides(
            cursor,
            self.context,
            self.pairs,
            self.levels,
            instrument,
            between,
        )?;
        cursor.expect(b"}")
    }

    /// After `"u":`.
    #[inline(always)]
    fn book_ticker(&mut self, expected: Option<InstrumentIndex>) -> Option<Message> {
        let update_id = match expected {
            Some(instrument) => {
                let (cursor, habits) = self.habits(instrument);
                cursor.unsigned_like(&mut habits.update_id)?
            }
            None => self.cursor.unsigned()?,
        };
        self.cursor.expect(b",\"s\":\"")?;
        let instrument = self.instrument(expected)?;
        let Grids { tick, lot } = self.context.grids(instrument);
        let (cursor, habits) = self.habits(instrument);
        let Lengths { price, qty } = &mut habits.levels;
        cursor.expect(b"\",\"b\":\"")?;
        let bid_price = cursor.decimal_like(&tick, price)?;
        cursor.expect(b",\"B\":\"")?;
        let bid_qty = cursor.decimal_like(&lot, qty)?;
        cursor.expect(b",\"a\":\"")?;
        let ask_price = cursor.decimal_like(&tick, price)?;
        cursor.expect(b",\"A\":\"")?;
        let ask_qty = cursor.decimal_like(&lot, qty)?;
        cursor.expect(b"}")?;
        Some(Message::BookTicker(BookTicker {
            instrument,
            update_id,
            bid: Level {
                price: Ticks(bid_price),
                qty: Lots(bid_qty),
            },
            ask: Level {
                price: Ticks(ask_price),
                qty: Lots(ask_qty),
            },
        }))
    }

    /// After `"E":`.
    #[inline(always)]
    fn trade(&mut self, expected: Option<InstrumentIndex>) -> Option<Message> {
        let event_ms = self.millis()?;
        self.cursor.expect(b",\"s\":\"")?;
        let instrument = self.instrument(expected)?;
        let (cursor, habits) = self.habits(instrument);
        cursor.expect(b"\",\"t\":")?;
        let trade_id = cursor.unsigned_like(&mut habits.trade_id)?;
        let (price, qty) = self.traded(instrument)?;
        self.cursor.expect(b",\"T\":")?;
        let (trade_ms, buyer_is_maker) = self.trade_end()?;
        Some(Message::Trade(Trade {
            instrument,
            trade_id,
            price,
            qty,
            event_ms,
            trade_ms,
            buyer_is_maker,
        }))
    }

    /// After `"E":`.
    #[inline(always)]
    fn agg_trade(&mut self, expected: Option<InstrumentIndex>) -> Option<Message> {
        let event_ms = self.millis()?;
        self.cursor.expect(b",\"s\":\"")?;
        let instrument = self.instrument(expected)?;
        let (cursor, habits) = self.habits(instrument);
        cursor.expect(b"\",\"a\":")?;
        let agg_id = cursor.unsigned_like(&mut habits.trade_id)?;
        let (price, qty) = self.traded(instrument)?;
        self.cursor.expect(b",\"f\":")?;
        let first_trade_id = self.cursor.unsigned()?;
        self.cursor.expect(b",\"l\":")?;
        let last_trade_id = self.cursor.unsigned()?;
        if first_trade_id > last_trade_id {
            return None;
        }
        self.cursor.expect(b",\"T\":")?;
        let (trade_ms, buyer_is_maker) = self.trade_end()?;
        Some(Message::AggTrade(AggTrade {
            instrument,
            agg_id,
            first_trade_id,
            last_trade_id,
            price,
            qty,
            event_ms,
            trade_ms,
            buyer_is_maker,
        }))
    }

    /// Price and quantity, both positive.
    #[inline(always)]
    fn traded(&mut self, instrument: InstrumentIndex) -> Option<(Ticks, Lots)> {
        let Grids { tick, lot } = self.context.grids(instrument);
        let (cursor, habits) = self.habits(instrument);
        cursor.expect(b",\"p\":\"")?;
        let price = cursor.decimal_like(&tick, &mut habits.levels.price)?;
        cursor.expect(b",\"q\":\"")?;
        let qty = cursor.decimal_like(&lot, &mut habits.levels.qty)?;
        (price != 0 && qty != 0).then_some((Ticks(price), Lots(qty)))
    }

    /// Time and maker flag after `"T":`, the flag that means nothing, and the closing brace.
    #[inline(always)]
    fn trade_end(&mut self) -> Option<(VenueMillis, bool)> {
        let trade_ms = self.millis()?;
        self.cursor.expect(b",\"m\":")?;
        let buyer_is_maker = self.cursor.boolean()?;
        self.cursor.expect(b",\"M\":")?;
        self.cursor.boolean()?;
        self.cursor.expect(b"}")?;
        Some((trade_ms, buyer_is_maker))
    }
}

/// Both arrays of levels, with this text between them.
#[inline(always)]
fn sides<const N: usize>(
    cursor: &mut Cursor<'_>,
    context: &mut Context,
    pairs: PairReader,
    levels: &mut Levels,
    instrument: InstrumentIndex,
    between: &[u8; N],
) -> Option<()> {
    let Grids { tick, lot } = context.grids(instrument);
    let grids = (tick, lot);
    let lengths = &mut context.habits[instrument.as_usize()].levels;
    // A copy: a cursor whose address is given away lives in memory.
    let mut at = *cursor;
    levels.bid_count = pairs.read(&mut at, grids, lengths, &mut levels.bids)?;
    at.expect(between)?;
    levels.ask_count = pairs.read(&mut at, grids, lengths, &mut levels.asks)?;
    *cursor = at;
    Some(())
}

/// A depth snapshot that was announced, after `{"id":`. With 5,000 levels a side it is the largest
/// message there is, so it should not hold up the others.
#[cold]
fn api_snapshot(
    mut cursor: Cursor<'_>,
    context: &mut Context,
    pairs: PairReader,
    levels: &mut Levels,
) -> Option<Message> {
    let id = i64::try_from(cursor.unsigned()?).ok()?;
    cursor.expect(b",\"status\":200,\"result\":{\"lastUpdateId\":")?;
    let instrument = context.pending(id)?;
    let last_id = cursor.unsigned()?;
    cursor.expect(b",\"bids\":")?;
    sides(
        &mut cursor,
        context,
        pairs,
        levels,
        instrument,
        b",\"asks\":",
    )?;
    cursor.expect(b"}")?;
    let weight = if cursor.take(b",\"rateLimits\":") {
        let limits = cursor.rest().strip_suffix(b"}")?;
        let limits = Raw::new(std::str::from_utf8(limits).ok()?)?;
        request_weight(limits).ok()?
    } else {
        cursor.expect(b"}")?;
        cursor.expect_end()?;
        None
    };
    context.take_pending(id);
    Some(Message::ApiReply {
        id: Some(id),
        status: 200,
        weight,
        outcome: Outcome::Snapshot {
            instrument,
            last_id,
        },
    })
}

/// The bytes up to `stop`, which is not taken, as the key of a symbol.
#[inline(always)]
pub(super) fn symbol(cursor: &mut Cursor<'_>, stop: u8) -> Option<Key> {
    let (words, bytes) = cursor.key_until(stop)?;
    Some(Key { words, bytes })
}
