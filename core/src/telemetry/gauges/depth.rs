//! The best levels of one book, as words: published only when somebody asks (`Command::ShowBook`).
//!
//! Owns: [`DepthGauges`] and its words. Does not: decide when. Invariant: all levels belong to one update of a live
//! book: they are one seqlock snapshot.

use crate::limits::SHOWN_LEVELS_MAX;
use crate::units::{Level, Lots, Nanos, Ticks};

/// Words before the levels: flags with both counts, the update id, the time.
const HEAD_WORDS: usize = 3;
/// Words of one side.
const SIDE_WORDS: usize = 2 * SHOWN_LEVELS_MAX;
/// Words of one published depth.
pub(super) const DEPTH_WORDS: usize = HEAD_WORDS + 2 * SIDE_WORDS;

/// Bit of the flag word: the book was live.
const LIVE: u64 = 1;

/// The best levels of a book as it was shown last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepthGauges {
    /// Whether the book was live; without that there are no levels.
    pub is_live: bool,
    /// The venue's id of the last update in it.
    pub last_update_id: u64,
    /// When it was shown, on the engine's clock; [`Nanos::ZERO`] before the first time.
    pub at: Nanos,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
}

/// Nothing was shown yet.
pub(super) const NEVER: [u64; DEPTH_WORDS] = [0; DEPTH_WORDS];

/// The words of a book that is not live.
pub(super) fn not_live(at: Nanos) -> [u64; DEPTH_WORDS] {
    let mut words = NEVER;
    words[2] = at.0;
    words
}

/// The words of a live book; levels beyond [`SHOWN_LEVELS_MAX`] a side are left out.
pub(super) fn to_words(
    at: Nanos,
    last_update_id: u64,
    bids: impl Iterator<Item = Level>,
    asks: impl Iterator<Item = Level>,
) -> [u64; DEPTH_WORDS] {
    let mut words = NEVER;
    let (bid_words, ask_words) = words[HEAD_WORDS..].split_at_mut(SIDE_WORDS);
    let bid_count = put(bid_words, bids);
    let ask_count = put(ask_words, asks);
    words[0] = LIVE | bid_count << 8 | ask_count << 32;
    words[1] = last_update_id;
    words[2] = at.0;
    words
}

fn put(words: &mut [u64], levels: impl Iterator<Item = Level>) -> u64 {
    let mut count = 0;
    for (pair, level) in words.chunks_exact_mut(2).zip(levels) {
        pair[0] = level.price.0 as u64;
        pair[1] = level.qty.0 as u64;
        count += 1;
    }
    count
}

impl DepthGauges {
    pub(super) fn from_words(words: &[u64; DEPTH_WORDS]) -> Self {
        let (bid_words, ask_words) = words[HEAD_WORDS..].split_at(SIDE_WORDS);
        let side = |words: &[u64], count: u64| {
            words
                .chunks_exact(2)
                .take(count as usize)
                .map(|pair| Level {
                    price: Ticks(pair[0] as i64),
                    qty: Lots(pair[1] as i64),
                })
                .collect()
        };
        Self {
            is_live: words[0] & LIVE != 0,
            last_update_id: words[1],
            at: Nanos(words[2]),
            bids: side(bid_words, words[0] >> 8 & 0xff_ffff),
            asks: side(ask_words, words[0] >> 32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_survive_their_words_and_end_at_their_bound() {
        let levels = |count: usize| -> Vec<Level> {
            (0..count as i64)
                .map(|number| Level {
                    price: Ticks(1_000 - number),
                    qty: Lots(number + 1),
                })
                .collect()
        };
        for (bids, asks) in [(0, 0), (1, 7), (SHOWN_LEVELS_MAX, SHOWN_LEVELS_MAX + 3)] {
            let words = to_words(
                Nanos(5),
                9,
                levels(bids).into_iter(),
                levels(asks).into_iter(),
            );
            let read = DepthGauges::from_words(&words);
            let expected = DepthGauges {
                is_live: true,
                last_update_id: 9,
                at: Nanos(5),
                bids: levels(bids),
                asks: levels(asks.min(SHOWN_LEVELS_MAX)),
            };
            assert_eq!(read, expected);
        }
        let hidden = DepthGauges::from_words(&not_live(Nanos(7)));
        assert!(!hidden.is_live && hidden.bids.is_empty());
        assert_eq!(hidden.at, Nanos(7));
        assert_eq!(DepthGauges::from_words(&NEVER), DepthGauges::default());
    }
}
