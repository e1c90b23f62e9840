//! Scheduled faults and their text form.
//!
//! Owns: [`FaultRule`], read from and printed to the command line's form. Does not: fire.

use std::fmt;
use std::str::FromStr;

use super::Fault;

/// When a scheduled fault fires, counted in what it applies to, from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Each n-th time.
    Every(u64),
    /// Once, at the n-th time.
    At(u64),
    /// By a seeded draw with this probability in a million.
    PerMillion(u32),
}

/// A scheduled fault. As text: `gap@every:100`, `split=7@at:3`, `reset@ppm:50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// What happens.
    pub fault: Fault,
    /// When.
    pub trigger: Trigger,
}

/// Why text is no [`FaultRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a fault: expected NAME[=ARGUMENT]@every:N, @at:N or @ppm:N with a NAME of {}",
    names()
)]
pub struct FaultRuleError {
    text: String,
}

fn names() -> String {
    let names: Vec<_> = Fault::all().map(Fault::name).collect();
    names.join(", ")
}

impl FromStr for FaultRule {
    type Err = FaultRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_rule(text).ok_or_else(|| FaultRuleError {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.name())?;
        match self.fault {
            Fault::SplitSegments { bytes } => write!(f, "={bytes}")?,
            Fault::MergeSegments { frames } => write!(f, "={frames}")?,
            Fault::Silence { ms }
            | Fault::Stall { ms }
            | Fault::CancelDelayed { ms }
            | Fault::Halt { ms }
            | Fault::CancelOnly { ms } => write!(f, "={ms}")?,
            Fault::Deposit { units } | Fault::ExternalLock { units } => write!(f, "={units}")?,
            Fault::PingFlood { count } => write!(f, "={count}")?,
            _ => {}
        }
        match self.trigger {
            Trigger::Every(count) => write!(f, "@every:{count}"),
            Trigger::At(count) => write!(f, "@at:{count}"),
            Trigger::PerMillion(chance) => write!(f, "@ppm:{chance}"),
        }
    }
}

fn parse_rule(text: &str) -> Option<FaultRule> {
    let (what, when) = text.split_once('@')?;
    let (name, argument) = match what.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (what, None),
    };
    let fault = Fault::all().find(|fault| fault.name() == name)?;
    let fault = match argument {
        Some(argument) => fault.with_argument(argument)?,
        None => fault,
    };
    let (kind, number) = when.split_once(':')?;
    let trigger = match kind {
        "every" => Trigger::Every(number.parse().ok().filter(|&n| n > 0)?),
        "at" => Trigger::At(number.parse().ok().filter(|&n| n > 0)?),
        "ppm" => Trigger::PerMillion(number.parse().ok().filter(|&n| n <= 1_000_000)?),
        _ => return None,
    };
    Some(FaultRule { fault, trigger })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_printed_alike() {
        for fault in Fault::all() {
            for trigger in [Trigger::Every(3), Trigger::At(1), Trigger::PerMillion(50)] {
                let rule = FaultRule { fault, trigger };
                assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }
        for bad in [
            "",
            "gap",
            "gap@",
            "gap@every:0",
            "gap=1@at:1",
            "split=0@at:1",
            "no@at:1",
        ] {
            assert!(bad.parse::<FaultRule>().is_err(), "{bad}");
        }
    }
}
