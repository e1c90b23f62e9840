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

/// CPUs of a hexadecimal mask with a comma every 32 bits, the lowest last: `1,0000000f`.
pub fn cpu_mask(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    let groups = text.trim().split(',').rev();
    for (group, first) in groups.zip((0..=CPU_NUMBER_MAX).step_by(32)) {
        let bits = u32::from_str_radix(group, 16).ok()?;
        cpus.extend(
            (0..32)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| first + bit),
        );
    }
    Some(cpus)
}

/// What the kernel was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(Vec<(String, Option<String>)>);

/// Some CPUs, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SomeCpus {
    /// Whatever there is.
    All,
    /// These.
    Listed(Vec<usize>),
}

impl SomeCpus {
    /// Whether one is among them.
    pub fn contains(&self, cpu: usize) -> bool {
        match self {
            Self::All => true,
            Self::Listed(cpus) => cpus.contains(&cpu),
        }
    }
}

impl CommandLine {
    /// Reads `key` and `key=value`, values perhaps in quotes, up to a lone `--`: after it come words for init.
    pub fn read(text: &str) -> Self {
        let mut in_quotes = false;
        let words = text.trim().split(|symbol: char| {
            in_quotes ^= symbol == '"';
            symbol.is_whitespace() && !in_quotes
        });
        Self(
            words
                .filter(|word| !word.is_empty())
                .take_while(|word| *word != "--")
                .map(|word| {
                    let (key, value) = match word.split_once('=') {
                        Some((key, value)) => (key, Some(value)),
                        None => (word, None),
                    };
                    let plain = |text: &str| text.trim_matches('"').to_owned();
                    (plain(key), value.map(plain))
                })
                .collect(),
        )
    }

    /// Whether a key is there, with a value or without.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(found, _)| found == key)
    }

    /// The value of a key; of several the last.
    pub fn value(&self, key: &str) -> Option<&str> {
        let last = self.0.iter().rfind(|(found, _)| found == key)?;
        last.1.as_deref()
    }

    /// CPUs whose deferred work runs elsewhere; `None` where none is chosen.
    pub fn rcu_nocbs(&self) -> Option<SomeCpus> {
        match self.value("rcu_nocbs")? {
            "all" => Some(SomeCpus::All),
            list => cpu_list(list).map(SomeCpus::Listed),
        }
    }
}

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
    fn cpu_masks() {
        let cases: &[(&str, Option<&[usize]>)] = &[
            ("f\n", Some(&[0, 1, 2, 3])),
            ("00000001,00000008\n", Some(&[3, 32])),
            ("0", Some(&[])),
            ("", None),
            ("xyz", None),
            ("100000000", None),
        ];
        for (text, expected) in cases {
            assert_eq!(cpu_mask(text).as_deref(), *expected, "{text:?}");
        }
    }

    #[test]
    fn command_lines() {
        let line = CommandLine::read(
            "BOOT_IMAGE=/vmlinuz ro rcu_nocbs=1 dyndbg=\"file a.c +p\" idle=poll rcu_nocbs=2-3 -- nopti\n",
        );
        assert_eq!(line.value("rcu_nocbs"), Some("2-3"));
        assert_eq!(line.rcu_nocbs(), Some(SomeCpus::Listed(vec![2, 3])));
        assert_eq!(line.value("dyndbg"), Some("file a.c +p"));
        assert!(line.has("ro") && line.has("idle"));
        assert_eq!(line.value("ro"), None);
        assert!(!line.has("nopti"), "a word for init");
        assert_eq!(CommandLine::read("rcu_nocbs").rcu_nocbs(), None);
        let all = CommandLine::read("rcu_nocbs=all").rcu_nocbs();
        assert!(all.is_some_and(|cpus| cpus.contains(77)));
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
