//! What the audit log knows about itself.
//!
//! Owns: [`AuditMetrics`]. Invariant: labels come from closed sets.

use super::record::LogType;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use veloz_core::labelled;

labelled! {
    /// Why a record is not in the log, or not in its copy.
    pub enum Loss {
        /// The queue had no room for it.
        QueueFull = "queue_full",
        /// The disk did not take it.
        Write = "write",
        /// The writer has ended.
        Ended = "ended",
        /// The log has it, and its copy has not.
        Copy = "copy",
    }
}

/// Counts of records.
pub struct AuditMetrics {
    written: [AtomicU64; LogType::ALL.len()],
    lost: [AtomicU64; Loss::ALL.len()],
    /// Lost records that the log itself does not tell of yet.
    untold: AtomicU64,
    queue_used: AtomicU64,
    writable: AtomicBool,
}

impl Default for AuditMetrics {
    fn default() -> Self {
        Self {
            written: Default::default(),
            lost: Default::default(),
            untold: AtomicU64::new(0),
            queue_used: AtomicU64::new(0),
            // Nothing failed yet.
            writable: AtomicBool::new(true),
        }
    }
}

impl AuditMetrics {
    pub(super) fn queued(&self) {
        self.queue_used.fetch_add(1, Relaxed);
    }

    pub(super) fn taken(&self, count: u64) {
        self.queue_used.fetch_sub(count, Relaxed);
    }

    pub(super) fn written(&self, log_type: LogType, count: u64) {
        self.written[log_type.index()].fetch_add(count, Relaxed);
    }

    pub(crate) fn lost(&self, loss: Loss) {
        self.lost[loss.index()].fetch_add(1, Relaxed);
        self.untold.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, count: u64) {
        self.lost[Loss::Write.index()].fetch_add(count, Relaxed);
        self.untold.fetch_add(count, Relaxed);
    }

    /// The log tells of nothing here: it has these records.
    pub(super) fn not_copied(&self, count: u64) {
        self.lost[Loss::Copy.index()].fetch_add(count, Relaxed);
    }

    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Relaxed)
    }

    pub(super) fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Relaxed);
    }

    /// Records of a type on the disk.
    pub fn written_of(&self, log_type: LogType) -> u64 {
        self.written[log_type.index()].load(Relaxed)
    }

    /// Records that are not in the log, or in its copy.
    pub fn lost_by(&self, loss: Loss) -> u64 {
        self.lost[loss.index()].load(Relaxed)
    }

    /// Records that wait to be written.
    pub fn queue_used(&self) -> u64 {
        self.queue_used.load(Relaxed)
    }

    /// Whether the last write went well.
    pub fn is_writable(&self) -> bool {
        self.writable.load(Relaxed)
    }
}
