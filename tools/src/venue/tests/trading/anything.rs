//! Whatever a client sends is answered once, and the venue goes on.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const METHODS: [&str; 14] = [
    "order.place",
    "order.test",
    "order.cancel",
    "order.cancelReplace",
    "order.amend.keepPriority",
    "order.status",
    "openOrders.status",
    "openOrders.cancelAll",
    "account.status",
    "account.rateLimits.orders",
    "myTrades",
    "account.commission",
    "userDataStream.unsubscribe",
    "exchangeInfo",
];

/// A parameter with values that are right, odd and wrong.
fn member() -> impl Strategy<Value = String> {
    let of = |name: &'static str, values: &'static [&'static str]| {
        prop::sample::select(values).prop_map(move |value| format!(r#""{name}":{value}"#))
    };
    let number: &[&str] = &[
        r#""1""#,
        r#""99""#,
        r#""101.5""#,
        "0",
        r#""0.00000001""#,
        r#""-1""#,
        r#""92233720368.54775807""#,
        r#""1e9""#,
        "null",
        "[]",
    ];
    let id: &[&str] = &[
        "1",
        r#""42000000000""#,
        r#""x""#,
        "-1",
        "18446744073709551615",
    ];
    let name: &[&str] = &[r#""a""#, r#""b""#, r#""a b""#, r#""""#, "7"];
    prop_oneof![
        of(
            "symbol",
            &[
                r#""BTCUSDT""#,
                r#""BTCUSDT""#,
                r#""ETHBTC""#,
                r#""é""#,
                "{}"
            ]
        ),
        of("side", &[r#""BUY""#, r#""SELL""#, r#""buy""#]),
        of(
            "type",
            &[
                r#""LIMIT""#,
                r#""MARKET""#,
                r#""LIMIT_MAKER""#,
                r#""STOP_LOSS""#
            ]
        ),
        of(
            "timeInForce",
            &[r#""GTC""#, r#""IOC""#, r#""FOK""#, r#""GTX""#]
        ),
        of("price", number),
        of("quantity", number),
        of("quoteOrderQty", number),
        of("newQty", number),
        of("newClientOrderId", name),
        of("origClientOrderId", name),
        of("cancelOrigClientOrderId", name),
        of("orderId", id),
        of("cancelOrderId", id),
        of("fromId", id),
        of("startTime", &["1", "1700000000000", "9223372036854775807"]),
        of("endTime", &["1", "1700000000000000"]),
        of(
            "cancelReplaceMode",
            &[r#""STOP_ON_FAILURE""#, r#""ALLOW_FAILURE""#]
        ),
        of(
            "selfTradePreventionMode",
            &[r#""EXPIRE_BOTH""#, r#""DECREMENT""#, r#""NONE""#]
        ),
        of("recvWindow", &["1", "60000", "60000.001", r#""5.1234""#]),
        of("subscriptionId", &["0", "1", "4294967296"]),
    ]
}

fn request() -> impl Strategy<Value = (&'static str, Vec<String>)> {
    let members = prop::collection::vec(member(), 0..10);
    (prop::sample::select(&METHODS[..]), members)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_has_one_answer(requests in prop::collection::vec(request(), 1..40)) {
        let script = (1..200).fold(still(), |script, n| {
            let price = if n % 2 == 0 { "98" } else { "103" };
            script.then(at_ms(n), 0, desk::print(n, price, "0.5", n % 2 == 0))
        });
        let config = VenueConfig {
            request_weight_per_minute: u32::MAX,
            ..config()
        };
        let mut desk = Desk::trading(config, script);
        for (method, mut members) in requests {
            // One value a name, as JSON objects are read.
            members.sort();
            members.dedup_by_key(|member| member.split(':').next().map(str::to_owned));
            let reply = desk.ask(method, &members.join(","), Sign::Session);
            let status = reply["status"].as_u64();
            prop_assert!(matches!(status, Some(200 | 400 | 401 | 409 | 429)), "{}", reply);
            prop_assert_eq!(reply["error"].is_object(), status != Some(200));
            for text in desk.rest() {
                let event: Value = serde_json::from_str(&text).expect("JSON");
                prop_assert!(event["event"]["e"].is_string(), "{}", event);
            }
            desk.pass(1_000);
        }
    }
}
