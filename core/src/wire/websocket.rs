//! RFC 6455 framing for a client, in place: no message is copied to be read, none is allocated to be sent.
//!
//! Owns: [`Reader`] (frames out of one receive buffer), [`Writer`] (masked frames into one send
//! buffer), [`CloseCode`], [`FrameError`]. Does not: touch a socket, upgrade a connection, answer
//! anything by itself, or check UTF-8 — the JSON scanner behind it rejects every byte that it does
//! not know, so a second pass over each message would buy nothing. Close reasons are ignored.
//!
//! Invariant: both buffers are reserved at construction and never grow.

mod reader;
mod writer;

pub use reader::{Frame, FrameKind, Reader};
pub use writer::{SendBufferFull, Writer};

/// Opcodes of RFC 6455 section 5.2.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xa;
}

/// First header byte: the last frame of its message.
const FIN: u8 = 0x80;
/// Second header byte: the payload is masked.
const MASKED: u8 = 0x80;
/// Second header byte: the length follows in 16 bits.
const LENGTH_16: u8 = 126;
/// Second header byte: the length follows in 64 bits.
const LENGTH_64: u8 = 127;
/// The most that a control frame may carry.
const CONTROL_BYTES_MAX: usize = 125;
/// Two bytes, a 64-bit length, a mask.
const HEADER_BYTES_MAX: usize = 14;

/// Why a peer closes, as it may stand in a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A message was too big to handle.
    pub const TOO_BIG: Self = Self(1009);

    /// The code, if an endpoint may send it (RFC 6455 section 7.4 and the registry it founded):
    /// 1004 to 1006 and 1015 are reserved for reporting, the rest below 3000 is unassigned.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// How a server's bytes broke RFC 6455, or our bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A reserved bit is set although no extension was negotiated.
    #[error("a reserved bit is set without an extension")]
    ReservedBits,
    /// A server must not mask.
    #[error("the server masked a frame")]
    Masked,
    /// An opcode that the standard does not assign.
    #[error("unassigned opcode {0:#x}")]
    Opcode(u8),
    /// A control frame without the final bit.
    #[error("a fragmented control frame")]
    ControlFragmented,
    /// A control frame longer than 125 bytes.
    #[error("a control frame longer than 125 bytes")]
    ControlTooLong,
    /// A length that is not in its shortest form, or has its top bit set.
    #[error("a frame length in a form that the standard forbids")]
    LengthForm,
    /// A continuation without a message to continue.
    #[error("a continuation frame without a message to continue")]
    NothingToContinue,
    /// A new message inside a fragmented one.
    #[error("a new message inside a fragmented one")]
    MessageInsideMessage,
    /// A message longer than the reader's bound.
    #[error("a message longer than the bound")]
    TooBig,
    /// A close frame with one byte, or with a code that must not be sent.
    #[error("a close frame with a code that must not be sent")]
    BadClose,
}

impl FrameError {
    /// What to tell the peer on the way out.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::TooBig => CloseCode::TOO_BIG,
            Self::ReservedBits
            | Self::Masked
            | Self::Opcode(_)
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::LengthForm
            | Self::NothingToContinue
            | Self::MessageInsideMessage
            | Self::BadClose => CloseCode::PROTOCOL,
        }
    }
}

#[cfg(test)]
mod tests;
