//! A thread of the sidecar: how it is started, where it may run, and its end.
//!
//! Owns: [`spawn`], [`Running`], [`StopError`]. Does not: know what a thread does. Invariants: a panic is logged and told to
//! who started the thread, and the thread still joins; waiting for an end is bounded.

use super::StartError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use veloz_core::edge::cpu::{Outcome, leave_core_cpu, lower_priority};

/// A thread did not end in time; it was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {thread} thread did not end within {waited:?}")]
pub struct StopError {
    /// Which thread.
    pub thread: &'static str,
    /// How long it was waited for.
    pub waited: Duration,
}

pub(super) struct Running {
    name: &'static str,
    thread: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl Running {
    pub(super) fn join(self, until: Instant, bound: Duration) -> Result<(), StopError> {
        let left = until.saturating_duration_since(Instant::now());
        match self.ended.recv_timeout(left) {
            // The sender is dropped when the thread ends, however it ends.
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                // A panic was caught and told inside.
                let _ = self.thread.join();
                Ok(())
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Err(StopError {
                thread: self.name,
                waited: bound,
            }),
        }
    }
}

pub(super) fn spawn(
    name: &'static str,
    core_cpu: Option<usize>,
    on_panic: Arc<impl Fn(&'static str) + Send + Sync + 'static>,
    run: impl FnOnce() + Send + 'static,
) -> Result<Running, StartError> {
    let (ending, ended) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let ending = ending;
            step_back(core_cpu);
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                tracing::error!(
                    component = "telemetry",
                    event_type = "panic",
                    thread = name,
                    "a thread panicked"
                );
                on_panic(name);
            }
            drop(ending);
        })
        .map_err(|cause| StartError::Thread {
            thread: name,
            cause,
        })?;
    Ok(Running {
        name,
        thread,
        ended,
    })
}

/// Leaves the core's CPU and takes a lower priority. A refusal costs the core some time and nothing else.
pub(crate) fn step_back(core_cpu: Option<usize>) {
    for placement in [core_cpu.map(leave_core_cpu), Some(lower_priority())] {
        if let Some(placement) = placement
            && placement.outcome != Outcome::Done
        {
            tracing::warn!(component = "telemetry", %placement, "a sidecar thread is placed badly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_panicking_thread_is_told_and_still_joins() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&told);
        let on_panic = Arc::new(move |name| listener.lock().expect("one thread").push(name));
        let running = spawn("veloz-test", None, on_panic, || panic!("as asked")).expect("a thread");
        let bound = Duration::from_secs(10);
        running
            .join(Instant::now() + bound, bound)
            .expect("it ended");
        assert_eq!(*told.lock().expect("one thread"), ["veloz-test"]);
    }

    #[test]
    fn a_thread_that_does_not_end_is_left_behind_and_named() {
        let (hold, held) = mpsc::channel::<()>();
        let running = spawn("veloz-test", None, Arc::new(|_| {}), move || {
            let _ = held.recv();
        })
        .expect("a thread");
        let waited = Duration::ZERO;
        let error = running.join(Instant::now(), waited).unwrap_err();
        assert_eq!(
            error,
            StopError {
                thread: "veloz-test",
                waited
            }
        );
        drop(hold);
    }
}
