//! What a run of the bench found, and how it is told.
//!
//! Owns: [`Report`], [`Outcome`], the bands that an interval is held against, and their words. Does not: run windows,
//! or say what an interval is (`verdict.rs`).
//!
//! Invariants: an interval wider than its band is undecided, never a pass; a load that was not there in full makes the
//! run undecided too; a control that passes fails the run.

use super::MEASURED;
use super::kernel::Interrupts;
use super::load::{self, Got};
use super::verdict::{Interval, Verdict, quantile};
use std::fmt;
use std::time::Duration;

/// How far the median may move.
pub(super) const P50_BAND: f64 = 0.03;
/// How far the 99th percentile may move.
pub(super) const P99_BAND: f64 = 0.10;
/// Of the load that is asked for, at least so much must have been there.
const LOAD_MIN: f64 = 0.9;

/// Whether the load disturbs the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both intervals lie inside their bands.
    Passes,
    /// One of them lies outside.
    Fails,
    /// Neither.
    Undecided,
}

/// Windows without load, then windows with it.
pub(super) type Both<T> = [T; 2];

/// One series of pairs.
pub(super) struct Test {
    pub(super) name: &'static str,
    pub(super) p50: Quantile,
    pub(super) p99: Quantile,
    pub(super) pooled: Both<Pooled>,
    /// Time in which the core's thread was ready and something else had its CPU.
    pub(super) waited: Both<Duration>,
    pub(super) interrupts: Both<Interrupts>,
    pub(super) load: Got,
    /// Time of the windows with load.
    pub(super) loaded: Duration,
    /// Of each page that the core rendered and packed, nanoseconds.
    pub(super) renders: Vec<u32>,
    pub(super) faults: u64,
}

/// One quantile of all windows.
pub(super) struct Quantile {
    percent: usize,
    band: f64,
    /// Median over the windows, nanoseconds.
    ns: Both<f64>,
    difference: Interval,
}

/// All messages of all windows together, nanoseconds.
pub(super) struct Pooled {
    p50: u32,
    p99: u32,
    max: u32,
    count: usize,
}

/// What a run found.
pub struct Report {
    pub(super) place: String,
    pub(super) product: Test,
    pub(super) control: Test,
}

impl Report {
    /// What came of the product's test; a failure also when the control passed.
    pub fn outcome(&self) -> Outcome {
        match (self.product.outcome(), self.control.outcome()) {
            (Outcome::Fails, _) | (_, Outcome::Passes) => Outcome::Fails,
            (Outcome::Passes, Outcome::Fails) => Outcome::Passes,
            (Outcome::Passes | Outcome::Undecided, Outcome::Fails | Outcome::Undecided) => {
                Outcome::Undecided
            }
        }
    }
}

impl Test {
    fn outcome(&self) -> Outcome {
        let verdicts = [&self.p50, &self.p99].map(|it| it.difference.verdict(it.band));
        if !self.load_was_there() || self.faults > 0 {
            Outcome::Undecided
        } else if verdicts.contains(&Verdict::Beyond) {
            Outcome::Fails
        } else if verdicts == [Verdict::Within; 2] {
            Outcome::Passes
        } else {
            Outcome::Undecided
        }
    }

    fn load_was_there(&self) -> bool {
        let expected = |per_second: f64| per_second * self.loaded.as_secs_f64() * LOAD_MIN;
        let scrapes = 1.0 / load::SCRAPE_EVERY.as_secs_f64();
        self.load.failures == 0
            && self.load.streams == load::STREAMS
            && self.load.scrapes as f64 >= expected(scrapes)
            && self.load.reads as f64 >= expected(load::READS_PER_SECOND as f64)
            && self.load.events >= load::STREAMS
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.place)?;
        write!(out, "{}{}", self.product, self.control)?;
        let verdict = match self.outcome() {
            Outcome::Passes => "PASS: the product passes, and the control fails as it must",
            Outcome::Fails if self.control.outcome() == Outcome::Passes => {
                "FAIL: the control passes, so this test sees nothing"
            }
            Outcome::Fails => "FAIL: the load disturbs the core",
            Outcome::Undecided => "UNDECIDED: run more pairs (--pairs), or on a calmer machine",
        };
        writeln!(out, "{verdict}")
    }
}

impl fmt::Display for Test {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n{}", self.name)?;
        for it in [&self.p50, &self.p99] {
            let Interval { low, median, high } = it.difference;
            let verdict = match it.difference.verdict(it.band) {
                Verdict::Within => "within",
                Verdict::Beyond => "BEYOND",
                Verdict::Undecided => "undecided",
            };
            writeln!(
                out,
                "  p{}  off {:>7.0} ns, on {:>7.0} ns; difference {:+.2} %, 95 % interval {:+.2} to {:+.2} %: {verdict}, ±{:.0} %",
                it.percent,
                it.ns[0],
                it.ns[1],
                100.0 * median,
                100.0 * low,
                100.0 * high,
                100.0 * it.band,
            )?;
        }
        for (of, name) in ["off", "on"].into_iter().enumerate() {
            let pooled = &self.pooled[of];
            let windows = (pooled.count / MEASURED) as f64;
            writeln!(
                out,
                "  {name:<3} {} messages: p50 {} ns, p99 {} ns, max {} us; the core waited {:.1} ms for its CPU, which had {:.0} interrupts a window, {:.1} of them TLB shootdowns",
                pooled.count,
                pooled.p50,
                pooled.p99,
                pooled.max / 1_000,
                self.waited[of].as_secs_f64() * 1e3,
                self.interrupts[of].all as f64 / windows,
                self.interrupts[of].shootdowns as f64 / windows,
            )?;
        }
        let seconds = self.loaded.as_secs_f64();
        let rate = |count: u64| count as f64 / seconds;
        writeln!(
            out,
            "  load {:.1} scrapes/s, {:.0} reads/s, {} streams with {:.0} events/s, {} failures{}",
            rate(self.load.scrapes),
            rate(self.load.reads),
            self.load.streams,
            rate(self.load.events),
            self.load.failures,
            if self.load_was_there() {
                ""
            } else {
                ": NOT ENOUGH"
            },
        )?;
        if !self.renders.is_empty() {
            let mut renders = self.renders.clone();
            let half = quantile(&mut renders, 50);
            writeln!(
                out,
                "  the core rendered and packed {} pages, {} us each at the median",
                renders.len(),
                half / 1_000
            )?;
        }
        if self.faults > 0 {
            writeln!(
                out,
                "  {} faults in the flow: this measures something else",
                self.faults
            )?;
        }
        Ok(())
    }
}

impl Quantile {
    /// `ns` has one value a pair, in the order of pairs.
    pub(super) fn of(percent: usize, band: f64, ns: Both<Vec<f64>>) -> Self {
        let [off, on] = &ns;
        let differences = off.iter().zip(on).map(|(off, on)| on / off - 1.0);
        Self {
            percent,
            band,
            difference: Interval::of(differences.collect()),
            ns: ns.map(|ns| Interval::of(ns).median),
        }
    }
}

impl Pooled {
    pub(super) fn of(mut latencies: Vec<u32>) -> Self {
        Self {
            p50: quantile(&mut latencies, 50),
            p99: quantile(&mut latencies, 99),
            max: quantile(&mut latencies, 100),
            count: latencies.len(),
        }
    }
}
