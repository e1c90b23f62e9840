//! The sidecar's threads: starting them, what they run on, and their end.
//!
//! Owns: [`start`], [`SidecarHandle`]. Does not: drain or serve itself, or know how a thread is started and joined
//! (`sidecar/threads.rs`). Invariants: what cannot work is found before a thread starts; stopping is bounded.

mod threads;

pub use threads::StopError;
pub(crate) use threads::step_back;

use crate::analytics::EquityFeed;
use crate::api::{Api, ApiConfig, UnreadableState};
use crate::audit::engine::EngineRecords;
use crate::audit::fills::FillRecords;
use crate::audit::metrics::AuditMetrics;
use crate::audit::record::{Entry, LogType};
use crate::audit::store::{AuditConfig, AuditError, AuditStore};
use crate::audit::writer::{AuditLog, queue};
use crate::auth::digest::SecretDigest;
use crate::auth::metrics::AuthMetrics;
use crate::auth::{Auth, AuthConfig, AuthStartError, FIRST_ADMIN};
use crate::drain::{DRAIN_EVERY, Drain, DrainConfig};
use crate::exposition::Format;
use crate::faults::ProcessFaults;
use crate::health::{Heartbeat, Reported};
use crate::http::HttpState;
use crate::http::ports::{HttpConfig, PortError};
use crate::http::rate::BucketClock;
use crate::http::requests::RequestMetrics;
use crate::http::server::{Door, serve};
use crate::log::Log;
use crate::process::ProcessStats;
use crate::published::Shared;
use crate::status::{self, LatencyLine, Status};
use crate::stream::Hub;
use crate::traces::Traces;
use crate::wall::UnixMs;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use threads::{Running, spawn};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use veloz_core::edge::clock::{Clock, WallOffset};
use veloz_core::event::LinkRole;
use veloz_core::instrument::Instruments;
use veloz_core::telemetry::TelemetryReader;
use veloz_core::telemetry::counters::{Counter, CounterReader};
use veloz_core::telemetry::gauges::GaugeReader;
use veloz_core::telemetry::histograms::Stage;
use veloz_core::telemetry::records::Record;
use veloz_core::units::Nanos;
use veloz_core::venue::binance;
use veloz_core::venue::binance::fault::VenueFault;

/// What the sidecar needs to know.
#[derive(Clone, Debug)]
pub struct ExporterConfig {
    /// The HTTP server.
    pub http: HttpConfig,
    /// Users, keys and tokens; without it nobody has to say who he is.
    pub auth: Option<AuthConfig>,
    /// Where audit records go; without it none are kept.
    pub audit: Option<AuditConfig>,
    /// The REST API.
    pub api: ApiConfig,
    /// What scrapers show, where identities count or the monitoring port is not on loopback.
    pub scrape_token: Option<SecretString>,
    /// From which age on the core's heartbeat means that it stands still.
    pub heartbeat_age_max: Nanos,
    /// The core's CPU, which these threads leave alone.
    pub core_cpu: Option<usize>,
    /// The venue's label in metrics and logs.
    pub exchange: &'static str,
    /// The strategy's label in events and spans; `none` without one.
    pub strategy: &'static str,
}

impl Default for ExporterConfig {
    fn default() -> Self {
        Self {
            http: HttpConfig::default(),
            auth: None,
            audit: None,
            api: ApiConfig::default(),
            scrape_token: None,
            heartbeat_age_max: Nanos::from_secs(1),
            core_cpu: None,
            exchange: "binance",
            strategy: "none",
        }
    }
}

/// Where else the sidecar's words go: made before it, because the start has something to say too.
pub struct Outlets {
    /// The process's log.
    pub log: Arc<Log>,
    /// Spans.
    pub traces: Traces,
    /// Gets every record that must outlive the process.
    pub keeper: Option<mpsc::SyncSender<Record>>,
    /// How it is with the state that it keeps.
    pub state: Option<Reported>,
    /// Follows the account's equity, from where the last run left it.
    pub equity: EquityFeed,
}

/// Why the sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is not opened.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Nobody could log in.
    #[error(transparent)]
    Auth(#[from] AuthStartError),
    /// Nothing could be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What the API kept cannot be read.
    #[error(transparent)]
    Api(#[from] UnreadableState),
    /// The system gave no thread or no event queue.
    #[error("cannot start the {thread} thread: {cause}")]
    Thread {
        /// Which thread.
        thread: &'static str,
        /// The system's reason.
        cause: std::io::Error,
    },
}

const DRAIN: &str = "veloz-drain";
const HTTP: &str = "veloz-http";
const AUDIT: &str = "veloz-audit";

/// How often wall time is held against the engine's clock: time servers steer it by parts per million.
const WALL_CLOCK_EVERY: Nanos = Nanos::from_secs(1);

/// The running sidecar. Dropping it asks the threads to end but does not wait; [`SidecarHandle::stop`] does.
pub struct SidecarHandle {
    address: SocketAddr,
    url: String,
    asks_who: bool,
    records: Option<AuditLog>,
    faults: ProcessFaults,
    drain: Running,
    http: Running,
    /// Ends when nobody can give it a record any more.
    audit: Option<Running>,
    /// Both threads end when their sender goes.
    stop_drain: mpsc::Sender<()>,
    stop_http: watch::Sender<()>,
    traces: Traces,
    api: Arc<Api>,
    /// Lives in the server: were it held here, the audit log would wait for it.
    http_state: Weak<HttpState>,
    view: View,
}

/// What [`SidecarHandle::status`] reads.
struct View {
    clock: Clock,
    heartbeat_age_max: Nanos,
    instruments: Arc<Instruments>,
    counters: CounterReader,
    gauges: GaugeReader,
    shared: Shared,
}

/// Starts the drain and the HTTP server.
///
/// `clock` must be the core's. `on_panic` is called on the thread that panicked, with the thread's
/// name, after it was logged: a sidecar without its drain must not go on trading.
///
/// # Errors
/// As [`StartError`] says; nothing runs then.
pub fn start(
    config: ExporterConfig,
    reader: TelemetryReader,
    instruments: &Instruments,
    clock: Clock,
    outlets: Outlets,
    on_panic: impl Fn(&'static str) + Send + Sync + 'static,
) -> Result<SidecarHandle, StartError> {
    let auth_metrics = Arc::new(AuthMetrics::default());
    let auth = config
        .auth
        .map(|auth| {
            let clock = BucketClock::new(move || clock.now());
            Auth::open(&auth, Arc::clone(&auth_metrics), clock, UnixMs::now()).map(Arc::new)
        })
        .transpose()?;
    let scrape_token = config
        .scrape_token
        .map(|token| SecretDigest::of(token.expose_secret()));
    let asks_who = auth.is_some();
    let ports = config.http.open(asks_who, scrape_token.is_some())?;
    if ports.is_exposed() {
        tracing::warn!(
            component = "gateway",
            "passwords and keys cross the network in the clear: turn TLS on, or have a proxy do it"
        );
    }
    let address = ports.address();
    let url = url(ports.scheme(), address);
    let monitoring = ports.monitoring_address();

    let audit_metrics = Arc::new(AuditMetrics::default());
    let (audit, audit_writer) = config
        .audit
        .map(|audit| {
            let (store, findings) = AuditStore::open(&audit, UnixMs::now())?;
            Ok::<_, AuditError>(queue(store, findings, Arc::clone(&audit_metrics)))
        })
        .transpose()?
        .unzip();
    if let (Some(audit), Some(auth)) = (&audit, &auth)
        && auth.added_first_admin()
    {
        let details = json!({ "user": FIRST_ADMIN, "roles": ["admin"], "by": "password_file" });
        let now = UnixMs::now();
        audit.record(Entry::of_system(LogType::Auth, "user_added", now, details));
    }

    let instruments = Arc::new(instruments.clone());
    let counters = reader.counters.clone();
    let gauges = reader.gauges.clone();
    let Outlets {
        log,
        traces,
        keeper,
        state: kept,
        equity,
    } = outlets;
    let fills = audit
        .clone()
        .map(|audit| {
            let path = audit.directory().to_owned();
            let act = "read the newest fills";
            FillRecords::open(audit, Arc::new(binance::assets(&instruments)))
                .map_err(|cause| AuditError::Io { path, act, cause })
        })
        .transpose()?;
    let hub = Hub::new(UnixMs::now());
    let (mut drain, shared) = Drain::new(
        reader,
        Arc::clone(&instruments),
        DrainConfig {
            exchange: config.exchange,
            heartbeat_age_max: config.heartbeat_age_max,
            keeper,
            state: kept.clone(),
            hub: hub.clone(),
            spans: traces.spans(),
            equity,
            fills,
            acts: audit
                .clone()
                .map(|audit| EngineRecords::new(audit, Arc::clone(&instruments))),
            strategy: config.strategy,
        },
    );
    drain.set_wall_clock(WallOffset::measure(&clock).unix_ns_at_zero);
    let trading = drain.trading();
    let api = Arc::new(Api::open(config.api)?);
    trading.know_earlier(&api.client_ids.numbered());
    let records = audit.clone();
    let requests = Arc::new(RequestMetrics::default());
    let faults = ProcessFaults::default();
    let state = Arc::new(HttpState {
        api: Arc::clone(&api),
        now: Arc::new(move || clock.now()),
        unix: Box::new(UnixMs::now),
        started_at: clock.now(),
        heartbeat_age_max: config.heartbeat_age_max,
        exchange: config.exchange,
        instruments: Arc::clone(&instruments),
        counters: counters.clone(),
        gauges: gauges.clone(),
        shared: shared.clone(),
        trading,
        state: kept,
        requests: Arc::clone(&requests),
        log,
        auth,
        auth_metrics,
        scrape_token,
        audit,
        audit_metrics,
        audit_readers: Semaphore::new(1),
        hub: hub.clone(),
        faults: faults.clone(),
        spans: traces.spans(),
        process: ProcessStats::read,
        page: HttpState::all_metrics(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|cause| StartError::Thread {
            thread: HTTP,
            cause,
        })?;
    let doors = {
        let _inside = runtime.enter();
        ports.into_doors(&state)?
    };

    let on_panic = Arc::new(on_panic);
    let (stop_drain, stop) = mpsc::channel();
    let drain = spawn(DRAIN, config.core_cpu, Arc::clone(&on_panic), move || {
        drain_until(drain, clock, &stop);
    })?;
    let audit = audit_writer
        .map(|writer| {
            spawn(AUDIT, config.core_cpu, Arc::clone(&on_panic), move || {
                writer.run(UnixMs::now);
            })
        })
        .transpose()?;
    let (stop_http, stop) = watch::channel(());
    let http = spawn(HTTP, config.core_cpu, on_panic, move || {
        runtime.block_on(serve_all(doors, &hub, &requests, &stop));
    })?;
    tracing::info!(
        component = "gateway",
        url,
        monitoring = monitoring.map(tracing::field::display),
        "health and metrics are served"
    );
    Ok(SidecarHandle {
        address,
        url,
        asks_who,
        records,
        faults,
        drain,
        http,
        audit,
        stop_drain,
        stop_http,
        traces,
        api,
        http_state: Arc::downgrade(&state),
        view: View {
            clock,
            heartbeat_age_max: config.heartbeat_age_max,
            instruments,
            counters,
            gauges,
            shared,
        },
    })
}

impl SidecarHandle {
    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for people to open.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether somebody has to say who he is.
    pub fn asks_who(&self) -> bool {
        self.asks_who
    }

    /// Where others of this process give audit records; `None` where none are kept. Who holds a clone when the sidecar
    /// stops keeps its thread from ending.
    pub fn records(&self) -> Option<AuditLog> {
        self.records.clone()
    }

    /// Where others of this process count their faults.
    pub fn faults(&self) -> ProcessFaults {
        self.faults.clone()
    }

    /// What the API shares with who started it: the way to the core, above all.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Renders the metrics page as a request for it does; nothing once the server has ended.
    pub fn metrics_page(&self) -> impl Fn(Format) -> Option<String> + Send + Sync + use<> {
        let state = Weak::clone(&self.http_state);
        move |format| Some(state.upgrade()?.metrics_page(format))
    }

    /// The engine as it stands now.
    pub fn status(&self) -> Status {
        self.view.status(self.view.clock.now())
    }

    /// Ends all threads: the drain empties the rings first, so call it after the core has stopped;
    /// answers and streams under way are finished, and then what waits for the audit log and the last spans are written. Waits at most
    /// `bound` for all together.
    ///
    /// # Errors
    /// [`StopError`] names the first thread that did not end in time.
    pub fn stop(self, bound: Duration) -> Result<(), StopError> {
        let until = Instant::now() + bound;
        drop(self.stop_drain);
        let drain = self.drain.join(until, bound);
        drop(self.records);
        // After the drain, whose last events the streams still carry.
        drop(self.stop_http);
        let http = self.http.join(until, bound);
        let audit = self.audit.map(|audit| audit.join(until, bound));
        self.traces
            .stop(until.saturating_duration_since(Instant::now()));
        drain.and(http).and(audit.unwrap_or(Ok(())))
    }
}

impl View {
    fn status(&self, now: Nanos) -> Status {
        let published = self.shared.read();
        let heartbeat = self.gauges.heartbeat();
        let mut books = status::books(&self.instruments, &self.counters, &self.gauges, now);
        for (index, instrument) in self.instruments.iter() {
            let line = &mut books[index.as_usize()];
            line.messages_per_second = published.messages_per_second[index.as_usize()];
            line.last_trade = published.last_trades[index.as_usize()]
                .map(|last| (instrument.price(last.price), instrument.qty(last.qty)));
        }
        let trading = status::trading(&self.gauges);
        let latencies = Stage::ALL
            .into_iter()
            .map(|stage| LatencyLine {
                stage,
                last_second: published.last_second[stage.index()],
                since_start: published.since_start[stage.index()],
            })
            .filter(|line| line.since_start.count > 0)
            .collect();
        Status {
            at: now,
            engine: published.engine,
            running: Heartbeat::judge(now, heartbeat, self.heartbeat_age_max) == Heartbeat::Beating,
            links_up: LinkRole::ALL.map(|role| self.gauges.links_up(role)),
            books,
            positions: trading
                .map(|_| status::positions(&self.instruments, &self.gauges))
                .unwrap_or_default(),
            trading,
            rates: published.rates,
            latencies,
            slowest: published.slowest,
            rings: vec![published.records, published.samples],
            faults: VenueFault::ALL
                .iter()
                .map(|fault| self.counters.faults(*fault as u8))
                .sum(),
            reconnects: self.counters.plain(Counter::Reconnects),
        }
    }
}

/// Where people of this machine find the server: a wildcard address is none that a browser opens.
fn url(scheme: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

/// Serves all ports and their streams until `stop` goes. A panic behind a port ends the thread, as one anywhere does.
async fn serve_all(
    doors: Vec<Door>,
    hub: &Hub,
    requests: &Arc<RequestMetrics>,
    stop: &watch::Receiver<()>,
) {
    let mut servers = JoinSet::new();
    let (streams, ends) = (hub.clone(), stop.clone());
    servers.spawn(async move { streams.dispatch(ends).await });
    for door in doors {
        servers.spawn(serve(door, Arc::clone(requests), stop.clone()));
    }
    while let Some(ended) = servers.join_next().await {
        if let Err(error) = ended {
            resume_unwind(error.into_panic());
        }
    }
}

fn drain_until(mut drain: Drain, clock: Clock, stop: &mpsc::Receiver<()>) {
    let mut wall_clock_due = clock.now().plus(WALL_CLOCK_EVERY);
    loop {
        let now = clock.now();
        if now >= wall_clock_due {
            wall_clock_due = now.plus(WALL_CLOCK_EVERY);
            drain.set_wall_clock(WallOffset::measure(&clock).unix_ns_at_zero);
        }
        drain.step(now);
        match stop.recv_timeout(DRAIN_EVERY) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    drain.finish(clock.now());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{INSTRUMENTS, instruments};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use veloz_core::instrument::InstrumentIndex;
    use veloz_core::telemetry::counters::MessageKind;
    use veloz_core::telemetry::gauges::{BookGauges, Touch};
    use veloz_core::telemetry::records::{BookState, EngineState, RecordBody};
    use veloz_core::telemetry::{Sizes, Telemetry, telemetry};
    use veloz_core::units::{Lots, Ticks};

    #[test]
    fn the_address_that_people_are_told_can_be_opened() {
        for (address, told) in [
            ("0.0.0.0:8080", "https://localhost:8080"),
            ("[::]:8080", "https://localhost:8080"),
            ("127.0.0.1:8080", "https://127.0.0.1:8080"),
            ("10.1.2.3:1", "https://10.1.2.3:1"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(url("https", address), told);
        }
    }

    fn config() -> ExporterConfig {
        ExporterConfig {
            http: HttpConfig {
                bind: SocketAddr::from(([127, 0, 0, 1], 0)),
                ..HttpConfig::default()
            },
            ..ExporterConfig::default()
        }
    }

    fn started(config: ExporterConfig) -> (Telemetry, Result<SidecarHandle, StartError>) {
        let (core, reader) = telemetry(INSTRUMENTS, Sizes::default());
        let outlets = Outlets {
            log: Arc::new(Log::none()),
            traces: Traces::none(),
            keeper: None,
            state: None,
            equity: EquityFeed::new(
                crate::analytics::EquityRecorder::new(1),
                crate::analytics::FlowMeter::default(),
            ),
        };
        let sidecar = start(
            config,
            reader,
            &instruments(),
            Clock::kernel(),
            outlets,
            |thread| panic!("{thread} panicked"),
        );
        (core, sidecar)
    }

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    #[test]
    fn what_the_core_says_is_served_and_shown_and_the_end_is_bounded() {
        let (mut core, sidecar) = started(config());
        let sidecar = sidecar.expect("a free port on loopback");
        let touch = Touch {
            bid: Some((Ticks(6_183_763), Lots(2))),
            ask: None,
        };
        let live = BookGauges::live(touch, 7, Nanos(1)).levels(1, 0);
        core.gauges.book(InstrumentIndex(0), live);
        core.gauges.links_up(LinkRole::Market, 1);
        core.counters.message(MessageKind::Trade);
        core.records.push(
            Nanos(1),
            RecordBody::EngineState {
                from: EngineState::Starting,
                to: EngineState::Degraded,
            },
        );
        let page = get(sidecar.address(), "/metrics");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("\nveloz_market_updates_total{type=\"trade\"} 1\n"));
        assert!(page.contains("\nveloz_active_connections 1\n"));

        let status = sidecar.status();
        assert!(!status.running, "no heartbeat came");
        assert_eq!(status.links_up, [1, 0, 0]);
        let line = &status.books[0];
        let (price, qty) = line.bid.expect("a live book with a bid");
        assert_eq!(
            (price.to_string().as_str(), qty.to_string().as_str()),
            ("61837.63000000", "0.00002000")
        );
        assert_eq!((line.ask, line.last_update_id), (None, Some(7)));
        assert_eq!(status.books[1].state, Some(BookState::Waiting));

        let render = sidecar.metrics_page();
        let page = render(Format::Text).expect("it runs");
        assert!(page.contains("\nveloz_market_updates_total{type=\"trade\"} 1\n"));

        let shared = sidecar.view.shared.clone();
        sidecar
            .stop(Duration::from_secs(10))
            .expect("both threads end");
        let published = shared.read();
        assert_eq!(published.engine, Some(EngineState::Degraded));
        assert_eq!(published.records.taken, 1);
        assert_eq!(render(Format::Text), None);
    }

    #[test]
    fn an_address_in_use_is_one_sentence() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        let mut config = config();
        config.http.bind = address;
        let (_core, sidecar) = started(config);
        let error = sidecar.err().expect("the port is taken");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {address}: ")),
            "{text}"
        );
        assert!(!text.contains('\n'));
    }

    #[test]
    fn only_loopback_without_the_danger_key() {
        let bind = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut config = config();
        config.http.bind = bind;
        let (_core, sidecar) = started(config.clone());
        let error = sidecar.err().expect("refused");
        assert!(
            matches!(error, StartError::Port(PortError::NotLoopback(address)) if address == bind)
        );

        config.http.danger_remote_without_auth = true;
        let (_core, sidecar) = started(config);
        sidecar
            .expect("it was asked for")
            .stop(Duration::from_secs(10))
            .expect("both threads end");
    }
}
