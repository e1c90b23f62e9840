//! How much of every limit is used.
//!
//! Owns: the handler of `/api/risk/utilization`. Does not: measure a use; the core does, and its gauges tell. Invariants: a
//! use and its limit are in the same unit; what has no bound, or a use that no number tells, is `null` and never zero.

use crate::api::answer::{Answer, ok};
use crate::http::HttpState;
use crate::stream::event::Decimal;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use veloz_core::instrument::Instrument;
use veloz_core::risk::{Limit, Scope};
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::units::{E8, E8_ONE};

#[derive(Serialize)]
struct UseBody {
    limit: &'static str,
    scope: &'static str,
    reason: &'static str,
    used: Option<Decimal>,
    max: Option<Decimal>,
    percent: Option<f64>,
}

#[derive(Serialize)]
struct InstrumentUse {
    symbol: String,
    highest_percent: f64,
    limits: Vec<UseBody>,
}

#[derive(Serialize)]
struct Utilization {
    highest_percent: f64,
    instruments: Vec<InstrumentUse>,
}

/// A use or a limit in the unit that its name says: quantities, amounts, counts, milliseconds.
fn in_unit(limit: Limit, value: i64, instrument: &Instrument) -> Option<Decimal> {
    if value == i64::MAX {
        // No bound, or a use that no number tells.
        return None;
    }
    let e8 = match limit {
        Limit::OrderQty => instrument.lot.value(value)?.0,
        Limit::OrderNotional | Limit::Position | Limit::DailyLoss => value,
        Limit::PriceCollar
        | Limit::InstrumentOpenOrders
        | Limit::VenueOpenOrders
        | Limit::OpenOrders
        | Limit::OrderRate
        | Limit::Leverage
        | Limit::Concentration
        | Limit::Drawdown => value.checked_mul(E8_ONE)?,
        // A nanosecond is a millionth of a millisecond.
        Limit::MarketDataAge | Limit::ClockOffset => value.checked_mul(100)?,
    };
    Some(Decimal(E8(e8)))
}

/// `GET /api/risk/utilization`: how much of every limit is used. Of global limits each instrument tells the same.
pub(crate) async fn utilization(State(state): State<Arc<HttpState>>) -> Answer {
    let instruments = state
        .instruments
        .iter()
        .filter_map(|(index, instrument)| {
            let gauges = state.gauges.limits(index)?;
            let limits = Limit::ALL
                .into_iter()
                .map(|limit| {
                    let (used, max) = gauges.of(limit);
                    let percent = used
                        .zip(max)
                        .filter(|(used, max)| *max > 0 && *used != i64::MAX)
                        .map(|(used, max)| used as f64 / max as f64 * 100.0);
                    UseBody {
                        limit: limit.label(),
                        scope: Scope::label(limit.scope()),
                        reason: limit.rejection().label(),
                        used: used.and_then(|used| in_unit(limit, used, instrument)),
                        max: max.and_then(|max| in_unit(limit, max, instrument)),
                        percent,
                    }
                })
                .collect();
            Some(InstrumentUse {
                symbol: instrument.symbol.as_str().to_owned(),
                highest_percent: f64::from(gauges.highest_bps()) / 100.0,
                limits,
            })
        })
        .collect();
    ok(&Utilization {
        highest_percent: state.gauges.plain(Gauge::RiskUtilizationBps) as f64 / 100.0,
        instruments,
    })
}
