//! What the kernel counts of the core's CPU and thread.
//!
//! Owns: [`Interrupts`], [`run_delay`]. Does not: judge them; they say what a machine did meanwhile. Invariant: where
//! the kernel does not name the CPU, or the thread's time, that is an error, never a zero.

use std::time::Duration;

/// What came to the core's CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interrupts {
    /// All of them, the kernel's own timer included.
    pub(super) all: u64,
    /// Those by which one CPU makes another forget its view of the memory that both use.
    pub(super) shootdowns: u64,
}

impl Interrupts {
    /// Since the machine's start, as the kernel counts them.
    pub(super) fn read(cpu: usize) -> std::io::Result<Self> {
        let text = std::fs::read_to_string("/proc/interrupts")?;
        let mut lines = text.lines();
        let heading = format!("CPU{cpu}");
        let column = lines
            .next()
            .and_then(|names| names.split_whitespace().position(|name| name == heading))
            .ok_or_else(|| std::io::Error::other("/proc/interrupts does not name the CPU"))?;
        let mut found = Self::default();
        for line in lines {
            let mut words = line.split_whitespace();
            let kind = words.next().unwrap_or_default();
            // Lines of one number count for the whole machine.
            let count = words.nth(column).and_then(|count| count.parse().ok());
            let count: u64 = count.unwrap_or(0);
            found.all += count;
            if kind == "TLB:" {
                found.shootdowns = count;
            }
        }
        Ok(found)
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            shootdowns: self.shootdowns - before.shootdowns,
        }
    }
}

/// How long this thread has waited for a CPU since it began, as the kernel counts it.
pub(super) fn run_delay() -> std::io::Result<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = schedstat.split(' ').nth(1).and_then(|ns| ns.parse().ok());
    ns.map(Duration::from_nanos)
        .ok_or_else(|| std::io::Error::other("/proc/thread-self/schedstat is not as documented"))
}
