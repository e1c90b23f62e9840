//! Requests that wait for an answer.
//!
//! Owns: [`Requests`]. Does not: send, or know budgets. Bound: [`REQUESTS_MAX`]; what does not fit is
//! not asked for yet.

use crate::event::LinkId;
use crate::instrument::InstrumentIndex;
use crate::limits::REQUESTS_MAX;
use crate::units::Nanos;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A depth snapshot to build a book from.
    Snapshot(InstrumentIndex),
    /// The shallowest depth snapshot, for its update id.
    Probe(InstrumentIndex),
    /// The venue's time.
    Time,
}

/// One request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: i64,
    pub(super) link: LinkId,
    pub(super) question: Question,
    pub(super) weight: u32,
    pub(super) sent_at: Nanos,
    /// Whether the answer still matters.
    pub(super) wanted: bool,
}

/// All requests under way, oldest first.
#[derive(Debug)]
pub(super) struct Requests {
    list: Vec<Request>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::with_capacity(REQUESTS_MAX),
        }
    }

    /// Whether `count` more fit.
    pub(super) fn has_room(&self, count: usize) -> bool {
        self.list.len() + count <= REQUESTS_MAX
    }

    /// Adds a request that was sent.
    ///
    /// # Panics
    /// When there is no room: the caller asks first.
    pub(super) fn push(&mut self, request: Request) {
        assert!(self.has_room(1), "requests are bounded");
        self.list.push(request);
    }

    /// The request with this id, which waits no longer.
    pub(super) fn take(&mut self, id: i64) -> Option<Request> {
        let position = self.list.iter().position(|request| request.id == id)?;
        Some(self.list.remove(position))
    }

    /// The oldest request sent at or before `sent_at`, which waits no longer.
    pub(super) fn take_sent_before(&mut self, sent_at: Nanos) -> Option<Request> {
        let oldest = self.list.first()?;
        (oldest.sent_at <= sent_at).then(|| self.list.remove(0))
    }

    /// Some request of this link, which waits no longer.
    pub(super) fn take_of(&mut self, link: LinkId) -> Option<Request> {
        let position = self.list.iter().position(|request| request.link == link)?;
        Some(self.list.remove(position))
    }

    /// Nobody waits for the snapshot of this instrument any more; its answer is still to be booked.
    pub(super) fn abandon_snapshot(&mut self, instrument: InstrumentIndex) {
        for request in &mut self.list {
            if request.question == Question::Snapshot(instrument) {
                request.wanted = false;
            }
        }
    }

    /// Whether the venue's time is being asked for.
    pub(super) fn asks_time(&self) -> bool {
        self.list
            .iter()
            .any(|request| request.question == Question::Time)
    }

    /// When the oldest was sent.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.list.first().map(|request| request.sent_at)
    }
}
