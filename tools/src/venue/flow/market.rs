//! One symbol of the synthetic market: slots, timers and fills in the order of time.
//!
//! Owns: what is due when. Does not: choose (that is `process`) or number (`publication`).
//! Invariants: within one microsecond trades come first, then touch changes, then the depth timer;
//! a trade is published before the diff that contains it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::process::Process;
use super::profile::SymbolProfile;
use super::publication::{Fill, PublicBook};
use super::random::Random;
use super::schedule::{Due, Schedule};
use crate::venue::source::{
    DepthSpeed, MarketEvent, Published, Snapshot, SymbolIndex, VenueMicros,
};

/// Period of the fast depth timer.
const TIMER_US: u64 = 100_000;
/// The slow depth timer fires with every tenth fast one.
const FAST_PER_SLOW: u64 = 10;

/// Update ids that pass until the next depth timer, spread over that time.
#[derive(Clone, Copy, Debug)]
struct Resting {
    ids: u64,
    from_us: u64,
    to_us: u64,
}

impl Resting {
    /// Takes the ids that have passed by `now_us`.
    fn take(&mut self, now_us: u64) -> u64 {
        let whole = self.to_us.saturating_sub(self.from_us);
        let passed = now_us.saturating_sub(self.from_us);
        let ids = if passed >= whole {
            self.ids
        } else {
            self.ids * passed / whole
        };
        self.ids -= ids;
        self.from_us = now_us;
        ids
    }
}

/// One symbol.
#[derive(Clone, Debug)]
pub(super) struct SymbolMarket {
    index: SymbolIndex,
    schedule: Schedule,
    process: Process,
    book: PublicBook,
    resting: Resting,
    /// Done in the book, not yet published; times ascend.
    fills: VecDeque<(u64, Fill)>,
    timer_us: u64,
    timer_count: u64,
}

impl SymbolMarket {
    pub(super) fn new(
        index: SymbolIndex,
        profile: &SymbolProfile,
        seed: u64,
        start: VenueMicros,
    ) -> Self {
        let model = Arc::new(profile.model.clone());
        let mut seeds = Random::for_symbol(seed, &profile.symbol);
        let mut stream = || Random::new(seeds.below(u64::MAX));
        let start_bid_ticks = profile.start_bid_ticks;
        let mut process = Process::new(Arc::clone(&model), stream(), start_bid_ticks);
        let spec = profile.spec();
        let book = PublicBook::new(process.opening_book(), spec.tick, spec.lot);
        let schedule = Schedule::new(Arc::clone(&model), stream(), start.0);
        // Symbols of one venue do not publish their diffs at the same moment.
        let timer_us = start.0 + 1 + seeds.below(TIMER_US);
        Self {
            index,
            schedule,
            process,
            book,
            resting: Resting {
                ids: 0,
                from_us: start.0,
                to_us: timer_us,
            },
            fills: VecDeque::new(),
            timer_us,
            timer_count: 0,
        }
    }

    /// When [`SymbolMarket::step`] is due.
    pub(super) fn next_at(&self) -> VenueMicros {
        let fill_us = self.fills.front().map_or(u64::MAX, |&(at_us, _)| at_us);
        VenueMicros(fill_us.min(self.schedule.next_at_us()).min(self.timer_us))
    }

    /// Does the one thing that is due at [`SymbolMarket::next_at`].
    pub(super) fn step(&mut self, out: &mut Vec<Published>) {
        let now_us = self.next_at().0;
        if self
            .fills
            .front()
            .is_some_and(|&(at_us, _)| at_us == now_us)
        {
            self.publish_fill(now_us, out);
        } else if self.schedule.next_at_us() == now_us {
            self.change(now_us, out);
        } else {
            self.tick(now_us, out);
        }
    }

    /// The book now.
    pub(super) fn snapshot(&self, limit: usize) -> Snapshot {
        self.book.snapshot(limit)
    }

    fn change(&mut self, now_us: u64, out: &mut Vec<Published>) {
        let passed = self.resting.take(now_us);
        self.process.rest(&mut self.book, passed);
        let (fills, at_us) = match self.schedule.take() {
            Due::Touch {
                fills_at_us,
                rest_us,
            } => {
                let count = fills_at_us.len();
                self.process.accompany_touch(&mut self.book);
                let fills = self.process.change_touch(&mut self.book, count, rest_us);
                (fills, fills_at_us)
            }
            Due::Unseen { fills_at_us } => {
                let count = fills_at_us.len();
                let fills = self.process.change_unseen(&mut self.book, count);
                (fills, fills_at_us)
            }
        };
        self.fills.extend(at_us.into_iter().zip(fills));
        let ticker = self.book.ticker();
        self.publish(now_us, ticker, out);
    }

    fn tick(&mut self, now_us: u64, out: &mut Vec<Published>) {
        while !self.fills.is_empty() {
            self.publish_fill(now_us, out);
        }
        let passed = self.resting.take(now_us);
        self.process.rest(&mut self.book, passed);
        self.process.settle(&mut self.book);
        self.publish_depth(DepthSpeed::Ms100, now_us, out);
        self.timer_us += TIMER_US;
        self.resting = Resting {
            ids: self.process.ids_at_rest(),
            from_us: now_us,
            to_us: self.timer_us,
        };
        self.timer_count += 1;
        if self.timer_count.is_multiple_of(FAST_PER_SLOW) {
            self.publish_depth(DepthSpeed::Ms1000, now_us, out);
        }
    }

    fn publish_depth(&mut self, speed: DepthSpeed, now_us: u64, out: &mut Vec<Published>) {
        let diff = self.book.diff(speed);
        // Partial depth repeats nothing: it is due when the diff is.
        let partial = diff
            .is_some()
            .then_some(MarketEvent::PartialDepth { speed });
        self.publish(now_us, diff, out);
        self.publish(now_us, partial, out);
    }

    fn publish_fill(&mut self, now_us: u64, out: &mut Vec<Published>) {
        let Some((_, fill)) = self.fills.pop_front() else {
            return;
        };
        let (trade, aggregate) = self.book.trade(fill);
        self.publish(now_us, Some(trade), out);
        self.publish(now_us, aggregate, out);
    }

    fn publish(&self, now_us: u64, event: Option<MarketEvent>, out: &mut Vec<Published>) {
        out.extend(event.map(|event| Published {
            at: VenueMicros(now_us),
            symbol: self.index,
            event,
        }));
    }
}
