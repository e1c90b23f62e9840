//! `/api/account`, `/api/positions`: what the account holds.
//!
//! Owns: the handlers. Does not: compute figures; the core's portfolio did.

use super::answer::{Answer, ok};
use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::stream::event::Decimal;
use crate::trading::{PositionLine, positions};
use axum::extract::{Path, State};
use serde::Serialize;
use std::sync::Arc;
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::units::E8;

#[derive(Serialize)]
struct BalanceBody {
    asset: String,
    free: Decimal,
    locked: Decimal,
}

#[derive(Serialize)]
struct AccountBody {
    ts_ns: Option<i64>,
    balances: Vec<BalanceBody>,
    equity: Option<Decimal>,
    equity_change_day: Option<Decimal>,
    realized_pnl: Decimal,
    unrealized_pnl: Decimal,
    drawdown_bps: i64,
}

/// `GET /api/account`.
pub(crate) async fn account(State(state): State<Arc<HttpState>>) -> Answer {
    let balances = state.trading.balances();
    let equity = state.measured(Gauge::Equity).map(|e8| Decimal(E8(e8)));
    let amount = |gauge| Decimal(E8(state.gauges.plain(gauge)));
    ok(&AccountBody {
        ts_ns: balances.iter().map(|balance| balance.ts_ns).max(),
        balances: balances
            .iter()
            .map(|balance| BalanceBody {
                asset: balance.asset.as_str().to_owned(),
                free: Decimal(balance.free),
                locked: Decimal(balance.locked),
            })
            .collect(),
        equity_change_day: equity.map(|_| amount(Gauge::DayChange)),
        equity,
        realized_pnl: amount(Gauge::RealizedTotal),
        unrealized_pnl: amount(Gauge::UnrealizedTotal),
        drawdown_bps: state.gauges.plain(Gauge::DrawdownBps),
    })
}

#[derive(Serialize)]
struct PositionBody {
    symbol: String,
    venue: &'static str,
    side: &'static str,
    qty: Decimal,
    avg_entry_price: Option<Decimal>,
    current_price: Option<Decimal>,
    unrealized_pnl: Option<Decimal>,
    realized_pnl: Decimal,
    notional: Option<Decimal>,
    last_update_ts_ns: Option<i64>,
}

impl PositionBody {
    fn new(state: &HttpState, line: &PositionLine) -> Self {
        let touch = state
            .gauges
            .book(line.instrument)
            .and_then(|book| book.touch());
        let instrument = state.instruments.get(line.instrument);
        // The mark is the middle of the touch, or its only side; half a tick is cut off at the eighth place.
        let current = touch.and_then(|touch| {
            let sides = [touch.bid, touch.ask];
            let prices = sides.into_iter().flatten();
            let prices: Vec<i64> = prices.map(|(price, _)| instrument.price(price).0).collect();
            let sum: i64 = prices.iter().sum();
            (!prices.is_empty()).then(|| E8(sum / prices.len() as i64))
        });
        Self {
            symbol: line.symbol.as_str().to_owned(),
            venue: state.exchange,
            side: match line.qty.0 {
                0 => "FLAT",
                1.. => "LONG",
                _ => "SHORT",
            },
            qty: Decimal(E8(line.qty.0.saturating_abs())),
            avg_entry_price: line.entry.map(Decimal),
            current_price: current.map(Decimal),
            unrealized_pnl: line.marked.map(|marked| Decimal(marked.unrealized)),
            realized_pnl: Decimal(line.realized),
            notional: line.marked.map(|marked| Decimal(marked.notional)),
            last_update_ts_ns: line.last_ts_ns,
        }
    }
}

#[derive(Serialize)]
struct Positions {
    positions: Vec<PositionBody>,
}

/// `GET /api/positions`: those that are not flat.
pub(crate) async fn list(State(state): State<Arc<HttpState>>) -> Answer {
    let lines = positions(&state.instruments, &state.gauges, &state.trading);
    let positions = lines
        .iter()
        .filter(|line| line.qty.0 != 0)
        .map(|line| PositionBody::new(&state, line))
        .collect();
    ok(&Positions { positions })
}

/// `GET /api/positions/{symbol}`: one, flat or not.
pub(crate) async fn one(State(state): State<Arc<HttpState>>, Path(symbol): Path<String>) -> Answer {
    let lines = positions(&state.instruments, &state.gauges, &state.trading);
    let line = lines
        .iter()
        .find(|line| line.symbol.as_str().eq_ignore_ascii_case(&symbol))
        .ok_or_else(|| {
            Problem::new(Code::NotFound, "no instrument of this symbol is configured")
        })?;
    ok(&PositionBody::new(&state, line))
}
