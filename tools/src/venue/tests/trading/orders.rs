//! New orders: answers of each kind, events in their order, expiries, self-trade prevention.

use serde_json::Value;

use super::*;
use desk::error_of;

/// A LIMIT order of the account, with an id.
fn limit(side: &str, price: &str, qty: &str, id: &str) -> String {
    format!(
        concat!(
            r#""symbol":"BTCUSDT","side":"{}","type":"LIMIT","timeInForce":"GTC","price":"{}","#,
            r#""quantity":"{}","newClientOrderId":"{}""#
        ),
        side, price, qty, id
    )
}

fn market(side: &str, qty: &str) -> String {
    format!(r#""symbol":"BTCUSDT","side":"{side}","type":"MARKET",{qty}"#)
}

#[test]
fn answers_tell_as_much_as_was_asked_for() {
    let mut desk = Desk::trading(config(), still());
    let answer = |desk: &mut Desk, params: &str| {
        let text = desk.ask_text("order.place", params, Sign::Session);
        let (_, result) = text.split_once(r#""result":"#).expect("a result");
        let (result, limits) = result.split_once(r#","rateLimits""#).expect("limits");
        assert!(limits.starts_with(r#":[{"rateLimitType":"ORDERS","interval":"SECOND","#));
        result.to_owned()
    };
    let ack = concat!(
        r#"{"symbol":"BTCUSDT","orderId":{id},"orderListId":-1,"clientOrderId":"a","#,
        r#""transactTime":1700000040000"#
    );
    let result = concat!(
        r#","price":"99.50000000","origQty":"0.50000000","executedQty":"0.00000000","#,
        r#""origQuoteOrderQty":"0.00000000","cummulativeQuoteQty":"0.00000000","#,
        r#""status":"NEW","timeInForce":"GTC","type":"LIMIT","side":"BUY","#,
        r#""workingTime":1700000040000"#
    );
    let stp = r#","selfTradePreventionMode":"EXPIRE_MAKER"}"#;
    let mut check = |kind: &str, expected: String| {
        let order = limit("BUY", "99.5", "0.5", "a");
        let text = answer(&mut desk, &format!("{order}{kind}"));
        let reply: Value = serde_json::from_str(&text).expect("JSON");
        let id = reply["orderId"].to_string();
        assert_eq!(text, expected.replace("{id}", &id));
        let cancel = desk.order(
            "order.cancel",
            &format!(r#""symbol":"BTCUSDT","orderId":{id}"#),
        );
        assert_eq!(cancel["status"], 200, "{cancel}");
    };
    let full = format!(r#"{ack}{result},"fills":[]{stp}"#);
    check("", full.clone());
    check(r#","newOrderRespType":"FULL""#, full);
    check(
        r#","newOrderRespType":"RESULT""#,
        format!("{ack}{result}{stp}"),
    );
    check(r#","newOrderRespType":"ACK""#, format!("{ack}}}"));
    // LIMIT_MAKER answers ACK by default.
    let maker = concat!(
        r#""symbol":"BTCUSDT","side":"SELL","type":"LIMIT_MAKER","price":"101","#,
        r#""quantity":"1","newClientOrderId":"m""#
    );
    let text = answer(&mut desk, maker);
    assert!(
        text.ends_with(r#""clientOrderId":"m","transactTime":1700000040000}"#),
        "{text}"
    );
    // Strategies are echoed; an id is drawn when none was sent.
    let order = concat!(
        r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","price":"90","#,
        r#""quantity":"1","strategyId":7,"strategyType":1000001"#
    );
    let text = answer(&mut desk, order);
    assert!(
        text.contains(r#""side":"BUY","strategyId":7,"strategyType":1000001,"workingTime""#),
        "{text}"
    );
    let reply: Value = serde_json::from_str(&text).expect("JSON");
    let drawn = reply["clientOrderId"].as_str().expect("text");
    assert_eq!(drawn.len(), 22);
    assert!(drawn.bytes().all(|byte| byte.is_ascii_alphanumeric()));
}

#[test]
fn a_resting_order_is_told_key_by_key() {
    let mut desk = Desk::trading(config(), still());
    let reply = desk.order("order.place", &limit("BUY", "99.5", "0.5", "quote-1"));
    let id = reply["result"]["orderId"].as_u64().expect("an id");
    let texts = desk.rest();
    let report = concat!(
        r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1700000040000,"s":"BTCUSDT","#,
        r#""c":"quote-1","S":"BUY","o":"LIMIT","f":"GTC","q":"0.50000000","p":"99.50000000","#,
        r#""P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW","r":"NONE","#,
        r#""i":{id},"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"#,
        r#""T":1700000040000,"t":-1,"I":{execution},"w":true,"m":false,"M":false,"#,
        r#""O":1700000040000,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","#,
        r#""W":1700000040000,"V":"EXPIRE_MAKER"}}"#
    );
    let event: Value = serde_json::from_str(&texts[0]).expect("JSON");
    let execution = event["event"]["I"].to_string();
    let report = report
        .replace("{id}", &id.to_string())
        .replace("{execution}", &execution);
    assert_eq!(texts[0], report);
    assert_eq!(
        texts[1],
        concat!(
            r#"{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1700000040000,"#,
            r#""u":1700000040000,"B":[{"a":"USDT","f":"999950.25000000","l":"49.75000000"}]}}"#
        )
    );
    assert_eq!(texts.len(), 2);
}

#[test]
fn a_market_order_that_runs_out_of_book_fills_and_expires() {
    let mut desk = Desk::trading(config(), still());
    let reply = desk.order("order.place", &market("BUY", r#""quantity":"8""#));
    let result = &reply["result"];
    assert_eq!(result["status"], "EXPIRED");
    assert_eq!(result["executedQty"], "7.00000000");
    assert_eq!(result["price"], "0.00000000");
    assert_eq!(result["expiryReason"], "INSUFFICIENT_LIQUIDITY");
    let fills = result["fills"].as_array().expect("fills");
    assert_eq!(fills.len(), 2);
    assert_eq!(fills[0]["price"], "101.00000000");
    assert_eq!(fills[0]["commissionAsset"], "BTC");
    assert_eq!(fills[0]["commission"], "0.00200000");
    let events = desk.events();
    let line = |event: &Value| {
        format!(
            "{} {} {} {}",
            event["x"], event["X"], event["l"], event["w"]
        )
        .replace('"', "")
    };
    let lines: Vec<_> = events[..4].iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "NEW NEW 0.00000000 true",
            "TRADE PARTIALLY_FILLED 2.00000000 false",
            "TRADE PARTIALLY_FILLED 5.00000000 false",
            "EXPIRED EXPIRED 0.00000000 false"
        ]
    );
    assert_eq!(events[3]["eR"], "INSUFFICIENT_LIQUIDITY");
    assert_eq!(events[1]["n"], "0.00200000");
    assert_eq!(events[1]["N"], "BTC");
    assert_eq!(events[1]["Y"], "202.00000000");
    assert_eq!(events[1]["t"], fills[0]["tradeId"]);
    assert_eq!(events[1]["m"], false);
    assert_eq!(events[4]["e"], "outboundAccountPosition");
    assert_eq!(events.len(), 5);
}

#[test]
fn a_market_order_may_be_sized_in_quote() {
    let mut desk = Desk::trading(config(), still());
    let reply = desk.order("order.place", &market("BUY", r#""quoteOrderQty":"101""#));
    let result = &reply["result"];
    assert_eq!(result["status"], "FILLED", "{reply}");
    assert_eq!(result["origQuoteOrderQty"], "101.00000000");
    assert_eq!(result["executedQty"], "1.00000000");
    let events = desk.events();
    assert_eq!(events[0]["Q"], "101.00000000");
}

#[test]
fn orders_that_must_fill_at_once_expire_with_their_reason() {
    let mut desk = Desk::trading(config(), still());
    let order = |tif: &str, qty: &str| {
        format!(
            concat!(
                r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"{}","#,
                r#""price":"101","quantity":"{}""#
            ),
            tif, qty
        )
    };
    let reply = desk.order("order.place", &order("FOK", "3"));
    assert_eq!(reply["result"]["status"], "EXPIRED", "{reply}");
    assert_eq!(
        reply["result"]["expiryReason"],
        "UNFILLED_FOK_ORDER_EXPIRED"
    );
    assert_eq!(reply["result"]["executedQty"], "0.00000000");
    let reply = desk.order("order.place", &order("IOC", "3"));
    assert_eq!(reply["result"]["status"], "EXPIRED");
    assert_eq!(
        reply["result"]["expiryReason"],
        "UNFILLED_IOC_QUANTITY_EXPIRED"
    );
    assert_eq!(reply["result"]["executedQty"], "2.00000000");
    let reasons: Vec<_> = desk
        .events()
        .iter()
        .filter_map(|event| event["eR"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        reasons,
        [
            "UNFILLED_FOK_ORDER_EXPIRED",
            "UNFILLED_IOC_QUANTITY_EXPIRED"
        ]
    );
}

#[test]
fn what_would_trade_with_itself_is_prevented_and_told() {
    let mut desk = Desk::trading(config(), still());
    let resting = desk.order("order.place", &limit("BUY", "100.5", "1", "maker"));
    let maker = resting["result"]["orderId"].as_u64().expect("an id");
    desk.events();
    let reply = desk.order("order.place", &limit("SELL", "100.5", "2", "taker"));
    let result = &reply["result"];
    assert_eq!(result["status"], "NEW", "the taker rests: {reply}");
    let prevented = &result["preventedMatches"][0];
    assert_eq!(prevented["makerOrderId"], maker);
    assert_eq!(prevented["price"], "100.50000000");
    assert_eq!(prevented["makerPreventedQuantity"], "1.00000000");
    let taker = result["orderId"].as_u64().expect("an id");
    let events = desk.events();
    let report = events
        .iter()
        .find(|event| event["x"] == "TRADE_PREVENTION")
        .expect("the maker's end");
    assert_eq!(report["X"], "EXPIRED_IN_MATCH");
    assert_eq!(report["i"], maker);
    assert_eq!(report["v"], prevented["preventedMatchId"]);
    assert_eq!(
        (&report["A"], &report["B"]),
        (&"1.00000000".into(), &"1.00000000".into())
    );
    assert_eq!(
        (&report["U"], &report["Cs"]),
        (&taker.into(), &"BTCUSDT".into())
    );
    assert_eq!(
        (&report["pL"], &report["pl"]),
        (&"100.50000000".into(), &"1.00000000".into())
    );
    assert_eq!(
        (&report["pY"], &report["u"]),
        (&"100.50000000".into(), &(-1).into())
    );

    let status = desk.order(
        "order.status",
        &format!(r#""symbol":"BTCUSDT","orderId":{maker}"#),
    );
    assert_eq!(status["result"]["status"], "EXPIRED_IN_MATCH");
    assert_eq!(status["result"]["preventedQuantity"], "1.00000000");

    let taker_expires = format!(
        r#"{},"selfTradePreventionMode":"EXPIRE_TAKER""#,
        limit("BUY", "100.5", "1", "late")
    );
    let reply = desk.order("order.place", &taker_expires);
    let result = &reply["result"];
    assert_eq!(result["status"], "EXPIRED_IN_MATCH", "{reply}");
    assert_eq!(result["preventedQuantity"], "1.00000000");
    assert_eq!(
        result["preventedMatchId"],
        result["preventedMatches"][0]["preventedMatchId"]
    );
    assert_eq!(
        result["preventedMatches"][0]["takerPreventedQuantity"],
        "1.00000000"
    );
}

#[test]
fn a_resting_order_is_filled_by_the_public_flow() {
    let script = still().then(at_ms(100), 0, desk::print(7, "99", "3", true));
    let mut desk = Desk::trading(config(), script);
    desk.order("order.place", &limit("BUY", "99.5", "1", "bid"));
    desk.events();
    desk.pass(100_000);
    let events = desk.events();
    assert_eq!(events[0]["x"], "TRADE");
    assert_eq!(events[0]["X"], "FILLED");
    assert_eq!(events[0]["L"], "99.50000000");
    assert_eq!(
        (&events[0]["m"], &events[0]["w"]),
        (&true.into(), &false.into())
    );
    assert_eq!(events[0]["T"], 1_700_000_040_100_u64);
    assert_eq!(events[1]["e"], "outboundAccountPosition");
    let trades = desk.ask_text("myTrades", r#""symbol":"BTCUSDT""#, Sign::Session);
    let row = concat!(
        r#""orderListId":-1,"price":"99.50000000","qty":"1.00000000","quoteQty":"99.50000000","#,
        r#""commission":"0.00100000","commissionAsset":"BTC","time":1700000040100,"#,
        r#""isBuyer":true,"isMaker":true,"isBestMatch":true}]"#
    );
    assert!(trades.contains(row), "{trades}");
}

#[test]
fn every_refusal_of_the_exchange_has_its_words() {
    let mut desk = Desk::trading(config(), still());
    let cases = [
        (
            limit("BUY", "0.001", "1", "x"),
            -1013,
            "Filter failure: PRICE_FILTER",
        ),
        (
            limit("BUY", "99.005", "1", "x"),
            -1013,
            "Filter failure: PRICE_FILTER",
        ),
        (
            limit("BUY", "99", "0", "x"),
            -1013,
            "Filter failure: LOT_SIZE",
        ),
        (
            limit("BUY", "99", "0.000001", "x"),
            -1013,
            "Filter failure: LOT_SIZE",
        ),
        (
            market("BUY", r#""quantity":"200""#),
            -1013,
            "Filter failure: MARKET_LOT_SIZE",
        ),
        (
            limit("BUY", "600", "1", "x"),
            -1013,
            "Filter failure: PERCENT_PRICE_BY_SIDE",
        ),
        (
            limit("BUY", "99", "0.01", "x"),
            -1013,
            "Filter failure: NOTIONAL",
        ),
        (
            format!(
                r#"{},"selfTradePreventionMode":"NONE""#,
                limit("BUY", "99", "1", "x")
            ),
            -1013,
            "This symbol does not allow the specified self-trade prevention mode.",
        ),
        (
            limit("SELL", "103", "11", "x"),
            -2010,
            "Account has insufficient balance for requested action.",
        ),
        (
            market("BUY", r#""quoteOrderQty":"0""#),
            -2010,
            "Price * QTY is zero or less.",
        ),
        (
            concat!(
                r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT_MAKER","price":"101","#,
                r#""quantity":"1""#
            )
            .to_owned(),
            -2010,
            "Order would immediately match and take.",
        ),
    ];
    for (params, code, msg) in cases {
        let refused = desk.refused("order.place", &params);
        assert_eq!(refused, (400, code, msg.to_owned()), "{params}");
        let tested = desk.order("order.test", &params);
        if code == -1013 {
            assert_eq!(error_of(&tested), refused, "{params}");
        }
    }
    assert_eq!(
        desk.story(),
        Vec::<String>::new(),
        "the API layer tells nothing"
    );
    desk.order("order.place", &limit("BUY", "99", "1", "same"));
    let twice = desk.refused("order.place", &limit("BUY", "98", "1", "same"));
    assert_eq!(twice, (400, -2010, "Duplicate order sent.".to_owned()));
    for n in 1..200 {
        desk.pass(10_000_000);
        let order = limit("BUY", "50", "1", &format!("n{n}"));
        let reply = desk.order("order.place", &order);
        assert_eq!(reply["status"], 200, "{reply}");
    }
    let full = desk.refused("order.place", &limit("BUY", "50", "1", "one-more"));
    assert_eq!(
        full,
        (400, -1013, "Filter failure: MAX_NUM_ORDERS".to_owned())
    );
}

#[test]
fn a_tested_order_goes_nowhere() {
    let mut desk = Desk::trading(config(), still());
    let order = limit("BUY", "99", "1", "t");
    let reply = desk.order("order.test", &order);
    assert_eq!(reply["result"], serde_json::json!({}));
    let limits = reply["rateLimits"].as_array().expect("limits");
    assert_eq!(limits.len(), 1, "no order is counted: {reply}");
    let reply = desk.order(
        "order.test",
        &format!(r#"{order},"computeCommissionRates":true"#),
    );
    assert_eq!(
        reply["result"]["standardCommissionForOrder"]["maker"],
        "0.00100000"
    );
    assert_eq!(reply["result"]["discount"]["discountAsset"], "BNB");
    assert_eq!(desk.story(), Vec::<String>::new());
    let open = desk.order("openOrders.status", "");
    assert_eq!(open["result"], serde_json::json!([]));
}

#[test]
fn an_account_shows_itself() {
    let mut desk = Desk::trading(config(), still());
    let reply = desk.ask_text("account.status", "", Sign::Session);
    let start = concat!(
        r#""result":{"makerCommission":10,"takerCommission":10,"buyerCommission":0,"#,
        r#""sellerCommission":0,"commissionRates":{"maker":"0.00100000","taker":"0.00100000","#,
        r#""buyer":"0.00000000","seller":"0.00000000"},"canTrade":true,"canWithdraw":true,"#,
        r#""canDeposit":true,"brokered":false,"requireSelfTradePrevention":false,"#,
        r#""preventSor":false,"updateTime":0,"accountType":"SPOT","balances":["#
    );
    assert!(reply.contains(start), "{reply}");
    assert!(reply.contains(r#"{"asset":"USDT","free":"1000000.00000000","locked":"0.00000000"}"#));
    assert!(reply.contains(r#"],"permissions":["SPOT"],"uid":354937868}"#));
    let commission = desk.order("account.commission", r#""symbol":"BTCUSDT""#);
    assert_eq!(
        commission["result"]["standardCommission"]["taker"],
        "0.00100000"
    );
    assert_eq!(commission["result"]["taxCommission"]["buyer"], "0.00000000");
    let filters = desk.order("myFilters", r#""symbol":"BTCUSDT""#);
    assert_eq!(
        filters["result"]["symbolFilters"][0]["filterType"],
        "PRICE_FILTER"
    );
    assert_eq!(filters["result"]["assetFilters"], serde_json::json!([]));
    desk.order("order.place", &limit("SELL", "103", "10", "all"));
    let reply = desk.order("account.status", r#""omitZeroBalances":true"#);
    assert_eq!(reply["result"]["updateTime"], 1_700_000_040_000_u64);
    let balances = reply["result"]["balances"].as_array().expect("balances");
    let btc = balances
        .iter()
        .find(|balance| balance["asset"] == "BTC")
        .expect("BTC");
    assert_eq!(
        (&btc["free"], &btc["locked"]),
        (&"0.00000000".into(), &"10.00000000".into())
    );
    let is_zero =
        |balance: &&Value| balance["free"] == "0.00000000" && balance["locked"] == "0.00000000";
    assert_eq!(balances.iter().find(is_zero), None);
}

#[test]
fn orders_are_found_by_either_id() {
    let mut desk = Desk::trading(config(), still());
    let placed = desk.order("order.place", &limit("BUY", "99", "1", "mine"));
    let id = placed["result"]["orderId"].as_u64().expect("an id");
    let text = desk.ask_text(
        "order.status",
        r#""symbol":"BTCUSDT","origClientOrderId":"mine""#,
        Sign::Session,
    );
    let expected = format!(
        concat!(
            r#""result":{{"symbol":"BTCUSDT","orderId":{},"orderListId":-1,"#,
            r#""clientOrderId":"mine","price":"99.00000000","origQty":"1.00000000","#,
            r#""executedQty":"0.00000000","cummulativeQuoteQty":"0.00000000","status":"NEW","#,
            r#""timeInForce":"GTC","type":"LIMIT","side":"BUY","stopPrice":"0.00000000","#,
            r#""icebergQty":"0.00000000","time":1700000040000,"updateTime":1700000040000,"#,
            r#""isWorking":true,"workingTime":1700000040000,"origQuoteOrderQty":"0.00000000","#,
            r#""selfTradePreventionMode":"EXPIRE_MAKER"}}"#
        ),
        id
    );
    assert!(text.contains(&expected), "{text}");
    let open = desk.order("openOrders.status", r#""symbol":"BTCUSDT""#);
    assert_eq!(open["result"][0]["orderId"], id);
    let mut code = |params: &str| error_of(&desk.order("order.status", params));
    assert_eq!(
        code(r#""symbol":"BTCUSDT","orderId":999999"#),
        (400, -2013, "Order does not exist.".to_owned())
    );
    let mismatch = "Client order ID is not correct for this order ID.".to_owned();
    let both = format!(r#""symbol":"BTCUSDT","orderId":{id},"origClientOrderId":"other""#);
    assert_eq!(code(&both), (400, -2039, mismatch));
}
