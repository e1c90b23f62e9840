//! Diffs that wait for a snapshot: a few windows that all instruments share.
//!
//! Owns: [`Windows`]. Does not: judge ids; what is pushed is in order and without holes.
//! Bound: [`SYNC_WINDOWS_MAX`] windows of [`WINDOW_LEVELS_MAX`] levels in [`WINDOW_DIFFS_MAX`] diffs, all reserved at
//! start. A book without a window waits; a diff that does not fit is refused and its book starts again.

use crate::limits::{SYNC_WINDOWS_MAX, WINDOW_DIFFS_MAX, WINDOW_LEVELS_MAX};
use crate::units::Level;

/// One of the windows, lent to one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowIndex(u8);

/// There is no room for this diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window of diffs that wait for a snapshot is full")]
pub struct WindowFull;

/// A diff as it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredDiff<'a> {
    /// Last update id that it covers.
    pub last_id: u64,
    /// Changed bids.
    pub bids: &'a [Level],
    /// Changed asks.
    pub asks: &'a [Level],
}

#[derive(Clone, Copy, Debug)]
struct Header {
    last_id: u64,
    bids: u32,
    asks: u32,
}

struct Window {
    free: bool,
    headers: Vec<Header>,
    levels: Vec<Level>,
}

/// All windows.
pub struct Windows {
    windows: Vec<Window>,
}

impl Default for Windows {
    fn default() -> Self {
        Self::new(SYNC_WINDOWS_MAX)
    }
}

impl Windows {
    /// `count` windows, all free, their memory reserved.
    pub fn new(count: usize) -> Self {
        assert!(count <= SYNC_WINDOWS_MAX, "more than the bound");
        Self {
            windows: (0..count)
                .map(|_| Window {
                    free: true,
                    headers: Vec::with_capacity(WINDOW_DIFFS_MAX),
                    levels: Vec::with_capacity(WINDOW_LEVELS_MAX),
                })
                .collect(),
        }
    }

    /// Lends a window, empty; `None` while all are lent.
    pub fn lend(&mut self) -> Option<WindowIndex> {
        let position = self.windows.iter().position(|window| window.free)?;
        let window = &mut self.windows[position];
        window.free = false;
        window.headers.clear();
        window.levels.clear();
        Some(WindowIndex(position as u8))
    }

    /// Takes a window back.
    ///
    /// # Panics
    /// When it was not lent.
    pub fn give_back(&mut self, index: WindowIndex) {
        let window = &mut self.windows[usize::from(index.0)];
        assert!(!window.free, "given back twice");
        window.free = true;
    }

    /// Bytes that were reserved at the start.
    pub fn bytes_reserved(&self) -> usize {
        self.windows
            .iter()
            .map(|window| {
                window.headers.capacity() * size_of::<Header>()
                    + window.levels.capacity() * size_of::<Level>()
            })
            .sum()
    }

    /// Appends a diff.
    ///
    /// # Errors
    /// [`WindowFull`] when its levels or the diff itself do not fit; nothing is stored then.
    pub fn push(
        &mut self,
        index: WindowIndex,
        last_id: u64,
        bids: &[Level],
        asks: &[Level],
    ) -> Result<(), WindowFull> {
        let window = &mut self.windows[usize::from(index.0)];
        debug_assert!(!window.free, "a window that nobody holds");
        let levels = window.levels.len() + bids.len() + asks.len();
        if window.headers.len() == WINDOW_DIFFS_MAX || levels > WINDOW_LEVELS_MAX {
            return Err(WindowFull);
        }
        window.headers.push(Header {
            last_id,
            bids: bids.len() as u32,
            asks: asks.len() as u32,
        });
        window.levels.extend_from_slice(bids);
        window.levels.extend_from_slice(asks);
        Ok(())
    }

    /// The diffs of a window, oldest first.
    pub fn diffs(&self, index: WindowIndex) -> impl Iterator<Item = StoredDiff<'_>> {
        let window = &self.windows[usize::from(index.0)];
        let mut rest = window.levels.as_slice();
        window.headers.iter().map(move |header| {
            let (bids, after) = rest.split_at(header.bids as usize);
            let (asks, after) = after.split_at(header.asks as usize);
            rest = after;
            StoredDiff {
                last_id: header.last_id,
                bids,
                asks,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LEVELS_PER_SIDE_MAX;
    use crate::units::{Lots, Ticks};

    fn level(price: i64) -> Level {
        Level {
            price: Ticks(price),
            qty: Lots(1),
        }
    }

    #[test]
    fn diffs_come_back_as_they_were_put_in() {
        let mut windows = Windows::new(2);
        let index = windows.lend().expect("free");
        windows
            .push(index, 5, &[level(1), level(2)], &[])
            .expect("room");
        windows.push(index, 6, &[], &[level(9)]).expect("room");
        let diffs: Vec<_> = windows.diffs(index).collect();
        assert_eq!(
            diffs,
            [
                StoredDiff {
                    last_id: 5,
                    bids: &[level(1), level(2)],
                    asks: &[],
                },
                StoredDiff {
                    last_id: 6,
                    bids: &[],
                    asks: &[level(9)],
                },
            ]
        );

        let second = windows.lend().expect("free");
        assert_eq!(windows.lend(), None);
        windows.give_back(index);
        let again = windows.lend().expect("free");
        assert_eq!(again, index);
        assert_eq!(windows.diffs(again).count(), 0, "lent empty");
        assert_ne!(second, again);
    }

    #[test]
    fn a_full_window_refuses_and_stays_whole() {
        let mut windows = Windows::new(1);
        let index = windows.lend().expect("free");
        let side = vec![level(1); LEVELS_PER_SIDE_MAX];
        let mut stored = 0;
        while windows.push(index, stored + 1, &side, &side).is_ok() {
            stored += 1;
        }
        assert_eq!(stored, 6);
        assert_eq!(windows.diffs(index).count(), 6);

        windows.give_back(index);
        let index = windows.lend().expect("free");
        for id in 0..WINDOW_DIFFS_MAX as u64 {
            windows.push(index, id, &[level(1)], &[]).expect("room");
        }
        assert_eq!(windows.push(index, 999, &[], &[]), Err(WindowFull));
    }
}
