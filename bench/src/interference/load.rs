//! Clients of the sidecar: a scraper, streams, and readers of the REST API, over loopback.
//!
//! Owns: [`Load`], a thread that keeps off the core's CPU and at a sidecar's priority, and what its clients counted.
//! All connections are made anew when the load is turned on, and dropped when it is turned off. A request is due by
//! the clock whether the last one was answered in time or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use veloz_core::edge::cpu::{leave_core_cpu, lower_priority};

/// Time between two scrapes.
pub(super) const SCRAPE_EVERY: Duration = Duration::from_millis(100);
/// Clients of the stream.
pub(super) const STREAMS: u64 = 100;
/// Reads of the REST API a second, over all connections.
pub(super) const READS_PER_SECOND: u64 = 1_000;
/// Connections that share them.
const READERS: u64 = 8;
/// Requested in turn.
const PATHS: [&str; 6] = [
    "/api/market?symbol=BTCUSDT",
    "/api/latency",
    "/api/status",
    "/api/orders_state",
    "/api/market?symbol=ETHUSDT",
    "/health",
];
/// What Prometheus asks for.
const SCRAPE_HEADERS: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n\
    Accept-Encoding: gzip\r\nConnection: close\r\n";

/// What the clients got since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Got {
    pub(super) scrapes: u64,
    pub(super) reads: u64,
    pub(super) events: u64,
    /// Streams that are open.
    pub(super) streams: u64,
    /// Requests that were refused, or not answered as they should be.
    pub(super) failures: u64,
}

#[derive(Default)]
struct Counts {
    scrapes: AtomicU64,
    reads: AtomicU64,
    events: AtomicU64,
    streams: AtomicU64,
    failures: AtomicU64,
}

/// The thread of all clients; it ends when this is dropped.
pub(super) struct Load {
    on: watch::Sender<bool>,
    counts: Arc<Counts>,
}

impl Load {
    /// Starts the thread, with its load turned off.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(super) fn start(address: SocketAddr, core_cpu: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let counts = Arc::new(Counts::default());
        let (on, turned) = watch::channel(false);
        let clients = Clients {
            address,
            counts: Arc::clone(&counts),
        };
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                leave_core_cpu(core_cpu);
                lower_priority();
                runtime.block_on(clients.serve(turned));
            })?;
        Ok(Self { on, counts })
    }

    /// Turns it on or off; [`Self::got`] tells when it is so.
    pub(super) fn turn(&self, on: bool) {
        // Nobody listens only when the thread is gone, and then nothing is counted.
        let _ = self.on.send(on);
    }

    /// What the clients got.
    pub(super) fn got(&self) -> Got {
        let counts = &self.counts;
        Got {
            scrapes: counts.scrapes.load(Relaxed),
            reads: counts.reads.load(Relaxed),
            events: counts.events.load(Relaxed),
            streams: counts.streams.load(Relaxed),
            failures: counts.failures.load(Relaxed),
        }
    }
}

#[derive(Clone)]
struct Clients {
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Clients {
    async fn serve(self, mut turned: watch::Receiver<bool>) {
        while turned.wait_for(|on| *on).await.is_ok() {
            let mut clients = JoinSet::new();
            for _ in 0..STREAMS {
                clients.spawn(self.clone().listen());
            }
            clients.spawn(self.clone().scrape());
            let started = Instant::now();
            let between = Duration::from_secs(1) / READS_PER_SECOND as u32;
            for nth in 0..READERS {
                let first = started + between * nth as u32;
                clients.spawn(
                    self.clone()
                        .read(nth as usize, first, between * READERS as u32),
                );
            }
            let off = turned.wait_for(|on| !*on).await;
            clients.shutdown().await;
            self.counts.streams.store(0, Relaxed);
            if off.is_err() {
                return;
            }
        }
    }

    fn failed<T>(&self, result: std::io::Result<T>) -> Option<T> {
        if result.is_err() {
            self.counts.failures.fetch_add(1, Relaxed);
        }
        result.ok()
    }

    async fn scrape(self) {
        let mut page = Vec::new();
        let mut due = interval_at(Instant::now(), SCRAPE_EVERY);
        loop {
            due.tick().await;
            page.clear();
            let scraped = async {
                let mut stream = self.ask("/metrics", SCRAPE_HEADERS).await?;
                stream.read_to_end(&mut page).await?;
                status_is_ok(&page)
            };
            if self.failed(scraped.await).is_some() {
                self.counts.scrapes.fetch_add(1, Relaxed);
            }
        }
    }

    async fn listen(self) {
        let heard = async {
            let target = "/api/stream?events=trade&symbols=ETHUSDT";
            let mut stream = self.ask(target, "Accept: text/event-stream\r\n").await?;
            let mut bytes = [0; 8 << 10];
            let len = stream.read(&mut bytes).await?;
            status_is_ok(&bytes[..len])?;
            self.counts.streams.fetch_add(1, Relaxed);
            loop {
                let len = stream.read(&mut bytes).await?;
                if len == 0 {
                    return Err::<(), _>(std::io::ErrorKind::UnexpectedEof.into());
                }
                let ends = bytes[..len].windows(2).filter(|pair| pair == b"\n\n");
                self.counts.events.fetch_add(ends.count() as u64, Relaxed);
            }
        };
        self.failed(heard.await);
    }

    async fn read(self, first_path: usize, first: Instant, every: Duration) {
        let mut due = interval_at(first, every);
        let read = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let mut answer = Vec::with_capacity(16 << 10);
            for path in PATHS.iter().cycle().skip(first_path) {
                due.tick().await;
                stream.write_all(self.head(path, "").as_bytes()).await?;
                answer.clear();
                while !is_whole(&answer)? {
                    if stream.read_buf(&mut answer).await? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
                status_is_ok(&answer)?;
                self.counts.reads.fetch_add(1, Relaxed);
            }
            Ok::<_, std::io::Error>(())
        };
        self.failed(read.await);
    }

    fn head(&self, target: &str, headers: &str) -> String {
        format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.address
        )
    }

    async fn ask(&self, target: &str, headers: &str) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream
            .write_all(self.head(target, headers).as_bytes())
            .await?;
        Ok(stream)
    }
}

fn status_is_ok(answer: &[u8]) -> std::io::Result<()> {
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or(answer);
        Err(std::io::Error::other(
            String::from_utf8_lossy(line).into_owned(),
        ))
    }
}

/// Whether an answer with a declared length is there in full.
fn is_whole(answer: &[u8]) -> std::io::Result<bool> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(false);
    };
    let length = std::str::from_utf8(&answer[..head])
        .ok()
        .and_then(|head| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix("content-length: "))
        })
        .and_then(|length| length.parse::<usize>().ok())
        .ok_or_else(|| std::io::Error::other("an answer does not say how long it is"))?;
    Ok(answer.len() >= head + 4 + length)
}
