//! What requests cost, and what happens to who asks too much.

use serde_json::Value;

use super::*;

fn resting(n: u64) -> String {
    format!(
        concat!(
            r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","price":"90","#,
            r#""quantity":"1","newClientOrderId":"n{}","newOrderRespType":"ACK""#
        ),
        n
    )
}

/// The counts of `rateLimits`, in the order of the reply.
fn counts(reply: &Value) -> Vec<(String, u64)> {
    let limits = reply["rateLimits"].as_array().expect("limits");
    limits
        .iter()
        .map(|limit| {
            let name = format!("{} {}", limit["rateLimitType"], limit["interval"]);
            let count = limit["count"].as_u64().expect("a count");
            (name.replace('"', ""), count)
        })
        .collect()
}

fn all(ten_seconds: u64, day: u64, weight: u64) -> Vec<(String, u64)> {
    vec![
        ("ORDERS SECOND".to_owned(), ten_seconds),
        ("ORDERS DAY".to_owned(), day),
        ("REQUEST_WEIGHT MINUTE".to_owned(), weight),
    ]
}

#[test]
fn successful_orders_and_cancels_weigh_nothing_and_failures_do() {
    let mut desk = Desk::trading(config(), still());
    // Connection, logon and subscription: two each.
    let placed = desk.order("order.place", &resting(1));
    assert_eq!(counts(&placed), all(1, 1, 6));
    assert_eq!(placed["rateLimits"][0]["limit"], 100);
    assert_eq!(placed["rateLimits"][1]["limit"], 200_000);
    // The engine's refusal counts as an order, a filter's does not.
    let refused = desk.order("order.place", &resting(1));
    assert_eq!(refused["error"]["code"], -2010);
    assert_eq!(counts(&refused), all(2, 2, 7));
    let filtered = desk.order("order.place", &resting(2).replace("90", "90.001"));
    assert_eq!(filtered["error"]["code"], -1013);
    assert_eq!(counts(&filtered), all(2, 2, 8));
    let unread = desk.order("order.place", r#""symbol":"BTCUSDT","colour":"red""#);
    assert_eq!(counts(&unread), all(2, 2, 9));
    let weight = |reply: &Value| {
        let counts = counts(reply);
        assert_eq!(counts.len(), 1, "{reply}");
        counts[0].1
    };
    let by_name = r#""symbol":"BTCUSDT","origClientOrderId":"n1""#;
    assert_eq!(weight(&desk.order("order.cancel", by_name)), 9);
    assert_eq!(weight(&desk.order("order.cancel", by_name)), 10, "it fails");
    assert_eq!(weight(&desk.order("order.status", by_name)), 14);
    assert_eq!(weight(&desk.order("openOrders.status", "")), 94);
    assert_eq!(weight(&desk.order("account.rateLimits.orders", "")), 134);
    assert_eq!(
        weight(&desk.order("myTrades", r#""symbol":"BTCUSDT""#)),
        154
    );
}

#[test]
fn orders_are_counted_in_aligned_windows_and_given_back_when_they_fill() {
    let script = still().then(at_ms(1_000), 0, desk::print(1, "89", "9", true));
    let config = VenueConfig {
        connection_life_ms: 7 * 86_400_000,
        ..config()
    };
    let mut desk = Desk::trading(config, script);
    for n in 1..=6 {
        desk.order("order.place", &resting(n));
    }
    let count = |desk: &mut Desk| {
        let reply = desk.order("account.rateLimits.orders", "");
        let count = |position: usize| reply["result"][position]["count"].as_u64();
        (count(0).expect("a count"), count(1).expect("a count"))
    };
    assert_eq!(count(&mut desk), (6, 6));
    let taker = r#""symbol":"BTCUSDT","side":"BUY","type":"MARKET","quantity":"1""#;
    let reply = desk.order("order.place", taker);
    assert_eq!(
        reply["rateLimits"][0]["count"], 7,
        "told before it is given back"
    );
    assert_eq!(count(&mut desk), (6, 6));
    // The print goes through all of them: five a first fill as maker, never below zero.
    desk.pass(1_000_000);
    assert_eq!(count(&mut desk), (0, 0));
    desk.order("order.place", &resting(9));
    desk.pass(9_000_000);
    assert_eq!(
        count(&mut desk),
        (0, 1),
        "the ten seconds are over, the day is not"
    );
    desk.pass(86_400_000_000);
    assert_eq!(count(&mut desk), (0, 0));
}

#[test]
fn too_many_orders_are_refused_and_insistence_is_banned() {
    let config = VenueConfig {
        orders_per_ten_seconds: 2,
        ..config()
    };
    let mut desk = Desk::trading(config, still());
    desk.order("order.place", &resting(1));
    desk.order("order.place", &resting(2));
    let reply = desk.order("order.place", &resting(3));
    assert_eq!(reply["status"], 429);
    assert_eq!(reply["error"]["code"], -1015);
    let words = "Too many new orders; current limit is 2 orders per 10 SECOND.";
    assert_eq!(reply["error"]["msg"], words);
    let data = serde_json::json!({
        "serverTime": 1_700_000_040_000_u64,
        "retryAfter": 1_700_000_050_000_u64
    });
    assert_eq!(reply["error"]["data"], data);
    assert_eq!(counts(&reply)[0].1, 2);
    let banned = loop {
        let reply = desk.order("order.place", &resting(3));
        if reply["status"] != 429 {
            break reply;
        }
    };
    assert_eq!(banned["status"], 418);
    assert_eq!(banned["error"]["code"], -1003);
    assert_eq!(banned["error"]["data"]["retryAfter"], 1_700_000_160_000_u64);
    assert!(desk.rest().contains(&"close 1008".to_owned()));
    assert_eq!(desk.venue.stats().refused, 11);
}

#[test]
fn the_days_limit_is_named_before_the_seconds() {
    let config = VenueConfig {
        orders_per_ten_seconds: 1,
        orders_per_day: 1,
        ..config()
    };
    let mut desk = Desk::trading(config, still());
    desk.order("order.place", &resting(1));
    let refused = desk.refused("order.place", &resting(2));
    let words = "Too many new orders; current limit is 1 orders per 1 DAY.".to_owned();
    assert_eq!(refused, (429, -1015, words));
}

#[test]
fn weight_refuses_orders_as_well() {
    let config = VenueConfig {
        request_weight_per_minute: 6,
        ..config()
    };
    let mut desk = Desk::trading(config, still());
    let refused = desk.refused("order.place", &resting(1));
    assert_eq!((refused.0, refused.1), (429, -1003));
}
