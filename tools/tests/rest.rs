//! Orders over HTTP against the embedded venue: a whole process, asked as a trader would.

#[path = "support/engine.rs"]
mod engine;
#[path = "support/trader.rs"]
#[expect(
    dead_code,
    reason = "only the venue is needed here, and nobody who trades beside the engine"
)]
mod trader;

use engine::Engine;
use serde_json::{Value, json};
use trader::Exchange;

/// An engine that trades.
fn trading(keys: &[&str], variables: &[(&str, &str)]) -> Engine {
    let engine = Engine::start(keys, variables);
    engine.wait_for_trading();
    engine
}

#[test]
fn orders_rest_trade_and_are_taken_back_over_http() {
    let engine = trading(&[], &[]);
    let (_, config) = engine.get("/api/config");
    assert_eq!(config["market_source"], "sim");
    assert_eq!(config["binance_trade_enabled"], true);
    assert_eq!(config["binance_user_stream_connected"], true);
    let (status, ping) = engine.get("/api/execution/ping");
    assert_eq!((status, &ping["ok"]), (200, &json!(true)));

    // Far below the market it rests.
    let price = engine.price(99.5);
    let resting = format!(
        r#"{{"side":"BUY","symbol":"BTCUSDT","qty":1e-03,"price":{price},"client_order_id":"rests"}}"#
    );
    let (status, body) = engine.post("/api/order", &resting);
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["status"], "ACCEPTED", "{body}");
    assert_eq!(body["order_qty"].to_string(), "0.001");
    assert!(body["venue_order_id"].is_string(), "{body}");
    let (status, again) = engine.post("/api/order", &resting);
    assert_eq!(
        (status, &again["error"]),
        (409, &"duplicate_client_order_id".into())
    );
    let (_, states) = engine.get("/api/orders_state?open=true");
    assert_eq!(states["items"][0]["client_order_id"], "rests");
    let (_, account) = engine.get("/api/account");
    let usdt = account["balances"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|balance| balance["asset"] == "USDT")
        .expect("it quotes in it")
        .clone();
    assert!(usdt["free"].as_f64().expect("a number") > 0.0);
    let (status, body) = engine.post("/api/cancel", r#"{"client_order_id":"rests"}"#);
    assert_eq!(
        (status, &body["status"]),
        (200, &"CANCELLED".into()),
        "{body}"
    );

    // Above the market it trades at once, at the market's price.
    let price = engine.price(100.5);
    let taking = format!(
        r#"{{"side":"BUY","symbol":"BTCUSDT","qty":"0.001","price":"{price}","client_order_id":"takes","tif":"IOC"}}"#
    );
    let (status, body) = engine.post("/api/order", &taking);
    assert_eq!(status, 200, "{body}");
    engine.wait("it is filled", || {
        engine.get("/api/order_state?client_order_id=takes").1["status"] == "FILLED"
    });
    let (_, trades) = engine.get("/api/trades");
    assert_eq!(trades["trades"][0]["client_order_id"], "takes");
    engine.wait("there is a position", || {
        engine.get("/api/positions").1["positions"][0]["side"] == "LONG"
    });

    // A hundred equal requests at once.
    let price = engine.price(99.5);
    let order = format!(r#"{{"side":"BUY","symbol":"BTCUSDT","qty":0.001,"price":{price}}}"#);
    let head = "POST /api/order HTTP/1.1\r\nContent-Type: application/json\r\nIdempotency-Key: k1";
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| engine.ask(head, &order)))
            .collect();
        let answers = asking.into_iter().map(|one| one.join().expect("answered"));
        answers.collect()
    });
    assert_eq!(answers[0].0, 200, "{:?}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let (_, open) = engine.get("/api/orders_state?open=true");
    assert_eq!(open["items"].as_array().expect("a list").len(), 1, "{open}");

    let (status, body) = engine.post("/api/cancel-all", "{}");
    assert_eq!((status, &body["orders"]), (200, &1.into()), "{body}");
    let (status, _) = engine.post("/api/halt", "{}");
    assert_eq!(status, 200);
    let (status, body) = engine.post("/api/order", &order);
    assert_eq!(
        (status, &body["reason"]),
        (422, &"not_ready".into()),
        "{body}"
    );
    assert_eq!(engine.get("/api/status").1["state"], "Stopped");
}

#[test]
fn orders_are_made_smaller_and_replaced_over_http() {
    let engine = trading(&[], &[]);
    let price = engine.price(99.5);
    let resting = format!(
        r#"{{"side":"BUY","symbol":"BTCUSDT","qty":"0.003","price":{price},"client_order_id":"first"}}"#
    );
    let (status, body) = engine.post("/api/order", &resting);
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("ACCEPTED")),
        "{body}"
    );
    let venue_order_id = body["venue_order_id"].clone();

    // Smaller: the same order, in its place.
    let smaller = r#"{"client_order_id":"first","qty":0.001}"#;
    let (status, body) = engine.post("/api/amend", smaller);
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["order_qty"].to_string(), "0.001");
    assert_eq!(body["status"], "ACCEPTED");
    assert_eq!(body["venue_order_id"], venue_order_id);
    for not_smaller in ["0.001", "0.002"] {
        let body = format!(r#"{{"client_order_id":"first","qty":{not_smaller}}}"#);
        let (status, body) = engine.post("/api/amend", &body);
        assert_eq!((status, &body["field"]), (400, &json!("qty")), "{body}");
    }

    // Elsewhere: another order.
    let price = engine.price(99.0);
    let other = format!(
        r#"{{"client_order_id":"first","new_client_order_id":"second","qty":0.002,"price":{price}}}"#
    );
    let (status, body) = engine.post("/api/cancel-replace", &other);
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["client_order_id"], &body["status"]),
        (&json!("second"), &json!("ACCEPTED"))
    );
    assert_eq!(body["limit_price"].to_string(), price.trim_end_matches('0'));
    assert_ne!(body["venue_order_id"], venue_order_id);
    let (_, first) = engine.get("/api/order_state?client_order_id=first");
    assert_eq!(first["status"], "CANCELLED", "{first}");
    let (status, body) = engine.post("/api/cancel-replace", &other);
    assert_eq!(
        (status, &body["error"]),
        (409, &json!("not_open")),
        "{body}"
    );
    let (status, body) = engine.post("/api/amend", smaller);
    assert_eq!(
        (status, &body["error"]),
        (409, &json!("not_open")),
        "{body}"
    );
    let (_, open) = engine.get("/api/orders_state?open=true");
    assert_eq!(open["items"].as_array().expect("a list").len(), 1, "{open}");
    // A replacement that would trade at once while it may not: risk sees it as any other order.
    let huge = r#"{"client_order_id":"second","qty":500,"price":1}"#;
    let (status, body) = engine.post("/api/cancel-replace", huge);
    assert_eq!(
        (status, &body["error"]),
        (422, &json!("order_rejected")),
        "{body}"
    );
}

#[test]
fn a_restart_forgets_neither_keys_nor_fills_nor_limits() {
    let state = tempfile::tempdir().expect("a directory");
    let file = state.path().join("limits.toml");
    let limits = |text: &str| std::fs::write(&file, format!("[risk]\n{text}")).expect("written");
    limits("open_orders_max = 40\ndaily_loss_max = \"9000\"\n");
    let keys = [&*format!("state.dir={}", state.path().display())];
    let variables = [("VELOZ_CONFIG", file.to_str().expect("UTF-8"))];
    let mut engine = trading(&keys, &variables);

    let price = engine.price(100.5);
    let order = format!(
        r#"{{"side":"BUY","symbol":"BTCUSDT","qty":"0.001","price":"{price}","client_order_id":"once","tif":"IOC"}}"#
    );
    let keyed = |engine: &Engine| engine.with_headers("Idempotency-Key: k1\r\n");
    let first = keyed(&engine).post("/api/order", &order);
    assert_eq!(first.0, 200, "{first:?}");
    let fills = |engine: &Engine| {
        engine
            .get("/api/audit/logs?log_type=order&action=order_filled")
            .1
    };
    engine.wait("the fill is recorded", || {
        fills(&engine)["total"] == json!(1)
    });
    let fill = fills(&engine)["logs"][0]["details"].clone();
    assert_eq!(
        (&fill["client_order_id"], &fill["side"]),
        (&json!("once"), &json!("BUY"))
    );

    // One person tightens; files do not undo it, and tighten what they like.
    let (status, body) = engine.post("/api/risk/limits", r#"{"global":{"open_orders_max":5}}"#);
    assert_eq!((status, &body["applied"]), (200, &json!(true)), "{body}");
    limits("open_orders_max = 50\ndaily_loss_max = \"8000\"\n");
    let global = |engine: &Engine| engine.get("/api/risk/limits").1["global"].clone();
    assert_eq!(engine.post("/api/admin/reload-config", "{}").0, 200);
    engine.wait("the file is read", || {
        global(&engine)["daily_loss_max"] == "8000.00000000"
    });
    assert_eq!(global(&engine)["open_orders_max"], 5);
    // What nobody set over the API is the files' alone.
    limits("open_orders_max = 3\ndaily_loss_max = \"9500\"\n");
    assert_eq!(engine.post("/api/admin/reload-config", "{}").0, 200);
    engine.wait("the file is read", || {
        global(&engine)["daily_loss_max"] == "9500.00000000"
    });
    assert_eq!(global(&engine)["open_orders_max"], 3);
    limits("open_orders_max = 50\n");

    engine.kill();
    let engine = trading(&keys, &variables);
    assert_eq!(global(&engine)["open_orders_max"], 5);
    assert_eq!(
        keyed(&engine).post("/api/order", &order),
        first,
        "the same answer"
    );
    let (_, states) = engine.get("/api/orders_state");
    assert_eq!(states["items"], json!([]), "and no second order");
    let (status, body) = engine.post("/api/order", &order);
    assert_eq!(
        (status, &body["error"]),
        (409, &json!("duplicate_client_order_id"))
    );
    assert_eq!(fills(&engine)["total"], 1);
}

#[test]
fn a_key_of_the_venue_is_tested_over_http_and_the_next_start_trades_with_it() {
    let exchange = Exchange::start();
    let state = tempfile::tempdir().expect("a directory");
    let address = exchange.venue.address();
    let ca = exchange.key("../ca.pem");
    let keys = [
        "venue.source=binance".to_owned(),
        "venue.execution_mode=binance_testnet_spot".to_owned(),
        format!("venue.market_url=wss://{address}/stream"),
        format!("venue.api_url=wss://{address}/ws-api/v3"),
        format!("venue.ca_file={}", ca.display()),
        format!("state.dir={}", state.path().display()),
    ];
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut engine = Engine::start(&keys, &[]);
    assert_eq!(engine.get("/api/config").1["binance_trade_enabled"], false);
    let test =
        |engine: &Engine| engine.post("/api/exchange-keys/test", r#"{"exchange":"binance"}"#);
    assert_eq!(test(&engine).0, 404, "there is none");
    let text = |name: &str| std::fs::read_to_string(exchange.key(name)).expect("a key file");
    let write = |key: &str, secret: &str| {
        let body = json!({ "exchange": "binance", "api_key": key, "api_secret": secret });
        engine.post("/api/exchange-keys", &body.to_string())
    };
    let (hmac, secret) = (text("hmac_api_key"), text("hmac_secret"));
    let (status, body) = write(hmac.trim(), "another-secret");
    assert_eq!(status, 201, "{body}");
    let (status, body) = test(&engine);
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["ok"], &body["error"]),
        (&json!(false), &json!("invalid_api_key")),
        "{body}"
    );
    for (key, secret) in [
        (hmac.trim(), secret.trim()),
        (text("api_key").trim(), &text("ed25519.pem")),
    ] {
        let (status, body) = write(key, secret);
        assert_eq!(status, 201, "{body}");
        let (status, body) = test(&engine);
        assert_eq!((status, &body["ok"]), (200, &json!(true)), "{body}");
        assert!(!body.to_string().contains(secret), "{body}");
    }
    engine.kill();
    let engine = trading(&keys, &[]);
    assert_eq!(engine.get("/api/config").1["binance_trade_enabled"], true);
}
