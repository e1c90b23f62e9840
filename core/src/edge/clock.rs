//! The engine's clock: the CPU's timestamp counter, calibrated, or the kernel's where the counter
//! cannot be trusted.
//!
//! Owns: [`Clock`], its calibration, [`DriftCheck`], [`WallOffset`]. Does not: know wall time (the
//! sidecar measures the offset and tells the engine), or change once made: readings of all copies
//! agree for the life of the process, and what the calibration is off by is measured, not steered.
//!
//! Invariant: readings never go back on one CPU, nor between CPUs whose counters the kernel keeps in
//! step; the loop clamps what it stamps all the same.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is read here, and only here"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Stopwatch;
use crate::units::Nanos;

/// How long calibration watches both clocks: brackets of under 100 ns over this are 5 ppm at worst.
const CALIBRATION: Nanos = Nanos::from_ms(40);
/// Tries at reading two clocks at the same moment; the narrowest bracket counts.
const BRACKETS: usize = 16;
/// Binary places of [`Tsc::ns_per_tick`].
const SHIFT: u32 = 32;

/// Nanoseconds since the clock was made. Copies share its zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Tsc(Tsc),
    Kernel { zero_raw_ns: u64 },
}

/// The counter's value at zero, and nanoseconds per tick in 2^-32.
#[derive(Clone, Copy, Debug)]
struct Tsc {
    zero_ticks: u64,
    zero_raw_ns: u64,
    ns_per_tick: u64,
}

/// Which hardware a [`Clock`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The timestamp counter: about 10 ns a reading.
    Tsc,
    /// `CLOCK_MONOTONIC_RAW` by a call into the kernel's page: about 25 ns a reading.
    Kernel,
}

impl Clock {
    /// A calibrated clock whose zero is now. Watches for 40 ms, so it belongs to the start of the
    /// process. Falls back to the kernel's clock where the counter is missing or not invariant.
    pub fn calibrate() -> Self {
        if !tsc_is_invariant() {
            return Self::kernel();
        }
        let (first_ticks, first_ns) = ticks_and_raw();
        let until = Instant::now() + std::time::Duration::from_nanos(CALIBRATION.0);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let (last_ticks, last_ns) = ticks_and_raw();
        let ticks = last_ticks.saturating_sub(first_ticks);
        let ns = last_ns.saturating_sub(first_ns);
        // Anything outside 100 MHz to 10 GHz is no counter to build on.
        if ticks < ns / 10 || ticks > ns.saturating_mul(10) || ns == 0 {
            return Self::kernel();
        }
        Self {
            source: Source::Tsc(Tsc {
                zero_ticks: last_ticks,
                zero_raw_ns: last_ns,
                ns_per_tick: ((u128::from(ns) << SHIFT) / u128::from(ticks)) as u64,
            }),
        }
    }

    /// A clock on the kernel's monotonic raw time, without calibration.
    pub fn kernel() -> Self {
        Self {
            source: Source::Kernel {
                zero_raw_ns: monotonic_raw_ns(),
            },
        }
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Nanos {
        match self.source {
            Source::Tsc(tsc) => tsc.at(read_tsc()),
            Source::Kernel { zero_raw_ns } => Nanos(monotonic_raw_ns() - zero_raw_ns),
        }
    }

    /// What it reads.
    pub fn source(&self) -> ClockSource {
        match self.source {
            Source::Tsc(_) => ClockSource::Tsc,
            Source::Kernel { .. } => ClockSource::Kernel,
        }
    }

    /// Where `CLOCK_MONOTONIC_RAW` stood at this clock's zero.
    fn zero_raw_ns(&self) -> u64 {
        match self.source {
            Source::Tsc(tsc) => tsc.zero_raw_ns,
            Source::Kernel { zero_raw_ns } => zero_raw_ns,
        }
    }
}

impl Stopwatch for Clock {
    #[inline]
    fn stamp(&self) -> Nanos {
        self.now()
    }
}

impl Tsc {
    #[inline]
    fn at(self, ticks: u64) -> Nanos {
        let ticks = ticks.saturating_sub(self.zero_ticks);
        Nanos(((u128::from(ticks) * u128::from(self.ns_per_tick)) >> SHIFT) as u64)
    }
}

/// How far a clock has run from the kernel's raw time since its calibration. For the sidecar: it
/// takes some microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftCheck {
    /// The clock's reading minus the kernel's, in nanoseconds.
    pub ahead_ns: i64,
    /// How long both ran.
    pub since_calibration: Nanos,
}

impl DriftCheck {
    /// Compares now.
    pub fn measure(clock: &Clock) -> Self {
        let (own, raw) = narrowest(|| clock.now().0, monotonic_raw_ns);
        let raw = raw.saturating_sub(clock.zero_raw_ns());
        Self {
            ahead_ns: own.wrapping_sub(raw) as i64,
            since_calibration: Nanos(raw),
        }
    }

    /// The rate error in parts per billion; zero within the first second, where reading errors rule.
    pub fn parts_per_billion(&self) -> i64 {
        if self.since_calibration < Nanos::from_secs(1) {
            return 0;
        }
        (i128::from(self.ahead_ns) * 1_000_000_000 / i128::from(self.since_calibration.0)) as i64
    }
}

/// Wall time against a [`Clock`], as the engine is told in `Event::WallClock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallOffset {
    /// Unix time in nanoseconds when the clock read zero.
    pub unix_ns_at_zero: i64,
    /// The offset is right to within this much of the kernel's wall clock.
    pub uncertainty_ns: u64,
}

impl WallOffset {
    /// Measures by the narrowest of several brackets. For the sidecar: it takes some microseconds.
    pub fn measure(clock: &Clock) -> Self {
        let mut best = Self {
            unix_ns_at_zero: 0,
            uncertainty_ns: u64::MAX,
        };
        for _ in 0..BRACKETS {
            let before = clock.now();
            let unix_ns = clock_ns(libc::CLOCK_REALTIME);
            let width = clock.now().since(before).0;
            if width < best.uncertainty_ns {
                best = Self {
                    unix_ns_at_zero: unix_ns as i64 - (before.0 + width / 2) as i64,
                    uncertainty_ns: width,
                };
            }
        }
        best
    }
}

/// The counter and the kernel's raw time at the same moment.
fn ticks_and_raw() -> (u64, u64) {
    narrowest(read_tsc, monotonic_raw_ns)
}

/// Reads `outer` around `inner` several times; the pair of the narrowest bracket, `outer` at its middle.
fn narrowest(outer: impl Fn() -> u64, inner: impl Fn() -> u64) -> (u64, u64) {
    let mut best = (0, 0);
    let mut best_width = u64::MAX;
    for _ in 0..BRACKETS {
        let before = outer();
        let middle = inner();
        let width = outer().saturating_sub(before);
        if width < best_width {
            best_width = width;
            best = (before + width / 2, middle);
        }
    }
    best
}

fn monotonic_raw_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC_RAW)
}

fn clock_ns(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place to write a timespec to.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(result, 0, "the kernel has this clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_tsc() -> u64 {
    // SAFETY: every x86-64 has RDTSC, and Linux leaves it open to user space.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Whether the counter runs at one rate in all power states: CPUID leaf 0x8000_0007, EDX bit 8.
#[cfg(target_arch = "x86_64")]
fn tsc_is_invariant() -> bool {
    use std::arch::x86_64::__cpuid;
    const POWER_LEAF: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= POWER_LEAF && __cpuid(POWER_LEAF).edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn read_tsc() -> u64 {
    unreachable!("no counter was found invariant")
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc_is_invariant() -> bool {
    false
}

/// Wall time in whole Unix seconds; zero before 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_by_multiplication() {
        // 2.5 GHz: 0.4 ns a tick.
        let tsc = Tsc {
            zero_ticks: 1_000,
            zero_raw_ns: 0,
            ns_per_tick: (4 << SHIFT) / 10,
        };
        assert_eq!(tsc.at(1_000), Nanos::ZERO);
        assert_eq!(tsc.at(999), Nanos::ZERO, "never below zero");
        assert_eq!(tsc.at(1_000 + 10), Nanos(3), "3.99, rounded down");
        // A year at full rate stays in range and within the rounding of the factor.
        let year_ticks = 2_500_000_000 * 86_400 * 366;
        let year_ns = 1_000_000_000 * 86_400 * 366;
        let read = tsc.at(1_000 + year_ticks).0;
        assert!(year_ns - read < year_ns / 1_000_000_000, "{read}");
    }

    #[test]
    fn readings_do_not_go_back_and_copies_agree() {
        for clock in [Clock::calibrate(), Clock::kernel()] {
            let copy = clock;
            let mut last = Nanos::ZERO;
            for _ in 0..1_000 {
                let first = clock.now();
                let second = copy.stamp();
                assert!(last <= first && first <= second);
                last = second;
            }
        }
    }

    #[test]
    fn wall_time_is_the_kernels() {
        let clock = Clock::kernel();
        let before = clock_ns(libc::CLOCK_REALTIME) as i64;
        let offset = WallOffset::measure(&clock);
        let now = offset.unix_ns_at_zero + clock.now().0 as i64;
        let after = clock_ns(libc::CLOCK_REALTIME) as i64;
        let slack = offset.uncertainty_ns as i64;
        assert!(before - slack <= now && now <= after + slack);
    }

    #[test]
    fn drift_is_a_rate() {
        let check = |ahead_ns, secs| {
            DriftCheck {
                ahead_ns,
                since_calibration: Nanos::from_secs(secs),
            }
            .parts_per_billion()
        };
        assert_eq!(check(5_000, 10), 500);
        assert_eq!(check(-36_000_000, 3_600), -10_000);
        assert_eq!(check(5_000, 0), 0);
        // The kernel's clock cannot drift from itself by more than a bracket is wide.
        let drift = DriftCheck::measure(&Clock::kernel());
        assert_eq!(drift.parts_per_billion(), 0);
    }
}
