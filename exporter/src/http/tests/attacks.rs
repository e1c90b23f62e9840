//! Hostile peers on real sockets: what they send, and that the server is there afterwards.

use super::*;
use crate::http::addresses::{AddressRules, Network};
use crate::http::requests::{ConnectionEnd, Refusal};
use crate::http::server::{Door, ServerLimits, serve};
use rustls::ServerConfig;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Runs `attack` against a server with these limits, then asks it for its health and stops it.
fn attacked<F: Future<Output = ()>>(
    limits: ServerLimits,
    attack: impl FnOnce(SocketAddr) -> F,
) -> Arc<RequestMetrics> {
    let fixture = fixture();
    let router = fixture.router(on_this_machine());
    let door = |listener| Door {
        listener,
        tls: None,
        addresses: AddressRules::default(),
        router,
        limits,
    };
    served(&fixture, door, async |address| {
        attack(address).await;
        let answer = exchange(address, &get_head("/health")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    })
}

/// A whole request whose connection ends with it.
pub(super) fn get_head(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Serves `router` with the usual limits while `run` runs, then ends.
pub(super) fn listening<F: Future<Output = ()>>(
    fixture: &Fixture,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    run: impl FnOnce(SocketAddr) -> F,
) -> Arc<RequestMetrics> {
    served(
        fixture,
        |listener| Door {
            listener,
            tls,
            addresses: AddressRules::default(),
            router,
            limits: ServerLimits::default(),
        },
        run,
    )
}

/// Serves a door while `run` runs, then ends.
fn served<F: Future<Output = ()>>(
    fixture: &Fixture,
    door: impl FnOnce(TcpListener) -> Door,
    run: impl FnOnce(SocketAddr) -> F,
) -> Arc<RequestMetrics> {
    let requests = Arc::clone(&fixture.state.requests);
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(());
        let server = tokio::spawn(serve(door(listener), Arc::clone(&requests), stopped));
        run(address).await;
        drop(stop);
        server.await.expect("the server ends without a panic");
    });
    assert_eq!(requests.connections(), 0);
    requests
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let stream = TcpStream::connect(address).await.expect("it listens");
    exchange_over(stream, request).await
}

/// The same over a connection that is there already.
pub(super) async fn exchange_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> String {
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let metrics = attacked(ServerLimits::default(), async |address| {
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
    assert_eq!(metrics.connections_failed(ConnectionEnd::HeadTooLarge), 2);
}

#[test]
fn a_head_that_never_ends_ends_its_connection() {
    let limits = ServerLimits {
        head_time_max: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let metrics = attacked(limits, async |address| {
        // Returns only because the server closes.
        let answer = exchange(address, b"GET /metrics HTTP/1.1\r\nHost: loc").await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        // A connection that says nothing at all.
        assert_eq!(exchange(address, b"").await, "");
    });
    assert!(metrics.connections_failed(ConnectionEnd::Timeout) >= 1);
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
    let metrics = attacked(ServerLimits::default(), async |address| {
        for garbage in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"GET /metrics\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\rX-Evil: b\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\0b\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\r\n folded: b\r\n\r\n",
            b"GET /metrics HTTP/7.0\r\nHost: localhost\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let answer = exchange(address, garbage).await;
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(!answer.to_ascii_lowercase().contains("evil"), "{answer}");
        }
    });
    assert!(metrics.connections_failed(ConnectionEnd::Malformed) >= 8);
}

#[test]
fn http_1_0_gets_its_answer_and_the_end_of_its_connection() {
    attacked(ServerLimits::default(), async |address| {
        let with_host = exchange(address, b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
        assert!(with_host.starts_with("HTTP/1.0 200 OK"), "{with_host}");
        let without = exchange(address, b"GET /health HTTP/1.0\r\n\r\n").await;
        assert!(without.starts_with("HTTP/1.0 421"), "{without}");
    });
}

#[test]
fn a_client_that_pipelines_without_reading_delays_nobody() {
    attacked(ServerLimits::default(), async |address| {
        let one = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // Never finishes: the server reads no further than it can answer.
        let flood = tokio::spawn(async move { stream.write_all(&one.repeat(1_000_000)).await });
        for _ in 0..20 {
            let answer = exchange(address, &get_head("/health")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert!(!flood.is_finished(), "unanswered requests were taken in");
        flood.abort();
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    attacked(ServerLimits::default(), async |address| {
        let mut requests = Vec::new();
        for id in ["one", "two", "three"] {
            requests.extend_from_slice(
                format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: {id}\r\n\r\n")
                    .as_bytes(),
            );
        }
        requests.extend_from_slice(&get_head("/health/live"));
        let answer = exchange(address, &requests).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 4, "{answer}");
        let at = |id: &str| answer.find(&format!("x-request-id: {id}\r\n"));
        assert!(at("one") < at("two") && at("two") < at("three"), "{answer}");
    });
}

#[test]
fn two_hundred_connections_at_once_are_all_served() {
    attacked(ServerLimits::default(), async |address| {
        let mut held = Vec::new();
        for _ in 0..200 {
            held.push(TcpStream::connect(address).await.expect("it listens"));
        }
        for stream in &mut held {
            stream
                .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await
                .expect("accepted");
        }
        for stream in &mut held {
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.expect("an answer");
            assert_eq!(&first, b"HTTP/1.1 200");
        }
    });
}

#[test]
fn an_address_that_may_not_connect_hears_nothing() {
    let fixture = fixture();
    let rules = AddressRules {
        denied: vec![Network::parse("127.0.0.0/8").expect("a network")],
        ..AddressRules::default()
    };
    let router = fixture.router(on_this_machine());
    let door = |listener| Door {
        listener,
        tls: None,
        addresses: rules,
        router,
        limits: ServerLimits::default(),
    };
    let metrics = served(&fixture, door, async |address| {
        assert_eq!(exchange(address, &get_head("/health")).await, "");
    });
    assert_eq!(metrics.connections_refused(Refusal::Address), 1);
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
    assert!(metrics.connections_refused(Refusal::Full) >= 1);
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

/// Bytes that come one by one are a head that does not come: what counts is its end, not its progress.
#[test]
fn a_head_that_drips_ends_its_connection() {
    let limits = ServerLimits {
        head_time_max: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let metrics = attacked(limits, async |address| {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let (mut from, mut to) = stream.split();
        let drip = async {
            loop {
                if to.write_all(b"X").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let end = async {
            let mut answer = Vec::new();
            // Returns only because the server closes.
            let _ = from.read_to_end(&mut answer).await;
            answer
        };
        tokio::select! {
            answer = end => assert!(!answer.starts_with(b"HTTP/1.1 200")),
            () = drip => {}
        }
    });
    assert!(metrics.connections_failed(ConnectionEnd::Timeout) >= 1);
}

/// One byte of a large body and then nothing: whoever else asks is served meanwhile.
#[test]
fn a_body_that_stops_delays_nobody() {
    attacked(ServerLimits::default(), async |address| {
        let mut held = Vec::new();
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let head = b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
            stream.write_all(head).await.expect("accepted");
            held.push(stream);
        }
        for _ in 0..20 {
            let answer = exchange(address, &get_head("/health")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
}

/// What a front end might frame differently gets no answer behind which a second request could hide.
#[test]
fn no_request_hides_behind_another() {
    attacked(ServerLimits::default(), async |address| {
        const HIDDEN: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for (framing, body) in [
            ("Content-Length: 3\r\nContent-Length: 4", "abc"),
            ("Content-Length: 3, 4", "abc"),
            ("Content-Length: +3", "abc"),
            ("Content-Length: -1", ""),
            ("Content-Length: 0x3", "abc"),
            ("Content-Length: 99999999999999999999", ""),
            ("Transfer-Encoding: xchunked", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
            ("Transfer-Encoding : chunked", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFFF\r\n"),
            ("Transfer-Encoding: chunked", "-1\r\n"),
            ("Transfer-Encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n"),
        ] {
            let request = format!(
                "POST /health HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}{HIDDEN}"
            );
            let answer = exchange(address, request.as_bytes()).await;
            assert!(
                !answer.contains("HTTP/1.1 200"),
                "{framing} {body}: {answer}"
            );
        }
        // In HTTP/1.0 there are no chunks.
        let request = format!(
            "POST /health HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        );
        let answer = exchange(address, request.as_bytes()).await;
        assert!(!answer.contains(" 200 OK"), "{answer}");
    });
}

#[test]
fn a_target_of_every_form_names_this_machine_or_gets_nowhere() {
    attacked(ServerLimits::default(), async |address| {
        for (line, host, expected) in [
            ("GET http://localhost/health HTTP/1.1", "localhost", "200"),
            (
                "GET http://evil.example/health HTTP/1.1",
                "localhost",
                "421",
            ),
            (
                "GET http://localhost/health HTTP/1.1",
                "evil.example",
                "421",
            ),
            ("GET //evil.example/health HTTP/1.1", "localhost", "404"),
            ("GET /health%2f..%2fmetrics HTTP/1.1", "localhost", "400"),
            ("GET /health/../metrics HTTP/1.1", "localhost", "400"),
            ("GET /%68ealth HTTP/1.1", "localhost", "404"),
            ("GET /health;x=1 HTTP/1.1", "localhost", "404"),
            ("GET /HEALTH HTTP/1.1", "localhost", "404"),
            ("GET /health?x=%zz HTTP/1.1", "localhost", "400"),
            ("GET /health%00 HTTP/1.1", "localhost", "400"),
            ("OPTIONS * HTTP/1.1", "localhost", "404"),
            ("CONNECT evil.example:443 HTTP/1.1", "localhost", "421"),
            ("TRACE /health HTTP/1.1", "localhost", "405"),
            ("GET /health HTTP/1.1", "localhost, evil.example", "421"),
            ("GET /health HTTP/1.1", "localhost@evil.example", "421"),
        ] {
            let request = format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = exchange(address, request.as_bytes()).await;
            let status = answer.split(' ').nth(1);
            assert_eq!(status, Some(expected), "{line}, {host}: {answer}");
        }
    });
}

/// What a client says about itself comes back in no header and no body but as it may.
#[test]
fn nothing_that_a_client_says_becomes_a_header() {
    attacked(ServerLimits::default(), async |address| {
        let request = b"GET /%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a%0d%0aX-Evil: 1\r\nX-Correlation-ID: \xff\xfe\r\ntraceparent: 00-evil\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
        let answer = exchange(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("evil"), "{answer}");
    });
}

/// Two hundred streams at once: each is greeted and gets the event at once, and none delays an answer.
#[test]
fn two_hundred_streams_at_once_are_all_served() {
    let fixture = fixture();
    let hub = fixture.state.hub.clone();
    let router = fixture.router(on_this_machine());
    listening(&fixture, router, None, async |address| {
        let (stop, stopped) = watch::channel(());
        let dispatcher = hub.clone();
        let dispatcher = tokio::spawn(async move { dispatcher.dispatch(stopped).await });
        let mut streams = Vec::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let request = b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
            stream.write_all(request).await.expect("accepted");
            streams.push(stream);
        }
        async fn until(stream: &mut TcpStream, words: &str) {
            let mut got = Vec::new();
            while !String::from_utf8_lossy(&got).contains(words) {
                assert_ne!(
                    stream.read_buf(&mut got).await.expect("open"),
                    0,
                    "it ended"
                );
            }
        }
        for stream in &mut streams {
            until(stream, ": stream").await;
        }
        let event = crate::stream::event::EngineStarted { version: "1" };
        hub.publish(&crate::stream::StreamEvent::EngineStarted(event), None);
        hub.announce();
        for stream in &mut streams {
            until(stream, "engine_started").await;
        }
        let answer = exchange(address, &get_head("/health")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Streams end when the engine does, and their connections with them.
        drop(stop);
        dispatcher.await.expect("ends");
    });
}
