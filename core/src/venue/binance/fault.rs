//! What Binance can do wrong, and what we do about it: one table.
//!
//! Owns: [`VenueFault`], [`OnFault`], [`Fault`]. Does not: count, log or act; the engine does. What breaks
//! a connection before there is a message (a certificate that does not verify, a frame that is too big or
//! breaks the protocol, silence) is a [`LinkDown`](crate::event::LinkDown), counted by cause. All of those
//! have one answer: the link is replaced after a back-off, and a book that no other link feeds resyncs.
//! Invariant: every fault has exactly one label and one answer, both from this file.

use crate::instrument::InstrumentIndex;
use crate::units::DecimalError;
use std::fmt;

/// A kind of venue fault. The discriminant is its position in [`VenueFault::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum VenueFault {
    /// The message is no UTF-8 or no JSON, or is cut off.
    Malformed = 0,
    /// A key that we read stands twice in one object.
    DuplicateKey,
    /// A key that the message must have is not there.
    MissingField,
    /// A value is of another JSON type than the venue documents.
    WrongType,
    /// A price or quantity is no plain decimal: a sign, an exponent, `NaN`, a stray byte.
    NumberSyntax,
    /// A price or quantity is no multiple of the instrument's tick or lot size.
    NumberOffGrid,
    /// A number leaves the range of its unit.
    NumberRange,
    /// A price level at price zero.
    ZeroPrice,
    /// A trade of no quantity or at price zero, which some products send as a filler.
    EmptyTrade,
    /// The symbol is none of ours.
    UnknownInstrument,
    /// The stream's name and the symbol in the payload disagree.
    StreamMismatch,
    /// More levels on one side than `LEVELS_PER_SIDE_MAX`.
    TooManyLevels,
    /// The first id of a range is above its last.
    IdsReversed,
    /// A diff starts beyond the id after the last one: something is missing.
    SequenceGap,
    /// An update id or trade id is below one that was already seen.
    IdWentBack,
    /// The snapshot ends before the first buffered diff begins.
    SnapshotTooOld,
    /// More diffs arrived while waiting for a snapshot than the window holds.
    WindowFull,
    /// A request was not answered in time.
    ReplyTimeout,
    /// The best bid is at or above the best ask.
    CrossedBook,
    /// The best price of a book is not the one that the venue published for the same update id.
    TouchMismatch,
    /// The diffs of a live book stay behind an update id that the venue published before.
    StreamBehind,
    /// The venue's book moved on and not one diff came since the snapshot. Besides the resync a
    /// successor of the link is asked for, now and then: the stream may be dead on this one alone.
    StreamSilent,
    /// The venue refused a subscription.
    SubscribeRefused,
    /// The venue refused a request.
    RequestRefused,
    /// The venue says that we ask too much: HTTP-like status 429.
    RateLimited,
    /// The venue has banned our address: HTTP-like status 418. Whatever we send prolongs it.
    Banned,
    /// A word where the venue documents a closed set, and it is none of them: a side, a status, what a
    /// report tells.
    UnknownWord,
    /// More orders, trades or balances in one answer than there is room for.
    TooManyItems,
    /// An order's numbers contradict each other: more traded than ordered, or a fill of a key that the
    /// report does not have.
    OrderInconsistent,
    /// A request was sent, and whether the venue carried it out is unknown.
    OutcomeUnknown,
    /// The venue refused a request for its time: our idea of its clock is wrong.
    ClockRefused,
    /// The venue refused our key or signature.
    CredentialsRefused,
    /// The venue ended the session, or the key's permission.
    SessionRevoked,
    /// The user data events of a link have ended.
    StreamTerminated,
    /// The venue says that this connection serves no more such requests.
    LinkUnusable,
    /// The venue's balances are not what the positions say is held: a fill is in one and not in the other. If the
    /// venue's next list of balances does not cure it, trading halts.
    PositionDiffers,
}

/// What a fault makes the engine do. Every fault is counted; this is what happens besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OnFault {
    /// Nothing else: the message is dropped.
    CountAndDrop = 0,
    /// The instrument's book is not `Live` from now on; a new snapshot is asked for.
    Resync,
    /// The link is replaced, and every book that it fed resyncs.
    Reconnect,
    /// What the venue holds of ours is in doubt: open orders, account and trades are asked for.
    Reconcile,
    /// All links are closed, and nothing is asked or connected before the time that the venue named.
    Halt,
}

impl OnFault {
    /// All answers, in order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::CountAndDrop,
        Self::Resync,
        Self::Reconnect,
        Self::Reconcile,
        Self::Halt,
    ];

    /// The stable label of metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::CountAndDrop => "drop",
            Self::Resync => "resync",
            Self::Reconnect => "reconnect",
            Self::Reconcile => "reconcile",
            Self::Halt => "halt",
        }
    }
}

impl VenueFault {
    /// All kinds, in order of their discriminants.
    pub const ALL: [Self; 36] = [
        Self::Malformed,
        Self::DuplicateKey,
        Self::MissingField,
        Self::WrongType,
        Self::NumberSyntax,
        Self::NumberOffGrid,
        Self::NumberRange,
        Self::ZeroPrice,
        Self::EmptyTrade,
        Self::UnknownInstrument,
        Self::StreamMismatch,
        Self::TooManyLevels,
        Self::IdsReversed,
        Self::SequenceGap,
        Self::IdWentBack,
        Self::SnapshotTooOld,
        Self::WindowFull,
        Self::ReplyTimeout,
        Self::CrossedBook,
        Self::TouchMismatch,
        Self::StreamBehind,
        Self::StreamSilent,
        Self::SubscribeRefused,
        Self::RequestRefused,
        Self::RateLimited,
        Self::Banned,
        Self::UnknownWord,
        Self::TooManyItems,
        Self::OrderInconsistent,
        Self::OutcomeUnknown,
        Self::ClockRefused,
        Self::CredentialsRefused,
        Self::SessionRevoked,
        Self::StreamTerminated,
        Self::LinkUnusable,
        Self::PositionDiffers,
    ];

    /// The stable label of metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::DuplicateKey => "duplicate_key",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::NumberSyntax => "number_syntax",
            Self::NumberOffGrid => "number_off_grid",
            Self::NumberRange => "number_range",
            Self::ZeroPrice => "zero_price",
            Self::EmptyTrade => "empty_trade",
            Self::UnknownInstrument => "unknown_instrument",
            Self::StreamMismatch => "stream_mismatch",
            Self::TooManyLevels => "too_many_levels",
            Self::IdsReversed => "ids_reversed",
            Self::SequenceGap => "sequence_gap",
            Self::IdWentBack => "id_went_back",
            Self::SnapshotTooOld => "snapshot_too_old",
            Self::WindowFull => "window_full",
            Self::ReplyTimeout => "reply_timeout",
            Self::CrossedBook => "crossed_book",
            Self::TouchMismatch => "touch_mismatch",
            Self::StreamBehind => "stream_behind",
            Self::StreamSilent => "stream_silent",
            Self::SubscribeRefused => "subscribe_refused",
            Self::RequestRefused => "request_refused",
            Self::RateLimited => "rate_limited",
            Self::Banned => "banned",
            Self::UnknownWord => "unknown_word",
            Self::TooManyItems => "too_many_items",
            Self::OrderInconsistent => "order_inconsistent",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::ClockRefused => "clock_refused",
            Self::CredentialsRefused => "credentials_refused",
            Self::SessionRevoked => "session_revoked",
            Self::StreamTerminated => "stream_terminated",
            Self::LinkUnusable => "link_unusable",
            Self::PositionDiffers => "position_differs",
        }
    }

    /// The answer to this kind of fault.
    ///
    /// A depth message that we cannot read is a hole in the book, and if every one of them is
    /// unreadable (the tick size changed) no later id would ever show the gap: so a fault in a
    /// message of a known instrument resyncs it at once instead of waiting for the next diff.
    pub const fn response(self) -> OnFault {
        match self {
            Self::Malformed => OnFault::Reconnect,
            Self::DuplicateKey => OnFault::Resync,
            Self::MissingField => OnFault::Resync,
            Self::WrongType => OnFault::Resync,
            Self::NumberSyntax => OnFault::Resync,
            Self::NumberOffGrid => OnFault::Resync,
            Self::NumberRange => OnFault::Resync,
            Self::ZeroPrice => OnFault::Resync,
            Self::EmptyTrade => OnFault::CountAndDrop,
            Self::UnknownInstrument => OnFault::CountAndDrop,
            Self::StreamMismatch => OnFault::Reconnect,
            Self::TooManyLevels => OnFault::Resync,
            Self::IdsReversed => OnFault::Resync,
            Self::SequenceGap => OnFault::Resync,
            Self::IdWentBack => OnFault::CountAndDrop,
            Self::SnapshotTooOld => OnFault::Resync,
            Self::WindowFull => OnFault::Resync,
            Self::ReplyTimeout => OnFault::Resync,
            Self::CrossedBook => OnFault::Resync,
            Self::TouchMismatch => OnFault::Resync,
            Self::StreamBehind => OnFault::Resync,
            Self::StreamSilent => OnFault::Resync,
            Self::SubscribeRefused => OnFault::Reconnect,
            Self::RequestRefused => OnFault::Resync,
            Self::RateLimited => OnFault::CountAndDrop,
            Self::Banned => OnFault::Halt,
            Self::UnknownWord => OnFault::Reconcile,
            Self::TooManyItems => OnFault::Reconcile,
            Self::OrderInconsistent => OnFault::Reconcile,
            Self::OutcomeUnknown => OnFault::Reconcile,
            Self::ClockRefused => OnFault::CountAndDrop,
            // Trading stops ([`OnError::Stop`](super::order_error::OnError)); market data goes on.
            Self::CredentialsRefused => OnFault::CountAndDrop,
            Self::SessionRevoked => OnFault::Reconnect,
            Self::StreamTerminated => OnFault::Reconnect,
            Self::LinkUnusable => OnFault::Reconnect,
            Self::PositionDiffers => OnFault::Reconcile,
        }
    }

    /// Whether only the orders link can show it.
    pub const fn is_of_orders(self) -> bool {
        matches!(
            self,
            Self::UnknownWord
                | Self::TooManyItems
                | Self::OrderInconsistent
                | Self::OutcomeUnknown
                | Self::ClockRefused
                | Self::CredentialsRefused
                | Self::SessionRevoked
                | Self::StreamTerminated
                | Self::LinkUnusable
                | Self::PositionDiffers
        )
    }

    /// The answer to this kind of fault in a message of the orders link.
    ///
    /// What cannot be read there is a hole in what we know of our orders and not in a book: where a
    /// market-data message would resynchronise its book, the venue is asked for the account.
    pub const fn response_to_orders(self) -> OnFault {
        match self.response() {
            // Ours alone: the venue processed nothing.
            OnFault::Resync if matches!(self, Self::RequestRefused) => OnFault::CountAndDrop,
            OnFault::Resync => OnFault::Reconcile,
            // A filler in the public stream, a lost fill here.
            OnFault::CountAndDrop if matches!(self, Self::EmptyTrade) => OnFault::Reconcile,
            response @ (OnFault::CountAndDrop
            | OnFault::Reconnect
            | OnFault::Reconcile
            | OnFault::Halt) => response,
        }
    }
}

// Every kind has a counter of its own.
const _: () = assert!(VenueFault::ALL.len() <= crate::limits::FAULT_KINDS_MAX);

impl From<DecimalError> for VenueFault {
    fn from(error: DecimalError) -> Self {
        match error {
            DecimalError::Syntax => Self::NumberSyntax,
            DecimalError::OffGrid => Self::NumberOffGrid,
            DecimalError::Range => Self::NumberRange,
        }
    }
}

/// What else is known about a fault, for its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// The key at fault.
    Field(&'static str),
    /// Two ids that do not fit.
    Ids {
        /// The id that would have been right, or the bound that was passed.
        expected: u64,
        /// The id that came.
        got: u64,
    },
    /// The venue's error code.
    Code(i32),
}

/// One fault, with its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub kind: VenueFault,
    /// Whose message it was, where that is known.
    pub instrument: Option<InstrumentIndex>,
    /// What else is known.
    pub detail: Detail,
}

impl Fault {
    /// A fault of which only the kind is known.
    pub const fn new(kind: VenueFault) -> Self {
        Self {
            kind,
            instrument: None,
            detail: Detail::None,
        }
    }

    /// A fault of one key.
    pub const fn field(kind: VenueFault, name: &'static str) -> Self {
        Self {
            kind,
            instrument: None,
            detail: Detail::Field(name),
        }
    }

    /// A fault of two ids.
    pub const fn ids(kind: VenueFault, expected: u64, got: u64) -> Self {
        Self {
            kind,
            instrument: None,
            detail: Detail::Ids { expected, got },
        }
    }

    /// The same fault, laid at an instrument's door.
    pub const fn of(self, instrument: InstrumentIndex) -> Self {
        Self {
            instrument: Some(instrument),
            ..self
        }
    }

    /// The answer to this fault: that of its kind, except that what would resync an instrument
    /// replaces the link when it is not known which instrument was hit.
    pub const fn response(&self) -> OnFault {
        match (self.kind.response(), self.instrument) {
            (OnFault::Resync, None) => OnFault::Reconnect,
            (response, _) => response,
        }
    }
}

impl Fault {
    /// The answer to this fault in a message of the orders link.
    pub const fn response_to_orders(&self) -> OnFault {
        self.kind.response_to_orders()
    }
}

/// One line without the instrument's name, which only the table of instruments knows.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "binance: {}", self.kind.label())?;
        match self.detail {
            Detail::None => Ok(()),
            Detail::Field(name) => write!(f, " ({name})"),
            Detail::Ids { expected, got } => write!(f, " (expected {expected}, got {got})"),
            Detail::Code(code) => write!(f, " (code {code})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_its_labels_are_unique() {
        for (position, kind) in VenueFault::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
            assert!(
                VenueFault::ALL[..position]
                    .iter()
                    .all(|earlier| earlier.label() != kind.label())
            );
        }
        for answer in OnFault::ALL {
            assert!(
                VenueFault::ALL.iter().any(|kind| kind.response() == answer),
                "no fault is answered with {}",
                answer.label()
            );
        }
    }

    #[test]
    fn a_hole_in_what_we_know_of_our_orders_asks_the_venue() {
        for kind in VenueFault::ALL {
            let answer = kind.response_to_orders();
            assert_ne!(answer, OnFault::Resync, "{}", kind.label());
        }
        let fault = Fault::field(VenueFault::MissingField, "i");
        assert_eq!(fault.response_to_orders(), OnFault::Reconcile);
        let fault = Fault::new(VenueFault::EmptyTrade);
        assert_eq!(fault.response(), OnFault::CountAndDrop);
        assert_eq!(fault.response_to_orders(), OnFault::Reconcile);
        let fault = Fault::new(VenueFault::RequestRefused);
        assert_eq!(fault.response_to_orders(), OnFault::CountAndDrop);
        let fault = Fault::new(VenueFault::Malformed);
        assert_eq!(fault.response_to_orders(), OnFault::Reconnect);
    }

    #[test]
    fn a_hole_in_an_unknown_book_replaces_the_link() {
        let fault = Fault::field(VenueFault::MissingField, "s");
        assert_eq!(fault.response(), OnFault::Reconnect);
        assert_eq!(fault.of(InstrumentIndex(3)).response(), OnFault::Resync);
        assert_eq!(fault.to_string(), "binance: missing_field (s)");
    }
}
