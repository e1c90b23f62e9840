//! Readers of the kernel's text files: text in, values out, nothing else.

/// Reads a CPU list such as `0-3,8`; `None` when it is not one. An empty text is an empty list.
pub fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    // Older kernels print "(null)" where no CPU is meant.
    if text.is_empty() || text == "(null)" {
        return Some(Vec::new());
    }
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().ok()?;
        let last: usize = last.trim().parse().ok()?;
        if first > last || last > CPU_NUMBER_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// No machine numbers its CPUs higher; a list that does is not believed.
const CPU_NUMBER_MAX: usize = 65_535;

/// The word in brackets of a choice file: `always [madvise] never` is `madvise`.
pub fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

/// The value of a `Name:\tvalue` line, as in `/proc/self/status` and `/proc/cpuinfo`.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

/// A soft limit of `/proc/self/limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    Unlimited,
    /// This many units.
    At(u64),
}

impl Limit {
    /// Whether the limit leaves room for this many units.
    pub fn allows(self, units: u64) -> bool {
        match self {
            Self::Unlimited => true,
            Self::At(limit) => limit >= units,
        }
    }
}

/// The soft limit with this name: the text after it starts with the value.
pub fn soft_limit(text: &str, name: &str) -> Option<Limit> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(Limit::Unlimited),
        number => number.parse().ok().map(Limit::At),
    }
}

/// Kilobytes of a `/proc/meminfo` line.
pub fn meminfo_kb(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse().ok()
}

/// Whether `/proc/cpuinfo` lists a flag for its first CPU.
pub fn has_cpu_flag(text: &str, flag: &str) -> bool {
    field(text, "flags").is_some_and(|flags| flags.split_whitespace().any(|word| word == flag))
}

/// Whether a hexadecimal capability mask of `/proc/self/status` has a bit.
pub fn has_capability(mask: &str, bit: u32) -> bool {
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask >> bit & 1 == 1)
}

/// Bit of `CAP_IPC_LOCK`: lock memory without limit.
pub const CAP_IPC_LOCK: u32 = 14;
/// Bit of `CAP_SYS_NICE`: any scheduling class and priority.
pub const CAP_SYS_NICE: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        let cases: &[(&str, Option<&[usize]>)] = &[
            ("", Some(&[])),
            ("\n", Some(&[])),
            ("(null)\n", Some(&[])),
            ("3\n", Some(&[3])),
            ("0-3,8\n", Some(&[0, 1, 2, 3, 8])),
            ("2-1", None),
            ("0-99999999999", None),
            ("a", None),
            ("1,,2", None),
        ];
        for (text, expected) in cases {
            assert_eq!(cpu_list(text).as_deref(), *expected, "{text:?}");
        }
    }

    #[test]
    fn limits_and_fields() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max locked memory         8388608              8388608              bytes     \n\
                      Max realtime priority     0                    0                              \n\
                      Max open files            unlimited            1048576              files     \n";
        assert_eq!(
            soft_limit(limits, "Max locked memory"),
            Some(Limit::At(8_388_608))
        );
        assert_eq!(soft_limit(limits, "Max open files"), Some(Limit::Unlimited));
        assert_eq!(
            soft_limit(limits, "Max realtime priority"),
            Some(Limit::At(0))
        );
        assert_eq!(soft_limit(limits, "Max pigs"), None);

        let status = "Name:\tveloz\nCapEff:\t0000000000804000\nCpus_allowed_list:\t0-1\n";
        assert_eq!(field(status, "Cpus_allowed_list"), Some("0-1"));
        let mask = field(status, "CapEff").expect("there");
        assert!(has_capability(mask, CAP_IPC_LOCK));
        assert!(has_capability(mask, CAP_SYS_NICE));
        assert!(!has_capability(mask, 0));
        assert!(!has_capability("zz", 0));

        let cpuinfo =
            "processor\t: 0\nflags\t\t: fpu constant_tsc nonstop_tsc avx2\n\nprocessor\t: 1\n";
        assert!(has_cpu_flag(cpuinfo, "nonstop_tsc"));
        assert!(!has_cpu_flag(cpuinfo, "nonstop"));

        let meminfo = "MemTotal:       16384256 kB\nSwapTotal:             0 kB\n";
        assert_eq!(meminfo_kb(meminfo, "SwapTotal"), Some(0));
        assert_eq!(meminfo_kb(meminfo, "MemTotal"), Some(16_384_256));
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("none"), None);
    }
}
