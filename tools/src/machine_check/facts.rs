//! What the kernel says about this machine, read below a root directory that tests replace.
//!
//! Owns: [`Facts`] and where each of them is read. Does not: judge (`rules.rs`). A file that is
//! missing or not as expected gives `None`, which the rules report as unknown.

use super::parse::{self, CommandLine, Limit};
use super::sysctl;
use std::collections::BTreeMap;
use std::path::Path;

/// Entries of `/proc` and `/sys/class/net` that are looked at; a machine with more is not typical.
const DIRECTORY_ENTRIES_MAX: usize = 65_536;

/// A network interface with hardware behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// Receive queues.
    pub receive_queues: usize,
}

/// What the kernel knows of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelClock {
    /// Nobody sets it.
    NotSet,
    /// It is set, and by its own account at most this far off.
    Within {
        /// In microseconds.
        error_us: u64,
    },
}

impl KernelClock {
    /// Asks the kernel, which needs no privilege; `None` when it refuses.
    pub fn ask() -> Option<Self> {
        // SAFETY: all zero is a valid request, one that changes nothing (`modes`), and the call writes into it only.
        let mut clock: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: as above; the place is ours.
        if unsafe { libc::adjtimex(&raw mut clock) } < 0 {
            return None;
        }
        Some(if clock.status & libc::STA_UNSYNC == 0 {
            Self::Within {
                error_us: u64::try_from(clock.maxerror).ok()?,
            }
        } else {
            Self::NotSet
        })
    }
}

/// What the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// CPUs that run.
    pub online: Option<Vec<usize>>,
    /// CPUs that this process may use.
    pub allowed: Option<Vec<usize>>,
    /// CPUs that the scheduler leaves alone.
    pub isolated: Option<Vec<usize>>,
    /// CPUs without a periodic tick while one thread runs.
    pub tickless: Option<Vec<usize>>,
    /// Frequency governor by CPU, where the machine has them.
    pub governors: Vec<(usize, String)>,
    /// Source of the kernel's clock.
    pub clocksource: Option<String>,
    /// Whether the TSC counts at one rate and in every sleep state.
    pub tsc_invariant: Option<bool>,
    /// Whether two threads share a core.
    pub smt_active: Option<bool>,
    /// Transparent huge pages.
    pub huge_pages: Option<String>,
    /// Swap space, in kB.
    pub swap_kb: Option<u64>,
    /// Bytes that may be locked.
    pub memlock: Option<Limit>,
    /// Highest real-time priority.
    pub realtime_priority: Option<Limit>,
    /// Open files.
    pub open_files: Option<Limit>,
    /// Whether memory may be locked without limit.
    pub may_lock: bool,
    /// Whether any priority may be taken.
    pub may_prioritise: bool,
    /// Whether irqbalance runs.
    pub irqbalance: bool,
    /// Network interfaces with hardware behind them.
    pub interfaces: Vec<Interface>,
    /// Settings by their keys: those of `systemd/veloz.sysctl` that this kernel has.
    pub sysctls: BTreeMap<&'static str, String>,
    /// What the kernel was started with.
    pub command_line: Option<CommandLine>,
    /// CPUs that interrupts go to unless something else is said.
    pub interrupt_cpus: Option<Vec<usize>>,
    /// Interrupts by number, with the CPUs that each may come to.
    pub interrupts: Vec<(u32, Vec<usize>)>,
    /// CPUs that share a core, by CPU.
    pub siblings: BTreeMap<usize, Vec<usize>>,
    /// What is there that sets the clock.
    pub clock_service: Option<&'static str>,
    /// What the kernel knows of its clock; not in a file, so it is asked apart.
    pub kernel_clock: Option<KernelClock>,
}

impl Facts {
    /// Reads everything below `root`, which is `/` but for tests.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let cpus = |path: &str| text(path).and_then(|list| parse::cpu_list(&list));
        let status = text("proc/self/status").unwrap_or_default();
        let limits = text("proc/self/limits").unwrap_or_default();
        let capable = |bit| {
            parse::field(&status, "CapEff").is_some_and(|mask| parse::has_capability(mask, bit))
        };
        let online = cpus("sys/devices/system/cpu/online");
        let governors = online
            .iter()
            .flatten()
            .filter_map(|cpu| {
                let path = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
                text(&path).map(|governor| (*cpu, governor.trim().to_owned()))
            })
            .collect();
        Self {
            allowed: parse::field(&status, "Cpus_allowed_list").and_then(parse::cpu_list),
            isolated: cpus("sys/devices/system/cpu/isolated"),
            tickless: cpus("sys/devices/system/cpu/nohz_full"),
            governors,
            clocksource: text("sys/devices/system/clocksource/clocksource0/current_clocksource")
                .map(|name| name.trim().to_owned()),
            tsc_invariant: text("proc/cpuinfo").map(|info| {
                parse::has_cpu_flag(&info, "constant_tsc")
                    && parse::has_cpu_flag(&info, "nonstop_tsc")
            }),
            smt_active: text("sys/devices/system/cpu/smt/active").map(|flag| flag.trim() == "1"),
            huge_pages: text("sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|choice| parse::chosen(&choice).map(str::to_owned)),
            swap_kb: text("proc/meminfo").and_then(|info| parse::meminfo_kb(&info, "SwapTotal")),
            memlock: parse::soft_limit(&limits, "Max locked memory"),
            realtime_priority: parse::soft_limit(&limits, "Max realtime priority"),
            open_files: parse::soft_limit(&limits, "Max open files"),
            may_lock: capable(parse::CAP_IPC_LOCK),
            may_prioritise: capable(parse::CAP_SYS_NICE),
            irqbalance: entries(&root.join("proc"))
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
                .any(|pid| {
                    text(&format!("proc/{pid}/comm"))
                        .is_some_and(|name| name.trim() == "irqbalance")
                }),
            interfaces: interfaces(root),
            sysctls: sysctl::keys()
                .filter_map(|key| {
                    let value = text(&format!("proc/sys/{}", key.replace('.', "/")))?;
                    Some((key, value.trim().to_owned()))
                })
                .collect(),
            command_line: text("proc/cmdline").map(|line| CommandLine::read(&line)),
            interrupt_cpus: text("proc/irq/default_smp_affinity")
                .and_then(|mask| parse::cpu_mask(&mask)),
            interrupts: interrupts(root),
            siblings: online
                .iter()
                .flatten()
                .filter_map(|cpu| {
                    let path = "topology/thread_siblings_list";
                    let siblings = cpus(&format!("sys/devices/system/cpu/cpu{cpu}/{path}"))?;
                    Some((*cpu, siblings))
                })
                .collect(),
            clock_service: [
                ("run/systemd/timesync/synchronized", "systemd-timesyncd"),
                ("run/chrony/chronyd.sock", "chrony"),
            ]
            .into_iter()
            .find_map(|(path, name)| root.join(path).exists().then_some(name)),
            kernel_clock: None,
            online,
        }
    }
}

fn interfaces(root: &Path) -> Vec<Interface> {
    let directory = root.join("sys/class/net");
    let mut found: Vec<Interface> = entries(&directory)
        .filter(|name| directory.join(name).join("device").exists())
        .map(|name| Interface {
            receive_queues: entries(&directory.join(&name).join("queues"))
                .filter(|queue| queue.starts_with("rx-"))
                .count(),
            name,
        })
        .collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    found
}

fn interrupts(root: &Path) -> Vec<(u32, Vec<usize>)> {
    let directory = root.join("proc/irq");
    let mut found: Vec<(u32, Vec<usize>)> = entries(&directory)
        .filter_map(|name| {
            let number = name.parse().ok()?;
            let path = directory.join(name).join("smp_affinity_list");
            let cpus = std::fs::read_to_string(path).ok()?;
            Some((number, parse::cpu_list(&cpus)?))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Names in a directory; none when it cannot be read.
fn entries(directory: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .take(DIRECTORY_ENTRIES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_below_the_root() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("created");
            std::fs::write(path, text).expect("written");
        };
        put("sys/devices/system/cpu/online", "0-3\n");
        put("sys/devices/system/cpu/isolated", "2-3\n");
        put("sys/devices/system/cpu/nohz_full", "(null)\n");
        put(
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "powersave\n",
        );
        put(
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
            "performance\n",
        );
        put("sys/devices/system/cpu/smt/active", "1\n");
        put(
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "tsc\n",
        );
        put(
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never\n",
        );
        put("sys/class/net/eth0/device/vendor", "x");
        put("sys/class/net/eth0/queues/rx-0/x", "");
        put("sys/class/net/eth0/queues/rx-1/x", "");
        put("sys/class/net/eth0/queues/tx-0/x", "");
        put("sys/class/net/lo/mtu", "65536");
        put("proc/cpuinfo", "flags : constant_tsc nonstop_tsc\n");
        put("proc/meminfo", "SwapTotal:  1024 kB\n");
        put("proc/77/comm", "irqbalance\n");
        put("proc/cmdline", "ro isolcpus=2,3\n");
        put("proc/sys/vm/swappiness", "60\n");
        put("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
        put("proc/sys/vm/overcommit_memory", "0\n");
        put("proc/irq/default_smp_affinity", "00000000,00000003\n");
        put("proc/irq/24/smp_affinity_list", "0-1\n");
        put("proc/irq/9/smp_affinity_list", "3\n");
        put(
            "sys/devices/system/cpu/cpu3/topology/thread_siblings_list",
            "1,3\n",
        );
        put("run/chrony/chronyd.sock", "");
        put(
            "proc/self/status",
            "CapEff:\t0000000000004000\nCpus_allowed_list:\t1-3\n",
        );
        put(
            "proc/self/limits",
            "Max locked memory  65536  65536 bytes\nMax open files  1024  4096 files\n",
        );
        let facts = Facts::read(root.path());
        assert_eq!(
            facts,
            Facts {
                online: Some(vec![0, 1, 2, 3]),
                allowed: Some(vec![1, 2, 3]),
                isolated: Some(vec![2, 3]),
                tickless: Some(vec![]),
                governors: vec![(0, "powersave".into()), (3, "performance".into())],
                clocksource: Some("tsc".into()),
                tsc_invariant: Some(true),
                smt_active: Some(true),
                huge_pages: Some("always".into()),
                swap_kb: Some(1_024),
                memlock: Some(Limit::At(65_536)),
                realtime_priority: None,
                open_files: Some(Limit::At(1_024)),
                may_lock: true,
                may_prioritise: false,
                irqbalance: true,
                interfaces: vec![Interface {
                    name: "eth0".into(),
                    receive_queues: 2
                }],
                sysctls: BTreeMap::from([
                    ("net.ipv4.tcp_rmem", "4096\t131072\t6291456".into()),
                    ("vm.swappiness", "60".into()),
                ]),
                command_line: Some(CommandLine::read("ro isolcpus=2,3")),
                interrupt_cpus: Some(vec![0, 1]),
                interrupts: vec![(9, vec![3]), (24, vec![0, 1])],
                siblings: BTreeMap::from([(3, vec![1, 3])]),
                clock_service: Some("chrony"),
                kernel_clock: None,
            }
        );
    }

    #[test]
    fn an_empty_machine_is_all_unknown() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Facts::read(root.path()), Facts::default());
    }
}
