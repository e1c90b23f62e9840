//! The router without sockets; hostile peers on real ones are in `tests/attacks.rs`.

mod api;
mod attacks;
mod audited;
mod encrypted;
mod identities;
mod repeats;
mod stream;
mod traced;

use super::exchange::Peer;
use super::routes::{Access, Verb};
use super::*;
use crate::api::ApiConfig;
use crate::catalogue::VERSION;
use crate::exposition::Format;
use crate::faults::ProcessFaults;
use crate::published::Published;
use crate::testing::{INSTRUMENTS, instruments, trading_view};
use crate::traces::Traces;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tower::ServiceExt;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::risk::{GlobalLimits, InstrumentLimits, Limit, LimitUse, Utilization};
use veloz_core::telemetry::gauges::{BookGauges, Gauge, Touch};
use veloz_core::telemetry::records::{BookState, TradingPhase};
use veloz_core::telemetry::{Sizes, Telemetry, telemetry};

/// An engine fed by hand, and the state that handlers see.
struct Fixture {
    core: Telemetry,
    clock: Arc<AtomicU64>,
    state: Arc<HttpState>,
}

/// An API that keeps nothing, with no limit that binds.
fn api_config() -> ApiConfig {
    ApiConfig {
        limits: (
            GlobalLimits::default(),
            vec![InstrumentLimits::default(); INSTRUMENTS],
        ),
        ..ApiConfig::default()
    }
}

fn fixture() -> Fixture {
    fixture_with(|_| {})
}

fn fixture_with(change: impl FnOnce(&mut HttpState)) -> Fixture {
    let (core, reader) = telemetry(INSTRUMENTS, Sizes::default());
    let clock = Arc::new(AtomicU64::new(Nanos::from_secs(10).0));
    let reading = Arc::clone(&clock);
    let mut state = HttpState {
        api: Arc::new(Api::open(api_config()).expect("keeps nothing")),
        now: Arc::new(move || Nanos(reading.load(Ordering::Relaxed))),
        unix: Box::new(|| UnixMs(1_708_689_600_123)),
        started_at: Nanos::from_secs(3),
        heartbeat_age_max: Nanos::from_secs(1),
        exchange: "binance",
        instruments: Arc::new(instruments()),
        counters: reader.counters.clone(),
        gauges: reader.gauges.clone(),
        shared: Shared::new(Published::new(INSTRUMENTS)),
        trading: trading_view(),
        state: None,
        requests: Arc::new(RequestMetrics::default()),
        log: Arc::new(Log::none()),
        auth: None,
        auth_metrics: Arc::new(AuthMetrics::default()),
        scrape_token: None,
        audit: None,
        audit_metrics: Arc::new(AuditMetrics::default()),
        audit_readers: Semaphore::new(1),
        hub: Hub::new(UnixMs(1_000)),
        spans: Traces::none().spans(),
        faults: ProcessFaults::default(),
        process: ProcessStats::default,
        page: HttpState::all_metrics(),
    };
    // The engine's clock reads ten seconds at the wall's time.
    state.trading.set_wall_clock(1_708_689_590_123_000_000);
    change(&mut state);
    Fixture {
        core,
        clock,
        state: Arc::new(state),
    }
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

    fn router(&self, surface: Surface) -> Router {
        router(Arc::clone(&self.state), surface)
    }

    fn ask(&self, request: Request) -> Response {
        answer_of(&self.router(on_this_machine()), request)
    }

    fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.ask(get_request(path));
        let status = response.status();
        let body = text(response);
        (status, serde_json::from_str(&body).expect("a JSON body"))
    }
}

/// The port that is open by default.
fn on_this_machine() -> Surface {
    Surface {
        reach: Reach::Everything,
        trust: Trust::Machine,
        tls: false,
        cors: Cors::default(),
        shape: ShapeLimits::default(),
        body_bytes_max: 1 << 20,
        rate: RateRule::per_second(100, 10),
        rate_per_user: true,
    }
}

fn answer_of(router: &Router, request: Request) -> Response {
    block_on(router.clone().oneshot(request)).expect("infallible")
}

fn request_for(method: Method, path: &str, body: &Value) -> Request {
    let mut request = get_request(path);
    *request.method_mut() = method;
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Body::from(body.to_string());
    request
}

fn get_request(path: &str) -> Request {
    Request::builder()
        .uri(path)
        .extension(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)))
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
    fixture.core.gauges.links_up(LinkRole::Market, 1);

    // A venue that is silent for longer than risk takes orders on its books, while the core turns.
    let unbound = LimitUse {
        used: None,
        max: None,
        bps: 0,
    };
    let mut limits = [unbound; Limit::ALL.len()];
    limits[Limit::MarketDataAge.index()].max = Some(Nanos::from_secs(2).0 as i64);
    let utilization = Utilization {
        limits,
        highest_bps: 0,
    };
    let index = InstrumentIndex(1);
    fixture.core.gauges.limits(index, &utilization);
    let now = Nanos(fixture.clock.load(Ordering::Relaxed));
    let touch = Touch {
        bid: None,
        ask: None,
    };
    fixture
        .core
        .gauges
        .book(index, BookGauges::live(touch, 1, now));
    let bound = Nanos::from_secs(2).0;
    fixture.clock.fetch_add(bound, Ordering::Relaxed);
    fixture.core.gauges.heartbeat(now.plus(Nanos(bound)));
    assert_eq!(failing(&fixture), Value::Null);
    fixture.clock.fetch_add(300_000_000, Ordering::Relaxed);
    assert_eq!(failing(&fixture), json!(["books"]));
    let (status, body) = fixture.get("/health/ready");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body["components"]["books"],
        "not live: ETHUSDT without news for 2300 ms"
    );
}

#[test]
fn an_account_makes_readiness_ask_for_its_user_stream_its_clock_and_its_state() {
    let kept = Reported::default();
    let reported = kept.clone();
    let mut fixture = fixture_with(|state| state.state = Some(reported));
    fixture.make_ready();
    let failing = |fixture: &Fixture| fixture.get("/health/ready").1["failing"].clone();
    let phase = |fixture: &mut Fixture, phase: TradingPhase| {
        let gauges = &mut fixture.core.gauges;
        gauges.set(Gauge::TradingPhase, phase.index() as i64);
    };
    phase(&mut fixture, TradingPhase::Starting);
    assert_eq!(
        failing(&fixture),
        json!(["user_stream", "trading", "clock"])
    );
    phase(&mut fixture, TradingPhase::Ready);
    fixture.core.gauges.links_up(LinkRole::Orders, 1);
    fixture.core.gauges.set(Gauge::VenueClockOffsetNs, 1_000);
    let (status, body) = fixture.get("/health/ready");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["components"],
        json!({
            "engine": "healthy", "websocket": "connected", "books": "live",
            "user_stream": "connected", "trading": "ready", "clock": "healthy",
            "database": "healthy",
        })
    );
    fixture.core.gauges.links_up(LinkRole::Orders, 0);
    assert_eq!(failing(&fixture), json!(["user_stream"]));
    fixture.core.gauges.links_up(LinkRole::Orders, 1);
    kept.report(Err("no space".to_owned()));
    assert_eq!(failing(&fixture), json!(["database"]));

    // For people it is 200 all the same: it answers.
    let (status, body) = fixture.get("/api/health");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&body["ok"], &body["engine"], &body["version"]),
        (&json!(false), &json!({"connected": true}), &json!(VERSION))
    );
    assert_eq!(body["components"]["database"], "no space");
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
    fixture.get("/%3Cscript%3E");
    let mut odd = get_request("/health");
    *odd.method_mut() = Method::from_bytes(b"BREW").expect("a token");
    assert_eq!(fixture.ask(odd).status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut wrong = get_request("/health");
    *wrong.method_mut() = Method::POST;
    assert_eq!(fixture.ask(wrong).status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut foreign = get_request("/health");
    let host = HeaderValue::from_static("attacker.example");
    foreign.headers_mut().insert(HOST, host);
    assert_eq!(
        fixture.ask(foreign).status(),
        StatusCode::MISDIRECTED_REQUEST
    );

    let page = text(fixture.ask(get_request("/metrics")));
    for line in [
        r#"veloz_http_requests_total{method="GET",endpoint="/health",status="200"} 2"#,
        r#"veloz_http_requests_total{method="GET",endpoint="unmatched",status="404"} 1"#,
        r#"veloz_http_requests_total{method="OTHER",endpoint="/health",status="405"} 1"#,
        r#"veloz_http_requests_total{method="POST",endpoint="/health",status="405"} 1"#,
        r#"veloz_http_requests_total{method="GET",endpoint="/health",status="421"} 1"#,
        r#"veloz_http_request_duration_seconds_count{method="GET",endpoint="/health"} 3"#,
        r#"veloz_http_response_size_bytes_bucket{method="GET",endpoint="/health",le="100.0"} 2"#,
    ] {
        assert!(page.lines().any(|has| has == line), "{line}\n{page}");
    }
}

#[test]
fn no_client_takes_the_room_of_the_counts_and_none_of_its_requests_is_lost() {
    use super::requests::{ANSWERED_MAX, OTHER};
    let fixture = fixture();
    let router = fixture.router(on_this_machine());
    let methods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW",
    ];
    let mut sent = 0;
    for route in ROUTES {
        for method in methods {
            let mut request = get_request(&route.path.replace(['{', '}'], ""));
            *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a token");
            let foreign = HeaderValue::from_static("attacker.example");
            request.headers_mut().insert(HOST, foreign);
            answer_of(&router, request);
            sent += 1;
        }
    }
    let answered = fixture.state.requests.answered();
    let mut counted = 0;
    for (answer, count) in &answered {
        let is_route = ROUTES.iter().any(|route| {
            route.path == answer.endpoint
                && (route.verb.method() == answer.method
                    || (route.verb == Verb::Get && answer.method == "HEAD"))
        });
        let is_rest = (answer.method, answer.endpoint) == (OTHER, "unmatched");
        assert!(is_route || is_rest, "{answer:?}");
        assert_eq!(answer.status, 421);
        counted += count;
    }
    assert_eq!(counted, sent);

    // Whatever else there is fits: each route by each status, each path and the rest by other methods, and each path by
    // the methods that it does not take.
    let codes = problem::Code::ALL.into_iter().map(problem::Code::status);
    let mut statuses: Vec<_> = codes.collect();
    statuses.extend([StatusCode::OK, StatusCode::CREATED, StatusCode::ACCEPTED]);
    statuses.sort_unstable();
    statuses.dedup();
    let reads = ROUTES
        .iter()
        .filter(|route| route.verb == Verb::Get)
        .count();
    let rows = ROUTES.len() + reads + ROUTES.len() + methods.len();
    let not_allowed = ROUTES.len() * (methods.len() - 1) - reads;
    assert!(
        rows * statuses.len() + not_allowed <= ANSWERED_MAX,
        "{rows} {} {not_allowed}",
        statuses.len()
    );
}

#[test]
fn a_panic_in_a_handler_is_a_counted_500() {
    async fn broken() -> Response {
        panic!("a broken handler")
    }
    static BROKEN: [Route; 1] = [Route {
        verb: Verb::Get,
        path: "/broken",
        access: Access::Scrape,
        serve: || get(broken),
    }];
    let fixture = fixture();
    let routes = router_of(&BROKEN, Arc::clone(&fixture.state), on_this_machine());
    let response = answer_of(&routes, get_request("/broken"));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body: Value = serde_json::from_str(&text(response)).expect("a JSON body");
    assert_eq!(body["error"], "internal");
    assert_eq!(fixture.state.requests.panics(), 1);
    assert_eq!(fixture.state.requests.answered()[0].0.status, 500);
    assert_eq!(fixture.get("/health").0, StatusCode::OK);
}

#[test]
fn every_answer_carries_the_headers_that_browsers_obey() {
    let fixture = fixture();
    for path in ["/health", "/metrics", "/nothing/here", "/health/%zz"] {
        let response = fixture.ask(get_request(path));
        let headers = response.headers();
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-xss-protection", "1; mode=block"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("referrer-policy", "no-referrer"),
            (
                "permissions-policy",
                "camera=(), geolocation=(), microphone=()",
            ),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
        for absent in [
            "strict-transport-security",
            "access-control-allow-origin",
            "x-ratelimit-limit",
        ] {
            assert!(!headers.contains_key(absent), "{path} has {absent}");
        }
    }
    let encrypted = Surface {
        tls: true,
        ..on_this_machine()
    };
    let response = answer_of(&fixture.router(encrypted), get_request("/health"));
    assert_eq!(
        response.headers()["strict-transport-security"],
        "max-age=31536000"
    );
}

#[test]
fn ids_are_echoed_when_they_are_plain_and_made_when_they_are_not() {
    let fixture = fixture();
    let ids = |given: &[(&'static str, &str)]| {
        let mut request = get_request("/health");
        for (name, value) in given {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_str(value).expect("a header"));
        }
        let response = fixture.ask(request);
        ["x-request-id", "x-correlation-id"]
            .map(|name| response.headers()[name].to_str().expect("text").to_owned())
    };
    let given = ids(&[("x-request-id", "abc-123"), ("x-correlation-id", "web.7")]);
    assert_eq!(given, ["abc-123", "web.7"]);
    let alone = ids(&[("x-request-id", "abc-123")]);
    assert_eq!(alone, ["abc-123", "abc-123"]);
    let long = "x".repeat(129);
    for bad in ["", "two words", "a\"b", "a{b}", "caf\u{e9}", long.as_str()] {
        let [made, correlation] = ids(&[("x-request-id", bad)]);
        assert!(made.starts_with("req-") && made.len() == 20, "{made}");
        assert_eq!(made, correlation);
    }
    let [twice, _] = ids(&[("x-request-id", "a"), ("x-request-id", "b")]);
    assert!(twice.starts_with("req-"), "{twice}");
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// What users see by default.
    fn of(run: impl FnOnce()) -> String {
        Self::up_to(tracing::Level::INFO, run)
    }

    fn up_to(level: tracing::Level, run: impl FnOnce()) -> String {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, run);
        let bytes = lines.0.lock().expect("one thread");
        String::from_utf8(bytes.clone()).expect("UTF-8")
    }
}

#[test]
fn a_refused_request_is_logged_with_its_ids_and_a_flood_is_not_a_flood_of_lines() {
    let fixture = fixture();
    let text = Lines::of(|| {
        let mut request = get_request("/secret/path?token=hunter2");
        request
            .headers_mut()
            .insert("x-request-id", HeaderValue::from_static("abc-123"));
        fixture.ask(request);
        fixture.get("/health");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "a read that went well is no news: {text}");
    for part in [
        "\"request_id\":\"abc-123\"",
        "\"endpoint\":\"unmatched\"",
        "\"status\":404",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        !text.contains("hunter2") && !text.contains("secret"),
        "{text}"
    );

    let router = fixture.router(on_this_machine());
    let flood = Lines::of(|| {
        for _ in 0..1_000 {
            answer_of(&router, get_request("/nothing/here"));
        }
    });
    assert_eq!(flood.lines().count(), 200);
    let page = text_of_metrics(&fixture);
    assert!(
        page.contains("\nveloz_log_lines_suppressed_total 800\n"),
        "{page}"
    );
}

fn text_of_metrics(fixture: &Fixture) -> String {
    text(fixture.ask(get_request("/metrics")))
}

#[test]
fn a_target_that_hides_something_is_refused_and_no_path_reaches_another() {
    let fixture = fixture();
    for target in [
        "/health/%zz",
        "/health%00",
        "/health%0d%0aX-Evil:%201",
        "/health/../metrics",
        "/health/%2e%2e/metrics",
        "/health?x=%",
    ] {
        let (status, body) = fixture.get(target);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{target}");
        assert_eq!(body["error"], "bad_params", "{target}");
    }
    for target in [
        "//metrics",
        "/metrics/",
        "/%6detrics",
        "/metrics;a=b",
        "/METRICS",
        "/health//live",
    ] {
        assert_eq!(fixture.get(target).0, StatusCode::NOT_FOUND, "{target}");
    }
    let long = format!("/{}", "a".repeat(2_048));
    assert_eq!(fixture.get(&long).1["error"], "uri_too_long");
    let mut request = get_request("/health");
    let value = HeaderValue::from_str(&"x".repeat(9_000)).expect("plain");
    request.headers_mut().insert("x-large", value);
    let response = fixture.ask(request);
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    let body: Value = serde_json::from_str(&text(response)).expect("JSON");
    assert_eq!(body["error"], "headers_too_large");
}

fn with_write_route(fixture: &Fixture, surface: Surface) -> Router {
    static WRITE: [Route; 1] = [Route {
        verb: Verb::Post,
        path: "/write",
        access: Access::Public,
        serve: || post(async || "written"),
    }];
    router_of(&WRITE, Arc::clone(&fixture.state), surface)
}

fn write_request(headers: &[(axum::http::HeaderName, &'static str)]) -> Request {
    let mut request = get_request("/write");
    *request.method_mut() = Method::POST;
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(name.clone(), HeaderValue::from_static(value));
    }
    request
}

#[test]
fn a_web_page_of_another_origin_writes_nothing_on_a_trusted_machine() {
    let fixture = fixture();
    let router = with_write_route(&fixture, on_this_machine());
    let status = |origin: Option<&'static str>| {
        let headers: Vec<_> = origin.map(|origin| (ORIGIN, origin)).into_iter().collect();
        answer_of(&router, write_request(&headers)).status()
    };
    assert_eq!(status(None), StatusCode::OK);
    assert_eq!(status(Some("http://localhost:8080")), StatusCode::OK);
    assert_eq!(status(Some("http://evil.example")), StatusCode::FORBIDDEN);
    assert_eq!(status(Some("null")), StatusCode::FORBIDDEN);
}

#[test]
fn a_named_origin_may_read_and_write_and_no_other() {
    let fixture = fixture();
    let surface = Surface {
        cors: Cors::of(&["https://ui.example".to_owned()], false).expect("an origin"),
        ..on_this_machine()
    };
    let router = with_write_route(&fixture, surface);
    let allowed = |response: &Response| {
        response
            .headers()
            .get("access-control-allow-origin")
            .map(|value| value.to_str().expect("text").to_owned())
    };
    let good = answer_of(&router, write_request(&[(ORIGIN, "https://ui.example")]));
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(allowed(&good).as_deref(), Some("https://ui.example"));
    let bad = answer_of(&router, write_request(&[(ORIGIN, "https://evil.example")]));
    assert_eq!(bad.status(), StatusCode::FORBIDDEN);
    assert_eq!(allowed(&bad), None);

    let mut preflight = write_request(&[
        (ORIGIN, "https://ui.example"),
        (axum::http::header::ACCESS_CONTROL_REQUEST_METHOD, "DELETE"),
    ]);
    *preflight.method_mut() = Method::OPTIONS;
    let answer = answer_of(&router, preflight);
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["access-control-allow-methods"],
        "GET,POST,DELETE"
    );
    assert_eq!(answer.headers()["access-control-max-age"], "86400");
    let names = |response: &Response, header: &str| {
        let names = response.headers()[header]
            .to_str()
            .expect("text")
            .to_owned();
        names.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let sent = names(&answer, "access-control-allow-headers");
    for name in [
        "authorization",
        "x-api-key",
        "idempotency-key",
        "traceparent",
        "tracestate",
    ] {
        assert!(sent.iter().any(|has| has == name), "{name}");
    }
    let read = names(&good, "access-control-expose-headers");
    for name in [
        "retry-after",
        "x-correlation-id",
        "idempotent-replayed",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ] {
        assert!(read.iter().any(|has| has == name), "{name}");
    }
}

#[test]
fn an_open_port_limits_each_address_but_never_a_probe() {
    let fixture = fixture();
    let surface = Surface {
        trust: Trust::Anybody,
        rate: RateRule::per_second(2, 1),
        ..on_this_machine()
    };
    let router = fixture.router(surface);
    let from = |address: [u8; 4], path: &str| {
        let mut request = get_request(path);
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("trading.example"));
        request.extensions_mut().insert(Peer(IpAddr::from(address)));
        answer_of(&router, request)
    };
    let header = |headers: &HeaderMap, name: &str| -> u64 {
        headers[name]
            .to_str()
            .expect("text")
            .parse()
            .expect("a number")
    };
    let first = from([192, 0, 2, 1], "/metrics");
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(header(first.headers(), "x-ratelimit-limit"), 2);
    assert_eq!(header(first.headers(), "x-ratelimit-remaining"), 1);
    // One second from 1708689600.123 on, rounded up.
    assert_eq!(header(first.headers(), "x-ratelimit-reset"), 1_708_689_602);
    from([192, 0, 2, 1], "/no/such/path");
    let refused = from([192, 0, 2, 1], "/metrics");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(refused.headers(), RETRY_AFTER.as_str()), 1);
    assert_eq!(header(refused.headers(), "x-ratelimit-remaining"), 0);
    let body: Value = serde_json::from_str(&text(refused)).expect("JSON");
    assert_eq!(body["error"], "rate_limit_exceeded");

    assert_eq!(from([192, 0, 2, 1], "/health").status(), StatusCode::OK);
    assert_eq!(from([192, 0, 2, 2], "/metrics").status(), StatusCode::OK);
    fixture.clock.fetch_add(1_000_000_000, Ordering::Relaxed);
    assert_eq!(from([192, 0, 2, 1], "/metrics").status(), StatusCode::OK);
    assert_eq!(fixture.state.requests.rate_limit_hits(), 1);
}

#[test]
fn the_monitoring_port_has_metrics_and_health_alone() {
    let fixture = fixture();
    let monitoring = |route: &routes::Route| {
        let surface = Surface {
            reach: Reach::Monitoring,
            ..on_this_machine()
        };
        let mut request = get_request(route.path);
        *request.method_mut() = route.verb.method();
        answer_of(&fixture.router(surface), request).status() != StatusCode::NOT_FOUND
    };
    for route in ROUTES {
        let expected = route.path == "/metrics" || route.path.starts_with("/health");
        assert_eq!(monitoring(route), expected, "{}", route.path);
    }
}
