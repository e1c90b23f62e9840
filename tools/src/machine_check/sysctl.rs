//! The kernel's settings against those of `systemd/veloz.sysctl`.
//!
//! Owns: what each key of that file means here. Does not: read the machine (`facts.rs`), or hold a number that the file
//! has: its numbers are read from it, and a test fails when it has a key that no rule judges.

use super::facts::Facts;
use super::rules::LOCKED_BYTES_MIN;
use super::{Finding, State};
use crate::config::{Config, Source};
use std::fmt::Write as _;

/// What is installed as /etc/sysctl.d/60-veloz.conf.
const ADVISED: &str = include_str!("../../../systemd/veloz.sysctl");
/// One sentence for all of them.
const ADVICE: &str =
    "install systemd/veloz.sysctl as /etc/sysctl.d/60-veloz.conf and run sysctl --system";
/// How often the kernel's real-time throttle looks; the throttled part of it is advised.
const RT_PERIOD: &str = "kernel.sched_rt_period_us";

/// Keys that are read: those of the file, and what they are compared with.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    advised().map(|(key, _)| key).chain([RT_PERIOD])
}

/// The file's keys with their values.
fn advised() -> impl Iterator<Item = (&'static str, &'static str)> {
    ADVISED
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// A value's last number: of the three sizes of a buffer that is the largest.
fn last_number(value: &str) -> Option<i64> {
    value.split_whitespace().last()?.parse().ok()
}

/// What is judged together.
struct Rule {
    subject: &'static str,
    keys: &'static [&'static str],
    why: &'static str,
    judge: fn(&Machine<'_>, &Self) -> Verdict,
}

/// What a rule says.
enum Verdict {
    Good(String),
    Bad(String),
    Unknown,
    /// It matters to other configurations only.
    Nothing,
}

struct Machine<'a> {
    facts: &'a Facts,
    config: &'a Config,
    core_cpu: Option<usize>,
}

impl Machine<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.facts.sysctls.get(key).map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.text(key).and_then(last_number)
    }

    /// Whether the kernel tells any of these settings: then one that is missing is not offered.
    fn tells_settings(&self) -> bool {
        !self.facts.sysctls.is_empty()
    }

    fn real_venue(&self) -> bool {
        self.config.venue.source == Source::Binance
    }
}

const RULES: &[Rule] = &[
    Rule {
        subject: "swappiness",
        keys: &["vm.swappiness"],
        why: "a page that was swapped out costs milliseconds at the worst moment",
        judge: swappiness,
    },
    Rule {
        subject: "compaction",
        keys: &["vm.compaction_proactiveness"],
        why: "a background thread that moves pages about stalls whoever uses them",
        judge: as_advised,
    },
    Rule {
        subject: "zone reclaim",
        keys: &["vm.zone_reclaim_mode"],
        why: "memory that is taken back near by stalls whoever asks for memory",
        judge: |machine, rule| {
            unless_missing(machine, rule, "not offered: the kernel knows no NUMA")
        },
    },
    Rule {
        subject: "socket buffers",
        keys: &[
            "net.core.rmem_max",
            "net.core.wmem_max",
            "net.ipv4.tcp_rmem",
        ],
        why: "what a burst does not fit into makes the venue take us for a slow reader",
        judge: socket_buffers,
    },
    Rule {
        subject: "tcp idle",
        keys: &["net.ipv4.tcp_slow_start_after_idle"],
        why: "after a pause the first order is sent in pieces",
        judge: |machine, rule| {
            if machine.real_venue() {
                as_advised(machine, rule)
            } else {
                Verdict::Nothing
            }
        },
    },
    Rule {
        subject: "rt throttle",
        keys: &["kernel.sched_rt_runtime_us"],
        why: "without the throttle a spinning SCHED_FIFO thread starves the kernel's own work",
        judge: rt_throttle,
    },
    Rule {
        subject: "nmi watchdog",
        keys: &["kernel.nmi_watchdog"],
        why: "it interrupts every CPU, isolated ones too",
        judge: |machine, rule| unless_missing(machine, rule, "not offered"),
    },
    Rule {
        subject: "timer migration",
        keys: &["kernel.timer_migration"],
        why: "timers of other CPUs must not move to the core's",
        judge: timer_migration,
    },
];

/// The findings, in the file's order.
pub(super) fn judge(facts: &Facts, config: &Config, core_cpu: Option<usize>) -> Vec<Finding> {
    let machine = Machine {
        facts,
        config,
        core_cpu,
    };
    RULES
        .iter()
        .filter_map(|rule| {
            let (state, found, advice) = match (rule.judge)(&machine, rule) {
                Verdict::Good(found) => (State::Ok, found, ""),
                Verdict::Bad(found) => (State::Warning, found, ADVICE),
                Verdict::Unknown => return Some(Finding::unknown(rule.subject, rule.why)),
                Verdict::Nothing => return None,
            };
            Some(Finding::note_of(
                state,
                rule.subject,
                found,
                rule.why,
                advice.to_owned(),
            ))
        })
        .collect()
}

/// The advised value of a key of the file.
fn advised_text(key: &str) -> &'static str {
    advised()
        .find_map(|(found, value)| (found == key).then_some(value))
        .expect("a rule's key is a key of the file, which a test says")
}

fn advised_number(key: &str) -> i64 {
    last_number(advised_text(key)).expect("the file has numbers, which a test says")
}

fn differs(key: &str, value: &str) -> String {
    format!("{key} = {value}, advised {}", advised_text(key))
}

fn only_key(rule: &Rule) -> &'static str {
    rule.keys[0]
}

fn as_advised(machine: &Machine<'_>, rule: &Rule) -> Verdict {
    let key = only_key(rule);
    match machine.number(key) {
        Some(value) if value == advised_number(key) => Verdict::Good(format!("{key} = {value}")),
        Some(value) => Verdict::Bad(differs(key, &value.to_string())),
        None => Verdict::Unknown,
    }
}

fn unless_missing(machine: &Machine<'_>, rule: &Rule, missing: &str) -> Verdict {
    if machine.text(only_key(rule)).is_none() && machine.tells_settings() {
        Verdict::Good(missing.to_owned())
    } else {
        as_advised(machine, rule)
    }
}

fn swappiness(machine: &Machine<'_>, rule: &Rule) -> Verdict {
    let key = only_key(rule);
    let facts = machine.facts;
    let locked = machine.config.core.lock_memory
        && (facts.may_lock
            || facts
                .memlock
                .is_some_and(|limit| limit.allows(LOCKED_BYTES_MIN)));
    match machine.number(key) {
        None => Verdict::Unknown,
        Some(value) if value <= advised_number(key) => Verdict::Good(format!("{key} = {value}")),
        Some(value) if facts.swap_kb == Some(0) => {
            Verdict::Good(format!("{key} = {value}, and there is no swap"))
        }
        Some(value) if locked => {
            Verdict::Good(format!("{key} = {value}, and the process locks its memory"))
        }
        Some(value) => Verdict::Bad(differs(key, &value.to_string())),
    }
}

/// Larger ones are as good. In a network namespace of its own some are not there.
fn socket_buffers(machine: &Machine<'_>, rule: &Rule) -> Verdict {
    if !machine.real_venue() {
        return Verdict::Nothing;
    }
    let mut large = String::new();
    let mut small = String::new();
    for key in rule.keys {
        let (Some(text), Some(value)) = (machine.text(key), machine.number(key)) else {
            continue;
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (list, found) = if value < advised_number(key) {
            (&mut small, differs(key, &words.join(" ")))
        } else {
            (&mut large, format!("{key} = {}", words.join(" ")))
        };
        let comma = if list.is_empty() { "" } else { "; " };
        let _ = write!(list, "{comma}{found}");
    }
    match (small.is_empty(), large.is_empty()) {
        (false, _) => Verdict::Bad(small),
        (true, false) => Verdict::Good(large),
        (true, true) => Verdict::Unknown,
    }
}

/// Any throttle is one; what is advised is the kernel's own.
fn rt_throttle(machine: &Machine<'_>, rule: &Rule) -> Verdict {
    let key = only_key(rule);
    let Some(value) = machine.number(key) else {
        return Verdict::Unknown;
    };
    let period = machine.number(RT_PERIOD).unwrap_or(i64::MAX);
    if (1..period).contains(&value) {
        Verdict::Good(format!("{key} = {value}"))
    } else if machine.config.core.realtime_priority > 0 {
        Verdict::Bad(differs(key, &value.to_string()))
    } else {
        Verdict::Good(format!(
            "{key} = {value}, and no real-time priority is asked for"
        ))
    }
}

fn timer_migration(machine: &Machine<'_>, rule: &Rule) -> Verdict {
    let isolated = machine.facts.isolated.as_deref().unwrap_or_default();
    match machine.core_cpu {
        Some(cpu) if isolated.contains(&cpu) => as_advised(machine, rule),
        Some(_) | None if machine.tells_settings() => {
            Verdict::Good("not judged: the core's CPU is not isolated".to_owned())
        }
        Some(_) | None => Verdict::Unknown,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::parse::Limit;
    use super::*;
    use crate::config::load_text;
    use std::collections::{BTreeMap, BTreeSet};

    const LIVE: &str = "[venue]\nsource = \"binance\"\n";

    /// A machine with the file installed.
    pub(crate) fn as_the_file_says() -> BTreeMap<&'static str, String> {
        advised()
            .map(|(key, value)| (key, value.to_owned()))
            .chain([(RT_PERIOD, "1000000".to_owned())])
            .collect()
    }

    fn machine() -> Facts {
        Facts {
            isolated: Some(vec![3]),
            // So that memory counts as neither locked nor without swap.
            swap_kb: Some(1_024),
            memlock: Some(Limit::At(65_536)),
            sysctls: as_the_file_says(),
            ..Facts::default()
        }
    }

    fn config(text: &str) -> Config {
        load_text("test.toml", text).expect("valid").config
    }

    #[test]
    fn every_key_of_the_file_has_a_rule_and_a_number() {
        let of_file: BTreeSet<_> = advised().map(|(key, _)| key).collect();
        let of_rules: BTreeSet<_> = RULES.iter().flat_map(|rule| rule.keys).copied().collect();
        assert_eq!(of_file, of_rules);
        for (key, value) in advised() {
            assert!(last_number(value).is_some(), "{key} = {value}");
        }
    }

    #[test]
    fn a_machine_with_the_file_is_as_it_should_be() {
        for text in ["", LIVE, "[core]\nrealtime_priority = 50\n"] {
            for finding in judge(&machine(), &config(text), Some(3)) {
                assert_eq!(finding.state, State::Ok, "{}", finding.found);
            }
        }
    }

    #[test]
    fn each_bad_value_is_one_warning_that_names_it() {
        let fifo = format!("{LIVE}[core]\nrealtime_priority = 50\n");
        let cases = [
            ("vm.swappiness", "60"),
            ("vm.compaction_proactiveness", "20"),
            ("vm.zone_reclaim_mode", "1"),
            ("net.core.rmem_max", "212992"),
            ("net.core.wmem_max", "212992"),
            ("net.ipv4.tcp_rmem", "4096\t131072\t2097152"),
            ("net.ipv4.tcp_slow_start_after_idle", "1"),
            ("kernel.sched_rt_runtime_us", "-1"),
            ("kernel.sched_rt_runtime_us", "1000000"),
            ("kernel.nmi_watchdog", "1"),
            ("kernel.timer_migration", "1"),
        ];
        for (key, value) in cases {
            let mut facts = machine();
            facts.sysctls.insert(key, value.to_owned());
            let warnings: Vec<Finding> = judge(&facts, &config(&fifo), Some(3))
                .into_iter()
                .filter(|finding| finding.state > State::Ok)
                .collect();
            let [warning] = warnings.as_slice() else {
                panic!("{key}: {warnings:?}");
            };
            assert_eq!(warning.state, State::Warning);
            let value = value.replace('\t', " ");
            let expected = format!("{key} = {value}, advised {}", advised_text(key));
            assert_eq!(warning.found, expected);
            assert_eq!(warning.advice, ADVICE);
        }
        let keys: BTreeSet<_> = cases.iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys,
            advised().map(|(key, _)| key).collect(),
            "a key has no case"
        );
    }

    #[test]
    fn what_does_not_matter_here_is_no_warning() {
        type Change = fn(&mut Facts);
        let cases: &[(&str, &str, Change)] = &[
            ("swappiness", "", |facts| {
                facts.sysctls.insert("vm.swappiness", "60".to_owned());
                facts.swap_kb = Some(0);
            }),
            ("swappiness", "", |facts| {
                facts.sysctls.insert("vm.swappiness", "60".to_owned());
                facts.may_lock = true;
            }),
            ("zone reclaim", "", |facts| {
                facts.sysctls.remove("vm.zone_reclaim_mode");
            }),
            ("nmi watchdog", "", |facts| {
                facts.sysctls.remove("kernel.nmi_watchdog");
            }),
            ("rt throttle", "", |facts| {
                let key = "kernel.sched_rt_runtime_us";
                facts.sysctls.insert(key, "-1".to_owned());
            }),
            ("timer migration", "", |facts| {
                facts.isolated = Some(vec![]);
                let key = "kernel.timer_migration";
                facts.sysctls.insert(key, "1".to_owned());
            }),
            // Larger buffers, and a namespace that does not tell all of them.
            ("socket buffers", LIVE, |facts| {
                let key = "net.ipv4.tcp_rmem";
                facts.sysctls.insert(key, "4096 131072 6291456".to_owned());
                facts.sysctls.remove("net.core.rmem_max");
            }),
        ];
        for (subject, text, change) in cases {
            let mut facts = machine();
            change(&mut facts);
            let findings = judge(&facts, &config(text), Some(3));
            let finding = findings.iter().find(|finding| finding.subject == *subject);
            assert_eq!(
                finding.map(|finding| finding.state),
                Some(State::Ok),
                "{subject}"
            );
        }
        let mut facts = machine();
        facts.sysctls.insert("net.core.rmem_max", "1".to_owned());
        let embedded = judge(&facts, &config(""), Some(3));
        assert!(embedded.iter().all(|finding| {
            finding.subject != "socket buffers" && finding.subject != "tcp idle"
        }));
    }

    #[test]
    fn a_kernel_that_tells_nothing_is_unknown() {
        for finding in judge(&Facts::default(), &config(LIVE), Some(3)) {
            assert_eq!(finding.state, State::Unknown, "{}", finding.subject);
        }
    }
}
