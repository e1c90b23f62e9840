//! Keys, signatures, sessions and the two checks of a request's time.

use serde_json::Value;

use super::*;
use crate::venue::{ApiKeyConfig, Credential, Latency, TradingError, VenueStartError};
use desk::error_of;

const MISSING_KEY: &str =
    "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.";

#[test]
fn a_request_is_signed_with_either_kind_of_key() {
    let mut desk = Desk::new(config(), still());
    for sign in [Sign::Hmac, Sign::Ed25519] {
        let reply = desk.ask("account.status", "", sign);
        assert_eq!(reply["status"], 200, "{reply}");
    }
    let (status, code, msg) = error_of(&desk.ask("account.status", "", Sign::Session));
    assert_eq!((status, code, msg.as_str()), (400, -1102, MISSING_KEY));
    // An HMAC signature has no case.
    let frame = desk.frame("account.status", "", Sign::Hmac);
    let (head, signature) = frame.split_once(r#""signature":""#).expect("signed");
    let frame = format!(r#"{head}"signature":"{}"#, signature.to_uppercase());
    desk.send(&frame);
    assert!(desk.next().expect("a reply").contains(r#""status":200"#));
}

#[test]
fn a_wrong_key_or_signature_is_refused() {
    let mut desk = Desk::new(config(), still());
    let mut refused = |frame: &str| {
        desk.send(frame);
        let reply: Value = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
        let (status, code, msg) = error_of(&reply);
        (status, code, msg)
    };
    let owned = |status, code, msg: &str| (status, code, msg.to_owned());
    let with_key = |key: &str, more: &str| {
        format!(r#"{{"id":1,"method":"account.status","params":{{"apiKey":"{key}"{more}}}}}"#)
    };
    let stamp = r#","timestamp":1700000040000"#;
    let ill_formed = owned(401, -2014, "API-key format invalid.");
    for key in ["short", &"-".repeat(64)] {
        assert_eq!(refused(&with_key(key, stamp)), ill_formed, "{key}");
    }
    assert_eq!(
        refused(&with_key("", stamp)),
        owned(400, -1102, MISSING_KEY)
    );
    assert_eq!(
        refused(&with_key(&"z".repeat(64), stamp)),
        owned(
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action."
        )
    );
    let desk_key = desk.keys.hmac_api_key.clone();
    let mut refused = |frame: &str| {
        desk.send(frame);
        let reply: Value = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
        error_of(&reply)
    };
    let missing = |name: &str| {
        format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    };
    assert_eq!(
        refused(&with_key(&desk_key, "")),
        (400, -1102, missing("timestamp"))
    );
    assert_eq!(
        refused(&with_key(&desk_key, stamp)),
        (400, -1102, missing("signature"))
    );
    let unsigned = format!(r#"{stamp},"signature":"00ff""#);
    assert_eq!(
        refused(&with_key(&desk_key, &unsigned)),
        owned(400, -1022, "Signature for this request is not valid.")
    );
}

#[test]
fn a_session_is_logged_on_and_off() {
    let mut desk = Desk::new(config(), still());
    let status = |key: &str, since: &str, user_data: bool| {
        format!(
            concat!(
                r#""result":{{"apiKey":{},"authorizedSince":{},"connectedSince":1700000040000,"#,
                r#""returnRateLimits":true,"serverTime":1700000041000,"userDataStream":{}}}"#
            ),
            key, since, user_data
        )
    };
    let bare = |desk: &mut Desk, method: &str| {
        desk.send(&format!(r#"{{"id":1,"method":"{method}"}}"#));
        desk.next().expect("a reply")
    };
    desk.pass(1_000_000);
    let off = status("null", "null", false);
    assert!(bare(&mut desk, "session.status").contains(&off));
    // What needs a logon does not work without.
    let reply: Value =
        serde_json::from_str(&bare(&mut desk, "userDataStream.subscribe")).expect("JSON");
    let unauthorized = "You are not authorized to execute this request.".to_owned();
    assert_eq!(error_of(&reply), (401, -1002, unauthorized));

    let logon = desk.ask_text("session.logon", "", Sign::Ed25519);
    let key = format!("\"{}\"", desk.keys.ed25519_api_key);
    let on = status(&key, "1700000041000", false);
    assert!(logon.contains(&on), "{logon}");
    assert!(bare(&mut desk, "session.status").contains(&on));
    assert_eq!(desk.order("account.status", "")["status"], 200);
    // The timestamp stays mandatory.
    let reply: Value = serde_json::from_str(&bare(&mut desk, "account.status")).expect("JSON");
    assert_eq!(error_of(&reply).1, -1102);
    let subscribed = bare(&mut desk, "userDataStream.subscribe");
    assert!(
        subscribed.contains(r#""result":{"subscriptionId":0}"#),
        "{subscribed}"
    );
    assert!(bare(&mut desk, "session.status").contains(&status(&key, "1700000041000", true)));

    let logout = bare(&mut desk, "session.logout");
    assert!(logout.contains(&off), "{logout}");
    assert_eq!(
        desk.next().as_deref(),
        Some(r#"{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1700000041000}}"#)
    );
    let (_, code, _) = error_of(&desk.order("account.status", ""));
    assert_eq!(code, -1102, "the key is forgotten");
    assert!(
        bare(&mut desk, "session.logout").contains(&off),
        "it does nothing more"
    );
}

#[test]
fn only_an_ed25519_key_logs_on() {
    let mut desk = Desk::new(config(), still());
    let refused = error_of(&desk.ask("session.logon", "", Sign::Hmac));
    assert_eq!(
        refused,
        (
            400,
            -4056,
            "HMAC_SHA256 API key is not supported.".to_owned()
        )
    );
    let (_, code, _) = error_of(&desk.ask("session.logon", "", Sign::Session));
    assert_eq!(code, -1102);
    let frame = desk.frame("session.logon", "", Sign::Ed25519);
    let spoilt = frame.replace(r#""signature":""#, r#""signature":"A"#);
    desk.send(&spoilt);
    assert!(desk.next().expect("a reply").contains("-1022"));
}

/// A venue with two accounts and a key for each; the second has an HMAC secret.
fn two_accounts() -> (VenueConfig, crate::venue::ClientKeys) {
    let keys = crate::venue::ClientKeys::generate().expect("random");
    let mut config = config();
    let second = crate::venue::AccountConfig {
        name: "second".to_owned(),
        ..config.exchange.accounts[0].clone()
    };
    config.exchange.accounts.push(second);
    config.keys = keys.configs("main").expect("sound");
    config.keys[1].account = "second".to_owned();
    (config, keys)
}

#[test]
fn a_key_in_a_request_overrides_the_session() {
    let (config, keys) = two_accounts();
    let mut venue = crate::venue::VenueInProcess::with_market(config, Box::new(still()))
        .expect("a sound configuration");
    assert!(venue.client_keys().is_none(), "keys were configured");
    let link = venue.open_api(START).expect("room");
    let mut desk = Desk::over(venue, link, keys);
    assert_eq!(desk.ask("session.logon", "", Sign::Ed25519)["status"], 200);
    let uid = |reply: Value| reply["result"]["uid"].as_u64().expect("a number");
    let first = uid(desk.order("account.status", ""));
    let second = uid(desk.ask("account.status", "", Sign::Hmac));
    assert_eq!(second, first + 1);
    assert_eq!(uid(desk.order("account.status", "")), first);
    // A second logon replaces the first one's key; here it is the same.
    assert_eq!(desk.ask("session.logon", "", Sign::Ed25519)["status"], 200);
}

#[test]
fn keys_must_belong_to_an_account_and_be_different() {
    let start = |keys: Vec<ApiKeyConfig>| {
        let config = VenueConfig { keys, ..config() };
        match crate::venue::VenueInProcess::new(config, START) {
            Ok(_) => panic!("it must not start"),
            Err(VenueStartError::Trading(error)) => error,
            Err(error) => panic!("{error}"),
        }
    };
    let key = |account: &str, text: &str| ApiKeyConfig {
        account: account.to_owned(),
        api_key: text.to_owned(),
        credential: Credential::HmacSecret("secret".to_owned()),
    };
    let sound = "k".repeat(64);
    assert!(matches!(
        start(vec![key("nobody", &sound)]),
        TradingError::NoSuchAccount { position: 0, .. }
    ));
    assert!(matches!(
        start(vec![key("main", &sound), key("main", &sound)]),
        TradingError::Twice { position: 1 }
    ));
    assert!(matches!(
        start(vec![key("main", "short")]),
        TradingError::Key { position: 0, .. }
    ));
}

#[test]
fn accounts_must_be_different_and_begin_with_something() {
    let start = |change: fn(&mut Vec<crate::venue::AccountConfig>)| {
        let mut config = config();
        change(&mut config.exchange.accounts);
        match crate::venue::VenueInProcess::new(config, START) {
            Ok(_) => panic!("it must not start"),
            Err(error) => error,
        }
    };
    let twice = start(|accounts| accounts.push(accounts[0].clone()));
    assert!(
        matches!(&twice, VenueStartError::Trading(TradingError::AccountTwice(name)) if name == "main"),
        "{twice}"
    );
    let poor = start(|accounts| accounts[0].balances[0].1.0 = -1);
    let words =
        "the simulated venue's account main begins with -0.00000001 BTC: expected zero or more";
    assert_eq!(poor.to_string(), words);
}

#[test]
fn a_request_must_come_in_its_time() {
    let mut desk = Desk::trading(config(), still());
    let at = |stamp: u64| {
        format!(r#"{{"id":1,"method":"account.status","params":{{"timestamp":{stamp}}}}}"#)
    };
    let now = desk.now.0 / 1_000;
    let mut code = |frame: String| {
        desk.send(&frame);
        let reply: Value = serde_json::from_str(&desk.next().expect("a reply")).expect("JSON");
        reply["error"]["msg"].as_str().map(str::to_owned)
    };
    assert_eq!(code(at(now + 999)), None);
    let ahead = "Timestamp for this request was 1000ms ahead of the server's time.";
    assert_eq!(code(at(now + 1_000)).as_deref(), Some(ahead));
    assert_eq!(code(at(now - 5_000)), None);
    let outside = "Timestamp for this request is outside of the recvWindow.";
    assert_eq!(code(at(now - 5_001)).as_deref(), Some(outside));
    let microseconds = (now - 5_000) * 1_000;
    assert_eq!(code(at(microseconds)), None);
    let late = code(at(microseconds - 1));
    assert_eq!(late.as_deref(), Some(outside), "to the microsecond");
}

#[test]
fn a_window_that_ends_on_the_way_refuses_at_the_engine_and_counts_the_order() {
    let latency = Latency {
        request_to_engine_us: 300,
        engine_to_response_us: 200,
        engine_to_event_us: 0,
    };
    let mut desk = Desk::trading(
        VenueConfig {
            latency,
            ..config()
        },
        still(),
    );
    let order = concat!(
        r#""symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","#,
        r#""price":"90","quantity":"1""#
    );
    let place = |desk: &mut Desk, window: &str| {
        let params = format!(r#"{order},"recvWindow":{window}"#);
        let frame = desk.frame("order.place", &params, Sign::Session);
        desk.send(&frame);
        assert_eq!(desk.next(), None, "nothing is answered at once");
        desk.pass(499);
        let early: Vec<_> = desk.rest();
        desk.pass(1);
        let mut late = desk.rest();
        (early, late.pop())
    };
    let (events, reply) = place(&mut desk, "0.299");
    assert!(events.is_empty());
    let reply: Value = serde_json::from_str(&reply.expect("a reply")).expect("JSON");
    assert_eq!(error_of(&reply).1, -1021);
    assert_eq!(reply["rateLimits"][0]["count"], 1, "{reply}");
    let (events, reply) = place(&mut desk, "0.300");
    assert_eq!(events.len(), 2, "{events:?}");
    let reply: Value = serde_json::from_str(&reply.expect("a reply")).expect("JSON");
    assert_eq!(reply["status"], 200, "{reply}");
    assert_eq!(reply["rateLimits"][0]["count"], 2, "{reply}");
}

/// The documents' own requests, at their own times, signed with the documents' own keys.
#[test]
fn documented_requests_get_past_key_time_and_signature() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../trading/signatures.json")).expect("JSON");
    let hmac_key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    let ed25519_key = "4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO";
    let public: Vec<u8> = (0..32)
        .map(|at| {
            let hex = vectors["ed25519"]["public_hex"].as_str().expect("text");
            u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")
        })
        .collect();
    let public = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(public)
    };
    let key = |text: &str, credential| ApiKeyConfig {
        account: "main".to_owned(),
        api_key: text.to_owned(),
        credential,
    };
    let secret = vectors["hmac_sha256"]["secret"].as_str().expect("text");
    let keys = vec![
        key(hmac_key, Credential::HmacSecret(secret.to_owned())),
        key(ed25519_key, Credential::Ed25519Public(public)),
    ];
    let order = |key: &str, signature: &str| {
        format!(
            concat!(
                r#"{{"id":1,"method":"order.place","params":{{"symbol":"BTCUSDT","side":"SELL","#,
                r#""type":"LIMIT","timeInForce":"GTC","quantity":"0.01000000","#,
                r#""price":"52000.00","recvWindow":100,"timestamp":1645423376532,"#,
                r#""apiKey":"{}","signature":"{}"}}}}"#
            ),
            key, signature
        )
    };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let cases = [
        (
            1_645_423_376_532,
            order(
                hmac_key,
                &text(&vectors["hmac_sha256"]["vectors"][4]["signature_hex"]),
            ),
            200,
        ),
        (
            1_645_423_376_532,
            order(
                ed25519_key,
                &text(&vectors["ed25519"]["vectors"][2]["signature_base64"]),
            ),
            200,
        ),
        (
            1_649_729_878_532,
            format!(
                concat!(
                    r#"{{"id":1,"method":"session.logon","params":{{"apiKey":"{}","#,
                    r#""timestamp":1649729878532,"signature":"{}"}}}}"#
                ),
                ed25519_key,
                text(&vectors["ed25519"]["vectors"][1]["signature_base64"])
            ),
            200,
        ),
    ];
    for (now_ms, frame, status) in cases {
        let now = VenueMicros(now_ms * 1_000);
        let book = book(1, vec![level("50000", "1")], vec![level("51000", "1")]);
        let config = VenueConfig {
            keys: keys.clone(),
            ..config()
        };
        let script = btc().book(now, 0, book);
        let mut venue = crate::venue::VenueInProcess::with_market(config, Box::new(script))
            .expect("a sound configuration");
        let link = venue.open_api(now).expect("room");
        venue.text(now, link, &frame);
        let mut sent = Vec::new();
        assert!(venue.take(link, &mut sent));
        let [crate::venue::Sent::Text(reply)] = &sent[..] else {
            panic!("one reply: {sent:?}");
        };
        let reply: Value = serde_json::from_slice(reply).expect("JSON");
        assert_eq!(reply["status"], status, "{reply}");
    }
}
