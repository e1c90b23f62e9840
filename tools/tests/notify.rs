//! What a service manager hears of a running engine, at a real datagram socket: sd_notify(3).
//!
//! The market is behind a gate that lets no byte through before the test opens it, so that readiness waits for it.

#[path = "support/park.rs"]
mod park;

use park::{Parked, thread_named};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Nothing that is waited for takes this long.
const ARRIVES: Duration = Duration::from_mins(1);
/// What the watchdog allows; it is fed twice as often.
const WATCHDOG: Duration = Duration::from_secs(1);
/// Without a word for so long, nothing comes any more.
const SILENT: Duration = Duration::from_secs(4);

/// Ends the process whatever the test does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the service manager hears.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message; `None` when none comes in this time.
    fn next(&self, within: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(within)).expect("a timeout");
        let mut buffer = [0; 4_096];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).expect("text"))
    }

    /// The next message that is not about the watchdog.
    fn next_word(&self) -> String {
        loop {
            let message = self.next(ARRIVES).expect("a word in time");
            if message.trim() != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

/// Carries a connection to the venue as soon as the gate is open, whichever way its bytes go.
fn carry(client: TcpStream, venue: u16) {
    let venue = TcpStream::connect(("127.0.0.1", venue)).expect("the venue listens");
    let pair = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    };
    pair(
        client.try_clone().expect("a handle"),
        venue.try_clone().expect("a handle"),
    );
    pair(venue, client);
}

#[test]
fn the_service_manager_hears_readiness_the_watchdog_reloads_and_the_end() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let venue = Command::new(env!("CARGO_BIN_EXE_veloz"))
        .args(["venue", "--port", "0", "--plain-port", "0"])
        .env_remove("VELOZ_CONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut venue = Process(venue);
    let mut said = BufReader::new(venue.0.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    let plain = said
        .find(|line| line.starts_with("plain"))
        .expect("it listens");
    let venue_port: u16 = plain
        .rsplit(|other: char| !other.is_ascii_digit())
        .find_map(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no port in {plain:?}"));
    std::thread::spawn(move || said.for_each(drop));

    let gate = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gate_port = gate.local_addr().expect("bound").port();
    let path = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket"));
    let engine = Command::new(env!("CARGO_BIN_EXE_veloz"))
        .args(["run", "--no-status", "--for", "600"])
        .args([
            "--set=http.port=0",
            "--set=venue.source=binance",
            "--set=venue.execution_mode=binance_testnet_spot",
        ])
        .arg(format!(
            "--set=venue.market_url=ws://localhost:{gate_port}/stream"
        ))
        .arg(format!(
            "--set=venue.api_url=ws://localhost:{venue_port}/ws-api/v3"
        ))
        .env_remove("VELOZ_CONFIG")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut engine = Process(engine);
    let pid = engine.0.id();
    let signal = |number| {
        let pid = libc::pid_t::try_from(pid).expect("a process id");
        // SAFETY: plain integers; the process is our own child and was not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, number) }, 0);
    };

    // Its core turns, and it waits for the market: fed, not ready.
    for _ in 0..4 {
        let message = manager.next(ARRIVES).expect("the watchdog is fed");
        assert_eq!(message.trim(), "WATCHDOG=1");
    }
    let (open, opened) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        // Connections wait in the backlog until then.
        opened.recv().expect("the test opens it");
        for client in gate.incoming() {
            carry(client.expect("a connection"), venue_port);
        }
    });
    open.send(()).expect("the gate waits");
    assert_eq!(manager.next_word().trim(), "READY=1");
    for _ in 0..4 {
        let message = manager.next(ARRIVES).expect("the watchdog is fed");
        assert_eq!(message.trim(), "WATCHDOG=1");
    }

    let before = monotonic_us();
    signal(libc::SIGHUP);
    let reloading = manager.next_word();
    let (word, time) = reloading.trim().split_once('\n').expect("two lines");
    assert_eq!(word, "RELOADING=1");
    let time: u64 = time
        .strip_prefix("MONOTONIC_USEC=")
        .and_then(|us| us.trim().parse().ok())
        .unwrap_or_else(|| panic!("no time in {reloading:?}"));
    assert!((before..=monotonic_us()).contains(&time), "{time}");
    assert_eq!(manager.next_word().trim(), "READY=1");

    let core = thread_named(pid, "veloz-core").expect("the core runs");
    match Parked::new(core) {
        Ok(parked) => {
            // Until its heartbeat is old, and then no more.
            let mut fed = 0;
            while let Some(message) = manager.next(SILENT) {
                assert_eq!(message.trim(), "WATCHDOG=1");
                fed += 1;
                assert!(
                    fed < 30,
                    "the watchdog is fed although the core stands still"
                );
            }
            drop(parked);
            let message = manager.next(ARRIVES).expect("fed again");
            assert_eq!(message.trim(), "WATCHDOG=1");
        }
        Err(error) => park::skip(&error),
    }

    signal(libc::SIGTERM);
    assert_eq!(manager.next_word().trim(), "STOPPING=1");
    assert_eq!(engine.0.wait().expect("ended").code(), Some(0));
}

fn monotonic_us() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the place for the result is valid.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(read, 0);
    let seconds = u64::try_from(time.tv_sec).expect("since the start of the machine");
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).expect("a part of a second") / 1_000
}
