//! A request's span: below its caller, without its query, and named in the answer.

use super::*;
use crate::traces::tests::collecting;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_request_is_a_span_below_its_caller_and_the_answer_names_it() {
    let mut fixture = fixture();
    let (spans, collected) = collecting();
    spans.set_wall_clock(1_000);
    Arc::get_mut(&mut fixture.state)
        .expect("not shared yet")
        .spans = spans;
    let mut request = get_request("/health?ticket=secret");
    let headers = request.headers_mut();
    headers.insert("traceparent", HeaderValue::from_static(PARENT));
    headers.insert("tracestate", HeaderValue::from_static("other=1"));
    let response = fixture.ask(request);
    let told = collected.take();
    assert_eq!(told.len(), 1);
    let span = &told[0];
    assert_eq!(span.name, "http.request");
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    let id = span.span_context.span_id().to_string();
    assert_eq!(
        response.headers()["traceparent"],
        format!("00-0af7651916cd43dd8448eb211c80319c-{id}-01")
    );
    assert_eq!(
        response.headers()["tracestate"],
        format!("veloz={id},other=1")
    );
    let attribute = |key: &str| {
        let found = span.attributes.iter().find(|has| has.key.as_str() == key);
        found.expect("an attribute").value.to_string()
    };
    assert_eq!(attribute("http.url"), "http://localhost:8080/health");
    assert_eq!(attribute("http.method"), "GET");
    assert_eq!(attribute("http.status_code"), "200");
    // The fixture's clock stands still at ten seconds.
    let start = span.start_time.duration_since(std::time::UNIX_EPOCH);
    assert_eq!(start.expect("after").as_nanos(), 10_000_001_000);
    assert_eq!(span.end_time, span.start_time);
}

#[test]
fn the_address_of_an_encrypted_port_says_so() {
    let mut fixture = fixture();
    let (spans, collected) = collecting();
    Arc::get_mut(&mut fixture.state)
        .expect("not shared yet")
        .spans = spans;
    let encrypted = Surface {
        tls: true,
        ..on_this_machine()
    };
    answer_of(&fixture.router(encrypted), get_request("/health"));
    let told = collected.take();
    let url = told[0]
        .attributes
        .iter()
        .find(|has| has.key.as_str() == "http.url");
    let url = url.expect("there").value.to_string();
    assert_eq!(url, "https://localhost:8080/health");
}

#[test]
fn what_is_refused_or_panics_has_a_span_too_and_a_header_that_is_none_begins_a_trace() {
    let mut fixture = fixture();
    let (spans, collected) = collecting();
    Arc::get_mut(&mut fixture.state)
        .expect("not shared yet")
        .spans = spans;
    let mut request = get_request("/nothing");
    let garbage = HeaderValue::from_static("00-zz-01");
    request.headers_mut().insert("traceparent", garbage);
    let response = fixture.ask(request);
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let told = collected.take();
    assert_eq!(told[0].parent_span_id.to_string(), "0000000000000000");
    let header = response.headers()["traceparent"].to_str().expect("text");
    assert!(header.contains(&told[0].span_context.trace_id().to_string()));
}

#[test]
fn a_slow_request_leaves_its_trace_at_its_bucket_in_open_metrics_alone() {
    let (spans, _collected) = collecting();
    let fixture = fixture_with(|state| {
        state.spans = spans;
        // Every look at the clock is two milliseconds later.
        let clock = AtomicU64::new(Nanos::from_secs(10).0);
        state.now = Arc::new(move || Nanos(clock.fetch_add(2_000_000, Ordering::Relaxed)));
    });
    let mut request = get_request("/api/config");
    let parent = HeaderValue::from_static(PARENT);
    request.headers_mut().insert("traceparent", parent);
    assert_eq!(fixture.ask(request).status(), StatusCode::OK);
    let page = |accept: &'static str| {
        let mut request = get_request("/metrics");
        let accept = HeaderValue::from_static(accept);
        request.headers_mut().insert(ACCEPT, accept);
        text(fixture.ask(request))
    };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let shown: Vec<String> = page("application/openmetrics-text; version=1.0.0")
        .lines()
        .filter(|line| line.contains(trace))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        shown,
        [
            "veloz_http_request_duration_seconds_bucket{method=\"GET\",endpoint=\"/api/config\",le=\"0.005\"} 1 \
            # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.002 1708689600.123"
        ]
    );
    assert!(!page("text/plain").contains(trace));
}
