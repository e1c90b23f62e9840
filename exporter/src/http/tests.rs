//! The router without sockets, and the server with hostile peers on one.

use super::server::{ServerLimits, serve};
use super::*;
use crate::published::Published;
use crate::testing::{INSTRUMENTS, instruments};
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, HOST};
use http_body_util::BodyExt;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::telemetry::gauges::{BookGauges, Touch};
use veloz_core::telemetry::records::BookState;
use veloz_core::telemetry::{Sizes, Telemetry, telemetry};

/// An engine fed by hand, and the state that handlers see.
struct Fixture {
    core: Telemetry,
    clock: Arc<AtomicU64>,
    state: Arc<HttpState>,
}

fn fixture() -> Fixture {
    let (core, reader) = telemetry(INSTRUMENTS, Sizes::default());
    let clock = Arc::new(AtomicU64::new(Nanos::from_secs(10).0));
    let reading = Arc::clone(&clock);
    let state = Arc::new(HttpState {
        now: Box::new(move || Nanos(reading.load(Ordering::Relaxed))),
        started_at: Nanos::from_secs(3),
        heartbeat_age_max: Nanos::from_secs(1),
        exchange: "binance",
        loopback_only: true,
        instruments: Arc::new(instruments()),
        counters: reader.counters.clone(),
        gauges: reader.gauges.clone(),
        shared: Shared::new(Published::new(INSTRUMENTS)),
        requests: Arc::new(RequestMetrics::default()),
        log: Arc::new(Log::none()),
        process: ProcessStats::default,
        page: HttpState::all_metrics(),
    });
    Fixture { core, clock, state }
}

impl Fixture {
    fn make_ready(&mut self) {
        let now = Nanos(self.clock.load(Ordering::Relaxed));
        self.core.gauges.heartbeat(now);
        self.core.gauges.links_up(LinkRole::Market, 1);
        for index in 0..INSTRUMENTS as u16 {
            self.book(index, BookState::Live);
        }
    }

    fn book(&mut self, index: u16, state: BookState) {
        let touch = Touch {
            bid: None,
            ask: None,
        };
        let book = match state {
            BookState::Live => BookGauges::live(touch, 1, Nanos(1)),
            BookState::Waiting | BookState::Syncing | BookState::Resyncing => {
                BookGauges::not_live(state, Nanos(1))
            }
        };
        self.core.gauges.book(InstrumentIndex(index), book);
    }

    fn ask(&self, request: Request) -> Response {
        block_on(async { router(Arc::clone(&self.state)).oneshot(request).await })
            .expect("infallible")
    }

    fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.ask(get_request(path));
        let status = response.status();
        let body = text(response);
        (status, serde_json::from_str(&body).expect("a JSON body"))
    }
}

fn get_request(path: &str) -> Request {
    Request::builder()
        .uri(path)
        .header(HOST, "localhost:8080")
        .body(Body::empty())
        .expect("a valid request")
}

fn text(response: Response) -> String {
    let bytes = block_on(response.into_body().collect())
        .expect("a body in memory")
        .to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

#[test]
fn health_answers_as_documented() {
    let mut fixture = fixture();
    let (status, body) = fixture.get("/health");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({ "ok": true, "version": VERSION }));
    assert_eq!(
        fixture.get("/health/live"),
        (StatusCode::OK, json!({"ok": true}))
    );

    fixture.make_ready();
    let (status, body) = fixture.get("/health/ready");
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "ok": true,
        "components": { "engine": "healthy", "websocket": "connected", "books": "live" },
        "uptime_seconds": 7,
        "version": VERSION,
    });
    assert_eq!(body, expected);
}

#[test]
fn readiness_follows_heartbeat_link_and_books_and_names_what_fails() {
    let mut fixture = fixture();
    let failing = |fixture: &Fixture| {
        let (status, body) = fixture.get("/health/ready");
        assert_eq!(
            status.is_success(),
            body["ok"] == true,
            "status and body agree"
        );
        body["failing"].clone()
    };
    assert_eq!(failing(&fixture), json!(["engine", "websocket", "books"]));
    fixture.make_ready();
    assert_eq!(failing(&fixture), Value::Null);

    // One nanosecond past the bound.
    let bound = Nanos::from_secs(1).0;
    fixture.clock.fetch_add(bound, Ordering::Relaxed);
    assert_eq!(failing(&fixture), Value::Null);
    fixture.clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(failing(&fixture), json!(["engine"]));
    fixture.make_ready();

    fixture.book(1, BookState::Resyncing);
    assert_eq!(failing(&fixture), json!(["books"]));
    let (_, body) = fixture.get("/health/ready");
    assert_eq!(body["components"]["books"], "not live: ETHUSDT resyncing");
    fixture.book(1, BookState::Live);

    fixture.core.gauges.links_up(LinkRole::Market, 0);
    assert_eq!(failing(&fixture), json!(["websocket"]));
}

#[test]
fn startup_latches() {
    let fixture = fixture();
    assert_eq!(
        fixture.get("/health/startup").0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let mut published = fixture.state.shared.read();
    published.was_ready = true;
    fixture.state.shared.write(&published);
    assert_eq!(fixture.get("/health/startup").0, StatusCode::OK);
}

#[test]
fn unknown_paths_and_methods_get_json() {
    let fixture = fixture();
    let (status, body) = fixture.get("/nothing/here");
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body["error"], "not_found");

    let mut post = get_request("/metrics");
    *post.method_mut() = Method::POST;
    let response = fixture.ask(post);
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let allow = response.headers()[ALLOW].to_str().expect("text").to_owned();
    assert!(allow.contains("GET"), "{allow}");
    let body: Value = serde_json::from_str(&text(response)).expect("a JSON body");
    assert_eq!(body["error"], "method_not_allowed");

    let mut head = get_request("/metrics");
    *head.method_mut() = Method::HEAD;
    let response = fixture.ask(head);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response), "");
}

#[test]
fn a_foreign_host_is_misdirected() {
    let fixture = fixture();
    let with_host = |host: &'static str| {
        let mut request = get_request("/metrics");
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static(host));
        fixture.ask(request).status()
    };
    assert_eq!(with_host("127.0.0.1:8080"), StatusCode::OK);
    assert_eq!(
        with_host("attacker.example"),
        StatusCode::MISDIRECTED_REQUEST
    );
    let mut request = get_request("/metrics");
    request.headers_mut().remove(HOST);
    assert_eq!(
        fixture.ask(request).status(),
        StatusCode::MISDIRECTED_REQUEST
    );
}

#[test]
fn the_page_comes_in_the_format_and_encoding_asked_for() {
    let fixture = fixture();
    let response = fixture.ask(get_request("/metrics"));
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        Format::Text.content_type()
    );
    assert!(!text(response).contains("# EOF"));

    let mut request = get_request("/metrics");
    request.headers_mut().insert(
        ACCEPT,
        HeaderValue::from_static("application/openmetrics-text;version=1.0.0"),
    );
    let response = fixture.ask(request);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        Format::OpenMetrics.content_type()
    );
    assert!(text(response).ends_with("# EOF\n"));

    let mut request = get_request("/metrics");
    request
        .headers_mut()
        .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let response = fixture.ask(request);
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    let bytes = block_on(response.into_body().collect())
        .expect("a body in memory")
        .to_bytes();
    assert!(bytes.starts_with(&[0x1f, 0x8b]), "gzip's magic number");
}

#[test]
fn requests_are_counted_by_route_and_made_up_methods_are_not_labels() {
    let fixture = fixture();
    fixture.get("/health");
    fixture.get("/health");
    fixture.get("/%00%3Cscript%3E");
    let mut odd = get_request("/health");
    *odd.method_mut() = Method::from_bytes(b"BREW").expect("a token");
    assert_eq!(fixture.ask(odd).status(), StatusCode::METHOD_NOT_ALLOWED);

    let page = text(fixture.ask(get_request("/metrics")));
    for line in [
        r#"veloz_http_requests_total{method="GET",endpoint="/health",status="200"} 2"#,
        r#"veloz_http_requests_total{method="GET",endpoint="unmatched",status="404"} 1"#,
        r#"veloz_http_requests_total{method="OTHER",endpoint="/health",status="405"} 1"#,
        r#"veloz_http_request_duration_seconds_count{method="GET",endpoint="/health"} 2"#,
        r#"veloz_http_response_size_bytes_bucket{method="GET",endpoint="/health",le="100.0"} 2"#,
    ] {
        assert!(page.lines().any(|has| has == line), "{line}\n{page}");
    }
}

#[test]
fn a_panic_in_a_handler_is_a_counted_500() {
    async fn broken() -> Response {
        panic!("a broken handler")
    }
    let fixture = fixture();
    let routes = Router::new().route("/broken", get(broken));
    let response =
        block_on(guarded(routes, Arc::clone(&fixture.state)).oneshot(get_request("/broken")))
            .expect("infallible");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body: Value = serde_json::from_str(&text(response)).expect("a JSON body");
    assert_eq!(body["error"], "internal");
    assert_eq!(fixture.state.requests.panics(), 1);
    assert_eq!(fixture.state.requests.answered()[0].0.status, 500);
    assert_eq!(fixture.get("/health").0, StatusCode::OK);
}

/// Runs `attack` against a server with these limits, then asks it for its health and stops it.
fn attacked<F: Future<Output = ()>>(
    limits: ServerLimits,
    attack: impl FnOnce(std::net::SocketAddr) -> F,
) -> Arc<RequestMetrics> {
    let fixture = fixture();
    let requests = Arc::clone(&fixture.state.requests);
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(());
        let server = tokio::spawn(serve(
            listener,
            router(Arc::clone(&fixture.state)),
            limits,
            Arc::clone(&requests),
            stopped,
        ));
        attack(address).await;
        let answer = exchange(
            address,
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(stop);
        server.await.expect("the server ends without a panic");
    });
    requests
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    attacked(ServerLimits::default(), async |address| {
        let mut request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
        request.resize(200_000, b'x');
        let answer = exchange(address, &request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );

        let mut request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n".to_vec();
        for number in 0..100 {
            request.extend_from_slice(format!("X{number}: y\r\n").as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        let answer = exchange(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    });
}

#[test]
fn a_head_that_never_ends_ends_its_connection() {
    let limits = ServerLimits {
        head_time_max: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    attacked(limits, async |address| {
        // Returns only because the server closes.
        let answer = exchange(address, b"GET /metrics HTTP/1.1\r\nHost: loc").await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        // A connection that says nothing at all.
        assert_eq!(exchange(address, b"").await, "");
    });
}

#[test]
fn a_body_that_is_promised_and_does_not_come_costs_nothing() {
    attacked(ServerLimits::default(), async |address| {
        let huge = b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n";
        let answer = exchange(address, huge).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        let large = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n";
        let answer = exchange(address, large).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    });
}

#[test]
fn what_is_no_request_is_refused() {
    attacked(ServerLimits::default(), async |address| {
        for garbage in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"GET /metrics\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        ] {
            let answer = exchange(address, garbage).await;
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
}

/// RFC 9112 §6.3: two lengths are a smuggler's tool; whoever serves such a request closes after it.
#[test]
fn a_request_with_two_lengths_ends_its_connection() {
    attacked(ServerLimits::default(), async |address| {
        let twice = b"GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = exchange(address, twice).await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    });
}

#[test]
fn connections_past_the_limit_are_closed_and_counted() {
    let limits = ServerLimits {
        connections_max: 2,
        ..ServerLimits::default()
    };
    let metrics = attacked(limits, async |address| {
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream
                .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await
                .expect("accepted");
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.expect("an answer");
            assert_eq!(&first, b"HTTP/1.1 200");
            held.push(stream);
        }
        assert_eq!(exchange(address, b"GET / HTTP/1.1\r\n\r\n").await, "");
        drop(held);
        // Both held connections are seen closed before the next one is accepted: the server takes
        // ended ones off its list first. A connection tried too early is refused, so try until served.
        loop {
            let answer = exchange(
                address,
                b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )
            .await;
            if !answer.is_empty() {
                break;
            }
        }
    });
    assert!(metrics.connections_refused() >= 1);
    assert_eq!(metrics.connections(), 0);
}

#[test]
fn a_connection_ends_at_its_maximal_age() {
    let limits = ServerLimits {
        connection_age_max: Duration::from_millis(50),
        grace: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    attacked(limits, async |address| {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("accepted");
        let mut answer = Vec::new();
        // Ends because the server closes; the peer keeps its side open and never asks again.
        stream.read_to_end(&mut answer).await.expect("a clean end");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    });
}
