//! What Binance's refusals mean for an order, and what the engine does about them: one table.
//!
//! Owns: [`ErrorKind`], [`OnError`], [`Cause`], the table [`ERRORS`], and [`classify`]. Does not: count or act.
//! Sources: the venue's `errors.md` and `web-socket-api.md` of 2026-07-21, by section name.
//!
//! Invariants: every code has one meaning; what the table does not name is never taken for a refusal
//! when the venue says that the outcome is open (status 5xx). A refusal is definite only where the venue
//! says that the request did not reach the matching engine, or that the engine refused it.

use crate::units::Nanos;
use crate::venue::binance::fault::VenueFault;

labelled! {
    /// What a refusal means.
    pub enum ErrorKind {
        /// The order, the cancel or the amend was refused, for certain.
        Rejected = "rejected",
        /// The request itself is wrong and was not processed: a defect of ours.
        BadRequest = "bad_request",
        /// Whether it was done is unknown.
        Unknown = "unknown",
        /// The request's time is outside the window: our idea of the venue's clock is wrong.
        Clock = "clock",
        /// Too many requests or connections.
        RateLimited = "rate_limited",
        /// Too many unfilled orders in one of the windows.
        OrderCount = "order_count",
        /// Our address is banned; whatever we send prolongs it.
        Banned = "banned",
        /// The venue knows no such open order: it is over, or never came to be.
        UnknownOrder = "unknown_order",
        /// The session or the key is no longer valid.
        SessionRevoked = "session_revoked",
        /// The key or the signature is wrong.
        BadCredentials = "bad_credentials",
        /// The venue is overloaded; whether it was done is unknown.
        Overloaded = "overloaded",
        /// This connection serves no more requests of this kind.
        LinkUnusable = "link_unusable",
        /// The user data events are subscribed to already.
        AlreadySubscribed = "already_subscribed",
    }
}

labelled! {
    /// What the engine does about a refusal.
    pub enum OnError {
        /// Ends the order as rejected, or leaves it as it was if the cancel or amend was refused.
        Refuse = "refuse",
        /// Asks the venue for the order; until then it counts in full.
        Ask = "ask",
        /// Measures the venue's clock; a new order, an amend and a replacement are sent once more then unless their orders
        /// changed or may not be sent any more, a cancel a few times, and what else was asked is asked anew by who needs it.
        ResyncClock = "resync_clock",
        /// Sends nothing of the kind before the time or the window that the venue named.
        Wait = "wait",
        /// Closes all links until the time that the venue named.
        Halt = "halt",
        /// Replaces the link, logs on anew and reconciles.
        Reconnect = "reconnect",
        /// Stops trading until an operator has looked at it.
        Stop = "stop",
        /// Nothing: what was wanted is so.
        CarryOn = "carry_on",
    }
}

impl ErrorKind {
    /// What the engine does.
    pub const fn answer(self) -> OnError {
        match self {
            Self::Rejected => OnError::Refuse,
            Self::BadRequest => OnError::Refuse,
            Self::Unknown => OnError::Ask,
            Self::Clock => OnError::ResyncClock,
            Self::RateLimited => OnError::Wait,
            Self::OrderCount => OnError::Wait,
            Self::Banned => OnError::Halt,
            Self::UnknownOrder => OnError::Ask,
            Self::SessionRevoked => OnError::Reconnect,
            Self::BadCredentials => OnError::Stop,
            Self::Overloaded => OnError::Ask,
            Self::LinkUnusable => OnError::Reconnect,
            Self::AlreadySubscribed => OnError::CarryOn,
        }
    }

    /// Whether the request was certainly not carried out: an order refused so ends as rejected.
    pub const fn is_definite(self) -> bool {
        match self {
            Self::Rejected
            | Self::BadRequest
            | Self::Clock
            | Self::RateLimited
            | Self::OrderCount
            | Self::Banned
            | Self::UnknownOrder
            | Self::SessionRevoked
            | Self::BadCredentials
            | Self::AlreadySubscribed => true,
            Self::Unknown | Self::Overloaded | Self::LinkUnusable => false,
        }
    }

    /// The fault that it is counted as; `None` for what trading meets every day.
    pub const fn fault(self) -> Option<VenueFault> {
        match self {
            Self::Rejected | Self::UnknownOrder | Self::AlreadySubscribed => None,
            Self::BadRequest => Some(VenueFault::RequestRefused),
            Self::Unknown | Self::Overloaded => Some(VenueFault::OutcomeUnknown),
            Self::Clock => Some(VenueFault::ClockRefused),
            Self::RateLimited | Self::OrderCount => Some(VenueFault::RateLimited),
            Self::Banned => Some(VenueFault::Banned),
            Self::SessionRevoked => Some(VenueFault::SessionRevoked),
            Self::BadCredentials => Some(VenueFault::CredentialsRefused),
            Self::LinkUnusable => Some(VenueFault::LinkUnusable),
        }
    }
}

labelled! {
    /// What the venue's words say beyond the code: it refuses for many reasons under few codes.
    pub enum Cause {
        /// Nothing that we recognise.
        Unnamed = "unnamed",
        /// The account does not hold what the order needs.
        InsufficientBalance = "insufficient_balance",
        /// A maker-only order would have taken.
        WouldMatch = "would_match",
        /// An open order has this client id: an earlier request was accepted.
        DuplicateOrder = "duplicate_order",
        /// There is no such open order.
        UnknownOrder = "unknown_order",
        /// The symbol does not trade now.
        MarketClosed = "market_closed",
        /// A filter of the symbol refused it.
        Filter = "filter",
        /// The symbol does not allow this mode of self-trade prevention.
        SelfTradeMode = "self_trade_mode",
        /// The account or the key may not do this.
        NotPermitted = "not_permitted",
        /// The symbol does not take this kind of request.
        NotSupported = "not_supported",
        /// Price x quantity is zero at the venue's precision.
        ZeroNotional = "zero_notional",
        /// The cancel was bound to a status that the order is not in.
        CancelRestricted = "cancel_restricted",
        /// An amend would change nothing, or would not make the order smaller.
        NoReduction = "no_reduction",
        /// The book is too thin for the order.
        Illiquid = "illiquid",
        /// A stop order's condition holds already.
        WouldTrigger = "would_trigger",
    }
}

/// One code of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// The venue's code.
    pub code: i32,
    /// What it means to us.
    pub kind: ErrorKind,
    /// The venue's name of it.
    pub name: &'static str,
    /// Why it means that.
    pub reason: &'static str,
}

/// One row a line: code, meaning, the venue's name, why.
macro_rules! rows {
    ($($code:literal $kind:ident $name:ident $reason:literal)+) => {
        [$(ErrorRow {
            code: $code,
            kind: ErrorKind::$kind,
            name: stringify!($name),
            reason: $reason,
        }),+]
    };
}

/// All codes that answers on the orders link are known to carry, from the highest down.
pub const ERRORS: [ErrorRow; 52] = rows! {
    -1000 Unknown UNKNOWN "an unknown error while processing"
    -1001 Unknown DISCONNECTED "internal error; not said to be unprocessed"
    -1002 BadCredentials UNAUTHORIZED "not authorized for the request"
    -1003 RateLimited TOO_MANY_REQUESTS "refused before processing"
    -1006 Unknown UNEXPECTED_RESP "execution status unknown"
    -1007 Unknown TIMEOUT "execution status unknown"
    -1008 Overloaded SERVER_BUSY "for an order the outcome is to be asked"
    -1013 Rejected INVALID_MESSAGE "did not reach the matching engine"
    -1014 Rejected UNKNOWN_ORDER_COMPOSITION "unsupported combination"
    -1015 OrderCount TOO_MANY_ORDERS "refused before the engine"
    -1016 LinkUnusable SERVICE_SHUTTING_DOWN "no longer available here"
    -1020 BadRequest UNSUPPORTED_OPERATION "not supported"
    -1021 Clock INVALID_TIMESTAMP "outside recvWindow or ahead of the venue"
    -1022 BadCredentials INVALID_SIGNATURE "the signature is not valid"
    -1034 RateLimited TOO_MANY_CONNECTIONS "too many connections"
    -1100 BadRequest ILLEGAL_CHARS "a parameter is malformed"
    -1101 BadRequest TOO_MANY_PARAMETERS "more than the method takes"
    -1102 BadRequest MANDATORY_PARAM_EMPTY_OR_MALFORMED "one is missing"
    -1103 BadRequest UNKNOWN_PARAM "the method takes no such parameter"
    -1104 BadRequest UNREAD_PARAMETERS "some were not read"
    -1105 BadRequest PARAM_EMPTY "a parameter is empty"
    -1106 BadRequest PARAM_NOT_REQUIRED "a parameter does not belong here"
    -1108 BadRequest PARAM_OVERFLOW "a number is too large"
    -1111 BadRequest BAD_PRECISION "more places than the symbol takes"
    -1112 Rejected NO_DEPTH "no orders on the book"
    -1114 BadRequest TIF_NOT_REQUIRED "time in force does not belong here"
    -1115 BadRequest INVALID_TIF "no such time in force"
    -1116 BadRequest INVALID_ORDER_TYPE "no such order type"
    -1117 BadRequest INVALID_SIDE "no such side"
    -1118 BadRequest EMPTY_NEW_CL_ORD_ID "the new client id is empty"
    -1119 BadRequest EMPTY_ORG_CL_ORD_ID "the old client id is empty"
    -1121 BadRequest BAD_SYMBOL "the venue has no such symbol any more"
    -1128 BadRequest OPTIONAL_PARAMS_BAD_COMBO "they exclude each other"
    -1130 BadRequest INVALID_PARAMETER "a value is not valid"
    -1135 BadRequest INVALID_JSON "the request is no JSON"
    -1145 BadRequest INVALID_CANCEL_RESTRICTIONS "no such restriction"
    -1194 BadRequest INVALID_TIME_UNIT "no such time unit"
    -2010 Rejected NEW_ORDER_REJECTED "the matching engine refused it"
    -2011 UnknownOrder CANCEL_REJECTED "mostly: no such open order"
    -2013 UnknownOrder NO_SUCH_ORDER "a query, which may lag the engine"
    -2014 BadCredentials BAD_API_KEY_FMT "the key's format is wrong"
    -2015 SessionRevoked REJECTED_MBX_KEY "key, address or permission"
    -2016 Rejected NO_TRADING_WINDOW "the symbol has no trading window"
    -2021 Unknown CANCEL_REPLACE_PARTIAL "half done, if its data is missing"
    -2022 Unknown CANCEL_REPLACE_FAILED "the data says which half, if there"
    -2026 UnknownOrder ORDER_ARCHIVED "over for 90 days without a fill"
    -2035 AlreadySubscribed SUBSCRIPTION_ACTIVE "one a connection"
    -2036 LinkUnusable SUBSCRIPTION_INACTIVE "the events have ended"
    -2038 Rejected ORDER_AMEND_REJECTED "the order stays as it was"
    -2039 BadRequest CLIENT_ORDER_ID_INVALID "both ids, of two orders"
    -2042 LinkUnusable MAXIMUM_SUBSCRIPTION_IDS "none left on the connection"
    -2043 Rejected NO_REFERENCE_PRICE "the symbol has none"
};

/// Words of the venue that name a cause; the first that stands in the message counts.
const CAUSES: [(&str, Cause); 24] = [
    ("insufficient balance", Cause::InsufficientBalance),
    ("immediately match and take", Cause::WouldMatch),
    ("Duplicate order sent", Cause::DuplicateOrder),
    ("Unknown order sent", Cause::UnknownOrder),
    ("Order does not exist", Cause::UnknownOrder),
    ("Market is closed", Cause::MarketClosed),
    ("Filter failure", Cause::Filter),
    ("self-trade prevention mode", Cause::SelfTradeMode),
    ("not permitted for this account", Cause::NotPermitted),
    ("restricted for this account", Cause::NotPermitted),
    ("disabled on this account", Cause::NotPermitted),
    ("may not place or cancel orders", Cause::NotPermitted),
    ("trading is not enabled", Cause::NotPermitted),
    ("permissions for action", Cause::NotPermitted),
    ("Price * QTY is zero", Cause::ZeroNotional),
    ("due to cancel restrictions", Cause::CancelRestricted),
    ("would change no state", Cause::NoReduction),
    ("(quantity increase)", Cause::NoReduction),
    ("liquidity is", Cause::Illiquid),
    ("would trigger immediately", Cause::WouldTrigger),
    ("Unsupported order combination", Cause::NotSupported),
    ("not supported", Cause::NotSupported),
    ("are not support for", Cause::NotSupported),
    ("may not use pegged price", Cause::NotSupported),
];

/// A refusal, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The venue's code.
    pub code: i32,
    /// What it means.
    pub kind: ErrorKind,
    /// What its words say besides.
    pub cause: Cause,
    /// The window whose limit was passed, when the words name it: "… per 10 SECOND."
    pub window: Option<Nanos>,
}

/// What an answer with this status, code and message means.
///
/// Status 418 and 5xx say more than any code: a ban, and an open outcome. Of the other statuses those
/// above 400 help where the table does not know the code; a plain 400 is then a refusal, since the
/// venue reserves 4xx for requests that are at fault.
pub fn classify(status: u16, code: i32, message: &str) -> Refusal {
    let cause = cause(message);
    let listed = ERRORS
        .iter()
        .find(|row| row.code == code)
        .map(|row| row.kind);
    let kind = match (status, listed) {
        (418, _) => ErrorKind::Banned,
        (500.., Some(ErrorKind::Overloaded)) => ErrorKind::Overloaded,
        (500.., _) => ErrorKind::Unknown,
        // Only a session may leave the key out, so the session is no more.
        (_, Some(ErrorKind::BadRequest))
            if code == MISSING_PARAMETER && message.contains("'apiKey'") =>
        {
            ErrorKind::SessionRevoked
        }
        (_, Some(ErrorKind::RateLimited)) if message.contains("banned until") => ErrorKind::Banned,
        (_, Some(ErrorKind::UnknownOrder))
            if code == CANCEL_REJECTED
                && !matches!(cause, Cause::UnknownOrder | Cause::Unnamed) =>
        {
            ErrorKind::Rejected
        }
        // An order of ours stands under this id: the request before was accepted after all.
        (_, Some(ErrorKind::Rejected)) if cause == Cause::DuplicateOrder => ErrorKind::Unknown,
        (_, Some(kind)) => kind,
        (401, None) => ErrorKind::SessionRevoked,
        (403, None) => ErrorKind::BadRequest,
        (409, None) => ErrorKind::Unknown,
        (429, None) => ErrorKind::RateLimited,
        (400..=499, None) => ErrorKind::Rejected,
        (_, None) => ErrorKind::Unknown,
    };
    Refusal {
        code,
        kind,
        cause,
        window: window(message),
    }
}

const CANCEL_REJECTED: i32 = -2011;
const MISSING_PARAMETER: i32 = -1102;

fn cause(message: &str) -> Cause {
    CAUSES
        .iter()
        .find(|(words, _)| message.contains(words))
        .map_or(Cause::Unnamed, |(_, cause)| *cause)
}

/// The window in "… 50 orders per 10 SECOND."; one unit where no number stands before it.
fn window(message: &str) -> Option<Nanos> {
    let (_, after) = message.split_once(" per ")?;
    let mut words = after.split(|byte: char| !byte.is_ascii_alphanumeric());
    let first = words.next()?;
    match first.parse::<u32>() {
        Ok(count) => span(words.next()?, count),
        Err(_) => span(first, 1),
    }
}

/// A number of the venue's intervals; `None` for a word that is none of them.
pub(in crate::venue::binance) fn span(interval: &str, count: u32) -> Option<Nanos> {
    let seconds = match interval {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 3_600,
        "DAY" => 86_400,
        _ => return None,
    };
    Some(Nanos::from_secs(u64::from(count) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_each_row_is_what_its_code_means() {
        for pair in ERRORS.windows(2) {
            assert!(pair[0].code > pair[1].code, "{}", pair[1].code);
        }
        for row in ERRORS {
            let refusal = classify(400, row.code, "words that nobody knows");
            assert_eq!(refusal.kind, row.kind, "{}", row.name);
            assert_eq!(refusal.cause, Cause::Unnamed);
            assert_eq!(refusal.window, None);
            assert!(!row.name.is_empty() && !row.reason.is_empty());
        }
        for kind in ErrorKind::ALL {
            assert!(ERRORS.iter().any(|row| row.kind == kind) || kind == ErrorKind::Banned);
        }
        for answer in OnError::ALL {
            assert!(ErrorKind::ALL.iter().any(|kind| kind.answer() == answer));
        }
    }

    #[test]
    fn an_outcome_that_is_open_is_never_definite() {
        for row in ERRORS {
            let kind = classify(503, row.code, "").kind;
            assert!(!kind.is_definite(), "{}", row.name);
            assert_eq!(kind.answer(), OnError::Ask);
            assert_eq!(kind.fault(), Some(VenueFault::OutcomeUnknown));
        }
        for status in [409, 500, 502, 503, 504, 599, 200, 301] {
            assert!(!classify(status, -9_999, "").kind.is_definite(), "{status}");
        }
    }

    #[test]
    fn the_status_speaks_where_the_code_is_new() {
        let cases = [
            (400, ErrorKind::Rejected),
            (401, ErrorKind::SessionRevoked),
            (403, ErrorKind::BadRequest),
            (409, ErrorKind::Unknown),
            (418, ErrorKind::Banned),
            (422, ErrorKind::Rejected),
            (429, ErrorKind::RateLimited),
            (500, ErrorKind::Unknown),
        ];
        for (status, expected) in cases {
            assert_eq!(classify(status, -9_999, "").kind, expected, "{status}");
        }
        assert_eq!(classify(418, -1003, "").kind, ErrorKind::Banned);
        assert_eq!(classify(429, -1015, "").kind, ErrorKind::OrderCount);
        assert_eq!(classify(401, -2015, "").kind, ErrorKind::SessionRevoked);
        assert_eq!(classify(503, -1008, "").kind, ErrorKind::Overloaded);
        let missing = |name: &str| format!("Mandatory parameter '{name}' was not sent.");
        let kind = |name| classify(400, -1102, &missing(name)).kind;
        assert_eq!(kind("apiKey"), ErrorKind::SessionRevoked);
        assert_eq!(kind("symbol"), ErrorKind::BadRequest);
    }

    #[test]
    fn the_venues_words_are_read() {
        let cases = [
            (
                -2010,
                "Account has insufficient balance for requested action.",
                ErrorKind::Rejected,
                Cause::InsufficientBalance,
            ),
            (
                -2010,
                "Order would immediately match and take.",
                ErrorKind::Rejected,
                Cause::WouldMatch,
            ),
            (
                -2010,
                "Duplicate order sent.",
                ErrorKind::Unknown,
                Cause::DuplicateOrder,
            ),
            (
                -2010,
                "Market is closed.",
                ErrorKind::Rejected,
                Cause::MarketClosed,
            ),
            (
                -2010,
                "Order would trigger immediately.",
                ErrorKind::Rejected,
                Cause::WouldTrigger,
            ),
            (
                -2010,
                "This symbol is not permitted for this account.",
                ErrorKind::Rejected,
                Cause::NotPermitted,
            ),
            (
                -2010,
                "This symbol is restricted for this account.",
                ErrorKind::Rejected,
                Cause::NotPermitted,
            ),
            (
                -2010,
                "This action is disabled on this account.",
                ErrorKind::Rejected,
                Cause::NotPermitted,
            ),
            (
                -2010,
                "This account may not place or cancel orders.",
                ErrorKind::Rejected,
                Cause::NotPermitted,
            ),
            (
                -2010,
                "WebSocket API trading is not enabled.",
                ErrorKind::Rejected,
                Cause::NotPermitted,
            ),
            (
                -2010,
                "Unsupported order combination",
                ErrorKind::Rejected,
                Cause::NotSupported,
            ),
            (
                -2010,
                "Market orders are not supported for this symbol.",
                ErrorKind::Rejected,
                Cause::NotSupported,
            ),
            (
                -2010,
                "Quote order qty market orders are not support for this symbol.",
                ErrorKind::Rejected,
                Cause::NotSupported,
            ),
            (
                -2010,
                "This order type may not use pegged price.",
                ErrorKind::Rejected,
                Cause::NotSupported,
            ),
            (
                -2010,
                "Price * QTY is zero or less.",
                ErrorKind::Rejected,
                Cause::ZeroNotional,
            ),
            (
                -2010,
                "Order book liquidity is less than symbol minimum quantity.",
                ErrorKind::Rejected,
                Cause::Illiquid,
            ),
            (
                -2010,
                "Order book liquidity is too low for this pegged order.",
                ErrorKind::Rejected,
                Cause::Illiquid,
            ),
            (
                -2011,
                "Unknown order sent.",
                ErrorKind::UnknownOrder,
                Cause::UnknownOrder,
            ),
            (
                -2011,
                "Order was not canceled due to cancel restrictions.",
                ErrorKind::Rejected,
                Cause::CancelRestricted,
            ),
            (
                -2011,
                "Market is closed.",
                ErrorKind::Rejected,
                Cause::MarketClosed,
            ),
            (
                -2013,
                "Order does not exist.",
                ErrorKind::UnknownOrder,
                Cause::UnknownOrder,
            ),
            (
                -2015,
                "Invalid API-key, IP, or permissions for action.",
                ErrorKind::SessionRevoked,
                Cause::NotPermitted,
            ),
            (
                -2038,
                "The requested action would change no state; rejecting",
                ErrorKind::Rejected,
                Cause::NoReduction,
            ),
            (
                -2038,
                "Order amend (quantity increase) is not supported.",
                ErrorKind::Rejected,
                Cause::NoReduction,
            ),
            (
                -1013,
                "Filter failure: PRICE_FILTER",
                ErrorKind::Rejected,
                Cause::Filter,
            ),
            (
                -1013,
                "This symbol does not allow the specified self-trade prevention mode.",
                ErrorKind::Rejected,
                Cause::SelfTradeMode,
            ),
            (
                -1003,
                "Way too much request weight used; IP banned until 1659146400000. Please use WebSocket Streams for live updates to avoid bans.",
                ErrorKind::Banned,
                Cause::Unnamed,
            ),
        ];
        for (code, message, kind, cause) in cases {
            let refusal = classify(400, code, message);
            assert_eq!((refusal.kind, refusal.cause), (kind, cause), "{message}");
        }
        for cause in Cause::ALL {
            assert!(cause == Cause::Unnamed || CAUSES.iter().any(|(_, named)| *named == cause));
        }
    }

    #[test]
    fn the_window_of_a_limit_is_read_from_the_words() {
        let cases = [
            (
                "Too many new orders; current limit is 50 orders per 10 SECOND.",
                Some(10),
            ),
            (
                "Too many new orders; current limit is 200000 orders per 1 DAY.",
                Some(86_400),
            ),
            (
                "Too many new orders; current limit is 100 orders per DAY",
                Some(86_400),
            ),
            (
                "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please",
                Some(60),
            ),
            ("per 2 HOUR", None),
            ("x per 2 HOUR", Some(7_200)),
            ("orders per fortnight", None),
            ("orders per 99999999999 SECOND", None),
            ("orders per ", None),
            ("Too many new orders.", None),
        ];
        for (message, seconds) in cases {
            let expected = seconds.map(Nanos::from_secs);
            assert_eq!(classify(429, -1015, message).window, expected, "{message}");
        }
    }

    #[test]
    fn what_is_counted_as_a_fault_has_a_kind() {
        assert_eq!(ErrorKind::Rejected.fault(), None);
        assert_eq!(ErrorKind::Clock.fault(), Some(VenueFault::ClockRefused));
        for kind in ErrorKind::ALL {
            if kind.answer() != OnError::Refuse && kind.fault().is_none() {
                assert!(matches!(
                    kind,
                    ErrorKind::UnknownOrder | ErrorKind::AlreadySubscribed
                ));
            }
        }
    }
}
