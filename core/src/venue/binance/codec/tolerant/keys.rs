//! The keys of market data and of the answers that books need.
//!
//! Owns: the list. Does not: say which object has which.

use crate::venue::binance::codec::object::keys;

keys! {
    STREAM = "stream",
    DATA = "data",
    EVENT_TYPE = "e",
    EVENT_MS = "E",
    SYMBOL = "s",
    FIRST_ID = "U",
    LAST_ID = "u",
    SMALL_B = "b",
    BIG_B = "B",
    SMALL_A = "a",
    BIG_A = "A",
    TRADE_ID = "t",
    PRICE = "p",
    QTY = "q",
    TRADE_MS = "T",
    BUYER_IS_MAKER = "m",
    FIRST_TRADE_ID = "f",
    LAST_TRADE_ID = "l",
    LAST_UPDATE_ID = "lastUpdateId",
    BIDS = "bids",
    ASKS = "asks",
    RESULT = "result",
    ERROR = "error",
    CODE = "code",
    REQUEST_ID = "id",
    STATUS = "status",
    RATE_LIMITS = "rateLimits",
    EVENT = "event",
    SERVER_TIME = "serverTime",
    RETRY_AFTER = "retryAfter",
    LIMIT_TYPE = "rateLimitType",
    LIMIT = "limit",
    COUNT = "count",
}
