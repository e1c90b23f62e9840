//! The websocket API and REST.

use super::*;
use tungstenite::Message;

const WEIGHT: &str = concat!(
    r#""rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"#,
    r#""limit":6000,"count":"#
);

#[test]
fn replies_echo_the_id_and_carry_the_weight() {
    let venue = start(config(), diffs(1));
    let mut api = Client::connect(&venue, "/ws-api/v3");
    // The connection itself has cost 2.
    assert_eq!(
        api.ask(r#"{"id":7,"method":"ping"}"#),
        format!(r#"{{"id":7,"status":200,"result":{{}},{WEIGHT}3}}]}}"#)
    );
    assert_eq!(
        api.ask(r#"{"method":"v3/time","id":"t-1"}"#),
        format!(
            r#"{{"id":"t-1","status":200,"result":{{"serverTime":1700000040000}},{WEIGHT}4}}]}}"#
        )
    );
    assert_eq!(
        api.ask(
            r#"{"id":null,"method":"depth","params":{"symbol":"BTCUSDT","returnRateLimits":false}}"#
        ),
        concat!(
            r#"{"id":null,"status":200,"result":{"lastUpdateId":1000,"#,
            r#""bids":[["100.00000000","1.00000000"]],"asks":[["101.00000000","1.00000000"]]}}"#
        )
    );
    assert_eq!(
        api.ask(r#"{"id":1,"method":"ticker.book","params":{"symbols":["BTCUSDT"]}}"#),
        format!(
            concat!(
                r#"{{"id":1,"status":200,"result":[{{"symbol":"BTCUSDT","#,
                r#""bidPrice":"100.00000000","bidQty":"1.00000000","#,
                r#""askPrice":"101.00000000","askQty":"1.00000000"}}],{}13}}]}}"#
            ),
            WEIGHT
        )
    );
    let mut quiet = Client::connect(
        &venue,
        "/ws-api/v3?returnRateLimits=false&timeUnit=MICROSECOND",
    );
    assert_eq!(
        quiet.ask(r#"{"id":1,"method":"time"}"#),
        r#"{"id":1,"status":200,"result":{"serverTime":1700000040000000}}"#
    );
    let info: serde_json::Value = serde_json::from_str(
        &quiet.ask(r#"{"id":1,"method":"exchangeInfo","params":{"symbols":["BTCUSDT"]}}"#),
    )
    .expect("JSON");
    assert_eq!(info["result"]["symbols"][0]["symbol"], "BTCUSDT");
    assert_eq!(
        info["result"]["rateLimits"][4]["rateLimitType"],
        "CONNECTIONS"
    );
}

#[test]
fn bad_requests_get_the_venues_errors() {
    let venue = start(config(), diffs(1));
    let mut api = Client::connect(&venue, "/ws-api/v3?returnRateLimits=false");
    let error = |id: &str, code: i32, msg: &str| {
        format!(r#"{{"id":{id},"status":400,"error":{{"code":{code},"msg":"{msg}"}}}}"#)
    };
    let bad_id = concat!(
        "Invalid 'id' in JSON request; expected an integer, ",
        "a string matching '^[a-zA-Z0-9-_]{1,36}$', or null."
    );
    let cases = [
        ("{", error("null", -1135, "Invalid JSON Request")),
        ("[]", error("null", -1135, "Invalid JSON Request")),
        (
            r#"{"id":1.5,"method":"ping"}"#,
            error("null", -1135, bad_id),
        ),
        (
            r#"{"id":"a b","method":"ping"}"#,
            error("null", -1135, bad_id),
        ),
        (r#"{"method":"ping"}"#, error("null", -1135, bad_id)),
        (
            r#"{"id":4}"#,
            error(
                "4",
                -1135,
                "Invalid 'method' in JSON request; expected a string.",
            ),
        ),
        (
            r#"{"id":4,"method":"ping","params":[]}"#,
            error(
                "4",
                -1135,
                "Invalid 'params' in JSON request; expected an object.",
            ),
        ),
        (
            r#"{"id":4,"method":"pong"}"#,
            error("4", -1020, "This operation is not supported."),
        ),
        (
            r#"{"id":4,"method":"time","params":{"x":1}}"#,
            error(
                "4",
                -1101,
                "Too many parameters; expected '0' and received '1'.",
            ),
        ),
        (
            r#"{"id":4,"method":"depth"}"#,
            error(
                "4",
                -1102,
                "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
            ),
        ),
        (
            r#"{"id":4,"method":"depth","params":{"symbol":"NOSUCH"}}"#,
            error("4", -1121, "Invalid symbol."),
        ),
        (
            r#"{"id":4,"method":"ticker.book","params":{"symbol":"BTCUSDT","symbols":["X"]}}"#,
            error("4", -1128, "Combination of optional parameters invalid."),
        ),
    ];
    for (request, reply) in cases {
        assert_eq!(api.ask(request), reply, "{request}");
    }
}

#[test]
fn a_depth_limit_is_clamped_and_charged() {
    let bids = (0..6_000)
        .map(|n| level(&format!("{}.{:02}", 100 - n / 100, 99 - n % 100), "1"))
        .collect();
    let script = btc().book(START, 0, book(1, bids, vec![level("200", "1")]));
    let venue = start(config(), script);
    let mut api = Client::connect(&venue, "/ws-api/v3");
    let mut depth = |limit: &str| {
        api.send(&format!(
            r#"{{"id":1,"method":"depth","params":{{"symbol":"BTCUSDT"{limit}}}}}"#
        ));
        let reply = api.json();
        (
            reply["result"]["bids"].as_array().map_or(0, Vec::len),
            reply["rateLimits"][0]["count"].as_u64().expect("a count"),
        )
    };
    assert_eq!(depth(""), (100, 7));
    assert_eq!(depth(r#","limit":7"#), (7, 12));
    assert_eq!(depth(r#","limit":1000"#), (1_000, 62));
    assert_eq!(depth(r#","limit":5000"#), (5_000, 312));
    assert_eq!(depth(r#","limit":999999"#), (5_000, 562));
}

#[test]
fn too_much_weight_is_refused_and_insistence_is_banned() {
    let venue = start(
        VenueConfig {
            request_weight_per_minute: 100,
            ..config()
        },
        diffs(1),
    );
    let mut api = Client::connect(&venue, "/ws-api/v3?returnRateLimits=false");
    let info = r#"{"id":1,"method":"exchangeInfo"}"#;
    for _ in 0..4 {
        assert!(api.ask(info).starts_with(r#"{"id":1,"status":200"#));
    }
    assert_eq!(
        api.ask(info),
        concat!(
            r#"{"id":1,"status":429,"error":{"code":-1003,"msg":"Too much request weight used; "#,
            r#"current limit is 100 request weight per 1 MINUTE. Please use WebSocket Streams "#,
            r#"for live updates to avoid polling the API.","data":{"serverTime":1700000040000,"#,
            r#""retryAfter":1700000100000}}}"#
        )
    );
    // The same limit over REST, in its own form.
    venue.advance(Duration::from_secs(15));
    let (head, body) = client::get(&venue, "/api/v3/exchangeInfo");
    assert!(head.starts_with("HTTP/1.1 429"), "{head}");
    assert!(head.contains("retry-after: 45"), "{head}");
    assert!(head.contains("x-mbx-used-weight-1m: 82"), "{head}");
    assert!(body.starts_with(r#"{"code":-1003,"#), "{body}");
    let banned = loop {
        let reply = api.ask(info);
        if !reply.contains(r#""status":429"#) {
            break reply;
        }
    };
    assert!(
        banned.starts_with(concat!(
            r#"{"id":1,"status":418,"error":{"code":-1003,"msg":"Way too much request weight "#,
            r#"used; IP banned until 1700000175000."#
        )),
        "{banned}"
    );
    // The ban cuts websocket API connections.
    assert_eq!(api.close_code(), 1008);
    let (head, _) = client::get(&venue, "/api/v3/ping");
    assert!(head.starts_with("HTTP/1.1 418"), "{head}");
    venue.advance(Duration::from_mins(2));
    let (head, body) = client::get(&venue, "/api/v3/ping");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "{}");
}

#[test]
fn a_wrong_pong_ends_an_api_connection_but_not_a_stream() {
    let venue = start(config(), diffs(1));
    let mut stream = Client::connect_plain(&venue, "/ws");
    let mut api = Client::connect_plain(&venue, "/ws-api/v3");
    for client in [&mut stream, &mut api] {
        // An empty pong answers nothing and is legal.
        client.0.send(Message::Pong("".into())).expect("connected");
        client
            .0
            .send(Message::Pong("no".into()))
            .expect("connected");
    }
    assert_eq!(api.close_code(), 1008);
    stream.settle();
    assert_eq!(venue.stats().stray_pongs, 2);
}

#[test]
fn rest_speaks_http() {
    let venue = start(config(), diffs(1));
    let (head, body) = client::get(&venue, "/api/v3/time");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, r#"{"serverTime":1700000040000}"#);
    let (_, body) = client::get(&venue, "/api/v3/ticker/bookTicker?symbol=BTCUSDT");
    assert!(body.starts_with(r#"{"symbol":"BTCUSDT","bidPrice":"100.00000000""#));
    let (_, body) = client::get(
        &venue,
        "/api/v3/ticker/bookTicker?symbols=%5B%22BTCUSDT%22%5D",
    );
    assert!(body.starts_with(r#"[{"symbol":"BTCUSDT""#), "{body}");
    let (head, body) = client::get(&venue, "/api/v3/depth?symbol=NOSUCH");
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert_eq!(body, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
    let (head, _) = client::get(&venue, "/api/v3/nothing");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let (head, body) = client::get(&venue, "/ws");
    assert!(head.starts_with("HTTP/1.1 400"), "{head} {body}");
    let (_, body) = client::get(&venue, "/stream?streams=x&timeUnit=SECOND");
    assert!(body.starts_with(r#"{"code":-1194"#), "{body}");
}

#[test]
fn the_venues_own_books_can_be_compared() {
    let script = diffs(5);
    let script = (1..=5).fold(script, |script, n| {
        let now = book(1_000 + n, vec![level("100", &format!("{n}"))], vec![]);
        script.book(at_ms(n * 100), 0, now)
    });
    let venue = start(
        VenueConfig {
            book_history: 3,
            ..config()
        },
        script,
    );
    venue.advance(Duration::from_millis(500));
    assert_eq!(venue.book_at("BTCUSDT", 1_002), None, "only three are kept");
    let kept = venue.book_at("BTCUSDT", 1_004).expect("kept");
    assert_eq!(kept.bids, [level("100", "4")]);
    let (_, body) = client::get(&venue, "/sim/v1/book?symbol=BTCUSDT&updateId=1004");
    assert_eq!(
        body,
        r#"{"lastUpdateId":1004,"bids":[["100.00000000","4.00000000"]],"asks":[]}"#
    );
    let (_, body) = client::get(&venue, "/sim/v1/books?symbol=BTCUSDT");
    assert_eq!(body, "[1003, 1004, 1005]");
    let (head, _) = client::get(&venue, "/sim/v1/book?symbol=BTCUSDT&updateId=1");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}
