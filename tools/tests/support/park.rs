//! Parks one thread of another process with the kernel's debugger interface, and lets it go again.
//!
//! A stop signal would stop the whole process. Only threads of our own children can be parked, and not even
//! those where the system forbids tracing.

use std::fs;
use std::io;
use std::marker::PhantomData;

/// Says that a test cannot be made because the system forbids tracing.
///
/// # Panics
/// Where `VELOZ_PTRACE_REQUIRED` is set: then it must be made.
pub(crate) fn skip(error: &io::Error) {
    skip_unless(std::env::var_os("VELOZ_PTRACE_REQUIRED").is_some(), error);
}

/// The same, where it `is_required` or not.
pub(crate) fn skip_unless(is_required: bool, error: &io::Error) {
    assert!(
        !is_required,
        "this system does not allow tracing ({error}), and VELOZ_PTRACE_REQUIRED says that this test must run"
    );
    eprintln!("skipped: this system does not allow tracing: {error}");
}

/// The thread of process `pid` with this name.
pub(crate) fn thread_named(pid: u32, name: &str) -> Option<libc::pid_t> {
    threads(pid)
        .into_iter()
        .find_map(|(found, tid)| (found == name).then_some(tid))
}

/// All threads of process `pid` with their names.
pub(crate) fn threads(pid: u32) -> Vec<(String, libc::pid_t)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|entry| {
            let tid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let comm = fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
            Some((comm.trim_end().to_owned(), tid))
        })
        .collect()
}

/// A thread that does not run. It goes on when this is dropped, which has to be on the thread that parked it: the
/// kernel knows one tracer.
pub(crate) struct Parked {
    tid: libc::pid_t,
    not_send: PhantomData<*const ()>,
}

impl Parked {
    /// Parks a thread: when this returns, it runs no more.
    ///
    /// # Errors
    /// What the system says when it forbids that, or when there is no such thread.
    pub(crate) fn new(tid: libc::pid_t) -> io::Result<Self> {
        trace(libc::PTRACE_SEIZE, tid, 0)?;
        let parked = Self {
            tid,
            not_send: PhantomData,
        };
        trace(libc::PTRACE_INTERRUPT, tid, 0)?;
        loop {
            let mut status = 0;
            // SAFETY: `status` is a valid place for the result.
            if unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) } != tid {
                return Err(io::Error::last_os_error());
            }
            if !libc::WIFSTOPPED(status) {
                return Err(io::Error::other("the thread ended"));
            }
            if status >> 16 == libc::PTRACE_EVENT_STOP {
                return Ok(parked);
            }
            // Stopped for a signal of its own, which it is to have.
            trace(libc::PTRACE_CONT, tid, libc::WSTOPSIG(status))?;
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // A thread that ended meanwhile needs no release.
        let _ = trace(libc::PTRACE_DETACH, self.tid, 0);
    }
}

fn trace(request: libc::c_uint, tid: libc::pid_t, data: libc::c_int) -> io::Result<()> {
    let data = usize::try_from(data).expect("signals are not negative");
    // SAFETY: none of these requests reads or writes memory of ours; the data is a number.
    match unsafe { libc::ptrace(request, tid, 0usize, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
