//! Interleaved timing: every peer runs in every round, so whatever the machine does to one it does
//! to all, and a ratio holds where an absolute figure does not.

use std::time::{Duration, Instant};

/// One contestant; that it does the same work as the others is checked before it is timed.
pub struct Peer<'a> {
    name: &'static str,
    gate: Gate,
    /// Does round `n` and says how long the part took that counts.
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

/// What a peer's time, divided by that of the first in the list, must be.
#[derive(Clone, Copy)]
pub enum Gate {
    None,
    AtLeast(f64),
    AtMost(f64),
}

impl<'a> Peer<'a> {
    pub fn new(name: &'static str, gate: Gate, run: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self {
            name,
            gate,
            run: Box::new(run),
        }
    }
}

/// How long `work` takes.
#[inline]
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Runs `rounds` rounds of all peers and prints a row for each: median nanoseconds an operation,
/// median of the rounds' ratios to the first, and the gate's verdict. Returns whether all held.
pub fn compare(group: &str, ops_per_round: usize, rounds: usize, peers: &mut [Peer<'_>]) -> bool {
    let mut ns = vec![Vec::with_capacity(rounds); peers.len()];
    for round in 0..rounds {
        for (peer, ns) in peers.iter_mut().zip(&mut ns) {
            ns.push((peer.run)(round).as_nanos() as f64 / ops_per_round as f64);
        }
    }
    println!("\n{group}");
    let first = ns[0].clone();
    let mut all_held = true;
    for (peer, ns) in peers.iter().zip(&ns) {
        let ratio = median(ns.iter().zip(&first).map(|(ns, first)| ns / first));
        let (held, bound) = match peer.gate {
            Gate::None => (true, String::new()),
            Gate::AtLeast(bound) => (ratio >= bound, format!("at least {bound}")),
            Gate::AtMost(bound) => (ratio <= bound, format!("at most {bound}")),
        };
        let verdict = match peer.gate {
            Gate::None => "",
            _ if held => "PASS",
            _ => "FAIL",
        };
        let ns = median(ns.iter().copied());
        println!(
            "  {:<46} {ns:>10.2} ns {ratio:>7.2} x  {verdict} {bound}",
            peer.name
        );
        all_held &= held;
    }
    all_held
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A seeded generator of the xorshift family: the same inputs in every run, without a dependency.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `[0, bound)`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
