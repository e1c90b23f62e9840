//! Parameters of a request, read one by one with the venue's error for each way to get it wrong.
//!
//! Owns: [`Params`] and the legal texts of names, numbers and flags. Does not: know which method
//! wants which; [`Method`](super::Method) does. Source: Binance Spot `errors.md`, 11xx.

use serde_json::{Map, Value};
use veloz_core::units::{DecimalError, E8};

use super::super::source::VenueMicros;
use super::error::{ApiError, CLIENT_ID_RANGE, DECIMAL_RANGE, INTEGER_RANGE};

/// Levels a side when a depth request names no limit.
pub(crate) const DEPTH_LIMIT_DEFAULT: usize = 100;
/// Most names in one `symbols` list.
const SYMBOLS_MAX: usize = 1_024;
/// Longest client order id.
const CLIENT_ID_CHARS_MAX: usize = 36;
/// Digits on either side of a decimal's point.
const DECIMAL_DIGITS_MAX: usize = 20;
/// Times from here on are microseconds, as with `timestamp`.
const MICROSECONDS_FROM: u64 = 100_000_000_000_000;

/// Parameters of a request, as JSON values; those of a query string are all text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Map<String, Value>);

impl Params {
    pub(crate) fn of_json(params: Map<String, Value>) -> Self {
        Self(params)
    }

    /// From a query string; the first of two values of a name counts.
    pub(crate) fn of_query(query: &[(String, String)]) -> Self {
        let mut params = Map::new();
        for (name, value) in query {
            params
                .entry(name.clone())
                .or_insert_with(|| Value::from(value.as_str()));
        }
        Self(params)
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

    /// A boolean, or its text on REST.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => match text.as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(ApiError::invalid(name)),
            },
        }
    }

    /// Refuses parameters that the method does not read.
    pub(crate) fn only(&self, known: &[&[&str]]) -> Result<(), ApiError> {
        let sent = self.0.len();
        let read = known.iter().copied().flatten();
        let read = read.filter(|name| self.has(name)).count();
        if sent > 0 && known.iter().all(|names| names.is_empty()) {
            return Err(ApiError::too_many(sent));
        }
        if read < sent {
            return Err(ApiError::unread(read, sent));
        }
        Ok(())
    }

    /// An optional parameter as text, numbers and flags as they are printed.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        let text = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Null) => String::new(),
            Some(Value::Array(_) | Value::Object(_)) => return Err(ApiError::invalid(name)),
        };
        if text.is_empty() {
            return Err(ApiError::empty(name));
        }
        Ok(Some(text))
    }

    /// A mandatory parameter as text.
    pub(crate) fn mandatory_text(&self, name: &str) -> Result<String, ApiError> {
        match self.text(name) {
            Ok(Some(text)) => Ok(text),
            Ok(None) | Err(_) => Err(ApiError::mandatory(name)),
        }
    }

    /// A non-negative integer of at most 63 bits.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if text.len() > DECIMAL_DIGITS_MAX || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::illegal(name, INTEGER_RANGE));
        }
        match text.parse::<i64>() {
            Ok(number) => Ok(Some(number.unsigned_abs())),
            Err(_) => Err(ApiError::overflow(name)),
        }
    }

    pub(crate) fn mandatory_integer(&self, name: &str) -> Result<u64, ApiError> {
        if matches!(self.0.get(name), Some(Value::Null)) {
            return Err(ApiError::mandatory(name));
        }
        match self.integer(name) {
            Ok(Some(number)) => Ok(number),
            Ok(None) => Err(ApiError::mandatory(name)),
            Err(error) if error.code == -1105 => Err(ApiError::mandatory(name)),
            Err(error) => Err(error),
        }
    }

    /// A time in milliseconds or microseconds.
    pub(crate) fn time(&self, name: &str) -> Result<Option<VenueMicros>, ApiError> {
        Ok(self.integer(name)?.map(|stamp| {
            if stamp >= MICROSECONDS_FROM {
                VenueMicros(stamp)
            } else {
                VenueMicros(stamp * 1_000)
            }
        }))
    }

    /// A decimal of at most eight places.
    pub(crate) fn decimal(&self, name: &str) -> Result<Option<E8>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if !is_decimal(&text) {
            return Err(ApiError::illegal(name, DECIMAL_RANGE));
        }
        match E8::parse(text.as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(DecimalError::OffGrid) => Err(ApiError::too_precise(name)),
            Err(DecimalError::Range) => Err(ApiError::overflow(name)),
            Err(DecimalError::Syntax) => Err(ApiError::illegal(name, DECIMAL_RANGE)),
        }
    }

    pub(crate) fn mandatory_decimal(&self, name: &str) -> Result<E8, ApiError> {
        match self.decimal(name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(ApiError::mandatory(name)),
            Err(error) if error.code == -1105 => Err(ApiError::mandatory(name)),
            Err(error) => Err(error),
        }
    }

    /// A decimal of at most three places, in thousandths.
    pub(crate) fn thousandths(&self, name: &str) -> Result<Option<u64>, ApiError> {
        const E8_IN_A_THOUSANDTH: i64 = 100_000;
        match self.decimal(name)? {
            None => Ok(None),
            Some(E8(value)) if value % E8_IN_A_THOUSANDTH == 0 => Ok(Some(
                value.unsigned_abs() / E8_IN_A_THOUSANDTH.unsigned_abs(),
            )),
            Some(_) => Err(ApiError::illegal(name, r"^([0-9]{1,20})(\.[0-9]{1,3})?$")),
        }
    }

    /// A client order id.
    pub(crate) fn client_id(&self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if text.len() > CLIENT_ID_CHARS_MAX || !text.chars().all(legal) {
            return Err(ApiError::illegal(name, CLIENT_ID_RANGE));
        }
        Ok(Some(text))
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
            None => Err(ApiError::illegal(NAME, INTEGER_RANGE)),
        }
    }

    /// The status that `symbolStatus` asks for.
    pub(crate) fn status(&self) -> Result<Option<&str>, ApiError> {
        match self.0.get("symbolStatus").map(Value::as_str) {
            None => Ok(None),
            Some(Some(status @ ("TRADING" | "END_OF_DAY" | "HALT" | "BREAK" | "CANCEL_ONLY"))) => {
                Ok(Some(status))
            }
            Some(_) => Err(ApiError::bad_request(-1122, "Invalid symbolStatus.")),
        }
    }

    pub(crate) fn shows_permission_sets(&self) -> bool {
        !matches!(
            self.0.get("showPermissionSets"),
            Some(Value::Bool(false) | Value::String(_))
        ) || self.0.get("showPermissionSets").and_then(Value::as_str) == Some("true")
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| {
        (1..=DECIMAL_DIGITS_MAX).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
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

        let only = |json, known: &[&str]| params(json).only(&[known]).map_err(|error| error.msg);
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
        let status = |json| {
            let params = params(json);
            let status = params.status().map_err(|error| error.code);
            status.map(|status| status.map(str::to_owned))
        };
        assert_eq!(
            status(r#"{"symbolStatus":"HALT"}"#),
            Ok(Some("HALT".to_owned()))
        );
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
    fn numbers_are_read_exactly_or_refused_by_name() {
        let decimal = |text: &str| {
            let params = params(&format!(r#"{{"price":{text}}}"#));
            params
                .decimal("price")
                .map_err(|error| (error.code, error.msg))
        };
        assert_eq!(decimal(r#""0.00000001""#), Ok(Some(E8(1))));
        assert_eq!(decimal("1.5"), Ok(Some(E8(150_000_000))));
        assert_eq!(decimal(r#""1.000000000000""#), Ok(Some(E8(100_000_000))));
        let too_precise = "Parameter 'price' has too much precision.".to_owned();
        assert_eq!(decimal(r#""0.000000001""#), Err((-1111, too_precise)));
        let illegal = concat!(
            "Illegal characters found in parameter 'price'; legal range is ",
            r"'^([0-9]{1,20})(\.[0-9]{1,20})?$'."
        )
        .to_owned();
        for bad in [
            r#""-1""#, r#""1e5""#, r#""1.""#, r#"".5""#, r#""x""#, "-3", r#"" 1""#,
        ] {
            assert_eq!(decimal(bad), Err((-1100, illegal.clone())), "{bad}");
        }
        let overflow = "Parameter 'price' overflowed.".to_owned();
        assert_eq!(decimal(r#""99999999999999999999""#), Err((-1108, overflow)));
        let empty = "Parameter 'price' was empty.".to_owned();
        assert_eq!(decimal(r#""""#), Err((-1105, empty.clone())));
        assert_eq!(decimal("null"), Err((-1105, empty)));
        let invalid = "Data sent for parameter 'price' is not valid.".to_owned();
        assert_eq!(decimal("[]"), Err((-1130, invalid)));
        assert_eq!(params("{}").decimal("price"), Ok(None));

        let mandatory = |json| params(json).mandatory_decimal("price").map_err(|e| e.code);
        assert_eq!(mandatory("{}"), Err(-1102));
        assert_eq!(mandatory(r#"{"price":""}"#), Err(-1102));
        assert_eq!(mandatory(r#"{"price":"x"}"#), Err(-1100));

        let integer = |json| params(json).integer("n").map_err(|error| error.code);
        assert_eq!(
            integer(r#"{"n":9223372036854775807}"#),
            Ok(Some(i64::MAX as u64))
        );
        assert_eq!(integer(r#"{"n":"12"}"#), Ok(Some(12)));
        assert_eq!(integer(r#"{"n":"9223372036854775808"}"#), Err(-1108));
        for bad in [r#"{"n":-1}"#, r#"{"n":1.5}"#, r#"{"n":"x"}"#] {
            assert_eq!(integer(bad), Err(-1100), "{bad}");
        }
        let mandatory = |json| {
            params(json)
                .mandatory_integer("n")
                .map_err(|error| error.code)
        };
        assert_eq!(mandatory("{}"), Err(-1102));
        assert_eq!(mandatory(r#"{"n":null}"#), Err(-1102));
        assert_eq!(mandatory(r#"{"n":""}"#), Err(-1102));
    }

    #[test]
    fn ids_flags_and_times_have_their_own_texts() {
        let id = |json| params(json).client_id("id").map_err(|error| error.code);
        assert_eq!(id(r#"{"id":"a-Z_9"}"#), Ok(Some("a-Z_9".to_owned())));
        assert_eq!(id(r#"{"id":17}"#), Ok(Some("17".to_owned())));
        assert_eq!(id(r#"{"id":"a b"}"#), Err(-1100));
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(37));
        assert_eq!(id(&long), Err(-1100));
        let flag = |json| params(json).flag("f").map_err(|error| error.code);
        assert_eq!(flag(r#"{"f":true}"#), Ok(Some(true)));
        assert_eq!(flag(r#"{"f":"false"}"#), Ok(Some(false)));
        assert_eq!(flag(r#"{"f":"yes"}"#), Err(-1130));
        let time = |json| params(json).time("t").map_err(|error| error.code);
        assert_eq!(
            time(r#"{"t":1700000000000}"#),
            Ok(Some(VenueMicros(1_700_000_000_000_000)))
        );
        assert_eq!(
            time(r#"{"t":1700000000000001}"#),
            Ok(Some(VenueMicros(1_700_000_000_000_001)))
        );
        let query = [
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), "2".to_owned()),
        ];
        assert_eq!(
            Params::of_query(&query).integer("a"),
            Ok(Some(1)),
            "the query wins"
        );
    }
}
