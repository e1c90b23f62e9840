//! Sockets, TLS, HTTP and websockets of the venue, on one thread with its own runtime.
//!
//! Owns: listeners, handshakes, and the two loops of each websocket. Does not: decide anything;
//! what is answered and sent comes from the [`Hub`].
//! Invariant: no task outlives its connection's entry in the hub for longer than one write.

mod websocket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tungstenite::handshake::derive_accept_key;

use super::clock::VenueClock;
use super::connection::{Opening, Signals, Surface};
use super::faulty_io::{FaultyIo, IoControl};
use super::hub::{Hub, RestReply, RestRequest};
use super::methods::{ApiError, Verb};
use super::render::TimeUnit;
use super::trading::signing;

/// How long TLS and the head of a request may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long closing connections may take when the venue stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Largest body of a request: a new order with every parameter has about 1 KiB.
const BODY_BYTES_MAX: usize = 16 << 10;
/// Longest sleep of the driver, so that a stepped system clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What all tasks and the handle share.
pub(crate) struct Shared {
    hub: Mutex<Hub>,
    pub(crate) clock: VenueClock,
    /// The driver should look at the deadlines again.
    pub(crate) wake: Notify,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) send_buffer_bytes: Option<usize>,
}

impl Shared {
    pub(crate) fn new(hub: Hub, clock: VenueClock, send_buffer_bytes: Option<usize>) -> Self {
        Self {
            hub: Mutex::new(hub),
            clock,
            wake: Notify::new(),
            stop: watch::Sender::new(false),
            send_buffer_bytes,
        }
    }

    /// The hub. A panic elsewhere is reported there; the state itself is only data.
    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the venue until it is told to stop.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    secure: std::net::TcpListener,
    plain: Option<std::net::TcpListener>,
    acceptor: TlsAcceptor,
) -> io::Result<()> {
    let secure = TcpListener::from_std(secure)?;
    tokio::spawn(accept(shared.clone(), secure, Some(acceptor)));
    if let Some(plain) = plain {
        let plain = TcpListener::from_std(plain)?;
        tokio::spawn(accept(shared.clone(), plain, None));
    }
    drive(&shared).await;
    let goodbye = async {
        loop {
            {
                let mut hub = shared.hub();
                hub.close_all(shared.clock.now());
                if hub.is_empty() {
                    break;
                }
            }
            shared.wake.notified().await;
        }
    };
    // Clients that do not answer the close frame in time are cut off.
    let _ = tokio::time::timeout(STOP_TIMEOUT, goodbye).await;
    Ok(())
}

/// Advances the hub whenever something is due.
async fn drive(shared: &Shared) {
    let mut stop = shared.stop.subscribe();
    loop {
        let wait = {
            let mut hub = shared.hub();
            let now = shared.clock.now();
            hub.advance(now);
            match hub.next_deadline() {
                Some(at) if at <= now => Duration::ZERO,
                Some(at) if shared.clock.runs_by_itself() => {
                    Duration::from_micros(at.0.saturating_sub(now.0)).min(SLEEP_MAX)
                }
                _ => SLEEP_MAX,
            }
        };
        if wait.is_zero() {
            // More is due at once: the connections' tasks get their turn first.
            tokio::task::yield_now().await;
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|&stopped| stopped) => return,
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let mut stop = shared.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|&stopped| stopped) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let admitted = shared.hub().admit(shared.clock.now(), peer.ip());
                if admitted {
                    tokio::spawn(greet(shared.clone(), socket, peer, acceptor.clone()));
                }
            }
            Err(error) => {
                // Out of descriptors: nothing to do but to let others go first.
                tracing::warn!(%error, "the simulated venue cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// TLS if any, then HTTP.
async fn greet(
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    if let Some(bytes) = shared.send_buffer_bytes {
        // Best effort: a larger buffer only delays when a slow client is noticed.
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(bytes);
    }
    let control = Arc::new(IoControl::default());
    let io = FaultyIo::socket(socket, control.clone());
    match acceptor {
        Some(acceptor) => {
            let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(io)).await;
            match accepted {
                Ok(Ok(tls)) => http(shared, tls, peer, control).await,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "a client's TLS handshake failed");
                }
                Err(_) => {}
            }
        }
        None => http(shared, io, peer, control).await,
    }
}

async fn http<T>(shared: Arc<Shared>, io: T, peer: SocketAddr, control: Arc<IoControl>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stop = shared.stop.subscribe();
    let service = service_fn(move |request| {
        let (shared, control) = (shared.clone(), control.clone());
        async move { route(&shared, request, peer.ip(), &control).await }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::select! {
        // A client that went away in the middle of a request is its own business.
        _ = connection => {}
        _ = stop.wait_for(|&stopped| stopped) => {}
    }
}

type Reply = Response<Full<Bytes>>;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault broke the connection")]
struct Broken;

async fn route(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    ip: IpAddr,
    control: &Arc<IoControl>,
) -> Result<Reply, Broken> {
    let path = percent_decoded(request.uri().path());
    let surface = match path.as_str() {
        "/ws-api/v3" => Some(Surface::Api),
        "/ws" | "/stream" => Some(Surface::Streams),
        path if path.starts_with("/ws/") => Some(Surface::Streams),
        _ => None,
    };
    match surface {
        Some(surface) => {
            let query = parse_query(request.uri().query().unwrap_or(""));
            Ok(match opening(surface, &path, &query, ip) {
                Ok(opening) => upgrade(shared, request, &opening, control),
                Err(error) => json(error.status, error.rest_json()),
            })
        }
        None => match rest_request(request, path, ip).await {
            Ok(request) => rest(shared, &request, control).await,
            Err(error) => Ok(json(error.status, error.rest_json())),
        },
    }
}

/// Reads an HTTP request to its end.
async fn rest_request(
    request: Request<Incoming>,
    path: String,
    ip: IpAddr,
) -> Result<RestRequest, ApiError> {
    let (head, body) = request.into_parts();
    let verb = match head.method {
        Method::GET => Verb::Get,
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::DELETE => Verb::Delete,
        _ => return Err(ApiError::no_such_verb()),
    };
    let header = |name: &str| head.headers.get(name).map(HeaderValue::to_str);
    let unit = match header("x-mbx-time-unit") {
        None => Some(TimeUnit::default()),
        Some(text) => text.ok().and_then(TimeUnit::parse),
    };
    let unit = unit.ok_or_else(ApiError::bad_time_unit)?;
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| ApiError::unreadable())?.to_bytes();
    let body = std::str::from_utf8(&body).map_err(|_| ApiError::unreadable())?;
    let query = head.uri.query().unwrap_or("");
    let mut params = Vec::new();
    for part in [query, body] {
        let pairs = parse_query(part);
        for (position, (name, _)) in pairs.iter().enumerate() {
            if pairs[..position].iter().any(|(other, _)| other == name) {
                return Err(ApiError::twice());
            }
        }
        params.extend(pairs);
    }
    Ok(RestRequest {
        ip,
        unit,
        verb,
        path,
        params,
        payload: signing::rest_payload(query, body),
        api_key: header("x-mbx-apikey").map(|key| key.unwrap_or_default().to_owned()),
    })
}

async fn rest(
    shared: &Shared,
    request: &RestRequest,
    control: &IoControl,
) -> Result<Reply, Broken> {
    let due = shared.hub().rest(shared.clock.now(), request);
    // A recorded flow may have waited for this request, and the answer may be due later.
    shared.wake.notify_one();
    let Ok(reply) = due.await else {
        control.reset_on_close();
        return Err(Broken);
    };
    Ok(http_reply(reply))
}

fn http_reply(answer: RestReply) -> Reply {
    let mut reply = json(answer.status, answer.body);
    let headers = reply.headers_mut();
    let weight = HeaderValue::from(answer.used_weight);
    headers.insert("x-mbx-used-weight", weight.clone());
    headers.insert("x-mbx-used-weight-1m", weight);
    if let Some((ten_seconds, day)) = answer.order_counts {
        headers.insert("x-mbx-order-count-10s", HeaderValue::from(ten_seconds));
        headers.insert("x-mbx-order-count-1d", HeaderValue::from(day));
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// Reads path and query of a websocket handshake.
fn opening(
    surface: Surface,
    path: &str,
    query: &[(String, String)],
    ip: IpAddr,
) -> Result<Opening, ApiError> {
    let value = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let unit = match value("timeUnit") {
        None => TimeUnit::default(),
        Some(text) => TimeUnit::parse(text).ok_or_else(ApiError::bad_time_unit)?,
    };
    let combined = path == "/stream";
    let names = if combined {
        value("streams").unwrap_or("")
    } else {
        path.strip_prefix("/ws/").unwrap_or("")
    };
    Ok(Opening {
        ip,
        surface,
        combined,
        unit,
        return_rate_limits: value("returnRateLimits") != Some("false"),
        streams: names
            .split('/')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

fn upgrade(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    opening: &Opening,
    control: &Arc<IoControl>,
) -> Reply {
    let Some(accept) = accept_key(request.method(), request.headers()) else {
        return json(400, r#"{"code":-1000,"msg":"Not a websocket handshake."}"#);
    };
    let signals = Arc::new(Signals::default());
    let opened = shared.hub().open(
        shared.clock.now(),
        opening,
        signals.clone(),
        control.clone(),
    );
    let id = match opened {
        Ok(id) => id,
        Err(error) => return json(error.status, error.rest_json()),
    };
    shared.wake.notify_one();
    let shared = shared.clone();
    let control = control.clone();
    tokio::spawn(async move {
        let mut stop = shared.stop.subscribe();
        let upgraded = tokio::select! {
            upgraded = hyper::upgrade::on(&mut request) => upgraded.ok(),
            _ = stop.wait_for(|&stopped| stopped) => None,
        };
        if let Some(upgraded) = upgraded {
            let io = FaultyIo::frames(TokioIo::new(upgraded), control.clone());
            websocket::converse(&shared, id, &signals, &control, io).await;
        }
        shared.hub().closed(id);
        shared.wake.notify_one();
    });
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

/// The answer to a proper handshake (RFC 6455, 4.2).
fn accept_key(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let lists = |name, token: &str| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(token))
            })
        })
    };
    let version = headers.get(SEC_WEBSOCKET_VERSION)?;
    if method != Method::GET
        || version != "13"
        || !lists(CONNECTION, "upgrade")
        || !lists(UPGRADE, "websocket")
    {
        return None;
    }
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

fn json(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let json = HeaderValue::from_static("application/json;charset=UTF-8");
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

/// Undoes percent-encoding; what is no valid escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_decoded() {
        assert_eq!(
            percent_decoded("/stream%2fbtcusdt%40depth%"),
            "/stream/btcusdt@depth%"
        );
        assert_eq!(
            parse_query("streams=a%40b%2Fc&timeUnit=MICROSECOND&x"),
            [
                ("streams".to_owned(), "a@b/c".to_owned()),
                ("timeUnit".to_owned(), "MICROSECOND".to_owned()),
                ("x".to_owned(), String::new())
            ]
        );
    }

    #[test]
    fn an_opening_is_read_from_the_url() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let query = parse_query("streams=a@trade/b@depth&timeUnit=microsecond");
        let opened = opening(Surface::Streams, "/stream", &query, ip).expect("sound");
        assert_eq!(opened.streams, ["a@trade", "b@depth"]);
        assert!(opened.combined);
        assert_eq!(opened.unit, TimeUnit::Microsecond);
        let raw = opening(Surface::Streams, "/ws/a@trade/b@depth", &[], ip).expect("sound");
        assert_eq!(raw.streams, ["a@trade", "b@depth"]);
        assert!(!raw.combined);
        let query = parse_query("returnRateLimits=false");
        let api = opening(Surface::Api, "/ws-api/v3", &query, ip).expect("sound");
        assert!(!api.return_rate_limits);
        let query = parse_query("timeUnit=SECOND");
        assert_eq!(
            opening(Surface::Api, "/ws-api/v3", &query, ip)
                .expect_err("no unit")
                .code,
            -1194
        );
    }
}
