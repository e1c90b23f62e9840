//! Faults that the venue injects, on demand or by a seeded schedule.
//!
//! Owns: the list of faults, when each fires, and what they do to a payload. Does not: touch
//! sockets or queues. Invariant: a schedule counts what it applies to (diffs, market frames or
//! depth requests that somebody receives), never time, so a recorded session with a seed has the
//! same faults in the same places each run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use veloz_core::units::E8;

use super::source::Level;

/// Levels of [`Fault::HugeEvent`], both sides together.
pub const HUGE_EVENT_LEVELS: usize = 5_000;
/// Faults armed by hand and not yet fired; more are refused, so that a loop cannot fill memory.
const ARMED_MAX: usize = 1_024;

/// One thing that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A diff is not sent: the next one does not follow.
    Gap,
    /// A diff is sent twice.
    Duplicate,
    /// A diff is sent after its successor.
    Reorder,
    /// A diff carries [`HUGE_EVENT_LEVELS`] more levels, all removals of levels nobody has.
    HugeEvent,
    /// A diff carries a bid above the best ask.
    CrossedBook,
    /// A diff is followed by one with the same ids and no levels at all.
    EmptyEvent,
    /// A payload carries keys that no client knows, in front and at the end.
    UnknownKeys,
    /// A frame of an event type and a stream that no client knows.
    UnknownEvent,
    /// A payload is cut in the middle: not JSON any more.
    MalformedJson,
    /// A text frame holds a byte that is not UTF-8.
    InvalidUtf8,
    /// A frame leaves in TCP segments (and TLS records) of so many bytes.
    SplitSegments {
        /// Bytes a segment.
        bytes: u16,
    },
    /// So many frames leave in one write.
    MergeSegments {
        /// Frames a write.
        frames: u16,
    },
    /// A message leaves in three fragments with a ping between them.
    Fragment,
    /// A frame ends before its announced length, then the connection closes without a word.
    TruncatedFrame,
    /// A depth request is answered with a book older than the first diff of the stream.
    StaleSnapshot,
    /// Connected, but nothing is sent, pings included; what was due is lost.
    Silence {
        /// How long, milliseconds of the venue's clock.
        ms: u32,
    },
    /// Nothing is sent for a while, then all of it.
    Stall {
        /// How long, milliseconds of the venue's clock.
        ms: u32,
    },
    /// The connection is reset: the client reads ECONNRESET.
    Reset,
    /// A pong that answers no ping, with a payload.
    WrongPong,
    /// A pong that answers no ping, without a payload: legal.
    UnsolicitedPong,
    /// Several pings at once, few enough that the answers stay within the client's limit.
    PingFlood {
        /// How many.
        count: u8,
    },
    /// The connection reached its 24 hours: a close frame, then the end.
    DailyCut,
    /// The venue announces that it goes down, and closes after its delay.
    ServerShutdown,
}

/// What a fault applies to, hence what its schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applies {
    /// Diff depth events.
    Diff,
    /// Any market frame.
    Frame,
    /// Depth requests.
    Snapshot,
    /// All stream connections, counted in market frames.
    Connections,
}

impl Fault {
    /// Every kind once, with a workable argument: for tests that go through all of them.
    pub const ALL: [Self; 23] = [
        Self::Gap,
        Self::Duplicate,
        Self::Reorder,
        Self::HugeEvent,
        Self::CrossedBook,
        Self::EmptyEvent,
        Self::UnknownKeys,
        Self::UnknownEvent,
        Self::MalformedJson,
        Self::InvalidUtf8,
        Self::SplitSegments { bytes: 7 },
        Self::MergeSegments { frames: 8 },
        Self::Fragment,
        Self::TruncatedFrame,
        Self::StaleSnapshot,
        Self::Silence { ms: 60_000 },
        Self::Stall { ms: 500 },
        Self::Reset,
        Self::WrongPong,
        Self::UnsolicitedPong,
        Self::PingFlood { count: 4 },
        Self::DailyCut,
        Self::ServerShutdown,
    ];

    /// The name used on the command line and in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::HugeEvent => "huge",
            Self::CrossedBook => "crossed",
            Self::EmptyEvent => "empty",
            Self::UnknownKeys => "unknown-keys",
            Self::UnknownEvent => "unknown-event",
            Self::MalformedJson => "malformed",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::SplitSegments { .. } => "split",
            Self::MergeSegments { .. } => "merge",
            Self::Fragment => "fragment",
            Self::TruncatedFrame => "truncated",
            Self::StaleSnapshot => "stale-snapshot",
            Self::Silence { .. } => "silence",
            Self::Stall { .. } => "stall",
            Self::Reset => "reset",
            Self::WrongPong => "wrong-pong",
            Self::UnsolicitedPong => "unsolicited-pong",
            Self::PingFlood { .. } => "ping-flood",
            Self::DailyCut => "daily-cut",
            Self::ServerShutdown => "server-shutdown",
        }
    }

    pub(crate) fn applies(self) -> Applies {
        match self {
            Self::Gap
            | Self::Duplicate
            | Self::Reorder
            | Self::HugeEvent
            | Self::CrossedBook
            | Self::EmptyEvent => Applies::Diff,
            Self::UnknownKeys
            | Self::UnknownEvent
            | Self::MalformedJson
            | Self::InvalidUtf8
            | Self::SplitSegments { .. }
            | Self::MergeSegments { .. }
            | Self::Fragment
            | Self::TruncatedFrame => Applies::Frame,
            Self::StaleSnapshot => Applies::Snapshot,
            Self::Silence { .. }
            | Self::Stall { .. }
            | Self::Reset
            | Self::WrongPong
            | Self::UnsolicitedPong
            | Self::PingFlood { .. }
            | Self::DailyCut
            | Self::ServerShutdown => Applies::Connections,
        }
    }

    fn with_argument(self, argument: &str) -> Option<Self> {
        Some(match self {
            Self::SplitSegments { .. } => Self::SplitSegments {
                bytes: argument.parse().ok().filter(|&bytes| bytes > 0)?,
            },
            Self::MergeSegments { .. } => Self::MergeSegments {
                frames: argument.parse().ok().filter(|&frames| frames > 0)?,
            },
            Self::Silence { .. } => Self::Silence {
                ms: argument.parse().ok()?,
            },
            Self::Stall { .. } => Self::Stall {
                ms: argument.parse().ok()?,
            },
            Self::PingFlood { .. } => Self::PingFlood {
                count: argument.parse().ok()?,
            },
            Self::Gap
            | Self::Duplicate
            | Self::Reorder
            | Self::HugeEvent
            | Self::CrossedBook
            | Self::EmptyEvent
            | Self::UnknownKeys
            | Self::UnknownEvent
            | Self::MalformedJson
            | Self::InvalidUtf8
            | Self::Fragment
            | Self::TruncatedFrame
            | Self::StaleSnapshot
            | Self::Reset
            | Self::WrongPong
            | Self::UnsolicitedPong
            | Self::DailyCut
            | Self::ServerShutdown => return None,
        })
    }
}

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
    Fault::ALL.map(Fault::name).join(", ")
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
            Fault::Silence { ms } | Fault::Stall { ms } => write!(f, "={ms}")?,
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
    let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name)?;
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

/// Decides which faults fire on what is about to be sent.
#[derive(Debug)]
pub(crate) struct FaultPlan {
    rules: Vec<(FaultRule, u64, SmallRng)>,
    armed: VecDeque<Fault>,
    fired: BTreeMap<&'static str, u64>,
}

impl FaultPlan {
    pub(crate) fn new(rules: &[FaultRule], seed: u64) -> Self {
        let rules = rules
            .iter()
            .enumerate()
            .map(|(position, &rule)| {
                let rng = SmallRng::seed_from_u64(seed.wrapping_add(position as u64));
                (rule, 0, rng)
            })
            .collect();
        Self {
            rules,
            armed: VecDeque::new(),
            fired: BTreeMap::new(),
        }
    }

    /// Arms a fault for the next thing that it applies to; `false` when too many wait already.
    pub(crate) fn arm(&mut self, fault: Fault) -> bool {
        let room = self.armed.len() < ARMED_MAX;
        if room {
            self.armed.push_back(fault);
        }
        room
    }

    /// Counts one thing of this kind; the faults that fire on it go into `out`.
    pub(crate) fn next(&mut self, applies: Applies, out: &mut Vec<Fault>) {
        for (rule, seen, rng) in &mut self.rules {
            if rule.fault.applies() != applies {
                continue;
            }
            *seen += 1;
            let fires = match rule.trigger {
                Trigger::Every(count) => seen.is_multiple_of(count),
                Trigger::At(count) => *seen == count,
                Trigger::PerMillion(chance) => rng.random_range(0..1_000_000) < chance,
            };
            if fires {
                out.push(rule.fault);
            }
        }
        self.armed.retain(|&fault| {
            let fires = fault.applies() == applies && !out.contains(&fault);
            if fires {
                out.push(fault);
            }
            !fires
        });
        for fault in &*out {
            if fault.applies() == applies {
                self.count(*fault);
            }
        }
    }

    /// Counts a fault that happened outside [`next`](Self::next).
    pub(crate) fn count(&mut self, fault: Fault) {
        *self.fired.entry(fault.name()).or_default() += 1;
    }

    /// How often each fault has fired.
    pub(crate) fn fired(&self) -> &BTreeMap<&'static str, u64> {
        &self.fired
    }
}

/// Adds removals of levels that no book holds, behind the real ones of each side.
pub(crate) fn huge_event(payload: &[u8], bids: &[Level], asks: &[Level]) -> Option<Vec<u8>> {
    let asks_key = find(payload, br#"],"a":["#)?;
    let end = payload.len().checked_sub(2)?;
    if &payload[end..] != b"]}" || payload[..asks_key].last().is_none() {
        return None;
    }
    let mut out = Vec::with_capacity(payload.len() + 40 * (bids.len() + asks.len()));
    out.extend_from_slice(&payload[..asks_key]);
    append_levels(&mut out, bids);
    out.extend_from_slice(&payload[asks_key..end]);
    append_levels(&mut out, asks);
    out.extend_from_slice(b"]}");
    Some(out)
}

/// Puts a bid in front of a diff's bids.
pub(crate) fn crossed_book(payload: &[u8], bid: Level) -> Option<Vec<u8>> {
    let at = find(payload, br#""b":["#)? + br#""b":["#.len();
    let mut out = payload[..at].to_vec();
    append_levels(&mut out, &[bid]);
    if payload[at] == b'[' {
        out.push(b',');
    }
    out.extend_from_slice(&payload[at..]);
    Some(out)
}

/// A diff's ids with both sides empty.
pub(crate) fn empty_event(payload: &[u8]) -> Option<Vec<u8>> {
    let at = find(payload, br#""b":["#)?;
    let mut out = payload[..at].to_vec();
    out.extend_from_slice(br#""b":[],"a":[]}"#);
    Some(out)
}

/// Keys from the future, around the known ones.
pub(crate) fn unknown_keys(payload: &[u8]) -> Vec<u8> {
    let mut out = br#"{"zz":{"e":"depthUpdate","U":1,"b":[["1.0","2.0"]]},"#.to_vec();
    out.extend_from_slice(&payload[1..payload.len() - 1]);
    out.extend_from_slice(br#","yy":[null,true,-1.5e3,"\u00e9\"}"],"xx":""}"#);
    out
}

/// The first half of a payload.
pub(crate) fn malformed(payload: &[u8]) -> Vec<u8> {
    payload[..payload.len() / 2].to_vec()
}

/// A payload with one byte that is not UTF-8, inside its first string.
pub(crate) fn invalid_utf8(payload: &[u8]) -> Vec<u8> {
    let mut out = payload.to_vec();
    let at = out.len().min(2).saturating_sub(1) + 1;
    if let Some(byte) = out.get_mut(at) {
        *byte = 0xff;
    }
    out
}

fn append_levels(out: &mut Vec<u8>, levels: &[Level]) {
    use std::io::Write as _;
    for level in levels {
        let comma = if out.last() == Some(&b'[') { "" } else { "," };
        let _ = write!(out, r#"{comma}["{}","{}"]"#, level.price, level.qty);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Removals at `count` prices from `first` on, `step` apart, skipping those in `held`.
pub(crate) fn removals(first: E8, step: E8, count: usize, held: &BTreeSet<E8>) -> Vec<Level> {
    (0..)
        .map(|position: i64| E8(first.0 + position * step.0))
        .filter(|price| !held.contains(price))
        .take(count)
        .map(|price| Level { price, qty: E8(0) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &[u8] = concat!(
        r#"{"e":"depthUpdate","E":1,"s":"X","U":1,"u":2,"#,
        r#""b":[["2.00000000","1.00000000"]],"a":[]}"#
    )
    .as_bytes();

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.expect("a diff")).expect("UTF-8")
    }

    #[test]
    fn rules_are_read_and_printed_alike() {
        for fault in Fault::ALL {
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

    #[test]
    fn a_schedule_counts_only_what_it_applies_to_and_repeats_with_its_seed() {
        let rules = ["gap@every:2", "malformed@at:3", "duplicate@ppm:300000"]
            .map(|text| text.parse().expect("a rule"));
        let run = |seed| {
            let mut plan = FaultPlan::new(&rules, seed);
            let mut log = Vec::new();
            for _ in 0..50 {
                let mut out = Vec::new();
                plan.next(Applies::Diff, &mut out);
                plan.next(Applies::Frame, &mut out);
                log.push(out);
            }
            (log, plan.fired().clone())
        };
        let (log, fired) = run(7);
        assert_eq!(run(7).0, log);
        assert_ne!(run(8).0, log);
        assert_eq!(fired["gap"], 25);
        assert_eq!(fired["malformed"], 1);
        assert!(log[2].contains(&Fault::MalformedJson));
        assert!(log[1].contains(&Fault::Gap));
    }

    #[test]
    fn an_armed_fault_fires_once_on_the_next_thing_of_its_kind() {
        let mut plan = FaultPlan::new(&[], 0);
        assert!(plan.arm(Fault::Gap));
        let mut out = Vec::new();
        plan.next(Applies::Frame, &mut out);
        assert!(out.is_empty());
        plan.next(Applies::Diff, &mut out);
        assert_eq!(out, [Fault::Gap]);
        out.clear();
        plan.next(Applies::Diff, &mut out);
        assert!(out.is_empty());
        for _ in 0..ARMED_MAX {
            assert!(plan.arm(Fault::Gap));
        }
        assert!(!plan.arm(Fault::Gap));
    }

    #[test]
    fn payload_faults_do_what_they_say() {
        let gone = removals(E8(100_000_000), E8(100_000_000), 2, &BTreeSet::new());
        assert_eq!(
            text(huge_event(DIFF, &gone, &gone[..1])),
            concat!(
                r#"{"e":"depthUpdate","E":1,"s":"X","U":1,"u":2,"#,
                r#""b":[["2.00000000","1.00000000"],["1.00000000","0.00000000"],"#,
                r#"["2.00000000","0.00000000"]],"a":[["1.00000000","0.00000000"]]}"#
            )
        );
        let bid = Level {
            price: E8(900_000_000),
            qty: E8(100_000_000),
        };
        assert!(
            text(crossed_book(DIFF, bid)).contains(
                r#""b":[["9.00000000","1.00000000"],["2.00000000","1.00000000"]],"a":[]"#
            )
        );
        assert!(text(empty_event(DIFF)).ends_with(r#""u":2,"b":[],"a":[]}"#));
        let known: serde_json::Value =
            serde_json::from_slice(&unknown_keys(DIFF)).expect("still JSON");
        assert_eq!(known["u"], 2);
        assert!(serde_json::from_slice::<serde_json::Value>(&malformed(DIFF)).is_err());
        assert!(String::from_utf8(invalid_utf8(DIFF)).is_err());
        let held = BTreeSet::from([E8(200_000_000)]);
        let around = removals(E8(100_000_000), E8(100_000_000), 2, &held);
        assert_eq!(around[1].price, E8(300_000_000));
    }
}
