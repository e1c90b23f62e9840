//! A whole engine process, asked over HTTP as its clients would.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only so that a test that fails ends.
const STUCK: Duration = Duration::from_mins(2);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A running engine; it ends whatever the test does.
pub(crate) struct Engine {
    /// Not of a second view of it.
    child: Option<Child>,
    address: SocketAddr,
    /// Headers of every request, each with its line's end.
    pub(crate) headers: String,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Engine {
    /// Starts one without this process's settings, with these keys and variables, and waits until it serves.
    pub(crate) fn start(keys: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_veloz"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("VELOZ_") || name.ends_with("_DIRECTORY") {
                command.env_remove(name.as_ref());
            }
        }
        for key in keys {
            command.args(["--set", key]);
        }
        let mut child = command
            .args(["--no-status", "--for", "300"])
            .args(["--set", "http.port=0"])
            .args(["--set", "strategy.kind=none"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let log = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let mut seen = String::new();
        let line = lines.find(|line| {
            seen.push_str(line);
            seen.push('\n');
            line.contains("\"metrics\"")
        });
        let line = line.unwrap_or_else(|| panic!("the log tells where it serves: {seen}"));
        // What follows is read and thrown away, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let entry: Value = serde_json::from_str(&line).expect("a log line");
        let metrics = entry["metrics"].as_str().expect("an address");
        let address = metrics
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_suffix("/metrics"))
            .expect("a URL");
        Self {
            address: address.parse().expect("an address"),
            child: Some(child),
            headers: String::new(),
        }
    }

    pub(crate) fn wait_for_trading(&self) {
        self.wait("trading is ready", || {
            self.get("/api/status").1["trading"]["phase"] == "ready"
                && self.get("/api/market").1["book"] == "live"
                // Before it is known what the account is worth, leverage refuses everything.
                && self.get("/api/account").1["equity"].is_number()
        });
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The same engine as somebody else sees it.
    pub(crate) fn with_headers(&self, headers: &str) -> Self {
        Self {
            child: None,
            address: self.address,
            headers: headers.to_owned(),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as a sentence about the engine")]
    pub(crate) fn wait(&self, what: &str, mut until: impl FnMut() -> bool) {
        let began = Instant::now();
        while !until() {
            assert!(began.elapsed() < STUCK, "waited in vain: {what}");
            std::thread::sleep(LOOK);
        }
    }

    /// Status and body of an answer; `head` is the request line, and headers behind it.
    pub(crate) fn raw(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(STUCK)).expect("a bound");
        let (length, more) = (body.len(), &self.headers);
        write!(
            stream,
            "{head}\r\n{more}Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status in {answer:?}"));
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        (status, body.to_owned())
    }

    pub(crate) fn ask(&self, head: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.raw(head, body);
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (status, body)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask(&format!("GET {path} HTTP/1.1"), "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json");
        self.ask(&head, body)
    }

    /// A price so many percent of the best bid, on the grid.
    pub(crate) fn price(&self, percent: f64) -> String {
        let (_, market) = self.get("/api/market");
        let bid = market["best_bid"].as_f64().expect("a live book");
        format!("{:.2}", bid * percent / 100.0)
    }
}
