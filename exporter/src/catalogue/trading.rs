//! Trading: orders and fills, positions, what risk refuses, what limits and budgets leave.
//!
//! Counts are shown from the start, at zero; what only an account has is not shown without one.

use super::{Metric, Sources, counter, gauge, histogram, seconds};
use crate::exposition::Samples;
use veloz_core::order::{OrderKind, Side};
use veloz_core::risk::{Limit, TradingState};
use veloz_core::telemetry::counters::Counter;
use veloz_core::telemetry::gauges::{Gauge, NOT_MEASURED, PositionGauges};
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, Stage};
use veloz_core::telemetry::records::{CommandResult, OrderRequest, TradingPhase};
use veloz_core::units::{E8, E8_ONE, Nanos};

/// Orders, fills, and what became of requests.
pub(super) static TRADING: &[Metric] = &[
    counter(
        "veloz_orders_total",
        &["side", "type"],
        "Orders handed to the venue's connection.",
        |from, samples| {
            for side in Side::ALL {
                for kind in OrderKind::ALL {
                    let labels = [side_label(side), kind_label(kind)];
                    samples.value(&labels, from.trading.orders(side, kind));
                }
            }
        },
    ),
    counter(
        "veloz_fills_total",
        &["side"],
        "Fills booked, each trade once.",
        |from, samples| {
            for side in Side::ALL {
                samples.value(&[side_label(side)], from.trading.fills(side));
            }
        },
    ),
    counter(
        "veloz_cancels_total",
        &[],
        "Orders that ended because they were taken back.",
        |from, samples| samples.value(&[], from.trading.cancels()),
    ),
    gauge(
        "veloz_active_orders",
        &[],
        "Orders that are not over.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::OpenOrders)),
    ),
    histogram(
        "veloz_order_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &[],
        "An order in the kernel's hands to the venue's first word on it.",
        |from, samples| from.latency_with_exemplars(samples, &[], Stage::OrderAck),
    ),
    counter(
        "veloz_orders_rejected_total",
        &["reason"],
        "Orders that the venue refused, by what its code and words mean; `would_match`: maker-only, and it would have taken.",
        |from, samples| {
            for (reason, count) in from.trading.rejected() {
                samples.value(&[reason], count);
            }
        },
    ),
    counter(
        "veloz_order_requests_refused_total",
        &["request"],
        "Requests about orders that the venue refused, by what was asked.",
        |from, samples| {
            for request in OrderRequest::ALL {
                samples.value(&[request.label()], from.trading.refused(request));
            }
        },
    ),
    counter(
        "veloz_order_replies_lost_total",
        &[],
        "Requests about orders without an answer in time.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::OrderRepliesLost)),
    ),
    counter(
        "veloz_foreign_orders_total",
        &[],
        "Reports and orders at the venue that are not this instance's.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::ForeignReports)),
    ),
    counter(
        "veloz_balance_flows_total",
        &[],
        "Balances that differed from what our fills make of them: deposits, withdrawals, trades by hand.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::BalanceFlows)),
    ),
    counter(
        "veloz_commands_total",
        &["result"],
        "Commands that the core answered, by what came of them.",
        |from, samples| {
            for result in CommandResult::ALL {
                samples.value(&[result.label()], from.trading.commands(result));
            }
        },
    ),
    counter(
        "veloz_order_funnel_total",
        &["stage"],
        "Looks, signals and orders by the stage that they passed.",
        |from, samples| {
            for (stage, reason, count) in from.counters.funnel() {
                if reason.is_empty() {
                    samples.value(&[stage], count);
                }
            }
        },
    ),
    counter(
        "veloz_order_funnel_reasons_total",
        &["stage", "reason"],
        "The stages that have reasons: signals suppressed, wishes by kind, intents by origin, refusals of risk, ends of orders.",
        |from, samples| {
            for (stage, reason, count) in from.counters.funnel() {
                if !reason.is_empty() {
                    samples.value(&[stage, reason], count);
                }
            }
        },
    ),
    gauge(
        "veloz_orders_unresolved",
        &[],
        "Orders whose outcome at the venue is unknown; they count in full until it says.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::UnresolvedOrders)),
    ),
    gauge(
        "veloz_orders_unresolved_oldest_age_seconds",
        &[],
        "Age of the oldest of those; 0 while there is none.",
        |from, samples| {
            let since = measured(from, Gauge::OldestUnresolvedNs);
            let age = since.map_or(0.0, |since| seconds(from.now.since(Nanos(since as u64))));
            samples.value(&[], age);
        },
    )
    .seconds(),
];

/// Positions, and what risk and the venue leave.
pub(super) static LIMITS: &[Metric] = &[
    counter(
        "veloz_risk_rejections_total",
        &["reason"],
        "Intents that risk refused.",
        |from, samples| {
            for (stage, reason, count) in from.counters.funnel() {
                if stage == "rejected" {
                    samples.value(&[reason], count);
                }
            }
        },
    ),
    gauge(
        "veloz_risk_utilization_percent",
        &[],
        "Highest use of any limit on what adds up or was lost.",
        |from, samples| {
            samples.value(&[], percent(from.gauges.plain(Gauge::RiskUtilizationBps)));
        },
    ),
    gauge(
        "veloz_risk_limit_utilization_percent",
        &["limit"],
        "Use of each limit that binds, that of the worst instrument.",
        |from, samples| {
            for limit in Limit::ALL {
                if let Some(used) = worst_use(from, limit) {
                    samples.value(&[limit.label()], used);
                }
            }
        },
    ),
    gauge(
        "veloz_position_value",
        &["symbol"],
        "Value of the position at the mark, negative when short, in the account currency.",
        |from, samples| marked(from, samples, |_, notional| notional),
    ),
    gauge(
        "veloz_position_size",
        &["symbol", "side"],
        "Size of the position in the base asset; the other side is 0.",
        |from, samples| {
            of_positions(from, |symbol, position| {
                let size = whole(position.qty);
                samples.value(&[symbol, "long"], size.max(0.0));
                // Not the negative of zero.
                samples.value(&[symbol, "short"], if size < 0.0 { -size } else { 0.0 });
            });
        },
    ),
    gauge(
        "veloz_position_unrealized_pnl",
        &["symbol"],
        "Profit and loss if the position were closed at the mark, in the account currency.",
        |from, samples| marked(from, samples, |unrealized, _| unrealized),
    ),
    gauge(
        "veloz_position_realized_pnl",
        &["symbol"],
        "Realised profit and loss in the account currency; it may fall, so it is a gauge.",
        |from, samples| {
            of_positions(from, |symbol, position| {
                samples.value(&[symbol], whole(position.realized));
            });
        },
    ),
    counter(
        "veloz_position_realized_profit_total",
        &["symbol"],
        "Sum of the realised profits alone, in the account currency.",
        |from, samples| {
            of_positions(from, |symbol, position| {
                samples.value(&[symbol], whole(position.realized_profit));
            });
        },
    ),
    counter(
        "veloz_position_realized_loss_total",
        &["symbol"],
        "Sum of the realised losses alone, in the account currency.",
        |from, samples| {
            of_positions(from, |symbol, position| {
                samples.value(&[symbol], whole(position.realized_loss));
            });
        },
    ),
    gauge(
        "veloz_position_notional",
        &["symbol"],
        "Size of the position at the mark without its sign, in the account currency.",
        |from, samples| marked(from, samples, |_, notional| notional.abs()),
    ),
    gauge(
        "veloz_position_total_unrealized_pnl",
        &[],
        "Unrealised profit and loss of all positions, in the account currency.",
        |from, samples| of_account(from, samples, Gauge::UnrealizedTotal),
    ),
    gauge(
        "veloz_position_total_realized_pnl",
        &[],
        "Realised profit and loss of all positions, in the account currency; it may fall, so it is a gauge.",
        |from, samples| of_account(from, samples, Gauge::RealizedTotal),
    ),
    gauge(
        "veloz_equity",
        &[],
        "Worth of the account in its currency.",
        |from, samples| of_account(from, samples, Gauge::Equity),
    ),
    gauge(
        "veloz_equity_change_day",
        &[],
        "Change of the equity since midnight UTC without deposits and withdrawals, in the account currency.",
        |from, samples| {
            if measured(from, Gauge::Equity).is_some() {
                of_account(from, samples, Gauge::DayChange);
            }
        },
    ),
    gauge(
        "veloz_trading_phase",
        &["phase"],
        "1 for how far trading has come, 0 for the other phases.",
        |from, samples| {
            let now = from.gauges.plain(Gauge::TradingPhase);
            for phase in TradingPhase::ALL {
                samples.value(&[phase.label()], now == phase.index() as i64);
            }
        },
    ),
    gauge(
        "veloz_trading_state",
        &["state"],
        "1 for what may be traded now, 0 for the other states.",
        |from, samples| {
            let now = from.gauges.plain(Gauge::TradingState);
            for state in TradingState::ALL {
                samples.value(&[state.label()], now == state.index() as i64);
            }
        },
    ),
    gauge(
        "veloz_kill_switch_active",
        &[],
        "1 while the kill switch is latched.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::KillSwitch)),
    ),
    gauge(
        "veloz_strategy_running",
        &[],
        "1 while the strategy may act.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::StrategyRunning)),
    ),
    gauge(
        "veloz_telemetry_backlog",
        &[],
        "1 while the records ring is above its mark and new orders are refused.",
        |from, samples| samples.value(&[], from.gauges.plain(Gauge::TelemetryBacklog)),
    ),
    gauge(
        "veloz_rate_budget_remaining",
        &["budget"],
        "What may still be spent in the venue's running window.",
        |from, samples| {
            of_budgets(
                from,
                samples,
                [
                    Gauge::WeightHeadroom,
                    Gauge::OrdersHeadroom,
                    Gauge::OrdersDayHeadroom,
                ],
            );
        },
    ),
    gauge(
        "veloz_rate_budget_limit",
        &["budget"],
        "What the venue allows in the whole of the window.",
        |from, samples| {
            of_budgets(
                from,
                samples,
                [
                    Gauge::WeightLimit,
                    Gauge::OrdersLimit,
                    Gauge::OrdersDayLimit,
                ],
            );
        },
    ),
];

/// The venue's windows, in the order of the gauges that the callers name.
const BUDGETS: [&str; 3] = ["request_weight_minute", "orders_10s", "orders_day"];

fn side_label(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn kind_label(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Limit => "limit",
        OrderKind::Market => "market",
        OrderKind::LimitMaker => "limit_maker",
    }
}

fn whole(amount: E8) -> f64 {
    amount.0 as f64 / E8_ONE as f64
}

/// Hundredths of a percent as percent.
fn percent(bps: i64) -> f64 {
    bps as f64 / 100.0
}

fn measured(from: &Sources<'_>, gauge: Gauge) -> Option<i64> {
    Some(from.gauges.plain(gauge)).filter(|value| *value != NOT_MEASURED)
}

fn of_account(from: &Sources<'_>, samples: &mut Samples<'_>, gauge: Gauge) {
    if let Some(amount) = measured(from, gauge)
        && from.has_account()
    {
        samples.value(&[], whole(E8(amount)));
    }
}

fn of_budgets(from: &Sources<'_>, samples: &mut Samples<'_>, gauges: [Gauge; 3]) {
    if !from.has_account() {
        return;
    }
    for (budget, gauge) in BUDGETS.into_iter().zip(gauges) {
        if let Some(value) = measured(from, gauge) {
            samples.value(&[budget], value);
        }
    }
}

fn of_positions(from: &Sources<'_>, mut tell: impl FnMut(&str, &PositionGauges)) {
    if !from.has_account() {
        return;
    }
    for (index, instrument) in from.instruments.iter() {
        if let Some(position) = from.gauges.position(index) {
            tell(instrument.symbol.as_str(), &position);
        }
    }
}

/// A value of each position that has a mark; `value` gets the unrealised result and the notional.
fn marked(from: &Sources<'_>, samples: &mut Samples<'_>, value: fn(f64, f64) -> f64) {
    of_positions(from, |symbol, position| {
        if let Some(marked) = position.marked {
            let value = value(whole(marked.unrealized), whole(marked.notional));
            samples.value(&[symbol], value);
        }
    });
}

/// Use of a limit in percent, that of the worst instrument; `None` while it binds nowhere.
fn worst_use(from: &Sources<'_>, limit: Limit) -> Option<f64> {
    if !from.has_account() {
        return None;
    }
    from.instruments
        .iter()
        .filter_map(|(index, _)| {
            let (used, max) = from.gauges.limits(index)?.of(limit);
            Some(used? as f64 / max? as f64 * 100.0)
        })
        .max_by(f64::total_cmp)
}
