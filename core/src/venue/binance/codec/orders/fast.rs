//! The frequent messages of the orders link as Binance sends them today: exact key order, no white space.
//!
//! Owns: the fixed texts around the values of an execution report, of the balances that follow it, of the answers
//! to a new order, a cancel and both in one, and of a plain refusal. Does not: judge. Whatever is not as expected, also a value at fault and
//! everything that is counted, is `None`, and [`super::tolerant`] then says what the message is.
//! Invariant: what is read here, the tolerant parser reads as the same message.

use super::{
    Bounded, CancelLeg, Context, Limits, MINUTE, NewLeg, OrderCount, OrderMessage, OrderOutcome,
    Placed,
};
use crate::event::Payload;
use crate::instrument::InstrumentIndex;
use crate::order::{Balance, ExecutionKind, ExecutionReport, Fill, OrderStatus, Side, VenueStatus};
use crate::units::{E8, Grid, Lots, Ticks, VenueMillis};
use crate::venue::binance::codec::RequestWeight;
use crate::venue::binance::codec::fast::symbol;
use crate::venue::binance::order_entry::{RequestId, RequestKind};
use crate::venue::binance::order_error::{classify, span};
use crate::wire::json::cursor::{Cursor, Digits};

/// Amounts and fees are on the finest grid.
const AMOUNTS: Grid = match Grid::new(E8(1)) {
    Some(grid) => grid,
    None => unreachable!(),
};

/// Decodes one message if it is exactly of a usual form; balances go to `balances`, and the caller puts them
/// into the message.
#[inline]
pub(super) fn decode(
    payload: &Payload<'_>,
    context: &Context,
    balances: &mut Bounded<Balance>,
) -> Option<OrderMessage<'static>> {
    let mut cursor = Cursor::new(payload);
    if cursor.take(b"{\"subscriptionId\":") {
        cursor.unsigned()?;
        cursor.expect(b",\"event\":{\"e\":\"")?;
        let message = if cursor.take(b"executionReport\",\"E\":") {
            OrderMessage::Report(report(&mut cursor, context)?)
        } else {
            cursor.expect(b"outboundAccountPosition\",\"E\":")?;
            account(&mut cursor, context, balances)?
        };
        cursor.expect(b"}}")?;
        cursor.expect_end()?;
        return Some(message);
    }
    cursor.expect(b"{\"id\":")?;
    let reply = answer(&mut cursor, context)?;
    cursor.expect(b"}")?;
    cursor.expect_end()?;
    Some(reply)
}

/// After `"E":`, up to the event's closing brace.
fn report(cursor: &mut Cursor<'_>, context: &Context) -> Option<ExecutionReport> {
    let event = millis(cursor)?;
    cursor.expect(b",\"s\":\"")?;
    let instrument = instrument(cursor, context)?;
    let grids = context.grids(instrument);
    cursor.expect(b"\",\"c\":\"")?;
    let current = cursor.plain_text()?;
    cursor.expect(b",\"S\":\"")?;
    let side = word(&Side::ALL, Side::label, cursor.plain_text()?)?;
    cursor.expect(b",\"o\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"f\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"q\":\"")?;
    let qty = cursor.decimal(&grids.lot)?;
    cursor.expect(b",\"p\":\"")?;
    let price = cursor.decimal(&grids.tick)?;
    cursor.expect(b",\"P\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"F\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"g\":")?;
    minus_one_or_unsigned(cursor)?;
    cursor.expect(b",\"C\":\"")?;
    let earlier = cursor.plain_text()?;
    cursor.expect(b",\"x\":\"")?;
    let kind = word(
        &ExecutionKind::ALL,
        ExecutionKind::label,
        cursor.plain_text()?,
    )?;
    cursor.expect(b",\"X\":\"")?;
    let status = word(&VenueStatus::ALL, VenueStatus::label, cursor.plain_text()?)?;
    cursor.expect(b",\"r\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"i\":")?;
    let venue_order_id = cursor.unsigned()?;
    cursor.expect(b",\"l\":\"")?;
    let last_qty = cursor.decimal(&grids.lot)?;
    cursor.expect(b",\"z\":\"")?;
    let executed = cursor.decimal(&grids.lot)?;
    cursor.expect(b",\"L\":\"")?;
    let last_price = cursor.decimal(&grids.tick)?;
    cursor.expect(b",\"n\":\"")?;
    let fee = amount(cursor)?;
    cursor.expect(b",\"N\":")?;
    let fee_asset = if cursor.take(b"null") {
        None
    } else {
        cursor.expect(b"\"")?;
        Some(context.assets.find(cursor.plain_text()?)?)
    };
    cursor.expect(b",\"T\":")?;
    let transacted = millis(cursor)?;
    cursor.expect(b",\"t\":")?;
    let trade_id = minus_one_or_unsigned(cursor)?;
    cursor.expect(b",\"I\":")?;
    let execution_id = cursor.unsigned()?;
    cursor.expect(b",\"w\":")?;
    cursor.boolean()?;
    cursor.expect(b",\"m\":")?;
    let is_maker = cursor.boolean()?;
    cursor.expect(b",\"M\":")?;
    cursor.boolean()?;
    cursor.expect(b",\"O\":")?;
    cursor.unsigned()?;
    cursor.expect(b",\"Z\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"Y\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"Q\":\"")?;
    cursor.plain_text()?;
    if cursor.take(b",\"W\":") {
        cursor.unsigned()?;
    }
    cursor.expect(b",\"V\":\"")?;
    cursor.plain_text()?;

    let (renamed, fill) = match kind {
        ExecutionKind::Trade => {
            if last_price == 0 || last_qty == 0 {
                return None;
            }
            let fill = Fill {
                trade_id: u64::try_from(trade_id).ok()?,
                price: Ticks(last_price),
                qty: Lots(last_qty),
                fee,
                fee_asset,
                is_maker,
                at: transacted,
            };
            (false, Some(fill))
        }
        ExecutionKind::Canceled | ExecutionKind::Replaced => (true, None),
        ExecutionKind::New
        | ExecutionKind::Rejected
        | ExecutionKind::Expired
        | ExecutionKind::TradePrevention => (false, None),
    };
    let id = if renamed && !earlier.is_empty() {
        earlier
    } else {
        current
    };
    Some(ExecutionReport {
        instrument,
        key: context.ids.parse(id),
        venue_order_id,
        kind,
        status,
        side,
        price: Ticks(price),
        qty: Lots(qty),
        executed: Lots(executed),
        // Named only by reports that are not of the usual form.
        prevented: Lots::ZERO,
        fill,
        execution_id,
        transacted,
        event,
    })
}

/// After `"E":`, up to the event's closing brace.
fn account(
    cursor: &mut Cursor<'_>,
    context: &Context,
    balances: &mut Bounded<Balance>,
) -> Option<OrderMessage<'static>> {
    let event = millis(cursor)?;
    cursor.expect(b",\"u\":")?;
    let updated = millis(cursor)?;
    cursor.expect(b",\"B\":[")?;
    balances.items.clear();
    if !cursor.take(b"]") {
        loop {
            cursor.expect(b"{\"a\":\"")?;
            let asset = context.assets.find(cursor.plain_text()?)?;
            cursor.expect(b",\"f\":\"")?;
            let free = amount(cursor)?;
            cursor.expect(b",\"l\":\"")?;
            let locked = amount(cursor)?;
            cursor.expect(b"}")?;
            let balance = Balance {
                asset,
                free,
                locked,
            };
            balances.push(balance).ok()?;
            if !cursor.take(b",") {
                break;
            }
        }
        cursor.expect(b"]")?;
    }
    Some(OrderMessage::Account {
        event,
        updated,
        balances: &[],
    })
}

/// An answer after `{"id":`, up to the closing brace.
fn answer(cursor: &mut Cursor<'_>, context: &Context) -> Option<OrderMessage<'static>> {
    let id = RequestId::from_wire(i64::try_from(cursor.unsigned()?).ok()?)?;
    let (status, outcome) = if cursor.take(b",\"status\":200,\"result\":{") {
        (200, result(cursor, id.kind, context)?)
    } else {
        cursor.expect(b",\"status\":")?;
        let status = u16::try_from(cursor.unsigned()?).ok()?;
        (status, refusal(cursor, status)?)
    };
    cursor.expect(b"}")?;
    let mut limits = Limits::default();
    if cursor.take(b",\"rateLimits\":[") && !cursor.take(b"]") {
        loop {
            limit(cursor, &mut limits)?;
            if !cursor.take(b",") {
                break;
            }
        }
        cursor.expect(b"]")?;
    }
    Some(OrderMessage::Reply {
        id: Some(id),
        status,
        limits,
        outcome,
    })
}

/// A result after its opening brace, up to its closing one.
fn result(
    cursor: &mut Cursor<'_>,
    kind: RequestKind,
    context: &Context,
) -> Option<OrderOutcome<'static>> {
    match kind {
        RequestKind::Place => placed(cursor, context).map(OrderOutcome::Placed),
        RequestKind::Cancel => cancelled(cursor, context).map(OrderOutcome::Cancelled),
        RequestKind::CancelReplace => {
            cursor.expect(b"\"cancelResult\":\"SUCCESS\",\"newOrderResult\":\"SUCCESS\"")?;
            cursor.expect(b",\"cancelResponse\":{")?;
            let cancel = CancelLeg::Cancelled(cancelled(cursor, context)?);
            cursor.expect(b"},\"newOrderResponse\":{")?;
            let new = NewLeg::Placed(placed(cursor, context)?);
            cursor.expect(b"}")?;
            Some(OrderOutcome::CancelReplaced { cancel, new })
        }
        RequestKind::LogOn
        | RequestKind::Subscribe
        | RequestKind::Amend
        | RequestKind::CancelAll
        | RequestKind::OpenOrders
        | RequestKind::Status
        | RequestKind::Account
        | RequestKind::Trades
        | RequestKind::OrderCounts
        | RequestKind::Time
        | RequestKind::Ping => None,
    }
}

/// The short report of a new order.
fn placed(cursor: &mut Cursor<'_>, context: &Context) -> Option<Placed> {
    cursor.expect(b"\"symbol\":\"")?;
    let instrument = instrument(cursor, context)?;
    cursor.expect(b"\",\"orderId\":")?;
    let venue_order_id = cursor.unsigned()?;
    cursor.expect(b",\"orderListId\":")?;
    minus_one_or_unsigned(cursor)?;
    cursor.expect(b",\"clientOrderId\":\"")?;
    let key = context.ids.parse(cursor.plain_text()?);
    cursor.expect(b",\"transactTime\":")?;
    let at = millis(cursor)?;
    Some(Placed {
        instrument,
        key,
        venue_order_id,
        at,
    })
}

/// The report of a cancel; `clientOrderId` is the cancel's own id.
fn cancelled(cursor: &mut Cursor<'_>, context: &Context) -> Option<OrderStatus> {
    cursor.expect(b"\"symbol\":\"")?;
    let instrument = instrument(cursor, context)?;
    let grids = context.grids(instrument);
    cursor.expect(b"\",\"origClientOrderId\":\"")?;
    let key = context.ids.parse(cursor.plain_text()?);
    cursor.expect(b",\"orderId\":")?;
    let venue_order_id = cursor.unsigned()?;
    cursor.expect(b",\"orderListId\":")?;
    minus_one_or_unsigned(cursor)?;
    cursor.expect(b",\"clientOrderId\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"transactTime\":")?;
    let updated = millis(cursor)?;
    cursor.expect(b",\"price\":\"")?;
    let price = cursor.decimal(&grids.tick)?;
    cursor.expect(b",\"origQty\":\"")?;
    let qty = cursor.decimal(&grids.lot)?;
    cursor.expect(b",\"executedQty\":\"")?;
    let executed = cursor.decimal(&grids.lot)?;
    cursor.expect(b",\"origQuoteOrderQty\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"cummulativeQuoteQty\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"status\":\"")?;
    let status = word(&VenueStatus::ALL, VenueStatus::label, cursor.plain_text()?)?;
    cursor.expect(b",\"timeInForce\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"type\":\"")?;
    cursor.plain_text()?;
    cursor.expect(b",\"side\":\"")?;
    let side = word(&Side::ALL, Side::label, cursor.plain_text()?)?;
    cursor.expect(b",\"selfTradePreventionMode\":\"")?;
    cursor.plain_text()?;
    Some(OrderStatus {
        instrument,
        key,
        venue_order_id,
        status,
        side,
        price: Ticks(price),
        qty: Lots(qty),
        executed: Lots(executed),
        updated,
    })
}

/// A refusal without data, after the status, up to the error's closing brace.
fn refusal(cursor: &mut Cursor<'_>, status: u16) -> Option<OrderOutcome<'static>> {
    cursor.expect(b",\"error\":{\"code\":-")?;
    let code = i32::try_from(cursor.unsigned()?).ok()?;
    cursor.expect(b",\"msg\":\"")?;
    let message = std::str::from_utf8(cursor.plain_text()?).ok()?;
    Some(OrderOutcome::Error {
        refusal: classify(status, -code, message),
        retry_after: None,
    })
}

/// One row of the list of limits.
fn limit(cursor: &mut Cursor<'_>, limits: &mut Limits) -> Option<()> {
    cursor.expect(b"{\"rateLimitType\":\"")?;
    let is_weight = cursor.take(b"REQUEST_WEIGHT");
    if !is_weight {
        cursor.expect(b"ORDERS")?;
    }
    cursor.expect(b"\",\"interval\":\"")?;
    let interval = std::str::from_utf8(cursor.plain_text()?).ok()?;
    cursor.expect(b",\"intervalNum\":")?;
    let count = u32::try_from(cursor.unsigned()?).ok()?;
    let window = span(interval, count)?;
    cursor.expect(b",\"limit\":")?;
    let limit = u32::try_from(cursor.unsigned()?).ok()?;
    cursor.expect(b",\"count\":")?;
    let used = u32::try_from(cursor.unsigned()?).ok()?;
    cursor.expect(b"}")?;
    if !is_weight {
        let row = OrderCount {
            window,
            used,
            limit,
        };
        return limits.note(row).ok();
    }
    if window == MINUTE {
        limits.weight = Some(RequestWeight { used, limit });
    }
    Some(())
}

/// The symbol up to its closing quote, which is not taken.
#[inline]
fn instrument(cursor: &mut Cursor<'_>, context: &Context) -> Option<InstrumentIndex> {
    context.symbols.by_upper(&symbol(cursor, b'"')?)
}

/// A time in milliseconds: thirteen digits until the year 2286.
#[inline]
fn millis(cursor: &mut Cursor<'_>) -> Option<VenueMillis> {
    let value = cursor.unsigned_like(&mut Digits::default())?;
    Some(VenueMillis(value))
}

/// An amount of 1e-8 units; the venue writes no fee as a single zero.
#[inline]
fn amount(cursor: &mut Cursor<'_>) -> Option<E8> {
    if cursor.take(b"0\"") {
        return Some(E8(0));
    }
    cursor.decimal(&AMOUNTS).map(E8)
}

/// An integer that is -1 where the venue says that there is none.
#[inline]
fn minus_one_or_unsigned(cursor: &mut Cursor<'_>) -> Option<i64> {
    if cursor.take(b"-1") {
        return Some(-1);
    }
    i64::try_from(cursor.unsigned()?).ok()
}

/// The variant whose label is `text`.
#[inline]
fn word<T: Copy>(all: &[T], label: impl Fn(T) -> &'static str, text: &[u8]) -> Option<T> {
    all.iter()
        .copied()
        .find(|variant| label(*variant).as_bytes() == text)
}
