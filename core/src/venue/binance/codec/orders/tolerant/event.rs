//! User data events.
//!
//! Owns: what each event says. Does not: order events or drop duplicates; the order machine does.

use super::super::{Context, Lists, OrderMessage};
use super::keys::{
    BIG_A, BIG_B, BIG_C, BIG_I, BIG_L, BIG_N, BIG_S, BIG_T, BIG_X, EVENT, EVENT_MS, EVENT_TYPE,
    Object, SMALL_A, SMALL_C, SMALL_D, SMALL_F, SMALL_I, SMALL_L, SMALL_M, SMALL_N, SMALL_P,
    SMALL_Q, SMALL_S, SMALL_T, SMALL_U, SMALL_X, SMALL_Z, object,
};
use super::{is_foreigners, word};
use crate::instrument::InstrumentIndex;
use crate::order::{Balance, ExecutionKind, ExecutionReport, Fill, OrderKey, Side, VenueStatus};
use crate::units::{Lots, Ticks};
use crate::venue::binance::codec::Grids;
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::wire::json::raw::Raw;
use crate::wire::json::tolerant::each_element;

#[derive(Clone, Copy, PartialEq, Eq)]
enum EventType {
    Report,
    Account,
    BalanceDelta,
    ExternalLock,
    ListStatus,
    StreamTerminated,
    ServerShutdown,
    Unknown,
}

/// The value of `event`.
pub(super) fn decode<'l>(
    event: Raw<'_>,
    context: &mut Context,
    lists: &'l mut Lists,
) -> Result<OrderMessage<'l>, Fault> {
    let Some(event) = object(event.get())? else {
        return Err(Fault::field(VenueFault::WrongType, EVENT.name()));
    };
    let kind = event.text(EVENT_TYPE, |name| match name {
        "executionReport" => EventType::Report,
        "outboundAccountPosition" => EventType::Account,
        "balanceUpdate" => EventType::BalanceDelta,
        "externalLockUpdate" => EventType::ExternalLock,
        "listStatus" => EventType::ListStatus,
        "eventStreamTerminated" => EventType::StreamTerminated,
        "serverShutdown" => EventType::ServerShutdown,
        _ => EventType::Unknown,
    })?;
    match kind {
        EventType::Report => report(&event, context),
        EventType::Account => account(&event, context, lists),
        EventType::BalanceDelta => balance_delta(&event, context),
        EventType::ExternalLock => external_lock(&event, context),
        EventType::ListStatus => Ok(OrderMessage::ListStatus),
        EventType::StreamTerminated => Ok(OrderMessage::StreamTerminated {
            event: event.millis(EVENT_MS)?,
        }),
        EventType::ServerShutdown => Ok(OrderMessage::ServerShutdown {
            event: event.millis(EVENT_MS)?,
        }),
        EventType::Unknown => Ok(OrderMessage::Ignored),
    }
}

fn report(event: &Object<'_>, context: &mut Context) -> Result<OrderMessage<'static>, Fault> {
    let found = event.text(SMALL_S, |symbol| {
        context.symbols.by_payload(symbol.as_bytes())
    })?;
    let Some(instrument) = found else {
        context.counts.other_symbols += 1;
        return Ok(OrderMessage::Ignored);
    };
    let key = key(event, context).map_err(|fault| fault.of(instrument))?;
    match report_of(event, instrument, key, context) {
        Ok(report) => Ok(OrderMessage::Report(report)),
        Err(fault) if is_foreigners(key, &fault) => {
            context.counts.unreadable_foreign += 1;
            Ok(OrderMessage::Ignored)
        }
        Err(fault) => Err(fault.of(instrument)),
    }
}

/// Whose order a report is about. When an order is cancelled or amended, `c` is the id of that request or
/// the new id, and `C` the id under which the order was known.
fn key(event: &Object<'_>, context: &Context) -> Result<OrderKey, Fault> {
    let renames = event.text(SMALL_X, |name| {
        name == ExecutionKind::Canceled.label() || name == ExecutionKind::Replaced.label()
    })?;
    let current = event.text(SMALL_C, |id| context.ids.parse(id.as_bytes()))?;
    let earlier = event.text(BIG_C, |id| {
        (!id.is_empty()).then(|| context.ids.parse(id.as_bytes()))
    })?;
    Ok(match earlier {
        Some(earlier) if renames => earlier,
        Some(_) | None => current,
    })
}

fn report_of(
    event: &Object<'_>,
    instrument: InstrumentIndex,
    key: OrderKey,
    context: &mut Context,
) -> Result<ExecutionReport, Fault> {
    let grids = context.grids(instrument);
    let unknown = |name| Fault::field(VenueFault::UnknownWord, name);
    let kind = event
        .text(SMALL_X, |text| {
            word(&ExecutionKind::ALL, ExecutionKind::label, text)
        })?
        .ok_or(unknown(SMALL_X.name()))?;
    let status = event
        .text(BIG_X, |text| {
            word(&VenueStatus::ALL, VenueStatus::label, text)
        })?
        .ok_or(unknown(BIG_X.name()))?;
    let side = event
        .text(BIG_S, |text| word(&Side::ALL, Side::label, text))?
        .ok_or(unknown(BIG_S.name()))?;
    let prevented = if event.has(BIG_A) {
        Lots(event.decimal(BIG_A, grids.lot)?)
    } else {
        Lots::ZERO
    };
    let price = Ticks(event.decimal(SMALL_P, grids.tick)?);
    let qty = Lots(event.decimal(SMALL_Q, grids.lot)?);
    let executed = Lots(event.decimal(SMALL_Z, grids.lot)?);
    let fill = match kind {
        ExecutionKind::Trade => Some(fill(event, grids, context)?),
        ExecutionKind::New
        | ExecutionKind::Canceled
        | ExecutionKind::Replaced
        | ExecutionKind::Rejected
        | ExecutionKind::Expired
        | ExecutionKind::TradePrevention => None,
    };
    Ok(ExecutionReport {
        instrument,
        key,
        venue_order_id: event.unsigned(SMALL_I)?,
        kind,
        status,
        side,
        price,
        qty,
        executed,
        prevented,
        fill,
        execution_id: event.unsigned(BIG_I)?,
        transacted: event.millis(BIG_T)?,
        event: event.millis(EVENT_MS)?,
    })
}

/// The fill of a report that tells one.
fn fill(event: &Object<'_>, grids: Grids, context: &mut Context) -> Result<Fill, Fault> {
    // The venue writes -1 where there is none.
    let trade_id = u64::try_from(event.signed(SMALL_T)?)
        .map_err(|_| Fault::field(VenueFault::OrderInconsistent, SMALL_T.name()))?;
    let price = event.decimal(BIG_L, grids.tick)?;
    let qty = event.decimal(SMALL_L, grids.lot)?;
    if price == 0 {
        return Err(Fault::field(VenueFault::EmptyTrade, BIG_L.name()));
    }
    if qty == 0 {
        return Err(Fault::field(VenueFault::EmptyTrade, SMALL_L.name()));
    }
    let fee = event.amount(SMALL_N)?;
    let is_maker = event.boolean(SMALL_M)?;
    let at = event.millis(BIG_T)?;
    let fee_asset = if event.raw(BIG_N)?.get() == "null" {
        None
    } else {
        event.text(BIG_N, |name| context.fee_asset(name))?
    };
    Ok(Fill {
        trade_id,
        price: Ticks(price),
        qty: Lots(qty),
        fee,
        fee_asset,
        is_maker,
        at,
    })
}

fn account<'l>(
    event: &Object<'_>,
    context: &mut Context,
    lists: &'l mut Lists,
) -> Result<OrderMessage<'l>, Fault> {
    let (told, updated) = (event.millis(EVENT_MS)?, event.millis(SMALL_U)?);
    lists.balances.items.clear();
    each_element(event.raw(BIG_B)?, |element| {
        let Some(row) = object(element.get())? else {
            return Err(Fault::field(VenueFault::WrongType, BIG_B.name()));
        };
        let Some(asset) = row.text(SMALL_A, |name| context.asset(name))? else {
            return Ok(());
        };
        let balance = Balance {
            asset,
            free: row.amount(SMALL_F)?,
            locked: row.amount(SMALL_L)?,
        };
        lists
            .balances
            .push(balance)
            .map_err(|_| Fault::field(VenueFault::TooManyItems, BIG_B.name()))
    })?;
    Ok(OrderMessage::Account {
        event: told,
        updated,
        balances: &lists.balances.items,
    })
}

fn balance_delta(
    event: &Object<'_>,
    context: &mut Context,
) -> Result<OrderMessage<'static>, Fault> {
    let Some(asset) = event.text(SMALL_A, |name| context.asset(name))? else {
        return Ok(OrderMessage::Ignored);
    };
    Ok(OrderMessage::BalanceDelta {
        asset,
        delta: event.signed_amount(SMALL_D)?,
        event: event.millis(EVENT_MS)?,
        cleared: event.millis(BIG_T)?,
    })
}

fn external_lock(
    event: &Object<'_>,
    context: &mut Context,
) -> Result<OrderMessage<'static>, Fault> {
    let Some(asset) = event.text(SMALL_A, |name| context.asset(name))? else {
        return Ok(OrderMessage::Ignored);
    };
    Ok(OrderMessage::ExternalLock {
        asset,
        delta: event.signed_amount(SMALL_D)?,
        event: event.millis(EVENT_MS)?,
        at: event.millis(BIG_T)?,
    })
}
