//! `/api/stream` through the router: where it begins, what it refuses, and that nothing collects it.

use super::*;
use crate::stream::CLIENTS_MAX;
use crate::stream::event::{EngineStarted, Error, StreamEvent};

/// The id of a hub's first event at one second after the epoch.
const FIRST_ID: u64 = 1_000_000;

fn with_events(count: usize) -> Fixture {
    let fixture = fixture();
    for _ in 0..count {
        let event = StreamEvent::EngineStarted(EngineStarted { version: "1" });
        fixture.state.hub.publish(&event, None);
    }
    fixture
}

/// The answer's first bytes behind the greeting.
fn first(response: Response) -> String {
    let mut body = response.into_body();
    let mut chunk = || {
        let frame = block_on(body.frame()).expect("the stream goes on");
        let data = frame.expect("a body in memory").into_data();
        String::from_utf8(data.expect("data").to_vec()).expect("UTF-8")
    };
    assert_eq!(chunk(), ": stream\n\n");
    chunk()
}

fn ids(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(|id| id.parse().expect("a number"))
        .collect()
}

#[test]
fn it_is_an_event_stream_that_goes_on_where_the_client_was() {
    let fixture = with_events(3);
    let response = fixture.ask(get_request("/api/stream?last_id=0"));
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "text/event-stream; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    let text = first(response);
    assert_eq!(ids(&text), [FIRST_ID, FIRST_ID + 1, FIRST_ID + 2]);
    let frame = format!(
        "id: {FIRST_ID}\nevent: engine_started\ndata: {{\"type\":\"engine_started\",\"version\":\"1\"}}\n\n"
    );
    assert!(text.starts_with(&frame), "{text}");

    // The header is what the library knows since it last connected.
    let mut again = get_request(&format!("/api/stream?last_id={FIRST_ID}"));
    let last = HeaderValue::from(FIRST_ID + 1);
    again.headers_mut().insert("last-event-id", last);
    assert_eq!(ids(&first(fixture.ask(again))), [FIRST_ID + 2]);
    let mut fresh = get_request(&format!("/api/stream?last_id={FIRST_ID}"));
    let empty = HeaderValue::from_static("");
    fresh.headers_mut().insert("last-event-id", empty);
    assert_eq!(
        ids(&first(fixture.ask(fresh))),
        [FIRST_ID + 1, FIRST_ID + 2]
    );
}

#[test]
fn only_what_is_asked_for_comes() {
    let fixture = with_events(1);
    let error = StreamEvent::Error(Error {
        ts_ns: 1,
        message: "market_source_error",
        cause: "closed",
    });
    fixture.state.hub.publish(&error, Some(InstrumentIndex(1)));
    let of = |query: &str| ids(&first(fixture.ask(get_request(query))));
    assert_eq!(of("/api/stream?last_id=0&events=error"), [FIRST_ID + 1]);
    assert_eq!(of("/api/stream?last_id=0&symbols=BTCUSDT"), [FIRST_ID]);
    assert_eq!(of("/api/stream?last_id=0&symbols=BTCUSDT,ETHUSDT").len(), 2);
}

#[test]
fn what_is_no_query_is_refused_by_its_name() {
    let fixture = fixture();
    for (query, field) in [
        ("last_id=x", "last_id"),
        ("last_id=-1", "last_id"),
        ("events=nothing", "events"),
        ("filter=kline", "filter"),
        ("symbols=DOGEUSDT", "symbols"),
    ] {
        let (status, body) = fixture.get(&format!("/api/stream?{query}"));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(
            (&body["error"], &body["field"]),
            (&json!("bad_params"), &json!(field))
        );
    }
    let mut request = get_request("/api/stream");
    let word = HeaderValue::from_static("seven");
    request.headers_mut().insert("last-event-id", word);
    assert_eq!(fixture.ask(request).status(), StatusCode::BAD_REQUEST);
    assert_eq!(fixture.state.hub.counts().clients(), 0);
}

#[test]
fn no_compression_holds_events_back() {
    let fixture = with_events(1);
    let mut request = get_request("/api/stream?last_id=0");
    let gzip = HeaderValue::from_static("gzip");
    request.headers_mut().insert(ACCEPT_ENCODING, gzip);
    let response = fixture.ask(request);
    assert!(!response.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(ids(&first(response)), [FIRST_ID]);
}

#[test]
fn one_client_too_many_is_told_when_to_come_again() {
    let fixture = fixture();
    let router = fixture.router(on_this_machine());
    let open: Vec<_> = (0..CLIENTS_MAX)
        .map(|_| answer_of(&router, get_request("/api/stream")))
        .collect();
    let refused = answer_of(&router, get_request("/api/stream"));
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[RETRY_AFTER], "10");
    drop(open);
    assert_eq!(fixture.state.hub.counts().clients(), 0);
    assert_eq!(
        answer_of(&router, get_request("/api/stream")).status(),
        StatusCode::OK
    );
}

#[test]
fn the_metrics_port_has_no_stream() {
    let router = fixture().router(Surface {
        reach: Reach::Monitoring,
        ..on_this_machine()
    });
    let response = answer_of(&router, get_request("/api/stream"));
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
