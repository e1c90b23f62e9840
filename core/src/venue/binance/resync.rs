//! The book synchronisation of one instrument, by the venue's rules for a local order book.
//!
//! Owns: [`BookSync`], which decides what becomes of each diff and each snapshot, and (in
//! [`window`]) the diffs that wait for a snapshot. Does not: hold the book, decode, send, or know
//! other instruments; the engine does what the returned step says.
//!
//! Invariant: in [`SyncState::Live`] the book equals the venue's at [`BookSync::last_id`].
//!
//! A diff covers the ids `first..=last`; `id` is the last one that the chain holds: of the newest
//! buffered diff, of the snapshot, or of the book. Diffs continue the chain when `first <= id + 1`.
//!
//! | state | diff | turn granted | request sent | snapshot | time passed | last source lost | fault |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | `Idle`: no stream | drop | – | – | – | – | `Idle` | `Idle` |
//! | `Waiting` for its turn | drop | `Buffering` | – | – | ask for a turn | `Idle` | `Waiting` |
//! | `Buffering`, nothing asked yet | store; gap: `Waiting` | – | `Requested` | – | ask for a snapshot | `Idle` | `Waiting` |
//! | `Requested`, snapshot under way | store; gap: `Waiting` | – | – | too old: `Buffering`; else `Bridging` or `Live` | – | `Idle` | `Waiting` |
//! | `Bridging`: the book is the snapshot | continues: apply, `Live`; gap: `Waiting` | – | – | – | probe | `Idle` | `Waiting` |
//! | `Live` | continues: apply; gap: `Waiting` | – | – | – | probe | `Idle` | `Waiting` |
//!
//! A dash is an illegal pair: the caller asserts that it does not happen. A snapshot that nobody
//! waits for (its book failed meanwhile) never reaches this machine. From `Idle` the stream's
//! coming up leads to `Waiting`; in every other state it changes nothing.
//!
//! Why `Waiting` drops diffs: the window is the dear part, and with a few hundred books behind one
//! request budget a book may wait a minute. So only those whose turn it is hold a window, and the
//! windows are few. Why a book in `Buffering` waits for a first diff before it asks: a snapshot
//! asked for earlier may end before that diff begins, and another costs weight and a round trip.
//! Why `Bridging` is not `Live`: until a diff has joined, nothing proves that the stream follows on
//! from the snapshot.
//!
//! **Two sources.** While a connection is rotated both carry the stream. A source has *joined* when
//! its last diff continued or lay inside the chain. Whatever is old on either is ignored. A hole on
//! one source is a gap only when no other joined source can still fill it; when a source goes, books
//! whose chain rests on another one carry on.

mod step;
pub mod window;

pub use step::{DiffStep, SOURCES, SnapshotStep, Source, SyncState, Wish};

use crate::config::BookConfig;
use crate::jitter::Jitter;
use crate::limits::{OLD_IN_A_ROW_MAX, SNAPSHOTS_TOO_OLD_MAX};
use crate::units::Nanos;

/// The state of one instrument's synchronisation; see the module's text.
#[derive(Clone, Debug)]
pub struct BookSync {
    state: SyncState,
    /// Sources that have joined, a bit each.
    joined: u8,
    /// The source that last made the chain grow.
    grown_by: Option<Source>,
    /// Diffs in a row that brought nothing new.
    old_in_a_row: u8,
    /// Snapshots in a row that were too old.
    too_old_in_a_row: u8,
    /// Failures since the book was last `Live` for [`SETTLED_AFTER`].
    failures: u8,
    /// First id of the window.
    first_id: u64,
    /// Last id of the chain.
    last_id: u64,
    /// When to look at this book again.
    due: Nanos,
    /// When the chain last grew.
    advanced_at: Nanos,
    live_since: Nanos,
    /// An id that the venue has shown, and by when the chain must hold it.
    behind: Option<(u64, Nanos)>,
    /// When a best price last named the venue's id.
    venue_seen_at: Nanos,
}

impl Default for BookSync {
    fn default() -> Self {
        Self {
            state: SyncState::Idle,
            joined: 0,
            grown_by: None,
            old_in_a_row: 0,
            too_old_in_a_row: 0,
            failures: 0,
            first_id: 0,
            last_id: 0,
            due: Nanos::MAX,
            advanced_at: Nanos::ZERO,
            live_since: Nanos::ZERO,
            behind: None,
            venue_seen_at: Nanos::ZERO,
        }
    }
}

impl BookSync {
    /// The stream is up on some source: the book may start.
    pub fn stream_up(&mut self, now: Nanos) {
        if self.state == SyncState::Idle {
            self.state = SyncState::Waiting;
            self.due = now;
        }
    }

    /// The book has a window, which is empty. It collects diffs from now on.
    pub fn grant_turn(&mut self, now: Nanos, config: &BookConfig) {
        assert_eq!(self.state, SyncState::Waiting, "only a waiting book");
        self.state = SyncState::Buffering;
        self.joined = 0;
        self.old_in_a_row = 0;
        self.too_old_in_a_row = 0;
        self.first_id = 0;
        self.due = now.plus(config.first_diff_wait);
    }

    /// The snapshot was asked for. When it does not come, whoever asked reports a fault.
    pub fn snapshot_requested(&mut self) {
        assert_eq!(self.state, SyncState::Buffering, "only once");
        self.state = SyncState::Requested;
        self.due = Nanos::MAX;
    }

    /// The snapshot cannot be asked for before `at`; diffs go on into the window.
    pub fn snapshot_postponed(&mut self, at: Nanos) {
        assert_eq!(self.state, SyncState::Buffering, "nothing is under way");
        self.due = at;
    }

    /// A turn cannot be had before `at`; [`Nanos::MAX`] waits for [`BookSync::wake`].
    pub fn turn_postponed(&mut self, at: Nanos) {
        assert_eq!(self.state, SyncState::Waiting, "only a waiting book");
        self.due = at;
    }

    /// A diff of the ids `first..=last` came from `source`.
    #[inline]
    pub fn diff(&mut self, now: Nanos, source: Source, first: u64, last: u64) -> DiffStep {
        debug_assert!(first <= last, "the caller refuses reversed ids");
        match self.state {
            SyncState::Idle | SyncState::Waiting => return DiffStep::NotWanted,
            SyncState::Buffering | SyncState::Requested if self.first_id == 0 => {
                self.first_id = first.max(1);
                self.chain(now, source, last);
                if self.state == SyncState::Buffering {
                    self.due = now;
                }
                return DiffStep::Store { first: true };
            }
            SyncState::Buffering | SyncState::Requested | SyncState::Bridging | SyncState::Live => {
            }
        }
        if last <= self.last_id {
            self.joined |= source.bit();
            return self.old(source, last);
        }
        if first > self.last_id.saturating_add(1) {
            self.joined &= !source.bit();
            if self.joined != 0 {
                return DiffStep::Ahead;
            }
            return DiffStep::Gap {
                expected: self.last_id.saturating_add(1),
                got: first,
            };
        }
        self.chain(now, source, last);
        match self.state {
            SyncState::Buffering | SyncState::Requested => DiffStep::Store { first: false },
            SyncState::Bridging => {
                self.enter_live(now);
                DiffStep::Bridge
            }
            SyncState::Live => DiffStep::Apply,
            SyncState::Idle | SyncState::Waiting => unreachable!("returned above"),
        }
    }

    /// The awaited snapshot came; it includes everything up to `last_id`.
    pub fn snapshot(
        &mut self,
        now: Nanos,
        last_id: u64,
        config: &BookConfig,
        jitter: &mut Jitter,
    ) -> SnapshotStep {
        assert_eq!(self.state, SyncState::Requested, "nobody waits for it");
        let window_is_empty = self.first_id == 0;
        if !window_is_empty && last_id < self.first_id {
            self.too_old_in_a_row += 1;
            if self.too_old_in_a_row >= SNAPSHOTS_TOO_OLD_MAX {
                return SnapshotStep::GiveUp {
                    first: self.first_id,
                };
            }
            self.state = SyncState::Buffering;
            let tries = u32::from(self.too_old_in_a_row) - 1;
            self.due = now.plus(jitter.backoff(config.backoff_base, config.backoff_max, tries));
            return SnapshotStep::TooOld {
                first: self.first_id,
            };
        }
        if !window_is_empty && self.last_id > last_id {
            self.enter_live(now);
        } else {
            self.state = SyncState::Bridging;
            self.last_id = last_id;
        }
        self.behind = None;
        self.advanced_at = now;
        self.due = now.plus(config.silence_max);
        SnapshotStep::Install
    }

    /// The book failed, whatever the reason: it is not `Live` from now on, and starts again.
    ///
    /// The first failure of a book that was well starts again at once, later ones wait longer each time.
    pub fn fail(&mut self, now: Nanos, config: &BookConfig, jitter: &mut Jitter) {
        if self.state == SyncState::Idle {
            return;
        }
        if self.state == SyncState::Live && now.since(self.live_since) >= SETTLED_AFTER {
            self.failures = 0;
        }
        self.due = if self.failures == 0 {
            now
        } else {
            let failures = u32::from(self.failures) - 1;
            now.plus(jitter.backoff(config.backoff_base, config.backoff_max, failures))
        };
        self.failures = self.failures.saturating_add(1);
        self.state = SyncState::Waiting;
        self.leave_chain();
    }

    /// The way to ask for snapshots is gone. A book that needs one starts again; returns whether it did.
    ///
    /// It keeps neither its window nor its failures: it did nothing wrong.
    pub fn requests_lost(&mut self, now: Nanos) -> bool {
        if !self.state.holds_window() {
            return false;
        }
        self.state = SyncState::Waiting;
        self.due = now;
        self.leave_chain();
        true
    }

    /// A source is gone; `others_up` says whether another one carries the stream.
    ///
    /// Returns whether the chain rested on it alone: the book is not `Live` from now on.
    pub fn source_lost(&mut self, now: Nanos, source: Source, others_up: bool) -> bool {
        let rested_on_it = self.joined == source.bit();
        self.joined &= !source.bit();
        match self.state {
            SyncState::Idle => return false,
            SyncState::Waiting => {}
            SyncState::Buffering | SyncState::Requested | SyncState::Bridging | SyncState::Live => {
                if others_up && !rested_on_it {
                    return false;
                }
            }
        }
        let was_on_its_way = self.state != SyncState::Waiting;
        if others_up {
            self.state = SyncState::Waiting;
            self.due = if was_on_its_way { now } else { self.due };
        } else {
            self.state = SyncState::Idle;
            self.due = Nanos::MAX;
        }
        self.leave_chain();
        was_on_its_way
    }

    /// A source is retired after both ran side by side for longer than any diff takes: whatever the
    /// old one brought last, the new one follows on from it.
    pub fn source_retired(&mut self, old: Source, new: Source) {
        if self.joined & old.bit() != 0 {
            self.joined = new.bit();
        }
    }

    /// A probe has shown that the venue's book is at `venue_id`.
    pub fn probed(&mut self, now: Nanos, venue_id: u64, config: &BookConfig) {
        if !self.is_chained() {
            return;
        }
        if venue_id > self.last_id {
            let by = now.plus(config.lag_max);
            self.behind = Some((venue_id, by));
            self.due = by;
        } else {
            self.due = now.plus(config.silence_max);
        }
    }

    /// No probe can be had before `at`; [`Nanos::MAX`] waits for [`BookSync::wake`].
    pub fn probe_postponed(&mut self, at: Nanos) {
        if self.is_chained() {
            self.due = at;
        }
    }

    /// What was postponed for ever may be tried now; a back-off runs on.
    pub fn wake(&mut self, now: Nanos) {
        let postponed = self.state == SyncState::Waiting || self.is_chained();
        if postponed && self.due == Nanos::MAX {
            self.due = now;
        }
    }

    /// What the book wants at `now`. [`BookSync::due`] moves when it wants nothing.
    pub fn wish(&mut self, now: Nanos, config: &BookConfig) -> Wish {
        if now < self.due {
            return Wish::None;
        }
        match self.state {
            SyncState::Idle | SyncState::Requested => Wish::None,
            SyncState::Waiting => Wish::Turn,
            SyncState::Buffering => Wish::Snapshot,
            SyncState::Bridging | SyncState::Live => {
                if let Some((id, by)) = self.behind
                    && self.last_id < id
                    && now >= by
                {
                    return Wish::Behind {
                        expected: id,
                        got: self.last_id,
                    };
                }
                self.behind = None;
                let fresh_until = self.advanced_at.plus(config.silence_max);
                if now < fresh_until {
                    self.due = fresh_until;
                    Wish::None
                } else {
                    Wish::Probe
                }
            }
        }
    }

    /// A best price with update id `venue_id` was published. The book has to get there in time;
    /// when it has not, this says so, as for a gap.
    ///
    /// A change that is taken back within one interval may leave no diff, so a lone best price proves
    /// nothing: time runs only while they keep coming.
    #[inline]
    pub fn venue_is_at(&mut self, now: Nanos, venue_id: u64, config: &BookConfig) -> Wish {
        let since_last = now.since(self.venue_seen_at);
        self.venue_seen_at = now;
        if venue_id <= self.last_id || self.state != SyncState::Live {
            return Wish::None;
        }
        match self.behind {
            Some((id, by)) if self.last_id < id && since_last.0 <= config.lag_max.0 / 2 => {
                if now < by {
                    return Wish::None;
                }
                Wish::Behind {
                    expected: id,
                    got: self.last_id,
                }
            }
            Some(_) | None => {
                self.behind = Some((venue_id, now.plus(config.lag_max)));
                Wish::None
            }
        }
    }

    /// Where the book stands.
    #[inline]
    pub fn state(&self) -> SyncState {
        self.state
    }

    /// The last id of the chain; of the book itself while `Live`.
    #[inline]
    pub fn last_id(&self) -> u64 {
        self.last_id
    }

    /// When to ask for the book's wish; [`Nanos::MAX`] for never.
    #[inline]
    pub fn due(&self) -> Nanos {
        self.due
    }

    fn is_chained(&self) -> bool {
        matches!(self.state, SyncState::Bridging | SyncState::Live)
    }

    fn chain(&mut self, now: Nanos, source: Source, last: u64) {
        self.joined |= source.bit();
        self.grown_by = Some(source);
        self.last_id = last;
        self.advanced_at = now;
        self.old_in_a_row = 0;
    }

    #[cold]
    fn old(&mut self, source: Source, last: u64) -> DiffStep {
        self.old_in_a_row = self.old_in_a_row.saturating_add(1);
        if self.old_in_a_row >= OLD_IN_A_ROW_MAX {
            DiffStep::WentBack {
                expected: self.last_id,
                got: last,
            }
        } else if self.state == SyncState::Live && self.grown_by == Some(source) {
            DiffStep::Repeated {
                newest: self.last_id,
            }
        } else {
            DiffStep::Late
        }
    }

    fn enter_live(&mut self, now: Nanos) {
        self.state = SyncState::Live;
        self.live_since = now;
    }

    fn leave_chain(&mut self) {
        self.joined = 0;
        self.grown_by = None;
        self.first_id = 0;
        self.last_id = 0;
        self.old_in_a_row = 0;
        self.behind = None;
    }
}

/// How long a book must have been `Live` for its next failure to count as its first.
pub const SETTLED_AFTER: Nanos = Nanos::from_secs(60);

#[cfg(test)]
mod tests;
