//! `/api/strategies*`: what trades by itself.
//!
//! Owns: the handlers. An engine has one strategy at most, and its id is its kind. Results are the account's: what
//! an operator trades beside it is in them. `win_count` and `lose_count` are the strategy's alone: fills of its orders
//! that made a position smaller and realised more, or less, than nothing before fees, since the process began;
//! `win_rate` is theirs. The metric of that name is another figure: that of the account's periods.

use super::answer::{Answer, ok};
use super::engine::{Operation, run_strategy};
use super::orders::Who;
use crate::audit::record::LogType;
use crate::auth::Principal;
use crate::http::HttpState;
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use crate::status;
use crate::stream::event::Decimal;
use crate::trading::Closings;
use axum::Extension;
use axum::extract::{Path, State};
use opentelemetry::trace::SpanContext;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use veloz_core::order::Side;
use veloz_core::units::E8;

#[derive(Serialize)]
struct StrategyBody {
    id: &'static str,
    name: &'static str,
    r#type: &'static str,
    state: &'static str,
    pnl: Option<Decimal>,
    trade_count: u64,
}

#[derive(Serialize)]
struct Strategies {
    strategies: Vec<StrategyBody>,
}

#[derive(Serialize)]
struct StrategyDetail {
    #[serde(flatten)]
    strategy: StrategyBody,
    is_running: bool,
    max_drawdown: Option<f64>,
    /// Fills of the strategy's own orders in this run that closed with a gain before fees, and with a loss.
    win_count: u64,
    lose_count: u64,
    win_rate: Option<f64>,
    profit_factor: Option<f64>,
}

/// The strategy, unless the engine has none.
fn strategy(state: &HttpState) -> Option<(StrategyBody, bool)> {
    let id = state.api.profile.strategy?;
    let line = status::trading(&state.gauges)?;
    let counts = state.trading.counts();
    let is_running = line.strategy_runs;
    let body = StrategyBody {
        id,
        name: id,
        r#type: id,
        state: if is_running { "Running" } else { "Stopped" },
        pnl: line
            .realized
            .0
            .checked_add(line.unrealized.0)
            .map(|sum| Decimal(E8(sum))),
        trade_count: Side::ALL.into_iter().map(|side| counts.fills(side)).sum(),
    };
    Some((body, is_running))
}

fn named(state: &HttpState, id: &str) -> Result<(StrategyBody, bool), Problem> {
    strategy(state)
        .filter(|(body, _)| body.id == id)
        .ok_or_else(|| Problem::new(Code::NotFound, "Strategy not found"))
}

/// `GET /api/strategies`.
pub(crate) async fn list(State(state): State<Arc<HttpState>>) -> Answer {
    ok(&Strategies {
        strategies: strategy(&state).into_iter().map(|(body, _)| body).collect(),
    })
}

/// `GET /api/strategies/{id}`. Figures that are not defined yet are `null`; drawdown and rates are fractions.
pub(crate) async fn one(State(state): State<Arc<HttpState>>, Path(id): Path<String>) -> Answer {
    let (strategy, is_running) = named(&state, &id)?;
    let figures = state
        .shared
        .read()
        .analysis
        .map(|analysis| analysis.figures);
    let figure = |of: fn(&crate::analytics::Figures) -> f64| {
        figures.as_ref().map(of).filter(|figure| figure.is_finite())
    };
    let closings = state.trading.strategy_closings();
    ok(&StrategyDetail {
        strategy,
        is_running,
        max_drawdown: figure(|figures| figures.max_drawdown),
        win_count: closings.wins,
        lose_count: closings.losses,
        win_rate: win_rate(closings),
        profit_factor: figure(|figures| figures.profit_factor),
    })
}

/// The part of the closing fills that won; `None` before the first.
fn win_rate(closings: Closings) -> Option<f64> {
    let all = closings.wins + closings.losses;
    (all > 0).then(|| closings.wins as f64 / all as f64)
}

/// `POST /api/strategies/{id}/start`: it may act.
pub(crate) async fn start(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    Path(id): Path<String>,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    run(&state, &who, &id, true).await
}

/// `POST /api/strategies/{id}/stop`: it acts no more; its orders stay.
pub(crate) async fn stop(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    Path(id): Path<String>,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    run(&state, &who, &id, false).await
}

async fn run(state: &HttpState, who: &Who<'_>, id: &str, running: bool) -> Answer {
    let (strategy, _) = named(state, id)?;
    if running {
        state.takes_writes()?;
    }
    let operation = Operation {
        log_type: LogType::Order,
        action: if running {
            "strategy_started"
        } else {
            "strategy_stopped"
        },
        details: json!({ "strategy_id": strategy.id }),
        safer: !running,
    };
    let failed = if running {
        "strategy_start_failed"
    } else {
        "strategy_stop_failed"
    };
    let ran = run_strategy(state, who, running);
    operation.perform(state, who, failed, ran).await?;
    let message = if running {
        "Strategy started"
    } else {
        "Strategy stopped; its orders stay until they are cancelled"
    };
    ok(&json!({ "ok": true, "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_counts_beside_it() {
        for (wins, losses, rate) in [
            (0, 0, None),
            (3, 1, Some(0.75)),
            (0, 2, Some(0.0)),
            (2, 0, Some(1.0)),
        ] {
            assert_eq!(win_rate(Closings { wins, losses }), rate);
        }
    }
}
