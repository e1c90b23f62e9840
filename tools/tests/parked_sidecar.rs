//! Every thread of the sidecar is parked for ten seconds, one by one, while the engine trades on its embedded
//! venue. That no decision changes is shown to the bit in virtual time (`simulation.rs`); here real threads
//! stand still, and what must hold afterwards is that the core went on and that no record is missing.

#[path = "support/park.rs"]
mod park;

use park::{Parked, thread_named, threads};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is not the sidecar: the core, and the venue that it trades on.
const OTHERS: [&str; 2] = ["veloz-core", "venue"];
/// The matter of this test, not a wait for something.
const PARKED: Duration = Duration::from_secs(10);
/// Within how much the drain has taken what waited; a turn of it takes milliseconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Ends the process whatever the test does.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts on the metrics page by their text before the value.
fn metrics(address: &str) -> BTreeMap<String, u64> {
    let mut stream = TcpStream::connect(address).expect("listens");
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("answered");
    page.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// How long a thread has run, as the kernel counts it.
fn cpu_ns(pid: u32, tid: libc::pid_t) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat"));
    let text = text.expect("a thread");
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("a number")
}

#[test]
fn a_sidecar_that_is_parked_thread_by_thread_costs_no_record() {
    let child = Command::new(env!("CARGO_BIN_EXE_veloz"))
        .args([
            "--no-status",
            "--set",
            "http.port=0",
            "--set",
            "strategy.market_maker.warm_up_updates=2",
            "--for",
            "300",
        ])
        .env_remove("VELOZ_CONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut engine = Engine(child);
    let log = engine.0.stdout.take().expect("piped");
    let mut lines = BufReader::new(log)
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).expect("a log line"));
    let address = lines
        .find_map(|entry| entry["metrics"].as_str().map(str::to_owned))
        .expect("the engine runs");
    let address = address
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/metrics"))
        .expect("an address")
        .to_owned();
    let live =
        |entry: &serde_json::Value| entry["event_type"] == "order_state" && entry["to"] == "live";
    lines.find(live).expect("it trades");
    // Read to the end, so that the log never waits for this test.
    let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());

    let of_records = |page: &BTreeMap<String, u64>, name: &str| {
        let sample = format!("veloz_ring_{name}{{ring=\"records\"}}");
        *page.get(&sample).unwrap_or_else(|| panic!("no {sample}"))
    };
    let before = metrics(&address);
    let pid = engine.0.id();
    let core = thread_named(pid, "veloz-core").expect("the core runs");
    let sidecar: Vec<(String, libc::pid_t)> = threads(pid)
        .into_iter()
        .filter(|(name, _)| !OTHERS.iter().any(|other| name.starts_with(other)))
        .collect();
    for expected in [
        "veloz-drain",
        "veloz-http",
        "veloz-log",
        "veloz-state",
        "veloz-dead-man",
    ] {
        assert!(
            sidecar.iter().any(|(name, _)| name == expected),
            "{sidecar:?}"
        );
    }
    let cpu_before = cpu_ns(pid, core);
    let parked: Result<Vec<Parked>, _> = sidecar.iter().map(|(_, tid)| Parked::new(*tid)).collect();
    let parked = match parked {
        Ok(parked) => parked,
        Err(error) => {
            park::skip(&error);
            return;
        }
    };
    std::thread::sleep(PARKED);
    assert!(cpu_ns(pid, core) > cpu_before, "the core stood still too");
    drop(parked);

    // What waits is seen at once; the drain takes it with its next turn.
    let taken = of_records(&before, "taken_total");
    let deadline = Instant::now() + TAKEN_WITHIN;
    let after = loop {
        let page = metrics(&address);
        let waited = of_records(&page, "used_max");
        if waited > 10 && of_records(&page, "taken_total") > taken {
            break page;
        }
        assert!(
            Instant::now() < deadline,
            "{waited} records waited at most: the core did nothing, or the drain takes nothing"
        );
    };
    assert_eq!(of_records(&after, "lost_total"), 0);
    let pid = libc::pid_t::try_from(pid).expect("a process id");
    // SAFETY: plain integers; the process is our own child and was not waited for yet.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    let status = engine.0.wait().expect("ended");
    assert_eq!(status.code(), Some(0), "every order was taken back");
    let rest = rest.join().expect("the log was read");
    for entry in &rest {
        let event = entry["event_type"].as_str().unwrap_or_default();
        assert_ne!(event, "records_lost", "{entry}");
        assert_ne!(entry["reason"], "telemetry_backlog", "{entry}");
        assert_ne!(entry["to"], "HALTED", "{entry}");
    }
    assert!(rest.iter().any(live), "it goes on trading");
}
