//! One thread of a running engine is parked, and let go again.

#[path = "support/park.rs"]
mod park;

use park::{Parked, thread_named};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Ends the process whatever the test does.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the kernel says that a thread does: `R` runs, `S` sleeps, `t` is traced and stopped.
fn thread_state(pid: u32, tid: libc::pid_t) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).expect("a thread");
    let (_, after_name) = stat.rsplit_once(") ").expect("a name in brackets");
    after_name[..1].to_owned()
}

#[test]
fn the_core_alone_is_parked_and_goes_on() {
    let child = Command::new(env!("CARGO_BIN_EXE_veloz"))
        .args(["--set", "http.port=0", "--for", "60"])
        .env_remove("VELOZ_CONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut engine = Engine(child);
    let log = engine.0.stdout.take().expect("piped");
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let ready = lines.any(|line| line.contains("\"metrics\""));
    assert!(ready, "the log ended before the engine ran");
    let pid = engine.0.id();
    let core = thread_named(pid, "veloz-core").expect("the core runs");
    let drain = thread_named(pid, "veloz-drain").expect("the sidecar runs");
    let parked = match Parked::new(core) {
        Ok(parked) => parked,
        Err(error) => {
            park::skip(&error);
            return;
        }
    };
    assert_eq!(thread_state(pid, core), "t");
    assert_ne!(thread_state(pid, drain), "t");
    drop(parked);
    assert_ne!(thread_state(pid, core), "t");
    assert!(Parked::new(core).is_ok(), "again");
    assert!(Parked::new(i32::MAX).is_err(), "no such thread");
    assert_eq!(thread_named(pid, "no-such-thread"), None);
}

#[test]
#[should_panic(expected = "VELOZ_PTRACE_REQUIRED says that this test must run")]
fn a_system_that_does_not_allow_tracing_fails_where_it_is_required() {
    let error = std::io::Error::from_raw_os_error(libc::EPERM);
    park::skip_unless(false, &error);
    park::skip_unless(true, &error);
}

/// Log entries up to and including the first that `wanted` likes.
fn entries_until(
    lines: &mut dyn Iterator<Item = String>,
    what: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Vec<serde_json::Value> {
    let mut seen = Vec::new();
    for line in lines {
        let entry: serde_json::Value = serde_json::from_str(&line).expect("a log line");
        let found = wanted(&entry);
        seen.push(entry);
        if found {
            return seen;
        }
    }
    panic!("the log ended before {what}: {seen:?}");
}

/// Age of the core's last turn at which it is stuck: so long that a machine with two busy CPUs is no matter.
const BOUND_MS: u64 = 3_000;

/// When in its day a line was logged, in milliseconds.
fn logged_at(entry: &serde_json::Value) -> u64 {
    let text = entry["timestamp"].as_str().expect("a time");
    let (_, time) = text.split_once('T').expect("a date and a time");
    let time = time.trim_end_matches('Z').replace('.', ":");
    let parts: Vec<u64> = time
        .split(':')
        .map(|part| part.parse().expect("a number"))
        .collect();
    let [hours, minutes, seconds, ms] = parts[..] else {
        panic!("{text} is no time");
    };
    ((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms
}

#[test]
fn a_core_that_stands_still_has_its_orders_cancelled_and_learns_of_it() {
    let child = Command::new(env!("CARGO_BIN_EXE_veloz"))
        .args([
            "--no-status",
            "--set",
            "http.port=0",
            "--set",
            "strategy.market_maker.warm_up_updates=2",
            "--set",
            &format!("orders.heartbeat_bound_ms={BOUND_MS}"),
            "--for",
            "300",
        ])
        .env_remove("VELOZ_CONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut engine = Engine(child);
    let log = engine.0.stdout.take().expect("piped");
    let lines = &mut BufReader::new(log).lines().map_while(Result::ok);
    let says = |component: &'static str, words: &'static str| {
        move |entry: &serde_json::Value| {
            entry["component"] == component
                && entry["message"]
                    .as_str()
                    .is_some_and(|message| message.starts_with(words))
        }
    };
    entries_until(lines, "a dead-man", says("dead_man", "ready to cancel"));
    // Two orders rest: the maker's first bid and ask.
    for _ in 0..2 {
        entries_until(lines, "an order that rests", |entry| {
            entry["event_type"] == "order_state" && entry["to"] == "live"
        });
    }

    let core = thread_named(engine.0.id(), "veloz-core").expect("the core runs");
    let parked = match Parked::new(core) {
        Ok(parked) => parked,
        Err(error) => {
            park::skip(&error);
            return;
        }
    };
    let stuck = entries_until(
        lines,
        "the alarm",
        says("dead_man", "the core stands still"),
    );
    let stuck = stuck.last().expect("found");
    let age_ms = stuck["age_ms"].as_u64().expect("the age of its last turn");
    assert!(age_ms >= BOUND_MS, "{age_ms}");
    let swept = entries_until(lines, "a clean sweep", says("dead_man", "none left"));
    let cancelled: Vec<_> = swept
        .iter()
        .filter(|entry| says("dead_man", "cancelled")(entry))
        .collect();
    assert!(!cancelled.is_empty(), "{swept:?}");
    // Each line is written when the venue has answered, so the venue had the cancel before.
    let fired_at = logged_at(stuck);
    for entry in cancelled {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        let after_ms = age_ms + (logged_at(entry) + DAY_MS - fired_at) % DAY_MS;
        assert!(
            after_ms <= 2 * BOUND_MS,
            "cancelled {after_ms} ms after the core's last turn"
        );
    }

    drop(parked);
    entries_until(
        lines,
        "its return",
        says("dead_man", "the core turns again"),
    );
    entries_until(lines, "the halt", |entry| entry["to"] == "HALTED");
}
