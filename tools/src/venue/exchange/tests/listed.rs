//! The rules of another venue's symbols, from a body as production sends it.

use super::*;
use crate::venue::exchange::listed::ListedRules;
use crate::venue::methods::{Listing, exchange_info};
use crate::venue::trading::refusals::{Asked, error};

/// As the venue lists a symbol of today, envelope included; the filters of the second are of the older kind.
const BODY: &str = r#"{"id":"start","status":200,"result":{"timezone":"UTC","serverTime":1,"rateLimits":[],"exchangeFilters":[],"symbols":[
{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","baseAssetPrecision":8,"quoteAsset":"USDT","orderTypes":["LIMIT","LIMIT_MAKER","MARKET","STOP_LOSS","TAKE_PROFIT_LIMIT"],"quoteOrderQtyMarketAllowed":true,"filters":[
{"filterType":"PRICE_FILTER","minPrice":"10.00000000","maxPrice":"1000.00000000","tickSize":"0.50000000"},
{"filterType":"LOT_SIZE","minQty":"0.10000000","maxQty":"90.00000000","stepSize":"0.10000000"},
{"filterType":"ICEBERG_PARTS","limit":100},
{"filterType":"MARKET_LOT_SIZE","minQty":"0.20000000","maxQty":"5.00000000","stepSize":"0.00000000"},
{"filterType":"TRAILING_DELTA","minTrailingAboveDelta":10,"maxTrailingAboveDelta":2000,"minTrailingBelowDelta":10,"maxTrailingBelowDelta":2000},
{"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"1.1","bidMultiplierDown":"0.8","askMultiplierUp":"1.2","askMultiplierDown":"0.9","avgPriceMins":5},
{"filterType":"NOTIONAL","minNotional":"15.00000000","applyMinToMarket":true,"maxNotional":"5000.00000000","applyMaxToMarket":false,"avgPriceMins":5},
{"filterType":"MAX_NUM_ORDERS","maxNumOrders":3},{"filterType":"MAX_NUM_ORDER_AMENDS","maxNumOrderAmends":2}],
"defaultSelfTradePreventionMode":"EXPIRE_TAKER","allowedSelfTradePreventionModes":["EXPIRE_TAKER","DECREMENT","OF_TOMORROW"]},
{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","baseAssetPrecision":8,"quoteAsset":"USDT","orderTypes":["LIMIT"],"quoteOrderQtyMarketAllowed":false,"filters":[
{"filterType":"PRICE_FILTER","minPrice":"0.00000000","maxPrice":"0.00000000","tickSize":"0.01000000"},
{"filterType":"LOT_SIZE","minQty":"0.00000000","maxQty":"99999999999999.00000000","stepSize":"0.00000000"},
{"filterType":"PERCENT_PRICE","multiplierUp":"1.5","multiplierDown":"0.5","avgPriceMins":1},
{"filterType":"MIN_NOTIONAL","minNotional":"20.00000000","applyToMarket":false,"avgPriceMins":1}],
"defaultSelfTradePreventionMode":"NONE","allowedSelfTradePreventionModes":["NONE"]}],"sors":[]}}"#;

fn listed(symbols: &[&str]) -> Vec<ListedRules> {
    let symbols: Vec<String> = symbols.iter().map(|&symbol| symbol.to_owned()).collect();
    ListedRules::read(BODY, &symbols).expect("readable")
}

/// An exchange that lists both, whose books stand at 100.
struct Listed {
    exchange: Exchange,
    book: PublicBook,
}

impl Listed {
    fn new() -> Self {
        let specs = ["BTCUSDT", "ETHUSDT"].map(usdt_symbol);
        let config = ExchangeConfig {
            listed: listed(&["ETHUSDT", "BTCUSDT"]),
            ..ExchangeConfig::default()
        };
        let mut exchange = Exchange::new(&config, &specs);
        for market in &mut exchange.markets {
            market.last_price = Some(e8("100"));
        }
        Self {
            exchange,
            book: PublicBook::new(&[("99", "9")], &[("101", "9")]),
        }
    }

    /// What the venue says to a new order; nothing when it passes.
    fn says(&self, order: &NewOrder) -> String {
        match self.exchange.check(A, order, &self.book) {
            Ok(()) => String::new(),
            Err(refusal) => {
                let error = error(refusal, Asked::NewOrder);
                format!("{} {}", error.code, error.msg)
            }
        }
    }
}

#[test]
fn an_order_outside_of_each_listed_filter_is_refused_in_the_venues_words() {
    let venue = Listed::new();
    let filter = |name: &str| format!("-1013 Filter failure: {name}");
    let market = |qty: &str| order(OrderType::Market, OrderSide::Buy, qty, None);
    let cases = [
        (buy("1", "100"), String::new()),
        (sell("1", "110.5"), String::new()),
        // Off the tick, below and above.
        (buy("1", "100.25"), filter("PRICE_FILTER")),
        (buy("3", "9.5"), filter("PRICE_FILTER")),
        (buy("1", "1000.5"), filter("PRICE_FILTER")),
        (buy("0.15", "100"), filter("LOT_SIZE")),
        (buy("0", "100"), filter("LOT_SIZE")),
        (buy("90.1", "100"), filter("LOT_SIZE")),
        (market("0.1"), filter("MARKET_LOT_SIZE")),
        (market("5.1"), filter("MARKET_LOT_SIZE")),
        (market("5"), String::new()),
        (buy("5.1", "100"), String::new()),
        // 0.8 to 1.1 of the reference for a buy, 0.9 to 1.2 for a sell.
        (buy("1", "79.5"), filter("PERCENT_PRICE_BY_SIDE")),
        (buy("1", "80"), String::new()),
        (buy("1", "110.5"), filter("PERCENT_PRICE_BY_SIDE")),
        (sell("1", "89.5"), filter("PERCENT_PRICE_BY_SIDE")),
        (sell("1", "120"), String::new()),
        (sell("1", "120.5"), filter("PERCENT_PRICE_BY_SIDE")),
        (buy("0.1", "100"), filter("NOTIONAL")),
        (buy("50.1", "100"), filter("NOTIONAL")),
    ];
    for (order, expected) in cases {
        assert_eq!(venue.says(&order), expected, "{order:?}");
    }
    let not_allowed =
        "-1013 This symbol does not allow the specified self-trade prevention mode.".to_owned();
    for (mode, expected) in [
        (None, String::new()),
        (Some(StpMode::Decrement), String::new()),
        (Some(StpMode::ExpireMaker), not_allowed.clone()),
        (Some(StpMode::None), not_allowed),
    ] {
        let order = NewOrder {
            stp: mode,
            ..buy("1", "100")
        };
        assert_eq!(venue.says(&order), expected, "{mode:?}");
    }
}

#[test]
fn filters_of_older_symbols_have_their_own_names_and_types_may_be_missing() {
    let venue = Listed::new();
    let of_eth = |order: NewOrder| NewOrder {
        symbol: SymbolIndex(1),
        ..order
    };
    let says = |order: NewOrder| venue.says(&of_eth(order));
    assert_eq!(says(buy("1", "100.01")), "");
    assert_eq!(says(buy("1000000", "100")), "", "no bound");
    for (order, filter) in [
        (buy("1", "49.99"), "PERCENT_PRICE"),
        (sell("1", "150.01"), "PERCENT_PRICE"),
        (buy("0.1999", "100"), "MIN_NOTIONAL"),
    ] {
        assert_eq!(says(order), format!("-1013 Filter failure: {filter}"));
    }
    for (kind, price, name) in [
        (OrderType::Market, None, "Market"),
        (OrderType::LimitMaker, Some("100"), "Limit maker"),
    ] {
        assert_eq!(
            says(order(kind, OrderSide::Buy, "1", price)),
            format!("-2010 {name} orders are not supported for this symbol.")
        );
    }
    let mut exchange = venue.exchange;
    exchange.markets[1]
        .rules
        .order_types
        .push(OrderType::Market);
    let venue = Listed { exchange, ..venue };
    let by_quote = NewOrder {
        qty: Quantity::Quote(e8("100")),
        ..order(OrderType::Market, OrderSide::Buy, "1", None)
    };
    assert_eq!(
        venue.says(&of_eth(by_quote)),
        "-2010 Quote order qty market orders are not support for this symbol."
    );
}

#[test]
fn no_more_orders_rest_than_the_venue_lists() {
    let mut stage = Stage::new(PublicBook::new(&[("99", "1")], &[("101", "1")]));
    listed(&["BTCUSDT"])[0].put_over(&mut stage.exchange.markets[0].rules);
    for id in 0..3 {
        let order = NewOrder {
            client_order_id: id.to_string(),
            ..buy("1", "90")
        };
        stage.place(A, order);
    }
    assert_eq!(
        stage.try_place(A, buy("1", "90")).err(),
        Some(Refusal::FilterFailure("MAX_NUM_ORDERS"))
    );
}

#[test]
fn what_this_venue_lists_is_read_as_it_is() {
    let limits = crate::venue::limits::OrderLimits {
        per_ten_seconds: 100,
        per_day: 200_000,
    };
    let specs = ["BTCUSDT", "ETHUSDT"].map(usdt_symbol);
    let mut all: Vec<SymbolRules> = specs
        .iter()
        .map(|spec| SymbolRules::new(spec, true))
        .collect();
    for listed in listed(&["ETHUSDT"]) {
        listed.put_over(&mut all[1]);
    }
    let body = exchange_info(7, 6_000, limits, all.iter(), false, Listing::Rest);
    let symbols: Vec<String> = specs.iter().map(|spec| spec.symbol.clone()).collect();
    let read = ListedRules::read(&body, &symbols).expect("readable");
    for (rules, listed) in all.iter().zip(read) {
        let mut again = SymbolRules::new(&rules.spec, false);
        listed.put_over(&mut again);
        assert_eq!(again, *rules);
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    let read = |body: &str| {
        let refused = ListedRules::read(body, &["BTCUSDT".to_owned()]);
        refused.expect_err("not usable").to_string()
    };
    assert!(read("nonsense").starts_with("exchangeInfo cannot be read"));
    assert!(read("{}").contains("symbols"));
    assert_eq!(read(r#"{"symbols":[]}"#), "the venue does not list BTCUSDT");
    for (from, to, words) in [
        (r#""tickSize":"0.50000000""#, r#""tickSize":"-1""#, "\"-1\""),
        (
            "\"quoteOrderQtyMarketAllowed\":true,",
            "",
            "quoteOrderQtyMarketAllowed",
        ),
        ("PRICE_FILTER", "OTHER", "no filter PRICE_FILTER"),
        ("\"LOT_SIZE", "\"OTHER", "no filter LOT_SIZE"),
        (
            "Mode\":\"EXPIRE_TAKER\"",
            "Mode\":\"SOMETIMES\"",
            "defaultSelfTradePreventionMode",
        ),
    ] {
        let text = read(&BODY.replacen(from, to, 1));
        assert!(
            text.starts_with("the rules of BTCUSDT cannot be read") && text.contains(words),
            "{text}"
        );
    }
}
