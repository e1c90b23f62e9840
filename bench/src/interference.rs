//! `veloz-bench interference`: does the sidecar under load disturb the core?
//!
//! Owns: [`run`], the windows and their order. Does not: say what came of them (`interference/report.rs`). The
//! product's engine handles paced messages on a CPU of its own, with its telemetry on and the real sidecar behind it on
//! the others. Windows come in pairs, one with the load (a scraper, streams, readers of the REST API) and one without,
//! in random order, with the same schedule of messages. A message's latency begins when it was due, so what waits
//! behind something slow counts as late.
//!
//! Then a control has to fail the same test: the core itself renders and packs the page for each scrape, as an exporter
//! inside the trading thread would. A test that cannot see that sees nothing.
//!
//! Invariant: every message of a window and every pair counts.

mod kernel;
mod load;
mod market;
mod report;
mod verdict;

pub use report::{Outcome, Report};
pub use verdict::{Interval, PAIRS_MIN, Verdict};

use crate::numbers::Random;
use flate2::Compression;
use flate2::write::GzEncoder;
use kernel::{Interrupts, run_delay};
use load::{Got, Load};
use market::{Core, Frames};
use report::{P50_BAND, P99_BAND, Pooled, Quantile, Test};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use veloz_core::edge::clock::Clock;
use veloz_core::edge::cpu::{
    Outcome as Placed, Scheduling, allowed_cpus, pin_current_thread, prefault_stack, set_scheduling,
};
use veloz_core::units::Nanos;
use veloz_exporter::analytics::{EquityFeed, EquityRecorder, FlowMeter};
use veloz_exporter::exposition::Format;
use veloz_exporter::http::ports::HttpConfig;
use veloz_exporter::log::Log;
use veloz_exporter::traces::Traces;
use veloz_exporter::{ExporterConfig, Outlets};
use verdict::quantile;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Mean time between two messages. Each comes up to a half earlier or later: on a fixed grid all would meet the same
/// step of the CPU's counter, and quantiles would jump from step to step.
const BETWEEN: Nanos = Nanos(25_000);
/// Messages of a window that are measured: 200 ms. Short, because a machine's speed changes over seconds, and a
/// hundredth is still enough of them for a 99th percentile.
const MEASURED: usize = 8_000;
/// Messages before them, at the same pace: 50 ms.
const LEAD: usize = 2_000;
/// Time after the load was turned on or off, in which connections come and go.
const SETTLE: Duration = Duration::from_millis(50);
/// The load is on or off by then, or something is broken.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pairs of windows for the product.
    pub pairs: usize,
    /// Pairs of windows for the control.
    pub control_pairs: usize,
    /// The core's CPU; by default the last one that this process may use.
    pub core_cpu: Option<usize>,
    /// Runs the core with this priority of `SCHED_FIFO`.
    pub fifo: Option<u8>,
}

/// Runs the product's pairs, then the control's.
///
/// # Errors
/// When there is no second CPU, or something does not start.
pub fn run(options: Options) -> Result<Report, Failure> {
    let cpus = allowed_cpus();
    let core_cpu = options.core_cpu.or(cpus.last().copied());
    let core_cpu = core_cpu.ok_or("this process may use no CPU")?;
    if cpus.len() < 2 || !cpus.contains(&core_cpu) {
        return Err(
            format!("the core needs one of the CPUs {cpus:?}, and the rest another").into(),
        );
    }
    let clock = Clock::calibrate();
    let (core, telemetry, instruments) = Core::start(clock)?;
    let config = ExporterConfig {
        http: HttpConfig {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..HttpConfig::default()
        },
        core_cpu: Some(core_cpu),
        ..ExporterConfig::default()
    };
    let outlets = Outlets {
        log: Arc::new(Log::none()),
        keeper: None,
        state: None,
        equity: EquityFeed::new(EquityRecorder::new(86_400), FlowMeter::default()),
        traces: Traces::none(),
    };
    let sidecar = veloz_exporter::start(config, telemetry, &instruments, clock, outlets, |name| {
        eprintln!("{name} panicked");
        std::process::abort();
    })?;
    let load = Load::start(sidecar.address(), core_cpu)?;
    let page = sidecar.metrics_page();
    let rig = Rig {
        clock,
        core,
        load,
        page: Box::new(move || page(Format::OpenMetrics).expect("the sidecar runs")),
        random: Random(0x2545_f491_4f6c_dd1d),
        frames: Frames::default(),
        due: Vec::new(),
        core_cpu,
    };
    let thread = std::thread::Builder::new()
        .name("core".to_owned())
        .spawn(move || rig.run(options))?;
    let report = thread.join().map_err(|_| "the core panicked")?;
    sidecar.stop(Duration::from_secs(10))?;
    report
}

/// Everything on the core's thread.
struct Rig {
    clock: Clock,
    core: Core,
    load: Load,
    page: Box<dyn Fn() -> String + Send>,
    random: Random,
    frames: Frames,
    /// When each message of a window is due, after the window's start.
    due: Vec<Nanos>,
    core_cpu: usize,
}

/// What one window showed.
struct Window {
    /// Nanoseconds from due to done of each measured message.
    latencies: Vec<u32>,
    waited: Duration,
    interrupts: Interrupts,
    took: Duration,
    got: Got,
    renders: Vec<u32>,
}

impl Rig {
    fn run(mut self, options: Options) -> Result<Report, Failure> {
        let scheduling = options
            .fifo
            .map_or(Scheduling::Other, |priority| Scheduling::Fifo { priority });
        for placement in [
            pin_current_thread(self.core_cpu),
            set_scheduling(scheduling),
            prefault_stack(),
        ] {
            if placement.outcome != Placed::Done {
                return Err(placement.to_string().into());
            }
        }
        let place = format!(
            "core on CPU {}, {scheduling:?}; windows of {MEASURED} messages, one every {} us",
            self.core_cpu,
            BETWEEN.0 / 1_000
        );
        let product = self.test("product", options.pairs, false)?;
        let control = self.test(
            "control: the core renders for each scrape",
            options.control_pairs,
            true,
        )?;
        Ok(Report {
            place,
            product,
            control,
        })
    }

    /// So many pairs; in the control the core renders pages while the load is on.
    fn test(&mut self, name: &'static str, pairs: usize, control: bool) -> Result<Test, Failure> {
        let mut quantiles = [(); 2].map(|()| [(); 2].map(|()| Vec::with_capacity(pairs)));
        let mut pooled = [Vec::new(), Vec::new()];
        let mut waited = [Duration::ZERO; 2];
        let mut interrupts = [Interrupts::default(); 2];
        let mut load = Got::default();
        let mut loaded = Duration::ZERO;
        let mut renders = Vec::new();
        // A first pair that does not count: memory and caches have been used then.
        for pair in 0..=pairs {
            self.schedule();
            let loaded_first = self.random.below(2) == 0;
            for on in [loaded_first, !loaded_first] {
                let mut window = self.window(on, control)?;
                if pair == 0 {
                    continue;
                }
                let of = usize::from(on);
                for (found, percent) in quantiles.iter_mut().zip([50, 99]) {
                    found[of].push(f64::from(quantile(&mut window.latencies, percent)));
                }
                pooled[of].append(&mut window.latencies);
                waited[of] += window.waited;
                interrupts[of].all += window.interrupts.all;
                interrupts[of].shootdowns += window.interrupts.shootdowns;
                renders.append(&mut window.renders);
                if on {
                    loaded += window.took;
                    load.scrapes += window.got.scrapes;
                    load.reads += window.got.reads;
                    load.events += window.got.events;
                    load.failures += window.got.failures;
                    load.streams = window.got.streams;
                }
            }
        }
        let [p50, p99] = quantiles;
        Ok(Test {
            name,
            p50: Quantile::of(50, P50_BAND, p50),
            p99: Quantile::of(99, P99_BAND, p99),
            pooled: pooled.map(Pooled::of),
            waited,
            interrupts,
            load,
            loaded,
            renders,
            faults: self.core.faults() + u64::from(!self.core.is_live()),
        })
    }

    /// When the messages of the next windows are due.
    fn schedule(&mut self) {
        self.due.clear();
        let mut due = Nanos::ZERO;
        for _ in 0..LEAD + MEASURED {
            due = due.plus(Nanos(BETWEEN.0 / 2 + self.random.below(BETWEEN.0)));
            self.due.push(due);
        }
    }

    fn window(&mut self, on: bool, control: bool) -> Result<Window, Failure> {
        self.load.turn(on);
        self.core.write(LEAD + MEASURED, &mut self.frames);
        self.settle(on)?;
        let mut latencies = Vec::with_capacity(MEASURED);
        let mut renders = Vec::with_capacity(64);
        let renders_every = Nanos(load::SCRAPE_EVERY.as_nanos() as u64);
        let waited = run_delay()?;
        let interrupted = Interrupts::read(self.core_cpu)?;
        let mut before = (self.clock.now(), self.load.got());
        let start = self.clock.now();
        let mut render_at = if on && control {
            start.plus(Nanos(renders_every.0 / 2))
        } else {
            Nanos::MAX
        };
        for (nth, due) in self.due.iter().enumerate() {
            if nth == LEAD {
                before = (self.clock.now(), self.load.got());
            }
            let due = start.plus(*due);
            self.core.receive(&self.frames, nth);
            loop {
                let now = self.clock.now();
                if now >= due {
                    break;
                }
                self.core.idle(now);
            }
            let ended = self.core.turn();
            if nth >= LEAD {
                latencies.push(u32::try_from(ended.since(due).0).unwrap_or(u32::MAX));
            }
            if ended >= render_at {
                render_at = render_at.plus(renders_every);
                pack(&(self.page)())?;
                renders.push(u32::try_from(self.clock.now().since(ended).0).unwrap_or(u32::MAX));
            }
        }
        let after = (self.clock.now(), self.load.got());
        Ok(Window {
            latencies,
            waited: run_delay()?.saturating_sub(waited),
            interrupts: Interrupts::read(self.core_cpu)?.since(interrupted),
            took: Duration::from_nanos(after.0.since(before.0).0),
            got: Got {
                scrapes: after.1.scrapes - before.1.scrapes,
                reads: after.1.reads - before.1.reads,
                events: after.1.events - before.1.events,
                streams: after.1.streams,
                failures: after.1.failures - before.1.failures,
            },
            renders,
        })
    }

    /// Waits until the load is as it was asked for.
    fn settle(&mut self, on: bool) -> Result<(), Failure> {
        let asked = self.clock.now();
        let since = |clock: &Clock| Duration::from_nanos(clock.now().since(asked).0);
        let streams = if on { load::STREAMS } else { 0 };
        let mut settled = Duration::MAX;
        loop {
            let passed = since(&self.clock);
            if self.load.got().streams != streams {
                settled = Duration::MAX;
            } else if settled == Duration::MAX {
                settled = passed + SETTLE;
            }
            if passed >= settled {
                return Ok(());
            }
            if passed > SETTLE_MAX {
                return Err(format!("the load did not turn {}: {:?}", on, self.load.got()).into());
            }
            self.core.serve();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The page as an answer to Prometheus carries it.
fn pack(page: &str) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(page.as_bytes())?;
    packed.finish()
}
