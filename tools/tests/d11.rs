//! What the earlier system did wrong when it was run, probe by probe: table D11 of what existing clients rely on. Each row
//! is asked of a whole engine with identities and an audit log, over sockets.

#[path = "support/engine.rs"]
mod engine;

use engine::Engine;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

const PASSWORD: &str = "correct horse battery";

/// A row: what is probed, what the earlier system did, and the probe.
type Row = (&'static str, &'static str, fn(&Engine));

const ROWS: [Row; 11] = [
    ("GET /metrics", "empty reply", metrics),
    (
        "login as admin, then POST /api/auth/keys",
        "403 Required permissions: admin:keys",
        admin_makes_keys,
    ),
    (
        "audit logs / stats / archive",
        "not initialized / 500",
        audit,
    ),
    (
        "same client_order_id twice",
        "both accepted; executed 3.0 > order 2.0; avg_price = last price",
        same_id_twice,
    ),
    ("qty=NaN (form)", "accepted", nan),
    (
        "symbol BTCUSDT\\nCANCEL dup1",
        "accepted; the second line reaches the engine",
        injected,
    ),
    ("cancel unknown id", "ok:true", cancel_unknown),
    (
        "/api/stream with auth on, no token",
        "streams fills",
        stream_without_token,
    ),
    (
        "logout with forged refresh token",
        "accepted (signature not verified)",
        forged_logout,
    ),
    ("/health/live with auth on", "401 / 404", live),
    ("/health/ready with auth on", "401 / 404", ready),
];

#[test]
fn every_probe_of_the_table_is_answered_as_it_should_be() {
    let state = tempfile::tempdir().expect("a directory");
    let directory = format!("state.dir={}", state.path().display());
    let keys = [
        "auth.enabled=true",
        // The test asks more often than a client may.
        "http.rate_limit_capacity=100000",
        "http.rate_limit_refill_per_second=10000",
        &directory,
    ];
    let mut engine = Engine::start(&keys, &[("VELOZ_ADMIN_PASSWORD", PASSWORD)]);
    engine.headers = bearer(&login(&engine).0);
    engine.wait_for_trading();
    let mut failed = Vec::new();
    for (probe, earlier, run) in ROWS {
        println!("{probe}  (earlier: {earlier})");
        if catch_unwind(AssertUnwindSafe(|| run(&engine))).is_err() {
            failed.push(probe);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Access and refresh token.
fn login(engine: &Engine) -> (String, String) {
    let body = json!({ "user_id": "admin", "password": PASSWORD }).to_string();
    let (status, body) = engine.post("/api/auth/login", &body);
    assert_eq!(status, 200, "{body}");
    let token = |name: &str| body[name].as_str().expect("a token").to_owned();
    (token("access_token"), token("refresh_token"))
}

/// The same engine for somebody who shows something else.
fn shown<T>(engine: &Engine, headers: &str, path: &str, read: fn(&Engine, &str) -> T) -> T {
    let other = engine.with_headers(headers);
    read(&other, path)
}

fn metrics(engine: &Engine) {
    let (status, page) = engine.raw("GET /metrics HTTP/1.1", "");
    assert_eq!(status, 200);
    assert!(page.contains("\nveloz_engine_running 1\n"), "{page}");
    let (status, _) = shown(engine, "", "GET /metrics HTTP/1.1", |engine, head| {
        engine.raw(head, "")
    });
    assert_eq!(status, 401, "with auth on it is not public");
}

fn admin_makes_keys(engine: &Engine) {
    let (access, _) = login(engine);
    let admin = engine.with_headers(&bearer(&access));
    let (status, made) = admin.post("/api/auth/keys", r#"{"name":"bot"}"#);
    assert_eq!(status, 201, "{made}");
    let key = made["api_key"].as_str().expect("shown once");
    let bot = engine.with_headers(&format!("X-API-Key: {key}\r\n"));
    assert_eq!(bot.get("/api/account").0, 200);
    let (_, listed) = admin.get("/api/auth/keys");
    assert!(!listed.to_string().contains(key), "never again");
}

fn audit(engine: &Engine) {
    engine.wait("the login is recorded", || {
        let (status, logs) =
            engine.get("/api/audit/logs?log_type=auth&action=login_success&limit=5");
        assert_eq!(status, 200, "{logs}");
        logs["total"].as_u64().is_some_and(|total| total > 0)
    });
    let (_, logs) = engine.get("/api/audit/logs?log_type=auth&action=login_success&limit=1");
    let record = &logs["logs"][0];
    assert!(record["timestamp"].is_f64());
    for (field, value) in [
        ("log_type", "auth"),
        ("user_id", "admin"),
        ("ip_address", "127.0.0.1"),
    ] {
        assert_eq!(record[field], value, "{record}");
    }
    let (status, stats) = engine.get("/api/audit/stats");
    assert_eq!(status, 200, "{stats}");
    assert_eq!(stats["policies"]["order"]["retention_days"], 365);
    let (status, packed) = engine.post("/api/audit/archive", "{}");
    assert_eq!((status, &packed["ok"]), (200, &json!(true)), "{packed}");
}

fn same_id_twice(engine: &Engine) {
    let (price, head) = (
        engine.price(101.0),
        "POST /api/order HTTP/1.1\r\nContent-Type: application/json",
    );
    let order = format!(
        r#"{{"side":"BUY","symbol":"BTCUSDT","qty":0.25,"price":{price},"client_order_id":"dup1","tif":"IOC"}}"#
    );
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| engine.ask(head, &order)))
            .collect();
        asking
            .into_iter()
            .map(|one| one.join().expect("answered"))
            .collect()
    });
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.0).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{answers:?}");
    let refused = answers.iter().find(|answer| answer.0 == 409).expect("one");
    assert_eq!(refused.1["error"], "duplicate_client_order_id");
    let (status, again) = engine.post("/api/order", &order);
    assert_eq!((status, &again["field"]), (409, &json!("client_order_id")));

    let state = || engine.get("/api/order_state?client_order_id=dup1").1;
    engine.wait("it is over", || {
        ["FILLED", "EXPIRED"].contains(&state()["status"].as_str().expect("a word"))
    });
    let state = state();
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&state["executed_qty"]) <= 0.25, "{state}");
    let (_, trades) = engine.get("/api/trades?symbol=BTCUSDT&limit=1000");
    let (mut qty, mut worth) = (0.0, 0.0);
    for trade in trades["trades"].as_array().expect("a list") {
        if trade["client_order_id"] == "dup1" {
            qty += number(&trade["qty"]);
            worth += number(&trade["qty"]) * number(&trade["price"]);
        }
    }
    assert!(qty > 0.0, "it takes what there is: {state}");
    assert!(
        (qty - number(&state["executed_qty"])).abs() < 1e-9,
        "{state}"
    );
    // Over all fills, not the last one's.
    let average = number(&state["avg_price"]);
    assert!((worth / qty - average).abs() < 1e-6, "{average} {trades}");
}

fn form(engine: &Engine, body: &str) -> (u16, Value) {
    let kind = "application/x-www-form-urlencoded";
    let head = format!("POST /api/order HTTP/1.1\r\nContent-Type: {kind}");
    engine.ask(&head, body)
}

fn nan(engine: &Engine) {
    for qty in ["NaN", "nan", "Infinity", "-1", "1e999"] {
        let body = format!("side=BUY&symbol=BTCUSDT&qty={qty}&price=1&client_order_id=nan1");
        let (status, body) = form(engine, &body);
        assert_eq!((status, &body["field"]), (400, &json!("qty")), "{body}");
    }
    let (status, _) = engine.get("/api/order_state?client_order_id=nan1");
    assert_eq!(status, 404);
}

fn injected(engine: &Engine) {
    let price = engine.price(98.0);
    let resting = format!(
        r#"{{"side":"BUY","symbol":"BTCUSDT","qty":0.001,"price":{price},"client_order_id":"target"}}"#
    );
    assert_eq!(engine.post("/api/order", &resting).0, 200);
    let text = "BTCUSDT\nCANCEL target";
    let json = json!({ "side": "BUY", "symbol": text, "qty": 1, "price": 1 }).to_string();
    let encoded = format!(
        "side=BUY&symbol={}&qty=1&price=1",
        text.replace('\n', "%0A").replace(' ', "+")
    );
    for (status, body) in [engine.post("/api/order", &json), form(engine, &encoded)] {
        assert_eq!((status, &body["field"]), (400, &json!("symbol")), "{body}");
    }
    let (_, target) = engine.get("/api/order_state?client_order_id=target");
    assert_eq!(target["status"], "ACCEPTED", "nothing cancelled it");
}

fn cancel_unknown(engine: &Engine) {
    let (status, body) = engine.post("/api/cancel", r#"{"client_order_id":"never"}"#);
    assert_eq!((status, &body["error"]), (404, &json!("not_found")));
    assert_ne!(body["ok"], true);
}

fn stream_without_token(engine: &Engine) {
    let (status, body) = shown(engine, "", "/api/stream?last_id=0", Engine::get);
    assert_eq!(
        (status, &body["error"]),
        (401, &json!("authentication_required"))
    );
}

fn forged_logout(engine: &Engine) {
    let (_, refresh) = login(engine);
    let mut parts: Vec<&str> = refresh.split('.').collect();
    let signature = parts.pop().expect("a signature");
    let other: String = signature
        .chars()
        .map(|c| if c == 'A' { 'B' } else { 'A' })
        .collect();
    let body = |token: &str| json!({ "refresh_token": token }).to_string();
    for forged in [
        format!("{}.{other}", parts.join(".")),
        // The head says {"alg":"none","typ":"JWT"}.
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]),
    ] {
        let (status, answer) = engine.post("/api/auth/logout", &body(&forged));
        assert_eq!(
            (status, &answer["error"]),
            (401, &json!("invalid_refresh_token")),
            "{answer}"
        );
    }
    let (status, renewed) = engine.post("/api/auth/refresh", &body(&refresh));
    assert_eq!(status, 200, "the session goes on: {renewed}");
}

fn live(engine: &Engine) {
    let (status, body) = shown(engine, "", "/health/live", Engine::get);
    assert_eq!((status, body), (200, json!({ "ok": true })));
}

fn ready(engine: &Engine) {
    engine.wait("it is ready", || {
        shown(engine, "", "/health/ready", Engine::get).0 == 200
    });
    let (_, body) = shown(engine, "", "/health/ready", Engine::get);
    assert_eq!(body["ok"], true);
    for component in ["engine", "websocket", "database"] {
        assert!(body["components"][component].is_string(), "{body}");
    }
    assert!(body["uptime_seconds"].is_number());
}
