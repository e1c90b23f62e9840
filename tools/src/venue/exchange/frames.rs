//! Public events as the exchange needs them, whoever published them.
//!
//! Owns: reading trades, tickers and diffs out of recorded frames. Does not: keep anything. Single
//! trades are read, aggregates are not: they repeat the trades, and a flow without trades fills no
//! resting order by prints.

use serde::Deserialize;
use veloz_core::units::E8;

use crate::venue::render::unwrap_combined;
use crate::venue::source::{Level, MarketEvent};

/// What the public flow told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Trade {
        price: E8,
        qty: E8,
        buyer_is_maker: bool,
    },
    Touch(Touch),
    Diff {
        last_id: u64,
        bids: Vec<Level>,
        asks: Vec<Level>,
    },
}

/// The best of both sides; a price of zero is a side without orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) update_id: u64,
    pub(super) bid: Level,
    pub(super) ask: Level,
}

/// What an event tells; `None` when it is nothing that matters here, or no frame of the venue.
pub(super) fn seen(event: &MarketEvent) -> Option<Seen> {
    match event {
        MarketEvent::Depth {
            speed: _,
            first_id: _,
            last_id,
            bids,
            asks,
        } => Some(Seen::Diff {
            last_id: *last_id,
            bids: bids.clone(),
            asks: asks.clone(),
        }),
        MarketEvent::BookTicker {
            update_id,
            bid,
            ask,
        } => Some(Seen::Touch(Touch {
            update_id: *update_id,
            bid: *bid,
            ask: *ask,
        })),
        MarketEvent::Trade(trade) => traded(trade.price, trade.qty, trade.buyer_is_maker),
        MarketEvent::PartialDepth { .. } | MarketEvent::AggTrade { .. } => None,
        MarketEvent::Recorded { stream, frame } => recorded(stream, frame),
    }
}

/// A trade; one without a price or a quantity is a notice of something else.
fn traded(price: E8, qty: E8, buyer_is_maker: bool) -> Option<Seen> {
    (price.0 > 0 && qty.0 > 0).then_some(Seen::Trade {
        price,
        qty,
        buyer_is_maker,
    })
}

fn recorded(stream: &str, frame: &[u8]) -> Option<Seen> {
    let (_, kind) = stream.split_once('@')?;
    let (_, payload) = unwrap_combined(frame)?;
    match kind {
        "trade" => {
            let trade: Trade<'_> = serde_json::from_slice(payload).ok()?;
            let (price, qty) = (decimal(trade.price)?, decimal(trade.qty)?);
            traded(price, qty, trade.buyer_is_maker)
        }
        "bookTicker" => {
            let ticker: Ticker<'_> = serde_json::from_slice(payload).ok()?;
            Some(Seen::Touch(Touch {
                update_id: ticker.update_id,
                bid: level([ticker.bid, ticker.bid_qty])?,
                ask: level([ticker.ask, ticker.ask_qty])?,
            }))
        }
        "depth" | "depth@100ms" => {
            let diff: Diff<'_> = serde_json::from_slice(payload).ok()?;
            let levels = |raw: Vec<[&str; 2]>| raw.into_iter().map(level).collect::<Option<_>>();
            Some(Seen::Diff {
                last_id: diff.last_id,
                bids: levels(diff.bids)?,
                asks: levels(diff.asks)?,
            })
        }
        _ => None,
    }
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "q")]
    qty: &'a str,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(rename = "u")]
    update_id: u64,
    #[serde(rename = "b")]
    bid: &'a str,
    #[serde(rename = "B")]
    bid_qty: &'a str,
    #[serde(rename = "a")]
    ask: &'a str,
    #[serde(rename = "A")]
    ask_qty: &'a str,
}

#[derive(Deserialize)]
struct Diff<'a> {
    #[serde(rename = "u")]
    last_id: u64,
    #[serde(borrow, rename = "b")]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow, rename = "a")]
    asks: Vec<[&'a str; 2]>,
}

fn level([price, qty]: [&str; 2]) -> Option<Level> {
    Some(Level {
        price: decimal(price)?,
        qty: decimal(qty)?,
    })
}

fn decimal(text: &str) -> Option<E8> {
    E8::parse(text.as_bytes()).ok()
}
