//! Everything that can wake the engine, in one closed enum.
//!
//! Owns: [`Event`], [`LinkId`], [`Payload`]. A capture stores exactly these, so whatever the engine
//! did, a replay does again. Does not: know how bytes arrive or where time comes from.

use crate::instrument::InstrumentIndex;
use crate::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use crate::order::{ClientId, Intent, OrderId};
use crate::risk::{LimitsChange, TradingState};
use crate::units::{Lots, Nanos, Ticks};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LinkRole {
    /// Public market-data streams.
    Market = 0,
    /// The websocket API for depth snapshots and the venue's clock; nothing on it is signed.
    Api = 1,
    /// The websocket API for orders and user data, logged on.
    Orders = 2,
}

impl LinkRole {
    /// All roles, in order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Market, Self::Api, Self::Orders];
}

/// One connection, from the wish for it to its end. A generation is never used twice, so a late
/// event of a retired connection cannot be taken for its successor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// What it is for.
    pub role: LinkRole,
    /// Counts up over all roles, from 1.
    pub generation: u32,
}

/// Why a connection ended or never came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LinkDown {
    /// The name did not resolve.
    Resolve = 0,
    /// TCP connect refused, unreachable or timed out.
    Connect = 1,
    /// The TLS handshake failed; a certificate that does not verify is [`LinkDown::Certificate`].
    Tls = 2,
    /// The venue's certificate does not verify against the configured roots.
    Certificate = 3,
    /// The websocket upgrade was refused or malformed.
    Upgrade = 4,
    /// The peer closed or reset the connection.
    Closed = 5,
    /// The peer sent a close frame.
    CloseFrame = 6,
    /// A frame broke RFC 6455: reserved bits, a mask from the server, bad opcode, bad length.
    Protocol = 7,
    /// A message was larger than `MESSAGE_BYTES_MAX`.
    TooBig = 8,
    /// Nothing arrived for the silence bound.
    Silent = 9,
    /// The engine asked for it: rotation, shutdown, a fault that reconnecting cures.
    Requested = 10,
    /// Our unsent bytes outgrew their buffer: the venue stopped reading.
    SendBufferFull = 11,
}

impl LinkDown {
    /// All causes, in order of their discriminants.
    pub const ALL: [Self; 12] = [
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::Certificate,
        Self::Upgrade,
        Self::Closed,
        Self::CloseFrame,
        Self::Protocol,
        Self::TooBig,
        Self::Silent,
        Self::Requested,
        Self::SendBufferFull,
    ];

    /// The stable label of metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Upgrade => "upgrade",
            Self::Closed => "closed",
            Self::CloseFrame => "close_frame",
            Self::Protocol => "protocol",
            Self::TooBig => "too_big",
            Self::Silent => "silent",
            Self::Requested => "requested",
            Self::SendBufferFull => "send_buffer_full",
        }
    }
}

/// The bytes of one text message where they lie in a receive buffer, with readable slack on both
/// sides, so that a vectorised scanner may load past either end.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    whole: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Payload<'a> {
    /// The message `whole[start..end]`.
    ///
    /// # Panics
    /// When less than [`PAYLOAD_SLACK_BEFORE`] bytes stand before it or less than
    /// [`PAYLOAD_SLACK_AFTER`] follow: the owner of the buffer laid it out wrongly.
    #[inline]
    pub fn new(whole: &'a [u8], start: usize, end: usize) -> Self {
        assert!(
            start >= PAYLOAD_SLACK_BEFORE && start <= end,
            "no slack before the payload"
        );
        assert!(
            end + PAYLOAD_SLACK_AFTER <= whole.len(),
            "no slack after the payload"
        );
        Self { whole, start, end }
    }

    /// The message itself.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        &self.whole[self.start..self.end]
    }

    /// The buffer around the message, and the message's half-open range in it.
    #[inline]
    pub fn with_slack(&self) -> (&'a [u8], usize, usize) {
        (self.whole, self.start, self.end)
    }
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({:?})", String::from_utf8_lossy(self.bytes()))
    }
}

/// A message with the slack that [`Payload`] demands, owned: for replay, tests and benches.
#[derive(Clone, Debug, Default)]
pub struct PayloadBuf {
    whole: Vec<u8>,
}

impl PayloadBuf {
    /// A buffer that holds a copy of `message`.
    pub fn new(message: &[u8]) -> Self {
        let mut buf = Self::default();
        buf.set(message);
        buf
    }

    /// Replaces the message; reuses the memory.
    pub fn set(&mut self, message: &[u8]) {
        self.whole.clear();
        self.whole.resize(PAYLOAD_SLACK_BEFORE, 0);
        self.whole.extend_from_slice(message);
        self.whole.resize(
            PAYLOAD_SLACK_BEFORE + message.len() + PAYLOAD_SLACK_AFTER,
            0,
        );
    }

    /// The message as an event carries it.
    pub fn payload(&self) -> Payload<'_> {
        Payload::new(
            &self.whole,
            PAYLOAD_SLACK_BEFORE,
            self.whole.len() - PAYLOAD_SLACK_AFTER,
        )
    }
}

/// Which order a command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// By our number.
    Id(OrderId),
    /// By the client's own id.
    Client(ClientId),
}

/// The number that a sender gives a command, and that the records which answer it carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Token(pub u64);

/// What an operator asks of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Trade no more: refuse new orders, cancel ours, and say in a record when none is left.
    Stop,
    /// Close all links and become quiet; the process is ending.
    Shutdown,
    /// A new order.
    Place {
        /// Answered under this number.
        token: Token,
        /// The client's own id, if it has one.
        client_id: Option<ClientId>,
        /// What is wanted.
        intent: Intent,
    },
    /// Take an order back.
    Cancel {
        /// Answered under this number.
        token: Token,
        /// Which one.
        order: OrderRef,
    },
    /// Take an order back and place another in its stead.
    Replace {
        /// Answered under this number.
        token: Token,
        /// Which one goes.
        order: OrderRef,
        /// The new one's own id, if it has one.
        client_id: Option<ClientId>,
        /// The new price.
        price: Ticks,
        /// The new quantity.
        qty: Lots,
    },
    /// Make an order smaller; it keeps its place in the queue.
    Amend {
        /// Answered under this number.
        token: Token,
        /// Which one.
        order: OrderRef,
        /// The new quantity, below the present one and above what traded.
        qty: Lots,
    },
    /// Take all our orders back.
    CancelAll {
        /// Answered under this number.
        token: Token,
        /// Of this instrument alone, or of all.
        instrument: Option<InstrumentIndex>,
    },
    /// Change what may be traded.
    SetTradingState {
        /// Answered under this number.
        token: Token,
        /// From now on.
        state: TradingState,
    },
    /// Halt, cancel everything, and stay so, also across restarts.
    TripKillSwitch {
        /// Answered under this number.
        token: Token,
    },
    /// Unlatch the kill switch.
    ResetKillSwitch {
        /// Answered under this number.
        token: Token,
    },
    /// Change limits, between two events.
    SetLimits {
        /// Answered under this number.
        token: Token,
        /// To what.
        change: LimitsChange,
    },
    /// The dead-man cancelled our orders while the core stood still: halt, and ask the venue what is left.
    DeadManFired {
        /// Answered under this number.
        token: Token,
    },
    /// Somebody else of ours asked the venue from the same address, as the dead-man does: its weight counts as ours.
    WeightSpent {
        /// Request weight.
        weight: u32,
    },
    /// Let the strategy act, or not; its orders stay.
    RunStrategy {
        /// Answered under this number.
        token: Token,
        /// Whether it may act.
        running: bool,
    },
    /// Publish the best levels of a book once, for somebody who looks at it.
    ShowBook {
        /// Answered under this number.
        token: Token,
        /// Which one.
        instrument: InstrumentIndex,
    },
}

impl Command {
    /// The number under which it is answered; `None` for those that end the run, and for what only tells.
    pub const fn token(&self) -> Option<Token> {
        match self {
            Self::Stop | Self::Shutdown | Self::WeightSpent { .. } => None,
            Self::Place { token, .. }
            | Self::Cancel { token, .. }
            | Self::Replace { token, .. }
            | Self::Amend { token, .. }
            | Self::CancelAll { token, .. }
            | Self::SetTradingState { token, .. }
            | Self::TripKillSwitch { token }
            | Self::ResetKillSwitch { token }
            | Self::SetLimits { token, .. }
            | Self::DeadManFired { token }
            | Self::RunStrategy { token, .. }
            | Self::ShowBook { token, .. } => Some(*token),
        }
    }
}

/// Everything that can wake the engine.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A connection that was asked for is up: TCP, TLS and websocket handshakes are done.
    LinkUp {
        /// Which one.
        link: LinkId,
    },
    /// A connection ended, or the attempt to make it failed.
    LinkDown {
        /// Which one.
        link: LinkId,
        /// Why.
        cause: LinkDown,
    },
    /// The venue refused a connection, because we asked too much or because it has banned our address: nothing came up.
    LinkRefused {
        /// Which one.
        link: LinkId,
        /// The HTTP status: 429, or 418 for a ban.
        status: u16,
        /// How long it asks to be left alone, if it says.
        pause: Option<Nanos>,
    },
    /// One whole websocket message. The venue sends text; a binary one is handed on as it came, and
    /// the codec calls it a fault.
    Message {
        /// The connection that carried it.
        link: LinkId,
        /// Its bytes.
        payload: Payload<'a>,
    },
    /// An order link has bytes that the kernel did not take (`true`), or has them no longer.
    LinkBlocked {
        /// Which one.
        link: LinkId,
        /// Whether new orders would wait behind them.
        blocked: bool,
    },
    /// An operator's command.
    Command(Command),
    /// A deadline that the engine named has passed.
    Tick,
    /// The records ring passed its high-water mark (`true`) or fell below it again (`false`).
    Backlog(bool),
    /// The offset of wall time to the engine's clock was measured: Unix nanoseconds at clock zero.
    WallClock {
        /// Unix time in nanoseconds when the engine's clock read zero.
        unix_ns_at_zero: i64,
    },
}
