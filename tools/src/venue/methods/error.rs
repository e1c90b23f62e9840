//! Refused requests, in the venue's words.
//!
//! Owns: [`ApiError`] and one constructor for each refusal that the API layer itself makes. Does
//! not: know what the matching engine refuses. Source: Binance Spot `errors.md`.

use super::super::render::{TimeUnit, json_string};
use super::super::source::VenueMicros;

/// Why parameters are not numbers that the venue reads.
pub(crate) const DECIMAL_RANGE: &str = r"^([0-9]{1,20})(\.[0-9]{1,20})?$";
pub(crate) const INTEGER_RANGE: &str = "^[0-9]{1,20}$";
pub(crate) const CLIENT_ID_RANGE: &str = "^[a-zA-Z0-9-_]{1,36}$";

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: i32,
    pub(crate) msg: String,
    pub(crate) detail: Detail,
}

/// What goes with a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    None,
    /// When a limit lifts.
    Retry(VenueMicros),
    /// `data` as it is printed.
    Data(String),
}

impl ApiError {
    pub(crate) fn new(status: u16, code: i32, msg: impl Into<String>) -> Self {
        Self {
            status,
            code,
            msg: msg.into(),
            detail: Detail::None,
        }
    }

    pub(crate) fn bad_request(code: i32, msg: impl Into<String>) -> Self {
        Self::new(400, code, msg)
    }

    fn until(self, at: VenueMicros) -> Self {
        Self {
            detail: Detail::Retry(at),
            ..self
        }
    }

    /// When the limit that refused the request lifts.
    pub(crate) fn retry_at(&self) -> Option<VenueMicros> {
        match self.detail {
            Detail::Retry(at) => Some(at),
            Detail::None | Detail::Data(_) => None,
        }
    }

    // The envelope and the method.

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

    pub(crate) fn no_such_verb() -> Self {
        Self {
            status: 405,
            ..Self::unsupported()
        }
    }

    pub(crate) fn bad_time_unit() -> Self {
        Self::bad_request(
            -1194,
            "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
        )
    }

    pub(crate) fn unreadable() -> Self {
        Self::bad_request(
            -1000,
            "An unknown error occurred while processing the request.",
        )
    }

    // Limits.

    pub(crate) fn too_much_weight(limit: u32, retry_at: VenueMicros) -> Self {
        let msg = format!(
            concat!(
                "Too much request weight used; current limit is {} request weight per ",
                "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling ",
                "the API."
            ),
            limit
        );
        Self::new(429, -1003, msg).until(retry_at)
    }

    pub(crate) fn banned(until: VenueMicros) -> Self {
        let msg = format!(
            concat!(
                "Way too much request weight used; IP banned until {}. Please use WebSocket ",
                "Streams for live updates to avoid bans."
            ),
            until.0 / 1_000
        );
        Self::new(418, -1003, msg).until(until)
    }

    pub(crate) fn too_many_orders(limit: u32, interval: &str, retry_at: VenueMicros) -> Self {
        let msg = format!("Too many new orders; current limit is {limit} orders per {interval}.");
        Self::new(429, -1015, msg).until(retry_at)
    }

    pub(crate) fn too_many_connections(max: usize) -> Self {
        let msg = format!("Too many concurrent connections; current limit is '{max}'.");
        Self::new(429, -1034, msg)
    }

    // Who asks, and when.

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            401,
            -1002,
            "You are not authorized to execute this request.",
        )
    }

    pub(crate) fn ill_formed_key() -> Self {
        Self::new(401, -2014, "API-key format invalid.")
    }

    pub(crate) fn rejected_key() -> Self {
        Self::new(
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        )
    }

    pub(crate) fn hmac_cannot_log_on() -> Self {
        Self::bad_request(-4056, "HMAC_SHA256 API key is not supported.")
    }

    pub(crate) fn bad_signature() -> Self {
        Self::bad_request(-1022, "Signature for this request is not valid.")
    }

    pub(crate) fn outside_the_window() -> Self {
        Self::bad_request(
            -1021,
            "Timestamp for this request is outside of the recvWindow.",
        )
    }

    pub(crate) fn ahead_of_time() -> Self {
        Self::bad_request(
            -1021,
            "Timestamp for this request was 1000ms ahead of the server's time.",
        )
    }

    pub(crate) fn subscription_active() -> Self {
        Self::bad_request(-2035, "User Data Stream subscription already active.")
    }

    pub(crate) fn subscription_inactive() -> Self {
        Self::bad_request(-2036, "User Data Stream subscription not active.")
    }

    pub(crate) fn subscriptions_exhausted() -> Self {
        Self::bad_request(
            -2042,
            "Maximum subscription ID reached for this connection.",
        )
    }

    // Outcomes that say nothing.

    pub(crate) fn timeout() -> Self {
        Self::new(
            504,
            -1007,
            concat!(
                "Timeout waiting for response from backend server. Send status unknown; ",
                "execution status unknown."
            ),
        )
    }

    pub(crate) fn overloaded() -> Self {
        Self::new(
            503,
            -1008,
            concat!(
                "Server is currently overloaded with other requests. Please try again in a few ",
                "minutes."
            ),
        )
    }

    // Parameters.

    pub(crate) fn bad_symbol() -> Self {
        Self::bad_request(-1121, "Invalid symbol.")
    }

    pub(crate) fn bad_combination() -> Self {
        Self::bad_request(-1128, "Combination of optional parameters invalid.")
    }

    pub(crate) fn mandatory(name: &str) -> Self {
        Self::bad_request(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }

    pub(crate) fn one_of(first: &str, second: &str) -> Self {
        Self::bad_request(
            -1102,
            format!("Param '{first}' or '{second}' must be sent, but both were empty/null!"),
        )
    }

    pub(crate) fn too_great(name: &str, max: u64) -> Self {
        Self::bad_request(
            -1102,
            format!("'{name}' contains unexpected value. Cannot be greater than {max}."),
        )
    }

    pub(crate) fn too_many(sent: usize) -> Self {
        Self::bad_request(
            -1101,
            format!("Too many parameters; expected '0' and received '{sent}'."),
        )
    }

    pub(crate) fn unread(read: usize, sent: usize) -> Self {
        Self::bad_request(
            -1104,
            format!(
                concat!(
                    "Not all sent parameters were read; read '{}' parameter(s) ",
                    "but was sent '{}'."
                ),
                read, sent
            ),
        )
    }

    pub(crate) fn twice() -> Self {
        Self::bad_request(-1101, "Duplicate values for a parameter detected.")
    }

    pub(crate) fn empty(name: &str) -> Self {
        Self::bad_request(-1105, format!("Parameter '{name}' was empty."))
    }

    pub(crate) fn not_required(name: &str) -> Self {
        Self::bad_request(-1106, format!("Parameter '{name}' sent when not required."))
    }

    pub(crate) fn overflow(name: &str) -> Self {
        Self::bad_request(-1108, format!("Parameter '{name}' overflowed."))
    }

    pub(crate) fn too_precise(name: &str) -> Self {
        Self::bad_request(-1111, format!("Parameter '{name}' has too much precision."))
    }

    pub(crate) fn illegal(name: &str, range: &str) -> Self {
        Self::bad_request(
            -1100,
            format!("Illegal characters found in parameter '{name}'; legal range is '{range}'."),
        )
    }

    pub(crate) fn invalid(name: &str) -> Self {
        Self::bad_request(
            -1130,
            format!("Data sent for parameter '{name}' is not valid."),
        )
    }

    /// The error object of a websocket API reply.
    pub(crate) fn json(&self, server_time: u64, unit: TimeUnit) -> String {
        match &self.detail {
            Detail::Retry(at) => self.with_data(&format!(
                r#"{{"serverTime":{server_time},"retryAfter":{}}}"#,
                unit.of(*at)
            )),
            Detail::Data(data) => self.with_data(data),
            Detail::None => self.bare_json(),
        }
    }

    /// The body of an HTTP error.
    pub(crate) fn rest_json(&self) -> String {
        match &self.detail {
            Detail::Data(data) => self.with_data(data),
            // Over HTTP it is a header.
            Detail::Retry(_) | Detail::None => self.bare_json(),
        }
    }

    /// Code and message alone, as they stand inside the answer of a cancel-replace.
    pub(crate) fn bare_json(&self) -> String {
        format!(
            r#"{{"code":{},"msg":{}}}"#,
            self.code,
            json_string(&self.msg)
        )
    }

    fn with_data(&self, data: &str) -> String {
        format!(
            r#"{{"code":{},"msg":{},"data":{data}}}"#,
            self.code,
            json_string(&self.msg)
        )
    }
}
