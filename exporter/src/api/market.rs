//! `/api/market`, `/api/book`, `/api/latency`: what the market shows, and how fast we see it.
//!
//! Owns: the handlers. Invariant: a book that is not live has no price here either.

use super::answer::{Answer, ok};
use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::latency::Quantiles;
use crate::stream::event::Decimal;
use crate::trading::Asked;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use std::sync::Arc;
use veloz_core::event::Command;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::limits::{SHOW_BOOK_EVERY, SHOWN_LEVELS_MAX};
use veloz_core::telemetry::gauges::DepthGauges;
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::BookState;
use veloz_core::units::{Level, Nanos};

#[derive(Serialize)]
struct MarketBody {
    symbol: String,
    price: Option<Decimal>,
    ts_ns: Option<i64>,
    best_bid: Option<Decimal>,
    best_bid_qty: Option<Decimal>,
    best_ask: Option<Decimal>,
    best_ask_qty: Option<Decimal>,
    book: Option<&'static str>,
}

/// `GET /api/market`: the last price of the first symbol, or of the one asked for.
pub(crate) async fn market(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let index = match query.get("symbol") {
        Some(symbol) => state.instrument("symbol", symbol)?.0,
        None => InstrumentIndex(0),
    };
    let instrument = state.instruments.get(index);
    let last = state.shared.read().last_trades[index.as_usize()];
    let book = state.gauges.book(index);
    let touch = book.and_then(|book| book.touch());
    let bid = touch.and_then(|touch| touch.bid);
    let ask = touch.and_then(|touch| touch.ask);
    ok(&MarketBody {
        symbol: instrument.symbol.as_str().to_owned(),
        price: last.map(|last| Decimal(instrument.price(last.price))),
        ts_ns: last.map(|last| state.trading.unix_ns(last.at)),
        best_bid: bid.map(|(price, _)| Decimal(instrument.price(price))),
        best_bid_qty: bid.map(|(_, qty)| Decimal(instrument.qty(qty))),
        best_ask: ask.map(|(price, _)| Decimal(instrument.price(price))),
        best_ask_qty: ask.map(|(_, qty)| Decimal(instrument.qty(qty))),
        book: book.map(|book| BookState::label(book.state())),
    })
}

/// Levels a side of a book when nothing is said; what existing clients expect.
const DEPTH_DEFAULT: usize = 20;

#[derive(Serialize)]
struct BookBody {
    symbol: String,
    last_update_id: u64,
    ts_ns: i64,
    bids: Vec<[Decimal; 2]>,
    asks: Vec<[Decimal; 2]>,
}

/// `GET /api/book`: the best levels. The core shows them when it is asked, at most every [`SHOW_BOOK_EVERY`].
pub(crate) async fn book(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let depth = query.whole("depth", 1..=SHOWN_LEVELS_MAX, DEPTH_DEFAULT)?;
    let (index, instrument) = match query.get("symbol") {
        Some(symbol) => state.instrument("symbol", symbol)?,
        None => (
            InstrumentIndex(0),
            state.instruments.get(InstrumentIndex(0)),
        ),
    };
    let shown = shown(&state, index).await?;
    if !shown.is_live {
        return Err(Problem::new(
            Code::Conflict,
            "the book is not live: it is being built from the venue's",
        ));
    }
    let side = |levels: &[Level]| {
        levels
            .iter()
            .take(depth)
            .map(|level| {
                [
                    Decimal(instrument.price(level.price)),
                    Decimal(instrument.qty(level.qty)),
                ]
            })
            .collect()
    };
    ok(&BookBody {
        symbol: instrument.symbol.as_str().to_owned(),
        last_update_id: shown.last_update_id,
        ts_ns: state.trading.unix_ns(shown.at),
        bids: side(&shown.bids),
        asks: side(&shown.asks),
    })
}

/// A book as the core showed it a moment ago, or shows it now.
async fn shown(state: &HttpState, index: InstrumentIndex) -> Result<DepthGauges, Problem> {
    // One asks, the others find what it got: who reads books must not fill the queue of commands.
    let _turn = state.api.book_turn.lock().await;
    let fresh = |shown: &DepthGauges| {
        shown.at > Nanos::ZERO && (state.now)().since(shown.at) < SHOW_BOOK_EVERY
    };
    if let Some(shown) = state.gauges.depth(index).filter(fresh) {
        return Ok(shown);
    }
    let asked = Asked {
        command: "show_book",
        ..Asked::default()
    };
    let token = state.send(asked, |token| Command::ShowBook {
        token,
        instrument: index,
    })?;
    state.answer_to(token).await?;
    state.gauges.depth(index).ok_or_else(|| {
        Problem::new(
            Code::TimedOut,
            "the engine stands still while it shows the book",
        )
    })
}

#[derive(Serialize)]
struct QuantilesBody {
    count: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

impl QuantilesBody {
    /// `None` without observations: nothing was measured, which is not zero.
    fn new(quantiles: &Quantiles) -> Option<Self> {
        (quantiles.count > 0).then_some(Self {
            count: quantiles.count,
            p50_ns: quantiles.p50_ns,
            p90_ns: quantiles.p90_ns,
            p99_ns: quantiles.p99_ns,
            p999_ns: quantiles.p999_ns,
            max_ns: quantiles.max_ns,
        })
    }
}

#[derive(Serialize)]
struct StageBody {
    stage: &'static str,
    last_second: Option<QuantilesBody>,
    since_start: Option<QuantilesBody>,
}

#[derive(Serialize)]
struct Stages {
    stages: Vec<StageBody>,
}

/// `GET /api/latency`: quantiles of every stage.
pub(crate) async fn latency(State(state): State<Arc<HttpState>>) -> Answer {
    let published = state.shared.read();
    let stages = Stage::ALL
        .into_iter()
        .map(|stage| StageBody {
            stage: stage.label(),
            last_second: QuantilesBody::new(&published.last_second[stage.index()]),
            since_start: QuantilesBody::new(&published.since_start[stage.index()]),
        })
        .collect();
    ok(&Stages { stages })
}
