//! `veloz-bench tick-to-order`: ciphertext of one market message in, ciphertext of the order that it causes out.
//!
//! Owns: [`run`], its contestants and its rounds. Everything is in memory: what is measured begins with the received
//! bytes and ends with those that the kernel took. Messages come in bursts, one behind the other, with nothing between
//! two of them but a look whether there is more; what arrives is encrypted before a burst, and after it every order is
//! checked against the generator's own book and ended by the venue. Each contestant gets the same bursts in every round,
//! one contestant after the other, so that whatever the machine does meets all of them. No time is a gate: the ratio to
//! the idiomatic stack is.

mod account;
mod far_end;
mod flow;
mod idiomatic;
mod ours;
mod parts;
mod venue;
mod watch;
mod wire;

pub use flow::{Flow, Tick};
pub use ours::Trader;
pub use parts::{Part, parts};
pub use watch::{Stamped, Unstamped, Watch};

use far_end::Authority;
use idiomatic::{Idiomatic, Manner};
use std::fmt;
use veloz_core::edge::clock::Clock;
use veloz_core::units::Nanos;

/// What the median over TLS with signed requests must be faster than the idiomatic stack's by.
const RATIO_MIN: f64 = 5.0;
/// Virtual time between two messages, so that no more orders come in a second than `ORDER_MESSAGES_PER_SECOND_MAX` leaves
/// to them.
const BETWEEN_TICKS: Nanos = Nanos::from_ms(3);
/// Messages of a burst: so many orders are under way at its end.
const BURST_TICKS: usize = 32;
/// Messages of a round, for each contestant: 64 bursts.
const TICKS_PER_ROUND: usize = 64 * BURST_TICKS;
/// Messages before the first round: caches, branch predictors and buffers have seen them.
const WARM_UP_TICKS: usize = TICKS_PER_ROUND;

/// How requests are made ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Each is signed with HMAC-SHA256.
    Hmac,
    /// The session is logged on; none is signed.
    LogOn,
}

/// Where bytes come from and go to, and how requests are made ours.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    tls: bool,
    proof: Proof,
    /// The ratio that must be reached.
    ratio_min: Option<f64>,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        name: "TLS, HMAC-signed",
        tls: true,
        proof: Proof::Hmac,
        ratio_min: Some(RATIO_MIN),
    },
    Setting {
        name: "TLS, logged on",
        tls: true,
        proof: Proof::LogOn,
        ratio_min: None,
    },
    Setting {
        name: "no TLS, logged on",
        tls: false,
        proof: Proof::LogOn,
        ratio_min: None,
    },
];

/// One stack in one setting.
trait Contestant {
    /// Does a burst of messages; adds the nanoseconds that each took from bytes to bytes, and returns the orders.
    fn burst(&mut self, clock: Clock, ticks: &[Tick], ns: &mut Vec<u64>) -> Vec<String>;
}

impl<W: Watch> Contestant for Trader<W> {
    fn burst(&mut self, clock: Clock, ticks: &[Tick], ns: &mut Vec<u64>) -> Vec<String> {
        let arrivals: Vec<_> = ticks.iter().map(|tick| self.arrival(tick)).collect();
        for arrival in &arrivals {
            self.pass();
            let from = clock.now();
            self.receive(arrival);
            ns.push(clock.now().since(from).0);
            self.look();
        }
        let orders = self.sent();
        self.settle();
        self.tidy();
        orders
    }
}

impl Contestant for Idiomatic {
    fn burst(&mut self, clock: Clock, ticks: &[Tick], ns: &mut Vec<u64>) -> Vec<String> {
        let arrivals: Vec<_> = ticks.iter().map(|tick| self.arrival(tick)).collect();
        for arrival in arrivals {
            self.arrive(arrival);
            let from = clock.now();
            self.receive();
            ns.push(clock.now().since(from).0);
            self.look();
        }
        let orders = self.sent();
        self.settle();
        orders
    }
}

/// Nanoseconds of one contestant: medians over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
}

/// One setting: ours without and with stage stamps, and the idiomatic stack in both manners.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    name: &'static str,
    unstamped: Quantiles,
    stamped: Quantiles,
    owning: Quantiles,
    borrowing: Quantiles,
    /// Median of the rounds' ratios of medians: the owning idiomatic stack over ours with stamps, which is what runs.
    ratio: f64,
    /// The same of the borrowing one.
    ratio_borrowing: f64,
    ratio_min: Option<f64>,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Report {
    rows: Vec<Row>,
    rounds: usize,
}

impl Report {
    /// Whether every ratio that must be reached was.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(Row::passes)
    }
}

impl Row {
    fn passes(&self) -> bool {
        self.ratio_min.is_none_or(|min| self.ratio >= min)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "bytes in to order out, {LEVELS} levels a side: {} rounds of {TICKS_PER_ROUND} messages in bursts of \
             {BURST_TICKS}, medians, ns",
            self.rounds,
            LEVELS = flow::LEVELS,
        )?;
        for row in &self.rows {
            writeln!(out, "{}", row.name)?;
            for (stack, it) in [
                ("  ours, no stamps", row.unstamped),
                ("  ours, stage stamps", row.stamped),
                ("  idiomatic", row.owning),
                ("  idiomatic, borrowing", row.borrowing),
            ] {
                writeln!(
                    out,
                    "{stack:<24} p50 {:>7.0}  p90 {:>7.0}  p99 {:>7.0}  p99/p50 {:.2}",
                    it.p50,
                    it.p90,
                    it.p99,
                    it.p99 / it.p50
                )?;
            }
            let verdict = match row.ratio_min {
                Some(min) if row.passes() => format!("  PASS, at least {min}"),
                Some(min) => format!("  FAIL, at least {min}"),
                None => String::new(),
            };
            writeln!(
                out,
                "  ratio of medians {:.2}{verdict}; to the borrowing one {:.2}",
                row.ratio, row.ratio_borrowing
            )?;
        }
        Ok(())
    }
}

/// Runs so many rounds of all contestants.
///
/// # Panics
/// When a contestant builds another order than the market asks for.
pub fn run(rounds: usize) -> Report {
    let clock = Clock::calibrate();
    let mut flow = Flow::new();
    let authority = Authority::new();
    let mut contestants: Vec<[Box<dyn Contestant>; 4]> = SETTINGS
        .iter()
        .map(|setting| {
            let authority = setting.tls.then_some(&authority);
            let stamped = Stamped::new(clock);
            let unstamped = Unstamped::default();
            let idiomatic = |manner| Idiomatic::new(&flow, setting.proof, manner, authority);
            [
                Box::new(Trader::start(unstamped, &flow, setting.proof, authority))
                    as Box<dyn Contestant>,
                Box::new(Trader::start(stamped, &flow, setting.proof, authority)),
                Box::new(idiomatic(Manner::Owning)),
                Box::new(idiomatic(Manner::Borrowing)),
            ]
        })
        .collect();
    let mut found = [[(); 4]; SETTINGS.len()].map(|stacks| stacks.map(|()| Vec::new()));
    let warm_up = ticks(&mut flow, WARM_UP_TICKS);
    for contestant in contestants.iter_mut().flatten() {
        time(contestant.as_mut(), clock, &warm_up);
    }
    for _ in 0..rounds {
        let ticks = ticks(&mut flow, TICKS_PER_ROUND);
        for (stacks, found) in contestants.iter_mut().zip(&mut found) {
            for (contestant, found) in stacks.iter_mut().zip(found) {
                found.push(time(contestant.as_mut(), clock, &ticks));
            }
        }
    }
    let rows = SETTINGS.iter().zip(&found);
    let rows = rows.map(|(setting, [unstamped, stamped, owning, borrowing])| Row {
        name: setting.name,
        unstamped: over_rounds(unstamped),
        stamped: over_rounds(stamped),
        owning: over_rounds(owning),
        borrowing: over_rounds(borrowing),
        ratio: ratio(owning, stamped),
        ratio_borrowing: ratio(borrowing, stamped),
        ratio_min: setting.ratio_min,
    });
    Report {
        rows: rows.collect(),
        rounds,
    }
}

fn ticks(flow: &mut Flow, count: usize) -> Vec<Tick> {
    (0..count).map(|_| flow.next_tick()).collect()
}

/// One round of one contestant, whose orders are checked.
fn time(contestant: &mut dyn Contestant, clock: Clock, ticks: &[Tick]) -> Quantiles {
    let mut ns = Vec::with_capacity(ticks.len());
    for burst in ticks.chunks(BURST_TICKS) {
        let orders = contestant.burst(clock, burst, &mut ns);
        assert_eq!(orders.len(), burst.len(), "an order for every message");
        for (tick, order) in burst.iter().zip(&orders) {
            assert!(tick.is_answered_by(order), "{order}");
        }
    }
    ns.sort_unstable();
    let at = |percent: usize| ns[ns.len() * percent / 100] as f64;
    Quantiles {
        p50: at(50),
        p90: at(90),
        p99: at(99),
    }
}

/// Median of the rounds' ratios of medians.
fn ratio(theirs: &[Quantiles], ours: &[Quantiles]) -> f64 {
    let rounds = theirs.iter().zip(ours);
    median(rounds.map(|(theirs, ours)| theirs.p50 / ours.p50))
}

fn over_rounds(rounds: &[Quantiles]) -> Quantiles {
    Quantiles {
        p50: median(rounds.iter().map(|round| round.p50)),
        p90: median(rounds.iter().map(|round| round.p90)),
        p99: median(rounds.iter().map(|round| round.p99)),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All twelve build the order that the market asks for, over TLS and without, signed and not.
    #[test]
    fn all_contestants_build_the_same_orders() {
        let report = run(1);
        assert_eq!(report.rows.len(), SETTINGS.len());
    }
}
