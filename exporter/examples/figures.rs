//! Figures of return series and positions, for comparison with other libraries.
//!
//! Reads one JSON object a line, `{"returns": [...], "periods_per_year": 365}` or
//! `{"notionals": [...], "equity": 100000}`, and answers each with one JSON object. What is not
//! defined is null. `tools/checks/formulas.py` is the other side.

use serde_json::{Value, json};
use std::io::{self, BufRead as _};
use veloz_exporter::analytics::{Concentration, Confidence, Exposure, Outcomes};
use veloz_exporter::analytics::{moments, performance, tail};

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let answer = if question.get("returns").is_some() {
            of_returns(
                &numbers(&question["returns"]),
                question["periods_per_year"].as_f64().unwrap_or(f64::NAN),
            )
        } else {
            of_positions(
                &numbers(&question["notionals"]),
                question["equity"].as_f64().unwrap_or(f64::NAN),
            )
        };
        println!("{answer}");
    }
    Ok(())
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

fn of_returns(returns: &[f64], per_year: f64) -> Value {
    use Confidence::{P95, P99};
    let sorted = moments::sorted(returns);
    let outcomes = Outcomes::of(returns);
    let cagr = performance::cagr(returns, per_year);
    let max_drawdown = performance::max_drawdown(returns);
    json!({
        "mean": moments::mean(returns),
        "deviation": moments::deviation(returns, 1),
        "var_95": tail::historical_var(&sorted, P95),
        "var_99": tail::historical_var(&sorted, P99),
        "shortfall_95": tail::expected_shortfall(&sorted, P95),
        "shortfall_99": tail::expected_shortfall(&sorted, P99),
        "parametric_var_95": tail::parametric_var(returns, P95),
        "parametric_var_99": tail::parametric_var(returns, P99),
        "parametric_shortfall_95": tail::parametric_shortfall(returns, P95),
        "parametric_shortfall_99": tail::parametric_shortfall(returns, P99),
        "sharpe": performance::sharpe(returns, 0.0, per_year),
        "sortino": performance::sortino(returns, 0.0, per_year),
        "downside_risk": performance::downside_risk(returns, 0.0, per_year),
        "cagr": cagr,
        "calmar": performance::calmar(cagr, max_drawdown),
        "max_drawdown": max_drawdown,
        "current_drawdown": performance::current_drawdown(returns),
        "win_rate": outcomes.win_rate(),
        // JSON has no infinity.
        "profit_factor": if outcomes.profit_factor().is_infinite() {
            json!("infinite")
        } else {
            json!(outcomes.profit_factor())
        },
    })
}

fn of_positions(notionals: &[f64], equity: f64) -> Value {
    let exposure = Exposure::of(notionals, equity);
    let spread = Concentration::of(notionals);
    json!({
        "gross": exposure.gross,
        "net": exposure.net,
        "long": exposure.long,
        "short": exposure.short,
        "leverage": exposure.leverage,
        "net_leverage": exposure.net_leverage,
        "positions": spread.positions,
        "largest": spread.largest,
        "top_3": spread.top_3,
        "hhi": spread.hhi,
        "hhi_normalised": spread.hhi_normalised,
    })
}
