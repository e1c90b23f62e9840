//! The process's log as the sidecar knows it: its level, and what became of its lines.
//!
//! Owns: [`Log`], [`LogCounts`]. Does not: lay lines out or write them; the command does, and counts
//! here. Invariant: a line that is asked for is written, dropped or failed, and each is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tracing::Level;

/// All levels, most severe first.
pub const LEVELS: [Level; 5] = [
    Level::ERROR,
    Level::WARN,
    Level::INFO,
    Level::DEBUG,
    Level::TRACE,
];

/// Position of a level in [`LEVELS`].
fn position(level: Level) -> usize {
    LEVELS
        .iter()
        .position(|known| *known == level)
        .expect("all levels stand in the list")
}

/// What became of lines.
#[derive(Debug, Default)]
pub struct LogCounts {
    accepted: [AtomicU64; LEVELS.len()],
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl LogCounts {
    /// Counts a line that was taken to be written.
    pub fn accepted(&self, level: Level) {
        self.accepted[position(level)].fetch_add(1, Relaxed);
    }

    /// Counts a line that found the queue full.
    pub fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Counts a write that failed.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// Lines taken, with the level's label.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LEVELS
            .iter()
            .zip(&self.accepted)
            .map(|(level, count)| (level.as_str(), count.load(Relaxed)))
    }

    /// Lines dropped since the start.
    pub fn lines_dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Writes that failed since the start.
    pub fn writes_failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// The handle on the process's one log.
pub struct Log {
    level: AtomicUsize,
    apply: Box<dyn Fn(Level) + Send + Sync>,
    counts: Arc<LogCounts>,
}

impl Log {
    /// A log at `level`, where `apply` sets another one.
    pub fn new(
        level: Level,
        counts: Arc<LogCounts>,
        apply: impl Fn(Level) + Send + Sync + 'static,
    ) -> Self {
        Self {
            level: AtomicUsize::new(position(level)),
            apply: Box::new(apply),
            counts,
        }
    }

    /// A log that nobody writes, for a sidecar without one.
    pub fn none() -> Self {
        Self::new(Level::INFO, Arc::default(), |_| ())
    }

    /// Least severe level that is written.
    pub fn level(&self) -> Level {
        LEVELS[self.level.load(Relaxed)]
    }

    /// Writes lines of `level` and what is more severe, from now on.
    pub fn set_level(&self, level: Level) {
        (self.apply)(level);
        self.level.store(position(level), Relaxed);
    }

    /// What became of lines.
    pub fn counts(&self) -> &LogCounts {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_level_is_applied_and_told() {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&applied);
        let log = Log::new(Level::INFO, Arc::default(), move |level| {
            listener.lock().expect("one thread").push(level);
        });
        assert_eq!(log.level(), Level::INFO);
        for level in LEVELS {
            log.set_level(level);
            assert_eq!(log.level(), level);
        }
        assert_eq!(*applied.lock().expect("one thread"), LEVELS);
    }

    #[test]
    fn every_fate_of_a_line_has_its_count() {
        let counts = LogCounts::default();
        counts.accepted(Level::WARN);
        counts.accepted(Level::WARN);
        counts.accepted(Level::TRACE);
        counts.dropped();
        counts.failed();
        let lines: Vec<_> = counts.lines().collect();
        let expected = [
            ("ERROR", 0),
            ("WARN", 2),
            ("INFO", 0),
            ("DEBUG", 0),
            ("TRACE", 1),
        ];
        assert_eq!(lines, expected);
        assert_eq!((counts.lines_dropped(), counts.writes_failed()), (1, 1));
    }
}
