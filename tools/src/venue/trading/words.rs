//! The venue's words for sides, types, states and modes.
//!
//! Owns: one table for each enum that is read from requests or printed into answers. Does not:
//! know parameters. Source: Binance Spot `enums.md`.

use super::super::exchange::{
    CancelRestriction, Execution, ExpiryReason, OrderSide, OrderStatus, OrderType, ReplaceMode,
    StpMode, TimeInForce,
};

/// A value with a word of the venue's.
pub(crate) trait Word: Copy + 'static {
    /// Every value that can be read.
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    /// The value of a word; `None` when there is none, upper and lower case being different.
    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

impl Word for OrderSide {
    const ALL: &'static [Self] = &[Self::Buy, Self::Sell];

    fn word(self) -> &'static str {
        match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
        }
    }
}

impl Word for OrderType {
    const ALL: &'static [Self] = &[Self::Limit, Self::LimitMaker, Self::Market];

    fn word(self) -> &'static str {
        match self {
            Self::Limit => "LIMIT",
            Self::LimitMaker => "LIMIT_MAKER",
            Self::Market => "MARKET",
        }
    }
}

impl Word for TimeInForce {
    const ALL: &'static [Self] = &[Self::Gtc, Self::Ioc, Self::Fok];

    fn word(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
        }
    }
}

impl Word for StpMode {
    const ALL: &'static [Self] = &[
        Self::None,
        Self::ExpireTaker,
        Self::ExpireMaker,
        Self::ExpireBoth,
        Self::Decrement,
        Self::Transfer,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::ExpireTaker => "EXPIRE_TAKER",
            Self::ExpireMaker => "EXPIRE_MAKER",
            Self::ExpireBoth => "EXPIRE_BOTH",
            Self::Decrement => "DECREMENT",
            Self::Transfer => "TRANSFER",
        }
    }
}

impl Word for OrderStatus {
    const ALL: &'static [Self] = &[
        Self::New,
        Self::PartiallyFilled,
        Self::Filled,
        Self::Canceled,
        Self::Rejected,
        Self::Expired,
        Self::ExpiredInMatch,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::PartiallyFilled => "PARTIALLY_FILLED",
            Self::Filled => "FILLED",
            Self::Canceled => "CANCELED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::ExpiredInMatch => "EXPIRED_IN_MATCH",
        }
    }
}

impl Word for Execution {
    const ALL: &'static [Self] = &[
        Self::New,
        Self::Trade,
        Self::Canceled,
        Self::Replaced,
        Self::Rejected,
        Self::Expired,
        Self::TradePrevention,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Trade => "TRADE",
            Self::Canceled => "CANCELED",
            Self::Replaced => "REPLACED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::TradePrevention => "TRADE_PREVENTION",
        }
    }
}

impl Word for ExpiryReason {
    const ALL: &'static [Self] = &[
        Self::UnfilledIoc,
        Self::UnfilledFok,
        Self::InsufficientLiquidity,
        Self::ExchangeCanceled,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::UnfilledIoc => "UNFILLED_IOC_QUANTITY_EXPIRED",
            Self::UnfilledFok => "UNFILLED_FOK_ORDER_EXPIRED",
            Self::InsufficientLiquidity => "INSUFFICIENT_LIQUIDITY",
            Self::ExchangeCanceled => "EXCHANGE_CANCELED",
        }
    }
}

impl Word for CancelRestriction {
    const ALL: &'static [Self] = &[Self::OnlyNew, Self::OnlyPartiallyFilled];

    fn word(self) -> &'static str {
        match self {
            Self::OnlyNew => "ONLY_NEW",
            Self::OnlyPartiallyFilled => "ONLY_PARTIALLY_FILLED",
        }
    }
}

impl Word for ReplaceMode {
    const ALL: &'static [Self] = &[Self::StopOnFailure, Self::AllowFailure];

    fn word(self) -> &'static str {
        match self {
            Self::StopOnFailure => "STOP_ON_FAILURE",
            Self::AllowFailure => "ALLOW_FAILURE",
        }
    }
}

/// How much a new order's answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseType {
    Ack,
    Result,
    Full,
}

impl Word for ResponseType {
    const ALL: &'static [Self] = &[Self::Ack, Self::Result, Self::Full];

    fn word(self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::Result => "RESULT",
            Self::Full => "FULL",
        }
    }
}

/// What a cancel-replace does when the account may place no more orders for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitExceeded {
    DoNothing,
    CancelOnly,
}

impl Word for LimitExceeded {
    const ALL: &'static [Self] = &[Self::DoNothing, Self::CancelOnly];

    fn word(self) -> &'static str {
        match self {
            Self::DoNothing => "DO_NOTHING",
            Self::CancelOnly => "CANCEL_ONLY",
        }
    }
}
