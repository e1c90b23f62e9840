//! The terms of an order, as a request says them.
//!
//! Owns: [`Wanted`], the names and words of its fields. Does not: take the client's id, or know whether risk lets the order
//! through. Invariants: a field that is not known is refused, and so is a value that does not go with the type of order;
//! prices and quantities are whole steps of the instrument.

use crate::api::number;
use crate::http::HttpState;
use crate::http::body::{Fields, expected};
use crate::http::problem::Problem;
use veloz_core::instrument::Instrument;
use veloz_core::order::{
    ClientId, Intent, OrderKind, Origin, SelfTradePrevention, Side, TimeInForce,
};
use veloz_core::units::Ticks;

/// What an order is to be, as a request says.
pub(super) struct Wanted {
    pub(super) intent: Intent,
    pub(super) client_id: Option<ClientId>,
}

pub(super) fn wanted(state: &HttpState, fields: &Fields) -> Result<Wanted, Problem> {
    fields.only(&[
        "side",
        "symbol",
        "qty",
        "price",
        "client_order_id",
        "type",
        "order_type",
        "tif",
        "time_in_force",
    ])?;
    let side = match fields.text("side")?.to_ascii_uppercase().as_str() {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(expected("side", "BUY or SELL")),
    };
    let (index, instrument) = state.instrument("symbol", fields.text("symbol")?)?;
    let (kind, time_in_force) = kind_of(fields)?;
    let qty = number::qty(fields, "qty", instrument)?;
    let price = price_of(fields, kind, instrument)?;
    Ok(Wanted {
        intent: Intent {
            instrument: index,
            side,
            kind,
            time_in_force,
            price,
            qty,
            self_trade_prevention: prevention(state, instrument),
            origin: Origin::Operator,
        },
        client_id: client_id(fields, "client_order_id")?,
    })
}

/// What is configured, where the venue allows it for the instrument; else what the venue does by itself.
fn prevention(state: &HttpState, instrument: &Instrument) -> SelfTradePrevention {
    let rules = &instrument.order_rules;
    state
        .api
        .profile
        .self_trade_prevention
        .filter(|mode| rules.allows(*mode))
        .unwrap_or(rules.self_trade_prevention)
}

/// One of two names of the same field.
fn either<'a>(
    fields: &'a Fields,
    name: &'static str,
    other: &'static str,
) -> Result<Option<&'a str>, Problem> {
    match (fields.optional_text(name)?, fields.optional_text(other)?) {
        (Some(_), Some(_)) => Err(expected(name, &format!("it or {other}, not both,"))),
        (one, other) => Ok(one.or(other).filter(|text| !text.is_empty())),
    }
}

/// Type and time in force, with what clients that say neither expect.
fn kind_of(fields: &Fields) -> Result<(OrderKind, TimeInForce), Problem> {
    let kind = match either(fields, "type", "order_type")?
        .unwrap_or("LIMIT")
        .to_ascii_uppercase()
        .as_str()
    {
        "LIMIT" | "L" => OrderKind::Limit,
        "MARKET" | "M" => OrderKind::Market,
        "LIMIT_MAKER" => OrderKind::LimitMaker,
        _ => return Err(expected("type", "LIMIT, MARKET or LIMIT_MAKER")),
    };
    let Some(word) = either(fields, "tif", "time_in_force")? else {
        return Ok((kind, TimeInForce::Gtc));
    };
    match (kind, word.to_ascii_uppercase().as_str()) {
        (_, "GTC") => Ok((kind, TimeInForce::Gtc)),
        (OrderKind::Limit, "IOC") => Ok((kind, TimeInForce::Ioc)),
        (OrderKind::Limit, "FOK") => Ok((kind, TimeInForce::Fok)),
        // Good till crossing: another word for post-only.
        (OrderKind::Limit | OrderKind::LimitMaker, "GTX") => {
            Ok((OrderKind::LimitMaker, TimeInForce::Gtc))
        }
        (OrderKind::Limit, _) => Err(expected("tif", "GTC, IOC, FOK or GTX")),
        (OrderKind::LimitMaker, _) => Err(expected("tif", "GTC or GTX, with LIMIT_MAKER,")),
        (OrderKind::Market, _) => Err(expected("tif", "GTC or nothing, with MARKET,")),
    }
}

fn price_of(fields: &Fields, kind: OrderKind, instrument: &Instrument) -> Result<Ticks, Problem> {
    match kind {
        OrderKind::Limit | OrderKind::LimitMaker => {
            number::price(fields, "price", instrument)?.ok_or_else(|| expected("price", "a number"))
        }
        OrderKind::Market => match number::optional_decimal(fields, "price")? {
            None => Ok(Ticks(0)),
            Some(price) if price.0 == 0 => Ok(Ticks(0)),
            Some(_) => Err(expected("price", "nothing or 0, with MARKET,")),
        },
    }
}

pub(super) fn client_id(fields: &Fields, name: &'static str) -> Result<Option<ClientId>, Problem> {
    let text = fields.optional_text(name)?;
    text.filter(|text| !text.is_empty())
        .map(|text| {
            ClientId::new(text)
                .ok_or_else(|| expected(name, "1 to 36 characters of A-Z, a-z, 0-9, _ and -"))
        })
        .transpose()
}
