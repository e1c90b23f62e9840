//! The only requests that the canceller can make, as texts, and the venue's answers to them.
//!
//! Owns: [`Request`], its text signed or not, and [`read`]. Does not: know when to ask. Invariant: nothing here
//! can place, change or replace an order.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use veloz_core::units::VenueMillis;
use veloz_core::venue::binance::order_entry::Credentials;
use veloz_core::venue::binance::order_error::{Refusal, classify};
use veloz_core::wire::sign::SignatureText;

/// Bytes of one answer. All open orders of an account are 200 a symbol at most, of about 600 bytes each.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The venue's time.
    Time,
    /// Logs the session on.
    LogOn,
    /// The open orders, of one symbol or of all.
    OpenOrders {
        /// Of this one alone.
        symbol: Option<String>,
    },
    /// Takes one order back.
    Cancel(OpenOrder),
}

impl Request {
    /// The method of the websocket API.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::LogOn => "session.logon",
            Self::OpenOrders { .. } => "openOrders.status",
            Self::Cancel(_) => "order.cancel",
        }
    }

    /// Request weight; a cancel that succeeds costs none.
    pub fn weight(&self) -> u32 {
        match self {
            Self::Time => 1,
            Self::LogOn => 2,
            Self::OpenOrders { symbol: Some(_) } => 6,
            Self::OpenOrders { symbol: None } => 80,
            Self::Cancel(_) => 1,
        }
    }

    /// The request's text; `at` is the venue's time. A session that is logged on signs nothing more.
    pub fn text(
        &self,
        id: u64,
        at: VenueMillis,
        recv_window_ms: u64,
        credentials: &Credentials,
    ) -> String {
        let mut params: Vec<(&str, Value)> = match self {
            Self::Time => Vec::new(),
            Self::LogOn | Self::OpenOrders { symbol: None } => vec![
                ("recvWindow", recv_window_ms.into()),
                ("timestamp", at.0.into()),
            ],
            Self::OpenOrders {
                symbol: Some(symbol),
            } => vec![
                ("recvWindow", recv_window_ms.into()),
                ("symbol", symbol.as_str().into()),
                ("timestamp", at.0.into()),
            ],
            Self::Cancel(order) => vec![
                ("orderId", order.order_id.into()),
                ("recvWindow", recv_window_ms.into()),
                ("symbol", order.symbol.as_str().into()),
                ("timestamp", at.0.into()),
            ],
        };
        let signs = match self {
            Self::Time => false,
            Self::LogOn => true,
            Self::OpenOrders { .. } | Self::Cancel(_) => !credentials.signer.can_log_on(),
        };
        if signs {
            let api_key = std::str::from_utf8(credentials.api_key.as_bytes())
                .expect("a key is made from text");
            params.insert(0, ("apiKey", api_key.into()));
            let mut room = SignatureText::default();
            let signature = credentials
                .signer
                .sign(payload(&params).as_bytes(), &mut room);
            let signature = std::str::from_utf8(signature).expect("a signature's text is ASCII");
            params.push(("signature", signature.into()));
        }
        let mut request = json!({ "id": id, "method": self.method() });
        if !params.is_empty() {
            let params = params
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            request["params"] = Value::Object(params);
        }
        request.to_string()
    }
}

/// What is signed: every parameter, sorted by name, as it stands in the request without quotes.
fn payload(params: &[(&str, Value)]) -> String {
    debug_assert!(params.is_sorted_by_key(|(name, _)| *name));
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            number => format!("{name}={number}"),
        })
        .collect();
    pairs.join("&")
}

/// One open order, as the venue lists it. The texts are the venue's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct OpenOrder {
    /// What it trades.
    pub symbol: String,
    /// The venue's id of it.
    #[serde(rename(deserialize = "orderId"))]
    pub order_id: u64,
    /// The id that its owner gave it.
    #[serde(rename(deserialize = "clientOrderId"))]
    pub client_order_id: String,
    /// Which way it goes.
    pub side: String,
    /// Its price.
    pub price: String,
    /// Its quantity.
    #[serde(rename(deserialize = "origQty"))]
    pub qty: String,
    /// How much of it traded.
    #[serde(rename(deserialize = "executedQty"))]
    pub executed_qty: String,
}

/// A message of the venue, read.
#[derive(Debug)]
pub enum Message {
    /// An answer that succeeded.
    Done {
        /// To which request.
        id: u64,
        /// What it brought.
        result: Result<Answer, String>,
    },
    /// An answer that refused.
    Refused {
        /// To which request.
        id: u64,
        /// What the refusal means.
        refusal: Refusal,
        /// The venue's words, without control characters.
        words: String,
        /// When to ask again at the earliest, on the venue's clock.
        retry_after: Option<VenueMillis>,
    },
    /// The session is over, or the venue will close the connection.
    Ending(&'static str),
    /// Nothing that concerns us.
    Other,
}

/// What a successful answer brought.
#[derive(Debug)]
pub enum Answer {
    /// The venue's time.
    Time(VenueMillis),
    /// The session is logged on.
    LoggedOn,
    /// Open orders.
    OpenOrders(Vec<OpenOrder>),
    /// The order is taken back.
    Cancelled(OpenOrder),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<Value>,
    status: Option<u16>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorBody>,
    event: Option<EventBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: i32,
    msg: String,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    #[serde(rename = "retryAfter")]
    retry_after: Option<u64>,
}

#[derive(Deserialize)]
struct EventBody {
    e: String,
}

#[derive(Deserialize)]
struct TimeBody {
    #[serde(rename = "serverTime")]
    server_time: u64,
}

/// Characters of the venue's words that are shown.
const WORDS_CHARS_MAX: usize = 200;

/// Reads a message. `asked` tells which request an id belongs to.
///
/// # Errors
/// What cannot be read at all, in words that repeat nothing of it.
pub fn read<'r>(
    text: &str,
    asked: impl FnOnce(u64) -> Option<&'r Request>,
) -> Result<Message, String> {
    let envelope: Envelope<'_> = serde_json::from_str(text)
        .map_err(|error| format!("the venue sent what is no message: {error}"))?;
    if let Some(event) = envelope.event {
        return Ok(match event.e.as_str() {
            "serverShutdown" => Message::Ending("the venue shuts down"),
            _ => Message::Other,
        });
    }
    let Some(id) = envelope.id.as_ref().and_then(Value::as_u64) else {
        return Ok(match envelope.status {
            Some(401) => Message::Ending("the venue revoked the session"),
            _ => Message::Other,
        });
    };
    let Some(request) = asked(id) else {
        return Ok(Message::Other);
    };
    let status = envelope
        .status
        .ok_or_else(|| "the venue's answer has no status".to_owned())?;
    if status == 200 {
        let result = match envelope.result {
            Some(result) => answer(request, result.get()),
            None => Err("it has no result".to_owned()),
        };
        let result = result.map_err(|error| {
            format!(
                "the venue's answer to {} cannot be read: {error}",
                request.method()
            )
        });
        return Ok(Message::Done { id, result });
    }
    let (code, words, retry_after) = match envelope.error {
        Some(error) => (
            error.code,
            error.msg,
            error.data.and_then(|data| data.retry_after),
        ),
        // Status alone decides then; a code of zero is none of the venue's.
        None => (0, String::new(), None),
    };
    Ok(Message::Refused {
        id,
        refusal: classify(status, code, &words),
        words: words
            .chars()
            .filter(|letter| !letter.is_control())
            .take(WORDS_CHARS_MAX)
            .collect(),
        retry_after: retry_after.map(VenueMillis),
    })
}

fn answer(request: &Request, result: &str) -> Result<Answer, String> {
    let unreadable = |error: serde_json::Error| error.to_string();
    match request {
        Request::Time => serde_json::from_str(result)
            .map(|body: TimeBody| Answer::Time(VenueMillis(body.server_time)))
            .map_err(unreadable),
        Request::OpenOrders { .. } => serde_json::from_str(result)
            .map(Answer::OpenOrders)
            .map_err(unreadable),
        Request::LogOn => Ok(Answer::LoggedOn),
        Request::Cancel(order) => Ok(Answer::Cancelled(order.clone())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::keys::tests::PEM;
    use veloz_core::venue::binance::order_entry::ApiKey;
    use veloz_core::venue::binance::order_error::ErrorKind;
    use veloz_core::wire::sign::Signer;

    const AT: VenueMillis = VenueMillis(1_649_729_878_532);

    pub(crate) fn credentials(signer: Signer) -> Credentials {
        Credentials {
            api_key: ApiKey::new(
                "4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO",
            )
            .expect("a key"),
            signer,
        }
    }

    pub(crate) fn hmac() -> Credentials {
        credentials(
            Signer::hmac(b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
                .expect("a secret"),
        )
    }

    pub(crate) fn ed25519() -> Credentials {
        credentials(Signer::from_pem(PEM.as_bytes()).expect("a key"))
    }

    pub(crate) fn order(order_id: u64, client_order_id: &str) -> OpenOrder {
        OpenOrder {
            symbol: "BTCUSDT".to_owned(),
            order_id,
            client_order_id: client_order_id.to_owned(),
            side: "BUY".to_owned(),
            price: "100.00000000".to_owned(),
            qty: "1.00000000".to_owned(),
            executed_qty: "0.00000000".to_owned(),
        }
    }

    #[test]
    fn a_log_on_is_signed_as_the_venue_prints_it() {
        // The payload of the venue's vector has no recvWindow, so the signature is compared below it.
        let params = [
            (
                "apiKey",
                "4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO".into(),
            ),
            ("timestamp", AT.0.into()),
        ];
        let mut room = SignatureText::default();
        let keys = ed25519();
        let signature = keys.signer.sign(payload(&params).as_bytes(), &mut room);
        assert_eq!(
            signature,
            b"cGkloHLHGGNbrduoWDYBlzIPwRHyDVYVfCE0rDkPwKdKedurBgm2JNWRkwloQDBFG6Mcloavo1siYfEtZbV/Ag=="
        );
        let text = Request::LogOn.text(3, AT, 5_000, &keys);
        let request: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(request["id"], 3);
        assert_eq!(request["method"], "session.logon");
        let params = &request["params"];
        assert_eq!(params["timestamp"], AT.0);
        assert_eq!(params["recvWindow"], 5_000);
        let signature = params["signature"].as_str().expect("signed");
        assert_eq!(signature.len(), 88);
    }

    #[test]
    fn a_session_signs_once_and_a_secret_signs_everything() {
        let requests = [
            Request::OpenOrders { symbol: None },
            Request::OpenOrders {
                symbol: Some("BTCUSDT".to_owned()),
            },
            Request::Cancel(order(7, "vz-a_1_1")),
        ];
        for request in requests {
            let text = request.text(1, AT, 5_000, &ed25519());
            assert!(
                !text.contains("signature") && !text.contains("apiKey"),
                "{text}"
            );
            let signed = request.text(1, AT, 5_000, &hmac());
            let json: Value = serde_json::from_str(&signed).expect("JSON");
            let params = json["params"].as_object().expect("parameters");
            let mut pairs: Vec<(&str, Value)> = params
                .iter()
                .filter(|(name, _)| *name != "signature")
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            pairs.sort_by_key(|(name, _)| *name);
            let mut room = SignatureText::default();
            let expected = hmac()
                .signer
                .sign(payload(&pairs).as_bytes(), &mut room)
                .to_vec();
            assert_eq!(
                params["signature"].as_str().map(str::as_bytes),
                Some(&expected[..])
            );
        }
        let time = Request::Time.text(9, AT, 5_000, &hmac());
        assert_eq!(time, r#"{"id":9,"method":"time"}"#);
    }

    #[test]
    fn the_payload_is_what_the_venue_prints() {
        let params = [
            ("apiKey", "k".into()),
            ("orderId", 7u64.into()),
            ("symbol", "币安USDT".into()),
        ];
        assert_eq!(payload(&params), "apiKey=k&orderId=7&symbol=币安USDT");
    }

    fn read_as(request: &Request, text: &str) -> Message {
        read(text, |id| (id == 1).then_some(request)).expect("a message")
    }

    #[test]
    fn answers_are_read_or_said_to_be_unreadable() {
        let list = Request::OpenOrders { symbol: None };
        let text = r#"{"id":1,"status":200,"result":[{"symbol":"BTCUSDT","orderId":7,"orderListId":-1,"clientOrderId":"x","price":"1.0","origQty":"2.0","executedQty":"0.5","status":"NEW","side":"SELL"}],"rateLimits":[]}"#;
        let Message::Done {
            id: 1,
            result: Ok(Answer::OpenOrders(orders)),
        } = read_as(&list, text)
        else {
            panic!("a list");
        };
        assert_eq!(orders[0].order_id, 7);
        assert_eq!(orders[0].executed_qty, "0.5");
        let lacking = text.replace(r#""orderId":7,"#, "");
        let Message::Done {
            result: Err(words), ..
        } = read_as(&list, &lacking)
        else {
            panic!("unreadable");
        };
        assert!(words.contains("openOrders.status"), "{words}");
        assert!(words.contains("orderId"), "{words}");

        let time = r#"{"id":1,"status":200,"result":{"serverTime":5}}"#;
        assert!(matches!(
            read_as(&Request::Time, time),
            Message::Done {
                result: Ok(Answer::Time(VenueMillis(5))),
                ..
            }
        ));
        assert!(read("{\"id\":1", |_| Some(&list)).is_err());
        assert!(read(r#"{"id":1,"result":[]}"#, |_| Some(&list)).is_err());
    }

    #[test]
    fn refusals_and_endings_are_told_apart() {
        let cancel = Request::Cancel(order(7, "x"));
        let refused = |status: u16, code: i32, msg: &str, data: &str| {
            let text = format!(
                r#"{{"id":1,"status":{status},"error":{{"code":{code},"msg":"{msg}"{data}}}}}"#
            );
            let Message::Refused {
                refusal,
                retry_after,
                ..
            } = read_as(&cancel, &text)
            else {
                panic!("refused");
            };
            (refusal.kind, retry_after)
        };
        assert_eq!(
            refused(400, -2011, "Unknown order sent.", ""),
            (ErrorKind::UnknownOrder, None)
        );
        assert_eq!(refused(400, -1021, "", "").0, ErrorKind::Clock);
        assert_eq!(refused(500, -1000, "", "").0, ErrorKind::Unknown);
        assert_eq!(
            refused(429, -1003, "", r#","data":{"serverTime":1,"retryAfter":9}"#),
            (ErrorKind::RateLimited, Some(VenueMillis(9)))
        );
        assert_eq!(refused(418, -1003, "", "").0, ErrorKind::Banned);
        let bare = r#"{"id":1,"status":503}"#;
        assert!(matches!(
            read_as(&cancel, bare),
            Message::Refused { refusal, .. } if refusal.kind == ErrorKind::Unknown
        ));
        let endings = [
            r#"{"event":{"e":"serverShutdown","E":1}}"#,
            r#"{"id":null,"status":401,"error":{"code":-2015,"msg":"x"}}"#,
        ];
        for text in endings {
            assert!(
                matches!(read_as(&cancel, text), Message::Ending(_)),
                "{text}"
            );
        }
        let others = [
            r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1}}"#,
            r#"{"id":2,"status":200,"result":{}}"#,
            r#"{"id":"a","status":200,"result":{}}"#,
        ];
        for text in others {
            assert!(matches!(read_as(&cancel, text), Message::Other), "{text}");
        }
    }

    #[test]
    fn words_of_the_venue_are_bounded_and_plain() {
        let text = format!(
            r#"{{"id":1,"status":400,"error":{{"code":-1,"msg":"a\nb\u001b{}"}}}}"#,
            "x".repeat(1_000)
        );
        let Message::Refused { words, .. } = read_as(&Request::LogOn, &text) else {
            panic!("refused");
        };
        assert!(words.starts_with("abx"), "{words}");
        assert_eq!(words.len(), WORDS_CHARS_MAX);
    }
}
