//! Orders over HTTP against the embedded venue: a whole process, asked as a trader would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only so that a test that fails ends.
const STUCK: Duration = Duration::from_mins(2);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A running engine; it ends whatever the test does.
struct Engine {
    child: Child,
    address: SocketAddr,
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Engine {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_veloz"))
            .args(["--no-status", "--for", "300"])
            .args(["--set", "http.port=0"])
            .args(["--set", "strategy.kind=none"])
            .env_remove("VELOZ_CONFIG")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let log = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let line = lines
            .find(|line| line.contains("\"metrics\""))
            .expect("the log tells where it serves");
        // What follows is read and thrown away, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let entry: serde_json::Value = serde_json::from_str(&line).expect("a log line");
        let metrics = entry["metrics"].as_str().expect("an address");
        let address = metrics
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_suffix("/metrics"))
            .expect("a URL");
        let engine = Self {
            address: address.parse().expect("an address"),
            child,
        };
        engine.wait("trading is ready", || {
            engine.get("/api/status").1["trading"]["phase"] == "ready"
                && engine.get("/api/market").1["book"] == "live"
                // Before it is known what the account is worth, leverage refuses everything.
                && engine.get("/api/account").1["equity"].is_number()
        });
        engine
    }

    #[expect(clippy::unused_self, reason = "reads as a sentence about the engine")]
    fn wait(&self, what: &str, mut until: impl FnMut() -> bool) {
        let began = Instant::now();
        while !until() {
            assert!(began.elapsed() < STUCK, "waited in vain: {what}");
            std::thread::sleep(LOOK);
        }
    }

    fn ask(&self, head: &str, body: &str) -> (u16, serde_json::Value) {
        let (status, text) = self.raw(head, body);
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (status, body)
    }

    fn raw(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(STUCK)).expect("a bound");
        let length = body.len();
        write!(
            stream,
            "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        (status, body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, serde_json::Value) {
        self.ask(&format!("GET {path} HTTP/1.1"), "")
    }

    fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json");
        self.ask(&head, body)
    }

    /// A price so many percent of the best bid, on the grid.
    fn price(&self, percent: f64) -> String {
        let (_, market) = self.get("/api/market");
        let bid = market["best_bid"].as_f64().expect("a live book");
        format!("{:.2}", bid * percent / 100.0)
    }
}

#[test]
fn orders_rest_trade_and_are_taken_back_over_http() {
    let engine = Engine::start();
    let (_, config) = engine.get("/api/config");
    assert_eq!(config["market_source"], "sim");
    assert_eq!(config["binance_trade_enabled"], true);
    assert_eq!(config["binance_user_stream_connected"], true);
    let (status, ping) = engine.get("/api/execution/ping");
    assert_eq!((status, &ping["ok"]), (200, &serde_json::json!(true)));

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
    let answers: Vec<(u16, serde_json::Value)> = std::thread::scope(|scope| {
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
