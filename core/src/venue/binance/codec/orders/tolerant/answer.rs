//! Answers to our requests.
//!
//! Owns: the envelope, refusals, and what a result means by the kind of request. Does not: know whether the
//! request is still under way.

use super::super::{CancelLeg, Context, Limits, Lists, NewLeg, OrderMessage, OrderOutcome};
use super::keys::{
    AMENDED_ORDER, CAN_TRADE, CANCEL_RESPONSE, CANCEL_RESULT, CODE, DATA, ERROR, Key, MESSAGE,
    NEW_ORDER_RESPONSE, NEW_ORDER_RESULT, Object, RATE_LIMITS, REQUEST_ID, RESULT, RETRY_AFTER,
    SERVER_TIME, STATUS, SUBSCRIPTION_ID, TRANSACT_TIME, object,
};
use super::rows::{
    AMENDED, CANCEL_REPORT, QUERIED, balances, limits, order, order_at, orders, placed, trades,
};
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::venue::binance::order_entry::{RequestId, RequestKind};
use crate::venue::binance::order_error::{ErrorKind, Refusal, classify};

const OK: u16 = 200;
const BAD_REQUEST: u16 = 400;
const UNAUTHORIZED: u16 = 401;

/// An object with `status`.
pub(super) fn decode<'l>(
    top: &Object<'_>,
    context: &mut Context,
    lists: &'l mut Lists,
) -> Result<OrderMessage<'l>, Fault> {
    let id = top.request_id(REQUEST_ID).and_then(RequestId::from_wire);
    let status = top.status(STATUS)?;
    let mut used = Limits::default();
    if let Some(rows) = top.optional(RATE_LIMITS) {
        limits(rows, &mut used)?;
    }
    let outcome = if top.has(ERROR) {
        let error = part(top, ERROR)?;
        let code = error.code(CODE)?;
        let refusal = error.text(MESSAGE, |message| classify(status, code, message))?;
        // Nobody asked: the session itself has ended.
        if id.is_none() && (status == UNAUTHORIZED || refusal.kind == ErrorKind::SessionRevoked) {
            return Ok(OrderMessage::SessionRevoked { code });
        }
        refused(&error, status, refusal, context)?
    } else {
        match id {
            None => OrderOutcome::Empty,
            Some(id) => result(top, id.kind, &mut used, context, lists)?,
        }
    };
    Ok(OrderMessage::Reply {
        id,
        status,
        limits: used,
        outcome,
    })
}

fn refused(
    error: &Object<'_>,
    status: u16,
    refusal: Refusal,
    context: &Context,
) -> Result<OrderOutcome<'static>, Fault> {
    let data = match error.optional(DATA) {
        Some(data) => object(data.get())?,
        None => None,
    };
    match data {
        // Both halves of a replacement, whatever the status and the code say.
        Some(data) if data.has(CANCEL_RESULT) => replaced(&data, status, context),
        data => {
            let retry_after = match data {
                Some(data) if data.has(RETRY_AFTER) => Some(data.millis(RETRY_AFTER)?),
                Some(_) | None => None,
            };
            Ok(OrderOutcome::Error {
                refusal,
                retry_after,
            })
        }
    }
}

fn result<'l>(
    top: &Object<'_>,
    kind: RequestKind,
    used: &mut Limits,
    context: &mut Context,
    lists: &'l mut Lists,
) -> Result<OrderOutcome<'l>, Fault> {
    match kind {
        RequestKind::LogOn => Ok(OrderOutcome::LoggedOn {
            at: part(top, RESULT)?.millis(SERVER_TIME)?,
        }),
        RequestKind::Subscribe => Ok(OrderOutcome::Subscribed {
            id: part(top, RESULT)?.unsigned(SUBSCRIPTION_ID)?,
        }),
        RequestKind::Place => placed(&part(top, RESULT)?, context).map(OrderOutcome::Placed),
        RequestKind::Cancel => {
            let report = part(top, RESULT)?;
            order(&report, &CANCEL_REPORT, context).map(OrderOutcome::Cancelled)
        }
        RequestKind::CancelReplace => replaced(&part(top, RESULT)?, OK, context),
        RequestKind::Amend => {
            let result = part(top, RESULT)?;
            let amended = part(&result, AMENDED_ORDER)?;
            let updated = result.millis(TRANSACT_TIME)?;
            order_at(&amended, &AMENDED, updated, context).map(OrderOutcome::Amended)
        }
        RequestKind::CancelAll => {
            orders(top.raw(RESULT)?, &CANCEL_REPORT, context, lists)?;
            Ok(OrderOutcome::AllCancelled(&lists.orders.items))
        }
        RequestKind::OpenOrders => {
            orders(top.raw(RESULT)?, &QUERIED, context, lists)?;
            Ok(OrderOutcome::OpenOrders(&lists.orders.items))
        }
        RequestKind::Status => {
            let report = part(top, RESULT)?;
            order(&report, &QUERIED, context).map(OrderOutcome::Status)
        }
        RequestKind::Account => {
            let account = part(top, RESULT)?;
            let can_trade = account.boolean(CAN_TRADE)?;
            balances(&account, context, lists)?;
            Ok(OrderOutcome::Account {
                balances: &lists.balances.items,
                can_trade,
            })
        }
        RequestKind::Trades => {
            trades(top.raw(RESULT)?, context, lists)?;
            Ok(OrderOutcome::Trades(&lists.trades.items))
        }
        RequestKind::OrderCounts => {
            limits(top.raw(RESULT)?, used)?;
            Ok(OrderOutcome::OrderCounts)
        }
        RequestKind::Time => {
            let at = part(top, RESULT)?.millis(SERVER_TIME)?;
            Ok(OrderOutcome::ServerTime(at))
        }
        RequestKind::Ping => {
            part(top, RESULT)?;
            Ok(OrderOutcome::Empty)
        }
    }
}

/// The object that a key must hold.
fn part<'a>(whole: &Object<'a>, key: Key) -> Result<Object<'a>, Fault> {
    object(whole.raw(key)?.get())?.ok_or(Fault::field(VenueFault::WrongType, key.name()))
}

/// How one half of a replacement went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Success,
    Failure,
    NotAttempted,
}

/// Both halves of a replacement.
fn replaced(
    data: &Object<'_>,
    status: u16,
    context: &Context,
) -> Result<OrderOutcome<'static>, Fault> {
    let cancel = match half(data, CANCEL_RESULT)? {
        Half::Success => {
            let report = part(data, CANCEL_RESPONSE)?;
            CancelLeg::Cancelled(order(&report, &CANCEL_REPORT, context)?)
        }
        Half::Failure => CancelLeg::Failed(half_refusal(data, CANCEL_RESPONSE, status)?),
        Half::NotAttempted => CancelLeg::NotAttempted,
    };
    let new = match half(data, NEW_ORDER_RESULT)? {
        Half::Success => NewLeg::Placed(placed(&part(data, NEW_ORDER_RESPONSE)?, context)?),
        Half::Failure => NewLeg::Failed(half_refusal(data, NEW_ORDER_RESPONSE, status)?),
        Half::NotAttempted => NewLeg::NotAttempted,
    };
    Ok(OrderOutcome::CancelReplaced { cancel, new })
}

fn half(data: &Object<'_>, key: Key) -> Result<Half, Fault> {
    data.text(key, |text| match text {
        "SUCCESS" => Some(Half::Success),
        "FAILURE" => Some(Half::Failure),
        "NOT_ATTEMPTED" => Some(Half::NotAttempted),
        _ => None,
    })?
    .ok_or(Fault::field(VenueFault::UnknownWord, key.name()))
}

/// The refusal of one half. The answer's status is that of both together; of this half it says something
/// only where it says that the outcome is open, or that we are banned.
fn half_refusal(data: &Object<'_>, key: Key, status: u16) -> Result<Refusal, Fault> {
    let status = match status {
        418 | 500.. => status,
        _ => BAD_REQUEST,
    };
    let error = part(data, key)?;
    let code = error.code(CODE)?;
    error.text(MESSAGE, |message| classify(status, code, message))
}
