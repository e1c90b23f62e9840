//! Faults that the venue injects, on demand or by a seeded schedule.
//!
//! Owns: the list of faults, when each fires, and what they do to a payload. Does not: touch
//! sockets or queues. Invariant: a schedule counts what it applies to (diffs, market frames, user
//! events or requests), never time, so a recorded session with a seed has the same faults in the
//! same places each run.

mod payload;
mod rule;

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

pub(crate) use payload::{
    crossed_book, empty_event, huge_event, invalid_utf8, malformed, removals, unknown_keys,
};
pub use rule::{FaultRule, FaultRuleError, Trigger};

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
    /// A trading request is carried out and never answered.
    ResponseLost,
    /// The events of a trading request leave before its answer, whatever the latencies.
    EventFirst,
    /// The answer to a trading request leaves before its events, whatever the latencies.
    ResponseFirst,
    /// A trading request is carried out and answered with -1007, outcome unknown.
    TimeoutAccepted,
    /// A trading request never reaches the matching engine and is answered with -1007.
    TimeoutRefused,
    /// A trading request is carried out and its connection is reset before the answer.
    DropAfterAccept,
    /// A trading request is not carried out and answered with 503.
    Unavailable,
    /// The address of a trading request is banned: 418, and its connections are cut.
    Ban,
    /// A cancel takes longer to the matching engine: a fill may win.
    CancelDelayed {
        /// How much longer, milliseconds of the venue's clock.
        ms: u32,
    },
    /// A user data event is not sent.
    EventLost,
    /// A user data event is sent twice.
    EventDuplicate,
    /// Every session's logon is revoked.
    SessionRevoked,
    /// Every user data subscription ends.
    StreamTerminated,
    /// The exchange expires every open order.
    UnsolicitedCancel,
    /// Every symbol stops trading for a while: neither orders nor cancels.
    Halt {
        /// How long, milliseconds of the venue's clock.
        ms: u32,
    },
    /// Every symbol takes only cancels for a while.
    CancelOnly {
        /// How long, milliseconds of the venue's clock.
        ms: u32,
    },
    /// Every account gets some of the first symbol's quote asset.
    Deposit {
        /// Whole units of the asset.
        units: u32,
    },
    /// Something outside locks some of the first symbol's quote asset, for good.
    ExternalLock {
        /// Whole units of the asset.
        units: u32,
    },
    /// Other clients of the account place all the orders that it may place in these ten seconds: -1015.
    OrdersUsedUp,
    /// Other clients of every address use its request weight of this minute up: -1003, and a ban for who goes on.
    WeightUsedUp,
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
    /// Requests for the matching engine.
    Trading,
    /// Those of them that take orders off the book.
    Cancel,
    /// User data events that somebody receives.
    UserEvent,
    /// The exchange itself, counted in requests for the matching engine.
    Exchange,
}

impl Fault {
    /// Every kind that market data and its connections suffer, once, with a workable argument:
    /// for tests that go through all of them.
    pub const MARKET: [Self; 23] = [
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

    /// The same for orders and user data.
    pub const TRADING: [Self; 20] = [
        Self::ResponseLost,
        Self::EventFirst,
        Self::ResponseFirst,
        Self::TimeoutAccepted,
        Self::TimeoutRefused,
        Self::DropAfterAccept,
        Self::Unavailable,
        Self::Ban,
        Self::CancelDelayed { ms: 50 },
        Self::EventLost,
        Self::EventDuplicate,
        Self::SessionRevoked,
        Self::StreamTerminated,
        Self::UnsolicitedCancel,
        Self::Halt { ms: 1_000 },
        Self::CancelOnly { ms: 1_000 },
        Self::Deposit { units: 100 },
        Self::ExternalLock { units: 100 },
        Self::OrdersUsedUp,
        Self::WeightUsedUp,
    ];

    /// Every kind once.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::MARKET.into_iter().chain(Self::TRADING)
    }

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
            Self::ResponseLost => "response-lost",
            Self::EventFirst => "event-first",
            Self::ResponseFirst => "response-first",
            Self::TimeoutAccepted => "timeout-accepted",
            Self::TimeoutRefused => "timeout-refused",
            Self::DropAfterAccept => "drop-after-accept",
            Self::Unavailable => "unavailable",
            Self::Ban => "ban",
            Self::CancelDelayed { .. } => "cancel-delayed",
            Self::EventLost => "event-lost",
            Self::EventDuplicate => "event-duplicate",
            Self::SessionRevoked => "session-revoked",
            Self::StreamTerminated => "stream-terminated",
            Self::UnsolicitedCancel => "unsolicited-cancel",
            Self::Halt { .. } => "halt",
            Self::CancelOnly { .. } => "cancel-only",
            Self::Deposit { .. } => "deposit",
            Self::ExternalLock { .. } => "external-lock",
            Self::OrdersUsedUp => "orders-used-up",
            Self::WeightUsedUp => "weight-used-up",
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
            Self::ResponseLost
            | Self::EventFirst
            | Self::ResponseFirst
            | Self::TimeoutAccepted
            | Self::TimeoutRefused
            | Self::DropAfterAccept
            | Self::Unavailable
            | Self::Ban => Applies::Trading,
            Self::CancelDelayed { .. } => Applies::Cancel,
            Self::EventLost | Self::EventDuplicate => Applies::UserEvent,
            Self::SessionRevoked
            | Self::StreamTerminated
            | Self::UnsolicitedCancel
            | Self::Halt { .. }
            | Self::CancelOnly { .. }
            | Self::Deposit { .. }
            | Self::ExternalLock { .. }
            | Self::OrdersUsedUp
            | Self::WeightUsedUp => Applies::Exchange,
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
            Self::CancelDelayed { .. } => Self::CancelDelayed {
                ms: argument.parse().ok()?,
            },
            Self::Halt { .. } => Self::Halt {
                ms: argument.parse().ok()?,
            },
            Self::CancelOnly { .. } => Self::CancelOnly {
                ms: argument.parse().ok()?,
            },
            Self::Deposit { .. } => Self::Deposit {
                units: argument.parse().ok()?,
            },
            Self::ExternalLock { .. } => Self::ExternalLock {
                units: argument.parse().ok()?,
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
            | Self::ServerShutdown
            | Self::ResponseLost
            | Self::EventFirst
            | Self::ResponseFirst
            | Self::TimeoutAccepted
            | Self::TimeoutRefused
            | Self::DropAfterAccept
            | Self::Unavailable
            | Self::Ban
            | Self::EventLost
            | Self::EventDuplicate
            | Self::SessionRevoked
            | Self::StreamTerminated
            | Self::UnsolicitedCancel
            | Self::OrdersUsedUp
            | Self::WeightUsedUp => return None,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
