//! Every kind of event and its payload.
//!
//! Owns: [`Kind`], [`StreamEvent`], [`NOT_STREAMED`]. Does not: number or keep events. Field names and types
//! are the contract with existing clients; prices and quantities are exact decimals written as JSON
//! numbers, never through a float. The `event:` of a frame is the payload's `type`.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use veloz_core::labelled;
use veloz_core::units::E8;

labelled! {
    /// Kinds of events; the label is the payload's `type`.
    pub enum Kind {
        /// The price of the last trade.
        Market = "market",
        /// A trade between others.
        Trade = "trade",
        /// Best bid and ask.
        BookTop = "book_top",
        /// A stream of market data came or went.
        SubscriptionStatus = "subscription_status",
        /// An order of ours changed.
        OrderUpdate = "order_update",
        /// An order of ours traded.
        Fill = "fill",
        /// An order of ours as it stands.
        OrderState = "order_state",
        /// Balances as they stand.
        Account = "account",
        /// Something went wrong.
        Error = "error",
        /// An order was asked for.
        OrderReceived = "order_received",
        /// A cancellation was asked for.
        CancelReceived = "cancel_received",
        /// A strategy is there.
        StrategyLoaded = "strategy_loaded",
        /// A strategy runs.
        StrategyStarted = "strategy_started",
        /// A strategy does not run.
        StrategyStopped = "strategy_stopped",
        /// A strategy waits.
        StrategyPaused = "strategy_paused",
        /// A strategy goes on.
        StrategyResumed = "strategy_resumed",
        /// A strategy as it stands.
        StrategyStatus = "strategy_status",
        /// What a strategy did.
        StrategyMetrics = "strategy_metrics",
        /// Risk stopped something, or was told to.
        RiskAlert = "risk_alert",
        /// The engine runs.
        EngineStarted = "engine_started",
        /// The engine ended.
        EngineStopped = "engine_stopped",
    }
}

/// Kinds that the documents of the earlier system name and this one does not send, with the reason.
pub const NOT_STREAMED: [(&str, &str); 9] = [
    (
        "book_delta",
        "levels below the touch are read from GET /api/book, which names the update id",
    ),
    ("kline", "the engine subscribes no candles"),
    (
        "query_received",
        "queries came over standard input; reads are plain GET requests now",
    ),
    (
        "strategy_command_received",
        "each command has its own event: strategy_started, strategy_stopped, ...",
    ),
    ("strategy_list", "read from GET /api/strategies"),
    (
        "strategy_status_all",
        "one strategy_status a strategy says the same",
    ),
    (
        "strategy_metrics_summary",
        "one strategy_metrics a strategy says the same",
    ),
    (
        "strategy_params_updated",
        "parameters of a strategy are configuration: they change with a restart, which loads it anew",
    ),
    (
        "strategy_unloaded",
        "strategies are part of the build: they stop, they are not unloaded",
    ),
];

/// How events share the history: what the market does is frequent and soon stale, and must not push out
/// what happened to orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Prices and trades.
    Market,
    /// Everything else.
    State,
}

impl Class {
    /// Both classes, in order of their discriminants.
    pub(super) const ALL: [Self; 2] = [Self::Market, Self::State];
}

impl Kind {
    pub(super) const fn class(self) -> Class {
        match self {
            Self::Market | Self::Trade | Self::BookTop => Class::Market,
            Self::SubscriptionStatus
            | Self::OrderUpdate
            | Self::Fill
            | Self::OrderState
            | Self::Account
            | Self::Error
            | Self::OrderReceived
            | Self::CancelReceived
            | Self::StrategyLoaded
            | Self::StrategyStarted
            | Self::StrategyStopped
            | Self::StrategyPaused
            | Self::StrategyResumed
            | Self::StrategyStatus
            | Self::StrategyMetrics
            | Self::RiskAlert
            | Self::EngineStarted
            | Self::EngineStopped => Class::State,
        }
    }
}

/// One event. It borrows, because it is rendered at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is explained at its kind")]
pub enum StreamEvent<'a> {
    Market(Market<'a>),
    Trade(Trade<'a>),
    BookTop(BookTop<'a>),
    SubscriptionStatus(SubscriptionStatus<'a>),
    OrderUpdate(OrderUpdate<'a>),
    Fill(Fill<'a>),
    OrderState(OrderState<'a>),
    Account(Account<'a>),
    Error(Error),
    OrderReceived(OrderReceived<'a>),
    CancelReceived(CancelReceived<'a>),
    StrategyLoaded(StrategyLoaded<'a>),
    StrategyStarted(StrategyName<'a>),
    StrategyStopped(StrategyName<'a>),
    StrategyPaused(StrategyName<'a>),
    StrategyResumed(StrategyName<'a>),
    StrategyStatus(StrategyStatus<'a>),
    StrategyMetrics(StrategyMetrics<'a>),
    RiskAlert(RiskAlert<'a>),
    EngineStarted(EngineStarted),
    EngineStopped(EngineStopped),
}

impl StreamEvent<'_> {
    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Market(_) => Kind::Market,
            Self::Trade(_) => Kind::Trade,
            Self::BookTop(_) => Kind::BookTop,
            Self::SubscriptionStatus(_) => Kind::SubscriptionStatus,
            Self::OrderUpdate(_) => Kind::OrderUpdate,
            Self::Fill(_) => Kind::Fill,
            Self::OrderState(_) => Kind::OrderState,
            Self::Account(_) => Kind::Account,
            Self::Error(_) => Kind::Error,
            Self::OrderReceived(_) => Kind::OrderReceived,
            Self::CancelReceived(_) => Kind::CancelReceived,
            Self::StrategyLoaded(_) => Kind::StrategyLoaded,
            Self::StrategyStarted(_) => Kind::StrategyStarted,
            Self::StrategyStopped(_) => Kind::StrategyStopped,
            Self::StrategyPaused(_) => Kind::StrategyPaused,
            Self::StrategyResumed(_) => Kind::StrategyResumed,
            Self::StrategyStatus(_) => Kind::StrategyStatus,
            Self::StrategyMetrics(_) => Kind::StrategyMetrics,
            Self::RiskAlert(_) => Kind::RiskAlert,
            Self::EngineStarted(_) => Kind::EngineStarted,
            Self::EngineStopped(_) => Kind::EngineStopped,
        }
    }

    /// The frame without its id. JSON has no raw line breaks, so `data:` is one line.
    pub(super) fn render(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(b"event: ");
        frame.extend_from_slice(self.kind().label().as_bytes());
        frame.extend_from_slice(b"\ndata: ");
        serde_json::to_writer(&mut frame, self).expect("plain values, written into memory");
        frame.extend_from_slice(b"\n\n");
        frame
    }
}

/// An exact decimal as a JSON number: `61837.63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub E8);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let number = RawValue::from_string(text.to_owned()).expect("digits and one point");
        number.serialize(serializer)
    }
}

/// `market`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Market<'a> {
    /// Of what.
    pub symbol: &'a str,
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// At what price it last traded.
    pub price: Decimal,
}

/// `trade`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trade<'a> {
    /// Of what.
    pub symbol: &'a str,
    /// Where.
    pub venue: &'a str,
    /// At what price.
    pub price: Decimal,
    /// How much.
    pub qty: Decimal,
    /// Whether the buyer's order stood in the book.
    pub is_buyer_maker: bool,
    /// The venue's number of the trade.
    pub trade_id: u64,
    /// When the venue made it, Unix time in nanoseconds of its clock.
    pub ts_ns: i64,
}

/// `book_top`. A side without an order has neither price nor quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BookTop<'a> {
    /// Of what.
    pub symbol: &'a str,
    /// Where.
    pub venue: &'a str,
    /// Highest bid.
    pub bid_price: Option<Decimal>,
    /// How much it wants.
    pub bid_qty: Option<Decimal>,
    /// Lowest ask.
    pub ask_price: Option<Decimal>,
    /// How much it offers.
    pub ask_qty: Option<Decimal>,
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
}

/// `subscription_status`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SubscriptionStatus<'a> {
    /// Of what.
    pub symbol: &'a str,
    /// What is subscribed: `book`.
    pub event_type: &'static str,
    /// `subscribed`, `unsubscribed` or `error`.
    pub status: &'static str,
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
}

/// `order_update`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrderUpdate<'a> {
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// The client's id.
    pub client_order_id: &'a str,
    /// The venue's id, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue_order_id: Option<&'a str>,
    /// `ACCEPTED`, `PARTIALLY_FILLED`, `FILLED`, `CANCELLED`, `REJECTED`, `EXPIRED` or `PENDING`.
    pub status: &'static str,
    /// Of what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<&'a str>,
    /// `BUY` or `SELL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// How much was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty: Option<Decimal>,
    /// At what price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// Why, when it did not go well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// `fill`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fill<'a> {
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// The client's id of the order.
    pub client_order_id: &'a str,
    /// Of what.
    pub symbol: &'a str,
    /// How much traded now.
    pub qty: Decimal,
    /// At what price.
    pub price: Decimal,
}

/// `order_state`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrderState<'a> {
    /// The client's id.
    pub client_order_id: &'a str,
    /// Of what.
    pub symbol: &'a str,
    /// `BUY` or `SELL`.
    pub side: &'static str,
    /// `LIMIT`, `MARKET` or `LIMIT_MAKER`; `null` for an order of an earlier run.
    pub order_type: Option<&'static str>,
    /// How much was asked for.
    pub order_qty: Decimal,
    /// At what price; `null` for a market order.
    pub limit_price: Option<Decimal>,
    /// The venue's id, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue_order_id: Option<&'a str>,
    /// As in [`OrderUpdate::status`].
    pub status: &'static str,
    /// Why, when it did not go well; else empty.
    pub reason: &'a str,
    /// How much traded.
    pub executed_qty: Decimal,
    /// Average price of what traded; `null` before the first fill.
    pub avg_price: Option<Decimal>,
    /// When it last changed, Unix time in nanoseconds.
    pub last_ts_ns: i64,
}

/// `account`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Account<'a> {
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// All assets that are held.
    pub balances: &'a [Balance<'a>],
}

/// One asset of [`Account`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Balance<'a> {
    /// Its name.
    pub asset: &'a str,
    /// What can be used.
    pub free: Decimal,
    /// What open orders hold.
    pub locked: Decimal,
}

/// `error`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Error {
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// `market_source_error`, `binance_ws_error`, `binance_poll_error` or `listen_key_error`.
    pub message: &'static str,
    /// What it was in particular: the label of the same thing in metrics and logs.
    pub cause: &'static str,
}

/// `order_received`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrderReceived<'a> {
    /// Our number of the command.
    pub command_id: u64,
    /// The client's id.
    pub client_order_id: &'a str,
    /// Of what.
    pub symbol: &'a str,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// `limit` or `market`.
    pub order_type: &'static str,
    /// How much.
    pub quantity: Decimal,
    /// At what price; `null` for a market order.
    pub price: Option<Decimal>,
}

/// `cancel_received`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CancelReceived<'a> {
    /// Our number of the command.
    pub command_id: u64,
    /// The client's id of the order.
    pub client_order_id: &'a str,
}

/// `strategy_loaded`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StrategyLoaded<'a> {
    /// Its id.
    pub strategy_id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub strategy_type: &'a str,
}

/// `strategy_started`, `_stopped`, `_paused`, `_resumed`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StrategyName<'a> {
    /// Its id.
    pub strategy_id: &'a str,
}

/// `strategy_status`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StrategyStatus<'a> {
    /// Its id.
    pub strategy_id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Whether it runs.
    pub is_running: bool,
    /// What it made, in the account currency.
    pub pnl: Decimal,
    /// Its fills.
    pub trade_count: u64,
    /// Fills with a profit among those that closed something, a fraction; `null` before the first.
    pub win_rate: Option<f64>,
}

/// `strategy_metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StrategyMetrics<'a> {
    /// Its id.
    pub strategy_id: &'a str,
    /// Events that it saw.
    pub events_processed: u64,
    /// Signals that it gave.
    pub signals_generated: u64,
    /// Mean time of a look at the book in microseconds; `null` before the first.
    pub avg_execution_time_us: Option<f64>,
    /// Signals a second since it started.
    pub signals_per_second: f64,
    /// Faults of its own.
    pub errors: u64,
}

/// `risk_alert`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RiskAlert<'a> {
    /// When, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// What it was: a reason of refusal, `trading_state`, or `kill_switch`.
    pub alert: &'static str,
    /// About what, when it is about one instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<&'a str>,
    /// One sentence.
    pub message: &'a str,
}

/// `engine_started`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EngineStarted {
    /// What runs.
    pub version: &'static str,
}

/// `engine_stopped`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EngineStopped {
    /// Commands that the engine took since its start.
    pub commands_processed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn decimals_are_exact_numbers_without_idle_zeros() {
        for (e8, text) in [
            (6_183_763_000_000, "61837.63"),
            (10_000_000_000, "100"),
            (1, "0.00000001"),
            (0, "0"),
            (-150_000_000, "-1.5"),
            (i64::MAX, "92233720368.54775807"),
        ] {
            let json = serde_json::to_string(&Decimal(E8(e8))).expect("a number");
            assert_eq!(json, text);
        }
    }

    #[test]
    fn the_type_is_the_kinds_label_and_the_frame_is_three_lines() {
        let trade = StreamEvent::Trade(Trade {
            symbol: "BTCUSDT",
            venue: "binance",
            price: Decimal(E8(6_183_763_000_000)),
            qty: Decimal(E8(150_000)),
            is_buyer_maker: true,
            trade_id: 3_735_683_259,
            ts_ns: 1_723_075_200_001_000_000,
        });
        let error = StreamEvent::Error(Error {
            ts_ns: 5,
            message: "binance_ws_error",
            cause: "closed",
        });
        let alert = StreamEvent::RiskAlert(RiskAlert {
            ts_ns: 5,
            alert: "kill_switch",
            symbol: None,
            message: "a\nb \"c\"\r",
        });
        let started = StreamEvent::StrategyStarted(StrategyName { strategy_id: "mm" });
        let read = |event: &StreamEvent<'_>| -> Value {
            let frame = String::from_utf8(event.render()).expect("UTF-8");
            let lines: Vec<&str> = frame.split('\n').collect();
            assert_eq!(lines.len(), 4, "{frame:?}");
            assert_eq!(lines[0], format!("event: {}", event.kind().label()));
            assert_eq!((lines[2], lines[3]), ("", ""));
            let json = lines[1].strip_prefix("data: ").expect("data");
            let value: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(value["type"], event.kind().label());
            value
        };
        assert_eq!(
            read(&trade),
            json!({
                "type": "trade", "symbol": "BTCUSDT", "venue": "binance", "price": 61837.63,
                "qty": 0.0015, "is_buyer_maker": true, "trade_id": 3_735_683_259u64,
                "ts_ns": 1_723_075_200_001_000_000i64,
            })
        );
        assert_eq!(read(&error)["cause"], "closed");
        let alert = read(&alert);
        assert_eq!(alert["message"], "a\nb \"c\"\r");
        assert_eq!(alert.get("symbol"), None);
        assert_eq!(
            read(&started),
            json!({"type": "strategy_started", "strategy_id": "mm"})
        );
    }

    #[test]
    fn no_kind_is_both_sent_and_excused() {
        for kind in Kind::ALL {
            assert!(NOT_STREAMED.iter().all(|(name, _)| *name != kind.label()));
        }
    }
}
