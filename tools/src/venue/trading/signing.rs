//! What a request signs, and for how long a signed request is valid.
//!
//! Owns: the payloads of both ways and the two checks of `recvWindow`. Does not: know keys.
//! Source: Binance Spot `web-socket-api.md` and `rest-api.md`, "SIGNED request security" and
//! "Timing security".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::methods::{ApiError, Params};
use super::super::source::VenueMicros;

/// `recvWindow` when none is sent.
const WINDOW_DEFAULT_US: u64 = 5_000_000;
/// Largest `recvWindow`.
const WINDOW_MAX_US: u64 = 60_000_000;
/// How far a client's clock may be ahead.
const AHEAD_MAX_US: u64 = 1_000_000;
/// Timestamps from here on are microseconds: the year 5138 in milliseconds, 1973 in microseconds.
const MICROSECONDS_FROM: u64 = 100_000_000_000_000;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    params: BTreeMap<String, &'a RawValue>,
}

/// What a websocket API request signs: every parameter but the signature, by name, as it stands
/// in the frame without quotes. `None` when the frame is not a request.
pub(crate) fn websocket_payload(frame: &str) -> Option<String> {
    let envelope: Envelope<'_> = serde_json::from_str(frame).ok()?;
    let mut out = String::with_capacity(frame.len());
    for (name, value) in envelope.params {
        if name == "signature" {
            continue;
        }
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&name);
        out.push('=');
        match serde_json::from_str::<String>(value.get()) {
            Ok(text) => out.push_str(&text),
            Err(_) => out.push_str(value.get()),
        }
    }
    Some(out)
}

/// What an HTTP request signs: the query and the body as they were sent, with nothing between,
/// without the signature.
pub(crate) fn rest_payload(query: &str, body: &str) -> String {
    [query, body].map(without_signature).concat()
}

fn without_signature(pairs: &str) -> String {
    let kept: Vec<_> = pairs
        .split('&')
        .filter(|pair| !pair.starts_with("signature="))
        .collect();
    kept.join("&")
}

/// When a request was made, and for how long it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    made_us: u64,
    window_us: u64,
}

impl Timing {
    /// Reads `timestamp` and `recvWindow`.
    pub(crate) fn read(params: &Params) -> Result<Self, ApiError> {
        let stamp = params.mandatory_integer("timestamp")?;
        let made_us = if stamp >= MICROSECONDS_FROM {
            stamp
        } else {
            stamp * 1_000
        };
        let window_us = match params.thousandths("recvWindow")? {
            None => WINDOW_DEFAULT_US,
            Some(us) if us > WINDOW_MAX_US => {
                return Err(ApiError::too_great("recvWindow", WINDOW_MAX_US / 1_000));
            }
            Some(us) => us,
        };
        Ok(Self { made_us, window_us })
    }

    /// The check when the request arrives.
    pub(crate) fn on_arrival(&self, now: VenueMicros) -> Result<(), ApiError> {
        if self.made_us >= now.0 + AHEAD_MAX_US {
            return Err(ApiError::ahead_of_time());
        }
        self.in_front_of_the_engine(now)
    }

    /// The second check, when the request is handed to the matching engine.
    pub(crate) fn in_front_of_the_engine(&self, now: VenueMicros) -> Result<(), ApiError> {
        if now.0.saturating_sub(self.made_us) > self.window_us {
            return Err(ApiError::outside_the_window());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn websocket_payloads_are_sorted_and_raw() {
        let frame = concat!(
            r#"{"id":"x","method":"order.place","params":{"symbol":"１２３４５６","type":"LIMIT","#,
            r#""price":0.10,"flag":true,"timestamp":1645423376532,"signature":"ab","#,
            r#""apiKey":"k\"1","Z":1,"list":["A","B"]}}"#
        );
        assert_eq!(
            websocket_payload(frame).as_deref(),
            Some(concat!(
                r#"Z=1&apiKey=k"1&flag=true&list=["A","B"]&price=0.10&symbol=１２３４５６"#,
                r#"&timestamp=1645423376532&type=LIMIT"#
            ))
        );
        assert_eq!(websocket_payload(r#"{"id":1}"#).as_deref(), Some(""));
        assert_eq!(websocket_payload("{"), None);
    }

    #[test]
    fn the_documented_websocket_payloads_come_from_their_requests() {
        let vectors: Value = serde_json::from_str(include_str!("signatures.json")).expect("JSON");
        let payload = vectors["hmac_sha256"]["vectors"][5]["payload"]
            .as_str()
            .expect("text");
        let frame = concat!(
            r#"{"id":"4885f793","method":"order.place","params":{"symbol":"１２３４５６","side":"BUY","#,
            r#""type":"LIMIT","timeInForce":"GTC","quantity":"1.00000000","price":"0.10000000","#,
            r#""recvWindow":5000,"timestamp":1645423376532,"apiKey":"#,
            r#""vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A","#,
            r#""signature":"b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd"}}"#
        );
        assert_eq!(websocket_payload(frame).as_deref(), Some(payload));
    }

    #[test]
    fn rest_payloads_are_what_was_sent() {
        assert_eq!(rest_payload("a=1&signature=ff", ""), "a=1");
        assert_eq!(
            rest_payload("a=%EF%BC%91&b=2", "c=3&signature=x"),
            "a=%EF%BC%91&b=2c=3"
        );
        assert_eq!(
            rest_payload(
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC",
                "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559&signature=0f"
            ),
            concat!(
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1",
                "&recvWindow=5000&timestamp=1499827319559"
            )
        );
    }

    fn timing(json: &str) -> Result<Timing, ApiError> {
        match serde_json::from_str(json).expect("JSON") {
            Value::Object(map) => Timing::read(&Params::of_json(map)),
            _ => panic!("an object"),
        }
    }

    #[test]
    fn stamps_are_milliseconds_or_microseconds_and_windows_have_three_places() {
        let read = |json| timing(json).map(|timing| (timing.made_us, timing.window_us));
        assert_eq!(
            read(r#"{"timestamp":1700000000000}"#),
            Ok((1_700_000_000_000_000, 5_000_000))
        );
        assert_eq!(
            read(r#"{"timestamp":"1700000000000123","recvWindow":6000.346}"#),
            Ok((1_700_000_000_000_123, 6_000_346))
        );
        assert_eq!(
            read(r#"{"timestamp":1,"recvWindow":"60000"}"#),
            Ok((1_000, 60_000_000))
        );
        let code = |json: &str| timing(json).map_err(|error| (error.code, error.msg));
        assert_eq!(
            code(r#"{"timestamp":1,"recvWindow":60000.001}"#),
            Err((
                -1102,
                "'recvWindow' contains unexpected value. Cannot be greater than 60000.".to_owned()
            ))
        );
        assert_eq!(
            code(r#"{"recvWindow":1}"#).map_err(|(code, _)| code),
            Err(-1102)
        );
        for bad in [
            r#"{"timestamp":"x"}"#,
            r#"{"timestamp":-1}"#,
            r#"{"timestamp":1.5}"#,
        ] {
            assert_eq!(code(bad).map_err(|(code, _)| code), Err(-1100), "{bad}");
        }
        for bad in ["-1", "1.2345", "1e3", "x"] {
            let json = format!(r#"{{"timestamp":1,"recvWindow":"{bad}"}}"#);
            assert_eq!(code(&json).map_err(|(code, _)| code), Err(-1100), "{bad}");
        }
    }

    #[test]
    fn a_request_is_valid_inside_its_window_and_less_than_a_second_ahead() {
        let timing = Timing {
            made_us: 10_000_000,
            window_us: 100_000,
        };
        let at = |us| {
            timing
                .on_arrival(VenueMicros(us))
                .map_err(|error| error.msg)
        };
        let outside = "Timestamp for this request is outside of the recvWindow.".to_owned();
        let ahead = "Timestamp for this request was 1000ms ahead of the server's time.".to_owned();
        assert_eq!(at(9_000_000), Err(ahead));
        assert_eq!(at(9_000_001), Ok(()));
        assert_eq!(at(10_100_000), Ok(()));
        assert_eq!(at(10_100_001), Err(outside));
        let engine = |us| timing.in_front_of_the_engine(VenueMicros(us));
        assert_eq!(engine(10_100_000), Ok(()));
        assert_eq!(engine(10_100_001).map_err(|error| error.code), Err(-1021));
    }
}
