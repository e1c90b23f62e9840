//! `/api/admin/*`: the log's level, maintenance, read-only, reading limits anew; and `POST /api/config`.
//!
//! Owns: the handlers. Invariants: each is recorded before it is done, except what only makes things safer; what was
//! recorded and then refused has a second record that says so.

use super::answer::{Answer, ok};
use super::engine::{Operation, cancel_everything, run_strategy, set_state};
use super::orders::Who;
use crate::audit::record::LogType;
use crate::auth::{Principal, blocking};
use crate::http::HttpState;
use crate::http::body::{self, expected};
use crate::http::exchange::Caller;
use crate::http::problem::Problem;
use axum::Extension;
use axum::extract::{Request, State};
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tracing::Level;
use veloz_core::risk::TradingState;

/// Records an administrative act before it is done, or beside it when it only makes things safer.
async fn record(
    state: &HttpState,
    caller: &Caller,
    principal: &Principal,
    (action, failed): (&'static str, &'static str),
    details: Value,
    safer: bool,
) -> Result<(), Problem> {
    act(action, details, safer)
        .record(state, &who(caller, principal), failed)
        .await
}

/// An administrative act, as it is recorded.
pub(super) const fn act(action: &'static str, details: Value, safer: bool) -> Operation {
    Operation {
        log_type: LogType::Auth,
        action,
        details,
        safer,
    }
}

/// The same of an act on a key of the venue, which is kept as long as those on our own.
pub(super) const fn key_act(action: &'static str, details: Value) -> Operation {
    Operation {
        log_type: LogType::ApiKey,
        action,
        details,
        safer: false,
    }
}

/// Who administrates; no command of his goes to the core.
pub(super) const fn who<'a>(caller: &'a Caller, principal: &'a Principal) -> Who<'a> {
    Who {
        caller,
        principal,
        context: None,
    }
}

fn word(level: Level) -> &'static str {
    level.as_str()
}

/// `GET /api/admin/log-level`.
pub(crate) async fn log_level(State(state): State<Arc<HttpState>>) -> Answer {
    ok(&json!({ "level": word(state.log.level()) }))
}

/// `POST /api/admin/log-level`.
pub(crate) async fn set_log_level(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let fields = body::read_fields(request).await?;
    fields.only(&["level"])?;
    let level = match fields.text("level")?.to_ascii_uppercase().as_str() {
        "ERROR" => Level::ERROR,
        "WARN" | "WARNING" => Level::WARN,
        "INFO" => Level::INFO,
        "DEBUG" => Level::DEBUG,
        "TRACE" => Level::TRACE,
        _ => return Err(expected("level", "ERROR, WARN, INFO, DEBUG or TRACE")),
    };
    let before = state.log.level();
    let details = json!({ "from": word(before), "to": word(level) });
    record(
        &state,
        &caller,
        &principal,
        ("log_level_set", "log_level_set_failed"),
        details,
        false,
    )
    .await?;
    state.log.set_level(level);
    ok(&json!({ "ok": true, "level": word(level), "before": word(before) }))
}

/// `POST /api/admin/maintenance`: with `enabled` the API takes no orders, the strategy rests, trading is halted and our
/// orders are cancelled; without it the API takes orders again unless it was made read-only, and trading is started by
/// `/api/start`.
pub(crate) async fn maintenance(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    request: Request,
) -> Answer {
    let fields = body::read_fields(request).await?;
    fields.only(&["enabled"])?;
    let enabled = fields.truth("enabled")?;
    let who = Who {
        context: context.map(|Extension(context)| context),
        ..who(&caller, &principal)
    };
    let begun = async {
        state.api.maintenance.store(enabled, Relaxed);
        if enabled && state.phase().is_some() {
            run_strategy(&state, &who, false).await?;
            set_state(&state, &who, TradingState::Halted).await?;
            cancel_everything(&state, &who).await?;
        }
        Ok(())
    };
    act("maintenance", json!({ "enabled": enabled }), enabled)
        .perform(&state, &who, "maintenance_failed", begun)
        .await?;
    ok(&json!({ "ok": true, "maintenance": enabled }))
}

/// `POST /api/admin/ready`: the end of maintenance, and of nothing else.
pub(crate) async fn ready(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
) -> Answer {
    let details = json!({ "enabled": false });
    record(
        &state,
        &caller,
        &principal,
        ("maintenance", "maintenance_failed"),
        details,
        false,
    )
    .await?;
    state.api.maintenance.store(false, Relaxed);
    ok(&json!({ "ok": true, "maintenance": false }))
}

/// `POST /api/admin/readonly`: the API takes no orders; cancels and halts pass.
pub(crate) async fn readonly(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
) -> Answer {
    record(
        &state,
        &caller,
        &principal,
        ("read_only", "read_only_failed"),
        json!({}),
        true,
    )
    .await?;
    state.api.read_only.store(true, Relaxed);
    ok(&json!({ "ok": true, "read_only": true }))
}

/// `POST /api/admin/readwrite`: the API takes orders again, unless there is maintenance.
pub(crate) async fn readwrite(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
) -> Answer {
    record(
        &state,
        &caller,
        &principal,
        ("read_write", "read_write_failed"),
        json!({}),
        false,
    )
    .await?;
    state.api.read_only.store(false, Relaxed);
    ok(&json!({ "ok": true, "read_only": false }))
}

/// `POST /api/admin/reload-config`: the limits of the configuration files are read anew, as on SIGHUP. Whoever may
/// write those files decides what they say, so this asks for no second pair of eyes.
pub(crate) async fn reload(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
) -> Answer {
    let administration = Arc::clone(&state.api.administration);
    let reloaded = async { Ok(blocking(move || administration.reload()).await?) };
    let who = who(&caller, &principal);
    act("config_reloaded", json!({}), false)
        .perform(&state, &who, "config_reload_failed", reloaded)
        .await?;
    ok(&json!({
        "ok": true,
        "message": "The limits are being read anew; the log tells what came of it. Other keys wait for a restart",
    }))
}

/// `POST /api/config`: checked and saved beside the state; it changes nothing of what runs.
pub(crate) async fn save_config(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let fields = body::read_json(request).await?;
    let sections: Vec<String> = fields.iter().map(|(name, _)| name.to_owned()).collect();
    let details = json!({ "sections": sections });
    let administration = Arc::clone(&state.api.administration);
    let saved = async { Ok(blocking(move || administration.save_config(&fields)).await?) };
    let who = who(&caller, &principal);
    let file = act("config_saved", details, false)
        .perform(&state, &who, "config_save_failed", saved)
        .await?;
    let file = file.display().to_string();
    ok(&json!({
        "ok": true,
        "message": format!("Saved; a restart with --config {file} uses it"),
        "config_file": file,
    }))
}
