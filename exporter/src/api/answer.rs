//! What answers of the API are made of.
//!
//! Owns: [`answer`], [`OrderBody`] and what handlers share to find and name things. Field names are the contract with existing
//! clients; numbers are exact decimals.

use crate::http::HttpState;
use crate::http::problem::{Code, Problem};
use crate::status;
use crate::stream::event::Decimal;
use crate::trading::OrderLine;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use veloz_core::instrument::{Instrument, InstrumentIndex};
use veloz_core::order::{OrderKind, Side};
use veloz_core::telemetry::gauges::{Gauge, NOT_MEASURED};
use veloz_core::telemetry::records::TradingPhase;

/// What handlers return.
pub(crate) type Answer = Result<Response, Problem>;

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("plain values, written into memory");
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, kind, Body::from(text)).into_response()
}

/// 200 with a JSON body.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the last words of handlers, which return answers or problems"
)]
pub(crate) fn ok(body: &impl Serialize) -> Answer {
    Ok(answer(StatusCode::OK, body))
}

/// An order as it stands: the contract's object first, what it did not have after it.
#[derive(Serialize)]
pub(crate) struct OrderBody {
    client_order_id: String,
    symbol: String,
    side: Option<&'static str>,
    order_type: Option<&'static str>,
    order_qty: Decimal,
    limit_price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    venue_order_id: Option<String>,
    status: &'static str,
    reason: String,
    executed_qty: Decimal,
    avg_price: Option<Decimal>,
    last_ts_ns: i64,
    order_id: String,
    time_in_force: Option<&'static str>,
    state: &'static str,
    origin: Option<&'static str>,
    created_ts_ns: i64,
}

impl OrderBody {
    pub(crate) fn new(line: &OrderLine) -> Self {
        let limited = line.kind != Some(OrderKind::Market);
        Self {
            client_order_id: line.name(),
            symbol: line.symbol.as_str().to_owned(),
            side: line.side.map(Side::label),
            order_type: line.kind.map(OrderKind::label),
            order_qty: Decimal(line.qty),
            limit_price: line.price.map(Decimal),
            venue_order_id: line.venue_order_id.map(|id| id.to_string()),
            status: line.status().label(),
            reason: line
                .reason()
                .map_or_else(String::new, |reason| reason.to_string()),
            executed_qty: Decimal(line.executed),
            avg_price: line.avg_price().map(Decimal),
            last_ts_ns: line.last_ts_ns,
            order_id: line.id.to_string(),
            time_in_force: line
                .time_in_force
                .filter(|_| limited)
                .map(veloz_core::order::TimeInForce::label),
            state: line.state.label(),
            origin: line.origin.map(veloz_core::order::Origin::label),
            created_ts_ns: line.created_ns,
        }
    }
}

impl HttpState {
    /// An instrument by its symbol, in either case, as a request names it.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub(crate) fn instrument(
        &self,
        field: &'static str,
        symbol: &str,
    ) -> Result<(InstrumentIndex, &Instrument), Problem> {
        let index = self.instruments.find(&symbol.to_ascii_uppercase());
        index
            .map(|index| (index, self.instruments.get(index)))
            .ok_or_else(|| {
                let message = format!("{field}: a configured symbol is expected");
                Problem::new(Code::BadParams, message).field(field)
            })
    }

    /// How far trading has come; `None` without an account.
    pub(crate) fn phase(&self) -> Option<TradingPhase> {
        status::trading(&self.gauges).map(|line| line.phase)
    }

    /// Refuses what needs an account where none is configured.
    ///
    /// # Errors
    /// `binance_not_configured`.
    pub(crate) fn needs_account(&self) -> Result<(), Problem> {
        self.phase().map(|_| ()).ok_or_else(|| {
            Problem::new(
                Code::BinanceNotConfigured,
                "no account is configured: this engine only watches (venue.api_key)",
            )
        })
    }

    /// A gauge, unless it was never measured.
    pub(crate) fn measured(&self, gauge: Gauge) -> Option<i64> {
        Some(self.gauges.plain(gauge)).filter(|value| *value != NOT_MEASURED)
    }
}
