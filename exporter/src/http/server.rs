//! Connections: accepting them, and bounding what each may cost.
//!
//! Owns: [`serve`], [`ServerLimits`]. Does not: know routes. Invariants: at most
//! [`ServerLimits::connections_max`] connections are open, and [`ServerLimits::per_address_max`] of one
//! address, more are closed at once and counted; a handshake or a head that does not arrive in time or
//! is too large ends its connection; a connection ends at a maximal age unless its answer goes on, and in any case when its peer
//! does not take what was sent; a failing `accept` never ends the server.

use super::addresses::AddressRules;
use super::exchange::Peer;
use super::requests::{ConnectionEnd, Refusal, RequestMetrics};
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use socket2::SockRef;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// What a connection may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once: streams of a few hundred clients, scrapers, probes and people. Times
    /// the header buffer it is 16 MiB.
    pub connections_max: usize,
    /// Of these, connections from one address other than loopback, so that one peer cannot take them all.
    pub per_address_max: usize,
    /// Bytes of a request's head. Twice what a head may hold (`shape.rs`), which is answered in JSON.
    pub head_bytes_max: usize,
    /// Header lines of a request.
    pub headers_max: usize,
    /// Time from the end of an answer to the end of the next head: longer than the usual scrape interval
    /// of 15 s, so that a scraper keeps its connection; a slow sender is cut after it. A TLS handshake
    /// has as much.
    pub head_time_max: Duration,
    /// Age at which a connection is told to end after the answer under way.
    pub connection_age_max: Duration,
    /// Time that a peer may leave sent bytes untaken: then the kernel ends the connection. A peer that does
    /// not read its stream is cut by this and by nothing else.
    pub unread_max: Duration,
    /// Bytes of an answer that the kernel holds for a peer (it doubles the number): a slow reader of a
    /// stream is behind by no more, and a thousand of them cost 128 MiB at most.
    pub send_buffer_bytes: usize,
    /// Time that answers under way get when a connection or the server ends.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            per_address_max: 256,
            head_bytes_max: 16 << 10,
            headers_max: 100,
            head_time_max: Duration::from_secs(20),
            connection_age_max: Duration::from_mins(5),
            unread_max: Duration::from_secs(30),
            send_buffer_bytes: 64 << 10,
            grace: Duration::from_millis(500),
        }
    }
}

/// By which a handler says that its answer goes on for hours: its connection then does not end by age. The
/// server adds it to each request.
#[derive(Clone, Debug, Default)]
pub struct LongAnswer(Arc<AtomicBool>);

impl LongAnswer {
    /// The answer to come is one.
    pub fn begins(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Pause after a failed `accept`: out of file descriptors is cured by time, not by trying harder.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A port and what is behind it.
pub struct Door {
    /// Where peers arrive.
    pub listener: TcpListener,
    /// Encrypts, when it is there.
    pub tls: Option<Arc<ServerConfig>>,
    /// Which peers may.
    pub addresses: AddressRules,
    /// What answers them.
    pub router: Router,
    /// What each may cost.
    pub limits: ServerLimits,
}

/// Serves until the sender of `stop` sends or goes, then ends gracefully.
pub async fn serve(door: Door, metrics: Arc<RequestMetrics>, mut stop: watch::Receiver<()>) {
    let Door {
        listener,
        tls,
        addresses,
        router,
        limits,
    } = door;
    let acceptor = tls.map(TlsAcceptor::from);
    let seats = Seats::new(limits, Arc::clone(&metrics));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let address = peer.ip().to_canonical();
                    let seat = if addresses.permit(address) {
                        seats.take(address)
                    } else {
                        Err(Refusal::Address)
                    };
                    match seat {
                        Ok(seat) => {
                            let connection = Connection {
                                _seat: seat,
                                address,
                                acceptor: acceptor.clone(),
                                router: router.clone(),
                                limits,
                                metrics: Arc::clone(&metrics),
                            };
                            connections.spawn(connection.run(stream, stop.clone()));
                        }
                        Err(refusal) => metrics.connection_refused(refusal),
                    }
                }
                Err(error) => {
                    tracing::warn!(component = "gateway", %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    // Each connection gives itself the grace; this bounds them together.
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.grace * 2, ended).await;
    connections.shutdown().await;
}

/// How many connections are open, in all and by address.
struct Seats {
    limits: ServerLimits,
    metrics: Arc<RequestMetrics>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One of them, until it is dropped.
struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    fn new(limits: ServerLimits, metrics: Arc<RequestMetrics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            metrics,
            taken: Mutex::default(),
        })
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.limits.connections_max {
            return Err(Refusal::Full);
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= self.limits.per_address_max && !address.is_loopback() {
            return Err(Refusal::AddressFull);
        }
        *of_address += 1;
        taken.all += 1;
        self.metrics.connection_opened();
        Ok(Seat {
            seats: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self
            .seats
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let left = taken.by_address.get_mut(&self.address);
        let left = left.expect("counted when it was taken");
        *left -= 1;
        if *left == 0 {
            taken.by_address.remove(&self.address);
        }
        self.seats.metrics.connection_closed();
    }
}

struct Connection {
    _seat: Seat,
    address: IpAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: ServerLimits,
    metrics: Arc<RequestMetrics>,
}

impl Connection {
    async fn run(self, stream: TcpStream, stop: watch::Receiver<()>) {
        // Without the first a page larger than one segment waits for the peer's delayed acknowledgement.
        let socket = SockRef::from(&stream);
        let prepared = socket
            .set_tcp_nodelay(true)
            .and_then(|()| socket.set_send_buffer_size(self.limits.send_buffer_bytes))
            .and_then(|()| socket.set_tcp_user_timeout(Some(self.limits.unread_max)));
        if prepared.is_err() {
            return;
        }
        let Some(acceptor) = &self.acceptor else {
            return self.serve(stream, stop).await;
        };
        let handshake = tokio::time::timeout(self.limits.head_time_max, acceptor.accept(stream));
        match handshake.await {
            Ok(Ok(stream)) => self.serve(stream, stop).await,
            Ok(Err(_)) | Err(_) => self.metrics.connection_failed(ConnectionEnd::Tls),
        }
    }

    async fn serve<S>(&self, stream: S, mut stop: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer(self.address);
        let long = LongAnswer::default();
        let router = self.router.clone();
        let of_request = long.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(of_request.clone());
            router.clone().call(request)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time_max)
            .max_buf_size(self.limits.head_bytes_max)
            .max_headers(self.limits.headers_max)
            .serve_connection(TokioIo::new(stream), service);
        let mut served = std::pin::pin!(served);
        tokio::select! {
            // A peer's fault ends its connection and concerns nobody else.
            ended = served.as_mut() => {
                if let Some(end) = ended.err().and_then(|error| ConnectionEnd::of(&error)) {
                    self.metrics.connection_failed(end);
                }
                return;
            }
            () = comes_of_age(self.limits.connection_age_max, &long) => {}
            _ = stop.changed() => {}
        }
        served.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(self.limits.grace, served).await;
    }
}

/// Waits until the connection has to end, which one with a long answer never has.
async fn comes_of_age(age: Duration, long: &LongAnswer) {
    loop {
        tokio::time::sleep(age).await;
        if !long.has_begun() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_with_a_long_answer_has_no_age() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let age = Duration::from_secs(1);
        let outlives = |long: LongAnswer| {
            let ends = comes_of_age(age, &long);
            runtime.block_on(async { tokio::time::timeout(age * 100, ends).await.is_err() })
        };
        assert!(!outlives(LongAnswer::default()));
        let long = LongAnswer::default();
        long.begins();
        assert!(outlives(long));
    }

    #[test]
    fn one_address_takes_not_all_seats_and_leaves_its_own_again() {
        let limits = ServerLimits {
            connections_max: 5,
            per_address_max: 2,
            ..ServerLimits::default()
        };
        let metrics = Arc::new(RequestMetrics::default());
        let seats = Seats::new(limits, Arc::clone(&metrics));
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let greedy = address("192.0.2.1");
        let first = seats.take(greedy);
        let second = seats.take(greedy);
        assert_eq!(seats.take(greedy).err(), Some(Refusal::AddressFull));
        drop(first);
        let third = seats.take(greedy);
        assert!(second.is_ok() && third.is_ok());
        let ours: Vec<_> = (0..3).map(|_| seats.take(address("127.0.0.1"))).collect();
        assert!(ours.iter().all(Result::is_ok), "loopback has no share");
        let other = address("192.0.2.2");
        assert_eq!(seats.take(other).err(), Some(Refusal::Full));
        assert_eq!(metrics.connections(), 5);
        drop((second, third, ours));
        assert_eq!(metrics.connections(), 0);
        assert!(
            seats
                .taken
                .lock()
                .expect("one thread")
                .by_address
                .is_empty()
        );
    }
}
