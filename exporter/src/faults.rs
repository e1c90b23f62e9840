//! Faults of the process beside the core that nothing else counts.
//!
//! Owns: [`ProcessFaults`]. Does not: log or mend anything. Invariant: labels come from a closed set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use veloz_core::labelled;

labelled! {
    /// What went wrong.
    pub enum ProcessFault {
        /// The dead-man found the core standing still.
        CoreStalled = "core_stalled",
        /// A cancel of the dead-man was refused, or nobody knows what became of it.
        CancelFailed = "cancel_failed",
        /// The dead-man's connection is gone or in trouble.
        NoConnection = "no_connection",
        /// The core could not be told that its orders are gone.
        CoreNotTold = "core_not_told",
        /// A request was refused because what it changes could not be kept.
        NotKept = "not_kept",
    }
}

impl ProcessFault {
    /// The `component` label.
    pub const fn component(self) -> &'static str {
        match self {
            Self::CoreStalled | Self::CancelFailed | Self::NoConnection | Self::CoreNotTold => {
                "dead_man"
            }
            Self::NotKept => "storage",
        }
    }
}

/// How often each happened; a clone counts with it.
#[derive(Clone, Debug, Default)]
pub struct ProcessFaults {
    counts: Arc<[AtomicU64; ProcessFault::ALL.len()]>,
}

impl ProcessFaults {
    /// Counts one.
    pub fn count(&self, fault: ProcessFault) {
        self.counts[fault.index()].fetch_add(1, Relaxed);
    }

    /// How many there were since the start.
    pub fn of(&self, fault: ProcessFault) -> u64 {
        self.counts[fault.index()].load(Relaxed)
    }
}
