//! JSON read straight into integers: no tree, no strings of its own.
//!
//! Owns two readers. [`cursor`] with [`pairs`] is the scanner: it takes exactly the text that it
//! is told to expect, compares it in whole words, and converts digits eight or sixteen at a time;
//! anything else makes it give up without a reason. [`tolerant`] takes keys in any order and says
//! in types what is wrong; [`raw`] finds its values. Does not: know any venue's keys.
//! Invariant: where the scanner reads a value, the tolerant parser reads the same one.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod cursor;
pub mod pairs;
pub mod raw;
mod swar;
pub mod tolerant;

/// Which reader a decoder starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scanner {
    /// No scanner: the tolerant parser reads everything.
    Tolerant,
    /// Eight bytes at a time in general registers, on any CPU.
    Portable,
    /// Level arrays by AVX2, the rest as [`Scanner::Portable`].
    Avx2,
}

impl Scanner {
    /// All scanners, slowest first.
    pub const ALL: [Self; 3] = [Self::Tolerant, Self::Portable, Self::Avx2];

    /// The fastest one that this CPU has.
    pub fn detect() -> Self {
        if Self::Avx2.is_available() {
            Self::Avx2
        } else {
            Self::Portable
        }
    }

    /// Whether this CPU has what the scanner needs.
    pub fn is_available(self) -> bool {
        match self {
            Self::Tolerant | Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => false,
        }
    }
}
