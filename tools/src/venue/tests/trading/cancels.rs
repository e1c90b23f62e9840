//! Cancels, cancel-replaces and amendments.

use serde_json::{Value, json};

use super::*;

fn place(desk: &mut Desk, side: &str, price: &str, qty: &str, id: &str) -> u64 {
    let order = format!(
        concat!(
            r#""symbol":"BTCUSDT","side":"{}","type":"LIMIT","timeInForce":"GTC","price":"{}","#,
            r#""quantity":"{}","newClientOrderId":"{}","newOrderRespType":"ACK""#
        ),
        side, price, qty, id
    );
    let reply = desk.order("order.place", &order);
    reply["result"]["orderId"]
        .as_u64()
        .unwrap_or_else(|| panic!("{reply}"))
}

fn unknown() -> (u64, i64, String) {
    (400, -2011, "Unknown order sent.".to_owned())
}

#[test]
fn a_cancel_swaps_the_ids() {
    let mut desk = Desk::trading(config(), still());
    let id = place(&mut desk, "BUY", "99", "1", "mine");
    desk.events();
    desk.pass(1_000);
    let params = r#""symbol":"BTCUSDT","origClientOrderId":"mine","newClientOrderId":"gone""#;
    let text = desk.ask_text("order.cancel", params, Sign::Session);
    let expected = format!(
        concat!(
            r#""result":{{"symbol":"BTCUSDT","origClientOrderId":"mine","orderId":{},"#,
            r#""orderListId":-1,"clientOrderId":"gone","transactTime":1700000040001,"#,
            r#""price":"99.00000000","origQty":"1.00000000","executedQty":"0.00000000","#,
            r#""origQuoteOrderQty":"0.00000000","cummulativeQuoteQty":"0.00000000","#,
            r#""status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"BUY","#,
            r#""selfTradePreventionMode":"EXPIRE_MAKER"}},"rateLimits":[{{"rateLimitType":"#,
            r#""REQUEST_WEIGHT""#
        ),
        id
    );
    assert!(text.contains(&expected), "{text}");
    let events = desk.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(
        (&events[0]["c"], &events[0]["C"]),
        (&"gone".into(), &"mine".into())
    );
    assert_eq!(
        (&events[0]["x"], &events[0]["X"]),
        (&"CANCELED".into(), &"CANCELED".into())
    );
    assert_eq!(events[0]["w"], false);
    assert_eq!(
        events[1]["B"][0],
        json!({"a":"USDT","f":"1000000.00000000","l":"0.00000000"})
    );
    // Its name is free again, and it is not open any more.
    place(&mut desk, "BUY", "99", "1", "mine");
    let again = desk.refused(
        "order.cancel",
        &format!(r#""symbol":"BTCUSDT","orderId":{id}"#),
    );
    assert_eq!(again, unknown());
}

#[test]
fn a_cancel_may_be_restricted() {
    let mut desk = Desk::trading(config(), still());
    let id = place(&mut desk, "BUY", "101", "3", "part");
    let cancel = |restriction: &str| {
        format!(r#""symbol":"BTCUSDT","orderId":{id},"cancelRestrictions":"{restriction}""#)
    };
    let refused = desk.refused("order.cancel", &cancel("ONLY_NEW"));
    let words = "Order was not canceled due to cancel restrictions.".to_owned();
    assert_eq!(refused, (400, -2011, words));
    let refused = desk.refused("order.cancel", &cancel("ONLY_OLD"));
    assert_eq!(
        refused,
        (400, -1145, "Invalid cancelRestrictions".to_owned())
    );
    let both = format!(r#""symbol":"BTCUSDT","orderId":{id},"origClientOrderId":"other""#);
    assert_eq!(desk.refused("order.cancel", &both).1, -2039);
    let reply = desk.order("order.cancel", &cancel("ONLY_PARTIALLY_FILLED"));
    assert_eq!(reply["result"]["status"], "CANCELED", "{reply}");
    assert_eq!(reply["result"]["executedQty"], "2.00000000");
}

#[test]
fn all_orders_of_a_symbol_go_at_once() {
    let mut desk = Desk::trading(config(), still());
    let all = r#""symbol":"BTCUSDT""#;
    assert_eq!(desk.refused("openOrders.cancelAll", all), unknown());
    let first = place(&mut desk, "BUY", "99", "1", "a");
    let second = place(&mut desk, "SELL", "103", "1", "b");
    desk.events();
    let reply = desk.order("openOrders.cancelAll", all);
    let ids: Vec<_> = reply["result"]
        .as_array()
        .expect("reports")
        .iter()
        .map(|report| report["orderId"].as_u64().expect("an id"))
        .collect();
    assert_eq!(ids, [first, second]);
    let events = desk.events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[2]["e"], "outboundAccountPosition");
}

/// The new half of a cancel-replace.
fn replacing(mode: &str, cancel: u64, more: &str) -> String {
    format!(
        concat!(
            r#""symbol":"BTCUSDT","cancelReplaceMode":"{}","cancelOrderId":{},"side":"BUY","#,
            r#""type":"LIMIT_MAKER","quantity":"1",{}"#
        ),
        mode, cancel, more
    )
}

#[test]
fn a_replacement_succeeds_half_succeeds_or_fails() {
    const GOOD: &str = r#""price":"98""#;
    const TAKING: &str = r#""price":"101""#;
    const NOBODY: u64 = 999_999;
    let mut desk = Desk::trading(config(), still());
    // Mode, whether the old order is there, the new one's price; then status, code, both results.
    let cases = [
        ("STOP_ON_FAILURE", true, GOOD, 200, 0, "SUCCESS", "SUCCESS"),
        (
            "STOP_ON_FAILURE",
            false,
            GOOD,
            400,
            -2022,
            "FAILURE",
            "NOT_ATTEMPTED",
        ),
        (
            "STOP_ON_FAILURE",
            true,
            TAKING,
            409,
            -2021,
            "SUCCESS",
            "FAILURE",
        ),
        ("ALLOW_FAILURE", true, GOOD, 200, 0, "SUCCESS", "SUCCESS"),
        (
            "ALLOW_FAILURE",
            false,
            TAKING,
            400,
            -2022,
            "FAILURE",
            "FAILURE",
        ),
        (
            "ALLOW_FAILURE",
            false,
            GOOD,
            409,
            -2021,
            "FAILURE",
            "SUCCESS",
        ),
        (
            "ALLOW_FAILURE",
            true,
            TAKING,
            409,
            -2021,
            "SUCCESS",
            "FAILURE",
        ),
    ];
    for (case, (mode, exists, new, status, code, cancel, order)) in cases.into_iter().enumerate() {
        let old = if exists {
            place(&mut desk, "BUY", "97", "1", &format!("old-{case}"))
        } else {
            NOBODY
        };
        desk.events();
        let before = orders_counted(&mut desk);
        let reply = desk.order("order.cancelReplace", &replacing(mode, old, new));
        assert_eq!(reply["status"], status, "{case} {reply}");
        let data = if status == 200 {
            &reply["result"]
        } else {
            assert_eq!(reply["error"]["code"], code, "{case}");
            let words = match code {
                -2021 => "Order cancel-replace partially failed.",
                _ => "Order cancel-replace failed.",
            };
            assert_eq!(reply["error"]["msg"], words);
            &reply["error"]["data"]
        };
        assert_eq!(data["cancelResult"], cancel, "{case}");
        assert_eq!(data["newOrderResult"], order, "{case}");
        match cancel {
            "SUCCESS" => assert_eq!(data["cancelResponse"]["status"], "CANCELED"),
            _ => assert_eq!(
                data["cancelResponse"],
                json!({"code":-2011,"msg":"Unknown order sent."})
            ),
        }
        match order {
            "SUCCESS" => assert!(data["newOrderResponse"]["orderId"].is_u64(), "{reply}"),
            "NOT_ATTEMPTED" => assert_eq!(data["newOrderResponse"], Value::Null),
            _ => assert_eq!(
                data["newOrderResponse"],
                json!({"code":-2010,"msg":"Order would immediately match and take."})
            ),
        }
        // Even what was not attempted counts.
        assert_eq!(orders_counted(&mut desk), before + 1, "{case}");
        desk.pass(10_000_000);
    }
}

fn orders_counted(desk: &mut Desk) -> u64 {
    let reply = desk.order("account.rateLimits.orders", "");
    reply["result"][0]["count"].as_u64().expect("a count")
}

#[test]
fn a_replacement_is_told_as_cancel_then_order() {
    let mut desk = Desk::trading(config(), still());
    let old = place(&mut desk, "BUY", "97", "1", "name");
    desk.events();
    let more = r#""price":"98","newClientOrderId":"name","cancelNewClientOrderId":"c""#;
    let reply = desk.order(
        "order.cancelReplace",
        &replacing("STOP_ON_FAILURE", old, more),
    );
    assert_eq!(
        reply["result"]["cancelResponse"]["clientOrderId"], "c",
        "{reply}"
    );
    let story = desk.story();
    let reports: Vec<_> = story
        .iter()
        .filter(|line| !line.starts_with("outbound"))
        .collect();
    assert_eq!(reports, ["c CANCELED CANCELED", "name NEW NEW"]);
    // A new half that the engine rejects after the cancel is told as well.
    let old = reply["result"]["newOrderResponse"]["orderId"]
        .as_u64()
        .expect("an id");
    let more = r#""price":"101","newClientOrderId":"taker","cancelNewClientOrderId":"d""#;
    desk.order(
        "order.cancelReplace",
        &replacing("STOP_ON_FAILURE", old, more),
    );
    let events = desk.events();
    let rejected = events
        .iter()
        .find(|event| event["x"] == "REJECTED")
        .expect("told");
    assert_eq!(rejected["X"], "REJECTED");
    assert_eq!(rejected["r"], "WOULD_MATCH_IMMEDIATELY");
}

#[test]
fn a_replacement_that_fails_a_filter_cancels_nothing() {
    let mut desk = Desk::trading(config(), still());
    let old = place(&mut desk, "BUY", "97", "1", "kept");
    let more = r#""price":"98.001""#;
    let refused = desk.refused(
        "order.cancelReplace",
        &replacing("ALLOW_FAILURE", old, more),
    );
    assert_eq!(
        refused,
        (400, -1013, "Filter failure: PRICE_FILTER".to_owned())
    );
    let open = desk.order("openOrders.status", r#""symbol":"BTCUSDT""#);
    assert_eq!(open["result"][0]["orderId"], old);
}

#[test]
fn an_account_at_its_limit_may_still_cancel() {
    let config = VenueConfig {
        orders_per_ten_seconds: 3,
        ..config()
    };
    let mut desk = Desk::trading(config, still());
    let old: Vec<_> = (0..3)
        .map(|n| place(&mut desk, "BUY", "97", "1", &format!("o{n}")))
        .collect();
    let words = "Too many new orders; current limit is 3 orders per 10 SECOND.";
    let good = r#""price":"98""#;
    let refused = desk.refused(
        "order.cancelReplace",
        &replacing("ALLOW_FAILURE", old[0], good),
    );
    assert_eq!(refused, (429, -1015, words.to_owned()));
    let cancel_only = r#""price":"98","orderRateLimitExceededMode":"CANCEL_ONLY""#;
    let too_many = json!({"code":-1015,"msg":words});
    let cases = [
        ("STOP_ON_FAILURE", old[0], 429, -2021, "SUCCESS", "FAILURE"),
        (
            "STOP_ON_FAILURE",
            old[0],
            429,
            -2022,
            "FAILURE",
            "NOT_ATTEMPTED",
        ),
        ("ALLOW_FAILURE", old[1], 409, -2021, "SUCCESS", "FAILURE"),
        ("ALLOW_FAILURE", old[1], 400, -2022, "FAILURE", "FAILURE"),
    ];
    for (mode, old, status, code, cancel, new) in cases {
        let reply = desk.order("order.cancelReplace", &replacing(mode, old, cancel_only));
        assert_eq!(reply["status"], status, "{reply}");
        assert_eq!(reply["error"]["code"], code);
        let data = &reply["error"]["data"];
        assert_eq!(
            (&data["cancelResult"], &data["newOrderResult"]),
            (&cancel.into(), &new.into())
        );
        if new == "FAILURE" {
            assert_eq!(data["newOrderResponse"], too_many);
        }
    }
    assert_eq!(orders_counted(&mut desk), 3, "refused orders count nowhere");
}

#[test]
fn an_amendment_keeps_the_order_and_tells_its_new_name() {
    let mut desk = Desk::trading(config(), still());
    let id = place(&mut desk, "BUY", "99", "5", "old-name");
    desk.events();
    let params = r#""symbol":"BTCUSDT","origClientOrderId":"old-name","newQty":"2","newClientOrderId":"new-name""#;
    let text = desk.ask_text("order.amend.keepPriority", params, Sign::Session);
    let reply: Value = serde_json::from_str(&text).expect("JSON");
    let expected = format!(
        concat!(
            r#""result":{{"transactTime":1700000040000,"executionId":{},"amendedOrder":{{"#,
            r#""symbol":"BTCUSDT","orderId":{},"orderListId":-1,"origClientOrderId":"old-name","#,
            r#""clientOrderId":"new-name","price":"99.00000000","qty":"2.00000000","#,
            r#""executedQty":"0.00000000","preventedQty":"0.00000000","#,
            r#""quoteOrderQty":"0.00000000","cumulativeQuoteQty":"0.00000000","status":"NEW","#,
            r#""timeInForce":"GTC","type":"LIMIT","side":"BUY","workingTime":1700000040000,"#,
            r#""selfTradePreventionMode":"EXPIRE_MAKER"}}}}"#
        ),
        reply["result"]["executionId"], id
    );
    assert!(text.contains(&expected), "{text}");
    let events = desk.events();
    assert_eq!(
        (&events[0]["x"], &events[0]["X"]),
        (&"REPLACED".into(), &"NEW".into())
    );
    assert_eq!(
        (&events[0]["c"], &events[0]["C"]),
        (&"new-name".into(), &"old-name".into())
    );
    assert_eq!(events[0]["q"], "2.00000000");

    let amend = |qty: &str| format!(r#""symbol":"BTCUSDT","orderId":{id},"newQty":"{qty}""#);
    let mut refused = |params: &str| desk.refused("order.amend.keepPriority", params);
    let words = "Order amend (quantity increase) is not supported.".to_owned();
    assert_eq!(refused(&amend("3")), (400, -2038, words));
    let words = "The requested action would change no state; rejecting".to_owned();
    assert_eq!(refused(&amend("2")), (400, -2038, words));
    let words = "Filter failure: LOT_SIZE".to_owned();
    assert_eq!(refused(&amend("0")), (400, -1013, words));
    let nobody = r#""symbol":"BTCUSDT","orderId":999999,"newQty":"1""#;
    assert_eq!(
        refused(nobody),
        (400, -2038, "Unknown order sent.".to_owned())
    );
    for n in 1..10 {
        let reply = desk.order("order.amend.keepPriority", &amend(&format!("1.{}", 99 - n)));
        assert_eq!(reply["status"], 200, "{reply}");
    }
    let words = "Filter failure: MAX_NUM_ORDER_AMENDS".to_owned();
    let eleventh = desk.refused("order.amend.keepPriority", &amend("1"));
    assert_eq!(eleventh, (400, -1013, words));
}

#[test]
fn an_amendment_below_what_traded_ends_the_order_and_costs_nothing() {
    let mut desk = Desk::trading(config(), still());
    let id = place(&mut desk, "BUY", "101", "3", "part");
    desk.events();
    let used = |reply: &Value| reply["rateLimits"][0]["count"].as_u64().expect("a count");
    let before = used(&desk.order(
        "order.status",
        &format!(r#""symbol":"BTCUSDT","orderId":{id}"#),
    ));
    let amend = format!(r#""symbol":"BTCUSDT","orderId":{id},"newQty":"2""#);
    let reply = desk.order("order.amend.keepPriority", &amend);
    assert_eq!(
        reply["result"]["amendedOrder"]["status"], "EXPIRED",
        "{reply}"
    );
    assert_eq!(used(&reply), before);
    let events = desk.events();
    assert_eq!(events[0]["x"], "EXPIRED");
}
