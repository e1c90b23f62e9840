//! What the kernel was started with, where interrupts go, and whether its clock is set: the rest of `systemd/tuning.md`.
//!
//! Owns: those findings. Does not: read the machine (`facts.rs`). CPUs that are isolated or without a tick are judged in
//! `rules.rs`; here is what goes with them.

use super::Finding;
use super::facts::{Facts, KernelClock};
use crate::config::{Config, Idle, Source};
use std::time::Duration;

/// Interrupts that are named; there can be hundreds.
const INTERRUPTS_NAMED_MAX: usize = 5;
/// A pause of a sleeping loop that speaks of deep sleep states.
const SLOW_WAKE_UP: Duration = Duration::from_micros(200);

/// The findings, in reading order. `idle` is what an idle turn of the core does.
pub(super) fn judge(
    facts: &Facts,
    config: &Config,
    core_cpu: Option<usize>,
    idle: Option<Idle>,
    worst_pause: Option<Duration>,
) -> Vec<Finding> {
    let real_venue = config.venue.source == Source::Binance;
    let mut findings = vec![
        callbacks(facts, core_cpu),
        interrupt_default(facts, core_cpu),
        mitigations(facts),
        idle_states(facts, idle, worst_pause),
    ];
    if real_venue {
        findings.extend(interrupts(facts, core_cpu));
        findings.push(clock_is_set(facts, config));
    }
    findings
}

fn callbacks(facts: &Facts, core_cpu: Option<usize>) -> Finding {
    const WHY: &str = "the kernel's own deferred work runs on the core's CPU otherwise";
    let subject = "rcu_nocbs";
    let Some(cpu) = core_cpu else {
        return not_pinned(subject, WHY);
    };
    let tickless = facts.tickless.as_deref().unwrap_or_default();
    if tickless.contains(&cpu) {
        return Finding::ok(subject, "implied by nohz_full".to_owned(), WHY);
    }
    let Some(line) = &facts.command_line else {
        return Finding::unknown(subject, WHY);
    };
    match line.rcu_nocbs() {
        Some(cpus) if cpus.contains(cpu) => Finding::ok(
            subject,
            format!("rcu_nocbs={}", line.value("rcu_nocbs").unwrap_or_default()),
            WHY,
        ),
        Some(_) | None => Finding::warning(
            subject,
            match line.value("rcu_nocbs") {
                Some(list) => format!("rcu_nocbs={list}, without CPU {cpu}"),
                None => format!("none for CPU {cpu}"),
            },
            WHY,
            format!("add rcu_nocbs={cpu} to the kernel's command line"),
        ),
    }
}

fn not_pinned(subject: &'static str, why: &'static str) -> Finding {
    Finding::note(
        subject,
        "the core is not pinned".to_owned(),
        why,
        "set core.cpu".to_owned(),
    )
}

const INTERRUPTS_WHY: &str = "an interrupt takes the core's CPU for microseconds";

fn interrupt_default(facts: &Facts, core_cpu: Option<usize>) -> Finding {
    let subject = "irqaffinity";
    let Some(cpu) = core_cpu else {
        return not_pinned(subject, INTERRUPTS_WHY);
    };
    let Some(cpus) = &facts.interrupt_cpus else {
        return Finding::unknown(subject, INTERRUPTS_WHY);
    };
    let configured = facts
        .command_line
        .as_ref()
        .and_then(|line| line.value("irqaffinity"))
        .map(|list| format!(", irqaffinity={list}"))
        .unwrap_or_default();
    if cpus.contains(&cpu) {
        let others = facts.online.iter().flatten().filter(|other| **other != cpu);
        let others: Vec<String> = others.map(usize::to_string).collect();
        Finding::warning(
            subject,
            format!("new interrupts go to CPUs {cpus:?}, the core's among them{configured}"),
            INTERRUPTS_WHY,
            format!(
                "add irqaffinity={} to the kernel's command line",
                others.join(",")
            ),
        )
    } else {
        Finding::ok(
            subject,
            format!("new interrupts go to CPUs {cpus:?}{configured}"),
            INTERRUPTS_WHY,
        )
    }
}

/// Interrupts that may come to the core's CPU whatever the default is; nothing where none is told.
fn interrupts(facts: &Facts, core_cpu: Option<usize>) -> Option<Finding> {
    let subject = "interrupts";
    let cpu = core_cpu?;
    if facts.interrupts.is_empty() {
        return None;
    }
    let there: Vec<u32> = facts
        .interrupts
        .iter()
        .filter(|(_, cpus)| cpus.contains(&cpu))
        .map(|(number, _)| *number)
        .collect();
    if there.is_empty() {
        return Some(Finding::ok(
            subject,
            format!("none may come to CPU {cpu}"),
            INTERRUPTS_WHY,
        ));
    }
    let named: Vec<String> = there
        .iter()
        .take(INTERRUPTS_NAMED_MAX)
        .map(u32::to_string)
        .collect();
    let more = match there.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Finding::warning(
        subject,
        format!("{}{more} may come to CPU {cpu}", named.join(", ")),
        INTERRUPTS_WHY,
        format!(
            "write the other CPUs to /proc/irq/N/smp_affinity_list, or take queues off CPU {cpu} (ethtool -L)"
        ),
    ))
}

fn mitigations(facts: &Facts) -> Finding {
    const WHY: &str = "this process holds keys and reads what strangers send";
    let subject = "mitigations";
    let Some(line) = &facts.command_line else {
        return Finding::unknown(subject, WHY);
    };
    let off: Vec<&str> = [
        ("mitigations=off", line.value("mitigations") == Some("off")),
        ("nopti", line.has("nopti")),
        ("nospectre_v2", line.has("nospectre_v2")),
    ]
    .into_iter()
    .filter_map(|(word, is_there)| is_there.then_some(word))
    .collect();
    if off.is_empty() {
        Finding::ok(subject, "not turned off".to_owned(), WHY)
    } else {
        Finding::warning(
            subject,
            off.join(", "),
            WHY,
            format!("take {} off the kernel's command line", off.join(" and ")),
        )
    }
}

fn idle_states(facts: &Facts, idle: Option<Idle>, worst_pause: Option<Duration>) -> Finding {
    const WHY: &str =
        "a CPU wakes up slowly from deep sleep, and one that never sleeps heats up and clocks down";
    let subject = "idle states";
    let Some(line) = &facts.command_line else {
        return Finding::unknown(subject, WHY);
    };
    let limits: Vec<String> = ["processor.max_cstate", "intel_idle.max_cstate"]
        .into_iter()
        .filter_map(|key| Some(format!("{key}={}", line.value(key)?)))
        .collect();
    if line.value("idle") == Some("poll") {
        return Finding::warning(
            subject,
            "idle=poll".to_owned(),
            WHY,
            "take idle=poll off the kernel's command line".to_owned(),
        );
    }
    let slow = worst_pause.is_some_and(|pause| pause > SLOW_WAKE_UP);
    if !limits.is_empty() {
        Finding::ok(subject, limits.join(", "), WHY)
    } else if idle == Some(Idle::Backoff) && slow {
        Finding::note(
            subject,
            "every sleep state is allowed, and wake-ups are slow".to_owned(),
            WHY,
            "processor.max_cstate=1 on the kernel's command line, while core.idle is backoff"
                .to_owned(),
        )
    } else {
        Finding::ok(subject, "every sleep state is allowed".to_owned(), WHY)
    }
}

fn clock_is_set(facts: &Facts, config: &Config) -> Finding {
    const WHY: &str =
        "orders are refused when the clock is off by more than risk.clock_offset_max_ms";
    let subject = "clock is set";
    let warning = |found: String| {
        Finding::warning(
            subject,
            found,
            WHY,
            "install chrony, with a source nearby".to_owned(),
        )
    };
    match facts.kernel_clock {
        Some(KernelClock::NotSet) => warning("nobody sets it".to_owned()),
        Some(KernelClock::Within { error_us }) => {
            let bound = config.risk.clock_offset_max_ms.get();
            let found = format!("within {} ms by its own account", error_us.div_ceil(1_000));
            match bound {
                Some(bound_ms) if error_us > bound_ms.saturating_mul(1_000) => {
                    warning(format!("{found}; risk.clock_offset_max_ms is {bound_ms}"))
                }
                Some(_) | None => Finding::ok(subject, found, WHY),
            }
        }
        None => match facts.clock_service {
            Some(service) => Finding::ok(subject, format!("{service} sets it"), WHY),
            None => Finding::unknown(subject, WHY),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::parse::CommandLine;
    use super::*;
    use crate::config::load_text;

    const LIVE: &str = "[venue]\nsource = \"binance\"\n";

    fn tuned() -> Facts {
        Facts {
            online: Some(vec![0, 1, 2, 3]),
            tickless: Some(vec![3]),
            command_line: Some(CommandLine::read(
                "quiet isolcpus=3 nohz_full=3 rcu_nocbs=3 irqaffinity=0-2",
            )),
            interrupt_cpus: Some(vec![0, 1, 2]),
            interrupts: vec![(24, vec![0]), (25, vec![1, 2])],
            kernel_clock: Some(KernelClock::Within { error_us: 900 }),
            ..Facts::default()
        }
    }

    fn of(facts: &Facts, text: &str, idle: Idle, pause_us: u64) -> Vec<Finding> {
        let config = load_text("test.toml", text).expect("valid").config;
        let pause = Duration::from_micros(pause_us);
        judge(facts, &config, Some(3), Some(idle), Some(pause))
    }

    #[test]
    fn a_tuned_machine_has_nothing_to_improve() {
        for finding in of(&tuned(), LIVE, Idle::Backoff, 100) {
            assert_eq!(
                finding.state,
                State::Ok,
                "{}: {}",
                finding.subject,
                finding.found
            );
        }
    }

    #[test]
    fn each_lack_is_one_warning_that_names_it() {
        type Change = fn(&mut Facts);
        let cases: &[(&str, &str, &str, Change)] = &[
            ("rcu_nocbs", "none for CPU 3", "rcu_nocbs=3", |f| {
                f.tickless = Some(vec![]);
                f.command_line = Some(CommandLine::read("rcu_nocbs"));
            }),
            ("rcu_nocbs", "rcu_nocbs=1,2", "rcu_nocbs=3", |f| {
                f.tickless = None;
                f.command_line = Some(CommandLine::read("rcu_nocbs=3 rcu_nocbs=1,2"));
            }),
            ("irqaffinity", "[0, 3]", "irqaffinity=0,1,2", |f| {
                f.interrupt_cpus = Some(vec![0, 3]);
            }),
            (
                "interrupts",
                "1, 2, 3, 4, 5 and 2 more",
                "smp_affinity",
                |f| {
                    f.interrupts = (1..8).map(|number| (number, vec![2, 3])).collect();
                },
            ),
            ("mitigations", "mitigations=off", "mitigations=off", |f| {
                f.command_line = Some(CommandLine::read("mitigations=off"));
            }),
            ("mitigations", "nopti, nospectre_v2", "nopti", |f| {
                f.command_line = Some(CommandLine::read("nopti nospectre_v2"));
            }),
            ("idle states", "idle=poll", "idle=poll", |f| {
                f.command_line = Some(CommandLine::read("idle=poll"));
            }),
            ("clock is set", "nobody", "chrony", |f| {
                f.kernel_clock = Some(KernelClock::NotSet);
            }),
            (
                "clock is set",
                "clock_offset_max_ms is 1000",
                "chrony",
                |f| {
                    f.kernel_clock = Some(KernelClock::Within {
                        error_us: 1_000_001,
                    });
                },
            ),
        ];
        for (subject, found, advice, change) in cases {
            let mut facts = tuned();
            change(&mut facts);
            let warnings: Vec<Finding> = of(&facts, LIVE, Idle::Spin, 100)
                .into_iter()
                .filter(|finding| finding.state > State::Ok)
                .collect();
            let [warning] = warnings.as_slice() else {
                panic!("{subject}: {warnings:?}");
            };
            assert_eq!((warning.subject, warning.state), (*subject, State::Warning));
            assert!(warning.found.contains(found), "{}", warning.found);
            assert!(warning.advice.contains(advice), "{}", warning.advice);
        }
    }

    #[test]
    fn other_ways_to_the_same_are_as_good() {
        let state = |facts: &Facts, subject: &str| {
            let findings = of(facts, LIVE, Idle::Spin, 100);
            let finding = findings.iter().find(|finding| finding.subject == subject);
            finding.expect("judged").state
        };
        let mut facts = tuned();
        facts.tickless = Some(vec![]);
        assert_eq!(state(&facts, "rcu_nocbs"), State::Ok);
        facts.command_line = Some(CommandLine::read("rcu_nocbs=all"));
        assert_eq!(state(&facts, "rcu_nocbs"), State::Ok);
        facts.kernel_clock = None;
        assert_eq!(state(&facts, "clock is set"), State::Unknown);
        facts.clock_service = Some("chrony");
        assert_eq!(state(&facts, "clock is set"), State::Ok);
    }

    #[test]
    fn sleep_states_are_advised_against_only_where_they_show() {
        let look = |line: &str, idle, pause_us| {
            let facts = Facts {
                command_line: Some(CommandLine::read(line)),
                ..tuned()
            };
            let findings = of(&facts, "", idle, pause_us);
            let finding = findings
                .into_iter()
                .find(|finding| finding.subject == "idle states");
            finding.expect("judged")
        };
        assert_eq!(look("", Idle::Backoff, 201).state, State::Note);
        assert_eq!(look("", Idle::Backoff, 200).state, State::Ok);
        assert_eq!(look("", Idle::Spin, 900).state, State::Ok);
        let limited = look("processor.max_cstate=1", Idle::Backoff, 900);
        assert_eq!(limited.state, State::Ok);
        assert_eq!(limited.found, "processor.max_cstate=1");
    }

    #[test]
    fn nobody_asks_of_interrupts_and_the_clock_on_an_embedded_venue() {
        let findings = of(&tuned(), "", Idle::Spin, 1);
        assert!(findings.iter().all(|finding| {
            finding.subject != "interrupts" && finding.subject != "clock is set"
        }));
    }

    #[test]
    fn a_kernel_that_tells_nothing_is_unknown() {
        for finding in of(&Facts::default(), LIVE, Idle::Spin, 1) {
            assert_eq!(finding.state, State::Unknown, "{}", finding.subject);
        }
    }
}
