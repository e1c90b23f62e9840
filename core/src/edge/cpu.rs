//! Where threads run and how: the core on a CPU of its own, everything else off it.
//!
//! Owns: pinning, scheduling class, memory locking, stack pre-faulting, niceness, the CPU lists of
//! the machine. Does not: decide whether a refusal is fatal. Each step says what came of it as an
//! [`Outcome`] for the start-up report; an unprivileged process gets pinning and niceness, the rest
//! needs `LimitRTPRIO=` and `LimitMEMLOCK=` (or the capabilities).

use std::fmt;
use std::io;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The core thread on its CPU.
    Pin,
    /// The scheduling class and priority of the core thread.
    Scheduling,
    /// Memory locked, and with it faulted in.
    LockMemory,
    /// The core thread's stack touched.
    PrefaultStack,
    /// A sidecar thread off the core's CPU.
    LeaveCoreCpu,
    /// A sidecar thread at a lower priority.
    Nice,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "pin the core thread",
            Self::Scheduling => "set the scheduling class",
            Self::LockMemory => "lock memory",
            Self::PrefaultStack => "touch the core's stack",
            Self::LeaveCoreCpu => "leave the core's CPU",
            Self::Nice => "lower the priority of a sidecar thread",
        })
    }
}

/// What came of a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Done in part, or not at all, for this reason; nothing is wrong.
    Limited(&'static str),
    /// The kernel said no, with this errno.
    Refused {
        /// The error number of the call.
        errno: i32,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Limited(why) => f.write_str(why),
            Self::Refused { errno } => {
                write!(f, "refused: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

/// A step and its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// What was tried.
    pub step: Step,
    /// What came of it.
    pub outcome: Outcome,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.outcome)
    }
}

/// How the kernel schedules the core thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// `SCHED_OTHER`: the default. On an isolated CPU nothing else competes anyway.
    #[default]
    Other,
    /// `SCHED_FIFO`. A spinning FIFO thread starves the kernel's own work on its CPU (softirqs of
    /// the network among it), and is stopped 50 ms in every second unless that limit is lifted.
    Fifo {
        /// 1 to 99.
        priority: u8,
    },
}

/// Pins the calling thread to `cpu` and checks that it runs there.
pub fn pin_current_thread(cpu: usize) -> Placement {
    // core_affinity answers yes or no; when it is no, the plain call names the reason.
    let mut outcome = Outcome::Done;
    if cpu >= CPUS_MAX {
        outcome = Outcome::Refused {
            errno: libc::EINVAL,
        };
    } else if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        outcome = set_affinity(&CpuSet::single(cpu));
    }
    // SAFETY: no arguments, no memory.
    let running_on = unsafe { libc::sched_getcpu() };
    if outcome == Outcome::Done && usize::try_from(running_on) != Ok(cpu) {
        outcome = Outcome::Limited("the mask was taken but the thread runs elsewhere");
    }
    Placement {
        step: Step::Pin,
        outcome,
    }
}

/// Moves the calling thread off the core's CPU. Threads inherit the mask of the thread that
/// started them, so every thread but the core calls this first.
pub fn leave_core_cpu(core_cpu: usize) -> Placement {
    // The main thread is never the core: its mask is what the process may use.
    // SAFETY: no arguments, no memory.
    let main_thread = unsafe { libc::getpid() };
    let outcome = match CpuSet::of_thread(main_thread) {
        Err(errno) => Outcome::Refused { errno },
        Ok(allowed) => {
            let others = allowed.without(core_cpu);
            if others.is_empty() {
                Outcome::Limited("the core's CPU is the only one")
            } else {
                set_affinity(&others)
            }
        }
    };
    Placement {
        step: Step::LeaveCoreCpu,
        outcome,
    }
}

/// Gives way to the core where a CPU is shared: nice +10 for the calling thread alone.
pub fn lower_priority() -> Placement {
    const NICE: libc::c_int = 10;
    // SAFETY: no arguments, no memory.
    let thread = unsafe { libc::gettid() };
    // SAFETY: plain integers; on Linux the "process" is the thread of this id.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, NICE) };
    Placement {
        step: Step::Nice,
        outcome: outcome_of(result),
    }
}

/// Sets the scheduling class of the calling thread.
pub fn set_scheduling(scheduling: Scheduling) -> Placement {
    let (policy, priority) = match scheduling {
        Scheduling::Other => (libc::SCHED_OTHER, 0),
        Scheduling::Fifo { priority } => (libc::SCHED_FIFO, libc::c_int::from(priority)),
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `parameters` outlives the call; thread 0 is the caller.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    Placement {
        step: Step::Scheduling,
        outcome: outcome_of(result),
    }
}

/// Locks the process's memory, which also faults it in. Call it after the start-up allocations.
///
/// Future mappings are locked only without a limit: with one, any later thread stack could fail.
pub fn lock_memory() -> Placement {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place to write to.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    let unlimited = result == 0 && limit.rlim_cur == libc::RLIM_INFINITY;
    let flags = if unlimited {
        libc::MCL_CURRENT | libc::MCL_FUTURE
    } else {
        libc::MCL_CURRENT
    };
    // SAFETY: plain integers.
    let outcome = match outcome_of(unsafe { libc::mlockall(flags) }) {
        Outcome::Done if !unlimited => {
            Outcome::Limited("locked what is mapped now; a finite limit forbids the rest")
        }
        outcome => outcome,
    };
    Placement {
        step: Step::LockMemory,
        outcome,
    }
}

/// Touches the stack that the loop may use, so that no page fault waits for the first deep call.
#[inline(never)]
#[expect(
    clippy::large_stack_arrays,
    reason = "the stack itself is what is to be touched"
)]
pub fn prefault_stack() -> Placement {
    let mut pages = [0u8; STACK_BYTES];
    for at in (0..STACK_BYTES).step_by(4096) {
        // SAFETY: `at` is inside the array; volatile, because nobody reads it.
        unsafe { std::ptr::write_volatile(&raw mut pages[at], 1) };
    }
    std::hint::black_box(&pages);
    Placement {
        step: Step::PrefaultStack,
        outcome: Outcome::Done,
    }
}

/// CPUs that the kernel's scheduler leaves alone (`isolcpus=`).
pub fn isolated_cpus() -> Vec<usize> {
    std::fs::read_to_string("/sys/devices/system/cpu/isolated")
        .map(|text| parse_cpu_list(&text))
        .unwrap_or_default()
}

/// CPUs that the calling thread may use.
pub fn allowed_cpus() -> Vec<usize> {
    CpuSet::of_thread(0).map_or_else(|_| Vec::new(), |set| set.iter().collect())
}

/// The kernel's list format, `0-3,7`; what does not read as a number is left out.
pub fn parse_cpu_list(text: &str) -> Vec<usize> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cpus.extend(first..=last.min(CPUS_MAX - 1));
        }
    }
    cpus
}

/// A set of CPUs as the kernel takes it.
#[derive(Clone, Copy)]
struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    fn empty() -> Self {
        // SAFETY: a cpu_set_t is an array of integers; all zeros is the empty set.
        Self(unsafe { std::mem::zeroed() })
    }

    fn single(cpu: usize) -> Self {
        let mut set = Self::empty();
        if cpu < CPUS_MAX {
            // SAFETY: `cpu` is inside the set.
            unsafe { libc::CPU_SET(cpu, &mut set.0) };
        }
        set
    }

    fn of_thread(thread: libc::pid_t) -> Result<Self, i32> {
        let mut set = Self::empty();
        // SAFETY: `set` is a valid place for as many bytes as are named.
        let result = unsafe {
            libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut set.0)
        };
        match outcome_of(result) {
            Outcome::Refused { errno } => Err(errno),
            _ => Ok(set),
        }
    }

    fn without(mut self, cpu: usize) -> Self {
        if cpu < CPUS_MAX {
            // SAFETY: `cpu` is inside the set.
            unsafe { libc::CPU_CLR(cpu, &mut self.0) };
        }
        self
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        // SAFETY: `cpu` is inside the set.
        (0..CPUS_MAX).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &self.0) })
    }
}

fn set_affinity(set: &CpuSet) -> Outcome {
    // SAFETY: `set` is valid for as many bytes as are named; thread 0 is the caller.
    outcome_of(unsafe {
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set.0)
    })
}

fn outcome_of(result: libc::c_int) -> Outcome {
    if result == 0 {
        Outcome::Done
    } else {
        Outcome::Refused {
            errno: io::Error::last_os_error().raw_os_error().unwrap_or(0),
        }
    }
}

/// CPUs in a `cpu_set_t`.
const CPUS_MAX: usize = libc::CPU_SETSIZE as usize;

/// Stack that the core thread touches beforehand: its deepest path uses a small part of this.
const STACK_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_cpu_lists() {
        assert_eq!(parse_cpu_list("0-3,7\n"), [0, 1, 2, 3, 7]);
        assert_eq!(parse_cpu_list("5"), [5]);
        assert_eq!(parse_cpu_list("\n"), [0usize; 0]);
        assert_eq!(parse_cpu_list("x,2-y,3"), [3]);
        assert_eq!(parse_cpu_list("3-1"), [0usize; 0]);
    }

    #[test]
    fn a_thread_is_pinned_and_its_children_can_leave() {
        // On a thread of its own: the mask stays with the thread.
        let allowed = allowed_cpus();
        let cpu = *allowed.last().expect("at least one CPU");
        std::thread::spawn(move || {
            assert_eq!(pin_current_thread(cpu).outcome, Outcome::Done);
            assert_eq!(allowed_cpus(), [cpu]);
            let child = std::thread::spawn(move || {
                assert_eq!(allowed_cpus(), [cpu], "the mask is inherited");
                (leave_core_cpu(cpu).outcome, allowed_cpus())
            });
            let (outcome, left) = child.join().expect("no panic");
            if allowed.len() > 1 {
                assert_eq!(outcome, Outcome::Done);
                assert!(!left.contains(&cpu) && !left.is_empty());
            } else {
                assert!(matches!(outcome, Outcome::Limited(_)));
            }
            assert_eq!(lower_priority().outcome, Outcome::Done);
            assert_eq!(prefault_stack().outcome, Outcome::Done);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn a_refusal_names_its_reason() {
        let placement = pin_current_thread(CPUS_MAX + 5);
        assert_eq!(
            placement.outcome,
            Outcome::Refused {
                errno: libc::EINVAL
            }
        );
        assert!(
            placement
                .to_string()
                .starts_with("pin the core thread: refused: Invalid")
        );
        assert_eq!(
            set_scheduling(Scheduling::Other).outcome,
            Outcome::Done,
            "the class that every thread has"
        );
    }
}
