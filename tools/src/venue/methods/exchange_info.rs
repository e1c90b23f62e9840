//! The body of `exchangeInfo`, from the rules that orders are measured by.
//!
//! Owns: the rows and the list of limits. Does not: decide a rule. The row of a symbol has the
//! shape and the key order of production's.

use std::fmt::Write as _;

use veloz_core::units::E8;

use super::super::exchange::{
    NotionalForm, OrderType, PercentForm, StpMode, SymbolRules, SymbolStatus,
};
use super::super::limits::OrderLimits;
use super::super::render::json_string;
use super::super::trading::words::Word as _;

/// Who lists the rate limits: the websocket API has one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    Rest,
    WebsocketApi,
}

/// The body of `exchangeInfo`.
pub(crate) fn exchange_info<'a>(
    server_time: u64,
    weight_max: u32,
    orders: OrderLimits,
    rules: impl Iterator<Item = &'a SymbolRules>,
    shows_permission_sets: bool,
    listing: Listing,
) -> String {
    let mut out = String::with_capacity(4_096);
    let _ = write!(
        out,
        concat!(
            r#"{{"timezone":"UTC","serverTime":{},"rateLimits":["#,
            r#"{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"#,
            r#""limit":{}}},"#,
            r#"{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":{}}},"#,
            r#"{{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":{}}},"#,
            r#"{{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"#,
            r#""limit":300000}}"#
        ),
        server_time, weight_max, orders.per_ten_seconds, orders.per_day
    );
    if listing == Listing::WebsocketApi {
        out.push_str(concat!(
            r#",{"rateLimitType":"CONNECTIONS","interval":"MINUTE","intervalNum":5,"#,
            r#""limit":300}"#
        ));
    }
    out.push_str(r#"],"exchangeFilters":[],"symbols":["#);
    for (position, rules) in rules.enumerate() {
        if position > 0 {
            out.push(',');
        }
        symbol_row(&mut out, rules, shows_permission_sets);
    }
    out.push_str(r#"],"sors":[]}"#);
    out
}

fn symbol_row(out: &mut String, rules: &SymbolRules, permission_sets: bool) {
    let status = status_word(rules.status);
    let _ = write!(
        out,
        concat!(
            r#"{{"symbol":{},"status":"{}","baseAsset":{},"baseAssetPrecision":8,"#,
            r#""quoteAsset":{},"quotePrecision":8,"quoteAssetPrecision":8,"#,
            r#""baseCommissionPrecision":8,"quoteCommissionPrecision":8,"#,
            r#""orderTypes":[{}],"icebergAllowed":false,"ocoAllowed":false,"#,
            r#""otoAllowed":false,"opoAllowed":false,"quoteOrderQtyMarketAllowed":{},"#,
            r#""allowTrailingStop":false,"cancelReplaceAllowed":true,"amendAllowed":true,"#,
            r#""pegInstructionsAllowed":false,"isSpotTradingAllowed":true,"#,
            r#""isMarginTradingAllowed":false,"filters":{},"#,
            r#""permissions":[],"permissionSets":[{}],"#,
            r#""defaultSelfTradePreventionMode":"{}","#,
            r#""allowedSelfTradePreventionModes":[{}]}}"#
        ),
        json_string(&rules.spec.symbol),
        status,
        json_string(&rules.spec.base),
        json_string(&rules.spec.quote),
        quoted(rules.order_types.iter().copied().map(OrderType::word)),
        rules.quote_market,
        symbol_filters(rules),
        if permission_sets { r#"["SPOT"]"# } else { "" },
        rules.stp_default.word(),
        quoted(rules.stp_allowed.iter().copied().map(StpMode::word)),
    );
}

/// The venue's word for a symbol's status.
pub(crate) fn status_word(status: SymbolStatus) -> &'static str {
    match status {
        SymbolStatus::Trading => "TRADING",
        SymbolStatus::Halt => "HALT",
        SymbolStatus::CancelOnly => "CANCEL_ONLY",
    }
}

/// The filters of a symbol as a JSON array.
pub(crate) fn symbol_filters(rules: &SymbolRules) -> String {
    let SymbolRules {
        price,
        lot,
        market_lot,
        ..
    } = rules;
    let mut out = format!(
        concat!(
            r#"[{{"filterType":"PRICE_FILTER","minPrice":"{}","maxPrice":"{}","tickSize":"{}"}},"#,
            r#"{{"filterType":"LOT_SIZE","minQty":"{}","maxQty":"{}","stepSize":"{}"}},"#,
            r#"{{"filterType":"MARKET_LOT_SIZE","minQty":"{}","maxQty":"{}","stepSize":"{}"}},"#,
        ),
        price.min,
        price.max,
        price.tick,
        lot.min,
        lot.max,
        lot.step,
        market_lot.min,
        market_lot.max,
        market_lot.step,
    );
    percent_price(&mut out, rules);
    notional(&mut out, rules);
    let _ = write!(
        out,
        concat!(
            r#"{{"filterType":"MAX_NUM_ORDERS","maxNumOrders":{}}},"#,
            r#"{{"filterType":"MAX_NUM_ORDER_AMENDS","maxNumOrderAmends":{}}}]"#
        ),
        rules.orders_max, rules.amends_max,
    );
    out
}

fn percent_price(out: &mut String, rules: &SymbolRules) {
    let Some(filter) = &rules.percent_price else {
        return;
    };
    let printed = |multiplier: E8| short(&multiplier.to_string()).to_owned();
    let _ = match filter.form {
        PercentForm::BySide => write!(
            out,
            concat!(
                r#"{{"filterType":"{}","bidMultiplierUp":"{}","#,
                r#""bidMultiplierDown":"{}","askMultiplierUp":"{}","askMultiplierDown":"{}","#,
                r#""avgPriceMins":5}},"#
            ),
            filter.name(),
            printed(filter.bid_up),
            printed(filter.bid_down),
            printed(filter.ask_up),
            printed(filter.ask_down),
        ),
        PercentForm::Both => write!(
            out,
            concat!(
                r#"{{"filterType":"{}","multiplierUp":"{}","multiplierDown":"{}","#,
                r#""avgPriceMins":5}},"#
            ),
            filter.name(),
            printed(filter.bid_up),
            printed(filter.bid_down),
        ),
    };
}

fn notional(out: &mut String, rules: &SymbolRules) {
    let Some(filter) = &rules.notional else {
        return;
    };
    let _ = match filter.form {
        NotionalForm::Range => write!(
            out,
            concat!(
                r#"{{"filterType":"{}","minNotional":"{}","applyMinToMarket":{},"#,
                r#""maxNotional":"{}","applyMaxToMarket":{},"avgPriceMins":5}},"#
            ),
            filter.name(),
            filter.min,
            filter.apply_min_to_market,
            filter.max,
            filter.apply_max_to_market,
        ),
        NotionalForm::Minimum => write!(
            out,
            concat!(
                r#"{{"filterType":"{}","minNotional":"{}","applyToMarket":{},"#,
                r#""avgPriceMins":5}},"#
            ),
            filter.name(),
            filter.min,
            filter.apply_min_to_market,
        ),
    };
}

/// A decimal as multipliers are printed: without zeros at the end.
fn short(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

fn quoted(words: impl IntoIterator<Item = &'static str>) -> String {
    let words: Vec<_> = words
        .into_iter()
        .map(|word| format!("\"{word}\""))
        .collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::super::scripted::usdt_symbol;
    use super::*;
    use serde_json::Value;

    #[test]
    fn exchange_info_shows_the_rules_that_orders_are_measured_by() {
        let mut rules = SymbolRules::new(&usdt_symbol("BTCUSDT"), false);
        rules.status = SymbolStatus::CancelOnly;
        let orders = OrderLimits {
            per_ten_seconds: 100,
            per_day: 200_000,
        };
        let text = exchange_info(7, 6_000, orders, [&rules].into_iter(), true, Listing::Rest);
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let row = &body["symbols"][0];
        assert_eq!(row["status"], "CANCEL_ONLY");
        assert_eq!(
            row["orderTypes"],
            serde_json::json!(["LIMIT", "LIMIT_MAKER", "MARKET"])
        );
        let filters = row["filters"].as_array().expect("filters");
        let names: Vec<_> = filters.iter().map(|filter| &filter["filterType"]).collect();
        assert_eq!(
            names,
            [
                "PRICE_FILTER",
                "LOT_SIZE",
                "MARKET_LOT_SIZE",
                "PERCENT_PRICE_BY_SIDE",
                "NOTIONAL",
                "MAX_NUM_ORDERS",
                "MAX_NUM_ORDER_AMENDS"
            ]
        );
        assert_eq!(row["filters"][0]["tickSize"], "0.01000000");
        assert_eq!(row["filters"][0]["maxPrice"], "1000000.00000000");
        assert_eq!(row["filters"][1]["minQty"], "0.00001000");
        assert_eq!(row["filters"][1]["maxQty"], "9000.00000000");
        assert_eq!(row["filters"][3]["bidMultiplierUp"], "5");
        assert_eq!(row["filters"][3]["askMultiplierDown"], "0.2");
        assert_eq!(row["filters"][4]["minNotional"], "5.00000000");
        assert_eq!(row["permissionSets"][0][0], "SPOT");
        assert_eq!(row["defaultSelfTradePreventionMode"], "EXPIRE_MAKER");
        assert_eq!(row["allowedSelfTradePreventionModes"][4], "TRANSFER");
        assert_eq!(body["rateLimits"].as_array().map(Vec::len), Some(4));
        assert_eq!(body["rateLimits"][1]["limit"], 100);
        let text = exchange_info(
            7,
            1,
            orders,
            [&rules].into_iter(),
            false,
            Listing::WebsocketApi,
        );
        let body: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(body["symbols"][0]["permissionSets"], serde_json::json!([]));
        assert_eq!(body["rateLimits"].as_array().map(Vec::len), Some(5));
    }
}
