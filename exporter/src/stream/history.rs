//! The last events, and where they end.
//!
//! Owns: [`History`], [`Cursor`], [`Gap`]. Does not: render events or wake anybody.
//!
//! Market data and everything else are kept apart, so that a busy market does not push out what happened
//! to an order; ids are counted over both, and reading joins them again in their order.
//!
//! Invariants: ids rise by one with each event; each class holds at most [`EVENTS_MAX`] events and
//! [`BYTES_MAX`] bytes, the oldest goes first; a reader that comes to an id that is gone is told so before
//! it gets anything later of that class.

use super::FrameBytes;
use super::event::{Class, Kind};
use super::filter::Filter;
use std::collections::VecDeque;
use std::io::Write as _;
use veloz_core::instrument::InstrumentIndex;

/// Events of a class: the contract says 500; a busy market of a few symbols fills this in ten seconds or
/// more, which is how long a client may take to come back.
pub(super) const EVENTS_MAX: usize = 8_192;
/// Bytes of a class: events are some 200 bytes, an account with many assets some kilobytes.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// Bytes after which one reading ends; the client comes again when they are sent.
const READ_BYTES_MAX: usize = 16 << 10;
/// Events that one reading looks at, so that a filter that lets nothing through holds the lock as
/// briefly as any other.
const READ_EVENTS_MAX: usize = 1_024;

struct Frame {
    id: u64,
    kind: Kind,
    instrument: Option<InstrumentIndex>,
    bytes: FrameBytes,
}

/// The events of one class.
struct Ring {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The id of the newest event that is gone.
    gone_to: u64,
}

impl Ring {
    fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.frames.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(gone) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= gone.bytes.len();
            self.gone_to = gone.id;
        }
    }
}

/// The last events of both classes.
pub(super) struct History {
    rings: [Ring; Class::ALL.len()],
    next_id: u64,
}

/// Where a reader is: the next id that it has not looked at, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor([u64; Class::ALL.len()]);

impl Cursor {
    pub(super) fn at(id: u64) -> Self {
        Self([id; Class::ALL.len()])
    }
}

/// Ids among which events are missing that the reader wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The first id that is not there.
    pub(super) from: u64,
    /// The last one.
    pub(super) to: u64,
    /// Why.
    pub(super) reason: GapReason,
}

/// Why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GapReason {
    /// They are no longer kept: the reader was away too long, or too slow.
    NotKept,
    /// The reader names an id that was never given; it goes on with the newest event.
    UnknownId,
}

/// What one reading found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What is missing before the frames.
    pub(super) gap: Option<Gap>,
    /// Frames in the order of their ids.
    pub(super) frames: Vec<FrameBytes>,
    /// Whether there is more to read at once.
    pub(super) more: bool,
}

impl History {
    pub(super) fn new(first_id: u64) -> Self {
        let ring = || Ring {
            frames: VecDeque::new(),
            bytes: 0,
            // What an earlier process gave out is gone.
            gone_to: first_id - 1,
        };
        Self {
            rings: [ring(), ring()],
            next_id: first_id,
        }
    }

    /// The id of the next event.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Where a reader of everything that is kept begins.
    pub(super) fn oldest(&self) -> Cursor {
        Cursor(self.rings.each_ref().map(|ring| ring.gone_to + 1))
    }

    /// Appends an event; `body` is its frame without the id.
    pub(super) fn push(&mut self, kind: Kind, instrument: Option<InstrumentIndex>, body: &[u8]) {
        let id = self.next_id;
        self.next_id += 1;
        let mut bytes = Vec::with_capacity(body.len() + 32);
        let _ = writeln!(bytes, "id: {id}");
        bytes.extend_from_slice(body);
        self.rings[kind.class() as usize].push(Frame {
            id,
            kind,
            instrument,
            bytes: bytes.into(),
        });
    }

    /// What `filter` lets through from `cursor` on; moves the cursor behind it.
    pub(super) fn read(&self, cursor: &mut Cursor, filter: &Filter) -> Found {
        let mut found = Found {
            gap: self.gap(cursor, filter),
            ..Found::default()
        };
        let mut bytes = 0;
        let mut positions = [0; Class::ALL.len()];
        for class in Class::ALL {
            let next = cursor.0[class as usize];
            let frames = &self.rings[class as usize].frames;
            positions[class as usize] = if filter.wants_class(class) {
                frames.partition_point(|frame| frame.id < next)
            } else {
                frames.len()
            };
        }
        for _ in 0..READ_EVENTS_MAX {
            let oldest = Class::ALL
                .into_iter()
                .filter_map(|class| {
                    let frame = self.rings[class as usize]
                        .frames
                        .get(positions[class as usize])?;
                    Some((class, frame))
                })
                .min_by_key(|(_, frame)| frame.id);
            let Some((class, frame)) = oldest else {
                // Both classes are read to their ends.
                *cursor = Cursor::at(self.next_id);
                return found;
            };
            if bytes >= READ_BYTES_MAX {
                break;
            }
            positions[class as usize] += 1;
            cursor.0[class as usize] = frame.id + 1;
            if filter.accepts(frame.kind, frame.instrument) {
                bytes += frame.bytes.len();
                found.frames.push(frame.bytes.clone());
            }
        }
        found.more = true;
        found
    }

    /// What is missing at `cursor`; moves it behind.
    fn gap(&self, cursor: &mut Cursor, filter: &Filter) -> Option<Gap> {
        if cursor.0.iter().any(|next| *next > self.next_id) {
            let from = cursor.0.into_iter().max().unwrap_or_default();
            *cursor = Cursor::at(self.next_id);
            return Some(Gap {
                from,
                to: self.next_id - 1,
                reason: GapReason::UnknownId,
            });
        }
        let mut gap: Option<Gap> = None;
        for class in Class::ALL {
            let next = &mut cursor.0[class as usize];
            let gone_to = self.rings[class as usize].gone_to;
            if *next > gone_to || !filter.wants_class(class) {
                continue;
            }
            let (from, to) = gap.map_or((*next, gone_to), |gap| {
                (gap.from.min(*next), gap.to.max(gone_to))
            });
            gap = Some(Gap {
                from,
                to,
                reason: GapReason::NotKept,
            });
            *next = gone_to + 1;
        }
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"event: x\ndata: {}\n\n";

    fn ids(found: &Found) -> Vec<u64> {
        found
            .frames
            .iter()
            .map(|frame| {
                let text = std::str::from_utf8(frame).expect("UTF-8");
                let id = text
                    .strip_prefix("id: ")
                    .and_then(|text| text.lines().next());
                id.expect("an id").parse().expect("a number")
            })
            .collect()
    }

    /// Everything from `cursor` on, and the gaps before it.
    fn all(history: &History, cursor: &mut Cursor, filter: &Filter) -> (Vec<u64>, Vec<Gap>) {
        let (mut read, mut gaps) = (Vec::new(), Vec::new());
        loop {
            let found = history.read(cursor, filter);
            read.extend(ids(&found));
            gaps.extend(found.gap);
            if !found.more {
                return (read, gaps);
            }
        }
    }

    #[test]
    fn a_reader_gets_everything_once_and_in_order() {
        let mut history = History::new(100);
        let filter = Filter::everything();
        let mut cursor = Cursor::at(100);
        assert_eq!(history.read(&mut cursor, &filter), Found::default());
        for kind in [Kind::Trade, Kind::Fill, Kind::BookTop, Kind::Account] {
            history.push(kind, None, BODY);
        }
        assert_eq!(
            all(&history, &mut cursor, &filter),
            (vec![100, 101, 102, 103], vec![])
        );
        assert_eq!(history.read(&mut cursor, &filter), Found::default());
        assert_eq!(all(&history, &mut Cursor::at(102), &filter).0, [102, 103]);
    }

    #[test]
    fn a_busy_market_does_not_push_out_an_order_and_its_own_loss_is_told() {
        let mut history = History::new(1);
        history.push(Kind::Fill, None, BODY);
        for _ in 0..EVENTS_MAX + 5 {
            history.push(Kind::Trade, None, BODY);
        }
        let mut cursor = Cursor::at(1);
        let (read, gaps) = all(&history, &mut cursor, &Filter::everything());
        assert_eq!(read.len(), EVENTS_MAX + 1);
        assert_eq!(
            read[..2],
            [1, 7],
            "the fill, then the oldest trade that is kept"
        );
        let gap = Gap {
            from: 1,
            to: 6,
            reason: GapReason::NotKept,
        };
        assert_eq!(gaps, [gap], "told once");
        // Who wants no trades misses none.
        let orders = Filter::parse("events=fill", &|_| None).expect("a kind");
        assert_eq!(
            all(&history, &mut Cursor::at(1), &orders),
            (vec![1], vec![])
        );
        assert_eq!(
            all(&history, &mut history.oldest(), &Filter::everything()).1,
            []
        );
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut history = History::new(1);
        let body = vec![b'x'; BYTES_MAX / 4];
        for _ in 0..9 {
            history.push(Kind::Account, None, &body);
        }
        let ring = &history.rings[Class::State as usize];
        assert_eq!(ring.frames.len(), 3);
        assert!(ring.bytes <= BYTES_MAX);
        assert_eq!(ring.gone_to, 6);
    }

    #[test]
    fn an_id_that_was_never_given_is_told_and_goes_on_with_the_newest() {
        let mut history = History::new(10);
        history.push(Kind::Fill, None, BODY);
        let mut cursor = Cursor::at(5_000);
        let found = history.read(&mut cursor, &Filter::everything());
        let gap = Gap {
            from: 5_000,
            to: 10,
            reason: GapReason::UnknownId,
        };
        assert_eq!((found.gap, found.frames.len()), (Some(gap), 0));
        history.push(Kind::Fill, None, BODY);
        assert_eq!(
            all(&history, &mut cursor, &Filter::everything()),
            (vec![11], vec![])
        );
    }

    proptest! {
        /// Against a list of all events: whatever the filter, the place and the pauses, a reader gets
        /// exactly what it wants of what is kept, and is told of anything else.
        #[test]
        fn readings_agree_with_a_plain_list(
            kinds in prop::collection::vec(0usize..Kind::ALL.len(), 0..200),
            wanted in prop::collection::btree_set(0usize..Kind::ALL.len(), 1..8),
            start in 0u64..220,
            pause_every in 1usize..50,
        ) {
            let wanted: Vec<&str> = wanted.iter().map(|kind| Kind::ALL[*kind].label()).collect();
            let filter = Filter::parse(&format!("events={}", wanted.join(",")), &|_| None).expect("kinds");
            let mut history = History::new(1);
            let mut cursor = Cursor::at(start.max(1));
            let (mut got, mut expected) = (Vec::new(), Vec::new());
            let mut known = start < 2;
            for (position, kind) in kinds.iter().enumerate() {
                let kind = Kind::ALL[*kind];
                history.push(kind, None, BODY);
                let id = position as u64 + 1;
                if wanted.contains(&kind.label()) && id >= start {
                    expected.push(id);
                }
                known |= id + 1 >= start;
                if known && position % pause_every == 0 {
                    got.extend(all(&history, &mut cursor, &filter).0);
                }
            }
            if known {
                got.extend(all(&history, &mut cursor, &filter).0);
                prop_assert_eq!(got, expected);
            }
        }
    }
}
