//! The words of the book sync: states, sources, and what each input is answered with.

/// Where the book of one instrument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SyncState {
    /// No market stream.
    Idle = 0,
    /// Waiting for its turn to synchronise.
    Waiting = 1,
    /// Collecting diffs, snapshot not yet asked for.
    Buffering = 2,
    /// Collecting diffs, snapshot under way.
    Requested = 3,
    /// The snapshot is in the book; no diff has joined yet.
    Bridging = 4,
    /// The book is the venue's.
    Live = 5,
}

impl SyncState {
    /// All states, in order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Waiting,
        Self::Buffering,
        Self::Requested,
        Self::Bridging,
        Self::Live,
    ];

    /// Whether a book in this state holds one of the windows.
    pub const fn holds_window(self) -> bool {
        match self {
            Self::Buffering | Self::Requested => true,
            Self::Idle | Self::Waiting | Self::Bridging | Self::Live => false,
        }
    }
}

/// Which of the connections that may carry the stream at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u8);

/// Connections of one kind alive at once: one, and its successor while they overlap.
pub const SOURCES: usize = 2;

impl Source {
    /// The source in a slot `[0, SOURCES)`.
    pub const fn new(slot: usize) -> Self {
        assert!(slot < SOURCES, "a connection and its successor");
        Self(slot as u8)
    }

    pub(super) const fn bit(self) -> u8 {
        1 << self.0
    }
}

/// What to do with a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the step says what happens to the book"]
pub enum DiffStep {
    /// Nothing: this book does not collect diffs now.
    NotWanted,
    /// Nothing: all of it is in the chain already.
    Late,
    /// Nothing: all of it is in a live chain already, and the same source brought it there.
    Repeated {
        /// The chain's last id.
        newest: u64,
    },
    /// Nothing: it is ahead of the chain, and another source will fill the hole.
    Ahead,
    /// Put it into the window; the first one also asks for the snapshot.
    Store {
        /// Whether it is the window's first.
        first: bool,
    },
    /// Apply it to the book.
    Apply,
    /// Apply it to the book, which is `Live` with it.
    Bridge,
    /// Ids are missing. The machine still stands where it stood: the caller reports a fault.
    Gap {
        /// The id that had to come.
        expected: u64,
        /// The id that came.
        got: u64,
    },
    /// Only old ids come, again and again: the venue counts from anew. As for a gap.
    WentBack {
        /// The chain's last id.
        expected: u64,
        /// The id that came.
        got: u64,
    },
}

/// What to do with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the step says what happens to the book"]
pub enum SnapshotStep {
    /// It ends before the window begins; ask again, the window stays.
    TooOld {
        /// First id of the window.
        first: u64,
    },
    /// As before, and so often that the window is thrown away: the caller reports a fault.
    GiveUp {
        /// First id of the window.
        first: u64,
    },
    /// Replace the book by it, then apply what the window holds beyond it.
    Install,
}

/// What a book wants when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a wish that nobody serves stalls the book"]
pub enum Wish {
    /// Nothing yet.
    None,
    /// A turn: a window.
    Turn,
    /// A snapshot.
    Snapshot,
    /// A comparison of its id with the venue's.
    Probe,
    /// To be told that it is behind: the venue showed an id in good time that it still lacks.
    /// As for a gap.
    Behind {
        /// The id that it should hold by now.
        expected: u64,
        /// The id that it holds.
        got: u64,
    },
}
