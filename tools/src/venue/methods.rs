//! The market-data methods that the websocket API and REST share: names, weights, parameters,
//! errors, and the body of `exchangeInfo`.
//!
//! Owns: the table of methods. Does not: hold a book or count weight. Source: Binance Spot
//! `web-socket-api.md`, `rest-api.md`, `errors.md`; the row of `exchangeInfo` has the shape and
//! the key order of production's.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use veloz_core::units::E8;

use super::render::json_string;
use super::source::{SymbolSpec, VenueMicros};

/// Levels a side when a depth request names no limit.
const DEPTH_LIMIT_DEFAULT: usize = 100;
/// Most names in one `symbols` list.
const SYMBOLS_MAX: usize = 1_024;

/// A method of the market half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Ping,
    Time,
    ExchangeInfo,
    Depth,
    BookTicker,
}

impl Method {
    const ALL: [Self; 5] = [
        Self::Ping,
        Self::Time,
        Self::ExchangeInfo,
        Self::Depth,
        Self::BookTicker,
    ];

    /// Name on the websocket API and path on REST.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Ping => ("ping", "/api/v3/ping"),
            Self::Time => ("time", "/api/v3/time"),
            Self::ExchangeInfo => ("exchangeInfo", "/api/v3/exchangeInfo"),
            Self::Depth => ("depth", "/api/v3/depth"),
            Self::BookTicker => ("ticker.book", "/api/v3/ticker/bookTicker"),
        }
    }

    /// By websocket API name, with or without its version.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("v3/").unwrap_or(name);
        Self::ALL
            .into_iter()
            .find(|method| method.names().0 == name)
    }

    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|method| method.names().1 == path)
    }

    /// Request weight, charged before the request is looked at.
    pub(crate) fn weight(self, params: &Params) -> u32 {
        match self {
            Self::Ping | Self::Time => 1,
            Self::ExchangeInfo => 20,
            Self::Depth => match params.depth_limit().unwrap_or(DEPTH_LIMIT_DEFAULT) {
                0..=100 => 5,
                101..=500 => 25,
                501..=1_000 => 50,
                _ => 250,
            },
            Self::BookTicker if params.has("symbol") => 2,
            Self::BookTicker => 4,
        }
    }

    pub(crate) fn known_params(self) -> &'static [&'static str] {
        match self {
            Self::Ping | Self::Time => &[],
            Self::ExchangeInfo => &[
                "symbol",
                "symbols",
                "permissions",
                "symbolStatus",
                "showPermissionSets",
            ],
            Self::Depth => &["symbol", "limit", "symbolStatus"],
            Self::BookTicker => &["symbol", "symbols", "symbolStatus"],
        }
    }
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: i32,
    pub(crate) msg: String,
    /// When a limit lifts.
    pub(crate) retry_at: Option<VenueMicros>,
}

impl ApiError {
    fn bad_request(code: i32, msg: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            msg: msg.into(),
            retry_at: None,
        }
    }

    pub(crate) fn invalid_json(msg: &str) -> Self {
        Self::bad_request(-1135, msg)
    }

    pub(crate) fn unsupported() -> Self {
        Self::bad_request(-1020, "This operation is not supported.")
    }

    pub(crate) fn no_such_path() -> Self {
        Self {
            status: 404,
            ..Self::unsupported()
        }
    }

    pub(crate) fn bad_symbol() -> Self {
        Self::bad_request(-1121, "Invalid symbol.")
    }

    pub(crate) fn bad_combination() -> Self {
        Self::bad_request(-1128, "Combination of optional parameters invalid.")
    }

    pub(crate) fn bad_time_unit() -> Self {
        Self::bad_request(
            -1194,
            "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
        )
    }

    pub(crate) fn too_much_weight(limit: u32, retry_at: VenueMicros) -> Self {
        Self {
            status: 429,
            code: -1003,
            msg: format!(
                concat!(
                    "Too much request weight used; current limit is {} request weight per ",
                    "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling ",
                    "the API."
                ),
                limit
            ),
            retry_at: Some(retry_at),
        }
    }

    pub(crate) fn banned(until: VenueMicros) -> Self {
        Self {
            status: 418,
            code: -1003,
            msg: format!(
                concat!(
                    "Way too much request weight used; IP banned until {}. Please use WebSocket ",
                    "Streams for live updates to avoid bans."
                ),
                until.0 / 1_000
            ),
            retry_at: Some(until),
        }
    }

    pub(crate) fn too_many_connections(max: usize) -> Self {
        Self {
            status: 429,
            code: -1034,
            msg: format!("Too many concurrent connections; current limit is '{max}'."),
            retry_at: None,
        }
    }

    fn mandatory(name: &str) -> Self {
        Self::bad_request(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }

    fn illegal(name: &str, range: &str) -> Self {
        Self::bad_request(
            -1100,
            format!("Illegal characters found in parameter '{name}'; legal range is '{range}'."),
        )
    }

    fn invalid(name: &str) -> Self {
        Self::bad_request(
            -1130,
            format!("Data sent for parameter '{name}' is not valid."),
        )
    }
}

/// Parameters of a request, as JSON values; those of a query string are all text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Map<String, Value>);

impl Params {
    pub(crate) fn of_json(params: Map<String, Value>) -> Self {
        Self(params)
    }

    pub(crate) fn of_query(query: &[(String, String)]) -> Self {
        let pairs = query.iter();
        Self(
            pairs
                .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
                .collect(),
        )
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Removes a boolean; `Err` when it is something else.
    pub(crate) fn take_flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(ApiError::invalid(name)),
        }
    }

    /// Refuses parameters that the method does not read.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        let sent = self.0.len();
        let read = known.iter().filter(|name| self.has(name)).count();
        if known.is_empty() && sent > 0 {
            return Err(ApiError::bad_request(
                -1101,
                format!("Too many parameters; expected '0' and received '{sent}'."),
            ));
        }
        if read < sent {
            return Err(ApiError::bad_request(
                -1104,
                format!(
                    concat!(
                        "Not all sent parameters were read; read '{}' parameter(s) ",
                        "but was sent '{}'."
                    ),
                    read, sent
                ),
            ));
        }
        Ok(())
    }

    pub(crate) fn symbol(&self, name: &str) -> Result<String, ApiError> {
        match self.0.get(name) {
            Some(Value::String(symbol)) if !symbol.is_empty() => {
                checked_symbol(name, symbol).map(str::to_owned)
            }
            _ => Err(ApiError::mandatory(name)),
        }
    }

    /// The list of symbols: an array on the websocket API, its JSON text on REST.
    pub(crate) fn symbols(&self) -> Result<Vec<String>, ApiError> {
        const NAME: &str = "symbols";
        let list = match self.0.get(NAME) {
            Some(Value::Array(list)) => list.clone(),
            Some(Value::String(text)) => {
                serde_json::from_str(text).map_err(|_| ApiError::invalid(NAME))?
            }
            _ => return Err(ApiError::invalid(NAME)),
        };
        if list.is_empty() || list.len() > SYMBOLS_MAX {
            return Err(ApiError::invalid(NAME));
        }
        list.iter()
            .map(|symbol| match symbol {
                Value::String(symbol) => checked_symbol(NAME, symbol).map(str::to_owned),
                _ => Err(ApiError::invalid(NAME)),
            })
            .collect()
    }

    pub(crate) fn depth_limit(&self) -> Result<usize, ApiError> {
        const NAME: &str = "limit";
        let limit = match self.0.get(NAME) {
            None => return Ok(DEPTH_LIMIT_DEFAULT),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        match limit {
            Some(0) => Err(ApiError::invalid(NAME)),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
            None => Err(ApiError::illegal(NAME, "^[0-9]{1,20}$")),
        }
    }

    /// Checks `symbolStatus`; every symbol here trades.
    pub(crate) fn status(&self) -> Result<(), ApiError> {
        match self.0.get("symbolStatus").map(Value::as_str) {
            None | Some(Some("TRADING")) => Ok(()),
            Some(Some("END_OF_DAY" | "HALT" | "BREAK" | "CANCEL_ONLY")) => Err(
                ApiError::bad_request(-1220, "The symbol's status does not match."),
            ),
            Some(_) => Err(ApiError::bad_request(-1122, "Invalid symbolStatus.")),
        }
    }

    fn shows_permission_sets(&self) -> bool {
        !matches!(
            self.0.get("showPermissionSets"),
            Some(Value::Bool(false) | Value::String(_))
        ) || self.0.get("showPermissionSets").and_then(Value::as_str) == Some("true")
    }
}

fn checked_symbol<'a>(name: &str, symbol: &'a str) -> Result<&'a str, ApiError> {
    let legal = |c: char| {
        c.is_ascii_uppercase()
            || c.is_ascii_digit()
            || matches!(c, '-' | '_' | '.')
            || (!c.is_ascii() && c.is_alphanumeric())
    };
    if symbol.chars().count() <= 50 && symbol.chars().all(legal) {
        Ok(symbol)
    } else {
        Err(ApiError::illegal(name, r"^[\w\-._&&[^a-z]]{1,50}$"))
    }
}

/// Who lists the rate limits: the websocket API has one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    Rest,
    WebsocketApi,
}

/// The body of `exchangeInfo`.
pub(crate) fn exchange_info<'a>(
    server_time: u64,
    weight_max: u32,
    specs: impl Iterator<Item = &'a SymbolSpec>,
    params: &Params,
    listing: Listing,
) -> String {
    let mut out = String::with_capacity(4_096);
    let _ = write!(
        out,
        concat!(
            r#"{{"timezone":"UTC","serverTime":{},"rateLimits":["#,
            r#"{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"#,
            r#""limit":{}}},"#,
            r#"{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":100}},"#,
            r#"{{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":200000}},"#,
            r#"{{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"#,
            r#""limit":300000}}"#
        ),
        server_time, weight_max
    );
    if listing == Listing::WebsocketApi {
        out.push_str(concat!(
            r#",{"rateLimitType":"CONNECTIONS","interval":"MINUTE","intervalNum":5,"#,
            r#""limit":300}"#
        ));
    }
    out.push_str(r#"],"exchangeFilters":[],"symbols":["#);
    for (position, spec) in specs.enumerate() {
        if position > 0 {
            out.push(',');
        }
        symbol_row(&mut out, spec, params.shows_permission_sets());
    }
    out.push_str(r#"],"sors":[]}"#);
    out
}

fn symbol_row(out: &mut String, spec: &SymbolSpec, permission_sets: bool) {
    // Production's bounds for BTCUSDT (tick 0.01, lot 0.00001), scaled with the grids.
    let price_max = E8(spec.tick.0.saturating_mul(100_000_000));
    let qty_max = E8(spec.lot.0.saturating_mul(900_000_000));
    let market_qty_max = E8(spec.lot.0.saturating_mul(12_000_000));
    let _ = write!(
        out,
        concat!(
            r#"{{"symbol":{},"status":"TRADING","baseAsset":{},"baseAssetPrecision":8,"#,
            r#""quoteAsset":{},"quotePrecision":8,"quoteAssetPrecision":8,"#,
            r#""baseCommissionPrecision":8,"quoteCommissionPrecision":8,"#,
            r#""orderTypes":["LIMIT","LIMIT_MAKER","MARKET","STOP_LOSS","STOP_LOSS_LIMIT","#,
            r#""TAKE_PROFIT","TAKE_PROFIT_LIMIT"],"icebergAllowed":true,"ocoAllowed":true,"#,
            r#""otoAllowed":true,"opoAllowed":true,"quoteOrderQtyMarketAllowed":true,"#,
            r#""allowTrailingStop":true,"cancelReplaceAllowed":true,"amendAllowed":true,"#,
            r#""pegInstructionsAllowed":true,"isSpotTradingAllowed":true,"#,
            r#""isMarginTradingAllowed":true,"filters":["#,
            r#"{{"filterType":"PRICE_FILTER","minPrice":"{}","maxPrice":"{}","tickSize":"{}"}},"#,
            r#"{{"filterType":"LOT_SIZE","minQty":"{}","maxQty":"{}","stepSize":"{}"}},"#,
            r#"{{"filterType":"ICEBERG_PARTS","limit":100}},"#,
            r#"{{"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":"{}","#,
            r#""stepSize":"0.00000000"}},"#,
            r#"{{"filterType":"TRAILING_DELTA","minTrailingAboveDelta":10,"#,
            r#""maxTrailingAboveDelta":2000,"minTrailingBelowDelta":10,"#,
            r#""maxTrailingBelowDelta":2000}},"#,
            r#"{{"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"5","#,
            r#""bidMultiplierDown":"0.2","askMultiplierUp":"5","askMultiplierDown":"0.2","#,
            r#""avgPriceMins":5}},"#,
            r#"{{"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"#,
            r#""maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5}},"#,
            r#"{{"filterType":"MAX_NUM_ORDERS","maxNumOrders":200}},"#,
            r#"{{"filterType":"MAX_NUM_ORDER_LISTS","maxNumOrderLists":20}},"#,
            r#"{{"filterType":"MAX_NUM_ALGO_ORDERS","maxNumAlgoOrders":5}},"#,
            r#"{{"filterType":"MAX_NUM_ORDER_AMENDS","maxNumOrderAmends":10}}],"#,
            r#""permissions":[],"permissionSets":[{}],"#,
            r#""defaultSelfTradePreventionMode":"EXPIRE_MAKER","#,
            r#""allowedSelfTradePreventionModes":["EXPIRE_TAKER","EXPIRE_MAKER","#,
            r#""EXPIRE_BOTH","DECREMENT","TRANSFER"]}}"#
        ),
        json_string(&spec.symbol),
        json_string(&spec.base),
        json_string(&spec.quote),
        spec.tick,
        price_max,
        spec.tick,
        spec.lot,
        qty_max,
        spec.lot,
        market_qty_max,
        if permission_sets {
            r#"["SPOT","MARGIN"]"#
        } else {
            ""
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(json: &str) -> Params {
        match serde_json::from_str(json).expect("JSON") {
            Value::Object(map) => Params::of_json(map),
            _ => Params::default(),
        }
    }

    #[test]
    fn weights_follow_the_venues_table() {
        let cases = [
            (Method::Ping, "{}", 1),
            (Method::Time, "{}", 1),
            (Method::ExchangeInfo, "{}", 20),
            (Method::Depth, "{}", 5),
            (Method::Depth, r#"{"limit":100}"#, 5),
            (Method::Depth, r#"{"limit":101}"#, 25),
            (Method::Depth, r#"{"limit":501}"#, 50),
            (Method::Depth, r#"{"limit":1001}"#, 250),
            (Method::Depth, r#"{"limit":999999}"#, 250),
            (Method::BookTicker, r#"{"symbol":"X"}"#, 2),
            (Method::BookTicker, r#"{"symbols":["X"]}"#, 4),
            (Method::BookTicker, "{}", 4),
        ];
        for (method, json, weight) in cases {
            assert_eq!(method.weight(&params(json)), weight, "{method:?} {json}");
        }
    }

    #[test]
    fn parameters_fail_with_the_venues_codes() {
        let code = |result: Result<usize, ApiError>| result.expect_err("refused").code;
        assert_eq!(code(params(r#"{"limit":0}"#).depth_limit()), -1130);
        assert_eq!(code(params(r#"{"limit":-1}"#).depth_limit()), -1100);
        assert_eq!(code(params(r#"{"limit":"x"}"#).depth_limit()), -1100);
        assert_eq!(params(r#"{"limit":"7"}"#).depth_limit(), Ok(7));

        let symbol = |json| params(json).symbol("symbol").map_err(|error| error.code);
        assert_eq!(symbol("{}"), Err(-1102));
        assert_eq!(symbol(r#"{"symbol":""}"#), Err(-1102));
        assert_eq!(symbol(r#"{"symbol":"btcusdt"}"#), Err(-1100));
        assert_eq!(
            symbol(r#"{"symbol":"币安USDT"}"#),
            Ok("币安USDT".to_owned())
        );

        let only = |json, known: &[&str]| params(json).only(known).map_err(|error| error.msg);
        assert_eq!(
            only(r#"{"x":1}"#, &[]),
            Err("Too many parameters; expected '0' and received '1'.".to_owned())
        );
        assert_eq!(
            only(r#"{"symbol":"X","y":1}"#, &["symbol"]),
            Err(
                "Not all sent parameters were read; read '1' parameter(s) but was sent '2'."
                    .to_owned()
            )
        );
        let status = |json| params(json).status().map_err(|error| error.code);
        assert_eq!(status(r#"{"symbolStatus":"TRADING"}"#), Ok(()));
        assert_eq!(status(r#"{"symbolStatus":"HALT"}"#), Err(-1220));
        assert_eq!(status(r#"{"symbolStatus":"NO"}"#), Err(-1122));
        let symbols = |json| params(json).symbols().map_err(|error| error.code);
        assert_eq!(
            symbols(r#"{"symbols":"[\"A\"]"}"#),
            Ok(vec!["A".to_owned()])
        );
        assert_eq!(symbols(r#"{"symbols":[]}"#), Err(-1130));
        assert_eq!(symbols(r#"{"symbols":"A"}"#), Err(-1130));
    }

    #[test]
    fn exchange_info_is_json_with_every_filter() {
        let spec = SymbolSpec {
            symbol: "BTCUSDT".to_owned(),
            base: "BTC".to_owned(),
            quote: "USDT".to_owned(),
            tick: E8(1_000_000),
            lot: E8(1_000),
        };
        let text = exchange_info(
            7,
            6_000,
            [&spec].into_iter(),
            &Params::default(),
            Listing::Rest,
        );
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let row = &body["symbols"][0];
        assert_eq!(row["filters"].as_array().map(Vec::len), Some(11));
        assert_eq!(row["filters"][0]["tickSize"], "0.01000000");
        assert_eq!(row["filters"][0]["maxPrice"], "1000000.00000000");
        assert_eq!(row["filters"][1]["minQty"], "0.00001000");
        assert_eq!(row["filters"][1]["maxQty"], "9000.00000000");
        assert_eq!(row["permissionSets"][0][0], "SPOT");
        assert_eq!(body["rateLimits"].as_array().map(Vec::len), Some(4));
    }
}
