//! What went wrong with a request, in the one shape that every error answer has.
//!
//! Owns: [`Code`] with its statuses, [`Problem`], and [`render`], the only place where an error body is
//! written. Does not: decide what is an error. Invariant: every answer with a status of 400 or more
//! that a handler did not write as JSON itself leaves as this body, whoever made it.
//!
//! The body has `error` and `message`, which existing clients read, and beside them the members of
//! RFC 9457 (`type`, `title`, `status`, `detail`, `instance`); `field` names the field at fault, when
//! there is one. It stays `application/json`, because clients look for that word.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;
use veloz_core::labelled;

labelled! {
    /// Every error that the server answers with; the label is the `error` member.
    pub enum Code {
        /// A parameter, a path or a query is not what it must be.
        BadParams = "bad_params",
        /// The body is not the JSON that was expected.
        BadJson = "bad_json",
        /// Nobody says who he is where somebody must.
        AuthenticationRequired = "authentication_required",
        /// A token or ticket that is not good.
        InvalidToken = "invalid_token",
        /// An API key that is not good.
        InvalidApiKey = "invalid_api_key",
        /// Not this user's password.
        InvalidCredentials = "invalid_credentials",
        /// A refresh token that is not good.
        InvalidRefreshToken = "invalid_refresh_token",
        /// This request may not be made by whoever made it.
        Forbidden = "forbidden",
        /// No such path, or no such thing.
        NotFound = "not_found",
        /// The path exists, the method does not.
        MethodNotAllowed = "method_not_allowed",
        /// The request did not arrive in time.
        RequestTimeout = "request_timeout",
        /// What is asked for goes against the state of things.
        Conflict = "conflict",
        /// Nobody logs in here.
        AuthNotConfigured = "auth_not_configured",
        /// Nothing is recorded here.
        NotInitialized = "not_initialized",
        /// The body is larger than the limit.
        BodyTooLarge = "body_too_large",
        /// The request's target is longer than the limit.
        UriTooLong = "uri_too_long",
        /// The body's type is none that this route reads.
        UnsupportedMediaType = "unsupported_media_type",
        /// The request names another machine.
        Misdirected = "misdirected",
        /// Too many requests.
        RateLimitExceeded = "rate_limit_exceeded",
        /// The headers are more or longer than the limit.
        HeadersTooLarge = "headers_too_large",
        /// As many clients follow events as there may be.
        TooManyStreams = "too_many_streams",
        /// A fault of our own.
        Internal = "internal",
        /// Old audit records could not be packed.
        ArchiveFailed = "archive_failed",
        /// The handler did not finish in time.
        TimedOut = "timed_out",
        /// A change could not be kept, and was not made.
        StorageUnavailable = "storage_unavailable",
        /// The audit log cannot be written or read.
        AuditUnavailable = "audit_unavailable",
        /// Risk refused the order.
        OrderRejected = "order_rejected",
        /// The client's id of an order was used.
        DuplicateClientOrderId = "duplicate_client_order_id",
        /// The venue refused.
        BinanceError = "binance_error",
        /// No account is configured.
        BinanceNotConfigured = "binance_not_configured",
        /// Orders cannot go out now: the order link is down, or the account is not reconciled.
        ExecutionUnavailable = "execution_unavailable",
        /// The order is over, or a change of it is under way.
        NotOpen = "not_open",
        /// The API takes no writes now.
        ReadOnly = "read_only",
        /// The engine takes no command now.
        EngineBusy = "engine_busy",
        /// The key stands for another request.
        IdempotencyMismatch = "idempotency_mismatch",
        /// No further key can be remembered.
        IdempotencyFull = "idempotency_full",
    }
}

impl Code {
    /// The status that goes with it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadParams | Self::BadJson => StatusCode::BAD_REQUEST,
            Self::AuthenticationRequired
            | Self::InvalidToken
            | Self::InvalidApiKey
            | Self::InvalidCredentials
            | Self::InvalidRefreshToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict
            | Self::AuthNotConfigured
            | Self::NotInitialized
            | Self::DuplicateClientOrderId
            | Self::ExecutionUnavailable
            | Self::NotOpen
            | Self::ReadOnly => StatusCode::CONFLICT,
            Self::BinanceError | Self::BinanceNotConfigured => StatusCode::BAD_REQUEST,
            Self::OrderRejected | Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal | Self::ArchiveFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TimedOut
            | Self::TooManyStreams
            | Self::StorageUnavailable
            | Self::AuditUnavailable
            | Self::EngineBusy
            | Self::IdempotencyFull => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind of problem in a few words, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadParams => "Bad parameters",
            Self::BadJson => "Bad JSON",
            Self::AuthenticationRequired => "Authentication required",
            Self::InvalidToken => "Invalid token",
            Self::InvalidApiKey => "Invalid API key",
            Self::InvalidCredentials => "Invalid credentials",
            Self::InvalidRefreshToken => "Invalid refresh token",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::RequestTimeout => "Request timeout",
            Self::Conflict => "Conflict",
            Self::AuthNotConfigured => "Authentication not configured",
            Self::NotInitialized => "Not initialized",
            Self::BodyTooLarge => "Body too large",
            Self::UriTooLong => "URI too long",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Misdirected => "Misdirected request",
            Self::RateLimitExceeded => "Rate limit exceeded",
            Self::HeadersTooLarge => "Headers too large",
            Self::Internal => "Internal error",
            Self::TimedOut => "Timed out",
            Self::ArchiveFailed => "Archive failed",
            Self::StorageUnavailable => "Storage unavailable",
            Self::AuditUnavailable => "Audit unavailable",
            Self::TooManyStreams => "Too many streams",
            Self::OrderRejected => "Order rejected",
            Self::DuplicateClientOrderId => "Client order id used before",
            Self::BinanceError => "Refused by the venue",
            Self::BinanceNotConfigured => "No account configured",
            Self::ExecutionUnavailable => "Execution unavailable",
            Self::NotOpen => "Order not open",
            Self::ReadOnly => "Read only",
            Self::EngineBusy => "Engine busy",
            Self::IdempotencyMismatch => "Idempotency key used for another request",
            Self::IdempotencyFull => "Too many idempotency keys",
        }
    }

    /// Whether a refusal with this code says that nothing was done, so that the same request may come again.
    pub(crate) const fn nothing_happened(self) -> bool {
        matches!(
            self,
            Self::EngineBusy
                | Self::AuditUnavailable
                | Self::StorageUnavailable
                | Self::RateLimitExceeded
        )
    }

    /// What a bare status means, as layers and the router answer it.
    fn of_status(status: StatusCode) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| code.status() == status)
            .unwrap_or(if status.is_server_error() {
                Self::Internal
            } else {
                Self::BadParams
            })
    }
}

/// Members that every problem has, or may have, with a meaning of their own.
const MEMBERS: [&str; 8] = [
    "error", "message", "field", "type", "title", "status", "detail", "instance",
];

/// One refusal. As a response it is empty until [`render`] writes it, because only there is the
/// request's id known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    retry_after_seconds: Option<u64>,
    /// What else the body says, as JSON: decimals stay exact.
    more: Vec<(Cow<'static, str>, String)>,
}

/// A problem on the disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptProblem {
    code: String,
    message: String,
    field: Option<String>,
    retry_after_seconds: Option<u64>,
    /// Names and their values, as JSON.
    more: Vec<(String, String)>,
}

impl Problem {
    /// A problem with one sentence for people, without a full stop.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            retry_after_seconds: None,
            more: Vec::new(),
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn field(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: Some(name.into()),
            ..self
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_seconds: Some(seconds),
            ..self
        }
    }

    /// Says more: a member beside those of every problem, which it does not replace.
    ///
    /// # Panics
    /// When it has the name of one of those.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        assert!(!MEMBERS.contains(&name), "{name} has a meaning of its own");
        let text = serde_json::to_string(&value).expect("plain values, written into memory");
        self.more.push((Cow::Borrowed(name), text));
        self
    }

    /// The same for the disk.
    pub(crate) fn keep(&self) -> KeptProblem {
        KeptProblem {
            code: self.code.label().to_owned(),
            message: self.message.to_string(),
            field: self.field.as_ref().map(ToString::to_string),
            retry_after_seconds: self.retry_after_seconds,
            more: self
                .more
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        }
    }

    /// One from the disk; `None` when its code is none, or a value no JSON.
    pub(crate) fn kept(kept: KeptProblem) -> Option<Self> {
        let code = Code::ALL
            .into_iter()
            .find(|code| code.label() == kept.code)?;
        let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
        if !kept.more.iter().all(|(_, value)| is_json(value)) {
            return None;
        }
        Some(Self {
            code,
            message: Cow::Owned(kept.message),
            field: kept.field.map(Cow::Owned),
            retry_after_seconds: kept.retry_after_seconds,
            more: kept
                .more
                .into_iter()
                .map(|(name, value)| (Cow::Owned(name), value))
                .collect(),
        })
    }

    /// Which problem it is.
    pub fn code(&self) -> Code {
        self.code
    }

    fn body(&self, status: StatusCode, request_id: &str) -> String {
        let mut body = json!({
            "error": self.code.label(),
            "message": self.message,
            "type": format!("urn:veloz:problem:{}", self.code.label()),
            "title": self.code.title(),
            "status": status.as_u16(),
            "detail": self.message,
            "instance": format!("urn:veloz:request:{request_id}"),
        });
        if let Some(field) = &self.field {
            body["field"] = Value::from(field.as_ref());
        }
        let mut text = body.to_string();
        if !self.more.is_empty() {
            text.pop();
            for (name, value) in &self.more {
                // Memory is written without fail.
                let _ = write!(text, ",\"{name}\":{value}");
            }
            text.push('}');
        }
        text
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        if self.code.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"veloz\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives an error answer its body; other answers pass unchanged. `request_id` is plain ASCII.
pub fn render(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_json(response.headers()) => return response,
        None => {
            let code = Code::of_status(status);
            Problem::new(code, status.canonical_reason().unwrap_or(code.title()))
        }
    };
    let body = problem.body(status, request_id);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::ALLOW;

    fn rendered(response: Response) -> (StatusCode, HeaderMap, Value) {
        let (parts, body) = render(response, "req-1").into_parts();
        let text = bytes_of(body);
        (
            parts.status,
            parts.headers,
            serde_json::from_slice(&text).expect("a JSON body"),
        )
    }

    fn bytes_of(body: Body) -> Vec<u8> {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(axum::body::to_bytes(body, 1 << 20))
            .expect("a body in memory")
            .to_vec()
    }

    #[test]
    fn a_problem_has_both_vocabularies_and_names_its_field() {
        let problem = Problem::new(Code::BadParams, "a whole number from 1 to 1000 is expected")
            .field("limit");
        let (status, headers, body) = rendered(problem.into_response());
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(
            body,
            json!({
                "error": "bad_params",
                "message": "a whole number from 1 to 1000 is expected",
                "type": "urn:veloz:problem:bad_params",
                "title": "Bad parameters",
                "status": 400,
                "detail": "a whole number from 1 to 1000 is expected",
                "instance": "urn:veloz:request:req-1",
                "field": "limit",
            })
        );
    }

    #[test]
    fn what_a_layer_answers_in_plain_text_becomes_a_problem_too() {
        let plain = (StatusCode::PAYLOAD_TOO_LARGE, "length limit exceeded").into_response();
        let (status, _, body) = rendered(plain);
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(body["error"], "body_too_large");

        let mut bare = StatusCode::METHOD_NOT_ALLOWED.into_response();
        bare.headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET"));
        let (_, headers, body) = rendered(bare);
        assert_eq!(body["error"], "method_not_allowed");
        assert_eq!(headers[ALLOW], "GET");

        assert_eq!(
            rendered(StatusCode::IM_A_TEAPOT.into_response()).2["error"],
            "bad_params"
        );
        assert_eq!(
            rendered(StatusCode::BAD_GATEWAY.into_response()).2["error"],
            "internal"
        );
    }

    #[test]
    fn what_is_no_error_or_is_json_already_passes() {
        let json = (
            StatusCode::SERVICE_UNAVAILABLE,
            [(CONTENT_TYPE, "application/json")],
            r#"{"ok":false}"#,
        );
        assert_eq!(rendered(json.into_response()).2, json!({ "ok": false }));
        let fine = ([(CONTENT_TYPE, "application/json")], "1").into_response();
        assert_eq!(rendered(fine).2, json!(1));
    }

    #[test]
    fn a_refusal_for_now_says_when() {
        let problem = Problem::new(Code::RateLimitExceeded, "too many").retry_after(3);
        let (_, headers, _) = rendered(problem.into_response());
        assert_eq!(headers[RETRY_AFTER], "3");
    }

    #[test]
    fn every_code_has_a_title_and_an_error_status() {
        for code in Code::ALL {
            assert!(!code.title().is_empty());
            let status = code.status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code:?}"
            );
        }
    }
}
