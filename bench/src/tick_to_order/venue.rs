//! What the venue says to requests: just enough for an engine to log on, and for every order to end.
//!
//! Owns: [`answers`]. Every order is taken and expires without a fill, so that positions, balances and the table of
//! orders are the same before each burst. Never inside a measured span.

use super::flow::{SYMBOL, UNIX_MS_AT_ZERO};
use serde_json::Value;
use veloz_core::units::Nanos;

/// The order number at the venue of the first order.
const FIRST_ORDER: u64 = 28_451_093_117;

/// Everything that follows from one request, in the order it is sent. `snapshot` is the `result` of a depth
/// request.
///
/// # Panics
/// When a request is none of those that this venue knows: the engine would wait in vain.
pub(super) fn answers(now: Nanos, request: &str, snapshot: &str) -> Vec<String> {
    let request: Value = serde_json::from_str(request).expect("requests are JSON");
    let id = &request["id"];
    let unix_ms = UNIX_MS_AT_ZERO + now.as_ms();
    let method = request["method"].as_str().expect("a method");
    let result = match method {
        "SUBSCRIBE" => return vec![format!(r#"{{"result":null,"id":{id}}}"#)],
        "time" => format!(r#"{{"serverTime":{unix_ms}}}"#),
        "depth" => snapshot.to_owned(),
        "session.logon" => format!(
            r#"{{"apiKey":"k","authorizedSince":1,"connectedSince":1,"returnRateLimits":false,"serverTime":{unix_ms},"userDataStream":false}}"#
        ),
        "userDataStream.subscribe" | "userDataStream.subscribe.signature" => {
            r#"{"subscriptionId":0}"#.to_owned()
        }
        "openOrders.status" | "myTrades" => "[]".to_owned(),
        "account.rateLimits.orders" => concat!(
            r#"[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":100000,"count":0},"#,
            r#"{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":10000000,"count":0}]"#
        )
        .to_owned(),
        "account.status" => format!(
            r#"{{"makerCommission":15,"canTrade":true,"updateTime":{unix_ms},"accountType":"SPOT","balances":[{{"asset":"BTC","free":"100.00000000","locked":"0.00000000"}},{{"asset":"USDT","free":"10000000.00000000","locked":"0.00000000"}}],"permissions":["SPOT"],"uid":354937868}}"#
        ),
        "order.place" => return placed(unix_ms, id, &request["params"]),
        other => panic!("this venue knows no {other}"),
    };
    vec![format!(r#"{{"id":{id},"status":200,"result":{result}}}"#)]
}

/// The acknowledgement, the report of the new order, and that of its end.
fn placed(unix_ms: u64, id: &Value, params: &Value) -> Vec<String> {
    let text = |name: &str| params[name].as_str().expect("a text");
    let client = text("newClientOrderId");
    let order = FIRST_ORDER + id.as_u64().expect("a number");
    let ack = format!(
        r#"{{"id":{id},"status":200,"result":{{"symbol":"{SYMBOL}","orderId":{order},"orderListId":-1,"clientOrderId":"{client}","transactTime":{unix_ms}}}}}"#
    );
    let report = |status: &str, execution: u64, works: bool| {
        format!(
            r#"{{"subscriptionId":0,"event":{{"e":"executionReport","E":{unix_ms},"s":"{SYMBOL}","c":"{client}","S":"{}","o":"LIMIT","f":"GTC","q":"{}","p":"{}","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"{status}","X":"{status}","r":"NONE","i":{order},"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":{unix_ms},"t":-1,"I":{execution},"w":{works},"m":false,"M":false,"O":{unix_ms},"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":{unix_ms},"V":"EXPIRE_MAKER"}}}}"#,
            text("side"),
            text("quantity"),
            text("price"),
        )
    };
    let execution = 2 * order;
    vec![
        ack,
        report("NEW", execution, true),
        report("EXPIRED", execution + 1, false),
    ]
}
