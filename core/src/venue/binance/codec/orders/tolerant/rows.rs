//! What answers are made of: orders, balances, own trades, limits.
//!
//! Owns: one reader for each, and the lists of them. Does not: know which request asked.

use super::super::{Context, Limits, Lists, OrderCount, Placed};
use super::keys::{
    ASSET, BALANCES, CLIENT_ORDER_ID, COMMISSION, COMMISSION_ASSET, COUNT, EXECUTED_QTY, FREE,
    INTERVAL, INTERVAL_COUNT, IS_BUYER, IS_MAKER, Key, LIMIT, LIMIT_TYPE, LOCKED, ORDER_ID,
    ORDER_REPORTS, ORIG_CLIENT_ORDER_ID, ORIG_QTY, Object, PRICE, QTY, RATE_LIMITS, REQUEST_ID,
    RESULT, SIDE, STATUS, SYMBOL, TIME, TRANSACT_TIME, UPDATE_TIME, object,
};
use super::{is_foreigners, word};
use crate::instrument::InstrumentIndex;
use crate::order::{Balance, Fill, OrderKey, OrderStatus, OwnTrade, Side, VenueStatus};
use crate::units::{Lots, Ticks, VenueMillis};
use crate::venue::binance::codec::RequestWeight;
use crate::venue::binance::codec::orders::MINUTE;
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::venue::binance::order_error::span;
use crate::wire::json::raw::Raw;
use crate::wire::json::tolerant::each_element;

/// How one kind of answer names what an order is.
pub(super) struct Form {
    client_id: Key,
    qty: Key,
    updated: Key,
}

/// A cancel's report: `clientOrderId` is the cancel's own id.
pub(super) const CANCEL_REPORT: Form = Form {
    client_id: ORIG_CLIENT_ORDER_ID,
    qty: ORIG_QTY,
    updated: TRANSACT_TIME,
};

/// An order as it was queried.
pub(super) const QUERIED: Form = Form {
    client_id: CLIENT_ORDER_ID,
    qty: ORIG_QTY,
    updated: UPDATE_TIME,
};

/// An amended order: the id that it had, which we keep; its time stands beside it.
pub(super) const AMENDED: Form = Form {
    client_id: ORIG_CLIENT_ORDER_ID,
    qty: QTY,
    updated: TRANSACT_TIME,
};

/// Instrument and owner of an order; `None` when the symbol is not ours.
fn owner(
    report: &Object<'_>,
    client_id: Key,
    context: &Context,
) -> Result<Option<(InstrumentIndex, OrderKey)>, Fault> {
    let found = report.text(SYMBOL, |symbol| {
        context.symbols.by_payload(symbol.as_bytes())
    })?;
    let Some(instrument) = found else {
        return Ok(None);
    };
    let key = report
        .text(client_id, |id| context.ids.parse(id.as_bytes()))
        .map_err(|fault| fault.of(instrument))?;
    Ok(Some((instrument, key)))
}

/// The order that an answer is about: we asked for it, so it must be readable.
pub(super) fn order(
    report: &Object<'_>,
    form: &Form,
    context: &Context,
) -> Result<OrderStatus, Fault> {
    let updated = report.millis(form.updated)?;
    order_at(report, form, updated, context)
}

/// As [`order`], with the time from elsewhere.
pub(super) fn order_at(
    report: &Object<'_>,
    form: &Form,
    updated: VenueMillis,
    context: &Context,
) -> Result<OrderStatus, Fault> {
    let (instrument, key) = owner(report, form.client_id, context)?
        .ok_or(Fault::field(VenueFault::UnknownInstrument, SYMBOL.name()))?;
    status_of(report, form, updated, instrument, key, context).map_err(|fault| fault.of(instrument))
}

fn status_of(
    report: &Object<'_>,
    form: &Form,
    updated: VenueMillis,
    instrument: InstrumentIndex,
    key: OrderKey,
    context: &Context,
) -> Result<OrderStatus, Fault> {
    let grids = context.grids(instrument);
    let unknown = |name| Fault::field(VenueFault::UnknownWord, name);
    let status = report
        .text(STATUS, |text| {
            word(&VenueStatus::ALL, VenueStatus::label, text)
        })?
        .ok_or(unknown(STATUS.name()))?;
    let side = report
        .text(SIDE, |text| word(&Side::ALL, Side::label, text))?
        .ok_or(unknown(SIDE.name()))?;
    Ok(OrderStatus {
        instrument,
        key,
        venue_order_id: report.unsigned(ORDER_ID)?,
        status,
        side,
        price: Ticks(report.decimal(PRICE, grids.tick)?),
        qty: Lots(report.decimal(form.qty, grids.lot)?),
        executed: Lots(report.decimal(EXECUTED_QTY, grids.lot)?),
        updated,
    })
}

/// A list of orders. Elements that are order lists themselves hold the reports of their orders.
pub(super) fn orders(
    rows: Raw<'_>,
    form: &Form,
    context: &mut Context,
    lists: &mut Lists,
) -> Result<(), Fault> {
    lists.orders.items.clear();
    each_element(rows, |element| {
        let row = element_object(element)?;
        match row.optional(ORDER_REPORTS) {
            Some(reports) => each_element(reports, |report| {
                listed(&element_object(report)?, form, context, lists)
            }),
            None => listed(&row, form, context, lists),
        }
    })
}

fn listed(
    report: &Object<'_>,
    form: &Form,
    context: &mut Context,
    lists: &mut Lists,
) -> Result<(), Fault> {
    let Some((instrument, key)) = owner(report, form.client_id, context)? else {
        context.counts.other_symbols += 1;
        return Ok(());
    };
    let read = report
        .millis(form.updated)
        .and_then(|updated| status_of(report, form, updated, instrument, key, context));
    match read {
        Ok(status) => lists
            .orders
            .push(status)
            .map_err(|_| Fault::field(VenueFault::TooManyItems, RESULT.name())),
        Err(fault) if is_foreigners(key, &fault) => {
            context.counts.unreadable_foreign += 1;
            Ok(())
        }
        Err(fault) => Err(fault.of(instrument)),
    }
}

fn element_object(element: Raw<'_>) -> Result<Object<'_>, Fault> {
    object(element.get())?.ok_or(Fault::field(VenueFault::WrongType, RESULT.name()))
}

/// The answer to a new order, in any of its lengths.
pub(super) fn placed(report: &Object<'_>, context: &Context) -> Result<Placed, Fault> {
    let (instrument, key) = owner(report, CLIENT_ORDER_ID, context)?
        .ok_or(Fault::field(VenueFault::UnknownInstrument, SYMBOL.name()))?;
    let read = || {
        Ok(Placed {
            instrument,
            key,
            venue_order_id: report.unsigned(ORDER_ID)?,
            at: report.millis(TRANSACT_TIME)?,
        })
    };
    read().map_err(|fault: Fault| fault.of(instrument))
}

/// The balances of an account.
pub(super) fn balances(
    account: &Object<'_>,
    context: &mut Context,
    lists: &mut Lists,
) -> Result<(), Fault> {
    lists.balances.items.clear();
    each_element(account.raw(BALANCES)?, |element| {
        let Some(row) = object(element.get())? else {
            return Err(Fault::field(VenueFault::WrongType, BALANCES.name()));
        };
        let Some(asset) = row.text(ASSET, |name| context.asset(name))? else {
            return Ok(());
        };
        let balance = Balance {
            asset,
            free: row.amount(FREE)?,
            locked: row.amount(LOCKED)?,
        };
        lists
            .balances
            .push(balance)
            .map_err(|_| Fault::field(VenueFault::TooManyItems, BALANCES.name()))
    })
}

/// Own trades. Rows do not say whose order it was, so one that cannot be read is a fault.
pub(super) fn trades(rows: Raw<'_>, context: &mut Context, lists: &mut Lists) -> Result<(), Fault> {
    lists.trades.items.clear();
    each_element(rows, |element| {
        let row = element_object(element)?;
        let found = row.text(SYMBOL, |symbol| {
            context.symbols.by_payload(symbol.as_bytes())
        })?;
        let Some(instrument) = found else {
            context.counts.other_symbols += 1;
            return Ok(());
        };
        let trade = trade(&row, instrument, context).map_err(|fault| fault.of(instrument))?;
        lists
            .trades
            .push(trade)
            .map_err(|_| Fault::field(VenueFault::TooManyItems, RESULT.name()))
    })
}

fn trade(
    row: &Object<'_>,
    instrument: InstrumentIndex,
    context: &mut Context,
) -> Result<OwnTrade, Fault> {
    let grids = context.grids(instrument);
    let price = row.decimal(PRICE, grids.tick)?;
    let qty = row.decimal(QTY, grids.lot)?;
    if price == 0 {
        return Err(Fault::field(VenueFault::EmptyTrade, PRICE.name()));
    }
    if qty == 0 {
        return Err(Fault::field(VenueFault::EmptyTrade, QTY.name()));
    }
    let side = if row.boolean(IS_BUYER)? {
        Side::Buy
    } else {
        Side::Sell
    };
    let fill = Fill {
        trade_id: row.unsigned(REQUEST_ID)?,
        price: Ticks(price),
        qty: Lots(qty),
        fee: row.amount(COMMISSION)?,
        is_maker: row.boolean(IS_MAKER)?,
        at: row.millis(TIME)?,
        fee_asset: row.text(COMMISSION_ASSET, |name| context.fee_asset(name))?,
    };
    Ok(OwnTrade {
        instrument,
        venue_order_id: row.unsigned(ORDER_ID)?,
        side,
        fill,
    })
}

#[derive(Clone, Copy)]
enum LimitKind {
    Weight,
    Orders,
}

/// A list of limits. Limits of other kinds, and of windows that we do not know, are skipped.
pub(super) fn limits(rows: Raw<'_>, used: &mut Limits) -> Result<(), Fault> {
    each_element(rows, |row| {
        let Some(row) = object(row.get())? else {
            return Err(Fault::field(VenueFault::WrongType, RATE_LIMITS.name()));
        };
        let kind = row.text(LIMIT_TYPE, |name| match name {
            "REQUEST_WEIGHT" => Some(LimitKind::Weight),
            "ORDERS" => Some(LimitKind::Orders),
            _ => None,
        })?;
        let Some(kind) = kind else {
            return Ok(());
        };
        let count = row.unsigned_32(INTERVAL_COUNT)?;
        let Some(window) = row.text(INTERVAL, |interval| span(interval, count))? else {
            return Ok(());
        };
        let row = OrderCount {
            window,
            used: row.unsigned_32(COUNT)?,
            limit: row.unsigned_32(LIMIT)?,
        };
        match kind {
            LimitKind::Weight if window == MINUTE => {
                used.weight = Some(RequestWeight {
                    used: row.used,
                    limit: row.limit,
                });
                Ok(())
            }
            LimitKind::Weight => Ok(()),
            LimitKind::Orders => used
                .note(row)
                .map_err(|_| Fault::field(VenueFault::TooManyItems, RATE_LIMITS.name())),
        }
    })
}
