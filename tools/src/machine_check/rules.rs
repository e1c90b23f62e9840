//! What a machine's facts mean for the engine: one finding a subject, with what to do about it.
//!
//! Owns: the judgement. Pure: [`judge`] sees facts and configuration, nothing else. An error is what
//! would fail or mislead the start; a warning costs latency; a note is worth knowing.

use super::facts::Facts;
use super::parse::Limit;
use super::{Finding, State, kernel, sysctl};
use crate::config::{Config, Idle, Source};
use crate::placement::{CpuNotAllowed, Cpus, Placement, place};
use std::time::Duration;

/// Descriptors that the process opens: four links and their successors, the server, its clients.
const OPEN_FILES_MIN: u64 = 1_024;
/// Bytes that the process locks: books, rings and buffers of 256 instruments, with room.
pub(super) const LOCKED_BYTES_MIN: u64 = 1 << 30;
/// A pause of the spinning loop that an untuned but idle machine stays below.
const PAUSE_MAX: Duration = Duration::from_millis(1);
/// A pause that a tuned machine stays below.
const PAUSE_TUNED_MAX: Duration = Duration::from_micros(50);

/// The CPU that the core thread would get.
pub fn core_cpu(facts: &Facts, config: &Config) -> Option<usize> {
    placed(facts, config).ok().and_then(|placed| placed.cpu)
}

fn placed(facts: &Facts, config: &Config) -> Result<Placement, CpuNotAllowed> {
    let cpus = Cpus {
        allowed: facts.allowed.as_deref().unwrap_or_default(),
        isolated: facts.isolated.as_deref().unwrap_or_default(),
    };
    place(&config.core, cpus)
}

/// The findings, in reading order. `worst_pause` is the longest pause of a spinning loop.
pub fn judge(facts: &Facts, config: &Config, worst_pause: Option<Duration>) -> Vec<Finding> {
    let placed = placed(facts, config);
    let core_cpu = placed.as_ref().ok().and_then(|placed| placed.cpu);

    let mut findings = files(config);
    findings.push(match &placed {
        Err(refused) => Finding {
            subject: "core cpu",
            state: State::Error,
            found: refused.to_string(),
            why: "the core thread cannot be placed there, so the engine would not start",
            advice: "set core.cpu to one of them, or widen the mask (taskset, CPUAffinity=, the container's cpuset)".to_owned(),
        },
        Ok(placed) => Finding {
            subject: "core cpu",
            state: State::Ok,
            found: format!(
                "{}, idle strategy {}",
                placed
                    .cpu
                    .map_or_else(|| "not pinned".to_owned(), |cpu| format!("CPU {cpu}")),
                idle_word(placed.idle)
            ),
            why: "every other thread keeps off the core's CPU",
            advice: String::new(),
        },
    });
    findings.push(isolation(facts, core_cpu));
    findings.push(tickless(facts, core_cpu));
    findings.push(governor(facts, core_cpu));
    findings.push(clock(facts));
    findings.push(smt(facts, core_cpu));
    findings.push(huge_pages(facts));
    findings.push(swap(facts));
    findings.push(locked_memory(facts, config));
    findings.push(realtime(facts, config));
    findings.push(open_files(facts));
    findings.extend(network(facts, config, core_cpu));
    findings.extend(sysctl::judge(facts, config, core_cpu));
    let idle = placed.ok().map(|placed| placed.idle);
    findings.extend(kernel::judge(facts, config, core_cpu, idle, worst_pause));
    findings.extend(worst_pause.map(pause));
    findings
}

fn idle_word(idle: Idle) -> &'static str {
    match idle {
        Idle::Auto => "auto",
        Idle::Spin => "spin",
        Idle::Yield => "yield",
        Idle::Backoff => "backoff",
    }
}

/// Files that the configuration names and the start will read.
fn files(config: &Config) -> Vec<Finding> {
    let embedded = config.venue.source == Source::Embedded;
    [
        ("venue.ca_file", &config.venue.ca_file, !embedded),
        ("embedded.capture", &config.embedded.capture, embedded),
    ]
    .into_iter()
    .filter(|(_, path, used)| *used && !path.as_os_str().is_empty())
    .map(|(key, path, _)| {
        let readable = std::fs::File::open(path).err();
        Finding {
            subject: "file",
            state: if readable.is_none() {
                State::Ok
            } else {
                State::Error
            },
            found: match &readable {
                None => format!("{key} {} is readable", path.display()),
                Some(error) => format!("{key} {}: {error}", path.display()),
            },
            why: "the engine reads it at start",
            advice: if readable.is_some() {
                format!("correct {key} or the file's permissions")
            } else {
                String::new()
            },
        }
    })
    .collect()
}

fn isolation(facts: &Facts, core_cpu: Option<usize>) -> Finding {
    const WHY: &str = "on an isolated CPU the scheduler puts no other task beside the core thread";
    let subject = "isolated cpus";
    match &facts.isolated {
        Some(list) if core_cpu.is_some_and(|cpu| list.contains(&cpu)) => {
            Finding::ok(subject, format!("{list:?}, the core's among them"), WHY)
        }
        Some(list) if !list.is_empty() => Finding::warning(
            subject,
            format!("{list:?}, but the core runs elsewhere"),
            WHY,
            format!("set core.cpu to one of {list:?}"),
        ),
        Some(_) => {
            let cpu = core_cpu.map_or_else(|| "N".to_owned(), |cpu| cpu.to_string());
            Finding::warning(
                subject,
                "none".to_owned(),
                WHY,
                format!(
                    "add isolcpus={cpu} nohz_full={cpu} rcu_nocbs={cpu} to the kernel's command line"
                ),
            )
        }
        None => Finding::unknown(subject, WHY),
    }
}

fn tickless(facts: &Facts, core_cpu: Option<usize>) -> Finding {
    const WHY: &str = "without nohz_full the timer interrupts the core 100 to 1000 times a second";
    let subject = "nohz_full";
    match (&facts.tickless, core_cpu) {
        (Some(list), Some(cpu)) if list.contains(&cpu) => {
            Finding::ok(subject, format!("{list:?}"), WHY)
        }
        (Some(list), Some(cpu)) => Finding::warning(
            subject,
            if list.is_empty() {
                "none".to_owned()
            } else {
                format!("{list:?}, not the core's")
            },
            WHY,
            format!("add nohz_full={cpu} rcu_nocbs={cpu} to the kernel's command line"),
        ),
        (Some(list), None) => Finding::note(
            subject,
            format!("{list:?}; the core is not pinned"),
            WHY,
            "set core.cpu".to_owned(),
        ),
        // The file exists only where the kernel was built with it.
        (None, _) => Finding::note(
            subject,
            "not offered by this kernel".to_owned(),
            WHY,
            "use a kernel built with CONFIG_NO_HZ_FULL".to_owned(),
        ),
    }
}

fn governor(facts: &Facts, core_cpu: Option<usize>) -> Finding {
    const WHY: &str = "a CPU that clocks down takes up to milliseconds to come back";
    let subject = "governor";
    let slow: Vec<String> = facts
        .governors
        .iter()
        .filter(|(cpu, name)| {
            name != "performance" && core_cpu.is_none_or(|core_cpu| *cpu == core_cpu)
        })
        .map(|(cpu, name)| format!("CPU {cpu} {name}"))
        .collect();
    if facts.governors.is_empty() {
        Finding::note(
            subject,
            "not exposed, as in most virtual machines".to_owned(),
            WHY,
            "set it on the host, or choose a machine type with a fixed clock".to_owned(),
        )
    } else if slow.is_empty() {
        Finding::ok(subject, "performance".to_owned(), WHY)
    } else {
        Finding::warning(
            subject,
            slow.join(", "),
            WHY,
            "cpupower frequency-set -g performance".to_owned(),
        )
    }
}

fn clock(facts: &Facts) -> Finding {
    const WHY: &str = "stage stamps read the TSC; the kernel's clock costs more and steps";
    let subject = "clock";
    let source = facts.clocksource.as_deref().unwrap_or("unknown");
    match facts.tsc_invariant {
        None => Finding::unknown(subject, WHY),
        Some(true) if source == "tsc" => {
            Finding::ok(subject, "invariant TSC, clocksource tsc".to_owned(), WHY)
        }
        Some(true) => Finding::warning(
            subject,
            format!("invariant TSC, but clocksource {source}"),
            WHY,
            "the kernel distrusts the TSC (dmesg says why); tsc=reliable on the command line if the machine is known good".to_owned(),
        ),
        Some(false) => Finding::warning(
            subject,
            format!("no invariant TSC, clocksource {source}"),
            WHY,
            "the engine falls back to the kernel's clock; use a machine with constant_tsc and nonstop_tsc to measure".to_owned(),
        ),
    }
}

fn smt(facts: &Facts, core_cpu: Option<usize>) -> Finding {
    const WHY: &str = "a busy sibling takes up to half of the core thread's speed";
    let subject = "smt";
    let isolated = facts.isolated.as_deref().unwrap_or_default();
    let siblings = core_cpu.and_then(|cpu| facts.siblings.get(&cpu));
    let others: Option<Vec<usize>> = siblings.map(|siblings| {
        let others = siblings.iter().filter(|other| core_cpu != Some(**other));
        others.copied().collect()
    });
    match (facts.smt_active, others) {
        (Some(false), _) => Finding::ok(subject, "off".to_owned(), WHY),
        (Some(true), Some(others)) if others.is_empty() => Finding::ok(
            subject,
            "on, but the core's CPU has no sibling".to_owned(),
            WHY,
        ),
        (Some(true), Some(others)) if others.iter().all(|cpu| isolated.contains(cpu)) => {
            Finding::ok(
                subject,
                format!(
                    "on, and the siblings {others:?} are isolated: idle unless another core.cpu is among them"
                ),
                WHY,
            )
        }
        (Some(true), Some(_) | None) => Finding::warning(
            subject,
            "on".to_owned(),
            WHY,
            "nosmt on the kernel's command line, or keep the sibling of core.cpu idle".to_owned(),
        ),
        (None, _) => Finding::unknown(subject, WHY),
    }
}

fn huge_pages(facts: &Facts) -> Finding {
    const WHY: &str =
        "with always, the kernel compacts memory whenever it likes, which stalls threads";
    let subject = "huge pages";
    match facts.huge_pages.as_deref() {
        Some("always") => Finding::warning(
            subject,
            "always".to_owned(),
            WHY,
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned(),
        ),
        Some(choice) => Finding::ok(subject, choice.to_owned(), WHY),
        None => Finding::unknown(subject, WHY),
    }
}

fn swap(facts: &Facts) -> Finding {
    const WHY: &str = "a page that was swapped out costs milliseconds at the worst moment";
    let subject = "swap";
    match facts.swap_kb {
        Some(0) => Finding::ok(subject, "none".to_owned(), WHY),
        Some(kb) => Finding::warning(
            subject,
            format!("{} MB", kb / 1_024),
            WHY,
            "swapoff -a, or keep core.lock_memory on with enough memlock".to_owned(),
        ),
        None => Finding::unknown(subject, WHY),
    }
}

fn locked_memory(facts: &Facts, config: &Config) -> Finding {
    const WHY: &str = "locked memory is never paged out and is faulted in before trading";
    let subject = "memlock";
    let text = |limit| match limit {
        Limit::Unlimited => "unlimited".to_owned(),
        Limit::At(bytes) => format!("{} kB", bytes / 1_024),
    };
    match facts.memlock {
        _ if !config.core.lock_memory => Finding::note(
            subject,
            "not used: core.lock_memory is false".to_owned(),
            WHY,
            String::new(),
        ),
        _ if facts.may_lock => Finding::ok(subject, "CAP_IPC_LOCK".to_owned(), WHY),
        Some(limit) if limit.allows(LOCKED_BYTES_MIN) => Finding::ok(subject, text(limit), WHY),
        Some(limit) => Finding::warning(
            subject,
            text(limit),
            WHY,
            "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited; without it memory stays pageable".to_owned(),
        ),
        None => Finding::unknown(subject, WHY),
    }
}

fn realtime(facts: &Facts, config: &Config) -> Finding {
    const WHY: &str = "SCHED_FIFO needs a limit of at least the priority that is asked for";
    let subject = "rtprio";
    let asked = u64::from(config.core.realtime_priority);
    if asked == 0 {
        return Finding::ok(
            subject,
            "not asked for (core.realtime_priority = 0)".to_owned(),
            WHY,
        );
    }
    if facts.may_prioritise
        || facts
            .realtime_priority
            .is_some_and(|limit| limit.allows(asked))
    {
        return Finding::ok(subject, format!("{asked} is allowed"), WHY);
    }
    Finding {
        subject,
        state: State::Error,
        found: format!("core.realtime_priority is {asked}, which the limit does not allow"),
        why: WHY,
        advice: format!("LimitRTPRIO={asked} in the unit, or set core.realtime_priority = 0"),
    }
}

fn open_files(facts: &Facts) -> Finding {
    const WHY: &str = "every connection of the engine and of its server takes one";
    let subject = "nofile";
    match facts.open_files {
        Some(Limit::Unlimited) => Finding::ok(subject, "unlimited".to_owned(), WHY),
        Some(Limit::At(limit)) if limit >= OPEN_FILES_MIN => {
            Finding::ok(subject, limit.to_string(), WHY)
        }
        Some(Limit::At(limit)) => Finding::warning(
            subject,
            limit.to_string(),
            WHY,
            format!("LimitNOFILE=65536 in the unit, or ulimit -n {OPEN_FILES_MIN}"),
        ),
        None => Finding::unknown(subject, WHY),
    }
}

fn network(facts: &Facts, config: &Config, core_cpu: Option<usize>) -> Vec<Finding> {
    if config.venue.source == Source::Embedded {
        return vec![Finding::note(
            "network",
            "the embedded venue is on loopback".to_owned(),
            "network cards matter once venue.source is binance",
            String::new(),
        )];
    }
    let mut findings = Vec::new();
    let cpu = core_cpu.map_or_else(|| "N".to_owned(), |cpu| cpu.to_string());
    if facts.irqbalance {
        findings.push(Finding::warning(
            "irqbalance",
            "runs".to_owned(),
            "it moves the card's interrupts around, also onto the core's CPU",
            format!("IRQBALANCE_BANNED_CPULIST={cpu} in its configuration, or stop it and set /proc/irq/*/smp_affinity_list"),
        ));
    }
    for interface in &facts.interfaces {
        let name = &interface.name;
        findings.push(Finding::note(
            "network card",
            format!("{name}, {} receive queues", interface.receive_queues),
            "interrupt coalescing holds packets back for tens of microseconds",
            format!(
                "ethtool -C {name} adaptive-rx off rx-usecs 0; keep its interrupts off CPU {cpu}"
            ),
        ));
    }
    findings
}

fn pause(worst: Duration) -> Finding {
    const WHY: &str = "what interrupts a spinning loop interrupts the core thread as long";
    let subject = "worst pause";
    let found = format!("{:.0} us in a short spin", worst.as_secs_f64() * 1e6);
    if worst <= PAUSE_TUNED_MAX {
        Finding::ok(subject, found, WHY)
    } else if worst <= PAUSE_MAX {
        Finding::note(
            subject,
            found,
            WHY,
            "isolating core.cpu brings it below 50 us".to_owned(),
        )
    } else {
        Finding::warning(
            subject,
            found,
            WHY,
            "something else uses this CPU, or the hypervisor takes it away: isolate core.cpu, stop the neighbours".to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::CommandLine;
    use super::*;
    use crate::config::load_text;

    fn tuned() -> Facts {
        Facts {
            online: Some(vec![0, 1, 2, 3]),
            allowed: Some(vec![0, 1, 2, 3]),
            isolated: Some(vec![3]),
            tickless: Some(vec![3]),
            governors: vec![(0, "powersave".into()), (3, "performance".into())],
            clocksource: Some("tsc".into()),
            tsc_invariant: Some(true),
            smt_active: Some(false),
            huge_pages: Some("madvise".into()),
            swap_kb: Some(0),
            memlock: Some(Limit::Unlimited),
            realtime_priority: Some(Limit::At(0)),
            open_files: Some(Limit::At(65_536)),
            sysctls: sysctl::tests::as_the_file_says(),
            command_line: Some(CommandLine::read("isolcpus=3 nohz_full=3 irqaffinity=0-2")),
            interrupt_cpus: Some(vec![0, 1, 2]),
            ..Facts::default()
        }
    }

    fn config(text: &str) -> Config {
        load_text("test.toml", text).expect("valid").config
    }

    fn state(findings: &[Finding], subject: &str) -> State {
        findings
            .iter()
            .find(|finding| finding.subject == subject)
            .unwrap_or_else(|| panic!("no finding about {subject}"))
            .state
    }

    #[test]
    fn a_tuned_machine_has_nothing_to_improve() {
        let findings = judge(&tuned(), &config(""), Some(Duration::from_micros(20)));
        for finding in &findings {
            assert!(
                finding.state <= State::Note,
                "{}: {}",
                finding.subject,
                finding.found
            );
        }
    }

    #[test]
    fn each_lack_is_one_finding_with_advice() {
        type Change = fn(&mut Facts);
        let cases: &[(&str, State, Change)] = &[
            ("isolated cpus", State::Warning, |f| {
                f.isolated = Some(vec![]);
            }),
            ("isolated cpus", State::Unknown, |f| f.isolated = None),
            ("nohz_full", State::Warning, |f| {
                f.tickless = Some(vec![1]);
                f.command_line = Some(CommandLine::read("rcu_nocbs=3"));
            }),
            ("nohz_full", State::Note, |f| {
                f.tickless = None;
                f.command_line = Some(CommandLine::read("rcu_nocbs=all"));
            }),
            ("governor", State::Warning, |f| {
                f.governors[1].1 = "schedutil".into();
            }),
            ("governor", State::Note, |f| f.governors.clear()),
            ("clock", State::Warning, |f| f.tsc_invariant = Some(false)),
            ("clock", State::Warning, |f| {
                f.clocksource = Some("hpet".into());
            }),
            ("smt", State::Warning, |f| f.smt_active = Some(true)),
            ("smt", State::Warning, |f| {
                f.smt_active = Some(true);
                f.siblings.insert(3, vec![1, 3]);
            }),
            ("smt", State::Ok, |f| {
                f.smt_active = Some(true);
                f.siblings.insert(3, vec![3]);
            }),
            ("smt", State::Ok, |f| {
                f.smt_active = Some(true);
                f.isolated = Some(vec![1, 3]);
                f.siblings.insert(3, vec![1, 3]);
            }),
            ("rcu_nocbs", State::Warning, |f| {
                // Offered by the kernel and not used: nohz_full is a note then.
                f.tickless = None;
            }),
            ("swappiness", State::Ok, |f| {
                f.sysctls.insert("vm.swappiness", "60".into());
            }),
            ("huge pages", State::Warning, |f| {
                f.huge_pages = Some("always".into());
            }),
            ("swap", State::Warning, |f| f.swap_kb = Some(2_048)),
            ("memlock", State::Warning, |f| {
                f.memlock = Some(Limit::At(65_536));
            }),
            ("nofile", State::Warning, |f| {
                f.open_files = Some(Limit::At(256));
            }),
        ];
        for (subject, expected, change) in cases {
            let mut facts = tuned();
            change(&mut facts);
            let findings = judge(&facts, &config(""), None);
            assert_eq!(state(&findings, subject), *expected, "{subject}");
            let others = findings
                .iter()
                .filter(|finding| finding.subject != *subject && finding.state > State::Note)
                .count();
            assert_eq!(others, 0, "{subject} changed another finding");
            let advised = findings
                .iter()
                .filter(|finding| finding.state >= State::Warning)
                .all(|finding| !finding.advice.is_empty());
            assert!(advised, "{subject} has no advice");
        }
    }

    #[test]
    fn what_would_fail_the_start_is_an_error() {
        let findings = judge(&tuned(), &config("[core]\ncpu = 9\n"), None);
        assert_eq!(state(&findings, "core cpu"), State::Error);

        let fifo = config("[core]\nrealtime_priority = 50\n");
        assert_eq!(state(&judge(&tuned(), &fifo, None), "rtprio"), State::Error);
        let mut capable = tuned();
        capable.may_prioritise = true;
        assert_eq!(state(&judge(&capable, &fifo, None), "rtprio"), State::Ok);

        let missing = config("[venue]\nsource = \"binance\"\nca_file = \"/no/such/ca.pem\"\n");
        assert_eq!(
            state(&judge(&tuned(), &missing, None), "file"),
            State::Error
        );
    }

    #[test]
    fn network_cards_matter_to_a_real_venue_only() {
        let mut facts = tuned();
        facts.irqbalance = true;
        facts.interfaces = vec![super::super::facts::Interface {
            name: "eth0".into(),
            receive_queues: 2,
        }];
        let embedded = judge(&facts, &config(""), None);
        assert!(
            embedded
                .iter()
                .all(|finding| finding.subject != "irqbalance")
        );
        let real = judge(&facts, &config("[venue]\nsource = \"binance\"\n"), None);
        assert_eq!(state(&real, "irqbalance"), State::Warning);
        assert_eq!(state(&real, "network card"), State::Note);
    }

    #[test]
    fn pauses_have_three_grades() {
        let grade = |us| pause(Duration::from_micros(us)).state;
        assert_eq!(grade(50), State::Ok);
        assert_eq!(grade(51), State::Note);
        assert_eq!(grade(1_001), State::Warning);
    }
}
