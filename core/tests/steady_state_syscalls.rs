//! The law of the hot path, watched by the kernel's own debugger interface: in its steady state the
//! core thread makes no system call but receive and send, and one poll a turn with three links or more.
//!
//! This binary starts itself again as a child, which lets itself be traced, brings a loop into its
//! steady state, and marks the watched part with a call that nothing else makes. Threads that play
//! the venue live in the child too and are not traced. Where tracing is forbidden the test says so, and fails if
//! `VELOZ_PTRACE_REQUIRED` is set.

#[path = "support/server.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod server;
#[path = "support/steady.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod steady;
#[path = "support/venue.rs"]
mod venue;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use server::{Pki, frame, read_frame, read_to_end, serve_websocket};
use steady::{Bench, Echo};
use veloz_core::edge::clock::{Clock, ClockSource};

/// Names the scenario that the child is to play.
const SCENARIO: &str = "VELOZ_TEST_SYSCALL_SCENARIO";

/// Begins and ends the watched part; no part of the loop makes this call.
const MARK: libc::c_long = libc::SYS_getppid;

/// What a poll is to the kernel; newer architectures have only the general form.
#[cfg(target_arch = "x86_64")]
const POLL: libc::c_long = libc::SYS_epoll_wait;
#[cfg(not(target_arch = "x86_64"))]
const POLL: libc::c_long = libc::SYS_epoll_pwait;

fn main() {
    match std::env::var(SCENARIO).as_deref() {
        Ok("engine") => engine(),
        Ok("echo") => echo(1),
        Ok("polled echo") => echo(3),
        Ok(other) => panic!("no scenario {other}"),
        Err(_) => watch_all(),
    }
}

fn watch_all() {
    let recv = libc::SYS_recvfrom;
    let send = libc::SYS_sendto;

    let Some(seen) = watch("engine") else {
        return;
    };
    seen.allow(&[recv]);
    assert!(seen.messages >= ENGINE_MESSAGES);

    let seen = watch("echo").expect("the first one worked");
    seen.allow(&[recv, send]);
    assert_eq!(
        seen.calls[&send],
        2 * ECHO_ROUNDS,
        "an echo and a pong each"
    );

    let seen = watch("polled echo").expect("the first one worked");
    seen.allow(&[recv, send, POLL]);
    assert_eq!(seen.calls[&send], 3 * 2 * ECHO_ROUNDS);
    // Whatever is ready is read until it is dry: no link is asked without a reason.
    let (asked, received) = (seen.calls[&recv], seen.with_data);
    // (Each link may still be marked ready from before the watched part.)
    let reasons = seen.ready + 3;
    assert!(
        asked - received <= reasons,
        "{asked} receives, {received} with data"
    );
}

const ENGINE_MESSAGES: u64 = 3_000;
const ECHO_ROUNDS: u64 = 100;

/// What the child did between its marks.
struct Seen {
    scenario: &'static str,
    /// Messages that the child handled, by its own account.
    messages: u64,
    /// Whether its clock has to ask the kernel.
    kernel_clock: bool,
    /// System calls by number.
    calls: BTreeMap<libc::c_long, u64>,
    /// Receives that brought bytes.
    with_data: u64,
    /// Sockets that polls reported, all together.
    ready: u64,
}

impl Seen {
    /// Prints the account; fails on any call that is not in `allowed`.
    fn allow(&self, allowed: &[libc::c_long]) {
        println!(
            "{}: {} messages, {} receives with data, calls by number {:?}",
            self.scenario, self.messages, self.with_data, self.calls
        );
        for (call, count) in &self.calls {
            let clock = self.kernel_clock && *call == libc::SYS_clock_gettime;
            assert!(
                clock || allowed.contains(call),
                "{}: system call {call}, {count} times",
                self.scenario
            );
        }
        for call in allowed {
            assert!(self.calls.contains_key(call), "call {call} was not seen");
        }
    }
}

/// Plays `scenario` in a child and watches it; `None` when the system forbids tracing.
fn watch(scenario: &'static str) -> Option<Seen> {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.env(SCENARIO, scenario).stdout(Stdio::piped());
    // SAFETY: between fork and exec only this one system call is made.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            assert!(
                std::env::var_os("VELOZ_PTRACE_REQUIRED").is_none(),
                "this system does not allow tracing ({error}), and VELOZ_PTRACE_REQUIRED says that this test must run"
            );
            println!("skipped: this system does not allow tracing: {error}");
            return None;
        }
    };
    let trace = trace(&child);
    let mut account = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    stdout.read_to_string(&mut account).expect("text");
    assert!(
        child.wait().expect("a child").success(),
        "{scenario} failed"
    );
    let (messages, clock) = account.trim().split_once(' ').expect("two words");
    Some(Seen {
        scenario,
        messages: messages.parse().expect("a number"),
        kernel_clock: clock == "kernel",
        calls: trace.calls,
        with_data: trace.with_data,
        ready: trace.ready,
    })
}

#[derive(Default)]
struct Trace {
    calls: BTreeMap<libc::c_long, u64>,
    with_data: u64,
    ready: u64,
}

/// Follows the child from its exec to its second mark, then lets it run.
fn trace(child: &Child) -> Trace {
    let pid = child.id() as libc::pid_t;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    let mut trace = Trace::default();
    let mut marks = 0;
    let mut entered = None;
    assert_eq!(stopped(pid), libc::SIGTRAP, "stopped at its exec");
    ptrace(libc::PTRACE_SETOPTIONS, pid, options as usize);
    let mut resume = libc::PTRACE_CONT;
    let mut signal = 0;
    while marks < 2 {
        ptrace(resume, pid, signal as usize);
        match stopped(pid) {
            SYSCALL_STOP => {
                signal = 0;
                // Stops come in pairs, at the entry and at the exit.
                let Some(call) = entered.take() else {
                    let call = entered_call(pid);
                    entered = Some(call);
                    if call == MARK {
                        marks += 1;
                    } else if marks == 1 {
                        *trace.calls.entry(call).or_default() += 1;
                    }
                    continue;
                };
                if marks == 1 {
                    let result = result_of_call(pid);
                    match call {
                        libc::SYS_recvfrom => trace.with_data += u64::from(result > 0),
                        POLL => trace.ready += result.max(0) as u64,
                        _ => {}
                    }
                }
            }
            // The child is about to begin: from here on every call stops it.
            libc::SIGSTOP => {
                resume = libc::PTRACE_SYSCALL;
                signal = 0;
            }
            other => signal = other,
        }
    }
    ptrace(libc::PTRACE_DETACH, pid, 0);
    trace
}

/// A stop for a system call, as `PTRACE_O_TRACESYSGOOD` marks it.
const SYSCALL_STOP: libc::c_int = libc::SIGTRAP | 0x80;

/// Waits for the next stop; its signal.
fn stopped(pid: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: `status` is a valid place to write to.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "the child is there");
    assert!(libc::WIFSTOPPED(status), "the child ended: {status:#x}");
    libc::WSTOPSIG(status)
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: usize) {
    // SAFETY: requests without memory of ours.
    let result = unsafe { libc::ptrace(request, pid, 0usize, data) };
    assert_eq!(result, 0, "ptrace {request}");
}

fn syscall_info(pid: libc::pid_t) -> libc::ptrace_syscall_info {
    // SAFETY: all zeros is a value of this plain structure.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    let request = libc::PTRACE_GET_SYSCALL_INFO;
    // SAFETY: `info` is a valid place for as many bytes as are named.
    let len = unsafe { libc::ptrace(request, pid, size, &raw mut info) };
    assert!(len > 0, "a kernel from 5.3 on");
    info
}

fn entered_call(pid: libc::pid_t) -> libc::c_long {
    let info = syscall_info(pid);
    assert_eq!(info.op, libc::PTRACE_SYSCALL_INFO_ENTRY);
    // SAFETY: the operation says which part of the union holds.
    (unsafe { info.u.entry.nr }) as libc::c_long
}

fn result_of_call(pid: libc::pid_t) -> i64 {
    let info = syscall_info(pid);
    assert_eq!(info.op, libc::PTRACE_SYSCALL_INFO_EXIT);
    // SAFETY: the operation says which part of the union holds.
    unsafe { info.u.exit.sval }
}

/// In the child: lets the parent watch `work` and tells it how many messages that was.
fn watched(work: impl FnOnce() -> u64) {
    // SAFETY: no memory.
    unsafe { libc::raise(libc::SIGSTOP) };
    mark();
    let messages = work();
    mark();
    let clock = match Clock::calibrate().source() {
        ClockSource::Tsc => "tsc",
        ClockSource::Kernel => "kernel",
    };
    println!("{messages} {clock}");
}

fn mark() {
    // SAFETY: no arguments, no memory.
    unsafe { libc::syscall(MARK) };
}

/// The engine with a live book, under a flood of market messages.
fn engine() {
    const WARM_UP: u64 = 500;
    let mut live = steady::live_book();
    let total = live.say(WARM_UP + ENGINE_MESSAGES + WARM_UP);
    live.turn_until_messages(total - ENGINE_MESSAGES - WARM_UP);
    watched(|| {
        let before = live.messages();
        live.turn_until_messages(before + ENGINE_MESSAGES);
        live.messages() - before
    });
    assert!(live.book_is_live());
    live.turn_until_messages(total);
    live.end();
}

/// Messages and pings in lock-step on so many links at once.
fn echo(links: u32) {
    const WARM_UP: u64 = 20;
    let pki = Pki::new();
    let mut ports = Vec::new();
    let mut gates = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..links {
        let (go, may_go) = std::sync::mpsc::channel();
        let (port, peer) = serve_websocket(&pki, move |mut tls| {
            for round in 0..WARM_UP + ECHO_ROUNDS {
                if round == WARM_UP {
                    may_go.recv().expect("the watched part begins");
                }
                tls.write_all(&frame(0x89, b"ping")).expect("sent");
                read_frame(&mut tls).expect("a pong");
                tls.write_all(&frame(0x81, &[b'x'; 300])).expect("sent");
                read_frame(&mut tls).expect("an echo");
            }
            read_to_end(&mut tls);
        });
        ports.push(port);
        gates.push(go);
        peers.push(peer);
    }
    let mut bench = Bench::new(&pki, Echo::new(links), Clock::calibrate(), &ports);
    let (warm, all) = (
        u64::from(links) * WARM_UP,
        u64::from(links) * (WARM_UP + ECHO_ROUNDS),
    );
    bench.turn_until(|echo| echo.messages == warm);
    // Another thread, which nobody watches, passes the word on: telling it must be no system call.
    let begun = Arc::new(AtomicBool::new(false));
    let word = Arc::clone(&begun);
    let herald = std::thread::spawn(move || {
        while !word.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        for go in gates {
            go.send(()).expect("it waits");
        }
    });
    watched(|| {
        begun.store(true, Ordering::Release);
        bench.turn_until(|echo| echo.messages == all);
        all - warm
    });
    herald.join().expect("no panic");
    drop(bench);
    for peer in peers {
        peer.join().expect("no panic");
    }
}
