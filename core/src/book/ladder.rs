//! One side of a book as a ladder of keys on which a higher key is always the better price.
//!
//! Owns: the cells of a window of consecutive keys around the best level, the two-level bitmap over
//! them, and the sorted store of levels below the window. Does not: know bid from ask (the book maps
//! prices to keys) or what a level is worth.
//!
//! The window is circular: the cell of a key is `key mod window`, so moving the window relocates
//! nothing; only the levels that leave or enter it are touched. It moves in whole blocks of
//! [`BLOCK_KEYS`] keys, and a block is exactly one word of the upper bitmap.
//!
//! Invariants ([`Ladder::assert_invariants`]):
//! 1. A cell is positive if and only if its bit is set, and a word of bits is non-zero if and only
//!    if its own bit in the upper bitmap is set.
//! 2. The best level is in the window, in its upper half; so an empty window means an empty ladder.
//! 3. Far levels are strictly ascending and all below the window.
//! 4. `base` is a multiple of [`BLOCK_KEYS`], and `base + window - 1` does not overflow.

use super::BookFull;
use std::hint::black_box;

/// Keys that one word of the upper bitmap covers: 64 words of 64 bits.
const BLOCK_KEYS: usize = 64 * 64;

/// The smallest window: four blocks, because the best level is placed three quarters up.
pub(super) const WINDOW_KEYS_MIN: usize = 4 * BLOCK_KEYS;

/// A level outside the window.
#[derive(Clone, Copy)]
struct FarLevel {
    key: i64,
    qty: i64,
}

/// Levels by key, best (highest) first; see the module's text.
pub(super) struct Ladder {
    /// Quantity of each key in the window; zero where there is no level.
    cells: Box<[i64]>,
    /// One bit a cell.
    bits: Box<[u64]>,
    /// One bit a word of `bits`.
    blocks: Box<[u64]>,
    /// The lowest key of the window.
    base: i64,
    /// The highest key that holds a level; meaningless while `window_levels` is zero.
    best: i64,
    window_levels: usize,
    /// Levels below the window, ascending: the next one to enter it is the last.
    far: Vec<FarLevel>,
    far_levels_max: usize,
}

impl Ladder {
    /// An empty ladder with all its memory reserved and touched.
    pub(super) fn new(window_keys: usize, far_levels_max: usize) -> Self {
        assert!(
            window_keys.is_power_of_two() && window_keys >= WINDOW_KEYS_MIN,
            "a window is a power of two of at least {WINDOW_KEYS_MIN} ticks, not {window_keys}"
        );
        let mut far = vec![FarLevel { key: 1, qty: 1 }; far_levels_max];
        black_box(&mut far).clear();
        Self {
            cells: zeroed_and_touched(window_keys),
            bits: zeroed_and_touched(window_keys / 64),
            blocks: zeroed_and_touched(window_keys / BLOCK_KEYS),
            base: 0,
            best: 0,
            window_levels: 0,
            far,
            far_levels_max,
        }
    }

    /// Removes all levels; costs time in proportion to how many there are.
    pub(super) fn clear(&mut self) {
        self.far.clear();
        let blocks = self.blocks.len();
        self.take_lowest_blocks(blocks, |_, _| {});
    }

    /// Sets the quantity of a key; zero removes it.
    #[inline]
    pub(super) fn set(&mut self, key: i64, qty: i64) -> Result<(), BookFull> {
        if self.window_levels == 0 || !self.in_window(key) {
            return self.set_outside(key, qty);
        }
        assert!(qty >= 0, "a quantity below zero reached the book");
        self.put(key, qty);
        // Whether a level comes, changes or goes is a coin that no predictor learns, so the only
        // branch on it is the rare one.
        self.best = if qty > 0 {
            self.best.max(key)
        } else {
            self.best
        };
        if qty == 0 && key == self.best {
            self.settle_best(key);
        }
        Ok(())
    }

    /// The best level.
    #[inline]
    pub(super) fn best(&self) -> Option<(i64, i64)> {
        (self.window_levels > 0).then(|| (self.best, self.cells[self.cell(self.best)]))
    }

    /// All levels, best first.
    #[inline]
    pub(super) fn levels(&self) -> Levels<'_> {
        let word = self.cell(self.best) / 64;
        Levels {
            ladder: self,
            word,
            // Above the best nothing stands in its word, because no word straddles the window's ends.
            bits: self.bits[word],
            left: self.window_levels,
            far: self.far.len(),
        }
    }

    /// Levels held.
    pub(super) fn level_count(&self) -> usize {
        self.window_levels + self.far.len()
    }

    /// Bytes that were reserved at the start.
    pub(super) fn bytes_reserved(&self) -> usize {
        size_of_val(&*self.cells)
            + size_of_val(&*self.bits)
            + size_of_val(&*self.blocks)
            + self.far.capacity() * size_of::<FarLevel>()
    }

    /// Bytes of them that hold a level now.
    pub(super) fn bytes_used(&self) -> usize {
        self.window_levels * size_of::<i64>() + self.far.len() * size_of::<FarLevel>()
    }

    /// Checks every invariant of the module's text; reads the whole window.
    pub(super) fn assert_invariants(&self) {
        let mut levels = 0;
        let mut highest = None;
        for offset in 0..self.cells.len() {
            let key = self.base + offset as i64;
            let cell = self.cell(key);
            assert!(self.cells[cell] >= 0, "quantity below zero at key {key}");
            let bit = self.bits[cell / 64] >> (cell % 64) & 1 == 1;
            assert_eq!(bit, self.cells[cell] > 0, "bit of key {key}");
            if bit {
                levels += 1;
                highest = Some(key);
            }
        }
        for (word, bits) in self.bits.iter().enumerate() {
            let bit = self.blocks[word / 64] >> (word % 64) & 1 == 1;
            assert_eq!(bit, *bits != 0, "upper bit of word {word}");
        }
        assert_eq!(levels, self.window_levels);
        match highest {
            Some(key) => {
                assert_eq!(key, self.best);
                let middle = self.base + (self.cells.len() / 2) as i64;
                assert!(self.best >= middle || self.base == i64::MIN);
            }
            None => assert!(self.far.is_empty(), "far levels under an empty window"),
        }
        assert_eq!(self.base % BLOCK_KEYS as i64, 0);
        assert!(self.base.checked_add(self.cells.len() as i64 - 1).is_some());
        assert!(self.far.len() <= self.far_levels_max);
        assert!(self.far.capacity() >= self.far_levels_max);
        assert!(self.far.iter().all(|level| level.qty > 0));
        assert!(self.far.windows(2).all(|pair| pair[0].key < pair[1].key));
        assert!(self.far.last().is_none_or(|level| level.key < self.base));
    }

    /// Whether a key lies in `[base, base + window)`.
    #[inline]
    fn in_window(&self, key: i64) -> bool {
        (key.wrapping_sub(self.base) as u64) < self.cells.len() as u64
    }

    /// The cell of a key that is in the window.
    #[inline]
    fn cell(&self, key: i64) -> usize {
        key as usize & (self.cells.len() - 1)
    }

    /// The key in the window whose cell this is.
    #[inline]
    fn key_of(&self, cell: usize) -> i64 {
        let offset = cell.wrapping_sub(self.base as usize) & (self.cells.len() - 1);
        self.base + offset as i64
    }

    /// Writes a cell of the window and both bitmaps, without a branch.
    #[inline]
    fn put(&mut self, key: i64, qty: i64) {
        let cell = self.cell(key);
        let old = std::mem::replace(&mut self.cells[cell], qty);
        let word = &mut self.bits[cell / 64];
        *word = *word & !(1 << (cell % 64)) | u64::from(qty > 0) << (cell % 64);
        let any = u64::from(*word != 0);
        let block = &mut self.blocks[cell / BLOCK_KEYS];
        *block = *block & !(1 << (cell / 64 % 64)) | any << (cell / 64 % 64);
        self.window_levels += usize::from(qty > 0);
        self.window_levels -= usize::from(old > 0);
    }

    /// The next level below `key`; the window must hold one.
    #[inline]
    fn next_worse(&self, key: i64) -> i64 {
        let cell = self.cell(key);
        let word = cell / 64;
        let below = self.bits[word] & ((1 << (cell % 64)) - 1);
        if below != 0 {
            return key - (cell % 64) as i64 + i64::from(below.ilog2());
        }
        let word = self.word_below(word);
        self.key_of(word * 64 + self.bits[word].ilog2() as usize)
    }

    /// The next word below that holds a level; the window must have one.
    fn word_below(&self, word: usize) -> usize {
        let mut block = word / 64;
        let mut words = self.blocks[block] & ((1 << (word % 64)) - 1);
        // Going down from a level, a lower one is met before the window's circle closes.
        while words == 0 {
            block = block.wrapping_sub(1) & (self.blocks.len() - 1);
            words = self.blocks[block];
        }
        block * 64 + words.ilog2() as usize
    }

    /// Finds the new best level after the one at `key` went, and moves the window down when the
    /// best has sunk below its middle.
    fn settle_best(&mut self, key: i64) {
        if self.window_levels > 0 {
            self.best = self.next_worse(key);
        } else if let Some(level) = self.far.last() {
            self.best = level.key;
        } else {
            return;
        }
        if self.best < self.base + (self.cells.len() / 2) as i64 {
            // Nothing stands above the best, so nothing can leave the window upwards.
            self.base = self.base_around(self.best);
            while let Some(level) = self.far.pop_if(|level| level.key >= self.base) {
                self.put(level.key, level.qty);
            }
        }
    }

    /// Sets a key of an empty ladder, or one that is not in the window.
    #[cold]
    #[inline(never)]
    fn set_outside(&mut self, key: i64, qty: i64) -> Result<(), BookFull> {
        assert!(qty >= 0, "a quantity below zero reached the book");
        if self.window_levels == 0 {
            if qty == 0 {
                return Ok(());
            }
            self.base = self.base_around(key);
        } else if key < self.base {
            return self.set_far(key, qty);
        } else if qty == 0 {
            return Ok(());
        } else {
            self.move_up(key)?;
        }
        self.put(key, qty);
        self.best = key;
        Ok(())
    }

    /// Sets a key below the window.
    fn set_far(&mut self, key: i64, qty: i64) -> Result<(), BookFull> {
        match self.far.binary_search_by_key(&key, |level| level.key) {
            Ok(at) if qty == 0 => {
                self.far.remove(at);
            }
            Ok(at) => self.far[at].qty = qty,
            Err(_) if qty == 0 => {}
            Err(_) if self.far.len() == self.far_levels_max => return Err(BookFull),
            Err(at) => self.far.insert(at, FarLevel { key, qty }),
        }
        Ok(())
    }

    /// Moves the window up around `key`, and the levels that leave it to the far store.
    fn move_up(&mut self, key: i64) -> Result<(), BookFull> {
        let base = self.base_around(key);
        assert!(base > self.base, "the key is above the window");
        let distance = base.wrapping_sub(self.base) as u64;
        let blocks = (distance / BLOCK_KEYS as u64).min(self.blocks.len() as u64) as usize;
        if self.lowest_blocks_levels(blocks) > self.far_levels_max - self.far.len() {
            return Err(BookFull);
        }
        let mut far = std::mem::take(&mut self.far);
        self.take_lowest_blocks(blocks, |key, qty| far.push(FarLevel { key, qty }));
        self.far = far;
        self.base = base;
        Ok(())
    }

    /// The base of a window in which `key` stands three quarters up: a quarter of the window is
    /// then the distance to the next move in either direction.
    fn base_around(&self, key: i64) -> i64 {
        let window = self.cells.len() as i64;
        let block_of_key = key & !(BLOCK_KEYS as i64 - 1);
        block_of_key
            .saturating_sub(window / 4 * 3)
            .min(i64::MAX - window + 1)
    }

    /// The levels in the lowest blocks of the window.
    fn lowest_blocks_levels(&self, count: usize) -> usize {
        (0..count)
            .map(|block| {
                let first = self.cell(self.base) / 64 + block * 64;
                let words = first..first + 64;
                words
                    .map(|word| self.bits[word & (self.bits.len() - 1)].count_ones() as usize)
                    .sum::<usize>()
            })
            .sum()
    }

    /// Empties the lowest blocks of the window, handing each level out in ascending order.
    fn take_lowest_blocks(&mut self, count: usize, mut take: impl FnMut(i64, i64)) {
        for nth in 0..count {
            let low = self.base + (nth * BLOCK_KEYS) as i64;
            let block = self.cell(low) / BLOCK_KEYS;
            let mut words = std::mem::take(&mut self.blocks[block]);
            while words != 0 {
                let word = words.trailing_zeros() as usize;
                words &= words - 1;
                let mut bits = std::mem::take(&mut self.bits[block * 64 + word]);
                while bits != 0 {
                    let offset = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let cell = &mut self.cells[block * BLOCK_KEYS + offset];
                    take(low + offset as i64, std::mem::take(cell));
                    self.window_levels -= 1;
                }
            }
        }
    }
}

/// The levels of a ladder, best first. Not a chain of iterators, and word by word: the first few levels are what a
/// strategy looks at with every update.
pub(super) struct Levels<'a> {
    ladder: &'a Ladder,
    /// Where the next one in the window is, or one before it.
    word: usize,
    /// Levels of this word that are still to come.
    bits: u64,
    /// Levels of the window that are still to come.
    left: usize,
    /// Levels below the window that are still to come.
    far: usize,
}

impl Iterator for Levels<'_> {
    type Item = (i64, i64);

    #[inline]
    fn next(&mut self) -> Option<(i64, i64)> {
        if self.left == 0 {
            self.far = self.far.checked_sub(1)?;
            let level = self.ladder.far[self.far];
            return Some((level.key, level.qty));
        }
        self.left -= 1;
        if self.bits == 0 {
            self.word = self.ladder.word_below(self.word);
            self.bits = self.ladder.bits[self.word];
        }
        let bit = self.bits.ilog2() as usize;
        self.bits ^= 1 << bit;
        let cell = self.word * 64 + bit;
        Some((self.ladder.key_of(cell), self.ladder.cells[cell]))
    }
}

/// A zeroed slice whose pages are mapped: the first write to each one happened here.
fn zeroed_and_touched<T: Copy + Default + From<u8>>(len: usize) -> Box<[T]> {
    // Zeroes alone could come as untouched pages, so ones are written first, where the optimiser
    // cannot tell that nobody reads them.
    let mut slice = vec![T::from(1); len].into_boxed_slice();
    black_box(&mut slice).fill(T::default());
    slice
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: i64 = 16 * BLOCK_KEYS as i64;

    fn ladder(keys: impl IntoIterator<Item = i64>) -> Ladder {
        let mut ladder = Ladder::new(WINDOW as usize, 64);
        for key in keys {
            ladder.set(key, 1).expect("room");
        }
        ladder
    }

    /// Moves the best level to each key in turn; returns how often the window moved.
    fn moves(ladder: &mut Ladder, bests: impl IntoIterator<Item = i64>) -> usize {
        let mut count = 0;
        for key in bests {
            let base = ladder.base;
            let (old, _) = ladder.best().expect("a level");
            ladder.set(key, 1).expect("room");
            if old != key {
                ladder.set(old, 0).expect("removals need no room");
            }
            assert_eq!(ladder.best(), Some((key, 1)));
            ladder.assert_invariants();
            count += usize::from(ladder.base != base);
        }
        count
    }

    #[test]
    fn a_best_that_swings_by_less_than_a_quarter_window_moves_it_once_at_most() {
        let swing = WINDOW / 4 - BLOCK_KEYS as i64;
        for low in (-WINDOW / 2..WINDOW / 2).step_by(4_000) {
            let mut ladder = ladder([-WINDOW, 0]);
            let swings = [low, low + swing].into_iter().cycle();
            moves(&mut ladder, [low]);
            assert!(moves(&mut ladder, swings.take(10)) <= 1);
        }
    }

    #[test]
    fn a_drift_moves_the_window_once_a_quarter() {
        let drift = 20 * WINDOW;
        let up = moves(&mut ladder([0]), (0..drift).step_by(1_000));
        let down = moves(&mut ladder([0]), (0..drift).step_by(1_000).map(|key| -key));
        for count in [up, down] {
            assert!((1..=4 * 20 + 1).contains(&count), "{count} moves");
        }
    }

    #[test]
    fn levels_that_left_the_window_come_back_with_it() {
        let mut ladder = ladder([-3 * WINDOW, -WINDOW / 2, -5, 0]);
        assert_eq!(ladder.far.len(), 1);
        moves(&mut ladder, [WINDOW]);
        assert_eq!(ladder.far.len(), 3);
        moves(&mut ladder, [0]);
        assert_eq!(ladder.far.len(), 1);
        let keys: Vec<_> = ladder.levels().map(|(key, _)| key).collect();
        assert_eq!(keys, [0, -5, -WINDOW / 2, -3 * WINDOW]);
    }
}
