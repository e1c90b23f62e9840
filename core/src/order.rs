//! The vocabulary of orders: what strategies, risk, the order machine and a venue's codec say to each other.
//!
//! Owns: sides, kinds, ids, [`Intent`], [`OrderState`], and the normalised reports of a venue. Does not:
//! decide anything; it holds values only. Trading modules and `venue` meet here and never import each other.
//!
//! Invariants: prices are in ticks, quantities in lots of their instrument, money and fees in 1e-8 units of
//! their asset; times that a venue stamped are [`VenueMillis`], ours are [`crate::units::Nanos`].

use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::units::{E8, Lots, Ticks, VenueMillis};
use std::fmt;

labelled! {
    /// Which way an order goes.
    pub enum Side {
        /// Base asset in, quote asset out.
        Buy = "BUY",
        /// Base asset out, quote asset in.
        Sell = "SELL",
    }
}

impl Side {
    /// The side that it trades against.
    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// `1` for a buy, `-1` for a sell.
    #[inline]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
}

labelled! {
    /// What an order may do to the book.
    pub enum OrderKind {
        /// At a price or better.
        Limit = "LIMIT",
        /// At any price; what finds no liquidity expires.
        Market = "MARKET",
        /// At a price, and refused when it would take (post-only).
        LimitMaker = "LIMIT_MAKER",
    }
}

labelled! {
    /// How long a limit order stands.
    pub enum TimeInForce {
        /// Until it is cancelled.
        Gtc = "GTC",
        /// What does not fill at once expires.
        Ioc = "IOC",
        /// All of it fills at once or all of it expires.
        Fok = "FOK",
    }
}

labelled! {
    /// What the venue does when an order would meet another of the same account; the taker's mode decides.
    pub enum SelfTradePrevention {
        /// Nothing: production symbols do not allow it.
        None = "NONE",
        /// The remainder of the taker expires.
        ExpireTaker = "EXPIRE_TAKER",
        /// The resting orders that it meets expire; the venue's default.
        ExpireMaker = "EXPIRE_MAKER",
        /// Both expire.
        ExpireBoth = "EXPIRE_BOTH",
        /// Both shrink by what would have traded.
        Decrement = "DECREMENT",
    }
}

labelled! {
    /// Who wants an order.
    pub enum Origin {
        /// The strategy.
        Strategy = "strategy",
        /// A person or a program, through a command.
        Operator = "operator",
    }
}

/// Our number of an order: unique for ever under one instance prefix, because no run is numbered twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    /// Which start of the instance made it, from the state file.
    pub run: u32,
    /// Counts up from 1 in that run.
    pub sequence: u32,
}

impl OrderId {
    /// Both numbers in one word, ordered as the ids are.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.run as u64) << 32 | self.sequence as u64
    }

    /// What [`OrderId::to_bits`] made.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            run: (bits >> 32) as u32,
            sequence: bits as u32,
        }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.sequence)
    }
}

/// Bytes of a client's own order id; the venue's bound too.
pub const CLIENT_ID_BYTES_MAX: usize = 36;

/// A client's own id of an order, `[A-Za-z0-9_-]{1,36}`: an alias in our records, never sent to a venue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    bytes: [u8; CLIENT_ID_BYTES_MAX],
    len: u8,
}

impl ClientId {
    /// An alias from text; `None` when it is empty, longer than 36 bytes or has any other character.
    pub fn new(text: &str) -> Option<Self> {
        let source = text.as_bytes();
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if source.is_empty() || source.len() > CLIENT_ID_BYTES_MAX || !source.iter().all(legal) {
            return None;
        }
        let mut bytes = [0; CLIENT_ID_BYTES_MAX];
        bytes[..source.len()].copy_from_slice(source);
        Some(Self {
            bytes,
            len: source.len() as u8,
        })
    }

    /// The alias's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("built from ASCII")
    }

    /// The alias's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An order that somebody wants: not yet looked at by risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What is to be traded.
    pub instrument: InstrumentIndex,
    /// Which way.
    pub side: Side,
    /// What it may do to the book.
    pub kind: OrderKind,
    /// How long it stands; [`TimeInForce::Gtc`] for the other kinds than [`OrderKind::Limit`].
    pub time_in_force: TimeInForce,
    /// At what price; zero for [`OrderKind::Market`].
    pub price: Ticks,
    /// How much.
    pub qty: Lots,
    /// What happens when it meets an order of ours.
    pub self_trade_prevention: SelfTradePrevention,
    /// Who wants it.
    pub origin: Origin,
}

labelled! {
    /// How an order ended.
    pub enum DoneReason {
        /// All of it traded.
        Filled = "filled",
        /// Taken back, by us or by hand.
        Cancelled = "cancelled",
        /// Never accepted.
        Rejected = "rejected",
        /// By its own terms or by the venue.
        Expired = "expired",
        /// By self-trade prevention.
        ExpiredInMatch = "expired_in_match",
    }
}

/// Where an order stands; the transitions are the table of `oms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderState {
    /// Risk let it through; its bytes wait for the kernel. Its exposure counts from here on.
    Admitted,
    /// The kernel took it; nothing is known of the venue's answer.
    Sent,
    /// The venue holds it, nothing traded yet.
    Live,
    /// The venue holds it, some of it traded.
    PartiallyFilled,
    /// The venue holds it, and a cancel of ours is under way.
    CancelSent,
    /// The venue holds it, and an amend or a replacement of ours is under way.
    ReplaceSent,
    /// Whether the venue holds it is unknown; it counts in full until the venue says.
    Unresolved,
    /// Over.
    Done(DoneReason),
}

impl OrderState {
    /// All states, those that are over last.
    pub const ALL: [Self; 12] = [
        Self::Admitted,
        Self::Sent,
        Self::Live,
        Self::PartiallyFilled,
        Self::CancelSent,
        Self::ReplaceSent,
        Self::Unresolved,
        Self::Done(DoneReason::Filled),
        Self::Done(DoneReason::Cancelled),
        Self::Done(DoneReason::Rejected),
        Self::Done(DoneReason::Expired),
        Self::Done(DoneReason::ExpiredInMatch),
    ];

    /// The state as a number, its position in [`OrderState::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Self::Admitted => 0,
            Self::Sent => 1,
            Self::Live => 2,
            Self::PartiallyFilled => 3,
            Self::CancelSent => 4,
            Self::ReplaceSent => 5,
            Self::Unresolved => 6,
            Self::Done(reason) => 7 + reason as usize,
        }
    }

    /// The stable label of metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Sent => "sent",
            Self::Live => "live",
            Self::PartiallyFilled => "partially_filled",
            Self::CancelSent => "cancel_sent",
            Self::ReplaceSent => "replace_sent",
            Self::Unresolved => "unresolved",
            Self::Done(reason) => reason.label(),
        }
    }

    /// Whether nothing can happen to it any more.
    #[inline]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// Whose order a venue's message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKey {
    /// One that this instance made, in this run or an earlier one.
    Ours(OrderId),
    /// Somebody else's: placed by hand or by another instance on the same account.
    Foreign,
}

labelled! {
    /// What an execution report tells (`x`).
    pub enum ExecutionKind {
        /// The venue accepted the order.
        New = "NEW",
        /// A fill.
        Trade = "TRADE",
        /// It was cancelled.
        Canceled = "CANCELED",
        /// It was amended.
        Replaced = "REPLACED",
        /// It was refused by the matching engine.
        Rejected = "REJECTED",
        /// It ended by its terms or by the venue.
        Expired = "EXPIRED",
        /// Self-trade prevention acted.
        TradePrevention = "TRADE_PREVENTION",
    }
}

labelled! {
    /// Where the venue says that an order stands (`X`, `status`).
    pub enum VenueStatus {
        /// Accepted, nothing traded.
        New = "NEW",
        /// Waits for another order of its list.
        PendingNew = "PENDING_NEW",
        /// Some of it traded.
        PartiallyFilled = "PARTIALLY_FILLED",
        /// All of it traded.
        Filled = "FILLED",
        /// Cancelled by its owner.
        Canceled = "CANCELED",
        /// Being cancelled (the venue says that it does not use it).
        PendingCancel = "PENDING_CANCEL",
        /// Refused.
        Rejected = "REJECTED",
        /// Ended by its terms or by the venue.
        Expired = "EXPIRED",
        /// Ended by self-trade prevention.
        ExpiredInMatch = "EXPIRED_IN_MATCH",
    }
}

impl VenueStatus {
    /// How the order ended; `None` while the venue still holds it.
    pub const fn done(self) -> Option<DoneReason> {
        match self {
            Self::New | Self::PendingNew | Self::PartiallyFilled | Self::PendingCancel => None,
            Self::Filled => Some(DoneReason::Filled),
            Self::Canceled => Some(DoneReason::Cancelled),
            Self::Rejected => Some(DoneReason::Rejected),
            Self::Expired => Some(DoneReason::Expired),
            Self::ExpiredInMatch => Some(DoneReason::ExpiredInMatch),
        }
    }
}

/// One fill, told by a report, an answer, or the list of trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The venue's number of the trade, unique for its instrument.
    pub trade_id: u64,
    /// At what price; positive.
    pub price: Ticks,
    /// How much; positive.
    pub qty: Lots,
    /// What the venue took for it, in the fee asset; not negative.
    pub fee: E8,
    /// In which asset; `None` when the venue names none because it took nothing, or when it is none of ours:
    /// a fill is told all the same, and the codec counts it.
    pub fee_asset: Option<AssetIndex>,
    /// Whether our order rested.
    pub is_maker: bool,
    /// When the venue matched it.
    pub at: VenueMillis,
}

/// One `executionReport` of the user data stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionReport {
    /// What is traded.
    pub instrument: InstrumentIndex,
    /// Whose order it is.
    pub key: OrderKey,
    /// The venue's id of the order, unique for its instrument.
    pub venue_order_id: u64,
    /// What happened.
    pub kind: ExecutionKind,
    /// Where the order stands now.
    pub status: VenueStatus,
    /// Which way it goes.
    pub side: Side,
    /// Its price; zero for market orders.
    pub price: Ticks,
    /// Its quantity, amends included (`q`).
    pub qty: Lots,
    /// How much of it traded so far (`z`).
    pub executed: Lots,
    /// How much self-trade prevention took from it so far (`A`); zero when the report names none.
    pub prevented: Lots,
    /// The fill, when `kind` is [`ExecutionKind::Trade`].
    pub fill: Option<Fill>,
    /// Counts up over all executions of the instrument (`I`).
    pub execution_id: u64,
    /// When it happened (`T`).
    pub transacted: VenueMillis,
    /// When it was told (`E`).
    pub event: VenueMillis,
}

/// One order as an answer shows it: `order.status`, `openOrders.status`, a cancel's or a placement's RESULT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderStatus {
    /// What is traded.
    pub instrument: InstrumentIndex,
    /// Whose order it is.
    pub key: OrderKey,
    /// The venue's id of the order.
    pub venue_order_id: u64,
    /// Where it stands.
    pub status: VenueStatus,
    /// Which way it goes.
    pub side: Side,
    /// Its price; zero for market orders.
    pub price: Ticks,
    /// Its quantity, amends included.
    pub qty: Lots,
    /// How much of it traded so far.
    pub executed: Lots,
    /// When it last changed (`updateTime` or `transactTime`).
    pub updated: VenueMillis,
}

/// One own trade as the list of trades shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnTrade {
    /// What was traded.
    pub instrument: InstrumentIndex,
    /// The venue's id of the order.
    pub venue_order_id: u64,
    /// Which way the order went.
    pub side: Side,
    /// The fill.
    pub fill: Fill,
}

/// Absolute amounts of one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which asset.
    pub asset: AssetIndex,
    /// Free to use.
    pub free: E8,
    /// Bound in open orders.
    pub locked: E8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_ids_survive_their_numbers() {
        for (position, state) in OrderState::ALL.into_iter().enumerate() {
            assert_eq!(state.index(), position);
        }
        let id = OrderId {
            run: 7,
            sequence: u32::MAX,
        };
        assert_eq!(OrderId::from_bits(id.to_bits()), id);
        assert!(
            id.to_bits()
                < OrderId {
                    run: 8,
                    sequence: 1
                }
                .to_bits()
        );
    }

    #[test]
    fn aliases_are_bounded_and_plain() {
        let longest = "a".repeat(CLIENT_ID_BYTES_MAX);
        for good in ["web-1708689600123", "A_b-9", longest.as_str()] {
            assert_eq!(ClientId::new(good).expect("legal").as_str(), good);
        }
        let too_long = "a".repeat(CLIENT_ID_BYTES_MAX + 1);
        for bad in ["", "a b", "a\nb", "ä", "a.b", too_long.as_str()] {
            assert!(ClientId::new(bad).is_none(), "{bad:?}");
        }
    }
}
