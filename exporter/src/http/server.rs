//! Connections: accepting them, and bounding what each may cost.
//!
//! Owns: [`serve`], [`ServerLimits`]. Does not: know routes. Invariants: at most
//! [`ServerLimits::connections_max`] connections are open, more are closed at once and counted; a head
//! that does not arrive in time or is too large ends its connection; a connection ends at a maximal
//! age even if its peer never reads; a failing `accept` never ends the server.

use crate::http::requests::RequestMetrics;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a connection may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once. Scrapers, probes and a few people: 128 is far more than they need, and
    /// times the header buffer it is 2 MiB.
    pub connections_max: usize,
    /// Bytes of a request's head. Browsers with many cookies stay below 16 KiB.
    pub head_bytes_max: usize,
    /// Header lines of a request.
    pub headers_max: usize,
    /// Time from the end of an answer to the end of the next head: longer than the usual scrape interval
    /// of 15 s, so that a scraper keeps its connection; a slow sender is cut after it.
    pub head_time_max: Duration,
    /// Age at which a connection is told to end after the answer under way.
    pub connection_age_max: Duration,
    /// Time that answers under way get when a connection or the server ends.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 128,
            head_bytes_max: 16 << 10,
            headers_max: 64,
            head_time_max: Duration::from_secs(20),
            connection_age_max: Duration::from_mins(5),
            grace: Duration::from_millis(500),
        }
    }
}

/// Pause after a failed `accept`: out of file descriptors is cured by time, not by trying harder.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves until the sender of `stop` sends or goes, then ends gracefully.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    metrics: Arc<RequestMetrics>,
    mut stop: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        metrics.set_connections(connections.len());
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < limits.connections_max => {
                    let connection = connection(stream, router.clone(), limits, stop.clone());
                    connections.spawn(connection);
                }
                Ok(_) => metrics.connection_refused(),
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
    metrics.set_connections(0);
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: ServerLimits,
    mut stop: watch::Receiver<()>,
) {
    // Without it a page larger than one segment waits for the peer's delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // A peer's fault ends its connection and concerns nobody else.
        _ = served.as_mut() => return,
        () = tokio::time::sleep(limits.connection_age_max) => {}
        _ = stop.changed() => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.grace, served).await;
}
