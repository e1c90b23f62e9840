//! The live venue's public messages, read and written.
//!
//! Owns: what a stream message or an answer says, exactly: decimal text becomes integers, a missing field is a fault.
//! Does not: decide what to do about it. Source: Binance Spot `web-socket-streams.md` and `web-socket-api.md`.

use crate::venue::FeedUpdate;
use crate::venue::source::{Level, Snapshot, Trade};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use veloz_core::units::{E8, Nanos};

/// Levels a side that a book is asked for.
const DEPTH_LIMIT: u32 = 1_000;
/// Streams in one subscription message: the most symbols fit into five messages, which is what the venue takes in a
/// second.
const STREAMS_PER_MESSAGE: usize = 200;
/// How long nothing is asked after a refusal for too many requests that names no time: the venue's shortest ban.
const QUIET: Nanos = Nanos::from_secs(120);

/// What a stream message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Something about the symbol at this position.
    Update(usize, FeedUpdate),
    /// An answer, or an event of a kind that does not matter here.
    Nothing,
}

/// Why a message is not understood, or not what was hoped for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageFault {
    /// Not JSON, a field is missing, or a number cannot be used.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The venue says no.
    #[error("refused: {words}")]
    Refused {
        /// Its words.
        words: String,
        /// How long to ask nothing, when it was too much.
        quiet: Option<Nanos>,
    },
}

impl From<serde_json::Error> for MessageFault {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// The messages that subscribe everything about `symbols`.
pub(super) fn subscriptions(symbols: &[String]) -> Vec<String> {
    let streams: Vec<String> = symbols
        .iter()
        .flat_map(|symbol| {
            let symbol = symbol.to_lowercase();
            ["depth@100ms", "bookTicker", "trade"].map(|kind| format!("{symbol}@{kind}"))
        })
        .collect();
    let messages = streams.chunks(STREAMS_PER_MESSAGE).enumerate();
    messages
        .map(|(id, params)| {
            serde_json::json!({"method": "SUBSCRIBE", "params": params, "id": id + 1}).to_string()
        })
        .collect()
}

/// A message that costs nothing and is answered: whether anybody is there.
pub(super) const PROBE: &str = r#"{"method":"LIST_SUBSCRIPTIONS","id":0}"#;

/// The question for a book.
pub(super) fn question(symbol: &str) -> String {
    serde_json::json!({
        "id": "paper",
        "method": "depth",
        "params": { "symbol": symbol, "limit": DEPTH_LIMIT },
    })
    .to_string()
}

/// Reads a message of the stream.
pub(super) fn read(text: &str, symbols: &[String]) -> Result<Said, MessageFault> {
    let message: Message<'_> = serde_json::from_str(text)?;
    if let Some(error) = message.error {
        return Err(MessageFault::Refused {
            words: error.get().to_owned(),
            quiet: None,
        });
    }
    let (Some(stream), Some(data)) = (message.stream, message.data) else {
        return Ok(Said::Nothing);
    };
    let Some((name, kind)) = stream.split_once('@') else {
        return Ok(Said::Nothing);
    };
    let Some(which) = symbols
        .iter()
        .position(|symbol| symbol.eq_ignore_ascii_case(name))
    else {
        return Ok(Said::Nothing);
    };
    let update = match kind {
        "depth@100ms" => {
            let diff: Diff = serde_json::from_str(data.get())?;
            FeedUpdate::Depth {
                first_id: diff.first_id,
                last_id: diff.last_id,
                bids: levels(diff.bids),
                asks: levels(diff.asks),
            }
        }
        "bookTicker" => {
            let ticker: Ticker = serde_json::from_str(data.get())?;
            FeedUpdate::BookTicker {
                update_id: ticker.update_id,
                bid: Level {
                    price: ticker.bid.0,
                    qty: ticker.bid_qty.0,
                },
                ask: Level {
                    price: ticker.ask.0,
                    qty: ticker.ask_qty.0,
                },
            }
        }
        "trade" => {
            let trade: PublicTrade = serde_json::from_str(data.get())?;
            FeedUpdate::Trade(Trade {
                id: trade.id,
                price: trade.price.0,
                qty: trade.qty.0,
                buyer_is_maker: trade.buyer_is_maker,
            })
        }
        _ => return Ok(Said::Nothing),
    };
    Ok(Said::Update(which, update))
}

/// Reads the answer to a question.
pub(super) fn read_book(text: &str) -> Result<Snapshot, MessageFault> {
    let answer: Answer<'_> = serde_json::from_str(text)?;
    if let Some(error) = answer.error {
        let refusal: Refusal<'_> = serde_json::from_str(error.get())?;
        let quiet = match answer.status {
            418 | 429 => Some(refusal.data.map_or(QUIET, |until| {
                Nanos::from_ms(until.retry_after.saturating_sub(until.server_time))
            })),
            _ => None,
        };
        return Err(MessageFault::Refused {
            words: format!("{}: {}", answer.status, refusal.msg),
            quiet,
        });
    }
    let result = answer
        .result
        .ok_or_else(|| MessageFault::Unreadable("missing field `result`".to_owned()))?;
    let book: Book = serde_json::from_str(result.get())?;
    Ok(Snapshot {
        last_update_id: book.last_update_id,
        bids: levels(book.bids),
        asks: levels(book.asks),
    })
}

fn levels(rows: Vec<(Decimal, Decimal)>) -> Vec<Level> {
    let level = |(price, qty): (Decimal, Decimal)| Level {
        price: price.0,
        qty: qty.0,
    };
    rows.into_iter().map(level).collect()
}

/// A number as the venue prints it: text, exact.
struct Decimal(E8);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        E8::parse(text.as_bytes())
            .map(Self)
            .map_err(|error| D::Error::custom(format!("{text:?}: {error}")))
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Diff {
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(rename = "b")]
    bids: Vec<(Decimal, Decimal)>,
    #[serde(rename = "a")]
    asks: Vec<(Decimal, Decimal)>,
}

#[derive(Deserialize)]
struct Ticker {
    #[serde(rename = "u")]
    update_id: u64,
    #[serde(rename = "b")]
    bid: Decimal,
    #[serde(rename = "B")]
    bid_qty: Decimal,
    #[serde(rename = "a")]
    ask: Decimal,
    #[serde(rename = "A")]
    ask_qty: Decimal,
}

#[derive(Deserialize)]
struct PublicTrade {
    #[serde(rename = "t")]
    id: u64,
    #[serde(rename = "p")]
    price: Decimal,
    #[serde(rename = "q")]
    qty: Decimal,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    status: u16,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    msg: Cow<'a, str>,
    data: Option<RefusedUntil>,
}

/// Both in milliseconds since the Unix epoch on the venue's clock.
#[derive(Deserialize)]
struct RefusedUntil {
    #[serde(rename = "serverTime")]
    server_time: u64,
    #[serde(rename = "retryAfter")]
    retry_after: u64,
}

#[derive(Deserialize)]
struct Book {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    bids: Vec<(Decimal, Decimal)>,
    asks: Vec<(Decimal, Decimal)>,
}

#[cfg(test)]
mod tests;
