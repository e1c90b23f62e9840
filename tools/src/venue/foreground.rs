//! `veloz venue`: the simulated venue alone, until a signal ends it.
//!
//! Owns: its arguments, what it prints, and the wait for the signal. Does not: serve.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::faults::FaultRule;
use super::{
    AnswerOrder, Latency, MarketConfig, Recording, Speed, Venue, VenueConfig, VenueHandle,
    VenueStartError,
};

/// Between two looks at the signal and at what a recorded flow waits for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of `veloz venue`.
#[derive(Clone, Debug, Args)]
pub struct VenueArgs {
    /// TLS port on loopback, 0 for a free one
    #[arg(long, default_value_t = 9443)]
    pub port: u16,

    /// Second port without TLS, 0 for a free one
    #[arg(long, value_name = "PORT")]
    pub plain_port: Option<u16>,

    /// Where to write the CA certificate that clients must trust (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Where API keys are kept: taken if they are there, else made and written (api_key and
    /// ed25519.pem, hmac_api_key and hmac_secret, readable by you only)
    #[arg(long, value_name = "FOLDER")]
    pub key_dir: Option<PathBuf>,

    /// From a request's arrival to the matching engine, microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub request_latency_us: u64,

    /// From the matching engine to the answer's departure, microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub response_latency_us: u64,

    /// From the matching engine to the departure of user data events, microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub event_latency_us: u64,

    /// What leaves first when an answer and its events are due together
    #[arg(long, value_enum, default_value_t)]
    pub answer_order: AnswerOrder,

    /// Seed of the synthetic market, of drawn ids and of drawn faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Symbols of the synthetic market: BTCUSDT, ETHUSDT, S000USDT to S999USDT
    #[arg(
        long,
        value_name = "SYMBOL",
        value_delimiter = ',',
        default_values = ["BTCUSDT", "ETHUSDT"],
        conflicts_with = "capture"
    )]
    pub symbols: Vec<String>,

    /// Recorded sessions to serve instead, in the text format, plain or gzip; merged by time
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub capture: Vec<PathBuf>,

    /// Pace of the captures: a factor of their own pace, or max for as fast as clients read
    #[arg(
        long,
        value_name = "FACTOR|max",
        default_value = "1",
        requires = "capture"
    )]
    pub speed: Speed,

    /// Streams that must be subscribed to before a recorded flow starts; all in it by default
    #[arg(
        long,
        value_name = "STREAM",
        value_delimiter = ',',
        requires = "capture"
    )]
    pub wait_for: Vec<String>,

    /// Fault to inject: NAME[=ARGUMENT]@every:N, @at:N or @ppm:N; repeat it for several
    #[arg(long, value_name = "RULE")]
    pub fault: Vec<FaultRule>,

    /// Books to remember a symbol, for /sim/v1/book?symbol=S&updateId=N
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub book_history: usize,
}

impl VenueArgs {
    /// The venue that the arguments describe.
    pub fn into_config(self) -> VenueConfig {
        let market = if self.capture.is_empty() {
            MarketConfig::Synthetic {
                symbols: self.symbols,
                seed: self.seed,
            }
        } else {
            MarketConfig::Recorded(Recording {
                files: self.capture,
                speed: self.speed,
                wait_for: (!self.wait_for.is_empty()).then_some(self.wait_for),
            })
        };
        VenueConfig {
            port: self.port,
            plain_port: self.plain_port,
            ca_file: self.ca_file,
            key_dir: self.key_dir,
            latency: Latency {
                request_to_engine_us: self.request_latency_us,
                engine_to_response_us: self.response_latency_us,
                engine_to_event_us: self.event_latency_us,
            },
            answer_order: self.answer_order,
            seed: self.seed,
            book_history: self.book_history,
            faults: self.fault,
            market,
            ..VenueConfig::default()
        }
    }
}

/// Serves until SIGINT or SIGTERM. Prints where, and what a recorded flow waits for.
pub fn run_foreground(config: VenueConfig) -> Result<(), VenueStartError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).map_err(VenueStartError::Thread)?;
    }
    let key_dir = config.key_dir.clone();
    let venue = Venue::start(config)?;
    announce(&venue);
    match key_dir {
        Some(folder) => println!("keys     {}", folder.display()),
        None => println!("keys     nowhere: orders need --key-dir"),
    }
    let mut waited_for = Vec::new();
    let mut finished = false;
    while !stop.load(Ordering::Acquire) {
        let waits_for = venue.waits_for();
        if waits_for != waited_for {
            if waits_for.is_empty() {
                println!("the recorded flow starts");
            } else {
                println!("the recorded flow waits for {}", waits_for.join(", "));
            }
            waited_for = waits_for;
        }
        if !finished && venue.is_finished() {
            finished = true;
            println!("the recorded flow is over; connections stay open");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    venue.stop();
    Ok(())
}

fn announce(venue: &VenueHandle) {
    let port = venue.address().port();
    println!("streams  wss://localhost:{port}/stream");
    println!("api      wss://localhost:{port}/ws-api/v3");
    println!("rest     https://localhost:{port}/api/v3");
    if let Some(address) = venue.plain_address() {
        println!(
            "plain    ws://localhost:{0}, http://localhost:{0}",
            address.port()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        venue: VenueArgs,
    }

    fn config(line: &str) -> Result<VenueConfig, clap::Error> {
        let words = std::iter::once("venue").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.venue.into_config())
    }

    #[test]
    fn arguments_become_a_configuration() {
        let plain = config("").expect("no argument is needed");
        assert_eq!(plain.port, 9443);
        assert_eq!(plain.market, MarketConfig::default());

        let recorded = config(
            "--capture a.gz b.gz --speed max --wait-for btcusdt@trade --fault gap@every:9 --port 0",
        )
        .expect("sound");
        assert_eq!(
            recorded.market,
            MarketConfig::Recorded(Recording {
                files: vec!["a.gz".into(), "b.gz".into()],
                speed: Speed::Max,
                wait_for: Some(vec!["btcusdt@trade".to_owned()]),
            })
        );
        assert_eq!(recorded.faults, ["gap@every:9".parse().expect("a rule")]);

        let trading = config(
            "--key-dir keys --request-latency-us 5 --event-latency-us 7 --answer-order event-first --fault halt=10@at:3",
        )
        .expect("sound");
        assert_eq!(trading.key_dir, Some("keys".into()));
        assert_eq!(trading.latency.request_to_engine_us, 5);
        assert_eq!(trading.latency.engine_to_event_us, 7);
        assert_eq!(trading.answer_order, AnswerOrder::EventFirst);

        for bad in [
            "--speed max",
            "--fault gap",
            "--capture a --speed 0",
            "--capture a --symbols X",
        ] {
            assert!(config(bad).is_err(), "{bad}");
        }
    }
}
