//! The instruction gate: instructions a message, counted by valgrind, against the committed figure.
//!
//! Owns: [`run`]. A count does not depend on how busy or fast the machine is, so unlike a time it
//! can fail a build. This program runs itself twice under callgrind, over a number of messages and
//! over twice as many, and subtracts: start-up and the making of the messages fall out.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use veloz_core::wire::json::Scanner;

/// Messages of the first run; the second handles twice as many.
pub const MESSAGES: usize = 20_000;

/// How much worse than the committed figure still passes, in percent.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Where the committed figures stand.
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");

/// Why the gate could not decide.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// valgrind did not start.
    #[error("valgrind did not start ({0}); install it with the system's package manager")]
    Valgrind(std::io::Error),
    /// The program failed under valgrind.
    #[error("the counted run failed:\n{0}")]
    Run(String),
    /// The committed figure is missing or malformed.
    #[error("{FIGURES}: {0}")]
    Figure(String),
}

/// What the gate found.
#[derive(Debug)]
pub struct Verdict {
    scanner: &'static str,
    measured: f64,
    committed: f64,
}

impl Verdict {
    /// Whether the measured figure is no more than the tolerance above the committed one.
    pub fn passes(&self) -> bool {
        self.change_percent() <= TOLERANCE_PERCENT
    }

    fn change_percent(&self) -> f64 {
        (self.measured / self.committed - 1.0) * 100.0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scanner,
            measured,
            committed,
        } = self;
        let change = self.change_percent();
        let verdict = if self.passes() { "PASS" } else { "FAIL" };
        write!(
            out,
            "{measured:.0} instructions a message ({scanner}), committed {committed:.0}, \
             {change:+.1} %: {verdict}"
        )?;
        if change.abs() > TOLERANCE_PERCENT {
            write!(
                out,
                "\nif the change is meant, commit `{scanner} = {measured:.0}` in {FIGURES}"
            )?;
        }
        Ok(())
    }
}

/// Counts and compares.
pub fn run() -> Result<Verdict, GateError> {
    let scanner = match Scanner::detect() {
        Scanner::Avx2 => "avx2",
        Scanner::Portable => "portable",
        Scanner::Tolerant => "tolerant",
    };
    let once = count(MESSAGES)?;
    let twice = count(2 * MESSAGES)?;
    Ok(Verdict {
        scanner,
        measured: (twice - once) as f64 / MESSAGES as f64,
        committed: committed(scanner)?,
    })
}

/// Instructions of a run over so many messages, by callgrind.
fn count(messages: usize) -> Result<u64, GateError> {
    let program = std::env::current_exe().map_err(GateError::Valgrind)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["instructions", "--messages", &messages.to_string()])
        .output()
        .map_err(GateError::Valgrind)?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(GateError::Run(report));
    }
    report
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .ok_or(GateError::Run(report))
}

fn committed(scanner: &str) -> Result<f64, GateError> {
    let malformed = |why: &dyn fmt::Display| GateError::Figure(why.to_string());
    let text = std::fs::read_to_string(PathBuf::from(FIGURES)).map_err(|why| malformed(&why))?;
    let table: toml::Table = text.parse().map_err(|why| malformed(&why))?;
    let figure = table.get("instructions_per_message");
    figure
        .and_then(|figures| figures.get(scanner)?.as_integer())
        .map(|figure| figure as f64)
        .ok_or_else(|| malformed(&format!("no integer instructions_per_message.{scanner}")))
}
