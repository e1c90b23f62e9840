//! What the kernel knows about this process: CPU time, memory, files, limits.
//!
//! Owns: [`ProcessStats`]. Does not: cache. Every value is `None` where the kernel does not tell, and
//! its metric is then left out instead of being shown as zero.

use std::fs;

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Most file descriptors that the process may open.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Unix time of the process' start, in seconds.
    pub start_time_seconds: Option<f64>,
    /// Bytes that the process may use: its control group's limit, else the machine's memory.
    pub memory_limit_bytes: Option<u64>,
}

impl ProcessStats {
    /// Reads `/proc` and the control group; some tens of microseconds.
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let fields = stat.as_deref().and_then(stat_fields);
        let field = |index: usize| -> Option<u64> { fields.as_ref()?.get(index)?.parse().ok() };
        let ticks = ticks_per_second();
        let boot = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| labelled_number(&text, "btime"));
        Self {
            cpu_seconds: field(STAT_UTIME)
                .zip(field(STAT_STIME))
                .map(|(user, system)| (user + system) as f64 / ticks),
            resident_bytes: field(STAT_RSS_PAGES).map(|pages| pages * page_bytes()),
            virtual_bytes: field(STAT_VSIZE),
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| entries.count() as u64),
            max_fds: fs::read_to_string("/proc/self/limits")
                .ok()
                .and_then(|text| open_files_limit(&text)),
            threads: field(STAT_THREADS),
            start_time_seconds: boot
                .zip(field(STAT_START_TICKS))
                .map(|(boot, start)| boot as f64 + start as f64 / ticks),
            memory_limit_bytes: memory_limit(),
        }
    }
}

/// Positions in `/proc/<pid>/stat` counted from the field after the command's closing parenthesis.
const STAT_UTIME: usize = 11;
const STAT_STIME: usize = 12;
const STAT_THREADS: usize = 17;
const STAT_START_TICKS: usize = 19;
const STAT_VSIZE: usize = 20;
const STAT_RSS_PAGES: usize = 21;

/// The fields after the command, which may itself hold spaces and parentheses.
fn stat_fields(stat: &str) -> Option<Vec<&str>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().collect())
}

/// The first number of the line that starts with `label`.
fn labelled_number(text: &str, label: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(label))?
        .split_ascii_whitespace()
        .find_map(|word| word.parse().ok())
}

/// The soft limit in `/proc/<pid>/limits`; `None` when unlimited.
fn open_files_limit(limits: &str) -> Option<u64> {
    labelled_number(limits, "Max open files")
}

fn memory_limit() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group.lines().find_map(|line| {
        let path = if let Some(path) = line.strip_prefix("0::") {
            format!("/sys/fs/cgroup{path}/memory.max")
        } else {
            let (_, path) = line.split_once(":memory:")?;
            format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes")
        };
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    });
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| labelled_number(&text, "MemTotal:"))
        .map(|kib| kib * 1_024);
    // The first version of control groups says "no limit" with a number larger than any memory.
    match (limit, machine) {
        (Some(limit), Some(machine)) => Some(limit.min(machine)),
        (limit, machine) => limit.or(machine),
    }
}

fn ticks_per_second() -> f64 {
    // SAFETY: sysconf takes no pointer and has no precondition.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

fn page_bytes() -> u64 {
    // SAFETY: sysconf takes no pointer and has no precondition.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4_096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_hostile_command_name() {
        let stat = "42 (a ) b (c)) R 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 12345 1000000 300 rest";
        let fields = stat_fields(stat).expect("a stat line");
        let number = |index: usize| fields[index].parse::<u64>().expect("a number");
        assert_eq!((number(STAT_UTIME), number(STAT_STIME)), (250, 50));
        assert_eq!(
            (number(STAT_THREADS), number(STAT_START_TICKS)),
            (7, 12_345)
        );
        assert_eq!(
            (number(STAT_VSIZE), number(STAT_RSS_PAGES)),
            (1_000_000, 300)
        );
        assert_eq!(stat_fields("no parenthesis"), None);
    }

    #[test]
    fn limits_are_read_from_their_line() {
        let text = "Max processes   10  10  processes\nMax open files  1024  4096  files\n";
        assert_eq!(open_files_limit(text), Some(1_024));
        assert_eq!(
            open_files_limit("Max open files  unlimited  unlimited files"),
            None
        );
        assert_eq!(labelled_number("MemTotal:  16 kB", "MemTotal:"), Some(16));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_threads_and_files() {
        let stats = ProcessStats::read();
        assert!(stats.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(stats.threads.is_some_and(|count| count >= 1));
        assert!(stats.open_fds.is_some_and(|count| count >= 1));
        assert!(stats.cpu_seconds.is_some());
        assert!(stats.memory_limit_bytes > stats.resident_bytes);
        assert!(stats.start_time_seconds.is_some_and(|unix| unix > 1.6e9));
    }
}
