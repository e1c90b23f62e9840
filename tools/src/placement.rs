//! Which CPU the core thread gets and how it idles, from the configuration and the machine.
//!
//! Owns: the meaning of `auto` in `core.cpu` and `core.idle`. Does not: read the machine or place a
//! thread. Invariant: a CPU that is chosen is one that the process may use.

use crate::config::{CoreSection, Cpu, Idle};

/// From this many CPUs one may be spent on spinning.
const SPIN_CPUS_MIN: usize = 4;

/// CPUs of the machine, as the kernel tells them.
#[derive(Clone, Copy, Debug)]
pub struct Cpus<'a> {
    /// CPUs that this process may use, ascending.
    pub allowed: &'a [usize],
    /// CPUs that the scheduler leaves alone.
    pub isolated: &'a [usize],
}

/// Where the core thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its CPU; `None` when it is not pinned.
    pub cpu: Option<usize>,
    /// Whether the scheduler leaves that CPU alone.
    pub isolated: bool,
    /// What an idle turn does; never [`Idle::Auto`].
    pub idle: Idle,
}

/// The configured CPU is not one that this process may use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`core.cpu` is {cpu}, expected one of the CPUs that this process may use: {allowed:?}")]
pub struct CpuNotAllowed {
    /// The configured CPU.
    pub cpu: usize,
    /// What may be used.
    pub allowed: Vec<usize>,
}

/// Decides what the configuration leaves open.
///
/// # Errors
/// [`CpuNotAllowed`] when the configured CPU is outside the process's mask.
pub fn place(core: &CoreSection, cpus: Cpus<'_>) -> Result<Placement, CpuNotAllowed> {
    let cpu = match core.cpu {
        Cpu::None => None,
        Cpu::Number(cpu) if cpus.allowed.contains(&cpu) => Some(cpu),
        Cpu::Number(cpu) => {
            return Err(CpuNotAllowed {
                cpu,
                allowed: cpus.allowed.to_vec(),
            });
        }
        // On one CPU everything shares it; pinning would only take the others' turns away.
        Cpu::Auto if cpus.allowed.len() < 2 => None,
        Cpu::Auto => cpus
            .allowed
            .iter()
            .rev()
            .find(|cpu| cpus.isolated.contains(cpu))
            .or(cpus.allowed.last())
            .copied(),
    };
    let isolated = cpu.is_some_and(|cpu| cpus.isolated.contains(&cpu));
    let idle = match core.idle {
        Idle::Auto if isolated || cpus.allowed.len() >= SPIN_CPUS_MIN => Idle::Spin,
        Idle::Auto => Idle::Backoff,
        chosen => chosen,
    };
    Ok(Placement {
        cpu,
        isolated,
        idle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(cpu: Cpu, idle: Idle) -> CoreSection {
        CoreSection {
            cpu,
            idle,
            lock_memory: true,
            realtime_priority: 0,
        }
    }

    #[test]
    fn auto_takes_an_isolated_cpu_else_the_last_and_spins_where_that_costs_little() {
        type Case = (
            (Cpu, Idle),
            (&'static [usize], &'static [usize]),
            (Option<usize>, Idle),
        );
        let cases: &[Case] = &[
            ((Cpu::Auto, Idle::Auto), (&[0], &[]), (None, Idle::Backoff)),
            (
                (Cpu::Auto, Idle::Auto),
                (&[0, 1], &[]),
                (Some(1), Idle::Backoff),
            ),
            (
                (Cpu::Auto, Idle::Auto),
                (&[0, 1], &[0]),
                (Some(0), Idle::Spin),
            ),
            (
                (Cpu::Auto, Idle::Auto),
                (&[0, 1, 2, 3], &[1, 2]),
                (Some(2), Idle::Spin),
            ),
            (
                (Cpu::Auto, Idle::Auto),
                (&[0, 1, 2, 3], &[9]),
                (Some(3), Idle::Spin),
            ),
            (
                (Cpu::Auto, Idle::Auto),
                (&[0, 1, 2], &[]),
                (Some(2), Idle::Backoff),
            ),
            (
                (Cpu::Number(0), Idle::Auto),
                (&[0, 1], &[1]),
                (Some(0), Idle::Backoff),
            ),
            (
                (Cpu::None, Idle::Yield),
                (&[0, 1], &[1]),
                (None, Idle::Yield),
            ),
        ];
        for ((cpu, idle), (allowed, isolated), (expected_cpu, expected_idle)) in cases {
            let placed = place(&core(*cpu, *idle), Cpus { allowed, isolated }).expect("allowed");
            assert_eq!(
                placed.cpu, *expected_cpu,
                "{cpu:?} {allowed:?} {isolated:?}"
            );
            assert_eq!(
                placed.idle, *expected_idle,
                "{idle:?} {allowed:?} {isolated:?}"
            );
        }
        let refused = place(
            &core(Cpu::Number(7), Idle::Auto),
            Cpus {
                allowed: &[0, 1],
                isolated: &[],
            },
        );
        assert_eq!(
            refused,
            Err(CpuNotAllowed {
                cpu: 7,
                allowed: vec![0, 1]
            })
        );
    }
}
