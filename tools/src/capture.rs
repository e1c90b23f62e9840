//! The capture format: every handled `(now, Event)`, so that a replay does again whatever was done.
//!
//! Owns: the layout below, its bounds, and [`CaptureError`]. The parts: `header.rs` what a replay needs
//! beside the events, `block.rs` events as bytes, `writer.rs` and `reader.rs` files, `tap.rs` the way
//! from the core thread to a writer, `text.rs`, `import.rs` and `export.rs` the exchange with the text
//! form. Does not: know what the events mean.
//!
//! Layout, all integers little-endian:
//!
//! | part | content |
//! | --- | --- |
//! | file header | magic `VELOZCAP`, version `u16`, zero `u16`, length `u32`, [`header::CaptureHeader`], CRC-32 `u32` of all of it |
//! | blocks | magic `BLCK`, kind `u8` (0 events, 1 end), three zeros, bytes before compression `u32`, bytes stored `u32`, events `u32`, number of its first event `u64`, CRC-32 `u32` of the 28 bytes before and of what follows; then the stored bytes |
//! | events block | one zstd frame that holds its events back to back |
//! | end block | events `u64` and lost events `u64` of the whole file, stored plain |
//!
//! Invariants: a block stands alone, so a file that was cut or damaged gives every block before the
//! damage; a file without its end block was not finished and says so.

pub mod block;
pub mod export;
pub mod header;
pub mod import;
pub mod reader;
pub mod tap;
pub mod text;
pub mod writer;

use veloz_core::limits::MESSAGE_BYTES_MAX;

/// First bytes of a capture.
pub const MAGIC: [u8; 8] = *b"VELOZCAP";
/// Version that is written, and the only one that is read.
pub const VERSION: u16 = 1;
/// First bytes of a block.
const BLOCK_MAGIC: [u8; 4] = *b"BLCK";
/// Bytes of a block's head.
const BLOCK_HEAD_BYTES: usize = 32;
/// Bytes of a file's head before its variable part.
const FILE_HEAD_BYTES: usize = 16;

/// Raw bytes after which a block is closed: large enough to compress well, small enough that a crash loses little.
pub const BLOCK_BYTES_TARGET: usize = 256 << 10;
/// Raw bytes of the largest block: a full one plus one event of the largest message.
pub const BLOCK_BYTES_MAX: usize =
    BLOCK_BYTES_TARGET + MESSAGE_BYTES_MAX + block::EVENT_HEAD_BYTES_MAX;
/// Stored bytes of the largest block: zstd adds at most one part in 256, and a little.
const BLOCK_STORED_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 256 + 1_024;
/// Bytes of the file header's variable part: 256 instruments of under 200 bytes each.
const HEADER_BYTES_MAX: usize = 128 << 10;

/// Why a capture cannot be read on, and where.
#[derive(Debug, thiserror::Error)]
#[error("capture damaged at byte {offset}: {cause}")]
pub struct CaptureError {
    /// Offset in the file of the part that cannot be read.
    pub offset: u64,
    /// What is wrong with it.
    pub cause: Damage,
}

/// What is wrong with a capture.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The operating system could not read it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It does not start as a capture does.
    #[error("this is no capture: it does not start with VELOZCAP")]
    NotACapture,
    /// Written by a version that this one cannot read.
    #[error("format version {found}, this program reads version {VERSION}")]
    Version {
        /// The version of the file.
        found: u16,
    },
    /// The file header does not make sense.
    #[error("the file header is malformed: {0}")]
    Header(&'static str),
    /// The file ends inside a part.
    #[error("the file ends inside a block")]
    Truncated,
    /// The file ends after a whole block, but not with its end block: its writer did not finish.
    #[error("the file has no end block: its writer did not finish")]
    Unfinished,
    /// A checksum differs.
    #[error("the checksum differs")]
    Checksum,
    /// A block's head does not make sense.
    #[error("the block's head is malformed: {0}")]
    BlockHead(&'static str),
    /// A block does not decompress.
    #[error("the block does not decompress to the size that its head names")]
    Decompress,
    /// An event inside an intact block does not decode.
    #[error("event {number} does not decode: {what}")]
    Event {
        /// Its number in the file, from 0.
        number: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Blocks are missing or repeated.
    #[error("the block starts with event {found}, expected {expected}")]
    Sequence {
        /// The number that should come next.
        expected: u64,
        /// The number that the block names.
        found: u64,
    },
    /// Something follows the end block.
    #[error("bytes follow the end block")]
    Trailing,
}

#[cfg(test)]
mod tests;
