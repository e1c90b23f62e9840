//! `/api/risk/*`: limits, how much of them is used, and changing them with four eyes.
//!
//! Owns: [`Limits`], the handlers, proposals. Does not: apply a change itself; the core does, between two events.
//! Invariants: a change that loosens nothing is made by one; any other is proposed by one and approved by another,
//! and where nobody says who he is there is no other, so it is refused; who approves has logged in with his password, which
//! nobody sets over HTTP, because a key may lie where the proposer finds it; a proposal that the limits have moved away from, or that is
//! older than [`PROPOSAL_LIFE_MS`], is none; a change is recorded and kept before it is made.
//!
//! | module | what |
//! | --- | --- |
//! | `limits/document.rs` | limits and changes as JSON, both ways |
//! | `limits/utilization.rs` | how much of every limit is used |

mod document;
mod utilization;

pub(crate) use utilization::utilization;

use super::administration::NotDone;
use super::answer::{Answer, answer, ok};
use super::engine::{Operation, operate};
use super::number;
use super::orders::Who;
use crate::audit::record::LogType;
use crate::auth::{Principal, Via, blocking};
use crate::http::HttpState;
use crate::http::body::{self, Fields, expected};
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use crate::wall::UnixMs;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use document::{changes_json, changes_of, differences, global_json, own_json};
use opentelemetry::trace::SpanContext;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;
use veloz_core::event::Command;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::risk::{GlobalLimits, InstrumentLimits, LimitsChange};

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
