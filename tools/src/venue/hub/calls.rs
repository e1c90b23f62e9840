//! Requests: the websocket API's envelope, its REST twins, and the public methods.
//!
//! Owns: reading an envelope, the order weight, parameters, answer of public methods. Does not:
//! know what a method is called or costs; [`methods`](super::super::methods) does. Invariant:
//! whatever a client sends is answered, and one method answers alike on both ways.

use std::net::IpAddr;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use super::super::connection::Out;
use super::super::faults::Applies;
use super::super::limits::Verdict;
use super::super::methods::{self, ApiError, Listing, Method, Params, Public, Verb};
use super::super::render::{self, TimeUnit};
use super::super::source::{Snapshot, SymbolIndex, VenueMicros};
use super::super::streams::Id;
use super::replies::{Caller, ReplyTo, RestReply};
use super::trade::Proof;
use super::{ConnectionId, Hub, NO_ID, SNAPSHOT_LEVELS_MAX};

/// An HTTP request under `/api/v3` or `/sim/v1`.
#[derive(Clone, Debug)]
pub(crate) struct RestRequest {
    pub(crate) ip: IpAddr,
    pub(crate) unit: TimeUnit,
    pub(crate) verb: Verb,
    pub(crate) path: String,
    /// Of the query, then of the body, decoded.
    pub(crate) params: Vec<(String, String)>,
    /// What a signature signs.
    pub(crate) payload: String,
    /// `X-MBX-APIKEY`.
    pub(crate) api_key: Option<String>,
}

impl Hub {
    /// Takes one text frame of a websocket API connection.
    pub(super) fn api_request(&mut self, now: VenueMicros, connection: ConnectionId, text: &str) {
        let Some(asking) = self.connections.get(&connection) else {
            return;
        };
        let (ip, unit) = (asking.ip, asking.unit);
        let return_rate_limits = asking.return_rate_limits;
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err((id, error)) => {
                let caller = Caller {
                    ip,
                    unit,
                    to: ReplyTo::Socket { connection, id },
                    with_limits: false,
                };
                return self.answer(now, caller, Err(error));
            }
        };
        let mut params = request.params;
        let flag = params.take_flag("returnRateLimits");
        let caller = Caller {
            ip,
            unit,
            to: ReplyTo::Socket {
                connection,
                id: request.id,
            },
            with_limits: match flag {
                Ok(Some(flag)) => flag,
                Ok(None) | Err(_) => return_rate_limits,
            },
        };
        match (flag, request.method) {
            (Err(error), _) => self.answer(now, caller, Err(error)),
            (Ok(_), None) => self.answer(now, caller, Err(ApiError::unsupported())),
            (Ok(_), Some(method)) => {
                self.request(now, caller, method, &params, &Proof::Frame(text));
            }
        }
    }

    /// Takes an HTTP request; the answer comes when it is due, or never when a fault says so.
    pub(crate) fn rest(
        &mut self,
        now: VenueMicros,
        request: &RestRequest,
    ) -> oneshot::Receiver<RestReply> {
        let (sender, receiver) = oneshot::channel();
        if let Some(route) = request.path.strip_prefix("/sim/v1/") {
            // Nobody can have dropped the receiver yet.
            drop(sender.send(self.simulation(route, &request.params)));
            return receiver;
        }
        let caller = Caller {
            ip: request.ip,
            unit: request.unit,
            to: ReplyTo::Http(sender),
            with_limits: false,
        };
        match Method::of_route(request.verb, &request.path) {
            Ok(method) => {
                // What happened before the request comes before it.
                self.catch_up(now);
                let params = Params::of_query(&request.params);
                let proof = Proof::Http {
                    payload: &request.payload,
                    api_key: request.api_key.as_deref(),
                };
                self.request(now, caller, method, &params, &proof);
                self.cut_if_banned(now, request.ip);
            }
            Err(error) => self.answer(now, caller, Err(error)),
        }
        receiver
    }

    fn request(
        &mut self,
        now: VenueMicros,
        caller: Caller,
        method: Method,
        params: &Params,
        proof: &Proof<'_>,
    ) {
        self.stats.requests += 1;
        if let Err(error) = self.charge(now, caller.ip, method.weight(params)) {
            return self.answer(now, caller, Err(error));
        }
        let known = params.only(&method.known_params(caller.connection().is_some()));
        match (known, method) {
            (Err(error), Method::Public(_)) => self.answer(now, caller, Err(error)),
            (Ok(()), Method::Public(public)) => {
                let result = self.public_call(now, &caller, public, params);
                self.answer(now, caller, result);
            }
            (known, Method::Session(session)) => {
                self.session_call(now, caller, session, params, proof, known);
            }
            (known, Method::Signed(signed)) => {
                self.signed_call(now, caller, signed, params, proof, known);
            }
        }
    }

    /// What only a simulated venue has: `book?symbol=&updateId=` and `books?symbol=`.
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
            order_counts: None,
            retry_after_s: None,
        }
    }

    fn public_call(
        &mut self,
        now: VenueMicros,
        caller: &Caller,
        method: Public,
        params: &Params,
    ) -> Result<String, ApiError> {
        let server_time = caller.unit.of(now);
        match method {
            Public::Ping => Ok("{}".to_owned()),
            Public::Time => Ok(format!(r#"{{"serverTime":{server_time}}}"#)),
            Public::ExchangeInfo => self.exchange_info(server_time, params, caller.listing()),
            Public::Depth => self.depth(params),
            Public::BookTicker => {
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

    fn exchange_info(
        &self,
        server_time: u64,
        params: &Params,
        listing: Listing,
    ) -> Result<String, ApiError> {
        let symbols = self.wanted(params)?;
        let rules = symbols
            .iter()
            .map(|symbol| self.trading.exchange.rules(*symbol));
        Ok(methods::exchange_info(
            server_time,
            self.limits.weight_max(),
            self.trading.limits,
            rules,
            params.shows_permission_sets(),
            listing,
        ))
    }

    fn depth(&mut self, params: &Params) -> Result<String, ApiError> {
        let symbol = self.symbol(&params.symbol("symbol")?)?;
        let limit = params.depth_limit()?.min(SNAPSHOT_LEVELS_MAX);
        self.has_status(symbol, params)?;
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

    /// The symbols that `symbol` or `symbols` name; without either all, or all of the status that
    /// is asked for.
    fn wanted(&self, params: &Params) -> Result<Vec<SymbolIndex>, ApiError> {
        match (params.has("symbol"), params.has("symbols")) {
            (true, true) => Err(ApiError::bad_combination()),
            (true, false) => {
                let symbol = self.symbol(&params.symbol("symbol")?)?;
                self.has_status(symbol, params)?;
                Ok(vec![symbol])
            }
            (false, true) => params
                .symbols()?
                .iter()
                .map(|symbol| {
                    let symbol = self.symbol(symbol)?;
                    self.has_status(symbol, params)?;
                    Ok(symbol)
                })
                .collect(),
            (false, false) => {
                let wanted = params.status()?;
                let all = (0..self.specs.len()).map(SymbolIndex);
                let fits = |symbol: &SymbolIndex| {
                    wanted.is_none_or(|status| status == self.status_word(*symbol))
                };
                Ok(all.filter(fits).collect())
            }
        }
    }

    /// Checks `symbolStatus` against the symbol's.
    fn has_status(&self, symbol: SymbolIndex, params: &Params) -> Result<(), ApiError> {
        match params.status()? {
            Some(wanted) if wanted != self.status_word(symbol) => Err(ApiError::bad_request(
                -1220,
                "The symbol's status does not match the requested symbolStatus.",
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn status_word(&self, symbol: SymbolIndex) -> &'static str {
        methods::status_word(self.trading.exchange.rules(symbol).status)
    }

    pub(super) fn symbol(&self, symbol: &str) -> Result<SymbolIndex, ApiError> {
        self.position(symbol).ok_or_else(ApiError::bad_symbol)
    }

    /// The book now, for comparison.
    pub(crate) fn book_now(&self, symbol: &str, limit: usize) -> Option<Snapshot> {
        Some(self.market.snapshot(self.position(symbol)?, limit))
    }

    /// Sends a text to a websocket.
    pub(super) fn tell(&mut self, connection: ConnectionId, text: String) {
        self.send(connection, Out::Text(Bytes::from(text)));
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
