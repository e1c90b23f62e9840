//! A few words that change together: one writer, any number of readers, no lock.
//!
//! Owns: [`seqlock`] and its two ends. Does not: know what the words mean.
//! Invariant: a reader gets words of one write or nothing. The words are relaxed atomics, so there is
//! no data race in the language's sense; the sequence is odd while a write is under way.
//!
//! The model check of the orderings runs under loom, in a build of this file alone: `cargo test` in `core/loom`. So nothing here
//! may name another part of the crate.

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};

use crossbeam_utils::CachePadded;

/// Reads tried before giving up: a write takes a few nanoseconds, so this is reached only when the
/// writer was stopped in the middle of one.
const READ_ATTEMPTS_MAX: usize = 10_000;

/// Attempts that spin; later ones yield the CPU, which the writer may be waiting for. Readers are threads
/// of the sidecar: nothing on the core's side of this file yields.
const READ_ATTEMPTS_SPINNING: usize = 64;

struct Shared<const N: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; N],
}

/// The only writer.
pub struct SeqlockWriter<const N: usize> {
    shared: Arc<CachePadded<Shared<N>>>,
}

/// A reader.
pub struct SeqlockReader<const N: usize> {
    shared: Arc<CachePadded<Shared<N>>>,
}

impl<const N: usize> Clone for SeqlockReader<N> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Both ends over `words`.
pub fn seqlock<const N: usize>(words: [u64; N]) -> (SeqlockWriter<N>, SeqlockReader<N>) {
    let shared = Arc::new(CachePadded::new(Shared {
        sequence: AtomicU64::new(0),
        words: words.map(AtomicU64::new),
    }));
    let reader = SeqlockReader {
        shared: Arc::clone(&shared),
    };
    (SeqlockWriter { shared }, reader)
}

impl<const N: usize> SeqlockWriter<N> {
    /// Replaces all words.
    #[inline]
    pub fn write(&mut self, words: &[u64; N]) {
        let sequence = self.shared.sequence.load(Ordering::Relaxed);
        self.shared
            .sequence
            .store(sequence.wrapping_add(1), Ordering::Relaxed);
        // No word may become visible before the odd sequence does.
        fence(Ordering::Release);
        for (cell, word) in self.shared.words.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        self.shared
            .sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
    }
}

impl<const N: usize> SeqlockReader<N> {
    /// The words of one write; `None` when the writer stands still in the middle of one.
    pub fn read(&self) -> Option<[u64; N]> {
        for attempt in 0..READ_ATTEMPTS_MAX {
            if let Some(words) = self.try_read() {
                return Some(words);
            }
            if attempt < READ_ATTEMPTS_SPINNING {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        None
    }

    fn try_read(&self) -> Option<[u64; N]> {
        let before = self.shared.sequence.load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        let words = std::array::from_fn(|word| self.shared.words[word].load(Ordering::Relaxed));
        // No word may be read after the sequence is read again.
        fence(Ordering::Acquire);
        (self.shared.sequence.load(Ordering::Relaxed) == before).then_some(words)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_last_write_whole() {
        let (mut writer, reader) = seqlock([0; 4]);
        assert_eq!(reader.read(), Some([0; 4]));
        writer.write(&[1, 2, 3, 4]);
        assert_eq!(reader.clone().read(), Some([1, 2, 3, 4]));
    }

    #[test]
    fn concurrent_reads_are_never_torn() {
        let (mut writer, reader) = seqlock([0; 6]);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let reader = reader.clone();
                std::thread::spawn(move || {
                    let mut last = 0;
                    while last < 20_000 {
                        let words = reader.read().expect("the writer runs");
                        assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                        assert!(words[0] >= last, "time went back");
                        last = words[0];
                    }
                })
            })
            .collect();
        for value in 1..=20_000 {
            writer.write(&[value; 6]);
        }
        for handle in readers {
            handle.join().expect("no torn read");
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    #[test]
    fn seqlock_reads_are_never_torn_in_any_interleaving() {
        loom::model(|| {
            let (mut writer, reader) = seqlock([0; 2]);
            let thread = loom::thread::spawn(move || {
                writer.write(&[1, 1]);
                writer.write(&[2, 2]);
            });
            for _ in 0..2 {
                if let Some([first, second]) = reader.try_read() {
                    assert_eq!(first, second);
                }
            }
            thread.join().expect("the writer ends");
        });
    }
}
