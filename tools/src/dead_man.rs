//! The dead-man: a thread with a connection of its own that takes this instance's orders back when the core
//! stops turning.
//!
//! Owns: [`Watch`], which tells a stuck core from a living one, and the thread. Does not: decide anything else
//! about trading; its [`Canceller`] can only cancel. What it does is told to whoever started it, so that it can be
//! audited; so is the request weight that it spends, because the engine shares the venue's budget with it.
//!
//! | watch | the core's last turn | then |
//! | --- | --- | --- |
//! | waiting | none yet | waiting: there can be no order yet |
//! | waiting, armed | younger than the bound | armed |
//! | armed | older than the bound | fired: sweep until no order is left |
//! | fired | still the same | fired; the sweep goes on until it is clean |
//! | fired | a new one, younger than the bound | armed: sweep no more, ask for reconciliation |
//!
//! A pause of the whole process is none of the core: time in which the watch did not look itself does not count.

use crate::canceller::driver::{Driver, Told};
use crate::canceller::{Canceller, CancellerConfig, Notice};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::Endpoint;
use veloz_core::edge::cpu;
use veloz_core::units::Nanos;
use veloz_core::venue::binance::order_entry::Credentials;

/// Looks in one bound, so that a stuck core is noticed a twentieth of the bound late.
const LOOKS_PER_BOUND: u64 = 20;
/// Longest time between two looks.
const LOOK_MAX: Nanos = Nanos::from_ms(50);
/// Shortest time between two looks: more would only take the machine's time.
const LOOK_MIN: Nanos = Nanos::from_ms(5);
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Nanos = Nanos::from_secs(3);

/// What a look found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The core is stuck.
    Stuck {
        /// Age of its last turn.
        age: Nanos,
    },
    /// It turns again.
    Back {
        /// How long it was stuck, from its last turn before to now.
        stuck_for: Nanos,
    },
}

/// Tells a stuck core from a living one by its last turn; see the module's text.
#[derive(Clone, Debug)]
pub struct Watch {
    bound: Nanos,
    /// The core's last turn when it was last looked at; zero before the first.
    beat: Nanos,
    looked_at: Nanos,
    /// For how long the turn was seen to be the same.
    unchanged: Nanos,
    fired: bool,
}

impl Watch {
    /// A watch that takes the core for stuck when its last turn is older than `bound`.
    pub fn new(bound: Nanos) -> Self {
        Self {
            bound,
            beat: Nanos::ZERO,
            looked_at: Nanos::ZERO,
            unchanged: Nanos::ZERO,
            fired: false,
        }
    }

    /// How often to look.
    pub fn interval(&self) -> Nanos {
        Nanos(self.bound.0 / LOOKS_PER_BOUND)
            .max(LOOK_MIN)
            .min(LOOK_MAX)
    }

    /// Looks, at `now`, at the time of the core's last turn; zero before the first.
    pub fn look(&mut self, now: Nanos, beat: Nanos) -> Option<Verdict> {
        // Whoever did not look for longer than this was asleep, perhaps with the core.
        let seen = now.since(self.looked_at).min(Nanos(2 * self.interval().0));
        self.looked_at = now;
        let changed = beat != self.beat;
        let was = std::mem::replace(&mut self.beat, beat);
        self.unchanged = if changed {
            Nanos::ZERO
        } else {
            self.unchanged.plus(seen)
        };
        let age = now.since(beat);
        if self.fired {
            if changed && age <= self.bound {
                self.fired = false;
                return Some(Verdict::Back {
                    stuck_for: now.since(was),
                });
            }
            return None;
        }
        let slack = Nanos(3 * self.interval().0);
        if beat > Nanos::ZERO && age > self.bound && self.unchanged.plus(slack) >= self.bound {
            self.fired = true;
            return Some(Verdict::Stuck { age });
        }
        None
    }
}

/// What the dead-man did, or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Whether its connection can cancel at once.
    Ready(bool),
    /// The core is stuck: it cancels now.
    Stuck {
        /// Age of the core's last turn.
        age: Nanos,
    },
    /// What became of its cancels, and of its connection.
    Notice(Notice),
    /// It asked the venue something, or connects.
    Spent {
        /// Request weight.
        weight: u32,
    },
    /// The core turns again: it has to reconcile, because orders were cancelled behind its back.
    Back {
        /// How long it was stuck.
        stuck_for: Nanos,
    },
}

/// What a dead-man needs to know.
pub struct DeadManConfig {
    /// Age of the core's last turn at which it is stuck.
    pub bound: Nanos,
    /// How it cancels; its scope is the instance's orders.
    pub canceller: CancellerConfig,
    /// The CPU to stay off.
    pub core_cpu: Option<usize>,
}

/// A running dead-man; dropping it stops it.
pub struct DeadMan {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DeadMan {
    /// Starts the thread. `heartbeat` reads the time of the core's last turn on `clock`, zero before the first;
    /// `report` is called from the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        config: DeadManConfig,
        credentials: Credentials,
        endpoint: Endpoint,
        clock: Clock,
        heartbeat: impl Fn() -> Nanos + Send + 'static,
        report: impl FnMut(Report) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("veloz-dead-man".to_owned())
            .spawn(move || {
                if let Some(core_cpu) = config.core_cpu {
                    // Its priority stays as it is: it must run when the machine is busy.
                    cpu::leave_core_cpu(core_cpu);
                }
                let bound = config.bound;
                let driver = Driver::new(
                    Canceller::new(config.canceller, credentials),
                    endpoint,
                    clock,
                    CONNECT_TIMEOUT,
                    bound,
                );
                watch(
                    driver,
                    Watch::new(bound),
                    clock,
                    &stopped,
                    heartbeat,
                    report,
                );
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends it. For the end of the process: only after the core has taken its orders back.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(component = "dead_man", "the dead-man's thread panicked");
        }
    }
}

impl Drop for DeadMan {
    fn drop(&mut self) {
        self.halt();
    }
}

fn watch(
    mut driver: Driver,
    mut watch: Watch,
    clock: Clock,
    stop: &AtomicBool,
    heartbeat: impl Fn() -> Nanos,
    mut report: impl FnMut(Report),
) {
    let mut ready = false;
    while !stop.load(Ordering::Acquire) {
        let now = clock.now();
        match watch.look(now, heartbeat()) {
            Some(Verdict::Stuck { age }) => {
                report(Report::Stuck { age });
                driver.canceller.begin(now);
            }
            Some(Verdict::Back { stuck_for }) => {
                driver.canceller.rest();
                report(Report::Back { stuck_for });
            }
            None => {}
        }
        driver.turn(now.plus(watch.interval()), &mut |told| match told {
            Told::Notice(notice) => report(Report::Notice(notice)),
            Told::Weight(weight) => report(Report::Spent { weight }),
        });
        if driver.canceller.is_ready() != ready {
            ready = !ready;
            report(Report::Ready(ready));
        }
    }
    driver.close();
}

#[cfg(test)]
mod tests;
