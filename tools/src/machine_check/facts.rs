//! What the kernel says about this machine, read below a root directory that tests replace.
//!
//! Owns: [`Facts`] and where each of them is read. Does not: judge (`rules.rs`). A file that is
//! missing or not as expected gives `None`, which the rules report as unknown.

use super::parse::{self, Limit};
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
            }
        );
    }

    #[test]
    fn an_empty_machine_is_all_unknown() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Facts::read(root.path()), Facts::default());
    }
}
