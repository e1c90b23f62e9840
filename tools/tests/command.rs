//! The command as its users start it: the embedded system runs for real, in processes of its own.
//!
//! Nothing here sleeps or measures: what has to be waited for is read from the process's own output,
//! and every process ends by itself should a test fail to end it.

#[path = "support/trader.rs"]
#[expect(
    dead_code,
    reason = "only the venue and its list of orders are needed here"
)]
mod trader;

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use trader::{Exchange, Trader};
use veloz::venue::Fault;

/// Seconds after which a process that nobody ended ends by itself.
const LIFE: &str = "60";

/// The command without this process's settings.
fn veloz() -> Command {
    without_settings(env!("CARGO_BIN_EXE_veloz"))
}

/// A program without this process's settings.
fn without_settings(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VELOZ_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running engine whose log is read line by line.
struct Running {
    child: Child,
    log: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        Self::start_as(veloz(), arguments)
    }

    fn start_as(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command
            .args(["--set", "http.port=0", "--for", LIFE])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let log = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, log }
    }

    /// Reads the log up to the line that `wanted` accepts.
    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = String::new();
        let mut line = String::new();
        while self.log.read_line(&mut line).expect("readable") > 0 {
            let entry: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
            for key in ["timestamp", "level", "component", "message"] {
                assert!(entry[key].is_string(), "no {key} in {line:?}");
            }
            if wanted(&entry) {
                return entry;
            }
            seen.push_str(&line);
            line.clear();
        }
        panic!("the log ended before {what}:\n{seen}");
    }

    /// Where the server listens.
    fn address(&mut self) -> String {
        let started = self.wait_for("the server's address", |entry| entry["metrics"].is_string());
        started["metrics"]
            .as_str()
            .and_then(|url| url.strip_prefix("http://"))
            .and_then(|url| url.strip_suffix("/metrics"))
            .expect("an address")
            .to_owned()
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: plain integers; the process is our own child and was not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, except when the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status in {answer:?}"));
    (status, answer)
}

fn run_to_end(arguments: &[&str]) -> Output {
    veloz().args(arguments).output().expect("the command runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_embedded_system_becomes_ready_serves_and_ends_on_sigterm() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut running = Running::start(&[]);
        let address = running.address();
        running.wait_for("live books", |entry| {
            entry["message"] == "engine state changed" && entry["to"] == "ready"
        });

        let (status, health) = get(&address, "/health/ready");
        assert_eq!(status, 200, "{health}");
        let (status, metrics) = get(&address, "/metrics");
        assert_eq!(status, 200);
        assert!(metrics.contains("\nveloz_"), "{metrics}");

        running.signal(signal);
        running.wait_for("the last line", |entry| entry["message"] == "stopped");
        let status = running.child.wait().expect("ended");
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn after_trading_our_books_are_the_venues_account_to_the_last_unit() {
    let mut running = Running::start(&["--set", "log.level=debug"]);
    running.wait_for("a fill", |entry| entry["event_type"] == "fill");
    running.signal(libc::SIGTERM);
    let told = running.wait_for("the comparison", |entry| {
        let event = &entry["event_type"];
        event == "account_agrees" || event == "account_disagrees"
    });
    assert_eq!(told["event_type"], "account_agrees", "{told}");
    assert!(told["trades"].as_u64() >= Some(1), "{told}");
    assert_eq!(running.child.wait().expect("ended").code(), Some(0));
}

#[test]
fn a_server_out_of_file_descriptors_serves_again_when_it_has_some() {
    let mut command = without_settings("sh");
    command
        .args(["-c", "ulimit -n 96; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_veloz"));
    let mut running = Running::start_as(command, &[]);
    let address = running.address();
    let held: Vec<TcpStream> = (0..120)
        .map(|_| TcpStream::connect(&address).expect("the backlog takes it"))
        .collect();
    running.wait_for("the failed accept", |entry| {
        entry["message"] == "a connection was not accepted"
    });
    drop(held);
    assert_eq!(get(&address, "/health").0, 200);
}

#[test]
fn the_monitoring_port_is_named_in_the_log_and_serves_no_more_than_it_should() {
    let mut running = Running::start(&["--set", "http.metrics_address=127.0.0.1:0"]);
    let served = running.wait_for("the monitoring port", |entry| {
        entry["monitoring"].is_string()
    });
    let address = served["monitoring"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(get(&address, "/health").0, 200);
    assert_eq!(get(&address, "/metrics").0, 200);
    assert_eq!(get(&address, "/").0, 404);
}

/// A POST with a JSON body, and the status and body of its answer.
fn post(address: &str, path: &str, header: &str, body: &Value) -> (u16, Value) {
    ask(address, "POST", path, header, body)
}

fn ask(address: &str, method: &str, path: &str, header: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("listens");
    let body = body.to_string();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n{header}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).expect("a status");
    (
        status.parse().expect("a status"),
        serde_json::from_str(body).expect("JSON"),
    )
}

#[test]
fn the_first_admin_logs_in_makes_a_key_and_users_come_and_go_while_it_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let state = format!("state.dir={}", directory.path().display());
    let on = ["--set", state.as_str(), "--set", "auth.enabled=true"];
    let nobody = run_to_end(&[&on[..], &["--set", "http.port=0"]].concat());
    assert_eq!(nobody.status.code(), Some(1));
    let text = stdout(&nobody);
    assert!(text.contains("veloz user add NAME --role admin"), "{text}");

    let password = directory.path().join("password");
    std::fs::write(&password, "correct horse\n").expect("written");
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&password, owner_only).expect("set");
    let mut command = veloz();
    command.env("VELOZ_ADMIN_PASSWORD_FILE", &password);
    let mut running = Running::start_as(command, &on);
    let address = running.address();
    assert_eq!(get(&address, "/health").0, 200);
    assert_eq!(get(&address, "/metrics").0, 401);
    assert_eq!(get(&address, "/api/nothing").0, 401);

    let login = |user: &str| {
        let body = serde_json::json!({ "user_id": user, "password": "correct horse" });
        post(&address, "/api/auth/login", "", &body)
    };
    let (status, tokens) = login("admin");
    assert_eq!(status, 200, "{tokens}");
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        tokens["access_token"].as_str().expect("a token")
    );
    let name = serde_json::json!({ "name": "bot" });
    let (status, key) = post(&address, "/api/auth/keys", &bearer, &name);
    assert_eq!(status, 201, "{key}");

    assert_eq!(login("tom").0, 401);
    let password = password.display().to_string();
    let user = |arguments: &[&str]| {
        let output = run_to_end(&[&["--set", state.as_str(), "user"][..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    user(&[
        "add",
        "tom",
        "--role",
        "trader",
        "--password-file",
        &password,
    ]);
    // Seen within a second.
    loop {
        let (_, roles) = ask(&address, "GET", "/api/auth/roles", &bearer, &Value::Null);
        if roles["users"]["tom"].is_array() {
            break;
        }
    }
    assert_eq!(login("tom").0, 200);
    // Who did that is in the log: the engine took it over from the command, within a second too.
    loop {
        let path = "/api/audit/logs?action=user_added&limit=1";
        let (status, logs) = ask(&address, "GET", path, &bearer, &Value::Null);
        // Asked again and again, it may have been asked too often.
        assert!(matches!(status, 200 | 429), "{logs}");
        let newest = &logs["logs"][0];
        if newest["user_id"] == "local" {
            assert_eq!(newest["details"]["user"], "tom");
            assert_eq!(logs["total"], 2, "and the first admin: {logs}");
            break;
        }
    }

    running.signal(libc::SIGTERM);
    running.wait_for("the last line", |entry| entry["message"] == "stopped");
    let audit = directory.path().join("audit");
    let verify = || run_to_end(&["audit", "verify", &audit.display().to_string()]);
    let whole = verify();
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    assert!(stdout(&whole).contains(": whole, "), "{}", stdout(&whole));
    let auth = std::fs::read_dir(&audit)
        .expect("there")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("auth_")
        })
        .expect("logins were recorded");
    let text = std::fs::read_to_string(&auth).expect("read");
    std::fs::write(&auth, text.replacen("login_success", "login_nothing", 1)).expect("written");
    let changed = verify();
    assert_eq!(changed.status.code(), Some(1));
    let words = stderr(&changed);
    assert!(words.contains(":2: record 2 was changed"), "{words}");
}

/// The audit log's disk is full: what administrates is refused and not done, all else goes on, and with room
/// again so does the log, without a hole.
#[test]
fn a_full_disk_refuses_what_must_be_recorded_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let audit = directory.path().join("audit");
    std::fs::create_dir(&audit).expect("made");
    let password = directory.path().join("password");
    std::fs::write(&password, "correct horse\n").expect("written");
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&password, owner_only).expect("set");
    // A disk of 128 KiB in a namespace of its own, half of it taken.
    let script = format!(
        "mount -t tmpfs -o size=128k tmpfs '{0}' && head -c 65536 /dev/zero > '{0}/taken'",
        audit.display()
    );
    let namespace = ["--map-root-user", "--mount", "sh", "-c"];
    let probe = Command::new("unshare")
        .args(namespace)
        .arg(&script)
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: this system gives no namespace for a small disk");
        return;
    }
    let mut command = without_settings("unshare");
    command
        .args(namespace)
        .arg(format!("{script} && exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_veloz"))
        .env("VELOZ_ADMIN_PASSWORD_FILE", &password);
    let set = |key: &str, value: &Path| format!("{key}={}", value.display());
    let (state, log) = (set("state.dir", directory.path()), set("audit.dir", &audit));
    let on = ["--set", "auth.enabled=true", "--set", &state, "--set", &log];
    let mut running = Running::start_as(command, &on);
    let address = running.address();
    let body = serde_json::json!({ "user_id": "admin", "password": "correct horse" });
    let (status, tokens) = post(&address, "/api/auth/login", "", &body);
    assert_eq!(status, 200, "{tokens}");
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        tokens["access_token"].as_str().expect("a token")
    );

    let make = || {
        let name = serde_json::json!({ "name": "bot" });
        post(&address, "/api/auth/keys", &bearer, &name)
    };
    let mut made = 0;
    let refused = loop {
        match make() {
            (201, _) => made += 1,
            // Asked too often; the bucket fills by itself.
            (429, _) => {}
            (status, body) => break (status, body),
        }
        assert!(made < 1_000, "the disk is never full");
    };
    assert_eq!(
        (refused.0, &refused.1["error"]),
        (503, &Value::from("audit_unavailable"))
    );
    let keys = || loop {
        let (status, body) = ask(&address, "GET", "/api/auth/keys", &bearer, &Value::Null);
        if status == 200 {
            return body["keys"].as_array().expect("a list").len();
        }
        assert_eq!(status, 429, "{body}");
    };
    assert_eq!(keys(), made, "what was refused was not done");
    assert_eq!(get(&address, "/health").0, 200);
    assert_eq!(get(&address, "/health/ready").0, 200, "trading goes on");

    let inside = format!("/proc/{}/root{}", running.child.id(), audit.display());
    std::fs::remove_file(format!("{inside}/taken")).expect("room again");
    loop {
        match make() {
            (201, _) => break,
            (status, body) => assert!(matches!(status, 429 | 503), "{body}"),
        }
    }
    assert_eq!(keys(), made + 1);
    let whole = run_to_end(&["audit", "verify", &inside]);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    running.signal(libc::SIGTERM);
    running.wait_for("the last line", |entry| entry["message"] == "stopped");
}

/// Starts an engine without a strategy, waits until it may trade, and has one order rest.
fn with_resting_order(command: Command, arguments: &[&str]) -> (Running, String) {
    let none = ["--set", "strategy.kind=none"];
    let mut running = Running::start_as(command, &[&none[..], arguments].concat());
    let address = running.address();
    let look = |path: &str| ask(&address, "GET", path, "", &Value::Null).1;
    // Before it is known what the account is worth, leverage refuses everything.
    while look("/api/status")["trading"]["phase"] != "ready"
        || look("/api/market")["book"] != "live"
        || !look("/api/account")["equity"].is_number()
    {}
    let (status, body) = bid(&address, "rests");
    assert_eq!(status, 200, "{body}");
    (running, address)
}

/// Wants to buy a little below the market, under this id.
fn bid(address: &str, id: &str) -> (u16, Value) {
    let (_, market) = ask(address, "GET", "/api/market", "", &Value::Null);
    let best = market["best_bid"].as_f64().expect("a live book");
    let order = json!({
        "side": "BUY", "symbol": "BTCUSDT", "qty": "0.001",
        "price": format!("{:.2}", best * 0.97), "client_order_id": id,
    });
    post(address, "/api/order", "", &order)
}

/// The command for an engine that trades at this venue.
fn at(exchange: &Exchange, state: &Path) -> Command {
    let address = exchange.venue.address();
    let ca = exchange.key("../ca.pem");
    let mut command = veloz();
    for key in [
        "venue.source=binance".to_owned(),
        "venue.execution_mode=binance_testnet_spot".to_owned(),
        format!("venue.market_url=wss://{address}/stream"),
        format!("venue.api_url={}", exchange.api_url()),
        format!("venue.ca_file={}", ca.display()),
        format!("state.dir={}", state.display()),
    ] {
        command.args(["--set", &key]);
    }
    command
        .env("VELOZ_BINANCE_API_KEY_FILE", exchange.key("hmac_api_key"))
        .env("VELOZ_BINANCE_API_SECRET_FILE", exchange.key("hmac_secret"));
    command
}

#[test]
fn a_stop_that_the_venue_does_not_confirm_ends_with_the_ids_of_what_is_left() {
    let exchange = Exchange::start();
    let state = tempfile::tempdir().expect("a temporary directory");
    let brief = ["--set", "orders.shutdown_timeout_ms=500"];
    let (mut running, _) = with_resting_order(at(&exchange, state.path()), &brief);
    // No order of a halted market can be cancelled.
    assert!(exchange.venue.inject(Fault::Halt { ms: 600_000 }));
    running.signal(libc::SIGTERM);
    let left = running.wait_for("what is left", |entry| entry["event_type"] == "orders_left");
    assert!(
        left["message"]
            .as_str()
            .is_some_and(|message| message.contains("veloz cancel-all")),
        "{left}"
    );
    assert_eq!(running.child.wait().expect("ended").code(), Some(3));
    // What is left by the venue's own list: its id holds run and number to the base of 36.
    let open = Trader::new(&exchange).open();
    let [id] = &open[..] else { panic!("{open:?}") };
    let numbers: Vec<String> = id
        .strip_prefix("vz-veloz_")
        .expect("the instance's")
        .split('_')
        .map(|digits| {
            u64::from_str_radix(digits, 36)
                .expect("a number")
                .to_string()
        })
        .collect();
    assert_eq!(left["orders"], numbers.join("-"), "{left}");
}

#[test]
fn a_second_signal_ends_a_stop_at_once() {
    for (first, second) in [
        (libc::SIGTERM, libc::SIGTERM),
        (libc::SIGTERM, libc::SIGINT),
        (libc::SIGINT, libc::SIGTERM),
    ] {
        let exchange = Exchange::start();
        let state = tempfile::tempdir().expect("a temporary directory");
        // Longer than this process lives.
        let long = ["--set", "orders.shutdown_timeout_ms=60000"];
        let (mut running, _) = with_resting_order(at(&exchange, state.path()), &long);
        assert!(exchange.venue.inject(Fault::Halt { ms: 600_000 }));
        running.signal(first);
        running.wait_for("the stop", |entry| entry["to"] == "stopping");
        running.signal(second);
        let status = running.child.wait().expect("ended");
        assert_eq!(status.code(), Some(1), "{first} and {second}");
        let mut rest = String::new();
        running.log.read_to_string(&mut rest).expect("readable");
        assert!(!rest.contains("orders_left"), "it waited: {rest}");
    }
}

#[test]
fn sighup_reads_the_limits_anew_or_leaves_them_and_never_loosens_what_the_api_set() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let file = state.path().join("limits.toml");
    let write = |text: &str| std::fs::write(&file, format!("[risk]\n{text}\n")).expect("written");
    write("open_orders_max = 40");
    let mut command = veloz();
    command.env("VELOZ_CONFIG", &file);
    let set = format!("state.dir={}", state.path().display());
    let (mut running, address) = with_resting_order(command, &["--set", &set]);
    let open_orders_max = || {
        let path = "/api/risk/limits";
        let (_, limits) = ask(&address, "GET", path, "", &Value::Null);
        limits["global"]["open_orders_max"].clone()
    };
    assert_eq!(open_orders_max(), 40);

    // A valid file binds the next order.
    write("open_orders_max = 1");
    running.signal(libc::SIGHUP);
    running.wait_for("the limits", |entry| {
        entry["event_type"] == "limits_reloaded"
    });
    assert_eq!(open_orders_max(), 1);
    let is_refused = |id: &str| {
        let (status, body) = bid(&address, id);
        assert_eq!(status, 422, "{body}");
        assert!(body.to_string().contains("max_open_orders"), "{body}");
    };
    is_refused("one-too-many");

    // One that is not changes nothing, whatever is wrong with it, and is told which key it is.
    for (text, key) in [
        ("open_orders_max = \"many\"", "risk.open_orders_max"),
        ("open_orders_max = 100000", "risk.open_orders_max"),
        ("open_orders_mox = 40", "open_orders_mox"),
        ("daily_loss_max = \"-1\"", "risk.daily_loss_max"),
    ] {
        write(text);
        running.signal(libc::SIGHUP);
        let refused = running.wait_for("the refusal", |entry| {
            let event = &entry["event_type"];
            assert_ne!(*event, "limits_reloaded", "{text}");
            event == "limits_refused"
        });
        let message = refused["message"].as_str().expect("words");
        assert!(message.contains(key), "{text}: {message}");
        assert_eq!(open_orders_max(), 1, "{text}");
    }
    is_refused("still-too-many");

    // A file loosens what a file set, and not what was set over the API.
    write("open_orders_max = 40");
    running.signal(libc::SIGHUP);
    running.wait_for("the limits", |entry| {
        entry["event_type"] == "limits_reloaded"
    });
    assert_eq!(open_orders_max(), 40);
    let (status, body) = bid(&address, "a-second");
    assert_eq!(status, 200, "{body}");
    let tighter = json!({ "global": { "open_orders_max": 5 } });
    let (status, body) = post(&address, "/api/risk/limits", "", &tighter);
    assert_eq!((status, &body["applied"]), (200, &json!(true)), "{body}");
    write("open_orders_max = 50");
    running.signal(libc::SIGHUP);
    let kept = running.wait_for("what is kept", |entry| entry["event_type"] == "limits_kept");
    let message = kept["message"].as_str().expect("words");
    assert!(message.contains("open_orders_max"), "{message}");
    running.wait_for("the limits", |entry| {
        entry["event_type"] == "limits_reloaded"
    });
    assert_eq!(open_orders_max(), 5);
}

#[test]
fn a_taken_port_is_a_sentence_that_names_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let output = run_to_end(&["--set", &format!("http.port={port}"), "--for", LIFE]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("http.port"), "{}", stdout(&output));
}

#[test]
fn a_recording_of_the_embedded_venue_replays_the_same_twice() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let capture = at("a.capture");
    let recorded = run_to_end(&["record", "--out", &capture, "--seconds", "5"]);
    assert_eq!(recorded.status.code(), Some(0), "{}", stdout(&recorded));
    assert!(
        stdout(&recorded).contains("\"lost\":0"),
        "{}",
        stdout(&recorded)
    );

    let replay = |records: &str| {
        let output = run_to_end(&["replay", &capture, "--records", records]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let summary = replay(&at("r1"));
    replay(&at("r2"));
    let records = std::fs::read(at("r1")).expect("written");
    assert!(!records.is_empty());
    assert_eq!(records, std::fs::read(at("r2")).expect("written"));
    for book in ["BTCUSDT live", "ETHUSDT live"] {
        assert!(summary.contains(book), "{summary}");
    }
    assert!(summary.contains("faults     none"), "{summary}");

    let again = run_to_end(&["record", "--out", &capture, "--seconds", "2"]);
    assert_eq!(again.status.code(), Some(1), "a capture is not overwritten");
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["config", "print"], 0, ""),
        (&["config", "default"], 0, ""),
        (&["--help"], 0, ""),
        (&["fly"], 2, "fly"),
        (&["--set", "http.prot=1", "config", "print"], 2, "http.port"),
        (&["--config", "/no/such.toml"], 2, "/no/such.toml"),
        (&["replay", "/no/such.capture"], 1, "/no/such.capture"),
        (&["--for", "1", "check"], 2, "veloz run"),
    ];
    for (arguments, code, words) in cases {
        let output = run_to_end(arguments);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    let output = veloz()
        .env("VELOZ_NONSENSE", "1")
        .arg("config")
        .arg("print")
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("VELOZ_NONSENSE"));
}

#[test]
fn check_prints_one_json_object() {
    let output = run_to_end(&["check", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        report["findings"]
            .as_array()
            .is_some_and(|list| list.len() > 5)
    );
    let missing = Path::new("/no/such/ca.pem");
    let output = run_to_end(&[
        "check",
        "--set",
        "venue.source=binance",
        "--set",
        &format!("venue.ca_file={}", missing.display()),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}
