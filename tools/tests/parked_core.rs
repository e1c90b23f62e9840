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
            println!("skipped: this system does not allow tracing: {error}");
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
