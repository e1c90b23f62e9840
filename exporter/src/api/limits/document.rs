//! Limits and changes of them as JSON: as a request names them, and as answers and records show them.
//!
//! Owns: the names of limits, and the words for one that does not bind. Does not: judge whether a change loosens anything, or
//! make it. Invariants: a limit has one name and one unit both ways, and the `null` by which one that does not bind is shown
//! is taken as such; a name that is not known is refused; amounts are shown as decimals in texts, so that nobody rounds them.

use super::Held;
use crate::api::number;
use crate::http::HttpState;
use crate::http::body::{Fields, Json, expected};
use crate::http::problem::{Code, Problem};
use serde_json::{Map, Value, json};
use veloz_core::instrument::Instrument;
use veloz_core::risk::{GlobalLimits, InstrumentLimits, LimitsChange};
use veloz_core::units::{E8, Lots, Nanos};

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
pub(super) fn changes_of(
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

pub(super) fn global_json(limits: &GlobalLimits) -> Value {
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

pub(super) fn own_json(limits: &InstrumentLimits, instrument: &Instrument) -> Value {
    json!({
        "order_qty_max": limits.order_qty_max.map(|lots| instrument.qty(lots).to_string()),
        "order_notional_max": limits.order_notional_max.map(|max| max.to_string()),
        "position_max": limits.position_max.map(|max| max.to_string()),
        "open_orders_max": limits.open_orders_max,
        "price_collar_bps": limits.price_collar_bps,
    })
}

pub(super) fn changes_json(state: &HttpState, changes: &[LimitsChange]) -> Value {
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
pub(super) fn differences(state: &HttpState, held: &Held, changes: &[LimitsChange]) -> Value {
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
