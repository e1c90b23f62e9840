//! `veloz-bench replay`: recorded sessions through the whole engine, as fast as it goes.
//!
//! Owns: [`run`]. Every pass has a fresh engine and the same events, already decompressed; what is
//! timed is `Engine::handle` and nothing else. Resident memory after pass 10 and after the last pass
//! must be equal: an engine that grows is a fault, whatever its speed.

use crate::session::Session;
use std::path::Path;
use std::time::{Duration, Instant};
use veloz_core::limits::SAMPLES_RING_SIZE;

/// The spot sessions, below the data directory; apart, because one symbol was recorded for longer.
const SESSIONS: [&[&str]; 2] = [
    &["spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"],
    &["spot/ethusdt_20240808.gz"],
];

/// The pass after which resident memory is first read: by then every buffer has been used.
const SETTLED_PASS: usize = 10;

/// Events after which the rings are emptied; each leaves two samples at most.
const EVENTS_BETWEEN_DRAINS: usize = SAMPLES_RING_SIZE / 2;

/// What a replay found.
pub struct Report {
    /// Websocket messages of one pass.
    pub messages: usize,
    /// Passes.
    pub passes: usize,
    /// Nanoseconds a message, median over the passes.
    pub ns_per_message: f64,
    /// Resident bytes after pass 10.
    pub resident_settled: u64,
    /// Resident bytes after the last pass.
    pub resident_last: u64,
}

impl Report {
    /// Whether memory stayed as it was.
    pub fn memory_is_stable(&self) -> bool {
        self.resident_settled == self.resident_last
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            messages, passes, ..
        } = self;
        let rate = 1e9 / self.ns_per_message;
        writeln!(
            out,
            "{messages} messages, {passes} passes with fresh engines each"
        )?;
        writeln!(
            out,
            "{:.1} ns a message, {rate:.0} messages a second (median of the passes)",
            self.ns_per_message
        )?;
        let verdict = if self.memory_is_stable() {
            "equal"
        } else {
            "NOT EQUAL"
        };
        write!(
            out,
            "resident memory after pass {SETTLED_PASS}: {} KiB, after pass {passes}: {} KiB: {verdict}",
            self.resident_settled / 1_024,
            self.resident_last / 1_024,
        )
    }
}

/// Replays the captures of a data directory.
pub fn run(data: &Path, passes: usize) -> Result<Report, Box<dyn std::error::Error>> {
    if passes <= SETTLED_PASS {
        return Err(format!("more than {SETTLED_PASS} passes are needed").into());
    }
    let mut sessions = Vec::new();
    for files in SESSIONS {
        let paths: Vec<_> = files.iter().map(|file| data.join(file)).collect();
        sessions.push(Session::record(&paths)?);
    }
    let messages = sessions.iter().map(Session::messages).sum();
    let mut ns = Vec::with_capacity(passes);
    let mut resident_settled = 0;
    for pass in 1..=passes {
        let took: Duration = sessions.iter().map(time_pass).sum();
        ns.push(took.as_nanos() as f64 / messages as f64);
        if pass == SETTLED_PASS {
            resident_settled = resident_bytes()?;
        }
    }
    let resident_last = resident_bytes()?;
    ns.sort_by(f64::total_cmp);
    Ok(Report {
        messages,
        passes,
        ns_per_message: ns[passes / 2],
        resident_settled,
        resident_last,
    })
}

/// How long a fresh engine handles the whole session; its making and the sidecar's part are not in it.
fn time_pass(session: &Session) -> Duration {
    let mut rig = session.rig();
    let mut took = Duration::ZERO;
    for start in (0..session.len()).step_by(EVENTS_BETWEEN_DRAINS) {
        let end = session.len().min(start + EVENTS_BETWEEN_DRAINS);
        let started = Instant::now();
        session.handle(&mut rig, start..end);
        took += started.elapsed();
        rig.drain();
    }
    took
}

/// Resident bytes of this process, as the kernel counts them.
fn resident_bytes() -> std::io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    // SAFETY: sysconf reads a constant of the system and takes no pointer.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages
        .map(|pages| pages * page_bytes as u64)
        .ok_or_else(|| std::io::Error::other("/proc/self/statm is not as documented"))
}
