//! `/api/config`, `/api/status`, `/api/execution/ping`, and what an operator does to the engine as a whole.
//!
//! Owns: the handlers. Invariant: what makes trading safer (stop, halt, reduce-only, trip) is done at once and recorded
//! beside it; what makes it less so (start, resume, reset) is recorded first, and not done without a record. What was
//! recorded and then refused has a second record that says so.

use super::answer::{Answer, ok};
use super::orders::{Who, not_done};
use crate::audit::record::LogType;
use crate::auth::Principal;
use crate::health::Heartbeat;
use crate::http::HttpState;
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use crate::status;
use axum::Extension;
use axum::extract::State;
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use veloz_core::event::{Command, LinkRole, Token};
use veloz_core::risk::TradingState;
use veloz_core::telemetry::records::{CommandResult, TradingPhase};

/// `GET /api/config`.
pub(crate) async fn config(State(state): State<Arc<HttpState>>) -> Answer {
    let profile = &state.api.profile;
    let first = veloz_core::instrument::InstrumentIndex(0);
    let symbols: Vec<&str> = state
        .instruments
        .iter()
        .map(|(_, instrument)| instrument.symbol.as_str())
        .collect();
    ok(&json!({
        "market_source": profile.market_source,
        "market_symbol": state.instruments.get(first).symbol.as_str(),
        "binance_base_url": profile.market_url,
        "execution_mode": profile.execution_mode,
        "binance_trade_enabled": state.phase().is_some(),
        "binance_trade_base_url": profile.trade_url,
        "binance_user_stream_connected": is_logged_on(&state),
        "auth_enabled": state.auth.is_some(),
        "audit_enabled": state.audit.is_some(),
        "symbols": symbols,
    }))
}

/// Whether the order link is up and logged on, with the user's data on it.
fn is_logged_on(state: &HttpState) -> bool {
    state.gauges.links_up(LinkRole::Orders) > 0
        && match state.phase() {
            Some(
                TradingPhase::Reconciling
                | TradingPhase::Ready
                | TradingPhase::Stopping
                | TradingPhase::Stopped,
            ) => true,
            Some(TradingPhase::Off | TradingPhase::Starting) | None => false,
        }
}

/// `GET /api/execution/ping`: whether orders could get to the venue.
pub(crate) async fn ping(State(state): State<Arc<HttpState>>) -> Answer {
    state
        .needs_account()
        .map_err(|problem| problem.with("ok", false))?;
    if !is_logged_on(&state) {
        return Err(Problem::new(
            Code::ExecutionUnavailable,
            "the order link is not logged on",
        )
        .with("ok", false));
    }
    let offset_ms = state
        .gauges
        .venue_clock_offset_ns()
        .map(|ns| ns as f64 / 1e6);
    ok(&json!({
        "ok": true,
        "result": {
            "phase": state.phase().map(TradingPhase::label),
            "venue_clock_offset_ms": offset_ms,
        },
    }))
}

/// Where the engine stands, in the words of existing clients.
fn state_word(state: &HttpState) -> &'static str {
    let now = (state.now)();
    let heartbeat = state.gauges.heartbeat();
    if Heartbeat::judge(now, heartbeat, state.heartbeat_age_max) != Heartbeat::Beating {
        return "Stopped";
    }
    let Some(line) = status::trading(&state.gauges) else {
        // It only watches: it runs while it turns.
        return "Running";
    };
    match (line.phase, line.state) {
        (
            TradingPhase::Off | TradingPhase::Ready,
            TradingState::Active | TradingState::ReduceOnly,
        ) => "Running",
        (TradingPhase::Off | TradingPhase::Ready, TradingState::Halted) if line.open_orders > 0 => {
            "Stopping"
        }
        (TradingPhase::Off | TradingPhase::Ready, TradingState::Halted) => "Stopped",
        (TradingPhase::Starting | TradingPhase::Reconciling, _) => "Starting",
        (TradingPhase::Stopping, _) => "Stopping",
        (TradingPhase::Stopped, _) => "Stopped",
    }
}

/// `GET /api/status`.
pub(crate) async fn engine_status(State(state): State<Arc<HttpState>>) -> Answer {
    let line = status::trading(&state.gauges);
    let loaded = u32::from(line.is_some() && state.api.profile.strategy.is_some());
    let running = u32::from(loaded > 0 && line.is_some_and(|line| line.strategy_runs));
    let standing = state.trading.standing();
    let trading = line.map(|line| {
        json!({
            "phase": line.phase.label(),
            "state": line.state.label(),
            "state_cause": standing.state.map(|state| state.cause.label()),
            "kill_switch": line.is_killed,
            "kill_switch_cause": standing.kill_switch.filter(|_| line.is_killed).map(|kill| kill.cause.label()),
            "open_orders": line.open_orders,
            "unresolved_orders": line.unresolved_orders,
        })
    });
    ok(&json!({
        "state": state_word(&state),
        "uptime_ms": (state.now)().since(state.started_at).as_ms(),
        "strategies_loaded": loaded,
        "strategies_running": running,
        "trading": trading,
        "read_only": state.api.read_only.load(Relaxed),
        "maintenance": state.api.maintenance.load(Relaxed),
        "version": crate::catalogue::VERSION,
    }))
}

/// One act of an operator: what its record says, and whether it waits for the record.
pub(crate) struct Operation {
    pub(crate) log_type: LogType,
    pub(crate) action: &'static str,
    pub(crate) details: Value,
    /// Whether it makes things safer, so that nothing may keep it waiting.
    pub(crate) safer: bool,
}

impl Operation {
    /// Records it: beside the act when it makes things safer, before it otherwise, and then with a second record,
    /// `failed`, when nobody knows whether the first gets to the disk.
    ///
    /// # Errors
    /// `audit_unavailable`; then it must not be done.
    pub(crate) async fn record(
        &self,
        state: &HttpState,
        who: &Who<'_>,
        failed: &'static str,
    ) -> Result<(), Problem> {
        let at = (state.unix)();
        let user = &who.principal.user_id;
        let details = self.details.clone();
        let entry = who
            .caller
            .entry(self.log_type, self.action, user, details, at);
        if self.safer {
            state.record(|_| entry);
            return Ok(());
        }
        state.record_first(entry, failed).await
    }

    /// Records it and does it; what came to nothing, or nobody knows to what, has a second record, `failed`, that says why.
    ///
    /// # Errors
    /// `audit_unavailable`, and then it was not done; or those of `work`.
    pub(crate) async fn perform<T>(
        self,
        state: &HttpState,
        who: &Who<'_>,
        failed: &'static str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        self.record(state, who, failed).await?;
        let result = work.await;
        if let Err(problem) = &result {
            let mut details = self.details;
            details["error"] = problem.code().label().into();
            details["outcome"] = if problem.code() == Code::TimedOut {
                "unknown".into()
            } else {
                "refused".into()
            };
            let user = &who.principal.user_id;
            state.record(|at| who.caller.entry(self.log_type, failed, user, details, at));
        }
        result
    }
}

/// Sends one command of an operator and waits until the core took it.
pub(crate) async fn operate(
    state: &HttpState,
    who: &Who<'_>,
    command: &'static str,
    make: impl FnOnce(Token) -> Command,
) -> Result<(), Problem> {
    let token = state.send(who.asked(command, None), make)?;
    let core = state.answer_to(token).await?;
    match core.result {
        CommandResult::Done => Ok(()),
        CommandResult::Rejected => {
            Err(
                Problem::new(Code::Conflict, "the kill switch is latched: reset it first").with(
                    "reason",
                    core.reason.map(veloz_core::risk::Rejection::label),
                ),
            )
        }
        CommandResult::UnknownOrder
        | CommandResult::NotOpen
        | CommandResult::NotTrading
        | CommandResult::InvalidValue
        | CommandResult::Full => Err(not_done(state, core.result, core.reason, "")),
    }
}

pub(super) async fn set_state(
    state: &HttpState,
    who: &Who<'_>,
    to: TradingState,
) -> Result<(), Problem> {
    operate(state, who, "set_trading_state", |token| {
        Command::SetTradingState { token, state: to }
    })
    .await
}

pub(super) async fn run_strategy(
    state: &HttpState,
    who: &Who<'_>,
    running: bool,
) -> Result<(), Problem> {
    operate(state, who, "run_strategy", |token| Command::RunStrategy {
        token,
        running,
    })
    .await
}

pub(super) async fn cancel_everything(state: &HttpState, who: &Who<'_>) -> Result<(), Problem> {
    operate(state, who, "cancel_all", |token| Command::CancelAll {
        token,
        instrument: None,
    })
    .await
}

fn done(message: &str, state: &HttpState) -> Answer {
    let line = status::trading(&state.gauges);
    ok(&json!({
        "ok": true,
        "message": message,
        "trading_state": line.map(|line| line.state.label()),
        "kill_switch": line.map(|line| line.is_killed),
    }))
}

macro_rules! operator {
    ($(#[$doc:meta])* $name:ident, $action:literal or $failed:literal, safer: $safer:literal, |$state:ident, $who:ident| $work:block) => {
        $(#[$doc])*
        pub(crate) async fn $name(
            State(state): State<Arc<HttpState>>,
            Extension(caller): Extension<Caller>,
            Extension(principal): Extension<Principal>,
            context: Option<Extension<SpanContext>>,
        ) -> Answer {
            state.needs_account()?;
            let who = Who {
                caller: &caller,
                principal: &principal,
                context: context.map(|Extension(context)| context),
            };
            let operation = Operation {
                log_type: LogType::Order,
                action: $action,
                details: json!({}),
                safer: $safer,
            };
            let $state: &HttpState = &state;
            let $who = &who;
            operation.perform($state, $who, $failed, async { $work }).await
        }
    };
}

operator!(
    /// `POST /api/halt`: nothing new; cancels pass.
    halt, "trading_halted" or "trading_halt_failed", safer: true, |state, who| {
        set_state(state, who, TradingState::Halted).await?;
        done("Trading is halted; open orders stay, cancels pass", state)
    }
);

operator!(
    /// `POST /api/reduce-only`: only what makes a position smaller. From `HALTED` it loosens, so it is recorded first.
    reduce_only, "trading_reduce_only" or "trading_reduce_only_failed", safer: false, |state, who| {
        set_state(state, who, TradingState::ReduceOnly).await?;
        done("Only orders that make a position smaller are taken", state)
    }
);

operator!(
    /// `POST /api/resume`: anything within the limits.
    resume, "trading_resumed" or "trading_resume_failed", safer: false, |state, who| {
        state.takes_writes()?;
        set_state(state, who, TradingState::Active).await?;
        done("Trading is active", state)
    }
);

operator!(
    /// `POST /api/kill-switch/trip`: halt, cancel everything, and stay so, also across restarts.
    trip, "kill_switch_tripped" or "kill_switch_trip_failed", safer: true, |state, who| {
        operate(state, who, "trip_kill_switch", |token| Command::TripKillSwitch { token }).await?;
        done("The kill switch is latched; orders are being cancelled", state)
    }
);

operator!(
    /// `POST /api/kill-switch/reset`: unlatches it; trading stays halted until it is resumed.
    reset, "kill_switch_reset" or "kill_switch_reset_failed", safer: false, |state, who| {
        operate(state, who, "reset_kill_switch", |token| Command::ResetKillSwitch { token }).await?;
        done("The kill switch is reset; trading stays halted until it is resumed", state)
    }
);

operator!(
    /// `POST /api/start`: trading is active and the strategy acts.
    start, "engine_start" or "engine_start_failed", safer: false, |state, who| {
        state.takes_writes()?;
        let line = status::trading(&state.gauges);
        let strategy = state.api.profile.strategy.is_some();
        if line.is_some_and(|line| line.state == TradingState::Active && (line.strategy_runs || !strategy)) {
            return Err(Problem::new(Code::Conflict, "Engine already running").with("ok", false));
        }
        set_state(state, who, TradingState::Active).await?;
        run_strategy(state, who, true).await?;
        done("Engine started", state)
    }
);

operator!(
    /// `POST /api/stop`: the strategy rests, trading is halted, every order of ours is cancelled.
    stop, "engine_stop" or "engine_stop_failed", safer: true, |state, who| {
        run_strategy(state, who, false).await?;
        set_state(state, who, TradingState::Halted).await?;
        cancel_everything(state, who).await?;
        done("Engine stopped: no new orders, ours are being cancelled", state)
    }
);
