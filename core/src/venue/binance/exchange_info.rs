//! `exchangeInfo`, REST body or websocket-API answer, into instruments and the limits on requests and orders.
//!
//! Owns: which filters an instrument is made of and what is wrong with one. Does not: run while trading;
//! it allocates freely. Filters, keys and symbols that nobody asked for may hold anything.
//!
//! The quantity grid is the base asset's precision and not `LOT_SIZE.stepSize`: the step binds new
//! orders only, and books hold old ones that are off it (25.42618900 BTC rested at 200,000 in August
//! 2024, when the step was 0.00001), which must still be counted exactly. What binds new orders alone is in the
//! instrument's [`OrderRules`]; rows from before a rule existed do not have it, and then nothing binds.

use crate::instrument::{Bounds, Instrument, OrderRules, Symbol};
use crate::limits::ORDER_WINDOWS_MAX;
use crate::order::SelfTradePrevention;
use crate::units::{DecimalError, E8, E8_PLACES, Grid, Lots, Nanos, Ticks};
use crate::venue::binance::order_error::span;
use crate::venue::binance::rate::OrderLimit;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the engine needs of `exchangeInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeInfo {
    /// The wanted instruments, in the order in which they were asked for.
    pub instruments: Vec<Instrument>,
    /// Request weight that one address may use in a minute.
    pub weight_per_minute: u32,
    /// Unfilled orders that the account may have in each window, in the venue's order, at most
    /// [`ORDER_WINDOWS_MAX`]; none where the venue lists none.
    pub order_limits: Vec<OrderLimit>,
}

/// Why an answer is no exchange info for the wanted symbols.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeInfoError {
    /// Not JSON, or not of the documented shape.
    #[error("exchangeInfo cannot be read: {0}")]
    Json(String),
    /// The venue refused the request.
    #[error("the venue refused exchangeInfo with code {code}: {message}")]
    Refused {
        /// The venue's error code.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// The venue does not list this symbol.
    #[error("the venue does not list {symbol}")]
    MissingSymbol {
        /// The symbol that was asked for.
        symbol: String,
    },
    /// A row without a filter that an instrument needs.
    #[error("{symbol} has no filter {filter}")]
    MissingFilter {
        /// Whose row.
        symbol: String,
        /// The filter's name.
        filter: &'static str,
    },
    /// A row whose JSON is not of the documented shape.
    #[error("the row of {symbol} cannot be read: {reason}")]
    Row {
        /// Whose row.
        symbol: String,
        /// What the JSON reader said.
        reason: String,
    },
    /// A number that cannot be used.
    #[error("{symbol}: {field} is {text:?}: {reason}")]
    Value {
        /// Whose row.
        symbol: String,
        /// The venue's name of the field.
        field: &'static str,
        /// The field's text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name longer than `SYMBOL_BYTES_MAX`, or an empty one.
    #[error("the name {name:?} is empty or too long")]
    Name {
        /// The name.
        name: String,
    },
    /// No request weight limit per minute is listed.
    #[error("no REQUEST_WEIGHT limit per minute is listed")]
    MissingWeightLimit,
    /// A limit on orders that cannot be kept.
    #[error(
        "an ORDERS limit per {count} {interval} is listed; expected at most {ORDER_WINDOWS_MAX} windows of SECOND, MINUTE, HOUR or DAY"
    )]
    OrderLimit {
        /// The venue's unit.
        interval: String,
        /// How many of them.
        count: u32,
    },
}

/// Reads the instruments of the `wanted` symbols, upper case, from an `exchangeInfo` body, bare or
/// inside the websocket API's envelope.
///
/// # Errors
/// The first thing that is missing or cannot be used, by name.
pub fn parse(body: &[u8], wanted: &[&str]) -> Result<ExchangeInfo, ExchangeInfoError> {
    let mut info: Info<'_> = read(body)?;
    if let Some(result) = info.result {
        info = read(result.get().as_bytes())?;
    }
    if let Some(Refusal { code, msg }) = info.error {
        return Err(ExchangeInfoError::Refused {
            code,
            message: msg.into_owned(),
        });
    }
    if let Some(code) = info.code {
        return Err(ExchangeInfoError::Refused {
            code,
            message: info.msg.map(Cow::into_owned).unwrap_or_default(),
        });
    }
    let rate_limits = info.rate_limits.unwrap_or_default();
    let order_limits = order_limits(&rate_limits)?;
    let weight_per_minute = rate_limits
        .iter()
        .find(|limit| limit.is_weight_per_minute())
        .map(|limit| limit.limit)
        .ok_or(ExchangeInfoError::MissingWeightLimit)?;
    let rows = info
        .symbols
        .ok_or_else(|| ExchangeInfoError::Json("it has no key `symbols`".to_owned()))?;
    let mut found: Vec<Option<Instrument>> = vec![None; wanted.len()];
    for raw in rows {
        let Name { symbol } = read(raw.get().as_bytes())?;
        for (place, _) in found
            .iter_mut()
            .zip(wanted)
            .filter(|(_, wanted)| **wanted == symbol)
        {
            *place = Some(instrument(&symbol, raw)?);
        }
    }
    let instruments = found
        .into_iter()
        .zip(wanted)
        .map(|(instrument, symbol)| {
            instrument.ok_or_else(|| ExchangeInfoError::MissingSymbol {
                symbol: (*symbol).to_owned(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(ExchangeInfo {
        instruments,
        weight_per_minute,
        order_limits,
    })
}

fn order_limits(rate_limits: &[RateLimit<'_>]) -> Result<Vec<OrderLimit>, ExchangeInfoError> {
    let mut limits = Vec::new();
    for row in rate_limits.iter().filter(|row| row.kind == "ORDERS") {
        match span(&row.interval, row.interval_num) {
            Some(window) if window > Nanos::ZERO && limits.len() < ORDER_WINDOWS_MAX => {
                limits.push(OrderLimit {
                    window,
                    limit: row.limit,
                });
            }
            Some(_) | None => {
                return Err(ExchangeInfoError::OrderLimit {
                    interval: row.interval.clone().into_owned(),
                    count: row.interval_num,
                });
            }
        }
    }
    Ok(limits)
}

/// The body, and the envelope around it, in one: keys that a form lacks are `None`.
#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Refusal<'a>>,
    code: Option<i64>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "rateLimits")]
    rate_limits: Option<Vec<RateLimit<'a>>>,
    #[serde(borrow)]
    symbols: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    code: i64,
    #[serde(borrow)]
    msg: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit<'a> {
    #[serde(borrow, rename = "rateLimitType")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    interval: Cow<'a, str>,
    interval_num: u32,
    limit: u32,
}

impl RateLimit<'_> {
    fn is_weight_per_minute(&self) -> bool {
        self.kind == "REQUEST_WEIGHT" && self.interval == "MINUTE" && self.interval_num == 1
    }
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    status: String,
    base_asset: String,
    quote_asset: String,
    base_asset_precision: u32,
    filters: Vec<Filter>,
    default_self_trade_prevention_mode: Option<String>,
    allowed_self_trade_prevention_modes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(tag = "filterType", rename_all_fields = "camelCase")]
enum Filter {
    #[serde(rename = "PRICE_FILTER")]
    Price {
        min_price: String,
        max_price: String,
        tick_size: String,
    },
    #[serde(rename = "LOT_SIZE")]
    Lot {
        min_qty: String,
        max_qty: String,
        step_size: String,
    },
    /// Besides the lot size, for market orders alone.
    #[serde(rename = "MARKET_LOT_SIZE")]
    MarketLot {
        min_qty: String,
        max_qty: String,
        step_size: String,
    },
    #[serde(rename = "NOTIONAL")]
    Notional {
        min_notional: String,
        max_notional: String,
        apply_min_to_market: bool,
        apply_max_to_market: bool,
    },
    /// What symbols had before `NOTIONAL`.
    #[serde(rename = "MIN_NOTIONAL")]
    MinNotional {
        min_notional: String,
        apply_to_market: bool,
    },
    #[serde(rename = "MAX_NUM_ORDERS")]
    OpenOrders { max_num_orders: u32 },
    #[serde(other)]
    Other,
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ExchangeInfoError> {
    serde_json::from_slice(json).map_err(|error| ExchangeInfoError::Json(error.to_string()))
}

fn instrument(symbol: &str, raw: &RawValue) -> Result<Instrument, ExchangeInfoError> {
    let row: Row = serde_json::from_str(raw.get()).map_err(|error| ExchangeInfoError::Row {
        symbol: symbol.to_owned(),
        reason: error.to_string(),
    })?;
    let values = Values { symbol };
    let lot = E8_PLACES
        .checked_sub(row.base_asset_precision)
        .and_then(|places| Grid::new(E8(10i64.pow(places))))
        .ok_or_else(|| {
            let text = row.base_asset_precision.to_string();
            values.refuse("baseAssetPrecision", &text, "more than eight places")
        })?;
    let mut rules = OrderRules::UNRESTRICTED;
    values.self_trade_prevention(&row, &mut rules)?;
    let (mut price, mut qty, mut notional, mut old_notional) = (None, None, None, None);
    for filter in &row.filters {
        match filter {
            Filter::Price {
                min_price,
                max_price,
                tick_size,
            } => {
                let tick = Grid::new(values.decimal("tickSize", tick_size)?)
                    .ok_or_else(|| values.refuse("tickSize", tick_size, "prices without a grid"))?;
                let min = values.bound("minPrice", min_price, &tick)?.map(Ticks);
                let max = values.bound("maxPrice", max_price, &tick)?.map(Ticks);
                price = Some((tick, Bounds { min, max }));
            }
            Filter::Lot {
                min_qty,
                max_qty,
                step_size,
            } => {
                qty = Some(values.quantities(min_qty, max_qty, &lot)?);
                rules.qty_step = values.step(step_size, &lot)?;
            }
            Filter::MarketLot {
                min_qty,
                max_qty,
                step_size,
            } => {
                rules.market_qty_bounds = values.quantities(min_qty, max_qty, &lot)?;
                rules.market_qty_step = values.step(step_size, &lot)?;
            }
            Filter::Notional {
                min_notional,
                max_notional,
                apply_min_to_market,
                apply_max_to_market,
            } => {
                notional = Some(Notional {
                    min: values.limit("minNotional", min_notional)?,
                    max: values.limit("maxNotional", max_notional)?,
                    min_market: *apply_min_to_market,
                    max_market: *apply_max_to_market,
                });
            }
            Filter::MinNotional {
                min_notional,
                apply_to_market,
            } => {
                old_notional = Some(Notional {
                    min: values.limit("minNotional", min_notional)?,
                    max: None,
                    min_market: *apply_to_market,
                    max_market: false,
                });
            }
            Filter::OpenOrders { max_num_orders } => {
                rules.open_orders_max = Some(*max_num_orders);
            }
            Filter::Other => {}
        }
    }
    let missing = |filter| ExchangeInfoError::MissingFilter {
        symbol: symbol.to_owned(),
        filter,
    };
    let (tick, price_bounds) = price.ok_or_else(|| missing("PRICE_FILTER"))?;
    let qty_bounds = qty.ok_or_else(|| missing("LOT_SIZE"))?;
    let notional = notional
        .or(old_notional)
        .ok_or_else(|| missing("NOTIONAL"))?;
    rules.notional_min_market = notional.min_market;
    rules.notional_max_market = notional.max_market;

    Ok(Instrument {
        symbol: name(symbol)?,
        base: name(&row.base_asset)?,
        quote: name(&row.quote_asset)?,
        tick,
        lot,
        price_bounds,
        qty_bounds,
        notional_min: notional.min,
        notional_max: notional.max,
        order_rules: rules,
        trading: row.status == "TRADING",
    })
}

/// Bounds of price x quantity, and whether they bind market orders.
struct Notional {
    min: Option<E8>,
    max: Option<E8>,
    min_market: bool,
    max_market: bool,
}

fn name(name: &str) -> Result<Symbol, ExchangeInfoError> {
    Symbol::new(name).ok_or_else(|| ExchangeInfoError::Name {
        name: name.to_owned(),
    })
}

/// Reads the numbers of one row; knows whose they are.
struct Values<'a> {
    symbol: &'a str,
}

impl Values<'_> {
    fn refuse(&self, field: &'static str, text: &str, reason: &'static str) -> ExchangeInfoError {
        ExchangeInfoError::Value {
            symbol: self.symbol.to_owned(),
            field,
            text: text.to_owned(),
            reason,
        }
    }

    fn decimal(&self, field: &'static str, text: &str) -> Result<E8, ExchangeInfoError> {
        E8::parse(text.as_bytes()).map_err(|error| {
            let reason = match error {
                DecimalError::Syntax => "not a plain decimal number",
                DecimalError::OffGrid => "finer than eight places",
                DecimalError::Range => "too large",
            };
            self.refuse(field, text, reason)
        })
    }

    /// A limit; the venue writes zero for none.
    fn limit(&self, field: &'static str, text: &str) -> Result<Option<E8>, ExchangeInfoError> {
        let value = self.decimal(field, text)?;
        Ok((value.0 != 0).then_some(value))
    }

    /// Bounds of quantities.
    fn quantities(
        &self,
        min: &str,
        max: &str,
        lot: &Grid,
    ) -> Result<Bounds<Lots>, ExchangeInfoError> {
        Ok(Bounds {
            min: self.bound("minQty", min, lot)?.map(Lots),
            max: self.bound("maxQty", max, lot)?.map(Lots),
        })
    }

    /// The step of quantities in lots; one lot where the venue sets none.
    fn step(&self, step: &str, lot: &Grid) -> Result<Lots, ExchangeInfoError> {
        Ok(Lots(self.bound("stepSize", step, lot)?.unwrap_or(1)))
    }

    /// The modes of self-trade prevention; as they are where the row is from before there were any.
    fn self_trade_prevention(
        &self,
        row: &Row,
        rules: &mut OrderRules,
    ) -> Result<(), ExchangeInfoError> {
        let mode = |word: &String| {
            SelfTradePrevention::ALL
                .into_iter()
                .find(|mode| mode.label() == word)
        };
        if let Some(word) = &row.default_self_trade_prevention_mode {
            rules.self_trade_prevention = mode(word).ok_or_else(|| {
                self.refuse(
                    "defaultSelfTradePreventionMode",
                    word,
                    "no mode that we know",
                )
            })?;
        }
        // Modes that we do not know are never asked for.
        if let Some(words) = &row.allowed_self_trade_prevention_modes {
            rules.self_trade_prevention_allowed = words
                .iter()
                .filter_map(mode)
                .fold(0, |bits, mode| bits | 1 << mode as u8);
        }
        Ok(())
    }

    /// A limit in units of a grid.
    fn bound(
        &self,
        field: &'static str,
        text: &str,
        grid: &Grid,
    ) -> Result<Option<i64>, ExchangeInfoError> {
        let Some(value) = self.limit(field, text)? else {
            return Ok(None);
        };
        match grid.divide_exact(value) {
            Some(units) => Ok(Some(units)),
            None => Err(self.refuse(field, text, "off its own grid")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as production sends them, two symbols, one of the older kind of filter.
    const BODY: &str = r#"{"timezone":"UTC","serverTime":1790000000000,"rateLimits":[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50},{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000},{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":300000},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}],"exchangeFilters":[],"symbols":[{"symbol":"OLDBTC","status":"BREAK","baseAsset":"OLD","quoteAsset":"BTC","baseAssetPrecision":8,"filters":[{"filterType":"MIN_NOTIONAL","minNotional":"0.00010000","applyToMarket":true,"avgPriceMins":5},{"filterType":"LOT_SIZE","stepSize":"1.00000000","minQty":"1.00000000","maxQty":"90000000.00000000"},{"filterType":"PRICE_FILTER","minPrice":"0.00000000","maxPrice":"0.00000000","tickSize":"0.00000001"}]},{"symbol":"TSLABUSDT","status":"TRADING","baseAsset":"TSLAB","baseAssetPrecision":8,"quoteAsset":"USDT","quotePrecision":8,"orderTypes":["LIMIT","MARKET"],"icebergAllowed":true,"filters":[{"filterType":"PRICE_FILTER","minPrice":"0.01000000","maxPrice":"100000.00000000","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00100000","maxQty":"922327.00000000","stepSize":"0.00100000"},{"filterType":"ICEBERG_PARTS","limit":100},{"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":"585.20788284","stepSize":"0.00000000"},{"filterType":"FROM_THE_FUTURE","levels":[{"deep":null}]},{"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5},{"filterType":"MAX_NUM_ORDERS","maxNumOrders":200},{"filterType":"MAX_NUM_ALGO_ORDERS","maxNumAlgoOrders":5}],"permissionSets":[["SPOT","TRD_GRP_004"]],"defaultSelfTradePreventionMode":"EXPIRE_MAKER","allowedSelfTradePreventionModes":["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH","DECREMENT","TRANSFER"]}],"sors":[]}"#;

    #[test]
    fn wanted_rows_become_instruments_in_the_order_asked_for() {
        let info = parse(BODY.as_bytes(), &["TSLABUSDT", "OLDBTC"]).expect("both are listed");
        assert_eq!(info.weight_per_minute, 6_000);
        let limit = |seconds, limit| OrderLimit {
            window: Nanos::from_secs(seconds),
            limit,
        };
        assert_eq!(info.order_limits, [limit(10, 50), limit(86_400, 160_000)]);
        let [tesla, old] = info.instruments.as_slice() else {
            panic!("two were wanted");
        };
        let expected = Instrument {
            symbol: Symbol::new("TSLABUSDT").expect("short"),
            base: Symbol::new("TSLAB").expect("short"),
            quote: Symbol::new("USDT").expect("short"),
            tick: Grid::new(E8(1_000_000)).expect("positive"),
            lot: Grid::new(E8(1)).expect("positive"),
            price_bounds: Bounds {
                min: Some(Ticks(1)),
                max: Some(Ticks(10_000_000)),
            },
            qty_bounds: Bounds {
                min: Some(Lots(100_000)),
                max: Some(Lots(92_232_700_000_000)),
            },
            notional_min: Some(E8(500_000_000)),
            notional_max: Some(E8(900_000_000_000_000)),
            order_rules: OrderRules {
                qty_step: Lots(100_000),
                market_qty_bounds: Bounds {
                    min: None,
                    max: Some(Lots(58_520_788_284)),
                },
                market_qty_step: Lots(1),
                notional_min_market: true,
                notional_max_market: false,
                open_orders_max: Some(200),
                self_trade_prevention: SelfTradePrevention::ExpireMaker,
                self_trade_prevention_allowed: 0b1_1110,
            },
            trading: true,
        };
        assert_eq!(*tesla, expected);
        assert!(!tesla.order_rules.allows(SelfTradePrevention::None));
        assert!(tesla.order_rules.allows(SelfTradePrevention::Decrement));
        // The older row has an older filter, and rules that did not exist then do not bind.
        let old_rules = OrderRules {
            qty_step: Lots(100_000_000),
            notional_min_market: true,
            ..OrderRules::UNRESTRICTED
        };
        assert_eq!(old.order_rules, old_rules);
        assert_eq!(old.notional_min, Some(E8(10_000)));
        assert_eq!(old.notional_max, None);
        assert_eq!(
            old.price_bounds,
            Bounds {
                min: None,
                max: None
            }
        );
        assert!(!old.trading);
    }

    #[test]
    fn the_envelope_of_the_websocket_api_is_taken_off() {
        let bare = parse(BODY.as_bytes(), &["OLDBTC"]);
        let wrapped = format!(r#"{{"id":1,"status":200,"result":{BODY},"rateLimits":[]}}"#);
        assert_eq!(parse(wrapped.as_bytes(), &["OLDBTC"]), bare);

        let refused = r#"{"id":1,"status":429,"error":{"code":-1003,"msg":"Too many requests."}}"#;
        let bare_refusal = r#"{"code":-1003,"msg":"Too many requests."}"#;
        for text in [refused, bare_refusal] {
            let error = parse(text.as_bytes(), &["OLDBTC"]).expect_err("refused");
            assert_eq!(
                error.to_string(),
                "the venue refused exchangeInfo with code -1003: Too many requests."
            );
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let cases = [
            ("OLDBTC", "NEWBTC", "the venue does not list OLDBTC"),
            (
                r#""filterType":"PRICE_FILTER""#,
                r#""filterType":"X""#,
                "OLDBTC has no filter PRICE_FILTER",
            ),
            (
                r#""filterType":"LOT_SIZE""#,
                r#""filterType":"X""#,
                "OLDBTC has no filter LOT_SIZE",
            ),
            (
                r#""filterType":"MIN_NOTIONAL""#,
                r#""filterType":"X""#,
                "OLDBTC has no filter NOTIONAL",
            ),
            (
                r#""tickSize":"0.00000001""#,
                r#""tickSize":"0.00000000""#,
                r#"OLDBTC: tickSize is "0.00000000": prices without a grid"#,
            ),
            (
                r#""tickSize":"0.00000001""#,
                r#""tickSize":"1e-8""#,
                r#"OLDBTC: tickSize is "1e-8": not a plain decimal number"#,
            ),
            (
                r#""minPrice":"0.00000000","maxPrice":"0.00000000","tickSize":"0.00000001""#,
                r#""minPrice":"0.00000003","maxPrice":"0.00000000","tickSize":"0.00000002""#,
                r#"OLDBTC: minPrice is "0.00000003": off its own grid"#,
            ),
            (
                r#""baseAssetPrecision":8,"filters""#,
                r#""baseAssetPrecision":9,"filters""#,
                r#"OLDBTC: baseAssetPrecision is "9": more than eight places"#,
            ),
            (
                r#""interval":"MINUTE","intervalNum":1"#,
                r#""interval":"HOUR","intervalNum":1"#,
                "no REQUEST_WEIGHT limit per minute is listed",
            ),
            (
                r#""stepSize":"1.00000000""#,
                r#""stepSize":"0.000000001""#,
                r#"OLDBTC: stepSize is "0.000000001": finer than eight places"#,
            ),
            (
                r#""interval":"DAY""#,
                r#""interval":"FORTNIGHT""#,
                "an ORDERS limit per 1 FORTNIGHT is listed; expected at most 4 windows of SECOND, MINUTE, HOUR or DAY",
            ),
            (
                r#""interval":"SECOND","intervalNum":10"#,
                r#""interval":"SECOND","intervalNum":0"#,
                "an ORDERS limit per 0 SECOND is listed; expected at most 4 windows of SECOND, MINUTE, HOUR or DAY",
            ),
            (
                r#""baseAsset":"OLD""#,
                r#""baseAsset":"""#,
                r#"the name "" is empty or too long"#,
            ),
            (
                r#""symbols""#,
                r#""symbolz""#,
                "exchangeInfo cannot be read: it has no key `symbols`",
            ),
        ];
        for (from, to, expected) in cases {
            assert!(BODY.contains(from), "{from}");
            let error =
                parse(BODY.replacen(from, to, 1).as_bytes(), &["OLDBTC"]).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }

        let row = BODY.replacen(r#""maxQty":"90000000.00000000""#, r#""maxQty":9"#, 1);
        let error = parse(row.as_bytes(), &["OLDBTC"]).expect_err("a number where text belongs");
        assert!(
            error
                .to_string()
                .starts_with("the row of OLDBTC cannot be read:"),
            "{error}"
        );
        for (lost, key) in [
            (r#","applyToMarket":true"#, "applyToMarket"),
            (r#""stepSize":"1.00000000","#, "stepSize"),
        ] {
            assert!(BODY.contains(lost), "{lost}");
            let error = parse(BODY.replacen(lost, "", 1).as_bytes(), &["OLDBTC"]).expect_err(lost);
            assert!(error.to_string().contains(key), "{error}");
        }
        let mode = BODY.replacen(r#""EXPIRE_MAKER","#, r#""TRANSFER","#, 1);
        let error = parse(mode.as_bytes(), &["TSLABUSDT"]).expect_err("a mode that is not ours");
        assert_eq!(
            error.to_string(),
            r#"TSLABUSDT: defaultSelfTradePreventionMode is "TRANSFER": no mode that we know"#
        );
        let day = r#"{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000},"#;
        let many = BODY.replacen(day, &day.repeat(4), 1);
        let error = parse(many.as_bytes(), &[]).expect_err("a fifth window");
        assert!(matches!(error, ExchangeInfoError::OrderLimit { .. }));
        let none = BODY.replace("\"ORDERS\"", "\"OTHERS\"");
        assert!(
            parse(none.as_bytes(), &[])
                .expect("no limits")
                .order_limits
                .is_empty()
        );
        // The same row is nobody's business when another symbol is wanted.
        assert!(parse(row.as_bytes(), &["TSLABUSDT"]).is_ok());
        assert!(matches!(
            parse(b"<html>", &[]),
            Err(ExchangeInfoError::Json(_))
        ));
    }
}
