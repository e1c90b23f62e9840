//! Requests to the API, as bytes: whatever comes, the router answers, no handler panics, and no answer is a 5xx.
//!
//! An input is a request as HTTP/1.1 writes it: method and target, headers, an empty line, the body. It goes through the
//! router of a machine's own port in this process; behind it stands a core played by hand that takes every command and
//! answers it at once, so orders rest, are made smaller, replaced and taken back. Time is virtual.

#![no_main]

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt as _;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use veloz_core::event::{Command, LinkRole, OrderRef, Token};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::order::{DoneReason, OrderId, OrderState};
use veloz_core::risk::{GlobalLimits, InstrumentLimits, TradingState};
use veloz_core::telemetry::gauges::{BookGauges, Gauge, Touch};
use veloz_core::telemetry::records::{CommandResult, Record, RecordBody, TradingPhase};
use veloz_core::telemetry::{Sizes, Telemetry, telemetry};
use veloz_core::units::{E8, Grid, Lots, Nanos};
use veloz_core::venue::binance;
use veloz_exporter::api::{Api, ApiConfig};
use veloz_exporter::audit::metrics::AuditMetrics;
use veloz_exporter::auth::metrics::AuthMetrics;
use veloz_exporter::faults::ProcessFaults;
use veloz_exporter::http::cors::Cors;
use veloz_exporter::http::exchange::Peer;
use veloz_exporter::http::rate::RateRule;
use veloz_exporter::http::requests::RequestMetrics;
use veloz_exporter::http::shape::ShapeLimits;
use veloz_exporter::http::{HttpState, Reach, Surface, Trust, router};
use veloz_exporter::log::Log;
use veloz_exporter::process::ProcessStats;
use veloz_exporter::published::{Published, Shared};
use veloz_exporter::stream::Hub;
use veloz_exporter::traces::Traces;
use veloz_exporter::trading::TradingView;
use veloz_exporter::wall::UnixMs;

const INSTRUMENTS: usize = 2;

/// What lives as long as the process.
struct World {
    router: Router,
    runtime: Runtime,
    /// Its other end is read by the handlers.
    _core: Telemetry,
}

fn instruments() -> Instruments {
    let instrument = |base: &str, lot| Instrument {
        symbol: Symbol::new(&format!("{base}USDT")).expect("short"),
        base: Symbol::new(base).expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(lot)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    };
    Instruments::new(vec![instrument("BTC", 1_000), instrument("ETH", 10_000)]).expect("two")
}

/// The core's part: every command is carried out.
#[derive(Default)]
struct Played {
    orders: u32,
    records: u64,
}

impl Played {
    fn records(&mut self, command: &Command) -> Vec<RecordBody> {
        let state = |order, from, to, qty| RecordBody::OrderState {
            order,
            instrument: InstrumentIndex(0),
            from,
            to,
            venue_order_id: 1,
            executed: Lots(0),
            qty,
        };
        let done = |token: Token, order| RecordBody::CommandDone {
            token,
            result: CommandResult::Done,
            reason: None,
            order,
        };
        match *command {
            Command::Place {
                token,
                client_id,
                intent,
            } => {
                self.orders += 1;
                let order = OrderId {
                    run: 1,
                    sequence: self.orders,
                };
                let mut bodies = vec![RecordBody::admitted(order, &intent, token)];
                bodies
                    .extend(client_id.map(|client_id| RecordBody::OrderAlias { order, client_id }));
                bodies.push(done(token, Some(order)));
                bodies.push(state(order, OrderState::Sent, OrderState::Live, intent.qty));
                bodies
            }
            Command::Amend {
                token,
                order: OrderRef::Id(order),
                qty,
            } => vec![
                done(token, Some(order)),
                state(order, OrderState::ReplaceSent, OrderState::Live, qty),
            ],
            Command::Cancel {
                token,
                order: OrderRef::Id(order),
            }
            | Command::Replace {
                token,
                order: OrderRef::Id(order),
                ..
            } => vec![
                done(token, Some(order)),
                state(
                    order,
                    OrderState::CancelSent,
                    OrderState::Done(DoneReason::Cancelled),
                    Lots(1),
                ),
            ],
            command => command
                .token()
                .map(|token| done(token, None))
                .into_iter()
                .collect(),
        }
    }
}

impl World {
    fn new() -> Self {
        let (mut core, reader) = telemetry(INSTRUMENTS, Sizes::default());
        let now = Nanos::from_secs(10);
        core.gauges.heartbeat(now);
        core.gauges.links_up(LinkRole::Market, 1);
        core.gauges.links_up(LinkRole::Orders, 1);
        let phase = TradingPhase::Ready.index() as i64;
        core.gauges.set(Gauge::TradingPhase, phase);
        let active = TradingState::Active.index() as i64;
        core.gauges.set(Gauge::TradingState, active);
        core.gauges.set(Gauge::VenueClockOffsetNs, 0);
        for index in 0..INSTRUMENTS as u16 {
            let touch = Touch {
                bid: None,
                ask: None,
            };
            let live = BookGauges::live(touch, 1, now);
            core.gauges.book(InstrumentIndex(index), live);
        }
        let instruments = Arc::new(instruments());
        let assets = Arc::new(binance::assets(&instruments));
        let trading = TradingView::new(Arc::clone(&instruments), assets);
        let config = ApiConfig {
            limits: (
                GlobalLimits::default(),
                vec![InstrumentLimits::default(); INSTRUMENTS],
            ),
            ..ApiConfig::default()
        };
        let api = Api::open(config).expect("keeps nothing");
        let (view, played) = (trading.clone(), Mutex::new(Played::default()));
        api.commands().connect(move |command| {
            let mut played = played.lock().expect("one thread");
            for body in played.records(&command) {
                played.records += 1;
                let sequence = played.records;
                view.record(&Record {
                    sequence,
                    at: now,
                    body,
                });
            }
            Ok(())
        });
        let mut published = Published::new(INSTRUMENTS);
        published.was_ready = true;
        // A day in 24 requests, so that no memory of keys fills up.
        let hours = AtomicU64::new(0);
        let state = HttpState {
            api: Arc::new(api),
            now: Arc::new(move || now),
            unix: Box::new(move || {
                UnixMs(1_708_689_600_000 + hours.fetch_add(1, Ordering::Relaxed) * 3_600_000)
            }),
            started_at: Nanos::from_secs(3),
            heartbeat_age_max: Nanos::from_secs(1),
            exchange: "binance",
            instruments,
            counters: reader.counters.clone(),
            gauges: reader.gauges.clone(),
            shared: Shared::new(published),
            trading,
            state: None,
            requests: Arc::new(RequestMetrics::default()),
            log: Arc::new(Log::none()),
            auth: None,
            auth_metrics: Arc::new(AuthMetrics::default()),
            scrape_token: None,
            audit: None,
            audit_metrics: Arc::new(AuditMetrics::default()),
            audit_readers: Semaphore::new(1),
            hub: Hub::new(UnixMs(1)),
            spans: Traces::none().spans(),
            faults: ProcessFaults::default(),
            process: ProcessStats::default,
            page: HttpState::all_metrics(),
        };
        let surface = Surface {
            reach: Reach::Everything,
            trust: Trust::Machine,
            tls: false,
            cors: Cors::default(),
            shape: ShapeLimits::default(),
            body_bytes_max: 1 << 20,
            rate: RateRule::per_second(100, 10),
            rate_per_user: true,
        };
        Self {
            router: router(Arc::new(state), surface),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime"),
            _core: core,
        }
    }
}

/// The request that bytes spell; `None` when a server would not have got as far as the router.
fn request_of(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let (method, target) = (first.next()?, first.next()?);
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .extension(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].trim_ascii_start();
        request = request.header(&line[..colon], value);
    }
    request.body(Body::from(body.to_vec())).ok()
}

thread_local! {
    static WORLD: World = World::new();
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(request) = request_of(bytes) else {
        return Corpus::Reject;
    };
    let head = (request.method().clone(), request.uri().clone());
    WORLD.with(|world| {
        world.runtime.block_on(async {
            let answer = world.router.clone().oneshot(request).await;
            let answer = answer.expect("infallible");
            let status = answer.status();
            assert!(!status.is_server_error(), "{status} for {head:?}");
            let compressed = answer.headers().contains_key("content-encoding");
            if status.is_client_error() && head.0 != "HEAD" && !compressed {
                let body = answer.into_body().collect().await.expect("in memory");
                let body: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
                assert!(body["error"].is_string(), "{body} for {head:?}");
            }
        });
    });
    Corpus::Keep
});
