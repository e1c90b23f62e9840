//! Load for `/api/stream`: a server that publishes at a rate, and clients that measure.
//!
//! `stream_load serve RATE` runs the real sidecar, fed with RATE trades a second as the core would, and
//! prints its address and process id. `stream_load read ADDRESS CLIENTS SECONDS [STUCK] [PID]` opens
//! CLIENTS streams and STUCK more that never read, counts events and gaps, and prints how long events took
//! (publication to client) and what the server's process spent meanwhile.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use veloz_core::edge::clock::Clock;
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::telemetry::samples::Sample;
use veloz_core::telemetry::{Sizes, telemetry};
use veloz_core::units::{E8, Grid, Lots, Ticks, VenueMillis};
use veloz_exporter::analytics::{EquityFeed, EquityRecorder, FlowMeter};
use veloz_exporter::http::ports::HttpConfig;
use veloz_exporter::log::Log;
use veloz_exporter::traces::Traces;
use veloz_exporter::{ExporterConfig, Outlets};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", rate] => serve(rate.parse()?),
        ["read", address, clients, seconds, rest @ ..] => {
            let stuck = rest.first().map_or(Ok(0), |text| text.parse())?;
            let server = rest.get(1).map(|text| text.parse()).transpose()?;
            let load = Load {
                address: address.parse()?,
                clients: clients.parse()?,
                time: Duration::from_secs(seconds.parse()?),
                stuck,
                server,
            };
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(load.run())
        }
        _ => Err("serve RATE | read ADDRESS CLIENTS SECONDS [STUCK] [PID]".into()),
    }
}

fn serve(rate: u32) -> Result<(), Failure> {
    let cent = Grid::new(E8(1_000_000)).ok_or("positive")?;
    let symbol = |text| Symbol::new(text).ok_or("short");
    let instruments = Instruments::new(vec![Instrument {
        symbol: symbol("BTCUSDT")?,
        base: symbol("BTC")?,
        quote: symbol("USDT")?,
        tick: cent,
        lot: cent,
        price_bounds: unbounded(),
        qty_bounds: unbounded(),
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    }])?;
    let (mut core, reader) = telemetry(1, Sizes::default());
    let config = ExporterConfig {
        http: HttpConfig {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..HttpConfig::default()
        },
        ..ExporterConfig::default()
    };
    let outlets = Outlets {
        log: Arc::new(Log::none()),
        keeper: None,
        state: None,
        equity: EquityFeed::new(EquityRecorder::new(86_400), FlowMeter::default()),
        traces: Traces::none(),
    };
    let clock = Clock::calibrate();
    let sidecar = veloz_exporter::start(config, reader, &instruments, clock, outlets, |thread| {
        eprintln!("{thread} panicked");
    })?;
    println!("{} {}", sidecar.address(), std::process::id());
    let pause = Duration::from_secs(1) / rate;
    let mut due = Instant::now();
    for trade_id in 1.. {
        due += pause;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        core.samples.push(Sample::Trade {
            instrument: InstrumentIndex(0),
            at: clock.now(),
            // A trade's time is in whole milliseconds; its id carries the rest for the measurement.
            venue_time: VenueMillis(unix_us()? / 1_000),
            trade_id: unix_us()?,
            price: Ticks(6_183_763 + i64::from(trade_id % 100)),
            qty: Lots(150),
            buyer_is_maker: trade_id % 2 == 0,
        });
    }
    Ok(())
}

fn unbounded<T>() -> Bounds<T> {
    Bounds {
        min: None,
        max: None,
    }
}

fn unix_us() -> Result<u64, Failure> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64)
}

struct Load {
    address: SocketAddr,
    clients: usize,
    time: Duration,
    stuck: usize,
    server: Option<u32>,
}

#[derive(Default)]
struct Heard {
    events: u64,
    gaps: u64,
    lag_us: Vec<u32>,
}

impl Load {
    async fn run(self) -> Result<(), Failure> {
        let stuck: Vec<TcpStream> = (0..self.stuck)
            .map(|_| {
                let mut stream = TcpStream::connect(self.address)?;
                stream.write_all(self.request().as_bytes())?;
                Ok(stream)
            })
            .collect::<Result<_, std::io::Error>>()?;
        let until = tokio::time::Instant::now() + self.time + Duration::from_secs(2);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..self.clients {
            let mut stream = tokio::net::TcpStream::connect(self.address).await?;
            stream.write_all(self.request().as_bytes()).await?;
            clients.spawn(read(stream, until));
        }
        let before = (Instant::now(), self.cpu_ticks());
        let mut all = Heard::default();
        let mut of_clients = BTreeMap::<u64, usize>::new();
        while let Some(heard) = clients.join_next().await {
            let heard = heard?;
            *of_clients.entry(heard.events).or_default() += 1;
            all.events += heard.events;
            all.gaps += heard.gaps;
            all.lag_us.extend(heard.lag_us);
        }
        let seconds = before.0.elapsed().as_secs_f64();
        all.lag_us.sort_unstable();
        let quantile = |part: f64| {
            let position = ((all.lag_us.len() as f64 - 1.0) * part) as usize;
            f64::from(*all.lag_us.get(position).unwrap_or(&0)) / 1e3
        };
        println!(
            "{} clients, {:.1} s: {} events ({:.0}/s each), {} gaps",
            self.clients,
            seconds,
            all.events,
            all.events as f64 / seconds / self.clients as f64,
            all.gaps
        );
        println!(
            "lag ms: p50 {:.2} p90 {:.2} p99 {:.2} p99.9 {:.2} max {:.2}",
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            quantile(0.999),
            quantile(1.0)
        );
        let (least, most) = (of_clients.first_key_value(), of_clients.last_key_value());
        println!("events of one client: least {least:?}, most {most:?} (events, clients)");
        if let (Some(before_ticks), Some(after_ticks)) = (before.1, self.cpu_ticks()) {
            // A tick is 10 ms everywhere that Linux runs today.
            let cpu = (after_ticks - before_ticks) as f64 / 100.0;
            println!("server: {:.1} % of one CPU", cpu / seconds * 100.0);
        }
        let alive = stuck.iter().filter(|stream| is_open(stream)).count();
        println!(
            "{} of {} clients that never read are still connected",
            alive, self.stuck
        );
        Ok(())
    }

    fn request(&self) -> String {
        format!(
            "GET /api/stream?events=trade HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            self.address
        )
    }

    /// User and system time of the server's process.
    fn cpu_ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server?)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
    }
}

/// Whether the server still holds the connection; what lies in the kernel is taken first.
fn is_open(stream: &TcpStream) -> bool {
    let mut rest = [0; 64 << 10];
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let mut stream = stream;
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

async fn read(stream: tokio::net::TcpStream, until: tokio::time::Instant) -> Heard {
    let mut heard = Heard::default();
    let mut lines = BufReader::with_capacity(16 << 10, stream);
    let mut line = String::new();
    loop {
        line.clear();
        let read = tokio::time::timeout_at(until, lines.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return heard;
        }
        if line.starts_with("event: gap") {
            heard.gaps += 1;
        } else if let Some(data) = line.strip_prefix("data: ")
            && let Some((_, rest)) = data.split_once("\"trade_id\":")
            && let Some((id, _)) = rest.split_once(',')
            && let (Ok(sent_us), Ok(now_us)) = (id.parse::<u64>(), unix_us())
        {
            heard.events += 1;
            heard.lag_us.push(now_us.saturating_sub(sent_us) as u32);
        }
    }
}
