//! The REST twins over real sockets, and what only sockets show.

use std::io::{ErrorKind, Read as _};

use serde_json::Value;

use super::*;
use crate::venue::tests::client::{self, ask_http, http};
use crate::venue::trading::keys::client::{ed25519_base64, hmac_hex};
use crate::venue::{Fault, Latency, VenueHandle};

const NOW_MS: u64 = 1_700_000_040_000;
const ORDER: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&price=99&quantity=1";

/// A signed request: `query` and `body` without their proof, which goes to the body if there is
/// one.
fn signed(venue: &VenueHandle, query: &str, body: &str) -> (String, String, String) {
    let keys = venue.client_keys().expect("made by the venue");
    let proof = |pairs: &str| {
        let separator = if pairs.is_empty() { "" } else { "&" };
        format!("{pairs}{separator}timestamp={NOW_MS}")
    };
    let (query, body) = if body.is_empty() {
        (proof(query), String::new())
    } else {
        (query.to_owned(), proof(body))
    };
    let signature = hmac_hex(&keys.hmac_secret, &format!("{query}{body}"));
    let header = format!("X-MBX-APIKEY: {}\r\n", keys.hmac_api_key);
    if body.is_empty() {
        (header, format!("{query}&signature={signature}"), body)
    } else {
        (header, query, format!("{body}&signature={signature}"))
    }
}

fn ask(venue: &VenueHandle, verb: &str, path: &str, query: &str, body: &str) -> (String, Value) {
    let (header, query, body) = signed(venue, query, body);
    let path = format!("{path}?{query}");
    let (head, body) = http(venue, verb, &path, &header, &body).expect("an answer");
    (head, serde_json::from_str(&body).expect("JSON"))
}

fn status(head: &str) -> u16 {
    head["HTTP/1.1 ".len()..][..3].parse().expect("a status")
}

#[test]
fn every_trading_call_has_a_twin() {
    let venue = start(config(), still());
    let order = "/api/v3/order";
    let (head, test) = ask(&venue, "POST", "/api/v3/order/test", "", ORDER);
    assert_eq!((status(&head), test), (200, serde_json::json!({})));
    // In the query, in the body, or in both.
    let (head, placed) = ask(&venue, "POST", order, ORDER, "");
    assert_eq!(status(&head), 200, "{placed}");
    for header in [
        "x-mbx-order-count-10s: 1",
        "x-mbx-order-count-1d: 1",
        "x-mbx-used-weight-1m: 1",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let id = placed["orderId"].as_u64().expect("an id");
    let (query, body) = ORDER.split_at(ORDER.find("&price").expect("a price"));
    let (head, split) = ask(&venue, "POST", order, query, &body[1..]);
    assert_eq!(status(&head), 200, "{split}");
    let (_, wins) = ask(&venue, "POST", order, ORDER, "price=98&newClientOrderId=q");
    assert_eq!(wins["price"], "99.00000000", "the query wins: {wins}");
    assert_eq!(wins["clientOrderId"], "q");

    let which = format!("symbol=BTCUSDT&orderId={id}");
    let (_, shown) = ask(&venue, "GET", order, &which, "");
    assert_eq!(shown["status"], "NEW");
    let amend = format!("{which}&newQty=0.5");
    let (head, amended) = ask(
        &venue,
        "PUT",
        "/api/v3/order/amend/keepPriority",
        "",
        &amend,
    );
    assert_eq!(amended["amendedOrder"]["qty"], "0.50000000", "{amended}");
    assert!(!head.contains("x-mbx-order-count"), "{head}");
    let replace = concat!(
        "cancelReplaceMode=STOP_ON_FAILURE&cancelOrigClientOrderId=q&symbol=BTCUSDT&side=BUY&",
        "type=LIMIT_MAKER&price=97&quantity=1"
    );
    let (head, replaced) = ask(&venue, "POST", "/api/v3/order/cancelReplace", "", replace);
    assert_eq!(replaced["newOrderResult"], "SUCCESS", "{replaced}");
    assert!(head.contains("x-mbx-order-count-10s: 4"), "{head}");
    let (head, failed) = ask(&venue, "POST", "/api/v3/order/cancelReplace", "", replace);
    assert_eq!(status(&head), 400);
    assert_eq!(failed["code"], -2022);
    assert_eq!(failed["data"]["newOrderResult"], "NOT_ATTEMPTED");
    let (_, canceled) = ask(&venue, "DELETE", order, &which, "");
    assert_eq!(canceled["status"], "CANCELED");
    let (_, open) = ask(&venue, "GET", "/api/v3/openOrders", "symbol=BTCUSDT", "");
    assert_eq!(open.as_array().map(Vec::len), Some(2));
    let (_, all) = ask(&venue, "DELETE", "/api/v3/openOrders", "symbol=BTCUSDT", "");
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    let (_, account) = ask(
        &venue,
        "GET",
        "/api/v3/account",
        "omitZeroBalances=true",
        "",
    );
    assert_eq!(account["accountType"], "SPOT");
    let (_, counts) = ask(&venue, "GET", "/api/v3/rateLimit/order", "", "");
    assert_eq!(counts[0]["count"], 5);
    let (_, trades) = ask(&venue, "GET", "/api/v3/myTrades", "symbol=BTCUSDT", "");
    assert_eq!(trades, serde_json::json!([]));
    let (_, commission) = ask(
        &venue,
        "GET",
        "/api/v3/account/commission",
        "symbol=BTCUSDT",
        "",
    );
    assert_eq!(commission["symbol"], "BTCUSDT");
    let (_, filters) = ask(&venue, "GET", "/api/v3/myFilters", "symbol=BTCUSDT", "");
    assert!(filters["symbolFilters"].is_array());
}

#[test]
fn rest_refuses_in_its_own_form() {
    let venue = start(config(), still());
    let code = |verb: &str, path: &str, headers: &str, body: &str| {
        let (head, body) = http(&venue, verb, path, headers, body).expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (status(&head), body["code"].as_i64().expect("a code"))
    };
    assert_eq!(
        code("GET", "/api/v3/account?timestamp=1", "", ""),
        (401, -2014)
    );
    let stranger = format!("X-MBX-APIKEY: {}\r\n", "z".repeat(64));
    assert_eq!(
        code("GET", "/api/v3/account?timestamp=1", &stranger, ""),
        (401, -2015)
    );
    let keys = venue.client_keys().expect("made by the venue");
    let header = format!("X-MBX-APIKEY: {}\r\n", keys.hmac_api_key);
    assert_eq!(code("GET", "/api/v3/account", &header, ""), (400, -1102));
    let stamp = format!("/api/v3/account?timestamp={NOW_MS}");
    assert_eq!(code("GET", &stamp, &header, ""), (400, -1102));
    assert_eq!(
        code("GET", &format!("{stamp}&signature=00"), &header, ""),
        (400, -1022)
    );
    let twice = format!("{stamp}&timestamp={NOW_MS}");
    assert_eq!(code("GET", &twice, &header, ""), (400, -1101));
    assert_eq!(code("PUT", "/api/v3/order", &header, ""), (405, -1020));
    assert_eq!(code("PATCH", "/api/v3/order", &header, ""), (405, -1020));
    assert_eq!(code("POST", "/api/v3/orders", &header, ""), (404, -1020));
    let large = "x".repeat(20_000);
    assert_eq!(code("POST", "/api/v3/order", &header, &large), (400, -1000));
    let (head, body) = ask(
        &venue,
        "POST",
        "/api/v3/order",
        "",
        &format!("{ORDER}&apiKey=1"),
    );
    assert_eq!((status(&head), body["code"].as_i64()), (400, Some(-1104)));
}

#[test]
fn signatures_cover_the_bytes_that_were_sent() {
    let venue = start(config(), still());
    let keys = venue.client_keys().expect("made by the venue");
    // The symbol of the documents' example: unknown here, but only after the signature.
    let query = format!("symbol=%EF%BC%91%EF%BC%92&timestamp={NOW_MS}");
    let header = format!("X-MBX-APIKEY: {}\r\n", keys.ed25519_api_key);
    let signature = |payload: &str| {
        let text = ed25519_base64(&keys.ed25519_private_pem, payload);
        text.replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
    };
    let code = |payload: &str| {
        let path = format!(
            "/api/v3/openOrders?{query}&signature={}",
            signature(payload)
        );
        let (_, body) = http(&venue, "GET", &path, &header, "").expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["code"].as_i64()
    };
    assert_eq!(code(&query), Some(-1121));
    let decoded = format!("symbol=１２&timestamp={NOW_MS}");
    assert_eq!(code(&decoded), Some(-1022), "before percent-encoding");
}

#[test]
fn limits_over_http_say_when_to_come_back() {
    let venue = start(
        VenueConfig {
            orders_per_ten_seconds: 1,
            ..config()
        },
        still(),
    );
    ask(&venue, "POST", "/api/v3/order", "", ORDER);
    venue.advance(Duration::from_secs(3));
    let (head, body) = ask(&venue, "POST", "/api/v3/order", "", ORDER);
    assert_eq!((status(&head), body["code"].as_i64()), (429, Some(-1015)));
    assert_eq!(body.get("data"), None, "{body}");
    assert!(head.contains("retry-after: 7"), "{head}");
    assert!(head.contains("x-mbx-order-count-10s: 1"), "{head}");
    let banned = loop {
        let (head, _) = ask(&venue, "POST", "/api/v3/order", "", ORDER);
        if status(&head) != 429 {
            break head;
        }
    };
    assert_eq!(status(&banned), 418);
    assert!(banned.contains("retry-after: 120"), "{banned}");
}

#[test]
fn times_are_in_the_unit_of_the_header() {
    let venue = start(config(), still());
    let (header, query, _) = signed(&venue, ORDER, "");
    let header = format!("{header}X-MBX-TIME-UNIT: MICROSECOND\r\n");
    let path = format!("/api/v3/order?{query}");
    let (_, body) = http(&venue, "POST", &path, &header, "").expect("an answer");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["transactTime"], 1_700_000_040_000_000_u64);
    // And on the websocket in that of the URL.
    let mut api = Client::connect(&venue, "/ws-api/v3?timeUnit=microsecond");
    let keys = venue.client_keys().expect("made by the venue");
    let payload = format!("apiKey={}&timestamp={NOW_MS}", keys.ed25519_api_key);
    let logon = format!(
        concat!(
            r#"{{"id":1,"method":"session.logon","params":{{"apiKey":"{}","timestamp":{},"#,
            r#""signature":"{}"}}}}"#
        ),
        keys.ed25519_api_key,
        NOW_MS,
        ed25519_base64(&keys.ed25519_private_pem, &payload)
    );
    let reply = api.ask(&logon);
    assert!(
        reply.contains(r#""authorizedSince":1700000040000000"#),
        "{reply}"
    );
    api.ask(r#"{"id":2,"method":"userDataStream.subscribe"}"#);
    let order = format!(
        concat!(
            r#"{{"id":3,"method":"order.place","params":{{"symbol":"BTCUSDT","side":"BUY","#,
            r#""type":"MARKET","quantity":"1","timestamp":{}}}}}"#
        ),
        NOW_MS
    );
    assert!(
        api.ask(&order)
            .contains(r#""transactTime":1700000040000000"#)
    );
    assert!(api.text().contains(r#""E":1700000040000000"#));
}

#[test]
fn answers_over_http_wait_for_their_latency() {
    let latency = Latency {
        request_to_engine_us: 400,
        engine_to_response_us: 600,
        engine_to_event_us: 0,
    };
    let venue = start(
        VenueConfig {
            latency,
            ..config()
        },
        still(),
    );
    let (header, query, _) = signed(&venue, ORDER, "");
    let path = format!("/api/v3/order?{query}");
    let mut socket = ask_http(&venue, "POST", &path, &header, "").expect("connected");
    // The request is in when another one, sent later, is answered.
    while venue.stats().requests == 0 {
        client::get(&venue, "/sim/v1/books?symbol=BTCUSDT");
    }
    venue.advance(Duration::from_millis(1));
    let mut reply = String::new();
    socket.read_to_string(&mut reply).expect("an answer");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(reply.contains(r#""transactTime":1700000040000"#), "{reply}");
}

#[test]
fn an_http_connection_breaks_after_the_order_was_accepted() {
    let venue = start(config(), still());
    venue.inject(Fault::DropAfterAccept);
    let (header, query, _) = signed(&venue, ORDER, "");
    let path = format!("/api/v3/order?{query}");
    let broken = http(&venue, "POST", &path, &header, "");
    let kind = broken.map_err(|error| error.kind());
    assert!(
        matches!(
            kind,
            Err(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
        ),
        "{kind:?}"
    );
    let (_, open) = ask(&venue, "GET", "/api/v3/openOrders", "symbol=BTCUSDT", "");
    assert_eq!(open.as_array().map(Vec::len), Some(1));

    venue.inject(Fault::Unavailable);
    let (head, body) = ask(&venue, "POST", "/api/v3/order", "", ORDER);
    assert_eq!((status(&head), body["code"].as_i64()), (503, Some(-1008)));
}

#[test]
fn a_lost_answer_over_http_never_comes() {
    let venue = start(config(), still());
    venue.inject(Fault::ResponseLost);
    let (header, query, _) = signed(&venue, ORDER, "");
    let path = format!("/api/v3/order?{query}");
    let mut socket = ask_http(&venue, "POST", &path, &header, "").expect("connected");
    let open = loop {
        let (_, open) = ask(&venue, "GET", "/api/v3/openOrders", "symbol=BTCUSDT", "");
        match open.as_array() {
            Some(orders) if orders.is_empty() => {}
            Some(_) => break open,
            None => panic!("orders: {open}"),
        }
    };
    assert_eq!(open[0]["status"], "NEW");
    socket.set_nonblocking(true).expect("a socket");
    let nothing = socket.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(
        nothing,
        Err(ErrorKind::WouldBlock),
        "and the connection stays"
    );
}

#[test]
fn a_reset_is_what_a_broken_websocket_reads() {
    let venue = start(config(), still());
    let mut api = Client::connect(&venue, "/ws-api/v3?returnRateLimits=false");
    let keys = venue.client_keys().expect("made by the venue");
    let pairs = format!(
        concat!(
            "apiKey={}&price=99&quantity=1&side=BUY&symbol=BTCUSDT&timeInForce=GTC&",
            "timestamp={}&type=LIMIT"
        ),
        keys.hmac_api_key, NOW_MS
    );
    let signature = hmac_hex(&keys.hmac_secret, &pairs);
    let members: Vec<_> = pairs
        .split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("a pair");
            match name {
                "timestamp" => format!(r#""{name}":{value}"#),
                _ => format!(r#""{name}":"{value}""#),
            }
        })
        .collect();
    venue.inject(Fault::DropAfterAccept);
    api.send(&format!(
        r#"{{"id":1,"method":"order.place","params":{{{},"signature":"{signature}"}}}}"#,
        members.join(",")
    ));
    let error = api.next().expect_err("no reply");
    assert!(
        matches!(&error, tungstenite::Error::Io(io) if io.kind() == ErrorKind::ConnectionReset),
        "{error:?}"
    );
    let (_, open) = ask(&venue, "GET", "/api/v3/openOrders", "symbol=BTCUSDT", "");
    assert_eq!(open.as_array().map(Vec::len), Some(1));
}
