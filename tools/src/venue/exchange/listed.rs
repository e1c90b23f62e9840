//! The rules of symbols as another venue lists them, so that orders meet here what they would meet there.
//!
//! Owns: [`ListedRules`], read from an `exchangeInfo` body. Does not: measure an order (`rules.rs` does). Source: Binance
//! Spot `filters.md`. Left out: filters on orders that this exchange does not take anyway (icebergs, trailing stops, stop
//! orders, order lists), limits over all symbols, and `avgPriceMins`: prices are measured by the reference that this
//! exchange has. Missing keys are faults; a filter that is not listed does not apply.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use veloz_core::units::{DecimalError, E8};

use super::order::{OrderType, StpMode};
use super::rules::{
    LotFilter, Notional, NotionalForm, PercentForm, PercentPrice, PriceFilter, SymbolRules,
};
use crate::venue::trading::words::Word as _;

/// One symbol's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRules {
    symbol: String,
    order_types: Vec<OrderType>,
    quote_market: bool,
    price: PriceFilter,
    lot: LotFilter,
    market_lot: LotFilter,
    percent_price: Option<PercentPrice>,
    notional: Option<Notional>,
    orders_max: Option<usize>,
    amends_max: Option<u32>,
    stp_default: StpMode,
    stp_allowed: Vec<StpMode>,
}

/// Why a body does not tell the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListedRulesError {
    /// Not JSON, or without `symbols`.
    #[error("exchangeInfo cannot be read: {0}")]
    Json(String),
    /// A row that lacks a key or holds what cannot be used.
    #[error("the rules of {symbol} cannot be read: {reason}")]
    Row {
        /// Whose row.
        symbol: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The venue does not list this symbol.
    #[error("the venue does not list {0}")]
    MissingSymbol(String),
}

impl ListedRules {
    /// Reads the rules of `symbols`, upper case, from an `exchangeInfo` body, bare or inside the websocket API's
    /// envelope.
    ///
    /// # Errors
    /// The first thing that is missing or cannot be used, by name.
    pub fn read(body: &str, symbols: &[String]) -> Result<Vec<Self>, ListedRulesError> {
        let json = |error: serde_json::Error| ListedRulesError::Json(error.to_string());
        let mut info: Info<'_> = serde_json::from_str(body).map_err(json)?;
        if let Some(result) = info.result {
            info = serde_json::from_str(result.get()).map_err(json)?;
        }
        let rows = info
            .symbols
            .ok_or_else(|| ListedRulesError::Json("it has no key `symbols`".to_owned()))?;
        let mut found = Vec::with_capacity(symbols.len());
        for wanted in symbols {
            let mut row = None;
            for raw in &rows {
                let Name { symbol } = serde_json::from_str(raw.get()).map_err(json)?;
                if symbol == wanted.as_str() {
                    row = Some(*raw);
                }
            }
            let row = row.ok_or_else(|| ListedRulesError::MissingSymbol(wanted.clone()))?;
            found.push(
                Self::of_row(wanted, row).map_err(|reason| ListedRulesError::Row {
                    symbol: wanted.clone(),
                    reason,
                })?,
            );
        }
        Ok(found)
    }

    fn of_row(symbol: &str, raw: &RawValue) -> Result<Self, String> {
        let row: Row = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
        let stp_default = StpMode::of(&row.default_self_trade_prevention_mode)
            .ok_or_else(|| "defaultSelfTradePreventionMode is no known mode".to_owned())?;
        let (mut price, mut lot, mut old_notional) = (None, None, None);
        let mut rules = Self {
            symbol: symbol.to_owned(),
            order_types: known(&row.order_types, OrderType::of),
            quote_market: row.quote_order_qty_market_allowed,
            price: PriceFilter {
                min: E8(0),
                max: E8(0),
                tick: E8(0),
            },
            lot: NO_LOT,
            market_lot: NO_LOT,
            percent_price: None,
            notional: None,
            orders_max: None,
            amends_max: None,
            stp_default,
            stp_allowed: known(&row.allowed_self_trade_prevention_modes, StpMode::of),
        };
        for filter in row.filters {
            match filter {
                Filter::Price {
                    min_price,
                    max_price,
                    tick_size,
                } => {
                    price = Some(PriceFilter {
                        min: min_price.0,
                        max: max_price.0,
                        tick: tick_size.0,
                    });
                }
                Filter::Lot(bounds) => lot = Some(bounds.into()),
                Filter::MarketLot(bounds) => rules.market_lot = bounds.into(),
                Filter::PercentPriceBySide {
                    bid_multiplier_up,
                    bid_multiplier_down,
                    ask_multiplier_up,
                    ask_multiplier_down,
                } => {
                    rules.percent_price = Some(PercentPrice {
                        form: PercentForm::BySide,
                        bid_up: bid_multiplier_up.0,
                        bid_down: bid_multiplier_down.0,
                        ask_up: ask_multiplier_up.0,
                        ask_down: ask_multiplier_down.0,
                    });
                }
                Filter::PercentPrice {
                    multiplier_up: up,
                    multiplier_down: down,
                } => {
                    rules.percent_price = Some(PercentPrice {
                        form: PercentForm::Both,
                        bid_up: up.0,
                        bid_down: down.0,
                        ask_up: up.0,
                        ask_down: down.0,
                    });
                }
                Filter::Notional {
                    min_notional,
                    max_notional,
                    apply_min_to_market,
                    apply_max_to_market,
                } => {
                    rules.notional = Some(Notional {
                        form: NotionalForm::Range,
                        min: min_notional.0,
                        max: max_notional.0,
                        apply_min_to_market,
                        apply_max_to_market,
                    });
                }
                Filter::MinNotional {
                    min_notional,
                    apply_to_market,
                } => {
                    old_notional = Some(Notional {
                        form: NotionalForm::Minimum,
                        min: min_notional.0,
                        max: E8(0),
                        apply_min_to_market: apply_to_market,
                        apply_max_to_market: false,
                    });
                }
                Filter::OpenOrders { max_num_orders } => rules.orders_max = Some(max_num_orders),
                Filter::Amends {
                    max_num_order_amends,
                } => rules.amends_max = Some(max_num_order_amends),
                Filter::Other => {}
            }
        }
        rules.price = price.ok_or("no filter PRICE_FILTER")?;
        rules.lot = lot.ok_or("no filter LOT_SIZE")?;
        rules.notional = rules.notional.or(old_notional);
        Ok(rules)
    }

    /// Whose rules.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Puts them in the place of the rules that this exchange gives a symbol by itself.
    pub(super) fn put_over(&self, rules: &mut SymbolRules) {
        rules.order_types.clone_from(&self.order_types);
        rules.quote_market = self.quote_market;
        rules.price = self.price;
        rules.lot = self.lot;
        rules.market_lot = self.market_lot;
        rules.percent_price = self.percent_price;
        rules.notional = self.notional;
        // Where the venue says nothing it sets no bound of this kind; ours is there for memory's sake.
        rules.orders_max = self.orders_max.unwrap_or(rules.orders_max);
        rules.amends_max = self.amends_max.unwrap_or(rules.amends_max);
        rules.stp_default = self.stp_default;
        rules.stp_allowed.clone_from(&self.stp_allowed);
    }
}

/// Those words that mean something here: what the venue has beyond them nobody can ask for.
fn known<T>(words: &[String], of: impl Fn(&str) -> Option<T>) -> Vec<T> {
    words.iter().filter_map(|word| of(word)).collect()
}

const NO_LOT: LotFilter = LotFilter {
    min: E8(0),
    max: E8(0),
    step: E8(0),
};

/// The body, and the envelope around it, in one.
#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    symbols: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    order_types: Vec<String>,
    quote_order_qty_market_allowed: bool,
    filters: Vec<Filter>,
    default_self_trade_prevention_mode: String,
    allowed_self_trade_prevention_modes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "filterType", rename_all_fields = "camelCase")]
enum Filter {
    #[serde(rename = "PRICE_FILTER")]
    Price {
        min_price: Decimal,
        max_price: Decimal,
        tick_size: Decimal,
    },
    #[serde(rename = "LOT_SIZE")]
    Lot(Lot),
    #[serde(rename = "MARKET_LOT_SIZE")]
    MarketLot(Lot),
    #[serde(rename = "PERCENT_PRICE_BY_SIDE")]
    PercentPriceBySide {
        bid_multiplier_up: Decimal,
        bid_multiplier_down: Decimal,
        ask_multiplier_up: Decimal,
        ask_multiplier_down: Decimal,
    },
    /// What symbols had before `PERCENT_PRICE_BY_SIDE`.
    #[serde(rename = "PERCENT_PRICE")]
    PercentPrice {
        multiplier_up: Decimal,
        multiplier_down: Decimal,
    },
    #[serde(rename = "NOTIONAL")]
    Notional {
        min_notional: Decimal,
        max_notional: Decimal,
        apply_min_to_market: bool,
        apply_max_to_market: bool,
    },
    /// What symbols had before `NOTIONAL`.
    #[serde(rename = "MIN_NOTIONAL")]
    MinNotional {
        min_notional: Decimal,
        apply_to_market: bool,
    },
    #[serde(rename = "MAX_NUM_ORDERS")]
    OpenOrders { max_num_orders: usize },
    #[serde(rename = "MAX_NUM_ORDER_AMENDS")]
    Amends { max_num_order_amends: u32 },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lot {
    min_qty: Decimal,
    max_qty: Decimal,
    step_size: Decimal,
}

impl From<Lot> for LotFilter {
    fn from(lot: Lot) -> Self {
        Self {
            min: lot.min_qty.0,
            max: lot.max_qty.0,
            step: lot.step_size.0,
        }
    }
}

/// A number as the venue prints it: text, exact. What is too large to be counted is zero: as a bound it
/// binds nothing that can be asked for.
struct Decimal(E8);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        match E8::parse(text.as_bytes()) {
            Ok(value) => Ok(Self(value)),
            Err(DecimalError::Range) => Ok(Self(E8(0))),
            Err(error @ (DecimalError::Syntax | DecimalError::OffGrid)) => {
                Err(D::Error::custom(format!("{text:?}: {error}")))
            }
        }
    }
}
