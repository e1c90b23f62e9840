//! Requests: the websocket API's envelope and its REST twins.
//!
//! Owns: envelopes, ids, `rateLimits`, the order weight, parameters, answer. Does not: know what a
//! method is called or costs; [`methods`](super::super::methods) does. Invariant: whatever a
//! client sends is answered, and one method answers alike on both ways.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use super::super::faults::Applies;
use super::super::limits::{SECOND_US, Verdict};
use super::super::methods::{self, ApiError, Listing, Method, Params};
use super::super::render::{self, TimeUnit, json_string};
use super::super::source::{Snapshot, SymbolIndex, VenueMicros};
use super::super::streams::Id;
use super::{ConnectionId, Hub, NO_ID, SNAPSHOT_LEVELS_MAX};

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestReply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// `X-MBX-USED-WEIGHT-1M`.
    pub(crate) used_weight: u32,
    /// `Retry-After`, seconds.
    pub(crate) retry_after_s: Option<u64>,
}

impl Hub {
    /// Answers one text frame of a websocket API connection.
    pub(super) fn api_request(&mut self, now: VenueMicros, id: ConnectionId, text: &str) -> String {
        let (ip, unit, mut with_limits) = match self.connections.get(&id) {
            Some(connection) => (
                connection.ip,
                connection.unit,
                connection.return_rate_limits,
            ),
            None => return String::new(),
        };
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err((id, error)) => {
                return format!(
                    r#"{{"id":{},"status":{},"error":{}}}"#,
                    id.json(),
                    error.status,
                    error.json(unit.of(now), unit)
                );
            }
        };
        let mut params = request.params;
        match params.take_flag("returnRateLimits") {
            Ok(Some(flag)) => with_limits = flag,
            Ok(None) => {}
            Err(error) => {
                return self.envelope(now, ip, unit, &request.id, Err(error), with_limits);
            }
        }
        let answer = match request.method {
            Some(method) => self.call(now, ip, unit, method, &params, Listing::WebsocketApi),
            None => Err(ApiError::unsupported()),
        };
        self.envelope(now, ip, unit, &request.id, answer, with_limits)
    }

    fn envelope(
        &mut self,
        now: VenueMicros,
        ip: IpAddr,
        unit: TimeUnit,
        id: &Id,
        answer: Result<String, ApiError>,
        with_limits: bool,
    ) -> String {
        let (status, member, body) = match answer {
            Ok(result) => (200, "result", result),
            Err(error) => (error.status, "error", error.json(unit.of(now), unit)),
        };
        let mut out = String::with_capacity(body.len() + 160);
        let _ = write!(
            out,
            r#"{{"id":{},"status":{status},"{member}":{body}"#,
            id.json()
        );
        if with_limits {
            let _ = write!(
                out,
                concat!(
                    r#","rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","#,
                    r#""intervalNum":1,"limit":{},"count":{}}}]"#
                ),
                self.limits.weight_max(),
                self.limits.used(now, ip)
            );
        }
        out.push('}');
        out
    }

    /// Answers an HTTP request under `/api/v3` or `/sim/v1`.
    pub(crate) fn rest(
        &mut self,
        now: VenueMicros,
        ip: IpAddr,
        unit: TimeUnit,
        path: &str,
        query: &[(String, String)],
    ) -> RestReply {
        if let Some(route) = path.strip_prefix("/sim/v1/") {
            return self.simulation(route, query);
        }
        let answer = match Method::of_path(path) {
            Some(method) => {
                let params = Params::of_query(query);
                self.call(now, ip, unit, method, &params, Listing::Rest)
            }
            None => Err(ApiError::no_such_path()),
        };
        let used_weight = self.limits.used(now, ip);
        match answer {
            Ok(body) => RestReply {
                status: 200,
                body,
                used_weight,
                retry_after_s: None,
            },
            Err(error) => RestReply {
                status: error.status,
                body: error.rest_json(),
                used_weight,
                retry_after_s: error
                    .retry_at
                    .map(|at| at.0.saturating_sub(now.0).div_ceil(SECOND_US)),
            },
        }
    }

    /// What only a simulated venue has: `book?symbol=&updateId=`, `books?symbol=`, `stats`.
    fn simulation(&self, route: &str, query: &[(String, String)]) -> RestReply {
        let value = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        let symbol = value("symbol");
        let body = match route {
            "book" => value("updateId")
                .parse()
                .ok()
                .and_then(|update_id| self.book_at(symbol, update_id))
                .map(|book| render::depth_snapshot(&book)),
            "books" => Some(format!("{:?}", self.book_ids(symbol))),
            _ => None,
        };
        let (status, body) = match body {
            Some(body) => (200, body),
            None => (404, r#"{"code":-1,"msg":"Not remembered."}"#.to_owned()),
        };
        RestReply {
            status,
            body,
            used_weight: 0,
            retry_after_s: None,
        }
    }

    fn call(
        &mut self,
        now: VenueMicros,
        ip: IpAddr,
        unit: TimeUnit,
        method: Method,
        params: &Params,
        listing: Listing,
    ) -> Result<String, ApiError> {
        self.stats.requests += 1;
        self.charge(now, ip, method.weight(params))?;
        params.only(method.known_params())?;
        let server_time = unit.of(now);
        match method {
            Method::Ping => Ok("{}".to_owned()),
            Method::Time => Ok(format!(r#"{{"serverTime":{server_time}}}"#)),
            Method::ExchangeInfo => {
                let symbols = self.wanted(params)?;
                let specs = symbols.iter().map(|symbol| &self.specs[symbol.0]);
                Ok(methods::exchange_info(
                    server_time,
                    self.limits.weight_max(),
                    specs,
                    params,
                    listing,
                ))
            }
            Method::Depth => self.depth(params),
            Method::BookTicker => {
                let rows: Vec<_> = self
                    .wanted(params)?
                    .into_iter()
                    .map(|symbol| {
                        let book = self.market.snapshot(symbol, 1);
                        render::ticker_row(&self.specs[symbol.0].symbol, &book)
                    })
                    .collect();
                Ok(match (params.has("symbol"), rows.first()) {
                    (true, Some(row)) => row.clone(),
                    _ => format!("[{}]", rows.join(",")),
                })
            }
        }
    }

    /// Counts request weight, or says why the request is refused.
    pub(super) fn charge(
        &mut self,
        now: VenueMicros,
        ip: IpAddr,
        weight: u32,
    ) -> Result<(), ApiError> {
        let refusal = match self.limits.charge(now, ip, weight) {
            Verdict::Allowed => return Ok(()),
            Verdict::Limited { retry_at } => {
                ApiError::too_much_weight(self.limits.weight_max(), retry_at)
            }
            Verdict::Banned { until } => ApiError::banned(until),
        };
        self.stats.refused += 1;
        Err(refusal)
    }

    fn depth(&mut self, params: &Params) -> Result<String, ApiError> {
        let symbol = self.symbol(&params.symbol("symbol")?)?;
        let limit = params.depth_limit()?.min(SNAPSHOT_LEVELS_MAX);
        params.status()?;
        self.stats.depth_requests += 1;
        if let Some(recorded) = self.market.recorded() {
            recorded.asked(symbol);
        }
        let mut fired = Vec::new();
        self.faults.next(Applies::Snapshot, &mut fired);
        let book = if fired.is_empty() {
            self.market.snapshot(symbol, limit)
        } else {
            let mut book = self.oldest[symbol.0].clone();
            book.bids.truncate(limit);
            book.asks.truncate(limit);
            book
        };
        Ok(render::depth_snapshot(&book))
    }

    /// The symbols that `symbol` or `symbols` name; all without either.
    fn wanted(&self, params: &Params) -> Result<Vec<SymbolIndex>, ApiError> {
        params.status()?;
        match (params.has("symbol"), params.has("symbols")) {
            (true, true) => Err(ApiError::bad_combination()),
            (true, false) => Ok(vec![self.symbol(&params.symbol("symbol")?)?]),
            (false, true) => params
                .symbols()?
                .iter()
                .map(|symbol| self.symbol(symbol))
                .collect(),
            (false, false) => Ok((0..self.specs.len()).map(SymbolIndex).collect()),
        }
    }

    fn symbol(&self, symbol: &str) -> Result<SymbolIndex, ApiError> {
        self.position(symbol).ok_or_else(ApiError::bad_symbol)
    }

    /// The book now, for comparison.
    pub(crate) fn book_now(&self, symbol: &str, limit: usize) -> Option<Snapshot> {
        Some(self.market.snapshot(self.position(symbol)?, limit))
    }
}

/// A websocket API request whose envelope is sound.
struct Request {
    id: Id,
    method: Option<Method>,
    params: Params,
}

impl Request {
    fn parse(text: &str) -> Result<Self, (Id, ApiError)> {
        let Ok(Value::Object(mut request)) = serde_json::from_str::<Value>(text) else {
            return Err((NO_ID, ApiError::invalid_json("Invalid JSON Request")));
        };
        let id = match request.get("id") {
            Some(id) => Id::of(Some(id)),
            None => None,
        };
        let Some(id) = id else {
            return Err((
                NO_ID,
                ApiError::invalid_json(concat!(
                    "Invalid 'id' in JSON request; expected an integer, ",
                    "a string matching '^[a-zA-Z0-9-_]{1,36}$', or null."
                )),
            ));
        };
        let Some(Value::String(method)) = request.get("method") else {
            let error = "Invalid 'method' in JSON request; expected a string.";
            return Err((id, ApiError::invalid_json(error)));
        };
        let method = Method::of_name(method);
        let params = match request.remove("params") {
            None | Some(Value::Null) => Params::default(),
            Some(Value::Object(params)) => Params::of_json(params),
            Some(_) => {
                let error = "Invalid 'params' in JSON request; expected an object.";
                return Err((id, ApiError::invalid_json(error)));
            }
        };
        Ok(Self { id, method, params })
    }
}

impl ApiError {
    /// The error object of a websocket API reply.
    fn json(&self, server_time: u64, unit: TimeUnit) -> String {
        let data = match self.retry_at {
            Some(at) => format!(
                r#","data":{{"serverTime":{server_time},"retryAfter":{}}}"#,
                unit.of(at)
            ),
            None => String::new(),
        };
        format!(
            r#"{{"code":{},"msg":{}{data}}}"#,
            self.code,
            json_string(&self.msg)
        )
    }

    /// The body of an HTTP error.
    pub(crate) fn rest_json(&self) -> String {
        format!(
            r#"{{"code":{},"msg":{}}}"#,
            self.code,
            json_string(&self.msg)
        )
    }
}
