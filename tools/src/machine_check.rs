//! `veloz check`: what this machine and this configuration lack, and what to do about it.
//!
//! Owns: [`Finding`], the measurement of the worst pause, and how findings are printed. Facts of the
//! machine are read in `facts.rs`, judged in `rules.rs`, `sysctl.rs` and `kernel.rs`; keys, state and the venue's clock are looked at in
//! `trading.rs`. Does not: change anything on the machine.

pub mod facts;
mod kernel;
pub mod parse;
pub mod rules;
mod sysctl;
mod trading;

use crate::cli::{EXIT_FAILURE, EXIT_OK};
use crate::config::Loaded;
use facts::{Facts, KernelClock};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use veloz_core::edge::cpu;

/// How long the loop spins for [`worst_pause`]: long enough to meet a few dozen timer ticks.
const SPIN: Duration = Duration::from_millis(250);

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// The kernel does not tell.
    Unknown,
    /// Costs latency.
    Warning,
    /// Would fail the start.
    Error,
}

/// One subject of the check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How serious it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do; empty when there is nothing to do.
    pub advice: String,
}

impl Finding {
    fn ok(subject: &'static str, found: String, why: &'static str) -> Self {
        Self::note_of(State::Ok, subject, found, why, String::new())
    }

    fn note(subject: &'static str, found: String, why: &'static str, advice: String) -> Self {
        Self::note_of(State::Note, subject, found, why, advice)
    }

    fn warning(subject: &'static str, found: String, why: &'static str, advice: String) -> Self {
        Self::note_of(State::Warning, subject, found, why, advice)
    }

    fn unknown(subject: &'static str, why: &'static str) -> Self {
        Self::note_of(
            State::Unknown,
            subject,
            "the kernel does not tell".to_owned(),
            why,
            String::new(),
        )
    }

    fn note_of(
        state: State,
        subject: &'static str,
        found: String,
        why: &'static str,
        advice: String,
    ) -> Self {
        Self {
            subject,
            state,
            found,
            why,
            advice,
        }
    }
}

/// Checks this machine and prints the result; the exit code is 0 when nothing is an error.
pub fn check(loaded: &Loaded, json: bool) -> u8 {
    let facts = Facts {
        kernel_clock: KernelClock::ask(),
        ..Facts::read(Path::new("/"))
    };
    let mut findings = vec![Finding::ok(
        "configuration",
        "valid".to_owned(),
        "an unknown key or a value out of range would stop the start",
    )];
    findings.extend(loaded.warnings.iter().map(|warning| {
        Finding::warning(
            "environment",
            warning.clone(),
            "a setting that has no effect may be missed",
            "unset the variable".to_owned(),
        )
    }));
    findings.extend(trading::judge(&loaded.config));
    let pause = worst_pause(rules::core_cpu(&facts, &loaded.config));
    findings.extend(rules::judge(&facts, &loaded.config, Some(pause)));
    if json {
        println!("{}", json_of(&findings));
    } else {
        print!("{}", text_of(&findings));
    }
    if findings.iter().any(|finding| finding.state == State::Error) {
        EXIT_FAILURE
    } else {
        EXIT_OK
    }
}

/// The longest time between two readings of the clock in a spinning loop, on the CPU that the core
/// would get.
fn worst_pause(core_cpu: Option<usize>) -> Duration {
    if let Some(cpu) = core_cpu {
        // The check ends soon after, so the calling thread may move; refused, it measures where it is.
        cpu::pin_current_thread(cpu);
    }
    let start = Instant::now();
    let mut last = start;
    let mut worst = Duration::ZERO;
    while last - start < SPIN {
        let now = Instant::now();
        worst = worst.max(now - last);
        last = now;
    }
    worst
}

fn json_of(findings: &[Finding]) -> String {
    let worst = findings.iter().map(|finding| finding.state).max();
    serde_json::json!({ "worst": worst, "findings": findings }).to_string()
}

fn text_of(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            State::Ok => "ok     ",
            State::Note => "note   ",
            State::Unknown => "unknown",
            State::Warning => "WARNING",
            State::Error => "ERROR  ",
        };
        let _ = writeln!(text, "{mark}  {:<14} {}", finding.subject, finding.found);
        if finding.state != State::Ok {
            let _ = writeln!(text, "{:>25}why: {}", "", finding.why);
        }
        if !finding.advice.is_empty() {
            let _ = writeln!(text, "{:>25}do:  {}", "", finding.advice);
        }
    }
    let count = |state| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    let _ = writeln!(
        text,
        "\n{} errors, {} warnings, {} notes",
        count(State::Error),
        count(State::Warning),
        count(State::Note)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let findings = [
            Finding::ok("swap", "none".to_owned(), "w"),
            Finding::warning("smt", "on".to_owned(), "siblings", "nosmt".to_owned()),
        ];
        assert_eq!(
            text_of(&findings),
            "ok       swap           none\n\
             WARNING  smt            on\n\
             \u{20}                        why: siblings\n\
             \u{20}                        do:  nosmt\n\
             \n\
             0 errors, 1 warnings, 0 notes\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json_of(&findings)).expect("JSON");
        assert_eq!(json["worst"], "warning");
        assert_eq!(json["findings"][1]["advice"], "nosmt");
    }
}
