//! The methods that the websocket API and REST share: names, weights, parameters.
//!
//! Owns: the table of methods. Does not: hold a book, know accounts, count weight. Source: Binance
//! Spot `web-socket-api.md`, `rest-api.md`.

mod error;
mod exchange_info;
mod params;

pub(crate) use error::{ApiError, Detail};
pub(crate) use exchange_info::{Listing, exchange_info, status_word, symbol_filters};
use params::DEPTH_LIMIT_DEFAULT;
pub(crate) use params::Params;

/// A method that this venue has, by what it asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Nothing.
    Public(Public),
    /// A connection of its own.
    Session(Session),
    /// A key, a timestamp and a signature, or a session that is logged on.
    Signed(Signed),
}

/// Market data and the venue itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Public {
    Ping,
    Time,
    ExchangeInfo,
    Depth,
    BookTicker,
}

/// Logon and user data of a websocket API connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    Logon,
    Status,
    Logout,
    Subscribe,
    SubscribeSignature,
    Unsubscribe,
    Subscriptions,
}

/// Orders and accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    Place,
    Test,
    Cancel,
    CancelAll,
    CancelReplace,
    Amend,
    OrderStatus,
    OpenOrders,
    Account,
    OrderCounts,
    MyTrades,
    Commission,
    MyFilters,
}

/// What a request does over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// Parameters of every signed request.
const PROOF_PARAMS: &[&str] = &["timestamp", "recvWindow", "signature"];
const KEY_PARAM: &[&str] = &["apiKey"];

/// Parameters of a new order, wherever one is described.
const NEW_ORDER_PARAMS: &[&str] = &[
    "symbol",
    "side",
    "type",
    "timeInForce",
    "price",
    "quantity",
    "quoteOrderQty",
    "newClientOrderId",
    "newOrderRespType",
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "strategyId",
    "strategyType",
    "selfTradePreventionMode",
    "pegPriceType",
    "pegOffsetValue",
    "pegOffsetType",
];

/// One line of the table of methods.
struct Row {
    method: Method,
    /// On the websocket API.
    name: &'static str,
    /// Over HTTP; `None` for what belongs to a connection.
    route: Option<(Verb, &'static str)>,
    /// Parameters of its own.
    params: &'static [&'static str],
}

const fn row(
    method: Method,
    name: &'static str,
    route: Option<(Verb, &'static str)>,
    params: &'static [&'static str],
) -> Row {
    Row {
        method,
        name,
        route,
        params,
    }
}

const fn public(
    method: Public,
    name: &'static str,
    path: &'static str,
    params: &'static [&'static str],
) -> Row {
    row(
        Method::Public(method),
        name,
        Some((Verb::Get, path)),
        params,
    )
}

const fn session(method: Session, name: &'static str, params: &'static [&'static str]) -> Row {
    row(Method::Session(method), name, None, params)
}

const fn signed(
    method: Signed,
    name: &'static str,
    verb: Verb,
    path: &'static str,
    params: &'static [&'static str],
) -> Row {
    row(Method::Signed(method), name, Some((verb, path)), params)
}

/// Every method.
static TABLE: [Row; 25] = [
    public(Public::Ping, "ping", "/api/v3/ping", &[]),
    public(Public::Time, "time", "/api/v3/time", &[]),
    public(
        Public::ExchangeInfo,
        "exchangeInfo",
        "/api/v3/exchangeInfo",
        &[
            "symbol",
            "symbols",
            "permissions",
            "symbolStatus",
            "showPermissionSets",
        ],
    ),
    public(
        Public::Depth,
        "depth",
        "/api/v3/depth",
        &["symbol", "limit", "symbolStatus"],
    ),
    public(
        Public::BookTicker,
        "ticker.book",
        "/api/v3/ticker/bookTicker",
        &["symbol", "symbols", "symbolStatus"],
    ),
    session(Session::Logon, "session.logon", &["apiKey"]),
    session(Session::Status, "session.status", &[]),
    session(Session::Logout, "session.logout", &[]),
    session(Session::Subscribe, "userDataStream.subscribe", &[]),
    session(
        Session::SubscribeSignature,
        "userDataStream.subscribe.signature",
        &["apiKey"],
    ),
    session(
        Session::Unsubscribe,
        "userDataStream.unsubscribe",
        &["subscriptionId"],
    ),
    session(Session::Subscriptions, "session.subscriptions", &[]),
    signed(
        Signed::Place,
        "order.place",
        Verb::Post,
        "/api/v3/order",
        &[],
    ),
    signed(
        Signed::Test,
        "order.test",
        Verb::Post,
        "/api/v3/order/test",
        &["computeCommissionRates"],
    ),
    signed(
        Signed::Cancel,
        "order.cancel",
        Verb::Delete,
        "/api/v3/order",
        &[
            "symbol",
            "orderId",
            "origClientOrderId",
            "newClientOrderId",
            "cancelRestrictions",
        ],
    ),
    signed(
        Signed::CancelAll,
        "openOrders.cancelAll",
        Verb::Delete,
        "/api/v3/openOrders",
        &["symbol"],
    ),
    signed(
        Signed::CancelReplace,
        "order.cancelReplace",
        Verb::Post,
        "/api/v3/order/cancelReplace",
        &[
            "cancelReplaceMode",
            "cancelOrderId",
            "cancelOrigClientOrderId",
            "cancelNewClientOrderId",
            "cancelRestrictions",
            "orderRateLimitExceededMode",
        ],
    ),
    signed(
        Signed::Amend,
        "order.amend.keepPriority",
        Verb::Put,
        "/api/v3/order/amend/keepPriority",
        &[
            "symbol",
            "orderId",
            "origClientOrderId",
            "newClientOrderId",
            "newQty",
        ],
    ),
    signed(
        Signed::OrderStatus,
        "order.status",
        Verb::Get,
        "/api/v3/order",
        &["symbol", "orderId", "origClientOrderId"],
    ),
    signed(
        Signed::OpenOrders,
        "openOrders.status",
        Verb::Get,
        "/api/v3/openOrders",
        &["symbol"],
    ),
    signed(
        Signed::Account,
        "account.status",
        Verb::Get,
        "/api/v3/account",
        &["omitZeroBalances"],
    ),
    signed(
        Signed::OrderCounts,
        "account.rateLimits.orders",
        Verb::Get,
        "/api/v3/rateLimit/order",
        &[],
    ),
    signed(
        Signed::MyTrades,
        "myTrades",
        Verb::Get,
        "/api/v3/myTrades",
        &[
            "symbol",
            "orderId",
            "startTime",
            "endTime",
            "fromId",
            "limit",
        ],
    ),
    signed(
        Signed::Commission,
        "account.commission",
        Verb::Get,
        "/api/v3/account/commission",
        &["symbol"],
    ),
    signed(
        Signed::MyFilters,
        "myFilters",
        Verb::Get,
        "/api/v3/myFilters",
        &["symbol"],
    ),
];

impl Method {
    /// By websocket API name, with or without its version.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("v3/").unwrap_or(name);
        let mut table = TABLE.iter();
        table.find(|row| row.name == name).map(|row| row.method)
    }

    /// By path and verb.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 for a known one that is not used in this way.
    pub(crate) fn of_route(verb: Verb, path: &str) -> Result<Self, ApiError> {
        let mut known = TABLE
            .iter()
            .filter_map(|row| Some((row.method, row.route?)))
            .filter(|(_, (_, route))| *route == path)
            .peekable();
        if known.peek().is_none() {
            return Err(ApiError::no_such_path());
        }
        known
            .find(|(_, (wanted, _))| *wanted == verb)
            .map(|(method, _)| method)
            .ok_or_else(ApiError::no_such_verb)
    }

    /// Request weight, charged before the request is looked at.
    pub(crate) fn weight(self, params: &Params) -> u32 {
        match self {
            Self::Public(public) => match public {
                Public::Ping | Public::Time => 1,
                Public::ExchangeInfo => 20,
                Public::Depth => match params.depth_limit().unwrap_or(DEPTH_LIMIT_DEFAULT) {
                    0..=100 => 5,
                    101..=500 => 25,
                    501..=1_000 => 50,
                    _ => 250,
                },
                Public::BookTicker if params.has("symbol") => 2,
                Public::BookTicker => 4,
            },
            Self::Session(_) => 2,
            Self::Signed(signed) => match signed {
                Signed::Test if params.flag("computeCommissionRates") == Ok(Some(true)) => 20,
                Signed::Place
                | Signed::Test
                | Signed::Cancel
                | Signed::CancelAll
                | Signed::CancelReplace => 1,
                Signed::Amend | Signed::OrderStatus => 4,
                Signed::OpenOrders if params.has("symbol") => 6,
                Signed::OpenOrders => 80,
                Signed::Account | Signed::Commission => 20,
                Signed::OrderCounts | Signed::MyFilters => 40,
                Signed::MyTrades if params.has("orderId") => 5,
                Signed::MyTrades => 20,
            },
        }
    }

    /// The names of parameters that the method reads, in a frame or over HTTP, where a header
    /// carries the key.
    pub(crate) fn known_params(self, in_frame: bool) -> [&'static [&'static str]; 4] {
        let mut table = TABLE.iter();
        let own = table
            .find(|row| row.method == self)
            .map_or(&[][..], |row| row.params);
        let (order, proof, key): (&'static [_], &'static [_], &'static [_]) = match self {
            Self::Public(_) => (&[], &[], &[]),
            Self::Session(Session::Logon | Session::SubscribeSignature) => (&[], PROOF_PARAMS, &[]),
            Self::Session(
                Session::Status
                | Session::Logout
                | Session::Subscribe
                | Session::Unsubscribe
                | Session::Subscriptions,
            ) => (&[], &[], &[]),
            Self::Signed(signed) => {
                let key = if in_frame { KEY_PARAM } else { &[] };
                let order = if signed.describes_an_order() {
                    NEW_ORDER_PARAMS
                } else {
                    &[]
                };
                (order, PROOF_PARAMS, key)
            }
        };
        [own, order, proof, key]
    }
}

impl Signed {
    /// Whether the weight is given back when the request succeeds (since 2026-04-02).
    pub(crate) fn is_free_on_success(self) -> bool {
        matches!(
            self,
            Self::Place | Self::Cancel | Self::CancelAll | Self::CancelReplace
        )
    }

    /// Whether the request counts among the account's orders, and its answer tells how many.
    pub(crate) fn counts_orders(self) -> bool {
        matches!(self, Self::Place | Self::CancelReplace)
    }

    fn describes_an_order(self) -> bool {
        matches!(self, Self::Place | Self::Test | Self::CancelReplace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn params(json: &str) -> Params {
        match serde_json::from_str(json).expect("JSON") {
            Value::Object(map) => Params::of_json(map),
            _ => Params::default(),
        }
    }

    #[test]
    fn weights_follow_the_venues_table() {
        let cases = [
            (Method::Public(Public::Ping), "{}", 1),
            (Method::Public(Public::Time), "{}", 1),
            (Method::Public(Public::ExchangeInfo), "{}", 20),
            (Method::Public(Public::Depth), "{}", 5),
            (Method::Public(Public::Depth), r#"{"limit":100}"#, 5),
            (Method::Public(Public::Depth), r#"{"limit":101}"#, 25),
            (Method::Public(Public::Depth), r#"{"limit":501}"#, 50),
            (Method::Public(Public::Depth), r#"{"limit":1001}"#, 250),
            (Method::Public(Public::Depth), r#"{"limit":999999}"#, 250),
            (Method::Public(Public::BookTicker), r#"{"symbol":"X"}"#, 2),
            (
                Method::Public(Public::BookTicker),
                r#"{"symbols":["X"]}"#,
                4,
            ),
            (Method::Public(Public::BookTicker), "{}", 4),
            (Method::Session(Session::Logon), "{}", 2),
            (Method::Signed(Signed::Place), "{}", 1),
            (Method::Signed(Signed::Test), "{}", 1),
            (
                Method::Signed(Signed::Test),
                r#"{"computeCommissionRates":true}"#,
                20,
            ),
            (Method::Signed(Signed::Amend), "{}", 4),
            (Method::Signed(Signed::OrderStatus), "{}", 4),
            (Method::Signed(Signed::OpenOrders), r#"{"symbol":"X"}"#, 6),
            (Method::Signed(Signed::OpenOrders), "{}", 80),
            (Method::Signed(Signed::Account), "{}", 20),
            (Method::Signed(Signed::OrderCounts), "{}", 40),
            (Method::Signed(Signed::MyTrades), "{}", 20),
            (Method::Signed(Signed::MyTrades), r#"{"orderId":1}"#, 5),
            (Method::Signed(Signed::MyFilters), "{}", 40),
        ];
        for (method, json, weight) in cases {
            assert_eq!(method.weight(&params(json)), weight, "{method:?} {json}");
        }
    }

    #[test]
    fn methods_are_found_by_name_and_by_route() {
        for row in &TABLE {
            assert_eq!(Method::of_name(row.name), Some(row.method));
            assert_eq!(
                Method::of_name(&format!("v3/{}", row.name)),
                Some(row.method)
            );
            if let Some((verb, path)) = row.route {
                assert_eq!(Method::of_route(verb, path), Ok(row.method));
            }
        }
        assert_eq!(Method::of_name("v1/ping"), None);
        let status = |verb, path| Method::of_route(verb, path).map_err(|error| error.status);
        assert_eq!(status(Verb::Get, "/api/v3/nothing"), Err(404));
        assert_eq!(status(Verb::Put, "/api/v3/order"), Err(405));
    }
}
