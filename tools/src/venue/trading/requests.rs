//! Trading requests from their parameters.
//!
//! Owns: which parameter each request needs, allows and refuses, and the venue's error for each
//! mistake that shows without looking at a book or an account. Does not: carry anything out.
//! Source: Binance Spot `web-socket-api.md`, `errors.md`.

use veloz_core::units::E8;

use super::super::exchange::{
    CancelReplace, CancelRestriction, NewOrder, OrderRef, OrderSide, OrderType, Quantity,
    ReplaceMode, Strategy, TimeInForce, TradeFilter,
};
use super::super::methods::{ApiError, Params};
use super::super::source::{SymbolIndex, VenueMicros};
use super::words::{LimitExceeded, ResponseType, Word};

/// Smallest `strategyType`; what is below is the venue's own.
const STRATEGY_TYPE_MIN: u64 = 1_000_000;
/// Trades of one answer, and how many when no limit is sent.
const TRADES_MAX: u64 = 1_000;
const TRADES_DEFAULT: u64 = 500;
/// Longest time between `startTime` and `endTime`.
const TRADES_INTERVAL_US: u64 = 24 * 3_600 * 1_000_000;

/// Something for the matching engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Place {
        order: NewOrder,
        answer: ResponseType,
    },
    Cancel {
        symbol: SymbolIndex,
        which: OrderRef,
        cancel_id: String,
        restriction: Option<CancelRestriction>,
    },
    CancelAll {
        symbol: SymbolIndex,
        cancel_id: String,
    },
    CancelReplace {
        request: CancelReplace,
        answer: ResponseType,
        exceeded: LimitExceeded,
    },
    Amend {
        symbol: SymbolIndex,
        which: OrderRef,
        new_qty: E8,
        new_client_id: String,
    },
}

impl Command {
    /// Whether it takes something off the book.
    pub(crate) fn is_cancel(&self) -> bool {
        match self {
            Self::Cancel { .. } | Self::CancelAll { .. } | Self::CancelReplace { .. } => true,
            Self::Place { .. } | Self::Amend { .. } => false,
        }
    }
}

/// Draws the client order ids that clients did not send.
pub(crate) trait DrawIds {
    /// Twenty-two letters and digits.
    fn draw(&mut self) -> String;
}

/// A new order, and how much its answer tells.
pub(crate) fn new_order(
    params: &Params,
    symbol: SymbolIndex,
    ids: &mut dyn DrawIds,
) -> Result<(NewOrder, ResponseType), ApiError> {
    let side = word::<OrderSide>(params, "side", || {
        ApiError::bad_request(-1117, "Invalid side.")
    })?;
    let kind = order_type(params)?;
    unsupported_instructions(params)?;
    let time_in_force = time_in_force(params, kind)?;
    let price = match kind {
        OrderType::Limit | OrderType::LimitMaker => Some(params.mandatory_decimal("price")?),
        OrderType::Market if params.has("price") => return Err(ApiError::not_required("price")),
        OrderType::Market => None,
    };
    let qty = quantity(params, kind)?;
    let client_order_id = match params.client_id("newClientOrderId")? {
        Some(id) => id,
        None => ids.draw(),
    };
    let answer = optional_word::<ResponseType>(params, "newOrderRespType")?;
    let order = NewOrder {
        symbol,
        side,
        kind,
        time_in_force,
        price,
        qty,
        client_order_id,
        stp: optional_word(params, "selfTradePreventionMode")?,
        strategy: strategy(params)?,
    };
    let answer = answer.unwrap_or(match kind {
        OrderType::Limit | OrderType::Market => ResponseType::Full,
        OrderType::LimitMaker => ResponseType::Ack,
    });
    Ok((order, answer))
}

/// `order.cancel`.
pub(crate) fn cancel(
    params: &Params,
    symbol: SymbolIndex,
    ids: &mut dyn DrawIds,
) -> Result<Command, ApiError> {
    Ok(Command::Cancel {
        symbol,
        which: order_ref(params, "orderId", "origClientOrderId")?,
        cancel_id: id_or_drawn(params, "newClientOrderId", ids)?,
        restriction: restriction(params)?,
    })
}

/// `order.cancelReplace`.
pub(crate) fn cancel_replace(
    params: &Params,
    symbol: SymbolIndex,
    ids: &mut dyn DrawIds,
) -> Result<Command, ApiError> {
    let mode = word::<ReplaceMode>(params, "cancelReplaceMode", || {
        ApiError::invalid("cancelReplaceMode")
    })?;
    let cancel = order_ref(params, "cancelOrderId", "cancelOrigClientOrderId")?;
    let cancel_id = id_or_drawn(params, "cancelNewClientOrderId", ids)?;
    let restriction = restriction(params)?;
    let exceeded = optional_word(params, "orderRateLimitExceededMode")?;
    let (new, answer) = new_order(params, symbol, ids)?;
    Ok(Command::CancelReplace {
        request: CancelReplace {
            mode,
            cancel,
            cancel_id,
            restriction,
            new,
        },
        answer,
        exceeded: exceeded.unwrap_or(LimitExceeded::DoNothing),
    })
}

/// `order.amend.keepPriority`.
pub(crate) fn amend(
    params: &Params,
    symbol: SymbolIndex,
    ids: &mut dyn DrawIds,
) -> Result<Command, ApiError> {
    Ok(Command::Amend {
        symbol,
        which: order_ref(params, "orderId", "origClientOrderId")?,
        new_qty: params.mandatory_decimal("newQty")?,
        new_client_id: id_or_drawn(params, "newClientOrderId", ids)?,
    })
}

/// The order that a query asks for.
pub(crate) fn queried(params: &Params) -> Result<OrderRef, ApiError> {
    order_ref(params, "orderId", "origClientOrderId")
}

/// The trades that `myTrades` asks for.
pub(crate) fn trade_filter(params: &Params) -> Result<TradeFilter, ApiError> {
    let order_id = params.integer("orderId")?;
    let from_id = params.integer("fromId")?;
    let (start, end) = (params.time("startTime")?, params.time("endTime")?);
    let limit = params.integer("limit")?.unwrap_or(TRADES_DEFAULT);
    let by_time = start.is_some() || end.is_some();
    if by_time && (order_id.is_some() || from_id.is_some()) {
        return Err(ApiError::bad_combination());
    }
    if let (Some(VenueMicros(start)), Some(VenueMicros(end))) = (start, end)
        && end.saturating_sub(start) > TRADES_INTERVAL_US
    {
        return Err(ApiError::bad_request(
            -1127,
            "More than 24 hours between startTime and endTime.",
        ));
    }
    if limit == 0 {
        return Err(ApiError::invalid("limit"));
    }
    Ok(TradeFilter {
        order_id,
        from_id,
        start,
        end,
        limit: usize::try_from(limit.min(TRADES_MAX)).unwrap_or(usize::MAX),
    })
}

/// A mandatory word.
fn word<T: Word>(
    params: &Params,
    name: &str,
    invalid: impl FnOnce() -> ApiError,
) -> Result<T, ApiError> {
    T::of(&params.mandatory_text(name)?).ok_or_else(invalid)
}

fn optional_word<T: Word>(params: &Params, name: &str) -> Result<Option<T>, ApiError> {
    match params.text(name)? {
        None => Ok(None),
        Some(text) => match T::of(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::invalid(name)),
        },
    }
}

/// The type; those that wait for a price are the venue's, but no symbol here allows them.
fn order_type(params: &Params) -> Result<OrderType, ApiError> {
    let text = params.mandatory_text("type")?;
    if let Some(kind) = OrderType::of(&text) {
        return Ok(kind);
    }
    let name = match text.as_str() {
        "STOP_LOSS" => "Stop loss",
        "STOP_LOSS_LIMIT" => "Stop loss limit",
        "TAKE_PROFIT" => "Take profit",
        "TAKE_PROFIT_LIMIT" => "Take profit limit",
        _ => return Err(ApiError::bad_request(-1116, "Invalid orderType.")),
    };
    Err(unsupported(name))
}

/// Icebergs, trailing stops and pegs: known to the venue, allowed by no symbol here.
fn unsupported_instructions(params: &Params) -> Result<(), ApiError> {
    if params.decimal("stopPrice")?.is_some() {
        return Err(ApiError::not_required("stopPrice"));
    }
    if params.integer("trailingDelta")?.is_some() {
        return Err(unsupported("Trailing stop"));
    }
    if params.decimal("icebergQty")?.is_some() {
        return Err(unsupported("Iceberg"));
    }
    for name in ["pegPriceType", "pegOffsetType", "pegOffsetValue"] {
        if params.text(name)?.is_some() {
            return Err(unsupported("Pegged"));
        }
    }
    Ok(())
}

fn unsupported(name: &str) -> ApiError {
    ApiError::bad_request(
        -2010,
        format!("{name} orders are not supported for this symbol."),
    )
}

fn time_in_force(params: &Params, kind: OrderType) -> Result<TimeInForce, ApiError> {
    const NAME: &str = "timeInForce";
    match kind {
        OrderType::Limit => word(params, NAME, || {
            ApiError::bad_request(-1115, "Invalid timeInForce.")
        }),
        OrderType::LimitMaker if params.has(NAME) => Err(ApiError::bad_request(
            -1114,
            "TimeInForce parameter sent when not required.",
        )),
        OrderType::Market if params.has(NAME) => Err(ApiError::not_required(NAME)),
        OrderType::LimitMaker | OrderType::Market => Ok(TimeInForce::Gtc),
    }
}

fn quantity(params: &Params, kind: OrderType) -> Result<Quantity, ApiError> {
    const QUOTE: &str = "quoteOrderQty";
    match kind {
        OrderType::Limit | OrderType::LimitMaker if params.has(QUOTE) => {
            Err(ApiError::not_required(QUOTE))
        }
        OrderType::Limit | OrderType::LimitMaker => {
            Ok(Quantity::Base(params.mandatory_decimal("quantity")?))
        }
        OrderType::Market => match (params.decimal("quantity")?, params.decimal(QUOTE)?) {
            (Some(_), Some(_)) => Err(ApiError::bad_combination()),
            (Some(base), None) => Ok(Quantity::Base(base)),
            (None, Some(quote)) => Ok(Quantity::Quote(quote)),
            (None, None) => Err(ApiError::one_of("quantity", QUOTE)),
        },
    }
}

fn strategy(params: &Params) -> Result<Option<Strategy>, ApiError> {
    let id = params.integer("strategyId")?;
    let kind = params.integer("strategyType")?;
    if kind.is_some_and(|kind| kind < STRATEGY_TYPE_MIN) {
        return Err(ApiError::bad_request(
            -1134,
            "strategyType was less than 1000000.",
        ));
    }
    match (id, kind) {
        (Some(id), kind) => Ok(Some(Strategy {
            id: id.cast_signed(),
            kind: kind.map(u64::cast_signed),
        })),
        (None, Some(_)) => Err(ApiError::bad_combination()),
        (None, None) => Ok(None),
    }
}

fn restriction(params: &Params) -> Result<Option<CancelRestriction>, ApiError> {
    optional_word(params, "cancelRestrictions").map_err(|error| match error.code {
        -1130 => ApiError::bad_request(-1145, "Invalid cancelRestrictions"),
        _ => error,
    })
}

fn order_ref(params: &Params, id: &str, client_id: &str) -> Result<OrderRef, ApiError> {
    match (params.integer(id)?, params.client_id(client_id)?) {
        (Some(id), Some(client_id)) => Ok(OrderRef::Both { id, client_id }),
        (Some(id), None) => Ok(OrderRef::Id(id)),
        (None, Some(client_id)) => Ok(OrderRef::ClientId(client_id)),
        (None, None) => Err(ApiError::one_of(client_id, id)),
    }
}

fn id_or_drawn(params: &Params, name: &str, ids: &mut dyn DrawIds) -> Result<String, ApiError> {
    match params.client_id(name)? {
        Some(id) => Ok(id),
        None => Ok(ids.draw()),
    }
}
