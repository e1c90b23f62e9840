//! Answers to trading and account requests, as Binance Spot prints them.
//!
//! Owns: the text of order, cancel, amend, account and trade objects, key by key. Does not:
//! decide anything. Source: Binance Spot `web-socket-api.md`, `rest-api.md`; the place of `fills`
//! and eight decimals everywhere as production prints them.

use std::fmt::Write as _;

use veloz_core::units::E8;

use super::super::exchange::{
    AccountConfig, AccountTrade, Amended, Balance, Fill, Order, OrderSide, OrderStatus, Placed,
    PreventedMatch,
};
use super::super::limits::OrderLimits;
use super::super::render::{TimeUnit, json_string};
use super::super::source::VenueMicros;
use super::words::{ResponseType, Word as _};

/// A part of one in [`E8`] that is one basis point: account answers carry fees in these.
const E8_IN_A_BASIS_POINT: i64 = 10_000;
/// Of the first account; the others follow.
const FIRST_UID: usize = 354_937_868;

/// The answer to a new order.
pub(crate) fn placed(symbol: &str, placed: &Placed, kind: ResponseType, unit: TimeUnit) -> String {
    let order = &placed.order;
    let mut out = format!(
        concat!(
            r#"{{"symbol":{},"orderId":{},"orderListId":-1,"clientOrderId":{},"#,
            r#""transactTime":{}"#
        ),
        json_string(symbol),
        order.id,
        json_string(&order.client_order_id),
        unit.of(order.created),
    );
    if kind != ResponseType::Ack {
        quantities(&mut out, order);
        traits(&mut out, order);
        let _ = write!(out, r#","workingTime":{}"#, unit.of(order.created));
        if kind == ResponseType::Full {
            out.push_str(r#","fills":"#);
            list(&mut out, &placed.fills, fill);
        }
        if !placed.prevented.is_empty() {
            out.push_str(r#","preventedMatches":"#);
            list(&mut out, &placed.prevented, prevented_match);
        }
        stp_and_end(&mut out, order, placed.prevented.last());
    }
    out.push('}');
    out
}

/// The answer to a cancel: the order carries the cancel's id from now on.
pub(crate) fn cancelled(symbol: &str, order: &Order, cancel_id: &str, unit: TimeUnit) -> String {
    let mut out = format!(
        concat!(
            r#"{{"symbol":{},"origClientOrderId":{},"orderId":{},"orderListId":-1,"#,
            r#""clientOrderId":{},"transactTime":{}"#
        ),
        json_string(symbol),
        json_string(&order.client_order_id),
        order.id,
        json_string(cancel_id),
        unit.of(order.updated),
    );
    quantities(&mut out, order);
    traits(&mut out, order);
    let _ = write!(
        out,
        r#","selfTradePreventionMode":"{}"}}"#,
        order.stp.word()
    );
    out
}

/// The answer to an amendment.
pub(crate) fn amended(symbol: &str, amended: &Amended, unit: TimeUnit) -> String {
    let order = &amended.order;
    format!(
        concat!(
            r#"{{"transactTime":{},"executionId":{},"amendedOrder":{{"symbol":{},"orderId":{},"#,
            r#""orderListId":-1,"origClientOrderId":{},"clientOrderId":{},"price":"{}","#,
            r#""qty":"{}","executedQty":"{}","preventedQty":"{}","quoteOrderQty":"{}","#,
            r#""cumulativeQuoteQty":"{}","status":"{}","timeInForce":"{}","type":"{}","#,
            r#""side":"{}","workingTime":{},"selfTradePreventionMode":"{}"}}}}"#
        ),
        unit.of(amended.at),
        amended.execution_id,
        json_string(symbol),
        order.id,
        json_string(&amended.previous_client_id),
        json_string(&order.client_order_id),
        order.price,
        order.orig_qty,
        order.executed_qty,
        order.prevented_qty,
        order.quote_order_qty,
        order.cumulative_quote,
        order.status.word(),
        order.time_in_force.word(),
        order.kind.word(),
        order.side.word(),
        unit.of(order.created),
        order.stp.word(),
    )
}

/// An order as `order.status` and `openOrders.status` show it.
pub(crate) fn status(symbol: &str, order: &Order, unit: TimeUnit) -> String {
    let mut out = format!(
        concat!(
            r#"{{"symbol":{},"orderId":{},"orderListId":-1,"clientOrderId":{},"price":"{}","#,
            r#""origQty":"{}","executedQty":"{}","cummulativeQuoteQty":"{}","status":"{}","#,
            r#""timeInForce":"{}","type":"{}","side":"{}","stopPrice":"0.00000000","#,
            r#""icebergQty":"0.00000000","time":{},"updateTime":{},"isWorking":true,"#,
            r#""workingTime":{},"origQuoteOrderQty":"{}""#
        ),
        json_string(symbol),
        order.id,
        json_string(&order.client_order_id),
        order.price,
        order.orig_qty,
        order.executed_qty,
        order.cumulative_quote,
        order.status.word(),
        order.time_in_force.word(),
        order.kind.word(),
        order.side.word(),
        unit.of(order.created),
        unit.of(order.updated),
        unit.of(order.created),
        order.quote_order_qty,
    );
    strategy(&mut out, order);
    stp_and_end(&mut out, order, None);
    out.push('}');
    out
}

/// One trade of `myTrades`.
pub(crate) fn trade(symbol: &str, trade: &AccountTrade, unit: TimeUnit) -> String {
    let fill = &trade.fill;
    format!(
        concat!(
            r#"{{"symbol":{},"id":{},"orderId":{},"orderListId":-1,"price":"{}","qty":"{}","#,
            r#""quoteQty":"{}","commission":"{}","commissionAsset":{},"time":{},"isBuyer":{},"#,
            r#""isMaker":{},"isBestMatch":true}}"#
        ),
        json_string(symbol),
        fill.trade_id,
        fill.order_id,
        fill.price,
        fill.qty,
        fill.quote_qty,
        fill.commission,
        json_string(&fill.commission_asset),
        unit.of(trade.at),
        trade.side == OrderSide::Buy,
        fill.maker,
    )
}

/// `account.status`; `position` numbers the account.
pub(crate) fn account(
    position: usize,
    config: &AccountConfig,
    updated: VenueMicros,
    balances: impl Iterator<Item = Balance>,
    unit: TimeUnit,
) -> String {
    let points = |fee: E8| fee.0 / E8_IN_A_BASIS_POINT;
    let mut out = format!(
        concat!(
            r#"{{"makerCommission":{},"takerCommission":{},"buyerCommission":0,"#,
            r#""sellerCommission":0,"commissionRates":{{"maker":"{}","taker":"{}","#,
            r#""buyer":"0.00000000","seller":"0.00000000"}},"canTrade":true,"#,
            r#""canWithdraw":true,"canDeposit":true,"brokered":false,"#,
            r#""requireSelfTradePrevention":false,"preventSor":false,"updateTime":{},"#,
            r#""accountType":"SPOT","balances":"#
        ),
        points(config.maker_fee),
        points(config.taker_fee),
        config.maker_fee,
        config.taker_fee,
        unit.of(updated),
    );
    let balances: Vec<_> = balances.collect();
    list(&mut out, &balances, |out, balance| {
        let _ = write!(
            out,
            r#"{{"asset":{},"free":"{}","locked":"{}"}}"#,
            json_string(&balance.asset),
            balance.free,
            balance.locked
        );
    });
    let _ = write!(
        out,
        r#","permissions":["SPOT"],"uid":{}}}"#,
        FIRST_UID + position
    );
    out
}

/// `account.commission`; only the standard rates are not zero.
pub(crate) fn commission(symbol: &str, config: &AccountConfig, discount: E8) -> String {
    const NOTHING: &str = concat!(
        r#"{"maker":"0.00000000","taker":"0.00000000","buyer":"0.00000000","#,
        r#""seller":"0.00000000"}"#
    );
    format!(
        concat!(
            r#"{{"symbol":{},"standardCommission":{{"maker":"{}","taker":"{}","#,
            r#""buyer":"0.00000000","seller":"0.00000000"}},"specialCommission":{},"#,
            r#""taxCommission":{},"discount":{}}}"#
        ),
        json_string(symbol),
        config.maker_fee,
        config.taker_fee,
        NOTHING,
        NOTHING,
        bnb_discount(config, discount),
    )
}

/// The answer to a tested order that asked for the rates it would pay.
pub(crate) fn test_commission(config: &AccountConfig, discount: E8) -> String {
    const NOTHING: &str = r#"{"maker":"0.00000000","taker":"0.00000000"}"#;
    format!(
        concat!(
            r#"{{"standardCommissionForOrder":{{"maker":"{}","taker":"{}"}},"#,
            r#""specialCommissionForOrder":{},"taxCommissionForOrder":{},"discount":{}}}"#
        ),
        config.maker_fee,
        config.taker_fee,
        NOTHING,
        NOTHING,
        bnb_discount(config, discount),
    )
}

/// The two counts of orders, as entries of `rateLimits`.
pub(crate) fn order_counts(limits: OrderLimits, (ten_seconds, day): (u32, u32)) -> String {
    format!(
        concat!(
            r#"{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":{},"#,
            r#""count":{}}},{{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"#,
            r#""limit":{},"count":{}}}"#
        ),
        limits.per_ten_seconds, ten_seconds, limits.per_day, day
    )
}

fn bnb_discount(config: &AccountConfig, discount: E8) -> String {
    format!(
        concat!(
            r#"{{"enabledForAccount":{},"enabledForSymbol":true,"discountAsset":"BNB","#,
            r#""discount":"{}"}}"#
        ),
        config.fees_in_bnb, discount
    )
}

/// Price and quantities, as answers to orders and cancels share them.
fn quantities(out: &mut String, order: &Order) {
    let _ = write!(
        out,
        concat!(
            r#","price":"{}","origQty":"{}","executedQty":"{}","origQuoteOrderQty":"{}","#,
            r#""cummulativeQuoteQty":"{}","status":"{}""#
        ),
        order.price,
        order.orig_qty,
        order.executed_qty,
        order.quote_order_qty,
        order.cumulative_quote,
        order.status.word(),
    );
}

fn traits(out: &mut String, order: &Order) {
    let _ = write!(
        out,
        r#","timeInForce":"{}","type":"{}","side":"{}""#,
        order.time_in_force.word(),
        order.kind.word(),
        order.side.word(),
    );
    strategy(out, order);
}

fn strategy(out: &mut String, order: &Order) {
    if let Some(strategy) = order.strategy {
        let _ = write!(out, r#","strategyId":{}"#, strategy.id);
        if let Some(kind) = strategy.kind {
            let _ = write!(out, r#","strategyType":{kind}"#);
        }
    }
}

/// The mode of self-trade prevention and what only ended orders show.
fn stp_and_end(out: &mut String, order: &Order, prevented: Option<&PreventedMatch>) {
    let _ = write!(out, r#","selfTradePreventionMode":"{}""#, order.stp.word());
    if order.status == OrderStatus::ExpiredInMatch {
        if let Some(prevented) = prevented {
            let _ = write!(out, r#","preventedMatchId":{}"#, prevented.match_id);
        }
        let _ = write!(out, r#","preventedQuantity":"{}""#, order.prevented_qty);
    }
    if let Some(reason) = order.expiry {
        let _ = write!(out, r#","expiryReason":"{}""#, reason.word());
    }
}

fn fill(out: &mut String, fill: &Fill) {
    let _ = write!(
        out,
        concat!(
            r#"{{"price":"{}","qty":"{}","commission":"{}","commissionAsset":{},"#,
            r#""tradeId":{}}}"#
        ),
        fill.price,
        fill.qty,
        fill.commission,
        json_string(&fill.commission_asset),
        fill.trade_id
    );
}

fn prevented_match(out: &mut String, prevented: &PreventedMatch) {
    let _ = write!(
        out,
        r#"{{"preventedMatchId":{},"makerOrderId":{},"price":"{}""#,
        prevented.match_id, prevented.maker_order_id, prevented.price
    );
    for (name, qty) in [
        ("takerPreventedQuantity", prevented.taker_prevented_qty),
        ("makerPreventedQuantity", prevented.maker_prevented_qty),
    ] {
        if qty.0 > 0 {
            let _ = write!(out, r#","{name}":"{qty}""#);
        }
    }
    out.push('}');
}

fn list<T>(out: &mut String, items: &[T], item: impl Fn(&mut String, &T)) {
    out.push('[');
    for (position, value) in items.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        item(out, value);
    }
    out.push(']');
}
