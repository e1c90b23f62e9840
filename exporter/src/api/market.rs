//! `/api/market`, `/api/latency`: what the market shows, and how fast we see it.
//!
//! Owns: the handlers. Invariant: a book that is not live has no price here either.

use super::answer::{Answer, ok};
use crate::http::HttpState;
use crate::http::query::Query;
use crate::latency::Quantiles;
use crate::stream::event::Decimal;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use std::sync::Arc;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::BookState;
use veloz_core::units::Nanos;

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
        ts_ns: last.map(|last| state.unix_ns(last.at)),
        best_bid: bid.map(|(price, _)| Decimal(instrument.price(price))),
        best_bid_qty: bid.map(|(_, qty)| Decimal(instrument.qty(qty))),
        best_ask: ask.map(|(price, _)| Decimal(instrument.price(price))),
        best_ask_qty: ask.map(|(_, qty)| Decimal(instrument.qty(qty))),
        book: book.map(|book| BookState::label(book.state())),
    })
}

impl HttpState {
    /// A moment of the engine's clock as Unix time in nanoseconds, as exact as the millisecond of now.
    pub(crate) fn unix_ns(&self, at: Nanos) -> i64 {
        let (now, unix) = ((self.now)(), (self.unix)());
        let since = i128::from(now.0) - i128::from(at.0);
        i64::try_from(i128::from(unix.0) * 1_000_000 - since).unwrap_or(i64::MAX)
    }
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
