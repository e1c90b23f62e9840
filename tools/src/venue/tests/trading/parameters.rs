//! Every mistake in a request's parameters, in the venue's words.

use super::*;

#[test]
fn mistakes_in_new_orders_are_named() {
    let mut desk = Desk::trading(config(), still());
    let limit = concat!(
        r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","price":"99","#,
        r#""quantity":"1""#
    );
    let market = r#""symbol":"BTCUSDT","side":"BUY","type":"MARKET","quantity":"1""#;
    let maker =
        r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT_MAKER","price":"99","quantity":"1""#;
    let missing = |name: &str| {
        format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    };
    let unsupported = |name: &str| format!("{name} orders are not supported for this symbol.");
    let not_required = |name: &str| format!("Parameter '{name}' sent when not required.");
    let invalid = |name: &str| format!("Data sent for parameter '{name}' is not valid.");
    let without = |name: &str| {
        let members = limit
            .split(',')
            .filter(|member| !member.contains(&format!("\"{name}\"")));
        members.collect::<Vec<_>>().join(",")
    };
    let with = |from: &str, more: &str| format!("{from},{more}");
    let other = |from: &str, to: &str| limit.replace(from, to);
    let cases = [
        (without("symbol"), -1102, missing("symbol")),
        (without("side"), -1102, missing("side")),
        (without("type"), -1102, missing("type")),
        (without("timeInForce"), -1102, missing("timeInForce")),
        (without("price"), -1102, missing("price")),
        (without("quantity"), -1102, missing("quantity")),
        (
            other("BTCUSDT", "ETHBTC"),
            -1121,
            "Invalid symbol.".to_owned(),
        ),
        (other("BUY", "HOLD"), -1117, "Invalid side.".to_owned()),
        (
            other("LIMIT", "LIMITED"),
            -1116,
            "Invalid orderType.".to_owned(),
        ),
        (
            other("GTC", "GTX"),
            -1115,
            "Invalid timeInForce.".to_owned(),
        ),
        (
            with(maker, r#""timeInForce":"GTC""#),
            -1114,
            "TimeInForce parameter sent when not required.".to_owned(),
        ),
        (
            with(market, r#""timeInForce":"GTC""#),
            -1106,
            not_required("timeInForce"),
        ),
        (
            with(market, r#""price":"99""#),
            -1106,
            not_required("price"),
        ),
        (
            with(limit, r#""quoteOrderQty":"99""#),
            -1106,
            not_required("quoteOrderQty"),
        ),
        (
            with(limit, r#""stopPrice":"99""#),
            -1106,
            not_required("stopPrice"),
        ),
        (
            with(market, r#""quoteOrderQty":"99""#),
            -1128,
            "Combination of optional parameters invalid.".to_owned(),
        ),
        (
            r#""symbol":"BTCUSDT","side":"BUY","type":"MARKET""#.to_owned(),
            -1102,
            "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
                .to_owned(),
        ),
        (
            other(r#""99""#, r#""99.000000001""#),
            -1111,
            "Parameter 'price' has too much precision.".to_owned(),
        ),
        (
            other(r#""1""#, r#""1.000000001""#),
            -1111,
            "Parameter 'quantity' has too much precision.".to_owned(),
        ),
        (
            other(r#""1""#, r#""-1""#),
            -1100,
            concat!(
                "Illegal characters found in parameter 'quantity'; legal range is ",
                r"'^([0-9]{1,20})(\.[0-9]{1,20})?$'."
            )
            .to_owned(),
        ),
        (
            other(r#""1""#, r#""99999999999999""#),
            -1108,
            "Parameter 'quantity' overflowed.".to_owned(),
        ),
        (
            with(limit, r#""newClientOrderId":"a b""#),
            -1100,
            concat!(
                "Illegal characters found in parameter 'newClientOrderId'; legal range is ",
                "'^[a-zA-Z0-9-_]{1,36}$'."
            )
            .to_owned(),
        ),
        (
            with(limit, r#""newClientOrderId":"""#),
            -1105,
            "Parameter 'newClientOrderId' was empty.".to_owned(),
        ),
        (
            with(limit, r#""newOrderRespType":"ALL""#),
            -1130,
            invalid("newOrderRespType"),
        ),
        (
            with(limit, r#""selfTradePreventionMode":"SOME""#),
            -1130,
            invalid("selfTradePreventionMode"),
        ),
        (
            with(limit, r#""strategyId":1,"strategyType":999999"#),
            -1134,
            "strategyType was less than 1000000.".to_owned(),
        ),
        (
            with(limit, r#""strategyType":1000000"#),
            -1128,
            "Combination of optional parameters invalid.".to_owned(),
        ),
        (
            with(limit, r#""colour":"red""#),
            -1104,
            "Not all sent parameters were read; read '7' parameter(s) but was sent '8'.".to_owned(),
        ),
        (other("LIMIT", "STOP_LOSS"), -2010, unsupported("Stop loss")),
        (
            other("LIMIT", "STOP_LOSS_LIMIT"),
            -2010,
            unsupported("Stop loss limit"),
        ),
        (
            other("LIMIT", "TAKE_PROFIT"),
            -2010,
            unsupported("Take profit"),
        ),
        (
            other("LIMIT", "TAKE_PROFIT_LIMIT"),
            -2010,
            unsupported("Take profit limit"),
        ),
        (
            with(limit, r#""icebergQty":"0.1""#),
            -2010,
            unsupported("Iceberg"),
        ),
        (
            with(limit, r#""trailingDelta":10"#),
            -2010,
            unsupported("Trailing stop"),
        ),
        (
            with(limit, r#""pegPriceType":"PRIMARY_PEG""#),
            -2010,
            unsupported("Pegged"),
        ),
        (
            with(limit, r#""recvWindow":60001"#),
            -1102,
            "'recvWindow' contains unexpected value. Cannot be greater than 60000.".to_owned(),
        ),
    ];
    for (params, code, msg) in cases {
        let refused = desk.refused("order.place", &params);
        assert_eq!(refused, (400, code, msg), "{params}");
    }
}

#[test]
fn mistakes_in_other_requests_are_named() {
    let mut desk = Desk::trading(config(), still());
    let both_missing = |first: &str, second: &str| {
        format!("Param '{first}' or '{second}' must be sent, but both were empty/null!")
    };
    let missing = |name: &str| {
        format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    };
    let invalid = |name: &str| format!("Data sent for parameter '{name}' is not valid.");
    let symbol = r#""symbol":"BTCUSDT""#;
    let with = |more: &str| format!("{symbol},{more}");
    let ids = both_missing("origClientOrderId", "orderId");
    let combination = "Combination of optional parameters invalid.".to_owned();
    let cases = [
        ("order.cancel", symbol.to_owned(), -1102, ids.clone()),
        ("order.status", symbol.to_owned(), -1102, ids.clone()),
        (
            "order.amend.keepPriority",
            with(r#""newQty":"1""#),
            -1102,
            ids,
        ),
        (
            "order.amend.keepPriority",
            with(r#""orderId":1"#),
            -1102,
            missing("newQty"),
        ),
        (
            "order.cancelReplace",
            symbol.to_owned(),
            -1102,
            missing("cancelReplaceMode"),
        ),
        (
            "order.cancelReplace",
            with(r#""cancelReplaceMode":"MAYBE""#),
            -1130,
            invalid("cancelReplaceMode"),
        ),
        (
            "order.cancelReplace",
            with(r#""cancelReplaceMode":"ALLOW_FAILURE""#),
            -1102,
            both_missing("cancelOrigClientOrderId", "cancelOrderId"),
        ),
        (
            "order.cancelReplace",
            with(concat!(
                r#""cancelReplaceMode":"ALLOW_FAILURE","cancelOrderId":1,"#,
                r#""orderRateLimitExceededMode":"PERHAPS""#
            )),
            -1130,
            invalid("orderRateLimitExceededMode"),
        ),
        (
            "openOrders.cancelAll",
            String::new(),
            -1102,
            missing("symbol"),
        ),
        ("myTrades", String::new(), -1102, missing("symbol")),
        (
            "myTrades",
            with(r#""orderId":1,"startTime":1"#),
            -1128,
            combination.clone(),
        ),
        (
            "myTrades",
            with(r#""fromId":1,"endTime":1"#),
            -1128,
            combination,
        ),
        (
            "myTrades",
            with(r#""startTime":1700000000000,"endTime":1700086400001"#),
            -1127,
            "More than 24 hours between startTime and endTime.".to_owned(),
        ),
        ("myTrades", with(r#""limit":0"#), -1130, invalid("limit")),
        (
            "account.status",
            r#""omitZeroBalances":"maybe""#.to_owned(),
            -1130,
            invalid("omitZeroBalances"),
        ),
        (
            "account.rateLimits.orders",
            symbol.to_owned(),
            -1104,
            "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.".to_owned(),
        ),
        (
            "account.commission",
            String::new(),
            -1102,
            missing("symbol"),
        ),
        (
            "myFilters",
            r#""symbol":"XXX""#.to_owned(),
            -1121,
            "Invalid symbol.".to_owned(),
        ),
    ];
    for (method, params, code, msg) in cases {
        assert_eq!(
            desk.refused(method, &params),
            (400, code, msg),
            "{method} {params}"
        );
    }
    desk.send(r#"{"id":9,"method":"session.status","params":{"x":1}}"#);
    let reply = desk.next().expect("a reply");
    assert!(reply.contains(r#""code":-1101"#), "{reply}");
}
