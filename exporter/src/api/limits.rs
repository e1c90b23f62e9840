//! `/api/risk/*`: limits, how much of them is used, and changing them with four eyes.
//!
//! Owns: [`Limits`], the handlers, proposals. Does not: apply a change itself; the core does, between two events.
//! Invariants: a change that loosens nothing is made by one; any other is proposed by one and approved by another,
//! and where nobody says who he is there is no other, so it is refused; who approves has logged in with his password, which
//! nobody sets over HTTP, because a key may lie where the proposer finds it; a proposal that the limits have moved away from, or that is
//! older than [`PROPOSAL_LIFE_MS`], is none; a change is recorded and kept before it is made.

use super::administration::NotDone;
use super::answer::{Answer, answer, ok};
use super::engine::{Operation, operate};
use super::number;
use super::orders::Who;
use crate::audit::record::LogType;
use crate::auth::{Principal, Via, blocking};
use crate::http::HttpState;
use crate::http::body::{self, Fields, Json, expected};
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use crate::stream::event::Decimal;
use crate::wall::UnixMs;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use opentelemetry::trace::SpanContext;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;
use veloz_core::event::Command;
use veloz_core::instrument::{Instrument, InstrumentIndex};
use veloz_core::risk::{GlobalLimits, InstrumentLimits, Limit, LimitsChange, Scope};
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::units::{E8, E8_ONE, Lots, Nanos};

/// Proposals that wait for another pair of eyes. One more is refused until one is approved, withdrawn or over.
const PROPOSALS_MAX: usize = 16;
/// How long a proposal waits.
const PROPOSAL_LIFE_MS: u64 = 60 * 60 * 1_000;

/// Limits as they are, and as somebody wants them.
#[derive(Default)]
pub struct Limits {
    held: Mutex<Held>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    global: GlobalLimits,
    instruments: Vec<InstrumentLimits>,
    /// Counts changes, so that a proposal knows what it was made against.
    version: u64,
    proposals: Vec<Proposal>,
    last_proposal: u64,
}

#[derive(Clone, Debug)]
struct Proposal {
    id: u64,
    by: String,
    at: UnixMs,
    version: u64,
    changes: Vec<LimitsChange>,
}

impl Limits {
    /// The limits that the engine starts with, one entry an instrument.
    pub fn new(global: GlobalLimits, instruments: Vec<InstrumentLimits>) -> Self {
        Self {
            held: Mutex::new(Held {
                global,
                instruments,
                ..Held::default()
            }),
        }
    }

    /// Takes note of a change that was made elsewhere. Not for the HTTP thread: it may wait.
    pub fn changed(&self, change: &LimitsChange) {
        self.held.blocking_lock().apply(change);
    }
}

impl Held {
    /// Whether a change makes anything other than it is.
    fn differs(&self, change: &LimitsChange) -> bool {
        match *change {
            LimitsChange::Global(global) => global != self.global,
            LimitsChange::Instrument(index, limits) => limits != self.of(index),
        }
    }

    /// A change that changes nothing is none: what was proposed against the limits stays good.
    fn apply(&mut self, change: &LimitsChange) {
        if !self.differs(change) {
            return;
        }
        match *change {
            LimitsChange::Global(global) => self.global = global,
            LimitsChange::Instrument(index, limits) => {
                if let Some(own) = self.instruments.get_mut(index.as_usize()) {
                    *own = limits;
                }
            }
        }
        self.version += 1;
    }

    /// What undoes these changes.
    fn undo(&self, changes: &[LimitsChange]) -> Vec<LimitsChange> {
        changes
            .iter()
            .map(|change| match *change {
                LimitsChange::Global(_) => LimitsChange::Global(self.global),
                LimitsChange::Instrument(index, _) => {
                    LimitsChange::Instrument(index, self.of(index))
                }
            })
            .collect()
    }

    fn of(&self, index: InstrumentIndex) -> InstrumentLimits {
        self.instruments
            .get(index.as_usize())
            .copied()
            .unwrap_or_default()
    }

    fn loosens(&self, changes: &[LimitsChange]) -> bool {
        !changes.iter().all(|change| match change {
            LimitsChange::Global(global) => global.is_within(&self.global),
            LimitsChange::Instrument(index, limits) => limits.is_within(&self.of(*index)),
        })
    }

    fn forget_old(&mut self, now: UnixMs) {
        self.proposals
            .retain(|proposal| proposal.at.plus_ms(PROPOSAL_LIFE_MS) > now);
    }

    fn take(&mut self, id: u64) -> Result<Proposal, Problem> {
        let position = self.proposals.iter().position(|proposal| proposal.id == id);
        position
            .map(|position| self.proposals.remove(position))
            .ok_or_else(|| {
                Problem::new(Code::NotFound, "no proposal with this proposal_id waits")
                    .field("proposal_id")
            })
    }
}

/// A limit of a request: absent, the word `none` or the `null` by which it is shown, or a value.
enum Said<T> {
    Nothing,
    Unbound,
    At(T),
}

impl<T> Said<T> {
    fn over(self, limit: &mut Option<T>) {
        match self {
            Self::Nothing => {}
            Self::Unbound => *limit = None,
            Self::At(value) => *limit = Some(value),
        }
    }
}

fn count(fields: &Fields, name: &'static str) -> Result<Said<u32>, Problem> {
    said(fields, name, |text| {
        number::whole(name, text, u64::from(u32::MAX)).map(|number| number as u32)
    })
}

fn millis(fields: &Fields, name: &'static str) -> Result<Said<Nanos>, Problem> {
    said(fields, name, |text| {
        number::whole(name, text, 3_600_000).map(Nanos::from_ms)
    })
}

fn amount(fields: &Fields, name: &'static str) -> Result<Said<E8>, Problem> {
    said(fields, name, |text| {
        let value = number::decimal(text).map_err(|bad| number::refusal(name, bad))?;
        if value.0 > 0 {
            Ok(value)
        } else {
            Err(expected(name, "a number above zero, or none,"))
        }
    })
}

fn said<T>(
    fields: &Fields,
    name: &'static str,
    read: impl FnOnce(&str) -> Result<T, Problem>,
) -> Result<Said<T>, Problem> {
    match fields.optional_number(name)? {
        None if fields.is_null(name) => Ok(Said::Unbound),
        None => Ok(Said::Nothing),
        Some("none") => Ok(Said::Unbound),
        Some(text) => read(text).map(Said::At),
    }
}

fn global_of(mut limits: GlobalLimits, fields: &Fields) -> Result<GlobalLimits, Problem> {
    fields.only(&[
        "open_orders_max",
        "orders_per_second_max",
        "leverage_max_percent",
        "concentration_max_percent",
        "concentration_from",
        "daily_loss_max",
        "drawdown_max_bps",
        "market_data_age_max_ms",
        "clock_offset_max_ms",
    ])?;
    count(fields, "open_orders_max")?.over(&mut limits.open_orders_max);
    count(fields, "orders_per_second_max")?.over(&mut limits.orders_per_second_max);
    count(fields, "leverage_max_percent")?.over(&mut limits.leverage_max_percent);
    count(fields, "concentration_max_percent")?.over(&mut limits.concentration_max_percent);
    if fields.is_null("concentration_from") {
        return Err(expected("concentration_from", "a number"));
    }
    if let Some(from) = number::optional_decimal(fields, "concentration_from")? {
        limits.concentration_from = from;
    }
    amount(fields, "daily_loss_max")?.over(&mut limits.daily_loss_max);
    count(fields, "drawdown_max_bps")?.over(&mut limits.drawdown_max_bps);
    millis(fields, "market_data_age_max_ms")?.over(&mut limits.market_data_age_max);
    millis(fields, "clock_offset_max_ms")?.over(&mut limits.clock_offset_max);
    limits
        .validate()
        .map_err(|error| Problem::new(Code::BadParams, error.to_string()).field("global"))?;
    Ok(limits)
}

fn own_of(
    mut limits: InstrumentLimits,
    fields: &Fields,
    instrument: &Instrument,
) -> Result<InstrumentLimits, Problem> {
    fields.only(&[
        "order_qty_max",
        "order_notional_max",
        "position_max",
        "open_orders_max",
        "price_collar_bps",
    ])?;
    match amount(fields, "order_qty_max")? {
        Said::Nothing => {}
        Said::Unbound => limits.order_qty_max = None,
        Said::At(qty) => {
            let lots = instrument
                .lot
                .divide_exact(qty)
                .ok_or_else(|| expected("order_qty_max", "a multiple of the finest quantity"))?;
            limits.order_qty_max = Some(Lots(lots));
        }
    }
    amount(fields, "order_notional_max")?.over(&mut limits.order_notional_max);
    amount(fields, "position_max")?.over(&mut limits.position_max);
    count(fields, "open_orders_max")?.over(&mut limits.open_orders_max);
    count(fields, "price_collar_bps")?.over(&mut limits.price_collar_bps);
    limits
        .validate()
        .map_err(|error| Problem::new(Code::BadParams, error.to_string()).field("instruments"))?;
    Ok(limits)
}

fn says_something(name: &'static str, limits: &Fields) -> Result<(), Problem> {
    if limits.iter().next().is_none() {
        return Err(expected(name, "at least one limit"));
    }
    Ok(())
}

/// What a request asks for; without what is so already.
fn changes_of(
    state: &HttpState,
    held: &Held,
    fields: &Fields,
) -> Result<Vec<LimitsChange>, Problem> {
    fields.only(&["global", "instruments"])?;
    for name in ["global", "instruments"] {
        if fields.is_null(name) {
            return Err(expected(name, "an object of limits"));
        }
    }
    let mut changes = Vec::new();
    if let Some(global) = fields.optional_object("global")? {
        says_something("global", global)?;
        changes.push(LimitsChange::Global(global_of(held.global, global)?));
    }
    if let Some(instruments) = fields.optional_object("instruments")? {
        says_something("instruments", instruments)?;
        for (symbol, own) in instruments.iter() {
            let (index, instrument) = state.instrument("instruments", symbol)?;
            let Json::Object(own) = own else {
                return Err(expected("instruments", "an object of limits a symbol"));
            };
            says_something("instruments", own)?;
            let limits = own_of(held.of(index), own, instrument)?;
            changes.push(LimitsChange::Instrument(index, limits));
        }
    }
    if changes.is_empty() {
        return Err(expected("global", "global, instruments or both"));
    }
    changes.retain(|change| held.differs(change));
    Ok(changes)
}

fn global_json(limits: &GlobalLimits) -> Value {
    let ms = |limit: Option<Nanos>| limit.map(Nanos::as_ms);
    json!({
        "open_orders_max": limits.open_orders_max,
        "orders_per_second_max": limits.orders_per_second_max,
        "leverage_max_percent": limits.leverage_max_percent,
        "concentration_max_percent": limits.concentration_max_percent,
        "concentration_from": limits.concentration_from.to_string(),
        "daily_loss_max": limits.daily_loss_max.map(|max| max.to_string()),
        "drawdown_max_bps": limits.drawdown_max_bps,
        "market_data_age_max_ms": ms(limits.market_data_age_max),
        "clock_offset_max_ms": ms(limits.clock_offset_max),
    })
}

fn own_json(limits: &InstrumentLimits, instrument: &Instrument) -> Value {
    json!({
        "order_qty_max": limits.order_qty_max.map(|lots| instrument.qty(lots).to_string()),
        "order_notional_max": limits.order_notional_max.map(|max| max.to_string()),
        "position_max": limits.position_max.map(|max| max.to_string()),
        "open_orders_max": limits.open_orders_max,
        "price_collar_bps": limits.price_collar_bps,
    })
}

fn changes_json(state: &HttpState, changes: &[LimitsChange]) -> Value {
    let mut all = Map::new();
    let mut own = Map::new();
    for change in changes {
        match change {
            LimitsChange::Global(global) => {
                all.insert("global".to_owned(), global_json(global));
            }
            LimitsChange::Instrument(index, limits) => {
                let instrument = state.instruments.get(*index);
                let symbol = instrument.symbol.as_str().to_owned();
                own.insert(symbol, own_json(limits, instrument));
            }
        }
    }
    if !own.is_empty() {
        all.insert("instruments".to_owned(), Value::Object(own));
    }
    Value::Object(all)
}

/// What changes make different, with what it is before and after: what a record says.
fn differences(state: &HttpState, held: &Held, changes: &[LimitsChange]) -> Value {
    fn between(before: Value, after: &Value) -> Value {
        let Value::Object(before) = before else {
            unreachable!("limits are an object");
        };
        before
            .into_iter()
            .filter(|(name, value)| after[name] != *value)
            .map(|(name, value)| {
                let of = json!({ "before": value, "after": after[&name] });
                (name, of)
            })
            .collect()
    }
    let mut all = Map::new();
    let mut own = Map::new();
    for change in changes {
        match change {
            LimitsChange::Global(global) => {
                let of = between(global_json(&held.global), &global_json(global));
                all.insert("global".to_owned(), of);
            }
            LimitsChange::Instrument(index, limits) => {
                let instrument = state.instruments.get(*index);
                let before = own_json(&held.of(*index), instrument);
                let of = between(before, &own_json(limits, instrument));
                own.insert(instrument.symbol.as_str().to_owned(), of);
            }
        }
    }
    if !own.is_empty() {
        all.insert("instruments".to_owned(), Value::Object(own));
    }
    Value::Object(all)
}

/// `GET /api/risk/limits`: amounts are decimals in texts, so that nobody rounds them; `null` does not bind.
pub(crate) async fn show(State(state): State<Arc<HttpState>>) -> Answer {
    let mut held = state.api.limits.held.lock().await;
    held.forget_old((state.unix)());
    let instruments: Map<String, Value> = state
        .instruments
        .iter()
        .map(|(index, instrument)| {
            let symbol = instrument.symbol.as_str().to_owned();
            (symbol, own_json(&held.of(index), instrument))
        })
        .collect();
    let proposals: Vec<Value> = held
        .proposals
        .iter()
        .map(|proposal| {
            json!({
                "proposal_id": proposal.id,
                "proposed_by": proposal.by,
                "proposed_at": proposal.at.rfc3339(),
                "expires_at": proposal.at.plus_ms(PROPOSAL_LIFE_MS).rfc3339(),
                "current": proposal.version == held.version,
                "change": changes_json(&state, &proposal.changes),
            })
        })
        .collect();
    ok(&json!({
        "global": global_json(&held.global),
        "instruments": instruments,
        "proposals": proposals,
    }))
}

/// `POST /api/risk/limits`. Limits that are so already are answered as such.
pub(crate) async fn change(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    let fields = body::read_json(request).await?;
    state.needs_account()?;
    let mut held = state.api.limits.held.lock().await;
    let changes = changes_of(&state, &held, &fields)?;
    if changes.is_empty() {
        // Nothing was done, so nothing is recorded, and proposals stay good.
        return ok(&json!({ "ok": true, "applied": true, "changed": false }));
    }
    if !held.loosens(&changes) {
        let details = json!({ "change": differences(&state, &held, &changes), "loosens": false });
        make(&state, &who, &mut held, &changes, details).await?;
        return ok(&json!({ "ok": true, "applied": true, "changed": true }));
    }
    if principal.via == Via::Machine {
        return Err(Problem::new(
            Code::Forbidden,
            "a limit is loosened by two people, and without authentication nobody says who he is: only tightening is taken",
        ));
    }
    let now = (state.unix)();
    held.forget_old(now);
    if held.proposals.len() >= PROPOSALS_MAX {
        return Err(Problem::new(
            Code::Conflict,
            "as many proposals wait as may: approve or withdraw one",
        ));
    }
    let operation = Operation {
        log_type: LogType::Order,
        action: "limits_proposed",
        details: json!({ "change": differences(&state, &held, &changes) }),
        safer: false,
    };
    operation
        .record(&state, &who, "limits_proposal_failed")
        .await?;
    held.last_proposal += 1;
    let proposal = Proposal {
        id: held.last_proposal,
        by: principal.user_id.clone(),
        at: now,
        version: held.version,
        changes,
    };
    let body = json!({
        "ok": true,
        "applied": false,
        "proposal_id": proposal.id,
        "expires_at": now.plus_ms(PROPOSAL_LIFE_MS).rfc3339(),
        "message": "somebody else must approve this: POST /api/risk/limits/approve",
    });
    held.proposals.push(proposal);
    Ok(answer(StatusCode::ACCEPTED, &body))
}

fn proposal_id(fields: &Fields) -> Result<u64, Problem> {
    fields.only(&["proposal_id"])?;
    let text = fields
        .optional_number("proposal_id")?
        .ok_or_else(|| expected("proposal_id", "a number"))?;
    number::whole("proposal_id", text, u64::MAX)
}

/// `POST /api/risk/limits/approve`.
pub(crate) async fn approve(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    context: Option<Extension<SpanContext>>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: context.map(|Extension(context)| context),
    };
    let id = proposal_id(&body::read_json(request).await?)?;
    let mut held = state.api.limits.held.lock().await;
    held.forget_old((state.unix)());
    let proposal = held.take(id)?;
    let refusal = if proposal.by == principal.user_id {
        Some(("own_proposal", "who proposed a change does not approve it"))
    } else if !matches!(principal.via, Via::Session { .. }) {
        Some((
            "no_login",
            "a change is approved by who logged in with a password, not with a key",
        ))
    } else {
        None
    };
    if let Some((reason, sentence)) = refusal {
        held.proposals.push(proposal);
        state.record(|at| {
            let details = json!({
                "permission": "approve",
                "reason": reason,
                "proposal_id": id,
                "auth_method": principal.via.label(),
            });
            let user_id = &principal.user_id;
            caller.entry(LogType::Auth, "permission_denied", user_id, details, at)
        });
        return Err(Problem::new(Code::Forbidden, sentence));
    }
    if proposal.version != held.version {
        return Err(Problem::new(
            Code::Conflict,
            "the limits were changed since: the proposal is dropped, make it anew",
        ));
    }
    let details = json!({
        "change": differences(&state, &held, &proposal.changes),
        "loosens": true,
        "proposed_by": proposal.by,
    });
    if let Err(problem) = make(&state, &who, &mut held, &proposal.changes, details).await {
        held.proposals.push(proposal);
        return Err(problem);
    }
    ok(&json!({ "ok": true, "applied": true, "proposal_id": id }))
}

/// `POST /api/risk/limits/withdraw`.
pub(crate) async fn withdraw(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let who = Who {
        caller: &caller,
        principal: &principal,
        context: None,
    };
    let id = proposal_id(&body::read_json(request).await?)?;
    let mut held = state.api.limits.held.lock().await;
    let proposal = held.take(id)?;
    let operation = Operation {
        log_type: LogType::Order,
        action: "limits_withdrawn",
        details: json!({ "proposed_by": proposal.by }),
        safer: true,
    };
    operation
        .record(&state, &who, "limits_withdrawal_failed")
        .await?;
    ok(&json!({ "ok": true, "proposal_id": id }))
}

/// Records, keeps and makes changes, in this order; what the core does not take is kept no longer.
async fn make(
    state: &HttpState,
    who: &Who<'_>,
    held: &mut Held,
    changes: &[LimitsChange],
    details: Value,
) -> Result<(), Problem> {
    let operation = Operation {
        log_type: LogType::Order,
        action: "limits_changed",
        details,
        safer: false,
    };
    let made = kept_and_made(state, who, held, changes);
    operation
        .perform(state, who, "limits_change_failed", made)
        .await
}

async fn kept_and_made(
    state: &HttpState,
    who: &Who<'_>,
    held: &mut Held,
    changes: &[LimitsChange],
) -> Result<(), Problem> {
    keep(state, held.undo(changes), changes.to_vec()).await?;
    for (done, change) in changes.iter().enumerate() {
        let made = operate(state, who, "set_limits", |token| Command::SetLimits {
            token,
            change: *change,
        })
        .await;
        if let Err(problem) = made {
            let rest = &changes[done..];
            let undo = held.undo(rest);
            if keep(state, rest.to_vec(), undo).await.is_err() {
                tracing::error!(
                    component = "gateway",
                    "limits that the engine did not take are kept for the next start"
                );
            }
            return Err(problem);
        }
        held.apply(change);
    }
    Ok(())
}

async fn keep(
    state: &HttpState,
    before: Vec<LimitsChange>,
    changes: Vec<LimitsChange>,
) -> Result<(), Problem> {
    let administration = Arc::clone(&state.api.administration);
    blocking(move || administration.keep_limits(&before, &changes))
        .await
        .map_err(Problem::from)
}

impl From<NotDone> for Problem {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Unsound(sentence) => Self::new(Code::BadParams, sentence),
            NotDone::NotKept(sentence) => Self::new(Code::StorageUnavailable, sentence),
            NotDone::NotHere(sentence) => Self::new(Code::Conflict, sentence),
        }
    }
}

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
